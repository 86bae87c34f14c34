"""Derivatives of the solutions of monotone inclusions, games and linear programs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numsolve import implicit, monotone
from numsolve.monotone import optimality


def monotone_problem():
    """A strongly monotone matrix and a right-hand side whose solution has free and fixed entries."""
    rng = np.random.default_rng(0)
    S, K = rng.standard_normal((2, 6, 6))
    return S @ S.T / 6 + np.eye(6) + (K - K.T) / 4, rng.standard_normal(6)


@pytest.mark.parametrize("method", ["halpern", "eag", "popov", "eg"])
@pytest.mark.parametrize("gamma", [0.05, 0.2])
def test_a_constrained_inclusion_moves_on_its_free_entries(gamma, method):
    A, b = monotone_problem()

    def operator(u, b):
        return A @ u - b

    # the symmetric part is at least the identity: cocoercive with 1 / |A|^2
    L = np.linalg.norm(A, 2)
    u = monotone.halpern(
        lambda u: operator(u, b),
        np.zeros(6),
        L=L**2 if method == "halpern" else L,
        method=method,
        restart="adaptive" if method in {"halpern", "eag"} else None,
        tol=1e-11,
        prox=monotone.prox_nonnegative,
        maxiter=100_000,
    ).x
    residual = optimality.inclusion(operator, lambda v, _: np.maximum(v, 0.0), gamma=gamma)
    assert np.abs(residual(u, b)).max() < 1e-9
    J = implicit.solution_jacobian(residual, u, b, method="central") @ np.eye(6)
    free = np.flatnonzero(u > 1e-6)
    assert 0 < free.size < 6
    exact = np.zeros((6, 6))
    exact[np.ix_(free, free)] = np.linalg.inv(A[np.ix_(free, free)])
    assert_allclose(J, exact, atol=1e-7)


def test_a_mean_of_many_operators_by_its_data():
    """Nonnegative least squares: on the support, the derivative of the normal equations."""
    rng = np.random.default_rng(1)
    Z, b = rng.normal(size=(300, 5)), rng.normal(size=300) + 0.2

    def operator(u, b):
        return Z.T @ (Z @ u - b) / 300

    u = monotone.vr_halpern(
        monotone.AffineFiniteSum(Z, b), np.zeros(5), prox=monotone.prox_nonnegative, tol=1e-10, rng=0
    ).x
    residual = optimality.inclusion(operator, monotone.prox_nonnegative)
    assert np.abs(residual(u, b)).max() < 1e-9
    tangent = rng.normal(size=300)
    moved = implicit.solution_jacobian(residual, u, b, method="central") @ tangent
    free = u > 1e-6
    assert 0 < free.sum() < 5
    exact = np.zeros(5)
    exact[free] = np.linalg.lstsq(Z[:, free], tangent, rcond=None)[0]
    assert_allclose(moved, exact, atol=1e-8)


def test_a_game_by_its_payoffs():
    """The value moves by y' dA x, and a completely mixed strategy as its linear system says."""
    payoffs = np.array([[0.0, -1.0, 2.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.3]])
    game = monotone.solve_game(payoffs, tol=1e-11)
    assert game.success
    assert min(game.x.min(), game.y.min()) > 0.1

    def operator(u, A):
        return np.concatenate([A.T @ u[3:], -A @ u[:3]])

    def simplices(v, _):
        return np.concatenate([monotone.project_simplex(v[:3]), monotone.project_simplex(v[3:])])

    F = optimality.inclusion(lambda u, A: operator(u, A.reshape(3, 3)), simplices, gamma=0.1)
    u = np.concatenate([game.x, game.y])
    J = implicit.solution_jacobian(F, u, payoffs.ravel(), method="central")
    tangent = np.random.default_rng(2).normal(size=(3, 3))
    du = J @ tangent.ravel()

    def mixed(A):  # A x = v 1, A'y = v 1
        x, y = np.linalg.solve(A, np.ones(3)), np.linalg.solve(A.T, np.ones(3))
        return np.concatenate([x / x.sum(), y / y.sum()]), 1 / x.sum()

    assert_allclose(u, mixed(payoffs)[0], atol=1e-8)
    h = 1e-5
    (plus, v_plus), (minus, v_minus) = (mixed(payoffs + s * tangent) for s in (h, -h))
    assert_allclose(du, (plus - minus) / (2 * h), atol=1e-7)
    assert game.y @ tangent @ game.x == pytest.approx((v_plus - v_minus) / (2 * h), abs=1e-8)


@pytest.fixture
def program():
    """A program with a unique vertex: inequalities, an equation, bounds, some of each active."""
    rng = np.random.default_rng(3)
    A_ub, A_eq = rng.random((4, 6)), rng.random((1, 6))
    b_ub, b_eq = A_ub @ np.full(6, 0.4) + 0.05, A_eq @ np.full(6, 0.4)
    return -rng.random(6), A_ub, b_ub, A_eq, b_eq


def conditions(z, c, A, b):
    lc = np.array([-np.inf] * 4 + [0.0]) + b * np.array([0, 0, 0, 0, 1])
    return optimality.linear_program(z, c, A, lc, b, 0.0, 1.0)


def test_a_linear_program_by_its_cost_its_matrix_and_its_sides(program):
    c, A_ub, b_ub, A_eq, b_eq = program
    result = monotone.linprog(c, A_ub, b_ub, A_eq, b_eq, bounds=(0, 1), tol=1e-11)
    A, b = np.concatenate([A_ub, A_eq]), np.concatenate([b_ub, b_eq])
    y = np.concatenate([result.ineqlin.marginals, result.eqlin.marginals])
    assert max(np.abs(part).max() for part in conditions((result.x, y), c, A, b)) < 1e-8

    basic = (result.x > 1e-6) & (result.x < 1 - 1e-6)
    tight = np.abs(y) > 1e-6
    assert basic.sum() == tight.sum() >= 2
    B = A[np.ix_(tight, basic)]

    def flat(z, theta):
        parts = conditions((z[:6], z[6:]), theta[:6], theta[6:36].reshape(5, 6), theta[36:])
        return np.concatenate(parts)

    theta = np.concatenate([c, A.ravel(), b])
    J = implicit.solution_jacobian(flat, np.concatenate([result.x, y]), theta, method="central")
    tangent = np.random.default_rng(4).normal(size=theta.size)
    moved = J @ tangent
    dc, dA, db = tangent[:6], tangent[6:36].reshape(5, 6), tangent[36:]
    dx, dy = np.zeros(6), np.zeros(5)
    dx[basic] = np.linalg.solve(B, (db - dA @ result.x)[tight])
    dy[tight] = np.linalg.solve(B.T, (dc - dA.T @ y)[basic])
    assert_allclose(moved, np.concatenate([dx, dy]), atol=1e-6 * np.abs(moved).max())
    # the value: multipliers and the solution, as the envelope theorem has them
    slope = c @ dx + dc @ result.x
    assert slope == pytest.approx(dc @ result.x + y @ (db - dA @ result.x), rel=1e-7)


def test_a_linear_program_as_a_function_of_jax(program):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    c, A_ub, b_ub, A_eq, b_eq = program
    A, b = np.concatenate([A_ub, A_eq]), np.concatenate([b_ub, b_eq])
    lc = np.concatenate([np.full(4, -np.inf), b_eq])

    def host(_, c, b):
        result = monotone.solve_lp(c, A, lc, b, 0.0, 1.0, tol=1e-11)
        return result.x, result.y

    solution = implicit.differentiable(
        host, lambda z, c, b: optimality.linear_program(z, c, jnp.asarray(A), lc, b, 0.0, 1.0)
    )
    start = (jnp.zeros(6), jnp.zeros(5))

    def value(b):
        return c @ solution(start, c, b)[0]

    slope = jax.grad(value)(jnp.asarray(b))
    want = monotone.solve_lp(c, A, lc, b, 0.0, 1.0, tol=1e-11).y
    assert_allclose(slope[:4], want[:4], atol=1e-8)
