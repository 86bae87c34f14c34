"""Sweeps and preconditioned conjugate gradients beside PyAMG and SciPy.

The sweeps are those of the same matrix in the same order, with the same iterates; ours work on a plan made
once (the row "plan and first sweep" has it inside). The heat steps are those of the stiff phase of
`heat_equation` (a diffusion of about 10): each side assembles its matrix, solves from the last state to
``||b - A x|| <= 1e-8 ||b||``, and ours takes the new values into the order of its sweep. The best tools for
this toy are there too: algebraic multigrid with a frozen hierarchy, and sine transforms, which solve it
directly.

How far from the floor. A sweep reads the matrix once: with n = 10 000 in the cache it takes 1.0 times
SciPy's product with the same matrix, and a step of SSOR-CG in Eisenstat's form 1.6 products, beside 1
product and five passes over vectors of plain CG's.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
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

    def ours(matrix: Any) -> Any:
        x = np.zeros_like(b)
        linear.sweep(matrix, x, b, 1.5, iterations=10)
        return x

    def theirs() -> Any:
        x = np.zeros_like(b)
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


class HeatStep:
    """One stiff step: everything that a time stepper has before it assembles the matrix."""

    def __init__(self, nx: int) -> None:
        self.L = narrow(problems.laplacian(nx - 1)) * float(nx) ** 2
        self.identity = narrow(sp.eye_array((nx - 1) ** 2))
        systems = problems.heat_equation(nx, 751)
        for _ in range(750):
            _, b, kappa = next(systems)  # nobody sends a solution: each step is solved by sine transforms
        self.u = problems.sine_solve(b, 0.5 * STEP * kappa * nx**2)
        _, self.b, kappa = next(systems)
        self.s, self.scale = 0.5 * STEP * kappa, 0.5 * STEP * kappa * nx**2
        self.hierarchy = self.frozen()

    def assemble(self) -> Any:
        """The matrix; each side does it in each step."""
        return self.identity + self.s * self.L

    def error(self, x: Any) -> float:
        """The relative residual."""
        return float(np.linalg.norm(self.b - self.assemble() @ x) / np.linalg.norm(self.b))

    def ours(self, omega: float) -> Any:
        """SSOR-CG."""
        return linear.ssor_cg(self.assemble(), self.b, self.u, omega=omega, rtol=1e-8).x

    def plain(self) -> Any:
        """SciPy's conjugate gradients."""
        return cg(self.assemble(), self.b, self.u, rtol=1e-8)[0]

    def frozen(self) -> Any:
        """A hierarchy of smoothed aggregation."""
        import pyamg

        return pyamg.smoothed_aggregation_solver(self.assemble())

    def multigrid(self, rebuild: bool) -> Any:
        """Conjugate gradients with smoothed aggregation."""
        hierarchy = self.frozen() if rebuild else self.hierarchy
        return cg(self.assemble(), self.b, self.u, rtol=1e-8, M=hierarchy.aspreconditioner())[0]

    def factorised(self) -> Any:
        """SuperLU."""
        return splu(sp.csc_matrix(self.assemble())).solve(self.b)

    def direct(self) -> Any:
        """Sine transforms; the matrix is not needed."""
        return problems.sine_solve(self.b, self.scale)


def heat_case(nx: int, omega: float) -> Case:
    """A stiff step of the heat equation by everybody."""
    step = HeatStep(nx)
    return Case(
        f"stiff heat step, {nx} x {nx}",
        partial(step.ours, omega),
        [
            Peer("scipy", step.plain, name="SciPy cg"),
            Peer("pyamg", partial(step.multigrid, True), name="PyAMG SA-CG"),
            Peer("pyamg", partial(step.multigrid, False), name="PyAMG SA-CG, frozen"),
            Peer("scipy", step.factorised, name="SciPy splu"),
            Peer("scipy", step.direct, name="SciPy dstn", note="constant coefficients only"),
        ],
        metric="time to a residual of 1e-8",
        error=step.error,
        tol=1.001e-8,
        repeats=15,
        budget=30.0,
        note=f"ssor_cg, omega = {omega}; assembly included",
    )


def ssor_case(nx: int) -> Case:
    """The same preconditioned iteration on both sides; SciPy's with our operator."""
    A, b = problems.laplacian(nx), np.ones(nx * nx)

    def theirs() -> Any:
        return cg(A, b, rtol=1e-8, M=linear.SSOR(A, 1.9))[0]

    def error(x: Any) -> float:
        return float(np.linalg.norm(b - A @ x) / np.linalg.norm(b))

    return Case(
        f"SSOR-CG, Poisson {nx} x {nx}",
        lambda: linear.ssor_cg(A, b, omega=1.9, rtol=1e-8).x,
        [Peer("scipy", theirs, name="SciPy cg with our SSOR")],
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
        yield heat_case(200, 1.85)
        yield ssor_case(300)
    yield small_case()


if __name__ == "__main__":
    main(cases)
