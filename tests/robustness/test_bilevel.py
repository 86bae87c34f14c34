"""Bilevel problems before a quadratic one, whose hypergradient and solution are known."""

from __future__ import annotations

import numpy as np
from robustness.frame import Call, Draw, close, dense, sweep

from numsolve import bilevel


def _quadratic(d: Draw):
    n, m, seed = d.pick(4, 1, 8), d.pick(2, 1, 3), d.size(0, 50)
    problem = bilevel.problems.quadratic(n, m, kappa=d.pick(10.0, 1.0, 1e3), rng=seed)
    return problem, d.rng().standard_normal(m), d.rng().standard_normal(n)


def hypergradient(d: Draw) -> Call:
    problem, theta, x0 = _quadratic(d)

    def judge(got, problem, theta, x0, method="implicit", **_):
        theta = dense(theta)
        if np.abs(theta).max(initial=0) > 1e50:
            return
        error = np.linalg.norm(dense(got.grad) - problem.exact_hypergradient(theta))
        assert error <= float(got.error_bound) * 1.01 + 1e-9 * (1 + np.linalg.norm(theta)), (
            error,
            got.error_bound,
        )

    settings = d.options(
        method=("implicit", "unrolled", "penalty"), tol=(1e-8, 1e-3), solve=("auto", "cg", "dense", "gmres"),
        n_steps=(100, 5), order=(2, 1), check=(True, False), eps=(None, 1e-6), delta=(None, 1e-6),
    )  # fmt: skip
    settings |= d.options(maxiter=(None, 1, 50)) | {"time_limit": 3.0}
    return Call(bilevel.hypergradient, (problem, theta, x0), settings, judge)


def minimize_bilevel(d: Draw) -> Call:
    problem, theta, x0 = _quadratic(d)

    def judge(got, problem, theta0, x0, method="qn", tol=1e-6, theta_bounds=None, **_):
        theta = dense(got.theta)
        slope = problem.exact_hypergradient(theta)
        if theta_bounds is not None:
            low, high = (np.asarray(v, float) for v in theta_bounds)
            assert (theta >= low).all()
            assert (theta <= high).all()
            slope = theta - np.clip(theta - slope, low, high)
        if method in {"qn", "maid", "hoag"}:
            assert np.linalg.norm(slope) <= 2 * float(tol) + 1e-8 * (1 + np.linalg.norm(theta)), slope

    theta = np.minimum(theta, 0.1)  # within the bounds
    settings = d.options(
        method=("qn", "maid", "hoag", "penalty"), tol=(1e-6, 1e-3), max_cost=(None, 10, 2000),
        theta_bounds=(None, (-9.0, 0.2)), solve=("auto", "cg", "dense"), check=(True, False),
    )  # fmt: skip
    settings |= d.options(maxiter=(None, 0, 1, 30)) | {"time_limit": 3.0, "rng": 0}
    return Call(bilevel.minimize_bilevel, (problem, theta, x0), settings, judge)


def BilevelProblem(d: Draw) -> Call:
    known, theta, x0 = _quadratic(d)
    names = ("upper_grad", "lower_grad", "lower_hvp", "lower_cross_vjp", "lower_grad_theta")
    settings = {name: getattr(known, name) for name in names} | d.options(mu=(None, 0.1), L=(None, 1.0))

    def judge(got, upper, lower, **_):
        close(got.upper(x0, theta), known.upper(x0, theta), 1e-12)

    return Call(bilevel.BilevelProblem, (known.upper, known.lower), settings, judge)


def BlockOracle(d: Draw) -> Call:
    known, _ = bilevel.problems.multiblock_quadratic(4, 2, 2, rng=0)
    settings = {k: getattr(known, k) for k in ("upper_grad", "lower_grad", "lower_cross_vjp", "lower_hess")}

    def judge(got, n_blocks, upper, **_):
        assert got.n_blocks == int(n_blocks)

    args = (d.pick(4, 1), known.upper)
    return Call(bilevel.BlockOracle, args, settings | d.options(n_upper=(None, 3), n_lower=(None, 3)), judge)


def bsvrb(d: Draw) -> Call:
    blocks, n, m = d.pick(6, 1, 10), d.pick(3, 1), d.pick(2, 1)
    oracle, solution = bilevel.problems.multiblock_quadratic(blocks, n, m, rng=d.size(0, 20))

    def judge(got, oracle, theta0, x0, tol=1e-6, **_):
        if float(tol) <= 1e-3:
            assert np.abs(dense(got.theta) - solution).max() <= 1e3 * float(tol) + 1e-6

    settings = d.options(
        variant=("v2", "v1"), block_batch=(min(5, blocks), 1), alpha=(0.5, 1.0), gamma=("auto", 0.0),
        beta=(0.1, 1.0),
        theta_estimator=("auto", "saga", "storm"), tol=(1e-6, 1e-2), maxiter=(50, 0, 1, 400),
    )  # fmt: skip
    settings = {"block_batch": 1, "maxiter": 50} | settings | {"step_theta": 0.005, "step_x": 0.5, "rng": 0}
    return Call(bilevel.bsvrb, (oracle, np.zeros(m), np.zeros(n)), settings | {"time_limit": 3.0}, judge)


calls = {f.__name__: f for f in (hypergradient, minimize_bilevel, BilevelProblem, BlockOracle, bsvrb)}
TestBilevel = sweep(
    "bilevel",
    calls,
    without={
        "from_estimator": "it takes an estimator of scikit-learn",
        "EstimatorProblem": "made by from_estimator",
    },
    seldom=("minimize_bilevel",),
)
