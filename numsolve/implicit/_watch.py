"""Whether a linear system was solved: its residual, in each row's own unit, of plain arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numsolve._core import arrays

from . import _report

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, Namespace

    Vector = Callable[[Any], Any]

#: Rows that differ by more have different units; the tolerance holds in each.
HIDDEN = 1e3
#: The methods that iterate to a tolerance; others solve as well as rounding errors let them.
ITERATIVE = ("cg", "gmres", "bicgstab", "lsmr")
#: What a solve of the caller is called.
GIVEN = "the given solve"


class LinearInfo(NamedTuple):
    """How the linear system of a derivative was solved."""

    #: the method that was taken, in the words of ``solve``
    method: str
    #: what is left of the system, relative to its right-hand side, in the 2-norm
    residual: float


def default_tol(dtype: Any) -> float:
    """1e-10 in double precision, 1e-5 in single."""
    return 1e-5 if str(dtype).endswith("32") else 1e-10


def checked(matvec: Vector, function: Vector, name: str, tol: float | None) -> Vector:
    return lambda b: watch(matvec, function(b), b, name, tol)


def watch(matvec: Vector, x: Any, b: Any, name: str, tol: float | None) -> Any:
    """Warn if the residual is above ten times the tolerance, or hidden by the units of other rows."""
    xp = arrays.array_namespace(b=b)
    tol = default_tol(b.dtype) if tol is None else max(tol, float(xp.finfo(b.dtype).eps))
    r, size = matvec(x) - b, size_of(xp, b)
    if bool(xp.all(xp.abs(r) <= 10 * tol * xp.abs(b))):
        return x
    rows = sizes_of_rows(xp, matvec, b)
    if name in ITERATIVE:
        residual, hidden = size_of(xp, r), max(size_of(xp, b / rows), size_of(xp, x))
        if residual <= 10 * tol * size:
            part = size_of(xp, r / rows) / hidden if hidden else 0.0
            _report.hidden(not part <= tol**0.5, part, method=name)
            return x
    else:
        # A factorisation is as good as it can be if the residual is not above its rounding errors, of terms
        # of size |A| |x|; one product tells about the size of each row.
        noise = 100 * x.shape[0] ** 0.5 * float(xp.finfo(b.dtype).eps) * size_of(xp, x)
        residual, size = size_of(xp, r / rows), size_of(xp, b / rows)
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
    error, size = abs(float(u @ product) - float(c @ v)), norm(xp, c)
    noise = 100 * float(xp.finfo(c.dtype).eps) * (norm(xp, u) * norm(xp, product) + size * norm(xp, v))
    _report.linear(not error <= 10 * tol * size + noise, error / size if size else error, method=name)
    return u


def sizes_of_rows(xp: Namespace, matvec: Vector, like: Array) -> Array:
    """About the size of each row, from its product with numbers between one and two; one for empty ones."""
    k = np.arange(like.shape[0])
    spread = np.where(k % 3 == 0, -1.0, 1.0) * (1 + (k * 0.6180339887498949) % 1)
    sizes = xp.abs(matvec(xp.asarray(spread, dtype=like.dtype)))
    out: Array = xp.where((sizes > 0) & xp.isfinite(sizes), sizes, xp.ones_like(sizes))
    return out


def norm(xp: Namespace, x: Array) -> float:
    return float(xp.linalg.vector_norm(x))


def size_of(xp: Any, x: Any) -> float:
    """The largest magnitude: unlike the 2-norm, it does not overflow."""
    return float(xp.max(xp.abs(x))) if x.shape[0] else 0.0
