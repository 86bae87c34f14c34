"""Incomplete factorisations beside ilupp, Pardiso, SuperLU, PyAMG, PETSc and hypre, on one thread.

Symmetric: P1 finite elements (scikit-fem) with coefficients that jump by 1e4 from block to block, the same
with a constant coefficient, random conductances over four decades on a grid, and Poisson's equation in three
dimensions. Times are with the set-up. Each row's note has our iterations beside those of SSOR-CG with the
best of eight parameters. Ours are factors with `droptol=1e-4, fill=30`, and as they come; those of ilupp get
the same settings. A row of ``SSOR-CG`` is the time with that best parameter, which nobody tells the user.

Nonsymmetric: upwind convection and diffusion in a square with a vortex, 118 x 118 points, Peclet number 100.

How far from the floor. A step reads the matrix and both triangles once, 12 bytes an entry; on the P1 problem
the triangles have some five times as many entries as the matrix at `fill=30`.
ilupp has no wheels: `pip install ilupp` builds it where a C++ compiler is; without it its rows say so,
as do those of PETSc and hypre without petsc4py (see `_petsc`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from _petsc import Krylov
from linear import narrow
from scipy.sparse.linalg import LinearOperator, bicgstab, cg, splu

from _harness import Case, Peer, main
from numsolve import linear
from numsolve.linear import problems

OMEGAS = (1.0, 1.2, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9)


def elements(m: int, jump: float) -> Any:
    """Stiffness matrix of P1 elements on m x m moved points, grounded on the boundary."""
    from skfem import Basis, BilinearForm, ElementTriP1, MeshTri
    from skfem.helpers import dot, grad

    mesh = MeshTri.init_tensor(*2 * [np.linspace(0, 1, m + 2)])
    inside, p = mesh.interior_nodes(), mesh.p.copy()
    p[:, inside] += np.random.default_rng(0).uniform(-0.3, 0.3, (2, inside.size)) / (m + 1)
    mesh = MeshTri(p, mesh.t)

    @BilinearForm
    def form(u: Any, v: Any, w: Any) -> Any:
        blocks = np.floor(8 * w.x[0]) + np.floor(8 * w.x[1])
        return np.where(blocks % 2 == 0, 1.0, jump) * dot(grad(u), grad(v))

    A = sp.csr_matrix(form.assemble(Basis(mesh, ElementTriP1())))
    return narrow(A[inside][:, inside])


def conductances(m: int) -> Any:
    """A grid of random conductances over four decades, with a little to the ground everywhere."""
    number, rng = np.arange(m * m).reshape(m, m), np.random.default_rng(0)
    i = np.concatenate([number[:-1].ravel(), number[:, :-1].ravel()])
    j = np.concatenate([number[1:].ravel(), number[:, 1:].ravel()])
    W = sp.coo_array((10.0 ** rng.uniform(-2, 2, i.size), (i, j)), shape=(m * m, m * m))
    W = sp.csr_array(W + W.T)
    return narrow(sp.diags_array(np.asarray(W.sum(axis=1)).ravel() + 1e-3) - W)


def vortex(m: int, peclet: float = 100.0) -> Any:
    """Diffusion, and first-order upwind convection by a vortex."""
    h, eye = 1.0 / (m + 1), sp.eye_array(m)
    x = np.arange(1, m + 1) * h
    X, Y = np.meshgrid(x, x, indexing="ij")
    speeds = np.sin(np.pi * X) * np.cos(np.pi * Y), -np.cos(np.pi * X) * np.sin(np.pi * Y)
    back = sp.diags_array([-1.0, 1.0], offsets=[-1, 0], shape=(m, m)) / h
    A = problems.laplacian(m) / h**2
    for axis, speed in enumerate(speeds):
        along = sp.kron(back, eye) if axis == 0 else sp.kron(eye, back)
        u = speed.ravel()
        A = A + peclet * (sp.diags_array(np.maximum(u, 0)) @ along)
        A = A - peclet * (sp.diags_array(np.minimum(u, 0)) @ along.T)
    return narrow(A)


def relative(A: Any, b: Any, x: Any) -> float:
    """The residual over the right-hand side."""
    return float(np.linalg.norm(b - A @ x) / np.linalg.norm(b))


def symmetric(name: str, A: Any) -> Iterator[Case]:
    """One matrix by everybody."""
    b = np.random.default_rng(1).standard_normal(A.shape[0])
    counts = {w: linear.ssor_cg(A, b, omega=w, rtol=1e-8, maxiter=5000).nit for w in OMEGAS}
    best = min(counts, key=lambda w: counts[w])

    def factors(droptol: float, fill: int) -> Any:
        import ilupp

        M = ilupp.ICholTPreconditioner(A, add_fill_in=fill, threshold=droptol)
        return cg(A, b, rtol=1e-8, M=M)[0]

    def pardiso() -> Any:
        import pypardiso

        solver = pypardiso.PyPardisoSolver()
        x = solver.solve(A, b)
        solver.free_memory()
        return x

    def superlu() -> Any:
        options = {"SymmetricMode": True}
        return splu(sp.csc_matrix(A), "MMD_AT_PLUS_A", 0.0, options=options).solve(b)

    def multigrid(kind: str) -> Any:
        import pyamg

        return cg(A, b, rtol=1e-8, M=getattr(pyamg, kind)(A).aspreconditioner())[0]

    for label, settings in {"": {}, ", droptol=1e-4, fill=30": {"droptol": 1e-4, "fill": 30}}.items():
        given = settings.get("droptol", 1e-3), settings.get("fill", 8)
        solve = partial(linear.ict_cg, A, b, rtol=1e-8, **settings)
        yield Case(
            f"{name}, n = {A.shape[0]}{label}",
            lambda solve=solve: solve().x,
            [
                Peer("ilupp", partial(factors, *given), name="ilupp ICholT, SciPy cg"),
                Peer("pypardiso", pardiso, name="pypardiso"),
                Peer("scipy", superlu, name="SciPy splu"),
                Peer("pyamg", partial(multigrid, "ruge_stuben_solver"), name="PyAMG RS, SciPy cg"),
                Peer("pyamg", partial(multigrid, "smoothed_aggregation_solver"), name="PyAMG SA, SciPy cg"),
                Peer("petsc4py", lambda: Krylov(A, "icc").solve(b), name="PETSc CG, ICC"),
                Peer("petsc4py", lambda: Krylov(A, "gamg").solve(b), name="PETSc CG, GAMG"),
                Peer("petsc4py", lambda: Krylov(A, "hypre").solve(b), name="PETSc CG, hypre BoomerAMG"),
                Peer(
                    "numsolve",
                    lambda: linear.ssor_cg(A, b, omega=best, rtol=1e-8).x,
                    name=f"numsolve SSOR-CG, omega = {best}",
                ),
            ],
            metric="time to a residual of 1e-8",
            error=partial(relative, A, b),
            tol=1.001e-8,
            repeats=5,
            budget=30.0,
            first_call=False,
            note=f"set-up included; {solve().nit} iterations, SSOR-CG {counts[best]}",
        )


def nonsymmetric(m: int) -> Case:
    """Convection by everybody."""
    A = vortex(m)
    b, inverse = np.random.default_rng(1).standard_normal(A.shape[0]), 1 / A.diagonal()
    jacobi = LinearOperator(A.shape, matvec=lambda r: inverse * r.ravel(), dtype=float)

    def ilut() -> Any:
        import ilupp

        return bicgstab(A, b, rtol=1e-8, M=ilupp.ILUTPreconditioner(A, fill_in=10, threshold=1e-3))[0]

    def ours() -> Any:
        return linear.bicgstab(A, b, M=linear.ILU(A, 1e-3), rtol=1e-8)

    def plain() -> Any:
        return linear.bicgstab(A, b, M=linear.ILU(A), rtol=1e-8).x

    def gmres() -> Any:
        return linear.gmres(A, b, M=linear.ILU(A, 1e-3), rtol=1e-8).x

    return Case(
        f"upwind convection, n = {A.shape[0]}, Peclet 100",
        lambda: ours().x,
        [
            Peer("scipy", lambda: bicgstab(A, b, rtol=1e-8, M=jacobi)[0], name="SciPy bicgstab, Jacobi"),
            Peer("scipy", lambda: splu(sp.csc_matrix(A)).solve(b), name="SciPy splu"),
            Peer("ilupp", ilut, name="ilupp ILUT, SciPy bicgstab"),
            Peer("petsc4py", lambda: Krylov(A, "ilu", "bcgs").solve(b), name="PETSc bcgs, ILU"),
            Peer("numsolve", plain, name="numsolve bicgstab, ILU(0)"),
            Peer("numsolve", gmres, name="numsolve gmres, ILUT"),
        ],
        metric="time to a residual of 1e-8",
        error=partial(relative, A, b),
        tol=1.001e-8,
        repeats=5,
        budget=30.0,
        first_call=False,
        note=f"bicgstab with ILU(droptol=1e-3), set-up included; {ours().nit} iterations",
    )


def cases(quick: bool) -> Iterator[Case]:
    """Symmetric first."""
    m = 50 if quick else 140
    yield from symmetric("P1 elements, jumps of 1e4", elements(m, 1e4))
    yield from symmetric("P1 elements", elements(m, 1.0))
    yield from symmetric("random conductances", conductances(m))
    yield from symmetric("Poisson, 3-D", narrow(problems.laplacian(12 if quick else 27, dim=3)))
    yield nonsymmetric(50 if quick else 118)


if __name__ == "__main__":
    main(cases)
