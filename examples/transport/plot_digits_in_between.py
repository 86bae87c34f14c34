"""
Digits in between: displacement interpolation
=============================================

A plan between two images moves ink. Stopped half-way, it shows an image in between: this is how
transport interpolates shapes, where averaging the pixels would only fade one into the other.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

from numsolve import transport
from numsolve.transport import problems

# %%
# Four handwritten digits of 8 x 8 pixels, drawn larger and with sharp edges, each with a total ink of one.
# Most pixels have no ink: zero weights need no special care, and make the problem smaller.

digits = load_digits()
side = 50


def enlarge(image: np.ndarray) -> np.ndarray:
    """Interpolate by cubic splines, with a margin, and make the edges sharp."""
    smooth = zoom(np.pad(image, 1), side / 10, order=3)
    ink = np.clip((smooth - 5) / 4, 0, 1)
    return ink / ink.sum()


images = [
    enlarge(digits.images[np.flatnonzero(digits.target == k)[0]]) for k in (0, 4, 7, 2)
]

# %%
# The cost is the squared distance of the pixels, scaled to a largest entry of one. The regularisation, a
# two-thousandth of that, spreads the ink of a pixel over a few: the pictures in between have no cracks.

M = problems.grid_cost((side, side), p=2)
row, column = (axis.ravel() for axis in np.indices((side, side)))


def between(plan: np.ndarray, s: float) -> np.ndarray:
    """Move the ink a fraction s of its way, onto the pixels by bilinear weights."""
    i, j = np.nonzero(plan > 1e-9)
    ink = plan[i, j]
    y = (1 - s) * row[i] + s * row[j]
    x = (1 - s) * column[i] + s * column[j]
    y0, x0 = np.minimum(y.astype(int), side - 2), np.minimum(x.astype(int), side - 2)
    image = np.zeros((side, side))
    for dy in (0, 1):
        for dx in (0, 1):
            share = np.abs(1 - dy - (y - y0)) * np.abs(1 - dx - (x - x0))
            np.add.at(image, (y0 + dy, x0 + dx), ink * share)
    return image


steps = np.linspace(0, 1, 7)
fig, axes = plt.subplots(3, len(steps), figsize=(11, 5), layout="constrained")
for axis_row, source, target in zip(axes, images[:-1], images[1:], strict=True):
    result = transport.solve(M, source.ravel(), target.ravel(), reg=5e-4)
    newton, cost = result.nnewton, result.value_linear
    print(f"{newton} Newton steps, error {result.marginal_error:.1e}, cost {cost:.6f}")
    for ax, s in zip(axis_row, steps, strict=True):
        ax.imshow(between(result.plan, s), cmap="bone_r")
        ax.set_axis_off()
        if axis_row is axes[0]:
            ax.set_title(f"{s:.2f}")

# %%
# The two potentials are the prices of ink: what one more unit at a pixel of the source, or of the target,
# would cost. They are the gradient of the transport cost with respect to the images.

f, g = (potential.reshape(side, side) for potential in result.potentials)
fig, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
axes[0].imshow(np.where(np.isfinite(f), f, np.nan), cmap="coolwarm")
axes[0].set_title("potential of the source")
axes[1].imshow(np.where(np.isfinite(g), g, np.nan), cmap="coolwarm")
axes[1].set_title("potential of the target")
for ax in axes[:2]:
    ax.set_axis_off()
result.plot(axes[2], what="convergence")
axes[2].set_title("convergence")
plt.show()

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = [0, 2, 4, 6]
