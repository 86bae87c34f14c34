"""What the solvers of this column return."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Unpack, cast

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.plotting import new_axes, new_figure, plot_history
from numsolve._core.result import Result
from numsolve._core.typing import LineStyle

from ._adjoint import pull_back

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from matplotlib.axes import Axes

    from numsolve._core.typing import Array, ArrayLike, Dtype, Namespace


#: Fields that have one entry for each problem of a batch.
_PER_PROBLEM = (
    *("status", "nit", "residual", "plan", "value", "value_linear", "kl"),
    *("nsinkhorn", "nnewton", "ncg"),
)


class Gradient(NamedTuple):
    """Derivatives with respect to the data of a transport problem."""

    a: Array
    b: Array
    M: Array


class PlanStyle(LineStyle, total=False):
    """What the picture of a plan passes on to ``ax.imshow``, and that of the convergence to ``ax.plot``."""

    cmap: str
    aspect: str
    interpolation: str
    vmin: float
    vmax: float
    against: Literal["iteration", "seconds"]


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
        ``sum(P * M) + eps * sum(P * (log(P) - 1))``, the regularised objective; that of an unbalanced
        problem is in `numsolve.transport.sinkhorn_unbalanced`.
    value_linear : float
        ``sum(P * M)``, the transport cost of the plan.
    kl : float
        ``sum(P * log(P / (a b')))``, how far the plan is from the independent coupling.
    potentials : tuple of array
        ``(f, g)`` of shapes (n,) and (m,), minus infinity where a weight is zero; also called `x`. Only
        ``f + c, g - c`` for any constant c is determined. In an unbalanced problem they are determined, and
        plus infinity where every pair of a row or column is forbidden.
    marginal_error : float
        ``sum(|P 1 - a|) + sum(|P' 1 - b|)`` over the mass; also called `residual`. In an unbalanced problem
        the marginals are those that hold at the solution, ``a exp(-u / rho_a)`` and ``b exp(-v / rho_b)``,
        and where nearly no mass is left the error is over what is left.
    bounds : tuple of float
        The least cost of any plan, without regularisation, lies between these two (up to rounding): the
        value of a dual solution that is made of f, and the cost of `plan` once it is rounded to the
        marginals. Their difference tells what the regularisation costs; the upper one is infinite if the
        rounding needs a forbidden pair.
    reg : float
        The regularisation eps; 0 for exact transport, where the plan is any of least cost and (f, g) are
        prices: ``f_i + g_j <= M_ij``, with equality where the plan is positive. An array where a batch was
        given one for each problem.
    reg_m : tuple of float
        The prices of deviations from the marginals; infinite for a balanced problem.
    weights : tuple of array, or None
        The weights a and b of an unbalanced problem, which its derivatives need.
    nsinkhorn, nnewton, ncg : int
        Sinkhorn sweeps (a row and a column update each), Newton steps, conjugate-gradient steps.
    reg_path : tuple of float
        The regularisations that the solver went through; of a batch, those of the problem with most of
        them, and none where each problem has its own.
    """

    # Checkers are told what nearly every caller has: a plan, and the numbers of one problem.
    plan: Array = None  # type: ignore[assignment]
    value: float = float("nan")
    value_linear: float = float("nan")
    kl: float = float("nan")
    bounds: tuple[float, float] = (-float("inf"), float("inf"))
    reg: float = float("nan")
    reg_m: tuple[float, float] = (math.inf, math.inf)
    weights: tuple[Array, Array] | None = None
    nsinkhorn: int = 0
    nnewton: int = 0
    ncg: int = 0
    reg_path: tuple[float, ...] = ()

    @property
    def potentials(self) -> tuple[Array, Array]:
        """The dual solution ``(f, g)``."""
        pair: tuple[Array, Array] = self.x
        return pair

    @property
    def marginal_error(self) -> float:
        """Error of both marginals in the 1-norm, over the mass."""
        error: float = self.residual
        return error

    def gradient(self) -> Gradient:
        """Differentiate `value` with respect to the data.

        Nothing has to be solved: at the optimum the potentials and the plan are the derivatives (the envelope
        theorem).

        Returns
        -------
        Gradient
            ``(a, b, M)``, arrays of the shapes of the data. In a balanced problem a change of the weights
            must keep the sums of a and b equal: only for such changes ``gradient.a @ da + gradient.b @ db``
            means something, as the potentials may exchange a constant. At a weight of zero the
            derivative is minus infinity, or nan in an unbalanced problem. Of exact transport these are
            derivatives where it has any, and subgradients elsewhere.

        Raises
        ------
        ValueError
            If there is no plan.

        Examples
        --------
        >>> import numpy as np
        >>> from numsolve import transport
        >>> M = np.array([[0.0, 1.0], [1.0, 0.0]])
        >>> a, b = np.array([0.5, 0.5]), np.array([0.4, 0.6])
        >>> gradient = transport.solve(M, a, b, reg=0.1).gradient()
        >>> move = np.array([1e-6, -1e-6])  # from the second source to the first
        >>> up, down = (transport.solve(M, a + s * move, b, reg=0.1).value for s in (1, -1))
        >>> bool(np.isclose((up - down) / 2, gradient.a @ move, rtol=1e-6))
        True
        """
        P = self._existing_plan()
        if P.ndim == 3:
            return self._stacked(r.gradient() for r in self._problems())
        if min(self.reg_m) == math.inf:
            f, g = self.potentials
            return Gradient(f, g, P)
        xp = arrays.array_namespace(plan=P)
        a, b = self._slopes_in_weights(xp, (xp.sum(P, axis=1), xp.sum(P, axis=0)))
        return Gradient(a, b, P)

    def _slopes_in_weights(self, xp: Namespace, sums: tuple[Array, Array]) -> tuple[Array, Array]:
        """The derivatives of an unbalanced value in a and b, for the row and column sums of the plan."""
        a, b = self._given_weights()
        slopes = []
        for rho, sum_, weight, f, other in zip(
            self.reg_m, sums, (a, b), self.potentials, (float(xp.sum(b)), float(xp.sum(a))), strict=True
        ):
            positive = xp.where(weight > 0, weight, xp.full_like(weight, math.nan))
            if rho == math.inf:  # the multiplier, and what the entropy says of its reference
                slopes.append(f - self.reg * xp.log(positive) + self.reg * (other - 1))
            else:
                slopes.append((rho + self.reg) * (1 - sum_ / positive) + self.reg * (other - 1))
        return slopes[0], slopes[1]

    def vjp(
        self, dP: ArrayLike | None = None, *, potentials: Sequence[ArrayLike | None] | None = None
    ) -> Gradient:
        """Differentiate a loss of the plan and the potentials with respect to the data.

        One linear system of the size of the smaller side is solved, whatever the number of parameters.

        Parameters
        ----------
        dP : array of shape (n, m), optional
            Derivative of the loss with respect to the plan; zero by default.
        potentials : tuple of array, optional
            Derivatives of the loss with respect to f (n,) and g (m,). In a balanced problem their sums are
            equal: a loss must not depend on the constant that f and g may exchange.

        Returns
        -------
        Gradient
            ``(a, b, M)``, the derivatives of the loss; those in a and b are nan at weights of zero, and
            hold in a balanced problem for changes of equal sums. A sharp plan may fall into parts that
            exchange no mass to working precision. It then has no derivative in the weights, and those in a
            and b are nan throughout; the one in M is right.

        Raises
        ------
        ValueError
            If there is no plan, or if it is exact, or if a shape does not fit, or if the two sums differ.
        numpy.linalg.LinAlgError
            If the plan falls into such parts and the loss depends on a constant that the potentials of two of
            them may exchange.

        Examples
        --------
        The mean square of where a source point goes, and how the costs move it:

        >>> import numpy as np
        >>> from numsolve import transport
        >>> x, y = np.array([0.0, 1.0]), np.array([0.0, 0.5, 2.0])
        >>> result = transport.solve((x[:, None] - y) ** 2, reg=0.5)
        >>> gradient = result.vjp(np.outer([1.0, 0.0], y**2))
        >>> gradient.M.shape
        (2, 3)
        """
        P = self._existing_plan()
        if np.max(self.reg) == 0.0:
            self._refuse_exact()
        if P.ndim == 3:
            p, q = (None, None) if potentials is None else potentials
            each = enumerate(self._problems())
            return self._stacked(r.vjp(_of(dP, i), potentials=(_of(p, i), _of(q, i))) for i, r in each)
        xp = arrays.array_namespace(plan=P, dP=dP)
        n, m = P.shape
        dtype = xp.float64 if arrays.is_numpy(xp) else P.dtype
        Q = xp.zeros((n, m), dtype=dtype) if dP is None else checks.array("dP", dP, xp=xp, shape=(n, m))
        gauge = min(self.reg_m) == math.inf
        p, q = potential_derivatives(xp, potentials, (n, m), dtype, gauge=gauge)
        rates = 1 + self.reg / self.reg_m[0], 1 + self.reg / self.reg_m[1]
        P64 = xp.astype(P, dtype)
        sums = xp.sum(P64, axis=1), xp.sum(P64, axis=0)
        if not gauge:
            self._check_empty(xp, sums, p, q)
        u, v, dM = pull_back(P64, self.reg, Q, p, q, rates)
        if max(rates) > 1:
            u, v = self._in_weights(xp, rates, sums, (u, v))
        return Gradient(*(xp.astype(x, P.dtype) for x in (u, v, dM)))

    def _refuse_exact(self) -> None:
        raise ValueError(
            "an exact plan (reg=0) jumps where it changes, and has no derivative: solve with a small reg; "
            "gradient() has the derivative of the value"
        )

    def _in_weights(
        self, xp: Namespace, rates: tuple[float, float], sums: tuple[Array, Array], uv: tuple[Array, Array]
    ) -> tuple[Array, Array]:
        """The derivatives of an unbalanced problem in its weights, from the u and v of `_adjoint`."""
        a, b = (
            rate * self._share(xp, side, r) * xp.where(r > 0, x, xp.zeros_like(x))
            for side, (rate, r, x) in enumerate(zip(rates, sums, uv, strict=True))
        )
        return a, b

    def _check_empty(self, xp: Namespace, sums: tuple[Array, Array], p: Array, q: Array) -> None:
        """Refuse a loss of potentials whose rows or columns the plan does not tell from empty ones."""
        for side, loss in enumerate((p, q)):
            empty = (sums[side] == 0) & xp.isfinite(self.x[side])
            if bool(xp.any(empty & (loss != 0))):
                raise np.linalg.LinAlgError(
                    f"potentials[{side}] has derivatives where the mass of the plan is below the smallest "
                    "number: the plan does not tell how these potentials change"
                )

    def _given_weights(self) -> tuple[Array, Array]:
        assert self.weights is not None
        return self.weights

    def _share(self, xp: Namespace, side: int, r: Array) -> Array:
        """What a row or column has of its weight; nan where that is zero."""
        weight = self._given_weights()[side]
        out: Array = r / xp.where(weight > 0, weight, xp.full_like(weight, math.nan))
        return out

    def problem(self, i: int) -> TransportResult:
        """Return the result of one problem of a batch.

        Parameters
        ----------
        i : int
            Which one.

        Returns
        -------
        TransportResult
            With the fields of that problem; the history is of the batch, and left out.

        Raises
        ------
        IndexError
            If there is no such problem.
        """
        f, g = self.x
        own = {name: getattr(self, name)[i, ...] for name in _PER_PROBLEM if getattr(self, name) is not None}
        own = {name: x if getattr(x, "ndim", 1) else x.item() for name, x in own.items()}
        low, high = cast("tuple[Array, Array]", self.bounds)
        bounds = float(low[i]), float(high[i])
        if np.ndim(self.reg) == 1:
            own["reg"] = self.reg[i].item()  # type: ignore[index]
        if self.weights is not None:
            own["weights"] = self.weights[0][i, ...], self.weights[1][i, ...]
        return replace(self, x=(f[i, ...], g[i, ...]), bounds=bounds, history=None, **own)

    def _problems(self) -> Iterator[TransportResult]:
        return (self.problem(i) for i in range(self.plan.shape[0]))

    def _stacked(self, gradients: Iterable[Gradient]) -> Gradient:
        xp = arrays.array_namespace(plan=self.plan)
        a, b, M = (xp.stack(parts) for parts in zip(*gradients, strict=True))
        return Gradient(a, b, M)

    def _existing_plan(self) -> Array:
        if self.plan is None:
            raise ValueError("the result has no plan: solve with return_plan=True")
        return self.plan

    def barycentric_map(self, Y: ArrayLike) -> Array:
        """Send each source point to the mean of its targets.

        Parameters
        ----------
        Y : array of shape (m,) or (m, d)
            Where the targets are: coordinates, colours, any vectors.

        Returns
        -------
        array of shape (n,) or (n, d)
            ``P Y / (P 1)``; nan for a source of weight zero. With a leading axis for a batch.

        Raises
        ------
        ValueError
            If there is no plan, or if Y has not one row for each column of it.
        """
        plan = self._existing_plan()
        xp = arrays.array_namespace(potentials=self.potentials[0], Y=Y)
        points = checks.array("Y", Y, xp=xp, ndim=(1, 2))
        if points.shape[0] != plan.shape[-1]:
            raise ValueError(
                f"Y must have {plan.shape[-1]} rows, one for each column of the plan, "
                f"got shape {tuple(points.shape)}"
            )
        mass = plan @ xp.ones(plan.shape[-1], dtype=plan.dtype)  # a sparse plan, too
        mass = xp.where(mass > 0, mass, xp.full_like(mass, float("nan")))
        moved = plan @ xp.astype(points, plan.dtype)
        out: Array = moved / (mass if points.ndim == 1 else mass[..., None])
        return out

    def plot(
        self,
        ax: Axes | None = None,
        *,
        what: Literal["plan", "convergence"] | None = None,
        **settings: Unpack[PlanStyle],
    ) -> Axes:
        """Draw the plan as an image, or the convergence; of a batch the first plan.

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
            axes = plot_history(self.history, ax=ax, **settings)  # type: ignore[misc]
            axes.set_ylabel("marginal error")
            return axes
        axes = new_axes(ax)
        plan = arrays.to_host(self.plan if self.plan.ndim == 2 else self.plan[0])
        # A sharp plan has one entry a row: the square root keeps the fainter ones visible.
        style: dict[str, Any] = {"cmap": "magma", "aspect": "auto", "interpolation": "nearest", **settings}
        image = axes.imshow(np.sqrt(plan), **style)
        axes.set(xlabel="target", ylabel="source", title="square root of the plan")
        axes.figure.colorbar(image, ax=axes)
        return axes


def potential_derivatives(
    xp: Namespace,
    potentials: Sequence[ArrayLike | None] | None,
    shape: tuple[int, int],
    dtype: Dtype,
    *,
    gauge: bool,
) -> tuple[Array, Array]:
    """Check the derivatives of a loss in f and g: of equal sums where these may exchange a constant."""
    given = (None, None) if potentials is None else potentials
    p, q = (
        xp.zeros((n,), dtype=dtype)
        if x is None
        else checks.array(f"potentials[{side}]", x, xp=xp, shape=(n,), dtype=dtype)
        for side, (x, n) in enumerate(zip(given, shape, strict=True))
    )
    sums = float(xp.sum(p)), float(xp.sum(q))
    if gauge and abs(sums[0] - sums[1]) > 1e-9 * float(xp.sum(xp.abs(p)) + xp.sum(xp.abs(q))):
        raise ValueError(
            f"potentials must be derivatives of equal sums, got {sums[0]:.10g} and {sums[1]:.10g}: "
            "a loss that depends on the constant exchanged by f and g has no derivative"
        )
    return p, q


def _of(x: Any, i: int) -> Any:
    return None if x is None else x[i, ...]
