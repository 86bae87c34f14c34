"""The test problems: their matrices, their published settings, and what their sequences are told."""

from __future__ import annotations

import numpy as np
import pytest

from numsolve.linear import problems


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
