"""The reduced Hessian, that on the null space of the Jacobian: its least eigenvalue."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg as sl
import scipy.sparse as sp
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh, splu

from ._inner import SMALL, STATIC, dense

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, Matrix


def least_curvature(H: Any, G: Matrix, n: int) -> tuple[float, Array]:
    """The least eigenvalue of the Hessian on the null space of G, and its direction.

    By Lanczos's method for large sparse matrices: then the value is an upper bound.
    """
    if n > SMALL and sp.issparse(H) and sp.issparse(G):
        return _least_by_lanczos(H, G, n)
    Z = sl.null_space(dense(G, n)) if G.shape[0] else np.eye(n)
    if Z.shape[1] == 0:
        return math.inf, np.zeros(n)
    values, vectors = sl.eigh(Z.T @ dense(H, n) @ Z, subset_by_index=[0, 0])
    return float(values[0]), np.asarray(Z @ vectors[:, 0])


def _least_by_lanczos(H: Any, G: Any, n: int) -> tuple[float, Array]:
    nearest, nothing = projection(G, n), np.zeros(G.shape[0])

    def inside(v: Array) -> Array:
        return nearest(v.reshape(-1), nothing)

    def product(v: Array) -> Array:
        return inside(H @ inside(v))

    operator = LinearOperator((n, n), matvec=product, dtype=np.dtype(float))
    start = inside(np.random.default_rng(0).normal(size=n))
    try:
        values, vectors = eigsh(operator, k=1, which="SA", v0=start, tol=1e-3, maxiter=300)
    except ArpackNoConvergence as error:
        values, vectors = error.eigenvalues, error.eigenvectors
    if not len(values):
        return 0.0, np.zeros(n)
    return float(values[0]), np.asarray(vectors[:, 0])


def projection(G: Any, n: int) -> Callable[[Array, Array], Array]:
    """The function that finds the x next to v with G x = c, for a sparse G."""
    m = G.shape[0]
    if m == 0:
        return lambda v, c: v  # noqa: ARG005
    size = float(np.max(np.abs(G.data), initial=0.0)) or 1.0
    K = sp.block_array([[sp.eye_array(n), G.T / size], [G / size, -STATIC * sp.eye_array(m)]])
    lu = splu(sp.csc_matrix(K))
    return lambda v, c: np.asarray(lu.solve(np.concatenate([v, c / size]))[:n])


def least_solution(G: Any, c: Array) -> Array:
    """The shortest solution of G x = c; that of least squares where there is none and G is small or dense."""
    n = G.shape[1]
    if sp.issparse(G) and n > SMALL:
        return projection(G, n)(np.zeros(n), c)
    return np.asarray(np.linalg.lstsq(dense(G, n), c, rcond=None)[0])
