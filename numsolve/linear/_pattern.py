"""Sparsity patterns in the order of their sweeps, remembered from one system to the next."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np

from ._system import unsigned

#: Patterns that are remembered.
REMEMBERED = 16
_patterns: OrderedDict[tuple[Any, ...], Pattern] = OrderedDict()
_lock = Lock()


@dataclass(frozen=True, eq=False)
class Pattern:
    """Where the entries of a matrix go in the order of its sweep; see `_cpu` for the notation."""

    indptr: Any
    indices: Any
    rows: Any
    starts: Any
    lp: Any
    lc: Any
    lf: Any
    up: Any
    uc: Any
    uf: Any
    df: Any

    @classmethod
    def make(cls, A: Any, ordering: str) -> Pattern:
        """Sort the rows of a canonical CSR matrix."""
        from . import _cpu as k

        n = A.shape[0]
        indptr, indices = unsigned(A.indptr), unsigned(A.indices)
        if ordering == "natural":
            key = np.arange(n, dtype=np.uint32)
        elif ordering == "level":
            key = k.levels(indptr, indices, n)
        else:
            key = _colours(A, n)
            if ordering == "redblack" and key.max(initial=0) > 1:
                raise ValueError(
                    f"A needs {key.max() + 1} colours or more, ordering 'redblack' has two; "
                    "'multicolor' takes as many as are needed"
                )
        rows, starts = k.sort_by(key)
        return cls(indptr.copy(), indices.copy(), rows, starts, *k.split(indptr, indices, rows))

    def matches(self, A: Any) -> bool:
        """Whether a canonical matrix has this pattern."""
        from . import _cpu as k

        return bool(k.same(self.indptr, unsigned(A.indptr)) and k.same(self.indices, unsigned(A.indices)))

    @cached_property
    def mirrored(self) -> Pattern:
        """The same matrix in the reverse order."""
        last = np.uint32(max(self.rows.size - 1, 0))
        return Pattern(
            self.indptr,
            self.indices,
            self.rows[::-1].copy(),
            (self.starts[-1] - self.starts)[::-1].copy(),
            (self.up[-1] - self.up)[::-1].copy(),
            (last - self.uc)[::-1].copy(),
            self.uf[::-1].copy(),
            (self.lp[-1] - self.lp)[::-1].copy(),
            (last - self.lc)[::-1].copy(),
            self.lf[::-1].copy(),
            self.df[::-1].copy(),
        )

    @cached_property
    def whole(self) -> tuple[Any, Any, Any]:
        """Pointers, the caller's columns, and sources of both halves as one matrix."""
        from . import _cpu as k

        joined = k.join(self.rows, self.lp, self.lc, self.lf, self.up, self.uc, self.uf)
        return joined[0], joined[1], joined[2]

    def check(self, data: Any, total: float, zero: int, *, finite: bool) -> None:
        """Refuse the values if a kernel met infinite ones, or a zero on the diagonal."""
        if finite and not np.isfinite(total) and not np.isfinite(data).all():
            k = int(np.argmin(np.isfinite(data)))
            row = int(np.searchsorted(self.indptr, k, side="right")) - 1
            raise ValueError(
                f"A must hold finite numbers, got {data[k]} in row {row}, column {self.indices[k]}"
            )
        if zero >= 0:
            stored = self.df < data.size
            bad = ~stored | (data[np.where(stored, self.df, 0)] == 0)
            raise ValueError(f"A has a zero on its diagonal, in row {int(self.rows[bad].min())}")


def pattern_of(A: Any, ordering: str) -> Pattern:
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


def _colours(A: Any, n: int) -> Any:
    """Colours of the symmetric closure of the pattern."""
    import scipy.sparse as sp

    from . import _cpu as k

    ones = sp.csr_array((np.ones(A.nnz, np.int8), A.indices, A.indptr), shape=A.shape)
    both = sp.csr_array(ones + ones.T + sp.eye_array(n, dtype=np.int8, format="csr"))
    return k.colours(unsigned(both.indptr), unsigned(both.indices), n)
