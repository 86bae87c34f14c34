r"""Unbalanced entropic transport: the marginals are met as far as it pays.

    min over P >= 0 of  <M, P> + eps KL(P | a b') + rho_a KL(P 1 | a) + rho_b KL(P' 1 | b),

with KL(p | q) = sum p log(p/q) - p + q. At the solution P_ij = a_i b_j exp((u_i + v_j - M_ij)/eps) and

    P 1 = a exp(-u/rho_a),      P' 1 = b exp(-v/rho_b),

so a side with rho = inf is met exactly. The dual function of (u, v) is

    -rho_a a.(exp(-u/rho_a) - 1) - rho_b b.(exp(-v/rho_b) - 1) - eps (sum P - sum a sum b).

(L. Chizat, G. Peyré, B. Schmitzer, F.-X. Vialard, "Scaling algorithms for unbalanced optimal transport
problems", Math. Comp. 87, 2018.)  As in the balanced case v is eliminated, and what remains is a concave
function of u, whose gradient and Hessian are those of `newton` with

    a exp(-u/rho_a) for a,    d = P 1 + (eps/rho_a) a exp(-u/rho_a),    (1 + eps/rho_b) b exp(-v/rho_b) for b,

so that Newton's method with its falling eps solves it too. A row or column step of Sinkhorn's is damped by
rho/(rho + eps); the constant that u and v can exchange, which it would find slowly, is set to its best value
after each step (T. Séjourné, F.-X. Vialard, G. Peyré, "Faster unbalanced optimal transport: translation
invariant Sinkhorn and 1-D Frank-Wolfe", AISTATS 2022).

In the code f = u + eps log a and g = v + eps log b, so that P = exp((f + g - M)/eps) as everywhere here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import checks

from ._bounds import cost_of
from ._problem import Problem, prepare
from ._semidual import SemiDual, State
from .newton import newton

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.monitor import Monitor

    from .result import TransportResult


def sinkhorn_unbalanced(
    a: Any,
    b: Any,
    M: Any,
    reg: float,
    reg_m: Any,
    *,
    tol: float = 1e-9,
    maxiter: int | None = None,
    potentials_init: tuple[Any, Any] | None = None,
    return_plan: bool = True,
    callback: Callable[..., Any] | None = None,
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
        the solution, in the 1-norm, relative to ``sqrt(sum(a) * sum(b))``.
    maxiter : int, optional
        Largest number of sweeps, 10 000 by default.
    potentials_init : tuple of array, optional
        Where to start, as the `potentials` of an earlier result.
    return_plan : bool
        Whether the result holds the plan.
    callback : callable, optional
        Called after each sweep with the potentials, or with an ``intermediate_result``; returning True
        stops the run.
    progress : bool
        Show a progress bar.
    time_limit : float, optional
        Seconds.

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

    References
    ----------
    L. Chizat, G. Peyré, B. Schmitzer, F.-X. Vialard, "Scaling algorithms for unbalanced optimal transport
    problems", Math. Comp. 87, 2018.
    T. Séjourné, F.-X. Vialard, G. Peyré, "Faster unbalanced optimal transport: translation invariant
    Sinkhorn and 1-D Frank-Wolfe", AISTATS 2022.

    Examples
    --------
    An outlier is not worth the way:

    >>> import numpy as np
    >>> from numsolve import transport
    >>> x, y = np.array([0.0, 1.0, 9.0]), np.array([0.0, 1.0])
    >>> M = (x[:, None] - y) ** 2
    >>> result = transport.sinkhorn_unbalanced([1, 1, 1], [1, 1], M, reg=0.05, reg_m=1.0)
    >>> result.plan.sum(axis=1).round(2)
    array([1., 1., 0.])
    """
    problem = prepare_unbalanced(M, a, b, reg, reg_m)
    dual = UnbalancedSemiDual(problem)
    with problem.monitor(
        "Sinkhorn",
        tol,
        10_000 if maxiter is None else maxiter,
        time_limit=time_limit,
        callback=callback,
        progress=progress,
        present=lambda x: problem.potentials(dual.original(x)),
    ) as it:
        f, g = problem.start(potentials_init)
        s = dual.at(*((g, f) if dual.swapped else (f, g)), problem.reg)
        it.record(s.error, (s.f, s.g))
        for _ in it:
            s = dual.sweep(s, problem.reg)
            it.record(s.error, (s.f, s.g))
    f, g = dual.original(it.x)
    P = dual.k.plan(problem.M, f, g, problem.reg)
    return problem.result(it, P, (f, g), return_plan, nsinkhorn=it.nit)


def newton_unbalanced(problem: UnbalancedProblem, **settings: Any) -> TransportResult:
    """Solve a prepared problem by Newton's method; see `numsolve.transport.solve` for the arguments."""
    return newton(problem, semidual=UnbalancedSemiDual, **settings)


@dataclass(frozen=True)
class UnbalancedProblem(Problem):
    """A problem whose masses are `mass * sum(a)` and `mass * sum(b)`, with the prices of deviations.

    The offset is zero: unlike a balanced plan, this one depends on a constant added to the cost.
    """

    rho: tuple[float, float] = (math.inf, math.inf)

    def result(self, it: Monitor, P: Any, x: Any, return_plan: bool, **fields: Any) -> TransportResult:
        """Put the answer into the caller's terms; P is overwritten."""
        return super().result(it, P, x, return_plan, reg_m=self.rho, **fields)

    def start(self, potentials: Any = None) -> tuple[Any, Any]:
        """Turn the caller's potentials into those of the reduced problem."""
        f, g = super().start(potentials)
        shift = self.reg * math.log(self.mass)
        return (f, g) if potentials is None else (f + shift, g - shift)

    def potentials(self, x: tuple[Any, Any]) -> tuple[Any, Any]:
        """Turn potentials of the reduced problem into the caller's."""
        f, g = x
        shift = self.reg * math.log(self.mass)
        return super().potentials((f - shift, g + shift))

    def centred(self, f: Any, g: Any, reg: float) -> tuple[Any, Any]:
        """Return u and v: the potentials without the logarithms of the weights."""
        xp = self.xp
        return f - reg * (xp.log(self.a) + math.log(self.mass)), g - reg * xp.log(self.b)

    def values(self, P: Any, f: Any, g: Any) -> dict[str, float]:
        """Compute value, value_linear and kl of a reduced plan, in the caller's mass and cost."""
        xp = self.xp
        linear = cost_of(xp, P, self.M)
        r, c = xp.sum(P, axis=1), xp.sum(P, axis=0)
        u, v = self.centred(f, g, self.reg)
        kl = (float(r @ u) + float(c @ v) - linear) / self.reg
        ab = float(xp.sum(self.a)) * float(xp.sum(self.b)) * self.mass
        entropy = self.reg * (kl - float(xp.sum(r)) + ab)
        value = linear + entropy + self.penalty(r, c)
        return {"value_linear": self.mass * linear, "value": self.mass * value, "kl": self.mass * kl}

    def penalty(self, r: Any, c: Any) -> float:
        """What the deviations of the row and column sums cost."""
        total = 0.0
        for rho, p, q in zip(self.rho, (r, c), (self.a, self.b), strict=True):
            if rho < math.inf:
                total += rho * _kl(self.xp, p, q)
        return total

    def bounds(self, P: Any, f: Any) -> tuple[float, float]:
        """Bound the least objective without entropy, by a feasible dual pair and by the plan itself.

        A side that has to be met exactly makes the plan infeasible by rounding: no upper bound then.
        """
        xp = self.xp
        u = self.centred(f, xp.zeros_like(self.b), self.reg)[0]
        v = xp.min(self.M - u[:, None], axis=0)
        u = xp.min(self.M - v[None, :], axis=1)
        low = _dual(xp, u, self.a, self.rho[0]) + _dual(xp, v, self.b, self.rho[1])
        high = math.inf
        if max(self.rho) < math.inf:
            high = cost_of(xp, P, self.M) + self.penalty(xp.sum(P, axis=1), xp.sum(P, axis=0))
        return self.mass * low, self.mass * high


def prepare_unbalanced(M: Any, a: Any, b: Any, reg: Any, reg_m: Any) -> UnbalancedProblem:
    """Check the arguments of a solver and reduce them."""
    pair = reg_m if isinstance(reg_m, tuple | list) else (reg_m, reg_m)
    if len(pair) != 2:
        raise ValueError(f"reg_m must be a number or a pair of numbers, got {len(pair)} of them")
    rho = tuple(checks.real("reg_m", x, low=0.0, open_low=True, infinite=True) for x in pair)
    if min(rho) == math.inf:
        raise ValueError("reg_m must be finite on one side at least; a balanced problem is for `solve`")
    problem = prepare(M, a, b, reg, balanced=False)
    return UnbalancedProblem(**{**vars(problem), "rho": rho})


class UnbalancedSemiDual(SemiDual):
    """The semi-dual of an unbalanced problem; u = f - eps log a and v = g - eps log b, as above."""

    singular = False

    def __init__(self, problem: UnbalancedProblem) -> None:
        super().__init__(problem)
        # P / mass = mass a b' exp((u + v - M)/eps): the factor goes with the weights of the source.
        factors = math.log(problem.mass), 0.0
        self.factor_a, self.factor_b = factors[::-1] if self.swapped else factors
        self.reference_a = self.xp.log(self.a) + self.factor_a
        self.reference_b = self.xp.log(self.b) + self.factor_b
        self.rho_a, self.rho_b = problem.rho[::-1] if self.swapped else problem.rho

    def column_step(self, g: Any, c: Any, reg: float) -> Any:
        """Return the g that is best for the present f."""
        excess = self.xp.log(c) + self.factor_b
        return reg * self.reference_b + (g - reg * excess) / (1 + reg / self.rho_b)

    def row_step(self, f: Any, g: Any, log_r: Any, reg: float) -> Any:
        """Return the f that is best for the present g, and for the constant that both can exchange."""
        f = reg * self.reference_a + (f - reg * (log_r + self.factor_a)) / (1 + reg / self.rho_a)
        a, b = self.row_goal(f, reg), self.column_goal(g, reg)
        excess = float(self.xp.sum(a)) / float(self.xp.sum(b))
        return f + math.log(excess) / (1 / self.rho_a + 1 / self.rho_b)

    def row_goal(self, f: Any, reg: float) -> Any:
        """``a exp(-u / rho_a)``."""
        return self.a * self.xp.exp((reg * self.reference_a - f) / self.rho_a)

    def column_goal(self, g: Any, reg: float) -> Any:
        """``b exp(-v / rho_b)``, the column sums of the plan at g = g(f)."""
        return self.b * self.xp.exp((reg * self.reference_b - g) / self.rho_b)

    def value(self, f: Any, g: Any, reg: float) -> float:
        """The dual function over the mass, without its constant."""
        xp = self.xp
        u, v = f - reg * self.reference_a, g - reg * self.reference_b
        plan = float(xp.sum(self.column_goal(g, reg)))
        return _dual(xp, u, self.a, self.rho_a) + _dual(xp, v, self.b, self.rho_b) - reg * plan

    def diagonals(self, s: State, reg: float) -> tuple[Any, Any]:
        """Return d and b of S = diag(d) - P diag(1/b) P'."""
        return s.r + (reg / self.rho_a) * s.goal, (1 + reg / self.rho_b) * self.column_goal(s.g, reg)

    def goals(self, s: State, reg: float) -> tuple[Any, Any]:
        """What the row and column sums of the problem, not swapped, should be."""
        return self.original((s.goal, self.column_goal(s.g, reg)))


def _dual(xp: Any, u: Any, a: Any, rho: float) -> float:
    """-rho a.(exp(-u/rho) - 1), which is a.u for rho = inf; -inf beyond what can be represented."""
    if rho == math.inf:
        return float(a @ u)
    with np.errstate(over="ignore"):
        return -rho * float(a @ xp.expm1(-u / rho))


def _kl(xp: Any, p: Any, q: Any) -> float:
    """KL(p | q) = sum p log(p/q) - p + q for positive q."""
    ratio = xp.where(p > 0, p / q, xp.ones_like(p))
    return float(xp.sum(p * xp.log(ratio) - p + q))
