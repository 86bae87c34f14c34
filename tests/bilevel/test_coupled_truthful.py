"""LV-HBA: what it claims is true, whatever the scale of the objective and of the start."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from numsolve import ConvergenceWarning, Status, bilevel


def simple(**constraints):
    """F = |x - 1|^2 / 2 and f = |x - theta|^2 / 2, one unknown each."""
    return bilevel.BilevelProblem(
        lambda x, t: 0.5 * np.sum((x - 1) ** 2),
        lambda x, t: 0.5 * np.sum((x - t) ** 2),
        upper_grad=lambda x, t: (x - 1, None),
        lower_grad=lambda x, t: x - t,
        lower_hvp=lambda x, t, v: v,
        lower_grad_theta=lambda x, t: t - x,
        **constraints,
    )


def test_a_coupling_that_the_bounds_of_theta_contradict_is_infeasible():
    problem = simple(lower_eq=([[0.0]], [[1.0]], [5.0]), theta_bounds=(0.0, 1.0))
    with pytest.warns(ConvergenceWarning, match="No point was found"):
        result = bilevel.minimize_bilevel(problem, [0.5], [0.0], method="lvhba", tol=1e-3)
    assert result.status is Status.INFEASIBLE


def test_a_start_far_outside_of_the_inequalities_is_not_infeasible():
    problem = simple(lower_ineq=([[1.0]], [[1.0]], [1.0]))
    with pytest.warns(ConvergenceWarning):
        result = bilevel.minimize_bilevel(problem, [0.0], [1e9], method="lvhba", tol=1e-3, maxiter=0)
    assert result.status is Status.MAXITER
    assert_allclose([result.x[0], result.theta[0]], [5e8 + 0.5, 0.5 - 5e8], rtol=1e-9)


EXACT = np.repeat([0.7, -0.4, -0.3], 5)  # x1, x2 and theta of the toy


def toy(F=1.0, f=1.0, rows=1.0, unit=1.0):
    """The coupled toy in other units of its objectives, its constraint and its variables."""
    given, n = bilevel.problems.coupled_toy(5), 5
    return bilevel.BilevelProblem(
        lambda x, t: F * given.upper(x / unit, t / unit),
        lambda x, t: f * given.lower(x / unit, t / unit),
        upper_grad=lambda x, t: tuple(F / unit * g for g in given.upper_grad(x / unit, t / unit)),
        lower_grad=lambda x, t: f / unit * given.lower_grad(x / unit, t / unit),
        lower_hvp=lambda x, t, v: f / unit**2 * given.lower_hvp(x, t, v),
        lower_grad_theta=lambda x, t: f / unit * given.lower_grad_theta(x / unit, t / unit),
        lower_eq=(rows * np.ones((1, 2 * n)), rows * np.ones((1, n)), np.zeros(1)),
    )


@pytest.mark.parametrize(
    "units",
    [
        {"F": 1e-8}, {"f": 1e-6}, {"F": 1e-3, "f": 1e6}, {"rows": 1e-8}, {"unit": 1e3},
        {"F": 1e3, "f": 1e-6, "rows": 1e4, "unit": 10.0},
    ],
    ids=str,
)  # fmt: skip
def test_the_same_solution_is_found_in_all_units(units):
    unit = units.get("unit", 1.0)
    start = np.full(5, 10.0 * unit), np.full(10, 10.0 * unit)
    result = bilevel.minimize_bilevel(toy(**units), *start, method="lvhba", tol=1e-4 * unit)
    assert result.success
    error = np.linalg.norm(np.concatenate([result.x, result.theta]) / unit - EXACT)
    assert error <= 1e-4


@pytest.mark.parametrize("kind", ["lower_eq", "lower_ineq"])
@pytest.mark.parametrize("far", [0.0, 1e9])
def test_the_solution_is_found_from_far_away(kind, far):
    """x = 1 - theta for the equation, so that F falls to zero; min(theta, 1 - theta) for the inequality."""
    one = [[1.0]]
    result = bilevel.minimize_bilevel(
        simple(**{kind: (one, one, [1.0])}), [0.0], [far], method="lvhba", tol=1e-4
    )
    assert result.success
    best = [1.0, 0.0] if kind == "lower_eq" else [0.5, 0.5]
    assert_allclose([result.x[0], result.theta[0]], best, atol=1e-4)


def test_a_lower_solution_that_the_multiplier_holds_back_is_found():
    """x*(t) = min(t, 1 - t) elementwise, with F = sum (x - a)^2 / 2 + (t - b)^2 / 8 of many elements."""
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0, 1, 6), rng.uniform(-1, 2, 6)
    eye = np.eye(6)
    problem = bilevel.BilevelProblem(
        lambda x, t: 0.5 * np.sum((x - a) ** 2) + 0.125 * np.sum((t - b) ** 2),
        lambda x, t: 0.5 * np.sum((x - t) ** 2),
        upper_grad=lambda x, t: (x - a, 0.25 * (t - b)),
        lower_grad=lambda x, t: x - t,
        lower_hvp=lambda x, t, v: v,
        lower_grad_theta=lambda x, t: t - x,
        lower_ineq=(eye, eye, np.ones(6)),
    )
    result = bilevel.minimize_bilevel(problem, np.zeros(6), np.zeros(6), method="lvhba", tol=1e-3)
    assert result.success
    # A fixed point of the elementwise problem: x follows from theta, and no small move of theta is better.
    value = lambda t: 0.5 * (np.minimum(t, 1 - t) - a) ** 2 + 0.125 * (t - b) ** 2  # noqa: E731
    assert_allclose(result.x, np.minimum(result.theta, 1 - result.theta), atol=1e-3)
    for move in (-0.02, 0.02):
        assert (value(result.theta + move) >= value(result.theta)).all()


def test_the_published_single_steps_approach_the_solution_as_their_weight_grows():
    """The bias is O(1/c_k), c_k as the root of k: four times the steps, about half of the error."""
    errors = []
    for steps in (1000, 4000):
        with pytest.warns(ConvergenceWarning):
            result = bilevel.minimize_bilevel(
                toy(), np.full(5, 10.0), np.full(10, 10.0), method="lvhba-single", maxiter=steps
            )
        assert result.status is Status.MAXITER  # it never knows
        assert abs(np.sum(result.x) + np.sum(result.theta)) < 1e-10  # but stays in the coupling
        errors.append(np.linalg.norm(np.concatenate([result.x, result.theta]) - EXACT))
    assert 0.4 * errors[0] < errors[1] < 0.6 * errors[0]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tol", [1e-2, 1e-4])
def test_random_inequalities_lead_to_a_local_optimum(seed, tol):
    """f = |x - D theta - d|^2 / 2 on A x + E theta <= b: x* by enumeration of the active sets."""
    rng = np.random.default_rng(seed)
    D, d, A, E = rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=(2, 3)), rng.normal(size=(2, 2))
    E, b, a = 0.3 * E, np.abs(rng.normal(size=2)), rng.normal(size=3)
    problem = bilevel.BilevelProblem(
        lambda x, t: 0.5 * np.sum((x - a) ** 2) + 0.25 * t @ t,
        lambda x, t: 0.5 * x @ x - (D @ t + d) @ x,
        upper_grad=lambda x, t: (x - a, 0.5 * t),
        lower_grad=lambda x, t: x - D @ t - d,
        lower_hvp=lambda x, t, v: v,
        lower_grad_theta=lambda x, t: -D.T @ x,
        lower_ineq=(A, E, b),
    )

    def lower(t):
        for active in ([], [0], [1], [0, 1]):
            rows, room = A[active], (b - E @ t)[active]
            multipliers = np.linalg.solve(rows @ rows.T, rows @ (D @ t + d) - room)
            x = D @ t + d - rows.T @ multipliers
            if (multipliers >= -1e-10).all() and (A @ x <= b - E @ t + 1e-9).all():
                return x
        raise AssertionError

    result = bilevel.minimize_bilevel(problem, np.zeros(2), np.zeros(3), method="lvhba", tol=tol)
    assert result.success
    value = lambda t: problem.upper(lower(t), t)  # noqa: E731
    settings = {"xatol": 1e-9, "fatol": 1e-14, "maxiter": 4000}
    near = minimize(value, result.theta, method="Nelder-Mead", options=settings).x
    near = minimize(value, near, method="Nelder-Mead", options=settings).x
    error = np.concatenate([near - result.theta, lower(near) - result.x])
    assert np.linalg.norm(error) <= tol


@pytest.mark.parametrize("bounds", [(-20.0, 20.0), (-np.inf, 1e6)])
def test_bounds_that_hold_nothing_back_change_nothing(bounds):
    start = np.full(5, 10.0), np.full(10, 10.0)
    result = bilevel.minimize_bilevel(toy(), *start, method="lvhba", tol=1e-4, theta_bounds=bounds)
    assert result.success
    assert_allclose(result.theta, -0.3, atol=1e-4)
    assert result.nupper < 100
