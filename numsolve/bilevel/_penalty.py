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

from ._lower import failed
from ._memory import Memory
from ._run import Point

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from ._oracle import Oracle
    from ._run import Points, Settings

SIGMA = 0.1  #: the first sigma
CONTINUE = 0.25  #: from one sigma to the next
LEAST = 1e-9  #: no smaller sigma: differences of y and z would be rounding
INNER_STEPS = 20_000  #: of accelerated proximal gradients
ACCURACY = 0.01  #: of the inner solves, over sigma and the tolerance
TRIALS = 30  #: of a line search
MOVED = 0.1  #: how far the starts are moved by which the end is judged, over the size of x
POWER_STEPS, MARGIN = 8, 1.5  #: of the power iteration for the largest curvature, and what it may miss
CAUTION = 2.0  #: the margin of what they differ by then
ROUNDING = 1e-13  #: of the values that it compares, over their size; those of f count over sigma
#: the single loop: sigma falls as k^-1/4, steps as k^-1/2 of y, z (over 1/L) and theta, momentum as k^-1/2
SINGLE_SIGMA, SINGLE_STEP, SINGLE_RATE, SINGLE_MOMENTUM = 0.25, 0.5, 0.5, 0.5


def gradient_of_penalty(
    oracle: Oracle, theta: Array, y: Array, z: Array, sigma: float, tol: float
) -> tuple[Array, float, Array, Array]:
    """(2) and (1), with inner solves to a proximal gradient of `tol`; returns y and z as well."""
    y = _accelerated(oracle, theta, y, sigma, tol)
    z = _accelerated(oracle, theta, z, 0.0, tol)
    in_theta = oracle.upper_grad(y, theta)[1]
    slope = in_theta + (oracle.grad_theta(y, theta) - oracle.grad_theta(z, theta)) / sigma  # (2)
    value = oracle.upper(y, theta) + (oracle.lower(y, theta) - oracle.lower(z, theta)) / sigma  # (1)
    return slope, value, y, z


def _accelerated(oracle: Oracle, theta: Array, x: Array, sigma: float, tol: float) -> Array:
    """Minimise sigma F + f from x on."""
    xp, s = oracle.xp, oracle.step_of(sigma)

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
        if idle > 300 and best <= 1e-9 * (1.0 + arrays.norm(xp, g)):
            return x
        after = gradient(x)
        steep = arrays.norm(xp, after - g) / max(arrays.norm(xp, moved), 1e-300)
        if steep * s > 1.0 + 1e-6:  # longer than 1/L
            s = min(0.5 * s, 1.0 / steep)
            oracle.remember_step(sigma, s)
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


def combined(
    oracle: Oracle, order: int, theta: Array, points: tuple[Array, ...], sigma: float, tol: float
) -> Combined:
    """(3), or (2) alone for `order=1`, with an estimate of the bias that is left."""
    y, half, z = points
    inner = max(ACCURACY * sigma * tol, 1e-15)
    one, first, y, z = gradient_of_penalty(oracle, theta, y, z, sigma, inner)
    two, second, half, z = gradient_of_penalty(oracle, theta, half, z, 0.5 * sigma, inner)
    bias = float(np.linalg.norm(two - one))  # to first order the error of `two`
    if order == 1:
        return Combined(one, first, 2 * bias, (y, half, z))
    return Combined(2 * two - one, 2 * second - first, bias, (y, half, z))


def penalty(oracle: Oracle, settings: Settings) -> Points:
    """Yield the points of the double loop."""
    theta = settings.project(oracle.theta0)
    start = oracle.project(oracle.x0, 1.0)
    sigma = SIGMA if settings.sigma is None else settings.sigma
    tol = 1.0
    here = combined(oracle, settings.order, theta, (start, start, start), sigma, tol)
    length, memory = settings.step or math.sqrt(theta.size), Memory()
    accepted, bias, share, stuck = math.nan, here.bias, 1.0, False
    for _ in iter(int, 1):  # the driver ends the run
        free = settings.gap(theta, here.d)
        if bias > max(0.1 * free, 0.5 * settings.tol) and sigma > LEAST and not stuck:
            tol = min(tol, max(0.1 * free, 0.1 * settings.tol))
            here = combined(oracle, settings.order, theta, here.points, sigma, tol)
            bias = max(bias, here.bias * share)
            sigma *= CONTINUE
            there = combined(oracle, settings.order, theta, here.points, sigma, tol)
            # The errors of (3) are as 16 to 1 now, so their difference tells both.
            second = float(np.linalg.norm(there.d - here.d)) / 8 if settings.order == 2 else math.inf
            stuck = min(there.bias, second) > 0.9 * bias  # rounding, which a smaller sigma makes worse
            bias, here = min(there.bias, second), there
            share = bias / max(here.bias, 1e-300)
            continue
        z = here.points[2]
        point = Point(
            theta, z, oracle.upper(z, theta), here.d, free + bias, estimate=bias, step=accepted,
            eps=ACCURACY * sigma * tol, delta=sigma, may_end=False,
        )  # fmt: skip
        if free + bias <= settings.tol:
            tol = min(tol, 0.1 * settings.tol)
            here, open_ = _judged(oracle, settings.order, theta, here.points, sigma, tol)
            bias = max(bias, share * here.bias)
            free = settings.gap(theta, here.d)
            point = replace(point, grad=here.d, residual=free + bias + open_, estimate=bias + open_)
            if point.residual > settings.tol >= free + bias:  # more accurate solves are needed
                if tol < LEAST * settings.tol:
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
            there = combined(oracle, settings.order, there_theta, here.points, sigma, tol)
            slope = float(here.d @ s)
            noise = ROUNDING * (abs(here.value) + abs(oracle.lower(z, theta)) / sigma)
            enough = there.value <= here.value + 1e-4 * slope + noise
            if enough and there.d @ s <= 0.8 * abs(slope):
                break
            step *= 0.5
        else:
            return
        memory.add(s, there.d - here.d)
        accepted = float(np.linalg.norm(s))
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
    return one, CAUTION * float(np.linalg.norm(one.d - two.d))


def _towards(
    settings: Settings, memory: Memory, theta: Array, d: Array, length: float
) -> tuple[Array, float]:
    """The step of L-BFGS within bounds; on any other set a gradient step."""
    free = settings.projected(theta, d)
    if len(memory) and settings.onto is None:
        p = -memory.times(free, free != 0.0)
        if p @ d < -1e-10 * np.linalg.norm(p) * np.linalg.norm(free):
            return p, length
    size = max(float(np.linalg.norm(free)), 1e-300)
    return -free * (length / size), length


def steepness(oracle: Oracle, theta: Array, x: Array, sigma: float) -> float:
    """The largest curvature of sigma F + f: from the constants, or by a power iteration with differences."""
    xp = oracle.xp
    L, upper = (oracle.constant(name, theta) for name in ("L", "lipschitz_upper"))
    if L is not None and upper is not None:
        return L + sigma * upper

    def gradient(x: Array) -> Array:
        return oracle.grad(x, theta) + sigma * oracle.upper_grad(x, theta)[0]

    g, found = gradient(x), L or 0.0
    h = 1e-3 * max(arrays.norm(xp, x), 1.0)
    v = xp.asarray(np.random.default_rng(0).standard_normal(oracle.size), dtype=oracle.dtype)
    for _ in range(POWER_STEPS):
        size = arrays.norm(xp, v)
        if size == 0.0:
            break
        v = (gradient(x + (h / size) * v) - g) / h
        found = max(found, arrays.norm(xp, v))
    return MARGIN * found if found > 0.0 else 1.0


def single_loop(oracle: Oracle, settings: Settings) -> Points:
    """Yield the points of the single loop (4)."""
    xp = oracle.xp
    theta = settings.project(oracle.theta0)
    y = z = oracle.project(oracle.x0, 1.0)
    first = SIGMA if settings.sigma is None else settings.sigma
    s = 1.0 / steepness(oracle, theta, z, first)
    before: tuple[Array, Array, Array] | None = None
    directions: tuple[Array, Array, Array] | None = None
    largest, judge_at = 0.0, 0

    def judged(theta: Array, y: Array, z: Array, sigma: float) -> Point:
        """The point by the double loop's gradient on all samples, which has an error estimate."""
        tol = max(0.1 * settings.tol, 1e-10)
        there, open_ = _judged(oracle, settings.order, theta, (y, y, z), sigma, tol)
        z, free = there.points[2], settings.gap(theta, there.d)
        error = there.bias + open_
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
        largest = max(largest, float(np.linalg.norm(d_theta)), 1e-300)
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
