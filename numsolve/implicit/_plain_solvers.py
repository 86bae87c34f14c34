"""Linear solvers for plain arrays: those of SciPy and CuPy, behind one signature.

By hand is only what a library lacks: BiCGSTAB, which CuPy does not have. Array libraries without solvers of
their own take the conjugate gradients of `numsolve._core`. (SciPy's `cg` and `bicgstab` were measured beside
plain array code of the same steps, 25 to 90 000 unknowns in float64 and float32: equally accurate, up to 40 %
slower for 25 unknowns, where a solve takes half a millisecond, and up to a quarter faster for 90 000.)

`factorise` prepares a pair of functions ``(solve, rsolve)``, for A x = b and A' x = b with vectors b (n,),
that may be called many times.
"""

from __future__ import annotations

import importlib
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.krylov import conjugate_gradients

from . import _report
from ._differences import sparse_jacobian

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, Namespace

    Vector = Callable[[Any], Any]

#: Unknowns up to which a matrix is formed and factorised.
DENSE_UP_TO = 2000
#: Rows that differ by more have different units; the tolerance holds in each.
HIDDEN = 1e3


def default_tol(dtype: Any) -> float:
    """1e-10 in double precision, 1e-5 in single."""
    return 1e-5 if str(dtype).endswith("32") else 1e-10


class Operator:
    """A square matrix: dense, sparse, a linear operator, or a function with or without its transpose."""

    def __init__(
        self, xp: Any, A: Any, n: int, dtype: Any, rmatvec: Vector | None = None, ridge: float | None = None
    ) -> None:
        self.xp, self.n, self.dtype = xp, n, dtype
        A = A if _is_function(A) else as_matrix(xp, A, dtype)
        self.matrix = None if _is_function(A) else A
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
        if self.matrix is not None:
            return self.matrix.toarray() if arrays.is_sparse(self.matrix) else self.matrix
        unit = self.xp.eye(self.n, dtype=self.dtype)
        return self.xp.stack([self.matvec(unit[:, k]) for k in range(self.n)], axis=1)

    def as_operator(self) -> Any:
        """The operator of SciPy or CuPy."""
        return arrays.linear_operator(self.xp, (self.n, self.n), self.matvec, self.rmatvec, dtype=self.dtype)


def as_matrix(xp: Namespace, A: Any, dtype: Any) -> Any:
    """A matrix of floats; operators, None, and what is a matrix of floats stay as they are."""
    checks.refuse_masked("the matrix", A)
    if A is None or (arrays.is_operator(A) and not arrays.is_sparse(A)):
        return A
    if arrays.is_sparse(A):
        return A if A.dtype.kind == "f" else A.astype(dtype)
    if isinstance(A, list | tuple) or "int" in str(A.dtype) or "bool" in str(A.dtype):
        return xp.asarray(A, dtype=dtype)
    return A


def factorise(
    A: Operator, solve: Any, symmetric: bool, tol: float | None = None, *, watched: bool = True
) -> tuple[Vector, Vector]:
    """Functions that solve with A and its transpose, by any of the ways that ``solve`` may name.

    What the caller gave is looked at here, unless it is elsewhere.
    """
    if not isinstance(solve, str):
        forward, adjoint = _users(A, solve)
        if not watched:
            return forward, adjoint
        name = "the given solve"
        forward = _checked(A.matvec, forward, name, tol)
        if A.has_both:
            return forward, _checked(A.rmatvec, adjoint, name, tol)
        return forward, lambda c: watch_adjoint(A.matvec, adjoint(c), c, name, tol)
    name = automatic(A, symmetric) if solve == "auto" else solve
    if name in {"dense", "cholesky", "host", "sparse"}:
        forward, adjoint = _DIRECT[name](A)
    else:
        forward, adjoint = (
            lambda b, op=op: iterate(
                name, op, b, None, default_tol(b.dtype) if tol is None else tol, 10 * A.n
            )
            for op in (A, A.T)
        )
    return _checked(A.matvec, forward, name, tol), _checked(A.rmatvec, adjoint, name, tol)


def _users(A: Operator, solve: Any) -> tuple[Vector, Vector]:
    """A pair of functions of b, a factorisation as SciPy's SuperLU, or jaxopt's ``solve(matvec, b)``."""
    if isinstance(solve, tuple):
        forward, adjoint = solve
        return forward, adjoint
    if hasattr(solve, "solve"):
        return solve.solve, lambda b: solve.solve(b, "T")
    return lambda b: solve(A, b), lambda b: solve(A.T, b)


def automatic(A: Operator, symmetric: bool) -> str:
    """The method of solve="auto": a factorisation of any sparse matrix, and of a small dense one."""
    if arrays.is_sparse(A.matrix):
        return "sparse"
    if A.n <= DENSE_UP_TO or (A.matrix is not None and not arrays.is_operator(A.matrix)):
        return "dense"
    return "cg" if symmetric else "gmres"


def solve(
    method: str,
    matvec: Any,
    b: Any,
    *,
    transpose: bool,
    ridge: float | None,
    init: Any,
    tol: float | None,
    maxiter: int | None,
    sparsity: Any,
) -> Any:
    """Solve one system, for the public functions."""
    xp = arrays.array_namespace(b=b)
    if sparsity is not None:
        return _by_pattern(matvec, b, transpose, ridge, tol, sparsity)
    A = Operator(xp, matvec, b.shape[0], b.dtype, ridge=ridge)
    A = A.T if transpose else A
    if method in _ITERATIVE:
        tol = default_tol(b.dtype) if tol is None else tol
        init = None if init is None else checks.array("init", init, xp=xp, dtype=b.dtype, shape=b.shape)
        x = iterate(method, A, b, init, tol, 10 * A.n if maxiter is None else maxiter)
        return watch(A.matvec, x, b, method, tol)
    return _checked(A.matvec, _DIRECT[method](A)[0], method, tol)(b)


def _by_pattern(
    matvec: Any, b: Array, transpose: bool, ridge: float | None, tol: float | None, sparsity: Any
) -> Array:
    """A sparse factorisation of a matrix with a pattern, which one product with the matrix verifies."""
    product, xp = (matvec if _is_function(matvec) else lambda v: matvec @ v), arrays.array_namespace(b=b)
    if tuple(np.shape(sparsity)) != (b.shape[0], b.shape[0]):
        raise ValueError(f"sparsity must have shape {(b.shape[0],) * 2}, got {tuple(np.shape(sparsity))}")
    sparse = sparse_jacobian(product, xp.zeros_like(b), sparsity)
    A = Operator(xp, sparse, b.shape[0], b.dtype, ridge=ridge)
    shifted = product if ridge is None else lambda v: product(v) + ridge * v
    forward, adjoint = _sparse(A)
    if transpose:
        return watch_adjoint(shifted, adjoint(b), b, "sparsity", tol)
    out: Array = watch(shifted, forward(b), b, "sparsity", tol)
    return out


# -- direct ------------------------------------------------------------------------------------------


def _dense(A: Operator) -> tuple[Vector, Vector]:
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an exact zero on the diagonal; seen below
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
    return xp.stack(found, axis=1) if found else vectors  # type: ignore[no-any-return]


def _cholesky(A: Operator) -> tuple[Vector, Vector]:
    xp, matrix = A.xp, A.dense()
    if arrays.is_numpy(xp):
        from scipy.linalg import cho_factor, cho_solve

        factor = cho_factor(matrix, check_finite=False)
        return (lambda b: cho_solve(factor, b, check_finite=False),) * 2
    L = xp.linalg.cholesky(matrix)
    return (lambda b: xp.linalg.solve(L.T, xp.linalg.solve(L, b[:, None]))[:, 0],) * 2


def _sparse(A: Operator) -> tuple[Vector, Vector]:
    """SuperLU; least norm by LSMR if the matrix is singular."""
    library = "scipy" if arrays.is_numpy(A.xp) else "cupyx.scipy"
    splu = importlib.import_module(f"{library}.sparse.linalg").splu
    matrix = A.matrix.tocsc()  # type: ignore[union-attr]  # it is sparse
    rows = _row_scales(A.xp, matrix)
    try:
        if rows is not None:
            matrix = matrix.copy()
            matrix.data = matrix.data * rows[matrix.indices]
        factor = splu(matrix)
    except RuntimeError:  # "Factor is exactly singular"
        tol = default_tol(A.dtype)
        return (
            lambda b: iterate("lsmr", A, b, None, tol, 10 * A.n),
            lambda b: iterate("lsmr", A.T, b, None, tol, 10 * A.n),
        )
    if rows is None:
        return factor.solve, lambda b: factor.solve(b, "T")
    return (lambda b: factor.solve(rows * b)), (lambda b: rows * factor.solve(b, "T"))


def _row_scales(xp: Namespace, matrix: Any) -> Array | None:
    """What the rows of a sparse matrix are multiplied by; None if they differ by less than `HIDDEN`."""
    sizes = abs(matrix).max(axis=1).toarray().reshape(-1)
    present = sizes[sizes > 0]
    if not present.shape[0] or not math.isfinite(float(xp.max(present))):
        return None
    apart = float(xp.max(present)) > HIDDEN * float(xp.min(present))
    return _powers_of_two(xp, sizes) if apart else None


# -- iterative ---------------------------------------------------------------------------------------


def iterate(name: str, A: Operator, b: Array, x0: Array | None, tol: float, maxiter: int) -> Array:
    """Solve by an iteration, for data of any size: the squares in it neither over- nor underflow."""
    xp = A.xp
    size = _size(xp, b)
    if size == 0.0:
        return 0.0 * b
    if not math.isfinite(size):
        return b * math.nan
    b = b / size
    stretch = _size(xp, A.matvec(b))
    method = _ITERATIVE[name]
    if MODEST < stretch < 1 / MODEST or stretch == 0.0 or not math.isfinite(stretch):
        return size * method(A, b, None if x0 is None else x0 / size, tol, maxiter)
    x0 = None if x0 is None else x0 / size * stretch
    return method(A.scaled(1 / stretch), b, x0, tol, maxiter) / stretch * size


#: Matrices that stretch a vector by less, or by more than its inverse, are scaled first.
MODEST = 1e-30


class _SaddleError(Exception):
    """Conjugate gradients met curvature of both signs."""


def _cg(A: Operator, b: Array, x0: Array | None, tol: float, maxiter: int) -> Array:
    """Conjugate gradients; GMRES goes on where the curvature changes its sign, as at a saddle."""
    x = A.xp.zeros_like(b) if x0 is None else x0
    method = _library_cg if arrays.namespace_name(A.xp) in {"numpy", "cupy"} else _array_api_cg
    try:
        return method(A, b, x, tol, maxiter)
    except _SaddleError as saddle:
        _report.indefinite(True)
        reached: Array = saddle.args[0]
        return _gmres(A, b, reached, tol, maxiter)


def _library_cg(A: Operator, b: Array, x: Array, tol: float, maxiter: int) -> Array:
    """SciPy's or CuPy's, for the step from x, with an eye on the sign of the curvature."""
    xp, sign, reached = A.xp, 0.0, x

    def product(p: Array) -> Array:
        nonlocal sign
        q: Array = A.matvec(p)
        curvature = float(p @ q)
        sign = sign or curvature
        if sign * curvature < 0:
            raise _SaddleError(reached)
        return q

    def note(step: Array) -> None:
        nonlocal reached
        reached = x + step

    r = b - A.matvec(x)
    size = _norm(xp, r)
    cg, settings = _library("cg", xp, tol * _norm(xp, b) / size if size > 0 else tol)
    operator = arrays.linear_operator(xp, (A.n, A.n), product, dtype=A.dtype)
    step: Array = cg(operator, r, maxiter=maxiter, callback=note, **settings)[0]
    return x + step


def _array_api_cg(A: Operator, b: Array, x: Array, tol: float, maxiter: int) -> Array:
    """For array libraries that have none; a negative definite matrix is turned round."""
    xp, r = A.xp, b - A.matvec(x)
    sign = -1.0 if float(r @ A.matvec(r)) < 0 else 1.0
    goal = tol * _norm(xp, b)
    for k, step in enumerate(
        conjugate_gradients(xp, lambda v: sign * A.matvec(v), xp.zeros_like(b), sign * r)
    ):
        if step.curvature < 0:
            raise _SaddleError(x + step.x)
        if k + 1 >= maxiter or _norm(xp, step.r) <= goal:
            break
    return x + step.x


def _gmres(A: Operator, b: Array, x0: Array | None, tol: float, maxiter: int) -> Array:
    rows = _sizes_of_rows(A.xp, A.matvec, b)
    if float(A.xp.max(rows)) > HIDDEN * float(A.xp.min(rows)):
        A, b = A.over(rows), b / rows
    restart = min(50, A.n)
    gmres, settings = _library("gmres", A.xp, tol)
    cycles = max(1, maxiter // restart)
    out: Array = gmres(A.as_operator(), b, x0=x0, restart=restart, maxiter=cycles, **settings)[0]
    return out


def _bicgstab(A: Operator, b: Array, x0: Array | None, tol: float, maxiter: int) -> Array:
    """H. van der Vorst, SIAM J. Sci. Stat. Comput. 13, 1992."""
    if not arrays.is_numpy(A.xp):
        return _array_api_bicgstab(A, b, x0, tol, maxiter)
    bicgstab, settings = _library("bicgstab", A.xp, tol)
    out: Array = bicgstab(A.as_operator(), b, x0=x0, maxiter=maxiter, **settings)[0]
    return out


def _array_api_bicgstab(A: Operator, b: Array, x0: Array | None, tol: float, maxiter: int) -> Array:
    """For libraries that have none, CuPy among them."""
    xp = A.xp
    x = xp.zeros_like(b) if x0 is None else x0
    r = b - A.matvec(x)
    shadow, p = r, r
    rho, goal = float(shadow @ r), tol * _norm(xp, b)
    for _ in range(maxiter):
        if _norm(xp, r) <= goal or rho == 0.0:
            break
        v = A.matvec(p)
        alpha = rho / float(shadow @ v)
        s = r - alpha * v
        t = A.matvec(s)
        tt = float(t @ t)
        omega = float(t @ s) / tt if tt > 0 else 0.0
        x = x + alpha * p + omega * s
        r = s - omega * t
        rho, old = float(shadow @ r), rho
        if omega == 0.0:
            break
        p = r + (rho / old) * (alpha / omega) * (p - omega * v)
    return x


def _library(name: str, xp: Namespace, tol: float) -> tuple[Callable[..., Any], dict[str, float]]:
    """A solver of SciPy or CuPy, and its tolerance in its own words."""
    library = arrays.namespace_name(xp)
    if library not in {"numpy", "cupy"}:
        raise TypeError(f"{library} arrays have no {name}: NumPy's and CuPy's have; or take solve='dense'")
    package = "scipy.sparse.linalg" if library == "numpy" else "cupyx.scipy.sparse.linalg"
    return getattr(importlib.import_module(package), name), {
        "rtol" if library == "numpy" else "tol": tol,
        "atol": 0.0,
    }


def _lsmr(A: Operator, b: Any, x0: Any, tol: float, maxiter: int) -> Any:
    library = "scipy" if arrays.is_numpy(A.xp) else "cupyx.scipy"
    lsmr = importlib.import_module(f"{library}.sparse.linalg").lsmr
    return lsmr(A.as_operator(), b, x0=x0, atol=1e-2 * tol, btol=1e-2 * tol, conlim=0.0, maxiter=maxiter)[0]


_DIRECT = {"dense": _dense, "host": _dense, "cholesky": _cholesky, "sparse": _sparse}
_ITERATIVE: dict[str, Callable[..., Array]] = {
    "cg": _cg,
    "gmres": _gmres,
    "bicgstab": _bicgstab,
    "lsmr": _lsmr,
}


# -- watching ----------------------------------------------------------------------------------------


def _checked(matvec: Vector, function: Vector, name: str, tol: float | None) -> Vector:
    return lambda b: watch(matvec, function(b), b, name, tol)


def watch(matvec: Vector, x: Any, b: Any, name: str, tol: float | None) -> Any:
    """Warn if the residual is above ten times the tolerance, or hidden by the units of other rows."""
    xp = arrays.array_namespace(b=b)
    tol = default_tol(b.dtype) if tol is None else tol
    r, size = matvec(x) - b, _size(xp, b)
    if bool(xp.all(xp.abs(r) <= 10 * tol * xp.abs(b))):
        return x
    rows = _sizes_of_rows(xp, matvec, b)
    if name in _ITERATIVE:
        residual, hidden = _size(xp, r), max(_size(xp, b / rows), _size(xp, x))
        if residual <= 10 * tol * size:
            part = _size(xp, r / rows) / hidden if hidden else 0.0
            _report.hidden(not part <= tol**0.5, part, method=name)
            return x
    else:
        # A factorisation is as good as it can be if the residual is not above its rounding errors, of terms
        # of size |A| |x|; one product tells about the size of each row.
        noise = 100 * x.shape[0] ** 0.5 * float(xp.finfo(b.dtype).eps) * _size(xp, x)
        residual, size = _size(xp, r / rows), _size(xp, b / rows)
        if residual <= 10 * tol * size + noise:
            return x
    _report.linear(not residual <= 10 * tol * size, residual / size if size else residual, method=name)
    return x


def watch_adjoint(matvec: Vector, u: Array, c: Array, name: str, tol: float | None) -> Array:
    """Warn unless A' u = c, where only products with A are known: u'A v = c'v for a vector v at random."""
    xp = arrays.array_namespace(c=c)
    tol = default_tol(c.dtype) if tol is None else tol
    v = xp.asarray(np.random.default_rng(0).standard_normal(c.shape[0]), dtype=c.dtype)
    product = matvec(v)
    error, size = abs(float(u @ product) - float(c @ v)), _norm(xp, c)
    noise = 100 * float(xp.finfo(c.dtype).eps) * (_norm(xp, u) * _norm(xp, product) + size * _norm(xp, v))
    _report.linear(not error <= 10 * tol * size + noise, error / size if size else error, method=name)
    return u


def _sizes_of_rows(xp: Namespace, matvec: Vector, like: Array) -> Array:
    """About the size of each row, from its product with numbers between one and two; one for empty ones."""
    k = np.arange(like.shape[0])
    spread = np.where(k % 3 == 0, -1.0, 1.0) * (1 + (k * 0.6180339887498949) % 1)
    sizes = xp.abs(matvec(xp.asarray(spread, dtype=like.dtype)))
    out: Array = xp.where((sizes > 0) & xp.isfinite(sizes), sizes, xp.ones_like(sizes))
    return out


def _norm(xp: Namespace, x: Array) -> float:
    return float(xp.linalg.vector_norm(x))


def _size(xp: Any, x: Any) -> float:
    """The largest magnitude: unlike the 2-norm, it does not overflow."""
    return float(xp.max(xp.abs(x))) if x.shape[0] else 0.0


def _is_function(A: Any) -> bool:
    return callable(A) and not hasattr(A, "shape")


def _products(A: Any, rmatvec: Vector | None) -> tuple[Vector, Vector | None]:
    if isinstance(A, Operator):
        return A.matvec, A.rmatvec
    if _is_function(A):
        return A, rmatvec
    if arrays.is_operator(A) and not arrays.is_sparse(A):
        return A.matvec, A.rmatvec
    return (lambda v: A @ v), (lambda v: A.T @ v)


def _eye_like(xp: Any, matrix: Any, n: int, dtype: Any) -> Any:
    if arrays.is_sparse(matrix):
        library = "scipy" if arrays.is_numpy(xp) else "cupyx.scipy"
        return importlib.import_module(f"{library}.sparse").identity(n, dtype=dtype, format="csr")
    return xp.eye(n, dtype=dtype)
