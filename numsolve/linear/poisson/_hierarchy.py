"""The levels of the multigrid method, built from the flags of a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.sparse import coo_array, diags_array, tril

from ._layout import Cells, places, positions
from ._levels import Level, adjusted, coarsen, finest
from ._tuples import (
    BLACK_END,
    EDGES,
    MOVED,
    MOVED_END,
    OFF,
    PARENTS,
    RED_END,
    SIZE,
    SWEEPS_OF,
    WOFF,
    Hierarchy,
)

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Dtype, Matrix

    from .grid import GridPoisson


#: Sweeps on each level, times those of the finest; the last number holds for all further levels. On coarse
#: levels they cost little, and keep the number of iterations from growing with the number of levels.
SWEEPS = (1, 1, 2, 4)


#: A level with at most so many edges a node is nearly a tree: its factors have next to no fill.
CORRIDOR, LARGEST_CORRIDOR = 1.25, 2_000_000


class Built(NamedTuple):
    """What `build` makes: the hierarchy, and what the next set-up may go on from."""

    hierarchy: Hierarchy
    counts: list[int]  #: nodes of each level
    levels: list[Level]
    blocks: list[tuple[int, int]]  #: of each coarse level: those that were set up, and all


def build(
    problem: GridPoisson,
    dtype: Dtype,
    coarse_size: int,
    learned: Array | None = None,
    before: list[Level] | None = None,
    changed: Cells | None = None,
) -> Built:
    """All levels; `learned` changes the weights of the coarse ones.

    With the levels that another problem has had `before`, which are changed, and the cells that have changed
    since, only the blocks at these are set up.
    """
    if problem.size >= 2**31:
        raise ValueError(
            f"flags must have fewer than 2**31 cells, padding included, got {problem.size} in shape "
            f"{problem.grid_shape}"
        )
    levels, old, blocks = [finest(problem, dtype)], list(before or []), []
    if old:
        levels[0].parent = old[0].parent
    counts = [problem.n]
    while counts[-1] > coarse_size and not _is_corridor(levels[-1]):
        k = len(levels)
        level, changed, done = coarsen(problem, levels[-1], old[k] if k < len(old) else None, changed)
        levels.append(level)
        counts.append(level.linked)
        blocks.append((done, Cells(level.row).count))
    used = levels
    if learned is not None:
        used = levels[:1]
        used += [adjusted(problem, level, k, learned) for k, level in enumerate(levels[1:], start=1)]
    return Built(_assemble(problem, used, dtype), counts, levels, blocks)


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
        row, size = level.row, level.total
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
        row[MOVED], row[MOVED_END], row[PARENTS] = moved, moved, parents
        if level is not levels[-1]:
            row[MOVED_END] = moved = moved + level.moved.shape[1]
            parents += level.parents.size
    last = coarsest(problem, levels)
    work = np.zeros((2, offset), dtype)
    return Hierarchy(
        levels=np.stack([level.row for level in levels]),
        ratio=problem.ratio.astype(dtype),
        d=_joined([level.d[: level.total] for level in levels], dtype),
        w0=None if len(problem.grid_shape) == 2 else _joined(parts["w0"], dtype),
        w1=_joined(parts["w1"], dtype),
        w2=_joined(parts["w2"], dtype),
        edges=_joined([np.empty((2, 0), np.int32), *parts["edges"]], np.int32),
        values=_joined(parts["values"], dtype),
        moved=_joined([np.empty((3, 0), np.int32), *(level.moved for level in levels[:-1])], np.int32),
        parents=_joined([level.parents for level in levels[:-1]], np.int32),
        **last,
        u=work[0],
        f=work[1],
        r=np.zeros(max(level.total for level in levels), dtype),
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
    return out | {"inverse": _inverse(dense)}


def _inverse(matrix: Array) -> Array:
    """The inverse; what rounding errors made singular keeps eigenvalues at their level."""
    try:
        inverse = np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(matrix)
        inverse = vectors / np.maximum(values, np.finfo(float).eps * values[-1]) @ vectors.T
    return np.ascontiguousarray((inverse + inverse.T) / 2)


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
    assert level.weights is not None
    nodes = np.flatnonzero(level.links[: level.total] > 0)
    number = np.full(level.total, -1)
    number[nodes] = np.arange(nodes.size)
    ends, values = [level.ends[:2]], [level.values]
    for axis, w in enumerate(level.weights):
        if w is not None:
            at = np.flatnonzero(w > 0)
            a, b, j = positions(level.row, at)
            ends.append(np.stack([at, places(level.row, a + (axis == 0), b + (axis == 1), j + (axis == 2))]))
            values.append(w[at])
    i, j = number[np.concatenate(ends, axis=1)]
    w = np.concatenate(values, dtype=float)
    edges = coo_array((-w, (i, j)), shape=(nodes.size,) * 2).tocsr()
    edges = edges + edges.T
    opened = level.opened[:, nodes].astype(float).sum(axis=0)
    return nodes, (edges + diags_array(opened - edges.sum(axis=1))).tocsr()
