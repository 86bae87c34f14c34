r"""Rectangles: ``d_x R_x u + d_y R_y u + r(x, y) u = f``, u = 0 outside, with tensor products of splines.

On the coefficients X the operator is ``d_x A_x X M_y' + d_y M_x X A_y' + r (M_x X M_y')``. The pencils are
diagonalised, ``A V = M V diag(w)``, with eigenvectors that are nearly orthogonal, so that for a constant r

    (M_x V_x) Y (M_y V_y)' = F,                                               (1)
    X = V_x [Y_ij / (d_x w_i + d_y w_j + r)] V_y'                             (2)

(R. E. Lynch, J. R. Rice, D. H. Thomas, Numer. Math. 6, 1964).
"""

from __future__ import annotations

import math
from itertools import cycle
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from scipy.fft import dstn
from scipy.interpolate import NdBSpline, RegularGridInterpolator
from scipy.linalg import eig, lu_factor, lu_solve

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor

from ._data import is_number, sample
from ._estimate import QUARTERED, difference, from_levels
from ._factors import halves, unfold
from ._gmres import PATIENCE, fgmres
from ._settings import FOREIGN, TimeIsOverError, keep_time
from ._sine_plane import solve_plane_by_sines
from ._splines import MAXITER, doubted, unsolved
from ._system import turns
from .operator import RieszSplineOperator, check_interval
from .result import RieszPlaneResult
from .symbol import mass_samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from numsolve._core.typing import Callback

    Array = NDArray[np.float64]
    #: A number, values at the points, or a function of them.
    PlaneValues: TypeAlias = ArrayLike | Callable[[Array, Array], ArrayLike]

METHODS = ("auto", "fastdiag", "gmres")
Method: TypeAlias = Literal["auto", "fastdiag", "gmres"]
DEFINITIONS = ("rl", "spectral")
PlaneDefinition: TypeAlias = Literal["rl", "spectral"]
#: Unknowns of one direction up to which a pencil is diagonalised.
MOST_DIAGONALISED = 1000
#: Points of either side, on (0, 1), at which solutions on two meshes are compared.
FEW_WITNESSES = np.sin(np.pi / 2 * np.linspace(0.0, 1.0, 42)[1:-1]) ** 2


class TensorSpline:
    """A spline of two variables, nan outside its rectangle.

    Parameters
    ----------
    knots : pair of array
        The knots of both directions.
    coefficients : array of shape (Kx, Ky)
        Coefficients of the B-splines that vanish on the boundary.
    p : int
        Degree.

    Attributes
    ----------
    spline : scipy.interpolate.NdBSpline
        The same for points of shape (..., 2).
    """

    def __init__(self, knots: tuple[Array, Array], coefficients: Array, p: int) -> None:
        coefficients = checks.array("coefficients", coefficients, dtype=np.float64, ndim=2)
        self.spline = NdBSpline(knots, np.pad(coefficients, 1), p, extrapolate=False)

    def __call__(self, x: Any, y: Any) -> Array:
        """Evaluate at points; x and y are broadcast."""
        points = np.stack(np.broadcast_arrays(x, y), axis=-1)
        # An infinity is outside too, but not for the search of its span.
        return np.asarray(self.spline(np.where(np.isfinite(points), points, np.nan)))


@answers(**FOREIGN)
def solve_riesz_2d(
    f: PlaneValues,
    alpha: float | tuple[float, float],
    *,
    interval: tuple[tuple[float, float], tuple[float, float]] = ((0.0, 1.0), (0.0, 1.0)),
    n: int | tuple[int, int] = 128,
    p: int = 3,
    reaction: PlaneValues | None = None,
    diffusion: tuple[float, float] = (1.0, 1.0),
    definition: PlaneDefinition = "rl",
    method: Method = "auto",
    rtol: float = 1e-10,
    x0: ArrayLike | None = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> RieszPlaneResult:
    r"""Solve ``d_x R_x u + d_y R_y u + reaction u = f`` on a rectangle, with u = 0 outside.

    ``R_x = (-d^2/dx^2)^(alpha/2)`` acts on lines, as in anisotropic Lévy flights, whose jumps follow the
    axes; the sum of both is not the isotropic fractional Laplacian of the plane.

    Parameters
    ----------
    f : callable, array of shape (Kx, Ky) or float
        Right-hand side: ``f(x, y)`` for two arrays of one shape, or values at the collocation points.
    alpha : float or pair of float
        Orders of the two directions, ``1 < alpha <= 2``; above 0 for definition "spectral".
    interval : pair of pairs of float
        The sides of the rectangle.
    n : int or pair of int
        Spans of each direction, at least ``2 p``.
    p : int
        Degree of the splines, at least 2.
    reaction : callable, array of shape (Kx, Ky) or float, optional
        Zero by default.
    diffusion : pair of float
        The constants d_x and d_y, positive.
    definition : {"rl", "spectral"}
        The sum of one operator for each direction; or, by products of n - 1 sines each, the power
        ``(-Laplacian)^(alpha/2)`` of the Laplacian of the rectangle with zero boundary values, for one order
        and one diffusion.
    method : {"auto", "fastdiag", "gmres"}
        "fastdiag" diagonalises the pencils, in O(n^3) once, and is direct for a constant reaction; for a
        varying one it preconditions GMRES. "gmres" is free of matrices, with a tau preconditioner. "auto"
        diagonalises up to 1000 unknowns a direction.
    rtol : float
        Largest residual relative to f, in the 2-norm, for GMRES.
    x0 : array of shape (Kx, Ky), optional
        Where GMRES starts.
    maxiter, callback, progress, time_limit : int, callable, bool, float
        As in `solve_riesz_bvp`. The diagonalisation of a pencil that has begun is finished.

    Returns
    -------
    RieszPlaneResult
        ``result(x, y)`` evaluates the solution; `x` are the coefficients, of shape (Kx, Ky); `points` the
        collocation points of each direction.

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

    References
    ----------
    R. E. Lynch, J. R. Rice, D. H. Thomas, "Direct solution of partial difference equations by tensor product
    methods", Numer. Math. 6, 1964.

    Examples
    --------
    >>> from numsolve.fractional import solve_riesz_2d
    >>> r = solve_riesz_2d(1.0, 1.5, n=64)
    >>> r.method, round(float(r(0.5, 0.5)), 6)
    ('fastdiag', 0.151127)
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    if checks.choice("definition", definition, DEFINITIONS) == "spectral":
        return _by_sines(f, alpha, limits, interval, n, reaction, diffusion, method, rtol, x0)
    return doubted(
        *_solve(f, alpha, limits, interval, n, p, reaction, diffusion, method=method, rtol=rtol, x0=x0)
    )


def _by_sines(
    f: Any,
    alpha: Any,
    limits: Limits,
    interval: Any,
    n: Any,
    reaction: Any,
    diffusion: Any,
    method: str,
    rtol: float,
    x0: Any,
) -> RieszPlaneResult:
    """The solution for the spectral definition."""
    if checks.choice("method", method, METHODS) != "auto":
        raise ValueError(f"definition 'spectral' needs method 'auto', got {method!r}")
    sides: Any = tuple(check_interval(side, "interval") for side in _pair("interval", interval, sides=True))
    factors: Any = tuple(
        checks.real("diffusion", d, low=0.0, open_low=True) for d in _pair("diffusion", diffusion)
    )
    rtol = checks.real("rtol", rtol, low=0.0)
    orders, spans = _pair("alpha", alpha), _pair("n", n)
    return solve_plane_by_sines(f, orders, limits, sides, spans, reaction, factors, rtol, x0)


def _solve(
    f: Any,
    alpha: Any,
    limits: Limits,
    interval: Any,
    n: Any,
    p: int,
    reaction: Any,
    diffusion: Any,
    *,
    method: str,
    rtol: float,
    x0: Any = None,
) -> tuple[RieszPlaneResult, Array]:
    """The solution, and the reaction at the points."""
    orders = _pair("alpha", alpha)
    spans = _pair("n", n)
    sides = [check_interval(side, "interval") for side in _pair("interval", interval, sides=True)]
    Ax, Ay = (
        RieszSplineOperator(m, p, order, interval=side)
        for m, order, side in zip(spans, orders, sides, strict=True)
    )
    d_x, d_y = (checks.real("diffusion", d, low=0.0, open_low=True) for d in _pair("diffusion", diffusion))
    checks.choice("method", method, METHODS)
    rtol = checks.real("rtol", rtol, low=0.0)
    grid = tuple(np.meshgrid(Ax.greville, Ay.greville, indexing="ij"))
    F = sample("f", f, grid)
    r = np.zeros(F.shape) if reaction is None else sample("reaction", reaction, grid)
    X0 = np.zeros(F.shape) if x0 is None else checks.array("x0", x0, dtype=np.float64, shape=F.shape)

    reason = "it was asked for"
    if method == "auto":
        small = max(F.shape) <= MOST_DIAGONALISED
        method = "fastdiag" if small else "gmres"
        reason = f"the {'few' if small else 'many'} unknowns of a direction, {max(F.shape)}"
    b, points = F.ravel(), (Ax.greville, Ay.greville)
    try:
        for A in (Ax, Ay):
            A.assemble(limits)
        least, largest, mean = float(np.min(r)), float(np.max(r)), float(np.mean(r))
        bottoms = [float(np.min(A.symbol_samples()[1])) for A in (Ax, Ay)]
        shifts = turns(least, largest, mean, d_x * bottoms[0] + d_y * bottoms[1])
        if method == "fastdiag":
            shifts = (mean,) if least == largest else shifts
            inverse = _diagonalised(Ax, Ay, d_x, d_y, limits)
        else:
            inverse = _tau(Ax, Ay, d_x, d_y)
        shift = cycle(shifts)
    except TimeIsOverError:
        start = TensorSpline((Ax.knots, Ay.knots), X0, Ax.p)
        return unsolved(RieszPlaneResult, X0, b, points, start, method, reason, tuple(sides)), r
    Mx, My = Ax.mass(), Ay.mass()
    times_x, times_y = (A.todense().__matmul__ if method == "fastdiag" else A.matmat for A in (Ax, Ay))

    def product(x: Array) -> Array:
        X = x.reshape(F.shape)
        XM, MX = (My @ X.T).T, Mx @ X
        Y = d_x * times_x(XM) + d_y * times_y(MX.T).T + r * (Mx @ XM)
        return np.ascontiguousarray(Y).ravel()

    tops = [float(np.max(A.symbol_samples()[1])) for A in (Ax, Ay)]
    with Monitor(
        limits,
        rtol=rtol,
        reference=arrays.norm(np, b),
        maxiter=MAXITER,
        label="GMRES",
        keep="reference",
        present=lambda iterate: iterate.form().reshape(F.shape),
        patience=PATIENCE,
    ) as it:
        norm = (d_x * tops[0] + d_y * tops[1]) + float(np.max(np.abs(r)))
        fgmres(
            np,
            product,
            b,
            lambda v: inverse(v.reshape(F.shape), next(shift)).ravel(),
            it,
            x0=X0.ravel(),
            norm=norm,
        )
    sol = TensorSpline((Ax.knots, Ay.knots), it.x.form().reshape(F.shape), Ax.p)

    def error_estimate() -> float:
        """From half and a quarter of the spans, or from spans in four parts."""
        if it.status is None or not it.status.success:
            return math.nan
        x, y = np.meshgrid(*(a + (b - a) * FEW_WITNESSES for a, b in sides), indexing="ij")
        right, sink = (None if v is None else _moved(v, points) for v in (f, reaction))

        def on(spans: tuple[int, ...]) -> Array:
            settings: Any = {"method": method, "rtol": rtol}
            return _solve(right, orders, Limits(), sides, spans, p, sink, (d_x, d_y), **settings)[0](x, y)

        meshes = [(Ax.n // part, Ay.n // part) for part in (2, 4)]
        levels = [on(mesh) for mesh in meshes if min(mesh) >= 2 * Ax.p]
        if not levels:
            few = tuple(4 * m if m < 4 * Ax.p else m for m in spans)
            return QUARTERED * difference(on(few), sol(x, y))
        return from_levels(sol(x, y), *levels)

    result = it.result(
        RieszPlaneResult,
        points=points,
        sol=sol,
        method=method,
        reason=reason,
        error_estimate=error_estimate,
        interval=tuple(sides),
    )
    return result, r


def _moved(value: Any, points: tuple[Array, Array]) -> Any:
    """Functions and numbers as they are, values as a function that interpolates them linearly."""
    if callable(value) or is_number(value):
        return value
    table = RegularGridInterpolator(points, np.asarray(value, float), bounds_error=False, fill_value=None)
    return lambda x, y: table((x, y))


def _diagonalised(
    Ax: RieszSplineOperator, Ay: RieszSplineOperator, d_x: float, d_y: float, limits: Limits
) -> Callable[[Array, float], Array]:
    """The inverse by fast diagonalisation, exact for a constant reaction, its second argument."""

    def factors(A: RieszSplineOperator) -> tuple[Array, Array, Any]:
        keep_time(limits)
        M = A.mass().toarray()
        # Symmetric and antisymmetric vectors, either half as many: M is as well conditioned as a basis.
        (w, V), (u, U) = (
            eig(np.linalg.solve(m, a)) for a, m in zip(halves(A.todense()), halves(M), strict=True)
        )
        both = np.hstack(
            [unfold(V, np.zeros((U.shape[0], V.shape[1]))), unfold(np.zeros((V.shape[0], U.shape[1])), U)]
        )
        return np.append(w, u), both, lu_factor(M @ both)

    x = factors(Ax)
    same = Ax.shape == Ay.shape and Ax.alpha == Ay.alpha and Ax.interval == Ay.interval
    y = x if same else factors(Ay)
    sums = d_x * x[0][:, None] + d_y * y[0][None, :]
    if np.all(sums.imag == 0):
        sums = sums.real

    def inverse(F: Array, r: float) -> Array:
        Y = lu_solve(y[2], lu_solve(x[2], F).T).T  # (1)
        return np.asarray((x[1] @ (Y / (sums + r)) @ y[1].T).real)  # (2)

    return inverse


def _tau(
    Ax: RieszSplineOperator, Ay: RieszSplineOperator, d_x: float, d_y: float
) -> Callable[[Array, float], Array]:
    """The inverse of the tau approximation: sine transforms in both directions, without the corners."""
    f_x, f_y = Ax.symbol_samples()[1], Ay.symbol_samples()[1]
    h_x, h_y = mass_samples(Ax.shape[0], Ax.p), mass_samples(Ay.shape[0], Ay.p)
    symbol, mass = d_x * np.outer(f_x, h_y) + d_y * np.outer(h_x, f_y), np.outer(h_x, h_y)

    def inverse(F: Array, r: float) -> Array:
        transformed = dstn(F, type=1, norm="ortho") / (symbol + max(r, 0.0) * mass)
        return np.asarray(dstn(transformed, type=1, norm="ortho"))

    return inverse


def _pair(name: str, value: Any, *, sides: bool = False) -> tuple[Any, Any]:
    if not isinstance(value, tuple | list | np.ndarray) or arrays.ndim(value) == 0:
        if sides:
            raise TypeError(f"{name} must be a pair of intervals, got {value!r}")
        return value, value
    if len(value) != 2:
        raise ValueError(f"{name} must have two entries, one for each direction, got {len(value)}")
    return value[0], value[1]
