"""The faces of the polyhedron that holds w = (x, theta): where a gradient is held back, and how far to go."""

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

    from ._coupling import Coupling

NEAR = 1e-11  #: a constraint counts as active within so much of the size of what it compares


class Faces:
    """The equations and inequalities of the coupling, and the bounds of theta, as rows of length one."""

    def __init__(self, coupling: Coupling, low: Array, high: Array, n: int) -> None:
        self.coupling = coupling
        eye = np.concatenate([np.zeros((low.size, n)), np.eye(low.size)], axis=1)
        loose = ~coupling.equal
        upper, lower = np.isfinite(high), np.isfinite(low)
        self.rows = np.concatenate([coupling.A[loose], eye[upper], -eye[lower]])
        self.b = np.concatenate([coupling.b[loose], high[upper], -low[lower]])
        self.held = np.zeros(self.b.size, dtype=bool)
        self.basis = coupling.basis

    def tangent(self, d: Array) -> Array:
        """The part of a direction along the face."""
        return np.asarray(d - self.basis @ (self.basis.T @ d))

    def settle(self, w: Array, gradient: Array) -> tuple[Array, bool]:
        """Minus the gradient, as far as nothing holds it back, and whether the face is another one now.

        The constraints that hold it back are those whose multipliers are positive in the nearest point of the
        normal cone.
        """
        d = self.coupling.tangent(gradient)
        near = self.b - self.rows @ w <= NEAR * (1.0 + np.abs(self.b) + arrays.norm(np, w))
        held = np.zeros_like(self.held)
        if near.any():
            active = self.rows[near]
            normals = active - (active @ self.coupling.basis) @ self.coupling.basis.T
            try:
                multipliers, _ = scipy.optimize.nnls(normals.T, -d)
            except RuntimeError:
                raise Halt(Status.BREAKDOWN, "The multipliers of the constraints were not found.") from None
            held[near] = multipliers > 0.0
            d = d + normals.T @ multipliers
        changed = bool((held != self.held).any())
        if changed:
            self._hold(held)
        return -d, changed

    def _hold(self, held: Array) -> None:
        self.held = held
        together = np.concatenate([self.coupling.A[self.coupling.equal], self.rows[held]])
        self.basis = scipy.linalg.orth(together.T, rcond=1e-12) if len(together) else self.coupling.basis

    def longest(self, w: Array, p: Array) -> float:
        """The longest step along p that no constraint ends."""
        along = self.rows @ p
        ahead = (along > 1e-14 * arrays.norm(np, p)) & ~self.held
        if not ahead.any():
            return np.inf
        room = np.maximum(self.b - self.rows @ w, 0.0)
        return float(np.min(room[ahead] / along[ahead]))
