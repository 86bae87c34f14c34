"""What every iterative solver owes its user, written once; each column brings its list of calls.

::

    from contract import Call, Conduct

    class TestConduct(Conduct):
        calls = {"cg": Call(run=lambda **kw: linear.cg(A, B, **kw), measure=lambda r: norm(B - A @ r.x))}

`Conduct` parametrises each of its tests over the calls (see ``conftest.py``).
"""

from __future__ import annotations

import copy
import pickle
import signal
import threading
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from numsolve import ConvergenceWarning, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Call:
    """A call of a solver, all arguments bound but the run settings.

    Attributes
    ----------
    run : callable
        ``run(**settings)`` solves a small problem in milliseconds, the same way each time, in at least four
        iterations, and converges.
    long : callable, optional
        The same for a problem that takes at least some seconds: for Ctrl-C and the time limit.
    measure : callable, optional
        ``measure(result)`` computes the residual that the result tells, independently.
    steps : bool
        Whether `maxiter` and the callback count the same steps as `nit`.
    start : bool
        Whether a run of no iterations is possible; without, the least `maxiter` is 1.
    changes : bool
        Whether what a callback writes could reach the solver at all (arrays, not numbers or functions).
    status : Status
        How `run` ends.
    """

    run: Callable[..., Any]
    long: Callable[..., Any] | None = None
    measure: Callable[[Any], float] | None = None
    steps: bool = True
    start: bool = True
    changes: bool = True
    status: Status = Status.CONVERGED

    def check(self, result: Any) -> None:
        """The result tells the residual that its x has, and has a whole history."""
        if self.measure is not None:
            assert float(np.max(result.residual)) == pytest.approx(self.measure(result), rel=1e-5, abs=1e-14)
        if result.history is not None:
            assert len({len(result.history[name]) for name in result.history}) == 1
            assert (np.diff(result.history.seconds) >= 0).all()


def leaves(x: Any) -> list[Any]:
    """The arrays in an x of any kind."""
    if isinstance(x, tuple | list):
        return [leaf for part in x for leaf in leaves(part)]
    if isinstance(x, dict):
        return [leaf for part in x.values() for leaf in leaves(part)]
    return [x] if isinstance(x, np.ndarray) else []


def same(x: Any, y: Any) -> bool:
    pairs = list(zip(leaves(x), leaves(y), strict=True))
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def stops_at(k: int, value: Any) -> Callable[[Any], Any]:
    """A callback that returns a value, or raises an exception, at its k-th call."""
    count = SimpleNamespace(calls=0)

    def callback(x: Any) -> Any:
        count.calls += 1
        if count.calls == k:
            if isinstance(value, type) and issubclass(value, BaseException):
                raise value
            return value
        return None

    return callback


class Conduct:
    """The contract."""

    calls: ClassVar[dict[str, Call]]

    # -- callbacks ----------------------------------------------------------------------------------

    def test_the_callback_is_called_after_each_step_and_changes_nothing(self, call):
        seen = []
        watched, alone = call.run(callback=seen.append), call.run()
        assert watched.status is call.status
        assert len(seen) >= 3
        if call.steps:
            assert len(seen) == watched.nit == alone.nit
        assert same(watched.x, alone.x)

    def test_the_callback_may_ask_for_the_result(self, call):
        seen = []

        def callback(intermediate_result):
            seen.append(intermediate_result)

        result = call.run(callback=callback)
        if call.steps:
            assert [s.nit for s in seen] == list(range(1, result.nit + 1))
        assert all(np.isfinite(s.residual) for s in seen)

    def test_what_a_callback_writes_does_not_reach_the_solver(self, call):
        written = []

        def callback(x):
            for leaf in leaves(x):
                leaf[...] = np.nan
                written.append(leaf)

        result = call.run(callback=callback)
        assert bool(written) is call.changes
        assert result.status is call.status
        assert same(result.x, call.run().x)

    @pytest.mark.parametrize("value", [True, np.True_, StopIteration], ids=str)
    def test_true_stops_the_run_without_a_warning(self, call, value):
        result = call.run(callback=stops_at(3, value))
        assert result.status is Status.STOPPED
        assert not result.success
        if call.steps:
            assert result.nit == 3
        call.check(result)

    @pytest.mark.parametrize("value", [1, 2.5, "stop", np.ones(2), np.asarray(1), [True]], ids=str)
    def test_nothing_else_stops_it(self, call, value):
        assert call.run(callback=lambda x: value).status is call.status

    def test_an_error_in_the_callback_is_not_swallowed(self, call):
        with pytest.raises(ZeroDivisionError):
            call.run(callback=stops_at(1, ZeroDivisionError))

    # -- limits -------------------------------------------------------------------------------------

    def test_no_time_gives_the_start(self, call):
        with pytest.warns(ConvergenceWarning, match="time limit"):
            result = call.run(time_limit=0.0)
        assert result.status is Status.TIME_LIMIT
        assert result.nit <= 1
        call.check(result)

    @pytest.mark.parametrize("maxiter", [0, 1, 3])
    def test_the_iterations_are_limited(self, call, maxiter):
        if maxiter == 0 and not call.start:
            pytest.skip("a run of this method has at least one step")
        with pytest.warns(ConvergenceWarning, match="iteration limit") as caught:
            result = call.run(maxiter=maxiter)
        assert result.status is Status.MAXITER
        if call.steps:
            assert result.nit == maxiter
        call.check(result)
        assert len(caught) == 1
        test_file = Path(__import__("inspect").getfile(call.run)).name
        assert Path(caught[0].filename).name == test_file  # the caller's own line

    @pytest.mark.parametrize("three", [3.0, np.int8(3), np.uint64(3), np.float32(3), np.asarray(3)], ids=repr)
    def test_numbers_are_numbers(self, call, three):
        with pytest.warns(ConvergenceWarning):
            expected, result = call.run(maxiter=3), call.run(maxiter=three, time_limit=three)
        assert result.status is expected.status is Status.MAXITER
        assert same(result.x, expected.x)

    @pytest.mark.parametrize(
        ("settings", "error", "message"),
        [
            ({"maxiter": -1}, ValueError, "maxiter"),
            ({"maxiter": 2.5}, ValueError, "maxiter"),
            ({"maxiter": "3"}, TypeError, "maxiter"),
            ({"time_limit": -1.0}, ValueError, "time_limit"),
            ({"time_limit": float("nan")}, ValueError, "time_limit"),
            ({"callback": 3}, TypeError, "callback"),
            ({"progress": "yes"}, TypeError, "progress"),
        ],
        ids=str,
    )
    def test_bad_settings_are_named(self, call, settings, error, message):
        with pytest.raises(error, match=message):
            call.run(**settings)

    @pytest.mark.slow
    def test_the_time_limit_holds(self, call):
        """In processor seconds, so that other work on the machine does not count."""
        if call.long is None:
            pytest.skip("no solve of this method takes seconds")
        limit = 0.4
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            call.long(time_limit=0.05)  # compiled
            with _one_thread():
                spent = []
                for _ in range(6):  # a fault is there each time; what a busy machine adds is not
                    began = time.process_time()
                    result = call.long(time_limit=limit)
                    spent.append(time.process_time() - began)
                    if result.status is not Status.TIME_LIMIT:  # a fast machine was done before
                        assert spent[-1] <= 1.5 * limit
                        limit /= 2
                    elif spent[-1] <= limit + max(0.2 * limit, 0.1):
                        break
        assert result.status is Status.TIME_LIMIT
        assert spent[-1] <= limit + max(0.2 * limit, 0.1)
        call.check(result)

    # -- Ctrl-C -------------------------------------------------------------------------------------

    def test_ctrl_c_in_the_callback_returns_the_best_iterate(self, call):
        with pytest.warns(ConvergenceWarning, match="interrupted"):
            result = call.run(callback=stops_at(3, KeyboardInterrupt))
        assert result.status is Status.INTERRUPTED
        call.check(result)

    @pytest.mark.slow
    @pytest.mark.parametrize("threads", [1, 2])
    def test_ctrl_c_at_any_moment_returns_the_best_iterate(self, call, threads, keyboard):
        if call.long is None:
            pytest.skip("no solve of this method takes seconds")
        import numba

        before = numba.get_num_threads()
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        ended = []
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                call.long(time_limit=0.05)  # compiled
                # From where the set-up is over: until the first record there is nothing to keep.
                ready = _seconds_until_the_first_step(call.long)
                early = 0
                moments = list(np.random.default_rng(threads).uniform(0.02, 0.25, 10))
                while moments:
                    timer = threading.Timer(ready + moments[-1], signal.raise_signal, (signal.SIGINT,))
                    try:
                        timer.start()
                        result = call.long(time_limit=60.0)
                        timer.join()
                    except KeyboardInterrupt:
                        # A busy machine took longer to the first record than it took above, or to start.
                        timer.join()
                        early, ready = early + 1, 2 * ready
                        assert early <= 2
                        continue
                    call.check(result)
                    ended.append(result.status)
                    moments.pop()
        finally:
            numba.set_num_threads(before)
        assert ended == [Status.INTERRUPTED] * 10

    # -- what a result can do -----------------------------------------------------------------------

    def test_progress_is_shown_on_stderr_only(self, call, capsys):
        call.run(progress=True)
        out, err = capsys.readouterr()
        assert out == ""
        assert "residual" in err

    def test_results_are_short_in_print_drawn_copied_and_pickled(self, call):
        import matplotlib.pyplot as plt

        result = call.run()
        assert len(repr(result).splitlines()) < 30
        drawn = result.plot()
        getattr(drawn, "figure", drawn).canvas.draw()
        plt.close("all")
        assert "<table" in result._repr_html_()
        assert plt.get_fignums() == []
        for back in (pickle.loads(pickle.dumps(result)), copy.copy(result), copy.deepcopy(result)):
            assert type(back) is type(result)
            assert back.status is result.status
            assert same(back.x, result.x)
            assert set(back.keys()) == set(result.keys())


def _seconds_until_the_first_step(long: Callable[..., Any]) -> float:
    began = time.perf_counter()
    first = []

    def callback(x):
        first.append(time.perf_counter() - began)
        return True

    long(callback=callback)
    return first[0]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processor seconds of two threads would count twice."""
    import numba
    from threadpoolctl import threadpool_limits

    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        numba.set_num_threads(before)
