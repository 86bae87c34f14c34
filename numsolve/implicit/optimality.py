r"""Optimality conditions: what a solution satisfies, as functions that the derivatives can be taken of.

Each function below is F(x, theta), zero at a solution, or makes one, or makes a map T(x, theta) whose fixed
point a solution is (for `numsolve.implicit.custom_fixed_point`). They need not be what the solver iterates:
any of them that the solution satisfies gives the same derivative. (M. Blondel et al., "Efficient and modular
implicit differentiation", NeurIPS 2022, table 1; parameters in the order of jaxopt, those of the constraint
or the regulariser first.) Gradients are JAX's; with ``grad=`` given, NumPy arrays are accepted, too.

Where a constraint switches between active and inactive (a zero multiplier, an entry at the threshold of a
soft-thresholding) the solution has no derivative. What comes out is what the derivatives of F are there: with
JAX those of its rules (half for `maximum` at a tie, zero for `abs` at zero), by central differences the mean
of the one-sided ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import checks
from numsolve._core.conditions import linear_system

from . import _trees
from ._fixed_points import (
    block_proximal_gradient,
    gradient,
    mirror_descent,
    newton,
    projected_gradient,
    proximal_gradient,
)
from ._jax import require_jax
from ._linear_conditions import least_squares, quadratic_program
from ._made import remade

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from numsolve._core.typing import Matrix

    Function = Callable[..., Any]

__all__ = [
    "block_proximal_gradient",
    "conic_residual",
    "conserved",
    "eigenpair",
    "kkt",
    "least_squares",
    "linear_system",
    "make_kkt_optimality_fun",
    "mirror_descent",
    "newton",
    "projected_gradient",
    "proximal_gradient",
    "quadratic_program",
    "stationary",
]


def __dir__() -> list[str]:
    """What is public."""
    return list(__all__)


@remade
def stationary(fun: Function) -> Function:
    """A critical point of an objective: F = grad_x f(x, theta), whose derivative is symmetric.

    Parameters
    ----------
    fun : callable
        ``f(x, *theta)``, a number.

    Returns
    -------
    callable
        ``F(x, *theta)``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from numsolve.implicit import optimality
    >>> F = optimality.stationary(lambda x, theta: jnp.sum((x - theta) ** 2) / 2)
    >>> print(F(jnp.array([1.0, 2.0]), 1.5))
    [-0.5  0.5]
    """
    return gradient(fun)


@remade
def kkt(fun: Function, eq: Function | None = None, ineq: Function | None = None) -> Function:
    r"""The conditions of Karush, Kuhn and Tucker, with one set of parameters for all functions.

    For min f(x, theta) subject to h(x, theta) = 0 and g(x, theta) <= 0 they read, at (x, nu, lam),

        grad f + (dh/dx)' nu + (dg/dx)' lam = 0,    h = 0,    lam * g = 0.

    The signs of lam and g do not enter: they stay as they are where lam and g are not both zero.

    Parameters
    ----------
    fun : callable
        ``f(x, *theta)``.
    eq, ineq : callable, optional
        ``h(x, *theta)`` and ``g(x, *theta)``.

    Returns
    -------
    callable
        ``F((x, nu, lam), *theta)``, a triple; nu and lam are None where there is no such constraint.

    See Also
    --------
    make_kkt_optimality_fun : The same with parameters of their own for each function.

    Examples
    --------
    The point of the line x + y = theta that is nearest to the origin:

    >>> import jax.numpy as jnp
    >>> from numsolve.implicit import optimality, root_jvp
    >>> F = optimality.kkt(lambda x, t: jnp.sum(x**2) / 2, eq=lambda x, t: jnp.sum(x) - t)
    >>> solution = (jnp.array([1.0, 1.0]), jnp.array(-1.0), None)
    >>> dx, dnu, _ = root_jvp(F, solution, (2.0,), (1.0,))
    >>> print(dx, dnu)
    [0.5 0.5] -0.5
    """
    shared = make_kkt_optimality_fun(
        lambda x, theta: fun(x, *theta),
        None if eq is None else lambda x, theta: eq(x, *theta),
        None if ineq is None else lambda x, theta: ineq(x, *theta),
    )
    return lambda x, *theta: shared(x, theta, theta, theta)


@remade
def make_kkt_optimality_fun(
    obj: Function, eq: Function | None = None, ineq: Function | None = None
) -> Function:
    """The conditions of Karush, Kuhn and Tucker, as jaxopt has them: parameters apart for each function.

    Parameters
    ----------
    obj : callable
        ``f(x, params_obj)``.
    eq, ineq : callable, optional
        ``h(x, params_eq) = 0`` and ``g(x, params_ineq) <= 0``.

    Returns
    -------
    callable
        ``F((x, nu, lam), params_obj, params_eq, params_ineq)``, a triple; nu or lam None leaves a part out.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from numsolve.implicit import make_kkt_optimality_fun
    >>> F = make_kkt_optimality_fun(lambda x, c: c @ x + x @ x / 2, lambda x, b: x.sum() - b)
    >>> x, nu, _ = F((jnp.array([0.0, 1.0]), jnp.array(0.0), None), jnp.array([0.0, -1.0]), 1.0)
    >>> print(x, nu)
    [0. 0.] 0.0
    """
    grad = gradient(checks.function("obj", obj))
    checks.function("eq", eq, optional=True)
    checks.function("ineq", ineq, optional=True)

    def conditions(x: Any, params_obj: Any, params_eq: Any = None, params_ineq: Any = None) -> Any:
        jax = require_jax()
        primal, nu, lam = x
        forces, feasible, complementary = grad(primal, params_obj), None, None
        if nu is not None:
            feasible, pull = jax.vjp(lambda z: checks.function("eq", eq)(z, params_eq), primal)
            forces = _add(forces, pull(nu)[0])
        if lam is not None:
            slack, pull = jax.vjp(lambda z: checks.function("ineq", ineq)(z, params_ineq), primal)
            forces = _add(forces, pull(lam)[0])
            complementary = jax.tree.map(lambda a, b: a * b, slack, lam)
        return forces, feasible, complementary

    return conditions


@remade
def conic_residual(projection: Function) -> Function:
    r"""The optimality of a cone program, as a root of the homogeneous embedding.

    For min c'x subject to A x + s = b, s in a cone K, with dual variables y in the dual cone K*: v = y - s
    holds both, as y is its projection on K* and s = y - v. The conditions are

        A' Pi(v) + c = 0,         v - Pi(v) - A x + b = 0,

    which are the rows of ((M - I) Pi + I) z with z = (x, v, 1) for the skew matrix M of the embedding,
    without its last one, which follows from the others. (E. Busseti, W. Moursi, S. Boyd, "Solution refinement
    at regular points of conic problems", Comput. Optim. Appl. 74, 2019.)

    Parameters
    ----------
    projection : callable
        The projection Pi on the dual cone K*: ``max(v, 0)`` for inequalities, the identity for equations.

    Returns
    -------
    callable
        ``F((x, v), A, b, c)``.

    Examples
    --------
    The linear program min -x subject to x <= 3 has x = 3 and y = 1:

    >>> import numpy as np
    >>> from numsolve.implicit import optimality, root_jvp
    >>> F = optimality.conic_residual(lambda v: np.where(v.real > 0, v, 0))
    >>> z, data = (np.array([3.0]), np.array([1.0])), (np.array([[1.0]]), np.array([3.0]), np.array([-1.0]))
    >>> dx, dv = root_jvp(F, z, data, (np.zeros((1, 1)), np.array([1.0]), np.zeros(1)))
    >>> print(dx)
    [1.]
    """

    def F(z: Any, A: Any, b: Any, c: Any) -> tuple[Any, Any]:  # noqa: N802
        x, v = z
        y = projection(v)
        return A.T @ y + c, v - y - A @ x + b

    return F


@remade
def conserved(fun: Function, weights: Matrix, *, rows: Sequence[int] | None = None) -> Function:
    """The equations of a steady state with given totals: W x - totals in place of equations that follow.

    Where W F(x, theta) = 0 for every x (atoms, charges, probability), dF/dx is singular, and the state is
    determined only together with the totals W x. With them the derivative is that of the state itself, in the
    totals, too.

    Parameters
    ----------
    fun : callable
        ``F(x, *theta)`` for a vector x of n unknowns.
    weights : array of shape (k, n)
        W, one row for each conserved total, linearly independent.
    rows : sequence of int, optional
        The k equations to replace; by default those of the unknowns in which the totals are best
        conditioned, which is right wherever W F = 0.

    Returns
    -------
    callable
        ``G(x, totals, *theta)``.

    Raises
    ------
    ValueError
        If the weights are linearly dependent, `rows` are not k different equations, or x has not as many
        entries as a row of the weights. Also if W F is not zero beside x: some row of W is not conserved.

    Examples
    --------
    A reaction A <-> B at rates 2 and 1, and what one more unit of matter does to the equilibrium:

    >>> import numpy as np
    >>> from numsolve.implicit import optimality, root_jvp
    >>> def rates(x, forth):
    ...     flow = forth * x[0] - x[1]
    ...     return np.stack([-flow, flow])
    >>> G = optimality.conserved(rates, [[1.0, 1.0]])
    >>> x = np.array([1.0, 2.0])
    >>> print(root_jvp(G, x, (np.array([3.0]), 2.0), (np.array([1.0]), 0.0)).round(4))
    [0.3333 0.6667]
    """
    W = np.asarray(checks.array("weights", weights, xp=np, ndim=2), dtype=float)
    (k, n), chosen = W.shape, _independent(W) if rows is None else list(rows)
    if len(chosen) != k or len({*chosen}) != k or not all(0 <= row < n for row in chosen):
        raise ValueError(f"rows must be {k} different equations of {n}, got {chosen}")
    put = np.zeros((n, k))
    put[chosen, range(k)] = 1.0
    kept = 1.0 - put.sum(axis=1)

    def G(x: Any, totals: Any, *theta: Any) -> Any:  # noqa: N802
        if np.shape(x) != (n,):
            raise ValueError(f"x must have shape {(n,)}, as a row of the weights, got {np.shape(x)}")
        _refuse_what_is_not_conserved(fun, W, x, theta)
        return kept * fun(x, *theta) + put @ (W @ x - totals)

    return G


def _refuse_what_is_not_conserved(fun: Function, W: NDArray[np.float64], x: Any, theta: Any) -> None:
    """Look at W F a thousandth beside a solution, unless the numbers are not known or complex."""
    if _trees.is_traced(x, theta) or np.iscomplexobj(x) or any(map(np.iscomplexobj, _trees.leaves(theta))):
        return
    beside = x * (1 + 1e-3 * np.cos(np.arange(1.0, W.shape[1] + 1)))
    with np.errstate(all="ignore"):
        terms = W * np.asarray(fun(beside, *theta))
    off, size = np.abs(terms.sum(axis=1)), np.abs(terms).sum(axis=1)
    if np.any(off > 1e-6 * size):
        row = int(np.argmax(off > 1e-6 * size))
        raise ValueError(
            f"weights[{row}] must be conserved, W F(x) = 0 for every x; beside this x it is {off[row]:.1e}, "
            f"of terms of {size[row]:.1e}"
        )


def _independent(W: NDArray[np.float64]) -> list[int]:
    """Columns of W that are as independent as any, by a factorisation with pivots."""
    from scipy.linalg import qr

    sizes = np.max(np.abs(W), axis=1, initial=0.0)
    if W.shape[0] > W.shape[1] or not np.all(sizes > 0):
        raise ValueError(f"weights must have independent rows, got shape {W.shape} and sizes {sizes}")
    R, order = qr(W / sizes[:, None], mode="r", pivoting=True)
    pivots = np.abs(np.diagonal(R))
    if not pivots[-1] > W.shape[1] * np.finfo(float).eps * pivots[0]:
        raise ValueError("weights must have independent rows: some total follows from the others")
    return [int(j) for j in order[: W.shape[0]]]


def eigenpair(z: Any, A: Any) -> tuple[Any, Any]:
    """The equations of a simple eigenvalue of a symmetric matrix: ``(A v - lam v, (1 - v'v) / 2)``.

    Their derivative in (v, lam) is symmetric, and singular where the eigenvalue is multiple: then the
    eigenvectors have no derivatives.

    Parameters
    ----------
    z : tuple
        ``(v, lam)``, the eigenvector (n,) and the eigenvalue.
    A : matrix of shape (n, n)
        The symmetric matrix.

    Returns
    -------
    tuple
        Zeros (n,) and zero at an eigenpair with v of length one.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.implicit import optimality, root_jvp
    >>> A = np.diag([1.0, 3.0])
    >>> z = (np.array([1.0, 0.0]), np.array(1.0))
    >>> dv, dlam = root_jvp(optimality.eigenpair, z, (A,), (np.ones((2, 2)),), symmetric=True)
    >>> print(dv, dlam)
    [ 0.  -0.5] 1.0
    """
    v, lam = z
    return A @ v - lam * v, (1 - v @ v) / 2


def _add(x: Any, y: Any) -> Any:
    pairs = zip(_trees.leaves(x), _trees.leaves(y), strict=True)
    return _trees.rebuild(x, [a + b for a, b in pairs])
