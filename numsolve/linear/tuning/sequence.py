"""Sequences of linear systems, solved one after the other by a solver that is tuned on the way."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from types import GeneratorType
from typing import TYPE_CHECKING, Any, Literal, Unpack

from numsolve._core import checks
from numsolve._core.keyboard import Guarded, is_interrupt
from numsolve._core.result import ConvergenceWarning, caller_level

from ._outcome import was_ended
from .tuned_solver import TunedSolver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from numsolve._core.typing import Array, ArrayLike, Matrix
    from numsolve.linear.result import LinearResult

    from ._settings import TunerSettings


def solve_sequence(
    systems: Iterable[tuple[Matrix, ArrayLike] | tuple[Matrix, ArrayLike, float]],
    solver: Literal["ssor_cg", "sor", "ssor", "auto"] | Callable[..., Any] | TunedSolver = "ssor_cg",
    *,
    progress: bool = False,
    **settings: Unpack[TunerSettings],
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
        The solution of each system, when it is asked for. It ends after a solve that Ctrl-C interrupted or
        the callback stopped, whose result is the last; Ctrl-C between two solves ends it with a warning. What
        was learned and paid stays in the solver.

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
    progress = checks.flag("progress", progress)
    if not hasattr(systems, "__iter__"):
        raise TypeError(f"systems must be an iterable of tuples (A, b) or (A, b, context), got {systems!r}")
    if not isinstance(solver, TunedSolver):
        solver = TunedSolver(solver, **settings)
    elif settings:
        raise TypeError(f"a TunedSolver has its settings already, got {', '.join(sorted(settings))} again")
    return _solve_all(systems, solver, progress=progress)


def _solve_all(systems: Iterable[Any], solver: Any, *, progress: bool) -> Iterator[LinearResult]:
    waiting = iter(systems)
    feeds = isinstance(waiting, GeneratorType)
    x: Array | None = None
    # All is within: Ctrl-C at any place, even where the generator wakes up, ends it in the same way.
    try:
        with _bar(progress=progress) as bar:
            while True:
                with Guarded() as ctrl_c:
                    system = waiting.send(x) if feeds else next(waiting)  # type: ignore[attr-defined]
                    A, b, context = _parts(system)
                    result = solver(A, b, context=context)
                    x = result[0] if isinstance(result, tuple) else result.x
                    if bar is not None:
                        bar.update()
                yield result
                if was_ended(result):
                    return
                if ctrl_c.pressed:
                    raise KeyboardInterrupt  # noqa: TRY301  # as where it was lost
    except StopIteration:  # there are no more systems
        return
    except BaseException as error:
        if not is_interrupt(error):
            raise
        words = f"The sequence was interrupted from the keyboard after {len(solver.history)} systems."
        warnings.warn(words, ConvergenceWarning, stacklevel=caller_level())


def _bar(*, progress: bool) -> AbstractContextManager[Any]:
    """A progress bar, or None."""
    if not progress:
        return nullcontext()
    from tqdm.auto import tqdm

    bar: AbstractContextManager[Any] = tqdm(unit="system")
    return bar


def _parts(system: Any) -> tuple[Matrix, ArrayLike, float | None]:
    """The matrix, the right-hand side, and the context if there is one."""
    if not isinstance(system, tuple | list) or len(system) not in {2, 3}:
        raise TypeError(f"systems must hold tuples (A, b) or (A, b, context), got {type(system).__name__}")
    return system[0], system[1], system[2] if len(system) == 3 else None
