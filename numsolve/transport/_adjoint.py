r"""Derivatives of an entropic plan and its potentials with respect to the data, by one linear solve.

With P_ij = exp((f_i + g_j - M_ij)/eps), P 1 = a and P' 1 = b, small changes obey

    dP = P * (df + dg - dM) / eps,
    diag(a) df + P dg = eps da + (P * dM) 1,      P' df + diag(b) dg = eps db + (P * dM)' 1.

For a loss that changes by <Q, dP> + p.df + q.dg, with W = P * Q, the adjoint system has the same symmetric
matrix,

    diag(a) u + P v = W 1 + eps p,      P' u + diag(b) v = W' 1 + eps q,

and the loss changes by  u.da + v.db + <P * (u + v) - W, dM> / eps.  The matrix is singular along (1, -1), the
constant that potentials can exchange: the loss must not depend on it, that is, p and q have the same sum.
(The implicit function theorem; for regularised transport: G. Luise et al., "Differential properties of
Sinkhorn approximation for learning with Wasserstein distance", NeurIPS 2018.)
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from numsolve._core import arrays
from numsolve._core.result import ConvergenceWarning

#: Unknowns below which the system is factorised.
DENSE_BELOW = 2000


def pull_back(P: Any, reg: float, Q: Any, p: Any, q: Any) -> tuple[Any, Any, Any]:
    """Derivatives of a loss in a, b and M, from those in the plan (Q) and the potentials (p, q).

    Empty rows and columns of P, those of weight zero, stand alone; their derivatives are nan.
    """
    xp = arrays.array_namespace(plan=P)
    W = P * Q
    r, c = xp.sum(P, axis=1), xp.sum(P, axis=0)
    u, v = _solve(xp, P, r, c, xp.sum(W, axis=1) + reg * p, xp.sum(W, axis=0) + reg * q)
    dM = (P * (u[:, None] + v[None, :]) - W) / reg
    nan = float("nan")
    return xp.where(r > 0, u, nan * u), xp.where(c > 0, v, nan * v), dM


def _solve(xp: Any, P: Any, r: Any, c: Any, p: Any, q: Any) -> tuple[Any, Any]:
    """Solve diag(r) u + P v = p, P' u + diag(c) v = q; the larger side is eliminated."""
    if r.shape[0] > c.shape[0]:
        v, u = _solve(xp, P.T, c, r, q, p)
        return u, v
    weights = xp.where(c > 0, 1 / xp.where(c > 0, c, xp.ones_like(c)), xp.zeros_like(c))
    rhs = xp.where(r > 0, p - P @ (q * weights), xp.zeros_like(p))
    rhs = rhs - (xp.sum(rhs) / xp.sum(r)) * r
    if r.shape[0] <= DENSE_BELOW:
        u = _laplacian_solve(xp, (P * weights[None, :]) @ P.T, rhs)
    else:
        u = _iterate(xp, P, r, c, rhs)
    return u, (q - P.T @ u) * weights


def _iterate(xp: Any, P: Any, r: Any, c: Any, rhs: Any) -> Any:
    """Solve by conjugate gradients where a dense matrix of the smaller side would be too much."""
    k = arrays.kernels_for(xp, __package__, "newton")
    P = np.ascontiguousarray(P) if arrays.is_numpy(xp) else P
    d, b = (xp.where(x > 0, x, xp.ones_like(x)) for x in (r, c))
    size = float(xp.sum(xp.abs(rhs)))
    u, steps, done = k.schur_cg(P, d, b, rhs, 1e-12 * size, 20_000)
    if not done and size > 0:
        warnings.warn(
            f"conjugate gradients stopped after {steps} steps: the derivative is not accurate to 1e-12",
            ConvergenceWarning,
            stacklevel=5,
        )
    return u


def _laplacian_solve(xp: Any, weights: Any, rhs: Any) -> Any:
    """Solve S u = rhs for the Laplacian S of a graph with these weights, u = 0 at its heaviest vertex.

    Degrees are sums of the other entries: taken as differences they would cancel for a sharp plan.
    """
    n = rhs.shape[0]
    diagonal = xp.eye(n, dtype=xp.bool)
    weights = xp.where(diagonal, xp.zeros_like(weights), weights)
    degree = xp.sum(weights, axis=1)
    fixed = xp.arange(n) == xp.argmax(degree)
    weights = xp.where(fixed[:, None] | fixed[None, :], xp.zeros_like(weights), weights)
    degree = xp.where(fixed | (degree == 0), xp.ones_like(degree), degree)
    S = xp.where(diagonal, degree[None, :], -weights)
    return xp.linalg.solve(S, xp.where(fixed, xp.zeros_like(rhs), rhs)[:, None])[:, 0]
