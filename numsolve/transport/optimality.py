"""What an entropic plan satisfies, for derivatives of any order by `numsolve.implicit`.

First derivatives need none of this: `TransportResult.gradient` and `TransportResult.vjp` have them. The
conditions serve where a solver is made a JAX function (`numsolve.implicit.differentiable`), or for Hessians.
"""

from __future__ import annotations

from typing import Any

from numsolve._core import arrays


def sinkhorn(potentials: tuple[Any, Any], a: Any, b: Any, M: Any, reg: Any) -> tuple[Any, Any]:
    """The errors of the marginals, zero for the potentials of `numsolve.transport.solve` and of Sinkhorn's.

    The constant that the potentials may exchange is fixed: the last entry of g is zero, and is left out, as
    is the last error, which follows from the others. The derivative in the potentials is symmetric and
    positive definite.

    Parameters
    ----------
    potentials : tuple
        ``(f, g)`` of shapes (n,) and (m - 1,), as `fixed` makes them.
    a, b : array of shape (n,) and (m,)
        Weights.
    M : array of shape (n, m)
        Cost.
    reg : float
        Regularisation.

    Returns
    -------
    tuple of array
        ``P 1 - a`` (n,) and ``P' 1 - b`` without its last entry (m - 1,).

    Examples
    --------
    How the potentials answer to the cost, without JAX:

    >>> import numpy as np
    >>> from numsolve import implicit, transport
    >>> from numsolve.transport import optimality
    >>> M, a, b = np.array([[0.0, 1.0], [1.0, 0.5]]), np.array([0.5, 0.5]), np.array([0.4, 0.6])
    >>> x = optimality.fixed(transport.solve(M, a, b, reg=0.5, tol=1e-14).potentials)
    >>> dM = np.ones((2, 2))  # a constant more cost is a constant more potential
    >>> moved = implicit.root_jvp(lambda x, M: optimality.sinkhorn(x, a, b, M, 0.5), x, (M,), (dM,))
    >>> print(moved[0].round(6), abs(moved[1]).round(6))
    [1. 1.] [0.]
    """
    f, g = potentials
    xp = arrays.array_namespace(f=f)
    full = xp.concat([g, xp.zeros((1,), dtype=g.dtype)])
    P = xp.exp((f[:, None] + full[None, :] - M) / reg)
    return xp.sum(P, axis=1) - a, (xp.sum(P, axis=0) - b)[:-1]


def fixed(potentials: tuple[Any, Any]) -> tuple[Any, Any]:
    """The same potentials with the last entry of g at zero, and left out.

    Parameters
    ----------
    potentials : tuple
        ``(f, g)`` of shapes (n,) and (m,).

    Returns
    -------
    tuple of array
        Shapes (n,) and (m - 1,).
    """
    f, g = potentials
    return f + g[-1], (g - g[-1])[:-1]
