"""How a run behaves: callbacks, limits, Ctrl-C, warnings, progress, pictures."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from numsolve._core.result import ConvergenceWarning, Status
from numsolve.fractional import (
    problems,
    solve_fractional_diffusion,
    solve_riesz_2d,
    solve_riesz_bvp,
    solve_riesz_eig,
)

SIDE = np.random.default_rng(0).normal(size=(101, 101))


def bvp(**settings):
    return solve_riesz_bvp(SIDE[0], 1.5, n=100, p=3, **settings)


def plane(**settings):
    return solve_riesz_2d(SIDE, 1.5, n=100, p=3, method="gmres", **settings)


def time(**settings):
    return solve_fractional_diffusion(SIDE[0] ** 2, 1.5, (0, 1), n=100, p=3, dt=0.125, **settings)


CALLS = {"bvp": bvp, "plane": plane, "time": time}


@pytest.fixture(params=CALLS.values(), ids=CALLS.keys())
def call(request):
    return request.param


def test_the_callback_gets_the_coefficients_of_each_iteration(call):
    seen = []
    r = call(callback=lambda x: seen.append(x.copy()))
    assert len(seen) == r.nit + 1 == len(r.history)
    np.testing.assert_allclose(seen[-1], r.x)
    assert all(x.shape == r.x.shape for x in seen)


def test_the_callback_may_ask_for_the_result(call):
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result)

    r = call(callback=callback)
    assert [s.nit for s in seen] == list(range(r.nit + 1))
    np.testing.assert_allclose([s.residual for s in seen], r.history.residual)


def test_the_callback_can_stop_the_run(call):
    count = []

    def callback(x):
        count.append(x)
        return len(count) == 4

    r = call(callback=callback)
    assert r.status is Status.STOPPED
    assert not r.success
    assert r.nit == 3


def test_ctrl_c_returns_the_best_iterate(call):
    count = []

    def callback(x):
        count.append(x)
        if len(count) == 4:
            raise KeyboardInterrupt

    with pytest.warns(ConvergenceWarning, match="interrupted"):
        r = call(callback=callback)
    assert r.status is Status.INTERRUPTED
    assert np.isfinite(r.x).all()


def test_an_error_in_the_callback_is_not_swallowed(call):
    def callback(x):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call(callback=callback)


def test_the_time_limit(call):
    with pytest.warns(ConvergenceWarning, match="time limit"):
        r = call(time_limit=0.0)
    assert r.status is Status.TIME_LIMIT


def test_progress_is_shown(call, capsys):
    call(progress=True)
    assert "it" in capsys.readouterr().err


@pytest.mark.parametrize("solve", [bvp, plane])
def test_residuals_fall_and_are_true(solve):
    r = solve()
    residual = r.history.residual
    assert (np.diff(residual) < 0).all()
    assert r.residual == residual[-1]
    # An estimate of a truncated run is the true residual of its iterate.
    with pytest.warns(ConvergenceWarning):
        short = solve(maxiter=4)
    assert short.residual == pytest.approx(residual[4], rel=1e-6)


def test_times_after_an_interruption_are_those_reached():
    r = time(callback=lambda intermediate_result: intermediate_result.t >= 0.5)
    np.testing.assert_allclose(r.t, [0, 0.125, 0.25, 0.375, 0.5])
    assert len(r.sol) == 5


RESULTS = {
    "spline": bvp,
    "spectral": lambda: solve_riesz_bvp(np.exp, 1.5),
    "dense": lambda: bvp(method="dense"),
    "plane": plane,
    "time": time,
    "eig": lambda: solve_riesz_eig(1.5, 3),
    "eig of splines": lambda: solve_riesz_eig(1.5, 3, method="spline", n=30),
}


@pytest.mark.parametrize("make", RESULTS.values(), ids=RESULTS.keys())
def test_results(make):
    plt = pytest.importorskip("matplotlib.pyplot")
    r = make()
    assert r.success
    assert r.method
    assert r.reason
    assert len(repr(r)) < 1500
    assert r["method"] == r.method
    axes = r.plot()
    assert axes.get_xlabel() == "x"
    assert r.plot(what="convergence") is not axes
    plt.close("all")
    with pytest.raises(ValueError, match="what must be one of"):
        r.plot(what="all")
    copy = pickle.loads(pickle.dumps(r))
    np.testing.assert_array_equal(copy.x, r.x)
    x = (0.3, 0.4) if make is plane else (0.3,)
    np.testing.assert_array_equal(copy(*x), r(*x))


def test_labels_of_a_family():
    plt = pytest.importorskip("matplotlib.pyplot")
    axes = time().plot(linewidth=1)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[0] == "t = 0"
    assert labels[-1] == "t = 1"
    assert solve_riesz_eig(1.5, 2).plot().get_legend().get_title().get_text() == "eigenvalue"
    plt.close("all")


@pytest.mark.parametrize("m", [1, 3])
@pytest.mark.parametrize("definition", ["rl", "caputo"])
def test_problems_are_consistent_under_reflection(m, definition):
    f, u = problems.bump(m, 1.5, definition=definition)
    x = np.linspace(0.01, 0.99, 99)
    np.testing.assert_allclose(f(x), f(1 - x), rtol=1e-9)
    assert u(-1.0) == u(2.0) == 0
