"""
A solver that tunes itself while it steps through time
======================================================

The heat equation with an oscillating diffusion: half of the time steps are nearly trivial, the others stiff.
SSOR-preconditioned conjugate gradients solve both, but each kind has its own best relaxation parameter. A
`TunedSolver` learns this on the way, from nothing but the number of iterations that its solves take.
"""

import matplotlib.pyplot as plt
import numpy as np

from numsolve import linear
from numsolve.linear import problems

# %%
# A thousand time steps on a grid of 39 by 39 points. The generator receives each solution and makes the next
# right-hand side from it; `solve_sequence` takes care of that. Nobody tells the solver how stiff a step is:
# it looks at the diagonal of the matrix.

solver = linear.TunedSolver("ssor_cg", rtol=1e-8, rng=0)
for result in linear.solve_sequence(problems.heat_equation(40, n_steps=1000), solver):
    assert result.success
print(solver)

# %%
# For the picture only, each of the 20 parameters is tried on every system. Their minimum, system by system,
# is the floor: the number of iterations of a tuner that knows everything in advance.

arms = solver.tuner.arms
table = np.empty((1000, len(arms)))
systems, x = problems.heat_equation(40, n_steps=1000), None
A, b, kappa = next(systems)
diffusion = np.empty(1000)
for t in range(1000):
    runs = [linear.ssor_cg(A, b, x, omega=omega, rtol=1e-8) for omega in arms]
    table[t], diffusion[t] = [run.nit for run in runs], kappa
    x = runs[10].x
    if t < 999:
        A, b, kappa = systems.send(x)

floor = table.min(axis=1).sum()
fixed = table.sum(axis=0)
print("iterations over the floor:")
print(f"    tuned                         {sum(solver.history.costs) / floor:.3f}")
print(
    f"    best fixed parameter ({arms[fixed.argmin()]:.2f})   {fixed.min() / floor:.3f}"
)
print(f"    parameter 1                   {fixed[0] / floor:.3f}")

# %%
# The arm picked over time, against the best one, and the iterations paid against the floor. After some sixty
# steps of each kind there is little left to learn.

axes = solver.plot(table)
axes.set_ylabel("relaxation parameter")
axes.figure.axes[1].set(xlabel="time step", ylabel="iterations")

# %%
# What the tuner has learned is a smooth surface: the iterations over parameter and stiffness. Its minimum
# (white) moves to the right as the systems become stiff.

context = np.array(solver.history.contexts)
order = np.argsort(context)
fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
image = ax.pcolormesh(
    arms, np.arange(1000), np.log10(np.maximum(table[order], 1)), cmap="viridis"
)
ax.plot(
    np.asarray(arms)[table[order].argmin(axis=1)], np.arange(1000), "w.", markersize=2
)
ax.set(
    xlabel="relaxation parameter",
    ylabel="systems, from easy to stiff",
    title="iterations of each parameter on each system",
)
bar = fig.colorbar(image, ax=ax, label="iterations")
ticks = [1, 2, 5, 10, 20]
bar.set_ticks(np.log10(ticks), labels=[str(tick) for tick in ticks])
plt.show()

# %%
# Where the matrix is a grid Laplacian plus a constant, as here, fast sine transforms solve it directly and
# are faster still: see the guide for the measured times. The tuner needs no such structure.

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_thumbnail_axes = 0
