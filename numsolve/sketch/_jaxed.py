"""Derivatives of JAX functions, in double precision, compiled once.

A function is taken for one of JAX's if JAX can trace it; NumPy functions that only use operators count too.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import extras

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array

#: Variables up to which Hessians and Jacobians are matrices; products with them beyond.
DENSE = 2000


def traceable(function: Callable[..., Any], x: Array) -> bool:
    """Whether JAX is there and can trace the function and its derivatives."""
    if not extras.installed("jax"):
        return False
    import jax

    try:
        with double():
            jax.eval_shape(jax.jacrev(function), x)
    except Exception:  # whatever a function does with what is not an array
        return False
    return True


def why_not(name: str) -> str:
    """Why JAX cannot make the derivatives of the function of this name, for an error."""
    if extras.installed("jax"):
        return f"{name} is no function that JAX can trace"
    return 'with the package jax they would be made; try: pip install "numsolve[jax]"'


def double() -> Any:
    """Double precision inside the block, whatever JAX's user chose for himself."""
    jax: Any = extras.require("jax", "derivatives of JAX functions")
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    return jax.experimental.enable_x64(True)  # before JAX 0.8


class Derivatives:
    """Value, first and second derivatives of a function of x, scalar or vector, as NumPy arrays."""

    def __init__(self, function: Callable[..., Any]) -> None:
        jax = extras.require("jax", "derivatives of JAX functions")

        def weighted(x: Any, v: Any) -> Any:
            return jax.numpy.sum(v * function(x))

        def product(x: Any, v: Any, p: Any) -> Any:
            return jax.jvp(lambda y: jax.grad(weighted)(y, v), (x,), (p,))[1]

        self._value = jax.jit(function)
        self._gradient = jax.jit(jax.grad(weighted))
        self._jacobian = jax.jit(jax.jacrev(function))
        self._hessian = jax.jit(jax.hessian(weighted))
        self._product = jax.jit(product)
        self._pushed = jax.jit(lambda x, p: jax.jvp(function, (x,), (p,))[1])

    def value(self, x: Array) -> Any:
        """function(x)."""
        return self._call(self._value, x)

    def gradient(self, x: Array, v: Any = 1.0) -> Array:
        """The gradient of v'function."""
        return self._call(self._gradient, x, v)

    def jacobian(self, x: Array) -> Any:
        """The Jacobian of a vector function: a matrix, or an operator where that would be large."""
        if x.size <= DENSE:
            return self._call(self._jacobian, x)
        from scipy.sparse.linalg import LinearOperator

        m = np.size(self.value(x))
        return LinearOperator(
            (m, x.size),
            matvec=lambda p: self._call(self._pushed, x, p.reshape(-1)),
            rmatvec=lambda v: self.gradient(x, v.reshape(-1)),
            dtype=np.dtype(float),
        )

    def hessian(self, x: Array, v: Any = 1.0) -> Any:
        """The Hessian of v'function, in the same two forms."""
        if x.size <= DENSE:
            return self._call(self._hessian, x, v)
        from scipy.sparse.linalg import LinearOperator

        def product(p: Array) -> Array:
            return self._call(self._product, x, v, p.reshape(-1))

        return LinearOperator((x.size, x.size), matvec=product, rmatvec=product, dtype=np.dtype(float))

    @staticmethod
    def _call(compiled: Callable[..., Any], *args: Any) -> Array:
        with double(), contextlib.suppress(FloatingPointError):
            return np.array(compiled(*(np.asarray(a, dtype=float) for a in args)))
        return np.full((), np.nan)
