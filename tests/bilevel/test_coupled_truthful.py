"""LV-HBA: what it claims is true, whatever the scale of the objective and of the start."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

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


@pytest.mark.filterwarnings("ignore::numsolve.ConvergenceWarning")
@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1e-2, 1.0])
def test_success_is_true_at_every_scale_of_the_upper_objective(scale):
    toy, n = bilevel.problems.coupled_toy(5), 5
    problem = bilevel.BilevelProblem(
        lambda x, t: scale * toy.upper(x, t),
        toy.lower,
        upper_grad=lambda x, t: tuple(scale * g for g in toy.upper_grad(x, t)),
        lower_grad=toy.lower_grad,
        lower_hvp=toy.lower_hvp,
        lower_grad_theta=toy.lower_grad_theta,
        lower_eq=(np.ones((1, 2 * n)), np.ones((1, n)), np.zeros(1)),
    )
    result = bilevel.minimize_bilevel(
        problem, np.full(n, 10.0), np.full(2 * n, 10.0), method="lvhba", tol=1e-4, maxiter=300
    )
    exact = np.concatenate([np.full(n, -0.3), np.full(n, 0.7), np.full(n, -0.4)])
    error = np.linalg.norm(np.concatenate([result.theta, result.x]) - exact)
    assert error <= 1e-4 or not result.success
    assert result.success or scale < 1.0
