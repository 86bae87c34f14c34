"""Derivatives by the formula of a condition of the catalogue, where it has one: `jac_x` and `vjp_theta`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays
from numsolve.implicit import _trees

from .solution_map import SolutionMap

if TYPE_CHECKING:
    from .arguments import Arguments


def has_closed_form(F: Any, sol: Any, arguments: Arguments, solve: Any, xp: Any) -> bool:
    """Whether a condition of the catalogue knows its derivatives, in all of its arguments."""
    known = hasattr(F, "vjp_theta") and hasattr(F, "jac_x") and arrays.is_numpy(xp)
    every = len(arguments.floats.places) == len(arguments.floats.leaves)
    vectors = all(np.ndim(leaf) == 1 for leaf in _trees.leaves(sol))
    return known and every and vectors and isinstance(solve, str)


def by_closed_form(F: Any, sol: Any, args: Any, c: Any, settings: dict[str, Any]) -> tuple[Any, SolutionMap]:
    """J' c by one linear solve and the formula of the condition."""
    x, back = _trees.ravel("sol", sol, np)
    jac_x = F.jac_x(sol, *args)

    def residual(x: Any, _: Any) -> Any:
        return _trees.concatenate([np.asarray(v) for v in _trees.leaves(F(back(x), *args))], np)

    solution = SolutionMap(np, residual, x, np.zeros(0), jac_x=jac_x, **settings)
    pulled = F.vjp_theta(back(-solution.rsolve(c)), sol, *args)
    return tuple(pulled[: len(args)]), solution
