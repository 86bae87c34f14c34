# mypy: disable-error-code=no-any-return
# (array libraries, kernels and SciPy have no types: what they return is an Array by our word)
"""The plan between two clouds as an operator: its products and parts, made from the points when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from numsolve._core import arrays, checks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy.sparse import csr_array

    from numsolve._core.typing import Array, ArrayLike, Dtype, Namespace

    from ._pairs import Plan


class CloudPlan(LinearOperator):  # type: ignore[misc]
    """A transport plan of shape (n, m) that is never stored: ``P_ij = exp((f_i + g_j - c_ij) / reg)``.

    ``P @ v``, ``P.T @ u`` and the other products of a `scipy.sparse.linalg.LinearOperator` take vectors and
    matrices of the array library of the points. Each product computes the plan anew, in one pass over the
    pairs that matter.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
        That of the points; products are accumulated in float64 in NumPy.
    """

    shape: tuple[int, int]

    def __init__(
        self,
        plan: Plan,
        rows: Array,
        columns: Array,
        shape: tuple[int, int],
        mass: float,
        dtype: Dtype,
    ) -> None:
        # `rows` and `columns` say where the rows and columns of the inner plan lie in this one.
        super().__init__(dtype=None, shape=shape)
        self.dtype = dtype  # of any library
        self._plan, self._rows, self._columns, self._mass = plan, rows, columns, mass

    # -- products ----------------------------------------------------------------------------------

    def matvec(self, x: ArrayLike) -> Array:
        """P x, for x of shape (m,) or (m, 1)."""
        return self._product("x", x, (1, 2))

    def matmat(self, X: ArrayLike) -> Array:
        """P X, for X of shape (m, k)."""
        return self._product("X", X, (2,))

    def rmatvec(self, x: ArrayLike) -> Array:
        """P' x, for x of shape (n,) or (n, 1)."""
        return self._transpose().matvec(x)

    def rmatmat(self, X: ArrayLike) -> Array:
        """P' X, for X of shape (n, k)."""
        return self._transpose().matmat(X)

    def dot(self, x: Any) -> Any:
        """P x, for a vector, a matrix, an operator or a number."""
        if arrays.is_operator(x) or np.isscalar(x):
            return super().dot(x)
        return self._product("x", x, (1, 2))

    def __matmul__(self, x: ArrayLike) -> Array:
        if np.isscalar(x):
            raise ValueError("a plan is multiplied by a number with *, not with @")
        return self.dot(x)

    def _matmat(self, X: ArrayLike) -> Array:
        return self.matmat(X)

    def _transpose(self) -> CloudPlan:
        return CloudPlan(self._plan.T, self._columns, self._rows, self.shape[::-1], self._mass, self.dtype)

    _adjoint = _transpose

    def _product(self, name: str, value: ArrayLike, ndim: tuple[int, ...]) -> Array:
        xp = self._plan.pairs.xp
        x: Array = checks.array(name, value, xp=xp, ndim=ndim, check_finite=False)
        if x.shape[0] != self.shape[1]:
            raise ValueError(
                f"{name} must have {self.shape[1]} rows, one for each column of the plan, "
                f"got shape {tuple(x.shape)}"
            )
        V = xp.astype(x if x.ndim == 2 else x[:, None], self._plan.f.dtype)
        out: Array = self._plan.products(xp.take(V, self._columns, axis=0)) * self._mass
        out = xp.astype(scatter(xp, out, self._rows, self.shape[0], 0.0), self.dtype)
        return out if x.ndim == 2 else out[:, 0]

    # -- parts -------------------------------------------------------------------------------------

    def block(
        self,
        rows: slice | int | Sequence[int] | Array = slice(None),
        columns: slice | int | Sequence[int] | Array = slice(None),
    ) -> Array:
        """Some entries, as a dense array.

        Parameters
        ----------
        rows, columns : slice, int, or array of int
            Which ones; all by default, which stores the whole plan.

        Returns
        -------
        array of shape (number of rows, number of columns)
        """
        xp = self._plan.pairs.xp
        i, known_i = self._positions("rows", rows, self._rows, self.shape[0])
        j, known_j = self._positions("columns", columns, self._columns, self.shape[1])
        block = self._plan.block(xp.asarray(i), xp.asarray(j)) * self._mass
        known = xp.asarray(known_i)[:, None] & xp.asarray(known_j)[None, :]
        return xp.astype(xp.where(known, block, xp.zeros_like(block)), self.dtype)

    def _positions(
        self, name: str, which: slice | int | Sequence[int] | Array, index: Array, length: int
    ) -> tuple[Array, Array]:
        """Where some rows lie in the inner plan, and which of them lie there at all."""
        try:
            wanted = np.atleast_1d(
                np.arange(length)[which if isinstance(which, slice) else np.asarray(which)]
            )
        except IndexError as error:
            raise IndexError(f"{name} must lie within 0 ... {length - 1}: {error}") from error
        position = np.full(length, -1)
        position[arrays.to_host(index)] = np.arange(index.shape[0])
        found = position[wanted]
        return np.maximum(found, 0), found >= 0

    def tosparse(self, drop: float = 1e-3) -> csr_array:
        """The entries that matter, as a `scipy.sparse.csr_array`.

        The entries are counted before memory is asked for, 12 bytes for each. A plan at a large
        regularisation has no small entries to drop: this is then the whole of it.

        Parameters
        ----------
        drop : float
            The largest share of the weight of a row or a column that may be lost, in (0, 1).

        Returns
        -------
        scipy.sparse.csr_array of shape (n, m)

        Raises
        ------
        TypeError
            For arrays of another library than NumPy.
        """
        import scipy.sparse as sp

        drop = checks.real("drop", drop, low=0.0, high=1.0, open_low=True)
        if not arrays.is_numpy(self._plan.pairs.xp):
            raise TypeError("tosparse gives a SciPy matrix, which needs points in NumPy arrays")
        entries = self._plan.entries(drop / max(self._plan.pairs.shape))
        assert entries is not None
        indptr, indices, values = entries
        row = np.repeat(self._rows, np.diff(indptr))
        values = (values * self._mass).astype(self.dtype, copy=False)
        return sp.coo_array((values, (row, self._columns[indices])), shape=self.shape).tocsr()

    def toarray(self) -> Array:
        """Store the whole plan.

        Returns
        -------
        array of shape (n, m)
        """
        return self.block()


def scatter(xp: Namespace, x: Array, index: Array, length: int, fill: float) -> Array:
    """Spread the rows of x over `length` rows, at the places in `index`; the others are filled."""
    if arrays.is_numpy(xp):
        out = np.full((length, *x.shape[1:]), fill, dtype=x.dtype)
        out[index] = x
        return out
    order = xp.argsort(index)  # without assignment: a search for each place
    index, x = xp.take(index, order), xp.take(x, order, axis=0)
    places = xp.arange(length, dtype=index.dtype)
    position = xp.searchsorted(index, places)
    position = xp.where(position < index.shape[0], position, xp.zeros_like(position))
    found = xp.reshape(xp.take(index, position) == places, (length,) + (1,) * (x.ndim - 1))
    return xp.where(found, xp.take(x, position, axis=0), xp.asarray(fill, dtype=x.dtype))
