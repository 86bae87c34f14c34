"""
Points that flow to a shape: the gradient of the Sinkhorn divergence
====================================================================

Two thousand points start as a disc and move downhill on their Sinkhorn divergence to a target shape. The
gradient comes with the solution: it is one more pass over the pairs of points, and no solver is unrolled.
The divergence, unlike the regularised transport cost, is smallest where the two clouds agree.
"""

import matplotlib.pyplot as plt
import numpy as np

from numsolve import transport

# %%
# The target: points on a five-fold rose, the start: a disc beside it.

rng = np.random.default_rng(0)
n = 2000
angle = rng.uniform(0, 2 * np.pi, n)
radius = 0.55 + 0.3 * np.cos(5 * angle)
target = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
target += 0.02 * rng.normal(size=target.shape)

disc = np.sqrt(rng.random(n)) * 0.3
turn = rng.uniform(0, 2 * np.pi, n)
points = np.column_stack([disc * np.cos(turn) - 0.6, disc * np.sin(turn) + 0.5])
colours = turn

# %%
# Gradient descent. With weights ``1/n`` the derivative in a point is its force divided by n, so a step of
# ``n / 2`` times the gradient moves each point the whole way to its target; three tenths of that is smoother.

frames, values = [points.copy()], []
for _ in range(15):
    result = transport.sinkhorn_divergence(points, target, reg=0.002, tol=1e-4)
    values.append(result.value)
    points = points - 0.3 * (n / 2) * result.gradient().X_a
    frames.append(points.copy())

print(f"divergence {values[0]:.4f} -> {values[-1]:.1e} in {len(values)} steps")

# %%
# The colour of a point is its direction in the disc: neighbours stay neighbours, because optimal plans
# do not cross.

shown = [0, 2, 4, 15]
fig, axes = plt.subplots(
    1, 4, figsize=(13, 3.6), layout="constrained", sharex=True, sharey=True
)
for ax, k in zip(axes, shown, strict=True):
    ax.scatter(*target.T, s=1, color="lightgrey")
    ax.scatter(*frames[k].T, s=3, c=colours, cmap="hsv")
    ax.set(
        title=f"after {k} steps" if k else "start", aspect="equal", xticks=[], yticks=[]
    )

# %%
# The value falls geometrically until the clouds agree up to the width of the regularisation.

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.semilogy(values, marker="o")
ax.set(xlabel="step", ylabel="Sinkhorn divergence")
plt.show()

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 2
