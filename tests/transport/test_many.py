"""Problems of several sizes at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from numsolve import ConvergenceWarning, transport


def test_problems_of_several_sizes_have_the_answers_that_they_have_alone():
    many = [transport.problems.random_assignment(n, rng=n) for n in (3, 17, 60)]
    with ThreadPoolExecutor(2) as executor:
        beside = transport.solve_many([(*many[0], 0.5), *many[1:]], reg=0.05, executor=executor)
    for (M, a, b), reg, result in zip(many, (0.5, 0.05, 0.05), beside, strict=True):
        alone = transport.solve(M, a, b, reg)
        np.testing.assert_allclose(result.plan, alone.plan, rtol=1e-9, atol=1e-12)
    exact = transport.solve_many([{"M": M} for M, _, _ in many], reg=0)
    assert all(r.success and r.reg == 0 for r in exact)


def test_problems_that_are_not_reached_in_time_are_none():
    M, a, b = transport.problems.random_assignment(60, rng=0)
    with pytest.warns(ConvergenceWarning):
        results = transport.solve_many([(M, a, b)] * 3, reg=0.01, time_limit=0.0)
    assert len(results) == 3
    assert all(r is None or not r.success for r in results)


@pytest.mark.parametrize(
    ("problem", "message"),
    [(3.0, r"problems\[0\] must be"), ({"a": None}, "has no M"), ({"M": 1, "A": 2}, "'A'")],
)
def test_what_is_not_a_problem_is_named_before_anything_is_solved(problem, message):
    with pytest.raises(TypeError, match=message):
        transport.solve_many([problem], reg=1.0)


def test_settings_of_other_packages_are_answered_as_solve_does():
    with pytest.raises(TypeError, match="given the argument 'numItermax': it is called 'maxiter' here"):
        transport.solve_many([], reg=1.0, numItermax=3)
    with pytest.raises(TypeError, match=r"problems\[0\] has the argument 'stopThr': it is called 'tol' here"):
        transport.solve_many([{"M": np.ones((2, 2)), "stopThr": 1e-3}], reg=1.0)
