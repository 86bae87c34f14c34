"""The solver of bilevel problems, `minimize_bilevel`, which hands them to one of the methods."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, get_args

from numsolve._core import checks
from numsolve._core.foreign import answers

from ._lvhba import lvhba
from ._lvhba_single import lvhba_single
from ._maid import hoag, maid, soba
from ._oracle import Oracle
from ._penalty import penalty, single_loop
from ._qn import quasi_newton
from ._run import Settings, drive, watched
from ._truth import check_curvature, check_derivatives
from .problem import BilevelProblem

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, ArrayLike, Callback, RandomState

    from ._run import Points
    from .result import BilevelResult

Method = Literal["qn", "maid", "hoag", "penalty", "penalty-single", "lvhba", "lvhba-single", "soba"]

#: What each method asks of the problem besides the gradients.
IMPLICIT = ("lower_hvp", "lower_cross_vjp")
FIRST_ORDER = ("lower_grad_theta",)
NEEDS = {
    "qn": IMPLICIT,
    "maid": IMPLICIT,
    "hoag": IMPLICIT,
    "soba": IMPLICIT,
    "penalty": FIRST_ORDER,
    "penalty-single": FIRST_ORDER,
    "lvhba": ("lower_grad_theta", "lower_hvp"),
    "lvhba-single": FIRST_ORDER,
}


@answers(rtol="tol", atol="tol", options="settings are keywords here")
def minimize_bilevel(
    problem: BilevelProblem,
    theta0: ArrayLike,
    x0: ArrayLike,
    *,
    method: Method = "qn",
    tol: float = 1e-6,
    max_cost: int | None = None,
    theta_bounds: tuple[Any, Any] | None = None,
    solve: Literal["auto", "cg", "dense", "gmres"] | Callable[..., Any] = "auto",
    eps: float | None = None,
    delta: float | None = None,
    step: float | None = None,
    sigma: float | None = None,
    order: Literal[1, 2] = 2,
    schedule: Literal["geometric", "quadratic", "cubic"] = "geometric",
    batch_size: int = 64,
    check: bool = True,
    rng: RandomState = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> BilevelResult:
    """Minimise ``F(x*(theta), theta)`` over theta, where ``x*(theta)`` minimises ``f(x, theta)``.

    Parameters
    ----------
    problem : BilevelProblem
        The two objectives and their derivatives.
    theta0 : array
        The start of the upper variable, of any shape.
    x0 : array
        A guess of the lower solution, of any shape and of any array library.
    method : {"qn", "maid", "hoag", "penalty", "penalty-single", "lvhba", "lvhba-single", "soba"}
        "qn" is a certified quasi-Newton method, and needs no setting. "maid" is the adaptively inexact
        gradient method of Salehi, Mukherjee, Roberts and Ehrhardt. "penalty" needs no Hessian products, nor
        does "penalty-single", which never solves the lower problem; "lvhba" takes constraints that couple x
        and theta. "lvhba-single" is the latter's published iteration, which does not know when it is there;
        "hoag" and "soba" are baselines.
    tol : float
        Largest norm of the projected hypergradient, its error estimate included: for "maid" its published
        bound, for "lvhba" the estimated error of (theta, x) alone. The single loops and "penalty" are judged
        by accurate solves on all samples before they may end.
    max_cost : int, optional
        Most lower gradients and Hessian products together.
    theta_bounds : tuple, optional
        ``(low, high)``, in place of the problem's: numbers or arrays of theta's shape. Not beside the
        problem's `theta_project`.
    solve : {"auto", "cg", "dense", "gmres"} or callable
        Solves ``H q = dF/dx``: "auto" is "cg", or a factorisation where the problem has `lower_hess`. A
        callable is called as ``solve(matvec, b, init=, tol=)``, as those of `numsolve.implicit` are.
    eps, delta : float, optional
        The first tolerances of the lower gradient (for "maid": of the distance to the lower solution) and of
        the adjoint system; the methods adapt them.
    step : float, optional
        The length of the first step for "qn" and the penalty methods (the root of theta's size by default; a
        tenth of it for "penalty-single"); the factor of the hypergradient for "maid" (0.01) and "hoag"; the
        first rho for "soba" (1/L); that of x and theta for "lvhba-single". "lvhba" has none.
    sigma : float, optional
        The first weight of the upper objective in the penalty methods and in "lvhba-single", where it falls
        as k^-0.49 and starts from 0.1; in the former from what makes a tenth of the lower curvature.
    order : {1, 2}
        Of the bias of "penalty" in sigma: 2 is Richardson's combination.
    schedule : {"geometric", "quadratic", "cubic"}
        How the tolerances of "hoag" fall.
    batch_size : int
        Samples that "soba" and "penalty-single" draw where the problem has samples.
    check : bool
        Compare the problem's derivatives with differences at the start. This costs about six gradients, and
        without mu up to twenty products, which look for directions without curvature.
    rng : None, int or Generator
        For the methods that draw samples.
    maxiter, callback, progress, time_limit
        Most iterations (1000 by default); called after each with theta, or with an ``intermediate_result``
        that has `theta` and `x`, and true ends the run; a progress bar; seconds.

    Returns
    -------
    BilevelResult
        With the least upper objective that was met, or the point that met the tolerance.

    Raises
    ------
    ValueError
        If an oracle that the method needs is missing or contradicts differences, `theta0` lies outside of its
        bounds, or a setting is out of range.
    TypeError
        If an argument is of the wrong kind, such as a sparse or integer `theta0`.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached. A lower problem that is not strongly convex, or whose constants are
        wrong, ends the run with BREAKDOWN; a lower problem or an adjoint system that is not solved, with
        STAGNATED.

    See Also
    --------
    numsolve.bilevel.hypergradient : The derivative alone, for an optimiser of your own.
    numsolve.bilevel.bsvrb : Many lower problems, sampled.

    References
    ----------
    "maid": M. Salehi, S. Mukherjee, L. Roberts, M. Ehrhardt, "An adaptively inexact first-order method for
    bilevel optimization with application to hyperparameter learning", arXiv 2308.10098.
    "hoag": F. Pedregosa, "Hyperparameter optimization with approximate gradient", ICML 2016.
    "soba": M. Dagréou, P. Ablin, S. Vaiter, T. Moreau, "A framework for bilevel optimization that enables
    stochastic and global variance reduction algorithms", NeurIPS 2022.
    "penalty": J. Kwon, D. Kwon, S. Wright, R. Nowak, "On penalty methods for nonconvex bilevel optimization
    and first-order stochastic approximation", ICLR 2024.
    "lvhba": W. Yao, C. Yu, S. Zeng, J. Zhang, "Constrained bi-level optimization: proximal Lagrangian value
    function approach and Hessian-free algorithm", ICLR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import bilevel
    >>> problem = bilevel.problems.quadratic(20, 3, rng=0)
    >>> result = bilevel.minimize_bilevel(problem, np.zeros(3), np.zeros(20), tol=1e-8)
    >>> bool(result.success), bool(result.residual <= 1e-8), result.certified
    (True, True, True)
    """
    limits = watched(maxiter, time_limit, callback, progress)
    if not isinstance(problem, BilevelProblem):
        raise TypeError(f"problem must be a BilevelProblem, got {type(problem).__name__}")
    checks.choice("method", method, get_args(Method))
    problem.require(f"method {method!r}", *NEEDS[method])
    refuse(problem, method)
    budget = None if max_cost is None else checks.integer("max_cost", max_cost, low=1)
    oracle = Oracle(
        problem, theta0, x0, limits, max_cost=budget, theta_bounds=theta_bounds,
        batch_size=checks.integer("batch_size", batch_size, low=1), rng=rng,
    )  # fmt: skip
    settings = Settings(
        tol=checks.real("tol", tol, low=0.0),
        low=oracle.low,
        high=oracle.high,
        eps=_positive("eps", eps),
        delta=_positive("delta", delta),
        step=None if step is None else _positive("step", step),
        solve=linear_solver(solve),
        onto=_onto(oracle),
        sigma=None if sigma is None else _positive("sigma", sigma),
        order=checks.integer("order", order, low=1, high=2),
        schedule=checks.choice("schedule", schedule, ("geometric", "quadratic", "cubic")),
    )
    points = METHODS[method](oracle, settings)
    if checks.flag("check", check):
        points = _checked(oracle, points, NEEDS[method])
    return drive(oracle, points, settings, limits, method)


def _checked(oracle: Oracle, points: Points, needed: tuple[str, ...]) -> Points:
    """Look at the problem first."""
    named = ("upper_grad", "lower_grad", *needed) if oracle.problem.smooth else ("upper_grad",)
    check_derivatives(oracle, oracle.theta0, oracle.x0, *named)
    if needed == IMPLICIT and oracle.problem.constants["mu"] is None and oracle.problem.smooth:
        check_curvature(oracle, oracle.theta0, oracle.x0)
    yield from points


def refuse(problem: BilevelProblem, method: str) -> None:
    """Refuse constraints that a method would not see."""
    fits = {
        "lower_project": ("penalty", "penalty-single"),
        "theta_project": ("penalty", "penalty-single", "lvhba", "lvhba-single"),
        "lower_eq": ("lvhba", "lvhba-single"),
        "lower_ineq": ("lvhba", "lvhba-single"),
    }
    for name, methods in fits.items():
        if getattr(problem, name) is not None and method not in methods:
            wanted = " or ".join(map(repr, methods))
            raise ValueError(f"method {method!r} does not see {name} of the problem; take {wanted}")


def linear_solver(solve: Any) -> Any:
    """Check the name of a linear solver."""
    if callable(solve):
        return solve
    checks.choice("solve", solve, ("auto", "cg", "dense", "gmres"))
    return solve


def _onto(oracle: Oracle) -> Callable[[Array], Array] | None:
    """The projection of the flat theta on the problem's set."""
    project = oracle.problem.theta_project
    if project is None:
        return None
    return lambda theta: oracle.host("theta_project", project(oracle.to_theta(theta)))


def _positive(name: str, value: float | None) -> float:
    """A positive number, or nan for None."""
    return math.nan if value is None else checks.real(name, value, low=0.0, open_low=True)


METHODS: dict[str, Callable[[Oracle, Settings], Points]] = {
    "qn": quasi_newton,
    "maid": maid,
    "hoag": hoag,
    "soba": soba,
    "lvhba": lvhba,
    "lvhba-single": lvhba_single,
    "penalty": penalty,
    "penalty-single": single_loop,
}
