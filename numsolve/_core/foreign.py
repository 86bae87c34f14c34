"""Answers to those who call a solver with the words of another package."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

#: Other packages' words for settings that mean the same in all our solvers.
COMMON = {
    "max_iter": "maxiter",
    "max_iterations": "maxiter",
    "verbose": "progress",
    "seed": "rng",
    "random_state": "rng",
    "timeout": "time_limit",
}


def answers(**ours: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Answer a keyword of another package with our word for it, in place of "unexpected keyword".

    Parameters
    ----------
    **ours
        For each foreign keyword what to write here: ``@answers(numItermax="maxiter", stopThr="tol")``. A text
        with a space in it is given as it stands: ``log="the result has its history always"``. The words of
        `COMMON` are answered wherever the function has ours.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        names = frozenset(inspect.signature(function).parameters)
        if clash := names & set(ours):
            raise TypeError(f"{function.__name__} takes {sorted(clash)} itself")
        words = {theirs: our for theirs, our in COMMON.items() if our in names and theirs not in names} | ours

        @functools.wraps(function)
        def answering(*args: P.args, **kwargs: P.kwargs) -> R:
            if not names.issuperset(kwargs):
                unknown = next(name for name in kwargs if name not in names)
                if unknown in words:
                    raise TypeError(
                        f"{function.__qualname__}() has no argument {unknown!r}: {answer(answering, unknown)}"
                    )
            return function(*args, **kwargs)

        answering.foreign_words = words  # type: ignore[attr-defined]
        return answering

    return decorate


def answer(function: Callable[..., object], unknown: str) -> str | None:
    """What a function of ours answers to a foreign keyword, None if it does not know that one either."""
    word: str | None = getattr(function, "foreign_words", {}).get(unknown)
    return word if word is None or " " in word else f"it is called {word!r} here"
