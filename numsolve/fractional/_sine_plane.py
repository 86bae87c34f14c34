r"""The spectral fractional Laplacian on a rectangle, a power of the Laplacian: by sines.

    A sin(j pi s) sin(k pi t) = ((j pi / L_x)^2 + (k pi / L_y)^2)^(alpha/2) sin(j pi s) sin(k pi t)    (1)

It has no directions of its own, other than the sum of `plane`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.fft import dstn

from numsolve._core import arrays, checks
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status, deliver

from ._data import is_values, sample
from ._estimate import from_levels
from ._gmres import PATIENCE, fgmres
from ._modes import WITNESSES
from ._sine_bvp import LEAST_SPANS, REASON
from ._splines import MAXITER, doubted
from ._system import turns
from .bspline import check_order
from .result import RieszPlaneResult
from .sine import TensorSine, grid, sine_eigenvalues
from .spectral import TOLERABLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from numsolve._core.limits import Limits

    Array = NDArray[np.float64]
    Sides = tuple[tuple[float, float], tuple[float, float]]

#: Places of either side at which solutions on two grids are compared.
FEW_WITNESSES = WITNESSES[::8]


def solve_plane_by_sines(
    f: Any,
    orders: tuple[Any, Any],
    limits: Limits,
    sides: Sides,
    spans: tuple[Any, Any],
    reaction: Any,
    diffusion: tuple[float, float],
    rtol: float,
    x0: Any,
) -> RieszPlaneResult:
    """Solve ``d A u + r u = f``, and for comparison on half and a quarter of the spans."""
    alpha = check_order(orders[0])
    if orders[1] != orders[0]:
        raise ValueError(
            "alpha must be one order for definition 'spectral', a power of the Laplacian of the rectangle, "
            f"got {orders[0]} and {orders[1]}"
        )
    if diffusion[0] != diffusion[1]:
        raise ValueError(
            f"diffusion must be the same in both directions for definition 'spectral', got {diffusion}"
        )
    n: Any = tuple(checks.integer("n", m, low=LEAST_SPANS) for m in spans)
    where = (f, reaction)

    def level(part: int, watched: Limits | None) -> tuple[TensorSine, Any, Monitor, tuple[Array, Array]]:
        points: Any = tuple(grid(max(m // part, 2), side) for m, side in zip(n, sides, strict=True))
        mesh = tuple(np.meshgrid(*points, indexing="ij"))
        F = sample("f", f, mesh)
        r = np.zeros(F.shape) if reaction is None else sample("reaction", reaction, mesh)
        start = np.zeros(F.shape) if x0 is None or part > 1 else x0
        it = _iterate(F, r, diffusion[0], alpha, sides, rtol, start, watched)
        return TensorSine(it.x.form().reshape(F.shape), sides), r, it, points

    if x0 is not None:
        x0 = checks.array("x0", x0, dtype=np.float64, shape=(n[0] - 1, n[1] - 1))
    solution, r, it, points = level(1, limits)
    estimate = float("nan")
    if not any(map(is_values, where)) and it.status is not None and it.status.success:
        x, y = (a + (b - a) * FEW_WITNESSES for a, b in sides)
        coarser = (level(part, None)[0].table(x, y) for part in (2, 4))
        estimate = from_levels(solution.table(x, y), *coarser)
    result = it.result(
        RieszPlaneResult,
        points=points,
        sol=solution,
        method="spectral",
        reason=REASON,
        error_estimate=estimate,
        interval=sides,
    )
    if result.success and estimate > TOLERABLE:
        detail = f"The error is estimated at {estimate:.1g}: f is not smooth, or n is too small."
        result = replace(result, status=Status.STAGNATED, detail=detail)
        deliver(result)
    return doubted(result, r if np.ptp(r) else None)


def _iterate(
    F: Array,
    r: Array,
    d: float,
    alpha: float,
    sides: Sides,
    rtol: float,
    start: Array,
    limits: Limits | None,
) -> Monitor:
    """GMRES for the coefficients, direct for a constant reaction; its x are the coefficients."""
    squares = [sine_eigenvalues(m, 2.0, side) for m, side in zip(F.shape, sides, strict=True)]
    symbol = d * np.add.outer(*squares) ** (alpha / 2)  # (1)
    scale = (F.shape[0] + 1) * (F.shape[1] + 1)
    least, largest, mean = float(np.min(r)), float(np.max(r)), float(np.mean(r))
    shifts = (mean,) if least == largest else turns(least, largest, mean, float(symbol[0, 0]))
    with np.errstate(divide="ignore"):
        inverses = [1 / (symbol + shift) for shift in shifts]
    count = 0

    def product(x: Array) -> Array:
        X = x.reshape(F.shape)
        if least == largest:
            return np.asarray(dstn((symbol + mean) * X, type=1) / 4).ravel()
        return np.asarray((dstn(symbol * X, type=1) + r * dstn(X, type=1)) / 4).ravel()

    def precondition(v: Array) -> Array:
        nonlocal count
        count += 1
        inverse = inverses[count % len(inverses)]
        with np.errstate(invalid="ignore"):
            return np.asarray(dstn(v.reshape(F.shape), type=1) / scale * inverse).ravel()

    # From coefficients to values the sines have the norm sqrt(scale) / 2.
    norm = (float(symbol[-1, -1]) + max(abs(least), abs(largest))) * scale**0.5 / 2
    settings: Any = {"keep": "reference", "patience": PATIENCE}
    with Monitor(
        limits,
        rtol=rtol,
        reference=arrays.norm(np, F),
        maxiter=MAXITER,
        label="GMRES",
        present=lambda iterate: iterate.form().reshape(F.shape),
        **settings,
    ) as it:
        fgmres(np, product, F.ravel(), precondition, it, x0=start.ravel(), norm=norm)
    return it
