"""Linear finite elements on triangles, for the test problems."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.spatial import Delaunay


class Mesh:
    """Linear finite elements on a Delaunay triangulation of the unit square, zero on its boundary."""

    def __init__(self, n_points: int, rng: np.random.Generator) -> None:
        side = np.linspace(0, 1, max(2, round(n_points**0.5)), endpoint=False)
        zero, one = np.zeros_like(side), np.ones_like(side)
        edge = np.stack([[*side, *one, *(1 - side), *zero], [*zero, *side, *one, *(1 - side)]], axis=1)
        self.points = 0.02 + 0.96 * rng.random((n_points, 2))
        points = np.concatenate([self.points, edge])
        self.triangles = Delaunay(points).simplices
        corners = points[self.triangles]
        self.middles = corners.mean(axis=1)
        ones = np.ones((*corners.shape[:2], 1))
        # The inverse of [1 x y] of the corners: its lower rows are the gradients of the hat functions.
        matrices = np.concatenate([ones, corners], axis=2)
        self.areas = np.abs(np.linalg.det(matrices)) / 2
        solid = self.areas > 1e-12
        self.triangles, self.areas, self.middles = (
            v[solid] for v in (self.triangles, self.areas, self.middles)
        )
        self.hats = np.linalg.inv(matrices[solid])[:, 1:, :]
        self.n = n_points
        mass = np.bincount(self.triangles.ravel(), np.repeat(self.areas / 3, 3), points.shape[0])
        self.mass = mass[:n_points]
        rows = np.repeat(self.triangles, 3, axis=1).ravel()
        columns = np.tile(self.triangles, 3).ravel()
        self.inside = (rows < n_points) & (columns < n_points)
        self.places = rows[self.inside], columns[self.inside]

    def stiffness(self, tensors: Any, diagonal: Any) -> Any:
        """The matrix of ``int grad v . C grad u``, with C of shape (m, 2, 2), plus a diagonal."""
        own = self.areas[:, None, None] * (self.hats.transpose(0, 2, 1) @ tensors @ self.hats)
        A = sp.coo_array((own.ravel()[self.inside], self.places), shape=(self.n, self.n))
        A = sp.csr_array(A + sp.diags_array(diagonal))
        A.sort_indices()
        return narrow(A)

    def gradient(self, u: Any) -> Any:
        """The gradient of u in each triangle, of shape (m, 2)."""
        full = np.concatenate([u, np.zeros(self.triangles.max() + 1 - self.n)])
        return np.einsum("tcj,tj->tc", self.hats, full[self.triangles])

    def divergence(self, fluxes: Any) -> Any:
        """``int flux . grad v`` for all hat functions v."""
        own = self.areas[:, None] * np.einsum("tcj,tc->tj", self.hats, fluxes)
        return np.bincount(self.triangles.ravel(), own.ravel(), minlength=self.n)[: self.n]

    def energy(self, u: Any, p: float) -> float:
        """``int (0.01 + |grad u|^2)^(p/2) / p``."""
        square = 0.01 + (self.gradient(u) ** 2).sum(axis=1)
        return float(self.areas @ square ** (p / 2)) / p


def narrow(A: Any) -> Any:
    """Indices in 32 bits where they fit."""
    if A.indices.dtype == np.int64 and max(A.nnz, *A.shape) < 2**31:
        A = sp.csr_array((A.data, A.indices.astype(np.int32), A.indptr.astype(np.int32)), shape=A.shape)
    A.has_canonical_format = True
    return A
