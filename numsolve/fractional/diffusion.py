r"""Fractional diffusion in time: ``du/dt = -kappa(x) R u + g(x, t)``, u = 0 outside an interval.

Splines in space, the theta scheme in time, written for the increment ``d = c(t + dt) - c(t)``:

    (M + theta dt kappa A) d = dt (g_theta - kappa A c),                      (1)
    g_theta = theta g(t + dt) + (1 - theta) g(t).                             (2)

The matrix is the same in every step: it is factorised, or its preconditioner made, once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from scipy.linalg import lu_factor, lu_solve, solve_banded

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from ._data import check_positive, sample
from ._gmres import PATIENCE, Iterate, fgmres
from ._settings import FOREIGN, TimeIsOverError, keep_time
from ._system import make_system
from .bvp import check_preconditioner
from .operator import RieszSplineOperator
from .result import RieszResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from numsolve._core.typing import ArrayLike, Callback

    from ._data import Values
    from ._settings import Definition, Preconditioner

    Array = NDArray[np.float64]

METHODS = ("auto", "spline", "dense")
Method: TypeAlias = Literal["auto", "spline", "dense"]
#: Unknowns up to which a dense factorisation beats GMRES in every step.
DENSE_UNKNOWNS = 500
#: Steps, if neither their width nor their number is given.
STEPS = 200
MAXITER = 100


@answers(**FOREIGN, h="dt", tau="dt", D="kappa")
def solve_fractional_diffusion(
    u0: Values,
    alpha: float,
    t_span: tuple[float, float],
    *,
    kappa: Values = 1.0,
    source: Callable[[Array, float], ArrayLike] | None = None,
    dt: float | None = None,
    theta: float = 0.5,
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
) -> RieszResult:
    r"""Follow ``du/dt = -kappa R u + source`` in time, with u = 0 outside an interval.

    R is a positive operator, by default ``(-Delta)^(alpha/2)``: then u is the density of a Lévy flight that
    ends where it leaves the interval. For ``alpha = 2`` this is the heat equation.

    Parameters
    ----------
    u0 : callable or array of shape (K,)
        The state at the start: a function of an array of points, or values at
        `RieszSplineOperator.greville`. To go on from an earlier result, ``result.sol[-1]``.
    alpha : float
        Order, ``1 < alpha <= 2``.
    t_span : tuple of float
        Start and end.
    kappa : float, callable or array of shape (K,)
        Diffusivity, positive; a function of points.
    source : callable, optional
        ``source(x, t)`` for an array of points and a time.
    dt : float, optional
        Step, made a little smaller to fit the span; a 200th of the span by default.
    theta : float
        1/2 is the trapezoidal rule, of order two; 1 the implicit Euler rule, of order one, which damps what
        rough initial data leave of oscillations.
    t_eval : array, optional
        Times wanted, in the span; between steps the solution is interpolated linearly. By default, all.
    interval : tuple of float
        The ends a < b.
    n : int
        Spans of the splines, at least ``2 p``.
    p : int
        Degree of the splines, at least 2.
    weights : tuple of float
        Weights of the derivatives from the left and from the right.
    definition : {"rl", "caputo"}
        Riemann and Liouville's derivatives or Caputo's.
    method : {"auto", "spline", "dense"}
        How each step is solved: by GMRES, or by a dense factorisation. "auto" is "dense" for at most 500
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
    RieszResult
        ``result(x)`` has one row for each time in `t`; `sol` is a tuple of splines, `coefficients` their
        coefficients, `nit` the number of steps and `ninner` that of GMRES iterations. If the run was
        stopped, the times reached.

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

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.fractional import solve_fractional_diffusion
    >>> r = solve_fractional_diffusion(lambda x: np.sin(np.pi * x)**4, 1.5, (0, 0.1), t_eval=[0, 0.05, 0.1])
    >>> r(0.5).round(6)
    array([1.      , 0.59582 , 0.428793])
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    A = RieszSplineOperator(n, p, alpha, interval=interval, definition=definition, weights=weights)
    start, end = check_span(t_span)
    theta = checks.real("theta", theta, low=0.5, high=1.0)
    rtol = checks.real("rtol", rtol, low=0.0)
    dt = (end - start) / STEPS if dt is None else checks.real("dt", dt, low=0.0, open_low=True)
    steps = math.ceil((end - start) / dt * (1 - 1e-12))
    dt = (end - start) / steps
    t_eval = np.linspace(start, end, steps + 1) if t_eval is None else check_times(t_eval, start, end)
    checks.function("source", source, optional=True)
    checks.choice("method", method, METHODS)
    preconditioner = check_preconditioner(preconditioner)
    xi = A.greville
    state = sample("u0", u0, xi)
    diffusivity: Array = sample("kappa", kappa, xi)
    check_positive("kappa", diffusivity, xi)

    reason = "it was asked for"
    if method == "auto":
        method = "dense" if A.shape[0] <= DENSE_UNKNOWNS else "spline"
        reason = f"{A.shape[0]} unknowns are {'few' if method == 'dense' else 'many'}"
    M = A.mass()

    def right_hand_side(t: float) -> Any:
        return 0.0 if source is None else sample("source", lambda x: source(x, t), xi)

    times: list[float] = []
    states: list[Array] = []
    c, t, g = _interpolate(M, state), start, right_hand_side(start)
    ninner = 0
    with Monitor(
        limits,
        maxiter=steps,
        label="time steps",
        keep="reference",
        columns=("t",),
        divergence=math.inf,  # residuals of different steps are not comparable
    ) as it:
        _keep(times, states, t_eval, t, c, t, c)
        it.record(0.0, c, converged=steps == 0, t=t)
        solver = _solver(A, M, theta * dt * diffusivity, method, preconditioner, rtol, limits)
        if solver is None:
            it.stop(Status.TIME_LIMIT, "The matrix of a step was not set up in time.")
        for step in it:
            assert solver is not None
            ahead = start + step * dt
            g_ahead = right_hand_side(ahead)
            g_theta = theta * g_ahead + (1 - theta) * g  # (2)
            b = dt * (g_theta - diffusivity * A.structure.matvec(c))
            d, residual, status = solver.solve(b)  # (1)
            ninner = solver.ninner
            if not status.success and np.isfinite(residual):
                it.stop(status, f"The step to t = {ahead:.6g} failed.")
                break
            before, c, t, g = c, c + d, ahead, g_ahead
            _keep(times, states, t_eval, t - dt, before, t, c)
            it.record(residual, c, converged=step == steps, t=t)
    return it.result(
        RieszResult,
        x=c,
        points=xi,
        sol=tuple(A.spline(row) for row in states),
        method=method,
        reason=reason,
        t=np.array(times),
        coefficients=np.array(states),
        ninner=ninner,
        interval=A.interval,
    )


def _interpolate(M: Any, values: Array) -> Array:
    """Solve with the banded matrix of values."""
    rows, columns = M.tocoo().coords
    below = rows - columns
    above, depth = -int(below.min()), int(below.max())
    bands = np.zeros((above + depth + 1, values.size))
    bands[above + below, columns] = M.data
    return np.asarray(solve_banded((depth, above), bands, values, overwrite_ab=True, check_finite=False))


def _solver(
    A: RieszSplineOperator,
    M: Any,
    factor: Array,
    method: str,
    preconditioner: Preconditioner,
    rtol: float,
    limits: Limits,
) -> _Dense | _Krylov | None:
    """What solves the system of a step; None if the time is over before it is there."""
    try:
        A.assemble(limits)
        if method == "dense":
            return _Dense(A, M, factor, limits)
        return _Krylov(A, factor, preconditioner, rtol, limits)
    except TimeIsOverError:
        return None


class _Dense:
    """The matrix of a step, factorised."""

    ninner = 0

    def __init__(self, A: RieszSplineOperator, M: Any, factor: Array, limits: Limits) -> None:
        keep_time(limits)
        self.matrix = M.toarray() + factor[:, None] * A.todense()
        self.lu = lu_factor(self.matrix)

    def solve(self, b: Array) -> tuple[Array, float, Status]:
        """The increment, its residual, and whether it is one."""
        d = lu_solve(self.lu, b, check_finite=False)
        return d, arrays.norm(np, b - self.matrix @ d), Status.CONVERGED


class _Krylov:
    """The matrix of a step, preconditioned."""

    def __init__(
        self,
        A: RieszSplineOperator,
        factor: Array,
        preconditioner: Preconditioner,
        rtol: float,
        limits: Limits,
    ) -> None:
        self.system = make_system(A, 1 / factor, preconditioner, limits=limits)
        self.limits = limits.part(MAXITER)
        self.scale = self.system.scale / factor
        self.rtol = rtol
        self.ninner = 0

    def solve(self, b: Array) -> tuple[Array, float, Status]:
        """The increment, its residual, and whether it is one."""
        b = self.scale * b
        settings: dict[str, Any] = {"keep": "reference", "present": Iterate.form, "patience": PATIENCE}
        reference = arrays.norm(np, b)
        with Monitor(self.limits, rtol=self.rtol, reference=reference, maxiter=MAXITER, **settings) as it:
            system = self.system
            fgmres(np, system.matvec, b, system.precondition, it, x0=np.zeros_like(b), norm=system.norm)
        self.ninner += it.nit
        assert it.status is not None
        return it.x.form(), it.residual, it.status


def _keep(
    times: list[float], states: list[Array], wanted: Array, t0: float, c0: Array, t1: float, c1: Array
) -> None:
    """Take note of the wanted times up to t1, by linear interpolation."""
    while len(times) < wanted.size and wanted[len(times)] <= t1 + 1e-12 * (abs(t1) + abs(t0)):
        t = float(wanted[len(times)])
        s = min((t - t0) / (t1 - t0), 1.0) if t1 > t0 else 1.0
        times.append(t)
        states.append(c1.copy() if s == 1.0 else (1 - s) * c0 + s * c1)


def check_span(t_span: Any) -> tuple[float, float]:
    """Return start and end, in order."""
    ends = checks.array("t_span", t_span, dtype=np.float64, shape=(2,))
    start, end = float(ends[0]), float(ends[1])
    if not start < end:
        raise ValueError(f"t_span must be increasing, got ({start:g}, {end:g})")
    return start, end


def check_times(t_eval: Any, start: float, end: float) -> Array:
    """Return the times wanted, if they are in the span and do not decrease."""
    times = np.asarray(checks.array("t_eval", t_eval, dtype=np.float64, ndim=1, empty=False))
    if np.any(np.diff(times) < 0) or times[0] < start or times[-1] > end:
        raise ValueError(f"t_eval must ascend from {start:g} to {end:g}, got {times[0]:g} to {times[-1]:g}")
    return times
