r"""Sequences of linear systems, solved by a solver that is tuned on the way.

Before each solve a tuner suggests an arm (a relaxation parameter, or any setting of any solver); after it
the tuner is told what the solve cost (M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar, "Learning to relax",
ICLR 2024). There is no training phase: the first systems are solved with middling parameters, the later ones
with nearly the best.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from types import GeneratorType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from numsolve._core import checks
from numsolve._core.plotting import new_figure
from numsolve._core.result import Status

from ._clock import Clock
from ._system import relaxation
from .context import automatic_context
from .smoothcb import SmoothCB
from .sor import sor
from .ssor import ssor
from .ssor_cg import ssor_cg
from .tsallis import TsallisINF
from .warm_start import WarmStart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from matplotlib.axes import Axes

    from .result import LinearResult

SOLVERS: dict[str, Callable[..., Any]] = {"sor": sor, "ssor": ssor, "ssor_cg": ssor_cg}
#: A solve that fails counts as this many times the largest cost so far.
FAILURE = 10.0


@dataclass
class SequenceHistory:
    """What was chosen and paid, one entry for each system.

    Parameters
    ----------
    arms : list
        The arms.
    indices : list of int
        Their places among the arms.
    costs : list of float
        What the tuner was told.
    contexts : list of float
        What the tuner knew before the solve; nan without a context.
    seconds : list of float
        Time of each solve.
    """

    arms: list[Any] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    contexts: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.arms)

    def __repr__(self) -> str:
        return f"SequenceHistory({len(self)} systems, total cost {sum(self.costs):.6g})"


class TunedSolver:
    """A solver for one system after the other, that learns its parameter on the way.

    Parameters
    ----------
    solver : {"ssor_cg", "sor", "ssor"} or callable
        Whose parameter is tuned. A callable is called as ``solver(A, b, x0, arm, **settings)`` and returns a
        `LinearResult`, or a pair ``(x, cost)``.
    tuner : {"auto"} or Tuner
        "auto" is `SmoothCB` with a context and `TsallisINF` without. Or anything with ``suggest(context)``
        and ``observe(cost)``.
    arms : sequence, optional
        The choices; 20 relaxation parameters from 1 to 1.95 by default.
    context : {"auto"}, callable or None
        The number that the tuner knows before a solve, unless the call brings one: "auto" is
        `automatic_context`, a callable gets ``(A, b)``.
    cost : {"iterations", "time"} or callable
        What is to be small. Iterations are reproducible, but of one price only among arms of one kind.
        Seconds are noisy; an outlier is replaced by what the last solves of its arm let expect, and a solver
        of this package is called once more for the first system, since the first call compiles. A callable
        gets the result.
    warm_start : {"previous", "linear", "quadratic", "galerkin:k", "zero"}
        The start of each solve, from the solutions before.
    rng : None, int or Generator
        Randomness of the tuner that "auto" makes.
    **settings
        Handed to the solver in each call: rtol, atol, maxiter, ...

    Attributes
    ----------
    tuner : Tuner
        The tuner.
    history : SequenceHistory
        Arms, costs, contexts and times of all solves.

    See Also
    --------
    numsolve.linear.solve_sequence : The loop over the systems.

    Examples
    --------
    >>> from numsolve import linear
    >>> solver = linear.TunedSolver("sor", rtol=1e-8, warm_start="zero", rng=0)
    >>> for A, b, shift in linear.problems.shifted_laplacians(500, rng=0):
    ...     result = solver(A, b, context=shift)
    >>> sum(solver.history.costs[:100]) > 1.2 * sum(solver.history.costs[-100:])
    True
    """

    def __init__(
        self,
        solver: str | Callable[..., Any] = "ssor_cg",
        *,
        tuner: Any = "auto",
        arms: Sequence[Any] | None = None,
        context: str | Callable[[Any, Any], float] | None = "auto",
        cost: str | Callable[[Any], float] = "iterations",
        warm_start: str = "previous",
        rng: Any = None,
        **settings: Any,
    ) -> None:
        if isinstance(solver, str):
            checks.choice("solver", solver, tuple(SOLVERS))
        if not callable(context) and context is not None:
            checks.choice("context", context, ("auto",))
        if not callable(cost):
            checks.choice("cost", cost, ("iterations", "time"))
        self.context: Any = context
        self.solver, self.cost, self.settings = solver, cost, settings
        self.warm_start = WarmStart(warm_start)
        self.tuner = self._tuner(tuner, arms, rng)
        self.history = SequenceHistory()
        self._clock = Clock()

    def _tuner(self, tuner: Any, arms: Any, rng: Any) -> Any:
        if arms is not None and not isinstance(tuner, str):
            raise ValueError("give arms or a tuner that has its own, not both")
        if not isinstance(tuner, str):
            for name in ("suggest", "observe"):
                checks.function(f"tuner.{name}", getattr(tuner, name, None))
            arms = getattr(tuner, "arms", ())
        else:
            checks.choice("tuner", tuner, ("auto",))
        if arms is None:
            arms = np.linspace(1.0, 1.95, 20)
            if callable(self.solver):
                raise ValueError("arms must be given for a solver of your own")
        if isinstance(self.solver, str):
            for arm in arms:
                if not (arm == "adaptive" and self.solver == "sor"):
                    relaxation(arm)
        if not isinstance(tuner, str):
            return tuner
        if self.context is not None:
            return SmoothCB(arms, rng=rng)
        return TsallisINF(arms, baseline=0.0 if self.cost == "time" else 1.0, rng=rng)

    def __call__(self, A: Any, b: Any, x0: Any = None, *, context: float | None = None) -> Any:
        """Solve the next system.

        Parameters
        ----------
        A : array or sparse matrix of shape (n, n)
            The matrix.
        b : array of shape (n,)
            Right-hand side.
        x0 : array of shape (n,), optional
            Where to start, in place of the warm start.
        context : float, optional
            What is known of the system, in place of the solver's own context.

        Returns
        -------
        LinearResult
            Or what the solver of the caller returns.
        """
        if context is None and self.context is not None:
            context = self.context(A, b) if callable(self.context) else automatic_context(A)
        arm = self.tuner.suggest(context)
        start = self.warm_start.start(A, b) if x0 is None else x0
        if self.cost == "time" and isinstance(self.solver, str) and not self.history.arms:
            self._solve(A, b, start, arm)
        began = perf_counter()
        result = self._solve(A, b, start, arm)
        seconds = perf_counter() - began
        cost = self._cost(result, seconds, repr(arm))
        index = getattr(self.tuner, "index", None)
        self.tuner.observe(cost)
        if self.warm_start.depth:
            self.warm_start.remember(np.array(result[0] if isinstance(result, tuple) else result.x))
        h = self.history
        h.arms.append(arm)
        h.indices.append(-1 if index is None else index)
        h.costs.append(cost)
        h.contexts.append(float("nan") if context is None else float(context))
        h.seconds.append(seconds)
        return result

    def _solve(self, A: Any, b: Any, start: Any, arm: Any) -> Any:
        if isinstance(self.solver, str):
            return SOLVERS[self.solver](A, b, start, omega=arm, **self.settings)
        return self.solver(A, b, start, arm, **self.settings)

    def _cost(self, result: Any, seconds: float, arm: str) -> float:
        if callable(self.cost):
            cost = float(self.cost(result))
        else:
            cost = float(result[1] if isinstance(result, tuple) else np.sum(result.nit))
            if self.cost == "time":
                cost = self._clock.trimmed(arm, seconds, cost)
        if not np.all(getattr(result, "success", True)):
            # A solve that breaks down at once must not look cheap.
            cost = max([cost, *(FAILURE * c for c in self.history.costs[-1000:])])
        return cost

    def regret(self, table: Any) -> Any:
        """What was paid beyond the best arm for each system, added up.

        Parameters
        ----------
        table : array of shape (T, d)
            The cost of each arm for each of the systems solved so far.

        Returns
        -------
        array of shape (T,)
            Cumulative; the last entry is the total.
        """
        table = checks.array("table", table, shape=(len(self.history), None), empty=False)
        return np.cumsum(np.array(self.history.costs) - table.min(axis=1))

    def state_dict(self) -> dict[str, Any]:
        """What was learned: the state of the tuner, the history, and the solutions for the warm start.

        Returns
        -------
        dict
            A copy.
        """
        history = {name: list(values) for name, values in vars(self.history).items()}
        solutions = [x.copy() for x in self.warm_start.solutions]
        return {"tuner": self.tuner.state_dict(), "history": history, "solutions": solutions}

    def load_state_dict(self, state: dict[str, Any]) -> Self:
        """Go on where another solver with the same settings was.

        Parameters
        ----------
        state : dict
            From `state_dict`.

        Returns
        -------
        TunedSolver
            Itself.
        """
        self.tuner.load_state_dict(state["tuner"])
        self.history = SequenceHistory(**{name: list(values) for name, values in state["history"].items()})
        self.warm_start.solutions.clear()
        self.warm_start.solutions.extend(x.copy() for x in state["solutions"])
        return self

    def plot(self, table: Any = None) -> Axes:
        """Draw the arm picked and the cost paid over time.

        Parameters
        ----------
        table : array of shape (T, d), optional
            The cost of each arm for each system: then the best arm and its cost, the floor, are drawn, too.

        Returns
        -------
        matplotlib.axes.Axes
            The upper one of the two axes.
        """
        h = self.history
        arms = getattr(self.tuner, "arms", tuple(dict.fromkeys(h.arms)))
        numeric = all(isinstance(arm, int | float) for arm in arms)
        places = np.asarray(arms, dtype=float) if numeric else np.arange(len(arms))
        picked = places[h.indices] if numeric else np.array([arms.index(arm) for arm in h.arms])
        _, ((above,), (below,)) = new_figure(2, 1, figsize=(8, 5.5), sharex=True)
        times = np.arange(len(h))
        if table is not None:
            table = checks.array("table", table, shape=(len(h), len(arms)), empty=False)
            above.plot(times, places[table.argmin(axis=1)], ".", color="0.75", markersize=5, label="best arm")
        above.plot(times, picked, ".", color="C0", markersize=2.5, label="arm picked")
        if not numeric:
            above.set_yticks(places, [str(arm) for arm in arms])
        above.set_ylabel("arm")
        below.plot(times, h.costs, ".", color="C0", markersize=2.5, label="cost paid")
        if table is not None:
            below.plot(times, table.min(axis=1), color="C1", linewidth=1, label="floor")
        below.set(xlabel="system", ylabel="seconds" if self.cost == "time" else "cost")
        for axes in (above, below):
            axes.grid(visible=True, alpha=0.3)
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=3)
        first: Axes = above
        return first

    def __repr__(self) -> str:
        name = self.solver if isinstance(self.solver, str) else getattr(self.solver, "__name__", "solver")
        return f"TunedSolver({name}, {self.tuner!r}, total cost {sum(self.history.costs):.6g})"


def solve_sequence(
    systems: Iterable[tuple[Any, ...]],
    solver: str | Callable[..., Any] | TunedSolver = "ssor_cg",
    *,
    progress: bool = False,
    **settings: Any,
) -> Iterator[LinearResult]:
    """Solve systems one after the other, tuning the solver on the way.

    Parameters
    ----------
    systems : iterable of tuple
        ``(A, b)`` or ``(A, b, context)``. A generator is sent each solution, for a system that depends on
        the last one: ``x = yield A, b``.
    solver : TunedSolver, str or callable
        A solver to go on with, or what makes one.
    progress : bool
        Show a progress bar.
    **settings
        Those of `TunedSolver`, if it is to be made.

    Returns
    -------
    iterator of LinearResult
        The solution of each system, when it is asked for.

    Examples
    --------
    >>> from numsolve import linear
    >>> solver = linear.TunedSolver("ssor_cg", rtol=1e-8, rng=0)
    >>> systems = linear.problems.heat_equation(25, n_steps=100)
    >>> all(result.success for result in linear.solve_sequence(systems, solver))
    True
    >>> solver.history
    SequenceHistory(100 systems, total cost ...)
    """
    tuned = solver if isinstance(solver, TunedSolver) else TunedSolver(solver, **settings)
    if tuned is solver and settings:
        raise TypeError(f"a TunedSolver has its settings already, got {', '.join(sorted(settings))} again")
    return _solve_all(systems, tuned, progress=progress)


def _solve_all(systems: Iterable[Any], solver: TunedSolver, *, progress: bool) -> Iterator[LinearResult]:
    from tqdm.auto import tqdm

    waiting = iter(systems)
    feeds = isinstance(waiting, GeneratorType)
    x = None
    with tqdm(disable=not progress, unit="system") as bar:
        while True:
            try:
                A, b, *rest = waiting.send(x) if feeds else next(waiting)  # type: ignore[attr-defined]
            except StopIteration:
                return
            result = solver(A, b, context=rest[0] if rest else None)
            x = result[0] if isinstance(result, tuple) else result.x
            bar.update()
            yield result
            if getattr(result, "status", None) is Status.INTERRUPTED:
                return
