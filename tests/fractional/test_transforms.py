"""Fast products against dense matrices, in SciPy's transforms and in plain array code."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import circulant, toeplitz

from numsolve.fractional import _generic, _transforms

LENGTHS = (1, 2, 5, 8, 127, 128, 131, 255, 511, 1000, 1023)
MODULES = pytest.mark.parametrize("module", [_transforms, _generic], ids=["scipy", "generic"])


def sines(K):
    j = np.arange(1, K + 1)
    return np.sqrt(2 / (K + 1)) * np.sin(np.pi * np.outer(j, j) / (K + 1))


@MODULES
@pytest.mark.parametrize("K", LENGTHS)
def test_toeplitz_products(K, module):
    rng = np.random.default_rng(K)
    c, r, x = rng.normal(size=(3, K))
    r[0] = c[0]
    product = module.ToeplitzProduct(c, r)
    np.testing.assert_allclose(product(x), toeplitz(c, r) @ x, atol=1e-12 * K**0.5)
    np.testing.assert_allclose(product.transposed(x), toeplitz(c, r).T @ x, atol=1e-12 * K**0.5)
    np.testing.assert_allclose(module.ToeplitzProduct(c, c)(x), toeplitz(c) @ x, atol=1e-12 * K**0.5)


@MODULES
@pytest.mark.parametrize("K", LENGTHS)
def test_tau_inverses(K, module):
    rng = np.random.default_rng(K)
    eigenvalues, x = 0.5 + rng.random(K), rng.normal(size=K)
    S = sines(K)
    exact = S @ ((S @ x) / eigenvalues)
    np.testing.assert_allclose(module.TauInverse(eigenvalues)(x), exact, atol=1e-13 * K)


@MODULES
@pytest.mark.parametrize("K", [5, 8, 101])
def test_circulant_inverses(K, module):
    rng = np.random.default_rng(K)
    first, x = rng.normal(size=K) + 3 * np.eye(K)[0] * K, rng.normal(size=K)
    product = module.CirculantInverse(np.fft.rfft(first), K)
    np.testing.assert_allclose(product(x), np.linalg.solve(circulant(first), x), atol=1e-13)


def test_several_vectors_at_once():
    rng = np.random.default_rng(0)
    X, c = rng.normal(size=(3, 2, 300)), rng.normal(size=300)
    for product in (_transforms.ToeplitzProduct(c, c), _transforms.TauInverse(1 + abs(c))):
        single = np.array([[product(x) for x in row] for row in X])
        np.testing.assert_allclose(product(X), single, atol=1e-13 * abs(single).max())


def test_two_threads_give_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    x, c = rng.normal(size=(2, 4095))
    one = _transforms.ToeplitzProduct(c, c)(x), _transforms.TauInverse(1 + abs(c))(x)
    monkeypatch.setattr(_transforms, "TWO_THREADS", 1)
    monkeypatch.setattr(_transforms, "_cores", lambda: 2)
    two = _transforms.ToeplitzProduct(c, c)(x), _transforms.TauInverse(1 + abs(c))(x)
    np.testing.assert_array_equal(one, two)


def test_an_error_in_the_second_thread_is_raised(monkeypatch):
    monkeypatch.setattr(_transforms, "_cores", lambda: 2)

    def fails():
        raise RuntimeError("the second task")

    with pytest.raises(RuntimeError, match="the second task"):
        _transforms.both(lambda: 1, fails, 10**6)
