"""Nuclei with a size, and potentials from outside."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numsolve import PrecisionWarning
from numsolve.atomic import (
    AtomDFT,
    RadialMesh,
    ground_configuration,
    solve_atoms,
    solve_radial_dirac,
    solve_radial_schroedinger,
)
from numsolve.atomic.nucleus import FEMTOMETRE, MASS_NUMBERS, Nucleus


def screening(r):
    return 2.0 / r


# -- nuclei -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["uniform", "gaussian"])
def test_the_potential_is_that_of_the_charge(shape):
    """By Gauss' law, with the charge and its mean square radius integrated numerically from -(r V)''."""
    from scipy.integrate import quad

    nucleus = Nucleus(3.0, shape, 0.2)
    r = np.linspace(0.01, 3.0, 400)
    h = 1e-4
    assert_allclose(
        nucleus.slope(r), (nucleus.potential(r + h) - nucleus.potential(r - h)) / (2 * h), rtol=1e-4
    )
    assert_allclose(nucleus.potential(np.array([3.0])), -1.0, rtol=1e-12)

    def inside(r):  # the charge within r
        return float(nucleus.slope(np.array([r]))[0]) * r**2

    # <r^2> = int (1 - q(r) / Z) 2 r dr
    square = quad(lambda r: (1 - inside(r) / 3.0) * 2 * r, 0.0, 3.0, points=[nucleus.surface])[0]
    assert square == pytest.approx(0.2**2, rel=1e-8)


@pytest.mark.parametrize("shape", ["uniform", "gaussian"])
def test_a_small_nucleus_changes_the_energy_as_first_order_says(shape):
    """E - E(point) = (2 pi / 3) Z n(0) <r^2> without relativity."""
    point = AtomDFT("C").run()
    at_centre = point.density[0] * np.exp(2 * 6 * point.r[0])  # by Kato's cusp
    for radius in (2e-5, 4e-5):
        spread = AtomDFT("C", nucleus=shape, nuclear_radius=radius).run()
        expected = 2 * np.pi / 3 * 6 * at_centre * radius**2
        assert spread.total_energy - point.total_energy == pytest.approx(expected, rel=0.01)
        assert spread.certified
        assert spread.error_estimate < 1e-11
        assert abs(spread.energy_terms["virial"]) < 1e-7


@pytest.mark.parametrize("Z", [20, 92])
@pytest.mark.parametrize("shape", ["uniform", "gaussian"])
def test_orbitals_are_those_of_the_radial_equation_in_the_same_potential(Z, shape):
    result = AtomDFT(Z, nucleus=shape, relativistic=True).run()
    states = solve_radial_dirac((result.r, result.v_eff), -1, 3, mesh=result.mesh)
    ours = [result.orbital(f"{n}s1/2").energy for n in (1, 2, 3)]
    assert_allclose(states.energies, ours, rtol=1e-10)


def test_the_result_does_not_depend_on_the_mesh():
    atom = AtomDFT("Hg", nucleus="uniform", relativistic=True)
    R = np.sqrt(5 / 3) * atom.nuclear_radius
    other = RadialMesh(np.concatenate(([0.0, R / 2], np.geomspace(R, 45.0, 22))), 17)
    first, second = atom.run(), AtomDFT("Hg", nucleus="uniform", relativistic=True, mesh=other).run()
    error = first.error_estimate + second.error_estimate
    assert abs(first.total_energy - second.total_energy) <= error + 1e-9
    assert error < 1e-8


def test_standard_radii():
    """Uranium-238: 5.751 fm by the formula; 5.86 are measured."""
    assert len(MASS_NUMBERS) == 118
    assert AtomDFT("U", nucleus="uniform").nuclear_radius == pytest.approx(5.751 * FEMTOMETRE, rel=1e-3)
    assert AtomDFT("U").nuclear_radius is None
    assert FEMTOMETRE == pytest.approx(1 / 52917.72, rel=1e-6)


def test_a_charge_beyond_the_speed_of_light_needs_a_size():
    with pytest.raises(ValueError, match="a point nucleus has no 1s state"):
        AtomDFT(138, configuration="1s2", relativistic=True)
    atom = AtomDFT(
        138, configuration="1s1e-9", xc="hartree", relativistic=True, nucleus="uniform", nuclear_radius=1.2e-4
    )
    ball = Nucleus(138.0, "uniform", 1.2e-4)
    states = solve_radial_dirac(ball.potential, -1, mesh=atom.mesh)
    assert atom.run().orbitals[0].energy == pytest.approx(states.energies[0], rel=1e-10)
    assert states.certified


# -- from outside -------------------------------------------------------------------------------------


@pytest.mark.parametrize("spin_polarized", [False, True])
def test_a_charge_from_outside_is_as_one_in_the_nucleus(spin_polarized):
    oxygen = AtomDFT("O", spin_polarized=spin_polarized).run()
    same = AtomDFT(
        10, configuration=ground_configuration(8), external=screening, mesh=oxygen.mesh,
        spin_polarized=spin_polarized,
    ).run()  # fmt: skip
    assert same.total_energy == pytest.approx(oxygen.total_energy, abs=1e-11)
    terms = same.energy_terms
    assert terms["nuclear"] + terms["external"] == pytest.approx(oxygen.energy_terms["nuclear"], rel=1e-10)
    assert_allclose(same.v_eff, oxygen.v_eff, rtol=1e-9, atol=1e-9)
    assert np.isnan(terms["virial"])
    parts = ("kinetic", "hartree", "nuclear", "external", "xc")
    assert sum(terms[part] for part in parts) == pytest.approx(same.total_energy, rel=1e-13)


def test_a_constant_shifts_all_energies():
    """And what lies below it is bound, although it lies above zero."""
    helium, raised = AtomDFT("He").run(), AtomDFT("He", external=lambda r: np.full_like(r, 3.0)).run()
    assert raised.total_energy - helium.total_energy == pytest.approx(6.0, abs=1e-11)
    assert raised.orbitals[0].energy - helium.orbitals[0].energy == pytest.approx(3.0, abs=1e-8)
    assert raised.orbitals[0].bound


def test_one_electron_in_a_harmonic_cage_is_that_of_the_radial_equation():
    result = AtomDFT(1, xc="hartree", configuration="1s1e-9", external=lambda r: r**2 / 2).run()
    states = solve_radial_schroedinger(lambda r: r**2 / 2 - 1 / r, Z=1, r_max=50.0)
    assert result.orbitals[0].energy == pytest.approx(states.energies[0], abs=1e-8)


def test_samples_serve_as_a_function_does():
    r = np.geomspace(1e-5, 60.0, 4000)
    function = AtomDFT("Ne", external=lambda r: 0.1 * r).run()
    sampled = AtomDFT("Ne", external=(r, 0.1 * r)).run()
    assert sampled.total_energy == pytest.approx(function.total_energy, abs=1e-9)


@pytest.mark.parametrize("radius", [1.0, 2.2, 4.0])
def test_a_step_within_an_element_is_in_the_estimate(radius):
    edges = np.concatenate(([0.0], np.geomspace(0.1, radius, 8), radius + 0.3 * np.arange(1, 9)))

    def wall(r):
        return 50.0 * (r > radius)

    truth = AtomDFT("He", external=wall, mesh=RadialMesh(edges, 18)).run()
    assert truth.error_estimate < 1e-12
    for elements in (8, 24):
        with pytest.warns(PrecisionWarning, match="edge at each kink or step"):
            result = AtomDFT("He", external=wall, mesh=RadialMesh.atomic(2, n_elements=elements)).run()
        assert abs(result.total_energy - truth.total_energy) < result.error_estimate


def test_a_hard_wall_is_the_end_of_the_mesh():
    """High soft walls tend to it."""
    edges = np.concatenate(([0.0], np.geomspace(0.1, 3.0, 8)))
    hard = AtomDFT("He", mesh=RadialMesh(edges, 18)).run()
    beyond = np.concatenate((edges, [3.1, 3.3]))
    soft = [
        AtomDFT("He", external=lambda r, h=h: h * (r > 3.0), mesh=RadialMesh(beyond, 18)).run().total_energy
        for h in (1e3, 1e5)
    ]
    assert soft[0] < soft[1] < hard.total_energy
    assert hard.total_energy - soft[1] == pytest.approx((hard.total_energy - soft[0]) / 10, rel=0.1)


def test_atoms_travel_with_all_of_it():
    atom = AtomDFT("Ne", nucleus="gaussian", external=screening)
    assert pickle.loads(pickle.dumps(atom)) == atom
    first, second = solve_atoms(["He", {"Z": "Ne", "nucleus": "gaussian"}], relativistic=True)
    assert (first.Z, second.Z) == (2, 10)
    assert second.total_energy > AtomDFT("Ne", relativistic=True).run().total_energy


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"nucleus": "ball"}, ValueError, "nucleus must be one of 'point', 'uniform', 'gaussian'"),
        (
            {"nucleus": "uniform", "nuclear_radius": -1.0},
            ValueError,
            "nuclear_radius must be a finite number",
        ),
        ({"nuclear_radius": 1e-4}, ValueError, "nuclear_radius is of a nucleus that is no point"),
        (
            {"Z": 2.5, "nucleus": "uniform", "configuration": "1s2"},
            ValueError,
            "nuclear_radius must be given",
        ),
        ({"external": 3}, TypeError, "external must be callable or a pair"),
        ({"external": lambda r: r * np.nan}, ValueError, "external returned nan"),
        ({"external": lambda r: 1.0}, ValueError, "the result of external must have shape"),
        ({"external": (np.arange(5.0), np.arange(5.0))}, ValueError, "the r of external must cover the mesh"),
        ({"Z": "fe"}, ValueError, "symbol of an element"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_named(settings, error, message):
    with pytest.raises(error, match=message):
        AtomDFT(**{"Z": 2, **settings})


# -- thin layers -----------------------------------------------------------------------------------


def shell(r):
    """A layer so thin that it falls between the quadrature points."""
    return 100 * np.exp(-(((r - 0.5) / 1e-3) ** 2))


def test_a_thin_layer_from_outside_is_seen_and_told():
    """Elements of the user's own around it give the truth; the default ones say that they do not."""
    with pytest.warns(PrecisionWarning, match="does not resolve"):
        atom = AtomDFT("He", external=shell).run()
    edges = np.concatenate([[0.0, 0.1, 0.3], 0.5 + 1e-3 * np.arange(-6, 7, 2), [0.7, 1.5, 4, 10, 25, 50]])
    fine = AtomDFT("He", external=shell, mesh=RadialMesh(edges, 17)).run()
    assert fine.error_estimate < 1e-8
    assert fine.total_energy > AtomDFT("He").run().total_energy + 0.2
    assert abs(atom.total_energy - fine.total_energy) < 2 * atom.error_estimate


def test_the_default_mesh_of_the_radial_solver_closes_in_on_a_thin_layer():
    def potential(r):
        return -2 / r + shell(r)

    found = solve_radial_schroedinger(potential, 0, 1, Z=2)
    edges = np.concatenate([[0.0, 0.1, 0.3], 0.5 + 1e-3 * np.arange(-6, 7, 2), [0.7, 1.5, 4, 10, 25, 50]])
    fine = solve_radial_schroedinger(potential, 0, 1, Z=2, mesh=RadialMesh(edges, 17))
    assert found.energies == pytest.approx(fine.energies, abs=1e-9)
    assert found.energies[0] > -1.9


@pytest.mark.parametrize("shape", ["uniform", "gaussian"])
def test_a_mesh_without_a_point_in_the_nucleus_is_refused(shape):
    """All its orders would give the energy of a point, 0.05 Ha below that of palladium."""
    with pytest.raises(ValueError, match="mesh must have points in the nucleus, of radius 8"):
        AtomDFT("Pd", nucleus=shape, mesh=RadialMesh.atomic(46))


def test_the_estimate_sees_a_nucleus_of_few_points():
    truth = AtomDFT("Pd", nucleus="uniform").run()
    radius = AtomDFT("Pd", nucleus="uniform").nuclear_radius
    for first in (3.0, 30.0):
        edges = radius * first * np.array([1, 3, 9])
        rest = RadialMesh.atomic(46, n_elements=12).edges
        mesh = RadialMesh(np.r_[0.0, edges, rest[rest > 2 * edges[-1]]], truth.mesh.order)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            coarse = AtomDFT("Pd", nucleus="uniform", mesh=mesh).run()
        error = abs(coarse.total_energy - truth.total_energy)
        assert 1e-6 < error < 2 * coarse.error_estimate
