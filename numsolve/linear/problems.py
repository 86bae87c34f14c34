r"""Sequences of related linear systems: the test problems of this column.

The shifted Laplacians and the heat equation are those of M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar,
"Learning to relax", ICLR 2024. A sequence whose right-hand side depends on the last solution is a generator
that is told the solution: ``x = yield A, b, context``. `numsolve.linear.solve_sequence` does that; in a
plain loop nobody does, and the sequence solves its systems by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
from scipy.fft import dstn, idstn
from scipy.sparse.linalg import spsolve

from numsolve._core import checks

from ._mesh import Mesh, narrow
from .poisson.problems import maze, random_obstacles

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numsolve._core.typing import Array, ArrayLike, Matrix, RandomState

    #: The matrix, the right-hand side and the context.
    Linear: TypeAlias = tuple[Matrix, Array, float]

__all__ = [
    "drifting_diffusion",
    "heat_diffusion",
    "heat_equation",
    "heated_mesh",
    "laplacian",
    "maze",
    "newton_steps",
    "random_obstacles",
    "shifted_laplacians",
    "sine_solve",
]

#: Diffusion and source of the heat equation act in steps of this length.
TIME_STEP = 1e-3


def __dir__() -> list[str]:
    return __all__


def laplacian(nx: int, dim: int = 2, *, shift: float = 0.0) -> Matrix:
    """Negative Laplacian on a grid of ``nx**dim`` points, zero outside, without the factor ``1/h**2``.

    Parameters
    ----------
    nx : int
        Points a side.
    dim : int
        1, 2 or 3.
    shift : float
        Added to the diagonal.

    Returns
    -------
    csr_array of shape (nx**dim, nx**dim)
        ``2 dim + shift`` on the diagonal, -1 for each neighbour.

    Examples
    --------
    >>> from numsolve import linear
    >>> linear.problems.laplacian(3, dim=1).toarray()
    array([[ 2., -1.,  0.],
           [-1.,  2., -1.],
           [ 0., -1.,  2.]])
    """
    nx, dim = checks.integer("nx", nx, low=1), checks.integer("dim", dim, low=1, high=3)
    shift = checks.real("shift", shift)
    line = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(nx, nx))
    A = line
    for _ in range(dim - 1):
        A = sp.kronsum(A, line)
    A = sp.csr_array(A + shift * sp.eye_array(nx**dim))
    A.sort_indices()
    return narrow(A)


def shifted_laplacians(
    n_systems: int, variance: Literal["high", "low"] = "high", *, nx: int = 10, rng: RandomState = None
) -> Iterator[Linear]:
    """Laplacians with independent random shifts, and random right-hand sides.

    The shift is ``-0.15 + 0.6 X`` with X from a Beta distribution, ``Beta(1/2, 3/2)`` for the high variance
    and ``Beta(2, 6)`` for the low one. The right-hand side is standard normal, drawn again until
    ``||b|| <= sqrt(n)``.

    Parameters
    ----------
    n_systems : int
        How many.
    variance : {"high", "low"}
        The distribution of the shift.
    nx : int
        Grid points a side.
    rng : None, int or Generator
        Randomness.

    Returns
    -------
    iterator of tuple
        ``(A, b, shift)``: the matrix ``laplacian(nx) + shift I`` of shape (nx**2, nx**2), the right-hand side
        of shape (nx**2,), and the shift as the context.
    """
    n_systems = checks.integer("n_systems", n_systems, low=0)
    alpha, beta = {"high": (0.5, 1.5), "low": (2.0, 6.0)}[
        checks.choice("variance", variance, ("high", "low"))
    ]
    return _shifted(n_systems, alpha, beta, laplacian(nx), checks.generator(rng))


def _shifted(n_systems: int, alpha: float, beta: float, A: Any, rng: np.random.Generator) -> Iterator[Linear]:
    n = A.shape[0]
    identity = (A.data == 4.0).astype(float)
    for _ in range(n_systems):
        shift = -0.15 + 0.6 * rng.beta(alpha, beta)
        b = rng.standard_normal(n)
        while np.dot(b, b) > n:
            b = rng.standard_normal(n)
        yield _like(A, A.data + shift * identity), b, float(shift)


def heat_diffusion(t: ArrayLike) -> Any:
    """The diffusion coefficient of `heat_equation`: ``max(0.1 sin 2 pi t, -10 sin 2 pi t)``.

    Parameters
    ----------
    t : float or array
        Time.

    Returns
    -------
    float or array
    """
    s = np.sin(2 * np.pi * checks.array("t", t))
    return np.maximum(0.1 * s, -10.0 * s)[()]


def heat_equation(nx: int, n_steps: int = 5000) -> Generator[Linear, Array | None, None]:
    r"""Steps of the heat equation with a diffusion that swings between 0 and 10.

    ``u_t = kappa(t) Lap u + f(t, x)`` on the unit square, zero on its boundary, in Crank-Nicolson steps of
    1/1000; kappa is `heat_diffusion`, f a bump that circles four times a unit of time. Half of the systems
    are nearly the identity, the others are stiff.

    Parameters
    ----------
    nx : int
        Intervals a side: ``(nx - 1)**2`` unknowns.
    n_steps : int
        Systems; the diffusion has a period of 1000.

    Returns
    -------
    generator of tuple
        ``(A, b, kappa)``: the matrix ``I - dt/2 kappa L`` of shape (n, n), the right-hand side
        ``(I + dt/2 kappa L) u + dt f`` of shape (n,), with u the solution sent for the last system, and
        the diffusion coefficient at the middle of the step as the context.

    Examples
    --------
    >>> from numsolve import linear
    >>> systems = linear.problems.heat_equation(25)
    >>> A, b, kappa = next(systems)
    >>> A.shape, round(kappa, 6)
    ((576, 576), 0.000314)
    """
    nx, n_steps = checks.integer("nx", nx, low=2), checks.integer("n_steps", n_steps, low=0)
    return _heat(nx, n_steps)


def _heat(nx: int, n_steps: int) -> Generator[Linear, Array | None, None]:
    L = laplacian(nx - 1)
    L.data *= float(nx) ** 2
    identity = (L.data > 0).astype(float)
    at = np.arange(1, nx) / nx
    X, Y = np.meshgrid(at, at, indexing="ij")
    u = _bump(X, Y, (0.5, 0.5), 0.25)
    for k in range(n_steps):
        t = (k + 0.5) * TIME_STEP
        kappa = float(heat_diffusion(t))
        s = 0.5 * TIME_STEP * kappa
        angle = 16 * np.pi * t
        centre = (0.5 + np.cos(angle) / 4, 0.5 + np.sin(angle) / 4)
        b = u - s * (L @ u) + TIME_STEP * 32 * _bump(X, Y, centre, 0.125)
        sent = yield _like(L, identity + s * L.data), b, kappa
        u = sine_solve(b, s * nx**2) if sent is None else np.asarray(sent, dtype=float).reshape(b.shape)


def drifting_diffusion(nx: int, n_systems: int = 5000, *, rng: RandomState = None) -> Iterator[Linear]:
    r"""Anisotropic diffusion through a rough medium, with a reaction; anisotropy and reaction drift apart.

    ``-d/dx (k d/dx u) - eps(t) d/dy (k d/dy u) + s(t) u = b`` by finite volumes on a grid of ``nx**2``
    points, u = 0 outside. log k is a smooth random field of standard deviation 1, eps swings between 0.01
    and 1 in 1700 systems, and s between about 3e-3 and 3 in 230, with noise. The right-hand sides are
    standard normal.

    Parameters
    ----------
    nx : int
        Grid points a side.
    n_systems : int
        How many.
    rng : None, int or Generator
        Randomness.

    Returns
    -------
    iterator of tuple
        ``(A, b, log_s)``: the matrix of shape (nx**2, nx**2), the right-hand side of shape (nx**2,), and the
        logarithm of the reaction as the context, which says nothing about the anisotropy.
    """
    nx, n_systems = checks.integer("nx", nx, low=2), checks.integer("n_systems", n_systems, low=0)
    return _drifting(nx, n_systems, checks.generator(rng))


def _drifting(nx: int, n_systems: int, rng: np.random.Generator) -> Iterator[Linear]:
    waves = rng.standard_normal((nx + 2, nx + 2))
    order = np.arange(1, nx + 3)
    field = idstn(waves / (order[:, None] ** 2 + order**2), type=1)
    k = np.exp((field - field.mean()) / field.std())
    along, across = (_fluxes(k, axis) for axis in (0, 1))
    pattern = laplacian(nx)
    rows = np.repeat(np.arange(nx * nx), np.diff(pattern.indptr))
    parts = [np.asarray(part[rows, pattern.indices]).reshape(-1) for part in (along, across)]
    identity = (rows == pattern.indices).astype(float)
    for t in range(n_systems):
        eps = 10 ** (-1 + np.sin(2 * np.pi * t / 1700))
        log_s = np.log(10) * (-1 + 1.5 * np.sin(2 * np.pi * t / 230) + 0.1 * rng.standard_normal())
        A = _like(pattern, parts[0] + eps * parts[1] + np.exp(log_s) * identity)
        yield A, rng.standard_normal(nx * nx), float(log_s)


def _fluxes(k: Array, axis: int) -> Matrix:
    """Differences of fluxes in one direction, with harmonic means of k on the faces; k has a border."""
    k = np.moveaxis(k, axis, 0)[:, 1:-1]
    faces = 2 / (1 / k[:-1] + 1 / k[1:])
    m = faces.shape[1]
    diagonal = (faces[:-1] + faces[1:]).reshape(-1)
    between = -faces[1:-1].reshape(-1)
    A = sp.diags_array([between, diagonal, between], offsets=[-m, 0, m]).tocsr()
    swap = np.arange(m * m).reshape(m, m).T.reshape(-1)
    return A if axis == 0 else A[swap][:, swap]


def heated_mesh(
    n_points: int, n_steps: int = 5000, *, rng: RandomState = None
) -> Generator[Linear, Array | None, None]:
    r"""Implicit Euler steps of a heat equation on an unstructured mesh; the step and the conductivity change.

    ``u_t = div(k(x, t) grad u) + 1`` on the unit square, zero on its boundary, by linear finite elements on
    the Delaunay triangles of random points, with a lumped mass matrix. k is 1, and 51 in a hot spot that
    circles once in 300 steps. The time step starts at 1e-4 and grows by a fifth a step, up to 1e-2, until
    an event at random, once in 60 steps, sets it back.

    Parameters
    ----------
    n_points : int
        Unknowns: points inside the square.
    n_steps : int
        Systems.
    rng : None, int or Generator
        Randomness.

    Returns
    -------
    generator of tuple
        ``(A, b, log_dt)``: the matrix ``M + dt K`` of shape (n_points, n_points), the right-hand side ``M (u
        + dt)`` of shape (n_points,), with u the solution sent for the last system, and the logarithm of the
        time step as the context.
    """
    n_points, n_steps = checks.integer("n_points", n_points, low=1), checks.integer("n_steps", n_steps, low=0)
    return _heated(n_points, n_steps, checks.generator(rng))


def _heated(n_points: int, n_steps: int, rng: np.random.Generator) -> Generator[Linear, Array | None, None]:
    mesh = Mesh(n_points, rng)
    u: Any = np.zeros(n_points)
    dt, eye = 1e-4, np.eye(2)
    for t in range(n_steps):
        angle = 2 * np.pi * t / 300
        centre = np.array([0.5 + 0.25 * np.cos(angle), 0.5 + 0.25 * np.sin(angle)])
        k = 1 + 50 * np.exp(-((mesh.middles - centre) ** 2).sum(axis=1) / 0.02)
        A = mesh.stiffness(dt * k[:, None, None] * eye, mesh.mass)
        b = mesh.mass * (u + dt)
        sent = yield A, b, float(np.log(dt))
        u = spsolve(A, b) if sent is None else np.asarray(sent, dtype=float).reshape(b.shape)
        dt = 1e-4 if rng.random() < 1 / 60 else min(1.2 * dt, 1e-2)


def newton_steps(
    n_points: int, n_systems: int = 5000, *, rng: RandomState = None
) -> Generator[Linear, Array | None, None]:
    r"""The linear systems of Newton's method for nonlinear diffusion problems, one problem after the other.

    Each problem minimises ``int (d^2 + |grad u|^2)^(p/2) / p - f u`` with d = 0.1 over the unit square, zero
    on its boundary, by linear finite elements on the Delaunay triangles of random points (the same for all
    problems): a p-Laplacian, with p between 1.5 and 4 and a load of size 0.1 to 10, both at random. Newton's
    steps are halved until they reduce the energy.

    Parameters
    ----------
    n_points : int
        Unknowns: points inside the square.
    n_systems : int
        Systems: some 5 to 15 for each problem.
    rng : None, int or Generator
        Randomness.

    Returns
    -------
    generator of tuple
        ``(A, b, p)``: the second derivative of the energy, of shape (n_points, n_points), minus its gradient,
        of shape (n_points,), and p as the context. The solution sent is the step.
    """
    n_points = checks.integer("n_points", n_points, low=1)
    n_systems = checks.integer("n_systems", n_systems, low=0)
    return _newton(n_points, n_systems, checks.generator(rng))


def _newton(n_points: int, n_systems: int, rng: np.random.Generator) -> Generator[Linear, Array | None, None]:
    mesh = Mesh(n_points, rng)
    done = 0
    while done < n_systems:  # each problem yields at least its first system
        p, size = rng.uniform(1.5, 4), 10 ** rng.uniform(-1, 1)
        load = mesh.mass * size * (1 + np.sin(2 * np.pi * mesh.points @ rng.uniform(-2, 2, 2)))
        u, first = np.zeros(n_points), np.linalg.norm(load)
        for _ in range(15):
            g = mesh.gradient(u)
            square = 0.01 + (g**2).sum(axis=1)
            w = square ** (p / 2 - 1)
            b = load - mesh.divergence(w[:, None] * g)
            if np.linalg.norm(b) < 1e-6 * first:
                break
            if done == n_systems:
                return
            tensors = w[:, None, None] * (
                np.eye(2) + (p - 2) / square[:, None, None] * g[:, :, None] * g[:, None, :]
            )
            A = mesh.stiffness(tensors, np.zeros(n_points))
            sent = yield A, b, float(p)
            done += 1
            step = spsolve(A, b) if sent is None else np.asarray(sent, dtype=float).reshape(b.shape)
            energy, length = mesh.energy(u, p) - load @ u, 1.0
            while length > 1e-3 and mesh.energy(u + length * step, p) - load @ (u + length * step) > energy:
                length /= 2
            u = u + length * step


def sine_solve(b: Array, s: float) -> Array:
    """Solve ``(I + s laplacian(m)) x = b`` on a square grid, directly, by fast sine transforms.

    Parameters
    ----------
    b : array of shape (m**2,)
        Right-hand side.
    s : float
        The factor of the Laplacian.

    Returns
    -------
    array of shape (m**2,)
    """
    m = round(b.size**0.5)
    modes = 2 - 2 * np.cos(np.pi * np.arange(1, m + 1) / (m + 1))
    coefficients = dstn(b.reshape(m, m), type=1) / (1 + s * (modes[:, None] + modes))
    x: Array = idstn(coefficients, type=1).reshape(-1)
    return x


def _bump(X: Array, Y: Array, centre: tuple[float, float], radius: float) -> Array:
    """exp(1 - 1/(1 - |x - c|^2/r^2)) inside the radius, zero outside; as a vector."""
    q = ((X - centre[0]) ** 2 + (Y - centre[1]) ** 2).reshape(-1) / radius**2
    inside = q < 1
    out = np.zeros_like(q)
    out[inside] = np.exp(1 - 1 / (1 - q[inside]))
    return out


def _like(A: Matrix, data: Array) -> Matrix:
    """A matrix with the pattern of A, which it shares."""
    out = sp.csr_array((data, A.indices, A.indptr), shape=A.shape)
    out.has_canonical_format = True
    return out
