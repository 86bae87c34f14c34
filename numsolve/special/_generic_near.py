r"""The parts of ``_generic`` below the radius `FAR`.

Series and integrals run along an axis of their own; K comes from its integral (9) by the trapezoidal rule,
the derivative of I in small orders from (10).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

from numsolve._core import arrays

from . import _generic_integral, _jax_integral
from ._tuples import FAR, GAUSS_NODES, GAUSS_WEIGHTS, RECIPROCAL_GAMMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.typing import Namespace

    #: Arrays of any library.
    Values: TypeAlias = Any

#: Terms of the series (3) at `FAR`.
SERIES = 60
#: Below this argument the first terms of K's series are all.
TINY = 1e-10
#: The coefficients of 1 / Gamma(1 + m).
GAMMA = [float(c) for c in RECIPROCAL_GAMMA]


def count(xp: Namespace, first: int, last: int, like: Values) -> Values:
    """first, ..., last as floats."""
    return xp.astype(xp.arange(first, last + 1), like.dtype)


def log(xp: Namespace, x: Values) -> Values:
    """Log x where x > 0, 0 elsewhere."""
    return xp.log(xp.where(x > 0.0, x, xp.ones_like(x)))


def _split(xp: Namespace, v: Values) -> tuple[Values, Values]:
    """V = n + m with |m| <= 1/2."""
    n = xp.floor(v + 0.5)
    return n, v - n


def powers(xp: Namespace, x: Values, n: int) -> Values:
    """1, x, ..., x^(n-1) along an axis of their own.

    The derivatives of a power fail at zero: something that no sum notices is added.
    """
    least = 1e-60 if x.dtype == xp.float64 else 1e-12
    return (x + least)[..., None] ** count(xp, 0, n - 1, x)


def polynomial(xp: Namespace, coefficients: Sequence[float], x: Values) -> Values:
    """sum_i c_i x^i: for a tracer much shorter than Horner's rule."""
    return xp.sum(powers(xp, x, len(coefficients)) * xp.asarray(coefficients, dtype=x.dtype), axis=-1)


def _gamma_parts(xp: Namespace, m: Values) -> tuple[Values, Values]:
    """The even part of 1 / Gamma(1 + m), and its odd part over m."""
    return polynomial(xp, GAMMA[::2], m * m), polynomial(xp, GAMMA[1::2], m * m)


def _gamma_part_slopes(xp: Namespace, m: Values) -> tuple[Values, Values]:
    """The derivatives of `_gamma_parts`."""
    even, odd = ([2.0 * k * c for k, c in enumerate(part)][1:] for part in (GAMMA[::2], GAMMA[1::2]))
    return m * polynomial(xp, even, m * m), m * polynomial(xp, odd, m * m)


def _rising(xp: Namespace, v: Values) -> tuple[Values, Values]:
    """M + 1, ..., m + n along an axis, filled up with ones, and where they are."""
    n, m = _split(xp, v)
    k = count(xp, 1, int(FAR), v)
    there = n[..., None] >= k
    return xp.where(there, m[..., None] + k, xp.ones_like(m)[..., None]), there


def log_gamma(xp: Namespace, v: Values) -> Values:
    """Log Gamma(1 + v) for v below `FAR`."""
    _, m = _split(xp, v)
    even, odd = _gamma_parts(xp, m)
    return xp.log(xp.prod(_rising(xp, v)[0], axis=-1) / (even + m * odd))


def _series(xp: Namespace, v: Values, x: Values) -> tuple[Values, Values]:
    """The terms a_1, a_2, ... of (3) along an axis, and v + k."""
    k = count(xp, 1, SERIES, v)
    shifted = v[..., None] + k
    return xp.cumulative_prod((0.25 * x * x)[..., None] / (k * shifted), axis=-1), shifted


def log_iv_near(xp: Namespace, v: Values, x: Values) -> Values:
    """(3), in one logarithm of all factors but (x/2)^m where its powers are in the range of floats."""
    total = 1.0 + xp.sum(_series(xp, v, x)[0], axis=-1)
    _, m = _split(xp, v)
    even, odd = _gamma_parts(xp, m)
    usual = x > (2e-12 if v.dtype == xp.float64 else 2.0)
    h = xp.where(usual, 0.5 * x, xp.ones_like(x))
    factors, there = _rising(xp, v)
    powers = xp.prod(xp.where(there, h[..., None] / factors, xp.ones_like(factors)), axis=-1)
    value = m * xp.log(h) + xp.log(total * (even + m * odd) * powers)
    return xp.where(usual, value, v * (log(xp, x) - math.log(2.0)) - log_gamma(xp, v) + xp.log(total))


def digamma(xp: Namespace, v: Values) -> Values:
    """D log Gamma(1 + v) / dv for v below `FAR`."""
    _, m = _split(xp, v)
    (even, odd), (even_slope, odd_slope) = _gamma_parts(xp, m), _gamma_part_slopes(xp, m)
    factors, there = _rising(xp, v)
    harmonic = xp.sum(xp.where(there, 1.0 / factors, xp.zeros_like(factors)), axis=-1)
    return harmonic - (even_slope + odd + m * odd_slope) / (even + m * odd)


def iv_slope_near(xp: Namespace, v: Values, x: Values) -> Values:
    """D log I / dv by (3), term by term: that of a_k is -a_k sum_{j<=k} 1 / (v + j); or by (10)."""
    terms, shifted = _series(xp, v, x)
    weighted = xp.sum(terms * xp.cumulative_sum(1.0 / shifted, axis=-1), axis=-1)
    value = log(xp, x) - math.log(2.0) - digamma(xp, v) - weighted / (1.0 + xp.sum(terms, axis=-1))
    cancels = (v < 0.5) & (x > 2.0)
    moved = (xp.where(cancels, a, other * xp.ones_like(v)) for a, other in ((v, 0.1), (x, 3.0)))
    return xp.where(cancels, _small_order_slope(xp, *moved), value)


def _small_order_slope(xp: Namespace, v: Values, x: Values) -> Values:
    """D log I / dv by the integrals (10), in which nothing cancels below v = 1/2."""
    v, x = v[..., None], x[..., None]
    nodes, weights = (xp.asarray(a, dtype=v.dtype) for a in (GAUSS_NODES, GAUSS_WEIGHTS))
    t, end = math.pi * nodes, xp.acosh(1.0 + _generic_integral.FALL / x)
    wave = math.pi * weights * xp.exp(-2.0 * x * xp.sin(0.5 * t) ** 2)
    u = end * nodes
    decay = end * weights * xp.exp(-x * (xp.cosh(u) + 1.0) - v * u)
    sine, cosine = xp.sin(math.pi * v), xp.cos(math.pi * v)
    change = xp.sum(wave * t * xp.sin(v * t) + decay * (math.pi * cosine - u * sine), axis=-1)
    return -change / xp.sum(wave * xp.cos(v * t) - decay * sine, axis=-1)


def iv_ratio_near(xp: Namespace, v: Values, x: Values) -> Values:
    """The quotient of two series (3)."""
    above, here = (1.0 + xp.sum(_series(xp, order, x)[0], axis=-1) for order in (v + 1.0, v))
    return x / (2.0 * (v + 1.0)) * above / here


def moments(xp: Namespace, v: Values, x: Values) -> Values:
    """Log K and the two means of ``_generic_integral``, under JAX with derivatives of their own."""
    x = xp.where(x < TINY, xp.ones_like(x), x)
    if arrays.namespace_name(xp) == "jax":
        return _jax_integral.moments()(v, x)
    return _generic_integral.moments(xp, v, x)[:3]


def tiny_parts(xp: Namespace, v: Values, x: Values) -> tuple[Values, Values, Values]:
    """Logarithm, slope in v, and (x/2) K_{v+1} / K_v below `TINY`: two powers, or Temme's first term."""
    L = math.log(2.0) - log(xp, x)
    low = xp.where(v < 0.5, v, xp.zeros_like(v))
    even, odd = _gamma_parts(xp, low)
    even_slope, odd_slope = _gamma_part_slopes(xp, low)
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
    of_gamma, turn_of_gamma = log_gamma(xp, high), digamma(xp, high)
    second = xp.exp(-2.0 * under * L - 2.0 * of_gamma) * (math.pi * under / xp.sin(math.pi * under))
    second = xp.where(high < 0.9, second, xp.zeros_like(v))
    turn = -2.0 * L - 2.0 * turn_of_gamma + 1.0 / under - math.pi / xp.tan(math.pi * under)
    value = high * L + of_gamma - xp.log(2.0 * high) + xp.log1p(-second)
    slope = L + turn_of_gamma - 1.0 / high - second * turn / (1.0 - second)
    return (
        xp.where(v < 0.5, xp.log(f / both), value),
        xp.where(v < 0.5, f_slope / f - both_slope / both, slope),
        xp.where(v < 0.5, 0.5 * xp.exp(s) * (even - low * odd) / f, high / (1.0 - second)),
    )
