"""One task list, any executor: the same answers, and no answer lost with a task that fails."""

from __future__ import annotations

import importlib
import multiprocessing
import pickle
import signal
import threading
import time
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from numsolve._core.each import solve_each
from numsolve._core.limits import Limits
from numsolve._core.many import solve_problems
from numsolve._core.parallel import ParallelError, map_tasks
from numsolve._core.result import ConvergenceWarning, Result, Status


@pytest.fixture(scope="module")
def tasks():
    """A module that worker processes can import: they are started with our sys.path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        yield importlib.import_module("parallel_tasks")


@pytest.fixture(scope="module")
def processes(tasks):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.fixture(scope="module")
def threads():
    with ThreadPoolExecutor(3) as executor:
        yield executor


@pytest.fixture(params=["serial", "threads", "processes"])
def executor(request):
    return None if request.param == "serial" else request.getfixturevalue(request.param)


class Inline:
    """The least that an executor must be; it runs tasks at once, or cancels them."""

    def __init__(self, cancelled=()):
        self.submitted, self.cancelled = 0, cancelled

    def submit(self, function, *args):
        future = Future()
        if self.submitted in self.cancelled:
            future.cancel()
            future.set_running_or_notify_cancel()
        else:
            try:
                future.set_result(function(*args))
            except Exception as error:
                future.set_exception(error)
        self.submitted += 1
        return future


# -- the same answers everywhere -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sample", "product"])
def test_answers_do_not_depend_on_the_executor(tasks, threads, processes, name):
    function = getattr(tasks, name)
    serial = map_tasks(function, range(6), rng=17, seeded=True)
    for executor in (threads, processes, Inline()):
        assert map_tasks(function, range(6), executor=executor, rng=17, seeded=True) == serial


@pytest.mark.filterwarnings("ignore")  # Dask warns where the machine is slow
def test_dask_gives_the_same_answers(tasks):
    distributed = pytest.importorskip("distributed")
    settings = {"dashboard_address": None, "processes": False, "n_workers": 2, "threads_per_worker": 1}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
        with pytest.raises(TypeError, match=r"client\.get_executor\(\)"):
            map_tasks(tasks.square, [1], executor=client)
        dask = client.get_executor()
        found = map_tasks(tasks.sample, range(5), executor=dask, rng=17, seeded=True)
        with pytest.raises(ParallelError) as caught:
            map_tasks(tasks.fail_at_three, range(5), executor=dask)
    assert found == map_tasks(tasks.sample, range(5), rng=17, seeded=True)
    assert caught.value.results == [0, -1, -2, None, -4]


def test_each_task_has_its_own_stream(tasks):
    draws = [x for _, x in map_tasks(tasks.sample, [1] * 30, rng=1, seeded=True)]
    assert len(set(draws)) == 30
    fewer = [x for _, x in map_tasks(tasks.sample, [1] * 5, rng=1, seeded=True)]
    assert fewer == draws[:5]  # more tasks do not change the first ones


def test_a_generator_as_seed_moves_on(tasks):
    def draw(rng):
        return map_tasks(tasks.sample, [1], rng=rng, seeded=True)[0][1]

    rng = np.random.default_rng(1)
    first, second = draw(rng), draw(rng)
    assert first == draw(1)
    assert first != second


def test_results_come_in_the_order_of_the_tasks(threads):
    gate = threading.Event()

    def last_first(task):
        if task == 0:
            assert gate.wait(10)
        if task == 2:
            gate.set()
        return task

    assert map_tasks(last_first, iter(range(3)), executor=threads) == [0, 1, 2]


def test_no_tasks(executor, tasks):
    assert map_tasks(tasks.square, [], executor=executor) == []


# -- failures --------------------------------------------------------------------------------------


def test_a_failing_task_does_not_lose_the_others(executor, tasks):
    with pytest.raises(
        ParallelError, match=r"1 of 6 tasks failed; the first is task 3: ValueError"
    ) as caught:
        map_tasks(tasks.fail_at_three, range(6), executor=executor)
    assert caught.value.results == [0, -1, -2, None, -4, -5]
    assert list(caught.value.failures) == [3]
    assert str(caught.value.failures[3]) == "task 3 has no solution"
    assert caught.value.__cause__ is caught.value.failures[3]
    back = pickle.loads(pickle.dumps(caught.value))
    assert str(back) == str(caught.value)
    assert back.results == caught.value.results
    assert isinstance(back.failures[3], ValueError)


def test_a_dead_worker_does_not_lose_what_finished(tasks):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        with pytest.raises(ParallelError) as caught:
            map_tasks(tasks.die_at_three, range(6), executor=executor)
        assert caught.value.results[:3] == [0, -1, -2]
        assert 3 in caught.value.failures
        assert all(isinstance(error, BrokenProcessPool) for error in caught.value.failures.values())
        # The pool is gone: nothing more is submitted, and it is said in the same way.
        with pytest.raises(ParallelError) as caught:
            map_tasks(tasks.square, range(2), executor=executor)
        assert set(caught.value.failures) == {0, 1}


def test_a_cancelled_task_does_not_lose_the_others(tasks):
    with pytest.raises(ParallelError) as caught:
        map_tasks(tasks.square, range(4), executor=Inline(cancelled={1}))
    assert caught.value.results == [0, None, 4, 9]
    assert isinstance(caught.value.failures[1], CancelledError)


def test_an_executor_that_is_shut_down_meanwhile_does_not_lose_what_finished():
    """What it cancels then, it tells nobody who waits in `concurrent.futures.as_completed`."""
    submitted, shut = [], threading.Event()

    class Closing(ThreadPoolExecutor):
        def submit(self, function, *args):
            submitted.append(super().submit(function, *args))
            if len(submitted) == 5:
                self.shutdown(wait=False, cancel_futures=True)
                shut.set()
            return submitted[-1]

    def wait(task):
        shut.wait()
        return task + 1

    with pytest.raises(ParallelError, match=r"4 of 5 tasks failed; .* CancelledError\. What") as caught:
        map_tasks(wait, range(5), executor=Closing(1), limits=Limits(time_limit=10.0))
    assert caught.value.results == [1, None, None, None, None]


@pytest.mark.parametrize("error", [TimeoutError, ValueError])
def test_what_cannot_be_submitted_is_a_failure_of_its_task(tasks, error):
    class Lost(Inline):
        def submit(self, function, *args):
            if self.submitted == 1:
                self.submitted += 1
                raise error("the scheduler does not answer")
            return super().submit(function, *args)

    with pytest.raises(ParallelError, match="1 of 4 tasks failed; the first is task 1") as caught:
        map_tasks(tasks.square, range(4), executor=Lost())
    assert isinstance(caught.value.failures[1], error)
    assert None not in (caught.value.results[i] for i in (0, 2, 3))


def test_what_cannot_be_sent_to_a_process_is_a_failure_of_its_task(processes, tasks):
    with pytest.raises(ParallelError) as caught:
        map_tasks(tasks.square, [2, threading.Lock(), 3], executor=processes)
    assert caught.value.results == [4, None, 9]


def test_ctrl_c_cancels_what_has_not_started(tasks):
    ran, block = [], threading.Event()

    class Interrupted(ThreadPoolExecutor):
        def submit(self, *args, **kwargs):
            if len(ran) == 3:
                raise KeyboardInterrupt
            ran.append(super().submit(block.wait, 10))
            return ran[-1]

    with Interrupted(1) as executor:
        with pytest.warns(ConvergenceWarning, match="0 of 6 tasks are done"):
            assert map_tasks(tasks.square, range(6), executor=executor) == [None] * 6
        cancelled = [future.cancelled() for future in ran]
        block.set()
    assert cancelled[1:] == [True, True]


def interrupted_at(k):
    def task(i):
        if i == k:
            raise KeyboardInterrupt
        return i

    return task


def test_ctrl_c_keeps_what_is_done():
    with pytest.warns(ConvergenceWarning, match="interrupted.* 2 of 5 tasks are done; the others are None"):
        assert map_tasks(interrupted_at(2), range(5)) == [0, 1, None, None, None]


class Late:
    """Its end is the moment of Ctrl-C, whose exception Python loses there."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("keyboard")
def test_ctrl_c_in_a_destructor_between_two_tasks_ends_the_whole():
    def task(i):
        if i == 1:
            Late()
        return i

    with pytest.warns(ConvergenceWarning, match="2 of 5 tasks are done"):
        assert map_tasks(task, range(5)) == [0, 1, None, None, None]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("keyboard")
def test_ctrl_c_in_a_destructor_while_problems_are_read_ends_the_whole():
    def problems():
        for k in range(3):
            Late()
            yield {"x": k}

    settings = {"names": ["x"], "needed": 1, "known": None, "warm_up": None, "executor": None}
    with pytest.warns(ConvergenceWarning, match="0 of 3 tasks are done"):
        found = solve_problems(
            lambda x: x, problems(), {},
            what="problems", caller="it", label="", timed=False, limits=Limits(), **settings,
        )  # fmt: skip
    assert found == [None] * 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupted_result_ends_the_whole():
    def task(i):
        return Result(x=i, status=Status.INTERRUPTED if i == 1 else Status.CONVERGED)

    with pytest.warns(ConvergenceWarning, match="2 of 4 tasks are done"):
        results = map_tasks(task, range(4))
    assert [r and r.x for r in results] == [0, 1, None, None]


@pytest.mark.parametrize("threads", [0, 2])
def test_no_task_starts_after_the_deadline(threads):
    def task(i):
        time.sleep(0.3)
        return i

    with (
        ThreadPoolExecutor(2) if threads else nullcontext() as executor,
        pytest.warns(ConvergenceWarning, match="time limit.*the others are None"),
    ):
        results = map_tasks(task, range(8), executor=executor, limits=Limits(time_limit=0.5))
    assert results[0] == 0
    assert results[-1] is None


@pytest.mark.parametrize("executor", [2, "threads", [], ThreadPoolExecutor])
def test_what_is_no_executor(executor, tasks):
    with pytest.raises(TypeError, match="executor must have a submit method"):
        map_tasks(tasks.square, [1], executor=executor)


def test_a_bad_seed_is_named(tasks):
    with pytest.raises(ValueError, match="rng must be"):
        map_tasks(tasks.sample, [1], rng=-1, seeded=True)


# -- one thread a worker ---------------------------------------------------------------------------


def test_each_worker_has_one_thread(processes, threads, tasks):
    pytest.importorskip("threadpoolctl")
    for executor in (threads, processes):
        assert set(map_tasks(tasks.threads, range(9), executor=executor)) == {(1, 1)}


def test_threads_get_back_what_they_had(threads, tasks):
    numba = pytest.importorskip("numba")
    threadpoolctl = pytest.importorskip("threadpoolctl")
    entered = threading.Event()

    def overlap(task):  # task 1 begins before task 0 ends, and ends after it
        if task == 0:
            assert entered.wait(10)
        else:
            entered.set()
            time.sleep(0.1)
        return tasks.threads(0)

    tasks.threads(0)  # loads the BLAS
    with threadpoolctl.threadpool_limits(2):
        before = tasks.threads(0)
        assert map_tasks(overlap, range(2), executor=threads) == [(1, 1), (1, 1)]
        assert tasks.threads(0) == before
        assert set(threads.map(lambda _: numba.get_num_threads(), range(9))) == {numba.get_num_threads()}


# -- warm-up and progress --------------------------------------------------------------------------


@pytest.mark.parametrize("tasks_given", [[], [1], [1, 2, 3]])
def test_the_cache_is_warmed_once_before_anything_is_submitted(tasks_given, tasks):
    seen, executor = [], Inline()
    map_tasks(tasks.square, tasks_given, executor=executor, warm_up=lambda: seen.append(executor.submitted))
    assert seen == [0]


def test_the_progress_bar_counts_tasks_and_closes(executor, tasks, capsys):
    map_tasks(tasks.square, range(4), executor=executor, progress=True, label="squares")
    shown = capsys.readouterr().err
    assert "squares" in shown
    assert "4/4" in shown
    assert shown.endswith("\n")


def test_the_progress_bar_counts_failures_too(executor, tasks, capsys):
    with pytest.raises(ParallelError):
        map_tasks(tasks.fail_at_three, range(4), executor=executor, progress=True)
    assert "4/4" in capsys.readouterr().err


def test_no_progress_bar_unless_it_is_asked_for(executor, tasks, capsys):
    map_tasks(tasks.square, range(4), executor=executor)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (1.0, r"problems\[0\] must be a dictionary or a tuple of at most 2 entries \(x, y\), got float"),
        ({"x": 1.0}, r"problems\[0\] has no y"),
        ({"x": 1.0, "y": 1.0, "w": 1.0}, "'w', which solver does not know"),
    ],
)
def test_solve_each_names_what_is_missing(problem, message):
    def solver(x, y, *, z=0.0):
        return x + y + z

    with pytest.raises(TypeError, match=message):
        solve_each(solver, [problem])


def test_solve_each_takes_what_has_defaults():
    def solver(x=None, *, z=0.0):
        return x, z

    assert solve_each(solver, [{"z": 2.0}, (1.0,)]) == [(None, 2.0), (1.0, 0.0)]
