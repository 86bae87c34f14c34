"""Boundary value problems in Jacobi modes, and the choice between them and splines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core.result import Status, deliver

from ._data import is_values
from ._settings import TimeIsOverError
from ._splines import unsolved
from .bspline import LEAST_ALPHA
from .result import RieszResult
from .spectral import TOLERABLE, jacobi_series, solve_by_collocation, solve_by_division

if TYPE_CHECKING:
    from numsolve._core.limits import Limits

    from ._data import Data
    from ._modes import Modes
    from .spectral import Tables


def obstacle_of(data: Data, definition: str) -> str:
    """Why Jacobi modes cannot be used, or an empty string."""
    if any(map(is_values, (data.f, data.reaction, data.diffusion, data.advection))):
        return "the data are values at the collocation points, not functions"
    return "" if definition == "rl" else "Jacobi modes are for the definition 'rl'"


def check_drift(alpha: float, obstacle: str, method: str = "auto") -> None:
    """Refuse an advection where there are no Jacobi modes that hold it."""
    if alpha <= LEAST_ALPHA:
        raise ValueError(f"alpha must be above 1 with an advection, got {alpha}")
    if method not in {"auto", "spectral"}:
        raise ValueError(f"advection needs method 'auto' or 'spectral', got {method!r}")
    if obstacle:
        raise ValueError(f"advection needs Jacobi modes, which do not apply: {obstacle}")


def by_modes(
    data: Data, modes: Modes, most: int, reason: str, limits: Limits, kept: Tables | None = None
) -> RieszResult:
    """The solution in Jacobi modes; without a reason, it says what is to be said for and against it.

    The factorisations that a reaction needs are put into `kept`, or taken from there.
    """
    f, reaction = data.divided()
    drift = data.drift()
    try:
        if reaction is not None or drift is not None:
            rough = data.rough
            result = solve_by_collocation(f, reaction, modes, most, reason, limits, kept, drift, rough=rough)
            words = f"{len(result.x)} Jacobi modes have an estimated error of {result.error_estimate:.1g}"
        else:
            series = jacobi_series(f, modes, most, limits)
            rough = not series.resolved and data.rough
            result = solve_by_division(f, modes, series, reason, limits, rough=rough)
            count = len(series.coefficients)
            held = f"{count} Jacobi {'modes hold' if count > 1 else 'mode holds'} f to rounding errors"
            what = "f" if data.diffusion is None else "f / diffusion"
            left = f"{what} is not smooth: {len(result.x)} Jacobi modes leave {series.tail:.1g} of it"
            words = f"the data are smooth: {held}" if series.resolved else left
    except TimeIsOverError:
        points = np.array([sum(modes.interval) / 2])
        nothing = np.zeros(1)
        return unsolved(
            RieszResult,
            nothing,
            f(points),
            points,
            modes.solution(nothing),
            "spectral",
            reason,
            modes.interval,
        )
    missed = data.unseen(np.asarray(result.points), result.sol)
    if missed > result.error_estimate:
        detail = "The data have layers, waves or singularities between the points"
        detail = f"{detail}: their sums are {missed:.1g} of those of the data."
        settings: Any = {} if missed <= TOLERABLE else {"status": Status.STAGNATED, "detail": detail}
        result = replace(result, error_estimate=missed, **settings)
        words = f"{words}; sums of what is between their points are {missed:.1g} of those of the data"
    return result if reason else replace(result, reason=words)


def better(modes: RieszResult, splines: RieszResult) -> RieszResult:
    """The solution with the smaller estimated error."""
    comparable = splines.success or splines.status in {Status.STAGNATED, Status.BREAKDOWN}
    if not comparable:
        return splines  # a limit of the user's was met
    errors = f"the estimated errors are {modes.error_estimate:.1g} for them, {splines.error_estimate:.1g} for"
    reason = f"{modes.reason}; {errors} splines"
    if not splines.error_estimate < modes.error_estimate:
        return delivered(replace(modes, reason=reason))
    if splines.success and splines.error_estimate > TOLERABLE:
        error = f"The error is estimated at {splines.error_estimate:.1g}"
        detail = f"{error}: n is too small, or the equation is nearly singular."
        return delivered(replace(splines, reason=reason, status=Status.STAGNATED, detail=detail))
    return replace(splines, reason=reason)


def delivered(result: RieszResult) -> RieszResult:
    """Warn if the solve failed; one whose time was over has done so."""
    if result.status is not Status.TIME_LIMIT:
        deliver(result)
    return result
