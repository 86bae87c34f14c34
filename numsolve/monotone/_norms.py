"""Norms of vectors and matrices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays
from numsolve._core.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, Namespace

#: Steps of the Golub-Kahan process.
LANCZOS = 40
#: Of a solve without limits.
UNLIMITED = Limits()


@np.errstate(over="ignore", invalid="ignore")
def norm(xp: Namespace, v: Array) -> Any:
    """The 2-norm along the last axis, a float for a vector, without overflow or underflow."""
    if v.ndim == 1:
        square = float(np.dot(v, v)) if arrays.is_numpy(xp) else 0.0  # a tenth of the time, where it will do
        return math.sqrt(square) if 1e-200 < square < 1e300 else arrays.norm(xp, v)
    return xp.sqrt(xp.sum(v * v, axis=-1))


def spectral_norm(
    xp: Namespace,
    matvec: Callable[[Array], Array],
    rmatvec: Callable[[Array], Array],
    v: Array,
    limits: Limits = UNLIMITED,
) -> float:
    """The 2-norm of a matrix, from below, by the Golub-Kahan process from v, as far as the time goes."""
    alphas: list[float] = []
    betas: list[float] = []
    u: Any = None
    beta = first = 0.0
    v = v / norm(xp, v)
    for _ in range(min(LANCZOS, v.shape[0])):
        if limits.expired:
            break
        u = matvec(v) - (0.0 if u is None else beta * u)
        alpha = norm(xp, u)
        alphas.append(alpha)
        first = max(first, alpha)
        if alpha <= 1e-12 * first or alpha == 0.0:
            break
        u = u / alpha
        v = rmatvec(u) - alpha * v
        beta = norm(xp, v)
        betas.append(beta)
        if beta <= 1e-12 * first:
            break
        v = v / beta
    k = len(alphas)
    B = np.zeros((k, k + 1))
    B[range(k), range(k)] = alphas
    B[range(len(betas)), range(1, len(betas) + 1)] = betas
    if not np.isfinite(B).all():  # the residuals will tell
        return float("inf")
    return float(np.linalg.norm(B, 2)) if k else 0.0
