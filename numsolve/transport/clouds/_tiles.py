# mypy: disable-error-code=no-any-return
# (kernels have no types: what they return is an Array by our word)
"""Sums over the pairs by workers that share no memory: tiles of some rows and a block of columns.

A worker is sent the points of a block once (`Kept`), and with each tile the potentials of its rows and
columns: it never has to hold a cloud, let alone the matrix. What it computes is what a pass in one process
does for these rows and columns, so that the sums are the same to the last bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core.clock import now
from numsolve._core.kept import Kept, map_kept
from numsolve.transport._deadline import TimeUp

from . import _generic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from numsolve._core.typing import Array
    from numsolve.transport._deadline import Deadline

    from ._metric import Metric

#: Pairs of a tile: some 50 ms at least, half a second at most, and some 256 tiles between.
LEAST_TILE, TILES, LARGEST_TILE = 50_000_000, 256, 500_000_000


@dataclass(frozen=True)
class Sums:
    """What tiles have in common: a kernel by its name, and the cost."""

    name: str
    metric: Metric
    reg: float
    #: For compiled kernels: what they call the metric, and the factor of the points. Else the rows at once.
    kind: int | None = None
    unit: float = 0.0
    rows: int = 0

    def tile(self, X: Array, Y: Array, i: Side, j: Side, cut: Array | None, more: tuple[Any, ...]) -> Array:
        """The sums of some rows over some columns."""
        return (self._plain if self.rows else self._compiled)(X, Y, i, j, cut, more)

    def _compiled(
        self, X: Array, Y: Array, i: Side, j: Side, cut: Array | None, more: tuple[Any, ...]
    ) -> Array:
        from . import _cpu

        sides = (
            _cpu.side(self.kind, np.ascontiguousarray((points * self.unit).T), own(s.potential), own(s.edges))
            for points, s in ((X, i), (Y, j))
        )
        power = self.metric.p if self.metric.kind == "power" else None
        cuts = () if cut is None else (own(cut),)
        more = (*map(own, (*i.factors, *j.factors)), *more)
        return compiled(self.name)(self.kind, power, *sides, *cuts, 0, i.edges.size - 1, *more)

    def _plain(self, X: Array, Y: Array, i: Side, j: Side, _: Array | None, more: tuple[Any, ...]) -> Array:
        parts = []
        for first in range(0, X.shape[0], self.rows):
            k = slice(first, first + self.rows)
            if self.name == "least":
                parts.append(_generic.least(self.metric, X[k], Y, j.potential))
                continue
            factors = (*(x[k] for x in i.factors), *j.factors)
            sums = getattr(_generic, self.name)
            parts.append(sums(self.metric, X[k], i.potential[k], Y, j.potential, self.reg, *factors, *more))
        return np.concatenate(parts)


@dataclass(frozen=True)
class Side:
    """What a block of a cloud has besides its points; potentials in the kernel's unit."""

    potential: Any
    edges: Array
    factors: tuple[Array, ...] = ()


def compiled(name: str) -> Any:
    """A compiled kernel by its name."""
    from . import _cpu, _cpu_entries

    return getattr(_cpu_entries if name == "cost_gradients" else _cpu, name)


def pairs_of_a_tile(pairs: int) -> int:
    """How many of so many pairs a tile has, about."""
    return min(max(pairs // TILES, LEAST_TILE), LARGEST_TILE)


def own(x: Array) -> Array:
    """In one piece that may be written, for which kernels are compiled: what is sent may be neither."""
    return np.require(x, requirements=["C", "W"])


def passes(
    sums: Sums,
    tasks: Sequence[tuple[tuple[Kept, ...], tuple[Any, ...]]],
    columns: int,
    executor: Executor,
    deadline: Deadline,
) -> list[Array]:
    """The sums over each block of columns for all rows; tiles are ordered by rows, then by columns."""

    def left() -> float:
        return math.inf if deadline.until == math.inf else deadline.until - now()

    work = [(data, (sums, *arguments)) for data, arguments in tasks]
    try:
        parts = map_kept(_tile, work, executor, left)
    except TimeoutError:
        raise TimeUp from None
    return [np.concatenate(parts[block::columns]) for block in range(columns)]


def _tile(X: Array, Y: Array, sums: Sums, *arguments: Any) -> Array:
    return sums.tile(X, Y, *arguments)
