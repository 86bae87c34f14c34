"""Compiled kernels of patterns, values and residuals: pure functions on arrays.

A matrix lives here in the order of its sweep: position ``p`` holds row ``rows[p]`` of the caller's. Its
entries are split into ``diag`` (n,) and two compressed halves, ``lower`` with the columns that come before
the row and ``upper`` with those that come after it; each half is a triple pointers, columns, values (``lp,
lc, lv`` and ``up, uc, uv``). Within a half the entries keep the order they had in the caller's row, so that
a sum is the same to the last bit in every order of the rows.

Indices are unsigned: with signed ones Numba tests each for being negative, which doubles the time of a
product. Sums are accumulated in the arrays' type, norms in float64. Residual norms are compared and
returned, never assumed finite: ``nnan`` and ``ninf`` are not set.
"""

import numpy as np
from numba import njit

_FAST = {"contract", "nsz"}
_REDUCTION = {"contract", "nsz", "reassoc"}


# --- the order of the rows ------------------------------------------------------------------------


@njit(cache=True, error_model="numpy")
def levels(indptr, indices, n):
    """The level of each row: 1 + the highest level among the earlier rows that it is coupled to.

    A coupling counts in both directions, so that rows of one level are independent in either sweep.
    """
    level = np.zeros(n, np.uint32)
    for i in range(n):
        own = level[i]
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if j < i:
                own = max(own, level[j] + np.uint32(1))
        level[i] = own
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if j > i:
                level[j] = max(level[j], own + np.uint32(1))
    return level


@njit(cache=True, error_model="numpy")
def colours(indptr, indices, n):
    """Greedy colours, given out breadth first: two of them wherever two are enough.

    The pattern must be symmetric.
    """
    colour = np.full(n, n, np.uint32)
    queued = np.zeros(n, np.bool_)
    queue = np.empty(n, np.int64)
    taken = np.full(n + 1, -1, np.int64)  # taken[c] = i: a neighbour of row i has colour c
    tail = 0
    for start in range(n):
        if queued[start]:
            continue
        head = tail
        queue[tail] = start
        queued[start] = True
        tail += 1
        while head < tail:
            i = queue[head]
            head += 1
            for k in range(indptr[i], indptr[i + 1]):
                j = indices[k]
                taken[colour[j]] = i
                if not queued[j]:
                    queued[j] = True
                    queue[tail] = j
                    tail += 1
            c = 0
            while taken[c] == i:
                c += 1
            colour[i] = c
    return colour


@njit(cache=True, error_model="numpy")
def sort_by(key):
    """Rows sorted by key, equal ones in their old order, and the pointers to where each key begins."""
    n = key.size
    top = 0
    for i in range(n):
        top = max(top, key[i] + 1)
    start = np.zeros(top + 1, np.uint32)
    for i in range(n):
        start[key[i] + 1] += np.uint32(1)
    for c in range(top):
        start[c + 1] += start[c]
    rows = np.empty(n, np.uint32)
    free = start[:top].copy()
    for i in range(n):
        rows[free[key[i]]] = i
        free[key[i]] += np.uint32(1)
    return rows, start


@njit(cache=True, error_model="numpy")
def split(indptr, indices, rows):
    """Both halves of the pattern in the order of `rows`, and where their values are in the caller's data.

    Returns ``lp, lc, lf, up, uc, uf, df``: pointers, columns and sources of the halves, sources of the
    diagonal. A diagonal entry that is not stored has the source ``nnz``.
    """
    n, nnz = rows.size, indices.size
    position = np.empty(n, np.uint32)
    for p in range(n):
        position[rows[p]] = p
    lp, up = np.zeros(n + 1, np.uint32), np.zeros(n + 1, np.uint32)
    for p in range(n):
        i = rows[p]
        lower = upper = np.uint32(0)
        for k in range(indptr[i], indptr[i + 1]):
            q = position[indices[k]]
            lower += np.uint32(q < p)
            upper += np.uint32(q > p)
        lp[p + 1] = lp[p] + lower
        up[p + 1] = up[p] + upper
    lc, lf = np.empty(lp[n], np.uint32), np.empty(lp[n], np.uint32)
    uc, uf = np.empty(up[n], np.uint32), np.empty(up[n], np.uint32)
    df = np.full(n, nnz, np.uint32)
    a = b = 0
    for p in range(n):
        i = rows[p]
        for k in range(indptr[i], indptr[i + 1]):
            q = position[indices[k]]
            if q < p:
                lc[a], lf[a] = q, k
                a += 1
            elif q > p:
                uc[b], uf[b] = q, k
                b += 1
            else:
                df[p] = k
    return lp, lc, lf, up, uc, uf, df


@njit(cache=True, error_model="numpy")
def same(a, b):
    """Whether two arrays of indices are equal."""
    if a.size != b.size:
        return False
    different = 0
    for k in range(a.size):
        different |= a[k] ^ b[k]
    return different == 0


@njit(cache=True, error_model="numpy")
def join(rows, lp, lc, lv, up, uc, uv):
    """Both halves as one matrix without its diagonal, in the order of `rows`, with the caller's columns.

    Returns pointers, columns and values. Sweeps on vectors that stay in the caller's order take them.
    """
    n = rows.size
    ptr = np.empty(n + 1, np.uint32)
    columns, values = np.empty(lc.size + uc.size, np.uint32), np.empty(lc.size + uc.size, lv.dtype)
    at = ptr[0] = 0
    for p in range(n):
        for k in range(lp[p], lp[p + 1]):
            columns[at], values[at] = rows[lc[k]], lv[k]
            at += 1
        for k in range(up[p], up[p + 1]):
            columns[at], values[at] = rows[uc[k]], uv[k]
            at += 1
        ptr[p + 1] = at
    return ptr, columns, values


# --- values ---------------------------------------------------------------------------------------


@njit(cache=True, error_model="numpy", fastmath=_REDUCTION)
def _gather(data, source, out):
    total = 0.0
    for k in range(source.size):
        v = data[source[k]]
        out[k] = v
        total += abs(v)
    return total


@njit(cache=True, error_model="numpy")
def gather(data, lf, uf, df, lv, uv, diag):
    """Copy the caller's data into the halves and the diagonal.

    Returns the sum of all absolute values, infinite or nan if an entry is, and the position of the first
    zero on the diagonal, or -1.
    """
    total = _gather(data, lf, lv) + _gather(data, uf, uv)
    bad = -1
    for p in range(df.size - 1, -1, -1):
        v = data[df[p]] if df[p] < data.size else data.dtype.type(0)
        diag[p] = v
        total += abs(v)
        if v == 0:
            bad = p
    return total, bad


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def residual(ptr, columns, values, x, b, r):
    """Compute r = b - A x for a matrix in compressed rows; returns the norm of r."""
    square = 0.0
    for i in range(r.size):
        total = b[i]
        for k in range(ptr[i], ptr[i + 1]):
            total -= values[k] * x[columns[k]]
        r[i] = total
        square += np.float64(total) * total
    return np.sqrt(square)
