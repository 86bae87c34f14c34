"""From the kernels' layout to functions of the radius, and from one mesh to a finer one."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from . import basis
from .tables import gather, local_order, node_radii, points_of, spread, unspread

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, ArrayLike

    from ._tuples import States, Tables
    from .mesh import RadialMesh


#: Into how many parts an element is divided to see what falls between its points.
BETWEEN = 1024
#: What is missed of an energy counts from here on, relative to it: below, the order of the elements tells.
SEEN = 1e-7


def orbital_values(tables: Tables, states: States, V: Array, c: float | None) -> tuple[Array, Array | None]:
    """P and Q (None for Schrödinger) of all states at the quadrature points, P positive near the nucleus."""
    sign = np.where(states.p[:, 0, 0, 0] < 0.0, -1.0, 1.0)[:, None]
    P = sign * gather(states.p, tables.n_elements)
    if c is None:
        return P, None
    M2c = 2 * c + (states.energy[:, None, None, None] - V[states.each["spin"]]) / c
    return P, sign * gather(states.d / M2c, tables.n_elements)


def evaluate(mesh: RadialMesh, u: Array, powers: Array, r: ArrayLike) -> Array:
    """P at any radii: the polynomials of u (states, elements, nodes) times (r / r_i)^power."""
    flat = np.asarray(r, dtype=float).ravel()
    element = np.clip(np.searchsorted(mesh.edges, flat, side="right") - 1, 0, mesh.n_elements - 1)
    left, length = mesh.edges[element], np.diff(mesh.edges)[element]
    phi = basis.lagrange(basis.lobatto_nodes(mesh.order), 2 * (flat - left) / length - 1)
    radii = node_radii(mesh)[element]
    values = np.empty((u.shape[0], flat.size))
    for power in np.unique(powers):
        scaled = phi * (flat[:, None] / radii) ** power if power else phi
        which = powers == power
        values[which] = np.einsum("sqi,qi->sq", u[which][:, element], scaled)
    values[:, (flat < mesh.edges[0]) | (flat > mesh.edges[-1])] = 0.0
    return values.reshape(u.shape[0], *np.shape(r))


def natural_u(tables: Tables, states: States) -> Array:
    """Values at the nodes from left to right: (states, elements, p + 1)."""
    u = unspread(states.u, tables.n_elements)
    sign = np.where(states.p[:, 0, 0, 0] < 0.0, -1.0, 1.0)
    out = np.empty_like(u)
    out[..., local_order(u.shape[-1] - 1)] = u * sign[:, None, None]
    return out


def refine_states(
    mesh: RadialMesh, states: States, finer: RadialMesh, fine: Tables, new: States, powers: tuple[float, ...]
) -> None:
    """Fill `new` with the same functions in the basis of a higher order; `powers` has one a basis table."""
    new.energy[:], new.certified[:] = states.energy, states.certified
    channel = states.each["channel"]
    for k, transfer in enumerate(_node_transfers(mesh, finer, powers)):
        which = np.flatnonzero(channel == k) if len(powers) > 1 else slice(None)
        u = np.einsum("bjie,sbie->sbje", transfer, states.u[which])
        new.u[which] = u
        new.p[which] = np.einsum("bqie,sbie->sbqe", fine.phi[k], u)
        new.d[which] = np.einsum("bqie,sbie->sbqe", fine.slope[k], u)


def refined_potential(mesh: RadialMesh, finer: RadialMesh, exponent: float, x: Array) -> Array:
    """A potential at the quadrature points of a higher order."""
    return np.asarray(np.einsum("bjie,sbie->sbje", _point_transfer(mesh, finer, exponent), x))


def unseen(
    mesh: RadialMesh, V: Callable[[Array], Array], table: Array, functions: Array, exponent: float
) -> Array:
    """Of each element, abs int (V - its interpolant) f, for functions f: what falls between the points.

    `table` (elements, points) are the values of V at the quadrature points, `functions` (m, elements, points)
    those of f. The midpoints of `BETWEEN` equal parts of each element are looked at.
    """
    first, rest = _between(mesh.n_quad, exponent), _between(mesh.n_quad, 0.0)
    r, lengths = _places(mesh), np.diff(mesh.edges)
    with np.errstate(over="ignore", invalid="ignore"):
        off = V(r.ravel()).reshape(r.shape)
        off[0] -= table[0] @ first.T
        off[1:] -= table[1:] @ rest.T
        largest = np.abs(functions).max(axis=(0, 2))
        terms = (np.abs(table).mean(axis=1) * largest * lengths).sum()
        missed = np.zeros(functions.shape[:-1])
        size = np.maximum(off.max(axis=1), -off.min(axis=1)) * largest * lengths
        for e in np.flatnonzero(~(size <= 1e-3 * SEEN * terms)):
            f = functions[:, e] @ (rest if e else first).T
            missed[:, e] = np.abs(f @ off[e]) * lengths[e] / BETWEEN
    return np.where(np.isnan(missed), np.inf, missed)


@lru_cache(maxsize=16)
def _places(mesh: RadialMesh) -> Array:
    """The midpoints of equal parts of each element."""
    parts = (np.arange(BETWEEN) + 0.5) / BETWEEN
    return np.asarray(mesh.edges[:-1, None] + np.diff(mesh.edges)[:, None] * parts)


@lru_cache(maxsize=64)
def _between(points: int, exponent: float) -> Array:
    """The polynomials of the Gauss points at the midpoints of equal parts of an element."""
    xi = (2 * np.arange(BETWEEN) + 1) / BETWEEN - 1
    return np.asarray(basis.lagrange(basis.gauss_rule(points, exponent)[0], xi))


@lru_cache(maxsize=256)
def _node_transfers(mesh: RadialMesh, finer: RadialMesh, powers: tuple[float, ...]) -> Array:
    phi = basis.lagrange(basis.lobatto_nodes(mesh.order), basis.lobatto_nodes(finer.order))
    if not any(powers):
        same = phi[local_order(finer.order)][:, local_order(mesh.order)]
        return np.stack([spread(np.ones((mesh.n_elements, 1, 1)) * same)] * len(powers))
    ratio = node_radii(finer)[:, :, None] / node_radii(mesh)[:, None, :]
    order, finer_order = local_order(mesh.order), local_order(finer.order)
    return np.stack([spread((phi * ratio**power)[:, finer_order][:, :, order]) for power in powers])


@lru_cache(maxsize=64)
def _point_transfer(mesh: RadialMesh, finer: RadialMesh, exponent: float) -> Array:
    coarse, fine = points_of(mesh, exponent).x, points_of(finer, exponent).x
    values = np.empty((mesh.n_elements, finer.n_quad, mesh.n_quad))
    values[1:] = basis.lagrange(coarse[-1], fine[-1])
    values[0] = basis.lagrange(coarse[0], fine[0])
    return spread(values)
