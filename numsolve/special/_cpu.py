"""The entries: kernels of the logarithms, the ratios and the derivatives.

A vector is first computed as if all of it were far (``_cpu_debye``), then the entries that are near are
filled in (``_cpu_near``), and what neither is for is left as nan. Each `..._near` kernel returns how many
those are.
"""

from __future__ import annotations

import math

from numba import get_num_threads

from numsolve._core.compiled import kernel

from ._cpu_debye import FUSED, WORK, log_far, ratio_far
from ._cpu_near import iv_ratio_one, kind_of, kv_one, log_iv_one
from ._cpu_order import iv_order_slope, kv_order_slope

__all__ = [
    "WORK",
    "fill_iv",
    "fill_iv_ratio",
    "fill_kv",
    "fill_kv_ratio",
    "iv_order_slope",
    "kv_order_slope",
    "log_far",
    "ratio_far",
    "threads",
]


@kernel(fastmath=FUSED)
def fill_iv(v, x, out, scaled):
    """Put log I, or log(I e^{-x}), where `out` is not right yet."""
    left = 0
    for i in range(out.size):
        kind = kind_of(v[i], x[i])
        if kind == 1:
            near = log_iv_one(v[i], x[i])
            out[i] = near - x[i] if scaled else near
        elif kind == 2:
            out[i] = math.nan
            left += 1
    return left


@kernel(fastmath=FUSED)
def fill_kv(v, x, out, scaled):
    """Put log K, or log(K e^x), where `out` is not right yet."""
    left = 0
    for i in range(out.size):
        kind = kind_of(v[i], x[i])
        if kind == 1:
            low, ratio, e = kv_one(v[i], x[i])  # noqa: RUF059
            out[i] = math.log(low) + (e + x[i] if scaled else e)
        elif kind == 2:
            out[i] = math.nan
            left += 1
    return left


@kernel(fastmath=FUSED)
def fill_iv_ratio(v, x, out):
    """Put I_{v+1} / I_v where `out` is not right yet."""
    left = 0
    for i in range(out.size):
        kind = kind_of(v[i], x[i])
        if kind == 1:
            out[i] = iv_ratio_one(v[i], x[i])
        elif kind == 2:
            out[i] = math.nan
            left += 1
    return left


@kernel(fastmath=FUSED)
def fill_kv_ratio(v, x, out):
    """Put K_{v+1} / K_v where `out` is not right yet."""
    left = 0
    for i in range(out.size):
        kind = kind_of(v[i], x[i])
        if kind == 1:
            low, ratio, e = kv_one(v[i], x[i])  # noqa: RUF059
            out[i] = ratio
        elif kind == 2:
            out[i] = math.nan
            left += 1
    return left


def threads():
    """How many threads Numba may use: NUMBA_NUM_THREADS, numba.set_num_threads."""
    return get_num_threads()
