"""Compiled kernels of transport between clouds of points: costs are computed where they are used.

A *side* is one of the two clouds with its potential, prepared by `side` for one regularisation: the tuple

    points (d, n), potential (n,), edges, low, high, slope (d, groups), top (groups,)

in units in which ``P_ij = 2^(f_i + g_j - c(x_i, y_j))``. The cost is homogeneous in ``x - y``, so scaling the
points takes the place of the division by the regularisation:

    SQUARED  |x - y|^2       EUCLIDEAN  |x - y|       CITYBLOCK  |x - y|_1       POWER  sum_k |x_k - y_k|^p

The points are sorted so that those of a group (``edges[k]`` to ``edges[k + 1]``) are neighbours. The last
four arrays outline the groups: the box ``low <= x <= high``, and ``potential <= top + slope . x`` in it. They
bound the exponents of all pairs of two groups (`_largest_exponents`); pairs of groups that cannot matter are
never looked at. What remains for a group of rows is gathered into one piece of memory (`_gather`), and the
loops run over pieces of `PIECE` columns that stay in the fastest cache.
"""

import numpy as np
from numba import njit

from ._cpu import _ELEMENTWISE, _REDUCTION, _as_float64, _as_int64, _exp2, _row_plan, _row_sum

SQUARED, EUCLIDEAN, CITYBLOCK, POWER = range(4)
PIECE = 512
#: Steps of conjugate gradients that fit the slope of a potential within a group.
SLOPE_STEPS = 4


# --- costs of one row -----------------------------------------------------------------------------


@njit(cache=True, fastmath=_ELEMENTWISE, error_model="numpy")
def _log2(x):
    """log2(x) for finite x >= 0 to 2e-16 absolute plus relative; about -1023 at 0."""
    bits = _as_int64(x)
    k = ((bits - 0x3FE6A09E00000000) >> 52) + 0.0  # the mantissa falls into [sqrt(1/2), sqrt(2))
    m = _as_float64(bits - (np.int64(k) << 52))
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    q = 0.15186263588304877
    q = q * z + 0.16972882833987804
    q = q * z + 0.19235933878519512
    q = q * z + 0.22195308321368667
    q = q * z + 0.2623081892525388
    q = q * z + 0.3205988979753252
    q = q * z + 0.4121985831111324
    q = q * z + 0.5770780163555853
    q = q * z + 0.9617966939259756
    q = q * z + 2.8853900817779268
    return k + q * s


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _squares_1(x, Y, c):
    for j in range(c.size):
        c[j] = (x - Y[j]) * (x - Y[j])


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _squares_2(x, y, X, Y, c):
    for j in range(c.size):
        c[j] = (x - X[j]) * (x - X[j]) + (y - Y[j]) * (y - Y[j])


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _squares_3(x, y, z, X, Y, Z, c):
    for j in range(c.size):
        c[j] = (x - X[j]) * (x - X[j]) + (y - Y[j]) * (y - Y[j]) + (z - Z[j]) * (z - Z[j])


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _add_squares_2(x, y, X, Y, c):
    for j in range(c.size):
        c[j] += (x - X[j]) * (x - X[j]) + (y - Y[j]) * (y - Y[j])


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _square_roots(c):
    for j in range(c.size):
        c[j] = np.sqrt(c[j])


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _add_distances(x, Y, c):
    for j in range(c.size):
        c[j] += abs(x - Y[j])


@njit(cache=True, fastmath=_ELEMENTWISE, error_model="numpy")
def _add_powers(x, Y, p, c):
    for j in range(c.size):
        c[j] += _exp2(p * _log2(abs(x - Y[j])))


@njit(cache=True, error_model="numpy")
def _costs(kind, p, x, Y, j, c):
    """Write the costs between x and the points Y[:, j : j + c.size] into c."""
    d, end = x.size, j + c.size
    if kind == CITYBLOCK:
        c[:] = 0.0
        for k in range(d):
            _add_distances(x[k], Y[k, j:end], c)
        return
    if kind == POWER:
        c[:] = 0.0
        for k in range(d):
            _add_powers(x[k], Y[k, j:end], p, c)
        return
    if d == 1:
        _squares_1(x[0], Y[0, j:end], c)
    elif d % 2 == 0:
        _squares_2(x[0], x[1], Y[0, j:end], Y[1, j:end], c)
    else:
        _squares_3(x[0], x[1], x[2], Y[0, j:end], Y[1, j:end], Y[2, j:end], c)
    for k in range(2 + d % 2, d, 2):
        _add_squares_2(x[k], x[k + 1], Y[k, j:end], Y[k + 1, j:end], c)
    if kind == EUCLIDEAN:
        _square_roots(c)


@njit(cache=True, error_model="numpy")
def _copy_point(X, i, x):
    for k in range(x.size):
        x[k] = X[k, i]


@njit(cache=True, error_model="numpy")
def cost_block(kind, p, X, Y):
    """The costs between the points X (d, n) and Y (d, m)."""
    M = np.empty((X.shape[1], Y.shape[1]))
    for i in range(M.shape[0]):
        _costs(kind, p, X[:, i].copy(), Y, 0, M[i])
    return M


# --- sides ----------------------------------------------------------------------------------------


@njit(cache=True, error_model="numpy", nogil=True)
def side(kind, X, f, edges):
    """Prepare a cloud and its potential: the tuple described above."""
    d, groups = X.shape[0], edges.size - 1
    low, high = np.empty((d, groups)), np.empty((d, groups))
    slope, top = np.zeros((d, groups)), np.empty(groups)
    fitted = np.empty(d)
    for group in range(groups):
        start, end = edges[group], edges[group + 1]
        fitted[:] = 0.0
        if kind == SQUARED:
            _fit_slope(X, f, start, end, fitted)
        for k in range(d):
            least, largest = np.inf, -np.inf
            for i in range(start, end):
                least, largest = min(least, X[k, i]), max(largest, X[k, i])
            low[k, group], high[k, group], slope[k, group] = least, largest, fitted[k]
        largest = -np.inf
        for i in range(start, end):
            rest = f[i]
            for k in range(d):
                rest -= fitted[k] * X[k, i]
            largest = max(largest, rest)
        top[group] = largest
    return X, f, edges, low, high, slope, top


@njit(cache=True, error_model="numpy")
def _fit_slope(X, f, start, end, slope):
    """Fit f by a linear function: its slope, from a few conjugate gradients (any slope is valid)."""
    d, n = X.shape[0], end - start
    mean, s, p = np.zeros(d), np.zeros(d), np.zeros(d)
    residual, q = np.empty(n), np.empty(n)
    level = 0.0
    for i in range(start, end):
        level += f[i] / n
        for k in range(d):
            mean[k] += X[k, i] / n
    for i in range(n):
        residual[i] = f[start + i] - level
    old = np.inf
    for _ in range(min(d, SLOPE_STEPS)):
        gamma = 0.0
        for k in range(d):
            s[k] = 0.0
            for i in range(n):
                s[k] += (X[k, start + i] - mean[k]) * residual[i]
            gamma += s[k] * s[k]
        for k in range(d):
            p[k] = s[k] + gamma / old * p[k]
        length = 0.0
        for i in range(n):
            q[i] = 0.0
            for k in range(d):
                q[i] += p[k] * (X[k, start + i] - mean[k])
            length += q[i] * q[i]
        if not (gamma > 0.0 and 0.0 < length < np.inf):
            return
        for i in range(n):
            residual[i] -= gamma / length * q[i]
        for k in range(d):
            slope[k] += gamma / length * p[k]
        old = gamma


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _add_largest_sq(x_low, x_high, t, low, high, slope, bound):
    """Add the largest t x + s y - (x - y)^2 for x in its interval and y in each of the others.

    The best y to x is x + s/2, moved into its interval; what is left is concave in x.
    """
    for J in range(bound.size):
        w, half = t + slope[J], 0.5 * slope[J]
        x = (high[J] if w >= 0.0 else low[J]) - half + 0.5 * w
        x = min(max(x, x_low), x_high)
        outside = max(low[J] - x - half, x + half - high[J], 0.0)
        bound[J] += w * x + half * half - outside * outside


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _add_gaps(kind, p, x_low, x_high, low, high, gap):
    """Add what the gap between intervals adds to the cost (to its square for EUCLIDEAN)."""
    for J in range(gap.size):
        e = max(low[J] - x_high, x_low - high[J], 0.0)
        gap[J] += e if kind == CITYBLOCK else e * e if kind == EUCLIDEAN else e**p


@njit(cache=True, error_model="numpy")
def _largest_exponents(kind, p, rows, group, columns, bound):
    """Bound f_i + g_j - c_ij over the pairs of the group group of rows and each group of columns."""
    low, high, slope, top = columns[3:]
    bound[:] = 0.0
    for k in range(low.shape[0]):
        x_low, x_high = rows[3][k, group], rows[4][k, group]
        if kind == SQUARED:
            _add_largest_sq(x_low, x_high, rows[5][k, group], low[k], high[k], slope[k], bound)
        else:
            _add_gaps(kind, p, x_low, x_high, low[k], high[k], bound)
    if kind == EUCLIDEAN:
        _square_roots(bound)
    sign = 1.0 if kind == SQUARED else -1.0
    for J in range(bound.size):
        bound[J] = rows[6][group] + top[J] + sign * bound[J]


@njit(cache=True, error_model="numpy")
def _copy(source, target):
    for j in range(source.size):
        target[j] = source[j]


@njit(cache=True, error_model="numpy")
def _gather(bound, cut, columns, Y, g, index):
    """Copy the columns of the groups whose bound is not below the cut; return how many they are."""
    points, potential, edges = columns[:3]
    size, groups, J = 0, bound.size, 0
    while J < groups:
        if bound[J] < cut:
            J += 1
            continue
        start = edges[J]
        while J < groups and bound[J] >= cut:
            J += 1
        count = edges[J] - start
        for k in range(points.shape[0]):
            _copy(points[k, start : start + count], Y[k, size : size + count])
        _copy(potential[start : start + count], g[size : size + count])
        for j in range(count):
            index[size + j] = start + j
        size += count
    return size


@njit(cache=True, error_model="numpy")
def _workspace(columns):
    """Memory for the bounds and for the gathered columns: bound, Y, g, index, costs of a piece, point."""
    d, m = columns[0].shape
    return (
        np.empty(columns[6].size),
        np.empty((d, m)),
        np.empty(m),
        np.empty(m, np.int32),
        np.empty(PIECE),
        np.empty(d),
    )


# --- sums over the pairs --------------------------------------------------------------------------


@njit(cache=True, error_model="numpy", nogil=True)
def row_sums(kind, p, rows, columns, cut, first, last):
    """sum_j P_ij for the rows of the groups first, ..., last - 1, but for pairs with P_ij < 2^cut[group]."""
    X, f, edges = rows[:3]
    bound, Y, g, index, c, x = _workspace(columns)
    out = np.zeros(edges[last] - edges[first])
    for group in range(first, last):
        _largest_exponents(kind, p, rows, group, columns, bound)
        size = _gather(bound, cut[group], columns, Y, g, index)
        for j in range(0, size, PIECE):
            end = min(j + PIECE, size)
            for i in range(edges[group], edges[group + 1]):
                _copy_point(X, i, x)
                _costs(kind, p, x, Y, j, c[: end - j])
                out[i - edges[first]] += _row_sum(c[: end - j], g[j:end], f[i], 1.0)
    return out


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _dot(x, y):
    total = 0.0
    for j in range(x.size):
        total += x[j] * y[j]
    return total


@njit(cache=True, error_model="numpy", nogil=True)
def products(kind, p, rows, columns, cut, first, last, V):
    """sum_j P_ij V_kj as an array (rows, k), under the same rule."""
    X, f, edges = rows[:3]
    bound, Y, g, index, c, x = _workspace(columns)
    P = np.empty(PIECE)
    W = np.empty(V.shape)
    out = np.zeros((edges[last] - edges[first], V.shape[0]))
    for group in range(first, last):
        _largest_exponents(kind, p, rows, group, columns, bound)
        size = _gather(bound, cut[group], columns, Y, g, index)
        for k in range(V.shape[0]):
            for j in range(size):
                W[k, j] = V[k, index[j]]
        for j in range(0, size, PIECE):
            end = min(j + PIECE, size)
            for i in range(edges[group], edges[group + 1]):
                _copy_point(X, i, x)
                _costs(kind, p, x, Y, j, c[: end - j])
                _row_plan(c[: end - j], g[j:end], f[i], 1.0, P[: end - j])
                for k in range(V.shape[0]):
                    out[i - edges[first], k] += _dot(P[: end - j], W[k, j:end])
    return out


@njit(cache=True, error_model="numpy", nogil=True)
def mean_costs(kind, p, rows, columns, cut, first, last):
    """sum_j P_ij c_ij, under the same rule."""
    X, f, edges = rows[:3]
    bound, Y, g, index, c, x = _workspace(columns)
    P = np.empty(PIECE)
    out = np.zeros(edges[last] - edges[first])
    for group in range(first, last):
        _largest_exponents(kind, p, rows, group, columns, bound)
        size = _gather(bound, cut[group], columns, Y, g, index)
        for j in range(0, size, PIECE):
            end = min(j + PIECE, size)
            for i in range(edges[group], edges[group + 1]):
                _copy_point(X, i, x)
                _costs(kind, p, x, Y, j, c[: end - j])
                _row_plan(c[: end - j], g[j:end], f[i], 1.0, P[: end - j])
                out[i - edges[first]] += _dot(P[: end - j], c[: end - j])
    return out


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _least(c, g, least):
    for j in range(c.size):
        least = min(least, c[j] - g[j])
    return least


@njit(cache=True, error_model="numpy", nogil=True)
def least(kind, p, rows, columns, first, last):
    """min_j (c_ij - g_j), by branch and bound over the groups; the rows' potential must be zero."""
    X, _, edges = rows[:3]
    Y, g, starts = columns[:3]
    bound, c, x = np.empty(columns[6].size), np.empty(PIECE), np.empty(X.shape[0])
    out = np.full(edges[last] - edges[first], np.inf)
    for group in range(first, last):
        _largest_exponents(kind, p, rows, group, columns, bound)
        best = np.argmax(bound)
        largest = np.inf  # of the minima found in this group of rows
        for turn in range(-1, bound.size):
            J = best if turn < 0 else turn
            if (turn == best and turn >= 0) or -bound[J] > largest:
                continue
            largest = -np.inf
            for i in range(edges[group], edges[group + 1]):
                _copy_point(X, i, x)
                value = out[i - edges[first]]
                for j in range(starts[J], starts[J + 1], PIECE):
                    end = min(j + PIECE, starts[J + 1])
                    _costs(kind, p, x, Y, j, c[: end - j])
                    value = _least(c[: end - j], g[j:end], value)
                out[i - edges[first]] = value
                largest = max(largest, value)
    return out
