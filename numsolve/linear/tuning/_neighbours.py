"""The tuner of ``TunedSolver("auto")``: the best arm so far, and trials of its neighbours.

R. Combes, A. Proutiere, "Unimodal bandits: regret lower bounds and optimal algorithms", ICML 2014: the arms
are the vertices of a graph on which the cost has one valley, and of an arm's neighbours one is better unless
the arm is the best; so only the leader and its neighbours are played. It differs from the paper in that

- a model says beforehand what an arm will cost, up to a factor; an arm far behind is never tried;
- the logarithm of the cost is a level, which drifts, plus a part of the arm, so that a change that spares no
  arm is not taken for a merit;
- systems that look alike share a table; a new table begins with what the nearest one knows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import checks

from ._arms import expected, is_banded, neighbours
from ._tuner import Tuner

if TYPE_CHECKING:
    from numsolve._core.typing import Array, RandomState

    from ._arms import Known
    from ._look import Look

#: How far the model may be wrong, as a logarithm: beside an arm that was played, and for a new family.
NEAR, FAR = 0.35, 1.1
#: A family whose best arm is farther behind is left alone.
WORTH = 0.7
#: What one cost may be wrong by, as a logarithm; and how much more in each round since.
NOISE, STALE = 0.2, 0.003
#: How fast the level follows, and how many costs of an arm are remembered.
FOLLOW, PLAYS = 0.3, 6
#: Why there are no trials.
NARROW = "its bands are so narrow that nothing else was tried"
#: Rounds of the leader between two trials.
BETWEEN = 2
#: Rounds after which one looks again for something to try, where there was nothing.
REST = 8
#: A trial is cut off at so many times what the leader takes.
PATIENCE = 3.0


@dataclass
class _Table:
    """What is known of the arms for systems that look alike."""

    expected: Array
    #: the same where nothing will follow
    alone: Array
    #: the part of each arm in the logarithm of the cost
    part: Array
    plays: Array
    last: Array
    level: float = math.nan
    rounds: int = 0
    waiting: int = 0
    #: the best arm that was played
    leader: int = -1
    #: the arm that is taken without trials, for matrices with at most such a band
    only: int = -1
    band: int = 0
    n: int = 0


class Neighbours(Tuner):
    """Find the cheapest of many arms from few trials."""

    _state = ("_tables",)

    def __init__(self, arms: Any, *, rng: RandomState = None) -> None:
        super().__init__(arms, rng=rng)
        self._near = neighbours(self.arms)
        names = [arm[0] for arm in self.arms]
        self._families = [np.array([name == own for own in names]) for name in dict.fromkeys(names)]
        self._tables: dict[tuple[int, ...], _Table] = {}
        self._table: _Table | None = None
        #: why the arm was suggested, and the seconds that its trial may take
        self.reason, self.budget = "", math.inf

    def suggest(self, context: Any = None) -> Any:
        """Choose an arm for a system of which this is `Known`."""
        key = context.key
        table = self._tables.get(key)
        if table is None:
            table = self._tables[key] = self._begun(context)
        self._table, self.budget = table, math.inf
        self.index, self.reason = self._choice(table)
        return self.arms[self.index]

    def observe(self, cost: float) -> None:
        """Learn what the suggested arm cost, in seconds."""
        if self.knows:
            self.rounds += 1
            self.index = None
            return
        cost = checks.real("cost", cost, low=0.0)
        if self.index is None or self._table is None:
            raise RuntimeError("observe(cost) needs a suggest() before it, one for each cost")
        self._note(self._table, self.index, math.log(max(cost, 1e-9)))
        self.rounds += 1
        self.index = None

    @property
    def knows(self) -> bool:
        """Whether there is nothing to learn from systems as the last one."""
        return self._table is not None and self._table.only >= 0

    def takes(self, look: Look) -> bool:
        """Suggest what nothing is tried beside, if this matrix is as the last one, a narrow band."""
        table = self._table
        if table is None or table.only < 0 or look.A.shape[0] != table.n:
            return False
        if max(look.below, look.above) > table.band:
            return False
        self.index, self.reason = table.only, NARROW
        return True

    def best(self) -> int:
        """The best arm so far for systems as the last one."""
        table = self._table
        assert table is not None
        return int(np.argmin(table.expected)) if table.leader < 0 else table.leader

    def other(self, index: int) -> int:
        """The arm of another family that is expected to be the best, or -1."""
        assert self._table is not None
        own = next(family for family in self._families if family[index])
        values = np.where(own, np.inf, self._table.expected)
        best = int(np.argmin(values))
        return best if np.isfinite(values[best]) else -1

    def _begun(self, known: Known) -> _Table:
        """A table with what the nearest one knows."""
        guess, d = expected(self.arms, known), len(self.arms)
        alone = expected(self.arms, known, alone=True)
        table = _Table(guess, alone, np.zeros(d), np.zeros(d), np.zeros(d))
        key = known.key
        others = [other for other in self._tables if other[:2] == key[:2]]
        if others:
            own = np.array(key[2:])
            near = min(others, key=lambda other: float(abs(np.array(other[2:]) - own) @ (1, 3, 1)))
            old = self._tables[near]
            # The parts change as the model says; one play of each is believed.
            with np.errstate(invalid="ignore"):
                shift = guess - old.expected
                moved = old.part + shift - (np.mean(shift[old.plays > 0]) if (old.plays > 0).any() else 0.0)
            table.plays = np.where(np.isfinite(moved), np.minimum(old.plays, 1.0), 0.0)
            table.part = np.where(table.plays > 0, moved, 0.0)
            if (table.plays > 0).any():
                table.leader = int(np.argmin(np.where(table.plays > 0, table.part, np.inf)))
        direct = [i for i, arm in enumerate(self.arms) if arm == ("direct", 1)]
        if direct:
            rest = np.array([arm[0] != "direct" for arm in self.arms])
            least = float(np.exp(guess[rest].min(initial=np.inf)))
            table.only = direct[0] if is_banded(known, least) else -1
            table.band = max(known.look.below, known.look.above)
            table.n = known.look.A.shape[0]
        return table

    def _choice(self, table: _Table) -> tuple[int, str]:
        if table.only >= 0:
            return table.only, NARROW
        leader = table.leader
        if leader < 0:
            return int(np.argmin(table.alone)), "it is expected to be the cheapest"
        if table.waiting < BETWEEN:
            return leader, "it was the cheapest so far"
        played = table.plays > 0
        values = np.full(table.part.size, np.inf)
        # Played before, and perhaps better than it seemed.
        margin = NOISE / np.sqrt(np.maximum(table.plays, 1)) + STALE * (table.rounds - table.last)
        values[played] = (table.part - margin)[played]
        surprise = float(np.mean((table.part - table.expected)[played]))
        for family in self._families:
            known = played & family
            possible = family & np.isfinite(table.expected)
            if known.any():
                best = int(np.argmin(np.where(known, table.part, np.inf)))
                if table.part[best] > table.part[leader] + WORTH:
                    continue
                wanted = possible & ~played & self._near[best]
                guess = table.expected[wanted] + table.part[best] - table.expected[best]
                values[wanted] = guess - NEAR
            elif possible.any():
                # What surprised in other families may be no surprise here.
                first = int(np.argmin(np.where(possible, table.expected, np.inf)))
                values[first] = table.expected[first] + min(surprise, -table.level) - FAR
        values[leader] = np.inf
        trial = int(np.argmin(values))
        if values[trial] < table.part[leader]:
            self.budget = PATIENCE * math.exp(min(table.level + table.part[leader], 50.0))
            return trial, "it was tried beside the cheapest so far"
        table.waiting -= REST
        return leader, "it was the cheapest so far"

    def _note(self, table: _Table, i: int, y: float) -> None:
        leader = i if table.leader < 0 else table.leader
        table.rounds += 1
        if math.isnan(table.level):
            table.level = y - table.part[i]
        elif i == leader:
            table.level += FOLLOW * (y - table.part[i] - table.level)
        else:
            known = min(table.plays[i], PLAYS)
            table.part[i] += (y - table.level - table.part[i]) / (known + 1) if known else y - table.level
        table.waiting = table.waiting + 1 if i == leader else 0
        table.plays[i] += 1
        table.last[i] = table.rounds
        if i != table.leader:
            table.leader = int(np.argmin(np.where(table.plays > 0, table.part, np.inf)))
