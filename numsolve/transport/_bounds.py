"""How far exact transport can be from an entropic answer: weak duality below, a feasible plan above.

The lower bound is the dual value of hard c-transforms (C. Villani, "Topics in optimal transportation", 2003,
ch. 2); the upper one the cost of the plan rounded to the marginals (J. Altschuler, J. Weed, P. Rigollet,
"Near-linear time approximation algorithms for optimal transport via Sinkhorn iteration", NeurIPS 2017).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from numsolve._core import arrays


def bounds(M: Any, a: Any, b: Any, P: Any, f: Any) -> tuple[float, float]:
    """Bound the least cost of moving a to b, for a plan P that nearly does and any potential f."""
    xp = arrays.array_namespace(M=M)
    k = arrays.kernels_for(xp, __package__)
    if arrays.is_numpy(xp):  # the kernels want rows in one piece
        M, P = (np.ascontiguousarray(x, dtype=np.float64) for x in (M, P))
        a, b, f = (x.astype(np.float64) for x in (a, b, f))
    return lower_bound(k, M, a, b, f), upper_bound(k, xp, M, a, b, P)


def lower_bound(k: Any, M: Any, a: Any, b: Any, f: Any) -> float:
    """a.f + b.g for the best g to f, and the best f to that g: feasible, so no plan costs less."""
    g = k.least_in_columns(M, f)
    f = k.least_in_rows(M, g)
    return float(a @ f) + float(b @ g)


def upper_bound(k: Any, xp: Any, M: Any, a: Any, b: Any, P: Any) -> float:
    """Cost of P after scaling down the rows and columns that have too much and spreading what is missing."""
    r = k.row_products(P, xp.ones_like(b))
    x = a / xp.maximum(a, r)
    c = k.column_products(P, x)
    y = b / xp.maximum(b, c)
    missing_a = a - x * k.row_products(P, y)
    missing_b = b - y * c
    total = float(xp.sum(missing_a))
    cost = float(k.scaled_cost(P, M, x, y))
    if total > 0:
        cost += float(k.spread_cost(M, missing_a, missing_b)) / total
    return cost


def cost_of(xp: Any, P: Any, M: Any) -> float:
    """sum(P * M), where P is zero wherever M is infinite."""
    if arrays.is_numpy(xp) and np.isfinite(M).all():
        return float(np.vdot(P, M))
    return float(xp.sum(P * xp.where(P > 0, M, xp.zeros_like(M))))
