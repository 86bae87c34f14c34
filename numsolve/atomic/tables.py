"""Tables of a mesh: basis functions at the quadrature points, in the layout of the compiled kernels.

Both equations have the weak form ``int D_i D_j / (2 M) + (V + w - eps) Phi_i Phi_j = 0`` with

- Schrödinger: Phi = phi (Lagrange polynomials), D = phi', M = 1, w = l (l + 1) / (2 r^2);
- Dirac, Q eliminated: Phi = (r / r_i)^g phi, D = Phi' + kappa Phi / r, M = 1 + (eps - V) / (2 c^2), w = 0;
- scalar (D. D. Koelling, B. N. Harmon, J. Phys. C 10, 3107, 1977): the same with kappa = -1, and with
  D_i D_j + l (l + 1) / r^2 Phi_i Phi_j for D_i D_j. It is Dirac's equation in second order, with kappa = -1
  in the term with V', which is the mean over spin and orbit.

The factor (r / r_i)^g, with the g of `radial_power`, is 1 at the node r_i of its function, so that the
unknowns are values of P at the nodes and P is continuous.

Arrays are (..., blocks, points, nodes, 8) with element ``8 b + lane`` in block b; lanes beyond the last
element hold zeros. In the first element of a Dirac table the points are those of the Gauss-Jacobi rule with
the weight r^(2 g - 1) of |kappa| = 1, which all kappa share.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import basis
from ._tuples import LANES, Tables, aligned, zeros

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from .mesh import RadialMesh


@lru_cache(maxsize=256)
def schroedinger_tables(mesh: RadialMesh, momenta: tuple[int, ...], lumped: bool = False) -> Tables:
    """Tables of the channels l in `momenta`."""
    points, half = points_of(mesh, 0.0), np.diff(mesh.edges)[:, None] / 2
    phi, slope, overlap, kinetic, products = _reference(mesh.order, mesh.n_quad)
    each = np.ones((mesh.n_elements, 1, 1))
    over_r2 = unspread(points.weight / (2 * points.r**2), mesh.n_elements) @ products
    factors = np.array(momenta) * (np.array(momenta) + 1.0)
    matrices = _padding(mesh) + spread(kinetic / (2 * half)) + factors[:, None, None, None] * spread(over_r2)
    return Tables(
        mesh.n_elements,
        1,
        points.r,
        points.weight,
        points.cumulative,
        spread(each * phi)[None],
        spread(slope / half[..., None])[None],
        (_lumped(mesh) if lumped else spread(half * overlap))[None],
        aligned(matrices),
        aligned(factors[:, None, None, None] * points.weight / (2 * points.r**2)),
        False,
    )


@lru_cache(maxsize=64)
def _reference(order: int, n_quad: int) -> tuple[Array, Array, Array, Array, Array]:
    """On [-1, 1]: the basis and its derivative at the points, int phi phi, int phi' phi', and phi_i phi_j.

    The last three have the pairs of the upper triangle as their last axis.
    """
    nodes, (x, w) = basis.lobatto_nodes(order), basis.gauss_rule(n_quad)
    phi = basis.lagrange(nodes, x)
    slope = phi @ basis.differentiation(nodes)
    phi, slope = phi[:, local_order(order)], slope[:, local_order(order)]
    i, j = upper(order + 1)
    products = phi[:, i] * phi[:, j]
    return phi, slope, w @ products, w @ (slope[:, i] * slope[:, j]), products


@lru_cache(maxsize=64)
def upper(n: int) -> tuple[Array, Array]:
    """Rows and columns of the upper triangle, row by row."""
    return np.triu_indices(n)


@lru_cache(maxsize=256)
def dirac_tables(mesh: RadialMesh, kappas: tuple[int, ...], Z: float, c: float) -> Tables:
    """Tables of the channels kappa, for a potential with the singularity -Z / r."""
    powers = tuple(radial_power(kappa, Z, c) for kappa in kappas)
    first, points, parts = _relativistic(mesh, kappas, powers, first_exponent(Z, c))
    (none,) = zeros((len(kappas), *points.r.shape))
    return _tables(mesh, first, points, parts, none, scalar=False)


@lru_cache(maxsize=256)
def scalar_tables(mesh: RadialMesh, momenta: tuple[int, ...], Z: float, c: float) -> Tables:
    """Tables of the channels l of the scalar equation, for a potential with the singularity -Z / r."""
    powers = tuple(scalar_power(l, Z, c) for l in momenta)  # noqa: E741
    first, points, parts = _relativistic(mesh, (-1,) * len(momenta), powers, first_exponent(Z, c))
    factors = np.array(momenta) * (np.array(momenta) + 1.0)
    return _tables(
        mesh, first, points, parts, aligned(factors[:, None, None, None] / points.r**2), scalar=True
    )


def _relativistic(
    mesh: RadialMesh, kappas: tuple[int, ...], powers: tuple[float, ...], exponent: float
) -> tuple[int, Points, list[tuple[Array, Array]]]:
    """The first node with an unknown, the points, and Phi and D of each channel."""
    first = 0 if mesh.edges[0] == 0.0 else 1
    points = points_of(mesh, 0.0 if first else exponent)
    return (
        first,
        points,
        [
            _basis(mesh, points, kappa, 0.0 if first else power)
            for kappa, power in zip(kappas, powers, strict=True)
        ],
    )


def _tables(
    mesh: RadialMesh,
    first: int,
    points: Points,
    pairs: list[tuple[Array, Array]],
    centrifugal: Array,
    *,
    scalar: bool,
) -> Tables:
    """All tables, from Phi and D of each channel."""
    phi, slope = (aligned(np.stack(parts)) for parts in zip(*pairs, strict=True))
    return Tables(
        mesh.n_elements,
        first,
        points.r,
        points.weight,
        points.cumulative,
        phi,
        slope,
        aligned(np.stack([_gram(table, points.weight) for table in phi])),
        aligned(np.stack([_padding(mesh)] * len(pairs))),
        centrifugal,
        scalar,
    )


def radial_power(kappa: int, Z: float, c: float) -> float:
    """The power that stands before the polynomials: g of P ~ r^g at the nucleus, less an integer.

    The polynomials make up for the integer |kappa| - 1. With all of g in front, the functions of the first
    element would be so nearly dependent for |kappa| = 4 that rounding could turn the sign of a pivot.
    """
    return sqrt(kappa**2 - (Z / c) ** 2) - abs(kappa) + 1


def scalar_power(l: int, Z: float, c: float) -> float:  # noqa: E741
    """The same for the scalar equation, whose P begins like r^g with g^2 = 1 + l (l + 1) - (Z / c)^2."""
    return sqrt(1 + l * (l + 1) - (Z / c) ** 2) - l


def first_exponent(Z: float, c: float) -> float:
    """The Jacobi exponent of the first element, with the g of |kappa| = 1.

    ``D D / M`` and ``V Phi Phi`` begin with r^(2 g - 1), since M does with 1 / r; without a nucleus with r^0.
    """
    return 2 * sqrt(1 - (Z / c) ** 2) - 1 if Z > 0 else 0.0


def local_order(order: int) -> Array:
    """Inner nodes first, then the left and the right end."""
    return np.array([*range(1, order), 0, order])


def spread(values: Array) -> Array:
    """Bring (elements, ...) into the kernels' layout (blocks, ..., 8)."""
    elements = values.shape[0]
    blocks = -(-elements // LANES)
    padded = np.zeros((blocks * LANES, *values.shape[1:]))
    padded[:elements] = values
    split = padded.reshape(blocks, LANES, *values.shape[1:])
    return aligned(np.moveaxis(split, 1, -1))


def unspread(values: Array, elements: int) -> Array:
    """Undo `spread` for arrays (..., blocks, m, 8): give (..., elements, m)."""
    flat = values.swapaxes(-1, -2)
    return flat.reshape(*values.shape[:-3], -1, values.shape[-2])[..., :elements, :]


def gather(values: Array, elements: int) -> Array:
    """Give (..., blocks, m, 8) as (..., elements * m), in the order of the radii."""
    return unspread(values, elements).reshape(*values.shape[:-3], -1)


def elementwise(table: Array, mesh: RadialMesh) -> Array:
    """Bring (1, blocks, points, n, 8) to (elements, points, nodes from left to right)."""
    values = np.moveaxis(table[0], -1, 1).reshape(-1, *table.shape[2:4])[: mesh.n_elements]
    out = np.empty_like(values)
    out[..., local_order(mesh.order)] = values
    return np.asarray(out)


class Points(NamedTuple):
    """Where the quadrature points are, and how to integrate."""

    x: Array  # (elements, points) on [-1, 1]
    r: Array  # (blocks, points, 8)
    weight: Array
    cumulative: Array


@lru_cache(maxsize=64)
def points_of(mesh: RadialMesh, exponent: float) -> Points:
    """Quadrature points of all elements; the first has a Jacobi exponent."""
    edges, elements, nq = mesh.edges, mesh.n_elements, mesh.n_quad
    half = np.diff(edges)[:, None] / 2
    each = np.ones((elements, 1))
    x, w = (part * each for part in basis.gauss_rule(nq))
    C = basis.cumulative(nq) * each[..., None]
    if exponent:
        x[0], weights = basis.gauss_rule(nq, exponent)
        w[0] = weights / (1 + x[0]) ** exponent
        C[0] = basis.cumulative(nq, exponent)
    r = spread(edges[:-1, None] + half * (1 + x))
    r[r == 0.0] = 1.0
    return Points(x, r, spread(half * w), spread(half[..., None] * C))


def _basis(mesh: RadialMesh, points: Points, kappa: int, g: float) -> tuple[Array, Array]:
    """Phi and D of all elements."""
    nodes = basis.lobatto_nodes(mesh.order)
    half = np.diff(mesh.edges)[:, None] / 2
    phi = basis.lagrange(nodes, points.x)
    slope = phi @ basis.differentiation(nodes) / half[..., None]
    r = mesh.edges[:-1, None] + half * (1 + points.x)
    slope += kappa * phi / r[..., None]
    if g:
        power = (r[..., None] / node_radii(mesh)[:, None]) ** g
        slope = power * (slope + g * phi / r[..., None])
        phi = power * phi
    order = local_order(mesh.order)
    return spread(phi[..., order]), spread(slope[..., order])


def node_radii(mesh: RadialMesh) -> Array:
    """Radii of the nodes, (elements, p + 1); a node at zero counts as the end of its element."""
    left, half = mesh.edges[:-1, None], np.diff(mesh.edges)[:, None] / 2
    radii = left + half * (1 + basis.lobatto_nodes(mesh.order))
    return np.asarray(np.where(radii == 0.0, mesh.edges[1], radii))


def _gram(table: Array, weight: Array) -> Array:
    """Packed element matrices ``sum_q weight_q table_qi table_qj``."""
    rows = np.moveaxis(table, -1, 1)  # (blocks, 8, points, n)
    full = (rows * weight.swapaxes(-1, -2)[..., None]).swapaxes(-1, -2) @ rows
    i, j = upper(table.shape[2])
    return aligned(np.moveaxis(full[..., i, j], 1, -1))


def _lumped(mesh: RadialMesh) -> Array:
    """Overlap by the quadrature on the nodes themselves, which is diagonal."""
    weights = basis.lobatto_weights(mesh.order)[local_order(mesh.order)]
    return _diagonal(mesh, np.diff(mesh.edges)[:, None] / 2 * weights)


def _padding(mesh: RadialMesh) -> Array:
    """Ones on the diagonal of the lanes without an element, so that their elimination does no harm."""
    i, j = upper(mesh.order + 1)
    blocks = -(-mesh.n_elements // LANES)
    out = np.zeros((blocks, i.size, LANES))
    out[-1, :, mesh.n_elements - LANES * (blocks - 1) :] = (i == j)[:, None]
    return out


def _diagonal(mesh: RadialMesh, values: Array) -> Array:
    i, j = upper(mesh.order + 1)
    packed = np.zeros((mesh.n_elements, i.size))
    packed[:, i == j] = values
    return spread(packed)
