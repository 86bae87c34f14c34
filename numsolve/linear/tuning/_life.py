"""How long factors are kept: as long as the next solve with them costs less than the average so far.

That is when a machine is replaced: with S seconds for the factors, and s_1, s_2, ... for the solves, the
average (S + s_1 + ... + s_k) / k is least at the first k at which s_{k+1} is above it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._look import Look

#: The first solve with late factors may take so many times the fresh steps; others what the average allows.
STEPS = 2
#: Complete factors solve at once while they are fresh; late, they are expected to take so many times that.
LATE = 8
#: So many lives pass before late factors that were of no use are tried again, then twice as many.
PAUSE = 8
LONGEST_PAUSE = 64


@dataclass
class Life:
    """Factors, and what they have cost. A life is what happens between two factorisations."""

    factors: Any = None
    #: of their matrix
    number: int = -1
    #: seconds of this life, and systems that were solved
    spent: float = 0.0
    uses: int = 0
    #: the same of the life before
    before: tuple[float, int] = (0.0, 0)
    #: of the last solve with the matrix's own factors: seconds and steps
    fresh: float = math.nan
    steps: int = 0
    #: seconds of the last solve with late factors in this life, and how many there were
    late: float = math.nan
    served: int = 0
    #: lives without a late solve that are still to come, and how many come the next time
    rest: int = 0
    pause: int = PAUSE

    @property
    def average(self) -> float:
        """Seconds of a system, factors included, in this life."""
        return self.spent / self.uses if self.uses else math.inf

    @property
    def price(self) -> float:
        """Seconds of a system in this life and the one before."""
        return (self.spent + self.before[0]) / max(self.uses + self.before[1], 1)

    def next(self, look: Look, refresh: int) -> float:
        """The seconds of the next solve with these factors; infinite if they do not serve this matrix."""
        age = look.number - self.number
        if self.factors is None or not 0 <= age < refresh:
            return math.inf
        if age == 0:
            return self.fresh
        if self.served:
            return self.late
        if self.rest:
            return math.inf
        return self.fresh * (1 if self.steps else LATE)

    def serves(self, look: Look, refresh: int) -> bool:
        """Whether to go on with these factors."""
        if look.number == self.number and self.factors is not None:
            return True
        return self.next(look, refresh) < self.average

    def renew(self, factors: Any, number: int, seconds: float) -> None:
        """Begin a new life."""
        if self.served:
            useless = self.served == 1
            self.rest = self.pause if useless else 0
            self.pause = min(2 * self.pause, LONGEST_PAUSE) if useless else PAUSE
        elif self.rest:
            self.rest -= 1
        self.before = self.spent, self.uses
        self.factors, self.number, self.spent, self.uses = factors, number, seconds, 0
        self.late, self.served = math.nan, 0

    def note(self, number: int, seconds: float, steps: int, *, solved: bool) -> None:
        """Take note of a solve; what was cut off would have taken nobody knows how long."""
        self.spent += seconds
        self.uses += 1
        seconds = seconds if solved else math.inf
        if number == self.number:
            self.fresh, self.steps = seconds, steps
        else:
            self.late = seconds
            self.served += 1

    def most(self) -> int:
        """Steps after which late factors are given up."""
        step = self.fresh / (self.steps + 1)
        worth = self.average / step if step > 0 and self.served else 0.0
        return int(max(STEPS * (self.steps + 5), min(worth, 1e6)))
