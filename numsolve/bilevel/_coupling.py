"""The coupled affine constraints of LV-HBA, and the projection on them.

The projection on equations uses one factorisation; with inequalities it is a least-distance problem
(C. Lawson, R. Hanson, "Solving least squares problems", 1974), and with a set of theta's own an alternation
(J. Dykstra, J. Amer. Statist. Assoc. 78, 1983).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
import scipy.optimize

from numsolve._core import arrays
from numsolve._core.result import Status

from ._oracle import Halt

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from ._oracle import Oracle
    from ._run import Settings

STIFF = 1e3  #: g2 over the largest curvature of |A_x x|^2
ALTERNATIONS, APART = 1000, 1e-7  #: of the projections on two sets, and what may be left between them


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
        A_x, A_theta = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        # Rows of length one: the units of a constraint say nothing.
        length = np.hypot(np.linalg.norm(A_x, axis=1), np.linalg.norm(A_theta, axis=1))
        length[length == 0.0] = 1.0
        self.A_x, self.A_theta = A_x / length[:, None], A_theta / length[:, None]
        self.b = np.concatenate([part[2] for part in parts]) / length
        #: g2, by which multipliers come near to theirs a thousand times in each step, as far as A_x allows
        self.weight = STIFF / (float(np.linalg.norm(self.A_x, 2)) ** 2 or 1.0) if self.b.size else 1.0
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
        unit = arrays.norm(np, gap)  # a problem of size one: its last component is compared with one
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

    def violation(self, w: Array, size: float) -> float:
        """How far w is outside of the set, over the size of what the constraints compare and of the start."""
        off = self.A @ w - self.b
        off = np.where(self.equal, np.abs(off), np.maximum(off, 0.0))
        size += arrays.norm(np, w) + arrays.norm(np, self.b)
        return arrays.norm(np, off) / max(size, 1e-300)


def onto(coupling: Coupling, settings: Settings, w: Array, n: int) -> Array:
    """The projection on the coupling and on theta's own set by Dykstra's alternation."""
    if settings.onto is None and not np.isfinite([settings.low, settings.high]).any():
        return coupling.project(w)
    p, q, size = np.zeros_like(w), np.zeros_like(w), arrays.norm(np, w)
    for _ in range(ALTERNATIONS):
        y = coupling.project(w + p)
        p = w + p - y
        w_new = y + q
        w_new = np.concatenate([w_new[:n], settings.project(w_new[n:])])
        q = y + q - w_new
        if arrays.norm(np, w_new - w) <= 1e-14 * (1 + arrays.norm(np, w)):
            w = w_new
            break
        w = w_new
    if coupling.violation(w, size) > APART:
        raise Halt(Status.INFEASIBLE, "No point was found in both the coupled constraints and theta's set.")
    return w
