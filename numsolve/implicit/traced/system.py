"""One linear system in JAX's arrays, complex ones too, whose solution JAX differentiates and transposes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import checks
from numsolve.implicit._jax import require_jax
from numsolve.implicit._numbers import as_float

from ._linear import as_reals
from .solve import solve

if TYPE_CHECKING:
    from collections.abc import Callable


def solve_system(
    method: str,
    matvec: Callable[[Any], Any],
    b: Any,
    *,
    transpose: bool,
    ridge: Any,
    init: Any,
    sparsity: Any,
    **settings: Any,
) -> Any:
    """Solve matvec(x) = b by a method of `solve`, in a way that JAX differentiates and transposes."""
    jax = require_jax()
    rhs = jax.tree.map(as_float, b)
    flat, joined = as_reals(rhs)
    if not isinstance(flat, jax.core.Tracer):
        checks.finite("b", np.asarray(flat), xp=np)
    if flat.size == 0:
        return b
    start = None if init is None else jax.lax.stop_gradient(as_reals(_shaped("init", init, rhs))[0])

    def plain(v: Any) -> Any:
        product = as_reals(_shaped("the result of matvec", matvec(joined(v)), rhs))[0]
        return product if ridge is None else product + ridge * v

    def turned(product: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda v: jax.linear_transpose(product, flat)(v)[0]

    def solved(product: Any, right: Any, over: bool, x0: Any = None) -> Any:
        over = over and sparsity is not None  # one factorisation, of the matrix of the pattern, serves both
        product = turned(product) if over else product
        return solve(method, product, right, transpose=over, init=x0, sparsity=sparsity, **settings)

    return joined(
        jax.lax.custom_linear_solve(
            turned(plain) if transpose else plain,
            flat,
            solve=lambda product, right: solved(product, right, transpose, start),
            transpose_solve=lambda product, right: solved(product, right, not transpose),
        )
    )


def _shaped(name: str, value: Any, like_this: Any) -> Any:
    """A nest of the structure, the shapes and the types of another."""
    jax = require_jax()
    leaves, structure = jax.tree.flatten(like_this)
    values, found = jax.tree.flatten(value)
    shapes, wanted = ([tuple(jax.numpy.shape(x)) for x in nest] for nest in (values, leaves))
    if found != structure or shapes != wanted:
        raise ValueError(f"{name} must have the structure and shapes of b, {wanted}; got {shapes}")
    iscomplex = jax.numpy.iscomplexobj
    if any(iscomplex(v) and not iscomplex(x) for v, x in zip(values, leaves, strict=True)):
        raise TypeError(f"{name} must be real where b is")
    return structure.unflatten([jax.numpy.asarray(v, x.dtype) for v, x in zip(values, leaves, strict=True)])
