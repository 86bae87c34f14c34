"""Compiled kernels of quadratic and sparsity-constrained transport; notation as in `transport._cpu`.

The cost comes transposed: ``Mt[j]`` is column j of the cost, in one piece. Sparse plans are stored by
columns: ``ptr`` (m + 1), ``rows`` and ``t``, the entries of column j at ``ptr[j]:ptr[j + 1]``.

Every loop counts. Copies and sums are written out: Numba's own take seconds to compile. Counters begin
with an entry of an array: a literal 0 would have the functions that take them compiled once more.
"""

import numpy as np

from numsolve._core.compiled import inner, kernel
from numsolve.transport._cpu import _REDUCTION

from ._cpu_sort import STACK, sort_falling


@inner(fastmath=_REDUCTION)
def _differences(f, cost, z):
    top = -np.inf
    for i in range(f.size):
        v = f[i] - cost[i]
        z[i] = v
        top = max(top, v)
    return top


@inner
def _longer(x, size, kept):
    """Memory for `size` entries, the first of which are those of x."""
    out = np.empty(size, x.dtype)
    for i in range(kept):
        out[i] = x[i]
    return out


# --- the best columns for given prices ------------------------------------------------------------


@inner
def _threshold(y, begin, end, total):
    """The A with sum(max(y - A, 0)) = total over y[begin:end], and how many y lie above it.

    Michelot's algorithm: each round but the last has fewer entries above, so they are no more than entries.
    """
    above = 0.0
    for i in range(begin, end):
        above += y[i]
    count = end - begin
    A = (above - total) / count
    for _ in range(end - begin):
        above, inside = 0.0, 0
        for i in range(begin, end):
            if y[i] > A:
                above += y[i]
                inside += 1
        if inside >= count or inside == 0:
            break
        count = inside
        A = (above - total) / count
    return A, count


@inner
def _pooled(y, size, k, b, reg, prox):
    """The best column where more than k entries would like to be positive; y[:size] falls.

    Returns g, theta, the number of entries with eta = 1 and of entries with eta > 0. In between lies the pool
    of those that share what is left of k: t = theta eta. It starts with two, and takes in neighbours as long
    as these belong there: at most all entries.
    """
    full = reg + prox
    inside = 0.0
    for i in range(k):
        inside += y[i]
    g = (b * full - inside) / k
    if (y[k - 1] + g) * reg >= full * (y[k] + g):
        return g, 0.0, k, k
    first, last, theta = k - 1, k + 1, 0.0
    inside -= y[k - 1]
    pool = y[k - 1] + y[k]
    for _ in range(size):
        left, members = k - first, last - first
        share = members * reg + left * prox
        g = (b * full - inside - left * full * pool / share) / (first + left * full * members / share)
        theta = (pool + members * g) / share
        if last < size and y[last] + g > theta * reg:
            pool += y[last]
            last += 1
        elif first > 0 and y[first - 1] + g < theta * full:
            first -= 1
            inside -= y[first]
            pool += y[first]
        else:
            break
    return g, theta, first, last


@kernel
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
    stack = np.empty(m + STACK, np.int64)
    g, r = np.empty(m), np.empty(n)
    r[:] = 0.0
    whole, ptr = np.empty(m, np.int64), np.empty(m + 1, np.int64)
    ptr[0] = 0
    rows, t = np.empty(4 * (n + m), np.int32), np.empty(4 * (n + m))
    total, e = 0.0, ptr[0]
    for j in range(m):
        top = _differences(f, Mt[j], z)
        for o in range(old_ptr[j], old_ptr[j + 1]):
            z[old_rows[o]] += prox * old_t[o]
            top = max(top, z[old_rows[o]])
            total -= 0.5 * prox * old_t[o] * old_t[o]
        # No entry this far below the best is positive: it would leave the best one more than b_j.
        low = top - b[j] * full
        q = ptr[0]
        for i in range(n):
            candidates[q] = i
            q += z[i] >= low
        for c in range(q):
            y[c] = z[candidates[c]] - top
        if e + q > t.size:
            rows, t = _longer(rows, 2 * (e + q), e), _longer(t, 2 * (e + q), e)
        A, inside = _threshold(y, ptr[0], q, b[j] * full)
        begin = e
        if inside <= k:
            g[j] = -A - top
            for c in range(q):
                if y[c] > A:
                    rows[e], t[e] = candidates[c], (y[c] - A) / full
                    e += 1
            whole[j] = e - begin
        else:
            sort_falling(y, candidates, q, stack)
            shifted, theta, first, last = _pooled(y, q, k, b[j], reg, prox)
            g[j], whole[j] = shifted - top, first
            for c in range(last):
                u = y[c] + shifted
                rows[e] = candidates[c]
                t[e] = u / full if c < first else (u - theta * reg) / prox
                # (reg/2) t^2 / eta with eta = 1, then with eta = t / theta
                total -= 0.0 if c < first else 0.5 * reg * t[e] * (theta - t[e])
                e += 1
        ptr[j + 1] = e
        for o in range(begin, e):
            r[rows[o]] += t[o]
            total += t[o] * (z[rows[o]] - 0.5 * full * t[o])
    return g, whole, ptr, rows[:e], t[:e], r, total


# --- without a limit or an old plan ---------------------------------------------------------------


@inner(fastmath=_REDUCTION)
def _above(f, cost, A):
    """The sum of max(f - cost - A, 0), and the number of positive terms."""
    above, count = 0.0, 0
    for i in range(f.size):
        v = f[i] - cost[i] - A
        above += max(v, 0.0)
        count += v > 0
    return above, count


@inner(fastmath=_REDUCTION)
def _largest(f, cost):
    """max(f - cost)."""
    top = -np.inf
    for i in range(f.size):
        top = max(top, f[i] - cost[i])
    return top


@inner
def _before(f, cost, goal, A):
    """An A with sum(max(f - cost - A, 0)) >= goal: one step of Newton's method, as the sum is convex in A."""
    above, count = _above(f, cost, A)
    return A + (above - goal) / count if count > 0 else _largest(f, cost) - goal


@kernel
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


@kernel
def balanced_columns(Mt, f, b, reg, g):
    """`best_columns` without a limit or an old plan, fast where g is near the answer.

    Returns g; the plan, in ptr, rows and t; its row sums; and sum t^2.
    """
    m, n = Mt.shape
    found, r = np.empty(m), np.empty(n)
    r[:] = 0.0
    ptr = np.empty(m + 1, np.int64)
    ptr[0] = 0
    rows, t = np.empty(4 * (n + m), np.int32), np.empty(4 * (n + m))
    square, e = 0.0, ptr[0]
    for j in range(m):
        column, goal = Mt[j], reg * b[j]
        A = _before(f, column, goal, -g[j])
        if e + n > t.size:
            rows, t = _longer(rows, 2 * (e + n), e), _longer(t, 2 * (e + n), e)
        q = e
        for i in range(n):
            v = f[i] - column[i] - A
            if v > 0:
                rows[q], t[q] = i, v
                q += 1
        shift, count = 0.0, q - e
        if count > 0:
            shift, count = _threshold(t, e, q, goal)
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


# --- Newton systems -------------------------------------------------------------------------------


@inner(fastmath=_REDUCTION)
def _scaled_dot(x, d):
    """Sum x_i^2 / d_i, and sum |x_i|."""
    total, size = 0.0, 0.0
    for i in range(x.size):
        total += x[i] * x[i] / d[i]
        size += abs(x[i])
    return total, size


@kernel
def laplacian_cg(ptr, rows, shift, rhs, work, rz, stop, steps):
    """Conjugate gradients for reg `laplacian` + shift, without a limit or an old plan, some steps of them.

    ``work`` (5, n) has x, the residual, the direction, the diagonal and a product; a negative ``rz`` starts
    from x = 0. Returns rz, the steps done, and whether the residual in the 1-norm is at most `stop`.
    """
    x, residual, direction, d, q = work[0], work[1], work[2], work[3], work[4]
    n, m = rhs.size, ptr.size - 1
    if rz < 0.0:
        d[:] = shift
        for j in range(m):
            for p in range(ptr[j], ptr[j + 1]):
                d[rows[p]] += 1 - 1 / (ptr[j + 1] - ptr[j])
        for i in range(n):
            x[i], residual[i], direction[i] = 0.0, rhs[i], rhs[i] / d[i]
        rz, _ = _scaled_dot(residual, d)
    _, size = _scaled_dot(residual, d)
    for step in range(steps):
        if not size > stop:
            return rz, step, True
        for i in range(n):
            q[i] = shift * direction[i]
        for j in range(m):
            begin, end = ptr[j], ptr[j + 1]
            mean = 0.0
            for p in range(begin, end):
                mean += direction[rows[p]]
            mean /= max(end - begin, 1)
            for p in range(begin, end):
                q[rows[p]] += direction[rows[p]] - mean
        curvature = 0.0
        for i in range(n):
            curvature += direction[i] * q[i]
        length = rz / curvature
        for i in range(n):
            x[i] += length * direction[i]
            residual[i] -= length * q[i]
        before = rz
        rz, size = _scaled_dot(residual, d)
        for i in range(n):
            direction[i] = residual[i] / d[i] + (rz / before) * direction[i]
    return rz, steps, False


@kernel
def add_laplacian(S, reg, prox, k, whole, ptr, rows, first, last):
    """Add to the lower triangle of S minus the second derivative in f of the maxima of `best_columns`.

    The share of the columns ``first, ..., last - 1``.

    A column adds J - (J 1)(J 1)' / (1' J 1), where J = dt/df at fixed g is diagonal but for the pool. Entries
    off the diagonal are negative, and rows sum to zero: the diagonal is summed up without cancellation.
    """
    for j in range(first, last):
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


@kernel
def subtract_products(S, ptr, rows, U, V, first, last):
    """Subtract U U' + V V' from the lower triangle of S, for matrices stored by columns with one pattern.

    The share of the columns ``first, ..., last - 1``.
    """
    for j in range(first, last):
        for p in range(ptr[j], ptr[j + 1]):
            u, v, row = U[p], V[p], S[rows[p]]
            for q in range(ptr[j], p + 1):
                row[rows[q]] -= u * U[q] + v * V[q]


# --- the limit ------------------------------------------------------------------------------------


@kernel
def support_norm(ptr, t, k):
    """The sum over the columns of the squared k-support norm."""
    longest = 0
    for j in range(ptr.size - 1):
        longest = max(longest, ptr[j + 1] - ptr[j])
    y, index, stack = np.empty(longest), np.empty(longest, np.int32), np.empty(longest + STACK, np.int64)
    total = 0.0
    for j in range(ptr.size - 1):
        size, rest, squares = ptr[j + 1] - ptr[j], 0.0, 0.0
        for i in range(size):
            y[i], index[i] = t[ptr[j] + i], i
            rest += y[i]
            squares += y[i] * y[i]
        if size <= k:
            total += squares
            continue
        sort_falling(y, index, size, stack)
        left, i = k, 0
        while left > 1 and y[i] * left > rest:  # large entries have eta = 1, the others eta = y / theta
            total += y[i] * y[i]
            rest -= y[i]
            left -= 1
            i += 1
        total += rest * rest / left
    return total


@kernel
def top_entries(Mt, f, g, k):
    """The k largest positive f_i + g_j - M_ij of each column: ptr, rows, values."""
    m, n = Mt.shape
    z = np.empty(n)
    chosen, stack = np.empty(n + 1, np.int32), np.empty(m + STACK, np.int64)
    ptr = np.empty(m + 1, np.int64)
    ptr[0] = 0
    rows, values = np.empty(m * min(k, n), np.int32), np.empty(m * min(k, n))
    e = ptr[0]
    for j in range(m):
        _differences(f, Mt[j], z)
        q = ptr[0]
        for i in range(n):
            chosen[q] = i
            q += z[i] + g[j] > 0
        for c in range(q):
            z[c] = z[chosen[c]]  # in place: c is at most the row
        if q > k:
            sort_falling(z, chosen, q, stack)
            q = k
        for c in range(q):
            rows[e], values[e] = chosen[c], z[c] + g[j]
            e += 1
        ptr[j + 1] = e
    return ptr, rows[:e], values[:e]
