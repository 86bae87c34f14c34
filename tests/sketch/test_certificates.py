"""What success means: no answer passes that other units, or a step further on, would show to be wrong."""

from __future__ import annotations

import numpy as np
import pytest

from numsolve import Status, sketch

INNER = ["ldl", "splu", "minres"]
pytestmark = pytest.mark.filterwarnings("ignore::numsolve.ConvergenceWarning")


def line(factor=1.0):
    """x0 + x1 = 1, times a factor."""
    return (
        lambda x: factor * np.array([x[0] + x[1] - 1.0]),
        lambda x: factor * np.ones((1, 2)),
        lambda x, v: np.zeros((2, 2)),
    )


def bowl(factor):
    """A quadratic with its minimum at (3, -1), times a factor."""
    target = np.array([3.0, -1.0])
    return {
        "fun": lambda x: factor * float((x - target) @ (x - target)),
        "jac": lambda x: 2 * factor * (x - target),
        "hess": lambda x: 2 * factor * np.eye(2),
        "x0": np.zeros(2),
    }


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("factor", [1e-12, 1e-9, 1.0, 1e9, 1e150, 1e300])
def test_units_of_the_objective_do_not_move_the_minimum(inner, factor):
    r = sketch.minimize(**bowl(factor), inner=inner)
    assert r.success
    np.testing.assert_allclose(r.x, [3, -1], rtol=1e-6)
    r = sketch.minimize(**bowl(factor), inner=inner, constraints=line())
    assert r.success
    np.testing.assert_allclose(r.x, [2.5, -1.5], rtol=1e-6)
    np.testing.assert_allclose(r.lam, factor, rtol=1e-6)
    np.testing.assert_allclose(r.fun, 0.5 * factor, rtol=1e-6)


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_units_of_a_constraint_neither_move_the_minimum_nor_hide_that_there_is_none(inner, factor):
    square = {"fun": lambda x: x @ x / 2, "jac": lambda x: x.copy(), "hess": lambda x: np.eye(x.size)}
    r = sketch.minimize(**square, x0=[1.0, 2.0], constraints=line(factor), inner=inner)
    assert r.success
    np.testing.assert_allclose(r.x, 0.5, rtol=1e-6)
    np.testing.assert_allclose(r.lam, -0.5 / factor, rtol=1e-6)
    nowhere = (
        lambda x: factor * (x**2 + 1),
        lambda x: 2 * factor * x[:, None],
        lambda x, v: 2 * factor * v[0] * np.eye(1),
    )
    r = sketch.minimize(**square, x0=[1.0], constraints=nowhere, inner=inner)
    assert r.status is Status.INFEASIBLE


#: Functions without a minimum whose gradient vanishes at infinity, or is small where they are cut.
RUNNING = {
    "-log x": (lambda x: -np.log(x[0]), lambda x: -1 / x, lambda x: np.diag(1 / x**2), 1e9),
    "exp(-x)": (lambda x: np.exp(-x[0]), lambda x: -np.exp(-x), lambda x: np.diag(np.exp(-x)), 0.0),
    "1 / x": (lambda x: 1 / x[0], lambda x: -1 / x**2, lambda x: np.diag(2 / x**3), 1e5),
    "-x^2": (lambda x: -1e-9 * x[0] ** 2, lambda x: -2e-9 * x, lambda x: -2e-9 * np.eye(1), 0.1),
    "-x^4": (lambda x: -(x[0] ** 4), lambda x: -4 * x**3, lambda x: np.diag(-12 * x**2), 0.5),
    "x": (lambda x: x[0], lambda x: np.ones(1), lambda x: np.zeros((1, 1)), 0.0),
}


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("name", RUNNING)
def test_where_nothing_is_least_nothing_has_converged(name, inner):
    fun, jac, hess, x0 = RUNNING[name]
    r = sketch.minimize(fun, [x0], jac=jac, hess=hess, inner=inner)
    assert not r.success
    if name in {"-x^2", "-x^4", "x"}:
        assert r.status is Status.UNBOUNDED


#: c, its gradient and its Hessian, stationary at zero, where it is not zero, but not least.
STATIONARY = {
    "sphere": (lambda x: x @ x - 2, lambda x: 2 * x, lambda x: 2 * np.eye(2)),
    "hyperbola": (lambda x: x[0] * x[1] - 1, lambda x: x[::-1].copy(), lambda x: np.eye(2)[::-1]),
    "inflection": (
        lambda x: x[0] ** 3 - 1,
        lambda x: np.array([3 * x[0] ** 2, 0]),
        lambda x: np.diag([6 * x[0], 0]),
    ),
}


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("name", STATIONARY)
def test_a_violation_that_is_stationary_but_not_least_is_left(name, inner):
    c, jac, hess = STATIONARY[name]
    r = sketch.minimize(
        lambda x: float((x - 3) @ (x - 3)), np.zeros(2), jac=lambda x: 2 * (x - 3),
        hess=lambda x: 2 * np.eye(2), constraints=(c, jac, lambda x, v: v[0] * hess(x)), inner=inner,
    )  # fmt: skip
    assert r.success
    assert abs(c(r.x)) < 1e-8


def test_the_point_of_an_infeasible_problem_is_a_least_violation():
    """Random square quadratic systems with a solution: where the search ends, the violation is least."""
    ends = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        Q, a, solution = rng.normal(size=(3, 3, 3)), rng.normal(size=(3, 3)), rng.normal(size=3)
        Q = Q + Q.transpose(0, 2, 1)
        b = (Q @ solution) @ solution / 2 + a @ solution

        def c(x, Q=Q, a=a, b=b):
            return (Q @ x) @ x / 2 + a @ x - b

        def jac(x, Q=Q, a=a):
            return Q @ x + a

        r = sketch.minimize(
            lambda x: 0.0, rng.normal(size=3), jac=np.zeros_like, hess=lambda x: np.zeros((3, 3)),
            constraints=(c, jac, lambda x, v, Q=Q: np.einsum("i,ijk", v, Q)),
        )  # fmt: skip
        ends.append(r.status)
        if r.success:
            assert np.linalg.norm(c(r.x)) <= 1e-8
        else:
            G = jac(r.x)
            assert np.linalg.norm(G.T @ c(r.x)) <= 1e-5 * np.linalg.norm(G) * np.linalg.norm(c(r.x))
            W = G.T @ G + np.einsum("i,ijk", c(r.x), Q)
            assert np.linalg.eigvalsh(W)[0] >= -1e-5 * np.linalg.norm(W)
    assert ends.count(Status.CONVERGED) >= 8


@pytest.mark.parametrize("s", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("L", [1e-3, 1.0, 1e3])
def test_the_top_of_a_double_well_is_no_minimum(s, L):
    """It is a stationary point to all digits, and the start."""
    r = sketch.minimize(
        lambda x: s * ((x[0] / L) ** 2 - 1) ** 2,
        np.zeros(1),
        jac=lambda x: s * 4 * ((x / L) ** 2 - 1) * x / L**2,
        hess=lambda x: np.array([[s * (12 * x[0] ** 2 / L**4 - 4 / L**2)]]),
    )
    assert not (r.success and abs(r.x[0]) < 0.5 * L)


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize(("s", "R"), [(1.0, 1.0), (1e-6, 1.0), (1.0, 1e4), (1.0, 1e-4), (1e6, 1.0)])
def test_a_constrained_maximum_is_no_minimum(inner, s, R):
    r = sketch.minimize(
        lambda x: s * x[0],
        np.array([R, 0.0]),
        jac=lambda x: np.array([s, 0.0]),
        hess=lambda x: np.zeros((2, 2)),
        constraints=(lambda x: x @ x - R * R, lambda x: 2 * x, lambda x, v: 2 * v[0] * np.eye(2)),
        inner=inner,
    )
    assert not (r.success and r.x[0] > -0.999 * R)
    if R == 1.0:
        assert r.success


def test_small_pivots_of_a_convex_function_are_positive():
    D = np.logspace(-8, 8, 20)
    r = sketch.minimize(
        lambda x: x @ (D * x) / 2 - x.sum(), np.zeros(20), jac=lambda x: D * x - 1, hess=lambda x: np.diag(D)
    )
    assert r.success
    assert r.nit <= 2
    np.testing.assert_allclose(r.x, 1 / D, rtol=1e-6)


def test_rounding_errors_of_the_gradient_end_a_run_at_the_exact_minimum():
    s = 1e-12
    r = sketch.minimize(
        lambda x: float(((x / s - [1, 2]) ** 2).sum()),
        [3 * s, 5 * s],
        jac=lambda x: 2 * (x / s - [1, 2]) / s,
        hess=lambda x: 2 / s**2 * np.eye(2),
    )
    assert r.status in {Status.ROUNDING, Status.CONVERGED}
    assert r.nfev < 100
    np.testing.assert_allclose(r.x, [s, 2 * s], rtol=1e-14)


@pytest.mark.parametrize("s", [1e-8, 1.0, 1e8])
def test_differences_know_a_quadratic_at_every_scale(s):

    def fun(x):
        return float(((np.asarray(x) / s - [1, 2]) ** 2).sum())

    r = sketch.minimize(fun, [3 * s, 5 * s], jac="2-point", hess="2-point", tol=1e-6)
    assert r.success
    np.testing.assert_allclose(r.x, [s, 2 * s], rtol=1e-5)


@pytest.mark.parametrize("precondition", [True, False])
def test_a_model_without_a_minimum_is_unbounded(precondition):
    """Counts that are all zero, and a column on which all labels agree."""
    rng = np.random.default_rng(0)
    X = np.column_stack([np.ones(200), rng.random(200) < 0.1]).astype(float)
    y = np.where(X[:, 1] == 1, 1.0, rng.random(200) < 0.4)
    models = [sketch.GLM(np.ones((50, 1)), np.zeros(50), family="poisson"), sketch.GLM(X, y)]
    for model in models:
        for tol in (1e-8, 1e-3):
            r = sketch.newton_sketch(model, tol=tol, precondition=precondition, rng=0)
            assert r.status is Status.UNBOUNDED


@pytest.mark.parametrize("precondition", [True, False])
def test_units_of_the_columns_do_not_move_the_fit(precondition):
    rng = np.random.default_rng(0)
    A = rng.normal(size=(500, 5))
    y = (rng.random(500) < 1 / (1 + np.exp(-A @ [1, -1, 0.5, 0, 2]))).astype(float)
    D = 10.0 ** np.linspace(-6, 6, 5)
    one, other = (
        sketch.newton_sketch(sketch.GLM(M, y), precondition=precondition, rng=0) for M in (A, A * D)
    )
    assert one.success
    assert other.success
    assert other.fun == pytest.approx(one.fun, rel=1e-12)
    np.testing.assert_allclose(other.x * D, one.x, rtol=1e-5)


@pytest.mark.parametrize("kind", ["kaczmarz", "gaussian", "block", "sparse-sign"])
@pytest.mark.parametrize("s", [1e-300, 1e-160, 1e160, 1e300])
def test_projections_at_any_scale(kind, s):
    rng = np.random.default_rng(0)
    A, x = s * rng.normal(size=(30, 10)), rng.normal(size=10)
    r = sketch.sketch_project(A, A @ x, kind=kind, rng=0)
    assert r.success
    np.testing.assert_allclose(r.x, x, atol=1e-4)
    nothing = sketch.sketch_project(np.zeros((30, 10)), np.ones(30), kind=kind, rng=0)
    assert nothing.status is Status.STAGNATED
    assert nothing.nit <= 1


BAD = [
    ({"hess": lambda x: 1j * np.eye(2)}, TypeError, "Hessian of fun is complex"),
    ({"hess": lambda x: np.nan * np.eye(2)}, ValueError, "Hessian of fun must hold finite"),
    ({"hess": lambda x: np.array([[1.0, 5], [0, 1]])}, ValueError, "Hessian of fun must be symmetric"),
    ({"fun": lambda x: x}, ValueError, "fun must return a number"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD, ids=lambda part: str(part)[:30])
def test_what_the_users_functions_return_is_named(change, error, message):
    with pytest.raises(error, match=message):
        sketch.minimize(**{**bowl(1.0), **change})


def test_an_error_in_the_users_function_is_kept():
    with pytest.raises(ValueError, match="finite numbers at x0") as caught:
        sketch.minimize(**{**bowl(1.0), "fun": lambda x: 1 / 0})
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_hessian_that_is_no_number_ends_the_run():
    r = sketch.minimize(
        lambda x: float((x**4).sum()), [1.0, 1.0], jac=lambda x: 4 * x**3,
        hess=lambda x: np.eye(2) * (12.0 if x[0] > 0.9 else np.nan),
    )  # fmt: skip
    assert r.status is Status.NONFINITE
