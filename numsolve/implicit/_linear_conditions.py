"""Conditions linear in their data, with the transposed products of their derivatives in closed form.

`numsolve.implicit.root_vjp` takes them without JAX, in place of differences. With u = A'^{-1} c from one
solve, the derivative in a matrix is an outer product, and costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays
from numsolve._core.conditions import closed, outer

if TYPE_CHECKING:
    from numsolve._core.typing import Array


def _least_squares_vjp(u: Array, x: Array, A: Any, b: Array) -> tuple[Any, Array]:
    Au, r = A @ u, A @ x - b
    return outer(A, (r, u), (Au, x)), -Au


@closed(lambda _x, A, _b: A.T @ A, _least_squares_vjp)
def least_squares(x: Any, A: Any, b: Any) -> Any:
    """The normal equations of least squares, A'(A x - b), whose derivative in x is symmetric.

    Parameters
    ----------
    x : array of shape (n,)
        The solution.
    A : matrix of shape (m, n)
        Of full column rank; dense or sparse.
    b : array of shape (m,)
        The data.

    Returns
    -------
    array of shape (n,)
        A'(A x - b).

    Notes
    -----
    The linear system of the derivative has the squared condition number of A.

    Examples
    --------
    The slope of a line through three points, and what each of the points does to it:

    >>> import numpy as np
    >>> from numsolve.implicit import optimality, root_vjp
    >>> A, b = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), np.array([0.0, 1.0, 3.0])
    >>> x = np.linalg.lstsq(A, b)[0]
    >>> _, by_data = root_vjp(optimality.least_squares, x, (A, b), np.array([0.0, 1.0]))
    >>> print(by_data.round(6) + 0)
    [-0.5  0.   0.5]
    """
    return A.T @ (A @ x - b)


def _program_matrix(z: Any, Q: Any, _c: Any, E: Any = None, _d: Any = None, *inequalities: Any) -> Any:
    x, nu, lam = z
    G, h = inequalities or (None, None)
    if any(map(arrays.is_sparse, (Q, E, G))):
        return _sparse_program_matrix(x, nu, lam, Q, E, G, h)
    rows = [[Q]]
    if nu is not None:
        rows[0].append(E.T)
    if lam is not None:
        rows[0].append(G.T)
    if nu is not None:
        rows.append([E, np.zeros((nu.size, nu.size + (0 if lam is None else lam.size)))])
    if lam is not None:
        empty = [] if nu is None else [np.zeros((lam.size, nu.size))]
        rows.append([lam[:, None] * G, *empty, np.diag(G @ x - h)])
    return np.vstack([np.hstack(row) for row in rows])


def _sparse_program_matrix(x: Array, nu: Any, lam: Any, Q: Any, E: Any, G: Any, h: Any) -> Any:
    """The same as a sparse matrix."""
    import scipy.sparse as sp

    blocks = [[sp.csc_array(Q)]]
    if nu is not None:
        blocks[0].append(sp.csc_array(E).T)
        blocks.append([sp.csc_array(E), sp.csc_array((nu.size, nu.size))])
    if lam is not None:
        G = sp.csc_array(G)
        blocks[0].append(G.T)
        between = [] if nu is None else [None]
        blocks = [blocks[0], *([*row, None] for row in blocks[1:])]
        blocks.append([sp.diags_array(lam) @ G, *between, sp.diags_array(G @ x - h)])
    return sp.csc_array(sp.block_array(blocks))


def _program_vjp(
    u: Any, z: Any, Q: Any, _c: Any, E: Any = None, _d: Any = None, *inequalities: Any
) -> tuple[Any, ...]:
    (x, nu, lam), (ux, un, ul) = z, u
    out: list[Any] = [outer(Q, (ux, x)), ux, None, None, None, None]
    if nu is not None:
        out[2:4] = outer(E, (nu, ux), (un, x)), -un
    if lam is not None:
        out[4:6] = outer(inequalities[0], (lam, ux), (ul * lam, x)), -ul * lam
    return tuple(out)


@closed(_program_matrix, _program_vjp)
def quadratic_program(
    z: Any, Q: Any, c: Any, E: Any = None, d: Any = None, G: Any = None, h: Any = None
) -> tuple[Any, Any, Any]:
    """The conditions of a quadratic program, min x'Qx/2 + c'x subject to E x = d and G x <= h.

    As `kkt` has them: Q x + c + E'nu + G'lam, E x - d, and lam * (G x - h), at (x, nu, lam).

    Parameters
    ----------
    z : tuple
        ``(x, nu, lam)``, the solution and the multipliers; nu or lam None where there is no such constraint.
    Q, c : array of shape (n, n) and (n,)
        The objective, Q symmetric.
    E, d : array of shape (k, n) and (k,), optional
        The equations.
    G, h : array of shape (m, n) and (m,), optional
        The inequalities.

    Returns
    -------
    tuple
        The three residuals; None where there is no such constraint.

    Examples
    --------
    The point of the line x + y = 2 that is nearest to the origin, and how x moves with the line:

    >>> import numpy as np
    >>> from numsolve.implicit import optimality, root_vjp
    >>> z, E, d = (np.ones(2), np.array([-1.0]), None), np.ones((1, 2)), np.array([2.0])
    >>> c = (np.array([1.0, 0.0]), np.zeros(1), None)
    >>> *_, by_d = root_vjp(optimality.quadratic_program, z, (np.eye(2), np.zeros(2), E, d), c)
    >>> print(by_d)
    [0.5]
    """
    x, nu, lam = z
    forces, feasible, complementary = Q @ x + c, None, None
    if nu is not None:
        forces, feasible = forces + E.T @ nu, E @ x - d
    if lam is not None:
        forces, complementary = forces + G.T @ lam, lam * (G @ x - h)
    return forces, feasible, complementary
