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
