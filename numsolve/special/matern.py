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
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks

from . import _generic, _generic_matern
from ._elementwise import evaluate
from ._host import CHUNK, Sorter

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Namespace

__all__ = ["matern", "matern_grad", "matern_log_det"]


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

    Examples
    --------
    >>> from numsolve.special import matern
    >>> matern([0.0, 0.5, 1.0], 0.5)  # exp(-r)
    array([1. , 0.606..., 0.367...])
    """
    xp, distance, order, scale, dtype = _arguments(r, nu, length)
    s = xp.sqrt(2.0 * order) * (distance / scale)
    k: Array = _on_host(order, s)[0].astype(dtype)[()] if arrays.is_numpy(xp) else _plain(xp, order, s)
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
    rate = xp.sqrt(2.0 * order) / scale
    s = rate * distance
    if arrays.is_numpy(xp):
        k, ratio = _on_host(order, s)
    else:
        k, ratio = _plain(xp, order, s), _lower_ratio(xp, order, s)
    apart = s > 0.0
    safe = xp.where(apart, s, xp.ones_like(s))
    with np.errstate(invalid="ignore", over="ignore"):
        in_order = xp.log(0.5 * safe / order) + _generic_matern.log_less_digamma(xp, order)
        in_order = in_order + evaluate("kv_order_slope", order, safe)
        slope = -k * ratio  # (2)
        nothing = xp.zeros_like(s)
        at_0 = xp.where(order > 0.5, nothing, xp.where(order == 0.5, -rate, -math.inf * xp.ones_like(s)))
        d_dr = xp.where(apart, slope * rate, at_0)
        d_dnu = xp.where(apart, k * in_order + 0.5 * safe / order * slope, nothing)  # (3)
        d_dlength = xp.where(apart, -slope * safe / scale, nothing)
    if arrays.is_numpy(xp):
        k, d_dr, d_dnu, d_dlength = (a.astype(dtype)[()] for a in (k, d_dr, d_dnu, d_dlength))
    return k, d_dr, d_dnu, d_dlength


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

    apart: Array = checks.array("r", r, ndim=2, low=0.0, empty=False)
    n = len(apart)
    if apart.shape != (n, n) or not np.array_equal(apart, apart.T):
        raise ValueError(f"r must be a symmetric matrix of distances, got an array of shape {apart.shape}")
    nu = checks.real("nu", nu, low=0.0, open_low=True)
    length = checks.real("length", length, low=0.0, open_low=True)
    noise = checks.real("noise", noise, low=0.0)
    C, _, in_nu, in_length = matern_grad(apart.astype(np.float64), nu, length)
    C = C + noise * np.eye(n)
    try:
        factor = scipy.linalg.cho_factor(C, lower=True)
    except np.linalg.LinAlgError as error:
        raise ValueError(
            f"noise = {noise:g} leaves the matrix of {n} points not positive definite; raise it"
        ) from error
    inverse = scipy.linalg.cho_solve(factor, np.eye(n))
    value = 2.0 * float(np.log(np.diag(factor[0])).sum())
    return value, float(np.sum(inverse * in_nu)), float(np.sum(inverse * in_length))


def _arguments(r: Any, nu: Any, length: Any) -> tuple[Namespace, Any, Any, Any, Any]:
    """Checked and broadcast, in float64 on the host; the library and the dtype of the result."""
    xp = arrays.array_namespace(r=r, nu=nu, length=length)
    if arrays.namespace_name(xp) == "jax":
        r, nu, length = xp.broadcast_arrays(*(xp.asarray(a) * 1.0 for a in (r, nu, length)))
        return xp, r, nu, length, r.dtype
    given = {"r": r, "nu": nu, "length": length}
    dtype = arrays.working_dtype(xp, **{k: a for k, a in given.items() if not isinstance(a, int | float)})
    wide = xp.float64 if arrays.is_numpy(xp) else dtype
    checked = [checks.array(name, value, xp=xp, dtype=wide, low=0.0) for name, value in given.items()]
    for name, value in zip(("nu", "length"), checked[1:], strict=True):
        if math.prod(value.shape) and float(xp.min(value)) <= 0.0:
            raise ValueError(f"{name} must be above 0, got {float(xp.min(value))}")
    r, nu, length = xp.broadcast_arrays(*checked)
    return xp, r, nu, length, dtype


def _on_host(nu: Array, s: Array) -> tuple[Array, Array]:
    """K and K_{nu-1} / K_nu, by the compiled kernels."""
    v, x = np.ascontiguousarray(nu).reshape(-1), np.ascontiguousarray(s).reshape(-1)
    out, ratio = np.empty((2, v.size))
    sorter = Sorter(arrays.kernels_for(np, __package__, "matern"), min(v.size, CHUNK))
    for start in range(0, v.size, CHUNK):
        chunk = slice(start, start + CHUNK)
        for kind, part in sorter.parts(v[chunk], x[chunk]):
            _fill_kind(sorter, kind, *(a[part] for a in (sorter.v, sorter.x, sorter.y, sorter.z)))
        sorter.k.put_back(sorter.y, sorter.place, out[chunk])
        sorter.k.put_back(sorter.z, sorter.place, ratio[chunk])
    return out.reshape(nu.shape), ratio.reshape(nu.shape)


def _fill_kind(sorter: Sorter, kind: int, v: Array, x: Array, out: Array, ratio: Array) -> None:
    """Fill in entries that are all of one kind."""
    k, xp = sorter.k, arrays.array_namespace(v=v)
    if kind == k.NEITHER:
        out[:], ratio[:] = _generic_matern.matern(xp, v, x), np.where(x > 0.0, _lower_ratio(xp, v, x), 0.0)
    elif kind <= k.AT_ROOT:
        k.matern_far(v, x, out, ratio, k.TERMS[kind], sorter.work)
        constant = _generic_matern.stirling(xp, v[:1] if (v == v[0]).all() else v)
        out[:] = np.exp(_generic_matern.matern_exponent(xp, v, x) + out - constant)  # (4)
    else:
        k.matern_near(v, x, out, ratio, kind == k.SMALL, sorter.work)


def _plain(xp: Namespace, nu: Any, s: Any) -> Any:
    """K in plain array code."""
    if arrays.namespace_name(xp) == "jax":
        from ._jax import functions

        return functions()["matern"](nu, s)
    return _generic_matern.matern(xp, nu, s)


def _lower_ratio(xp: Namespace, nu: Any, s: Any) -> Any:
    """K_{nu-1} / K_nu in plain array code, from the derivative of K."""
    safe = xp.where(s > 0.0, s, xp.ones_like(s))
    upper = nu >= 1.0
    one_less = xp.where(upper, nu - 1.0, xp.zeros_like(nu))
    logs = _generic.log_kv(xp, xp.abs(nu - 1.0), safe) - _generic.log_kv(xp, nu, safe)
    return xp.where(upper, 1.0 / _generic.kv_ratio(xp, one_less, safe), xp.exp(logs))
