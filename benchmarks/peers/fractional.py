"""Riesz fractional equations beside LU, Levinson, SciPy's GMRES, finite differences, pycaputo and differint.

No other package has B-spline collocation or spectral modes for Riesz equations, so the same linear system
goes to SciPy's direct solvers first: dense LU, which is handed its matrix, and Levinson's recursion
(`scipy.linalg.solve_toeplitz`) for the Toeplitz part, with the outer rows and columns put in by Woodbury's
formula from four right-hand sides (the reflection gives the others). Our time includes assembly and
preconditioner. The error of these rows is the relative residual, computed from the dense matrix or its
Toeplitz parts by one function for both sides.

Then the same problem by what people write by hand: fractional centred differences, of order two, and
Levinson. Each side gets as many points as the error asks for. The last rows are the one-sided derivative of a
given function on 2048 points, which pycaputo and differint offer. (differint's GL convolves cyclically: more
points do not bring it below 2e-3 here.)

How far from the floor. At n = 2^20 - 2 (1.26 s on one core of the machine of the stored figures) assembly
takes 0.17 s, the preconditioner 0.13 s, and each of the ten iterations about 0.09 s: 43 ms for the product,
which is two real transforms of 2^20 and two complex ones of 2^19 points; 25 ms for the preconditioner, which
is four transforms of at most 2^19 points; and 22 ms for GMRES, which reads its basis of vectors of 8 MB four
times, at the speed of the memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.interpolate import make_interp_spline
from scipy.linalg import solve, solve_toeplitz
from scipy.sparse.linalg import gmres, splu
from scipy.special import gamma, gammaln, rgamma

from _harness import Case, Peer, main
from numsolve.fractional import RieszSplineOperator, problems, solve_riesz_bvp

ALPHA = 1.5


def levinson(n: int, p: int, b: Any) -> Any:
    """The Toeplitz part by Levinson's recursion, the outer rows and columns by Woodbury's formula."""
    s = RieszSplineOperator(n, p, ALPHA).structure
    c, K = s.left.shape[0], b.size
    units = np.eye(K)[: s.top.shape[0]]
    near = solve_toeplitz(s.column, np.vstack([b, s.left, units]).T).T
    y, near = near[0], near[1:]
    U = np.vstack([near, near[:, ::-1]])

    def contract(v: Any) -> Any:
        inner, outer = s.top @ v[c : K - c], s.top @ v[::-1][c : K - c]
        return np.concatenate([v[:c], inner, v[::-1][:c], outer])

    capacity = np.eye(len(U)) + np.stack([contract(u) for u in U], axis=1)
    return y - np.linalg.solve(capacity, contract(y)) @ U


def system_case(n: int, p: int, *, dense: bool, note: str = "") -> Case:
    """The same linear system, solved fast, by LU, and by Levinson's recursion."""
    f, _ = problems.bump(3, ALPHA)
    A = RieszSplineOperator(n, p, ALPHA)
    b = f(A.greville)
    peers = [Peer("scipy", lambda: levinson(n, p, b), name="SciPy Levinson")]
    matrix = A.todense() if dense else None
    if dense:
        peers.insert(0, Peer("scipy", lambda: solve(matrix, b), name="SciPy LU", note="the matrix is given"))
    return Case(
        f"cubic splines, n = {n}",
        ours=lambda: solve_riesz_bvp(b, ALPHA, n=n, p=p, rtol=1e-10).x,
        peers=peers,
        metric="time to a residual of 1e-9",
        error=lambda x: float(np.linalg.norm(b - A.structure.matvec(x)) / np.linalg.norm(b)),
        tol=1e-9,
        first_call=False,
        budget=90.0,
        note=note,
    )


def krylov_case(n: int, p: int) -> Case:
    """Our GMRES beside SciPy's with the same operator and preconditioner."""
    b = np.random.default_rng(0).normal(size=n + p - 2)
    A = RieszSplineOperator(n, p, ALPHA)

    def peer() -> Any:
        own = RieszSplineOperator(n, p, ALPHA)
        return gmres(own, b, M=own.tau_preconditioner(), rtol=5e-10, restart=60)[0]

    return Case(
        f"cubic splines, n = {n}, random right-hand side",
        ours=lambda: solve_riesz_bvp(b, ALPHA, n=n, p=p, rtol=5e-10).x,
        peers=[Peer("scipy", peer, name="SciPy gmres", note="with our operator and preconditioner")],
        metric="time to a residual of 1e-9",
        error=lambda x: float(np.linalg.norm(b - A @ x) / np.linalg.norm(b)),
        tol=1e-9,
        first_call=False,
        repeats=3,
        budget=60.0,
    )


def centred_differences(n: int, f: Any) -> tuple[Any, Any]:
    """Points and values by fractional centred differences, with the weights written as gamma functions."""
    x, k = np.arange(1, n) / n, np.arange(1.0, n - 1)
    first = float(gamma(ALPHA + 1) * rgamma(ALPHA / 2 + 1) ** 2)
    # |g_k| by gamma functions; for 1 < alpha < 2 all of them are negative beyond the first.
    size = gammaln(ALPHA + 1) + gammaln(k - ALPHA / 2) - gammaln(k + ALPHA / 2 + 1)
    rest = -np.exp(size) * abs(math.sin(math.pi * ALPHA / 2)) / math.pi
    return x, solve_toeplitz(np.concatenate([[first], rest]) * float(n) ** ALPHA, f(x))


def difference_case(n: int, spans: int, p: int, tol: float) -> Case:
    """The error wanted, by splines of high degree and by many differences."""
    f, u = problems.bump(3, ALPHA)
    fine = np.linspace(0, 1, 3001)

    def ours() -> Any:
        r = solve_riesz_bvp(f, ALPHA, n=spans, p=p, method="spline")
        return fine, r(fine)

    return Case(
        f"the solution (x (1 - x))^3, degree {p}, n = {spans} against {n} differences",
        ours=ours,
        peers=[Peer("scipy", lambda: centred_differences(n, f), name="SciPy Levinson, differences")],
        metric=f"time to an error of {tol:g}",
        error=lambda result: float(np.max(np.abs(result[1] - u(result[0]))) / u(0.5)),
        tol=tol,
        first_call=False,
        note="values at 3001 points included",
    )


def smooth_case(n: int) -> Case:
    """Smooth data: a few modes against many splines of our own and many differences."""
    f, u = problems.getoor(ALPHA, (0.0, 1.0))
    fine = np.linspace(0, 1, 3001)

    def ours() -> Any:
        return fine, solve_riesz_bvp(f, ALPHA)(fine)

    return Case(
        "Getoor's problem, f = 1: the solution has roots at the ends",
        ours=ours,
        peers=[
            Peer(
                "scipy",
                lambda: centred_differences(n, f),
                name="SciPy Levinson, differences",
                note=f"{n} points",
            )
        ],
        metric="time (compare the errors)",
        error=lambda result: float(np.max(np.abs(result[1] - u(result[0]))) / u(0.5)),
        first_call=False,
    )


def derivative_peers(u: Any, N: int) -> list[Peer]:
    """Those of pycaputo and differint that are installed; for the others a line says so."""
    peers = []
    try:
        from pycaputo.differentiation import diff
        from pycaputo.differentiation.caputo import L2C
        from pycaputo.grid import make_uniform_points

        points = make_uniform_points(N, 0, 1)
        peers.append(Peer("pycaputo", lambda: diff(L2C(ALPHA), u, points), name="pycaputo L2C"))
    except ImportError:
        print("pycaputo is not installed, and left out: pip install numsolve[peers]")
    try:
        from differint.differint import GL

        peers.append(Peer("differint", lambda: GL(ALPHA, u, 0, 1, N), name="differint GL"))
    except ImportError:
        print("differint is not installed, and left out: pip install numsolve[peers]")
    return peers


def derivative_case() -> Case:
    """The derivative of order 1.5 from the left of (x (1 - x))^3 on 2048 points."""
    N = 2048
    x = np.linspace(0, 1, N)
    q = np.arange(3, 7)
    factors = np.array([(-1.0) ** (k - 3) * math.comb(3, int(k) - 3) for k in q])
    exact = np.power.outer(x, q - ALPHA) @ (factors * gamma(q + 1) * rgamma(q + 1 - ALPHA))

    def u(t: Any) -> Any:
        return (t * (1 - t)) ** 3

    def ours() -> Any:
        A = RieszSplineOperator(128, 5, ALPHA, weights=(1.0, 0.0))
        values = math.cos(math.pi * ALPHA / 2) * (A @ splu(A.mass().tocsc()).solve(u(A.greville)))
        return make_interp_spline(A.greville, values, k=5)(x)

    def error(values: Any) -> float:
        return float(np.nanmax(np.abs(values - exact)[20:-20]))  # pycaputo has no value at the first point

    return Case(
        "the derivative from the left of a given function, 2048 points",
        ours=ours,
        peers=derivative_peers(u, N),
        metric="time to an error of 2e-5",
        error=error,
        tol=2e-5,
        first_call=False,
        note="ours from 128 spans, interpolated",
    )


def cases(quick: bool) -> Iterator[Case]:
    """Linear systems, then accuracy, then derivatives of given functions."""
    yield system_case(1024 if quick else 4096, 3, dense=True)
    yield system_case(4096 if quick else 16384, 3, dense=False)
    yield krylov_case(2**14 - 2 if quick else 2**20 - 2, 3)
    yield difference_case(2048 if quick else 8192, 56 if quick else 76, 5, 4e-7 if quick else 3e-8)
    yield smooth_case(2048)
    derivative = derivative_case()
    if derivative.peers:
        yield derivative


if __name__ == "__main__":
    main(cases)
