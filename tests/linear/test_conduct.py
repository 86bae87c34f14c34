"""How a run behaves, whatever the method: callbacks, limits, Ctrl-C, warnings, progress, pictures."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from numsolve import ConvergenceWarning, Status, linear
from numsolve.linear.problems import laplacian

A, B = laplacian(20), np.random.default_rng(0).standard_normal(400)
CALLS = {
    "sor": lambda **kw: linear.sor(A, B, **{"omega": 1.5, "rtol": 1e-8, **kw}),
    "sor, adaptive": lambda **kw: linear.sor(A, B, **{"omega": "adaptive", "rtol": 1e-8, **kw}),
    "sor, backward": lambda **kw: linear.sor(A, B, **{"omega": 1.5, "sweep": "backward", "rtol": 1e-8, **kw}),
    "ssor": lambda **kw: linear.ssor(A, B, **{"omega": 1.5, "rtol": 1e-8, **kw}),
    "cg": lambda **kw: linear.cg(A, B, **{"rtol": 1e-8, **kw}),
    "cg, operator": lambda **kw: linear.cg(A.toarray(), B, **{"rtol": 1e-8, **kw}),
    "ssor_cg": lambda **kw: linear.ssor_cg(A, B, **{"omega": 1.5, "rtol": 1e-8, **kw}),
    "ssor_cg, standard": lambda **kw: linear.ssor_cg(A, B, **{"rtol": 1e-8, "method": "standard", **kw}),
}


@pytest.fixture(params=CALLS.values(), ids=CALLS.keys())
def call(request):
    return request.param


def error(x):
    return np.linalg.norm(B - A @ x)


def test_the_callback_gets_every_iterate_and_changes_nothing(call):
    seen = []
    r = call(callback=lambda x: seen.append(x.copy()))
    assert len(seen) == r.nit + 1 == len(r.history)
    np.testing.assert_allclose([error(x) for x in seen], r.history.residual, rtol=1e-5)
    quiet = call()
    assert quiet.nit == r.nit
    assert np.array_equal(quiet.x, r.x)


def test_the_callback_may_ask_for_the_result(call):
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result)

    r = call(callback=callback)
    assert [s.nit for s in seen] == list(range(r.nit + 1))


@pytest.mark.parametrize("how", ["true", "StopIteration"])
def test_the_callback_can_stop_the_run(call, how):
    calls = []

    def callback(x):
        calls.append(x)
        if len(calls) == 4 and how == "StopIteration":
            raise StopIteration
        return len(calls) == 4

    r = call(callback=callback)
    assert r.status is Status.STOPPED
    assert not r.success
    assert r.info == r.nit == 3
    assert r.residual == pytest.approx(error(r.x))


def test_ctrl_c_returns_the_best_iterate(call):
    calls = []

    def callback(x):
        calls.append(x)
        if len(calls) == 4:
            raise KeyboardInterrupt

    with pytest.warns(ConvergenceWarning, match="interrupted"):
        r = call(callback=callback)
    assert r.status is Status.INTERRUPTED
    assert r.residual == pytest.approx(error(r.x))


def test_an_error_in_the_callback_is_not_swallowed(call):
    with pytest.raises(ZeroDivisionError):
        call(callback=lambda x: 1 / 0)


def test_no_time_gives_the_start(call):
    with pytest.warns(ConvergenceWarning, match="time limit"):
        r = call(time_limit=0.0)
    assert r.status is Status.TIME_LIMIT
    assert r.nit <= 1


@pytest.mark.parametrize("maxiter", [0, 1, 3])
def test_the_iterations_are_limited(call, maxiter):
    with pytest.warns(ConvergenceWarning, match="iteration limit") as caught:
        r = call(maxiter=maxiter)
    assert r.status is Status.MAXITER
    assert r.nit == maxiter
    assert r.residual == pytest.approx(error(r.x))
    assert len(caught) == 1
    assert Path(caught[0].filename).name == Path(__file__).name


def test_a_run_of_many_chunks_is_the_run_of_one(call, monkeypatch):
    whole = call()
    monkeypatch.setattr("numsolve._core.monitor.CHUNK_SECONDS", 1e-5)
    parts = call()
    assert parts.nit == whole.nit
    np.testing.assert_allclose(parts.x, whole.x, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(parts.history.residual, whole.history.residual, rtol=1e-6)


def test_progress_is_shown_on_stderr_only(call, capsys):
    call(progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "residual" in err


def test_results_tell_are_drawn_and_pickled(call):
    import matplotlib.pyplot as plt

    r = call()
    assert len(repr(r).splitlines()) < 15
    r.plot().figure.canvas.draw()
    plt.close("all")
    back = pickle.loads(pickle.dumps(r))
    assert np.array_equal(back.x, r.x)
    assert back.info == 0
    assert r.setup_time >= 0
    assert r.solve_time > 0
    assert r["rhs_norm"] == pytest.approx(np.linalg.norm(B))
    assert set(r.keys()) >= {"x", "residual", "omega", "setup_time", "solve_time"}
