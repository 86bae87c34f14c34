"""What more threads give transport: the same work by numsolve with one thread and with all of them.

Run it with ``--threads 2`` or more. The peer is numsolve in one thread, in turns in the same process, and the
triad ``a = b + 3 c`` on arrays far beyond the caches shows what the memory allows: where that gains nothing
from a second thread, nothing that waits for memory can.

How far from the floor. A look at the cost matrix reads 8 bytes and takes one exponential an entry. On the
machine of the stored figures a core makes an exponential in 0.43 ns, and two of them read 8 bytes in 0.25 ns:
looks gain from a second core as far as the exponential hides the memory. Products with a stored plan are
memory alone, and gain what the triad gains.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numba
import numpy as np

from _harness import Case, Peer, main
from numsolve import transport
from numsolve._core.limits import Limits
from numsolve.transport import problems
from numsolve.transport._problem import prepare
from numsolve.transport._semidual import DenseDual
from numsolve.transport.clouds._problem import prepare_clouds


def case(name: str, run: Callable[[], Any], metric: str = "time") -> Case:
    """The same work by all threads, and by one."""
    threads = numba.get_num_threads()

    def one() -> Any:
        numba.set_num_threads(1)
        try:
            return run()
        finally:
            numba.set_num_threads(threads)

    peers = [Peer("numsolve", one, name="numsolve one thread")]
    return Case(f"{name}, {threads} threads", run, peers, metric, repeats=15, budget=30.0, first_call=False)


@numba.njit(nogil=True, fastmath=True)
def triad(a: Any, b: Any, c: Any) -> None:
    """The memory's speed, with two reads, one write, and the read that a write costs."""
    for i in range(a.size):
        a[i] = b[i] + 3.0 * c[i]


def triad_case(size: int) -> Case:
    """Blocks of the triad, shared as the kernels share rows."""
    a, b, c = np.zeros(size), np.ones(size), np.ones(size)
    triad(a[:1], b[:1], c[:1])
    n = size // 32

    def run() -> None:
        with ThreadPoolExecutor(numba.get_num_threads()) as pool:
            list(pool.map(lambda i: triad(a[i : i + n], b[i : i + n], c[i : i + n]), range(0, size, n)))

    return case(f"triad of {size * 8 >> 20} MB arrays", run)


def look_cases(n: int) -> Iterator[Case]:
    """The passes of a Newton step over a dense cost matrix."""
    problem = prepare(problems.random_assignment(n, rng=0)[0], None, None, 1e-3)
    f, g = transport.solve(problem.M, reg=1e-3).potentials
    floor = np.full(n, 1e-3 / n**2)

    def with_dual(work: Callable[[DenseDual], Any]) -> Callable[[], None]:
        def run() -> None:
            with closing(DenseDual(problem, Limits())) as dual:
                work(dual)

        return run

    yield case(f"two looks at a cost matrix, n = {n}", with_dual(lambda dual: dual.transform(f, g)))
    with closing(DenseDual(problem, Limits())) as dual:
        s = dual.at(f, g)
    yield case(
        f"choice of the entries that matter, n = {n}",
        with_dual(lambda dual: dual.entries(s, floor, floor)),
    )


def cases(quick: bool) -> Iterator[Case]:
    """The memory, the kernels, whole solves."""
    if numba.get_num_threads() < 2:
        sys.exit("transport_threads.py compares one thread with more: run it with --threads 2")
    yield triad_case(1_000_000 if quick else 24_000_000)
    sizes = (1000,) if quick else (1000, 2000, 4000)
    yield from look_cases(sizes[-1])
    for n in sizes:
        M = problems.random_assignment(n, rng=0)[0]
        for reg in (1e-2, 1e-3):
            yield case(
                f"a dense solve, n = {n}, reg = {reg:g}",
                lambda M=M, reg=reg: transport.solve(M, reg=reg),
                "time to 1e-9 marginal error",
            )
    n = 2000 if quick else 20_000
    X, Y = problems.clouds(n, 3, rng=0)
    f = np.full(n, -np.log(n))
    plan = prepare_clouds(X, Y, None, None, 1.0, "sqeuclidean", 2.0, None).pairs.plan(f, f, 1.0)
    yield case(f"a pass over all pairs of clouds, n = {n}, d = 3", plan.row_sums)
    yield case(
        f"clouds, n = {n}, d = 3, reg = 0.001",
        lambda: transport.solve_sample(X, Y, reg=1e-3),
        "time to 1e-6 marginal error",
    )


if __name__ == "__main__":
    main(cases)
