"""python on_executor.py NAME: what map_tasks promises, held against a real executor of that name.

A process of its own, for some of them take over signals or the whole interpreter. Prints what it found.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numsolve
from numsolve._core.limits import Limits
from numsolve._core.parallel import ParallelError, map_tasks
from numsolve.fractional import solve_riesz_bvp

sys.path.insert(0, str(Path(__file__).parent))  # also where pytest looks for docstrings
import parallel_tasks as tasks


@contextmanager
def dask():
    from distributed import Client, LocalCluster

    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with LocalCluster(**settings) as cluster, Client(cluster) as client:
        yield client.get_executor()


@contextmanager
def ray():
    import ray

    class RayExecutor(Executor):  # the recipe of the guide
        def submit(self, function, /, *args, **kwargs):
            return ray.remote(function).remote(*args, **kwargs).future()

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        yield RayExecutor()
    finally:
        ray.shutdown()


@contextmanager
def mpi():
    from mpi4py.futures import MPIPoolExecutor

    with MPIPoolExecutor() as pool:
        yield pool


@contextmanager
def processes():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


def interrupted(executor, everybody):
    """Ctrl-C while two workers are at work and others tasks wait; a terminal sends it to the workers too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    send = partial(os.killpg, 0, signal.SIGINT) if everybody else partial(os.kill, os.getpid(), signal.SIGINT)
    with tempfile.TemporaryDirectory() as folder:
        marks = [Path(folder) / name for name in "ab"]

        def press():
            while not all(mark.exists() for mark in marks):
                time.sleep(0.05)
            time.sleep(1.0)  # for the results to come back
            send()

        threading.Thread(target=press, daemon=True).start()
        return map_tasks(tasks.mark, [*map(str, marks), 5.0, 5.0, 5.1, 5.2, 5.3], executor=executor)


def main(name):
    found = {}
    with globals()[name]() as executor, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        on = partial(map_tasks, executor=executor)
        serial = map_tasks(tasks.sample, range(5), rng=17, seeded=True)
        found["equal"] = on(tasks.sample, range(5), rng=17, seeded=True) == serial
        found["draws"] = len(set(on(tasks.draw, [0, 0, 0])))
        orders = [(1.0, 1.3), (1.0, 1.7)]
        solver = partial(solve_riesz_bvp, n=32, method="spline")
        here, there = (numsolve.solve_each(solver, orders, executor=e) for e in (None, executor))
        found["solved"] = [abs(a.x - b.x).max() <= 1e-12 for a, b in zip(here, there, strict=True)] == [
            True
        ] * 2
        try:
            on(tasks.fail_at_three, range(6))
        except ParallelError as error:
            found["failed"] = [error.results, [*map(str, error.failures)]]
        limits = Limits(time_limit=1.5)
        found["limited"] = on(tasks.sleep, [0.0, 0.1, 2.0, 2.0, 2.1, 2.2], limits=limits, progress=True)
        time.sleep(3.5)  # what ran goes on, and what lay ready for the workers
        if name in {"dask", "ray"}:
            with tempfile.TemporaryDirectory() as folder:
                mark = str(Path(folder) / "mark")
                found["one killed"] = on(tasks.die_once, [(i, mark) for i in range(8)])
        found["interrupted"] = interrupted(executor, everybody=name == "processes")
        print("FOUND " + json.dumps(found), flush=True)
        if name == "processes":  # Ctrl-C may have broken the pool, and workers may sleep on
            os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
