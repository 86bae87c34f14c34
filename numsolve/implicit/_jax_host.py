"""NumPy functions called from compiled JAX code, and LAPACK and SuperLU among them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _plain_solvers
from ._operator import Operator

if TYPE_CHECKING:
    from collections.abc import Callable


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
    return _call_each(lambda data: data, 2, "dense", matrix, b, tol, wanted=wanted)


def superlu(pattern: Any, entries: Any, b: Any, tol: float, *, transpose: bool) -> Any:
    """Sparse LU through SciPy, for the entries of a pattern in CSC order, or with the transposed matrix."""
    import scipy.sparse as sp

    def matrix(data: Any) -> Any:
        return sp.csc_array((data, pattern.indices, pattern.indptr), shape=pattern.shape)

    return _call_each(matrix, 1, "sparse", entries, b, tol, transpose=transpose)


def _call_each(
    matrix: Callable[[Any], Any],
    rank: int,
    method: str,
    data: Any,
    b: Any,
    tol: float,
    *,
    transpose: bool = False,
    wanted: Any = True,
) -> Any:
    """One factorisation for each matrix of a batch, whatever the number of right-hand sides."""

    def host(data: Any, b: Any, wanted: Any) -> Any:
        batch, n = data.shape[:-rank], b.shape[-1]
        shared = np.broadcast_shapes(batch, b.shape[:-1], wanted.shape)
        wanted, b = np.broadcast_to(wanted, shared), np.broadcast_to(b, (*shared, n))
        solves: dict[Any, Any] = {}
        out = np.zeros(b.shape, b.dtype)
        for k in map(tuple, np.argwhere(wanted)):
            of = tuple(0 if size == 1 else i for i, size in zip(k[len(k) - len(batch) :], batch, strict=True))
            if of not in solves:
                A = Operator(np, matrix(data[of]), n, b.dtype)
                solves[of] = _plain_solvers.factorise(A, method, symmetric=False, tol=tol)[int(transpose)]
            out[k] = solves[of](b[k])
        return out

    flag = np.ones((), bool) if wanted is True else wanted
    return call(host, b, data, b, flag, vmap_method="expand_dims")
