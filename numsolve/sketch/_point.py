"""An iterate with all that is known there, and the exact augmented Lagrangian.

With G the Jacobian of c, L = f + lam'c, g_L = grad f + G'lam and H_L the Hessian of L in x::

    M = f + lam'c + eta1 / 2 ||c||^2 + eta2 / 2 ||g_L||^2                                              (1)
    grad_x M = g_L + eta2 H_L g_L + eta1 G'c,    grad_lam M = c + eta2 G g_L                            (2)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

from numsolve._core import arrays

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Matrix

#: Steps of LSMR for the first multipliers of sparse Jacobians: a start need not be exact.
LSMR_STEPS = 20


@dataclass(frozen=True, eq=False)
class Units:
    """The solver works on f / `f` and c / `c`: powers of two, 1 unless the user's units are extreme."""

    f: float
    c: Array


@dataclass(frozen=True, eq=False)
class Point:
    """x and the multipliers, with all that was evaluated there, in the solver's units but for K."""

    x: Array
    lam: Array
    f: float
    c: Array
    g: Array
    G: Matrix
    units: Units
    gL: Array  # noqa: N815  # the paper's name
    K: float  # the KKT residual in the user's units

    @classmethod
    def make(cls, values: tuple[Any, ...], lam: Array) -> Point:
        """The point with these multipliers."""
        x, f, c, g, G, units = values
        with np.errstate(over="ignore", invalid="ignore"):
            gL = g + G.T @ lam
            K = math.hypot(arrays.norm(np, gL) * units.f, arrays.norm(np, c * units.c))
        return cls(x, lam, f, c, g, G, units, gL, K)

    def with_multipliers(self, lam: Array) -> Point:
        """The same x."""
        return Point.make((self.x, self.f, self.c, self.g, self.G, self.units), lam)

    def in_user_units(self) -> Point:
        """The same point as the user's functions give it."""
        u = self.units
        lam, g, G = self.lam * (u.f / u.c), self.g * u.f, rows_times(self.G, u.c)
        ones = Units(1.0, np.ones_like(u.c))
        return Point(self.x, lam, self.f * u.f, self.c * u.c, g, G, ones, self.gL * u.f, self.K)

    def merit(self, eta1: float, eta2: float) -> float:
        """(1)."""
        return self.without_gradient(eta1) + 0.5 * eta2 * float(self.gL @ self.gL)

    def without_gradient(self, eta1: float) -> float:
        """The part of (1) that needs no derivatives: a lower bound."""
        return self.f + float(self.lam @ self.c) + 0.5 * eta1 * float(self.c @ self.c)

    def slope(self, H: Any, dx: Array, dl: Array, eta1: float, eta2: float) -> float:
        """The derivative of (1) along a step, by (2)."""
        along = self.gL @ dx + eta2 * (self.gL @ (H @ dx)) + eta1 * (self.c @ (self.G @ dx))
        return float(along + self.c @ dl + eta2 * (self.gL @ (self.G.T @ dl)))

    def scaled_residual(self) -> float:
        """The residual in units that do not depend on those of f and of each equation."""
        size = max(1.0, largest(self.g), largest(self.gL - self.g))
        return max(largest(self.gL) / size, largest(self.c / np.maximum(1.0, row_norms(self.G))))


def multipliers(G: Matrix, g: Array) -> Array:
    """The least-squares multipliers: those that make ||g + G'lam|| least; zeros if they are large."""
    m = G.shape[0]
    if m == 0:
        return np.zeros(0)
    if isinstance(G, LinearOperator) or sp.issparse(G):
        from scipy.sparse.linalg import lsmr

        with np.errstate(all="ignore"):
            lam = lsmr(G.T, -g, atol=1e-10, btol=1e-10, maxiter=min(4 * m, LSMR_STEPS))[0]
    else:
        try:
            lam = np.linalg.lstsq(G.T, -g, rcond=None)[0]
        except np.linalg.LinAlgError:
            return np.zeros(m)
    lam = np.asarray(lam, dtype=float)
    good = np.isfinite(lam).all() and arrays.norm(np, lam) <= 1e3
    return lam if good else np.zeros(m)


def row_norms(G: Any) -> Array:
    if isinstance(G, LinearOperator):
        return np.zeros(G.shape[0])  # unknown without its entries
    return np.asarray(sp.linalg.norm(G, axis=1) if sp.issparse(G) else np.linalg.norm(G, axis=1))


def rows_times(G: Any, weights: Array) -> Any:
    if (weights == 1.0).all():
        return G
    if isinstance(G, LinearOperator):
        return LinearOperator(
            G.shape, matvec=lambda p: weights * (G @ p.reshape(-1)),
            rmatvec=lambda v: G.T @ (weights * v.reshape(-1)), dtype=np.dtype(float),
        )  # fmt: skip
    return sp.csr_array(sp.diags_array(weights) @ G) if sp.issparse(G) else G * weights[:, None]


def largest(v: Array) -> float:
    return float(np.max(np.abs(v), initial=0.0))
