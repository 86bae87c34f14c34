r"""Optimal transport where only some pairs have a cost, and all others are forbidden.

The methods are those of `newton` and of `exact`. Of the plan, of the cost and of Newton's matrix only the
entries of the pattern are there, so that memory and the time of a step grow with their number.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import checks

from ._pattern import Pattern, PatternDual, PatternProblem, PatternSearch, with_data
from ._problem import masses, weights_of
from ._reduced import UNIT, sharp
from .exact import exact
from .newton import newton

if TYPE_CHECKING:
    from numsolve._core.limits import Limits

    from ._problem import Weights
    from .result import TransportResult


def solve_pattern(
    M: Any, a: Weights, b: Weights, reg: float, limits: Limits, **settings: Any
) -> TransportResult:
    """Solve a problem with a `scipy.sparse` cost; see `numsolve.transport.solve` for the arguments."""
    problem = _prepare(M, a, b, reg)
    if reg == 0.0:
        return exact(problem, limits, semidual=PatternDual, search=PatternSearch, **settings)
    return newton(problem, limits, semidual=PatternDual, **settings)


def _prepare(M: Any, a: Weights, b: Weights, reg: float) -> PatternProblem:
    """Check the arguments and reduce them; see `_problem.prepare`."""
    whole = checks.csr("M", M, check_finite=False)
    if np.isnan(whole.data).any() or np.isneginf(whole.data).any():
        raise ValueError("M must hold numbers or +inf, got nan or -inf among its stored entries")
    n, m = whole.shape
    if n == 0 or m == 0:
        raise ValueError(f"M is empty (shape {whole.shape})")
    p, q = weights_of(np, a, b, whole.shape, whole.dtype)
    mass, other = masses(np, p, q)
    p, q = p / mass, q / other
    i = np.repeat(np.arange(n), np.diff(whole.indptr))
    allowed = (p[i] > 0) & (q[whole.indices] > 0) & np.isfinite(whole.data)
    kept = np.flatnonzero(allowed)
    rows, columns = (None if (x > 0).all() else np.flatnonzero(x > 0) for x in (p, q))
    part = _entries(whole, i, kept)
    part = part if rows is None else part[rows]
    part = part if columns is None else part[:, columns]
    p, q = (x if index is None else x[index] for x, index in ((p, rows), (q, columns)))
    for name, count in (
        ("row", np.diff(part.indptr)),
        ("column", np.bincount(part.indices, minlength=q.size)),
    ):
        if (count == 0).any():
            where = int(np.argmin(count))
            raise ValueError(
                f"M has no finite entry in {name} {where} (counted among those of positive weight), and what "
                "is not stored is forbidden; each needs one"
            )
    pattern = Pattern.of(part)
    low, high = float(part.data.min()), float(part.data.max())
    up = pattern.least_in_rows(part.data)
    rest = part.data - up[pattern.i]
    over = pattern.least_in_columns(rest)
    rest = rest - over[pattern.j]
    span = float(rest.max())
    if not math.isfinite(high - low):
        raise ValueError(f"M has entries from {low:g} to {high:g}: choose another unit for M and reg")
    own = sharp(np, rest[None, :], 0.0, span, max(part.shape)) if reg == 0.0 else reg
    if own < UNIT * span or (span > 0.0 and not math.isfinite(2 / own)):
        raise ValueError(
            f"reg = {reg:g} is below the rounding errors of M, whose entries have a range of {high - low:g}; "
            f"the least that can be resolved is {UNIT * span:.2g}"
        )
    return PatternProblem(
        np, with_data(part, rest), p, q, own, mass, up, over, span, span, True, rows, columns, (n, m),
        pattern=pattern, whole=whole, kept=kept,
    )  # fmt: skip


def _entries(whole: Any, i: Any, kept: Any) -> Any:
    """A CSR matrix of some of the entries."""
    indptr = np.searchsorted(i[kept], np.arange(whole.shape[0] + 1))
    return type(whole)((whole.data[kept], whole.indices[kept], indptr), shape=whole.shape)
