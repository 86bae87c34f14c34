"""Seconds as the cost of a solve, without the outliers that other processes cause."""

from __future__ import annotations

from collections import deque
from statistics import median

#: How many of the last solves of an arm are looked at, and what is too long beside their median.
RECENT, TOO_LONG = 7, 2.0


class Clock:
    """What solves took, for each arm.

    A time is an outlier if it is twice what the last solves of the same arm took, both by the time of a
    solve and by the time of an iteration. Where a solve takes S + c n seconds for n iterations, no true time
    is one, however n changes from system to system.
    """

    def __init__(self) -> None:
        self._recent: dict[str, deque[tuple[float, float]]] = {}

    def trimmed(self, arm: str, seconds: float, iterations: float) -> float:
        """The seconds, or what the last solves let expect if they are an outlier."""
        recent, n = self._recent.setdefault(arm, deque(maxlen=RECENT)), max(iterations, 1.0)
        usual = float("inf")
        if recent:
            usual = max(median(s for s, _ in recent), n * median(rate for _, rate in recent))
        recent.append((seconds, seconds / n))
        return usual if seconds > TOO_LONG * usual else seconds
