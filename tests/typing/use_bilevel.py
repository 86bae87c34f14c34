"""What a type checker sees of numsolve.bilevel. Checked in strict mode, never run."""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

from numsolve import Status, bilevel

Floats = NDArray[np.float64]


def upper(x: Floats, theta: Floats) -> float:
    """A cost."""
    return float(x @ x - theta @ x)


def upper_grad(x: Floats, theta: Floats) -> tuple[Floats, Floats | None]:
    """Its derivatives."""
    return 2 * x - theta, -x


def slope(x: Floats, theta: Floats) -> Floats:
    """The lower one."""
    return 2 * x - theta


def problems(images: NDArray[np.float64]) -> None:
    """Ready problems, and one stated by hand."""
    quadratic = bilevel.problems.quadratic(10, 3, rng=0)
    theta, x = quadratic.solution()
    assert_type(theta, NDArray[Any])
    assert_type(x, NDArray[Any])
    assert_type(bilevel.problems.tv_denoising(images, images), bilevel.BilevelProblem)
    own = bilevel.BilevelProblem(upper, upper, upper_grad=upper_grad, lower_grad=slope, mu=2.0)
    assert_type(own.constant("mu", theta), float | None)


def solvers(problem: bilevel.BilevelProblem, theta: NDArray[np.float64]) -> None:
    """Results like any other."""
    result = bilevel.minimize_bilevel(problem, theta, [0.0, 1.0], method="qn", tol=1e-6, time_limit=1.0)
    assert_type(result, bilevel.BilevelResult)
    assert_type(result.theta, NDArray[Any])
    assert_type(result.error_bound, float)
    assert_type(result.status, Status)
    slope = bilevel.hypergradient(problem, theta, theta, solve="dense")
    assert_type(slope, bilevel.HypergradientResult)
    assert_type(slope.grad, NDArray[Any])


def blocks(theta: NDArray[np.float64]) -> None:
    """Many blocks."""
    oracle, solution = bilevel.problems.multiblock_quadratic(4, 3, 2)
    assert_type(oracle, bilevel.BlockOracle)
    assert_type(solution, NDArray[Any])
    result = bilevel.bsvrb(oracle, theta, theta, step_theta=0.1, step_x=0.1, rng=1)
    assert_type(result, bilevel.BlockResult)


def estimators(model: Any, X: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Through scikit-learn."""
    problem = bilevel.from_estimator(model, X, y, X, y, weights="shared")
    assert_type(problem, bilevel.EstimatorProblem)
    assert_type(problem.theta0, NDArray[Any])


def mistakes(problem: bilevel.BilevelProblem) -> None:
    """What a checker has to find before the program runs."""
    bilevel.minimize_bilevel(problem, [0.0])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    bilevel.minimize_bilevel(problem, [0.0], [0.0], method="adam")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bilevel.hypergradient(problem, [0.0], [0.0], tol="0.1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
