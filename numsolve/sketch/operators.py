"""Sketches: random maps S from n rows to s that keep the geometry of a subspace, as linear operators.

All are scaled so that the mean of S'S is the identity::

    Gaussian       S_ij = N(0, 1) / sqrt(s)                                                             (1)
    sparse sign    k nonzeros +-1 / sqrt(k) a column, one in each of k bands of rows                    (2)
    count sketch   (2) with k = 1
    SRHT           S = R H D / sqrt(s): signs D, Walsh-Hadamard transform H of the padded rows,         (3)
                   and s rows R of it, drawn without replacement
    rows           sqrt(n / s) times s rows of the identity, drawn without replacement                  (4)

N. Halko, P.-G. Martinsson, J. Tropp, "Finding structure with randomness", SIAM Review 53, 2011, for (1), (3);
M. B. Cohen, "Nearly tight oblivious subspace embeddings by trace inequalities", SODA 2016, for (2);
K. Clarkson, D. Woodruff, "Low-rank approximation and regression in input sparsity time", STOC 2013.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.sparse.linalg import LinearOperator

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers

from . import _generic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numsolve._core.typing import Array, Matrix, Namespace, RandomState

Kind = Literal["sparse-sign", "gaussian", "countsketch", "srht", "rows"]

#: Columns of a Gaussian sketch, or of a sparse matrix, that are in memory together.
BLOCK = 4096
#: A Gaussian sketch with at most so many entries is kept; a larger one is drawn anew for each product.
KEPT = 2**23


@answers()
def make_sketch(kind: Kind, s: int, n: int, *, nnz: int | None = None, rng: RandomState = None) -> Sketch:
    """Draw a sketch: a linear operator of shape (s, n) that maps n rows to s.

    Parameters
    ----------
    kind : {"sparse-sign", "gaussian", "countsketch", "srht", "rows"}
        ``"sparse-sign"`` is the fastest that is safe for any matrix. A count sketch needs about the square
        of the dimension as rows; sampled rows are safe only where no row matters more than the others.
    s, n : int
        Rows and columns, s at most n (for ``"srht"``, n rounded up to a power of two).
    nnz : int, optional
        Nonzeros in each column of a sparse sign sketch, at most s; 8 by default, or s if that is less.
    rng : None, int or Generator
        A seed, or where the random numbers come from.

    Returns
    -------
    LinearOperator
        ``S @ A`` takes dense arrays of NumPy, CuPy or any array library, and sparse matrices of SciPy, and is
        dense; ``S.T @ u`` and SciPy's other operations work as well.

    Raises
    ------
    ValueError
        If the kind is unknown or a size is out of range.

    References
    ----------
    N. Halko, P.-G. Martinsson, J. Tropp, "Finding structure with randomness", SIAM Review 53, 2011.
    M. B. Cohen, "Nearly tight oblivious subspace embeddings by trace inequalities", SODA 2016.
    K. Clarkson, D. Woodruff, "Low-rank approximation and regression in input sparsity time", STOC 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import sketch
    >>> A = np.random.default_rng(0).normal(size=(10_000, 20))
    >>> S = sketch.make_sketch("sparse-sign", 400, 10_000, rng=0)
    >>> print((S @ A).shape)
    (400, 20)
    >>> print(f"{np.linalg.norm(S @ A) / np.linalg.norm(A):.1f}")
    1.0
    """
    checks.choice("kind", kind, tuple(KINDS))
    n = checks.integer("n", n, low=1)
    most = 1 << (n - 1).bit_length() if kind == "srht" else n if kind == "rows" else None
    s = checks.integer("s", s, low=1, high=most)
    nnz = min(8, s) if nnz is None else checks.integer("nnz", nnz, low=1)
    if kind == "sparse-sign" and nnz > s:
        raise ValueError(f"nnz must be at most s = {s}, got {nnz}")
    made: Sketch = KINDS[kind](s, n, checks.generator(rng), 1 if kind == "countsketch" else nnz)
    return made


class Sketch(LinearOperator):  # type: ignore[misc]  # SciPy has no types
    """A sketch; `make_sketch` draws one."""

    def __init__(self, s: int, n: int) -> None:
        super().__init__(np.dtype(float), (s, n))

    def dot(self, x: Any) -> Any:
        """Apply the sketch to a vector, a matrix, or another operator, which gives an operator."""
        xp = foreign(x)
        if xp is None and not arrays.is_sparse(x):
            return super().dot(x)
        if x.shape[0] != self.shape[1]:
            raise ValueError(f"x must have {self.shape[1]} rows, got shape {tuple(x.shape)}")
        if xp is None:  # SciPy takes a sparse matrix of one column for a vector
            return self._matmat(x)
        X = x if x.ndim == 2 else xp.reshape(x, (-1, 1))
        out = self._apply_generic(xp, X)
        return out if x.ndim == 2 else xp.reshape(out, (-1,))

    def _matvec(self, x: Array) -> Array:
        return self._matmat(np.reshape(x, (-1, 1))).reshape(-1)

    def _rmatvec(self, u: Array) -> Array:
        return self._rmatmat(np.reshape(u, (-1, 1))).reshape(-1)

    def _matmat(self, X: Matrix) -> Array:
        raise NotImplementedError

    def _rmatmat(self, X: Array) -> Array:
        raise NotImplementedError

    def _apply_generic(self, xp: Namespace, A: Array) -> Array:
        raise NotImplementedError


class Gaussian(Sketch):
    """(1), drawn block by block, so that a large one needs no memory."""

    def __init__(self, s: int, n: int, rng: np.random.Generator, nnz: int) -> None:  # noqa: ARG002
        super().__init__(s, n)
        self.seed = int(rng.integers(2**63))
        self.kept: list[Array] = []

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """The columns that a block has, and the block."""
        s, n = self.shape
        for index, first in enumerate(range(0, n, BLOCK)):
            columns = slice(first, min(first + BLOCK, n))
            if index < len(self.kept):
                yield columns, self.kept[index]
                continue
            child = np.random.default_rng([self.seed, index])
            block = child.normal(size=(s, columns.stop - first)) / math.sqrt(s)  # (1)
            if s * n <= KEPT:
                self.kept.append(block)
            yield columns, block

    def _matmat(self, X: Matrix) -> Array:
        X = _numbers(X)
        out = np.zeros((self.shape[0], X.shape[1]), X.dtype)
        for columns, block in self.blocks():
            part = block.astype(X.dtype, copy=False)
            out += (X[columns].T @ part.T).T if arrays.is_sparse(X) else part @ X[columns]
        return out

    def _rmatmat(self, X: Array) -> Array:
        X = _numbers(X)
        return np.concatenate([block.astype(X.dtype, copy=False).T @ X for _, block in self.blocks()])

    def _apply_generic(self, xp: Namespace, A: Array) -> Array:
        out: Array = xp.zeros((self.shape[0], A.shape[1]), dtype=A.dtype)
        for columns, block in self.blocks():
            out = out + _moved(xp, block, A) @ A[columns, :]
        return out


class SparseSign(Sketch):
    """(2): each row of a matrix is added, with a sign, to one row in each of k bands."""

    def __init__(self, s: int, n: int, rng: np.random.Generator, nnz: int) -> None:
        super().__init__(s, n)
        bands = np.arange(nnz + 1) * s // nnz
        self.target = rng.integers(bands[:-1], bands[1:], size=(n, nnz))
        self.sign = rng.choice(np.array([-1.0, 1.0]), size=(n, nnz)) / math.sqrt(nnz)

    def _matmat(self, X: Matrix) -> Array:
        from . import _cpu

        X = _numbers(X)
        shape, sign = (self.shape[0], X.shape[1]), self.sign.astype(X.dtype, copy=False)
        if arrays.is_sparse(X):
            A = X.tocsr()
            out = np.zeros(shape, X.dtype)
            _cpu.scatter_csr(A.data, A.indices, A.indptr, self.target, sign, out)
        elif X.flags.f_contiguous and not X.flags.c_contiguous:
            out = np.zeros(shape, X.dtype, order="F")
            _cpu.scatter_columns(X, self.target, sign, out)
        else:
            out = np.zeros(shape, X.dtype)
            _cpu.scatter_rows(np.ascontiguousarray(X), self.target, sign, out)
        return out

    def _rmatmat(self, X: Array) -> Array:
        from . import _cpu

        X = np.ascontiguousarray(_numbers(X))
        out = np.zeros((self.shape[1], X.shape[1]), X.dtype)
        _cpu.gather(X, self.target, self.sign.astype(X.dtype, copy=False), out)
        return out

    def _apply_generic(self, xp: Namespace, A: Array) -> Array:
        source, weight = _generic.buckets(self.target, self.sign, self.shape[0])
        return _generic.scatter(xp, A, _moved(xp, source, A), _moved(xp, weight, A))


class SRHT(Sketch):
    """(3): the subsampled randomised Hadamard transform."""

    def __init__(self, s: int, n: int, rng: np.random.Generator, nnz: int) -> None:  # noqa: ARG002
        super().__init__(s, n)
        self.padded = 1 << (n - 1).bit_length()
        self.signs = rng.choice(np.array([-1.0, 1.0]), size=(n, 1)) / math.sqrt(s)
        self.rows = np.sort(rng.choice(self.padded, size=s, replace=False))

    def _matmat(self, X: Matrix) -> Array:
        from . import _cpu

        X = _numbers(X)
        n, d = X.shape
        out = np.empty((self.shape[0], d), X.dtype)
        width = max(1, min(d, 2**22 // self.padded))
        signs = self.signs.astype(X.dtype, copy=False)
        for first in range(0, d, width):  # only some columns are padded, and filled, at a time
            part = X[:, first : first + width]
            part = part.toarray() if arrays.is_sparse(part) else part
            x = np.zeros((self.padded, part.shape[1]), X.dtype)
            np.multiply(part, signs, out=x[:n])
            _cpu.hadamard(x)
            out[:, first : first + width] = x[self.rows]  # (3)
        return out

    def _rmatmat(self, X: Array) -> Array:
        from . import _cpu

        X = _numbers(X)
        x = np.zeros((self.padded, X.shape[1]), X.dtype)
        x[self.rows] = X
        _cpu.hadamard(x)
        return np.asarray(x[: self.shape[1]] * self.signs.astype(X.dtype, copy=False))

    def _apply_generic(self, xp: Namespace, A: Array) -> Array:
        zeros = xp.zeros((self.padded - A.shape[0], A.shape[1]), dtype=A.dtype)
        x = _generic.hadamard(xp, xp.concat([A * _moved(xp, self.signs, A), zeros]))
        out: Array = xp.take(x, _moved(xp, self.rows, A), axis=0)
        return out


class Rows(Sketch):
    """(4): uniformly sampled rows."""

    def __init__(self, s: int, n: int, rng: np.random.Generator, nnz: int) -> None:  # noqa: ARG002
        super().__init__(s, n)
        self.rows = np.sort(rng.choice(n, size=s, replace=False))
        self.weight = math.sqrt(n / s)

    def _matmat(self, X: Matrix) -> Array:
        X = _numbers(X)
        part = X.tocsr()[self.rows].toarray() if arrays.is_sparse(X) else X[self.rows]
        return np.asarray(part * X.dtype.type(self.weight))

    def _rmatmat(self, X: Array) -> Array:
        X = _numbers(X)
        out = np.zeros((self.shape[1], X.shape[1]), X.dtype)
        out[self.rows] = X * X.dtype.type(self.weight)
        return out

    def _apply_generic(self, xp: Namespace, A: Array) -> Array:
        out: Array = xp.take(A, _moved(xp, self.rows, A), axis=0) * self.weight
        return out


KINDS: dict[str, Any] = {
    "sparse-sign": SparseSign,
    "gaussian": Gaussian,
    "countsketch": SparseSign,
    "srht": SRHT,
    "rows": Rows,
}


def _numbers(X: Matrix) -> Matrix:
    """The matrix in floats of its own width."""
    dtype = arrays.working_dtype(np, X=X)
    return X.astype(dtype) if X.dtype != dtype else X


def _moved(xp: Namespace, table: Any, like: Array) -> Array:
    """A table of the sketch on the device of an array; weights have its dtype, indices are integers."""
    dtype = like.dtype if np.asarray(table).dtype.kind == "f" else xp.int64
    return xp.asarray(table, dtype=dtype, device=arrays.device(like))  # type: ignore[no-any-return]


def foreign(x: Any) -> Namespace | None:
    """The array library of a dense array that is not NumPy's."""
    if isinstance(x, np.ndarray | np.generic | LinearOperator | list | float | int) or arrays.is_sparse(x):
        return None
    xp = arrays.array_namespace(x=x)
    return None if arrays.is_numpy(xp) else xp
