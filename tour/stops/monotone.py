"""The best way across a photograph, as a linear program."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from numsolve import monotone
from stop import Judgement, Stop, canvas

DISCOUNT, SURE = 0.9, 0.85
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))


def photograph() -> np.ndarray:
    """Every twelfth pixel of a temple before the sky."""
    from sklearn.datasets import load_sample_image

    return load_sample_image("china.jpg")[6::12, 6::12] / 255.0


def load() -> dict[str, Any]:
    """A walker pays for darkness; a step goes astray in 15 of 100 cases."""
    dark = 1 - photograph().mean(axis=2)
    shape, n = dark.shape, dark.size
    here = np.arange(n)
    reached = []
    for move in MOVES:
        at = [
            np.clip(i + m, 0, size - 1)
            for i, m, size in zip(np.indices(shape), move, shape, strict=True)
        ]
        there = np.ravel_multi_index(at, shape).ravel()
        reached.append(sp.csr_array((np.ones(n), (here, there)), shape=(n, n)))
    mean = sum(reached) / 4
    P = [SURE * step + (1 - SURE) * mean for step in reached]
    cost = (0.05 + dark**2).ravel()
    goal = np.ravel_multi_index((shape[0] // 2, shape[1] - 2), shape)
    free = sp.diags_array((here != goal).astype(float))
    A = sp.vstack(
        [sp.eye_array(n) - DISCOUNT * (free @ step) for step in P], format="csr"
    )
    return {"A": A, "cost": np.where(here == goal, 0.0, cost)}


def ours(A: sp.csr_array, cost: np.ndarray) -> Any:
    """By restarted PDHG."""
    # the value of each pixel: the largest v with v <= cost + discount * P v for each move
    n = A.shape[1]
    none, free = np.full(4 * n, -np.inf), np.full(n, np.inf)
    result = monotone.solve_lp(-np.ones(n), A, none, np.tile(cost, 4), -free, free)
    return result


def theirs(A: sp.csr_array, cost: np.ndarray) -> Any:
    """By HiGHS, which picks its method."""
    from scipy.optimize import linprog

    n = A.shape[1]
    bounds = (None, None)
    return linprog(-np.ones(n), A_ub=A, b_ub=np.tile(cost, 4), bounds=bounds).x


def exact(A: sp.csr_array, cost: np.ndarray) -> np.ndarray:
    """By the contraction itself, to rounding."""
    n = A.shape[1]
    P = sp.vstack([sp.eye_array(n)] * 4, format="csr") - A
    v = np.zeros(n)
    for _ in range(1500):
        v = cost + (P @ v).reshape(4, n).min(axis=0)
    return v


def judge(data: dict[str, Any], ours: Any, theirs: Any) -> Judgement:
    """By value iteration."""
    v = exact(**data)

    def error(x: np.ndarray) -> float:
        return float(np.linalg.norm(x - v) / np.linalg.norm(v))

    return Judgement(
        "error beside value iteration",
        f"{error(ours.x):.0e}",
        f"{error(theirs):.0e}",
        bool(error(ours.x) < 1e-4),
    )


def draw(data: dict[str, Any], ours: Any, theirs: Any) -> Any:
    """What a start costs, and the paths from some starts."""
    picture = photograph()
    value = ours.x.reshape(picture.shape[:2])
    figure, (left, right) = canvas(1, 2, figsize=(11, 3.6))
    left.imshow(picture)
    left.set_title("the ground, and the best ways")
    shown = right.imshow(value, cmap="viridis")
    right.set_title("what each start will cost")
    figure.colorbar(shown, ax=right)
    for start in [(1, 1), (13, 1), (25, 2), (33, 8), (33, 30), (2, 28), (20, 18)]:
        way = [np.array(start)]
        for _ in range(250):
            options = [
                np.clip(way[-1] + m, 0, np.array(value.shape) - 1) for m in MOVES
            ]
            way.append(min(options, key=lambda at: value[tuple(at)]))
        left.plot(*np.array(way).T[::-1], color="#ffd43b", linewidth=1.4)
        left.plot(start[1], start[0], "o", color="#ffd43b", markersize=4)
    for ax in (left, right):
        ax.set_axis_off()
    return figure


STOP = Stop(
    title="The best way across a photograph",
    solved="A walker who pays for dark ground and strays now and then: the value of each "
    "pixel is the solution of one linear program.",
    words="Restarted PDHG only multiplies with the matrix, so it is for large programs "
    "and six digits. HiGHS gives a vertex to twelve, and is faster on most programs of a "
    "few thousand rows: the benchmark tables and the guide tell.",
    size="7 632 × 1 908 program",
    peer="SciPy, linprog (HiGHS)",
    load=load,
    ours=ours,
    theirs=theirs,
    judge=judge,
    draw=draw,
)
