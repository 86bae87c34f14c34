"""Nested tuples, lists and dictionaries of arrays as one vector, without JAX."""

from __future__ import annotations

import itertools
import math
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks

if TYPE_CHECKING:
    from collections.abc import Callable


def leaves(tree: Any) -> list[Any]:
    """The leaves in order; None has none, dictionaries go by sorted keys, as in JAX."""
    if tree is None:
        return []
    if isinstance(tree, dict) and not hasattr(tree, "tocsr"):  # a sparse matrix may be one
        return [leaf for key in sorted(tree) for leaf in leaves(tree[key])]
    if isinstance(tree, tuple | list) and not _is_numbers(tree):
        return [leaf for branch in tree for leaf in leaves(branch)]
    return [tree]


def rebuild(tree: Any, values: list[Any]) -> Any:
    """The same nest with other leaves, which are taken from the front of ``values``."""
    if tree is None:
        return None
    if isinstance(tree, dict) and not hasattr(tree, "tocsr"):  # a sparse matrix may be one
        filled = {key: rebuild(tree[key], values) for key in sorted(tree)}
        return {key: filled[key] for key in tree}
    if isinstance(tree, tuple | list) and not _is_numbers(tree):
        branches = [rebuild(branch, values) for branch in tree]
        return type(tree)(*branches) if hasattr(tree, "_fields") else type(tree)(branches)
    return values.pop(0)


def ravel(name: str, tree: Any, xp: Any) -> tuple[Any, Callable[[Any], Any]]:
    """All leaves as one vector of floats, and the function that undoes it, which keeps a vector's dtype."""
    parts = [checks.array(name, leaf, xp=xp, check_finite=False) for leaf in leaves(tree)]
    shapes = [tuple(part.shape) for part in parts]
    sizes = [math.prod(shape) for shape in shapes]

    ends = list(itertools.accumulate(sizes))
    alone = not isinstance(tree, dict | tuple | list) and tree is not None
    flat = type(tree) in {tuple, list} and len(tree) == len(parts) and not _is_numbers(tree)
    flat = flat and not any(branch is None or isinstance(branch, dict | tuple | list) for branch in tree)

    def shaped(vector: Any, shape: tuple[int, ...]) -> Any:
        return vector if len(shape) == 1 else xp.reshape(vector, shape)

    def unravel(vector: Any) -> Any:
        if alone:
            return shaped(vector, shapes[0])
        pieces = [
            shaped(vector[end - size : end], shape)
            for end, size, shape in zip(ends, sizes, shapes, strict=True)
        ]
        return type(tree)(pieces) if flat else rebuild(tree, pieces)

    return concatenate(parts, xp), unravel


def concatenate(parts: list[Any], xp: Any) -> Any:
    """The entries of several arrays as one vector."""
    flat = [xp.reshape(part, (-1,)) for part in parts]
    if not flat:
        return xp.zeros((0,))
    return flat[0] if len(flat) == 1 else xp.concat(flat)


def shape_of(tree: Any) -> Any:
    """The nest with shapes for leaves, for messages."""
    found = [tuple(getattr(leaf, "shape", ())) for leaf in leaves(tree)]
    return rebuild(tree, list(found)) if found else tree


def namespace(*trees: Any) -> Any:
    """The array library of all leaves."""
    named = {f"leaf {k}": leaf for k, leaf in enumerate(leaf for tree in trees for leaf in leaves(tree))}
    return arrays.array_namespace(**named)


def _is_numbers(tree: Any) -> bool:
    """A list of plain numbers is an array, not a nest."""
    plain = (int, float, np.integer, np.floating)
    return isinstance(tree, list) and len(tree) > 0 and all(isinstance(x, plain) for x in tree)


def has_jax_leaves(*trees: Any) -> bool:
    """Whether some leaf is an array of JAX, concrete or traced; JAX is not imported to find out."""
    jax = sys.modules.get("jax")
    return jax is not None and any(isinstance(leaf, jax.Array) for tree in trees for leaf in leaves(tree))


def is_traced(*trees: Any) -> bool:
    """Whether some leaf is traced by JAX."""
    jax = sys.modules.get("jax")
    return jax is not None and any(
        isinstance(leaf, jax.core.Tracer) for tree in trees for leaf in leaves(tree)
    )
