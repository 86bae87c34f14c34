r"""The radial Schrödinger equation by high-order finite elements.

For P = r R(r) the equation is

    -P'' / 2 + (l (l + 1) / (2 r^2) + V) P = eps P,      P(0) = P(r_max) = 0,

and its weak form, on polynomials of degree p between Gauss-Lobatto points (O. Čertík, J. E. Pask, I.
Fernando, R. Goswami, N. Sukumar, L. A. Collins, G. Manzini, J. Vackář, "High-order finite element method for
atomic structure calculations", Comput. Phys. Commun. 297, 109051, 2024), is H u = eps S u. Where the paper
calls a dense eigensolver, here the matrix is factorised element by element: the negative pivots of H - eps S
count the energies below eps, bisection isolates each state, and Rayleigh's quotient iteration converges
cubically to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from numsolve._core import checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits

from . import _radial
from .mesh import LARGEST_CHARGE
from .tables import schroedinger_tables

if TYPE_CHECKING:
    from numsolve._core.typing import ArrayLike, Callback

    from ._radial import Potential
    from .mesh import RadialMesh
    from .result import RadialResult


@answers()
def solve_radial_schroedinger(
    V: Potential,
    l: int = 0,  # noqa: E741
    n_states: int = 1,
    *,
    r_max: float = 50.0,
    mesh: RadialMesh | None = None,
    Z: float | None = None,
    x0: ArrayLike | None = None,
    tol: float = 1e-11,
    overlap: Literal["exact", "lumped"] = "exact",
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> RadialResult:
    """Solve the radial Schrödinger equation for the lowest states of one angular momentum.

    Parameters
    ----------
    V : callable or pair of array
        The whole potential in hartree: a function of a vector of radii (bohr), or samples (r, v), which are
        interpolated by cubic splines and have to cover the mesh.
    l : int
        Angular momentum.
    n_states : int
        How many states, from the lowest up.
    r_max : float
        Where P vanishes, in bohr, for the default mesh of sixteen elements.
    mesh : RadialMesh, optional
        The elements, in place of the default.
    Z : float, optional
        The charge of a nucleus whose singularity -Z / r is contained in `V`; it refines the default mesh at
        the origin and is left out of the interpolation of samples.
    x0 : array of shape (n_states,), optional
        Guesses of the energies; those that turn out to belong to other states are dropped.
    tol : float
        Largest change of an energy in the last step, relative to energies above one.
    overlap : {"exact", "lumped"}
        The exact overlap matrix, whose energies converge from above, or the diagonal one of the paper, by the
        quadrature on the nodes.
    maxiter, callback, progress, time_limit : optional
        Largest number of steps of Rayleigh quotient iteration, 50 by default, where a step treats all states;
        called after each step with the energies, or with an ``intermediate_result``, True stops the run; show
        a progress bar; seconds.

    Returns
    -------
    RadialResult
        With `energies`, `P` on the points `r`, `certified`, `bound`, `error_estimate`.

    Raises
    ------
    ValueError
        If an argument is out of range, or `V` is not finite somewhere; the message says which and where.
    TypeError
        If `V` is complex or neither a function nor a pair.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached; if V is so deep at the origin that there is no lowest energy, as
        -2 / r^2 is (status ``UNBOUNDED``); if the mesh knows no digit of an energy.
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
    >>> from numsolve.atomic import solve_radial_schroedinger
    >>> hydrogen = solve_radial_schroedinger(lambda r: -1 / r, l=1, n_states=2, Z=1)
    >>> hydrogen.energies.round(9)
    array([-0.125     , -0.05555555])
    >>> hydrogen.certified
    True
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    l = checks.integer("l", l, low=0)  # noqa: E741
    charge = 0.0 if Z is None else checks.real("Z", Z, low=0.0, high=LARGEST_CHARGE)
    checks.choice("overlap", overlap, ("exact", "lumped"))
    rounds = _radial.ROUNDS if mesh is None and callable(V) else 0
    mesh = _radial.read_mesh(mesh, r_max, charge, dirac=False)
    n_states = _radial.read_states(n_states, mesh, mesh.n_elements * mesh.order - 1)
    return _radial.solve(
        lambda mesh: schroedinger_tables(mesh, (l,), overlap == "lumped"),
        mesh,
        V,
        _radial.Channel(l, None, charge, None, 0.0),
        n_states,
        x0=x0,
        tol=tol,
        limits=limits,
        rounds=rounds,
    )
