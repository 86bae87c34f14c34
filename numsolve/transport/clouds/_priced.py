# mypy: disable-error-code=no-any-return
# (array libraries, kernels and SciPy have no types: what they return is an Array by our word)
r"""Unbalanced problems between clouds, their costs made where they are used.

With u, v and the prices rho as in `transport.unbalanced`, and the caller's cost c_ij + s_i + t_j of which the
kernels know c, the plan over the mass is exp((f_i + g_j - c_ij)/eps) with

    f = u + eps log(mass a) - s,      g = v + eps log b - t.                                         (1)

The balanced steps of `CloudDual` give the f, or the g, that makes sums the weights. The best u and v follow:

    v = (g - eps log b + t) / (1 + eps/rho_b),  and as much for u.                                   (2)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve.transport._ascent import falling
from numsolve.transport._deadline import TimeUp
from numsolve.transport._unbalanced import Terms, dual_term, exponent, log_sum

from ._pairs import transform
from ._semidual import CloudDual
from ._stages import Stage
from ._state import CloudState

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Namespace

    from ._pairs import Pairs

    Potentials = tuple[Array, Array]


@dataclass(frozen=True)
class PricedClouds:
    """Clouds whose weights are divided by the mass, and the prices of what a plan misses of these."""

    pairs: Pairs
    #: What the cost has over that of the pairs in each row and column, less the offset of `terms`.
    s: Array
    t: Array
    range: float
    terms: Terms

    @property
    def xp(self) -> Namespace:
        return self.pairs.xp

    @property
    def weights(self) -> Potentials:
        return self.pairs.A.weights, self.pairs.B.weights

    def references(self, reg: float) -> Potentials:
        """What f and g have over u and v."""
        (a, b), xp = self.weights, self.xp
        return reg * (xp.log(a) + math.log(self.terms.mass)) - self.s, reg * xp.log(b) - self.t  # (1)

    def centred(self, f: Array, g: Array, reg: float) -> Potentials:
        """U and v."""
        p, q = self.references(reg)
        return f - p, g - q

    def potentials(self, x: Potentials) -> Potentials:
        """The caller's potentials: u and v of the given cost, with the logarithms of the given weights."""
        terms, (a, b), xp = self.terms, self.weights, self.xp
        (u, v), shifts = self.centred(*x, terms.reg), terms.shifts
        log_mass = math.log(terms.mass)
        return (
            u + shifts[0] + terms.reg * (xp.log(a) + log_mass),
            v + shifts[1] + terms.reg * (xp.log(b) + log_mass),
        )

    def start(self, x: Potentials) -> Potentials:
        """The way back."""
        p, q = self.potentials((self.xp.zeros_like(self.s), self.xp.zeros_like(self.t)))
        return x[0] - p, x[1] - q

    def found(self, x: Potentials) -> dict[str, Any]:
        """The residual, the values and the bounds of potentials, by passes over all pairs."""
        xp, terms, weights = self.xp, self.terms, self.weights
        plan = self.pairs.plan(*x, terms.reg)
        (r, costs), c = plan.row_sums_and_costs(), plan.T.row_sums()
        uv = self.centred(*x, terms.reg)
        goals = [w * xp.exp(-p / rho) for w, p, rho in zip(weights, uv, terms.rho, strict=True)]
        residual = sum(float(xp.sum(xp.abs(x - y))) for x, y in zip((r, c), goals, strict=True))
        linear = float(xp.sum(costs)) + float(r @ self.s) + float(c @ self.t)
        weight = float(xp.sum(weights[0])) * float(xp.sum(weights[1]))
        values = terms.values(xp, linear, 0.0, (r, c), uv, weights, weight)
        return {"residual": residual, **values, "bounds": self._bounds(uv[0], linear, (r, c))}

    def _bounds(self, u: Array, linear: float, sums: Potentials) -> tuple[float, float]:
        """Bounds of the least objective without entropy, as of `UnbalancedProblem`."""
        xp, terms, less = self.xp, self.terms, math.exp(-self.terms.L)
        v = self.t + self.pairs.T.least(u - self.s)
        u = self.s + self.pairs.least(v - self.t)
        low, high = terms.lower_bound(xp, u, v, self.weights), math.inf
        if max(terms.rho) < math.inf:
            r, c = sums
            high = less * (linear + terms.offset * float(xp.sum(r)))
            high += terms.penalty(xp, less * r, less * c, self.weights)
        return terms.mass * low, terms.mass * high


def priced(
    pairs: Pairs,
    shifts: Potentials,
    reg: float,
    span: float,
    mass: float,
    rho: tuple[float, float],
) -> PricedClouds:
    """Take off the constant of (4) of `unbalanced`, where costs are far from the prices."""
    xp, (s, t) = pairs.xp, shifts
    a, b = pairs.A.weights, pairs.B.weights
    f, g = reg * (xp.log(a) + math.log(mass)) - s, reg * xp.log(b) - t
    try:
        c = float(xp.min(pairs.least(g) - f))
    except TimeUp:  # and no step is done
        c = 0.0
    L = exponent(c, rho, reg, mass, "unbalanced")
    if abs(L) <= 1.0 and abs(c) <= span:
        c = L = 0.0
    return PricedClouds(pairs, s, t - c, span, Terms(reg, rho, mass, L, c))


class PricedCloudDual(CloudDual):
    """The semi-dual of unbalanced clouds; all stages have the whole clouds, and no pair is passed over.

    Rows may have next to no mass, so that nothing is small beside their weights.
    """

    singular = False

    def __init__(self, problem: PricedClouds, tol: float) -> None:
        self.problem = problem
        self.xp, self.tol = problem.xp, tol
        info = problem.xp.finfo(problem.pairs.A.weights.dtype)
        self.unit, self.tiny = float(info.eps), float(info.smallest_normal) * 1e16
        self.rounding = min(self.unit * (8 + problem.range / problem.terms.reg), math.sqrt(self.unit))
        self.stages = [Stage(reg, problem.pairs) for reg in falling(problem.terms.reg, problem.range)]
        self.counts = {"nsinkhorn": 0, "nnewton": 0, "ncg": 0}
        self.coarse = None
        self.rho = problem.terms.rho
        self.enter(0)

    def enter(self, stage: int) -> None:
        """Make a stage the present one."""
        super().enter(stage)
        self.lost = 0.0

    def first(self, start: Potentials | None) -> CloudState:
        """Start from the caller's potentials if they are near the solution, else at the first stage."""
        if start is not None:
            self.enter(len(self.stages) - 1)
            s = self.at(*start)
            if s.error <= 0.1:
                self.stages = self.stages[-1:]
                self.enter(0)
                return s
            self.enter(0)
        s = self.at(*self.problem.references(self.reg))
        for _ in range(3):
            s = self.sweep(s)
        return s

    def at(self, f: Array, g: Array) -> CloudState:
        """Evaluate everything at f, with g as the stabiliser."""
        p, q = self.problem.references(self.reg)
        rho_a, rho_b = self.rho
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            v = (transform(self.pairs, f, g, self.reg) - q) / (1 + self.reg / rho_b)  # (2)
            u, g = f - p, v + q
            plan = self.pairs.plan(f, g, self.reg)
            r, goal = plan.row_sums(), self.a * self.xp.exp(-u / rho_a)
            mass = float(self.xp.sum(self.b * self.xp.exp(-v / rho_b)))
            fun = dual_term(self.xp, u, self.a, rho_a) + dual_term(self.xp, v, self.b, rho_b)
            return CloudState(f, g, r, goal, fun - self.reg * mass, self.l1(r - goal), plan)

    def sweep(self, s: CloudState) -> CloudState:
        """One iteration of Sinkhorn, with the constant that u and v can exchange."""
        xp, (rho_a, rho_b) = self.xp, self.rho
        self.counts["nsinkhorn"] += 1
        p, q = self.problem.references(self.reg)
        if float(xp.min(s.r)) > self.tiny:
            f = s.f + self.reg * (xp.log(self.a) - xp.log(s.r))
        else:
            f = transform(self.pairs.T, s.g, s.f, self.reg)
        u, v = (f - p) / (1 + self.reg / rho_a), s.g - q
        excess = log_sum(xp, xp.log(self.a) - u / rho_a) - log_sum(xp, xp.log(self.b) - v / rho_b)
        return self.at(u + excess / (1 / rho_a + 1 / rho_b) + p, s.g)

    def next_stage(self, s: CloudState) -> CloudState:
        """Take over u and v at the next regularisation."""
        u, v = self.problem.centred(s.f, s.g, self.reg)
        self.enter(self.stage + 1)
        p, q = self.problem.references(self.reg)
        return self.sweep(self.at(u + p, v + q))

    def diagonals(self, s: CloudState) -> Potentials:
        """Return d and b of S = diag(d) - P diag(1/b) P'; vanished rows and columns stand alone."""
        xp, v = self.xp, s.g - self.problem.references(self.reg)[1]
        d = s.r + (self.reg / self.rho[0]) * s.goal
        b = (1 + self.reg / self.rho[1]) * self.b * xp.exp(-v / self.rho[1])
        return xp.where(d > self.tiny, d, self.tiny), xp.where(b > self.tiny, b, self.tiny)

    def noise(self, s: CloudState) -> float:
        """The rounding error of F."""
        u, v = self.problem.centred(s.f, s.g, self.reg)
        size = self.dot(self.a, self.xp.abs(u)) + self.dot(self.b, self.xp.abs(v))
        return 2 * self.unit * size
