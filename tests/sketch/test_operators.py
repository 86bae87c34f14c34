"""Sketches keep the geometry of a subspace, and are the same map in every form."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest
import scipy.sparse as sp

from numsolve import sketch

KINDS = ["sparse-sign", "gaussian", "countsketch", "srht", "rows"]
RNG = np.random.default_rng(0)
A = RNG.normal(size=(1000, 20))


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_of_the_gram_matrix_is_the_identity(kind):
    n, draws = 24, 800
    total = np.zeros((n, n))
    for seed in range(draws):
        S = sketch.make_sketch(kind, 12, n, nnz=4, rng=seed) @ np.eye(n)
        total += S.T @ S
    # Entries of S'S have a variance below 4 for each of these sketches.
    assert np.abs(total / draws - np.eye(n)).max() < 5 * 2 / np.sqrt(draws)


@pytest.mark.parametrize("kind", KINDS)
def test_a_subspace_keeps_its_geometry(kind):
    """Singular values of S Q in [0.7, 1.3] for 99 of 100 seeds."""
    Q = np.linalg.qr(A)[0]
    good = 0
    for seed in range(100):
        s = np.linalg.svd(sketch.make_sketch(kind, 400, 1000, rng=seed) @ Q, compute_uv=False)
        good += 0.7 <= s[-1] <= s[0] <= 1.3
    assert good >= 99


@pytest.mark.parametrize("kind", KINDS)
def test_the_adjoint_is_the_adjoint(kind):
    S = sketch.make_sketch(kind, 300, 1000, rng=1)
    u, v = RNG.normal(size=1000), RNG.normal(size=300)
    assert (S @ u) @ v == pytest.approx(u @ (S.T @ v), rel=1e-12)
    np.testing.assert_allclose(S.T @ np.eye(300), (S @ np.eye(1000)).T, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_every_form_of_a_matrix_gives_the_same(kind):
    S = sketch.make_sketch(kind, 300, 1000, rng=1)
    expected = (S @ np.eye(1000)) @ A
    sparse = sp.random_array((1000, 20), density=0.05, rng=2)
    for X in (A, np.asfortranarray(A), A[:, ::-1][:, ::-1], sp.csr_array(A), sp.csc_array(A)):
        np.testing.assert_allclose(S @ X, expected, atol=1e-12)
    np.testing.assert_allclose(S @ sparse, S @ sparse.toarray(), atol=1e-14)
    np.testing.assert_allclose(np.asarray(S @ array_api_strict.asarray(A)), expected, atol=1e-12)
    vector = np.asarray(S @ array_api_strict.asarray(A[:, 0]))
    np.testing.assert_allclose(vector, expected[:, 0], atol=1e-12)
    single = S @ A.astype(np.float32)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_sketch(kind):
    same, again, other = (sketch.make_sketch(kind, 30, 1000, rng=seed) @ A for seed in (4, 4, 5))
    np.testing.assert_array_equal(same, again)
    assert not np.array_equal(same, other)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9, 100])
def test_the_hadamard_transform_pads_to_a_power_of_two(n):
    from scipy.linalg import hadamard

    p = 1 << (n - 1).bit_length()
    S = sketch.make_sketch("srht", p, n, rng=0)  # all rows: an isometry
    np.testing.assert_allclose(np.linalg.norm(S @ np.eye(n), axis=0), 1.0, rtol=1e-14)
    np.testing.assert_allclose(S @ np.eye(n), hadamard(p)[:, :n] * S.signs[:, 0], atol=1e-14)


def test_a_gaussian_sketch_too_large_to_keep_is_the_same_each_time():
    S = sketch.make_sketch("gaussian", 500, 20_000, rng=0)
    v = RNG.normal(size=20_000)
    np.testing.assert_array_equal(S @ v, S @ v)
    assert S.kept == []


BAD = [
    ({"kind": "fourier"}, ValueError, "kind must be one of"),
    ({"s": 0}, ValueError, "s must be"),
    ({"s": 200, "kind": "rows"}, ValueError, "s must be"),
    ({"s": 2.5}, ValueError, "s must be"),
    ({"n": "a"}, TypeError, "n must be"),
    ({"nnz": 0}, ValueError, "nnz"),
    ({"nnz": 11}, ValueError, "nnz must be at most s"),
    ({"rng": "a"}, TypeError, "rng"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD, ids=str)
def test_bad_input_is_named(change, error, message):
    with pytest.raises(error, match=message):
        sketch.make_sketch(**{"kind": "sparse-sign", "s": 10, "n": 100, **change})


def test_a_matrix_of_the_wrong_size_is_refused():
    S = sketch.make_sketch("srht", 10, 100, rng=0)
    for X in (A, array_api_strict.asarray(A)):
        with pytest.raises(ValueError, match="1000"):
            S @ X
    with pytest.raises(TypeError, match="complex"):
        S @ (1j * A[:100])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", [sp.csr_array, sp.coo_array, sp.csc_matrix])
def test_a_sparse_matrix_of_one_column_is_a_matrix(kind, form):
    S = sketch.make_sketch(kind, 300, 1000, rng=2)
    product = S @ form(A[:, :1])
    np.testing.assert_allclose(product, S @ A[:, :1], atol=1e-14)
    with pytest.raises(ValueError, match="x must have 1000 rows"):
        S @ form(A[:500, :1])
