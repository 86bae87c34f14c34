"""The moments of K's integral for JAX: their derivatives are variances, under the same integral."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from numsolve._core import extras

from . import _generic_integral

if TYPE_CHECKING:
    from collections.abc import Callable


@functools.cache
def moments() -> Callable[[Any, Any], Any]:
    """Log K, <c> and <t>, as functions of v and x."""
    jax = extras.require("jax", "a function of JAX arrays")

    @jax.custom_jvp  # type: ignore[untyped-decorator]
    def means(v: Any, x: Any) -> Any:
        return _generic_integral.moments(jax.numpy, v, x)[:3]

    @means.defjvp  # type: ignore[untyped-decorator]
    def _(primals: Any, tangents: Any) -> Any:
        dv, dx = tangents
        log, c, t, cc, ct, tt = _generic_integral.moments(jax.numpy, *primals)
        return (log, c, t), (t * dv - c * dx, ct * dv - cc * dx, tt * dv - ct * dx)

    return means  # type: ignore[no-any-return]
