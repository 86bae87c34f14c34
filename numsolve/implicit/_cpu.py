"""A greedy colouring of the columns of a sparse matrix.

By hand: SciPy has one for its own use only (`scipy.optimize._numdiff.group_columns`), which is not public.
"""

from __future__ import annotations

import numpy as np

from numsolve._core.compiled import kernel


@kernel
def colour_columns(indptr, indices, row_ptr, row_columns):
    """Give each column the least colour that no column sharing a row with it has."""
    n = indptr.size - 1
    colours = np.full(n, -1, dtype=np.int64)
    taken_by = np.full(n + 1, -1, dtype=np.int64)
    for j in range(n):
        for k in range(indptr[j], indptr[j + 1]):
            i = indices[k]
            for m in range(row_ptr[i], row_ptr[i + 1]):
                other = colours[row_columns[m]]
                if other >= 0:
                    taken_by[other] = j
        c = 0
        while c < n and taken_by[c] == j:  # fewer than n colours are taken, so that one is left below n
            c += 1
        colours[j] = c
    return colours
