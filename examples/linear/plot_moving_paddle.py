"""
A moving obstacle, and a tuner that picks the sweeps
====================================================

A paddle turns in a box with one open side. The matrix changes at each time step, and with it the
preconditioner. :meth:`numsolve.linear.PoissonMultigrid.refit` sets up the blocks that the paddle has touched,
and the last solution is a good start. How many sweeps each level should get is left to a
:class:`numsolve.linear.TunedSolver`, which watches what they cost.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import distance_transform_edt

from numsolve import linear

n = 128
a, b = np.indices((n, n)) - (n - 1) / 2


def flags_at(angle):
    """0 is fluid, 1 is wall, 2 is open."""
    flags = np.zeros((n, n), dtype=int)
    flags[0], flags[-1], flags[:, 0], flags[:, -1] = 1, 1, 1, 2
    along = a * np.sin(angle) + b * np.cos(angle)
    beside = a * np.cos(angle) - b * np.sin(angle)
    flags[(abs(along) < 0.38 * n) & (abs(beside) < 1.5)] = 1
    return flags


# Water comes in at the closed side and leaves at the open one.
inflow = np.exp(-(a**2 + (b + 0.4 * n) ** 2) / 20)


# %%
# Any solver works in a tuned sequence, as a function of the system, the start and the arm. The arms are
# numbers of sweeps. The cost is the work in sweeps: each iteration has two times that number, and about two
# more for the rest of an iteration. For wall time say ``cost="time"``.

preconditioner, blocks = linear.poisson_multigrid(flags_at(0.0)), []


def solve(problem, rhs, x0, sweeps):
    """Refit to the new obstacles and solve."""
    if x0 is not None:  # cells that the paddle has left take the value next to them
        was_solid = preconditioner.problem.flags != 0
        nearest = distance_transform_edt(
            was_solid, return_distances=False, return_indices=True
        )
        x0 = x0[tuple(nearest)]
    preconditioner.refit(problem.flags)
    blocks.append(preconditioner.setup_blocks[0])
    return linear.solve_poisson(preconditioner, rhs, x0, n_smooth=sweeps, rtol=1e-6)


def run(arms, warm_start):
    """Turn the paddle by a quarter."""
    work = {1: 4.0, 2: 6.0, 3: 8.0, 4: 10.0}

    def one_step(problem, rhs, x0, sweeps):
        result = solve(problem, rhs, x0, sweeps)
        assert result.success
        return result.x, result.nit * work[sweeps]

    solver = linear.TunedSolver(
        one_step,
        arms=arms,
        context=lambda problem, _: float(problem.n),
        warm_start=warm_start,
        rng=0,
    )
    angles = np.linspace(0.0, np.pi / 2, 150)
    systems = ((linear.GridPoisson(flags_at(angle)), inflow) for angle in angles)
    for _ in linear.solve_sequence(systems, solver):
        pass  # the solver keeps the history
    return solver


# %%
# Cold and warm starts with one sweep, and the tuner with warm starts.

cold = run([1], "zero")
warm = run([1], "previous")
tuned = run([1, 2, 3, 4], "previous")
for name, solver in {"cold": cold, "warm": warm, "tuned": tuned}.items():
    print(f"{name:6s} total work {sum(solver.history.costs):7.0f} sweeps")
counts = {arm: tuned.history.arms.count(arm) for arm in (1, 2, 3, 4)}
print("picked by the tuner:", counts)
done, every = np.mean(blocks[1:], axis=0)
print(f"blocks set up in a step: {done:.0f} of {every:.0f} on the first coarse level")

# %%
# The pressure around the paddle, and the work of each step.

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
angle = 0.7
flags = flags_at(angle)
result = linear.solve_poisson(flags, inflow, rtol=1e-8)
shown = np.ma.masked_where(flags == 1, result.x)
colours = plt.get_cmap("viridis").with_extremes(bad="0.2")
image = left.imshow(shown, origin="lower", cmap=colours)
left.contour(shown, levels=14, colors="w", linewidths=0.4)
left.set(title="pressure, the right side is open", xticks=[], yticks=[])
fig.colorbar(image, ax=left, shrink=0.8)
for name, solver in {"cold start": cold, "warm start": warm, "tuned": tuned}.items():
    right.plot(np.cumsum(solver.history.costs), label=name)
right.set(xlabel="time step", ylabel="work so far (sweeps)")
right.grid(alpha=0.3)
right.legend()
plt.show()
# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 0
