"""The kernels of this column for CuPy. What is not fused here is plain array code from `_generic`."""

import math

import cupy

from ._generic import column_products, least_in_columns, row_products

__all__ = [
    "column_products",
    "least_in_columns",
    "log_column_sums",
    "log_row_sums",
    "plan",
    "plan_column_sums",
    "plan_row_sums",
    "row_products",
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
