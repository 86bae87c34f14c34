"""Many transport problems of any sizes at once, on any executor."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from math import isinf
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from numsolve._core.limits import Limits
from numsolve._core.parallel import map_tasks

from .solve import solve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from numsolve._core.typing import Array, ArrayLike, Matrix

    from ._problem import Weights
    from .result import TransportResult


class TransportSettings(TypedDict, total=False):
    """The keywords of `solve` that problems may share."""

    reg: float | None
    method: str
    reg_type: str
    unbalanced: float | Sequence[float] | Array | None
    unbalanced_type: str
    tol: float
    maxiter: int | None
    return_plan: bool


class TransportArguments(TransportSettings, total=False):
    """The arguments of `solve`."""

    M: Matrix
    a: Weights
    b: Weights
    potentials_init: Sequence[ArrayLike] | None


#: The names of the entries of a problem that is given as a tuple.
NAMES = ("M", "a", "b", "reg")


def solve_many(
    problems: Iterable[TransportArguments | tuple[Any, ...]],
    *,
    executor: Executor | None = None,
    progress: bool = False,
    time_limit: float | None = None,
    **settings: Unpack[TransportSettings],
) -> list[TransportResult]:
    """Solve transport problems of any sizes, one after the other or by the workers of an executor.

    Those of one size are solved faster together, as a batch of `solve`.

    Parameters
    ----------
    problems : iterable
        Of tuples (M, a, b, reg), of which the last ones may be left out, or dictionaries of arguments of
        `solve`.
    executor : concurrent.futures.Executor, optional
        The kernels release the interpreter's lock, so that threads run side by side.
    progress : bool
        Show a progress bar.
    time_limit : float, optional
        Seconds, for all together.
    **settings
        `reg`, `method`, `reg_type`, `unbalanced`, `unbalanced_type`, `tol`, `maxiter` and `return_plan` of
        `solve` for all problems; a problem's own come first.

    Returns
    -------
    list of TransportResult
        In the order of the problems. After Ctrl-C or the end of the time those that were not begun are None.

    Raises
    ------
    ParallelError
        If some failed; it carries the results of the others.
    TypeError
        If a problem is neither a tuple nor a dictionary, or has names that `solve` does not; nothing is
        solved then.

    Warns
    -----
    ConvergenceWarning
        If a problem was not solved, or Ctrl-C or the time limit ended the work; what is done is returned.

    See Also
    --------
    numsolve.transport.solve : One problem, or many of one size.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from numsolve import transport
    >>> problems = [transport.problems.random_assignment(n, rng=0) for n in (5, 20, 50)]
    >>> with ThreadPoolExecutor(2) as executor:
    ...     results = transport.solve_many(problems, reg=0.1, executor=executor)
    >>> [r.plan.shape for r in results]
    [(5, 5), (20, 20), (50, 50)]
    """
    limits = Limits(None, time_limit, None, progress)
    if not isinstance(problems, Iterable):
        raise TypeError(f"problems must be an iterable of problems, got {type(problems).__name__}")
    tasks = [_task(i, problem, settings) for i, problem in enumerate(problems)]
    results: list[TransportResult] = map_tasks(
        partial(_solve, limits=limits),
        tasks,
        executor=executor,
        warm_up=partial(solve, [[0.0, 1.0], [1.0, 0.0]], reg=0.1),
        progress=limits.progress,
        label="transport problems",
        limits=limits,
    )
    return results


def _task(i: int, problem: Any, settings: TransportSettings) -> dict[str, Any]:
    """The arguments of `solve`."""
    known = {*TransportArguments.__annotations__, *TransportSettings.__annotations__}
    if isinstance(problem, tuple) and 0 < len(problem) <= len(NAMES):
        problem = dict(zip(NAMES, problem, strict=False))
    elif not isinstance(problem, dict):
        raise TypeError(
            f"problems[{i}] must be a dictionary or a tuple of at most {len(NAMES)} entries "
            f"({', '.join(NAMES)}), got {type(problem).__name__}"
            + (f" of {len(problem)}" if isinstance(problem, tuple) else "")
        )
    if unknown := sorted({*problem, *settings} - known):
        raise TypeError(f"problems[{i}] has the argument {unknown[0]!r}, which solve_many does not know")
    if "M" not in problem:
        raise TypeError(f"problems[{i}] has no M")
    return {**settings, **problem}


def _solve(task: dict[str, Any], limits: Limits) -> TransportResult:
    return solve(**task) if isinf(limits.deadline) else solve(**task, time_limit=limits.seconds_left)
