r"""Eigenvalues of the fractional Laplacian on an interval.

In the orthonormal Jacobi modes the stiffness matrix is ``diag(lambda_k)`` and the mass matrix that of
``int (1 - y^2)^alpha P_j P_k``, which a Gauss rule of N nodes integrates exactly. Odd j + k give zeros.

With a potential V the stiffness matrix is ``K = diag(lambda_k) + int (1 - y^2)^alpha V P_j P_k``. If V is at
least v, ``K - v M`` is positive definite, and its Cholesky factor L makes of ``K c = mu M c``

    L^-1 M L^-T z = z / (mu - v),   z = L^T c,                                (1)

whose largest eigenvalues belong to the smallest mu.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from scipy.linalg import cholesky, eig, eigh, eigvals, solve_triangular

from numsolve._core import checks
from numsolve._core.foreign import answers
from numsolve._core.result import Status, deliver

from ._data import is_values, sample, unseen_of
from ._drift import reaction_matrix
from ._estimate import QUARTERED, UNIT, from_levels
from ._modes import Modes
from .bspline import check_alpha, check_degree, check_order
from .jacobi import EQUAL, JacobiSolution, basis, eigenvalues, from_unit, gauss_rule, laplacian_scale
from .operator import RieszSplineOperator, check_interval, check_spans
from .result import RieszEigResult
from .spectral import TOLERABLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._data import Values

    Array = NDArray[np.float64]

METHODS = ("spectral", "spline")
Method: TypeAlias = Literal["spectral", "spline"]


#: Modes with half of which there is something to compare: two modes are one of each parity, as one is.
LEAST_MODES = 4
#: Points of the rule for a potential, for each mode.
SAMPLES = 4
#: Modes beyond two for each eigenvalue, which are enough for many of them.
MORE_MODES = 64
#: Order of the slowest decay that an error estimate believes in.
SLOWEST = 2.0


@answers(N="n", degree="p", order="alpha", domain="interval", bounds="interval", n_states="k", V="potential")
def solve_riesz_eig(
    alpha: float,
    k: int = 6,
    *,
    interval: tuple[float, float] = (-1.0, 1.0),
    potential: Values | None = None,
    method: Method = "spectral",
    n: int | None = None,
    p: int = 5,
) -> RieszEigResult:
    r"""Compute the smallest eigenvalues of ``(-Delta)^(alpha/2) u + V u = mu u``, u = 0 outside an interval.

    Parameters
    ----------
    alpha : float
        Order, ``0 < alpha <= 2``; above 1 for splines.
    k : int
        How many eigenvalues.
    interval : tuple of float
        The ends a < b.
    potential : callable or float, optional
        V, a function of an array of points, or a constant; zero by default. A jump of it, or a scale that n
        does not resolve, costs digits; `error_estimate` tells.
    method : {"spectral", "spline"}
        Jacobi modes in a symmetric Galerkin method, or splines in collocation. The eigenfunctions behave like
        ``dist^(alpha/2)`` at the ends: the modes hold them, splines converge slowly.
    n : int, optional
        Modes, by default ``max(64, min(4 k, 2 k + 64))``, with a potential ``max(128, 4 k)``; or spans, 256
        by default. `k` is at most half the unknowns.
    p : int
        Degree of the splines.

    Returns
    -------
    RieszEigResult
        With `x`, the eigenvalues, ascending; `functions`, as many functions of unit norm in L2, positive
        next to a; `error_estimate`, from fewer modes or from half and a quarter of the spans: the largest
        relative error of the eigenvalues. With a potential, errors are relative to the eigenvalue or
        to the least one without it, whichever is larger.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Warns
    -----
    ConvergenceWarning
        If the errors with a potential are estimated at more than a tenth.

    See Also
    --------
    numsolve.fractional.problems.eigenvalue_asymptotics : Where they go.

    References
    ----------
    M. Kwasnicki, "Eigenvalues of the fractional Laplace operator in the interval", J. Funct. Anal. 262, 2012.
    B. Dyda, A. Kuznetsov, M. Kwasnicki, "Eigenvalues of the fractional Laplace operator in the unit ball",
    J. London Math. Soc. 95, 2017.

    Examples
    --------
    >>> from numsolve.fractional import solve_riesz_eig
    >>> solve_riesz_eig(1.5, k=3).x
    array([1.59750355, 5.05975993, 9.59430577])

    The oscillator of relativistic speed, whose eigenvalues on the line belong to zeros of Airy functions:

    >>> import numpy as np
    >>> solve_riesz_eig(1.0, k=3, interval=(-10, 10), potential=np.square).x.round(3)
    array([1.019, 2.338, 3.248])
    """
    checks.choice("method", method, METHODS)
    alpha = check_order(alpha) if method == "spectral" else check_alpha(alpha)
    p, interval = check_degree(p), check_interval(interval)
    k = checks.integer("k", k, low=1)
    if is_values(potential):
        raise TypeError("potential must be a function or a number, got values")
    if method == "spectral":
        usual = max(64, min(4 * k, 2 * k + MORE_MODES)) if potential is None else max(128, 4 * k)
        N = usual if n is None else checks.integer("n", n, low=LEAST_MODES)
        _check_number(k, N, "modes")
        if potential is not None:
            return _with_potential(potential, Modes(alpha, EQUAL, interval), N, k)
        values, vectors, residual = _modes(N, alpha, k)
        fewer = max(N // 2, min(2 * k, 9 * N // 10))
        change = float(np.max(np.abs(_modes(fewer, alpha, k)[0] / values - 1)))
        gain = min((N / fewer) ** SLOWEST - 1, 1.0)
        scale, jacobian = laplacian_scale(interval, alpha), (interval[1] - interval[0]) / 2
        # The modes are positive at their right end; the eigenfunctions are at the left one.
        signs = np.sign(basis(N, alpha, np.array([-1.0])) @ vectors)[0]
        vectors = vectors * (signs / np.sqrt(jacobian))
        return RieszEigResult(
            x=values * scale,
            residual=residual * scale,
            points=from_unit(gauss_rule(N, alpha / 2)[0], interval),
            sol=tuple(JacobiSolution(v.copy(), alpha, interval) for v in vectors.T),
            method=method,
            reason="it was asked for",
            error_estimate=max(change / gain, UNIT * N * N / 10),
            interval=interval,
        )
    A = RieszSplineOperator(check_spans(256 if n is None else n, p), p, alpha, interval=interval)
    _check_number(k, A.shape[0], "unknowns")
    return _spline_eigenvalues(A, k, potential)


def _check_number(k: int, size: int, what: str) -> None:
    """Refuse more eigenvalues than half of a matrix has: the upper ones are not those of the operator."""
    if 2 * k > size:
        raise ValueError(
            f"k must be at most {size // 2}, half the number of {what}, since the upper half of the "
            f"eigenvalues of a matrix is far from those of the operator; got {k}: choose a larger n"
        )


def _modes(N: int, alpha: float, k: int) -> tuple[Any, Any, float]:
    """The smallest eigenvalues on (-1, 1), coefficients of unit L2 norm, and the largest residual."""
    y, w = gauss_rule(N, alpha)
    even_and_odd, root = basis(N, alpha, y).T, np.sqrt(eigenvalues(N, alpha))
    # Even and odd modes do not meet: two matrices of half the size.
    mu, vectors, residuals = np.empty(0), np.empty((N, 0)), np.empty(0)
    for parity in (0, 1):
        P, r = even_and_odd[parity::2].T, root[parity::2]
        block = P.T @ (w[:, None] * P) / np.outer(r, r)
        size = block.shape[0]
        found, part = eigh(block, subset_by_index=(max(size - k, 0), size - 1))
        whole = np.zeros((N, found.size))
        whole[parity::2] = part
        missed = np.linalg.norm(block @ part - part * found, axis=0) / found**2
        mu, vectors = np.append(mu, found), np.hstack([vectors, whole])
        residuals = np.append(residuals, missed)
    last = np.argsort(mu)[: -k - 1 : -1]
    mu, vectors = mu[last], vectors[:, last]
    return 1 / mu, vectors / root[:, None] / np.sqrt(mu), float(np.max(residuals[last]))


def _with_potential(potential: Any, modes: Modes, N: int, k: int) -> RieszEigResult:
    """The smallest eigenvalues with a potential; with half and a quarter of the modes to compare."""
    interval = modes.interval

    def values_of(x: Any) -> Any:
        return sample("potential", potential, x)

    def level(size: int) -> tuple[Any, Any, float]:
        y, w = gauss_rule(SAMPLES * size, modes.alpha)
        P = basis(size, modes.alpha, y)
        M = P.T @ (w[:, None] * P)
        shift = float(np.min(values_of(from_unit(y, interval))))
        K = np.diag(modes.eigenvalues(size)) + reaction_matrix(
            lambda x: values_of(x) - shift, modes, size, SAMPLES
        )
        L = cholesky(K, lower=True)
        C = solve_triangular(L, solve_triangular(L, M, lower=True).T, lower=True)
        inverse, Z = eigh((C + C.T) / 2, subset_by_index=(size - k, size - 1))  # (1)
        vectors = solve_triangular(L, Z[:, ::-1], lower=True, trans="T") * inverse[::-1] ** -0.5
        values = 1 / inverse[::-1]
        residual = K @ vectors - M @ vectors * values
        return values + shift, vectors, float(np.max(np.linalg.norm(residual, axis=0)))

    values, vectors, residual = level(N)
    free = _modes(N, modes.alpha, 1)[0][0] * laplacian_scale(interval, modes.alpha)
    size = np.maximum(np.abs(values), free)
    levels = [values / size, *(level(max(N // part, k))[0] / size for part in (2, 4))]
    y = gauss_rule(SAMPLES * N, modes.alpha)[0]
    missed = unseen_of(potential, from_unit(y, interval), interval)
    estimate = from_levels(*levels) * float(np.max(np.abs(levels[0])))
    estimate = max(estimate, 8 * N * UNIT, missed)
    jacobian = (interval[1] - interval[0]) / 2
    signs = np.sign(basis(N, modes.alpha, np.array([-1.0])) @ vectors)[0]
    vectors = vectors * (signs / np.sqrt(jacobian))
    result = RieszEigResult(
        x=values,
        status=Status.CONVERGED if estimate <= TOLERABLE else Status.STAGNATED,
        detail="" if estimate <= TOLERABLE else f"The error is estimated at {estimate:.1g}; n is too small.",
        residual=residual,
        points=from_unit(y, interval),
        sol=tuple(JacobiSolution(v.copy(), modes.alpha, interval) for v in vectors.T),
        method="spectral",
        reason="it was asked for",
        error_estimate=estimate,
        interval=interval,
    )
    deliver(result)
    return result


def _spline_eigenvalues(A: RieszSplineOperator, k: int, potential: Any = None) -> RieszEigResult:
    """The eigenvalues of the pencil (A, M) by a dense method; real in every case that was tried."""
    stiffness, M = A.todense(), A.mass().toarray()
    if potential is not None:
        stiffness += sample("potential", potential, A.greville)[:, None] * M
    values, vectors = eig(stiffness, M)
    order = np.argsort(values.real)[:k]
    values, vectors = values[order].real, vectors[:, order].real
    residual = float(np.max(np.linalg.norm(stiffness @ vectors - M @ vectors * values, axis=0)))
    a, b = A.interval
    nodes, weights = np.polynomial.legendre.leggauss(A.p + 1)
    edges = np.linspace(a, b, A.n + 1)
    x = (edges[:-1, None] + A.step * (1 + nodes) / 2).ravel()
    w = np.tile(A.step * weights / 2, A.n)
    functions = []
    for v in vectors.T:
        u = A.spline(v)(x)
        functions.append(A.spline(v * (np.sign(v[0]) / np.sqrt(w @ (u * u)))))
    return RieszEigResult(
        x=values,
        residual=residual,
        points=A.greville,
        sol=tuple(functions),
        method="spline",
        reason="it was asked for",
        error_estimate=lambda: _spline_error(A, values, potential),
        interval=A.interval,
    )


def _spline_error(A: RieszSplineOperator, values: Any, potential: Any) -> float:
    """The largest relative error of the eigenvalues, from those on half and a quarter of the spans.

    If these are too few, from spans in four parts.
    """

    def on(n: int) -> Array:
        other = RieszSplineOperator(n, A.p, A.alpha, interval=A.interval)
        matrix, M = other.todense(), other.mass().toarray()
        if potential is not None:
            matrix += sample("potential", potential, other.greville)[:, None] * M
        return np.asarray(np.sort(eigvals(matrix, M).real)[: values.size])

    meshes = [n for n in (A.n // 2, A.n // 4) if n >= 2 * A.p and n + A.p - 2 >= values.size]
    levels = [on(n) for n in meshes]
    if not levels:
        return QUARTERED * float(np.max(np.abs(1 - values / on(4 * A.n))))
    rows = [np.atleast_1d(values)[:, None], *(level[:, None] for level in levels)]
    return max(from_levels(fine, *coarse) for fine, *coarse in zip(*rows, strict=True))
