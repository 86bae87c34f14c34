"""Schrödinger's equation against analytic energies."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numsolve.atomic import (
    RadialMesh,
    UnboundWarning,
    problems,
    solve_radial_dirac,
    solve_radial_schroedinger,
)

coarse_on_purpose = pytest.mark.filterwarnings("ignore::numsolve.PrecisionWarning")
box_decides = pytest.mark.filterwarnings("ignore::numsolve.atomic.UnboundWarning")


def gram(result):
    out = (result.P * result.weights) @ result.P.T
    return out if result.Q is None else out + (result.Q * result.weights) @ result.Q.T


@pytest.mark.parametrize("Z", [1, 10, 92])
@pytest.mark.parametrize("l", [0, 1, 3])
def test_coulomb(Z, l):  # noqa: E741
    result = solve_radial_schroedinger(problems.coulomb(Z), l, 4, Z=Z, r_max=300 / Z)
    assert_allclose(
        result.energies, [problems.hydrogenic_energy(Z, l + k, l) for k in range(1, 5)], rtol=2e-11
    )
    assert result.certified
    assert result.success
    assert result.bound.all()
    assert list(result.n) == [l + 1, l + 2, l + 3, l + 4]


@box_decides
@pytest.mark.parametrize("l", [0, 2, 5])
@pytest.mark.parametrize("omega", [1e-3, 1.0, 30.0])
def test_oscillator(l, omega):  # noqa: E741
    r_max = 12 / np.sqrt(omega)
    result = solve_radial_schroedinger(problems.oscillator(omega), l, 6, r_max=r_max)
    assert_allclose(result.energies, omega * (2 * np.arange(6) + l + 1.5), rtol=1e-11)
    assert result.certified


@pytest.mark.parametrize("l", [0, 1, 4])
def test_box(l):  # noqa: E741
    mesh = RadialMesh.uniform(3.0, 3, order=24)
    with pytest.warns(UnboundWarning, match="the wall there decides it"):
        result = solve_radial_schroedinger(problems.box(), l, 5, mesh=mesh)
    assert_allclose(result.energies, problems.box_energies(3.0, l, 5), rtol=1e-11)
    assert not result.bound.any()


def test_hulthen():
    result = solve_radial_schroedinger(problems.hulthen(2.0, 0.1), 0, 4, Z=2, r_max=120)
    want = [problems.hulthen_energy(2.0, n, 0.1) for n in range(1, 5)]
    assert_allclose(result.energies, want, atol=1e-10)


def test_a_ring_between_two_walls():
    """On [a, b] with l = 0 the states are sines."""
    mesh = RadialMesh.uniform(3.0, 2, order=20, r_min=1.0)
    with pytest.warns(UnboundWarning):
        result = solve_radial_schroedinger(problems.box(), 0, 3, mesh=mesh)
    assert_allclose(result.energies, (np.pi * np.arange(1, 4) / 2) ** 2 / 2, rtol=1e-11)


@pytest.mark.parametrize("overlap", ["exact", "lumped"])
def test_the_error_falls_exponentially_with_the_order(overlap):
    orders = np.array([6, 8, 10, 12])
    errors = []
    for order in orders:
        mesh = RadialMesh.exponential(0, 40, 40, 5, order)
        result = solve_radial_schroedinger(problems.coulomb(1), 0, 1, mesh=mesh, overlap=overlap)
        errors.append(abs(result.energies[0] + 0.5))
    slope = np.polyfit(orders, np.log10(errors), 1)[0]
    assert slope < -0.6
    assert errors[-1] < 1e-7


@coarse_on_purpose
def test_the_error_falls_with_the_power_2p_of_the_element_length():
    counts, errors = np.array([6, 9, 13, 19]), []
    for n in counts:
        mesh = RadialMesh.uniform(8.0, n, order=3)
        result = solve_radial_schroedinger(problems.oscillator(), 0, 1, mesh=mesh)
        errors.append(result.energies[0] - 1.5)
    assert np.polyfit(np.log(counts), np.log(errors), 1)[0] == pytest.approx(-6, abs=0.5)


@coarse_on_purpose
@box_decides
@pytest.mark.parametrize("order", [3, 5, 7])
def test_with_the_exact_overlap_energies_come_from_above_and_lumping_lowers_them(order):
    mesh = RadialMesh.uniform(10, 6, order)
    exact = solve_radial_schroedinger(problems.oscillator(), 0, 3, mesh=mesh)
    lumped = solve_radial_schroedinger(problems.oscillator(), 0, 3, mesh=mesh, overlap="lumped")
    assert (exact.energies > 2 * np.arange(3) + 1.5).all()
    assert (lumped.energies < exact.energies).all()
    assert_allclose(lumped.energies, exact.energies, rtol=0.2 * 0.3 ** (order - 3))


@box_decides
def test_states_are_orthonormal_and_have_their_nodes():
    result = solve_radial_schroedinger(problems.model_ion(20, 3), 1, 6, Z=20)
    assert_allclose(gram(result), np.eye(6), atol=1e-11)
    inside = np.abs(result.P) > 1e-8 * np.abs(result.P).max(axis=1, keepdims=True)
    nodes = [np.count_nonzero(np.diff(np.sign(P[keep]))) for P, keep in zip(result.P, inside, strict=True)]
    assert nodes == list(range(6))
    assert (result.P[:, 0] > 0).all()


def test_evaluate_is_the_finite_element_function():
    result = solve_radial_schroedinger(problems.coulomb(2), 0, 2, Z=2)
    assert_allclose(result.evaluate(result.r), result.P, atol=1e-12)
    r = np.linspace(0, 5, 23).reshape(1, 23)
    exact = 2 * 2**1.5 * r * np.exp(-2 * r)
    assert_allclose(result.evaluate(r)[0], exact, atol=1e-9)
    assert result.evaluate([0.0, 60.0, 51.0])[:, 1:].tolist() == [[0, 0], [0, 0]]


def test_samples_do_as_well_as_the_function():
    r = np.geomspace(1e-6, 60, 1200)
    V = problems.model_ion(20, 3)
    direct = solve_radial_schroedinger(V, 0, 3, Z=20)
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 1e-3)):
        sampled = solve_radial_schroedinger((r.astype(dtype), V(r).astype(dtype)), 0, 3, Z=20, r_max=50)
        assert_allclose(sampled.energies, direct.energies, rtol=tolerance)


def test_samples_of_another_library():
    xp = pytest.importorskip("array_api_strict")
    r = np.geomspace(1e-6, 60, 1200)
    V = problems.model_ion(20, 3)
    samples = (xp.asarray(r), xp.asarray(V(r)))
    other = solve_radial_schroedinger(samples, 0, 2, Z=20)
    assert_allclose(other.energies, solve_radial_schroedinger((r, V(r)), 0, 2, Z=20).energies)


def test_a_start_saves_the_search_and_a_wrong_one_does_no_harm():
    V = problems.model_ion(20, 3)
    cold = solve_radial_schroedinger(V, 0, 4, Z=20)
    warm = solve_radial_schroedinger(V, 0, 4, Z=20, x0=cold.x)
    assert_allclose(warm.energies, cold.energies, rtol=1e-12)
    assert warm.nfactorizations < 0.7 * cold.nfactorizations
    wrong = solve_radial_schroedinger(V, 0, 4, Z=20, x0=cold.x[::-1].copy())
    assert_allclose(wrong.energies, cold.energies, rtol=1e-11)
    assert wrong.certified


@box_decides
def test_close_pairs_are_told_apart():
    """Two wells far apart: pairs of states with nearly the same energy."""

    def well(r):
        return -5 * np.exp(-((r - 7) ** 2)) - 5 * np.exp(-((r - 13) ** 2))

    result = solve_radial_schroedinger(well, 0, 4, mesh=RadialMesh.uniform(20, 16, order=14))
    assert result.success
    assert (np.diff(result.energies) > 0).all()
    assert result.energies[1] - result.energies[0] < 1e-4
    assert_allclose(gram(result), np.eye(4), atol=1e-8)


@coarse_on_purpose
@box_decides
def test_every_state_of_a_small_mesh_is_found():
    """As many states as unknowns: the spectrum of the dense pencil."""
    from scipy.linalg import eigh

    from numsolve.atomic.tables import local_order, schroedinger_tables, unspread

    mesh = RadialMesh.uniform(4.0, 3, order=5)
    result = solve_radial_schroedinger(problems.oscillator(), 1, 14, mesh=mesh)
    t = schroedinger_tables(mesh, (1,))
    i, j = np.triu_indices(6)
    H, S = np.zeros((16, 16)), np.zeros((16, 16))
    potential = t.weight * (t.r**2 / 2)
    V = np.einsum("bqe,bqie,bqje->bije", potential, t.phi[0], t.phi[0])[:, i, j]
    order = local_order(5)
    for matrix, packed in ((H, t.base[0] + V), (S, t.overlap[0])):
        for e, upper in enumerate(unspread(packed, 3)):
            block = np.zeros((6, 6))
            block[order[i], order[j]] = upper
            block[order[j], order[i]] = upper
            matrix[5 * e : 5 * e + 6, 5 * e : 5 * e + 6] += block
    assert_allclose(result.energies, eigh(H[1:-1, 1:-1], S[1:-1, 1:-1], eigvals_only=True), rtol=1e-9)
    assert result.certified


@box_decides
@pytest.mark.parametrize("scale", [1e-5, 1e5])
def test_units_do_not_matter(scale):
    """Lengths times s, energies over s^2."""
    one = solve_radial_schroedinger(problems.oscillator(), 0, 3, r_max=12)
    other = solve_radial_schroedinger(problems.oscillator(1 / scale**2), 0, 3, r_max=12 * scale)
    assert_allclose(other.energies * scale**2, one.energies, rtol=1e-10)


@pytest.mark.parametrize(("Z", "l"), [(1e-6, 0), (1e-12, 1), (1e-3, 2)])
def test_small_energies_are_told_apart(Z, l):  # noqa: E741
    """Hydrogen in other units, with energies down to 1e-25 Ha."""
    r = solve_radial_schroedinger(lambda r: -Z / r, l, 3, Z=Z, r_max=150 / Z)
    assert_allclose(r.energies, -(Z**2) / (2 * (l + 1 + np.arange(3.0)) ** 2), rtol=1e-9)
    assert r.success
    assert r.certified


@pytest.mark.parametrize("centres", [(5, 15), (5, 25), (5, 17, 29)])
@pytest.mark.parametrize("solve", [solve_radial_schroedinger, solve_radial_dirac], ids=lambda f: f.__name__)
def test_wells_too_far_apart_for_tunnelling_have_a_state_each(solve, centres):
    """Energies of one well, to rounding errors, as often as there are wells; orbitals are orthogonal."""

    def wells(*where):
        return lambda r: -10 * sum(np.exp(-((r - a) ** 2)) for a in where)

    mesh = RadialMesh.uniform(40, 40)
    one = solve(wells(17), n_states=2, mesh=mesh)
    result = solve(wells(*centres), n_states=2 * len(centres), mesh=mesh)
    # the spin-orbit term of kappa = -1 is V' / r, which knows where a well is
    rtol = 1e-9 if solve is solve_radial_schroedinger else 1e-4
    assert_allclose(result.energies, np.repeat(one.energies, len(centres)), rtol=rtol)
    parts = [result.P] if result.Q is None else [result.P, result.Q]
    products = sum((part * result.weights) @ part.T for part in parts)
    assert_allclose(products, np.eye(len(products)), atol=1e-8)
    assert result.success
    assert result.certified


# -- the error that the mesh leaves ----------------------------------------------------------------


def square_well_energies(depth, radius, count):
    """Roots of k cot(k a) = -kappa for l = 0."""
    from scipy.optimize import brentq

    def condition(k):
        return k * np.cos(k * radius) + np.sqrt(2 * depth - k * k) * np.sin(k * radius)

    ends = [(m + 0.5) * np.pi / radius for m in range(count)]
    roots = [brentq(condition, k, k + 0.5 * np.pi / radius - 1e-12, xtol=1e-15) for k in ends]
    return np.array(roots) ** 2 / 2 - depth


def test_a_square_well_has_its_energies_whatever_the_step():
    """The default mesh divides its elements towards the step."""
    result = solve_radial_schroedinger(lambda r: np.where(r < 3, -5.0, 0.0), n_states=2)
    assert_allclose(result.energies, square_well_energies(5.0, 3.0, 2), atol=1e-9)
    assert (result.error_estimate < 1e-9).all()
    assert result.success


@pytest.mark.parametrize("Z", [1000.0, 30.0])
def test_a_singularity_that_is_not_told_is_resolved(Z):
    result = solve_radial_schroedinger(lambda r: -Z / r)
    error = abs(result.energies[0] + Z**2 / 2)
    assert error <= result.error_estimate[0] < 1e-10 * Z**2
    assert result.certified


@box_decides
def test_ninety_states_are_resolved():
    result = solve_radial_schroedinger(lambda r: r**2 / 2, n_states=90, r_max=30)
    errors = np.abs(result.energies - 1.5 - 2 * np.arange(90))
    assert (errors <= result.error_estimate).all()
    assert result.error_estimate.max() < 1e-7


def test_a_nucleus_with_a_surface_is_resolved_with_and_without_an_edge_there():
    """Uranium's 1s in the field of a uniform ball: the default mesh agrees with one made for it."""
    Z, R = 92, 1.36e-4

    def ball(r):
        return np.where(r < R, -Z * (3 - (r / R) ** 2) / (2 * R), -Z / r)

    made = RadialMesh(np.concatenate([[0, R / 2], np.geomspace(R, 50, 24)]), 18)
    ours, edged = (solve_radial_dirac(ball, mesh=mesh) for mesh in (None, made))
    assert_allclose(ours.energies, edged.energies, rtol=1e-10)
    assert abs(ours.energies - edged.energies) <= ours.error_estimate + edged.error_estimate


def test_a_mesh_that_is_too_coarse_is_told():
    """The estimate is of the size of the error, and the warning says what to do."""
    from numsolve import PrecisionWarning

    mesh = RadialMesh.uniform(50.0, 12, order=8)
    with pytest.warns(PrecisionWarning, match="does not resolve the potential for 1s.*Give a mesh="):
        result = solve_radial_schroedinger(lambda r: -20 / r, mesh=mesh)
    error = result.energies[0] + 200
    assert error / 4 < result.error_estimate[0] < 4 * error


def test_the_estimate_is_not_below_the_error_on_meshes_of_any_order():
    for order in range(6, 20, 2):
        mesh = RadialMesh.exponential(0.0, 40.0, 60.0, 6, order)
        result = solve_radial_schroedinger(lambda r: -2 / r, 0, 2, mesh=mesh, Z=2)
        errors = np.abs(result.energies - [-2.0, -0.5])
        assert (errors <= 1.5 * result.error_estimate).all()


def test_numbers_may_be_arrays_without_axes():
    given = {"n_states": 1, "Z": 1.0, "r_max": 40.0, "tol": 1e-9}
    as_arrays = {name: np.asarray(value) for name, value in given.items()}
    for solve in (solve_radial_schroedinger, solve_radial_dirac):
        expected = solve(problems.coulomb(1), **given).energies
        assert_allclose(solve(problems.coulomb(1), **as_arrays).energies, expected, rtol=0, atol=0)
