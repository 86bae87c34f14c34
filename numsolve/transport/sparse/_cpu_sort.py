"""Sorting of numbers with their indices, compiled: quicksort, insertion for short parts, and heap sort."""

from numsolve._core.compiled import inner

#: Parts up to this length are sorted by insertion.
SHORT = 16
#: Numbers that `sort_falling` needs for its parts: three for each, and they halve.
STACK = 3 * 64


@inner
def _sink(y, index, low, i, size):
    """Move entry i of the heap y[low : low + size], whose least entry is on top, to its place."""
    value, own = y[low + i], index[low + i]
    child = 2 * i + 1
    for _ in range(64):
        if child + 1 < size and y[low + child + 1] < y[low + child]:
            child += 1
        if child >= size or not y[low + child] < value:
            break
        y[low + i], index[low + i] = y[low + child], index[low + child]
        i, child = child, 2 * child + 1
    y[low + i], index[low + i] = value, own


@inner
def _swap(y, index, i, j):
    y[i], y[j] = y[j], y[i]
    index[i], index[j] = index[j], index[i]


@inner
def _heap_falling(y, index, low, size):
    """Heap sort of y[low : low + size]."""
    for i in range(size // 2 - 1, -1, -1):
        _sink(y, index, low, i, size)
    for last in range(size - 1, 0, -1):
        _swap(y, index, low, low + last)
        _sink(y, index, low, 0, last)


@inner
def sort_falling(y, index, size, stack):
    """Sort y[:size] so that it falls, and the index with it; `stack` has room for `STACK` integers.

    Quicksort with insertion for short parts. A part that many steps have not made short, because of an order
    that the choice of pivots does not suit, is left to heap sort. Numba's own sorts are as fast, and take
    three seconds to compile.
    """
    depth, length = 0, size
    while depth < 128 and length > 0:
        length >>= 1
        depth += 2
    top = 1
    stack[0], stack[1], stack[2] = 0, size - 1, depth
    while top > 0:
        top -= 1
        low, high, depth = stack[3 * top], stack[3 * top + 1], stack[3 * top + 2]
        while depth > 0 and high - low >= SHORT:
            depth -= 1
            middle = (low + high) >> 1
            if y[middle] > y[low]:
                _swap(y, index, low, middle)
            if y[high] > y[middle]:
                _swap(y, index, middle, high)
                if y[middle] > y[low]:
                    _swap(y, index, low, middle)
            pivot, i, j = y[middle], low, high
            while i <= j:
                while y[i] > pivot:
                    i += 1
                while y[j] < pivot:
                    j -= 1
                if i <= j:
                    _swap(y, index, i, j)
                    i += 1
                    j -= 1
            # The longer part waits, so that at most log2(size) do.
            longer_left = j - low > high - i
            stack[3 * top] = low if longer_left else i
            stack[3 * top + 1] = j if longer_left else high
            stack[3 * top + 2] = depth
            top += 1
            low, high = (i, high) if longer_left else (low, j)
        size = high - low + 1
        if size > SHORT:
            _heap_falling(y, index, low, size)
        else:
            for i in range(low + 1, high + 1):
                value, own, j = y[i], index[i], i
                while j > low and y[j - 1] < value:
                    y[j], index[j] = y[j - 1], index[j - 1]
                    j -= 1
                y[j], index[j] = value, own
