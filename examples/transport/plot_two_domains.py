"""
A classifier that moves house
=============================

Labels exist in one domain, and the classifier is needed in another: the same two moons, seen by an instrument
that turns and shifts them. Optimal transport moves the labelled data to where the unlabelled ones are, and a
classifier that is fitted there serves the new domain. The last picture shows how far this carries: the moons
have a symmetry, and beyond some angle the nearest moon is the wrong one.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons
from sklearn.svm import SVC

from numsolve.transport import DomainAdaptation

X, y = make_moons(400, noise=0.07, random_state=0)
X -= X.mean(axis=0)


def target(degrees, shift=(0.6, 0.3)):
    """New data, turned and shifted; their labels are for the score only."""
    Xt, yt = make_moons(400, noise=0.07, random_state=1)
    turn = np.deg2rad(degrees)
    R = [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    return (Xt - Xt.mean(axis=0)) @ R + shift, yt


Xt, yt = target(30)
adaptation = DomainAdaptation(reg=0.02).fit(X, Xt=Xt)
moved = adaptation.transform(X)
before, after = SVC(C=10).fit(X, y), SVC(C=10).fit(moved, y)
print(f"right in the target: {before.score(Xt, yt):.0%} before")
print(f"{after.score(Xt, yt):.0%} after the move")
print(adaptation.result_)

# %%
# The map goes through every point of the plane, not only through the data: a grid shows where it sends the
# neighbourhood of the source. Then the classifiers of both, on the target; and their scores for all angles.

angles = np.arange(0, 181, 10)
scores = []
for angle in angles:
    Xa, ya = target(angle)
    there = SVC(C=10).fit(DomainAdaptation(reg=0.02).fit_transform(X, Xt=Xa), y)
    scores.append((before.score(Xa, ya), there.score(Xa, ya)))
scores = np.array(scores)

colours = np.array(["tab:orange", "tab:blue"])
figure, axes = plt.subplots(2, 2, figsize=(9.5, 7.4), layout="constrained")
ax = axes[0, 0]
ax.scatter(*X.T, s=9, c=colours[y], label="source")
ax.scatter(*Xt.T, s=9, c="0.75", zorder=0, label="target")
for start, end in zip(X[::8], moved[::8], strict=True):
    ax.annotate(
        "", end, start, arrowprops={"arrowstyle": "->", "lw": 0.6, "color": "0.3"}
    )
ax.set_title("source, target, and where the source goes")

ax = axes[0, 1]
low, high = X.min(axis=0) - 0.1, X.max(axis=0) + 0.1
ticks = [np.linspace(low[k], high[k], n) for k, n in ((0, 200), (1, 140))]
grid = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1)
image = adaptation.transform(grid.reshape(-1, 2)).reshape(grid.shape)
for k in range(0, 200, 8):
    ax.plot(*image[k].T, lw=0.6, color="0.5")
for k in range(0, 140, 8):
    ax.plot(*image[:, k].T, lw=0.6, color="0.5")
ax.scatter(*moved.T, s=9, c=colours[y], zorder=3)
ax.set_title("a grid around the source, moved")

ax = axes[1, 0]
low, high = Xt.min(axis=0) - 0.3, Xt.max(axis=0) + 0.3
a, b = np.meshgrid(*np.linspace(low, high, 200).T)
points = np.stack([a.ravel(), b.ravel()], axis=1)
for model, style in ((before, "--"), (after, "-")):
    score = model.decision_function(points).reshape(a.shape)
    ax.contour(a, b, score, [0.0], colors="k", linestyles=style, linewidths=1.5)
ax.scatter(*Xt.T, s=9, c=colours[yt])
ax.set_title("boundaries: dashed before, solid after")

ax = axes[1, 1]
ax.plot(angles, scores[:, 0], "--", color="k", label="fitted to the source")
ax.plot(angles, scores[:, 1], "-", color="k", label="fitted to the moved source")
ax.set(xlabel="angle in degrees", ylabel="right in the target", ylim=(0, 1.03))
ax.set(xticks=range(0, 181, 45))
ax.legend()
for ax in axes.flat[:3]:
    ax.set_aspect("equal")
    ax.set_axis_off()
# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 0
plt.show()
