r"""Test problems with known solutions, on the unit interval unless it says otherwise.

Each returns the right-hand side f of ``(-Delta)^(alpha/2) u = f`` (or of the operator with Caputo's
derivatives) and the solution u, as functions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import gamma, rgamma

from numsolve._core import checks

from ._settings import DERIVATIVES
from .bspline import check_alpha, riesz_constant
from .jacobi import JacobiSolution, eigenvalues, laplacian_scale, polynomial, to_unit
from .operator import check_interval, check_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ._settings import Derivative

    Array = NDArray[np.float64]
    Function = Callable[[Any], Array]


__all__ = ["bump", "eigenvalue_asymptotics", "getoor", "jacobi_mode"]


def __dir__() -> list[str]:
    """What is public."""
    return list(__all__)


def bump(
    m: int, alpha: float, *, definition: Derivative = "rl", weights: tuple[float, float] = (0.5, 0.5)
) -> tuple[Function, Function]:
    """Manufacture the problem with the solution ``(x (1 - x))^m``.

    Parameters
    ----------
    m : int
        Power, at least 1. For m = 1 the slope at the ends is not zero, and the two definitions differ.
    alpha : float
        Order, ``1 < alpha <= 2``.
    definition : {"rl", "caputo"}
        Which derivatives f is made of.
    weights : tuple of float
        Weights of the derivatives from the left and from the right.

    Returns
    -------
    f, u : callable
        Right-hand side, on the open interval, and solution, zero outside.

    Examples
    --------
    >>> from numsolve.fractional import problems, solve_riesz_bvp
    >>> f, u = problems.bump(3, 1.5)
    >>> r = solve_riesz_bvp(f, 1.5, n=128)
    >>> bool(abs(r(0.3) - u(0.3)) < 1e-10)
    True
    """
    m, alpha = checks.integer("m", m, low=1), check_alpha(alpha)
    weights = check_weights(weights)
    caputo = checks.choice("definition", definition, DERIVATIVES) == "caputo"
    q = np.arange(m, 2 * m + 1)
    factors = np.array([(-1.0) ** (k - m) * math.comb(m, int(k) - m) * gamma(k + 1) for k in q])
    factors *= rgamma(q + 1 - alpha)
    if caputo and m == 1:
        factors[0] = 0.0

    def one_sided(x: Array) -> Array:
        return np.asarray(np.power.outer(x, q - alpha) @ factors)

    def f(x: Any) -> Array:
        x = np.asarray(x, dtype=float)
        left, right = (2 * riesz_constant(alpha) * w for w in weights)
        return left * one_sided(x) + right * one_sided(1 - x)

    def u(x: Any) -> Array:
        x = np.asarray(x, dtype=float)
        return np.where((x > 0) & (x < 1), np.abs(x * (1 - x)) ** m, 0.0)

    return f, u


def getoor(alpha: float, interval: tuple[float, float] = (-1.0, 1.0)) -> tuple[Function, Function]:
    """Make Getoor's problem: f = 1, the mean time in which a Lévy flight leaves the interval.

    Parameters
    ----------
    alpha : float
        Order, ``1 < alpha <= 2``.
    interval : tuple of float
        The ends.

    Returns
    -------
    f, u : callable
        One, and ``((x - a) (b - x))^(alpha/2) / Gamma(alpha + 1)``.

    References
    ----------
    R. K. Getoor, "First passage times for symmetric stable processes in space", Trans. Amer. Math. Soc. 101,
    1961.
    """
    alpha = check_alpha(alpha)
    a, b = check_interval(interval)

    def f(x: Any) -> Array:
        return np.ones(np.shape(x))

    def u(x: Any) -> Array:
        x = np.asarray(x, dtype=float)
        return np.asarray(np.maximum((x - a) * (b - x), 0.0) ** (alpha / 2) * rgamma(alpha + 1))

    return f, u


def jacobi_mode(
    k: int, alpha: float, interval: tuple[float, float] = (-1.0, 1.0)
) -> tuple[Function, Function]:
    """Make the problem whose right-hand side is the k-th orthonormal Jacobi polynomial.

    Parameters
    ----------
    k : int
        Degree of the polynomial.
    alpha : float
        Order, ``1 < alpha <= 2``.
    interval : tuple of float
        The ends.

    Returns
    -------
    f, u : callable
        The polynomial, and the mode over its eigenvalue.
    """
    k, alpha = checks.integer("k", k, low=0), check_alpha(alpha)
    interval = check_interval(interval)
    unit = np.eye(k + 1)[k]
    u = JacobiSolution(unit / (eigenvalues(k + 1, alpha) * laplacian_scale(interval, alpha)), alpha, interval)
    return lambda x: polynomial(unit, alpha, to_unit(np.asarray(x, dtype=float), interval)), u


def eigenvalue_asymptotics(k: int, alpha: float, interval: tuple[float, float] = (-1.0, 1.0)) -> Array:
    """Approximate the first k eigenvalues of the fractional Laplacian on an interval, to ``O(1/j)``.

    Parameters
    ----------
    k : int
        How many.
    alpha : float
        Order, ``1 < alpha <= 2``.
    interval : tuple of float
        The ends.

    Returns
    -------
    array of shape (k,)

    References
    ----------
    M. Kwasnicki, "Eigenvalues of the fractional Laplace operator in the interval", J. Funct. Anal. 262, 2012.
    """
    k, alpha = checks.integer("k", k, low=0), check_alpha(alpha)
    a, b = check_interval(interval)
    j = np.arange(1, k + 1)
    return np.asarray((j * np.pi / 2 - (2 - alpha) * np.pi / 8) ** alpha * ((b - a) / 2) ** -alpha)
