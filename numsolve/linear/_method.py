"""A compiled iteration as the loop of this column sees it, and residuals beyond the range of floats."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ._judge import EPS

if TYPE_CHECKING:
    from numsolve._core.typing import Array

#: Residuals between this number and its inverse are squared, and multiplied by A, as they are.
SAFE_DOUBLE, SAFE_SINGLE = 1e30, 1e6
#: The recursion of a residual is believed down to so many roundings of the residual that it started from.
BELIEVED = 4


class Method(Protocol):
    """A compiled iteration that keeps its state from one call to the next."""

    def start(self, x: Array, r: Array) -> None:
        """Begin, or begin anew, at x with the residual r."""

    def steps(self, norms: Array, stop_at: float) -> tuple[int, int]:
        """Fill `norms` until one is at most `stop_at`; return the number of steps and a code."""

    def x(self) -> Array:
        """The iterate in the caller's order."""
        # A method whose residuals may rise has `best`, too: its iterate with the smallest one.


def exponent(size: float, eps: float) -> int:
    """The power of two that residuals are divided by, so that their squares stay in range; mostly 0."""
    safe = SAFE_DOUBLE if eps < 1e-10 else SAFE_SINGLE
    if 1 / safe < size < safe or size == 0.0 or not math.isfinite(size):
        return 0
    return math.frexp(size)[1]


class Scaled:
    """A method on residuals divided by a power of two, where their squares would leave the range."""

    def __init__(self, method: Method) -> None:
        self.method, self.started = method, False

    def start(self, x: Array, r: Array, size: float) -> None:
        self.started = True
        eps = EPS[r.dtype.char]
        self.floor, self.exponent = BELIEVED * eps * size, exponent(size, eps)
        if self.exponent:
            self.base = x
            self.method.start(np.zeros_like(x), np.ldexp(r, -self.exponent))
        else:
            self.method.start(x, r)

    def steps(self, n: int, stop_at: float) -> tuple[Array, int]:
        """Up to n residual norms, and a code."""
        norms, stop_at = np.empty(n), max(stop_at, self.floor)
        if not self.exponent:
            done, code = self.method.steps(norms, stop_at)
            return norms[:done], code
        with np.errstate(over="ignore", under="ignore"):
            done, code = self.method.steps(norms, float(np.ldexp(stop_at, -self.exponent)))
            return np.ldexp(norms[:done], self.exponent), code

    def x(self) -> Array:
        return self._unscaled(self.method.x())

    def best(self) -> list[Array]:
        """The best iterate since the start, if the method keeps one."""
        if not (self.started and hasattr(self.method, "best")):
            return []
        return [self._unscaled(self.method.best())]

    def _unscaled(self, x: Array) -> Array:
        if not self.exponent:
            return x
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return self.base + np.ldexp(x, self.exponent)
