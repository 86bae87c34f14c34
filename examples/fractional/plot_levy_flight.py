"""
Lévy flights beside Brownian motion: a movie
============================================

A tracer in a porous medium, a plasma, a foraging albatross: where single steps can be very long, a cloud
does not spread as the heat equation predicts. Its density follows
``du/dt = -kappa (-Delta)^(alpha/2) u``, and what leaves the domain does not come back.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation

from numsolve.fractional import solve_fractional_diffusion, solve_riesz_2d

# %%
# A narrow cloud in the middle of (-1, 1), once with alpha = 2 and twice with less.


def cloud(x):
    """Evaluate a narrow Gaussian of mass one."""
    return np.exp(-((x / 0.04) ** 2) / 2) / (0.04 * np.sqrt(2 * np.pi))


alphas = (2.0, 1.6, 1.2)
t = np.r_[0.0, np.geomspace(2e-3, 0.4, 20)]
settings = {"interval": (-1, 1), "n": 400, "p": 3, "dt": 1e-3, "t_eval": t}
runs = {
    alpha: solve_fractional_diffusion(cloud, alpha, (0, 0.4), **settings)
    for alpha in alphas
}
x = np.linspace(-1, 1, 801)
states = {alpha: run(x) for alpha, run in runs.items()}

# %%
# The movie, on a logarithmic scale. Brownian motion has a front, ahead of which there is next to nothing.
# Lévy flights have no front: there is tracer everywhere from the first moment on.

fig, ax = plt.subplots(figsize=(7, 4), dpi=72, layout="constrained")
lines = [
    ax.semilogy(x, np.maximum(states[alpha][0], 1e-9), label=f"alpha = {alpha}")[0]
    for alpha in alphas
]
ax.set(xlabel="x", ylabel="density", ylim=(1e-6, 20))
ax.minorticks_off()
ax.legend(loc="upper right")
clock = ax.text(0.03, 0.93, "", transform=ax.transAxes)


def frame(k):
    """Show the state at the k-th time."""
    for line, alpha in zip(lines, alphas, strict=True):
        line.set_ydata(np.maximum(states[alpha][k], 1e-9))
    clock.set_text(f"t = {t[k]:.4f}")
    return [*lines, clock]


movie = FuncAnimation(fig, frame, frames=t.size, interval=120, blit=True)
fig.canvas.draw()  # a movie starts with the first drawing of its figure,
fig.set_layout_engine("none")  # and needs no new layout for each of the others

# %%
# The same as pictures: four moments, and the mass that is left in the domain. At first the flights lose more
# mass, through their long jumps; later Brownian motion does, since the smallest eigenvalue of its operator is
# larger.

fig, axes = plt.subplots(1, 5, figsize=(14, 3.8), layout="constrained")
for ax, moment in zip(axes, (0.003, 0.01, 0.05, 0.3), strict=False):
    k = int(np.argmin(abs(t - moment)))
    for alpha in alphas:
        ax.semilogy(x, np.maximum(states[alpha][k], 1e-9), label=f"alpha = {alpha}")
    ax.set(title=f"t = {t[k]:.3f}", xlabel="x", ylim=(1e-6, 20))
axes[0].set_ylabel("density")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
for alpha in alphas:
    axes[4].plot(t, np.trapezoid(states[alpha], x, axis=1))
axes[4].set(title="mass left", xlabel="t", ylim=(0, 1.05))

# %%
# In the plane, flights whose jumps follow the axes: Brownian in x, with index 1.2 in y. The picture is the
# mean time until they leave a rectangle, ``-T_xx + (-d^2/dy^2)^0.6 T = 1``.

T = solve_riesz_2d(1.0, (2.0, 1.2), interval=((0, 2), (0, 1)), n=(120, 60))
print(
    f"{T.method}: residual {T.residual:.1e}, T in the middle {float(T(1.0, 0.5)):.4f}"
)
fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
T.plot(ax, cmap="magma")
ax.set_title("mean time until the flight leaves")
plt.show()

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_thumbnail_axes = 1
