r"""Fractional diffusion in time: ``du/dt = -kappa R u - v u' + g(t, x, u)``, u = 0 outside an interval.

Where nothing depends on time and kappa is a number, the solution in Jacobi modes is known for all times,
without steps (`_decay`). A source that depends on u is followed in modes by exponential steps
(`_exponential`). For everything else there are splines in space and steps in time (`_steps`).
"""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np

from numsolve._core import checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.result import Status, deliver

from ._choice import check_drift
from ._data import Data, is_number, is_values
from ._exact import Exact, Start, stepped
from ._exponential import Force, JacobiFlow, SineFlow
from ._modes import Modes
from ._settings import DEFINITIONS, FOREIGN
from ._sine_bvp import REASON, check_sines
from ._stability import instability
from ._steps import March
from .bspline import LEAST_ALPHA, check_alpha, check_degree, check_order
from .bvp import MOST_MODES, check_preconditioner
from .operator import RieszSplineOperator, check_interval, check_weights
from .result import FractionalDiffusionResult
from .spectral import TOLERABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from numsolve._core.typing import ArrayLike, Callback

    from ._data import Values
    from ._settings import Definition, Preconditioner

    Array = NDArray[np.float64]

METHODS = ("auto", "spectral", "spline", "dense")
Method: TypeAlias = Literal["auto", "spectral", "spline", "dense"]
#: Unknowns up to which a dense factorisation beats GMRES in every step.
DENSE_UNKNOWNS = 500
#: Steps, if neither their width nor their number is given.
STEPS = 200
#: Steps at most, and so many if each of them is saved.
MOST_STEPS, MOST_SAVED = 10**8, 10**5
#: Modes whose estimated error is at most this are taken without a look at splines.
GOOD = 1e-6


@answers(**FOREIGN, h="dt", tau="dt", D="kappa")
def solve_fractional_diffusion(
    u0: Values,
    alpha: float,
    t_span: tuple[float, float],
    *,
    kappa: Values = 1.0,
    source: Callable[[float, Array], ArrayLike] | Callable[[float, Array, Array], ArrayLike] | None = None,
    advection: Values | None = None,
    dt: float | None = None,
    theta: float | None = None,
    t_eval: ArrayLike | None = None,
    interval: tuple[float, float] = (0.0, 1.0),
    n: int = 256,
    p: int = 5,
    weights: tuple[float, float] = (0.5, 0.5),
    definition: Definition = "rl",
    method: Method = "auto",
    preconditioner: Preconditioner = "auto",
    rtol: float = 1e-10,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> FractionalDiffusionResult:
    r"""Follow ``du/dt = -kappa R u - advection * u' + source`` in time, with u = 0 outside an interval.

    R is a positive operator, by default ``(-Delta)^(alpha/2)``: then u is the density of a Lévy flight that
    ends where it leaves the interval. For ``alpha = 2`` this is the heat equation.

    Parameters
    ----------
    u0 : callable, float or array of shape (K,)
        The state at the start: a function of an array of points, a constant, or values at
        `RieszSplineOperator.greville`. To go on from an earlier result, ``result.sol[-1]``.
    alpha : float
        Order, ``0 < alpha <= 2``; above 1 for splines, and not 1 for unequal weights.
    t_span : tuple of float
        Start and end.
    kappa : float, callable or array of shape (K,)
        Diffusivity, positive; a function of points.
    source : callable, optional
        ``source(t, x)`` for a time and an array of points; or, for a reaction, ``source(t, x, u)`` with the
        values of u there.
    advection : callable or float, optional
        Velocity, a function of points or a number: for ``alpha > 1``, by Jacobi modes.
    dt : float, optional
        Step, made a little smaller to fit the span; a 200th of the span by default. The modes take no steps,
        it only sets which times are saved.
    theta : float, optional
        1/2 is the trapezoidal rule, of order two; 1 the implicit Euler rule, of order one, which damps what
        rough initial data leave of oscillations. By default, the trapezoidal rule whose first two steps are
        four half-steps of the implicit Euler rule: of order two, and the oscillations are damped.
    t_eval : array, optional
        Times wanted, in the span; between steps the solution is interpolated linearly. By default, all, but
        at most 1e5.
    interval : tuple of float
        The ends a < b.
    n : int
        Spans of the splines, at least ``2 p``, or Jacobi modes at most; "auto" takes up to 256 of them.
    p : int
        Degree of the splines, at least 2.
    weights : tuple of float
        Weights of the derivatives from the left and from the right.
    definition : {"rl", "caputo", "spectral"}
        Riemann and Liouville's derivatives or Caputo's; or, by sines, the power of ``-d^2/dx^2`` of
        `solve_riesz_bvp`.
    method : {"auto", "spectral", "spline", "dense"}
        "spectral" are Jacobi modes: for a start given as a function, a number `kappa` and the definition
        "rl". They need no steps without a source, and take exponential steps of order four with one. Splines
        with steps solved by GMRES, or by a dense factorisation, are for everything else. "auto" takes the
        modes for a source of u and with an advection, else where no steps are needed, unless their estimated
        error is above 1e-6 and that of splines is smaller; of the others, it takes "dense" for at most 500
        unknowns.
    preconditioner : {"auto", "tau", "circulant", None}
        For GMRES.
    rtol : float
        Tolerance of GMRES in each step, relative to the right-hand side of the increment.
    maxiter, callback, progress, time_limit : int, callable, bool, float
        As in `solve_riesz_bvp`, for the steps in time: by default as many as the span needs. An
        ``intermediate_result`` also has ``t``.

    Returns
    -------
    FractionalDiffusionResult
        ``result(x)`` has one row for each time in `t`; `sol` is a tuple of functions, the first of them
        `u0` itself if the modes were taken and the start is wanted; `coefficients` their coefficients; `x`
        those at the end; `nit` the number of steps and `ninner` that of GMRES iterations. If the run was
        stopped, the times reached. `error_estimate` compares with fewer modes, or spans and steps.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or range; the message says which and what is wanted.
    TypeError
        If an argument is complex or no number.

    Warns
    -----
    ConvergenceWarning
        If a step failed, or a limit was met; the result holds the times before it.

    See Also
    --------
    numsolve.fractional.solve_riesz_bvp : The equation without time.
    numsolve.fractional.survival_probability : For u0 = 1.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.fractional import solve_fractional_diffusion
    >>> r = solve_fractional_diffusion(lambda x: np.sin(np.pi * x)**4, 1.5, (0, 0.1), t_eval=[0, 0.05, 0.1])
    >>> r(0.5).round(6)
    array([1.      , 0.595823, 0.428799])

    Growth that is limited, as in the equation of Fisher, Kolmogorov, Petrovsky and Piskunov:

    >>> grown = solve_fractional_diffusion(
    ...     0.1, 1.5, (0, 8), source=lambda t, x, u: u * (1 - u), interval=(-10, 10), t_eval=[8], dt=0.1)
    >>> float(grown(0.0)[0].round(3))
    0.979
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    checks.choice("method", method, METHODS)
    checks.choice("definition", definition, DEFINITIONS)
    p, weights, interval = check_degree(p), check_weights(weights), check_interval(interval)
    any_order = method in {"auto", "spectral"} or definition == "spectral"
    alpha = check_order(alpha, weights) if any_order else check_alpha(alpha)
    n = checks.integer("n", n, low=1)
    start, end = check_span(t_span)
    damped = theta is None
    theta = 0.5 if theta is None else checks.real("theta", theta, low=0.5, high=1.0)
    rtol = checks.real("rtol", rtol, low=0.0)
    preconditioner = check_preconditioner(preconditioner)
    check_source(source)
    steps = _count_steps(start, end, dt, all_saved=t_eval is None)
    wanted = np.linspace(start, end, steps + 1) if t_eval is None else check_times(t_eval, start, end)

    of_u = depends_on_u(source)
    if definition == "spectral":
        return _by_sines(
            u0,
            kappa,
            source,
            advection,
            (start, end),
            wanted,
            (end - start) / steps,
            limits,
            alpha=alpha,
            interval=interval,
            n=n,
            factor=check_sines(n, weights, method),
            of_u=of_u,
        )
    obstacle = _obstacle(u0, kappa, definition)
    modes, reason = Modes(alpha, weights, interval), "it was asked for"
    drift = Data(0.0, None, None, interval, advection).drift()
    if drift is not None:
        check_drift(alpha, obstacle or _no_values("advection", advection), method)
    if of_u and (obstacle or method in {"spline", "dense"}):
        why = obstacle or f"method is {method!r}"
        raise ValueError(f"a source of u needs Jacobi or sine modes, which do not apply: {why}")
    by_modes = method == "spectral" or drift is not None or of_u
    if source is not None and not by_modes:
        obstacle = obstacle or "there is a source"
    candidate = None
    if method == "spectral" and obstacle:
        raise ValueError(f"method 'spectral' does not apply: {obstacle}")
    if by_modes or (method == "auto" and not obstacle):
        most = n if method == "spectral" else min(n, MOST_MODES)
        if source is not None:
            rate = checks.real("kappa", kappa, low=0.0, open_low=True)
            return stepped(
                lambda part: JacobiFlow(modes, max(most // part, 1), rate, drift),
                Start(u0, interval),
                Force(source, of_u=of_u),
                (start, end),
                wanted,
                (end - start) / steps,
                limits,
                reason if method == "spectral" else "the source or an advection needs modes",
            )
        candidate = Exact(modes, u0, kappa, (start, end), wanted, most, limits, drift)
        good = candidate.estimate <= GOOD or by_modes
        no_splines = alpha <= LEAST_ALPHA or instability(n, p, alpha, weights, definition)
        if good or limits.expired or no_splines:
            return candidate.result(limits, reason if method == "spectral" else candidate.praise)
    if alpha <= LEAST_ALPHA:
        raise ValueError(
            f"alpha must be above 1 for splines, got {alpha}, and modes do not apply: {obstacle}"
        )
    if steps > MOST_STEPS:
        raise ValueError(f"dt must leave at most {MOST_STEPS} steps, got {dt:g} for the span {end - start:g}")
    A = RieszSplineOperator(n, p, alpha, interval=interval, definition=definition, weights=weights)
    if method == "auto":
        method = "dense" if A.shape[0] <= DENSE_UNKNOWNS else "spline"
        reason = f"{obstacle}; {A.shape[0]} unknowns are {'few' if method == 'dense' else 'many'}"
    of_time = cast("Callable[[float, Array], ArrayLike] | None", source)  # a source of u has gone its way
    march = March(
        A, u0, kappa, of_time, start, end, steps, theta, damped, wanted, method, preconditioner, rtol
    )
    errors = 0.0
    if candidate is not None:  # a run that nobody watches tells which is better
        errors = march.error_estimate(march.run(limits.part())[3])
        reason = f"{candidate.praise}, splines one of {errors:.1g}"
        if not errors < candidate.estimate:
            return candidate.result(limits, reason)
    it, last, times, states, ninner = march.run(limits)
    result = it.result(
        FractionalDiffusionResult,
        x=last,
        points=A.greville,
        sol=tuple(A.spline(row) for row in states),
        method=method,
        reason=reason,
        error_estimate=lambda: march.error_estimate(states),
        t=np.array(times),
        coefficients=np.array(states).reshape(-1, A.shape[0]),
        ninner=ninner,
        interval=A.interval,
    )
    if result.success and errors > TOLERABLE:  # chosen by its estimate, which says that it is none
        detail = f"The error is estimated at {errors:.1g}: the start is rough, or n too small."
        result = replace(result, status=Status.STAGNATED, detail=detail)
        deliver(result)
    return result


def _by_sines(
    u0: Any,
    kappa: Any,
    source: Any,
    advection: Any,
    span: tuple[float, float],
    wanted: Array,
    dt: float,
    limits: Limits,
    *,
    alpha: float,
    interval: tuple[float, float],
    n: int,
    factor: float,
    of_u: bool,
) -> FractionalDiffusionResult:
    """The solution for the spectral definition."""
    if advection is not None:
        raise ValueError("advection needs Jacobi modes: definition 'spectral' has none")
    obstacle = _obstacle(u0, kappa, "rl")
    if obstacle:
        raise ValueError(f"definition 'spectral' needs a function as a start and a number kappa: {obstacle}")
    rate = factor * checks.real("kappa", kappa, low=0.0, open_low=True)
    force = None if source is None else Force(source, of_u=of_u)
    return stepped(
        lambda part: SineFlow(alpha, interval, n // part, rate),
        Start(u0, interval),
        force,
        span,
        wanted,
        dt,
        limits,
        REASON,
    )


def _no_values(name: str, value: Any) -> str:
    """Why values at points are no function."""
    return f"{name} is given as values, not as a function" if is_values(value) else ""


def depends_on_u(source: Any) -> bool:
    """Whether a source takes the values of u, as its third argument."""
    try:
        parameters = list(inspect.signature(source).parameters.values()) if source is not None else []
    except (TypeError, ValueError):  # some built-in functions have no signature
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is p.empty for p in parameters) >= 3


def _obstacle(u0: Any, kappa: Any, definition: str) -> str:
    """Why the modes cannot be used, or an empty string."""
    if is_values(u0):
        return "the start is given as values at the collocation points"
    if not is_number(kappa):
        return "kappa is not a number"
    return "" if definition == "rl" else "Jacobi modes are for the definition 'rl'"


def _count_steps(start: float, end: float, dt: Any, *, all_saved: bool) -> int:
    """The number of steps, if so many can be saved."""
    if dt is None:
        return STEPS
    dt = checks.real("dt", dt, low=0.0, open_low=True)
    steps = max(math.ceil((end - start) / float(dt) * (1 - 1e-12)), 1)
    if all_saved and steps > MOST_SAVED:
        raise ValueError(
            f"dt must leave at most {MOST_SAVED} steps without t_eval, which are all saved, got {dt:g} for "
            f"the span {end - start:g}"
        )
    return steps


def check_source(source: Any) -> None:
    """Refuse what is no function of t and x in this order, as far as its names tell."""
    checks.function("source", source, optional=True)
    try:
        names = list(inspect.signature(source).parameters)[:2] if source is not None else []
    except (TypeError, ValueError):  # some built-in functions have no signature
        return
    if names == ["x", "t"]:
        raise TypeError("source is called as source(t, x), in the order of scipy.integrate; got source(x, t)")


def check_span(t_span: Any) -> tuple[float, float]:
    """Return start and end, in order."""
    ends = checks.array("t_span", t_span, dtype=np.float64, shape=(2,))
    start, end = float(ends[0]), float(ends[1])
    if not start < end:
        raise ValueError(f"t_span must be increasing, got ({start:g}, {end:g})")
    if not math.isfinite(end - start):
        raise ValueError(f"t_span must not be longer than the largest number, got ({start:g}, {end:g})")
    return start, end


def check_times(t_eval: Any, start: float, end: float) -> Array:
    """Return the times wanted, if they are in the span and do not decrease."""
    times = np.asarray(checks.array("t_eval", t_eval, dtype=np.float64, ndim=1, empty=False))
    if np.any(np.diff(times) < 0) or times[0] < start or times[-1] > end:
        raise ValueError(f"t_eval must ascend from {start:g} to {end:g}, got {times[0]:g} to {times[-1]:g}")
    return times
