"""Jacobians that are products of what is known: found by trial, verified along a second direction at random.

Most equations contain a matrix as A x, and a right-hand side or a weight entry by entry. Then the transposed
derivative is an outer product or a product of vectors, and costs nothing; a Jacobian of n x n^2 entries from
n^2 differences is what it replaces. Two linear maps that agree along a direction at random are the same, but
for directions of measure zero; they are compared row by row, to rounding errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, Namespace

    Product = Callable[[Array], Array]

#: Agreement in units of the rounding errors of the terms.
ROUNDING = 64
#: Fewer entries than these are differentiated one by one.
FEW = 4


@dataclass(frozen=True)
class Block:
    """One argument's place in the vector of all, ``start:stop``, and what it is.

    ``coords`` are the rows and columns of its entries where it is a matrix.
    """

    start: int
    stop: int
    shape: tuple[int, ...]
    coords: tuple[Array, Array] | None


def block(leaf: Any, start: int, xp: Namespace) -> Block:
    """The place of a leaf whose entries begin at ``start``."""
    shape = tuple(getattr(leaf, "shape", ()))
    if arrays.is_sparse(leaf):
        coo = leaf.tocoo()
        return Block(start, start + entries(leaf).size, shape, (coo.row, coo.col))
    size = int(np.prod(shape, dtype=int))
    if len(shape) != 2:
        return Block(start, start + size, shape, None)
    i, j = (xp.reshape(k, (-1,)) for k in xp.meshgrid(*map(xp.arange, shape), indexing="ij"))
    return Block(start, start + size, shape, (i, j))


def entries(leaf: Any) -> Any:
    """The numbers of an argument: the stored ones of a sparse matrix."""
    return leaf.data if arrays.is_sparse(leaf) else leaf


def with_entries(leaf: Any, values: Any) -> Any:
    """The argument with other numbers."""
    if not arrays.is_sparse(leaf):
        return values
    out = leaf.copy()
    out.data = values
    return out


def pull_of(block: Block, push: Product, at: Array, x: Array, n: int, xp: Namespace) -> Product | None:
    """The transposed derivative in one block, u -> B'u, if it has a structure; ``push`` is v -> B v.

    The trials are of numbers between one and two, and of such in the units of the block's entries ``at``.
    """
    size, rng = block.stop - block.start, np.random.default_rng(0)
    eps = float(xp.finfo(x.dtype).eps)

    def random() -> Array:
        out: Array = xp.asarray(rng.uniform(1.0, 2.0, size), dtype=x.dtype)
        return out

    def same(v: Array, of_x: Array, weight: Array) -> bool:
        found, wanted = push(v), weight * of_x
        close = xp.abs(found - wanted) <= ROUNDING * n**0.5 * eps * xp.abs(wanted)
        return bool(xp.all(close))

    if size == n:
        weight = push(xp.ones(n, dtype=x.dtype))
        v, w = random(), random() * xp.abs(at)
        if same(v, v, weight) and same(w, w, weight):
            return lambda u: weight * u
    if block.coords is None or not arrays.is_numpy(xp):
        return None
    for here, (i, j) in ((0, block.coords), (1, block.coords[::-1])):
        if block.shape[here] != n or block.shape[1 - here] != x.shape[0]:
            continue
        signs = np.where(x < 0, -1.0, 1.0)[j].astype(x.dtype)  # the sums below do not cancel
        v, w = random() * signs, random() * signs
        scaled = w * np.abs(at)
        sums = [np.bincount(i, z * x[j], n).astype(x.dtype) for z in (v, w, scaled)]
        weight = push(v) / np.where(sums[0] == 0, 1, sums[0])
        if same(w, sums[1], weight) and same(scaled, sums[2], weight):
            return lambda u, i=i, j=j, weight=weight: (weight * u)[i] * x[j]  # type: ignore[misc]
    return None


def matrix_of(leaves: list[Any], push: Product, x: Array) -> Any:
    """An argument that is dF/dx, up to its sign or transposition; None if there is none. NumPy only."""
    n, dtype = x.shape[0], x.dtype
    square = [leaf for leaf in leaves if tuple(getattr(leaf, "shape", ())) == (n, n)]
    if not square or n < FEW:
        return None
    v = np.asarray(np.random.default_rng(1).uniform(1.0, 2.0, n), dtype=dtype)
    found, eps = push(v), float(np.finfo(dtype).eps)

    def same(matrix: Any, v: Array, found: Array) -> bool:
        return bool(np.all(np.abs(found - matrix @ v) <= ROUNDING * n**0.5 * eps * (abs(matrix) @ v)))

    for leaf in square:
        for matrix in (leaf, leaf.T):
            for signed in (matrix, -matrix):
                if same(signed, v, found):
                    w = v * np.abs(x)  # again, in the units of x
                    return signed if same(signed, w, push(w)) else None
    return None
