"""JAX for the whole column, and what it takes for an array."""

from __future__ import annotations

from typing import Any

import numpy as np

from numsolve._core import extras


def require_jax() -> Any:
    """JAX, or a hint how to install it."""
    return extras.require("jax", "differentiating a JAX function of a solver")


def is_array(jax: Any, leaf: Any) -> bool:
    """Whether a leaf of the arguments is one that JAX can trace: an array or a float."""
    return isinstance(leaf, float | complex | np.ndarray | np.generic | jax.Array)


def is_floating(jax: Any, x: Any) -> bool:
    """Whether a leaf, which may be a Python number, has derivatives."""
    dtype = x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype
    return bool(jax.numpy.issubdtype(dtype, jax.numpy.inexact))


def is_differentiated(jax: Any, leaf: Any) -> bool:
    """Whether a leaf is being differentiated, as far as that is known: not inside of `jit`."""
    while isinstance(leaf, jax.core.Tracer):
        if type(leaf).__name__ in {"JVPTracer", "LinearizeTracer"}:
            return True
        leaf = getattr(leaf, "val", None)
    return False


def float_dtype(jax: Any) -> Any:
    """float64, or float32 in JAX's 32-bit mode."""
    return jax.dtypes.canonicalize_dtype(np.dtype(np.float64))


def norm(jax: Any, x: Any) -> Any:
    """The 2-norm of a vector, whose squares neither over- nor underflow."""
    jnp = jax.numpy
    size = jnp.max(jnp.abs(x), initial=0.0)
    size = jnp.where((size > 0) & jnp.isfinite(size), size, jnp.ones_like(size))
    return size * jnp.linalg.norm(x / size)
