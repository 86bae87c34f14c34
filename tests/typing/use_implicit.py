"""What a type checker sees of numsolve.implicit. Checked in strict mode, never run.

Solutions are trees of arrays of any library, so what a wrapped solver returns is Any on purpose; what
surrounds it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_type

import numpy as np

from numsolve import implicit


def condition(x: Any, theta: Any) -> Any:
    """Newton's equation for the root of theta."""
    return x**2 - theta


def solver(x0: Any, theta: Any) -> Any:
    """Any solver."""
    return theta**0.5


def objective(x: Any, theta: Any) -> Any:
    """Something to make small."""
    return theta * (x @ x)


def with_jax() -> None:
    """Wrapped solvers stay functions."""
    assert_type(implicit.differentiable(solver, condition, solve="cg"), Callable[..., Any])
    decorate = implicit.custom_root(condition, solve="auto", symmetric=True)
    assert_type(decorate, Callable[[Callable[..., Any]], Callable[..., Any]])
    assert_type(decorate(solver), Callable[..., Any])
    assert_type(
        implicit.custom_fixed_point(condition, solve="gmres"),
        Callable[[Callable[..., Any]], Callable[..., Any]],
    )
    implicit.custom_root(condition, solve=implicit.solve_gmres)
    kkt = implicit.make_kkt_optimality_fun(objective)
    assert callable(kkt)
    print(implicit.from_jaxopt, implicit.optimality.kkt, implicit.problems.classes)


def without_jax() -> None:
    """Products with the derivative, from arrays."""
    x, theta = np.ones(3), np.ones(3)
    assert_type(implicit.root_vjp(condition, x, (theta,), x), tuple[Any, ...])
    print(implicit.root_jvp(condition, x, (theta,), (theta,), solve="lsmr"))
    print(implicit.solution_jacobian(condition, x, theta, method="auto"))
    solvers = (
        implicit.solve_bicgstab,
        implicit.solve_cg,
        implicit.solve_cholesky,
        implicit.solve_dense,
        implicit.solve_gmres,
        implicit.solve_host,
        implicit.solve_lsmr,
    )
    for solve in solvers:
        print(solve(lambda v: 2.0 * v, x, tol=1e-8, maxiter=10))


def mistakes() -> None:
    """What a checker has to find before the program runs."""
    implicit.custom_root(condition, solve="gmers")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    implicit.custom_root(condition, vmap_method="parallel")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    implicit.custom_fixed_point(condition, symetric=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    implicit.differentiable(solver, condition, hosts=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    implicit.from_jaxopt(solver, symetric=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    implicit.root_vjp(condition, 1.0, (1.0,), 1.0, solve="dens")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    implicit.solution_jacobian(condition, 1.0, 1.0, method="backwards")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
