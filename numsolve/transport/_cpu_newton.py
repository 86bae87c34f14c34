"""Compiled kernels of the Newton system S x = rhs,  S = diag(d) - P diag(1/b) P'; notation as in `_cpu`.

P is dense, or compressed by rows: ``indptr`` (n + 1,), ``indices`` and ``values``. Conjugate gradients keep
what they need from one call to the next in two blocks of memory, so that a long solve can be interrupted:

    rows (5, n)       the diagonal of S, x, the residual, the direction, and S times the direction;
    columns (m,)      P' times a direction, over b.
"""

import numpy as np

from numsolve._core.compiled import inner, kernel

from ._cpu import _REDUCTION, LOG2E, _exp2, _scaled, into_columns, into_rows

#: Seconds of conjugate gradients between two looks at the limits, and what an entry of P takes of a step.
CHUNK_SECONDS, ENTRY_SECONDS = 0.02, 0.5e-9


# --- the entries of P that matter -----------------------------------------------------------------


def plan_entries(M, f, g, reg, floor_a, floor_b, capacity):
    """The entries P_ij >= min(floor_a_i, floor_b_j) in CSR: their number, indptr, indices, values.

    The number is -1 if there are more than ``capacity``. Exponents are compared; exponentials are taken of
    what is kept.
    """
    n, m = M.shape
    rate = LOG2E / reg
    with np.errstate(divide="ignore"):  # a floor of zero keeps all
        floor_a, floor_b = np.log2(floor_a), np.log2(floor_b)
    indptr = np.zeros(n + 1, np.int64)
    indices, values = np.empty(capacity + m, np.int32), np.empty(capacity + m)
    k = _entries(
        M,
        _scaled(f, rate),
        _scaled(g, rate),
        rate,
        floor_a,
        floor_b,
        capacity,
        indptr,
        indices,
        values,
        np.empty(m),
    )
    return k, indptr, indices[: max(k, 0)], values[: max(k, 0)]


@kernel
def _entries(M, f, g, rate, floor_a, floor_b, capacity, indptr, indices, values, above):
    for i in range(f.size):
        row = M[i]
        k = indptr[i]
        end = k
        _above(row, f[i], g, rate, floor_a[i], floor_b, above)
        for j in range(g.size):  # each index is written, and kept by moving on: no branch to mispredict
            indices[end] = j
            end += above[j] >= 0.0
        if end > capacity:
            return -1
        for q in range(k, end):
            values[q] = _exp2((f[i] + g[indices[q]]) - row[indices[q]] * rate)
        indptr[i + 1] = end
    return indptr[f.size]


@inner(fastmath=_REDUCTION)
def _above(cost, f, g, rate, floor, floors, out):
    for j in range(cost.size):
        out[j] = ((f + g[j]) - cost[j] * rate) - min(floor, floors[j])


# --- conjugate gradients --------------------------------------------------------------------------


def never():
    """No limit of time."""
    return False


def schur_cg(P, d, b, rhs, stop, maxiter, expired=never):
    """Conjugate gradients with the diagonal of S, from 0, until ||residual||_1 <= stop.

    Returns x, the steps done, and whether the residual got there. ``expired()`` is asked from time to time
    whether the time is over.
    """
    return _in_chunks(cg, (P, d, b), rhs, stop, maxiter, expired, P.size)


def schur_cg_sparse(indptr, indices, values, d, b, rhs, stop, maxiter, expired=never):
    """`schur_cg` for a compressed P."""
    matrix = (indptr, indices, values, d, b)
    return _in_chunks(cg_sparse, matrix, rhs, stop, maxiter, expired, 2 * values.size)


def _in_chunks(cg, matrix, rhs, stop, maxiter, expired, size):
    d, b = matrix[-2:]
    rows, columns = np.empty((5, d.size)), np.empty(b.size)
    at_once = max(1, int(CHUNK_SECONDS / (ENTRY_SECONDS * (size + 8 * d.size))))
    steps, rz, norm = 0, 0.0, np.inf
    for first in range(0, max(maxiter, 1), at_once):
        n = min(maxiter - first, at_once)
        more, rz, norm = cg(*matrix, rhs, stop, n, first + n == maxiter, rz, rows, columns)
        steps += more
        if not (norm > stop and rz > 0.0) or expired():
            break
    return rows[1], steps, norm <= stop and rz >= 0.0


@kernel(fastmath=_REDUCTION)
def cg(P, d, b, rhs, stop, maxiter, last, rz, rows, columns):
    """Do at most ``maxiter`` steps, from the start if ``rz`` is 0, or on from where ``rows`` are.

    Returns the steps done, r' z (negative where S is not definite), and ||residual||_1. Conjugate gradients
    minimise an error in which a row counts by its weight: light rows may be left anywhere. They hang on
    heavier rows, from which up to three Jacobi steps put them right at the end of the ``last`` call.
    """
    jacobi, x, residual, p, Sp = rows[0], rows[1], rows[2], rows[3], rows[4]
    if rz == 0.0:
        for i in range(d.size):
            weight = 0.0
            for j in range(b.size):
                weight += P[i, j] * P[i, j] / b[j]
            jacobi[i] = d[i] - weight
        rz = _first(d, rhs, jacobi, x, residual, p)
    k, fixes, norm = 0, 0, np.inf
    while k + fixes < maxiter + 3:
        going = norm > stop and rz > 0.0
        if going and k < maxiter:
            k += 1
            v = p
        elif fixes < 3 and (last or not going) and _light_rows_put_right(d, jacobi, x, residual):
            fixes += 1
            v = x
        else:
            break
        _product(P, d, b, v, columns, Sp)
        if fixes == 0:
            rz, norm = _step(jacobi, x, residual, p, Sp, rz)
        else:
            for i in range(d.size):
                residual[i] = rhs[i] - Sp[i]
    return k, rz, norm


@inner(fastmath=_REDUCTION, inline="always")
def _product(P, d, b, p, columns, Sp):
    """Sp = S p."""
    into_columns(P, p, columns)
    for j in range(b.size):
        columns[j] /= b[j]
    into_rows(P, columns, Sp)
    for i in range(d.size):
        Sp[i] = d[i] * p[i] - Sp[i]


@kernel(fastmath=_REDUCTION)
def cg_sparse(indptr, indices, values, d, b, rhs, stop, maxiter, last, rz, rows, columns):
    """`cg` for a compressed P."""
    jacobi, x, residual, p, Sp = rows[0], rows[1], rows[2], rows[3], rows[4]
    if rz == 0.0:
        for i in range(d.size):
            weight = 0.0
            for q in range(indptr[i], indptr[i + 1]):
                weight += values[q] * values[q] / b[indices[q]]
            jacobi[i] = d[i] - weight
        rz = _first(d, rhs, jacobi, x, residual, p)
    k, fixes, norm = 0, 0, np.inf
    while k + fixes < maxiter + 3:
        going = norm > stop and rz > 0.0
        if going and k < maxiter:
            k += 1
            v = p
        elif fixes < 3 and (last or not going) and _light_rows_put_right(d, jacobi, x, residual):
            fixes += 1
            v = x
        else:
            break
        _sparse_product(indptr, indices, values, d, b, v, columns, Sp)
        if fixes == 0:
            rz, norm = _step(jacobi, x, residual, p, Sp, rz)
        else:
            for i in range(d.size):
                residual[i] = rhs[i] - Sp[i]
    return k, rz, norm


@inner(fastmath=_REDUCTION, inline="always")
def _sparse_product(indptr, indices, values, d, b, p, columns, Sp):
    """Sp = S p."""
    columns[:] = 0.0
    for i in range(d.size):
        for k in range(indptr[i], indptr[i + 1]):
            columns[indices[k]] += values[k] * p[i]
    for j in range(b.size):
        columns[j] /= b[j]
    for i in range(d.size):
        total = 0.0
        for k in range(indptr[i], indptr[i + 1]):
            total += values[k] * columns[indices[k]]
        Sp[i] = d[i] * p[i] - total


@inner(fastmath=_REDUCTION)
def _first(d, rhs, jacobi, x, residual, p):
    """Start from x = 0, with the diagonal of S as jacobi; return r' z."""
    rz = 0.0
    for i in range(d.size):
        # The difference cancels where one entry dominates its row.
        jacobi[i] = max(jacobi[i], 1e-14 * d[i])
        x[i] = 0.0
        residual[i] = rhs[i]
        p[i] = rhs[i] / jacobi[i]
        rz += rhs[i] * p[i]
    return rz


@inner(fastmath=_REDUCTION)
def _step(jacobi, x, residual, p, Sp, rz):
    """One step of conjugate gradients after the product S p: the new r' z and ||residual||_1."""
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
        new += residual[i] * (residual[i] / jacobi[i])
    for i in range(p.size):
        p[i] = residual[i] / jacobi[i] + (new / rz) * p[i]
    return new, norm


@inner
def _light_rows_put_right(d, jacobi, x, residual):
    """Do a Jacobi step where the residual of a row exceeds its weight d_i; say whether there was one."""
    found = False
    for i in range(d.size):
        if abs(residual[i]) > d[i]:
            x[i] += residual[i] / jacobi[i]
            found = True
    return found


# --- factorisation --------------------------------------------------------------------------------


@kernel
def lower_triangle(indptr, indices, values, b, first, last, S):
    """Add to the lower triangle of S what the columns of P from ``first`` up to ``last`` contribute to it."""
    for j in range(first, last):
        for k in range(indptr[j], indptr[j + 1]):
            v = values[k] / b[j]
            for q in range(indptr[j], k + 1):
                S[indices[k], indices[q]] -= v * values[q]
