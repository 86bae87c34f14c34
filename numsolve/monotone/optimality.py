"""What solutions of monotone inclusions and linear programs satisfy, for derivatives by `numsolve.implicit`.

Halpern's iteration, its variance-reduced form and the extragradient methods all end at a fixed point of the
same map, `inclusion`; any step gives the same derivative of the solution. A matrix game is one with the
operator ``(A'y, -A x)`` and two simplices. For linear programs there is `linear_program`.

Where a constraint is active with a multiplier of zero the solution has no derivative, and where it is not
unique none either: a linear program needs a unique vertex with unique multipliers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numsolve._core import arrays

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, Matrix

__all__ = ["inclusion", "linear_program"]


def __dir__() -> list[str]:
    return sorted(__all__)


def inclusion(
    operator: Callable[..., Any], prox: Callable[[Any, float], Any] | None = None, *, gamma: float = 1.0
) -> Callable[..., Any]:
    """The residual ``u - J(u - gamma F(u, theta))``, zero where ``0 in F(u, theta) + G(u)``.

    Parameters
    ----------
    operator : callable
        ``F(u, *theta)``.
    prox : callable, optional
        The resolvent of G, ``prox(v, gamma)``; none for G = 0. For derivatives by JAX it is written for JAX;
        without, use ``method="central"``, as projections are not analytic.
    gamma : float
        The step.

    Returns
    -------
    callable
        ``residual(u, *theta)``.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.monotone import optimality
    >>> residual = optimality.inclusion(lambda u, theta: 2 * u - theta)
    >>> print(residual(np.array([1.5]), 3.0))
    [0.]
    """

    def residual(u: Any, *theta: Any) -> Any:
        moved = u - gamma * operator(u, *theta)
        return u - (moved if prox is None else prox(moved, gamma))

    return residual


def linear_program(
    z: tuple[Array, Array],
    c: Array,
    A: Matrix,
    lc: Array | float = -float("inf"),
    uc: Array | float = float("inf"),
    lx: Array | float = -float("inf"),
    ux: Array | float = float("inf"),
) -> tuple[Array, Array]:
    """The fixed-point residual of the primal-dual iteration, zero at a solution of `solve_lp`.

    Parameters
    ----------
    z : tuple
        ``(x, y)`` of shapes (n,) and (m,), the `x` and the `y` of a result; for `linprog` the multipliers
        ``ineqlin.marginals`` and ``eqlin.marginals`` one after the other.
    c : array of shape (n,)
        The cost.
    A : matrix of shape (m, n)
        The rows.
    lc, uc : float or array of shape (m,)
        Bounds of the rows.
    lx, ux : float or array of shape (n,)
        Bounds of the variables.

    Returns
    -------
    tuple of array
        ``x - clip(x - c + A'y, lx, ux)`` and ``A x - clip(A x - y, lc, uc)``. Both are piecewise linear: take
        ``method="central"`` with NumPy, where no complex steps can be.

    Examples
    --------
    How the solution and the multiplier of ``min -x`` subject to ``x <= b`` answer to b, at b = 3:

    >>> import numpy as np
    >>> from numsolve import implicit, monotone
    >>> from numsolve.monotone import optimality
    >>> c, A, b = np.array([-1.0]), np.array([[1.0]]), np.array([3.0])
    >>> r = monotone.solve_lp(c, A, uc=b, lx=0)
    >>> def F(z, b):
    ...     x, y = optimality.linear_program((z[:1], z[1:]), c, A, uc=b, lx=0.0)
    ...     return np.concatenate([x, y])
    >>> J = implicit.solution_jacobian(F, np.concatenate([r.x, r.y]), b, method="central")
    >>> print((J @ np.ones(1)).round(6))
    [1. 0.]
    """
    x, y = z
    xp = arrays.array_namespace(x=x, y=y)

    def clip(v: Array, low: Array | float, high: Array | float) -> Any:
        return xp.minimum(xp.maximum(v, low), high)

    rows = A @ x
    return x - clip(x - c + A.T @ y, lx, ux), rows - clip(rows - y, lc, uc)
