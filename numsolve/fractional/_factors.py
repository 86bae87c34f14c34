"""Dense factorisations that are kept, in halves where the matrix allows it.

Equal weights and constant coefficients make a matrix that does not change when both its indices are reversed.
It maps symmetric vectors to symmetric ones and antisymmetric vectors to antisymmetric ones: two matrices of
half the size, whose factorisations take a quarter of the operations, and whose solves take a half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import get_lapack_funcs

from numsolve._core import arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def halves(A: Array) -> tuple[Array, Array]:
    """What a matrix that can be reversed does to symmetric and to antisymmetric vectors.

    A symmetric vector is told by its first half (with the middle), an antisymmetric one by its first half.
    """
    K = A.shape[0]
    m, h = K // 2, K - K // 2
    even = A[:h, :h].copy()
    even[:, :m] += A[:h, ::-1][:, :m]
    return even, A[:m, :m] - A[:m, ::-1][:, :m]


def fold(b: Array) -> tuple[Array, Array]:
    """The symmetric and the antisymmetric part of vectors along the first axis, by their first halves."""
    K = b.shape[0]
    m, h = K // 2, K - K // 2
    half = b / 2
    back = half[::-1]
    return half[:h] + back[:h], half[:m] - back[:m]


def unfold(even: Array, odd: Array) -> Array:
    """The vectors with these parts."""
    m, h = odd.shape[0], even.shape[0]
    out = np.empty((m + h, *even.shape[1:]), dtype=np.result_type(even, odd))
    out[:h] = even
    out[:m] += odd
    out[h:] = (even[:m] - odd)[::-1]
    return out


def norms(v: Array) -> Array:
    """The 2-norm of a vector, or of the columns of a matrix, none of whose squares overflow."""
    size = np.max(np.abs(v), axis=0)
    scale = np.where((size > 0) & np.isfinite(size), size, 1.0)
    return np.asarray(scale * np.linalg.norm(v / scale, axis=0))


class Factors:
    """LU factors of a matrix, with its products.

    Parameters
    ----------
    A : array of shape (K, K)
        The matrix.
    reversible : bool
        Whether it is the same when both indices are reversed, up to rounding errors.
    """

    def __init__(self, A: Array, *, reversible: bool = False) -> None:
        self.parts = halves(A) if reversible else (A,)
        self.norm = arrays.norm(np, A.ravel())
        if not np.all(np.isfinite(A)):
            raise ValueError("the coefficients make a matrix whose entries overflow")
        factorise, self._substitute = get_lapack_funcs(("getrf", "getrs"), (A,))
        self._lu = [factorise(part)[:2] for part in self.parts]

    def solve(self, b: Array) -> Array:
        """``A^-1 b`` for a vector, or for the columns of a matrix."""
        return self._apply([lambda v, lu=lu: self._substitute(*lu, v)[0] for lu in self._lu], b)

    def product(self, x: Array) -> Array:
        """``A x``."""
        return self._apply([lambda v, part=part: part @ v for part in self.parts], x)

    def _apply(self, steps: list, x: Array) -> Array:  # type: ignore[type-arg]
        if len(steps) == 1:
            return np.asarray(steps[0](x))
        even, odd = fold(x)
        return unfold(steps[0](even), steps[1](odd))
