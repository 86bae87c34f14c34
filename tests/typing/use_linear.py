"""What a type checker sees of numsolve.linear. Checked in strict mode, never run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

from numsolve import Status, linear

A = np.diag(np.arange(1.0, 11.0))
b = np.ones(10)


def watch(xk: NDArray[Any]) -> bool:
    """Stop when the first unknown is large."""
    return bool(xk[0] > 1.0)


def systems() -> NDArray[Any]:
    """Every solver gives the same kind of result."""
    for result in (
        linear.cg(A, b),
        linear.sor(A, b, omega=1.5, sweep="forward"),
        linear.ssor(A, b, maxiter=10),
        linear.gauss_seidel(A, b, rtol=1e-8),
        linear.ssor_cg(A, b, method="auto", order="forward"),
        linear.ict_cg(A, b, droptol=1e-2, fill=4, M=linear.ICT(A)),
        linear.bicgstab(A, b, M=linear.ILU(A), stop="r0"),
        linear.gmres(A, b, M=linear.ILU(A, 1e-3, 5), restart=20),
    ):
        assert_type(result, linear.LinearResult)
    result = linear.cg(A, b, x0=b, stop="b", callback=watch)
    assert_type(result.status, Status)
    assert_type(result.info, int)
    assert_type(result.residual, float)
    assert_type(result.x, NDArray[Any])
    return result.x


def parts() -> None:
    """Sweeps, their plan, and the best relaxation."""
    assert_type(linear.optimal_omega(A, method="lanczos"), float)
    assert_type(linear.automatic_context(A), float)
    assert_type(linear.sweep(A, b.copy(), b, 1.5, sweep="forward"), None)
    plan = linear.SweepPlan(A, "level")
    assert_type(plan.shape, tuple[int, int])
    assert_type(plan.order, NDArray[Any])
    assert_type(plan.update(b), linear.SweepPlan)
    linear.cg(A, b, M=linear.SSOR(A, 1.2, plan=plan))
    assert_type(linear.ICT(A).update(b), linear.ICT)
    assert_type(linear.ILU(A).update(A), linear.ILU)
    assert_type(linear.ICT(A).shift, float)
    assert_type(linear.ILU(A).n_replaced, int)
    assert_type(linear.theory.optimal_omega(A), float)
    print(linear.optimality.linear_system, linear.problems.laplacian)


def sequences() -> None:
    """Tuned on the way."""
    results = linear.solve_sequence([(A, b), (2 * A, b)], "ssor_cg", rng=0)
    assert_type(results, Iterator[linear.LinearResult])
    tuners = (
        linear.ChebCB([1.0, 1.5], context_range=(0.0, 1.0)),
        linear.SmoothCB([1.0, 1.5], rng=0),
        linear.TsallisINF([1.0, 1.5], rng=np.random.default_rng(0)),
        linear.TsallisINFCB([1.0, 1.5], context_range=(0.0, 1.0)),
    )
    for tuner in tuners:
        solver = linear.TunedSolver("ssor_cg", tuner=tuner)
        assert_type(solver, linear.TunedSolver)
        assert_type(solver(A, b), linear.LinearResult)
        assert_type(solver.history, linear.SequenceHistory)
        assert_type(solver.history.costs, list[float])


def mistakes() -> None:
    """What a checker has to find before the program runs."""
    linear.sor(A, b, sweep="forwards")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    linear.ssor(A, b, omga=1.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    linear.gauss_seidel(A, b, rtol="small")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    linear.ssor_cg(A, b, method="fast")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    linear.ict_cg(A, b, M=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    linear.gmres(A, b, restrt=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    linear.cg(A, b, stop="r1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    linear.optimal_omega(A, method="lanzcos")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    linear.SweepPlan(A, "levels")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    linear.TunedSolver(warm_start="prevous")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def poisson() -> None:
    """Grids with obstacles."""
    flags = np.zeros((8, 9), dtype=int)
    problem = linear.GridPoisson(flags, spacing=(1.0, 2.0))
    preconditioner = linear.poisson_multigrid(problem, n_smooth=2, dtype="float32")
    assert_type(preconditioner, linear.PoissonMultigrid)
    assert_type(preconditioner.levels, list[int])
    assert_type(preconditioner.refit(flags), linear.PoissonMultigrid)
    assert_type(problem.n_components, int)
    result = linear.solve_poisson(preconditioner, np.ones((8, 9)), project=True, rtol=1e-8)
    assert_type(result, linear.LinearResult)
    net = linear.DCDMNet(2, channels=4, n_top=0, rng=0)
    assert_type(net(np.ones((8, 8))), NDArray[Any])
    assert_type(linear.NPSDNet.shipped(2), linear.NPSDNet)
    linear.solve_poisson(flags, np.ones((8, 9)), method="dcdm", weights=net)
    assert_type(linear.ritz_training_vectors(A, 3, 2, rng=0), NDArray[Any])
    assert_type(linear.train_dcdm(flags, n_ritz=10, channels=2, time_limit=1.0), linear.DCDMNet)
    assert_type(linear.train_npsd(2, grids=[flags], n_levels=1, maxiter=3), linear.NPSDNet)
    linear.poisson_multigrid(flags, weights=linear.train_multigrid(2, grids=[flags], maxiter=3))
    directions = linear.dcdm(A, b, lambda r: r, n_orth=2, rtol=1e-4)
    assert_type(directions, linear.DCDMResult)
    assert_type(directions.nfallback, int)
