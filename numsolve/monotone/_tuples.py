"""What the compiled kernels of this column work on, as tuples that Numba knows by their fields."""

from __future__ import annotations

from typing import Any, NamedTuple


class Columns(NamedTuple):
    """What has length n: cost, bounds, scale, and the iterates.

    x is the Halpern iterate, x0 its anchor, xh = T(x) the PDHG point, xb its reflection; ``aty0`` is A'y at
    the anchor; ``slack`` is c - A'y at the PDHG point, as of the last look.
    """

    c: Any
    low: Any
    high: Any
    scale: Any
    x: Any
    x0: Any
    xh: Any
    xb: Any
    aty0: Any
    slack: Any


class Rows(NamedTuple):
    """What has length m: the same for y, and A x at the iterate, the anchor and the PDHG point."""

    low: Any
    high: Any
    scale: Any
    y: Any
    y0: Any
    yh: Any
    ax: Any
    ax0: Any
    axh: Any


class Player(NamedTuple):
    """One player: iterate z, anchor z0, PDHG point zh and its reflection; payoffs at the first three.

    The payoffs of x are A'y and those of y are A x. ``fresh`` has those at the other's reflection.
    """

    z: Any
    z0: Any
    zh: Any
    reflected: Any
    pay: Any
    pay0: Any
    payh: Any
    fresh: Any


class Affine(NamedTuple):
    """The components z_i (z_i'u - b_i), with the rows z_i in C order."""

    Z: Any
    odds: Any
    weights: Any
    marks: Any


class Game(NamedTuple):
    """The components (m A_i' y_i, -n A_j x_j), with A and its transpose in C order."""

    A: Any
    At: Any
    row_odds: Any
    row_weights: Any
    column_odds: Any
    column_weights: Any
    row_marks: Any
    column_marks: Any


class Resolvent(NamedTuple):
    """A map of the catalogue: 0 nothing, 1 box, 2 l1, 3 l2 ball, 4 simplex, 5 two simplices."""

    kind: int
    number: float
    low: Any
    high: Any
