"""What the solution of a linear system satisfies, for derivatives by `numsolve.implicit`.

The solutions of `sor`, `ssor`, `cg`, `ssor_cg` and `TunedSolver` have the derivatives of x = A^{-1} b, to
about their tolerance. The adjoint system has the transposed matrix; for a symmetric one the same solver
serves it::

    implicit.root_vjp(optimality.linear_system, x, (A, b), c,
                      solve=(lambda r: cg(A, r).x, lambda r: cg(A, r).x))
"""

from __future__ import annotations

from numsolve._core.conditions import linear_system

__all__ = ["linear_system"]


def __dir__() -> list[str]:
    return __all__
