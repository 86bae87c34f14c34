r"""The spectral solver: an expansion in Jacobi modes, for smooth data.

Without a reaction term there is no linear system: the coefficients of f are divided by ``lambda_k``. With
one the equation is collocated at the Gauss nodes of N modes,

    (P diag(lambda) + diag(r (1 - y^2)^a) P) c = f;                           (1)

its solutions are less smooth in y, and the error falls like a power of N.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve

from numsolve._core import arrays
from numsolve._core.result import Status, deliver

from ._settings import keep_time
from .jacobi import (
    JacobiSolution,
    basis,
    eigenvalues,
    from_unit,
    gauss_rule,
    laplacian_scale,
)
from .result import RieszResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from numsolve._core.limits import Limits

    Array = NDArray[np.float64]
    Function = Callable[[Array], Array]

#: A series has converged when its last coefficients are below this, relative to the largest.
RESOLVED = 1e-13
#: Coefficients whose share of the solution is below this, relative to the largest, are cut off.
NOISE = 5e-16
#: Samples beyond the number of modes.
MARGIN = 20
MODES = (16, 32, 64, 128, 256, 512, 1024, 2048)


@dataclass(frozen=True)
class Series:
    """The Jacobi coefficients of a function, without those that are nothing but rounding errors.

    `tail` is the largest of the last ones of all that were computed, relative to the largest.
    """

    points: Array
    coefficients: Array
    tail: float

    @property
    def resolved(self) -> bool:
        """Whether these modes hold the function."""
        return self.tail <= RESOLVED


def jacobi_series(
    function: Function,
    alpha: float,
    interval: tuple[float, float],
    limit: int,
    limits: Limits | None = None,
) -> Series:
    """Expand a function in as many modes as it needs, but at most `limit`."""
    for N in MODES:
        if N >= limit:
            break
        keep_time(limits)
        series = _expand(function, alpha, interval, N)
        if series.resolved:
            return series
    keep_time(limits)
    return _expand(function, alpha, interval, limit)


def _expand(function: Function, alpha: float, interval: tuple[float, float], N: int) -> Series:
    y, w = gauss_rule(N + MARGIN, alpha / 2)
    points = from_unit(y, interval)
    c = basis(N, alpha, y).T @ (w * function(points))
    size = float(np.max(np.abs(c)))
    tail = float(np.max(np.abs(c[-max(4, N // 8) :])))
    share = np.abs(c) / eigenvalues(N, alpha)
    kept = np.flatnonzero(share > NOISE * np.max(share))
    return Series(points, c[: kept[-1] + 1] if kept.size else np.zeros(1), tail / size if size else 0.0)


def solve_by_division(
    f: Function,
    alpha: float,
    interval: tuple[float, float],
    limit: int,
    series: Series | None,
    reason: str,
    limits: Limits,
) -> RieszResult:
    """Solve ``(-Delta)^(alpha/2) u = f``."""
    series = series or jacobi_series(f, alpha, interval, limit, limits)
    N = len(series.coefficients)
    scale = laplacian_scale(interval, alpha)
    c = series.coefficients / (eigenvalues(N, alpha) * scale)
    status, detail = Status.CONVERGED, ""
    if not series.resolved:
        status = Status.STAGNATED
        detail = f"{N} Jacobi modes leave {series.tail:.1g} of f: it is not smooth, or n is too small."
    result = RieszResult(
        x=c,
        status=status,
        detail=detail,
        residual=series.tail * arrays.norm(np, series.coefficients) * scale,
        points=series.points,
        sol=JacobiSolution(c, alpha, interval),
        method="spectral",
        reason=reason,
        error_estimate=max(series.tail, NOISE),
        interval=interval,
    )
    deliver(result)
    return result


def solve_by_collocation(
    f: Function,
    reaction: Function,
    alpha: float,
    interval: tuple[float, float],
    limit: int,
    reason: str,
    limits: Limits,
) -> RieszResult:
    """Solve ``(-Delta)^(alpha/2) u + r(x) u = f`` with half of the modes allowed, and with all."""
    half = JacobiSolution(_collocate(f, reaction, alpha, interval, max(limit // 2, 1))[1], alpha, interval)
    keep_time(limits)
    points, c, residual = _collocate(f, reaction, alpha, interval, limit)
    sol = JacobiSolution(c, alpha, interval)
    u = sol(points)
    change = float(np.max(np.abs(u - half(points))))
    return RieszResult(
        x=c,
        residual=residual,
        points=points,
        sol=sol,
        method="spectral",
        reason=reason,
        error_estimate=change / (float(np.max(np.abs(u))) or 1.0),
        interval=interval,
    )


def _collocate(
    f: Function, reaction: Function, alpha: float, interval: tuple[float, float], N: int
) -> tuple[Array, Array, float]:
    """Points, coefficients, and the residual of the linear system."""
    y, _ = gauss_rule(N, alpha / 2)
    points = from_unit(y, interval)
    P = basis(N, alpha, y)
    A = P * (eigenvalues(N, alpha) * laplacian_scale(interval, alpha))
    A += (reaction(points) * (1 - y * y) ** (alpha / 2))[:, None] * P
    b = f(points)
    c = solve(A, b)  # (1)
    return points, c, arrays.norm(np, b - A @ c)
