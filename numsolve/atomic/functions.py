"""The functions of an atom at any radii: orbitals, densities, potentials, their derivatives, norms.

Orbitals are what the elements have. The potentials of the electrons are interpolated on each element, times
r; the nucleus' is exact. Of Dirac's orbitals P gives Q, and both equations the derivatives:

    P' = D - kappa P / r,   Q = D / (2 c M),   Q' = kappa Q / r + (V - eps) P / c,

for the scalar equation with kappa = -1 and l (l + 1) / (2 c M r^2) P on the right of the last one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numsolve._core import checks

from . import basis
from .tables import node_radii

#: In half lengths of the first element: nearer to zero P is its series.
NEAR = 1e-6
#: In bohr; a nucleus is seven orders of magnitude larger.
LEAST = 1e-12

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numsolve._core.typing import Array, ArrayLike

    from .mesh import RadialMesh
    from .nucleus import Nucleus


@dataclass(frozen=True, eq=False)
class AtomFunctions:
    """Functions of an atom at radii r, or their derivatives by r.

    Parameters
    ----------
    r : array
        Radii in bohr.
    P, Q : array of shape (n_orbitals, ...)
        Radial functions of the orbitals; Q is None for Schrödinger.
    density : array
        Electrons per cubic bohr.
    spin_density : array or None
        Up less down.
    v_eff, v_hartree, v_xc : array
        The potential that the orbitals feel, and its parts, in hartree; with a first axis for up and down
        where the atom is spin-polarised, but for `v_hartree`.
    """

    r: Array
    P: Array
    Q: Array | None
    density: Array
    spin_density: Array | None
    v_eff: Array
    v_hartree: Array
    v_xc: Array


class Pair(NamedTuple):
    """A function and its derivative."""

    value: Array
    slope: Array


class Small(NamedTuple):
    """Q, its derivative, and for the scalar equation the other small part, sqrt(l (l + 1)) P / (2 c M r)."""

    value: Array
    slope: Array
    turning: Array


@dataclass(frozen=True)
class Elements:
    """What the elements know of an atom."""

    mesh: RadialMesh
    x: Array  # (elements, points): quadrature points on [-1, 1]
    r: Array  # (elements, points)
    u: Array  # (states, elements, nodes from left to right)
    powers: Array  # (states,): of r, before the polynomials
    kappa: Array  # (states,): P' = D - kappa P / r
    l: Array  # (states,)  # noqa: E741
    energy: Array
    occupation: Array
    spin: Array  # (states,): which of the potentials
    c: float | None
    scalar: bool
    Z: float
    nucleus: Nucleus | None
    electrons: Array  # (spins, elements, points): their potential
    hartree: Array  # (elements, points)
    xc: Array  # (spins, elements, points)
    external: Array | None  # (elements, points)
    functional: str

    @property
    def charge(self) -> float:
        """All electrons."""
        return float(self.occupation.sum())

    def evaluate(self, r: Array, derivative: int) -> AtomFunctions:
        """Functions at the radii, of one dimension, or their derivatives."""
        v_eff, hartree, xc = self.potentials(r)
        P, D = self.large(r)
        small = None if self.c is None else self.small(r, P.value, D, v_eff.value)
        Q = None if small is None else Pair(small.value, small.slope)
        spins = len(v_eff.value)
        rho, slope = np.zeros((2, spins, r.size))
        for k, f in enumerate(self.occupation.tolist()):
            parts = [P] if Q is None or self.scalar else [P, Q]
            norm = f if not self.scalar else f / self.large_norms[k]
            for part in parts:
                over_r = part.value[k] / r  # its square may be a number where r^2 is none
                rho[self.spin[k]] += norm * over_r**2
                slope[self.spin[k]] += 2 * norm * over_r * ((part.slope[k] - over_r) / r)
        n = Pair(rho / (4 * pi), slope / (4 * pi))

        def side(pair: Pair) -> Array:
            return pair.value if derivative == 0 else pair.slope

        def flat(values: Array) -> Array:
            return values if spins == 2 else values[0]

        both = side(n)
        return AtomFunctions(
            r,
            side(P),
            None if Q is None else side(Q),
            both.sum(axis=0),
            both[0] - both[1] if spins == 2 else None,
            flat(side(v_eff)),
            side(hartree)[0],
            flat(side(xc)),
        )

    # -- potentials --------------------------------------------------------------------------------

    def potentials(self, r: Array) -> tuple[Pair, Pair, Pair]:
        """The whole potential, Hartree's, and that of exchange and correlation, (spins or 1, radii)."""
        outside = r > self.mesh.r_max
        hartree = self.interpolated(self.hartree[None], r)
        xc, electrons = self.interpolated(self.xc, r), self.interpolated(self.electrons, r)
        for pair in (hartree, electrons):  # all electrons are inside
            pair.value[:, outside] = self.charge / r[outside]
            pair.slope[:, outside] = -self.charge / r[outside] ** 2
        if self.nucleus is None:
            nuclear = Pair(-self.Z / r, self.Z / r**2)
        else:
            nuclear = Pair(self.nucleus.potential(r), self.nucleus.slope(r))
        whole = Pair(electrons.value + nuclear.value, electrons.slope + nuclear.slope)
        if self.external is not None:
            if outside.any():
                raise ValueError(
                    f"r must end by {self.mesh.r_max:g}, the end of the mesh: the external potential is "
                    f"known there; got {r.max():g}"
                )
            external = self.interpolated(self.external[None], r)
            whole = Pair(whole.value + external.value, whole.slope + external.slope)
        return whole, hartree, xc

    def interpolated(self, values: Array, r: Array) -> Pair:
        """Functions (m, elements, points) at the radii, times r by polynomials; zero beyond the mesh."""
        out = Pair(*np.zeros((2, len(values), r.size)))
        for e, which, xi, half in self._places(r):
            weights = basis.lagrange(self.x[e], xi)
            table = self.r[e] * values[:, e]
            product = table @ weights.T
            slope = table @ (weights @ basis.differentiation(self.x[e])).T / half
            out.value[:, which] = product / r[which]
            out.slope[:, which] = slope / r[which] - product / r[which] ** 2
        return out

    # -- orbitals ----------------------------------------------------------------------------------

    def large(self, r: Array) -> tuple[Pair, Array]:
        """P with its derivative, and D; zero beyond the mesh."""
        P = Pair(*np.zeros((2, len(self.u), r.size)))
        nodes, radii = basis.lobatto_nodes(self.mesh.order), node_radii(self.mesh)
        derivative = basis.differentiation(nodes)
        for e, which, xi, half in self._places(r):
            phi = basis.lagrange(nodes, xi)
            slope = phi @ derivative / half
            at, left = r[which, None], self.mesh.edges[e]
            for power in np.unique(self.powers):
                ratio = (at / radii[e]) ** power if power else 1.0
                states = np.flatnonzero(self.powers == power)[:, None]
                P.value[states, which] = self.u[states[:, 0], e] @ (ratio * phi).T
                P.slope[states, which] = self.u[states[:, 0], e] @ (ratio * (slope + power / at * phi)).T
                if power == 0.0 and left == 0.0 and (near := r[which] < NEAR * half).any():
                    # P is nil at zero: the rounding errors of the sum of values would be relative to all
                    at_zero, curved = r[which][near], slope[near] @ derivative / half
                    series = slope[near] - 0.5 * at_zero[:, None] * curved
                    P.value[states, which[near]] = self.u[states[:, 0], e] @ (at_zero[:, None] * series).T
        return P, P.slope + self.kappa[:, None] / r * P.value

    def small(self, r: Array, P: Array, D: Array, V: Array) -> Small:
        """Q with its derivative."""
        assert self.c is not None
        above = V[self.spin] - self.energy[:, None]
        mass = 2 * self.c - above / self.c  # 2 c M
        turns = np.sqrt(self.l * (self.l + 1.0) * self.scalar)[:, None] / r
        Q, turning = D / mass, turns * P / mass
        return Small(Q, self.kappa[:, None] / r * Q + above / self.c * P + turns * turning, turning)

    @property
    def large_norms(self) -> Array:
        """Of each state, int P^2."""
        return np.asarray(self._beyond(np.zeros(1), small=False)[:, 0])

    def norms_outside(self, r: Array) -> Array:
        """Of each state, the integral of the squares of all components from r on, (states, radii)."""
        return self._beyond(r, small=self.c is not None)

    def _beyond(self, r: Array, *, small: bool) -> Array:
        """Integrals from r to the end of its element, by a rule of its own, and of the elements beyond."""
        x, w = basis.gauss_rule(self.mesh.n_quad)
        edges = self.mesh.edges

        def integral(left: Array, right: Array) -> Array:
            half = (right - left)[:, None] / 2
            points = np.maximum((left[:, None] + half * (1 + x)).ravel(), 1e-300)
            P, D = self.large(points)
            square = P.value**2
            if small:
                Q = self.small(points, P.value, D, self.potentials(points)[0].value)
                square = square + Q.value**2 + Q.turning**2
            return np.asarray((square.reshape(len(square), -1, x.size) * w * half).sum(axis=-1))

        whole = integral(edges[:-1], edges[1:])
        beyond = np.concatenate([np.cumsum(whole[:, ::-1], axis=1)[:, ::-1], 0 * whole[:, :1]], axis=1)
        inside = np.clip(r, edges[0], edges[-1])
        element = np.clip(np.searchsorted(edges, inside, side="right") - 1, 0, len(edges) - 2)
        return beyond[:, element + 1] + integral(inside, edges[element + 1])

    def _places(self, r: Array) -> Iterator[tuple[int, Array, Array, float]]:
        """Each element that has radii in it: its number, which, where on [-1, 1], half its length."""
        edges = self.mesh.edges
        element = np.clip(np.searchsorted(edges, r, side="right") - 1, 0, self.mesh.n_elements - 1)
        element[(r < edges[0]) | (r > edges[-1])] = -1
        for e in np.unique(element[element >= 0]).tolist():
            which, half = np.flatnonzero(element == e), float(edges[e + 1] - edges[e]) / 2
            yield e, which, (r[which] - edges[e]) / half - 1, half


def read_radii(r: ArrayLike) -> Array:
    """Check radii at which functions are wanted."""
    radii = np.asarray(checks.array("r", r, dtype=np.float64, low=0.0))
    if not (radii > 0).all():
        raise ValueError("r must be positive: the potential of a nucleus is infinite at zero; got 0.0")
    if (radii < LEAST).any():
        raise ValueError(
            f"r must be at least {LEAST:g} bohr: rounding errors of potentials and derivatives grow like "
            f"1 / r; got {radii.min():g}"
        )
    return radii
