"""What the radial solvers return, and one orbital of an atom."""

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
            draw_orbital(axes, self.r, self.P[k], f"{self.label(k)}  {self.x[k]:.6g} Ha", **style)
        return finish_orbitals(axes)

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


def draw_orbital(axes: Axes, r: Array, P: Array, name: str, **style: Unpack[LineStyle]) -> None:
    """One radial function."""
    line: dict[str, Any] = {"label": name, "linewidth": 1.4, **style}
    axes.plot(*smooth(r, P), **line)


def smooth(r: Array, values: Array) -> tuple[Array, Array]:
    """A curve through the points, which are too few for a logarithmic axis near the nucleus."""
    from scipy.interpolate import CubicSpline

    fine = np.geomspace(r[0], r[-1], 1500)
    return fine, CubicSpline(np.log(r), values, axis=-1)(np.log(fine)).T


def finish_orbitals(axes: Axes) -> Axes:
    """Labels of the axes, and of the curves."""
    axes.set(xscale="log", xlabel="r (bohr)", ylabel="P(r)")
    count = len(axes.get_lines())
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, ncols=1 + count // 20)
    axes.grid(visible=True, alpha=0.3)
    return axes
