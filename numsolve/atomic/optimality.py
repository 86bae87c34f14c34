r"""What bound states and self-consistent atoms satisfy, for derivatives by `numsolve.implicit`.

The first derivatives of energies need no linear solve (Hellmann and Feynman): with the quadrature weights w
and the values v of the potential at the points r,

    d eps / d v = w (P^2 + Q^2),        dE / d v_ext = w rho,        dE / dZ = -int rho / r,

that is ``weights * P**2`` of a `RadialResult`, and ``weights * 4 pi r**2 density`` and `dE_dZ` of an
`AtomResult`. The conditions below serve for all else: derivatives of orbitals and of potentials, second
derivatives of energies, a solver as a function of JAX.
"""

from __future__ import annotations

from math import inf, isinf
from typing import TYPE_CHECKING, Any

import numpy as np

from .squared import elementwise
from .tables import Fields, Mixing, dirac_tables, gather, schroedinger_tables
from .xc import C_1986, FUNCTIONALS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .dft import AtomDFT
    from .mesh import RadialMesh
    from .result import RadialResult
    from .tables import Tables


def schroedinger(mesh: RadialMesh, l: int = 0) -> Callable[..., Any]:  # noqa: E741
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
    return _conditions(schroedinger_tables(mesh, (l,)), mesh)


def dirac(mesh: RadialMesh, kappa: int = -1, *, Z: float = 0.0, c: float = C_1986) -> Callable[..., Any]:
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
    return _conditions(dirac_tables(mesh, (kappa,), Z, c), mesh)


def eigenpair(result: RadialResult, state: int = 0) -> tuple[Any, Any]:
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
    assert result.mesh is not None
    first = 1 if result.kappa is None or result.mesh.edges[0] > 0.0 else 0
    values = np.concatenate([result._u[state, :, :-1].ravel(), result._u[state, -1:, -1]])
    return values[first:-1], np.array(result.energies[state])


def self_consistency(atom: AtomDFT) -> Callable[..., Any]:
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
    from . import _cpu_scf as k

    tables = atom._tables(atom.mesh)

    def residual(x: Any, Z: Any, external: Any = 0.0) -> Any:
        v = atom._start(tables, np.asarray(x + external))
        states, now = atom._empty_states(tables), Fields.of(tables, len(v), FUNCTIONALS[atom.xc])
        mixing, charge = Mixing.of(v.size, 0), float(np.reshape(Z, ()))
        k.iterate(tables, states, now, mixing, charge, v, 1.0, True, 1, inf, np.empty((3, 1)), True)
        out = gather(now.v_out, atom.mesh.n_elements)
        return (out if atom.spin_polarized else out[0]) - x

    return residual


def _conditions(tables: Tables, mesh: RadialMesh) -> Callable[..., Any]:
    """F((u, eps), v) of the only channel of the tables."""
    Phi, D = _global(tables.phi, tables.first, mesh), _global(tables.slope, tables.first, mesh)
    w, w_centrifugal = (gather(part, mesh.n_elements) for part in (tables.weight, tables.centrifugal[0]))
    over = 0.0 if isinf(tables.c) else 0.5 / tables.c**2

    def conditions(x: tuple[Any, Any], v: Any) -> tuple[Any, Any]:
        u, eps = x
        p, d = Phi @ u, D @ u
        q = d / (1 + over * (eps - v))  # 2 c Q for Dirac
        equation = D.T @ (w * q) / 2 + Phi.T @ ((w * (v - eps) + w_centrifugal) * p)
        return equation, (1 - w @ (p * p + over / 2 * q * q)) / 2

    return conditions


def _global(table: Any, first: int, mesh: RadialMesh) -> Any:
    """A basis table as the matrix from the free nodes to all quadrature points."""
    local, n = elementwise(table, mesh), mesh.order
    full = np.zeros((mesh.n_elements, local.shape[1], mesh.n_elements * n + 1))
    for e, values in enumerate(local):
        full[e, :, e * n : (e + 1) * n + 1] = values
    return full.reshape(-1, full.shape[-1])[:, first:-1]
