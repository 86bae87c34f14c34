"""The kernels of the Newton system S x = rhs,  S = diag(d) - P diag(1/b) P', in plain array-API code."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace


def plan_entries(M: Any, f: Any, g: Any, reg: float, floor_a: Any, floor_b: Any, capacity: int) -> Any:  # noqa: ARG001
    """Array libraries have no sparse arrays in common: say that P is too dense."""
    return -1, None, None, None


def schur_cg(P: Any, d: Any, b: Any, rhs: Any, stop: float, maxiter: int) -> tuple[Any, int, bool]:
    """Conjugate gradients with the diagonal of S, from 0, until ||residual||_1 <= stop.

    Returns x, the steps done, and whether the residual got there.
    """
    xp = array_namespace(P)
    diagonal = d - xp.sum(P * P / b[None, :], axis=1)
    jacobi = xp.where(diagonal > 1e-14 * d, diagonal, 1e-14 * d)
    x, residual, z = xp.zeros_like(rhs), rhs, rhs / jacobi
    p, rz = z, float(xp.sum(rhs * z))
    done, k = False, 0
    while k < maxiter and not done and rz > 0.0:
        k += 1
        Sp = d * p - P @ ((P.T @ p) / b)
        curvature = float(xp.sum(p * Sp))
        if not curvature > 0.0:
            break
        x = x + (rz / curvature) * p
        residual = residual - (rz / curvature) * Sp
        z = residual / jacobi
        rz, old = float(xp.sum(residual * z)), rz
        p = z + (rz / old) * p
        done = float(xp.sum(xp.abs(residual))) <= stop
    for _ in range(3):  # rows of little weight count for little above: put them right from their neighbours
        off = xp.abs(residual) > d
        if not bool(xp.any(off)):
            break
        x = xp.where(off, x + residual / jacobi, x)
        residual = rhs - d * x + P @ ((P.T @ x) / b)
    return x, k, done


def schur_matrix(P: Any, d: Any, b: Any) -> Any:
    """S as a dense matrix."""
    xp = array_namespace(P)
    return xp.eye(d.shape[0], dtype=d.dtype) * d[None, :] - (P / b[None, :]) @ P.T


def cholesky_solve(S: Any, rhs: Any) -> Any:
    """Solve S x = rhs."""
    return array_namespace(S).linalg.solve(S, rhs)
