"""Compiled kernels of the Newton system S x = rhs,  S = diag(d) - P diag(1/b) P'; notation as in `_cpu`."""

import numpy as np
from numba import njit

from ._cpu import _REDUCTION, LOG2E, _exp2, column_products, row_products


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _above(cost, f, g, rate, floor, floors, out):
    for j in range(cost.size):
        out[j] = ((f + g[j]) - cost[j] * rate) - min(floor, floors[j])


@njit(cache=True, error_model="numpy")
def _not_negative(x, indices, k):
    for j in range(x.size):  # each index is written, and kept by moving on: no branch to mispredict
        indices[k] = j
        k += x[j] >= 0.0
    return k


@njit(cache=True, error_model="numpy", nogil=True)
def plan_entries(M, f, g, reg, floor_a, floor_b, capacity):
    """The entries P_ij >= min(floor_a_i, floor_b_j) in CSR: their number, indptr, indices, values.

    The number is -1 if there are more than ``capacity``. Exponents are compared; exponentials are taken of
    what is kept.
    """
    n, m = M.shape
    rate = LOG2E / reg
    f, g, floor_a, floor_b = f * rate, g * rate, np.log2(floor_a), np.log2(floor_b)
    indptr = np.zeros(n + 1, np.int64)
    indices = np.empty(capacity + m, np.int32)
    values = np.empty(capacity + m)
    above = np.empty(m)
    k = 0
    for i in range(n):
        row = M[i]
        _above(row, f[i], g, rate, floor_a[i], floor_b, above)
        end = _not_negative(above, indices, k)
        if end > capacity:
            return -1, indptr, indices, values
        for q in range(k, end):
            values[q] = _exp2((f[i] + g[indices[q]]) - row[indices[q]] * rate)
        k = end
        indptr[i + 1] = k
    return k, indptr, indices[:k], values[:k]


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _cg_update(p, Sp, x, residual, z, jacobi, rz):
    """One step of conjugate gradients after the product S p: the new rz and ||residual||_1."""
    curvature = 0.0
    for i in range(p.size):
        curvature += p[i] * Sp[i]
    if not curvature > 0.0:
        return -1.0, 0.0
    step = rz / curvature
    norm = 0.0
    new = 0.0
    for i in range(p.size):
        x[i] += step * p[i]
        residual[i] -= step * Sp[i]
        norm += abs(residual[i])
        z[i] = residual[i] / jacobi[i]
        new += residual[i] * z[i]
    for i in range(p.size):
        p[i] = z[i] + (new / rz) * p[i]
    return new, norm


@njit(cache=True, error_model="numpy")
def _light_rows_off(x, residual, d, jacobi):
    """Correct x by a Jacobi step where a row's residual exceeds its weight d_i; say whether there was one.

    Conjugate gradients minimise an error in which a row counts by its weight: rows of next to none may be
    left anywhere. They hang on heavier rows, from which this puts them right.
    """
    found = False
    for i in range(x.size):
        if abs(residual[i]) > d[i]:
            x[i] += residual[i] / jacobi[i]
            found = True
    return found


@njit(cache=True, error_model="numpy")
def _product(P, d, b, p):
    """S p."""
    return d * p - row_products(P, column_products(P, p) / b)


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _weighted_squares(p, weights):
    total = 0.0
    for j in range(p.size):
        total += p[j] * p[j] * weights[j]
    return total


@njit(cache=True, error_model="numpy")
def schur_cg(P, d, b, rhs, stop, maxiter):
    """Conjugate gradients with the diagonal of S, from 0, until ||residual||_1 <= stop.

    Returns x, the steps done, and whether the residual got there.
    """
    n = d.size
    jacobi, weights = np.empty(n), 1.0 / b
    for i in range(n):
        jacobi[i] = d[i] - _weighted_squares(P[i], weights)
    jacobi = np.maximum(jacobi, 1e-14 * d)  # the difference cancels where one entry dominates its row
    x, residual, z = np.zeros(n), rhs.copy(), rhs / jacobi
    p, rz = z.copy(), np.sum(rhs * z)
    done, k = False, 0
    while k < maxiter and not done and rz > 0.0:
        k += 1
        rz, norm = _cg_update(p, _product(P, d, b, p), x, residual, z, jacobi, rz)
        done = norm <= stop and rz >= 0.0
    for _ in range(3):
        if not _light_rows_off(x, residual, d, jacobi):
            break
        residual = rhs - _product(P, d, b, x)
    return x, k, done


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _sparse_product(indptr, indices, values, d, b, p, u, Sp):
    """Sp = S p."""
    u[:] = 0.0
    for i in range(p.size):
        for k in range(indptr[i], indptr[i + 1]):
            u[indices[k]] += values[k] * p[i]
    for j in range(u.size):
        u[j] /= b[j]
    for i in range(p.size):
        total = 0.0
        for k in range(indptr[i], indptr[i + 1]):
            total += values[k] * u[indices[k]]
        Sp[i] = d[i] * p[i] - total


@njit(cache=True, error_model="numpy")
def schur_cg_sparse(indptr, indices, values, d, b, rhs, stop, maxiter):
    """`schur_cg` for a compressed P."""
    n = d.size
    jacobi = d.copy()
    for i in range(n):
        for k in range(indptr[i], indptr[i + 1]):
            jacobi[i] -= values[k] * values[k] / b[indices[k]]
    jacobi = np.maximum(jacobi, 1e-14 * d)
    x, residual, z = np.zeros(n), rhs.copy(), rhs / jacobi
    p, rz = z.copy(), np.sum(rhs * z)
    u, Sp = np.empty(b.size), np.empty(n)
    done, k = False, 0
    while k < maxiter and not done and rz > 0.0:
        k += 1
        _sparse_product(indptr, indices, values, d, b, p, u, Sp)
        rz, norm = _cg_update(p, Sp, x, residual, z, jacobi, rz)
        done = norm <= stop and rz >= 0.0
    for _ in range(3):
        if not _light_rows_off(x, residual, d, jacobi):
            break
        _sparse_product(indptr, indices, values, d, b, x, u, Sp)
        residual = rhs - Sp
    return x, k, done


def schur_matrix(P, d, b):
    """S as a dense matrix."""
    S = -(P / b) @ P.T
    S[np.arange(d.size), np.arange(d.size)] += d
    return S


@njit(cache=True, error_model="numpy")
def schur_matrix_sparse(indptr, indices, values, d, b):
    """The lower triangle of S from a compressed P: one outer product per column."""
    n, m = d.size, b.size
    start = np.zeros(m + 1, np.int64)
    for k in range(indices.size):
        start[indices[k] + 1] += 1
    start = np.cumsum(start)
    place = start[:m].copy()
    rows = np.empty(indices.size, np.int32)
    column_values = np.empty(indices.size)
    for i in range(n):
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            rows[place[j]] = i
            column_values[place[j]] = values[k]
            place[j] += 1
    S = np.zeros((n, n))
    for j in range(m):
        for k in range(start[j], start[j + 1]):
            v = column_values[k] / b[j]
            for q in range(start[j], k + 1):
                S[rows[k], rows[q]] -= v * column_values[q]
    for i in range(n):
        S[i, i] += d[i]
    return S


def cholesky_solve(S, rhs):
    """Solve S x = rhs from the lower triangle of S; LinAlgError if S is not positive definite."""
    return _substitute(np.linalg.cholesky(S), rhs)


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _substitute(L, rhs):
    x = rhs.copy()
    for i in range(x.size):
        row = L[i]
        total = 0.0
        for j in range(i):
            total += row[j] * x[j]
        x[i] = (x[i] - total) / row[i]
    for i in range(x.size - 1, -1, -1):
        row = L[i]
        x[i] /= row[i]
        for j in range(i):
            x[j] -= row[j] * x[i]
    return x
