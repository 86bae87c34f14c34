"""What the solvers of this column return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Unpack

from numsolve._core.arrays import to_host
from numsolve._core.plotting import new_axes, new_figure, plot_history
from numsolve._core.result import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

    from numsolve._core.typing import Array, LineStyle


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MonotoneResult(Result):
    """A zero u of F + G, and what it took to find it.

    Attributes
    ----------
    x : array
        The last iterate u, or the best one of a failed run.
    residual : float
        ``|u - J(u - gamma F(u))| / gamma`` with the resolvent J of ``gamma G``, which is ``|F(u)|``
        without G: the distance of zero from ``(F + G)(J(...))`` is at most ``(1 + gamma L)`` times that.
    nfev : int
        Calls of the operator; of single components, for a finite sum.
    epochs : float
        The same in evaluations of the full operator.
    nrestart : int
        Restarts.
    gamma : float
        The step, which is also the parameter of the residual.
    """

    x: Array
    nfev: int = 0
    epochs: float = 0.0
    nrestart: int = 0
    gamma: float = float("nan")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LPResult(Result):
    """A linear program's primal and dual solution.

    For a batch each of them has the batch in front: numbers are arrays, and the certificates a list.

    Attributes
    ----------
    x : array of shape (n,)
        The primal solution; always within its bounds.
    fun : float
        ``c'x``.
    y : array of shape (m,)
        Multipliers of the rows: the derivative of the optimal value with respect to the active bound of
        each row, at least 0 where `lc` is active and at most 0 where `uc` is.
    reduced_costs : array of shape (n,)
        ``c - A'y``, with zero where its sign has no bound to lean on: at least 0 where `lx` is active and at
        most 0 where `ux` is.
    primal_residual : float
        ``|A x - clip(A x, lc, uc)| / (s + |b|)`` in the 2-norm; b has the bounds that are crossed or have a
        multiplier, so that one which is far away loosens nothing; s is one, or the largest bound if that is
        smaller.
    dual_residual : float
        ``|c - A'y - reduced_costs| / (t + |c'|)``; c' has the costs of variables between their bounds, and
        of those where there is such a difference; t is one, or the largest cost if that is smaller.
    gap : float
        ``|p - d| / (s t + |p| + |d|)`` with the primal and the dual objective.
    residual : float
        The largest of these three, which is what `tol` bounds. If the largest cost, entry of A or bound
        is below 1e-100 or above 1e100, they are measured in units in which it is about one.
    nrestart : int
        Restarts.
    certificate : array or None
        If the program is infeasible, multipliers of shape (m,) whose combination of the rows contradicts
        the bounds; if it is unbounded, a direction of shape (n,) along which the objective falls forever
        from any point that meets the constraints. There may be none: that is not looked for then.
    """

    x: Array
    fun: float = float("nan")
    y: Array
    reduced_costs: Array
    primal_residual: float = float("nan")
    dual_residual: float = float("nan")
    gap: float = float("nan")
    nrestart: int = 0
    certificate: Any = None

    def plot(
        self,
        ax: Axes | None = None,
        *,
        against: Literal["iteration", "seconds"] = "iteration",
        **style: Unpack[LineStyle],
    ) -> Axes:
        """Draw the three residuals against the iterations.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        against : {"iteration", "seconds"}
            The horizontal axis.
        **style
            Colour, label and the like, for ``ax.plot``.

        Returns
        -------
        matplotlib.axes.Axes
        """
        axes = new_axes(ax)
        for column, label in {"primal_residual": "primal", "dual_residual": "dual", "gap": "gap"}.items():
            if self.history is not None and column in self.history:
                line: LineStyle = {"label": label, **style}
                plot_history(self.history, ax=axes, column=column, against=against, **line)
        if not axes.lines:
            return plot_history(self.history, ax=axes, against=against, **style)
        axes.set_ylabel("relative residual")
        axes.legend()
        return axes


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LinprogResult(LPResult):
    """The same with the fields of `scipy.optimize.linprog`; it can be read like a dictionary.

    Attributes
    ----------
    slack : array
        ``b_ub - A_ub x``.
    con : array
        ``b_eq - A_eq x``.
    ineqlin, eqlin, lower, upper : Marginals
        The residuals of the inequalities, equalities, lower and upper bounds, and their marginals: the
        derivative of the optimal value with respect to their right-hand sides.
    """

    slack: Array
    con: Array
    ineqlin: Marginals
    eqlin: Marginals
    lower: Marginals
    upper: Marginals

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def get(self, name: str, default: Any = None) -> Any:
        """The field of a name, or the default.

        Parameters
        ----------
        name : str
            The field.
        default : object
            What to give where there is none.

        Returns
        -------
        object
        """
        return self[name] if name in self.keys() else default

    def values(self) -> list[Any]:
        """The fields' values, in the order of `keys`.

        Returns
        -------
        list
        """
        return [self[name] for name in self]

    def items(self) -> list[tuple[str, Any]]:
        """The fields' names and values.

        Returns
        -------
        list of tuple
        """
        return [(name, self[name]) for name in self]


@dataclass(frozen=True, kw_only=True)
class Marginals:
    """One kind of constraint of `linprog`.

    Attributes
    ----------
    residual : array
        How far each constraint is from being active.
    marginals : array
        The derivative of the optimal value with respect to its right-hand side.
    """

    residual: Array
    marginals: Array

    def __getitem__(self, name: str) -> Array:
        if name not in {"residual", "marginals"}:
            raise KeyError(name)
        out: Array = getattr(self, name)
        return out


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class GameResult(Result):
    """A matrix game's value and its players' strategies.

    Attributes
    ----------
    x : array of shape (n,)
        The strategy of the player who chooses a column and pays.
    y : array of shape (m,)
        The strategy of the player who chooses a row and is paid.
    value : float
        ``y'A x``.
    gap : float
        ``max(A x) - min(A'y)``: what the two could still gain by deviating; the game's value lies between.
    residual : float
        The 2-norm of what a projected step along the payoffs changes, with payoffs divided by what is usually
        at stake; see `numsolve.monotone.solve_game`.
    nrestart : int
        Restarts.
    method : str
        The form that was solved, "lp" or "simplex-pdhg".
    """

    x: Array
    y: Array
    value: float = float("nan")
    gap: float = float("nan")
    nrestart: int = 0
    method: str = ""

    def plot(
        self,
        ax: Axes | None = None,
        *,
        what: Literal["strategies", "convergence"] | None = None,
        **style: Unpack[LineStyle],
    ) -> Axes:
        """Draw the strategies, or the convergence.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        what : {"strategies", "convergence"}, optional
            By default both, side by side in a new figure, or the strategies if `ax` is given.
        **style
            Colour, label and the like, for ``ax.vlines`` or ``ax.plot``.

        Returns
        -------
        matplotlib.axes.Axes
            The axes drawn on, the first if there are two.
        """
        if what is None and ax is None:
            axes = new_figure(1, 2, figsize=(10, 4))[1][0]
            self.plot(axes[0], what="strategies", **style)
            self.plot(axes[1], what="convergence")
            first: Axes = axes[0]
            return first
        if what == "convergence":
            return plot_history(self.history, ax=ax, **style)
        axes = new_axes(ax)
        x, y = to_host(self.x), to_host(self.y)
        up: dict[str, Any] = {"color": "C0", "label": "x, pays", **style}
        down: dict[str, Any] = {"color": "C1", "label": "y, is paid (downwards)", **style}
        axes.vlines(range(len(x)), 0, x, **up)
        axes.vlines(range(len(y)), -y, 0, **down)
        axes.axhline(0, color="0.3", linewidth=0.8)
        axes.set(xlabel="choice", ylabel="probability")
        axes.legend()
        return axes
