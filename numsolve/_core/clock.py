"""The clock of time limits: it stands still while a kernel compiles, which nothing can interrupt."""

from __future__ import annotations

from time import perf_counter

#: Seconds that this process has spent compiling, kept up to date by `numsolve._core.compiled`.
compiling = 0.0


def now() -> float:
    """Seconds on the clock of `time.perf_counter`, less those of compilation."""
    return perf_counter() - compiling
