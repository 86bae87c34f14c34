"""Compiled kernels of the multigrid cycle.

Cells of one colour (the parity of the sum of their coordinates) are stored together: a level of n0 x n1 x n2
cells has ``size`` places for each colour, with ``row = ceil(n2 / 2) + 2`` places for each row of the grid,
one of them padding at each end; there is a row of padding on each side, and a plane in three dimensions. The
cell (a, b, j) is at ``colour * size + (first + a * stride + b) * row + j // 2 + 1``. So a sweep over one
colour reads and writes contiguous memory. In two dimensions n0 is 1 and there are no planes of padding.
Nodes beyond the first in a cell come behind both colours, the red ones first.

    u, f, d     the solution, the right-hand side, the inverse diagonal (0 where there is no unknown)
    w0, w1, w2  weight of the face between a cell and the next one along each axis; w0 is None in 2-D
    level       a row of `Hierarchy.levels`
"""

import numpy as np

from numsolve._core.compiled import inner

from ._tuples import (
    BLACK_END,
    CONSTANT,
    EDGES,
    EXTRAS,
    FIRST,
    MOVED,
    MOVED_END,
    N0,
    N1,
    N2,
    OFF,
    PARENTS,
    RED_END,
    RED_EXTRAS,
    ROW,
    SIZE,
    STRIDE,
    SWEEPS_OF,
    WOFF,
)

_FAST = {"contract", "nsz", "reassoc", "arcp"}
U = np.uint64
#: What is called in one place is compiled there, and not also on its own: that halves the first call.
part = inner(inline="always")


@inner(fastmath=_FAST)
def _relax_row(u, f, d, w0, w1, w2, ratio, constant, at, left, row, plane, n):
    """Solve for the cells of one row and colour: u = d (f + sum of w u over the neighbours)."""
    i, same = at
    right, up, down, back, fore = left + U(1), same - row, same + row, same - plane, same + plane
    if constant:
        c0, c1, c2 = ratio[0], ratio[1], ratio[2]
        for m in range(n):
            k = U(m)
            s = f[i + k] + c2 * (u[left + k] + u[right + k]) + c1 * (u[up + k] + u[down + k])
            if w0 is not None:
                s += c0 * (u[back + k] + u[fore + k])
            u[i + k] = d[i + k] * s
    else:
        for m in range(n):
            k = U(m)
            s = f[i + k] + w2[left + k] * u[left + k] + w2[i + k] * u[right + k]
            s += w1[up + k] * u[up + k] + w1[i + k] * u[down + k]
            if w0 is not None:
                s += w0[back + k] * u[back + k] + w0[i + k] * u[fore + k]
            u[i + k] = d[i + k] * s


@inner(fastmath=_FAST)
def _sum_row(r, u, d, w0, w1, w2, ratio, constant, less, at, left, row, plane, n):
    """The sum of w u over the neighbours, less what r holds if `less`."""
    i, same = at
    right, up, down, back, fore = left + U(1), same - row, same + row, same - plane, same + plane
    if constant:
        c0, c1, c2 = ratio[0], ratio[1], ratio[2]
        for m in range(n):
            k = U(m)
            s = c2 * (u[left + k] + u[right + k]) + c1 * (u[up + k] + u[down + k])
            if w0 is not None:
                s += c0 * (u[back + k] + u[fore + k])
            s = s if d[i + k] > 0 else d[i + k]  # a zero
            r[i + k] = s - r[i + k] if less else s
    else:
        for m in range(n):
            k = U(m)
            s = w2[left + k] * u[left + k] + w2[i + k] * u[right + k]
            s += w1[up + k] * u[up + k] + w1[i + k] * u[down + k]
            if w0 is not None:
                s += w0[back + k] * u[back + k] + w0[i + k] * u[fore + k]
            r[i + k] = s - r[i + k] if less else s


@inner
def _places(level, colour, a, b):
    """Where a row of a colour starts, the same places of the other colour, and the left neighbours."""
    row = U((level[FIRST] + a * level[STRIDE] + b) * level[ROW] + 1)
    own, other = row + U(colour * level[SIZE]), row + U((1 - colour) * level[SIZE])
    return (own, other), other + U((colour + a + b) & 1) - U(1)


@inner
def _extras(level, colour):
    """The first and last extra node of a colour, and their edges."""
    first = 2 * level[SIZE]
    if colour == 0:
        return first, first + level[RED_EXTRAS], level[EDGES], level[RED_END]
    return first + level[RED_EXTRAS], first + level[EXTRAS], level[RED_END], level[BLACK_END]


@part
def relax(level, u, f, d, w0, w1, w2, ratio, edges, values, colour):
    """Solve for the nodes of one colour."""
    row, plane, n = U(level[ROW]), U(level[STRIDE] * level[ROW]), level[ROW] - 2
    constant = level[CONSTANT] == 1
    for a in range(level[N0]):
        for b in range(level[N1]):
            at, left = _places(level, colour, a, b)
            _relax_row(u, f, d, w0, w1, w2, ratio, constant, at, left, row, plane, n)
    first, last, start, stop = _extras(level, colour)
    for i in range(first, last):
        u[i] = d[i] * f[i]
    for e in range(start, stop):
        t = edges[0, e]
        u[t] += d[t] * values[e] * u[edges[1, e]]


@part
def neighbours(level, r, u, d, w0, w1, w2, ratio, edges, values, less):
    """The sum of w u over the neighbours of each red node, less what r holds if `less`."""
    row, plane, n = U(level[ROW]), U(level[STRIDE] * level[ROW]), level[ROW] - 2
    constant = level[CONSTANT] == 1
    for a in range(level[N0]):
        for b in range(level[N1]):
            at, left = _places(level, 0, a, b)
            _sum_row(r, u, d, w0, w1, w2, ratio, constant, less, at, left, row, plane, n)
    first, last, start, stop = _extras(level, 0)
    for i in range(first, last):
        if less:
            r[i] = -r[i]
        else:
            r[i] = 0
    for e in range(start, stop):
        r[edges[0, e]] += values[e] * u[edges[1, e]]


@part
def _first_red(level, u, f, d):
    """The red sweep from zero."""
    for k in range(level[SIZE]):
        u[k] = d[k] * f[k]
    first = 2 * level[SIZE]
    for i in range(first, first + level[RED_EXTRAS]):
        u[i] = d[i] * f[i]


@part
def _again_red(level, r, u, f, d):
    """The red sweep where r holds the sum over the neighbours, and in padding what another level left."""
    for k in range(level[SIZE]):
        u[k] = d[k] * (f[k] + r[k]) if d[k] > 0 else d[k]
    first = 2 * level[SIZE]
    for i in range(first, first + level[RED_EXTRAS]):
        u[i] = d[i] * (f[i] + r[i])


@part
def _restrict(level, coarse, r, f, moved, parents, line):
    """The right-hand side of the next level: the red residuals of this one, added up."""
    n0, n1, n2 = coarse[N0], coarse[N1], coarse[N2]
    first = 2 * coarse[SIZE]
    for i in range(first, first + coarse[EXTRAS]):
        f[i] = 0
    for m in range(level[MOVED], level[MOVED_END]):
        f[moved[2, m]] += r[moved[0, m]]
        r[moved[0, m]] = 0
    for A in range(n0):
        for B in range(n1):
            for j in range(n2):
                line[j] = 0
            for a in range(2 * A, min(2 * A + 2, level[N0])):
                for b in range(2 * B, min(2 * B + 2, level[N1])):
                    fine = U((level[FIRST] + a * level[STRIDE] + b) * level[ROW] + 1)
                    for j in range(n2):
                        line[j] += r[fine + U(j)]
            at = (coarse[FIRST] + A * coarse[STRIDE] + B) * coarse[ROW] + 1
            even = U(((A + B) & 1) * coarse[SIZE] + at)
            odd = U(((A + B + 1) & 1) * coarse[SIZE] + at)
            for j in range((n2 + 1) // 2):
                f[even + U(j)] = line[2 * j]
            for j in range(n2 // 2):
                f[odd + U(j)] = line[2 * j + 1]
    first = 2 * level[SIZE]
    for e in range(level[RED_EXTRAS]):
        parent = parents[level[PARENTS] + e]
        if parent >= 0:
            f[parent] += r[first + e]


@part
def _prolong(level, coarse, u, d, uc, moved, parents, line):
    """Add the correction of the next level to the red nodes."""
    n0, n1, n2 = coarse[N0], coarse[N1], coarse[N2]
    for m in range(level[MOVED], level[MOVED_END]):
        u[moved[0, m]] += uc[moved[2, m]] - uc[moved[1, m]]
    for A in range(n0):
        for B in range(n1):
            at = (coarse[FIRST] + A * coarse[STRIDE] + B) * coarse[ROW] + 1
            even = U(((A + B) & 1) * coarse[SIZE] + at)
            odd = U(((A + B + 1) & 1) * coarse[SIZE] + at)
            for j in range((n2 + 1) // 2):
                line[2 * j] = uc[even + U(j)]
            for j in range(n2 // 2):
                line[2 * j + 1] = uc[odd + U(j)]
            for a in range(2 * A, min(2 * A + 2, level[N0])):
                for b in range(2 * B, min(2 * B + 2, level[N1])):
                    fine = U((level[FIRST] + a * level[STRIDE] + b) * level[ROW] + 1)
                    for j in range(n2):
                        k = fine + U(j)
                        u[k] += line[j] if d[k] > 0 else d[k]  # a zero
    first = 2 * level[SIZE]
    for e in range(level[RED_EXTRAS]):
        parent = parents[level[PARENTS] + e]
        if parent >= 0:
            u[first + e] += uc[parent]


@inner(fastmath=_FAST)
def _direct(u, f, nodes, inverse, line):
    """The coarsest level, by the inverse of its matrix."""
    n = nodes.size
    for k in range(n):
        line[k] = f[nodes[k]]
    for i in range(n):
        total = 0.0
        for k in range(n):
            total += inverse[i, k] * line[k]
        u[nodes[i]] = total


@part
def _factorised(u, f, nodes, order, columns, factor):
    """The coarsest level, by L D L': forward, the pivots, backward; `columns` has n + 1 starts first."""
    n = nodes.size
    x = factor[factor.size - n :]
    for k in range(n):
        x[k] = f[nodes[order[k]]]
    for k in range(n):
        for e in range(columns[k], columns[k + 1]):
            x[columns[n + 1 + e]] -= factor[e] * x[k]
    m = columns[n]
    for step in range(n):
        k = n - 1 - step
        total = x[k] / factor[m + k]
        for e in range(columns[k], columns[k + 1]):
            total -= factor[e] * x[columns[n + 1 + e]]
        x[k] = total
    for k in range(n):
        u[nodes[order[k]]] = x[k]


@inner
def _from(w, start):
    """The end of an array, or None in two dimensions."""
    if w is None:
        return None
    return w[start:]


@part
def cycle(h, sweeps):
    """One V cycle for the right-hand side in the first part of `f`; its answer is in that of `u`."""
    last = h.levels.shape[0] - 1
    for step in range(2 * last + 1):
        down = step < last
        at = step if down else 2 * last - step
        level = h.levels[at]
        u, f, d = h.u[level[OFF] :], h.f[level[OFF] :], h.d[level[OFF] :]
        if at == last:
            if h.order.size:
                _factorised(u, f, h.nodes, h.order, h.columns, h.factor)
            else:
                _direct(u, f, h.nodes, h.inverse, h.line)
            continue
        coarse = h.levels[at + 1]
        w0 = _from(h.w0, level[WOFF])
        w1, w2, r = h.w1[level[WOFF] :], h.w2[level[WOFF] :], h.r
        uc, fc = h.u[coarse[OFF] :], h.f[coarse[OFF] :]
        if not down:
            _prolong(level, coarse, u, d, uc, h.moved, h.parents, h.line)
        halves = 2 * sweeps * level[SWEEPS_OF]
        for half in range(halves):  # red and black on the way down, black and red on the way up
            black = down == (half & 1)
            if down and half == 0:
                _first_red(level, u, f, d)
            elif down and not black:
                _again_red(level, r, u, f, d)
            else:
                relax(level, u, f, d, w0, w1, w2, h.ratio, h.edges, h.values, int(black))
            if down and black:
                less = half > 1 and half == halves - 1
                neighbours(level, r, u, d, w0, w1, w2, h.ratio, h.edges, h.values, less)
        if down:
            _restrict(level, coarse, r, fc, h.moved, h.parents, h.line)
