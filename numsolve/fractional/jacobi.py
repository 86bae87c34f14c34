r"""Jacobi modes: functions that a Riesz operator on an interval maps to polynomials.

For the weights w_l and w_r of the derivatives from the left and from the right, of sum one, let

    w_l sin(pi b) = w_r sin(pi a),     a + b = alpha,                         (1)
    C = 1 / cos(pi (a - b) / 2).                                              (2)

With the orthonormal polynomials ``P_k`` for ``(1 + y)^a (1 - y)^b`` and ``Q_k`` for ``(1 + y)^b (1 - y)^a``,

    R [(1 + y)_+^a (1 - y)_+^b P_k(y)] = lambda_k Q_k(y),                     (3)
    lambda_k = C Gamma(alpha + k + 1) / k!

on (-1, 1), for ``0 < alpha <= 2``; at ``alpha = 1`` for equal weights only, where ``a = b = alpha / 2`` and
``C = 1`` (V. J. Ervin, N. Heuer, J. P. Roop, Math. Comp. 87, 2018; Z. Mao, G. E. Karniadakis, SIAM J. Numer.
Anal. 56, 2018; for equal weights B. Dyda, A. Kuznetsov, M. Kwasnicki, Constr. Approx. 45, 2017). Solutions
behave at the ends like the modes, and what is left is smooth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import betaln, gammaln, roots_jacobi

from numsolve._core import checks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Weights = tuple[float, float]
#: Entries of a table of polynomials, at most, if it is kept for the next call.
MOST_KEPT = 1 << 18
EQUAL: Weights = (0.5, 0.5)


@dataclass(frozen=True, eq=False)
class JacobiSolution:
    """The function ``(1 + y)^a (1 - y)^b sum_k c_k P_k(y)`` on an interval, zero outside it.

    Parameters
    ----------
    coefficients : array of shape (N,)
        The numbers c_k; the P_k are orthonormal for the weight ``(1 + y)^a (1 - y)^b``.
    alpha : float
        Order, ``0 < alpha <= 2``.
    interval : tuple of float
        The ends; y runs from -1 to 1 between them.
    weights : tuple of float
        Weights of the derivatives from the left and from the right. They set the exponents a and b, which
        are ``alpha / 2`` for equal ones.
    """

    coefficients: Array
    alpha: float
    interval: tuple[float, float]
    weights: tuple[float, float] = EQUAL

    def __call__(self, x: Any) -> Array:
        """Evaluate at points of any shape."""
        return self._values(x, self.coefficients)

    def _values(self, x: Any, coefficients: Array) -> Array:
        x, inside = self._points(x)
        (a, b), (left, right) = self.interval, exponents(self.alpha, self.weights)
        # 1 + y and 1 - y from the distances to the ends, which keep their digits.
        below, above = 2 * ((x - a) / (b - a)), 2 * ((b - x) / (b - a))
        weight = (below * above) ** left if left == right else below**left * above**right
        values = weight * polynomial(coefficients, self.alpha, to_unit(x, self.interval), self.weights)
        return np.where(inside, values, np.where(np.isnan(x), np.nan, 0.0))

    def laplacian(self, x: Any) -> Array:
        """Evaluate the Riesz operator, ``(-Delta)^(alpha/2)`` for weights of one half, of the function.

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
        c = self.coefficients * eigenvalues(len(self.coefficients), self.alpha, self.weights)
        mirrored = self.weights[::-1]
        values = polynomial(c, self.alpha, to_unit(x, self.interval), mirrored)
        return np.where(inside, values * laplacian_scale(self.interval, self.alpha), np.nan)

    def along(self, others: tuple[JacobiSolution, ...], x: Any) -> Array:
        """Evaluate several functions in the same modes, a row for each.

        Parameters
        ----------
        others : tuple of JacobiSolution
            Of the same order, interval and weights.
        x : array_like
            Points, of any shape.

        Returns
        -------
        array of shape (len(others), ...)
        """
        x = checks.array("x", x, dtype=np.float64, check_finite=False)
        most = max(other.coefficients.size for other in others)
        table = np.stack([np.pad(o.coefficients, (0, most - o.coefficients.size)) for o in others], axis=1)
        return self._values(x.ravel(), table[:, :, None]).reshape(len(others), *x.shape)

    def same_modes(self, other: Any) -> bool:
        """Whether another solution is made of the same modes.

        Parameters
        ----------
        other : object
            Anything.

        Returns
        -------
        bool
        """
        return isinstance(other, JacobiSolution) and (other.alpha, other.interval, other.weights) == (
            self.alpha,
            self.interval,
            self.weights,
        )

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


def exponents(alpha: float, weights: Weights = EQUAL) -> tuple[float, float]:
    """The powers a and b of the distances from the left and the right end: (1)."""
    left, right = weights
    if left == right or alpha == 2:
        return alpha / 2, alpha / 2
    turn = math.pi * alpha
    a = math.atan2(left * math.sin(turn), right + left * math.cos(turn)) / math.pi
    if alpha > 1 and a <= 0:
        a += 1
    return a, alpha - a


def constant(alpha: float, weights: Weights = EQUAL) -> float:
    """The factor C times the sum of the weights: (2)."""
    a, b = exponents(alpha, weights)
    return sum(weights) / math.cos(math.pi * (a - b) / 2)


@lru_cache(maxsize=64)
def eigenvalues(N: int, alpha: float, weights: Weights = EQUAL) -> Array:
    """``lambda_k`` for k < N: (3)."""
    k = np.arange(float(N))
    values = np.asarray(constant(alpha, weights) * np.exp(gammaln(alpha + k + 1) - gammaln(k + 1)))
    values.flags.writeable = False  # they are kept
    return values


@lru_cache(maxsize=64)
def gauss_rule(N: int, left: float, right: float | None = None) -> tuple[Array, Array]:
    """Nodes and weights for ``(1 + y)^left (1 - y)^right``; one exponent is for both."""
    nodes, weights = roots_jacobi(N, left if right is None else right, left)
    return nodes, weights


def image_rule(N: int, alpha: float, weights: Weights = EQUAL) -> tuple[Array, Array]:
    """Nodes and weights for the polynomials Q, the images of the modes."""
    a, b = exponents(alpha, weights)
    return gauss_rule(N, b, a)


def basis(N: int, alpha: float, y: Array, weights: Weights = EQUAL) -> Array:
    """Values of ``P_k(y_i)``, shape (len(y), N); for the Q_k the weights are reversed."""
    return orthonormal(N, *exponents(alpha, weights), y)


def orthonormal(N: int, a: float, b: float, y: Array) -> Array:
    """Values of the orthonormal polynomials for ``(1 + y)^a (1 - y)^b``, shape (len(y), N)."""
    first, shift, beta = _recurrence(N, a, b)
    rows = np.empty((N, y.size))  # in rows, which lie together in memory
    rows[0] = first
    if N > 1:
        rows[1] = (y - shift[0]) * first / beta[1]
    even, work = not np.any(shift), np.empty(y.size)
    for k in range(2, N):
        row = rows[k]
        np.multiply(y if even else np.subtract(y, shift[k - 1], out=row), rows[k - 1], out=row)
        row -= np.multiply(rows[k - 2], beta[k - 1], out=work)
        row /= beta[k]
    return rows.T


def image_basis(N: int, samples: int, alpha: float, weights: Weights = EQUAL) -> Array:
    """Values of the polynomials Q at the nodes of `image_rule` with so many samples."""
    table = _kept_image_basis if N * samples <= MOST_KEPT else _image_basis
    return table(N, samples, alpha, weights)


def _image_basis(N: int, samples: int, alpha: float, weights: Weights) -> Array:
    return basis(N, alpha, image_rule(samples, alpha, weights)[0], weights[::-1])


@lru_cache(maxsize=24)
def _kept_image_basis(N: int, samples: int, alpha: float, weights: Weights) -> Array:
    values = _image_basis(N, samples, alpha, weights)
    values.flags.writeable = False
    return values


def both_bases(N: int, alpha: float, y: Array, weights: Weights) -> tuple[Array, Array]:
    """Values of the P_k and of the Q_k, which are the same for equal weights."""
    P = basis(N, alpha, y, weights)
    return P, P if weights[0] == weights[1] else basis(N, alpha, y, weights[::-1])


def polynomial(coefficients: Array, alpha: float, y: Array, weights: Weights = EQUAL) -> Array:
    """``sum_k c_k P_k(y)`` by Clenshaw's recurrence; coefficients of shape (N, n, 1) are for n functions."""
    N = len(coefficients)
    first, shift, beta = _recurrence(N + 1, *exponents(alpha, weights))
    ahead, now = np.zeros_like(y), np.zeros_like(y)
    for k in range(N - 1, -1, -1):
        after = beta[k + 1] / beta[k + 2] * ahead if k + 2 < len(beta) else 0.0
        ahead, now = now, coefficients[k] + (y - shift[k]) * now / beta[k + 1] - after
    return first * now


@lru_cache(maxsize=64)
def _recurrence(N: int, a: float, b: float) -> tuple[float, Array, Array]:
    """``P_0``, and the coefficients of ``y P_k = beta_{k+1} P_{k+1} + shift_k P_k + beta_k P_{k-1}``.

    The polynomials are those for ``(1 + y)^a (1 - y)^b``; beta goes to beta_N, and beta_0 is zero.
    """
    s = a + b
    k = np.arange(1.0, N + 1)
    shift = np.r_[(a - b) / (s + 2), (a - b) * s / ((2 * k + s) * (2 * k + s + 2))]
    # k (k + s) (k + a) (k + b), whose factors are the same in pairs where a = b.
    beta = 2 / (2 * k + s) * np.sqrt(k * (k + s) * (k + a) * (k + b) / ((2 * k + s + 1) * (2 * k + s - 1)))
    first = math.exp(-0.5 * ((s + 1) * math.log(2) + float(betaln(a + 1, b + 1))))
    beta = np.r_[0.0, beta]
    shift.flags.writeable = beta.flags.writeable = False  # they are kept
    return first, shift, beta
