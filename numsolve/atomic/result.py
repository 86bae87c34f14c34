"""What the solvers of this column return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np

from numsolve._core import checks
from numsolve._core.plotting import new_axes, plot_history
from numsolve._core.result import Result

from . import fields
from .configuration import orbital_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numsolve._core.typing import Array, ArrayLike, LineStyle

    from .mesh import RadialMesh


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RadialResult(Result):
    """Bound states of one channel of a radial equation.

    Attributes
    ----------
    energies : array of shape (n_states,)
        In hartree, ascending, without the rest energy; also called `x`. nan for a state that was not found.
    n : array of shape (n_states,)
        Principal quantum numbers, l + 1 and up.
    l : int
        Angular momentum of P.
    kappa : int or None
        Dirac's quantum number; None for Schrödinger.
    r : array of shape (n_points,)
        Quadrature points in bohr.
    weights : array of shape (n_points,)
        Quadrature weights: ``weights @ f`` is the integral of f(r).
    P, Q : array of shape (n_states, n_points)
        Radial functions r R(r), normalised so that the integral of P^2 + Q^2 is 1; Q is None for Schrödinger.
    V : array of shape (n_points,)
        The potential.
    certified : bool
        Whether a count of the energies below and above each one proves its index, on this mesh.
    error_estimate : array of shape (n_states,)
        In hartree, what the mesh and rounding leave of each energy: from its change with elements of an order
        higher by four. nan if it was not computed.
    bound : array of bool
        Whether each energy is below V(r_max); otherwise the wall there decides it.
    nfactorizations : int
        Factorisations done.
    mesh : RadialMesh
        The elements.
    """

    x: Array
    n: Array = field(default_factory=lambda: np.empty(0))
    l: int = 0  # noqa: E741
    kappa: int | None = None
    r: Array = field(default_factory=lambda: np.empty(0))
    weights: Array = field(default_factory=lambda: np.empty(0))
    P: Array = field(default_factory=lambda: np.empty(0))
    Q: Array | None = None
    V: Array = field(default_factory=lambda: np.empty(0))
    certified: bool = False
    error_estimate: Array = field(default_factory=lambda: np.empty(0))
    bound: Array = field(default_factory=lambda: np.empty(0))
    nfactorizations: int = 0
    mesh: RadialMesh | None = None
    _u: Array = field(default_factory=lambda: np.empty(0))
    _power: float = 0.0

    @property
    def energies(self) -> Array:
        """Energies in hartree."""
        return self.x

    def keys(self) -> list[str]:
        """The names of the public fields."""
        names = super().keys()
        return ["energies", *(name for name in names if not name.startswith("_"))]

    def evaluate(self, r: ArrayLike) -> Array:
        """P of every state at any radii, exactly as the finite elements have it; zero beyond the mesh.

        Parameters
        ----------
        r : array
            Radii in bohr.

        Returns
        -------
        array of shape (n_states, ...)
            With the shape of `r` after the first axis.
        """
        r = checks.array("r", r, dtype=np.float64)
        assert self.mesh is not None
        return fields.evaluate(self.mesh, self._u, np.full(len(self._u), self._power), r)

    def label(self, state: int) -> str:
        """Name a state: "3d", or "3d5/2".

        Parameters
        ----------
        state : int
            Its place in `energies`.

        Returns
        -------
        str
        """
        return orbital_label(int(self.n[self._place(state)]), self.l, self.kappa)

    def _place(self, state: int) -> int:
        """A state's place, checked; negative ones count from the end."""
        count = len(self.x)
        return checks.integer("state", state, low=-count, high=count - 1)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        what: Literal["orbitals", "convergence"] = "orbitals",
        **style: Unpack[LineStyle],
    ) -> Axes:
        """Draw the radial functions, or the convergence.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        what : {"orbitals", "convergence"}
            What to draw.
        **style
            Passed to ``ax.plot``.

        Returns
        -------
        matplotlib.axes.Axes
        """
        if checks.choice("what", what, ("orbitals", "convergence")) == "convergence":
            return plot_history(self.history, ax=ax, **style)
        axes = new_axes(ax)
        for k in range(len(self.x)):
            _draw_orbital(axes, self.r, self.P[k], f"{self.label(k)}  {self.x[k]:.6g} Ha", **style)
        return _finish_orbitals(axes)

    def __repr__(self) -> str:
        kind = "Schrödinger" if self.kappa is None else f"Dirac, kappa = {self.kappa}"
        rows = [
            f"{self.label(k):>8}  {self.x[k]:.12g}" + ("" if self.bound[k] else "  not bound")
            for k in range(min(len(self.x), 20))
        ]
        more = [f"     ... {len(self.x) - 20} more"] if len(self.x) > 20 else []
        sure = "certified" if self.certified else "not certified"
        return "\n".join([f"RadialResult: {kind}, l = {self.l}, {sure}. {self.message}", *rows, *more])


@dataclass(frozen=True, repr=False)
class Orbital:
    """One orbital of an atom.

    Parameters
    ----------
    n, l : int
        Principal quantum number and angular momentum.
    kappa : int or None
        Dirac's quantum number.
    spin : {0, +1, -1}
        Up or down in a spin-polarised atom, else 0.
    occupation : float
        Electrons in it.
    energy : float
        In hartree.
    P, Q : array of shape (n_points,)
        Radial functions on the points `r` of the atom; Q is None for Schrödinger.
    bound : bool
        Whether its energy is below the potential at the end of the mesh.
    """

    n: int
    l: int  # noqa: E741
    kappa: int | None
    spin: int
    occupation: float
    energy: float
    P: Array
    Q: Array | None
    bound: bool

    @property
    def label(self) -> str:
        """As "3d", "3d5/2", or "3d up"."""
        return orbital_label(self.n, self.l, self.kappa) + {0: "", 1: " up", -1: " down"}[self.spin]

    def __repr__(self) -> str:
        return f"Orbital({self.label}, occupation {self.occupation:g}, energy {self.energy:.10g})"


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
        "kinetic", "hartree", "nuclear", "external", "xc", whose sum it is; "band", the sum of occupied
        orbital energies; and "virial", which vanishes for a converged nonrelativistic atom: 2 kinetic +
        hartree - int n r V' + 3 int n (v_xc - e_xc) with the nucleus' V; nan with an external potential.
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
        minus int rho / r for a point.
    error_estimate : float
        Of the total energy in hartree: what its change with elements of an order higher by four points to,
        and rounding. The wall at the end of the mesh is not in it.
    certified : bool
        Whether a count of the energies below and above each orbital's proves its index.
    nfactorizations : int
        Factorisations done.
    Z, n_electrons : float
        Nuclear charge and number of electrons.
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
    mesh: RadialMesh | None = None

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
                _draw_orbital(axes, self.r, orbital.P, orbital.label, **style)
            return _finish_orbitals(axes)
        if what == "density":
            axes.plot(*_smooth(self.r, 4 * np.pi * self.r**2 * self.density), **style)
            axes.set(ylabel="radial density (electrons / bohr)", ylim=(0, None))
        else:
            axes.plot(*_smooth(self.r, -self.r * self.v_eff), **style)
            axes.set(ylabel="effective charge  -r V")
        axes.set(xscale="log", xlabel="r (bohr)", xlim=(0.1 / max(self.Z, 1), self.r[-1]))
        axes.grid(visible=True, alpha=0.3)
        return axes

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


def _draw_orbital(axes: Axes, r: Array, P: Array, name: str, **style: Unpack[LineStyle]) -> None:
    line: dict[str, Any] = {"label": name, "linewidth": 1.4, **style}
    axes.plot(*_smooth(r, P), **line)


def _smooth(r: Array, values: Array) -> tuple[Array, Array]:
    """A curve through the points, which are too few for a logarithmic axis near the nucleus."""
    from scipy.interpolate import CubicSpline

    fine = np.geomspace(r[0], r[-1], 1500)
    return fine, CubicSpline(np.log(r), values, axis=-1)(np.log(fine)).T


def _finish_orbitals(axes: Axes) -> Axes:
    axes.set(xscale="log", xlabel="r (bohr)", ylabel="P(r)")
    count = len(axes.get_lines())
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, ncols=1 + count // 20)
    axes.grid(visible=True, alpha=0.3)
    return axes
