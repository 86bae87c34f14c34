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
from typing import TYPE_CHECKING

from numsolve._core import checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits

from ._foreign import KEYWORDS
from ._unbalanced import UnbalancedDual, prepare_unbalanced
from .newton import newton

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.typing import Array, ArrayLike, Callback

    from ._problem import Weights
    from ._unbalanced import UnbalancedProblem
    from .result import TransportResult


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
    """Solve a prepared problem by the Sinkhorn iteration."""
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
