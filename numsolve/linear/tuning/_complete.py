"""Complete factors of sparse matrices: SuperLU makes them, and our kernel solves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Matrix


class Complete:
    """The factors L U of a matrix, with its rows and columns in the order that SuperLU chose."""

    def __init__(self, factors: Any) -> None:
        L, U = factors.L, factors.U
        self._parts = (
            *(L.indptr, L.indices, L.data),
            *(U.indptr, U.indices, U.data),
            *(factors.perm_r, factors.perm_c),
        )

    def __call__(self, b: Array) -> Array:
        """The solution for one right-hand side or several."""
        from . import _cpu_look as k

        B = np.ascontiguousarray(b.reshape(b.shape[0], -1), dtype=float)
        X, work = np.empty_like(B), np.empty_like(B)
        k.solve_complete(*self._parts, B, work, X)
        with np.errstate(over="ignore"):  # seen in the residual
            return X.reshape(b.shape).astype(b.dtype, copy=False)


def complete(A: Matrix, *, positive: bool, dominant: bool = False) -> Complete | None:
    """The factors of a canonical matrix; None if it is exactly singular.

    Rows are exchanged unless it is symmetric with a positive diagonal, or its diagonal dominates: then the
    graph of A + A' gives the order.
    """
    from scipy.sparse import csc_array
    from scipy.sparse.linalg import splu

    A = A.astype(float, copy=False)
    try:
        if positive or dominant:
            # A symmetric matrix in compressed rows is the same in compressed columns.
            C = csc_array((A.data, A.indices, A.indptr), shape=A.shape) if positive else A.tocsc()
            return Complete(splu(C, "MMD_AT_PLUS_A", 0.0, options={"SymmetricMode": True}))
        return Complete(splu(A.tocsc()))
    except RuntimeError:
        return None
