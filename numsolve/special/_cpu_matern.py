r"""The parts of the Matérn correlation and of its derivatives.

With h = s / 2 and s the scaled distance (DLMF 10.25, 10.29.4)::

    k = 2 h^v K_v(s) / Gamma(v),    dk/ds = -k K_{v-1} / K_v                                              (1)

Far, Debye's U and the ratio. Near, the product is formed, not the sum of logarithms, so that nothing cancels:
Temme's series gives K_{m+i} h^{m+i} times a power of h, and Gamma(v) = Gamma(1 + m) (m + 1) ... (m + n) / v.
"""

from __future__ import annotations

import math

from numsolve._core.compiled import inner, kernel

from ._cpu_debye import BLOCK, FUSED, WORK, U, W, correction, log_of, prepare
from ._cpu_near import gamma_parts, kind_of, kv_by_fraction, kv_by_series
from ._tuples import DEBYE, SLOPES

__all__ = ["WORK", "matern_far", "matern_near"]


@inner(fastmath=FUSED)
def matern_one(v, s):
    """K of (1) and K_{v-1} / K_v."""
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
def matern_far(v, s, out, ratio, work):
    """Fill in log U and K_{v-1} / K_v = s / (r + v) - (s / r) W / U."""
    for start in range(0, out.size, BLOCK):
        size = min(BLOCK, out.size - start)
        if not prepare(v, s, start, size, -1.0, work):
            continue
        correction(DEBYE, size, work, U)
        correction(SLOPES, size, work, W)
        for i in range(size):
            a, b, r, u = v[start + i], s[start + i], work[i], 1.0 + work[U + i]
            out[start + i] = log_of(u, work[U + i])
            ratio[start + i] = b / (r + a) - b / r * (work[W + i] / u)


@kernel(fastmath=FUSED)
def matern_near(v, s, out, ratio):
    """Fill in k and K_{v-1} / K_v where the radius is below `FAR`, and s > 0."""
    for i in range(out.size):
        if kind_of(v[i], s[i]) == 1:
            out[i], ratio[i] = matern_one(v[i], s[i])
