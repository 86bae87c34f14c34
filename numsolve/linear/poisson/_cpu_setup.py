"""Compiled kernels of the set-up: level 0 from the flags, and each level from the one before.

Flags are padded by one wall on each side and always have three axes. In `cells` they are: 0 unknown, 1 wall,
2 open, 3 an unknown without an unknown neighbour, 4 an unknown beside an open cell. The layout of all other
arrays is that of `_cpu`. The rule for the weights is told in `multigrid`.

Each kernel works on `spans` alone, parts of rows of cells or blocks: rows of two coordinates, the first and
the last but one of the third. They are all rows for a new set-up, and few where little has moved.
"""

from numsolve._core.compiled import inner, kernel

from ._tuples import FIRST, N0, N1, N2, ROW, SIZE, STRIDE


@inner
def place(level, a, b, j):
    """Where the cell (a, b, j) of a level is."""
    row = level[FIRST] + a * level[STRIDE] + b
    return ((a + b + j) & 1) * level[SIZE] + row * level[ROW] + (j >> 1) + 1


@inner
def position(level, i):
    """The cell of a place."""
    colour = i // level[SIZE]
    row, k = divmod(i - colour * level[SIZE], level[ROW])
    a, b = divmod(row - level[FIRST], level[STRIDE])
    j = 2 * (k - 1)
    return a, b, j + ((a + b + j + colour) & 1)


@kernel
def first_level(cells, spans, level, ratio, diag, d):
    """Diagonals of level 0, and the finer distinctions of `cells`; counts unknowns, and those at open cells.

    `diag` is in units of the weights `ratio` of the axes; where it is of integers, these are 1.
    """
    unknown = contacts = 0
    for m in range(spans.shape[0]):
        a, b = spans[m, 0], spans[m, 1]
        for j in range(spans[m, 2], spans[m, 3]):
            if cells[a + 1, b + 1, j + 1] & 3:
                continue
            x0, x1 = cells[a, b + 1, j + 1], cells[a + 2, b + 1, j + 1]
            y0, y1 = cells[a + 1, b, j + 1], cells[a + 1, b + 2, j + 1]
            z0, z1 = cells[a + 1, b + 1, j], cells[a + 1, b + 1, j + 2]
            total = ratio[0] * ((x0 != 1) + (x1 != 1)) + ratio[1] * ((y0 != 1) + (y1 != 1))
            total += ratio[2] * ((z0 != 1) + (z1 != 1))
            i = place(level, a, b, j)
            diag[i] = total
            d[i] = 1 / total if total > 0 else 0
            unknown += 1
            friends = (x0 & 3 == 0) or (x1 & 3 == 0) or (y0 & 3 == 0) or (y1 & 3 == 0)
            friends = friends or (z0 & 3 == 0) or (z1 & 3 == 0)
            if not friends:
                cells[a + 1, b + 1, j + 1] = 3
            elif x0 == 2 or x1 == 2 or y0 == 2 or y1 == 2 or z0 == 2 or z1 == 2:
                cells[a + 1, b + 1, j + 1] = 4
                contacts += 1
    return unknown, contacts


@kernel
def find_patterns(cells, spans, level, components, patterns):
    """Which cells of each block are unknown, as bits; returns the nodes beyond the first in all blocks."""
    extras = split = 0
    for m in range(spans.shape[0]):
        A, B = spans[m, 0], spans[m, 1]
        for J in range(spans[m, 2], spans[m, 3]):
            bits = 0
            for a in range(2 * A, min(2 * A + 2, level[N0])):
                for b in range(2 * B, min(2 * B + 2, level[N1])):
                    at = ((a & 1) << 2) + ((b & 1) << 1)
                    v, w = cells[a + 1, b + 1, 2 * J + 1], 1
                    bits |= (v & 3 == 0) << at
                    if 2 * J + 1 < level[N2]:
                        w = cells[a + 1, b + 1, 2 * J + 2]
                    bits |= (w & 3 == 0) << (at + 1)
            patterns[A, B, J] = bits
            if components[bits] > 1:
                extras += components[bits] - 1
                split += 1
    return extras, split


@kernel
def number_split(patterns, spans, level, coarse, components, labels, base, moved, cell_of, counts):
    """Number the nodes beyond the first in a block, red blocks first; list the red nodes that they hold.

    `base` is the first such node of a block, `counts` the red ones of `cell_of` and the rows of `moved`.
    """
    n = m = 0
    for colour in range(2):
        for s in range(spans.shape[0]):
            A, B = spans[s, 0], spans[s, 1]
            for J in range(spans[s, 2], spans[s, 3]):
                bits = patterns[A, B, J]
                if (A + B + J) & 1 != colour or components[bits] < 2:
                    continue
                own = place(coarse, A, B, J)
                base[own] = 2 * coarse[SIZE] + n
                for _ in range(components[bits] - 1):
                    cell_of[n] = own
                    n += 1
                for corner in range(8):
                    red = (corner ^ (corner >> 1) ^ (corner >> 2)) & 1 == 0
                    label = labels[bits, corner]
                    if red and label > 0:
                        a, b, j = 2 * A + (corner >> 2), 2 * B + ((corner >> 1) & 1), 2 * J + (corner & 1)
                        moved[0, m] = place(level, a, b, j)
                        moved[1, m] = own
                        moved[2, m] = base[own] + label - 1
                        m += 1
        if colour == 0:
            counts[0] = n
    counts[1] = m


@inner
def _node(own, label, base):
    """The node of a block that holds a corner with this label."""
    return own if label <= 0 else base[own] + label - 1


@kernel
def first_weights(patterns, spans, coarse, ratio, labels, base, w0, w1, w2, ends, values):
    """Weights between the nodes of the first coarse level; returns the number of edges beside the grid."""
    n = 0
    for m in range(spans.shape[0]):
        A, B = spans[m, 0], spans[m, 1]
        for J in range(spans[m, 2], spans[m, 3]):
            bits, own = patterns[A, B, J], place(coarse, A, B, J)
            for axis in range(3):
                over, total = 4 >> axis, 0.0
                P, Q, R = A + (axis == 0), B + (axis == 1), J + (axis == 2)
                there = bits * 0
                if P < coarse[N0] and Q < coarse[N1] and R < coarse[N2]:
                    there = patterns[P, Q, R]
                if bits and there:
                    other = place(coarse, P, Q, R)
                    plain = base[own] < 0 and base[other] < 0
                    for corner in range(8):
                        if corner & over or not (bits >> (corner | over)) & 1 or not (there >> corner) & 1:
                            continue
                        behind, ahead = (bits >> corner) & 1, (there >> (corner | over)) & 1
                        g = ratio[axis] / (1 + 0.5 * behind + 0.5 * ahead)
                        if plain:
                            total += g
                            continue
                        here = _node(own, labels[bits, corner | over], base)
                        beside = _node(other, labels[there, corner], base)
                        if here == own and beside == other:
                            total += g
                        else:
                            ends[0, n], ends[1, n], ends[2, n], values[n] = here, beside, axis, g
                            n += 1
                if axis == 0 and w0 is not None:
                    w0[own] = total
                elif axis == 1:
                    w1[own] = total
                elif axis == 2:
                    w2[own] = total
    return n


@kernel
def first_contacts(cells, patterns, spans, level, coarse, ratio, labels, base, opened):
    """Weights of the first coarse level towards open cells, for each direction: back, forth on each axis."""
    for m in range(spans.shape[0]):
        A, B = spans[m, 0], spans[m, 1]
        for a in range(2 * A, min(2 * A + 2, level[N0])):
            for b in range(2 * B, min(2 * B + 2, level[N1])):
                for j in range(2 * spans[m, 2], min(2 * spans[m, 3], level[N2])):
                    if cells[a + 1, b + 1, j + 1] != 4:
                        continue
                    own, bits = place(coarse, A, B, j >> 1), patterns[A, B, j >> 1]
                    corner = ((a & 1) << 2) + ((b & 1) << 1) + (j & 1)
                    node = _node(own, labels[bits, corner], base)
                    for k in range(6):
                        axis, s = k >> 1, 2 * (k & 1) - 1
                        over = 4 >> axis
                        x, y, z = a + s * (axis == 0), b + s * (axis == 1), j + s * (axis == 2)
                        if cells[x + 1, y + 1, z + 1] == 2:
                            # the partner within the block is on the other side
                            away = (bits >> (corner ^ over)) & 1 and ((corner & over) != 0) == (s == 1)
                            opened[k, node] += ratio[axis] / (1.5 if away else 1.0)
