"""The constant of von Mises and Fisher in plain array code; numbers as in ``vmf``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Namespace

    #: Arrays of any library.
    Values: TypeAlias = Any


def log_norm_scaled(
    xp: Namespace, d: int, kappa: Values, log_ive: Callable[[float, Values], Values]
) -> Values:
    """Log C_d(kappa) + kappa; up to kappa = 1, where v log kappa would cancel in (1), by the series of I."""
    v = 0.5 * d - 1.0
    small = kappa <= 1.0
    y = 0.25 * xp.where(small, kappa, xp.ones_like(kappa)) ** 2
    series = xp.zeros_like(y)
    for k in range(12, 0, -1):
        series = y / (k * (v + k)) * (1.0 + series)
    uniform = math.lgamma(0.5 * d) - math.log(2.0) - 0.5 * d * math.log(math.pi)
    safe = xp.where(small, xp.ones_like(kappa), kappa)
    value = v * xp.log(safe) - 0.5 * d * math.log(2.0 * math.pi) - log_ive(v, safe)
    return xp.where(small, uniform - xp.log1p(series) + kappa, value)
