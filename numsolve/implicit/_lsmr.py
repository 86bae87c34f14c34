"""LSMR for plain arrays, behind every factorisation, and the units that iterations are run in."""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING

from numsolve._core import arrays

from ._watch import size_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array

    from ._operator import Operator

#: Matrices that stretch a vector by less, or by more than its inverse, are scaled first.
MODEST = 1e-6


def in_units(
    method: Callable[..., Array], A: Operator, b: Array, x0: Array | None, tol: float, maxiter: int
) -> Array:
    """Solve by an iteration, for data of any size: the squares in it neither over- nor underflow."""
    xp = A.xp
    size = size_of(xp, b)
    if size == 0.0:
        return 0.0 * b
    if not math.isfinite(size):
        return b * math.nan
    b = b / size
    stretch = size_of(xp, A.matvec(b))
    if MODEST < stretch < 1 / MODEST or stretch == 0.0 or not math.isfinite(stretch):
        return size * method(A, b, None if x0 is None else x0 / size, tol, maxiter)
    x0 = None if x0 is None else x0 / size * stretch
    return method(A.scaled(1 / stretch), b, x0, tol, maxiter) / stretch * size


def lsmr(A: Operator, b: Array, x0: Array | None, tol: float, maxiter: int) -> Array:
    """SciPy's or CuPy's: the solution of least norm."""
    name = arrays.namespace_name(A.xp)
    if name not in {"numpy", "cupy"}:
        raise TypeError(f"{name} arrays have no lsmr: NumPy's and CuPy's have; or take solve='dense'")
    library = "scipy" if name == "numpy" else "cupyx.scipy"
    solve = importlib.import_module(f"{library}.sparse.linalg").lsmr
    settings = {"atol": 1e-2 * tol, "btol": 1e-2 * tol, "conlim": 0.0, "maxiter": maxiter}
    x: Array = solve(A.as_operator(), b, x0=x0, **settings)[0]
    return x
