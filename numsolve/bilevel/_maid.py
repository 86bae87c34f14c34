r"""The baselines that follow the hypergradient: MAID, HOAG and SOBA.

MAID (M. Salehi, S. Mukherjee, L. Roberts, M. Ehrhardt, "An adaptively inexact first-order method for bilevel
optimization with application to hyperparameter learning", arXiv 2308.10098), with its steps' numbers:

    1. FISTA until ||df/dx|| / mu <= eps
    2. CG from 0 until ||H q - dF/dx|| <= delta; d = dF/dtheta - C'q
    3. omega = c eps + ||C|| delta / mu + L_C L_F eps^2 / mu,
       c = L_F ||C|| / mu + L_Hinv ||dF/dx|| ||C|| + L_C ||dF/dx|| / mu,  L_Hinv = L_H / mu^2
    4. while omega > (1 - eta) ||d||: eps, delta *= tau, and again
    5. backtracking: alpha = beta rho^i, accept where the upper objective falls whatever its error
    6. all J trials failed: eps, delta *= tau, J += 1; else beta = alpha rho_up, eps, delta *= nu

L_H, L_C and ||C|| come from differences along one direction for each hypergradient, the largest so far
(||C||: the last), as in the paper's code, so that omega is an estimate; L_F is the problem's where it is
known. The test of step 5 has L_F eps^2 / 2 on the side of the new point only. Where FISTA has met rounding
and no trial is accepted, the run ends.

HOAG (F. Pedregosa, "Hyperparameter optimization with approximate gradient", ICML 2016): tolerances that
fall by a schedule, and a step 1/Lh that adapts to what the upper objective does. A step is judged here
after both solves at the new point, so that a rejected one costs them.

SOBA (M. Dagreou, P. Ablin, S. Vaiter, T. Moreau, NeurIPS 2022): x, v and theta move together,
``x -= rho_t df/dx``, ``v -= rho_t (H v + dF/dx)``, ``theta -= gamma_t (C'v + dF/dtheta)`` with
``rho_t = rho_0 / sqrt(t)``; v tracks -q.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays

from ._adjoint import Adjoint, Hyper
from ._lower import LowerPoint, fista, measure, solve_lower
from ._run import Point, point_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array

    from ._oracle import Oracle
    from ._run import Points, Settings

ETA = 1e-4  #: share of the decrease that a step must keep
RHO, RHO_UP = 0.5, 10 / 9  #: how the step shrinks in the search and grows after it
TAU, NU = 0.5, 1.05  #: how the accuracies are cut and relaxed
BETA, TRIALS = 0.01, 10  #: first step, first number of trials
ACCURACY = 0.1  #: the first eps and delta
ROUNDS = 200  #: most cuts of the accuracies at one point
#: HOAG's schedules of the tolerance, by the iteration k = 1, 2, ...
SCHEDULES: dict[str, Callable[[float, int], float]] = {
    "geometric": lambda eps, k: eps * 0.9**k,
    "quadratic": lambda eps, k: eps / k**2,
    "cubic": lambda eps, k: eps / k**3,
}
#: Steps of the power iteration for L
POWER_STEPS = 10
#: SOBA's rho_0 over 1/L, and the quotient rho / gamma
SOBA_STEP, SOBA_RATIO = 1.0, 100.0


def maid(oracle: Oracle, settings: Settings) -> Points:
    """Yield MAID's accepted points."""
    adjoint = Adjoint(oracle, settings.solve, measured=True)
    eps = settings.eps if math.isfinite(settings.eps) else ACCURACY
    delta = settings.delta if math.isfinite(settings.delta) else ACCURACY
    beta = BETA if settings.step is None else settings.step
    trials = TRIALS
    theta = settings.clip(oracle.theta0)
    lower = measure(oracle, theta, oracle.x0)
    accepted = math.nan
    fresh = True
    for _ in iter(int, 1):  # the driver ends the run
        omega, here = math.inf, None
        for _ in range(ROUNDS):
            lower = fista(oracle, theta, lower, eps * _mu(oracle, theta))  # 1
            here = adjoint.at(theta, lower, oracle.xp.zeros_like(lower.x), delta)  # 2
            reached = max(eps, lower.norm / _mu(oracle, theta)), max(delta, here.delta)
            omega = _published_bound(adjoint, here, *reached)  # 3
            free = arrays.norm(np, settings.projected(theta, here.d))
            if omega <= (1 - ETA) * free or free + omega <= settings.tol or lower.floor:  # 4
                break
            eps, delta = TAU * eps, TAU * delta
        assert here is not None
        if fresh:
            yield _maid_point(here, omega, settings, accepted, eps)
        trial = _backtrack(oracle, adjoint, settings, here, eps, beta, trials)  # 5
        fresh = trial is not None
        if trial is None and lower.floor:  # rounding: higher accuracies would not be reached
            return
        if trial is None:  # 6
            eps, delta, trials = TAU * eps, TAU * delta, trials + 1
            continue
        theta, lower, accepted = trial
        beta, eps, delta = accepted * RHO_UP, eps * NU, delta * NU


def _mu(oracle: Oracle, theta: Array) -> float:
    mu = oracle.constant("mu", theta)
    if mu is None:
        raise ValueError("method 'maid' needs mu, the lower problem's strong convexity; 'qn' does not")
    return mu


def _published_bound(adjoint: Adjoint, here: Hyper, eps: float, delta: float) -> float:
    oracle = adjoint.oracle
    mu, steep = _mu(oracle, here.theta), arrays.norm(oracle.xp, here.in_x)
    L_F, L_C, C = adjoint.L_F, adjoint.L_C, adjoint.C
    c = L_F * C / mu + adjoint.L_H / mu**2 * steep * C + L_C * steep / mu
    return c * eps + C * delta / mu + L_C * L_F * eps**2 / mu


def _maid_point(here: Hyper, omega: float, settings: Settings, step: float, eps: float) -> Point:
    free = arrays.norm(np, settings.projected(here.theta, here.d))
    return Point(
        here.theta, here.lower.x, here.fun, here.d, free + omega, omega, here.estimate,
        here.certified and free + omega <= settings.tol, here.q, eps, here.delta, step,
    )  # fmt: skip


def _backtrack(
    oracle: Oracle, adjoint: Adjoint, settings: Settings, here: Hyper, eps: float, beta: float, trials: int
) -> tuple[Array, LowerPoint, float] | None:
    """The first step after which F + w (1 + its slope's error) lies below F - w by enough."""
    xp, L_F = oracle.xp, adjoint.L_F
    steep = arrays.norm(xp, here.in_x)
    square = float(np.sum(settings.projected(here.theta, here.d) ** 2))
    lower = here.lower
    for i in range(trials):
        alpha = beta * RHO**i
        theta = settings.clip(here.theta - alpha * here.d)
        lower = fista(oracle, theta, measure(oracle, theta, lower.x), eps * _mu(oracle, theta))
        value = oracle.upper(lower.x, theta)
        slope = arrays.norm(xp, oracle.upper_grad(lower.x, theta)[0])
        above = value + slope * eps + 0.5 * L_F * eps**2
        if above - (here.fun - steep * eps) <= -alpha * ETA**2 * square:
            return theta, lower, alpha
    return None


def hoag(oracle: Oracle, settings: Settings) -> Points:
    """Yield HOAG's points."""
    adjoint = Adjoint(oracle, settings.solve)
    schedule = SCHEDULES[settings.schedule]
    first = settings.eps if math.isfinite(settings.eps) else ACCURACY
    theta = settings.clip(oracle.theta0)
    lower = measure(oracle, theta, oracle.x0)
    q = oracle.xp.zeros_like(lower.x)
    Lh, old, before, cut = 0.0, math.inf, first, 1.0
    saved = theta, lower, q
    for k in range(1, 10**9):  # the driver ends the run
        eps = cut * schedule(first, k)
        oracle.fresh()
        lower = solve_lower(oracle, theta, lower, eps)
        here = adjoint.at(theta, lower, q, eps)
        q = here.q
        size = arrays.norm(np, here.d)
        if not Lh:
            Lh = 1.0 if size < 1e-3 else size / math.sqrt(theta.size)
            Lh = Lh if settings.step is None else 1.0 / settings.step
        increment = size / Lh
        if here.fun >= 1.2 * old and here.fun > 0.0:  # rejected: back, with a shorter step
            theta, lower, q = saved
            Lh, cut, old = 2 * Lh, 0.5 * cut, math.inf
            lower = measure(oracle, theta, lower.x)
            continue
        if here.fun <= old + 0.25 * eps + 1.25 * before * increment - Lh * increment**2:
            Lh *= 0.95
        point = point_of(here, settings, 1.0 / Lh, eps)
        yield (
            point_of(adjoint.sure(here), settings, 1.0 / Lh, eps) if point.residual <= settings.tol else point
        )
        saved = theta, lower, q
        old, before = here.fun, eps
        theta = settings.clip(theta - here.d / Lh)
        lower = measure(oracle, theta, lower.x)


def soba(oracle: Oracle, settings: Settings) -> Points:
    """Yield the points of SOBA, with all samples or with batches of them."""
    xp = oracle.xp
    theta, x = settings.clip(oracle.theta0), oracle.x0
    v = xp.zeros_like(x)
    L = oracle.constant("L", theta)
    if L is None:
        w = xp.asarray(np.random.default_rng(0).standard_normal(oracle.size), dtype=oracle.dtype)
        for _ in range(POWER_STEPS):
            w = oracle.hvp(x, theta, w / arrays.norm(xp, w))
        L = 1.1 * max(oracle.steepest, 1e-300)
    first = settings.step if settings.step is not None else SOBA_STEP / L
    adjoint, judge_at = Adjoint(oracle), 0

    def judged(theta: Array, x: Array, v: Array) -> Point:
        """The point by the implicit hypergradient on all samples, which has an error estimate."""
        hyper = adjoint.at(theta, measure(oracle, theta, x), -v, 0.01 * settings.tol)
        return point_of(adjoint.sure(hyper), settings)

    for t in range(1, 10**9):  # the driver ends the run
        rho = first / math.sqrt(t)
        oracle.draw()
        g = oracle.grad(x, theta)
        in_x, in_theta = oracle.upper_grad(x, theta)
        Hv = oracle.hvp(x, theta, v)
        d = in_theta + oracle.cross(x, theta, v)
        errors = arrays.norm(xp, g) + arrays.norm(xp, Hv + in_x)
        residual = arrays.norm(np, settings.projected(theta, d)) + errors
        step = rho / SOBA_RATIO
        whole = partial(judged, theta, x, v) if oracle.problem.samples is not None else None
        point = Point(
            theta, x, oracle.upper(x, theta), d, residual, q=-v, step=step, may_end=False, on_all=whole
        )
        if residual <= settings.tol and t >= judge_at:
            oracle.see_all()
            sure = judged(theta, x, v)
            judge_at = t + t // 10  # the next judgement, if this is not the end
            if sure.residual <= settings.tol:
                point = replace(sure, step=step)
        yield point
        x, v = x - rho * g, v - rho * (Hv + in_x)
        theta = settings.clip(theta - step * d)
