"""Each CUDA kernel beside the limit of the device, and calls with CuPy arrays beside the same with NumPy.

``make gpu`` runs it, with as many threads as the machine has cores, after all tests that need a device. The
kernels come first (see `_gpu_kernels`). For whole calls a note says which part of the memory bandwidth (that
of a copy, measured in the same run) the work reaches, counting each array that it reads or writes once.
Without a device it says so, and writes nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import _gpu_kernels
import numpy as np

from _harness import Case, Peer, main
from numsolve import fractional, linear, monotone, special, transport


def why_not() -> str:
    """Why nothing can be measured here, or an empty string."""
    try:
        import cupy
    except ImportError as error:
        return f"CuPy cannot be loaded ({error}): pip install 'numsolve[gpu]', or 'numsolve[gpu-cuda12]'"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"no CUDA device can be used here ({error})"
    return "" if count else "there is no CUDA device here"


def device() -> str:
    """The name of the GPU."""
    import cupy

    return str(cupy.cuda.runtime.getDeviceProperties(0)["name"].decode())


def synchronised(run: Callable[[], Any]) -> Callable[[], Any]:
    """The same, done when it returns."""
    import cupy

    def whole() -> Any:
        out = run()
        cupy.cuda.get_current_stream().synchronize()
        return out

    return whole


def seconds(run: Callable[[], Any], repeats: int = 5) -> float:
    """Median time of a run that is loaded and compiled."""
    whole = synchronised(run)
    whole()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        whole()
        times.append(time.perf_counter() - began)
    return median(times)


def bandwidth() -> float:
    """Bytes a second of a copy, read and written."""
    import cupy

    source = cupy.ones(2**28)
    target = cupy.empty_like(source)
    return 2 * source.nbytes / seconds(lambda: cupy.copyto(target, source))


def case(
    name: str,
    call: Callable[..., Any],
    arrays: tuple[Any, ...],
    speed: float,
    moved: float = 0.0,
    **settings: Any,
) -> Case:
    """One call with both libraries; `moved` bytes a run, if they say anything."""
    import cupy
    from cupyx.scipy import sparse
    from scipy.sparse import issparse

    def over(v: Any) -> Any:
        if not issparse(v):
            return cupy.asarray(v)
        return sparse.csr_matrix(
            (cupy.asarray(v.data), cupy.asarray(v.indices), cupy.asarray(v.indptr)), v.shape
        )

    there = tuple(map(over, arrays))
    share = ""
    if moved:
        part = moved / seconds(lambda: call(*there)) / speed
        share = f"; {part:.0%} of the bandwidth of {speed / 1e12:.2f} TB/s"
    return Case(
        name,
        ours=synchronised(lambda: call(*there)),
        peers=[Peer("numsolve", lambda: call(*arrays), "numsolve on the processor")],
        note=f"{device()}{share}",
        repeats=3,
        budget=15.0,
        first_call=False,
        **settings,
    )


def cases(quick: bool) -> Iterator[Case]:
    yield from _gpu_kernels.cases(quick, synchronised)
    speed = bandwidth()
    rng = np.random.default_rng(0)

    n = 10**6 if quick else 10**7
    v, x = rng.uniform(0, 100, (2, n))
    for function in (special.log_iv, special.log_kv, special.iv_ratio):
        yield case(f"{function.__name__}, {n:.0e} values", function, (v, x), speed, 24.0 * n)

    for n in (1000,) if quick else (1000, 4000, 10_000):
        M = rng.random((n, n))
        for method in ("sinkhorn_log", "newton"):
            yield case(
                f"transport.solve, {method}, random costs {n} x {n}, reg 0.01",
                lambda M, method=method: transport.solve(M, reg=0.01, method=method, tol=1e-9),
                (M,),
                speed,
                error=lambda r: float(r.marginal_error),
                tol=1.1e-9,
            )
    for n in (2000,) if quick else (10_000, 50_000):
        yield case(
            f"transport.solve_sample, clouds of {n} points in space, reg 0.01",
            lambda X, Y: transport.solve_sample(X, Y, reg=0.01, tol=1e-6, return_plan=False),
            transport.problems.clouds(n, 3, rng=0),
            speed,
            error=lambda r: float(r.residual),
            tol=1.1e-6,
        )

    side = 300 if quick else 1000
    A, b = linear.problems.laplacian(side), np.ones(side**2)
    steps = 200

    def cg(A: Any, b: Any) -> Any:
        return linear.cg(A, b, rtol=1e-30, maxiter=steps)

    # a product reads the matrix and x and writes y; the rest reads and writes some ten vectors
    moved = steps * (12.0 * A.nnz + 4.0 * side**2 + 12 * 8.0 * side**2)
    yield case(f"linear.cg, {steps} steps, Laplacian {side} x {side}", cg, (A, b), speed, moved)
    yield case(
        f"linear.ssor_cg to 1e-8, Laplacian {side // 2} x {side // 2}",
        lambda A, b: linear.ssor_cg(A, b, omega=1.9, rtol=1e-8),
        (linear.problems.laplacian(side // 2), np.ones((side // 2) ** 2)),
        speed,
    )

    k, m, n = (16, 60, 100) if quick else (256, 200, 300)
    G, inside = rng.standard_normal((m, n)), rng.random((k, n))
    bounds = inside @ G.T + rng.random((k, m))
    yield case(
        f"monotone.solve_lp, {k} programs at once, one dense matrix {m} x {n}",
        lambda c, G, h: monotone.solve_lp(c, G, None, h, 0.0, 1.0, tol=1e-4, maxiter=20_000),
        (rng.standard_normal((k, n)), G, bounds),
        speed,
    )

    for n in (2**12,) if quick else (2**16, 2**20):
        f = 1 + rng.random(n + 1)
        yield case(
            f"fractional.solve_riesz_bvp, alpha 1.5, {n} splines",
            lambda f, n=n: fractional.solve_riesz_bvp(f, 1.5, n=n, p=3, rtol=1e-9),
            (f,),
            speed,
        )


if __name__ == "__main__":
    if reason := why_not():
        sys.exit(f"No figures of a GPU: {reason}.")
    main(cases, more={"device": device()})
