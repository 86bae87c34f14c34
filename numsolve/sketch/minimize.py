"""Minimisation under equality constraints by Newton's method with an exact augmented Lagrangian.

I. Hong, S. Na, M. W. Mahoney, M. Kolar, "Constrained optimization via exact augmented Lagrangian and
randomized iterative sketching", ICML 2023. Differences, each for fewer evaluations or more problems solved;
the method as published is `numsolve.sketch.adasketch_newton`:

- the first multipliers are those of least squares;
- the Newton system is solved by a factorisation, or to a relative residual; its accuracy, the constants Psi
  and Upsilon of the paper, is replaced by the test of descent, which tightens it where it fails;
- the Hessian is shifted by as little as the inertia asks for, and the constraints' block where the Jacobian
  has not full rank;
- a step that the line search cuts to less than a twentieth is computed again with a larger shift;
- the Hessian in the gradient of the merit function is that of the Lagrangian.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from numsolve._core import checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from ._constraints import PEERS
from ._newton import Newton, Rules
from ._problem import Problem
from .result import SketchResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, ArrayLike, Callback, RandomState

    from ._point import Point

#: Steps beyond a residual within the tolerance whose Newton step does not fall.
RUNNING_ON = 20

FOREIGN = {
    "bounds": f"sketch.minimize has no bounds; {PEERS}",
    "method": "sketch.minimize is one method, and sketch.adasketch_newton the published one",
    "options": "each option is an argument: maxiter, eta1, eta2, ...",
    "gtol": "tol",
    "ftol": "tol",
    "xtol": "tol",
}


@answers(**FOREIGN)
def minimize(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: tuple[Any, ...] = (),
    *,
    jac: Callable[..., Any] | Literal["2-point", "3-point", "jax", True] | None = None,
    hess: Callable[..., Any] | Literal["2-point", "3-point", "jax"] | None = None,
    hessp: Callable[..., Any] | None = None,
    constraints: Any = (),
    lam0: ArrayLike | None = None,
    inner: str | Callable[..., Any] = "auto",
    tol: float = 1e-8,
    eta1: float = 1.0,
    eta2: float = 0.01,
    beta: float = 1e-4,
    nu: float = 1.5,
    kappa: float = 0.1,
    preconditioner: Callable[[Array], Callable[[Array], Array]] | None = None,
    sketch_size: int | None = None,
    rng: RandomState = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> SketchResult:
    """Minimise a smooth function under equality constraints c(x) = 0.

    Parameters
    ----------
    fun : callable
        The objective ``fun(x, *args)``. If JAX can trace it, no derivatives are needed.
    x0 : array of shape (n,)
        Where to start.
    args : tuple
        Further arguments of `fun`, `jac`, `hess` and `hessp`.
    jac : callable, True, "2-point", "3-point" or "jax", optional
        The gradient; True if `fun` returns both; central differences, by either of SciPy's words; JAX by
        default, where it can trace `fun`.
    hess : callable, "2-point", "3-point" or "jax", optional
        The Hessian, an array, a sparse matrix or a LinearOperator; JAX by default. No quasi-Newton updates.
    hessp : callable, optional
        ``hessp(x, p, *args)``, the Hessian times p, in place of `hess`: nothing of size n x n is then stored.
    constraints : object
        `scipy.optimize.LinearConstraint` or `NonlinearConstraint` with ``lb == ub``, a dictionary of type
        ``"eq"``, a function c, a tuple ``(c, jac)`` or ``(c, jac, hess)`` with ``hess(x, v)`` the Hessian of
        v'c, or a list of these. Jacobians may be sparse or operators. At most n equations.
    lam0 : array of shape (m,), optional
        First multipliers; those of least squares by default.
    inner : str or callable
        What solves the Newton systems: ``"ldl"`` (dense, with the inertia), ``"splu"`` (sparse), ``"minres"``
        (products alone), ``"kaczmarz"``, ``"gaussian"``, ``"block"``, ``"sparse-sign"`` (sketch-and-project),
        or ``inner(A, b, rtol, z0) -> (z, info)``. ``"auto"`` looks at the Hessian and the Jacobian.
    tol : float
        Converged when the KKT residual ``||(grad f + G' lam, c)||`` is at most `tol`, in the units of `fun`
        and the constraints.
    eta1, eta2 : float
        First penalties of the exact augmented Lagrangian ``f + lam'c + eta1/2 ||c||^2 + eta2/2 ||grad
        L||^2``.
    beta, nu, kappa : float
        Armijo's fraction, the factor of the penalties, and the relative residual of inexact Newton systems.
    preconditioner : callable, optional
        For ``"minres"``: ``preconditioner(x)`` returns a function that applies an approximate inverse of the
        Hessian, symmetric positive definite.
    sketch_size : int, optional
        Equations of a step, for ``"block"`` and ``"sparse-sign"``.
    rng : None, int or Generator
        Where random numbers come from.
    maxiter : int, optional
        Most iterations, 500 by default.
    callback : callable, optional
        ``callback(xk)`` or ``callback(intermediate_result)`` after each iteration; True stops the run.
    progress : bool
        Show a progress bar.
    time_limit : float, optional
        Seconds.

    Returns
    -------
    SketchResult
        With `x`, `fun`, `lam`, `residual`, `scaled_residual`, `constr_violation`, `optimality` and counters.

    Raises
    ------
    ValueError
        If there are bounds or inequalities, if derivatives are missing, if a shape is wrong, or if something
        is not finite at `x0`.

    Warns
    -----
    ConvergenceWarning
        If `tol` was not reached. The status is ``INFEASIBLE`` where the violation of the constraints is least
        and not zero, ``UNBOUNDED`` where the objective fell without end.

    See Also
    --------
    numsolve.sketch.adasketch_newton : The method as published.

    References
    ----------
    I. Hong, S. Na, M. W. Mahoney, M. Kolar, "Constrained optimization via exact augmented Lagrangian and
    randomized iterative sketching", ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import sketch
    >>> result = sketch.minimize(
    ...     lambda x: x[0] + x[1],
    ...     np.array([-1.0, -0.5]),
    ...     jac=lambda x: np.ones(2),
    ...     hess=lambda x: np.zeros((2, 2)),
    ...     constraints=(
    ...         lambda x: x @ x - 2,
    ...         lambda x: 2 * x,
    ...         lambda x, v: 2 * v[0] * np.eye(2),
    ...     ),
    ... )
    >>> print(result.x, result.lam, result.success)
    [-1. -1.] [0.5] True
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    tol = checks.real("tol", tol, low=0.0)
    rules = Rules(
        checks.real("eta1", eta1, low=0.0, open_low=True),
        checks.real("eta2", eta2, low=0.0, open_low=True),
        checks.real("beta", beta, low=0.0, high=0.5, open_low=True, open_high=True),
        checks.real("nu", nu, low=1.0, open_low=True),
        checks.real("kappa", kappa, low=0.0, high=1.0, open_low=True, open_high=True),
    )
    checks.function("preconditioner", preconditioner, optional=True)
    size = None if sketch_size is None else checks.integer("sketch_size", sketch_size, low=1)
    generator = checks.generator(rng)
    problem = Problem(fun, x0, args, jac, hess, hessp, constraints)
    lam = None if lam0 is None else checks.array("lam0", lam0, shape=(problem.m,), dtype=np.float64)
    newton = Newton(problem, lam, rules, tol, inner, preconditioner, generator, size)
    with Monitor(
        limits, atol=tol, maxiter=500, label="Newton", keep="reference", present=_x,
        columns=("fun", "constr_violation"), divergence=float("inf"),
    ) as it:  # fmt: skip
        newton.inner.late = lambda: it.time_is_up
        confirmed = newton.point.K <= tol and newton.confirmed()
        saddle = confirmed and newton.at_saddle
        record(it, newton.point, converged=confirmed and not saddle)
        beyond = 0
        for _ in it:
            end = newton.escape() if saddle else newton.advance()
            p = newton.point
            confirmed = p.K <= tol and newton.confirmed()
            saddle = confirmed and newton.at_saddle
            record(it, p, converged=confirmed and not saddle)
            beyond += p.K <= tol and not confirmed
            if it.running and end is not None:
                it.stop(*end)
            elif it.running and beyond > RUNNING_ON:
                it.stop(Status.STAGNATED, "The residual vanishes, but the steps do not: x runs to infinity.")
    # What is infeasible is shown where the violation is least, not where the residual was.
    p = newton.point if it.status in {Status.INFEASIBLE, Status.ROUNDING} else it.x
    return deliver_point(it, p, problem, newton.name, newton.inner.steps, newton.eta1, newton.eta2)


def deliver_point(
    it: Monitor, p: Point, problem: Problem, inner: str, ninner: int, eta1: float, eta2: float
) -> SketchResult:
    """The result at a point."""
    p = p.in_user_units()
    return it.result(
        SketchResult,
        x=p.x.copy(),
        residual=p.K,
        fun=p.f,
        lam=p.lam.copy(),
        scaled_residual=p.scaled_residual(),
        optimality=float(np.max(np.abs(p.gL), initial=0.0)),
        constr_violation=float(np.max(np.abs(p.c), initial=0.0)),
        nfev=problem.nfev,
        njev=problem.njev,
        nhev=problem.nhev,
        ninner=ninner,
        inner=inner,
        eta1=eta1,
        eta2=eta2,
    )


def record(it: Monitor, p: Point, *, converged: bool) -> None:
    """Take note of an iterate."""
    violation = float(np.max(np.abs(p.c * p.units.c), initial=0.0))
    it.record(p.K, p, converged=converged, fun=p.f * p.units.f, constr_violation=violation)


def _x(point: Any) -> Any:
    return point.x.copy()
