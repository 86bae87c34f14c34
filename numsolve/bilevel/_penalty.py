r"""The penalty methods: first-order, for lower problems with constraints on x.

J. Kwon, D. Kwon, S. Wright, R. Nowak, "On penalty methods for nonconvex bilevel optimization and first-order
stochastic approximation", ICLR 2024 (arXiv 2309.01753). With y in argmin sigma F + f and z in argmin f,

    psi_sigma = (min_y (sigma F + f) - min_z f) / sigma,                                      (1)
    grad psi_sigma = dF/dtheta(y) + (df/dtheta(y) - df/dtheta(z)) / sigma = grad phi + O(sigma).  (2)

The double loop solves for y and z by accelerated proximal gradients (A. Beck, M. Teboulle, 2009, restarted
where the momentum points uphill) to a tolerance well below sigma, and takes a step of L-BFGS in theta
(where the paper has a fixed step), or a projected gradient step. Of two values of sigma, Richardson's
combination cancels the first-order part of the bias:

    g = 2 grad psi_{sigma/2} - grad psi_sigma = grad phi + O(sigma^2)                         (3)

sigma falls to a quarter where the gradient has come near to the bias. The single loop moves y, z and theta
once in each iteration, along directions with momentum, d_k = g_k + (1 - eta_k)(d_{k-1} - g(w_{k-1}))  (4),
the same samples at both points.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numsolve._core import arrays
from numsolve._core.krylov import dot
from numsolve._core.result import Status

from ._lower import failed
from ._memory import Memory
from ._oracle import TOO_FAR, Halt, nearby
from ._run import Point

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array

    from ._oracle import Oracle
    from ._run import Points, Settings

SIGMA = 0.1  #: the first sigma F over f, by their curvatures
CONTINUE = 0.25  #: from one sigma to the next
LEAST = 1e-8  #: no sigma smaller than so much of the first: differences of y and z would be rounding
BENT = 0.3  #: how far y - z may be from halving with sigma
INNER_STEPS = 20_000  #: of accelerated proximal gradients
ACCURACY = 0.01  #: of the inner solves, over sigma and the tolerance
TRIALS = 30  #: of a line search
MOVED = 0.1  #: how far the starts are moved by which the end is judged, over the size of x
POWER_STEPS, MARGIN = 8, 1.5  #: of the power iteration for the largest curvature, and what it may miss
FIRST = 2.5  #: the error of (2) over what it changes by as sigma is halved: two, and a margin
CAUTION = 2.0  #: the margin of what they differ by then
ROUNDING = 1e-13  #: of the values that it compares, over their size; those of f count over sigma
#: the single loop: sigma falls as k^-1/4, steps as k^-1/2 of y, z (over 1/L) and theta, momentum as k^-1/2
SINGLE_SIGMA, SINGLE_STEP, SINGLE_RATE, SINGLE_MOMENTUM = 0.25, 0.5, 0.5, 0.5


def gradient_of_penalty(
    oracle: Oracle, theta: Array, y: Array, z: Array, sigma: float, tol: float
) -> tuple[Array, float, Array, Array]:
    """(2) and (1), with inner solves to a proximal gradient of `tol`; returns y and z as well."""
    y = accelerated(oracle, theta, y, sigma, tol)
    z = accelerated(oracle, theta, z, 0.0, tol)
    in_theta = oracle.upper_grad(y, theta)[1]
    slope = in_theta + (oracle.grad_theta(y, theta) - oracle.grad_theta(z, theta)) / sigma  # (2)
    value = oracle.upper(y, theta) + (oracle.lower(y, theta) - oracle.lower(z, theta)) / sigma  # (1)
    return slope, value, y, z


def accelerated(oracle: Oracle, theta: Array, x: Array, sigma: float, tol: float) -> Array:
    """Minimise sigma F + f from x on."""
    xp, s = oracle.xp, oracle.steps.get(sigma)
    if s is None:
        s = oracle.steps[sigma] = 1.0 / steepness(oracle, theta, x, sigma)

    def gradient(v: Array) -> Array:
        g = oracle.grad(v, theta)
        return g + sigma * oracle.upper_grad(v, theta)[0] if sigma else g

    z, t, x_old = x, 1.0, x
    best, idle, residual = math.inf, 0, math.inf
    g = gradient(z)
    for _ in range(INNER_STEPS):
        x = oracle.project(z - s * g, s)
        moved = x - z
        residual = arrays.norm(xp, moved) / s
        if residual <= tol:
            return x
        best, idle = (residual, 0) if residual < 0.99 * best else (best, idle + 1)
        if idle > 300 and best <= 1e3 * oracle.rounding * arrays.norm(xp, x) / s:
            return x
        after = gradient(x)
        steep = arrays.norm(xp, after - g) / max(arrays.norm(xp, moved), 1e-300)
        if steep * s > 1.0 + 1e-6:  # longer than 1/L
            s = min(0.5 * s, 1.0 / steep)
            oracle.steps[sigma] = s
            continue
        if dot(xp, moved, x - x_old) < 0.0:  # momentum uphill
            t, z = 1.0, x
            g, x_old = after, x
            continue
        t_new = 0.5 * (1 + math.sqrt(1 + 4 * t * t))
        z = x + (t - 1) / t_new * (x - x_old)
        t, x_old = t_new, x
        g = gradient(z)
    raise failed("the proximal gradient method", residual, tol)


class Combined(NamedTuple):
    """Richardson's combination at one theta, with the points that it was made of."""

    d: Array
    value: float
    bias: float
    points: tuple[Array, ...]
    #: whether y moves in proportion to sigma, without which the bias says nothing
    linear: bool


def combined(
    oracle: Oracle, order: int, theta: Array, points: tuple[Array, ...], sigma: float, tol: float
) -> Combined:
    """(3), or (2) alone for `order=1`, with an estimate of the bias that is left."""
    y, half, z = points
    inner = ACCURACY * sigma * tol
    one, first, y, z = gradient_of_penalty(oracle, theta, y, z, sigma, inner)
    two, second, half, z = gradient_of_penalty(oracle, theta, half, z, 0.5 * sigma, inner)
    linear = _linear(oracle, theta, y, half, z, tol)
    if not linear:  # of several lower solutions the one with the least upper objective is meant: near to y
        z = accelerated(oracle, theta, half, 0.0, inner)
        one, first, y, z = gradient_of_penalty(oracle, theta, y, z, sigma, inner)
        two, second, half, z = gradient_of_penalty(oracle, theta, half, z, 0.5 * sigma, inner)
        linear = _linear(oracle, theta, y, half, z, tol)
    bias = arrays.norm(np, two - one)  # to first order the error of `two`
    if order == 1:
        return Combined(one, first, FIRST * bias, (y, half, z), linear)
    return Combined(2 * two - one, 2 * second - first, bias, (y, half, z), linear)


def _linear(oracle: Oracle, theta: Array, y: Array, half: Array, z: Array, tol: float) -> bool:
    """Whether y - z halves with sigma: it does not where sigma F outweighs f."""
    xp = oracle.xp
    moved = arrays.norm(xp, y - z)
    off = arrays.norm(xp, (y - z) - 2 * (half - z))
    if off <= BENT * moved or moved <= 1e-9 * arrays.norm(xp, z):
        return True
    # Where F does not pull more than the solves leave, there is nothing to be moved.
    return arrays.norm(xp, oracle.upper_grad(z, theta)[0]) <= 10 * ACCURACY * tol


def first_weight(oracle: Oracle, theta: Array, x: Array, share: float) -> float:
    """The sigma whose upper objective has a share of the lower one's curvature."""
    lower = steepness(oracle, theta, x, 0.0)
    upper = oracle.constant("lipschitz_upper", theta)
    if upper is None:
        upper = _curvature(oracle, x, lambda v: oracle.upper_grad(v, theta)[0])
    return share * lower / upper if lower > 0.0 and upper > 0.0 else share


def penalty(oracle: Oracle, settings: Settings) -> Points:
    """Yield the points of the double loop."""
    theta = settings.project(oracle.theta0)
    start = oracle.project(oracle.x0, 1.0)
    sigma = settings.sigma or first_weight(oracle, theta, start, SIGMA)
    least, tol = LEAST * sigma, 1.0
    here = combined(oracle, settings.order, theta, (start, start, start), sigma, tol)
    length, memory = settings.step or math.sqrt(theta.size), Memory()
    accepted, bias, share, stuck = math.nan, here.bias, 1.0, False
    for _ in iter(int, 1):  # the driver ends the run
        free = settings.gap(theta, here.d)
        open_ = bias > max(0.1 * free, 0.5 * settings.tol) and not stuck
        if (open_ or not here.linear) and sigma > least:
            # Along flat directions of f loose solves are as far from linear as a sigma that is too large.
            tol = min(tol, max(0.1 * free, 0.1 * settings.tol)) if here.linear else 0.1 * tol
            here = combined(oracle, settings.order, theta, here.points, sigma, tol)
            bias = max(bias, here.bias * share)
            sigma *= CONTINUE
            there = combined(oracle, settings.order, theta, here.points, sigma, tol)
            # The errors of (3) are as 16 to 1 now, so their difference tells both.
            second = arrays.norm(np, there.d - here.d) / 8 if settings.order == 2 else math.inf
            if not here.linear:
                second = math.inf
            # Rounding, which a smaller sigma makes worse.
            stuck = here.linear and min(there.bias, second) > 0.9 * bias
            bias, here = min(there.bias, second), there
            share = bias / max(here.bias, 1e-300)
            continue
        z = here.points[2]
        point = Point(
            theta, z, oracle.upper(z, theta), here.d, free + bias, estimate=bias, step=accepted,
            eps=ACCURACY * sigma * tol, delta=sigma, may_end=False,
        )  # fmt: skip
        if not here.linear:
            raise Halt(
                Status.STAGNATED,
                f"With sigma = {sigma:.3g} the penalty's solution is not near to the lower one: is f flat?",
            )
        if free + bias <= settings.tol:
            tol = min(tol, 0.1 * settings.tol)
            here, left = _judged(oracle, settings.order, theta, here.points, sigma, tol)
            bias = max(bias, share * here.bias)
            free = settings.gap(theta, here.d)
            point = replace(point, grad=here.d, residual=free + bias + left, estimate=bias + left)
            if point.residual > settings.tol >= free + bias:  # more accurate solves are needed
                if tol < 1e-9 * settings.tol:
                    return
                tol *= 0.01
                continue
            point = replace(point, may_end=True)
        yield point
        tol = min(tol, max(0.1 * free, 0.1 * settings.tol))
        p, length = _towards(settings, memory, theta, here.d, length)
        step = 1.0
        for _ in range(TRIALS):
            there_theta = settings.project(theta + step * p)
            s = there_theta - theta
            try:
                there = combined(oracle, settings.order, there_theta, here.points, sigma, tol)
            except Halt as halt:
                if halt.status not in TOO_FAR:
                    raise
                step *= 0.1
                continue
            slope = float(here.d @ s)
            noise = ROUNDING * (abs(here.value) + abs(oracle.lower(z, theta)) / sigma)
            enough = there.value <= here.value + 1e-4 * slope + noise
            if enough and there.d @ s <= 0.8 * abs(slope):
                break
            step *= 0.5
        else:
            return
        memory.add(s, there.d - here.d)
        accepted = arrays.norm(np, s)
        length = 2 * step * length
        theta, here, bias = there_theta, there, share * there.bias


def _judged(
    oracle: Oracle, order: int, theta: Array, points: tuple[Array, ...], sigma: float, tol: float
) -> tuple[Combined, float]:
    """The gradient by solves that are a hundred times as accurate, and what they leave open.

    They are made from two sets of starts: where the lower problem is so flat that a small gradient does not
    tell the solution, the solutions keep what their starts differ by, and the gradients show it.
    """
    xp, rng = oracle.xp, np.random.default_rng(0)
    size = MOVED * max(arrays.norm(xp, points[2]) / math.sqrt(oracle.size), 1.0)
    found = []
    for _ in range(2):
        noise = [xp.asarray(rng.standard_normal(oracle.size), dtype=oracle.dtype) for _ in points]
        starts = tuple(oracle.project(p + size * e, 1.0) for p, e in zip(points, noise, strict=True))
        found.append(combined(oracle, order, theta, starts, sigma, 0.01 * tol))
    one, two = found
    one = one._replace(linear=one.linear and two.linear)
    return one, CAUTION * arrays.norm(np, one.d - two.d)


def _towards(
    settings: Settings, memory: Memory, theta: Array, d: Array, length: float
) -> tuple[Array, float]:
    """The step of L-BFGS within bounds; on any other set a gradient step."""
    free = settings.projected(theta, d)
    if len(memory) and settings.onto is None:
        p = -memory.times(free, free != 0.0)
        if p @ d < -1e-10 * arrays.norm(np, p) * arrays.norm(np, free):
            return p, length
    size = max(arrays.norm(np, free), 1e-300)
    return -free * (length / size), length


def steepness(oracle: Oracle, theta: Array, x: Array, sigma: float) -> float:
    """The largest curvature of sigma F + f: from the constants, or by a power iteration with differences."""
    L, upper = (oracle.constant(name, theta) for name in ("L", "lipschitz_upper"))
    if L is not None and (upper is not None or not sigma):
        return L + sigma * (upper or 0.0)

    def gradient(x: Array) -> Array:
        g = oracle.grad(x, theta)
        return g + sigma * oracle.upper_grad(x, theta)[0] if sigma else g

    found = max(L or 0.0, _curvature(oracle, x, gradient))
    return MARGIN * found if found > 0.0 else 1.0


def _curvature(oracle: Oracle, x: Array, gradient: Callable[[Array], Array]) -> float:
    """The largest curvature of a function of x, by a power iteration with differences of its gradient."""
    xp, g, found = oracle.xp, gradient(x), 0.0
    h = 1e-3 * (arrays.norm(xp, x) or 1.0)
    v = xp.asarray(np.random.default_rng(0).standard_normal(oracle.size), dtype=oracle.dtype)
    for _ in range(POWER_STEPS):
        size = arrays.norm(xp, v)
        if size == 0.0:
            break
        away, moved = nearby(x, (h / size) * v, gradient)
        v = (away - g) / moved
        found = max(found, arrays.norm(xp, v))
    return found


def single_loop(oracle: Oracle, settings: Settings) -> Points:
    """Yield the points of the single loop (4)."""
    xp = oracle.xp
    theta = settings.project(oracle.theta0)
    y = z = oracle.project(oracle.x0, 1.0)
    first = settings.sigma or first_weight(oracle, theta, z, SIGMA)
    s = 1.0 / steepness(oracle, theta, z, first)
    before: tuple[Array, Array, Array] | None = None
    directions: tuple[Array, Array, Array] | None = None
    largest, judge_at = 0.0, 0

    def judged(theta: Array, y: Array, z: Array, sigma: float) -> Point:
        """The point by the double loop's gradient on all samples, which has an error estimate."""
        tol = max(0.1 * settings.tol, 1e-10)
        there, left = _judged(oracle, settings.order, theta, (y, y, z), sigma, tol)
        z, free = there.points[2], settings.gap(theta, there.d)
        error = there.bias + left if there.linear else math.inf
        return Point(theta, z, oracle.upper(z, theta), there.d, free + error, estimate=error, delta=sigma)

    for k in range(1, 10**9):  # the driver ends the run
        sigma = first * k**-SINGLE_SIGMA
        eta = min(1.0, k**-SINGLE_MOMENTUM)
        oracle.draw()
        now = _directions(oracle, theta, y, z, sigma)
        if directions is None or before is None:
            directions = now
        else:
            old = _directions(oracle, before[0], before[1], before[2], sigma)
            directions = tuple(
                g + (1 - eta) * (d - o) for g, d, o in zip(now, directions, old, strict=True)
            )  # (4)
        d_theta, d_y, d_z = directions
        largest = max(largest, arrays.norm(np, d_theta), 1e-300)
        alpha = (settings.step or 0.1 * math.sqrt(theta.size)) / largest
        rest = arrays.norm(xp, now[1]) + arrays.norm(xp, now[2])
        residual = settings.gap(theta, d_theta) + rest / sigma
        whole = partial(judged, theta, y, z, sigma) if oracle.problem.samples is not None else None
        point = Point(theta, z, oracle.upper(z, theta), d_theta, residual, delta=sigma, may_end=False,
                      on_all=whole)  # fmt: skip
        if residual <= settings.tol and k >= judge_at:
            oracle.see_all()
            sure = judged(theta, y, z, sigma)
            judge_at = k + k // 10  # the next judgement, if this is not the end
            point = sure if sure.residual <= settings.tol else point
        yield point
        before = theta, y, z
        rate = k**-SINGLE_RATE
        step = s * k ** -(SINGLE_STEP - SINGLE_RATE)
        y, z = oracle.project(y - step * d_y, step), oracle.project(z - step * d_z, step)
        theta = settings.project(theta - alpha * rate * d_theta)


def _directions(oracle: Oracle, theta: Array, y: Array, z: Array, sigma: float) -> tuple[Array, Array, Array]:
    """The gradients of the penalty function in theta, y and z, with the batch that was drawn."""
    in_y, in_theta = oracle.upper_grad(y, theta)
    d = in_theta + (oracle.grad_theta(y, theta) - oracle.grad_theta(z, theta)) / sigma
    return d, sigma * in_y + oracle.grad(y, theta), oracle.grad(z, theta)
