"""Compiled kernels of the set-up: one level from the one before, for any weights and any extra nodes.

links      sum of the weights of the edges of each node; nodes without edges have no parent
opened     weights towards open cells, for each direction: back and forth along each axis
cell_of    the place of the cell of each extra node
ends       of each edge that touches an extra node: the node behind, the one ahead, the axis
parent     of each node: its node on the next level, or -1
"""

from numsolve._core.compiled import inner, kernel

from ._cpu_setup import place, position
from ._tuples import EXTRAS, N0, N1, N2, SIZE


@inner
def _root(group, i):
    """The least node known to be connected with i inside its block."""
    for _ in range(group.size):
        if group[i] == i:
            break
        group[i] = group[group[i]]
        i = group[i]
    return i


@inner
def _join(group, i, j):
    i, j = _root(group, i), _root(group, j)
    group[max(i, j)] = min(i, j)


@inner
def _cell(level, cell_of, i):
    """The place of the cell of a node."""
    return i if i < 2 * level[SIZE] else cell_of[i - 2 * level[SIZE]]


@inner
def _within(level, cell_of, i, axis):
    """Whether the edge from i to the next cell along the axis stays in a block."""
    a, b, j = position(level, _cell(level, cell_of, i))
    return (a if axis == 0 else b if axis == 1 else j) & 1 == 0


@inner
def _weight(w0, w1, w2, axis, i):
    if axis == 0:
        return w1[i] * 0 if w0 is None else w0[i]
    return w1[i] if axis == 1 else w2[i]


@inner
def _block(level, coarse, i):
    a, b, j = position(level, i)
    return place(coarse, a >> 1, b >> 1, j >> 1)


@kernel
def aggregate(level, coarse, w0, w1, w2, links, cell_of, ends, group, touched, parent, new_cells):
    """Split the nodes of each block into connected parts; returns the parts beyond the first.

    These are numbered in the order in which they are met; `new_cells` has their blocks.
    """
    first, n = 2 * level[SIZE], 0
    for i in range(group.size):
        group[i] = i
    for e in range(ends.shape[1]):
        if _within(level, cell_of, ends[0, e], ends[2, e]):
            _join(group, ends[0, e], ends[1, e])
    for e in range(level[EXTRAS]):
        touched[_block(level, coarse, cell_of[e])] = 1
    for A in range(coarse[N0]):
        for B in range(coarse[N1]):
            for J in range(coarse[N2]):
                own = place(coarse, A, B, J)
                ends_a, ends_b = min(2 * A + 2, level[N0]), min(2 * B + 2, level[N1])
                ends_j = min(2 * J + 2, level[N2])
                whole = touched[own] == 0
                for a in range(2 * A, ends_a):
                    for b in range(2 * B, ends_b):
                        for j in range(2 * J, ends_j):
                            i = place(level, a, b, j)
                            whole &= links[i] > 0
                            if a & 1 == 0 and a + 1 < ends_a and w0 is not None:
                                whole &= w0[i] > 0
                            if b & 1 == 0 and b + 1 < ends_b:
                                whole &= w1[i] > 0
                            if j & 1 == 0 and j + 1 < ends_j:
                                whole &= w2[i] > 0
                if not whole:
                    for a in range(2 * A, ends_a):
                        for b in range(2 * B, ends_b):
                            for j in range(2 * J, ends_j):
                                i = place(level, a, b, j)
                                if a & 1 == 0 and a + 1 < ends_a and w0 is not None and w0[i] > 0:
                                    _join(group, i, place(level, a + 1, b, j))
                                if b & 1 == 0 and b + 1 < ends_b and w1[i] > 0:
                                    _join(group, i, place(level, a, b + 1, j))
                                if j & 1 == 0 and j + 1 < ends_j and w2[i] > 0:
                                    _join(group, i, place(level, a, b, j + 1))
                taken = False
                for a in range(2 * A, ends_a):
                    for b in range(2 * B, ends_b):
                        for j in range(2 * J, ends_j):
                            i = place(level, a, b, j)
                            if whole:
                                parent[i] = own
                                continue
                            if not links[i] > 0:
                                continue
                            root = _root(group, i)
                            if parent[root] < 0:
                                if taken:
                                    parent[root] = 2 * coarse[SIZE] + n
                                    new_cells[n] = own
                                    n += 1
                                else:
                                    parent[root] = own
                                    taken = True
                            parent[i] = parent[root]
    for e in range(level[EXTRAS]):
        if not links[first + e] > 0:
            continue
        root = _root(group, first + e)
        if parent[root] < 0:
            parent[root] = 2 * coarse[SIZE] + n
            new_cells[n] = _block(level, coarse, cell_of[e])
            n += 1
        parent[first + e] = parent[root]
    return n


@kernel
def inner_weights(level, w0, w1, w2, cell_of, ends, values, inside):
    """The sum of the weights of the edges of each node along each axis that stay in its block."""
    for a in range(level[N0]):
        for b in range(level[N1]):
            for j in range(level[N2]):
                i = place(level, a, b, j)
                if w0 is not None:
                    inside[0, i] = w0[place(level, a - (a & 1), b, j)]
                inside[1, i] = w1[place(level, a, b - (b & 1), j)]
                inside[2, i] = w2[place(level, a, b, j - (j & 1))]
    for e in range(values.size):
        axis = ends[2, e]
        if _within(level, cell_of, ends[0, e], axis):
            inside[axis, ends[0, e]] += values[e]
            inside[axis, ends[1, e]] += values[e]


@inner
def _half(w):
    """The resistance of half of what is inside."""
    return 0.5 / w if w > 0 else w * 0


@inner
def _series(c, behind, ahead):
    """The conductance between two blocks: the edge and half of what is behind and ahead of it (1)."""
    return 1 / (1 / c + _half(behind) + _half(ahead))


@inner
def _add(g, edge, top, v0, v1, v2, new_ends, new_values, n):
    """Add a conductance to its edge of the next level; 1 if that is one of extra nodes, the n-th, else 0."""
    P, Q, axis = edge
    if P < top and Q < top:
        if axis == 0 and v0 is not None:
            v0[P] += g
        elif axis == 1:
            v1[P] += g
        else:
            v2[P] += g
        return 0
    if n < new_values.size:
        new_ends[0, n], new_ends[1, n], new_ends[2, n] = P, Q, axis
        new_values[n] = g
    return 1


@kernel
def next_weights(
    level, coarse, w0, w1, w2, cell_of, ends, values, inside, parent, v0, v1, v2, new_ends, new_values
):
    """The weights of the next level; returns the number of edges of extra nodes, which may not all fit."""
    top, n = 2 * coarse[SIZE], 0
    for a in range(level[N0]):
        for b in range(level[N1]):
            for j in range(level[N2]):
                for axis in range(3):
                    if (a if axis == 0 else b if axis == 1 else j) & 1 == 0:
                        continue
                    i = place(level, a, b, j)
                    c = _weight(w0, w1, w2, axis, i)
                    if not c > 0:
                        continue
                    other = place(level, a + (axis == 0), b + (axis == 1), j + (axis == 2))
                    g = _series(c, inside[axis, i], inside[axis, other])
                    edge = parent[i], parent[other], axis
                    n += _add(g, edge, top, v0, v1, v2, new_ends, new_values, n)
    for e in range(values.size):
        i, other, axis = ends[0, e], ends[1, e], ends[2, e]
        if _within(level, cell_of, i, axis):
            continue
        g = _series(values[e], inside[axis, i], inside[axis, other])
        n += _add(g, (parent[i], parent[other], axis), top, v0, v1, v2, new_ends, new_values, n)
    return n


@kernel
def next_contacts(level, cell_of, opened, inside, parent, new_opened):
    """The weights of the next level towards open cells."""
    for i in range(parent.size):
        if parent[i] < 0:
            continue
        total = opened[0, i] * 0
        for k in range(6):
            total += opened[k, i]
        if not total > 0:
            continue
        a, b, j = position(level, _cell(level, cell_of, i))
        for k in range(6):
            if opened[k, i] > 0:
                x = a if k < 2 else b if k < 4 else j
                away = inside[k // 2, i] if x & 1 == k & 1 else inside[k // 2, i] * 0
                new_opened[k, parent[i]] += 1 / (1 / opened[k, i] + _half(away))


@kernel
def diagonals(level, w0, w1, w2, ends, values, opened, links, d):
    """Sums of edge weights, and inverse diagonals; returns the nodes that have edges."""
    for a in range(level[N0]):
        for b in range(level[N1]):
            for j in range(level[N2]):
                i = place(level, a, b, j)
                total = w1[i] + w1[place(level, a, b - 1, j)]
                total += w2[i] + w2[place(level, a, b, j - 1)]
                if w0 is not None:
                    total += w0[i] + w0[place(level, a - 1, b, j)]
                links[i] = total
    for e in range(values.size):
        links[ends[0, e]] += values[e]
        links[ends[1, e]] += values[e]
    linked = 0
    for i in range(links.size):
        linked += links[i] > 0
        total = links[i]
        for k in range(6):
            total += opened[k, i]
        d[i] = 1 / total if total > 0 else total * 0
    return linked


@kernel
def all_edges(level, w0, w1, w2, ends, values, pairs, weights):
    """List every edge once; returns their number."""
    n = 0
    for a in range(level[N0]):
        for b in range(level[N1]):
            for j in range(level[N2]):
                i = place(level, a, b, j)
                for axis in range(3):
                    w = _weight(w0, w1, w2, axis, i)
                    if w > 0:
                        pairs[0, n] = i
                        pairs[1, n] = place(level, a + (axis == 0), b + (axis == 1), j + (axis == 2))
                        weights[n] = w
                        n += 1
    for e in range(values.size):
        pairs[0, n], pairs[1, n], weights[n] = ends[0, e], ends[1, e], values[e]
        n += 1
    return n
