"""What a self-consistent field tells the user: orbitals, functions of the radius, energies, their error."""

from __future__ import annotations

from math import nan, pi
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from ._radial import read_potential
from .fields import SEEN, natural_u, orbital_values, refine_states, refined_potential, unseen
from .functions import Elements
from .mesh import RadialMesh
from .result import Orbital
from .scf import SelfConsistentField
from .tables import gather, points_of, spread, unspread

if TYPE_CHECKING:
    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array

#: Rounding errors of a total energy: what it scatters by among meshes that are fine enough, relative to it,
#: or to one Hartree where it is less.
ROUNDING = 1e-14
#: A relative change of the total energy with the order, from which on elements are divided to see the error.
UNRESOLVED = 1e-4
#: In bohr times the charge: up to this length of the first element a mesh resolves the relativistic density
#: at a point nucleus for a functional of the gradient; of a longer one the order sees nothing.
SINGULAR = 0.1
#: The same with an external potential, which may have steps.
STEPPED = 1e-10


class Functions(TypedDict):
    """Fields of an `AtomResult` at its radii."""

    r: Array
    weights: Array
    density: Array
    spin_density: Array | None
    v_eff: Array
    v_hartree: Array
    v_xc: Array


class Energies(TypedDict):
    """Fields of an `AtomResult`: the total energy, its terms and its derivative."""

    total_energy: float
    energy_terms: dict[str, float]
    dE_dZ: float


def orbitals(field: SelfConsistentField, V: Array) -> tuple[Orbital, ...]:
    """The orbitals in the potential V that the electrons feel.

    Far away V tends to zero, from above for an anion: what lies above V(r_max) or above zero is not bound;
    with an external potential, what lies above V(r_max).
    """
    states = field.states
    P, Q = orbital_values(field.tables, states, V, field.equations.c)
    last = unspread(V, field.mesh.n_elements)[:, -1, -1]
    edge = (last if field.equations.external is not None else np.minimum(last, 0.0)).tolist()
    return tuple(
        Orbital(
            level.n,
            level.l,
            level.kappa,
            level.spin,
            float(states.each["occupation"][i]),
            energy,
            P[i],
            None if Q is None else Q[i],
            energy < edge[int(level.spin < 0)],
        )
        for i, (level, energy) in enumerate(zip(field.equations.levels, states.energy.tolist(), strict=True))
    )


def elements(field: SelfConsistentField, x: Array, functional: str) -> Elements:
    """What is kept to evaluate functions anywhere; x is the potential of the electrons."""
    equations, mesh, tables, now = field.equations, field.mesh, field.tables, field.fields
    exponent, each = equations.exponent(mesh), field.states.each
    singular = equations.c is not None and mesh.edges[0] == 0.0
    powers = np.array(equations.powers if singular else (0.0,) * len(equations.channels))
    channels = np.array(equations.channels)[each["channel"]]
    if equations.c is None or equations.scalar:
        kappas = np.full(len(each), -1 if equations.scalar else 0)
    else:
        kappas = channels

    def known(values: Array) -> Array:
        return unspread(values, mesh.n_elements)

    return Elements(
        mesh,
        points_of(mesh, exponent).x,
        known(tables.r),
        natural_u(tables, field.states),
        powers[each["channel"]] if len(powers) > 1 else np.full(len(each), powers[0]),
        kappas,
        np.array([level.l for level in equations.levels]),
        field.states.energy.copy(),
        each["occupation"].copy(),
        each["spin"].copy(),
        equations.c,
        equations.scalar,
        equations.Z,
        equations.nucleus,
        known(x),
        known(now.v_hartree),
        known(now.v_xc),
        None if equations.external is None else known(now.fixed[1]),
        functional,
    )


def functions(field: SelfConsistentField, V: Array) -> Functions:
    """Densities and potentials."""
    elements, tables, now = field.mesh.n_elements, field.tables, field.fields
    r = gather(tables.r, elements)
    n = gather(now.rho, elements) / (4 * pi * r**2)
    return {
        "r": r,
        "weights": gather(tables.weight, elements),
        "density": n[0] + n[1] if len(n) == 2 else n[0],
        "spin_density": n[0] - n[1] if len(n) == 2 else None,
        "v_eff": field.flat(V),
        "v_hartree": gather(now.v_hartree, elements),
        "v_xc": field.flat(now.v_xc),
    }


def energies(field: SelfConsistentField) -> Energies:
    """The total energy and its terms."""
    terms = field.fields.terms[0]
    names = ["kinetic", "hartree", "nuclear", "external", "xc", "band"]
    if field.equations.temperature:
        names.append("entropy")
    named = {name: float(terms[name]) for name in names}
    virial = 2 * named["kinetic"] + named["hartree"] + _nuclear_virial(field, named["nuclear"])
    if field.gradient is None:
        named["virial"] = virial + 3 * (float(terms["potential"]) - named["xc"])
    else:  # int v (3 n + r n') 4 pi r^2, which is the same for a local functional
        tables, now = field.tables, field.fields
        scaled = now.rho + tables.r * field.gradient.slope
        named["virial"] = virial + float(np.sum(tables.weight * now.v_xc * scaled))
    return {
        "total_energy": float(terms["total"]),
        "energy_terms": named,
        "dE_dZ": named["nuclear"] / field.equations.Z,
    }


def _nuclear_virial(field: SelfConsistentField, nuclear: float) -> float:
    """Minus int rho r V', which for a point is the energy itself; nan with an external potential."""
    nucleus, tables = field.equations.nucleus, field.tables
    if field.equations.external is not None:
        return nan
    if nucleus is None:
        return nuclear
    return -float(np.sum(tables.weight * field.fields.rho_all * tables.r * nucleus.slope(tables.r)))


def error_estimate(field: SelfConsistentField, x: Array, limits: Limits) -> float:
    """The error that the change of the energy, with elements of an order p higher by four, points to.

    Near the nucleus of a heavy Dirac atom the singular exchange lets the error fall like p^-4 only;
    elsewhere it falls faster, and the change is nearly all of it. If the mesh is so coarse that the change is
    large, elements of an eighth of the length show the error, by a field of their own. nan if the time is
    over before.
    """
    if limits.expired:
        return nan
    coarse, finer = field.mesh, field.mesh.refined(4)
    fine = SelfConsistentField.of(field.equations, finer)
    singular = field.equations.c is not None and coarse.edges[0] == 0.0
    powers = field.equations.powers if singular else (0.0,) * len(fine.tables.phi)
    exponent = field.equations.exponent(coarse)
    refine_states(coarse, field.states, finer, fine.tables, fine.states, powers)
    if field.gradient is None:
        start = refined_potential(coarse, finer, exponent, x)
    else:  # at a point nucleus the potential of a gradient is like 1 / r, which no polynomial is
        start = refined_potential(coarse, finer, exponent, x * field.tables.r) / fine.tables.r
    if not fine.settle(start, limits, sure=False):
        return nan
    energy = float(field.fields.terms["total"][0])
    change = abs(float(fine.fields.terms["total"][0]) - energy)
    # The order says little where the elements are far too long, or an external potential has a step in one.
    smooth = field.equations.external is None
    if change > (UNRESOLVED if smooth else STEPPED) * abs(energy):
        tolerance = min(UNRESOLVED * field.equations.Z**2, change)
        change = max(change, abs(_divided_energy(field, x, coarse.divided(8), tolerance, limits) - energy))
    if field.gradient is not None and exponent and coarse.edges[1] * field.equations.point > SINGULAR:
        resolved = _divided_energy(field, x, _begun_short(field), 1e-9 * field.equations.Z, limits)
        change = max(change, abs(resolved - energy))
    # The error falls like p^(-4 g), the slower the nearer the charge is to c.
    power = 2 * (exponent + 1) if exponent else 4.0
    size = max(abs(energy), 1.0)
    share: float = 1 - (coarse.order / finer.order) ** power
    return change / share + ROUNDING * size + _unseen(field, size)


def _unseen(field: SelfConsistentField, size: float) -> float:
    """The energy of what the external potential has between the points, to first order."""
    external, mesh = field.equations.external, field.mesh
    if not callable(external):
        return 0.0
    table, rho = (unspread(part, mesh.n_elements) for part in (field.fields.fixed[1], field.fields.rho_all))
    exponent = field.equations.exponent(mesh)

    def values(r: Array) -> Array:
        return read_potential(external, r, 0.0, name="external")

    missed = unseen(mesh, values, table, rho[None], exponent)
    return float(missed[missed > SEEN * size].sum())


def _begun_short(field: SelfConsistentField) -> RadialMesh:
    """The mesh with its first element divided like that of a relativistic atom, of an order that fits it."""
    mesh, least = field.mesh, 0.3 * SINGULAR / field.equations.point
    first = np.geomspace(least, mesh.edges[1], 2 + int(np.log2(mesh.edges[1] / least) / 2))
    edges = np.concatenate(([0.0], first[:-1], mesh.edges[1:]))
    return RadialMesh(edges, max(mesh.order, 21))


def _divided_energy(
    field: SelfConsistentField, x: Array, mesh: RadialMesh, tolerance: float, limits: Limits
) -> float:
    """The total energy on a mesh of shorter elements, to a few digits; x is where it starts."""
    fine = SelfConsistentField.of(field.equations, mesh, depth=8)
    r, radii = gather(fine.tables.r, mesh.n_elements), gather(field.tables.r, field.mesh.n_elements)
    parts = [np.interp(r, radii, gather(part, field.mesh.n_elements)) for part in x]
    y = np.stack([spread(part.reshape(mesh.n_elements, mesh.n_quad)) for part in parts])
    rows = np.empty((3, 60))
    done, stopped = 0, False
    while done < rows.shape[1] and not stopped and not limits.expired:
        left = rows[:, done:].copy()
        more, stopped = fine.iterate(y, left.shape[1], tolerance, left, alpha=0.4, limits=limits)
        rows[:, done : done + more] = left[:, :more]
        done += more
    return float(rows[2, done - 1]) if done else nan
