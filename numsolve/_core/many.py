"""Many problems of any sizes, each the arguments of one solver: read all at once, solved on any executor."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from math import isinf
from typing import TYPE_CHECKING, Any

from .foreign import answer
from .keyboard import Guarded
from .parallel import map_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor

    from .limits import Limits


def solve_problems(
    solve: Callable[..., Any],
    problems: Any,
    settings: Mapping[str, Any],
    *,
    what: str,
    caller: str,
    names: Sequence[str],
    needed: int,
    known: Iterable[str] | None,
    warm_up: Callable[[], object] | None,
    label: str,
    executor: Executor | None,
    limits: Limits,
    timed: bool = True,
) -> list[Any]:
    """Results of `solve` for tuples of its arguments `names`, or for dictionaries.

    The first `needed` of the names must be there. Problems are called `what` in errors; `settings` are for
    all, and a problem's own come first. What is not among the `known` arguments is refused; `timed` says
    that the solver takes a time limit.
    """
    if not isinstance(problems, Iterable):
        raise TypeError(f"{what} must be an iterable of {what}, got {type(problems).__name__}")
    known = None if known is None else set(known)

    def check_known(who: str, given: Mapping[str, Any]) -> None:
        for name in () if known is None else sorted(given.keys() - known):
            told = answer(solve, name)
            told = f", which {caller} does not know" if told is None else f": {told}"
            raise TypeError(f"{who} the argument {name!r}{told}")

    check_known(f"{caller}() was given", settings)

    def read(i: int, problem: Any) -> dict[str, Any]:
        if isinstance(problem, tuple) and 0 < len(problem) <= len(names):
            problem = dict(zip(names, problem, strict=False))
        elif not isinstance(problem, dict):
            raise TypeError(
                f"{what}[{i}] must be a dictionary or a tuple of at most {len(names)} entries "
                f"({', '.join(names)}), got {type(problem).__name__}"
                + (f" of {len(problem)}" if isinstance(problem, tuple) else "")
            )
        check_known(f"{what}[{i}] has", problem)
        whole = {**settings, **problem}
        for name in names[:needed]:
            if name not in whole:
                raise TypeError(f"{what}[{i}] has no {name}")
        return whole

    call = partial(_call, solve=solve, limits=limits, timed=timed)
    with Guarded():  # reading them may take long
        tasks = [read(i, problem) for i, problem in enumerate(problems)]
        results: list[Any] = map_tasks(
            call,
            tasks,
            executor=executor,
            warm_up=warm_up,
            progress=limits.progress,
            label=label,
            limits=limits,
        )
    return results


def _call(task: dict[str, Any], solve: Callable[..., Any], limits: Limits, timed: bool) -> Any:
    limited = timed and not isinf(limits.deadline)
    return solve(**task, time_limit=limits.seconds_left) if limited else solve(**task)
