"""The levels of the multigrid method, built from the flags of a grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.sparse import coo_array, diags_array, tril

from ._layout import block_tables, coarser, layout
from ._tuples import (
    BLACK_END,
    CONSTANT,
    EDGES,
    EXTRAS,
    MOVED,
    MOVED_END,
    OFF,
    PARENTS,
    RED_END,
    RED_EXTRAS,
    SIZE,
    SWEEPS_OF,
    WOFF,
    Hierarchy,
)

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Dtype, Matrix

    from .grid import GridPoisson

    Weights: TypeAlias = tuple[Array | None, Array, Array]


#: Sweeps on each level, times those of the finest; the last number holds for all further levels. On coarse
#: levels they cost little, and keep the number of iterations from growing with the number of levels.
SWEEPS = (1, 1, 2, 4)


#: A level with at most so many edges a node is nearly a tree: its factors have next to no fill.
CORRIDOR, LARGEST_CORRIDOR = 1.25, 2_000_000


def _nothing() -> Array:
    return np.empty(0)


def _no_moves() -> Array:
    return np.empty((3, 0), np.int32)


@dataclass
class Level:
    """One level while it is built."""

    shape: tuple[int, ...]
    row: Array  #: of `Hierarchy.levels`
    d: Array
    linked: int  #: nodes with edges
    weights: Weights | None = None  #: of the faces; None where they are constant
    links: Array = field(default_factory=_nothing)
    opened: Array = field(default_factory=_nothing)
    cell_of: Array = field(default_factory=_nothing)
    ends: Array = field(default_factory=_nothing)  #: edges of extra nodes
    values: Array = field(default_factory=_nothing)
    moved: Array = field(default_factory=_no_moves)
    parents: Array = field(default_factory=_nothing)


def build(
    problem: GridPoisson, dtype: Dtype, coarse_size: int, learned: Array | None = None
) -> tuple[Hierarchy, list[int]]:
    """All levels, and the number of nodes of each; `learned` changes the weights of the coarse ones."""
    if problem.size >= 2**31:
        raise ValueError(
            f"flags must have fewer than 2**31 cells, padding included, got {problem.size} in shape "
            f"{problem.grid_shape}"
        )
    levels = [_finest(problem, dtype)]
    counts = [problem.n]
    while counts[-1] > coarse_size and not _is_corridor(levels[-1]):
        if levels[-1].weights is None:
            levels.append(_first(problem, levels[-1]))
        else:
            levels.append(_next(levels[-1]))
        counts.append(levels[-1].linked)
    if learned is not None:
        rule, levels = levels, levels[:1]
        levels += [_adjusted(problem, level, k, learned) for k, level in enumerate(rule[1:], start=1)]
    return _assemble(problem, levels, dtype), counts


def _empty_edges(dtype: Dtype) -> tuple[Array, Array]:
    return np.empty((3, 0), dtype=np.int32), np.empty(0, dtype=dtype)


def _finest(problem: GridPoisson, dtype: Dtype) -> Level:
    """Level 0: constant weights, or those of the faces."""
    row = problem.row.copy()
    if problem.weights is None:
        row[CONSTANT] = 1
        return Level(problem.grid_shape, row, problem.inverse_diagonal(dtype), problem.n)
    w0, w1, w2 = problem.weights
    weights = None if w0 is None else w0.astype(dtype), w1.astype(dtype), w2.astype(dtype)
    return _level(
        problem.grid_shape, row, weights, np.asarray(problem.opened, dtype=dtype),
        np.empty(0, dtype=np.int32), *_empty_edges(dtype),
    )  # fmt: skip


def _level(
    shape: tuple[int, ...],
    row: Array,
    weights: Weights,
    opened: Array,
    cell_of: Array,
    ends: Array,
    values: Array,
) -> Level:
    """A level of given weights."""
    from . import _cpu_coarsen as k

    links, d = np.empty(opened.shape[1], dtype=opened.dtype), np.empty(opened.shape[1], dtype=opened.dtype)
    links[:] = 0
    linked = int(k.diagonals(row, *weights, ends, values, opened, links, d))
    return Level(shape, row, d, linked, weights, links, opened, cell_of, ends, values)


def _blank(row: Array, extras: int, dtype: Dtype, *, three: bool) -> tuple[Weights, Array]:
    """Zero weights of a new level."""
    n = 2 * int(row[SIZE])
    weights = (np.zeros(n, dtype) if three else None, np.zeros(n, dtype), np.zeros(n, dtype))
    return weights, np.zeros((6, n + extras), dtype)


def _first(problem: GridPoisson, fine: Level) -> Level:
    """The first coarse level, from the patterns of the blocks alone."""
    from . import _cpu_setup as k

    components, labels = block_tables()
    shape = coarser(fine.shape)
    row, dtype = layout(shape), fine.d.dtype
    patterns = np.empty((1, *shape) if len(shape) == 2 else shape, dtype=np.uint8)
    extras, split = k.find_patterns(problem.cells, fine.row, row, components, patterns)
    base = np.full(2 * int(row[SIZE]), -1, dtype=np.int32)
    cell_of, moved = np.empty(extras, np.int32), np.empty((3, 8 * split), np.int32)
    counts = np.zeros(2, dtype=np.int64)
    if split:
        k.number_split(patterns, fine.row, row, components, labels, base, moved, cell_of, counts)
    row[RED_EXTRAS], row[EXTRAS] = counts[0], extras
    weights, opened = _blank(row, extras, dtype, three=len(shape) == 3)
    ends, values = np.empty((3, 24 * split), np.int32), np.empty(24 * split, dtype)
    ratio = problem.ratio
    n = k.first_weights(patterns, row, ratio, labels, base, *weights, ends, values)
    if problem.n_contacts:
        k.first_contacts(problem.cells, patterns, fine.row, row, ratio, labels, base, opened)
    fine.moved, fine.parents = moved[:, : counts[1]], np.empty(0, np.int32)
    ends, values = _merged(ends[:, :n], values[:n], 2 * int(row[SIZE]) + extras)
    return _level(shape, row, weights, opened, cell_of, ends, values)


def _next(fine: Level) -> Level:
    """A coarse level from any other."""
    from . import _cpu_coarsen as k

    shape = coarser(fine.shape)
    row, dtype, old = layout(shape), fine.d.dtype, 2 * int(fine.row[SIZE])
    top = 2 * int(row[SIZE])
    total = old + int(fine.row[EXTRAS])
    parent = np.full(total, -1, dtype=np.int32)
    new_cells = np.empty(fine.linked, dtype=np.int32)
    group, touched = np.empty(total, np.int32), np.zeros(top, np.uint8)
    assert fine.weights is not None
    graph = (fine.cell_of, fine.ends)
    extras = k.aggregate(
        fine.row, row, *fine.weights, fine.links, *graph, group, touched, parent, new_cells
    )  # fmt: skip
    cell_of = new_cells[:extras]
    black = cell_of >= top // 2
    order = np.argsort(black, kind="stable")
    rank = np.empty(extras, dtype=np.int32)
    rank[order] = np.arange(extras, dtype=np.int32)
    cell_of = cell_of[order]
    if extras:
        beyond = parent >= top
        parent[beyond] = top + rank[parent[beyond] - top]
    row[RED_EXTRAS], row[EXTRAS] = extras - np.count_nonzero(black), extras
    inside = np.zeros((3, total), dtype)
    k.inner_weights(fine.row, *fine.weights, *graph, fine.values, inside)
    room = 16 * extras
    while True:
        weights, opened = _blank(row, extras, dtype, three=len(shape) == 3)
        ends, values = np.empty((3, room), np.int32), np.empty(room, dtype)
        n = k.next_weights(
            fine.row, row, *fine.weights, *graph, fine.values, inside, parent, *weights, ends, values
        )
        if n <= room:
            break
        room = n
    k.next_contacts(fine.row, fine.cell_of, fine.opened, inside, parent, opened)
    red = np.flatnonzero(parent[: old // 2] >= top).astype(np.int32)
    fine.moved = np.stack([red, cell_of[parent[red] - top], parent[red]])
    fine.parents = parent[old : old + int(fine.row[RED_EXTRAS])]
    ends, values = _merged(ends[:, :n], values[:n], top + extras)
    return _level(shape, row, weights, opened, cell_of, ends, values)


def _adjusted(problem: GridPoisson, level: Level, k: int, learned: Array) -> Level:
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
    new = _level(
        level.shape, level.row, (None if w0 is None else times(w0, 0), times(w1, 1), times(w2, 2)),
        level.opened * level.opened.dtype.type(np.exp(contact)), level.cell_of, level.ends,
        times(level.values, level.ends[2]),
    )  # fmt: skip
    new.moved, new.parents = level.moved, level.parents
    return new


def _merged(ends: Array, values: Array, total: int) -> tuple[Array, Array]:
    """Edges between the same two nodes as one."""
    if not values.size:
        return ends, values
    key = ends[0].astype(np.int64) * total + ends[1]
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    sums = np.bincount(place, values, first.size).astype(values.dtype)
    return np.ascontiguousarray(ends[:, first]), sums


def _directed(level: Level) -> tuple[Array, Array, int]:
    """The edges of extra nodes in both directions, those of red targets first; their number."""
    top, ends = 2 * int(level.row[SIZE]), level.ends
    target, source = np.concatenate([ends[0], ends[1]]), np.concatenate([ends[1], ends[0]])
    cell = target.copy()
    beyond = target >= top
    cell[beyond] = level.cell_of[target[beyond] - top]
    black = cell >= top // 2
    order = np.lexsort((target, black))
    both = np.stack([target[order], source[order]])
    return both, np.concatenate([level.values, level.values])[order], int(np.count_nonzero(~black))


def _assemble(problem: GridPoisson, levels: list[Level], dtype: Dtype) -> Hierarchy:
    """All levels in one record."""
    offset = start = edges = moved = parents = 0
    parts: dict[str, list[Array]] = {name: [] for name in ("w0", "w1", "w2", "edges", "values")}
    for k, level in enumerate(levels):
        row, size = level.row, level.d.size
        row[SWEEPS_OF] = SWEEPS[min(k, len(SWEEPS) - 1)]
        row[OFF], row[WOFF] = offset, start
        offset += size
        if level.weights is not None:
            start += 2 * int(row[SIZE])
            for name, w in zip(("w0", "w1", "w2"), level.weights, strict=True):
                parts[name] += [] if w is None else [w]
            both, values, red = _directed(level)
            parts["edges"].append(both)
            parts["values"].append(values)
            row[EDGES], row[RED_END], row[BLACK_END] = edges, edges + red, edges + values.size
            edges += values.size
        if level is not levels[-1]:
            row[MOVED], row[MOVED_END], row[PARENTS] = moved, moved + level.moved.shape[1], parents
            moved, parents = moved + level.moved.shape[1], parents + level.parents.size
    last = coarsest(problem, levels)
    work = np.zeros((2, offset), dtype)
    return Hierarchy(
        levels=np.stack([level.row for level in levels]),
        ratio=problem.ratio.astype(dtype),
        d=_joined([level.d for level in levels], dtype),
        w0=None if len(problem.grid_shape) == 2 else _joined(parts["w0"], dtype),
        w1=_joined(parts["w1"], dtype),
        w2=_joined(parts["w2"], dtype),
        edges=_joined([np.empty((2, 0), np.int32), *parts["edges"]], np.int32),
        values=_joined(parts["values"], dtype),
        moved=_joined([level.moved for level in levels], np.int32),
        parents=_joined([level.parents for level in levels], np.int32),
        **last,
        u=work[0],
        f=work[1],
        r=np.zeros(max(level.d.size for level in levels), dtype),
        line=np.zeros(max(*problem.grid_shape, last["nodes"].size) + 2, dtype),
    )


def _joined(parts: list[Array], dtype: Dtype) -> Array:
    """Arrays one after the other along their last axis."""
    return np.concatenate(parts, axis=-1, dtype=dtype, casting="unsafe") if parts else np.zeros(0, dtype)


def _is_corridor(level: Level) -> bool:
    """Whether a level is nearly a tree, which coarsens slowly and is eliminated without fill."""
    if level.weights is None or level.linked > LARGEST_CORRIDOR:
        return False
    edges = sum(np.count_nonzero(w) for w in level.weights if w is not None) + level.values.size
    return bool(edges <= CORRIDOR * level.linked)


def coarsest(problem: GridPoisson, levels: list[Level]) -> dict[str, Array]:
    """The nodes of the last level, and the inverse or the factors of their matrix.

    Constants on closed components are shifted away: by the mean for an inverse, at one node for factors.
    """
    level = levels[-1]
    nodes, matrix = (problem.places(), problem.to_csr(scaled=True)) if len(levels) == 1 else _matrix(level)
    n = nodes.size
    out = {
        "nodes": nodes.astype(np.int64),
        "inverse": np.zeros((0, 0)),
        "order": np.zeros(0, np.int64),
        "columns": np.zeros(0, np.int64),
        "factor": np.zeros(0),
    }
    if not n:
        return out
    from scipy.sparse.csgraph import connected_components

    count, part = connected_components(matrix, directed=False)
    diagonal = matrix.diagonal()
    largest = np.zeros(count)
    np.maximum.at(largest, part, diagonal)
    largest[largest == 0.0] = 1.0
    closed = np.bincount(part, matrix.sum(axis=1), count) <= 1e-10 * np.bincount(part, diagonal, count)
    if n > 400 and _is_corridor(level):
        shift = np.zeros(n)
        shift[np.unique(part, return_index=True)[1][closed]] = largest[closed]
        return out | _factors(matrix + diags_array(shift))
    dense = matrix.toarray()
    for c in np.flatnonzero(closed):
        own = np.flatnonzero(part == c)
        dense[np.ix_(own, own)] += largest[c] / own.size
    inverse = np.linalg.inv(dense)
    return out | {"inverse": np.ascontiguousarray((inverse + inverse.T) / 2)}


def _factors(matrix: Matrix) -> dict[str, Array]:
    """L D L' of a symmetric positive definite matrix, by SuperLU without pivoting."""
    from scipy.sparse.linalg import splu

    lu = splu(
        matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    assert (lu.perm_r == lu.perm_c).all()
    n, L = matrix.shape[0], tril(lu.L, -1, format="csc")
    return {
        "order": np.argsort(lu.perm_c).astype(np.int64),
        "columns": np.concatenate([L.indptr, L.indices]).astype(np.int64),
        "factor": np.concatenate([L.data, lu.U.diagonal(), np.zeros(n)]),
    }


def _matrix(level: Level) -> tuple[Array, Matrix]:
    """The places of the nodes of a level, and their matrix in double precision."""
    from ._cpu_coarsen import all_edges

    assert level.weights is not None
    nodes = np.flatnonzero(level.links > 0)
    number = np.full(level.links.size, -1)
    number[nodes] = np.arange(nodes.size)
    room = 3 * 2 * int(level.row[SIZE]) + level.values.size
    ends, values = np.empty((2, room), np.int64), np.empty(room)
    n = all_edges(level.row, *level.weights, level.ends, level.values, ends, values)
    i, j, w = number[ends[0, :n]], number[ends[1, :n]], values[:n]
    edges = coo_array((-w, (i, j)), shape=(nodes.size,) * 2).tocsr()
    edges = edges + edges.T
    opened = level.opened[:, nodes].astype(float).sum(axis=0)
    return nodes, (edges + diags_array(opened - edges.sum(axis=1))).tocsr()
