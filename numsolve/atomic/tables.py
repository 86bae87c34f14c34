"""Tables of a mesh: basis functions at the quadrature points, in the layout of the compiled kernels.

Both equations have the weak form ``int D_i D_j / (2 M) + (V + w - eps) Phi_i Phi_j = 0`` with

- Schrödinger: Phi = phi (Lagrange polynomials), D = phi', M = 1, w = l (l + 1) / (2 r^2);
- Dirac, Q eliminated: Phi = (r / r_i)^g phi, D = Phi' + kappa Phi / r, M = 1 + (eps - V) / (2 c^2), w = 0.

The factor (r / r_i)^g, with the g of `radial_power`, is 1 at the node r_i of its function, so that the
unknowns are values of P at the nodes and P is continuous.

Arrays are (..., blocks, points, nodes, 8) with element ``8 b + lane`` in block b; lanes beyond the last
element hold zeros. In the first element of a Dirac table the points are those of the Gauss-Jacobi rule with
the weight r^(2 g - 1) of |kappa| = 1, which all kappa share.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod, sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import basis

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike

    from .mesh import RadialMesh


LANES = 8
#: Seconds of compiled work between two looks at the clock and the keyboard.
PIECE_SECONDS = 0.03


class Tables(NamedTuple):
    """What the kernels know of a mesh and of its channels (l, or kappa).

    ``table[k]`` says which of the basis tables the channel k has: for Schrödinger all share the only one.
    """

    n_elements: int
    first: int  # the first shared node with an unknown: 1 where P(0) = 0 is imposed, 0 where it is natural
    r: Array  # (blocks, points, 8)
    weight: Array
    cumulative: Array  # (blocks, points, points, 8)
    phi: Array  # (tables, blocks, points, n, 8)
    slope: Array  # D
    overlap: Array  # (tables, blocks, n (n + 1) / 2, 8)
    base: Array  # (channels, blocks, n (n + 1) / 2, 8): the part of the matrix that is there from the start
    centrifugal: Array  # (channels, blocks, points, 8): weight * w
    table: Array  # (channels,)

    @property
    def probe_seconds(self) -> float:
        """Roughly what one factorisation takes, with its matrix and its solution; rather too long."""
        blocks, points, n = self.phi.shape[1:4]
        return 3e-9 * float(blocks * n * n * (points / 2 + n / 6 + 4))


#: Where a run is: the place to go on from when a call ends in the middle of a step.
RUN = np.dtype(
    [
        ("factorizations", np.int64),  # so far
        ("sweep", np.int64),  # sweeps done of the present step
        ("state", np.int64),  # the next state to advance in it
        ("checked", np.int64),  # the next state to certify
        ("fresh", np.bool_),  # whether the matrices of a new potential are yet to be computed
        ("relative", np.bool_),  # whether changes of energies above one are relative to them
        ("worst", np.float64),  # largest change of an energy in the last sweep
        ("change", np.float64),  # the same in the first sweep of the last step
        ("error", np.float64),  # residual of the potential in the last step
    ]
)


class States(NamedTuple):
    """Bound states: which they are, and what is known of them."""

    channel: Array  # (states,): row of Tables.table
    spin: Array
    index: Array  # type: ignore[assignment]  # energies below it in its channel
    occupation: Array
    energy: Array
    u: Array  # (states, blocks, n, 8): values of P at the nodes
    p: Array  # (states, blocks, points, 8): P
    d: Array  # D, so that Q = D / (2 c M)
    certified: Array  # (states,) of bool
    before: Array  # (states,): the energy before the present sweep
    low: Array  # (states,): ends of the bracket of a state that is being located, and the energies below each
    high: Array
    below_low: Array
    below_high: Array
    halvings: Array  # of the bracket so far
    run: Array  # (1,) of RUN

    @classmethod
    def of(
        cls, tables: Tables, channel: ArrayLike, spin: ArrayLike, index: ArrayLike, occupation: ArrayLike
    ) -> States:
        """States without values."""
        channel = np.array(channel, dtype=np.int64)
        count, n = len(channel), tables.phi.shape[3]
        blocks, points = tables.r.shape[:2]
        return cls(
            channel=channel,
            spin=np.array(spin, dtype=np.int64),
            index=np.array(index, dtype=np.int64),
            occupation=np.array(occupation, dtype=float),
            energy=np.full(count, np.nan),
            u=zeros((count, blocks, n, LANES)),
            p=zeros((count, blocks, points, LANES)),
            d=zeros((count, blocks, points, LANES)),
            certified=np.zeros(count, dtype=bool),
            before=np.zeros(count),
            low=np.zeros(count),
            high=np.zeros(count),
            below_low=np.zeros(count, dtype=np.int64),
            below_high=np.zeros(count, dtype=np.int64),
            halvings=np.zeros(count, dtype=np.int64),
            run=np.zeros(1, dtype=RUN),
        )


class Pencil(NamedTuple):
    """The matrices A(eps) of one potential, and room to work."""

    V: Array  # (spins, blocks, points, 8): the potential
    vm: Array  # (spins * tables, blocks, n (n + 1) / 2, 8): int V Phi Phi
    A: Array  # (blocks, n (n + 1) / 2, 8): A(eps), then its factors
    chain: Array  # (2, n_elements + 1): factors of the shared nodes
    y: Array  # (blocks, n, 8): a right-hand side
    weight: Array  # (blocks, points, 8)

    @classmethod
    def of(cls, tables: Tables, V: Array) -> Pencil:
        """For a potential in the kernels' layout; its matrices are not yet computed."""
        blocks, size = tables.overlap.shape[1:3]
        return cls(
            V=V,
            vm=zeros((len(V) * len(tables.phi), blocks, size, LANES)),
            A=zeros((blocks, size, LANES)),
            chain=np.zeros((2, tables.n_elements + 1)),
            y=zeros((blocks, tables.phi.shape[3], LANES)),
            weight=zeros(tables.weight.shape),
        )


#: The terms of the total energy, and what else is integrated with them.
TERMS = np.dtype(
    [
        (name, np.float64)
        for name in ("total", "kinetic", "hartree", "nuclear", "xc", "band", "over_r", "potential")
    ]
)


class Fields(NamedTuple):
    """Functions at the quadrature points, (spins, blocks, points, 8) but for those of all electrons."""

    rho: Array  # 4 pi r^2 n
    n: Array
    v_xc: Array
    v_out: Array  # v_hartree + v_xc
    rho_all: Array  # (blocks, points, 8)
    rho_over_r: Array
    v_hartree: Array
    e_xc: Array  # energy per electron
    inside: Array  # (blocks, 8): the charge inside the element
    outside: Array  # (blocks, 8): the potential of the element and of those beyond, at the origin
    terms: Array  # (1,) of TERMS
    functional: Array  # (2,): how much of exchange and of correlation

    @classmethod
    def of(cls, tables: Tables, spins: int, functional: tuple[float, float]) -> Fields:
        """Fields without values."""
        blocks = len(tables.r)
        each = [zeros((spins, *tables.r.shape)) for _ in range(4)]
        whole = [zeros(tables.r.shape) for _ in range(4)]
        elements = [zeros((blocks, LANES)) for _ in range(2)]
        return cls._make([*each, *whole, *elements, np.zeros(1, dtype=TERMS), np.array(functional)])


class Mixing(NamedTuple):
    """What Anderson mixing remembers: the last differences of x and of its residual f."""

    dx: Array  # (depth, size)
    df: Array
    q: Array  # work space
    g: Array
    x: Array  # (1, size): the last x and f
    f: Array
    rest: Array  # work space
    next: Array
    norms: Array  # (depth,)
    steps: Array  # (1,)

    @classmethod
    def of(cls, size: int, depth: int) -> Mixing:
        """No memory."""
        past, now = (depth, size), (1, size)
        shapes = (past, past, past, past, now, now, now, now, (depth,))
        return cls._make([*map(zeros, shapes), np.zeros(1, dtype=np.int64)])


def pieces(tables: Tables) -> int:
    """How many factorisations one call of a kernel does."""
    return max(1, int(PIECE_SECONDS / tables.probe_seconds))


def aligned(values: Array) -> Array:
    """The same array at an address that is a multiple of 64: vectors then lie in one cache line each."""
    out = zeros(values.shape)
    out[...] = values
    return out


def zeros(shape: tuple[int, ...]) -> Array:
    """An array of zeros at an address that is a multiple of 64."""
    size = prod(shape)
    room = np.zeros(size + 8)
    first = -room.__array_interface__["data"][0] % 64 // 8
    return np.asarray(room[first : first + size].reshape(shape))


@lru_cache(maxsize=256)
def schroedinger_tables(mesh: RadialMesh, momenta: tuple[int, ...], lumped: bool = False) -> Tables:
    """Tables of the channels l in `momenta`."""
    points = points_of(mesh, 0.0)
    phi, slope = _basis(mesh, points, 0, 0.0)
    kinetic = _gram(slope, points.weight / 2)
    over_r2 = _gram(phi, points.weight / (2 * points.r**2))
    factors = np.array(momenta) * (np.array(momenta) + 1.0)
    return Tables(
        mesh.n_elements,
        1,
        points.r,
        points.weight,
        points.cumulative,
        phi[None],
        slope[None],
        (_lumped(mesh) if lumped else _gram(phi, points.weight))[None],
        aligned(_padding(mesh) + kinetic + factors[:, None, None, None] * over_r2),
        aligned(factors[:, None, None, None] * points.weight / (2 * points.r**2)),
        np.zeros(len(momenta), dtype=np.int64),
    )


@lru_cache(maxsize=256)
def dirac_tables(mesh: RadialMesh, kappas: tuple[int, ...], Z: float, c: float) -> Tables:
    """Tables of the channels kappa, for a potential with the singularity -Z / r."""
    first = 0 if mesh.edges[0] == 0.0 else 1
    points = points_of(mesh, 0.0 if first else first_exponent(Z, c))
    pairs = [_basis(mesh, points, kappa, 0.0 if first else radial_power(kappa, Z, c)) for kappa in kappas]
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
        aligned(np.stack([_padding(mesh)] * len(kappas))),
        zeros((len(kappas), *points.r.shape)),
        np.arange(len(kappas)),
    )


def radial_power(kappa: int, Z: float, c: float) -> float:
    """The power that stands before the polynomials: g of P ~ r^g at the nucleus, less an integer.

    The polynomials make up for the integer |kappa| - 1. With all of g in front, the functions of the first
    element would be so nearly dependent for |kappa| = 4 that rounding could turn the sign of a pivot.
    """
    return sqrt(kappa**2 - (Z / c) ** 2) - abs(kappa) + 1


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
    flat = np.moveaxis(values, -1, -2)
    return flat.reshape(*values.shape[:-3], -1, values.shape[-2])[..., :elements, :]


def gather(values: Array, elements: int) -> Array:
    """Give (..., blocks, m, 8) as (..., elements * m), in the order of the radii."""
    return unspread(values, elements).reshape(*values.shape[:-3], -1)


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
    x, w = (np.tile(part, (elements, 1)) for part in basis.gauss_rule(nq))
    C = np.tile(basis.cumulative(nq), (elements, 1, 1))
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
    full = np.einsum("bqe,bqie,bqje->bije", weight, table, table, optimize=True)
    i, j = np.triu_indices(table.shape[2])
    return aligned(full[:, i, j])


def _lumped(mesh: RadialMesh) -> Array:
    """Overlap by the quadrature on the nodes themselves, which is diagonal."""
    weights = basis.lobatto_weights(mesh.order)[local_order(mesh.order)]
    return _diagonal(mesh, np.diff(mesh.edges)[:, None] / 2 * weights)


def _padding(mesh: RadialMesh) -> Array:
    """Ones on the diagonal of the lanes without an element, so that their elimination does no harm."""
    lanes = _diagonal(mesh, np.ones((mesh.n_elements, mesh.order + 1)))
    i, j = np.triu_indices(mesh.order + 1)
    return np.asarray((i == j)[:, None] - lanes)


def _diagonal(mesh: RadialMesh, values: Array) -> Array:
    i, j = np.triu_indices(mesh.order + 1)
    packed = np.zeros((mesh.n_elements, i.size))
    packed[:, i == j] = values
    return spread(packed)
