"""Which formula each entry takes: a chunk is sorted by it, so that the kernels run over equal entries.

The kinds, and with them a value, depend on the entry alone, never on its neighbours.
"""

from __future__ import annotations

from numsolve._core.compiled import kernel

from ._tuples import FAR, NEAR_ROOT, ROOT
from ._tuples import TERMS as MOST_TERMS

#: Debye's expansion with 7, 11 or 17 terms; next to the root of its exponent; near and x > 2; near and
#: x <= 2; none of these.
VERY_FAR, FARTHER, JUST_FAR, AT_ROOT, MIDDLE, SMALL, NEITHER = range(7)
#: The terms of the first four; from these radii on, 7 and 11 do: the next ones are below 3e-17 and 6e-17.
TERMS = (7, 11, MOST_TERMS, MOST_TERMS)
RADII = (200.0, 50.0)
#: Squares of numbers outside this range, and quotients of two inside, are no longer good floats.
LEAST, MOST = 1e-140, 1e140
#: Half of an argument below this is perhaps not a normal float.
TINIEST = 1e-300


@kernel
def sort(v, x, kinds, ends, a, b, place):
    """Put the entries, sorted by kind, into `a` and `b`, where they came from into `place`.

    Kind k ends up in front of ``ends[k]``, behind ``ends[k - 1]``.
    """
    for i in range(v.size):
        square = v[i] * v[i] + x[i] * x[i]
        kind = (square < RADII[0] * RADII[0]) + (square < RADII[1] * RADII[1])
        root = abs(x[i] - ROOT * v[i]) < NEAR_ROOT * (x[i] + ROOT * v[i])
        kind = AT_ROOT if root else kind
        near = SMALL if x[i] <= 2.0 else MIDDLE
        kind = near if square < FAR * FAR else kind
        legal = (0.0 <= v[i]) & (v[i] <= MOST) & (x[i] <= MOST)
        legal &= x[i] >= (TINIEST if square < FAR * FAR else LEAST)
        kinds[i] = kind if legal else NEITHER
    ends[:] = 0
    for i in range(v.size):
        ends[kinds[i]] += 1
    total = 0
    for kind in range(ends.size):
        count = ends[kind]
        ends[kind] = total
        total += count
    for i in range(v.size):
        j = ends[kinds[i]]
        ends[kinds[i]] = j + 1
        a[j] = v[i]
        b[j] = x[i]
        place[j] = i


@kernel
def put_back(values, place, out):
    """Undo the sort."""
    for j in range(out.size):
        out[place[j]] = values[j]
