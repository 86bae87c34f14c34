r"""What bound states and self-consistent atoms satisfy, for derivatives by `numsolve.implicit`.

The first derivatives of energies need no linear solve (Hellmann and Feynman): with the quadrature weights w
and the values v of the potential at the points r,

    d eps / d v = w (P^2 + Q^2),        dE / d v_ext = w rho,        dE / dZ = -int rho / r,

that is ``weights * P**2`` of a `RadialResult`, and ``weights * 4 pi r**2 density`` and `dE_dZ` of an
`AtomResult`. The conditions below serve for all else: derivatives of orbitals and of potentials, second
derivatives of energies, a solver as a function of JAX.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core.limits import Limits

from .result import RadialResult
from .tables import dirac_tables, elementwise, gather, schroedinger_tables
from .xc import C_1986

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from numsolve._core.typing import Array, ArrayLike

    from ._tuples import Tables
    from .dft import AtomDFT
    from .mesh import RadialMesh

    #: ``F((u, eps), v)``, for arrays of NumPy or JAX
    Conditions: TypeAlias = Callable[[tuple[Any, Any], Any], tuple[Any, Any]]

__all__ = ["dirac", "eigenpair", "schroedinger", "self_consistency"]


def __dir__() -> list[str]:
    return sorted(__all__)


def schroedinger(mesh: RadialMesh, l: int = 0) -> Conditions:  # noqa: E741
    """Make the conditions of a state of Schrödinger's equation on a mesh, with the potential as parameter.

    They are ``(H u - eps S u, (1 - u' S u) / 2)``, whose derivative in (u, eps) is symmetric.

    Parameters
    ----------
    mesh : RadialMesh
        The elements, as the `mesh` of a result.
    l : int
        Angular momentum.

    Returns
    -------
    callable
        ``F((u, eps), v)`` for the potential v at the quadrature points; for NumPy, complex steps, and JAX.

    Examples
    --------
    How the energy of hydrogen answers to its charge: -Z / n^2, here for 2s.

    >>> from numsolve import implicit
    >>> from numsolve.atomic import optimality, solve_radial_schroedinger
    >>> result = solve_radial_schroedinger(lambda r: -1 / r, n_states=2, Z=1)
    >>> F, x = optimality.schroedinger(result.mesh), optimality.eigenpair(result, 1)
    >>> du, deps = implicit.root_jvp(F, x, (result.V,), (-1 / result.r,), symmetric=True)
    >>> print(deps.round(8))
    -0.25
    """
    return _conditions(schroedinger_tables(mesh, (l,)), mesh, None)


def dirac(mesh: RadialMesh, kappa: int = -1, *, Z: float = 0.0, c: float = C_1986) -> Conditions:
    """Make the conditions of a state of Dirac's equation, with the small component eliminated.

    They are ``(A(eps) u, (1 - int P^2 + Q^2) / 2)``, whose derivative in (u, eps) is symmetric.

    Parameters
    ----------
    mesh : RadialMesh
        The elements, as the `mesh` of a result.
    kappa : int
        -(l + 1) for j = l + 1/2, l for j = l - 1/2.
    Z, c : float
        As for `numsolve.atomic.solve_radial_dirac`; the power of r that Z sets stays as it is.

    Returns
    -------
    callable
        ``F((u, eps), v)`` for the potential v at the quadrature points; for NumPy, complex steps, and JAX.

    Examples
    --------
    >>> from numsolve import implicit
    >>> from numsolve.atomic import optimality, solve_radial_dirac
    >>> result = solve_radial_dirac(lambda r: -80 / r, Z=80)
    >>> F, x = optimality.dirac(result.mesh, Z=80), optimality.eigenpair(result)
    >>> _, deps = implicit.root_jvp(F, x, (result.V,), (-1 / result.r,), symmetric=True)
    >>> print(deps.round(6), round(-80 / (1 - (80 / 137.0359895) ** 2) ** 0.5, 6))
    -98.533579 -98.533579
    """
    return _conditions(dirac_tables(mesh, (kappa,), Z, c), mesh, c)


def eigenpair(result: RadialResult, state: int = 0) -> tuple[Array, Array]:
    """Take from a result what `schroedinger` and `dirac` are conditions of.

    Parameters
    ----------
    result : RadialResult
        Of one of this column's solvers.
    state : int
        Its place in `energies`.

    Returns
    -------
    tuple
        ``(u, eps)``: the values of P at the nodes that are free, and the energy.
    """
    if not isinstance(result, RadialResult):
        raise TypeError(f"result must be a RadialResult, got {type(result).__name__}")
    assert result.mesh is not None
    state = result._place(state)
    first = 1 if result.kappa is None or result.mesh.edges[0] > 0.0 else 0
    values = np.concatenate([result._u[state, :, :-1].ravel(), result._u[state, -1:, -1]])
    return values[first:-1], np.array(result.energies[state])


def self_consistency(atom: AtomDFT) -> Callable[..., Array]:
    """Make the condition of a self-consistent atom, with the charge and a further potential as parameters.

    The configuration, the mesh and the first power of r of Dirac's orbitals stay as they are.

    Parameters
    ----------
    atom : AtomDFT
        The atom.

    Returns
    -------
    callable
        ``F(x, Z, external=0)``, the potential that the electrons make less x, the one that they feel, as the
        `x` of a result; `external` is added to it at the quadrature points. It is compiled code for floats:
        take ``method="central"``.

    Examples
    --------
    How the potential of the electrons of helium answers to its charge:

    >>> import numpy as np
    >>> from numsolve import implicit
    >>> from numsolve.atomic import AtomDFT, optimality
    >>> atom = AtomDFT(2, tol=1e-10)
    >>> result = atom.run()
    >>> F = optimality.self_consistency(atom)
    >>> J = implicit.solution_jacobian(F, result.x, np.array(2.0), method="central")
    >>> bool((J @ np.ones(1)).max() > 0)  # the electrons come closer, and screen more
    True
    """
    return _SelfConsistency(atom)


@dataclass(frozen=True)
class _SelfConsistency:
    """A function that can be pickled; see `self_consistency`."""

    atom: AtomDFT

    def __call__(self, x: Array, Z: ArrayLike, external: ArrayLike = 0.0) -> Array:
        atom = self.atom
        field = atom.field(atom.mesh)
        charge = float(np.reshape(np.asarray(Z), ()))
        field.fields.fixed[0] *= charge / atom.Z
        field.settle(atom.first_potential(field.tables, np.asarray(x + external)), Limits())
        out = gather(field.fields.v_hartree + field.fields.v_xc, atom.mesh.n_elements)
        return np.asarray((out if atom.spin_polarized else out[0]) - x)


@dataclass(frozen=True)
class _BoundState:
    """A function that can be pickled; see `schroedinger` and `dirac`."""

    Phi: Array  # from the free nodes to P at the quadrature points
    D: Array
    weight: Array
    centrifugal: Array
    over: float  # 1 / (2 c^2); 0 for Schrödinger

    def __call__(self, x: tuple[Any, Any], v: Any) -> tuple[Any, Any]:  # arrays of NumPy or JAX
        u, eps = x
        w, over = self.weight, self.over
        p, d = self.Phi @ u, self.D @ u
        q = d / (1 + over * (eps - v))  # 2 c Q for Dirac
        equation = self.D.T @ (w * q) / 2 + self.Phi.T @ ((w * (v - eps) + self.centrifugal) * p)
        return equation, (1 - w @ (p * p + over / 2 * q * q)) / 2


def _conditions(tables: Tables, mesh: RadialMesh, c: float | None) -> Conditions:
    """F((u, eps), v) of the only channel of the tables."""
    return _BoundState(
        _global(tables.phi, tables.first, mesh),
        _global(tables.slope, tables.first, mesh),
        gather(tables.weight, mesh.n_elements),
        gather(tables.centrifugal[0], mesh.n_elements),
        0.0 if c is None else 0.5 / c**2,
    )


def _global(table: Array, first: int, mesh: RadialMesh) -> Array:
    """A basis table as the matrix from the free nodes to all quadrature points."""
    local, n = elementwise(table, mesh), mesh.order
    full = np.zeros((mesh.n_elements, local.shape[1], mesh.n_elements * n + 1))
    for e, values in enumerate(local):
        full[e, :, e * n : (e + 1) * n + 1] = values
    return full.reshape(-1, full.shape[-1])[:, first:-1]
