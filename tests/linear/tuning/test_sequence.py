"""Tuned solvers over sequences: warm starts, contexts, costs, foreign solvers, saving, pictures."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from numsolve import ConvergenceWarning, Status, linear
from numsolve._core.keyboard import thread as threads
from numsolve.linear.problems import heat_equation, laplacian, shifted_laplacians
from numsolve.linear.tuning import _own
from numsolve.linear.tuning._clock import Clock
from numsolve.linear.tuning.warm_start import WarmStart

ARMS = np.linspace(1, 1.95, 20)


@pytest.mark.parametrize(
    ("rule", "total"),
    [("zero", 9356), ("previous", 8520), ("linear", 8110), ("quadratic", 8028), ("galerkin:6", 7781)],
)
def test_the_measured_counts_of_the_warm_starts(rule, total):
    """A quarter of the published thousand steps; the stiff ones, where the starts differ, come after them."""
    solver = linear.TunedSolver("ssor_cg", arms=[1.6], rtol=1e-8, warm_start=rule)
    got = sum(r.nit for r in linear.solve_sequence(heat_equation(50, 1000), solver))
    assert got == pytest.approx(total, abs=20)


def test_extrapolation_is_exact_for_polynomials():
    for rule, degree in (("previous", 0), ("linear", 1), ("quadratic", 2)):
        warm = WarmStart(rule)
        path = [np.array([1.0, -2.0]) * t**degree + degree for t in range(5)]
        for x in path[:-1]:
            warm.remember(x)
        np.testing.assert_allclose(warm.start(None, path[0]), path[-1])


def test_galerkin_starts_at_the_best_combination():
    A, rng = laplacian(6), np.random.default_rng(0)
    past, b = rng.standard_normal((3, 36)), rng.standard_normal(36)
    warm = WarmStart("galerkin:3")
    for x in past:
        warm.remember(x)
    V = np.stack([*past, b], axis=1)
    y = np.linalg.solve(V.T @ (A @ V), V.T @ b)
    np.testing.assert_allclose(warm.start(A, b), V @ y, rtol=1e-9)
    warm.remember(past[0])  # dependent vectors do no harm
    warm.remember(past[0])
    assert np.isfinite(warm.start(A, b)).all()


def test_the_solver_learns_and_every_system_is_solved():
    solver = linear.TunedSolver("sor", rtol=1e-8, warm_start="zero", rng=0)
    for A, b, c in shifted_laplacians(400, "high", rng=1):
        r = solver(A, b, context=c)
        assert r.success
        assert np.linalg.norm(b - A @ r.x) <= 1.01e-8 * np.linalg.norm(b)
        assert r.omega == solver.history.arms[-1]
        assert r.nit == solver.history.costs[-1]
    costs = np.array(solver.history.costs)
    assert costs[-100:].sum() < 0.85 * costs[:100].sum()
    assert solver.history.contexts[-1] == c
    assert isinstance(solver.tuner, linear.SmoothCB)


def test_the_automatic_context_of_what_is_no_number_is_refused():
    with pytest.raises(ValueError, match="A must hold finite numbers"):
        linear.automatic_context([[1.0, 0.0], [0.0, float("inf")]])


def test_the_automatic_context_orders_the_shifts():
    shifts = [-0.14, -0.01, 0.0, 0.05, 0.4, 3.0, 100.0]
    contexts = [linear.automatic_context(laplacian(8, shift=s)) for s in shifts]
    assert (np.diff(contexts) < 0).all()
    A = laplacian(8, shift=0.4)
    quotient = A.sum() / A.trace()  # of the constant vector
    assert contexts[4] == pytest.approx(-np.arcsinh(1000 * quotient))
    assert linear.automatic_context(-np.eye(3) + 9) > 0  # the diagonal does not dominate
    assert linear.automatic_context(sp.csr_array((0, 0))) == 0.0


def test_the_automatic_context_is_as_good_as_the_given_one():
    totals = {}
    for name in ("automatic", "given"):
        solver = linear.TunedSolver("ssor_cg", rtol=1e-8, rng=0)
        systems = heat_equation(25, 600)
        A, b, c = next(systems)
        for _ in range(599):
            x = solver(A, b, context=c if name == "given" else None).x
            A, b, c = systems.send(x)
        totals[name] = sum(solver.history.costs)
    assert totals["automatic"] == pytest.approx(totals["given"], rel=0.05)


def test_without_a_context_the_tuner_is_tsallis():
    solver = linear.TunedSolver("sor", context=None, rng=0)
    assert isinstance(solver.tuner, linear.TsallisINF)
    solver(laplacian(5), np.ones(25))
    assert np.isnan(solver.history.contexts).all()


def test_a_context_of_the_callers():
    solver = linear.TunedSolver("sor", context=lambda A, b: float(A.diagonal().max()), rng=0)
    solver(laplacian(5, shift=2.0), np.ones(25))
    assert solver.history.contexts == [6.0]


def test_the_adaptive_omega_can_be_an_arm():
    solver = linear.TunedSolver("sor", arms=[1.0, 1.5, "adaptive"], rtol=1e-8, warm_start="zero", rng=0)
    for A, b, c in shifted_laplacians(150, "high", rng=0):
        assert solver(A, b, context=c).success
    assert solver.history.arms[-60:].count("adaptive") > 30


# -- solvers of others -----------------------------------------------------------------------------


def test_a_plain_callable_is_tuned():
    from scipy.sparse.linalg import cg

    def jacobi_or_ssor(A, b, x0, arm, rtol):
        counter = []
        M = linear.SSOR(A, arm[1]) if arm[0] == "ssor" else None
        x, info = cg(A, b, x0, rtol=rtol, M=M, callback=counter.append)
        assert info == 0
        return x, len(counter)

    arms = [("none",), *(("ssor", w) for w in (1.0, 1.4, 1.8))]
    solver = linear.TunedSolver(jacobi_or_ssor, arms=arms, rtol=1e-8, rng=0)
    total = [result[1] for result in linear.solve_sequence(heat_equation(20, 200), solver)]
    assert total == solver.history.costs
    assert set(solver.history.arms) <= set(arms)
    assert "jacobi_or_ssor" in repr(solver)


@pytest.mark.parametrize("cost", ["iterations", "time", lambda result: 2.0 * result.nit])
def test_costs(cost):
    solver = linear.TunedSolver("ssor_cg", cost=cost, rng=0)
    results = list(linear.solve_sequence([(laplacian(8), np.ones(64))] * 5, solver))
    if cost == "time":
        assert all(0 < c <= s for c, s in zip(solver.history.costs, solver.history.seconds, strict=True))
    else:
        factor = 1 if cost == "iterations" else 2
        assert solver.history.costs == [factor * r.nit for r in results]


def test_the_clock_cuts_outliers_and_nothing_else():
    """S + c n seconds with a tenth of noise, whatever n; one solve in ten is interrupted for long."""
    rng, clock = np.random.default_rng(0), Clock()
    for _ in range(500):
        arm, n = int(rng.integers(3)), int(10 ** rng.uniform(0, 3))
        true = (0.02 + arm * 1e-4 * n) * rng.uniform(0.95, 1.05)
        assert clock.trimmed(str(arm), true, n) == true
    times = rng.uniform(0.9, 1.1, 500)
    late = np.where(rng.random(500) < 0.1, 50.0, 1.0)
    late[:7] = 1.0
    told = np.array([clock.trimmed("late", t, 30) for t in late * times])
    assert told.max() < 2.3
    np.testing.assert_array_equal(told[late == 1], times[late == 1])


def test_a_noisy_clock_does_not_mislead(monkeypatch):
    """The time of a solve is made up: the best arm takes 1 ms, and one solve in twenty is interrupted."""
    now, rng = [0.0], np.random.default_rng(0)
    monkeypatch.setattr("numsolve.linear.tuning.tuned_solver.perf_counter", lambda: now[0])

    def solve(A, b, x0, arm):
        late = 100.0 if rng.random() < 0.05 else 1.0
        now[0] += 1e-3 * (1 + 4 * abs(arm - 1.4)) * rng.uniform(0.9, 1.1) * late
        return b, 10

    for context in (None, "auto"):
        solver = linear.TunedSolver(solve, arms=ARMS, cost="time", context=context, rng=0)
        for shift in rng.random(800):
            solver(laplacian(3, shift=shift), np.ones(9))
        late = np.array(solver.history.arms[-200:])
        assert np.mean(abs(late - 1.4) < 0.15) > (0.3 if context is None else 0.8)


def test_a_tuner_of_the_callers():
    class Alternate:
        arms = (1.0, 1.5)
        paid: list[float] = []  # noqa: RUF012

        def suggest(self, context=None):
            return self.arms[len(self.paid) % 2]

        def observe(self, cost):
            self.paid.append(cost)

    solver = linear.TunedSolver("sor", tuner=Alternate())
    list(linear.solve_sequence([(laplacian(5), np.ones(25))] * 4, solver))
    assert solver.history.arms == [1.0, 1.5, 1.0, 1.5]
    assert Alternate.paid == solver.history.costs


def test_a_solve_that_breaks_down_does_not_look_cheap():
    A = laplacian(4)
    solver = linear.TunedSolver("ssor_cg", context=None, warm_start="zero", rng=0)
    good = solver(A, np.ones(16))
    for _ in range(5):
        with pytest.warns(ConvergenceWarning):
            solver(-A, np.ones(16))
    assert solver.history.costs[1:] == [10 * good.nit] * 5  # and no failure makes the next one dearer


@pytest.mark.parametrize("every", [1, 3])
def test_a_solve_that_is_cut_off_costs_its_cap_or_the_worst_success(every):
    A = laplacian(10)
    solver = linear.TunedSolver("ssor_cg", warm_start="zero", rng=0)
    for t in range(400):
        solver.settings["maxiter"] = 5 if t % every == 0 else None
        if t % every:
            solver(A, np.ones(100))
        else:
            with pytest.warns(ConvergenceWarning):
                solver(A, np.ones(100))
    costs, solved = np.array(solver.history.costs), np.array(solver.history.solved)
    assert solved.sum() == np.count_nonzero(np.arange(400) % every)
    so_far = np.maximum.accumulate(np.where(solved, costs, 5.0))
    assert np.array_equal(costs[~solved], so_far[~solved])


@pytest.mark.parametrize("solve", ["sor", "ssor", "ssor_cg"])
def test_the_same_system_again_costs_nothing(solve):
    solver = linear.TunedSolver(solve, arms=[1.2], context=None, rtol=1e-6)
    first, *again = [solver(laplacian(6), np.ones(36)) for _ in range(3)]
    assert first.nit > 0
    assert [r.nit for r in again] == [0, 0]


def test_calls_from_several_threads_take_turns():
    A, b = laplacian(8), np.arange(1.0, 65.0)
    solver = linear.TunedSolver("ssor_cg", rtol=1e-10, warm_start="zero", rng=0)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda scale: (scale, solver(A, scale * b).x), range(1, 41)))
    x = spsolve(A.tocsc(), b)
    assert all(np.allclose(got, scale * x, rtol=1e-8) for scale, got in results)
    assert solver.tuner.rounds == len(solver.history) == 40


def test_a_restored_solver_does_not_learn_how_long_compiling_takes(monkeypatch):
    calls = []

    compiled = _own.compiled

    def counted(system, limits, omega, *args, **settings):
        calls.append(omega)
        return compiled(system, limits, omega, *args, **settings)

    def make():
        return linear.TunedSolver("ssor_cg", cost="time", warm_start="zero", rng=0)

    state = make()
    for _ in range(3):
        state(laplacian(4), np.ones(16))
    monkeypatch.setattr(_own, "compiled", counted)
    second = make().load_state_dict(state.state_dict())
    second(laplacian(4), np.ones(16))
    second(laplacian(4), np.ones(16))
    assert len(calls) == 3  # one that compiles, or finds the cache, and two that count
    assert len(second.history) == 5


# -- the loop --------------------------------------------------------------------------------------


def test_a_generator_is_sent_the_solutions():
    sent = []

    def systems():
        for _ in range(3):
            x = yield laplacian(4), np.ones(16)
            sent.append(x)

    results = list(linear.solve_sequence(systems(), rtol=1e-9, rng=0))
    assert len(results) == 3
    for x, r in zip(sent, results, strict=False):
        assert x is r.x


def test_the_loop_is_lazy_and_shows_its_progress(capsys):
    systems = ((laplacian(4), np.ones(16)) for _ in iter(int, 1))
    results = linear.solve_sequence(systems, rng=0, progress=True)
    assert next(results).success
    assert next(results).success
    results.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert "system" in err


def stopping(raised, at_call):
    """A callback that ends a run at its n-th call in all."""
    calls = []

    def callback(x):
        calls.append(x)
        if len(calls) == at_call:
            raise raised

    return callback


@pytest.mark.parametrize(
    ("raised", "status"), [(KeyboardInterrupt, Status.INTERRUPTED), (StopIteration, Status.STOPPED)]
)
@pytest.mark.parametrize("fed", [False, True])
def test_a_sequence_ends_as_a_whole_and_keeps_what_is_done(raised, status, fed):
    A, b = laplacian(12), np.ones(144)
    alone = linear.TunedSolver("sor", arms=[1.5], warm_start="zero")
    steps = alone(A, b).nit
    solver = linear.TunedSolver(
        "sor", arms=[1.5], warm_start="zero", callback=stopping(raised, 2 * steps + 3), rng=0
    )
    systems = ((A, b) for _ in range(5)) if fed else [(A, b)] * 5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        results = list(linear.solve_sequence(systems, solver))
    assert [r.status for r in results] == [Status.CONVERGED, Status.CONVERGED, status]
    assert results[2].nit == 3
    assert results[2].residual == pytest.approx(np.linalg.norm(b - A @ results[2].x))
    assert solver.history.costs == [steps, steps]
    assert solver.tuner.rounds == 2


@pytest.mark.parametrize("raised", [KeyboardInterrupt, StopIteration])
@pytest.mark.parametrize("context", [None, "auto"])
def test_a_solve_that_was_ended_teaches_nothing(raised, context):
    A, b = laplacian(12), np.ones(144)
    one, two = (linear.TunedSolver("sor", context=context, warm_start="zero", rng=0) for _ in range(2))
    for solver in (one, two):
        solver(A, b)
    before = one.tuner.probabilities(0.0)
    one.settings["callback"] = stopping(raised, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        ended = one(A, b)
    assert not ended.success
    assert np.array_equal(one.tuner.probabilities(0.0), before)
    assert one.history.costs == two.history.costs
    one.settings["callback"] = None
    assert one(A, b).success  # and it goes on
    assert len(one.history) == one.tuner.rounds == 2


def test_a_time_limit_is_that_of_each_solve():
    solver = linear.TunedSolver("sor", arms=[1.5], time_limit=0.0, rng=0)
    with pytest.warns(ConvergenceWarning, match="time limit"):
        results = list(linear.solve_sequence([(laplacian(12), np.ones(144))] * 3, solver))
    assert [r.status for r in results] == [Status.TIME_LIMIT] * 3


@pytest.mark.parametrize("context", [None, "auto"])
def test_ctrl_c_at_any_moment_keeps_what_is_done(keyboard, context):
    """Inside a solve its result tells, between two of them a warning; nothing is learned by half."""
    A, b = laplacian(20), np.ones(400)
    solver = linear.TunedSolver("ssor_cg", rtol=1e-8, warm_start="previous", context=context, rng=0)
    list(linear.solve_sequence([(A, b)] * 3, solver))  # imports and kernels
    for moment in np.random.default_rng(0).uniform(0.01, 0.1, 20):
        timer = threading.Timer(moment, os.kill, (os.getpid(), signal.SIGINT))
        before, results, told = len(solver.history), [], []
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                timer.start()
                for result in linear.solve_sequence(((A, b) for _ in range(50_000)), solver):
                    results.append(result)  # noqa: PERF402  # kept, whatever ends the loop
                told = [result.status is Status.INTERRUPTED for result in results[-1:]]
                assert any(told) or "interrupted" in str(caught[-1].message)
        except KeyboardInterrupt:  # in the loop's own line, which is the caller's
            pass
        timer.join()
        done = sum(r.success for r in results)
        assert done <= len(solver.history) - before <= done + 1
        assert len({len(column) for column in vars(solver.history).values()}) == 1
        assert solver.tuner.rounds == len(solver.history)
        assert solver(A, b).success


def test_ctrl_c_is_never_lost_between_two_solves(keyboard):
    """Wherever Python serves signals: as a function begins or wakes up, and as a call returns."""
    A, b = laplacian(3), np.ones(9)
    doors = {"__enter__", "__exit__", "setprofile"}  # where Python serves none
    left = 0

    def profile(frame, event, what):
        nonlocal left
        if event == "call" or (event == "c_return" and what.__name__ not in doors):
            left -= 1
            if left == 0:
                signal.raise_signal(signal.SIGINT)

    solver = linear.TunedSolver(rng=0)
    for place in range(1, 10_000, 3):
        systems = linear.solve_sequence(((A, b) for _ in range(4)), solver)
        results, before, left = [next(systems)], sys.getprofile(), place
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            sys.setprofile(profile)
            try:
                results += systems
            finally:
                sys.setprofile(before)
        if left > 0:  # there is no such place
            break
        told = results[-1].status is Status.INTERRUPTED
        assert told or "interrupted from the keyboard" in str(caught[-1].message)
        assert threads.count == 0
        assert not threads.held
    assert 300 < place < 9000
    assert len(results) == 4


class Falling:
    """Something whose end is noticed in a place where Python loses exceptions."""

    def __init__(self, press):
        self.press = press

    def __del__(self):
        self.press()


@pytest.mark.parametrize("place", ["destructor", "weak reference"])
def test_ctrl_c_counts_where_python_loses_its_exception(keyboard, place):
    """As while the garbage collector calls back, which it may do at any moment."""
    A, b = laplacian(3), np.ones(9)

    def press(*_):
        signal.raise_signal(signal.SIGINT)

    def profile(frame, event, what):
        if (event, frame.f_globals["__name__"], frame.f_code.co_name) == ("call", "weakref", "remove"):
            press()

    def systems():
        for number in range(4):
            if number == 2 and place == "destructor":
                Falling(press)
            elif number == 2:
                values, one = weakref.WeakValueDictionary(), Falling(lambda: None)
                values[0] = one
                before = sys.getprofile()
                sys.setprofile(profile)
                del one
                sys.setprofile(before)
            yield A, b

    with pytest.warns(ConvergenceWarning, match="interrupted"):
        results = list(linear.solve_sequence(systems(), linear.TunedSolver(rng=0)))
    assert len(results) == 3 or results[-1].status is Status.INTERRUPTED
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_saved_solver_goes_on():
    def make():
        return linear.TunedSolver("ssor_cg", rtol=1e-8, warm_start="linear", rng=3)

    first, systems = make(), list(heat_equation(20, 120))
    for A, b, c in systems[:60]:
        first(A, b, context=c)
    second = make().load_state_dict(first.state_dict())
    for A, b, c in systems[60:]:
        one, two = first(A, b, context=c), second(A, b, context=c)
        assert np.array_equal(one.x, two.x)
    assert first.history == second.history or first.history.costs == second.history.costs


def test_regret_against_a_table():
    A, b, arms = laplacian(9), np.ones(81), [1.0, 1.5, 1.9]
    table = np.tile([linear.sor(A, b, omega=w).nit for w in arms], (12, 1))
    solver = linear.TunedSolver("sor", arms=arms, warm_start="zero", rng=0)
    list(linear.solve_sequence([(A, b)] * 12, solver))
    regret = solver.regret(table)
    assert regret.shape == (12,)
    assert (np.diff(regret) >= 0).all()
    assert regret[-1] == sum(solver.history.costs) - 12 * table[0].min()
    with pytest.raises(ValueError, match="table must have shape"):
        solver.regret(table[:5])


def test_pictures():
    import matplotlib.pyplot as plt

    numbers = linear.TunedSolver("sor", arms=[1.0, 1.5, 1.9], rng=0)
    words = linear.TunedSolver("sor", arms=[1.0, "adaptive"], rng=0)
    for solver in (numbers, words):
        list(linear.solve_sequence([(laplacian(4), np.ones(16))] * 6, solver))
        solver.plot().figure.canvas.draw()
        axes = solver.plot(np.ones((6, len(solver.tuner.arms))))
        axes.figure.canvas.draw()
        assert len(axes.figure.axes) == 2
        assert len(repr(solver)) < 120
    plt.close("all")


@pytest.mark.parametrize("kind", ["ssor_cg", "auto"])
def test_a_galerkin_start_for_several_right_hand_sides_uses_all_solutions(kind):
    """What lies in the span of earlier solutions of the same matrix is solved by the start alone."""
    A, B = laplacian(8), np.random.default_rng(0).standard_normal((64, 3))
    solver = linear.TunedSolver(kind, rtol=1e-6, warm_start="galerkin:2", rng=0)
    assert solver(A, B).success.all()
    again = solver(A, B @ np.array([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0], [1.0, 1.0, 1.0]]))
    assert again.success.all()
    assert not again.nit.any()


def test_an_empty_matrix_that_cannot_be_written_to_may_come_again():
    solver = linear.TunedSolver("auto")
    for _ in range(3):
        A = sp.csr_array((1, 1))
        A.data.flags.writeable = False
        with pytest.warns(ConvergenceWarning):
            assert not solver(A, np.ones(1)).success
