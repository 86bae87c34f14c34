"""What a spline solution of a Riesz problem satisfies, for derivatives by `numsolve.implicit`.

The coefficients x of `solve_riesz_bvp` (with ``method="spline"``, and without reaction and diffusion)
collocate ``R_alpha u = f``. The symbol is analytic in the order alpha, but not its evaluation in complex
arithmetic: central differences give the derivative in alpha, with about ten digits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .operator import RieszSplineOperator


def collocation(x: Any, alpha: Any, values: Any, *, p: int = 5, **settings: Any) -> Any:
    """The residual of the collocation, zero for the coefficients of the solution.

    Parameters
    ----------
    x : array of shape (n + p - 2,)
        The coefficients.
    alpha : float or array of shape (1,)
        The order.
    values : array of shape (n + p - 2,)
        The right-hand side f at the collocation points.
    p : int
        The degree of the splines.
    **settings
        Those of `numsolve.fractional.RieszSplineOperator`: the interval, the definition, the weights.

    Returns
    -------
    array
        ``R_alpha x - values``.

    Examples
    --------
    How the solution of ``R_alpha u = 1`` answers to the order:

    >>> import numpy as np
    >>> from numsolve import fractional, implicit
    >>> from numsolve.fractional import optimality
    >>> result = fractional.solve_riesz_bvp(lambda t: np.ones_like(t), 1.5, n=32, p=3, method="spline")
    >>> J = implicit.solution_jacobian(
    ...     lambda x, alpha: optimality.collocation(x, alpha, np.ones_like(x), p=3),
    ...     result.x, np.array([1.5]), method="central")
    >>> change = J @ np.ones(1)
    >>> change.shape == result.x.shape
    True
    """
    n = np.shape(x)[0] + 2 - p
    order = float(np.reshape(alpha, ()))
    return RieszSplineOperator(n, p, order, **settings) @ x - values
