"""What the functions of the von Mises-Fisher distribution share: checks, means, and its constant.

Rows that are accepted as unit vectors are divided by their length, since a length that is off by 1e-7, as in
single precision, would count as a spread of the directions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks

from . import _generic, _generic_directions
from ._elementwise import evaluate
from ._host import CHUNK

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Namespace

#: How far the length of a row may be from 1.
UNIT = 1e-6
#: The largest dimension: half of it, less one, is a float.
MOST_DIMENSIONS = 10**15
#: Below this |x - mu|^2, two digits and more of 2 - 2 x . mu cancel.
CANCELS = 0.02
#: Directions within rounding errors of each other have a smaller 1 - R.
ONE_DIRECTION = 2e-30


def dimension(d: int) -> int:
    """Check the dimension of the space."""
    return checks.integer("d", d, low=2, high=MOST_DIMENSIONS)


def is_traced(x: Any) -> bool:
    """Whether JAX traces this value, which then cannot be looked at."""
    return "Tracer" in type(x).__name__


def common_dtype(xp: Any, **given: Any) -> Any:
    """The type that all are computed in; None where JAX traces, which promotes by itself."""
    if any(is_traced(value) for value in given.values()):
        return None
    return arrays.working_dtype(xp, **{k: v for k, v in given.items() if not isinstance(v, int | float)})


def unit(name: str, x: Any, xp: Any, dtype: Any = None) -> Any:
    """Check that the last axis holds unit vectors, of dimension 2 at least, and make them so."""
    x = xp.asarray(x) * 1.0 if is_traced(x) else checks.array(name, x, xp=xp, dtype=dtype)
    if x.ndim == 0 or x.shape[-1] < 2:
        raise ValueError(f"{name} must hold vectors of at least 2 entries, got shape {tuple(x.shape)}")
    lengths = xp.linalg.vector_norm(x, axis=-1, keepdims=True)
    if not is_traced(x) and math.prod(x.shape):
        _refuse_other_lengths(name, lengths, xp)
    return x / lengths


def _refuse_other_lengths(name: str, lengths: Any, xp: Any) -> None:
    miss = float(xp.max(xp.abs(lengths - 1.0)))
    if not miss <= UNIT:
        hint = "; normalize=True divides them by their lengths" if name == "X" else ""
        raise ValueError(f"{name} must hold unit vectors, got one whose length is off by {miss:.3g}{hint}")


def concentration(kappa: Any, xp: Any = None, dtype: Any = None) -> tuple[Any, Any]:
    """The library and the concentrations, checked."""
    xp = arrays.array_namespace(kappa=kappa) if xp is None else xp
    if is_traced(kappa):
        return xp, xp.asarray(kappa) * 1.0
    return xp, checks.array("kappa", kappa, xp=xp, dtype=dtype, low=0.0)


def summary(
    X: ArrayLike, weights: ArrayLike | None, *, normalize: bool
) -> tuple[Array | None, float, float, int]:
    """The mean direction, the mean resultant length R, 1 - R, and the dimension.

    Next to 1, 1 - R is the mean of |x - mu|^2 / 2, of which the digits do not cancel.
    """
    if is_traced(X):
        raise TypeError("X must be an array of numbers, got one that JAX traces: the fit is not traced")
    xp = arrays.array_namespace(X=X, weights=weights)
    rows: Any = checks.array("X", X, xp=xp, ndim=2, empty=False, check_finite=False)
    rows = rows if arrays.namespace_name(xp) == "jax" else xp.astype(rows, xp.float64, copy=False)
    n, d = (int(k) for k in rows.shape)
    if d < 2:
        raise ValueError(f"X must have at least 2 columns, got shape {tuple(rows.shape)}")
    if normalize:
        largest = xp.max(xp.abs(rows), axis=1, keepdims=True)
        checks.finite("X", rows, xp=xp) if not bool(xp.all(xp.isfinite(largest))) else None
        if float(xp.min(largest)) == 0.0:
            raise ValueError("X must have no row of zeros, which has no direction")
        rows = rows / largest
    lengths = xp.sqrt(xp.vecdot(rows, rows))
    if not bool(xp.all(xp.isfinite(lengths))):
        checks.finite("X", rows, xp=xp)
    if not normalize:
        _refuse_other_lengths("X", lengths, xp)
    if weights is None:
        w = xp.ones_like(lengths) / n
    else:
        w = checks.masses("weights", weights, length=n, xp=xp, dtype=rows.dtype)
        w = w / xp.max(w)
        w = w / xp.sum(w)
    mean = (w / lengths) @ rows
    R = arrays.norm(xp, mean)
    if R < 0.99:
        return (mean / R if R > 0.0 else None), R, 1.0 - R, d
    mu = mean / R
    apart = rows / lengths[:, None] - mu
    gap = 0.5 * float(w @ xp.vecdot(apart, apart))
    gap = gap if gap > ONE_DIRECTION else 0.0
    return mu, 1.0 - gap, gap, d


def squared_distance(xp: Any, x: Any, mu: Any) -> Any:
    """|x - mu|^2 of unit vectors: from their products, and from the difference where these cancel."""
    if not arrays.is_numpy(xp):
        return xp.sum((x - mu) ** 2, axis=-1)
    out = np.asarray(2.0 - 2.0 * np.vecdot(x, mu))
    flat = out.reshape(-1)
    near = np.flatnonzero(flat < CANCELS)
    x, mu = np.broadcast_arrays(np.atleast_2d(x), mu)
    rows = max(1, 8 * CHUNK // x.shape[-1])
    for start in range(0, near.size, rows):
        part = near[start : start + rows]
        pair = np.unravel_index(part, x.shape[:-1])
        apart = x[pair] - mu[pair]
        flat[part] = np.vecdot(apart, apart)
    return out


def complement(xp: Namespace, v: Any, kappa: Any) -> Any:
    """1 - I_{v+1} / I_v, also where the quotient is nearly 1; for NumPy without the memory of array code."""
    if not arrays.is_numpy(xp):
        return _generic.iv_ratio(xp, v, kappa, complement=True)
    order, k = (np.ravel(a) for a in np.broadcast_arrays(v, kappa))
    out = 1.0 - np.ravel(evaluate("iv_ratio", order, k))
    near_one = np.flatnonzero(out < 0.5)
    for start in range(0, near_one.size, CHUNK):
        part = near_one[start : start + CHUNK]
        out[part] = _generic.iv_ratio(xp, order[part], k[part], complement=True)
    return out.reshape(np.shape(kappa))


def log_norm(xp: Any, d: int, kappa: Any) -> Any:
    """Log C_d(kappa), by (1) of ``vmf``, with a derivative of its own under JAX."""
    if arrays.namespace_name(xp) == "jax":
        from ._jax import functions

        return functions()["vmf_log_norm"](d, kappa)
    return _plain(xp, d, kappa) - kappa


def log_norm_scaled(xp: Any, d: int, kappa: Any) -> Any:
    """Log C_d(kappa) + kappa, as `log_norm`."""
    if arrays.namespace_name(xp) == "jax":
        from ._jax import functions

        return functions()["vmf_log_norm_scaled"](d, kappa)
    return _plain(xp, d, kappa)


def _plain(xp: Any, d: int, kappa: Any) -> Any:
    return _generic_directions.log_norm_scaled(xp, d, kappa, lambda v, k: evaluate("log_ive", v, k))
