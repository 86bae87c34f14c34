"""Compiled kernels of the set-up: one level from the one before, for any weights and any extra nodes.

spans      the blocks, or the cells, to work on: all, or those at which something has changed (`_cpu_setup`)
links      sum of the weights of the edges of each node; nodes without edges have no parent
opened     weights towards open cells, for each direction: back and forth along each axis
cell_of    the place of the cell of each extra node
ends       of each edge that touches an extra node: the node behind, the one ahead, the axis
parent     of each node: its node on the next level, or -1
inside     for each axis, weights of the edges of extra nodes that stay in a block, at both their ends
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
def _weight(w0, w1, w2, axis, i):
    if axis == 0:
        return w1[i] * 0 if w0 is None else w0[i]
    return w1[i] if axis == 1 else w2[i]


@inner
def _block(level, coarse, i):
    a, b, j = position(level, i)
    return place(coarse, a >> 1, b >> 1, j >> 1)


@kernel
def aggregate(
    level, coarse, spans, w0, w1, w2, links, cell_of, ends, values, inside, group, touched, parent, new_cells
):
    """Split the nodes of each block into connected parts, and sum up `inside`; returns the further parts.

    Parts beyond the first are numbered in the order in which they are met; `new_cells` has their blocks.
    """
    first, n = 2 * level[SIZE], 0
    for e in range(values.size):
        i, other, axis = ends[0, e], ends[1, e], ends[2, e]
        a, b, j = position(level, _cell(level, cell_of, i))
        if (a if axis == 0 else b if axis == 1 else j) & 1 == 0:
            _join(group, i, other)
            inside[axis, i] += values[e]
            inside[axis, other] += values[e]
    for e in range(level[EXTRAS]):
        touched[_block(level, coarse, cell_of[e])] = 1
        parent[first + e] = -1
    for m in range(spans.shape[0]):
        A, B = spans[m, 0], spans[m, 1]
        ends_a, ends_b = min(2 * A + 2, level[N0]), min(2 * B + 2, level[N1])
        for J in range(spans[m, 2], spans[m, 3]):
            own, ends_j = place(coarse, A, B, J), min(2 * J + 2, level[N2])
            whole = touched[own] == 0
            for joining in range(2):
                if joining and whole:
                    continue
                for a in range(2 * A, ends_a):
                    for b in range(2 * B, ends_b):
                        for j in range(2 * J, ends_j):
                            i = place(level, a, b, j)
                            whole &= links[i] > 0
                            for axis in range(3):
                                x, y, z = a + (axis == 0), b + (axis == 1), j + (axis == 2)
                                odd = (x if axis == 0 else y if axis == 1 else z) & 1
                                if not odd or x >= ends_a or y >= ends_b or z >= ends_j:
                                    continue
                                linked = _weight(w0, w1, w2, axis, i) > 0
                                whole &= linked
                                if joining and linked:
                                    _join(group, i, place(level, x, y, z))
                            parent[i] = -1
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


@inner
def _half(w):
    """The resistance of half of what is inside."""
    return 0.5 / w if w > 0 else w * 0


@inner
def _series(c, behind, ahead):
    """The conductance between two blocks: the edge and half of what is behind and ahead of it (1)."""
    return 1 / (1 / c + _half(behind) + _half(ahead))


@inner
def _inner(level, w0, w1, w2, inside, axis, i, a, b, j):
    """The weights of the edges along an axis that stay in the block, of the node i of the cell (a, b, j)."""
    total = inside[axis, i]
    if i < 2 * level[SIZE]:
        a, b, j = a - (axis == 0) * (a & 1), b - (axis == 1) * (b & 1), j - (axis == 2) * (j & 1)
        total += _weight(w0, w1, w2, axis, place(level, a, b, j))
    return total


@inner
def _add(v0, v1, v2, axis, i, g):
    if axis == 0 and v0 is not None:
        v0[i] += g
    elif axis == 1:
        v1[i] += g
    else:
        v2[i] += g


@kernel
def next_weights(
    level, coarse, spans, w0, w1, w2, cell_of, ends, values, inside, parent, v0, v1, v2, new_ends, new_values
):
    """The weights of the next level; returns the number of edges of extra nodes, which may not all fit."""
    top, n = 2 * coarse[SIZE], 0
    for m in range(spans.shape[0]):
        A, B = spans[m, 0], spans[m, 1]
        for J in range(spans[m, 2], spans[m, 3]):
            own = place(coarse, A, B, J)
            v1[own] = v2[own] = 0
            if v0 is not None:
                v0[own] = 0
        for axis in range(3):
            da, db, dj = axis == 0, axis == 1, axis == 2
            for a in range(2 * A + da, min(2 * A + 2, level[N0] - da)):
                for b in range(2 * B + db, min(2 * B + 2, level[N1] - db)):
                    for j in range(2 * spans[m, 2] + dj, min(2 * spans[m, 3], level[N2] - dj), 1 + dj):
                        i = place(level, a, b, j)
                        c = _weight(w0, w1, w2, axis, i)
                        if not c > 0:
                            continue
                        other = place(level, a + da, b + db, j + dj)
                        behind = _weight(w0, w1, w2, axis, place(level, a - da, b - db, j - dj))
                        ahead = _weight(w0, w1, w2, axis, other) + inside[axis, other]
                        g, P, Q = _series(c, behind + inside[axis, i], ahead), parent[i], parent[other]
                        if P < top and Q < top:
                            _add(v0, v1, v2, axis, P, g)
                            continue
                        if n < new_values.size:
                            new_ends[0, n], new_ends[1, n], new_ends[2, n], new_values[n] = P, Q, axis, g
                        n += 1
    for e in range(values.size):
        i, other, axis = ends[0, e], ends[1, e], ends[2, e]
        a, b, j = position(level, _cell(level, cell_of, i))
        if (a if axis == 0 else b if axis == 1 else j) & 1 == 0:
            continue
        behind = _inner(level, w0, w1, w2, inside, axis, i, a, b, j)
        a, b, j = a + (axis == 0), b + (axis == 1), j + (axis == 2)
        ahead = _inner(level, w0, w1, w2, inside, axis, other, a, b, j)
        g, P, Q = _series(values[e], behind, ahead), parent[i], parent[other]
        if P < top and Q < top:
            _add(v0, v1, v2, axis, P, g)
            continue
        if n < new_values.size:
            new_ends[0, n], new_ends[1, n], new_ends[2, n], new_values[n] = P, Q, axis, g
        n += 1
    return n


@kernel
def next_contacts(level, spans, w0, w1, w2, cell_of, opened, inside, parent, new_opened):
    """The weights of the next level towards open cells."""
    extras = level[EXTRAS]
    for m in range(spans.shape[0] + extras):
        # The cells of a part of a row of blocks, or one extra node.
        a0 = a1 = b0 = b1 = j0 = j1 = e = 0
        if m < spans.shape[0]:
            a0, b0, j0, j1 = 2 * spans[m, 0], 2 * spans[m, 1], 2 * spans[m, 2], 2 * spans[m, 3]
            a1, b1, j1 = min(a0 + 2, level[N0]), min(b0 + 2, level[N1]), min(j1, level[N2])
        else:
            e = m - spans.shape[0]
            a0, b0, j0 = position(level, cell_of[e])
            a1, b1, j1 = a0 + 1, b0 + 1, j0 + 1
        for a in range(a0, a1):
            for b in range(b0, b1):
                for j in range(j0, j1):
                    i = place(level, a, b, j) if m < spans.shape[0] else 2 * level[SIZE] + e
                    total = opened[0, i] + opened[1, i] + opened[2, i]
                    total += opened[3, i] + opened[4, i] + opened[5, i]
                    if parent[i] < 0 or not total > 0:
                        continue
                    for k in range(6):
                        c, axis = opened[k, i], k >> 1
                        if c > 0:
                            away = c * 0
                            if (a if axis == 0 else b if axis == 1 else j) & 1 == k & 1:
                                away = _inner(level, w0, w1, w2, inside, axis, i, a, b, j)
                            new_opened[k, parent[i]] += 1 / (1 / c + _half(away))


@kernel
def diagonals(level, spans, w0, w1, w2, ends, values, opened, links, d):
    """Sums of edge weights, and inverse diagonals; returns how many of the cells have edges."""
    first, extras, linked = 2 * level[SIZE], level[EXTRAS], 0
    for m in range(spans.shape[0]):
        a, b = spans[m, 0], spans[m, 1]
        for j in range(spans[m, 2], spans[m, 3]):
            i = place(level, a, b, j)
            total = w1[i] + w1[place(level, a, b - 1, j)]
            total += w2[i] + w2[place(level, a, b, j - 1)]
            if w0 is not None:
                total += w0[i] + w0[place(level, a - 1, b, j)]
            links[i] = total
    for e in range(extras):
        links[first + e] = 0
    for e in range(values.size):
        links[ends[0, e]] += values[e]
        links[ends[1, e]] += values[e]
    for m in range(spans.shape[0] + (extras > 0)):
        a, b, start, stop = 0, 0, 0, extras
        if m < spans.shape[0]:
            a, b, start, stop = spans[m, 0], spans[m, 1], spans[m, 2], spans[m, 3]
        for j in range(start, stop):
            i = place(level, a, b, j) if m < spans.shape[0] else first + j
            total = links[i]
            linked += total > 0 and m < spans.shape[0]
            for k in range(6):
                total += opened[k, i]
            d[i] = 1 / total if total > 0 else total * 0
    return linked
