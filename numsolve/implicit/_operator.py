"""A square matrix of plain arrays, whatever it is given as."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from numsolve._core import arrays, checks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, Namespace

    Vector = Callable[[Any], Any]


class Operator:
    """A square matrix: dense, sparse, a linear operator, or a function with or without its transpose."""

    def __init__(
        self, xp: Any, A: Any, n: int, dtype: Any, rmatvec: Vector | None = None, ridge: float | None = None
    ) -> None:
        self.xp, self.n, self.dtype = xp, n, dtype
        A = A if is_function(A) else as_matrix(xp, A, dtype)
        self.matrix = None if is_function(A) else A
        self._product, self._rproduct = _products(A, rmatvec)
        if ridge is not None:
            self._add(ridge)

    def _add(self, ridge: float) -> None:
        if self.matrix is not None:
            eye = _eye_like(self.xp, self.matrix, self.n, self.dtype)
            self.matrix = self.matrix + ridge * eye
            self._product, self._rproduct = _products(self.matrix, None)
            return
        product, rproduct = self._product, self._rproduct
        self._product = lambda v: product(v) + ridge * v
        self._rproduct = None if rproduct is None else lambda v: rproduct(v) + ridge * v

    @property
    def has_both(self) -> bool:
        """Whether products with the matrix and with its transpose cost nothing extra."""
        return self._rproduct is not None

    def matvec(self, v: Any) -> Any:
        return self._product(v)

    def rmatvec(self, v: Any) -> Any:
        if self._rproduct is None:  # a function without its transpose: all columns are formed once
            self.matrix = self.dense()
            self._product, self._rproduct = _products(self.matrix, None)
        return self._rproduct(v)  # type: ignore[misc]  # just set

    @property
    def T(self) -> Operator:  # noqa: N802
        """The transposed operator."""
        turned = object.__new__(Operator)
        turned.xp, turned.n, turned.dtype = self.xp, self.n, self.dtype
        turned.matrix = None if self.matrix is None else self.matrix.T
        turned._product, turned._rproduct = self.rmatvec, self.matvec
        return turned

    def __call__(self, v: Any) -> Any:
        return self.matvec(v)

    def scaled(self, factor: float) -> Operator:
        """The operator times a number."""
        out = object.__new__(Operator)
        out.xp, out.n, out.dtype = self.xp, self.n, self.dtype
        out.matrix = None if self.matrix is None or arrays.is_operator(self.matrix) else factor * self.matrix
        out._product, out._rproduct = lambda v: factor * self.matvec(v), lambda v: factor * self.rmatvec(v)
        return out

    def over(self, rows: Array) -> Operator:
        """The operator with its rows divided by numbers."""
        out = object.__new__(Operator)
        out.xp, out.n, out.dtype, out.matrix = self.xp, self.n, self.dtype, None
        out._product, out._rproduct = lambda v: self.matvec(v) / rows, lambda v: self.rmatvec(v / rows)
        return out

    def dense(self) -> Any:
        if self.matrix is not None and arrays.is_sparse(self.matrix):
            return self.matrix.toarray()
        if self.matrix is not None and not arrays.is_operator(self.matrix):
            return self.matrix
        unit = self.xp.eye(self.n, dtype=self.dtype)
        return self.xp.stack([self.matvec(unit[:, k]) for k in range(self.n)], axis=1)

    def as_operator(self) -> Any:
        """The operator of SciPy or CuPy."""
        return arrays.linear_operator(self.xp, (self.n, self.n), self.matvec, self.rmatvec, dtype=self.dtype)


def as_matrix(xp: Namespace, A: Any, dtype: Any) -> Any:
    """A matrix of floats, of no less than the precision wanted; operators and None stay as they are."""
    checks.refuse_masked("the matrix", A)
    if A is None or (arrays.is_operator(A) and not arrays.is_sparse(A)):
        return A
    if arrays.is_sparse(A):
        return A if A.dtype.kind == "f" and not _is_short(A, dtype) else A.astype(dtype)
    if isinstance(A, list | tuple) or "int" in str(A.dtype) or "bool" in str(A.dtype):
        return xp.asarray(A, dtype=dtype)
    return xp.astype(A, dtype) if _is_short(A, dtype) else A


def _is_short(A: Any, dtype: Any) -> bool:
    return "float32" in str(A.dtype) and "float64" in str(dtype)


def is_function(A: Any) -> bool:
    return callable(A) and not hasattr(A, "shape")


def _products(A: Any, rmatvec: Vector | None) -> tuple[Vector, Vector | None]:
    if isinstance(A, Operator):
        return A.matvec, A.rmatvec
    if is_function(A):
        return A, rmatvec
    if arrays.is_operator(A) and not arrays.is_sparse(A):
        return A.matvec, A.rmatvec
    return (lambda v: A @ v), (lambda v: A.T @ v)


def _eye_like(xp: Any, matrix: Any, n: int, dtype: Any) -> Any:
    if arrays.is_sparse(matrix):
        library = "scipy" if arrays.is_numpy(xp) else "cupyx.scipy"
        return importlib.import_module(f"{library}.sparse").identity(n, dtype=dtype, format="csr")
    return xp.eye(n, dtype=dtype)
