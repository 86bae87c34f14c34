"""The house's ways to compile a function: `kernel` for those that Python calls, `inner` for their parts.

Both cache what they compile, divide as NumPy does (no exception, no check) and leave out the wrappers that
nobody calls: unpacking the arrays of named tuples, once for Python and once for C, is a quarter of the time
that a large kernel takes to compile. **Calling an `inner` function from Python may crash the interpreter.**

The first compilations of a process that take longer than two seconds together say so, in one line on stderr,
unless the environment variable ``NUMSOLVE_QUIET`` is set.
"""

from __future__ import annotations

import functools
import os
import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any

from . import clock

_before = perf_counter()
from numba import njit, types  # noqa: E402
from numba.core import event  # noqa: E402
from numba.extending import intrinsic  # noqa: E402

clock.preparing += perf_counter() - _before  # Numba takes half a second to load

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds of compilation in this process before the user is told.
PATIENCE = 2.0


def kernel(function: Any = None, **options: Any) -> Any:
    """Compile a function that Python calls, when it is first called; `options` are those of `numba.njit`."""
    if function is None:
        return functools.partial(kernel, **options)
    compiled = njit(**{**_COMMON, "nogil": True, **options})(function)
    compiled.compile = functools.partial(_off_the_clock, compiled.compile)
    return compiled


def inner(function: Any = None, **options: Any) -> Any:
    """Compile a function that other kernels call, and Python never."""
    if function is None:
        return functools.partial(inner, **options)
    # Where additions may be reordered, each compilation may order them otherwise. A process that has compiled
    # such a function by itself would call that one, and later processes the one cached with its caller.
    placed = {"forceinline": True} if options.get("fastmath") else {}
    return njit(**{**_COMMON, "no_cpython_wrapper": True, **placed, **options})(function)


_COMMON = {"cache": True, "error_model": "numpy", "no_cfunc_wrapper": True}


def _off_the_clock(compile: Callable[..., Any], signature: Any) -> Any:  # noqa: A002
    """Compile for a signature, or load what is cached for it; the clock of time limits stands still."""
    before, counted = perf_counter(), clock.preparing
    try:
        return compile(signature)
    finally:
        # In place of what a kernel inside this one has counted already.
        clock.preparing = counted + perf_counter() - before


class _FirstCall(event.Listener):
    """Adds up the seconds of compilation, and tells the user once."""

    def __init__(self) -> None:
        self.depth, self.began, self.seconds, self.told = 0, 0.0, 0.0, False

    def on_start(self, event: Any) -> None:  # noqa: ARG002  # the listener's protocol
        if self.depth == 0:
            self.began = perf_counter()
        self.depth += 1

    def on_end(self, event: Any) -> None:  # noqa: ARG002
        self.depth -= 1
        # Numba's nested compilations end first: a long one is noticed while it still goes on.
        spent = self.seconds + perf_counter() - self.began
        if self.depth == 0:
            self.seconds = spent
        if spent > PATIENCE and not self.told:
            self.told = True
            if not os.environ.get("NUMSOLVE_QUIET"):
                print(
                    "numsolve: compiling for the first call; later ones, in new processes too, find it in a "
                    "cache (ahead of time: python -m numsolve warm; silence: NUMSOLVE_QUIET=1)",
                    file=sys.stderr,
                    flush=True,
                )


event.register("numba:compile", _FirstCall())  # type: ignore[no-untyped-call]


@intrinsic
def as_int64(_: Any, x: Any) -> Any:  # noqa: ARG001
    """Take the bits of a float for an integer: kernels that split off exponents."""
    return types.int64(types.float64), _bitcast


@intrinsic
def as_float64(_: Any, x: Any) -> Any:  # noqa: ARG001
    """Take the bits of an integer for a float."""
    return types.float64(types.int64), _bitcast


def _bitcast(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return builder.bitcast(args[0], context.get_value_type(signature.return_type))
