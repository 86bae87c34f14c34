"""What a self-consistent atom tells, and what a program that builds on it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

import numpy as np

from numsolve._core import checks
from numsolve._core.plotting import new_axes, plot_history
from numsolve._core.result import Result

from . import continuum, export
from .functions import read_radii
from .result import draw_orbital, finish_orbitals, smooth

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.axes import Axes

    from numsolve._core.typing import Array, ArrayLike, LineStyle

    from .functions import AtomFunctions, Elements
    from .mesh import RadialMesh
    from .result import Orbital


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AtomResult(Result):
    """A self-consistent atom.

    Energies are in hartree, lengths in bohr. Functions are given at the quadrature points `r`; where the atom
    is spin-polarised, potentials have a first axis for up and down.

    Attributes
    ----------
    x : array
        Potential of the electrons (Hartree, exchange, correlation) at the points: the start of another run.
    total_energy : float
        Total energy.
    energy_terms : dict of str to float
        "kinetic", "hartree", "nuclear", "external", "xc", whose sum it is, with a temperature also "entropy",
        -T S; "band", the sum of occupied orbital energies; and "virial", which vanishes for a converged
        nonrelativistic atom: 2 kinetic + hartree - int n r V' + 3 int n (v_xc - e_xc) with the nucleus' V;
        nan with an external potential.
    orbitals : tuple of Orbital
        In the order of the configuration.
    r, weights : array of shape (n_points,)
        Quadrature points and weights: ``weights @ f`` is the integral of f(r).
    density : array of shape (n_points,)
        Electrons per cubic bohr.
    spin_density : array of shape (n_points,), or None
        Up less down.
    v_eff, v_hartree, v_xc : array
        The potential that the orbitals feel, and its parts.
    dE_dZ : float
        Derivative of the total energy by the nuclear charge, the electrons and the nucleus' radius kept:
        minus int rho / r for a point. Of the scalar equation, whose density is not that of its energy, it is
        not quite the derivative: in mercury off by a hundredth.
    error_estimate : float
        Of the total energy in hartree: what its change with elements of an order higher by four points to,
        and rounding. The wall at the end of the mesh is not in it.
    certified : bool
        Whether a count of the energies below and above each orbital's proves its index.
    nfactorizations : int
        Factorisations done.
    Z, n_electrons : float
        Nuclear charge and number of electrons.
    chemical_potential : float
        Of the electrons, where they have a temperature; else nan.
    mesh : RadialMesh
        The elements.
    """

    x: Array
    total_energy: float = float("nan")
    energy_terms: dict[str, float] = field(default_factory=dict)
    orbitals: tuple[Orbital, ...] = ()
    r: Array = field(default_factory=lambda: np.empty(0))
    weights: Array = field(default_factory=lambda: np.empty(0))
    density: Array = field(default_factory=lambda: np.empty(0))
    spin_density: Array | None = None
    v_eff: Array = field(default_factory=lambda: np.empty(0))
    v_hartree: Array = field(default_factory=lambda: np.empty(0))
    v_xc: Array = field(default_factory=lambda: np.empty(0))
    dE_dZ: float = float("nan")  # noqa: N815
    error_estimate: float = float("nan")
    certified: bool = False
    nfactorizations: int = 0
    Z: float = float("nan")
    n_electrons: float = float("nan")
    chemical_potential: float = float("nan")
    mesh: RadialMesh | None = None
    _elements: Elements | None = None

    def keys(self) -> list[str]:
        """The names of the public fields."""
        names = super().keys()
        return [name for name in names if not name.startswith("_")]

    def orbital(self, label: str) -> Orbital:
        """Find an orbital by its label.

        Parameters
        ----------
        label : str
            As "3d", "3d5/2" or "3d up".

        Returns
        -------
        Orbital
        """
        for orbital in self.orbitals:
            if orbital.label == label:
                return orbital
        names = ", ".join(orbital.label for orbital in self.orbitals)
        raise KeyError(f"no orbital {label!r}; there are {names}")

    def plot(
        self,
        ax: Axes | None = None,
        *,
        what: Literal["density", "orbitals", "potential", "convergence"] = "density",
        **style: Unpack[LineStyle],
    ) -> Axes:
        """Draw the radial density, the orbitals, the potential, or the convergence.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        what : {"density", "orbitals", "potential", "convergence"}
            The radial density ``4 pi r^2 n``, the functions P, ``-r v_eff``, or the residual.
        **style
            Passed to ``ax.plot``.

        Returns
        -------
        matplotlib.axes.Axes
        """
        if checks.choice("what", what, ("density", "orbitals", "potential", "convergence")) == "convergence":
            return plot_history(self.history, ax=ax, **style)
        axes = new_axes(ax)
        if what == "orbitals":
            for orbital in self.orbitals:
                draw_orbital(axes, self.r, orbital.P, orbital.label, **style)
            return finish_orbitals(axes)
        if what == "density":
            axes.plot(*smooth(self.r, 4 * np.pi * self.r**2 * self.density), **style)
            axes.set(ylabel="radial density (electrons / bohr)", ylim=(0, None))
        else:
            axes.plot(*smooth(self.r, -self.r * self.v_eff), **style)
            axes.set(ylabel="effective charge  -r V")
        axes.set(xscale="log", xlabel="r (bohr)", xlim=(0.1 / max(self.Z, 1), self.r[-1]))
        axes.grid(visible=True, alpha=0.3)
        return axes

    # -- for other programs ------------------------------------------------------------------------

    def evaluate(self, r: ArrayLike, *, derivative: Literal[0, 1] = 0) -> AtomFunctions:
        """Evaluate orbitals, densities and potentials at any radii, or their derivatives.

        Parameters
        ----------
        r : array
            Radii in bohr, at least 1e-12. Beyond the mesh the orbitals are zero. Rounding errors of
            potentials and derivatives grow like 1e-16 / r, so that few digits are left at the least radii.
        derivative : {0, 1}
            The functions, or their first derivatives by r.

        Returns
        -------
        AtomFunctions
            With the fields `r`, `P`, `Q`, `density`, `spin_density`, `v_eff`, `v_hartree`, `v_xc`.

        Raises
        ------
        ValueError
            If radii are too small, or lie beyond the mesh where the atom has an external potential.

        Examples
        --------
        >>> from numsolve.atomic import AtomDFT
        >>> helium = AtomDFT("He").run()
        >>> now, slope = helium.evaluate([0.5, 1.0]), helium.evaluate([0.5, 1.0], derivative=1)
        >>> print(now.density.round(6), slope.density.round(6))
        [0.526538 0.097488] [-1.881324 -0.312133]
        """
        radii = read_radii(r)
        order = checks.integer("derivative", derivative, low=0, high=1)
        found = self._known.evaluate(radii.ravel(), order)
        parts = [
            None if part is None else part.reshape((*part.shape[:-1], *radii.shape))
            for part in vars(found).values()
        ]
        return type(found)(*parts)  # type: ignore[arg-type]

    def norm_outside(self, r: ArrayLike) -> Array:
        """Return the part of each orbital that is outside of radii, the integral of P^2 + Q^2.

        Of the scalar equation, with the small part of the orbit, so that the whole is one.

        Parameters
        ----------
        r : array
            Radii in bohr, positive.

        Returns
        -------
        array of shape (n_orbitals, ...)
            With the shape of `r` after the first axis.

        Examples
        --------
        >>> from numsolve.atomic import AtomDFT
        >>> print(AtomDFT("He").run().norm_outside([1.0, 3.0]).round(4))
        [[0.3845 0.0087]]
        """
        radii = read_radii(r)
        norms = self._known.norms_outside(radii.ravel())
        return norms.reshape((len(norms), *radii.shape))

    def log_derivative(
        self,
        energies: ArrayLike,
        r: float,
        l: int | None = None,  # noqa: E741
        *,
        kappa: int | None = None,
        spin: Literal[0, 1, -1] = 0,
    ) -> Array:
        """Return the logarithmic derivative P' / P at a radius of solutions at given energies.

        Parameters
        ----------
        energies : array
            In hartree.
        r : float
            In bohr, on the mesh. For R = P / r the derivative is less by 1 / r.
        l, kappa : int
            Which equation: `kappa` for an atom of Dirac's, else `l`.
        spin : {0, 1, -1}
            Up or down in a spin-polarised atom.

        Returns
        -------
        array
            Of the shape of `energies`; very large near a node at `r`.

        Examples
        --------
        >>> from numsolve.atomic import AtomDFT
        >>> silicon = AtomDFT("Si").run()
        >>> print(silicon.log_derivative([-0.5, 0.0, 0.5], 2.0, l=0).round(4))
        [-0.0236 -1.1686 -4.1904]
        """
        known = self._known
        mesh = known.mesh
        at = checks.real("r", r, low=float(mesh.edges[0]), high=mesh.r_max, open_low=True)
        channel, row = self._channel(l, kappa, spin)
        low = -np.inf if known.c is None else -(known.c**2)
        E = checks.array("energies", energies, dtype=np.float64, low=low)
        return continuum.log_derivatives(known, channel, row, E.ravel(), at).reshape(E.shape)

    def phase_shift(
        self,
        energies: ArrayLike,
        l: int | None = None,  # noqa: E741
        *,
        kappa: int | None = None,
        spin: Literal[0, 1, -1] = 0,
    ) -> Array:
        """Return the phase shift of waves that the potential of a neutral atom scatters.

        Parameters
        ----------
        energies : array
            In hartree, positive.
        l, kappa, spin : int
            As for `log_derivative`.

        Returns
        -------
        array
            Of the shape of `energies`; between -pi / 2 and pi / 2, to which multiples of pi may be added.

        Raises
        ------
        ValueError
            If the potential does not vanish within the mesh, as that of an ion.

        Examples
        --------
        >>> from numsolve.atomic import AtomDFT
        >>> print(AtomDFT("Ar").run().phase_shift([0.1, 1.0], l=0).round(4))
        [ 0.4218 -1.4691]
        """
        E = checks.array("energies", energies, dtype=np.float64, low=0.0)
        if not (E > 0).all():
            raise ValueError("energies must be positive, got 0.0")
        channel, row = self._channel(l, kappa, spin)
        return continuum.phase_shifts(self._known, channel, row, E.ravel()).reshape(E.shape)

    def export(
        self,
        path: str | PathLike[str],
        *,
        format: Literal["text", "upf"] = "text",  # noqa: A002
        r: ArrayLike | None = None,
    ) -> None:
        """Write the atom to a file.

        Parameters
        ----------
        path : str or path
            The file.
        format : {"text", "upf"}
            A table for `numpy.loadtxt`, whose header names its columns: densities, potentials, orbitals and
            their derivatives. Or, as plane-wave codes read it, the bare nucleus as a pseudopotential of UPF
            2.0.1, with orbitals and density in its units (rydberg): of an atom without spin whose equation is
            not Dirac's.
        r : array, optional
            Radii, increasing; by default ``exp(-7 + i / 80) / Z`` up to the end of the mesh.
        """
        known, Z = self._known, self.Z
        if r is None:
            start, end = np.exp(-7.0) / Z, known.mesh.r_max
            radii = start * np.exp(np.arange(int(80 * np.log(end / start)) + 1) / 80)
        else:
            radii = read_radii(r)
        if radii.ndim != 1 or radii.size < 2 or not (np.diff(radii) > 0).all():
            raise ValueError("r must hold at least two radii, strictly increasing")
        if checks.choice("format", format, ("text", "upf")) == "text":
            slopes = self.evaluate(radii, derivative=1)
            text = export.table(Z, self.total_energy, self.orbitals, self.evaluate(radii), slopes)
        else:
            if self.spin_density is not None or (known.c is not None and not known.scalar):
                raise ValueError("format 'upf' is for atoms without spin whose equation is not Dirac's")
            from scipy.interpolate import CubicSpline

            places, now = np.arange(radii.size), self.evaluate(radii)
            text = export.upf(
                Z,
                self.total_energy,
                self.orbitals,
                replace(now, P=now.P / np.sqrt(known.large_norms)[:, None]),
                relativistic="no" if known.c is None else "scalar",
                functional=known.functional,
                rab=CubicSpline(places, radii)(places, 1),
            )
        Path(path).write_text(text, encoding="utf-8")

    @property
    def _known(self) -> Elements:
        if self._elements is None:
            raise ValueError("this AtomResult was not made by AtomDFT.run, and knows no functions")
        return self._elements

    def _channel(self, l: int | None, kappa: int | None, spin: int) -> tuple[int, int]:  # noqa: E741
        """The l or kappa, and the row of the potentials."""
        known = self._known
        dirac, polarised = known.c is not None and not known.scalar, self.spin_density is not None
        wanted, other = ("kappa", l) if dirac else ("l", kappa)
        if other is not None or (kappa if dirac else l) is None:
            raise ValueError(f"{wanted} must be given, and it alone, for this equation; got {l=}, {kappa=}")
        if dirac:
            channel = checks.integer("kappa", kappa)
            if channel == 0:
                raise ValueError("kappa must not be zero; it is -(l + 1) or l")
        else:
            channel = checks.integer("l", l, low=0)
        spins = (1, -1) if polarised else (0,)
        if spin not in spins:
            raise ValueError(f"spin must be one of {spins} for this atom, got {spin or 'none'}")
        return channel, int(spin == -1)

    def __repr__(self) -> str:
        sure = "certified" if self.certified else "not certified"
        head = (
            f"AtomResult: Z = {self.Z:g}, {self.n_electrons:g} electrons, {self.nit} iterations, "
            f"orbitals {sure}. {self.message}"
        )
        total = (
            f"total energy {self.total_energy:.10f} Ha (discretisation error about {self.error_estimate:.0e})"
        )
        rows = [
            f"{orbital.label:>10} {orbital.occupation:8.4g} {orbital.energy:20.10f}"
            + ("" if orbital.bound else "  not bound")
            for orbital in self.orbitals
        ]
        return "\n".join([head, total, f"{'orbital':>10} {'electrons':>8} {'energy (Ha)':>19}", *rows])
