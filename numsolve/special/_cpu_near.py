r"""Both functions below the radius `FAR`, entry by entry.

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

Names as in ``_cpu_debye``; ``h`` is x / 2 and ``y`` is x^2 / 4.

.. [1] Temme, J. Comput. Phys. 19 (1975) 324.
.. [2] Thompson, Barnett, Comput. Phys. Commun. 47 (1987) 245.
"""

from __future__ import annotations

import math

from numsolve._core.compiled import inner

from ._cpu_debye import FUSED, LEAST, MOST, log_of
from ._tuples import FAR, RECIPROCAL_GAMMA

#: More terms than the series (3) and Temme's ever need below `FAR`.
MOST_TERMS = 100
#: Below this x / 2 its powers might underflow; their logarithms do not.
TINY = 1e-12


@inner(fastmath=FUSED)
def kind_of(v, x):
    """0 where Debye's expansion holds, 1 near, 2 where neither does."""
    if not (0.0 <= v <= MOST and 0.0 < x <= MOST):
        return 2
    if v * v + x * x < FAR * FAR:
        return 1
    return 0 if x >= LEAST else 2


@inner(fastmath=FUSED)
def gamma_parts(m):
    """The even part of 1 / Gamma(1 + m), and its odd part over m, for |m| <= 1/2."""
    square, even, odd = m * m, 0.0, 0.0
    for k in range(RECIPROCAL_GAMMA.size - 2, -1, -2):
        even = even * square + RECIPROCAL_GAMMA[k]
        odd = odd * square + RECIPROCAL_GAMMA[k + 1]
    return even, odd


@inner(fastmath=FUSED)
def log_iv_one(v, x):
    """Log I by the series (3), in one logarithm of all factors but (x/2)^m."""
    n = int(v + 0.5)
    m, h = v - n, 0.5 * x
    power, product = 1.0, 1.0
    for k in range(1, n + 1):
        power *= h
        product *= m + k
    y, total, term = h * h, 1.0, 1.0
    for k in range(1, MOST_TERMS):
        term *= y / (k * (v + k))
        total += term
        if term < 1e-17 * total:
            break
    even, odd = gamma_parts(m)
    total *= (even + m * odd) / product
    if h < TINY:
        return v * math.log(h) + math.log(total)
    total *= power
    return m * log_of(h, h - 1.0) + log_of(total, total - 1.0)


@inner(fastmath=FUSED)
def iv_ratio_one(v, x):
    """I_{v+1} / I_v by (4)."""
    y = 0.25 * x * x
    above, here = 0.0, 1.0
    for k in range(int(20.0 + 1.7 * x), 0, -1):
        above, here = here, (v + k) * here + y * above
    return 0.5 * x * above / here


@inner(fastmath=FUSED)
def kv_by_series(m, x):
    """K_m and (x/2) K_{m+1} by Temme's series; x up to 2."""
    even, odd = gamma_parts(m)
    at_plus, at_minus = even + m * odd, even - m * odd  # 1 / Gamma(1 +- m)
    log = -math.log(0.5 * x)
    s = m * log
    grown = math.exp(s)
    if abs(s) > 0.5:
        sinh = 0.5 * (grown - 1.0 / grown) / s
    else:
        square, sinh = s * s, 0.0
        for k in range(17, 1, -2):
            sinh = (sinh + 1.0) * square / (k * (k - 1))
        sinh += 1.0
    f = (even * log * sinh - odd * 0.5 * (grown + 1.0 / grown)) / (at_plus * at_minus)
    p, q = 0.5 * grown / at_plus, 0.5 / (grown * at_minus)
    c, y = 1.0, 0.25 * x * x
    low, high = f, p
    for k in range(1, MOST_TERMS):
        inverse = 1.0 / (k * k - m * m)
        f = (k * f + p + q) * inverse
        p *= (k + m) * inverse
        q *= (k - m) * inverse
        c *= y / k
        low += c * f
        high += c * (p - k * f)
        if c * f < 1e-17 * low:
            break
    return low, high


@inner(fastmath=FUSED)
def kv_by_fraction(m, x):
    """K_m and K_{m+1}, both times (2 x / pi)^(1/2) e^x, by (5) to (7); x from 2 on."""
    following, here = 0.0, 1.0
    total = 1.0
    for k in range(int(10.0 + 160.0 / x), 0, -1):
        a = (k + 0.5) * (k + 0.5) - m * m
        following, here = here, 2.0 * (k + x) * here - a * following
        total = here + ((k - 0.5) * (k - 0.5) - m * m) / k * total
    low = here / total
    return low, low * (m + x + 0.5 - (0.25 - m * m) * following / here) / x


@inner(fastmath=FUSED)
def kv_one(v, x):
    """K_v and K_{v+1} / K_v as (a, ratio, e): K_v = a e^e."""
    n = int(v + 0.5)
    m = v - n
    if x > 2.0:
        low, high = kv_by_fraction(m, x)
        for k in range(1, n + 1):
            low, high = high, 2.0 * (m + k) / x * high + low  # (8)
        scale = math.sqrt(0.5 * math.pi / x)
        return low * scale, high / low, -x
    low, high = kv_by_series(m, x)
    y = 0.25 * x * x
    for k in range(1, n + 1):
        low, high = high, (m + k) * high + y * low  # (8) for K_{m+k} (x/2)^k
    return low, high / low / (0.5 * x), -n * math.log(0.5 * x)
