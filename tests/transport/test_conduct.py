"""How a run behaves, whatever the method: callbacks, limits, Ctrl-C, warnings, progress, pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from numsolve import transport
from numsolve._core.result import ConvergenceWarning, Status

METHODS = ["newton", "sinkhorn", "sinkhorn_log", "sinkhorn_overrelaxed", "sns"]


def by_method(method):
    return lambda M, a, b, reg, **kw: transport.solve(M, a, b, reg, method=method, **kw)


CALLS = {method: by_method(method) for method in METHODS}
CALLS["sinkhorn()"] = lambda M, a, b, reg, **kw: transport.sinkhorn(a, b, M, reg, **kw)
CALLS["sns()"] = lambda M, a, b, reg, **kw: transport.sinkhorn_newton_sparse(a, b, M, reg, **kw)


@pytest.fixture(params=CALLS.values(), ids=CALLS.keys())
def call(request):
    return request.param


HARD = 0.005  # a regularisation at which every method needs some iterations


def test_the_callback_gets_the_potentials_of_each_iteration(call, problem):
    M, a, b = problem("rectangular 12x17")
    seen = []
    r = call(M, a, b, 0.02, callback=seen.append)
    assert len(seen) == r.nit + 1 == len(r.history)
    assert all(f.shape == (12,) and g.shape == (17,) for f, g in seen)
    P = np.exp((seen[-1][0][:, None] + seen[-1][1] - M) / 0.02)
    np.testing.assert_allclose(P, r.plan, atol=1e-8)


def test_the_callback_may_ask_for_the_result(call, problem):
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result)

    r = call(*problem("rectangular 12x17"), 0.02, callback=callback)
    assert [s.nit for s in seen] == list(range(r.nit + 1))
    np.testing.assert_allclose([s.residual for s in seen], r.history.residual)


@pytest.mark.parametrize("how", ["true", "StopIteration"])
def test_the_callback_can_stop_the_run(call, problem, error, how):
    M, a, b = problem("rectangular 12x17")
    calls = []

    def callback(x):
        calls.append(x)
        if len(calls) == 4 and how == "StopIteration":
            raise StopIteration
        return len(calls) == 4

    r = call(M, a, b, HARD, callback=callback)  # the user's own wish: no warning
    assert r.status is Status.STOPPED
    assert not r.success
    assert r.nit == 3
    assert r.marginal_error == pytest.approx(error(r.plan, a, b), rel=1e-6)


def test_ctrl_c_returns_the_best_iterate(call, problem, error):
    M, a, b = problem("rectangular 12x17")
    calls = []

    def callback(x):
        calls.append(x)
        if len(calls) == 4:
            raise KeyboardInterrupt

    with pytest.warns(ConvergenceWarning, match="interrupted"):
        r = call(M, a, b, HARD, callback=callback)
    assert r.status is Status.INTERRUPTED
    assert r.marginal_error == pytest.approx(error(r.plan, a, b), rel=1e-6)
    assert np.isfinite(r.value)


def test_an_error_in_the_callback_is_not_swallowed(call, problem):
    with pytest.raises(ZeroDivisionError):
        call(*problem("rectangular 12x17"), 0.02, callback=lambda x: 1 / 0)


def test_no_time_gives_the_start(call, problem, error):
    M, a, b = problem("rectangular 12x17")
    with pytest.warns(ConvergenceWarning, match="time limit"):
        r = call(M, a, b, HARD, time_limit=0.0)
    assert r.status is Status.TIME_LIMIT
    assert r.nit <= 1
    assert r.marginal_error == pytest.approx(error(r.plan, a, b), rel=1e-6)


@pytest.mark.parametrize("maxiter", [0, 1, 3])
def test_the_iterations_are_limited(call, problem, error, maxiter):
    M, a, b = problem("rectangular 12x17")
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        r = call(M, a, b, HARD, maxiter=maxiter)
    assert r.status is Status.MAXITER
    assert r.nit == maxiter
    assert r.marginal_error == pytest.approx(error(r.plan, a, b), rel=1e-6)
    f, g = r.potentials
    np.testing.assert_allclose(np.exp((f[:, None] + g - M) / HARD), r.plan, rtol=1e-9)


def test_no_iteration_is_needed_where_the_start_is_the_answer(call):
    b = np.random.default_rng(0).uniform(0.2, 1, 7)
    r = call(np.zeros((6, 7)), None, b / b.sum(), 1.0, maxiter=0)
    assert r.status is Status.CONVERGED
    assert r.nit == 0


def test_the_warning_points_at_the_line_that_called(call, problem):
    with pytest.warns(ConvergenceWarning) as caught:
        call(*problem("rectangular 12x17"), HARD, maxiter=1)
    assert len(caught) == 1
    assert Path(caught[0].filename).name == Path(__file__).name


def test_progress_is_shown_on_stderr_only(call, problem, capsys):
    call(*problem("rectangular 12x17"), 0.05, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "residual" in err


def test_results_tell_are_drawn_and_pickled(call, problem):
    import pickle

    import matplotlib.pyplot as plt

    r = call(*problem("rectangular 12x17"), 0.05)
    assert len(repr(r).splitlines()) < 25
    r.plot().figure.canvas.draw()
    r.plot(what="convergence", against="seconds").figure.canvas.draw()
    plt.close("all")
    back = pickle.loads(pickle.dumps(r))
    assert np.array_equal(back.plan, r.plan)
    assert back.status is r.status
    assert (np.diff(r.history.seconds) >= 0).all()
