r"""The derivative of the upper objective at the lower solution: implicit, unrolled, or by a penalty.

    implicit:   H q = dF/dx,   grad phi = dF/dtheta - C'q                                     (1)
    unrolled:   x_{k+1} = x_k - s df/dx(x_k), k < K, differentiated backwards:                (2)
                lam_K = dF/dx(x_K),  grad += -s C(x_k)' lam_{k+1},  lam_k = lam_{k+1} - s H(x_k) lam_{k+1}

The bounds are those of the quasi-Newton method; see `numsolve.bilevel.minimize_bilevel`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from ._adjoint import IDLE, Adjoint, Hyper, compared
from ._lower import measure, solve_lower
from ._oracle import Halt, Oracle
from ._penalty import combined, first_weight
from ._run import Seen, watched
from ._truth import check_curvature, check_derivatives
from .minimize import FIRST_ORDER, IMPLICIT, linear_solver, refuse
from .problem import BilevelProblem
from .result import HypergradientResult

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import TypeAlias

    from numsolve._core.typing import Array, ArrayLike, Callback

    #: Yields what is known after each round, and whether that is enough (None: let the tolerance say).
    Rounds: TypeAlias = Generator[tuple[Hyper, bool | None], None, None]

#: Rounds of tightening, and the factor of one.
ROUNDS, TIGHTER = 100, 0.1
#: How well the penalty's two problems are solved, over sigma.
INNER = 1e-8
#: The curvature of sigma F over that of f.
SHARE = 1e-3


@answers()
def hypergradient(
    problem: BilevelProblem,
    theta: ArrayLike,
    x0: ArrayLike,
    *,
    method: Literal["implicit", "unrolled", "penalty"] = "implicit",
    tol: float = 1e-8,
    eps: float | None = None,
    delta: float | None = None,
    solve: Literal["auto", "cg", "dense", "gmres"] | Callable[..., Any] = "auto",
    q0: ArrayLike | None = None,
    n_steps: int = 100,
    sigma: float | None = None,
    order: Literal[1, 2] = 2,
    check: bool = True,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> HypergradientResult:
    """Differentiate ``F(x*(theta), theta)``.

    Parameters
    ----------
    problem : BilevelProblem
        The two objectives and their derivatives.
    theta : array
        Where.
    x0 : array
        A guess of the lower solution.
    method : {"implicit", "unrolled", "penalty"}
        Solve an adjoint system; differentiate `n_steps` gradient steps, as automatic differentiation would
        (this stores all steps and needs many of them); or take the difference quotient of the penalty
        methods, which needs no Hessian products and takes constraints on x. The last two are baselines, the
        last without a bound.
    tol : float
        The tolerances of both solves are tightened until the error of the hypergradient is at most `tol`:
        its bound, or its estimate where the problem has no mu.
    eps, delta : float, optional
        Tolerances of your own, in place of `tol`: of the distance to the lower solution (of the lower
        gradient where the problem has no mu), and of ``||H q - dF/dx||``. One alone counts for both.
    solve : {"auto", "cg", "dense", "gmres"} or callable
        As in `minimize_bilevel`.
    q0 : array, optional
        A guess of q, such as the last one.
    n_steps : int
        Gradient steps of "unrolled", of length 1/L.
    sigma : float, optional
        Of "penalty": the weight of the upper objective; by default it has a thousandth of the lower
        objective's curvature.
    order : {1, 2}
        Of the bias in sigma.
    check : bool
        Compare the problem's derivatives with differences, and look for directions in which the lower
        objective is flat if the problem has no mu.
    maxiter, callback, progress, time_limit
        Most rounds of tightening (100 by default); called after each with the hypergradient; a progress bar;
        seconds.

    Returns
    -------
    HypergradientResult

    Raises
    ------
    ValueError
        If an oracle is missing, contradicts differences, or returns a wrong shape.
    TypeError
        If an argument is of the wrong kind.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached, as where rounding does not allow it, or the lower problem is not
        strongly convex (BREAKDOWN).

    References
    ----------
    F. Pedregosa, "Hyperparameter optimization with approximate gradient", ICML 2016.
    J. Kwon, D. Kwon, S. Wright, R. Nowak, "On penalty methods for nonconvex bilevel optimization and
    first-order stochastic approximation", ICLR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import bilevel
    >>> problem = bilevel.problems.quadratic(20, 3, rng=0)
    >>> result = bilevel.hypergradient(problem, np.ones(3), np.zeros(20))
    >>> error = np.linalg.norm(result.grad - problem.exact_hypergradient(np.ones(3)))
    >>> bool(error <= result.error_bound <= 1e-8)
    True
    """
    limits = watched(maxiter, time_limit, callback, progress, first="grad")
    if not isinstance(problem, BilevelProblem):
        raise TypeError(f"problem must be a BilevelProblem, got {type(problem).__name__}")
    checks.choice("method", method, ("implicit", "unrolled", "penalty"))
    needed = FIRST_ORDER if method == "penalty" else IMPLICIT
    problem.require("this hypergradient", *needed)
    refuse(problem, method)
    tol = checks.real("tol", tol, low=0.0)
    eps = None if eps is None else checks.real("eps", eps, low=0.0, open_low=True)
    delta = None if delta is None else checks.real("delta", delta, low=0.0, open_low=True)
    n_steps = checks.integer("n_steps", n_steps, low=1)
    sigma = None if sigma is None else checks.real("sigma", sigma, low=0.0, open_low=True)
    bias = checks.integer("order", order, low=1, high=2)
    linear = linear_solver(solve)
    oracle = Oracle(problem, theta, x0, limits, called="theta")
    q = oracle.xp.zeros_like(oracle.x0)
    if q0 is not None:
        q = checks.array("q0", q0, xp=oracle.xp, dtype=oracle.dtype, shape=oracle.x_shape)
        q = oracle.xp.reshape(q, (-1,))
    # The adjoint of the unrolled steps is not to be replaced by another: it is only measured.
    adjoint = Adjoint(oracle, "cg" if method == "unrolled" else linear)
    if method == "penalty":
        rounds = _penalized(oracle, sigma, bias)
    elif method == "unrolled":
        rounds = _unrolled(adjoint, n_steps)
    else:
        own = None if eps is None and delta is None else (eps if eps is not None else delta, delta)
        rounds = _implicit(adjoint, q, own, tol)
    if checks.flag("check", check):
        rounds = _checked(oracle, rounds, needed)
    oracle.watched = True
    with Monitor(
        limits, atol=tol, maxiter=ROUNDS, label="hypergradient", keep="reference", divergence=math.inf,
        columns=("cost", "error_bound"), present=lambda here: _seen(oracle, here),
    ) as it:  # fmt: skip
        try:
            _next(it, rounds, oracle)
        except KeyboardInterrupt:  # what is known comes back
            it.record(math.inf, None)
            raise
        if len(it.history) == 0:
            it.record(math.inf, None)
        for _ in it:
            _next(it, rounds, oracle)
    return _result(oracle, it)


def _next(it: Monitor, rounds: Rounds, oracle: Oracle) -> None:
    """Do one round and record it."""
    try:
        pair = next(rounds, None)
    except Halt as halt:
        it.stop(halt.status, halt.detail)
        return
    if pair is None:
        it.stop(Status.STAGNATED, "These settings, or rounding, do not allow a smaller error.")
        return
    here, done = pair
    it.record(_error(here), here, converged=done, cost=oracle.cost, error_bound=here.bound)


def _checked(oracle: Oracle, rounds: Rounds, needed: tuple[str, ...]) -> Rounds:
    """Look at the problem first."""
    named = ("upper_grad", "lower_grad", *needed) if oracle.problem.smooth else ("upper_grad",)
    check_derivatives(oracle, oracle.theta0, oracle.x0, *named)
    if "lower_hvp" in needed and oracle.problem.constants["mu"] is None and oracle.problem.smooth:
        check_curvature(oracle, oracle.theta0, oracle.x0)
    yield from rounds


def _error(here: Hyper) -> float:
    return here.bound if math.isfinite(here.bound) else here.estimate


def _implicit(adjoint: Adjoint, q: Array, own: tuple[Any, Any] | None, tol: float) -> Rounds:
    """(1), to the tolerances given, or with tolerances that fall from round to round."""
    oracle = adjoint.oracle
    theta = oracle.theta0
    lower = measure(oracle, theta, oracle.x0)
    if own is not None:
        eps, delta = own[0], own[0] if own[1] is None else own[1]
        mu = oracle.constant("mu", theta)
        lower = solve_lower(oracle, theta, lower, eps * (mu or 1.0))
        here = adjoint.at(theta, lower, q, delta)
        yield here, lower.norm <= eps * (mu or 1.0) and here.delta <= delta
        return
    before: Hyper | None = None
    tolerance, delta, relative, idle = 0.1 * lower.norm, 0.0, 0.1, 0
    for _ in iter(int, 1):  # the driver ends the run
        lower = solve_lower(oracle, theta, lower, tolerance)
        here = adjoint.at(theta, lower, q, delta, relative)
        if before is not None:
            here, still = compared(here, before, oracle.rounding)
            idle = idle + still if still else 0
            if here.estimate <= tol:
                here = adjoint.sure(here)
        # A loose first solve has not met the least curvature: its estimate is not enough.
        yield here, None if before is not None or math.isfinite(here.bound) else False
        if idle >= IDLE:
            return
        before, q, relative = here, here.q, 0.0
        tolerance, delta = TIGHTER * lower.norm, TIGHTER * here.delta


def _unrolled(adjoint: Adjoint, n_steps: int) -> Rounds:
    """(2); its error is that of the adjoint that the backward steps add up to, and of the steps' own C."""
    oracle = adjoint.oracle
    theta, xp = oracle.theta0, oracle.xp
    L = oracle.constant("L", theta)
    if L is None:
        check_curvature(oracle, theta, oracle.x0)  # meets the largest curvature on the way
        L = 1.1 * oracle.steepest
    points = [oracle.x0]
    for _ in range(n_steps):
        points.append(points[-1] - oracle.grad(points[-1], theta) / L)
    lam, in_theta = oracle.upper_grad(points[-1], theta)
    d, q, drift = in_theta, xp.zeros_like(lam), 0.0
    for x in reversed(points[:-1]):
        d = d - oracle.cross(x, theta, lam) / L
        drift += arrays.norm(xp, lam) / L * arrays.norm(xp, x - points[-1])
        q = q + lam / L
        lam = lam - oracle.hvp(x, theta, lam) / L
    here = adjoint.at(theta, measure(oracle, theta, points[-1]), q, math.inf)
    wrong = adjoint.L_C * drift
    yield replace(here, d=d, q=q, bound=here.bound + wrong, estimate=here.estimate + wrong), None


def _penalized(oracle: Oracle, sigma: float | None, order: int) -> Rounds:
    """The gradient of the penalty function (3 there), whose error is estimated by its bias."""
    theta = oracle.theta0
    start = oracle.project(oracle.x0, 1.0)
    sigma = sigma or first_weight(oracle, theta, start, SHARE)
    here = combined(oracle, order, theta, (start, start, start), sigma, INNER)
    bias = here.bias if here.linear else math.inf
    z = measure(oracle, theta, here.points[2])
    zero = oracle.xp.zeros_like(z.x)
    fun = oracle.upper(z.x, theta)
    yield (
        Hyper(theta, z, zero, here.d, fun, zero, math.nan, math.inf, bias, bias, math.inf, math.inf,
              math.nan, False, False),
        None,
    )  # fmt: skip


def _seen(oracle: Oracle, here: Hyper | None) -> Seen:
    if here is None:
        return Seen(np.full(oracle.theta_shape, math.nan), oracle.to_x(oracle.x0))
    return Seen(here.d.reshape(oracle.theta_shape), oracle.to_x(here.lower.x))


def _result(oracle: Oracle, it: Monitor) -> HypergradientResult:
    here: Hyper | None = it.x
    counts = {"nfev": oracle.nfev, "nhvp": oracle.nhvp, "cost": oracle.cost}
    seen = _seen(oracle, here)
    common: dict[str, Any] = {"x": seen.x, "grad": seen.theta, **counts}
    if here is None:
        nothing = oracle.to_x(oracle.xp.zeros_like(oracle.x0))
        return it.result(HypergradientResult, q=nothing, **common)
    return it.result(
        HypergradientResult,
        q=oracle.to_x(here.q),
        fun=here.fun,
        fun_error=here.fun_bound,
        error_bound=here.bound,
        error_estimate=here.estimate,
        certified=here.certified,
        lower_residual=here.lower.norm,
        adjoint_residual=here.delta,
        **common,
    )
