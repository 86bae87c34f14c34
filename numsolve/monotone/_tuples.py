"""What the compiled kernels of this column work on: tuples and records that Numba knows by their fields.

Arrays that travel together are named tuples. The numbers of a run, which change, are a record: one element of
a structured array, made by `record`, which Python and the kernels read and write by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numsolve._core.typing import Array

#: Where the restart rule is: the step and its weight, the fixed-point residual after the last restart and at
#: the last iteration; iterations since the last restart and in all, and the restarts.
_RULE = [
    ("step", "f8"),
    ("weight", "f8"),
    ("first", "f8"),
    ("last", "f8"),
    ("age", "i8"),
    ("total", "i8"),
    ("restarts", "i8"),
]

#: A run on a linear program: also the proven step, the cap on longer ones, the steepness met since the last
#: restart, how many steps were too long, whether the weight was balanced yet; what is small among the
#: caller's bounds and costs; the norm of the costs in the units of the iteration; and which residuals count:
#: primal, dual, gap.
LP_RUN = np.dtype(
    [
        *_RULE,
        ("base", "f8"),
        ("cap", "f8"),
        ("steep", "f8"),
        ("rejected", "i8"),
        ("balanced", "i8"),
        ("unit_b", "f8"),
        ("unit_c", "f8"),
        ("size_c", "f8"),
        ("primal", "f8"),
        ("dual", "f8"),
        ("gap", "f8"),
    ],
    align=True,
)

#: A run on a game: also the constant that is taken off all payoffs.
GAME_RUN = np.dtype([*_RULE, ("shift", "f8")], align=True)

#: What variance reduction counts: iterations since the anchor was set, calls of components, and the stamp of
#: the last batch.
COUNTS = np.dtype([("age", "i8"), ("cost", "i8"), ("stamp", "i8")], align=True)


def record(kind: np.dtype[Any], **values: float) -> Any:
    """A record of zeros but for some fields."""
    array = np.zeros(1, dtype=kind).view(np.recarray)
    for name, value in values.items():
        array[name] = value
    return array[0]


class ShortRows(NamedTuple):
    """A sparse matrix by its rows, which are short: their products are summed plainly."""

    indptr: Array
    indices: Array
    data: Array


class LongRows(NamedTuple):
    """The same of long rows, whose products are summed in four parts."""

    indptr: Array
    indices: Array
    data: Array


class Columns(NamedTuple):
    """What has length n: cost, bounds, scale, and the iterates.

    x is the Halpern iterate, x0 its anchor, xh = T(x) the PDHG point, xb its reflection; ``aty0`` is A'y at
    the anchor; ``slack`` is c - A'y at the PDHG point, as of the last look.
    """

    c: Array
    low: Array
    high: Array
    scale: Array
    x: Array
    x0: Array
    xh: Array
    xb: Array
    aty0: Array
    slack: Array


class Rows(NamedTuple):
    """What has length m: the same for y; A x at the iterate, the anchor and the PDHG point; work space."""

    low: Array
    high: Array
    scale: Array
    y: Array
    y0: Array
    yh: Array
    ax: Array
    ax0: Array
    axh: Array
    ray: Array


class Player(NamedTuple):
    """One player: iterate z, anchor z0, PDHG point zh and its reflection; payoffs at the first three.

    The payoffs of x are A'y and those of y are A x. ``fresh`` has those at the other's reflection, and
    ``work`` is work space.
    """

    z: Array
    z0: Array
    zh: Array
    reflected: Array
    pay: Array
    pay0: Array
    payh: Array
    fresh: Array
    work: Array


class Affine(NamedTuple):
    """The components z_i (z_i'u - b_i), with the rows z_i in C order."""

    Z: Array
    odds: Array
    weights: Array
    marks: Array


class Game(NamedTuple):
    """The components (m A_i' y_i, -n A_j x_j), with A and its transpose in C order."""

    A: Array
    At: Array
    row_odds: Array
    row_weights: Array
    column_odds: Array
    column_weights: Array
    row_marks: Array
    column_marks: Array


class Resolvent(NamedTuple):
    """A map of the catalogue: one of the kinds below, its parameter, and the bounds of a box."""

    kind: int
    number: float
    low: Array
    high: Array

    @classmethod
    def of(cls, kind: int, number: float = 0.0) -> Resolvent:
        """A map without bounds."""
        return cls(kind, number, np.empty(0), np.empty(0))

    @classmethod
    def two_simplices(cls, split: int) -> Resolvent:
        """The projection of the first `split` entries and of the others, each on its simplex."""
        return cls.of(TWO_SIMPLICES, float(split))


#: The kinds of `Resolvent`.
NOTHING, BOX, L1, L2_BALL, SIMPLEX, TWO_SIMPLICES = range(6)


class Estimator(NamedTuple):
    """The numbers of Algorithm 1: step, batch, and the odds share / (share + min(k, flat)) of a refresh.

    A negative flat stands for the constant odds p_k = share.
    """

    step: float
    batch: int
    share: float
    flat: float


class Splitting(NamedTuple):
    """The numbers of an inner loop of Algorithm 2: the steps eta and gamma, and the odds of a refresh."""

    eta: float
    gamma: float
    odds: float
