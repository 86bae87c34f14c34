"""How far exact transport can be from an entropic answer: weak duality below, a feasible plan above.

The lower bound is the dual value of hard c-transforms (C. Villani, "Topics in optimal transportation", 2003,
ch. 2); the upper one the cost of the plan rounded to the marginals (J. Altschuler, J. Weed, P. Rigollet,
"Near-linear time approximation algorithms for optimal transport via Sinkhorn iteration", NeurIPS 2017).

All this runs once a solve, in plain array code: on the host some rows at a time, so that what lies between
stays in a cache.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numsolve._core.typing import Array, Namespace

#: Entries of the rows that are looked at together.
PIECE = 1 << 16


def bounds(M: Array, a: Array, b: Array, P: Array, f: Array, *, forbidden: bool) -> tuple[float, float]:
    """Bound the least cost of moving a to b, for a plan P that nearly does and any potential f."""
    xp = arrays.array_namespace(M=M)
    if arrays.is_numpy(xp):
        a, b, f = (x.astype(np.float64, copy=False) for x in (a, b, f))
    return lower_bound(xp, M, a, b, f), upper_bound(xp, M, a, b, P, forbidden=forbidden)


def lower_bound(xp: Namespace, M: Array, a: Array, b: Array, f: Array) -> float:
    """a.f + b.g for the best g to f, and the best f to that g: feasible, so no plan costs less."""
    g = least_in_columns(xp, M, f)
    f = least_in_rows(xp, M, g)
    return float(a @ f) + float(b @ g)


def least_in_columns(xp: Namespace, M: Array, f: Array) -> Array:
    """min_i (M_ij - f_i), the hard c-transform of f."""
    out: Array = reduce(xp.minimum, (xp.min(M[i, ...] - f[i, None], axis=0) for i in pieces(xp, M)))
    return out


def least_in_rows(xp: Namespace, M: Array, g: Array) -> Array:
    """min_j (M_ij - g_j)."""
    least = [xp.min(M[i, ...] - g[None, :], axis=1) for i in pieces(xp, M)]
    out: Array = least[0] if len(least) == 1 else xp.concat(least)
    return out


def upper_bound(xp: Namespace, M: Array, a: Array, b: Array, P: Array, *, forbidden: bool) -> float:
    """Cost of P after scaling down the rows and columns that have too much and spreading what is missing."""
    if arrays.is_numpy(xp):
        P = P.astype(np.float64, copy=False)
    rows = list(pieces(xp, M))
    kept: list[Array] = []
    c = xp.zeros_like(b)
    for i in rows:
        kept.append(a[i] / xp.maximum(a[i], xp.sum(P[i, ...], axis=1)))
        c = c + kept[-1] @ P[i, ...]
    y = b / xp.maximum(b, c)
    v = b - y * c
    cost = spread = total = 0.0
    for i, x in zip(rows, kept, strict=True):
        u = a[i] - x * (P[i, ...] @ y)
        total += float(xp.sum(u))
        cost += float(x @ (_costs(xp, P[i, ...], M[i, ...], forbidden=forbidden) @ y))
        spread += _spread(xp, u, v, M[i, ...], forbidden=forbidden)
    return cost + spread / total if total > 0 else cost


def _spread(xp: Namespace, u: Array, v: Array, M: Array, *, forbidden: bool) -> float:
    """U' M v, without the forbidden pairs of which one has nothing."""
    if not forbidden:
        return float(u @ (M @ v))
    return float(xp.sum(_costs(xp, u[:, None] * v[None, :], M, forbidden=True)))


def cost_of(xp: Namespace, P: Array, M: Array, *, forbidden: bool) -> float:
    """sum(P * M), where P is zero wherever M is infinite."""
    if arrays.is_numpy(xp) and not forbidden:
        return float(np.vdot(P, M))
    return sum(float(xp.sum(_costs(xp, P[i, ...], M[i, ...], forbidden=forbidden))) for i in pieces(xp, M))


def pieces(xp: Namespace, M: Array) -> Iterator[slice]:
    """Slices of rows: all at once where the array library is not NumPy."""
    n = M.shape[0]
    rows = max(1, PIECE // M.shape[1]) if arrays.is_numpy(xp) else n
    return (slice(i, min(i + rows, n)) for i in range(0, n, rows))


def _costs(xp: Namespace, P: Array, M: Array, *, forbidden: bool) -> Array:
    """P * M, and 0 where P is, even if M is infinite."""
    if not forbidden:
        return P * M
    with np.errstate(invalid="ignore"):
        costs = P * M
    out: Array = xp.where(P > 0, costs, xp.zeros_like(costs))
    return out
