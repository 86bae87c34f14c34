"""What the solvers of this column return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.plotting import new_axes, new_figure, plot_history
from numsolve._core.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TransportResult(Result):
    r"""A transport plan, its potentials, and what they cost.

    With weights a and b, cost M and regularisation eps, the plan is
    ``P_ij = exp((f_i + g_j - M_ij) / eps)``.

    Attributes
    ----------
    plan : array of shape (n, m), or None
        The plan P; None if it was not asked for.
    value : float
        ``sum(P * M) + eps * sum(P * (log(P) - 1))``, the regularised objective.
    value_linear : float
        ``sum(P * M)``, the transport cost of the plan.
    kl : float
        ``sum(P * log(P / (a b')))``, how far the plan is from the independent coupling.
    potentials : tuple of array
        ``(f, g)`` of shapes (n,) and (m,), minus infinity where a weight is zero; also called `x`. Only
        ``f + c, g - c`` for any constant c is determined.
    marginal_error : float
        ``sum(|P 1 - a|) + sum(|P' 1 - b|)`` over the mass; also called `residual`.
    reg : float
        The regularisation eps.
    nsinkhorn, nnewton, ncg : int
        Sinkhorn sweeps (a row and a column update each), Newton steps, conjugate-gradient steps.
    reg_path : tuple of float
        The regularisations that the solver went through.
    """

    plan: Any = None
    value: Any = float("nan")
    value_linear: Any = float("nan")
    kl: Any = float("nan")
    reg: float = float("nan")
    nsinkhorn: int = 0
    nnewton: int = 0
    ncg: int = 0
    reg_path: tuple[float, ...] = ()

    @property
    def potentials(self) -> Any:
        """The dual solution ``(f, g)``."""
        return self.x

    @property
    def marginal_error(self) -> Any:
        """Error of both marginals in the 1-norm, over the mass."""
        return self.residual

    def barycentric_map(self, Y: Any) -> Any:
        """Send each source point to the mean of its targets.

        Parameters
        ----------
        Y : array of shape (m,) or (m, d)
            Where the targets are: coordinates, colours, any vectors.

        Returns
        -------
        array of shape (n,) or (n, d)
            ``P Y / (P 1)``; nan for a source of weight zero.

        Raises
        ------
        ValueError
            If there is no plan, or if Y has not one row for each column of it.
        """
        if self.plan is None:
            raise ValueError("the result has no plan: solve with return_plan=True")
        xp = arrays.array_namespace(plan=self.plan, Y=Y)
        points = checks.array("Y", Y, xp=xp, ndim=(1, 2))
        if points.shape[0] != self.plan.shape[1]:
            raise ValueError(
                f"Y must have {self.plan.shape[1]} rows, one for each column of the plan, "
                f"got shape {tuple(points.shape)}"
            )
        mass = xp.sum(self.plan, axis=1)
        mass = xp.where(mass > 0, mass, xp.full_like(mass, float("nan")))
        moved = self.plan @ xp.astype(points, self.plan.dtype)
        return moved / (mass if points.ndim == 1 else mass[:, None])

    def plot(self, ax: Axes | None = None, *, what: str | None = None, **settings: Any) -> Axes:
        """Draw the plan as an image, or the convergence.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        what : {"plan", "convergence"}, optional
            By default both, side by side in a new figure, or the plan if `ax` is given.
        **settings
            Passed to ``ax.imshow`` or ``ax.plot``; for the convergence also ``against="seconds"``.

        Returns
        -------
        matplotlib.axes.Axes
            The axes drawn on, the first if there are two.
        """
        if what is not None:
            checks.choice("what", what, ("plan", "convergence"))
        if what is None and ax is None and self.plan is not None:
            axes = new_figure(1, 2, figsize=(10, 4))[1][0]
            self.plot(axes[0], what="plan", **settings)
            self.plot(axes[1], what="convergence")
            first: Axes = axes[0]
            return first
        if what == "convergence" or self.plan is None:
            axes = plot_history(self, ax=ax, **settings)
            axes.set_ylabel("marginal error")
            return axes
        axes = new_axes(ax)
        plan = arrays.to_host(self.plan)
        # A sharp plan has one entry a row: the square root keeps the fainter ones visible.
        image = axes.imshow(
            np.sqrt(plan), **{"cmap": "magma", "aspect": "auto", "interpolation": "nearest", **settings}
        )
        axes.set(xlabel="target", ylabel="source", title="square root of the plan")
        axes.figure.colorbar(image, ax=axes)
        return axes
