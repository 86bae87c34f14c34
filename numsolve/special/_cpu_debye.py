r"""The Debye expansion of both functions, for radii r = sqrt(v^2 + x^2) from `FAR` on (DLMF 10.41).

With t = v / r and the upper sign for I, the lower for K::

    log I = +v eta - log(2 pi r) / 2 + log U,    log K = -v eta + log(pi / (2 r)) / 2 + log U            (1)
    v eta = r - v asinh(v / x),    U = sum_k (+-1 / r)^k P_k(t^2)                                         (2)

As u_k(t) / v^k = P_k(t^2) / r^k, nothing happens at v = 0: there (1) is Hankel's expansion.

Vectors are taken `BLOCK` entries at a time, one loop over them for each step, so that LLVM makes packed
instructions of every loop: hence no branch in them, and a logarithm of our own. Entries that the formulas are
not for (`is_far`) get a meaningless value; the kernel of the function itself then computes those.

Names: ``v`` order, ``x`` argument, ``r`` radius, ``q`` is +-1/r, ``p`` is t^2.
"""

from __future__ import annotations

import math

import numpy as np

from numsolve._core.compiled import as_float64, as_int64, inner, kernel

from ._tuples import DEBYE, ETA, FAR, NEAR_ROOT, ROOT, ROOT_REST, SLOPES, TERMS

#: Entries of a block; its five vectors of work fit into the first cache.
BLOCK = 256
#: Where the parts of the work begin: r at 0, then q, p, a row of the table, U - 1 and W.
_Q, _P, _ROW, U, W = BLOCK, 2 * BLOCK, 3 * BLOCK, 4 * BLOCK, 5 * BLOCK
WORK = 6 * BLOCK
#: A product and a sum may become one fused instruction; nothing else is reordered.
FUSED = {"contract"}
#: Squares of numbers outside this range, and quotients of two inside, are no longer good floats.
LEAST, MOST = 1e-140, 1e140
#: The bits of 1, less those of the square root of 1/2: moves the split of a number from 1 to there.
_SPLIT = 0x3FF0000000000000 - 0x3FE6A09E667F3BCD


@inner(fastmath=FUSED)
def log_of(u, w):
    """Log u for a normal u, with w = u - 1 known to all digits of its own where it is small.

    u = 2^e m, sqrt(1/2) <= m < sqrt 2, and log m = 2 atanh(s) with s = (m - 1) / (m + 1), |s| < 0.172: the
    first term is f - f^2 / 2 + s f^2 / 2 with f = m - 1, of which only the last is rounded twice.
    """
    bits = as_int64(u) + _SPLIT
    e = (bits >> 52) - 1023
    f = w if e == 0 else as_float64((bits & 0xFFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD) - 1.0
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


@inner(fastmath=FUSED)
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
def correction(table, size, work, total):
    """Fill in sum_k q^k P_k(p) of either table: Horner's rule in p inside that in q."""
    for i in range(size):
        work[total + i] = 0.0
    for k in range(TERMS, 0, -1):
        for i in range(size):
            work[_ROW + i] = 0.0
        for j in range(k // 4 * 4, -1, -4):  # four coefficients at a time: fewer loads and stores
            c0, c1, c2, c3 = table[k, j], table[k, j + 1], table[k, j + 2], table[k, j + 3]
            for i in range(size):
                p = work[_P + i]
                work[_ROW + i] = (((work[_ROW + i] * p + c3) * p + c2) * p + c1) * p + c0
        for i in range(size):
            work[total + i] = (work[total + i] + work[_ROW + i]) * work[_Q + i]


@inner(fastmath=FUSED)
def prepare(v, x, start, size, sign, work):
    """Fill in r, +-1/r and t^2 of a block; return whether any of it is far."""
    most = 0.0
    for i in range(size):
        a, b = v[start + i], x[start + i]
        r = math.sqrt(a * a + b * b)
        most = max(most, r)
        r = max(FAR, r)  # near entries get some value that is finite
        inverse = 1.0 / r
        work[i] = r
        work[_Q + i] = sign * inverse
        work[_P + i] = (a * inverse) * (a * inverse)
    return most >= FAR


@kernel(fastmath=FUSED)
def log_far(v, x, out, sign, scaled, work):
    """Fill `out` with (1), or with that of the scaled function: without its factor e^{+-x}."""
    under_root = 2.0 * math.pi if sign > 0.0 else 2.0 / math.pi
    for start in range(0, out.size, BLOCK):
        size = min(BLOCK, out.size - start)
        if not prepare(v, x, start, size, sign, work):
            continue
        correction(DEBYE, size, work, U)
        for i in range(size):
            a, b, r, u = v[start + i], x[start + i], work[i], 1.0 + work[U + i]
            part = a / (r + b)  # r - x = v^2 / (r + x)
            w = (a + a * part) / b
            asinh = log_of(1.0 + w, w)
            y = under_root * r / (u * u)
            tail = -0.5 * log_of(y, y - 1.0)
            work[_ROW + i] = tail
            out[start + i] = sign * ((a * part if scaled else r) - a * asinh) + tail
        for i in range(0 if scaled else size):
            a, b = v[start + i], x[start + i]
            if abs(b - ROOT * a) < NEAR_ROOT * (b + ROOT * a) and a < MOST:
                out[start + i] = sign * root_of_exponent(a, b) + work[_ROW + i]


@kernel(fastmath=FUSED)
def ratio_far(v, x, out, sign, work):
    """Fill `out` with I_{v+1} / I_v, or with K_{v+1} / K_v."""
    for start in range(0, out.size, BLOCK):
        size = min(BLOCK, out.size - start)
        if not prepare(v, x, start, size, sign, work):
            continue
        correction(DEBYE, size, work, U)
        correction(SLOPES, size, work, W)
        for i in range(size):
            a, b, r = v[start + i], x[start + i], work[i]
            leading = b / (r + a) if sign > 0.0 else (r + a) / b  # r - v = x^2 / (r + v)
            out[start + i] = leading - b / r * (work[W + i] / (1.0 + work[U + i]))
