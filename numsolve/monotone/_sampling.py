"""What both algorithms of variance-reduced Halpern iterations run on: components, budget and clock.

Equation numbers are those of the files `_single_loop` and `_double_loop`.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core.monitor import CHUNK_SECONDS, FIRST_SECONDS, GROWTH, Monitor
from numsolve._core.result import Status

from ._tuples import COUNTS, Estimator, Resolvent, Splitting, record
from .finite_sum import AffineFiniteSum, BilinearGame, FiniteSum
from .halpern import Restarts, displacement, distance
from .prox import catalogued, resolvent, same_kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, Kernels

    from .prox import Prox


@dataclass
class Sampler:
    """What both loops share: who watches, what is sampled, when to restart, and what may be paid."""

    it: Monitor
    components: Components
    rule: Restarts
    budget: float  #: calls of components
    seconds: float  #: what a step takes: a guess, and then what the last ones took
    last: int = 0  #: the steps of the last chunk

    def chunk(self, cycle: Callable[[int], tuple[int, bool]], calls: int, most: int) -> tuple[int, bool]:
        """Do steps of `calls` calls each: at most so many, for a moment at most, and within the budget."""
        left = (self.budget - self.components.cost) / calls
        moment = CHUNK_SECONDS if self.last else FIRST_SECONDS
        steps = min(min(moment, self.it.limits.seconds_left) / self.seconds, left, most)
        if self.last:
            steps = min(steps, GROWTH * self.last)
        began = perf_counter()
        self.last, refresh = cycle(max(1, int(steps)))
        self.seconds = max(perf_counter() - began, 1e-9) / self.last
        return self.last, refresh

    @property
    def is_spent(self) -> bool:
        """Whether nothing more may be paid."""
        return self.components.cost >= self.budget

    @property
    def epochs(self) -> float:
        """What was paid, in evaluations of F."""
        return self.components.cost / self.components.n

    def stop_if_spent(self) -> None:
        """End the run when the budget is."""
        if self.it.status is None and self.is_spent:
            self.it.stop(Status.MAXITER, "The budget of max_epochs is spent.")


def components_of(
    problem: FiniteSum | AffineFiniteSum | BilinearGame,
    prox: Prox | None,
    sampling: str,
    x0: Array,
    rng: np.random.Generator,
) -> Components:
    """The compiled form of a problem where there is one and its resolvent is in the catalogue."""
    if isinstance(problem, BilinearGame):
        if prox is not None:
            raise ValueError("prox must be left out for a BilinearGame, which brings its own")
        known = Resolvent.two_simplices(split=problem.A.shape[1])
        return CompiledComponents(problem, problem.prox, sampling, known, rng)
    if isinstance(problem, AffineFiniteSum) and (known_map := catalogued(prox, x0.size)) is not None:
        return CompiledComponents(problem, prox, sampling, known_map, rng)
    if sampling != "uniform":
        raise ValueError("sampling by importance needs compiled components and a prox of this package")
    return CalledComponents(problem, prox, x0, rng)


class Components:
    """A finite sum, its resolvent, and what was paid so far."""

    #: A guess of what a step of a cycle takes.
    seconds = 1e-2

    def __init__(
        self,
        problem: FiniteSum | AffineFiniteSum | BilinearGame,
        prox: Prox | None,
        rng: np.random.Generator,
    ) -> None:
        self.problem, self.n, self.rng = problem, problem.n, rng
        self.J = resolvent(prox, np)
        self.counts = record(COUNTS)
        self.reach = 0.0

    @property
    def cost(self) -> int:
        """Calls of components."""
        return int(self.counts.cost)

    @property
    def age(self) -> int:
        """Iterations since the anchor was set."""
        return int(self.counts.age)

    @age.setter
    def age(self, value: int) -> None:
        self.counts.age = value

    def full(self, u: Array) -> Array:
        """F(u)."""
        self.counts.cost += self.n
        return same_kind("full", self.problem.full(u.copy()), u, np)

    def residual(self, u: Array, f: Array, gamma: float, tol: float) -> float:
        """The residual of u, where f is F(u); below tol, with a step that tells."""
        self.reach = max(self.reach, distance(np, u, np.zeros_like(u)))
        return displacement(np, self.J, (u, f, self.J(u - gamma * f, gamma)), gamma, tol, self.reach)

    def page_cycle(self, anchor: Array, u: Array, g: Array, plan: Estimator, steps: int) -> tuple[int, bool]:
        """Steps (1) and (2) until F is to be evaluated; returns the steps done and whether it is."""
        raise NotImplementedError

    def forb_cycle(
        self, v: Array, w: Array, w_old: Array, h: Array, plan: Splitting, steps: int
    ) -> tuple[int, bool]:
        """Steps (4) until (5) is due; h is H(w). Returns the steps done and whether it is."""
        raise NotImplementedError


class CompiledComponents(Components):
    """The cycles by the kernels of `_cpu_vr`."""

    def __init__(
        self,
        problem: AffineFiniteSum | BilinearGame,
        prox: Prox | None,
        sampling: str,
        known: Resolvent,
        rng: np.random.Generator,
    ) -> None:
        from . import _cpu_vr

        super().__init__(problem, prox, rng)
        self.kernels: Kernels = _cpu_vr
        self.P, self.map = problem._compiled(sampling), known
        self.work, self.change = np.empty(problem.size), np.empty(problem.size)
        self.seconds = 1e-7 + 4e-9 * problem.size

    def page_cycle(self, anchor: Array, u: Array, g: Array, plan: Estimator, steps: int) -> tuple[int, bool]:
        done, refresh = self.kernels.page_cycle(
            *(self.P, self.map, anchor, u, g, self.work), plan, self.counts, steps, self.rng
        )
        return done, refresh

    def forb_cycle(
        self, v: Array, w: Array, w_old: Array, h: Array, plan: Splitting, steps: int
    ) -> tuple[int, bool]:
        done, refresh = self.kernels.forb_cycle(
            *(self.P, self.map, v, w, w_old, h, self.work, self.change), plan, self.counts, steps, self.rng
        )
        return done, refresh


class CalledComponents(Components):
    """The same cycles with functions of the user."""

    def __init__(
        self,
        problem: FiniteSum | AffineFiniteSum,
        prox: Prox | None,
        like: Array,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(problem, prox, rng)
        self.batch, self.like = problem.batch, like

    def _difference(self, u: Array, v: Array, batch: int) -> Array:
        """The mean over a batch of F_i(u) - F_i(v)."""
        index = self.rng.choice(self.n, size=batch, replace=False)
        self.counts.cost += 2 * batch
        at_u, at_v = (same_kind("batch", self.batch(z.copy(), index.copy()), self.like, np) for z in (u, v))
        return at_u - at_v

    def page_cycle(self, anchor: Array, u: Array, g: Array, plan: Estimator, steps: int) -> tuple[int, bool]:
        for done in range(1, steps + 1):
            lam = 2.0 / (self.age + 4.0)
            new = self.J(lam * anchor + (1.0 - lam) * u - plan.step * g, plan.step)  # (1)
            old = u.copy()
            u[:] = new
            self.age += 1
            p = plan.share if plan.flat < 0 else plan.share / (plan.share + min(self.age, plan.flat))
            if self.rng.random() < p:
                return done, True
            g += self._difference(u, old, plan.batch)  # (2)
        return steps, False

    def forb_cycle(
        self, v: Array, w: Array, w_old: Array, h: Array, plan: Splitting, steps: int
    ) -> tuple[int, bool]:
        alpha = 1.0 - plan.odds
        for done in range(1, steps + 1):
            change = plan.eta * self._difference(v, w_old, 1) + v - w_old
            v[:] = self.J(
                alpha * v + (1.0 - alpha) * w - plan.gamma * (h + change), plan.gamma * plan.eta
            )  # (4)
            w_old[:] = w
            if self.rng.random() < plan.odds:
                return done, True
        return steps, False
