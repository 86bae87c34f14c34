"""One level of the multigrid method from the one before: all of it, or the blocks where something changed.

The nodes beyond the first in a block are few; they and their edges are listed anew each time, so that both
ways give the same numbers in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ._layout import Cells, block_tables, coarser, layout, positions
from ._tuples import CONSTANT, EXTRAS, RED_EXTRAS, SIZE

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Dtype

    from .grid import GridPoisson

    Weights: TypeAlias = tuple[Array | None, Array, Array]

#: If more than this part of the blocks is to be set up, all are.
MOST = 0.5


def _nothing() -> Array:
    return np.empty(0, np.int32)


def _no_columns() -> Array:
    return np.empty((3, 0), np.int32)


@dataclass
class Level:
    """One level, as it is built and kept for the next obstacles."""

    shape: tuple[int, ...]
    row: Array  #: of `Hierarchy.levels`
    d: Array
    on_grid: int  #: cells with edges
    weights: Weights | None = None  #: of the faces; None where they are constant
    links: Array = field(default_factory=_nothing)
    opened: Array = field(default_factory=_nothing)
    cell_of: Array = field(default_factory=_nothing)
    ends: Array = field(default_factory=_no_columns)  #: edges of extra nodes
    values: Array = field(default_factory=_nothing)
    moved: Array = field(default_factory=_no_columns)
    parents: Array = field(default_factory=_nothing)
    parent: Array = field(default_factory=_nothing)  #: of all nodes, from the second level on
    patterns: Array = field(default_factory=_nothing)  #: of the blocks, of the second level,
    base: Array = field(default_factory=_nothing)  #: and their first extra nodes

    @property
    def top(self) -> int:
        """Places of cells."""
        return 2 * int(self.row[SIZE])

    @property
    def total(self) -> int:
        """Places, with the extra nodes."""
        return self.top + int(self.row[EXTRAS])

    @property
    def linked(self) -> int:
        """Nodes with edges."""
        return self.on_grid + int(np.count_nonzero(self.links[self.top : self.total] > 0))

    def grow(self, extras: int) -> None:
        """Make room for extra nodes, whose weights towards open cells become 0."""
        self.row[EXTRAS] = extras
        if self.total > self.d.size:
            self.d, self.links = (_longer(x, self.total + extras) for x in (self.d, self.links))
            self.opened = _longer(self.opened, self.total + extras)
        self.opened[:, self.top :] = 0

    def diagonals(self, cells: Cells) -> None:
        """Sum up the weights at some cells."""
        from ._cpu_coarsen import diagonals

        assert self.weights is not None
        before = 0 if cells.keys is None else int(np.count_nonzero(self.links[cells.places()] > 0))
        now = diagonals(
            self.row, cells.spans(), *self.weights, self.ends, self.values, self.opened, self.links, self.d
        )
        self.on_grid = int(now) + (0 if cells.keys is None else self.on_grid - before)


def finest(problem: GridPoisson, dtype: Dtype) -> Level:
    """Level 0: constant weights, or those of the faces."""
    row = problem.row.copy()
    if problem.weights is None:
        row[CONSTANT] = 1
        return Level(problem.grid_shape, row, problem.inverse_diagonal(dtype), problem.n)
    w0, w1, w2 = problem.weights
    weights = None if w0 is None else w0.astype(dtype), w1.astype(dtype), w2.astype(dtype)
    links, d = np.zeros((2, problem.size), dtype)
    level = Level(
        problem.grid_shape, row, d, 0, weights, links, np.asarray(problem.opened, dtype),
        values=np.empty(0, dtype),
    )  # fmt: skip
    level.diagonals(Cells(row))
    return level


def _blank(shape: tuple[int, ...], dtype: Dtype) -> Level:
    """A level without weights."""
    row = layout(shape)
    n = 2 * int(row[SIZE])
    weights = (np.zeros(n, dtype) if len(shape) == 3 else None, np.zeros(n, dtype), np.zeros(n, dtype))
    nothing = np.zeros(0, dtype)
    return Level(shape, row, nothing, 0, weights, nothing, np.zeros((6, 0), dtype))


def _longer(values: Array, size: int) -> Array:
    """With zeros at the end of each row."""
    out = np.zeros((*values.shape[:-1], size), values.dtype)
    out[..., : values.shape[-1]] = values
    return out


def coarsen(
    problem: GridPoisson, fine: Level, old: Level | None, changed: Cells | None
) -> tuple[Level, Cells | None, int]:
    """The next level: a new one, or the old one where cells of the fine one have changed.

    Returns
    -------
    level : Level
        The old one, if that was enough.
    changed : Cells or None
        Its changed cells; None for all.
    blocks : int
        How many were set up.
    """
    shape = coarser(fine.shape)
    row = layout(shape)
    every, work = Cells(row), Cells(row)
    own = Cells(row) if changed is None else changed.blocks(row)
    if old is not None and own.keys is not None:
        work = own | Cells.at(row, *positions(row, old.cell_of))
        work |= Cells.at(row, *(x >> 1 for x in positions(fine.row, fine.cell_of)))
        if work.count > MOST * every.count:
            work = every
    if work.keys is None:
        level, changed = _blank(shape, fine.d.dtype), None
    else:
        assert old is not None
        level, changed = old, own.beside(-1, 1)
        level.opened[:, work.places()] = 0
    (_first if fine.weights is None else _next)(problem, fine, level, work)
    level.diagonals(work.beside(-1).beside(0, 1))
    return level, changed, work.count


def _first(problem: GridPoisson, fine: Level, level: Level, blocks: Cells) -> None:
    """The first coarse level, from the patterns of the blocks alone."""
    from . import _cpu_setup as k

    components, labels = block_tables()
    row, dtype, spans = level.row, fine.d.dtype, blocks.spans()
    if blocks.keys is None:
        level.patterns = np.zeros(blocks.shape, dtype=np.uint8)
        level.base = np.full(level.top, -1, dtype=np.int32)
    else:
        level.base[blocks.places()] = -1
    patterns, base = level.patterns, level.base
    extras, split = k.find_patterns(problem.cells, spans, fine.row, components, patterns)
    cell_of, moved = np.empty(extras, np.int32), np.empty((3, 8 * split), np.int32)
    counts = np.zeros(2, dtype=np.int64)
    if split:
        k.number_split(patterns, spans, fine.row, row, components, labels, base, moved, cell_of, counts)
    level.grow(extras)
    row[RED_EXTRAS] = counts[0]
    ends, values = np.empty((3, 24 * split), np.int32), np.empty(24 * split, dtype)
    ratio, assigned = problem.ratio, level.weights
    assert assigned is not None
    n = k.first_weights(
        patterns, blocks.beside(-1).spans(), row, ratio, labels, base, *assigned, ends, values
    )
    if problem.n_contacts:
        k.first_contacts(problem.cells, patterns, spans, fine.row, row, ratio, labels, base, level.opened)
    fine.moved = moved[:, : counts[1]]
    level.cell_of = cell_of
    level.ends, level.values = _merged(ends[:, :n], values[:n], level.total)


def _next(_: GridPoisson, fine: Level, level: Level, blocks: Cells) -> None:
    """A coarse level from any other."""
    from . import _cpu_coarsen as k

    row, dtype, top, total = level.row, fine.d.dtype, level.top, fine.total
    if fine.parent.size < total:
        fine.parent = np.concatenate([fine.parent, np.full(total - fine.parent.size, -1, np.int32)])
    parent, spans, weights = fine.parent[:total], blocks.spans(), fine.weights
    assert weights is not None
    assert level.weights is not None
    graph = (fine.cell_of, fine.ends, fine.values)
    new_cells, inside = np.empty(fine.linked, dtype=np.int32), np.zeros((3, total), dtype)
    group, touched = np.arange(total, dtype=np.int32), np.zeros(top, np.uint8)
    extras = k.aggregate(
        fine.row, row, spans, *weights, fine.links, *graph, inside, group, touched, parent, new_cells
    )
    cell_of = new_cells[:extras]
    black = cell_of >= top // 2
    order = np.argsort(black, kind="stable")
    rank = np.empty(extras, dtype=np.int32)
    rank[order] = np.arange(extras, dtype=np.int32)
    level.cell_of = cell_of = cell_of[order]
    if extras:
        beyond = np.flatnonzero(parent >= top)
        parent[beyond] = top + rank[parent[beyond] - top]
    level.grow(extras)
    row[RED_EXTRAS] = extras - np.count_nonzero(black)
    room, faces = 16 * extras, blocks.beside(-1).spans()
    while True:
        ends, values = np.empty((3, room), np.int32), np.empty(room, dtype)
        n = k.next_weights(
            fine.row, row, faces, *weights, *graph, inside, parent, *level.weights, ends, values
        )
        if n <= room:
            break
        room = n
    k.next_contacts(fine.row, spans, *weights, fine.cell_of, fine.opened, inside, parent, level.opened)
    red = np.flatnonzero(parent[: fine.top // 2] >= top).astype(np.int32)
    fine.moved = np.stack([red, cell_of[parent[red] - top], parent[red]])
    fine.parents = parent[fine.top : fine.top + int(fine.row[RED_EXTRAS])]
    level.ends, level.values = _merged(ends[:, :n], values[:n], level.total)


def adjusted(problem: GridPoisson, level: Level, k: int, learned: Array) -> Level:
    """A coarse level whose weights are the rule's times learned factors.

    A row of `learned`, the last one for all further levels, has the logarithm of a factor of the edges, a
    power of their weight over that in open space, and the logarithm of a factor of the contacts.
    """
    factor, power, contact = (float(v) for v in learned[min(k, len(learned)) - 1])
    assert level.weights is not None
    d = len(level.shape)

    def times(w: Array, axis: Array | int) -> Array:
        open_space = (problem.ratio[axis] * 2.0 ** ((d - 2) * k)).astype(w.dtype)
        out: Array = w * w.dtype.type(np.exp(factor))
        return out if power == 0.0 else out * np.where(w > 0, w / open_space, 1) ** w.dtype.type(power)

    w0, w1, w2 = level.weights
    new = Level(
        level.shape, level.row, np.zeros_like(level.d), 0,
        (None if w0 is None else times(w0, 0), times(w1, 1), times(w2, 2)),
        np.zeros_like(level.links), level.opened * level.opened.dtype.type(np.exp(contact)), level.cell_of,
        level.ends, times(level.values, level.ends[2]), level.moved, level.parents,
    )  # fmt: skip
    new.diagonals(Cells(level.row))
    return new


def _merged(ends: Array, values: Array, total: int) -> tuple[Array, Array]:
    """Edges between the same two nodes as one."""
    if not values.size:
        return ends, values
    key = ends[0].astype(np.int64) * total + ends[1]
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    sums = np.bincount(place, values, first.size).astype(values.dtype)
    return np.ascontiguousarray(ends[:, first]), sums
