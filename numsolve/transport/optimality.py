"""What transport plans satisfy, for derivatives of any order by `numsolve.implicit`.

First derivatives need less: `TransportResult.gradient` has those of the value, and `TransportResult.vjp`
those of entropic and of quadratic plans. The conditions serve where a solver is made a JAX function
(`numsolve.implicit.differentiable`), for Hessians, and for plans with a limit on their nonzeros.

Plans with zeros are smooth functions of the data as long as the same entries vanish. Their conditions are
those on the present active set: they hold at the solution, and determine its derivatives where it has any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numsolve._core import arrays
from numsolve._core.conditions import closed

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Namespace

    from .sparse.result import SparseTransportResult


__all__ = ["Active", "active_set", "fixed", "quadratic", "sinkhorn", "sparsity_constrained"]


def __dir__() -> list[str]:
    return sorted(__all__)


def _sinkhorn_matrix(x: tuple[Array, Array], _a: Array, _b: Array, M: Array, reg: float) -> Array:
    """The derivative of `sinkhorn` in the potentials: of the sums of P, which is exp of the potentials."""
    P, n = np.exp((_sums(np, *x) - M) / reg), M.shape[0]
    out = np.zeros((sum(M.shape) - 1,) * 2)
    out[:n, n:], out[n:, :n] = P[:, :-1], P[:, :-1].T
    np.fill_diagonal(out, np.concatenate([P.sum(axis=1), P.sum(axis=0)[:-1]]))
    return out / reg


def _sinkhorn_vjp(
    u: tuple[Array, Array], x: tuple[Array, Array], _a: Array, _b: Array, M: Array, reg: float
) -> tuple[Array, Array, Array, Array]:
    """The transposed derivative of `sinkhorn` in the weights, the cost and the regularisation."""
    exponent = (_sums(np, *x) - M) / reg
    P = np.exp(exponent)
    by_M = -P * _sums(np, *u) / reg
    by_reg = np.asarray(np.sum(by_M * np.where(P > 0, exponent, 0.0)))  # P = 0 where the cost is infinite
    return -u[0], -np.append(u[1], 0.0), by_M, by_reg


@closed(_sinkhorn_matrix, _sinkhorn_vjp)
def sinkhorn(
    potentials: tuple[Array, Array], a: Array, b: Array, M: Array, reg: float
) -> tuple[Array, Array]:
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
    xp = arrays.array_namespace(f=potentials[0])
    P = xp.exp((_sums(xp, *potentials) - M) / reg)
    return xp.sum(P, axis=1) - a, (xp.sum(P, axis=0) - b)[:-1]


def quadratic(
    potentials: tuple[Array, Array], a: Array, b: Array, M: Array, reg: float, active: Array
) -> tuple[Array, Array]:
    """The errors of the marginals, zero for the potentials of `numsolve.transport.quadratic`.

    The derivative in the potentials is symmetric, and positive definite where the active entries connect all
    rows and columns; elsewhere the potentials are not determined.

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
    active : array of bool of shape (n, m)
        Where the plan is positive.

    Returns
    -------
    tuple of array
        ``T 1 - a`` (n,) and ``T' 1 - b`` without its last entry (m - 1,), for the T that is
        ``(f + g - M) / reg`` where active.
    """
    xp = arrays.array_namespace(f=potentials[0])
    T = _on(xp, active, (_sums(xp, *potentials) - M) / reg)
    return xp.sum(T, axis=1) - a, (xp.sum(T, axis=0) - b)[:-1]


class Active(NamedTuple):
    """Which entries of a plan with a limit are positive, and which of them share what is left of the limit.

    Attributes
    ----------
    whole : array of bool of shape (n, m)
        Entries that use a full place: T = (f + g - M) / reg.
    rows, columns : array of int
        The others, tied ones: f + g - M has one value for those of a column.
    places : array of shape (m,)
        The places that the tied entries of a column share; 1 where there are none.
    """

    whole: Array
    rows: Array
    columns: Array
    places: Array


def active_set(result: SparseTransportResult) -> Active:
    """Find out which entries of a plan are positive, and which are tied.

    Parameters
    ----------
    result : SparseTransportResult
        Of `numsolve.transport.quadratic`, or of `numsolve.transport.sparsity_constrained` along axis 0, not
        rounded.

    Returns
    -------
    Active
        For `sparsity_constrained`.

    Raises
    ------
    ValueError
        If there is no plan, or if its limit is on the rows.
    """
    T = result.plan
    if T is None:
        raise ValueError("the result has no plan: solve with return_plan=True")
    limit = T.shape[0] if result.max_nz is None else result.max_nz
    if result.axis == 1:
        raise ValueError("the limit is on the rows: solve and differentiate with a and b exchanged and M.T")
    whole, places = T > 0, np.ones(T.shape[1])
    for j in np.flatnonzero(whole.sum(axis=0) > limit):
        order = np.argsort(-T[:, j])[: int(whole[:, j].sum())]
        t, first = T[order, j], 0
        while t[first] * (limit - first) > t[first:].sum() * (1 + 1e-9):
            first += 1
        whole[order[first:], j], places[j] = False, limit - first
    rows, columns = np.nonzero((T > 0) & ~whole)
    return Active(whole, rows, columns, places)


def sparsity_constrained(
    x: tuple[Array, Array, Array], a: Array, b: Array, M: Array, reg: float, active: Active
) -> tuple[Array, Array, Array]:
    """The errors of the marginals and of the ties, zero for `numsolve.transport.sparsity_constrained`.

    The derivative in x is symmetric, not definite. It is singular where the potentials or the tied entries
    are not determined.

    Parameters
    ----------
    x : tuple
        ``(f, g, t)``: the potentials, of shapes (n,) and (m - 1,), as `fixed` makes them, and the tied
        entries of the plan, ``plan[active.rows, active.columns]``.
    a, b : array of shape (n,) and (m,)
        Weights.
    M : array of shape (n, m)
        Cost.
    reg : float
        Regularisation.
    active : Active
        As `active_set` finds it.

    Returns
    -------
    tuple of array
        ``T 1 - a`` (n,), ``T' 1 - b`` without its last entry (m - 1,), and ``f + g - M - reg theta`` of the
        tied entries, where theta is their sum in a column over the places that they share.

    Examples
    --------
    The plan's answer to a change of the cost, without JAX:

    >>> import numpy as np
    >>> from numsolve import implicit, transport
    >>> from numsolve.transport import optimality
    >>> rng = np.random.default_rng(0)
    >>> M, dM, a, b = rng.random((6, 4)), rng.random((6, 4)), np.full(6, 1 / 6), np.full(4, 0.25)
    >>> result = transport.sparsity_constrained(a, b, M, reg=2.0, max_nz=2)
    >>> active = optimality.active_set(result)
    >>> x = (*optimality.fixed(result.potentials), result.plan[active.rows, active.columns])
    >>> f, g, t = implicit.root_jvp(
    ...     lambda x, M: optimality.sparsity_constrained(x, a, b, M, 2.0, active), x, (M,), (dM,)
    ... )
    >>> up = transport.sparsity_constrained(a, b, M + 1e-5 * dM, reg=2.0, max_nz=2).plan
    >>> bool(np.allclose((up - result.plan)[active.rows, active.columns] / 1e-5, t, atol=1e-3))
    True
    """
    f, g, t = x
    xp = arrays.array_namespace(f=f)
    v = _sums(xp, f, g) - M
    T = _on(xp, active.whole, v / reg)
    of_row = xp.asarray(active.rows[:, None] == np.arange(a.shape[0]), dtype=T.dtype)
    of_column = xp.asarray(active.columns[:, None] == np.arange(b.shape[0]), dtype=T.dtype)
    sums = t @ of_column
    theta = sums / xp.asarray(active.places, dtype=T.dtype)
    ties = xp.sum(of_column * (of_row @ v - reg * theta), axis=1)
    return xp.sum(T, axis=1) + t @ of_row - a, (xp.sum(T, axis=0) + sums - b)[:-1], ties


def _sums(xp: Namespace, f: Array, g: Array) -> Array:
    """The sums f_i + g_j, where the last entry of g is zero and left out."""
    out: Array = f[:, None] + xp.concat([g, xp.zeros((1,), dtype=g.dtype)])[None, :]
    return out


def _on(xp: Namespace, where: Array, x: Array) -> Array:
    out: Array = xp.where(xp.asarray(where), x, xp.zeros_like(x))
    return out


def fixed(potentials: tuple[Array, Array]) -> tuple[Array, Array]:
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
