"""Unbalanced problems, and their dual; equations as in `unbalanced`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numsolve._core import checks

from ._bounds import cost_of, least_in_columns, least_in_rows
from ._problem import Problem, prepare, quiet
from ._semidual import DenseDual

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.limits import Limits
    from numsolve._core.monitor import Monitor
    from numsolve._core.typing import Array, ArrayLike, Namespace

    from ._ascent import State
    from ._problem import Potentials, Weights
    from .result import TransportResult

#: The largest exponent of a mass that is represented; the factorials of exp end at 709.
LARGEST_EXPONENT = 700.0


class Terms(NamedTuple):
    """What the caller's problem has over a reduced one, whose weights are divided by the mass.

    The cost has the constant `offset` more, and the plan is exp(-L) times that of the reduced problem.
    """

    reg: float
    rho: tuple[float, float]
    mass: float
    L: float
    offset: float

    @property
    def shifts(self) -> tuple[float, float]:
        """What u and v of the caller's problem have over those here: rho L, c where rho is infinite."""
        rho_a, rho_b = self.rho
        return (
            self.offset if rho_a == math.inf else rho_a * self.L,
            self.offset if rho_b == math.inf else rho_b * self.L,
        )

    def values(
        self,
        xp: Namespace,
        linear: float,
        terms: float,
        sums: Potentials,
        uv: Potentials,
        weights: Potentials,
        weight: float,
        left_over: float = 0.0,
    ) -> dict[str, float]:
        """Compute value, value_linear and kl of a reduced plan, in the caller's mass and cost.

        `linear` is its cost there, to which `terms` come; `weight` is the product of the sums of all weights.
        """
        less, (r, c), (u, v) = math.exp(-self.L), sums, uv
        total = float(xp.sum(r))
        kl = less * ((float(r @ u) + float(c @ v) - linear) / self.reg - self.L * total)
        linear = less * (linear + self.offset * total + terms)
        entropy = self.reg * (kl - less * total + weight * self.mass)
        value = linear + entropy + left_over + self.penalty(xp, less * r, less * c, weights)  # (1)
        return {"value_linear": self.mass * linear, "value": self.mass * value, "kl": self.mass * kl}

    def lower_bound(self, xp: Namespace, u: Array, v: Array, weights: Potentials) -> float:
        """The dual function without entropy, at a pair that is feasible for the reduced cost.

        The offset goes to u, and then from one to the other as much as is best.
        """
        (a, b), (rho_a, rho_b) = weights, self.rho
        u = u + self.offset
        excess = log_sum(xp, xp.log(a) - u / rho_a) - log_sum(xp, xp.log(b) - v / rho_b)
        t = excess / (1 / rho_a + 1 / rho_b)
        return dual_term(xp, u + t, a, rho_a) + dual_term(xp, v - t, b, rho_b)

    def penalty(self, xp: Namespace, r: Array, c: Array, weights: Potentials) -> float:
        """What the deviations of the row and column sums cost."""
        sides = zip(self.rho, (r, c), weights, strict=True)
        return sum(rho * _kl(xp, p, q) for rho, p, q in sides if rho < math.inf)


@dataclass(frozen=True)
class UnbalancedProblem(Problem):
    """A problem whose masses are `mass * sum(a)` and `mass * sum(b)`, with the prices of deviations.

    Its cost is the caller's without the constant `offset`; the caller's plan is exp(-L) times this one's.
    """

    rho: tuple[float, float] = (math.inf, math.inf)
    L: float = 0.0
    offset: float = 0.0

    @property
    def scale(self) -> float:
        """The caller's plan over the reduced one."""
        return math.exp(math.log(self.mass) - self.L)

    @property
    def shifts(self) -> tuple[float, float]:
        """What u and v of the caller's problem have over those here."""
        return self.terms.shifts

    def result(
        self, it: Monitor, P: Array, x: Potentials, return_plan: bool, **fields: Any
    ) -> TransportResult:
        """Put the answer into the caller's terms; P is overwritten."""
        return super().result(it, P, x, return_plan, reg_m=self.rho, weights=self.given, **fields)

    def start(self, potentials: Sequence[ArrayLike] | None = None) -> Potentials:
        """Turn the caller's potentials into those of the reduced problem."""
        f, g = super().start(potentials)
        if potentials is None:
            return f, g
        (up, over), mass = self.shifts, self.reg * math.log(self.mass)
        return f + (mass - up), g - (mass + over)

    def potentials(self, x: Potentials) -> Potentials:
        """Turn potentials of the reduced problem into the caller's."""
        f, g = x
        (up, over), mass = self.shifts, self.reg * math.log(self.mass)
        with quiet():
            return super().potentials((f - (mass - up), g + (mass + over)))

    def centred(self, f: Array, g: Array, reg: float) -> Potentials:
        """Return u and v: the potentials without the logarithms of the weights."""
        xp = self.xp
        return f - reg * (xp.log(self.a) + math.log(self.mass)), g - reg * xp.log(self.b)

    def values(self, P: Array, f: Array, g: Array, sums: Potentials | None = None) -> dict[str, float]:
        """Compute value, value_linear and kl of a reduced plan, in the caller's mass and cost."""
        xp = self.xp
        linear = cost_of(xp, P, self.M, forbidden=self.forbidden)
        sums = sums or (xp.sum(P, axis=1), xp.sum(P, axis=0))
        sides = zip((self.a, self.b), self.closed, strict=True)
        weight = math.prod(float(xp.sum(w)) + left for w, left in sides)
        uv, terms = self.centred(f, g, self.reg), self.shift_of(*sums)
        return self.terms.values(xp, linear, terms, sums, uv, (self.a, self.b), weight, self.left_over)

    @property
    def terms(self) -> Terms:
        """What the caller's problem has over this one."""
        return Terms(self.reg, self.rho, self.mass, self.L, self.offset)

    @property
    def left_over(self) -> float:
        """The price of the mass that no pair is allowed to take."""
        return sum(rho * left for rho, left in zip(self.rho, self.closed, strict=True) if left > 0)

    def bounds(self, P: Array, f: Array) -> tuple[float, float]:
        """Bound the least objective without entropy, by a feasible dual pair and by the plan itself.

        A side that has to be met exactly makes the plan infeasible by rounding: no upper bound then.
        """
        xp, less = self.xp, math.exp(-self.L)
        u = self.centred(f, xp.zeros_like(self.b), self.reg)[0]
        v = least_in_columns(xp, self.M, u)
        u = least_in_rows(xp, self.M, v)
        low = self.terms.lower_bound(xp, u + self.up, v + self.over, (self.a, self.b)) + self.left_over
        high = math.inf
        if max(self.rho) < math.inf:
            r, c = xp.sum(P, axis=1), xp.sum(P, axis=0)
            linear = cost_of(xp, P, self.M, forbidden=self.forbidden) + self.offset * float(xp.sum(r))
            high = less * linear + self.left_over
            high += self.terms.penalty(xp, less * r, less * c, (self.a, self.b))
        return self.mass * low, self.mass * high


def prepare_unbalanced(
    M: ArrayLike,
    a: Weights,
    b: Weights,
    reg: float,
    prices: float | Sequence[float] | Array,
    *,
    name: str = "unbalanced",
) -> UnbalancedProblem:
    """Check the arguments of a solver and reduce them; `name` is what the caller calls the prices."""
    rho = prices_of(name, prices)
    problem = prepare(M, a, b, reg, prices=rho)
    fields: dict[str, Any] = {key.name: getattr(problem, key.name) for key in fields_of(problem)}
    xp, reg, mass = problem.xp, problem.reg, problem.mass
    with quiet():
        f, g = reg * (xp.log(problem.a) + math.log(mass)), reg * xp.log(problem.b)
        c = float(xp.min(least_in_columns(xp, problem.M, f) - g))
    L = exponent(c, rho, reg, mass, name)
    if abs(L) <= 1.0 and abs(c) <= problem.range:
        return UnbalancedProblem(**fields, rho=rho)
    fields |= {"M": problem.M - c, "highest": problem.highest - c, "offset": c}
    return UnbalancedProblem(**fields, rho=rho, L=L)


def exponent(c: float, rho: tuple[float, float], reg: float, mass: float, name: str) -> float:
    """L of (4) for the constant c, refused where the plan is beyond the range of numbers."""
    L = c / (rho[0] + rho[1] + reg)  # (4)
    if max(math.log(mass), 0.0) - L > LARGEST_EXPONENT:
        raise ValueError(
            f"the costs are so far below zero, against {name} and reg, that the plan has a mass of "
            f"exp({max(math.log(mass), 0.0) - L:.3g}), beyond the range of numbers: add a constant to M"
        )
    return L


def prices_of(name: str, prices: float | Sequence[float] | Array) -> tuple[float, float]:
    """Two prices from one number or two, in whatever they came."""
    checks.refuse_masked(name, prices)
    several: Any = prices
    pair = list(several) if isinstance(prices, tuple | list) or getattr(prices, "ndim", 0) == 1 else [prices]
    if len(pair) not in {1, 2}:
        raise ValueError(f"{name} must be a number or a pair of numbers, got {len(pair)} of them")
    first, second = (checks.real(name, x, low=0.0, open_low=True, infinite=True) for x in (pair[0], pair[-1]))
    if min(first, second) == math.inf:
        advice = "leave it out" if name == "unbalanced" else "a balanced problem is for `solve`"
        raise ValueError(f"{name} must be finite on one side at least: {advice}")
    return first, second


class UnbalancedDual(DenseDual):
    """The semi-dual of an unbalanced problem: what is f and g elsewhere are u and v here."""

    singular = False

    def __init__(self, problem: UnbalancedProblem, limits: Limits) -> None:
        super().__init__(problem, limits)
        # P / mass = mass a b' exp((u + v - M)/eps): the factor goes with the weights of the source.
        factors = math.log(problem.mass), 0.0
        factor_a, factor_b = factors[::-1] if self.swapped else factors
        self.log_b = self.xp.log(self.b)
        self.reference_a, self.reference_b = self.log_a + factor_a, self.log_b + factor_b
        self.rho_a, self.rho_b = problem.rho[::-1] if self.swapped else problem.rho

    def exponents(self, f: Array, g: Array) -> Potentials:
        """The potentials of the kernels for u and v."""
        with quiet():
            return f + self.reg * self.reference_a, g + self.reg * self.reference_b

    def centred(self, f: Array, g: Array) -> Potentials:
        """U and v for the potentials of the kernels."""
        return f - self.reg * self.reference_a, g - self.reg * self.reference_b

    def at(self, f: Array, g: Array) -> State:
        """Evaluate everything; far from the solution the goals overflow, and the error is nan or infinite."""
        with np.errstate(over="ignore", invalid="ignore"):
            return super().at(f, g)

    def column_step(self, g: Array, c: Array) -> Array:
        """Return the v that is best for the present u."""
        out: Array = (g + self.reg * (self.log_b - self.xp.log(c))) / (1 + self.reg / self.rho_b)
        return out

    def row_step(self, f: Array, g: Array, log_r: Array) -> Array:
        """Return the u that is best for the present v, and for the constant that both can exchange."""
        f = (f + self.reg * (self.log_a - log_r)) / (1 + self.reg / self.rho_a)
        excess = log_sum(self.xp, self.log_a - f / self.rho_a) - log_sum(self.xp, self.log_b - g / self.rho_b)
        return f + excess / (1 / self.rho_a + 1 / self.rho_b)

    def row_goal(self, f: Array) -> Array:
        """``a exp(-u / rho_a)``."""
        out: Array = self.a * self.xp.exp(-f / self.rho_a)
        return out

    def column_goal(self, g: Array) -> Array:
        """``b exp(-v / rho_b)``, the column sums of the plan at g = g(f)."""
        out: Array = self.b * self.xp.exp(-g / self.rho_b)
        return out

    def value(self, f: Array, g: Array) -> float:
        """The dual function over the mass, without its constant."""
        xp = self.xp
        plan = float(xp.sum(self.column_goal(g)))
        return dual_term(xp, f, self.a, self.rho_a) + dual_term(xp, g, self.b, self.rho_b) - self.reg * plan

    def diagonals(self, s: State) -> Potentials:
        """Return d and b of S = diag(d) - P diag(1/b) P'; vanished rows and columns stand alone."""
        d = s.r + (self.reg / self.rho_a) * s.goal
        b = (1 + self.reg / self.rho_b) * self.column_goal(s.g)
        xp = self.xp
        return xp.where(d > self.tiny, d, self.tiny), xp.where(b > self.tiny, b, self.tiny)

    def goals(self, s: State) -> Potentials:
        """What the row and column sums of the problem, not swapped, should be."""
        return self.original((s.goal, self.column_goal(s.g)))


def log_sum(xp: Namespace, x: Array) -> float:
    """log(sum(exp(x))), where the largest exponential may be too large or too small."""
    top = float(xp.max(x))
    return top + math.log(float(xp.sum(xp.exp(x - top)))) if math.isfinite(top) else top


def dual_term(xp: Namespace, u: Array, a: Array, rho: float) -> float:
    """-rho a.(exp(-u/rho) - 1), which is a.u for rho = inf; -inf beyond what can be represented."""
    if rho == math.inf:
        return float(a @ u)
    with np.errstate(over="ignore"):
        return -rho * float(a @ xp.expm1(-u / rho))


def _kl(xp: Namespace, p: Array, q: Array) -> float:
    """KL(p | q) = sum p log(p/q) - p + q for positive q."""
    logs = xp.log(xp.where(p > 0, p, q)) - xp.log(q)  # not of p/q, which may underflow
    return float(xp.sum(p * logs - p + q))
