"""A linear program: its arguments checked, in the units of an iteration, and how good a point of it is.

    min c'x   subject to   lc <= A x <= uc,  lx <= x <= ux

A method sees the scaled program, with ``D1 A D2`` for A, ``D2 c`` for c, bounds ``D1 lc``, ``lx / D2`` and so
on; then ``x = D2 x_scaled`` and ``y = D1 y_scaled``.

Squares leave the range of a float at 1e154 and 1e-162. So where the largest entry of A, cost, or finite bound
is beyond `FAR`, they are first divided by a power of two next to it (`Units`), which rounds nothing; and the
residuals of such a program are those in these units.
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numsolve._core import arrays, checks
from numsolve.monotone._norms import norm

from ._rules import is_certificate

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Dtype, Matrix, Namespace

#: Data whose largest entry is this far from one, either way, get units of their own.
FAR = 1e100
#: An inequality's bound says nothing of the size of a solution if it is so many times the least of all.
OUTLIER = 1e8
#: Bounds from here on, with which many write infinity, are first left out, and looked at afterwards.
ENDLESS = 1e10


class Units(NamedTuple):
    """Powers of two: of A, of x and its bounds, of the costs; those of y are costs over matrix."""

    matrix: float = 1.0
    bounds: float = 1.0
    costs: float = 1.0


@dataclass(frozen=True)
class LinearProgram:
    """A checked program. A is dense or in canonical compressed rows; bounds may be infinite."""

    xp: Namespace
    c: Array
    A: Matrix
    lc: Array
    uc: Array
    lx: Array
    ux: Array

    @property
    def batch(self) -> int | None:
        """How many programs share A; None for a single one."""
        sizes = [v.shape[0] for v in (self.c, self.lc, self.uc, self.lx, self.ux) if v.ndim == 2]
        return sizes[0] if sizes else None

    @property
    def contradictory(self) -> Array:
        """Whether a lower bound lies above its upper one, or leaves out every number."""
        xp, inf = self.xp, float("inf")
        out: Array = xp.any((self.lc > self.uc) | (self.lc == inf) | (self.uc == -inf), axis=-1) | xp.any(
            (self.lx > self.ux) | (self.lx == inf) | (self.ux == -inf), axis=-1
        )
        return out

    @np.errstate(over="ignore", invalid="ignore")
    def stuck(self, tol: float) -> Any:
        """For each row that no variable can change, and that misses a bound: the sign of a multiplier.

        Such a row is empty, or all its variables are fixed; it is judged by itself, as no other bound can
        be large enough to excuse it. For other rows, and within the tolerance, the sign is zero.
        """
        xp = self.xp
        fixed, size_of = self.lx == self.ux, abs(self.A)
        at = xp.where(fixed & xp.isfinite(self.lx), self.lx, 0.0)
        still = times(size_of, xp.astype(~fixed, self.c.dtype)) == 0
        small = self.small_bound() if self.batch is None else self.small_bound()[..., None]
        value, room = times(self.A, at), tol * (small + times(size_of, xp.abs(at)))
        low, high = still & (self.lc - value > room), still & (value - self.uc > room)
        return xp.where(low, xp.ones_like(value), xp.where(high, -xp.ones_like(value), 0.0))

    def units(self, small: float = 1.0 / FAR) -> Units:
        """The units in which data far from one, or all below `small`, are solved; one and one for others."""
        xp = self.xp
        entries = self.A.data if arrays.is_sparse(self.A) else self.A
        matrix = _unit(_largest(xp, xp.abs(entries)), small)
        rows, columns = (
            max(_largest(xp, xp.where(xp.isfinite(v), xp.abs(v), 0.0)) for v in pair)
            for pair in ((self.lc, self.uc), (self.lx, self.ux))
        )
        bounds = max(rows / matrix, columns)
        if bounds == float("inf"):
            raise ValueError(f"lc and uc, up to {rows:.1e}, are too large for the entries of A: x overflows")
        return Units(matrix, _unit(bounds, small), _unit(_largest(xp, xp.abs(self.c)), small))

    def divided(self, units: Units) -> LinearProgram:
        """The program in these units."""
        if units == Units():
            return self
        bounds = {name: getattr(self, name) / units.bounds for name in ("lx", "ux")}
        bounds |= {name: getattr(self, name) / units.matrix / units.bounds for name in ("lc", "uc")}
        return replace(self, A=self.A / units.matrix, c=self.c / units.costs, **bounds)

    def size_b(self) -> Any:
        """The 2-norm of the larger of both bounds of each row, where finite.

        Inequalities are left out that are switched off by a bound far above the others.
        """
        xp = self.xp
        low, high = (xp.where(xp.isfinite(v), xp.abs(v), 0.0) for v in (self.lc, self.uc))
        sizes = xp.maximum(low, high)
        least = xp.min(xp.where(sizes > 0.0, sizes, float("inf")), axis=-1, keepdims=True)
        return norm(xp, xp.where((self.lc == self.uc) | (sizes <= OUTLIER * least), sizes, 0.0))

    def size_c(self) -> Any:
        """The 2-norm of the cost."""
        return norm(self.xp, self.c)

    def small_bound(self) -> Any:
        """What is small for a bound: one, or less where all bounds are smaller."""
        xp = self.xp
        bounds = (self.lc, self.uc, self.lx, self.ux)
        sizes = [_along(xp, xp.where(xp.isfinite(v), xp.abs(v), 0.0)) for v in bounds]
        return _at_most_one(xp, xp.maximum(xp.maximum(*sizes[:2]), xp.maximum(*sizes[2:])))

    def small_cost(self) -> Any:
        """What is small for a cost: one, or less where all costs are smaller."""
        return _at_most_one(self.xp, _along(self.xp, self.xp.abs(self.c)))

    def scaled(self, rows: Array, columns: Array) -> LinearProgram:
        """The program in the units of the iteration, but for its matrix."""
        return replace(
            self,
            c=self.c * columns,
            lc=self.lc * rows,
            uc=self.uc * rows,
            lx=self.lx / columns,
            ux=self.ux / columns,
        )

    def relaxed(self) -> LinearProgram | None:
        """The program without the bounds from `ENDLESS` on that leave zero inside; None if it has none.

        Beside smaller bounds they are of no use but to say that there is none, and spoil the units of all.
        A program in which all is as large keeps them: it is as good as any other in units of its own.
        """
        xp = self.xp
        bounds = {name: getattr(self, name) for name in ("lc", "uc", "lx", "ux")}
        outside = {k: xp.isfinite(v) & ((-v if k[0] == "l" else v) >= ENDLESS) for k, v in bounds.items()}
        if not any(bool(xp.any(v)) for v in outside.values()):
            return None
        if not any(bool(xp.any((v != 0.0) & (xp.abs(v) < ENDLESS))) for v in bounds.values()):
            return None
        ends = {k: -float("inf") if k[0] == "l" else float("inf") for k in bounds}
        return replace(self, **{k: xp.where(outside[k], ends[k], v) for k, v in bounds.items()})

    @np.errstate(over="ignore", invalid="ignore")
    def holds(self, x: Array) -> bool:
        """Whether these points, those of a batch together, are within the bounds of size `ENDLESS`."""
        xp, ax = self.xp, times(self.A, x)
        sides = ((self.lc, ax, self.uc), (self.lx, x, self.ux))
        return all(
            bool(xp.all((v >= low) | (low > -ENDLESS))) and bool(xp.all((v <= high) | (high < ENDLESS)))
            for low, v, high in sides
        )

    def without_cost(self) -> LinearProgram:
        """The same constraints with nothing to minimise: a point of it is feasible for this program."""
        return replace(self, c=0.0 * self.c)

    def without_bounds(self) -> LinearProgram:
        """The same cost with each finite bound at zero: multipliers of it are dual feasible for this."""
        bounds = {name: getattr(self, name) for name in ("lc", "uc", "lx", "ux")}
        return replace(self, **{k: self.xp.where(self.xp.isfinite(v), 0.0, v) for k, v in bounds.items()})

    @np.errstate(over="ignore", invalid="ignore")
    def is_infeasible_by(self, y: Array, tol: float = 0.0) -> bool:
        """Whether these multipliers of a single program contradict its bounds, beyond rounding errors.

        With a tolerance also: whether they prove that no x within its bounds has a smaller primal residual,
        which is at least ``total / |y|`` over the bounds that are used.
        """
        limit, r = np.where(y > 0, self.lc, self.uc), -times_transposed(self.A, y)
        bound, held = np.where(r > 0, self.lx, self.ux), times_transposed(abs(self.A), abs(y))
        if not np.isfinite(limit[y != 0]).all() or not np.isfinite(y).all() or not y.any():
            return False
        finite = np.isfinite(bound)
        total = _support(np, y, limit) + _support(np, r, bound)
        if not total > tol * norm(np, y) * (self.small_bound() + norm(np, np.where(y != 0, limit, 0.0))):
            return False
        sizes = _support(np, abs(y), abs(limit)) + np.sum(np.where(finite, held * abs(bound), 0.0))
        violation = np.max(abs(r[~finite]), initial=0.0)
        share = np.where(finite, abs(r * bound), 0.0)
        mean = _support(np, share, abs(bound)) / (_support(np, abs(y), abs(limit)) + np.sum(share))
        used = self.small_bound() + max(np.max(abs(limit[y != 0])), mean)
        return bool(is_certificate(total, violation, used, y.size + r.size, sizes))

    @np.errstate(over="ignore", invalid="ignore")
    def is_unbounded_by(self, v: Array) -> bool:
        """Whether the objective of a single program falls along this direction, which leaves no bound."""
        av = times(self.A, v)
        outside = [
            np.max(abs(d[np.isfinite(np.where(d < 0, low, high))]), initial=0.0)
            for d, low, high in ((v, self.lx, self.ux), (av, self.lc, self.uc))
        ]
        terms = self.c * v
        descent, sizes, size = -np.sum(terms), np.sum(abs(terms)), self.small_cost() + self.size_c()
        return bool(descent > 0 and is_certificate(descent, max(outside), size, v.size, sizes))

    @np.errstate(over="ignore", invalid="ignore")  # what overflows shows in the residuals
    def quality(self, x: Array, y: Array) -> dict[str, Any]:
        """Objective, reduced costs, the three residuals and the largest of them, all in these units."""
        xp = self.xp
        ax, aty = times(self.A, x), times_transposed(self.A, y)
        r = self.c - aty
        limit = xp.where(r > 0, self.lx, self.ux)
        reduced = xp.where(xp.isfinite(limit), r, 0.0)
        low, high, small_b, small_c = ax < self.lc, ax > self.uc, self.small_bound(), self.small_cost()
        crossed = xp.where(low, self.lc, xp.where(high, self.uc, 0.0))
        beyond = xp.where(low | high | xp.isnan(ax), xp.abs(ax - crossed), 0.0)
        leant = xp.where(y > 0, self.lc, xp.where(y < 0, self.uc, 0.0))
        b = xp.where(low | high, crossed, xp.where(xp.isfinite(leant), leant, 0.0))
        primal = norm(xp, beyond) / (small_b + norm(xp, b))
        dual = norm(xp, r - reduced) / (small_c + norm(xp, xp.where(x == limit, 0.0, self.c)))
        fun = xp.sum(self.c * x, axis=-1)
        bound = _support(xp, y, xp.where(y > 0, self.lc, self.uc)) + _support(xp, reduced, limit)
        gap = xp.abs(fun - bound) / (small_b * small_c + xp.abs(fun) + xp.abs(bound))
        if fun.ndim == 0:
            fun, gap, primal, dual = float(fun), float(gap), float(primal), float(dual)
            worst: Any = max(primal, dual, gap)
        else:
            worst = xp.maximum(xp.maximum(primal, dual), gap)
        return {
            "fun": fun,
            "reduced_costs": reduced,
            "primal_residual": primal,
            "dual_residual": dual,
            "gap": gap,
            "residual": worst,
        }


def prepare(c: Any, A: Any, lc: Any, uc: Any, lx: Any, ux: Any) -> LinearProgram:
    """Check the arguments of a solver; None is no bound."""
    given = {"c": c, "A": A, "lc": lc, "uc": uc, "lx": lx, "ux": ux}
    xp = arrays.array_namespace(**given)
    sparse = arrays.is_sparse(A)
    kinds = {k: arrays.of_lists(k, v) for k, v in given.items() if v is not None and not _is_number(v)}
    dtype = arrays.working_dtype(xp, **kinds)
    c = checks.array("c", c, xp=xp, dtype=dtype, ndim=(1, 2))
    n = c.shape[-1]
    if A is None:
        A = xp.zeros((0, n), dtype=dtype)
    elif sparse and arrays.is_numpy(xp):
        A = checks.csr("A", A)
    elif not sparse:
        A = checks.array("A", A, xp=xp, dtype=dtype, ndim=2)
    if A.shape[1] != n:
        raise ValueError(f"A must have {n} columns, one for each entry of c, got shape {tuple(A.shape)}")
    m = A.shape[0]
    low, high = -float("inf"), float("inf")
    bounds = {
        "lc": _bound("lc", lc, m, low, xp, dtype),
        "uc": _bound("uc", uc, m, high, xp, dtype),
        "lx": _bound("lx", lx, n, low, xp, dtype),
        "ux": _bound("ux", ux, n, high, xp, dtype),
    }
    sizes = {name: v.shape[0] for name, v in {"c": c, **bounds}.items() if v.ndim == 2}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"the leading axes of a batch must have one length, got {sizes}")
    return LinearProgram(xp, c, A, **bounds)


@np.errstate(over="ignore", invalid="ignore")
def times(A: Matrix, x: Array) -> Any:
    """A x for a vector, or for each row of a matrix."""
    if x.ndim == 1:
        return A @ x
    return x @ A.T if not arrays.is_sparse(A) else (A @ x.T).T


@np.errstate(over="ignore", invalid="ignore")
def times_transposed(A: Matrix, y: Array) -> Any:
    """A'y for a vector, or for each row of a matrix."""
    if y.ndim == 1:
        return A.T @ y
    return y @ A if not arrays.is_sparse(A) else (A.T @ y.T).T


def _largest(xp: Namespace, v: Array) -> float:
    return float(xp.max(v)) if math.prod(v.shape) else 0.0


def _along(xp: Namespace, v: Array) -> Any:
    """The largest entry along the last axis, zero if there is none; nan, if one is."""
    return xp.max(v, axis=-1) if v.shape[-1] else xp.sum(v, axis=-1)


def _at_most_one(xp: Namespace, largest: Array) -> Any:
    return xp.where((largest > 0.0) & (largest < 1.0), largest, 1.0)


def _unit(largest: float, small: float) -> float:
    """The power of two next to a number that is below `small`, or far above one; one for others."""
    return 1.0 if largest == 0.0 or small <= largest <= FAR else math.ldexp(1.0, math.frexp(largest)[1] - 1)


def _support(xp: Namespace, v: Array, limit: Array) -> Any:
    """v'limit, where zero times infinity is zero."""
    used = (v != 0) & xp.isfinite(limit)
    return xp.sum(xp.where(used, v, 0.0) * xp.where(used, limit, 0.0), axis=-1)


def _bound(name: str, value: Any, length: int, fill: float, xp: Namespace, dtype: Dtype) -> Any:
    checks.refuse_masked(name, value)
    if value is None or _is_number(value):
        number = fill if value is None else _number(name, value)
        return xp.full((length,), number, dtype=dtype)
    x = checks.array(name, value, xp=xp, dtype=dtype, ndim=(1, 2), check_finite=False)
    if x.shape[-1] != length:
        raise ValueError(f"{name} must have {length} entries, got shape {tuple(x.shape)}")
    if bool(xp.any(xp.isnan(x))):
        raise ValueError(f"{name} must hold numbers or infinities, got nan")
    return x


def _is_number(value: Any) -> bool:
    """Whether this is one number, of Python or any array library."""
    return isinstance(value, numbers.Number) or getattr(value, "ndim", None) == 0


def _number(name: str, value: Any) -> float:
    if getattr(getattr(value, "dtype", None), "kind", "") == "c" or isinstance(value, complex):
        raise TypeError(f"{name} is complex ({value!r}); real numbers are wanted")
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must hold real numbers, got {value!r}") from error
    if math.isnan(number):
        raise ValueError(f"{name} must hold numbers or infinities, got nan")
    return number
