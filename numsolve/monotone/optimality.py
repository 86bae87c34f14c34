"""What the solution of a monotone inclusion satisfies, for derivatives by `numsolve.implicit`.

Halpern's iteration, its variance-reduced form and the extragradient methods all end at a fixed point of the
same map; any step gives the same derivative of the solution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


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
