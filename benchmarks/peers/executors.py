"""What two workers give on each executor, and what a model of that says of ten and of a thousand.

The peer is numsolve in one process. Two kinds of work: many small solves (`numsolve.solve_each`), and a pass
of Sinkhorn's method between clouds, whose tiles carry potentials there and sums back.

The model: the process that hands out the N tasks spends h seconds on each, whoever does them, and a worker w:

    T(W) = N h + ceil(N / W) w,

which stops to fall when N h is all of it: beyond w / h workers more of them give little, and no number of
them gives more than w / h times the speed of one. h is measured by tasks that do nothing but carry as many
bytes there and back, w by the serial run. The model's time for the two workers is beside what they took. It
leaves out the network, which has to carry the bytes of a task in h, and stragglers.

MPI's workers are processes of `mpiexec`, under which the script starts itself once more.
"""

from __future__ import annotations

import itertools
import json
import math
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

import numsolve
from _harness import _read, fix_threads, header, table, version
from numsolve import fractional
from numsolve._core.parallel import map_tasks
from numsolve.transport.clouds._problem import prepare_clouds
from numsolve.transport.clouds._tiles import pairs_of_a_tile
from numsolve.transport.clouds._workers import Workers

WORKERS = 2
#: Tasks of the larger work that the model speaks of.
MANY = 10_000
#: Equations with some tens of milliseconds each.
ORDERS = np.linspace(1.1, 1.9, 32)


def equation(f: float, order: float) -> fractional.RieszResult:
    """One of the many small solves, with its error estimate: a result is given one on its way to another
    process, so that without it the serial run would do half of the work."""
    result = fractional.solve_riesz_bvp(f, order, n=1024, method="spline")
    assert result.error_estimate > 0
    return result


def nothing(task: Any) -> Any:
    return task


@contextmanager
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(WORKERS) as pool:
        yield pool


@contextmanager
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:
        yield pool


@contextmanager
def dask() -> Iterator[Executor]:
    from distributed import Client, LocalCluster

    settings = {"n_workers": WORKERS, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**settings) as cluster, Client(cluster) as client:
        yield client.get_executor()


@contextmanager
def ray() -> Iterator[Executor]:
    import ray

    class RayExecutor(Executor):
        def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            return ray.remote(function).remote(*args, **kwargs).future()

    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    yield RayExecutor()
    ray.shutdown()


@contextmanager
def mpi() -> Iterator[Executor]:
    from mpi4py.futures import MPIPoolExecutor

    with MPIPoolExecutor(WORKERS) as pool:
        yield pool


#: How the peer packages are called.
EXECUTORS = {"threads": "", "processes": "", "dask": "distributed", "ray": "ray", "mpi": "mpi4py"}


def seconds(run: Callable[[], Any], repeats: int) -> float:
    run()
    found = []
    for _ in range(repeats):
        start = perf_counter()
        run()
        found.append(perf_counter() - start)
    return median(found)


def empty(executor: Executor, size: int, repeats: int) -> float:
    """Seconds a task of the process that hands them out, there and back with so many bytes."""
    tasks = [np.full(max(1, size // 16), float(k)) for k in range(100)]
    return seconds(lambda: map_tasks(nothing, tasks, executor=executor), repeats) / len(tasks)


def model(n: int, h: float, w: float, workers: int) -> float:
    return n * h + math.ceil(n / workers) * w


def measured(name: str, quick: bool) -> Iterator[dict[str, Any]]:
    repeats = 1 if quick else 3
    points = 10_000 if quick else 40_000
    orders = ORDERS[:8] if quick else ORDERS
    rng = np.random.default_rng(0)
    X, Y = rng.random((points, 3)), rng.random((points, 3)) ** 2

    runs = itertools.count()

    def solved(executor: Executor | None) -> Any:
        new = orders + 1e-4 * next(runs)  # what is known of an order is kept, and each worker sees others
        return numsolve.solve_each(equation, [(1.0, float(order)) for order in new], executor=executor)

    def sums(executor: Executor | None) -> Any:
        pairs = replace(clouds.pairs, workers=Workers(executor))
        return pairs.plan(np.zeros(points), np.zeros(points), 0.1).row_sums()

    clouds = prepare_clouds(X, Y, None, None, 0.1, "sqeuclidean", 2.0, None)
    tiles = points * points // pairs_of_a_tile(points * points)
    works = {
        "orders of a fractional equation": (
            solved, len(orders), 5_000,
        ),
        f"a pass between clouds of {points} points": (
            sums, tiles, 8 * points,
        ),
    }  # fmt: skip
    with globals()[name]() as executor:
        for case, (run, n, size) in works.items():
            serial = seconds(partial(run, executor=None), repeats)
            parallel = seconds(partial(run, executor=executor), repeats)
            h, w = empty(executor, size, repeats), serial / n
            note = (
                f"{n} tasks of {1e3 * w:.3g} ms, {1e3 * h:.3g} ms each to hand out; at most {w / h:.3g} times"
            )
            times = {
                "time": (serial, parallel),
                "model of these, 2 workers": (serial, model(n, h, w, WORKERS)),
            }
            times["a task: to solve, to hand out"] = w, h
            for workers in (10, 1000):
                times[f"model of {MANY} tasks, {workers} workers"] = MANY * w, model(MANY, h, w, workers)
            for metric, (one, all_of_them) in times.items():
                yield {
                    "case": f"{case}, {name}", "peer": f"numsolve {version('numsolve')} in one process",
                    "metric": metric, "unit": "s", "peer_value": one, "numsolve_value": all_of_them,
                    "ratio": one / all_of_them, "peer_error": None, "numsolve_error": None, "note": note,
                }  # fmt: skip


def launched(quick: bool) -> list[dict[str, Any]]:
    """The rows of MPI, from a run of this script by its launcher; none where there is no launcher."""
    beside = Path(sys.executable).with_name("mpiexec")
    launcher = str(beside) if beside.exists() else shutil.which("mpiexec")
    if launcher is None:
        print("there is no mpiexec", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [launcher, "-n", str(WORKERS + 1), sys.executable, "-m", "mpi4py.futures", __file__]
        command += ["--executors", "mpi", "--launched", "--json", str(file), *(["--quick"] if quick else [])]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        rows: list[dict[str, Any]] = json.loads(file.read_text())["rows"]
    return rows


def main() -> None:
    parser = ArgumentParser(description="What two workers give on each executor, and a model of more")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--resume", action="store_true", help="go on where a run with this file was ended")
    parser.add_argument("--threads", type=int, choices=[1], default=1, help="each worker has one")
    parser.add_argument("--executors", nargs="*", choices=list(EXECUTORS), default=list(EXECUTORS))
    parser.add_argument("--launched", action="store_true", help="this run is one of mpiexec's")
    options = parser.parse_args()
    fix_threads(options.threads, cores=WORKERS)
    rows: list[dict[str, Any]] = []
    kept = options.json.with_suffix(".cases") if options.resume else None
    known = _read(kept) if kept else {}
    for place, name in enumerate(options.executors):
        if EXECUTORS[name] and find_spec(EXECUTORS[name]) is None:
            print(f"{EXECUTORS[name]} is not installed", file=sys.stderr)
            continue
        print(f"... {name}", file=sys.stderr, flush=True)
        new = known.get((place, name))
        if new is None:
            outside = name == "mpi" and not options.launched
            new = launched(options.quick) if outside else list(measured(name, options.quick))
            if kept:
                with kept.open("a") as file:
                    file.write("\n" + json.dumps([place, name, new]))
        rows += new
    packages = [package for package in EXECUTORS.values() if package and find_spec(package)]
    about = header(packages, 1, quick=options.quick)
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(about | {"rows": rows}, indent=1, allow_nan=False) + "\n")
        if kept:
            kept.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
