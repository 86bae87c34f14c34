"""Compiled kernels of the sketches and of sketch-and-project.

Legend: A (n, d) dense, or data, indices, indptr of CSR; target and sign (n, k): the rows of the sketch that a
row of A goes to, and with which weight; out (s, d), zero on entry; z (d,), r = A z - b, y (n,).
"""

from __future__ import annotations

from numsolve._core.compiled import kernel

#: Columns of the dense matrix that are worked on together: a block of the result stays in the cache.
WIDTH = 512


@kernel(fastmath={"contract"})
def scatter_rows(A, target, sign, out):
    """Add S A to out, for A in C order."""
    n, d = A.shape
    k = target.shape[1]
    for first in range(0, d, WIDTH):
        last = min(first + WIDTH, d)
        for i in range(n):
            for t in range(k):
                row, weight = target[i, t], sign[i, t]
                for j in range(first, last):
                    out[row, j] += weight * A[i, j]


@kernel(fastmath={"contract"})
def scatter_columns(A, target, sign, out):
    """Add S A to out, both A and out in Fortran order, column by column."""
    n, d = A.shape
    k = target.shape[1]
    for j in range(d):
        for i in range(n):
            value = A[i, j]
            for t in range(k):
                out[target[i, t], j] += sign[i, t] * value


@kernel
def scatter_csr(data, indices, indptr, target, sign, out):
    """Add S A to out, for A in CSR."""
    k = target.shape[1]
    for i in range(target.shape[0]):
        for t in range(k):
            row, weight = target[i, t], sign[i, t]
            for e in range(indptr[i], indptr[i + 1]):
                out[row, indices[e]] += weight * data[e]


@kernel(fastmath={"contract"})
def gather(u, target, sign, out):
    """Add S' u to out, for u (s, d)."""
    k, d = target.shape[1], u.shape[1]
    for i in range(target.shape[0]):
        for t in range(k):
            row, weight = target[i, t], sign[i, t]
            for j in range(d):
                out[i, j] += weight * u[row, j]


@kernel(fastmath={"contract"})
def hadamard(x):
    """The unnormalised Walsh-Hadamard transform of the columns of x (p, d), p a power of two, in place."""
    p, d = x.shape
    stages = 0
    for bit in range(63):
        if (1 << bit) < p:
            stages += 1
    done = 0
    if stages % 2:
        for i in range(0, p, 2):
            for j in range(d):
                a, b = x[i, j], x[i + 1, j]
                x[i, j], x[i + 1, j] = a + b, a - b
        done = 1
    for stage in range(done, stages, 2):  # radix 4
        h = 1 << stage
        for i in range(0, p, 4 * h):
            for m in range(i, i + h):
                for j in range(d):
                    a, b, c, e = x[m, j], x[m + h, j], x[m + 2 * h, j], x[m + 3 * h, j]
                    ab, ba, ce, ec = a + b, a - b, c + e, c - e
                    x[m, j], x[m + h, j] = ab + ce, ba + ec
                    x[m + 2 * h, j], x[m + 3 * h, j] = ab - ce, ba - ec


@kernel(fastmath={"contract"})
def kaczmarz(y, r, rows, inverse_norms, products):
    """Projections onto one equation after another, for z - A'y: r = A z - b is kept by products = A A'."""
    for e in range(rows.size):
        i = rows[e]
        step = r[i] * inverse_norms[i]
        if step != 0.0:
            y[i] += step
            for j in range(r.size):
                r[j] -= step * products[i, j]


@kernel(fastmath={"contract"})
def kaczmarz_rows(A, b, z, rows, inverse_norms):
    """The same without A A': a row's own residual is computed when its turn comes."""
    for e in range(rows.size):
        i = rows[e]
        residual = -b[i]
        for j in range(z.size):
            residual += A[i, j] * z[j]
        step = residual * inverse_norms[i]
        for j in range(z.size):
            z[j] -= step * A[i, j]


@kernel(fastmath={"contract"})
def gaussian_vector(y, r, sketches, images):
    """Projections onto s'(A z - b) = 0 for the rows s of sketches, for z - A'y; images = sketches A A'."""
    for e in range(sketches.shape[0]):
        top = bottom = 0.0
        for i in range(r.size):
            top += sketches[e, i] * r[i]
            bottom += sketches[e, i] * images[e, i]
        if bottom > 0.0:
            step = top / bottom
            for i in range(r.size):
                y[i] += step * sketches[e, i]
                r[i] -= step * images[e, i]
