"""L-BFGS on the variables that no bound holds: J. Nocedal, Math. Comp. 35, 1980."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays

if TYPE_CHECKING:
    from numsolve._core.typing import Array

#: Pairs that are remembered.
MEMORY = 60


class Memory:
    """The pairs of L-BFGS, and the two-loop recursion on the variables that are free."""

    def __init__(self) -> None:
        self._pairs: list[tuple[Array, Array]] = []
        #: the least curvature s'y / s's of all pairs that were added
        self.least = math.inf

    def __len__(self) -> int:
        return len(self._pairs)

    def forget(self) -> None:
        """Drop all pairs."""
        self._pairs.clear()

    def add(self, s: Array, y: Array) -> None:
        """Keep a pair with positive curvature."""
        if s @ y > 1e-8 * arrays.norm(np, s) * arrays.norm(np, y):
            self.least = min(self.least, float(s @ y) / float(s @ s))
            self._pairs = [*self._pairs[-MEMORY + 1 :], (s, y)]

    def times(self, d: Array, free: Array) -> Array:
        """The inverse Hessian's approximation times d, on the free variables."""
        out = d.copy()
        work: list[tuple[float, float, Array, Array]] = []
        for s_all, y_all in reversed(self._pairs):
            s, y = np.where(free, s_all, 0.0), np.where(free, y_all, 0.0)
            sy = float(s @ y)
            if sy <= 1e-10 * arrays.norm(np, s) * arrays.norm(np, y) or sy == 0.0:
                continue
            a = float(s @ out) / sy
            out -= a * y
            work.append((a, sy, s, y))
        if work:
            _, sy, _, y = work[0]
            out *= sy / float(y @ y)
        for a, sy, s, y in reversed(work):
            out += (a - float(y @ out) / sy) * s
        return np.where(free, out, 0.0)
