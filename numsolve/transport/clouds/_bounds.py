"""`transport._bounds` for clouds: how far exact transport can be from an entropic answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _generic

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from ._pairs import Pairs, Plan

#: Pairs beyond which what is missing is charged with the largest cost there is.
MANY = 10_000_000


def bounds(plan: Plan, r: Array) -> tuple[float, float]:
    """Bound the least cost of moving a to b, for a plan that nearly does, with its row sums."""
    return lower_bound(plan.pairs, plan.f), upper_bound(plan, r)


def lower_bound(pairs: Pairs, f: Array) -> float:
    """a.f + b.g for the best g to f, and the best f to that g: feasible, so no plan costs less."""
    g = pairs.T.least(f)
    f = pairs.least(g)
    return float(pairs.A.weights @ f) + float(pairs.B.weights @ g)


def upper_bound(plan: Plan, r: Array) -> float:
    """Cost of the plan after scaling down rows and columns that have too much and spreading what is missing.

    Scaling is a change of the potentials. What is missing is spread by a matrix of rank one.
    """
    pairs, reg, xp = plan.pairs, plan.reg, plan.pairs.xp
    a, b = pairs.A.weights, pairs.B.weights
    x = a / xp.maximum(a, r)
    f = plan.f + reg * xp.log(x)
    c = pairs.plan(f, plan.g, reg, plan.lost).T.row_sums()
    y = b / xp.maximum(b, c)
    rounded = pairs.plan(f, plan.g + reg * xp.log(y), reg, plan.lost)
    kept, costs = rounded.row_sums_and_costs()
    missing_a = xp.maximum(a - kept, xp.zeros_like(a))
    missing_b = xp.maximum(b - y * c, xp.zeros_like(b))
    total = max(float(xp.sum(missing_a)), float(xp.sum(missing_b)))
    cost = float(xp.sum(costs))
    return cost + (_spread_cost(pairs, missing_a, missing_b) / total if total > 0 else 0.0)


def _spread_cost(pairs: Pairs, u: Array, v: Array) -> float:
    """sum_ij u_i c_ij v_j: from moments for squared distances, else tile by tile, or the most it can be."""
    xp, metric = pairs.xp, pairs.metric
    X, Y = pairs.A.points, pairs.B.points
    if metric.kind == "inner":
        return float(-2 * metric.factor * float((u @ X) @ (v @ Y)))
    if metric.kind == "squared":
        squares = float(u @ xp.sum(X * X, axis=1)) * float(xp.sum(v))
        squares += float(v @ xp.sum(Y * Y, axis=1)) * float(xp.sum(u))
        return float(metric.factor * (squares - 2 * float((u @ X) @ (v @ Y))))
    if metric.function is None and X.shape[0] * Y.shape[0] > MANY:
        low = xp.minimum(xp.min(X, axis=0), xp.min(Y, axis=0))
        high = xp.maximum(xp.max(X, axis=0), xp.max(Y, axis=0))
        largest = _generic.paired_costs(metric, low[None, :], high[None, :])[0]
        return float(largest) * float(xp.sum(u)) * float(xp.sum(v))
    rows, columns = xp.nonzero(u > 0)[0], xp.nonzero(v > 0)[0]
    X, Y = xp.take(X, rows, axis=0), xp.take(Y, columns, axis=0)
    u, v = xp.take(u, rows), xp.take(v, columns)
    if X.shape[0] == 0 or Y.shape[0] == 0:
        return 0.0
    return sum(float(u[i] @ (M @ v)) for i, M in _generic.tiles(metric, X, Y))
