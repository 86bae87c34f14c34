"""
Quickstart: the colours of one photograph on another
====================================================

Entropic optimal transport finds the cheapest way to turn one cloud of points into another. Here the
points are colours: those of a Chinese temple and those of a flower. The plan says which colour of the
flower each colour of the temple becomes, and the picture is repainted accordingly.

The regularisation is small, because a large one washes the colours out. The Sinkhorn iteration then needs
thousands of sweeps; numsolve's default, a Newton method, needs a dozen steps.
"""

import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images

from numsolve import ConvergenceWarning, transport

# %%
# Two photographs, and 1000 pixels drawn from each, as points in the RGB cube.

temple, flower = (image / 255.0 for image in load_sample_images().images)
rng = np.random.default_rng(0)
X = temple.reshape(-1, 3)[rng.choice(temple.size // 3, 1000, replace=False)]
Y = flower.reshape(-1, 3)[rng.choice(flower.size // 3, 1000, replace=False)]
M = ((X[:, None, :] - Y[None, :, :]) ** 2).sum(axis=2)

# %%
# One call. No weights are given, so all pixels weigh the same. The regularisation `reg` is in the unit
# of the cost, and there is nothing else to choose.

reg = 5e-4 * M.max()
newton = transport.solve(M, reg=reg)
print(newton)

# %%
# The Sinkhorn iteration solves the same problem, with over-relaxation (the default in numsolve) or without.
# A run that does not finish warns; that is expected here.

a = b = np.full(1000, 1 / 1000)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    relaxed = transport.sinkhorn(a, b, M, reg, maxiter=10_000)
    plain = transport.sinkhorn(a, b, M, reg, overrelaxation=1, maxiter=10_000)

# %%
# Side by side: the steps until the error falls below a level for good. The error is the sum of what is
# missing and what is too much, over all rows and columns of the plan. Newton's method comes to `reg` from
# above, in stages; the stages before the last are counted. (Such a step costs about as much as a few sweeps.)

print(f"{'error below':>12} {'Newton':>14} {'Sinkhorn, relaxed':>20} {'Sinkhorn':>14}")
for level in 10.0 ** np.arange(-1, -10, -2):
    row = f"{level:12.0e}"
    for result, width in ((newton, 14), (relaxed, 20), (plain, 14)):
        above = np.flatnonzero(result.history.residual > level)
        k = above[-1] + 1 if above.size else 0
        reached = k < len(result.history)
        row += f" {result.history.iteration[k] if reached else 'not reached':>{width}}"
    print(row)

# %%
# The plan moves each of the 1000 sampled colours to the mean of its targets. All the other pixels follow
# by the same formula, with the potential g of the solution: a weighted mean of the flower's colours.


def repaint(pixels: np.ndarray) -> np.ndarray:
    """Move colours along the entropic map of the solution."""
    _, g = newton.potentials
    exponent = (g - ((pixels[:, None, :] - Y[None, :, :]) ** 2).sum(axis=2)) / reg
    weights = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    return weights @ Y / weights.sum(axis=1, keepdims=True)


# Each colour of the picture is moved once, however many pixels have it.
shades, which = np.unique(temple.reshape(-1, 3), axis=0, return_inverse=True)
moved = np.concatenate(
    [repaint(part) for part in np.array_split(shades, 1 + len(shades) // 1000)]
)
repainted = np.clip(moved[which.ravel()], 0, 1).reshape(temple.shape)

fig, axes = plt.subplots(2, 3, figsize=(12, 6.6), layout="constrained")
for ax, image, title in zip(
    axes[0],
    (temple, flower, repainted),
    ("the picture", "the colours", "repainted"),
    strict=True,
):
    ax.imshow(image)
    ax.set_title(title)
    ax.set_axis_off()
for ax, points, title in zip(
    axes[1], (X, Y), ("1000 colours of the picture", "1000 of the flower"), strict=False
):
    ax.scatter(points[:, 0], points[:, 2], c=points, s=12)
    ax.set(
        title=title, xlabel="red", ylabel="blue", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02)
    )
newton.plot(axes[1, 2], what="convergence", label="Newton")
relaxed.plot(axes[1, 2], what="convergence", label="Sinkhorn, relaxed")
plain.plot(axes[1, 2], what="convergence", label="Sinkhorn")
axes[1, 2].set(
    title="convergence", xscale="symlog", xlabel="steps", ylabel="marginal error"
)
axes[1, 2].set(xlim=(0, 10_000))
axes[1, 2].legend(loc="lower center")

picture = Path("quickstart.png").resolve()
fig.savefig(picture, dpi=110)
print(f"the picture is in {picture}")
plt.show()

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = [0, 2]
