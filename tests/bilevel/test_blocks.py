"""Many blocks: BSVRB against closed forms, and what sampling costs."""

from __future__ import annotations

import pickle
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numsolve import ConvergenceWarning, Status, bilevel

ORACLE, SOLUTION = bilevel.problems.multiblock_quadratic(20, 5, 3, rng=0)
START = np.zeros(3), np.zeros(5)
SIGMOID = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731


def logistic(rng, m=4, n=30, features=3):
    rng = np.random.default_rng(rng)
    X, V, w = rng.normal(size=(n, features)), rng.normal(size=(10, features)), rng.normal(size=features)
    return bilevel.problems.multiblock_logistic(
        X, np.sign(X @ w + 0.3), V, np.sign(V @ w), np.linspace(1, 3, m), l2=1e-2
    )


def run(**settings):
    usual = {"block_batch": 5, "step_theta": 0.005, "step_x": 0.5, "maxiter": 1000, "tol": 0.0, "rng": 0}
    with pytest.warns(ConvergenceWarning):
        return bilevel.bsvrb(ORACLE, *START, **{**usual, **settings})


@pytest.mark.parametrize("variant", ["v1", "v2"])
@pytest.mark.parametrize("gamma", [0.0, 0.7])
def test_with_all_blocks_the_solution_is_found_whatever_gamma(variant, gamma):
    result = bilevel.bsvrb(
        ORACLE, *START, variant=variant, block_batch=20, step_theta=0.005, step_x=0.5, gamma=gamma, tol=1e-6
    )
    assert result.success
    assert_allclose(result.theta, SOLUTION, atol=1e-5)


def test_version_one_with_exact_lower_solutions_takes_the_implicit_gradient_step():
    """Its first step from the lower solutions is minus the step times the mean implicit hypergradient."""
    everything, theta = np.arange(20), np.array([0.5, -1.0, 0.2])
    H = ORACLE.lower_hess(theta, None, everything, None)
    zero = np.zeros((20, 5))
    y = np.linalg.solve(H, -ORACLE.lower_grad(theta, zero, everything, None)[:, :, None])[:, :, 0]
    in_y, in_theta = ORACLE.upper_grad(theta, y, everything, None)
    q = np.linalg.solve(H, in_y[:, :, None])[:, :, 0]
    d = np.mean(in_theta - ORACLE.lower_cross_vjp(theta, y, everything, None, q), axis=0)
    with pytest.warns(ConvergenceWarning):
        result = bilevel.bsvrb(
            ORACLE, theta, y, variant="v1", block_batch=20, step_theta=0.1, step_x=0.5, maxiter=1, mu_min=1e-9
        )
    assert_allclose(result.theta, theta - 0.1 * d, rtol=1e-10)


def test_a_table_of_the_blocks_removes_the_variance_that_one_average_leaves():
    saga = run(theta_estimator="saga", variant="v1", step_theta=0.02)
    storm = run(theta_estimator="storm", variant="v1", step_theta=0.02)
    errors = [np.linalg.norm(r.theta - SOLUTION) for r in (saga, storm)]
    assert 10 * errors[0] < errors[1]


@pytest.mark.parametrize("estimator", ["storm", "saga"])
def test_the_noise_falls_at_least_as_one_over_the_sampled_blocks(estimator):
    """From the solution on, the mean square distance to it: its order in I is fitted over three sizes."""
    sizes, noise = np.array([2, 5, 10]), []
    for size in sizes:
        path = []
        with pytest.warns(ConvergenceWarning):
            bilevel.bsvrb(
                ORACLE, SOLUTION, np.zeros(5), variant="v1", block_batch=int(size), step_theta=0.02,
                step_x=0.9, maxiter=400, tol=0.0, rng=0, theta_estimator=estimator,
                callback=lambda theta, path=path: path.append(theta.copy()),
            )  # fmt: skip
        noise.append(np.mean(np.sum((np.array(path[200:]) - SOLUTION) ** 2, axis=1)))
    order = np.polyfit(np.log(sizes), np.log(noise), 1)[0]
    assert order <= -1.0


def test_an_executor_changes_nothing():
    alone = run(maxiter=20)
    with ThreadPoolExecutor(2) as pool:
        shared = run(maxiter=20, executor=pool)
    assert_allclose(shared.theta, alone.theta, rtol=1e-12)
    assert_allclose(shared.x, alone.x, rtol=1e-12)


def made_of(change):
    """The oracle with another function in place of each of its own."""
    names = "upper", "upper_grad", "lower_grad", "lower_cross_vjp", "lower_hvp", "lower_hess"
    return bilevel.BlockOracle(20, **{name: change(name, getattr(ORACLE, name)) for name in names})


def in_buffers():
    """Each function writes its answer into one array of its own."""
    buffers = {}

    def change(name, function):
        def one(key, value):
            buffer = buffers.setdefault((name, key, value.shape), value.copy())
            buffer[:] = value
            return buffer

        def answer(*arguments):
            value = function(*arguments)
            return tuple(map(one, "yt", value)) if isinstance(value, tuple) else one("", value)

        return answer

    return change


def scribbling(name, function):
    """Each function works in the arrays that it is given."""

    def answer(*arguments):
        value = function(*arguments)
        for x in arguments:
            if x is not None:
                x[:] = 7
        return value

    return answer


@pytest.mark.parametrize("variant", ["v1", "v2"])
@pytest.mark.parametrize("change", [in_buffers(), scribbling], ids=["in_buffers", "scribbling"])
def test_the_memory_of_an_oracle_changes_nothing(variant, change):
    settings = {"variant": variant, "block_batch": 5, "step_theta": 0.005, "step_x": 0.5, "maxiter": 40}
    with pytest.warns(ConvergenceWarning):
        expected = bilevel.bsvrb(ORACLE, *START, rng=0, **settings)
    with pytest.warns(ConvergenceWarning):
        result = bilevel.bsvrb(made_of(change), *START, rng=0, **settings)
    assert np.array_equal(result.theta, expected.theta)
    assert np.array_equal(result.x, expected.x)


@pytest.mark.parametrize(
    "name", ["upper", "upper_grad", "lower_grad", "lower_cross_vjp", "lower_hvp", "lower_hess"]
)
def test_complex_answers_are_refused_by_name(name):
    def change(this, function):
        if this != name:
            return function
        if name == "upper_grad":
            return lambda *arguments: (function(*arguments)[0] * 1j, None)
        return lambda *arguments: function(*arguments) * 1j

    with pytest.raises(ValueError, match=f"^{name} must return real numbers, got complex128"):
        bilevel.bsvrb(made_of(change), *START, step_theta=0.1, step_x=0.1)


def test_what_cannot_execute_is_refused():
    with pytest.raises(TypeError, match="executor must have a submit method"):
        bilevel.bsvrb(ORACLE, *START, step_theta=0.1, step_x=0.1, executor=3)


def test_derivatives_of_the_logistic_blocks_are_those_of_differences():
    oracle, rng = logistic(0), np.random.default_rng(1)
    theta, x = rng.normal(size=30), rng.normal(size=(4, 3))
    i, h = np.arange(4), 1e-6
    v, q, t = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.normal(size=30)
    grad = lambda x, theta: oracle.lower_grad(theta, x, i, None)  # noqa: E731
    along = (grad(x + h * v, theta) - grad(x - h * v, theta)) / (2 * h)
    assert_allclose(oracle.lower_hvp(theta, x, i, None, v), along, atol=1e-8)
    assert_allclose(np.einsum("kij,kj->ki", oracle.lower_hess(theta, x, i, None), v), along, atol=1e-8)
    across = np.sum(q * (grad(x, theta + h * t) - grad(x, theta - h * t)), axis=1) / (2 * h)
    assert_allclose(oracle.lower_cross_vjp(theta, x, i, None, q) @ t, across, atol=1e-8)


def test_samples_are_unbiased():
    oracle, rng = logistic(2), np.random.default_rng(3)
    theta, x, i = rng.normal(size=30), rng.normal(size=(4, 3)), np.arange(4)
    v = rng.normal(size=(4, 3))
    every = np.broadcast_to(np.arange(30), (4, 30))  # each sample once: the full mean
    for name, extra in {
        "lower_grad": (),
        "lower_hvp": (v,),
        "lower_cross_vjp": (v,),
        "lower_hess": (),
    }.items():
        f = getattr(oracle, name)
        assert_allclose(f(theta, x, i, every, *extra), f(theta, x, i, None, *extra), atol=1e-13)


def test_the_paths_of_a_seed_are_the_same():
    assert_allclose(run(maxiter=50, rng=4).theta, run(maxiter=50, rng=4).theta, rtol=0)


def test_gamma_of_the_theory_is_clipped():
    """The theory's 8.5 overflows; the default is one, as the guide says."""
    assert np.isfinite(run(block_batch=4).theta).all()
    with np.errstate(all="ignore"):
        wild = run(block_batch=4, gamma=8.5, step_theta=0.02)
    assert wild.status is Status.DIVERGED


class Elsewhere:
    """What is sent goes through pickle, as to another process."""

    def submit(self, function, *arguments):
        future = Future()
        try:
            function, arguments = pickle.loads(pickle.dumps((function, arguments)))
            future.set_result(pickle.loads(pickle.dumps(function(*arguments))))
        except Exception as error:
            future.set_exception(error)
        return future


def _upper(theta, y, i, batch):
    return 0.5 * np.sum((y - 1.0) ** 2, axis=1)


def _upper_grad(theta, y, i, batch):
    return y - 1.0, None


def _lower_grad(theta, y, i, batch):
    return (2.0 + i[:, None]) * y - theta


def _lower_hess(theta, y, i, batch):
    return (2.0 + i)[:, None, None] * np.eye(y.shape[1])


def _lower_hvp(theta, y, i, batch, v):
    return (2.0 + i[:, None]) * v


def _cross(theta, y, i, batch, q):
    return -q


@pytest.mark.parametrize("variant", ["v1", "v2"])
def test_workers_that_share_no_memory_change_nothing(variant):
    oracle = bilevel.BlockOracle(
        6, _upper, upper_grad=_upper_grad, lower_grad=_lower_grad, lower_cross_vjp=_cross,
        lower_hess=_lower_hess, lower_hvp=_lower_hvp,
    )  # fmt: skip

    def path(executor):
        with pytest.warns(ConvergenceWarning):
            return bilevel.bsvrb(
                oracle, np.zeros(3), np.zeros(3), variant=variant, block_batch=4, batch_size=None,
                step_theta=0.1, step_x=0.1, maxiter=15, rng=0, executor=executor,
            )  # fmt: skip

    here, there = path(None), path(Elsewhere())
    assert_allclose(there.theta, here.theta, rtol=1e-12)
    assert_allclose(there.x, here.x, rtol=1e-12)
