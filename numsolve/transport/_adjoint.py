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

A sharp plan falls into parts that exchange nothing to working precision. It has derivatives in the cost, as
dM above does not depend on constants that u and -v have in a part; in the weights it has none, since mass
that has to cross would change everything, and u and v are nan.
(The implicit function theorem; for regularised transport: G. Luise et al., "Differential properties of
Sinkhorn approximation for learning with Wasserstein distance", NeurIPS 2018.)
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from numsolve._core import arrays
from numsolve._core.result import ConvergenceWarning

from . import _parts

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Namespace

    Pair: TypeAlias = "tuple[Array, Array]"

#: Unknowns below which the system is factorised, and the share of entries below which a larger one is sparse.
DENSE_BELOW, SPARSE_BELOW = 2000, 0.08


def pull_back(
    P: Array, reg: float, Q: Array, p: Array, q: Array, rates: tuple[float, float] = (1.0, 1.0)
) -> tuple[Array, Array, Array]:
    """Return u, v and the derivative in M of a loss, from its derivatives in the plan (Q) and in f, g (p, q).

    `rates` are alpha and beta. Empty rows and columns of P, those of weight zero, stand alone; there u and v
    are nan, and everywhere if the plan falls into parts.
    """
    if P.shape[0] > P.shape[1]:  # the larger side is eliminated, and what belongs to it found from the other
        v, u, dM = pull_back(P.T, reg, Q.T, q, p, rates[::-1])
        return u, v, dM.T
    xp = arrays.array_namespace(plan=P)
    try:
        u, v, whole = _solve(xp, P, P * Q, (reg * p, reg * q), rates)
    except _parts.Alone:
        raise undetermined() from None
    r, c = xp.sum(P, axis=1), xp.sum(P, axis=0)
    dM = P * _remainder(xp, P, u[:, None] - Q, reg * q, c, rates[1]) / reg
    return marked(xp, u, r, whole), marked(xp, v, c, whole), dM


def _remainder(xp: Namespace, P: Array, X: Array, q: Array, c: Array, beta: float) -> Array:
    """u_i + v_j - Q_ij from X = u_i - Q_ij: that less its mean in the column.

    Where one entry has nearly all of its column the difference would be lost to rounding; it is not if X is
    taken relative to that entry.
    """
    largest = xp.argmax(P, axis=0)[None, :] == xp.arange(P.shape[0])[:, None]
    top = xp.sum(xp.where(largest, X, xp.zeros_like(X)), axis=0)
    X = X - top[None, :]
    c = xp.where(c > 0, c, xp.ones_like(c))
    v = (q / c - xp.sum(P * X, axis=0) / c) / beta + (1 - 1 / beta) * top
    out: Array = X + v[None, :]
    return out


def undetermined() -> np.linalg.LinAlgError:
    """The error for a loss of potentials that a plan in parts leaves free."""
    return np.linalg.LinAlgError(
        "the plan falls into parts that exchange no mass to working precision, and the loss depends on the "
        "constant between the potentials of two of them: it has no derivative"
    )


def marked(xp: Namespace, u: Array, sums: Array, whole: bool) -> Array:
    """The derivative in the weights: nan where it does not exist."""
    out: Array = xp.where((sums > 0) & whole, u, xp.full_like(u, float("nan")))
    return out


def _solve(
    xp: Namespace, P: Array, W: Array, sides: Pair, rates: tuple[float, float]
) -> tuple[Array, Array, bool]:
    """Solve the adjoint system, and say whether the plan is in one piece."""
    if min(P.shape) <= DENSE_BELOW:
        return _parts.solve(xp, P, W, sides, rates)
    if arrays.is_numpy(xp) and max(rates) == 1.0:
        largest = np.maximum(P.sum(axis=1)[:, None], P.sum(axis=0))
        kept = P > _parts.NOTHING * largest
        if np.count_nonzero(kept) <= SPARSE_BELOW * P.size:  # only then a plan can fall into parts
            from scipy.sparse import csr_array

            stored, flows = csr_array(np.where(kept, P, 0.0)), csr_array(np.where(kept, W, 0.0))
            u, v, whole, done = _parts.solve_sparse(stored, flows, *sides)
            if not done:
                warn_of_digits("20000 steps", 1e-12)
            return u, v, whole
    return *_iterate(xp, P, W, sides, rates), True


def _iterate(xp: Namespace, P: Array, W: Array, sides: Pair, rates: tuple[float, float]) -> Pair:
    """Solve by conjugate gradients where a dense matrix of the smaller side would be too much.

    The larger side is eliminated: S = alpha diag(r) - P diag(1/(beta c)) P'.
    """
    (p, q), (alpha, beta) = sides, rates
    if P.shape[0] > P.shape[1]:
        v, u = _iterate(xp, P.T, W.T, (q, p), (beta, alpha))
        return u, v
    r, c = xp.sum(P, axis=1), xp.sum(P, axis=0)
    p, q = xp.sum(W, axis=1) + p, xp.sum(W, axis=0) + q
    weights = xp.where(c > 0, 1 / (beta * xp.where(c > 0, c, xp.ones_like(c))), xp.zeros_like(c))
    rhs = xp.where(r > 0, p - P @ (q * weights), xp.zeros_like(p))
    if alpha == beta == 1:
        rhs = rhs - (xp.sum(rhs) / xp.sum(r)) * r
    k = arrays.kernels_for(xp, __package__, "newton")
    P = np.ascontiguousarray(P) if arrays.is_numpy(xp) else P
    d, b = (xp.where(x > 0, x, xp.ones_like(x)) for x in (alpha * r, beta * c))
    size = float(xp.sum(xp.abs(rhs)))
    u, steps, done = k.schur_cg(P, d, b, rhs, 1e-12 * size, 20_000)
    if not done and size > 0:
        warn_of_digits(f"{steps} steps", 1e-12)
    return u, (q - P.T @ u) * weights


def warn_of_digits(after: str, rtol: float) -> None:
    """Say that conjugate gradients stopped short."""
    warnings.warn(
        f"conjugate gradients stopped after {after}: the derivative is not accurate to {rtol:g}",
        ConvergenceWarning,
        stacklevel=6,
    )
