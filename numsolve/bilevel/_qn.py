r"""The default method: L-BFGS on the upper variable, with inexact values and hypergradients under control.

At each point the tolerances of the lower solve and of the adjoint are tightened until the hypergradient's
error is at most a tenth of its norm (1). A step is accepted where the upper objective falls for every value
that the estimated half-widths w allow (2); where they leave it open, they are tightened (3):

    omega <= 0.1 ||d||                                                                        (1)
    F(x+) + w+ - (F(x) - w) <= 1e-4 d's                                                       (2)

with s the step within the bounds. What steers the iteration is the error estimate, in which the least
curvature met stands for mu; the end is certified with the bound, if mu is known. The first step has length
sqrt(n): a unit move in each of n logarithmic parameters. Later ones are those of L-BFGS (J. Nocedal, Math.
Comp. 35, 1980), restricted to the variables that no bound holds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays

from ._adjoint import IDLE, Adjoint, Hyper, compared
from ._lower import measure, solve_lower
from ._memory import Memory
from ._oracle import TOO_FAR, Halt
from ._run import point_of

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from ._lower import LowerPoint
    from ._oracle import Oracle
    from ._run import Points, Settings

#: Relative error of a hypergradient that is good enough for a step (1); a hundredth costs twice as much.
GOOD = 0.1
#: Rounds of tightening at one point.
ROUNDS = 30
#: The least factor of one tightening.
TIGHTER = 1e-2
#: Trials of one line search.
TRIALS = 30
#: Sufficient decrease (2).
ARMIJO = 1e-4
#: Share of the predicted decrease that the half-width of a trial's value may have.
WIDTH = 0.1
#: Differences of the upper objective below so much of it are rounding.
NOISE = 1e-11
#: A step is at most so many times as long as the one before.
GROWTH = 10.0


def quasi_newton(oracle: Oracle, settings: Settings) -> Points:
    """Yield the accepted points."""
    adjoint = Adjoint(oracle, settings.solve)
    theta = settings.clip(oracle.theta0)
    lower = measure(oracle, theta, oracle.x0)
    q = oracle.xp.zeros_like(lower.x)
    eps = settings.eps if math.isfinite(settings.eps) else 0.1 * lower.norm
    here = settle(
        adjoint,
        settings,
        theta,
        lower,
        q,
        eps,
        0.0 if math.isnan(settings.delta) else settings.delta,
        relative=0.1,
    )
    yield point_of(here, settings, math.nan, here.lower.norm)
    memory = Memory()
    longest = math.inf
    for _ in iter(int, 1):  # the driver ends the run
        free = settings.projected(here.theta, here.d)
        p = -memory.times(free, free != 0.0)
        if not p @ here.d < -1e-10 * arrays.norm(np, p) * arrays.norm(np, free):
            memory.forget()
            p = -free
        size = arrays.norm(np, p)
        if size == 0.0:
            return
        if not len(memory):
            first = settings.step or math.sqrt(theta.size)
            p, size = p * (first / size), first
        if size > longest:
            p = p * (longest / size)
        there = _search(adjoint, settings, here, p)
        if there is None and len(memory):
            memory.forget()
            continue
        if there is None:
            return
        s = there.theta - here.theta
        memory.add(s, there.d - here.d)
        longest = GROWTH * arrays.norm(np, s)
        here = there
        yield point_of(here, settings, arrays.norm(np, s), here.lower.norm)


def settle(
    adjoint: Adjoint, settings: Settings, theta: Array, lower: LowerPoint, q: Array, eps: float, delta: float,
    *, relative: float = 0.0,
) -> Hyper:  # fmt: skip
    """Tighten both tolerances until the hypergradient is good enough (1), or the run may end.

    The error is estimated from the change of the hypergradient, or from the constants where that says less.
    """
    oracle = adjoint.oracle
    oracle.fresh()
    here: Hyper | None = None
    idle = 0
    for round_ in range(ROUNDS):
        lower = solve_lower(oracle, theta, lower, eps)
        new = adjoint.at(theta, lower, q, delta, relative)
        if here is not None:
            new, still = compared(new, here, oracle.rounding)
            idle = idle + still if still else 0
        here, q, relative = new, new.q, 0.0
        free = arrays.norm(np, settings.projected(theta, here.d))
        certificate, target = here.steer, GOOD * free
        ending = free + here.steer <= settings.tol
        if ending:
            here = adjoint.sure(here)  # try to prove it
            certificate = here.bound if math.isfinite(here.bound) else here.estimate
            target = settings.tol - free
        elif free <= settings.tol:
            target = settings.tol - free
        # A loose first solve has not met the least curvature: its estimate may not end the run.
        sure = round_ > 0 or not ending or math.isfinite(here.bound)
        if (certificate <= target and sure) or idle >= IDLE:
            break
        factor = 0.1 if round_ == 0 else min(max(0.5 * target / certificate, TIGHTER), 0.1)
        eps, delta = factor * lower.norm, factor * here.delta
    assert here is not None
    return here


def _search(adjoint: Adjoint, settings: Settings, here: Hyper, p: Array) -> Hyper | None:
    """The first of shrinking steps that lowers the upper objective, as its estimated error allows (2)."""
    oracle = adjoint.oracle
    share, step, lower = WIDTH, 1.0, here.lower
    steep = max(arrays.norm(oracle.xp, here.q), 1e-300)  # (4) of the adjoint
    outside: Halt | None = None
    for _ in range(TRIALS):
        theta = settings.clip(here.theta + step * p)
        s = theta - here.theta
        predicted = float(here.d @ s)
        if not predicted < 0.0:
            return None
        noise = NOISE * abs(here.fun)
        wanted = max(share * abs(predicted), 0.1 * noise) / steep
        oracle.fresh()  # the curvatures of other points say nothing here
        try:
            trial = solve_lower(oracle, theta, lower.x, wanted)
            value = oracle.upper(trial.x, theta)
        except Halt as halt:
            if halt.status not in TOO_FAR:
                raise
            outside = halt
            step *= 0.1
            continue
        lower, outside = trial, None
        width = steep * lower.norm + here.fun_estimate
        if value + width - here.fun <= ARMIJO * predicted or abs(predicted) <= noise:
            spare = GOOD * arrays.norm(np, here.d) / max(here.steer, 1e-300)
            loose = here.delta * 10.0 * min(max(math.sqrt(spare), 1.0), 10.0)
            loose = min(loose, 0.1 * arrays.norm(oracle.xp, here.in_x))
            try:
                there = settle(adjoint, settings, theta, lower, here.q, max(lower.norm, 1e-300), loose)
            except Halt as halt:
                if halt.status not in TOO_FAR:
                    raise
                outside, lower = halt, here.lower
                step *= 0.1
                continue
            if there.fun + there.fun_estimate - here.fun + here.fun_estimate <= ARMIJO * predicted:
                return there
            # Where values are all rounding, slopes tell (W. Hager, H. Zhang, SIAM J. Optim. 16, 2005).
            if abs(predicted) <= noise and there.d @ s <= -0.8 * predicted:
                return there
            value = there.fun
        elif value - width - here.fun <= ARMIJO * predicted and share > 1e-6:
            share *= 0.1  # (3)
            if here.fun_estimate > 0.3 * width:
                here = settle(
                    adjoint, settings, here.theta, here.lower, here.q, 0.1 * here.lower.norm, 0.1 * here.delta
                )
            continue
        # The minimum of the parabola through what is known, within bounds.
        curve = value - here.fun - predicted
        shrink = -0.5 * predicted / curve if curve > 0.0 else 0.5
        step *= min(max(shrink, 0.1), 0.5)
    if outside is not None:
        raise outside
    return None
