r"""The self-consistent atom in one compiled loop, by local functionals or those of the density's gradient.

One step takes the potential of the electrons ``V_ee`` at the quadrature points to

1. the orbitals: one step of Rayleigh's quotient iteration each, checked by inertia
   (`numsolve.atomic.schroedinger`, `numsolve.atomic.dirac`);
2. the density ``rho = 4 pi r^2 n = sum_i f_i (P_i^2 + Q_i^2)``;
3. Hartree's potential, by integrating element by element:
   ``V_H(r) = (1 / r) int_0^r rho + int_r^rmax rho / s ds``;
4. the new ``V_ee = V_H + v_xc`` (`numsolve.atomic.xc`, `numsolve.atomic.gradient`), and the energy at the
   new density with the old potential, whose error is quadratic in the difference:
   ``E = sum_i f_i eps_i - int V rho + (1/2) int V_H rho - int (Z / r) rho + int e_xc rho``;
5. the next potential, by Anderson's mixing with the weight dr.

Source: O. Čertík, J. E. Pask, I. Fernando, R. Goswami, N. Sukumar, L. A. Collins, G. Manzini, J. Vackář,
"High-order finite element method for atomic structure calculations", Comput. Phys. Commun. 297, 109051,
2024, for the elements, the functional and the start; the eigensolver, Hartree's potential and the mixing
are other ones.
"""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Literal, TypedDict

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.codes import NONFINITE, RUNNING
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import PrecisionWarning, Status, caller_level

from . import _solution
from ._doubts import doubt, strength_of
from ._radial import COARSE, read_mesh, read_potential, warn_of_unbound
from .atom_result import AtomResult
from .configuration import Shell, levels, read_charge, read_electrons
from .mesh import RadialMesh
from .nucleus import read_nucleus
from .scf import Equations, SelfConsistentField
from .tables import gather, points_of, spread
from .thomas_fermi import effective_charge
from .xc import C_1986, FUNCTIONALS

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Callback

    from ._radial import Potential
    from ._tuples import Tables
    from .configuration import Configuration, Level
    from .nucleus import Nucleus


#: In hartree, by how much the first potential favours a spin at a temperature, and disfavours the other.
SPLITTING = 0.1


@dataclass(frozen=True, init=False)
class AtomDFT:
    """A spherical atom or ion in the local density approximation, or with gradients of the density.

    Parameters
    ----------
    Z : float or str
        Nuclear charge, positive; it need not be an integer. Or the element, as "Fe".
    n_electrons : float, optional
        Number of electrons, which selects the ground-state configuration (10 gives that of neon), or checks
        the one that is given. `Z` by default, or what `configuration` says.
    configuration : str or list, optional
        As "[Ar] 3d5 4s1" or "1s2 2s0.5", or a list of (n, l, occupation) or (n, l, up, down); by default the
        ground state.
    relativistic : bool, "dirac" or "scalar"
        True or "dirac" is the Dirac equation, "scalar" that of Koelling and Harmon, averaged over spin and
        orbit; both with the relativistic correction of local exchange. The density of the scalar equation is
        that of the large components, normalised by themselves, as in the tables of NIST. With Dirac's a shell
        (n, l) is split between j = l + 1/2 and j = l - 1/2 in proportion to their sizes, unless
        `configuration` says how, by `Shell` with kappa.
    spin_polarized : bool
        Whether the spins have potentials of their own. Shells are filled by Hund's rule, up first, unless the
        configuration says how. Not together with `relativistic`.
    xc : {"lda", "pbe", "pbesol", "exchange", "hartree"}
        Exchange and correlation: local (VWN5), or of the density and its gradient; local exchange alone; or
        neither. Those of the gradient stay as they are where the equation is relativistic.
    nucleus : {"point", "uniform", "gaussian"}
        A point, a uniform ball or a Gaussian density. With the last two Dirac's orbitals begin without the
        singularity of a point, so that `Z` may be above `c`.
    nuclear_radius : float, optional
        Root mean square radius of such a nucleus in bohr; by default that of the most abundant isotope, as in
        the tables of Visscher and Dyall.
    external : callable or pair of arrays, optional
        A potential in hartree that is there beside that of the nucleus, as a wall, a screening or the field
        of other charges: a function of the radii in bohr, or samples (r, v) that cover the mesh. Where it has
        kinks or steps, give a `mesh` with an edge. An impenetrable wall is the end of the `mesh`.
    temperature : float
        Of the electrons, in hartree (an electronvolt is 0.0367, a million kelvin 3.17). They are spread over
        the shells of the configuration, those with occupation 0 too, by Fermi and Dirac's statistics; the
        total energy is then the free energy.
    c : float
        Speed of light in atomic units; the default is that of the published tables.
    mesh : RadialMesh, optional
        The elements; `RadialMesh.atomic` by default, or elements that begin at the nucleus' surface. A
        nucleus that is no point needs a quadrature point inside.
    mixing : {"anderson", "linear"}
        How the next potential is made.
    mixing_alpha : float
        The share of the new potential, in (0, 1].
    mixing_depth : int
        How many steps Anderson's mixing remembers.
    tol : float
        Convergence: the largest change of an orbital energy, and ``sqrt(int rho (V_out - V_in)^2)``, in
        hartree. The total energy is much more accurate than that.
    error_estimate : bool
        Whether results estimate the error of the total energy, by elements of a higher order. It takes much
        of the time on a new mesh; without it `error_estimate` of the result is nan.

    References
    ----------
    O. Čertík, J. E. Pask, I. Fernando, R. Goswami, N. Sukumar, L. A. Collins, G. Manzini, J. Vackář,
    "High-order finite element method for atomic structure calculations", Comput. Phys. Commun. 297, 2024.
    S. H. Vosko, L. Wilk, M. Nusair, Can. J. Phys. 58, 1980; A. MacDonald, S. Vosko, J. Phys. C 12, 1979.
    J. P. Perdew, K. Burke, M. Ernzerhof, "Generalized gradient approximation made simple", Phys. Rev. Lett.
    77, 1996; J. P. Perdew et al., Phys. Rev. Lett. 100, 2008.
    D. D. Koelling, B. N. Harmon, J. Phys. C 10, 1977.

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
    relativistic: bool | Literal["scalar"]
    spin_polarized: bool
    xc: str
    nucleus: str
    nuclear_radius: float | None
    external: Potential | None
    temperature: float
    c: float
    mesh: RadialMesh
    mixing: str
    mixing_alpha: float
    mixing_depth: int
    tol: float
    error_estimate: bool
    _levels: tuple[Level, ...] = dataclasses.field(repr=False)
    _nucleus: Nucleus | None = dataclasses.field(repr=False)

    def __init__(
        self,
        Z: float | str,
        *,
        n_electrons: float | None = None,
        configuration: Configuration | None = None,
        relativistic: bool | Literal["dirac", "scalar"] = False,
        spin_polarized: bool = False,
        xc: Literal["lda", "pbe", "pbesol", "exchange", "hartree"] = "lda",
        nucleus: Literal["point", "uniform", "gaussian"] = "point",
        nuclear_radius: float | None = None,
        external: Potential | None = None,
        temperature: float = 0.0,
        c: float = C_1986,
        mesh: RadialMesh | None = None,
        mixing: Literal["anderson", "linear"] = "anderson",
        mixing_alpha: float = 0.4,
        mixing_depth: int = 8,
        tol: float = 1e-8,
        error_estimate: bool = True,
    ) -> None:
        Z = read_charge(Z)
        c = checks.real("c", c, low=0.0, open_low=True)
        theory = _read_relativity(relativistic)
        spin_polarized = checks.flag("spin_polarized", spin_polarized)
        checks.choice("xc", xc, FUNCTIONALS)
        extended = read_nucleus(Z, nucleus, nuclear_radius)
        if theory and c <= Z and extended is None:
            raise ValueError(
                f"Z must be below c = {c:g}: beyond it a point nucleus has no 1s state; got {Z:g}"
            )
        if theory and spin_polarized:
            raise ValueError(
                f"spin_polarized needs Schrödinger's equation; got relativistic={relativistic!r} as well"
            )
        shells, electrons = read_electrons(Z, n_electrons, configuration)
        if mesh is None:
            mesh = _default_mesh(Z, bool(theory), FUNCTIONALS[xc].gradient is not None, extended)
        mesh = read_mesh(mesh, 0.0, Z, dirac=False)
        radii = gather(points_of(mesh, 0.0).r, mesh.n_elements)
        if extended is not None and radii.min() > extended.radius:  # the estimate would be blind to it, too
            raise ValueError(
                f"mesh must have points in the nucleus, of radius {extended.radius:.3g} bohr, got the first "
                f"at {radii.min():.3g}; the default mesh has an edge at its surface"
            )
        if external is not None:
            read_potential(external, radii, 0.0, name="external")
        settings = {
            "Z": Z,
            "n_electrons": electrons,
            "configuration": shells,
            "relativistic": theory,
            "spin_polarized": spin_polarized,
            "xc": xc,
            "c": c,
            "nucleus": nucleus,
            "nuclear_radius": None if extended is None else extended.radius,
            "external": external,
            "temperature": checks.real("temperature", temperature, low=0.0),
            "mesh": mesh,
            "mixing": checks.choice("mixing", mixing, ("anderson", "linear")),
            "mixing_alpha": checks.real("mixing_alpha", mixing_alpha, low=0.0, high=1.0, open_low=True),
            "mixing_depth": checks.integer("mixing_depth", mixing_depth, low=0, high=100),
            "tol": checks.real("tol", tol, low=0.0),
            "error_estimate": checks.flag("error_estimate", error_estimate),
            "_levels": tuple(levels(shells, theory is True, spin_polarized)),
            "_nucleus": extended,
        }
        for name, value in settings.items():
            object.__setattr__(self, name, value)
        room = sum(level.room for level in self._levels)
        if self.temperature and electrons > room * (1 - 1e-9):
            raise ValueError(
                f"temperature needs shells with room: those of the configuration hold {room}, and there are "
                f"{electrons:g} electrons; add empty ones, as '3s0'"
            )
        size = self.mesh.n_elements * self.mesh.order - 1
        if (most := max(level.n - level.l for level in self._levels)) > size:
            raise ValueError(f"mesh has {size} unknowns, fewer than the {most} states wanted of one kind")

    @answers()
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
        PrecisionWarning
            If the error estimate is large: a mesh that is too coarse, or an external potential with steps.
        """
        limits = Limits(maxiter, time_limit, callback, progress)
        field = self.field(self.mesh, self.mixing_depth if self.mixing == "anderson" else 0)
        x = self.first_potential(field.tables, x0)
        with Monitor(
            limits,
            thresholds={"potential": self.tol, "energies": self.tol},
            maxiter=100,
            label=f"Z = {self.Z:g}",
            present=lambda lanes: field.flat(x if lanes is None else lanes),
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
        estimate = _solution.error_estimate(field, best, limits) if whole and self.error_estimate else nan
        shown: _Shown = {}
        if not whole and it.nit:  # no time for that: the last step, whose fields are there
            best = field.mixing.x.reshape(x.shape)
            shown = {"x": field.flat(best), "residual": float(it.history.residual[-1])}
        V = np.asarray(best + field.fields.fixed.sum(axis=0))  # what the electrons feel
        orbitals = _solution.orbitals(field, V)
        functions, energies = _solution.functions(field, V), _solution.energies(field)
        if it.status is not None and it.status.success:
            outside = gather(field.fields.fixed[1], self.mesh.n_elements)
            strength = strength_of(self.mesh, functions["r"], outside, relativistic=bool(self.relativistic))
            most = self.c if self.relativistic else (min(level.l for level in self._levels) + 0.5) ** 2 / 2
            size = max(abs(energies["total_energy"]), 1.0)
            if told := doubt(strength, most, np.array(estimate / size)):
                it.stop(*told)
        result = it.result(
            AtomResult,
            error_estimate=estimate,
            certified=bool(field.states.certified.all()),
            nfactorizations=int(field.states.run["factorizations"][0]),
            orbitals=orbitals,
            Z=self.Z,
            n_electrons=self.n_electrons,
            chemical_potential=float(field.states.run["mu"][0]) if self.temperature else nan,
            mesh=self.mesh,
            _elements=_solution.elements(field, best, self.xc),
            **shown,
            **functions,
            **energies,
        )
        warn_of_unbound(
            [o.energy for o in orbitals], [o.bound for o in orbitals], [o.label for o in orbitals], self.mesh
        )
        if result.success and estimate > COARSE * max(abs(result.total_energy), 1.0):
            warnings.warn(
                f"the mesh does not resolve the potential: the total energy of {result.total_energy:.6g} Ha "
                f"has an error of about {estimate:.1g}. Give a mesh= with an edge at each kink or step of "
                "external, and shorter elements where it is steep",
                PrecisionWarning,
                stacklevel=caller_level(),
            )
        return result

    # -- the self-consistent field -----------------------------------------------------------------

    def field(self, mesh: RadialMesh, depth: int = 0) -> SelfConsistentField:
        """The field of this atom on a mesh; `depth` is how many steps Anderson mixing remembers."""
        c, spins = self.c if self.relativistic else None, 2 if self.spin_polarized else 1
        scalar = self.relativistic == "scalar"
        equations = Equations(
            self.Z,
            c,
            scalar,
            self._levels,
            spins,
            FUNCTIONALS[self.xc],
            self._nucleus,
            self.external,
            self.temperature,
        )
        return SelfConsistentField.of(equations, mesh, depth)

    def first_potential(self, tables: Tables, x0: ArrayLike | None) -> Array:
        """The first potential of the electrons, (spins, blocks, points, 8)."""
        spins = 2 if self.spin_polarized else 1
        points = self.mesh.n_elements * self.mesh.n_quad
        if x0 is None:
            screening = (self.Z - effective_charge(tables.r, self.Z)) / tables.r
            start = np.stack([screening * min(1.0, self.n_electrons / self.Z)] * spins)
            if (
                self.temperature and spins == 2
            ):  # occupations do not tell the spins apart: let the field do it
                start += np.reshape([-SPLITTING, SPLITTING], (2, 1, 1, 1))
            return start
        shape = (2, points) if self.spin_polarized else (points,)
        given: Array = checks.array(
            "x0", arrays.to_host(x0) if hasattr(x0, "shape") else x0, shape=shape, dtype=np.float64
        )
        parts = given.reshape(spins, self.mesh.n_elements, self.mesh.n_quad)
        return np.stack([spread(part) for part in parts])


class _Shown(TypedDict, total=False):
    x: Array
    residual: float


def _default_mesh(Z: float, relativistic: bool, gradient: bool, nucleus: Nucleus | None) -> RadialMesh:
    """The elements for an atom; functionals of the gradient need twice as many."""
    if nucleus is not None:
        return nucleus.mesh(relativistic)
    return RadialMesh.atomic(Z, relativistic, n_elements=16 if gradient else 8)


def _read_relativity(relativistic: object) -> bool | Literal["scalar"]:
    """False, True for the Dirac equation, or "scalar"."""
    if isinstance(relativistic, str):
        word = checks.choice("relativistic", relativistic, ("dirac", "scalar"))
        return "scalar" if word == "scalar" else True
    return checks.flag("relativistic", relativistic)
