# mypy: disable-error-code=no-any-return
# (array libraries, kernels and SciPy have no types: what they return is an Array by our word)
"""The Newton system S x = rhs between clouds,  S = diag(d) - P diag(1/b) P',  and its preconditioners."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.sparse import csr_array

from numsolve._core import krylov
from numsolve.transport import _kernels

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, Namespace
    from numsolve.transport._deadline import Deadline

    from ._pairs import Plan
    from ._state import CloudState

#: Entries of a plan in CSR: indptr, indices, values.
Entries: TypeAlias = "tuple[Array, Array, Array]"
Product: TypeAlias = "Callable[[Array], Array]"


def schur(plan: Plan, entries: Entries | None, d: Array, b: Array) -> tuple[Product, Array]:
    """The product with S, by the entries of P in CSR or by passes over the pairs, and the diagonal of S."""
    xp = plan.pairs.xp
    if entries is not None:
        indptr, indices, values = entries
        P = csr_array((values, indices, indptr), shape=plan.pairs.shape)
        squares = np.bincount(np.repeat(np.arange(d.size), np.diff(indptr)), values**2 / b[indices], d.size)
        return lambda v: d * v - P @ ((P.T @ v) / b), xp.maximum(d - squares, 1e-3 * d)
    inner = plan.pairs.plan(plan.f, plan.g, plan.reg, max(plan.lost, 1e-7) if plan.lost else 0.0)

    def times(plan: Plan, v: Array) -> Array:
        return plan.products(v[:, None])[:, 0]

    # P_ij^2 is the plan of the same potentials at half the regularisation.
    squares = times(plan.pairs.plan(plan.f, plan.g, plan.reg / 2, inner.lost), 1 / b)
    return lambda v: d * v - times(inner, times(inner.T, v) / b), xp.maximum(d - squares, 1e-3 * d)


class Jacobi:
    """The diagonal of S as a preconditioner."""

    def __init__(self, diagonal: Array) -> None:
        self.diagonal = diagonal

    def __call__(self, v: Array) -> Array:
        return v / self.diagonal


class TwoGrid(Jacobi):
    """The diagonal of S within the parts of the coarse cloud, and the S of that cloud between them.

    P varies little within the parts, so S is nearly ``D - W K W'`` with K from the coarse plan and W sharing
    the weight of a part among its points. The inverse of that is the diagonal's, less its means over the
    parts, plus the coarse inverse.
    """

    def __init__(self, diagonal: Array, coarse: CloudState, entries: Entries, owners: Array) -> None:
        super().__init__(diagonal)
        self.entries, self.owners, self.parts = entries, owners, coarse.r.size
        self.sums = np.bincount(owners, diagonal, self.parts)
        self.d, self.b = (1 + 1e-3) * coarse.r, coarse.plan.pairs.B.weights
        self.k = _kernels.of_systems(coarse.plan.pairs.xp)

    def __call__(self, v: Array) -> Array:
        gathered = np.bincount(self.owners, v, self.parts)
        gathered = gathered - np.mean(gathered)
        stop = 0.05 * float(np.sum(np.abs(gathered)))
        z, _, _ = self.k.schur_cg_sparse(*self.entries, self.d, self.b, gathered, stop, 200)
        return v / self.diagonal + (z - gathered / self.sums)[self.owners]


def conjugate_gradients(
    xp: Namespace,
    product: Product,
    smoother: Product,
    rhs: Array,
    stop: float,
    maxiter: int,
    deadline: Deadline,
) -> tuple[Array, int, bool]:
    """Conjugate gradients, flexible because the preconditioner is not quite linear.

    Returns x, the steps done, and whether ``||residual||_1 <= stop`` was reached.
    """
    x, steps = xp.zeros_like(rhs), 0
    for at in islice(krylov.conjugate_gradients(xp, product, x, rhs, smoother, flexible=True), maxiter):
        if not at.curvature > 0.0:
            return x, steps, False
        x, steps = at.x, steps + 1
        if float(xp.sum(xp.abs(at.r))) <= stop:
            return x, steps, True
        deadline.check()
    return x, steps, False
