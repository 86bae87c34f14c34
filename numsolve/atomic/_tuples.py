"""What the compiled kernels of this column work on: tuples and records that Numba knows by their fields.

Arrays that travel together are named tuples; the numbers of a state and of a run are records, elements of
structured arrays. Each array costs a first call some 30 ms of compilation, as part of every signature.

Arrays of functions are (..., blocks, points or nodes, 8) with element ``8 b + lane`` in block b; lanes beyond
the last element hold zeros.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.typing import Array

LANES = 8
#: Seconds of compiled work between two looks at the clock and the keyboard.
PIECE_SECONDS = 0.03


class Tables(NamedTuple):
    """What the kernels know of a mesh and of its channels (l, or kappa).

    There is one basis table for all channels (Schrödinger) or one for each.
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
    centrifugal: Array  # (channels, blocks, points, 8): weight * w; for the scalar equation l (l + 1) / r^2
    scalar: bool  # whether spin and orbit are averaged

    @property
    def probe_seconds(self) -> float:
        """Roughly what one factorisation takes, with its matrix and its solution; rather too long."""
        blocks, points, n = self.phi.shape[1:4]
        return 3e-9 * float(blocks * n * n * (points / 2 + n / 6 + 4))


#: A bound state: which it is, and what is known of it.
STATE = np.dtype(
    [
        ("channel", np.int64),  # row of Tables.base
        ("spin", np.int64),
        ("index", np.int64),  # energies below it in its channel
        ("room", np.float64),  # most electrons in it
        ("occupation", np.float64),
        ("energy", np.float64),
        ("unit", np.float64),  # what its rounding errors are relative to, beside itself
        ("before", np.float64),  # the energy before the present sweep
        ("low", np.float64),  # ends of the bracket while it is being located, and the energies below each
        ("high", np.float64),
        ("below_low", np.int64),
        ("below_high", np.int64),
        ("halvings", np.int64),  # of the bracket so far
        ("certified", np.bool_),
    ],
    align=True,
)

#: Where a run is: the place to go on from when a call ends in the middle of a step.
RUN = np.dtype(
    [
        ("factorizations", np.int64),  # so far
        ("sweep", np.int64),  # sweeps done of the present step
        ("state", np.int64),  # the next state to advance in it
        ("checked", np.int64),  # the next state to certify
        ("mixed", np.int64),  # potentials that the mixing has seen
        ("worst", np.float64),  # largest change of an energy in the last sweep
        ("change", np.float64),  # the same in the first sweep of the last step
        ("error", np.float64),  # residual of the potential in the last step
        ("mu", np.float64),  # chemical potential
        ("fresh", np.bool_),  # whether the matrices of a new potential are yet to be computed
        ("relative", np.bool_),  # whether changes of energies above one are relative to them
    ],
    align=True,
)


class States(NamedTuple):
    """Bound states."""

    each: Array  # (states,) of STATE
    u: Array  # (states, blocks, n, 8): values of P at the nodes
    p: Array  # (states, blocks, points, 8): P
    d: Array  # D, so that Q = D / (2 c M)
    run: Array  # (1,) of RUN

    @classmethod
    def of(
        cls,
        tables: Tables,
        channel: Sequence[int] | Array,
        spin: Sequence[int] | Array,
        index: Sequence[int] | Array,
        occupation: Sequence[float] | Array,
    ) -> States:
        """States without values."""
        each = np.zeros(len(channel), dtype=STATE)
        each["channel"], each["spin"], each["index"], each["occupation"] = channel, spin, index, occupation
        each["energy"] = np.nan
        count, n = len(channel), tables.phi.shape[3]
        shape = (count, *tables.r.shape)
        u, p, d = zeros((count, len(tables.r), n, LANES), shape, shape)
        return cls(each, u, p, d, np.zeros(1, dtype=RUN))

    @property
    def energy(self) -> Array:
        """The energies, nan for a state that was not found."""
        return np.asarray(self.each["energy"])

    @property
    def certified(self) -> Array:
        """For each state, whether it is proved to be the one of its index."""
        return np.asarray(self.each["certified"])


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
        vm, A, chain, y, weight = zeros(
            (len(V) * len(tables.phi), blocks, size, LANES),
            (blocks, size, LANES),
            (2, tables.n_elements + 1),
            (blocks, tables.phi.shape[3], LANES),
            tables.weight.shape,
        )
        return cls(V, vm, A, chain, y, weight)


#: The terms of the total energy, and what else is integrated with them.
TERMS = np.dtype(
    [
        (name, np.float64)
        for name in (
            "total",
            "kinetic",
            "hartree",
            "nuclear",
            "external",
            "xc",
            "band",
            "potential",
            "entropy",
        )
    ]
)


class Fields(NamedTuple):
    """Functions at the quadrature points, (spins, blocks, points, 8) but for those of all electrons."""

    fixed: Array  # (2, blocks, points, 8): potentials of the nucleus and of what is outside the atom
    rho: Array  # 4 pi r^2 n
    v_xc: Array
    rho_all: Array  # (blocks, points, 8)
    rho_over_r: Array
    v_hartree: Array
    e_xc: Array  # energy per electron
    elements: Array  # (2, blocks, 8): the charge inside; the potential of it and of those beyond, at r = 0
    terms: Array  # (1,) of TERMS

    @classmethod
    def of(cls, tables: Tables, spins: int) -> Fields:
        """Fields without values."""
        whole = tables.r.shape
        each = (spins, *whole)
        shapes = ((2, *whole), each, each, whole, whole, whole, whole, (2, len(tables.r), LANES))
        return cls._make([*zeros(*shapes), np.zeros(1, dtype=TERMS)])


class Gradient(NamedTuple):
    """What a functional of the density's gradient needs, and its functions, as in `Fields`."""

    constants: Array  # (3,): kappa and mu of exchange, beta of correlation
    kappa: Array  # (channels,): P' = D - kappa P / r; floats
    derivative: Array  # (blocks, points, points, 8): of the interpolant at the points
    ends: Array  # (2, blocks, points, 8): its value at the left and the right end, over the weight
    slope: Array  # derivative of 4 pi r^2 n
    flux: Array  # G = df/dn', of the energy f of a volume
    jumps: Array  # (2, blocks, 8): values of G at the ends of the elements, then halves of its jumps


class Mixing(NamedTuple):
    """What Anderson mixing remembers: the last differences of x and of its residual f."""

    rows: Array  # (4 depth + 4, size): differences of x, of f, work space twice; x, f, work space twice
    norms: Array  # (depth + 1,)

    @classmethod
    def of(cls, size: int, depth: int) -> Mixing:
        """No memory."""
        return cls._make(zeros((4 * depth + 4, size), (depth + 1,)))

    @property
    def x(self) -> Array:
        """The potential of the last step."""
        return np.asarray(self.rows[-4])


class Order(NamedTuple):
    """What one call of `iterate` is to do."""

    Z: float
    exchange: float  # how much of it
    correlation: float
    alpha: float  # the share of the new potential in the next one
    n: int  # most steps
    stop_at: float  # a residual
    sweeps: int  # most sweeps over the states in a step
    probes: int  # factorisations after which the call returns, to be called again
    certifying: bool  # whether to certify the states after the steps
    temperature: float  # of the electrons, times Boltzmann's constant; 0 leaves the occupations as they are
    electrons: float


def pieces(tables: Tables) -> int:
    """How many factorisations one call of a kernel does."""
    return max(1, int(PIECE_SECONDS / tables.probe_seconds))


def aligned(values: Array) -> Array:
    """The same array at an address that is a multiple of 64: vectors then lie in one cache line each."""
    (out,) = zeros(values.shape)
    out[...] = values
    return out


def zeros(*shapes: tuple[int, ...]) -> list[Array]:
    """Arrays of zeros in one piece of memory, at addresses that are multiples of 64."""
    sizes = [prod(shape) for shape in shapes]
    room = np.zeros(sum(sizes) + 8 * len(sizes) + 8)
    at = -room.__array_interface__["data"][0] % 64 // 8
    out = []
    for shape, size in zip(shapes, sizes, strict=True):
        out.append(room[at : at + size].reshape(shape))
        at += -(-size // 8) * 8
    return out
