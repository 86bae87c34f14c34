"""Meshes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from numsolve.atomic import RadialMesh


def test_the_exponential_mesh_has_its_ratio():
    mesh = RadialMesh.exponential(0.5, 20.0, 300.0, 7)
    lengths = np.diff(mesh.edges)
    assert lengths[-1] / lengths[0] == pytest.approx(300)
    np.testing.assert_allclose(lengths[1:] / lengths[:-1], lengths[1] / lengths[0])
    assert (mesh.edges[0], mesh.edges[-1]) == (0.5, 20.0)


def test_uniform_and_single_elements():
    np.testing.assert_allclose(RadialMesh.uniform(6.0, 3).edges, [0, 2, 4, 6])
    np.testing.assert_allclose(RadialMesh.exponential(0, 6.0, 50.0, 1).edges, [0, 6])


def test_equal_meshes_are_one_key():
    a, b = RadialMesh([0, 1, 3], 8), RadialMesh(np.array([0.0, 1.0, 3.0]), 8, 12)
    assert a == b
    assert hash(a) == hash(b)
    assert a != RadialMesh([0, 1, 3], 9)
    assert pickle.loads(pickle.dumps(a)) == a
    assert a.refined().order == 10
    assert a.refined().n_quad == 14


def test_edges_are_a_copy_that_nobody_changes():
    edges = np.array([0.0, 1.0, 2.0])
    mesh = RadialMesh(edges)
    edges[1] = 7.0
    assert mesh.edges[1] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        mesh.edges[1] = 3.0


@pytest.mark.parametrize("relativistic", [False, True])
def test_the_smallest_element_shrinks_like_the_charge(relativistic):
    first = [RadialMesh.atomic(Z, relativistic).edges[1] * Z for Z in (2, 20, 92)]
    assert max(first) < 25 * min(first)
    assert first[-1] < 20
