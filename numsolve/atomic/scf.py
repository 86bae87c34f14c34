"""The self-consistent field of one atom on one mesh, as the compiled loop works on it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from ._radial import read_potential
from ._tuples import PIECE_SECONDS, Fields, Mixing, Order, Pencil, States, pieces, zeros
from .gradient import gradient
from .tables import (
    dirac_tables,
    first_exponent,
    gather,
    radial_power,
    scalar_power,
    scalar_tables,
    schroedinger_tables,
    spread,
)

if TYPE_CHECKING:
    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array

    from ._radial import Potential
    from ._tuples import Gradient, Tables
    from .configuration import Level
    from .mesh import RadialMesh
    from .nucleus import Nucleus
    from .xc import Functional

#: A last look costs so many factorisations a state: up to eight steps, and two for its certificate.
LOOK = 10


@dataclass(frozen=True)
class Equations:
    """What is solved, whatever the mesh."""

    Z: float
    c: float | None  # None for Schrödinger's equation
    scalar: bool  # whether spin and orbit are averaged
    levels: tuple[Level, ...]
    spins: int
    functional: Functional
    nucleus: Nucleus | None = None  # a point
    external: Potential | None = None
    temperature: float = 0.0

    @property
    def point(self) -> float:
        """The charge of the point at the centre."""
        return self.Z if self.nucleus is None else 0.0

    @property
    def channels(self) -> tuple[int, ...]:
        """The angular momenta, or the kappas."""
        return tuple(sorted({level.channel for level in self.levels}))

    def tables(self, mesh: RadialMesh) -> Tables:
        """Tables of the channels."""
        if self.c is None:
            return schroedinger_tables(mesh, self.channels)
        make = scalar_tables if self.scalar else dirac_tables
        return make(mesh, self.channels, self.point, self.c)

    @property
    def powers(self) -> tuple[float, ...]:
        """The power of r before the polynomials, for each basis table, on a mesh that begins at zero."""
        if self.c is None:
            return (0.0,)
        power = scalar_power if self.scalar else radial_power
        return tuple(power(channel, self.point, self.c) for channel in self.channels)

    def exponent(self, mesh: RadialMesh) -> float:
        """The Jacobi exponent of the first element's points."""
        return 0.0 if self.c is None or mesh.edges[0] > 0.0 else first_exponent(self.point, self.c)

    def gradient(self, mesh: RadialMesh, tables: Tables) -> Gradient | None:
        """What a functional of the density's gradient needs."""
        if self.functional.gradient is None:
            return None
        channels = self.channels
        if self.c is None or self.scalar:  # D is P' for Schrödinger, P' - P / r for the scalar equation
            channels = (-1 if self.scalar else 0,) * len(channels)
        constants = np.array(self.functional.gradient)
        return gradient(mesh, tables, self.exponent(mesh), channels, self.spins, constants)

    def fixed(self, mesh: RadialMesh, tables: Tables, out: Array) -> None:
        """Fill in the potentials of the nucleus and of what is outside, (2, blocks, points, 8)."""
        out[0] = -self.Z / tables.r if self.nucleus is None else self.nucleus.potential(tables.r)
        if self.external is not None:
            r = gather(tables.r, mesh.n_elements)
            v = read_potential(self.external, r, 0.0, covered=True, name="external")
            out[1] = spread(v.reshape(mesh.n_elements, mesh.n_quad))


@dataclass(frozen=True)
class SelfConsistentField:
    """What the kernels work on. Potentials x are those of the electrons, (spins, blocks, points, 8)."""

    equations: Equations
    mesh: RadialMesh
    tables: Tables
    states: States
    pencil: Pencil
    fields: Fields
    gradient: Gradient | None
    mixing: Mixing

    @classmethod
    def of(cls, equations: Equations, mesh: RadialMesh, depth: int = 0) -> SelfConsistentField:
        """A field without values; `depth` is how many steps Anderson mixing remembers."""
        tables, levels, channels = equations.tables(mesh), equations.levels, equations.channels
        states = States.of(
            tables,
            [channels.index(level.channel) for level in levels],
            [int(level.spin < 0) for level in levels],
            [level.n - level.l - 1 for level in levels],
            [level.occupation for level in levels],
        )
        states.each["room"] = [level.room for level in levels]
        (V,) = zeros((equations.spins, *tables.r.shape))
        fields = Fields.of(tables, equations.spins)
        equations.fixed(mesh, tables, fields.fixed)
        return cls(
            equations,
            mesh,
            tables,
            states,
            Pencil.of(tables, V),
            fields,
            equations.gradient(mesh, tables),
            Mixing.of(V.size, depth),
        )

    @property
    def step_seconds(self) -> float:
        """Roughly what a step takes."""
        return self.tables.probe_seconds * (self.states.each.size + len(self.pencil.vm))

    def flat(self, values: Array) -> Array:
        """(spins, blocks, points, 8) in the order of the radii; without the first axis for one spin."""
        values = gather(values, self.mesh.n_elements)
        return values if self.equations.spins == 2 else values[0]

    def iterate(
        self, x: Array, n: int, stop_at: float, residuals: Array, *, alpha: float, limits: Limits
    ) -> tuple[int, bool]:
        """Do up to n steps; return how many, and whether the last one stopped the iteration.

        ``residuals`` (3, n) takes those of the potential and the energies, and the total energy; ``mixing.x``
        becomes the potential that they belong to, x the next one. No step is done if the time ends before.
        """
        order = self.order(n=n, stop_at=stop_at, alpha=alpha)
        done, stopped = self._call(x, residuals, order)
        while not done and not limits.expired:  # a long step, cut in pieces; each piece advances it
            done, stopped = self._call(x, residuals, order)
        return done, stopped

    def settle(self, x: Array, limits: Limits, *, sure: bool = True) -> bool:
        """Compute all that belongs to the potential x; return whether there was time for it.

        If `sure`, the states are iterated until they stand, and certified by inertia.
        """
        if limits.expired and (LOOK if sure else 1) * self.step_seconds > PIECE_SECONDS:
            return False
        order, row = self.order(n=1, sweeps=8 if sure else 1, certifying=sure), np.empty((3, 1))
        done, whole = self._call(x, row, order)
        while not whole and not limits.expired:
            if done:
                order = self.order(n=0, certifying=sure)
            more, whole = self._call(x, row, order)
            done += more
        return whole

    def order(
        self,
        *,
        n: int,
        stop_at: float = inf,
        alpha: float = 1.0,
        sweeps: int = 1,
        certifying: bool = False,
    ) -> Order:
        """What a call of the compiled loop is to do, as `Order` says."""
        exchange, correlation, _ = self.equations.functional
        return Order(
            self.equations.Z,
            exchange,
            correlation,
            alpha,
            n,
            stop_at,
            sweeps,
            pieces(self.tables),
            certifying,
            self.equations.temperature,
            sum(level.occupation for level in self.equations.levels),
        )

    def _call(self, x: Array, residuals: Array, order: Order) -> tuple[int, bool]:
        from . import _cpu_scf as kernels

        done, finished = kernels.iterate(
            self.tables,
            self.states,
            self.pencil,
            self.fields,
            self.gradient,
            self.mixing,
            self.equations.c,
            True if len(x) == 2 else None,  # types of their own: each is compiled without the other
            x,
            residuals,
            order,
        )
        return int(done), bool(finished)
