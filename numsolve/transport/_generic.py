"""The kernels of this column in plain array-API code: the reference, and the path of other libraries."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace


def exp2(t: Any) -> Any:
    """2^t."""
    xp = array_namespace(t)
    return xp.pow(xp.asarray(2.0, dtype=t.dtype), t)


# --- plans and their sums -------------------------------------------------------------------------


def plan(M: Any, f: Any, g: Any, reg: float) -> Any:
    """P_ij = exp((f_i + g_j - M_ij) / reg)."""
    xp = array_namespace(M, f, g)
    return xp.exp((f[:, None] + g[None, :] - M) / reg)


def plan_row_sums(M: Any, f: Any, g: Any, reg: float) -> Any:
    """sum_j P_ij, without storing P where that can be had."""
    return array_namespace(M).sum(plan(M, f, g, reg), axis=1)


def plan_column_sums(M: Any, f: Any, g: Any, reg: float) -> Any:
    """sum_i P_ij."""
    return array_namespace(M).sum(plan(M, f, g, reg), axis=0)


def log_row_sums(M: Any, f: Any, g: Any, reg: float) -> Any:
    """log(sum_j P_ij), safe for any potentials: the largest exponent of a row is taken out first."""
    return f / reg + _log_sum_exp((g[None, :] - M) / reg, axis=1)


def log_column_sums(M: Any, f: Any, g: Any, reg: float) -> Any:
    """log(sum_i P_ij), safe for any potentials."""
    return g / reg + _log_sum_exp((f[:, None] - M) / reg, axis=0)


def _log_sum_exp(exponent: Any, axis: int) -> Any:
    xp = array_namespace(exponent)
    top = xp.max(exponent, axis=axis, keepdims=True)
    return xp.log(xp.sum(xp.exp(exponent - top), axis=axis)) + xp.squeeze(top, axis=axis)


# --- for the bounds of exact transport ------------------------------------------------------------


def least_in_columns(M: Any, f: Any) -> Any:
    """min_i (M_ij - f_i), the hard c-transform of f."""
    return array_namespace(M).min(M - f[:, None], axis=0)


def least_in_rows(M: Any, g: Any) -> Any:
    """min_j (M_ij - g_j)."""
    return array_namespace(M).min(M - g[None, :], axis=1)


def scaled_cost(P: Any, M: Any, x: Any, y: Any) -> Any:
    """sum_ij x_i P_ij y_j M_ij over the pairs with P_ij > 0."""
    xp = array_namespace(P)
    return x @ ((P * xp.where(P > 0, M, xp.zeros_like(M))) @ y)


def spread_cost(M: Any, u: Any, v: Any) -> Any:
    """sum_ij u_i v_j M_ij over the pairs with u_i v_j > 0."""
    xp = array_namespace(M)
    spread = u[:, None] * v[None, :]
    return xp.sum(spread * xp.where(spread > 0, M, xp.zeros_like(M)))


# --- products with a stored plan ------------------------------------------------------------------


def column_products(P: Any, p: Any) -> Any:
    """P' p."""
    return P.T @ p


def row_products(P: Any, u: Any) -> Any:
    """P u."""
    return P @ u
