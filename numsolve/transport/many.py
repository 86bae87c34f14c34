"""Many transport problems of any sizes at once, on any executor."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.many import solve_problems

from .solve import solve

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
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


@answers()
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
    return solve_problems(
        solve,
        problems,
        settings,
        what="problems",
        caller="solve_many",
        names=NAMES,
        needed=1,
        known=(*TransportArguments.__annotations__, *TransportSettings.__annotations__),
        warm_up=partial(solve, [[0.0, 1.0], [1.0, 0.0]], reg=0.1),
        label="transport problems",
        executor=executor,
        limits=Limits(None, time_limit, None, progress),
    )
