"""What the compiled kernels of this room work on: tuples and records that Numba knows by their fields.

Arrays that travel together are named tuples; the numbers of a run are a record, as in the column's `_tuples`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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
#: restart, how many steps were too long, whether the weight was balanced yet, for how
#: many steps x alone has moved (y alone if negative); what is small among the
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
        ("alone", "i8"),
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
