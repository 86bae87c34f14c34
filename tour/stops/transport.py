"""The colours of one photograph on another."""

from __future__ import annotations

from typing import Any

import numpy as np

from numsolve import transport
from stop import Judgement, Stop, canvas

POINTS = 800


def load() -> dict[str, Any]:
    """Colours of a temple and of a flower, as points in the cube of colours."""
    X, Y = (
        image.reshape(-1, 3)[np.random.default_rng(k).choice(image.size // 3, POINTS)]
        for k, image in enumerate(photographs())
    )
    return {"temple": X, "flower": Y}


def photographs() -> list[np.ndarray]:
    """Two photographs that come with scikit-learn."""
    from sklearn.datasets import load_sample_images

    return [image[::2, ::2] / 255.0 for image in load_sample_images().images]


def ours(temple: np.ndarray, flower: np.ndarray) -> Any:
    """By Newton's method."""
    # 800 colours (red, green, blue) of each picture, and how far they are apart
    M = ((temple[:, None] - flower[None]) ** 2).sum(axis=2)
    result = transport.solve(M, reg=3e-3 * M.max(), tol=1e-7)
    return result


def theirs(temple: np.ndarray, flower: np.ndarray) -> np.ndarray:
    """By the Sinkhorn iteration, to the same tolerance."""
    import ot

    M = ((temple[:, None] - flower[None]) ** 2).sum(axis=2)
    a = b = np.full(POINTS, 1 / POINTS)
    return ot.sinkhorn(a, b, M, 3e-3 * M.max(), numItermax=10_000, stopThr=1e-7)


def judge(data: dict[str, Any], ours: Any, theirs: Any) -> Judgement:
    """By the sums of rows and columns, and the two plans beside each other."""

    def error(plan: np.ndarray) -> float:
        return max(abs(plan.sum(axis=k) - 1 / POINTS).sum() for k in (0, 1))

    good = error(ours.plan) < 2e-7
    if theirs is None:
        return Judgement("error of the marginals", f"{error(ours.plan):.0e}", "", good)
    good &= abs(ours.plan - theirs).sum() < 1e-4
    return Judgement(
        "error of the marginals",
        f"{error(ours.plan):.0e}",
        f"{error(theirs):.0e}",
        good,
    )


def draw(data: dict[str, Any], ours: Any, theirs: Any) -> Any:
    """The temple, the flower, and the temple in the colours of the flower."""
    temple, flower = photographs()
    moved = ours.barycentric_map(data["flower"])
    # the other pixels move as the nearest of the 800 does
    from scipy.spatial import cKDTree

    distance, near = cKDTree(data["temple"]).query(temple.reshape(-1, 3), k=8)
    weights = np.exp(-((distance / 0.03) ** 2)) + 1e-12
    weights /= weights.sum(axis=1, keepdims=True)
    shift = (moved - data["temple"])[near]
    repainted = temple.reshape(-1, 3) + (weights[:, :, None] * shift).sum(axis=1)
    figure, axes = canvas(1, 3, figsize=(11, 2.7))
    pictures = {
        "the picture": temple,
        "the colours": flower,
        "repainted": np.clip(repainted.reshape(temple.shape), 0, 1),
    }
    for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
        ax.imshow(picture)
        ax.set_title(title)
        ax.set_axis_off()
    return figure


STOP = Stop(
    title="The colours of one photograph on another",
    solved="The cheapest way to turn 800 colours of a temple into those of a "
    "flower, with an entropic blur of 0.3 % of the largest cost.",
    words="The sharper the plan has to be, the more sweeps the Sinkhorn iteration needs; "
    "Newton's method needs a few steps more. For the exact plan, without a blur, "
    "<code>ot.emd</code> of POT is as fast at this size.",
    size="800 × 800 plan",
    peer="POT, ot.sinkhorn",
    needs=("ot",),
    load=load,
    ours=ours,
    theirs=theirs,
    judge=judge,
    draw=draw,
)
