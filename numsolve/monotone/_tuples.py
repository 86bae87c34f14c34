"""What the compiled kernels of this column work on: tuples and records that Numba knows by their fields.

Arrays that travel together are named tuples. The numbers of a run, which change, are a record: one element of
a structured array, made by `record`, which Python and the kernels read and write by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numsolve._core.typing import Array

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


class Affine(NamedTuple):
    """The components z_i (z_i'u - b_i), with the rows z_i in C order or compressed."""

    Z: Array | ShortRows | LongRows
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
