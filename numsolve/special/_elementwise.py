"""One way into all elementwise functions: which library computes, in which precision, on how many threads.

NumPy arrays go through the compiled kernels in chunks of `CHUNK` entries, converted to float64 on the way;
above `MANY` entries several threads take a part each. CuPy arrays go through elementwise CUDA kernels, JAX
arrays through functions with derivatives of their own, those of any other library through `_generic`.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks

from . import _generic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, Kernels, Namespace

#: Entries that are converted and computed at a time.
CHUNK = 8192
#: Entries from which on more than one thread pays.
MANY = 20_000


def _log_iv(k: Kernels, v: Array, x: Array, out: Array, work: Array) -> int:
    k.log_far(v, x, out, 1.0, False, work)
    left: int = k.fill_iv(v, x, out, False)
    return left


def _log_ive(k: Kernels, v: Array, x: Array, out: Array, work: Array) -> int:
    k.log_far(v, x, out, 1.0, True, work)
    left: int = k.fill_iv(v, x, out, True)
    return left


def _log_kv(k: Kernels, v: Array, x: Array, out: Array, work: Array) -> int:
    k.log_far(v, x, out, -1.0, False, work)
    left: int = k.fill_kv(v, x, out, False)
    return left


def _log_kve(k: Kernels, v: Array, x: Array, out: Array, work: Array) -> int:
    k.log_far(v, x, out, -1.0, True, work)
    left: int = k.fill_kv(v, x, out, True)
    return left


def _iv_ratio(k: Kernels, v: Array, x: Array, out: Array, work: Array) -> int:
    k.ratio_far(v, x, out, 1.0, work)
    left: int = k.fill_iv_ratio(v, x, out)
    return left


def _kv_ratio(k: Kernels, v: Array, x: Array, out: Array, work: Array) -> int:
    k.ratio_far(v, x, out, -1.0, work)
    left: int = k.fill_kv_ratio(v, x, out)
    return left


def _iv_order_slope(k: Kernels, v: Array, x: Array, out: Array, _: Array) -> int:
    left: int = k.iv_order_slope(v, x, out)
    return left


def _kv_order_slope(k: Kernels, v: Array, x: Array, out: Array, _: Array) -> int:
    left: int = k.kv_order_slope(v, x, out)
    return left


#: What each function does with a chunk, and the same in plain array code for the entries that are left.
COMPILED = {
    "log_iv": _log_iv,
    "log_ive": _log_ive,
    "log_kv": _log_kv,
    "log_kve": _log_kve,
    "iv_ratio": _iv_ratio,
    "kv_ratio": _kv_ratio,
    "iv_order_slope": _iv_order_slope,
    "kv_order_slope": _kv_order_slope,
}


def evaluate(name: str, v: Any, x: Any, out: Array | None = None, where: Any = True) -> Array:
    """Evaluate one of `COMPILED`, with broadcasting, `out` and `where` as in a NumPy ufunc."""
    xp = arrays.array_namespace(v=v, x=x, out=out)
    library = arrays.namespace_name(xp)
    if library not in {"numpy", "cupy"} and (out is not None or where is not True):
        raise TypeError(f"out and where are for NumPy and CuPy arrays, not for those of {library}")
    for key, value in (("v", v), ("x", x)):
        checks.refuse_masked(key, value)
    if library == "jax":
        from ._jax import functions

        traced: Array = functions()[name](v, x)
        return traced
    dtype = _dtype(xp, v=v, x=x)
    if library == "numpy":
        return _on_host(name, np.asarray(v), np.asarray(x), dtype, out, where)
    a, b = (xp.asarray(value, dtype=dtype) for value in (v, x))
    if library == "cupy":
        computed: Array = _on_device(name, a, b, out, where)
        return computed
    a, b = xp.broadcast_arrays(a, b)
    result: Array = getattr(_generic, name)(xp, a, b)
    return result


def _dtype(xp: Namespace, **values: Any) -> Any:
    """float32 where all arrays are, Python numbers apart; float64 otherwise."""
    given = {key: value for key, value in values.items() if not isinstance(value, int | float)}
    for key, value in values.items():
        if value is None:
            raise TypeError(f"{key} must be a number or an array, got None")
        arrays.working_dtype(xp, **{key: value})  # complex numbers and words are refused
    kinds = [str(getattr(value, "dtype", None) or np.asarray(value).dtype) for value in given.values()]
    single = bool(kinds) and all(kind.endswith(("float32", "float16")) for kind in kinds)
    return xp.float32 if single else xp.float64


# -- NumPy -----------------------------------------------------------------------------------------


def _on_host(name: str, v: Array, x: Array, dtype: Any, out: Array | None, where: Any) -> Array:
    """Allocate, and share the work between threads."""
    mask = None if where is True else _mask(where)
    shape = np.broadcast_shapes(v.shape, x.shape, *([] if mask is None else [mask.shape]))
    if out is None:
        result = np.empty(shape, dtype) if mask is None else np.full(shape, np.nan, dtype)
    else:
        result = _checked_out(out, shape, dtype)
        v, x = (a.copy() if np.may_share_memory(a, out) else a for a in (v, x))
    v, x = np.broadcast_to(v, shape), np.broadcast_to(x, shape)
    if mask is not None:
        chosen = np.broadcast_to(mask, shape)
        part = np.empty(int(np.count_nonzero(chosen)), result.dtype)
        _fill(name, v[chosen], x[chosen], part)
        result[chosen] = part
    else:
        _fill(name, v, x, result)
    return result if out is not None else result[()]


def _mask(where: Any) -> Array:
    mask = np.asarray(where)
    if mask.dtype != bool:
        raise TypeError(f"where must be True, False or an array of them, got dtype {mask.dtype}")
    return mask


def _checked_out(out: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array, got {type(out).__name__}")
    if out.shape != shape:
        raise ValueError(f"out must have the shape {shape} of the result, got {out.shape}")
    if not np.can_cast(dtype, out.dtype, "same_kind"):
        raise TypeError(f"out must hold real floats, got dtype {out.dtype}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable, got an array that is read-only")
    return out


def _fill(name: str, v: Array, x: Array, out: Array) -> None:
    """Fill `out`, split along its longest axis between threads if there is much to do."""
    k = arrays.kernels_for(np, __package__)
    threads = k.threads() if out.size >= MANY else 1
    if threads < 2:
        return _fill_part(k, name, v, x, out)
    axis = int(np.argmax(out.shape))
    cuts = [out.shape[axis] * i // threads for i in range(threads + 1)]
    parts = [(slice(None),) * axis + (slice(low, high),) for low, high in itertools.pairwise(cuts)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: _fill_part(k, name, v[part], x[part], out[part]), parts))
    return None


def _fill_part(k: Kernels, name: str, v: Array, x: Array, out: Array) -> None:
    """Fill `out` on this thread, `CHUNK` entries at a time, through contiguous float64 buffers."""
    if out.size == 0:
        return
    run: Callable[..., int] = COMPILED[name]
    work = np.empty(k.WORK)
    settings: Any = {
        "flags": ["external_loop", "buffered", "delay_bufalloc"],
        "op_flags": [["readonly", "contig"], ["readonly", "contig"], ["writeonly", "contig"]],
        "op_dtypes": [np.float64, np.float64, np.float64],
        "casting": "same_kind",
        "buffersize": CHUNK,
    }
    with np.nditer([v, x, out], **settings) as chunks:
        chunks.reset()
        for a, b, y in chunks:
            order = np.abs(a) if name in {"log_kv", "log_kve"} else a  # K is even in its order
            if run(k, order, b, y, work):
                left = np.isnan(y)
                with np.errstate(all="ignore"):
                    xp = arrays.array_namespace(y=y)
                    y[left] = getattr(_generic, name)(xp, order[left], b[left])


# -- CuPy ------------------------------------------------------------------------------------------


def _on_device(name: str, v: Any, x: Any, out: Any, where: Any) -> Any:
    """One elementwise kernel; a mask is applied to its result."""
    k = arrays.kernels_for(arrays.array_namespace(v=v), __package__)
    function = k.KERNELS[name]
    if where is True:
        return function(v, x) if out is None else function(v, x, out)
    result = function(v, x)
    return k.put(result, where, out)
