r"""Unbalanced entropic transport: the marginals are met as far as it pays.

    min over P >= 0 of  <M, P> + eps KL(P | a b') + rho_a KL(P 1 | a) + rho_b KL(P' 1 | b),          (1)

with KL(p | q) = sum p log(p/q) - p + q. At the solution P_ij = a_i b_j exp((u_i + v_j - M_ij)/eps) and

    P 1 = a exp(-u/rho_a),      P' 1 = b exp(-v/rho_b),                                              (2)

so a side with rho = inf is met exactly. The dual function of (u, v) is

    -rho_a a.(exp(-u/rho_a) - 1) - rho_b b.(exp(-v/rho_b) - 1) - eps (sum P - sum a sum b).          (3)

(L. Chizat, G. Peyré, B. Schmitzer, F.-X. Vialard, "Scaling algorithms for unbalanced optimal transport
problems", Math. Comp. 87, 2018.)  As in the balanced case v is eliminated, and what remains is a concave
function of u, whose gradient and Hessian are those of `newton` with

    a exp(-u/rho_a) for a,    d = P 1 + (eps/rho_a) a exp(-u/rho_a),    (1 + eps/rho_b) b exp(-v/rho_b) for b,

so that Newton's method with its falling eps solves it too. A row or column step of Sinkhorn's is damped by
rho/(rho + eps); the constant that u and v can exchange, which it would find slowly, is set to its best value
after each step (T. Séjourné, F.-X. Vialard, G. Peyré, "Faster unbalanced optimal transport: translation
invariant Sinkhorn and 1-D Frank-Wolfe", AISTATS 2022).

The methods work with u and v. The kernels and the caller are given f = u + eps log a and g = v + eps log b,
so that P = exp((f + g - M)/eps) as everywhere here; where eps is large against rho these have no digits left
for u/rho.

Costs far from the prices. A constant c more cost scales the plan and changes nothing else:

    P(M + c) = exp(-L) P(M),   L = c / (rho_a + rho_b + eps),   u + rho_a L,   v + rho_b L,          (4)

as one sees by inserting it in the conditions above. Where the cost is large against the prices all masses
would vanish below the smallest number (or exceed the largest where it is negative), so that a constant c is
taken off first, after which the least entry of M - eps log(a b') is zero: then at least one pair exchanges a
mass of the usual size. Rows and columns whose masses still vanish beside those count for nothing, and are
left to the sweeps, which work with logarithms.
"""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits

from ._bounds import cost_of, least_in_columns, least_in_rows
from ._foreign import KEYWORDS
from ._problem import Problem, prepare, quiet
from ._semidual import DenseDual
from .newton import newton

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.monitor import Monitor
    from numsolve._core.typing import Array, ArrayLike, Callback, Namespace

    from ._ascent import State
    from ._problem import Potentials, Weights
    from .result import TransportResult

#: The largest exponent of a mass that is represented; the factorials of exp end at 709.
LARGEST_EXPONENT = 700.0


@answers(
    **KEYWORDS,
    method="there is one method here; Newton's is solve(unbalanced=...)",
    reg_type="the entropy is KL(P | a b') always",
    c="the reference of the entropy is a b' always",
)
def sinkhorn_unbalanced(
    a: Weights,
    b: Weights,
    M: ArrayLike,
    reg: float,
    reg_m: float | Sequence[float] | Array,
    *,
    tol: float = 1e-9,
    potentials_init: Sequence[ArrayLike] | None = None,
    return_plan: bool = True,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> TransportResult:
    """Solve unbalanced entropic transport by the translation-invariant Sinkhorn iteration.

    Mass may be created and destroyed: ``sum(P * M) + reg * KL(P | a b') + rho_a * KL(P 1 | a) + rho_b *
    KL(P' 1 | b)`` is minimised over all P >= 0, where ``KL(p | q) = sum(p * log(p / q) - p + q)``.
    ``solve(M, a, b, reg, unbalanced=reg_m)`` finds the same plan by Newton's method, in fewer steps where
    `reg` is small.

    Parameters
    ----------
    a : array of shape (n,), or None
        Weights of the source, nonnegative; None or an empty list for ``1 / n`` each.
    b : array of shape (m,), or None
        Weights of the target, of any sum.
    M : array of shape (n, m)
        Cost; ``+inf`` forbids a pair.
    reg : float
        Regularisation, positive, in the unit of `M`.
    reg_m : float or pair of float
        What a deviation from the marginals costs, ``rho_a`` and ``rho_b``, positive, in the unit of `M`;
        ``inf`` on a side meets its marginal exactly.
    tol : float
        Largest error of the sums ``P 1 = a exp(-u / rho_a)`` and ``P' 1 = b exp(-v / rho_b)`` that hold at
        the solution, in the 1-norm, relative to the mass that the prices alone would move: the mean of
        ``sum(a)`` and ``sum(b)``, in logarithms and weighted by the prices. Where all costs are far from the
        prices, so that nearly no mass is left, it is relative to what is left (see the notes).
    potentials_init, return_plan
        As in `numsolve.transport.solve`.
    maxiter, callback, progress, time_limit
        As in `numsolve.transport.sinkhorn`.

    Returns
    -------
    TransportResult
        With `plan`, `potentials`, `value` (the whole objective), `value_linear`, `kl`, `bounds` (of the
        objective without the entropy) and `nsinkhorn`.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or range; the message says which and what is wanted.
    TypeError
        If an array is complex, or the arrays come from different libraries.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached; the result is the best iterate.

    Notes
    -----
    A constant c added to `M` multiplies the plan by ``exp(-c / (rho_a + rho_b + reg))``. Where that is below
    1/e or above e for the least entry of ``M - reg * log(a b')``, the problem is solved without it, so that
    the plan has all its digits even where its mass is 1e-200, and masses below 1e-308 become zero.

    References
    ----------
    L. Chizat, G. Peyré, B. Schmitzer, F.-X. Vialard, "Scaling algorithms for unbalanced optimal transport
    problems", Math. Comp. 87, 2018.
    T. Séjourné, F.-X. Vialard, G. Peyré, "Faster unbalanced optimal transport: translation invariant
    Sinkhorn and 1-D Frank-Wolfe", AISTATS 2022.

    Examples
    --------
    An outlier is too far away to be worth matching:

    >>> import numpy as np
    >>> from numsolve import transport
    >>> x, y = np.array([0.0, 1.0, 9.0]), np.array([0.0, 1.0])
    >>> M = (x[:, None] - y) ** 2
    >>> result = transport.sinkhorn_unbalanced([1, 1, 1], [1, 1], M, reg=0.05, reg_m=1.0)
    >>> result.plan.sum(axis=1).round(2)
    array([1., 1., 0.])
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    tol = checks.real("tol", tol, low=0.0)
    return_plan = checks.flag("return_plan", return_plan)
    problem = prepare_unbalanced(M, a, b, reg, reg_m, name="reg_m")
    return sweep_unbalanced(
        problem, limits, tol=tol, potentials_init=potentials_init, return_plan=return_plan
    )


def sweep_unbalanced(
    problem: UnbalancedProblem,
    limits: Limits,
    *,
    tol: float,
    potentials_init: Sequence[ArrayLike] | None,
    return_plan: bool,
) -> TransportResult:
    """Solve a prepared problem by Sinkhorn's iteration."""
    with (
        closing(UnbalancedDual(problem, limits)) as dual,
        problem.monitor(
            "Sinkhorn",
            limits,
            tol,
            10_000,
            present=lambda x: problem.potentials(dual.original(x)),
            divergence=math.inf,  # a start can be exact for some rows and off for the others
        ) as it,
    ):
        s = dual.at(*dual.start(potentials_init))
        it.record(s.error, dual.exponents(s.f, s.g))
        for _ in it:
            s = dual.sweep(s)
            it.record(s.error, dual.exponents(s.f, s.g))
    f, g = dual.original(it.x)
    P = dual.k.plan(problem.M, f, g, problem.reg)
    return problem.result(it, P, (f, g), return_plan, nsinkhorn=it.nit)


def newton_unbalanced(
    problem: UnbalancedProblem,
    limits: Limits,
    *,
    tol: float,
    potentials_init: Sequence[ArrayLike] | None,
    return_plan: bool,
) -> TransportResult:
    """Solve a prepared problem by Newton's method; see `numsolve.transport.solve` for the arguments."""
    return newton(
        problem,
        limits,
        tol=tol,
        potentials_init=potentials_init,
        return_plan=return_plan,
        semidual=UnbalancedDual,
    )


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
        """What u and v of the caller's problem have over those here: rho L, c where rho is infinite."""
        rho_a, rho_b = self.rho
        return (
            self.offset if rho_a == math.inf else rho_a * self.L,
            self.offset if rho_b == math.inf else rho_b * self.L,
        )

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
        xp, less = self.xp, math.exp(-self.L)
        linear = cost_of(xp, P, self.M, forbidden=self.forbidden)
        r, c = sums or (xp.sum(P, axis=1), xp.sum(P, axis=0))
        total = float(xp.sum(r))
        u, v = self.centred(f, g, self.reg)
        kl = less * ((float(r @ u) + float(c @ v) - linear) / self.reg - self.L * total)
        linear = less * (linear + self.offset * total + self.shift_of(r, c))
        a, b = (float(xp.sum(w)) + left for w, left in zip((self.a, self.b), self.closed, strict=True))
        ab = a * b * self.mass
        entropy = self.reg * (kl - less * total + ab)
        value = linear + entropy + self.penalty(less * r, less * c)  # (1)
        return {"value_linear": self.mass * linear, "value": self.mass * value, "kl": self.mass * kl}

    @property
    def left_over(self) -> float:
        """The price of the mass that no pair is allowed to take."""
        return sum(rho * left for rho, left in zip(self.rho, self.closed, strict=True) if left > 0)

    def penalty(self, r: Array, c: Array) -> float:
        """What the deviations of the row and column sums cost."""
        total = self.left_over
        for rho, p, q in zip(self.rho, (r, c), (self.a, self.b), strict=True):
            if rho < math.inf:
                total += rho * _kl(self.xp, p, q)
        return total

    def bounds(self, P: Array, f: Array) -> tuple[float, float]:
        """Bound the least objective without entropy, by a feasible dual pair and by the plan itself.

        A side that has to be met exactly makes the plan infeasible by rounding: no upper bound then.
        """
        xp, less, (up, over) = self.xp, math.exp(-self.L), self.shifts
        u = self.centred(f, xp.zeros_like(self.b), self.reg)[0]
        v = least_in_columns(xp, self.M, u)
        u = least_in_rows(xp, self.M, v)
        # Both are right for the caller's cost with these constants, whose sum is `offset` or less.
        rest = self.offset - (up + over)
        u, v = u + self.up + (up + rest), v + self.over + over
        low = _dual(xp, u, self.a, self.rho[0]) + _dual(xp, v, self.b, self.rho[1])
        low += self.left_over
        high = math.inf
        if max(self.rho) < math.inf:
            r, c = xp.sum(P, axis=1), xp.sum(P, axis=0)
            linear = cost_of(xp, P, self.M, forbidden=self.forbidden) + self.offset * float(xp.sum(r))
            high = less * linear + self.penalty(less * r, less * c)
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
    rho = _prices(name, prices)
    problem = prepare(M, a, b, reg, prices=rho)
    fields: dict[str, Any] = {key.name: getattr(problem, key.name) for key in fields_of(problem)}
    xp, reg, mass = problem.xp, problem.reg, problem.mass
    with quiet():
        f, g = reg * (xp.log(problem.a) + math.log(mass)), reg * xp.log(problem.b)
        c = float(xp.min(least_in_columns(xp, problem.M, f) - g))
    L = c / (rho[0] + rho[1] + reg)  # (4)
    if max(math.log(mass), 0.0) - L > LARGEST_EXPONENT:
        raise ValueError(
            f"the costs are so far below zero, against {name} and reg, that the plan has a mass of "
            f"exp({max(math.log(mass), 0.0) - L:.3g}), beyond the range of numbers: add a constant to M"
        )
    if abs(L) <= 1.0 and abs(c) <= problem.range:
        return UnbalancedProblem(**fields, rho=rho)
    fields |= {"M": problem.M - c, "highest": problem.highest - c, "offset": c}
    return UnbalancedProblem(**fields, rho=rho, L=L)


def _prices(name: str, prices: float | Sequence[float] | Array) -> tuple[float, float]:
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
        excess = _log_sum(self.xp, self.log_a - f / self.rho_a) - _log_sum(
            self.xp, self.log_b - g / self.rho_b
        )
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
        return _dual(xp, f, self.a, self.rho_a) + _dual(xp, g, self.b, self.rho_b) - self.reg * plan

    def diagonals(self, s: State) -> Potentials:
        """Return d and b of S = diag(d) - P diag(1/b) P'; vanished rows and columns stand alone."""
        d = s.r + (self.reg / self.rho_a) * s.goal
        b = (1 + self.reg / self.rho_b) * self.column_goal(s.g)
        xp = self.xp
        return xp.where(d > self.tiny, d, self.tiny), xp.where(b > self.tiny, b, self.tiny)

    def goals(self, s: State) -> Potentials:
        """What the row and column sums of the problem, not swapped, should be."""
        return self.original((s.goal, self.column_goal(s.g)))


def _log_sum(xp: Namespace, x: Array) -> float:
    """log(sum(exp(x))), where the largest exponential may be too large or too small."""
    top = float(xp.max(x))
    return top + math.log(float(xp.sum(xp.exp(x - top)))) if math.isfinite(top) else top


def _dual(xp: Namespace, u: Array, a: Array, rho: float) -> float:
    """-rho a.(exp(-u/rho) - 1), which is a.u for rho = inf; -inf beyond what can be represented."""
    if rho == math.inf:
        return float(a @ u)
    with np.errstate(over="ignore"):
        return -rho * float(a @ xp.expm1(-u / rho))


def _kl(xp: Namespace, p: Array, q: Array) -> float:
    """KL(p | q) = sum p log(p/q) - p + q for positive q."""
    logs = xp.log(xp.where(p > 0, p, q)) - xp.log(q)  # not of p/q, which may underflow
    return float(xp.sum(p * logs - p + q))
