"""Linear algebra of element matrices, eight elements at a time.

A block is eight elements; arrays are (blocks, ..., 8) with the element of a block last. The n = p + 1 nodes
of an element are ordered with the p - 1 inner ones first, then the left end, then the right end. A
symmetric element matrix is stored by the rows of its upper triangle: n (n + 1) / 2 vectors.

`factor` eliminates the inner nodes of all elements at once; what is left is one 2 x 2 matrix per element,
together a tridiagonal matrix of the nodes that elements share, which is eliminated from left to right. By
Sylvester's law of inertia the number of negative pivots is the number of negative eigenvalues, in whatever
order the nodes are eliminated.

No pivot is nearer to zero than its own rounding errors: one that comes out smaller is set to that size, with
its sign. The factors are then those of a matrix that differs by rounding errors, and every quotient is
finite, also where the shift is an eigenvalue, of the whole matrix or of a leading part, to the last digit.
"""

from ._cpu_lanes import away_from_zero, inner, larger, load, negatives, splat, store, total

UNIT = 2.0**-52  # the spacing of floating-point numbers at 1: what rounding leaves of a pivot that vanishes
TINY = 2.2250738585072014e-308  # the smallest normal number, whose inverse is finite


@inner
def add_gram(A, table, weight):
    """A_ij += sum_q weight_q table_qi table_qj; table (blocks, points, n, 8), weight (blocks, points, 8)."""
    blocks, points, n = table.shape[:3]
    size = A.shape[1]
    for b in range(blocks):
        start = b * size
        whole = points - points % 4
        for q in range(0, whole, 4):  # four points at a time: a fourth of the traffic of A
            w = b * points + q
            w0, w1, w2, w3 = load(weight, w), load(weight, w + 1), load(weight, w + 2), load(weight, w + 3)
            t0 = w * n
            t1, t2, t3 = t0 + n, t0 + 2 * n, t0 + 3 * n
            at = start
            for i in range(n):
                f0, f1 = w0 * load(table, t0 + i), w1 * load(table, t1 + i)
                f2, f3 = w2 * load(table, t2 + i), w3 * load(table, t3 + i)
                for j in range(i, n):
                    part = f0 * load(table, t0 + j) + f1 * load(table, t1 + j)
                    store(A, at, load(A, at) + part + f2 * load(table, t2 + j) + f3 * load(table, t3 + j))
                    at += 1
        for q in range(whole, points):
            w0 = load(weight, b * points + q)
            t0 = (b * points + q) * n
            at = start
            for i in range(n):
                f0 = w0 * load(table, t0 + i)
                for j in range(i, n):
                    store(A, at, load(A, at) + f0 * load(table, t0 + j))
                    at += 1


@inner
def multiply(A, x, y):
    """Within each element, y = A x; x, y (blocks, n, 8)."""
    blocks, n = x.shape[:2]
    at = 0
    for b in range(blocks):
        first = b * n
        for i in range(n):
            store(y, first + i, splat(0.0))
        for i in range(first, first + n):
            xi = load(x, i)
            yi = load(y, i) + load(A, at) * xi
            at += 1
            for j in range(i + 1, first + n):
                a = load(A, at)
                yi = yi + a * load(x, j)
                store(y, j, load(y, j) + a * xi)
                at += 1
            store(y, i, yi)


@inner(inline="always")
def dot(x, y):
    """Sum of the products of all entries."""
    s = splat(0.0)
    for k in range(x.size // 8):
        s = s + load(x, k) * load(y, k)
    return total(s)


@inner
def evaluate(table, u, out):
    """out_q = sum_i table_qi u_i."""
    blocks, points, n = table.shape[:3]
    for b in range(blocks):
        for q in range(b * points, (b + 1) * points):
            t = q * n
            even, odd = splat(0.0), splat(0.0)
            for i in range(0, n - 1, 2):
                even = even + load(table, t + i) * load(u, b * n + i)
                odd = odd + load(table, t + i + 1) * load(u, b * n + i + 1)
            if n % 2 == 1:
                even = even + load(table, t + n - 1) * load(u, b * n + n - 1)
            store(out, q, even + odd)


@inner(inline="always")
def add_moments(table, values, y):
    """y_i += sum_q table_qi values_q."""
    blocks, points, n = table.shape[:3]
    for b in range(blocks):
        for q in range(b * points, (b + 1) * points):
            v = load(values, q)
            for i in range(n):
                store(y, b * n + i, load(y, b * n + i) + load(table, q * n + i) * v)


@inner(inline="always")
def eliminate(A, start, n):
    """Eliminate the inner nodes of one block, two pivots a sweep; return the number of negative ones."""
    one = splat(1.0)
    least = splat(0.0)
    at = start
    for k in range(n):
        least = larger(load(A, at), least)
        at += n - k
    least = splat(UNIT) * least + splat(TINY)  # of the rounding errors of a pivot
    negative = 0
    at = start
    for k in range(0, n - 2, 2):
        width = n - k
        pivot = away_from_zero(load(A, at), least)
        inverse = one / pivot
        store(A, at, inverse)
        negative += negatives(pivot)
        if k == n - 3:  # the last pivot of an odd number
            below = at + width
            for i in range(1, width):
                f = load(A, at + i) * inverse
                for j in range(i, width):
                    store(A, below, load(A, below) - f * load(A, at + j))
                    below += 1
        else:
            second = at + width - 1  # A[k + 1, j] is at second + j - k
            f = load(A, at + 1) * inverse
            for j in range(1, width):
                store(A, second + j, load(A, second + j) - f * load(A, at + j))
            pivot = away_from_zero(load(A, second + 1), least)
            inverse_2 = one / pivot
            store(A, second + 1, inverse_2)
            negative += negatives(pivot)
            below = second + width
            for i in range(2, width):
                f = load(A, at + i) * inverse
                g = load(A, second + i) * inverse_2
                for j in range(i, width):
                    store(A, below, load(A, below) - f * load(A, at + j) - g * load(A, second + j))
                    below += 1
            at = second + width
    return negative


@inner(inline="always")
def factor(A, n, elements, first, chain):
    """Factorise in place; return the number of negative pivots, or -1 if A has an entry that is not finite.

    The shared nodes are 0 ... elements; those before `first` and the last are fixed to zero. ``chain``
    (2, elements + 1) takes the inverse pivots and the couplings of the shared nodes.
    """
    blocks, size = A.shape[:2]
    negative = 0
    for b in range(blocks):
        negative += eliminate(A, b * size, n)
    carry, finite = 0.0, 0.0
    for e in range(elements):
        b, lane = e // 8, e % 8
        coupling = A[b, size - 2, lane]
        right = A[b, size - 1, lane]
        if e < first:
            carry = right
        else:
            own = A[b, size - 3, lane]
            pivot = own + carry
            least = UNIT * (abs(own) + abs(carry) + abs(coupling)) + TINY
            if abs(pivot) < least:
                pivot = -least if pivot < 0.0 else least
            if pivot < 0.0:
                negative += 1
            inverse = 1.0 / pivot
            chain[0, e] = inverse
            chain[1, e] = coupling
            carry = right - coupling * coupling * inverse
        finite += 0.0 * carry  # NaN, for good, if any of them is not finite
    return negative if finite == 0.0 else -1


@inner(inline="always")
def solve(A, n, elements, first, chain, y):
    """Solve with the factors; y (blocks, n, 8) holds the right-hand side, then the solution."""
    blocks, size = A.shape[:2]
    for b in range(blocks):
        at = b * size
        for k in range(n - 2):
            f = load(y, b * n + k) * load(A, at)
            for i in range(1, n - k):
                store(y, b * n + k + i, load(y, b * n + k + i) - load(A, at + i) * f)
            at += n - k
    carry = 0.0
    for e in range(elements):
        b, lane = e // 8, e % 8
        right = y[b, n - 1, lane]
        if e >= first:
            value = y[b, n - 2, lane] + carry
            y[b, n - 2, lane] = value
            right -= chain[1, e] * chain[0, e] * value
        carry = right
    beyond = 0.0
    for e in range(elements - 1, -1, -1):
        b, lane = e // 8, e % 8
        y[b, n - 1, lane] = beyond
        beyond = (y[b, n - 2, lane] - chain[1, e] * beyond) * chain[0, e] if e >= first else 0.0
        y[b, n - 2, lane] = beyond
    for b in range(blocks):
        at = (b + 1) * size - 6
        for k in range(n - 3, -1, -1):
            x = load(y, b * n + k)
            for i in range(1, n - k):
                x = x - load(A, at + i) * load(y, b * n + k + i)
            store(y, b * n + k, x * load(A, at))
            at -= n - k + 1
    # the lanes beyond the last element have no nodes, and stay zero
