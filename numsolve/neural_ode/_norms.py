"""Norms of packed states: over all entries, or one for each sample. The gradient at zero is zero, not nan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numsolve._core.typing import Array


@dataclass(frozen=True)
class Norms:
    """The norms of one solve.

    Attributes
    ----------
    lanes : bool
        One value for each sample, the leading axis.
    rtol, atol : float
        Of the scale of an error.
    weight : array or None
        Of each entry in the mean of squares.
    """

    lanes: bool
    rtol: float
    atol: float
    weight: Any = None

    def __call__(self, x: Array) -> Any:
        """The root of the mean square, or of the weighted mean."""
        import jax.numpy as jnp

        axes = tuple(range(1, x.ndim)) if self.lanes else None
        square = x * x
        if self.weight is None:
            mean = jnp.mean(square, axis=axes)
        else:
            weight = jnp.asarray(self.weight, x.dtype)
            mean = jnp.sum(weight * square, axis=axes) / jnp.sum(weight, axis=axes)
        return root(mean)

    def error(self, e: Array, y: Array, y1: Array) -> Any:
        """The scaled error of a step: at most 1 where it meets the tolerance."""
        import jax.numpy as jnp

        return self.over(e, self.atol + self.rtol * jnp.maximum(jnp.abs(y), jnp.abs(y1)))

    def over(self, x: Array, scale: Any) -> Any:
        """The norm of ``x / scale``; zero over zero is zero."""
        import jax.numpy as jnp

        if self.atol == 0.0:
            both = (x == 0) & (scale == 0)
            scale = jnp.where(both, 1.0, scale)
        return self(x / scale)

    def quotient(self, dk: Array, dg: Array) -> Any:
        """``|dk| / |dg|``, and 0 where nothing moved; no square of a tiny or huge number is taken."""
        import jax
        import jax.numpy as jnp

        axes = tuple(range(1, dg.ndim)) if self.lanes else None
        size = jax.lax.stop_gradient(jnp.max(jnp.abs(dg), axis=axes))
        unit = wide(jnp.where(size == 0, 1.0, size), dg)
        top, bottom = self(dk / unit), self(dg / unit)
        still = bottom == 0
        return jnp.where(still, 0.0, top / jnp.where(still, 1.0, bottom))

    def finite(self, x: Array) -> Any:
        """Whether all entries, or all of a sample, are numbers."""
        import jax.numpy as jnp

        return jnp.all(jnp.isfinite(x), axis=tuple(range(1, x.ndim)) if self.lanes else None)


def root(square: Any) -> Any:
    """The square root, whose slope at 0 is taken as 0."""
    import jax.numpy as jnp

    zero = square == 0
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, square)))


def wide(x: Any, y: Array) -> Any:
    """A number, or one for each sample, in a shape that multiplies a state."""
    return x if x.ndim == 0 else x.reshape(x.shape + (1,) * (y.ndim - x.ndim))
