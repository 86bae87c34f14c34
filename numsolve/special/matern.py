r"""The Matérn correlation of any smoothness, with its derivatives in distance, smoothness and length.

With s = sqrt(2 nu) r / length (Rasmussen, Williams, "Gaussian Processes for Machine Learning", (4.14))::

    k = 2^(1 - nu) / Gamma(nu) s^nu K_nu(s)                                                               (1)
    dk / ds = -k K_{nu-1}(s) / K_nu(s)                                                                    (2)
    d log k / d nu = log(s / 2) - psi(nu) + d log K_nu / d nu + (s / (2 nu)) d log k / ds                 (3)

Large orders cancel in (1): there Stirling's formula for Gamma is subtracted from Debye's expansion of K by
hand::

    log k = -d + nu log(1 + d / (2 nu)) + log(nu / r') / 2 + log U - c(nu),    d = r' - nu,    r'^2 = nu^2 +
    s^2   (4)
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.result import PrecisionWarning, caller_level

from . import _generic_matern
from ._directions import is_traced
from ._elementwise import evaluate
from ._host_matern import host_values

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Namespace

__all__ = ["matern", "matern_grad", "matern_log_det"]


#: The relative error from which on the user hears of it.
NOTICEABLE = 1e-6
#: How far a matrix of distances may be from symmetric, over its largest entry.
SYMMETRIC = 1e-12


def matern(r: ArrayLike, nu: ArrayLike, length: ArrayLike = 1.0) -> Array:
    """Matérn correlation of any smoothness.

    Parameters
    ----------
    r : array_like
        Distances, at least 0.
    nu : array_like
        Smoothness, above 0: sample paths have derivatives of every order below it.
    length : array_like
        Length scale, above 0. All three are broadcast against each other.

    Returns
    -------
    array
        1 at r = 0. NumPy, CuPy, JAX (where it is differentiable in all three, for r > 0) or another library.

    Raises
    ------
    ValueError
        If an argument is out of its range. Values that JAX traces are not looked at.

    References
    ----------
    C. E. Rasmussen, C. K. I. Williams, "Gaussian Processes for Machine Learning", MIT Press, 2006, (4.14).

    Examples
    --------
    >>> from numsolve.special import matern
    >>> matern([0.0, 0.5, 1.0], 0.5)  # exp(-r)
    array([1. , 0.606..., 0.367...])
    """
    xp, distance, order, scale, dtype = _arguments(r, nu, length)
    if arrays.is_numpy(xp):
        on_host: Array = host_values(distance, order, scale)[0].astype(dtype)[()]
        return on_host
    k: Array = _plain(xp, order, _scaled(xp, distance, order, scale))
    return k


def matern_grad(r: ArrayLike, nu: ArrayLike, length: ArrayLike = 1.0) -> tuple[Array, Array, Array, Array]:
    """Matérn correlation and its derivatives.

    Parameters
    ----------
    r, nu, length
        As in `matern`.

    Returns
    -------
    value, d_dr, d_dnu, d_dlength : array
        At r = 0, ``d_dr`` is the derivative from the right: 0 for nu > 1/2, -1 / length for 1/2, -inf below.

    Examples
    --------
    >>> from numsolve.special import matern_grad
    >>> value, d_dr, d_dnu, d_dlength = matern_grad(1.0, 0.5)
    >>> round(float(d_dr), 12), round(float(d_dlength), 12)  # -exp(-1), exp(-1)
    (-0.367879441171, 0.367879441171)
    """
    xp, distance, order, scale, dtype = _arguments(r, nu, length)
    if arrays.is_numpy(xp):
        k, d_dr, d_dnu, d_dlength = (
            a.astype(dtype)[()] for a in host_values(distance, order, scale, gradient=True)
        )
        return k, d_dr, d_dnu, d_dlength
    root = xp.sqrt(2.0 * order)
    s = _scaled(xp, distance, order, scale)
    apart = s > 0.0
    safe = xp.where(apart, s, xp.ones_like(s))
    in_order = xp.log(0.5 * safe / order) + _generic_matern.log_less_digamma(xp, order)
    in_order = in_order + evaluate("kv_order_slope", order, safe)
    value: Array = _plain(xp, order, s)
    slope = -value * _generic_matern.lower_ratio(xp, order, s)  # (2)
    nothing = xp.zeros_like(s)
    at_0 = xp.where(order > 0.5, nothing, xp.where(order == 0.5, -root / scale, -math.inf * xp.ones_like(s)))
    return (
        value,
        xp.where(apart, slope * root / scale, at_0),
        xp.where(apart & (value > 0.0), value * in_order + 0.5 * safe / order * slope, nothing),  # (3)
        xp.where(apart, -slope * safe / scale, nothing),
    )


def matern_log_det(
    r: ArrayLike, nu: float, length: float = 1.0, *, noise: float = 0.0
) -> tuple[float, float, float]:
    """Log-determinant of a covariance matrix ``matern(r, nu, length) + noise * I``, and its derivatives.

    Parameters
    ----------
    r : array of shape (n, n)
        Distances between n points.
    nu, length : float
        As in `matern`.
    noise : float
        The variance of the noise, over that of the process.

    Returns
    -------
    value, d_dnu, d_dlength : float

    Raises
    ------
    ValueError
        If the matrix is not positive definite in floating-point numbers; some `noise` makes it so.

    Warns
    -----
    PrecisionWarning
        If the condition number of the matrix takes more than ten digits of the derivatives.

    Notes
    -----
    The derivative is the trace of ``inv(C) @ dC``. The digits that the condition number of C takes are lost
    in it.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.special import matern_log_det
    >>> t = np.linspace(0.0, 1.0, 5)
    >>> value, d_dnu, d_dlength = matern_log_det(abs(t[:, None] - t), 0.5, 0.3)
    >>> round(value, 10)  # of a Markov chain: 4 log(1 - exp(-0.5 / 0.3))
    -0.837335397
    """
    import scipy.linalg

    if arrays.namespace_name(arrays.array_namespace(r=r)) not in {"numpy", "jax"}:
        raise TypeError(f"r must be an array of NumPy or JAX, got {type(r).__name__}")
    apart: Array = checks.array("r", r, ndim=2, low=0.0, empty=False)
    n = len(apart)
    if apart.shape != (n, n):
        raise ValueError(f"r must be a square matrix of distances, got an array of shape {apart.shape}")
    apart = np.asarray(apart, np.float64)
    miss = float(np.abs(apart - apart.T).max())
    if miss > SYMMETRIC * float(apart.max()):
        raise ValueError(f"r must be a symmetric matrix of distances, got entries that differ by {miss:.3g}")
    if float(np.diag(apart).max()) > SYMMETRIC * float(apart.max()):
        raise ValueError(f"r must be 0 on its diagonal, got a distance of {np.diag(apart).max():.3g} there")
    apart = 0.5 * (apart + apart.T)
    np.fill_diagonal(apart, 0.0)
    nu = checks.real("nu", nu, low=0.0, open_low=True)
    length = checks.real("length", length, low=0.0, open_low=True)
    noise = checks.real("noise", noise, low=0.0)
    C, _, in_nu, in_length = matern_grad(apart, nu, length)
    C = C + noise * np.eye(n)
    try:
        factor = scipy.linalg.cho_factor(C, lower=True)
    except np.linalg.LinAlgError as error:
        raise ValueError(
            f"noise = {noise:g} leaves the matrix of {n} points not positive definite; raise it"
        ) from error
    share, _ = scipy.linalg.lapack.dpocon(factor[0], np.abs(C).sum(axis=0).max(), uplo="L")
    lost = n * np.finfo(np.float64).eps / max(share, 1e-300)
    if lost > 1.0:
        raise ValueError(f"noise = {noise:g} leaves the matrix of {n} points without a digit; raise it")
    if lost > NOTICEABLE:
        warnings.warn(
            f"the matrix is nearly singular: expect errors of {lost:.0e} in the derivatives; raise noise",
            PrecisionWarning,
            stacklevel=caller_level(),
        )
    inverse = scipy.linalg.cho_solve(factor, np.eye(n))
    value = 2.0 * float(np.log(np.diag(factor[0])).sum())
    return value, float(np.sum(inverse * in_nu)), float(np.sum(inverse * in_length))


def _arguments(r: Any, nu: Any, length: Any) -> tuple[Namespace, Any, Any, Any, Any]:
    """Checked and broadcast, in float64 on the host; the library and the dtype of the result."""
    xp = arrays.array_namespace(r=r, nu=nu, length=length)
    given = {"r": r, "nu": nu, "length": length}
    if any(is_traced(value) for value in given.values()):
        r, nu, length = xp.broadcast_arrays(*(xp.asarray(a) * 1.0 for a in (r, nu, length)))
        return xp, r, nu, length, r.dtype
    dtype = arrays.working_dtype(xp, **{k: a for k, a in given.items() if not isinstance(a, int | float)})
    wide = xp.float64 if arrays.is_numpy(xp) else dtype
    checked = [checks.array(name, value, xp=xp, dtype=wide, low=0.0) for name, value in given.items()]
    for name, value in zip(("nu", "length"), checked[1:], strict=True):
        if math.prod(value.shape) and float(xp.min(value)) <= 0.0:
            raise ValueError(f"{name} must be above 0, got {float(xp.min(value))}")
    if math.prod(checked[1].shape) and float(xp.min(checked[1])) < np.finfo(np.float64).tiny:
        raise ValueError(f"nu must be at least 2.2e-308, got {float(xp.min(checked[1])):g}")
    try:
        np.broadcast_shapes(*(value.shape for value in checked))
    except ValueError:
        found = ", ".join(str(value.shape) for value in checked)
        raise ValueError(f"r, nu and length must have shapes that broadcast, got {found}") from None
    r, nu, length = xp.broadcast_arrays(*checked)
    return xp, r, nu, length, dtype


def _scaled(xp: Namespace, r: Any, nu: Any, length: Any) -> Any:
    """The scaled distance, finite: so far away the correlation is 0."""
    s = xp.sqrt(2.0 * nu) * (r / length)
    most = float(xp.finfo(s.dtype).max) ** 0.97
    return xp.where(s < most, s, most * xp.ones_like(s))


def _plain(xp: Namespace, nu: Any, s: Any) -> Any:
    """K in plain array code."""
    if arrays.namespace_name(xp) == "jax":
        from ._jax import functions

        return functions()["matern"](nu, s)
    return _generic_matern.matern(xp, nu, s)
