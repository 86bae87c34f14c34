"""The contract of conduct, run through a solver that keeps it and one by one through solvers that do not."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from contract import Call, Conduct

from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import ConvergenceWarning, Result


def richardson(steps=20, seconds=0.0, *, maxiter=None, callback=None, progress=False, time_limit=None):
    """Halve x, in place, with some work in each step."""
    import time

    limits = Limits(maxiter, time_limit, callback, progress)
    x = np.ones(3)
    with Monitor(limits, rtol=0.75 * 0.5 ** (steps - 1), maxiter=10**9) as it:
        it.record(1.0, x)
        for _ in it:
            began = time.perf_counter()
            while time.perf_counter() - began < seconds:
                pass
            x *= 0.5
            it.record(float(np.max(x)), x)
    return it.result(Result)


class TestConduct(Conduct):
    calls: ClassVar = {
        "halving": Call(
            run=richardson,
            long=lambda **kw: richardson(900, 0.01, **kw),
            measure=lambda r: float(np.max(r.x)),
        )
    }


def writes_back(*, callback=None, **settings):
    """A solver whose callback gets the array that the solver works with."""
    x = np.ones(3)
    with Monitor(Limits(**settings), rtol=2.0**-20, maxiter=100) as it:
        it.record(1.0, x)
        for _ in it:
            x *= 0.5
            it.record(float(np.max(x)), x)
            if callback is not None:
                callback(x)
    return it.result(Result)


def test_a_solver_that_hands_out_its_array_breaks_the_contract():
    with pytest.raises((AssertionError, ConvergenceWarning)):
        Conduct().test_what_a_callback_writes_does_not_reach_the_solver(Call(run=writes_back))


def test_a_solver_that_never_calls_back_breaks_the_contract():
    def deaf(*, callback=None, **settings):
        return richardson(**settings)

    with pytest.raises(AssertionError):
        Conduct().test_the_callback_is_called_after_each_step_and_changes_nothing(Call(run=deaf))
    with pytest.raises(AssertionError):
        Conduct().test_true_stops_the_run_without_a_warning(Call(run=deaf), True)


def test_a_result_that_tells_another_residual_breaks_the_contract():
    with pytest.raises(AssertionError):
        Conduct().test_the_iterations_are_limited(Call(run=richardson, measure=lambda r: 1.0), 3)
