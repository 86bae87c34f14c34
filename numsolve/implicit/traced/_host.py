"""NumPy functions called from compiled JAX code, and LAPACK and SuperLU among them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve.implicit import _direct
from numsolve.implicit._direct import factorise
from numsolve.implicit._operator import Operator
from numsolve.implicit._watch import checked

from ._factors import STORE, Factor, digest

if TYPE_CHECKING:
    from collections.abc import Callable

    Vector = Callable[[Any], Any]


def call(function: Callable[..., Any], shape: Any, *arrays: Any, vmap_method: str) -> Any:
    """Call ``function(*arrays)`` of NumPy arrays, whose answer has the structure and shapes of ``shape``.

    On CPU the function sees copies of XLA's own buffers. `jax.pure_callback`, which serves other devices and
    older versions of JAX, makes arrays of JAX of them first: that takes 20 us for each, and on one core it
    waits for ever if they are large (XLA's only thread is busy with the call).
    """
    import jax

    buffers = _buffer_callback()
    if buffers is None or jax.default_backend() != "cpu":
        return jax.pure_callback(
            lambda *args: function(*map(np.array, args)), shape, *arrays, vmap_method=vmap_method
        )

    def fill(_: Any, out: Any, *given: Any) -> None:
        answer = jax.tree.leaves(function(*(np.asarray(buffer).copy() for buffer in given)))
        for buffer, value in zip(map(np.asarray, jax.tree.leaves(out)), answer, strict=True):
            if value.shape != buffer.shape:
                raise ValueError(f"a batch of shape {buffer.shape} is wanted, got {value.shape}")
            buffer[...] = value

    return buffers(fill, shape, vmap_method=vmap_method)(*arrays)


def _buffer_callback() -> Any:
    """`jax.experimental.buffer_callback`, if there is one."""
    try:
        return importlib.import_module("jax.experimental.buffer_callback").buffer_callback
    except (ImportError, AttributeError):
        return None


# -- linear systems; the data of a matrix have `rank` axes, and what is before them is a batch ------------


def lapack(matrix: Any, b: Any, tol: float, wanted: Any = True) -> Any:
    """LU through SciPy, least norm if the matrix is singular; zeros where it is not wanted."""

    def solves(data: Any) -> tuple[Vector, Vector]:
        return factorise(Operator(np, data, b.shape[-1], data.dtype), "dense", tol)

    return _call_each(solves, [(matrix, 2)], b, wanted=wanted)


def superlu(pattern: Any, entries: Any, b: Any, tol: float, *, transpose: bool) -> Any:
    """Sparse LU through SciPy, for the entries of a pattern in CSC order, or with the transposed matrix.

    A factorisation serves all systems with the same entries, those with the transposed matrix, too.
    """
    import scipy.sparse as sp

    place = digest([pattern.shape, pattern.indices, pattern.indptr])

    def solves(data: Any) -> tuple[Vector, Vector]:
        matrix = sp.csc_array((data, pattern.indices, pattern.indptr), shape=pattern.shape)
        A = Operator(np, matrix, b.shape[-1], data.dtype)
        factor = STORE.get((place, digest([data])), lambda: Factor(_direct.superlu(A)))
        forward, adjoint = factor.both_ways or _direct.least_norm(A)
        return checked(A.matvec, forward, "sparse", tol), checked(A.rmatvec, adjoint, "sparse", tol)

    return _call_each(solves, [(entries, 1)], b, transpose=transpose)


def left_behind(find: Callable[..., Factor], arguments: Any, b: Any, *, transpose: bool) -> Any:
    """Solve with the factorisation that ``find(*arguments)`` knows of."""
    data = [(argument, argument.ndim) for argument in arguments]
    return _call_each(lambda *args: find(*args).both_ways, data, b, transpose=transpose)


def _call_each(
    solves: Callable[..., tuple[Vector, Vector]],
    data: Any,
    b: Any,
    *,
    transpose: bool = False,
    wanted: Any = True,
) -> Any:
    """One pair of solves for each matrix of a batch, whatever the number of right-hand sides.

    ``data`` are the arrays that a matrix is made of, each with its number of axes but those of a batch.
    """
    ranks = [rank for _, rank in data]

    def host(b: Any, wanted: Any, *given: Any) -> Any:
        batches = [array.shape[: array.ndim - rank] for array, rank in zip(given, ranks, strict=True)]
        n, shared = b.shape[-1], np.broadcast_shapes(b.shape[:-1], wanted.shape, *batches)
        wanted, b = np.broadcast_to(wanted, shared), np.broadcast_to(b, (*shared, n))
        found: dict[Any, Any] = {}
        out = np.zeros(b.shape, b.dtype)
        for k in map(tuple, np.argwhere(wanted)):
            of = tuple(
                tuple(0 if size == 1 else i for i, size in zip(k[len(k) - len(batch) :], batch, strict=True))
                for batch in batches
            )
            if of not in found:
                found[of] = solves(*(array[i] for array, i in zip(given, of, strict=True)))[int(transpose)]
            out[k] = found[of](b[k])
        return out

    flag = np.ones((), bool) if wanted is True else wanted
    return call(host, b, b, flag, *(array for array, _ in data), vmap_method="expand_dims")
