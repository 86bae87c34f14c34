"""The elementwise functions of NumPy arrays, by the compiled kernels.

Arrays are taken in chunks of `CHUNK` entries, converted to float64 on the way. The entries of a chunk are
sorted by the formula that they take, each formula fills in its part, and the values are put back in order.
Above `MANY` entries several threads take a part of the array each.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays

from . import _generic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numsolve._core.typing import Array, Kernels

#: Entries that are converted and computed at a time.
CHUNK = 8192
#: Entries from which on more than one thread pays.
MANY = 40_000


def evaluate(name: str, v: Array, x: Array, dtype: Any, out: Array | None, where: Any) -> Array:
    """Evaluate a function by its name, with broadcasting, `out` and `where` as in a NumPy ufunc."""
    mask = None if where is True else _mask(where)
    shape = v.shape
    if shape != x.shape or mask is not None:
        shape = _common_shape(v=v, x=x) if mask is None else _common_shape(v=v, x=x, where=mask)
    if out is None:
        result = np.empty(shape, dtype) if mask is None else np.full(shape, np.nan, dtype)
    else:
        result = _checked_out(out, shape, dtype)
        v, x = (a.copy() if np.may_share_memory(a, out) else a for a in (v, x))
    v, x = (a if a.shape == shape else np.broadcast_to(a, shape) for a in (v, x))
    if mask is not None:
        chosen = np.broadcast_to(mask, shape)
        part = np.empty(int(np.count_nonzero(chosen)), result.dtype)
        _fill(name, v[chosen], x[chosen], part)
        result[chosen] = part
    else:
        _fill(name, v, x, result)
    return result if out is not None else result[()]


def _common_shape(**given: Array) -> tuple[int, ...]:
    shapes = [a.shape for a in given.values()]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        names, found = ", ".join(given), ", ".join(map(str, shapes))
        raise ValueError(f"{names} must have shapes that broadcast, got {found}") from None


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
    if out.size == 0:
        return
    k = arrays.kernels_for(np, __package__)
    threads = k.threads() if out.size >= MANY else 1
    if threads < 2:
        _fill_part(k, name, v, x, out)
        return
    axis = int(np.argmax(out.shape))
    cuts = [out.shape[axis] * i // threads for i in range(threads + 1)]
    parts = [(slice(None),) * axis + (slice(low, high),) for low, high in itertools.pairwise(cuts)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: _fill_part(k, name, v[part], x[part], out[part]), parts))


def _fill_part(k: Kernels, name: str, v: Array, x: Array, out: Array) -> None:
    """Fill `out` on this thread, `CHUNK` entries at a time."""
    if out.size == 0:
        return
    function = _Function(k, name, min(out.size, CHUNK))
    if all(a.dtype == np.float64 and a.flags.c_contiguous and a.flags.aligned for a in (v, x, out)):
        v, x, out = v.reshape(-1), x.reshape(-1), out.reshape(-1)
        for start in range(0, out.size, CHUNK):
            part = slice(start, start + CHUNK)
            function.fill(v[part], x[part], out[part])
        return
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
            function.fill(a, b, y)


class Sorter:
    """Room for up to `size` entries, sorted by kind, and for three values of each."""

    def __init__(self, k: Kernels, size: int) -> None:
        self.k = k
        self.v, self.x, self.y, self.z, self.w = np.empty((5, size))
        self.kinds, self.place = np.empty((2, size), np.int16)
        self.ends = np.empty(k.NEITHER + 1, np.int64)
        self.work = np.empty(k.WORK)

    def parts(self, v: Array, x: Array) -> Iterator[tuple[int, slice]]:
        """Sort; then each kind that there is, and where its entries are."""
        self.k.sort(v, x, self.kinds, self.ends, self.v, self.x, self.place)
        start = 0
        for kind, end in enumerate(self.ends.tolist()):
            if end > start:
                yield kind, slice(start, end)
            start = end


class _Function(Sorter):
    """One of the elementwise functions."""

    def __init__(self, k: Kernels, name: str, size: int) -> None:
        super().__init__(k, size)
        self.name = name
        kind, _, what = name.removeprefix("log_").partition("_")
        self.sign = 1.0 if kind.startswith("i") else -1.0  # of the exponent of the function at infinity
        self.what = what or ("scaled" if kind.endswith("e") else "log")
        self.even = name in {"log_kv", "log_kve"}  # in the order

    def fill(self, v: Array, x: Array, out: Array) -> None:
        """Sort, fill in each kind, and put back."""
        for kind, part in self.parts(np.abs(v) if self.even else v, x):
            self.fill_kind(kind, self.v[part], self.x[part], self.y[part])
        self.k.put_back(self.y, self.place, out)

    def fill_kind(self, kind: int, v: Array, x: Array, y: Array) -> None:
        """Fill in entries that are all of one kind."""
        k, sign, what, work = self.k, self.sign, self.what, self.work
        far, small = kind <= k.AT_ROOT, kind == k.SMALL
        if kind == k.NEITHER:
            with np.errstate(all="ignore"):
                y[:] = getattr(_generic, self.name)(arrays.array_namespace(v=v), v, x)
        elif what == "order_slope":
            k.order_slope(v, x, y, far, sign, work)
        elif what == "ratio" and far:
            k.ratio_far(v, x, y, k.TERMS[kind], sign, work)
        elif far:
            k.log_far(v, x, y, k.TERMS[kind], kind == k.AT_ROOT, sign, what == "scaled", work)
        elif sign < 0.0:
            near = k.kv_small if small else k.kv_middle
            near(v, x, y, {"log": k.LOG, "scaled": k.SCALED, "ratio": k.RATIO}[what], work)
        elif what == "ratio":
            k.iv_ratio_near(v, x, y, work)
        else:
            k.log_iv_near(v, x, y, what == "scaled", work)
