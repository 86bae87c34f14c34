"""More digits for a point whose residuals are lost in rounding.

In a box of 10^12 a reduced cost of 1e-16 is a gap of 1e-4, and a row of such numbers is met to 1e-4 at best,
though the point may be a solution to all its digits. Here the constraints that seem to be active become
equations: x is corrected until those rows are met, y until the reduced costs of the variables between their
bounds vanish, both by a pseudo-inverse with residuals in extended precision. The residuals that every result
has, in that precision, judge what comes of it: a wrong guess of the active constraints is thrown away.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from numsolve._core import arrays

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numsolve._core.typing import Array

    from ._program import LinearProgram

#: x, y and what `LinearProgram.quality` says of them before they are rounded.
Refined: TypeAlias = "tuple[Array, Array, dict[str, Any]]"
#: Matrices with more entries are left alone: the equations are dense.
ENTRIES = 20_000
#: Numbers so many times as large as a residual may hide it: rounding errors of a few hundred terms.
ROUNDING = 2e-13
#: Corrections of x and of y; each gains about twelve digits where the equations are well conditioned.
CORRECTIONS = 4


@np.errstate(all="ignore")  # what overflows fails the judgement
def refined(lp: LinearProgram, x: Array, y: Array, tol: float) -> Refined | None:
    """A point near this one with a residual of at most `tol` before rounding; None if there is none."""
    m, n = lp.A.shape
    if m * n > ENTRIES or m * n == 0 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    A = np.asarray(lp.A.toarray() if arrays.is_sparse(lp.A) else lp.A)
    names = ("c", "lc", "uc", "lx", "ux")
    wide = replace(lp, A=A.astype(np.longdouble), **{k: getattr(lp, k).astype(np.longdouble) for k in names})
    u, v = x.astype(np.longdouble), y.astype(np.longdouble)
    for rows, b, free, bound in _guesses(wide, u, v):
        better = _corrected(wide, np.where(free, u, bound), np.where(rows, v, 0.0), free, rows, b)
        quality = wide.quality(*better)
        if quality["residual"] <= tol:
            quality["reduced_costs"] = quality["reduced_costs"].astype(np.float64)
            return better[0].astype(np.float64), better[1].astype(np.float64), quality
    return None


def may_be_lost(lp: LinearProgram, x: Array, tol: float) -> bool:
    """Whether the bounds or the point are so large that rounding may hide a residual of this tolerance."""
    sizes = abs(np.concatenate([x, lp.lx, lp.ux]))
    return bool(np.max(sizes, where=np.isfinite(sizes), initial=0.0) * ROUNDING >= tol)


def _guesses(wide: LinearProgram, u: Array, v: Array) -> Iterator[tuple[Array, Array, Array, Array]]:
    """What may be active: rows and their bounds; free variables, and the bounds of the others."""
    at, reduced = wide.A @ u, wide.c - wide.A.T @ v
    stopped, bound = _active(u, reduced, wide.lx, wide.ux, 0.0)
    rows, b = v != 0.0, np.where(v > 0.0, wide.lc, wide.uc)
    yield rows, b, ~stopped, bound
    # Rows without a variable to meet them: those are released that want their bound least.
    lacking = int(rows.sum() - (~stopped).sum())
    if lacking > 0:
        want = np.where(stopped, abs(reduced) / _nonzero(abs(wide.c) + abs(wide.A).T @ abs(v)), np.inf)
        free = ~stopped
        free[np.argsort(want)[:lacking]] = True
        yield rows, b, free, bound
    rows, b = _active(at, v, wide.lc, wide.uc, 1.0)
    stopped, bound = _active(u, reduced, wide.lx, wide.ux, 1.0)
    yield rows, b, ~stopped, bound


def _active(value: Array, multiplier: Array, low: Array, high: Array, near: float) -> tuple[Array, Array]:
    """What lies on a bound, `near` multipliers away from it at most, and that bound."""
    to_low, to_high = value - low, high - value
    is_low = np.where(multiplier == 0.0, to_low <= to_high, multiplier > 0.0)
    bound = np.where(is_low, low, high)
    return np.where(is_low, to_low, to_high) <= near * abs(multiplier), bound


def _corrected(
    wide: LinearProgram, u: Array, v: Array, free: Array, rows: Array, b: Array
) -> tuple[Array, Array]:
    """Meet these rows by the free variables, whose reduced costs the multipliers of the rows make zero."""
    B = wide.A[np.ix_(rows, free)].astype(np.float64)
    by_row = 1.0 / _nonzero(np.max(abs(B), axis=1, initial=0.0))
    B = B * by_row[:, None]
    by_column = 1.0 / _nonzero(np.max(abs(B), axis=0, initial=0.0))
    B = B * by_column
    inverse = np.linalg.pinv(B)
    for _ in range(CORRECTIONS):
        missing = (b - wide.A @ u)[rows].astype(np.float64) * by_row
        u[free] += by_column * (inverse @ missing)
        missing = (wide.c - wide.A.T @ v)[free].astype(np.float64) * by_column
        v[rows] += by_row * (missing @ inverse)
    v[((v > 0.0) & ~np.isfinite(wide.lc)) | ((v < 0.0) & ~np.isfinite(wide.uc))] = 0.0
    return np.clip(u, wide.lx, wide.ux), v


def _nonzero(sizes: Array) -> Array:
    out: Array = np.where(sizes > 0.0, sizes, 1.0)
    return out
