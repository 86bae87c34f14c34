r"""LV-HBA: coupled affine constraints in the lower problem, whose solution need not be unique.

W. Yao, C. Yu, S. Zeng, J. Zhang, "Constrained bi-level optimization: proximal Lagrangian value function
approach and Hessian-free algorithm", ICLR 2024 (arXiv 2401.16164). With g(x, theta) = A_x x + A_theta theta
- b and

    v(x, theta, z) = min_u max_lam f(u, theta) + lam'g(u, theta) + |u - x|^2/(2 g1) - |lam - z|^2/(2 g2)   (1)

(lam >= 0 for inequalities), minimise F where f - v <= 0 and (x, theta) satisfies the coupling, by the penalty
``F + c (f - v)``. Its derivatives are

    grad_theta v = df/dtheta(u) + A_theta'lam,   grad_x v = (x - u)/g1,   grad_z v = (lam - z)/g2.        (2)

Published are single steps of u, lam, x, theta and z with c growing as (k + 1)^p, and general convex
constraints; the settings of the released toy problem diverge. Those single steps are not offered, nor
constraints that are functions. Here c grows from 1 in powers of ten, each penalty is minimised by L-BFGS
within the coupling, and the multipliers move by z <- lam between. The error is c1/c + O(1/c^2), so that two
values of c give a better point,

    w + (w - w_before) / 9,                                                                   (3)

and two of these the error. The maximum over lam in (1) is explicit, lam = z + g2 g (its positive part for
inequalities), so that u minimises a smooth, strongly convex function: Newton's method with CG where there
are Hessian products, accelerated gradients otherwise. The projection on the coupling uses one
factorisation; for inequalities it is a least-distance problem (C. Lawson, R. Hanson, "Solving least squares
problems", 1974).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.linalg
import scipy.optimize

from numsolve._core import arrays
from numsolve._core.result import Status

from ._memory import Memory
from ._oracle import Halt
from ._run import Point

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from ._oracle import Oracle
    from ._run import Points, Settings

G1, G2 = 10.0, 10.0  #: the weights of the proximal terms
FIRST, FACTOR, LAST = 10.0, 10.0, 1e7  #: c, its growth and its end
POLISH = 1e-5  #: how well each penalty is minimised, over the last change
SOLVE = 1e-14  #: relative accuracy of the inner minimisation over u
ALTERNATIONS, APART = 1000, 1e-7  #: of the projections on two sets, and what may be left between them
STEPS = 200  #: of L-BFGS for one c
TRIALS = 30  #: of a line search


class Coupling:
    """The set A w = b or A w <= b of the joint vectors w = (x, theta), and its projection."""

    def __init__(self, oracle: Oracle) -> None:
        problem = oracle.problem
        if not arrays.is_numpy(oracle.xp):
            raise TypeError("method 'lvhba' takes NumPy arrays")
        if problem.lower_eq is None and problem.lower_ineq is None:
            raise ValueError("method 'lvhba' is for coupled constraints: give lower_eq or lower_ineq")
        empty = np.zeros((0, oracle.size)), np.zeros((0, oracle.theta0.size)), np.zeros(0)
        parts = [empty if part is None else part for part in (problem.lower_eq, problem.lower_ineq)]
        for name, (A_x, A_theta, _) in zip(("lower_eq", "lower_ineq"), parts, strict=True):
            if A_x.shape[1] != oracle.size or A_theta.shape[1] != oracle.theta0.size:
                wanted = f"{oracle.size} and {oracle.theta0.size}"
                raise ValueError(
                    f"{name} must have {wanted} columns, got {A_x.shape[1]} and {A_theta.shape[1]}"
                )
        self.A_x, self.A_theta = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        self.b = np.concatenate([part[2] for part in parts])
        self.equal = np.arange(self.b.size) < parts[0][2].size
        self.A = np.concatenate([self.A_x, self.A_theta], axis=1)
        equations = self.A[self.equal]
        # Rows that depend on each other are one constraint.
        self.basis = scipy.linalg.orth(equations.T, rcond=1e-12) if len(equations) else equations.T
        self.anchor = np.linalg.lstsq(equations, self.b[self.equal], rcond=None)[0] if len(equations) else 0.0
        self.calls = 0

    def tangent(self, d: Array) -> Array:
        """The part of a direction along the equations."""
        return np.asarray(d - self.basis @ (self.basis.T @ d))

    def project(self, w: Array) -> Array:
        """The nearest point of the set."""
        self.calls += 1
        near = self.tangent(w - self.anchor) + self.anchor if self.equal.any() else w
        loose = ~self.equal
        if not loose.any() or (self.A[loose] @ near <= self.b[loose]).all():
            return near
        # min |s| with A s <= b - A w along the equations: its dual is a nonnegative least-squares problem.
        rows = self.A[loose] - (self.A[loose] @ self.basis) @ self.basis.T
        gap = self.b[loose] - self.A[loose] @ near
        unit = float(np.linalg.norm(gap))  # a problem of size one: its last component is compared with one
        gap = gap / unit
        E = np.concatenate([-rows.T, -gap[None, :]])
        e = np.zeros(E.shape[0])
        e[-1] = 1.0
        try:
            y, _ = scipy.optimize.nnls(E, e)
        except RuntimeError:
            raise Halt(Status.BREAKDOWN, "The projection on the coupled constraints failed.") from None
        r = E @ y - e
        if not abs(r[-1]) > 1e-14:
            raise Halt(Status.INFEASIBLE, "The coupled constraints contradict each other.")
        return np.asarray(near - unit * (r[:-1] / r[-1]))

    def violation(self, w: Array) -> float:
        """How far w is outside of the set, over the size of what the constraints compare."""
        off = self.A @ w - self.b
        off = np.where(self.equal, np.abs(off), np.maximum(off, 0.0))
        size = float(np.linalg.norm(self.A) * np.linalg.norm(w) + np.linalg.norm(self.b))
        return float(np.linalg.norm(off)) / max(size, 1e-300)


class Value(NamedTuple):
    """The penalty's value and gradient in (x, theta), and what belongs to it."""

    value: float
    gradient: Array
    u: Array
    lam: Array
    gap: float
    inexact: float
    steep: float


def lvhba(oracle: Oracle, settings: Settings) -> Points:
    """Yield the points of the continuation, and after each c the extrapolated one."""
    coupling = Coupling(oracle)
    n = oracle.size
    w = _onto(coupling, settings, np.concatenate([oracle.x0, oracle.theta0]), n)
    z, u = np.zeros(coupling.b.size), w[:n]
    c, before, better, moved_before, last_error = FIRST, w, w, 0.0, math.inf
    here = _penalty(oracle, coupling, w, z, u, c)
    free = _reduced(coupling, settings, w, here.gradient, n)
    scale = _scale(here, w)
    yield _point(oracle, w, here, free, 0.0, c)
    for k in iter(range(10**9)):  # the driver ends the run
        memory = Memory()
        enough = max(0.1 * settings.tol, POLISH * moved_before)
        for _ in range(STEPS):
            scale = max(scale, _scale(here, w))
            if free <= max(enough * min(scale, 1.0), 3 * c * here.inexact):
                break
            moved = _step(oracle, coupling, settings, memory, w, here, z, c)
            if moved is None:
                break
            w, here = moved
            free = _reduced(coupling, settings, w, here.gradient, n)
            yield _point(oracle, w, here, free, float(np.linalg.norm(w - before)), c)
        if k > 0:
            finer = _onto(coupling, settings, w + (w - before) / (FACTOR - 1), n)  # (3)
            # The error of the last but one; this one's is a hundredth in theory, a tenth by caution.
            error = float(np.linalg.norm(finer - (better if k > 1 else w))) / (FACTOR if k > 1 else 1.0)
            # What the minimisation left, by the least curvature met or by that of the upper objective.
            error = max(error, free / max(min(memory.least, scale, 1.0), 1e-300))
            if error > 2 * last_error:
                raise Halt(Status.STAGNATED, f"With c = {c:.3g} rounding makes the error grow again.")
            better, last_error = finer, error
            yield _point(oracle, better, here, free, error, c, done=True)
        if c >= LAST:
            return
        moved_before = float(np.linalg.norm(w - before))
        before, z, c = w, here.lam, c * FACTOR
        here = _penalty(oracle, coupling, w, z, here.u, c)
        free = _reduced(coupling, settings, w, here.gradient, n)


def _scale(here: Value, w: Array) -> float:
    """The size of the upper objective's curvature, as its gradient suggests it."""
    return here.steep / (1.0 + float(np.linalg.norm(w)))


def _point(
    oracle: Oracle, w: Array, here: Value, free: float, change: float, c: float, *, done: bool = False
) -> Point:
    """A point; its residual is the estimated error of (x, theta), told at the end of each c."""
    x, theta = w[: oracle.size], w[oracle.size :]
    return Point(
        theta, x, oracle.upper(x, theta), here.gradient[oracle.size :],
        change if done else max(change, free),
        estimate=change if done else math.inf, step=change, eps=here.gap, delta=1.0 / c, may_end=done,
    )  # fmt: skip


def _reduced(coupling: Coupling, settings: Settings, w: Array, d: Array, n: int) -> float:
    """How far the gradient is from being held back by the set."""
    if (
        coupling.equal.all()
        and settings.onto is None
        and not np.isfinite([settings.low, settings.high]).any()
    ):
        return float(np.linalg.norm(coupling.tangent(d)))
    scale = 1.0 / max(1.0, float(np.linalg.norm(d)))
    return float(np.linalg.norm(w - _onto(coupling, settings, w - scale * d, n))) / scale


def _onto(coupling: Coupling, settings: Settings, w: Array, n: int) -> Array:
    """The projection on the coupling and on theta's own set (J. Dykstra, 1983)."""
    if settings.onto is None and not np.isfinite([settings.low, settings.high]).any():
        return coupling.project(w)
    p, q = np.zeros_like(w), np.zeros_like(w)
    for _ in range(ALTERNATIONS):
        y = coupling.project(w + p)
        p = w + p - y
        w_new = y + q
        w_new = np.concatenate([w_new[:n], settings.project(w_new[n:])])
        q = y + q - w_new
        if np.linalg.norm(w_new - w) <= 1e-14 * (1 + np.linalg.norm(w)):
            w = w_new
            break
        w = w_new
    if coupling.violation(w) > APART:
        raise Halt(Status.INFEASIBLE, "No point was found in both the coupled constraints and theta's set.")
    return w


def _step(
    oracle: Oracle, coupling: Coupling, settings: Settings, memory: Memory, w: Array, here: Value, z: Array,
    c: float,
) -> tuple[Array, Value] | None:  # fmt: skip
    """A step of L-BFGS along the equations, or a projected gradient step; None where none descends."""
    n = oracle.size
    smooth = (
        coupling.equal.all()
        and settings.onto is None
        and not np.isfinite([settings.low, settings.high]).any()
    )
    d = coupling.tangent(here.gradient)
    p = -memory.times(d, np.ones(d.shape, dtype=bool)) if len(memory) and smooth else -d
    if not len(memory) or not smooth:
        p = p * min(1.0, 1.0 / max(float(np.linalg.norm(d)), 1e-300))
    step = 1.0
    for _ in range(TRIALS):
        new = _onto(coupling, settings, w + step * p, n) if not smooth else w + coupling.tangent(step * p)
        s = new - w
        slope = float(here.gradient @ s)
        there = _penalty(oracle, coupling, new, z, here.u, c)
        noise = 1e-14 * (abs(here.value) + c * abs(oracle.lower(w[:n], w[n:])))
        if there.value <= here.value + 1e-4 * slope + noise and there.gradient @ s <= 0.9 * abs(slope):
            if not np.any(s):
                return None
            memory.add(s, coupling.tangent(there.gradient - here.gradient))
            return new, there
        step *= 0.5
    return None


def _penalty(oracle: Oracle, coupling: Coupling, w: Array, z: Array, u: Array, c: float) -> Value:
    """F + c (f - v) and its gradient (2)."""
    n = oracle.size
    x, theta = w[:n], w[n:]
    u, lam, inexact = _saddle(oracle, coupling, x, theta, z, u)
    residual = coupling.A_x @ u + coupling.A_theta @ theta - coupling.b
    v = (
        oracle.lower(u, theta)
        + lam @ residual
        + (u - x) @ (u - x) / (2 * G1)
        - (lam - z) @ (lam - z) / (2 * G2)
    )
    in_x, in_theta = oracle.upper_grad(x, theta)
    gap = oracle.lower(x, theta) - v
    d_x = in_x + c * (oracle.grad(x, theta) - (x - u) / G1)
    d_theta = in_theta + c * (
        oracle.grad_theta(x, theta) - oracle.grad_theta(u, theta) - coupling.A_theta.T @ lam
    )
    oracle.nproj = coupling.calls
    value = oracle.upper(x, theta) + c * gap
    steep = math.hypot(float(np.linalg.norm(in_x)), float(np.linalg.norm(in_theta)))
    return Value(value, np.concatenate([d_x, d_theta]), u, lam, gap, inexact, steep)


def _saddle(
    oracle: Oracle, coupling: Coupling, x: Array, theta: Array, z: Array, u: Array
) -> tuple[Array, Array, float]:
    """The u and lam of (1), and the gradient that is left."""
    fixed = coupling.A_theta @ theta - coupling.b

    def multipliers(u: Array) -> Array:
        lam = z + G2 * (coupling.A_x @ u + fixed)
        return np.asarray(np.where(coupling.equal, lam, np.maximum(lam, 0.0)))

    def gradient(u: Array) -> Array:
        return np.asarray(oracle.grad(u, theta) + coupling.A_x.T @ multipliers(u) + (u - x) / G1)

    g = gradient(u)
    scale = float(np.linalg.norm(g)) + 1.0
    for _ in range(100):
        if np.linalg.norm(g) <= SOLVE * scale:
            break
        active = coupling.equal | (multipliers(u) > 0.0)
        p = _newton(oracle, coupling, u, theta, g, active)
        step = 1.0
        for _ in range(TRIALS):
            after = gradient(u + step * p)
            if np.linalg.norm(after) < np.linalg.norm(g):
                break
            step *= 0.5
        else:  # rounding
            break
        u, g = u + step * p, after
    if not np.linalg.norm(g) <= 1e-6 * scale:
        raise Halt(Status.STAGNATED, "The inner saddle problem of the value function was not solved.")
    return u, multipliers(u), float(np.linalg.norm(g))


def _newton(oracle: Oracle, coupling: Coupling, u: Array, theta: Array, g: Array, active: Array) -> Array:
    """The Newton step of the saddle problem by conjugate gradients."""
    rows = coupling.A_x[active]

    def product(v: Array) -> Array:
        return np.asarray(oracle.hvp(u, theta, v) + G2 * (rows.T @ (rows @ v)) + v / G1)

    from numsolve._core.krylov import conjugate_gradients

    p, size = np.zeros_like(g), float(np.linalg.norm(g))
    steps = conjugate_gradients(oracle.xp, product, p, -g)
    for _, step in zip(range(2 * g.size + 50), steps, strict=False):
        p = step.x
        if not step.curvature > 0.0 or np.linalg.norm(step.r) <= 0.1 * SOLVE * size:
            break
    return p
