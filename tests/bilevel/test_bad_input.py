"""What is refused, and what ends a run with a flag."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest
import scipy.sparse as sp

from numsolve import ConvergenceWarning, Status, bilevel

QUADRATIC = bilevel.problems.quadratic(10, 3, rng=0)
NAMES = ("upper_grad", "lower_grad", "lower_hvp", "lower_cross_vjp", "lower_grad_theta")
THETA, X0 = np.zeros(3), np.zeros(10)


class Recording(np.ndarray):
    """What a tensor of torch that records its derivatives says of itself."""

    requires_grad = True


RECORDING = X0.view(Recording)


def changed(upper=None, lower=None, **oracles):
    """The quadratic problem with other oracles, and no constants but those given."""
    given = {name: getattr(QUADRATIC, name) for name in NAMES}
    return bilevel.BilevelProblem(upper or QUADRATIC.upper, lower or QUADRATIC.lower, **{**given, **oracles})


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"mu": 0.0}, ValueError, "mu"),
        ({"mu": -1.0}, ValueError, "mu"),
        ({"mu": 2.0, "L": 1.0}, ValueError, "at most L"),
        ({"mu": "1"}, TypeError, "mu"),
        ({"lower_hvp": 3}, TypeError, "lower_hvp"),
        ({"lower_grad": None}, ValueError, "lower_grad"),
        ({"backend": "torch"}, ValueError, "backend"),
        ({"lower_eq": (np.ones((1, 3)),)}, ValueError, "lower_eq"),
        (
            {"lower_eq": (np.ones((2, 10)), np.ones((2, 3)), np.array([0.0, 1.0]))},
            ValueError,
            "contradict",
        ),
        ({"samples": (3,)}, ValueError, "samples"),
    ],
    ids=str,
)
def test_a_problem_is_refused(settings, error, message):
    with pytest.raises(error, match=message):
        changed(**settings)


@pytest.mark.parametrize(
    ("theta", "x", "settings", "error", "message"),
    [
        (sp.csr_array(np.ones((1, 3))), X0, {}, TypeError, "theta0"),
        (np.array([1, 2, 3]), X0, {}, TypeError, "theta0"),
        ([np.nan, 0.0, 0.0], X0, {}, ValueError, "theta0"),
        ([[1.0], [1.0, 2.0]], X0, {}, ValueError, "theta0 is not a rectangular array"),
        (THETA, np.full(10, np.inf), {}, ValueError, "x0"),
        (THETA, np.zeros(10, complex), {}, TypeError, "x0"),
        (THETA, X0, {"method": "adam"}, ValueError, "method"),
        (THETA, X0, {"solve": "lu"}, ValueError, "solve"),
        (THETA, X0, {"tol": -1.0}, ValueError, "tol"),
        (THETA, X0, {"eps": 0.0}, ValueError, "eps"),
        (THETA, X0, {"step": 0.0}, ValueError, "step"),
        (THETA, X0, {"max_cost": 0}, ValueError, "max_cost"),
        (THETA, X0, {"theta_bounds": (1.0, 2.0)}, ValueError, "outside"),
        (THETA, X0, {"theta_bounds": (1.0, -1.0)}, ValueError, "low <= high"),
        (THETA, X0, {"theta_bounds": 1.0}, ValueError, "pair.*got 1.0$"),
        (THETA, X0, {"theta_bounds": ([[1.0], [1.0, 2.0]], 1.0)}, ValueError, "theta_bounds is not a rect"),
        (
            THETA,
            X0,
            {"theta_bounds": ([[1.0], [1.0, 2.0]], 1.0)},
            ValueError,
            r"^theta_bounds is not a rectangular array of numbers, got \[\[1.0\], \[1.0, 2.0\]\]$",
        ),
        (THETA, X0, {"theta_bounds": (RECORDING, 1.0)}, TypeError, "theta_bounds .*records derivatives"),
        (THETA, RECORDING, {}, TypeError, "x0 .*records derivatives"),
        (THETA, X0, {"order": 3}, ValueError, "order"),
        (THETA, X0, {"schedule": "linear"}, ValueError, "schedule"),
        (THETA, X0, {"check": "yes"}, TypeError, "check"),
        (THETA, X0, {"method": "lvhba"}, ValueError, "lower_eq"),
    ],
    ids=str,
)
def test_a_call_is_refused(theta, x, settings, error, message):
    with pytest.raises(error, match=message):
        bilevel.minimize_bilevel(changed(mu=0.1), theta, x, **settings)


def test_arrays_of_the_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"must return shape \(1,\), as x0 says, got \(10,\)"):
        bilevel.hypergradient(QUADRATIC, THETA, X0[:1])
    with pytest.raises(ValueError, match="lower_hvp must return shape"):
        bilevel.minimize_bilevel(changed(lower_hvp=lambda x, t, v: v[:3]), THETA, X0)


@pytest.mark.parametrize(
    ("oracle", "lie"),
    [
        ("upper_grad", lambda x, t: (2 * (x - QUADRATIC.b), QUADRATIC.r * t)),
        ("upper_grad", lambda x, t: (x - QUADRATIC.b, None)),
        ("lower_grad", lambda x, t: QUADRATIC.H @ x),
        ("lower_hvp", lambda x, t, v: -QUADRATIC.H @ v),
        ("lower_hvp", lambda x, t, v: 1.01 * QUADRATIC.H @ v),
        ("lower_cross_vjp", lambda x, t, q: QUADRATIC.B.T @ q),
        ("lower_grad_theta", lambda x, t: QUADRATIC.B.T @ x),
    ],
    ids=lambda value: value if isinstance(value, str) else "lie",
)
def test_an_oracle_that_lies_is_found_at_the_start(oracle, lie):
    method = "penalty" if oracle == "lower_grad_theta" else "qn"
    theta = np.array([1.0, 2.0, -1.0])
    with pytest.raises(ValueError, match=rf"{oracle} contradicts"):
        bilevel.minimize_bilevel(changed(**{oracle: lie}), theta, X0, method=method)


@pytest.mark.parametrize("name", ["lower_grad", "lower_hvp", "lower_cross_vjp", "lower_hess"])
def test_complex_answers_are_refused_by_name(name):
    lower_grad, hvp = (lambda x, t: np.exp(t) * x), (lambda x, t, v: np.exp(t) * v)
    functions = {
        "upper_grad": lambda x, t: (x - 1.0, None),
        "lower_grad": lower_grad,
        "lower_hvp": hvp,
        "lower_cross_vjp": lambda x, t, q: np.exp(t) * (x @ q),
    }
    if name == "lower_hess":
        functions[name] = lambda x, t: np.exp(t) * np.eye(3)
    real = functions[name]
    functions[name] = lambda *arguments: real(*arguments) * (1 + 1j)
    problem = bilevel.BilevelProblem(
        lambda x, t: 0.5 * np.sum((x - 1.0) ** 2),
        lambda x, t: float(0.5 * np.exp(t[0]) * (x @ x)),
        **functions,
    )
    with pytest.raises(ValueError, match=f"^{name} must return real numbers, got complex128"):
        bilevel.minimize_bilevel(problem, [0.0], np.ones(3))


def test_a_product_that_is_not_symmetric_is_found():
    skew = np.triu(np.ones((10, 10)))
    problem = changed(
        lower=lambda x, t: 0.5 * x @ skew @ x - x @ (QUADRATIC.B @ t + QUADRATIC.d),
        lower_grad=lambda x, t: skew @ x - QUADRATIC.B @ t - QUADRATIC.d,
        lower_hvp=lambda x, t, v: skew @ v,
    )
    with pytest.raises(ValueError, match="contradicts|symmetric"):
        bilevel.minimize_bilevel(problem, THETA, X0)


@pytest.mark.parametrize("lowest", [0.0, -0.5])
@pytest.mark.parametrize("call", [bilevel.minimize_bilevel, bilevel.hypergradient])
def test_a_lower_problem_that_is_not_strongly_convex_is_flagged(call, lowest):
    H = np.diag(np.linspace(lowest, 1.0, 10))
    problem = changed(
        lower=lambda x, t: 0.5 * x @ (H @ x) - x @ (QUADRATIC.B @ t + QUADRATIC.d),
        lower_grad=lambda x, t: H @ x - QUADRATIC.B @ t - QUADRATIC.d,
        lower_hvp=lambda x, t, v: H @ v,
    )
    with pytest.warns(ConvergenceWarning, match="convex"):
        result = call(problem, THETA, X0)
    assert result.status is Status.BREAKDOWN
    assert not np.isfinite(result.residual)


@pytest.mark.parametrize(("constants", "message"), [({"mu": 0.5}, "below mu"), ({"L": 0.5}, "above L")])
def test_constants_that_are_wrong_are_flagged(constants, message):
    with pytest.warns(ConvergenceWarning, match=message):
        result = bilevel.minimize_bilevel(changed(**constants), THETA, X0)
    assert result.status is Status.BREAKDOWN


def test_a_lower_solve_that_fails_is_flagged():
    problem = changed(mu=0.1, lower_solver=lambda theta, x, tol: x + 0.1)
    with pytest.warns(ConvergenceWarning, match="lower problem was not solved"):
        result = bilevel.minimize_bilevel(problem, THETA, X0)
    assert result.status is Status.STAGNATED
    assert not result.success


def test_an_adjoint_system_that_is_not_solved_is_flagged():
    with pytest.warns(ConvergenceWarning):
        result = bilevel.hypergradient(QUADRATIC, THETA, X0, solve=lambda product, b, **kw: 0 * b)
    assert result.status is Status.STAGNATED
    assert result.error_bound == np.inf
    assert np.isnan(result.grad).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf_during_a_run_end_it_with_the_best_point(bad):
    calls = []

    def grad(x, t):
        calls.append(1)
        return QUADRATIC.lower_grad(x, t) * (bad if len(calls) > 12 else 1.0)

    with pytest.warns(ConvergenceWarning, match="NaN"):
        result = bilevel.minimize_bilevel(changed(lower_grad=grad, mu=0.1), THETA, X0, check=False)
    assert result.status is Status.NONFINITE
    assert np.isfinite(result.theta).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"block_batch": 0}, "block_batch"),
        ({"block_batch": 9}, "block_batch"),
        ({"alpha": 0.0}, "alpha"),
        ({"gamma": -1.0}, "gamma"),
        ({"variant": "v3"}, "variant"),
        ({"mu_min": 0.0}, "mu_min"),
        ({"theta_estimator": "mean"}, "theta_estimator"),
        ({"step_x": -1.0}, "step_x"),
    ],
    ids=str,
)
def test_settings_of_the_blocks_are_refused(settings, message):
    oracle, _ = bilevel.problems.multiblock_quadratic(8, 3, 2, rng=0)
    with pytest.raises(ValueError, match=message):
        bilevel.bsvrb(
            oracle,
            np.zeros(2),
            np.zeros(3),
            **{"step_theta": 0.1, "step_x": 0.1, "block_batch": 4, **settings},
        )


def test_an_array_in_the_place_of_a_word_or_a_number_is_named():
    oracle, _ = bilevel.problems.multiblock_quadratic(8, 3, 2, rng=0)
    with pytest.raises(TypeError, match="gamma must be a real number"):
        bilevel.bsvrb(
            oracle, np.zeros(2), np.zeros(3), step_theta=0.1, step_x=0.1, block_batch=4, gamma=np.ones(2)
        )


@pytest.mark.parametrize(("theta", "x"), [(3, 3), (2, 4), (1, 3), (2, 1)])
def test_a_start_of_another_length_than_the_blocks_take_is_named(theta, x):
    oracle, _ = bilevel.problems.multiblock_quadratic(8, 3, 2, rng=0)
    with pytest.raises(
        ValueError, match=rf"theta0 of shape \({theta},\) and x0 with {x} numbers for each block"
    ):
        bilevel.bsvrb(oracle, np.zeros(theta), np.zeros(x), step_theta=0.1, step_x=0.1, block_batch=4)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"order": 1j}, TypeError, "order"),
        ({"order": 3}, ValueError, "order"),
        ({"sigma": "x"}, TypeError, "sigma"),
        ({"solve": "qr"}, ValueError, "solve"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["implicit", "unrolled", "penalty"])
def test_settings_of_every_method_of_a_hypergradient_are_looked_at(method, settings, error, message):
    with pytest.raises(error, match=f"{message} must"):
        bilevel.hypergradient(QUADRATIC, THETA, X0, method=method, **settings)


@pytest.mark.parametrize(
    ("theta", "error"),
    [(np.array([1, 2, 3]), TypeError), (np.ma.masked_array(THETA), TypeError), ("x", TypeError)],
)
def test_the_point_of_a_hypergradient_is_called_theta(theta, error):
    with pytest.raises(error, match="theta (must|is)"):
        bilevel.hypergradient(QUADRATIC, theta, X0)


def test_a_start_of_a_library_that_the_problem_does_not_take_is_refused_by_name():
    """As a tensor of torch that a function of NumPy's meets: not in the words of either."""

    def grad(x, theta):
        return x.sum(axis=0) * x

    start = array_api_strict.asarray(X0)
    with pytest.raises(TypeError, match="^x0 is an array of array_api_strict, which the problem"):
        bilevel.minimize_bilevel(changed(lower_grad=grad), THETA, start)
