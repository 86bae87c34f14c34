r"""Jacobi modes: functions that the fractional Laplacian on an interval maps to polynomials.

On (-1, 1), with ``a = alpha / 2`` and the orthonormal polynomials ``P_k`` for the weight ``(1 - y^2)^a``,

    (-Delta)^a [(1 - y^2)_+^a P_k(y)] = lambda_k P_k(y),     lambda_k = Gamma(alpha + k + 1) / k!

(B. Dyda, A. Kuznetsov, M. Kwasnicki, Constr. Approx. 45, 2017; Z. Mao, S. Chen, J. Shen, Appl. Numer. Math.
106, 2016). Solutions behave like ``dist^a`` at the ends; the modes do so too, and what is left is smooth.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import gammaln, roots_jacobi

from numsolve._core import checks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class JacobiSolution:
    """The function ``(1 - y^2)^(alpha/2) sum_k c_k P_k(y)`` on an interval, zero outside it.

    Parameters
    ----------
    coefficients : array of shape (N,)
        The numbers c_k; the P_k are orthonormal for the weight ``(1 - y^2)^(alpha/2)``.
    alpha : float
        Order.
    interval : tuple of float
        The ends; y runs from -1 to 1 between them.
    """

    coefficients: Array
    alpha: float
    interval: tuple[float, float]

    def __call__(self, x: Any) -> Array:
        """Evaluate at points of any shape."""
        x, inside = self._points(x)
        a, b = self.interval
        # (1 - y) (1 + y) from the distances to the ends, which keep their digits.
        weight = (4 * ((x - a) / (b - a)) * ((b - x) / (b - a))) ** (self.alpha / 2)
        values = weight * polynomial(self.coefficients, self.alpha, to_unit(x, self.interval))
        return np.where(inside, values, np.where(np.isnan(x), np.nan, 0.0))

    def laplacian(self, x: Any) -> Array:
        """Evaluate ``(-Delta)^(alpha/2)`` of the function.

        Parameters
        ----------
        x : array_like
            Points, of any shape.

        Returns
        -------
        array of the shape of x
            A polynomial, known inside the interval only: nan outside.
        """
        x, inside = self._points(x)
        c = self.coefficients * eigenvalues(len(self.coefficients), self.alpha)
        values = polynomial(c, self.alpha, to_unit(x, self.interval)) * laplacian_scale(
            self.interval, self.alpha
        )
        return np.where(inside, values, np.nan)

    def _points(self, x: Any) -> tuple[Array, Array]:
        """The points, those outside moved to the left end, and which are inside."""
        x = checks.array("x", x, dtype=np.float64, check_finite=False)
        a, b = self.interval
        inside = (x > a) & (x < b)
        return np.where(inside | np.isnan(x), x, a), inside


def to_unit(x: Any, interval: tuple[float, float]) -> Any:
    """Map the interval to (-1, 1)."""
    a, b = interval
    return ((x - a) - (b - x)) / (b - a)


def from_unit(y: Any, interval: tuple[float, float]) -> Any:
    """Map (-1, 1) to the interval."""
    a, b = interval
    return (a + b) / 2 + (b - a) / 2 * y


def laplacian_scale(interval: tuple[float, float], alpha: float) -> float:
    """What ``(-Delta)^(alpha/2)`` on (-1, 1) is multiplied by on the interval."""
    return float(((interval[1] - interval[0]) / 2) ** -alpha)


def eigenvalues(N: int, alpha: float) -> Array:
    """``lambda_k`` for k < N."""
    k = np.arange(float(N))
    return np.asarray(np.exp(gammaln(alpha + k + 1) - gammaln(k + 1)))


@lru_cache(maxsize=64)
def gauss_rule(N: int, exponent: float) -> tuple[Array, Array]:
    """Nodes and weights for ``(1 - y^2)^exponent``."""
    nodes, weights = roots_jacobi(N, exponent, exponent)
    return nodes, weights


def basis(N: int, alpha: float, y: Array) -> Array:
    """Values of ``P_k(y_i)``, shape (len(y), N)."""
    first, beta = _recurrence(N, alpha)
    out = np.empty((y.size, N))
    out[:, 0] = first
    if N > 1:
        out[:, 1] = y * first / beta[1]
    for k in range(2, N):
        out[:, k] = (y * out[:, k - 1] - beta[k - 1] * out[:, k - 2]) / beta[k]
    return out


def polynomial(coefficients: Array, alpha: float, y: Array) -> Array:
    """``sum_k c_k P_k(y)`` by Clenshaw's recurrence."""
    N = len(coefficients)
    first, beta = _recurrence(N + 1, alpha)
    ahead, now = np.zeros_like(y), np.zeros_like(y)
    for k in range(N - 1, -1, -1):
        after = beta[k + 1] / beta[k + 2] * ahead if k + 2 < len(beta) else 0.0
        ahead, now = now, coefficients[k] + y * now / beta[k + 1] - after
    return first * now


def _recurrence(N: int, alpha: float) -> tuple[float, Array]:
    """``P_0``, and beta in ``y P_k = beta_{k+1} P_{k+1} + beta_k P_{k-1}``, to beta_N."""
    k = np.arange(1.0, N + 1)
    beta = np.sqrt(k * (k + alpha) / ((2 * k + alpha + 1) * (2 * k + alpha - 1)))
    a = alpha / 2
    mass = np.sqrt(np.pi) * np.exp(gammaln(a + 1) - gammaln(a + 1.5))
    return float(mass**-0.5), np.r_[0.0, beta]
