"""Factorisations of plain arrays: rows in any units, and least norm where a matrix is singular."""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any

from numsolve._core import arrays
from numsolve._core.unheard import unheard

from ._lsmr import in_units, lsmr
from ._watch import HIDDEN, checked, default_tol

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, Namespace

    from ._operator import Operator

    Vector = Callable[[Any], Any]


def factorise(A: Operator, name: str, tol: float | None = None) -> tuple[Vector, Vector]:
    """Functions that solve with A and its transpose, and warn where they did not."""
    forward, adjoint = _METHODS[name](A)
    return checked(A.matvec, forward, name, tol), checked(A.rmatvec, adjoint, name, tol)


def dense(A: Operator) -> tuple[Vector, Vector]:
    """LU; least norm where a pivot is rounding noise."""
    xp, matrix = A.xp, A.dense()
    name = arrays.namespace_name(xp)
    if A.n == 0:
        return (lambda b: b), (lambda b: b)
    if name not in {"numpy", "cupy"}:
        return tuple(  # type: ignore[return-value]
            lambda b, M=M: xp.linalg.solve(M, b[:, None])[:, 0] for M in (matrix, matrix.T)
        )
    linalg = importlib.import_module("scipy.linalg" if name == "numpy" else "cupyx.scipy.linalg")
    rows = _powers_of_two(xp, xp.max(xp.abs(matrix), axis=1))
    with unheard():  # of an exact zero on the diagonal; seen below
        lu = linalg.lu_factor(matrix * rows[:, None], check_finite=False)
    pivots = xp.abs(xp.diagonal(lu[0]))
    if not bool(xp.all(xp.isfinite(pivots))):
        return (lambda b: xp.nan * b,) * 2
    # A pivot is noise if it is small beside the terms that were subtracted in it: whatever the units are.
    terms = pivots + xp.sum(xp.abs(xp.tril(lu[0], -1)) * xp.abs(xp.triu(lu[0])).T, axis=1)
    if bool(xp.all(pivots > A.n * float(xp.finfo(matrix.dtype).eps) * terms)):
        return (
            lambda b: linalg.lu_solve(lu, rows * b, check_finite=False),
            lambda b: rows * linalg.lu_solve(lu, b, trans=1, check_finite=False),
        )
    inverse = _pseudo_inverse(xp, matrix, rows)
    return (lambda b: inverse @ b), (lambda b: inverse.T @ b)


def _powers_of_two(xp: Namespace, sizes: Array) -> Array:
    """The powers of two nearest to 1 / sizes, by which one multiplies without rounding errors."""
    usual = (sizes > 0) & xp.isfinite(sizes)
    limit = xp.finfo(sizes.dtype).maxexp - 8
    exponent = xp.clip(xp.frexp(xp.where(usual, sizes, xp.ones_like(sizes)))[1], -limit, limit)
    out: Array = xp.ldexp(xp.ones_like(sizes), -exponent)
    return out


def _pseudo_inverse(xp: Namespace, matrix: Array, rows: Array) -> Array:
    """The pseudo-inverse of a matrix whose rank is told after rows and columns are of one size.

    For any G with A G A = A it is P G Q, with P and Q the projections on the row space and on the range.
    """
    columns = _powers_of_two(xp, xp.max(xp.abs(matrix * rows[:, None]), axis=0))
    U, sigma, Vh = xp.linalg.svd(matrix * rows[:, None] * columns)
    rank = int(xp.sum(sigma > sigma[0] * matrix.shape[0] * float(xp.finfo(matrix.dtype).eps)))
    G = columns[:, None] * (Vh[:rank, :].T / sigma[:rank]) @ U[:, :rank].T * rows
    kernel = _orthonormal(xp, columns[:, None] * Vh[rank:, :].T)
    left = _orthonormal(xp, rows[:, None] * U[:, rank:])
    G = G - kernel @ (kernel.T @ G)
    out: Array = G - (G @ left) @ left.T
    return out


def _orthonormal(xp: Namespace, vectors: Array) -> Array:
    """The Gram-Schmidt process, twice: unlike Householder's, it keeps the digits of small entries."""
    found: list[Array] = []
    for k in range(vectors.shape[1]):
        v = vectors[:, k] / xp.max(xp.abs(vectors[:, k]))
        for u in 2 * found:
            v = v - (u @ v) * u
        found.append(v / xp.linalg.vector_norm(v))
    return xp.stack(found, axis=1) if found else vectors


def cholesky(A: Operator) -> tuple[Vector, Vector]:
    xp, matrix = A.xp, A.dense()
    if arrays.is_numpy(xp):
        from scipy.linalg import cho_factor, cho_solve

        factor = cho_factor(matrix, check_finite=False)
        return (lambda b: cho_solve(factor, b, check_finite=False),) * 2
    L = xp.linalg.cholesky(matrix)
    return (lambda b: xp.linalg.solve(L.T, xp.linalg.solve(L, b[:, None]))[:, 0],) * 2


def sparse(A: Operator) -> tuple[Vector, Vector]:
    """A factorisation; least norm by LSMR if the matrix is singular."""
    found = superlu(A)
    return least_norm(A) if found is None else both_ways(found)


def both_ways(given: Any) -> tuple[Vector, Vector]:
    """What solves with a matrix and with its transpose: a pair of functions, or a factorisation."""
    if isinstance(given, tuple):
        forward, adjoint = given
        return forward, adjoint
    return given.solve, lambda b: given.solve(b, "T")


def least_norm(A: Operator) -> tuple[Vector, Vector]:
    """LSMR with a matrix and with its transpose."""
    tol = default_tol(A.dtype)
    return (
        lambda b: in_units(lsmr, A, b, None, tol, 10 * A.n),
        lambda b: in_units(lsmr, A.T, b, None, tol, 10 * A.n),
    )


class _Scaled:
    """A factorisation of a matrix whose rows were multiplied by numbers."""

    def __init__(self, factor: Any, rows: Array) -> None:
        self.factor, self.rows, self.nnz = factor, rows, factor.nnz

    def solve(self, b: Array, trans: str = "N") -> Array:
        out: Array = (
            self.factor.solve(self.rows * b) if trans == "N" else self.rows * self.factor.solve(b, trans)
        )
        return out


def superlu(A: Operator) -> Any:
    """SuperLU; None if the matrix is singular."""
    library = "scipy" if arrays.is_numpy(A.xp) else "cupyx.scipy"
    splu = importlib.import_module(f"{library}.sparse.linalg").splu
    matrix: Any = A.matrix
    matrix = matrix.tocsc()
    rows = _row_scales(A.xp, matrix)
    try:
        if rows is not None:
            matrix = matrix.copy()
            matrix.data = matrix.data * rows[matrix.indices]
        factor = splu(matrix)
    except RuntimeError:  # "Factor is exactly singular"
        return None
    return factor if rows is None else _Scaled(factor, rows)


def _row_scales(xp: Namespace, matrix: Any) -> Array | None:
    """What the rows of a sparse matrix are multiplied by; None if they differ by less than `HIDDEN`."""
    sizes = abs(matrix).max(axis=1).toarray().reshape(-1)
    present = sizes[sizes > 0]
    if not present.shape[0] or not math.isfinite(float(xp.max(present))):
        return None
    apart = float(xp.max(present)) > HIDDEN * float(xp.min(present))
    return _powers_of_two(xp, sizes) if apart else None


_METHODS = {"dense": dense, "host": dense, "cholesky": cholesky, "sparse": sparse}
