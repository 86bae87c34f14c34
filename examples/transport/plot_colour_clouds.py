"""
The colours of one picture for another: clouds of pixels
========================================================

A picture is a cloud of points in the space of colours. Transport between two such clouds gives one picture
the colours of the other, and a regularisation of a few grey levels keeps neighbouring colours together. Each
cloud has 17 120 points; the matrix of costs between them would take gigabytes and is never formed.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images

from numsolve import transport

# %%
# Two photographs that come with scikit-learn, a temple and a flower, and every fourth pixel of each in both
# directions: 17 120 colours, as points in the unit cube.

temple, flower = (image[::4, ::4] / 255.0 for image in load_sample_images().images)
X, Y = temple.reshape(-1, 3), flower.reshape(-1, 3)
gigabytes = 8 * len(X) * len(Y) / 1e9
print(f"{len(X)} and {len(Y)} points; their costs would take {gigabytes:.1f} GB")

# %%
# One call. The plan comes back as an operator; `barycentric_map` sends each colour to the mean of its
# targets. The other direction is a product with the transposed plan.

result = transport.solve_sample(X, Y, reg=2e-3, tol=1e-3)
print(f"marginal error {result.marginal_error:.0e} after {result.nit} iterations")
print(
    f"exact transport costs between {result.bounds[0]:.5f} and {result.bounds[1]:.5f}"
)

recoloured = result.barycentric_map(Y).reshape(temple.shape)
moved = result.plan.T @ np.column_stack([X, np.ones(len(X))])
other_way = (moved[:, :3] / moved[:, 3:]).reshape(flower.shape)

fig, axes = plt.subplots(2, 2, figsize=(9, 6.2), layout="constrained")
pictures = (temple, flower, recoloured, other_way)
titles = (
    "temple",
    "flower",
    "temple in the colours of the flower",
    "flower in the colours of the temple",
)
for ax, picture, title in zip(axes.flat, pictures, titles, strict=True):
    ax.imshow(np.clip(picture, 0, 1))
    ax.set_title(title)
    ax.set_axis_off()

# %%
# The clouds themselves: red against blue, each point in its own colour, before and after.

fig, axes = plt.subplots(1, 3, figsize=(11, 4.4), layout="constrained", sharey=True)
clouds = (
    (X, X, "temple"),
    (recoloured.reshape(-1, 3), X, "where its points go"),
    (Y, Y, "flower"),
)
for ax, (points, colours, title) in zip(axes, clouds, strict=True):
    ax.scatter(points[:, 0], points[:, 2], s=2, c=np.clip(colours, 0, 1), linewidths=0)
    ax.set(
        title=title,
        xlabel="red",
        aspect="equal",
        xlim=(0, 1),
        ylim=(0, 1),
        facecolor="0.9",
    )
axes[0].set_ylabel("blue")

# %%
# The solve went from coarse clouds at a large regularisation to the full clouds, and only the last steps see
# all points. The error jumps whenever the regularisation becomes smaller or the clouds finer.

history = result.history
fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
drawn = ax.scatter(
    history.iteration,
    history.residual,
    c=np.log10(history.points),
    cmap="viridis",
    zorder=2,
)
ax.plot(history.iteration, history.residual, color="0.8", zorder=1)
ax.set(
    yscale="log",
    xlabel="iteration",
    ylabel="marginal error",
    title="from coarse to fine",
)
fig.colorbar(drawn, ax=ax, label="points at work (power of ten)")
plt.show()

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = [0, 2]
