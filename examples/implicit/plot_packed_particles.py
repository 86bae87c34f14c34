"""
How a packing of particles responds to their size
=================================================

Soft disks of two sizes in a periodic box relax to a state of least energy. How do all of them move if the
small ones grow a little? A derivative through the thousands of steps of the relaxation would blow up; the
implicit one is a linear solve with the Hessian at the end.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import scipy.optimize
from matplotlib.patches import Circle

from numsolve.implicit import differentiable

jax.config.update("jax_enable_x64", True)
n = 64
large = np.arange(n) % 2
# without overlaps the disks would fill 95 per cent of the area
box = np.sqrt(n * np.pi * (0.5**2 + 0.7**2) / 2 / 0.95)
pairs = np.triu_indices(n, 1)


def energy(x, diameter, xp=jnp):
    """Of the overlaps: a power of 5/2, smooth enough for a Hessian."""
    radii = diameter / 2 * (1 + 0.4 * large)  # the large ones are 1.4 times as wide
    apart = x.reshape(n, 2)[pairs[0]] - x.reshape(n, 2)[pairs[1]]
    apart = apart - box * xp.round(apart / box)
    distance = xp.sqrt((apart**2).sum(axis=1))
    touch = radii[pairs[0]] + radii[pairs[1]]
    return (xp.maximum(0.0, 1 - distance / touch) ** 2.5).sum()


# %%
# The relaxation is SciPy's L-BFGS on NumPy arrays, and a few steps of Levenberg and Marquardt that take the
# forces down to rounding. To stay within NumPy they are written by hand. The Hessian has two zero modes, as
# the whole packing may drift: the linear solve takes the solution of least norm, which does not.


def forces(x, diameter):
    """Minus the forces: the gradient of the energy."""
    radii = diameter / 2 * (1 + 0.4 * large)
    apart = x.reshape(n, 2)[pairs[0]] - x.reshape(n, 2)[pairs[1]]
    apart -= box * np.round(apart / box)
    distance = np.sqrt((apart**2).sum(axis=1))
    touch = radii[pairs[0]] + radii[pairs[1]]
    pull = -2.5 * np.maximum(0.0, 1 - distance / touch) ** 1.5 / touch / distance
    out = np.zeros((n, 2))
    np.add.at(out, pairs[0], pull[:, None] * apart)
    np.subtract.at(out, pairs[1], pull[:, None] * apart)
    return out.ravel()


def relax(x, diameter):
    """The packing that the relaxation finds."""
    settings = {
        "maxiter": 20_000,
        "maxfun": 40_000,
        "ftol": 0.0,
        "gtol": 1e-10,
        "maxcor": 30,
    }
    found = scipy.optimize.minimize(
        lambda x: energy(x, diameter, np),
        x,
        jac=lambda x: forces(x, diameter),
        method="L-BFGS-B",
        options=settings,
    )
    return scipy.optimize.root(
        lambda x: forces(x, diameter), found.x, method="lm", tol=1e-15
    )


packing = differentiable(relax, jax.grad(energy), symmetric=True, solve="dense")

# %%
# A start at random, relaxed; then the derivative of all 128 coordinates in the diameter, in forward mode.

start = jnp.asarray(relax(np.random.default_rng(3).uniform(0, box, 2 * n), 1.0).x)
x, motion = jax.jvp(
    lambda d: packing(start, d), (jnp.asarray(1.0),), (jnp.asarray(1.0),)
)

h = 1e-6
centred = [np.asarray(packing(start, 1.0 + s)) for s in (h, -h)]
reference = ((centred[0] - centred[1]) / (2 * h)).reshape(n, 2)
reference -= reference.mean(axis=0)  # the drift is not determined
error = np.abs(reference - motion.reshape(n, 2)).max() / np.abs(reference).max()
print(f"central differences of the whole relaxation agree to {error:.1e}")

# %%
# The arrows are the velocities, scaled for the eye; the colours have their size.

positions, velocities = (
    np.asarray(x).reshape(n, 2) % box,
    np.asarray(motion).reshape(n, 2),
)
speed = np.linalg.norm(velocities, axis=1)
fig, ax = plt.subplots(figsize=(6.4, 5.6), layout="constrained")
for shift in [(a * box, b * box) for a in (-1, 0, 1) for b in (-1, 0, 1)]:
    for point, big in zip(positions + shift, large, strict=True):
        ax.add_patch(Circle(point, 0.5 + 0.2 * big, facecolor="0.92", edgecolor="0.6"))
arrows = ax.quiver(
    *positions.T,
    *velocities.T,
    speed,
    cmap="plasma",
    angles="xy",
    scale_units="xy",
    scale=2.5 * speed.max() / 3,
    width=0.006,
)
fig.colorbar(arrows, ax=ax, label="|dx / d diameter|")
ax.set(xlim=(0, box), ylim=(0, box), aspect="equal", xlabel="x", ylabel="y")
ax.set_title("how the disks move when all of them grow")
plt.show()

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 0
