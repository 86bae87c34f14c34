"""The ascent of a dual in f that the solvers of this column share: Newton's steps, and how they are watched.

The other potential is the best one for f, g = g(f), so that the columns of the plan are exact. What is left
is a concave F(f) with the gradient goal - r, where r are the row sums of the plan.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from numsolve._core.typing import Array

#: eps of the first stage over the range of the cost, and the factor from stage to stage.
FIRST_STAGE, STAGE_FACTOR = 0.05, 0.25
#: Error at which a stage but the last is left.
STAGE_TOL = 1e-2
#: Steps without progress after which a stage is given up.
PATIENCE = 40
#: A row is far off if it is by this factor.
FAR_OFF = 8.0
#: Halvings of a step, at most, and the longest of doubled steps.
HALVINGS, DOUBLED = 12, 2.0**60


def falling(reg: float, span: float) -> list[float]:
    """The eps of the stages down to reg, for costs whose range is the span.

    A regularisation is at least the rounding unit of the range: at most 25 stages.
    """
    path = [reg]
    while path[0] / STAGE_FACTOR < FIRST_STAGE * span * (1 + 1e-12):
        path.insert(0, path[0] / STAGE_FACTOR)
    return path


@dataclass
class State:
    """A point on the way: g = g(f), the row sums of the plan and what they should be, F, and the error."""

    f: Array
    g: Array
    r: Array
    goal: Array
    fun: float
    error: float


S = TypeVar("S", bound=State)


class Watch:
    """How many steps a stage has gone without one per cent less error (stuck), and without more F (idle)."""

    def __init__(self) -> None:
        self.stuck = self.idle = 0
        self._error, self._fun = float("inf"), -float("inf")

    def see(self, s: State, noise: float) -> None:
        """Count a step to s, where F has the rounding error `noise`."""
        self.stuck += 1
        self.idle += 1
        if s.error < 0.99 * self._error:
            self._error, self.stuck, self.idle = s.error, 0, 0
        if s.fun > self._fun + noise:
            self._fun, self.idle = s.fun, 0


class Ascent(ABC, Generic[S]):
    """A dual at the present regularisation, its values and its alternating steps."""

    xp: Any
    #: The weights of the rows and of the columns.
    a: Array
    b: Array
    reg: float
    #: The rounding unit, and a weight below which there is none.
    unit: float
    tiny: float
    #: Steps of each kind.
    counts: dict[str, int]

    @abstractmethod
    def at(self, f: Array, g: Array) -> S:
        """Evaluate everything at f; g is a guess."""

    @abstractmethod
    def sweep(self, s: S) -> S:
        """One iteration of Sinkhorn: the rows exact, then the columns."""

    def far_off(self, s: S) -> bool:
        """Whether a row is off by a factor of 8: a sweep repairs at once what Newton does in bits."""
        ratio = (s.r + self.tiny) / (s.goal + self.tiny)
        return not (float(self.xp.max(ratio)) < FAR_OFF and float(self.xp.min(ratio)) > 1 / FAR_OFF)

    def noise(self, s: S) -> float:
        """The rounding error of F."""
        size = self.dot(self.a, self.xp.abs(s.f)) + self.dot(self.b, self.xp.abs(s.g))
        return 2 * self.unit * size

    def dot(self, x: Array, y: Array) -> float:
        return float(x @ y)

    def l1(self, x: Array) -> float:
        return float(self.xp.sum(self.xp.abs(x)))


class EntropicAscent(Ascent[S]):
    """The dual of an entropic problem, a smooth F; -reg times its Hessian is S = diag(d) - P diag(1/b) P'."""

    #: Whether S is singular along 1.
    singular = True
    #: By what sigma of `equation` is multiplied.
    damping = 1.0

    @property
    @abstractmethod
    def expired(self) -> bool:
        """Whether the time is over."""

    def diagonals(self, s: S) -> tuple[Array, Array]:
        """Return d and b of S = diag(d) - P diag(1/b) P'."""
        return s.r, self.b  # (3) of `newton`

    def equation(self, s: S, tol: float) -> tuple[Array, Array, Array, float]:
        """Newton's step solves (S + sigma diag(max(a, r))) x = a - r: that d, b, the right side, and how far.

        sigma fades with the error. It bounds x where S is all but singular: sets of rows that exchange
        next to no mass with the others, and rows of next to no weight.
        """
        d, b = self.diagonals(s)
        d = d + min(0.1, 1e-3 * min(1.0, s.error) * self.damping) * self.xp.maximum(s.goal, s.r)
        rhs = s.goal - s.r
        if self.singular:
            rhs = rhs - float(self.xp.sum(rhs)) * s.goal
        # Forcing by the error makes the convergence quadratic; more than the tolerance needs is not asked.
        return d, b, rhs, max(min(0.1, s.error), 0.3 * tol / s.error) * self.l1(rhs)

    def newton_step(self, s: S, x: Array) -> S:
        """Go along x as far as F rises enough; sweep once if that leaves rows far off."""
        self.counts["nnewton"] += 1
        slope = self.reg * self.dot(s.goal - s.r, x)
        noise = self.noise(s)
        new, halvings = s, 0
        for halvings in range(HALVINGS + 1):
            if halvings and self.expired:
                return s
            new = self.at(s.f + (0.5**halvings * self.reg) * x, s.g)
            # Near the solution F has no digits left for Armijo's test, but the error still has.
            level = new.fun >= s.fun - 300 * noise
            rises = new.fun >= s.fun + 1e-4 * 0.5**halvings * slope - noise
            if rises or (level and new.error < 0.5 * s.error):
                break
        else:
            new = s
        limited = new.fun - s.fun > 0.9 * slope > 300 * noise and new.error > 0.99 * s.error
        if self.singular and halvings == 0 and limited:
            new = self._gone_further(new, x)
        # Steps that had to be cut are damped in their origin: rows of little weight ask for too much.
        if halvings >= 4:
            self.damping = min(self.damping * 10, 1e6)
        elif halvings < 3:
            self.damping = max(1.0, self.damping / 10)
        if halvings > 0 or self.far_off(new):
            new = self.sweep(new)
        return new

    def _gone_further(self, s: S, x: Array) -> S:
        """Where F still rises as from the start of a step, its slope and not S limits it: double the step.

        So rows that have to pay for far more than reg get there in few looks. The others are in place.
        """
        x = self.xp.where(self.xp.abs(x) > 0.1 * self.xp.max(self.xp.abs(x)), x, self.xp.zeros_like(x))
        step = 1.0
        while step < DOUBLED and not self.expired:
            rise = step * self.reg * self.dot(s.goal - s.r, x)
            new = self.at(s.f + (step * self.reg) * x, s.g)
            if not new.fun - s.fun > 0.5 * rise > 0.0:
                break
            s, step = new, 2 * step
        return s
