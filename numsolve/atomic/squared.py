r"""The radial Dirac equation by the squared Hamiltonian: the published method, for comparison.

With E = eps + c^2 the radial Hamiltonian is

    H (P, Q) = (c (-Q' + kappa Q / r) + (V + c^2) P,   c (P' + kappa P / r) + (V - c^2) Q).

Its spectrum is unbounded on both sides, so that a basis for P and Q alone gives spurious states. H^2 is
bounded below: the paper (O. Čertík et al., Comput. Phys. Commun. 297, 109051, 2024) solves H^2 = E^2 in its
weak form (H psi_i, H psi_j), with the same functions r^alpha times polynomials for P and for Q, and a dense
eigensolver. A constant is subtracted from V first, so that the wanted states have the smallest |E|.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core.limits import Limits
from numsolve._core.result import deliver

from . import _radial
from ._doubts import doubt, strength_of
from .mesh import RadialMesh
from .result import RadialResult
from .tables import dirac_tables, elementwise, radial_power, unspread

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from ._radial import Potential


#: Of an energy, relative to c^2: squares are subtracted from one another.
ROUNDING = 1e-13


def published_mesh(Z: float, r_max: float) -> RadialMesh:
    """Six elements of order 25, a short one first where there is a nucleus; 64 points each."""
    if Z == 0.0:
        return RadialMesh.exponential(0.0, r_max, 20.0, 6, 25, 64)
    first = min(0.005 * 92 / Z, 0.01 * r_max)
    rest = RadialMesh.exponential(first, r_max, 600.0, 5).edges
    return RadialMesh(np.concatenate(([0.0], rest)), 25, 64)


def solve(V: Potential, kappa: int, n_states: int, *, Z: float, c: float, mesh: RadialMesh) -> RadialResult:
    """Solve for the lowest states of one kappa; the arguments are those of `solve_radial_dirac`, checked.

    The error estimate is the change with elements of an order p higher by four. For g < 1/2, a point nucleus
    of Z above 118 and |kappa| = 1, V^2 P^2 ~ r^(2 g - 2) is no longer integrable, and energies hardly
    converge: there it is the distance from those with the small component eliminated.
    """
    result = _states(V, kappa, n_states, Z=Z, c=c, mesh=mesh)
    errors = np.full(n_states, np.nan)
    finer = mesh.refined(4)
    if _radial.is_known_everywhere(V, finer):
        change = np.abs(_states(V, kappa, n_states, Z=Z, c=c, mesh=finer, covered=True).x - result.x)
        errors = change / (1 - (mesh.order / finer.order) ** 4) + ROUNDING * c**2
    if mesh.edges[0] == 0.0 and kappa**2 - (Z / c) ** 2 < 0.25:
        power, l = radial_power(kappa, Z, c), result.l  # noqa: E741
        eliminated = _radial.solve(
            lambda mesh: dirac_tables(mesh, (kappa,), Z, c),
            mesh,
            V,
            _radial.Channel(l, kappa, Z, c, power),
            n_states,
            x0=None,
            tol=1e-11,
            limits=Limits(),
        )
        errors = np.fmax(errors, np.abs(eliminated.x - result.x))
    result = replace(result, error_estimate=errors)
    strength = strength_of(mesh, result.r, result.V + Z / result.r, relativistic=True)
    if told := doubt(strength, c * abs(kappa), errors / np.maximum(1.0, np.abs(result.x))):
        result = replace(result, status=told[0], detail=told[1])
        deliver(result)
    labels = [result.label(i) for i in range(n_states)]
    _radial.warn_of_unbound(result.x, result.bound, labels, mesh)
    _radial.warn_of_coarseness(result.x, np.abs(result.x), errors, labels)
    return result


def _states(
    V: Potential,
    kappa: int,
    n_states: int,
    *,
    Z: float,
    c: float,
    mesh: RadialMesh,
    covered: bool = False,
) -> RadialResult:
    from scipy.linalg import eigh

    # The tables of kappa and of -kappa hold Phi' + kappa Phi / r and Phi' - kappa Phi / r.
    plus, minus = dirac_tables(mesh, (kappa,), Z, c), dirac_tables(mesh, (-kappa,), Z, c)
    r, w = unspread(plus.r, mesh.n_elements), unspread(plus.weight, mesh.n_elements)
    v = _radial.read_potential(V, r.ravel(), Z, covered=covered).reshape(r.shape)
    shift = max(0.0, float(v.max())) + 500.0
    phi, d_plus = (elementwise(part, mesh) for part in (plus.phi, plus.slope))
    d_minus = -elementwise(minus.slope, mesh)
    u = v - shift

    def assemble(*parts: tuple[Array, Array, Array]) -> Array:
        """Sum of the matrices int f a_i b_j, without the last node, where the functions vanish."""
        size, p = mesh.n_elements * mesh.order + 1, mesh.order
        matrix = np.zeros((size, size))
        local = sum(np.einsum("eq,eqi,eqj->eij", w * f, a, b, optimize=True) for f, a, b in parts)
        for e, block in enumerate(local):
            matrix[e * p : e * p + p + 1, e * p : e * p + p + 1] += block
        first = plus.first
        return matrix[first:-1, first:-1]

    one = np.ones_like(v)
    H11 = assemble(((u + c**2) ** 2, phi, phi), (c**2 * one, d_plus, d_plus))
    H22 = assemble(((u - c**2) ** 2, phi, phi), (c**2 * one, d_minus, d_minus))
    # The terms in c^3 are a total derivative and are left out.
    H12 = assemble((c * u, phi, d_minus), (c * u, d_plus, phi))
    S = assemble((one, phi, phi))
    empty = np.zeros_like(S)
    matrix, overlap = np.block([[H11, H12], [H12.T, H22]]), np.block([[S, empty], [empty, S]])
    # As in the paper, twice: the energies of the run with vectors have rounding errors up to 1e-6.
    squares = eigh(matrix, overlap, driver="gvd", eigvals_only=True)[:n_states]
    vectors = eigh(matrix, overlap, driver="gvd")[1][:, :n_states]
    energies = np.sqrt(squares) - c**2 + shift
    l = kappa if kappa > 0 else -kappa - 1  # noqa: E741
    nodal = np.zeros((2, n_states, mesh.n_elements * mesh.order + 1))
    nodal[:, :, plus.first : -1] = np.moveaxis(vectors.reshape(2, -1, n_states), -1, 1)
    index = mesh.order * np.arange(mesh.n_elements)[:, None] + np.arange(mesh.order + 1)
    P, Q = np.einsum("eqi,cnei->cneq", phi, nodal[:, :, index]).reshape(2, n_states, -1)
    sign = np.where(P[:, 0] < 0, -1.0, 1.0)[:, None]
    bound = energies < v[-1, -1]
    return RadialResult(
        x=energies,
        residual=0.0,
        n=l + 1 + np.arange(n_states),
        l=l,
        kappa=kappa,
        r=r.ravel(),
        weights=w.ravel(),
        P=sign * P,
        Q=sign * Q,
        V=v.ravel(),
        certified=False,
        bound=bound,
        mesh=mesh,
        _u=nodal[0][:, index] * sign[..., None],
        _power=0.0 if plus.first else radial_power(kappa, Z, c),
    )
