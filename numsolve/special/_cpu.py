"""The entries: kernels that sort a chunk by the formula that each entry takes, and one for each formula."""

from __future__ import annotations

from numba import get_num_threads

from ._cpu_debye import WORK, log_far, ratio_far
from ._cpu_near import LOG, RATIO, SCALED, iv_ratio_near, kv_middle, kv_small, log_iv_near
from ._cpu_order import order_slope
from ._cpu_sort import AT_ROOT, FARTHER, JUST_FAR, MIDDLE, NEITHER, SMALL, TERMS, VERY_FAR, put_back, sort

__all__ = [
    "AT_ROOT",
    "FARTHER",
    "JUST_FAR",
    "LOG",
    "MIDDLE",
    "NEITHER",
    "RATIO",
    "SCALED",
    "SMALL",
    "TERMS",
    "VERY_FAR",
    "WORK",
    "iv_ratio_near",
    "kv_middle",
    "kv_small",
    "log_far",
    "log_iv_near",
    "order_slope",
    "put_back",
    "ratio_far",
    "sort",
    "threads",
]


def threads():
    """How many threads Numba may use: NUMBA_NUM_THREADS, numba.set_num_threads."""
    return get_num_threads()
