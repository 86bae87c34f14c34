"""The kernels of this column for CuPy. What is not fused here is plain array code from `_generic`."""

import math

import cupy

from ._generic import (
    column_products,
    least_in_columns,
    least_in_rows,
    row_products,
    scale_columns,
    scaled_cost,
    spread_cost,
)

__all__ = [
    "column_products",
    "least_in_columns",
    "least_in_rows",
    "log_column_sums",
    "log_row_sums",
    "plan",
    "plan_column_sums",
    "plan_row_sums",
    "row_products",
    "scale_columns",
    "scaled_cost",
    "spread_cost",
    "stable_columns",
    "transform",
]

LOG2E = math.log2(math.e)

#: P_ij = 2^((f_i + g_j - M_ij) rate): the cost is read once, the plan is written once.
PLAN = cupy.ElementwiseKernel(
    "T f, T g, T M, T rate", "T P", "P = exp2((f + g - M) * rate)", "transport_plan"
)
#: The exponent without one of the potentials, for the log-sum-exp.
EXPONENT = cupy.ElementwiseKernel("T f, T M, T rate", "T E", "E = (f - M) * rate", "transport_exponent")
SHIFTED = cupy.ElementwiseKernel("T E, T top", "T P", "P = exp2(E - top)", "transport_shifted")


def plan(M, f, g, reg):
    """P, stored."""
    return PLAN(f[:, None], g[None, :], M, M.dtype.type(LOG2E / reg))


def plan_row_sums(M, f, g, reg):
    """sum_j P_ij."""
    return plan(M, f, g, reg).sum(axis=1)


def plan_column_sums(M, f, g, reg):
    """sum_i P_ij."""
    return plan(M, f, g, reg).sum(axis=0)


def log_row_sums(M, f, g, reg):
    """log(sum_j P_ij), safe for any potentials."""
    return f / reg + _log_sum_exp(M, g[None, :], reg, axis=1)


def log_column_sums(M, f, g, reg):
    """log(sum_i P_ij), safe for any potentials."""
    return g / reg + _log_sum_exp(M, f[:, None], reg, axis=0)


def _log_sum_exp(M, potential, reg, axis):
    E = EXPONENT(potential, M, M.dtype.type(LOG2E / reg))
    top = E.max(axis=axis, keepdims=True)
    SHIFTED(E, top, E)
    return cupy.log(E.sum(axis=axis)) + top.squeeze(axis) / LOG2E


def stable_columns(M, f, g, reg, P=None):
    """A plan, its column sums, and its g, another one where the sums would overflow; see `_cpu`."""
    rate = M.dtype.type(LOG2E / reg)
    P = cupy.empty_like(M) if P is None else P
    small = 1e-290 if M.dtype == cupy.float64 else 1e-30
    PLAN(f[:, None], g[None, :], M, rate, P)
    c = P.sum(axis=0)
    if not bool((c.min() > small) & (c.max() < 1 / small)):
        g = least_in_columns(M, f)
        PLAN(f[:, None], g[None, :], M, rate, P)
        c = P.sum(axis=0)
    return P, c, g


def transform(M, f, g, b, reg, P=None):
    """The soft c-transform of f, and the plan of the pair; see `_cpu.transform`."""
    P, c, g = stable_columns(M, f, g, reg, P)
    scale = b / c
    P, r = scale_columns(P, scale)
    return P, g + reg * cupy.log(scale), r
