"""What a cost has in common in a row or a column, which moves no mass, and where exact transport starts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays

from ._bounds import least_in_columns, pieces

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Namespace

#: The least entries of rows and columns are taken off a cost whose range falls below this share by that.
#: It is looked at from a range of so many reg on.
REDUCED, WIDE = 0.1, 1e4
#: Rounding errors of the potentials are of this size, relatively; over eps they are exponents.
UNIT = float(np.finfo(np.float64).eps)
#: The regularisation from which exact transport starts, over the lower costs by the number of points; and how
#: many rows and columns are looked at for these.
SHARP, SAMPLED = 0.5, 500


def sharp(xp: Namespace, cost: Array, low: float, span: float, points: int) -> float:
    """A regularisation that leaves some pairs of a row: a share of the lower costs over the number of points.

    Of the lower costs, as large ones may stand for forbidden pairs.
    """
    rows, columns = (slice(None, None, 1 + k // SAMPLED) for k in cost.shape)
    sample = xp.reshape(cost[rows, columns], (-1,))
    quarter = sample.shape[0] // 4
    sample = np.partition(sample, quarter) if arrays.is_numpy(xp) else xp.sort(sample)
    lower = float(sample[quarter]) - low
    if not 0.0 < lower < math.inf:
        lower = span
    return max(SHARP * lower / points, 2 * UNIT * span) if span > 0.0 else 1.0


def reduced(
    xp: Namespace, cost: Array, reg: float, low: float, high: float, *, forbidden: bool
) -> tuple[Array, Array | float, Array | float, float, float]:
    """Take off what would eat the digits of the potentials, and say what that is in each row and column.

    The least entries of the rows, then those of the columns, if hardly anything is left; else an offset that
    is large against the range. Returns the cost, both shifts, the least and the largest finite entry.
    """
    span = high - low
    if span > WIDE * reg:
        up = xp.min(cost, axis=1)
        over = least_in_columns(xp, cost, up)
        most = 0.0
        for rows in pieces(xp, cost):  # of a large cost, a copy takes longer than all else
            rest = cost[rows, ...] - up[rows, None] - over[None, :]
            rest = xp.where(xp.isfinite(rest), rest, xp.zeros_like(rest)) if forbidden else rest
            most = max(most, float(xp.max(rest)))
            if most > REDUCED * span:
                break
        if most <= REDUCED * span:
            return cost - up[:, None] - over[None, :], up, over, 0.0, most
    if abs(low) > span:
        return cost - low, low, 0.0, 0.0, span
    return cost, 0.0, 0.0, low, high


def paid(
    xp: Namespace, cost: Array, *, of_rows: bool
) -> tuple[Array, Array | float, Array | float, float, float]:
    """Take off what a side that is met exactly pays in any case: the least entries of its rows, or columns.

    Returns what `reduced` does.
    """
    least = xp.min(cost, axis=1 if of_rows else 0)
    cost = cost - (least[:, None] if of_rows else least[None, :])
    high = float(xp.max(xp.where(xp.isfinite(cost), cost, xp.zeros_like(cost))))
    return (cost, least, 0.0, 0.0, high) if of_rows else (cost, 0.0, least, 0.0, high)
