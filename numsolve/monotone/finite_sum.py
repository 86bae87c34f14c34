"""Operators that are means of many: ``F(u) = (1/n) sum_i F_i(u)``. The mean, never the sum, everywhere."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks

from ._compiled import by_rows
from ._norms import spectral_norm
from ._tuples import Affine, Game
from .prox import project_simplex

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, ArrayLike, Matrix


class FiniteSum:
    """The mean of n operators, given by functions.

    Parameters
    ----------
    n : int
        How many there are.
    full : callable
        ``full(u)``, the mean of all ``F_i(u)``.
    batch : callable
        ``batch(u, index)``, the mean of the ``F_i(u)`` of an integer array of indices.
    L : float, optional
        The constant on average, ``mean_i |F_i(u) - F_i(v)|^2 <= L^2 |u - v|^2``.

    See Also
    --------
    AffineFiniteSum : Least squares and its like, compiled.
    BilinearGame : Matrix games, compiled.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import monotone
    >>> points = np.array([[0.0, 1.0], [2.0, 0.0], [4.0, 5.0]])
    >>> mean = monotone.FiniteSum(
    ...     3, lambda u: u - points.mean(axis=0), lambda u, index: u - points[index].mean(axis=0), L=1.0
    ... )
    >>> monotone.vr_halpern(mean, np.zeros(2), rng=0).x.round(5)
    array([2., 2.])
    """

    def __init__(
        self,
        n: int,
        full: Callable[[Any], Any],
        batch: Callable[[Any, Any], Any],
        L: float | None = None,
    ) -> None:
        self.n = checks.integer("n", n, low=1)
        self.full = checks.function("full", full)
        self.batch = checks.function("batch", batch)
        self.L = None if L is None else checks.real("L", L, low=0.0, open_low=True)

    def constant(self, sampling: str) -> float:  # noqa: ARG002
        """The constant on average.

        Parameters
        ----------
        sampling : {"uniform", "importance"}
            How components are drawn.

        Returns
        -------
        float
        """
        if self.L is None:
            raise ValueError("L must be given for a finite sum of functions: its constant on average")
        return self.L


class AffineFiniteSum:
    """The mean of ``F_i(u) = z_i (z_i'u - b_i)``: the gradient of least squares, with compiled components.

    Parameters
    ----------
    Z : array or sparse matrix of shape (n, d)
        The rows z_i. A sparse matrix stays sparse: a component costs its nonzeros, and an iteration of
        `vr_halpern` a few passes over vectors of length d.
    b : array of shape (n,)
        The right-hand sides.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import monotone
    >>> rng = np.random.default_rng(0)
    >>> Z, solution = rng.normal(size=(500, 4)), np.arange(4.0)
    >>> result = monotone.vr_halpern(monotone.AffineFiniteSum(Z, Z @ solution), np.zeros(4), rng=0)
    >>> bool(abs(result.x - solution).max() < 1e-5)
    True
    """

    def __init__(self, Z: Matrix, b: ArrayLike) -> None:
        self.Z = (
            _sparse("Z", Z)
            if arrays.is_sparse(Z)
            else np.ascontiguousarray(checks.array("Z", Z, dtype=np.float64, ndim=2, empty=False))
        )
        self.n, self.size = self.Z.shape
        self.b = checks.array("b", b, dtype=np.float64, shape=(self.n,))
        with np.errstate(over="ignore"):
            self._squares = (
                np.asarray((self.Z * self.Z).sum(axis=1)).ravel()
                if arrays.is_sparse(self.Z)
                else np.einsum("ij,ij->i", self.Z, self.Z)
            )
        if not np.isfinite(self._squares).all():
            raise ValueError("Z is so large that the squares of its rows overflow, and with them F; scale it")

    def full(self, u: Array) -> Array:
        """The mean of all components.

        Parameters
        ----------
        u : array of shape (d,)
            Where.

        Returns
        -------
        array of shape (d,)
        """
        out: Array = self.Z.T @ (self.Z @ u - self.b) / self.n
        return out

    def batch(self, u: Array, index: Array) -> Array:
        """The mean of some components.

        Parameters
        ----------
        u : array of shape (d,)
            Where.
        index : array of int
            Which.

        Returns
        -------
        array of shape (d,)
        """
        Z = self.Z[index]
        out: Array = Z.T @ (Z @ u - self.b[index]) / len(index)
        return out

    def constant(self, sampling: str) -> float:
        """The constant on average: the root of ``|mean_i w_i z_i z_i'|`` with ``w_i = |z_i|^2`` or its mean.

        Parameters
        ----------
        sampling : {"uniform", "importance"}
            How components are drawn.

        Returns
        -------
        float
        """
        w = self._squares if sampling == "uniform" else np.full(self.n, self._squares.mean())
        root = np.sqrt(w / self.n)
        Z = _times_rows(root, self.Z) if arrays.is_sparse(self.Z) else self.Z * root[:, None]
        if self.size <= 512:
            gram = Z.T @ Z
            return float(np.sqrt(np.linalg.norm(gram.toarray() if arrays.is_sparse(gram) else gram, 2)))
        start: Array = np.random.default_rng(0).standard_normal((self.size,))
        return spectral_norm(np, lambda v: Z @ v, lambda v: Z.T @ v, start)

    def _compiled(self, sampling: str) -> Affine:
        """What the kernels see of it."""
        return Affine(by_rows(self.Z), *_odds(self._squares, sampling), np.zeros(self.n, dtype=np.int64))


class BilinearGame:
    """The operator ``F(x, y) = (A'y, -A x)`` of a matrix game on simplices, with compiled components.

    A component is a row i and a column j, drawn independently: ``(m A_i' y_i, -n A_j x_j)`` for A of shape
    (m, n). A call of one reads m + n entries, so the full operator counts as ``2 m n / (m + n)`` of them.
    The unknown is x, of n entries, followed by y, of m; G is the normal cone of the two simplices.

    Parameters
    ----------
    A : array of shape (m, n)
        The payoffs, from the player of x to that of y.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import monotone
    >>> game = monotone.BilinearGame(np.array([[3.0, 0.0], [1.0, 2.0]]))
    >>> result = monotone.vr_halpern(game, game.start(), assumption="lipschitz", tol=1e-3, rng=0)
    >>> result.x.round(2)
    array([0.5 , 0.5 , 0.25, 0.75])
    """

    def __init__(self, A: ArrayLike) -> None:
        self.A = np.ascontiguousarray(checks.array("A", A, dtype=np.float64, ndim=2, empty=False))
        self.At = np.ascontiguousarray(self.A.T)
        m, n = self.A.shape
        self.size = n + m
        self.n = max(1, round(2 * m * n / (m + n)))
        # Squares of payoffs in units of the largest, a power of two, neither over- nor underflow.
        largest = float(np.abs(self.A).max())
        self._unit = math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest else 1.0
        parts = self.A / self._unit
        self._rows = np.einsum("ij,ij->i", parts, parts)
        self._columns = np.einsum("ij,ij->j", parts, parts)

    def start(self) -> Array:
        """Uniform strategies.

        Returns
        -------
        array of shape (n + m,)
        """
        m, n = self.A.shape
        return np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])

    def full(self, u: Array) -> Array:
        """The operator.

        Parameters
        ----------
        u : array of shape (n + m,)
            Both strategies.

        Returns
        -------
        array of shape (n + m,)
        """
        n = self.A.shape[1]
        return np.concatenate([u[n:] @ self.A, -(self.A @ u[:n])])

    def prox(self, v: Array, gamma: float) -> Array:  # noqa: ARG002
        """Project on the two simplices.

        Parameters
        ----------
        v : array of shape (n + m,)
            Both vectors.
        gamma : float
            The parameter of the resolvent, which makes no difference.

        Returns
        -------
        array of shape (n + m,)
        """
        n = self.A.shape[1]
        return np.concatenate([project_simplex(v[:n]), project_simplex(v[n:])])

    def constant(self, sampling: str) -> float:
        """The constant on average: the norm of A by entries, if the components are drawn by importance.

        Parameters
        ----------
        sampling : {"uniform", "importance"}
            How components are drawn.

        Returns
        -------
        float
        """
        if sampling == "importance":
            return arrays.norm(np, self.A)
        m, n = self.A.shape
        return self._unit * math.sqrt(max(m * self._rows.max(), n * self._columns.max()))

    def _compiled(self, sampling: str) -> Game:
        """What the kernels see of it."""
        rows, columns = _odds(self._rows, sampling), _odds(self._columns, sampling)
        marks = (np.zeros(size, dtype=np.int64) for size in self.A.shape)
        return Game(self.A, self.At, *rows, *columns, *marks)


def _sparse(name: str, A: Any) -> Any:
    """A sparse matrix in canonical compressed rows, as an array of SciPy."""
    from scipy.sparse import csr_array

    out = csr_array(checks.csr(name, A), dtype=np.float64)
    if 0 in out.shape:
        raise ValueError(f"{name} is empty (shape {tuple(out.shape)})")
    return out


def _times_rows(factors: Array, A: Any) -> Any:
    from scipy.sparse import diags_array

    return (diags_array(factors) @ A).tocsr()


def _odds(squares: Array, sampling: str) -> tuple[Array, Array]:
    """Cumulative odds proportional to the squares, and the weights 1 / (n q_i); empty for equal odds."""
    total = squares.sum()
    if sampling == "uniform" or total == 0.0:
        return np.empty(0), np.empty(0)
    cumulative = np.cumsum(squares) / total
    cumulative[-1] = 1.0
    with np.errstate(divide="ignore"):
        return cumulative, total / (len(squares) * squares)
