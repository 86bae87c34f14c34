"""Compiled products of matrices by their rows: dense in C order, or sparse with short or with long rows.

Short sparse rows are summed plainly, as a vectorised loop costs them more than it saves; the others in parts.
"""

import numpy as np
from numba import types
from numba.extending import overload

from numsolve._core.compiled import kernel

from ._tuples import ShortRows

_REDUCTION = {"contract", "nsz", "reassoc"}


def row_dot(M, i, v):
    """Row i of a matrix times a vector."""
    raise NotImplementedError("for compiled code")


_OPTIONS = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


@overload(row_dot, jit_options={**_OPTIONS, "fastmath": _REDUCTION})  # type: ignore[typeddict-item]
def _dense_dot(M, i, v):  # noqa: ARG001
    if not isinstance(M, types.Array):
        return None

    def dense(M, i, v):
        total = 0.0
        for j in range(v.size):
            total += M[i, j] * v[j]
        return total

    return dense


@overload(row_dot, jit_options={**_OPTIONS, "fastmath": {"contract"}})  # type: ignore[typeddict-item]
def _sparse_dot(M, i, v):  # noqa: ARG001
    if isinstance(M, types.Array):
        return None

    def short(M, i, v):
        total = 0.0
        for k in range(M.indptr[i], M.indptr[i + 1]):
            total += M.data[k] * v[M.indices[k]]
        return total

    def long(M, i, v):
        indices, data = M.indices, M.data
        k, end = np.uint64(M.indptr[i]), np.uint64(M.indptr[i + 1])
        one = np.uint64(1)
        a = b = c = d = 0.0
        for _ in range((end - k) // np.uint64(4)):
            a += data[k] * v[indices[k]]
            k += one
            b += data[k] * v[indices[k]]
            k += one
            c += data[k] * v[indices[k]]
            k += one
            d += data[k] * v[indices[k]]
            k += one
        for j in range(k, end):
            a += data[j] * v[indices[j]]
        return (a + b) + (c + d)

    return short if M.instance_class is ShortRows else long


def row_size(M, i, v):
    """The sum of the sizes of the products in `row_dot`."""
    raise NotImplementedError("for compiled code")


@overload(
    row_size,
    jit_options={  # type: ignore[typeddict-unknown-key]  # as above
        "error_model": "numpy",
        "no_cpython_wrapper": True,
        "no_cfunc_wrapper": True,
    },
)
def _row_size(M, i, v):  # noqa: ARG001
    if isinstance(M, types.Array):

        def dense(M, i, v):
            total = 0.0
            for j in range(v.size):
                total += abs(M[i, j] * v[j])
            return total

        return dense

    def sparse(M, i, v):
        total = 0.0
        for k in range(M.indptr[i], M.indptr[i + 1]):
            total += abs(M.data[k] * v[M.indices[k]])
        return total

    return sparse


def add_row(M, i, factor, out):
    """Add a multiple of row i of a matrix to a vector."""
    raise NotImplementedError("for compiled code")


@overload(add_row, jit_options={**_OPTIONS, "fastmath": _REDUCTION})  # type: ignore[typeddict-item]
def _add_row(M, i, factor, out):  # noqa: ARG001
    if isinstance(M, types.Array):

        def dense(M, i, factor, out):
            for k in range(out.size):
                out[k] += factor * M[i, k]

        return dense

    def sparse(M, i, factor, out):
        for k in range(M.indptr[i], M.indptr[i + 1]):
            out[M.indices[k]] += factor * M.data[k]

    return sparse


@kernel
def product(M, v, out):
    """Fill `out` with M v."""
    for i in range(out.size):
        out[i] = row_dot(M, i, v)
