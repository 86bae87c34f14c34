"""Meshes of the radial half-line: where the elements end, their order, their quadrature."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from numsolve._core import checks

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike


#: The shortest element in bohr: energies go with the inverse square, and are looked for up to 1e100.
SHORTEST = 1e-45
#: The least radius of a mesh that numsolve makes, in bohr: its elements are longer than `SHORTEST`.
LEAST_RADIUS = 1e-40
#: The farthest end in bohr: a bracket of energies is halved 200 times, from one to 1e-60.
LONGEST = 1e25
#: Far beyond any nucleus; its first element is still long enough.
LARGEST_CHARGE = 1e6
#: Beyond it rounding errors grow, and nothing else changes; error estimates go four further.
HIGHEST_ORDER = 60


@dataclass(frozen=True)
class RadialMesh:
    """Elements of one polynomial order between given radii.

    Parameters
    ----------
    edges : array of shape (n_elements + 1,)
        Ends of the elements in bohr, strictly increasing. The first is 0; a positive one is an inner wall
        where orbitals vanish.
    order : int
        Degree p of the polynomials, at least 2. The error falls exponentially with it.
    n_quad : int, optional
        Quadrature points per element, ``order + 4`` by default.

    Examples
    --------
    >>> from numsolve.atomic import RadialMesh
    >>> mesh = RadialMesh.exponential(0.0, 10.0, ratio=100.0, n_elements=4, order=12)
    >>> mesh
    RadialMesh(4 elements of order 12 on [0, 10], 47 unknowns)
    >>> mesh.edges.round(4)
    array([ 0.    ,  0.0786,  0.4435,  2.1376, 10.    ])
    """

    edges: Array
    order: int = 14
    n_quad: int = field(default=0)

    def __init__(self, edges: ArrayLike, order: int = 14, n_quad: int | None = None) -> None:
        edges = np.array(checks.array("edges", edges, ndim=1, dtype=np.float64, low=0.0))
        if edges.size < 2:
            raise ValueError(f"edges must hold at least two radii, got {edges.size}")
        lengths = np.diff(edges)
        shortest = float(lengths.min())
        if shortest <= 0:
            i = int(np.flatnonzero(lengths <= 0)[0])
            raise ValueError(
                f"edges must be strictly increasing, got {edges[i]} then {edges[i + 1]} at index {i + 1}"
            )
        if shortest < SHORTEST or edges[-1] > LONGEST:
            raise ValueError(
                f"edges must make elements of at least {SHORTEST:g} bohr that end by {LONGEST:g}, so that "
                f"energies neither over- nor underflow; got a length of {shortest:.3g} and {edges[-1]:.3g}"
            )
        edges.flags.writeable = False
        order = checks.integer("order", order, low=2, high=HIGHEST_ORDER)
        n_quad = order + 4 if n_quad is None else checks.integer("n_quad", n_quad, low=order + 1, high=128)
        self._set(edges, order, n_quad)

    def _set(self, edges: Array, order: int, n_quad: int) -> None:
        for name, value in (("edges", edges), ("order", order), ("n_quad", n_quad)):
            object.__setattr__(self, name, value)

    @classmethod
    def exponential(
        cls,
        r_min: float,
        r_max: float,
        ratio: float,
        n_elements: int,
        order: int = 14,
        n_quad: int | None = None,
    ) -> Self:
        """Elements that grow geometrically.

        Parameters
        ----------
        r_min, r_max : float
            Ends of the mesh, in bohr.
        ratio : float
            Length of the last element over that of the first, positive; 1 for equal elements.
        n_elements : int
            Number of elements.
        order, n_quad : int
            As for the class.

        Returns
        -------
        RadialMesh
        """
        r_min = checks.real("r_min", r_min, low=0.0)
        r_max = checks.real("r_max", r_max, low=r_min, open_low=True)
        ratio = checks.real("ratio", ratio, low=0.0, open_low=True)
        n_elements = checks.integer("n_elements", n_elements, low=1)
        return cls(_exponential(r_min, r_max, ratio, n_elements), order, n_quad)

    @classmethod
    def uniform(
        cls, r_max: float, n_elements: int, order: int = 14, n_quad: int | None = None, *, r_min: float = 0.0
    ) -> Self:
        """Elements of equal length on [r_min, r_max].

        Parameters
        ----------
        r_max : float
            The outer end, in bohr.
        n_elements : int
            Number of elements.
        order, n_quad : int
            As for the class.
        r_min : float
            The inner end.

        Returns
        -------
        RadialMesh
        """
        return cls.exponential(r_min, r_max, 1.0, n_elements, order, n_quad)

    @classmethod
    def atomic(
        cls,
        Z: float,
        relativistic: bool = False,
        r_max: float = 50.0,
        n_elements: int = 8,
        order: int | None = None,
    ) -> Self:
        """The mesh that `numsolve.atomic.AtomDFT` takes for a nuclear charge by default.

        Parameters
        ----------
        Z : float
            Nuclear charge.
        relativistic : bool
            Whether the equation is Dirac's: the potential of relativistic exchange is singular at the
            nucleus, so that a short first element is needed there.
        r_max : float
            Where orbitals vanish, in bohr. At 50, the least bound neutral atoms keep their energies to 1e-9
            Ha.
        n_elements : int
            Number of elements; multiples of eight use the vector registers best.
        order : int, optional
            15, or 21 if `relativistic`.

        Returns
        -------
        RadialMesh
        """
        n_elements = checks.integer("n_elements", n_elements, low=2)
        Z = checks.real("Z", Z, low=0.0, high=LARGEST_CHARGE)
        relativistic = checks.flag("relativistic", relativistic)
        r_max = checks.real("r_max", r_max, low=LEAST_RADIUS, high=LONGEST)
        charge = max(Z, 1.0)
        if relativistic:
            first = min(3e-4 * 92 / charge, 0.01 * r_max)
            rest = _exponential(first, r_max, 50 + 8000 * (charge / 92) ** 0.7, n_elements - 1)
            return cls(np.concatenate(([0.0], rest)), 21 if order is None else order)
        edges = _exponential(0.0, r_max, 20 + 600 * charge / 92, n_elements)
        return cls(edges, 15 if order is None else order)

    @property
    def n_elements(self) -> int:
        """Number of elements."""
        return int(self.edges.size) - 1

    @property
    def r_max(self) -> float:
        """The outer end, in bohr."""
        return float(self.edges[-1])

    def refined(self, by: int = 2) -> RadialMesh:
        """Make the same elements with polynomials and quadrature of a higher order.

        Parameters
        ----------
        by : int
            By how much.

        Returns
        -------
        RadialMesh
        """
        by = checks.integer("by", by, low=2 - self.order, high=HIGHEST_ORDER + 4 - self.order)
        other = object.__new__(RadialMesh)
        other._set(self.edges, self.order + by, self.n_quad + by)
        return other

    def divided(self, parts: ArrayLike) -> RadialMesh:
        """Divide the elements into equal ones.

        Parameters
        ----------
        parts : int or array of shape (n_elements,)
            Into how many, each.

        Returns
        -------
        RadialMesh
        """
        counts = np.broadcast_to(np.asarray(parts, dtype=int), self.n_elements)
        edges = [
            np.linspace(left, right, count, endpoint=False)
            for left, right, count in zip(self.edges[:-1], self.edges[1:], counts, strict=True)
        ]
        return RadialMesh(np.concatenate([*edges, self.edges[-1:]]), self.order, self.n_quad)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RadialMesh) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[bytes, int, int]:
        return self.edges.tobytes(), self.order, self.n_quad

    def __repr__(self) -> str:
        first, last = self.edges[0], self.edges[-1]
        unknowns = self.n_elements * self.order - 1
        return (
            f"RadialMesh({self.n_elements} elements of order {self.order} on [{first:g}, {last:g}], "
            f"{unknowns} unknowns)"
        )


def _exponential(r_min: float, r_max: float, ratio: float, n: int) -> Array:
    """``x_i = s (exp(beta i) - 1) + r_min`` with beta = ln(ratio)/(n - 1)."""
    i = np.arange(n + 1)
    beta = np.log(ratio) / (n - 1) if n > 1 else 0.0
    edges = r_min + (r_max - r_min) * (np.expm1(beta * i) / np.expm1(beta * n) if beta else i / n)
    edges[-1] = r_max
    return edges
