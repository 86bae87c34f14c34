r"""The Debye expansion of both functions, for radii r = sqrt(v^2 + x^2) from `FAR` on (DLMF 10.41).

With t = v / r and the upper sign for I, the lower for K::

    log I = +v eta - log(2 pi r) / 2 + log U,    log K = -v eta + log(pi / (2 r)) / 2 + log U            (1)
    v eta = r - v asinh(v / x),    U = sum_k (+-1 / r)^k P_k(t^2)                                         (2)

As u_k(t) / v^k = P_k(t^2) / r^k, nothing happens at v = 0: there (1) is Hankel's expansion.

Vectors are taken `BLOCK` entries at a time, one loop over them for each step, so that LLVM makes packed
instructions of every loop: hence no branch in them, and a logarithm of our own. How many terms of U are taken
is up to the caller: ``_cpu_sort`` groups entries by it.

Names: ``v`` order, ``x`` argument, ``r`` radius, ``q`` is +-1/r, ``p`` is t^2. ``work`` holds rows of `BLOCK`
floats, each named by where it begins; rows of one array cannot overlap, so LLVM need not look.
"""

from __future__ import annotations

import math

import numpy as np

from numsolve._core.compiled import as_float64, as_int64, inner, kernel

from ._tuples import DEBYE, ETA, ROOT, ROOT_REST, SLOPES

#: Entries of a block; its rows of work fit into the first cache.
BLOCK = 256
#: The rows of this file: r at 0, then q, p, a row of the table, U - 1 and W.
_Q, _P, _ROW, U, W = BLOCK, 2 * BLOCK, 3 * BLOCK, 4 * BLOCK, 5 * BLOCK
#: Room for the rows of any kernel.
WORK = 13 * BLOCK
#: A product and a sum may become one fused instruction; nothing else is reordered.
FUSED = {"contract"}
#: The bits of 1, less those of the square root of 1/2: moves the split of a number from 1 to there.
_SPLIT = 0x3FF0000000000000 - 0x3FE6A09E667F3BCD


@inner(fastmath=FUSED)
def log_of(u, w):
    """Log u for a normal u, with w = u - 1 known to all digits of its own where it is small.

    u = 2^e m, sqrt(1/2) <= m < sqrt 2, and log m = 2 atanh(s) with s = (m - 1) / (m + 1), |s| < 0.172: the
    first term is f - f^2 / 2 + s f^2 / 2 with f = m - 1, of which only the last is rounded twice. The
    exponent becomes a float as the last bits of 2^52 + e, for want of a packed conversion.
    """
    bits = as_int64(u) + _SPLIT
    e = as_float64(((bits & 0x7FF0000000000000) >> 52) | 0x4330000000000000) - (4503599627370496.0 + 1023.0)
    f = w if e == 0.0 else as_float64((bits & 0xFFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD) - 1.0
    s = f / (2.0 + f)
    z = s * s
    tail = 2.0 / 21.0
    tail = tail * z + 2.0 / 19.0
    tail = tail * z + 2.0 / 17.0
    tail = tail * z + 2.0 / 15.0
    tail = tail * z + 2.0 / 13.0
    tail = tail * z + 2.0 / 11.0
    tail = tail * z + 2.0 / 9.0
    tail = tail * z + 2.0 / 7.0
    tail = tail * z + 2.0 / 5.0
    tail = tail * z + 2.0 / 3.0
    half = 0.5 * f * f
    # log 2 in 32 bits, whose products with e are exact, and the rest
    return e * 0.6931471803691238 - ((half - (s * (half + z * tail) + e * 1.9082149292705877e-10)) - f)


@inner(fastmath=FUSED, inline="always")
def root_of_exponent(v, x):
    """V eta from its series about the root of eta, where the difference in (2) would keep eps * r only."""
    front = float(np.float32(v))  # ROOT has 24 bits, so that the next two products are exact
    miss = ((x - ROOT * front) - ROOT * (v - front)) - ROOT_REST * v
    u = miss / (x + (ROOT + ROOT_REST) * v)
    eta = 0.0
    for k in range(ETA.size - 1, -1, -1):
        eta = (eta + ETA[k]) * u
    return v * eta


@inner(fastmath=FUSED)
def correction(table, terms, size, work, total):
    """Fill in sum_k q^k P_k(p) of either table: Horner's rule in p inside that in q."""
    for i in range(size):
        work[total + i] = 0.0
    for k in range(terms, 0, -1):
        for i in range(size):
            work[_ROW + i] = 0.0
        for j in range(k // 4 * 4, -1, -4):  # four coefficients at a time: fewer loads and stores
            c0, c1, c2, c3 = table[k, j], table[k, j + 1], table[k, j + 2], table[k, j + 3]
            for i in range(size):
                p = work[_P + i]
                work[_ROW + i] = (((work[_ROW + i] * p + c3) * p + c2) * p + c1) * p + c0
        for i in range(size):
            work[total + i] = (work[total + i] + work[_ROW + i]) * work[_Q + i]


@inner(fastmath=FUSED, inline="always")
def prepare(v, x, sign, work):
    """Fill in r, +-1/r and t^2 of a block."""
    for i in range(v.size):
        r = math.sqrt(v[i] * v[i] + x[i] * x[i])
        inverse = 1.0 / r
        work[i] = r
        work[_Q + i] = sign * inverse
        work[_P + i] = (v[i] * inverse) * (v[i] * inverse)


@kernel(fastmath=FUSED)
def log_far(v, x, out, terms, at_root, sign, scaled, work):
    """Fill `out` with (1), or with that of the scaled function: without its factor e^{+-x}."""
    under_root = 2.0 * math.pi if sign > 0.0 else 2.0 / math.pi
    for start in range(0, out.size, BLOCK):
        a, b, y = v[start : start + BLOCK], x[start : start + BLOCK], out[start : start + BLOCK]
        prepare(a, b, sign, work)
        correction(DEBYE, terms, y.size, work, U)
        for i in range(y.size):
            r, u = work[i], 1.0 + work[U + i]
            part = a[i] / (r + b[i])  # r - x = v^2 / (r + x)
            w = (a[i] + a[i] * part) / b[i]
            asinh = log_of(1.0 + w, w)
            z = under_root * r / (u * u)
            tail = -0.5 * log_of(z, z - 1.0)
            work[U + i] = tail
            y[i] = sign * ((a[i] * part if scaled else r) - a[i] * asinh) + tail
        if at_root and not scaled:
            for i in range(y.size):
                y[i] = sign * root_of_exponent(a[i], b[i]) + work[U + i]


@kernel(fastmath=FUSED)
def ratio_far(v, x, out, terms, sign, work):
    """Fill `out` with I_{v+1} / I_v, or with K_{v+1} / K_v."""
    for start in range(0, out.size, BLOCK):
        a, b, y = v[start : start + BLOCK], x[start : start + BLOCK], out[start : start + BLOCK]
        prepare(a, b, sign, work)
        correction(DEBYE, terms, y.size, work, U)
        correction(SLOPES, terms, y.size, work, W)
        for i in range(y.size):
            r = work[i]
            leading = b[i] / (r + a[i]) if sign > 0.0 else (r + a[i]) / b[i]  # r - v = x^2 / (r + v)
            y[i] = leading - b[i] / r * (work[W + i] / (1.0 + work[U + i]))
