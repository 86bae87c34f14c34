"""Sweeps and preconditioned conjugate gradients beside PyAMG, SciPy and PETSc.

The sweeps are those of the same matrix in the same order, with the same iterates. Ours work on a plan made
once; in the rows "without a plan" they look up the pattern and copy the values in each call. The heat steps
are ten from the stiff phase of `heat_equation`, with a diffusion of about 10. Each side assembles each
matrix, solves from the last state to a residual of 1e-8 of ``||b||``, and ours takes the new values into the
order of its sweep. The best tools for this toy are there too: multigrid with a frozen hierarchy, and
sine transforms, which solve it directly. PETSc's CG with Eisenstat's trick is the algorithm of `ssor_cg` in
C with the same parameter; it is told to take as many steps, since it does not know its true residual.

How far from the floor. A sweep reads the matrix once: with n = 10 000 in the cache it takes 1.0 times
SciPy's product with the same matrix, and a step of SSOR-CG in Eisenstat's form 1.6 products, beside 1
product and five passes over vectors of plain CG's.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
import scipy.sparse as sp
from _petsc import Krylov
from scipy.sparse.linalg import cg, splu

from _harness import Case, Peer, main
from numsolve import linear
from numsolve.linear import problems

STEP = 1e-3


def delaunay(n: int) -> Any:
    """The graph Laplacian of a Delaunay triangulation, plus 0.1; points in strips, in random order within."""
    from scipy.spatial import Delaunay

    points = np.random.default_rng(0).random((n, 2))
    strips = (points[:, 0] * np.sqrt(n) / 4).astype(int)
    triangles = Delaunay(points[np.argsort(strips, kind="stable")]).simplices
    i, j = triangles.ravel(), np.roll(triangles, 1, axis=1).ravel()
    G = sp.csr_array(sp.coo_array((np.ones(i.size), (i, j)), shape=(n, n)))
    G = ((G + G.T) > 0).astype(float)
    return sp.csr_array(sp.diags_array(G.sum(axis=1) + 0.1) - G)


def narrow(A: Any) -> Any:
    """As PyAMG wants it."""
    A = sp.csr_matrix(A)
    A.sort_indices()
    A.indices, A.indptr = A.indices.astype(np.int32), A.indptr.astype(np.int32)
    return A


def sweep_case(name: str, A: Any) -> Iterator[Case]:
    """Ten forward sweeps."""
    from pyamg.relaxation import relaxation

    A = narrow(A)
    b, plan = np.random.default_rng(0).standard_normal(A.shape[0]), linear.SweepPlan(A)
    want = np.zeros_like(b)
    relaxation.sor(A, want, b, 1.5, iterations=10)

    x = np.empty_like(b)

    def ours(matrix: Any) -> Any:
        x[:] = 0.0
        linear.sweep(matrix, x, b, 1.5, iterations=10)
        return x

    def theirs() -> Any:
        x[:] = 0.0
        relaxation.sor(A, x, b, 1.5, iterations=10)
        return x

    def error(x: Any) -> float:
        return float(abs(x - want).max() / abs(want).max())

    peers = [Peer("pyamg", theirs, name="PyAMG sor")]
    common: dict[str, Any] = {"error": error, "tol": 1e-12, "repeats": 25, "budget": 15.0}
    common |= {"metric": "ten SOR sweeps", "first_call": False}
    yield Case(f"sweep, {name}", partial(ours, plan), peers, **common)
    note = "the pattern is remembered, the values are copied in each call"
    yield Case(f"sweep without a plan, {name}", partial(ours, A), peers, note=note, **common)


class HeatSteps:
    """Ten stiff steps: everything that a time stepper has before it assembles their matrices."""

    def __init__(self, nx: int) -> None:
        self.L = narrow(problems.laplacian(nx - 1)) * float(nx) ** 2
        self.identity = narrow(sp.eye_array((nx - 1) ** 2))
        # Nobody sends a solution: each system is solved by sine transforms.
        systems = [(b, 0.5 * STEP * kappa) for _, b, kappa in problems.heat_equation(nx, 755)][744:]
        states = [problems.sine_solve(b, s * nx**2) for b, s in systems]
        self.steps = [(s, b, u) for (b, s), u in zip(systems[1:], states, strict=False)]
        self.nx = nx
        self.hierarchy = self.built(self.assembled(systems[0][1]))
        self.petsc: dict[str, Krylov] = {}
        self.counts: list[int] = []  # of ours, which come first

    def assembled(self, s: float) -> Any:
        """The matrix; each side makes it in each step."""
        return self.identity + s * self.L

    def error(self, solutions: list[Any]) -> float:
        """The largest relative residual."""
        return max(
            float(np.linalg.norm(b - self.assembled(s) @ x) / np.linalg.norm(b))
            for (s, b, _), x in zip(self.steps, solutions, strict=True)
        )

    def ours(self, omega: float) -> list[Any]:
        """SSOR-CG."""
        found = [linear.ssor_cg(self.assembled(s), b, u, omega=omega, rtol=1e-8) for s, b, u in self.steps]
        self.counts = [one.nit for one in found]
        return [one.x for one in found]

    def plain(self) -> list[Any]:
        """SciPy's conjugate gradients."""
        return [cg(self.assembled(s), b, u, rtol=1e-8)[0] for s, b, u in self.steps]

    def built(self, A: Any) -> Any:
        """A hierarchy of smoothed aggregation, as a preconditioner."""
        import pyamg

        return pyamg.smoothed_aggregation_solver(A).aspreconditioner()

    def multigrid(self, rebuild: bool) -> list[Any]:
        """Conjugate gradients with smoothed aggregation."""
        solutions = []
        for s, b, u in self.steps:
            A = self.assembled(s)
            M = self.built(A) if rebuild else self.hierarchy
            solutions.append(cg(A, b, u, rtol=1e-8, M=M)[0])
        return solutions

    def krylov(self, kind: str, omega: float) -> list[Any]:
        """PETSc's conjugate gradients; the pattern of the matrix is made once."""
        if kind not in self.petsc:
            self.petsc[kind] = Krylov(self.identity + self.L, kind, omega=omega)
        counts = self.counts if kind == "eisenstat" else repeat(10_000)
        return [
            self.petsc[kind].solve(b, u, A=self.assembled(s), steps=count)
            for (s, b, u), count in zip(self.steps, counts, strict=False)
        ]

    def factorised(self) -> list[Any]:
        """SuperLU."""
        return [splu(sp.csc_matrix(self.assembled(s))).solve(b) for s, b, _ in self.steps]

    def direct(self) -> list[Any]:
        """Sine transforms; the matrix is not needed."""
        return [problems.sine_solve(b, s * self.nx**2) for s, b, _ in self.steps]


def heat_case(nx: int, omega: float) -> Case:
    """Stiff steps of the heat equation by everybody."""
    steps = HeatSteps(nx)
    return Case(
        f"ten stiff heat steps, {nx} x {nx}",
        partial(steps.ours, omega),
        [
            Peer("scipy", steps.plain, name="SciPy cg"),
            Peer("pyamg", partial(steps.multigrid, True), name="PyAMG SA-CG"),
            Peer("pyamg", partial(steps.multigrid, False), name="PyAMG SA-CG, frozen"),
            Peer("scipy", steps.factorised, name="SciPy splu"),
            Peer("scipy", steps.direct, name="SciPy dstn", note="constant coefficients only"),
            Peer("petsc4py", partial(steps.krylov, "eisenstat", omega), name="PETSc CG, Eisenstat"),
            Peer("petsc4py", partial(steps.krylov, "icc", omega), name="PETSc CG, ICC"),
        ],
        metric="time to a residual of 1e-8",
        error=steps.error,
        tol=1.001e-8,
        repeats=9,
        budget=35.0,
        note=f"ssor_cg, omega = {omega}; assembly included",
    )


def ssor_case(nx: int) -> Case:
    """The same preconditioned iteration on all sides; SciPy's with our operator; PETSc also with ICC."""
    A, b = problems.laplacian(nx), np.ones(nx * nx)

    def theirs() -> Any:
        return cg(A, b, rtol=1e-8, M=linear.SSOR(A, 1.9))[0]

    def ours() -> Any:
        return linear.ssor_cg(A, b, omega=1.9, rtol=1e-8)

    def petsc() -> Any:
        return Krylov(A, "eisenstat", omega=1.9).solve(b, steps=nit)

    def error(x: Any) -> float:
        return float(np.linalg.norm(b - A @ x) / np.linalg.norm(b))

    nit = ours().nit
    return Case(
        f"SSOR-CG, Poisson {nx} x {nx}",
        lambda: ours().x,
        [
            Peer("scipy", theirs, name="SciPy cg with our SSOR"),
            Peer("petsc4py", petsc, name="PETSc CG, Eisenstat"),
            Peer("petsc4py", lambda: Krylov(A, "icc").solve(b), name="PETSc CG, ICC"),
        ],
        metric="time to a residual of 1e-8",
        error=error,
        tol=1.001e-8,
        first_call=False,
        note="Eisenstat's form",
    )


def small_case() -> Case:
    """A hundred tiny systems: what a call costs before it computes anything."""
    A, b = problems.laplacian(3), np.ones(9)
    return Case(
        "100 systems of 9 unknowns",
        lambda: [linear.cg(A, b, rtol=1e-8).x for _ in range(100)],
        [Peer("scipy", lambda: [cg(A, b, rtol=1e-8)[0] for _ in range(100)], name="SciPy cg")],
        metric="time",
        repeats=25,
        first_call=False,
        note="ours checks its input, keeps a history and computes the true residual",
    )


def cases(quick: bool) -> Iterator[Case]:
    """Sweeps first, then solvers."""
    grids = {"Poisson 100 x 100": problems.laplacian(100), "Poisson 40^3": problems.laplacian(40, dim=3)}
    if not quick:
        grids["Poisson 300 x 300"] = problems.laplacian(300)
    for name, A in grids.items():
        yield from sweep_case(name, A)
    n = 10_000 if quick else 60_000
    yield from sweep_case(f"Delaunay mesh of {n} points", delaunay(n))
    yield heat_case(100, 1.8)
    if not quick:
        yield heat_case(200, 1.9)
        yield heat_case(400, 1.94)
    yield ssor_case(100 if quick else 300)
    yield small_case()


if __name__ == "__main__":
    main(cases)
