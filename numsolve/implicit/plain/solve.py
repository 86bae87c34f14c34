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
import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.krylov import conjugate_gradients
from numsolve.implicit import _direct, _report
from numsolve.implicit._lsmr import in_units, lsmr
from numsolve.implicit._operator import Operator, is_function
from numsolve.implicit._settings import DENSE_UP_TO
from numsolve.implicit._watch import (
    GIVEN,
    HIDDEN,
    ITERATIVE,
    checked,
    default_tol,
    norm,
    sizes_of_rows,
    watch,
    watch_adjoint,
)

from ._differences import sparse_jacobian

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, Namespace

    Vector = Callable[[Any], Any]


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
        name = GIVEN
        forward = checked(A.matvec, forward, name, tol)
        if A.has_both:
            return forward, checked(A.rmatvec, adjoint, name, tol)
        return forward, lambda c: watch_adjoint(A.matvec, adjoint(c), c, name, tol)
    name = automatic(A, symmetric) if solve == "auto" else solve
    if name not in ITERATIVE:
        return _direct.factorise(A, name, tol)
    forward, adjoint = (
        lambda b, op=op: iterate(name, op, b, None, default_tol(b.dtype) if tol is None else tol, 10 * A.n)
        for op in (A, A.T)
    )
    return checked(A.matvec, forward, name, tol), checked(A.rmatvec, adjoint, name, tol)


def _users(A: Operator, solve: Any) -> tuple[Vector, Vector]:
    """A pair of functions of b, a factorisation as SciPy's SuperLU, or jaxopt's ``solve(matvec, b)``."""
    if isinstance(solve, tuple) or hasattr(solve, "solve"):
        return _direct.both_ways(solve)
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
    if b.shape[0] == 0:
        return xp.zeros_like(b)
    if sparsity is not None:
        return _by_pattern(matvec, b, transpose, ridge, tol, sparsity)
    A = Operator(xp, matvec, b.shape[0], b.dtype, ridge=ridge)
    A = A.T if transpose else A
    if method in ITERATIVE:
        tol = default_tol(b.dtype) if tol is None else tol
        init = None if init is None else checks.array("init", init, xp=xp, dtype=b.dtype, shape=b.shape)
        x = iterate(method, A, b, init, tol, 10 * A.n if maxiter is None else maxiter)
        return watch(A.matvec, x, b, method, tol)
    out: Array = _direct.factorise(A, method, tol)[0](b)
    return out


def _by_pattern(
    matvec: Any, b: Array, transpose: bool, ridge: float | None, tol: float | None, sparsity: Any
) -> Array:
    """A sparse factorisation of a matrix with a pattern, which one product with the matrix verifies."""
    product, xp = (matvec if is_function(matvec) else lambda v: matvec @ v), arrays.array_namespace(b=b)
    if tuple(np.shape(sparsity)) != (b.shape[0], b.shape[0]):
        raise ValueError(f"sparsity must have shape {(b.shape[0],) * 2}, got {tuple(np.shape(sparsity))}")
    sparse = sparse_jacobian(product, xp.zeros_like(b), sparsity)
    A = Operator(xp, sparse, b.shape[0], b.dtype, ridge=ridge)
    shifted = product if ridge is None else lambda v: product(v) + ridge * v
    forward, adjoint = _direct.sparse(A)
    if transpose:
        return watch_adjoint(shifted, adjoint(b), b, "sparsity", tol)
    out: Array = watch(shifted, forward(b), b, "sparsity", tol)
    return out


# -- iterative ---------------------------------------------------------------------------------------


def iterate(name: str, A: Operator, b: Array, x0: Array | None, tol: float, maxiter: int) -> Array:
    """Solve by an iteration, for data of any size; what breaks down on the way, the residual tells."""
    with np.errstate(all="ignore"):
        return in_units(_ITERATIVE[name], A, b, x0, tol, maxiter)


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
    size = norm(xp, r)
    cg, settings = _library("cg", xp, tol * norm(xp, b) / size if size > 0 else tol)
    operator = arrays.linear_operator(xp, (A.n, A.n), product, dtype=A.dtype)
    step: Array = cg(operator, r, maxiter=maxiter, callback=note, **settings)[0]
    return x + step


def _array_api_cg(A: Operator, b: Array, x: Array, tol: float, maxiter: int) -> Array:
    """For array libraries that have none; a negative definite matrix is turned round."""
    xp, r = A.xp, b - A.matvec(x)
    sign = -1.0 if float(r @ A.matvec(r)) < 0 else 1.0
    goal = tol * norm(xp, b)
    for k, step in enumerate(
        conjugate_gradients(xp, lambda v: sign * A.matvec(v), xp.zeros_like(b), sign * r)
    ):
        if step.curvature < 0:
            raise _SaddleError(x + step.x)
        if k + 1 >= maxiter or norm(xp, step.r) <= goal:
            break
    return x + step.x


def _gmres(A: Operator, b: Array, x0: Array | None, tol: float, maxiter: int) -> Array:
    rows = sizes_of_rows(A.xp, A.matvec, b)
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
    rho, goal = float(shadow @ r), tol * norm(xp, b)
    for _ in range(maxiter):
        if norm(xp, r) <= goal or rho == 0.0:
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
    solver = getattr(importlib.import_module(package), name)
    word = "rtol" if "rtol" in inspect.signature(solver).parameters else "tol"  # CuPy before 14
    return solver, {word: tol, "atol": 0.0}


_ITERATIVE: dict[str, Callable[..., Array]] = {
    "cg": _cg,
    "gmres": _gmres,
    "bicgstab": _bicgstab,
    "lsmr": lsmr,
}
