r"""A disc: ``(-Delta)^(alpha/2) u + r u = f``, u = 0 outside, by modes of the plane's integral operator.

In polar coordinates of the unit disc, with orthonormal polynomials for ``(1 + t)^m (1 - t)^(alpha/2)`` and
``V_mn = r^m P_n(2 r^2 - 1) e^(i m phi)``,

    (-Delta)^(alpha/2) [(1 - r^2)_+^(alpha/2) V_mn] = lambda_mn V_mn,
    lambda_mn = 2^alpha Gamma(1 + alpha/2 + n) Gamma(1 + alpha/2 + m + n) / (n! (m + n)!)        (1)

(B. Dyda, A. Kuznetsov, M. Kwasnicki, Constr. Approx. 45, 2017). Without a reaction the coefficients of f are
divided by the eigenvalues; with a constant one each m has a small system, tested with the modes themselves:

    (diag(lambda_mn) + r M) c = f,   M_jk = int (1 - r^2)^alpha r^(2m) P_j P_k.                  (2)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import hypot
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import gammaln

from numsolve._core import checks
from numsolve._core.arrays import norm
from numsolve._core.foreign import answers
from numsolve._core.result import deliver

from ._data import is_number, is_values, sample
from ._estimate import PROBES, from_levels
from ._settings import FOREIGN
from .bspline import check_order
from .jacobi import gauss_rule, orthonormal
from .operator import check_interval
from .result import RieszPlaneResult
from .spectral import NOISE, TOLERABLE, status_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .plane import PlaneValues

    Array = NDArray[np.float64]

#: Degrees: at least, and at most.
LEAST_DEGREE, MOST_DEGREE = 8, 256
#: Points of a rule beyond what the degree needs.
MARGIN = 8
#: Share of f that is left to interpolation between the points.
INTERPOLATION = 0.02


@dataclass(frozen=True, eq=False)
class DiscSolution:
    """``(1 - r^2)^(alpha/2) sum r^m P_n(2 r^2 - 1) (A_mn cos m phi + B_mn sin m phi)``, zero outside a disc.

    Parameters
    ----------
    coefficients : array of shape (2, K + 1, K // 2 + 1)
        The numbers A_mn and B_mn, zero for ``m + 2 n > K``.
    alpha : float
        Order.
    center : tuple of float
        Where ``r = 0``.
    radius : float
        Where ``r = 1``.
    """

    coefficients: Array
    alpha: float
    center: tuple[float, float] = (0.0, 0.0)
    radius: float = 1.0

    def __call__(self, x: Any, y: Any) -> Array:
        """Evaluate at points; x and y are broadcast."""
        square, values = self._series(x, y, self.coefficients)
        inside = square < 1
        root = np.maximum(1 - np.where(inside, square, 0.0), 0.0) ** (self.alpha / 2)
        return np.where(inside, root * values, np.where(np.isnan(square), np.nan, 0.0))

    def laplacian(self, x: Any, y: Any) -> Array:
        """Evaluate ``(-Delta)^(alpha/2)`` of the function.

        Parameters
        ----------
        x, y : array_like
            Points, of shapes that can be broadcast.

        Returns
        -------
        array
            A polynomial, known inside the disc only: nan outside.
        """
        K = self.coefficients.shape[1] - 1
        factors = disc_eigenvalues(K, self.alpha) / self.radius**self.alpha
        square, values = self._series(x, y, self.coefficients * factors)
        return np.where(square < 1, values, np.nan)

    def _series(self, x: Any, y: Any, c: Array) -> tuple[Array, Array]:
        """r^2, and the sum over the modes; zero outside."""
        x, y = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
        s, t = (x - self.center[0]) / self.radius, (y - self.center[1]) / self.radius
        square = s * s + t * t
        known = square < 1
        z = (s[known] + 1j * t[known]).ravel()
        total = np.zeros(z.size)
        for m, power in _powers(z, c.shape[1]):
            radial = radial_table(m, c.shape[1] - 1, self.alpha, 2 * np.abs(z) ** 2 - 1)
            parts = radial @ c[:, m, : radial.shape[1]].T
            total += parts[:, 0] * power.real + parts[:, 1] * power.imag
        values = np.zeros(square.shape)
        values[known] = total
        return square, values


@answers(**FOREIGN)
def solve_riesz_disc(
    f: PlaneValues,
    alpha: float,
    *,
    center: tuple[float, float] = (0.0, 0.0),
    radius: float = 1.0,
    n: int = 64,
    reaction: float | None = None,
) -> RieszPlaneResult:
    r"""Solve ``(-Delta)^(alpha/2) u + reaction * u = f`` in a disc, with u = 0 outside.

    This is the integral, isotropic operator of the plane: for f = 1, u is the mean time in which a Lévy
    flight leaves the disc.

    Parameters
    ----------
    f : callable or float
        Right-hand side: ``f(x, y)`` for two arrays of one shape, or a constant.
    alpha : float
        Order, ``0 < alpha <= 2``.
    center : pair of float
        The middle of the disc.
    radius : float
        Its radius, positive.
    n : int
        Degree of the polynomials, 8 to 256; some ``n^2 / 2`` modes.
    reaction : float, optional
        A constant, zero by default. With it solutions are less smooth, and errors fall like a power of n.

    Returns
    -------
    RieszPlaneResult
        ``result(x, y)`` evaluates the solution; `sol` is a `DiscSolution`, `x` are its coefficients, `points`
        the coordinates of the points at which f was sampled, and `interval` the sides of the square around
        the disc. `error_estimate` compares with half and a quarter of the degree.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or range; the message says which and what is wanted.
    TypeError
        If an argument is complex or no number.

    Warns
    -----
    ConvergenceWarning
        If the error is estimated at more than a tenth of the largest value.

    See Also
    --------
    numsolve.fractional.solve_riesz_2d : Rectangles, with other operators.

    References
    ----------
    B. Dyda, A. Kuznetsov, M. Kwasnicki, "Fractional Laplace operator and Meijer G-function", Constr. Approx.
    45, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.fractional import solve_riesz_disc
    >>> r = solve_riesz_disc(1.0, 1.5)
    >>> r([0.0, 0.5], 0.0).round(6)  # (1 - x^2)^(3/4) / (2^(3/2) Gamma(7/4)^2)
    array([0.418567, 0.337335])
    """
    alpha = check_order(alpha)
    if is_values(f):
        raise TypeError("f must be a function of x and y or a number, got values")
    middle = checks.array("center", center, dtype=np.float64, shape=(2,))
    center = float(middle[0]), float(middle[1])
    radius = checks.real("radius", radius, low=0.0, open_low=True)
    n = checks.integer("n", n, low=LEAST_DEGREE, high=MOST_DEGREE)
    if reaction is not None and not is_number(reaction):
        raise TypeError("reaction must be a number for a disc, got a function or values")
    shift = 0.0 if reaction is None else checks.real("reaction", reaction)
    sides = tuple(check_interval((c - radius, c + radius), "the disc of center and radius") for c in center)

    def level(K: int) -> tuple[DiscSolution, float, tuple[Array, Array], float]:
        images, points, missed = _expand(f, alpha, center, radius, K)
        c, residual = _divided(images, alpha, radius, shift)
        return DiscSolution(c, alpha, center, radius), residual, points, missed

    solution, residual, points, missed = level(n)
    x, y = _witnesses(center, radius)
    estimate = from_levels(solution(x, y), *(level(n // part)[0](x, y) for part in (2, 4)))
    estimate = max(estimate, missed if missed > INTERPOLATION else 0.0)
    result = RieszPlaneResult(
        x=solution.coefficients,
        status=status_of(estimate),
        detail="" if estimate <= TOLERABLE else "f is not smooth, or n is too small.",
        residual=residual,
        points=points,
        sol=solution,
        method="spectral",
        reason="a disc has modes of its own",
        error_estimate=estimate,
        interval=sides,  # type: ignore[arg-type]  # a pair
    )
    deliver(result)
    return result


@lru_cache(maxsize=32)
def disc_eigenvalues(K: int, alpha: float) -> Array:
    """``lambda_mn`` of the unit disc, shape (K + 1, K // 2 + 1): (1)."""
    m, n = np.arange(K + 1.0)[:, None], np.arange(K // 2 + 1.0)
    logs = gammaln(1 + alpha / 2 + n) + gammaln(1 + alpha / 2 + m + n) - gammaln(n + 1) - gammaln(m + n + 1)
    values = np.asarray(2**alpha * np.exp(logs))
    values.flags.writeable = False  # they are kept
    return values


def radial_table(m: int, K: int, alpha: float, t: Array) -> Array:
    """The polynomials P_n with ``m + 2 n <= K`` at ``t = 2 r^2 - 1``, over ``2^(-m/2)``: they meet r^m."""
    return orthonormal((K - m) // 2 + 1, float(m), alpha / 2, t) * 2 ** (m / 2)


def _powers(z: Any, count: int) -> Any:
    """Give m and ``z^m``, one after the other."""
    power = np.ones_like(z)
    for m in range(count):
        yield m, power
        power = power * z


def _expand(
    f: Any, alpha: float, center: tuple[float, float], radius: float, K: int
) -> tuple[Array, tuple[Array, Array], float]:
    """Coefficients of f in ``r^m P_n``, where it was sampled, and the share of f that they miss elsewhere."""
    t, w = gauss_rule(K + MARGIN, 0.0, alpha / 2)
    angles = 2 * np.pi * np.arange(2 * K + MARGIN) / (2 * K + MARGIN)
    r = np.sqrt((1 + t) / 2)
    x, y = (c + radius * np.outer(r, turn(angles)) for c, turn in zip(center, (np.cos, np.sin), strict=True))
    waves = np.fft.rfft(sample("f", f, (x, y)), axis=1) / angles.size
    c = np.zeros((2, K + 1, K // 2 + 1))
    for m in range(K + 1):
        radial = radial_table(m, K, alpha, t) * (w * r**m)[:, None] * (1 if m == 0 else 2)
        images = radial.T @ waves[:, m]
        # r^m P_n of norm 1 for (1 + t)^m (1 - t)^(alpha/2), with r^(2m) = ((1 + t) / 2)^m
        c[:, m, : images.size] = images.real, -images.imag
    phi = np.pi * (3 - np.sqrt(5)) * np.arange(PROBES.size)  # the spiral of a sunflower
    u, v = (
        q + radius * np.sqrt(PROBES) * turn(phi) for q, turn in zip(center, (np.cos, np.sin), strict=True)
    )
    size = np.abs(c) / disc_eigenvalues(K, alpha)
    c[size <= NOISE * np.max(size)] = 0.0
    told = DiscSolution(c, alpha, center, radius)._series(u, v, c)[1]
    there = sample("f", f, (u, v))
    total = float(np.sum(np.abs(there)))
    return c, (x, y), float(np.sum(np.abs(there - told))) / total if total else 0.0


def _divided(images: Array, alpha: float, radius: float, shift: float) -> tuple[Array, float]:
    """Coefficients of the solution, and the residual of the systems (2)."""
    K = images.shape[1] - 1
    eigenvalues = disc_eigenvalues(K, alpha) / radius**alpha
    if shift == 0.0:
        return images / eigenvalues, 0.0
    c, residual = np.zeros_like(images), 0.0
    t, w = gauss_rule(K + 1, 0.0, alpha)
    r = (1 + t) / 2
    for m in range(K + 1):
        P = radial_table(m, K, alpha, t)
        M = P.T @ ((w * r**m * 2 ** (-alpha / 2))[:, None] * P)
        matrix = np.diag(eigenvalues[m, : P.shape[1]]) + shift * M
        right = images[:, m, : P.shape[1]].T
        part = np.linalg.solve(matrix, right)
        residual = hypot(residual, norm(np, np.ravel(right - matrix @ part)))
        c[:, m, : P.shape[1]] = part.T
    return c, residual


def _witnesses(center: tuple[float, float], radius: float) -> tuple[Array, Array]:
    """Points at which solutions are compared, on rings that crowd at the edge."""
    r = np.sin(np.pi / 2 * np.linspace(0.0, 1.0, 26)[:-1])
    phi = 2 * np.pi * np.arange(41) / 41
    x, y = (c + radius * np.outer(r, turn(phi)) for c, turn in zip(center, (np.cos, np.sin), strict=True))
    return x, y
