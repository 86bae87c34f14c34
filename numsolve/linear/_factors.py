"""Incomplete factors as operators: the preconditioners that the compiled Krylov methods know.

The rows of both triangles are sorted by level, as those of a sweep are (see `sweeps`): a row waits only for
rows of other levels, so that a processor works on several at a time. The entries are the same.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse.linalg import LinearOperator

from numsolve._core import arrays, checks

from ._system import canonical, unsigned

if TYPE_CHECKING:
    from typing import Self

    from numsolve._core.typing import Array, Matrix


class Factors(NamedTuple):
    """L D U with unit triangles, in the order of `rows`; see `_cpu_krylov`."""

    rows: Array
    lp: Array
    up: Array
    columns: Array
    values: Array
    #: of D
    inverse: Array

    @classmethod
    def nothing(cls, dtype: Any) -> Factors:
        """No preconditioner."""
        i, v = np.empty(0, np.uint32), np.empty(0, dtype)
        return cls(i, i, i, i, v, v)

    def of(self, dtype: Any) -> Factors:
        """The same with numbers of another type."""
        if self.values.dtype == dtype:
            return self
        return self._replace(values=self.values.astype(dtype), inverse=self.inverse.astype(dtype))

    @classmethod
    def arranged(
        cls, lower: tuple[Array, ...], upper: tuple[Array, ...], root: Array, inverse: Array
    ) -> Factors:
        """Sort both triangles, given as pointers, columns and values, of S^-1 A S^-1 with the diagonal S."""
        from . import _cpu
        from . import _cpu_factor as k

        n, dtype = inverse.size, inverse.dtype
        level = np.zeros(n, np.uint32)
        k.factor_levels(*lower[:2], *upper[:2], level)
        starts = np.zeros(int(level.max(initial=0)) + 2, np.uint32)
        np.cumsum(np.bincount(level), out=starts[1:]) if n else None
        rows, position = np.empty(n, np.uint32), np.empty(n, np.uint32)
        _cpu.place(level, starts[:-1].copy(), rows, position)
        left, right = int(lower[0][-1]), int(upper[0][-1])
        lp, up = np.empty(n + 1, np.uint32), np.empty(n + 1, np.uint32)
        columns, values = np.empty(left + right, np.uint32), np.empty(left + right, dtype)
        k.arranged(*lower, rows, position, root, 1.0 / root, lp, 0, columns, values)
        k.arranged(*upper, rows, position, 1.0 / root, root, up, left, columns, values)
        return cls(rows, lp, up, columns, values, inverse[rows])


class Factored(LinearOperator):  # type: ignore[misc]  # SciPy has no types
    """An incomplete factorisation of a matrix, as the operator that solves with it."""

    #: Both triangles and the diagonal.
    factors: Factors

    def __init__(self, A: Matrix, *, check_finite: bool = True) -> None:
        self._check_finite = checks.flag("check_finite", check_finite)
        self._indptr = self._indices = np.empty(0, np.int32)
        self._take(_own(A))

    def _take(self, A: Matrix) -> None:
        """Factorise a canonical matrix."""
        if self._check_finite:
            checks.csr("A", A)
        self._factorise(A)
        self._indptr, self._indices = A.indptr, A.indices
        super().__init__(A.dtype, A.shape)

    def _factorise(self, A: Matrix) -> None:
        raise NotImplementedError

    @property
    def nnz(self) -> int:
        """Entries of both triangles and of the diagonal."""
        return int(self.factors.values.size + self.factors.rows.size)

    def update(self, data: Array | Matrix) -> Self:
        """Factorise new values.

        Parameters
        ----------
        data : array of shape (nnz,), or matrix
            The entries in the order of the canonical CSR form of A, or a matrix with the pattern of A.

        Returns
        -------
        ICT or ILU
            Itself. Results of solvers that it has served are not changed.
        """
        import scipy.sparse as sp

        size = self._indices.size
        if isinstance(data, np.ndarray) and data.ndim == 1:
            values = checks.array("data", data, shape=(size,), check_finite=False)
            self._take(sp.csr_array((values, self._indices, self._indptr), shape=self.shape))
            return self
        A = _own(data)
        same = A.shape == self.shape and np.array_equal(A.indptr, self._indptr)
        if not (same and np.array_equal(A.indices, self._indices)):
            raise ValueError(
                f"the factors are for another sparsity pattern: of shape {self.shape} with {size} entries, "
                f"the matrix has {A.shape} and {A.nnz}"
            )
        self._take(A)
        return self

    def _matvec(self, r: Array) -> Array:
        return self._apply(r, "apply")

    def _rmatvec(self, r: Array) -> Array:
        return self._apply(r, "apply_transposed")

    def _apply(self, r: Array, name: str) -> Array:
        from . import _cpu_krylov as k

        shape, factors = r.shape, self.factors
        if np.iscomplexobj(r):
            raise TypeError("the vector is complex; the factors are real and take real vectors")
        r = np.ascontiguousarray(r, dtype=self.dtype).reshape(-1)
        work, z = np.empty_like(r), np.empty_like(r)
        getattr(k, name)(*factors, self.dtype.type(1), r, work, z)
        return z.reshape(shape)

    def __reduce__(self) -> tuple[Any, ...]:
        # SciPy's newer operators hold a module, which cannot be pickled.
        state = {name: value for name, value in vars(self).items() if not isinstance(value, ModuleType)}
        return _restored, (type(self), state)


def _restored(kind: type[Factored], state: dict[str, Any]) -> Factored:
    out = object.__new__(kind)
    LinearOperator.__init__(out, state["dtype"], state["shape"])
    out.__dict__.update(state)
    return out


def _own(A: Matrix) -> Matrix:
    """A canonical matrix; what the caller writes into the given one does not reach its pattern."""
    xp = arrays.array_namespace(A=A)
    if not arrays.is_numpy(xp):
        raise TypeError(f"A is of {arrays.namespace_name(xp)}; a NumPy or SciPy matrix is wanted")
    given, A = A, canonical(A)
    return A.copy() if A is given else A


def pointers(A: Matrix) -> tuple[Array, Array, Array]:
    """What the kernels take of a canonical matrix."""
    return unsigned(A.indptr), unsigned(A.indices), A.data


def places(limits: Array) -> tuple[Array, Array]:
    """Places for the columns and values of a triangle with at most so many entries a row."""
    size = int(limits.sum())
    return np.empty(size, np.uint32), np.empty(size)
