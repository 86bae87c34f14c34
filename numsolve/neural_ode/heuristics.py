"""Where an adaptive solve is expensive, for right-hand sides in NumPy, CuPy or any other array library.

The loop of `odesolve`, written plainly: the same steps, errors (E) and stiffness (S), without JAX and without
gradients. It is the independent check of the compiled loop, and shows what a solve of existing code spends.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from . import _control as control
from ._settings import make_settings
from ._tableaus import TABLEAUS
from .result import ODEResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, Callback, Namespace

    from ._settings import Settings
    from ._tableaus import Tableau

__all__ = ["heuristics"]


@answers(
    first_step="h0",
    t_eval="a solve keeps the states at the starts of its steps: states, at the times t",
    events="there are none here: scipy.integrate.solve_ivp has them",
)
def heuristics(
    fun: Callable[[float, Any], Any],
    t_span: tuple[float, float],
    y0: Any,
    *,
    method: Literal["tsit5", "dopri5", "bosh3"] = "tsit5",
    rtol: float = 1e-6,
    atol: float = 1e-8,
    controller: Literal["i", "pi", "pid", "fixed"] | tuple[float, float, float] = "i",
    h0: float | None = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> ODEResult:
    """Solve an ordinary differential equation and report error, stiffness and length of each step.

    Parameters
    ----------
    fun : callable
        The right-hand side, ``fun(t, y)``, as of `scipy.integrate.solve_ivp`, for `y` of the shape of `y0`.
    t_span : tuple of float
        Start and end; time may run backwards.
    y0 : array
        The start, of any array library.
    method : {"tsit5", "dopri5", "bosh3"}
        The Runge-Kutta pair.
    rtol, atol, controller, h0
        As in `odesolve`.
    maxiter : int, optional
        Most attempts, 10000 by default.
    callback, progress, time_limit
        As in every solver; the callback gets the state after each attempt.

    Returns
    -------
    ODEResult
        The fields of `odesolve`, as arrays of NumPy that are as long as the solve had steps; `x` is an array
        of the caller's library, nan if the solve did not reach its end.

    Raises
    ------
    ValueError
        If an argument is out of range, or `fun` returns another shape.
    TypeError
        If `y0`, or what `fun` returns, is complex.

    Warns
    -----
    ConvergenceWarning
        If the end was not reached.

    Notes
    -----
    Over a jump of `fun` errors may be larger than the tolerances, as the notes of `odesolve` say.

    Examples
    --------
    The oscillator of van der Pol is stiff where it is slow:

    >>> import numpy as np
    >>> from numsolve.neural_ode import heuristics
    >>> def fun(t, y):
    ...     return np.array([y[1], 20 * (1 - y[0] ** 2) * y[1] - y[0]])
    >>> sol = heuristics(fun, (0.0, 10.0), np.array([2.0, 0.0]))
    >>> bool((sol.h * sol.stiffness / sol.stability_size).max() > 0.5)
    True
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    checks.function("fun", fun)
    tableau = TABLEAUS[checks.choice("method", method, TABLEAUS)]
    settings = make_settings(
        method, rtol, atol, controller, order=tableau.order, growth=control.GROWTH, adjoint="forward"
    )
    try:
        t0, t1 = (checks.real(f"t_span[{k}]", t) for k, t in enumerate(t_span))
    except (TypeError, ValueError) as error:
        raise ValueError(f"t_span must be a pair of finite numbers, got {t_span!r}") from error
    if not control.is_span(t0, t1):
        raise ValueError(f"t_span must have two different ends, got ({t0:g}, {t1:g})")
    xp = arrays.array_namespace(y0=y0)
    y = checks.array("y0", y0, xp=xp, empty=False)
    if settings.controller.fixed and h0 is None:
        raise ValueError('controller="fixed" needs h0, the step')
    if h0 is not None:
        h0 = checks.real("h0", h0)
        if h0 * (t1 - t0) <= 0:
            raise ValueError(f"h0 must point from t0 to t1, got {h0:g}")
    sign = 1.0 if t1 > t0 else -1.0

    def f(s: float, y: Any) -> Any:
        value = fun(t0 + sign * s, xp.positive(y))  # copies: a function may reuse and change its arrays
        try:
            given = xp.asarray(value)
            xp.positive(given)
        except (TypeError, ValueError) as error:
            raise TypeError(f"fun must return an array of numbers, it returns {value!r}") from error
        if "complex" in str(given.dtype):
            raise TypeError(f"fun must return real numbers, it returns {given.dtype}")
        slope = xp.positive(xp.asarray(given, dtype=y.dtype))
        if tuple(slope.shape) != tuple(y.shape):
            raise ValueError(
                f"fun must return shape {tuple(y.shape)}, that of y0; it returns {tuple(slope.shape)}"
            )
        return slope if sign > 0 else -slope

    return _solve(xp, f, y, h0, (t0, t1, sign), tableau, settings, limits)


def _solve(
    xp: Namespace,
    f: Callable[[float, Array], Array],
    y: Array,
    h0: float | None,
    ends: tuple[float, float, float],
    tableau: Tableau,
    settings: Settings,
    limits: Limits,
) -> ODEResult:
    """The loop of `_loop.run` in plain words, in the time since the start."""
    t0, t1, sign = ends
    controller, t, end, span = settings.controller, 0.0, abs(t1 - t0), abs(t1 - t0)
    rows: list[tuple[float, float, float, float]] = []
    states: list[Array] = []
    rejected: list[tuple[float, float]] = []
    errors, bad = (controller.before, controller.before), 0
    with Monitor(limits, maxiter=10_000, divergence=math.inf, keep="reference", label="heuristics") as it:
        k = f(t, y)
        h, nfev = (
            (abs(h0), 1) if h0 is not None else (_first_step(xp, f, t, y, k, span, tableau, settings), 2)
        )
        it.record(1.0, y, converged=False)
        for _ in it:
            last = t + control.STRETCH * h >= end
            h = end - t if last else h
            y1, k1, error, stiffness = _step(xp, f, t, h, y, k, tableau, settings)
            nfev += tableau.stages - 1
            good = math.isfinite(error)
            if good and (error <= 1.0 or controller.fixed):
                rows.append((t0 + sign * t, sign * h, error, stiffness))
                states.append(y)
                t, y, k, bad = end if last else t + h, y1, k1, 0
                h = h if controller.fixed else h / float(controller.divisor(np, error, *errors))
                errors = (max(error, control.LEAST_ERROR), errors[0])
            else:
                rejected.append((t0 + sign * t, sign * h))
                bad = 0 if good else bad + 1
                h = h / float(controller.divisor_after_rejection(np, np.float64(error)))
                if bad >= (1 if controller.fixed else control.PATIENCE):
                    it.stop(Status.NONFINITE)
                elif t + h <= t:
                    it.stop(Status.BREAKDOWN if good else Status.NONFINITE)
            it.record((end - t) / span, y, converged=t >= end)
    done = it.status is Status.CONVERGED
    columns = np.array(rows, dtype=float).reshape(-1, 4).T
    tries = np.array(rejected, dtype=float).reshape(-1, 2).T
    return it.result(
        ODEResult,
        x=y if done else xp.full_like(y, math.nan),
        residual=float(columns[2].max(initial=0.0)),
        t=columns[0],
        h=columns[1],
        error_estimate=columns[2],
        stiffness=columns[3],
        states=states,
        rejected_t=tries[0],
        rejected_h=tries[1],
        naccepted=len(rows),
        nrejected=len(rejected),
        nfev=nfev,
        settings=settings,
    )


def _step(
    xp: Namespace,
    f: Callable[[float, Array], Array],
    t: float,
    h: float,
    y: Array,
    k: Array,
    tableau: Tableau,
    settings: Settings,
) -> tuple[Array, Array, float, float]:
    """The new state, its slope, the scaled error (nan if anything is not finite) and the stiffness."""
    ks, g, before = [k], y, y
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for row, c in zip(tableau.a[1:], tableau.c[1:], strict=True):
            before, g = g, y + h * _combine(row, ks)
            ks.append(f(t + c * h, g))
        scale = settings.atol + settings.rtol * xp.maximum(xp.abs(y), xp.abs(g))
        error = _rms(xp, _over(xp, h * _combine(tableau.d, ks), scale))
        if not bool(xp.all(xp.isfinite(g))):
            error = math.nan
        stiffness = math.nan
        if tableau.senses_stiffness:
            moved = _rms(xp, g - before)
            stiffness = _rms(xp, ks[-1] - ks[-2]) / moved if moved else 0.0
    return g, ks[-1], error, stiffness


def _first_step(
    xp: Namespace,
    f: Callable[[float, Array], Array],
    t: float,
    y: Array,
    k: Array,
    span: float,
    tableau: Tableau,
    settings: Settings,
) -> float:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        scale = settings.atol + settings.rtol * xp.abs(y)
        d0, d1 = _rms(xp, _over(xp, y, scale)), _rms(xp, _over(xp, k, scale))
        trial = float(control.first_step(np, np.float64(d0), np.float64(d1)))
        d2 = _rms(xp, _over(xp, f(t + trial, y + trial * k) - k, scale)) / trial
        h = float(control.second_guess(np, np.float64(trial), d1, np.float64(d2), tableau.order))
    return min(h, span) if math.isfinite(h) and h > 0 else 1e-3 * span


def _combine(row: tuple[float, ...], ks: list[Any]) -> Any:
    total = None
    for a, k in zip(row, ks, strict=False):
        if a != 0.0:
            total = a * k if total is None else total + a * k
    return total


def _over(xp: Namespace, x: Array, scale: Array) -> Array:
    """``x / scale``, where zero over zero is zero."""
    part: Array = x / xp.where((x == 0) & (scale == 0), xp.ones_like(scale), scale)
    return part


def _rms(xp: Namespace, x: Array) -> float:
    """The root of the mean square; no square of a tiny or huge number is taken."""
    size = float(xp.max(xp.abs(x)))
    if size == 0.0 or not math.isfinite(size):
        return size
    part = x / size
    return size * math.sqrt(float(xp.mean(part * part)))
