"""Compiled kernels that choose pairs of a cost matrix, and plans on few of them, for exact transport."""

import numpy as np

from numsolve._core.compiled import kernel


@kernel
def least_pairs(M, f, g, limit, most):
    """The pairs of least M_ij - f_i - g_j below a limit, so many of each row and of each column.

    Returns their numbers i m + j, some twice, and the least entry of each row.
    """
    n, m = M.shape
    value, where = np.empty(most), np.empty(most, np.int64)
    values, rows = np.full((m, most), limit), np.full((m, most), -1)
    chosen, count = np.empty(n * most + m * most, np.int64), 0
    least = np.empty(n)
    for i in range(n):
        value[:], where[:] = limit, -1
        low = np.inf
        for j in range(m):
            rest = M[i, j] - f[i] - g[j]
            low = min(low, rest)
            if rest < value[most - 1]:
                k = most - 1
                for _ in range(most - 1):
                    if value[k - 1] <= rest:
                        break
                    value[k], where[k] = value[k - 1], where[k - 1]
                    k -= 1
                value[k], where[k] = rest, j
            if rest < values[j, most - 1]:
                k = most - 1
                for _ in range(most - 1):
                    if values[j, k - 1] <= rest:
                        break
                    values[j, k], rows[j, k] = values[j, k - 1], rows[j, k - 1]
                    k -= 1
                values[j, k], rows[j, k] = rest, i
        least[i] = low
        for k in range(most):
            if where[k] >= 0:
                chosen[count] = i * m + where[k]
                count += 1
    for j in range(m):
        for k in range(most):
            if rows[j, k] >= 0:
                chosen[count] = rows[j, k] * m + j
                count += 1
    return chosen[:count], least


@kernel
def spread(i, j, plan, rows, row_ends, columns, column_ends, a, b):
    """A plan of points from a plan of groups: within a pair of groups, points are filled one after another.

    ``rows`` are the points of the groups, group after group, which end at ``row_ends``. The plan of the
    groups has no cycles, so that of the points has none.
    """
    size = plan.size + a.size + b.size
    p, q, t, count = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size), 0
    x = np.concatenate((np.zeros(1, np.int64), row_ends[:-1]))
    y = np.concatenate((np.zeros(1, np.int64), column_ends[:-1]))
    left, right = a.copy(), b.copy()
    for k in range(plan.size):
        u, v, rest = i[k], j[k], plan[k]
        for _ in range(row_ends[u] - x[u] + column_ends[v] - y[v]):
            r, c = rows[x[u]], columns[y[v]]
            moved = min(left[r], right[c], rest)
            if moved > 0.0:
                p[count], q[count], t[count] = r, c, moved
                count += 1
            left[r] -= moved
            right[c] -= moved
            rest -= moved
            if left[r] <= 0.0 and x[u] + 1 < row_ends[u]:
                x[u] += 1
            elif right[c] <= 0.0 and y[v] + 1 < column_ends[v]:
                y[v] += 1
            else:
                break
    return p[:count], q[:count], t[:count]


@kernel
def staircase(a, b):
    """The plan that fills rows and columns in their order, with all the pairs that its path passes."""
    n, m = a.size, b.size
    i, j, t = np.empty(n + m - 1, np.int64), np.empty(n + m - 1, np.int64), np.empty(n + m - 1)
    x, y, left, right = 0, 0, a[0], b[0]
    for k in range(n + m - 1):
        moved = min(left, right)
        i[k], j[k], t[k] = x, y, moved
        left -= moved
        right -= moved
        if y + 1 == m or (x + 1 < n and left <= right):
            x += 1
            left = a[min(x, n - 1)]
        else:
            y += 1
            right = b[y]
    return i, j, t
