"""What a run may cost, and how it is watched: packed once in the public function, passed whole."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from . import checks
from .clock import now

if TYPE_CHECKING:
    from .typing import Callback


@dataclass(frozen=True)
class Limits:
    """The run settings that every iterative solver takes.

    The clock starts when they are packed, so that preparation counts too. A public function packs them in its
    first line, ``limits = Limits(maxiter, time_limit, callback, progress)``, and hands them to a `Monitor`.

    Parameters
    ----------
    maxiter : int, optional
        Most iterations; the method's own number by default.
    time_limit : float, optional
        Seconds from now on; those in which a kernel compiles, once on a machine, do not count.
    callback : callable, optional
        Called after each iteration; True stops the run.
    progress : bool
        Show a progress bar.
    """

    maxiter: int | None = None
    time_limit: float | None = None
    callback: Callback | None = None
    progress: bool = False
    #: when the time is over, on the clock of `numsolve._core.clock`
    deadline: float = field(default=math.inf, init=False, compare=False)

    def __post_init__(self) -> None:
        """Check each setting by its name, and start the clock."""
        if self.maxiter is not None:
            object.__setattr__(self, "maxiter", checks.integer("maxiter", self.maxiter, low=0))
        if self.time_limit is not None:
            seconds = checks.real("time_limit", self.time_limit, low=0.0, infinite=True)
            object.__setattr__(self, "time_limit", seconds)
            object.__setattr__(self, "deadline", now() + seconds)
        if self.callback is not None:
            checks.function("callback", self.callback)
        if self.progress is not False:
            object.__setattr__(self, "progress", checks.flag("progress", self.progress))

    def steps(self, usual: int) -> int:
        """The iterations allowed: the user's number, or the method's usual one."""
        return usual if self.maxiter is None else self.maxiter

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(self.deadline - now(), 0.0)

    @property
    def expired(self) -> bool:
        """Whether the time is over."""
        return now() >= self.deadline

    def part(self, maxiter: int | None = None) -> Limits:
        """Return the limits of a solve inside this one: the same deadline, unwatched."""
        inner = Limits(maxiter)
        object.__setattr__(inner, "deadline", self.deadline)
        return inner

    def earlier(self, seconds: float) -> Limits:
        """Return these limits for steps before a result that takes so many seconds, and may be 10 % late."""
        out = replace(self)
        spare = 0.1 * self.time_limit if self.time_limit is not None else 0.0
        object.__setattr__(out, "deadline", self.deadline - max(seconds - spare, 0.0))
        return out

    def usual(self, maxiter: int) -> Limits:
        """Return these limits with the method's usual number of iterations where the user gave none."""
        if self.maxiter is not None:
            return self
        out = replace(self, maxiter=maxiter)
        object.__setattr__(out, "deadline", self.deadline)
        return out

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process has another clock.
        seconds = None if self.deadline == math.inf else self.seconds_left
        return Limits, (self.maxiter, seconds, self.callback, self.progress)
