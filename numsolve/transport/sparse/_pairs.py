"""What the interior-point methods of quadratic and of sparsity-constrained transport share."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.linalg import cho_factor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numsolve._core.typing import Array, Kernels
    from numsolve.transport._deadline import Deadline

#: Share of all pairs beyond which the system is built by dense products.
DENSE_ABOVE = 0.2
#: Entries of a matrix that are added to between two looks at the clock.
PIECE = 20_000_000
#: What is added to the diagonal, relatively, until the factorisation succeeds.
SHIFTS = tuple(1e-13 * 100.0**k for k in range(8))


class ByColumns(NamedTuple):
    """Numbers that belong to some pairs, those of column j at ``ptr[j]:ptr[j + 1]``."""

    ptr: Array
    rows: Array
    values: Array


class ChosenPairs:
    """Chosen pairs of a problem with their cost, its weights, potentials, and a plan on the pairs."""

    f: Array
    g: Array

    def __init__(self, kernels: Kernels, pairs: ByColumns, a: Array, b: Array, deadline: Deadline) -> None:
        self.kernels, self.deadline = kernels, deadline
        self.ptr, self.rows, self.cost = pairs
        self.n, self.m = a.size, b.size
        self.columns = np.repeat(np.arange(self.m), np.diff(self.ptr))
        self.a, self.b = a, b

    @property
    def plan(self) -> Array:
        """The entries of the plan."""
        raise NotImplementedError

    @property
    def value(self) -> float:
        """The objective."""
        raise NotImplementedError

    @property
    def complementarity(self) -> float:
        """The duality gap, if both sides are feasible."""
        raise NotImplementedError

    def step(self) -> float:
        """Do one predictor and corrector step; return its length, 0 where rounding errors forbid one."""
        raise NotImplementedError

    @property
    def error(self) -> float:
        """The error of both marginals in the 1-norm."""
        plan = self.plan
        rows, columns = self.by_row(plan) - self.a, self.by_column(plan) - self.b
        return float(np.abs(rows).sum() + np.abs(columns).sum())

    def support(self, share: float) -> ByColumns:
        """The plan, without entries below a share of their column's weight."""
        plan = self.plan
        kept = plan > share * self.b[self.columns]
        ptr = np.concatenate([[0], np.cumsum(np.bincount(self.columns[kept], minlength=self.m))])
        return ByColumns(ptr, self.rows[kept], plan[kept])

    def by_row(self, values: Array) -> Array:
        """Sum the values of the pairs of each row."""
        return np.bincount(self.rows, values, self.n)

    def by_column(self, values: Array) -> Array:
        """Sum the values of the pairs of each column."""
        return np.bincount(self.columns, values, self.m)

    def normal_matrix(self, d: Array, U: Array, V: Array) -> Array:
        """The lower triangle of diag(d) - U U' - V V'."""
        S = np.diag(d)
        if self.rows.size < DENSE_ABOVE * self.n * self.m:
            for first, last in pieces(self.ptr, self.deadline):
                self.kernels.subtract_products(S, self.ptr, self.rows, U, V, first, last)
            return S
        for values in (U, V):
            dense = np.zeros((self.n, self.m))
            dense[self.rows, self.columns] = values
            S -= dense @ dense.T
        return S


def to_zero(x: Array, dx: Array) -> float:
    """The longest step that keeps x + length dx nonnegative, at most 1."""
    steepest = float(np.max(-dx / x))
    return 1.0 if steepest <= 1.0 else 1.0 / steepest


def factorised(S: Array) -> Any:
    """Factorise the lower triangle of S; constants are in its null space, hence the shift.

    One call of LAPACK, which no time limit interrupts: 0.3 s for 3000 unknowns on one core.
    """
    diagonal = np.arange(S.shape[0])
    own = S[diagonal, diagonal].copy()
    for shift in SHIFTS:
        S[diagonal, diagonal] = (1 + shift) * own
        with suppress(np.linalg.LinAlgError):
            return cho_factor(S, lower=True, check_finite=False)
    raise np.linalg.LinAlgError("the normal matrix is far from positive definite")


def pieces(ptr: Array, deadline: Deadline) -> Iterator[tuple[int, int]]:
    """Ranges of columns for work that is the square of their lengths, with looks at the clock between."""
    deadline.check()
    work = np.cumsum(np.diff(ptr) ** 2)
    cuts = np.searchsorted(work, np.arange(PIECE, work[-1], PIECE)) if work[-1] > PIECE else ()
    first = 0
    for last in (*cuts, ptr.size - 1):
        if last > first:
            yield first, int(last)
            deadline.check()
            first = int(last)
