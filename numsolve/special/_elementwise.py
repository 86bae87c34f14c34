"""One way into all elementwise functions: which library computes, and in which precision.

NumPy arrays go through the compiled kernels (``_host``), CuPy arrays through elementwise CUDA kernels, JAX
arrays through functions with derivatives of their own, those of any other library through ``_generic``.
"""

from __future__ import annotations

import reprlib
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks

from . import _generic, _host

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Namespace

#: All functions that `evaluate` knows.
NAMES = (
    "log_iv",
    "log_ive",
    "log_kv",
    "log_kve",
    "iv_ratio",
    "kv_ratio",
    "iv_order_slope",
    "kv_order_slope",
)
#: What needs no look at the library: most calls, those with a single number among them.
PLAIN = (np.ndarray, np.float64, float, int)


def evaluate(name: str, v: Any, x: Any, out: Array | None = None, where: Any = True) -> Array:
    """Evaluate one of `NAMES`, with broadcasting, `out` and `where` as in a NumPy ufunc."""
    if type(v) in PLAIN and type(x) in PLAIN and (out is None or type(out) is np.ndarray):
        a, b = np.asarray(v), np.asarray(x)
        if a.dtype == b.dtype == np.float64:
            return _host.evaluate(name, a, b, np.float64, out, where)
    xp = arrays.array_namespace(v=v, x=x, out=out)
    library = arrays.namespace_name(xp)
    v, x = _value(xp, "v", v), _value(xp, "x", x)
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
        return _host.evaluate(name, np.asarray(v), np.asarray(x), dtype, out, where)
    a, b = (xp.asarray(value, dtype=dtype) for value in (v, x))
    if library == "cupy":
        computed: Array = _on_device(name, a, b, out, where)
        return computed
    a, b = xp.broadcast_arrays(a, b)
    result: Array = getattr(_generic, name)(xp, a, b)
    return result


def _value(xp: Namespace, name: str, value: Any) -> Any:
    """Python's numbers as floats, its lists as arrays."""
    try:
        if isinstance(value, int | float | Fraction):
            return float(value)
        return xp.asarray(value) if isinstance(value, list | tuple) else value
    except OverflowError:
        raise ValueError(f"{name} must hold numbers in the range of floats, got a larger integer") from None
    except ValueError:
        raise ValueError(
            f"{name} must be a rectangular array of numbers, got {reprlib.repr(value)}"
        ) from None


def _dtype(xp: Namespace, **values: Any) -> Any:
    """float32 where all arrays are, Python numbers apart; float64 otherwise."""
    given = {key: value for key, value in values.items() if not isinstance(value, int | float)}
    for key, value in values.items():
        if value is None:
            raise TypeError(f"{key} must be a number or an array, got None")
        arrays.working_dtype(xp, **{key: value})  # complex numbers and words are refused
    dtypes = [getattr(value, "dtype", None) or np.asarray(value).dtype for value in given.values()]
    kinds = [getattr(dtype, "name", str(dtype)) for dtype in dtypes]  # without the order of bytes
    single = bool(kinds) and all(kind.endswith(("float32", "float16")) for kind in kinds)
    return xp.float32 if single else xp.float64


def _on_device(name: str, v: Any, x: Any, out: Any, where: Any) -> Any:
    """One elementwise kernel; a mask is applied to its result."""
    k = arrays.kernels_for(arrays.array_namespace(v=v), __package__)
    function = k.KERNELS[name]
    if where is True:
        return function(v, x) if out is None else function(v, x, out)
    result = function(v, x)
    return k.put(result, where, out)
