# mypy: disable-error-code=no-any-return
# (array libraries, kernels and SciPy have no types: what they return is an Array by our word)
r"""Derivatives of an entropic plan and its potentials with respect to the data, by one linear solve.

With P_ij = exp((f_i + g_j - M_ij)/eps), r = P 1 and c = P' 1, small changes of balanced data obey

    dP = P * (df + dg - dM) / eps,
    diag(r) df + P dg = eps da + (P * dM) 1,      P' df + diag(c) dg = eps db + (P * dM)' 1.

For a loss that changes by <Q, dP> + p.df + q.dg, with W = P * Q, the adjoint system has the same symmetric
matrix,

    alpha diag(r) u + P v = W 1 + eps p,      P' u + beta diag(c) v = W' 1 + eps q,

and the loss changes by  u.da + v.db + <P * (u + v) - W, dM> / eps.  Here alpha = beta = 1, and the matrix is
singular along (1, -1), the constant that potentials can exchange: the loss must not depend on it, that is,
p and q have the same sum.  Where a deviation from the marginals has the price rho, alpha = 1 + eps/rho_a,
beta = 1 + eps/rho_b, and the derivatives in the weights are alpha (r/a) u and beta (c/b) v.
(The implicit function theorem; for regularised transport: G. Luise et al., "Differential properties of
Sinkhorn approximation for learning with Wasserstein distance", NeurIPS 2018.)
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from numsolve._core import arrays
from numsolve._core.result import ConvergenceWarning

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Namespace

    Pair: TypeAlias = "tuple[Array, Array]"

#: Unknowns below which the system is factorised.
DENSE_BELOW = 2000


def pull_back(
    P: Array, reg: float, Q: Array, p: Array, q: Array, rates: tuple[float, float] = (1.0, 1.0)
) -> tuple[Array, Array, Array]:
    """Return u, v and the derivative in M of a loss, from its derivatives in the plan (Q) and in f, g (p, q).

    `rates` are alpha and beta. Empty rows and columns of P, those of weight zero, stand alone; there u and v
    are nan.
    """
    xp = arrays.array_namespace(plan=P)
    W = P * Q
    r, c = xp.sum(P, axis=1), xp.sum(P, axis=0)
    u, v = _solve(xp, P, (r, c), (xp.sum(W, axis=1) + reg * p, xp.sum(W, axis=0) + reg * q), rates)
    dM = (P * (u[:, None] + v[None, :]) - W) / reg
    nan = float("nan")
    return xp.where(r > 0, u, nan * u), xp.where(c > 0, v, nan * v), dM


def _solve(
    xp: Namespace, P: Array, sums: Pair, sides: Pair, rates: tuple[float, float]
) -> tuple[Array, Array]:
    """Solve alpha diag(r) u + P v = p, P' u + beta diag(c) v = q; the larger side is eliminated.

    S = alpha diag(r) - P diag(1/(beta c)) P' is the Laplacian of a graph and a multiple of diag(r).
    """
    (r, c), (p, q), (alpha, beta) = sums, sides, rates
    if r.shape[0] > c.shape[0]:
        v, u = _solve(xp, P.T, (c, r), (q, p), (beta, alpha))
        return u, v
    weights = xp.where(c > 0, 1 / (beta * xp.where(c > 0, c, xp.ones_like(c))), xp.zeros_like(c))
    rhs = xp.where(r > 0, p - P @ (q * weights), xp.zeros_like(p))
    surplus = (alpha - 1) + (beta - 1) / beta
    if surplus == 0:
        rhs = rhs - (xp.sum(rhs) / xp.sum(r)) * r
    if r.shape[0] <= DENSE_BELOW:
        u = _laplacian_solve(xp, (P * weights[None, :]) @ P.T, surplus * r, rhs)
    else:
        u = _iterate(xp, P, alpha * r, beta * c, rhs)
    return u, (q - P.T @ u) * weights


def _iterate(xp: Namespace, P: Array, r: Array, c: Array, rhs: Array) -> Array:
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


def _laplacian_solve(xp: Namespace, weights: Array, surplus: Array, rhs: Array) -> Array:
    """Solve S u = rhs for the Laplacian of a graph with these weights plus diag(surplus).

    Degrees are sums of the other entries: taken as differences they would cancel for a sharp plan. Without
    a surplus u is zero at the heaviest vertex.
    """
    n = rhs.shape[0]
    diagonal = xp.eye(n, dtype=xp.bool)
    weights = xp.where(diagonal, xp.zeros_like(weights), weights)
    degree = xp.sum(weights, axis=1)
    fixed = (xp.arange(n) == xp.argmax(degree)) & (surplus == 0)
    weights = xp.where(fixed[:, None] | fixed[None, :], xp.zeros_like(weights), weights)
    degree = degree + surplus
    degree = xp.where(fixed | (degree == 0), xp.ones_like(degree), degree)
    S = xp.where(diagonal, degree[None, :], -weights)
    return xp.linalg.solve(S, xp.where(fixed, xp.zeros_like(rhs), rhs)[:, None])[:, 0]
