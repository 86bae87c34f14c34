"""What the solvers of this column return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack

import numpy as np

from numsolve._core import arrays, checks
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

    #: One function, or several: of times, or eigenfunctions.
    Solution: TypeAlias = Callable[..., Any] | tuple[Callable[..., Any], ...]

#: Settings that a picture of the plane has.
OF_IMAGES = ("cmap", "alpha", "zorder")
#: Curves that are drawn of a family: more would be a band.
MOST_CURVES = 8


class Style(LineStyle, total=False):
    """What a picture of a solution takes."""

    cmap: str


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RieszResult(Result):
    """A solution that can be evaluated anywhere: ``result(x)`` is its value, zero outside the interval.

    Attributes
    ----------
    x : array
        Coefficients of the B-splines, or of the Jacobi modes; they can be handed back as `x0`. For
        `solve_riesz_eig`, the eigenvalues; for `solve_fractional_diffusion`, the coefficients at the end.
    points : array
        Where the equation was collocated.
    sol : callable
        The solution: a `scipy.interpolate.BSpline` (nan outside the interval), a `JacobiSolution`, or a
        `TensorSpline`; a tuple of them for `solve_fractional_diffusion` and `solve_riesz_eig`.
    method : str
        What was done: "spline", "spectral", "dense", ...
    reason : str
        Why, if the method was chosen by the solver.
    residual : float
        Norm of the residual of the discrete equations at `x`.
    error_estimate : float
        Estimate of the largest error of the solution relative to its largest value, from solutions with
        fewer unknowns; nan if there is none. For splines it is computed when it is first asked for, which
        costs as much as the solution itself where it is small, and a tenth where it is large.
    t : array, or None
        For `solve_fractional_diffusion`, the times of the tuple `sol`.
    coefficients : array, or None
        For `solve_fractional_diffusion`, the coefficients at these times, one row each.
    ninner : int
        For `solve_fractional_diffusion`, iterations of GMRES in all steps together.
    interval : tuple
        Where the solution lives; a pair of intervals in two dimensions.
    """

    x: Array
    points: Array = field(default_factory=lambda: np.empty(0))
    sol: Solution = None  # type: ignore[assignment]  # each solver gives one
    method: str = ""
    reason: str = ""
    error_estimate: Later = Later()  # noqa: RUF009  # a descriptor, one for the class
    t: Array | None = None
    coefficients: Array | None = None
    ninner: int = 0
    interval: tuple[float, float] = (0.0, 1.0)

    def __getstate__(self) -> dict[str, Any]:
        # The estimate may wait as a function, which does not pickle.
        return {**self.__dict__, "error_estimate": self.error_estimate}

    @property
    def functions(self) -> Any:
        """For `solve_riesz_eig`, the eigenfunctions; the same as `sol`."""
        return self.sol

    def __call__(self, *x: ArrayLike) -> NDArray[np.float64]:
        """Evaluate the solution.

        Parameters
        ----------
        *x : array_like
            Points, of any shape; two arrays for a solution in the plane.

        Returns
        -------
        array
            Of the shape of the points; a family of solutions (times, eigenfunctions) has one row for each.
        """
        points = [checks.array("x", v, dtype=np.float64, check_finite=False) for v in x]
        if isinstance(self.sol, tuple):
            if not self.sol:  # stopped before the first of the times wanted
                return np.empty((0, *np.broadcast_shapes(*(np.shape(v) for v in points))))
            return family(self.sol, *points)
        return zero_outside(self.sol, *points)

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
        of_lines: Any = {key: value for key, value in style.items() if key != "cmap"}
        if what == "convergence":
            return plot_history(self.history, ax=ax, **of_lines)
        axes = new_axes(ax)
        if np.ndim(self.interval) == 2:
            (a, b), (c, d) = np.asarray(self.interval)
            x, y = np.linspace(a, b, points // 4), np.linspace(c, d, points // 4)
            values = self(*np.meshgrid(x, y, indexing="ij"))
            of_image: Any = {key: value for key, value in style.items() if key in OF_IMAGES}
            image = axes.pcolormesh(x, y, values.T, shading="gouraud", **of_image)
            axes.figure.colorbar(image, ax=axes, label="u")
            axes.set(xlabel="x", ylabel="y", aspect="equal")
            return axes
        a, b = self.interval
        # Points crowd at the ends, where solutions behave like a root of the distance.
        x = (a + b) / 2 - (b - a) / 2 * np.cos(np.linspace(0, np.pi, points))
        if not isinstance(self.sol, tuple):
            axes.plot(x, self(x), **of_lines)
        else:
            values = self(x)
            labels = [f"t = {t:.3g}" for t in self.t] if self.t is not None else None
            labels = labels or [f"{w:.4g}" for w in self.x]
            count = len(values)
            if count == 0:
                raise ValueError("there is nothing to draw: the run was stopped before the first time wanted")
            for k in np.unique(np.linspace(0, count - 1, min(count, MOST_CURVES)).round().astype(int)):
                axes.plot(x, values[k], **{"label": labels[k], **of_lines})
            axes.legend(title=None if self.t is not None else "eigenvalue")
        axes.set(xlabel="x", ylabel="u")
        axes.grid(visible=True, alpha=0.3)
        return axes


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


def host(x: Any) -> NDArray[np.float64]:
    """Coefficients in NumPy."""
    return np.asarray(arrays.to_host(x), dtype=np.float64)
