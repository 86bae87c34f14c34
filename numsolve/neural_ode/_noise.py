"""One step of an equation with diagonal noise, y' = f dt + g dW.

SOSRI, four stages, strong order 1.5 (Ch. Rackauckas, Q. Nie, "Stability-optimized high order methods and
stiffness detection for pathwise stiff stochastic differential equations", 2018; after A. Rößler, SIAM J.
Numer. Anal. 48 (2010)). With the increment w of W, and z ~ N(0, h) independent of it,

    x1 = (w^2 - h) / (2 sqrt h),  x2 = (w + z / sqrt 3) / 2,  x3 = (w^3 - 3 h w) / (6 h),
    H0_i = y + h sum a0_ij k_j + x2 sum b0_ij G_j,   k_i = f(t + c0_i h, H0_i),             (1)
    H1_i = y + h sum a1_ij k_j + sqrt h sum b1_ij G_j,   G_i = g(t + c1_i h, H1_i),         (2)
    E_2 = x2 sum b3_j G_j + x3 sum b4_j G_j,                                                (3)
    y1 = y + h sum al_j k_j + E_2 + w sum b1_j G_j + x1 sum b2_j G_j.                       (4)

Without E_2, and with h k_1 for the drift, (4) is a scheme of order 1. The error of a step is the distance
of both,

    e = h sum (al_j - delta_1j) k_j + E_2,                                                  (5)

of size h^1.5. This is the natural embedding of Ch. Rackauckas, Q. Nie, "Adaptive methods for stochastic
differential equations via natural embeddings and rejection sampling with memory", 2017. Differs from it: the
paper adds the drifts with a sign each, where (5) has the weights of the embedded scheme; the authors' code
adds the four without a sign, which is of size h, and not an error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._brownian import CELLS, Path, Point, increments
from ._runge_kutta import Attempt

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from ._field import Field
    from ._norms import Norms

A0 = (
    (),
    (-0.04199224421316468,),
    (2.842612915017106, -2.0527723684000727),
    (4.338237071435815, -2.8895936137439793, 2.3017575594644466),
)
A1 = (
    (),
    (0.26204282091330466,),
    (0.20903646383505375, -0.1502377115150361),
    (0.05836595312746999, 0.6149440396332373, 0.08535117634046772),
)
B0 = (
    (),
    (-0.21641093549612528,),
    (1.5336352863679572, 0.26066223492647056),
    (-1.0536037558179159, 1.7015284721089472, -0.20725685784180017),
)
B1 = (
    (),
    (-0.5119011827621657,),
    (2.67767339866713, -4.9395031322250995),
    (0.15580956238299215, 3.2361551006624674, -1.4223118283355949),
)
ALPHA = (1.140099274172029, -0.6401334255743456, 0.4736296532772559, 0.026404498125060714)
C0 = (0.0, -0.04199224421316468, 0.7898405466170333, 3.7504010171562823)
C1 = (0.0, 0.26204282091330466, 0.05879875232001766, 0.758661169101175)
BETA1 = (-1.8453464565104432, 2.688764531100726, -0.2523866501071323, 0.40896857551684956)
BETA2 = (0.4969658141589478, -0.5771202869753592, -0.12919702470322217, 0.2093514975196336)
BETA3 = (2.8453464565104425, -2.688764531100725, 0.2523866501071322, -0.40896857551684945)
BETA4 = (0.11522663875443433, -0.57877086147738, 0.2857851028163886, 0.17775911990655704)

#: weights of the drift in (5)
DRIFT_ERROR = (ALPHA[0] - 1.0, *ALPHA[1:])

#: order in the step-size control, and calls of the drift in a step
METHODS = {"sosri": (1.5, 4), "euler": (0.5, 1), "euler-heun": (0.5, 1)}
#: the least first step, as a part of the span
LEAST_START = 1e-4
#: a step has so many significant binary digits, so that few halvings lead to its end
DIGITS = 3


@dataclass(frozen=True)
class Diagonal:
    """The scheme that the loop and the adjoint step with; their time is the part u of the span.

    ``theta = (floats, others)``: those of the drift, those of the diffusion; among the others the key's data,
    the start, and the span.
    """

    method: str
    drift: Field
    diffusion: Field
    counts: tuple[int, int]  #: floats and others of the drift
    impl: Any
    norms: Norms
    fixed: bool

    kept = 1
    shares = False
    resolution = 1 / CELLS

    @property
    def calls(self) -> int:
        """Calls of the drift in a step."""
        return METHODS[self.method][1]

    def _parts(self, theta: Any, y: Array) -> tuple[Any, Any, Path, Any]:
        """The drift, the diffusion, the path, and the start of the span."""
        import jax

        floats, (*others, key, t0, span) = theta
        m, n = self.counts
        path = Path(jax.random.wrap_key_data(key, impl=self.impl), y.shape, y.dtype, span)
        first, second = (floats[:m], others[:n]), (floats[m:], others[n:])

        def f(t: Any, y: Any) -> Any:
            return self.drift(first, t, y)

        def g(t: Any, y: Any) -> Any:
            return self.diffusion(second, t, y)

        return f, g, path, t0

    def begin(self, theta: Any, u0: Any, u1: Any, y: Array, h0: Any) -> tuple[Any, Any, int]:
        """The path's start, the first step, and the calls of the drift.

        The first step is the time in which the state, or a tolerance if that is larger, moves by itself: too
        long, but an attempt too many costs less than many steps, each at most `GROWTH_OF_SDE` longer.
        """
        import jax.numpy as jnp

        f, g, path, t0 = self._parts(theta, y)
        start = Point(jnp.zeros_like(y), jnp.zeros_like(y))
        if h0 is not None:
            return start, h0 / path.span + 0 * u0, 0
        scale: Any = self.norms.atol + self.norms.rtol * jnp.abs(y)
        size: Any = jnp.abs(f(t0, y)) + 3.0 * jnp.abs(g(t0, y))
        d0, d1 = jnp.maximum(self.norms.over(y, scale), 1.0), self.norms.over(size, scale)
        h = d0 / jnp.where(d1 > 0, d1, 1e-3 * d0) / path.span
        return start, jnp.where(jnp.isfinite(h), jnp.clip(h, LEAST_START, 1.0), 1e-3) * u1, 1

    def clip(self, u: Any, h: Any, u1: Any, stop: Any) -> tuple[Any, Any, Any]:
        """A step to a place of the grid, at most to the next time to save.

        Fixed steps end at the multiples of their length, each rounded, so that roundings do not add up.
        """
        import jax
        import jax.numpy as jnp

        del u1
        place = jnp.round(u * CELLS).astype(jnp.int32)
        if self.fixed:
            width = jnp.clip(h * CELLS, 1, CELLS)
            count = jnp.floor((place + 0.5) / width) + 1
            target = jnp.maximum(jnp.round(count * width).astype(jnp.int32), place + 1)
        else:
            width = jnp.clip(jnp.round(h * CELLS), 1, CELLS).astype(jnp.int32)
            target = place + width
            bits = 31 - jax.lax.clz(width) - DIGITS
            unit = jnp.left_shift(1, jnp.maximum(bits, 0))
            target = jnp.maximum(target // unit * unit, place + 1)
        if stop is not None:
            at = jnp.round(stop * CELLS).astype(jnp.int32)
            target = jnp.where(at > place, jnp.minimum(target, at), target)
        target = jnp.minimum(target, CELLS)
        new = target.astype(u.dtype) / CELLS
        return new - u, new, target == CELLS

    def attempt(self, theta: Any, u: Any, h: Any, y: Array, before: Point) -> Attempt:
        """One step from u to u + h, from the path at u."""
        f, g, path, t0 = self._parts(theta, y)
        after = path.at(u + h)
        t, step = t0 + path.span * u, path.span * h
        w, z = increments(before, after, step)
        if self.method == "sosri":
            y1, error, stiffness = self._sosri(f, g, t, step, y, w, z)
        else:
            y1, error, stiffness = self._euler(f, g, t, step, y, w)
        return Attempt(y1, after, error, stiffness, (y1,))

    def replay(self, theta: Any, u: Any, h: Any, y: Array) -> Attempt:
        """The same step from its start: the path is computed again, and is the same."""
        return self.attempt(theta, u, h, y, self._parts(theta, y)[2].at(u))

    def between(self, part: Any, h: Any, y: Array, step: Attempt) -> Array:
        """Saved times are ends of steps."""
        del part, h, y
        end: Array = step.y
        return end

    def pull_between(
        self, part: Any, h: Any, cotangent: Array, stages: list[Any], start: Array
    ) -> tuple[list[Any], Any]:
        """The cotangent of a saved time belongs to the new state."""
        del part, h
        return [stages[0] + cotangent], start

    def _sosri(self, f: Any, g: Any, t: Any, h: Any, y: Array, w: Any, z: Any) -> tuple[Any, Any, Any]:
        import jax.numpy as jnp

        root = jnp.sqrt(h)
        x1, x2 = (w**2 - h) / (2 * root), 0.5 * (w + z / math.sqrt(3.0))
        x3 = (w**3 - 3 * h * w) / (6 * h)
        ks: list[Any] = []
        Gs: list[Any] = []
        H0 = previous = y
        for a0, a1, b0, b1, c0, c1 in zip(A0, A1, B0, B1, C0, C1, strict=True):
            previous, H0 = H0, y + h * _sum(a0, ks) + x2 * _sum(b0, Gs)  # (1)
            H1 = y + h * _sum(a1, ks) + root * _sum(b1, Gs)  # (2)
            ks.append(f(t + c0 * h, H0))  # (1)
            Gs.append(g(t + c1 * h, H1))  # (2)
        noise = x2 * _sum(BETA3, Gs) + x3 * _sum(BETA4, Gs)  # (3)
        y1 = y + h * _sum(ALPHA, ks) + noise + w * _sum(BETA1, Gs) + x1 * _sum(BETA2, Gs)  # (4)
        error = self.norms.error(h * _sum(DRIFT_ERROR, ks) + noise, y, y1)  # (5)
        return y1, error, self.norms.quotient(ks[3] - ks[2], H0 - previous)

    def _euler(self, f: Any, g: Any, t: Any, h: Any, y: Array, w: Any) -> tuple[Any, Any, Any]:
        """Euler-Maruyama, or Euler-Heun for an equation in the sense of Stratonovich; without an error."""
        import jax.numpy as jnp

        drift, noise = y + h * f(t, y), g(t, y)
        y1 = drift + noise * w
        if self.method == "euler-heun":
            y1 = drift + 0.5 * (noise + g(t + h, y1)) * w
        zero = 0.0 * h
        return y1, zero, jnp.full_like(zero, jnp.nan)


def _sum(row: tuple[float, ...], values: list[Any]) -> Any:
    return sum(a * value for a, value in zip(row, values, strict=True))
