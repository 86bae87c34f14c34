"""Dirac's equation: analytic energies, limits, and the published formulation beside ours."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numsolve.atomic import hydrogenic_energy, problems, solve_radial_dirac, solve_radial_schroedinger

C = 137.0359895
box_decides = pytest.mark.filterwarnings("ignore::numsolve.atomic.UnboundWarning")


def l_of(kappa):
    return kappa if kappa > 0 else -kappa - 1


def exact(Z, kappa, count):
    return [hydrogenic_energy(Z, l_of(kappa) + k, kappa=kappa) for k in range(1, count + 1)]


@pytest.mark.parametrize("Z", [1, 47, 92, 120, 136])
@pytest.mark.parametrize("kappa", [-1, 1, -2, 2, -3, -4])
def test_coulomb(Z, kappa):
    result = solve_radial_dirac(problems.coulomb(Z), kappa, 4, Z=Z, r_max=max(50, 400 / Z))
    assert_allclose(result.energies, exact(Z, kappa, 4), rtol=1e-11)
    assert result.certified
    assert result.success


def test_all_49_states_of_uranium_sum_to_the_published_value():
    total = 0.0
    for kappa in (-1, 1, -2, 2, -3, 3, -4, 4, -5, 5, -6, 6, -7):
        total += solve_radial_dirac(problems.coulomb(92), kappa, 7 - l_of(kappa), Z=92).energies.sum()
    assert total == pytest.approx(-16991.208873101074, abs=1e-8)


def test_no_ghost_of_1s_among_the_states_of_positive_kappa():
    """kappa = 1 starts at 2p1/2; mixed finite elements often have a copy of 1s1/2 below it."""
    result = solve_radial_dirac(problems.coulomb(92), 1, 3, Z=92)
    assert result.energies[0] == pytest.approx(hydrogenic_energy(92, 2, kappa=1), abs=1e-8)
    assert list(result.n) == [2, 3, 4]


@box_decides
@pytest.mark.parametrize("kappa", [-1, 1, -3, 2])
def test_a_fast_light_gives_schroedinger(kappa):
    slow = solve_radial_schroedinger(problems.oscillator(), l_of(kappa), 3, r_max=12)
    fast = solve_radial_dirac(problems.oscillator(), kappa, 3, r_max=12, c=1e6)
    assert_allclose(fast.energies, slow.energies, atol=1e-9)


def test_the_correction_is_of_second_order_in_the_velocity():
    Z, cs = 10, np.array([200.0, 400.0, 800.0])
    shift = [solve_radial_dirac(problems.coulomb(Z), -1, 1, Z=Z, c=c).energies[0] + Z**2 / 2 for c in cs]
    assert np.polyfit(np.log(cs), np.log(np.abs(shift)), 1)[0] == pytest.approx(-2, abs=0.02)


@box_decides
@pytest.mark.parametrize(
    ("V", "Z", "kappa"),
    [
        (problems.coulomb(92), 92, -1),
        (problems.coulomb(92), 92, 1),
        (problems.oscillator(), 0, -1),
        (problems.oscillator(), 0, 1),
        (problems.model_ion(50, 2), 50, -2),
    ],
)
def test_the_squared_hamiltonian_agrees_to_its_rounding_errors(V, Z, kappa):
    ours = solve_radial_dirac(V, kappa, 4, Z=Z, r_max=30)
    squared = solve_radial_dirac(V, kappa, 4, Z=Z, r_max=30, formulation="squared")
    assert_allclose(squared.energies, ours.energies, atol=1e-7)
    norm = (squared.P * squared.weights) @ squared.P.T + (squared.Q * squared.weights) @ squared.Q.T
    assert_allclose(norm, np.eye(4), atol=1e-10)
    overlap = np.abs(np.sum(squared.P * squared.weights * ours.evaluate(squared.r), axis=1))
    assert (overlap > 0.8).all()
    assert not squared.certified


def test_states_are_orthonormal_with_their_small_components():
    result = solve_radial_dirac(problems.coulomb(92), -1, 5, Z=92)
    norm = (result.P * result.weights) @ result.P.T + (result.Q * result.weights) @ result.Q.T
    assert_allclose(norm, np.eye(5), atol=1e-11)
    share = np.sum(result.weights * result.Q**2, axis=1)
    assert 0.1 < share[0] < 0.2  # (1 - g) / 2 for 1s
    assert share[0] == pytest.approx((1 - np.sqrt(1 - (92 / C) ** 2)) / 2, rel=1e-9)


def test_the_first_order_equations_hold_at_the_points():
    """c (P' + kappa P / r) = (eps - V + 2 c^2) Q for 1s: P = r^g exp(-Z r), Q = -P Z / (c (1 + g))."""
    result = solve_radial_dirac(problems.coulomb(80), -1, 1, Z=80)
    P, Q = result.P[0], result.Q[0]
    inside = np.abs(P) > 1e-4
    g = np.sqrt(1 - (80 / C) ** 2)
    assert_allclose(Q[inside] / P[inside], -80 / (C * (1 + g)), rtol=1e-7)
    assert_allclose(result.evaluate(result.r)[0], P, atol=1e-12)


def test_a_well_that_reaches_the_lower_continuum_is_refused():
    def deep(r):
        return -50_000 / (1 + np.exp(10 * (r - 1)))

    with pytest.raises(ValueError, match="Klein"):
        solve_radial_dirac(deep, -1)
    assert solve_radial_dirac(deep, -1, c=1000.0).certified


def test_a_start_saves_the_search():
    cold = solve_radial_dirac(problems.coulomb(50), -1, 4, Z=50)
    warm = solve_radial_dirac(problems.coulomb(50), -1, 4, Z=50, x0=cold.x)
    assert_allclose(warm.energies, cold.energies, rtol=1e-12)
    assert warm.nfactorizations < cold.nfactorizations


@pytest.mark.parametrize("Z", [92, 130, 137])
def test_the_error_of_the_squared_equation_is_told(Z):
    """Beyond g = 1/2 its integrals diverge: at Z = 137 it is 139 Ha off, and says so."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        squared = solve_radial_dirac(lambda r: -Z / r, -1, 1, Z=Z, formulation="squared")
    error = abs(squared.energies[0] - hydrogenic_energy(Z, 1, kappa=-1))
    assert error <= 1.01 * squared.error_estimate[0] + 1e-8
    assert any("does not resolve" in str(warning.message) for warning in told) == (Z == 137)
