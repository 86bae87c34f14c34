"""The derivatives of JAX functions, as functions of NumPy arrays in double precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core.extras import require

if TYPE_CHECKING:
    from collections.abc import Callable


def derivatives(upper: Callable[..., Any], lower: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """All that a bilevel problem may be asked for, compiled when it is first called."""
    jax = require("jax", "a bilevel problem with backend='jax'")

    def gradient(x: Any, theta: Any) -> Any:
        return jax.grad(lower)(x, theta)

    def product(x: Any, theta: Any, v: Any) -> Any:
        return jax.jvp(lambda z: gradient(z, theta), (x,), (v,))[1]

    def cross(x: Any, theta: Any, q: Any) -> Any:
        return jax.grad(lambda t: jax.numpy.vdot(gradient(x, t), q))(theta)

    made = {
        "upper": upper,
        "lower": lower,
        "upper_grad": jax.grad(upper, argnums=(0, 1)),
        "lower_grad": gradient,
        "lower_hvp": product,
        "lower_cross_vjp": cross,
        "lower_grad_theta": jax.grad(lower, argnums=1),
    }
    return {name: _double(jax, name, jax.jit(function)) for name, function in made.items()}


def _double(jax: Any, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Call in double precision, whatever the caller's setting of JAX, and return NumPy arrays."""
    enable = jax.enable_x64 if hasattr(jax, "enable_x64") else require("jax.experimental", "").enable_x64

    def call(*arguments: Any) -> Any:
        with enable(True):
            try:
                out = function(*(np.asarray(a, dtype=np.float64) for a in arguments))
            except (TypeError, ValueError) as error:
                told = str(error).splitlines()[0]
                raise ValueError(
                    f"{name.partition('_')[0]} must be a function of JAX arrays that returns one real "
                    f"number; JAX says: {told}"
                ) from error
            if isinstance(out, tuple):
                return tuple(np.asarray(part, dtype=np.float64) for part in out)
            return np.asarray(out, dtype=np.float64)

    return call
