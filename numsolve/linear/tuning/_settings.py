"""The settings of tuned solvers, for type checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numsolve._core.typing import Callback, RandomState
    from numsolve.linear.sweeps import SweepPlan

    from .warm_start import Rule


class Suggesting(Protocol):
    """What a tuner has to have."""

    def suggest(self, context: float | None = None) -> Any:
        """Choose an arm."""

    def observe(self, cost: float) -> object:
        """Learn what it cost."""


class _Settings(TypedDict, total=False):
    """What is handed to `sor`, `ssor` or `ssor_cg` in each call, except their progress."""

    rtol: float
    atol: float
    maxiter: int | None
    stop: Literal["b", "r0"]
    sweep: Literal["forward", "backward", "symmetric"]
    method: Literal["auto", "eisenstat", "standard"]
    order: Literal["forward", "backward"]
    plan: SweepPlan | None
    check: Literal["symmetric"] | None
    check_finite: bool
    callback: Callback | None
    time_limit: float | None


class SolverSettings(_Settings, total=False):
    """What a `TunedSolver` hands to `sor`, `ssor` or `ssor_cg` in each call."""

    progress: bool


class TunerSettings(_Settings, total=False):
    """The settings of a `TunedSolver` that `solve_sequence` makes."""

    tuner: Literal["auto"] | Suggesting
    arms: Iterable[Any] | None
    context: Literal["auto"] | Callable[[Any, Any], float] | None
    cost: Literal["auto", "iterations", "time"] | Callable[[Any], float]
    warm_start: Rule
    rng: RandomState
