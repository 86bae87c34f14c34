"""
Anatomy of an expensive solve
=============================

An adaptive solver takes short steps for one of two reasons: the solution bends, or the
problem is stiff. Its own numbers tell which. The oscillator of van der Pol has both,
one after the other.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 1
import matplotlib.pyplot as plt
import numpy as np

from numsolve.neural_ode import heuristics

MU = 20.0


def oscillator(_, y):
    """Position and velocity."""
    return np.array([y[1], MU * (1 - y[0] ** 2) * y[1] - y[0]])


sol = heuristics(oscillator, (0.0, 40.0), np.array([2.0, 0.0]))
print(f"{sol.naccepted} steps, {sol.nrejected} rejected, {sol.nfev} evaluations")

# %%
# Blue: the step sizes. Red: the scaled error, which must stay below one. Green: the
# step times the estimated eigenvalue, over the extent of the stability region. Where a
# slow branch begins, green is near one: stability limits the step, and a smoother
# solution would not help. Towards the jumps green falls, and the error decides. Crosses
# are attempts that were rejected: most lie in the jumps.

figure, (top, bottom) = plt.subplots(
    2, 1, figsize=(7.5, 6.4), layout="constrained", height_ratios=(2, 1), sharex=True
)
sol.plot(top)
top.set_xlabel("")
states = np.array(sol.states)
bottom.plot(sol.t, states[:, 0], ".-", color="#3b6fb6", markersize=3)
bottom.set_xlabel("t")
bottom.set_ylabel("position")
bottom.grid(alpha=0.3)

# %%
# The estimate costs nothing: the last two stages of a step share a time, so the
# difference of their slopes over that of their states is a quotient of the right-hand
# side along one direction, which is that of the fastest mode. Beside the spectral
# radius of the Jacobian: one line on the slow branches, while in the jumps, where the
# Jacobian changes within a step, the estimate is several times too large.

radius = [
    np.abs(np.linalg.eigvals([[0, 1], [-2 * MU * x * v - 1, MU * (1 - x**2)]])).max()
    for x, v in states
]
figure, axes = plt.subplots(figsize=(7.0, 3.4), layout="constrained")
axes.semilogy(sol.t, radius, color="#999999", linewidth=4, label="spectral radius")
axes.semilogy(sol.t, sol.stiffness, color="#4d8b57", linewidth=1, label="estimate")
axes.set_xlabel("t")
axes.set_ylabel("largest eigenvalue")
axes.legend(frameon=False)
axes.grid(alpha=0.3)
plt.show()
