"""Compiled kernels of transport between clouds of points: costs are computed where they are used.

A `Side` is one of the two clouds with its potential, prepared by `side` for one regularisation, in units in
which ``P_ij = 2^(f_i + g_j - c(x_i, y_j))``. The cost is homogeneous in ``x - y``, so scaling the points does
what dividing by the regularisation would do:

    SQUARED  |x - y|^2       EUCLIDEAN  |x - y|       CITYBLOCK  |x - y|_1       POWER  sum_k |x_k - y_k|^p

``kind`` is None for SQUARED, and ``p``, the exponent of POWER, None for the others: where an argument is None
Numba leaves out what is for other values of it, so that the usual cost is not kept waiting by the rest.

The points are sorted so that those of a group (``edges[k]`` to ``edges[k + 1]``) are neighbours. A side has
outlines of its groups, which bound the exponents of all pairs of two groups (`_largest_exponents`); pairs of
groups that cannot matter are never looked at. What remains for a group of rows is gathered into one piece of
memory (`_gather`), and the loops run over pieces of `PIECE` columns that stay in the fastest cache.
"""

from typing import NamedTuple

import numpy as np

from numsolve._core.compiled import as_float64, as_int64, inner, kernel
from numsolve.transport._cpu import _ELEMENTWISE, _REDUCTION, _exp2, _row_plan, _row_sum

SQUARED = None
EUCLIDEAN, CITYBLOCK, POWER = range(3)
PIECE = 512
#: Steps of conjugate gradients that fit the slope of a potential within a group.
SLOPE_STEPS = 4


class Side(NamedTuple):
    """A cloud and its potential. In group k: ``low <= x <= high``, and ``potential <= top + slope . x``."""

    points: np.ndarray  # (d, n)
    potential: np.ndarray  # (n,)
    edges: np.ndarray  # (groups + 1,)
    low: np.ndarray  # (d, groups), as `high` and `slope`
    high: np.ndarray
    slope: np.ndarray
    top: np.ndarray  # (groups,)


class Work(NamedTuple):
    """Memory: bounds for the groups of columns, the columns gathered, costs of a piece, a point."""

    bound: np.ndarray
    points: np.ndarray
    potential: np.ndarray
    places: np.ndarray
    costs: np.ndarray
    x: np.ndarray


# --- costs of one row -----------------------------------------------------------------------------


@inner(fastmath=_ELEMENTWISE)
def _log2(x):
    """log2(x) for finite x >= 0 to 2e-16 absolute plus relative; about -1023 at 0."""
    bits = as_int64(x)
    k = ((bits - 0x3FE6A09E00000000) >> 52) + 0.0  # the mantissa falls into [sqrt(1/2), sqrt(2))
    m = as_float64(bits - (np.int64(k) << 52))
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


@inner(fastmath=_REDUCTION)
def _squares_1(x, Y, c):
    for j in range(c.size):
        c[j] = (x - Y[j]) * (x - Y[j])


@inner(fastmath=_REDUCTION)
def _squares_2(x, y, X, Y, c):
    for j in range(c.size):
        c[j] = (x - X[j]) * (x - X[j]) + (y - Y[j]) * (y - Y[j])


@inner(fastmath=_REDUCTION)
def _squares_3(x, y, z, X, Y, Z, c):
    for j in range(c.size):
        c[j] = (x - X[j]) * (x - X[j]) + (y - Y[j]) * (y - Y[j]) + (z - Z[j]) * (z - Z[j])


@inner(fastmath=_REDUCTION)
def _add_squares_2(x, y, X, Y, c):
    for j in range(c.size):
        c[j] += (x - X[j]) * (x - X[j]) + (y - Y[j]) * (y - Y[j])


@inner(fastmath=_REDUCTION)
def _square_roots(c):
    for j in range(c.size):
        c[j] = np.sqrt(c[j])


@inner(fastmath=_REDUCTION)
def _add_distances(x, Y, c):
    for j in range(c.size):
        c[j] += abs(x - Y[j])


@inner(fastmath=_ELEMENTWISE)
def _add_powers(x, Y, p, c):
    for j in range(c.size):
        c[j] += _exp2(p * _log2(abs(x - Y[j])))


@inner
def _costs(kind, p, x, Y, j, c):
    """Write the costs between x and the points Y[:, j : j + c.size] into c."""
    d, end = x.size, j + c.size
    if p is not None:
        c[:] = 0.0
        for k in range(d):
            _add_powers(x[k], Y[k, j:end], p, c)
        return
    if kind is not None and kind == CITYBLOCK:
        c[:] = 0.0
        for k in range(d):
            _add_distances(x[k], Y[k, j:end], c)
        return
    if d == 1:
        _squares_1(x[0], Y[0, j:end], c)
    elif d % 2 == 0:
        _squares_2(x[0], x[1], Y[0, j:end], Y[1, j:end], c)
    else:
        _squares_3(x[0], x[1], x[2], Y[0, j:end], Y[1, j:end], Y[2, j:end], c)
    for k in range(2 + d % 2, d, 2):
        _add_squares_2(x[k], x[k + 1], Y[k, j:end], Y[k + 1, j:end], c)
    if kind is not None:
        _square_roots(c)


@inner
def _copy_point(X, i, x):
    for k in range(x.size):
        x[k] = X[k, i]


# --- sides ----------------------------------------------------------------------------------------


@inner(inline="always")
def _fit_slope(X, f, start, end, slope):
    """Fit f by a linear function: its slope, from a few conjugate gradients (any slope is valid)."""
    d, n = X.shape[0], end - start
    mean, s, p = np.empty(d), np.empty(d), np.empty(d)
    residual, q = np.empty(n), np.empty(n)
    mean[:], p[:] = 0.0, 0.0
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
            break
        for i in range(n):
            residual[i] -= gamma / length * q[i]
        for k in range(d):
            slope[k] += gamma / length * p[k]
        old = gamma


@kernel
def side(kind, X, f, edges):
    """Prepare a cloud and its potential: the fields of a `Side`.

    Between kernels it travels as a plain tuple, whose type Numba tells twenty microseconds sooner.
    """
    d, groups = X.shape[0], edges.size - 1
    low, high, slope = np.empty((d, groups)), np.empty((d, groups)), np.empty((d, groups))
    top = np.empty(groups)
    fitted = np.empty(d)
    for group in range(groups):
        start, end = edges[group], edges[group + 1]
        fitted[:] = 0.0
        if kind is None:
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


@inner(fastmath=_REDUCTION)
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


@inner(fastmath=_REDUCTION)
def _add_gaps(kind, p, x_low, x_high, low, high, gap):
    """Add what the gap between intervals adds to the cost (to its square for EUCLIDEAN)."""
    for J in range(gap.size):
        e = max(low[J] - x_high, x_low - high[J], 0.0)
        if p is not None:
            gap[J] += e**p
        else:
            gap[J] += e if kind == CITYBLOCK else e * e


@inner
def _largest_exponents(kind, p, rows, group, columns, bound):
    """Bound f_i + g_j - c_ij over the pairs of the group group of rows and each group of columns."""
    low, high, slope, top = columns.low, columns.high, columns.slope, columns.top
    bound[:] = 0.0
    for k in range(low.shape[0]):
        x_low, x_high = rows.low[k, group], rows.high[k, group]
        if kind is None:
            _add_largest_sq(x_low, x_high, rows.slope[k, group], low[k], high[k], slope[k], bound)
        else:
            _add_gaps(kind, p, x_low, x_high, low[k], high[k], bound)
    sign = 1.0
    if kind is not None:
        sign = -1.0
        if kind == EUCLIDEAN:
            _square_roots(bound)
    for J in range(bound.size):
        bound[J] = rows.top[group] + top[J] + sign * bound[J]


@inner
def _copy(source, target):
    for j in range(source.size):
        target[j] = source[j]


@inner
def _gather(bound, cut, columns, work):
    """Copy the columns of the groups whose bound is not below the cut; return how many they are.

    Neighbouring groups are copied in one piece.
    """
    points, potential, edges = columns.points, columns.potential, columns.edges
    size, first = edges[0], 0
    for J in range(bound.size + 1):
        if J < bound.size and bound[J] >= cut:
            continue
        start, count = edges[first], edges[J] - edges[first]
        first = min(J + 1, bound.size)
        if count == 0:
            continue
        for k in range(points.shape[0]):
            _copy(points[k, start : start + count], work.points[k, size : size + count])
        _copy(potential[start : start + count], work.potential[size : size + count])
        for j in range(count):
            work.places[size + j] = start + j
        size += count
    return size


@inner
def _workspace(columns):
    d, m = columns.points.shape
    return Work(
        np.empty(columns.top.size),
        np.empty((d, m)),
        np.empty(m),
        np.empty(m, np.int32),
        np.empty(min(m, PIECE)),
        np.empty(d),
    )


# --- sums over the pairs --------------------------------------------------------------------------


@inner(fastmath=_REDUCTION)
def _dot(x, y):
    total = 0.0
    for j in range(x.size):
        total += x[j] * y[j]
    return total


@kernel
def row_sums(kind, p, rows, columns, cut, first, last, with_costs):
    """sum_j P_ij for the rows of the groups first, ..., last - 1, but for pairs with P_ij < 2^cut[group].

    An array (rows, 1); with_costs = 1 adds sum_j P_ij c_ij as its second column. One kernel for both, for
    nearly all of it is the same.
    """
    rows, columns = Side(*rows), Side(*columns)
    X, f, edges = rows.points, rows.potential, rows.edges
    work = _workspace(columns)
    Y, g, c, x = work.points, work.potential, work.costs, work.x
    P = np.empty(c.size)
    out = np.empty((edges[last] - edges[first], 1 + with_costs))
    out[:] = 0.0
    for group in range(first, last):
        _largest_exponents(kind, p, rows, group, columns, work.bound)
        size = _gather(work.bound, cut[group], columns, work)
        for j in range(0, size, PIECE):
            end = min(j + PIECE, size)
            for i in range(edges[group], edges[group + 1]):
                _copy_point(X, i, x)
                _costs(kind, p, x, Y, j, c[: end - j])
                out[i - edges[first], 0] += _row_sum(c[: end - j], g[j:end], f[i], 1.0)
                if with_costs:
                    _row_plan(c[: end - j], g[j:end], f[i], 1.0, P[: end - j])
                    out[i - edges[first], 1] += _dot(P[: end - j], c[: end - j])
    return out


@kernel
def products(kind, p, rows, columns, cut, first, last, V):
    """sum_j P_ij V_kj as an array (rows, k), under the same rule."""
    rows, columns = Side(*rows), Side(*columns)
    X, f, edges = rows.points, rows.potential, rows.edges
    work = _workspace(columns)
    Y, g, c, x = work.points, work.potential, work.costs, work.x
    P = np.empty(c.size)
    W = np.empty((V.shape[0], V.shape[1]))
    out = np.empty((edges[last] - edges[first], V.shape[0]))
    out[:] = 0.0
    for group in range(first, last):
        _largest_exponents(kind, p, rows, group, columns, work.bound)
        size = _gather(work.bound, cut[group], columns, work)
        for k in range(V.shape[0]):
            for j in range(size):
                W[k, j] = V[k, work.places[j]]
        for j in range(0, size, PIECE):
            end = min(j + PIECE, size)
            for i in range(edges[group], edges[group + 1]):
                _copy_point(X, i, x)
                _costs(kind, p, x, Y, j, c[: end - j])
                _row_plan(c[: end - j], g[j:end], f[i], 1.0, P[: end - j])
                for k in range(V.shape[0]):
                    out[i - edges[first], k] += _dot(P[: end - j], W[k, j:end])
    return out


@inner(fastmath=_REDUCTION)
def _least(c, g, least):
    for j in range(c.size):
        least = min(least, c[j] - g[j])
    return least


@kernel
def least(kind, p, rows, columns, first, last):
    """min_j (c_ij - g_j), by branch and bound over the groups; the rows' potential must be zero."""
    rows, columns = Side(*rows), Side(*columns)
    X, edges = rows.points, rows.edges
    Y, g, starts = columns.points, columns.potential, columns.edges
    work = _workspace(columns)
    bound, c, x = work.bound, work.costs, work.x
    out = np.empty(edges[last] - edges[first])
    out[:] = np.inf
    for group in range(first, last):
        _largest_exponents(kind, p, rows, group, columns, bound)
        best = 0
        for J in range(bound.size):
            best = J if bound[J] > bound[best] else best
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
