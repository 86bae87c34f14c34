"""Who takes which argument: signatures of solvers and of optimality functions."""

from __future__ import annotations

import contextlib
import functools
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


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


def by_position(signature: inspect.Signature) -> list[str]:
    """The names of the arguments that can be given by position."""
    kinds = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return [name for name, p in signature.parameters.items() if p.kind in kinds]


def bound_options(solver: Callable[..., Any]) -> Mapping[str, Any]:
    """The keywords that `functools.partial` has bound to a solver."""
    return solver.keywords if isinstance(solver, functools.partial) else {}


def closed_over(function: Any, depth: int = 4) -> Iterator[Any]:
    """What a function has inside: its closure, and what `functools.partial` has bound; nested, too."""
    if isinstance(function, functools.partial):
        values = [function.func, *function.args, *function.keywords.values()]
    else:
        values = [function.__wrapped__] if hasattr(function, "__wrapped__") else []
        for cell in getattr(function, "__closure__", None) or ():
            with contextlib.suppress(ValueError):  # an empty cell
                values.append(cell.cell_contents)
    for value in values:
        yield value
        if depth and callable(value):
            yield from closed_over(value, depth - 1)


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


def knows_transpose(solve: Any) -> bool:
    """Whether a linear solver can be asked for the transposed system by name; ours need it for a pattern."""
    if is_ours(solve) and "sparsity" not in bound_options(solve):
        return False
    signature = known_signature(solve)
    return signature is not None and "transpose" in signature.parameters


def is_ours(solve: Any) -> bool:
    """Whether a linear solver is one of this column's, with settings bound or not."""
    function = solve.func if isinstance(solve, functools.partial) else solve
    return getattr(function, "__module__", None) == f"{__package__}.linear_solve"


def is_transposed(solve: Any) -> bool:
    """Whether a partial has bound the transposed system already."""
    return bool(bound_options(solve).get("transpose", False))


def takes(function: Any, args: Any, kwargs: Any) -> str | None:
    """What speaks against these arguments; None if nothing does, or if nobody knows."""
    try:
        signature_of(function).bind(*args, **kwargs)
    except TypeError as error:
        return str(error)
    except ValueError:  # a callable without a signature
        pass
    return None


def has_no_start(solver: Any, function: Any, args: Any, kwargs: Any) -> bool:
    """Whether a solver takes no initial point, so that F wants all of its arguments.

    The name of its first argument tells, if it is that of F's first parameter; else their number.
    """
    names = [list(known.parameters) if known else [] for known in map(known_signature, (solver, function))]
    first, unknowns = names[0][:1], names[1][:1]
    if first and first != unknowns and first == names[1][1:2]:
        return True
    without, with_start = takes(function, (None, *args), kwargs), takes(function, (None, *args[1:]), kwargs)
    return without is None and with_start is not None
