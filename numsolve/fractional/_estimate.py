"""How far a discrete solution is from the true one: what coarser ones say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy.interpolate import make_interp_spline

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

UNIT = float(np.finfo(np.float64).eps)
#: Gain from one level to the next that is believed in, at least (so slow an order would be 1/4) and at most:
#: errors of samples next to a jump are as if by chance, and may fall much at once.
LEAST_GAIN, MOST_GAIN = 2**0.25, 4.0
#: Places between the points of a method, on (0, 1), where the data are looked at too.
PROBES = (np.arange(1024) + 0.618034) / 1024
#: Part of its third differences that a smooth function keeps at most on half the distance.
ROUGH = 0.3
#: Share of the data that is left to interpolation, and points for a cubic spline, with some to spare.
INTERPOLATION, LEAST_POINTS = 0.02, 16
#: Error over the difference from a mesh of quartered spans, where errors fall like their square root.
QUARTERED = 2.0


def from_levels(fine: Array, middle: Array, coarse: Array | None = None, *, ratio: float = 2.0) -> float:
    r"""Estimate the largest error of `fine`, relative to its largest value.

    The values are those of solutions with N, ``N / ratio`` and ``N / (2 ratio)`` unknowns. If the error is
    ``E N^-s``, the differences ``d`` and ``D`` of the first from the others satisfy

        D / d = (g r - 1) / (r - 1),   g = 2^s, r = ratio^s,   error = d / (r - 1);

    s is found by bisection. Without the third solution s is taken as one half.
    """
    size = float(np.max(np.abs(fine)))
    if size == 0.0:
        others = (middle,) if coarse is None else (middle, coarse)
        return math.inf if any(np.any(other) for other in others) else 0.0
    d = float(np.max(np.abs(fine - middle)))
    if coarse is None:
        return float(max(d / (ratio**0.5 - 1), UNIT * size) / size)
    D = float(np.max(np.abs(fine - coarse)))
    low, high = math.log2(LEAST_GAIN), math.log2(MOST_GAIN)
    for _ in range(40):
        s = (low + high) / 2
        r = ratio**s
        if d * (2**s * r - 1) < D * (r - 1):
            low = s
        else:
            high = s
    error = d / (ratio**low - 1)
    return max(error, UNIT * size) / size if math.isfinite(error) else math.inf


def unseen(
    points: Array, g: Array, between: Array, there: Array, terms: Array, *, roughly: bool = False
) -> float:
    """The share of ``g = f - r u`` that the points did not see: a layer between them, a singularity.

    `g` are its values at the points, `there` those at other places `between` them, and `terms` those of its
    terms there, in rows if there are several. The cubic spline through the values at the points is what they
    tell. Sums of what it misses are what counts, beside those of the terms: oscillations cancel, as they do
    in solutions. A small share is left to interpolation. `roughly` takes straight lines in place of the
    spline, which is fast.
    """
    terms = np.atleast_2d(terms)
    known = np.isfinite(there) & np.all(np.isfinite(terms), axis=0)
    known &= (between > points[0]) & (between < points[-1])
    total = sum(_reach(term[known]) for term in terms)
    if points.size < LEAST_POINTS or not np.all(np.isfinite(g)) or not 0.0 < total < math.inf:
        return 0.0
    x = between[known]
    told = np.interp(x, points, g) if roughly else make_interp_spline(points, g, k=3)(x)
    share = _reach(there[known] - told) / total
    return share if share > INTERPOLATION else 0.0


def _reach(values: Array) -> float:
    """How far the sums of the first values are apart."""
    return float(np.ptp(np.cumsum(np.append(0.0, values))))


def is_rough(values: Array) -> bool:
    """Whether a function with these values at places of equal distance has a kink, a jump or worse.

    Third differences fall to an eighth where the distance is halved, those next to a kink to a half only.
    """
    with np.errstate(all="ignore"):
        size = float(np.max(np.abs(values)))
        fine, coarse = (float(np.max(np.abs(np.diff(v, 3)))) for v in (values, values[::2]))
    return not (fine <= ROUGH * coarse or fine <= 64 * UNIT * size)


def untold(values: Array) -> Array:
    """How far each value of a function is from the cubic through its neighbours: half a jump beside it.

    Where between two points a jump is nobody knows. Its integral is uncertain by half of it times the weight
    of one of them; what the others add is for the modes that are left out.
    """
    out = np.zeros_like(values)
    v = values[:-4], values[1:-3], values[2:-2], values[3:-1], values[4:]
    out[2:-2] = np.abs(v[2] - (4 * (v[1] + v[3]) - (v[0] + v[4])) / 6)
    return out


def difference(one: Array, other: Array) -> float:
    """The largest difference, relative to the largest value."""
    size = float(np.max(np.abs(one)))
    return float(np.max(np.abs(one - other))) / size if size else 0.0


class Later:
    """A field that may be given as a function: it is called when the value is first asked for.

    Of a batch it is an array; type checkers are told of one number, as `numsolve.Result` has it.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> float:
        if instance is None:
            return float("nan")
        value = instance.__dict__[self.name]
        if callable(value):
            value = instance.__dict__[self.name] = value()
        return cast("float", value) if np.ndim(value) else float(value)

    def __set__(self, instance: Any, value: float | Array | Callable[[], float | Array]) -> None:
        instance.__dict__[self.name] = value
