r"""Fractional diffusion in time: ``du/dt = -kappa(x) R u + g(x, t)``, u = 0 outside an interval.

Splines in space, the theta scheme in time, written for the increment ``d = c(t + dt) - c(t)``:

    (M + theta dt kappa A) d = dt (g_theta - kappa A c),     g_theta = theta g(t + dt) + (1 - theta) g(t).

The matrix is the same in every step: it is factorised, or its preconditioner made, once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import lu_factor, lu_solve
from scipy.sparse.linalg import splu

from numsolve._core import checks
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from ._data import check_positive, sample
from ._gmres import PATIENCE, Iterate, fgmres, norm2
from ._system import PRECONDITIONERS, make_system
from .operator import RieszSplineOperator
from .result import RieszResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

METHODS = ("auto", "spline", "dense")
#: Unknowns up to which a dense factorisation beats GMRES in every step.
DENSE_UNKNOWNS = 500
#: Steps, if neither their width nor their number is given.
STEPS = 200
MAXITER = 100


def solve_fractional_diffusion(
    u0: Any,
    alpha: float,
    t_span: tuple[float, float],
    *,
    kappa: Any = 1.0,
    source: Callable[..., Any] | None = None,
    dt: float | None = None,
    theta: float = 0.5,
    t_eval: Any = None,
    interval: tuple[float, float] = (0.0, 1.0),
    n: int = 256,
    p: int = 5,
    weights: tuple[float, float] = (0.5, 0.5),
    definition: str = "rl",
    method: str = "auto",
    preconditioner: str | None = "auto",
    rtol: float = 1e-10,
    callback: Callable[..., Any] | None = None,
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
    callback : callable, optional
        Called after each step with the coefficients, or with an ``intermediate_result``, which also has
        ``t``; returning True stops the run.
    progress : bool
        Show a progress bar.
    time_limit : float, optional
        Seconds.

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
    checks.choice("preconditioner", preconditioner or "none", PRECONDITIONERS)
    xi = A.greville
    state = sample("u0", u0, xi)
    kappa = sample("kappa", kappa, xi)
    check_positive("kappa", kappa, xi)

    reason = "it was asked for"
    if method == "auto":
        method = "dense" if A.shape[0] <= DENSE_UNKNOWNS else "spline"
        reason = f"{A.shape[0]} unknowns are {'few' if method == 'dense' else 'many'}"
    M = A.mass()
    solver: _Dense | _Krylov = (
        _Dense(A, M, theta * dt * kappa)
        if method == "dense"
        else _Krylov(A, theta * dt * kappa, preconditioner, rtol)
    )
    product = A.structure.matvec

    def right_hand_side(t: float) -> Any:
        return 0.0 if source is None else sample("source", lambda x: source(x, t), xi)

    times: list[float] = []
    states: list[Array] = []
    c, t, g = splu(M.tocsc()).solve(state), start, right_hand_side(start)
    with Monitor(
        maxiter=steps,
        callback=callback,
        progress=progress,
        time_limit=time_limit,
        label="time steps",
        keep="reference",
        columns=("t",),
        divergence=math.inf,  # residuals of different steps are not comparable
    ) as it:
        _keep(times, states, t_eval, t, c, t, c)
        it.record(0.0, c, converged=steps == 0, t=t)
        for step in it:
            ahead = start + step * dt
            g_ahead = right_hand_side(ahead)
            d, residual, status = solver.solve(dt * (theta * g_ahead + (1 - theta) * g - kappa * product(c)))
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
        ninner=solver.ninner,
        interval=A.interval,
    )


class _Dense:
    """The matrix of a step, factorised."""

    ninner = 0

    def __init__(self, A: RieszSplineOperator, M: Any, factor: Array) -> None:
        self.matrix = M.toarray() + factor[:, None] * A.todense()
        self.lu = lu_factor(self.matrix)

    def solve(self, b: Array) -> tuple[Array, float, Status]:
        """The increment, its residual, and whether it is one."""
        d = lu_solve(self.lu, b, check_finite=False)
        return d, norm2(np, b - self.matrix @ d), Status.CONVERGED


class _Krylov:
    """The matrix of a step, preconditioned."""

    def __init__(
        self, A: RieszSplineOperator, factor: Array, preconditioner: str | None, rtol: float
    ) -> None:
        self.system = make_system(A, 1 / factor, preconditioner)
        self.scale = self.system.scale / factor
        self.rtol = rtol
        self.ninner = 0

    def solve(self, b: Array) -> tuple[Array, float, Status]:
        """The increment, its residual, and whether it is one."""
        b = self.scale * b
        settings: dict[str, Any] = {"keep": "reference", "present": Iterate.form, "patience": PATIENCE}
        with Monitor(rtol=self.rtol, reference=norm2(np, b), maxiter=MAXITER, **settings) as it:
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
