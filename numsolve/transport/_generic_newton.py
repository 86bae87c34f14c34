"""The kernels of the Newton system S x = rhs,  S = diag(d) - P diag(1/b) P', in plain array-API code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from array_api_compat import array_namespace

from numsolve._core.krylov import conjugate_gradients

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array


def never() -> bool:
    """No limit of time."""
    return False


def plan_entries(
    M: Array,  # noqa: ARG001
    f: Array,  # noqa: ARG001
    g: Array,  # noqa: ARG001
    reg: float,  # noqa: ARG001
    floor_a: Array,  # noqa: ARG001
    floor_b: Array,  # noqa: ARG001
    capacity: int,  # noqa: ARG001
) -> tuple[int, None, None, None]:
    """Array libraries have no sparse arrays in common: say that P is too dense."""
    return -1, None, None, None


def schur_cg(
    P: Array,
    d: Array,
    b: Array,
    rhs: Array,
    stop: float,
    maxiter: int,
    expired: Callable[[], bool] = never,
) -> tuple[Array, int, bool]:
    """Conjugate gradients with the diagonal of S, from 0, until ||residual||_1 <= stop.

    Returns x, the steps done, and whether the residual got there.
    """
    xp = array_namespace(P)
    diagonal = d - xp.sum(P * P / b[None, :], axis=1)
    jacobi = xp.where(diagonal > 1e-14 * d, diagonal, 1e-14 * d)

    def product(p: Array) -> Array:
        return d * p - P @ ((P.T @ p) / b)

    x, residual, done, k = xp.zeros_like(rhs), rhs, False, 0
    for step in conjugate_gradients(xp, product, x, rhs, lambda r: r / jacobi):
        if k == maxiter or expired() or not step.curvature > 0.0:
            break
        k += 1
        x, residual = step.x, step.r
        done = float(xp.sum(xp.abs(residual))) <= stop
        if done:
            break
    for _ in range(3):  # rows of little weight count for little above: put them right from their neighbours
        off = xp.abs(residual) > d
        if not bool(xp.any(off)):
            break
        x = xp.where(off, x + residual / jacobi, x)
        residual = rhs - product(x)
    return x, k, done
