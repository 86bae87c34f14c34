"""Transport between clouds of points beside POT and OTT: passes over the pairs, and whole solves.

The marginal error of a solve is ``|P 1 - a|_1 + |P' 1 - b|_1``, made from each side's potentials by plain
NumPy, over all pairs, up to 20 000 points; above that by numsolve's kernel, passing nothing over. POT's lazy
Sinkhorn is stopped after an iteration where it would take hours, and then misses the tolerance: the ratio is
a lower bound.

OTT's `PointCloud(batch_size=...)`, its way to do without the matrix, raises an AttributeError with recent
versions of JAX (OTT 0.6.0 with JAX 0.10.2: `jax.interpreters.batching` has lost `is_vmappable`); the note of
its row says whether it does. Without `batch_size` it stores the matrix.

How far from the floor. A pair costs a distance and an exponential. On the machine of the stored figures the
exponential takes 0.44 ns and the distance in three dimensions at least 0.1 ns beside it; a pass over all
pairs takes about 0.75 ns a pair.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from _harness import Case, Peer, main
from numsolve import transport
from numsolve.transport import problems


def marginal_error(X: Any, Y: Any, reg: float, potentials: Any) -> float:
    """Both marginals in the 1-norm for uniform weights, by NumPy, some rows at a time."""
    f, g = (np.asarray(p, dtype=float) for p in potentials)
    columns, error = np.zeros(len(Y)), 0.0
    for i in range(0, len(X), 256):
        cost = sum((X[i : i + 256, k, None] - Y[:, k]) ** 2 for k in range(X.shape[1]))
        P = np.exp((f[i : i + 256, None] + g - cost) / reg)
        columns += P.sum(axis=0)
        error += np.abs(P.sum(axis=1) - 1 / len(X)).sum()
    return float(error + np.abs(columns - 1 / len(Y)).sum())


def error_of_all_pairs(X: Any, Y: Any, reg: float, potentials: Any) -> float:
    """The same by numsolve's kernel over all pairs, for clouds beyond NumPy's patience."""
    from numsolve.transport.clouds._cloud import Cloud
    from numsolve.transport.clouds._metric import make_metric
    from numsolve.transport.clouds._pairs import Pairs

    weights = [np.full(len(points), 1 / len(points)) for points in (X, Y)]
    pairs = Pairs(make_metric("sqeuclidean", 2.0), Cloud(X, weights[0]), Cloud(Y, weights[1]))
    plan = pairs.plan(*potentials, reg)
    return float(abs(plan.row_sums() - weights[0]).sum() + abs(plan.T.row_sums() - weights[1]).sum())


def ours(X: Any, Y: Any, reg: float, tol: float, **settings: Any) -> Any:
    """Solve, and give the potentials."""
    return transport.solve_sample(X, Y, reg=reg, tol=tol, return_plan=False, **settings).potentials


def pot_lazy(X: Any, Y: Any, reg: float, tol: float, limit: int) -> Any:
    """POT's Sinkhorn on batches of rows; as potentials in numsolve's convention."""
    import ot

    settings = {"isLazy": True, "numIterMax": limit, "stopThr": tol, "warn": False}
    f, g = ot.bregman.empirical_sinkhorn(X, Y, reg, **settings)
    return reg * np.asarray(f), reg * np.asarray(g)


def pot_stored(X: Any, Y: Any, reg: float, tol: float, limit: int) -> Any:
    """POT's Sinkhorn on stored costs; as potentials in numsolve's convention."""
    import ot

    M, weights = ot.dist(X, Y), np.full(len(X), 1 / len(X))
    settings = {"numItermax": limit, "stopThr": tol, "warn": False, "log": True}
    _, log = ot.bregman.sinkhorn_log(weights, weights, M, reg, **settings)
    return reg * np.asarray(log["log_u"]), reg * np.asarray(log["log_v"])


def ott_cloud(X: Any, Y: Any, reg: float, tol: float, limit: int, batch_size: int | None) -> Any:
    """OTT's Sinkhorn in double precision."""
    import jax
    from ott.geometry.pointcloud import PointCloud
    from ott.problems.linear.linear_problem import LinearProblem
    from ott.solvers.linear.sinkhorn import Sinkhorn

    jax.config.update("jax_enable_x64", True)
    solver = Sinkhorn(threshold=tol, max_iterations=limit)
    out = solver(LinearProblem(PointCloud(X, Y, epsilon=reg, batch_size=batch_size)))
    return np.asarray(out.f), np.asarray(out.g)


def installed(package: str) -> bool:
    """Whether a peer is there; OTT is too heavy for the tests' environment."""
    from importlib.util import find_spec

    return find_spec(package) is not None


def pass_case(n: int, metric: str = "sqeuclidean") -> Case:
    """Nanoseconds for a pair and half an iteration, with nothing to pass over (a large regularisation)."""
    from numsolve.transport.clouds._problem import prepare_clouds

    X, Y = problems.clouds(n, 3, rng=0)
    pairs = prepare_clouds(X, Y, None, None, 1.0, metric, 2.0, None).pairs
    f, g = np.full(n, -np.log(n)), np.full(n, -np.log(n))

    def one(_: Any = None) -> float:
        start = time.perf_counter()
        pairs.plan(f, g, 1.0).row_sums()
        return (time.perf_counter() - start) / n**2 * 1e9

    def pot() -> float:
        start = time.perf_counter()
        pot_lazy(X, Y, 1.0, 0.0, 2)
        return (time.perf_counter() - start) / (4 * n**2) * 1e9

    peers = [Peer("pot", pot, name="POT lazy Sinkhorn")] if metric == "sqeuclidean" else []
    if metric != "sqeuclidean":
        from scipy.spatial.distance import cdist

        def scipy() -> float:
            start = time.perf_counter()
            np.exp(f[:, None] + g - cdist(X, Y, metric)).sum(axis=1)
            return (time.perf_counter() - start) / n**2 * 1e9

        peers.append(Peer("scipy", scipy, name=f"scipy cdist {metric}, then NumPy's exp and sum"))
    return Case(
        f"a pass over all pairs, {metric}, n = {n}, d = 3",
        ours=one,
        peers=peers,
        metric="time a pair",
        unit="ns",
        value=float,
        first_call=False,
    )


def solve_case(n: int, d: int, reg: float, tol: float, *, limit: int, ott: bool = False) -> Case:
    """A whole solve beside the peers' way to do it without the matrix."""
    X, Y = problems.clouds(n, d, rng=0)
    error = marginal_error if n <= 20_000 else error_of_all_pairs
    peers = []
    if n > 20_000:
        sweep = partial(error_of_all_pairs, X, Y, reg, (np.full(n, -50 * reg), np.zeros(n)))
        name = "numsolve one sweep over all pairs"
        peers.append(Peer("numsolve", sweep, name=name, error=lambda _: float("inf")))
    if limit:
        note = f"stopped after {limit} iterations" if limit < 1000 else ""
        peers.append(Peer("pot", partial(pot_lazy, X, Y, reg, 0.1 * tol, limit), name="POT lazy", note=note))
    if n <= 2000 and d > 3:
        name = "POT stored (sinkhorn_log)"
        peers.append(Peer("pot", partial(pot_stored, X, Y, reg, 0.1 * tol, 5000), name=name))
    if ott and installed("ott"):
        for size in (1000, None):
            label = f"OTT PointCloud, batch_size={size}"
            note = "" if size else "stores the matrix; not compiled as a whole, as its users call it"
            peers.append(
                Peer("ott-jax", partial(ott_cloud, X, Y, reg, tol, 3000, size), name=label, note=note)
            )
    return Case(
        f"n = {n}, d = {d}, reg = {reg:g}",
        ours=partial(ours, X, Y, reg, tol),
        peers=peers,
        metric=f"time to {tol:g} marginal error",
        error=partial(error, X, Y, reg),
        tol=tol,
        repeats=3,
        budget=30.0,
        first_call=False,
        note="sorting, coarse clouds and bounds included",
    )


def memory_case(n: int, d: int, reg: float, tol: float) -> Case:
    """Largest megabytes above those of an interpreter that has solved a tiny problem, in its own process."""
    code = f"""
from numsolve import transport as t
def solve(n, **settings): X, Y = t.problems.clouds(n, {d}, rng=0); t.solve_sample(X, Y, **settings)
def status(name): return int(open("/proc/self/status").read().split(name)[1].split()[0]) / 1024
solve(300, reg=1e-3); solve(300, reg=1.0); before = status("VmRSS:")
solve({n}, reg={reg}, tol={tol}); print(status("VmHWM:") - before)
"""

    def megabytes() -> float:
        run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, check=True)
        return float(run.stdout)

    return Case(
        f"n = {n}, d = {d}, reg = {reg:g}",
        ours=megabytes,
        peers=[Peer("numpy", lambda: n * n * 8 / 2**20, name="numpy one matrix of costs")],
        metric="memory above the interpreter",
        unit="MB",
        value=float,
        repeats=1,
        first_call=False,
        note="the peer's figure is n m times 8 bytes",
    )


def cases(quick: bool) -> Iterator[Case]:
    """Passes, then whole solves with their memory."""
    n = 2000 if quick else 4000
    yield pass_case(n)
    if quick:
        yield solve_case(500, 2, 1e-2, 1e-6, limit=2000)
        yield memory_case(3000, 3, 1e-3, 1e-7)
        return
    for metric in ("euclidean", "cityblock", "cosine"):
        yield pass_case(n, metric)
    yield solve_case(2000, 2, 1e-2, 1e-6, limit=2000, ott=True)
    for d in (10, 30, 100, 784):  # as sharp in each dimension: distances grow with it
        yield solve_case(2000, d, 3e-3 * d, 1e-6, limit=0)
    yield solve_case(20_000, 3, 1e-3, 1e-7, limit=1)
    yield memory_case(20_000, 3, 1e-3, 1e-7)
    yield solve_case(100_000, 2, 1e-4, 1e-6, limit=0)
    yield memory_case(100_000, 2, 1e-4, 1e-6)


if __name__ == "__main__":
    main(cases)
