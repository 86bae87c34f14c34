"""The Matérn correlation in plain array code; names and numbers as in ``matern``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

from ._generic import debye_sum, kv_ratio, log_kv, regions, safe
from ._generic_near import digamma, log_gamma
from ._tuples import FAR

if TYPE_CHECKING:
    from numsolve._core.typing import Namespace

    #: Arrays of any library.
    Values: TypeAlias = Any


def stirling(xp: Namespace, v: Values) -> Values:
    """Log Gamma(v) - (v - 1/2) log v + v - log(2 pi) / 2, for v > 0."""
    low = xp.where(v < FAR, v, xp.ones_like(v))
    high = xp.where(v < FAR, FAR * xp.ones_like(v), v)
    square = 1.0 / (high * high)
    series = (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680)))) / high
    plain = log_gamma(xp, low) - (low + 0.5) * xp.log(low) + low - 0.5 * math.log(2.0 * math.pi)
    return xp.where(v < FAR, plain, series)


def log_less_digamma(xp: Namespace, v: Values) -> Values:
    """Log v - psi(v), for v > 0."""
    low = xp.where(v < FAR, v, xp.ones_like(v))
    high = xp.where(v < FAR, FAR * xp.ones_like(v), v)
    square = 1.0 / (high * high)
    series = 0.5 / high + square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square / 240)))
    return xp.where(v < FAR, xp.log(low) - digamma(xp, low) + 1.0 / low, series)


def stirling_slope(xp: Namespace, v: Values) -> Values:
    """The derivative of `stirling`, for v > 0: psi(v) - log v + 1 / (2 v)."""
    high = xp.where(v < FAR, FAR * xp.ones_like(v), v)
    square = 1.0 / (high * high)
    series = -square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square / 240)))
    return xp.where(v < FAR, 0.5 / v - log_less_digamma(xp, v), series)


def log_matern(xp: Namespace, v: Values, s: Values) -> Values:
    """Log of 2 (s/2)^v K_v(s) / Gamma(v), for s > 0: Debye's expansion less Stirling's, or the logarithms."""
    _, far = regions(xp, v, s)
    a, b = safe(xp, far, v, s, 30.0)
    log_u = xp.log1p(debye_sum(xp, -1.0 / xp.hypot(a, b), (a / xp.hypot(a, b)) ** 2))
    away = matern_exponent(xp, a, b) + log_u - stirling(xp, a)
    a, b = safe(xp, ~far, v, s, 1.0)
    near = a * (xp.log(b) - math.log(2.0)) + xp.log(2.0 * a) - log_gamma(xp, a) + log_kv(xp, a, b)
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
    large = d > 1e3 * v  # the quotient of both may overflow
    some = xp.where(large, v, d)
    return (
        v * xp.where(large, xp.log(v + 0.5 * d) - xp.log(v), xp.log1p(0.5 * some / v))
        - d
        + 0.5 * xp.log(v / r)
    )


def lower_ratio(xp: Namespace, nu: Values, s: Values) -> Values:
    """K_{nu-1} / K_nu in plain array code, from the derivative of K."""
    safe = xp.where(s > 0.0, s, xp.ones_like(s))
    upper = nu >= 1.0
    one_less = xp.where(upper, nu - 1.0, xp.zeros_like(nu))
    logs = log_kv(xp, xp.abs(nu - 1.0), safe) - log_kv(xp, nu, safe)
    return xp.where(upper, 1.0 / kv_ratio(xp, one_less, safe), xp.exp(logs))
