"""The Newton system S x = rhs between clouds,  S = diag(d) - P diag(1/b) P',  and its preconditioners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._cloud import Plan
    from ._cloud_dual import State


def schur(plan: Plan, entries: Any, d: Any, b: Any) -> tuple[Callable[[Any], Any], Any]:
    """The product with S, by the entries of P in CSR or by passes over the pairs, and the diagonal of S."""
    xp = plan.pairs.xp
    if entries is not None:
        k = arrays.kernels_for(xp, __package__, "newton")
        indptr, indices, values = entries

        def sparse_product(v: Any) -> Any:
            out = np.empty_like(v)
            k._sparse_product(*entries, d, b, v, np.empty_like(b), out)
            return out

        squares = np.bincount(np.repeat(np.arange(d.size), np.diff(indptr)), values**2 / b[indices], d.size)
        return sparse_product, xp.maximum(d - squares, 1e-3 * d)
    inner = plan.pairs.plan(plan.f, plan.g, plan.reg, max(plan.lost, 1e-7) if plan.lost else 0.0)

    def times(plan: Plan, v: Any) -> Any:
        return plan.products(v[:, None])[:, 0]

    # P_ij^2 is the plan of the same potentials at half the regularisation.
    squares = times(plan.pairs.plan(plan.f, plan.g, plan.reg / 2, inner.lost), 1 / b)
    return lambda v: d * v - times(inner, times(inner.T, v) / b), xp.maximum(d - squares, 1e-3 * d)


class Jacobi:
    """The diagonal of S as a preconditioner."""

    def __init__(self, diagonal: Any) -> None:
        self.diagonal = diagonal

    def __call__(self, v: Any) -> Any:
        return v / self.diagonal


class TwoGrid(Jacobi):
    """The diagonal of S within the parts of the coarse cloud, and the S of that cloud between them.

    P varies little within the parts, so S is nearly ``D - W K W'`` with K from the coarse plan and W sharing
    the weight of a part among its points. The inverse of that is the diagonal's, less its means over the
    parts, plus the coarse inverse.
    """

    def __init__(self, diagonal: Any, coarse: State, entries: Any, owners: Any) -> None:
        super().__init__(diagonal)
        self.entries, self.owners, self.parts = entries, owners, coarse.r.size
        self.sums = np.bincount(owners, diagonal, self.parts)
        self.d, self.b = (1 + 1e-3) * coarse.r, coarse.plan.pairs.B.weights
        self.k = arrays.kernels_for(coarse.plan.pairs.xp, __package__, "newton")

    def __call__(self, v: Any) -> Any:
        gathered = np.bincount(self.owners, v, self.parts)
        gathered = gathered - np.mean(gathered)
        stop = 0.05 * float(np.sum(np.abs(gathered)))
        z, _, _ = self.k.schur_cg_sparse(*self.entries, self.d, self.b, gathered, stop, 200)
        return v / self.diagonal + (z - gathered / self.sums)[self.owners]


def conjugate_gradients(
    xp: Any,
    product: Callable[[Any], Any],
    smoother: Callable[[Any], Any],
    rhs: Any,
    stop: float,
    maxiter: int,
) -> tuple[Any, int, bool]:
    """Conjugate gradients, flexible because the preconditioner is not quite linear.

    Returns x, the steps done, and whether ``||residual||_1 <= stop`` was reached.
    """
    x, residual, z = xp.zeros_like(rhs), rhs, smoother(rhs)
    p, rz, steps, done = z, float(rhs @ z), 0, False
    while steps < maxiter and rz > 0.0:
        steps += 1
        Sp = product(p)
        curvature = float(p @ Sp)
        if not curvature > 0.0:
            break
        x = x + (rz / curvature) * p
        old, residual = residual, residual - (rz / curvature) * Sp
        done = float(xp.sum(xp.abs(residual))) <= stop
        if done:
            break
        z = smoother(residual)
        beta = float(z @ (residual - old)) / rz
        rz = float(residual @ z)
        p = z + beta * p
    return x, steps, done
