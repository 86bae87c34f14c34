"""Potentials without a lowest energy, and meshes that know no digit of one, are no successes."""

from __future__ import annotations

import numpy as np
import pytest

from numsolve import ConvergenceWarning, Status
from numsolve.atomic import AtomDFT, RadialMesh, solve_radial_dirac, solve_radial_schroedinger

pytestmark = [
    pytest.mark.filterwarnings("ignore::numsolve.PrecisionWarning"),
    pytest.mark.filterwarnings("ignore::numsolve.atomic.UnboundWarning"),
]


@pytest.mark.parametrize("mesh", [None, RadialMesh.atomic(10)])
@pytest.mark.parametrize(
    ("V", "l"),
    [
        (lambda r: -2 / r**2, 0),
        (lambda r: -2 / r**2, 1),
        (lambda r: -0.2 / r**2, 0),
        (lambda r: -0.3 / r**2 - 1 / r, 0),
        (lambda r: -1 / r**3, 0),
        (lambda r: -1 / r**3, 2),
    ],
)
def test_what_hardys_inequality_does_not_balance_has_no_lowest_energy(V, l, mesh):  # noqa: E741
    with pytest.warns(ConvergenceWarning, match="no lowest energy"):
        r = solve_radial_schroedinger(V, l, 2, mesh=mesh)
    assert r.status is Status.UNBOUNDED
    assert not r.success
    assert np.isfinite(r.energies).all()  # the best iterate


@pytest.mark.parametrize(
    ("V", "l"),
    [
        (lambda r: -1 / r, 0),
        (lambda r: -0.1 / r**2 - 1 / r, 0),
        (lambda r: -1 / r**2 - 1 / r, 1),
        (lambda r: -1 / r**1.5, 0),
        (lambda r: -0.3 / r**1.9, 0),
        (lambda r: -2 / (r**2 + 1e-6), 0),
        (lambda r: -2 / (r**2 + 1e-12), 0),
        (lambda r: 2 / r**2 - 1 / r, 0),
        (lambda r: -1e6 * (r < 1e-3), 0),
        (lambda r: -1e4 * (r < 1e-2) - 1 / r, 0),
    ],
)
def test_what_it_balances_is_solved(V, l):  # noqa: E741
    r = solve_radial_schroedinger(V, l, 2)
    assert r.success
    assert (r.error_estimate <= 0.05 * np.maximum(1, np.abs(r.energies))).all()


def test_away_from_the_origin_any_potential_has_a_lowest_energy():
    for start in (1e-2, 1e-1):
        mesh = RadialMesh(np.geomspace(start, 20.0, 24), 18)
        r = solve_radial_schroedinger(lambda r: -2 / r**2, mesh=mesh)
        assert r.success
        assert r.error_estimate[0] < 1e-6 * abs(r.energies[0])


def test_a_mesh_that_knows_no_digit_is_no_success():
    with pytest.warns(ConvergenceWarning, match="error of an energy is estimated at"):
        r = solve_radial_schroedinger(lambda r: -1 / r**1.5, mesh=RadialMesh.uniform(50.0, 12, order=8))
    assert r.status is Status.STAGNATED
    assert r.error_estimate[0] > 0.1 * abs(r.energies[0])


def test_energies_that_finer_elements_do_not_have_are_none():
    """Dirac's operator with -g / r^2 has no lowest energy for any g."""
    with pytest.warns(ConvergenceWarning):
        r = solve_radial_dirac(lambda r: -0.05 / r**2)
    assert not r.success


def test_the_published_method_says_so_too():
    with pytest.warns(ConvergenceWarning):
        assert not solve_radial_dirac(lambda r: -2 / r**2, formulation="squared").success


@pytest.mark.parametrize("settings", [{}, {"spin_polarized": True}, {"error_estimate": False}])
@pytest.mark.parametrize("g", [0.2, 2.0])
def test_an_atom_in_such_a_potential_is_no_success(g, settings):
    with pytest.warns(ConvergenceWarning, match="no lowest energy"):
        r = AtomDFT("He", external=lambda r: -g / r**2, **settings).run()
    assert r.status is Status.UNBOUNDED
    assert np.isfinite(r.total_energy)


@pytest.mark.parametrize("external", [lambda r: r**2 / 2, lambda r: -1 / r, np.zeros_like])
@pytest.mark.parametrize("relativistic", [False, True, "scalar"])
def test_an_atom_in_a_milder_one_is_solved(external, relativistic):
    assert AtomDFT("He", external=external, relativistic=relativistic).run().success


def test_an_atom_in_one_that_repels_is_solved():
    assert AtomDFT("He", external=lambda r: 2 / r**2).run().success
