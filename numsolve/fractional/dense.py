r"""Collocation on any mesh by a dense matrix: the derivatives of each B-spline, one by one, and LU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._settings import keep_time
from .bspline import piece, riesz_constant

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from numsolve._core.limits import Limits

    Array = NDArray[np.float64]

#: Unknowns for which a dense matrix is still reasonable: 128 MB.
MOST_UNKNOWNS = 4000


def dense_matrix(
    knots: Array,
    points: Array,
    p: int,
    alpha: float,
    weights: tuple[float, float],
    definition: str,
    limits: Limits | None = None,
) -> Array:
    """Values of ``R N_j`` at the points, for the inner B-splines with these knots, clamped at both ends."""
    caputo = definition == "caputo"
    left_weight, right_weight = (2 * riesz_constant(alpha) * w for w in weights)
    count = knots.size - p - 3
    A = np.zeros((points.size, count))
    for j in range(count):
        keep_time(limits)
        N = piece(knots[j + 1 : j + p + 3].tolist())
        if left_weight:
            A[:, j] += left_weight * N.derivative(points, alpha, caputo=caputo)
        if right_weight:
            start, end = N.breaks[[0, -1]]
            A[:, j] += right_weight * N.mirrored.derivative(start + (end - points), alpha, caputo=caputo)
    return A
