"""What the solvers of this column return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np

from numsolve._core.plotting import new_axes, plot_history
from numsolve._core.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numsolve._core.typing import Array, LineStyle


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class HypergradientResult(Result):
    """The derivative of the upper objective at the lower solution.

    Attributes
    ----------
    x : array
        The approximate lower solution; to be handed back as `x0`.
    grad : array
        The hypergradient, of the shape of theta.
    q : array
        The adjoint: the approximate solution of ``H q = dF/dx``; to be handed back as `q0`.
    fun : float
        ``F(x, theta)``.
    fun_error : float
        At most so far from the value at the exact lower solution, as far as `error_bound` holds.
    residual : float
        `error_bound`, or `error_estimate` where mu is not known: what `tol` bounds.
    error_bound : float
        Bound of ``||grad - true hypergradient||``; inf where mu is not known.
    error_estimate : float
        The same with the least curvature that the solves have met in place of mu.
    certified : bool
        Whether every constant in the bound came from the problem. Otherwise those that were missing are
        estimated by differences, with a margin.
    lower_residual, adjoint_residual : float
        ``||df/dx||`` and ``||H q - dF/dx||``.
    nfev, nhvp, cost : int
        Gradients of the lower objective, products with its Hessian, and their sum.
    """

    x: Array
    grad: Array
    q: Array
    fun: float = float("nan")
    fun_error: float = float("inf")
    error_bound: float = float("inf")
    error_estimate: float = float("inf")
    certified: bool = False
    lower_residual: float = float("nan")
    adjoint_residual: float = float("nan")
    nfev: int = 0
    nhvp: int = 0
    cost: int = 0


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BilevelResult(Result):
    """A stationary point of the upper objective, and what it took to find it.

    Attributes
    ----------
    theta : array
        The upper variable with the least upper objective that was met, or the one that met the tolerance.
    x : array
        The lower solution there; to be handed back as `x0`, as `theta` is as `theta0`.
    fun : float
        The upper objective.
    lower_fun : float
        The lower objective.
    grad : array
        The hypergradient, of the shape of theta.
    residual : float
        Norm of the projected hypergradient plus `error_estimate`: what `tol` bounds. For "maid" plus
        `error_bound`, which is its published one; for "lvhba" the estimated error of (theta, x). Of a run
        with samples, on all of them.
    error_bound, error_estimate, certified
        As in `HypergradientResult`.
    q : array
        The adjoint that `grad` was made of; empty for methods that have none.
    eps, delta : float
        The last tolerances: ``||df/dx|| / mu``, or ``||df/dx||`` without mu, and ``||H q - dF/dx||``.
    nfev, nhvp, cost : int
        Gradients of the lower objective, products with its Hessian, and their sum.
    nproj, nupper : int
        Projections, and gradients of the upper objective.
    method : str
        The method.
    """

    x: Array
    theta: Array
    fun: float = float("nan")
    lower_fun: float = float("nan")
    grad: Array
    q: Array
    error_bound: float = float("inf")
    error_estimate: float = float("inf")
    certified: bool = False
    eps: float = float("nan")
    delta: float = float("nan")
    nfev: int = 0
    nhvp: int = 0
    cost: int = 0
    nproj: int = 0
    nupper: int = 0
    method: str = ""

    def plot(
        self,
        ax: Axes | None = None,
        *,
        column: Literal["fun", "residual"] = "fun",
        against: Literal["cost", "iteration", "seconds"] = "cost",
        **style: Unpack[LineStyle],
    ) -> Axes:
        """Draw the upper objective, or the residual, against what was paid.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        column : {"fun", "residual"}
            The vertical axis.
        against : {"cost", "iteration", "seconds"}
            The horizontal axis.
        **style
            Colour, label and the like, for ``ax.plot``.

        Returns
        -------
        matplotlib.axes.Axes
        """
        axes = new_axes(ax)
        plot_history(self.history, ax=axes, column=column, against=against, **style)
        axes.set_ylabel({"fun": "upper objective", "residual": "residual"}[column])
        return axes


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BlockResult(Result):
    """What `numsolve.bilevel.bsvrb` returns.

    Attributes
    ----------
    theta : array of shape (d,)
        The upper variable.
    x : array of shape (m, n)
        The lower variables of all blocks.
    fun : float
        The mean upper objective of all blocks at `x` and `theta`, computed at the end.
    grad : array of shape (d,)
        The last direction of theta.
    residual : float
        The norm of that direction and of the trackers, with the noise of the samples; after a success the
        hypergradient's norm and estimated error, from all blocks and samples.
    nfev, nhvp, cost : int
        Gradients of single blocks, Hessian products (or Hessians, for "v1") of single blocks, their sum.
    estimator : str
        How theta's direction was averaged: "saga" or "storm".
    """

    x: Array
    theta: Array
    fun: float = float("nan")
    grad: Array
    nfev: int = 0
    nhvp: int = 0
    cost: int = 0
    estimator: str = ""


def nothing() -> Any:
    """The adjoint of a method that has none."""
    return np.zeros(0)
