r"""Exact transport, without regularisation: a plan of least cost, and prices that certify it.

min over P >= 0 of  <M, P>   subject to   P 1 = a,  P' 1 = b,
max over f, g of  a.f + b.g   subject to   f_i + g_j <= M_ij for all pairs.                              (1)

A plan of nearly all pairs is never looked at: of a few pairs, in rounds, as `_search` says. Where the costs
are those of a line, or of points that lie in groups, or few, the rounds start from a plan nearby (`_coarse`).
Else, as beside forbidden pairs or given potentials, they start from an entropic solution at a small eps.

Costs so large that the others are nothing beside their rounding errors stand for forbidden pairs, and are cut
off first (`_levels`).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays
from numsolve._core.result import ConvergenceWarning, Status, deliver
from numsolve._core.unheard import unheard

from ._problem import VALUES
from ._search import Direct, Search, entropic
from ._semidual import DenseDual
from .newton import newton

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.limits import Limits
    from numsolve._core.typing import ArrayLike

    from ._problem import Problem
    from .result import TransportResult

#: The entropic solution is left at this error.
START_TOL = 1e-2
#: Where the range of the costs is so many times those that a plan may do with, they are cut off at a multiple
#: of these, and at the next powers.
WIDE, CUT = 1e9, 1e6
#: Where the start ends so, there is no exact plan.
ENDS = {Status.TIME_LIMIT, Status.INTERRUPTED, Status.STOPPED, Status.MAXITER, Status.INFEASIBLE}


def exact(
    problem: Problem,
    limits: Limits,
    *,
    tol: float,
    potentials_init: Sequence[ArrayLike] | None = None,
    return_plan: bool = True,
    semidual: type[DenseDual] = DenseDual,
    search: type[Search] | None = None,
) -> TransportResult:
    """Solve a problem that `_problem.prepare` made without a regularisation; its own is for the start.

    Where the start ends early, by a limit or because there is no plan, its result is returned, flagged.
    """
    if not arrays.is_numpy(problem.xp):
        name = arrays.namespace_name(problem.xp)
        raise TypeError(
            f"M is a {name} array; exact transport takes NumPy's: bring the data to the host first, as with "
            "numpy.asarray or cupy.asnumpy"
        )

    def solve(problem: Problem) -> tuple[TransportResult, float]:
        """The result, and the dearest pair of its plan."""
        if search is None and potentials_init is None and not problem.forbidden:
            direct = Direct(problem, limits, tol)
            if direct.suits():
                return direct.run(return_plan), direct.dearest
        with unheard(ConvergenceWarning):
            start = newton(
                problem,
                limits,
                tol=START_TOL,
                potentials_init=potentials_init,
                return_plan=return_plan,
                semidual=semidual,
            )
        if start.status in ENDS or not all(math.isfinite(getattr(start, name)) for name in VALUES):
            return entropic(start, Status(int(start.status))), math.inf
        found = (Search if search is None else search)(problem, limits, tol, start)
        return found.run(return_plan), found.dearest

    for most in _levels(problem):
        cheaper = problem.cut_off(most)
        with unheard(ConvergenceWarning):
            result, dearest = solve(cheaper)
        if result.success and dearest < cheaper.highest:
            return result
        if result.status in {Status.STOPPED, Status.INTERRUPTED}:
            # With the costs that were cut off the plan may cost more.
            result = replace(result, bounds=(result.bounds[0], math.inf))
            deliver(result)
            return result
    return solve(problem)[0]


def _levels(problem: Problem) -> list[float]:
    """Where to cut off costs beside whose rounding errors the others are nothing; rarely anywhere.

    A plan that is optimal for costs cut off, and uses none of these, is optimal: the others only cost more.
    """
    costs = problem.some_costs()
    low = float(costs.min(initial=math.inf))
    costs = costs[costs > low] - low
    if costs.size == 0:
        return []
    share = min(sum(problem.M.shape) / problem.entries, 1.0)  # a plan has as many entries
    usual = float(np.quantile(costs, share))
    if problem.range <= WIDE * usual:
        return []
    levels, level = [], CUT * usual
    while level < problem.range:
        levels.append(low + level)
        level *= CUT
    return levels
