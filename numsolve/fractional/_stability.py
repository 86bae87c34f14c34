"""Whether the collocation of a skewed operator is stable: its spectrum on a small mesh tells.

The symbol has a positive real part for any weights. What can go wrong are eigenvectors that live in the outer
columns: near the order one, where a skewed operator is mostly a drift, some of them have eigenvalues with a
negative real part, and a density would grow without bound. In units of a step these eigenvalues hardly depend
on the number of spans.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.linalg import eigvals

from ._assembly import assemble, mass_matrix

#: Spans of the mesh whose spectrum is computed in place of that of a larger one, a matter of milliseconds.
SMALL = 64


def check_stable(n: int, p: int, alpha: float, weights: tuple[float, float], definition: str) -> None:
    """Refuse operators that should be positive and whose matrix is not."""
    if trouble := instability(n, p, alpha, weights, definition):
        raise ValueError(trouble)


def instability(n: int, p: int, alpha: float, weights: tuple[float, float], definition: str) -> str:
    """Why the matrix is not what it should be, or an empty string."""
    if weights[0] == weights[1] or alpha == 2:
        return ""
    share = weights[0] / sum(weights)
    least = _least_real_part(min(n, max(SMALL, 2 * p)), p, alpha, share, definition)
    if least > 0:
        return ""
    return (
        f"weights {weights} at the order alpha = {alpha:g} make the collocation unstable for degree p = {p}: "
        f"it has an eigenvalue of real part {least:.2g} / step^alpha, that of the operator is positive. "
        "Jacobi modes have no such trouble: give functions and method 'auto' or 'spectral'"
    )


@lru_cache(maxsize=256)
def _least_real_part(n: int, p: int, alpha: float, share: float, definition: str) -> float:
    """The smallest real part of the eigenvalues on n spans, in units of a step."""
    matrix = assemble(n, p, alpha, (share, 1 - share), definition).todense()
    return float(np.min(eigvals(matrix, mass_matrix(n, p).toarray()).real))
