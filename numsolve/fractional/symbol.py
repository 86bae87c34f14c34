r"""Symbols of the collocation matrices: what their Toeplitz parts do to a wave ``exp(i j theta)``.

For B-splines of degree p on a uniform mesh of step one,

    f(theta) = sum_k |theta + 2 k pi|^alpha sinc(theta/2 + k pi)^(p+1),   sinc(x) = sin(x) / x,

is the symbol of ``(-Delta)^(alpha/2)``, and the same without the first factor that of the values. With
``x = theta / 2 pi`` and ``s = p + 1 - alpha`` the terms beyond k = 0 are Hurwitz zeta functions of ``1 + x``
and ``1 - x``: analytic in x**2 up to one, hence a short polynomial on ``0 <= x <= 1/2``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import poch, zeta

from numsolve._core import arrays, checks

from .bspline import BLOCK, cardinal, check_alpha, check_degree

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

#: Angles up to which the period is 2 pi as a double, so that its multiples are zeros; beyond, the sine and
#: the cosine know it to all digits.
FAR = 1000.0


def riesz_symbol(theta: ArrayLike, p: int, alpha: float) -> NDArray[np.float64]:
    r"""Symbol of ``(-Delta)^(alpha/2)`` collocated by B-splines, in units of the mesh.

    Parameters
    ----------
    theta : array_like
        Angles, of any shape, in NumPy or another array library. The symbol is even, of period ``2 pi``.
    p : int
        Degree of the splines, at least 2.
    alpha : float
        Order, ``1 < alpha <= 2``.

    Returns
    -------
    array of the shape of theta
        Nonnegative, zero only at multiples of ``2 pi``, where it behaves like ``|theta|**alpha``.

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
    >>> import numpy as np
    >>> from numsolve.fractional import riesz_symbol
    >>> riesz_symbol([0.0, np.pi / 2, np.pi], 3, 1.5).round(8)
    array([0.        , 1.42844824, 2.02013087])
    """
    p, alpha = check_degree(p), check_alpha(alpha)
    angles, xp = _angles(theta)
    coefficients = _images(p, alpha)
    out: Array
    if not arrays.is_numpy(xp) or angles.size <= BLOCK:
        out = _evaluate(xp, angles, p, alpha, coefficients)
        return out
    flat, out = angles.ravel(), np.empty(angles.size)
    for at in range(0, flat.size, BLOCK):  # so that all intermediate results stay in the cache
        out[at : at + BLOCK] = _evaluate(np, flat[at : at + BLOCK], p, alpha, coefficients)
    return out.reshape(angles.shape)


def mass_symbol(theta: ArrayLike, p: int) -> NDArray[np.float64]:
    r"""Symbol of the values of B-splines at the collocation points.

    Parameters
    ----------
    theta : array_like
        Angles, of any shape. NumPy or any other array library.
    p : int
        Degree of the splines, at least 2.

    Returns
    -------
    array of the shape of theta
        A positive trigonometric polynomial of degree ``p // 2``, one at zero.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.fractional import mass_symbol
    >>> mass_symbol([0.0, np.pi], 3).round(8)  # (4 + 2 cos(theta)) / 6
    array([1.        , 0.33333333])
    """
    p = check_degree(p)
    angles, xp = _angles(theta)
    values = mass_generator(p)
    out: Array = xp.full_like(angles, values[0])
    for k, value in enumerate(values[1:], start=1):
        out = out + 2 * value * xp.cos(k * angles)
    return out


def mass_generator(p: int) -> list[float]:
    """Values of the cardinal B-spline at its centre and at distances 1, ..., p // 2 from it."""
    function = cardinal(p)
    out = []
    for k in range(p // 2 + 1):
        x = (p + 1) / 2 + k
        span = min(int(x), p)
        out.append(float(np.polyval(function.coefficients[span][::-1], x - span)))
    return out


def sine_angles(K: int) -> Array:
    """The frequencies of the sine transform."""
    return np.arange(1.0, K + 1) * (math.pi / (K + 1))


def mass_samples(K: int, p: int) -> Array:
    """The symbol of the values at those."""
    return np.asarray(mass_symbol(sine_angles(K), p))


@dataclass(frozen=True)
class SymbolAnalysis:
    """What the symbol says about the conditioning of the matrices.

    Parameters
    ----------
    p, alpha : int, float
        Degree and order.
    zero_order : float
        Order of the symbol's zero at ``theta = 0``: low frequencies make the condition number grow like
        ``n**zero_order``.
    peak_theta, peak : float
        Where the symbol is largest, and its value there.
    at_pi : float
        Its value at the highest frequency.
    high_ratio : float
        ``at_pi / peak``: for a large degree it is small, about ``(2 / pi)**(p + 1)``, and the matrices are
        ill-conditioned in the high frequencies too.
    """

    p: int
    alpha: float
    zero_order: float
    peak_theta: float
    peak: float
    at_pi: float
    high_ratio: float


def analyze_symbol(p: int, alpha: float) -> SymbolAnalysis:
    """Study the symbol of ``(-Delta)^(alpha/2)``: its zero, its peak, its decay at the highest frequency.

    Parameters
    ----------
    p : int
        Degree of the splines, at least 2.
    alpha : float
        Order, ``1 < alpha <= 2``.

    Returns
    -------
    SymbolAnalysis
        With `zero_order` (measured, not assumed), `peak_theta`, `peak`, `at_pi` and `high_ratio`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from numsolve.fractional import analyze_symbol
    >>> a = analyze_symbol(10, 1.8)
    >>> round(a.zero_order, 6), round(a.peak, 4), round(a.high_ratio, 4)
    (1.8, 0.7354, 0.1486)
    """
    small = np.array([1e-4, 2e-4])
    low = riesz_symbol(small, p, alpha)
    grid = np.linspace(0, np.pi, 257)
    values = riesz_symbol(grid, p, alpha)
    k = int(np.argmax(values))
    theta = math.pi
    if k < grid.size - 1:
        bounds = (grid[k - 1], grid[k + 1])
        found = minimize_scalar(lambda t: -float(riesz_symbol(t, p, alpha)), bounds=bounds, method="bounded")
        theta = float(found.x)
    peak, at_pi = float(riesz_symbol(theta, p, alpha)), float(values[-1])
    order = float(np.log(low[1] / low[0]) / np.log(2.0))
    return SymbolAnalysis(int(p), float(alpha), order, theta, peak, at_pi, at_pi / peak)


def _angles(theta: Any) -> tuple[Any, Any]:
    """The angles, brought to ``[0, pi]``, and their library."""
    xp = arrays.array_namespace(theta=theta)
    theta = checks.array("theta", theta, xp=xp, dtype=arrays.working_dtype(xp))
    near = xp.abs(theta - 2 * math.pi * xp.round(theta / (2 * math.pi)))
    far = xp.abs(theta) > FAR
    if not xp.any(far):
        return near, xp
    return xp.where(far, xp.abs(xp.atan2(xp.sin(theta), xp.cos(theta))), near), xp


def _evaluate(xp: Any, theta: Any, p: int, alpha: float, coefficients: tuple[float, ...]) -> Any:
    sine = xp.sin(theta / 2)
    safe = xp.where(theta > 0, theta, xp.ones_like(theta))
    own = safe**alpha * (2 * sine / safe) ** (p + 1)
    u = theta * theta * (2 / math.pi**2) - 1  # 8 x**2 - 1 runs from -1 to 1
    images = xp.full_like(theta, coefficients[-1])
    for c in coefficients[-2::-1]:
        images = images * u + c
    if p % 2 == 0:
        images = images * theta
    return own + sine ** (p + 1) * images


@lru_cache(maxsize=256)
def _images(p: int, alpha: float) -> tuple[float, ...]:
    """Coefficients, in powers of u, of the sum over k != 0; for even p, where it is odd, divided by theta."""
    s = p + 1 - alpha

    def total(u: Any) -> Any:
        x = np.sqrt((u + 1) / 8)
        if p % 2:
            return zeta(s, 1 + x) + zeta(s, 1 - x)
        return (_alternating_zeta(s, 1 - x) - _alternating_zeta(s, 1 + x)) / (2 * math.pi * x)

    series = np.polynomial.Chebyshev.interpolate(total, 22)
    power = np.asarray(series.convert(kind=np.polynomial.Polynomial).coef, dtype=np.float64)
    scale = 2.0 ** (p + 1) * (2 * math.pi) ** -s
    return tuple(float(c) * scale for c in power)


def _alternating_zeta(s: float, y: Any) -> Any:
    """``sum_k (-1)^k (y + k)^(-s)``, for any s > 0: forty terms, and Boole's formula for the others."""
    k = np.arange(40)
    head = (-1.0) ** k @ (y[None, :] + k[:, None]) ** -s
    z = y + 40
    tail = z**-s * (
        1 / 2 + poch(s, 1) / (4 * z) - poch(s, 3) / (48 * z**3) + poch(s, 5) / (480 * z**5)
        - 17 * poch(s, 7) / (80640 * z**7)
    )  # fmt: skip
    return head + tail
