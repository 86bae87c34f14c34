"""MINRES with a preconditioner, for symmetric indefinite systems.

C. C. Paige, M. A. Saunders, SIAM J. Numer. Anal. 12, 1975; the form is that of H. Elman, D. Silvester, A.
Wathen, "Finite elements and fast iterative solvers", algorithm 6.1. SciPy's stops by the norms of A and x;
here whoever asks for the next step decides.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numsolve._core.typing import Array


def minres(
    product: Callable[[Array], Array], b: Array, precondition: Callable[[Array], Array]
) -> Iterator[tuple[Array, float]]:
    """Yield x and the norm of its residual, in that of the preconditioner, over b's; end at a breakdown."""
    x, before, v = np.zeros_like(b), np.zeros_like(b), b.copy()
    z = precondition(v)
    gamma_before, gamma = 1.0, _root(z @ v)
    eta = first = gamma
    s_before = s = 0.0
    c_before = c = 1.0
    w_before, w = np.zeros_like(b), np.zeros_like(b)
    while gamma > 0.0 and math.isfinite(gamma):
        z = z / gamma
        image = product(z)
        delta = float(image @ z)
        v, before = image - (delta / gamma) * v - (gamma / gamma_before) * before, v
        new = precondition(v)
        gamma_new = _root(new @ v)
        a0 = c * delta - c_before * s * gamma
        a1 = math.hypot(a0, gamma_new)
        a2, a3 = s * delta + c_before * c * gamma, s_before * gamma
        if not a1 > 0.0:
            return
        c_before, c, s_before, s = c, a0 / a1, s, gamma_new / a1
        w, w_before = (z - a3 * w_before - a2 * w) / a1, w
        x = x + c * eta * w
        eta = -s * eta
        z, gamma_before, gamma = new, gamma, gamma_new
        yield x, abs(eta) / first


def _root(square: Any) -> float:
    return math.sqrt(float(square)) if square > 0.0 else 0.0
