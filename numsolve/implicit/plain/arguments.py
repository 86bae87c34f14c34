"""The arguments of F without JAX, as vectors: floats, integers that F takes as floats, stored entries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays
from numsolve.implicit import _trees
from numsolve.implicit._numbers import is_integer

from ._structure import Block, block, entries, with_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numsolve._core.typing import Array, Namespace


class Arguments:
    """The leaves of F's arguments: floats, integers that F takes as floats, and others."""

    def __init__(self, F: Any, sol: Any, args: Any, given: Any, xp: Namespace) -> None:
        leaves = _trees.leaves(args)
        counted = [
            is_integer(before) and not is_integer(now)
            for before, now in zip(_trees.leaves(given), leaves, strict=True)
        ]
        floats = [_is_float(leaf, xp) and not c for leaf, c in zip(leaves, counted, strict=True)]
        self.floats, self.integers = (
            Part(F, sol, args, [k for k, wanted in enumerate(those) if wanted], xp)
            for those in (floats, counted)
        )


class Part:
    """Some leaves of F's arguments, as one vector."""

    def __init__(self, F: Any, sol: Any, args: Any, places: list[int], xp: Namespace) -> None:
        self.F, self.sol, self.args, self.places, self.xp = F, sol, args, places, xp
        self.leaves = _trees.leaves(args)
        self.vector, self.back = _trees.ravel("args", [entries(self.leaves[k]) for k in places], xp)

    def known(self) -> tuple[list[Block], list[Any]]:
        """Where each of the leaves is in the vector, and the matrices, of which one may be dF/dx."""
        blocks: list[Block] = []
        start = 0
        for k in self.places:
            blocks.append(block(self.leaves[k], start, self.xp))
            start = blocks[-1].stop
        matrices = [leaf for leaf in self.leaves if _is_float(leaf, self.xp) and np.ndim(leaf) == 2]
        return blocks, matrices + [leaf for leaf in self.leaves if arrays.is_sparse(leaf)]

    def function(self) -> tuple[Callable[[Array, Array], Array], Array, Array]:
        """F as a function of two vectors, the solution and this part, and both."""
        x, x_back = _trees.ravel("sol", self.sol, self.xp)

        def flat(x: Array, theta: Array) -> Array:
            arguments = _trees.rebuild(self.args, self.spread(theta, list(self.leaves)))
            values = self.F(x_back(x), *arguments)
            if type(values) is np.ndarray:
                return values.reshape(-1)
            values = _trees.leaves(values)
            flattened: Array = _trees.concatenate([self.xp.asarray(v) for v in values], self.xp)
            return flattened

        return flat, x, self.vector

    def spread(self, vector: Array, onto: list[Any] | None = None) -> list[Any]:
        """The vector in the leaves' places; None elsewhere, unless there is something to put them onto."""
        out = [None] * len(self.leaves) if onto is None else onto
        for k, value in zip(self.places, self.back(vector), strict=True):
            out[k] = with_entries(self.leaves[k], value)
        return out

    def gathered(self, leaves: list[Any]) -> Array:
        """The leaves in these places as one vector."""
        for k in self.places:
            _same_pattern(k, leaves[k], self.leaves[k])
        vector: Array = _trees.ravel("tangents", [entries(leaves[k]) for k in self.places], self.xp)[0]
        return vector


def usual(args: Sequence[Any], name: str = "args") -> tuple[Any, ...]:
    """The arguments, called `name`, with sparse matrices of floats whose entries can be exchanged."""

    def exchangeable(leaf: Any) -> Any:
        if not arrays.is_sparse(leaf):
            return leaf
        leaf = leaf if leaf.format in {"csr", "csc", "coo"} else leaf.tocsr()
        return leaf.astype(np.float64) if leaf.dtype.kind in "iub" else leaf

    if isinstance(args, str | bytes) or hasattr(args, "dtype") or not isinstance(args, Iterable):
        got = type(args).__name__
        raise TypeError(f"{name} must be a sequence of arguments, got {got}; (theta,) is one of a single one")
    args = tuple(args)
    out: tuple[Any, ...] = _trees.rebuild(args, [exchangeable(leaf) for leaf in _trees.leaves(args)])
    return out


def _same_pattern(place: int, tangent: Any, leaf: Any) -> None:
    """Refuse a change of a sparse matrix in other places than its stored ones."""
    if not (arrays.is_sparse(leaf) or arrays.is_sparse(tangent)):
        return
    alike = (
        arrays.is_sparse(leaf)
        and arrays.is_sparse(tangent)
        and leaf.nnz == tangent.nnz
        and leaf.format == tangent.format
        and all(np.array_equal(a, b) for a, b in zip(*_coordinates(leaf, tangent), strict=True))
    )
    if not alike:
        raise ValueError(
            "the tangent of a sparse matrix must have its format and its stored entries; that of leaf "
            f"{place} of args has not"
        )


def _coordinates(*matrices: Any) -> list[tuple[Any, Any]]:
    return [(coo.row, coo.col) for coo in (matrix.tocoo() for matrix in matrices)]


def is_nonzero(tangent: Any) -> bool:
    """Whether something is a number, or an array of numbers, and not zero."""
    if isinstance(tangent, str | bytes) or tangent is None:
        return False
    values = arrays.to_host(tangent) if hasattr(tangent, "dtype") else np.asarray(tangent)
    return values.dtype.kind in "biufc" and bool(np.any(values))


def _is_float(leaf: Any, xp: Any) -> bool:
    if isinstance(leaf, float | list):
        return True
    if isinstance(leaf, complex) or "complex" in str(getattr(leaf, "dtype", "")):
        raise TypeError(
            "args hold complex numbers, which have no derivative by complex steps: give real and imaginary "
            "parts as arguments, write optimality_fun for JAX, or close over them if they are constant"
        )
    return hasattr(leaf, "dtype") and bool(xp.isdtype(leaf.dtype, "real floating"))
