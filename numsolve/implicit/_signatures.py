"""Who takes which argument: signatures of solvers and of optimality functions."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def signature_of(reference: Any) -> inspect.Signature:
    """A signature, of a function if it is not one already."""
    if isinstance(reference, inspect.Signature):
        return reference
    return inspect.signature(getattr(reference, "subfun", reference))


def known_signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """The signature of a function, None where it has none (some builtins)."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def bound_options(solver: Callable[..., Any]) -> Mapping[str, Any]:
    """The keywords that `functools.partial` has bound to a solver."""
    return solver.keywords if isinstance(solver, functools.partial) else {}


def takes_keyword(function: Any, name: str) -> bool:
    """Whether an argument can be given by this name; a function without a signature is said to take any."""
    try:
        parameters = signature_of(function).parameters
    except (TypeError, ValueError):
        return True
    by_name = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    return any(
        p.kind is inspect.Parameter.VAR_KEYWORD or (p.name == name and p.kind in by_name)
        for p in parameters.values()
    )
