"""The collocation matrices on a uniform mesh of unit steps: their Toeplitz parts and their corners."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import BSpline
from scipy.sparse import csr_array

from ._cornered import Cornered
from ._settings import keep_time
from .bspline import cardinal, clamped, riesz_constant
from .symbol import mass_generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from numsolve._core.limits import Limits

    Array = NDArray[np.float64]

#: Spans up to which a matrix is kept for the next call: some 100 kB.
MOST_KEPT = 2048
#: Spans, for each degree, in which either corner of the matrix of values has room.
MASS_SPANS = 6


def assembled(
    n: int, p: int, alpha: float, weights: tuple[float, float], definition: str, limits: Limits | None = None
) -> Cornered:
    """The matrix for unit steps; small ones that were asked for last are kept. It must not be written to."""
    if n > MOST_KEPT:
        return assemble(n, p, alpha, weights, definition, limits)
    keep_time(limits)
    return _kept(n, p, alpha, weights, definition)


@lru_cache(maxsize=16)
def _kept(n: int, p: int, alpha: float, weights: tuple[float, float], definition: str) -> Cornered:
    return assemble(n, p, alpha, weights, definition)


def assemble(
    n: int, p: int, alpha: float, weights: tuple[float, float], definition: str, limits: Limits | None = None
) -> Cornered:
    """Compute the matrix for unit steps; between two functions it looks at the clock."""
    K = n + p - 2
    xi = greville_points(clamped_knots(np.arange(n + 1.0), p), p)
    caputo = definition == "caputo"
    left_weight, right_weight = (2 * riesz_constant(alpha) * w for w in weights)

    # T_ij is the derivative of a cardinal spline at the distance i - j from its centre.
    function, centre = cardinal(p), (p + 1) / 2
    ahead = function.derivative(centre + np.arange(float(K)), alpha)
    behind = np.zeros(K)
    behind[:p] = function.derivative(centre - np.arange(float(min(p, K))), alpha)
    column = left_weight * ahead + right_weight * behind
    row = left_weight * behind + right_weight * ahead

    def corners(w: float, other: float, column: Array, row: Array) -> tuple[Array, Array]:
        """Outer columns and rows at the left and top; w weighs the derivative from this end."""
        left = np.empty((p - 1, K))
        for j, outer in enumerate(clamped(p)):
            keep_time(limits)
            end = float(j + 2)
            left[j] = w * outer.derivative(xi, alpha, caputo=caputo)
            near = xi < end
            left[j, near] += other * outer.mirrored.derivative(end - xi[near], alpha)
            left[j, j:] -= column[: K - j]
            left[j, :j] -= row[j:0:-1]
        shift = np.arange(float(n - p))  # where the supports of the functions between begin
        top = np.empty((p - 2, n - p))
        for i in range(p - 2):
            keep_time(limits)
            top[i] = other * function.derivative(p + 1 + shift - xi[i], alpha)
            near = shift < xi[i]
            top[i, near] += w * function.derivative(xi[i] - shift[near], alpha)
            top[i] -= row[p - 1 - i : K - (p - 1) - i]
        return left, top

    left, top = corners(left_weight, right_weight, column, row)
    if weights[0] == weights[1]:
        return Cornered(np, column, column, left, top, left, top)
    right, bottom = corners(right_weight, left_weight, row, column)
    return Cornered(np, column, row, left, top, right, bottom)


def assemble_mass(n: int, p: int) -> Cornered:
    """Split the matrix of values in the same way; the corners are those of a few spans."""
    K = n + p - 2
    values = mass_generator(p)
    column = np.zeros(K)
    column[: len(values)] = values
    if n > MASS_SPANS * p:
        few = _few_mass(p)
        left, top = np.zeros((p - 1, K)), np.zeros((p - 2, n - p))
        left[:, : few.left.shape[1]], top[:, : few.top.shape[1]] = few.left, few.top
        return Cornered(np, column, column, left, top, left, top)
    M = mass_matrix(n, p)
    left = M[:, : p - 1].toarray().T.copy()
    for j in range(p - 1):
        left[j, j:] -= column[: K - j]
        left[j, :j] -= column[j:0:-1]
    top = M[: p - 2, p - 1 : K - p + 1].toarray()
    for i in range(p - 2):
        top[i] -= column[p - 1 - i : K - (p - 1) - i]
    return Cornered(np, column, column, left, top, left, top)


@lru_cache(maxsize=16)
def _few_mass(p: int) -> Cornered:
    """The same on a few spans."""
    return assemble_mass(MASS_SPANS * p, p)


def mass_matrix(n: int, p: int) -> csr_array:
    """Values of the inner B-splines at the inner Greville points; the same on every interval."""
    few = MASS_SPANS * p
    if n <= few:
        return spline_values(clamped_knots(np.arange(n + 1.0), p), p)
    # The rows between those of the corners are all alike.
    small, more = _few_values(p), n - few
    middle = small.shape[0] // 2
    begin, end = small.indptr[middle : middle + 2]
    row, columns = small.data[begin:end], small.indices[begin:end]
    shifts = np.arange(1, more + 1, dtype=small.indices.dtype)
    indices = np.concatenate(
        [small.indices[:end], np.add.outer(shifts, columns).ravel(), small.indices[end:] + more]
    )
    data = np.concatenate([small.data[:end], np.tile(row, more), small.data[end:]])
    counts = np.diff(small.indptr)
    counts = np.concatenate([counts[: middle + 1], np.full(more, end - begin), counts[middle + 1 :]])
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(indices.dtype)
    size = small.shape[0] + more
    return csr_array((data, indices, indptr), shape=(size, size))


@lru_cache(maxsize=16)
def _few_values(p: int) -> csr_array:
    """The matrix of values on a few spans."""
    return spline_values(clamped_knots(np.arange(MASS_SPANS * p + 1.0), p), p)


def spline_values(knots: Array, p: int) -> csr_array:
    """Values of the inner B-splines with these knots at the inner Greville points."""
    full = BSpline.design_matrix(greville_points(knots, p), knots, p)
    return csr_array(full)[:, 1:-1]


def clamped_knots(breaks: Array, p: int) -> Array:
    """The breaks with each end p times more."""
    return np.concatenate([np.full(p, breaks[0]), breaks, np.full(p, breaks[-1])])


def greville_points(knots: Array, p: int) -> Array:
    """Means of p successive knots, for the inner B-splines."""
    windows = np.lib.stride_tricks.sliding_window_view(knots[2:-2], p)
    return np.asarray(windows.mean(axis=1))
