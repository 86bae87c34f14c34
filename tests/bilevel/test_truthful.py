"""What a run claims is true: problems whose answers mislead a test of success."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from numsolve import ConvergenceWarning, Status, bilevel

QUADRATIC = bilevel.problems.quadratic(10, 3, rng=0)
NAMES = ("upper_grad", "lower_grad", "lower_hvp", "lower_cross_vjp", "lower_grad_theta")
THETA, X0 = np.zeros(3), np.zeros(10)
ONE = np.ones(3)


def changed(**oracles):
    """The quadratic problem with other oracles, and no constants but those given."""
    given = {name: getattr(QUADRATIC, name) for name in NAMES}
    return bilevel.BilevelProblem(QUADRATIC.upper, QUADRATIC.lower, **{**given, **oracles})


def true_norm(theta):
    return np.linalg.norm(QUADRATIC.exact_hypergradient(theta))


def lower_solution(theta):
    return np.linalg.solve(QUADRATIC.H, QUADRATIC.B @ theta + QUADRATIC.d)


@pytest.mark.parametrize("problem", [QUADRATIC, changed(), changed(mu=0.1)], ids=["all", "none", "mu"])
def test_a_linear_solver_that_returns_zero_is_no_success(problem):
    with pytest.warns(ConvergenceWarning, match="adjoint system was not solved"):
        result = bilevel.minimize_bilevel(problem, THETA, X0, solve=lambda product, b, **kw: 0 * b)
    assert result.status is Status.STAGNATED


def test_a_lower_solver_that_stays_away_from_the_solution_is_no_success():
    shift = np.linalg.solve(QUADRATIC.H, np.ones(10))

    def sloppy(theta, x, tol):
        x = lower_solution(theta)
        return x + 1e-7 * np.linalg.norm(x) * shift

    with pytest.warns(ConvergenceWarning, match="lower_solver ended"):
        result = bilevel.hypergradient(changed(lower_solver=sloppy), ONE, X0)
    assert not result.success


def test_the_error_of_unrolled_steps_is_theirs_and_not_that_of_a_solve():
    result = bilevel.hypergradient(
        QUADRATIC, ONE, lower_solution(ONE), method="unrolled", solve="dense", n_steps=3, tol=1e4
    )
    error = np.linalg.norm(result.grad - QUADRATIC.exact_hypergradient(ONE))
    assert 1.0 < error <= result.error_bound


def buffered(function, size):
    """The function, which returns the same array at each call."""
    kept = np.empty(size)

    def call(*arguments):
        kept[:] = function(*arguments)
        return kept

    return call


@pytest.mark.parametrize(
    ("name", "size", "method"),
    [("lower_grad", 10, "qn"), ("lower_grad_theta", 3, "penalty"), ("lower_cross_vjp", 3, "qn")],
)
def test_functions_may_return_the_same_buffer_each_time(name, size, method):
    own = {name: buffered(getattr(QUADRATIC, name), size)}
    problem = changed(mu=0.1, L=1.0, lipschitz_upper=1.0, **own)
    result = bilevel.minimize_bilevel(problem, THETA, X0, method=method, tol=1e-2)
    assert result.success
    assert true_norm(result.theta) <= 1e-2


def test_a_projection_of_theta_may_return_a_buffer():
    problem = changed(L=1.0, lipschitz_upper=1.0, theta_project=buffered(lambda t: t, 3))
    result = bilevel.minimize_bilevel(problem, THETA, X0, method="penalty", tol=0.1)
    assert result.success
    assert true_norm(result.theta) <= 0.1


def test_a_lower_solver_may_write_into_its_guess():
    def solver(theta, x, tol):
        x[...] = lower_solution(theta)
        return x

    start = np.zeros(10)
    result = bilevel.minimize_bilevel(changed(mu=0.1, lower_solver=solver), THETA, start)
    assert result.success
    assert true_norm(result.theta) <= 1e-6
    assert (start == 0).all()


def flat(least, **constants):
    """F = x_1 + x_2 / 1000, f = (x_1^2 + least x_2^2) / 2 - x_2 theta: the hypergradient is 1e-3 / least."""
    H, c, b = np.diag([1.0, least]), np.array([0.0, 1.0]), np.array([1.0, 1e-3])
    return bilevel.BilevelProblem(
        lambda x, t: b @ x,
        lambda x, t: 0.5 * x @ H @ x - c @ x * t[0],
        upper_grad=lambda x, t: (b, None),
        lower_grad=lambda x, t: H @ x - c * t[0],
        lower_hvp=lambda x, t, v: H @ v,
        lower_cross_vjp=lambda x, t, q: np.array([-(c @ q)]),
        **constants,
    )


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("constants", [{}, {"mu": 1e-6}])
def test_a_loose_first_solve_that_misses_the_flattest_direction_is_not_believed(check, constants):
    start = [1.0], np.array([0.0, 1e6])
    problem = flat(1e-6, **constants)
    result = bilevel.hypergradient(problem, *start, tol=1e-2, check=check)
    assert result.grad[0] == pytest.approx(1e3)
    with pytest.warns(ConvergenceWarning):
        best = bilevel.minimize_bilevel(problem, *start, tol=1e-2, check=check, maxiter=3)
    assert not best.success


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_certificate_counts_rounding(dtype):
    """f = 3 x^2 / 2 - x theta and F = x: the hypergradient 1/3 is no floating-point number."""
    problem = bilevel.BilevelProblem(
        lambda x, t: x[0],
        lambda x, t: 1.5 * x[0] ** 2 - x[0] * t[0],
        upper_grad=lambda x, t: (np.ones_like(x), None),
        lower_grad=lambda x, t: 3 * x - t.astype(x.dtype),
        lower_hvp=lambda x, t, v: 3 * v,
        lower_cross_vjp=lambda x, t, q: -q,
        mu=3.0, L=3.0, lipschitz_upper=0.0, lipschitz_hess=0.0, lipschitz_cross=0.0, cross_norm=1.0,
    )  # fmt: skip
    with pytest.warns(ConvergenceWarning):
        result = bilevel.hypergradient(problem, [1.0], np.zeros(1, dtype), tol=0.0)
    assert 0.0 < result.error_bound < 100 * np.finfo(dtype).eps
    assert abs(result.grad[0] - 1 / 3) <= result.error_bound


def test_bounds_and_a_projection_together_are_refused():
    problem = changed(theta_project=lambda t: t)
    with pytest.raises(ValueError, match="exclude each other"):
        bilevel.minimize_bilevel(problem, THETA, X0, method="penalty", theta_bounds=(-0.1, 0.1))


def test_a_bound_of_another_shape_is_named():
    with pytest.raises(ValueError, match="theta_bounds must be numbers or of theta0's shape"):
        bilevel.minimize_bilevel(QUADRATIC, THETA, X0, theta_bounds=(np.zeros(2), None))


def test_an_objective_that_is_no_number_is_named():
    problem = bilevel.BilevelProblem(
        QUADRATIC.upper, lambda x, t: np.ones(3), **{name: getattr(QUADRATIC, name) for name in NAMES}
    )
    with pytest.raises(ValueError, match="lower must return a number"):
        bilevel.minimize_bilevel(problem, THETA, X0)


def test_a_lower_newton_step_out_of_the_domain_is_shortened():
    """f = e^theta x - log x, so that x* = e^-theta; F = (x - 2)^2 / 2 has its optimum at theta = -log 2."""
    problem = bilevel.BilevelProblem(
        lambda x, t: 0.5 * (x[0] - 2) ** 2,
        lambda x, t: np.exp(t[0]) * x[0] - np.log(x[0]),
        upper_grad=lambda x, t: (x - 2, None),
        lower_grad=lambda x, t: np.exp(t) - 1 / np.where(x > 0, x, np.nan),
        lower_hvp=lambda x, t, v: v / x**2,
        lower_cross_vjp=lambda x, t, q: np.exp(t) * q,
    )
    with np.errstate(invalid="ignore"):
        result = bilevel.minimize_bilevel(problem, [0.0], np.array([10.0]))
    assert result.success
    assert result.theta[0] == pytest.approx(-np.log(2), abs=1e-5)


def test_a_step_to_where_the_constants_are_no_numbers_is_shortened():
    rng = np.random.default_rng(1)
    data = [part for _ in range(2) for part in (rng.normal(size=(20, 3)), rng.integers(0, 2, 20))]
    problem = bilevel.problems.multinomial_logistic(*data)
    with pytest.warns(ConvergenceWarning), np.errstate(over="ignore"):
        result = bilevel.minimize_bilevel(problem, np.zeros((3, 2)), np.zeros((3, 2)), step=2000.0, maxiter=5)
    assert result.status is not Status.NONFINITE
    assert result.nit > 0
    assert result.fun < result.history.fun[0]


def of_rows(weights):
    """F and f are means over rows w (x - 3) and w (x - theta), of which most weights may be zero."""
    mean = lambda batch: np.mean((weights if batch is None else weights[batch]) ** 2)  # noqa: E731
    return bilevel.BilevelProblem(
        lambda x, t, batch: 0.5 * mean(batch) * (x[0] - 3) ** 2,
        lambda x, t, batch: 0.5 * mean(batch) * (x[0] - t[0]) ** 2,
        upper_grad=lambda x, t, batch: (mean(batch) * (x - 3), None),
        lower_grad=lambda x, t, batch: mean(batch) * (x - t),
        lower_hvp=lambda x, t, v, batch: mean(batch) * v,
        lower_cross_vjp=lambda x, t, q, batch: -mean(batch) * q,
        lower_grad_theta=lambda x, t, batch: mean(batch) * (t - x),
        samples=(len(weights), len(weights)), L=1.0, lipschitz_upper=1.0,
    )  # fmt: skip


@pytest.mark.parametrize("method", ["soba", "penalty-single"])
def test_a_batch_in_which_all_is_zero_is_no_success(method):
    problem = of_rows(np.r_[np.ones(5), np.zeros(45)])
    with pytest.warns(ConvergenceWarning):
        result = bilevel.minimize_bilevel(
            problem, [0.0], [0.0], method=method, batch_size=1, rng=0, maxiter=5, tol=1e-3
        )
    assert result.status is Status.MAXITER
    assert result.fun == pytest.approx(problem.upper(result.x, result.theta, None))
    assert result.residual > 0.01


def test_a_batch_as_large_as_the_samples_holds_each_once():
    drawn = []
    problem = of_rows(np.ones(4))
    whole = problem.lower_grad
    problem.lower_grad = lambda x, t, batch: drawn.append(batch) or whole(x, t, batch)
    with pytest.warns(ConvergenceWarning):
        bilevel.minimize_bilevel(
            problem, [0.0], [0.0], method="soba", batch_size=9, check=False, maxiter=2, tol=1e-9
        )
    assert all(batch is None or sorted(batch) == [0, 1, 2, 3] for batch in drawn)
    assert any(batch is not None for batch in drawn)


def tiny(least=1e-4):
    """F = ((x - 1)^2 + 1e7 theta^2) / 2, f = least x^2 / 2 - x theta: from x = 1 all gradients are small."""
    return bilevel.BilevelProblem(
        lambda x, t: 0.5 * (x[0] - 1) ** 2 + 0.5e7 * t[0] ** 2,
        lambda x, t: 0.5 * least * x[0] ** 2 - x[0] * t[0],
        upper_grad=lambda x, t: (x - 1, 1e7 * t),
        lower_grad=lambda x, t: least * x - t,
        lower_hvp=lambda x, t, v: least * v,
        lower_cross_vjp=lambda x, t, q: -q,
        lower_grad_theta=lambda x, t: -x,
        L=1.0, lipschitz_upper=1.0,
    )  # fmt: skip


@pytest.mark.parametrize("method", ["soba", "penalty", "penalty-single"])
def test_small_gradients_of_a_flat_lower_problem_are_no_success(method):
    with pytest.warns(ConvergenceWarning):
        result = bilevel.minimize_bilevel(
            tiny(), [0.0], [1.0], method=method, tol=1e-2, maxiter=3, max_cost=2000, check=False
        )
    assert not result.success


def test_maid_ends_where_rounding_ends_it():
    solution, x = QUADRATIC.solution()
    with pytest.warns(ConvergenceWarning):
        result = bilevel.minimize_bilevel(
            QUADRATIC, solution, x, method="maid", tol=0.0, maxiter=2, max_cost=20_000
        )
    assert result.status is Status.STAGNATED


def test_differences_stay_within_the_bounds_of_theta_and_where_x_is_defined():
    """f = x^2 / 2 - sqrt(theta) x - log(x) / 1000 is defined for theta >= 0 and x > 0 only."""
    problem = bilevel.BilevelProblem(
        lambda x, t: 0.5 * np.sum((x - 2) ** 2),
        lambda x, t: 0.5 * x[0] ** 2 - np.sqrt(t[0]) * x[0] - 1e-3 * np.log(x[0]),
        upper_grad=lambda x, t: (x - 2, None),
        lower_grad=lambda x, t: x - np.sqrt(t) - 1e-3 / np.where(x > 0, x, np.nan),
        lower_hvp=lambda x, t, v: v * (1 + 1e-3 / x**2),
        lower_cross_vjp=lambda x, t, q: -0.5 / np.sqrt(t) * q,
        theta_bounds=(1e-6, None),
        mu=1.0,
    )
    with np.errstate(invalid="raise"):
        result = bilevel.minimize_bilevel(problem, [1e-6], [1.0])
    assert result.success
    with np.errstate(invalid="ignore"):
        result = bilevel.minimize_bilevel(problem, [1.0], [1e-5])
    assert result.success


def test_a_single_loop_finds_its_step_where_the_constants_are_not_known():
    """f = 50 (x - theta)^2, whose steps must be 1/100; the optimum is at one."""
    problem = bilevel.BilevelProblem(
        lambda x, t: np.sum((x - 1) ** 2),
        lambda x, t: 50 * np.sum((x - t) ** 2),
        upper_grad=lambda x, t: (2 * (x - 1), None),
        lower_grad=lambda x, t: 100 * (x - t),
        lower_grad_theta=lambda x, t: 100 * (t - x),
        L=100.0,
    )
    with pytest.warns(ConvergenceWarning):
        result = bilevel.minimize_bilevel(
            problem, [0.0], [0.5], method="penalty-single", maxiter=400, tol=1e-12
        )
    assert result.status is Status.MAXITER
    assert abs(result.theta[0] - 1) < 0.2


def in_units(F=1.0, f=1.0, **constants):
    """The quadratic problem with its objectives in other units: the same solution."""
    return bilevel.BilevelProblem(
        lambda x, t: F * QUADRATIC.upper(x, t),
        lambda x, t: f * QUADRATIC.lower(x, t),
        upper_grad=lambda x, t: tuple(F * g for g in QUADRATIC.upper_grad(x, t)),
        lower_grad=lambda x, t: f * QUADRATIC.lower_grad(x, t),
        lower_grad_theta=lambda x, t: f * QUADRATIC.lower_grad_theta(x, t),
        **constants,
    )


@pytest.mark.parametrize(
    ("F", "f", "constants"),
    [
        (1.0, 1e-12, {}), (1e6, 1.0, {}), (1.0, 1e-6, {"L": 1e-6, "lipschitz_upper": 1.0}),
    ],
)  # fmt: skip
def test_the_penalty_means_the_same_in_all_units(F, f, constants):
    problem = in_units(F, f, **constants)
    result = bilevel.minimize_bilevel(problem, THETA, X0, method="penalty", tol=1e-2 * F)
    assert result.success
    assert true_norm(result.theta) <= 1e-2
    for order in (1, 2):
        one = bilevel.hypergradient(problem, ONE, X0, method="penalty", order=order, tol=20 * F)
        assert one.success
        error = np.linalg.norm(one.grad / F - QUADRATIC.exact_hypergradient(ONE))
        assert error <= one.error_estimate / F


@pytest.mark.parametrize("order", [1, 2])
def test_a_weight_that_drowns_the_lower_objective_is_no_success(order):
    """With sigma F far above f the penalty does not see theta, and all its differences are small."""
    with pytest.warns(ConvergenceWarning):
        result = bilevel.hypergradient(
            in_units(f=1e-6), ONE, X0, method="penalty", sigma=1e-3, order=order, tol=7.0
        )
    assert not result.success
    assert result.error_estimate == np.inf


def test_of_several_lower_solutions_the_penalty_reports_the_best():
    """Minimise F over all x with A x = B theta: the conditions of the joint problem are linear."""
    rng = np.random.default_rng(0)
    A, B, V, c = rng.normal(size=(1, 3)), rng.normal(size=(1, 2)), rng.normal(size=(6, 3)), rng.normal(size=6)
    problem = bilevel.BilevelProblem(
        lambda x, t: 0.5 * np.sum((V @ x - c) ** 2) + 0.5 * t @ t,
        lambda x, t: 0.5 * np.sum((A @ x - B @ t) ** 2),
        upper_grad=lambda x, t: (V.T @ (V @ x - c), t),
        lower_grad=lambda x, t: A.T @ (A @ x - B @ t),
        lower_grad_theta=lambda x, t: -B.T @ (A @ x - B @ t),
    )
    result = bilevel.minimize_bilevel(problem, np.ones(2), np.zeros(3), method="penalty", tol=1e-3)
    joint = np.block(
        [[V.T @ V, np.zeros((3, 2)), A.T], [np.zeros((2, 3)), np.eye(2), -B.T], [A, -B, np.zeros((1, 1))]]
    )
    best = np.linalg.solve(joint, np.concatenate([V.T @ c, np.zeros(3)]))
    assert result.success
    np.testing.assert_allclose(result.theta, best[3:5], atol=1e-3)
    np.testing.assert_allclose(result.x, best[:3], atol=1e-3)
    assert result.fun == pytest.approx(problem.upper(best[:3], best[3:5]), abs=1e-5)


@pytest.mark.parametrize("method", ["qn", "maid", "hoag", "penalty"])
@pytest.mark.parametrize("call", [1, 9])
def test_an_interrupt_before_the_first_point_gives_the_start_back(method, call):
    calls = []

    def interrupted(x, t):
        calls.append(1)
        if len(calls) >= call:
            raise KeyboardInterrupt
        return QUADRATIC.lower_grad(x, t)

    problem = changed(lower_grad=interrupted, mu=0.1, L=1.0, lipschitz_upper=1.0)
    with pytest.warns(ConvergenceWarning):
        result = bilevel.minimize_bilevel(problem, ONE, X0, method=method, check=False)
    assert result.status is Status.INTERRUPTED
    assert (result.theta == 1).all()


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_an_upper_objective_that_is_not_finite_is_no_success(value):
    problem = bilevel.BilevelProblem(
        lambda x, t: value, QUADRATIC.lower, **{name: getattr(QUADRATIC, name) for name in NAMES}
    )
    with pytest.warns(ConvergenceWarning):
        result = bilevel.minimize_bilevel(problem, THETA, X0)
    assert result.status is Status.NONFINITE


@pytest.mark.filterwarnings("ignore:overflow encountered in square")  # of the problem's own function
@pytest.mark.parametrize("size", [1e120, 1e155, 1e300])
def test_a_start_beyond_the_squares_of_numbers_has_no_curvature_that_is_wrong(size):
    """The curvature along v is v'Hv / v'v: where v'v is infinite, it is not zero."""
    problem = bilevel.problems.quadratic(4, 2, rng=0)
    theta = np.full(2, size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = bilevel.hypergradient(problem, theta, np.zeros(4), method="unrolled", check=False)
    assert result.status is not Status.BREAKDOWN
