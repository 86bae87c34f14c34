r"""LV-HBA: coupled affine constraints in the lower problem, whose solution need not be unique.

W. Yao, C. Yu, S. Zeng, J. Zhang, "Constrained bi-level optimization: proximal Lagrangian value function
approach and Hessian-free algorithm", ICLR 2024 (arXiv 2401.16164). With g(x, theta) = A_x x + A_theta theta
- b and

    v(x, theta, z) = min_u max_lam f(u, theta) + lam'g(u, theta) + |u - x|^2/(2 g1) - |lam - z|^2/(2 g2)   (1)

(lam >= 0 for inequalities), minimise F where f - v <= 0 and (x, theta) satisfies the coupling, by the penalty
``F + c (f - v)``. Its derivatives are

    grad_theta v = df/dtheta(u) + A_theta'lam,   grad_x v = (x - u)/g1,   grad_z v = (lam - z)/g2.        (2)

Published are single steps of u, lam, x, theta and z with c growing as (k + 1)^p: `_lvhba_single`. Here c
grows from 10 in powers of ten, and each penalty is minimised by L-BFGS within the coupling. At its minimum
over z the multiplier lam is z, and the value is that of the constrained proximal problem,

    max_z v = min f(u, theta) + |u - x|^2/(2 g1)   subject to g(u, theta) = 0 (or <= 0),      (4)

which is solved for each (x, theta): Newton's method with CG for u, as the maximum over lam in (1) is
explicit, and z <- lam, which converges fast where g2 is large. The error is c1/c + O(1/c^2), so that two
values of c give a better point,

    w + (w - w_before) / 9,                                                                   (3)

and two of these the error, which is at least what the lower problem's own conditions leave at the point.
Both objectives are divided by their curvatures at the start and the rows of the coupling have length one, so
that nothing depends on units.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numsolve._core import arrays
from numsolve._core.krylov import conjugate_gradients
from numsolve._core.result import Status

from ._coupling import Coupling, onto
from ._faces import Faces
from ._memory import Memory
from ._oracle import Halt, nearby
from ._run import Point

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from ._oracle import Oracle
    from ._run import Points, Settings

G1 = 10.0  #: the weight of the proximal term
MULTIPLIERS, EXACT = 60, 1e-15  #: steps of z, and what may be left of the constraints, over their size
FIRST, FACTOR, LAST = 10.0, 10.0, 1e7  #: c, its growth and its end
POLISH = 1e-5  #: how well each penalty is minimised, over the last change
SOLVE = 1e-14  #: relative accuracy of the inner minimisation over u
STEPS = 200  #: of L-BFGS for one c
TRIALS = 30  #: of a line search
POWER_STEPS = 5  #: of the power iteration for the lower curvature


class Objectives:
    """F and f of w = (x, theta), each divided by its curvature at the start."""

    def __init__(self, oracle: Oracle, w: Array, size: float) -> None:
        self.oracle, self.n = oracle, oracle.size
        self.F = self.f = 1.0
        rng = np.random.default_rng(0)
        d = self.upper_grad(w)
        v, curvature = rng.standard_normal(self.n), 0.0
        for _ in range(POWER_STEPS):
            v = oracle.hvp(w[: self.n], w[self.n :], v / max(arrays.norm(np, v), 1e-300))
            curvature = max(curvature, arrays.norm(np, v))
            if curvature == 0.0:
                break
        slope = arrays.norm(np, oracle.grad(w[: self.n], w[self.n :]))
        self.f = curvature or slope / size or 1.0
        h = 1e-3 * size / math.sqrt(w.size)
        changes = []
        for u in (d, rng.standard_normal(w.size)):
            length = arrays.norm(np, u)
            if length > 0.0:
                away, moved = nearby(w, u * (h * math.sqrt(w.size) / length), self.upper_grad)
                changes.append(arrays.norm(np, away - d) / max(moved, 1e-300))
        flat = 1e-12 * arrays.norm(np, d) / size
        self.F = max(changes, default=0.0)
        if not self.F > flat:
            self.F = arrays.norm(np, d) / size or 1.0

    def upper(self, w: Array) -> float:
        """F."""
        return self.oracle.upper(w[: self.n], w[self.n :]) / self.F

    def upper_grad(self, w: Array) -> Array:
        """The gradient of F."""
        return np.concatenate(self.oracle.upper_grad(w[: self.n], w[self.n :])) / self.F

    def lower(self, x: Array, theta: Array) -> float:
        """The lower objective."""
        return self.oracle.lower(x, theta) / self.f

    def grad(self, x: Array, theta: Array) -> Array:
        """Its gradient in x."""
        return np.asarray(self.oracle.grad(x, theta) / self.f)

    def grad_theta(self, x: Array, theta: Array) -> Array:
        """Its gradient in theta."""
        return np.asarray(self.oracle.grad_theta(x, theta) / self.f)

    def hvp(self, x: Array, theta: Array, v: Array) -> Array:
        """The product with its Hessian."""
        return np.asarray(self.oracle.hvp(x, theta, v) / self.f)


class Value(NamedTuple):
    """The penalty's value and gradient in (x, theta), and what belongs to it."""

    value: float
    gradient: Array
    u: Array
    lam: Array
    gap: float
    inexact: float


def lvhba(oracle: Oracle, settings: Settings) -> Points:
    """Yield the points of the continuation, and after each c the extrapolated one."""
    coupling = Coupling(oracle)
    n = oracle.size
    start = np.concatenate([oracle.x0, oracle.theta0])
    w = onto(coupling, settings, start, n)
    both = Objectives(oracle, w, max(arrays.norm(np, start), arrays.norm(np, w)) or 1.0)
    c, before, better, moved_before, last_error, sound = FIRST, w, w, 0.0, math.inf, False
    faces = Faces(coupling, settings.low, settings.high, n) if settings.onto is None else None
    here = _penalty(both, coupling, w, np.zeros(coupling.b.size), w[:n], c)
    free = _reduced(coupling, settings, faces, w, here.gradient)
    yield _point(both, w, here, free, 0.0, c)
    for k in iter(range(10**9)):  # the driver ends the run
        memory = Memory()
        length = 1.0 / max(1.0, arrays.norm(np, here.gradient))
        enough = max(0.1 * settings.tol, POLISH * moved_before)
        for _ in range(STEPS):
            if free <= max(enough, 3 * c * here.inexact):
                break
            moved = _step(both, coupling, settings, faces, memory, w, here, c, length)
            if moved is None:
                break
            w, here, length = moved
            free = _reduced(coupling, settings, faces, w, here.gradient)
            yield _point(both, w, here, free, arrays.norm(np, w - before), c)
        sound, sound_before = free <= 10 * max(enough, 3 * c * here.inexact), sound
        if k > 0:
            finer = onto(coupling, settings, w + (w - before) / (FACTOR - 1), n)  # (3)
            # The error of the last but one; this one's is a hundredth in theory, a tenth by caution.
            error = arrays.norm(np, finer - (better if k > 1 else w)) / (FACTOR if k > 1 else 1.0)
            # What the minimisation left, by the least curvature met or by that of the upper objective.
            error = max(error, free / max(min(memory.least, 1.0), 1e-300))
            if error > 2 * last_error:
                raise Halt(Status.STAGNATED, f"With c = {c:.3g} rounding makes the error grow again.")
            better, last_error = finer, error
            error = max(error, _unsolved(both, coupling, better, here))
            yield _point(both, better, here, free, error, c, done=sound and sound_before)
        if c >= LAST:
            return
        moved_before = arrays.norm(np, w - before)
        before, c = w, c * FACTOR
        here = _penalty(both, coupling, w, here.lam, here.u, c)
        free = _reduced(coupling, settings, faces, w, here.gradient)


def _unsolved(both: Objectives, coupling: Coupling, w: Array, here: Value) -> float:
    """How far x is at least from a lower solution, as the proximal point of (1) tells."""
    x, theta = w[: both.n], w[both.n :]
    u, _, _ = _saddle(both, coupling, x, theta, here.lam, here.u)
    return arrays.norm(np, x - u) / G1


def _point(
    both: Objectives, w: Array, here: Value, free: float, change: float, c: float, *, done: bool = False
) -> Point:
    """A point; its residual is the estimated error of (x, theta), told at the end of each c."""
    x, theta = w[: both.n], w[both.n :]
    return Point(
        theta, x, both.oracle.upper(x, theta), here.gradient[both.n :] * both.F,
        change if done else max(change, free),
        estimate=change if done else math.inf, step=change, eps=here.gap * both.f,
        delta=both.f / (c * both.F), may_end=done,
    )  # fmt: skip


def _reduced(coupling: Coupling, settings: Settings, faces: Faces | None, w: Array, d: Array) -> float:
    """How far the gradient is from being held back by the set."""
    if faces is not None:
        return arrays.norm(np, faces.settle(w, d)[0])
    scale = 1.0 / max(1.0, arrays.norm(np, d))
    return arrays.norm(np, w - onto(coupling, settings, w - scale * d, w.size - settings.low.size)) / scale


def _step(
    both: Objectives, coupling: Coupling, settings: Settings, faces: Faces | None, memory: Memory, w: Array,
    here: Value, c: float, length: float,
) -> tuple[Array, Value, float] | None:  # fmt: skip
    """A step of L-BFGS along a face, or a projected gradient step; None where none descends."""
    p, step = -length * here.gradient, 1.0
    if faces is not None:
        free, changed = faces.settle(w, here.gradient)
        if changed:
            memory.forget()
        p = length * free
        if len(memory):
            along = faces.tangent(here.gradient)
            p = -faces.tangent(memory.times(along, np.ones(along.shape, dtype=bool)))
        step = min(1.0, faces.longest(w, p))
        if step == 0.0:  # at an edge: the steepest way off it
            memory.forget()
            p = length * free
            step = min(1.0, faces.longest(w, p))
    for _ in range(TRIALS):
        new = w + step * p if faces is not None else onto(coupling, settings, w + step * p, both.n)
        s = new - w
        slope = float(here.gradient @ s)
        there = _penalty(both, coupling, new, here.lam, here.u, c)
        noise = 1e-14 * (abs(here.value) + c * abs(both.lower(w[: both.n], w[both.n :])))
        uphill = float(there.gradient @ s)
        lower = there.value <= here.value + 1e-4 * slope + noise
        if lower and (faces is None or uphill <= 0.9 * abs(slope)):
            if not np.any(s):
                return None
            change = there.gradient - here.gradient
            memory.add(s, change if faces is None else faces.tangent(change))
            # The next gradient step's length (J. Barzilai, J. Borwein, IMA J. Numer. Anal. 8, 1988).
            curve = uphill - slope
            longer = float(s @ s) / curve if curve > 0.0 else 10.0 * length
            return new, there, min(longer, 10.0 * length)
        step *= 0.5
    return None


def _penalty(both: Objectives, coupling: Coupling, w: Array, z: Array, u: Array, c: float) -> Value:
    """F + c (f - v) and its gradient (2)."""
    x, theta = w[: both.n], w[both.n :]
    u, lam, inexact = _saddle(both, coupling, x, theta, z, u)
    residual = coupling.A_x @ u + coupling.A_theta @ theta - coupling.b
    v = both.lower(u, theta) + lam @ residual + (u - x) @ (u - x) / (2 * G1)
    gap = both.lower(x, theta) - v
    d_x = both.grad(x, theta) - (x - u) / G1
    d_theta = both.grad_theta(x, theta) - both.grad_theta(u, theta) - coupling.A_theta.T @ lam
    both.oracle.nproj = coupling.calls
    gradient = both.upper_grad(w) + c * np.concatenate([d_x, d_theta])
    return Value(both.upper(w) + c * gap, gradient, u, lam, gap, inexact)


def _saddle(
    both: Objectives, coupling: Coupling, x: Array, theta: Array, z: Array, u: Array
) -> tuple[Array, Array, float]:
    """The u and lam of (4) from z on, and the gradient that is left."""
    size = 1.0 + arrays.norm(np, u) + arrays.norm(np, coupling.b)
    lam, left, off, last = z, math.inf, math.inf, math.inf
    for _ in range(MULTIPLIERS):
        u, lam, left = _inner(both, coupling, x, theta, z, u)
        off = arrays.norm(np, lam - z) / coupling.weight
        z = lam
        if off <= EXACT * size or off > 0.5 * last:
            break
        last = off
    if not off <= 1e-7 * size:
        raise Halt(Status.STAGNATED, "The multipliers of the lower problem did not converge.")
    return u, lam, left + off


def _inner(
    both: Objectives, coupling: Coupling, x: Array, theta: Array, z: Array, u: Array
) -> tuple[Array, Array, float]:
    """The u and lam of (1), and the gradient that is left."""
    fixed = coupling.A_theta @ theta - coupling.b

    def multipliers(u: Array) -> Array:
        lam = z + coupling.weight * (coupling.A_x @ u + fixed)
        return np.asarray(np.where(coupling.equal, lam, np.maximum(lam, 0.0)))

    def gradient(u: Array) -> Array:
        return np.asarray(both.grad(u, theta) + coupling.A_x.T @ multipliers(u) + (u - x) / G1)

    g = gradient(u)
    # What the terms of the gradient are as large as, so that rounding is a share of it.
    scale = sum(arrays.norm(np, v) for v in (g, both.grad(u, theta), u, x)) or 1.0
    for _ in range(100):
        if arrays.norm(np, g) <= SOLVE * scale:
            break
        active = coupling.equal | (multipliers(u) > 0.0)
        p = _newton(both, coupling, u, theta, g, active)
        step = 1.0
        for _ in range(TRIALS):
            after = gradient(u + step * p)
            if arrays.norm(np, after) < arrays.norm(np, g):
                break
            step *= 0.5
        else:  # rounding
            break
        u, g = u + step * p, after
    if not arrays.norm(np, g) <= 1e-6 * scale:
        raise Halt(Status.STAGNATED, "The inner saddle problem of the value function was not solved.")
    return u, multipliers(u), arrays.norm(np, g)


def _newton(both: Objectives, coupling: Coupling, u: Array, theta: Array, g: Array, active: Array) -> Array:
    """The Newton step of the saddle problem by conjugate gradients."""
    rows = coupling.A_x[active]

    def product(v: Array) -> Array:
        return np.asarray(both.hvp(u, theta, v) + coupling.weight * (rows.T @ (rows @ v)) + v / G1)

    p, size = np.zeros_like(g), arrays.norm(np, g)
    steps = conjugate_gradients(both.oracle.xp, product, p, -g)
    for _, step in zip(range(2 * g.size + 50), steps, strict=False):
        p = step.x
        if not step.curvature > 0.0 or arrays.norm(np, step.r) <= 0.1 * SOLVE * size:
            break
    return p
