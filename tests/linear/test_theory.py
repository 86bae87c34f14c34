"""Theory of relaxation: Young's formulas against dense eigenvalues, bounds against what they bound."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.linalg import sqrtm

from numsolve import linear
from numsolve.linear import _cpu_sweeps, theory
from numsolve.linear.problems import laplacian

OMEGAS = np.array([0.3, 0.8, 1.0, 1.2, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 1.95])


def parts(A):
    A = A.toarray()
    return A, np.diag(np.diag(A)), np.tril(A, -1)


def sor_matrix(A, omega):
    """C = I - A M^-1, which takes a residual to the next."""
    A, D, L = parts(A)
    return np.eye(len(A)) - A @ np.linalg.inv(D / omega + L)


def young_cases():
    for points, dim in ((20, 1), (21, 1), (10, 2), (5, 3)):
        yield laplacian(points, dim), np.cos(np.pi / (points + 1))
    for shift in (-0.15, 0.45):
        yield laplacian(10, shift=shift), 4 * np.cos(np.pi / 11) / (4 + shift)


def test_the_spectral_radius_is_that_of_the_matrix():
    for A, beta in young_cases():
        best = linear.optimal_omega(A, method="exact")
        for w in (*OMEGAS, best - 0.03, best - 0.01, best + 0.01, best + 0.03):
            radius = max(abs(np.linalg.eigvals(sor_matrix(A, w))))
            assert theory.spectral_radius(w, beta) == pytest.approx(radius, abs=1e-12)
        at_best = theory.spectral_radius(np.array([best - 0.02, best, best + 0.02]), beta)
        assert at_best.argmin() == 1
        assert at_best[1] == pytest.approx(best - 1, abs=1e-6)  # a square root leaves it half the digits


@pytest.mark.parametrize(
    ("shift", "beta", "omega"),
    [
        (0.0, np.cos(np.pi / 11), 1.5603879213),
        (-0.15, 0.99687582, 1.85359415),
        (0.45, 0.86246560, 1.32791923),
    ],
)
@pytest.mark.parametrize("method", ["lanczos", "exact"])
def test_the_optimal_omega_of_a_shifted_grid(shift, beta, omega, method):
    assert beta == pytest.approx(4 * np.cos(np.pi / 11) / (4 + shift), abs=1e-8)
    got = linear.optimal_omega(laplacian(10, shift=shift), method=method, rtol=1e-8)
    assert got == pytest.approx(omega, abs=1e-8)


def test_a_rate_under_a_smaller_omega_tells_the_best_one():
    beta = 0.98
    for w in (1.0, 1.3, 1.5):
        rate = theory.spectral_radius(w, beta)
        assert _cpu_sweeps.better_omega(w, rate) == pytest.approx(2 / (1 + np.sqrt(1 - beta**2)), rel=1e-12)


@pytest.mark.parametrize("method", ["lanczos", "exact"])
@pytest.mark.parametrize("points", [20, 25, 30])
def test_a_singular_matrix_has_no_best_omega(points, method):
    """The Laplacian without a boundary: the spectrum of D^-1 A ends at 0 and 2, at odd eigenvectors too."""
    line = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(points, points)).tolil()
    line[0, 0] = line[-1, -1] = 1.0
    A = sp.csr_array(sp.kron(line, sp.eye_array(points)) + sp.kron(sp.eye_array(points), line))
    with pytest.raises(ValueError, match="below 1"):
        linear.optimal_omega(A, method=method)


def test_the_best_omega_sees_odd_eigenvectors():
    """Bending under tension: the eigenvector of the radius is odd, and orthogonal to ones."""
    A = sp.csr_array(sp.diags_array([0.2, -1.0, 2.45, -1.0, 0.2], offsets=[-2, -1, 0, 1, 2], shape=(30, 30)))
    assert linear.optimal_omega(A, rtol=1e-8) == pytest.approx(
        linear.optimal_omega(A, method="exact"), abs=1e-6
    )


def test_a_matrix_without_such_theory_is_refused():
    with pytest.raises(ValueError, match="below 1, got"):
        linear.optimal_omega(laplacian(6, shift=-1.0))
    with pytest.raises(ValueError, match="positive diagonal"):
        linear.optimal_omega(-laplacian(6))


def test_the_surrogate_is_never_below_the_count():
    A, b, beta = laplacian(10), np.ones(100), np.cos(np.pi / 11)
    grid = np.append(np.linspace(1, 1.9, 91), 1.5604)  # the last one is next to the best
    counts = np.array([linear.sor(A, b, omega=w, rtol=1e-8).nit for w in grid])
    rho = theory.spectral_radius(grid, beta)
    powers = [
        np.linalg.norm(np.linalg.matrix_power(sor_matrix(A, w), k - 1), 2) ** (1 / (k - 1))
        for w, k in zip(grid, counts, strict=True)
    ]
    tau = ((np.array(powers) - rho) / (1 - rho)).max()
    assert tau == pytest.approx(0.181, abs=0.002)
    assert (theory.sor_iterations(grid, beta, 1e-8, tau=tau) >= counts).all()
    assert (theory.sor_iterations(grid, beta, 1e-8, tau=0.0) < counts).any()
    assert theory.sor_iterations(1.0, 0.0, 1e-8) == 1  # a diagonal matrix


def test_axelssons_bound_is_that_of_its_formula(spd):
    A, D, L = parts(spd)
    inverse = np.linalg.inv(A)
    a = np.linalg.eigvals(D @ inverse).real.max()
    b = np.linalg.eigvals((L @ np.linalg.inv(D) @ L.T - D / 4) @ inverse).real.max()
    q = (2 - OMEGAS) / (1 + a * (2 - OMEGAS) ** 2 / (4 * OMEGAS) + b * OMEGAS)
    np.testing.assert_allclose(theory.ssor_condition(spd, OMEGAS), 1 / q, rtol=1e-3)
    assert theory.ssor_condition(spd, 1.3) == pytest.approx(theory.ssor_condition(spd, np.array([1.3]))[0])
    best = 2 / (1 + np.sqrt((2 + 4 * b) / a))
    around = theory.ssor_condition(spd, np.clip(best + np.array([-1e-2, 0, 1e-2]), 1e-3, 1.999))
    assert around.argmin() == 1
    assert around[1] == pytest.approx(0.5 + np.sqrt((0.5 + b) * a), rel=1e-3)


def test_the_preconditioned_spectrum_is_within_its_bound(spd):
    A, D, L = parts(spd)
    for w, kappa in zip(OMEGAS, theory.ssor_condition(spd, OMEGAS), strict=True):
        M = D / w + L
        P = M @ np.linalg.inv(M + M.T - A) @ M.T
        eigenvalues = np.linalg.eigvals(np.linalg.solve(P, A)).real
        assert eigenvalues.max() <= 1 + 1e-10
        assert 1 / eigenvalues.min() <= kappa * (1 + 1e-3)


def test_the_energy_norm_of_a_step_of_sor_is_within_its_bound(spd):
    A, D, L = parts(spd)
    root = sqrtm(A).real
    for w, bound in zip(OMEGAS, theory.sor_contraction(spd, OMEGAS), strict=True):
        E = np.eye(len(A)) - np.linalg.solve(D / w + L, A)
        energy = np.linalg.norm(root @ E @ np.linalg.inv(root), 2)
        assert energy <= bound * (1 + 1e-3) + 1e-7
        assert energy >= max(abs(np.linalg.eigvals(E))) - 1e-7
        assert bound < 1


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_no_count_exceeds_the_bound(make, shift):
    matrices = [make.l_shape(12), make.l_shape(32), laplacian(10), laplacian(30), make.delaunay(200)]
    for matrix in matrices:
        A = sp.csr_array(matrix + shift * sp.eye_array(matrix.shape[0]))
        bound = theory.ssor_cg_iterations(A, OMEGAS, 1e-8)
        for b in (np.ones(A.shape[0]), np.random.default_rng(0).standard_normal(A.shape[0])):
            counts = np.array([linear.ssor_cg(A, b, omega=w, rtol=1e-8).nit for w in OMEGAS])
            assert (counts <= bound).all()
        assert (bound <= 4 * counts).all()


def test_the_least_condition_is_the_root_of_that_of_the_matrix():
    points = np.array([8, 16, 32, 64])
    grid = np.linspace(1, 1.99, 400)
    least = [theory.ssor_condition(laplacian(int(m)), grid).min() for m in points]
    slope = np.polyfit(np.log(points + 1), np.log(np.array(least) - 0.5), 1)[0]
    assert slope == pytest.approx(1.0, abs=0.03)  # that of A has the slope 2


def test_small_systems_and_large_ones_are_the_same_to_the_theory(monkeypatch):
    A = laplacian(7)
    dense = theory.ssor_condition(A, OMEGAS), theory.ssor_cg_iterations(A, OMEGAS, 1e-6)
    monkeypatch.setattr(theory, "DENSE", 10)
    np.testing.assert_allclose(theory.ssor_condition(A, OMEGAS), dense[0], rtol=1e-4)
    assert abs(theory.ssor_cg_iterations(A, OMEGAS, 1e-6) - dense[1]).max() <= 1
    one = sp.csr_array([[3.0]])
    assert theory.ssor_condition(one, 1.0) == pytest.approx(1.0)
    assert theory.ssor_cg_iterations(one, 1.0, 1e-8) == 1


@pytest.mark.parametrize(
    ("call", "fragment"),
    [
        (lambda: theory.spectral_radius(2.0, 0.5), "omega must be above 0 and below 2, got 2.0"),
        (lambda: theory.spectral_radius([1.0, np.nan], 0.5), "omega must be above 0 and below 2, got nan"),
        (lambda: theory.spectral_radius(1.0, 1.0), "beta must be .* below 1, got 1.0"),
        (lambda: theory.sor_iterations(1.0, 0.5, 0.0), "rtol must be .* above 0"),
        (lambda: theory.sor_iterations(1.0, 0.5, 0.1, tau=1.0), "tau must be .* below 1"),
        (lambda: theory.ssor_cg_iterations(laplacian(3), 1.0, 1.0), "rtol must be .* below 1"),
        (lambda: theory.ssor_condition(laplacian(12, shift=-1.0), 1.0), "A must be positive definite"),
        (lambda: theory.ssor_condition(-laplacian(3), 1.0), "A must have a positive diagonal, got -4"),
        (lambda: theory.ssor_condition(np.ones((2, 3)), 1.0), "A must be a square matrix"),
    ],
)
def test_what_has_no_theory_is_refused(call, fragment):
    with pytest.raises(ValueError, match=fragment):
        call()
