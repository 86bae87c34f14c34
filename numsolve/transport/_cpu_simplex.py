"""The network simplex method on the given pairs of a transport problem, as compiled kernels.

Points are vertices: the n sources, the m targets, and a root. A basis is a tree. Each vertex v but the root
has, in the arrays of a tree,

    parent, child, after, before   its parent, its first child, its next and its previous sibling;
    arc, up, flow                  the pair of the edge to its parent (-1 if that is no pair: the parent is
                                   the root then), whether the edge leads from v to the parent, and its mass;
    depth, level, price            edges to the root; and its price in two parts: edges that are no pairs
                                   cost infinitely more than all pairs, and the price is level infinities and
                                   ``price``. Along an edge from u to v of cost c, price_v = price_u + c.

So infeasible pairs show as mass on edges that are no pairs, and no large number eats digits. Bases are
strongly feasible (each edge without mass leads to the root), which excludes cycles of pivots
(W. H. Cunningham, "A network simplex method", Math. Programming 11, 1976).
"""

import numpy as np

from numsolve._core.compiled import inner, kernel


@kernel
def planted(i, j, cost, plan, n, m):
    """The tree of the pairs that a plan uses; its parts hang on the root by edges that are no pairs.

    A part hangs on its first source, else a target. Without pairs it is a star; `masses` finds the masses.
    """
    N = n + m
    parent, child, after, before = (
        np.full(N + 1, N),
        np.full(N + 1, -1),
        np.full(N + 1, -1),
        np.full(N + 1, -1),
    )
    arc, up, flow = np.full(N + 1, -1), np.zeros(N + 1, np.bool_), np.zeros(N + 1)
    depth, level, price = np.full(N + 1, -1), np.zeros(N + 1, np.int64), np.zeros(N + 1)
    parent[N], depth[N] = -1, 0
    up[:n] = True
    # The edges of each vertex, one after another.
    first = np.zeros(N + 2, np.int64)
    for k in range(plan.size):
        if plan[k] > 0.0:
            first[i[k] + 1] += 1
            first[n + j[k] + 1] += 1
    first = np.cumsum(first)
    place, edges = first.copy(), np.empty(first[N + 1], np.int64)
    for k in range(plan.size):
        if plan[k] > 0.0:
            for v in (i[k], n + j[k]):
                edges[place[v]] = k
                place[v] += 1
    queue = np.empty(N, np.int64)
    for top in range(N):
        if depth[top] >= 0:
            continue
        queue[0], head, tail = top, 0, 1
        depth[top], level[top] = 1, -1 if top < n else 1
        after[top] = child[N]
        if child[N] >= 0:
            before[child[N]] = top
        child[N] = top
        for _ in range(N):
            if head == tail:
                break
            x = queue[head]
            head += 1
            for k in edges[first[x] : first[x + 1]]:
                y = n + j[k] if x < n else i[k]
                if depth[y] >= 0:
                    continue
                parent[y], arc[y], up[y] = x, k, y < n
                depth[y], level[y] = depth[x] + 1, level[x]
                price[y] = price[x] - cost[k] if y < n else price[x] + cost[k]
                after[y] = child[x]
                if child[x] >= 0:
                    before[child[x]] = y
                child[x] = y
                queue[tail] = y
                tail += 1
    return parent, child, after, before, arc, up, flow, depth, level, price


@kernel
def pivots(i, j, cost, tol, n, tree, start, most, block):
    """Do at most so many pivots; return where to go on in the list of pairs, or -1 at an optimal basis.

    The entering pair is the most negative of a block of so many pairs.
    """
    level, price = tree[8], tree[9]
    pairs = cost.size
    for _ in range(most):
        entering, least_level, least = -1, 0, -tol
        looked, k = 0, start
        for _ in range(pairs // block + 1):
            for _ in range(min(block, pairs - looked)):
                high = level[i[k]] - level[n + j[k]]
                if high <= least_level:
                    rest = cost[k] + price[i[k]] - price[n + j[k]]
                    if high < least_level or rest < least:
                        entering, least_level, least = k, high, rest
                k = k + 1 if k + 1 < pairs else 0
                looked += 1
            if entering >= 0 or looked == pairs:
                break
        if entering < 0:
            return -1
        start = k
        _pivot(i[entering], n + j[entering], entering, cost, tree)
    return start


@inner
def _pivot(u, v, entering, cost, tree):
    """Bring an edge from u to v into the basis."""
    parent, child, after, before, arc, up, flow, depth, level, price = tree
    # The cycle: from the apex down to u, along the edge to v, and up again. The last of the edges that block
    # leaves the basis.
    x, y, delta, leaving, of_u = u, v, np.inf, -1, False
    for _ in range(depth[u] + depth[v]):
        if x == y:
            break
        if depth[x] >= depth[y]:
            if up[x] and flow[x] < delta:
                delta, leaving, of_u = flow[x], x, True
            x = parent[x]
        else:
            y = parent[y]
    apex, y = x, v
    for _ in range(depth[v]):
        if y == apex:
            break
        if not up[y] and flow[y] <= delta:
            delta, leaving, of_u = flow[y], y, False
        y = parent[y]
    if delta > 0.0:
        x, y = u, v
        for _ in range(depth[u]):
            if x == apex:
                break
            flow[x] += -delta if up[x] else delta
            x = parent[x]
        for _ in range(depth[v]):
            if y == apex:
                break
            flow[y] += delta if up[y] else -delta
            y = parent[y]
    # The part below the edge that leaves hangs on the entering one; the edges between turn around.
    x, above = (u, v) if of_u else (v, u)
    top, edge, upward, mass = x, entering, of_u, delta
    for _ in range(depth[x]):
        old = parent[x], arc[x], up[x], flow[x]
        if before[x] >= 0:
            after[before[x]] = after[x]
        else:
            child[parent[x]] = after[x]
        if after[x] >= 0:
            before[after[x]] = before[x]
        parent[x], arc[x], up[x], flow[x] = above, edge, upward, mass
        before[x], after[x] = -1, child[above]
        if child[above] >= 0:
            before[child[above]] = x
        child[above] = x
        if x == leaving:
            break
        above, x = x, old[0]
        edge, upward, mass = old[1], not old[2], old[3]
    # Below, prices and depths are new.
    x = top
    for _ in range(2 * price.size):
        p, c = parent[x], cost[arc[x]]
        depth[x] = depth[p] + 1
        level[x] = level[p]
        price[x] = price[p] - c if up[x] else price[p] + c
        if child[x] >= 0:
            x = child[x]
            continue
        for _ in range(depth[x]):
            if x == top or after[x] >= 0:
                break
            x = parent[x]
        if x == top:
            break
        x = after[x]


@kernel
def masses(a, b, tree):
    """Compute the masses of the edges anew, each as a sum over what hangs on it; returns that of no pairs.

    So rounding errors do not add up from pivot to pivot.
    """
    parent, child, after = tree[0], tree[1], tree[2]
    arc, up, flow, depth = tree[4], tree[5], tree[6], tree[7]
    n, N = a.size, a.size + b.size
    order, below = np.empty(N + 1, np.int64), np.zeros(N + 1)
    x = N  # from the root down: each vertex comes after its parent
    for k in range(N + 1):
        order[k] = x
        if child[x] >= 0:
            x = child[x]
            continue
        for _ in range(depth[x]):
            if after[x] >= 0:
                break
            x = parent[x]
        x = after[x]
    for v in range(N):
        below[v] = a[v] if v < n else -b[v - n]
    missed = 0.0
    for k in range(N, 0, -1):
        v = order[k]
        flow[v] = max(below[v] if up[v] else -below[v], 0.0)
        below[parent[v]] += below[v]
        if arc[v] < 0:
            missed += flow[v]
    return missed
