"""How a run behaves: the contract of the house, and what is particular to batches, cycles and polishing."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
import warnings
from typing import ClassVar

import numpy as np
import pytest
from contract import Call, Conduct
from threadpoolctl import threadpool_limits

from numsolve import monotone
from numsolve._core.result import ConvergenceWarning, Status

INF = float("inf")
H = np.diag(np.arange(1.0, 6.0))
GAME = np.random.default_rng(0).uniform(-1, 1, (12, 9))
SUM = monotone.AffineFiniteSum(np.random.default_rng(1).normal(size=(60, 5)), np.arange(60.0) / 60)
CALLED = monotone.FiniteSum(60, SUM.full, SUM.batch, L=SUM.constant("uniform"))
ROWS = np.random.default_rng(2).random((8, 11))
SMALL_LP = (-np.ones(11), ROWS, np.full(8, -INF), np.ones(8), np.zeros(11), np.full(11, INF))

RNG = np.random.default_rng(3)
# Soon prepared, so that Ctrl-C finds it at work; to a tolerance of zero it takes forever.
LARGE_ROWS = RNG.random((60, 90))
LARGE_LP = (-RNG.random(90), LARGE_ROWS, np.full(60, -INF), np.ones(60), np.zeros(90), np.full(90, INF))
EQUATIONS = LARGE_ROWS @ RNG.random(90)  # no point satisfies them exactly
EQUAL_LP = (LARGE_LP[0], LARGE_ROWS, EQUATIONS, EQUATIONS, np.zeros(90), np.full(90, INF))
LARGE_GAME = RNG.uniform(-1, 1, (80, 100))
LARGE_H = RNG.normal(size=(900, 900))
LARGE_H = LARGE_H.T @ LARGE_H / 900
LARGE_SUM = monotone.AffineFiniteSum(RNG.normal(size=(20_000, 50)), RNG.normal(size=20_000))
LARGE_CALLED = monotone.FiniteSum(20_000, LARGE_SUM.full, LARGE_SUM.batch, L=LARGE_SUM.constant("uniform"))


def lp_residual(lp):
    """The largest of the three residuals, written anew."""

    def measure(r):
        c, A, lc, uc, lx, _ = lp
        ax, d = A @ r.x, c - A.T @ r.y
        leant = np.where(r.y > 0, lc, np.where(r.y < 0, uc, 0.0))
        b = np.where(ax < lc, lc, np.where(ax > uc, uc, leant))
        small_b, small_c = min(1.0, abs(uc).max()), min(1.0, abs(c).max())
        primal = np.linalg.norm(ax - np.clip(ax, lc, uc)) / (small_b + np.linalg.norm(b))
        between = (r.x > lx) | (d <= 0)  # ux is infinite in all of these
        dual = np.linalg.norm(d[d < 0]) / (small_c + np.linalg.norm(c[between]))
        bound = r.y[r.y < 0] @ uc[r.y < 0] + r.y[r.y > 0] @ lc[r.y > 0] + d[d > 0] @ lx[d > 0]
        return max(primal, dual, abs(c @ r.x - bound) / (small_b * small_c + abs(c @ r.x) + abs(bound)))

    return measure


def game_residual(A):
    def measure(r):
        spreads = np.concatenate([np.ptp(A, axis=0), np.ptp(A, axis=1)])
        unit = np.sort(spreads)[(spreads.size - 1) // 2] / 2
        dx = monotone.project_simplex(r.x - A.T @ r.y / unit) - r.x
        dy = monotone.project_simplex(r.y + A @ r.x / unit) - r.y
        return np.hypot(np.linalg.norm(dx), np.linalg.norm(dy))

    return measure


def sum_residual(problem):
    return lambda r: np.linalg.norm(problem.full(r.x))


def either(small, large, count):
    """A measure of results of `run` and of `long`, told apart by the length of x."""
    return lambda r: (small if len(r.x) == count else large)(r)


def halpern(method):
    def run(**settings):
        settings = {"maxiter": 100_000, **settings}
        return monotone.halpern(lambda u: H @ u - 1, np.zeros(5), L=5.0, method=method, tol=1e-2, **settings)

    def long(**settings):
        settings = {"maxiter": 10**7, "tol": 0.0, "L": 5.0, "method": method, **settings}
        return monotone.halpern(lambda u: LARGE_H @ u - 1, np.zeros(900), **settings)

    def measure(r):
        return np.linalg.norm((H if len(r.x) == 5 else LARGE_H) @ r.x - 1)

    return Call(run, long, measure)


def vr(problem, large, **settings):
    d, size = problem.size if hasattr(problem, "size") else 5, getattr(large, "size", 50)
    return Call(
        lambda **kw: monotone.vr_halpern(problem, np.zeros(d), **{"rng": 0, **settings, **kw}),
        lambda **kw: monotone.vr_halpern(
            large, np.zeros(size), **{"rng": 0, "max_epochs": INF, **settings, "tol": 0.0, **kw}
        ),
        either(sum_residual(problem), sum_residual(large), d),
        steps=False,  # the callback is called after exact residuals only
    )


class TestConduct(Conduct):
    calls: ClassVar = {
        "solve_lp": Call(
            lambda **kw: monotone.solve_lp(*SMALL_LP, **kw),
            lambda **kw: monotone.solve_lp(*LARGE_LP, **{"tol": 0.0, "maxiter": 10**9, **kw}),
            either(lp_residual(SMALL_LP), lp_residual(LARGE_LP), 11),
        ),
        "solve_lp, presolved": Call(
            lambda **kw: monotone.solve_lp(*SMALL_LP, presolve=True, **kw),
            lambda **kw: monotone.solve_lp(*LARGE_LP, presolve=True, **{"tol": 0.0, "maxiter": 10**9, **kw}),
            either(lp_residual(SMALL_LP), lp_residual(LARGE_LP), 11),
        ),
        "solve_lp, polished": Call(
            lambda **kw: monotone.solve_lp(*SMALL_LP, polish=1e-9, tol=1e-4, **kw),
            # the run converges at once, its polishing does not
            lambda **kw: monotone.solve_lp(
                *EQUAL_LP, **{"tol": 0.1, "polish": 1e-300, "maxiter": 10**9, **kw}
            ),
            steps=False,  # nit counts the polishing, which nobody watches
        ),
        "linprog": Call(
            lambda **kw: monotone.linprog(SMALL_LP[0], ROWS, np.ones(8), **kw),
            lambda **kw: monotone.linprog(
                LARGE_LP[0], LARGE_ROWS, np.ones(60), **{"tol": 0.0, "maxiter": 10**9, **kw}
            ),
            either(lp_residual(SMALL_LP), lp_residual(LARGE_LP), 11),
        ),
        **{
            f"solve_game, {method}": Call(
                lambda method=method, **kw: monotone.solve_game(GAME, method=method, **kw),
                lambda method=method, **kw: monotone.solve_game(
                    LARGE_GAME, **{"method": method, "tol": 0.0, "maxiter": 10**9, **kw}
                ),
                either(game_residual(GAME), game_residual(LARGE_GAME), 9),
            )
            for method in ("lp", "simplex-pdhg")
        },
        **{f"halpern, {method}": halpern(method) for method in ("halpern", "eag", "popov", "eg")},
        "vr_halpern": vr(SUM, LARGE_SUM),
        "vr_halpern, rare refreshes": vr(SUM, LARGE_SUM, prob=0.05),
        "vr_halpern, lipschitz": vr(SUM, LARGE_SUM, assumption="lipschitz"),
        "vr_halpern, functions": vr(CALLED, LARGE_CALLED),
        "vr_halpern, functions, lipschitz": vr(CALLED, LARGE_CALLED, assumption="lipschitz"),
    }


# --- cycles without an end ------------------------------------------------------------------------


@pytest.mark.parametrize("assumption", ["cocoercive", "lipschitz"])
@pytest.mark.parametrize("form", [SUM, CALLED], ids=["compiled", "called"])
@pytest.mark.parametrize("prob", [1e-12, 0.5])
def test_the_budget_bounds_a_run_whatever_the_odds_of_a_refresh(form, prob, assumption):
    with pytest.warns(ConvergenceWarning, match="max_epochs"):
        r = monotone.vr_halpern(
            form, np.ones(5), prob=prob, max_epochs=5, tol=0.0, rng=0, assumption=assumption
        )
    assert 5 <= r.epochs <= 8
    assert r.residual == pytest.approx(np.linalg.norm(SUM.full(r.x)), rel=1e-9)
    # What was done without a refresh is measured at the end: it is not the start that comes back.
    assert len(r.history) > 1
    assert r.history.epochs[-1] == r.epochs


@pytest.mark.parametrize("assumption", ["cocoercive", "lipschitz"])
def test_the_time_limit_reaches_into_a_cycle(assumption):
    settings = {"prob": 1e-12, "max_epochs": INF, "tol": 0.0, "rng": 0, "assumption": assumption}
    for limit in (0.02, 0.3):
        began = time.process_time()
        with pytest.warns(ConvergenceWarning, match="time limit"):
            r = monotone.vr_halpern(SUM, np.ones(5), time_limit=limit, **settings)
        spent = time.process_time() - began
    assert r.status is Status.TIME_LIMIT
    assert spent < 0.5
    assert r.residual < np.linalg.norm(SUM.full(np.ones(5)))


def test_the_last_iterate_is_measured_at_the_iteration_limit():
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        r = monotone.vr_halpern(SUM, np.ones(5), prob=1e-12, maxiter=40, tol=0.0, rng=0)
    np.testing.assert_array_equal(r.history.iteration, [0, 40])
    assert r.residual == r.history.residual.min()


# --- batches --------------------------------------------------------------------------------------


def batch(**settings):
    return monotone.solve_lp(SMALL_LP[0] * [[1.0], [1.5]], *SMALL_LP[1:], **settings)


def large_batch(**settings):
    """The first program is solved at its start, the others never; rounding errors may end one of them."""
    costs = np.concatenate([np.zeros((1, 90)), LARGE_LP[0] * RNG.uniform(0.5, 2.0, (3, 1))])
    return monotone.solve_lp(costs, *LARGE_LP[1:], **{"tol": 1e-300, "maxiter": 10**9, **settings})


def test_a_batch_is_watched_as_a_whole_and_ends_where_it_would_alone():
    seen = []
    watched, alone = batch(callback=seen.append), batch()
    assert all(x.shape == (2, 11) for x in seen)
    np.testing.assert_allclose(watched.x, alone.x, rtol=1e-8, atol=1e-8)  # array code, and then the kernel
    np.testing.assert_array_equal(watched.nit, alone.nit)
    assert len(seen) == watched.nit.max()
    assert pickle.loads(pickle.dumps(watched)).success.all()


@pytest.mark.parametrize("how", [True, KeyboardInterrupt])
def test_a_batch_can_be_stopped(how):
    calls = []

    def callback(x):
        calls.append(x)
        if len(calls) == 3 and how is KeyboardInterrupt:
            raise KeyboardInterrupt
        return len(calls) == 3

    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if how is KeyboardInterrupt else "error")
        r = batch(callback=callback)
    assert (r.status == (Status.STOPPED if how is True else Status.INTERRUPTED)).all()
    assert (r.nit == 3).all()
    assert np.isfinite(r.x).all()


def test_a_batch_keeps_the_time_limit_and_what_is_done():
    with pytest.warns(ConvergenceWarning, match="1 CONVERGED, .*TIME_LIMIT"):
        large_batch(time_limit=0.05)
    began = time.process_time()
    with threadpool_limits(1), pytest.warns(ConvergenceWarning, match="1 CONVERGED, .*TIME_LIMIT"):
        r = large_batch(time_limit=1.0)
    assert time.process_time() - began < 1.4
    assert r.nit[0] == 0
    assert set(r.status[1:].tolist()) <= {Status.TIME_LIMIT, Status.STAGNATED}
    assert (r.nit[1:] > 0).all()


@pytest.mark.slow
def test_ctrl_c_ends_a_batch_as_a_whole(keyboard):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for moment in np.random.default_rng(0).uniform(0.3, 0.8, 5):
            timer = threading.Timer(moment, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            r = large_batch(time_limit=60.0)
            timer.join()
            # Where rounding errors have ended a program by then, that stays.
            assert r.status[0] == Status.CONVERGED
            assert set(r.status[1:].tolist()) <= {Status.INTERRUPTED, Status.STAGNATED}
            assert Status.INTERRUPTED in r.status
            assert np.isfinite(r.x).all()


# --- within a run ---------------------------------------------------------------------------------


def test_a_time_limit_while_polishing_is_told():
    with pytest.warns(ConvergenceWarning, match="had converged to 1.0e-01; polishing was cut short"):
        r = monotone.solve_lp(*EQUAL_LP, tol=0.1, polish=1e-300, maxiter=10**9, time_limit=0.5)
    assert r.status is Status.TIME_LIMIT
    assert r.residual <= 0.1 + 1e-9


@pytest.mark.parametrize("where", ["before HiGHS", "within HiGHS"])
def test_ctrl_c_on_the_way_to_a_vertex_keeps_the_solution(where, monkeypatch, keyboard):
    highspy = pytest.importorskip("highspy")
    looks = []

    class Interrupted(highspy.Highs):
        def run(self):
            if where == "before HiGHS":
                signal.raise_signal(signal.SIGINT)
            self.cbSimplexInterrupt += self.press
            return super().run()

        def press(self, event):
            looks.append(event)
            if len(looks) == 2:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(highspy, "Highs", Interrupted)
    # at a tolerance of 1e9 HiGHS starts from nothing, and has hundreds of steps to go
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        r = monotone.solve_lp(*LARGE_LP, tol=1e9, polish="basic")
    assert len(looks) == (0 if where == "before HiGHS" else 2)
    assert r.status is Status.INTERRUPTED
    assert np.isfinite(r.x).all()


def test_pictures_of_a_game_and_of_a_closed_form():
    import matplotlib.pyplot as plt

    r = monotone.solve_game(GAME)
    r.plot().figure.canvas.draw()
    for what in ("strategies", "convergence"):
        r.plot(what=what, color="C3").figure.canvas.draw()
    monotone.solve_lp([1.0], lx=0).plot().figure.canvas.draw()
    monotone.solve_lp(*SMALL_LP).plot(against="seconds", linewidth=3.0).figure.canvas.draw()
    plt.close("all")
