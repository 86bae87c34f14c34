"""How the next step follows from the error of this one (G. Söderlind, ACM TOMS 29, 2003).

After a step with scaled error E_n, the step h becomes h / q with

    q = E_n^b1 E_{n-1}^-b2 E_{n-2}^b3 / SAFETY,  clipped to [1 / growth, 1 / SHRINK].     (1)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from numsolve._core import checks

#: aim below the error that would just be accepted
SAFETY = 0.9
#: a step shrinks at most by this factor
SHRINK = 0.2
#: and grows at most by this one, an ODE's and an SDE's
GROWTH, GROWTH_OF_SDE = 10.0, 9 / 8
#: no error counts as smaller than this when it is remembered
LEAST_ERROR = 1e-4
#: The last step is stretched by this much rather than leave a sliver.
STRETCH = 1.0001
#: attempts in a row with an error that is no number, after which a solve ends
PATIENCE = 10

CONTROLLERS = ("i", "pi", "pid", "fixed")
#: proportional, integral and derivative coefficients of ``"pid"``: H312 in Söderlind's list
PID = (1 / 18, 1 / 9, 1 / 18)


@dataclass(frozen=True)
class Controller:
    """The exponents of (1), and the error that stands for those before the first step."""

    b1: float
    b2: float = 0.0
    b3: float = 0.0
    growth: float = GROWTH
    before: float = LEAST_ERROR
    fixed: bool = False

    def divisor(self, xp: Any, e: Any, e1: Any, e2: Any) -> Any:
        """Q of (1), for this error and the two remembered ones."""
        q = e**self.b1 / SAFETY
        if self.b2:
            q = q * e1**-self.b2
        if self.b3:
            q = q * e2**self.b3
        return xp.clip(q, 1 / self.growth, 1 / SHRINK)

    def divisor_after_rejection(self, xp: Any, e: Any) -> Any:
        """The step shrinks by this where the error was too large; by `SHRINK` where it was no number."""
        q = xp.clip(e**self.b1 / SAFETY, 1.0, 1 / SHRINK)
        return xp.where(xp.isfinite(e), q, 1 / SHRINK)


def make_controller(name: Any, order: float, method: str, *, growth: float = GROWTH) -> Controller:
    """The controller of a word, or of diffrax's three coefficients."""
    if isinstance(name, tuple | list):
        if len(name) != 3:
            raise ValueError(f"controller must be a word or three coefficients (p, i, d), got {name!r}")
        p, i, d = (checks.real(f"controller[{k}]", c) for k, c in enumerate(name))
        if p + i + d <= 0:
            raise ValueError(f"controller must have a positive sum p + i + d, got {name!r}")
        return Controller((p + i + d) / order, (p + 2 * d) / order, d / order, growth, before=1.0)
    word = checks.choice("controller", name, CONTROLLERS)
    if word == "pid":
        return make_controller(PID, order, method, growth=growth)
    if word == "pi":
        b2 = 0.04 if method == "dopri5" else 2 / (5 * order)
        b1 = 1 / order - 0.75 * b2 if method == "dopri5" else 7 / (10 * order)
        return Controller(b1, b2, growth=growth)
    if word == "fixed":
        return Controller(0.0, growth=1.0, fixed=True)
    return Controller(1 / order, growth=growth)


def first_step(xp: Any, d0: Any, d1: Any) -> Any:
    """The trial step h0 of Hairer, from the sizes of the state and its derivative."""
    small = (d0 < 1e-5) | (d1 < 1e-5)
    return xp.where(small, 1e-6, 0.01 * d0 / xp.where(small, 1.0, d1))


def second_guess(xp: Any, h0: Any, d1: Any, d2: Any, order: float) -> Any:
    """The first step, from the trial step and the second derivative that it showed."""
    largest = xp.maximum(d1, d2)
    flat = largest <= 1e-15
    h1 = xp.where(
        flat, xp.maximum(1e-6 + 0 * h0, 1e-3 * h0), (0.01 / xp.where(flat, 1.0, largest)) ** (1 / order)
    )
    return xp.minimum(100.0 * h0, h1)


def is_span(t0: float, t1: float) -> bool:
    """Whether two times enclose something."""
    return math.isfinite(t0) and math.isfinite(t1) and t0 != t1
