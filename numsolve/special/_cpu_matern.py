r"""The parts of the Matérn correlation and of its derivatives.

With h = s / 2 and s the scaled distance (DLMF 10.25, 10.29.4)::

    k = 2 h^v K_v(s) / Gamma(v),    dk/ds = -k K_{v-1} / K_v                                              (1)

With z = (s/v)^2, of which dz/dv = -z/v at a fixed distance, and delta = sqrt(1 + z) - 1 the logarithm (4) of
``matern`` has the derivative::

    log(1 + delta/2) - delta/2 + z / (4 v (1 + z)) + d log U / dv - c'(v)                                 (2)

Far, Debye's U and the ratio. Near, the product is formed, not the sum of logarithms, so that nothing
cancels: Gamma(v) = Gamma(1 + m) (m + 1) ... (m + n) / v, and the pairs of ``_cpu_near`` climb up to K_{v-1}
and K_v.
"""

from __future__ import annotations

from numsolve._core.compiled import inner, kernel

from ._cpu_debye import BLOCK, FUSED, WORK, U, W, correction, log_of, prepare
from ._cpu_near import (
    HIGH,
    LOW,
    STEP,
    C,
    M,
    N,
    climb,
    exp_of,
    gamma_parts,
    pair_by_fraction,
    pair_by_series,
    split_order,
)
from ._cpu_order import order_slope
from ._cpu_sort import AT_ROOT, NEITHER, SMALL, TERMS, put_back, sort
from ._tuples import BY_P, BY_Q, DEBYE, SLOPES

__all__ = [
    "AT_ROOT",
    "NEITHER",
    "SMALL",
    "TERMS",
    "WORK",
    "matern_far",
    "matern_near",
    "matern_order_far",
    "order_slope",
    "put_back",
    "sort",
]

#: A row that the pairs leave alone, and one that is free after them.
_BEFORE, _PRODUCT = 12 * BLOCK, C


@kernel(fastmath=FUSED)
def matern_far(v, s, out, ratio, terms, work):
    """Fill in log U and K_{v-1} / K_v = s / (r + v) - (s / r) W / U."""
    for start in range(0, out.size, BLOCK):
        a, b = v[start : start + BLOCK], s[start : start + BLOCK]
        y, z = out[start : start + BLOCK], ratio[start : start + BLOCK]
        prepare(a, b, -1.0, work)
        correction(DEBYE, terms, y.size, work, U)
        correction(SLOPES, terms, y.size, work, W)
        for i in range(y.size):
            r, u = work[i], 1.0 + work[U + i]
            y[i] = log_of(u, work[U + i])
            z[i] = b[i] / (r + a[i]) - b[i] / r * (work[W + i] / u)


@kernel(fastmath=FUSED)
def matern_order_far(v, s, out, terms, work):
    """Fill in d log k / dv at a fixed distance, by (2), less its last part."""
    for start in range(0, out.size, BLOCK):
        a, b, y = v[start : start + BLOCK], s[start : start + BLOCK], out[start : start + BLOCK]
        prepare(a, b, -1.0, work)
        correction(DEBYE, terms, y.size, work, U)
        correction(BY_Q, terms, y.size, work, W)
        correction(BY_P, terms, y.size, work, C)
        for i in range(y.size):
            r, p = work[i], work[2 * BLOCK + i]
            z = (b[i] / a[i]) * (b[i] / a[i])
            half, series = 0.5 * b[i] / a[i] * (b[i] / (r + a[i])), 1.0 / 14.0
            for k in range(13, 1, -1):
                series = 1.0 / k - half * series
            bent = -half * half * series if half < 0.06 else log_of(1.0 + half, half) - half
            part = z * p / a[i]  # p = 1 / (1 + z)
            of_u = p * part * work[C + i] - (1.0 / a[i] - 0.5 * part) * work[W + i]
            y[i] = bent + 0.25 * part + of_u / (1.0 + work[U + i])


@kernel(fastmath=FUSED)
def matern_near(v, s, out, ratio, small, work):
    """Fill in k and K_{v-1} / K_v."""
    for start in range(0, out.size, BLOCK):
        a, b = v[start : start + BLOCK], s[start : start + BLOCK]
        y, z = out[start : start + BLOCK], ratio[start : start + BLOCK]
        most = split_order(a, work)
        # K_{v-1} = K_{1-v} below v = 1/2: the second of the pair of -m
        for turn in range(0 if has_order_zero(y.size, work) else 1, 2):
            for i in range(y.size):
                m = a[i] - work[N + i]
                work[M + i] = m if turn == 1 else -m
                work[_BEFORE + i] = work[HIGH + i]
            if small:
                pair_by_series(b, work)
            else:
                pair_by_fraction(b, work)
                for i in range(y.size):
                    work[HIGH + i] *= 0.5 * b[i]
                    work[STEP + i] = 1.0
        climb(b, most, 1, True, work)
        for i in range(y.size):
            even, odd = gamma_parts(work[M + i])
            work[_PRODUCT + i] = a[i] * (even + work[M + i] * odd)  # 1 / Gamma(v), with the next loop
        for k in range(1, most + 1):
            for i in range(y.size):
                work[_PRODUCT + i] /= work[M + i] + k if work[N + i] >= k else 1.0
        for i in range(y.size):
            h, first = 0.5 * b[i], work[N + i] == 0.0  # then there was nothing to climb
            low, high = work[LOW + i], work[HIGH + i]
            scaled = (low if first else high) * (1.0 if small else exp_of(-b[i]))
            y[i] = 2.0 * scaled * exp_of(work[M + i] * log_of(h, h - 1.0)) * work[_PRODUCT + i]
            z[i] = work[_BEFORE + i] / low / h if first else low * h / high


@inner(fastmath=FUSED, inline="always")
def has_order_zero(size, work):
    """Whether n = 0 for any entry."""
    for i in range(size):  # noqa: SIM110  # a generator takes longer to compile
        if work[N + i] == 0.0:
            return True
    return False
