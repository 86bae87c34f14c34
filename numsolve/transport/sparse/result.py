"""What quadratic and sparsity-constrained transport return."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from numsolve.transport.result import TransportResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.typing import Array, ArrayLike
    from numsolve.transport.result import Gradient


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SparseTransportResult(TransportResult):
    """A plan of quadratic or of sparsity-constrained transport.

    The fields are those of `TransportResult`, with these differences.

    Attributes
    ----------
    value : float
        ``sum(T * M) + reg / 2 * sum(T**2)``. With a limit on the number of nonzeros, a lower bound of that
        number for every plan within the limit, certified by `potentials`.
    kl : float
        ``sum(T * log(T / (a b')))``.
    nnz_max : int
        The largest number of nonzeros in a column (of a row for ``axis=1``).
    gap : float
        The objective of `plan` less `value`: how far the plan is from optimal, at most, if it keeps the
        limit. A plan of the relaxed problem that does not keep it is cheaper: then `gap` is negative.
    unplaced_mass : float
        What the support chosen by ``rounding="support"`` cannot carry.
    max_nz : int or None
        The limit, if there is one.
    axis : int
        0 if the limit is on the columns, 1 if it is on the rows.
    """

    nnz_max: int = 0
    gap: float = float("nan")
    unplaced_mass: float = 0.0
    max_nz: int | None = None
    axis: int = 0

    def vjp(
        self, dP: ArrayLike | None = None, *, potentials: Sequence[ArrayLike | None] | None = None
    ) -> Gradient:
        """Differentiate a loss of the plan and the potentials with respect to the data.

        As in `TransportResult.vjp`, for a plan without a limit on its nonzeros. The plan is a smooth function
        of the data as long as the same entries vanish; where an entry is about to, the derivative is that of
        one side.

        Parameters
        ----------
        dP : array of shape (n, m), optional
            Derivative of the loss with respect to the plan; zero by default.
        potentials : tuple of array, optional
            Derivatives of the loss with respect to f (n,) and g (m,), of equal sums.

        Returns
        -------
        Gradient
            ``(a, b, M)``, the derivatives of the loss; those in a and b are nan at weights of zero, and hold
            for changes of equal sums.

        Raises
        ------
        NotImplementedError
            If there is a limit; `numsolve.transport.optimality` has the conditions of such a plan.
        ValueError
            If there is no plan, or if a shape does not fit, or if the two sums differ.
        numpy.linalg.LinAlgError
            If the positive entries do not connect all rows and columns: weights cannot change freely then.
        """
        if self.max_nz is not None and self.max_nz < self._existing_plan().shape[self.axis]:
            raise NotImplementedError(
                "vjp is for plans without a limit; numsolve.transport.optimality has what this one satisfies"
            )
        active = self._existing_plan() > 0
        _check_connected(active)
        # The derivatives of max(f + g - M, 0) / reg are those of exp((f + g - M) / reg), with 1 for the plan.
        return TransportResult.vjp(
            replace(self, plan=active.astype(self.plan.dtype)), dP, potentials=potentials
        )


def _check_connected(active: Array) -> None:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns = np.nonzero(active)
    n, m = active.shape
    graph = coo_array((np.ones(rows.size), (rows, n + columns)), shape=(n + m, n + m))
    _, label = connected_components(graph, directed=False)
    parts = np.unique(label[rows]).size
    if parts > 1:
        raise np.linalg.LinAlgError(f"the plan falls into {parts} parts that exchange no mass")
