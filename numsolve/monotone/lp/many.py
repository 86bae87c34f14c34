"""Many different linear programs at once, on any executor."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.many import solve_problems

from .pdhg import solve_lp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Executor

    from numsolve._core.typing import ArrayLike, Matrix
    from numsolve.monotone.result import LPResult


class LPSettings(TypedDict, total=False):
    """The keywords of `solve_lp` that programs may share."""

    tol: float
    presolve: bool
    polish: float | Literal["basic"] | None
    maxiter: int | None


class LPArguments(LPSettings, total=False):
    """The arguments of `solve_lp`."""

    c: ArrayLike
    A: Matrix | None
    lc: ArrayLike | None
    uc: ArrayLike | None
    lx: ArrayLike | None
    ux: ArrayLike | None
    x0: ArrayLike | tuple[ArrayLike, ArrayLike] | LPResult | None


#: The names of the entries of a program that is given as a tuple.
NAMES = ("c", "A", "lc", "uc", "lx", "ux")


@answers()
def solve_lps(
    programs: Iterable[LPArguments | tuple[Any, ...]],
    *,
    executor: Executor | None = None,
    progress: bool = False,
    time_limit: float | None = None,
    **settings: Unpack[LPSettings],
) -> list[LPResult]:
    """Solve linear programs one after the other, or by the workers of an executor.

    For programs that differ in their matrices. Those with one matrix are solved faster together, as a batch
    of `solve_lp`.

    Parameters
    ----------
    programs : iterable
        Of tuples (c, A, lc, uc, lx, ux), of which the last ones may be left out, or dictionaries of arguments
        of `solve_lp`.
    executor : concurrent.futures.Executor, optional
        The kernels release the interpreter's lock, so that threads run side by side.
    progress : bool
        Show a progress bar.
    time_limit : float, optional
        Seconds, for all together.
    **settings
        `tol`, `presolve`, `polish` and `maxiter` of `solve_lp` for all programs; a dictionary's own come
        first.

    Returns
    -------
    list of LPResult
        In the order of the programs. After Ctrl-C or the end of the time those that were not begun are None.

    Raises
    ------
    ParallelError
        If some failed; it carries the results of the others.
    TypeError
        If a program is neither a tuple nor a dictionary, or has names that `solve_lp` does not; nothing is
        solved then.

    Warns
    -----
    ConvergenceWarning
        If a program was not solved, or Ctrl-C or the time limit ended the work; what is done is returned.

    See Also
    --------
    numsolve.monotone.solve_lp : One program, or many with one matrix.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from numsolve import monotone
    >>> programs = [([-1.0, -2.0], [[1.0, k]], None, [4.0], 0) for k in (1.0, 2.0, 4.0)]
    >>> with ThreadPoolExecutor(2) as executor:
    ...     results = monotone.solve_lps(programs, executor=executor)
    >>> [round(r.fun, 3) for r in results]
    [-8.0, -4.0, -4.0]
    """
    return solve_problems(
        solve_lp,
        programs,
        settings,
        what="programs",
        caller="solve_lps",
        names=NAMES,
        needed=1,
        known=(*LPArguments.__annotations__, *LPSettings.__annotations__),
        warm_up=partial(solve_lp, [-3, -5], [[1, 2], [3, 2]], uc=[14, 18], lx=0),
        label="linear programs",
        executor=executor,
        limits=Limits(None, time_limit, None, progress),
    )
