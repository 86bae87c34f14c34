r"""All functions of the column in plain array code: for other libraries, and at the ends of the domain.

Names and numbers as in the kernels. There is no branch on values: each formula is evaluated everywhere, on
arguments that are moved to where it holds, and the right one is selected; so the code can be traced and
differentiated.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ._generic_near import (
    TINY,
    iv_ratio_near,
    iv_slope_near,
    log,
    log_iv_near,
    moments,
    polynomial,
    powers,
    tiny_parts,
)
from ._tuples import BY_P, BY_Q, DEBYE, ETA, FAR, NEAR_ROOT, ROOT, ROOT_REST, SLOPES, TERMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.typing import Namespace

    #: Arrays of any library.
    Values: TypeAlias = Any

#: The table of U - 1.
VALUES = DEBYE * (np.arange(TERMS + 1) > 0)[:, None]

#: Below this order d log I / dv has a part -K / I that is not in the expansion (DLMF 10.38.4 at v = 0).
LEAST_ORDER = 1e-6

# -- far: Debye's expansion -----------------------------------------------------------------------


def _correction(xp: Namespace, table: np.ndarray, q: Values, p: Values) -> Values:
    """sum_k sum_j table[k, j] q^k p^j, the powers along an axis of their own."""
    q = xp.where(xp.abs(q) < 1e-30, 1e-30 * xp.ones_like(q), q)  # squares of the least quotients would vanish
    rows = powers(xp, q, TERMS + 1) @ xp.asarray(table[:, : TERMS + 1], dtype=q.dtype)
    return xp.sum(rows * powers(xp, p, TERMS + 1), axis=-1)


def debye_sum(xp: Namespace, q: Values, p: Values) -> Values:
    """U - 1."""
    return _correction(xp, VALUES, q, p)


def radius(xp: Namespace, v: Values, x: Values) -> tuple[Values, Values, Values, Values]:
    """V, x and r = sqrt(v^2 + x^2), divided by a power of two where r + v might overflow; its inverse."""
    large = xp.maximum(v, x) > 2.0**-10 * xp.finfo(v.dtype).max
    scale = xp.where(large, 2.0**-20 * xp.ones_like(v), xp.ones_like(v))
    return v * scale, x * scale, xp.hypot(v * scale, x * scale), scale


def _asinh(xp: Namespace, v: Values, x: Values) -> Values:
    """asinh(v / x)."""
    a, b, r, _ = radius(xp, v, x)
    part = a / (r + b)
    large = v > 1e30 * x
    w = xp.where(large, xp.ones_like(v), a) * (1.0 + part) / xp.where(large, xp.ones_like(x), b)
    return xp.where(large, log(xp, v) + xp.log1p(part) - log(xp, x), xp.log1p(w))


def _log_far(xp: Namespace, v: Values, x: Values, sign: float, *, scaled: bool) -> Values:
    """(1), for the scaled function without its factor e^{+-x}."""
    asinh = _asinh(xp, v, x)
    v, x, r, scale = radius(xp, v, x)
    t = v / r
    factor = math.log(2.0 * math.pi if sign > 0.0 else 2.0 / math.pi)
    tail = xp.log1p(debye_sum(xp, sign / r, t * t)) - 0.5 * (factor + xp.log(r) - xp.log(scale))
    if scaled:
        return sign * (v * (v / (r + x) - asinh)) / scale + tail
    exponent = r * (1.0 - t * asinh)
    sum_of_both = x + (ROOT + ROOT_REST) * v
    near_root = (xp.abs(x - ROOT * v) < NEAR_ROOT * sum_of_both) & (v < 1e30)
    front = xp.astype(xp.astype(xp.where(near_root, v, xp.ones_like(v)), xp.float32), v.dtype)
    u = (((x - ROOT * front) - ROOT * (v - front)) - ROOT_REST * v) / sum_of_both
    eta = polynomial(xp, (0.0, *ETA), xp.where(near_root, u, xp.zeros_like(u)))
    return sign * xp.where(near_root, v * eta, exponent) / scale + tail


def _slope_far(xp: Namespace, v: Values, x: Values, sign: float) -> Values:
    """d/dv of (1), term by term; for I at the least orders also what the expansion leaves out."""
    asinh = _asinh(xp, v, x)
    v, x, r, _ = radius(xp, v, x)
    t, q = v / r, sign / r
    p, turn = t * t, 2.0 * t * (x / r) ** 2 / r
    u = 1.0 + debye_sum(xp, q, p)
    log_u_slope = (turn * _correction(xp, BY_P, q, p) - t / r * _correction(xp, BY_Q, q, p)) / u
    slope = log_u_slope - 0.5 * t / r - sign * asinh
    if sign < 0.0:
        return slope
    least = (v < LEAST_ORDER) & (x < 700.0)
    away = math.pi * xp.exp(-2.0 * xp.where(least, x, xp.ones_like(x)))
    return slope - xp.where(least, away * (1.0 + debye_sum(xp, -q, p)) / u, xp.zeros_like(v))


def _ratio_far(xp: Namespace, v: Values, x: Values, sign: float) -> Values:
    """I_{v+1} / I_v or K_{v+1} / K_v."""
    v, x, r, _ = radius(xp, v, x)
    q, p = sign / r, (v / r) ** 2
    parts = _correction(xp, SLOPES, q, p) / (1.0 + debye_sum(xp, q, p))
    leading = x / (r + v) if sign > 0.0 else (r + v) / x
    return leading - x / r * parts


def _ratio_complement_far(xp: Namespace, v: Values, x: Values) -> Values:
    """1 - I_{v+1} / I_v: r + v - x = v + v^2 / (r + x)."""
    v, x, r, _ = radius(xp, v, x)
    q, p = 1.0 / r, (v / r) ** 2
    parts = _correction(xp, SLOPES, q, p) / (1.0 + debye_sum(xp, q, p))
    return v / (r + v) * (1.0 + v / (r + x)) + x / r * parts


# -- the functions ---------------------------------------------------------------------------------


def safe(xp: Namespace, mask: Values, v: Values, x: Values, value: float) -> tuple[Values, Values]:
    """The arguments where a mask holds, and harmless ones elsewhere."""
    other = value * xp.ones_like(v)
    return xp.where(mask, v, other), xp.where(mask, x, other)


def regions(xp: Namespace, v: Values, x: Values) -> tuple[Values, Values]:
    """Where the arguments are inside the domain, and where Debye's expansion holds."""
    inside = (v >= 0.0) & (x > 0.0) & xp.isfinite(v) & xp.isfinite(x)
    r = xp.hypot(*safe(xp, inside, v, x, 1.0))
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
    inside, far = regions(xp, v, x)
    a, b = safe(xp, inside & ~far, v, x, 1.0)
    near = log_iv_near(xp, a, b) - (b if scaled else 0.0)
    value = xp.where(far, _log_far(xp, *safe(xp, far, v, x, 30.0), 1.0, scaled=scaled), near)
    return _ends(xp, v, x, inside, value, (-math.inf, -math.inf if scaled else math.inf, -math.inf, 0.0))


def log_kv(xp: Namespace, v: Values, x: Values, *, scaled: bool = False) -> Values:
    """Log K, or log(K e^x)."""
    inside, far = regions(xp, v, x)
    a, b = safe(xp, inside & ~far, v, x, 1.0)
    tiny = tiny_parts(xp, *safe(xp, b < TINY, a, b, 0.5))[0]
    near = xp.where(b < TINY, tiny, moments(xp, a, b)[0]) + (b if scaled else 0.0)
    value = xp.where(far, _log_far(xp, *safe(xp, far, v, x, 30.0), -1.0, scaled=scaled), near)
    return _ends(xp, v, x, inside, value, (math.inf, -math.inf, math.inf, math.inf))


def iv_ratio(xp: Namespace, v: Values, x: Values, *, complement: bool = False) -> Values:
    """I_{v+1} / I_v, or 1 less that, without the cancellation for large x."""
    inside, far = regions(xp, v, x)
    near = iv_ratio_near(xp, *safe(xp, inside & ~far, v, x, 1.0))
    a, b = safe(xp, far, v, x, 30.0)
    if complement:
        near, away = 1.0 - near, _ratio_complement_far(xp, a, b)
    else:
        away = _ratio_far(xp, a, b, 1.0)
    ends = (1.0, 0.0, 1.0, 1.0) if complement else (0.0, 1.0, 0.0, 0.0)
    return _ends(xp, v, x, inside, xp.where(far, away, near), ends)


def kv_ratio(xp: Namespace, v: Values, x: Values) -> Values:
    """K_{v+1} / K_v."""
    inside, far = regions(xp, v, x)
    a, b = safe(xp, inside & ~far, v, x, 1.0)
    cosh = moments(xp, a, b)[1]  # -K' / K, and K_{v+1} / K_v = v / x - K' / K
    c, d = safe(xp, b < TINY, a, b, 0.5)
    near = xp.where(b < TINY, 2.0 * tiny_parts(xp, c, d)[2] / d, a / b + cosh)
    value = xp.where(far, _ratio_far(xp, *safe(xp, far, v, x, 30.0), -1.0), near)
    return _ends(xp, v, x, inside, value, (math.inf, 1.0, math.inf, math.inf))


def iv_order_slope(xp: Namespace, v: Values, x: Values) -> Values:
    """D log I / dv."""
    inside, far = regions(xp, v, x)
    near = iv_slope_near(xp, *safe(xp, inside & ~far, v, x, 1.0))
    value = xp.where(far, _slope_far(xp, *safe(xp, far, v, x, 30.0), 1.0), near)
    return _ends(xp, v, x, inside, value, (-math.inf, 0.0, -math.inf, -math.inf))


def kv_order_slope(xp: Namespace, v: Values, x: Values) -> Values:
    """D log K / dv."""
    inside, far = regions(xp, v, x)
    a, b = safe(xp, inside & ~far, v, x, 1.0)
    tiny = tiny_parts(xp, *safe(xp, b < TINY, a, b, 0.5))[1]
    near = xp.where(b < TINY, tiny, moments(xp, a, b)[2])
    value = xp.where(far, _slope_far(xp, *safe(xp, far, v, x, 30.0), -1.0), near)
    return _ends(xp, v, x, inside, value, (math.inf, 0.0, math.inf, 0.0))


def kv_argument_slope(xp: Namespace, v: Values, x: Values) -> Values:
    """D log K / dx = v / x - K_{v+1} / K_v, over x below `TINY`, where both quotients may overflow."""
    a, b = safe(xp, x < TINY, v, x, 0.5)
    low = xp.where(a < FAR, a, xp.ones_like(a))
    return -xp.where(a < FAR, 2.0 * tiny_parts(xp, low, b)[2] - a, a) / b


def log_ive(xp: Namespace, v: Values, x: Values) -> Values:
    """log(I e^{-x})."""
    return log_iv(xp, v, x, scaled=True)


def log_kve(xp: Namespace, v: Values, x: Values) -> Values:
    """log(K e^x)."""
    return log_kv(xp, v, x, scaled=True)
