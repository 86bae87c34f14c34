# mypy: disable-error-code=no-any-return
# (array libraries, kernels and SciPy have no types: what they return is an Array by our word)
"""What a solve between point clouds returns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Unpack

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.plotting import new_axes
from numsolve.transport.result import TransportResult, potential_derivatives

from ._adjoint import pull_back
from .plan import scatter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from numsolve._core.typing import Array, ArrayLike, Dtype, LineStyle, Namespace

    from .plan import CloudPlan


class SampleGradient(NamedTuple):
    """Derivatives with respect to the data of a transport problem between clouds."""

    a: Array
    b: Array
    X_a: Array
    X_b: Array


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

    # Checkers are told what the results of solvers have.
    plan: CloudPlan = None  # type: ignore[assignment]
    points: tuple[Array, Array] = None  # type: ignore[assignment]
    norms: tuple[Array | None, Array | None] = (None, None)

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
        plan = self._differentiable_plan()._plan
        ones = [plan.pairs.xp.ones_like(p)[:, None] for p in (plan.f, plan.g)]
        (f, g), (X_a, X_b) = self.potentials, self._in_points(*ones)
        if min(self.reg_m) < math.inf:
            f, g = self._slopes_in_weights(plan.pairs.xp, self._sums())
        return SampleGradient(f, g, X_a, X_b)

    def _sums(self) -> tuple[Array, Array]:
        """Sums of the plan's rows and columns."""
        operator, (f, g) = self._existing_operator(), self.potentials
        xp = operator._plan.pairs.xp
        return operator @ xp.ones_like(g), operator.T @ xp.ones_like(f)

    def _differentiable_plan(self) -> CloudPlan:
        operator = self._existing_operator()
        if operator._plan.pairs.metric.function is not None:
            raise TypeError("the derivative of a metric given as a function is not known")
        return operator

    def _existing_operator(self) -> CloudPlan:
        operator: Any = self._existing_plan()
        plan: CloudPlan = operator
        return plan

    def _in_points(self, A: Array, B: Array) -> tuple[Array, Array]:
        """sum_ij (A B')_ij P_ij dc_ij, as derivatives in the points of both clouds."""
        plan, norms = self.plan, self.norms
        return _slopes(plan, norms[0], A, B), _slopes(plan.T, norms[1], B, A)

    def vjp(  # type: ignore[override]
        self,
        dP: Sequence[ArrayLike] | None = None,
        *,
        potentials: Sequence[ArrayLike | None] | None = None,
    ) -> SampleGradient:
        """Differentiate a loss of the plan's products and of the potentials with respect to the data.

        One linear system with a row for each source is solved, by passes over the pairs; nothing of the size
        of the plan is stored. So the derivative of the loss in the plan comes as a pair of factors: of a loss
        of ``plan @ Y`` it is the derivative G in that product together with Y, since
        ``sum(G * (dP @ Y)) = sum((G Y') * dP)``.

        Parameters
        ----------
        dP : tuple of array, optional
            Factors (U, V) of the derivative of the loss with respect to the plan, ``U V'``, of shapes (n, k)
            and (m, k), or (n,) and (m,); zero by default.
        potentials : tuple of array, optional
            Derivatives of the loss with respect to f (n,) and g (m,). Balanced, their sums are equal: a loss
            must not depend on the constant that f and g may exchange.

        Returns
        -------
        SampleGradient
            ``(a, b, X_a, X_b)``, the derivatives of the loss; those in a and b are nan at weights of zero.
            Balanced, they hold for changes of equal sums, and are nan throughout if the plan falls into
            parts that exchange no mass to working precision, as in `TransportResult.vjp`. Where V is itself
            made from the data, as for ``plan @ X_b``, the direct share ``plan.T @ G`` comes on top.

        Raises
        ------
        ValueError
            If there is no plan, or if a shape does not fit, or if the two sums differ.
        TypeError
            If dP is not a pair, or if the metric is a function: its derivative is not known.
        numpy.linalg.LinAlgError
            As in `TransportResult.vjp`.

        Warns
        -----
        ConvergenceWarning
            If the linear system was not solved to ten digits.

        Examples
        --------
        Where the sources go on average, and how that follows a target:

        >>> import numpy as np
        >>> from numsolve import transport
        >>> X_a, X_b = transport.problems.clouds(50, 2, rng=0)
        >>> result = transport.solve_sample(X_a, X_b, reg=0.1, tol=1e-10)
        >>> G = np.zeros((50, 2))
        >>> G[0, 0] = 1  # the loss is the first coordinate of (plan @ X_b)[0]
        >>> gradient = result.vjp((G, X_b)).X_b + result.plan.T @ G
        >>> gradient.shape
        (50, 2)
        """
        operator = self._differentiable_plan()
        plan = operator._plan
        xp, dtype = plan.pairs.xp, plan.f.dtype
        n, m = operator.shape
        U, V = _factors(xp, dP, (n, m), dtype)
        gauge = min(self.reg_m) == math.inf
        p, q = potential_derivatives(xp, potentials, (n, m), dtype, gauge=gauge)
        rates = 1 + self.reg / self.reg_m[0], 1 + self.reg / self.reg_m[1]
        sums = None if gauge else self._sums()
        if sums is not None:
            self._check_empty(xp, sums, p, q)
        U, p = (xp.take(x, operator._rows, axis=0) for x in (U, p))
        V, q = (xp.take(x, operator._columns, axis=0) for x in (V, q))
        eps = self.reg / operator._mass
        u, v, du, dv = pull_back(plan, (U, V), (eps * p, eps * q), rates)
        A = xp.stack([u, xp.ones_like(u), *(-U[:, k] for k in range(U.shape[1]))], axis=1) / self.reg
        B = xp.stack([xp.ones_like(v), v, *(V[:, k] for k in range(V.shape[1]))], axis=1)
        nan = float("nan")
        da = scatter(xp, du, operator._rows, n, nan)
        db = scatter(xp, dv, operator._columns, m, nan)
        if sums is not None and max(rates) > 1:
            da, db = self._in_weights(xp, rates, sums, (da, db))
        a, b = (xp.astype(x, operator.dtype) for x in (da, db))
        X_a, X_b = self._in_points(A, B)
        return SampleGradient(a, b, X_a, X_b)

    def barycentric_map(self, Y: ArrayLike) -> Array:
        """Send each source point to the mean of its targets; see `TransportResult.barycentric_map`."""
        plan = self._existing_operator()
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

    def plot(  # type: ignore[override]  # lines between points, not an image
        self,
        ax: Axes | None = None,
        *,
        what: Literal["plan", "convergence"] | None = None,
        **style: Unpack[LineStyle],
    ) -> Axes:
        """Draw the clouds with where the sources go, or the convergence.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        what : {"plan", "convergence"}, optional
            "plan", the default, draws both clouds in their first two coordinates, and lines from some
            two hundred sources to the means of their targets.
        **style
            Colour, width and the like of the lines.

        Returns
        -------
        matplotlib.axes.Axes
        """
        if what is not None:
            checks.choice("what", what, ("plan", "convergence"))
        if what == "convergence" or self.plan is None:
            return super().plot(ax, what="convergence", **style)
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
        drawn: Any = {"color": "0.3", "linewidth": 0.7, "alpha": 0.7, **style}
        axes.add_collection(LineCollection(lines, **drawn))
        axes.legend(markerscale=max(1.0, 4 / size**0.5))
        axes.set_aspect("equal" if X.shape[1] > 1 else "auto")
        axes.set(xlabel="first coordinate", ylabel="second coordinate", title="where the sources go")
        return axes


def _plane(points: Array) -> Array:
    """The first two coordinates; zero for a missing second one."""
    if points.shape[1] == 1:
        points = np.concatenate([points, np.zeros_like(points)], axis=1)
    return points[:, :2]


def _slopes(operator: CloudPlan, norms: Array | None, A: Array, B: Array) -> Array:
    """sum_j (A B')_ij P_ij dc(x_i, y_j)/dx_i, for the caller's points."""
    plan = operator._plan
    xp = plan.pairs.xp
    slopes = plan.cost_gradients(A, B) * operator._mass
    if norms is not None:  # of points that were divided by them: only what is tangential counts
        points = plan.pairs.A.points
        slopes = slopes - xp.sum(slopes * points, axis=1)[:, None] * points
        slopes = slopes / norms[:, None]
    return xp.astype(scatter(xp, slopes, operator._rows, operator.shape[0], 0.0), operator.dtype)


def _factors(
    xp: Namespace, dP: Sequence[ArrayLike] | None, shape: tuple[int, int], dtype: Dtype
) -> tuple[Array, Array]:
    """Check the factors of a derivative in the plan."""
    if dP is None:
        return xp.zeros((shape[0], 0), dtype=dtype), xp.zeros((shape[1], 0), dtype=dtype)
    if not isinstance(dP, tuple | list) or len(dP) != 2:
        raise TypeError(
            "dP must be a pair of factors (U, V) with dP = U V', as a whole derivative would be as large as "
            f"the plan, got {type(dP).__name__}; for a loss of plan @ Y give (its derivative in plan @ Y, Y)"
        )
    U, V = (checks.array(f"dP[{side}]", x, xp=xp, ndim=(1, 2), dtype=dtype) for side, x in enumerate(dP))
    U, V = (x if x.ndim == 2 else x[:, None] for x in (U, V))
    if (U.shape[0], V.shape[0]) != shape or U.shape[1] != V.shape[1]:
        raise ValueError(
            f"dP must have factors of shapes ({shape[0]}, k) and ({shape[1]}, k), "
            f"got {tuple(U.shape)} and {tuple(V.shape)}"
        )
    return U, V
