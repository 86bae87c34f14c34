"""Small problems, which one compiled call solves."""

from __future__ import annotations

import numpy as np
import pytest

from numsolve import transport
from numsolve._core.limits import Limits
from numsolve.transport._small import solve_small


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 7), (9, 4), (20, 20), (30, 50)])
@pytest.mark.parametrize(("offset", "mass"), [(0.0, 1.0), (1e3, 1e-20), (-5.0, 1e8)])
def test_a_small_problem_has_the_answer_of_newtons_loop(n, m, offset, mass):
    rng = np.random.default_rng(n)
    M, a, b = rng.normal(size=(n, m)) + offset, rng.uniform(0.1, 1, n), rng.uniform(0.1, 1, m)
    a, b = mass * a / a.sum(), mass * b / b.sum()
    small = solve_small(M, a, b, 0.05, Limits(), tol=1e-9, return_plan=True)
    usual = transport.solve(M, a, b, 0.05, method="newton")
    assert small is not None
    assert abs(small.plan.sum(axis=1) - a).sum() + abs(small.plan.sum(axis=0) - b).sum() <= 1.1e-9 * mass
    np.testing.assert_allclose(small.plan, usual.plan, rtol=1e-5, atol=1e-9 * mass)
    f, g = small.potentials
    np.testing.assert_allclose(np.exp((f[:, None] + g - M) / 0.05), small.plan, rtol=1e-8, atol=1e-12 * mass)
    for name in ("value", "value_linear", "kl"):
        assert getattr(small, name) == pytest.approx(getattr(usual, name), rel=1e-6, abs=1e-7 * mass)
    assert small.bounds[0] <= small.bounds[1] + 1e-9 * mass * (1 + abs(offset))
    assert small.bounds[1] == pytest.approx(usual.bounds[1], rel=1e-6)
    assert len(small.history) == small.nit + 1
    assert small.history.residual[-1] <= 1e-9
    assert small.reg_path[-1] == 0.05


def test_what_is_unusual_is_left_to_the_loop_that_has_words_for_it():
    M, half = np.ones((2, 2)), np.array([0.5, 0.5])
    settings = {"tol": 1e-9, "return_plan": True}
    unusual = [
        (M, np.array([1.0, 0.0]), half, 0.1),
        (np.array([[0.0, np.inf], [1.0, 0.0]]), half, half, 0.1),
        (np.array([[0.0, np.nan], [1.0, 0.0]]), half, half, 0.1),
        (M, half, 2 * half, 0.1),
        (M, half, np.ones(3) / 3, 0.1),
        (1e9 * np.eye(2), half, half, 1e-9),
        (M.astype(np.float32), half, half, 0.1),
    ]
    assert all(solve_small(*problem, Limits(), **settings) is None for problem in unusual)
    assert solve_small(M, half, half, 0.1, Limits(time_limit=1.0), **settings) is None
