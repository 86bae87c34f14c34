"""Which Jacobi modes, and where solutions are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .jacobi import JacobiSolution, eigenvalues, from_unit, laplacian_scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .jacobi import Weights

    Array = NDArray[np.float64]

#: Points at which solutions are compared, on (0, 1): they crowd at the ends, where errors do.
WITNESSES = np.sin(np.pi / 2 * np.linspace(0.0, 1.0, 402)[1:-1]) ** 2


@dataclass(frozen=True)
class Modes:
    """Which modes: the order, the weights of the derivatives, and where they live."""

    alpha: float
    weights: Weights
    interval: tuple[float, float]

    def solution(self, c: Array) -> JacobiSolution:
        """The function with these coefficients."""
        return JacobiSolution(c, self.alpha, self.interval, self.weights)

    def eigenvalues(self, N: int) -> Array:
        """What the operator multiplies the first N modes by."""
        scale = laplacian_scale(self.interval, self.alpha)
        return eigenvalues(N, self.alpha, self.weights) * scale

    def witnesses(self) -> Array:
        """Points at which solutions are compared."""
        return np.asarray(from_unit(2 * WITNESSES - 1, self.interval))
