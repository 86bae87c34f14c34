r"""An interior-point method for the sparsity-constrained problem on chosen pairs.

With T_ij = b_j tau_ij, and s_ij >= tau_ij^2 / eta_ij, it solves the cone program

    min  sum M_ij b_j tau_ij + (reg/2) sum b_j^2 s_ij
    subject to  row sums a, column sums b,  sum_i eta_ij <= k,  0 <= tau,  eta <= 1,  tau^2 <= s eta,

by steps of Mehrotra's kind in the scaling of Nesterov and Todd (as in L. Vandenberghe, "The CVXOPT linear
and quadratic cone program solvers", 2010). The three unknowns of a pair hang on the potentials f_i and g_j
and on the price lambda_j of the cardinality only: each pair is eliminated in closed form, each column by a
2 x 2 matrix, and what is left is a positive semidefinite system for f. Marginals stay exact along the way.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.linalg import cho_solve

from ._pairs import ChosenPairs, factorised, to_zero

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Kernels
    from numsolve.transport._deadline import Deadline

    from ._pairs import ByColumns

Cone: TypeAlias = "tuple[Array, Array, Array]"  # (s, eta, tau), or the multipliers of the three

ROOT2 = math.sqrt(2.0)
#: Share of the way to the boundary.
SHARE = 0.97


class Interior(ChosenPairs):
    """The iterate, and its steps."""

    def __init__(
        self,
        kernels: Kernels,
        pairs: ByColumns,
        a: Array,
        b: Array,
        reg: float,
        k: int,
        deadline: Deadline,
    ) -> None:
        super().__init__(kernels, pairs, a, b, deadline)
        self.k = k
        counts, cost = np.diff(self.ptr), self.cost
        self.weight = b[self.columns]
        self.cost = cost * self.weight
        self.curvature = 0.5 * reg * self.weight**2
        self.f, self.g = np.zeros(self.n), np.zeros(self.m)
        # A point on the central path of the cones: the multipliers are mu times the inverse of (s, eta, tau).
        mu = max(np.ptp(cost), reg * b.max()) / (4 * cost.size)
        tau, eta = (1.0 / counts)[self.columns], np.minimum(0.5, 0.9 * k / counts)[self.columns]
        s = tau**2 / eta + mu / self.curvature
        self.x: Cone = (s, eta, tau)
        self.dual: Cone = tuple(mu * part for part in _inverse(self.x))
        self.positive = mu / tau  # of tau >= 0
        self.capped = mu / (1 - eta)  # of eta <= 1
        self.slack = np.maximum(k - self.by_column(eta), 0.05 * k)
        self.price = mu / self.slack  # lambda
        self.degree = 4 * cost.size + self.m

    @property
    def plan(self) -> Array:
        """The entries of the plan."""
        return self.weight * self.x[2]

    @property
    def complementarity(self) -> float:
        """The duality gap, if both sides are feasible."""
        _, eta, tau = self.x
        total = sum(float(x @ z) for x, z in zip(self.x, self.dual, strict=True))
        total += float(tau @ self.positive) + float((1 - eta) @ self.capped) + float(self.price @ self.slack)
        return total

    @property
    def value(self) -> float:
        """The objective."""
        return float(self.cost @ self.x[2]) + float(self.curvature @ self.x[0])

    def step(self) -> float:
        """Do one predictor and corrector step; return its length, 0 where rounding errors forbid one."""
        with np.errstate(all="ignore"):
            mu = self.complementarity / self.degree
            try:
                system = _System(self)
            except np.linalg.LinAlgError:
                return 0.0
            affine = system.direction(0.0)
            length = self._length(affine)
            centring = min(max((1 - length) ** 3, 1e-5), 0.9)
            step = system.direction(centring * mu, affine)
            length = min(1.0, SHARE * self._length(step))
        if not (length > 0.0 and np.isfinite(step.f).all() and np.isfinite(step.x[0]).all()):
            return 0.0
        self.f = self.f + length * step.f
        self.g = self.g + length * step.g
        self.x = _moved(self.x, step.x, length)
        self.dual = _moved(self.dual, step.dual, length)
        self.positive = self.positive + length * step.positive
        self.capped = self.capped + length * step.capped
        self.price = self.price + length * step.price
        self.slack = self.slack + length * step.slack
        return length

    def _length(self, d: _Direction) -> float:
        """The longest step that stays feasible, at most 1."""
        (s, eta, tau), (zs, ze, zt) = self.x, self.dual
        (ds, de, dt), (dzs, dze, dzt) = d.x, d.dual
        lengths = [to_zero(x, dx) for x, dx in zip((s, eta, tau), d.x, strict=True)]
        lengths += [to_zero(zs, dzs), to_zero(ze, dze), to_zero(1 - eta, -de)]
        lengths += [to_zero(self.positive, d.positive), to_zero(self.capped, d.capped)]
        lengths += [to_zero(self.price, d.price), to_zero(self.slack, d.slack)]
        lengths.append(_to_root(ds * de - dt**2, s * de + eta * ds - 2 * tau * dt, s * eta - tau**2))
        lengths.append(
            _to_root(4 * dzs * dze - dzt**2, 4 * (zs * dze + ze * dzs) - 2 * zt * dzt, 4 * zs * ze - zt**2)
        )
        return min(1.0, *lengths) if np.isfinite(lengths).all() else math.nan


class _Direction:
    """Changes of everything that an `Interior` holds."""

    f: Array
    g: Array
    price: Array
    slack: Array
    positive: Array
    capped: Array
    x: Cone
    dual: Cone


class _System:
    """The Newton system at an iterate, factorised.

    The scaling has H = (2 p p' - J) / e2 in the coordinates (s, eta, tau), where J is the form
    2 s eta - 2 tau^2 and p is the scaling point; H x = dual. Eliminating s leaves, for each pair,

        [tt te; te ee],   tt = positive / tau + 2 / e2,   te = p_t / (p_s e2),
                          ee = capped / (1 - eta) + (1 + p_t^2) / (2 p_s^2 e2),

    whose inverse K has the determinant below: no differences of nearly equal numbers anywhere.
    """

    def __init__(self, at: Interior) -> None:
        self.at = at
        (s, eta, tau), (zs, ze, zt) = at.x, at.dual
        size, size_dual = np.sqrt(2 * (s * eta - tau**2)), np.sqrt((4 * zs * ze - zt**2) / 2)
        cosine = np.sqrt((1 + (s * zs + eta * ze + tau * zt) / (size * size_dual)) / 2)
        e2 = self.e2 = size / size_dual
        ps = self.ps = (eta / size + zs / size_dual) / (2 * cosine)
        pe = self.pe = (s / size + ze / size_dual) / (2 * cosine)
        pt = self.pt = (zt / size_dual - 2 * tau / size) / (2 * cosine)
        self.from_positive, self.from_capped = at.positive / tau, at.capped / (1 - eta)
        ee = self.from_capped + (1 + pt**2) / (2 * ps**2 * e2)
        tt, te = self.from_positive + 2 / e2, pt / (ps * e2)
        determinant = self.from_positive * ee + 2 * self.from_capped / e2 + 1 / (ps * e2) ** 2
        self.tt, self.ee, self.te = ee / determinant, tt / determinant, -te / determinant
        self.ss, self.se, self.st = 2 * ps**2 / e2, (2 * ps * pe - 1) / e2, 2 * ps * pt / e2
        # The 2 x 2 matrix of each column for (g, -lambda), by its Cholesky factor.
        to_f = at.weight**2 * self.tt
        across = at.weight * self.te
        self.gg = np.sqrt(at.by_column(to_f))
        self.lg = at.by_column(across) / self.gg
        left = at.by_column(self.ee) + at.slack / at.price - self.lg**2
        self.ll = np.sqrt(np.maximum(left, 1e-300))
        self.U = to_f / self.gg[at.columns]
        self.V = (across - self.U * self.lg[at.columns]) / self.ll[at.columns]
        self.factor = factorised(at.normal_matrix(at.by_row(to_f), self.U, self.V))

    def direction(self, mu: float, affine: _Direction | None = None) -> _Direction:
        """Solve for the step towards the point of the central path at mu."""
        at = self.at
        _, eta, tau = at.x
        # Linearised complementarity: change of a multiplier = h - H (change of what it multiplies).
        h = [mu * inverse - z for inverse, z in zip(_inverse(at.x), at.dual, strict=True)]
        h_positive, h_capped = mu / tau - at.positive, mu / (1 - eta) - at.capped
        h_slack = mu / at.price - at.slack
        if affine is not None:
            h = [part - second for part, second in zip(h, self._second_order(affine), strict=True)]
            h_positive -= affine.x[2] * affine.positive / tau
            h_capped += affine.x[1] * affine.capped / (1 - eta)
            h_slack -= affine.price * affine.slack / at.price
        of_s = at.curvature - at.dual[0]
        of_eta = at.price[at.columns] + at.capped - at.dual[1]
        of_tau = at.cost - at.weight * (at.f[at.rows] + at.g[at.columns]) - at.positive - at.dual[2]

        from_s = (h[0] - of_s) / self.ss
        to_eta = h[1] - of_eta - h_capped - self.se * from_s
        to_tau = h[2] + h_positive - of_tau - self.st * from_s
        t0, e0 = self.tt * to_tau + self.te * to_eta, self.te * to_tau + self.ee * to_eta
        missing = at.a - at.by_row(at.weight * (tau + t0))
        y = (at.b - at.by_column(at.weight * (tau + t0))) / self.gg
        z = (at.k - at.slack - h_slack - at.by_column(eta + e0) - self.lg * y) / self.ll
        d = _Direction()
        known = at.by_row(self.U * y[at.columns] + self.V * z[at.columns])
        d.f = cho_solve(self.factor, missing - known, check_finite=False)
        y = y - at.by_column(self.U * d.f[at.rows])
        z = z - at.by_column(self.V * d.f[at.rows])
        fall = z / self.ll
        d.g = (y - self.lg * fall) / self.gg
        d.price = -fall
        d.slack = h_slack + at.slack / at.price * fall
        lift, fall = at.weight * (d.f[at.rows] + d.g[at.columns]), fall[at.columns]
        dt, de = t0 + self.tt * lift + self.te * fall, e0 + self.te * lift + self.ee * fall
        d.x = (from_s - (self.se * de + self.st * dt) / self.ss, de, dt)
        d.positive = h_positive - self.from_positive * dt
        d.capped = h_capped + self.from_capped * de
        d.dual = (of_s, of_eta - fall + d.capped, of_tau - lift - d.positive)
        return d

    def _second_order(self, d: _Direction) -> Cone:
        """What the affine changes add to h: W^-1 applied to the quotient of W^-1 dx o W dz by W z.

        W is the scaling; product and quotient are those of the Jordan algebra of Lorentz coordinates.
        """
        w = ((self.ps + self.pe) / ROOT2, (self.pe - self.ps) / ROOT2, -self.pt / ROOT2)
        e = np.sqrt(self.e2)

        def scaled(v: Cone, sign: int) -> Cone:
            dot = w[1] * v[1] + w[2] * v[2]
            along = sign * v[0] + dot / (1 + w[0])
            factor = e**sign
            return (
                factor * (w[0] * v[0] + sign * dot),
                factor * (v[1] + along * w[1]),
                factor * (v[2] + along * w[2]),
            )

        def lorentz(v: Cone, third: float) -> Cone:
            return (v[0] + v[1]) / ROOT2, (v[0] - v[1]) / ROOT2, third * v[2]

        x, z = scaled(lorentz(d.x, ROOT2), -1), scaled(lorentz(d.dual, 1 / ROOT2), 1)
        point = scaled(lorentz(self.at.dual, 1 / ROOT2), 1)
        c = (x[0] * z[0] + x[1] * z[1] + x[2] * z[2], x[0] * z[1] + z[0] * x[1], x[0] * z[2] + z[0] * x[2])
        u = (point[0] * c[0] - point[1] * c[1] - point[2] * c[2]) / (
            point[0] ** 2 - point[1] ** 2 - point[2] ** 2
        )
        back = scaled((u, (c[1] - u * point[1]) / point[0], (c[2] - u * point[2]) / point[0]), -1)
        return (back[0] + back[1]) / ROOT2, (back[0] - back[1]) / ROOT2, ROOT2 * back[2]


def _inverse(x: Cone) -> Cone:
    """The inverse in the cone: minus the gradient of its barrier ``-log(s eta - tau^2)``."""
    s, eta, tau = x
    room = s * eta - tau**2
    return eta / room, s / room, -2 * tau / room


def _moved(x: Cone, d: Cone, length: float) -> Cone:
    return x[0] + length * d[0], x[1] + length * d[1], x[2] + length * d[2]


def _to_root(a: Array, b: Array, c: Array) -> float:
    """The least positive root of a t^2 + b t + c, c > 0, over all entries; 1 if there is none below."""
    discriminant = b * b - 4 * a * c
    below = np.sqrt(np.maximum(discriminant, 0.0)) - b
    real = (discriminant >= 0) & (below > 0)
    return min(1.0, float(np.min(np.where(real, 2 * c / np.where(real, below, 1.0), 1.0))))
