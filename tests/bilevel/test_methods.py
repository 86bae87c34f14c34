"""The methods against closed forms and against each other."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar

from numsolve import ConvergenceWarning, Status, bilevel

QUADRATIC = bilevel.problems.quadratic(20, 4, rng=0)
SOLUTION, X = QUADRATIC.solution()
START = np.zeros(4), np.zeros(20)


def cost_to(result, value):
    """What had been paid when the upper objective first was at most a value."""
    reached = result.history.cost[result.history.fun <= value]
    return reached[0] if reached.size else np.inf


def digits(n=300):
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(23).permutation(len(X))
    train, val = order[:n], order[n : 2 * n]
    return bilevel.problems.multinomial_logistic(X[train] / 16, y[train], X[val] / 16, y[val])


@pytest.mark.parametrize(("method", "tol"), [("qn", 1e-7), ("maid", 1e-2), ("penalty", 1e-2), ("hoag", 3.0)])
def test_the_solution_of_a_quadratic_is_found(method, tol):
    result = bilevel.minimize_bilevel(QUADRATIC, *START, method=method, tol=tol)
    assert result.success
    truth = np.linalg.norm(QUADRATIC.exact_hypergradient(result.theta))
    assert truth <= tol
    # The upper objective is at least r-strongly convex in theta.
    assert np.linalg.norm(result.theta - SOLUTION) <= tol / QUADRATIC.r
    assert result.cost == result.nfev + result.nhvp


def test_the_residual_bounds_the_true_hypergradient_at_every_point():
    seen = []
    result = bilevel.minimize_bilevel(QUADRATIC, *START, callback=lambda theta: seen.append(theta.copy()))
    truth = [np.linalg.norm(QUADRATIC.exact_hypergradient(theta)) for theta in seen]
    assert (np.array(truth) <= result.history.residual[1:] * (1 + 1e-12)).all()
    assert result.certified


def test_the_bounds_of_theta_hold_and_the_kkt_conditions_with_them():
    high = SOLUTION.copy()
    high[0] -= 0.5
    start = np.minimum(START[0], high)
    result = bilevel.minimize_bilevel(QUADRATIC, start, START[1], theta_bounds=(None, high))
    assert result.success
    assert (result.theta <= high).all()
    d = QUADRATIC.exact_hypergradient(result.theta)
    held = result.theta == high
    assert held.any()
    assert (d[held] < 1e-6).all()
    assert_allclose(d[~held], 0, atol=2e-6)


def test_ridge_regression_with_one_penalty_agrees_with_a_scalar_search():
    rng = np.random.default_rng(1)
    A, V = rng.normal(size=(30, 6)), rng.normal(size=(20, 6))
    truth = rng.normal(size=6)
    b, c = A @ truth + 2 * rng.normal(size=30), V @ truth + 2 * rng.normal(size=20)
    solve = lambda t: np.linalg.solve(A.T @ A + np.exp(t) * np.eye(6), A.T @ b)  # noqa: E731
    problem = bilevel.BilevelProblem(
        lambda x, t: 0.5 * np.sum((V @ x - c) ** 2),
        lambda x, t: 0.5 * np.sum((A @ x - b) ** 2) + 0.5 * np.exp(t) * (x @ x),
        upper_grad=lambda x, t: (V.T @ (V @ x - c), None),
        lower_grad=lambda x, t: A.T @ (A @ x - b) + np.exp(t) * x,
        lower_hvp=lambda x, t, v: A.T @ (A @ v) + np.exp(t) * v,
        lower_cross_vjp=lambda x, t, q: np.exp(t) * (x @ q),
        mu=lambda t: np.linalg.eigvalsh(A.T @ A)[0] + np.exp(float(t)),
    )
    result = bilevel.minimize_bilevel(problem, np.float64(0.0), np.zeros(6), tol=1e-9)
    assert result.theta.shape == ()
    best = minimize_scalar(
        lambda t: 0.5 * np.sum((V @ solve(t) - c) ** 2),
        bounds=(-5, 8),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert result.fun == pytest.approx(best.fun, rel=1e-10)


def test_the_default_needs_a_twentieth_of_maids_cost_on_its_quadratic_problem():
    problem = bilevel.problems.least_squares(rng=0)
    start = np.zeros(10), np.zeros(10)
    ours = bilevel.minimize_bilevel(problem, *start, tol=1e-4)
    with pytest.warns(ConvergenceWarning):
        maid = bilevel.minimize_bilevel(problem, *start, method="maid", max_cost=7000)
    first = ours.history.fun[0]
    gap = lambda share: problem.optimum + share * (first - problem.optimum)  # noqa: E731
    assert cost_to(ours, gap(1e-1)) < cost_to(maid, gap(1e-1))
    assert 20 * cost_to(ours, gap(1e-2)) <= min(cost_to(maid, gap(1e-2)), maid.cost)
    assert ours.success


@pytest.mark.slow
def test_the_default_needs_a_twentieth_of_maids_cost_on_digits():
    problem = digits()
    start = np.full((64, 10), -3.0), np.zeros((64, 10))
    with pytest.warns(ConvergenceWarning):
        maid = bilevel.minimize_bilevel(problem, *start, method="maid", max_cost=10_000)
    with pytest.warns(ConvergenceWarning):
        ours = bilevel.minimize_bilevel(problem, *start, max_cost=500)
    assert 20 * cost_to(ours, maid.fun) <= maid.cost


def test_maid_ends_at_the_same_place_from_accuracies_and_steps_over_four_decades():
    ends = [
        bilevel.minimize_bilevel(QUADRATIC, *START, method="maid", tol=0.1, eps=eps, delta=eps, step=step)
        for eps, step in [(1e-3, 0.01), (10.0, 0.01), (0.1, 1e-3), (0.1, 10.0)]
    ]
    assert all(end.success for end in ends)
    funs = [end.fun for end in ends]
    assert max(funs) - min(funs) <= 0.1**2 / QUADRATIC.r  # |d|^2 / (2 r) each


def test_the_bias_of_the_penalty_is_of_first_order_and_richardsons_of_second():
    theta, truth = np.ones(4), QUADRATIC.exact_hypergradient(np.ones(4))
    sigmas = np.array([1e-2, 5e-3, 2.5e-3, 1.25e-3])
    errors = {1: [], 2: []}
    for order, found in errors.items():
        for sigma in sigmas:
            result = bilevel.hypergradient(
                QUADRATIC, theta, START[1], method="penalty", sigma=sigma, order=order, tol=1e3
            )
            found.append(np.linalg.norm(result.grad - truth))
    slopes = {order: np.polyfit(np.log(sigmas), np.log(found), 1)[0] for order, found in errors.items()}
    assert slopes[1] == pytest.approx(1.0, abs=0.15)
    assert slopes[2] == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("n", [10, 100])
def test_the_coupled_toy_is_solved_in_few_evaluations(n):
    exact = np.concatenate([np.full(n, -0.3), np.full(n, 0.7), np.full(n, -0.4)])
    evaluations = {}

    def run(tol):
        result = bilevel.minimize_bilevel(
            bilevel.problems.coupled_toy(n), np.full(n, 10.0), np.full(2 * n, 10.0), method="lvhba", tol=tol
        )
        assert result.success
        error = np.linalg.norm(np.concatenate([result.theta, result.x]) - exact)
        assert error <= tol  # the residual is the estimated error
        return error / np.linalg.norm(exact), result.nupper

    for target, tol in ((1e-3, 1e-3), (1e-6, 1e-6)):
        error, evaluations[target] = run(tol * np.linalg.norm(exact))
        assert error <= target
    assert evaluations[1e-3] <= 150


def test_coupled_inequalities_hold_and_the_optimum_is_found():
    one = [[1.0]]
    problem = bilevel.BilevelProblem(
        lambda x, t: 0.5 * np.sum((x - 2) ** 2) + 0.5 * np.sum((t - 1) ** 2),
        lambda x, t: 0.5 * np.sum((x - t) ** 2),
        upper_grad=lambda x, t: (x - 2, t - 1),
        lower_grad=lambda x, t: x - t,
        lower_hvp=lambda x, t, v: v,
        lower_grad_theta=lambda x, t: t - x,
        lower_ineq=(one, one, [1.0]),
    )
    result = bilevel.minimize_bilevel(problem, [0.0], [0.0], method="lvhba", tol=1e-4)
    assert result.x[0] + result.theta[0] <= 1 + 1e-12
    assert_allclose([result.x[0], result.theta[0]], 0.5, atol=1e-4)  # x*(t) = min(t, 1 - t)


def test_the_penalty_method_takes_constraints_on_the_lower_variable():
    """x*(t) = max(t, 0) for f = |x - t|^2/2 on x >= 0, and F = |x - 1|^2/2 + |t - 3|^2/8."""
    problem = bilevel.BilevelProblem(
        lambda x, t: 0.5 * np.sum((x - 1) ** 2) + 0.125 * np.sum((t - 3) ** 2),
        lambda x, t: 0.5 * np.sum((x - t) ** 2),
        upper_grad=lambda x, t: (x - 1, 0.25 * (t - 3)),
        lower_grad=lambda x, t: x - t,
        lower_grad_theta=lambda x, t: t - x,
        lower_project=lambda x, step: np.maximum(x, 0.0),
        L=1.0,
        lipschitz_upper=1.0,
    )
    result = bilevel.minimize_bilevel(problem, [2.0], [0.0], method="penalty", tol=1e-5)
    assert result.success
    assert_allclose([result.theta[0], result.x[0]], 1.4, atol=1e-4)
    assert result.nproj > 0


def test_single_loops_come_near():
    with pytest.warns(ConvergenceWarning):
        penalty = bilevel.minimize_bilevel(
            QUADRATIC, *START, method="penalty-single", maxiter=1500, tol=1e-8, step=0.2
        )
    assert np.linalg.norm(penalty.theta - SOLUTION) < 0.3 * np.linalg.norm(SOLUTION)
    easy = bilevel.problems.quadratic(6, 2, kappa=2.0, rng=0)
    soba = bilevel.minimize_bilevel(easy, np.zeros(2), np.zeros(6), method="soba", step=1.5, tol=0.01)
    assert soba.success
    assert np.linalg.norm(soba.theta - easy.solution()[0]) < 0.01 / easy.r


def test_eight_starts_and_three_steps_never_diverge():
    """Twelve penalties of logistic regression, no bounds: some are best at infinity, and may go there."""
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = datasets.load_iris(return_X_y=True)
    problem = bilevel.problems.multinomial_logistic(X[::2], y[::2], X[1::2], y[1::2])
    rng = np.random.default_rng(0)
    for _ in range(8):
        start = rng.uniform(-4, 2, (4, 3))
        for step in (0.1, 10.0, 1000.0):
            with pytest.warns(ConvergenceWarning):
                result = bilevel.minimize_bilevel(
                    problem, start, np.zeros((4, 3)), step=step, max_cost=300, check=False
                )
            assert result.status is Status.MAXITER
            assert result.fun < result.history.fun[0]
            assert np.isfinite(result.theta).all()
            assert (np.diff(result.history.fun) < 1e-9).all()


def test_sample_weights_of_support_vectors_lower_the_validation_loss_by_true_derivatives():
    rng = np.random.default_rng(0)
    X, V = rng.normal(size=(40, 3)), rng.normal(size=(30, 3))
    y, w = np.sign(X[:, 0] + rng.normal(size=40)), np.sign(V[:, 0] + 0.3)
    problem = bilevel.problems.svm_sample_weights(X, y, V, w)
    theta, x, h = np.full(40, -2.0), np.array([1.0, 0.0, 0.0, 0.0]), 1e-4
    phi = lambda t: bilevel.hypergradient(problem, t, x, tol=1e-9).fun  # noqa: E731
    d = bilevel.hypergradient(problem, theta, x, tol=1e-9).grad  # derivatives are checked on the way
    along = rng.normal(size=40)
    assert d @ along == pytest.approx((phi(theta + h * along) - phi(theta - h * along)) / (2 * h), rel=1e-4)
    result = bilevel.minimize_bilevel(problem, theta, x, theta_bounds=(-8, 4), tol=1e-3)
    assert result.fun < 0.5 * result.history.fun[0]


def test_an_own_lower_solver_is_used_and_measured():
    calls = []

    def solver(theta, x, tol):
        calls.append(tol)
        return np.linalg.solve(QUADRATIC.H, QUADRATIC.B @ theta + QUADRATIC.d)

    names = ("upper_grad", "lower_grad", "lower_hvp", "lower_cross_vjp")
    problem = bilevel.BilevelProblem(
        QUADRATIC.upper, QUADRATIC.lower, mu=0.1, lower_solver=solver,
        **{name: getattr(QUADRATIC, name) for name in names},
    )  # fmt: skip
    result = bilevel.minimize_bilevel(problem, *START, tol=1e-6)
    assert result.success
    assert calls
    assert_allclose(result.theta, SOLUTION, atol=1e-5)


def test_a_warm_start_from_a_result_costs_little():
    first = bilevel.minimize_bilevel(QUADRATIC, *START, tol=1e-6)
    again = bilevel.minimize_bilevel(QUADRATIC, first.theta, first.x, tol=1e-5)
    assert again.nit == 0
    assert again.cost < 0.3 * first.cost


@pytest.mark.parametrize("method", ["qn", "maid", "hoag", "penalty"])
def test_numbers_whose_squares_overflow_are_measured(method):
    """x* = theta / 1e160: each norm is a float, its square is none."""
    size, target = 1e160, np.ones(3)
    problem = bilevel.BilevelProblem(
        lambda x, t: 0.5 * (x - target) @ (x - target),
        lambda x, t: 0.5 * (x - t / size) @ (x - t / size),
        upper_grad=lambda x, t: (x - target, None),
        lower_grad=lambda x, t: x - t / size,
        lower_hvp=lambda x, t, v: v,
        lower_cross_vjp=lambda x, t, q: -q / size,
        lower_grad_theta=lambda x, t: (t / size - x) / size,
        mu=1.0,
        L=1.0,
    )
    result = bilevel.minimize_bilevel(problem, np.full(3, size), np.zeros(3), method=method, tol=1e-12)
    assert result.success
    assert_allclose(result.x, target, rtol=1e-6)
