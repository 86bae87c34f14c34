"""Wind around a temple: Poisson's equation on a photograph."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from numsolve import linear
from stop import Judgement, Stop, canvas


def load() -> dict[str, Any]:
    """The dark parts of a photograph are walls; the right edge is open."""
    from scipy.ndimage import label

    grey = photograph().mean(axis=2)
    flags = np.zeros(grey.shape, dtype=int)
    # the sky, without what it does not reach
    parts, _ = label(grey > 118)
    flags[parts != parts[5, 5]] = 1
    flags[:, -1] = np.where(flags[:, -1] == 1, 1, 2)
    flow = np.zeros(grey.shape)
    flow[:, 0] = flags[:, 0] == 0
    return {"flags": flags, "inflow": flow}


def photograph() -> np.ndarray:
    """A temple before the sky, which comes with scikit-learn."""
    from sklearn.datasets import load_sample_image

    return load_sample_image("china.jpg")


def ours(flags: np.ndarray, inflow: np.ndarray) -> Any:
    """By conjugate gradients with multigrid."""
    # flags: 0 is air, 1 is wall, 2 is open; air comes in on the left
    result = linear.solve_poisson(flags, inflow, rtol=1e-8)
    return result


def matrix(flags: np.ndarray) -> sp.csc_array:
    """The five-point matrix of the air, by SciPy."""
    number = np.full(flags.shape, -1)
    number[flags == 0] = np.arange(np.sum(flags == 0))
    rows, columns, degree = [], [], np.zeros(np.sum(flags == 0))
    for a, b, there in (
        (number[1:], number[:-1], flags[:-1]),
        (number[:-1], number[1:], flags[1:]),
        (number[:, 1:], number[:, :-1], flags[:, :-1]),
        (number[:, :-1], number[:, 1:], flags[:, 1:]),
    ):
        degree[a[(a >= 0) & (there != 1)]] += 1
        both = (a >= 0) & (b >= 0)
        rows.append(a[both])
        columns.append(b[both])
    i, j = np.concatenate(rows), np.concatenate(columns)
    off = sp.coo_array((-np.ones(i.size), (i, j)), shape=(degree.size,) * 2)
    return (off + sp.diags_array(degree)).tocsc()


def theirs(flags: np.ndarray, inflow: np.ndarray) -> np.ndarray:
    """By a sparse factorisation; the matrix is made in the time, as it is in ours."""
    from scipy.sparse.linalg import splu

    lu = splu(
        matrix(flags), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}
    )
    return lu.solve(inflow[flags == 0])


def judge(data: dict[str, Any], ours: Any, theirs: Any) -> Judgement:
    """By the residual, with a matrix that is made by SciPy."""
    air = data["flags"] == 0
    A, b = matrix(data["flags"]), data["inflow"][air]

    def error(x: np.ndarray) -> float:
        return float(np.linalg.norm(A @ x - b) / np.linalg.norm(b))

    x = ours.x[air]
    good = error(x) < 2e-8 and abs(x - theirs).max() < 1e-6 * abs(theirs).max()
    return Judgement(
        "relative residual", f"{error(x):.0e}", f"{error(theirs):.0e}", good
    )


def draw(data: dict[str, Any], ours: Any, theirs: Any) -> Any:
    """Stream lines over the photograph."""
    air = data["flags"] != 1
    down, across = np.gradient(-ours.x)
    down[~air], across[~air] = np.nan, np.nan
    figure, ax = canvas(figsize=(9, 5.4))
    ax.imshow(photograph())
    y, x = np.mgrid[: air.shape[0], : air.shape[1]]
    speed = np.clip(np.hypot(across, down), 0, 3)
    lines = ax.streamplot(
        x, y, across, down, color=speed, density=2.2, linewidth=0.8, arrowsize=0.7
    )
    figure.colorbar(lines.lines, ax=ax, label="speed, of that at the left edge")
    ax.set(xlim=(0, air.shape[1] - 1), ylim=(air.shape[0] - 1, 0))
    ax.set_axis_off()
    return figure


STOP = Stop(
    title="Wind around a temple",
    solved="Poisson's equation for an ideal flow through the sky of a photograph, "
    "whose dark pixels are walls.",
    words="A cycle of multigrid that knows the walls is the preconditioner: the number "
    "of steps hardly grows with the picture. The factorisation is exact, and better for "
    "many right-hand sides on one small grid; in three dimensions it runs out of memory.",
    size="232 000 unknowns",
    peer="SciPy, splu",
    load=load,
    ours=ours,
    theirs=theirs,
    judge=judge,
    draw=draw,
)
