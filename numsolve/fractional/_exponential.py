r"""Exponential steps in time: ``du/dt = -L u + F(t, u)`` where L is diagonal, with rates r_j.

What decays is followed exactly, whatever its rate; F by the method of order four of S. M. Cox and P. C.
Matthews, J. Comput. Phys. 176, 2002. With ``E = exp(-r h)``, ``e = exp(-r h / 2)`` and phi_k at ``-r h``,

    A = e a + q F(t, a),               q = (h / 2) phi_1(-r h / 2)                    (1)
    B = e a + q F(t + h/2, A),                                                        (2)
    C = e A + q (2 F(t + h/2, B) - F(t, a)),                                          (3)
    a(t + h) = E a + h [(phi_1 - 3 phi_2 + 4 phi_3) F(t, a)                           (4)
               + (2 phi_2 - 4 phi_3) (F(t + h/2, A) + F(t + h/2, B)) + (4 phi_3 - phi_2) F(t + h, C)].

Where F does not vanish at the ends of the interval, the order is lower than four.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ._data import sample
from ._decay import SAMPLES, Decay
from ._modes import WITNESSES
from ._sine_bvp import at_ends, sine_start
from .jacobi import basis as mode_basis
from .jacobi import exponents, from_unit, image_basis, image_rule, to_unit
from .sine import (
    SineSolution,
    ends_of,
    from_sines,
    grid,
    linear_coefficients,
    sine_eigenvalues,
    sines,
    to_sines,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from ._modes import Modes

    Array = NDArray[np.float64]

#: Points of the circles over which the functions phi are averaged next to zero, where they cancel.
CIRCLE = np.exp(2j * np.pi * (np.arange(32) + 0.5) / 32)
#: Modulus below which they are.
NEAR = 0.5


class Force:
    """A source, ``source(t, x)`` or ``source(t, x, u)``."""

    def __init__(self, source: Callable[..., Any], *, of_u: bool) -> None:
        self.source, self.of_u = source, of_u

    def __call__(self, t: float, x: Array, u: Array) -> Array:
        """Evaluate at points, for the values u there; what is not finite ends the run later."""
        values = self.source(t, x, u) if self.of_u else self.source(t, x)
        known = np.asarray(values)
        if (
            self.of_u
            and known.shape == x.shape
            and known.dtype.kind == "f"
            and not np.all(np.isfinite(known))
        ):
            return known
        return np.asarray(sample("source", lambda _: values, x))

    def at_ends(self, t: float, interval: tuple[float, float]) -> tuple[float, float]:
        """The values at the ends, where u = 0; zeros where there are none."""
        return ends_of(lambda x: self.source(t, x, np.zeros(2)) if self.of_u else self.source(t, x), interval)


class Flow(Protocol):
    """A semigroup whose generator is diagonal in coordinates a."""

    points: Array
    rates: Array

    def start(self, u0: Callable[[Array], Array]) -> Array:
        """Coordinates of a function."""

    def force(self, F: Force, t: float, a: Array) -> Array:
        """Coordinates of F."""

    def coefficients(self, a: Array) -> Array:
        """Those of the solution, for states in rows."""

    def at_witnesses(self, coefficients: Array) -> Array:
        """Values where solutions are compared, a row for each state."""

    def solution(self, c: Array) -> Any:
        """The function with these coefficients."""


class JacobiFlow:
    """The semigroup of `_decay` on N Jacobi modes."""

    def __init__(self, modes: Modes, N: int, kappa: float, drift: Any) -> None:
        decay = self.decay = Decay(modes, N, kappa, drift)
        if decay.V is None:
            raise ValueError(
                "the eigenvectors of this skewed or advected operator are too ill-conditioned for "
                "exponential steps: choose a smaller n, or splines and a source that does not depend on u"
            )
        y, w = image_rule(SAMPLES * N, modes.alpha, modes.weights)
        self.points, self.solution = from_unit(y, modes.interval), modes.solution
        good = decay.mu.real > 0
        self.scale = np.where(good, 1 / np.where(good, decay.mu, 1.0), 0.0)
        self.rates = decay.rate * self.scale
        a, b = exponents(modes.alpha, modes.weights)
        functions = mode_basis(N, modes.alpha, to_unit(self.points, modes.interval), modes.weights)
        self.values = ((1 + y) ** a * (1 - y) ** b)[:, None] * ((functions / decay.root) @ decay.V)
        tests = image_basis(N, y.size, modes.alpha, modes.weights) * w[:, None]
        self.projection = self.scale[:, None] * (decay.inverse @ (tests / decay.root).T)

    def start(self, u0: Callable[[Array], Array]) -> Array:
        """Coordinates of a function."""
        return np.asarray(self.scale * (self.decay.inverse @ self.decay.moments(u0)))

    def force(self, F: Force, t: float, a: Array) -> Array:
        """Coordinates of F."""
        return np.asarray(self.projection @ F(t, self.points, (self.values @ a).real))

    def coefficients(self, a: Array) -> Array:
        """Those of the solution, for states in rows."""
        return np.asarray((a @ self.decay.V.T).real / self.decay.root)

    def at_witnesses(self, coefficients: Array) -> Array:
        """Values where solutions are compared, a row for each state."""
        return self.decay.at_witnesses(coefficients)


class SineFlow:
    """The semigroup of the spectral fractional Laplacian on n spans."""

    def __init__(self, alpha: float, interval: tuple[float, float], n: int, kappa: float) -> None:
        self.alpha, self.interval, self.n = alpha, interval, n
        self.points = grid(n, interval)
        self.rates = kappa * sine_eigenvalues(n - 1, alpha, interval)

    def start(self, u0: Callable[[Array], Array]) -> Array:
        """Coordinates of a function."""
        given = getattr(u0, "u0", u0)  # what is zero outside may not be at the ends
        return sine_start(u0, at_ends(given, self.interval), self.n, self.interval)

    def force(self, F: Force, t: float, a: Array) -> Array:
        """Coordinates of F; with those of the line through its end values in closed form."""
        values = F(t, self.points, from_sines(a))
        left, right = F.at_ends(t, self.interval)
        s = np.arange(1.0, self.n) / self.n
        rest = to_sines(values - left * s[::-1] - right * s)
        return np.asarray(rest + linear_coefficients(self.n - 1, (left, right)))

    def coefficients(self, a: Array) -> Array:
        """Those of the solution, for states in rows."""
        return a

    def at_witnesses(self, coefficients: Array) -> Array:
        """Values where solutions are compared, a row for each state."""
        return np.asarray(coefficients @ sines(self.n - 1, WITNESSES).T)

    def solution(self, c: Array) -> SineSolution:
        """The function with these coefficients."""
        return SineSolution(c, self.alpha, self.interval)


@dataclass(frozen=True)
class Steps:
    """Steps that end at the times wanted, and are at most dt wide; without a force, one for each time."""

    times: Array
    dt: float

    def counts(self, force: Force | None) -> list[int]:
        """How many there are between the times."""
        if force is None:
            return [1] * (self.times.size - 1)
        return [max(math.ceil(w / self.dt * (1 - 1e-9)), 1) for w in np.diff(self.times).tolist()]

    def follow(self, flow: Flow, u0: Any, force: Force | None) -> Iterator[tuple[float, int, Array]]:
        """Times, the number of times wanted that were reached, and states, from the start."""
        a, known = flow.start(u0), {}
        yield float(self.times[0]), 1, a
        for k, count in enumerate(self.counts(force)):
            begin, end = float(self.times[k]), float(self.times[k + 1])
            h = (end - begin) / count
            key = f"{h:.12e}"
            if h > 0 and key not in known:
                known[key] = Propagator(-flow.rates * h, h)
            for j in range(count):
                if h > 0:
                    a = known[key].step(flow, force, begin + j * h, a)
                last = j == count - 1
                yield (end if last else begin + (j + 1) * h), k + 1 + last, a


class Propagator:
    """What (1) to (4) multiply with, for one width of steps."""

    def __init__(self, z: Array, h: float) -> None:
        self.h, self.whole, self.half = h, np.exp(z), np.exp(z / 2)
        self.q = h / 2 * phi(z / 2)[0]
        one, two, three = phi(z)
        self.first = h * (one - 3 * two + 4 * three)
        self.middle, self.last = h * (2 * two - 4 * three), h * (4 * three - two)

    def step(self, flow: Flow, force: Force | None, t: float, a: Array) -> Array:
        """The state after one step."""
        if force is None:
            return np.asarray(self.whole * a)
        F = flow.force(force, t, a)
        A = self.half * a + self.q * F  # (1)
        F_A = flow.force(force, t + self.h / 2, A)
        B = self.half * a + self.q * F_A  # (2)
        F_B = flow.force(force, t + self.h / 2, B)
        C = self.half * A + self.q * (2 * F_B - F)  # (3)
        F_C = flow.force(force, t + self.h, C)
        return np.asarray(
            self.whole * a + self.first * F + self.middle * (F_A + F_B) + self.last * F_C
        )  # (4)


def phi(z: Array) -> tuple[Array, Array, Array]:
    """``phi_k(z)``, k = 1, 2, 3: ``phi_0 = exp``, ``phi_k = (phi_{k-1} - 1 / (k-1)!) / z``."""

    def directly(w: Any) -> Any:
        one = np.expm1(w) / w
        two = (one - 1) / w
        return np.stack([one, two, (two - 0.5) / w])

    near = np.abs(z) < NEAR
    values = directly(np.where(near, 1.0, z))
    if near.any():
        averaged = directly(np.add.outer(z[near], CIRCLE)).mean(axis=-1)
        values[:, near] = averaged if np.iscomplexobj(values) else averaged.real
    return values[0], values[1], values[2]
