"""What one look at a matrix tells of how it is to be solved."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numsolve._core import checks
from numsolve.linear._system import unsigned

from .context import context_of

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Matrix

#: A and its transpose make the same of a vector, up to so many times the largest row.
SYMMETRIC = 1e-12
#: What a new look weighs beside the old ones, in the share of systems that bring a new matrix.
NEWS = 0.3
#: So many entries are compared before all.
FEW = 64


class Look(NamedTuple):
    """A canonical matrix, and what was seen."""

    A: Matrix
    #: as the kernels take it
    matrix: tuple[Array, Array, Array]
    #: symmetric with a positive diagonal
    positive: bool
    symmetric: bool
    below: int
    above: int
    #: what of the diagonal is left beside the other entries, as in `automatic_context`
    dominance: float
    #: of the weakest row
    weakest: float
    #: vertices in the widest level of the graph
    width: int
    #: of the matrices seen so far; the same again has the same number
    number: int
    #: systems to solve that one matrix has, as far as one knows
    systems: float

    @property
    def context(self) -> float:
        """The number of `automatic_context`."""
        return context_of(self.dominance)


class Looker:
    """Looks at one matrix after the other, and knows the last one."""

    def __init__(self) -> None:
        self._indptr = self._indices = np.empty(0, np.int32)
        self._data, self._v = np.empty(0), np.empty(0)
        self._both, self._out = np.empty((2, 0)), np.empty(8)
        self._width, self._number, self._news = 0, 0, 1.0
        self._last: Look | None = None
        self._kernels: Any = None
        #: whether it matters that a matrix is the last one again
        self.compares = True

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_kernels": None}

    def at(self, A: Matrix, *, check_finite: bool) -> Look:
        """Look at a canonical matrix."""
        if self._kernels is None:
            from . import _cpu_look

            self._kernels = _cpu_look
        k, old = self._kernels, self._last
        if not self.compares:
            pattern = old is not None and A.nnz == old.A.nnz and A.shape == old.A.shape
        else:
            pattern = old is not None and self._same_pattern(A)
            if old is not None and pattern and _same_data(A.data, self._data):
                self._news *= 1 - NEWS
                systems = 1 / max(self._news, 0.01)
                self._last = old._replace(A=A, matrix=(*old.matrix[:2], A.data), systems=systems)
                return self._last
        n, matrix = A.shape[0], (unsigned(A.indptr), unsigned(A.indices), A.data)
        if self._v.size != n:
            self._v = 0.5 + np.modf(np.arange(n) * 0.6180339887)[0]
            self._both, self._out = np.empty((2, n)), np.empty(8)
        if not pattern:
            self._width = k.width(*matrix[:2], np.empty(n, np.int8), np.empty(n, np.int64))
        out = self._out
        k.glance(*matrix, self._v, self._both, out)
        total, diagonal, below, above, positive, most, gap, weakest = out.tolist()
        if not math.isfinite(total) and check_finite:
            checks.csr("A", A)
        if old is not None:
            self._news += NEWS * (1 - self._news)
        symmetric = gap <= SYMMETRIC * most
        self._number += 1
        self._indptr, self._indices = A.indptr, A.indices
        if not self.compares:
            self._data = A.data[:0].copy()
        elif self._data.size == A.data.size and self._data.dtype == A.data.dtype:
            self._data[:] = A.data
        else:
            self._data = A.data.copy()
        self._last = Look(
            A=A,
            matrix=matrix,
            positive=symmetric and positive == n,
            symmetric=symmetric,
            below=int(below),
            above=int(above),
            dominance=2 - total / diagonal if diagonal else 0.0,
            weakest=weakest,
            width=self._width,
            number=self._number,
            systems=1 / max(self._news, 0.01),
        )
        return self._last

    def uncount(self) -> None:
        """Take back that the last matrix came again: its system was the last one, and cost nothing."""
        self._news /= 1 - NEWS

    def _same_pattern(self, A: Matrix) -> bool:
        same = A.indices is self._indices and A.indptr is self._indptr
        return same or (_equal(A.indptr, self._indptr) and _equal(A.indices, self._indices))


def _equal(one: Array, two: Array) -> bool:
    return one.size == two.size and one.dtype == two.dtype and bool((one == two).all())


def _same_data(one: Array, two: Array) -> bool:
    """The same; those that differ mostly do so early."""
    return _equal(one[:FEW], two[:FEW]) and _equal(one, two)
