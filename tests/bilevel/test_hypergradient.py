"""The hypergradient against closed forms, differences and jaxopt, and its bound against the truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numsolve import ConvergenceWarning, Status, bilevel

QUADRATIC = bilevel.problems.quadratic(30, 4, rng=0)
THETA, X0 = np.array([0.3, -1.0, 0.5, 2.0]), np.zeros(30)


def logistic(rng):
    """Logistic regression with one penalty a feature, every constant known."""
    rng = np.random.default_rng(rng)
    A, V = rng.normal(size=(2, 25, 3)) / 2
    b, b_val = np.sign(rng.normal(size=(2, 25)))
    sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    P, Q = b[:, None] * A, b_val[:, None] * V
    square = np.linalg.norm(P, 2) ** 2

    def hvp(x, t, v):
        p = sigmoid(P @ x)
        return P.T @ (p * (1 - p) * (P @ v)) + np.exp(t) * v

    return bilevel.BilevelProblem(
        lambda x, t: np.sum(np.logaddexp(0, -Q @ x)),
        lambda x, t: np.sum(np.logaddexp(0, -P @ x)) + 0.5 * np.exp(t) @ x**2,
        upper_grad=lambda x, t: (-Q.T @ sigmoid(-Q @ x), None),
        lower_grad=lambda x, t: -P.T @ sigmoid(-P @ x) + np.exp(t) * x,
        lower_hvp=hvp,
        lower_cross_vjp=lambda x, t, q: np.exp(t) * x * q,
        mu=lambda t: np.exp(t.min()),
        L=lambda t: 0.25 * square + np.exp(t.max()),
        lipschitz_upper=0.25 * np.linalg.norm(Q, 2) ** 2,
        lipschitz_hess=0.1 * square * np.linalg.norm(P, axis=1).max(),  # |s''| <= 1/(6 sqrt 3)
        lipschitz_cross=lambda t: np.exp(t.max()),
        cross_norm=lambda t: np.exp(t.max()) * np.sqrt(2 * 25 * np.log(2) / np.exp(t.min())),
    )


def test_the_hypergradient_of_a_quadratic_is_that_of_its_closed_form():
    result = bilevel.hypergradient(QUADRATIC, THETA, X0, tol=1e-9)
    assert result.certified
    assert_allclose(result.grad, QUADRATIC.exact_hypergradient(THETA), atol=1e-9)


@pytest.mark.parametrize("shape", [(1,), (1, 1)])
def test_an_objective_may_return_its_number_in_an_array(shape):
    one = bilevel.BilevelProblem(
        lambda x, t: np.full(shape, 0.5 * (x - 1) @ (x - 1)),
        lambda x, t: np.full(shape, 0.5 * (x - t) @ (x - t)),
        upper_grad=lambda x, t: (x - 1, None),
        lower_grad=lambda x, t: x - t,
        lower_hvp=lambda x, t, v: v,
        lower_cross_vjp=lambda x, t, q: -q,
    )
    result = bilevel.hypergradient(one, THETA, np.zeros(4), tol=1e-9)
    assert_allclose(result.grad, THETA - 1, atol=1e-8)


@pytest.mark.parametrize("solve", ["cg", "dense", "gmres"])
def test_every_linear_solver_gives_the_same_hypergradient(solve):
    result = bilevel.hypergradient(QUADRATIC, THETA, X0, solve=solve, tol=1e-8)
    assert_allclose(result.grad, QUADRATIC.exact_hypergradient(THETA), atol=1e-8)


def test_a_linear_solver_of_the_callers_own():
    def solve(product, b, **settings):
        assert_allclose(product(b), QUADRATIC.H @ b, rtol=1e-12)
        return np.linalg.solve(QUADRATIC.H, b)

    own = bilevel.hypergradient(QUADRATIC, THETA, X0, solve=solve)
    assert_allclose(own.grad, QUADRATIC.exact_hypergradient(THETA), atol=1e-8)


@pytest.mark.parametrize("make", [lambda k: bilevel.problems.quadratic(12, 3, rng=k), logistic])
def test_the_bound_holds_in_a_hundred_draws(make):
    rng = np.random.default_rng(5)
    held = []
    for k in range(100):
        problem = make(k)
        theta, start = rng.uniform(-1, 1, 3), rng.normal(size=3 if make is logistic else 12)
        eps, delta = 10 ** rng.uniform(-8, -1, 2)
        rough = bilevel.hypergradient(problem, theta, start, eps=eps, delta=delta, check=False)
        exact = bilevel.hypergradient(
            problem, theta, start, eps=1e-13, delta=1e-13, solve="dense", check=False
        ) if make is logistic else None  # fmt: skip
        truth = problem.exact_hypergradient(theta) if exact is None else exact.grad
        wrong = 0.0 if exact is None else exact.error_bound  # how far the comparison may be off itself
        held.append(np.linalg.norm(rough.grad - truth) <= rough.error_bound + wrong)
        assert rough.certified
    assert sum(held) == 100


@pytest.mark.parametrize("seed", range(3))
def test_bounds_with_constants_from_differences_hold_too(seed):
    known = logistic(seed)
    names = ("upper_grad", "lower_grad", "lower_hvp", "lower_cross_vjp")
    unknown = bilevel.BilevelProblem(
        known.upper, known.lower, mu=known.constants["mu"], **{name: getattr(known, name) for name in names}
    )
    theta, start = np.zeros(3), np.ones(3)
    truth = bilevel.hypergradient(known, theta, start, tol=1e-10).grad
    for eps in (1e-1, 1e-3, 1e-5):
        rough = bilevel.hypergradient(unknown, theta, start, eps=eps, delta=eps)
        assert not rough.certified
        assert np.linalg.norm(rough.grad - truth) <= rough.error_bound


def test_the_hypergradient_agrees_with_differences_of_the_upper_objective():
    problem, theta, h = logistic(0), np.array([0.2, -0.4, 0.1]), 1e-4

    def phi(t):
        return bilevel.hypergradient(problem, t, np.zeros(3), tol=1e-12, eps=1e-13, delta=1e-10).fun

    slopes = [(phi(theta + h * e) - phi(theta - h * e)) / (2 * h) for e in np.eye(3)]
    assert_allclose(bilevel.hypergradient(problem, theta, np.zeros(3)).grad, slopes, rtol=1e-6)


def test_unrolling_converges_to_the_implicit_hypergradient_at_the_rate_of_gradient_descent():
    truth = QUADRATIC.exact_hypergradient(THETA)
    steps = np.array([40, 80, 120])
    errors = []
    for n in steps:
        result = bilevel.hypergradient(QUADRATIC, THETA, X0, method="unrolled", n_steps=int(n), tol=1e3)
        errors.append(np.linalg.norm(result.grad - truth))
        assert errors[-1] <= result.error_bound
    rate = np.polyfit(steps, np.log(errors), 1)[0]
    assert rate == pytest.approx(np.log(1 - 1 / 10), abs=0.05)  # times a factor n: the derivative's own


def test_jax_gives_the_derivatives_and_jaxopt_agrees():
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    A, b, V, c = rng.normal(size=(20, 4)), rng.normal(size=20), rng.normal(size=(10, 4)), rng.normal(size=10)
    upper = lambda x, t: 0.5 * jnp.sum((V @ x - c) ** 2) + 0.01 * jnp.sum(t**2)  # noqa: E731
    lower = lambda x, t: jnp.sum(jnp.log(jnp.cosh(A @ x - b))) + 0.5 * jnp.sum(jnp.exp(t) * x**2)  # noqa: E731
    problem = bilevel.BilevelProblem(upper, lower, backend="jax", mu=lambda t: np.exp(t.min()))
    theta = np.array([0.1, -0.2, 0.3, 0.0])
    result = bilevel.hypergradient(problem, theta, np.zeros(4), tol=1e-11, eps=1e-13, delta=1e-12)

    with jax.enable_x64(True):
        x = jnp.asarray(result.x)
        H = jax.hessian(lower)(x, theta)
        C = jax.jacobian(jax.grad(lower), argnums=1)(x, theta)
        in_x, in_theta = jax.grad(upper, argnums=(0, 1))(x, theta)
        expected = in_theta - C.T @ jnp.linalg.solve(H, in_x)
        from jaxopt import implicit_diff, linear_solve

        vjp = implicit_diff.root_vjp(
            jax.grad(lower), x, (jnp.asarray(theta),), in_x, solve=linear_solve.solve_lu
        )[0]
    assert_allclose(result.grad, np.asarray(expected), rtol=1e-10)
    assert_allclose(result.grad, np.asarray(in_theta + vjp), rtol=1e-10)


def test_other_array_libraries_give_the_same_hypergradient():
    xp = pytest.importorskip("array_api_strict")
    H, B, d, b = (xp.asarray(v) for v in (QUADRATIC.H, QUADRATIC.B, QUADRATIC.d, QUADRATIC.b))
    problem = bilevel.BilevelProblem(
        lambda x, t: 0.5 * xp.sum((x - b) ** 2) + 0.05 * xp.sum(t**2),
        lambda x, t: 0.5 * xp.sum(x * (H @ x)) - xp.sum(x * (B @ t + d)),
        upper_grad=lambda x, t: (x - b, 0.1 * t),
        lower_grad=lambda x, t: H @ x - B @ t - d,
        lower_hvp=lambda x, t, v: H @ v,
        lower_cross_vjp=lambda x, t, q: -(B.T @ q),
        mu=0.1,
    )
    result = bilevel.hypergradient(problem, THETA, xp.zeros(30, dtype=xp.float64))
    assert type(result.x) is type(H)
    assert_allclose(result.grad, QUADRATIC.exact_hypergradient(THETA), atol=1e-7)
    best = bilevel.minimize_bilevel(problem, np.zeros(4), xp.zeros(30, dtype=xp.float64), tol=1e-6)
    assert best.success
    assert_allclose(np.asarray(best.theta), QUADRATIC.solution()[0], atol=1e-5)


def test_without_mu_the_bound_is_infinite_and_the_estimate_is_not():
    names = ("upper_grad", "lower_grad", "lower_hvp", "lower_cross_vjp")
    problem = bilevel.BilevelProblem(
        QUADRATIC.upper, QUADRATIC.lower, **{name: getattr(QUADRATIC, name) for name in names}
    )
    result = bilevel.hypergradient(problem, THETA, X0)
    assert result.success
    assert result.error_bound == np.inf
    error = np.linalg.norm(result.grad - QUADRATIC.exact_hypergradient(THETA))
    assert error <= result.error_estimate <= 1e-8


def test_a_tolerance_below_rounding_is_not_reached_and_says_so():
    with pytest.warns(ConvergenceWarning):
        result = bilevel.hypergradient(QUADRATIC, THETA, X0, tol=1e-30)
    assert result.status is Status.STAGNATED
    assert result.error_bound < 1e-8


def ridge(scale, t):
    """Ridge regression with a penalty a feature, features of the given sizes, and its hypergradient."""
    rng = np.random.default_rng(0)
    n = len(scale)
    A, V = rng.normal(size=(60, n)) * scale, rng.normal(size=(40, n)) * scale
    b, c = rng.normal(size=60), rng.normal(size=40)
    problem = bilevel.BilevelProblem(
        lambda x, t: 0.5 * np.sum((V @ x - c) ** 2),
        lambda x, t: 0.5 * np.sum((A @ x - b) ** 2) + 0.5 * np.exp(t) @ x**2,
        upper_grad=lambda x, t: (V.T @ (V @ x - c), None),
        lower_grad=lambda x, t: A.T @ (A @ x - b) + np.exp(t) * x,
        lower_hvp=lambda x, t, v: A.T @ (A @ v) + np.exp(t) * v,
        lower_cross_vjp=lambda x, t, q: np.exp(t) * x * q,
    )
    K = A.T @ A + np.diag(np.exp(t))
    x = np.linalg.solve(K, A.T @ b)
    return problem, -np.exp(t) * x * np.linalg.solve(K, V.T @ (V @ x - c))


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("decades", [1, 4])
@pytest.mark.parametrize("share", [1e-1, 1e-4])
def test_features_of_very_different_sizes_do_not_fool_the_estimate(decades, share, check):
    """Residuals are all of the steep directions, and fall long before the flat ones are solved for."""
    t = np.full(20, -2.0)
    problem, truth = ridge(np.geomspace(1.0, 10.0**decades, 20), t)
    tol = share * np.linalg.norm(truth)
    result = bilevel.hypergradient(problem, t, np.zeros(20), tol=tol, check=check)
    assert result.success
    assert np.linalg.norm(result.grad - truth) <= tol


@pytest.mark.parametrize("seed", range(7))
def test_a_success_without_mu_is_true_whatever_the_condition(seed):
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(2, 40)), int(rng.integers(1, 5))
    known = bilevel.problems.quadratic(n, m, kappa=10 ** rng.uniform(1, 7), rng=seed)
    names = ("upper_grad", "lower_grad", "lower_hvp", "lower_cross_vjp")
    problem = bilevel.BilevelProblem(
        known.upper, known.lower, **{name: getattr(known, name) for name in names}
    )
    theta = rng.normal(size=m)
    tol = np.linalg.norm(known.exact_hypergradient(theta)) * 10 ** rng.uniform(-5, -1)
    one = bilevel.hypergradient(problem, theta, np.zeros(n), tol=tol)
    assert one.success
    assert np.linalg.norm(one.grad - known.exact_hypergradient(theta)) <= tol
    best = bilevel.minimize_bilevel(problem, theta, np.zeros(n), tol=tol)
    assert best.success
    assert np.linalg.norm(known.exact_hypergradient(best.theta)) <= tol


def with_hessian(hess):
    """The quadratic problem with its Hessian as a matrix in place of products."""
    return bilevel.BilevelProblem(
        QUADRATIC.upper, QUADRATIC.lower, upper_grad=QUADRATIC.upper_grad, lower_grad=QUADRATIC.lower_grad,
        lower_cross_vjp=QUADRATIC.lower_cross_vjp, lower_hess=hess,
    )  # fmt: skip


def test_a_hessian_in_place_of_products_gives_the_same():
    problem = with_hessian(lambda x, t: QUADRATIC.H)
    result = bilevel.hypergradient(problem, THETA, X0, tol=1e-8)
    assert result.success
    assert_allclose(result.grad, QUADRATIC.exact_hypergradient(THETA), atol=1e-8)
    assert result.nhvp % 30 == 0  # a Hessian counts as a product for each unknown, and so do their checks
    best = bilevel.minimize_bilevel(problem, np.zeros(4), X0)
    assert best.success
    assert_allclose(best.theta, QUADRATIC.solution()[0], atol=1e-5)


@pytest.mark.parametrize(
    ("hess", "error", "message"),
    [
        (lambda x, t: 2 * QUADRATIC.H, ValueError, "contradicts lower_grad"),
        (lambda x, t: QUADRATIC.H[:3], ValueError, "shape"),
    ],
)
def test_a_wrong_hessian_is_named(hess, error, message):
    with pytest.raises(error, match=message):
        bilevel.hypergradient(with_hessian(hess), THETA, X0)


def test_a_singular_hessian_is_flagged():
    b = np.ones(3)
    problem = bilevel.BilevelProblem(
        lambda x, t: 0.5 * np.sum((x - 1) ** 2),
        lambda x, t: 0.5 * (b @ x - t[0]) ** 2,
        upper_grad=lambda x, t: (x - 1, None),
        lower_grad=lambda x, t: b * (b @ x - t[0]),
        lower_cross_vjp=lambda x, t, q: np.array([-(b @ q)]),
        lower_hess=lambda x, t: np.outer(b, b),
    )
    with pytest.warns(ConvergenceWarning, match="not strongly convex"):
        result = bilevel.hypergradient(problem, [1.0], np.zeros(3))
    assert result.status is Status.BREAKDOWN


def test_constants_are_measured_where_the_lower_objective_is_defined():
    """f = sum x - 1e-3 theta log x on x > 0, whose solutions 1e-3 theta lie within a thousandth of |x|."""
    problem = bilevel.BilevelProblem(
        lambda x, t: 0.5 * np.sum((x - 1) ** 2),
        lambda x, t: np.sum(x) - 1e-3 * t @ np.log(x),
        upper_grad=lambda x, t: (x - 1, None),
        lower_grad=lambda x, t: 1 - 1e-3 * t / x,
        lower_hvp=lambda x, t, v: 1e-3 * t / x**2 * v,
        lower_cross_vjp=lambda x, t, q: -1e-3 * q / x,
    )
    theta = np.array([1e3, 1e-2, 1.0])
    with np.errstate(all="raise"):
        result = bilevel.hypergradient(problem, theta, 1e-3 * theta, check=False, tol=1e-6)
    assert_allclose(result.grad, 1e-3 * (1e-3 * theta - 1), rtol=1e-6)
