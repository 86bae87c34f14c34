"""One solver for many problems, on any executor."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

from .foreign import answers
from .limits import Limits
from .many import solve_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Executor

T = TypeVar("T")


@answers()
def solve_each(
    solver: Callable[..., T],
    problems: Iterable[Mapping[str, Any] | tuple[Any, ...]],
    *,
    executor: Executor | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> list[T]:
    """Solve many problems by one solver, one after the other or by the workers of an executor.

    For sweeps over parameters, orders, right-hand sides, or pairs of clouds: whatever can be solved
    independently.

    Parameters
    ----------
    solver : callable
        A solver of this package, or another function. Settings for all problems are given by
        `functools.partial`. For worker processes it has to be importable, as all functions among its
        arguments.
    problems : iterable
        Of tuples of the solver's first arguments, or dictionaries of its arguments.
    executor : concurrent.futures.Executor, optional
        Threads, processes, or those of Dask, Ray and MPI; see the guide. Each worker uses one thread. None
        solves the problems here.
    progress : bool
        Show a progress bar.
    time_limit : float, optional
        Seconds, for all together.

    Returns
    -------
    list
        What the solver returned, in the order of the problems. After Ctrl-C or the end of the time those that
        were not finished are None.

    Raises
    ------
    ParallelError
        If some failed; `results` has those of the others, `failures` the exceptions.
    TypeError
        If a problem is neither a tuple nor a dictionary, or has names that the solver does not know; nothing
        is solved then.

    Warns
    -----
    ConvergenceWarning
        If Ctrl-C or the time limit ended the work; what is done is returned.

    See Also
    --------
    numsolve.atomic.solve_atoms : Atoms.
    numsolve.monotone.solve_lps : Linear programs.
    numsolve.transport.solve_many : Transport problems with matrices of costs.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from functools import partial
    >>> import numsolve
    >>> from numsolve import fractional
    >>> solver = partial(fractional.solve_riesz_bvp, n=64)
    >>> with ThreadPoolExecutor(2) as executor:
    ...     results = numsolve.solve_each(solver, [(1.0, 1.2), (1.0, 1.6)], executor=executor)
    >>> [round(float(r(0.5)), 4) for r in results]
    [0.3951, 0.2307]
    """
    try:
        parameters = inspect.signature(solver).parameters.values()
    except (TypeError, ValueError):
        raise TypeError(f"solver must be a function with a signature, got {solver!r}") from None
    first = [p for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
    if not first:
        raise TypeError(f"solver must take the data of a problem first, got {solver!r}")
    return solve_problems(
        solver,
        problems,
        {},
        what="problems",
        caller=getattr(getattr(solver, "func", solver), "__name__", "solver"),
        names=[p.name for p in first],
        needed=sum(p.default is p.empty for p in first),
        known=None if any(p.kind is p.VAR_KEYWORD for p in parameters) else [p.name for p in parameters],
        warm_up=None,
        label="problems",
        executor=executor,
        limits=Limits(None, time_limit, None, progress),
        timed=any(p.name == "time_limit" for p in parameters),
    )
