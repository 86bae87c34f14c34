"""Starts of exact transport: of sorted points of a line the plan itself, else one by groups of points.

On a line. After sorting, M_ij + M_kl <= M_il + M_kj for i < k, j < l (Monge's condition) for each convex
cost of the distance. Then filling rows and columns in their order is optimal (A. J. Hoffman, "On simple
linear programming problems", 1963), and prices are sums of costs along the path of the plan. So it is for
other matrices that meet the condition in some order: it is read from singular vectors, which are monotone.

By groups. Rows whose costs are nearly the same but for a constant are near each other, wherever the costs
come from. Each joins the nearest of a sample, and so do columns: this problem of a sixteenth of the pairs is
solved in the same way. Its plan, spread over the points of the groups, and its prices, extended by
c-transforms, are where the simplex method starts (the thought of multiscale solvers: B. Schmitzer, "A sparse
multiscale algorithm for dense optimal transport", J. Math. Imaging Vision 56, 2016).

Neither is trusted: the prices of the answer are checked on all pairs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numsolve._core import arrays

from ._bounds import PIECE, least_in_columns, least_in_rows
from ._deadline import TimeUp
from ._pairs import Pairs, at, moved, united, vertex

if TYPE_CHECKING:
    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array

    from ._pairs import Prices

#: Pairs up to which all are looked at.
FEW = 10_000
#: Points of a group, about; rows of which each is a group.
MEMBERS, SINGLE = 4, 50
#: Columns whose costs tell how near rows are.
LANDMARKS = 24
#: The square distance to the nearest of the sample, over the usual one, from which rows are not near.
NEAR = 0.3
#: Pairs of each row, and of each column, that join.
MOST = 8
#: Rows and columns on which the order of a line is tried, and its rounding errors over the costs.
TRIED, ROUNDED = 48, 8 * float(np.finfo(np.float64).eps)
#: Rounds of the simplex method and the check of its prices, for groups.
ROUNDS = 50


class Start(NamedTuple):
    """Pairs, a plan on a forest of these, and prices: where the simplex method starts."""

    pairs: Pairs
    plan: Array | None
    prices: Prices


class Groups(NamedTuple):
    """Rows in groups: one of each, the group of each row, the rows group after group, and where these end."""

    heads: Array
    own: Array
    order: Array
    ends: Array


def on_line(M: Array, a: Array, b: Array) -> Start | None:
    """The plan in the order of a line, if there seems to be one."""
    with np.errstate(over="ignore", invalid="ignore"):
        order = _order(M)
    if order is None:
        return None
    rows, columns = order
    i, j, t = arrays.kernels_for(np, __package__, "pairs").staircase(a[rows], b[columns])
    # Along the path each cost is f + g; extended precision, so that rounding errors do not add up.
    cost = M[rows[i], columns[j]].astype(np.longdouble)
    steps, down = np.diff(cost, prepend=0), np.diff(i, prepend=0) > 0
    f, g = np.cumsum(np.where(down, steps, 0)), np.cumsum(np.where(down, 0, steps))
    prices = np.empty(a.size), np.empty(b.size)
    prices[0][rows[i]], prices[1][columns[j]] = f, g  # the same at all pairs of a row
    keys = rows[i] * b.size + columns[j]
    sorting = np.argsort(keys)
    return Start(at(keys, b.size, M), t[sorting], prices)


def _order(M: Array) -> tuple[Array, Array] | None:
    """Orders of rows and columns in which a sample, at least, meets Monge's condition."""
    rows, columns = (np.unique(np.linspace(0, k - 1, min(k, TRIED)).astype(int)) for k in M.shape)
    sample = M[np.ix_(rows, columns)]
    size = float(np.abs(sample).max())
    rest = sample - sample.mean(axis=0)
    rest -= rest.mean(axis=1, keepdims=True)
    if not np.isfinite(rest).all():
        return None
    left, _, right = np.linalg.svd(rest)
    u, v = left[:, 0] - left[:, 0].mean(), right[0] - right[0].mean()
    places = -M[:, columns] @ v, u @ M[rows]
    orders = np.argsort(places[0], kind="stable"), np.argsort(places[1], kind="stable")
    sorted_sample = sample[np.ix_(np.argsort(places[0][rows]), np.argsort(places[1][columns]))]
    bends = np.diff(np.diff(sorted_sample, axis=0), axis=1)
    return orders if bends.max(initial=0.0) <= ROUNDED * size else None


def groups(M: Array, near: float = NEAR) -> tuple[Groups, Groups] | None:
    """Groups of rows and of columns; None where these are few, or not near each other."""
    if max(M.shape) <= SINGLE:
        return None
    rows = _groups(M, near)
    columns = None if rows is None else _groups(M.T, near)
    return None if rows is None or columns is None else (rows, columns)


def _groups(M: Array, near: float) -> Groups | None:
    n, rng = M.shape[0], np.random.default_rng(0)
    if n <= SINGLE:
        heads = own = np.arange(n)
    else:
        marks = M[:, rng.permutation(M.shape[1])[:LANDMARKS]]
        marks = marks - marks.mean(axis=1, keepdims=True)
        marks -= marks.mean(axis=0)
        heads = np.sort(rng.permutation(n)[: n // MEMBERS])
        some = marks[heads]
        squares, own, gained = np.sum(some * some, axis=1), np.empty(n, np.int64), 0.0
        step = max(1, PIECE // heads.size)
        for k in range(0, n, step):
            far = squares - 2 * (marks[k : k + step] @ some.T)
            own[k : k + step] = far.argmin(axis=1)
            gained += float(far.min(axis=1).sum())
        total = float(np.sum(marks * marks))
        if not gained + total <= near * total:
            return None
        used, own = np.unique(own, return_inverse=True)
        heads = heads[used]
    return Groups(heads, own, np.argsort(own, kind="stable"), np.cumsum(np.bincount(own)))


def grouped(M: Array, a: Array, b: Array, limits: Limits, parts: tuple[Groups, Groups] | None) -> Start:
    """A start by the problem of the groups, if there are any."""
    k, m = arrays.kernels_for(np, __package__, "pairs"), b.size
    if parts is None or M.size <= FEW:
        i, j, t = k.staircase(a, b)
        f = least_in_rows(np, M, np.zeros(m))
        prices = f, least_in_columns(np, M, f)
        pairs = Pairs(*np.divmod(np.arange(M.size), m), M.ravel())
        plan = np.zeros(M.size)
        plan[i * m + j] = t
        return Start(pairs, plan, prices)
    rows, columns = parts
    A, B = np.bincount(rows.own, a), np.bincount(columns.own, b)
    C = np.ascontiguousarray(M[np.ix_(rows.heads, columns.heads)])
    parts = groups(C, math.inf) if C.size > FEW else None
    coarse = _settled(C, A, B, grouped(C, A, B, limits, parts), limits)
    f = least_in_rows(np, M[:, columns.heads], coarse.prices[1])
    g = least_in_columns(np, M[rows.heads], coarse.prices[0])
    keys, least = k.least_pairs(M, f, g, np.inf, MOST)
    assert coarse.plan is not None
    (p, q, _), used = coarse.pairs, coarse.plan > 0
    i, j, t = k.spread(
        p[used], q[used], coarse.plan[used], rows.order, rows.ends, columns.order, columns.ends, a, b
    )
    pairs = at(np.concatenate([keys, i * m + j]), m, M)
    plan = np.zeros(pairs.i.size)
    plan[np.searchsorted(pairs.i * m + pairs.j, i * m + j)] = t
    return Start(pairs, plan, (f + least, g))


def _settled(M: Array, a: Array, b: Array, start: Start, limits: Limits) -> Start:
    """The best plan of a coarse problem, or a good one."""
    k, (pairs, plan, prices) = arrays.kernels_for(np, __package__, "pairs"), start
    limit = -ROUNDED * float(np.abs(M).max())
    for _ in range(ROUNDS):
        found = vertex(pairs, a, b, prices, limits, plan)
        if found is None:
            break
        plan, prices = found
        keys, _ = k.least_pairs(M, *prices, limit, MOST)
        more = united(pairs, at(keys, b.size, M), b.size)
        if more.i.size == pairs.i.size:
            break
        pairs, plan = more, moved(plan, pairs, more, b.size)
        if limits.expired:
            raise TimeUp
    return Start(pairs, plan, prices)
