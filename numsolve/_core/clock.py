"""The clock of time limits. It stands still while kernels are compiled or loaded: nothing interrupts that."""

from __future__ import annotations

from time import perf_counter

#: Seconds that this process has spent so, kept up to date by `numsolve._core.compiled`.
preparing = 0.0


def now() -> float:
    """Seconds on the clock of `time.perf_counter`, less those in which kernels were prepared."""
    return perf_counter() - preparing
