r"""Advection in Jacobi modes: matrices of a Galerkin method, tested with ``omega' Q_j`` as in `_decay`.

With the orthonormal polynomials ``S_k`` for ``(1 + y)^(a-1) (1 - y)^(b-1)`` the modes have the derivatives

    d/dy [(1 + y)^a (1 - y)^b P_k] = -sqrt((k + 1) (k + alpha)) (1 + y)^(a-1) (1 - y)^(b-1) S_{k+1},  (1)

so that, with ``y' = dy/dx``, all integrals of ``R u + v u' + r u = f`` have Gauss rules of their own:

    lambda_k delta_jk + y' int (1 - y^2)^(alpha-1) v Q_j S_k' dy + int (1 - y^2)^alpha r Q_j P_k dy,    (2)

S_k' being S_{k+1} times the factor in (1). For equal weights and a constant v the second term is
antisymmetric: the equation stays as definite as it is without. For ``alpha <= 1`` the advection would not be
small beside R.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import lu_factor, lu_solve

from numsolve._core import arrays

from .jacobi import both_bases, exponents, from_unit, gauss_rule, image_basis, image_rule, orthonormal

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ._modes import Modes

    Array = NDArray[np.float64]
    Function = Callable[[Array], Array]

#: Points of a rule for each mode, with a function in the integral.
SAMPLES = 2
#: Points of the rule for the moments of f, for each mode: it need not be smooth.
RIGHT_SAMPLES = 2


def drift_matrix(advection: Function, modes: Modes, N: int) -> Array:
    """The second term of (2)."""
    alpha, (a, b) = modes.alpha, exponents(modes.alpha, modes.weights)
    y, w = gauss_rule(SAMPLES * N + 1, alpha - 1)
    k = np.arange(float(N))
    derivatives = -np.sqrt((k + 1) * (k + alpha)) * orthonormal(N + 1, a - 1, b - 1, y)[:, 1:]  # (1)
    tests = orthonormal(N, b, a, y)
    speed = 2 / (modes.interval[1] - modes.interval[0])
    values = w * advection(from_unit(y, modes.interval))
    return np.asarray(speed * tests.T @ (values[:, None] * derivatives))


def reaction_matrix(reaction: Function, modes: Modes, N: int, samples: int = SAMPLES) -> Array:
    """The third term of (2), with so many points of the rule for each mode."""
    y, w = gauss_rule(samples * N, modes.alpha)
    P, Q = both_bases(N, modes.alpha, y, modes.weights)
    values = w * reaction(from_unit(y, modes.interval))
    return np.asarray(Q.T @ (values[:, None] * P))


class Galerkin:
    """The equation (2) with N modes, factorised."""

    def __init__(self, reaction: Function | None, modes: Modes, N: int, advection: Function) -> None:
        self.modes, self.N = modes, N
        y, self.weights = image_rule(RIGHT_SAMPLES * N, modes.alpha, modes.weights)
        self.points = from_unit(y, modes.interval)
        self.matrix = np.diag(modes.eigenvalues(N)) + drift_matrix(advection, modes, N)
        if reaction is not None:
            self.matrix += reaction_matrix(reaction, modes, N)
        self.factors = lu_factor(self.matrix, check_finite=False)

    def solve(self, f: Function) -> tuple[Array, float]:
        """Coefficients, and the residual of the linear system."""
        Q = image_basis(self.N, self.points.size, self.modes.alpha, self.modes.weights)
        right = Q.T @ (self.weights * f(self.points))
        c = lu_solve(self.factors, right, check_finite=False)
        return c, arrays.norm(np, right - self.matrix @ c)
