"""The loop discipline: when a run stops, what it remembers, whom it tells, and what it costs."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numba
import numpy as np
import pytest

from numsolve._core import keyboard as keyboard_state
from numsolve._core import monitor
from numsolve._core.limits import Limits
from numsolve._core.monitor import CHUNK_SECONDS, FIRST_SECONDS, GROWTH, RUNNING, Monitor
from numsolve._core.result import ConvergenceError, ConvergenceWarning, Result, Status


def watch(**settings):
    """A monitor, its run settings packed as a public function packs them."""
    run = {name: settings.pop(name) for name in ("time_limit", "callback", "progress") if name in settings}
    return Monitor(Limits(**run), **settings)


def halve(it, residual=1.0, rate=0.5, x=None, start=True):
    """A solver whose residual falls by `rate` in each iteration."""
    if start:
        it.record(residual, x)
    for _ in it:
        residual *= rate
        it.record(residual, x)


def solve(residual=1.0, rate=0.5, **settings):
    """Run `halve` and return the monitor."""
    with watch(**{"maxiter": 100, **settings}) as it:
        halve(it, residual, rate)
    return it


def quiet(it, cls=Result, **fields):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return it.result(cls, **fields)


def replay(residuals, **settings):
    """Record the residuals given, as far as the monitor wants them."""
    values = iter(residuals)
    with watch(**{"maxiter": len(residuals) - 1, **settings}) as it:
        it.record(next(values), 0)
        for k in it:
            it.record(next(values), k)
    return it


class Clock:
    """Stands in for `perf_counter`."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("numsolve._core.clock.perf_counter", clock)
    monkeypatch.setattr(monitor, "perf_counter", clock)
    monkeypatch.setattr("numsolve._core.clock.preparing", 0.0)
    return clock


@pytest.fixture(autouse=True)
def all_monitors_are_closed():
    yield
    count, keyboard_state.thread.count = keyboard_state.thread.count, 0
    assert count == 0
    assert not keyboard_state.thread.held
    assert not keyboard_state.keyboard.was_pressed


# -- the stopping test -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "nit"),
    [
        ({"rtol": 2.0**-10}, 10),
        ({"atol": 2.0**-7}, 7),
        ({"rtol": 2.0**-10, "atol": 2.0**-7}, 7),  # the looser of the two
        ({"rtol": 2.0**-10, "reference": 8.0}, 7),
        ({"rtol": 2.0**-10, "reference": np.float64(0.25)}, 12),
        ({"rtol": 2.0**-10, "reference": 0.0, "atol": 2.0**-3}, 3),
    ],
)
def test_a_residual_at_the_threshold_has_converged(settings, nit):
    it = solve(**settings)
    assert (it.nit, it.status) == (nit, Status.CONVERGED)
    result = it.result(Result)
    assert result.residual == 2.0**-nit
    np.testing.assert_array_equal(result.history.iteration, np.arange(nit + 1))
    np.testing.assert_array_equal(result.history.residual, 0.5 ** np.arange(nit + 1))


def test_the_start_may_be_the_answer():
    x = np.ones(2)
    with watch(atol=1.0, maxiter=10) as it:
        it.record(1.0, x)
        steps = list(it)
    result = it.result(Result)
    assert steps == []
    assert (result.nit, result.success) == (0, True)
    np.testing.assert_array_equal(result.x, x)


@pytest.mark.parametrize("residual", [1.0, 1e-9])
def test_no_iterations_allowed(residual):
    it = solve(residual, atol=1e-6, maxiter=0)
    assert it.status is (Status.CONVERGED if residual < 1e-6 else Status.MAXITER)
    assert it.nit == 0
    assert quiet(it).residual == residual


def test_maxiter_is_exact_and_warns_where_the_user_called():
    it = solve(rtol=1e-30, maxiter=5)
    with pytest.warns(ConvergenceWarning, match="maxiter") as seen:
        result = it.result(Result)
    assert seen[0].filename == __file__
    assert (result.nit, result.status, len(result.history)) == (5, Status.MAXITER, 6)


def test_convergence_in_the_last_iteration_is_convergence():
    assert solve(rtol=2.0**-5, maxiter=5).status is Status.CONVERGED


@pytest.mark.parametrize("reference", [math.inf, math.nan, np.float64(np.inf)])
def test_an_infinite_reference_accepts_nothing(reference):
    assert replay([math.inf], rtol=1e-3, reference=reference).status is Status.NONFINITE
    assert replay([1e300, 1.0], rtol=1e-3, reference=reference).status is Status.MAXITER
    assert replay([1e300, 1e-9], rtol=1e-3, reference=reference, atol=1e-8).status is Status.CONVERGED


def test_zero_tolerances_use_all_iterations_or_meet_zero():
    assert solve(maxiter=7).nit == 7
    assert replay([1.0, 0.0]).status is Status.CONVERGED


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"rtol": -1e-3}, ValueError, "rtol must be"),
        ({"rtol": math.nan}, ValueError, "rtol"),
        ({"atol": "small"}, TypeError, "atol"),
        ({"atol": math.inf}, ValueError, "atol"),
        ({"maxiter": -1}, ValueError, "maxiter must be an integer at least 0"),
        ({"maxiter": 2.5}, ValueError, "maxiter"),
        ({"maxiter": None}, TypeError, "maxiter"),
        ({"time_limit": -1.0}, ValueError, "time_limit"),
        ({"callback": 3}, TypeError, "callback must be callable"),
    ],
)
def test_bad_settings(settings, error, message):
    with pytest.raises(error, match=message):
        watch(**{"maxiter": 10, **settings})


# -- several residuals -----------------------------------------------------------------------------


def test_named_residuals_converge_together_and_not_before():
    thresholds = {"primal": 1e-3, "dual": 0.25, "gap": 1e-6}
    rows = [
        {"primal": 1e-9, "dual": 1e-9, "gap": 1.1e-6},
        {"primal": 1.1e-3, "dual": 0.25, "gap": 1e-6},
        {"primal": 1e-3, "dual": 0.26, "gap": 1e-9},
        {"primal": 1e-3, "dual": 0.25, "gap": 1e-6},
        {"primal": 0.0, "dual": 0.0, "gap": 0.0},
    ]
    it = replay(rows, thresholds=thresholds)
    assert (it.nit, it.status) == (3, Status.CONVERGED)
    for name in thresholds:
        np.testing.assert_array_equal(it.history[name], [row[name] for row in rows[:4]])
    assert (it.history.residual[:3] > it.threshold).all()
    assert it.history.residual[3] <= it.threshold


def test_the_common_residual_is_exact_at_the_thresholds():
    rng = np.random.default_rng(3)
    for _ in range(300):
        tops = dict(zip("abc", 10.0 ** rng.uniform(-14, 3, 3), strict=True))
        at = replay([tops], thresholds=tops)
        assert at.status is Status.CONVERGED
        for name, top in tops.items():
            above = {**tops, name: np.nextafter(top, np.inf)}
            assert replay([above], thresholds=tops).status is Status.MAXITER


@pytest.mark.parametrize(
    ("tops", "values", "done"),
    [
        ({"a": 0.0, "b": 0.0}, {"a": 0.0, "b": 0.0}, True),
        ({"a": 0.0, "b": 0.0}, {"a": 0.0, "b": 1e-30}, False),
        ({"a": 0.0, "b": 1.0}, {"a": 0.0, "b": 0.5}, True),
        ({"a": 0.0, "b": 1.0}, {"a": 1e-30, "b": 0.5}, False),
        ({"a": 1e-3, "b": 1.0}, {"a": -5.0, "b": 0.5}, True),
        ({"a": math.inf, "b": 1.0}, {"a": 1e5, "b": 0.5}, False),
        ({"a": math.nan, "b": 1.0}, {"a": 1e5, "b": 0.5}, False),
    ],
)
def test_thresholds_of_zero(tops, values, done):
    it = replay([values], thresholds=tops)
    assert it.status is (Status.CONVERGED if done else Status.MAXITER)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_no_named_residual_hides_that_another_is_not_finite(name, bad):
    tops = dict.fromkeys("abc", 1e-3)
    assert replay([{**dict.fromkeys("abc", 0.0), name: bad}], thresholds=tops).status is Status.NONFINITE


def test_a_missing_name_is_an_error():
    with pytest.raises(KeyError, match="dual"):
        replay([{"primal": 1.0}], thresholds={"primal": 1.0, "dual": 1.0})


# -- the method's own verdict ----------------------------------------------------------------------


def test_twice_in_a_row():
    residuals, below, nit = [1.0, 1e-9, 1.0, 1e-9, 1e-9, 1e-9], False, None
    with watch(atol=1e-6, maxiter=5, rounding=1e-6) as it:
        for k, residual in enumerate([residuals[0]]):
            it.record(residual, k, converged=False)
        for k in it:
            before, below = below, residuals[k] <= it.threshold
            it.record(residuals[k], k, converged=before and below)
            nit = k
    assert (nit, it.status) == (4, Status.CONVERGED)
    assert it.x == 4


def test_the_method_may_accept_what_the_tolerance_would_not():
    with watch(atol=1e-6, maxiter=9) as it:
        it.record(1.0, "first")
        for _ in it:
            it.record(5.0, "accepted", converged=True)
    result = it.result(Result)
    assert (result.x, result.residual, result.nit, result.success) == ("accepted", 5.0, 1, True)


def test_a_refused_residual_is_not_accepted_as_rounding():
    with watch(atol=1e-6, maxiter=3, rounding=1e-3) as it:
        for k in it:
            it.record(1e-9, k, converged=False)
    assert it.status is Status.MAXITER


# -- other ends ------------------------------------------------------------------------------------


def test_the_level_of_rounding_errors_is_success_with_an_explanation():
    it = solve(rtol=1e-20, rounding=1e-10)
    assert it.status is Status.ROUNDING
    result = it.result(Result)
    assert result.success
    assert 0.5e-10 < result.residual <= 1e-10
    assert result.message.startswith("The residual is 5.82e-11, the tolerance 1e-20. The residual is at")


def test_a_tolerance_above_the_rounding_level_is_met_first():
    assert solve(rtol=1e-5, rounding=1e-10).status is Status.CONVERGED


@pytest.mark.parametrize("bad", [math.nan, math.inf, np.float32("nan")])
def test_nan_and_infinity_end_the_run_with_the_best_iterate(bad):
    it = replay([1.0, 0.5, bad, 0.1])
    assert (it.status, it.nit, it.x, it.residual) == (Status.NONFINITE, 2, 1, 0.5)
    assert replay([bad, 1.0]).status is Status.NONFINITE


def test_growth_without_bound():
    it = replay([2.0, 1.0, 100.0, 2001.0, 1.0], divergence=1e3)
    assert (it.status, it.nit, it.x) == (Status.DIVERGED, 3, 1)


def test_slow_linear_convergence_is_not_stagnation():
    it = solve(rate=0.999, rtol=1e-3, maxiter=10**4, patience=100)
    assert it.status is Status.CONVERGED
    assert it.nit == math.ceil(math.log(1e-3) / math.log(0.999))


def test_a_plateau_is_stagnation():
    rng = np.random.default_rng(0)
    falling = 0.9 ** np.arange(50)
    plateau = falling[-1] * (1 + 0.5 * rng.random(500))
    it = replay([*falling, *plateau], patience=100)
    assert it.status is Status.STAGNATED
    assert it.nit == 49 + 100
    assert it.x == 49
    assert replay([*falling, *plateau]).status is Status.MAXITER  # not unless it is asked for


def test_the_time_limit(clock):
    with watch(maxiter=100, time_limit=3.0) as it:
        it.record(1.0)
        for _ in it:
            clock.now += 0.7
            it.record(1.0 / (1 + it.nit))
    assert (it.status, it.nit) == (Status.TIME_LIMIT, 5)
    np.testing.assert_allclose(it.history.seconds, 0.7 * np.arange(6))
    assert it.seconds == pytest.approx(3.5)


def test_convergence_after_the_time_limit_is_convergence(clock):
    with watch(atol=0.1, maxiter=100, time_limit=3.0) as it:
        for _ in it:
            clock.now += 10.0
            it.record(0.01)
    assert it.status is Status.CONVERGED


def test_a_method_ends_its_run_with_a_reason():
    with watch(maxiter=10) as it:
        it.record(1.0, "start")
        for k in it:
            if k == 3:
                it.stop(Status.BREAKDOWN, "The pivot is zero.")
                break
            it.record(0.5, k)
    with pytest.warns(ConvergenceWarning, match="pivot is zero"):
        result = it.result(Result)
    assert (result.status, result.nit, result.x) == (Status.BREAKDOWN, 2, 1)


def test_a_loop_left_without_a_reason_is_an_error():
    with pytest.raises(RuntimeError, match="call stop"), watch(maxiter=10) as it:
        it.record(1.0)
        for _ in it:
            break


def test_exceptions_propagate_and_nothing_stays_open():
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), watch(maxiter=10) as outer:
            outer.record(1.0)
            with watch(maxiter=10) as inner:
                inner.record(1.0)
                1 / 0  # noqa: B018
        assert keyboard_state.thread.count == 0


def test_no_bar_leaves_no_monitor_open(monkeypatch):
    def broken(*_):
        raise ImportError("no tqdm")

    monkeypatch.setattr(monitor, "_progress_bar", broken)
    with pytest.raises(ImportError), watch(maxiter=3, progress=True):
        pass  # pragma: no cover


def test_result_takes_the_methods_own_fields():
    it = solve(rtol=1e-3)
    assert it.result(Result, x="mine", nit=99).nit == 99
    assert it.result(Result, x="mine").x == "mine"
    failed = quiet(solve(maxiter=1))
    with pytest.raises(ConvergenceError):
        failed.raise_for_status()


# -- callback --------------------------------------------------------------------------------------


def test_a_callback_gets_each_recorded_iterate():
    seen = []
    it = replay([4.0, 3.0, 2.0], callback=seen.append)
    assert seen == [1, 2]  # after each step; the start is none
    assert it.status is Status.MAXITER


def test_a_callback_may_ask_for_the_intermediate_result():
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result)

    with watch(maxiter=2, callback=callback, thresholds={"a": 1e-9, "b": 1e-3}, columns=["cost"]) as it:
        for k in it:
            it.record({"a": 1.0 / k, "b": 0.0}, k, cost=10.0 * k)
    assert [(r.x, r.nit, r.a, r.b, r.cost) for r in seen] == [(1, 1, 1.0, 0.0, 10.0), (2, 2, 0.5, 0.0, 20.0)]
    assert [r.residual for r in seen] == list(it.history.residual)
    assert [r.seconds for r in seen] == list(it.history.seconds)


def stop_with(value):
    def callback(xk):
        return value if xk == 2 else None

    return callback


def raises_stop_iteration(xk):
    if xk == 2:
        raise StopIteration


@pytest.mark.parametrize(
    "callback",
    [stop_with(True), stop_with(np.True_), raises_stop_iteration],
)
def test_a_callback_may_stop_the_run_without_a_warning(callback):
    it = replay([4.0, 3.0, 2.0, 1.0], callback=callback)
    result = it.result(Result)  # a warning would be an error
    assert (result.status, result.nit, result.x, result.success) == (Status.STOPPED, 2, 2, False)


@pytest.mark.parametrize(
    "value", [False, 0, np.False_, None, 1, "stop", 2.5, np.ones(3), np.asarray(1), [True]]
)
def test_only_true_stops(value):
    assert replay([4.0, 3.0, 2.0, 1.0], callback=stop_with(value)).nit == 3


def test_a_callback_does_not_undo_convergence():
    it = replay([4.0, 3.0, 0.0], callback=lambda xk: True if xk == 2 else None, maxiter=5)
    assert it.status is Status.CONVERGED


def test_what_a_callback_raises_reaches_the_caller():
    def callback(xk):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        replay([1.0, 0.5], callback=callback)


def test_builtins_are_callbacks_too():
    assert replay([1.0, 0.5], callback=print).nit == 1


@pytest.mark.parametrize("keep", ["copy", "reference"])
def test_present_maps_what_the_user_sees(keep):
    seen = []
    it = replay([2.0, 1.0], callback=seen.append, present=lambda x: x + 100, keep=keep)
    assert seen == [101]
    assert quiet(it).x == 101
    assert it.x == 1


# -- the best iterate ------------------------------------------------------------------------------


class Pair(NamedTuple):
    u: np.ndarray
    v: np.ndarray


STATES = {
    "array": lambda: np.zeros(3),
    "tuple": lambda: (np.zeros(3), np.zeros(2)),
    "namedtuple": lambda: Pair(np.zeros(3), np.zeros(2)),
    "dict": lambda: {"w": np.zeros(3), "b": [np.zeros(2)]},
    "list": lambda: [np.zeros(3), (np.zeros(1),)],
}


def leaves(x):
    if isinstance(x, np.ndarray):
        return [x]
    return [leaf for part in (x.values() if isinstance(x, dict) else x) for leaf in leaves(part)]


def overwrite(x, value):
    for leaf in leaves(x):
        leaf[:] = value


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_a_method_may_overwrite_its_iterate(state):
    x, seen = state(), []
    with watch(maxiter=4, callback=seen.append) as it:
        for k in it:
            overwrite(x, k)
            it.record([9.0, 2.0, 5.0, 7.0][k - 1], x)
    assert type(it.x) is type(x)
    assert {float(v) for leaf in leaves(it.x) for v in leaf} == {2.0}
    assert [leaves(x)[0][0] for x in seen] == [1, 2, 3, 4]  # what a callback keeps stays as it was
    assert it.residual == 2.0


def test_array_api_arrays_are_copied():
    strict = pytest.importorskip("array_api_strict")
    x = strict.zeros(2)
    with watch(maxiter=2) as it:
        for k in it:
            x[:] = float(k)
            it.record(float(k), x)
    assert float(it.x[0]) == 1.0


def test_by_reference_nothing_is_copied():
    iterates = [np.full(2, float(k)) for k in range(5)]
    with watch(maxiter=4, keep="reference") as it:
        for k in it:
            it.record([9.0, 2.0, 5.0, 7.0][k - 1], iterates[k])
    assert it.x is iterates[2]
    assert quiet(it).x is iterates[2]


# -- Ctrl-C ----------------------------------------------------------------------------------------


def test_ctrl_c_keeps_the_best_iterate():
    with watch(maxiter=10) as it:
        it.record(1.0, "start")
        for k in it:
            if k == 3:
                raise KeyboardInterrupt
            it.record(1.0 / k, k)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        result = it.result(Result)
    assert (result.status, result.nit, result.x, result.residual) == (Status.INTERRUPTED, 2, 2, 0.5)
    assert len(result.history) == 3


def test_ctrl_c_before_anything_was_recorded_propagates():
    with pytest.raises(KeyboardInterrupt), watch(maxiter=10):
        raise KeyboardInterrupt
    assert keyboard_state.thread.count == 0


def test_ctrl_c_ends_the_outermost_of_nested_solves():
    inner_ended = []
    with watch(maxiter=5, keep="reference") as outer:
        outer.record(1.0, "outer start")
        for _ in outer:
            with watch(maxiter=5) as inner:
                inner.record(1.0, "inner start")
                for _ in inner:
                    raise KeyboardInterrupt
            inner_ended.append(inner)
    assert inner_ended == []
    assert (outer.status, outer.x, outer.nit) == (Status.INTERRUPTED, "outer start", 0)
    assert inner.status is None


def test_solves_of_other_threads_do_not_count():
    entered, leave = threading.Event(), threading.Event()

    def other():
        with watch(maxiter=0) as it:
            it.record(1.0)
            entered.set()
            leave.wait(10)
            list(it)

    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(10)
    with watch(maxiter=5) as it:
        it.record(1.0, "kept")
        raise KeyboardInterrupt
    leave.set()
    thread.join(10)
    assert it.status is Status.INTERRUPTED


def test_a_signal_in_the_callback_leaves_whole_rows(keyboard):
    def callback(xk):
        if xk == 4:
            signal.raise_signal(signal.SIGINT)

    it = replay([1.0 / (k + 1) for k in range(50)], callback=callback, columns=["cost"])
    assert it.status is Status.INTERRUPTED
    assert 4 <= it.nit <= 5
    assert len({len(it.history[name]) for name in it.history}) == 1


@numba.njit(nogil=True)
def spin(work, steps, residuals):
    """Keep a core busy, and let other threads run meanwhile."""
    total = 0.0
    for i in range(steps):
        for j in range(work):
            total += math.sin(total + j)
        residuals[i] = 1.0 + 1e-300 * total
    return steps


def test_a_signal_during_a_compiled_chunk_keeps_the_best_iterate(keyboard):
    spin(1, 1, np.empty(1))
    work = 10**5
    began = time.perf_counter()
    spin(work, 4, np.empty(4))
    work = int(0.3 * 4 * work / (time.perf_counter() - began))
    running = threading.Event()

    def interrupt():
        running.wait(10)
        time.sleep(0.05)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    x, residuals = np.zeros(2), np.empty(1)
    with watch(maxiter=1000, columns=["cost"]) as it:
        it.record(2.0, x, cost=1.0)
        while it.running:
            x[:] = it.nit + 1.0
            running.set()
            spin(work, 1, residuals)
            it.extend(residuals, RUNNING, x, cost=[2.0])
    thread.join(10)
    assert it.status is Status.INTERRUPTED
    assert it.x[0] in {0.0, 1.0}
    assert len({len(it.history[name]) for name in it.history}) == 1
    assert len(it.history) == it.nit + 1


def press():
    signal.raise_signal(signal.SIGINT)


def from_numba():
    """What Numba makes of a KeyboardInterrupt that a compiled call meets."""
    try:
        raise KeyboardInterrupt  # noqa: TRY301
    except KeyboardInterrupt as error:
        raise SystemError("<built-in> returned a result with an exception set") from error


def test_an_interrupt_that_became_a_system_error_keeps_the_best_iterate(keyboard):
    with watch(maxiter=10) as it:
        it.record(1.0, "start")
        for _ in it:
            from_numba()
    assert (it.status, it.x) == (Status.INTERRUPTED, "start")


def test_an_interrupt_that_became_a_system_error_is_one_where_nothing_is_kept(keyboard):
    with pytest.raises(KeyboardInterrupt), watch(maxiter=10):
        from_numba()


def test_a_system_error_of_another_kind_is_an_error(keyboard):
    with pytest.raises(SystemError, match="other"), watch(maxiter=10) as it:
        it.record(1.0, "start")
        raise SystemError("other")


def test_an_interrupt_that_was_swallowed_ends_the_run(keyboard):
    with watch(maxiter=10) as it:
        it.record(1.0, 0)
        for k in it:
            if k == 3:
                with suppress(KeyboardInterrupt):  # as in a destructor
                    press()
            it.record(1.0 / (1 + k), k)
    assert (it.status, it.nit, it.x) == (Status.INTERRUPTED, 3, 3)


def test_an_interrupt_in_a_destructor_ends_the_run_in_silence(keyboard):
    """Python would print an exception there, and go on."""

    class Last:
        def __del__(self):
            press()

    with watch(maxiter=10) as it:
        it.record(1.0, 0)
        for k in it:
            if k == 3:
                last = Last()
                del last
            it.record(1.0 / (1 + k), k)
    assert (it.status, it.nit, it.x) == (Status.INTERRUPTED, 3, 3)


def test_an_interrupt_that_an_inner_solve_swallowed_ends_the_outer_one(keyboard):
    with watch(maxiter=10) as outer:
        outer.record(1.0, "start")
        for _ in outer:
            with watch(maxiter=1) as inner:
                with suppress(KeyboardInterrupt):
                    press()
                inner.record(0.0, 1)
            raise AssertionError("the inner solve went on")
    assert (outer.status, outer.x) == (Status.INTERRUPTED, "start")


def test_ctrl_c_while_the_result_is_prepared_loses_nothing(keyboard, monkeypatch):
    monkeypatch.setattr(keyboard_state, "PACKAGE", str(Path(__file__).parent))  # this test is the solver
    it = solve(rtol=1e-3)
    press()
    result = quiet(it)
    assert (result.status, result.nit, result.residual) == (Status.INTERRUPTED, 10, 2.0**-10)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert quiet(solve(rtol=1e-3)).status is Status.CONVERGED  # the next solve is its own


def test_a_second_ctrl_c_while_the_result_is_prepared_raises(keyboard, monkeypatch):
    monkeypatch.setattr(keyboard_state, "PACKAGE", str(Path(__file__).parent))
    solve(rtol=1e-3)
    press()
    with pytest.raises(KeyboardInterrupt):
        press()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_method_that_failed_leaves_ctrl_c_as_it_was(keyboard):
    with pytest.raises(ZeroDivisionError), watch(maxiter=3):
        raise ZeroDivisionError
    with pytest.raises(KeyboardInterrupt):
        press()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_users_stays(keyboard):
    presses = []
    mine = lambda number, frame: presses.append(number)  # noqa: E731
    signal.signal(signal.SIGINT, mine)
    with watch(maxiter=3) as it:
        it.record(1.0)
        for _ in it:
            press()
            it.record(1.0)
    assert presses == [signal.SIGINT] * 3
    assert it.status is Status.MAXITER
    assert signal.getsignal(signal.SIGINT) is mine


def test_at_any_moment_of_a_python_loop_the_run_is_interrupted(keyboard):
    """Every record is whole, every iterate kept, whatever line the signal meets."""
    for moment in np.random.default_rng(0).uniform(0.001, 0.02, 20):
        timer = threading.Timer(moment, press)
        with watch(maxiter=10**9, columns=["cost"]) as it:
            it.record(2.0, 0, cost=0.0)
            timer.start()
            for k in it:
                it.record(1.0 + 1.0 / k, k, cost=1.0)
        timer.join()
        assert it.status is Status.INTERRUPTED
        assert it.x == it.history.iteration[-1]
        assert it.residual == it.history.residual[-1]
        assert len({len(it.history[name]) for name in it.history}) == 1
        quiet(it)


# -- residuals on a device -------------------------------------------------------------------------


class DeviceScalar:
    """Counts how often it is fetched."""

    fetched = 0

    def __init__(self, value):
        self.value = value

    def __float__(self):
        DeviceScalar.fetched += 1
        return self.value


@pytest.mark.parametrize(("maxiter", "rows"), [(100, [0, 10, 20, 30]), (25, [0, 10, 20, 25])])
def test_residuals_stay_on_the_device_between_looks(maxiter, rows):
    DeviceScalar.fetched, seen = 0, []
    with watch(rtol=2.0**-25, maxiter=maxiter, every=10, callback=seen.append) as it:
        it.record(DeviceScalar(1.0), 0)
        for k in it:
            it.record(DeviceScalar(0.5**k), k)
            assert it.nit == k
    assert it.status is Status.CONVERGED
    assert list(it.history.iteration) == [0, *seen] == rows
    assert DeviceScalar.fetched == len(rows)
    assert it.nit == rows[-1]


def test_a_verdict_is_heard_between_looks():
    with watch(maxiter=100, every=10) as it:
        for k in it:
            it.record(DeviceScalar(1.0), k, converged=True if k == 13 else None)
    assert (it.nit, it.status, it.x) == (13, Status.CONVERGED, 13)


def test_jax_residuals_are_recorded():
    jnp = pytest.importorskip("jax.numpy")
    it = replay([jnp.asarray(1.0), jnp.asarray(0.25)], atol=0.5)
    assert (it.status, it.residual) == (Status.CONVERGED, 0.25)
    assert type(it.residual) is float


# -- compiled loops --------------------------------------------------------------------------------


@numba.njit(nogil=True)
def richardson(state, n, stop_at, residuals):
    """Halve the state, up to n times, or until its size is at most `stop_at`."""
    for i in range(n):
        state *= 0.5
        residuals[i] = abs(state[0])
        if residuals[i] <= stop_at:
            return i + 1, 0
    return n, -1


def run_chunks(kernel=richardson, start=1.0, chunks=None, **settings):
    state = np.array([start])
    with watch(**{"maxiter": 1000, **settings}) as it:
        it.record(abs(start), state)
        while it.running:
            n, stop_at = it.chunk()
            if chunks is not None:
                chunks.append(n)
            residuals = np.empty(n)
            steps, code = kernel(state, n, stop_at, residuals)
            it.extend(residuals[:steps], code, state)
    return it


@pytest.mark.parametrize("step_seconds", [None, 1e-7, 1.0])
@pytest.mark.parametrize(
    "settings",
    [{"rtol": 1e-6}, {"rtol": 1e-6, "maxiter": 13}, {"rtol": 1e-30, "rounding": 1e-9}, {"atol": 2}],
)
def test_a_compiled_loop_does_what_the_python_loop_does(settings, step_seconds):
    python = solve(**settings)
    compiled = run_chunks(step_seconds=step_seconds, **settings)
    assert (compiled.nit, compiled.status) == (python.nit, python.status)
    assert compiled.residual == python.residual
    assert compiled.x[0] == python.residual
    np.testing.assert_array_equal(compiled.history.residual, python.history.residual)
    np.testing.assert_array_equal(compiled.history.iteration, python.history.iteration)


def test_a_short_solve_is_one_chunk():
    richardson(np.ones(1), 1, 0.0, np.empty(1))
    chunks = []
    it = run_chunks(rtol=1e-6, chunks=chunks, step_seconds=1e-8)
    assert it.nit == 20
    assert len(chunks) == 1


def test_chunks_take_the_measured_time_of_a_step(clock):
    def kernel(state, n, stop_at, residuals):
        clock.now += step * n
        residuals[:] = 1.0
        return n, RUNNING

    step, chunks = 2.0**-10, []
    steps = int(CHUNK_SECONDS / step)
    run_chunks(kernel, chunks=chunks, maxiter=200)  # without a guess: one step, then with care
    assert chunks == [1, GROWTH, steps, steps, steps, 200 - 3 * steps - 1 - GROWTH]
    chunks = []
    run_chunks(kernel, chunks=chunks, maxiter=200, step_seconds=step)
    first = int(FIRST_SECONDS / step)
    assert chunks == [first, steps, steps, steps, 200 - 3 * steps - first]
    chunks = []
    run_chunks(kernel, chunks=chunks, maxiter=200, step_seconds=CHUNK_SECONDS)  # a wrong guess is corrected
    assert chunks[:3] == [1, GROWTH, steps]


def test_chunks_end_near_the_time_limit(clock):
    def kernel(state, n, stop_at, residuals):
        clock.now += 1e-2 * n
        residuals[:] = 1.0
        return n, RUNNING

    chunks = []
    it = run_chunks(kernel, chunks=chunks, maxiter=10**6, step_seconds=1e-2, time_limit=0.12)
    assert it.status is Status.TIME_LIMIT
    assert sum(chunks) in {12, 13}


def test_the_first_chunk_does_not_pass_maxiter():
    with watch(maxiter=3, step_seconds=1e-6) as it:
        assert it.chunk()[0] == 3
        it.extend([1.0, 1.0, 1.0])
        assert not it.running


def test_with_a_callback_each_chunk_is_one_step():
    seen, chunks = [], []
    it = run_chunks(rtol=1e-2, chunks=chunks, step_seconds=1e-9, callback=lambda xk: seen.append(xk[0]))
    assert set(chunks) == {1}
    np.testing.assert_array_equal(seen, 0.5 ** np.arange(1, 8))
    assert it.nit == 7


def test_a_callback_stops_a_compiled_loop():
    it = run_chunks(rtol=1e-9, callback=lambda xk: xk[0] < 0.1)
    assert (it.status, it.nit) == (Status.STOPPED, 4)


def test_a_kernel_stops_at_the_threshold_or_the_rounding_level():
    assert watch(rtol=1e-3, reference=2.0, maxiter=1).chunk()[1] == 2e-3
    assert watch(rtol=1e-3, rounding=0.1, maxiter=1).chunk()[1] == 0.1


def test_seconds_in_a_chunk_are_interpolated(clock):
    with watch(maxiter=100) as it:
        clock.now += 1.0
        it.record(1.0)
        clock.now += 2.0
        it.extend([0.5, 0.4, 0.3, 0.2])
        clock.now += 1.0
        it.extend([0.1, 0.05], Status.CONVERGED)
    np.testing.assert_allclose(it.history.seconds, [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0])


@pytest.mark.parametrize("rows", [*range(1, 60), 1000, 4095])
def test_each_row_of_a_full_chunk_is_one_iteration(rows):
    with watch(maxiter=10**6) as it:
        it.record(1.0)
        it.extend(np.ones(rows))
        it.extend(np.ones(rows), Status.BREAKDOWN)
    np.testing.assert_array_equal(it.history.iteration, np.arange(2 * rows + 1))


def test_kernels_may_record_now_and_then():
    with watch(maxiter=1000) as it:
        it.record(1.0)
        it.extend([0.5, 0.4, 0.3], steps=30)
        assert it.nit == 30
        it.extend([0.2, 0.1], steps=15)
        it.extend([], steps=5)
        assert it.nit == 50
        it.extend([0.05], Status.CONVERGED, "x", steps=7)
    np.testing.assert_array_equal(it.history.iteration, [0, 10, 20, 30, 38, 45, 57])
    assert (it.nit, it.x, it.residual) == (57, "x", 0.05)


def test_time_passes_in_chunks_that_record_nothing(clock):
    with watch(maxiter=1000, time_limit=1.0) as it:
        it.record(1.0, "start")
        while it.running:
            clock.now += 0.4
            it.extend([], steps=2)
    assert (it.status, it.nit, it.x) == (Status.TIME_LIMIT, 6, "start")


@pytest.mark.parametrize("code", [Status.BREAKDOWN, Status.NONFINITE, Status.INFEASIBLE, 4])
def test_the_code_of_a_kernel_is_the_status(code):
    with watch(maxiter=100) as it:
        it.record(1.0, "start")
        it.extend([0.5, 0.25], int(code), "broken")
    assert it.status is Status(code)
    assert (it.x, it.nit) == ("broken", 2)


def test_a_kernel_may_break_down_before_its_first_step():
    with watch(maxiter=100) as it:
        it.record(1.0, "start")
        it.extend([], Status.BREAKDOWN, "nothing new")
    assert (it.status, it.x, it.nit, len(it.history)) == (Status.BREAKDOWN, "start", 0, 1)


def test_a_kernel_that_does_nothing_and_says_nothing_is_an_error():
    with pytest.raises(RuntimeError, match="no step"), watch(maxiter=100) as it:
        it.record(1.0)
        it.extend([], RUNNING)


def test_the_verdict_of_a_kernel_is_believed():
    with watch(atol=1e-3, maxiter=100) as it:
        it.extend([1.0, 0.9], Status.CONVERGED, "x")
    assert (it.status, it.residual) == (Status.CONVERGED, 0.9)


def test_a_chunk_that_ends_in_nan_keeps_the_best():
    with watch(maxiter=100) as it:
        it.record(1.0, "start")
        it.extend([0.5, math.nan], RUNNING, "nan")
    assert (it.status, it.x) == (Status.NONFINITE, "start")


def test_progress_inside_a_chunk_is_progress():
    # CG's residuals go up and down: the last of a chunk may lie above the best of the chunk before.
    with watch(maxiter=10**6, patience=100) as it:
        it.record(1.0)
        for k in range(1, 20):
            it.extend(np.geomspace(0.9**k, 1.5, 200))
            assert it.status is None
        it.extend(np.full(200, 2.0))
        assert it.status is Status.STAGNATED


def test_columns_and_named_residuals_of_a_compiled_loop():
    thresholds = {"primal": 1e-3, "dual": 1e-6}
    with watch(maxiter=100, thresholds=thresholds, columns=["cost"]) as it:
        it.record({"primal": 1.0, "dual": 1.0}, cost=0.0)
        it.extend({"primal": np.array([0.5, 1e-4]), "dual": np.array([1e-7, 2e-6])}, cost=[1.0, 2.0])
        assert it.running
        it.extend({"primal": [1e-3], "dual": [1e-6]}, RUNNING, "x", cost=[3.0])
    assert (it.status, it.nit, it.x) == (Status.CONVERGED, 3, "x")
    np.testing.assert_array_equal(it.history.primal, [1.0, 0.5, 1e-4, 1e-3])
    np.testing.assert_array_equal(it.history.cost, [0.0, 1.0, 2.0, 3.0])


# -- progress bar and cost -------------------------------------------------------------------------


def test_the_progress_bar_shows_and_closes(capsys):
    it = solve(rtol=1e-3, progress=True, label="halving")
    shown = capsys.readouterr().err
    assert "halving" in shown
    assert "10/100" in shown
    assert "residual 9.77e-04, wanted 1.0e-03" in shown
    assert shown.endswith("\n")
    assert it._bar.disable  # tqdm: closed
    with pytest.raises(ZeroDivisionError), watch(maxiter=3, progress=True) as it:
        raise ZeroDivisionError
    assert it._bar.disable


def test_no_progress_bar_unless_it_is_asked_for(capsys):
    solve(rtol=1e-3)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("keep", "calls"), [("reference", 7), ("copy", 8)])
def test_an_iteration_costs_few_python_calls(keep, calls):
    count = SimpleNamespace(python=0, c=0)

    def profile(frame, event, argument):
        count.python += event == "call"
        count.c += event == "c_call"

    steps, x = 200, np.zeros(2)
    with watch(rtol=1e-30, maxiter=steps, keep=keep, patience=50) as it:
        residual = 1.0
        it.record(residual, x)
        sys.setprofile(profile)
        for _ in it:
            residual *= 0.9
            it.record(residual, x)
        sys.setprofile(None)
    assert it.nit == steps
    assert count.python <= calls * steps + 10
    assert count.c <= 14 * steps + 10
