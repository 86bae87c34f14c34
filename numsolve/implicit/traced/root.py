"""The JAX function that `custom_root` makes of a solver: what a caller may hand over."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from array_api_compat import is_array_api_obj

from numsolve._core import checks
from numsolve._core.arrays import array_namespace, namespace_name, usual
from numsolve.implicit._jax import is_array, is_differentiated, require_jax
from numsolve.implicit._numbers import as_float, is_integer, is_unusual
from numsolve.implicit._signatures import (
    bound_options,
    by_position,
    closed_over,
    known_signature,
    takes_keyword,
)

from ._call import Call, Places

if TYPE_CHECKING:
    from collections.abc import Callable

    from .rule import Rule


class DifferentiableSolver:
    """A solver as a JAX function; called as the solver itself."""

    def __init__(self, rule: Rule, solver: Callable[..., Any]) -> None:
        functools.update_wrapper(self, solver, updated=())
        self.rule, self.solver = rule, solver
        self._calls: dict[Any, Call] = {}
        self._signature = known_signature(solver)
        # What functools.partial has bound to the solver is the solver's own, unless F asks for it by name.
        reference = rule.optimality_fun if rule.reference_signature is None else rule.reference_signature
        self._reference = known_signature(reference) if callable(reference) else reference
        self._options = {name for name in bound_options(solver) if not takes_keyword(reference, name)}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Solve, as the solver does."""
        jax = require_jax()
        given = set(kwargs)
        if self._signature is not None:
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            args = bound.args
            kwargs = {k: v for k, v in bound.kwargs.items() if k in given or k not in self._options}
        if not args:
            raise TypeError("the initial point must be the solver's first positional argument")
        self._check_positions(args)
        self._check_closure()
        leaves, structure = jax.tree.flatten((args, kwargs))
        moving, counts = [], []
        for k, leaf in enumerate(leaves):
            if is_array(jax, leaf):
                moving.append(k)
                checks.refuse_masked(f"leaf {k} of the solver's arguments", leaf)
                leaves[k] = as_float(leaf) if is_unusual(leaf) and not is_integer(leaf) else usual(leaf)
            elif isinstance(leaf, int) and not isinstance(leaf, bool):
                counts.append(k)
            elif is_array_api_obj(leaf) and namespace_name(array_namespace(x=leaf)) != "cupy":
                library = namespace_name(array_namespace(x=leaf))
                raise TypeError(
                    f"leaf {k} of the solver's arguments is a {library} array; give one of JAX or NumPy"
                )
        numbers = tuple(leaves[k] for k in counts)
        arrays = [leaves[k] for k in moving]
        fixed = tuple(leaf for k, leaf in enumerate(leaves) if k not in moving and k not in counts)
        places = Places(structure, tuple(moving), tuple(counts))
        key = (places, tuple(map(type, fixed)), fixed)
        try:
            call = self._calls.get(key)
        except TypeError:  # a leaf without a hash cannot be looked up
            call = Call(self.rule, self.solver, places, fixed)
        if call is None:
            call = self._calls[key] = Call(self.rule, self.solver, places, fixed)
        self._check_names(given, call.start)
        out, _ = call.solution(numbers, *arrays)
        return out

    def _check_closure(self) -> None:
        """Refuse an F with a value inside that is being differentiated: its derivative would be lost."""
        jax = require_jax()
        inner = jax.tree.leaves(list(closed_over(self.rule.optimality_fun)))
        if any(is_differentiated(jax, leaf) for leaf in inner):
            raise TypeError(
                "optimality_fun closes over a value that is being differentiated; make it an argument of the "
                "solver and of optimality_fun, or take jax.lax.stop_gradient of it"
            )

    def _check_names(self, given: set[str], start: int) -> None:
        """Refuse a keyword that would reach another argument of F than the one of its name."""
        reference = self._reference
        if not given or self._signature is None or reference is None:
            return
        places = {name: k + 1 - start for k, name in enumerate(by_position(self._signature))}
        names = by_position(reference)
        for name in sorted(given & {*places} & {*names}):
            if names.index(name) != places[name]:
                raise TypeError(
                    f"{name}= is argument {names.index(name)} of optimality_fun, and the solver's argument "
                    f"{places[name]} goes there by position: give both the same order of arguments"
                )

    def _check_positions(self, args: tuple[Any, ...]) -> None:
        argnums = self.rule.argnums
        if argnums is not None and any(k >= len(args) for k in argnums):
            raise ValueError(
                f"argnums must be positions of the solver's arguments, which are {len(args)} in this call; "
                f"got {argnums}"
            )

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __reduce__(self) -> Any:
        found: Any = sys.modules.get(getattr(self, "__module__", ""))
        name = getattr(self, "__qualname__", "")
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is self:
            return name  # a decorated function, which pickles by its name as others do
        return DifferentiableSolver, (self.rule, self.solver)
