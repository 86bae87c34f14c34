"""Solves of the lower problem: FISTA for strongly convex functions, and Newton's method with CG.

FISTA with s = 1/L and kappa = mu/L, from t = 0 (A. Chambolle, T. Pock, Acta Numerica 25, 2016, algorithm 5):

    t_new = (1 - kappa t^2 + sqrt((1 - kappa t^2)^2 + 4 t^2)) / 2
    m     = (t - 1) / t_new * (1 - t_new kappa) / (1 - kappa)
    z     = x + m (x - x_old),   x_new = z - s df/dx(z)                                         (1)

Newton's method solves H p = -df/dx by conjugate gradients to the relative residual min(1/2, sqrt|df/dx|)
(R. Dembo, S. Eisenstat, T. Steihaug, SIAM J. Numer. Anal. 19, 1982) and halves the step where it must.  (2)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import lapack

from numsolve._core import arrays
from numsolve._core.krylov import conjugate_gradients, dot
from numsolve._core.result import Status

from ._oracle import Halt

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from ._oracle import Oracle

#: Newton steps, steps of CG in one of them, and halvings of one of them.
NEWTON_STEPS, CG_STEPS, HALVINGS = 100, 2000, 40
#: Steps of FISTA before the solve counts as failed.
FISTA_STEPS = 100_000
#: Steps of FISTA without one per cent of progress, near the level of rounding, after which it ends.
PATIENCE = 200
#: A gradient below so many units of rounding of its terms cannot be improved.
FLOOR = 20.0


class LowerPoint(NamedTuple):
    """A point x, the lower gradient there and its norm, and whether rounding allowed no less."""

    x: Array
    gradient: Array
    norm: float
    floor: bool = False


def solve_lower(oracle: Oracle, theta: Array, start: LowerPoint | Array, tol: float) -> LowerPoint:
    """Reduce the lower gradient to `tol`, by the caller's solver or by Newton's method."""
    point = start if isinstance(start, LowerPoint) else measure(oracle, theta, start)
    if oracle.problem.lower_solver is not None:
        return _by_own_solver(oracle, theta, point, tol)
    if oracle.problem.lower_hvp is None:
        return fista(oracle, theta, point, tol)
    return newton_cg(oracle, theta, point, tol)


def measure(oracle: Oracle, theta: Array, x: Array) -> LowerPoint:
    """A point with its gradient."""
    g = oracle.grad(x, theta)
    return LowerPoint(x, g, arrays.norm(oracle.xp, g))


def _by_own_solver(oracle: Oracle, theta: Array, point: LowerPoint, tol: float) -> LowerPoint:
    if point.norm <= tol:
        return point
    found = measure(oracle, theta, oracle.own_solve(theta, point.x, tol))
    if found.norm <= tol:
        return found
    # It may have met what rounding allows.
    steep = oracle.constant("L", theta) or oracle.most or oracle.steepest
    if found.norm <= 1e3 * FLOOR * oracle.rounding * steep * arrays.norm(oracle.xp, found.x):
        return found._replace(floor=True)
    raise failed("lower_solver", found.norm, tol)


def failed(solver: str, norm: float, tol: float) -> Halt:
    """The end of a run whose lower problem was not solved."""
    return Halt(
        Status.STAGNATED,
        f"The lower problem was not solved: {solver} ended at a gradient of {norm:.3g}, "
        f"{tol:.3g} was wanted.",
    )


def newton_cg(oracle: Oracle, theta: Array, point: LowerPoint, tol: float) -> LowerPoint:
    """Newton's method; each step by conjugate gradients (2)."""
    xp = oracle.xp
    for _ in range(NEWTON_STEPS):
        # The curvatures of this theta only: those of a far trial would call everything rounding.
        floor = FLOOR * oracle.rounding * oracle.most * arrays.norm(xp, point.x)
        if point.norm <= max(tol, 0.1 * floor):
            return point._replace(floor=point.norm > tol)
        p = _newton_step(oracle, theta, point, tol)
        new = _line(oracle, theta, point, p)
        if new is None:
            if point.norm <= 1e3 * floor:
                return point._replace(floor=True)
            raise failed("Newton's method", point.norm, tol)
        point = new
    if point.norm <= tol:
        return point
    raise failed("Newton's method", point.norm, tol)


def _newton_step(oracle: Oracle, theta: Array, point: LowerPoint, tol: float) -> Array:
    xp, x = oracle.xp, point.x
    if oracle.direct:
        return np.asarray(-lapack.dpotrs(oracle.factor(x, theta)[1], point.gradient, lower=1)[0])
    wanted = max(min(0.5, math.sqrt(point.norm)) * point.norm, 0.3 * tol)
    zero, r = xp.zeros_like(x), -point.gradient
    p = zero
    for _, step in zip(
        range(CG_STEPS),
        conjugate_gradients(xp, lambda v: oracle.hvp(x, theta, v), zero, r),
        strict=False,
    ):
        p = step.x
        if not step.curvature > 0.0 or arrays.norm(xp, step.r) <= wanted:
            break
    return p if bool(xp.any(p != 0)) else r


def _line(oracle: Oracle, theta: Array, point: LowerPoint, p: Array) -> LowerPoint | None:
    """The first of the steps 1, 1/2, ... that reduces f; None where none does."""
    xp = oracle.xp
    slope = dot(xp, point.gradient, p)
    step, value = 1.0, None
    outside: Halt | None = None
    for _ in range(HALVINGS):
        try:
            new = measure(oracle, theta, point.x + step * p)
        except Halt as halt:  # outside of where f is defined
            if halt.status is not Status.NONFINITE:
                raise
            outside = halt
            step *= 0.5
            continue
        outside = None
        ahead = dot(xp, new.gradient, p)
        # f is convex: it falls all along the step if its slope at the end is not positive.
        if new.norm < point.norm and ahead <= 0.5 * abs(slope):
            return new
        if value is None:
            value = oracle.lower(point.x, theta)
        try:
            after = oracle.lower(new.x, theta)
        except Halt:
            after = math.inf
        if after <= value + 1e-4 * step * slope and after < value:
            return new
        step *= 0.5
    if outside is not None:
        raise outside
    return None


def fista(oracle: Oracle, theta: Array, point: LowerPoint, tol: float) -> LowerPoint:
    """The accelerated gradient method with the constants mu and L (1)."""
    xp = oracle.xp
    mu, L = (oracle.constant(name, theta) for name in ("mu", "L"))
    if mu is None or L is None:
        raise ValueError("FISTA needs the constants mu and L of the problem; or give lower_hvp")
    kappa, t = min(mu / L, 1.0 - 1e-12), 0.0
    x, x_old = point.x, point.x
    best, since = point, 0
    z, g = x, point.gradient
    for k in range(FISTA_STEPS):
        if point.norm <= tol:
            return point
        part = 1 - kappa * t * t
        t_new = (part + math.sqrt(part * part + 4 * t * t)) / 2
        m = (t - 1) / t_new * (1 - t_new * kappa) / (1 - kappa) if k else 0.0
        if k:
            z_old, g_old = z, g
            z = x + m * (x - x_old)
            g = oracle.grad(z, theta)
            _check_steepness(oracle, z - z_old, g - g_old, L)
        point = LowerPoint(z, g, arrays.norm(xp, g))
        best, since = (point, 0) if point.norm < 0.99 * best.norm else (best, since + 1)
        if since >= PATIENCE and best.norm <= 1e3 * FLOOR * oracle.rounding * L * arrays.norm(xp, best.x):
            return best._replace(floor=True)
        x, x_old, t = z - g / L, x, t_new
    raise failed("FISTA", best.norm, tol)


def _check_steepness(oracle: Oracle, dx: Array, dg: Array, L: float) -> None:
    """Halt where two gradients differ by more than L allows."""
    moved, change = arrays.norm(oracle.xp, dx), arrays.norm(oracle.xp, dg)
    with np.errstate(invalid="ignore"):
        if moved > 1e-6 and change > L * (1 + 1e-3) * moved:
            raise Halt(
                Status.BREAKDOWN,
                f"Two lower gradients differ by {change / moved:.3g} times their distance, "
                f"more than L = {L:.3g}.",
            )
