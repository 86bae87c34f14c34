"""Compiled kernels of relaxation sweeps: pure functions on arrays.

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

RUNNING, CONVERGED, BREAKDOWN, DIVERGED, NONFINITE = -1, 0, 4, 7, 8
ONE = np.uint64(1)
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


# --- sweeps ---------------------------------------------------------------------------------------


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


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _sweep_forward(rows, ptr, columns, values, diag, omega, x, b):
    start = ptr[0]
    for p in range(rows.size):
        end = ptr[p + 1]
        i = rows[p]
        total = b[i]
        for k in range(start, end):
            total -= values[k] * x[columns[k]]
        x[i] += omega * (total / diag[p] - x[i])
        start = end


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _sweep_backward(rows, ptr, columns, values, diag, omega, x, b):
    n = rows.size
    end = ptr[n]
    for m in range(n):
        p = np.uint64(n - 1 - m)
        start = ptr[p]
        i = rows[p]
        total = b[i]
        for k in range(start, end):
            total -= values[k] * x[columns[k]]
        x[i] += omega * (total / diag[p] - x[i])
        end = start


@njit(cache=True, error_model="numpy", nogil=True)
def sweep(rows, ptr, columns, values, diag, omega, x, b, directions, iterations):
    """Sweeps of successive over-relaxation, in place; `directions` is 1 forward, 2 backward, 3 both."""
    for _ in range(iterations):
        if directions & 1:
            _sweep_forward(rows, ptr, columns, values, diag, omega, x, b)
        if directions & 2:
            _sweep_backward(rows, ptr, columns, values, diag, omega, x, b)


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _forward(ptr, columns, values, diag, omega, x, b):
    for i in range(x.size):
        total = b[i]
        for k in range(ptr[i], ptr[i + 1]):
            total -= values[k] * x[columns[k]]
        x[i] += omega * (total / diag[i] - x[i])


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _backward(ptr, columns, values, diag, omega, x, b):
    for m in range(x.size):
        i = np.uint64(x.size - 1 - m)
        total = b[i]
        for k in range(ptr[i], ptr[i + ONE]):
            total -= values[k] * x[columns[k]]
        x[i] += omega * (total / diag[i] - x[i])


@njit(cache=True, error_model="numpy", nogil=True)
def sweep_sorted(rows, ptr, columns, values, diag, omega, x, b, directions, iterations):
    """The same with columns in the order of the sweep: for many sweeps it pays to sort the vectors."""
    y, c = np.empty_like(x), np.empty_like(b)
    for p in range(rows.size):
        y[p], c[p] = x[rows[p]], b[rows[p]]
    for _ in range(iterations):
        if directions & 1:
            _forward(ptr, columns, values, diag, omega, y, c)
        if directions & 2:
            _backward(ptr, columns, values, diag, omega, y, c)
    for p in range(rows.size):
        x[rows[p]] = y[p]


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def relax_lower(lp, lc, lv, diag, omega, r, d):
    """Solve (D/w + L) d = r; d may be r."""
    for i in range(d.size):
        total = r[i]
        for k in range(lp[i], lp[i + 1]):
            total -= lv[k] * d[lc[k]]
        d[i] = total * (omega / diag[i])


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def relax_upper(up, uc, uv, diag, omega, r, d):
    """Solve (D/w + U) d = r; d may be r."""
    for m in range(d.size):
        i = np.uint64(d.size - 1 - m)
        total = r[i]
        for k in range(up[i], up[i + ONE]):
            total -= uv[k] * d[uc[k]]
        d[i] = total * (omega / diag[i])


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def sor_step(lp, lc, lv, up, uc, uv, diag, omega, x, d):
    """One step of SOR in residual form, in one pass over the matrix; returns the square of ||r||.

    `d` is the correction that the last residual asked for, (D/w + L) d = r. It is added to x; what it leaves
    is r' = -((1 - 1/w) D + U) d, and its own correction d' takes the place of d. Row i needs d beyond i and
    d' before i, so that one array holds both.
    """
    square = 0.0
    c = 1 / omega - 1
    for i in range(x.size):
        own = d[i]
        x[i] += own
        r = c * diag[i] * own
        for k in range(up[i], up[i + 1]):
            r -= uv[k] * d[uc[k]]
        square += np.float64(r) * r
        for k in range(lp[i], lp[i + 1]):
            r -= lv[k] * d[lc[k]]
        d[i] = r * (omega / diag[i])
    return square


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def ssor_step(lp, lc, lv, up, uc, uv, diag, omega, x, d, e):
    """One step of SSOR in residual form: each half of the matrix is read once; returns the square of ||r||.

    `d` is the correction of the forward sweep, as in `sor_step`, and e that of the backward sweep:
    (D/w + U) e = -((1 - 1/w) D + U) d. What both leave is r' = -((1 - 1/w) D + L) e.
    """
    square = 0.0
    c = 1 / omega - 1
    for m in range(x.size):
        i = np.uint64(x.size - 1 - m)
        own = d[i]
        r = c * diag[i] * own
        for k in range(up[i], up[i + ONE]):
            r -= uv[k] * d[uc[k]]  # d holds d + e beyond i
        e[i] = r * (omega / diag[i])
        d[i] = own + e[i]
    for i in range(x.size):
        x[i] += d[i]
        r = c * diag[i] * e[i]
        s = r * 0
        for k in range(lp[i], lp[i + 1]):
            r -= lv[k] * e[lc[k]]
            s -= lv[k] * d[lc[k]]
        square += np.float64(r) * r
        d[i] = (r + s) * (omega / diag[i])
    return square


@njit(cache=True, error_model="numpy", nogil=True)
def sor(lp, lc, lv, up, uc, uv, diag, omega, x, d, symmetric, stop_at, give_up_at, norms):
    """Steps of SOR or SSOR until ||r|| <= stop_at, at most as many as `norms` holds.

    Returns the number of steps and a code.
    """
    e = np.empty_like(d) if symmetric else d
    for step in range(norms.size):
        if symmetric:
            square = ssor_step(lp, lc, lv, up, uc, uv, diag, omega, x, d, e)
        else:
            square = sor_step(lp, lc, lv, up, uc, uv, diag, omega, x, d)
        norm = np.sqrt(square)
        norms[step] = norm
        if norm <= stop_at:
            return step + 1, CONVERGED
        if not norm < give_up_at:
            return step + 1, DIVERGED if norm < np.inf else NONFINITE
    return norms.size, RUNNING


@njit(cache=True, error_model="numpy", fastmath=_FAST, nogil=True)
def apply_ssor(rows, lp, lc, lv, up, uc, uv, diag, omega, r):
    """P^-1 r for P = (D/w + L) (D/w)^-1 (D/w + U) / (2 - w), in the caller's order.

    The same as (D + wL) D^-1 (D + wU) / (w (2 - w)).
    """
    n = r.size
    z = np.empty_like(r)
    for p in range(n):
        z[p] = r[rows[p]]
    relax_lower(lp, lc, lv, diag, omega, z, z)
    scale = (2 - omega) / omega
    for p in range(n):
        z[p] *= scale * diag[p]
    relax_upper(up, uc, uv, diag, omega, z, z)
    out = np.empty_like(r)
    for p in range(n):
        out[rows[p]] = z[p]
    return out


# --- Young's relation, while the solve runs -------------------------------------------------------


@njit(cache=True, error_model="numpy")
def better_omega(omega, ratio):
    """The best parameter by Young's theory, from the rate under a smaller one."""
    square = (ratio + omega - 1) ** 2 / (ratio * omega**2)
    return 2 / (1 + np.sqrt(1 - square)) if square < 1 else 2.0


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _change_omega(lp, lc, lv, diag, old, new, d):
    """Turn the correction for one parameter into that for another: (D/new + L) d' = (D/old + L) d."""
    for m in range(d.size):
        i = np.uint64(d.size - 1 - m)
        r = diag[i] * d[i] / old
        for k in range(lp[i], lp[i + ONE]):
            r += lv[k] * d[lc[k]]
        d[i] = r
    relax_lower(lp, lc, lv, diag, new, d, d)


@njit(cache=True, error_model="numpy", nogil=True)
def sor_adaptive(lp, lc, lv, up, uc, uv, diag, x, d, state, stop_at, give_up_at, norms):
    """Steps of SOR that raise omega when the residual falls geometrically (L. A. Hageman, D. M. Young 1981).

    `state` holds omega, the sweeps since it changed, the last norm and the last ratio of two norms. A ratio
    counts when it has settled, and when it is too slow for the parameter that it asks for.
    """
    one = x.dtype.type(1)
    omega, since, last, ratio = state
    for step in range(norms.size):
        norm = np.sqrt(sor_step(lp, lc, lv, up, uc, uv, diag, omega * one, x, d))
        norms[step] = norm
        since += 1
        before, ratio, last = ratio, norm / last, norm
        state[0], state[1], state[2], state[3] = omega, since, last, ratio
        if norm <= stop_at:
            return step + 1, CONVERGED
        if not norm < give_up_at:
            return step + 1, DIVERGED if norm < np.inf else NONFINITE
        if since >= 3 and omega - 1 < ratio < 1 and abs(ratio - before) < 0.02 * (1 - ratio):
            new = better_omega(omega, ratio)
            if omega + 0.005 < new < 1.995 and np.log(ratio) > 0.75 * np.log(new - 1):
                _change_omega(lp, lc, lv, diag, omega * one, new * one, d)
                omega, since = new, 0.0
                state[0], state[1] = omega, since
    return norms.size, RUNNING


@njit(cache=True, error_model="numpy")
def dominance(ptr, columns, values):
    """min_i (|a_ii| - sum_{j != i} |a_ij|) / |a_ii|; -inf for a zero on the diagonal."""
    least = np.inf
    for i in range(ptr.size - 1):
        own = others = 0.0
        for k in range(ptr[i], ptr[i + 1]):
            size = np.float64(abs(values[k]))
            if columns[k] == i:
                own += size
            else:
                others += size
        least = min(least, 1 - others / own if own > 0 else -np.inf)
    return least
