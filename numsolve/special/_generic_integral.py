"""The integral (9) of K by the trapezoidal rule, in plain array code, along an axis of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from numsolve._core.typing import Namespace

    #: Arrays of any library.
    Values: TypeAlias = Any

#: Nodes of the trapezoidal rule, and where the integrand has fallen to rounding errors.
NODES, FALL = 160, 42.0


def moments(xp: Namespace, v: Values, x: Values) -> tuple[Values, ...]:
    """Log K, the means of c = cosh u and of t = u tanh(v u) under the integrand of (9), and three variances.

    These are of c, of c and t, and the variance of t with the mean of u^2 - t^2, which are the derivatives of
    the means: d log K = <t> dv - <c> dx, d<c> = cov(c, t) dv - var(c) dx.
    """
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
    back = xp.exp(-2.0 * v[..., None] * u)
    weight = xp.exp(-fall) * half * (1.0 + back)
    total = xp.sum(weight, axis=-1)
    weight = weight / total[..., None]
    cosh, turn = xp.cosh(u), -u * xp.expm1(-2.0 * v[..., None] * u) / (1.0 + back)
    c, t = xp.sum(weight * cosh, axis=-1), xp.sum(weight * turn, axis=-1)
    off_c, off_t = cosh - c[..., None], turn - t[..., None]
    cc, ct = xp.sum(weight * off_c**2, axis=-1), xp.sum(weight * off_c * off_t, axis=-1)
    tt = xp.sum(weight * (off_t**2 + back * (2.0 * u / (1.0 + back)) ** 2), axis=-1)
    return v * peak - r + xp.log(0.5 * step * total), c, t, cc, ct, tt
