"""
When does a Lévy flight leave? Getoor's function
================================================

A Lévy flight of index alpha jumps: most steps are short, some are enormous. Its density obeys ``du/dt =
-(-Delta)^(alpha/2) u``, and the mean time until it leaves an interval, as a function of where it starts,
solves ``(-Delta)^(alpha/2) T = 1`` inside with T = 0 outside. R. K. Getoor found the solution in 1961.
"""

import matplotlib.pyplot as plt
import numpy as np

from numsolve.fractional import problems, solve_riesz_bvp

rng = np.random.default_rng(7)


def stable_steps(alpha, dt, shape):
    """Symmetric alpha-stable increments (Chambers, Mallows and Stuck, 1976)."""
    angle, wait = rng.uniform(-np.pi / 2, np.pi / 2, shape), rng.exponential(size=shape)
    jump = np.sin(alpha * angle) / np.cos(angle) ** (1 / alpha)
    return (
        dt ** (1 / alpha)
        * jump
        * (np.cos((1 - alpha) * angle) / wait) ** ((1 - alpha) / alpha)
    )


# %%
# Eight flights for each index, from the middle of (-1, 1). Brownian motion (alpha = 2) creeps to an end and
# crosses it; flights of index 1.1 leave by a jump, and some land far outside.

alphas, dt = (1.1, 1.6, 2.0), 2e-4
fig, axes = plt.subplots(1, 3, figsize=(11, 4), sharey=True, layout="constrained")
for ax, alpha in zip(axes, alphas, strict=True):
    t = dt * np.arange(1, 10_001)
    for path in np.cumsum(stable_steps(alpha, dt, (8, t.size)), axis=1):
        exits = int(np.argmax(abs(path) > 1)) if (abs(path) > 1).any() else t.size - 1
        ax.plot(t[: exits + 1], path[: exits + 1], linewidth=0.8)
        ax.plot(t[exits], np.clip(path[exits], -2.3, 2.3), "k.", markersize=5)
    ax.axhspan(-1, 1, color="0.5", alpha=0.12)
    ax.set(title=f"alpha = {alpha}", xlabel="t", ylim=(-2.4, 2.4))
axes[0].set_ylabel("position")

# %%
# The mean exit time for every start at once: one call, a handful of Jacobi modes, and nothing but rounding
# errors against Getoor's formula. The dots are averages over 4000 simulated flights each. A flight that is
# outside only between two time steps goes unnoticed, so the dots of Brownian motion lie a little high.

starts = np.linspace(-0.9, 0.9, 10)
x = np.linspace(-1, 1, 500)
fig, ax = plt.subplots(figsize=(8, 5), layout="constrained")
for colour, alpha in zip(("C0", "C1", "C2"), alphas, strict=True):
    f, exact = problems.getoor(alpha)
    T = solve_riesz_bvp(f, alpha, interval=(-1, 1))
    error = abs(T(x) - exact(x)).max()
    print(f"alpha = {alpha}: {T.method}, largest error {error:.1e}; {T.reason}")

    step = 1e-3
    position = np.tile(starts, (4000, 1))
    time = np.zeros_like(position)
    inside = np.ones_like(position, dtype=bool)
    while inside.any():
        position[inside] += stable_steps(alpha, step, int(inside.sum()))
        time[inside] += step
        inside &= abs(position) < 1
    ax.plot(x, T(x), colour, label=f"alpha = {alpha}")
    ax.plot(starts, time.mean(axis=0), "o", color=colour, markersize=5)
ax.set(xlabel="start", ylabel="mean time until the flight leaves (-1, 1)")
ax.grid(visible=True, alpha=0.3)
ax.legend(loc="lower center")

# %%
# Next to an end the exit time grows like the distance to the power alpha / 2, which no polynomial does.
# Splines on a uniform mesh therefore converge slowly here, whatever their degree. This is why the solver
# looked at the data and chose the modes. Splines need a mesh that is graded towards the ends.

f, exact = problems.getoor(1.6)
fine = np.sort(np.r_[x, -1 + np.geomspace(1e-6, 0.1, 300)])
sizes = np.array([16, 32, 64, 128, 256])
errors = {"uniform mesh, p = 3": [], "graded mesh, p = 3": [], "Jacobi modes": []}
for n in sizes:
    uniform = solve_riesz_bvp(f, 1.6, interval=(-1, 1), n=n, p=3, method="spline")
    half = np.linspace(0, 1, n // 2 + 1) ** 4
    graded = solve_riesz_bvp(f, 1.6, breaks=np.r_[half - 1, 1 - half[-2::-1]], p=3)
    modes = solve_riesz_bvp(f, 1.6, interval=(-1, 1))
    for name, result in zip(errors, (uniform, graded, modes), strict=True):
        errors[name].append(abs(result(fine) - exact(fine)).max())

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, values in errors.items():
    ax.loglog(sizes, values, "o-", label=name)
ax.set(
    xlabel="spans of the mesh", ylabel="largest error", xticks=sizes, xticklabels=sizes
)
ax.minorticks_off()
ax.grid(visible=True, alpha=0.3)
ax.legend(loc="center right")
plt.show()

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_thumbnail_axes = 0
