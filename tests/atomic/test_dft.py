"""Self-consistent atoms: the published tables, exact identities, and PySCF."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numsolve.atomic import AtomDFT, RadialMesh, solve_atoms
from numsolve.atomic.configuration import Shell

# -- the published tables --------------------------------------------------------------------------


@pytest.mark.parametrize("relativistic", [False, True])
def test_total_energies_of_all_elements(periodic_table, total_energies, relativistic):
    column = "dirac" if relativistic else "schroedinger"
    got = [result.total_energy for result in periodic_table[relativistic]]
    assert_allclose(got, [float(row[column]) for row in total_energies], rtol=0, atol=1e-8)


@pytest.mark.parametrize("relativistic", [False, True])
def test_all_elements_converge_and_every_state_is_certified(periodic_table, relativistic):
    for result in periodic_table[relativistic]:
        assert result.success
        assert result.certified
        assert result.nit < 40
        assert result.error_estimate < 3e-9
        assert all(orbital.bound for orbital in result.orbitals)
        assert [orbital.kappa is not None for orbital in result.orbitals] == [relativistic] * len(
            result.orbitals
        )


def test_eigenvalues(periodic_table, eigenvalues):
    assert len(eigenvalues) > 150
    for row in eigenvalues:
        kappa = int(row["kappa"]) if row["kappa"] else None
        atom = periodic_table[kappa is not None][int(row["Z"]) - 1]
        (orbital,) = (
            o for o in atom.orbitals if (o.n, o.l, o.kappa) == (int(row["n"]), int(row["l"]), kappa)
        )
        assert orbital.energy == pytest.approx(float(row["eigenvalue"]), abs=1e-8)


@pytest.mark.parametrize("relativistic", [False, True])
def test_orbitals_are_orthonormal_and_hold_all_electrons(periodic_table, relativistic):
    for Z in (1, 26, 65, 92):
        atom = periodic_table[relativistic][Z - 1]
        assert atom.weights @ (4 * np.pi * atom.r**2 * atom.density) == pytest.approx(Z, rel=1e-12)
        for kind in {(o.l, o.kappa) for o in atom.orbitals}:
            same = [o for o in atom.orbitals if (o.l, o.kappa) == kind]
            P = np.array([o.P for o in same])
            gram = (P * atom.weights) @ P.T
            if relativistic:
                Q = np.array([o.Q for o in same])
                gram += (Q * atom.weights) @ Q.T
            assert_allclose(gram, np.eye(len(same)), atol=1e-7)
            for orbital in same:
                P = orbital.P[np.abs(orbital.P) > 1e-6]
                assert np.count_nonzero(np.diff(np.sign(P))) == orbital.n - orbital.l - 1


# -- identities ------------------------------------------------------------------------------------


@pytest.mark.parametrize("Z", [2, 10, 36, 80])
def test_virial(Z):
    """2 T + E_H + E_nuc + 3 int n (v_xc - e_xc) = 0 without relativity; of first order in what tol leaves."""
    atom = AtomDFT(Z, tol=1e-10).run()
    assert abs(atom.energy_terms["virial"]) < 1e-10 + 1e-12 * abs(atom.total_energy)


def test_energy_terms_of_neon_and_their_sum(periodic_table):
    neon = periodic_table[False][9]
    terms = neon.energy_terms
    want = {"kinetic": 127.7386665, "hartree": 65.7264884, "nuclear": -309.9882063, "xc": -11.7104299}
    for name, value in want.items():
        assert terms[name] == pytest.approx(value, abs=1e-6)
    assert sum(terms[name] for name in want) == pytest.approx(neon.total_energy, rel=1e-14)
    assert terms["band"] == pytest.approx(sum(o.occupation * o.energy for o in neon.orbitals))


@pytest.mark.parametrize("relativistic", [False, True])
def test_the_derivative_by_the_charge(relativistic):
    """Hellmann and Feynman: dE/dZ = -int rho / r at fixed electrons."""
    h = 1e-3
    kept = {"configuration": "1s2 2s2 2p6", "relativistic": relativistic}
    energies = [AtomDFT(10 + s * h, **kept).run().total_energy for s in (-2, -1, 1, 2)]
    slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * h)
    assert AtomDFT(10, **kept).run().dE_dZ == pytest.approx(slope, abs=1e-7)


@pytest.mark.parametrize(
    "settings", [{}, {"relativistic": True}, {"xc": "exchange"}, {"spin_polarized": True}]
)
def test_the_derivative_by_an_occupation_is_the_orbital_energy(settings):
    """Janak: dE/df = eps."""
    h = 1e-3
    shells = "1s2 2s2 2p6 3s{}"
    f = 0.5
    plus, minus = (
        AtomDFT(11, configuration=shells.format(f + s * h), **settings).run().total_energy for s in (1, -1)
    )
    middle = AtomDFT(11, configuration=shells.format(f), **settings).run()
    orbital = next(o for o in middle.orbitals if o.n == 3)
    assert orbital.energy == pytest.approx((plus - minus) / (2 * h), abs=3e-7)


@pytest.mark.parametrize("relativistic", [False, True])
def test_the_error_estimate_bounds_the_error_of_all_elements(periodic_table, relativistic):
    """Against meshes of twice the elements and a higher order; and, rounding apart, it is near the error."""
    for result in periodic_table[relativistic]:
        fine = RadialMesh.atomic(result.Z, relativistic, n_elements=16, order=30 if relativistic else 20)
        exact = AtomDFT(result.Z, relativistic=relativistic, mesh=fine).run().total_energy
        error = abs(result.total_energy - exact)
        assert error <= result.error_estimate <= 5 * max(error, 1e-14 * abs(exact))


def test_without_an_error_estimate_nothing_else_changes():
    whole, short = (AtomDFT(8, error_estimate=wanted).run() for wanted in (True, False))
    assert short.total_energy == whole.total_energy
    assert short.certified
    assert np.isnan(short.error_estimate)
    assert whole.error_estimate < 1e-10
    assert all(np.isnan(atom.error_estimate) for atom in solve_atoms([2, 8], error_estimate=False))


def test_the_error_estimate_is_about_the_error():
    exact = AtomDFT(36, mesh=RadialMesh.atomic(36, order=20)).run().total_energy
    for order in (8, 10, 12):
        result = AtomDFT(36, mesh=RadialMesh.atomic(36, order=order)).run()
        error = abs(result.total_energy - exact)
        assert error < result.error_estimate < 3 * error


@pytest.mark.parametrize("relativistic", [False, True])
def test_the_error_falls_exponentially_with_the_order(relativistic):
    mesh = RadialMesh.atomic(30, relativistic)
    finest = AtomDFT(30, relativistic=relativistic, mesh=RadialMesh(mesh.edges, 24)).run().total_energy
    orders = np.array([7, 9, 11, 13])
    errors = [
        abs(
            AtomDFT(30, relativistic=relativistic, mesh=RadialMesh(mesh.edges, p)).run().total_energy - finest
        )
        for p in orders.tolist()
    ]
    assert np.polyfit(orders, np.log10(errors), 1)[0] < -0.5


# -- other atoms -----------------------------------------------------------------------------------


@pytest.mark.parametrize("relativistic", [False, True])
def test_one_electron_without_repulsion_is_hydrogenic(relativistic):
    """In an ion of high charge the repulsion of the one electron by itself is a small first-order term."""
    from numsolve.atomic import hydrogenic_energy

    result = AtomDFT(80, configuration="1s1", relativistic=relativistic, xc="exchange").run()
    bare = hydrogenic_energy(80, 1, kappa=-1 if relativistic else None)
    first_order = result.energy_terms["hartree"] + result.energy_terms["xc"]
    assert result.total_energy - bare == pytest.approx(first_order, rel=5e-3)


@pytest.mark.parametrize(
    "case",
    [
        {"Z": 12, "n_electrons": 10},
        {"Z": 20, "configuration": "[Ar]"},
        {"Z": 26, "configuration": "[Ar] 3d6"},
        {"Z": 11, "configuration": "[Ne] 3p1"},
        {"Z": 11, "configuration": "[Ne] 3s0.5"},
        {"Z": 18, "configuration": "2s2 2p6 3s2 3p6 1s0 4s2"},
        {"Z": 92, "configuration": "1s1"},
        {"Z": 92, "configuration": "1s2 2s2 2p6", "relativistic": True},
        {"Z": 1.3, "configuration": "1s1.3"},
        {"Z": 118, "configuration": "[Rn] 5f14 6d10 7s2 7p6", "relativistic": True},
    ],
    ids=str,
)
def test_ions_excited_fractional_and_hollow_atoms(case):
    result = AtomDFT(**case).run()
    assert result.success
    assert result.certified
    N = sum(o.occupation for o in result.orbitals)
    assert result.n_electrons == pytest.approx(N)
    assert result.weights @ (4 * np.pi * result.r**2 * result.density) == pytest.approx(N, rel=1e-12)
    if not case.get("relativistic"):
        assert abs(result.energy_terms["virial"]) < 1e-10 * abs(result.total_energy) + 1e-8
    # far out the electrons screen the nucleus
    assert result.r[-1] * result.v_hartree[-1] == pytest.approx(N, rel=1e-9)


def test_an_anion_that_does_not_bind_is_flagged():
    from numsolve import ConvergenceWarning
    from numsolve.atomic import UnboundWarning

    with pytest.warns(UnboundWarning, match="not bound: 1s"), pytest.warns(ConvergenceWarning):
        result = AtomDFT(1, configuration="1s2").run(maxiter=60)
    assert not result.orbitals[0].bound
    assert result.certified
    with pytest.warns(UnboundWarning, match="not bound: 2p. "):
        assert [o.bound for o in AtomDFT(2, configuration="1s2 2p0").run().orbitals] == [True, False]


# -- spin ------------------------------------------------------------------------------------------


def test_spin_polarised_atoms_of_the_published_table():
    """Local spin density energies of NIST (Kotochigova et al. 1997), to their six decimals."""
    assert AtomDFT(1, spin_polarized=True).run().total_energy == pytest.approx(-0.478671, abs=1e-6)
    assert AtomDFT(3, spin_polarized=True).run().total_energy == pytest.approx(-7.343957, abs=1e-6)
    assert AtomDFT(7, spin_polarized=True).run().total_energy == pytest.approx(-54.136799, abs=1e-6)


def test_closed_shells_have_no_spin():
    paired = AtomDFT(18).run()
    polarised = AtomDFT(18, spin_polarized=True).run()
    assert polarised.total_energy == pytest.approx(paired.total_energy, abs=1e-9)
    assert np.abs(polarised.spin_density).max() < 1e-7 * polarised.density.max()


def test_the_moment_is_what_the_configuration_says():
    iron = AtomDFT(26, spin_polarized=True).run()
    assert iron.success
    assert iron.certified
    moment = iron.weights @ (4 * np.pi * iron.r**2 * iron.spin_density)
    assert moment == pytest.approx(4.0, abs=1e-9)
    assert iron.total_energy < AtomDFT(26).run().total_energy - 0.05
    given = AtomDFT(2, configuration=[(1, 0, 1, 0), (2, 0, 0, 1)], spin_polarized=True).run()
    assert [o.occupation for o in given.orbitals] == [1, 0, 0, 1]


# -- PySCF -----------------------------------------------------------------------------------------


def even_tempered(Z, count, momenta):
    """Gaussians with exponents in a geometric progression, uncontracted."""
    exponents = 0.04 * 2.1 ** np.arange(count)
    return [[l, [float(a), 1.0]] for l in momenta for a in exponents[: count if l == 0 else count - 6]]  # noqa: E741


@pytest.mark.parametrize(("symbol", "Z", "unpaired"), [("He", 2, 0), ("Ne", 10, 0), ("N", 7, 3)])
def test_gaussians_come_close_from_above(symbol, Z, unpaired):
    gto = pytest.importorskip("pyscf.gto")
    from pyscf import dft

    basis = even_tempered(Z, 26, (0,) if Z < 5 else (0, 1))
    molecule = gto.M(atom=f"{symbol} 0 0 0", basis={symbol: basis}, spin=unpaired, verbose=0)
    calculation = dft.UKS(molecule) if unpaired else dft.RKS(molecule)
    calculation.xc, calculation.grids.level, calculation.conv_tol = "slater,vwn5", 9, 1e-11
    theirs = calculation.kernel()
    ours = AtomDFT(Z, spin_polarized=unpaired > 0).run().total_energy
    assert -1e-7 < theirs - ours < 2e-5


# -- starts, mixing --------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"relativistic": True}, {"spin_polarized": True}])
def test_a_start_from_the_answer_needs_a_few_steps(settings):
    atom = AtomDFT(29, **settings)
    first = atom.run()
    second = atom.run(x0=first.x)
    assert second.nit <= 4
    assert second.total_energy == pytest.approx(first.total_energy, abs=1e-9)


@pytest.mark.parametrize(
    "settings", [{"mixing": "linear"}, {"mixing_depth": 2}, {"mixing_alpha": 0.8}, {"mixing_depth": 0}]
)
def test_the_answer_does_not_depend_on_the_mixing(settings, periodic_table):
    result = AtomDFT(18, **settings).run()
    assert result.success
    assert result.total_energy == pytest.approx(periodic_table[False][17].total_energy, abs=1e-9)


def test_anderson_beats_linear_mixing():
    assert AtomDFT(18).run().nit < 0.6 * AtomDFT(18, mixing="linear").run().nit


def test_a_tolerance_below_rounding_errors_ends_in_rounding():
    from numsolve._core.result import Status

    result = AtomDFT(30, tol=0.0).run()
    assert result.success
    assert result.status is Status.ROUNDING


@pytest.mark.parametrize("elements", [3, 8, 11, 16])
def test_the_number_of_elements_need_not_fill_the_registers(elements):
    mesh = RadialMesh.exponential(0, 30, 60, elements, order=24)
    assert AtomDFT(2, mesh=mesh).run().total_energy == pytest.approx(-2.8348356241, abs=1e-8)


@pytest.mark.parametrize(("Z", "configuration", "label"), [(9, "[Ne]", "2p"), (1, "1s2", "1s")])
def test_orbitals_of_an_anion_above_zero_are_not_bound(Z, configuration, label):
    """The potential of an anion tends to zero from above: V(r_max) > 0 is no bound."""
    from numsolve.atomic import UnboundWarning

    with pytest.warns(UnboundWarning, match=label):
        atom = AtomDFT(Z, configuration=configuration, mesh=RadialMesh.atomic(Z, r_max=10)).run()
    assert atom.orbital(label).energy > 0
    assert not atom.orbital(label).bound


def test_a_dirac_subshell_is_filled_by_itself():
    """2p1/2 lies below 2p3/2; the average of configuration lies between, at a third of the way."""
    inner = [Shell(1, 0, 2.0), Shell(2, 0, 2.0)]
    lower, upper = (
        AtomDFT(5, configuration=[*inner, Shell(2, 1, 1.0, kappa=kappa)], relativistic=True).run()
        for kappa in (1, -2)
    )
    mean = AtomDFT(5, relativistic=True).run().total_energy
    assert {o.label: o.occupation for o in lower.orbitals} == {"1s1/2": 2, "2s1/2": 2, "2p1/2": 1}
    assert 1e-5 < upper.total_energy - lower.total_energy < 1e-3
    assert mean == pytest.approx((lower.total_energy + 2 * upper.total_energy) / 3, abs=1e-8)


# -- the scalar equation ---------------------------------------------------------------------------

#: S. Kotochigova et al., Phys. Rev. A 55, 191 (1997), and NIST's tables with it, to 1e-6 Ha: ScRLDA.
SCALAR_TOTALS = {36: -2783.987300, 79: -18963.123612}
SCALAR_KRYPTON = {"1s": -517.653657, "2p": -60.457306, "3d": -3.005055, "4s": -0.851681, "4p": -0.345161}


def test_the_scalar_equation_has_the_energies_of_the_table():
    """So its density is that of the large components alone: with the small ones krypton is 1e-3 Ha off."""
    atoms = {Z: AtomDFT(Z, relativistic="scalar").run() for Z in SCALAR_TOTALS}
    for Z, atom in atoms.items():
        assert atom.success
        assert atom.certified
        assert atom.total_energy == pytest.approx(SCALAR_TOTALS[Z], abs=6e-7)
    for label, energy in SCALAR_KRYPTON.items():
        assert atoms[36].orbital(label).energy == pytest.approx(energy, abs=6e-7)


def test_the_scalar_equation_is_schroedingers_for_fast_light():
    """The difference falls like 1 / c^2."""
    exact = AtomDFT(10, xc="exchange").run().total_energy
    speeds = np.array([500.0, 1000.0, 2000.0])
    gaps = [AtomDFT(10, xc="exchange", relativistic="scalar", c=c).run().total_energy - exact for c in speeds]
    slope = np.polyfit(np.log(speeds), np.log(np.abs(gaps)), 1)[0]
    assert slope == pytest.approx(-2, abs=0.02)


def test_an_s_state_has_no_spin_orbit_coupling():
    """For l = 0 the scalar equation is Dirac's: hydrogen, without other electrons, has Dirac's energy."""
    atom = AtomDFT(60, configuration="1s1", xc="hartree", relativistic="scalar")
    field = atom.field(atom.mesh)
    from numsolve._core.limits import Limits
    from numsolve.atomic import hydrogenic_energy

    assert field.settle(np.zeros_like(field.pencil.V), Limits())
    assert_allclose(field.states.energy, [hydrogenic_energy(60, 1, kappa=-1)], rtol=1e-12)
    assert field.states.certified.all()


def test_words_for_the_equation():
    assert AtomDFT(3, relativistic="dirac") == AtomDFT(3, relativistic=True)
    assert AtomDFT(3, relativistic="scalar") != AtomDFT(3)
