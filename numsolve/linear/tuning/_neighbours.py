"""The tuner of ``TunedSolver("auto")``: the best arm so far, and trials of its neighbours on a budget.

R. Combes, A. Proutiere, "Unimodal bandits: regret lower bounds and optimal algorithms", ICML 2014: the arms
are the vertices of a graph on which the cost has one valley, and of an arm's neighbours one is better unless
the arm is the best; so only the leader and its neighbours are played. It differs from the paper in that

- a model says beforehand what an arm will cost, up to a factor; an arm far behind is never tried;
- seconds hardly scatter: one trial that loses is enough, until the leader itself becomes dearer than the
  arm was, or much time has passed;
- what trials cost beyond the leader is counted: some solves of the leader at the beginning, and afterwards a
  share of all seconds;
- an arm whose factors are at hand is played while its next solve is cheaper than the leader's;
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
NOISE, STALE = 0.1, 0.002
#: How fast the leader's cost is followed.
FOLLOW = 0.2
#: What trials may cost beyond the leader: so many of its solves, and this share of all seconds.
START, SHARE = 6.0, 0.04
#: Of trials, the one with the largest gain for its risk; each risks so much of the leader's cost.
LEAST = 0.1
#: If the leader costs so much more than before, as a logarithm, half of what trials cost is forgotten.
SHIFT = 0.4
#: A factor at hand is used if it saves so much, as a logarithm.
SAVES = 0.05
#: Why there are no trials.
NARROW = "its bands are so narrow that nothing else was tried"
#: Rounds after which one looks again for something to try, where there was nothing.
REST = 16
#: A trial is cut off at so many times what the leader takes, and then goes on by that.
PATIENCE = 1.5


@dataclass
class _Table:
    """What is known of the arms for systems that look alike."""

    expected: Array
    #: the same where nothing will follow
    alone: Array
    #: what each arm cost when it was played, and the leader at that time, both as logarithms
    cost: Array
    beside: Array
    plays: Array
    last: Array
    #: what the leader costs now
    level: float = math.nan
    rounds: int = 0
    #: no trial before this round
    rests: int = 0
    #: the best arm that was played
    leader: int = -1
    #: seconds of all solves, and of trials beyond the leader's
    total: float = 0.0
    excess: float = 0.0
    #: the level above which half of the excess is forgotten
    bound: float = math.inf
    #: the arm that is taken without trials, for matrices with at most such a band
    only: int = -1
    band: int = 0
    n: int = 0
    positive: bool = False


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
        self.index, self.reason = self._choice(table, context.going)
        return self.arms[self.index]

    def account(self, seconds: float) -> None:
        """Take note of all seconds of a system, before `observe`."""
        table = self._table
        if table is not None and not math.isnan(table.level):
            table.total += seconds
            if self.index != table.leader:
                table.excess += max(seconds - math.exp(table.level), 0.0)

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
        if table is None or table.only < 0 or look.A.shape[0] != table.n or look.positive != table.positive:
            return False
        if max(look.below, look.above) > table.band:
            return False
        self.take_only()
        return True

    def expects_tridiagonal(self, n: int) -> bool:
        """Whether the last matrix was positive and tridiagonal with n rows, so that nothing is tried."""
        table = self._table
        return table is not None and table.only >= 0 and table.band == 1 and n == table.n and table.positive

    def take_only(self) -> None:
        """Suggest what nothing is tried beside."""
        assert self._table is not None
        self.index, self.reason = self._table.only, NARROW

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
        table = _Table(guess, alone, *np.zeros((4, d)))
        key = known.key
        others = [other for other in self._tables if other[:2] == key[:2]]
        if others:
            own = np.array(key[2:])
            near = min(others, key=lambda other: float(abs(np.array(other[2:]) - own) @ (1, 3, 1)))
            old = self._tables[near]
            # The costs change as the model says; one play of each is believed.
            with np.errstate(invalid="ignore"):
                shift = guess - old.expected
            moved = np.isfinite(shift) & (old.plays > 0)
            table.plays[moved] = 1.0
            table.cost[moved] = (old.cost + shift)[moved]
            table.beside[moved] = (old.beside + shift)[moved]
            if moved.any():
                first = int(np.argmin(np.where(moved, table.cost, np.inf)))
                table.leader = old.leader if moved[old.leader] else first
                table.total, table.excess = old.total, old.excess
        direct = [i for i, arm in enumerate(self.arms) if arm[0] == "direct"]
        if direct:
            rest = np.array([arm[0] != "direct" for arm in self.arms])
            least = float(np.exp(guess[rest].min(initial=np.inf)))
            table.only = direct[0] if is_banded(known, least) else -1
            table.band = max(known.look.below, known.look.above)
            table.n, table.positive = known.look.A.shape[0], known.look.positive
        return table

    def _choice(self, table: _Table, going: dict[int, float]) -> tuple[int, str]:
        if table.only >= 0:
            return table.only, NARROW
        leader, level = table.leader, table.level
        if leader < 0:
            return int(np.argmin(table.alone)), "it is expected to be the cheapest"
        # The first system has no start, and may be cold; but not so much.
        if math.isnan(level) or (table.plays[leader] < 2 and not self._disappoints(table)):
            return leader, "it was the cheapest so far"
        # Factors of a matrix of another kind are no use.
        going = {i: seconds for i, seconds in going.items() if math.isfinite(table.expected[i])}
        if going:
            best = min(going, key=going.__getitem__)
            cheap = min(going.get(leader, math.inf), math.exp(level - SAVES))
            if best != leader and going[best] < cheap:
                self.budget = PATIENCE * math.exp(min(level, 50.0))
                return best, "its factors are at hand"
        if table.rounds < table.rests:
            return leader, "it was the cheapest so far"
        trial = self._trial(table)
        if trial < 0:
            table.rests = table.rounds + REST
            return leader, "it was the cheapest so far"
        self.budget = PATIENCE * math.exp(min(level, 50.0))
        return trial, "it was tried beside the cheapest so far"

    def _disappoints(self, table: _Table) -> bool:
        """Whether the leader cost far more than an arm of a family that was not played should."""
        new = np.ones(len(self.arms), dtype=bool)
        for family in self._families:
            new[family] = not table.plays[family].any()
        return bool(table.level - FAR > table.alone[new].min(initial=np.inf))

    def _trial(self, table: _Table) -> int:
        """The arm that may be better than the leader, at a cost that may be paid, or -1."""
        leader, level = table.leader, table.level
        played = table.plays > 0
        hope, fear = np.full((2, table.cost.size), np.inf)
        # Costs have changed as the leader's; if that is much dearer, perhaps it alone.
        alike = table.cost + level - table.beside
        likely = np.where(level - table.beside > SHIFT, table.cost, alike)
        margin = NOISE / np.sqrt(np.maximum(table.plays, 1)) + STALE * (table.rounds - table.last)
        hope[played] = (likely - margin)[played]
        fear[played] = alike[played]
        surprise = float(np.mean((table.cost - table.expected)[played]))
        for family in self._families:
            known = played & family
            possible = family & np.isfinite(table.expected)
            if known.any():
                best = int(np.argmin(np.where(known, table.cost, np.inf)))
                if hope[best] > level + WORTH:
                    continue
                wanted = possible & ~played & self._near[best]
                off = table.cost[best] - table.expected[best]
                hope[wanted] = (table.expected + off - NEAR)[wanted]
                fear[wanted] = (table.alone + min(off, surprise))[wanted]
            elif possible.any():
                # What surprised in other families may be no surprise here.
                first = int(np.argmin(np.where(possible, table.expected, np.inf)))
                hope[first] = table.expected[first] + min(surprise, 0.0) - FAR
                fear[first] = table.alone[first]
        hope[leader] = np.inf
        seconds = math.exp(min(level, 50.0))
        left = START * seconds + SHARE * table.total - table.excess
        gain, risk = level - hope, np.exp(np.minimum(fear - level, 50.0)) - 1
        possible = (gain > 0) & (risk * seconds <= left)
        if not possible.any() or left <= 0:
            return -1
        return int(np.argmax(np.where(possible, gain / np.maximum(risk, LEAST), -np.inf)))

    def _note(self, table: _Table, i: int, y: float) -> None:
        table.rounds += 1
        if math.isnan(table.level):
            # What another table knew of the arms is right up to a factor.
            off = y - table.cost[i] if table.leader >= 0 else 0.0
            table.cost += off
            table.beside += off
            table.leader, table.level, table.cost[i] = i, y, y
            table.bound = y + SHIFT
        elif i == table.leader:
            first = table.rounds == 2 and table.plays[i] == 1
            table.level += (1.0 if first else max(FOLLOW, 1 / (table.plays[i] + 1))) * (y - table.level)
            table.cost[i], table.bound = table.level, table.level + SHIFT if first else table.bound
            if table.level > table.bound:
                table.bound, table.excess = table.level + SHIFT, table.excess / 2
                table.rests = 0
        else:
            table.cost[i] = y
            table.rests = max(table.rests, table.rounds + 1)
        table.beside[i] = table.level
        table.plays[i] += 1
        table.last[i] = table.rounds
        if y < table.level and i != table.leader:
            table.beside += y - table.level
            table.leader, table.level, table.beside[i] = i, y, y
            table.bound, table.rests = y + SHIFT, 0
