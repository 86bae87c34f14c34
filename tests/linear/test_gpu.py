"""The same calls with CuPy arrays: on a device, against NumPy."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from numsolve import linear
from numsolve.linear.problems import laplacian

pytestmark = pytest.mark.gpu
cupy = pytest.importorskip("cupy")


@pytest.fixture
def pair():
    """A matrix and a vector, on the host and on the device."""
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        pytest.skip("no CUDA device")
    from cupyx.scipy.sparse import csr_matrix

    A, b = laplacian(30), np.ones(900)
    return (
        A,
        b,
        csr_matrix((cupy.asarray(A.data), cupy.asarray(A.indices), cupy.asarray(A.indptr))),
        cupy.asarray(b),
    )


@pytest.mark.parametrize("order", ["forward", "backward"])
def test_ssor(pair, order):
    A, b, G, g = pair
    want = linear.SSOR(A, 1.6, order=order) @ b
    np.testing.assert_allclose(cupy.asnumpy(linear.SSOR(G, 1.6, order=order) @ g), want, rtol=1e-12)


def test_conjugate_gradients(pair):
    A, b, G, g = pair
    assert linear.cg(G, g, rtol=1e-8).nit == linear.cg(A, b, rtol=1e-8).nit
    got = linear.ssor_cg(G, g, omega=1.6, rtol=1e-8)
    assert isinstance(got.x, cupy.ndarray)
    assert abs(got.nit - linear.ssor_cg(A, b, omega=1.6, rtol=1e-8).nit) <= 1


def test_ssor_as_the_preconditioner_of_cupy(pair):
    from cupyx.scipy.sparse.linalg import cg

    _, _, G, g = pair
    rtol = "rtol" if "rtol" in inspect.signature(cg).parameters else "tol"  # CuPy 14 renamed it
    assert cg(G, g, M=linear.SSOR(G, 1.6), **{rtol: 1e-8})[1] == 0
