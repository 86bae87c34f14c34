"""Each CUDA kernel by itself: what it moves or computes, beside a copy or a multiplication of as much.

A kernel that waits for memory is measured against a copy of as many bytes, each array that it reads or writes
counted once; one that computes, against fused multiplications and additions, as many as its formula needs at
least. The ratio of a row is the share of the device that the kernel reaches.

Nothing here needs a device before `launch`: `tests/test_peers_gpu.py` checks that each kernel of the package
is in the list, and its arguments against the signature in the CUDA source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from _harness import Case, Peer

#: additions, multiplications and the exponential of a pair of points in space, at least
FLOPS_A_PAIR = 24
#: multiplications and additions of a value in the yardstick, after which one is written
CHAIN = 512
LOGARITHMS = ("log_iv", "log_ive", "log_kv", "log_kve")
SPECIAL = (*LOGARITHMS, "iv_ratio", "kv_ratio", "iv_order_slope", "kv_order_slope")


@dataclass
class Kernel:
    """One launch."""

    name: str  # as CUDA has it
    module: str
    #: the kernel in its module: an attribute, or one of a dict of kernels or sources
    where: tuple[str, ...]
    dtype: str
    size: str
    arguments: Callable[[Any], tuple[Any, ...]]
    bytes: float = 0.0
    flops: float = 0.0
    #: blocks, threads and bytes of shared memory of a `RawKernel`
    grid: tuple[int, int, int] | None = None

    def load(self, cupy: Any) -> Any:
        """The kernel itself."""
        found = getattr(import_module(self.module), self.where[0])
        for key in self.where[1:]:
            found = found[key]
        return cupy.RawKernel(found, self.name) if isinstance(found, str) else found


def relax(dtype: str, side: int) -> Kernel:
    """The second level of a chequered grid: each row has four neighbours, all in the first."""
    rows = side * side // 2

    def arguments(xp: Any) -> tuple[Any, ...]:
        ptr = np.zeros(2 * rows + 1, np.uint32)
        ptr[rows:] = 4 * np.arange(rows + 1)
        near = np.arange(rows)[:, None] + (0, 1, side // 2, side // 2 + 1)
        values = xp.full(4 * rows, -1.0, dtype)
        vectors = (xp.full(2 * rows, 4.0, dtype), np.dtype(dtype).type(1.5))
        span = (np.uint32(rows), np.uint32(2 * rows))
        columns = xp.asarray((near % rows).astype(np.uint32).ravel())
        return (xp.asarray(ptr), columns, values, *vectors, *span, xp.ones(2 * rows, dtype))

    width, threads = np.dtype(dtype).itemsize, 128
    moved = rows * (4 + 4 * (4 + width) + 4 * width)  # the first half is read, the second read and written
    grid = (-(-rows // threads), threads, 0)
    where = ("_kernels", np.dtype(dtype).char)
    size = f"a level of {rows} rows"
    return Kernel("relax", "numsolve.linear._gpu", where, dtype, size, arguments, bytes=moved, grid=grid)


def over_pairs(dtype: str, n: int) -> Kernel:
    """Row sums of a plan between clouds in space."""
    threads, d = 128, 3

    def arguments(xp: Any) -> tuple[Any, ...]:
        rng, kind = np.random.default_rng(0), np.dtype(dtype).type
        X, Y = (xp.asarray(rng.random((n, d)).astype(dtype)) for _ in range(2))
        zeros = xp.zeros(n, dtype)
        scalars = (np.int32(n), np.int32(n), np.int32(d), np.int32(0), kind(2), kind(1))
        ends = (kind(100), np.int32(0), xp.zeros(n, dtype))
        return (*scalars, X, zeros, Y, zeros, np.intp(0), *ends)

    grid = (-(-n // threads), threads, threads * (d + 2) * np.dtype(dtype).itemsize)
    where, size = ("SOURCES", dtype), f"{n} x {n} points in space"
    flops = float(FLOPS_A_PAIR) * n * n
    module = "numsolve.transport.clouds._gpu"
    return Kernel("over_pairs", module, where, dtype, size, arguments, flops=flops, grid=grid)


def dense(name: str, dtype: str, n: int) -> Kernel:
    """One of the three passes over a matrix of costs."""

    def arguments(xp: Any) -> tuple[Any, ...]:
        kind = np.dtype(dtype).type
        M, v = xp.ones((n, n), dtype), xp.zeros(n, dtype)
        return {
            "plan": (v[:, None], v[None, :], M, kind(0.1), xp.empty_like(M)),
            "exponent": (v[None, :], M, kind(0.1), xp.empty_like(M)),
            "shifted": (M, v[:, None], M),
        }[name]

    moved = 2.0 * n * n * np.dtype(dtype).itemsize
    where, size = (name.upper(),), f"{n} x {n} costs"
    return Kernel(f"transport_{name}", "numsolve.transport._gpu", where, dtype, size, arguments, bytes=moved)


def special(name: str, n: int) -> Kernel:
    """One of the functions of Bessel, for orders and arguments up to a hundred."""

    def arguments(xp: Any) -> tuple[Any, ...]:
        v, x = np.random.default_rng(0).uniform(0, 100, (2, n))
        return xp.asarray(v), xp.asarray(x), xp.empty(n)

    where, size = (name.upper(),), f"{n} values"
    module = "numsolve.special._gpu"
    return Kernel(f"special_{name}", module, where, "float64", size, arguments, bytes=24.0 * n)


def kernels(*, quick: bool) -> list[Kernel]:
    """Every kernel of the package."""
    n, points, side, values = (1024, 4096, 512, 10**5) if quick else (16_384, 65_536, 8192, 10**7)
    found = []
    for dtype in ("float32", "float64"):
        found += [dense(name, dtype, n) for name in ("plan", "exponent", "shifted")]
        found += [over_pairs(dtype, points), relax(dtype, side)]
    return found + [special(name, values) for name in SPECIAL]


def launch(kernel: Kernel, cupy: Any) -> Callable[[], None]:
    """The launch with its arguments on the device."""
    ready, arguments = kernel.load(cupy), kernel.arguments(cupy)
    if kernel.grid is None:
        return partial(ready, *arguments)
    blocks, threads, shared = kernel.grid
    return partial(ready, (blocks,), (threads,), arguments, shared_mem=shared)


def copy(count: float, cupy: Any) -> Callable[[], None]:
    """A copy that reads and writes this many bytes in all."""
    source = cupy.ones(max(1, int(count / 16)))
    return partial(cupy.copyto, cupy.empty_like(source), source)


def multiply(count: float, dtype: str, cupy: Any) -> Callable[[], None]:
    """This many additions and multiplications, fused, in registers."""
    loop = f"T a = x; for (int i = 0; i < {CHAIN}; ++i) a = a * x + x; y = a"
    chain = cupy.ElementwiseKernel("T x", "T y", loop, "yardstick")
    x = cupy.full(max(1, int(count / (2 * CHAIN))), 0.5, dtype)
    return partial(chain, x, cupy.empty_like(x))


def cases(quick: bool, finished: Callable[[Callable[[], Any]], Callable[[], Any]]) -> Iterator[Case]:
    """One row for each kernel; `finished` makes a launch wait for its end."""
    import cupy

    for kernel in kernels(quick=quick):
        if kernel.bytes:
            other, name = copy(kernel.bytes, cupy), "CuPy copy of as many bytes (yardstick)"
            what = f"{kernel.bytes / 1e9:.3g} GB moved"
        else:
            other, name = multiply(kernel.flops, kernel.dtype, cupy), "CuPy as many flops (yardstick)"
            what = f"{kernel.flops / 1e9:.3g} Gflop"
        yield Case(
            f"{kernel.name}, {kernel.dtype}, {kernel.size}",
            ours=finished(launch(kernel, cupy)),
            peers=[Peer("cupy", finished(other), name)],
            metric="time of one kernel; times better is its share of the device",
            note=what,
            repeats=7,
            budget=15.0,
            first_call=False,
        )
