r"""Toeplitz matrices with corrections in their outer rows and columns.

Collocation on a uniform mesh with clamped ends differs from a Toeplitz matrix T in the outer ``p - 1``
columns of either side, whose functions are no shifts of the others, and in the outer ``p - 2`` rows, whose
points are no shifts of the others:

    A = T + columns + rows,     rank(A - T) <= 4 p - 6.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from numsolve._core import arrays

from . import _generic, _transforms

if TYPE_CHECKING:
    from types import ModuleType


def transforms_for(xp: Any) -> ModuleType:
    """SciPy's transforms for NumPy, plain array code for any other library."""
    return _transforms if arrays.is_numpy(xp) else _generic


@dataclass(frozen=True, eq=False)
class Cornered:
    """The matrix T + columns + rows.

    Attributes
    ----------
    xp : namespace
        The library of the arrays.
    column, row : array of shape (K,)
        The first column and the first row of T.
    left : array of shape (p - 1, K)
        What the first columns have beyond T, a row of the array for each.
    top : array of shape (p - 2, K - 2 (p - 1))
        What the first rows have beyond T, between the outer columns.
    right, bottom : array
        The same for the matrix read from the other end (both indices reversed). If they are `left` and
        `top` themselves, the matrix is centrosymmetric.
    """

    xp: Any
    column: Any
    row: Any
    left: Any
    top: Any
    right: Any
    bottom: Any

    @property
    def rank(self) -> int:
        """Outer columns and rows in all: the rank of A - T, at most."""
        return 2 * int(self.left.shape[0] + self.top.shape[0])

    @cached_property
    def product(self) -> Any:
        """Fast products with T."""
        return transforms_for(self.xp).ToeplitzProduct(self.column, self.row)

    def __reduce__(self) -> Any:
        # A module does not pickle, but its name does.
        return _restored, (self.xp.__name__, *(getattr(self, name) for name in PARTS))

    def matvec(self, x: Any) -> Any:
        """``A x``, along the last axis of x."""
        y = self.product(x)
        self._add_corners(y, x, self.left, self.top)
        self._add_corners(y[..., ::-1], x[..., ::-1], self.right, self.bottom)
        return y

    def rmatvec(self, x: Any) -> Any:
        """``A' x``, along the last axis of x."""
        y = self.product.transposed(x)
        self._add_transposed_corners(y, x, self.left, self.top)
        self._add_transposed_corners(y[..., ::-1], x[..., ::-1], self.right, self.bottom)
        return y

    def _add_corners(self, y: Any, x: Any, left: Any, top: Any) -> None:
        c, r = left.shape[0], top.shape[0]
        y += x[..., :c] @ left
        if r:
            y[..., :r] += x[..., c : x.shape[-1] - c] @ top.T

    def _add_transposed_corners(self, y: Any, x: Any, left: Any, top: Any) -> None:
        c, r = left.shape[0], top.shape[0]
        y[..., :c] += x @ left.T
        if r:
            y[..., c : x.shape[-1] - c] += x[..., :r] @ top

    def scaled(self, factor: float) -> Cornered:
        """The matrix times a number."""
        return self._map(lambda part: factor * part)

    def plus(self, other: Cornered) -> Cornered:
        """The sum with another matrix of the same shape and degree."""
        return self._map(lambda a, b: a + b, other)

    def on(self, xp: Any, like: Any) -> Cornered:
        """The same matrix in another array library, on the device of `like`."""
        if arrays.is_numpy(xp):
            return self
        moved = self._map(lambda part: move(xp, part, like))
        return Cornered(xp, *(getattr(moved, name) for name in PARTS))

    def _map(self, function: Any, *others: Cornered) -> Cornered:
        """Apply a function to each part; parts that are shared stay so."""
        done: dict[tuple[int, ...], Any] = {}
        parts = []
        for name in PARTS:
            values = [getattr(matrix, name) for matrix in (self, *others)]
            key = tuple(map(id, values))
            if key not in done:
                done[key] = function(*values)
            parts.append(done[key])
        return Cornered(self.xp, *parts)

    def todense(self) -> Any:
        """The matrix as a NumPy array."""
        from scipy.linalg import toeplitz

        dense = toeplitz(self.column, self.row)
        for view, left, top in (
            (dense, self.left, self.top),
            (dense[::-1, ::-1], self.right, self.bottom),
        ):
            c, r = left.shape[0], top.shape[0]
            view[:, :c] += left.T
            view[:r, c : view.shape[1] - c] += top
        return dense


class SplineMatrix(Protocol):
    """What preconditioners need of a collocation operator."""

    @property
    def p(self) -> int:
        """The degree."""

    @property
    def n(self) -> int:
        """The spans."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def structure(self) -> Cornered:
        """The matrix as Toeplitz part and corners."""

    def symbol_samples(self) -> tuple[Any, Any]:
        """Angles, and the symbol there."""


PARTS = ("column", "row", "left", "top", "right", "bottom")


def _restored(library: str, *parts: Any) -> Cornered:
    return Cornered(importlib.import_module(library), *parts)


def move(xp: Any, x: Any, like: Any) -> Any:
    """A NumPy array in the library `xp`, on the device of `like`."""
    return x if like is None or arrays.is_numpy(xp) else xp.asarray(x, device=arrays.device(like))
