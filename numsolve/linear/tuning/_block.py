r"""Block conjugate gradients for several right-hand sides, with incomplete Cholesky factors.

D. P. O'Leary, Linear Algebra Appl. 29, 1980; in the form of H. Ji, Y. Li, BIT 57, 2017, whose directions are
orthonormal, so that dependent ones can be left out:

    P = orth(M R),                                                                                     (1)
    alpha = (P'A P)^-1 P'R,   X <- X + P alpha,   R <- R - A P alpha,                                  (2)
    P <- orth(M R - P (P'A P)^-1 (A P)'M R).                                                           (3)

All right-hand sides share one Krylov space, and the matrix and its factors are read once for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array, Matrix
    from numsolve.linear._factors import Factors

#: Directions whose part beside the others is smaller, in the square, are left out.
DEPENDENT = 1e-13


def block_cg(
    A: Matrix, B: Array, X: Array, factors: Factors, thresholds: Array, limits: Limits, maxiter: int
) -> tuple[Array, int]:
    """Solve A X = B from X on, until the norm of each residual is at most its threshold, by the recursion.

    Returns the iterate and the steps; the residuals are for others to check.
    """
    X, R = X.copy(), B - A @ X
    active = np.flatnonzero(np.linalg.norm(R, axis=0) > thresholds)
    R, P = R[:, active], None
    G = AP = R  # (3) needs those of the step before
    for step in range(maxiter):
        if not active.size or limits.expired:
            return X, step
        try:
            Z = _applied(factors, R)
            if P is not None:
                Z -= P @ np.linalg.solve(G, AP.T @ Z)
            P = _orthonormal(Z)  # (1), (3)
            AP = A @ P
            G = P.T @ AP
            np.linalg.cholesky(G)  # fails for a direction without curvature
            alpha = np.linalg.solve(G, P.T @ R)
        except np.linalg.LinAlgError:
            return X, step
        if not P.shape[1]:
            return X, step
        X[:, active] += P @ alpha  # (2)
        R = R - AP @ alpha
        going = np.linalg.norm(R, axis=0) > thresholds[active]
        if not going.all():
            active, R = active[going], np.ascontiguousarray(R[:, going])
    return X, maxiter


def _applied(factors: Factors, R: Array) -> Array:
    from . import _cpu_look as k

    R = np.ascontiguousarray(R)
    Z, work = np.empty_like(R), np.empty_like(R)
    k.apply_block(*factors, R, work, Z)
    return Z


def _orthonormal(Z: Array) -> Array:
    """An orthonormal basis of the columns, without those that depend on others."""
    size = np.sqrt(np.einsum("ij,ij->j", Z, Z))
    Z = Z[:, size > 0] / size[size > 0]
    values, vectors = np.linalg.eigh(Z.T @ Z)
    tiny = DEPENDENT if Z.dtype.char == "d" else 1e-6
    kept = values > tiny * values.max(initial=0.0)
    return np.ascontiguousarray(Z @ (vectors[:, kept] / np.sqrt(values[kept])))
