"""Exact transport on a given set of pairs: a plan of least cost there, and prices that show that it is.

The plan is a vertex: an assignment by SciPy's shortest augmenting paths, any other by the network simplex
method: a simplex of SciPy's meets the weights to 1e-10 only, so that weights below that were lost. Its costs
are those that the present prices leave, so that rounding errors are relative to the little that is wrong.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numsolve._core import arrays

from ._deadline import TimeUp

if TYPE_CHECKING:
    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array

    Prices = tuple[Array, Array]

#: Bits of the largest cost that is left; of the 53 that numbers have, the others are for sums.
EXACT = 50
#: By how much the two sides of a part may differ, of a mass of one.
BALANCE = 1e-12
#: Pivots between two looks at the clock and the keyboard, after which all masses are computed anew.
LOOK = 2000
#: Pairs of which the best enters, over the square root of all: from a plan nearby, and from none.
NEARBY, FAR = 0.3, 1.0
#: The most pivots for each pair and each point; a few are usual.
PIVOTS = 20


class Pairs(NamedTuple):
    """Pairs (i, j), sorted by rows and then columns, and what they cost."""

    i: Array
    j: Array
    cost: Array

    def chosen(self, which: Array) -> Pairs:
        return Pairs(self.i[which], self.j[which], self.cost[which])

    def reduced(self, prices: Prices) -> Array:
        """The costs that the prices leave."""
        out: Array = self.cost - prices[0][self.i] - prices[1][self.j]
        return out


def united(x: Pairs, y: Pairs, columns: int) -> Pairs:
    """Both sets of pairs, each pair once."""
    key = np.concatenate([x.i * columns + x.j, y.i * columns + y.j])
    key, first = np.unique(key, return_index=True)
    return Pairs(*np.divmod(key, columns), np.concatenate([x.cost, y.cost])[first])


def at(keys: Array, columns: int, M: Array) -> Pairs:
    """The pairs of such numbers i m + j, each once, of a matrix of costs."""
    i, j = np.divmod(np.unique(keys), columns)
    return Pairs(i, j, M[i, j])


def moved(plan: Array, x: Pairs, y: Pairs, columns: int) -> Array:
    """A plan on the pairs x as one on the pairs y, which are more."""
    out = np.zeros(y.i.size)
    out[np.searchsorted(y.i * columns + y.j, x.i * columns + x.j)] = plan
    return out


def vertex(
    pairs: Pairs,
    a: Array,
    b: Array,
    prices: Prices,
    limits: Limits,
    plan: Array | None = None,
    most: float = math.inf,
) -> tuple[Array, Prices] | None:
    """Return a plan of least cost on the pairs, with prices that it makes tight; None if there is no plan.

    A plan to start from has to use a forest of the pairs. What the prices leave of a cost counts at `most` so
    much. Raises `TimeUp` where the time is over.
    """
    uniform = a.size == b.size and np.ptp(a) == 0.0 == np.ptp(b)
    if uniform and plan is None:
        found = _assigned(pairs, a, prices)
    else:
        found = _transported(pairs, a, b, prices, limits, plan, most)
    if found is None or plan is not None:
        return found
    plan, own = found
    return plan, _joined(pairs, plan, own, prices)


def _assigned(pairs: Pairs, a: Array, prices: Prices) -> tuple[Array, Prices] | None:
    """An assignment, and prices that are right for its pairs."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    n, rest = a.size, pairs.reduced(prices)
    # What is subtracted from a whole column changes nothing; a stored zero would be taken for no pair.
    weights = rest - min(0.0, rest.min()) + max(np.ptp(rest), np.finfo(np.float64).tiny)
    graph = csr_array((weights, (pairs.i, pairs.j)), shape=(n, n))
    try:
        rows, columns = min_weight_full_bipartite_matching(graph)
    except ValueError:  # no full matching exists
        return None
    where = np.searchsorted(pairs.i * n + pairs.j, rows * n + columns)
    plan = np.zeros(pairs.i.size)
    plan[where] = a
    g = prices[1].copy()
    g[columns] = pairs.cost[where] - prices[0][rows]
    return plan, (prices[0], g)


def _transported(
    pairs: Pairs, a: Array, b: Array, prices: Prices, limits: Limits, plan: Array | None, most: float
) -> tuple[Array, Prices] | None:
    """Any other plan, by the network simplex method, and its prices."""
    k = arrays.kernels_for(np, __package__, "simplex")
    n, m = a.size, b.size
    rest = np.minimum(pairs.reduced(prices), most)
    # Rounded to a grid so fine as the tolerance, so that sums of costs are exact and no pivots go around.
    grid = math.ldexp(1.0, math.frexp(max(float(np.abs(rest).max()), 1e-290))[1] - EXACT)
    rest, tol = np.rint(rest / grid) * grid, 2 * grid
    given, plan = plan is not None, np.zeros(rest.size) if plan is None else plan
    tree, start = k.planted(pairs.i, pairs.j, rest, plan, n, m), 0
    missed = k.masses(a, b, tree)
    block = max(16, int((NEARBY if given else FAR) * rest.size**0.5))
    for _ in range(1 + PIVOTS * (rest.size + n + m) // LOOK):  # few could go around by rounding errors
        if limits.expired:
            raise TimeUp
        start = k.pivots(pairs.i, pairs.j, rest, tol, n, tree, start, LOOK, block)
        missed = k.masses(a, b, tree)
        if start < 0:
            break
    level = tree[8][: n + m]
    if missed > BALANCE or (given and np.ptp(level) > 0):
        return None
    arc, flow, price = tree[4], tree[6], tree[9]
    plan, used = np.zeros(rest.size), arc >= 0
    plan[arc[used]] = np.maximum(flow[used], 0.0)
    return plan, (prices[0] - price[:n], prices[1] + price[n : n + m])


def _joined(pairs: Pairs, plan: Array, own: Prices, near: Prices) -> Prices:
    """Prices that are tight on the plan, feasible on the pairs, and not far from those that are near.

    The plan joins points into parts, within which it fixes all differences of prices. A part c may still
    exchange a constant t_c; that no pair is violated means t_c - t_d <= (cost left of each pair from c to d).
    From the best fit these bounds are worked off as in the algorithm of Bellman and Ford.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    (f, g), n, m = own, own[0].size, own[1].size
    used = plan > 0
    ends = pairs.i[used], n + pairs.j[used]
    graph = coo_array((np.ones(ends[0].size), ends), shape=(n + m, n + m))
    count, part = connected_components(graph, directed=False)
    if count == 1:
        return own
    shift = np.concatenate([near[0] - f, g - near[1]])
    t = np.bincount(part, shift, count) / np.bincount(part, minlength=count)
    start, end, room = part[pairs.i], part[n + pairs.j], pairs.reduced(own)
    between = start != end
    start, end, room = start[between], end[between], room[between]
    order = np.argsort(start, kind="stable")
    start, end, room = start[order], end[order], room[order]
    first = np.flatnonzero(np.diff(start, prepend=-1))
    size = max(float(np.abs(x).max()) for x in (*own, *near))
    for _ in range(count if start.size else 0):
        most = np.minimum.reduceat(t[end] + room, first)
        late = most < t[start[first]] - 4 * np.finfo(np.float64).eps * size
        if not late.any():
            break
        t[start[first[late]]] = most[late]
    return f + t[part[:n]], g - t[part[n:]]
