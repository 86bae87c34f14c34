r"""Boundary value problems: ``d(x) R u + r(x) u = f`` on an interval, u = 0 outside.

R is the Riesz operator of `RieszSplineOperator`; ``(-Delta)^(alpha/2)`` by default. Splines of degree p give
errors of order ``p + 2 - alpha`` (p even) or ``p + 1 - alpha`` (p odd) for smooth solutions. For a smooth f
the solution is not smooth but behaves like ``dist^(alpha/2)`` at the ends, and Jacobi modes are the method.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from scipy.linalg import lu_factor, lu_solve

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status, deliver

from . import spectral
from ._assembly import clamped_knots, greville_points, spline_values
from ._data import Data, is_values
from ._gmres import PATIENCE, UNIT, Iterate, fgmres
from ._settings import DEFINITIONS, FOREIGN, PRECONDITIONERS, TimeIsOverError
from ._system import make_system
from .bspline import check_alpha, check_degree
from .dense import MOST_UNKNOWNS, dense_matrix
from .jacobi import JacobiSolution
from .operator import RieszSplineOperator, check_interval, check_weights, check_width
from .result import RieszResult, host

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from numsolve._core.typing import ArrayLike, Callback

    from ._data import Values
    from ._settings import Definition, Preconditioner

    Array = NDArray[np.float64]

METHODS = ("auto", "spline", "spectral", "dense")
Method: TypeAlias = Literal["auto", "spline", "spectral", "dense"]
#: Modes that "auto" tries: data that need more are hardly smooth.
MOST_MODES = 256
#: Iterations of GMRES; a good preconditioner needs about a dozen.
MAXITER = 200


@answers(**FOREIGN)
def solve_riesz_bvp(
    f: Values,
    alpha: float,
    *,
    interval: tuple[float, float] = (0.0, 1.0),
    n: int = 256,
    p: int = 5,
    reaction: Values | None = None,
    diffusion: Values | None = None,
    weights: tuple[float, float] = (0.5, 0.5),
    definition: Definition = "rl",
    method: Method = "auto",
    preconditioner: Preconditioner = "auto",
    breaks: ArrayLike | None = None,
    rtol: float = 1e-12,
    x0: ArrayLike | None = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> RieszResult:
    r"""Solve ``diffusion * R u + reaction * u = f`` on an interval, with u = 0 outside it.

    The sign is that of a positive operator: for equal weights of one half
    ``R = (D_left^alpha + D_right^alpha) / (2 cos(pi alpha / 2)) = (-Delta)^(alpha/2)``, and ``R u = -u''``
    for ``alpha = 2``.

    Parameters
    ----------
    f : callable, array of shape (K,) or float
        Right-hand side: a function of an array of points, its values at the collocation points (for
        splines: `RieszSplineOperator.greville`), or a constant. Arrays of other libraries than NumPy are
        computed with where they are.
    alpha : float
        Order, ``1 < alpha <= 2``.
    interval : tuple of float
        The ends a < b.
    n : int
        Spans of the splines, at least ``2 p``. For the spectral method, modes at most; "auto" tries 256 or n
        of them, whichever is less.
    p : int
        Degree of the splines, at least 2.
    reaction, diffusion : callable, array of shape (K,) or float, optional
        Coefficients, zero and one by default; the diffusion is positive.
    weights : tuple of float
        Weights of the derivatives from the left and from the right.
    definition : {"rl", "caputo"}
        Riemann and Liouville's derivatives or Caputo's; they differ if u' is not zero at the ends. Only
        the former give the fractional Laplacian.
    method : {"auto", "spline", "spectral", "dense"}
        B-splines with fast transforms, Jacobi modes, or B-splines with a dense factorisation. "auto" takes
        the modes where the data are functions that few of them hold, and says so in the result.
    preconditioner : {"auto", "tau", "circulant", None}
        For the splines. "auto" is "tau" for equal weights, and "circulant" for others.
    breaks : array, optional
        Ends of the spans of a nonuniform mesh, increasing, in place of `interval` and `n`: a dense method
        for at most 4000 unknowns.
    rtol : float
        Largest residual of the discrete equations relative to its right-hand side, in the 2-norm. Where
        rounding errors leave a larger one, the status is ROUNDING, a success.
    x0 : array of shape (K,), optional
        Where GMRES starts: the `x` of an earlier result.
    maxiter, callback, progress, time_limit : int, callable, bool, float
        Most iterations of GMRES (200 by default), a function that is called after each of them with the
        coefficients or with an ``intermediate_result`` and stops the run by returning True, a progress bar,
        seconds. A dense factorisation that has begun is finished, whatever the limit.

    Returns
    -------
    RieszResult
        ``result(x)`` evaluates the solution; `method` and `reason` say what was done and why; `residual` is
        that of the equations divided by the diffusion (by the reaction where that dominates).

    Raises
    ------
    ValueError
        If an argument has the wrong shape or range; the message says which and what is wanted.
    TypeError
        If an argument is complex or no number.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached; the result is the best iterate.

    See Also
    --------
    numsolve.fractional.solve_riesz_eig : Its eigenvalues.
    numsolve.fractional.solve_fractional_diffusion : The equation in time.

    References
    ----------
    M. Mazza, M. Donatelli, C. Manni, H. Speleers, "On the matrices in B-spline collocation methods for Riesz
    fractional equations and their spectral properties", Numer. Linear Algebra Appl. 2023.
    X. Huang, X.-L. Lin, M. K. Ng, H.-W. Sun, "Spectral analysis for preconditioning of multi-dimensional
    Riesz fractional diffusion equations", Numer. Math. Theor. Meth. Appl. 15, 2022.
    Z. Mao, S. Chen, J. Shen, "Efficient and accurate spectral method using generalized Jacobi functions for
    solving Riesz fractional differential equations", Appl. Numer. Math. 106, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.fractional import solve_riesz_bvp
    >>> r = solve_riesz_bvp(lambda x: np.exp(x) * np.cos(3 * x), 1.5, interval=(-1, 1))
    >>> r.method, round(float(r(0.0)), 8)
    ('spectral', 0.3115155)
    >>> r = solve_riesz_bvp(lambda x: abs(x - 0.3), 1.5, n=500, p=3)
    >>> r.method, r.success
    ('spline', True)
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    alpha, p = check_alpha(alpha), check_degree(p)
    interval = check_interval(interval)
    n = checks.integer("n", n, low=1)
    weights = check_weights(weights)
    checks.choice("definition", definition, DEFINITIONS)
    checks.choice("method", method, METHODS)
    preconditioner = check_preconditioner(preconditioner)
    rtol = checks.real("rtol", rtol, low=0.0)
    data = Data(f, reaction, diffusion, interval)
    if breaks is not None:
        if method not in {"auto", "dense"}:
            raise ValueError(f"breaks need method 'dense' or 'auto', got {method!r}")
        breaks = check_breaks(breaks)
        data.interval = (float(breaks[0]), float(breaks[-1]))
        return _solve_dense(
            data, alpha, breaks, p, weights, definition, rtol, "the mesh is not uniform", limits
        )

    reason, series = "it was asked for", None
    modes = min(n, MOST_MODES) if method == "auto" else n
    if method in {"auto", "spectral"}:
        obstacle, series = _obstacle(data, alpha, weights, definition, modes, look=method == "auto")
        if method == "spectral" and obstacle:
            raise ValueError(f"method 'spectral' does not apply: {obstacle}")
        if method == "auto":
            method = "spline" if obstacle else "spectral"
            reason = obstacle or _praise(series)
    if method == "spectral":
        if modes > MOST_UNKNOWNS:
            raise ValueError(f"method 'spectral' is for at most {MOST_UNKNOWNS} modes, got n = {modes}")
        f_over, reaction_over = data.divided()
        try:
            if reaction_over is None:
                return spectral.solve_by_division(f_over, alpha, interval, modes, series, reason, limits)
            return spectral.solve_by_collocation(
                f_over, reaction_over, alpha, interval, modes, reason, limits
            )
        except TimeIsOverError:
            nothing = JacobiSolution(np.zeros(1), alpha, interval)
            points = np.array([sum(interval) / 2])
            return unsolved(np.zeros(1), f_over(points), points, nothing, method, reason, interval)
    if method == "dense":
        a, b = interval
        unit = np.arange(n + 1.0) / n
        mesh = a + (b - a) * unit
        if not np.all(np.diff(mesh) > 0):
            raise ValueError(f"interval is too short for n = {n} spans that differ, got ({a!r}, {b!r})")
        return _solve_dense(data, alpha, mesh, p, weights, definition, rtol, reason, limits, unit)

    A = RieszSplineOperator(n, p, alpha, interval=interval, definition=definition, weights=weights)
    return _solve_spline(A, data, preconditioner, rtol, x0, reason, limits)


# -- the choice of the method ----------------------------------------------------------------------


def _obstacle(
    data: Data, alpha: float, weights: tuple[float, float], definition: str, modes: int, *, look: bool
) -> tuple[str, spectral.Series | None]:
    """Return why Jacobi modes cannot be used, or an empty string, and the modes of f.

    The smoothness of the data is tried if `look` is set.
    """
    if any(map(is_values, (data.f, data.reaction, data.diffusion))):
        return "the data are values at the collocation points, not functions", None
    if weights != (0.5, 0.5):
        return f"the weights are {weights}, not (0.5, 0.5)", None
    if definition != "rl":
        return "Jacobi modes are for the definition 'rl'", None
    if not look:
        return "", None
    f, reaction = data.divided()
    series = spectral.jacobi_series(f, alpha, data.interval, modes)
    if not series.resolved:
        return _rough("f" if data.diffusion is None else "f / diffusion", series), None
    if reaction is not None:
        other = spectral.jacobi_series(reaction, alpha, data.interval, modes)
        if not other.resolved:
            return _rough("the reaction", other), None
    return "", series


def _rough(what: str, series: spectral.Series) -> str:
    return f"{what} is not smooth: {len(series.coefficients)} Jacobi modes leave {series.tail:.1g} of it"


def _praise(series: spectral.Series | None) -> str:
    assert series is not None
    count = len(series.coefficients)
    modes = "modes hold" if count > 1 else "mode holds"
    return f"the data are smooth: {count} Jacobi {modes} f to rounding errors"


# -- splines ---------------------------------------------------------------------------------------


def _solve_spline(
    A: RieszSplineOperator,
    data: Data,
    preconditioner: Preconditioner,
    rtol: float,
    x0: Any,
    reason: str,
    limits: Limits,
) -> RieszResult:
    """Collocate on a uniform mesh and solve by GMRES."""
    xp, like = data.xp, data.like
    b, reaction, diffusion = data.at(A.greville)
    if diffusion is not None:
        b = b / diffusion
        reaction = None if reaction is None else reaction / diffusion
    x0 = xp.zeros_like(b) if x0 is None else checks.array("x0", x0, xp=xp, dtype=xp.float64, shape=b.shape)
    try:
        system = make_system(A, reaction, preconditioner, xp, like, limits)
    except TimeIsOverError:
        return unsolved(arrays.to_host(x0), b, A.greville, A.spline(host(x0)), "spline", reason, A.interval)
    b = b * system.scale
    with Monitor(
        limits,
        maxiter=MAXITER,
        rtol=rtol,
        reference=arrays.norm(xp, b),
        label="GMRES",
        keep="reference",
        present=Iterate.form,
        patience=PATIENCE,
    ) as it:
        fgmres(xp, system.matvec, b, system.precondition, it, x0=x0, norm=system.norm)
    return it.result(
        RieszResult,
        points=A.greville,
        sol=A.spline(host(it.x.form())),
        method="spline",
        reason=reason,
        interval=A.interval,
    )


def unsolved(x: Any, b: Any, points: Any, sol: Any, method: str, reason: str, interval: Any) -> RieszResult:
    """What there is when the time is over before the equations are set up: the start."""
    result = RieszResult(
        x=x,
        status=Status.TIME_LIMIT,
        detail="The matrix was not set up in time.",
        residual=arrays.norm(arrays.array_namespace(b=b), b) if not np.any(x) else float("nan"),
        points=points,
        sol=sol,
        method=method,
        reason=reason,
        interval=interval,
    )
    deliver(result)
    return result


def check_preconditioner(preconditioner: Any) -> Any:
    """Return a preconditioner's name, or None."""
    word = checks.choice("preconditioner", preconditioner or "none", PRECONDITIONERS)
    return None if word == "none" else word


# -- any mesh --------------------------------------------------------------------------------------


def check_breaks(breaks: Any) -> Array:
    """Return the ends of the spans, increasing."""
    breaks = checks.array("breaks", breaks, dtype=np.float64, ndim=1)
    if breaks.size < 2 or not np.all(np.diff(breaks) > 0):
        raise ValueError("breaks must be increasing and at least two")
    check_width(float(breaks[0]), float(breaks[-1]), "breaks")
    return np.asarray(breaks)


def _solve_dense(
    data: Data,
    alpha: float,
    breaks: Array,
    p: int,
    weights: tuple[float, float],
    definition: str,
    rtol: float,
    reason: str,
    limits: Limits,
    unit: Array | None = None,
) -> RieszResult:
    """Collocate on any mesh and solve by LU; `unit` is the mesh on (0, 1), if it is known better."""
    from scipy.interpolate import BSpline

    if not arrays.is_numpy(data.xp):
        raise TypeError(f"method 'dense' takes NumPy arrays, got those of {arrays.namespace_name(data.xp)}")
    unknowns = breaks.size + p - 3
    if unknowns > MOST_UNKNOWNS:
        raise ValueError(f"method 'dense' is for at most {MOST_UNKNOWNS} unknowns, got {unknowns}")
    knots = clamped_knots(breaks, p)
    # The matrix is that of the mesh on (0, 1), where no power of a length over- or underflows.
    start, width = float(breaks[0]), float(breaks[-1] - breaks[0])
    unit_knots = clamped_knots((breaks - start) / width if unit is None else unit, p)
    unit_points = greville_points(unit_knots, p)
    points = start + width * unit_points
    b, reaction, diffusion = data.at(points)
    try:
        A = dense_matrix(unit_knots, unit_points, p, alpha, weights, definition, limits) * width**-alpha
    except TimeIsOverError:
        zero = np.zeros_like(b)
        nothing = BSpline(knots, np.zeros(knots.size - p - 1), p, extrapolate=False)
        return unsolved(zero, b, points, nothing, "dense", reason, data.interval)
    if diffusion is not None:
        A *= diffusion[:, None]
    if reaction is not None:
        A += reaction[:, None] * spline_values(unit_knots, p).toarray()
    c = lu_solve(lu_factor(A), b)
    residual = arrays.norm(np, b - A @ c)
    wanted = rtol * arrays.norm(np, b)
    rounding = 4 * UNIT * (arrays.norm(np, A.ravel()) * arrays.norm(np, c) + arrays.norm(np, b))
    status = Status.CONVERGED if residual <= wanted else Status.ROUNDING
    if not residual <= max(wanted, rounding):
        status = Status.BREAKDOWN
    result = RieszResult(
        x=c,
        status=status,
        residual=residual,
        points=points,
        sol=BSpline(knots, np.r_[0.0, c, 0.0], p, extrapolate=False),
        method="dense",
        reason=reason,
        interval=data.interval,
    )
    deliver(result)
    return result
