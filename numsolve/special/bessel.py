r"""Logarithms of the modified Bessel functions, their ratios, and their derivatives in argument and order.

For orders v >= 0 and arguments x > 0 of any size, where I_v(x) and K_v(x) themselves leave the range of
floats:

- from the radius sqrt(v^2 + x^2) = 25 on, the Debye expansion [1]_, in a form that is regular at v = 0, where
  it is Hankel's (``_cpu_debye``). Next to the curve x = 0.663 v, where its exponent vanishes, the exponent
  comes from a series about its root;
- below, the power series for I, and for K Temme's series [2]_, or Steed's continued fraction [3]_ as a
  recurrence without divisions (``_cpu_near``).

The published combinations of such expansions [4]_ have seven branches; these are two for I and three for K.

References
----------
.. [1] NIST Digital Library of Mathematical Functions, 10.41(ii), (iv), https://dlmf.nist.gov/10.41.
.. [2] N. M. Temme, "On the numerical evaluation of the modified Bessel function of the third kind",
   Journal of Computational Physics 19 (1975) 324-337.
.. [3] I. J. Thompson, A. R. Barnett, "Modified Bessel functions I_v(z) and K_v(z) of real order and complex
   argument, to selected accuracy", Computer Physics Communications 47 (1987) 245-257.
.. [4] A. Plesner, H. H. B. Sørensen, S. Hauberg, "Accurate computation of the logarithm of modified Bessel
   functions on GPUs", ICS 2024, https://arxiv.org/abs/2409.08729.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays

from . import _generic
from ._elementwise import evaluate

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike

__all__ = ["iv_ratio", "kv_ratio", "log_iv", "log_iv_grad", "log_ive", "log_kv", "log_kv_grad", "log_kve"]


def log_iv(v: ArrayLike, x: ArrayLike, *, out: Array | None = None, where: ArrayLike = True) -> Array:
    """Logarithm of the modified Bessel function of the first kind, log I_v(x).

    Parameters
    ----------
    v, x : array_like
        Order v >= 0 and argument x >= 0, broadcast against each other. NumPy or CuPy arrays, JAX arrays
        (traced too), or arrays of another library that follows the array API. float32 stays float32.
    out : array, optional
        Where to write the result; it may be `v` or `x`. NumPy and CuPy only.
    where : array_like of bool, optional
        Compute these entries only; the others keep what `out` holds, or are nan without one. NumPy and CuPy
        only.

    Returns
    -------
    array
        A scalar if both arguments are. As in `scipy.special`, nan outside of the domain (x < 0 or v < 0),
        without an exception. ``log_iv(0, 0)`` is 0, ``log_iv(v, 0)`` is -inf for v > 0.

    Raises
    ------
    TypeError
        If an argument is complex or not a number, or arrays of two libraries are mixed.
    ValueError
        If the shapes do not fit.

    Notes
    -----
    The error is a few 1e-16 times ``max(1, abs(value))``. NumPy arrays of more than 40 000 entries are shared
    between as many threads as Numba may use (``numba.set_num_threads``). Under JAX the functions are
    differentiable, in both arguments and more than once; without 64-bit mode they have the digits of float32.

    References
    ----------
    NIST Digital Library of Mathematical Functions, 10.41, https://dlmf.nist.gov/10.41.
    N. M. Temme, "On the numerical evaluation of the modified Bessel function of the third kind", Journal of
    Computational Physics 19, 1975.
    A. Plesner, H. H. B. Sørensen, S. Hauberg, "Accurate computation of the logarithm of modified Bessel
    functions on GPUs", ICS 2024.

    Examples
    --------
    The normalising constants of directional statistics in 4096 dimensions, where `scipy.special.ive` is 0:

    >>> from numsolve.special import log_iv
    >>> log_iv(2047, [10.0, 1000.0, 100000.0])
    array([-10269.79..., -724.32..., 99972.37...])
    """
    return evaluate("log_iv", v, x, out, where)


def log_kv(v: ArrayLike, x: ArrayLike, *, out: Array | None = None, where: ArrayLike = True) -> Array:
    """Logarithm of the modified Bessel function of the second kind, log K_v(x).

    Parameters
    ----------
    v, x, out, where
        As in `log_iv`; v may be negative, as K_{-v} = K_v.

    Returns
    -------
    array
        ``log_kv(v, 0)`` is inf; nan for x < 0.

    Examples
    --------
    >>> from numsolve.special import log_kv
    >>> log_kv([0.5, 100.0], 1e-3)
    array([   3.678..., 1118.53...])
    """
    return evaluate("log_kv", v, x, out, where)


def log_ive(v: ArrayLike, x: ArrayLike, *, out: Array | None = None, where: ArrayLike = True) -> Array:
    """Logarithm of the exponentially scaled function, log(I_v(x) exp(-x)), without cancellation for large x.

    Parameters
    ----------
    v, x, out, where
        As in `log_iv`.

    Returns
    -------
    array

    Examples
    --------
    >>> from numsolve.special import log_ive
    >>> float(log_ive(1.0, 1e8))
    -10.129...
    """
    return evaluate("log_ive", v, x, out, where)


def log_kve(v: ArrayLike, x: ArrayLike, *, out: Array | None = None, where: ArrayLike = True) -> Array:
    """Logarithm of the exponentially scaled function, log(K_v(x) exp(x)), without cancellation for large x.

    Parameters
    ----------
    v, x, out, where
        As in `log_kv`.

    Returns
    -------
    array

    Examples
    --------
    >>> from numsolve.special import log_kve
    >>> float(log_kve(1.0, 1e8))
    -8.984...
    """
    return evaluate("log_kve", v, x, out, where)


def iv_ratio(v: ArrayLike, x: ArrayLike, *, out: Array | None = None, where: ArrayLike = True) -> Array:
    """Ratio I_{v+1}(x) / I_v(x) of neighbours, to all digits.

    With v = d / 2 - 1 it is the mean resultant length of the von Mises-Fisher distribution in d dimensions.

    Parameters
    ----------
    v, x, out, where
        As in `log_iv`.

    Returns
    -------
    array
        Between 0 and 1.

    Examples
    --------
    >>> from numsolve.special import iv_ratio
    >>> float(iv_ratio(0.5, 20.0))  # 1 / tanh(20) - 1 / 20
    0.95
    """
    return evaluate("iv_ratio", v, x, out, where)


def kv_ratio(v: ArrayLike, x: ArrayLike, *, out: Array | None = None, where: ArrayLike = True) -> Array:
    """Ratio K_{v+1}(x) / K_v(x) of neighbours, to all digits.

    Parameters
    ----------
    v, x, out, where
        As in `log_iv`.

    Returns
    -------
    array
        Above 1; nan for v < 0.

    Examples
    --------
    >>> from numsolve.special import kv_ratio
    >>> float(kv_ratio(0.5, 2.0))  # 1 + 1 / x
    1.5
    """
    return evaluate("kv_ratio", v, x, out, where)


def log_iv_grad(v: ArrayLike, x: ArrayLike) -> tuple[Array, Array, Array]:
    """Value of log I_v(x) and its derivatives in x and in v.

    Parameters
    ----------
    v, x
        As in `log_iv`.

    Returns
    -------
    value, d_dx, d_dv : array
        The derivatives are nan where x = 0 and outside of the domain.

    Examples
    --------
    >>> from numsolve.special import log_iv_grad
    >>> value, d_dx, d_dv = log_iv_grad(0.0, 1.0)
    >>> float(d_dx)  # I_1(1) / I_0(1)
    0.4463899658965345
    """
    return _gradient("iv", v, x, 1.0)


def log_kv_grad(v: ArrayLike, x: ArrayLike) -> tuple[Array, Array, Array]:
    """Value of log K_v(x) and its derivatives in x and in v.

    Parameters
    ----------
    v, x
        As in `log_kv`.

    Returns
    -------
    value, d_dx, d_dv : array
        The derivatives are nan where x = 0 and outside of the domain.

    Examples
    --------
    >>> from numsolve.special import log_kv_grad
    >>> value, d_dx, d_dv = log_kv_grad(0.5, 2.0)
    >>> float(d_dx)  # -1 - 1 / (2 x)
    -1.25
    """
    return _gradient("kv", v, x, -1.0)


def _gradient(kind: str, v: Any, x: Any, sign: float) -> tuple[Array, Array, Array]:
    """d/dx log I = v / x + I_{v+1} / I_v, d/dx log K = v / x - K_{v+1} / K_v; K is even in v."""
    xp = arrays.array_namespace(v=v, x=x)
    value = evaluate(f"log_{kind}", v, x)
    v, x = (xp.asarray(a, dtype=value.dtype) for a in (v, x))
    order = abs(v) if kind == "kv" else v
    with np.errstate(all="ignore"):
        d_dx = order / x + sign * evaluate(f"{kind}_ratio", order, x)
        d_dv = evaluate(f"{kind}_order_slope", order, x)
        if kind == "kv":
            d_dv = d_dv * xp.sign(v)
            tiny = (x > 0.0) & (x < 1e-250) & xp.isfinite(order)
            if arrays.namespace_name(xp) == "jax" or bool(xp.any(tiny)):  # beyond the range of the quotients
                a, b = (xp.where(tiny, value, 1e-300 * xp.ones_like(x)) for value in (order, x))
                d_dx = xp.where(tiny, _generic.kv_argument_slope(xp, a, b), d_dx)
        bad = (x <= 0.0) | xp.isinf(x) | xp.isinf(v)
        d_dx, d_dv = (xp.where(bad, xp.nan, d) for d in (d_dx, d_dv))
    if arrays.is_numpy(xp):
        d_dx, d_dv = d_dx[()], d_dv[()]
    return value, d_dx, d_dv
