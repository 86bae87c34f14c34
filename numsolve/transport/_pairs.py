"""What the interior-point methods of quadratic and of sparsity-constrained transport share."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import cho_factor

#: Share of all pairs beyond which the system is built by dense products.
DENSE_ABOVE = 0.2


class Pairs:
    """Chosen pairs of a problem by columns (ptr, rows, cost), its weights, potentials, and a plan on them."""

    f: Any
    g: Any

    def __init__(self, kernels: Any, pairs: tuple[Any, Any, Any], a: Any, b: Any) -> None:
        self.kernels = kernels
        self.ptr, self.rows, self.cost = pairs
        self.n, self.m = a.size, b.size
        self.columns = np.repeat(np.arange(self.m), np.diff(self.ptr))
        self.a, self.b = a, b

    @property
    def plan(self) -> Any:
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

    def support(self, share: float) -> tuple[Any, Any, Any]:
        """The plan by columns (ptr, rows, t), without entries below a share of their column's weight."""
        plan = self.plan
        kept = plan > share * self.b[self.columns]
        ptr = np.concatenate([[0], np.cumsum(np.bincount(self.columns[kept], minlength=self.m))])
        return ptr, self.rows[kept], plan[kept]

    def by_row(self, values: Any) -> Any:
        """Sum the values of the pairs of each row."""
        return np.bincount(self.rows, values, self.n)

    def by_column(self, values: Any) -> Any:
        """Sum the values of the pairs of each column."""
        return np.bincount(self.columns, values, self.m)

    def normal_matrix(self, d: Any, U: Any, V: Any) -> Any:
        """The lower triangle of diag(d) - U U' - V V'."""
        if self.rows.size < DENSE_ABOVE * self.n * self.m:
            return self.kernels.normal_matrix(d, self.ptr, self.rows, U, V)
        S = np.diag(d)
        for values in (U, V):
            dense = np.zeros((self.n, self.m))
            dense[self.rows, self.columns] = values
            S -= dense @ dense.T
        return S


def to_zero(x: Any, dx: Any) -> float:
    """The longest step that keeps x + length dx nonnegative, at most 1."""
    steepest = float(np.max(-dx / x))
    return 1.0 if steepest <= 1.0 else 1.0 / steepest


def factorised(S: Any) -> Any:
    """Factorise the lower triangle of S; constants are in its null space, hence the shift."""
    diagonal = np.arange(S.shape[0])
    own = S[diagonal, diagonal].copy()
    shift = 1e-13
    while True:
        S[diagonal, diagonal] = (1 + shift) * own
        try:
            return cho_factor(S, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            if not shift < 1:
                raise
            shift *= 100
