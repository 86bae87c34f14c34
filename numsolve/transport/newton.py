r"""Newton's method on the semi-dual of entropic optimal transport, with scaling of the regularisation.

With P_ij = exp((f_i + g_j - M_ij)/eps), the potential g = g(f) that makes the columns exact is known:

    g_j(f) = eps log b_j - eps log sum_i exp((f_i - M_ij)/eps),                                      (1)
    F(f) = a.f + b.g(f) -> max,                                                                      (2)
    grad F = a - r,   r = P 1,         -eps Hess F = S = diag(r) - P diag(1/b) P'.                   (3)

S is the Laplacian of a weighted graph: singular along 1 only, which changes nothing in P. So plain Newton
steps

    S x = a - r,   f + t eps x,   t = 1, 1/2, 1/4, ... until the concave F rises,                    (4)

converge from any start (semi-dual: Cuturi and Peyre, "A smoothed dual approach for variational Wasserstein
problems", SIAM J. Imaging Sci. 9, 2016; Newton on the pair (f, g): Brauer, Clason, Lorenz and Wirth, "A
Sinkhorn-Newton method for entropic optimal transport", 2017). To make them few, eps falls by a factor of 4 a
stage, and each stage but the last is left at an error of 1e-2 (scaling of eps: Schmitzer, SIAM J. Sci.
Comput. 41, 2019).

What a step costs:

- F and r at a trial f take two looks at M, with one exponential an entry each, because the old g stabilises
  the sums. They read M and write nothing of its size; threads share the rows.
- S is applied with the entries of P that matter at the present error (Tang et al., ICLR 2024, drop a fixed
  share of them; here each row and column loses at most 0.1 error of its weight, and the diagonal nothing,
  so that S stays positive definite and the convergence superlinear).
- The system is solved by conjugate gradients with the diagonal of S, as far as the present error deserves;
  once that has cost as much as a Cholesky factorisation, the rest of the stage factorises.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core.result import Status

from ._ascent import PATIENCE, STAGE_TOL, Watch, falling
from ._semidual import DenseDual

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.limits import Limits
    from numsolve._core.monitor import Monitor
    from numsolve._core.typing import Array, ArrayLike

    from ._ascent import State
    from ._problem import Problem
    from .result import TransportResult


def newton(
    problem: Problem,
    limits: Limits,
    *,
    tol: float,
    potentials_init: Sequence[ArrayLike] | None = None,
    return_plan: bool = True,
    semidual: type[DenseDual] = DenseDual,
) -> TransportResult:
    """Solve a prepared problem; see `numsolve.transport.solve` for the arguments.

    One iteration is a Newton step or the change to the next eps.
    """
    with closing(semidual(problem, limits)) as dual:
        with problem.monitor(
            "Newton",
            limits,
            tol,
            1000,
            present=lambda x: problem.potentials(dual.original(x)),
            rounding=0.0,  # judged in `_give_up`, at the last eps only
            divergence=float("inf"),  # a start can be exact for one eps and off for the next
            columns=("reg",),
        ) as it:
            s, path = _start(dual, problem, potentials_init)
            stage, watch = 0, Watch()
            best, x, direct = s, s.f, False
            _record(it, dual, s, tol)
            for _ in it:
                last = stage == len(path) - 1
                if dual.wants_centring(s, tol if last else 0.01 * STAGE_TOL):
                    centred = problem.centred_at(*dual.original((s.f, s.g)))
                    M = dual.laid_out(centred)
                    problem, best = centred, dual.centre(centred, M, s)  # at once: Ctrl-C may come
                    s = best = dual.at(best.f, best.g)
                    watch = Watch()
                if not last and (s.error <= STAGE_TOL or watch.stuck >= PATIENCE):
                    stage, dual.reg, direct = stage + 1, path[stage + 1], False
                    s = best = dual.sweep(dual.at(s.f, s.g))
                    watch = Watch()
                else:
                    x, direct = dual.direction(s, tol if last else STAGE_TOL, direct)  # (4)
                    s = dual.newton_step(s, x)
                    if s.error < best.error:
                        best = s
                    watch.see(s, dual.noise(s))
                _record(it, dual, s, tol)
                if it.status is None:
                    _give_up(it, watch, dual, problem, s, x, last)

        if it.status is not Status.CONVERGED:  # the last point may be worse, or of another eps
            dual.reg = problem.reg
            s = dual.at(best.f, best.g)
            if not np.isfinite(s.error):  # at this eps their rounding errors are exponents that overflow
                s = dual.at(0 * dual.a, 0 * dual.b)
        P, sums = dual.answer(s)

    # Both marginals are measured on the plan that is returned.
    xp, (f, g) = problem.xp, dual.original(dual.exponents(s.f, s.g))
    residual = sum(float(xp.sum(xp.abs(x - y))) for x, y in zip(sums, dual.goals(s), strict=True))
    if it.status is Status.CONVERGED and residual > tol:
        it.stop(Status.ROUNDING, f"The residual is {residual:.3g}, the tolerance {tol:.3g}.")
    return problem.result(
        it, P, (f, g), return_plan, sums=sums,
        residual=residual, reg_path=tuple(path[: stage + 1]), **dual.counts,
    )  # fmt: skip


def _record(it: Monitor, dual: DenseDual, s: State, tol: float) -> None:
    """Record a point; only at the last eps it may be the answer."""
    done = dual.reg == dual.problem.reg and s.error <= 0.999 * tol  # the rest is for rounding in the columns
    it.record(s.error, dual.exponents(s.f, s.g), converged=done, reg=dual.reg)


def _start(
    dual: DenseDual, problem: Problem, potentials_init: Sequence[ArrayLike] | None
) -> tuple[State, list[float]]:
    """Return the first point and the path of eps: only the last one if the start is good enough for it."""
    f, g = dual.start(potentials_init)
    if potentials_init is not None:
        if dual.singular:
            f = f - dual.dot(dual.a, f)  # a large constant would only eat digits
        s = dual.at(f, g)
        if s.error <= 0.1:
            return s, [problem.reg]
        zero = dual.at(0 * f, 0 * g)
        if not s.fun > zero.fun:
            f, g = zero.f, zero.g
    path = falling(problem.reg, problem.range)
    dual.reg = path[0]
    s = dual.at(f, g)
    for _ in range(3):
        if not dual.limits.expired:
            s = dual.sweep(s)
    return s, path


def _give_up(
    it: Monitor, watch: Watch, dual: DenseDual, problem: Problem, s: State, x: Array, last: bool
) -> None:
    """Stop where no further step can help, and say why."""
    if problem.forbidden and dual.singular:  # an unbalanced problem always has a plan
        # Weak duality: no feasible plan (of mass one) costs more than the largest finite entry of M.
        bound = problem.highest + 1e-6 * (problem.range + abs(problem.highest))
        asked = watch.stuck > 0 and watch.stuck % 10 == 0
        if s.fun > bound or (asked and any(dual.overloaded(by) for by in (x, s.f))):
            it.stop(Status.INFEASIBLE, "The allowed pairs cannot carry the weights a to the weights b.")
            return
    if not last:
        return
    if watch.stuck >= 6 and s.error <= 4 * dual.rounding:
        it.stop(Status.ROUNDING, f"The residual is {s.error:.3g}.")
    elif watch.idle >= PATIENCE:
        it.stop(Status.STAGNATED)
