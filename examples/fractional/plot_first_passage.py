"""
Does it leave by a jump? First passage of skewed Lévy flights
=============================================================

A flight of index alpha starts at x in (-1, 1). Some flights jump to the right more often than to the left.
How likely is it that such a flight is still inside at time t? The probability solves a fractional diffusion
equation backwards from one, and sums of Jacobi modes have it without steps in time.
"""

import matplotlib.pyplot as plt
import numpy as np

from numsolve.fractional import (
    exit_time_density,
    exit_time_moments,
    survival_probability,
)

rng = np.random.default_rng(3)
flights = {
    "symmetric": (0.5, 0.5),
    "nine of ten jumps to the right": (0.9, 0.1),
    "all jumps to the right": (1.0, 0.0),
}
alpha = 1.4


def stable_steps(alpha, beta, dt, shape):
    """Stable increments of skewness beta (Chambers, Mallows and Stuck, 1976)."""
    angle, wait = rng.uniform(-np.pi / 2, np.pi / 2, shape), rng.exponential(size=shape)
    tilt = beta * np.tan(np.pi * alpha / 2)
    turn, size = np.arctan(tilt) / alpha, (1 + tilt**2) ** (1 / (2 * alpha))
    jump = size * np.sin(alpha * (angle + turn)) / np.cos(angle) ** (1 / alpha)
    rest = np.cos(angle - alpha * (angle + turn)) / wait
    return dt ** (1 / alpha) * jump * rest ** ((1 - alpha) / alpha)


# %%
# The curves are computed, the dots are shares of 3000 simulated flights each. Jumps to the right are balanced
# by a drift to the left, so that the mean stays where it is. At first it is best to start left of the middle,
# away from the end that the jumps lead to; later it is best to start right of it, away from the end that the
# drift leads to.

x, starts = np.linspace(-1, 1, 400), np.linspace(-0.8, 0.8, 9)
times, dt = np.array([0.1, 0.4]), 1e-3
fig, axes = plt.subplots(1, 3, figsize=(11, 3.8), sharey=True, layout="constrained")
for ax, (name, weights) in zip(axes, flights.items(), strict=True):
    inside = survival_probability(alpha, times, weights=weights)
    position = np.tile(starts, (3000, 1))
    alive = np.ones_like(position, dtype=bool)
    for step in range(1, round(times[-1] / dt) + 1):
        position += stable_steps(alpha, weights[0] - weights[1], dt, position.shape)
        alive &= abs(position) < 1
        for k in np.flatnonzero(np.isclose(times, step * dt)):
            ax.plot(starts, alive.mean(axis=0), "o", color=f"C{k}", markersize=4)
    for k, (t, u) in enumerate(zip(times, inside(x), strict=True)):
        ax.plot(x, u, color=f"C{k}", label=f"t = {t}")
    ax.set(title=name, xlabel="start")
    ax.grid(visible=True, alpha=0.3)
    print(f"{name}: errors estimated at {inside.error_estimate:.0e}")
axes[0].set_ylabel("probability to be inside")
axes[0].legend()

# %%
# The density of the time of exit, for flights from the middle. Large jumps make early exits likely. Its
# integral is the probability to leave at all, which is one; here a part of it is checked.

t = np.geomspace(0.01, 4, 200)
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, weights in flights.items():
    density = exit_time_density(alpha, t, weights=weights)(0.0)
    ax.semilogx(t, density, label=name)
    left = 1 - survival_probability(alpha, t[[0, -1]], weights=weights)(0.0)
    assert abs(np.trapezoid(density, t) - (left[1] - left[0])) < 1e-3
    mean, square = exit_time_moments(alpha, 2, weights=weights)(0.0)
    print(
        f"{name}: mean {mean:.4f}, standard deviation {(square - mean**2) ** 0.5:.4f}"
    )
ax.set(xlabel="time of exit", ylabel="density, from the middle")
ax.grid(visible=True, alpha=0.3)
ax.legend()
plt.show()

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 2
