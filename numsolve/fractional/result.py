"""What the solvers of this column return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack, cast

import numpy as np
from scipy.interpolate import BSpline

from numsolve._core import checks
from numsolve._core.plotting import new_axes, plot_history
from numsolve._core.result import Result
from numsolve._core.typing import LineStyle

from ._estimate import Later
from .jacobi import JacobiSolution

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from numsolve._core.typing import Array

    Function: TypeAlias = Callable[..., Any]

#: Settings that a picture of the plane has.
OF_IMAGES = ("cmap", "alpha", "zorder")
#: Curves that are drawn of a family: more would be a band.
MOST_CURVES = 8


class Style(LineStyle, total=False):
    """What a picture of a solution takes."""

    cmap: str


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RieszResult(Result):
    """A solution that can be evaluated anywhere: ``result(x)``; zero or `exterior` outside the interval.

    This is what `solve_riesz_bvp` returns; the other solvers return kinds of it.

    Attributes
    ----------
    x : array
        Coefficients of the B-splines, or of the Jacobi modes; those of splines can be handed back as `x0`.
    points : array
        Where the equation was collocated.
    sol : callable
        The solution: a `scipy.interpolate.BSpline` (nan outside the interval), or a `JacobiSolution`.
    method : str
        What was done: "spline", "spectral", "dense", ...
    reason : str
        Why, if the method was chosen by the solver.
    residual : float
        Norm of the residual of the discrete equations at `x`.
    error_estimate : float
        Estimate of the largest error of the solution relative to its largest value, from solutions with
        fewer unknowns, or with more where there are few; inf if those fail, nan if this solve did. For
        splines it is computed when it is first asked for, which costs as much as the solution itself where it
        is small, and a tenth where it is large.
    interval : tuple
        Where the solution lives.
    """

    x: Array
    points: Array = field(default_factory=lambda: np.empty(0))
    sol: Function = None  # type: ignore[assignment]  # each solver gives one
    method: str = ""
    reason: str = ""
    error_estimate: Later = Later()  # noqa: RUF009  # a descriptor, one for the class
    interval: tuple[float, float] = (0.0, 1.0)

    def __getstate__(self) -> dict[str, Any]:
        # The estimate may wait as a function, which does not pickle.
        return {**self.__dict__, "error_estimate": self.error_estimate}

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        """Evaluate the solution.

        Parameters
        ----------
        x : array_like
            Points, of any shape.

        Returns
        -------
        array of the shape of the points
        """
        return zero_outside(self.sol, _places("x", x))

    def plot(
        self,
        ax: Axes | None = None,
        *,
        what: Literal["solution", "convergence"] = "solution",
        points: int = 500,
        **style: Unpack[Style],
    ) -> Axes:
        """Draw the solution, or the convergence of the iteration.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        what : {"solution", "convergence"}
            A family is drawn as some of its curves, a solution in the plane as an image.
        points : int
            Points of a curve.
        **style
            Colour, line width and the like, for ``ax.plot``; for an image `cmap`, `alpha` and `zorder`.

        Returns
        -------
        matplotlib.axes.Axes
        """
        checks.choice("what", what, ("solution", "convergence"))
        points = checks.integer("points", points, low=2)
        if what == "convergence":
            return plot_history(self.history, ax=ax, **_of_lines(style))
        axes = new_axes(ax)
        self._draw(axes, points, style)
        return axes

    def _draw(self, axes: Axes, points: int, style: Style) -> None:
        """Draw the solution."""
        x = _abscissae(self.interval, points)
        axes.plot(x, self(x), **_of_lines(style))
        _name_axes(axes)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RieszFamilyResult(RieszResult):
    """Several functions on one interval: ``result(x)`` has a row for each.

    Attributes
    ----------
    sol : tuple of callable
        The functions.
    """

    sol: tuple[Function, ...] = ()  # type: ignore[assignment]  # several in place of one

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        """Evaluate the functions.

        Parameters
        ----------
        x : array_like
            Points, of any shape.

        Returns
        -------
        array
            A row for each function, of the shape of the points.
        """
        places = _places("x", x)
        return family(self.sol, places) if self.sol else np.empty((0, *places.shape))

    def _labels(self) -> tuple[list[str], str | None]:
        """What each function is called in a picture, and the title over these words."""
        return [f"{k}" for k in range(len(self.sol))], None

    def _draw(self, axes: Axes, points: int, style: Style) -> None:
        if not self.sol:
            raise ValueError("there is nothing to draw: the run was stopped before the first time wanted")
        x, (labels, title), count = _abscissae(self.interval, points), self._labels(), len(self.sol)
        values = self(x)
        for k in np.unique(np.linspace(0, count - 1, min(count, MOST_CURVES)).round().astype(int)):
            axes.plot(x, values[k], **{"label": labels[k], **_of_lines(style)})
        axes.legend(title=title)
        _name_axes(axes)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RieszBatchResult(RieszFamilyResult):
    """Solutions for several right-hand sides, or orders: ``result(x)`` has a row for each of k.

    Attributes
    ----------
    x : array of shape (K, k)
        The coefficients of each solution, a column each; where they have different numbers of Jacobi modes,
        zeros follow.
    sol : tuple of callable
        The solutions.
    status, nit, residual, error_estimate : array of shape (k,)
        Those of each solution.
    """

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        """Evaluate the solutions.

        Parameters
        ----------
        x : array_like
            Points, of any shape.

        Returns
        -------
        array of shape (k, ...)
        """
        places, first = _places("x", x), cast("Any", self.sol[0])
        if not all(isinstance(sol, BSpline) for sol in self.sol):
            return family(self.sol, places)
        together = BSpline(first.t, np.pad(self.x, ((1, 1), (0, 0))), first.k, extrapolate=False)
        return np.stack(
            [zero_outside(lambda _, v=v: v, places) for v in np.moveaxis(together(places), -1, 0)]
        )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RieszEigResult(RieszFamilyResult):
    """Eigenvalues and eigenfunctions: what `solve_riesz_eig` returns.

    Attributes
    ----------
    x : array of shape (k,)
        The eigenvalues, ascending.
    sol : tuple of callable
        The eigenfunctions, of unit norm in L2.
    residual : float
        The largest norm of a residual of the matrix eigenproblem.
    error_estimate : float
        Estimate of the largest relative error of the eigenvalues.
    """

    @property
    def functions(self) -> tuple[Function, ...]:
        """The eigenfunctions, another name of `sol`."""
        return self.sol

    def _labels(self) -> tuple[list[str], str | None]:
        return [f"{w:.4g}" for w in self.x], "eigenvalue"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FractionalDiffusionResult(RieszFamilyResult):
    """A solution in time: what `solve_fractional_diffusion` returns.

    Attributes
    ----------
    t : array of shape (T,)
        The times wanted that were reached.
    x : array
        Coefficients at the end, or where the run was stopped.
    sol : tuple of callable
        The solution at the times `t`.
    coefficients : array of shape (T, K)
        The coefficients at these times, one row each.
    nit : int
        Steps in time.
    ninner : int
        Iterations of GMRES in all steps together.
    residual : float
        Norm of the residual of the equations of the last step.
    """

    t: Array = field(default_factory=lambda: np.empty(0))
    coefficients: Array = field(default_factory=lambda: np.empty((0, 0)))
    ninner: int = 0

    def _labels(self) -> tuple[list[str], str | None]:
        return [f"t = {t:.3g}" for t in self.t], None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FirstPassageResult(RieszFamilyResult):
    """A quantity of the time of exit, as a function of where a flight starts.

    Attributes
    ----------
    t : array of shape (T,), or None
        The times of a probability or of a density; None for moments.
    sol : callable, or tuple of callable
        One function for one time that was given as a number; else one for each time or moment.
    coefficients : array
        The coefficients of the Jacobi modes, one row for each time or moment.
    x : array
        The last of these rows.
    error_estimate : float
        Estimate of the largest error relative to the largest value.
    """

    sol: Function | tuple[Function, ...] = ()  # type: ignore[assignment]  # one for one time
    t: Array | None = None
    coefficients: Array = field(default_factory=lambda: np.empty((0, 0)))

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        """Evaluate as a function of the start.

        Parameters
        ----------
        x : array_like
            Points, of any shape.

        Returns
        -------
        array
            Of the shape of the points for one time that is a number; else a row for each time or moment.
        """
        if isinstance(self.sol, tuple):
            return super().__call__(x)
        return zero_outside(self.sol, _places("x", x))

    def _labels(self) -> tuple[list[str], str | None]:
        if self.t is not None:
            return [f"t = {t:.3g}" for t in self.t], None
        return [f"{k + 1}" for k in range(len(self.coefficients))], "moment"

    def _draw(self, axes: Axes, points: int, style: Style) -> None:
        if isinstance(self.sol, tuple):
            super()._draw(axes, points, style)
        else:
            RieszResult._draw(self, axes, points, style)
        axes.set(xlabel="x, the start", ylabel="")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RieszPlaneResult(RieszResult):
    """A solution in the plane: what `solve_riesz_2d` returns; ``result(x, y)`` is its value.

    Attributes
    ----------
    x : array of shape (Kx, Ky)
        Coefficients of the tensor products of B-splines; they can be handed back as `x0`.
    points : pair of array
        The collocation points of each direction.
    sol : TensorSpline
        The solution, nan outside the rectangle.
    interval : pair of tuple
        The sides of the rectangle.
    """

    points: tuple[Array, Array] = field(  # type: ignore[assignment]  # of each direction
        default_factory=lambda: (np.empty(0), np.empty(0))
    )
    interval: tuple[tuple[float, float], tuple[float, float]] = (  # type: ignore[assignment]  # of each
        (0.0, 1.0),
        (0.0, 1.0),
    )

    def __call__(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:  # type: ignore[override]
        """Evaluate the solution.

        Parameters
        ----------
        x, y : array_like
            Points, of shapes that can be broadcast.

        Returns
        -------
        array of the shape of the points
        """
        return zero_outside(self.sol, _places("x", x), _places("y", y))

    def _draw(self, axes: Axes, points: int, style: Style) -> None:
        (a, b), (c, d) = self.interval
        x, y = np.linspace(a, b, points // 4), np.linspace(c, d, points // 4)
        values = self(*np.meshgrid(x, y, indexing="ij"))
        of_image: Any = {key: value for key, value in style.items() if key in OF_IMAGES}
        image = axes.pcolormesh(x, y, values.T, shading="gouraud", **of_image)
        axes.figure.colorbar(image, ax=axes, label="u")
        axes.set(xlabel="x", ylabel="y", aspect="equal")


def _places(name: str, x: ArrayLike) -> NDArray[np.float64]:
    """Points of any shape, infinite and missing ones included."""
    return np.asarray(checks.array(name, x, dtype=np.float64, check_finite=False))


def _abscissae(interval: tuple[float, float], points: int) -> NDArray[np.float64]:
    """Points that crowd at the ends, where solutions behave like a root of the distance."""
    a, b = interval
    return np.asarray((a + b) / 2 - (b - a) / 2 * np.cos(np.linspace(0, np.pi, points)))


def _of_lines(style: Style) -> Any:
    return {key: value for key, value in style.items() if key != "cmap"}


def _name_axes(axes: Axes) -> None:
    axes.set(xlabel="x", ylabel="u")
    axes.grid(visible=True, alpha=0.3)


def family(sols: tuple[Any, ...], *x: Any) -> NDArray[np.float64]:
    """Values of several solutions, a row for each; those in the same modes are evaluated together."""
    last = sols[-1]
    together = isinstance(last, JacobiSolution) and all(last.same_modes(sol) for sol in sols[1:])
    if not together or len(sols) < 2:
        return np.stack([zero_outside(sol, *x) for sol in sols])
    return np.concatenate([zero_outside(sols[0], *x)[None], last.along(sols[1:], *x)])


def zero_outside(sol: Any, *x: Any) -> NDArray[np.float64]:
    """Values of a solution; where it has none, it is zero."""
    values = np.asarray(sol(*x))
    known = ~np.isnan(sum(np.where(np.isinf(v), 0.0, v) for v in x))
    return np.where(np.isnan(values) & known, 0.0, values)
