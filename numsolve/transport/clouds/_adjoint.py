# mypy: disable-error-code=no-any-return
# (array libraries, kernels and SciPy have no types: what they return is an Array by our word)
r"""`transport._adjoint` for clouds: derivatives of a plan that is never stored, by passes over the pairs.

For a loss that changes by <U V', dP> + p.df + q.dg the system and its answer are those of the former, and
need only sums over the pairs:

    alpha diag(r) u + P v = rowsum(U * (P V)) + eps p,    P' u + beta diag(c) v = rowsum(V * (P' U)) + eps q,
    d loss / d x_i = sum_j P_ij (u_i + v_j - (U V')_ij) dc(x_i, y_j)/dx_i / eps.

Small plans are stored for this, and so are sharp ones, by the entries that are not nothing: if balanced,
these may fall into parts, and are solved one by one (`_parts`). Else v is eliminated. What remains,
S = alpha diag(r) - P diag(1/(beta c)) P', is solved by conjugate gradients with two exact passes a step,
preconditioned by the S of the entries of P that matter, or by its diagonal where these are too many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from numsolve.transport import _kernels, _parts
from numsolve.transport._adjoint import marked, undetermined, warn_of_digits
from numsolve.transport._deadline import Deadline

from ._schur import Jacobi, conjugate_gradients, schur
from ._state import most

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array

    from ._pairs import Plan

    Pair: TypeAlias = "tuple[Array, Array]"

#: Residual of the adjoint system, relative, and the most steps it may take.
RTOL, MAXITER = 1e-10, 300
#: Entries of P above the first of these shares of a weight that leaves few enough make the preconditioner,
#: if they hold at least so much of the mass.
FLOORS, LEAST = (1e-6, 1e-5, 1e-4, 1e-3), 0.9
#: Pairs up to which a plan is stored as a whole.
STORED = 1_000_000


def pull_back(
    plan: Plan, factors: Pair, sides: Pair, rates: tuple[float, float] = (1.0, 1.0)
) -> tuple[Array, Array, Array, Array]:
    """Solve for a loss with the derivatives U V' in the plan; `sides` are eps times those in f and g.

    `rates` are alpha and beta. Returns u and v, which are finite, and the same as the derivatives in the
    weights, which are nan if the plan falls into parts.
    """
    xp = plan.pairs.xp
    r, c = plan.row_sums(), plan.T.row_sums()
    try:
        u, v, whole = _solve(plan, factors, sides, (r, c), rates)
    except _parts.Alone:
        raise undetermined() from None
    return u, v, marked(xp, u, r, whole), marked(xp, v, c, whole)


def _solve(
    plan: Plan, factors: Pair, sides: Pair, sums: Pair, rates: tuple[float, float]
) -> tuple[Array, Array, bool]:
    (U, V), xp, (n, m) = factors, plan.pairs.xp, plan.pairs.shape
    if n * m <= STORED:
        P = plan.block(xp.arange(n), xp.arange(m))
        return _parts.solve(xp, P, P * (U @ V.T), sides, rates)
    entries = plan.entries(_parts.NOTHING, most(plan.pairs)) if max(rates) == 1.0 else None
    if entries is not None:
        from scipy.sparse import csr_array

        indptr, indices, values = entries
        rows = np.repeat(np.arange(n), np.diff(indptr))
        flows = values * np.sum(U[rows] * V[indices], axis=1)
        P, W = (csr_array((x, indices, indptr), shape=(n, m)) for x in (values, flows))
        u, v, whole, done = _parts.solve_sparse(P, W, *sides)
        if not done:
            warn_of_digits("20000 steps", 1e-12)
        return u, v, whole
    return *_iterate(plan, factors, sides, sums, rates), True


def _iterate(plan: Plan, factors: Pair, sides: Pair, sums: Pair, rates: tuple[float, float]) -> Pair:
    """Solve by passes over the pairs."""
    xp, (U, V), (p, q), (r, c) = plan.pairs.xp, factors, sides, sums
    if U.shape[1]:
        p = p + xp.sum(U * plan.products(V), axis=1)
        q = q + xp.sum(V * plan.T.products(U), axis=1)

    def times(plan: Plan, v: Array) -> Array:
        return plan.products(v[:, None])[:, 0]

    # Unbalanced, all mass of a point may vanish: its row or column is empty, and stands alone.
    d, b = (xp.where(x > 0, rate * x, xp.ones_like(x)) for rate, x in zip(rates, (r, c), strict=True))
    surplus = rates[0] - 1 / rates[1]
    rhs = xp.where(r > 0, p - times(plan, q / b), xp.zeros_like(p))
    if surplus == 0:
        rhs = rhs - (xp.sum(rhs) / xp.sum(r)) * r
    size = float(xp.sum(xp.abs(rhs)))
    u, steps, done = conjugate_gradients(
        xp,
        lambda v: d * v - times(plan, times(plan.T, v) / b),
        _preconditioner(plan, d, b, surplus / rates[0]),
        rhs,
        max(RTOL, 100 * float(xp.finfo(r.dtype).eps)) * size,
        MAXITER,
        Deadline(),
    )
    if not done and size > 0:
        warn_of_digits(f"{steps} steps", RTOL)
    return u, (q - times(plan.T, u)) / b


def _preconditioner(plan: Plan, d: Array, b: Array, surplus: float) -> Callable[[Array], Array]:
    """Nearly solve with the S = diag(d) - P diag(1/b) P' of the entries that matter.

    Its row sums are those of S, `surplus` times d: 0 if balanced, where it is a Laplacian.
    """
    found = (plan.entries(floor, most(plan.pairs)) for floor in FLOORS)
    entries = next((e for e in found if e is not None), None)
    if entries is None or np.sum(entries[2]) < LEAST:
        return Jacobi(schur(plan, None, d, b)[1])
    indptr, indices, values = entries
    k = _kernels.of_systems(plan.pairs.xp)
    column_sums = np.bincount(indices, values, b.size)
    rows = np.repeat(np.arange(d.size), np.diff(indptr))
    degrees = np.bincount(rows, values * (column_sums / b)[indices], d.size)
    degrees = np.maximum((1 + 1e-10) * degrees + surplus * d, (1 - LEAST) * d)

    def solve(v: Array) -> Array:
        if surplus == 0:
            v = v - (np.sum(v) / np.sum(d)) * d
        return k.schur_cg_sparse(*entries, degrees, b, v, 0.02 * float(np.sum(np.abs(v))), 1000)[0]

    return solve
