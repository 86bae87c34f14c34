"""``python -m numsolve warm``: compile every kernel ahead of its first call, several processes side by side.

Each column lists a tiny call of each of its solvers in ``_warm.CALLS``. One process makes all calls of a
column, since they share kernels; columns run in parallel, since Numba compiles one function at a time in a
process.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import subprocess
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def areas() -> list[str]:
    """The columns that have something to compile."""
    import numsolve

    return [
        name
        for name in numsolve.__all__
        if name.islower() and importlib.util.find_spec(f"numsolve.{name}") is not None
        if importlib.util.find_spec(f"numsolve.{name}._warm") is not None
    ]


def calls_of(area: str) -> dict[str, Callable[[], object]]:
    """The calls of a column, by name."""
    calls: dict[str, Callable[[], object]] = importlib.import_module(f"numsolve.{area}._warm").CALLS
    return calls


def main(arguments: Sequence[str] | None = None) -> int:
    """Warm the columns named, or all; return the number of those that failed."""
    known = areas()
    parser = argparse.ArgumentParser(
        prog="python -m numsolve warm",
        description="Compile the kernels of numsolve ahead of their first call.",
    )
    parser.add_argument("area", nargs="*", help=f"of {', '.join(known)}; all by default")
    parser.add_argument(
        "--jobs", type=int, default=_usable_cores(), help="processes at a time (default: cores)"
    )
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.area) - set(known)):
        parser.error(f"no area is called {', '.join(unknown)}; there are {', '.join(known)}")
    if options.jobs < 1:
        parser.error(f"--jobs must be at least 1, got {options.jobs}")
    chosen = options.area or known
    # The columns that take longest start first.
    chosen = sorted(chosen, key=lambda area: (area != "atomic", area != "transport"))
    return _in_parallel(chosen, options.jobs)


def _in_parallel(chosen: list[str], jobs: int) -> int:
    from tqdm.auto import tqdm

    bar = tqdm(total=sum(len(calls_of(area)) for area in chosen), unit="call", desc="compiling")
    slots, failed, began = threading.Semaphore(jobs), [], time.perf_counter()

    def one(area: str) -> None:
        with slots:
            command = [sys.executable, "-m", "numsolve._warm", area]
            environment = {
                **os.environ,
                "NUMSOLVE_QUIET": "1",
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
            }
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
            )
            running.append(process)
            assert process.stdout is not None
            assert process.stderr is not None
            for name in process.stdout:
                bar.set_postfix_str(f"{area}: {name.strip()}")
                bar.update()
            errors = process.stderr.read()
            if process.wait():
                failed.append(area)
                bar.write(f"{area} failed:\n{errors}", file=sys.stderr)

    running: list[subprocess.Popen[str]] = []
    threads = [threading.Thread(target=one, args=(area,), daemon=True) for area in chosen]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        for process in running:
            process.terminate()
        print("interrupted; what was compiled stays compiled", file=sys.stderr)
        return 1
    finally:
        bar.close()
    seconds = time.perf_counter() - began
    print(f"{', '.join(chosen)}: compiled in {seconds:.0f} s; kept in a cache for later processes")
    return len(failed)


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def seconds_of(area: str, name: str) -> float:
    """Processor seconds of one call in this process, its column imported before."""
    call = calls_of(area)[name]
    began = time.process_time()
    call()
    return time.process_time() - began


def _child(area: str, name: str = "") -> None:
    """Make one call and print its processor seconds, or make all and print their names."""
    warnings.simplefilter("ignore")  # tiny problems with tiny limits may end early; they compile all the same
    if name:
        importlib.import_module("numba")
        importlib.import_module("scipy.linalg")
        print(f"{seconds_of(area, name):.3f}")
        return
    for each, call in calls_of(area).items():
        call()
        print(each, flush=True)


if __name__ == "__main__":
    _child(*sys.argv[1:])
