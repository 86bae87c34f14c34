"""Answers to those who call a solver with the words of another package."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


def answers(**ours: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Answer a keyword of another package with our word for it, in place of "unexpected keyword".

    Parameters
    ----------
    **ours
        For each foreign keyword what to write here: ``@answers(numItermax="maxiter", stopThr="tol")``. A text
        with a space in it is given as it stands: ``log="the result has its history always"``.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        names = frozenset(inspect.signature(function).parameters)
        if clash := names & set(ours):
            raise TypeError(f"{function.__name__} takes {sorted(clash)} itself")

        @functools.wraps(function)
        def answering(*args: P.args, **kwargs: P.kwargs) -> R:
            if not names.issuperset(kwargs):
                unknown = next(name for name in kwargs if name not in names)
                if unknown in ours:
                    word = ours[unknown]
                    raise TypeError(
                        f"{function.__qualname__}() has no argument {unknown!r}: "
                        + (word if " " in word else f"it is called {word!r} here")
                    )
            return function(*args, **kwargs)

        return answering

    return decorate
