r"""Both functions below the radius `FAR`, in packed instructions as in ``_cpu_debye``.

The power series of I (DLMF 10.25.2), whose terms are positive::

    I_v(x) = (x/2)^v / Gamma(v + 1)  sum_k a_k,    a_0 = 1,    a_k = a_{k-1} (x^2 / 4) / (k (v + k))      (3)

Its ratio by Miller's recurrence for J_k = I_{v+k} / (x/2)^k, downwards, where it is stable::

    J_{k-1} = (v + k) J_k + (x^2 / 4) J_{k+1}                                                             (4)

K_m and K_{m+1} for m = v - n, |m| <= 1/2, up to x = 2 by Temme's series [1]_, beyond by Miller's recurrence
for Steed's continued fraction [2]_, written without divisions; then upwards, where that is stable::

    D_k = 2 (k + x) D_{k+1} - ((k + 1/2)^2 - m^2) D_{k+2}                                                 (5)
    S_k = D_{k+1} + ((k + 1/2)^2 - m^2) / (k + 1) S_{k+1},    K_m = (pi / (2 x))^(1/2) e^{-x} D_1 / S_0   (6)
    K_{m+1} / K_m = (m + x + 1/2 - (1/4 - m^2) D_2 / D_1) / x                                             (7)
    K_{v+1} = (2 v / x) K_v + K_{v-1}                                                                     (8)

The entries of a block take the same number of steps. One that needs fewer is left alone: in a recurrence
until its own first step comes, in a product by factors of one, in a series by terms that no longer change the
sum.

Names as in ``_cpu_debye``; ``h`` is x / 2 and ``y`` is x^2 / 4.

.. [1] Temme, J. Comput. Phys. 19 (1975) 324.
.. [2] Thompson, Barnett, Comput. Phys. Commun. 47 (1987) 245.
"""

from __future__ import annotations

import math

from numsolve._core.compiled import as_float64, as_int64, inner, kernel

from ._cpu_debye import BLOCK, FUSED, log_of
from ._tuples import RECIPROCAL_GAMMA

#: The rows of K: n and m of the order, then K_m and K_{m+1}, or the two that they have become. They are to be
#: multiplied by e^E; while the order grows by one, the second is K_{v+1} times the step: 1, or x / 2.
N, M, LOW, HIGH, E, STEP = (k * BLOCK for k in range(6))
#: Rows of one function at a time.
A, B, C, D, F, G = (k * BLOCK for k in range(6, 12))
#: More terms than the series (3) ever needs below `FAR`, and the terms that Temme's takes up to x = 2.
MOST_TERMS, TEMME = 100, 14
#: Below this x / 2 its powers might underflow; their logarithms do not, and cancel nothing.
TINY = 1e-8
#: 1.5 * 2^52: to add and subtract it rounds a float to an integer.
ROUND = 6755399441055744.0
#: What the function of K is to give.
LOG, SCALED, RATIO = range(3)


@inner(fastmath=FUSED)
def exp_of(s):
    """e^s, |s| < 700: 2^j e^f with |f| <= log(2) / 2, and the series of e^f."""
    shifted = s * 1.4426950408889634 + ROUND  # an integer, in the last bits
    j = shifted - ROUND
    f = (s - j * 0.6931471803691238) - j * 1.9082149292705877e-10
    total = 1.0
    for k in range(14, 0, -1):
        total = 1.0 + total * f * (1.0 / k)
    return total * as_float64((as_int64(shifted) + 1023) << 52)


@inner(fastmath=FUSED)
def gamma_parts(m):
    """The even part of 1 / Gamma(1 + m), and its odd part over m, for |m| <= 1/2."""
    square, even, odd = m * m, 0.0, 0.0
    for k in range(RECIPROCAL_GAMMA.size - 2, -1, -2):
        even = even * square + RECIPROCAL_GAMMA[k]
        odd = odd * square + RECIPROCAL_GAMMA[k + 1]
    return even, odd


@inner(fastmath=FUSED, inline="always")
def split_order(v, work):
    """Fill in the rows n and m; return the largest n."""
    most = 0.0
    for i in range(v.size):
        work[N + i] = (v[i] + ROUND) - ROUND
        work[M + i] = v[i] - work[N + i]
    for i in range(v.size):
        most = max(most, work[N + i])
    return int(most)


@kernel(fastmath=FUSED)
def log_iv_near(v, x, out, scaled, work):
    """Fill `out` with log I by the series (3), in one logarithm of all factors but (x/2)^m."""
    power, product, term, total = LOW, HIGH, C, D
    for start in range(0, out.size, BLOCK):
        a, b, z = v[start : start + BLOCK], x[start : start + BLOCK], out[start : start + BLOCK]
        size = z.size
        most = split_order(a, work)
        for i in range(size):
            h = 0.5 * b[i]
            work[A + i] = h * h
            work[B + i] = h if h >= TINY else 1.0
            work[F + i] = a[i]
            work[power + i] = work[product + i] = work[term + i] = work[total + i] = 1.0
        for k in range(1, most + 1):
            for i in range(size):
                there = work[N + i] >= k
                work[power + i] *= work[B + i] if there else 1.0
                work[product + i] *= work[M + i] + k if there else 1.0
        for first in range(1, MOST_TERMS, 4):
            for i in range(size):
                y, order, last, s = work[A + i], work[F + i], work[term + i], work[total + i]
                for k in range(first, first + 4):
                    last *= y / (k * (order + k))
                    s += last
                work[term + i], work[total + i] = last, s
            if converged(size, work, term, total):
                break
        for i in range(size):
            even, odd = gamma_parts(work[M + i])
            h, s = (
                0.5 * b[i],
                work[total + i] * (even + work[M + i] * odd) / work[product + i] * work[power + i],
            )
            exponent = work[M + i] if h >= TINY else a[i]
            log = exponent * log_of(h, h - 1.0) + log_of(s, s - 1.0)
            z[i] = log - b[i] if scaled else log


@inner(fastmath=FUSED, inline="always")
def converged(size, work, term, total):
    """Whether all last terms are below half of the last bit of their sums."""
    for i in range(size):  # noqa: SIM110  # a generator takes longer to compile
        if work[term + i] > 1e-17 * work[total + i]:
            return False
    return True


@kernel(fastmath=FUSED)
def iv_ratio_near(v, x, out, work):
    """Fill `out` with I_{v+1} / I_v by (4)."""
    first, here, above = A, B, C
    for start in range(0, out.size, BLOCK):
        a, b, z = v[start : start + BLOCK], x[start : start + BLOCK], out[start : start + BLOCK]
        most = 0.0
        for i in range(z.size):
            work[first + i] = 20.0 + 1.7 * b[i]
            work[D + i], work[F + i] = a[i], 0.25 * b[i] * b[i]
            work[here + i], work[above + i] = 1.0, 0.0
        for i in range(z.size):
            most = max(most, work[first + i])
        for k in range(int(most), 0, -1):
            for i in range(z.size):
                there = work[first + i] >= k
                last = work[here + i]
                following = (work[D + i] + k) * last + work[F + i] * work[above + i]
                work[here + i] = following if there else 1.0
                work[above + i] = last if there else 0.0
        for i in range(z.size):
            z[i] = 0.5 * b[i] * work[above + i] / work[here + i]


@inner(fastmath=FUSED, inline="always")
def pair_by_series(x, work):
    """K_m and (x/2) K_{m+1} by Temme's series; x up to 2."""
    f, p, q, c, y = A, B, C, D, F
    for i in range(x.size):
        m, h = work[M + i], 0.5 * x[i]
        even, odd = gamma_parts(m)
        at_plus, at_minus = even + m * odd, even - m * odd  # 1 / Gamma(1 +- m)
        log = -log_of(h, h - 1.0)
        s = m * log
        grown = exp_of(s)
        square, series = s * s, 0.0
        for k in range(17, 1, -2):
            series = (series + 1.0) * square * (1.0 / (k * (k - 1)))
        sinh = 0.5 * (grown - 1.0 / grown) / s if abs(s) > 0.5 else series + 1.0
        first = (even * log * sinh - odd * 0.5 * (grown + 1.0 / grown)) / (at_plus * at_minus)
        work[p + i], work[q + i] = 0.5 * grown / at_plus, 0.5 / (grown * at_minus)
        work[f + i], work[c + i], work[y + i] = first, 1.0, h * h
        work[LOW + i], work[HIGH + i] = first, work[p + i]
        work[E + i], work[STEP + i] = work[N + i] * log, 1.0
    for k in range(1, TEMME):
        for i in range(x.size):
            m = work[M + i]
            inverse = 1.0 / (k * k - m * m)
            following = (k * work[f + i] + work[p + i] + work[q + i]) * inverse
            work[f + i] = following
            work[p + i] *= (k + m) * inverse
            work[q + i] *= (k - m) * inverse
            work[c + i] *= work[y + i] * (1.0 / k)
            work[LOW + i] += work[c + i] * following
            work[HIGH + i] += work[c + i] * (work[p + i] - k * following)


@inner(fastmath=FUSED, inline="always")
def pair_by_fraction(x, work):
    """K_m and K_{m+1}, both times e^x, by (5) to (7); x from 2 on."""
    first, here, following, total, square = A, B, C, D, F
    most = 0.0
    for i in range(x.size):
        work[first + i] = 10.0 + 160.0 / x[i]
        work[here + i], work[following + i], work[total + i] = 1.0, 0.0, 1.0
        work[square + i], work[G + i] = work[M + i] * work[M + i], x[i]
    for i in range(x.size):
        most = max(most, work[first + i])
    for k in range(int(most), 0, -1):
        for i in range(x.size):
            there, m2, last = work[first + i] >= k, work[square + i], work[here + i]
            d = 2.0 * (k + work[G + i]) * last - ((k + 0.5) * (k + 0.5) - m2) * work[following + i]
            s = d + ((k - 0.5) * (k - 0.5) - m2) * (1.0 / k) * work[total + i]
            work[following + i] = last if there else 0.0
            work[here + i] = d if there else 1.0
            work[total + i] = s if there else 1.0
    for i in range(x.size):
        m = work[M + i]
        low = work[here + i] / work[total + i] * math.sqrt(0.5 * math.pi / x[i])
        quotient = work[following + i] / work[here + i]
        work[LOW + i] = low
        work[HIGH + i] = low * (m + x[i] + 0.5 - (0.25 - m * m) * quotient) / x[i]
        work[E + i], work[STEP + i] = -x[i], 2.0 / x[i]


@inner(fastmath=FUSED, inline="always")
def climb(x, most, less, small, work):
    """Go up from m by n - `less` orders with (8), or with that for K_{m+k} (x/2)^k."""
    for i in range(x.size):
        work[A + i] = 0.25 * x[i] * x[i] if small else 1.0
    for k in range(1, most - less + 1):
        for i in range(x.size):
            there, low, high = work[N + i] - less >= k, work[LOW + i], work[HIGH + i]
            following = (work[M + i] + k) * work[STEP + i] * high + work[A + i] * low
            work[LOW + i] = high if there else low
            work[HIGH + i] = following if there else high


@inner(fastmath=FUSED, inline="always")
def finish(x, out, most, small, kind, work):
    """Climb to the order, and fill `out` with log K, log(K e^x), or K_{v+1} / K_v."""
    climb(x, most, 0, small, work)
    if kind == RATIO:
        for i in range(out.size):
            out[i] = work[HIGH + i] / work[LOW + i] * (2.0 / x[i] / work[STEP + i])
    else:
        for i in range(out.size):
            low = work[LOW + i]
            out[i] = log_of(low, low - 1.0) + (work[E + i] + (x[i] if kind == SCALED else 0.0))


@kernel(fastmath=FUSED)
def kv_small(v, x, out, kind, work):
    """Fill `out` with the function of K that `kind` names, for x up to 2."""
    for start in range(0, out.size, BLOCK):
        a, b, z = v[start : start + BLOCK], x[start : start + BLOCK], out[start : start + BLOCK]
        most = split_order(a, work)
        pair_by_series(b, work)
        finish(b, z, most, True, kind, work)


@kernel(fastmath=FUSED)
def kv_middle(v, x, out, kind, work):
    """Fill `out` with the function of K that `kind` names, for x from 2 on."""
    for start in range(0, out.size, BLOCK):
        a, b, z = v[start : start + BLOCK], x[start : start + BLOCK], out[start : start + BLOCK]
        most = split_order(a, work)
        pair_by_fraction(b, work)
        finish(b, z, most, False, kind, work)
