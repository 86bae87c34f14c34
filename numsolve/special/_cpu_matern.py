r"""The Matérn correlation below the radius `FAR` of its Bessel function, with its derivatives.

With h = s / 2 and s the scaled distance (DLMF 10.25, 10.29.4)::

    k = 2 h^v K_v(s) / Gamma(v),    dk/ds = -k K_{v-1} / K_v                                              (1)

The product is formed, not the sum of logarithms, so that nothing cancels: Temme's series gives K_{m+i} h^{m+i}
times a power of h, and Gamma(v) = Gamma(1 + m) (m + 1) ... (m + n) / v.
"""

from __future__ import annotations

import math

from numsolve._core.compiled import inner, kernel

from ._cpu_debye import FUSED
from ._cpu_near import gamma_parts, kind_of, kv_by_fraction, kv_by_series
from ._cpu_order import kv_slope_near

__all__ = ["matern_near", "matern_order_slope"]


@inner(fastmath=FUSED)
def matern_one(v, s):
    """k of (1) and K_{v-1} / K_v."""
    n = int(v + 0.5)
    m, h = v - n, 0.5 * s
    # K_{m-1} = K_{1-m}: below v = 1/2 the pair of -m, above that of m, of which `low` is one step behind
    if s > 2.0:
        low, high = kv_by_fraction(m, s)
        before = kv_by_fraction(-m, s)[1] if n == 0 else low
        for k in range(1, n + 1):
            before = low
            low, high = high, 2.0 * (m + k) / s * high + low
        scaled = low * math.sqrt(0.5 * math.pi / s) * math.exp(-s) * h**v
        ratio = before / low
    else:
        low, high = kv_by_series(m, s)
        before = kv_by_series(-m, s)[1] / h if n == 0 else low
        for k in range(1, n + 1):
            before = low * h
            low, high = high, (m + k) * high + h * h * low
        scaled = low * h**m
        ratio = before / low
    even, odd = gamma_parts(m)
    reciprocal_gamma = v * (even + m * odd)
    for k in range(1, n + 1):
        reciprocal_gamma /= m + k
    return 2.0 * scaled * reciprocal_gamma, ratio


@kernel(fastmath=FUSED)
def matern_near(v, s, out, ratio):
    """Fill in k and K_{v-1} / K_v where the radius is below `FAR`, and s > 0."""
    for i in range(out.size):
        if kind_of(v[i], s[i]) == 1:
            out[i], ratio[i] = matern_one(v[i], s[i])


@kernel(fastmath=FUSED)
def matern_order_slope(v, s, out):
    """Fill in d log K / dv where the radius is below `FAR`, and s > 0."""
    for i in range(out.size):
        if kind_of(v[i], s[i]) == 1:
            out[i] = kv_slope_near(v[i], s[i])
