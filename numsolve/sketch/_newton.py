"""Newton's method on the KKT conditions, with the exact augmented Lagrangian as its merit function.

The rules of `numsolve.sketch.minimize`. Equations (1) and (2) are those of `_point`, (3) that of `_inner`::

    relative residual of (3)   <= min(kappa, K^(1/2))                                                  (4)
    slope of (1) along z       <= -eta2 / 2 ||(g_L, c)||^2, otherwise eta1 <- nu^2 eta1,               (5)
                                  eta2 <- eta2 / nu, kappa <- kappa / nu^4
    M(x + a dx, lam + a dl)    <= M + beta a slope, for a = 1, 1/2, 1/4, ...                           (6)

A full step that halves the least KKT residual so far is taken without (6): there are at most as many of these
as halvings between the first residual and the tolerance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

from numsolve._core import arrays
from numsolve._core.result import Status

from ._curvature import least_curvature, least_solution
from ._inner import DENSE, Splu, choose, dense, frobenius
from ._point import Point, multipliers
from ._restoration import restore

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from ._problem import Problem

#: The first shift of the Hessian, and how it changes: (3) has the wrong inertia, or the next iterate comes.
FIRST_SHIFT, RAISE, LOWER = 1e-4, 8.0, 3.0
#: Shifts tried for one step before it is given up.
SHIFTS = 40
#: A step cut below this is tried again with a larger shift, so many times.
SHORT, RETRIES = 0.05, 6
#: Bounds of the penalties.
ETA1_MOST, ETA2_LEAST = 1e8, 1e-8
#: How often multipliers and penalties begin anew where no step is found.
RESETS = 5
#: Saddle points that are left.
ESCAPES = 3
#: Variables up to which they are looked for without a dense factorisation: matrices, products alone.
LOOKED_AT, PRODUCTS = 200, 50
#: Halvings of a step.
HALVINGS = 40
#: At a solution the next Newton step is small: relative to x, and to the step before.
FINAL_STEP, CONTRACTION = 1e-2, 0.9
#: Shifts that find this step where the system is singular, and rounding errors of its right-hand side.
SINGULAR_SHIFTS, ROUNDED = (1e-12, 1e-10, 1e-8), 1e-14
#: Iterations in which the violation may stay where it is while everything else is done.
PATIENCE = 12
#: Iterations that may leave x as it is; a change of x, or terms of the residual, that are rounding errors.
IDLE, STILL = 3, 8 * np.finfo(float).eps
#: The objective of a feasible point below which it counts as unbounded, over its size at the start.
BOTTOM = 1e15


@dataclass
class Rules:
    """The numbers of (4) to (6)."""

    eta1: float = 1.0
    eta2: float = 0.01
    beta: float = 1e-4
    nu: float = 1.5
    kappa: float = 0.1


class Newton:
    """The state of the iteration."""

    def __init__(
        self, problem: Problem, lam0: Any, rules: Rules, tol: float, inner: Any, preconditioner: Any,
        rng: np.random.Generator, sketch_size: int | None,
    ) -> None:  # fmt: skip
        self.problem, self.tol, self.rules = problem, tol, rules
        problem.choose_units()
        start, units = problem.values, problem.units
        lam = multipliers(start[4], start[3]) if lam0 is None else lam0 * (units.c / units.f)
        self.point = Point.make(start, lam)
        self.eta1, self.kappa = rules.eta1, rules.kappa
        self.first_eta2 = rules.eta2 if problem.m else 0.0  # without constraints f is its own merit
        self.eta2 = self.first_eta2
        self.shift = self.last_step = 0.0
        self.least_K = self.point.K
        self.first_f = self.point.f
        self.violations: list[float] = []
        self.restorations = 0
        self.H = problem.hessian(self.point.x, self.point.lam)
        self.name, self.inner = choose(inner, self.H, self.point.G, preconditioner, rng, sketch_size)
        self.fresh = True
        self.escapes = self.resets = self.idle = 0
        self.tried: Any = None
        self.shifts = (0.0, 0.0)

    # -- one iteration -----------------------------------------------------------------------------

    def prepare(self) -> None:
        """Second derivatives at the iterate, for the inner solver."""
        p = self.point
        if not self.fresh:
            self.H = self.problem.hessian(p.x, p.lam)
        self.fresh = False
        self.inner.prepare(self.H, p.G)
        if hasattr(self.inner, "at"):
            self.inner.at(p.x)

    def advance(self) -> tuple[Status, str] | None:
        """One step; a status where there is none."""
        self.prepare()
        if not math.isfinite(frobenius(self.H)):
            return Status.NONFINITE, "The Hessian is not finite."
        found: Point | tuple[Status, str] = self._step() or self._reset() or self._restore()
        if isinstance(found, tuple):
            return found
        moved = found.x - self.point.x
        self.last_step = arrays.norm(np, moved)
        self.idle = self.idle + 1 if self._negligible(moved) and found.K > 0.5 * self.least_K else 0
        self.point = found
        self.least_K = min(self.least_K, found.K)
        self.kappa = self.rules.kappa
        return self._runaway() if self.idle < IDLE else self._floor()

    def _step(self) -> Point | None:
        dw = 0.0
        plain: tuple[Array, float] | None = None
        for retry in range(RETRIES + 1):
            z, dw, dc, slope = self._direction(dw)
            if z is None:
                break
            self.shifts = dw, dc
            # The first direction is kept: where no shift helps, it is followed in tiny steps.
            plain = plain or (z, slope)
            found = self._search(z, slope, SHORT if retry < RETRIES else 0.0)
            if found is not None:
                self.shift = dw
                return found
            dw = max(RAISE * dw, 1e-2)
        if plain is None:
            return None
        self.shift = dw / RAISE**RETRIES
        return self._search(*plain, 0.0, first=SHORT)

    def _direction(self, dw: float) -> tuple[Array | None, float, float, float]:
        """The step of (3) with a shift of at least dw that passes (5)."""
        p = self.point
        b = -np.concatenate([p.gL, p.c])
        size = arrays.norm(np, b)
        dc = 0.0
        rtol = min(self.kappa, math.sqrt(p.K))  # (4)
        for _ in range(SHIFTS):
            step = self.inner.solve(b, dw, dc, rtol)
            if not step.regular and dc == 0.0 and p.c.size:
                dc = 1e-2 * max(arrays.norm(np, p.c), 1e-6)
                continue
            if not step.convex or not step.regular:
                dw = self._raised(dw)
                continue
            dx, dl = step.z[: p.x.size], step.z[p.x.size :]
            slope = p.slope(self.H, dx, dl, self.eta1, self.eta2)
            while not slope <= -0.5 * self.eta2 * size * size:  # (5)
                if self.eta1 * self.rules.nu**2 > ETA1_MOST or self.eta2 / self.rules.nu < ETA2_LEAST:
                    break
                self.eta1, self.eta2 = self.eta1 * self.rules.nu**2, self.eta2 / self.rules.nu
                if not self.inner.exact:
                    rtol = max(rtol / self.rules.nu**4, 1e-12)
                    break
                slope = p.slope(self.H, dx, dl, self.eta1, self.eta2)
            if slope <= -0.5 * self.eta2 * size * size:
                return step.z, dw, dc, slope
            if self.inner.exact or rtol <= 1e-12:
                dw = self._raised(dw)
        return None, dw, dc, 0.0

    def _raised(self, dw: float) -> float:
        if dw > 0.0:
            return RAISE * dw
        return max(self.shift / LOWER, 1e-20) if self.shift > 0.0 else FIRST_SHIFT

    def _search(self, z: Array, slope: float, least: float, first: float = 1.0) -> Point | None:
        """(6), down to steps of size `least`."""
        p, n = self.point, self.point.x.size
        merit = p.merit(self.eta1, self.eta2)
        slack = 1e-14 * abs(merit)
        a = first
        for _ in range(HALVINGS):
            if a < least or not math.isfinite(merit):
                break
            if a < 1.0 and self._negligible(a * z[:n]):
                break
            lam = p.lam + a * z[n:]
            top = merit + self.rules.beta * a * slope + slack
            full = a == 1.0

            def worth(f: float, c: Array, lam: Array = lam, top: float = top, full: bool = full) -> bool:
                """The part of (1) without derivatives may rule out a trial; not the full step, see above."""
                self.tried = c
                low = f + float(lam @ c) + 0.5 * self.eta1 * float(c @ c)
                return low <= top or (full and arrays.norm(np, c) <= 0.5 * self.least_K)

            self.tried = None
            values = self.problem.evaluate(p.x + a * z[:n], worth)
            trial = None if values is None else self._accepted(Point.make(values, lam), top, full=full)
            if trial is None and full and self.inner.exact and self.tried is not None:
                trial = self._corrected(top, worth)
            if trial is not None:
                return trial
            a *= 0.5
        return None

    def _accepted(self, trial: Point, top: float, *, full: bool) -> Point | None:
        if full and trial.K <= 0.5 * self.least_K:
            return trial
        return trial if trial.merit(self.eta1, self.eta2) <= top else None  # (6)

    def _corrected(self, top: float, worth: Any) -> Point | None:
        """A second-order correction of a full step that went away from the constraints."""
        p, n = self.point, self.point.x.size
        c = self.tried
        if not arrays.norm(np, c) >= arrays.norm(np, p.c):
            return None
        step = self.inner.solve(-np.concatenate([p.gL, p.c + c]), *self.shifts, 0.0)
        lam = p.lam + step.z[n:]
        values = self.problem.evaluate(p.x + step.z[:n], lambda f, c: worth(f, c, lam))
        return None if values is None else self._accepted(Point.make(values, lam), top, full=True)

    # -- ends --------------------------------------------------------------------------------------

    def _reset(self) -> Point | None:
        """A step from the first penalties, with the multipliers of least squares."""
        if self.resets >= RESETS:
            return None
        self.resets += 1
        self.eta1, self.eta2, self.shift = self.rules.eta1, self.first_eta2, 0.0
        self.point = self.point.with_multipliers(multipliers(self.point.G, self.point.g))
        self.H = self.problem.hessian(self.point.x, self.point.lam)
        self.fresh = True
        self.prepare()
        return self._step()

    def _restore(self) -> Point | tuple[Status, str]:
        """A step towards the constraints alone, where the merit function allows none."""
        p = self.point
        if arrays.norm(np, p.c) <= self.tol or self.restorations >= 5:
            return self._floor()
        self.restorations += 1
        found, end = restore(self.problem, p, self.tol)
        if end is not None:
            self.point = found
        return found if end is None else end

    def _runaway(self) -> tuple[Status, str] | None:
        """Whether the iterates show that there is no solution."""
        p = self.point
        violation = arrays.norm(np, p.c)
        if p.f < -BOTTOM * (1.0 + abs(self.first_f)) and violation <= 1e-6 * (1.0 + arrays.norm(np, p.x)):
            return Status.UNBOUNDED, f"The objective fell to {p.f:.3g}."
        self.violations.append(violation)
        stuck = len(self.violations) > PATIENCE and violation > 0.9 * self.violations[-PATIENCE - 1]
        if stuck and violation > self.tol and self.restorations < 5:
            self.restorations += 1
            self.violations.clear()
            self.point, end = restore(self.problem, p, self.tol)
            return end
        return None

    def _negligible(self, dx: Array) -> bool:
        """Whether a step changes no entry of x beyond rounding."""
        x = np.abs(self.point.x)
        return bool((np.abs(dx) <= STILL * np.maximum(x, STILL * x.max(initial=0.0))).all())

    def _floor(self) -> tuple[Status, str]:
        """No step changes x: the residual is at the level of rounding errors, or the method is stuck."""
        self.prepare()
        self.fresh = True
        p, z = self.point, self._confirming_step()
        curved, sloped, size = frobenius(self.H), frobenius(p.G), arrays.norm(np, p.x)
        gradient, violation = arrays.norm(np, p.gL), arrays.norm(np, p.c)
        rounded = (
            z is not None
            and self._negligible(z[: p.x.size])
            and gradient
            <= 100 * STILL * (curved * size + arrays.norm(np, p.g) + sloped * arrays.norm(np, p.lam))
            and violation <= 100 * STILL * sloped * size
            and not self.at_saddle
        )
        if rounded:
            return Status.ROUNDING, f"The KKT residual is {p.K:.2g}."
        return Status.STAGNATED, "No step lowers the merit function."

    def confirmed(self) -> bool:
        """Whether the next Newton step is small: a residual also vanishes where x runs to infinity."""
        self.prepare()
        self.fresh = True
        p = self.point
        z = self._confirming_step() if math.isfinite(frobenius(self.H)) else None
        if z is None:
            return False
        step, size = arrays.norm(np, z[: p.x.size]), max(1.0, arrays.norm(np, p.x))
        if step <= 1e-8 * size:
            return True
        contracts = self.last_step == 0.0 or step <= CONTRACTION * self.last_step
        return contracts and step <= FINAL_STEP * size

    def escape(self) -> tuple[Status, str] | None:
        """Leave a stationary point along a direction of negative curvature, if a lower point lies there."""
        if self.escapes >= ESCAPES:
            return Status.STAGNATED, "A stationary point, but not a minimum."
        self.escapes += 1
        p = self.point
        _, v = least_curvature(self.H, p.G, p.x.size)
        # Without the gradient's part, which a step along a large curvature raises.
        merit = p.without_gradient(self.eta1)
        for t in 10.0 ** np.arange(0, -10, -1):
            for sign in (1.0, -1.0):
                trial = self._along(sign * t * max(1.0, arrays.norm(np, p.x)) * v)
                if trial is not None and trial.without_gradient(self.eta1) < merit - 1e-14 * abs(merit):
                    self.point, self.fresh = trial, False
                    self.least_K, self.last_step = math.inf, 0.0
                    return None
        return Status.STAGNATED, "A stationary point, but not a minimum."

    def _along(self, step: Array) -> Point | None:
        """The point a step away, back towards the constraints by one more step."""
        p = self.point
        values = self.problem.evaluate(p.x + step)
        if values is not None and p.c.size:
            values = self.problem.evaluate(p.x + step - least_solution(values[4], values[2]))
        return None if values is None else Point.make(values, p.lam)

    @property
    def at_saddle(self) -> bool:
        """Whether the reduced Hessian has a negative eigenvalue beyond rounding.

        It is looked at if small; if sparse, unless the inertia tells that it has none.
        """
        p = self.point
        free = isinstance(self.H, LinearOperator) or isinstance(p.G, LinearOperator)
        most = DENSE if self.name == "ldl" else PRODUCTS if free else LOOKED_AT
        if p.c.size >= p.x.size:
            return False
        if p.x.size > most:
            if not (sp.issparse(self.H) and sp.issparse(p.G)):
                return False
            negatives = self.inner.negatives() if isinstance(self.inner, Splu) else None
            if negatives is not None and negatives <= p.c.size:
                return False
        size = arrays.norm(np, dense(self.H, p.x.size)) if free else frobenius(self.H)
        return least_curvature(self.H, p.G, p.x.size)[0] < -1e-6 * max(size, 1e-6)

    def _confirming_step(self) -> Array | None:
        """The Newton step, without a shift; None where there is none.

        Where (3) is singular, a shift finds the step, if the equations without it nearly hold: in a shifted
        system an equation without a solution has one.
        """
        p = self.point
        b = -np.concatenate([p.gL, p.c])
        size, lam = arrays.norm(np, b), arrays.norm(np, p.lam)
        with np.errstate(over="ignore"):
            terms = arrays.norm(np, p.g) + frobenius(p.G) * (lam + max(1.0, arrays.norm(np, p.x)))
        if size <= ROUNDED * terms:
            return np.zeros_like(b)
        for shift in (0.0, *SINGULAR_SHIFTS):
            step = self.inner.solve(b, shift, shift if p.c.size else 0.0, 0.1)
            if step.regular and (
                shift == 0.0 or arrays.norm(np, b - self.inner.product(step.z, 0.0, 0.0)) <= 0.5 * size
            ):
                return step.z
        return None
