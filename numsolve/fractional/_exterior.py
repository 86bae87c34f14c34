r"""Values outside an interval that are not zero: a lifting by the Poisson kernel.

On (-1, 1), with g given outside, the function

    v(x) = int_{|y| > 1} P(x, y) g(y) dy,                                                 (1)
    P(x, y) = sin(pi alpha / 2) / pi ((1 - x^2) / (y^2 - 1))^(alpha/2) / |x - y|

is g outside and satisfies ``(-Delta)^(alpha/2) v = 0`` inside (M. Riesz, Acta Sci. Math. Szeged 9, 1938);
what is left of the solution vanishes outside. The right side receives of g = 1 the share

    int_1^oo P(x, y) dy = I_{(1 + x) / 2}(alpha / 2, alpha / 2),                           (2)

a beta distribution (R. M. Blumenthal, R. K. Getoor, D. B. Ray, Trans. Amer. Math. Soc. 99, 1961), so only
``g - g(1)`` is integrated there. In ``w = log(y - 1)`` the kernel is smooth on the scale of one, however
close x is to the end: Gauss rules on panels that are halved where they disagree serve all x at once.
What lies between their nodes is looked for by narrow panels first.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import betainc

from numsolve._core import checks
from numsolve._core.result import Status, deliver

from ._data import is_number, is_values, sample
from ._estimate import UNIT
from ._modes import WITNESSES
from .spectral import TOLERABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .result import RieszResult

    Array = NDArray[np.float64]

#: Gauss rule of a panel, the width of panels at first, and how many there may be on a side.
NODES, RULE = np.polynomial.legendre.leggauss(16)
WIDTH, MOST_PANELS = 2.0, 1500
#: Where the integral begins: below, y - 1 is a rounding error. It ends where y is as large as this, at most.
LOWEST, HIGHEST = -37.0, 340.0
#: Where thin layers are looked for, and how many narrow panels there are in a panel of the first width.
LOOK, PARTS = (-13.0, 13.0), 32
#: What narrow panels add up to, relative to the size of g, up to rounding errors of their sums.
SEEN = 1e-12
#: Error of a panel, relative to the size of g, that is left, and what is nothing beside it.
GOOD, NOTHING = 1e-15, 1e-18
#: Change of g next to an end, relative to its size there, that is a rounding error.
STEADY = 1e-12
#: Width of panels that are not halved any more.
NARROW = 1e-9
#: Distances from the end for which panels are compared.
DISTANCES = np.append(np.geomspace(1e-10, 1.0, 16), [1.5, 1.9, 1.999])


class Lift:
    """The function (1), and g outside.

    Parameters
    ----------
    g : callable or float
        The values outside.
    alpha : float
        The order.
    interval : tuple of float
        The ends.
    """

    def __init__(self, g: Any, alpha: float, interval: tuple[float, float]) -> None:
        self.g, self.alpha, self.interval = g, alpha, interval
        self.half = (interval[1] - interval[0]) / 2
        self.constant = is_number(g)
        self.error, self.sides = 0.0, []
        for side in (-1, 1):
            near = self._next_to(side) * np.exp(WIDTH * np.arange(3))
            values = self._at(side, near)
            self.error += self._missed_next_to(near[0], values)
            limit = float(values[0])
            self.sides.append((limit, *self._rule(side, limit)))

    def outside(self, x: Array) -> Array:
        """The values given there."""
        with np.errstate(all="ignore"):
            return np.asarray(sample("exterior", self.g, x))

    def _next_to(self, side: int) -> float:
        """The least distance from an end, over half the interval, at which numbers are apart."""
        return float(max(1e-15, 4 * np.spacing(abs(self.interval[(side + 1) // 2])) / self.half))

    def _at(self, side: int, e: Array) -> Array:
        """Values outside at distances from an end, over half the interval."""
        end, e = self.interval[(side + 1) // 2], np.maximum(e, self._next_to(side))
        return self.outside((end + side * self.half * e).ravel()).reshape(e.shape)

    def _missed_next_to(self, e: float, values: Array) -> float:
        """What g does below the distance e, if its changes go on by the same factor from panel to panel."""
        change, before = abs(values[0] - values[1]), abs(values[1] - values[2])
        if self.alpha == 2 or change <= STEADY * np.max(np.abs(values)):
            return 0.0
        fall = math.exp(-WIDTH * (1 - self.alpha / 2))
        growth = fall * change / before if before else math.inf
        if growth >= 1:
            return math.inf
        d = 2 * float(WITNESSES[0])
        share = math.sin(math.pi * self.alpha / 2) / math.pi * (d / 2 * (2 - d)) ** (self.alpha / 2) / d
        share *= e ** (1 - self.alpha / 2) / (1 - self.alpha / 2)
        return float(share * change / ((1 - fall) * (1 - growth)))

    def _rule(self, side: int, limit: float) -> tuple[Array, Array]:
        """Distances from an end, over half the interval, and weights that hold ``g - g(end)``."""
        if self.constant or self.alpha == 2:
            return np.ones(1), np.zeros(1)
        low = np.arange(LOWEST, HIGHEST, WIDTH)
        high, size = low + WIDTH, abs(limit)
        distances: list[Array] = []
        weights: list[Array] = []
        first, seen = True, self._seen(side, limit)
        while low.size:
            middle = (low + high) / 2
            halves = [self._panels(side, limit, *ends) for ends in ((low, middle), (middle, high))]
            values = self._sums(*halves[0]) + self._sums(*halves[1])
            each = np.max(np.abs(values), axis=1)
            size = max(size, float(np.max(each)))
            error = np.max(np.abs(self._sums(*self._panels(side, limit, low, high)) - values), axis=1)
            narrow = high - low < NARROW
            error = np.where(narrow & (error > GOOD * size), np.maximum(error, each), error)
            missed = np.max(np.abs(seen(low, high, values)), axis=1)
            error = np.where(missed > SEEN * size, np.maximum(error, missed), error)
            split = (error > GOOD * size) & ~narrow & (low.size + len(weights) < MOST_PANELS)
            self.error += float(np.sum(error[~split]))
            kept = ~split
            if first:  # the integral goes on: what lies beyond falls like the last panels, or not at all
                ratio = each[-1] / each[-2] if each[-2] else 0.0
                self.error += each[-1] * ratio / (1 - ratio) if ratio < 1 else math.inf
                kept &= np.arange(low.size) <= np.max(np.flatnonzero(each > NOTHING * size), initial=0)
                first = False
            for e, w in halves:
                distances.extend(e[kept])
                weights.extend(w[kept])
            low, high = np.append(low[split], middle[split]), np.append(middle[split], high[split])
        return np.concatenate(distances), np.concatenate(weights)

    def _seen(self, side: int, limit: float) -> Callable[[Array, Array, Array], Array]:
        """What narrow panels have that wider ones, of which the sums are given, do not."""
        edges = np.linspace(*LOOK, round((LOOK[1] - LOOK[0]) / WIDTH * PARTS) + 1)
        each = self._sums(*self._panels(side, limit, edges[:-1], edges[1:]))
        upto = np.concatenate([np.zeros((1, DISTANCES.size)), np.cumsum(each, axis=0)])

        def beyond(low: Array, high: Array, sums: Array) -> Array:
            i, j = (np.rint((w - LOOK[0]) / WIDTH * PARTS).astype(int) for w in (low, high))
            inside = (low >= LOOK[0]) & (high <= LOOK[1]) & (high - low >= WIDTH / PARTS)
            last = edges.size - 1
            there = upto[np.clip(j, 0, last)] - upto[np.clip(i, 0, last)]
            return np.where(inside[:, None], there - sums, 0.0)

        return beyond

    def _panels(self, side: int, limit: float, low: Array, high: Array) -> tuple[Array, Array]:
        """Nodes, as distances from the end, and weights, a row for each panel."""
        w = (low + high)[:, None] / 2 + (high - low)[:, None] / 2 * NODES
        e = np.exp(w)
        g = self._at(side, e) - limit
        kernel = (
            math.sin(math.pi * self.alpha / 2) / math.pi * np.exp(w - self.alpha / 2 * (w + np.log(2 + e)))
        )
        return e, (high - low)[:, None] / 2 * RULE * kernel * g

    def _sums(self, e: Array, weights: Array) -> Array:
        """What panels give to places at several distances from the end."""
        root = (DISTANCES * (2 - DISTANCES)) ** (self.alpha / 2)
        return np.asarray(np.stack([np.sum(weights / (e + d), axis=1) for d in DISTANCES], axis=1) * root)

    def __call__(self, x: Any) -> Array:
        """Evaluate at points of any shape."""
        x = np.asarray(x, dtype=np.float64)
        a, b = self.interval
        inside, flat = (x > a) & (x < b), np.full(x.shape, np.nan)
        places = x[inside]
        below, above = (places - a) / self.half, (b - places) / self.half
        less = betainc(self.alpha / 2, self.alpha / 2, np.minimum(below, above) / 2)
        share = np.where(below < above, less, 1 - less)  # (2)
        values = share * self.sides[1][0] + (1 - share) * self.sides[0][0]
        root = (below * above) ** (self.alpha / 2)
        for distance, (_, e, weights) in zip((below, above), self.sides, strict=True):
            for k in range(0, places.size, 256):
                d = distance[k : k + 256]
                values[k : k + 256] += root[k : k + 256] * ((1 / np.add.outer(d, e)) @ weights)  # (1)
        flat[inside] = values
        there = ~inside & ~np.isnan(x)
        if there.any():
            flat[there] = self.outside(x[there])
        return flat


class Lifted:
    """A solution that vanishes outside its interval, plus a lifting."""

    def __init__(self, sol: Any, lift: Lift) -> None:
        self.sol, self.lift = sol, lift

    def __call__(self, x: Any) -> Array:
        """Evaluate at points of any shape."""
        x = np.asarray(x, dtype=np.float64)
        a, b = self.lift.interval
        inside = (x > a) & (x < b)
        return np.asarray(self.lift(x) + np.where(inside, self.sol(np.where(inside, x, (a + b) / 2)), 0.0))


def check_exterior(
    exterior: Any, definition: str, weights: tuple[float, float], advection: Any, values: tuple[Any, ...]
) -> bool:
    """Whether there are values outside; refuse them where there is no lifting."""
    if is_values(exterior):
        raise TypeError("exterior must be a function or a number, got values")
    if is_number(exterior) and checks.real("exterior", exterior) == 0:
        return False
    if definition != "rl":
        raise ValueError(f"exterior needs definition 'rl', the integral operator, got {definition!r}")
    if weights[0] != weights[1]:
        raise ValueError(f"exterior needs equal weights, got {weights[0]:g} and {weights[1]:g}")
    if advection is not None:
        raise ValueError("exterior cannot be lifted with an advection")
    f, reaction = values
    if reaction is not None and (is_values(f) or is_values(reaction)):
        raise ValueError("exterior with a reaction needs f and the reaction as functions or numbers")
    return True


def right_hand_side(f: Any, reaction: Any, lift: Lift) -> Any:
    """What is left of f for the part of the solution that vanishes outside."""
    if reaction is None:
        return f

    def left(x: Array) -> Array:
        return np.asarray(sample("f", f, x) - sample("reaction", reaction, x) * lift(x))

    return left


def lifted(result: RieszResult, lift: Lift) -> RieszResult:
    """The solution with the lifting."""
    a, b = result.interval
    x = a + (b - a) * WITNESSES
    sol = Lifted(result.sol, lift)
    size = float(np.max(np.abs(sol(x))))
    part = float(np.max(np.abs(result.sol(x))))

    def estimate() -> float:
        if size == 0:
            return 0.0 if lift.error == part == 0 else math.inf
        return max((result.error_estimate * part + lift.error) / size, UNIT)

    whole = replace(result, sol=sol, error_estimate=estimate)
    if whole.success and size and lift.error > TOLERABLE * size:
        detail = f"The lifting of the exterior has an estimated error of {lift.error / size:.1g}."
        whole = replace(whole, status=Status.STAGNATED, detail=detail)
        deliver(whole)
    return whole
