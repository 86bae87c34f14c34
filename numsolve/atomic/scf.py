"""The self-consistent field of one atom on one mesh, as the compiled loop works on it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from .tables import PIECE_SECONDS, Fields, Mixing, Pencil, pieces, zeros

if TYPE_CHECKING:
    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array

    from .tables import States, Tables

#: A last look costs so many factorisations a state: up to eight steps, and two for its certificate.
LOOK = 10


@dataclass(frozen=True)
class SelfConsistentField:
    """What the kernels work on. Potentials x are those of the electrons, (spins, blocks, points, 8)."""

    Z: float
    c: float | None  # None for Schrödinger's equation
    tables: Tables
    states: States
    pencil: Pencil
    fields: Fields
    mixing: Mixing

    @classmethod
    def of(
        cls,
        Z: float,
        c: float | None,
        tables: Tables,
        states: States,
        *,
        spins: int,
        functional: tuple[float, float],
        depth: int = 0,
    ) -> SelfConsistentField:
        """A field without values; `depth` is how many steps Anderson mixing remembers."""
        V = zeros((spins, *tables.r.shape))
        return cls(
            Z,
            c,
            tables,
            states,
            Pencil.of(tables, V),
            Fields.of(tables, spins, functional),
            Mixing.of(V.size, depth),
        )

    @property
    def step_seconds(self) -> float:
        """Roughly what a step takes."""
        return self.tables.probe_seconds * (self.states.energy.size + len(self.pencil.vm))

    def iterate(
        self, x: Array, n: int, stop_at: float, residuals: Array, *, alpha: float, limits: Limits
    ) -> tuple[int, bool]:
        """Do up to n steps; return how many, and whether the last one stopped the iteration.

        ``residuals`` (3, n) takes those of the potential and the energies, and the total energy; ``mixing.x``
        becomes the potential that they belong to, x the next one. No step is done if the time ends before.
        """
        done, stopped = self._work(x, n, stop_at, residuals, alpha=alpha)
        while not done and not limits.expired:  # a long step, cut in pieces; each piece advances it
            done, stopped = self._work(x, n, stop_at, residuals, alpha=alpha)
        return done, stopped

    def settle(self, x: Array, limits: Limits, *, sure: bool = True) -> bool:
        """Compute all that belongs to the potential x; return whether there was time for it.

        If `sure`, the states are iterated until they stand, and certified by inertia.
        """
        if limits.expired and (LOOK if sure else 1) * self.step_seconds > PIECE_SECONDS:
            return False
        sweeps, row = 8 if sure else 1, np.empty((3, 1))
        done = self._work(x.copy(), 1, inf, row, sweeps=sweeps)[0]
        while not done and not limits.expired:
            done = self._work(x.copy(), 1, inf, row, sweeps=sweeps)[0]
        certified = bool(done) and (not sure or self._work(x, 0, inf, row, certifying=True)[1])
        while done and not certified and not limits.expired:
            certified = self._work(x, 0, inf, row, certifying=True)[1]
        return certified

    def _work(
        self,
        x: Array,
        n: int,
        stop_at: float,
        residuals: Array,
        *,
        alpha: float = 1.0,
        sweeps: int = 1,
        certifying: bool = False,
    ) -> tuple[int, bool]:
        from . import _cpu_scf as kernels

        done, stopped = kernels.iterate(
            self.tables,
            self.states,
            self.pencil,
            self.fields,
            self.mixing,
            self.c,
            True if len(x) == 2 else None,  # types of their own: each is compiled without the other
            self.Z,
            x,
            alpha,
            n,
            stop_at,
            residuals,
            sweeps,
            pieces(self.tables),
            certifying,
        )
        return int(done), bool(stopped)
