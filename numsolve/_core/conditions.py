"""The condition that solutions of linear systems satisfy, which several columns offer, and its closed form.

With u = A'^{-1} c from one solve, the derivative of x = A^{-1} b in the matrix is an outer product, and costs
next to nothing: `numsolve.implicit.root_vjp` takes it without JAX, in place of differences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from . import arrays

if TYPE_CHECKING:
    from collections.abc import Callable

    from .typing import Array, Matrix

Condition = TypeVar("Condition", bound="Callable[..., Any]")


def closed(jac_x: Callable[..., Any], vjp_theta: Callable[..., Any]) -> Callable[[Condition], Condition]:
    """Give a condition its derivatives: dF/dx as a matrix, and (dF/dtheta)'u for a vector u."""

    def give(condition: Condition) -> Condition:
        vars(condition).update(jac_x=jac_x, vjp_theta=vjp_theta)
        return condition

    return give


def outer(A: Any, *pairs: tuple[Array, Array]) -> Any:
    """The sum of u x' over pairs of vectors, in the places where A has entries."""
    if not arrays.is_sparse(A):
        return sum(u[:, None] * x[None, :] for u, x in pairs)
    out, places = A.copy(), A.tocoo()
    out.data = sum(u[places.row] * x[places.col] for u, x in pairs)
    return out


@closed(lambda _x, A, _b: A, lambda u, x, A, _b: (outer(A, (u, x)), -u))
def linear_system(x: Array, A: Matrix, b: Array) -> Array:
    """The residual of a linear system, A x - b; the forward solve's factorisation serves its derivative.

    Parameters
    ----------
    x : array of shape (n,)
        The solution.
    A : matrix of shape (n, n)
        Dense or sparse; for JAX anything with ``A @ x``.
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
    >>> from numsolve.linear.optimality import linear_system  # numsolve.implicit.optimality has it, too
    >>> A, b = np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0])
    >>> def solve(r):
    ...     return linear.cg(A, r, rtol=1e-12).x
    >>> _, db = implicit.root_vjp(linear_system, solve(b), (A, b), np.ones(2), solve=(solve, solve))
    >>> print(db.round(6))
    [0.181818 0.272727]
    """
    residual: Array = A @ x - b
    return residual
