"""One step of an embedded pair, with its error and its stiffness.

    g_i = y + h sum_j a_ij k_j,   k_i = f(t + c_i h, g_i),                                  (1)
    E = rms(h sum_i d_i k_i / (atol + rtol max(|y|, |y1|))),                                (2)
    S = |k_s - k_{s-1}| / |g_s - g_{s-1}|,                                                  (3)

where g_s = y1 is the new state, and the last two stages share a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _control as control
from ._norms import wide

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from ._field import Field
    from ._norms import Norms
    from ._tableaus import Tableau


class Attempt(NamedTuple):
    """What a step gives: the new state, what the next one can use, error, stiffness, and the stages."""

    y: Any
    memory: Any
    error: Any
    stiffness: Any
    stages: Any


@dataclass(frozen=True)
class Clock:
    """A right-hand side in the time since the start, which grows whatever the direction.

    Steps near a large t0 are as exact as elsewhere, for t0 + s is rounded where f is called and nowhere else.
    The last of the other arrays of theta is t0.
    """

    field: Field
    sign: Any  #: of t1 - t0

    def __call__(self, theta: Any, s: Any, y: Array) -> Array:
        floats, (*others, t0) = theta
        slope = self.field((floats, others), t0 + self.sign * s, y)
        return slope if isinstance(self.sign, float) and self.sign == 1.0 else self.sign * slope


@dataclass(frozen=True)
class RungeKutta:
    """The scheme that the loop and the adjoint step with."""

    tableau: Tableau
    field: Any
    norms: Norms

    shares = True  #: the last slope of a step is the first of the next
    resolution = 0.0  #: the least step, beside that of the floats

    @property
    def calls(self) -> int:
        """Calls of f in one attempt, its first stage being known."""
        return self.tableau.stages - 1

    @property
    def kept(self) -> int:
        """Arrays in the stages of an attempt."""
        return self.tableau.stages

    def f(self, theta: Any, t: Any, y: Array) -> Array:
        """The right-hand side."""
        slope: Array = self.field(theta, wide(t, y), y)
        return slope

    def begin(self, theta: Any, t0: Any, t1: Any, y: Array, h0: Any) -> tuple[Any, Any, int]:
        """The first slope, the first step (Hairer, Nørsett, Wanner, II.4), and the calls of f."""
        import jax.numpy as jnp

        k = self.f(theta, t0, y)
        if h0 is not None:
            return k, h0 + 0 * t0, 1
        scale = self.norms.atol + self.norms.rtol * jnp.abs(y)
        d0, d1 = self.norms.over(y, scale), self.norms.over(k, scale)
        trial = control.first_step(jnp, d0, d1)
        slope = self.f(theta, t0 + trial, y + wide(trial, y) * k)
        d2 = self.norms.over(slope - k, scale) / trial
        h = control.second_guess(jnp, trial, d1, d2, self.tableau.order)
        return k, jnp.where(jnp.isfinite(h) & (h > 0), h, 1e-3 * (t1 - t0)), 2

    def clip(self, t: Any, h: Any, t1: Any, stop: Any) -> tuple[Any, Any, Any]:
        """The step to try, the time it leads to, and whether that is the end."""
        import jax.numpy as jnp

        del stop
        last = t + control.STRETCH * h >= t1
        return jnp.where(last, t1 - t, h), jnp.where(last, t1, t + h), last

    def attempt(self, theta: Any, t: Any, h: Any, y: Array, k: Array) -> Attempt:
        """One step (1), whose first stage is k."""
        ks, before, g = self.march(theta, t, h, y, k)
        ks = (*ks, self.f(theta, t + self.tableau.c[-1] * h, g))  # (1)
        return self.measure(h, y, ks, before, g)

    def march(self, theta: Any, t: Any, h: Any, y: Array, k: Array) -> tuple[tuple[Array, ...], Array, Array]:
        """All slopes of (1) but the last, the state before the last, and the last: the new one."""
        rows, c = self.tableau.a, self.tableau.c
        step, ks, g = wide(h, y), [k], y
        for row, c_i in zip(rows[1:-1], c[1:-1], strict=True):
            g = y + step * _combine(row, ks)  # (1)
            ks.append(self.f(theta, t + c_i * h, g))  # (1)
        return tuple(ks), g, y + step * _combine(rows[-1], ks)  # (1)

    def measure(self, h: Any, y: Array, ks: tuple[Array, ...], before: Array, g: Array) -> Attempt:
        """The error and the stiffness of a step."""
        import jax
        import jax.numpy as jnp

        # The barrier keeps XLA from computing e again for each stage that its slope is handed to.
        hold: Any = jax.lax.optimization_barrier
        e = hold(wide(h, y) * _combine(self.tableau.d, list(ks)))
        error = self.norms.error(e, y, g)  # (2)
        if self.tableau.senses_stiffness:
            stiffness = self.norms.quotient(ks[-1] - ks[-2], g - before)  # (3)
        else:
            stiffness = jnp.full_like(error, jnp.nan)
        return Attempt(g, ks[-1], error, stiffness, ks)

    def replay(self, theta: Any, t: Any, h: Any, y: Array) -> Attempt:
        """The same step as a function of its start alone: what the adjoint differentiates."""
        return self.attempt(theta, t, h, y, self.f(theta, t, y))

    def between(self, part: Any, h: Any, y: Array, step: Attempt) -> Array:
        """The interpolant at `part` of the step, in [0, 1]."""
        weights = self.dense_weights(part)
        value: Array = y + wide(h, y) * sum(
            wide(w, y) * k for w, k in zip(weights, step.stages, strict=True) if w is not None
        )
        return value

    def pull_between(
        self, part: Any, h: Any, cotangent: Array, stages: list[Any], start: Array
    ) -> tuple[list[Any], Any]:
        """Add a cotangent of `between` to those of the stages and of the step's start."""
        scaled = wide(h, cotangent) * cotangent
        weights = self.dense_weights(part)
        out = [
            bar if w is None else bar + wide(w, scaled) * scaled
            for w, bar in zip(weights, stages, strict=True)
        ]
        return out, start + cotangent

    def dense_weights(self, part: Any) -> list[Any]:
        """The weight of each stage in the interpolant; None for a stage that it leaves out."""
        return [polynomial(row, part) if any(row) else None for row in self.tableau.dense]


def polynomial(row: tuple[float, ...], part: Any) -> Any:
    """``row[0] part + row[1] part**2 + ...`` by Horner's rule."""
    value = 0.0 * part
    for coefficient in reversed(row):
        value = (value + coefficient) * part
    return value


def _combine(row: tuple[float, ...], ks: list[Any]) -> Any:
    """The sum of stages by weight; weights of zero cost nothing."""
    return sum(a * k for a, k in zip(row, ks, strict=False) if a != 0.0)
