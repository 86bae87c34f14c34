"""Compiled kernels of quadratic and sparsity-constrained transport; notation as in `_cpu`.

The cost comes transposed: ``Mt[j]`` is column j of the cost, in one piece. Sparse plans are stored by
columns: ``ptr`` (m + 1), ``rows`` and ``t``, the entries of column j at ``ptr[j]:ptr[j + 1]``.
"""

import numpy as np
from numba import njit

from ._cpu import _REDUCTION


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _differences(f, cost, z):
    top = -np.inf
    for i in range(f.size):
        v = f[i] - cost[i]
        z[i] = v
        top = max(top, v)
    return top


@njit(cache=True, error_model="numpy")
def _threshold(y, total):
    """The A with sum(max(y - A, 0)) = total, and how many y lie above it (Michelot's algorithm)."""
    count = y.size
    A = (np.sum(y) - total) / count
    while True:
        above, inside = 0.0, 0
        for v in y:
            if v > A:
                above += v
                inside += 1
        if inside >= count or inside == 0:
            return A, count
        count = inside
        A = (above - total) / count


@njit(cache=True, error_model="numpy")
def _pooled(y, k, b, reg, prox):
    """The best column where more than k entries would like to be positive; y falls.

    Returns g, theta, the number of entries with eta = 1 and of entries with eta > 0. In between lies the pool
    of those that share what is left of k: t = theta eta. It starts with two, and takes in neighbours as long
    as these belong there.
    """
    full = reg + prox
    inner = np.sum(y[:k])
    g = (b * full - inner) / k
    if (y[k - 1] + g) * reg >= full * (y[k] + g):
        return g, 0.0, k, k
    first, last = k - 1, k + 1
    inner -= y[k - 1]
    pool = y[k - 1] + y[k]
    while True:
        left, size = k - first, last - first
        share = size * reg + left * prox
        g = (b * full - inner - left * full * pool / share) / (first + left * full * size / share)
        theta = (pool + size * g) / share
        if last < y.size and y[last] + g > theta * reg:
            pool += y[last]
            last += 1
        elif first > 0 and y[first - 1] + g < theta * full:
            first -= 1
            inner -= y[first]
            pool += y[first]
        else:
            return g, theta, first, last


@njit(cache=True, error_model="numpy")
def best_columns(Mt, f, b, reg, prox, k, old_ptr, old_rows, old_t):
    """Each column's best t >= 0 of sum b_j for the prices f, near an old one.

    It maximises (f - M_j).t - reg/2 ||t||^2 - prox/2 ||t - old||^2, where the first norm is that of the
    k-support: sum t_i^2 / eta_i, least over 0 < eta_i <= 1 with sum eta_i <= k.

    Returns g; how many entries of each column have eta = 1 (they come first); the plan, in ptr, rows and t;
    its row sums; and the sum of the maxima.
    """
    m, n = Mt.shape
    full = reg + prox
    z, y = np.empty(n), np.empty(n)
    candidates = np.empty(n + 1, np.int32)
    g, r = np.empty(m), np.zeros(n)
    whole, ptr = np.empty(m, np.int64), np.zeros(m + 1, np.int64)
    rows, t = np.empty(4 * (n + m), np.int32), np.empty(4 * (n + m))
    total, e = 0.0, 0
    for j in range(m):
        top = _differences(f, Mt[j], z)
        for o in range(old_ptr[j], old_ptr[j + 1]):
            z[old_rows[o]] += prox * old_t[o]
            top = max(top, z[old_rows[o]])
            total -= 0.5 * prox * old_t[o] * old_t[o]
        # No entry this far below the best is positive: it would leave the best one more than b_j.
        low = top - b[j] * full
        q = 0
        for i in range(n):
            candidates[q] = i
            q += z[i] >= low
        for c in range(q):
            y[c] = z[candidates[c]] - top
        if e + q > t.size:
            room = np.empty(2 * (e + q), np.int32)
            room[:e] = rows[:e]
            rows = room
            space = np.empty(2 * (e + q))
            space[:e] = t[:e]
            t = space
        A, inside = _threshold(y[:q], b[j] * full)
        begin = e
        if inside <= k:
            g[j] = -A - top
            for c in range(q):
                if y[c] > A:
                    rows[e], t[e] = candidates[c], (y[c] - A) / full
                    e += 1
            whole[j] = e - begin
        else:
            order = np.argsort(-y[:q])
            sorted_y = y[:q][order]
            shifted, theta, first, last = _pooled(sorted_y, k, b[j], reg, prox)
            g[j], whole[j] = shifted - top, first
            for c in range(last):
                u = sorted_y[c] + shifted
                rows[e] = candidates[order[c]]
                t[e] = u / full if c < first else (u - theta * reg) / prox
                # (reg/2) t^2 / eta with eta = 1, then with eta = t / theta
                total -= 0.0 if c < first else 0.5 * reg * t[e] * (theta - t[e])
                e += 1
        ptr[j + 1] = e
        for o in range(begin, e):
            r[rows[o]] += t[o]
            total += t[o] * (z[rows[o]] - 0.5 * full * t[o])
    return g, whole, ptr, rows[:e], t[:e], r, total


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _above(f, cost, A):
    """The sum of max(f - cost - A, 0), and the number of positive terms."""
    above, count = 0.0, 0
    for i in range(f.size):
        v = f[i] - cost[i] - A
        above += max(v, 0.0)
        count += v > 0
    return above, count


@njit(cache=True, error_model="numpy")
def _before(f, cost, goal, A):
    """An A with sum(max(f - cost - A, 0)) >= goal: one step of Newton's method, as the sum is convex in A."""
    above, count = _above(f, cost, A)
    return A + (above - goal) / count if count > 0 else np.max(f - cost) - goal


@njit(cache=True, error_model="numpy")
def balance(Mt, f, b, reg, g):
    """The g with sum_i max(f_i + g_j - M_ij, 0) = reg b_j, by Newton's method from the given one."""
    found = np.empty(b.size)
    for j in range(b.size):
        goal, last = reg * b[j], -1
        A = _before(f, Mt[j], goal, -g[j])
        for _ in range(100):
            above, count = _above(f, Mt[j], A)
            if count == 0:  # by rounding
                break
            A += (above - goal) / count
            if count == last:  # the piece is that of the step before, and the answer exact
                break
            last = count
        found[j] = -A
    return found


@njit(cache=True, error_model="numpy")
def balanced_columns(Mt, f, b, reg, g):
    """`best_columns` without a limit or an old plan, fast where g is near the answer.

    Returns g; the plan, in ptr, rows and t; its row sums; and sum t^2.
    """
    m, n = Mt.shape
    found, ptr, r = np.empty(m), np.zeros(m + 1, np.int64), np.zeros(n)
    rows, t = np.empty(4 * (n + m), np.int32), np.empty(4 * (n + m))
    square, e = 0.0, 0
    for j in range(m):
        column, goal = Mt[j], reg * b[j]
        A = _before(f, column, goal, -g[j])
        if e + n > t.size:
            room = np.empty(2 * (e + n), np.int32)
            room[:e] = rows[:e]
            rows = room
            space = np.empty(2 * (e + n))
            space[:e] = t[:e]
            t = space
        q = e
        for i in range(n):
            v = f[i] - column[i] - A
            if v > 0:
                rows[q], t[q] = i, v
                q += 1
        shift, count = 0.0, q - e
        if count > 0:
            shift, count = _threshold(t[e:q], goal)
        begin = e
        for p in range(begin, q):
            v = (t[p] - shift) / reg
            if v > 0:
                rows[e], t[e] = rows[p], v
                r[rows[e]] += v
                square += v * v
                e += 1
        found[j], ptr[j + 1] = -(A + shift), e
    return found, ptr, rows[:e], t[:e], r, square


@njit(cache=True, error_model="numpy")
def laplacian_cg(n, ptr, rows, shift, rhs, stop, limit):
    """Conjugate gradients for reg `laplacian` + shift, without a limit or an old plan, from zero.

    Stops at a residual of `stop` in the 1-norm. Returns x, the steps, and whether that was reached.
    """
    m = ptr.size - 1
    d = np.full(n, shift)
    for j in range(m):
        for p in range(ptr[j], ptr[j + 1]):
            d[rows[p]] += 1 - 1 / (ptr[j + 1] - ptr[j])
    x, residual = np.zeros(n), rhs.copy()
    z = residual / d
    direction, rz = z.copy(), np.dot(residual, z)
    q = np.empty(n)
    for step in range(limit):
        if not np.sum(np.abs(residual)) > stop:
            return x, step, True
        q[:] = shift * direction
        for j in range(m):
            begin, end = ptr[j], ptr[j + 1]
            mean = 0.0
            for p in range(begin, end):
                mean += direction[rows[p]]
            mean /= max(end - begin, 1)
            for p in range(begin, end):
                q[rows[p]] += direction[rows[p]] - mean
        length = rz / np.dot(direction, q)
        x += length * direction
        residual -= length * q
        z = residual / d
        before, rz = rz, np.dot(residual, z)
        direction = z + (rz / before) * direction
    return x, limit, False


@njit(cache=True, error_model="numpy")
def laplacian(n, reg, prox, k, whole, ptr, rows):
    """The lower triangle of minus the second derivative in f of the maxima of `best_columns`.

    A column adds J - (J 1)(J 1)' / (1' J 1), where J = dt/df at fixed g is diagonal but for the pool. Entries
    off the diagonal are negative, and rows sum to zero: the diagonal is summed up without cancellation.
    """
    S = np.zeros((n, n))
    for j in range(ptr.size - 1):
        begin, end, middle = ptr[j], ptr[j + 1], ptr[j] + whole[j]
        size, left = end - middle, k - whole[j]
        alone = 1 / (reg + prox)
        pooled = mutual = 0.0
        if size > 0:
            share = size * reg + left * prox
            pooled, mutual = left / share, reg / (prox * share)
        weight = whole[j] * alone + size * pooled
        for p in range(begin, end):
            x = (alone if p < middle else pooled) / weight
            for q in range(begin, p):
                s = x * (alone if q < middle else pooled)
                if q >= middle:
                    s += mutual
                high, low = max(rows[p], rows[q]), min(rows[p], rows[q])
                S[high, low] -= s
                S[high, high] += s
                S[low, low] += s
    return S


@njit(cache=True, error_model="numpy")
def support_norm(ptr, t, k):
    """The sum over the columns of the squared k-support norm."""
    total = 0.0
    for j in range(ptr.size - 1):
        s = np.sort(t[ptr[j] : ptr[j + 1]])[::-1]
        left, i, rest = k, 0, np.sum(s)
        if s.size > k:
            while left > 1 and s[i] * left > rest:  # large entries have eta = 1, the others eta = s / theta
                total += s[i] * s[i]
                rest -= s[i]
                left -= 1
                i += 1
            total += rest * rest / left
        else:
            total += np.sum(s * s)
    return total


@njit(cache=True, error_model="numpy")
def top_entries(Mt, f, g, k):
    """The k largest positive f_i + g_j - M_ij of each column: ptr, rows, values."""
    m, n = Mt.shape
    z = np.empty(n)
    chosen, ptr = np.empty(n + 1, np.int32), np.zeros(m + 1, np.int64)
    rows, values = np.empty(m * min(k, n), np.int32), np.empty(m * min(k, n))
    e = 0
    for j in range(m):
        _differences(f, Mt[j], z)
        q = 0
        for i in range(n):
            chosen[q] = i
            q += z[i] + g[j] > 0
        if q > k:
            kept = chosen[:q][np.argsort(-z[chosen[:q]])]
            q = k
        else:
            kept = chosen[:q]
        for c in range(q):
            rows[e], values[e] = kept[c], z[kept[c]] + g[j]
            e += 1
        ptr[j + 1] = e
    return ptr, rows[:e], values[:e]


@njit(cache=True, error_model="numpy")
def normal_matrix(d, ptr, rows, U, V):
    """The lower triangle of diag(d) - U U' - V V', for matrices stored by columns with one pattern."""
    S = np.zeros((d.size, d.size))
    for j in range(ptr.size - 1):
        for p in range(ptr[j], ptr[j + 1]):
            u, v, row = U[p], V[p], S[rows[p]]
            for q in range(ptr[j], p + 1):
                row[rows[q]] -= u * U[q] + v * V[q]
    for i in range(d.size):
        S[i, i] += d[i]
    return S
