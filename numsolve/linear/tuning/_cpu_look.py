"""Compiled kernels that look at a matrix: what it is like, its bands, and its factors for many vectors.

A matrix is given in compressed rows as `ptr`, `columns` and `data`.
"""
# ruff: noqa: PLR1730

import numpy as np

from numsolve._core.compiled import kernel

ONE = np.uint64(1)
#: Two entries across the diagonal of a symmetric matrix differ by so much of their size.
SYMMETRIC = 1e-12


@kernel
def glance(ptr, columns, data, v, both, out):
    """One pass over A: the rows of `both` get A'v and A v, and `out` gets numbers.

    The numbers are the sums of all absolute values and of those on the diagonal, the bandwidths below and
    above the diagonal, how many diagonal entries are positive, the largest sum of a row's absolute values,
    the largest difference between the two, and the weakest diagonal: the least share of it that
    is left beside its row.
    """
    n, left, right = v.size, both[0], both[1]
    total, diagonal, most, positive, weakest = 0.0, 0.0, 0.0, 0, 1.0
    below, above = 0, 0
    for i in range(n):
        left[i] = 0.0
    for i in range(n):
        row, product, own = 0.0, 0.0, 0.0
        for k in range(ptr[i], ptr[i + 1]):
            j, a = np.int64(columns[k]), np.float64(data[k])
            row += abs(a)
            product += a * v[j]
            left[j] += a * v[i]
            if j == i:
                own = a
        if ptr[i + 1] > ptr[i]:  # columns ascend
            above = max(above, np.int64(columns[ptr[i + 1] - 1]) - i)
            below = max(below, i - np.int64(columns[ptr[i]]))
        right[i] = product
        total += row
        diagonal += abs(own)
        if own > 0:
            positive += 1
        if 2 * abs(own) - row < weakest * abs(own):
            weakest = 2 - row / abs(own)
        if row > most:
            most = row
    gap = 0.0
    for i in range(n):
        difference = abs(left[i] - right[i])
        if difference > gap:
            gap = difference
    out[0], out[1], out[2], out[3] = total, diagonal, below, above
    out[4], out[5], out[6], out[7] = positive, most, gap, weakest


@kernel
def diagonal_share(ptr, columns, data, out):
    """The sums of all absolute values of A and of those on the diagonal, into `out`."""
    total, diagonal = 0.0, 0.0
    for i in range(ptr.size - 1):
        for k in range(ptr[i], ptr[i + 1]):
            a = abs(np.float64(data[k]))
            total += a
            if columns[k] == i:
                diagonal += a
    out[0], out[1] = total, diagonal


@kernel(fastmath={"contract", "nsz"})
def tridiagonal(ptr, columns, data, b, x, ratios, out):
    """Solve A x = b where A is tridiagonal, symmetric and positive definite; return False where it is not.

    Gaussian elimination: `ratios` gets the entries beside the unit diagonal. `out` gets the squares of the
    norms of b - A x, of b and of |A| |x| + |b|, and the sums of all absolute values of A and of those on the
    diagonal.
    """
    n, above, inverse, y = b.size, 0.0, 0.0, 0.0
    rr, bb, ss, total, diagonal = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        lower, own, upper = 0.0, 0.0, 0.0
        for k in range(ptr[i], ptr[i + 1]):
            step = np.int64(columns[k]) - i
            if step == 0:
                own = data[k]
            elif step == -1 and i > 0:
                lower = data[k]
            elif step == 1 and i < n - 1:
                upper = data[k]
            else:
                return False
        if not abs(lower - above) <= SYMMETRIC * (abs(lower) + abs(above)):
            return False
        ratio = lower * inverse
        pivot = own - ratio * lower
        if not pivot > 0:
            return False
        total += abs(lower) + own + abs(upper)
        diagonal += own
        bb += b[i] * b[i]
        above, inverse = upper, 1 / pivot
        y = b[i] - ratio * y
        x[i], ratios[i] = y * inverse, upper * inverse
    for m in range(1, n):
        i = n - 1 - m
        x[i] -= ratios[i] * x[i + 1]
    for i in range(n):
        own = b[i]
        size = abs(own)
        for k in range(ptr[i], ptr[i + 1]):
            term = data[k] * x[columns[k]]
            own -= term
            size += abs(term)
        rr += own * own
        ss += size * size
    out[0], out[1], out[2], out[3], out[4] = rr, bb, ss, total, diagonal
    return True


@kernel
def width(ptr, columns, mark, queue):
    """How wide the graph of A is: its largest level, counted from an end of each component.

    A breadth-first search leads from a vertex to one that is far away; a second one starts there.
    """
    n = mark.size
    widest = 0
    for i in range(n):
        mark[i] = 0
    for start in range(n):
        if mark[start] > 0:
            continue
        root = start
        for stamp in range(1, 3):
            queue[0], mark[root] = root, stamp
            head, tail = 0, 1
            for _ in range(n):
                if head == tail:
                    break
                end = tail
                if stamp == 2 and end - head > widest:
                    widest = end - head
                for q in range(head, end):
                    i = queue[q]
                    for k in range(ptr[i], ptr[i + 1]):
                        j = np.int64(columns[k])
                        if mark[j] < stamp:
                            mark[j] = stamp
                            queue[tail] = j
                            tail += 1
                head = end
            root = queue[tail - 1]
    return widest


@kernel
def bands(ptr, columns, data, first, ab):
    """The diagonals of A from the place `first` on, in LAPACK's order: ``ab[first + i - j, j] = a_ij``.

    Those that would be above the first row of `ab` are left out.
    """
    for i in range(ptr.size - 1):
        for k in range(ptr[i], ptr[i + 1]):
            j = np.int64(columns[k])
            row = first + i - j
            if row >= 0:
                ab[row, j] = data[k]


@kernel(fastmath={"contract", "nsz"})
def apply_block(rows, lp, up, columns, values, inverse, R, work, Z):
    """Solve L D U Z = R for several right-hand sides, the factors as in `numsolve.linear._cpu_krylov`."""
    width = R.shape[1]
    for p in range(rows.size):
        row = rows[p]
        for c in range(width):
            work[p, c] = R[row, c]
        for k in range(lp[p], lp[p + 1]):
            other, value = columns[k], values[k]
            for c in range(width):
                work[p, c] -= value * work[other, c]
    for m in range(rows.size):
        p = np.uint64(rows.size - 1 - m)
        row, own = rows[p], inverse[p]
        for c in range(width):
            work[p, c] *= own
        for k in range(up[p], up[p + ONE]):
            other, value = columns[k], values[k]
            for c in range(width):
                work[p, c] -= value * work[other, c]
        for c in range(width):
            Z[row, c] = work[p, c]


@kernel(fastmath={"contract", "nsz"})
def solve_complete(lp, lrows, lower, up, urows, upper, from_rows, to_columns, B, work, X):
    """Solve A X = B with L U = A in another order of its rows and columns.

    Both factors are given by columns, L with its unit diagonal. Row i of A is row `from_rows[i]` there, and
    its column i is column `to_columns[i]`.
    """
    n, width = B.shape
    for i in range(n):
        for c in range(width):
            work[from_rows[i], c] = B[i, c]
    for j in range(n):
        for k in range(lp[j], lp[j + 1]):
            i, value = lrows[k], lower[k]
            if i != j:
                for c in range(width):
                    work[i, c] -= value * work[j, c]
    for m in range(n):
        j = n - 1 - m
        for k in range(up[j], up[j + 1]):
            if urows[k] == j:
                for c in range(width):
                    work[j, c] /= upper[k]
        for k in range(up[j], up[j + 1]):
            i, value = urows[k], upper[k]
            if i != j:
                for c in range(width):
                    work[i, c] -= value * work[j, c]
    for i in range(n):
        for c in range(width):
            X[i, c] = work[to_columns[i], c]
