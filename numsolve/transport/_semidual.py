"""The dual in f of `newton`: its values, its steps, and how threads share what costs time."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from numsolve._core import arrays

from ._ascent import EntropicAscent, State
from ._schur import factorised, schur_matrix, schur_matrix_sparse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array, ArrayLike

    from ._problem import Problem

    Pair: TypeAlias = tuple[Array, Array]
    #: A plan compressed by rows: indptr, indices, values.
    Entries: TypeAlias = tuple[Array, Array, Array]

T = TypeVar("T")

#: Share of the entries of P beyond which the products with S use all of them.
SPARSE_BELOW = 0.08
#: Share of the entries of a block of rows beyond which those of the others are not counted any more.
FULL = 0.5
#: Entries up to which cost and plan stay in a cache; beyond, threads share a look at the cost.
CACHED = 1_500_000
#: Entries of a block of rows, at least, and the most blocks.
BLOCK, BLOCKS = 250_000, 16
#: Entries of P up to which products with all of them are as fast as with those that matter.
DENSE_PLAN = 10_000
#: Unknowns beyond which S is not stored.
DENSE_BELOW = 5000


class DenseDual(EntropicAscent[State]):
    """The problem with its smaller side as f."""

    #: Steps of conjugate gradients for a direction, where S is not stored.
    cg_limit = 300

    def __init__(self, problem: Problem, limits: Limits) -> None:
        xp = self.xp = problem.xp
        self.problem, self.limits, self.reg = problem, limits, problem.reg
        self.k = arrays.kernels_for(xp, __package__)
        self.system = arrays.kernels_for(xp, __package__, "newton")
        self.swapped = problem.M.shape[1] < problem.M.shape[0]
        self.dtype = problem.M.dtype
        self.a, self.b = (problem.b, problem.a) if self.swapped else (problem.a, problem.b)
        M = self.laid_out(problem)
        if arrays.is_numpy(xp):
            self.a, self.b = self.a.astype(np.float64), self.b.astype(np.float64)
            if self.singular:  # float32 sums are one to 1e-7
                self.a, self.b = self.a / self.a.sum(), self.b / self.b.sum()
        self.M = M
        self.n, self.m = M.shape
        self.P: Array | None = None
        self.blocks: list[slice] = [slice(None)]
        self.pool: ThreadPoolExecutor | None = None
        #: Memory for a plan that stays in a cache: one look that writes it is then less than two that read M.
        self.scratch: Array | None = None
        #: The g and the eps of the plan that is there.
        self.shown: tuple[Array, float] | None = None
        self.allocate()
        self.log_a = xp.log(self.a)
        self.unit = float(xp.finfo(M.dtype).eps)
        #: Weights below this are nothing.
        self.tiny = float(xp.finfo(M.dtype).smallest_normal) * 1e16
        self.rounding = min(self.unit * (8 + problem.range / problem.reg), self.unit**0.5)
        self.counts = {"nsinkhorn": 0, "nnewton": 0, "ncg": 0}
        self.centred_times = 0

    def allocate(self) -> None:
        """What the looks at the cost need: memory, or threads."""
        if not arrays.is_numpy(self.xp):
            return
        if self.n * self.m > CACHED:
            rows = 4 * math.ceil(max(self.n / BLOCKS, BLOCK / self.m) / 4)
            self.blocks = [slice(i, i + rows) for i in range(0, self.n, rows)]
            self.pool = ThreadPoolExecutor(self.k.threads())
        elif self.singular:
            self.scratch = np.empty(self.M.shape)

    def wants_centring(self, s: State, tol: float) -> bool:
        """Whether rounding of potentials that are large against eps may keep the error above tol."""
        if not self.singular or self.centred_times >= 3 or self.dtype != self.a.dtype:
            return False
        size = max(float(self.xp.max(self.xp.abs(x))) for x in (s.f, s.g)) / self.reg
        return self.unit * min(size, self.problem.range / self.reg) > 1e-2 * tol

    def centre(self, problem: Problem, M: Array, s: State) -> State:
        """Go on with the problem in which the potentials of s are zero, and its M as `laid_out`."""
        self.problem, self.M, self.shown = problem, M, None
        self.centred_times += 1
        return State(0 * s.f, 0 * s.g, s.r, s.goal, 0.0, s.error)

    def laid_out(self, problem: Problem) -> Array:
        """The cost as the kernels want it: the smaller side first, rows in one piece, in double precision.

        Float32 comes back at the end.
        """
        M = problem.M.T if self.swapped else problem.M
        return np.ascontiguousarray(M, dtype=np.float64) if arrays.is_numpy(self.xp) else M

    def original(self, x: Pair) -> Pair:
        """Potentials in the order and the dtype of the problem."""
        f, g = x[::-1] if self.swapped else x
        return self.xp.astype(f, self.dtype), self.xp.astype(g, self.dtype)

    def exponents(self, f: Array, g: Array) -> Pair:
        """The potentials that kernels take: P = exp((f + g - M) / eps)."""
        return f, g

    def centred(self, f: Array, g: Array) -> Pair:
        """The way back."""
        return f, g

    def start(self, potentials: Sequence[ArrayLike] | None) -> Pair:
        """Where to start, in the order and the dtype of the computation; zeros if nothing is given."""
        if potentials is None:
            return self.xp.zeros_like(self.a), self.xp.zeros_like(self.b)
        f, g = self.problem.start(potentials)
        f, g = (g, f) if self.swapped else (f, g)
        return self.centred(self.xp.astype(f, self.a.dtype), self.xp.astype(g, self.b.dtype))

    def close(self) -> None:
        """Let the threads go."""
        if self.pool is not None:
            self.pool.shutdown()

    def at(self, f: Array, g: Array) -> State:
        """Evaluate everything at f, with g as the stabiliser."""
        g, r = self.transform(f, g)
        with np.errstate(over="ignore", invalid="ignore"):  # far from the solution: nan, or infinite
            goal = self.row_goal(f)
            return State(f, g, r, goal, self.value(f, g), self.l1(r - goal))

    def transform(self, f: Array, g: Array) -> Pair:
        """Return the soft c-transform g(f) and the row sums of the plan of the pair.

        The g that comes in, of a nearby f or another reg, serves as the stabiliser; where that leads to
        overflow or underflow the hard c-transform takes its place.
        """
        k, xp, reg = self.k, self.xp, self.reg
        if self.scratch is not None:
            self.shown = None
            _, g, r = k.transform(self.M, f, g, self.b, reg, self.scratch)
            self.shown = g, reg
            return g, r
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            p, q = self.exponents(f, g)
            c = self._column_sums(p, q)
            if not self._has_all_digits(c):
                least = self._over_rows(lambda i: k.least_in_columns(self.M[i, ...], p[i]))
                q = reduce(xp.minimum, least)
                g = self.centred(p, q)[1]
                c = self._column_sums(p, q)
            g = self.column_step(g, c)
            q = self.exponents(f, g)[1]
            r = self._over_rows(lambda i: k.plan_row_sums(self.M[i, ...], p[i], q, reg))
        return g, xp.concat(r)

    def _column_sums(self, f: Array, g: Array) -> Array:
        k, M, reg = self.k, self.M, self.reg
        return reduce(add, self._over_rows(lambda i: k.plan_column_sums(M[i, ...], f[i], g, reg)))

    def _has_all_digits(self, c: Array) -> bool:
        """Whether sums of exponentials suffered neither overflow nor underflow; False for nan too."""
        return float(self.xp.min(c)) > self.tiny and float(self.xp.max(c)) < 1 / self.tiny

    def _over_rows(self, part: Callable[[slice], T]) -> list[T]:
        """Evaluate part by threads; the blocks of rows, and so the answer, do not depend on their number."""
        if self.pool is None:
            return [part(i) for i in self.blocks]
        results: list[T] = [None] * len(self.blocks)  # type: ignore[list-item]  # all are filled
        todo = iter(range(len(self.blocks)))

        def work() -> None:
            for i in todo:
                results[i] = part(self.blocks[i])

        helpers = [self.pool.submit(work) for _ in range(self.k.threads() - 1)]
        work()
        for helper in helpers:
            helper.result()
        return results

    def column_step(self, g: Array, c: Array) -> Array:
        """Return the g that makes the columns right, from one and its column sums."""
        out: Array = g + self.reg * (self.xp.log(self.b) - self.xp.log(c))  # (1) of `newton`
        return out

    def plan(self, s: State) -> Array:
        """The plan, in the same memory each time."""
        if self.scratch is not None and self._is_shown(s):
            return self.scratch
        f, g = self.exponents(s.f, s.g)
        if not arrays.is_numpy(self.xp):
            out: Array = self.k.plan(self.M, f, g, self.reg)
            return out
        P = self.P = np.empty(self.M.shape) if self.P is None else self.P
        self._over_rows(lambda i: self.k.fill_plan(self.M[i], f[i], g, self.reg, P[i]))
        return P

    def _is_shown(self, s: State) -> bool:
        """Whether the plan of a point is in memory already."""
        return self.shown is not None and self.shown[0] is s.g and self.shown[1] == self.reg

    def entries(self, s: State, floor_a: Array, floor_b: Array) -> Entries | None:
        """The entries P_ij >= min(floor_a_i, floor_b_j) in CSR; None if they are too many, or P is small."""
        if self.n * self.m <= DENSE_PLAN:
            return None
        capacity = int(SPARSE_BELOW * self.n * self.m) + self.m
        if self.scratch is not None and self._is_shown(s):
            return entries_of(self.scratch, floor_a, floor_b, capacity)
        f, g = self.exponents(s.f, s.g)
        kept: list[int] = []

        def part(i: slice) -> Entries | None:
            if sum(kept) > capacity:
                return None
            M = self.M[i, ...]
            most = min(capacity, int(FULL * M.shape[0] * M.shape[1]) + self.m)
            count, *found = self.system.plan_entries(M, f[i], g, self.reg, floor_a[i], floor_b, most)
            kept.append(count if count >= 0 else capacity + 1)
            return found[0], found[1], found[2]

        parts = self._over_rows(part)
        if sum(kept) > capacity:
            return None
        counts, indices, values = zip(*((np.diff(p[0]), *p[1:]) for p in parts if p is not None), strict=True)
        indptr = np.concatenate(([0], np.cumsum(np.concatenate(counts))))
        return indptr, np.concatenate(indices), np.concatenate(values)

    def row_goal(self, f: Array) -> Array:  # noqa: ARG002
        """What the row sums are at the solution."""
        return self.a

    def value(self, f: Array, g: Array) -> float:
        """F, without constants."""
        return self.dot(self.a, f) + self.dot(self.b, g)  # (2)

    def row_step(self, f: Array, g: Array, log_r: Array) -> Array:  # noqa: ARG002
        """Return the f that makes the rows right for the present g."""
        out: Array = f + self.reg * (self.log_a - log_r)
        return out

    def goals(self, s: State) -> Pair:
        """What the row and column sums of the problem, not swapped, should be."""
        return self.original((s.goal, self.b))

    def sweep(self, s: State) -> State:
        """One iteration of Sinkhorn: the rows exact, then the columns."""
        self.counts["nsinkhorn"] += 1
        log_r = self.xp.log(s.r) if float(self.xp.min(s.r)) > 1e-290 else self.log_row_sums(s)
        with np.errstate(over="ignore", invalid="ignore"):
            f = self.row_step(s.f, s.g, log_r)
        return self.at(f, s.g)

    def log_row_sums(self, s: State) -> Array:
        """The logarithms of the row sums, whatever their size."""
        out: Array = self.k.log_row_sums(self.M, *self.exponents(s.f, s.g), self.reg)
        return out

    def answer(self, s: State) -> tuple[Array, Pair]:
        """The plan in the order and the dtype of the problem, and the sums of its rows and columns."""
        xp, P = self.xp, self.plan(s)
        P = xp.astype(P.T if self.swapped else P, self.dtype, copy=False)
        return P, (xp.sum(P, axis=1), xp.sum(P, axis=0))

    def overloaded(self, by: Array) -> bool:
        """Whether some rows weigh more than all columns that they may use together (Hall's condition fails).

        Where no plan exists F grows without bound along such a set, so its rows come first in the order of f
        and of the step. The test is exact for the sets that it looks at: the first k rows, for every k.
        """
        order = np.argsort(-arrays.to_host(by))
        weight = np.cumsum(arrays.to_host(self.a)[order])
        # From how many rows on a column is within reach.
        first = self.first_allowed(order)
        room = np.cumsum(np.bincount(first, weights=arrays.to_host(self.b), minlength=self.n))
        return bool(np.max(weight - room) > 1e-12)

    def first_allowed(self, order: Array) -> Array:
        """Where in an order of the rows each column has its first allowed pair."""
        out: Array = np.argmax(np.isfinite(arrays.to_host(self.M))[order], axis=0)
        return out

    def direction(self, s: State, tol: float, direct: bool) -> tuple[Array, bool]:
        """Solve Newton's equation, and say whether factorising is the cheaper way."""
        k, xp, n, m = self.system, self.xp, self.n, self.m
        d, b, rhs, stop = self.equation(s, tol)
        drop = 0.1 * min(1.0, s.error)
        entries = self.entries(s, (drop / m) * s.goal, (drop / n) * b)
        P = self.plan(s) if entries is None else self.M
        # Nanoseconds of one CG step and of one factorisation: their ratio bounds the steps.
        step_cost = 0.22 * n * m if entries is None else 2.0 * entries[1].size + 8 * n
        factor_cost = n**3 / 75 + (n * n * m / 25 if entries is None else 0)
        x, over = None, lambda: self.limits.expired
        if not (direct and n <= DENSE_BELOW):
            limit = max(20, int(factor_cost / step_cost)) if n <= DENSE_BELOW else self.cg_limit
            if entries is None:
                x, steps, done = k.schur_cg(P, d, b, rhs, stop, limit, over)
            else:
                x, steps, done = k.schur_cg_sparse(
                    *entries, d, b, rhs, stop, limit, lambda: self.limits.expired
                )
            self.counts["ncg"] += steps
            if done or n > DENSE_BELOW or self.limits.expired:
                return x, False
        if 1e-9 * factor_cost > self.limits.seconds_left:  # nothing interrupts a factorisation
            return (rhs / d if x is None else x), False

        def matrix(d: Array) -> Array:
            if entries is None:
                return schur_matrix(xp, P, d, b)
            return schur_matrix_sparse(k, *entries, d, b)

        return factorised(xp, matrix, d, rhs, x), True

    @property
    def expired(self) -> bool:
        """Whether the time is over."""
        return self.limits.expired


def entries_of(P: Array, floor_a: Array, floor_b: Array, capacity: int) -> Entries | None:
    """The same for a plan that is stored."""
    n, m = P.shape
    keep = P >= floor_a[:, None]
    keep |= P >= floor_b
    if np.count_nonzero(keep) > capacity:
        return None
    flat = np.flatnonzero(keep)
    indptr = np.searchsorted(flat, np.arange(0, n * m + 1, m))
    return indptr, (flat % m).astype(np.int32), P.ravel()[flat]
