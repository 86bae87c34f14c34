"""What `solve_poisson` is given and gives back: right-hand sides, starts, solutions, closed components."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays, checks

from ._given import OPEN, UNKNOWN

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike

    from .grid import GridPoisson


#: The least number whose neighbours are as close as their rounding errors, with all its digits.
EPS = float(np.finfo(float).eps)
LEAST = float(np.finfo(float).tiny) / EPS


class Sides:
    """The right-hand sides and starts, on the grid or packed, one or several."""

    def __init__(
        self, problem: GridPoisson, b: ArrayLike, x0: ArrayLike | None, boundary_values: ArrayLike | None
    ) -> None:
        self.problem = problem
        xp = arrays.array_namespace(b=b, x0=x0, boundary_values=boundary_values)
        if not arrays.is_numpy(xp):
            raise TypeError(f"b is a {arrays.namespace_name(xp)} array; a NumPy array is wanted")
        if isinstance(b, np.matrix):
            raise TypeError("b is a numpy.matrix; give an array: numpy.asarray(b)")
        given = checks.array("b", b, check_finite=False)
        self.dtype = given.dtype
        self.single = given.dtype == np.float32
        #: of the numbers of x
        self.eps = float(np.finfo(given.dtype).eps)
        shape, grid = given.shape, problem.grid_shape
        self.shape = shape
        self.packed = shape != grid and shape[:-1] != grid
        self.several = shape not in {grid, (problem.n,)}
        if self.packed and (len(shape) not in {1, 2} or shape[0] != problem.n):
            raise ValueError(
                f"b must have the shape of the grid, {grid}, or that of the unknowns, ({problem.n},), or one "
                f"more axis at the end; got {shape}"
            )
        self.count = shape[-1] if self.several else 1
        self.b: Array = self._own(given)
        self.x0: Array | None = None
        if x0 is not None:
            start = checks.array("x0", x0, check_finite=False)
            if start.shape != shape:
                raise ValueError(f"x0 must have the shape of b, {shape}, got {start.shape}")
            self.x0 = self._own(start)
        self.values: Array | None = None
        self.brought: Array | None = None
        if boundary_values is not None:
            self._boundary(boundary_values)

    def _own(self, values: Array) -> Array:
        """A copy in double precision, one right-hand side after the other: each is read more than once."""
        return np.array(np.moveaxis(values, -1, 0) if self.several else values, dtype=float, order="C")

    def _boundary(self, boundary_values: ArrayLike) -> None:
        """What the values in open cells add to b."""
        problem = self.problem
        if np.asarray(boundary_values).dtype == bool:
            raise TypeError(f"boundary_values must be numbers, got {boundary_values!r}")
        given = checks.array("boundary_values", boundary_values, check_finite=False).astype(float)
        if given.shape not in {(), problem.grid_shape}:
            raise ValueError(
                f"boundary_values must be a number or have shape {problem.grid_shape}, got {given.shape}"
            )
        g = np.where(problem.flags == OPEN, given, 0.0)
        checks.finite("boundary_values", g)
        self.values, brought = g, np.zeros_like(g)
        for axis, w in enumerate(problem.face_weights()):
            behind = (slice(None),) * axis + (slice(None, -1),)
            ahead = (slice(None),) * axis + (slice(1, None),)
            brought[behind] += w * g[ahead]
            brought[ahead] += w * g[behind]
        largest = float(np.max(np.abs(brought), initial=0.0))
        if 0.0 < largest and largest * problem.scale < LEAST and self._largest() < LEAST / EPS:
            raise ValueError(
                f"boundary_values are too small for this spacing: what they bring to b, {largest:.3g} times "
                f"{problem.scale:.3g}, is below the range of floats, and b is no larger; scale them both"
            )
        self.brought = problem.spread(brought, problem.scale)

    def _largest(self) -> float:
        return float(np.max(np.abs(self.b), initial=0.0, where=np.isfinite(self.b)))

    def spread(self, name: str, values: Array, k: int) -> Array:
        one = values[k] if self.several else values
        places = self.problem.spread(one)
        with np.errstate(over="ignore", invalid="ignore"):
            fine = np.isfinite(places.sum())
        if not fine:
            bad = ~np.isfinite(one) if self.packed else ~np.isfinite(one) & (self.problem.flags == UNKNOWN)
            if bad.any():
                where = tuple(int(i) for i in np.argwhere(bad)[0])
                raise ValueError(f"{name} must hold finite numbers, got {one[where]} at index {where}")
        return places

    def column(self, k: int) -> Array:
        """One right-hand side in the order of the kernels."""
        b = self.spread("b", self.b, k)
        return b if self.brought is None else b + self.brought

    def start(self, k: int) -> Array | None:
        """Its start."""
        return None if self.x0 is None else self.spread("x0", self.x0, k)

    def present(self, places: Array) -> Array:
        """An iterate as the caller knows it."""
        x = self.problem.collect(places, packed=self.packed)
        if self.values is not None and not self.packed:
            x += self.values
        return x

    def cast(self, x: Array) -> Array:
        """In the caller's precision: zeros, where that has no such numbers."""
        if not self.single:
            return x
        with np.errstate(over="ignore", under="ignore"):
            out: Array = x.astype(np.float32)
        if not np.isfinite(out).all():
            out[... if self.packed else self.problem.flags == UNKNOWN] = 0.0
        return out

    def together(self, solutions: list[Array]) -> Array:
        """The solutions in the shape of b."""
        if not self.several:
            return solutions[0]
        return np.stack(solutions, axis=-1) if solutions else np.zeros(self.shape, self.dtype)

    def returned(self, x: Array) -> Array:
        """A solution as it is handed back, in the order of the kernels."""
        return self.problem.spread(x.astype(float))


class Components:
    """The components that touch no open cell: what b must satisfy there, and which constant x gets."""

    #: The sum of b over a closed component may be this part of the sum of absolute values: where b is of
    #: double precision, and of single, where its entries are rounded themselves.
    BALANCE, BALANCE_SINGLE = 1e-10, 4 * float(np.finfo(np.float32).eps)

    def __init__(self, problem: GridPoisson) -> None:
        self.closed = problem.closed()
        if self.closed.size:
            labels, count = problem.components()
            rank = np.zeros(count + 1, dtype=np.int64)
            rank[self.closed] = np.arange(1, self.closed.size + 1)
            #: 0 for unknowns of components that touch an open cell
            self.rank = rank[problem.pack(labels).astype(np.int64)]
            self.sizes = np.bincount(self.rank, minlength=self.closed.size + 1)
            self.places = problem.places()
            alone = self.sizes == 1
            alone[0] = False
            #: closed components of one cell, where the only vector of mean zero is zero
            self.alone = self.places[alone[self.rank]]

    def sums(self, v: Array) -> Array:
        """The sum over each closed component of a vector in the order of the kernels."""
        sums: Array = np.bincount(self.rank, v[self.places], self.closed.size + 1)
        return sums

    def check(self, b: Array, *, single: bool) -> None:
        """Refuse a right-hand side that a closed component cannot carry."""
        largest = float(np.max(np.abs(b), initial=0.0)) if self.closed.size else 0.0
        if largest == 0.0:
            return
        part = b / largest
        defect, size = self.sums(part), self.sums(np.abs(part))
        share = self.BALANCE_SINGLE if single else self.BALANCE
        eps = float(np.finfo(np.float32 if single else float).eps)
        bad = np.abs(defect) > share * size + self.sizes * eps
        bad[0] = False
        if bad.any():
            with np.errstate(over="ignore"):
                defect, size = defect * largest, size * largest
            c = int(np.argmax(np.where(bad, np.abs(defect), 0.0)))
            raise ValueError(
                f"b must sum to 0 over each component of unknowns that touches no open cell; over one of "
                f"{self.sizes[c]} unknowns ({int(bad.sum())} such) the sum is {defect[c]:.3g}, of absolute "
                f"values {size[c]:.3g} (project=True subtracts the mean)"
            )

    def centred(self, v: Array) -> Array:
        """The vector less its mean on each closed component."""
        largest = float(np.max(np.abs(v), initial=0.0)) if self.closed.size else 0.0
        if not 0.0 < largest < math.inf:
            return v
        means = self.sums(v / largest) / np.maximum(self.sizes, 1) * largest
        means[0] = 0.0
        out = v.copy()
        out[self.places] -= means[self.rank]
        out[self.alone] = 0.0
        return out
