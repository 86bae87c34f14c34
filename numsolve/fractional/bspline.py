r"""Fractional derivatives of B-splines, without cancellation.

A B-spline is a sum of truncated powers, and so is its Riemann-Liouville derivative of order
``1 < alpha <= 2``; but beyond the support that sum cancels down to ``x**(-1 - alpha)`` from terms of the
size ``x**(p - alpha)``, and in double precision nothing is left of it. Here the integrals

    D^alpha N(x) = N'(0) x^(1-alpha) / Gamma(2-alpha)
                   + 1/Gamma(2-alpha) int_0^x N''(s) (x-s)^(1-alpha) ds         near the support,
    D^alpha N(x) = 1/Gamma(-alpha) int_0^end N(s) (x-s)^(-1-alpha) ds           beyond it,

are computed instead, the first by Gauss rules span by span, the second by Gauss rules and, far away, by its
series in the moments of N. In the second all terms are positive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import rgamma, roots_jacobi

from numsolve._core import checks

from ._settings import SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from ._settings import Side

    Array = NDArray[np.float64]

#: alpha is refused at and below this: the factor 1 / cos(pi alpha / 2) has a pole at one.
LEAST_ALPHA = 1 + 1e-6
#: Points for which a smooth integrand is integrated to rounding errors, over one span.
GAUSS = 16
#: Terms of the series in the moments, and the distance, in supports, from which on they suffice.
TERMS, FAR = 24, 3.0
BLOCK = 1 << 15


def bspline_fractional_derivative(
    p: int, t: ArrayLike, alpha: float, side: Side = "riesz"
) -> NDArray[np.float64]:
    r"""Fractional derivative of the cardinal B-spline of degree p, whose knots are 0, 1, ..., p + 1.

    Parameters
    ----------
    p : int
        Degree, at least 2.
    t : array_like
        Points, of any shape, on the whole line.
    alpha : float
        Order, ``1 < alpha <= 2``.
    side : {"riesz", "left", "right"}
        "left" is the Riemann-Liouville derivative from the left, ``(d/dt)^2 I^(2-alpha)``, "right" its
        mirror image, and "riesz" the fractional Laplacian ``(-Delta)^(alpha/2)``, that is
        ``(left + right) / (2 cos(pi alpha / 2))``: a positive operator, minus the second derivative for
        ``alpha = 2``. (Many authors call its negative the Riesz derivative.)

    Returns
    -------
    array of the shape of t
        Accurate to a few units of rounding error relative to its largest value, and beyond the support
        relative to itself.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    M. Mazza, M. Donatelli, C. Manni, H. Speleers, "On the matrices in B-spline collocation methods for Riesz
    fractional equations and their spectral properties", Numer. Linear Algebra Appl. 2023.

    Examples
    --------
    >>> from numsolve.fractional import bspline_fractional_derivative
    >>> bspline_fractional_derivative(3, [2.0, 3.0, 1000.0], 1.5)
    array([ 1.24637321e+00, -4.69392255e-01, -9.5092e-09])
    >>> bspline_fractional_derivative(3, [2.0, 3.0, 1000.0], 2.0)
    array([ 2., -1.,  0.])
    """
    p = check_degree(p)
    alpha = check_alpha(alpha)
    checks.choice("side", side, SIDES)
    points: Array = checks.array("t", t, dtype=np.float64)
    x, function = points.ravel(), cardinal(p)
    left = function.derivative(x, alpha) if side != "right" else 0.0
    right = function.derivative(p + 1 - x, alpha) if side != "left" else 0.0
    scale = riesz_constant(alpha) if side == "riesz" else 1.0
    return np.asarray(scale * (left + right)).reshape(points.shape)


def check_alpha(alpha: Any) -> float:
    """Return the order if it is one: above 1 + 1e-6, and at most 2."""
    return checks.real("alpha", alpha, low=LEAST_ALPHA, high=2.0, open_low=True)


def check_order(alpha: Any, weights: tuple[float, float] = (0.5, 0.5)) -> float:
    """Return the order if Jacobi modes have it: above 0, at most 2, and not next to 1 for unequal weights."""
    alpha = checks.real("alpha", alpha, low=0.0, high=2.0, open_low=True)
    if weights[0] != weights[1] and abs(alpha - 1) <= LEAST_ALPHA - 1:
        raise ValueError(f"alpha must not be 1 for unequal weights, got {alpha} and {weights}")
    return float(alpha)


def check_degree(p: Any) -> int:
    """Return the degree if it is allowed: below two, N'' is not a function; above 20, digits are lost."""
    return checks.integer("p", p, low=2, high=20)


def riesz_constant(alpha: float) -> float:
    """``1 / (2 cos(pi alpha / 2))``, negative."""
    return 1 / (2 * math.cos(math.pi * alpha / 2))


@dataclass(frozen=True)
class Piece:
    """A piecewise polynomial, zero elsewhere: `coefficients[k]` in powers of ``s - breaks[k]``.

    `zeros` are the orders of its zeros at both ends.
    """

    breaks: Array
    coefficients: Array
    zeros: tuple[int, int]

    @cached_property
    def second(self) -> Array:
        """The coefficients of N''."""
        k = np.arange(2, self.coefficients.shape[1])
        return np.asarray(self.coefficients[:, 2:] * (k * (k - 1)))

    @cached_property
    def moments(self) -> tuple[float, Array]:
        """Centre c of the mass, and the integrals of ``N(s) (s - c)^m`` for m = 0, ..., TERMS - 1."""
        nodes, weights = self._rule()
        c = float(weights @ nodes / weights.sum())
        return c, np.array([weights @ (nodes - c) ** m for m in range(TERMS)])

    @cached_property
    def mirrored(self) -> Piece:
        """``s -> N(end + start - s)``, whose derivative from the left is this one's from the right."""
        start, end = self.breaks[[0, -1]]
        degree = self.coefficients.shape[1] - 1
        turned = np.empty_like(self.coefficients)
        for k, (row, width) in enumerate(zip(self.coefficients, np.diff(self.breaks), strict=True)):
            for m in range(degree + 1):  # powers of (width - u)
                turned[-1 - k, m] = (-1) ** m * sum(
                    math.comb(q, m) * row[q] * width ** (q - m) for q in range(m, degree + 1)
                )
        # Rounding errors in a slope that is zero would be multiplied by a large r^(1-alpha).
        turned[0, : self.zeros[1]] = 0.0
        return Piece((start + end - self.breaks)[::-1].copy(), turned, self.zeros[::-1])

    def derivative(self, x: Array, alpha: float, *, caputo: bool = False) -> Array:
        """Return the Riemann-Liouville (or Caputo) derivative from the left of N at points of the line."""
        out = np.zeros_like(x)
        start, end = self.breaks[[0, -1]]
        slope = self.coefficients[0, 1]
        if alpha == 2.0:
            inside = (x > start) & (x < end)
            k = np.searchsorted(self.breaks, x[inside], side="left") - 1
            out[inside] = _polynomials(self.second, k, x[inside] - self.breaks[k])
            return out
        near = end + float(np.max(np.diff(self.breaks)))
        far = end + FAR * (end - start)
        for part, method in (
            ((x > start) & (x < near), self._near),
            ((x >= near) & (x < far), self._beyond),
            (x >= far, self._far),
        ):
            at = np.flatnonzero(part)
            if at.size:
                out[at] = method(x[at], alpha)
        if slope != 0.0:
            jump = slope * rgamma(2 - alpha)
            if caputo:  # _beyond and _far hold the term of Riemann and Liouville
                part = x >= near
                out[part] -= jump * (x[part] - start) ** (1 - alpha)
            else:
                part = (x > start) & (x < near)
                out[part] += jump * (x[part] - start) ** (1 - alpha)
        return out

    def _near(self, x: Array, alpha: float) -> Array:
        """The integral of N'': exact Gauss-Jacobi rules around x, Gauss-Legendre ones farther to the left."""
        left, right = self.breaks[:-1], self.breaks[1:]
        apart = x[:, None] >= 2 * right - left  # farther from the span than the span is wide
        i, k = np.nonzero((x[:, None] > left) & ~apart)
        values = self._integral(x[i], left[k], k, alpha)
        # Next to a span the integrand is nearly singular: a difference of two exact integrals.
        beside = np.flatnonzero(x[i] > right[k])
        values[beside] -= self._integral(x[i[beside]], right[k[beside]], k[beside], alpha)
        out = np.bincount(i, values, x.size)

        i, k = np.nonzero(apart)
        if i.size:
            nodes, weights = _legendre_rule(GAUSS)
            s = (right - left)[:, None] * nodes
            weighted = (
                (right - left)[:, None]
                * weights
                * _polynomials(self.second, np.arange(left.size)[:, None], s)
            )
            s += left[:, None]
            out += np.bincount(i, ((x[i, None] - s[k]) ** (1 - alpha) * weighted[k]).sum(axis=1), x.size)
        return np.asarray(out * rgamma(2 - alpha))

    def _integral(self, x: Array, lower: Array, k: Any, alpha: float) -> Array:
        """Integral of ``(x - s)^(1 - alpha)`` and the polynomial of span k, continued, from `lower` to x."""
        rho, omega = _jacobi_rule(self.coefficients.shape[1], 1 - alpha)
        r = x - lower
        s = x[:, None] - r[:, None] * rho
        values = _polynomials(self.second, k[:, None], s - self.breaks[k][:, None]) @ omega
        return np.asarray(r ** (2 - alpha) * values)

    def _beyond(self, x: Array, alpha: float) -> Array:
        nodes, weights = self._rule()
        values: Array = (x[:, None] - nodes) ** (-1 - alpha) @ weights * rgamma(-alpha)
        return values

    def _far(self, x: Array, alpha: float) -> Array:
        """The series of the binomial ``(x - c - (s - c))^(-1-alpha)``, as long as the distance wants it."""
        c, moments = self.moments
        m = np.arange(1, TERMS)
        series = moments * np.cumprod(np.r_[rgamma(-alpha), (alpha + m) / m])
        out = np.empty_like(x)
        for at in range(0, x.size, BLOCK):
            distance = x[at : at + BLOCK] - c
            size = np.abs(series) * float(distance.min()) ** -np.arange(float(TERMS))
            terms = int(np.flatnonzero(size > 1e-18 * size[0])[-1]) + 1
            r = 1 / distance
            total = np.full_like(r, series[terms - 1])
            for coefficient in series[terms - 2 :: -1] if terms > 1 else ():
                total *= r
                total += coefficient
            out[at : at + BLOCK] = total * r * distance**-alpha
        return out

    def _rule(self) -> tuple[Array, Array]:
        """Nodes and weights that integrate against N, positive."""
        nodes, weights = _legendre_rule(GAUSS)
        widths = np.diff(self.breaks)[:, None]
        s = widths * nodes
        values = sum(c[:, None] * s**k for k, c in enumerate(self.coefficients.T))
        return (self.breaks[:-1, None] + s).ravel(), (widths * weights * values).ravel()


def piece(knots: Sequence[Any]) -> Piece:
    """Make the B-spline with these p + 2 knots; its polynomials are exact if the knots are `Fraction`."""
    breaks = sorted(set(knots))
    spans = range(len(breaks) - 1)
    zero = 0 * knots[0]
    # Degree zero: one on the span that a pair of knots encloses.
    table = [[[zero + 1] if a <= breaks[k] < b else [] for k in spans] for a, b in pairwise(knots)]
    for d in range(1, len(knots) - 1):
        table = [
            [
                _sum(
                    _times(table[i][k], breaks[k] - knots[i], 1, knots[i + d] - knots[i]),
                    _times(
                        table[i + 1][k], knots[i + d + 1] - breaks[k], -1, knots[i + d + 1] - knots[i + 1]
                    ),
                )
                for k in spans
            ]
            for i in range(len(knots) - 1 - d)
        ]
    width = len(knots) - 1
    rows = [[float(c) for c in row] + [0.0] * (width - len(row)) for row in table[0]]
    zeros = (width - knots.count(knots[0]), width - knots.count(knots[-1]))
    return Piece(np.array([float(b) for b in breaks]), np.array(rows), zeros)


@lru_cache(maxsize=64)
def cardinal(p: int) -> Piece:
    """The B-spline with knots 0, 1, ..., p + 1."""
    return piece([Fraction(k) for k in range(p + 2)])


@lru_cache(maxsize=64)
def clamped(p: int) -> tuple[Piece, ...]:
    """The functions N_2, ..., N_p at a clamped end, whose first knots are multiple; unit spans."""
    return tuple(piece([Fraction(max(k, 0)) for k in range(j - p - 1, j + 1)]) for j in range(2, p + 1))


def _times(polynomial: list[Any], constant: Any, slope: int, over: Any) -> list[Any]:
    """``polynomial(u) (constant + slope u) / over``; zero over zero is zero."""
    if not polynomial or over == 0:
        return []
    low = [constant * c for c in polynomial] + [0]
    high = [0] + [slope * c for c in polynomial]
    return [(a + b) / over for a, b in zip(low, high, strict=True)]


def _sum(a: list[Any], b: list[Any]) -> list[Any]:
    return [x + y for x, y in zip(a, b, strict=True)] if a and b else a or b


def _polynomials(coefficients: Array, k: Any, u: Array) -> Array:
    """Row k of the coefficients, in powers of u."""
    out = np.zeros_like(u)
    for column in coefficients.T[::-1]:
        out = out * u + column[k]
    return out


@lru_cache(maxsize=256)
def _jacobi_rule(degree: int, exponent: float) -> tuple[Array, Array]:
    """Gauss rule on (0, 1) for the weight ``rho**exponent``, exact for polynomials of the degree."""
    t, w = roots_jacobi(degree // 2 + 2, 0.0, exponent)
    return (1 + t) / 2, w / 2 ** (1 + exponent)


@lru_cache(maxsize=8)
def _legendre_rule(points: int) -> tuple[Array, Array]:
    t, w = np.polynomial.legendre.leggauss(points)
    return (1 + t) / 2, w / 2
