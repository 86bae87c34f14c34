"""Lagrange polynomials, quadrature rules and integration matrices of one element, on [-1, 1]."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numsolve._core.typing import Array


@lru_cache(maxsize=64)
def lobatto_nodes(order: int) -> Array:
    """Return the order + 1 Gauss-Lobatto points: the ends, and the extrema of the Legendre polynomial."""
    from scipy.special import roots_jacobi

    inner = roots_jacobi(order - 1, 1.0, 1.0)[0] if order > 1 else np.empty(0)
    return np.concatenate(([-1.0], inner, [1.0]))


def lobatto_weights(order: int) -> Array:
    """Weights of the Gauss-Lobatto rule, ``2 / (p (p + 1) P_p(x)**2)``."""
    from scipy.special import eval_legendre

    return np.asarray(2.0 / (order * (order + 1) * eval_legendre(order, lobatto_nodes(order)) ** 2))


@lru_cache(maxsize=256)
def gauss_rule(points: int, exponent: float = 0.0) -> tuple[Array, Array]:
    """Points and weights for the integral of ``f(x) (1 + x)**exponent``, by the Golub-Welsch method.

    The points are eigenvalues of the Jacobi matrix of the three-term recurrence with alpha = 0 and
    beta = exponent; the weights are squared first components of its eigenvectors.
    """
    from scipy.linalg import eigh_tridiagonal
    from scipy.special import roots_legendre

    if exponent == 0.0:
        return tuple(roots_legendre(points))
    k = np.arange(points, dtype=float)
    s = 2 * k + exponent
    with np.errstate(invalid="ignore", divide="ignore"):
        diagonal = exponent**2 / (s * (s + 2))
        k = k[1:]
        s = s[1:]
        beside = 2 * k * (k + exponent) / (s * np.sqrt(s**2 - 1))
    diagonal[0] = exponent / (exponent + 2)
    x, vectors = eigh_tridiagonal(diagonal, beside)
    return x, 2.0 ** (exponent + 1) / (exponent + 1) * vectors[0] ** 2


def barycentric_weights(nodes: Array) -> Array:
    """Weights of the barycentric formula, up to a common factor."""
    differences = nodes[:, None] - nodes
    np.fill_diagonal(differences, 1.0)
    logs = -np.log(np.abs(differences)).sum(axis=1)
    return np.asarray(np.prod(np.sign(differences), axis=1) * np.exp(logs - logs.max()))


def lagrange(nodes: Array, x: Array) -> Array:
    """Values of the Lagrange polynomials of `nodes` at x: shape x.shape + nodes.shape."""
    x = np.asarray(x, dtype=float)
    weights = barycentric_weights(nodes)
    difference = x[..., None] - nodes
    hit = difference == 0.0
    terms = weights / np.where(hit, 1.0, difference)
    values = terms / terms.sum(axis=-1, keepdims=True)
    return np.asarray(np.where(hit.any(axis=-1, keepdims=True), hit.astype(float), values))


def differentiation(nodes: Array) -> Array:
    """Matrix that takes values at the nodes to derivatives there; its rows sum to zero exactly."""
    weights = barycentric_weights(nodes)
    difference = nodes[:, None] - nodes
    np.fill_diagonal(difference, 1.0)
    D = weights / weights[:, None] / difference
    np.fill_diagonal(D, 0.0)
    np.fill_diagonal(D, -D.sum(axis=1))
    return np.asarray(D)


@lru_cache(maxsize=256)
def cumulative(points: int, exponent: float = 0.0) -> Array:
    """Matrix C with ``int_{-1}^{x_q} f = sum_i C_qi f(x_i)`` on the points of a Gauss rule.

    It is exact where ``f / (1 + x)**exponent`` is a polynomial of degree points - 1; then the integral is
    ``((1 + x_q) / 2)**(exponent + 1) sum_k w_k g(y_k)`` with that polynomial g at y_k = (1 + x_q)(1 + x_k)/2
    - 1.
    """
    x, w = gauss_rule(points, exponent)
    inner = (1 + x[:, None]) * (1 + x) / 2 - 1
    C = np.einsum("k,qki->qi", w, lagrange(x, inner))
    whole = ((1 + x[:, None]) / 2) ** (exponent + 1) * C
    return np.asarray(whole / (1 + x) ** exponent)
