"""Test problems of optimal transport, for users, tests and benchmarks.

Costs are scaled to a largest entry of one, so that a regularisation is a fraction of the cost's range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import checks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from numsolve._core.typing import ArrayLike, RandomState

    Floats = NDArray[np.float64]


__all__ = ["clouds", "densities_1d", "grid_cost", "image_pair", "random_assignment"]


def __dir__() -> list[str]:
    return sorted(__all__)


def random_assignment(n: int = 500, *, rng: RandomState = None) -> tuple[Floats, Floats, Floats]:
    """Make an assignment problem with independent costs, uniform on [0, 1].

    Parameters
    ----------
    n : int
        Number of rows and of columns.
    rng : None, int or Generator
        Source of the costs. ``rng=0`` with n = 500 is the first problem of the benchmarks.

    Returns
    -------
    M : ndarray of shape (n, n)
        The cost.
    a, b : ndarray of shape (n,)
        Uniform weights, of sum one.

    Examples
    --------
    >>> from numsolve.transport.problems import random_assignment
    >>> M, a, b = random_assignment(4, rng=0)
    >>> M.shape, float(a.sum())
    ((4, 4), 1.0)
    """
    n = checks.integer("n", n, low=1)
    weights = np.full(n, 1.0 / n)
    return checks.generator(rng).random((n, n)), weights, weights.copy()


def grid_cost(shape: Sequence[int], p: float = 2) -> Floats:
    """Make the cost between the points of a regular grid: the sum over the axes of ``|x_i - y_i| ** p``.

    It is the squared Euclidean distance for p = 2 and the city-block distance for p = 1.

    Parameters
    ----------
    shape : sequence of int
        Points along each axis, as the shape of an image.
    p : float
        The exponent, positive.

    Returns
    -------
    M : ndarray of shape (n, n), n the number of points
        In C order of the grid, with a largest entry of one.

    Examples
    --------
    >>> from numsolve.transport.problems import grid_cost
    >>> grid_cost((1, 3), p=2)
    array([[0.  , 0.25, 1.  ],
           [0.25, 0.  , 0.25],
           [1.  , 0.25, 0.  ]])
    """
    sizes = [checks.integer("shape", k, low=1) for k in shape]
    p = checks.real("p", p, low=0.0, open_low=True)
    points = np.indices(sizes).reshape(len(sizes), -1)
    cost = np.zeros((points.shape[1], points.shape[1]))
    for axis in points:
        cost += np.abs(axis[:, None] - axis[None, :]).astype(float) ** p
    scaled: Floats = cost / max(cost.max(), 1e-300)
    return scaled


def densities_1d(n: int = 500, p: float = 2) -> tuple[Floats, Floats, Floats]:
    """Make two densities on [0, 5], an exponential and a mixture of two Gaussians, with ``|t - t'| ** p``.

    Parameters
    ----------
    n : int
        Number of points, at least 2.
    p : float
        The exponent, positive: 2 has a unique exact plan, 1 has many.

    Returns
    -------
    M : ndarray of shape (n, n)
        The cost, with a largest entry of one.
    a, b : ndarray of shape (n,)
        Weights of sum one: ``exp(-t)``, and 0.2 N(1, 0.2) + 0.8 N(3, 0.5).

    Examples
    --------
    >>> from numsolve.transport.problems import densities_1d
    >>> M, a, b = densities_1d(100, p=1)
    >>> round(float(a @ M @ b), 4)
    0.3699
    """
    n = checks.integer("n", n, low=2)
    p = checks.real("p", p, low=0.0, open_low=True)
    t = np.linspace(0.0, 5.0, n)
    a = np.exp(-t)
    b = 0.2 * _normal(t, 1.0, 0.2) + 0.8 * _normal(t, 3.0, 0.5)
    cost = np.abs(t[:, None] - t[None, :]) ** p
    return cost / cost.max(), a / a.sum(), b / b.sum()


def clouds(n: int = 1000, d: int = 2, *, rng: RandomState = None) -> tuple[Floats, Floats]:
    """Draw two clouds of points in the unit cube: a uniform one, and a mixture of five Gaussians.

    Parameters
    ----------
    n : int
        Points in each cloud.
    d : int
        Dimension.
    rng : None, int or Generator
        Source of the points.

    Returns
    -------
    X_a, X_b : ndarray of shape (n, d)

    Examples
    --------
    >>> from numsolve.transport.problems import clouds
    >>> X_a, X_b = clouds(10, 3, rng=1)
    >>> X_a.shape, X_b.shape
    ((10, 3), (10, 3))
    """
    n, d = checks.integer("n", n, low=1), checks.integer("d", d, low=1)
    generator = checks.generator(rng)
    centres = generator.uniform(0.2, 0.8, (5, d))
    X_b = centres[generator.integers(5, size=n)] + 0.05 * generator.standard_normal((n, d))
    return generator.random((n, d)), X_b


def image_pair(
    a: ArrayLike, b: ArrayLike, p: float = 2, floor: float = 0.01
) -> tuple[Floats, Floats, Floats]:
    """Make the problem of moving the ink of one grey image to another.

    Parameters
    ----------
    a, b : array_like of one shape
        Grey values, nonnegative.
    p : float
        Exponent of the cost, as in `grid_cost`.
    floor : float
        Share of the mass that is spread uniformly, so that no weight is zero; 0 is allowed.

    Returns
    -------
    M : ndarray of shape (n, n), n the number of pixels
        The cost, with a largest entry of one.
    a, b : ndarray of shape (n,)
        Weights of sum one.

    Examples
    --------
    >>> from numsolve.transport.problems import image_pair
    >>> M, a, b = image_pair([[0, 1], [0, 1]], [[2, 0], [0, 2]], p=1)
    >>> a
    array([0.0025, 0.4975, 0.0025, 0.4975])
    """
    floor = checks.real("floor", floor, low=0.0, high=1.0)
    first = checks.array("a", a, dtype=np.float64, low=0.0, empty=False)
    second = checks.array("b", b, dtype=np.float64, low=0.0, shape=first.shape)
    weights = []
    for name, image in (("a", first), ("b", second)):
        ink = checks.masses(name, image.ravel())
        weights.append((1 - floor) * ink / ink.sum() + floor / ink.size)
    return grid_cost(first.shape, p), weights[0], weights[1]


def _normal(t: Floats, mean: float, deviation: float) -> Floats:
    return np.exp(-0.5 * ((t - mean) / deviation) ** 2) / deviation
