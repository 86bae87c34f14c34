r"""All functions of the column in plain array code: for other libraries, and at the ends of the domain.

Names and numbers as in the kernels. There is no branch on values: each formula is evaluated everywhere, on
arguments that are moved to where it holds, and the right one is selected; so the code can be traced and
differentiated. K below `FAR` comes from its integral (9) by the trapezoidal rule, along an axis of its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ._tuples import DEBYE, ETA, FAR, NEAR_ROOT, RECIPROCAL_GAMMA, ROOT, ROOT_REST, SLOPES, TERMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.typing import Namespace

    #: Arrays of any library.
    Values: TypeAlias = Any

#: Terms of the series (3) at `FAR`.
SERIES = 60
#: Nodes of the trapezoidal rule, and where the integrand has fallen to rounding errors.
NODES, FALL = 160, 42.0
#: Below this argument the first terms of K's series are all.
TINY = 1e-10

#: The tables of q^k p^j: of U - 1 and W, and of the derivatives of U in log q and in p.
VALUES = DEBYE[:, : TERMS + 1] * (np.arange(TERMS + 1) > 0)[:, None]
RATIOS = SLOPES[:, : TERMS + 1]
BY_Q = VALUES * np.arange(TERMS + 1.0)[:, None]
BY_P = np.roll(VALUES * np.arange(TERMS + 1.0), -1, axis=1)

# -- far: Debye's expansion -----------------------------------------------------------------------


def _correction(xp: Namespace, table: Values, q: Values, p: Values) -> Values:
    """sum_k sum_j table[k, j] q^k p^j, the powers along an axis of their own."""
    i = _count(xp, 0, TERMS, q)
    return xp.sum((q[..., None] ** i @ xp.asarray(table, dtype=q.dtype)) * p[..., None] ** i, axis=-1)


def _count(xp: Namespace, first: int, last: int, like: Values) -> Values:
    """first, ..., last as floats."""
    return xp.astype(xp.arange(first, last + 1), like.dtype)


def _asinh(xp: Namespace, v: Values, x: Values, part: Values) -> Values:
    """asinh(v / x), with part = v / (r + x)."""
    large = v > 1e30 * x
    safe = xp.where(large, xp.ones_like(x), x)
    w = xp.where(large, xp.ones_like(v), v) * (1.0 + part) / safe
    return xp.where(large, _log(xp, v) + xp.log1p(part) - _log(xp, x), xp.log1p(w))


def _log(xp: Namespace, x: Values) -> Values:
    """Log x where x > 0, 0 elsewhere."""
    return xp.log(xp.where(x > 0.0, x, xp.ones_like(x)))


def _log_far(xp: Namespace, v: Values, x: Values, sign: float, *, scaled: bool) -> Values:
    """(1), for the scaled function without its factor e^{+-x}."""
    r = xp.hypot(v, x)
    t, part = v / r, v / (r + x)
    corrections = xp.log1p(_correction(xp, VALUES, sign / r, t * t))
    tail = corrections - 0.5 * (math.log(2.0 * math.pi if sign > 0.0 else 2.0 / math.pi) + xp.log(r))
    asinh = _asinh(xp, v, x, part)
    if scaled:
        return sign * (v * (part - asinh)) + tail
    exponent = r * (1.0 - t * asinh)
    sum_of_both = x + (ROOT + ROOT_REST) * v
    near_root = xp.abs(x - ROOT * v) < NEAR_ROOT * sum_of_both
    front = xp.astype(xp.astype(xp.where(near_root & (v < 1e30), v, xp.ones_like(v)), xp.float32), v.dtype)
    u = (((x - ROOT * front) - ROOT * (v - front)) - ROOT_REST * v) / sum_of_both
    u = xp.where(near_root, u, xp.zeros_like(u))
    eta = 0.0 * u
    for c in ETA[::-1]:
        eta = (eta + float(c)) * u
    return sign * xp.where(near_root & (v < 1e30), v * eta, exponent) + tail


def _slope_far(xp: Namespace, v: Values, x: Values, sign: float) -> Values:
    """d/dv of (1), term by term."""
    r = xp.hypot(v, x)
    t, q = v / r, sign / r
    p, turn = t * t, 2.0 * t * (x / r) ** 2 / r
    in_q, in_p = _correction(xp, BY_Q, q, p), _correction(xp, BY_P, q, p)
    change = turn * in_p - t / r * in_q
    log_u_slope = change / (1.0 + _correction(xp, VALUES, q, p))
    return log_u_slope - 0.5 * t / r - sign * _asinh(xp, v, x, v / (r + x))


def _ratio_far(xp: Namespace, v: Values, x: Values, sign: float) -> Values:
    """I_{v+1} / I_v or K_{v+1} / K_v."""
    r = xp.hypot(v, x)
    q, p = sign / r, (v / r) ** 2
    parts = _correction(xp, RATIOS, q, p) / (1.0 + _correction(xp, VALUES, q, p))
    leading = x / (r + v) if sign > 0.0 else r / x + v / x
    return leading - x / r * parts


def _ratio_complement_far(xp: Namespace, v: Values, x: Values) -> Values:
    """1 - I_{v+1} / I_v: r + v - x = v + v^2 / (r + x)."""
    r = xp.hypot(v, x)
    q, p = 1.0 / r, (v / r) ** 2
    parts = _correction(xp, RATIOS, q, p) / (1.0 + _correction(xp, VALUES, q, p))
    return v / (r + v) * (1.0 + v / (r + x)) + x / r * parts


# -- near ------------------------------------------------------------------------------------------


def _split(xp: Namespace, v: Values) -> tuple[Values, Values]:
    """V = n + m with |m| <= 1/2."""
    n = xp.floor(v + 0.5)
    return n, v - n


def _gamma_parts(m: Values) -> tuple[Values, Values]:
    """The even part of 1 / Gamma(1 + m), and its odd part over m."""
    square = m * m
    even, odd = 0.0 * m, 0.0 * m
    for k in range(RECIPROCAL_GAMMA.size - 2, -1, -2):
        even = even * square + float(RECIPROCAL_GAMMA[k])
        odd = odd * square + float(RECIPROCAL_GAMMA[k + 1])
    return even, odd


def _rising(xp: Namespace, v: Values) -> tuple[Values, Values]:
    """M + 1, ..., m + n along an axis, filled up with ones, and where they are."""
    n, m = _split(xp, v)
    k = _count(xp, 1, int(FAR), v)
    there = n[..., None] >= k
    return xp.where(there, m[..., None] + k, xp.ones_like(m)[..., None]), there


def _log_gamma(xp: Namespace, v: Values) -> Values:
    """Log Gamma(1 + v) for v below `FAR`."""
    _, m = _split(xp, v)
    even, odd = _gamma_parts(m)
    return xp.log(xp.prod(_rising(xp, v)[0], axis=-1) / (even + m * odd))


def _series(xp: Namespace, v: Values, x: Values) -> tuple[Values, Values]:
    """The terms a_1, a_2, ... of (3) along an axis, and v + k."""
    k = _count(xp, 1, SERIES, v)
    shifted = v[..., None] + k
    return xp.cumulative_prod((0.25 * x * x)[..., None] / (k * shifted), axis=-1), shifted


def _log_iv_near(xp: Namespace, v: Values, x: Values) -> Values:
    """(3), in one logarithm of all factors but (x/2)^m where its powers are in the range of floats."""
    total = 1.0 + xp.sum(_series(xp, v, x)[0], axis=-1)
    _, m = _split(xp, v)
    even, odd = _gamma_parts(m)
    usual = x > (2e-12 if v.dtype == xp.float64 else 2.0)
    h = xp.where(usual, 0.5 * x, xp.ones_like(x))
    factors, there = _rising(xp, v)
    powers = xp.prod(xp.where(there, h[..., None] / factors, xp.ones_like(factors)), axis=-1)
    value = m * xp.log(h) + xp.log(total * (even + m * odd) * powers)
    return xp.where(usual, value, v * (_log(xp, x) - math.log(2.0)) - _log_gamma(xp, v) + xp.log(total))


def _gamma_part_slopes(m: Values) -> tuple[Values, Values]:
    """The derivatives of `_gamma_parts`."""
    square = m * m
    even, odd = 0.0 * m, 0.0 * m
    for k in range(RECIPROCAL_GAMMA.size - 2, 1, -2):
        even = even * square + k * float(RECIPROCAL_GAMMA[k])
        odd = odd * square + k * float(RECIPROCAL_GAMMA[k + 1])
    return even * m, odd * m


def _digamma(xp: Namespace, v: Values) -> Values:
    """D log Gamma(1 + v) / dv for v below `FAR`."""
    _, m = _split(xp, v)
    (even, odd), (even_slope, odd_slope) = _gamma_parts(m), _gamma_part_slopes(m)
    factors, there = _rising(xp, v)
    harmonic = xp.sum(xp.where(there, 1.0 / factors, xp.zeros_like(factors)), axis=-1)
    return harmonic - (even_slope + odd + m * odd_slope) / (even + m * odd)


def _iv_slope_near(xp: Namespace, v: Values, x: Values) -> Values:
    """d/dv of (3), term by term: that of a_k is -a_k sum_{j<=k} 1 / (v + j)."""
    terms, shifted = _series(xp, v, x)
    weighted = xp.sum(terms * xp.cumulative_sum(1.0 / shifted, axis=-1), axis=-1)
    return _log(xp, x) - math.log(2.0) - _digamma(xp, v) - weighted / (1.0 + xp.sum(terms, axis=-1))


def _iv_ratio_near(xp: Namespace, v: Values, x: Values) -> Values:
    """The quotient of two series (3)."""
    above, here = (1.0 + xp.sum(_series(xp, order, x)[0], axis=-1) for order in (v + 1.0, v))
    return 0.5 * x / (v + 1.0) * above / here


def _moments(xp: Namespace, v: Values, x: Values) -> tuple[Values, Values, Values]:
    """Log K, and the means of cosh u and of u sinh(v u) / cosh(v u) under the integrand of (9)."""
    x = xp.where(x < TINY, xp.ones_like(x), x)
    r = xp.hypot(v, x)
    peak = xp.log1p((v + v * (v / (r + x))) / x)
    right = xp.acosh(1.0 + FALL / r)
    safe = xp.where(v > 0.01, v, xp.ones_like(v))
    left = xp.where(v > 0.01, FALL / safe + xp.sqrt(2.0 * FALL / safe), peak)
    left = xp.minimum(peak, xp.minimum(left, xp.acosh(1.0 + FALL * (r + v) / (x * x))))
    step = (left + right) / NODES
    i = xp.astype(xp.arange(NODES + 1), v.dtype)
    w = i * step[..., None] - left[..., None]
    u = peak[..., None] + w
    half = xp.where(i == 0.0, 0.5 * xp.ones_like(i), xp.ones_like(i))
    # r (cosh w - 1) + v (sinh w - w), left of -1 by exponentials: there it is a small difference of both
    # terms
    usual = 2.0 * r[..., None] * xp.sinh(0.5 * w) ** 2 + v[..., None] * (xp.sinh(w) - w)
    rise, drop = 0.5 * (r + v)[..., None], (0.5 * x * x / (r + v))[..., None]
    fall = xp.where(w < -1.0, rise * xp.expm1(w) + drop * xp.expm1(-w) - v[..., None] * w, usual)
    weight = xp.exp(-fall) * half
    back = xp.exp(-2.0 * v[..., None] * u)
    total = xp.sum(weight * (1.0 + back), axis=-1)
    cosh = xp.sum(weight * (1.0 + back) * xp.cosh(u), axis=-1) / total
    sinh = -xp.sum(weight * u * xp.expm1(-2.0 * v[..., None] * u), axis=-1) / total
    return v * peak - r + xp.log(0.5 * step * total), cosh, sinh


def _tiny_parts(xp: Namespace, v: Values, x: Values) -> tuple[Values, Values, Values]:
    """Logarithm, slope in v, and (x/2) K_{v+1} / K_v below `TINY`: two powers, or Temme's first term."""
    L = math.log(2.0) - _log(xp, x)
    low = xp.where(v < 0.5, v, xp.zeros_like(v))
    even, odd = _gamma_parts(low)
    even_slope, odd_slope = _gamma_part_slopes(low)
    s = low * L
    small = s < 0.01
    safe = xp.where(small, xp.ones_like(s), s)
    cosh = xp.cosh(s)
    shc = xp.where(small, 1.0 + s * s / 6.0 * (1.0 + s * s / 20.0), xp.sinh(s) / safe)  # sinh(s) / s
    shc_slope = xp.where(small, s / 3.0 * (1.0 + s * s / 10.0), (cosh - shc) / safe)
    f = even * L * shc - odd * cosh
    f_slope = even_slope * L * shc + even * L * L * shc_slope - odd_slope * cosh - odd * L * xp.sinh(s)
    both = (even + low * odd) * (even - low * odd)  # 1 / (Gamma(1 + v) Gamma(1 - v))
    both_slope = 2.0 * even * even_slope - 2.0 * low * odd * (odd + low * odd_slope)
    high = xp.where(v < 0.5, 0.5 * xp.ones_like(v), v)
    under = xp.where(high < 0.9, high, 0.5 * xp.ones_like(v))  # from 0.9 on the second power is nothing
    log_gamma, digamma = _log_gamma(xp, high), _digamma(xp, high)
    second = xp.exp(-2.0 * under * L - 2.0 * log_gamma) * (math.pi * under / xp.sin(math.pi * under))
    second = xp.where(high < 0.9, second, xp.zeros_like(v))
    turn = -2.0 * L - 2.0 * digamma + 1.0 / under - math.pi / xp.tan(math.pi * under)
    value = high * L + log_gamma - xp.log(2.0 * high) + xp.log1p(-second)
    slope = L + digamma - 1.0 / high - second * turn / (1.0 - second)
    return (
        xp.where(v < 0.5, xp.log(f / both), value),
        xp.where(v < 0.5, f_slope / f - both_slope / both, slope),
        xp.where(v < 0.5, 0.5 * xp.exp(s) * (even - low * odd) / f, high / (1.0 - second)),
    )


# -- the functions ---------------------------------------------------------------------------------


def _safe(xp: Namespace, mask: Values, v: Values, x: Values, value: float) -> tuple[Values, Values]:
    """The arguments where a mask holds, and harmless ones elsewhere."""
    other = value * xp.ones_like(v)
    return xp.where(mask, v, other), xp.where(mask, x, other)


def _regions(xp: Namespace, v: Values, x: Values) -> tuple[Values, Values]:
    """Where the arguments are inside the domain, and where Debye's expansion holds."""
    inside = (v >= 0.0) & (x > 0.0) & xp.isfinite(v) & xp.isfinite(x)
    r = xp.hypot(*_safe(xp, inside, v, x, 1.0))
    return inside, inside & (r >= FAR)


def _ends(
    xp: Namespace, v: Values, x: Values, inside: Values, value: Values, ends: Sequence[float]
) -> Values:
    """Put the values at v = inf, x = inf, x = 0 < v and x = v = 0, and nan outside of the domain."""
    at_v, at_x, at_0, at_00 = (end * xp.ones_like(v) for end in ends)
    legal = (v >= 0.0) & (x >= 0.0)
    out = xp.where(x == 0.0, xp.where(v == 0.0, at_00, at_0), xp.where(x == math.inf, at_x, at_v))
    out = xp.where(legal & ~((v == math.inf) & (x == math.inf)), out, math.nan * xp.ones_like(v))
    return xp.where(inside, value, out)


def log_iv(xp: Namespace, v: Values, x: Values, *, scaled: bool = False) -> Values:
    """Log I, or log(I e^{-x})."""
    inside, far = _regions(xp, v, x)
    a, b = _safe(xp, inside & ~far, v, x, 1.0)
    near = _log_iv_near(xp, a, b) - (b if scaled else 0.0)
    value = xp.where(far, _log_far(xp, *_safe(xp, far, v, x, 30.0), 1.0, scaled=scaled), near)
    return _ends(xp, v, x, inside, value, (-math.inf, -math.inf if scaled else math.inf, -math.inf, 0.0))


def log_kv(xp: Namespace, v: Values, x: Values, *, scaled: bool = False) -> Values:
    """Log K, or log(K e^x)."""
    inside, far = _regions(xp, v, x)
    a, b = _safe(xp, inside & ~far, v, x, 1.0)
    tiny = _tiny_parts(xp, *_safe(xp, b < TINY, a, b, 0.5))[0]
    near = xp.where(b < TINY, tiny, _moments(xp, a, b)[0]) + (b if scaled else 0.0)
    value = xp.where(far, _log_far(xp, *_safe(xp, far, v, x, 30.0), -1.0, scaled=scaled), near)
    return _ends(xp, v, x, inside, value, (math.inf, -math.inf, math.inf, math.inf))


def iv_ratio(xp: Namespace, v: Values, x: Values, *, complement: bool = False) -> Values:
    """I_{v+1} / I_v, or 1 less that, without the cancellation for large x."""
    inside, far = _regions(xp, v, x)
    near = _iv_ratio_near(xp, *_safe(xp, inside & ~far, v, x, 1.0))
    a, b = _safe(xp, far, v, x, 30.0)
    if complement:
        near, away = 1.0 - near, _ratio_complement_far(xp, a, b)
    else:
        away = _ratio_far(xp, a, b, 1.0)
    ends = (1.0, 0.0, 1.0, 1.0) if complement else (0.0, 1.0, 0.0, 0.0)
    return _ends(xp, v, x, inside, xp.where(far, away, near), ends)


def kv_ratio(xp: Namespace, v: Values, x: Values) -> Values:
    """K_{v+1} / K_v."""
    inside, far = _regions(xp, v, x)
    a, b = _safe(xp, inside & ~far, v, x, 1.0)
    cosh = _moments(xp, a, b)[1]  # -K' / K, and K_{v+1} / K_v = v / x - K' / K
    c, d = _safe(xp, b < TINY, a, b, 0.5)
    near = xp.where(b < TINY, _tiny_parts(xp, c, d)[2] / (0.5 * d), a / b + cosh)
    value = xp.where(far, _ratio_far(xp, *_safe(xp, far, v, x, 30.0), -1.0), near)
    return _ends(xp, v, x, inside, value, (math.inf, 1.0, math.inf, math.inf))


def iv_order_slope(xp: Namespace, v: Values, x: Values) -> Values:
    """D log I / dv."""
    inside, far = _regions(xp, v, x)
    near = _iv_slope_near(xp, *_safe(xp, inside & ~far, v, x, 1.0))
    value = xp.where(far, _slope_far(xp, *_safe(xp, far, v, x, 30.0), 1.0), near)
    return _ends(xp, v, x, inside, value, (-math.inf, 0.0, -math.inf, -math.inf))


def kv_order_slope(xp: Namespace, v: Values, x: Values) -> Values:
    """D log K / dv."""
    inside, far = _regions(xp, v, x)
    a, b = _safe(xp, inside & ~far, v, x, 1.0)
    tiny = _tiny_parts(xp, *_safe(xp, b < TINY, a, b, 0.5))[1]
    near = xp.where(b < TINY, tiny, _moments(xp, a, b)[2])
    value = xp.where(far, _slope_far(xp, *_safe(xp, far, v, x, 30.0), -1.0), near)
    return _ends(xp, v, x, inside, value, (math.inf, 0.0, math.inf, 0.0))


def log_ive(xp: Namespace, v: Values, x: Values) -> Values:
    """log(I e^{-x})."""
    return log_iv(xp, v, x, scaled=True)


def log_kve(xp: Namespace, v: Values, x: Values) -> Values:
    """log(K e^x)."""
    return log_kv(xp, v, x, scaled=True)


# -- Matérn ----------------------------------------------------------------------------------------


def stirling(xp: Namespace, v: Values) -> Values:
    """Log Gamma(v) - (v - 1/2) log v + v - log(2 pi) / 2, for v > 0."""
    low = xp.where(v < FAR, v, xp.ones_like(v))
    high = xp.where(v < FAR, FAR * xp.ones_like(v), v)
    square = 1.0 / (high * high)
    series = (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680)))) / high
    plain = _log_gamma(xp, low) - (low + 0.5) * xp.log(low) + low - 0.5 * math.log(2.0 * math.pi)
    return xp.where(v < FAR, plain, series)


def log_less_digamma(xp: Namespace, v: Values) -> Values:
    """Log v - psi(v), for v > 0."""
    low = xp.where(v < FAR, v, xp.ones_like(v))
    high = xp.where(v < FAR, FAR * xp.ones_like(v), v)
    square = 1.0 / (high * high)
    series = 0.5 / high + square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square / 240)))
    return xp.where(v < FAR, xp.log(low) - _digamma(xp, low) + 1.0 / low, series)


def log_matern(xp: Namespace, v: Values, s: Values) -> Values:
    """Log of 2 (s/2)^v K_v(s) / Gamma(v), for s > 0: Debye's expansion less Stirling's, or the logarithms."""
    _, far = _regions(xp, v, s)
    a, b = _safe(xp, far, v, s, 30.0)
    log_u = xp.log1p(_correction(xp, VALUES, -1.0 / xp.hypot(a, b), (a / xp.hypot(a, b)) ** 2))
    away = matern_exponent(xp, a, b) + log_u - stirling(xp, a)
    a, b = _safe(xp, ~far, v, s, 1.0)
    near = a * (xp.log(b) - math.log(2.0)) + xp.log(2.0 * a) - _log_gamma(xp, a) + log_kv(xp, a, b)
    return xp.where(far, away, near)


def matern(xp: Namespace, v: Values, s: Values) -> Values:
    """The correlation itself, 1 at s = 0."""
    apart = s > 0.0
    safe = xp.where(apart, s, xp.ones_like(s))
    return xp.where(apart, xp.exp(log_matern(xp, v, safe)), xp.ones_like(s))


def matern_exponent(xp: Namespace, v: Values, s: Values) -> Values:
    """Log k without log U and Stirling's part: -d + v log(1 + d / (2 v)) + log(v / r) / 2, with d = r - v."""
    r = xp.hypot(v, s)
    d = s * (s / (r + v))
    return v * xp.log1p(0.5 * d / v) - d + 0.5 * xp.log(v / r)
