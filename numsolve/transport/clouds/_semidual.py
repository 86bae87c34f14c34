# mypy: disable-error-code=no-any-return
# (array libraries, kernels and SciPy have no types: what they return is an Array by our word)
"""The dual in f between two clouds, and its way from coarse clouds at a large regularisation to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from numsolve.transport import _kernels
from numsolve.transport._ascent import STAGE_TOL, EntropicAscent
from numsolve.transport._deadline import TimeUp

from ._pairs import Pairs, transform
from ._schur import Jacobi, TwoGrid, conjugate_gradients, schur
from ._stages import stages
from ._state import CloudState, most

if TYPE_CHECKING:
    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array

    from ._cloud import Cloud
    from ._problem import CloudProblem
    from ._schur import Entries

#: How much of the time that a run may take beyond its limit goes to the passes of a last stage.
LAST_STAGE = 0.5


class CloudDual(EntropicAscent[CloudState]):
    """The dual in f of the present stage, and the way from stage to stage."""

    def __init__(self, problem: CloudProblem, tol: float) -> None:
        self.xp, self.tol, self.unit = problem.xp, tol, problem.unit
        self.rounding = problem.rounding
        self.tiny = float(problem.xp.finfo(problem.pairs.A.weights.dtype).smallest_normal) * 1e16
        self.stages = stages(problem.pairs, problem.reg, problem.range)
        self.counts = {"nsinkhorn": 0, "nnewton": 0, "ncg": 0}
        self.coarse: tuple[CloudState, Entries, Array] | None = None
        self.enter(0)

    @property
    def last(self) -> bool:
        """Whether this is the stage of the answer."""
        return self.stage == len(self.stages) - 1

    def enter(self, stage: int) -> None:
        """Make a stage the present one."""
        self.stage = stage
        self.reg, self.pairs = self.stages[stage].reg, self.stages[stage].pairs
        self.a, self.b = self.pairs.A.weights, self.pairs.B.weights
        self.goal = self.tol if self.last else STAGE_TOL
        #: The share of each weight that a sum may lose to pairs that are passed over.
        self.lost = max(1e-3 * self.goal, 0.01 * self.unit) if self.pairs.fused else 0.0

    def unmeasured(self) -> CloudState:
        """The start of the present stage, of which nothing is known yet."""
        f, g = self.reg * self.xp.log(self.a), self.reg * self.xp.log(self.b)
        nan, inf = float("nan"), float("inf")
        plan = self.pairs.plan(f, g, self.reg, self.lost)
        return CloudState(f, g, nan * self.a, self.a, -inf, inf, plan)

    def first(self, start: tuple[Array, Array] | None) -> CloudState:
        """Start from the caller's potentials if they are near the solution, else at the first stage."""
        xp = self.xp
        if start is not None:
            self.enter(len(self.stages) - 1)
            f = start[0] - float(self.a @ start[0])  # a large constant would only eat digits
            s = self.at(f, transform(self.pairs, f, start[1], self.reg, self.lost))
            if s.error <= 0.1:
                self.stages = self.stages[-1:]
                self.enter(0)
                return s
            self.enter(0)
        return self.at(self.reg * xp.log(self.a), self.reg * xp.log(self.b))

    def at(self, f: Array, g: Array) -> CloudState:
        """Evaluate everything at f, with g as the stabiliser."""
        g = transform(self.pairs, f, g, self.reg, self.lost)
        plan = self.pairs.plan(f, g, self.reg, self.lost)
        r = plan.row_sums()
        fun = self.dot(self.a, f) + self.dot(self.b, g)
        return CloudState(f, g, r, self.a, fun, self.l1(r - self.a), plan)

    def next_stage(self, s: CloudState) -> CloudState:
        """Extend the potentials to the clouds of the next stage, and take over its regularisation."""
        f, g = self.extended(s, self.stage + 1)
        coarse, reg = self.pairs, self.reg
        self.enter(self.stage + 1)
        fine = self.pairs
        if self.last and reg == self.reg:
            entries = s.plan.entries(1e-4 / 50, most(coarse))
            self.coarse = None if entries is None else (s, entries, fine.A.owners(coarse.A))
        if fine.A is not coarse.A:
            f = transform(Pairs(fine.metric.T, coarse.B, fine.A, fine.workers), s.g, f, reg, self.lost)
        if fine.B is not coarse.B:
            g = transform(Pairs(fine.metric, coarse.A, fine.B, fine.workers), s.f, g, reg, self.lost)
        change = self.reg - reg
        return self.at(f + change * self.xp.log(self.a), g + change * self.xp.log(self.b))

    def _stage_of(self, s: CloudState) -> int:
        """The stage at which a point was found: that is not the present one if a change was cut short."""
        at = s.plan.pairs, s.plan.reg
        return next(k for k, stage in enumerate(self.stages) if stage.pairs is at[0] and stage.reg == at[1])

    def finish(self, s: CloudState, limits: Limits) -> tuple[Array, Array]:
        """The potentials of s at the last stage: improved by a pass there if the time suffices."""
        self.enter(self._stage_of(s))
        if self.last:
            return s.f, s.g
        self.pairs.workers.deadline.set(limits, LAST_STAGE)
        self.stages = [*self.stages[: self.stage + 1], self.stages[-1]]
        try:
            s = self.next_stage(s)
        except TimeUp:
            return self.extended(s)
        return s.f, s.g

    def extended(self, s: CloudState, stage: int = -1) -> tuple[Array, Array]:
        """Give the points of a later stage the potentials of the points that stand for them."""
        fine, coarse = self.stages[stage].pairs, s.plan.pairs
        return _extended(s.f, coarse.A, fine.A, s.plan.reg), _extended(s.g, coarse.B, fine.B, s.plan.reg)

    def sweep(self, s: CloudState) -> CloudState:
        """One iteration of Sinkhorn: the rows exact, then the columns."""
        xp = self.xp
        self.counts["nsinkhorn"] += 1
        if float(xp.min(s.r / self.a)) > (0.01 if self.lost else 1e-200):
            f = s.f + self.reg * (xp.log(self.a) - xp.log(s.r))
        else:
            f = transform(self.pairs.T, s.g, s.f, self.reg, self.lost)
        return self.at(f, s.g)

    @property
    def expired(self) -> bool:
        """Whether the time is over."""
        return self.pairs.workers.deadline.passed

    def direction(self, s: CloudState) -> Array:
        """Solve Newton's equation."""
        d, b, rhs, stop = self.equation(s, self.goal)
        deadline = self.pairs.workers.deadline
        small = min(1.0, s.error)
        entries = s.plan.entries(min(max(0.1 * small, 1e-6), 1e-3) / 50, most(self.pairs))
        if entries is not None and not self.coarse:
            k = _kernels.of_systems(self.xp)
            x, steps, _ = k.schur_cg_sparse(*entries, d, b, rhs, stop, 500, lambda: deadline.passed)
        else:
            product, diagonal = schur(s.plan, entries, d, b)
            smoother = TwoGrid(diagonal, *self.coarse) if self.coarse else Jacobi(diagonal)
            x, steps, _ = conjugate_gradients(self.xp, product, smoother, rhs, stop, 300, deadline)
        self.counts["ncg"] += steps
        return x

    def noise(self, s: CloudState) -> float:
        """The rounding error of F, and what it may have lost."""
        return super().noise(s) + self.reg * self.lost


def _extended(potential: Array, coarse: Cloud, fine: Cloud, reg: float) -> Array:
    if fine is coarse:
        return potential
    owners = fine.owners(coarse)
    return potential[owners] + reg * np.log(fine.weights / coarse.weights[owners])
