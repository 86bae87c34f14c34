"""Compiled kernels of incomplete factorisations, and of the order in which their factors are applied.

A factorisation is A ~ L D U with unit triangles, of which only the entries off the diagonal are stored. A
kernel that makes one takes the places that its factors may fill, and returns -1, or the row where it broke
down. `work`, `mark` and `found` are places for one row: its values, the last row that used a place, and the
columns in use.
"""

import numpy as np

from numsolve._core.compiled import inner, kernel


@inner
def _down(heap, size, k):
    """Restore the order of a heap whose entry k may be too large; the smallest is on top."""
    own = heap[k]
    for _ in range(64):  # the depth of any heap
        child = 2 * k + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if own <= heap[child]:
            break
        heap[k] = heap[child]
        k = child
    heap[k] = own


@inner
def _push(heap, size, new):
    """Put a number into a heap of `size` others."""
    k = size
    for _ in range(64):
        parent = (k - 1) >> 1
        if k == 0 or heap[parent] <= new:
            break
        heap[k] = heap[parent]
        k = parent
    heap[k] = new


@inner
def _sort(found, count):
    """Sort the first numbers in place: by insertion where they are few, else as a heap."""
    if count < 24:
        for a in range(1, count):
            own, b = found[a], a
            for _ in range(a):
                if found[b - 1] <= own:
                    break
                found[b] = found[b - 1]
                b -= 1
            found[b] = own
        return
    for a in range(count):  # a heap with the largest on top
        found[a] = -found[a]
    for a in range(count // 2):
        _down(found, count, count // 2 - 1 - a)
    for a in range(count - 1):
        last = count - 1 - a
        found[0], found[last] = found[last], found[0]
        _down(found, last, 0)
    for a in range(count):
        found[a] = -found[a]


@inner
def _largest(found, count, work, kept):
    """Bring the `kept` places of the largest absolute values to the front (quickselect)."""
    low, high = 0, count - 1
    for _ in range(count):
        if low >= high:
            break
        pivot = abs(work[found[(low + high) >> 1]])
        a, b = low, high
        for _ in range(count + 2):
            if a > b:
                break
            for _ in range(count):
                if not abs(work[found[a]]) > pivot:
                    break
                a += 1
            for _ in range(count):
                if not abs(work[found[b]]) < pivot:
                    break
                b -= 1
            if a <= b:
                found[a], found[b] = found[b], found[a]
                a += 1
                b -= 1
        if kept - 1 <= b:
            high = b
        elif kept - 1 >= a:
            low = a
        else:
            break


@kernel
def ict(indptr, indices, data, root, shift, droptol, fill, up, columns, values, d, lists, work, mark, found):
    """Threshold incomplete Cholesky factors of S^-1 A S^-1 + shift I, where S has the roots of the diagonal.

    By columns, from the left (M. T. Jones, P. E. Plassmann, ACM Trans. Math. Software 21, 1995): column j of
    the lower factor, which is row j of the upper one, takes the updates of all earlier columns k with an
    entry in row j. Those wait in a list: `lists` has the first of each row, the next after each column, and
    the place in each column that has come up. An entry l_ij is dropped if ``|l_ij| sqrt(d_j) <= droptol``; of
    the others the largest stay, `fill` more than column j of A has.
    """
    n = d.size
    head, link, place = lists[0], lists[1], lists[2]
    for j in range(n):
        head[j] = -1
        mark[j] = -1
    at = 0
    up[0] = 0
    for j in range(n):
        pivot, count = 1.0 + shift, 0
        for p in range(indptr[j], indptr[j + 1]):
            i = np.int64(indices[p])
            if i > j:
                mark[i] = j
                work[i] = data[p] / root[j] / root[i]
                found[count] = i
                count += 1
        own = count
        k = head[j]
        for _ in range(j):  # the columns in the list of row j
            if k < 0:
                break
            following, p = link[k], place[k]
            factor = values[p] * d[k]
            pivot -= values[p] * factor
            end = up[k + 1]
            for q in range(p + 1, end):
                i = np.int64(columns[q])
                if mark[i] == j:
                    work[i] -= factor * values[q]
                else:
                    mark[i] = j
                    work[i] = -factor * values[q]
                    found[count] = i
                    count += 1
            if p + 1 < end:
                i = np.int64(columns[p + 1])
                place[k], link[k], head[i] = p + 1, head[i], k
            k = following
        if not (1e-10 < pivot < np.inf):
            return j
        d[j] = pivot
        least, kept = droptol * np.sqrt(pivot), 0
        for c in range(count):
            if abs(work[found[c]]) > least:
                found[kept] = found[c]
                kept += 1
        if kept > own + fill:
            _largest(found, kept, work, own + fill)
            kept = own + fill
        _sort(found, kept)
        for c in range(kept):
            i = found[c]
            columns[at + c], values[at + c] = i, work[i] / pivot
        if kept:
            place[j], link[j], head[found[0]] = at, head[found[0]], j
        at += kept
        up[j + 1] = at
    return -1


@kernel
def ilu(indptr, indices, data, droptol, fill, lp, lcolumns, lower, up, ucolumns, upper, d, work, mark, found):
    """Incomplete factors of A by rows (Y. Saad, Numer. Linear Algebra Appl. 1, 1994).

    Without `fill` (below 0) the factors have the pattern of A: ILU(0). Otherwise ILUT: what is at most
    `droptol` times the mean absolute entry of the row is dropped, and of the rest the largest stay, in each
    half `fill` more than A has there. A pivot that is too small for its row is replaced by one that is not;
    returns how often. The rows of `found` are places for the columns of both halves and for their heap.
    """
    n = d.size
    left, right, heap = found[0], found[1], found[2]
    within = fill < 0
    replaced, at, beyond = 0, 0, 0
    lp[0] = up[0] = 0
    for i in range(n):
        mark[i] = -1
    for i in range(n):
        size, nleft, nright, own_left = 0.0, 0, 0, 0
        mark[i] = i
        work[i] = 0.0
        for p in range(indptr[i], indptr[i + 1]):
            j = np.int64(indices[p])
            v = np.float64(data[p])
            mark[j], work[j] = i, v
            size += abs(v)
            if j < i:
                _push(heap, own_left, j)
                own_left += 1
            elif j > i:
                right[nright] = j
                nright += 1
        own_right = nright
        size /= max(own_left + own_right + 1, 1)
        least, waiting = droptol * size, own_left
        for _ in range(i):  # the columns of the lower half, in their order, those that fill in too
            if waiting == 0:
                break
            k = heap[0]
            waiting -= 1
            heap[0] = heap[waiting]
            _down(heap, waiting, 0)
            factor = work[k] / d[k]
            if not (within or abs(work[k]) > least):
                continue
            for q in range(up[k], up[k + 1]):
                j = np.int64(ucolumns[q])
                change = work[k] * upper[q]
                if mark[j] == i:
                    work[j] -= change
                elif not within:
                    mark[j], work[j] = i, -change
                    if j < i:
                        _push(heap, waiting, j)
                        waiting += 1
                    else:
                        right[nright] = j
                        nright += 1
            work[k] = factor
            left[nleft] = k
            nleft += 1
        pivot = work[i]
        if not abs(pivot) > 1e-8 * size:
            pivot = size if size > 0 else 1.0
            if work[i] < 0:
                pivot = -pivot
            replaced += 1
        d[i] = pivot
        if not within:
            kept = 0
            for c in range(nright):
                if abs(work[right[c]]) > least:
                    right[kept] = right[c]
                    kept += 1
            nright = kept
            if nright > own_right + fill:
                _largest(right, nright, work, own_right + fill)
                nright = own_right + fill
            if nleft > own_left + fill:
                _largest(left, nleft, work, own_left + fill)
                nleft = own_left + fill
        _sort(left, nleft)
        _sort(right, nright)
        for c in range(nleft):
            lcolumns[at + c], lower[at + c] = left[c], work[left[c]]
        for c in range(nright):
            ucolumns[beyond + c], upper[beyond + c] = right[c], work[right[c]] / pivot
        at += nleft
        beyond += nright
        lp[i + 1], up[i + 1] = at, beyond
    return replaced


@kernel
def transposed(up, ucolumns, upper, lp, lcolumns, lower):
    """The transpose of the rows (up, ucolumns, upper); `lp` is zero at first."""
    n = up.size - 1
    for p in range(up[n]):
        lp[ucolumns[p] + 1] += 1
    for i in range(n):
        lp[i + 1] += lp[i]
    for i in range(n):
        for p in range(up[i], up[i + 1]):
            q = lp[ucolumns[p]]
            lcolumns[q], lower[q] = i, upper[p]
            lp[ucolumns[p]] = q + 1
    for m in range(n):
        lp[n - m] = lp[n - m - 1]
    lp[0] = 0


@kernel
def factor_levels(lp, lcolumns, up, ucolumns, level):
    """The level of each row, of which the rows that it is coupled to in either factor have others."""
    n = level.size
    for i in range(n):
        own = level[i]
        for p in range(lp[i], lp[i + 1]):
            if level[lcolumns[p]] >= own:
                own = level[lcolumns[p]] + 1
        level[i] = own
        for p in range(up[i], up[i + 1]):
            if level[ucolumns[p]] <= own:
                level[ucolumns[p]] = own + 1


@kernel
def arranged(ptr, columns, values, rows, position, left, right, new, at, to, out):
    """A factor with its rows and columns in the order of `rows`, and left_i f_ij right_j as its entries."""
    n = rows.size
    new[0] = at
    for p in range(n):
        i = rows[p]
        for q in range(ptr[i], ptr[i + 1]):
            j = columns[q]
            to[at], out[at] = position[j], values[q] * (left[i] * right[j])
            at += 1
        new[p + 1] = at
