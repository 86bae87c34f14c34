r"""Preconditioners: a matrix that fast transforms invert, plus the exact corners by Woodbury's formula.

The Toeplitz part T of the collocation matrix is replaced by a tau matrix ``S diag(f(theta_j)) S`` (D. Bini,
F. Di Benedetto, SPAA 1990), or by Strang's circulant matrix, both of which keep its spectrum but for a few
eigenvalues. The corrections of the outer rows and columns have eigenvalues that grow with the degree and must
not be left out: they are ``U V'`` of rank ``4 p - 6``, hence

    (P + U V')^-1 = P^-1 - P^-1 U (I + V' P^-1 U)^-1 V' P^-1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core.arrays import array_namespace, to_host

from ._assembly import assemble_mass
from ._cornered import Cornered, move, transforms_for
from .symbol import mass_samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from .operator import RieszSplineOperator

#: Nodes of the interpolation between constant coefficients.
COEFFICIENTS = 4


def tau_inverse(A: RieszSplineOperator, mass: float = 0.0, like: Any = None) -> WoodburyInverse:
    """Approximate the inverse of ``A + mass M`` by a tau matrix and the exact corners."""
    eigenvalues = A.symbol_samples()[1]
    if mass:
        eigenvalues = eigenvalues + mass * mass_samples(A.shape[0], A.p)
    structure = shifted(A, mass, like)
    return WoodburyInverse(
        transforms_for(structure.xp).TauInverse(move(structure.xp, eigenvalues, like)), structure
    )


def circulant_inverse(A: RieszSplineOperator, mass: float = 0.0, like: Any = None) -> WoodburyInverse:
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
    return WoodburyInverse(inverse, structure)


def interpolated_inverse(A: RieszSplineOperator, ratio: Any) -> Callable[[Any], Any]:
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
    outer rows. A reflection exchanges the two ends, so that half of ``P^-1 U`` is enough where the matrix is
    centrosymmetric.
    """

    def __init__(self, inverse: Callable[[Any], Any], structure: Cornered) -> None:
        self.inverse, self.structure = inverse, structure
        xp = structure.xp
        self.near = self._solve(structure.left, structure.top.shape[0], reverse=False)
        symmetric = structure.right is structure.left and structure.row is structure.column
        self.far = (
            self.near if symmetric else self._solve(structure.right, structure.top.shape[0], reverse=True)
        )
        blocks = [self._contract(w) for w in self.near]
        blocks += [self._contract(xp.flip(w)) for w in self.far]
        capacity = np.stack([to_host(b) for b in blocks], axis=1)
        self.capacity = move(xp, np.linalg.inv(np.eye(len(blocks)) + capacity), structure.left)

    def __call__(self, x: Any) -> Any:
        """The product with x."""
        y = self.inverse(x)
        c = self.capacity @ self._contract(y)
        half = self.near.shape[0]
        y -= c[:half] @ self.near
        y[::-1] -= c[half:] @ self.far
        return y

    def _solve(self, columns: Any, rows: int, *, reverse: bool) -> Any:
        """``P^-1 U`` for one end, a row of the array for each column of U; reversed for the far end."""
        xp, K = self.structure.xp, columns.shape[1]
        out = xp.empty((columns.shape[0] + rows, K), dtype=columns.dtype)
        out[: columns.shape[0], :] = columns
        out[columns.shape[0] :, :] = 0.0
        for i in range(rows):
            out[columns.shape[0] + i, i] = 1.0
        for i in range(out.shape[0]):
            u = out[i, :]
            out[i, :] = xp.flip(self.inverse(xp.flip(u))) if reverse else self.inverse(u)
        return out

    def _contract(self, y: Any) -> Any:
        """``V' y``."""
        s, xp = self.structure, self.structure.xp
        c, K = s.left.shape[0], y.shape[0]
        z = xp.flip(y)
        parts = [y[:c]]
        if s.top.shape[0]:
            parts.append(s.top @ y[c : K - c])
        parts.append(z[:c])
        if s.top.shape[0]:
            parts.append(s.bottom @ z[c : K - c])
        return xp.concat(parts)


def shifted(A: RieszSplineOperator, mass: float, like: Any = None) -> Cornered:
    """``A + mass M`` as Toeplitz part and corners, in the library of `like`."""
    structure = A.structure
    if mass:
        structure = structure.plus(assemble_mass(A.n, A.p).scaled(mass))
    return structure if like is None else structure.on(array_namespace(like=like), like)
