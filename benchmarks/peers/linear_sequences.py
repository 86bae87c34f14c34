"""Eight sequences of linear systems: their costs by ``TunedSolver("auto")``, by each arm alone, by peers.

``best arm`` is the best of the arms in the list when each of them alone solves the whole sequence.

Seconds are those of the processor, for all systems of a sequence, sums of single solves; each side starts
where it likes: ours, and SciPy's conjugate gradients, from the last solution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from time import process_time
from typing import Any

import numpy as np
import scipy.sparse as sp
from linear import narrow
from linear_factors import vortex
from scipy.linalg import solveh_banded
from scipy.sparse.linalg import LinearOperator, bicgstab, cg, splu

from _harness import Case, Peer, main
from numsolve import linear
from numsolve.linear import problems

System = tuple[Any, Any]
RTOL = 1e-8
#: An arm that is so many times behind the best is given up.
BEHIND = 3.0
#: The arms that are played alone; others lie between them.
SYMMETRIC = (
    *(("ict_cg", drop, refresh) for drop in (1e-3, 1e-2, 1e-4) for refresh in (1, 64)),
    *(("ssor_cg", omega) for omega in (1.5, 1.7, 1.8, 1.9, 1.0)),
    *(("direct", refresh) for refresh in (1, 64)),
    ("cg",),
)
SEVERAL = (
    *(("block_cg", drop, refresh) for drop in (1e-3, 1e-4, 1e-2) for refresh in (1, 64)),
    *(("ssor_cg", omega) for omega in (1.5, 1.8)),
    *(("direct", refresh) for refresh in (1, 64)),
)
NONSYMMETRIC = (
    *(("bicgstab", drop, refresh) for drop in (1e-3, 1e-4, 1e-2, 0.0) for refresh in (1, 64)),
    *(("direct", refresh) for refresh in (1, 64)),
)


def grid(weights: Callable[[Any, Any], Any], m: int) -> Any:
    """A grid of conductances, grounded by a little everywhere; they depend on the places of their ends."""
    number = np.arange(m * m).reshape(m, m)
    i = np.concatenate([number[:-1].ravel(), number[:, :-1].ravel()])
    j = np.concatenate([number[1:].ravel(), number[:, 1:].ravel()])
    W = sp.coo_array((weights(i, j), (i, j)), shape=(m * m, m * m))
    W = sp.csr_array(W + W.T)
    return narrow(sp.diags_array(np.asarray(W.sum(axis=1)).ravel() + 1e-3) - W)


def jumping(m: int, T: int) -> Iterator[System]:
    """Coefficients of 1 and 1e4, in blocks; one block changes from system to system."""
    rng = np.random.default_rng(0)
    blocks = rng.choice([1.0, 1e4], (8, 8))
    b = rng.standard_normal(m * m)
    for _ in range(T):
        blocks[tuple(rng.integers(8, size=2))] = rng.choice([1.0, 1e4])
        place = np.arange(m) * 8 // m
        field = blocks[np.ix_(place, place)].ravel()
        yield grid(lambda i, j, f=field: 2 / (1 / f[i] + 1 / f[j]), m), b


def conductances(m: int, T: int) -> Iterator[System]:
    """Conductances over four decades, new for each system."""
    rng = np.random.default_rng(0)
    for _ in range(T):
        yield grid(lambda i, _: 10.0 ** rng.uniform(-2, 2, i.size), m), rng.standard_normal(m * m)


def elasticity(m: int, T: int) -> Iterator[System]:
    """Plane strain by bilinear elements on a square that is held at its boundary; Poisson's ratio drifts."""
    eye = np.ones(m)
    K = sp.diags_array([-eye[1:], 2 * eye, -eye[1:]], offsets=[-1, 0, 1]) * (m + 1.0)
    M = sp.diags_array([eye[1:], 4 * eye, eye[1:]], offsets=[-1, 0, 1]) / (6 * (m + 1.0))
    C = sp.diags_array([-0.5 * eye[1:], 0.5 * eye[1:]], offsets=[-1, 1])
    across, along, mixed = sp.kron(K, M), sp.kron(M, K), sp.kron(C, C.T)
    S = sp.block_array([[2 * across + along, mixed.T], [mixed, across + 2 * along]])
    V = sp.block_array([[across, mixed], [mixed.T, along]])
    order = np.arange(2 * m * m).reshape(2, -1).T.ravel()  # both displacements of a node together
    S, V = (sp.csr_array(part)[order][:, order] for part in (S, V))
    b = np.random.default_rng(0).standard_normal(2 * m * m)
    for t in range(T):
        nu = 0.2 + 0.2 * np.sin(2 * np.pi * t / 200)
        yield narrow(S + nu / (0.5 - nu) * V), b


def convection(m: int, T: int) -> Iterator[System]:
    """Upwind convection by a vortex whose speed drifts."""
    b = np.random.default_rng(0).standard_normal(m * m)
    for t in range(T):
        yield vortex(m, 100.0 * (1 + 0.5 * np.sin(2 * np.pi * t / 100))), b


def bands(n: int, T: int) -> Iterator[System]:
    """Tridiagonal systems of 200 unknowns."""
    rng = np.random.default_rng(0)
    for _ in range(T):
        yield narrow(problems.laplacian(n, dim=1, shift=rng.uniform(0.01, 1.0))), rng.standard_normal(n)


def several(m: int, T: int) -> Iterator[System]:
    """Twelve right-hand sides, and a shift that drifts."""
    rng, L, eye = np.random.default_rng(0), problems.laplacian(m), sp.eye_array(m * m)
    for t in range(T):
        yield narrow(L + 0.02 * (1 + np.sin(t / 30)) * eye), rng.standard_normal((m * m, 12))


def sequences(quick: bool) -> Iterator[tuple[str, list[System], tuple[Any, ...]]]:
    """Names, systems, and the arms to play alone."""
    T, f = (40, 0.5) if quick else (200, 1.0)
    heat = [(narrow(A), b) for A, b, _ in problems.heat_equation(int(100 * f), 5000)][: 5 * T : 5]
    yield "heat equation", heat, SYMMETRIC
    drift = [(narrow(A), b) for A, b, _ in problems.drifting_diffusion(int(80 * f), T, rng=0)]
    yield "drifting coefficients", drift, SYMMETRIC
    yield "jumping coefficients", list(jumping(int(96 * f), T)), SYMMETRIC
    yield "random conductances", list(conductances(int(96 * f), T)), SYMMETRIC
    yield "elasticity", list(elasticity(int(60 * f), T)), SYMMETRIC
    yield "convection", list(convection(int(90 * f), T)), NONSYMMETRIC
    yield "small banded systems", list(bands(200, T)), (("direct", 1),)
    yield "twelve right-hand sides", list(several(int(80 * f), T)), SEVERAL


def run(solve: Callable[[Any, Any, Any], Any], systems: list[System], most: float = np.inf) -> float:
    """Processor seconds for all; infinite where a residual is too large, or more than `most` are needed."""
    total, x = 0.0, None
    for A, b in systems:
        began = process_time()
        x = solve(A, b, x)
        total += process_time() - began
        if total > most or not np.linalg.norm(b - A @ x) <= 1.1 * RTOL * np.linalg.norm(b):
            return np.inf
    return total


def tuned(systems: list[System], arms: Any = None, most: float = np.inf) -> float:
    """By ``TunedSolver("auto")``, perhaps with fewer arms."""
    solver = linear.TunedSolver("auto", rtol=RTOL, arms=arms, rng=0)
    return run(lambda A, b, _: solver(A, b).x, systems, most)


def best_arm(systems: list[System], arms: tuple[Any, ...]) -> tuple[float, Any]:
    """The least seconds of one arm for all systems, and that arm."""
    best, which = np.inf, None
    for arm in arms:
        seconds = tuned(systems, [arm], BEHIND * best if np.isfinite(best) else np.inf)
        if seconds < best:
            best, which = seconds, arm
    return best, which


def jacobi_cg(A: Any, b: Any, x: Any) -> Any:
    """SciPy's conjugate gradients with the diagonal."""
    inverse = 1 / A.diagonal()
    M = LinearOperator(A.shape, matvec=lambda r: inverse * r.ravel(), dtype=float)
    if b.ndim == 1:
        return cg(A, b, x, rtol=RTOL, M=M)[0]
    columns = [cg(A, c, None if x is None else x[:, i], rtol=RTOL, M=M)[0] for i, c in enumerate(b.T)]
    return np.stack(columns, axis=1)


def jacobi_bicgstab(A: Any, b: Any, x: Any) -> Any:
    """SciPy's BiCGSTAB with the diagonal."""
    inverse = 1 / A.diagonal()
    M = LinearOperator(A.shape, matvec=lambda r: inverse * r.ravel(), dtype=float)
    return bicgstab(A, b, x, rtol=RTOL, M=M)[0]


def superlu(A: Any, b: Any, x: Any) -> Any:  # noqa: ARG001  # a direct solver has no start
    """SciPy's complete factorisation."""
    return splu(sp.csc_matrix(A)).solve(b)


def banded(A: Any, b: Any, x: Any) -> Any:  # noqa: ARG001
    """SciPy's LAPACK solver, bands included."""
    ab = np.zeros((2, b.size))
    ab[0, 1:], ab[1] = A.diagonal(1), A.diagonal()
    return solveh_banded(ab, b)


def multigrid(A: Any, b: Any, x: Any) -> Any:
    """Conjugate gradients with PyAMG's smoothed aggregation."""
    import pyamg

    M = pyamg.smoothed_aggregation_solver(A).aspreconditioner()
    return cg(A, b, x, rtol=RTOL, M=M)[0]


def others(name: str) -> dict[str, Callable[..., Any]]:
    """Peers of a sequence: label and solve."""
    if name == "small banded systems":
        return {"SciPy solveh_banded": banded, "SciPy splu": superlu}
    if name == "convection":
        return {"SciPy bicgstab, Jacobi": jacobi_bicgstab, "SciPy splu": superlu}
    if name == "twelve right-hand sides":
        return {"SciPy cg, Jacobi": jacobi_cg, "SciPy splu": superlu}
    return {"SciPy cg, Jacobi": jacobi_cg, "SciPy splu": superlu, "PyAMG SA, SciPy cg": multigrid}


def peers_of(name: str, systems: list[System]) -> dict[str, Callable[[], float]]:
    """What each takes for the whole sequence."""
    return {label: partial(run, solve, systems) for label, solve in others(name).items()}


def cases(quick: bool) -> Iterator[Case]:
    """``TunedSolver("auto")`` beside each of its arms for all systems, and beside other packages."""
    for name, systems, arms in sequences(quick):
        for arm in (*arms, None):  # kernels
            tuned(systems[:2], None if arm is None else [arm])
        alone, which = best_arm(systems, arms)
        n, peers = systems[0][0].shape[0], peers_of(name, systems)
        # The harness calls each side twice; a sequence is solved once.
        yield Case(
            f"auto, {name}, n = {n}, T = {len(systems)}",
            cache(partial(tuned, systems)),
            [
                Peer("numsolve", lambda alone=alone: alone, name=f"numsolve the best arm, {which}"),
                *(Peer(key.split()[0].lower(), cache(call), name=key) for key, call in peers.items()),
            ],
            metric="processor seconds",
            value=float,
            repeats=1,
            first_call=False,
            note="all systems, set-up included; residuals of 1e-8",
        )


if __name__ == "__main__":
    main(cases)
