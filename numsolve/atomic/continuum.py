"""Solutions of the radial equation at any energy: logarithmic derivatives, and phase shifts.

An element has the matrix A(E) of `numsolve.atomic.schroedinger` or `numsolve.atomic.dirac`. Its unknowns but
the last are eliminated, and what is left, s, is added at the first node of the next element: outward
integration. At its end, where P(R) = 1, s is the boundary term of the weak form,

    s = D(R) / (2 M(R)),      D = P' + kappa P / r,

whose error is the square of that of P. Beyond the potential P is a combination of Riccati's and Bessel's
functions of k r, k^2 = 2 E + E^2 / c^2, whose phase shift follows from P' / P.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from .mesh import RadialMesh
from .tables import dirac_tables, scalar_tables, schroedinger_tables, unspread

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from ._tuples import Tables
    from .functions import Elements

#: The length of an element in units of 1 / k, over its order: some six points a wave.
LONGEST_WAVE = 0.5
#: What is left of a potential where it counts as none, in hartree; and at the end of the mesh, at most.
NOTHING, LITTLE = 1e-9, 1e-7
#: Numbers of all matrices that are made at once.
ROOM = 4_000_000


def wave_number(energies: Array, c: float | None) -> Array:
    """How fast a free wave of each energy oscillates; nan below zero."""
    with np.errstate(invalid="ignore"):
        return np.sqrt(2 * energies + (0.0 if c is None else energies**2 / c**2))


def log_derivatives(atom: Elements, channel: int, spin: int, energies: Array, r: float) -> Array:
    """P' / P at r for each energy, of one l or kappa."""
    largest = float(np.nanmax(np.append(wave_number(energies, atom.c), 0.0)))
    mesh = _cut(atom.mesh, r, largest)
    c, Z = atom.c, atom.Z if atom.nucleus is None else 0.0
    if c is None:
        tables, kappa = schroedinger_tables(mesh, (channel,)), 0
    elif atom.scalar:
        tables, kappa = scalar_tables(mesh, (channel,), Z, c), -1
    else:
        tables, kappa = dirac_tables(mesh, (channel,), Z, c), channel
    radii = unspread(tables.r, mesh.n_elements)
    V = atom.potentials(radii.ravel())[0].value[spin].reshape(radii.shape)
    at_end = float(atom.potentials(np.array([r]))[0].value[spin, 0])
    size = radii.size * (mesh.order + 1)
    several = max(1, ROOM // size)
    s = np.concatenate(
        [_integrate(tables, mesh, V, energies[i : i + several], c) for i in range(0, len(energies), several)]
    )
    mass = 1.0 if c is None else 1 + (energies - at_end) / (2 * c**2)
    return np.asarray(2 * mass * s - kappa / r)


def phase_shifts(atom: Elements, channel: int, spin: int, energies: Array) -> Array:
    """Of waves with positive energies, in (-pi / 2, pi / 2]."""
    from scipy.special import spherical_jn, spherical_yn

    edges = atom.mesh.edges
    ends = edges[1:]
    V = np.abs(atom.potentials(ends)[0].value[spin])
    quiet = np.flatnonzero(V < NOTHING)
    if not quiet.size and V[-1] > LITTLE:
        raise ValueError(
            f"the potential is {V[-1]:.2g} Ha at the end of the mesh, r_max = {edges[-1]:g}; phase shifts "
            "need an atom without a charge, or a screened one, on a mesh that reaches beyond its potential"
        )
    r = float(ends[quiet[0] if quiet.size else -1])
    l = channel if atom.c is None or atom.scalar or channel > 0 else -channel - 1  # noqa: E741
    slope, k = log_derivatives(atom, channel, spin, energies, r), wave_number(energies, atom.c)
    z = k * r
    # x j_l and x y_l, and their derivatives by r
    parts = [
        (z * f(l, z), k * (f(l, z) + z * f(l, z, derivative=True))) for f in (spherical_jn, spherical_yn)
    ]
    (j, dj), (y, dy) = parts
    delta = np.arctan2(dj - slope * j, dy - slope * y)
    return np.asarray(delta - np.pi * np.ceil(delta / np.pi - 0.5))


def _cut(mesh: RadialMesh, r: float, k: float) -> RadialMesh:
    """The elements up to r, divided where they are long for waves with k."""
    edges = np.append(mesh.edges[mesh.edges < r * (1 - 1e-3)], r)
    parts = [max(1, ceil(k * length / (LONGEST_WAVE * mesh.order))) for length in np.diff(edges).tolist()]
    return RadialMesh(edges, mesh.order, mesh.n_quad).divided(parts)


def _integrate(tables: Tables, mesh: RadialMesh, V: Array, energies: Array, c: float | None) -> Array:
    """The boundary term at the end of the mesh where P is 1, for each energy."""
    elements = mesh.n_elements
    weight, barrier = (unspread(part, elements) for part in (tables.weight, tables.centrifugal[0]))
    phi, slope = (_local(part[0], elements) for part in (tables.phi, tables.slope))
    E = energies[:, None, None]
    well = weight * (V - E)
    if c is None:
        kinetic, well = np.broadcast_to(weight / 2, well.shape), well + barrier
    else:
        kinetic = weight / (2 + (E - V) / c**2)
        if tables.scalar:
            well = well + kinetic * barrier
    s = np.zeros(len(energies))
    for e in range(elements):
        A = np.einsum("aq,qi,qj->aij", kinetic[:, e], slope[e], slope[e], optimize=True)
        A += np.einsum("aq,qi,qj->aij", well[:, e], phi[e], phi[e], optimize=True)
        A[:, -2, -2] += s  # the left end; the right one is last
        kept = [*range(mesh.order - 1), *([mesh.order - 1] if e or not tables.first else [])]
        inner, beside = A[:, kept][:, :, kept], A[:, kept, -1]
        s = A[:, -1, -1] - np.einsum("ai,ai->a", beside, np.linalg.solve(inner, beside[..., None])[..., 0])
    return np.asarray(s)


def _local(table: Array, elements: int) -> Array:
    """(blocks, points, nodes, 8) as (elements, points, nodes)."""
    flat = np.moveaxis(table, -1, 1)
    return flat.reshape(-1, *flat.shape[2:])[:elements]
