"""Compiled kernels for entries of a plan between clouds: those above a floor; derivatives of costs.

Sides and costs are those of `_cpu_cloud`. An entry is kept if ``log2 P_ij >= min(floor_rows[i],
floor_columns[j])``; ``cut`` has the least floor of each group of rows and of all columns.
"""

import numpy as np
from numba import njit

from ._cpu import _REDUCTION, _row_plan
from ._cpu_cloud import (
    CITYBLOCK,
    EUCLIDEAN,
    PIECE,
    SQUARED,
    _copy_point,
    _costs,
    _gather,
    _largest_exponents,
    _workspace,
)


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _count(c, g, f, floor, floors):
    total = 0
    for j in range(c.size):
        total += (f + g[j]) - c[j] >= min(floor, floors[j])
    return total


@njit(cache=True, error_model="numpy", nogil=True)
def count_entries(kind, p, rows, columns, cut, first, last, floor_rows, floor_columns):
    """How many entries of each row are kept."""
    X, f, edges = rows[:3]
    bound, Y, g, index, c, x = _workspace(columns)
    floors = np.empty(g.size)
    out = np.zeros(edges[last] - edges[first], np.int64)
    for group in range(first, last):
        _largest_exponents(kind, p, rows, group, columns, bound)
        size = _gather(bound, cut[group], columns, Y, g, index)
        for j in range(size):
            floors[j] = floor_columns[index[j]]
        for j in range(0, size, PIECE):
            end = min(j + PIECE, size)
            for i in range(edges[group], edges[group + 1]):
                _copy_point(X, i, x)
                _costs(kind, p, x, Y, j, c[: end - j])
                out[i - edges[first]] += _count(c[: end - j], g[j:end], f[i], floor_rows[i], floors[j:end])
    return out


@njit(cache=True, error_model="numpy", nogil=True)
def fill_entries(
    kind, p, rows, columns, cut, first, last, floor_rows, floor_columns, indptr, indices, values
):
    """Write the entries that `count_entries` counted into CSR arrays; the indices of a row are sorted."""
    X, f, edges = rows[:3]
    bound, Y, g, index, c, x = _workspace(columns)
    P = np.empty(PIECE)
    place = indptr[edges[first] : edges[last]].copy()
    for group in range(first, last):
        _largest_exponents(kind, p, rows, group, columns, bound)
        size = _gather(bound, cut[group], columns, Y, g, index)
        for j in range(0, size, PIECE):
            end = min(j + PIECE, size)
            for i in range(edges[group], edges[group + 1]):
                _copy_point(X, i, x)
                _costs(kind, p, x, Y, j, c[: end - j])
                _row_plan(c[: end - j], g[j:end], f[i], 1.0, P[: end - j])
                k = place[i - edges[first]]
                for q in range(end - j):
                    if (f[i] + g[j + q]) - c[q] >= min(floor_rows[i], floor_columns[index[j + q]]):
                        indices[k] = index[j + q]
                        values[k] = P[q]
                        k += 1
                place[i - edges[first]] = k


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _slopes(kind, p, x, Y, P, c):
    """sum_j P_j dc(x, y_j)/dx_k, from the coordinates of one axis and the costs."""
    total = 0.0
    if kind == SQUARED:
        for j in range(P.size):
            total += P[j] * (2.0 * (x - Y[j]))
    elif kind == EUCLIDEAN:
        for j in range(P.size):
            total += P[j] * ((x - Y[j]) / max(c[j], 1e-300))
    elif kind == CITYBLOCK:
        for j in range(P.size):
            total += P[j] * np.sign(x - Y[j])
    else:
        for j in range(P.size):
            e = x - Y[j]
            total += P[j] * (np.sign(e) * p * max(abs(e), 1e-300) ** (p - 1.0))
    return total


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _add_multiple(a, x, y):
    for j in range(y.size):
        y[j] += a * x[j]


@njit(cache=True, error_model="numpy", nogil=True)
def cost_gradients(kind, p, rows, columns, cut, first, last, A, B):
    """sum_j (A' B)_ij P_ij dc(x_i, y_j)/dx_i as an array (rows, d), in scaled points; 0 at kinks of the cost.

    A is (k, n) and B (k, m).
    """
    X, f, edges = rows[:3]
    bound, Y, g, index, c, x = _workspace(columns)
    P, weight = np.empty(PIECE), np.empty(PIECE)
    W = np.empty(B.shape)
    out = np.zeros((edges[last] - edges[first], x.size))
    for group in range(first, last):
        _largest_exponents(kind, p, rows, group, columns, bound)
        size = _gather(bound, cut[group], columns, Y, g, index)
        for k in range(B.shape[0]):
            for j in range(size):
                W[k, j] = B[k, index[j]]
        for j in range(0, size, PIECE):
            end = min(j + PIECE, size)
            for i in range(edges[group], edges[group + 1]):
                _copy_point(X, i, x)
                _costs(kind, p, x, Y, j, c[: end - j])
                _row_plan(c[: end - j], g[j:end], f[i], 1.0, P[: end - j])
                weight[: end - j] = 0.0
                for k in range(B.shape[0]):
                    _add_multiple(A[k, i], W[k, j:end], weight[: end - j])
                P[: end - j] *= weight[: end - j]
                for k in range(x.size):
                    out[i - edges[first], k] += _slopes(
                        kind, p, x[k], Y[k, j:end], P[: end - j], c[: end - j]
                    )
    return out
