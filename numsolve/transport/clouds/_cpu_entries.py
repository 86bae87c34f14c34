"""Compiled kernels for entries of a plan between clouds: those above a floor; derivatives of costs.

Sides and costs are those of `_cpu`. An entry is kept if ``log2 P_ij >= min(floor_rows[i],
floor_columns[j])``; ``cut`` has the least floor of each group of rows and of all columns.
"""

import numpy as np

from numsolve._core.compiled import inner, kernel
from numsolve.transport._cpu import _REDUCTION, _row_plan

from ._cpu import (
    EUCLIDEAN,
    PIECE,
    Side,
    _copy_point,
    _costs,
    _gather,
    _largest_exponents,
    _workspace,
)


@inner(fastmath=_REDUCTION)
def _count(c, g, f, floor, floors):
    total = 0
    for j in range(c.size):
        total += (f + g[j]) - c[j] >= min(floor, floors[j])
    return total


@kernel
def entries(kind, p, rows, columns, cut, first, last, floor_rows, floor_columns, indptr, indices, values):
    """How many entries of each row are kept; written into CSR arrays too, unless these are empty.

    The indices of a row are sorted. One kernel for counting and writing, for nearly all of it is the same.
    """
    rows, columns = Side(*rows), Side(*columns)
    X, f, edges = rows.points, rows.potential, rows.edges
    work = _workspace(columns)
    Y, g, c, x = work.points, work.potential, work.costs, work.x
    P, floors = np.empty(c.size), np.empty(g.size)
    out = np.empty(edges[last] - edges[first], np.int64)
    out[:] = 0
    for group in range(first, last):
        _largest_exponents(kind, p, rows, group, columns, work.bound)
        size = _gather(work.bound, cut[group], columns, work)
        for j in range(size):
            floors[j] = floor_columns[work.places[j]]
        for j in range(0, size, PIECE):
            end = min(j + PIECE, size)
            for i in range(edges[group], edges[group + 1]):
                _copy_point(X, i, x)
                _costs(kind, p, x, Y, j, c[: end - j])
                if indices.size == 0:
                    out[i - edges[first]] += _count(
                        c[: end - j], g[j:end], f[i], floor_rows[i], floors[j:end]
                    )
                    continue
                _row_plan(c[: end - j], g[j:end], f[i], 1.0, P[: end - j])
                begin = indptr[i] + out[i - edges[first]]
                k = begin
                for q in range(end - j):
                    if (f[i] + g[j + q]) - c[q] >= min(floor_rows[i], floors[j + q]):
                        indices[k] = work.places[j + q]
                        values[k] = P[q]
                        k += 1
                out[i - edges[first]] += k - begin
    return out


@inner(fastmath=_REDUCTION)
def _slopes(kind, p, x, Y, P, c):
    """sum_j P_j dc(x, y_j)/dx_k, from the coordinates of one axis and the costs."""
    total = 0.0
    if p is not None:
        for j in range(P.size):
            e = x - Y[j]
            total += P[j] * (np.sign(e) * p * max(abs(e), 1e-300) ** (p - 1.0))
    elif kind is None:
        for j in range(P.size):
            total += P[j] * (2.0 * (x - Y[j]))
    elif kind == EUCLIDEAN:
        for j in range(P.size):
            total += P[j] * ((x - Y[j]) / max(c[j], 1e-300))
    else:
        for j in range(P.size):
            total += P[j] * np.sign(x - Y[j])
    return total


@inner(fastmath=_REDUCTION)
def _add_multiple(a, x, y):
    for j in range(y.size):
        y[j] += a * x[j]


@inner
def _times(x, y):
    for j in range(x.size):
        x[j] *= y[j]


@kernel
def cost_gradients(kind, p, rows, columns, cut, first, last, A, B):
    """sum_j (A' B)_ij P_ij dc(x_i, y_j)/dx_i as an array (rows, d), in scaled points; 0 at kinks of the cost.

    A is (k, n) and B (k, m).
    """
    rows, columns = Side(*rows), Side(*columns)
    X, f, edges = rows.points, rows.potential, rows.edges
    work = _workspace(columns)
    Y, g, c, x = work.points, work.potential, work.costs, work.x
    P, weight = np.empty(c.size), np.empty(c.size)
    W = np.empty((B.shape[0], B.shape[1]))
    out = np.empty((edges[last] - edges[first], x.size))
    out[:] = 0.0
    for group in range(first, last):
        _largest_exponents(kind, p, rows, group, columns, work.bound)
        size = _gather(work.bound, cut[group], columns, work)
        for k in range(B.shape[0]):
            for j in range(size):
                W[k, j] = B[k, work.places[j]]
        for j in range(0, size, PIECE):
            end = min(j + PIECE, size)
            for i in range(edges[group], edges[group + 1]):
                _copy_point(X, i, x)
                _costs(kind, p, x, Y, j, c[: end - j])
                _row_plan(c[: end - j], g[j:end], f[i], 1.0, P[: end - j])
                weight[:] = 0.0
                for k in range(B.shape[0]):
                    _add_multiple(A[k, i], W[k, j:end], weight[: end - j])
                _times(P[: end - j], weight[: end - j])
                for k in range(x.size):
                    out[i - edges[first], k] += _slopes(
                        kind, p, x[k], Y[k, j:end], P[: end - j], c[: end - j]
                    )
    return out
