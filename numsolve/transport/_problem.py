"""Checks a problem, reduces it to what the methods need, and puts the answer back.

A method sees a `Problem` whose weights are positive and sum to one. Rows and columns of weight zero are
gone, the mass is divided out, and what a cost has in common in a row or a column, which moves no mass, is
taken off where that is nearly all of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from ._bounds import bounds, cost_of
from ._foreign import refuse_traced
from ._reduced import SAMPLED, UNIT, WIDE, paid, reduced, sharp
from .result import TransportResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array, ArrayLike, Dtype, Namespace

    #: Two potentials, of the sources and of the targets.
    Potentials: TypeAlias = tuple[Array, Array]
    #: What a caller may write for weights.
    Weights: TypeAlias = ArrayLike | None

#: Masses of the two sides may differ by this much, relatively; b is then rescaled.
MASS_TOLERANCE = 1e-6
#: Entries of a cost that is looked at some times even if the time is over.
TIMELESS = 500_000
#: What a successful result says of its plan, in numbers.
VALUES = ("value", "value_linear", "kl")


@dataclass(frozen=True)
class Problem:
    """A balanced problem with positive weights of sum one, and the way back to the caller's."""

    xp: Namespace
    M: Array
    a: Array
    b: Array
    reg: float
    mass: float
    #: What the caller's cost has over M in each row, and in each column.
    up: Array | float
    over: Array | float
    range: float
    highest: float
    forbidden: bool
    rows: Array | None
    columns: Array | None
    shape: tuple[int, int]
    #: The potentials of rows and columns that are not here: of weight zero, or (inf) without an allowed pair.
    fills: tuple[Array | float, Array | float] = (-math.inf, -math.inf)
    #: The weights of those without an allowed pair, and all weights as they were given.
    closed: tuple[float, float] = (0.0, 0.0)
    given: tuple[Array, Array] | None = None
    #: What the result is.
    kind: ClassVar[type[TransportResult]] = TransportResult

    @property
    def scale(self) -> float:
        """The caller's plan over the reduced one."""
        return self.mass

    @property
    def rounding(self) -> float:
        """The marginal error that rounding can cause, in the exponents ``(f + g - M) / eps`` and in sums.

        At most the square root of the unit roundoff: beyond that, too few digits are left for an answer.
        """
        unit = float(self.xp.finfo(self.M.dtype).eps)
        return min(unit * (8 + self.range / self.reg), math.sqrt(unit))

    def monitor(self, label: str, limits: Limits, tol: float, maxiter: int, **settings: Any) -> Monitor:
        """Make the monitor of a solver: it tests the marginal error and shows callers their potentials."""
        common = {"keep": "reference", "present": self.potentials, "rounding": self.rounding}
        return Monitor(limits, atol=tol, maxiter=maxiter, label=label, **{**common, **settings})

    def result(
        self, it: Monitor, P: Array, x: Potentials, return_plan: bool, **fields: Any
    ) -> TransportResult:
        """Put the answer into the caller's terms; P, whose `sums` may be given, is overwritten."""
        sums = fields.pop("sums", None)
        with quiet():
            fields = {"reg": self.reg, "reg_path": (self.reg,), **self.values(P, *x, sums), **fields}
            fields["bounds"] = self.bounds_in_time(it, P, x[0])
            plan = self.plan(P) if return_plan else None
            x = self.potentials(x)
        check_values(it, fields)
        return it.result(self.kind, x=x, plan=plan, **fields)

    def start(self, potentials: Sequence[ArrayLike] | None = None) -> Potentials:
        """Turn the caller's potentials into those of the reduced problem; zeros if there are none."""
        xp, dtype = self.xp, self.M.dtype
        if potentials is None:
            return xp.zeros_like(self.a), xp.zeros_like(self.b)
        if not (isinstance(potentials, tuple | list) and len(potentials) == 2):
            raise ValueError("potentials_init must be a pair (f, g), as the potentials of a result")
        sides = zip(potentials, self.shape, (self.rows, self.columns), strict=True)
        reduced = []
        for k, (given, length, index) in enumerate(sides):
            name = f"potentials_init[{k}]"
            x = checks.array(name, given, xp=xp, dtype=dtype, shape=(length,), check_finite=False)
            reduced.append(_take(xp, x, index))
            checks.finite(name, reduced[-1], xp=xp)
        f, g = reduced
        return f - (self.up + self.reg * math.log(self.mass)), g - self.over

    def potentials(self, x: Potentials) -> Potentials:
        """Turn potentials of the reduced problem into the caller's: minus infinity at weights of zero."""
        f, g = x
        f = f + (self.up + self.reg * math.log(self.mass))
        return _put(self.xp, f, self.rows, self.shape[0], self.fills[0]), _put(
            self.xp, g + self.over, self.columns, self.shape[1], self.fills[1]
        )

    def plan(self, P: Array) -> Array:
        """Turn the reduced plan, which is overwritten, into the caller's: zeros where a weight is zero."""
        if self.scale != 1.0:
            P = np.multiply(P, self.scale, out=P) if arrays.is_numpy(self.xp) else P * self.scale
        if self.rows is not None:
            P = _put(self.xp, P, self.rows, self.shape[0], 0.0)
        if self.columns is not None:
            P = _put(self.xp, P.T, self.columns, self.shape[1], 0.0).T
        return P

    def values(self, P: Array, f: Array, g: Array, sums: Potentials | None = None) -> dict[str, float]:
        """Compute value, value_linear and kl of a reduced plan, in the caller's mass and cost.

        ``log(P) = (f + g - M) / eps`` holds entry by entry, so that no logarithm of the plan is taken.
        """
        xp = self.xp
        linear = self.cost_of(P)
        r, c = sums or (xp.sum(P, axis=1), xp.sum(P, axis=0))
        total = float(xp.sum(r))
        entropy = (float(xp.sum(r * f)) + float(xp.sum(c * g)) - linear) / self.reg
        kl = entropy - float(xp.sum(r * xp.log(self.a))) - float(xp.sum(c * xp.log(self.b)))
        mass, log_mass = self.mass, math.log(self.mass)
        linear = mass * (linear + self.shift_of(r, c))
        return {
            "value_linear": linear,
            "value": linear + self.reg * mass * (entropy + (log_mass - 1.0) * total),
            "kl": mass * (kl - log_mass * total),
        }

    def cost_of(self, P: Array) -> float:
        """sum(P * M)."""
        return cost_of(self.xp, P, self.M, forbidden=self.forbidden)

    def bounds_in_time(self, it: Monitor, P: Array, f: Array) -> tuple[float, float]:
        """The bounds, or none if the time of a large problem is over: they take ten looks at the cost."""
        if it.limits.expired and self.M.shape[0] * self.M.shape[1] > TIMELESS:
            return -math.inf, math.inf
        return self.bounds(P, f)

    def bounds(self, P: Array, f: Array) -> tuple[float, float]:
        """Bound the cost of exact transport, in the caller's mass and cost."""
        low, high = bounds(self.M, self.a, self.b, P, f, forbidden=self.forbidden)
        shift = self.shift_of(self.a, self.b)
        return self.mass * (low + shift), self.mass * (high + shift)

    def centred_at(self, f: Array, g: Array) -> Problem:
        """The problem whose potentials are less by these: near the solution they need no digits then."""
        xp = self.xp
        mean = xp.sum(self.a * f)  # a constant that both exchange would only eat digits
        f, g = f - mean, g + mean
        M = self.M - f[:, None] - g[None, :]
        high = float(xp.max(xp.where(xp.isfinite(M), M, xp.zeros_like(M)) if self.forbidden else M))
        span = high - float(xp.min(M))
        return replace(self, M=M, up=self.up + f, over=self.over + g, range=span, highest=high)

    @property
    def entries(self) -> int:
        """How many pairs there are."""
        return int(self.M.shape[0] * self.M.shape[1])

    def some_costs(self) -> Array:
        """Finite costs, all of a small problem."""
        rows, columns = (slice(None, None, 1 + k // SAMPLED) for k in self.M.shape)
        costs = self.M[rows, columns]
        return costs[np.isfinite(costs)]

    def cut_off(self, most: float) -> Problem:
        """The problem of exact transport whose costs are at most so much, or infinite."""
        most = float(self.M.dtype.type(most))
        M = np.where(np.isfinite(self.M), np.minimum(self.M, most), self.M)
        low = float(M.min())
        reg = sharp(np, M, low, most - low, max(M.shape))
        return replace(self, M=M, reg=reg, range=most - low, highest=most)

    def shift_of(self, r: Array, c: Array) -> float:
        """What a plan with these row and column sums costs more with the caller's cost than with M."""
        return float(self.xp.sum(r * self.up)) + float(self.xp.sum(c * self.over))


def quiet() -> np.errstate:
    """For data near the end of the range of floats: the status tells what leaves it, not NumPy's warnings."""
    return np.errstate(over="ignore", invalid="ignore")


def check_values(it: Monitor, values: Mapping[str, Any]) -> None:
    """Take success from a run whose values are beyond the range of numbers."""
    wrong = [name for name in VALUES if not math.isfinite(values[name])]
    if wrong and it.status is not None and it.status.success:
        it.stop(
            Status.NONFINITE,
            f"The plan was found, but its {wrong[0]} is beyond the range of floating-point numbers: choose "
            "another unit for M and reg, or for a and b.",
        )


def prepare(
    M: ArrayLike,
    a: Weights,
    b: Weights,
    reg: float,
    *,
    prices: tuple[float, float] | None = None,
    exact: bool = False,
) -> Problem:
    """Check the arguments of a solver and reduce them to a `Problem`.

    Weights of different sums are an error, unless there are `prices` for deviations from them; rows, or
    columns, whose price is finite may then be without an allowed pair. For `exact` transport reg is zero, and
    the problem gets one from which exact transport is near.
    """
    optional = (False, False) if prices is None else (prices[0] < math.inf, prices[1] < math.inf)
    refuse_traced(reg=reg)
    reg = checks.real("reg", reg, low=0.0, open_low=not exact)
    a = None if _is_empty(a) else a
    b = None if _is_empty(b) else b
    refuse_traced(M=M, a=a, b=b)
    xp = arrays.array_namespace(M=M, a=a, b=b)
    cost: Array = checks.array("M", M, xp=xp, ndim=2, empty=False, allow_inf=True)
    n, m = cost.shape
    given = p, q = weights_of(xp, a, b, cost.shape, cost.dtype)
    mass, other = masses(xp, p, q, prices)
    p, q = p / mass, q / other

    rows, columns = _positive(xp, p), _positive(xp, q)
    cost = _take(xp, _take(xp, cost, rows), columns, axis=1)
    all_p, all_q = p, q
    p, q = _take(xp, p, rows), _take(xp, q, columns)
    low, high = float(xp.min(cost)), float(xp.max(cost))
    forbidden = high == float("inf")
    fills: tuple[Array | float, Array | float] = (-math.inf, -math.inf)
    closed = [0.0, 0.0]
    if forbidden and max(optional) and low < math.inf:
        allowed = xp.isfinite(cost)
        open_rows, open_columns = xp.any(allowed, axis=1), xp.any(allowed, axis=0)
        if optional[0] and not bool(xp.all(open_rows)):
            rows, closed[0] = _chosen(xp, rows, open_rows), _without(xp, p, open_rows)
            cost, p = xp.take(cost, _nonzero(xp, open_rows), axis=0), _take(xp, all_p, rows)
        if optional[1] and not bool(xp.all(open_columns)):
            columns, closed[1] = _chosen(xp, columns, open_columns), _without(xp, q, open_columns)
            cost, q = xp.take(cost, _nonzero(xp, open_columns), axis=1), _take(xp, all_q, columns)
        fills = _fill(xp, all_p), _fill(xp, all_q)
    if forbidden:
        _check_allowed(xp, cost)
        high = float(xp.max(xp.where(xp.isfinite(cost), cost, low)))
    up: Array | float = 0.0
    over: Array | float = 0.0
    if prices is None and math.isfinite(high - low):
        cost, up, over, low, high = reduced(xp, cost, reg, low, high, forbidden=forbidden)
    elif prices is not None and math.inf in prices and math.inf > high - low > WIDE * reg:
        cost, up, over, low, high = paid(xp, cost, of_rows=prices[0] == math.inf)
    if exact and math.isfinite(high - low):
        reg = sharp(xp, cost, low, high - low, max(cost.shape))
    resolved = reg >= UNIT * (high - low)
    if not math.isfinite(high - low) or (resolved and not math.isfinite(2 / reg)):
        raise ValueError(
            f"M / reg is beyond the range of floating-point numbers (entries of M from {low:g} to {high:g}, "
            f"reg = {reg:g}): choose another unit for both"
        )
    if not resolved:
        raise ValueError(
            f"reg = {reg:g} is below the rounding errors of M, whose entries have a range of {high - low:g}; "
            f"the least that can be resolved is {UNIT * (high - low):.2g}; if large entries forbid their "
            "pairs, write inf for them"
        )
    return Problem(
        xp, cost, p, q, reg, mass, up, over, high - low, high, forbidden, rows, columns, (n, m),
        fills, (closed[0], closed[1]), given,
    )  # fmt: skip


def _without(xp: Namespace, x: Array, chosen: Array) -> float:
    """The sum of what was not chosen, which is exactly zero where all of it is."""
    return float(xp.sum(xp.where(chosen, xp.zeros_like(x), x)))


def weights_of(
    xp: Namespace, a: Weights, b: Weights, shape: tuple[int, ...], dtype: Dtype
) -> tuple[Array, Array]:
    """The weights of both sides, checked; uniform where they were left out."""
    p, q = (_weights(xp, name, w, n, dtype) for name, w, n in zip("ab", (a, b), shape, strict=True))
    return p, q


def masses(
    xp: Namespace, p: Array, q: Array, prices: tuple[float, float] | None = None
) -> tuple[float, float]:
    """By what the weights are divided: their sums, which in a balanced problem have to agree.

    Under prices it is the mass of the plan where costs and reg are nothing, for both sides.
    """
    mass, other = _total("a", xp, p), _total("b", xp, q)
    if prices is not None:
        less, more = min(prices), max(prices)
        share = 1.0 / (1.0 + less / more)  # of the dearer side
        own, far = (mass, other) if prices[0] == more else (other, mass)
        mass = other = own**share * far ** (1.0 - share)
    elif abs(mass - other) > MASS_TOLERANCE * max(mass, other):
        raise ValueError(
            f"a and b must have the same sum, got {mass:.10g} and {other:.10g}; "
            "rescale one of them, or let mass appear and vanish at a price: solve(unbalanced=...)"
        )
    return mass, other


def _total(name: str, xp: Namespace, weights: Array) -> float:
    """The sum of weights that may each be as large as a number can be."""
    with np.errstate(over="ignore"):
        total = float(xp.sum(weights))
    if not math.isfinite(total):
        raise ValueError(f"{name} has a sum beyond the range of floating-point numbers: rescale the weights")
    return total


def _weights(xp: Namespace, name: str, value: Weights, length: int, dtype: Dtype) -> Array:
    if _is_empty(value):
        out: Array = xp.full((length,), 1.0 / length, dtype=dtype)
        return out
    return checks.masses(name, value, length=length, xp=xp, dtype=dtype)  # type: ignore[no-any-return]


def _is_empty(value: Weights) -> bool:
    """Whether weights were left out; POT writes an empty list for that."""
    return value is None or (isinstance(value, list | tuple) and len(value) == 0)


def _positive(xp: Namespace, weights: Array) -> Array | None:
    """Indices of the positive weights, or None if that is all of them."""
    return None if bool(xp.all(weights > 0)) else xp.nonzero(weights > 0)[0]


def _nonzero(xp: Namespace, which: Array) -> Array:
    out: Array = xp.nonzero(which)[0]
    return out


def _chosen(xp: Namespace, index: Array | None, which: Array) -> Array:
    """Of the rows that an index has (None for all) those that are marked."""
    return _nonzero(xp, which) if index is None else xp.take(index, _nonzero(xp, which))


def _fill(xp: Namespace, weights: Array) -> Array:
    """What potentials are where a problem has no row: infinite where there is mass that cannot be moved."""
    infinite = xp.full_like(weights, math.inf)
    out: Array = xp.where(weights > 0, infinite, -infinite)
    return out


def _check_allowed(xp: Namespace, M: Array) -> None:
    for axis, name in ((1, "row"), (0, "column")):
        closed = ~xp.any(xp.isfinite(M), axis=axis)
        if bool(xp.any(closed)):
            where = int(xp.nonzero(closed)[0][0])
            raise ValueError(
                f"M forbids every pair of {name} {where} (counted among those of positive weight): "
                "+inf throughout; each needs a finite entry"
            )


def _take(xp: Namespace, x: Array, index: Array | None, axis: int = 0) -> Array:
    return x if index is None else xp.take(x, index, axis=axis)


def _put(xp: Namespace, x: Array, index: Array | None, length: int, fill: Array | float) -> Array:
    """Spread the rows of x over `length` rows; those not named by the index are filled."""
    if index is None:
        return x
    position = xp.searchsorted(index, xp.arange(length, dtype=index.dtype))
    position = xp.where(position < index.shape[0], position, 0)
    named = xp.take(index, position) == xp.arange(length, dtype=index.dtype)
    spread = xp.take(x, position, axis=0)
    shape = (length,) + (1,) * (x.ndim - 1)
    out: Array = xp.where(xp.reshape(named, shape), spread, xp.astype(xp.asarray(fill), x.dtype))
    return out
