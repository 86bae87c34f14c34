"""Directions of patches in three thousand dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from numsolve import special
from stop import Judgement, Stop, canvas, quietly

SIDE = 32


def patches() -> np.ndarray:
    """All patches of a flower's photograph, of shape (n, 32, 32, 3)."""
    from sklearn.datasets import load_sample_image

    picture = load_sample_image("flower.jpg")[: 13 * SIDE] / 255.0
    parts = picture.reshape(13, SIDE, 20, SIDE, 3).transpose(0, 2, 1, 3, 4)
    return parts.reshape(-1, SIDE, SIDE, 3)


def load() -> dict[str, Any]:
    """Their directions, seen from the mean patch."""
    X = patches().reshape(260, -1)
    X = X - X.mean(axis=0)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    # those that point to the side of the first one, as a group of one kind
    return {"X": X[X @ X[0] > 0]}


def ours(X: np.ndarray) -> Any:
    """By Newton's method on the logarithm."""
    # X has a direction in each row: a unit vector of 3072 numbers
    result = special.vmf_fit(X)
    return result


def theirs(X: np.ndarray) -> float:
    """By SciPy's fit."""
    from scipy.stats import vonmises_fisher

    with np.errstate(all="ignore"):
        return float(quietly(vonmises_fisher.fit)(X)[1])


def judge(data: dict[str, Any], ours: Any, theirs: Any) -> Judgement:
    """By mpmath: I_{d/2}(kappa) / I_{d/2-1}(kappa) is the length of the mean."""
    import mpmath

    d = data["X"].shape[1]
    R = float(np.linalg.norm(data["X"].mean(axis=0)))

    def error(kappa: float) -> float:
        with mpmath.workdps(40):
            top, below = (mpmath.besseli(v, kappa) for v in (d / 2, d / 2 - 1))
            return float(abs(top / below - R) / R)

    return Judgement(
        "error of the mean length, by mpmath",
        f"{error(ours.kappa):.0e}",
        f"{error(theirs):.0e}",
        good=error(ours.kappa) < 1e-12,
        usable=error(theirs) < 0.1,
    )


def draw(data: dict[str, Any], ours: Any, theirs: Any) -> Any:
    """Some patches in the order of their angle to the mean direction."""
    X = patches().reshape(260, -1)
    centred = X - X.mean(axis=0)
    cosines = centred @ ours.mu / np.linalg.norm(centred, axis=1)
    order = np.argsort(-cosines)
    figure, axes = canvas(2, 10, figsize=(10, 2.4))
    for place, k in enumerate(np.r_[order[:10], order[-10:]]):
        ax = axes[place // 10, place % 10]
        ax.imshow(patches()[k])
        ax.set_title(f"{cosines[k]:+.2f}", fontsize=8)
        ax.set_axis_off()
    return figure


STOP = Stop(
    title="Directions in three thousand dimensions",
    solved="The von Mises-Fisher distribution of the directions of similar patches of a "
    "photograph: its concentration solves an equation of Bessel functions of order 1535.",
    words="The patches closest to the mean direction and the farthest from it, with the "
    "cosine of their angle. Such Bessel functions leave the range of floats; their "
    "logarithms do not.",
    size="3072 dimensions",
    peer="SciPy, vonmises_fisher.fit",
    load=load,
    ours=ours,
    theirs=theirs,
    judge=judge,
    draw=draw,
)
