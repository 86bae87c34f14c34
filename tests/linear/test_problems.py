"""The test problems: their matrices, their published settings, and what their sequences are told."""

from __future__ import annotations

import numpy as np
import pytest

from numsolve.linear import problems
from numsolve.linear._mesh import Mesh


def test_the_laplacian_has_the_eigenvalues_of_its_grid():
    for dim in (1, 2, 3):
        line = 2 - 2 * np.cos(np.pi * np.arange(1, 6) / 6)
        want = line
        for _ in range(dim - 1):
            want = np.add.outer(want, line).ravel()
        got = np.linalg.eigvalsh(problems.laplacian(5, dim=dim, shift=0.25).toarray())
        np.testing.assert_allclose(got, np.sort(want) + 0.25, rtol=1e-12)


@pytest.mark.parametrize(("variance", "mean"), [("high", 0.25), ("low", 0.25)])
def test_the_shifts(variance, mean):
    systems = list(problems.shifted_laplacians(800, variance, rng=0))
    shifts = np.array([shift for _, _, shift in systems])
    assert -0.15 <= shifts.min() <= shifts.max() <= 0.45
    assert shifts.mean() == pytest.approx(-0.15 + 0.6 * mean, abs=0.02)
    A, b, shift = systems[3]
    np.testing.assert_allclose((A - problems.laplacian(10)).toarray(), shift * np.eye(100), atol=1e-15)
    assert np.linalg.norm(b) <= 10
    again = list(problems.shifted_laplacians(800, variance, rng=0))
    assert np.array_equal(again[-1][1], systems[-1][1])
    assert (shifts.std() > 0.12) == (variance == "high")


def test_the_diffusion():
    t = np.linspace(0, 1, 1001)
    kappa = problems.heat_diffusion(t)
    assert kappa.min() >= 0
    assert kappa.max() == pytest.approx(10)
    assert problems.heat_diffusion(0.25) == pytest.approx(0.1)


def test_the_sine_solver_solves_a_step():
    A, b, kappa = next(problems.heat_equation(30))
    x = problems.sine_solve(b, 0.5e-3 * kappa * 900)
    np.testing.assert_allclose(A @ x, b, atol=1e-14)


def test_a_loop_that_sends_nothing_sees_the_exact_solutions():
    alone = list(problems.heat_equation(20, 40))
    systems = problems.heat_equation(20, 40)
    A, b, _ = next(systems)
    for _, want, _ in alone[1:]:
        A, b, _ = systems.send(np.linalg.solve(A.toarray(), b))
        np.testing.assert_allclose(b, want, atol=1e-12)


def test_steps_of_the_heat_equation_are_of_second_order():
    """Crank-Nicolson against many small steps of the same differential equation."""
    from scipy.integrate import solve_ivp

    nx = 8
    L = -problems.laplacian(nx - 1).toarray() * nx**2
    grid = np.arange(1, nx) / nx
    X, Y = np.meshgrid(grid, grid, indexing="ij")
    start = problems._bump(X, Y, (0.5, 0.5), 0.25)

    def rate(t, u):
        angle = 16 * np.pi * t
        centre = (0.5 + np.cos(angle) / 4, 0.5 + np.sin(angle) / 4)
        return problems.heat_diffusion(t) * (L @ u) + 32 * problems._bump(X, Y, centre, 0.125)

    want = solve_ivp(rate, (0, 0.02), start, rtol=1e-10, atol=1e-12).y[:, -1]
    *_, last = problems.heat_equation(nx, 20)
    A, b, _ = last
    np.testing.assert_allclose(np.linalg.solve(A.toarray(), b), want, atol=2e-4 * abs(want).max())


def test_the_drifting_diffusion_is_symmetric_positive_definite_and_drifts():
    systems = list(problems.drifting_diffusion(8, 900, rng=0))
    for A, b, _ in systems[::300]:
        M = A.toarray()
        np.testing.assert_allclose(M, M.T, atol=1e-14)
        assert np.linalg.eigvalsh(M)[0] > 0
        assert b.shape == (64,)
    first, half = (systems[t][0].toarray() for t in (425, 0))
    assert abs(first[0, 1]) > 5 * abs(half[0, 1])  # across
    assert first[0, 8] == pytest.approx(half[0, 8])  # along
    reactions = np.exp([c for _, _, c in systems])
    assert reactions.max() / reactions.min() > 500


def test_the_mesh_has_the_gradients_of_linear_functions_and_the_energy_of_quadratic_ones():
    mesh = Mesh(300, np.random.default_rng(0))
    assert mesh.areas.sum() == pytest.approx(1.0)
    x, y = mesh.points.T
    full = 2 * x - 3 * y
    inner = (mesh.triangles < 300).all(axis=1)
    np.testing.assert_allclose(mesh.gradient(full)[inner], np.tile([2.0, -3.0], (inner.sum(), 1)))
    # the solution of -Laplace u = 1 on the square has the mean 0.035144
    K = mesh.stiffness(np.tile(np.eye(2), (len(mesh.areas), 1, 1)), np.zeros(300))
    u = np.linalg.solve(K.toarray(), mesh.mass)
    assert mesh.mass @ u == pytest.approx(0.035144, rel=0.03)
    # the divergence is the gradient's transpose
    flux = np.random.default_rng(1).standard_normal((len(mesh.areas), 2))
    want = np.sum(mesh.areas[:, None] * flux * mesh.gradient(u))
    assert mesh.divergence(flux) @ u == pytest.approx(want)
    np.testing.assert_allclose(mesh.divergence(mesh.gradient(u)), K @ u, atol=1e-12)


def test_the_heated_mesh_has_symmetric_positive_definite_steps_of_many_sizes():
    steps = list(problems.heated_mesh(60, 300, rng=0))
    for A, b, _ in steps[::60]:
        M = A.toarray()
        np.testing.assert_allclose(M, M.T, atol=1e-14)
        assert np.linalg.eigvalsh(M)[0] > 0
        assert b.shape == (60,)
    sizes = np.exp([c for _, _, c in steps])
    assert sizes.min() == pytest.approx(1e-4)
    assert sizes.max() == pytest.approx(1e-2)


def test_the_newton_steps_are_those_of_the_energy():
    """Sent a tiny part of each step: the matrices are the derivatives of the right-hand sides."""
    systems = problems.newton_steps(40, 400, rng=0)
    A, b, _ = next(systems)
    for _ in range(10):
        step = 1e-4 * np.linalg.solve(A.toarray(), b)
        before, change = b, A @ step
        A, b, _ = systems.send(step)
        np.testing.assert_allclose(before - b, change, atol=2e-3 * abs(change).max())
    residuals = {}
    for _, b, p in problems.newton_steps(40, 400, rng=0):
        residuals.setdefault(p, []).append(np.linalg.norm(b))
    finished = list(residuals.values())[:-1]
    assert np.mean([r[-1] < 0.1 * r[0] for r in finished]) > 0.8
    assert max(len(r) for r in finished) <= 15
