r"""The self-consistent atom in the local density approximation, in one compiled loop.

One step takes the potential of the electrons ``V_ee`` at the quadrature points to

1. the orbitals: one step of Rayleigh's quotient iteration each, checked by inertia
   (`numsolve.atomic.schroedinger`, `numsolve.atomic.dirac`);
2. the density ``rho = 4 pi r^2 n = sum_i f_i (P_i^2 + Q_i^2)``;
3. Hartree's potential, by integrating element by element:
   ``V_H(r) = (1 / r) int_0^r rho + int_r^rmax rho / s ds``;
4. the new ``V_ee = V_H + v_xc(n)``, and the energy at the new density with the old potential, whose error is
   quadratic in the difference:
   ``E = sum_i f_i eps_i - int V rho + (1/2) int V_H rho - int (Z / r) rho + int e_xc rho``;
5. the next potential, by Anderson's mixing with the weight dr.

Source: O. Čertík, J. E. Pask, I. Fernando, R. Goswami, N. Sukumar, L. A. Collins, G. Manzini, J. Vackář,
"High-order finite element method for atomic structure calculations", Comput. Phys. Commun. 297, 109051,
2024, for the elements, the functional and the start; the eigensolver, Hartree's potential and the mixing
are other ones.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Literal, TypedDict

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.codes import NONFINITE, RUNNING
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from ._radial import read_mesh, warn_of_unbound
from .configuration import Shell, ground_configuration, read_configuration
from .fields import orbital_values, refine_states, refined_potential
from .mesh import LARGEST_CHARGE, RadialMesh
from .result import AtomResult, Orbital
from .scf import SelfConsistentField
from .tables import (
    States,
    dirac_tables,
    first_exponent,
    gather,
    radial_power,
    schroedinger_tables,
    spread,
    unspread,
)
from .thomas_fermi import effective_charge
from .xc import C_1986, FUNCTIONALS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numsolve._core.typing import Array, ArrayLike, Callback

    from .configuration import Configuration
    from .tables import Tables

#: Rounding errors of a total energy: what it scatters by among meshes that are fine enough, relative to it,
#: or to one Hartree where it is less.
ROUNDING = 1e-14


@dataclass(frozen=True)
class _State:
    """What one orbital is: quantum numbers, spin and occupation."""

    n: int
    l: int  # noqa: E741
    kappa: int | None
    spin: int
    occupation: float


@dataclass(frozen=True, init=False)
class AtomDFT:
    """A spherical atom or ion in the local density approximation.

    Parameters
    ----------
    Z : float
        Nuclear charge, positive; it need not be an integer.
    n_electrons : float, optional
        Number of electrons, to check the configuration with; for the ground-state configuration, whose: with
        ``n_electrons=10``, that of neon. `Z` by default, or what `configuration` says.
    configuration : str or list, optional
        As "[Ar] 3d5 4s1" or "1s2 2s0.5", or a list of (n, l, occupation) or (n, l, up, down); by default the
        ground state.
    relativistic : bool
        Dirac's equation, with the relativistic correction of exchange. A shell (n, l) is then split between
        j = l + 1/2 and j = l - 1/2 in proportion to their sizes.
    spin_polarized : bool
        Whether the spins have potentials of their own. Shells are filled by Hund's rule, up first, unless the
        configuration says how. Not together with `relativistic`.
    xc : {"lda", "exchange", "hartree"}
        Exchange and correlation, exchange alone, or neither.
    c : float
        Speed of light in atomic units; the default is that of the published tables.
    mesh : RadialMesh, optional
        The elements; `RadialMesh.atomic` by default.
    mixing : {"anderson", "linear"}
        How the next potential is made.
    mixing_alpha : float
        The share of the new potential, in (0, 1].
    mixing_depth : int
        How many steps Anderson's mixing remembers.
    tol : float
        Convergence: the largest change of an orbital energy, and ``sqrt(int rho (V_out - V_in)^2)``, in
        hartree. The total energy is much more accurate than that.

    Examples
    --------
    >>> from numsolve.atomic import AtomDFT
    >>> neon = AtomDFT(10).run()
    >>> round(neon.total_energy, 8)
    -128.23348127
    >>> [orbital.label for orbital in neon.orbitals]
    ['1s', '2s', '2p']
    >>> neon.certified
    True
    """

    Z: float
    n_electrons: float
    configuration: tuple[Shell, ...]
    relativistic: bool
    spin_polarized: bool
    xc: str
    c: float
    mesh: RadialMesh
    mixing: str
    mixing_alpha: float
    mixing_depth: int
    tol: float
    _states: tuple[_State, ...] = dataclasses.field(repr=False)

    def __init__(
        self,
        Z: float,
        *,
        n_electrons: float | None = None,
        configuration: Configuration | None = None,
        relativistic: bool = False,
        spin_polarized: bool = False,
        xc: Literal["lda", "exchange", "hartree"] = "lda",
        c: float = C_1986,
        mesh: RadialMesh | None = None,
        mixing: Literal["anderson", "linear"] = "anderson",
        mixing_alpha: float = 0.4,
        mixing_depth: int = 8,
        tol: float = 1e-8,
    ) -> None:
        Z = checks.real("Z", Z, low=0.0, open_low=True, high=LARGEST_CHARGE)
        c = checks.real("c", c, low=0.0, open_low=True)
        relativistic = checks.flag("relativistic", relativistic)
        spin_polarized = checks.flag("spin_polarized", spin_polarized)
        if relativistic and c <= Z:
            raise ValueError(
                f"Z must be below c = {c:g}: beyond it a point nucleus has no 1s state; got {Z:g}"
            )
        if relativistic and spin_polarized:
            raise ValueError("spin_polarized needs Schrödinger's equation; got relativistic=True as well")
        shells, electrons = _read_electrons(Z, n_electrons, configuration)
        settings = {
            "Z": Z,
            "n_electrons": electrons,
            "configuration": shells,
            "relativistic": relativistic,
            "spin_polarized": spin_polarized,
            "xc": checks.choice("xc", xc, FUNCTIONALS),
            "c": c,
            "mesh": RadialMesh.atomic(Z, relativistic)
            if mesh is None
            else read_mesh(mesh, 0.0, Z, dirac=False),
            "mixing": checks.choice("mixing", mixing, ("anderson", "linear")),
            "mixing_alpha": checks.real("mixing_alpha", mixing_alpha, low=0.0, high=1.0, open_low=True),
            "mixing_depth": checks.integer("mixing_depth", mixing_depth, low=0, high=100),
            "tol": checks.real("tol", tol, low=0.0),
            "_states": tuple(_split(shells, relativistic, spin_polarized)),
        }
        for name, value in settings.items():
            object.__setattr__(self, name, value)
        size = self.mesh.n_elements * self.mesh.order - 1
        if (most := max(state.n - state.l for state in self._states)) > size:
            raise ValueError(f"mesh has {size} unknowns, fewer than the {most} states wanted of one kind")

    def run(
        self,
        x0: ArrayLike | None = None,
        *,
        maxiter: int | None = None,
        callback: Callback | None = None,
        progress: bool = False,
        time_limit: float | None = None,
    ) -> AtomResult:
        """Iterate to self-consistency.

        Parameters
        ----------
        x0 : array of shape (n_points,) or (2, n_points), optional
            Potential of the electrons at the quadrature points, as the `x` of an earlier result on the same
            mesh; that of the Thomas-Fermi atom by default.
        maxiter, callback, progress, time_limit : optional
            Largest number of steps, 100 by default; called after each step with `x`, or with an
            ``intermediate_result``, True stops the run; show a progress bar; seconds.

        Returns
        -------
        AtomResult
            If the time ends before the last look at all states, or before the finer mesh of the error
            estimate, it has what the last step knew, and the estimate nan.

        Raises
        ------
        ValueError
            If `x0` has the wrong shape or is not finite.

        Warns
        -----
        ConvergenceWarning
            If the tolerance was not reached; the result is the best iterate.
        UnboundWarning
            If an orbital lies above the potential at the end of the mesh.
        """
        limits = Limits(maxiter, time_limit, callback, progress)
        field = self.field(self.mesh, self.mixing_depth if self.mixing == "anderson" else 0)
        x = self.first_potential(field.tables, x0)
        with Monitor(
            limits,
            thresholds={"potential": self.tol, "energies": self.tol},
            maxiter=100,
            label=f"Z = {self.Z:g}",
            present=lambda lanes: self._flat(x if lanes is None else lanes),
            rounding=1e-13 + 4e-15 * self.Z**2,
            columns=("total_energy",),
            step_seconds=field.step_seconds,
        ) as it:
            while it.running:
                n, stop_at = it.chunk()
                seen = np.empty((3, n))
                done, stopped = field.iterate(x, n, stop_at, seen, alpha=self.mixing_alpha, limits=limits)
                if not done:
                    it.stop(Status.TIME_LIMIT)
                    break
                last = {"potential": float(seen[0, done - 1]), "energies": float(seen[1, done - 1])}
                it.extend(
                    {"potential": seen[0, :done], "energies": seen[1, :done]},
                    NONFINITE if stopped and not np.isfinite(sum(last.values())) else RUNNING,
                    field.mixing.x.reshape(x.shape),
                    total_energy=seen[2, :done],
                )
        best = np.ascontiguousarray(x if it.x is None else it.x)
        # One step without mixing at the best potential: what belongs to it, and the certificates.
        whole = field.settle(best, limits)
        estimate = self._error(field, best, limits) if whole else nan
        shown: _Shown = {}
        if not whole and it.nit:  # no time for that: the last step, whose fields are there
            best = field.mixing.x.reshape(x.shape)
            shown = {"x": self._flat(best), "residual": float(it.history.residual[-1])}
        V = np.asarray(best - self.Z / field.tables.r)  # what the electrons feel
        orbitals = self._orbitals(field, V)
        result = it.result(
            AtomResult,
            error_estimate=estimate,
            certified=bool(field.states.certified.all()),
            nfactorizations=int(field.states.run["factorizations"][0]),
            orbitals=orbitals,
            Z=self.Z,
            n_electrons=self.n_electrons,
            mesh=self.mesh,
            **shown,
            **self._functions(field, V),
            **_energies(field),
        )
        warn_of_unbound([o.bound for o in orbitals], [o.label for o in orbitals], self.mesh)
        return result

    # -- what the kernels work on ------------------------------------------------------------------

    @property
    def _channels(self) -> tuple[int, ...]:
        """The angular momenta, or the kappas."""
        return tuple(sorted({s.l if s.kappa is None else s.kappa for s in self._states}))

    def field(self, mesh: RadialMesh, depth: int = 0) -> SelfConsistentField:
        """The field of this atom on a mesh; `depth` is how many steps Anderson mixing remembers."""
        channels = self._channels
        if self.relativistic:
            tables = dirac_tables(mesh, channels, self.Z, self.c)
        else:
            tables = schroedinger_tables(mesh, channels)
        states = States.of(
            tables,
            [channels.index(s.l if s.kappa is None else s.kappa) for s in self._states],
            [int(s.spin < 0) for s in self._states],
            [s.n - s.l - 1 for s in self._states],
            [s.occupation for s in self._states],
        )
        return SelfConsistentField.of(
            self.Z,
            self.c if self.relativistic else None,
            tables,
            states,
            spins=2 if self.spin_polarized else 1,
            functional=FUNCTIONALS[self.xc],
            depth=depth,
        )

    def first_potential(self, tables: Tables, x0: ArrayLike | None) -> Array:
        """The first potential of the electrons, (spins, blocks, points, 8)."""
        spins = 2 if self.spin_polarized else 1
        points = self.mesh.n_elements * self.mesh.n_quad
        if x0 is None:
            screening = (self.Z - effective_charge(tables.r, self.Z)) / tables.r
            return np.stack([screening * min(1.0, self.n_electrons / self.Z)] * spins)
        shape = (2, points) if self.spin_polarized else (points,)
        start: Array = checks.array(
            "x0", arrays.to_host(x0) if hasattr(x0, "shape") else x0, shape=shape, dtype=np.float64
        )
        parts = start.reshape(spins, self.mesh.n_elements, self.mesh.n_quad)
        return np.stack([spread(part) for part in parts])

    # -- what the user gets ------------------------------------------------------------------------

    def _flat(self, lanes: Array) -> Array:
        """(spins, blocks, points, 8) in the order of the radii; without the first axis for one spin."""
        values = gather(lanes, self.mesh.n_elements)
        return values if self.spin_polarized else values[0]

    def _orbitals(self, field: SelfConsistentField, V: Array) -> tuple[Orbital, ...]:
        states = field.states
        P, Q = orbital_values(field.tables, states, V, field.c)
        last = unspread(V, self.mesh.n_elements)[:, -1, -1]
        return tuple(
            Orbital(
                s.n,
                s.l,
                s.kappa,
                s.spin,
                s.occupation,
                energy,
                P[i],
                None if Q is None else Q[i],
                not energy >= last[states.spin[i]],  # of a state that was not found, nothing is said
            )
            for i, (s, energy) in enumerate(zip(self._states, states.energy.tolist(), strict=True))
        )

    def _functions(self, field: SelfConsistentField, V: Array) -> _Functions:
        elements, tables, now = self.mesh.n_elements, field.tables, field.fields
        r = gather(tables.r, elements)
        n = gather(now.n, elements)
        return {
            "r": r,
            "weights": gather(tables.weight, elements),
            "density": n.sum(axis=0),
            "spin_density": n[0] - n[1] if self.spin_polarized else None,
            "v_eff": self._flat(V),
            "v_hartree": gather(now.v_hartree, elements),
            "v_xc": self._flat(now.v_xc),
        }

    def _error(self, field: SelfConsistentField, x: Array, limits: Limits) -> float:
        """The error that the change of the energy, with elements of an order p higher by four, points to.

        Near the nucleus of a heavy Dirac atom the singular exchange lets the error fall like p^-4 only;
        elsewhere it falls faster, and the change is nearly all of it. nan if the time is over before.
        """
        if limits.expired:
            return nan
        finer = self.mesh.refined(4)
        fine = self.field(finer)
        dirac = self.relativistic and self.mesh.edges[0] == 0.0
        powers = tuple(radial_power(kappa, self.Z, self.c) for kappa in self._channels) if dirac else (0.0,)
        powers *= len(fine.tables.phi) // len(powers)  # one table for Schrödinger, one a channel for Dirac
        exponent = first_exponent(self.Z, self.c) if dirac else 0.0
        refine_states(self.mesh, field.states, finer, fine.tables, fine.states, powers)
        if not fine.settle(refined_potential(self.mesh, finer, exponent, x), limits, sure=False):
            return nan
        energy = float(field.fields.terms["total"][0])
        change = abs(float(fine.fields.terms["total"][0]) - energy)
        return change / (1 - (self.mesh.order / finer.order) ** 4) + ROUNDING * max(abs(energy), 1.0)


class _Shown(TypedDict, total=False):
    x: Array
    residual: float


class _Functions(TypedDict):
    r: Array
    weights: Array
    density: Array
    spin_density: Array | None
    v_eff: Array
    v_hartree: Array
    v_xc: Array


class _Energies(TypedDict):
    total_energy: float
    energy_terms: dict[str, float]
    dE_dZ: float


def _energies(field: SelfConsistentField) -> _Energies:
    terms = field.fields.terms[0]
    named = {name: float(terms[name]) for name in ("kinetic", "hartree", "nuclear", "xc", "band")}
    virial = 2 * named["kinetic"] + named["hartree"] + named["nuclear"]
    named["virial"] = virial + 3 * (float(terms["potential"]) - named["xc"])
    return {"total_energy": float(terms["total"]), "energy_terms": named, "dE_dZ": -float(terms["over_r"])}


def _read_electrons(
    Z: float, n_electrons: float | None, configuration: Configuration | None
) -> tuple[tuple[Shell, ...], float]:
    """Shells and the number of electrons in them."""
    wanted = None if n_electrons is None else checks.real("n_electrons", n_electrons, low=0.0, open_low=True)
    if configuration is None:
        number = Z if wanted is None else wanted
        if number != int(number) or not 1 <= number <= 92:
            raise ValueError(
                f"configuration must be given for {number:g} electrons: ground states are known for 1 ... 92"
            )
        configuration = ground_configuration(int(number))
    shells = read_configuration(configuration)
    electrons = sum(shell.occupation for shell in shells)
    if wanted is not None and abs(electrons - wanted) > 1e-9 * wanted:
        raise ValueError(f"configuration has {electrons:g} electrons, n_electrons is {wanted:g}")
    if not electrons > 0:
        raise ValueError("configuration must hold electrons, got none")
    return shells, electrons


def _split(shells: tuple[Shell, ...], relativistic: bool, spin_polarized: bool) -> Iterator[_State]:
    """Orbitals of the shells: by kappa for Dirac, by spin where it is polarised."""
    for shell in shells:
        n, l, f = shell.n, shell.l, shell.occupation  # noqa: E741
        if shell.spins is not None and not spin_polarized:
            raise ValueError(f"configuration gives {shell.label} by spin; that needs spin_polarized=True")
        if relativistic:
            for kappa in (-l - 1, l) if l else (-1,):
                yield _State(n, l, kappa, 0, f * abs(kappa) / (2 * l + 1))
        elif spin_polarized:
            up, down = shell.spins or (min(f, 2 * l + 1), max(f - 2 * l - 1, 0.0))
            yield _State(n, l, None, 1, up)
            yield _State(n, l, None, -1, down)
        else:
            yield _State(n, l, None, 0, f)
