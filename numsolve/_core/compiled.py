"""The house's ways to compile a function: `kernel` for those that Python calls, `inner` for their parts.

Both cache what they compile, divide as NumPy does (no exception, no check) and leave out the wrappers that
nobody calls: unpacking the arrays of named tuples, once for Python and once for C, is a quarter of the time
that a large kernel takes to compile. **Calling an `inner` function from Python may crash the interpreter.**

The first compilations of a process that take longer than two seconds together say so, in one line on stderr,
unless the environment variable ``NUMSOLVE_QUIET`` is set.
"""

from __future__ import annotations

import os
import sys
from time import perf_counter
from typing import Any

from numba import njit
from numba.core import event

from . import clock

#: Seconds of compilation in this process before the user is told.
PATIENCE = 2.0


def kernel(function: Any = None, **options: Any) -> Any:
    """Compile a function that Python calls, when it is first called; `options` are those of `numba.njit`."""
    return _compiled(function, {"no_cfunc_wrapper": True, "nogil": True, **options})


def inner(function: Any = None, **options: Any) -> Any:
    """Compile a function that other kernels call, and Python never."""
    return _compiled(function, {"no_cfunc_wrapper": True, "no_cpython_wrapper": True, **options})


def _compiled(function: Any, options: dict[str, Any]) -> Any:
    options = {"error_model": "numpy", **options, "cache": True}
    return njit(**options) if function is None else njit(**options)(function)


class _FirstCall(event.Listener):  # type: ignore[misc]  # Numba has no types
    """Adds up the seconds of compilation for the clock of time limits, and tells the user once."""

    def __init__(self) -> None:
        self.depth, self.began, self.told = 0, 0.0, False

    def on_start(self, event: Any) -> None:  # noqa: ARG002  # the listener's protocol
        if self.depth == 0:
            self.began = perf_counter()
        self.depth += 1

    def on_end(self, event: Any) -> None:  # noqa: ARG002
        self.depth -= 1
        # Numba's nested compilations end first: a long one is noticed while it still goes on.
        spent = clock.compiling + perf_counter() - self.began
        if self.depth == 0:
            clock.compiling = spent
        if spent > PATIENCE and not self.told:
            self.told = True
            if not os.environ.get("NUMSOLVE_QUIET"):
                print(
                    "numsolve: compiling for the first call; later ones, in new processes too, find it in a "
                    "cache (ahead of time: python -m numsolve warm; silence: NUMSOLVE_QUIET=1)",
                    file=sys.stderr,
                    flush=True,
                )


event.register("numba:compile", _FirstCall())
