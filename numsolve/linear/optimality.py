"""What the solution of a linear system satisfies, for derivatives by `numsolve.implicit`.

The solutions of `sor`, `ssor`, `cg`, `ssor_cg` and `TunedSolver` have the derivatives of x = A^{-1} b, to
about their tolerance. The adjoint system has the transposed matrix; for a symmetric one the same solver
serves it::

    implicit.root_vjp(optimality.linear_system, x, (A, b), c,
                      solve=(lambda r: cg(A, r).x, lambda r: cg(A, r).x))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Matrix

__all__ = ["linear_system"]


def __dir__() -> list[str]:
    return __all__


def linear_system(x: Array, A: Matrix, b: Array) -> Array:
    """The residual A x - b.

    Parameters
    ----------
    x : array of shape (n,)
        The solution.
    A : matrix of shape (n, n)
        Anything with ``A @ x``.
    b : array of shape (n,)
        The right-hand side.

    Returns
    -------
    array of shape (n,)
        A x - b.

    Examples
    --------
    The derivative of the sum of a solution in the right-hand side, by the solver that found it:

    >>> import numpy as np
    >>> from numsolve import implicit, linear
    >>> from numsolve.linear import optimality
    >>> A, b = np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0])
    >>> def solve(r):
    ...     return linear.cg(A, r, rtol=1e-12).x
    >>> F = lambda x, b: optimality.linear_system(x, A, b)
    >>> (db,) = implicit.root_vjp(F, solve(b), (b,), np.ones(2), solve=(solve, solve))
    >>> print(db.round(6))
    [0.181818 0.272727]
    """
    residual: Array = A @ x - b
    return residual
