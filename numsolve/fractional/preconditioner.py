r"""Preconditioners: a matrix that fast transforms invert, plus the exact corners by Woodbury's formula.

The Toeplitz part T of the collocation matrix is replaced by a tau matrix ``S diag(f(theta_j)) S`` (D. Bini,
F. Di Benedetto, SPAA 1990), or by Strang's circulant matrix, both of which keep its spectrum but for a few
eigenvalues. The corrections of the outer rows and columns have eigenvalues that grow with the degree and must
not be left out: they are ``U V'`` of rank ``4 p - 6``, hence

    (P + U V')^-1 = P^-1 - P^-1 U (I + V' P^-1 U)^-1 V' P^-1.                 (1)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from numsolve._core import checks
from numsolve._core.arrays import array_namespace, device, to_host

from ._assembly import assemble_mass
from ._cornered import Cornered, move, transforms_for
from ._settings import keep_time
from .symbol import mass_samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.limits import Limits

    from ._cornered import SplineMatrix

#: Nodes of the interpolation between constant coefficients.
COEFFICIENTS = 4


def tau_inverse(
    A: SplineMatrix, mass: float = 0.0, like: Any = None, limits: Limits | None = None
) -> WoodburyInverse:
    """Approximate the inverse of ``A + mass M`` by a tau matrix and the exact corners."""
    eigenvalues = A.symbol_samples()[1]
    if mass:
        eigenvalues = eigenvalues + mass * mass_samples(A.shape[0], A.p)
    structure = shifted(A, mass, like)
    return WoodburyInverse(
        transforms_for(structure.xp).TauInverse(move(structure.xp, eigenvalues, like)), structure, limits
    )


def circulant_inverse(
    A: SplineMatrix, mass: float = 0.0, like: Any = None, limits: Limits | None = None
) -> WoodburyInverse:
    """Approximate the inverse of ``A + mass M`` by Strang's circulant matrix and the exact corners."""
    K = A.shape[0]
    structure = shifted(A, mass)
    first = structure.column.copy()  # the nearest of the diagonals that meet in each entry
    first[K // 2 + 1 :] = structure.row[K - K // 2 - 1 : 0 : -1]
    eigenvalues = np.fft.rfft(first)
    if abs(eigenvalues[0]) <= 1e-3 * abs(eigenvalues[1]):
        eigenvalues[0] = abs(eigenvalues[1])
    structure = shifted(A, mass, like)
    inverse = transforms_for(structure.xp).CirculantInverse(move(structure.xp, eigenvalues, like), K)
    return WoodburyInverse(inverse, structure, limits)


def interpolated_inverse(A: SplineMatrix, ratio: Any) -> Callable[[Any], Any]:
    """Approximate the inverse of ``M + diag(ratio) A`` for a varying ratio.

    It interpolates, row by row, between tau approximations for constant ratios d_k at Chebyshev points:
    ``sum_k diag(l_k(ratio)) S diag(h + d_k f)^-1 S``.
    """
    low, high = float(ratio.min()), float(ratio.max())
    k = np.arange(COEFFICIENTS)
    nodes = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (2 * k + 1) / (2 * COEFFICIENTS))
    f, h = A.symbol_samples()[1], mass_samples(A.shape[0], A.p)
    TauInverse = transforms_for(np).TauInverse
    inverses = [TauInverse(h + d * f) for d in nodes]
    weights = [np.prod([(ratio - nodes[j]) / (nodes[i] - nodes[j]) for j in k if j != i], axis=0) for i in k]
    return lambda x: sum(w * inverse(x) for w, inverse in zip(weights, inverses, strict=True))


class WoodburyInverse:
    """Products with ``(P + U V')^-1``, where ``U V'`` are the corners of a `Cornered` matrix.

    U holds the outer columns and unit vectors at the outer rows; V unit vectors at the outer columns and the
    outer rows. Those of the far end are kept as seen from there; they are the same where the matrix is
    centrosymmetric.
    """

    def __init__(
        self, inverse: Callable[[Any], Any], structure: Cornered, limits: Limits | None = None
    ) -> None:
        self.inverse, self.structure = inverse, structure
        xp, s = structure.xp, structure
        symmetric = s.right is s.left and s.row is s.column
        self.near = self._solve(s.left, inverse, limits)
        self.far = (
            self.near if symmetric else self._solve(s.right, lambda u: xp.flip(inverse(xp.flip(u))), limits)
        )
        count = range(self.near.shape[0])
        columns = [self._contract(self.near[i, :]) for i in count]
        columns += [self._contract(xp.flip(self.far[i, :])) for i in count]
        capacity = np.stack([to_host(column) for column in columns], axis=1)
        self.capacity = move(xp, np.linalg.inv(np.eye(len(columns)) + capacity), s.left)

    def __call__(self, x: Any) -> Any:
        """The product with x: (1), from the right to the left."""
        y = self.inverse(x)
        c = self.capacity @ self._contract(y)
        half = self.near.shape[0]
        y -= c[:half] @ self.near
        y[::-1] -= c[half:] @ self.far
        return y

    def _solve(self, columns: Any, inverse: Callable[[Any], Any], limits: Limits | None) -> Any:
        """``P^-1 U`` for one end, a row of the array for each column of U."""
        count, K = columns.shape
        out = self.structure.xp.zeros(
            (count + self.structure.top.shape[0], K), dtype=columns.dtype, device=device(columns)
        )
        out[:count, :] = columns
        for i in range(out.shape[0]):
            keep_time(limits)
            if i >= count:
                out[i, i - count] = 1.0
            out[i, :] = inverse(out[i, :])
        return out

    def _contract(self, y: Any) -> Any:
        """``V' y``."""
        s, xp = self.structure, self.structure.xp
        c, K, z = s.left.shape[0], y.shape[0], xp.flip(y)
        return xp.concat([y[:c], s.top @ y[c : K - c], z[:c], s.bottom @ z[c : K - c]])


def shifted(A: SplineMatrix, mass: float, like: Any = None) -> Cornered:
    """``A + mass M`` as Toeplitz part and corners, in the library of `like`."""
    structure = A.structure
    if mass:
        structure = structure.plus(assemble_mass(A.n, A.p).scaled(mass))
    return structure if like is None else structure.on(array_namespace(like=like), like)


class SplineInverse(LinearOperator):  # type: ignore[misc]
    """An approximation of the inverse of a collocation matrix, as a linear operator."""

    def __init__(self, shape: tuple[int, int], inverse: Callable[[Any], Any]) -> None:
        super().__init__(dtype=np.dtype(np.float64), shape=shape)
        self.inverse = inverse

    def _matvec(self, x: Any) -> Any:
        return linear(self.inverse, x)


def linear(product: Callable[[Any], Any], x: Any) -> Any:
    """The product of a real matrix with real or complex vectors (of any float, along the last axis)."""
    checks.refuse_masked("x", x)
    x = np.asarray(x)
    if x.ndim == 2 and x.shape[1] == 1:
        x = x[:, 0]
    if x.dtype.kind == "c":
        real, imaginary = (np.ascontiguousarray(part, dtype=np.float64) for part in (x.real, x.imag))
        return product(real) + 1j * product(imaginary)
    return product(np.ascontiguousarray(checks.array("x", x, dtype=np.float64, check_finite=False)))
