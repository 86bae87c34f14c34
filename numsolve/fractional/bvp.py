r"""Boundary value problems: ``d(x) R u + r(x) u = f`` on an interval, u = 0 outside.

R is the Riesz operator of `RieszSplineOperator`; ``(-Delta)^(alpha/2)`` by default. Splines of degree p give
errors of order ``p + 2 - alpha`` (p even) or ``p + 1 - alpha`` (p odd) for smooth solutions. For a smooth f
the solution is not smooth but behaves like ``dist^(alpha/2)`` at the ends (for unequal weights with two other
powers), and Jacobi modes are the method.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.result import Status

from ._choice import better, by_modes, check_drift, delivered, obstacle_of
from ._data import Data
from ._exterior import Lift, check_exterior, lifted, right_hand_side
from ._mesh import Mesh, factorise_on_mesh
from ._modes import Modes
from ._settings import DEFINITIONS, FOREIGN, PRECONDITIONERS
from ._sine_bvp import check_sines, solve_by_sines
from ._splines import DENSE_UNKNOWNS, doubted, factorise, iterate
from ._stability import instability
from .bspline import LEAST_ALPHA, check_alpha, check_degree, check_order
from .dense import MOST_UNKNOWNS
from .operator import RieszSplineOperator, check_interval, check_weights, check_width

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from numsolve._core.typing import ArrayLike, Callback

    from ._data import Values
    from ._settings import Definition, Preconditioner
    from .result import RieszResult

    Array = NDArray[np.float64]

METHODS = ("auto", "spline", "spectral", "dense")
Method: TypeAlias = Literal["auto", "spline", "spectral", "dense"]
#: Modes that "auto" tries: data that need more are hardly smooth.
MOST_MODES = 256
#: Modes whose estimated error is at most this are taken without a look at splines.
EXCELLENT = 1e-8
UNIT_INTERVAL = (0.0, 1.0)


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
    advection: Values | None = None,
    weights: tuple[float, float] = (0.5, 0.5),
    definition: Definition = "rl",
    exterior: Values = 0.0,
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
    r"""Solve ``diffusion * R u + advection * u' + reaction * u = f`` on an interval, with u given outside.

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
        Order, ``0 < alpha <= 2``; above 1 for splines, and not 1 for unequal weights.
    interval : tuple of float
        The ends a < b.
    n : int
        Spans of the splines, at least ``2 p``. For the spectral method, modes at most; "auto" tries 256 or n
        of them, whichever is less.
    p : int
        Degree of the splines, at least 2.
    reaction, diffusion : callable, array of shape (K,) or float, optional
        Coefficients, zero and one by default; the diffusion is positive.
    advection : callable or float, optional
        Velocity, zero by default. It needs Jacobi modes and ``alpha > 1``. Solutions are less smooth with it,
        the less so the closer alpha is to 1; `error_estimate` tells.
    weights : tuple of float
        Weights of the derivatives from the left and from the right.
    definition : {"rl", "caputo", "spectral"}
        Riemann and Liouville's derivatives or Caputo's; they differ if u' is not zero at the ends. Only
        the former give the fractional Laplacian of the function that is zero outside. "spectral" is another
        operator, the power of ``-d^2/dx^2`` with the eigenfunctions ``sin(k pi (x - a) / (b - a))``: it is
        solved by n - 1 sines, for equal weights.
    exterior : callable or float
        The values of u outside the interval, zero by default: a function of points on both sides that grows
        more slowly than ``|x|^alpha``. What is thinner than a three hundredth of its distance from the
        interval may be missed. For the definition "rl", equal weights and no advection.
    method : {"auto", "spline", "spectral", "dense"}
        B-splines with fast transforms, Jacobi modes, or B-splines with a dense factorisation. "auto" takes
        the modes if the data are functions and their estimated error is at most 1e-8, else whatever has the
        smaller estimated error, and says so in the result. Of the splines it takes the factorisation for
        varying coefficients and at most 500 unknowns, or if GMRES fails and there are at most 4000.
    preconditioner : {"auto", "tau", "circulant", None}
        For the splines. "auto" is "tau" for equal weights, and "circulant" for others.
    breaks : array, optional
        Ends of the spans of a nonuniform mesh, increasing, in place of `interval` and `n`: a dense method
        for at most 4000 unknowns.
    rtol : float
        Largest residual of the discrete equations relative to its right-hand side, in the 2-norm. Where
        rounding errors leave a larger one, the status is ROUNDING, a success.
    x0 : array of shape (K,), optional
        Where GMRES starts: the `x` of an earlier spline result. It needs method "spline", or "auto", which
        then takes the splines.
    maxiter, callback, progress, time_limit : int, callable, bool, float
        Most iterations of GMRES (200 by default), a function that is called after each of them with the
        coefficients or with an ``intermediate_result`` and stops the run by returning True, a progress bar,
        seconds. A dense factorisation that has begun is finished, whatever the limit.

    Returns
    -------
    RieszResult
        ``result(x)`` evaluates the solution; `method` and `reason` say what was done and why; `residual` is
        that of the equation as it stands at the points (for modes, divided by the diffusion);
        `error_estimate` is relative to the largest value of the solution.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or range; the message says which and what is wanted.
    TypeError
        If an argument is complex or no number.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached; the result is the best iterate. If the solution was chosen by its
        estimated error, and that is above a tenth. If the reaction is negative, and coarser meshes have
        another solution: then the equation is nearly singular.

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
    V. J. Ervin, N. Heuer, J. P. Roop, "Regularity of the solution to 1-D fractional order diffusion
    equations", Math. Comp. 87, 2018.
    Z. Mao, S. Chen, J. Shen, "Efficient and accurate spectral method using generalized Jacobi functions for
    solving Riesz fractional differential equations", Appl. Numer. Math. 106, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.fractional import solve_riesz_bvp
    >>> r = solve_riesz_bvp(lambda x: np.exp(x) * np.cos(3 * x), 1.5, interval=(-1, 1))
    >>> r.method, round(float(r(0.0)), 8)
    ('spectral', 0.3115155)
    >>> s = solve_riesz_bvp(lambda x: np.sin(np.pi * x), 1.5, definition="spectral")
    >>> round(float(s(0.5) * np.pi**1.5), 12)  # the integral operator has a larger solution
    1.0
    >>> r = solve_riesz_bvp(1.0, 1.5, advection=3.0)
    >>> r([0.25, 0.75]).round(4)  # it is carried to the right
    array([0.0854, 0.1821])
    >>> r = solve_riesz_bvp(0.0, 1.5, exterior=lambda x: x)  # lines are harmonic for orders above one
    >>> r([0.25, 0.75, 2.0]).round(9)
    array([0.25, 0.75, 2.  ])
    >>> r = solve_riesz_bvp(np.sqrt, 1.5, weights=(0.9, 0.1))
    >>> r.method, r.error_estimate < 1e-8
    ('spectral', True)
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    checks.choice("method", method, METHODS)
    p, weights = check_degree(p), check_weights(weights)
    by_sines = definition == "spectral"
    any_order = (method in {"auto", "spectral"} and breaks is None) or by_sines
    alpha = check_order(alpha, weights) if any_order else check_alpha(alpha)
    n = checks.integer("n", n, low=1)
    checks.choice("definition", definition, DEFINITIONS)
    preconditioner = check_preconditioner(preconditioner)
    rtol = checks.real("rtol", rtol, low=0.0)
    if check_exterior(exterior, definition, weights, advection, (f, reaction)):
        ends = check_interval(interval if breaks is None else (np.min(breaks), np.max(breaks)))
        lift = Lift(exterior, alpha, ends)
        part = solve_riesz_bvp(
            right_hand_side(f, reaction, lift),
            alpha,
            interval=interval,
            n=n,
            p=p,
            reaction=reaction,
            diffusion=diffusion,
            weights=weights,
            method=method,
            preconditioner=preconditioner,
            breaks=breaks,
            rtol=rtol,
            x0=x0,
            maxiter=maxiter,
            callback=callback,
            progress=progress,
            time_limit=time_limit,
        )
        return lifted(part, lift)
    asked = "it was asked for"
    if by_sines:
        if x0 is not None or breaks is not None:
            raise ValueError("x0 and breaks are for splines, which definition 'spectral' does not use")
        factor = check_sines(n, weights, method)
        check_no_drift(advection, "definition 'spectral' has none")
        given = Data(f, reaction, diffusion, check_interval(interval))
        return solve_by_sines(given, alpha, factor, n, rtol, limits)
    if x0 is not None and (method in {"spectral", "dense"} or breaks is not None):
        raise ValueError("x0 is where GMRES starts, which needs method 'spline' or 'auto' and no breaks")
    if breaks is not None:
        if method not in {"auto", "dense"}:
            raise ValueError(f"breaks need method 'dense' or 'auto', got {method!r}")
        breaks = check_breaks(breaks)
        ends = float(breaks[0]), float(breaks[-1])
        if tuple(interval) not in {UNIT_INTERVAL, ends}:
            raise ValueError(f"interval must be that of the breaks, {ends}, or be left out, got {interval}")
        unit = (breaks - ends[0]) / (ends[1] - ends[0])
        check_no_drift(advection, "splines have none")
        data, why = Data(f, reaction, diffusion, ends), "the mesh is not uniform"
        mesh = Mesh(breaks, unit, data, alpha, p, weights, definition)
        return doubted(factorise_on_mesh(mesh, rtol, why, limits), data.at(mesh.points)[1])

    interval = check_interval(interval)
    data = Data(f, reaction, diffusion, interval, advection)
    modes, obstacle = Modes(alpha, weights, interval), obstacle_of(data, definition)
    if data.drift() is not None:
        check_drift(alpha, obstacle or ("it has a start" if x0 is not None else ""), method)
    if method == "spectral":
        if obstacle:
            raise ValueError(f"method 'spectral' does not apply: {obstacle}")
        if n > MOST_UNKNOWNS:
            raise ValueError(f"method 'spectral' is for at most {MOST_UNKNOWNS} modes, got n = {n}")
        return delivered(by_modes(data, modes, n, asked, limits))
    candidate, reason = None, obstacle or "it has a start"
    if method == "auto" and not obstacle and (x0 is None or alpha <= LEAST_ALPHA):
        candidate = by_modes(data, modes, min(n, MOST_MODES), "", limits)
        reason = candidate.reason
        good = candidate.error_estimate <= EXCELLENT or alpha <= LEAST_ALPHA or data.drift() is not None
        if good or candidate.status is Status.TIME_LIMIT or instability(n, p, alpha, weights, definition):
            return delivered(candidate)
    if alpha <= LEAST_ALPHA:
        raise ValueError(f"alpha must be above 1 for splines, got {alpha}, and for Jacobi modes {obstacle}")
    if method == "dense" and n < 2 * p:
        unit = np.arange(n + 1.0) / n
        breaks = interval[0] + (interval[1] - interval[0]) * unit
        few = Mesh(breaks, unit, data, alpha, p, weights, definition)
        return factorise_on_mesh(few, rtol, asked, limits)
    derivative: Any = definition  # "spectral" is done
    A = RieszSplineOperator(n, p, alpha, interval=interval, definition=derivative, weights=weights)
    if method == "dense":
        return factorise(A, data, rtol, asked, limits)
    if method == "spline":
        return iterate(A, data, preconditioner, rtol, x0, asked, limits)

    simple = arrays.is_numpy(data.xp)
    unset = x0 is None and preconditioner == "auto" and limits.maxiter is None
    if simple and unset and data.varies and A.shape[0] <= DENSE_UNKNOWNS:
        words = f"{reason}; {A.shape[0]} unknowns are few"
        splines = factorise(A, data, rtol, words, limits, doubt=candidate is None)
    else:
        settings: Any = {"or_factorise": simple, "doubt": candidate is None}
        splines = iterate(A, data, preconditioner, rtol, x0, reason, limits, **settings)
    return splines if candidate is None else better(candidate, splines)


# -- arguments -------------------------------------------------------------------------------------


def check_preconditioner(preconditioner: Any) -> Any:
    """Return a preconditioner's name, or None."""
    word = checks.choice(
        "preconditioner", "none" if preconditioner is None else preconditioner, PRECONDITIONERS
    )
    return None if word == "none" else word


def check_no_drift(advection: Any, why: str) -> None:
    """Refuse an advection."""
    if advection is not None:
        raise ValueError(f"advection needs Jacobi modes: {why}")


def check_breaks(breaks: Any) -> Array:
    """Return the ends of the spans, increasing."""
    breaks = checks.array("breaks", breaks, dtype=np.float64, ndim=1)
    if breaks.size < 2 or not np.all(np.diff(breaks) > 0):
        raise ValueError("breaks must be increasing and at least two")
    check_width(float(breaks[0]), float(breaks[-1]), "breaks")
    return np.asarray(breaks)
