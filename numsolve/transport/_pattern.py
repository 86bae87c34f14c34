# mypy: disable-error-code=no-any-return
# (SciPy's arrays have no types: what they return is an Array by our word)
"""Costs that only some pairs have: the problem, its dual and its search of an exact plan.

Everything is a sum or a least entry over the stored entries of a row or a column. The entries lie by rows, as
in CSR; an order of them by columns comes with the pattern.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ._pairs import Pairs
from ._problem import Problem
from ._reduced import sharp
from ._search import Search
from ._semidual import DenseDual
from .pattern_result import PatternResult

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from ._ascent import State
    from ._pairs import Prices
    from ._problem import Potentials
    from .result import TransportResult


#: Rows from which S may be factorised as a sparse matrix, and the entries of a row of S up to which it is.
FEW, THIN = 500, 30
#: The same without small entries of the plan, after so many steps of conjugate gradients for one system.
DROPPED, MANY = 150, 150
#: Steps of conjugate gradients that may take as long as a factorisation, for both.
THIN_STEPS, DROPPED_STEPS = 1e5, 500


@dataclass(frozen=True)
class Pattern:
    """Where a matrix has entries, none of its rows and columns being empty."""

    i: Array
    j: Array
    indptr: Array
    #: The entries in the order of the columns, and where each of these begins.
    by_columns: Array
    starts: Array

    @classmethod
    def of(cls, M: Any) -> Self:
        """The pattern of a canonical CSR matrix."""
        i = np.repeat(np.arange(M.shape[0]), np.diff(M.indptr))
        by_columns = np.argsort(M.indices, kind="stable")
        starts = np.searchsorted(M.indices[by_columns], np.arange(M.shape[1]))
        return cls(i, M.indices.astype(np.int64), M.indptr.astype(np.int64), by_columns, starts)

    def least_in_rows(self, x: Array) -> Array:
        return np.minimum.reduceat(x, self.indptr[:-1])

    def least_in_columns(self, x: Array) -> Array:
        return np.minimum.reduceat(x[self.by_columns], self.starts)


@dataclass(frozen=True)
class PatternProblem(Problem):
    """A `Problem` whose M is a CSR matrix of the allowed pairs."""

    M: Any
    pattern: Pattern = None  # type: ignore[assignment]  # dataclasses want a default
    #: The caller's matrix, and which of its entries are those of M.
    whole: Any = None
    kept: Any = None
    kind: ClassVar[type[TransportResult]] = PatternResult

    def cost_of(self, P: Any) -> float:
        """sum(P * M)."""
        return float(P.data.astype(np.float64) @ self.M.data)

    def plan(self, P: Any) -> Array:
        """The plan in the caller's pattern."""
        data = np.zeros(self.whole.data.size, dtype=P.dtype)
        data[self.kept] = P.data * self.scale
        return type(self.whole)((data, self.whole.indices, self.whole.indptr), shape=self.whole.shape)

    def bounds(self, P: Array, f: Array) -> tuple[float, float]:  # noqa: ARG002
        """Only the lower one: to put right what a plan misses of its marginals may need a forbidden pair."""
        p, M = self.pattern, self.M.data
        g = p.least_in_columns(M - f[p.i])
        f = p.least_in_rows(M - g[p.j])
        low = float(self.a @ f) + float(self.b @ g) + self.shift_of(self.a, self.b)
        return self.mass * low, math.inf

    def centred_at(self, f: Array, g: Array) -> Problem:
        """The problem whose potentials are less by these."""
        mean = float(self.a @ f)
        f, g = f - mean, g + mean
        data = self.M.data - f[self.pattern.i] - g[self.pattern.j]
        M = with_data(self.M, data)
        return replace(
            self,
            M=M,
            up=self.up + f,
            over=self.over + g,
            range=float(np.ptp(data)),
            highest=float(data.max()),
        )

    @property
    def entries(self) -> int:
        """How many pairs there are."""
        return int(self.M.nnz)

    def some_costs(self) -> Array:
        """All costs."""
        return self.M.data

    def cut_off(self, most: float) -> Problem:
        """The problem of exact transport whose costs are at most so much."""
        most = float(self.M.dtype.type(most))
        data = np.minimum(self.M.data, most)
        low = float(data.min())
        reg = sharp(np, data[None, :], low, most - low, max(self.M.shape))
        return replace(self, M=with_data(self.M, data), reg=reg, range=most - low, highest=most)


def with_data(M: Any, data: Array) -> Any:
    """A matrix of the same pattern."""
    return type(M)((data, M.indices, M.indptr), shape=M.shape)


class PatternDual(DenseDual):
    """The dual of a `PatternProblem`, whose M is a CSR matrix, the smaller side first."""

    cg_limit = 2000
    #: Of conjugate gradients, for the last system that they solved.
    steps = 0
    problem: PatternProblem
    M: Any

    def laid_out(self, problem: Problem) -> Array:
        """The cost in double precision, the smaller side first."""
        M: Any = problem.M.astype(np.float64)
        return M.T.tocsr() if self.swapped else M

    def allocate(self) -> None:
        """The order of the entries by columns."""
        self.pattern = Pattern.of(self.M) if self.swapped else self.problem.pattern
        self.indices = self.M.indices.astype(np.int32)

    def transform(self, f: Array, g: Array) -> Potentials:  # noqa: ARG002  (nothing has to be stabilised)
        """The soft c-transform of f, by logarithms of sums, and the row sums of the plan of the pair."""
        p, order = self.pattern, self.pattern.by_columns
        x = ((f[p.i] - self.M.data) / self.reg)[order]
        top = np.maximum.reduceat(x, p.starts)
        counts = np.diff(np.append(p.starts, x.size))
        with np.errstate(under="ignore"):
            x = np.exp(x - np.repeat(top, counts))
        sums = np.add.reduceat(x, p.starts)
        r = np.bincount(p.i[order], x * np.repeat(self.b / sums, counts), self.n)
        return self.reg * (np.log(self.b) - top - np.log(sums)), r

    def log_row_sums(self, s: State) -> Array:
        """The logarithms of the row sums, whatever their size."""
        p = self.pattern
        x = (s.f[p.i] + s.g[p.j] - self.M.data) / self.reg
        top = np.maximum.reduceat(x, p.indptr[:-1])
        return top + np.log(np.add.reduceat(np.exp(x - top[p.i]), p.indptr[:-1]))

    def entries(self, s: State, floor_a: Array, floor_b: Array) -> tuple[Array, Array, Array]:  # noqa: ARG002
        """All entries of the plan, in CSR."""
        return self.pattern.indptr, self.indices, self.plan(s).data

    def direction(self, s: State, tol: float, direct: bool) -> tuple[Array, bool]:
        """Solve Newton's equation: where S has few entries by a sparse factorisation, else as there.

        Thin patterns are like grids and rings, on which conjugate gradients take a step for each point. At a
        small regularisation those of nearest neighbours are thin, too, without the least entries of the plan.
        """
        d, b, rhs, _ = self.equation(s, tol)
        S = None if self.n < FEW else self._thin_matrix(s, d, b)
        if S is None:
            before = self.counts["ncg"]
            found = super().direction(s, tol, direct)
            self.steps = self.counts["ncg"] - before
            return found
        from scipy.sparse.linalg import splu

        x = splu(S, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(rhs)
        return x - self.dot(self.a, x), True

    def _thin_matrix(self, s: State, d: Array, b: Array) -> Any:
        """S, or None where a factorisation of it would take too long."""
        from scipy.sparse import diags_array

        p, P, steps = self.pattern, self.plan(s), THIN_STEPS
        if np.square(np.diff(p.starts, append=P.nnz)).sum() > THIN * self.n:
            if self.steps < MANY:
                return None
            drop, steps = 0.1 * min(1.0, s.error), DROPPED_STEPS
            kept = P.data > np.minimum((drop / self.m) * s.goal[p.i], (drop / self.n) * b[p.j])
            indptr = np.append(0, np.cumsum(kept))[p.indptr]
            P = type(P)((P.data[kept], P.indices[kept], indptr), shape=P.shape)
            if np.square(np.bincount(P.indices, minlength=self.m)).sum() > DROPPED * self.n:
                return None
        S = (diags_array(d) - P @ diags_array(1 / b) @ P.T).tocsc()
        return S if _operations(S) <= steps * (2.0 * self.M.nnz + 8 * self.n) else None

    def plan(self, s: State) -> Any:
        """The plan."""
        p = self.pattern
        with np.errstate(over="ignore", under="ignore"):
            return with_data(self.M, np.exp((s.f[p.i] + s.g[p.j] - self.M.data) / self.reg))

    def answer(self, s: State) -> tuple[Array, Potentials]:
        """The plan in the order and the dtype of the problem, and its sums."""
        P = self.plan(s)
        P = (P.T.tocsr() if self.swapped else P).astype(self.dtype)
        return P, (P.sum(axis=1), P.sum(axis=0))

    def first_allowed(self, order: Array) -> Array:
        """Where in an order of the rows each column has its first allowed pair."""
        rank = np.empty(self.n, dtype=np.int64)
        rank[order] = np.arange(self.n)
        return self.pattern.least_in_columns(rank[self.pattern.i])


def _operations(S: Any) -> float:
    """Operations of a factorisation of a symmetric matrix within the profile that a band order leaves."""
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    order = reverse_cuthill_mckee(S.T, symmetric_mode=True)
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    first = np.minimum.reduceat(place[S.indices], S.indptr[:-1])
    return float(np.square(np.maximum(place - first, 0.0)).sum())


class PatternSearch(Search):
    """The search of an exact plan among the allowed pairs."""

    problem: PatternProblem

    def load(self) -> None:
        """The costs in double precision."""
        self.costs: Array = self.problem.M.data.astype(np.float64)

    def transformed(self, f: Array) -> Prices:
        """The hard c-transforms of f."""
        p = self.problem.pattern
        g = p.least_in_columns(self.costs - f[p.i])
        return p.least_in_rows(self.costs - g[p.j]), g

    def below(self, prices: Prices, limit: float) -> tuple[Pairs, Array]:
        """The pairs whose reduced cost is at most the limit, and the least one of each row."""
        p = self.problem.pattern
        rest = self.costs - prices[0][p.i] - prices[1][p.j]
        hits = rest <= limit
        return Pairs(p.i[hits], p.j[hits], self.costs[hits]), p.least_in_rows(rest)

    def some(self, i: Array, j: Array) -> Pairs:
        """Those of some pairs that are allowed."""
        p, m = self.problem.pattern, self.b.size
        keys, wanted = p.i * m + p.j, np.unique(i * m + j)
        where = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
        where = where[keys[where] == wanted]
        return Pairs(p.i[where], p.j[where], self.costs[where])

    def stored(self, i: Array, j: Array, t: Array) -> Array:
        """The plan, in the pattern."""
        p, m = self.problem.pattern, self.b.size
        data = np.zeros(self.costs.size, dtype=self.problem.M.dtype)
        data[np.searchsorted(p.i * m + p.j, i * m + j)] = t
        return with_data(self.problem.M, data)
