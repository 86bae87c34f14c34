"""What a solve between point clouds returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.plotting import new_axes

from .cloud_plan import scatter
from .result import TransportResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class SampleGradient(NamedTuple):
    """Derivatives with respect to the data of a transport problem between clouds."""

    a: Any
    b: Any
    X_a: Any
    X_b: Any


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SampleResult(TransportResult):
    """A `TransportResult` between two clouds of points.

    Attributes
    ----------
    plan : CloudPlan, or None
        The plan as a `scipy.sparse.linalg.LinearOperator`, with `block` and `tosparse` for its entries.
    marginal_error : float
        As in `TransportResult`, and a bound: what the passes over the pairs may have missed is added.
    """

    points: Any = None
    norms: Any = None

    def gradient(self) -> SampleGradient:  # type: ignore[override]
        """Differentiate `value` with respect to the weights and to the points.

        Nothing has to be solved: with the optimal plan, ``d value / d x_i = sum_j P_ij dc(x_i, y_j)/dx_i``
        (the envelope theorem), one pass over the pairs for each cloud.

        Returns
        -------
        SampleGradient
            ``(a, b, X_a, X_b)``, arrays of the shapes of the data. For `a` and `b` see
            `TransportResult.gradient`. Where the cost has a kink (a pair of equal points, for the distances
            that are not squared) its derivative counts as zero.

        Raises
        ------
        ValueError
            If there is no plan.
        TypeError
            If the metric is a function: its derivative is not known.

        Examples
        --------
        >>> import numpy as np
        >>> from numsolve import transport
        >>> X_a, X_b = transport.problems.clouds(50, 2, rng=0)
        >>> gradient = transport.solve_sample(X_a, X_b, reg=0.01, tol=1e-9).gradient()
        >>> moved = X_a.copy()
        >>> moved[3, 0] += 1e-5
        >>> up = transport.solve_sample(moved, X_b, reg=0.01, tol=1e-9).value
        >>> moved[3, 0] -= 2e-5
        >>> down = transport.solve_sample(moved, X_b, reg=0.01, tol=1e-9).value
        >>> bool(np.isclose((up - down) / 2e-5, gradient.X_a[3, 0], rtol=1e-5))
        True
        """
        operator = self._existing_plan()
        plan = operator._plan
        if plan.pairs.metric.function is not None:
            raise TypeError("the derivative of a metric given as a function is not known")
        f, g = self.potentials
        return SampleGradient(
            f, g, self._slopes(operator, self.norms[0]), self._slopes(operator.T, self.norms[1])
        )

    def _slopes(self, operator: Any, norms: Any) -> Any:
        plan = operator._plan
        xp = plan.pairs.xp
        slopes = plan.cost_gradients() * operator._mass
        if norms is not None:  # of points that were divided by them: only what is tangential counts
            points = plan.pairs.A.points
            slopes = slopes - xp.sum(slopes * points, axis=1)[:, None] * points
            slopes = slopes / norms[:, None]
        return xp.astype(scatter(xp, slopes, operator._rows, operator.shape[0], 0.0), operator.dtype)

    def vjp(self, dP: Any = None, *, potentials: tuple[Any, Any] | None = None) -> Any:  # noqa: ARG002
        """Not for clouds: a derivative of the plan has as many entries as the plan.

        Raises
        ------
        TypeError
            Always; `numsolve.transport.solve` with the matrix of costs has it.
        """
        raise TypeError(
            "vjp needs a stored plan: give the matrix of costs to numsolve.transport.solve, "
            "or use gradient() for the derivatives of the value"
        )

    def barycentric_map(self, Y: Any) -> Any:
        """Send each source point to the mean of its targets; see `TransportResult.barycentric_map`."""
        plan = self._existing_plan()
        xp = plan._plan.pairs.xp
        points = checks.array("Y", Y, xp=xp, ndim=(1, 2))
        if points.shape[0] != plan.shape[1]:
            raise ValueError(
                f"Y must have {plan.shape[1]} rows, one for each column of the plan, "
                f"got shape {tuple(points.shape)}"
            )
        columns = points if points.ndim == 2 else points[:, None]
        ones = xp.ones((points.shape[0], 1), dtype=points.dtype)
        moved = plan @ xp.concat([columns, ones], axis=1)
        mass = moved[:, -1:]
        moved = moved[:, :-1] / xp.where(mass > 0, mass, xp.full_like(mass, float("nan")))
        return moved if points.ndim == 2 else moved[:, 0]

    def plot(self, ax: Axes | None = None, *, what: str | None = None, **settings: Any) -> Axes:
        """Draw the clouds with where the sources go, or the convergence.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        what : {"plan", "convergence"}, optional
            "plan", the default, draws both clouds in their first two coordinates, and lines from some
            two hundred sources to the means of their targets.
        **settings
            Passed to the `LineCollection` of the lines, or as in `TransportResult.plot`.

        Returns
        -------
        matplotlib.axes.Axes
        """
        if what is not None:
            checks.choice("what", what, ("plan", "convergence"))
        if what == "convergence" or self.plan is None:
            return super().plot(ax, what="convergence", **settings)
        from matplotlib.collections import LineCollection

        axes = new_axes(ax)
        X, Y = (_plane(arrays.to_host(x)) for x in self.points)
        moved = _plane(arrays.to_host(self.barycentric_map(self.points[1])))
        some = np.flatnonzero(np.isfinite(moved[:, 0]))
        some = some[:: max(1, some.size // 200)]
        size = float(np.clip(2e4 / (len(X) + len(Y)), 0.5, 20))
        axes.scatter(X[:, 0], X[:, 1], s=size, color="C0", linewidths=0, label="source")
        axes.scatter(Y[:, 0], Y[:, 1], s=size, color="C1", linewidths=0, label="target")
        lines = list(np.stack([X[some], moved[some]], axis=1))
        axes.add_collection(
            LineCollection(lines, **{"colors": "0.3", "linewidths": 0.7, "alpha": 0.7, **settings})
        )
        axes.legend(markerscale=max(1.0, 4 / size**0.5))
        axes.set_aspect("equal" if X.shape[1] > 1 else "auto")
        axes.set(xlabel="first coordinate", ylabel="second coordinate", title="where the sources go")
        return axes


def _plane(points: Any) -> Any:
    """The first two coordinates; zero for a missing second one."""
    if points.shape[1] == 1:
        points = np.concatenate([points, np.zeros_like(points)], axis=1)
    return points[:, :2]
