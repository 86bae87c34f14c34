"""The records that the set-up and the kernels share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from numsolve._core.typing import Array

#: Columns of `Hierarchy.levels`. Where the nodes of a level start, and their face weights; places of one
#: colour, places of one row; the grid; rows in a plane; the first row.
OFF, WOFF, SIZE, ROW, N0, N1, N2, STRIDE, FIRST = 0, 1, 2, 3, 4, 5, 6, 7, 8
#: Nodes beyond the first in a cell: red, all. Their edges: start, end of those of red targets, end.
RED_EXTRAS, EXTRAS, EDGES, RED_END, BLACK_END = 9, 10, 11, 12, 13
#: Red nodes whose parent is not the first node of its cell; parents of red extra nodes.
MOVED, MOVED_END, PARENTS = 14, 15, 16
#: Whether the weights are one number for each axis; sweeps on the level, times those of the finest.
CONSTANT, SWEEPS_OF = 17, 18
COLUMNS = 19


class Hierarchy(NamedTuple):
    """All levels, one after the other in each array; the layout is told in `_cpu`."""

    levels: Array  #: integers, a row for each level, in the columns above
    ratio: Array  #: weights of the axes on a level of constant weights
    d: Array  #: inverse diagonal, 0 where there is no unknown
    w0: Array | None  #: weights of the faces along each axis; the first only in three dimensions
    w1: Array
    w2: Array
    edges: Array  #: targets and sources of the edges of extra nodes
    values: Array  #: and their weights
    moved: Array  #: node, the first node of its parent's cell, its parent
    parents: Array  #: of red extra nodes; -1 for none
    nodes: Array  #: places of the unknowns of the coarsest level
    inverse: Array  #: of its matrix, in double precision; of no size where that is factorised
    order: Array  #: of elimination: rows of `nodes`
    columns: Array  #: starts of the columns of the factor L, and rows of their entries
    factor: Array  #: the entries, and the pivots, in double precision
    u: Array  #: places to work in: solution,
    f: Array  #: right-hand side,
    r: Array  #: residual of the red nodes,
    line: Array  #: and one row
