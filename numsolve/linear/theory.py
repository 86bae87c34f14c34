r"""What is known beforehand about relaxation: rates, counts and the parameters that are best by them.

Write A = D + L + U for a symmetric positive definite matrix and M = D/w + L for the step of SOR with the
parameter w. Two theories say how fast it is.

D. M. Young's is exact where the order of the rows is consistent, as it is for a grid with five-point
differences: an eigenvalue m of Jacobi's iteration ``I - D^-1 A`` and one, l, of SOR satisfy
``(l + w - 1)**2 = l w**2 m**2``.

O. Axelsson's holds for every such matrix. SSOR has the error propagation ``I - P^-1 A`` with

    P = M (M + M' - A)^-1 M' = (A + (1 - w)/w D + w L D^-1 U) / (2 - w) >= A,

and ``L D^-1 U = D/4 + (L D^-1 U - D/4)`` turns the least eigenvalue of ``P^-1 A`` into

    1 / lambda_min <= (1 + a (2 - w)**2 / (4 w) + b w) / (2 - w) =: kappa(w),
    a = lambda_max(A^-1 D),   b = lambda_max(A^-1 (L D^-1 U - D/4)).

As all eigenvalues of ``P^-1 A`` are at most 1, kappa bounds its condition number. And the two sweeps of SSOR
are adjoint to each other in the energy norm: one alone shrinks the energy of the error by the factor
``1 - 1/kappa`` or more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp

from numsolve._core import checks

from ._system import canonical

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Matrix

__all__ = [
    "optimal_omega",
    "sor_contraction",
    "sor_iterations",
    "spectral_radius",
    "ssor_cg_iterations",
    "ssor_condition",
]

#: Matrices of at most this size are made dense.
DENSE = 64


def __dir__() -> list[str]:
    return __all__


def spectral_radius(omega: ArrayLike, beta: float) -> Any:
    """The spectral radius of SOR for a consistently ordered matrix, by Young's theory.

    Parameters
    ----------
    omega : float or array
        Relaxation parameters, in (0, 2).
    beta : float
        The spectral radius of Jacobi's iteration ``I - D^-1 A``, in [0, 1), whose eigenvalues are real;
        ``cos(pi / (m + 1))`` for the five-point Laplacian on a grid of m x m points.

    Returns
    -------
    float or array of the shape of `omega`
        ``((w beta + sqrt(w**2 beta**2 - 4 (w - 1))) / 2)**2`` up to the best parameter, ``w - 1`` beyond it.

    See Also
    --------
    numsolve.linear.optimal_omega : The parameter that minimises it, for a matrix.

    References
    ----------
    D. M. Young, "Iterative Solution of Large Linear Systems", Academic Press, 1971, chapter 6.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.linear import theory
    >>> theory.spectral_radius(np.array([1.0, 1.5, 1.9]), np.cos(np.pi / 11)).round(4)
    array([0.9206, 0.728 , 0.9   ])
    """
    w, beta = _parameters(omega), checks.real("beta", beta, low=0.0, high=1.0, open_high=True)
    under = (w * beta) ** 2 - 4 * (w - 1)
    radius = np.where(under > 0, (w * beta + np.sqrt(np.maximum(under, 0.0))) ** 2 / 4, w - 1)
    return radius[()]


def sor_iterations(omega: ArrayLike, beta: float, rtol: float, *, tau: float = 0.0) -> Any:
    r"""Iterations of SOR until the residual has fallen to `rtol`, by Young's theory.

    ``U = 1 + log(rtol) / log(rho + tau (1 - rho))`` with rho = `spectral_radius(omega, beta)`. The powers of
    SOR's matrix C are larger at first than those of its spectral radius. With

        tau = max_w (||C^{k-1}||^{1/(k-1)} - rho) / (1 - rho),    k iterations at w,

    U is never below k; tau = 0 is the rate of the long run, and tau around 0.2 usual.

    Parameters
    ----------
    omega : float or array
        Relaxation parameters, in (0, 2).
    beta : float
        The spectral radius of Jacobi's iteration, in [0, 1).
    rtol : float
        The residual over the first one, in (0, 1).
    tau : float
        What the powers of the matrix are above the spectral radius, in [0, 1).

    Returns
    -------
    float or array of the shape of `omega`
        Steep below the best parameter and gentle above it: a tuner needs few values of omega.

    References
    ----------
    M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar, "Learning to relax: setting solver parameters across a
    sequence of linear system instances", ICLR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> A, b, omega = linear.problems.laplacian(10), np.ones(100), [1.0, 1.5, 1.9]
    >>> linear.theory.sor_iterations(omega, np.cos(np.pi / 11), 1e-8, tau=0.2).round(1)
    array([281.8,  76.1, 221.9])
    >>> [linear.sor(A, b, omega=w, rtol=1e-8).nit for w in omega]
    [223, 62, 187]
    """
    rtol = checks.real("rtol", rtol, low=0.0, high=1.0, open_low=True, open_high=True)
    tau = checks.real("tau", tau, low=0.0, high=1.0, open_high=True)
    rho = spectral_radius(omega, beta)
    with np.errstate(divide="ignore"):  # rho = 0: one iteration
        return 1 + np.log(rtol) / np.log(rho + tau * (1 - rho))


def ssor_condition(A: Matrix, omega: ArrayLike) -> Any:
    """Axelsson's bound of the condition number that the SSOR preconditioner leaves.

    Parameters
    ----------
    A : array or sparse matrix of shape (n, n)
        Symmetric positive definite. It is factorised, for some eigenvalues.
    omega : float or array
        Relaxation parameters, in (0, 2).

    Returns
    -------
    float or array of the shape of `omega`
        kappa(omega), at least 1. Its least value is ``1/2 + sqrt((1/2 + b) a)``, for ``omega = 2 / (1 +
        sqrt((2 + 4 b) / a))``. On grids b is negative, and the condition of A is left with its square root.

    Raises
    ------
    ValueError
        If A is not positive definite, or an omega is outside (0, 2).

    References
    ----------
    O. Axelsson, "Iterative Solution Methods", Cambridge University Press, 1994, theorem 7.17.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> A = linear.problems.laplacian(50)
    >>> linear.theory.ssor_condition(A, np.array([1.0, 1.5, 1.9])).round(1)
    array([132.8,  45.9,  16.9])
    """
    return _kappa(_Spectrum(A), _parameters(omega))[()]


def sor_contraction(A: Matrix, omega: ArrayLike) -> Any:
    """A bound of the factor by which each step of SOR shrinks the error in the energy norm.

    Parameters
    ----------
    A : array or sparse matrix of shape (n, n)
        Symmetric positive definite, in any order. It is factorised, for some eigenvalues.
    omega : float or array
        Relaxation parameters, in (0, 2).

    Returns
    -------
    float or array of the shape of `omega`
        ``sqrt(1 - 1/kappa)`` with kappa = `ssor_condition(A, omega)`, below 1.

    References
    ----------
    W. Hackbusch, "Iterative Solution of Large Sparse Systems of Equations", 2nd ed., Springer, 2016, section
    3.5.

    Examples
    --------
    >>> from numsolve import linear
    >>> print(f"{linear.theory.sor_contraction(linear.problems.laplacian(10), 1.5):.3f}")
    0.868
    """
    return np.sqrt(1 - 1 / ssor_condition(A, omega))


def ssor_cg_iterations(A: Matrix, omega: ArrayLike, rtol: float) -> Any:
    """A bound of the iterations of `numsolve.linear.ssor_cg` from zero, whatever the right-hand side.

    The error of conjugate gradients falls in the energy norm as Chebyshev's polynomials do, on an interval of
    the condition `ssor_condition`; its ratio to the residual stays between the roots of the extreme
    eigenvalues of A.

    Parameters
    ----------
    A : array or sparse matrix of shape (n, n)
        Symmetric positive definite. It is factorised, for some eigenvalues.
    omega : float or array
        Relaxation parameters, in (0, 2).
    rtol : float
        The residual over the norm of the right-hand side, in (0, 1).

    Returns
    -------
    float or array of the shape of `omega`
        Whole numbers. On grids the counts are a third to two thirds of them, least near the same omega.

    References
    ----------
    O. Axelsson, "Iterative Solution Methods", Cambridge University Press, 1994, chapters 7 and 13.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> A, b, omega = linear.problems.laplacian(30), np.ones(900), [1.0, 1.5, 1.9]
    >>> linear.theory.ssor_cg_iterations(A, omega, 1e-8)
    array([78., 47., 39.])
    >>> [linear.ssor_cg(A, b, omega=w, rtol=1e-8).nit for w in omega]
    [32, 21, 26]
    """
    rtol = checks.real("rtol", rtol, low=0.0, high=1.0, open_low=True, open_high=True)
    w, spectrum = _parameters(omega), _Spectrum(A)
    root = np.sqrt(_kappa(spectrum, w))
    reduction = np.arccosh(np.sqrt(spectrum.condition) / rtol)
    with np.errstate(divide="ignore"):  # kappa = 1: one iteration
        return np.maximum(np.ceil(-reduction / np.log((root - 1) / (root + 1))), 1.0)[()]


def optimal_omega(A: Matrix, *, method: Literal["lanczos", "exact"] = "lanczos", rtol: float = 1e-3) -> float:
    r"""Young's optimal relaxation parameter for SOR.

    ``w = 2 / (1 + sqrt(1 - beta**2))`` with beta the spectral radius of Jacobi's iteration ``I - D^-1 A``.
    It is the best one for a symmetric positive definite A whose order is consistent, as that of a grid with
    five-point differences is; elsewhere it is a good guess. For SSOR-preconditioned conjugate gradients it
    is none.

    Parameters
    ----------
    A : array or sparse matrix of shape (n, n)
        Symmetric, with a positive diagonal.
    method : {"lanczos", "exact"}
        How the spectral radius is found; "exact" makes the matrix dense.
    rtol : float
        Accuracy of ``1 - beta`` that Lanczos' method is asked for.

    Returns
    -------
    float
        In [1, 2).

    Raises
    ------
    ValueError
        If the diagonal is not positive, or beta is not below 1: then A is not positive definite, or SOR has
        no such theory.

    See Also
    --------
    numsolve.linear.theory.spectral_radius : What it is optimal for.

    References
    ----------
    D. M. Young, "Iterative Solution of Large Linear Systems", Academic Press, 1971, chapter 6.

    Examples
    --------
    >>> from numsolve import linear
    >>> round(linear.optimal_omega(linear.problems.laplacian(10)), 6)
    1.560388
    """
    checks.choice("method", method, ("lanczos", "exact"))
    rtol = checks.real("rtol", rtol, low=0.0, open_low=True)
    S = _scaled(canonical(A))
    n = S.shape[0]
    if method == "exact" or n < 20:
        ends = np.linalg.eigvalsh(S.toarray()) if n else np.ones(1)
    else:
        ends = np.array([_end(S, 0.0, rtol), _end(S, 2.0, rtol)])
    gap = 1 - max(abs(1 - ends[0]), abs(1 - ends[-1]))
    if not gap > 100 * np.finfo(S.dtype).eps:
        raise ValueError(
            f"the spectral radius of I - D^-1 A must be below 1, got {1 - gap:.6g}: "
            "A is not positive definite, or Jacobi's iteration diverges for it"
        )
    return float(2 / (1 + np.sqrt(gap * (2 - gap))))


class _Spectrum:
    """The numbers a and b of a matrix, and its condition."""

    def __init__(self, A: Any) -> None:
        from scipy.sparse.linalg import LinearOperator, splu

        A = canonical(A).astype(float)
        if not A.shape[0]:
            raise ValueError("A must have a row, got shape (0, 0)")
        S, root = _scaled(A), np.sqrt(A.diagonal())
        # Without exchanges of rows the pivots have the signs of the eigenvalues.
        factors = splu(sp.csc_array(S), "MMD_AT_PLUS_A", 0.0, options={"SymmetricMode": True})
        if not (factors.U.diagonal() > 0).all():
            raise ValueError("A must be positive definite, got a pivot that is not above 0")
        inverse = LinearOperator(S.shape, factors.solve, dtype=float)
        inverse_A = LinearOperator(S.shape, lambda v: factors.solve(v.ravel() / root) / root, dtype=float)
        L = sp.tril(S, -1, format="csr")
        self.a = _largest(inverse)
        # Often b is close to 0, in a crowd of eigenvalues; kappa needs 1 + b, to a few digits.
        B = sp.csr_array(L @ L.T - 0.25 * sp.eye_array(S.shape[0]) + S)
        self.b = _largest(B, tol=1e-4, M=S, Minv=inverse) - 1
        self.condition = max(_largest(A) * _largest(inverse_A), 1.0)


def _end(S: Any, limit: float, rtol: float) -> float:
    """The eigenvalue that is nearest to 0 or to 2, its distance resolved."""
    from scipy.sparse.linalg import eigsh

    tol, start, which = rtol, _start(S.shape[0]).astype(S.dtype), "LA" if limit else "SA"
    while True:
        (value,) = eigsh(S, 1, which=which, tol=tol, v0=start, return_eigenvectors=False)
        distance = abs(float(value) - limit)
        if tol * abs(value) <= distance or tol <= np.finfo(S.dtype).eps:
            return float(value)
        tol = max(0.1 * distance, float(np.finfo(S.dtype).eps))


def _start(n: int) -> Array:
    """Where a Lanczos process starts: not orthogonal to odd eigenvectors, as ones are."""
    out: Array = np.random.default_rng(0).standard_normal(n)
    return out


def _largest(A: Any, *, tol: float = 1e-8, **pencil: Any) -> float:
    """The largest eigenvalue of A, or of M^-1 A."""
    from scipy.linalg import eigh
    from scipy.sparse.linalg import eigsh

    n = A.shape[0]
    if n > DENSE:
        (value,) = eigsh(A, 1, which="LA", v0=_start(n), tol=tol, return_eigenvectors=False, **pencil)
        return float(value)
    dense = [B @ np.eye(n) for B in (A, *list(pencil.values())[:1])]
    return float(eigh(*dense, eigvals_only=True)[-1])


def _kappa(s: _Spectrum, w: Any) -> Any:
    return np.maximum((1 + s.a * (2 - w) ** 2 / (4 * w) + s.b * w) / (2 - w), 1.0)


def _parameters(omega: Any) -> Any:
    """Relaxation parameters as an array of floats."""
    w = checks.array("omega", omega, check_finite=False).astype(float)
    if not ((w > 0) & (w < 2)).all():
        raise ValueError(f"omega must be above 0 and below 2, got {w[~((w > 0) & (w < 2))].flat[0]}")
    return w


def _scaled(A: Any) -> Any:
    """D^-1/2 A D^-1/2."""
    diag = A.diagonal()
    if not (diag > 0).all():
        raise ValueError(f"A must have a positive diagonal, got {diag[~(diag > 0)][0]}")
    scale = sp.diags_array(1 / np.sqrt(diag))
    return sp.csr_array(scale @ A @ scale)
