r"""What a spline solution of a Riesz problem satisfies, for derivatives by `numsolve.implicit`.

The coefficients x of `solve_riesz_bvp` with ``method="spline"`` collocate

    d R_alpha u + r u = f        at the Greville points.

The order alpha is a parameter like the others: on a mesh of unit steps ``cos(pi alpha / 2) R_alpha`` is an
entire function of alpha, which twenty Chebyshev points in [1, 2] interpolate to rounding errors. That
polynomial takes complex steps and JAX's tracers; derivatives of any order follow.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks

from ._assembly import assemble, mass_matrix
from ._cornered import PARTS
from ._settings import DERIVATIVES
from .bspline import check_degree
from .operator import check_interval, check_spans, check_weights

if TYPE_CHECKING:
    from ._settings import Derivative

__all__ = ["collocation"]


def __dir__() -> list[str]:
    """What is public."""
    return list(__all__)


#: Interpolation points for the order; sixteen leave errors of some 1e-14.
NODES = 20


def collocation(
    x: Any,
    alpha: Any,
    values: Any,
    diffusion: Any = 1.0,
    reaction: Any = 0.0,
    *,
    p: int = 5,
    interval: tuple[float, float] = (0.0, 1.0),
    weights: tuple[float, float] = (0.5, 0.5),
    definition: Derivative = "rl",
) -> Any:
    """The residual of the collocation, zero for the coefficients of the solution.

    Parameters
    ----------
    x : array of shape (n + p - 2,)
        The coefficients.
    alpha : float or array of shape (1,)
        The order, ``1 < alpha <= 2``.
    values : array of shape (n + p - 2,)
        The right-hand side f at the collocation points.
    diffusion, reaction : float or array of shape (n + p - 2,)
        The coefficients d and r at the collocation points.
    p : int
        The degree of the splines.
    interval, weights, definition
        Those of `numsolve.fractional.solve_riesz_bvp`.

    Returns
    -------
    array of shape (n + p - 2,)
        ``d R_alpha u + r u - f``, made with the dense matrix: it is meant for some thousand unknowns at most.

    Examples
    --------
    How the solution of ``R_alpha u = 1`` answers to the order:

    >>> import numpy as np
    >>> from numsolve import fractional, implicit
    >>> from numsolve.fractional import optimality
    >>> result = fractional.solve_riesz_bvp(lambda t: np.ones_like(t), 1.5, n=32, p=3, method="spline")
    >>> (change,) = implicit.root_vjp(
    ...     lambda x, alpha: optimality.collocation(x, alpha, np.ones_like(x), p=3),
    ...     result.x, (np.array([1.5]),), np.full(result.x.size, 1 / 32))
    >>> print(change.round(3))  # of the mean of u
    [-0.301]
    """
    xp = arrays.array_namespace(x=x)
    K = x.shape[0]
    p = check_degree(p)
    n = check_spans(K + 2 - p, p)
    a, b = check_interval(interval)
    family = _family(n, p, check_weights(weights), checks.choice("definition", definition, DERIVATIVES))
    alpha = xp.reshape(xp.asarray(alpha), ())
    weight = ((b - a) / n) ** -alpha / xp.cos(math.pi * alpha / 2) * _chebyshev(xp, 2 * alpha - 3)
    diagonals, left, top, right, bottom = (xp.tensordot(weight, xp.asarray(part), axes=1) for part in family)
    at = np.arange(K)
    Ru = diagonals[at[:, None] - at + K - 1] @ x
    Ru = Ru + _corners(xp, x, left, top) + xp.flip(_corners(xp, xp.flip(x), right, bottom))
    u = xp.asarray(mass_matrix(n, p).toarray()) @ x
    return diffusion * Ru + reaction * u - values


def _corners(xp: Any, x: Any, left: Any, top: Any) -> Any:
    """What the outer columns and rows at one end add."""
    c, r = left.shape[0], top.shape[0]
    rows = top @ x[c : x.shape[0] - c]
    return x[:c] @ left + xp.concat([rows, xp.zeros(x.shape[0] - r, dtype=rows.dtype)])


def _chebyshev(xp: Any, t: Any) -> Any:
    """The first Chebyshev polynomials at t."""
    T = [xp.ones_like(t), t]
    while len(T) < NODES:
        T.append(2 * t * T[-1] - T[-2])
    return xp.stack(T)


@lru_cache(maxsize=8)
def _family(n: int, p: int, weights: tuple[float, float], definition: str) -> tuple[Any, ...]:
    """The diagonals and corners of ``cos(pi alpha / 2) R_alpha`` as series of Chebyshev polynomials."""
    angles = math.pi * (np.arange(NODES) + 0.5) / NODES
    orders = 1.5 + 0.5 * np.cos(angles)
    matrices = [
        assemble(n, p, alpha, weights, definition).scaled(math.cos(math.pi * alpha / 2)) for alpha in orders
    ]
    transform = 2 / NODES * np.cos(np.arange(NODES)[:, None] * angles)
    transform[0] /= 2
    parts = [np.stack([getattr(matrix, name) for matrix in matrices]) for name in PARTS]
    column, row, *corners = parts
    diagonals = np.concatenate([row[:, :0:-1], column], axis=1)
    return tuple(np.tensordot(transform, part, 1) for part in (diagonals, *corners))
