"""Matrices in the forms that the compiled kernels of this column take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays

from ._tuples import LongRows, ShortRows

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Matrix

#: Entries of a row, in the mean, from which on rows are long.
SHORT = 64


def in_rows(A: Matrix) -> Matrix:
    """A matrix in C order, or in compressed rows with sorted indices."""
    if not arrays.is_sparse(A):
        return np.ascontiguousarray(A)
    A = A.tocsr()
    A.sort_indices()
    return A


def by_rows(A: Matrix) -> Any:
    """The form that the kernels take, of a matrix `in_rows`."""
    if not arrays.is_sparse(A):
        return A
    wide = max(A.nnz, *A.shape) >= 2**32
    kind = np.uint64 if wide else np.uint32  # the kernels need not think of negative indices
    rows = ShortRows if A.nnz < SHORT * A.shape[0] else LongRows

    def as_kind(index: Array) -> Array:
        return index.view(kind) if index.dtype == np.int32 and not wide else index.astype(kind, copy=False)

    return rows(as_kind(A.indptr), as_kind(A.indices), A.data)
