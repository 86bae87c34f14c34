"""Test problems with parameters to differentiate: users and benchmarks build on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from numsolve._core.typing import Array, Namespace, RandomState


__all__ = ["Diffusion", "classes"]


def __dir__() -> list[str]:
    """What is public."""
    return list(__all__)


@dataclass(frozen=True)
class Diffusion:
    r"""Diffusion in the unit square, ``-div(exp(theta) grad u) = 1``, and u = 0 on the boundary.

    Five-point stencil on n x n inner points; theta is constant on each of the (n + 1)^2 cells between the
    points, and an edge conducts with the mean of its two cells. All is scaled by the square of the mesh size.

    Parameters
    ----------
    n : int
        Inner points in each direction.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.implicit import problems
    >>> problem = problems.Diffusion(8)
    >>> theta = np.zeros((9, 9))
    >>> u, factor = problem.solve(theta)
    >>> bool(abs(problem.equation(u, theta)).max() < 1e-14)
    True
    """

    n: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", checks.integer("n", self.n, low=1))

    def equation(self, u: Any, theta: Any) -> Any:
        """F(u, theta), zero at the solution; real, complex or JAX arrays (n^2,) and (n + 1, n + 1)."""
        xp = arrays.array_namespace(u=u, theta=theta)
        n, kx, ky = self.n, *self._conductances(xp.exp(theta))
        padded = _framed(xp, xp.reshape(u, (n, n)))
        flow_x = kx * (padded[1:-1, 1:] - padded[1:-1, :-1])
        flow_y = ky * (padded[1:, 1:-1] - padded[:-1, 1:-1])
        outflow = flow_x[:, :-1] - flow_x[:, 1:] + flow_y[:-1, :] - flow_y[1:, :]
        return xp.reshape(outflow, (-1,)) - 1 / (n + 1) ** 2

    def matrix(self, theta: Array) -> Any:
        """dF/du, a sparse symmetric positive definite matrix."""
        import scipy.sparse as sp

        n, kx, ky = self.n, *self._conductances(np.exp(theta))
        diagonal = (kx[:, 1:] + kx[:, :-1] + ky[1:, :] + ky[:-1, :]).ravel()
        right = np.concatenate([kx[:, 1:-1], np.zeros((n, 1))], axis=1).ravel()[:-1]
        above = ky[1:-1, :].ravel()
        offsets = [0, 1, -1, n, -n] if n > 1 else [0]
        bands = [diagonal, -right, -right, -above, -above] if n > 1 else [diagonal]
        return sp.diags_array(bands, offsets=offsets).tocsc()

    def solve(self, theta: Array) -> tuple[Array, Any]:
        """The solution u (n^2,) and the factorisation of dF/du that gave it."""
        from scipy.sparse.linalg import splu

        factor = splu(self.matrix(theta), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
        return factor.solve(np.full(self.n**2, 1 / (self.n + 1) ** 2)), factor

    def vjp_theta(self, u: Array, theta: Array, w: Array) -> Array:
        """(dF/dtheta)' w, of shape ((n + 1)^2,): what the four edges of each cell contribute."""
        shape = (self.n, self.n)
        U, W = _framed(np, u.reshape(shape)), _framed(np, w.reshape(shape))
        work_x = np.diff(U, axis=1) * np.diff(W, axis=1)
        work_y = np.diff(U, axis=0) * np.diff(W, axis=0)
        cells = work_x[:-1] + work_x[1:] + work_y[:, :-1] + work_y[:, 1:]
        return np.asarray(np.exp(theta) * cells / 2).ravel()

    @staticmethod
    def _conductances(k: Any) -> tuple[Any, Any]:
        return (k[:-1, :] + k[1:, :]) / 2, (k[:, :-1] + k[:, 1:]) / 2


def classes(
    m: int, p: int, k: int = 5, *, rng: RandomState = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points of k Gaussian classes, for a multi-class support vector machine.

    As in most data with many features, few of them tell the classes apart: the first twenty.

    Parameters
    ----------
    m, p, k : int
        Points, features, classes.
    rng : None, int or Generator
        Randomness.

    Returns
    -------
    X, Y : array of shape (m, p) and (m, k)
        Features of about unit length, and the classes as rows of the identity.

    Examples
    --------
    >>> from numsolve.implicit import problems
    >>> X, Y = problems.classes(100, 20, rng=0)
    >>> X.shape, Y.shape
    ((100, 20), (100, 5))
    """
    m, p, k = (checks.integer(name, v, low=1) for name, v in (("m", m), ("p", p), ("k", k)))
    generator = checks.generator(rng)
    labels = np.arange(m) % k
    X = generator.standard_normal((m, p))
    X[:, :20] += np.random.default_rng(k).standard_normal((k, min(p, 20)))[labels]
    X /= p**0.5
    return X, np.eye(k)[labels]


def _framed(xp: Namespace, grid: Array) -> Array:
    """The grid with a frame of zeros."""
    row = xp.zeros_like(grid[:1, :])
    tall = xp.concat([row, grid, row])
    column = xp.zeros_like(tall[:, :1])
    framed: Array = xp.concat([column, tall, column], axis=1)
    return framed
