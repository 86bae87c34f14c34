"""Atoms beside PySCF, and beside the same finite elements with a dense eigensolver.

The Fortran and C++ programs for this task (featom, dftatom, HelFEM) are not on PyPI and are not measured
here. What is: PySCF, with Gaussians, on closed shells; the published formulations with LAPACK in the place
of our factorisations, written for this script in NumPy and SciPy and called "baseline"; and as a yardstick
`scipy.linalg.eigh` on a random symmetric matrix of order 300, so that figures of different machines can be
compared: in the rows "time in yardsticks" the peer is the yardstick itself, and the ratio says how many of
our solves fit into one.

The error is that of the total energy against the table of dftatom, whose last digit is uncertain by 2e-9
Ha. Times are of a warm run: the tables of the mesh are cached, as for a second atom of the same kind. Rows
"new tables" have a mesh that was never seen; "first call" is with compiled code in the cache, and "fresh
interpreter" without.

How far from the floor. A step of Rayleigh's iteration of one state of the nonrelativistic uranium atom (8
elements, order 15) is 5 000 multiply-adds to factorise, 2 000 to solve, and 8 000 to evaluate and
integrate: 0.6 us at one vector of eight a cycle and 3.3 GHz. It takes about 3.3 us, everything included,
490 times a run. A Dirac state adds the Gram matrix of its D, 50 000 multiply-adds, and takes about 13 us,
810 times a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import eigh

from _harness import Case, Peer, in_fresh_process, main
from numsolve.atomic import AtomDFT, RadialMesh, hydrogenic_energy, problems, solve_atoms, solve_radial_dirac

DATA = Path(__file__).parents[2] / "tests" / "atomic" / "data" / "lda_total_energies.csv"
TABLE = np.genfromtxt(DATA, delimiter=",", skip_header=5, usecols=(3, 4))
TOL = 1e-8


def energy_error(Z: int, relativistic: bool, result: Any) -> float:
    """Against the published table."""
    energy = result if isinstance(result, float) else result.total_energy
    return float(abs(energy - TABLE[Z - 1, int(relativistic)]))


def yardstick() -> Callable[[], Any]:
    """A dense symmetric eigenproblem."""
    matrix = np.random.default_rng(0).standard_normal((300, 300))
    matrix += matrix.T
    return lambda: eigh(matrix)


def no_error(_: Any) -> float:
    """The yardstick has nothing to miss."""
    return 0.0


def dense_atom(Z: int) -> Callable[[], float]:
    """The self-consistent field with a dense eigensolver for each channel, otherwise ours.

    Potentials, density, mixing and the stopping test are the kernels of numsolve, on the same mesh.
    """
    from numba import njit

    from numsolve.atomic import _cpu_scf, tables
    from numsolve.atomic.configuration import read_configuration

    atom = AtomDFT(Z)
    mesh, shells = atom.mesh, read_configuration(atom.configuration)
    p, elements = mesh.order, mesh.n_elements
    momenta = tuple(sorted({shell.l for shell in shells}))
    t = tables.schroedinger_tables(mesh, momenta)
    order = tables.local_order(p)
    phi, slope = (np.moveaxis(part[0, 0], -1, 0)[:elements] for part in (t.phi, t.slope))
    r, w = (tables.unspread(part, elements) for part in (t.r, t.weight))
    whole = order[None, :] + p * np.arange(elements)[:, None]

    def assemble(local: Any) -> Any:
        matrix = np.zeros((elements * p + 1, elements * p + 1))
        for e in range(elements):
            matrix[np.ix_(whole[e], whole[e])] += local[e]
        return matrix[1:-1, 1:-1]

    S = assemble(np.einsum("eq,eqi,eqj->eij", w, phi, phi))
    fixed = [
        assemble(
            np.einsum("eq,eqi,eqj->eij", w / 2, slope, slope)
            + np.einsum("eq,eqi,eqj->eij", w * l * (l + 1) / (2 * r**2), phi, phi)
        )
        for l in momenta  # noqa: E741
    ]

    @njit
    def respond(t: Any, s: Any, a: Any, f: Any, x: Any, order: Any) -> None:
        _cpu_scf.respond(t, s, a, f, None, None, None, x, order)

    @njit
    def anderson(t: Any, s: Any, f: Any, m: Any, alpha: float, x: Any) -> None:
        _cpu_scf.anderson(t, s, f, m, alpha, x)

    def run() -> float:
        field = atom.field(mesh, 8)
        states, now, V = field.states, field.fields, field.pencil.V
        x, wanted = atom.first_potential(t, None), field.order(n=1)
        before = np.full(len(shells), np.inf)
        for _ in range(100):
            V[0] = x[0] - Z / t.r
            local = w * tables.unspread(V[0], elements)
            potential = assemble(phi.transpose(0, 2, 1) @ (local[..., None] * phi))
            for channel, l in enumerate(momenta):  # noqa: E741
                mine = [k for k, shell in enumerate(shells) if shell.l == l]
                energies, vectors = eigh(fixed[channel] + potential, S, subset_by_index=[0, len(mine) - 1])
                for k, energy, vector in zip(mine, energies, vectors.T, strict=True):
                    nodal = np.concatenate(([0.0], vector, [0.0]))
                    states.energy[k] = energy
                    states.p[k] = tables.spread(np.einsum("eqi,ei->eq", phi, nodal[whole]))
            respond(t, states, field.pencil, now, x, wanted)
            change = np.abs(states.energy - before).max()
            before = states.energy.copy()
            if max(change, states.run["error"][0]) <= atom.tol:
                break
            anderson(t, states, now, field.mixing, 0.4, x)
        return float(now.terms["total"][0])

    return run


def pyscf_atom(symbol: str, momenta: tuple[int, ...]) -> Callable[[], float]:
    """Restricted Kohn-Sham with even-tempered uncontracted Gaussians."""
    from pyscf import dft, gto

    exponents = 0.04 * 2.1 ** np.arange(30)
    basis = [[l, [float(a), 1.0]] for l in momenta for a in exponents[: 30 - 8 * l]]  # noqa: E741
    molecule = gto.M(atom=f"{symbol} 0 0 0", basis={symbol: basis}, verbose=0)

    def run() -> float:
        calculation = dft.RKS(molecule)
        calculation.xc, calculation.grids.level, calculation.conv_tol = "slater,vwn5", 5, 1e-9
        return float(calculation.kernel())

    return run


def uranium(relativistic: bool) -> Iterator[Case]:
    """A warm run beside the yardstick, and a run with new tables."""
    name = "Dirac" if relativistic else "Schrödinger"
    atom = AtomDFT(92, relativistic=relativistic)
    error = partial(energy_error, 92, relativistic)
    yield Case(
        f"uranium, {name}",
        ours=atom.run,
        peers=[Peer("scipy", yardstick(), name="scipy eigh 300 (yardstick)", error=no_error)],
        metric="time in yardsticks",
        error=error,
        tol=TOL,
        repeats=20,
        note="warm; the ratio is yardstick / ours",
    )
    counter = iter(range(1, 10**6))

    def anew() -> Any:
        mesh = RadialMesh.atomic(92, relativistic, 50.0 + 1e-6 * next(counter))
        return AtomDFT(92, relativistic=relativistic, mesh=mesh).run()

    yield Case(
        f"uranium, {name}, new tables",
        ours=anew,
        peers=[Peer("scipy", yardstick(), name="scipy eigh 300 (yardstick)", error=no_error)],
        metric="time in yardsticks",
        error=error,
        tol=TOL,
        repeats=20,
        first_call=False,
        note="set-up included",
    )


def dirac_states(Z: int, kappa: int, count: int) -> Case:
    """The lowest states of one kappa in a Coulomb field, by both formulations."""
    exact = np.array([hydrogenic_energy(Z, 1 + k, kappa=kappa) for k in range(count)])

    def solve(formulation: str) -> Any:
        return solve_radial_dirac(problems.coulomb(Z), kappa, count, Z=Z, formulation=formulation)

    return Case(
        f"Dirac, Coulomb, Z = {Z}, {count} states",
        ours=lambda: solve("elimination"),
        peers=[Peer("scipy", lambda: solve("squared"), name="scipy eigh, squared Hamiltonian (baseline)")],
        metric="time to 1e-8 Ha",
        error=lambda result: float(np.abs(result.energies - exact).max()),
        tol=TOL,
        note="the published formulation is this package's own",
    )


def whole_table(relativistic: bool) -> Case:
    """All 92 atoms, by one thread and by two."""

    def work(executor: Any = None) -> Any:
        return solve_atoms(range(1, 93), relativistic=relativistic, executor=executor)

    def two() -> Any:
        with ThreadPoolExecutor(2) as executor:
            return work(executor)

    def error(results: Any) -> float:
        return max(energy_error(k + 1, relativistic, r) for k, r in enumerate(results))

    return Case(
        f"92 atoms, {'Dirac' if relativistic else 'Schrödinger'}",
        ours=two,
        peers=[Peer("numsolve", work, name="numsolve one after the other")],
        metric="time to 1e-8 Ha each",
        error=error,
        tol=TOL,
        note="two threads; run with --threads 2 for two cores",
    )


def cold_case() -> Case:
    """What a script pays that solves one atom."""
    ours = "from numsolve.atomic import AtomDFT; AtomDFT(10).run()"
    peer = (
        "from pyscf import dft, gto; m = gto.M(atom='Ne 0 0 0', basis='cc-pvqz', verbose=0); "
        "k = dft.RKS(m); k.xc = 'slater,vwn5'; k.kernel()"
    )
    return Case(
        "neon in a fresh interpreter",
        ours=lambda: in_fresh_process(ours),
        peers=[Peer("pyscf", lambda: in_fresh_process(peer), name="PySCF cc-pVQZ")],
        metric="process time",
        value=float,
        repeats=2,
        first_call=False,
        note="our kernels are compiled from nothing, which happens once on a machine",
    )


def cases(quick: bool) -> Iterator[Case]:
    """Uranium and the table, then closed shells beside PySCF."""
    for relativistic in (False, True):
        yield from uranium(relativistic)
    for Z in (10,) if quick else (10, 36, 86, 92):
        yield Case(
            f"Z = {Z}, Schrödinger",
            ours=AtomDFT(Z).run,
            peers=[Peer("scipy", dense_atom(Z), name="scipy eigh, same elements (baseline)")],
            metric="time to 1e-8 Ha",
            error=partial(energy_error, Z, False),
            tol=TOL,
            first_call=False,
            note="dense eigensolver in every step",
        )
    yield dirac_states(92, -1, 7)
    for symbol, Z, momenta in (("He", 2, (0,)), ("Ne", 10, (0, 1)))[: 1 if quick else 2]:
        yield Case(
            f"{symbol}, Schrödinger",
            ours=AtomDFT(Z).run,
            peers=[Peer("pyscf", pyscf_atom(symbol, momenta), name="PySCF even-tempered Gaussians")],
            metric="time",
            error=partial(energy_error, Z, False),
            tol=TOL,
            budget=30.0,
            first_call=False,
            note="PySCF treats molecules; its grid has angles too",
        )
    for relativistic in (False,) if quick else (False, True):
        yield whole_table(relativistic)
    if not quick:
        yield cold_case()


if __name__ == "__main__":
    main(cases)
