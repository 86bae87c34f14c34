"""A pixel from its neighbours: least squares with 200 000 rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from numsolve import sketch
from stop import Judgement, Stop, canvas

REACH = 5


def photograph() -> np.ndarray:
    """A flower, in grey."""
    from sklearn.datasets import load_sample_image

    return load_sample_image("flower.jpg").mean(axis=2) / 255.0


def load() -> dict[str, Any]:
    """Each pixel, and the 60 before it in reading order."""
    picture = photograph()
    rows, columns = picture.shape
    before = [
        (i, j)
        for i in range(-REACH, 1)
        for j in range(-REACH, REACH + 1)
        if i < 0 or j < 0
    ]
    windows = [
        picture[REACH + i : rows + i, REACH + j : columns - REACH + j].ravel()
        for i, j in before
    ]
    return {
        "neighbours": np.stack(windows, axis=1),
        "pixels": picture[REACH:, REACH : columns - REACH].ravel(),
    }


def ours(neighbours: np.ndarray, pixels: np.ndarray) -> Any:
    """By a sketch, and a step that repairs it."""
    result = sketch.lstsq(neighbours, pixels, rng=0)
    return result


def theirs(neighbours: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """By LAPACK."""
    from scipy.linalg import lstsq

    return lstsq(neighbours, pixels)[0]


def judge(data: dict[str, Any], ours: Any, theirs: Any) -> Judgement:
    """By the normal equations: the residual is orthogonal to each column."""
    A, b = data["neighbours"], data["pixels"]

    def error(x: np.ndarray) -> float:
        r = b - A @ x
        lengths = np.linalg.norm(A, axis=0) * np.linalg.norm(r)
        return float((abs(A.T @ r) / lengths).max())

    good = error(ours.x) < 1e-10 and np.allclose(ours.x, theirs, atol=1e-8)
    return Judgement(
        "cosine of residual and columns",
        f"{error(ours.x):.0e}",
        f"{error(theirs):.0e}",
        bool(good),
    )


def draw(data: dict[str, Any], ours: Any, theirs: Any) -> Any:
    """The picture, what is predicted of it, and the surprise that is left."""
    picture = photograph()
    shape = picture.shape[0] - REACH, picture.shape[1] - 2 * REACH
    predicted = (data["neighbours"] @ ours.x).reshape(shape)
    left_over = data["pixels"].reshape(shape) - predicted
    figure, axes = canvas(1, 3, figsize=(11, 2.8), width_ratios=[1, 1, 0.8])
    axes[0].imshow(picture, cmap="gray")
    axes[0].set_title("the picture")
    axes[1].imshow(left_over, cmap="PuOr", vmin=-0.08, vmax=0.08)
    axes[1].set_title("what its neighbours do not tell")
    weights = np.full((REACH + 1) * (2 * REACH + 1), np.nan)
    weights[: ours.x.size] = ours.x
    shown = axes[2].imshow(weights.reshape(REACH + 1, -1), cmap="PuOr", vmin=-1, vmax=1)
    axes[2].set_title("weight of each neighbour")
    figure.colorbar(shown, ax=axes[2], shrink=0.7)
    for ax in axes:
        ax.set_axis_off()
    return figure


STOP = Stop(
    title="A pixel from its neighbours",
    solved="The linear rule that predicts a pixel of a photograph best from the 60 "
    "before it: least squares over all pixels.",
    words="A random sketch of a few hundred rows makes the problem small, and one step "
    "with all rows repairs what it lost. The residual is what a lossless format would "
    "have to store.",
    size="266 000 × 60",
    peer="SciPy, lstsq (LAPACK)",
    load=load,
    ours=ours,
    theirs=theirs,
    judge=judge,
    draw=draw,
)
