"""
Differentiate a SciPy solver in five lines
==========================================

A chain of springs hangs between two nails. SciPy finds its shape. Which stiffness must each spring have so
that the chain follows a given curve? To answer this one needs the derivative of SciPy's solution.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import scipy.optimize

from numsolve.implicit import differentiable

jax.config.update("jax_enable_x64", True)
nails = np.array([[0.0, 0.0], [1.0, 0.0]])
n = 40


def forces(x, log_stiffness, xp=jnp):
    """Of gravity and springs on the inner points; springs of length zero at rest."""
    points = xp.concatenate([nails[:1], x.reshape(-1, 2), nails[1:]])
    pull = 10 * xp.exp(log_stiffness)[:, None] * (points[1:] - points[:-1])
    length = ((points[1:] - points[:-1]) ** 2).sum(axis=1, keepdims=True)
    pull = pull * (1 + 200 * length)  # they stiffen as they stretch
    return (pull[1:] - pull[:-1] - xp.array([0.0, 0.05])).ravel()


# %%
# The five lines. ``solve`` is plain SciPy and NumPy; ``forces`` vanish at its solution, and JAX traces them.


def solve(x, log_stiffness):
    """SciPy finds the shape."""
    return scipy.optimize.root(
        forces, x, args=(log_stiffness, np), method="krylov", tol=1e-10
    )


shape = differentiable(solve, forces, symmetric=True)

# %%
# Now ``shape`` is a JAX function. We ask for a chain that hangs lower on the left, and pass the gradient to
# another solver of SciPy, which calls the first one in each of its steps.

straight = jnp.stack([jnp.linspace(0, 1, n + 2)[1:-1], jnp.zeros(n)], axis=1).ravel()
x = np.linspace(0, 1, 200)
target = -0.6 * x * (1 - x) * (2 - x)


@jax.jit
@jax.value_and_grad
def misfit(log_stiffness):
    """The distance from the wanted curve."""
    points = shape(straight, log_stiffness).reshape(-1, 2)
    miss = points[:, 1] - jnp.interp(points[:, 0], x, target)
    return 1e3 * (miss**2).mean() + 0.3 * (log_stiffness**2).mean()


start = np.zeros(n + 1)
fit = scipy.optimize.minimize(
    misfit, start, jac=True, method="L-BFGS-B", options={"maxiter": 40}
)
print(f"misfit {misfit(start)[0]:.2e} -> {fit.fun:.2e} in {fit.nfev} gradients")

# %%
# The colours are the stiffness that was found.

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(x, target, color="0.7", linewidth=6, label="wanted")
for log_stiffness, label, marker in (
    (start, "equal springs", "."),
    (fit.x, "fitted springs", "o"),
):
    points = np.concatenate(
        [nails[:1], shape(straight, log_stiffness).reshape(-1, 2), nails[1:]]
    )
    ax.plot(*points.T, color="0.4", linewidth=0.8, zorder=2)
    colours = (
        log_stiffness if label.startswith("fitted") else np.zeros_like(log_stiffness)
    )
    middles = (points[1:] + points[:-1]) / 2
    dots = ax.scatter(
        *middles.T,
        c=np.exp(colours),
        marker=marker,
        cmap="viridis",
        zorder=3,
        label=label,
        norm="log",
        vmin=np.exp(fit.x.min()),
        vmax=np.exp(fit.x.max()),
        s=26,
    )
fig.colorbar(dots, ax=ax, label="stiffness (relative)")
ax.set(xlabel="x", ylabel="height")
ax.legend(loc="lower right")
plt.show()

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 0
