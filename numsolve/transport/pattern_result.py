# mypy: disable-error-code=no-any-return
# (SciPy's arrays have no types: what they return is an Array by our word)
"""What a solve with sparse costs returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np

from numsolve._core import checks
from numsolve._core.plotting import new_axes

from . import _parts
from ._adjoint import marked, undetermined, warn_of_digits
from .result import Gradient, TransportResult, potential_derivatives

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from numsolve._core.typing import Array, ArrayLike

    from .result import PlanStyle


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PatternResult(TransportResult):
    """A `TransportResult` for costs that only some pairs have.

    Attributes
    ----------
    plan : scipy.sparse.csr_array, or None
        The plan, in the pattern of M as a canonical CSR array; its `data` may hold zeros.
    bounds : tuple of float
        As in `TransportResult`; the upper one is infinite with a regularisation.
    """

    def vjp(
        self, dP: ArrayLike | None = None, *, potentials: Sequence[ArrayLike | None] | None = None
    ) -> Gradient:
        """Differentiate a loss of the plan and the potentials with respect to the data.

        As in `TransportResult.vjp`.

        Parameters
        ----------
        dP : sparse or dense array of shape (n, m), optional
            Derivative of the loss with respect to the plan, where that has entries; zero by default.
        potentials : tuple of array, optional
            Derivatives of the loss with respect to f (n,) and g (m,), of equal sums.

        Returns
        -------
        Gradient
            ``(a, b, M)``, the last in the pattern of the plan.

        Raises
        ------
        ValueError
            If there is no plan, or if it is exact, or if a shape does not fit, or if the two sums differ.
        numpy.linalg.LinAlgError
            As in `TransportResult.vjp`.
        """
        P: Any = self._existing_plan()
        if self.reg == 0.0:
            self._refuse_exact()
        i, j = np.repeat(np.arange(P.shape[0]), np.diff(P.indptr)), P.indices
        Q = np.zeros(P.data.size) if dP is None else _at_entries(dP, P.shape, i, j)
        p, q = potential_derivatives(np, potentials, P.shape, np.dtype(np.float64), gauge=True)
        plan = P.astype(np.float64)
        r, c = plan.sum(axis=1), plan.sum(axis=0)
        kept = plan.data > _parts.NOTHING * np.maximum(r[i], c[j])
        stored, flows = (_chosen(plan, x, kept) for x in (plan.data, plan.data * Q))
        try:
            u, v, whole, done = _parts.solve_sparse(stored, flows, self.reg * p, self.reg * q)
        except _parts.Alone:
            raise undetermined() from None
        if not done:
            warn_of_digits("20000 steps", 1e-12)
        dM = type(P)((plan.data * (u[i] + v[j] - Q) / self.reg, P.indices, P.indptr), shape=P.shape)
        a, b, dM = (x.astype(P.dtype) for x in (marked(np, u, r, whole), marked(np, v, c, whole), dM))
        return Gradient(a, b, dM)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        what: Literal["plan", "convergence"] | None = None,
        **settings: Unpack[PlanStyle],
    ) -> Axes:
        """Draw the entries of the plan as points, or the convergence.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        what : {"plan", "convergence"}, optional
            "plan" by default.
        **settings
            As in `TransportResult.plot`, for the convergence.

        Returns
        -------
        matplotlib.axes.Axes
        """
        if what is not None:
            checks.choice("what", what, ("plan", "convergence"))
        if what == "convergence" or self.plan is None:
            return super().plot(ax, what="convergence", **settings)
        plan: Any = self.plan
        axes, P = new_axes(ax), plan.tocoo()
        points = axes.scatter(P.col, P.row, c=np.sqrt(P.data), s=4, cmap=settings.get("cmap", "magma"))
        axes.set(xlabel="target", ylabel="source", title="square root of the plan")
        axes.invert_yaxis()
        axes.figure.colorbar(points, ax=axes)
        return axes


def _at_entries(dP: ArrayLike, shape: tuple[int, int], i: Array, j: Array) -> Array:
    """The entries of a sparse or dense array at those of the plan."""
    import scipy.sparse as sp

    if sp.issparse(dP):
        X = checks.csr("dP", dP)
        if X.shape != shape:
            raise ValueError(f"dP must have shape {shape}, got {X.shape}")
        return np.asarray(X[i, j], dtype=np.float64).ravel()
    return checks.array("dP", dP, shape=shape)[i, j]


def _chosen(P: Any, data: Array, kept: Array) -> Any:
    """Some entries, as a CSR array."""
    indptr = np.concatenate([[0], np.cumsum(kept)])[P.indptr]
    return type(P)((data[kept], P.indices[kept], indptr), shape=P.shape)
