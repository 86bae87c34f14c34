"""When a residual meets a tolerance, and what rounding errors may hide of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays
from numsolve._core.result import Status

if TYPE_CHECKING:
    from numsolve._core.typing import Array

#: A residual of so many roundings of the terms of A x and b is a rounding error.
ROUNDINGS = 100
#: The distance of 1 from the next number, by the letter of a type.
EPS = {letter: float(np.finfo(letter).eps) for letter in "fd"}
#: The rounding error of one operation in double precision.
UNIT = 2.0**-53
#: A row has several operations: its rounding error may be so many times that of one, and more in long rows.
SEVERAL = 2.0


def norm(v: Array) -> float:
    """The 2-norm, accumulated in float64."""
    with np.errstate(over="ignore"):
        square = float(np.dot(v, v) if v.dtype.char == "d" else np.sum(np.square(v, dtype=float)))
    if 1e-280 < square < 1e300 or (square == 0.0 and not v.any()):
        return math.sqrt(square)
    return arrays.norm(np, v)


def root(square: float, v: Array) -> float:
    """The norm of v, of which a kernel knows the square, unless that has left the range of floats."""
    if 1e-280 < square < 1e300:
        return math.sqrt(square)
    return 0.0 if square == 0.0 and not v.any() else norm(v)


def rounding(square: float, largest: float, n: int) -> float:
    """The rounding errors of a residual in double precision, from the norm of |A| |x| + |b|."""
    size = math.sqrt(square) if 1e-280 < square < 1e300 else math.sqrt(n) * largest
    return UNIT * size


def is_sure(size: float, noise: float, threshold: float) -> bool:
    """Whether a residual meets the tolerance, its own rounding errors included."""
    return size <= threshold and size + SEVERAL * noise <= 1.1 * threshold


def unsure(threshold: float, noise: float, eps: float, norm_b: float) -> tuple[Status, str]:
    """How a run ends whose residual meets a tolerance that is no larger than its rounding errors."""
    told = f"The tolerance is {threshold:.3g}, and rounding errors of the residual may be {noise:.3g}."
    return (Status.ROUNDING if noise <= math.sqrt(eps) * norm_b else Status.STAGNATED), told


def level(eps: float, size: float, norm_b: float) -> float:
    """The residual that rounding errors excuse, where A x and b have terms of this size.

    An x that has grown beyond all bounds, as that of a singular system may, excuses nothing.
    """
    return min(ROUNDINGS * eps * size, math.sqrt(eps) * norm_b)
