r"""The *spectral* fractional Laplacian: a power of the Laplacian with zero boundary values, by sines.

On an interval of length L, with ``t = (x - a) / L``, its eigenfunctions are sines for every order,

    A sin(k pi t) = lambda_k sin(k pi t),   lambda_k = (k pi / L)^alpha,              (1)

while those of the integral operator of `jacobi` are others, with smaller eigenvalues. With the linear
function l that has the end values of f, ``A w = l`` has the solution

    w = sum_k 2 / (k pi) (l(a) - (-1)^k l(b)) sin(k pi t) / lambda_k,                  (2)

which `sine_sum` evaluates in closed form. The rest ``v = u - w`` of the solution of ``A u + r u = f``,

    A v + r v = (f - l) - r w,                                                        (3)

has a right-hand side that vanishes at the ends. It is collocated at ``t_j = j / n`` by sine transforms. If f
and r are smooth, the coefficients of v fall like ``k^(-3-alpha)``, those of u like ``k^(-1-alpha)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.fft import dst
from scipy.interpolate import barycentric_interpolate
from scipy.special import gammaln, zeta

from numsolve._core import checks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Ends = tuple[float, float]

#: Terms of the power series of `sine_sum`, whose ratio is at most a quarter.
TERMS = 30
#: Distance of the order from one below which two terms of it, which have poles there, are taken together;
#: and distances to interpolate from.
POLE = 0.05
AROUND_POLE = (1 + 0.25 * np.cos(np.pi * (np.arange(12) + 0.5) / 12)) - 1  # of which one plus is exact
#: Entries of a table of sines.
MOST_ENTRIES = 1 << 22


@dataclass(frozen=True, eq=False)
class SineSolution:
    """The function ``sum_k c_k sin(k pi t) + w`` on an interval, zero outside it.

    Parameters
    ----------
    coefficients : array of shape (N,)
        The numbers c_k, from ``k = 1``.
    alpha : float
        Order of the operator of which w is the solution for a linear function.
    interval : tuple of float
        The ends; t runs from 0 to 1 between them.
    ends : tuple of float
        The values of the linear function there; w is zero for zeros.
    factor : float
        What the operator is multiplied by.
    """

    coefficients: Array
    alpha: float
    interval: tuple[float, float]
    ends: tuple[float, float] = (0.0, 0.0)
    factor: float = 1.0

    def __call__(self, x: Any) -> Array:
        """Evaluate at points of any shape."""
        x, below, above = self._places(x)
        values = series(self.coefficients, below) + self.lifted(below, above)
        return np.where((below > 0) & (above > 0), values, np.where(np.isnan(x), np.nan, 0.0))

    def laplacian(self, x: Any) -> Array:
        """Evaluate the spectral fractional Laplacian of the function.

        Parameters
        ----------
        x : array_like
            Points, of any shape.

        Returns
        -------
        array of the shape of x
            Known inside the interval only: nan outside.
        """
        x, below, above = self._places(x)
        c = self.coefficients * sine_eigenvalues(self.coefficients.size, self.alpha, self.interval)
        values = self.factor * series(c, below) + self.ends[0] * above + self.ends[1] * below
        return np.where((below > 0) & (above > 0), values, np.nan)

    def lifted(self, below: Array, above: Array) -> Array:
        """Evaluate the function w of (2).

        Parameters
        ----------
        below, above : array
            How far the points are from the left and the right end, over the length of the interval.

        Returns
        -------
        array of the shape of `below`
            Zero where the linear function is.
        """
        if not any(self.ends):
            return np.zeros(np.shape(below))
        length = self.interval[1] - self.interval[0]
        near = self.ends[0] * sine_sum(np.pi * below, self.alpha)
        far = self.ends[1] * sine_sum(np.pi * above, self.alpha)
        return np.asarray(2 / np.pi * (length / np.pi) ** self.alpha / self.factor * (near + far))

    def _places(self, x: Any) -> tuple[Array, Array, Array]:
        """The points, and the fractions of the interval that lie below and above them."""
        x = checks.array("x", x, dtype=np.float64, check_finite=False)
        a, b = self.interval
        inside = np.where((x > a) & (x < b), x, a)
        return x, np.where(inside > a, (inside - a) / (b - a), 0.0), (b - inside) / (b - a)


def sine_eigenvalues(N: int, alpha: float, interval: tuple[float, float]) -> Array:
    """The first N eigenvalues: (1)."""
    return np.asarray((np.arange(1.0, N + 1) * (np.pi / (interval[1] - interval[0]))) ** alpha)


def linear_coefficients(N: int, ends: Ends) -> Array:
    """The sine coefficients of the linear function with these end values."""
    k = np.arange(1.0, N + 1)
    return np.asarray(2 / (np.pi * k) * (ends[0] - np.where(k % 2 == 0, 1.0, -1.0) * ends[1]))


def to_sines(values: Array) -> Array:
    """Coefficients of the sines that have these values at ``t_j``, along the first axis."""
    return np.asarray(dst(values, type=1, axis=0) / (values.shape[0] + 1))


def from_sines(coefficients: Array) -> Array:
    """Values at ``t_j``, along the first axis."""
    return np.asarray(dst(coefficients, type=1, axis=0) / 2)


def sines(N: int, t: Array) -> Array:
    """Values of the first N sines, a row for each point."""
    return np.asarray(np.sin(np.pi * np.multiply.outer(t, np.arange(1.0, N + 1))))


def series(coefficients: Array, t: Array) -> Array:
    """``sum_k c_k sin(k pi t)`` at points of any shape."""
    flat, N = np.ravel(t), len(coefficients)
    rows = max(MOST_ENTRIES // max(N, 1), 1)
    parts = [sines(N, flat[j : j + rows]) @ coefficients for j in range(0, flat.size, rows)]
    return np.concatenate([np.zeros(0), *parts]).reshape(np.shape(t))


def grid(n: int, interval: tuple[float, float]) -> Array:
    """The points ``t_j`` inside an interval of n spans."""
    a, b = interval
    return np.asarray(a + (b - a) * (np.arange(1.0, n) / n))


def ends_of(function: Callable[[Array], Any], interval: tuple[float, float]) -> Ends:
    """The values of a function at the ends; zeros where it has none."""
    with np.errstate(all="ignore"):
        values = np.asarray(function(np.array(interval)), dtype=np.float64)
    left, right = (float(v) if math.isfinite(v) else 0.0 for v in np.broadcast_to(values, (2,)))
    return left, right


def sine_sum(theta: Array, alpha: float) -> Array:
    r"""``sum_k sin(k theta) / k^(1 + alpha)`` for ``0 <= theta <= pi``.

    With ``e = alpha - 1`` it is ``-pi theta^alpha / (2 sin(pi e / 2) Gamma(1 + alpha))`` and a power series,

        sum_{m odd} (-1)^((m - 1) / 2) zeta(1 + alpha - m) theta^m / m!.                 (4)
    """
    theta = np.asarray(theta, dtype=np.float64)
    first, *others = _series_coefficients(alpha)
    total, square = np.zeros(theta.shape), theta * theta
    for c in others[::-1]:
        total = (total + c) * square
    e = alpha - 1
    if abs(e) >= POLE:
        root = -np.pi / 2 * theta**alpha / (math.sin(np.pi * e / 2) * math.gamma(1 + alpha))
        return np.asarray(root + (first + total) * theta)
    regular, shift = _next_to_the_pole(e)
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(theta) + shift
        both = np.where(theta > 0, theta * (regular - (np.expm1(e * log) / e if e else log)), 0.0)
    return np.asarray(both + total * theta)


@lru_cache(maxsize=64)
def _series_coefficients(alpha: float) -> tuple[float, ...]:
    m = np.arange(1.0, 2 * TERMS, 2)
    values = np.cos(np.pi / 2 * (m - 1)).round() * zeta(alpha - (m - 1)) * np.exp(-gammaln(m + 1))
    return tuple(values.tolist())


@lru_cache(maxsize=64)
def _next_to_the_pole(e: float) -> tuple[float, float]:
    """``zeta(1 + e) - 1/e``, and s in ``exp(s e) / e`` for ``pi / (2 sin(pi e / 2) Gamma(2 + e))``."""
    nodes = AROUND_POLE
    shift = -(np.log(np.sin(np.pi * nodes / 2) / (np.pi * nodes / 2)) + gammaln(2 + nodes)) / nodes
    rows = np.stack([zeta(1 + nodes) - 1 / nodes, shift], axis=1)
    regular, shift = barycentric_interpolate(nodes, rows, e)
    return float(regular), float(shift)


class TensorSine:
    """A sum of products of sines, zero outside its rectangle.

    Parameters
    ----------
    coefficients : array of shape (Kx, Ky)
        Those of ``sin(j pi s) sin(k pi t)``, from ``j = k = 1``.
    interval : pair of tuple
        The sides of the rectangle; s and t run from 0 to 1 between their ends.
    """

    def __init__(self, coefficients: Array, interval: tuple[Ends, Ends]) -> None:
        self.coefficients = checks.array("coefficients", coefficients, dtype=np.float64, ndim=2)
        self.interval = interval

    def __call__(self, x: Any, y: Any) -> Array:
        """Evaluate at points; x and y are broadcast."""
        x, y = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
        (s, t), known = zip(*(self._fraction(v, side) for v, side in self._sides(x, y)), strict=True)
        values, rows = np.zeros(x.size), max(MOST_ENTRIES // max(self.coefficients.shape), 1)
        for j in range(0, x.size, rows):
            left, right = (
                sines(K, v.ravel()[j : j + rows])
                for K, v in zip(self.coefficients.shape, (s, t), strict=True)
            )
            values[j : j + rows] = np.sum((left @ self.coefficients) * right, axis=1)
        return np.where(known[0] & known[1], values.reshape(x.shape), np.where(np.isnan(x + y), np.nan, 0.0))

    def table(self, x: Array, y: Array) -> Array:
        """Evaluate at all pairs of two vectors.

        Parameters
        ----------
        x, y : array of shape (m,) and (n,)
            Coordinates inside the rectangle.

        Returns
        -------
        array of shape (m, n)
        """
        s, t = (self._fraction(v, side)[0] for v, side in self._sides(x, y))
        Kx, Ky = self.coefficients.shape
        return np.asarray(sines(Kx, s) @ self.coefficients @ sines(Ky, t).T)

    def _sides(self, x: Array, y: Array) -> Any:
        return zip((x, y), self.interval, strict=True)

    @staticmethod
    def _fraction(x: Array, side: Ends) -> tuple[Array, Any]:
        """The fraction of a side that lies below each point, and whether it is inside."""
        a, b = side
        inside = (x > a) & (x < b)
        return np.where(inside, (np.where(inside, x, a) - a) / (b - a), 0.0), inside
