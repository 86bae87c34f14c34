"""Integers among the arguments mean the floats of the same value: F(x, 4) is differentiated as F(x, 4.0).

Some are no numbers to F but sizes, indices or switches, which it takes as integers only: a trial tells.
"""

from __future__ import annotations

import warnings
from numbers import Rational
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.result import PrecisionWarning, caller_level
from numsolve._core.unheard import unheard

from . import _trees

if TYPE_CHECKING:
    from collections.abc import Callable


def is_integer(leaf: Any) -> bool:
    """Whether a leaf is an integer, a fraction, or an array of integers (a truth value is no number)."""
    if isinstance(leaf, bool | np.bool_):
        return False
    if isinstance(leaf, list):
        return any(map(is_integer, leaf))
    if isinstance(leaf, Rational):
        return True
    dtype = getattr(leaf, "dtype", None)
    return getattr(dtype, "kind", "") in {"i", "u"} or (dtype is not None and "int" in str(dtype))


def is_unusual(leaf: Any) -> bool:
    """Whether a leaf is of numbers that LAPACK does not have: half, more than double, swapped bytes."""
    if not isinstance(leaf, np.ndarray | np.generic):
        return False
    return arrays.usual(leaf) is not leaf or leaf.dtype == np.float16


def as_float(leaf: Any) -> Any:
    """An integer, an unusual float, or an array of them, as usual floats; any other leaf as it is."""
    if is_unusual(leaf) and not is_integer(leaf):
        return np.asarray(leaf, dtype=np.float64) if leaf.dtype == np.float16 else arrays.usual(leaf)
    if not is_integer(leaf):
        return leaf
    if isinstance(leaf, np.ndarray | np.generic):
        return np.asarray(leaf, dtype=np.float64)
    if isinstance(leaf, Rational):
        return float(leaf)
    if isinstance(leaf, list):
        return [as_float(number) for number in leaf]
    xp = arrays.array_namespace(x=leaf)
    return xp.astype(leaf, arrays.working_dtype(xp, x=leaf))


def as_floats(name: str, tree: Any) -> Any:
    """A nest with floats in place of integers; masked arrays are refused."""
    leaves = _trees.leaves(tree)
    _refuse_subclasses(name, leaves)
    return _trees.rebuild(tree, [as_float(leaf) for leaf in leaves])


def numbers_as_floats(F: Callable[..., Any], sol: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments with floats in place of those integers that F takes as floats, too."""
    leaves = _trees.leaves(args)
    _refuse_subclasses("args", leaves)
    places = [k for k, leaf in enumerate(leaves) if is_integer(leaf) or is_unusual(leaf)]

    def filled(places: list[int]) -> tuple[Any, ...]:
        values = [as_float(leaf) if k in places else leaf for k, leaf in enumerate(leaves)]
        rebuilt: tuple[Any, ...] = _trees.rebuild(args, values)
        return rebuilt

    if not places:
        return args
    if _works(F, sol, filled(places)):
        return filled(places)
    return filled([k for k in places if _works(F, sol, filled([k]))])


def _refuse_subclasses(name: str, leaves: list[Any]) -> None:
    for leaf in leaves:
        checks.refuse_masked(name, leaf)
        if isinstance(leaf, np.matrix):  # its products have other shapes
            raise TypeError(f"{name} has a numpy.matrix; an array is wanted: numpy.asarray(...)")


def _works(F: Callable[..., Any], sol: Any, args: tuple[Any, ...]) -> bool:
    with unheard():  # a trial; what F says for good is heard later
        try:
            F(sol, *args)
        except Exception:  # whatever F raises for a number that is no integer
            return False
    return True


def as_given(tree: Any, *inputs: Any) -> Any:
    """NumPy arrays where the caller gave no JAX array."""
    if _trees.has_jax_leaves(*inputs):
        return tree
    leaves = [np.asarray(leaf) for leaf in _trees.leaves(tree)]
    if any(leaf.dtype == np.float32 for leaf in leaves):
        doubles = [x for x in _trees.leaves(inputs) if getattr(x, "dtype", None) == np.float64]
        if doubles:
            warnings.warn(
                "float64 arrays were differentiated in single precision because JAX is in its 32-bit mode; "
                'jax.config.update("jax_enable_x64", True) switches to double precision',
                PrecisionWarning,
                stacklevel=caller_level(),
            )
    return _trees.rebuild(tree, leaves)
