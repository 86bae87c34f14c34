"""Threads may call every solver at once, on different problems and with the same objects."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numba
import numpy as np
import pytest
from solvers import JAX, SOLVERS, same
from threadpoolctl import threadpool_info

from numsolve import ConvergenceWarning, linear

if TYPE_CHECKING:
    from collections.abc import Iterator

THREADS = 8
QUICK = [name for name, solver in SOLVERS.items() if not solver.slow]


def process_state() -> dict[str, object]:
    """What a solve must leave as it was."""
    return {
        "threads of Numba": numba.get_num_threads(),
        "threads of the BLAS": sorted((p["filepath"], p["num_threads"]) for p in threadpool_info()),
        "NumPy's errors": np.geterr(),
        "warnings": list(warnings.filters),
        "Ctrl-C": signal.getsignal(signal.SIGINT),
        "NumPy's generator": np.random.get_state()[1].tobytes(),  # noqa: NPY002
        "Python's generator": random.getstate(),
        "single or double": JAX and sys.modules["jax"].config.jax_enable_x64,
        "threads left": sum(type(t).__name__ != "TMonitor" for t in threading.enumerate()),  # tqdm's stays
    }


@contextmanager
def nothing_changes() -> Iterator[None]:
    before = process_state()
    yield
    after = process_state()
    assert [name for name in before if before[name] != after[name]] == []


def at_once(jobs):
    """Results of jobs, pairs of a name and a number, that `THREADS` threads work at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        serial = {job: SOLVERS[job[0]].run(job[1]) for job in set(jobs)}
        with nothing_changes(), ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(lambda job: SOLVERS[job[0]].run(job[1]), jobs))
            pool.shutdown()
    return [job for job, result in zip(jobs, found, strict=True) if not same(result, serial[job])]


def test_all_solvers_at_once_give_the_same_bits():
    """Each twice with the same objects and once with others, in an order that mixes the columns."""
    jobs = [(name, k) for name in QUICK for k in (0, 0, 1)]
    random.Random(0).shuffle(jobs)
    assert at_once(jobs) == []


#: Compiled anew for each call by JAX, which takes minutes here; some are in the test above.
COMPILED_ANEW = ("bilevel", "implicit", "neural_ode")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in QUICK if not name.startswith(COMPILED_ANEW)])
def test_a_solver_beside_itself_gives_the_same_bits(name):
    assert at_once([(name, k) for _ in range(THREADS) for k in range(4)]) == []


def test_a_failed_solve_warns_whatever_other_threads_do():
    """Solvers that hide the warnings of solves inside them do not hide those of their neighbours."""
    A, b = linear.problems.laplacian(12), np.ones(144)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with nothing_changes(), ThreadPoolExecutor(2) as pool:
            hiding = pool.submit(lambda: [SOLVERS["transport.solve, exact"].run(k % 4) for k in range(20)])
            failing = pool.submit(lambda: [linear.cg(A, b, maxiter=1) for _ in range(50)])
            assert not hiding.exception()
            assert not any(r.success for r in failing.result())
            pool.shutdown()
    assert sum(issubclass(w.category, ConvergenceWarning) for w in caught) == 50


def test_callbacks_and_progress_bars_of_threads_are_their_own(capsys):
    A, b = linear.problems.laplacian(12), np.random.default_rng(0).standard_normal(144)

    def watched(_):
        seen = []
        r = linear.cg(A, b, rtol=1e-8, callback=lambda x: seen.append(threading.get_ident()), progress=True)
        return len(seen) == r.nit and set(seen) == {threading.get_ident()}

    with nothing_changes(), ThreadPoolExecutor(4) as pool:
        assert all(pool.map(watched, range(12)))
        pool.shutdown()
    assert "residual" in capsys.readouterr().err


def test_ctrl_c_of_the_main_thread_is_back_after_an_error(keyboard):
    def fail(x):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        linear.cg(linear.problems.laplacian(5), np.ones(25), callback=fail)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def run(script: str, tmp_path: Path, **environment: str) -> str:
    """Run a script in a process of its own, which has 5 minutes before it counts as hung."""
    file = tmp_path / "script.py"
    file.write_text(textwrap.dedent(script))
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]
    done = subprocess.run(
        [sys.executable, str(file)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "NUMSOLVE_QUIET": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


FIRST = """
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier
    from solvers import SOLVERS, same

    names = {names}
    start = Barrier(2 * len(names))

    def work(name):
        start.wait()
        return SOLVERS[name].run(0)

    if __name__ == "__main__":
        with ThreadPoolExecutor(2 * len(names)) as pool:
            found = list(pool.map(work, 2 * names))
        print([name for name, r in zip(2 * names, found) if not same(r, SOLVERS[name].run(0))])
"""


@pytest.mark.slow
def test_the_first_calls_may_be_at_once_on_an_empty_cache(tmp_path):
    names = ["linear.cg", "monotone.solve_lp", "special.log_iv"]
    out = run(FIRST.format(names=names), tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert out.strip() == "[]"


CHILD = """
    import multiprocessing, warnings
    from concurrent.futures import ThreadPoolExecutor
    from solvers import SOLVERS, same

    NAMES = {names}

    def solve(name):
        return SOLVERS[name].run(0)

    if __name__ == "__main__":
        with ThreadPoolExecutor(4) as pool:
            here = list(pool.map(solve, NAMES))
        with multiprocessing.get_context({method!r}).Pool(2) as pool:
            there = pool.map_async(solve, NAMES).get(240)
        print([name for name, x, y in zip(NAMES, here, there) if not same(x, y)])
"""

#: of each column that starts no JAX, which does not live through a fork
CHILDREN = [
    *(
        "transport.solve",
        "transport.solve, batch",
        "transport.solve_sample",
        "linear.cg",
        "linear.solve_poisson",
    ),
    *(
        "monotone.solve_lp",
        "fractional.solve_riesz_bvp",
        "atomic.AtomDFT",
        "sketch.lstsq",
        "special.log_iv, many",
    ),
]


@pytest.mark.parametrize(
    "method",
    [
        pytest.param("fork", marks=pytest.mark.skipif(sys.platform != "linux", reason="forks are Linux's")),
        pytest.param("spawn", marks=pytest.mark.slow),
    ],
)
def test_processes_made_after_solves_of_threads_solve_too(method, tmp_path):
    assert run(CHILD.format(names=CHILDREN, method=method), tmp_path).strip() == "[]"


BITS = """
    import hashlib
    from solvers import SOLVERS, numbers
    from numsolve.transport.clouds import _problem

    _problem.SMALL = 0  # as large clouds
    told = [x.tobytes() for name in {names} for k in range(3) for x in numbers(SOLVERS[name].run(k))]
    print(hashlib.sha256(b"".join(told)).hexdigest())
"""


@pytest.mark.slow
def test_the_process_that_compiles_gets_the_bits_of_those_that_load(tmp_path):
    script = BITS.format(names=["transport.solve_sample", "linear.bicgstab", "special.log_iv"])
    cache = str(tmp_path / "cache")
    assert run(script, tmp_path, NUMBA_CACHE_DIR=cache) == run(script, tmp_path, NUMBA_CACHE_DIR=cache)


TAKEN_APART = """
import signal, sys, warnings
import numpy as np
from numsolve import monotone
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
problem = monotone.AffineFiniteSum(rng.normal(size=(60, 5)), np.arange(60.0) / 60)
def solve():
    return monotone.vr_halpern(problem, np.zeros(5), rng=0, tol=0.0, max_epochs=200)
solve()
calls = [0]
def trace(frame, event, arg):
    if event == "call" and frame.f_globals.get("__name__") in ("ctypes", "namedtuple_interface"):
        calls[0] += 1
        if calls[0] == int(sys.argv[1]):
            signal.raise_signal(signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.settrace(trace)
result = solve()
sys.settrace(None)
assert calls[0] >= int(sys.argv[1])
print(result.status.name, np.isfinite(result.x).all())
"""


@pytest.mark.parametrize("moment", [1, 7])
def test_ctrl_c_while_numba_takes_a_generator_apart_does_not_end_the_interpreter(moment):
    """Numba goes on with the address that an exception there leaves: none."""
    done = subprocess.run(
        [sys.executable, "-c", TAKEN_APART, str(moment)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["INTERRUPTED", "True"], (done.returncode, done.stderr)
