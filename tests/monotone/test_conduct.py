"""How a run behaves, whatever the method: callbacks, limits, Ctrl-C, warnings, progress, pictures."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from numsolve import monotone
from numsolve._core.result import ConvergenceWarning, Status

H = np.diag(np.arange(1.0, 6.0))
GAME = np.random.default_rng(0).uniform(-1, 1, (12, 9))
SUM = monotone.AffineFiniteSum(np.random.default_rng(1).normal(size=(60, 5)), np.arange(60.0) / 60)
ROWS = np.random.default_rng(2).random((8, 11))


def lp(c=None, **settings):
    c = -np.ones(11) if c is None else c
    return monotone.solve_lp(c, ROWS, None, 1.0, 0.0, None, **settings)


#: name: (call, length of what its callback sees, or None for a pair)
CALLS = {
    "solve_lp": (lp, (11,)),
    "batch": (lambda **kw: lp(-np.ones((2, 11)) * [[1.0], [1.5]], **kw), (2, 11)),
    "linprog": (lambda **kw: monotone.linprog(-np.ones(11), ROWS, np.ones(8), **kw), (11,)),
    "game": (lambda **kw: monotone.solve_game(GAME, method="simplex-pdhg", **kw), None),
    "game, lp": (lambda **kw: monotone.solve_game(GAME, method="lp", **kw), None),
    "vr_halpern": (lambda **kw: monotone.vr_halpern(SUM, np.zeros(5), rng=0, **kw), (5,)),
    "vr_halpern, lipschitz": (
        lambda **kw: monotone.vr_halpern(SUM, np.zeros(5), rng=0, assumption="lipschitz", **kw),
        (5,),
    ),
} | {
    method: (
        lambda method=method, **kw: monotone.halpern(
            lambda u: H @ u - 1,
            np.zeros(5),
            L=5.0,
            method=method,
            maxiter=kw.pop("maxiter", 100_000),
            tol=1e-2,
            **kw,
        ),
        (5,),
    )
    for method in ("halpern", "eag", "popov", "eg")
}


@pytest.fixture(params=CALLS.values(), ids=CALLS.keys())
def case(request):
    return request.param


@pytest.fixture
def call(case):
    return case[0]


def test_the_callback_gets_the_iterate(case):
    call, shape = case
    seen = []
    r = call(callback=seen.append)
    assert np.all(r.success)
    assert len(seen) == len(r.history)
    if shape is None:
        assert all(x.shape == (9,) and y.shape == (12,) for x, y in seen)
        np.testing.assert_allclose(np.concatenate(seen[-1]), np.concatenate([r.x, r.y]), atol=1e-12)
    else:
        assert all(x.shape == shape for x in seen)
        np.testing.assert_allclose(seen[-1], r.x, atol=1e-12)


def test_the_callback_may_ask_for_the_result(call):
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result)

    r = call(callback=callback)
    np.testing.assert_allclose([s.residual for s in seen], r.history.residual)
    assert [s.nit for s in seen] == r.history.iteration.tolist()


@pytest.mark.parametrize("how", ["true", "StopIteration"])
def test_the_callback_can_stop_the_run(call, how):
    calls = []

    def callback(x):
        calls.append(x)
        if len(calls) == 3 and how == "StopIteration":
            raise StopIteration
        return len(calls) == 3

    try:
        r = call(callback=callback)  # the user's own wish: no warning
    except ConvergenceWarning:
        pytest.fail("a warning for what was asked")
    assert np.all(r.status == Status.STOPPED)
    assert len(calls) == 3


def test_ctrl_c_returns_the_best_iterate(call):
    calls = []

    def callback(x):
        calls.append(x)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.warns(ConvergenceWarning, match="(?i)interrupted"):
        r = call(callback=callback)
    assert np.all(r.status == Status.INTERRUPTED)
    assert np.all(np.isfinite(r.x))


def test_an_error_in_the_callback_is_not_swallowed(call):
    with pytest.raises(ZeroDivisionError):
        call(callback=lambda x: 1 / 0)


def test_no_time_gives_the_start(call):
    with pytest.warns(ConvergenceWarning, match="(?i)time.limit"):
        r = call(time_limit=0.0)
    assert np.all(r.status == Status.TIME_LIMIT)
    assert np.all(np.isfinite(r.x))


@pytest.mark.parametrize("maxiter", [0, 1, 3])
def test_the_iterations_are_limited(call, maxiter):
    with pytest.warns(ConvergenceWarning):
        r = call(maxiter=maxiter)
    assert np.all(r.status == Status.MAXITER)
    assert np.all(np.asarray(r.nit) == maxiter)


def test_the_warning_points_at_the_line_that_called(call):
    with pytest.warns(ConvergenceWarning) as caught:
        call(maxiter=1)
    assert len(caught) == 1
    assert Path(caught[0].filename).name == Path(__file__).name


def test_progress_is_shown_on_stderr_only(call, capsys):
    call(progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "residual" in err


def test_results_tell_are_drawn_and_pickled(call):
    import matplotlib.pyplot as plt

    r = call()
    assert len(repr(r).splitlines()) < 30
    r.plot().figure.canvas.draw()
    plt.close("all")
    back = pickle.loads(pickle.dumps(r))
    np.testing.assert_array_equal(back.x, r.x)
    assert (np.diff(r.history.seconds) >= 0).all()
    assert r.raise_for_status() is r


def test_pictures_of_a_game_and_of_a_closed_form():
    import matplotlib.pyplot as plt

    r = monotone.solve_game(GAME)
    for what in ("strategies", "convergence"):
        r.plot(what=what).figure.canvas.draw()
    monotone.solve_lp([1.0], lx=0).plot().figure.canvas.draw()
    lp().plot(against="seconds").figure.canvas.draw()
    plt.close("all")
