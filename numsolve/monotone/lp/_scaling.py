"""Scaling of a matrix by rows and columns.

Rows and columns are divided by geometric means in turn, which minimises the spread of ``log|A_ij|``
(A. Curtis, J. Reid, "On the automatic scaling of matrices for Gaussian elimination", J. Inst. Maths.
Applics. 10, 1972); then by the roots of their largest entries (D. Ruiz, "A scaling algorithm to equilibrate
both rows and columns norms in matrices", 2001); then by the roots of their 1-norms (T. Pock, A. Chambolle,
"Diagonal preconditioning for first order primal-dual algorithms", ICCV 2011).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays
from numsolve.monotone._norms import UNLIMITED

if TYPE_CHECKING:
    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array, Matrix, Namespace

#: Sweeps by geometric means, and by largest entries.
GEOMETRIC, RUIZ = 10, 10


def scaling(A: Matrix, geometric: int = GEOMETRIC, limits: Limits = UNLIMITED) -> tuple[Array, Array]:
    """Row and column factors that make the entries of a NumPy or SciPy matrix alike.

    When the time is over they are those of the sweeps done.
    """
    m, n = A.shape
    if arrays.is_sparse(A):
        keep = A.data != 0
        i = np.repeat(np.arange(m), np.diff(A.indptr))[keep]
        j = np.asarray(A.indices, dtype=np.intp)[keep]
        log = np.log(np.abs(A.data[keep]))
    else:
        i, j = np.nonzero(A)
        log = np.log(np.abs(A[i, j]))
    rows, columns = np.zeros(m), np.zeros(n)
    in_row, in_column = np.maximum(np.bincount(i, minlength=m), 1), np.maximum(np.bincount(j, minlength=n), 1)
    for _ in range(geometric):
        if limits.expired:
            break
        rows = -np.bincount(i, log + columns[j], m) / in_row
        columns = -np.bincount(j, log + rows[i], n) / in_column
    for _ in range(RUIZ):
        if limits.expired:
            break
        size = log + rows[i] + columns[j]
        rows, columns = rows - _largest(i, size, m) / 2, columns - _largest(j, size, n) / 2
    with np.errstate(over="ignore", invalid="ignore"):  # entries further apart than the range of floats
        size = np.exp(log + rows[i] + columns[j])
        rows, columns = np.exp(rows), np.exp(columns)
        return rows / _root(np.bincount(i, size, m)), columns / _root(np.bincount(j, size, n))


def _largest(index: Array, values: Array, length: int) -> Array:
    """The largest of the values of each index, 0 where there is none."""
    out = np.full(length, -np.inf)
    np.maximum.at(out, index, values)
    out[out == -np.inf] = 0.0
    return out


def _root(sums: Array) -> Array:
    out: Array = np.sqrt(np.where(sums > 0, sums, 1.0))
    return out


def scaling_dense(xp: Namespace, A: Array, limits: Limits = UNLIMITED) -> tuple[Array, Array]:
    """The same factors for a dense array of any library."""
    zero = A == 0
    log = xp.log(xp.where(zero, 1.0, xp.abs(A)))
    rows, columns = xp.zeros_like(A[:, :1]), xp.zeros_like(A[:1, :])
    one = xp.astype(~zero, A.dtype)
    in_row = xp.maximum(xp.sum(one, axis=1, keepdims=True), xp.ones_like(rows))
    in_column = xp.maximum(xp.sum(one, axis=0, keepdims=True), xp.ones_like(columns))
    for _ in range(GEOMETRIC):
        if limits.expired:
            break
        rows = -xp.sum((log + columns) * one, axis=1, keepdims=True) / in_row
        columns = -xp.sum((log + rows) * one, axis=0, keepdims=True) / in_column
    for _ in range(RUIZ):
        if limits.expired:
            break
        size = xp.where(zero, -xp.inf, log + rows + columns)
        high_r, high_c = xp.max(size, axis=1, keepdims=True), xp.max(size, axis=0, keepdims=True)
        rows = rows - xp.where(xp.isfinite(high_r), high_r, 0.0) / 2
        columns = columns - xp.where(xp.isfinite(high_c), high_c, 0.0) / 2
    size = one * xp.exp(log + rows + columns)
    sum_r, sum_c = xp.sum(size, axis=1), xp.sum(size, axis=0)
    return (
        xp.exp(rows[:, 0]) / xp.sqrt(xp.where(sum_r > 0, sum_r, 1.0)),
        xp.exp(columns[0, :]) / xp.sqrt(xp.where(sum_c > 0, sum_c, 1.0)),
    )
