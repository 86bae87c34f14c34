r"""The common solver of quadratic and of sparsity-constrained transport, in three parts.

The problem is  min <M, T> + (reg/2) sum_j ||T_j||^2  over the plans, where the norm of a column is that of
the k-support: ||t||^2 = min sum_i t_i^2 / eta_i over 0 < eta_i <= 1, sum_i eta_i <= k. For k = n that is the
2-norm.

1. Without a limit, Newton's method comes first, on plans that are less and less blurred (`_semismooth`). It
   needs no more where columns of the plan have several entries.
2. Of a sharper plan entropic transport tells which pairs matter: the best few of each row and column, by
   reduced cost. An interior-point method solves the problem on these pairs (`_barrier`, `_interior`). It
   finds out which entries vanish, a question that holds up Newton's method, to within a small gap.
3. Newton's method with all pairs makes the plan sparse and the marginals exact. With a limit it needs a
   proximal term: without it F has kinks, and the maximiser sits on them. The plan is then replaced by the new
   one and the term made smaller, until the duality gap of the problem itself is closed.

If the last step stalls, the pairs were too few: the second is repeated with more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import ConvergenceWarning, Status
from numsolve._core.unheard import unheard
from numsolve.transport._deadline import Deadline, TimeUp
from numsolve.transport.newton import newton as entropic

from ._barrier import Barrier
from ._interior import Interior
from ._pairs import ByColumns
from ._semismooth import Proximal, SparseDual, SparseState, newton

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numsolve._core.typing import Array
    from numsolve.transport._problem import Problem

    from ._pairs import ChosenPairs

#: First reg over the range of the cost over a typical weight, and the factor from one to the next.
FIRST_REG, STAGE_FACTOR = 0.1, 4.0
#: Sweeps before the first stage, and the error at which one but the last is left, within so many steps.
FIRST_SWEEPS, STAGE_TOL, STAGE_STEPS = 3, 0.03, 10
#: Newton's method goes on as long as the error falls to this share in so many steps.
STALLED_FACTOR, STALLED_STEPS = 0.25, 8
#: Relative gap at which an interior-point method hands over, and its largest number of steps.
HAND_OVER, INTERIOR_STEPS = 1e-9, 80
#: Largest eps of the entropic start over the range of the cost.
SHARPNESS = 2e-3
#: Range of the cost below which nothing of it is seen, in units of about reg.
LEAST_RANGE = 1e-290
#: Newton steps for one proximal step, at most.
PATIENCE = 25
#: First weight of the proximal term over reg, the factor from one to the next, and the least.
FIRST_PROX, PROX_FACTOR, LEAST_PROX = 0.1, 0.1, 1e-5


class Point(NamedTuple):
    """Potentials, and a plan stored by columns."""

    f: Array
    g: Array
    ptr: Array
    rows: Array
    t: Array

    @property
    def plan(self) -> ByColumns:
        """The plan alone."""
        return ByColumns(self.ptr, self.rows, self.t)


class Iterate(NamedTuple):
    """A point, its marginal error, its duality gap over the scale, and whether it may be the answer."""

    x: Point
    error: float
    gap: float
    final: bool


class Infeasible(Exception):  # noqa: N818  (not an error: a verdict)
    """The allowed pairs carry no plan."""


@dataclass
class Relaxed:
    """A prepared problem with at most k entries a column, relaxed."""

    problem: Problem
    k: int
    #: What the caller's costs, potentials and regularisation were multiplied with.
    unit: float = 1.0

    def __post_init__(self) -> None:
        problem = self.problem
        self.kernels = arrays.kernels_for(problem.xp, __package__)
        self.reg = problem.reg * problem.mass  # the plan is measured in units of the mass
        self.a, self.b = problem.a.astype(np.float64), problem.b.astype(np.float64)
        self.a, self.b = self.a / self.a.sum(), self.b / self.b.sum()
        self.M = np.ascontiguousarray(problem.M, dtype=np.float64)
        #: The range of the cost; beside such a reg differences that underflow are none.
        self.range = problem.range if problem.range > LEAST_RANGE else 0.0
        if self.range == 0.0:
            self.M = np.where(np.isfinite(self.M), 0.0, self.M)
        self.Mt = np.ascontiguousarray(self.M.T)
        self.m, self.n = self.Mt.shape
        self.k = min(self.k, self.n)
        self.least = float(self.Mt.min())
        self.unlimited = self.k == self.n
        self.none = ByColumns(np.zeros(self.m + 1, np.int64), np.empty(0, np.int32), np.empty(0))
        self.limits, self.deadline = Limits(), Deadline()
        self.counts = {"nsinkhorn": 0, "nnewton": 0}

    def limited(self, limits: Limits) -> None:
        """Take the limits of a run, for its long steps and for the solves inside."""
        self.limits = limits
        self.deadline.set(limits)

    def value(self, x: Point) -> float:
        """The relaxed objective of a plan."""
        norm = x.t @ x.t if self.unlimited else self.kernels.support_norm(x.ptr, x.t, self.k)
        return self.linear(x) + 0.5 * self.reg * float(norm)

    def linear(self, x: Point) -> float:
        """<M, T>."""
        columns = np.repeat(np.arange(self.m), np.diff(x.ptr))
        return float(self.Mt[columns, x.rows] @ x.t)

    def best(self, f: Array) -> tuple[Point, Array, float]:
        """The plan that prices suggest, each column for itself; its row sums, and the sum of the maxima."""
        if self.unlimited:
            guess = (self.Mt - f).min(axis=1)
            g, ptr, rows, t, r, square = self.kernels.balanced_columns(self.Mt, f, self.b, self.reg, guess)
            return Point(f, g, ptr, rows, t), r, 0.5 * self.reg * square - float(self.b @ g)
        settings = (self.b, self.reg, 0.0, self.k, *self.none)
        g, _, ptr, rows, t, r, total = self.kernels.best_columns(self.Mt, f, *settings)
        return Point(f, g, ptr, rows, t), r, float(total)

    def bound(self, f: Array) -> float:
        """The semi-dual at f: below the value of every plan."""
        return float(self.a @ f) - self.best(f)[-1]

    def scale(self, value: float) -> float:
        """What gaps are relative to: the value over the least entry of the cost."""
        return value - self.least + 1e-6 * self.range + 1e-300

    def rounding(self) -> float:
        """The marginal error that rounding can cause."""
        prox = 1.0 if self.unlimited else LEAST_PROX
        unit = float(np.finfo(np.float64).eps)
        exponents = float(self.n + self.m) * (8 + self.range / (self.reg * prox))
        return min(unit * exponents, math.sqrt(unit))

    def dense(self, x: Point) -> Array:
        """The plan as an (n, m) array."""
        Tt = np.zeros((self.m, self.n))
        Tt[np.repeat(np.arange(self.m), np.diff(x.ptr)), x.rows] = x.t
        return np.ascontiguousarray(Tt.T)

    # -- the iteration -----------------------------------------------------------------------------

    def solve(
        self,
        label: str,
        limits: Limits,
        tol: float,
        start: tuple[Array, Array] | None,
        present: Callable[[Point], tuple[Array, Array]] | None = None,
    ) -> tuple[Monitor, Point]:
        """Run under a monitor, which comes back with the best point."""
        tol = checks.real("tol", tol, low=0.0)
        self.limited(limits)
        with Monitor(
            limits,
            thresholds={"marginal_error": tol, "duality_gap": tol},
            maxiter=1000,
            label=label,
            keep="reference",
            divergence=float("inf"),
            present=present,
        ) as it:
            iterates = self._iterates(start, tol)
            try:
                self._record(it, next(iterates))
                for _ in it:
                    self._record(it, next(iterates))
            except StopIteration:
                close = it.residual <= self.rounding()
                it.stop(Status.ROUNDING if close else Status.STAGNATED, f"The residual is {it.residual:.3g}.")
            except TimeUp:
                it.stop(Status.TIME_LIMIT)
            except Infeasible:
                it.stop(Status.INFEASIBLE, "The allowed pairs cannot carry the weights a to the weights b.")
        return it, it.x

    def _record(self, it: Monitor, at: Iterate) -> None:
        residuals = {"marginal_error": at.error, "duality_gap": at.gap}
        done = None if at.final else False
        it.record(residuals, at.x, converged=done)

    def _iterates(self, start: tuple[Array, Array] | None, tol: float) -> Iterator[Iterate]:
        """All iterates, until the tolerance is met or nothing more can be done."""
        f, g = (np.zeros(self.n), np.zeros(self.m)) if start is None else start
        yield self._first(f)
        if start is not None:  # one that is far away costs a few steps and no more
            yield from self._polished(f, g, self.none, tol)
        near = self.none
        if self.unlimited:
            for at in self._scaled(f, g):
                yield at
                near = at.x.plan
        f, g = self._entropic()
        self.deadline.check()  # a start that was cut short is none
        least, goal = 12 if self.unlimited else 8 + min(self.k, 24), HAND_OVER
        for _ in range(4):
            data = (self.kernels, self._pairs(f, g, least, near), self.a, self.b, self.reg)
            interior: ChosenPairs = (
                Barrier(*data, (f, g), self.deadline)
                if self.unlimited
                else Interior(*data, self.k, self.deadline)
            )
            yield from self._interior_steps(interior, goal)
            if interior.complementarity < 1e-3 * self.scale(interior.value):
                f, g = interior.f, interior.g
                yield from self._polished(f, g, interior.support(1e-7), tol)
                goal = max(0.01 * goal, 1e-12)
            least = 4 * least

    def _first(self, f: Array) -> Iterate:
        """The best plan for prices: of all iterates the one that needs no other before it."""
        x, r, total = self.best(f)
        value = self.value(x)
        gap = abs(value - float(self.a @ f) + total) / self.scale(value)
        return Iterate(x, float(np.abs(r - self.a).sum()), gap, final=True)

    def _entropic(self) -> tuple[Array, Array]:
        """Potentials of entropic transport that is about as sharp."""
        problem, spread = self.problem, self.range
        typical = self.reg * float(np.median(self.b)) / min(self.k, 3)
        eps = (
            min(max(typical, 1e-4 * spread), (0.05 if self.unlimited else SHARPNESS) * spread)
            if spread > 0
            else self.reg
        )
        plain = replace(
            problem, M=self.M, a=self.a, b=self.b, reg=eps, mass=1.0, up=0.0, over=0.0,
            rows=None, columns=None, shape=(self.n, self.m),
        )  # fmt: skip
        with unheard(ConvergenceWarning):
            result = entropic(plain, self.limits.part(200), tol=1e-3, return_plan=False)
        self.counts["nsinkhorn"] += result.nsinkhorn
        self.counts["nnewton"] += result.nnewton
        if result.status is Status.INFEASIBLE:
            raise Infeasible
        f, g = result.x
        return f, g

    def _pairs(self, f: Array, g: Array, least: int, near: ByColumns) -> ByColumns:
        """The pairs of small reduced cost: at least so many in each row and in each column.

        And those of a plan that is near, and of negative reduced cost, which a solution on fewer pairs does
        without wrongly.
        """
        v = g[:, None] + f - self.Mt
        chosen = v > 0
        ptr, rows, _ = near
        chosen[np.repeat(np.arange(self.m), np.diff(ptr)), rows] = True
        for axis, size in ((0, self.m), (1, self.n)):
            place = max(size - least, 0)
            chosen |= v >= np.take(np.partition(v, place, axis=axis), [place], axis=axis)
        chosen &= np.isfinite(self.Mt)
        columns, rows = np.nonzero(chosen)
        ptr = np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=self.m))])
        return ByColumns(ptr, rows.astype(np.int32), self.Mt[chosen])

    def _interior_steps(self, interior: ChosenPairs, goal: float) -> Iterator[Iterate]:
        short = 0
        for _ in range(INTERIOR_STEPS):
            length = interior.step()
            short = short + 1 if length < 0.1 else 0
            self.counts["nnewton"] += 1
            x = Point(interior.f, interior.g, interior.ptr, interior.rows, interior.plan)
            gap = interior.complementarity / self.scale(interior.value)
            yield Iterate(x, interior.error, gap, final=False)
            # On pairs that carry no plan the steps become short.
            if gap <= goal or length == 0.0 or short >= 5:
                return

    # -- Newton's method ---------------------------------------------------------------------------

    def _semidual(self, reg: float) -> SparseDual:
        return SparseDual(self.kernels, self.M, self.Mt, self.a, self.b, reg, self.counts, self.deadline)

    def _scaled(self, f: Array, g: Array) -> Iterator[Iterate]:
        """Newton's method without a limit on the nonzeros, from a blurred plan to the one that is wanted."""
        blurred = FIRST_REG * self.range / float(np.median(self.b))
        stages = max(0, math.ceil(math.log(max(blurred / self.reg, 1.0)) / math.log(STAGE_FACTOR)))
        dual = self._semidual(self.reg * STAGE_FACTOR**stages)
        first = dual.at(f, g)
        for _ in range(FIRST_SWEEPS):
            first = dual.sweep(first)
        for stage in range(stages, 0, -1):
            for s in islice(newton(dual, first), STAGE_STEPS):
                yield self._iterate(s, dual.reg)
                if s.error <= STAGE_TOL:
                    break
            dual = self._semidual(self.reg * STAGE_FACTOR ** (stage - 1))
            first = dual.sweep(dual.at(s.f, s.g))
        yield from self._plain(dual, first)

    def _plain(self, dual: SparseDual, first: SparseState) -> Iterator[Iterate]:
        """Newton's method without a limit on the nonzeros, as long as it makes the errors fall."""
        errors: list[float] = []
        window = STALLED_STEPS + 2000 // (self.n + 40)  # steps of small problems are cheap
        for s in newton(dual, first):
            yield self._iterate(s, dual.reg)
            errors.append(s.error)
            if len(errors) > window and not s.error <= STALLED_FACTOR * errors[-1 - window]:
                return

    def _iterate(self, s: SparseState, reg: float) -> Iterate:
        """A point of quadratic transport with another reg than ours: what it is worth for ours."""
        value = float(s.f @ s.r + s.g @ self.b) + (0.5 * self.reg - reg) * s.square
        gap = float(s.f @ (s.r - self.a)) + (reg - self.reg) ** 2 / (2 * self.reg) * s.square
        return Iterate(_point(s), s.error, abs(gap) / self.scale(value), final=True)

    def _polished(self, f: Array, g: Array, old: ByColumns, tol: float) -> Iterator[Iterate]:
        """Proximal steps, each by Newton's method; just Newton's method if there is nothing to smooth."""
        plain = self._semidual(self.reg)
        if self.unlimited:
            yield from self._plain(plain, plain.at(f, g))
            return
        prox, gap = FIRST_PROX * self.reg, float("inf")
        for _ in range(30):
            dual = Proximal(plain, self.k, prox, old)
            done = False
            for s in islice(newton(dual, dual.at(f, g)), PATIENCE):
                at, done = _point(s), s.error <= 0.5 * tol
                if done or not np.isfinite(gap):
                    value, bound = self.value(at), self.bound(at.f)
                    gap = abs(value - bound) / self.scale(value)
                yield Iterate(at, s.error, gap, final=True)
                f, g, old = at.f, at.g, at.plan
                if done:
                    break
            if not done:
                return
            prox = max(PROX_FACTOR * prox, LEAST_PROX * self.reg)


def _point(s: SparseState) -> Point:
    return Point(s.f, s.g, s.ptr, s.rows, s.t)
