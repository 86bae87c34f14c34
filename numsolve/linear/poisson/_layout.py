"""Where the cells of a level are in memory, and the tables of the blocks of 2 x 2 x 2 cells."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from ._tuples import COLUMNS, FIRST, N0, N1, N2, ROW, SIZE, STRIDE

if TYPE_CHECKING:
    from numsolve._core.typing import Array


def layout(shape: tuple[int, ...]) -> Array:
    """The row of `Hierarchy.levels` of a grid: its sizes; the rest is filled in by the set-up."""
    level = np.zeros(COLUMNS, dtype=np.int64)
    n0, n1, n2 = (1, *shape) if len(shape) == 2 else shape
    level[N0], level[N1], level[N2] = n0, n1, n2
    level[STRIDE], level[ROW] = n1 + 2, (n2 + 1) // 2 + 2
    level[FIRST] = 1 if len(shape) == 2 else n1 + 3
    level[SIZE] = (n1 + 2) * (1 if len(shape) == 2 else n0 + 2) * level[ROW]
    return level


def coarser(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The grid of blocks."""
    return tuple((n + 1) // 2 for n in shape)


def places(level: Array, a: Array, b: Array, j: Array) -> Array:
    """Where cells of a level are, as `place` in `_cpu_setup`."""
    row = level[FIRST] + a * level[STRIDE] + b
    out: Array = ((a + b + j) & 1) * level[SIZE] + row * level[ROW] + (j >> 1) + 1
    return out


def positions(level: Array, at: Array) -> tuple[Array, Array, Array]:
    """The cells of places, as `position` in `_cpu_setup`."""
    colour = at // level[SIZE]
    row, k = np.divmod(at - colour * level[SIZE], level[ROW])
    a, b = np.divmod(row - level[FIRST], level[STRIDE])
    j = 2 * (k - 1)
    return a, b, j + ((a + b + j + colour) & 1)


class Cells:
    """Some cells of a level, or all: their numbers in the order of the grid."""

    def __init__(self, level: Array, keys: Array | None = None) -> None:
        self.level, self.keys = level, keys
        self.shape = tuple(int(n) for n in level[[N0, N1, N2]])

    @property
    def count(self) -> int:
        """How many."""
        n0, n1, n2 = self.shape
        return n0 * n1 * n2 if self.keys is None else self.keys.size

    def places(self) -> Array:
        """Where they are."""
        assert self.keys is not None
        return places(self.level, *np.unravel_index(self.keys, self.shape))

    def spans(self) -> Array:
        """Parts of rows: two coordinates, and the first and the last but one of the third."""
        n0, n1, n2 = self.shape
        if self.keys is None:
            a, b = np.divmod(np.arange(n0 * n1 if n2 else 0), max(n1, 1))
            return np.stack([a, b, np.zeros_like(a), np.full_like(a, n2)], axis=1)
        row, j = np.divmod(self.keys, max(n2, 1))
        starts = np.ones(row.size, dtype=bool)
        starts[1:] = (np.diff(row) != 0) | (np.diff(j) != 1)
        first = np.flatnonzero(starts)
        last = np.append(first[1:], row.size) - 1
        a, b = np.divmod(row[first], max(n1, 1))
        return np.stack([a, b, j[first], j[last] + 1], axis=1)

    def beside(self, *steps: int) -> Cells:
        """With those at these distances along each axis."""
        if self.keys is None:
            return self
        parts, stride = [self.keys], 1
        for axis in (2, 1, 0):
            n = self.shape[axis]
            x = self.keys // stride % n
            parts += [self.keys[(x + s >= 0) & (x + s < n)] + s * stride for s in steps]
            stride *= n
        return Cells(self.level, _sorted(np.concatenate(parts)))

    def blocks(self, coarse: Array) -> Cells:
        """The blocks that they are in, cells of the next level."""
        if self.keys is None:
            return Cells(coarse)
        cells = np.unravel_index(self.keys, self.shape)
        return Cells.at(coarse, *(x >> 1 for x in cells))

    @classmethod
    def at(cls, level: Array, a: Array, b: Array, j: Array) -> Cells:
        """Those with some coordinates."""
        return cls(level, _sorted((a * level[N1] + b) * level[N2] + j))

    def __or__(self, other: Cells) -> Cells:
        if self.keys is None or other.keys is None:
            return Cells(self.level)
        return Cells(self.level, _sorted(np.concatenate([self.keys, other.keys])))


def _sorted(keys: Array) -> Array:
    """In order, each once."""
    keys.sort()
    first = np.ones(keys.size, dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return keys[first]


@lru_cache(maxsize=1)
def block_tables() -> tuple[Array, Array]:
    """The connected parts of each pattern of occupied corners: their number, and the part of each corner.

    The corner (a, b, j) is bit 4 a + 2 b + j; parts are numbered in the order of their first corners.
    """
    components, labels = np.zeros(256, dtype=np.int64), np.full((256, 8), -1, dtype=np.int64)
    for bits, corner in product(range(256), range(8)):
        if not bits >> corner & 1 or labels[bits, corner] >= 0:
            continue
        waiting = [corner]
        while waiting:
            at = waiting.pop()
            labels[bits, at] = components[bits]
            near = (at ^ 1, at ^ 2, at ^ 4)
            waiting += [k for k in near if bits >> k & 1 and labels[bits, k] < 0]
        components[bits] += 1
    return components, labels
