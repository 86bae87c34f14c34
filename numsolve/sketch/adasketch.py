"""AdaSketch-Newton as published: sketch-and-project inside, its accuracy and the penalties adapted together.

I. Hong, S. Na, M. W. Mahoney, M. Kolar, "Constrained optimization via exact augmented Lagrangian and
randomized iterative sketching", ICML 2023; the constants are those of its code. One iteration::

    B = H_L, or H_L + (xi_B + ||H_L||_F) I where H_L is not positive on the null space of G            (1)
    Psi = 20 max(||B||_F^2, 1) / (min(xi_G, 1) min(xi_B, 1)),  Ups = max(||G||_F, ||H_L||_F, 1)        (2)
    delta = max(min(delta, (0.5 - beta) eta2 / ((1 + eta1 + eta2) Ups^2 Psi^2)), 1e-6)                 (3)
    [[B, G'], [G, 0]] z = -(g_L, c), by sketch-and-project from 0, until
        ||A||_F Psi ||A z - b|| <= theta delta ||b||                                                   (4)
    slope of M along z <= -eta2 / 2 ||b||^2; otherwise eta1 <- eta1 nu^2, eta2 <- eta2 / nu,
        delta <- delta / nu^4 within (3), and on with (4)                                              (5)
    Armijo's rule on M, x and lam with the same step                                                   (6)

with xi_G the least eigenvalue of G G'. Where the paper's code takes the Hessian of f in the slope of M, here
it is that of the Lagrangian, which is the gradient. A Jacobian with xi_G < 1e-2 ends the run, as it does
there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.linalg as sl

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from ._curvature import least_curvature
from ._inner import dense
from ._point import Point
from ._problem import Problem
from .minimize import FOREIGN, deliver_point, record
from .project import Projector

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, ArrayLike, Callback, RandomState

    from .result import SketchResult

#: The least eigenvalue of G G' that the published code takes for full rank.
SINGULAR = 1e-2
#: The curvature below which the Hessian is shifted, and the least accuracy.
INDEFINITE, LEAST_DELTA = 1e-6, 1e-6
#: Bounds of the penalties.
ETA1_MOST, ETA2_LEAST = 1e8, 1e-8
#: Sketches before the first look at the residual (then an eighth of those done), and the most for one system.
LOOK, INNER_STEPS = 100, 20_000_000


@dataclass
class _State:
    """What is carried from one iteration to the next."""

    eta1: float
    eta2: float
    delta: float
    steps: int = 0


@answers(**FOREIGN)
def adasketch_newton(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: tuple[Any, ...] = (),
    *,
    jac: Callable[..., Any] | Literal["2-point", "3-point", "jax", True] | None = None,
    hess: Callable[..., Any] | Literal["2-point", "3-point", "jax"] | None = None,
    hessp: Callable[..., Any] | None = None,
    constraints: Any = (),
    lam0: ArrayLike | None = None,
    variant: Literal["gaussian", "kaczmarz"] = "kaczmarz",
    tol: float = 1e-4,
    eta1: float = 1.0,
    eta2: float = 0.1,
    delta: float = 0.1,
    xi_B: float = 0.1,
    beta: float = 0.1,
    nu: float = 1.5,
    theta: float = 1.0,
    rng: RandomState = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> SketchResult:
    """Minimise under equality constraints by AdaSketch-Newton, as published.

    The inner solver projects onto random combinations of the equations. Its steps grow with the square of the
    condition number: `numsolve.sketch.minimize` is faster on nearly every problem.

    Parameters
    ----------
    fun, x0, args, jac, hess, hessp, constraints, lam0
        The problem, as in `numsolve.sketch.minimize`; the first multipliers are zeros by default.
    variant : {"gaussian", "kaczmarz"}
        The paper's GV, a Gaussian vector as sketch, or RK, one row, drawn uniformly.
    tol : float
        Converged when the KKT residual is at most `tol`.
    eta1, eta2 : float
        First penalties of the exact augmented Lagrangian.
    delta, xi_B, beta, nu, theta : float
        The constants of the paper: first accuracy, shift, Armijo's fraction, factor of the penalties, and the
        factor of the accuracy.
    rng : None, int or Generator
        Where the sketches come from.
    maxiter, callback, progress, time_limit
        The run settings, as in `numsolve.sketch.minimize`; 10 000 iterations by default.

    Returns
    -------
    SketchResult
        `ninner` counts the projections.

    Raises
    ------
    ValueError
        As in `numsolve.sketch.minimize`.

    Warns
    -----
    ConvergenceWarning
        If `tol` was not reached; BREAKDOWN where the constraints' gradients are close to dependent.

    References
    ----------
    I. Hong, S. Na, M. W. Mahoney, M. Kolar, "Constrained optimization via exact augmented Lagrangian and
    randomized iterative sketching", ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import sketch
    >>> result = sketch.adasketch_newton(
    ...     lambda x: (x[0] - 1) ** 2 + x[1] ** 2,
    ...     np.array([2.0, 2.0]),
    ...     jac=lambda x: np.array([2 * x[0] - 2, 2 * x[1]]),
    ...     hess=lambda x: 2 * np.eye(2),
    ...     constraints=(lambda x: x[0] + x[1] - 3, lambda x: np.ones(2)),
    ...     rng=0,
    ... )
    >>> print(result.success, np.round(result.x, 3))
    True [2. 1.]
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    checks.choice("variant", variant, ("gaussian", "kaczmarz"))
    tol = checks.real("tol", tol, low=0.0)
    state = _State(
        checks.real("eta1", eta1, low=0.0, open_low=True),
        checks.real("eta2", eta2, low=0.0, open_low=True),
        checks.real("delta", delta, low=0.0, open_low=True),
    )
    xi_B = checks.real("xi_B", xi_B, low=0.0, open_low=True)
    beta = checks.real("beta", beta, low=0.0, high=0.5, open_low=True, open_high=True)
    nu = checks.real("nu", nu, low=1.0, open_low=True)
    theta = checks.real("theta", theta, low=0.0, high=1.0, open_low=True)
    generator = checks.generator(rng)
    problem = Problem(fun, x0, args, jac, hess, hessp, constraints)
    lam = np.zeros(problem.m) if lam0 is None else checks.array(
        "lam0", lam0, shape=(problem.m,), dtype=np.float64
    )  # fmt: skip
    point = Point.make(problem.values, lam)
    with Monitor(
        limits, atol=tol, maxiter=10_000, label="AdaSketch-Newton", keep="reference", present=_x,
        columns=("fun", "constr_violation"), divergence=math.inf,
    ) as it:  # fmt: skip
        record(it, point, converged=point.K <= tol)
        for _ in it:
            H = dense(problem.hessian(point.x, point.lam), problem.n)
            found = _advance(problem, point, H, state, it, generator, variant, xi_B, beta, nu, theta)
            if isinstance(found, Point):
                point = found
            record(it, point, converged=point.K <= tol)
            if not isinstance(found, Point) and it.running:
                it.stop(*found)
    return deliver_point(it, it.x, problem, variant, state.steps, state.eta1, state.eta2)


def _advance(
    problem: Problem, p: Point, H: Array, state: _State, it: Monitor, rng: np.random.Generator,
    variant: str, xi_B: float, beta: float, nu: float, theta: float,
) -> Point | tuple[Status, str]:  # fmt: skip
    G, n, m = dense(p.G, problem.n), problem.n, problem.m
    xi_G = float(sl.eigvalsh(G @ G.T, subset_by_index=[0, 0])[0]) if m else 1.0
    if xi_G < SINGULAR:
        return Status.BREAKDOWN, f"The constraints' gradients are close to dependent (xi_G = {xi_G:.2g})."
    B = H
    if m < n and least_curvature(H, G, n)[0] < INDEFINITE:
        B = H + (xi_B + np.linalg.norm(H)) * np.eye(n)  # (1)
    psi = 20.0 * max(float(np.linalg.norm(B)) ** 2, 1.0) / (min(xi_G, 1.0) * min(xi_B, 1.0))  # (2)
    ups = max(float(np.linalg.norm(G)), float(np.linalg.norm(H)), 1.0)

    def trial() -> float:
        return float((0.5 - beta) * state.eta2 / ((1 + state.eta1 + state.eta2) * ups**2 * psi**2))

    state.delta = max(min(state.delta, trial()), LEAST_DELTA)  # (3)
    A = np.block([[B, G.T], [G, np.zeros((m, m))]])
    b = -np.concatenate([p.gL, p.c])
    size, norm_A = arrays.norm(np, b), float(np.linalg.norm(A))
    inner = Projector(A, b, variant, None, rng, uniform=True)
    while True:
        floor = 4 * np.finfo(float).eps * norm_A
        while norm_A * psi * inner.residual() > theta * state.delta * size:  # (4)
            rounded = inner.residual() <= floor * max(arrays.norm(np, inner.z), size / norm_A)
            if rounded or inner.steps >= INNER_STEPS or it.time_is_up:
                break
            count = max(LOOK, inner.steps // 8)
            inner.advance(count)
            state.steps += count
        slope = p.slope(H, inner.z[:n], inner.z[n:], state.eta1, state.eta2)
        if slope <= -0.5 * state.eta2 * size**2:
            break
        if state.eta1 > ETA1_MOST or state.eta2 < ETA2_LEAST or it.time_is_up:
            status = Status.TIME_LIMIT if it.time_is_up else Status.STAGNATED
            return status, "No penalty makes the step one of descent."
        state.eta1, state.eta2 = state.eta1 * nu**2, state.eta2 / nu  # (5)
        state.delta = max(min(state.delta / nu**4, trial()), LEAST_DELTA)
    merit, a = p.merit(state.eta1, state.eta2), 1.0
    for _ in range(60):  # (6)
        values = problem.evaluate(p.x + a * inner.z[:n])
        if values is not None:
            found = Point.make(values, p.lam + a * inner.z[n:])
            if found.merit(state.eta1, state.eta2) <= merit + a * beta * slope:
                return found
        a *= 0.5
    return Status.STAGNATED, "No step lowers the merit function."


def _x(point: Any) -> Any:
    return point.x.copy()
