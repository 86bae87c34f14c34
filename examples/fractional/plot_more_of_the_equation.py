"""
More of the equation: wells, winds, growth, values outside, a disc
==================================================================

There are two fractional Laplacians on an interval, and more to an equation than its Laplacian. This page
shows what each part does to the solution, each with something that is known, to compare with.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import ai_zeros, gamma

from numsolve.fractional import (
    solve_fractional_diffusion,
    solve_riesz_2d,
    solve_riesz_bvp,
    solve_riesz_disc,
    solve_riesz_eig,
)

x = np.linspace(-1, 1, 801)[1:-1]

# %%
# **Two operators of one name.** The integral one kills a flight that jumps out of the interval; the
# spectral one is a power of the second derivative with zero boundary values. For orders near two they
# agree. For small orders the mean time to be killed under the spectral operator is shorter inside, and next
# to the ends the solutions fall with other powers: like the distance to the power of half the order for the
# integral operator, and to the power of the order, if it is below one, for the spectral one.

fig, (ax, ends) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
near = np.geomspace(1e-3, 1, 200)
for color, alpha in enumerate((0.6, 1.2, 1.8)):
    integral = solve_riesz_bvp(1.0, alpha, interval=(-1, 1))
    spectral = solve_riesz_bvp(
        1.0, alpha, interval=(-1, 1), definition="spectral", n=4096
    )
    for u, style in ((integral, "-"), (spectral, "--")):
        ax.plot(x, u(x), style, color=f"C{color}")
        ends.loglog(near, u(near - 1), style, color=f"C{color}")
    ends.plot([], [], color=f"C{color}", label=f"order {alpha}")
    getoor = (1 - x**2) ** (alpha / 2) / gamma(alpha + 1)
    print(f"{alpha}: Getoor's form is met to {abs(integral(x) - getoor).max():.0e}")
ax.plot([], [], "k-", label="integral")
ax.plot([], [], "k--", label="spectral")
ax.set(xlabel="x", ylabel="u", title="right-hand side 1")
ends.set(xlabel="distance from the end", ylabel="u", title="next to the end")
ax.legend()
ends.legend()
for a in (ax, ends):
    a.grid(visible=True, alpha=0.3)

# %%
# **A potential.** The levels of a relativistic oscillator, ``|p| + x^2``, are zeros of the Airy function
# and of its derivative, since it is a Schrödinger equation with a linear potential in momentum space.

levels = solve_riesz_eig(1.0, k=6, interval=(-10, 10), potential=np.square, n=256)
zeros, turning, _, _ = ai_zeros(3)
known = np.sort(np.append(-zeros, -turning))
print("levels ", levels.x.round(6))
print("differ from the line's by", abs(levels.x - known).max().round(7))

fig, ax = plt.subplots(figsize=(7, 5), layout="constrained")
wide = np.linspace(-3.2, 3.2, 800)
ax.plot(wide, wide**2, color="0.4", label="potential")
for k, (level, u) in enumerate(zip(levels.x, levels(wide), strict=True)):
    ax.axhline(level, color="0.85", linewidth=1, zorder=0)
    ax.fill_between(wide, level, level + 0.5 * u, color=f"C{k}", alpha=0.5)
    ax.plot(wide, level + 0.5 * u, color=f"C{k}")
ax.set(ylim=(0, 6), xlabel="x", ylabel="level, and half the function", title="|p| + x²")
ax.legend(loc="lower left")

# %%
# **A wind.** An advection carries the flights to the right before they leave.

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for v in (0, 1, 2, 4, 8):
    r = solve_riesz_bvp(1.0, 1.6, interval=(-1, 1), advection=float(v))
    ax.plot(x, r(x), color=plt.cm.viridis(v / 9), label=f"v = {v}")
    print(f"v = {v}: error estimated at {r.error_estimate:.0e}")
ax.set(xlabel="x", ylabel="u", title="right-hand side 1, order 1.6")
ax.grid(visible=True, alpha=0.3)
ax.legend()

# %%
# **Growth.** With ``u (1 - u)`` as a source that depends on u, a small patch invades the interval. Jumps
# carry pioneers far ahead: the front of a flight runs away, while that of a diffusion keeps its shape and
# speed.


def patch(x):
    """Put a few in the middle."""
    return 0.9 * np.exp(-(x**2))


def growth(_t, _x, u):
    """Grow as long as there is room."""
    return u * (1 - u)


times = np.arange(0.0, 6.1, 1.0)
wide = np.linspace(-40, 40, 1601)
fig, axes = plt.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
for ax, alpha in zip(axes, (2.0, 1.5), strict=True):
    grown = solve_fractional_diffusion(
        patch,
        alpha,
        (0, 6),
        source=growth,
        interval=(-40, 40),
        dt=0.1,
        t_eval=times,
        n=256,
    )
    for t, u in zip(grown.t, grown(wide), strict=True):
        ax.semilogy(wide, np.maximum(u, 1e-9), color=plt.cm.plasma(t / 7))
    ax.set(xlabel="x", title=f"order {alpha}: t = 0, 1, ..., 6", ylim=(1e-4, 2))
    ax.grid(visible=True, alpha=0.3)
    print(f"order {alpha}: error estimated at {grown.error_estimate:.0e}")
axes[0].set_ylabel("density")

# %%
# **Values outside.** A flight that starts inside ends at its first place outside, and is paid what is
# written there. Here that is one on the right of 1, zero on the left of -1: the solution is the probability
# to leave to the right. Only a diffusion has a straight line; a flight of small order hardly knows which
# end is near.

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
wide = np.linspace(-1.6, 1.6, 1600)
for alpha in (0.4, 1.0, 1.6, 1.99):
    r = solve_riesz_bvp(
        0.0, alpha, interval=(-1, 1), exterior=lambda x: np.where(x > 0, 1.0, 0.0)
    )
    ax.plot(wide, r(wide), label=f"order {alpha}")
ax.axvspan(-1, 1, color="0.95", zorder=0)
ax.set(xlabel="start", ylabel="probability to leave to the right")
ax.legend()

# %%
# **The plane.** Mean exit times for the order 1.2: from the disc, where the operator is isotropic; from a
# square, for flights whose jumps follow the axes; and the solution for the spectral operator of the square.
# The number is the value in the middle.

half = np.linspace(-1, 1, 241)
X, Y = np.meshgrid(half, half, indexing="ij")
square = ((-1, 1), (-1, 1))
order = 1.2
panels = {
    "disc": solve_riesz_disc(1.0, order),
    "along the axes": solve_riesz_2d(1.0, order, interval=square),
    "spectral": solve_riesz_2d(1.0, order, interval=square, definition="spectral"),
}
fig, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
top = max(float(u(0.0, 0.0)) for u in panels.values())
for ax, (name, u) in zip(axes, panels.items(), strict=True):
    values = np.ma.masked_where(u(X, Y) <= 0, u(X, Y))
    image = ax.contourf(X, Y, values, np.linspace(0, top * 1.02, 18), cmap="magma")
    ax.set(title=f"{name}: {float(u(0.0, 0.0)):.3f}", aspect="equal")
fig.colorbar(image, ax=axes, shrink=0.8)
dyda = gamma(1) / (2**order * gamma(1 + order / 2) * gamma(1 + order / 2))
print(f"disc: Dyda's form is met to {abs(panels['disc'](0.0, 0.0) - dyda):.0e}")
plt.show()

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_thumbnail_axes = 0
