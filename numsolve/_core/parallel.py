"""Map a function over tasks with any `concurrent.futures.Executor`: threads, processes, Dask, MPI."""

from __future__ import annotations

import functools
import importlib
import math
import os
import platform
import uuid
import warnings
from concurrent.futures import CancelledError, Executor
from contextlib import nullcontext
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from . import checks
from .extras import installed
from .keyboard import Guarded, in_main_thread, keyboard
from .limits import Limits
from .result import ConvergenceWarning, Status, caller_level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class ParallelError(RuntimeError):
    """Some tasks failed.

    Attributes
    ----------
    results : list
        What each task returned, in the order of the tasks; None for one that failed.
    failures : dict of int to BaseException
        The exception of each task that failed, by its index.
    """

    def __init__(self, results: list[Any], failures: dict[int, BaseException]) -> None:
        first = min(failures)
        words = filter(None, (type(failures[first]).__name__, str(failures[first]).rstrip(".")))
        super().__init__(
            f"{len(failures)} of {len(results)} tasks failed; the first is task {first}: {': '.join(words)}. "
            "What finished is in .results, the exceptions are in .failures"
        )
        self.results = results
        self.failures = failures

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.results, self.failures)


def map_tasks(
    function: Callable[..., Any],
    tasks: Iterable[Any],
    *,
    executor: Executor | None = None,
    rng: Any = None,
    seeded: bool = False,
    warm_up: Callable[[], Any] | None = None,
    progress: bool = False,
    label: str = "",
    limits: Limits | None = None,
) -> list[Any]:
    """Return ``[function(task) for task in tasks]``, computed by the executor's workers.

    The answers do not depend on the executor: results come in the order of the tasks, and with
    `seeded` each task gets a random generator of its own, derived from `rng` and its index.

    Parameters
    ----------
    function : callable
        Called as ``function(task)``, or ``function(task, rng=generator)``. For worker processes it has
        to be importable, and the script needs an ``if __name__ == "__main__"`` guard.
    tasks : iterable
        The arguments.
    executor : concurrent.futures.Executor, optional
        None runs the tasks one after the other in this thread.
    rng : None, int or Generator
        The seed of all generators.
    seeded : bool
        Whether the function takes `rng`.
    warm_up : callable, optional
        Run here once before anything is submitted, to fill the cache of compiled kernels: eight
        workers that start on a cold cache compile eight times.
    progress : bool
        Show a progress bar.
    label : str
        Its caption.
    limits : Limits, optional
        No task starts after the deadline.

    Returns
    -------
    list
        What each task returned, in the order of the tasks. After Ctrl-C or the deadline those that did not
        finish are None, and a `ConvergenceWarning` says so.

    Raises
    ------
    ParallelError
        After all tasks were tried, if some failed; it carries the results of the others.
    """
    check_executor(executor)
    jobs = list(tasks)
    settings: list[dict[str, Any]] = [{} for _ in jobs]
    if seeded:
        settings = [{"rng": child} for child in checks.generator(rng).spawn(len(jobs))]
    work = Work(function, jobs, settings, Limits() if limits is None else limits)
    work.bar = _bar(len(jobs), label) if progress else None
    try:
        if executor is None:
            work.do_here()
        else:
            if warm_up is not None:
                warm_up()
            # Threads share the limit of this process: set by each task, they would restore each other's.
            with one_blas_thread():
                work.hand_to(executor)
    finally:
        if work.bar is not None:
            work.bar.close()
    if len(work.done) < len(jobs):
        reason = Status.TIME_LIMIT if work.limits.expired else Status.INTERRUPTED
        text = f"{reason.explanation} {len(work.done)} of {len(jobs)} tasks are done; the others are None."
        warnings.warn(text, ConvergenceWarning, stacklevel=caller_level())
    if work.failures:
        raise ParallelError(work.results, work.failures) from work.failures[min(work.failures)]
    return work.results


def check_executor(executor: Any) -> None:
    """Refuse what cannot be given tasks."""
    if hasattr(executor, "get_executor"):
        raise TypeError("executor is a Dask client; give executor=client.get_executor()")
    if executor is not None and (isinstance(executor, type) or not hasattr(executor, "submit")):
        raise TypeError(
            f"executor must have a submit method, as concurrent.futures.Executor, got {executor!r}"
        )


class Work:
    """The tasks of one call, and what has become of each."""

    def __init__(
        self, function: Callable[..., Any], jobs: list[Any], settings: list[dict[str, Any]], limits: Limits
    ) -> None:
        self.function = function
        self.jobs = jobs
        self.settings = settings
        self.limits = limits
        self.results: list[Any] = [None] * len(jobs)
        self.failures: dict[int, BaseException] = {}
        self.done: set[int] = set()
        self.bar: Any = None

    def do_here(self) -> None:
        """Do one task after the other in this thread."""
        try:
            with Guarded():
                self._do_each()
        except KeyboardInterrupt:  # between two tasks, or before the first record of one
            return

    def _do_each(self) -> None:
        for i, (job, setting) in enumerate(zip(self.jobs, self.settings, strict=True)):
            if self.limits.expired or (keyboard.was_pressed and in_main_thread()):  # its exception was lost
                return
            try:
                self.results[i] = self.function(job, **setting)
            except Exception as error:  # kept, so that it does not lose the others
                self.failures[i] = error
            self._count(i)
            if getattr(self.results[i], "status", None) is Status.INTERRUPTED:
                return

    def hand_to(self, executor: Executor) -> None:
        """Submit all tasks and collect them as they finish."""
        futures: dict[Any, int] = {}
        # `as_completed` would wait for ever where an executor is shut down and cancels what it has not begun.
        ended: SimpleQueue[Any] = SimpleQueue()
        here, call = process(), uuid.uuid4().hex
        try:
            for i, (job, setting) in enumerate(zip(self.jobs, self.settings, strict=True)):
                try:
                    future = executor.submit(one_thread, self.function, job, setting, here, (call, i))
                except Exception as error:  # a worker died and took the pool with it
                    self.failures[i] = error
                    self._count(i)
                else:
                    futures[future] = i
                    future.add_done_callback(ended.put)
            for _ in range(len(futures)):
                future = self._next(ended)
                i = futures[future]
                try:
                    failure = future.exception()
                except CancelledError as error:  # the executor was shut down
                    failure = error
                if isinstance(failure, KeyboardInterrupt):  # the terminal sends Ctrl-C to the workers too
                    raise failure
                if failure is None:
                    self.results[i] = future.result()
                else:
                    self.failures[i] = failure
                self._count(i)
        except (KeyboardInterrupt, Empty):
            # What runs cannot be stopped from here; it ends by its own limits.
            for future in futures:
                future.cancel()

    def _next(self, ended: SimpleQueue[Any]) -> Any:
        """Wait for the next future; `Empty` at the deadline, which compilation in a thread puts off."""
        while True:
            left = None if self.limits.deadline == math.inf else self.limits.seconds_left
            try:
                return ended.get(timeout=left)
            except Empty:
                if self.limits.expired:
                    raise

    def _count(self, i: int) -> None:
        self.done.add(i)
        if self.bar is not None:
            self.bar.update()


def one_thread(
    function: Callable[..., Any], job: Any, setting: dict[str, Any], submitter: tuple[str, int], _: Any = None
) -> Any:
    """Run a task in a worker, with one thread: one level of parallelism is enough.

    The last argument makes the task unlike all others: Dask would answer two that are alike by one result,
    which is wrong where something is drawn at random.
    """
    numba = importlib.import_module("numba") if installed("numba") else None
    before = numba.get_num_threads() if numba is not None else 0
    if numba is not None:
        numba.set_num_threads(1)
    try:
        with nullcontext() if submitter == process() else _one_blas_thread_again():
            return function(job, **setting)
    finally:
        if numba is not None:
            numba.set_num_threads(before)


def one_blas_thread() -> Any:
    """Give BLAS one thread, within a context."""
    if not installed("threadpoolctl"):
        return nullcontext()
    import scipy.linalg  # noqa: F401  # its BLAS would escape a limit set before it is loaded
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


def _one_blas_thread_again() -> Any:
    """Do the same without the millisecond in which the libraries are looked for."""
    controller = _controller()
    return nullcontext() if controller is None else controller.limit(limits=1)


@functools.cache
def _controller() -> Any:
    if not installed("threadpoolctl"):
        return None
    import scipy.linalg  # noqa: F401  # as above
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def process() -> tuple[str, int]:
    """Name this process among those of all machines."""
    return platform.node(), os.getpid()


def _bar(total: int, label: str) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=label or None, unit="task")
