"""The kernels of this column in plain array-API code: the reference, and the path of other libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from array_api_compat import array_namespace

if TYPE_CHECKING:
    from numsolve._core.typing import Array


def exp2(t: Array) -> Array:
    """2^t."""
    xp = array_namespace(t)
    out: Array = xp.pow(xp.asarray(2.0, dtype=t.dtype), t)
    return out


# --- plans and their sums -------------------------------------------------------------------------


def plan(M: Array, f: Array, g: Array, reg: float) -> Array:
    """P_ij = exp((f_i + g_j - M_ij) / reg)."""
    xp = array_namespace(M, f, g)
    out: Array = xp.exp((f[:, None] + g[None, :] - M) / reg)
    return out


def plan_row_sums(M: Array, f: Array, g: Array, reg: float) -> Array:
    """sum_j P_ij, without storing P where that can be had."""
    out: Array = array_namespace(M).sum(plan(M, f, g, reg), axis=1)
    return out


def plan_column_sums(M: Array, f: Array, g: Array, reg: float) -> Array:
    """sum_i P_ij."""
    out: Array = array_namespace(M).sum(plan(M, f, g, reg), axis=0)
    return out


def log_row_sums(M: Array, f: Array, g: Array, reg: float) -> Array:
    """log(sum_j P_ij), safe for any potentials: the largest exponent of a row is taken out first."""
    return f / reg + _log_sum_exp((g[None, :] - M) / reg, axis=1)


def log_column_sums(M: Array, f: Array, g: Array, reg: float) -> Array:
    """log(sum_i P_ij), safe for any potentials."""
    return g / reg + _log_sum_exp((f[:, None] - M) / reg, axis=0)


def _log_sum_exp(exponent: Array, axis: int) -> Array:
    xp = array_namespace(exponent)
    top = xp.max(exponent, axis=axis, keepdims=True)
    out: Array = xp.log(xp.sum(xp.exp(exponent - top), axis=axis)) + xp.squeeze(top, axis=axis)
    return out


def least_in_columns(M: Array, f: Array) -> Array:
    """min_i (M_ij - f_i), the hard c-transform of f."""
    out: Array = array_namespace(M).min(M - f[:, None], axis=0)
    return out


# --- products with a stored plan ------------------------------------------------------------------


def column_products(P: Array, p: Array) -> Array:
    """P' p."""
    return P.T @ p


def row_products(P: Array, u: Array) -> Array:
    """P u."""
    return P @ u
