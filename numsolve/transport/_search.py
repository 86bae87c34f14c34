r"""The rounds of exact transport: on few pairs a plan of least cost, and a look at all pairs at its prices.

Entropic potentials at a small eps leave most pairs a reduced cost R_ij = M_ij - f_i - g_j (after hard
c-transforms) that no plan near the optimum can pay: entropic plans have P_ij ~ exp(-R_ij/eps). The steps are

    pairs = those with R_ij <= theta eps,                                                                (2)
    a vertex of the plans on these pairs, of least cost, and prices f, g that are tight on it,           (3)
    the pairs, of all, that these prices violate; none: weak duality says that the plan is optimal.      (4)
    else they join the pairs, and (3) again.

This is column generation with the entropic solution as its start (the same goal, otherwise reached: L. Wu,
T. Liang, Y. Yang, "PINS: proximal iterations with sparse Newton and Sinkhorn for optimal transport", 2025).
`Direct` takes its first pairs, and a plan on them, from `_coarse` in place of (2), and (3) goes on from the
plan before. Its pairs may have costs of any size, whose rounding errors the prices then have. Where nothing
else is left to mend, (3) is repeated with what the prices leave cut off at a multiple of these errors: a plan
that is optimal for lower costs, and uses none of those that were cut off, is optimal.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numsolve._core import arrays
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status, deliver

from . import _coarse
from ._bounds import least_in_columns, least_in_rows, pieces
from ._coarse import Start
from ._deadline import TimeUp
from ._pairs import Pairs, at, moved, united, vertex
from ._problem import check_values
from ._reduced import UNIT

if TYPE_CHECKING:
    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array

    from ._pairs import Prices
    from ._problem import Potentials, Problem
    from .result import TransportResult

#: theta at first, and its factor where the pairs admit no plan.
THETA, WIDER = 8.0, 2.0
#: Pairs of a row, or of a column, at most: where more cost the same, some are drawn.
MOST = 24
#: The gap over the value, beside rounding errors, at which a plan counts as optimal.
GAP = 1e-13
#: A gap that rounding errors may leave.
ROUNDED = 1e-9
#: By how much a pair may cost less than its prices, over the largest of these.
SETTLED = 1e-13
#: Rounds of (3) and (4), at most, by default.
ROUNDS = 200
#: What a result says of its entropic start.
COUNTS = ("nsinkhorn", "nnewton", "ncg")


class Vertex(NamedTuple):
    """A plan on some pairs, and prices that make it tight, in terms of the reduced problem."""

    pairs: Pairs
    plan: Array
    prices: Prices
    #: The cost of the plan over what the prices certify, and the share of its marginal errors in that.
    gap: float
    missed: float


def entropic(start: TransportResult, status: Status) -> TransportResult:
    """The entropic plan in place of the exact one, with the status of its run."""
    status = Status.STAGNATED if status.success else status
    result = replace(start, status=status, value=start.value_linear, reg=0.0)
    deliver(result)
    return result


class Search:
    """The rounds (2) to (4), from an entropic solution on."""

    #: Whether a round starts from the plan before, and not from its prices only.
    warm = False

    def __init__(
        self, problem: Problem, limits: Limits, tol: float, entropic: TransportResult | None = None
    ) -> None:
        self.problem, self.entropic, self.limits, self.tol = problem, entropic, limits, tol
        self.load()
        a, b = problem.a.astype(np.float64), problem.b.astype(np.float64)
        self.a, self.b = a / a.sum(), b / b.sum()
        self.columns = b.size
        #: What the dearest pair of the plan costs.
        self.dearest = math.inf
        #: How many pairs are chosen: theta of (2), and how many of a row.
        self.theta, self.most = THETA, MOST * max(1, b.size // a.size)

    def load(self) -> None:
        """The costs in double precision."""
        self.M = np.ascontiguousarray(self.problem.M, dtype=np.float64)

    def run(self, return_plan: bool) -> TransportResult:
        """Do the rounds, and put the answer into the caller's terms."""
        steps = 0 if self.entropic is None else self.entropic.nit
        with Monitor(
            self.limits,
            thresholds={"marginal_error": self.tol, "gap": GAP},
            maxiter=steps + ROUNDS,
            label="exact transport",
            keep="reference",
            present=self._presented,
            divergence=math.inf,
        ) as it:
            self.open(it)
            if steps > 0:  # those of the start count too
                it.extend({"marginal_error": [], "gap": []}, steps=steps)
            try:
                self._rounds(it)
            except TimeUp:
                it.stop(Status.TIME_LIMIT)
        if it.x is None and self.entropic is not None:
            it.finish()
            return entropic(self.entropic, Status.STAGNATED if it.status is None else it.status)
        return self._result(it, it.x, return_plan)

    def open(self, it: Monitor) -> None:
        """Record where the rounds start."""
        assert self.entropic is not None
        low, high = self.entropic.bounds
        gap = min((high - low) / max(abs(low), 1e-300), 1e100)
        it.record({"marginal_error": self.entropic.residual, "gap": gap}, converged=False)

    def begin(self) -> Start:
        """The pairs and prices of the first round."""
        assert self.entropic is not None
        f = self.problem.start(self.entropic.potentials)[0].astype(np.float64)
        prices = self.transformed(f)
        return Start(self.below(prices, self.theta * self.problem.reg)[0], None, prices)  # (2)

    def _rounds(self, it: Monitor) -> None:
        pairs, plan, prices = self.begin()
        most = math.inf
        for _ in it:
            found = vertex(pairs, self.a, self.b, prices, self.limits, plan, most)  # (3)
            while found is None:
                wider = self._wider(pairs, prices)
                if wider.i.size == pairs.i.size:
                    if self.problem.forbidden:
                        it.stop(
                            Status.INFEASIBLE,
                            "The allowed pairs cannot carry the weights a to the weights b.",
                        )
                    else:  # every plan is allowed: it is rounding that ends the search
                        it.stop(Status.STAGNATED)
                    return
                pairs, found = wider, vertex(wider, self.a, self.b, prices, self.limits)
            plan, prices = found
            used = plan > 0
            size = max(float(np.abs(x).max()) for x in (*prices, pairs.cost[used]))
            violated, least = self.below(prices, -4 * UNIT * size)  # (4)
            x = self.judged(Vertex(pairs.chosen(used), plan[used], prices, 0.0, 0.0), least)
            gap = x.gap
            if gap > 0.0:
                gap /= abs(float(x.plan @ x.pairs.cost)) + 4 * UNIT / GAP * size
            # Rows of next to no weight add nothing to the gap: their prices have to be right all the same.
            right = None if least.min() >= -SETTLED * size else False
            it.record({"marginal_error": self._marginal_error(x), "gap": gap}, x, converged=right)
            more = united(pairs, violated, self.columns)
            if it.status is None and more.i.size == pairs.i.size:  # what is violated, rounding errors violate
                # Those of large costs: so little is wrong that these may be less, for the next round.
                wrong = max(-float(least.min()), float(x.pairs.reduced(x.prices).max()), UNIT * size)
                wrong *= 4 * sum(self.M.shape)
                if self.warm and wrong <= most / 2:
                    most, plan = wrong, moved(plan, pairs, more, self.columns)
                    continue
                fine = gap <= ROUNDED and self._marginal_error(x) <= self.tol
                it.stop(Status.ROUNDING if fine else Status.STAGNATED, f"The gap is {gap:.3g} of the cost.")
            plan = moved(plan, pairs, more, self.columns) if self.warm else None
            pairs = more

    def judged(self, x: Vertex, least: Array) -> Vertex:
        """A plan and its prices, of which each row has a pair that costs so much more, with their gap."""
        missed = abs(sum(float(p @ e) for p, e in zip(x.prices, self._errors(x), strict=True)))
        rest = np.maximum(x.pairs.reduced(x.prices), 0.0)
        gap = missed + float(x.plan @ rest) - float(self.a @ np.minimum(least, 0.0))
        return x._replace(gap=gap, missed=missed)

    def transformed(self, f: Array) -> Prices:
        """The hard c-transforms of f."""
        g = least_in_columns(np, self.M, f)
        return least_in_rows(np, self.M, g), g

    def below(self, prices: Prices, limit: float) -> tuple[Pairs, Array]:
        """The pairs whose reduced cost is at most the limit, and the least one of each row.

        Of a row that has more than enough of them, those of the least; ties are broken by chance.
        """
        (f, g), most, rng = prices, self.most, np.random.default_rng(0)
        least, parts = np.empty(f.size), []
        for rows in pieces(np, self.M):
            if self.limits.expired:
                raise TimeUp
            rest = self.M[rows] - f[rows, None]
            rest -= g
            least[rows] = rest.min(axis=1)
            hits = rest <= limit
            if np.count_nonzero(hits) > most and np.count_nonzero(hits, axis=1).max() > most:
                shaken = np.where(hits, rest - limit, np.inf) * rng.uniform(0.9, 1.0, rest.shape)
                first = np.argpartition(shaken, most - 1, axis=1)[:, :most]
                chosen = np.zeros_like(hits)
                np.put_along_axis(chosen, first, values=True, axis=1)
                hits &= chosen
            i, j = np.nonzero(hits)
            i += rows.start
            parts.append((i, j, self.M[i, j]))
        return Pairs(*(np.concatenate(x) for x in zip(*parts, strict=True))), least

    def _wider(self, pairs: Pairs, prices: Prices) -> Pairs:
        """More pairs where no plan was found: those of some plan, and a wider choice until it has all."""
        more = united(pairs, self.some(*_north_west(self.a, self.b)), self.columns)
        while more.i.size == pairs.i.size:
            everything = self.most >= self.columns and self.theta * self.problem.reg > 2 * self.problem.range
            self.theta, self.most = self.theta * WIDER, int(self.most * WIDER)
            # With forbidden pairs, prices may be many times the range of the costs.
            limit = math.inf if everything else self.theta * self.problem.reg
            limit = min(limit, np.finfo(np.float64).max)
            more = united(pairs, self.below(prices, limit)[0], self.columns)
            if everything:
                break
        return more

    def some(self, i: Array, j: Array) -> Pairs:
        """Those of some pairs that are allowed."""
        allowed = np.isfinite(self.M[i, j])
        i, j = i[allowed], j[allowed]
        return Pairs(i, j, self.M[i, j])

    def stored(self, i: Array, j: Array, t: Array) -> Array:
        """The plan of the reduced problem."""
        plan = np.zeros(self.problem.M.shape, dtype=self.problem.M.dtype)
        plan[i, j] = t
        return plan

    def _errors(self, x: Vertex) -> tuple[Array, Array]:
        """What the rows and the columns of a plan miss of their weights."""
        i, j, _ = x.pairs
        return self.a - np.bincount(i, x.plan, self.a.size), self.b - np.bincount(j, x.plan, self.b.size)

    def _marginal_error(self, x: Vertex) -> float:
        return sum(float(np.abs(e).sum()) for e in self._errors(x))

    def _presented(self, x: Vertex | None) -> Potentials:
        """The caller's potentials."""
        if x is None and self.entropic is not None:
            return self.entropic.potentials
        assert x is not None
        dtype = self.problem.M.dtype
        f, g = (p.astype(dtype) for p in x.prices)
        return replace(self.problem, mass=1.0).potentials((f, g))

    def _result(self, it: Monitor, x: Vertex, return_plan: bool) -> TransportResult:
        problem, mass = self.problem, self.problem.mass
        (i, j, cost), t = x.pairs, x.plan
        self.dearest = float(cost.max(initial=-math.inf))
        rows, columns = np.bincount(i, t, self.a.size), np.bincount(j, t, self.b.size)
        linear = mass * (math.fsum(t * cost) + problem.shift_of(rows, columns))
        kl = float(t @ (np.log(t) - np.log(self.a[i]) - np.log(self.b[j])))
        values = {"value": linear, "value_linear": linear, "kl": mass * kl}
        plan = problem.plan(self.stored(i, j, t)) if return_plan else None
        check_values(it, values)
        start = self.entropic
        counts = {} if start is None else {k: getattr(start, k) for k in COUNTS}
        return it.result(
            problem.kind,
            plan=plan,
            residual=self._marginal_error(x),
            bounds=(linear - mass * x.gap, linear + mass * x.missed),
            reg=0.0,
            reg_path=(*(() if start is None else start.reg_path), 0.0),
            **counts,
            **values,
        )


class Direct(Search):
    """The rounds from a plan that lies nearby, by `_coarse`, without an entropic solution."""

    warm = True

    def suits(self) -> bool:
        """Whether there is such a start; then it is that."""
        self.start = _coarse.on_line(self.M, self.a, self.b)
        self.groups = None if self.start is not None else _coarse.groups(self.M)
        return self.start is not None or self.groups is not None or self.M.size <= _coarse.FEW

    def open(self, it: Monitor) -> None:
        """Record a plan that is far from the best, and the least cost as its price."""
        i, j, t = arrays.kernels_for(np, __package__, "pairs").staircase(self.a, self.b)
        low = self.problem.highest - self.problem.range
        prices = np.full(self.a.size, low), np.zeros(self.b.size)
        i, j, t = i[t > 0], j[t > 0], t[t > 0]
        x = self.judged(Vertex(Pairs(i, j, self.M[i, j]), t, prices, 0.0, 0.0), np.zeros_like(self.a))
        gap = min(x.gap / max(abs(float(t @ x.pairs.cost)), 1e-300), 1e100)
        it.record({"marginal_error": self._marginal_error(x), "gap": gap}, x, converged=False)

    def begin(self) -> Start:
        """The pairs, plan and prices of the first round."""
        if self.start is None:
            self.start = _coarse.grouped(self.M, self.a, self.b, self.limits, self.groups)
        return self.start

    def below(self, prices: Prices, limit: float) -> tuple[Pairs, Array]:
        """Those of the pairs below the limit that cost least, and the least one of each row."""
        if self.limits.expired:
            raise TimeUp
        k = arrays.kernels_for(np, __package__, "pairs")
        keys, least = k.least_pairs(self.M, *prices, limit, _coarse.MOST)
        return at(keys, self.columns, self.M), least


def _north_west(a: Array, b: Array) -> tuple[Array, Array]:
    """The pairs of the plan that fills rows and columns in their order."""
    ends = np.cumsum(a)[:-1], np.cumsum(b)[:-1]
    starts = np.concatenate([[0.0], np.sort(np.concatenate(ends))])
    i, j = (np.searchsorted(end, starts, side="right") for end in ends)
    # Where two ends differ by rounding errors only, both ways around: any is right for the weights then.
    return np.concatenate([i, i[:-1]]), np.concatenate([j, j[1:]])
