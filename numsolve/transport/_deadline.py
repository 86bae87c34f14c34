"""The end of a solve's time, for the long steps between two looks of its monitor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from numsolve._core.clock import now

if TYPE_CHECKING:
    from numsolve._core.limits import Limits


class TimeUp(Exception):  # noqa: N818  (not an error: a verdict)
    """The time is over; what the present step has done so far is dropped."""


@dataclass
class Deadline:
    """When the time is over, on the clock of `numsolve._core.clock`."""

    until: float = math.inf

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return now() >= self.until

    def check(self, ahead: float = 0.0) -> None:
        """Leave a long step by `TimeUp` if the time is over, or will be in so many seconds."""
        if now() + ahead >= self.until:
            raise TimeUp

    def set(self, limits: Limits, share: float = 0.0) -> None:
        """Set the user's limit, or a later end: a share of the 20 %, or 0.1 s, that a run may take longer."""
        spare = max(0.2 * limits.time_limit, 0.1) if limits.time_limit is not None else 0.0
        self.until = limits.deadline + share * spare
