"""Incomplete factors: exact where nothing is dropped, positive definite whatever the matrix is."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import cg as scipy_cg

from numsolve import Status, linear
from numsolve.linear.problems import laplacian


def dense(M):
    """The matrix of an operator."""
    return np.asarray(M @ np.eye(M.shape[0]))


def jumping(m=20, jump=1e4, rng=0):
    """Conductances on a grid that are 1 or `jump`, in blocks; grounded at one side."""
    k = np.where(np.random.default_rng(rng).random((m // 5, m // 5)) < 0.5, 1.0, jump)
    k = np.kron(k, np.ones((5, 5)))
    number = np.arange(m * m).reshape(m, m)
    pairs = [(number[:-1], number[1:], k[:-1], k[1:]), (number[:, :-1], number[:, 1:], k[:, :-1], k[:, 1:])]
    i, j = (np.concatenate([p[s].ravel() for p in pairs]) for s in (0, 1))
    g = np.concatenate([(2 * p[2] * p[3] / (p[2] + p[3])).ravel() for p in pairs])
    W = sp.coo_array((g, (i, j)), shape=(m * m, m * m))
    W = sp.csr_array(W + W.T)
    ground = np.zeros(m * m)
    ground[:m] = k[0]
    return sp.csr_array(sp.diags_array(np.asarray(W.sum(axis=1)).ravel() + ground) - W)


# -- nothing dropped ------------------------------------------------------------------------------


def test_without_dropping_the_factors_are_those_of_cholesky(spd):
    n = spd.shape[0]
    M = linear.ICT(spd, droptol=0.0, fill=n)
    np.testing.assert_allclose(dense(M), np.linalg.inv(spd.toarray()), rtol=1e-9, atol=1e-12)
    assert M.shift == 0.0
    assert linear.ict_cg(spd, np.ones(n), droptol=0.0, fill=n, rtol=1e-10).nit <= 2


def test_without_dropping_the_factors_are_those_of_gauss(make):
    A = make.nonsymmetric(60, np.random.default_rng(0))
    M = linear.ILU(A, droptol=0.0, fill=60)
    np.testing.assert_allclose(dense(M), np.linalg.inv(A.toarray()), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(dense(M.T), np.linalg.inv(A.toarray()).T, rtol=1e-9, atol=1e-12)
    assert M.n_replaced == 0


def test_ilu0_agrees_with_the_matrix_on_its_pattern(make):
    """The definition of ILU(0): (L U)_ij = a_ij wherever a_ij is stored."""
    for A in (laplacian(6), make.nonsymmetric(40, np.random.default_rng(1))):
        M = linear.ILU(A)
        product = np.linalg.inv(dense(M))
        stored = A.toarray() != 0
        np.testing.assert_allclose(product[stored], A.toarray()[stored], rtol=1e-9, atol=1e-11)
        assert M.nnz == A.nnz
        assert not np.allclose(product, A.toarray())


def test_the_fill_is_limited():
    A = laplacian(20)
    for fill in (0, 1, 3):
        lower = (A.nnz - 400) // 2
        assert linear.ICT(A, 0.0, fill).nnz <= 2 * (lower + 400 * fill) + 400
        assert linear.ILU(A, 1e-12, fill).nnz <= 2 * (lower + 400 * fill) + 400
    assert linear.ICT(A, 0.0, 0).nnz == A.nnz


def test_smaller_tolerances_take_fewer_iterations():
    A, b = jumping(40), np.random.default_rng(0).standard_normal(1600)
    counts = [linear.ict_cg(A, b, droptol=t, fill=30, rtol=1e-8).nit for t in (1e-1, 1e-2, 1e-3, 1e-4)]
    assert sorted(counts, reverse=True) == counts
    assert counts[-1] <= counts[0] / 5


def test_jumping_coefficients_are_no_harder_than_constant_ones():
    b = np.random.default_rng(0).standard_normal(1600)
    counts = [linear.ict_cg(jumping(40, jump), b, rtol=1e-8).nit for jump in (1.0, 1e4, 1e8)]
    assert max(counts) <= 2 * counts[0]
    best = min(linear.ssor_cg(jumping(40), b, omega=w, rtol=1e-8).nit for w in (1.0, 1.5, 1.7, 1.9))
    assert counts[1] <= best / 3


# -- whatever the matrix is -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_the_factors_are_positive_definite_even_where_the_matrix_is_not(seed):
    rng = np.random.default_rng(seed)
    A = sp.random_array((40, 40), density=0.3, rng=rng)
    A = sp.csr_array(A + A.T + 0.5 * sp.eye_array(40))
    M = linear.ICT(A, 1e-3, 8)
    assert np.linalg.eigvalsh(A.toarray()).min() < 0 < M.shift < np.inf
    inverse = dense(M)
    np.testing.assert_allclose(inverse, inverse.T, atol=1e-12)
    assert np.linalg.eigvalsh(inverse).min() > 0


def test_scaling_rows_and_columns_does_not_matter():
    A, b = jumping(), np.random.default_rng(0).standard_normal(400)
    S = sp.diags_array(10.0 ** np.random.default_rng(1).uniform(-6, 6, 400))
    one, two = linear.ICT(A), linear.ICT(S @ A @ S)
    assert one.nnz == two.nnz
    np.testing.assert_allclose(S @ (two @ (S @ b)), one @ b, rtol=1e-9)


def test_a_pivot_that_is_zero_is_replaced():
    A = sp.csr_array([[0.0, 2.0, 0.0], [3.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    M = linear.ILU(A)
    assert M.n_replaced >= 1
    assert np.isfinite(M @ np.ones(3)).all()
    assert linear.gmres(A, np.ones(3), M=M, rtol=1e-10).success


@pytest.mark.parametrize("kind", [linear.ICT, linear.ILU])
def test_new_values_are_taken(kind):
    A, B = jumping(rng=0), jumping(rng=3)
    M, want = kind(A), kind(B)
    assert M.update(B.data) is M
    assert np.array_equal(M @ np.ones(400), want @ np.ones(400))
    assert np.array_equal(M.update(A) @ np.ones(400), kind(A) @ np.ones(400))
    with pytest.raises(ValueError, match="another sparsity pattern"):
        M.update(laplacian(21))
    with pytest.raises(ValueError, match="data must have shape"):
        M.update(B.data[:-1])
    bad = B.data.copy()
    bad[3] = np.nan
    with pytest.raises(ValueError, match="must hold finite numbers"):
        M.update(bad)
    assert np.array_equal(M @ np.ones(400), kind(A) @ np.ones(400))  # as before the refusal


@pytest.mark.parametrize("kind", [linear.ICT, linear.ILU])
def test_what_is_written_into_the_matrix_does_not_reach_the_factors(kind):
    A = jumping()
    M = kind(A)
    want, data = M @ np.ones(400), A.data.copy()
    A.data[:] = np.nan
    A.indices[:] = 0
    assert np.array_equal(M @ np.ones(400), want)
    assert np.array_equal(M.update(data) @ np.ones(400), want)


def test_the_factors_serve_scipy_too():
    A, b = jumping(), np.ones(400)
    x, info = scipy_cg(A, b, rtol=1e-9, M=linear.ICT(A))
    assert info == 0
    np.testing.assert_allclose(x, linear.ict_cg(A, b, rtol=1e-10).x, rtol=1e-6)


def test_cg_with_the_operator_is_ict_cg():
    A, b = jumping(), np.random.default_rng(0).standard_normal(400)
    M = linear.ICT(A)
    one, two = linear.cg(A, b, M=M, rtol=1e-9), linear.ict_cg(A, b, rtol=1e-9)
    assert one.nit == two.nit
    np.testing.assert_allclose(one.history.residual, two.history.residual, rtol=1e-4, atol=1e-9)
    kept = linear.ict_cg(2.0 * A, b, M=M, rtol=1e-9)  # factors of another matrix, near it
    assert kept.nit == two.nit


def test_a_matrix_that_is_not_definite_is_told():
    A = laplacian(6, shift=-3.0)
    with pytest.warns(match="zero or an indefinite operator"):
        r = linear.ict_cg(A, np.random.default_rng(0).standard_normal(36), rtol=1e-10)
    assert r.status is Status.BREAKDOWN
    with pytest.raises(ValueError, match=r"positive diagonal, got -1\.0 in row 2"):
        linear.ICT(sp.diags_array([1.0, 2.0, -1.0]))


def test_complex_vectors_are_refused():
    with pytest.raises(TypeError, match="complex"):
        linear.ICT(laplacian(3)) @ (1j * np.ones(9))
