"""The Newton system S x = rhs,  S = diag(d) - P diag(1/b) P', solved with a dense Cholesky factor of S."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, Kernels, Namespace

#: Entries of the triangle of S that are added up between two looks at the keyboard, roughly.
TRIANGLE = 20_000_000


def factorised(
    xp: Namespace, matrix: Callable[[Array], Array], d: Array, rhs: Array, fallback: Array | None
) -> Array:
    """Solve with the dense S, its diagonal raised as far as rounding makes it necessary.

    The factorisation and the product that makes S are single calls of BLAS and LAPACK, which nothing
    interrupts: some n^3 operations at 1e10 a second, for n up to 5000.
    """
    shift = 1e-15
    while shift < 1e-3:
        try:
            x = cholesky_solve(xp, matrix((1 + shift) * d), rhs)
            if bool(xp.all(xp.isfinite(x))):
                return x
        except Exception as error:  # each library has a LinAlgError of its own
            if type(error).__name__ != "LinAlgError":
                raise
        shift *= 100
    if fallback is not None:
        return fallback
    with np.errstate(divide="ignore", invalid="ignore"):  # rows whose sums are below the range of numbers
        step: Array = xp.where(d > 0.0, rhs / d, xp.zeros_like(d))
    return step


def schur_matrix(xp: Namespace, P: Array, d: Array, b: Array) -> Array:
    """S as a dense matrix."""
    S = -(P / b[None, :]) @ P.T
    if not arrays.is_numpy(xp):
        out: Array = xp.eye(d.shape[0], dtype=d.dtype) * d[None, :] + S
        return out
    S[np.arange(d.size), np.arange(d.size)] += d
    return S


def schur_matrix_sparse(
    kernels: Kernels, indptr: Array, indices: Array, values: Array, d: Array, b: Array
) -> Array:
    """The lower triangle of S from a P compressed by rows: one outer product for each column."""
    from scipy.sparse import csr_array

    n, m = d.size, b.size
    columns = csr_array((values, indices, indptr), shape=(n, m)).tocsc()
    S = np.zeros((n, n))
    pairs = np.cumsum(np.diff(columns.indptr).astype(np.int64) ** 2)
    cuts = np.searchsorted(pairs, np.arange(TRIANGLE, pairs[-1], TRIANGLE)) + 1
    places = [0, *cuts.tolist(), m]
    for first, last in pairwise(places):
        kernels.lower_triangle(columns.indptr, columns.indices, columns.data, b, first, last, S)
    S[np.arange(n), np.arange(n)] += d
    return S


def cholesky_solve(xp: Namespace, S: Array, rhs: Array) -> Array:
    """Solve S x = rhs, in NumPy from the lower triangle of S; LinAlgError if S is not positive definite."""
    if not arrays.is_numpy(xp):
        out: Array = xp.linalg.solve(S, rhs)
        return out
    from scipy.linalg import cho_solve

    # The transposed view is what LAPACK calls an upper factor: nothing is copied.
    return cho_solve((np.linalg.cholesky(S).T, False), rhs, check_finite=False)  # type: ignore[no-any-return]
