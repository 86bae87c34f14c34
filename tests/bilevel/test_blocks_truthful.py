"""What a run with many blocks claims is true, and how it ends where functions fail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numsolve import ConvergenceWarning, Status, bilevel

ORACLE, SOLUTION = bilevel.problems.multiblock_quadratic(4, 3, 2, rng=0)
NAMES = ("upper_grad", "lower_grad", "lower_cross_vjp", "lower_hvp", "lower_hess")


def changed(**oracles):
    given = {name: getattr(ORACLE, name) for name in NAMES}
    return bilevel.BlockOracle(4, ORACLE.upper, **{**given, **oracles})


def run(oracle, **settings):
    usual = {"block_batch": 2, "step_theta": 0.01, "step_x": 0.1, "maxiter": 30, "rng": 0}
    return bilevel.bsvrb(oracle, np.zeros(2), np.zeros(3), **{**usual, **settings})


def flat(least=1e-4):
    """One block, f = least y^2 / 2 - y theta and F = (y - 1)^2 / 2 + 1e7 theta^2 / 2."""
    return bilevel.BlockOracle(
        1,
        lambda t, y, i, b: 0.5 * (y[:, 0] - 1) ** 2 + 0.5e7 * t @ t,
        upper_grad=lambda t, y, i, b: (y - 1, 1e7 * t[None, :]),
        lower_grad=lambda t, y, i, b: least * y - t,
        lower_hess=lambda t, y, i, b: np.full((1, 1, 1), least),
        lower_hvp=lambda t, y, i, b, v: least * v,
        lower_cross_vjp=lambda t, y, i, b, q: -q,
    )


@pytest.mark.parametrize("variant", ["v1", "v2"])
def test_a_small_gradient_of_a_flat_lower_problem_is_no_success(variant):
    """From y = 1 every tracked quantity is small, and the hypergradient at theta = 0 is 1e4."""
    with pytest.warns(ConvergenceWarning):
        result = bilevel.bsvrb(
            flat(), [0.0], [1.0], variant=variant, block_batch=1, step_theta=2e-9, step_x=1.0, tol=1e-2,
            maxiter=3, mu_min=1e-5,
        )  # fmt: skip
    assert result.status is Status.MAXITER


def test_a_clamp_that_acts_is_told_and_is_no_success():
    with pytest.warns(ConvergenceWarning, match="below mu_min"):
        result = bilevel.bsvrb(
            flat(), [0.0], [1.0], variant="v1", block_batch=1, step_theta=2e-9, step_x=1.0, tol=1e9, maxiter=3
        )
    assert not result.success


def test_a_start_at_the_lower_solution_does_not_count_as_diverged():
    """f = 1e-4 y^2 / 2 - y theta from theta = 0, y = 0: the first lower gradient is zero."""
    with pytest.warns(ConvergenceWarning):
        result = bilevel.bsvrb(
            flat(), [0.0], [0.0], variant="v1", block_batch=1, step_theta=2e-9, step_x=1.0, maxiter=5
        )
    assert result.status is Status.MAXITER


def test_a_hessian_that_becomes_nan_ends_the_run():
    calls = []

    def hess(t, y, i, b):
        calls.append(1)
        return ORACLE.lower_hess(t, y, i, b) * (np.nan if len(calls) > 20 else 1)

    with pytest.warns(ConvergenceWarning, match="lower_hess returned a NaN"):
        result = run(changed(lower_hess=hess), variant="v1")
    assert result.status is Status.NONFINITE
    assert np.isfinite(result.theta).all()


@pytest.mark.parametrize(
    ("name", "variant", "wrong"),
    [
        ("lower_hess", "v1", lambda t, y, i, b: np.eye(3)),
        ("lower_hvp", "v2", lambda t, y, i, b, v: v[:1]),
        ("lower_cross_vjp", "v2", lambda t, y, i, b, q: q),
        ("upper_grad", "v2", lambda t, y, i, b: (y[:1], None)),
        ("upper_grad", "v2", lambda t, y, i, b: y),
        ("upper_grad", "v2", lambda t, y, i, b: (y, t)),
    ],
)
def test_shapes_of_the_oracles_are_checked(name, variant, wrong):
    with pytest.raises(ValueError, match=rf"{name}.* must return"):
        run(changed(**{name: wrong}), variant=variant)


def test_an_executor_changes_nothing_where_some_blocks_are_new():
    rng = np.random.default_rng(0)
    X, V = rng.normal(size=(30, 3)), rng.normal(size=(10, 3))
    oracle = bilevel.problems.multiblock_logistic(
        X, np.sign(rng.normal(size=30)), V, np.sign(rng.normal(size=10)), np.linspace(1, 3, 8), l2=1e-2
    )

    def path(executor=None):
        settings = {"block_batch": 4, "step_theta": 1.0, "step_x": 5.0, "maxiter": 4, "rng": 0}
        with pytest.warns(ConvergenceWarning):
            return bilevel.bsvrb(
                oracle, np.zeros(30), np.zeros(3), variant="v1", executor=executor, **settings
            ).theta

    with ThreadPoolExecutor(2) as pool:
        assert_allclose(path(pool), path(), rtol=1e-10)


@pytest.mark.parametrize("name", ["lower_hess", "lower_hvp", "lower_cross_vjp", "upper_grad"])
@pytest.mark.parametrize("factor", [2.0, -1.0])
def test_an_oracle_that_lies_is_named(name, factor):
    oracle, _ = bilevel.problems.multiblock_quadratic(6, 4, 2, rng=0)
    honest = getattr(oracle, name)

    def lie(*arguments):
        out = honest(*arguments)
        return tuple(factor * part for part in out) if isinstance(out, tuple) else factor * out

    setattr(oracle, name, lie)
    with pytest.raises(ValueError, match=f"{name} contradicts"):
        bilevel.bsvrb(oracle, np.ones(2), np.zeros(4), step_theta=0.1, step_x=0.5, block_batch=3)


@pytest.mark.parametrize("steps", [(2.0, 0.5), (0.02, 5.0)])
def test_steps_that_are_too_long_are_told(steps):
    oracle, _ = bilevel.problems.multiblock_quadratic(20, 5, 3, rng=0)
    with pytest.warns(ConvergenceWarning, match="take shorter steps"):
        result = bilevel.bsvrb(
            oracle, np.zeros(3), np.zeros(5), step_theta=steps[0], step_x=steps[1], rng=0, maxiter=2000
        )
    assert result.status is Status.DIVERGED
    assert result.nit < 200


def test_the_end_is_judged_at_the_lower_solutions_however_far_they_are():
    """Logistic losses of one number with weak penalties, whose solutions lie far from where y is."""
    rates, weak = np.array([[1.0], [2.0], [3.0]]), 1e-6
    sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    second = lambda t, y, i: (  # noqa: E731
        rates[i] ** 2 * sigmoid(rates[i] * y) * sigmoid(-rates[i] * y) + weak * np.exp(t[0])
    )
    oracle = bilevel.BlockOracle(
        3,
        lambda t, y, i, b: 0.5 * (y[:, 0] - 3) ** 2 + 0.5e-3 * t[0] ** 2,
        upper_grad=lambda t, y, i, b: (y - 3, np.full((len(i), 1), 1e-3 * t[0])),
        lower_grad=lambda t, y, i, b: -rates[i] * sigmoid(-rates[i] * y) + weak * np.exp(t[0]) * y,
        lower_cross_vjp=lambda t, y, i, b, q: weak * np.exp(t[0]) * y * q,
        lower_hvp=lambda t, y, i, b, v: second(t, y, i) * v,
        lower_hess=lambda t, y, i, b: second(t, y, i)[:, :, None],
    )
    with pytest.warns(ConvergenceWarning):
        result = bilevel.bsvrb(
            oracle, np.zeros(1), np.zeros(1), variant="v1", block_batch=3, step_theta=0.05, step_x=0.5,
            mu_min=1e-9, tol=1e-2, maxiter=400, rng=0,
        )  # fmt: skip
    assert not result.success


@pytest.mark.parametrize("step", [0.005, 1e300])
def test_numbers_beyond_the_range_end_in_a_status_alone(step):
    """The warnings of NumPy are errors in tests; that of a failed solve is expected."""
    start = np.zeros(SOLUTION.size) if step > 1 else np.full(SOLUTION.size, 1e300)
    with pytest.warns(ConvergenceWarning):
        result = bilevel.bsvrb(
            ORACLE, start, np.zeros(3), maxiter=50, step_theta=step, step_x=0.5, block_batch=2
        )
    assert not result.success
    assert np.isfinite(result.theta).all()
