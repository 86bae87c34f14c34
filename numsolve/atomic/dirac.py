r"""The radial Dirac equation by high-order finite elements, with the small component eliminated.

With kappa = -(l + 1) for j = l + 1/2 and kappa = l for j = l - 1/2, and eps without the rest energy,

    c (-Q' + kappa Q / r) + V P = eps P,      c (P' + kappa P / r) + (V - 2 c^2) Q = eps Q.

The second equation gives ``Q = (P' + kappa P / r) / (2 c M)`` with ``M = 1 + (eps - V) / (2 c^2)``; the first
then has the weak form A(eps) u = 0,

    A_ij(eps) = int D_i D_j / (2 M) + (V - eps) Phi_i Phi_j,      D = Phi' + kappa Phi / r.

-dA/deps is the norm of P plus that of Q: positive while M is. So the negative pivots of A(eps) count the
energies below eps, every state is certified by its index, and none can be spurious. The paper (Čertík et al.,
Comput. Phys. Commun. 297, 109051, 2024) squares the Hamiltonian instead; that is ``formulation="squared"``,
see `numsolve.atomic.squared`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from numsolve._core import checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits

from . import _radial, squared
from .mesh import LARGEST_CHARGE
from .tables import dirac_tables, radial_power
from .xc import C_1986

if TYPE_CHECKING:
    from numsolve._core.typing import ArrayLike, Callback

    from ._radial import Potential
    from .mesh import RadialMesh
    from .result import RadialResult


@answers()
def solve_radial_dirac(
    V: Potential,
    kappa: int = -1,
    n_states: int = 1,
    *,
    Z: float = 0.0,
    c: float = C_1986,
    r_max: float = 50.0,
    mesh: RadialMesh | None = None,
    x0: ArrayLike | None = None,
    tol: float = 1e-11,
    formulation: Literal["elimination", "squared"] = "elimination",
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> RadialResult:
    """Solve the radial Dirac equation for the lowest states of one kappa.

    Parameters
    ----------
    V : callable or pair of array
        The whole potential in hartree: a function of a vector of radii (bohr), or samples (r, v), which are
        interpolated by cubic splines and have to cover the mesh.
    kappa : int
        -(l + 1) for j = l + 1/2, l for j = l - 1/2; not zero.
    n_states : int
        How many states, from the lowest up.
    Z : float
        The charge of a nucleus whose singularity -Z / r is contained in `V`. It sets the power of r with
        which P begins, so that it has to be right; zero for a potential that is finite at the origin.
    c : float
        Speed of light in atomic units. The default is the value of 1986, that of the published tables;
        137.035999177 is that of CODATA 2022.
    r_max : float
        Where P vanishes, in bohr, for the default mesh of sixteen elements.
    mesh : RadialMesh, optional
        The elements, in place of the default.
    x0 : array of shape (n_states,), optional
        Guesses of the energies; those that turn out to belong to other states are dropped.
    tol : float
        Largest change of an energy in the last step, relative to energies above one.
    formulation : {"elimination", "squared"}
        "squared" is the published method: the squared Hamiltonian by a dense eigensolver. It is slower, has
        rounding errors of some 1e-9 Ha and no certificate; iteration settings do not apply to it.
    maxiter, callback, progress, time_limit : optional
        As in `solve_radial_schroedinger`.

    Returns
    -------
    RadialResult
        With `energies`, `P` and `Q` on the points `r`, `certified`, `bound`, `error_estimate`.

    Raises
    ------
    ValueError
        If an argument is out of range, if Z >= c, if `V` is not finite somewhere, or if it is so
        deep that a state lies in the lower continuum (the Klein region).
    TypeError
        If `V` is complex or neither a function nor a pair.

    Warns
    -----
    UnboundWarning
        If a state lies above V(r_max): the wall there decides its energy.
    PrecisionWarning
        If the mesh does not resolve the potential: the error estimate of an energy is large.

    References
    ----------
    O. Čertík, J. E. Pask, I. Fernando, R. Goswami, N. Sukumar, L. A. Collins, G. Manzini, J. Vackář,
    "High-order finite element method for atomic structure calculations", Comput. Phys. Commun. 297, 2024.

    Examples
    --------
    >>> from numsolve.atomic import hydrogenic_energy, solve_radial_dirac
    >>> result = solve_radial_dirac(lambda r: -92 / r, kappa=-1, n_states=3, Z=92)
    >>> exact = [hydrogenic_energy(92, n, kappa=-1) for n in (1, 2, 3)]
    >>> bool(abs(result.energies - exact).max() < 1e-8)
    True
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    kappa = checks.integer("kappa", kappa)
    if kappa == 0:
        raise ValueError("kappa must not be zero; it is -(l + 1) or l")
    c = checks.real("c", c, low=0.0, open_low=True)
    Z = checks.real("Z", Z, low=0.0, high=LARGEST_CHARGE)
    if Z >= c:
        raise ValueError(f"Z must be below c = {c:g}: beyond it a point nucleus has no 1s state; got {Z:g}")
    checks.choice("formulation", formulation, ("elimination", "squared"))
    if mesh is None and formulation == "squared":
        mesh = squared.published_mesh(Z, _radial.read_radius(r_max))
    rounds = _radial.ROUNDS if mesh is None and callable(V) else 0
    mesh = _radial.read_mesh(mesh, r_max, Z, dirac=True)
    n_states = _radial.read_states(n_states, mesh, mesh.n_elements * mesh.order)
    if formulation == "squared":
        return squared.solve(V, kappa, n_states, Z=Z, c=c, mesh=mesh)
    l = kappa if kappa > 0 else -kappa - 1  # noqa: E741
    power = radial_power(kappa, Z, c) if mesh.edges[0] == 0.0 else 0.0
    return _radial.solve(
        lambda mesh: dirac_tables(mesh, (kappa,), Z, c),
        mesh,
        V,
        _radial.Channel(l, kappa, Z, c, power),
        n_states,
        x0=x0,
        tol=tol,
        limits=limits,
        rounds=rounds,
    )
