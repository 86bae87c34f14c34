"""Compiled kernels of patterns and values: pure functions on arrays.

A matrix lives here in the order of its sweep: position ``p`` holds row ``rows[p]`` of the caller's. Its
entries are stored in one array ``values``, with their ``columns``: first the lower half (the columns that
come before the row), then the diagonal, then the upper half. Row p has the entries ``lp[p] : lp[p + 1]`` of
the lower half and ``up[p] : up[p + 1]`` of the upper one; both count from the start of the array. Within a
half the entries keep the order they had in the caller's row, so that a sum is the same to the last bit in
every order of the rows.

Indices are unsigned: with signed ones Numba tests each for being negative, which doubles the time of a
product. Sums are accumulated in the arrays' type, norms in float64. Residual norms are compared and
returned, never assumed finite: ``nnan`` and ``ninf`` are not set. The caller allocates what a kernel fills.
"""

import numpy as np

from numsolve._core.compiled import kernel

_REDUCTION = {"contract", "nsz", "reassoc"}
ONE = np.uint32(1)


# --- the order of the rows ------------------------------------------------------------------------


@kernel
def levels(indptr, indices, level):
    """The level of each row: 1 + the highest level among the earlier rows that it is coupled to.

    A coupling counts in both directions, so that rows of one level are independent in either sweep. `level`
    is zero at first.
    """
    for i in range(level.size):
        own = level[i]
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if j < i and level[j] >= own:
                own = level[j] + ONE
        level[i] = own
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if j > i and level[j] <= own:
                level[j] = own + ONE


@kernel
def colours(indptr, indices, colour, queue, taken):
    """Greedy colours, given out breadth first: two of them wherever two are enough.

    The pattern must be symmetric. `colour` is n at first, and n + 1 while a row waits in the `queue`;
    ``taken[c] = i`` says that a neighbour of row i has the colour c, and is -1 at first.
    """
    n = colour.size
    tail = 0
    for start in range(n):
        if colour[start] != n:
            continue
        head = tail
        queue[tail] = start
        colour[start] = n + 1
        tail += 1
        while head < tail:  # at most n times in all: a row enters the queue once
            i = queue[head]
            head += 1
            for k in range(indptr[i], indptr[i + 1]):
                j = indices[k]
                taken[colour[j]] = i
                if colour[j] == n:
                    queue[tail] = j
                    colour[j] = n + 1
                    tail += 1
            c = 0
            while taken[c] == i:  # at most as often as row i has neighbours
                c += 1
            colour[i] = c


@kernel
def place(key, free, rows, position):
    """Rows sorted by key, equal ones in their old order, and the place of each row.

    `free` points to where each key begins at first, and to where it ends at last.
    """
    for i in range(key.size):
        p = free[key[i]]
        free[key[i]] = p + ONE
        rows[p] = i
        position[i] = p


@kernel
def split(indptr, indices, rows, position, lp, up, columns, source, diagonal):
    """Both halves of the pattern in the order of `rows`, and where their values are in the caller's data.

    Fills `lp`, `up`, and `columns` and `source` from both ends, each as long as the whole matrix. `diagonal`
    gets the sources of the diagonal, and keeps what it was where an entry is not stored.
    """
    n = rows.size
    at = np.uint32(0)
    for p in range(n):
        lp[p] = at
        i = rows[p]
        for k in range(indptr[i], indptr[i + 1]):
            q = position[indices[k]]
            if q < p:
                columns[at], source[at] = q, k
                at += ONE
            elif q == p:
                diagonal[p] = k
    lp[n] = at
    at = np.uint32(columns.size)
    for m in range(n):
        p = n - 1 - m
        up[p + 1] = at
        i = rows[p]
        first, end = indptr[i], indptr[i + 1]
        for k in range(end - first):
            q = position[indices[end - 1 - k]]
            if q > p:
                at -= ONE
                columns[at], source[at] = q, end - 1 - k
    up[0] = at


@kernel
def same(a, b):
    """Whether two arrays of indices are equal."""
    if a.size != b.size:
        return False
    different = a.dtype.type(0)
    for k in range(a.size):
        different |= a[k] ^ b[k]
    return different == 0


@kernel
def join(rows, lp, up, columns, values, ptr, joined_columns, joined_values):
    """Both halves as one matrix without its diagonal, in the order of `rows`, with the caller's columns.

    Fills the last three. Sweeps on vectors that stay in the caller's order take them.
    """
    at = ptr[0] = np.uint32(0)
    for p in range(rows.size):
        for k in range(lp[p], lp[p + 1]):
            joined_columns[at], joined_values[at] = rows[columns[k]], values[k]
            at += ONE
        for k in range(up[p], up[p + 1]):
            joined_columns[at], joined_values[at] = rows[columns[k]], values[k]
            at += ONE
        ptr[p + 1] = at


# --- values ---------------------------------------------------------------------------------------


@kernel(fastmath=_REDUCTION)
def gather(data, source, values):
    """Copy the entries at `source`; returns the sum of their absolute values, not finite if one is not."""
    total = 0.0
    for k in range(source.size):
        v = data[source[k]]
        values[k] = v
        total += abs(v)
    return total
