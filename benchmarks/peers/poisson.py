"""Poisson's equation on grids with obstacles beside PyAMG, SciPy and, where they install, PARDISO and others.

Grids are `linear.problems.random_obstacles` (boxes, balls and thin plates, walls and open, frame closed but
for one side), with a right-hand side of white noise. Each solve is from the flags, or for a peer from its
matrix, which it is given for free; the set-up counts on both sides. Peers iterate by conjugate gradients
with one V cycle of their hierarchy. Errors are residuals relative to the right-hand side, by the matrix.

How far from the floor: a step on 512 x 512 cells reads and writes about 110 bytes a cell for the product
and the vectors in double precision and 60 for the cycle in single precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from _petsc import Krylov
from scipy.sparse.linalg import cg as scipy_cg

from _harness import Case, Peer, main
from numsolve import linear

TOL = 1e-8


class Problem:
    """A grid, its matrix, and a right-hand side."""

    def __init__(self, flags: Any, seed: int = 0) -> None:
        self.flags = flags
        self.A = linear.GridPoisson(flags)
        self.grid = np.random.default_rng(seed).standard_normal(flags.shape)
        self.matrix, self.b = self.A.to_csr(), self.A.pack(self.grid)
        self.matrix.indptr = self.matrix.indptr.astype(np.int32)
        self.matrix.indices = self.matrix.indices.astype(np.int32)

    def error(self, x: Any) -> float:
        x = self.A.pack(x) if x.shape == self.flags.shape else x
        return float(np.linalg.norm(self.b - self.matrix @ x) / np.linalg.norm(self.b))

    def ours(self) -> Any:
        return linear.solve_poisson(self.flags, self.grid, rtol=TOL).x

    def amg(self, make: Callable[[Any], Any]) -> Any:
        return make(self.matrix).solve(self.b, tol=TOL, accel="cg", maxiter=200)

    def amg_count(self, make: Callable[[Any], Any]) -> int:
        residuals: list[float] = []
        make(self.matrix).solve(self.b, tol=TOL, accel="cg", maxiter=200, residuals=residuals)
        return len(residuals) - 1

    def cg(self) -> Any:
        return scipy_cg(self.matrix, self.b, rtol=TOL, maxiter=100_000)[0]

    def pardiso(self) -> Any:
        import pypardiso

        return pypardiso.PyPardisoSolver(mtype=11).solve(self.matrix, self.b)

    def petsc(self, kind: str) -> Any:
        return Krylov(self.matrix, kind, rtol=TOL).solve(self.b)

    def amgcl(self) -> Any:
        import pyamgcl

        M = pyamgcl.amgcl(self.matrix, {"relax.type": "spai0"})
        return scipy_cg(self.matrix, self.b, rtol=TOL, M=M)[0]


def cases(quick: bool) -> Iterator[Case]:
    import pyamg

    shapes: list[tuple[int, ...]] = [(256, 256), (32, 32, 32)] if quick else [(512, 512), (64, 64, 64)]
    if not quick:
        shapes += [(1024, 1024), (128, 128, 128)]
    for shape in shapes:
        p = Problem(linear.problems.random_obstacles(shape, rng=101))
        size = " x ".join(map(str, shape))
        large = p.A.n > 500_000

        def rs(q: Problem = p) -> Any:
            return q.amg(pyamg.ruge_stuben_solver)

        def sa(q: Problem = p) -> Any:
            return q.amg(pyamg.smoothed_aggregation_solver)

        peers = [
            Peer("pyamg", rs, name="PyAMG Ruge-Stuben CG"),
            Peer("pyamg", sa, name="PyAMG smoothed aggregation CG"),
            Peer("pyamgcl", p.amgcl, name="AMGCL CG"),
            Peer("petsc4py", lambda q=p: q.petsc("gamg"), name="PETSc GAMG CG"),
            Peer("petsc4py", lambda q=p: q.petsc("hypre"), name="PETSc BoomerAMG CG"),
        ]
        if not large:
            peers += [Peer("scipy", p.cg, name="SciPy cg")]
        if len(shape) == 2:
            peers += [Peer("pypardiso", p.pardiso, name="PARDISO")]
        yield Case(
            f"obstacles, {size}",
            ours=p.ours,
            peers=peers,
            metric="time to a residual of 1e-8",
            error=p.error,
            tol=1.001 * TOL,
            repeats=1 if large else 3,
            budget=40.0,
            note="set-up included",
        )
        if large:
            continue
        yield Case(
            f"obstacles, {size}",
            ours=lambda q=p: linear.solve_poisson(q.flags, q.grid, rtol=TOL).nit,
            peers=[
                Peer("pyamg", lambda q=p: q.amg_count(pyamg.ruge_stuben_solver), name="PyAMG Ruge-Stuben CG"),
            ],
            metric="iterations to 1e-8",
            unit="",
            value=float,
            repeats=1,
            first_call=False,
        )
    for rooms in (45,) if quick else (45, 180):
        p = Problem(linear.problems.maze(rooms, rng=0))
        yield Case(
            f"maze of {rooms} x {rooms} rooms",
            ours=lambda q=p: linear.solve_poisson(q.flags, q.grid, rtol=TOL).nit,
            peers=[
                Peer("pyamg", lambda q=p: q.amg_count(pyamg.ruge_stuben_solver), name="PyAMG Ruge-Stuben CG"),
            ],
            metric="iterations to 1e-8",
            unit="",
            value=float,
            repeats=1,
            first_call=False,
        )
        yield Case(
            f"maze of {rooms} x {rooms} rooms",
            ours=p.ours,
            peers=[
                Peer(
                    "pyamg",
                    lambda q=p: q.amg(pyamg.ruge_stuben_solver),
                    name="PyAMG Ruge-Stuben CG",
                ),
            ],
            metric="time to a residual of 1e-8",
            error=p.error,
            tol=1.001 * TOL,
            repeats=3,
            budget=20.0,
            note="set-up included",
        )


if __name__ == "__main__":
    main(cases)
