"""The functions for JAX: plain array code, with the derivatives of the logarithms given as a custom JVP.

The derivatives are themselves made of the ratio and of the slope in the order, which JAX differentiates as
they are written; so ``jit``, ``vmap``, ``grad`` of ``grad`` and both modes compose.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from numsolve._core import extras

from . import _generic, _generic_directions, _generic_matern

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: What JAX differentiates as it is written.
PLAIN = ("iv_ratio", "kv_ratio", "iv_order_slope", "kv_order_slope", "matern")


@functools.cache
def functions() -> Mapping[str, Callable[[Any, Any], Any]]:
    """Each function by its name; the arguments are broadcast and made floats."""
    jax = extras.require("jax", "a function of JAX arrays")
    jnp = jax.numpy

    def plain(name: str) -> Callable[[Any, Any], Any]:
        function = getattr(_generic_matern if name == "matern" else _generic, name)

        def call(v: Any, x: Any) -> Any:
            v, x = jnp.broadcast_arrays(v, x)
            dtype = jnp.promote_types(jnp.result_type(v, x), jnp.float32)
            if jnp.issubdtype(dtype, jnp.complexfloating):
                raise TypeError(f"v and x must be real, got {dtype}")
            return function(jnp, v.astype(dtype), normal(x.astype(dtype)))

        return jax.jit(call)  # type: ignore[no-any-return]

    def normal(x: Any) -> Any:
        """XLA may take subnormal numbers for zero in one place and not in another; here they all are."""
        least = jnp.finfo(x.dtype).tiny
        return jnp.where((x >= 0.0) & (x < least), jnp.zeros_like(x), x)

    def along(function: Callable[[Any, Any], Any], v: Any, x: Any) -> tuple[Any, Any]:
        """The derivatives in v and in x, each forwards: the reverse mode has then nothing to transpose."""
        one, nothing = jnp.ones_like(v), jnp.zeros_like(v)
        return tuple(jax.jvp(function, (v, x), ends)[1] for ends in ((one, nothing), (nothing, one)))

    @functools.cache
    def twice(kind: str) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
        """The ratio and the slope in the order, with d slope / dx = 1 / x +- d ratio / dv."""
        sign = 1.0 if kind == "iv" else -1.0
        plain_ratio, plain_slope = plain(f"{kind}_ratio"), plain(f"{kind}_order_slope")
        ratio, slope = jax.custom_jvp(plain_ratio), jax.custom_jvp(plain_slope)

        @ratio.defjvp  # type: ignore[untyped-decorator]
        def _(primals: Any, tangents: Any) -> Any:
            in_v, in_x = along(plain_ratio, *primals)
            return plain_ratio(*primals), in_v * tangents[0] + in_x * tangents[1]

        @slope.defjvp  # type: ignore[untyped-decorator]
        def _(primals: Any, tangents: Any) -> Any:
            v, x = primals
            mixed = 1.0 / x + sign * jax.jvp(lambda v: plain_ratio(v, x), (v,), (jnp.ones_like(v),))[1]
            value, in_v = jax.jvp(lambda v: plain_slope(v, x), (v,), (jnp.ones_like(v),))
            return value, in_v * tangents[0] + mixed * tangents[1]

        return ratio, slope

    def differentiated(name: str, sign: float, shift: float) -> Callable[[Any, Any], Any]:
        """A logarithm: (v / x +- ratio + shift) dx + slope dv, where shift is that of the scaled function."""
        value, (ratio, slope) = plain(name), twice(name[4:6])

        @jax.custom_jvp  # type: ignore[untyped-decorator]
        def call(v: Any, x: Any) -> Any:
            return value(v, x)

        @call.defjvp  # type: ignore[untyped-decorator]
        def derivative(primals: Any, tangents: Any) -> Any:
            (v, x), (dv, dx) = primals, tangents
            out = call(v, x)
            in_x = v / x + sign * ratio(v, x) + shift
            return out, (in_x * dx + slope(v, x) * dv).astype(out.dtype)

        def of_floats(v: Any, x: Any) -> Any:
            dtype = jnp.promote_types(jnp.result_type(v, x), jnp.float32)
            v, x = (jnp.asarray(a, dtype) for a in jnp.broadcast_arrays(v, x))
            return call(jnp.abs(v) if sign < 0.0 else v, x)  # K is even in its order

        return of_floats

    def constant(*, scaled: bool) -> Callable[[int, Any], Any]:
        """Log C of von Mises and Fisher, whose derivative is -A; scaled, log C + kappa and 1 - A."""

        @functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
        def value(d: int, kappa: Any) -> Any:
            log_ive = differentiated("log_ive", 1.0, -1.0)
            with_kappa = _generic_directions.log_norm_scaled(jnp, d, kappa, log_ive)
            return with_kappa - (0.0 if scaled else kappa)

        @value.defjvp  # type: ignore[untyped-decorator]
        def _(d: int, primals: Any, tangents: Any) -> Any:
            (kappa,), (change,) = primals, tangents
            order = jnp.full_like(kappa, 0.5 * d - 1.0)
            A = _generic.iv_ratio(jnp, order, kappa, complement=scaled)
            return value(d, kappa), (A if scaled else -A) * change

        return value  # type: ignore[no-any-return]

    return {
        "vmf_log_norm": constant(scaled=False),
        "vmf_log_norm_scaled": constant(scaled=True),
        "log_iv": differentiated("log_iv", 1.0, 0.0),
        "log_ive": differentiated("log_ive", 1.0, -1.0),
        "log_kv": differentiated("log_kv", -1.0, 0.0),
        "log_kve": differentiated("log_kve", -1.0, 1.0),
        **{
            name: plain(name)
            for name in ("iv_ratio", "kv_ratio", "iv_order_slope", "kv_order_slope", "matern")
        },
    }
