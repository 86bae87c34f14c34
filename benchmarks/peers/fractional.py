"""Riesz fractional equations beside LU, Levinson, SciPy's GMRES, finite differences, pycaputo and differint.

No other package has B-spline collocation or spectral modes for Riesz equations, so the same linear system
goes to SciPy's direct solvers first: dense LU, which is handed its matrix, and Levinson's recursion
(`scipy.linalg.solve_toeplitz`) for the Toeplitz part, with the outer rows and columns put in by Woodbury's
formula from four right-hand sides (the reflection gives the others). Our time includes assembly and
preconditioner. The error of these rows is the relative residual, computed from the dense matrix or its
Toeplitz parts by one function for both sides.

Then the same problem by what people write by hand: fractional centred differences, of order two, and
Levinson. Each side gets as many points as the error asks for. Then what is solved many times: right-hand
sides, orders, steps in time, eigenvalues, and the square, beside the same differences with LU, Levinson,
`eigh` and conjugate gradients with a tau preconditioner (_fractional_scipy.py). There our tables of earlier
calls are thrown away before each call. Where the errors of equally many unknowns are far apart, a second row
takes as few of ours as give at most the error of the peer. The last rows are the one-sided derivative of a
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
from collections.abc import Callable, Iterator
from typing import Any

import _fractional_scipy as by_hand
import numpy as np
from scipy.interpolate import make_interp_spline
from scipy.linalg import lu_factor, lu_solve, solve, solve_toeplitz
from scipy.sparse.linalg import gmres, splu
from scipy.special import gamma, rgamma, roots_jacobi

from _harness import Case, Peer, main
from numsolve.fractional import (
    RieszSolver,
    RieszSplineOperator,
    _assembly,
    _decay,
    good_n,
    jacobi,
    problems,
    solve_fractional_diffusion,
    solve_riesz_2d,
    solve_riesz_bvp,
    solve_riesz_eig,
    survival_probability,
)

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
    """Points and values by fractional centred differences."""
    return by_hand.points(n), by_hand.levinson(n, ALPHA, f)


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


def afresh(run: Callable[[], Any]) -> Callable[[], Any]:
    """The same without what earlier calls have left behind: rules, tables and small matrices."""
    kept = (
        _assembly._kept,
        _assembly._few_mass,
        _assembly._few_values,
        _decay.kept_decay,
        jacobi._kept_image_basis,
        jacobi.gauss_rule,
    )

    def run_afresh() -> Any:
        for table in kept:
            table.cache_clear()
        return run()

    return run_afresh


def far(values: Any, truth: Any) -> float:
    """The largest difference, relative to the largest value."""
    return float(np.max(np.abs(values - truth)) / np.max(np.abs(truth)))


def right_hand_sides_case(n: int, count: int) -> Case:
    """Many right-hand sides of one matrix, which the peer is handed."""
    A = RieszSplineOperator(n, 3, ALPHA)
    F = np.random.default_rng(0).normal(size=(A.shape[0], count))
    matrix = A.todense()
    return Case(
        f"{count} right-hand sides of {A.shape[0]} unknowns",
        ours=afresh(lambda: RieszSolver(ALPHA, n=n, p=3).solve(F).x),
        peers=[
            Peer(
                "scipy",
                lambda: lu_solve(lu_factor(matrix), F),
                name="SciPy LU",
                note="the matrix is given; nothing is checked",
            )
        ],
        metric="time to a residual of 1e-9",
        error=lambda X: float(np.linalg.norm(F - matrix @ X) / np.linalg.norm(F)),
        tol=1e-9,
        first_call=False,
    )


def orders_case(n: int, count: int) -> Case:
    """Getoor's problem for many orders."""
    orders = np.linspace(1.05, 1.95, count)
    x = by_hand.points(64)
    truth = np.array([problems.getoor(a, (0.0, 1.0))[1](x) for a in orders])
    one = np.ones_like
    return Case(
        f"{count} orders, f = 1",
        ours=afresh(lambda: RieszSolver(orders).solve(1.0)(x)),
        peers=[
            Peer(
                "scipy",
                lambda: np.array([by_hand.levinson(n, a, one)[n // 64 - 1 :: n // 64] for a in orders]),
                name="SciPy Levinson, differences",
                note=f"{n} points",
            )
        ],
        metric="time (compare the errors)",
        error=lambda u: far(u, truth),
        first_call=False,
    )


def step_case(n: int, spans: int, modes: int = 0, rtol: float = 1e-6) -> Case:
    """One step of the trapezoidal rule from the lowest eigenfunction, which decays without changing.

    Both sides iterate to one tolerance, far below the error of either. With `modes` our side takes no step,
    but as many Jacobi modes as give at most the error of the differences.
    """
    dt = 1e-3
    eigen = solve_riesz_eig(ALPHA, 1, interval=(0.0, 1.0))
    x = by_hand.points(128)
    truth = np.exp(-eigen.x[0] * dt) * eigen(x)[0]

    def start(x: Any) -> Any:  # a function like any other: that it is a sum of modes is not known
        return eigen(x)[0]

    def ours() -> Any:
        settings: Any = {"n": good_n(spans, 3), "p": 3, "method": "spline", "theta": 0.5, "rtol": rtol}
        r = solve_fractional_diffusion(start, ALPHA, (0.0, dt), dt=dt, t_eval=[dt], kappa=kappa, **settings)
        return r(x)[0]

    def ours_by_modes() -> Any:
        r = solve_fractional_diffusion(start, ALPHA, (0.0, dt), t_eval=[dt], method="spectral", n=modes)
        return r(x)[0]

    def kappa(x: Any) -> Any:
        return np.ones_like(x)

    samples = start(by_hand.points(n))  # which the peer is handed

    def peer() -> Any:
        u = by_hand.one_step(n, ALPHA, samples, dt, rtol)
        return u[n // 128 - 1 :: n // 128]

    what = f"{modes} modes, without a step" if modes else f"{spans} cubic splines"
    return Case(
        f"one step in time, {n} differences against {what}",
        ours=afresh(ours_by_modes if modes else ours),
        peers=[Peer("scipy", peer, name="SciPy CG with tau, differences")],
        metric="time of one step, set-up included",
        error=lambda u: far(u, truth),
        first_call=False,
        note=f"both iterate to {rtol:g}",
    )


def survival_case(n: int, steps: int, modes: int, *, dense: bool) -> Case:
    """The probability to be inside still at many times up to one, by modes and by steps."""
    t = np.linspace(0, 1, steps + 1)[1:]
    x, late = by_hand.points(64), t >= 0.1
    eigen = solve_riesz_eig(ALPHA, 60, interval=(0.0, 1.0))
    y, w = roots_jacobi(200, 0.75, 0.75)
    nodes = (1 + y) / 2
    shares = eigen(nodes) / (1 - y * y) ** 0.75 @ w / 2  # integrals of the eigenfunctions
    truth = np.exp(-np.outer(t[late], eigen.x)) @ (shares[:, None] * eigen(x))

    def ours() -> Any:
        return survival_probability(ALPHA, t, interval=(0.0, 1.0), n=modes)(x)[late]

    def peer() -> Any:
        u = by_hand.trapezoidal(n, ALPHA, np.ones(n - 1), 1 / steps, steps, dense=dense, damped=True)
        return u[late, n // 64 - 1 :: n // 64]

    name = "SciPy LU, differences" if dense else "SciPy CG with tau, differences"
    return Case(
        f"survival at {steps} times, {n} differences against {modes} modes",
        ours=afresh(ours),
        peers=[Peer("scipy", peer, name=name)],
        metric="time (compare the errors)",
        error=lambda u: far(u, truth),
        first_call=False,
        repeats=3,
        note="errors at t >= 0.1",
    )


def square_case(n: int, spans: int, truth: Any) -> Case:
    """The square with f = 1, by fast diagonalisation on both sides."""
    x = np.meshgrid(by_hand.points(32), by_hand.points(32), indexing="ij")
    k = n // 32
    return Case(
        f"the square, f = 1, {n} x {n} differences against {spans} x {spans} cubic splines",
        ours=afresh(lambda: solve_riesz_2d(1.0, ALPHA, n=spans)(*x)),
        peers=[
            Peer(
                "scipy",
                lambda: by_hand.square(n, ALPHA)[k - 1 :: k, k - 1 :: k],
                name="SciPy eigh, differences",
            )
        ],
        metric="time (compare the errors)",
        error=lambda u: far(u, truth(*x)),
        first_call=False,
        note="the truth is that of 400 x 400 splines",
    )


def eigenvalue_case(n: int, k: int) -> Case:
    """Many eigenvalues; the truth is that of 1.5 times as many modes."""
    truth = solve_riesz_eig(ALPHA, k, interval=(0.0, 1.0), n=6 * k).x
    return Case(
        f"{k} eigenvalues",
        ours=afresh(lambda: solve_riesz_eig(ALPHA, k, interval=(0.0, 1.0)).x),
        peers=[
            Peer(
                "scipy",
                lambda: by_hand.eigenvalues(n, ALPHA, k),
                name="SciPy eigh, differences",
                note=f"{n} points; values only, ours with functions and an estimate",
            )
        ],
        metric="time (compare the errors)",
        error=lambda w: float(np.max(np.abs(w / truth - 1))),
        first_call=False,
        repeats=3,
    )


def cases(quick: bool) -> Iterator[Case]:
    """Linear systems, accuracy, what is kept and what moves, and derivatives of given functions."""
    yield system_case(1024 if quick else 4096, 3, dense=True)
    yield system_case(4096 if quick else 16384, 3, dense=False)
    yield krylov_case(2**14 - 2 if quick else 2**20 - 2, 3)
    yield difference_case(2048 if quick else 8192, 56 if quick else 76, 5, 4e-7 if quick else 3e-8)
    yield smooth_case(2048)
    yield right_hand_sides_case(1000, 100)
    yield orders_case(512, 60)
    for n, spans in [(4096, 4096), (4096, 256), *([] if quick else [(65536, 65536), (65536, 512)])]:
        yield step_case(n, spans)
    yield step_case(4096, 0, modes=8)
    yield survival_case(256, 1000, 32, dense=True)
    yield survival_case(4096, 100, 128, dense=False)
    fine = solve_riesz_2d(1.0, ALPHA, n=256 if quick else 400)
    for spans in (192, 32):
        yield square_case(192, spans, fine)
    yield eigenvalue_case(1024, 200)
    derivative = derivative_case()
    if derivative.peers:
        yield derivative


if __name__ == "__main__":
    main(cases)
