"""python clouds_apart.py: passes over the pairs by workers that share no memory, beside those made here.

A process of its own, in which kernels come from the cache as in the workers: the process that compiles them
may round otherwise. Prints what it found.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import tracemalloc
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from numsolve import transport
from numsolve._core import kept
from numsolve.transport.clouds import _cloud, _pairs, _tiles
from numsolve.transport.clouds._metric import make_metric

#: The cost, how many coordinates, reg, and the method.
CASES = {
    "planar": ("sqeuclidean", 2, 1e-2, "newton"),
    "sinkhorn": ("euclidean", 3, 3e-2, "sinkhorn"),
    "products": ("sqeuclidean", 9, 0.5, "sinkhorn"),
}


def solve(case, executor=None):
    metric, d, reg, method = CASES[case]
    rng = np.random.default_rng(3)
    X, Y = rng.random((1100, d)), rng.random((1000, d)) ** 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        r = transport.solve_sample(X, Y, reg=reg, metric=metric, method=method, maxiter=12, executor=executor)
    return *r.x, r.value, r.value_linear, r.residual, *r.bounds, r.nit


def same(one, other):
    return all(np.array_equal(x, y) for x, y in zip(one, other, strict=True))


def watch():
    """Count this worker's memory from now on; with some time for the other worker to do the same."""
    tracemalloc.start()
    time.sleep(0.3)


def held():
    """Bytes that this worker keeps, and the most that it has had at once."""
    time.sleep(0.3)
    return kept.store.size, tracemalloc.get_traced_memory()[1]


def tall(executor):
    """Sums between 600 000 points and 500, both ways; unsorted, and so wide that no pair is passed over."""
    rng = np.random.default_rng(0)
    A, B = (_cloud.Cloud(rng.random((n, 3)), np.full(n, 1 / n)) for n in (600_000, 500))
    pairs = _pairs.Pairs(make_metric("sqeuclidean", 2.0), A, B, _pairs.Workers(executor))
    plan = pairs.plan(np.zeros(600_000), np.zeros(500), 1.0)
    return plan.row_sums(), plan.T.row_sums()


def main():
    kept.ROOM = 2_000_000
    serial_tall = tall(None)
    _pairs.COLUMNS, _pairs.THREADED_ABOVE, _tiles.LEAST_TILE = 400, 500_000, 60_000
    serial = {case: solve(case) for case in CASES}
    found = {}
    if sys.argv[1:] == ["warm"]:
        return
    for workers in (1, 2):
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            cases = CASES if workers == 2 else ["planar"]
            found[f"{workers} processes"] = {case: same(solve(case, pool), serial[case]) for case in cases}
            if workers == 2:
                _pairs.COLUMNS, _tiles.LEAST_TILE = 65_536, 16_000_000
                for future in [pool.submit(watch) for _ in range(2)]:
                    future.result()
                found["tall"] = same(tall(pool), serial_tall)
                found["held"] = [future.result() for future in [pool.submit(held) for _ in range(2)]]
                pid = pool.submit(os.getpid).result()
                os.kill(pid, signal.SIGKILL)
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    found["tall, pool broken"] = same(tall(pool), serial_tall)
                found["warned"] = [str(w.message) for w in caught if w.category is RuntimeWarning]
    _pairs.COLUMNS, _tiles.LEAST_TILE = 400, 60_000
    if sys.argv[1:] == ["dask"]:
        from distributed import Client, LocalCluster

        settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
        with LocalCluster(**settings) as cluster, Client(cluster) as client:
            executor = client.get_executor()
            found["dask"] = {case: same(solve(case, executor), serial[case]) for case in CASES}
            victim = min(client.run(os.getpid).values())
            timer = threading.Timer(0.3, os.kill, (victim, signal.SIGKILL))
            timer.start()
            found["dask, one killed"] = same(solve("sinkhorn", executor), serial["sinkhorn"])
            timer.join()
            time.sleep(0.1)
            found["another"] = victim not in client.run(os.getpid).values()
    print("FOUND " + json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
