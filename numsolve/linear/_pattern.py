"""Sparsity patterns in the order of their sweeps, remembered from one system to the next."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from ._system import unsigned

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Matrix

#: Patterns that are remembered.
REMEMBERED = 16
_patterns: OrderedDict[tuple[Any, ...], Pattern] = OrderedDict()
_lock = Lock()


@dataclass(frozen=True, eq=False)
class Pattern:
    """Where the entries of a matrix go in the order of its sweep; see `_cpu` for the notation."""

    indptr: Array
    indices: Array
    #: the caller's rows in the order of the sweep
    rows: Array
    #: where each level begins in it
    starts: Array
    #: pointers to the lower and to the upper half
    lp: Array
    up: Array
    #: of all entries: the lower half, the diagonal, the upper half
    columns: Array
    #: where they are in the caller's data
    source: Array

    @classmethod
    def make(cls, A: Matrix, ordering: str) -> Pattern:
        """Sort the rows of a canonical CSR matrix."""
        from . import _cpu as k

        n, nnz = A.shape[0], A.nnz
        indptr, indices = unsigned(A.indptr), unsigned(A.indices)
        if ordering == "natural":
            key = _counting(n)
        elif ordering == "level":
            key = np.zeros(n, np.uint32)
            k.levels(indptr, indices, key)
        else:
            key = _colours(A, n)
            if ordering == "redblack" and key.max(initial=0) > 1:
                raise ValueError(
                    f"A needs {key.max() + 1} colours or more, ordering 'redblack' has two; "
                    "'multicolor' takes as many as are needed"
                )
        starts = np.zeros(int(key.max(initial=0)) + 2 if n else 1, np.uint32)
        np.cumsum(np.bincount(key), out=starts[1:])
        rows, position, lp, up, columns, source, diagonal = (
            np.empty(size, np.uint32) for size in (n, n, n + 1, n + 1, nnz, nnz, n)
        )
        diagonal.fill(nnz)
        k.place(key, starts[:-1].copy(), rows, position)
        k.split(indptr, indices, rows, position, lp, up, columns, source, diagonal)
        if up[0] - lp[-1] < n:
            raise ValueError(f"A has a zero on its diagonal, in row {rows[diagonal == nnz].min()}")
        columns[lp[-1] : up[0]], source[lp[-1] : up[0]] = _counting(n), diagonal
        return cls(indptr.copy(), indices.copy(), rows, starts, lp, up, columns, source)

    def matches(self, A: Matrix) -> bool:
        """Whether a canonical matrix has this pattern."""
        from . import _cpu as k

        return bool(k.same(self.indptr, unsigned(A.indptr)) and k.same(self.indices, unsigned(A.indices)))

    @cached_property
    def middle(self) -> slice:
        """Where the diagonal is among the entries."""
        return slice(int(self.lp[-1]), int(self.up[0]))

    @cached_property
    def mirrored(self) -> Pattern:
        """The same matrix in the reverse order."""
        entries, last = np.uint32(self.columns.size), np.uint32(max(self.rows.size - 1, 0))
        return Pattern(
            self.indptr,
            self.indices,
            self.rows[::-1].copy(),
            (self.starts[-1] - self.starts)[::-1].copy(),
            (entries - self.up)[::-1].copy(),
            (entries - self.lp)[::-1].copy(),
            (last - self.columns)[::-1].copy(),
            self.source[::-1].copy(),
        )

    @cached_property
    def whole(self) -> tuple[Array, Array, Array]:
        """Pointers, the caller's columns, and sources of both halves as one matrix."""
        return self.joined(self.rows, self.source)

    def joined(self, rows: Array, values: Array) -> tuple[Array, Array, Array]:
        """Both halves as one matrix, its columns named by `rows`: pointers, columns and values."""
        from . import _cpu as k

        n, entries = self.rows.size, self.columns.size - self.rows.size
        out = np.empty(n + 1, np.uint32), np.empty(entries, np.uint32), np.empty(entries, values.dtype)
        k.join(rows, self.lp, self.up, self.columns, values, *out)
        return out

    def check(self, data: Array, total: float, *, zero: bool, finite: bool) -> None:
        """Refuse the values if a kernel met infinite ones, or a zero on the diagonal."""
        if finite and not np.isfinite(total) and not np.isfinite(data).all():
            k = int(np.argmin(np.isfinite(data)))
            row = int(np.searchsorted(self.indptr, k, side="right")) - 1
            raise ValueError(
                f"A must hold finite numbers, got {data[k]} in row {row}, column {self.indices[k]}"
            )
        if zero:
            bad = data[self.source[self.middle]] == 0
            raise ValueError(f"A has a zero on its diagonal, in row {int(self.rows[bad].min())}")


def pattern_of(A: Matrix, ordering: str) -> Pattern:
    """The pattern of a canonical matrix, made or remembered."""
    key = (A.shape[0], A.nnz, A.indices.dtype, ordering)
    with _lock:
        known = _patterns.get(key)
    if known is None or not known.matches(A):
        known = Pattern.make(A, ordering)
        with _lock:
            _patterns[key] = known
            while len(_patterns) > REMEMBERED:
                _patterns.popitem(last=False)
    return known


def _counting(n: int) -> Array:
    return np.arange(n, dtype=np.uint32)


def _colours(A: Matrix, n: int) -> Array:
    """Colours of the symmetric closure of the pattern."""
    import scipy.sparse as sp

    from . import _cpu as k

    ones = sp.csr_array((np.ones(A.nnz, np.int8), A.indices, A.indptr), shape=A.shape)
    both = sp.csr_array(ones + ones.T + sp.eye_array(n, dtype=np.int8, format="csr"))
    colour, queue, taken = np.full(n, n, np.uint32), np.empty(n, np.uint32), np.full(n + 2, -1)
    k.colours(unsigned(both.indptr), unsigned(both.indices), colour, queue, taken)
    return colour
