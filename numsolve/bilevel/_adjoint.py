r"""The hypergradient of an approximate lower solution, and how far it may be from the true one.

With e >= ||x - x*||, delta = ||H q - dF/dx|| and the constants of the problem (L_F, L_H, L_C: Lipschitz
constants in x of the upper gradient, of H and of C):

    d = dF/dtheta - C'q                                                                       (1)
    ||q - q*|| <= (delta + L_F e + L_H e ||q||) / mu                                          (2)
    ||d - grad phi|| <= omega = L_F e + L_C e ||q|| + (||C|| + L_C e) ||q - q*||              (3)
    |F(x) - phi| <= ||dF/dx|| e + L_F e^2 / 2, to first order |q'df/dx|                       (4)

where e = ||df/dx|| / mu. (2) holds because ``H(x*) (q - q*) = (H(x) q - dF/dx(x)) + (dF/dx(x) - dF/dx(x*))
+ (H(x*) - H(x)) q``. It is MAID's bound (M. Salehi, S. Mukherjee, L. Roberts, M. Ehrhardt, "An adaptively
inexact first-order method for bilevel optimization", arXiv 2308.10098) with the measured ||q|| in place of
||dF/dx|| / mu.

Constants that the problem does not know are measured by differences along random directions and along the
lower gradient; the largest so far counts, with a margin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import lapack

from numsolve._core import arrays
from numsolve._core.krylov import conjugate_gradients
from numsolve._core.result import Status

from ._oracle import Halt, nearby
from ._truth import LONGEST, check_curvature

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array

    from ._lower import LowerPoint
    from ._oracle import Oracle

#: Steps of CG for the adjoint.
CG_STEPS = 5000
#: By what a constant that was measured by differences is multiplied.
MARGIN = 2.0
#: Rounds of the power iteration for ||C|| at its first call.
POWER_STEPS = 3
#: Units of rounding that a sum of products may be wrong by, over the size of its terms.
ROUNDING = 20.0
#: Margin of the error that is estimated from a change, and the chance 10^-k that is left to small ones.
CAUTION, UNLIKELY = 3.0, 3
#: A change tells the error only where each residual fell at least so far.
FELL = 0.5
#: How idle rounds may be together.
IDLE = 4
#: Residuals over the least curvature, relative to x and q, below which all directions count as solved for.
RESOLVED = 1e-2


@dataclass(frozen=True)
class Hyper:
    """A point of the upper problem with all that is known there."""

    theta: Array
    lower: LowerPoint
    q: Array
    d: Array
    fun: float
    in_x: Array
    delta: float
    #: omega with the true mu and with the least curvature met; half-widths of `fun` likewise
    bound: float
    estimate: float
    #: what is good enough to steer by: the estimate, or what the last change suggests
    steer: float
    fun_bound: float
    fun_estimate: float
    curvature: float
    certified: bool
    #: whether the residuals are so small that even the flattest direction has been solved for
    resolved: bool


def compared(here: Hyper, before: Hyper, rounding: float) -> tuple[Hyper, int]:
    """The error estimated from the change since a looser solve, and how idle the round was: 0, 1 or 2.

    Where both residuals fell to at most the share g, the error left is at most g / (1 - g) of the change, if
    they fell alike in all directions. Flat ones come last: to steer by, the change is good enough, but it is
    an estimate only where the residuals are small against the least curvature, and with the root of g.
    """
    ratios = [_ratio(here.lower.norm, before.lower.norm), _ratio(here.delta, before.delta)]
    gain = max(ratios)
    if gain <= FELL:
        # Of few numbers a change may be small by chance: in m dimensions a tenth of its usual size has 10^-m.
        caution = CAUTION * 10.0 ** (UNLIKELY / here.d.size)
        change = caution * arrays.norm(np, here.d - before.d)
        least = ROUNDING * rounding * arrays.norm(np, here.d)
        here = replace(here, steer=min(here.steer, least + gain / (1 - gain) * change))
        if here.resolved:
            slow = math.sqrt(gain)
            here = replace(here, estimate=min(here.estimate, least + slow / (1 - slow) * change))
    better = here.steer < 0.9 * before.steer or here.estimate < 0.9 * before.estimate
    stays = not better and not here.bound < 0.9 * before.bound
    return here, 2 if min(ratios) > 0.9 else int(stays)


def _ratio(new: float, old: float) -> float:
    if old > 0.0:
        return new / old
    return 0.0 if new == 0.0 else math.inf


class Adjoint:
    """Solves H q = dF/dx, and measures constants on the way."""

    def __init__(self, oracle: Oracle, solve: Any = "auto", *, measured: bool = False) -> None:
        self.oracle = oracle
        self.solve = "direct" if solve == "auto" and oracle.direct else "cg" if solve == "auto" else solve
        #: whether only differences count, without a margin, as published for MAID
        self.measured, self.margin = measured, 1.0 if measured else MARGIN
        self.rng = np.random.default_rng(0)
        self.L_F = self.L_H = self.L_C = self.C = 0.0
        self._v: Array | None = None

    def at(self, theta: Array, lower: LowerPoint, q: Array, delta: float, relative: float = 0.0) -> Hyper:
        """(1) at an approximate lower solution, from q on; delta may be relative to ||dF/dx||."""
        oracle, xp, x = self.oracle, self.oracle.xp, lower.x
        fun = oracle.upper(x, theta)
        in_x, in_theta = oracle.upper_grad(x, theta)
        delta = max(delta, relative * arrays.norm(xp, in_x))
        q, r = self._system(theta, x, in_x, q, delta)
        d = in_theta - oracle.cross(x, theta, q)  # (1)
        reached = arrays.norm(xp, r)
        known = self._constants(theta, lower, q, in_x, in_theta, r)
        size, steep = arrays.norm(xp, q), arrays.norm(xp, in_x)
        mu = oracle.constant("mu", theta)
        least = min(oracle.least, oracle.ritz)
        flattest = least if math.isfinite(least) and least > 0.0 else mu
        # What rounding adds to the lower gradient, to H q and to d: at most for the bound, and for the
        # estimate as far as the sizes of H q and d tell.
        steep_f = oracle.constant("L", theta) or oracle.most or oracle.steepest
        unit = ROUNDING * oracle.rounding
        in_g = unit * steep_f * arrays.norm(xp, x)
        more = [in_g, 0.2 * in_g], [unit * steep_f * size, unit * steep]
        own = unit * (arrays.norm(np, in_theta) + self.C * size)
        numbers = []
        for m, in_f, in_r in zip((mu, max(flattest or 0.0, mu or 0.0) or None), *more, strict=True):
            if m is None:
                numbers.append((math.inf, math.inf))
                continue
            e = (lower.norm + in_f) / m
            far = (reached + in_r + self.L_F * e + self.L_H * e * size) / m  # (2)
            omega = own + self.L_F * e + self.L_C * e * size + (self.C + self.L_C * e) * far  # (3)
            numbers.append((omega, steep * e + 0.5 * self.L_F * e * e))  # (4)
        (bound, fun_bound), (estimate, _) = numbers
        curvature = max(flattest or 0.0, mu or 0.0)
        resolved = (
            reached <= RESOLVED * curvature * size and lower.norm <= RESOLVED * curvature * arrays.norm(xp, x)
        )
        return Hyper(
            theta, lower, q, d, fun, in_x, reached, bound, estimate, estimate, fun_bound, size * lower.norm,
            curvature or math.nan, known and mu is not None, resolved,
        )  # fmt: skip

    def sure(self, here: Hyper) -> Hyper:
        """The same point after a look for flat directions, where the problem has no mu."""
        oracle = self.oracle
        unknown = oracle.constant("mu", here.theta) is None and oracle.problem.smooth
        if not unknown or oracle.direct or oracle.looked is here.theta:
            return here
        check_curvature(oracle, here.theta, here.lower.x, LONGEST)
        again = self.at(here.theta, here.lower, here.q, here.delta)
        return again if not again.resolved else replace(again, estimate=min(again.estimate, here.estimate))

    def _system(self, theta: Array, x: Array, b: Array, q: Array, delta: float) -> tuple[Array, Array]:
        """Q and b - H q with a residual of at most delta, or what rounding allows."""
        oracle, xp = self.oracle, self.oracle.xp

        def product(v: Array) -> Array:
            return oracle.hvp(x, theta, v)

        if callable(self.solve):
            wanted = delta / max(arrays.norm(xp, b), 1e-300)
            copies = xp.asarray(b, copy=True), xp.asarray(q, copy=True)
            found = xp.asarray(self.solve(product, copies[0], init=copies[1], tol=wanted), copy=True)
            if tuple(found.shape) != tuple(b.shape):
                raise ValueError(f"solve must return shape {tuple(b.shape)}, got {tuple(found.shape)}")
            return self._judged(b, found, b - product(found), delta)
        if self.solve == "direct":
            H, factor = oracle.factor(x, theta)
            q = lapack.dpotrs(factor, b, lower=1)[0]
            Hq = H @ q
            oracle.look(theta, q, Hq)
            return self._judged(b, q, b - Hq, math.inf)
        if self.solve == "dense":
            return self._dense(product, b)
        if self.solve == "gmres":
            return self._gmres(product, b, q, delta)
        r = b - product(q) if bool(xp.any(q != 0)) else b
        if arrays.norm(xp, r) <= delta:
            return q, r
        for _ in range(3):  # the recursive residual drifts from the true one
            for _, step in zip(range(CG_STEPS), conjugate_gradients(xp, product, q, r), strict=False):
                q, r = step.x, step.r
                if not step.curvature > 0.0 or arrays.norm(xp, r) <= 0.9 * delta:
                    break
            # A solve of a few steps has not drifted.
            if arrays.norm(xp, r) > 1e4 * oracle.rounding * arrays.norm(xp, b):
                break
            r = b - product(q)
            if arrays.norm(xp, r) <= delta:
                break
        return self._judged(b, q, r, delta)

    def _judged(self, b: Array, q: Array, r: Array, delta: float) -> tuple[Array, Array]:
        """Q and its residual, unless the system was not solved."""
        xp = self.oracle.xp
        reached = arrays.norm(xp, r)
        if not reached <= max(delta, 1e-6 * arrays.norm(xp, b)):
            raise Halt(
                Status.STAGNATED,
                f"The adjoint system was not solved: a residual of {reached:.3g} is left of "
                f"{arrays.norm(xp, b):.3g}, {delta:.3g} was wanted. Is the lower problem strongly convex?",
            )
        return q, r

    def _dense(self, product: Callable[[Array], Array], b: Array) -> tuple[Array, Array]:
        import scipy.linalg

        xp = self.oracle.xp
        unit = xp.eye(self.oracle.size, dtype=self.oracle.dtype)
        columns = [arrays.to_host(product(unit[i, :])) for i in range(self.oracle.size)]
        H = np.stack(columns, axis=1)
        try:
            factor = scipy.linalg.cho_factor(0.5 * (H + H.T))
        except np.linalg.LinAlgError:
            raise Halt(Status.BREAKDOWN, "The lower Hessian is not positive definite.") from None
        q = xp.asarray(scipy.linalg.cho_solve(factor, arrays.to_host(b)), dtype=self.oracle.dtype)
        return self._judged(b, q, b - product(q), math.inf)

    def _gmres(
        self, product: Callable[[Array], Array], b: Array, q: Array, delta: float
    ) -> tuple[Array, Array]:
        from scipy.sparse.linalg import LinearOperator, gmres

        if not arrays.is_numpy(self.oracle.xp):
            raise TypeError("solve='gmres' takes NumPy arrays; use 'cg'")
        A = LinearOperator((b.size, b.size), matvec=product, dtype=b.dtype)
        with np.errstate(all="ignore"):  # what it divides by may be zero; its answer is judged
            q, _ = gmres(A, b, x0=q, rtol=0.0, atol=delta, restart=50, maxiter=100)
        return self._judged(b, q, b - product(q), delta)

    # -- constants ----------------------------------------------------------------------------------

    def _constants(
        self, theta: Array, lower: LowerPoint, q: Array, in_x: Array, in_theta: Array, r: Array
    ) -> bool:
        """Set L_F, L_H, L_C and ||C||; True if the problem knows all of them."""
        oracle, xp = self.oracle, self.oracle.xp
        given = {
            name: oracle.constant(name, theta)
            for name in ("lipschitz_upper", "lipschitz_hess", "lipschitz_cross", "cross_norm")
        }
        if self.measured:
            given.update(dict.fromkeys(("lipschitz_hess", "lipschitz_cross", "cross_norm")))
        size = arrays.norm(xp, q)
        x, products = lower.x, in_x - r  # H q
        missing = [name for name in given if given[name] is None]
        if missing:
            if size == 0.0:  # q says nothing yet
                q = xp.asarray(self.rng.standard_normal(oracle.size), dtype=oracle.dtype)
                size = arrays.norm(xp, q)
                products = oracle.hvp(x, theta, q) if given["lipschitz_hess"] is None else q
            u = xp.asarray(self.rng.standard_normal(oracle.size), dtype=oracle.dtype)
            if lower.norm > 0.0:  # half random, half towards the solution
                towards = -lower.gradient / lower.norm
                u = u / arrays.norm(xp, u) + towards
                u = u if arrays.norm(xp, u) > 1e-3 else towards
            u = u * (1e-3 * max(arrays.norm(xp, x), 1e-3) / arrays.norm(xp, u))
            # No entry comes near to zero, beyond which the functions may not be defined.
            u = xp.where((x != 0) & (xp.abs(u) > 0.5 * xp.abs(x)), 0.5 * xp.abs(x) * xp.sign(u), u)
            away, h = nearby(x, u, lambda y: self._at(theta, y, q, missing))
            if given["lipschitz_hess"] is None:
                change = arrays.norm(xp, away["lipschitz_hess"] - products)
                self.L_H = max(self.L_H, self.margin * change / (h * size))
            if given["lipschitz_upper"] is None:
                other_x, other_theta = away["lipschitz_upper"]
                in_t = arrays.norm(np, other_theta - in_theta)
                change = math.hypot(arrays.norm(xp, other_x - in_x), in_t)
                self.L_F = max(self.L_F, self.margin * change / h)
            if given["lipschitz_cross"] is None:
                change = arrays.norm(np, away["lipschitz_cross"] - oracle.cross(x, theta, q))
                self.L_C = max(self.L_C, self.margin * change / (h * size))
            if given["cross_norm"] is None:
                self.C = self.margin * self._cross_norm(theta, lower)
        for name, attribute in {
            "lipschitz_upper": "L_F", "lipschitz_hess": "L_H", "lipschitz_cross": "L_C", "cross_norm": "C"
        }.items():  # fmt: skip
            value = given[name]
            if value is not None:
                setattr(self, attribute, value)
        return not missing

    def _at(self, theta: Array, x: Array, q: Array, missing: list[str]) -> dict[str, Any]:
        """What the missing constants are measured by, at another x."""
        oracle = self.oracle
        out: dict[str, Any] = {}
        if "lipschitz_hess" in missing:
            out["lipschitz_hess"] = oracle.hvp(x, theta, q)
        if "lipschitz_upper" in missing:
            out["lipschitz_upper"] = oracle.upper_grad(x, theta)
        if "lipschitz_cross" in missing:
            out["lipschitz_cross"] = oracle.cross(x, theta, q)
        return out

    def _cross_norm(self, theta: Array, lower: LowerPoint) -> float:
        """||C|| by the power iteration, C v by differences of the lower gradient."""
        oracle, xp = self.oracle, self.oracle.xp
        first = self._v is None
        v = self.rng.standard_normal(theta.size) if self._v is None else self._v
        norm = 0.0
        for _ in range(POWER_STEPS if first else 1):
            length = arrays.norm(np, v)
            if length == 0.0:
                v = self.rng.standard_normal(theta.size)
                length = arrays.norm(np, v)
            v = v / length
            h = 1e-5 * max(1.0, arrays.norm(np, theta) / math.sqrt(theta.size))
            v = self._inward(theta, v, h)
            Cv = (oracle.grad(lower.x, theta + h * v) - lower.gradient) / h
            norm = max(norm, arrays.norm(xp, Cv))
            v = oracle.cross(lower.x, theta, Cv)
            if norm > 0.0:
                norm = max(norm, arrays.norm(np, v) / arrays.norm(xp, Cv) if arrays.norm(xp, Cv) else 0.0)
        self._v = v
        return norm

    def _inward(self, theta: Array, v: Array, h: float) -> Array:
        """V or its opposite, or, in a corner, a unit vector near to it: a step of h stays in the bounds."""
        low, high = self.oracle.low, self.oracle.high
        outside = [(theta + w < low) | (theta + w > high) for w in (h * v, -h * v)]
        if not outside[0].any():
            return v
        if not outside[1].any():
            return -v
        v = np.where(outside[0], np.where(outside[1], 0.0, -v), v)
        return v / max(arrays.norm(np, v), 1e-300)
