"""Matrices that the tests of this column share."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from numsolve import linear


def random_spd(n, rng, density=0.1):
    """A sparse symmetric positive definite matrix without structure."""
    R = sp.random_array((n, n), density=density, rng=rng, format="csr")
    A = R + R.T
    return sp.csr_array(A + sp.diags_array(np.asarray(abs(A).sum(axis=1)).ravel() * 0.6 + 0.5))


def delaunay(n, rng=0):
    """The graph Laplacian of a triangulation of random points, plus a little."""
    from scipy.spatial import Delaunay

    points = np.random.default_rng(rng).random((n, 2))
    t = Delaunay(points).simplices
    i, j = t[:, [0, 1, 2]].ravel(), t[:, [1, 2, 0]].ravel()
    G = sp.csr_array(sp.coo_array((np.ones(i.size), (i, j)), shape=(n, n)))
    G = ((G + G.T) > 0).astype(float)
    return sp.csr_array(sp.diags_array(G.sum(axis=1) + 0.1) - G)


def nonsymmetric(n, rng):
    """Diagonally dominant, with a pattern that is not symmetric."""
    A = sp.random_array((n, n), density=0.1, rng=rng, format="csr") - 0.3 * sp.eye_array(n)
    return sp.csr_array(A + sp.diags_array(np.asarray(abs(A).sum(axis=1)).ravel() + 0.5))


def l_shape(s):
    """Five-point Laplacian on an L of a grid of s points a side, boundary included, numbered by columns."""
    line = np.concatenate([[-1.0], np.arange(-(s - 3), s - 2, 2) / (s - 1), [1.0]])
    x, y = np.meshgrid(line, -line)
    inside = (x > -1) & (x < 1) & (y > -1) & (y < 1) & ((x > 0) | (y > 0))
    number = np.full(inside.shape, -1)
    number.T[inside.T] = np.arange(inside.sum())
    n = int(inside.sum())
    A = 4.0 * sp.eye_array(n, format="lil")
    for i, j in zip(*np.nonzero(inside), strict=True):
        for u, v in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
            if inside[u, v]:
                A[number[i, j], number[u, v]] = -1.0
    return sp.csr_array(A)


MATRICES = {
    "grid": lambda: linear.problems.laplacian(13),
    "shifted grid": lambda: linear.problems.laplacian(9, shift=0.4),
    "3d": lambda: linear.problems.laplacian(5, dim=3),
    "line": lambda: linear.problems.laplacian(40, dim=1),
    "random": lambda: random_spd(80, np.random.default_rng(1)),
    "mesh": lambda: delaunay(150),
    "diagonal": lambda: sp.csr_array(sp.diags_array(np.arange(1.0, 8.0))),
    "one": lambda: sp.csr_array([[2.0]]),
}


@pytest.fixture(params=MATRICES.values(), ids=MATRICES.keys())
def spd(request):
    """Symmetric positive definite matrices of all kinds."""
    return request.param()


@pytest.fixture(scope="session")
def make():
    """Makers of matrices: ``make.delaunay(n)``, ..."""
    return SimpleNamespace(
        delaunay=delaunay, nonsymmetric=nonsymmetric, l_shape=l_shape, random_spd=random_spd
    )
