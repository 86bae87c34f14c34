# mypy: disable-error-code=no-any-return
# (array libraries, kernels and SciPy have no types: what they return is an Array by our word)
"""The dual in f between two clouds, and its way from coarse clouds at a large regularisation to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from numsolve.transport import _kernels
from numsolve.transport._deadline import TimeUp

from ._cloud import Pairs, transform
from ._schur import Jacobi, TwoGrid, conjugate_gradients, schur
from ._stages import stages
from ._state import CloudState, most

if TYPE_CHECKING:
    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array

    from ._cloud import Cloud
    from ._problem import CloudProblem
    from ._schur import Entries

#: Error at which a stage but the last is left.
STAGE_TOL = 1e-2
#: How much of the time that a run may take beyond its limit goes to the passes of a last stage.
LAST_STAGE = 0.5


class CloudDual:
    """The dual in f of the present stage, and the way from stage to stage."""

    def __init__(self, problem: CloudProblem, tol: float) -> None:
        self.xp, self.tol, self.unit = problem.xp, tol, problem.unit
        self.rounding = problem.rounding
        self.stages = stages(problem.pairs, problem.reg, problem.range)
        self.counts = {"nsinkhorn": 0, "nnewton": 0, "ncg": 0}
        self.damping = 1.0
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
        return CloudState(f, g, plan, nan * self.a, -inf, inf)

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
        xp = self.xp
        g = transform(self.pairs, f, g, self.reg, self.lost)
        plan = self.pairs.plan(f, g, self.reg, self.lost)
        r = plan.row_sums()
        fun = float(self.a @ f) + float(self.b @ g)
        return CloudState(f, g, plan, r, fun, float(xp.sum(xp.abs(r - self.a))))

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

    def newton_step(self, s: CloudState) -> CloudState:
        """Go along the Newton direction as far as F rises enough; sweep once if that leaves rows far off."""
        self.counts["nnewton"] += 1
        x = self.direction(s)
        slope = self.reg * float((self.a - s.r) @ x)
        noise = self.noise(s)
        g, halvings = s.g, 0
        for halvings in range(13):
            step = 0.5**halvings
            new = self.at(s.f + (step * self.reg) * x, g)
            # Near the solution F has no digits left for Armijo's test, but the error still has.
            level = new.fun >= s.fun - 300 * noise
            if new.fun >= s.fun + 1e-4 * step * slope - noise or (level and new.error < 0.5 * s.error):
                break
        else:
            new = s
        # Steps that had to be cut are damped in their origin: rows of little weight ask for too much.
        if halvings >= 4:
            self.damping = min(self.damping * 10, 1e6)
        elif halvings < 3:
            self.damping = max(1.0, self.damping / 10)
        if halvings > 0 or self._unbalanced(new):
            new = self.sweep(new)
        return new

    def _unbalanced(self, s: CloudState) -> bool:
        """Whether a row is off by a factor of 8: a sweep repairs at once what Newton does in bits."""
        ratio = s.r / self.a
        return not (float(self.xp.max(ratio)) < 8 and float(self.xp.min(ratio)) > 1 / 8)

    def direction(self, s: CloudState) -> Array:
        """Solve (S + sigma diag(max(a, r))) x = a - r; sigma fades with the error, see `newton`."""
        xp, a, b = self.xp, self.a, self.b
        small = min(1.0, s.error)
        d = s.r + min(0.1, 1e-3 * small * self.damping) * xp.maximum(a, s.r)
        rhs = a - s.r
        rhs = rhs - float(xp.sum(rhs)) * a
        # Forcing by the error makes the convergence quadratic; more than the goal needs is not asked.
        stop = max(min(0.1, s.error), 0.3 * self.goal / s.error) * float(xp.sum(xp.abs(rhs)))
        deadline = self.pairs.workers.deadline
        entries = s.plan.entries(min(max(0.1 * small, 1e-6), 1e-3) / 50, most(self.pairs))
        if entries is not None and not self.coarse:
            k = _kernels.of_systems(xp)
            x, steps, _ = k.schur_cg_sparse(*entries, d, b, rhs, stop, 500, lambda: deadline.passed)
        else:
            product, diagonal = schur(s.plan, entries, d, b)
            smoother = TwoGrid(diagonal, *self.coarse) if self.coarse else Jacobi(diagonal)
            x, steps, _ = conjugate_gradients(xp, product, smoother, rhs, stop, 300, deadline)
        self.counts["ncg"] += steps
        return x

    def noise(self, s: CloudState) -> float:
        """The rounding error of F, and what it may have lost."""
        size = float(self.a @ self.xp.abs(s.f)) + float(self.b @ self.xp.abs(s.g))
        return 2 * self.unit * size + self.reg * self.lost


def _extended(potential: Array, coarse: Cloud, fine: Cloud, reg: float) -> Array:
    if fine is coarse:
        return potential
    owners = fine.owners(coarse)
    return potential[owners] + reg * np.log(fine.weights / coarse.weights[owners])
