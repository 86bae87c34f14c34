r"""A solver of one linear system after the other, whose setting a tuner chooses.

Before each solve the tuner suggests an arm (a relaxation parameter, or any setting of any solver); after it
the tuner is told what the solve cost (M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar, "Learning to relax",
ICLR 2024). There is no training phase: the first systems are solved with middling parameters, the later ones
with nearly the best.
"""

from __future__ import annotations

import os
from dataclasses import replace
from threading import RLock
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

import numpy as np

from numsolve._core import checks
from numsolve._core.keyboard import Holding
from numsolve._core.plotting import new_figure
from numsolve._core.result import Result, Status, deliver
from numsolve.linear._system import canonical, relaxation

from ._automatic import Automatic
from ._clock import Clock
from ._outcome import CAPPED, succeeded, was_ended
from ._own import SOLVERS, USUAL, refuse_unknown, solve_canonical
from ._tuner import choices
from .context import automatic_context, context_of_canonical
from .history import SequenceHistory
from .smoothcb import SmoothCB
from .tsallis import TsallisINF
from .warm_start import WarmStart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from matplotlib.axes import Axes

    from numsolve._core.typing import Array, ArrayLike, Matrix, RandomState
    from numsolve.linear.result import LinearResult

    from ._settings import SolverSettings, Suggesting
    from .warm_start import Rule

#: A solve that breaks down counts as this many times the largest cost of a solve that succeeded.
FAILURE = 10.0


class TunedSolver:
    """A solver for one system after the other, that learns its parameter on the way.

    Parameters
    ----------
    solver : {"ssor_cg", "sor", "ssor", "auto"} or callable
        Whose parameter is tuned. "auto" chooses the method, too: relaxation, incomplete factors that serve
        several matrices, or a direct solve, also for nonsymmetric matrices and for several right-hand sides;
        `method` and `reason` of its results tell which and why. A callable is called as
        ``solver(A, b, x0, arm, **settings)`` and returns a `LinearResult`, or a pair ``(x, cost)``.
    tuner : {"auto"} or Tuner
        "auto" is `SmoothCB` with a context and `TsallisINF` without. Or anything with ``suggest(context)``
        and ``observe(cost)``.
    arms : sequence, optional
        The choices; 20 relaxation parameters from 1 to 1.95 by default. Those of "auto" are ``("cg",)``,
        ``("ssor_cg", omega)``, ``("ict_cg", droptol, refresh)``, ``("block_cg", droptol, refresh)``,
        ``("bicgstab", droptol, refresh)``, ``("direct", refresh)``: factors serve `refresh` matrices at most.
    context : {"auto"}, callable or None
        The number that the tuner knows before a solve, unless the call brings one: "auto" is
        `automatic_context`, a callable gets ``(A, b)``.
    cost : {"auto", "iterations", "time"} or callable
        What is to be small; seconds for the solver "auto", iterations otherwise by default. Iterations are
        reproducible, but of one price only among arms of one kind. Seconds are noisy; an outlier is replaced
        by what the last solves of its arm let expect, and a solver of this package is called once more for
        the first system in each process, since the first call compiles. A callable gets the result.
    warm_start : {"previous", "linear", "quadratic", "galerkin:k", "zero"}
        The start of each solve, from the solutions before.
    rng : None, int or Generator
        Randomness of the tuner that "auto" makes.
    **settings
        Handed to the solver in each call: rtol, atol, maxiter, time_limit (for each solve), ... One of this
        package gets ``stop="b"``, so that a system which the warm start solves costs nothing. Checkers know
        those of this package; `functools.partial` binds others to a solver of your own.

    Attributes
    ----------
    tuner : Tuner
        The tuner.
    history : SequenceHistory
        Arms, costs, contexts and times of all solves, except those that a callback or Ctrl-C ended: they
        teach the tuner nothing.

    Notes
    -----
    A solve that was cut off, by maxiter or time_limit, costs what it was given, and at least as much as the
    worst of the last solves that succeeded; one that broke down costs ten times that. Calls from several
    threads take turns.

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

    >>> import numpy as np
    >>> auto = linear.TunedSolver("auto", rtol=1e-8)
    >>> auto(linear.problems.laplacian(200, dim=1), np.ones(200)).method
    'LAPACK, by its bands'
    """

    def __init__(
        self,
        solver: Literal["ssor_cg", "sor", "ssor", "auto"] | Callable[..., Any] = "ssor_cg",
        *,
        tuner: Literal["auto"] | Suggesting = "auto",
        arms: Iterable[Any] | None = None,
        context: Literal["auto"] | Callable[[Any, Any], float] | None = "auto",
        cost: Literal["auto", "iterations", "time"] | Callable[[Any], float] = "auto",
        warm_start: Rule = "previous",
        rng: RandomState = None,
        **settings: Unpack[SolverSettings],
    ) -> None:
        if isinstance(solver, str):
            checks.choice("solver", solver, (*SOLVERS, "auto"))
            refuse_unknown(solver, dict(settings))
        else:
            checks.function("solver", solver)
        if not callable(context) and context is not None:
            checks.choice("context", context, ("auto",))
        if not callable(cost):
            checks.choice("cost", cost, ("auto", "iterations", "time"))
        self.context: Any = context
        self.solver = solver
        self.cost = ("time" if solver == "auto" else "iterations") if cost == "auto" else cost
        # A system that the warm start solves already costs nothing.
        stop = {"stop": "b"} if isinstance(solver, str) and solver != "auto" else {}
        self.settings: dict[str, Any] = {**stop, **settings}
        self.warm_start = WarmStart(warm_start)
        self._automatic = self._all_methods(tuner, arms, rng) if solver == "auto" else None
        self.tuner = self._automatic.tuner if self._automatic else self._tuner(tuner, arms, rng)
        self.history = SequenceHistory()
        self._clock = Clock()
        self._compiled_in = 0  # the process that has paid for the first call
        self._turn = RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_turn"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _turn=RLock())

    def _all_methods(self, tuner: Any, arms: Any, rng: Any) -> Automatic:
        if not (isinstance(tuner, str) and tuner == "auto"):
            raise ValueError("the solver 'auto' has a tuner of its own; give tuner='auto', or another solver")
        if self.cost != "time":
            raise ValueError(f"the solver 'auto' counts seconds: cost must be 'time', got {self.cost!r}")
        return Automatic(arms, rng)

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
        arms = choices(arms) if isinstance(tuner, str) else arms
        if isinstance(self.solver, str):
            for arm in arms:
                if not (arm == "adaptive" and self.solver == "sor"):
                    relaxation(arm)
        if not isinstance(tuner, str):
            return tuner
        if self.context is not None:
            return SmoothCB(arms, rng=rng)
        return TsallisINF(arms, baseline=0.0 if self.cost == "time" else 1.0, rng=rng)

    def __call__(
        self, A: Matrix, b: ArrayLike, x0: ArrayLike | None = None, *, context: float | None = None
    ) -> LinearResult:
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
        with self._turn:
            return self._call(A, b, x0, context)

    def _call(self, A: Matrix, b: ArrayLike, x0: ArrayLike | None, context: float | None) -> LinearResult:
        if self._automatic is not None:
            return self._call_automatic(self._automatic, A, b, x0, context)
        # The compiled SSOR-CG looks at the matrix once, with all that follows.
        canonical_A = canonical(A) if self.solver == "ssor_cg" and USUAL.issuperset(self.settings) else None
        if context is None and self.context is not None:
            if callable(self.context):
                context = self.context(A, b)
            else:
                context = automatic_context(A) if canonical_A is None else context_of_canonical(canonical_A)
        if context is not None:
            context = checks.real("context", context)
        checks.refuse_masked("b", b)
        if canonical_A is not None:
            A = canonical_A
        arm = self.tuner.suggest(context)
        start = self.warm_start.start(A, np.asarray(b)) if x0 is None and self.warm_start.depth else x0
        solve = self._solve if canonical_A is None else solve_canonical
        settings = {} if canonical_A is None else self.settings
        if self.cost == "time" and isinstance(self.solver, str) and self._compiled_in != os.getpid():
            solve(A, b, start, arm, **settings)
            self._compiled_in = os.getpid()
        began = perf_counter()
        result: Any = solve(A, b, start, arm, **settings)
        seconds = perf_counter() - began
        with Holding() as ctrl_c:  # so that nothing is learned by half
            self._learn(result, arm, context, seconds)
        if ctrl_c.pressed and not isinstance(result, Result):
            raise KeyboardInterrupt
        answer: LinearResult = replace(result, status=Status.INTERRUPTED) if ctrl_c.pressed else result
        return answer

    def _call_automatic(
        self, automatic: Automatic, A: Matrix, b: ArrayLike, x0: ArrayLike | None, context: float | None
    ) -> LinearResult:
        if context is None and callable(self.context):
            context = self.context(A, b)
        began = perf_counter()
        result, cost, context = automatic(A, b, x0, self.warm_start, context, **self.settings)
        seconds, tuner, index = perf_counter() - began, self.tuner, self.tuner.index
        with Holding() as ctrl_c:  # so that nothing is learned by half
            good = result.status is Status.CONVERGED
            if self.warm_start.depth and (good or np.isfinite(result.x).all()):
                self.warm_start.remember(result.x.copy())
            if index is not None and (good or not was_ended(result)):
                paid = seconds if cost is None else cost
                if cost is not None or tuner.knows:
                    tuner.observe(paid)
                solved = good or succeeded(result)
                self.history.append(tuner.arms[index], index, paid, context, seconds, solved)
            tuner.index = None
        if ctrl_c.pressed:
            result = replace(result, status=Status.INTERRUPTED)
        if not good:
            deliver(result)
        return result

    def _learn(self, result: Any, arm: Any, context: float | None, seconds: float) -> None:
        """Take note of a solve."""
        index = getattr(self.tuner, "index", None)
        if self.warm_start.depth:
            self.warm_start.remember(np.array(result[0] if isinstance(result, tuple) else result.x))
        if not was_ended(result):
            cost = self._cost(result, seconds, arm)
            self.tuner.observe(cost)
            known = float("nan") if context is None else float(context)
            self.history.append(arm, -1 if index is None else index, cost, known, seconds, succeeded(result))

    def _solve(self, A: Matrix, b: ArrayLike, start: ArrayLike | None, arm: Any) -> Any:
        if isinstance(self.solver, str):
            return SOLVERS[self.solver](A, b, start, omega=arm, **self.settings)
        return self.solver(A, b, start, arm, **self.settings)

    def _cost(self, result: Any, seconds: float, arm: Any) -> float:
        if callable(self.cost):
            cost = float(self.cost(result))
        else:
            cost = float(result[1] if isinstance(result, tuple) else _total(result.nit))
            if self.cost == "time":
                cost = self._clock.trimmed(repr(arm), seconds, cost)
        if succeeded(result):
            return cost
        # A solve that fails must not look cheap; but no failure makes the next one dearer.
        done = zip(self.history.costs[-1000:], self.history.solved[-1000:], strict=True)
        worst = max((c for c, solved in done if solved), default=0.0)
        capped = np.isin(result.status, list(CAPPED)).any() if hasattr(result, "status") else False
        return max(cost, worst if capped else FAILURE * worst)

    def regret(self, table: ArrayLike) -> Array:
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
        costs: Array = checks.array("table", table, shape=(len(self.history), None), empty=False)
        regret: Array = np.cumsum(np.array(self.history.costs) - costs.min(axis=1))
        return regret

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

    def plot(self, table: ArrayLike | None = None) -> Axes:
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
        costs: Any = None
        if table is not None:
            costs = checks.array("table", table, shape=(len(h), len(arms)), empty=False)
            above.plot(times, places[costs.argmin(axis=1)], ".", color="0.75", markersize=5, label="best arm")
        above.plot(times, picked, ".", color="C0", markersize=2.5, label="arm picked")
        if not numeric:
            above.set_yticks(places, [str(arm) for arm in arms])
        above.set_ylabel("arm")
        below.plot(times, h.costs, ".", color="C0", markersize=2.5, label="cost paid")
        if costs is not None:
            below.plot(times, costs.min(axis=1), color="C1", linewidth=1, label="floor")
        below.set(xlabel="system", ylabel="seconds" if self.cost == "time" else "cost")
        for axes in (above, below):
            axes.grid(visible=True, alpha=0.3)
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=3)
        first: Axes = above
        return first

    def __repr__(self) -> str:
        name = self.solver if isinstance(self.solver, str) else getattr(self.solver, "__name__", "solver")
        return f"TunedSolver({name}, {self.tuner!r}, total cost {sum(self.history.costs):.6g})"


def _total(steps: Any) -> Any:
    return steps if type(steps) is int else np.sum(steps)
