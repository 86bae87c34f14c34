"""The collocation matrix: entries, structure, spectrum, products."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import eigvals
from scipy.sparse.linalg import gmres

from numsolve.fractional import RieszSplineOperator, good_n, problems, solve_riesz_eig
from numsolve.fractional.dense import dense_matrix


def in_steps(A):
    """The matrix in units of the mesh."""
    return A.todense() * A.step**A.alpha


def test_published_rows():
    A = in_steps(RieszSplineOperator(12, 2, 1.5))
    row = [1.843742893933, -0.586709523784, -0.075432035200, -0.021946518786]
    np.testing.assert_allclose(A[0, :4], row, atol=1e-12)
    assert A[1, 0] == pytest.approx(-0.540802862192, abs=1e-12)
    A = in_steps(RieszSplineOperator(12, 3, 1.5))
    rows = [
        [2.755826729679, -0.590844299089, -0.280647254965, -0.033093958322],
        [-0.398942280401, 1.421071166816, -0.469392255008, -0.098912715822],
    ]
    np.testing.assert_allclose(A[:2, :4], rows, atol=1e-12)


@pytest.mark.parametrize("definition", ["rl", "caputo"])
@pytest.mark.parametrize("weights", [(0.5, 0.5), (1.0, 0.0), (0.3, 0.9)])
@pytest.mark.parametrize(
    ("n", "p", "alpha"), [(4, 2, 1.5), (17, 3, 1.1), (30, 4, 1.9), (40, 7, 1.5), (20, 3, 2.0)]
)
def test_structure_is_the_matrix(n, p, alpha, weights, definition):
    """Toeplitz part and corners against the derivatives of each B-spline, computed one by one."""
    A = RieszSplineOperator(n, p, alpha, interval=(-1, 2), weights=weights, definition=definition)
    dense = dense_matrix(A.knots, A.greville, p, alpha, weights, definition)
    np.testing.assert_allclose(A.todense(), dense, rtol=0, atol=1e-12 * abs(dense).max())


@given(
    n=st.integers(10, 90),
    p=st.integers(2, 5),
    alpha=st.floats(1.2, 2.0),
    left=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_products_are_those_of_the_dense_matrix(n, p, alpha, left, seed):
    A = RieszSplineOperator(n, p, alpha, weights=(left, 1.0))
    D, x = A.todense(), np.random.default_rng(seed).normal(size=A.shape[0])
    size = abs(D).max() * abs(x).max()
    np.testing.assert_allclose(A @ x, D @ x, rtol=0, atol=1e-13 * size * np.sqrt(n))
    np.testing.assert_allclose(A.rmatvec(x), D.T @ x, rtol=0, atol=1e-13 * size * np.sqrt(n))
    np.testing.assert_allclose(A.T @ x, D.T @ x, rtol=0, atol=1e-13 * size * np.sqrt(n))


def test_products_with_several_vectors():
    A = RieszSplineOperator(300, 3, 1.5)
    X = np.random.default_rng(0).normal(size=(A.shape[0], 3))
    np.testing.assert_allclose(A @ X, A.todense() @ X, atol=1e-11 * abs(A.todense()).max())
    np.testing.assert_allclose(A.structure.matvec(X.T).T, A @ X, atol=1e-11 * abs(A.todense()).max())


@pytest.mark.parametrize("p", [2, 3, 5, 7])
def test_centrosymmetry_and_rank_of_the_corners(p):
    A = RieszSplineOperator(64, p, 1.5)
    D = in_steps(A)
    np.testing.assert_allclose(D[::-1, ::-1], D, atol=1e-12 * abs(D).max())
    assert A.corner_rank == 4 * p - 6
    column = A.toeplitz_column * A.step**1.5
    index = abs(np.subtract.outer(np.arange(A.shape[0]), np.arange(A.shape[0])))
    singular = np.linalg.svd(D - column[index], compute_uv=False)
    assert singular[4 * p - 6] < 1e-13 * singular[0]
    if p < 5:
        assert singular[4 * p - 7] > 1e-6 * singular[0]


@pytest.mark.parametrize(("alpha", "difference"), [(1.999, 4.4e-3), (1.99999, 4.4e-5)])
def test_second_derivative_is_the_limit(alpha, difference):
    A, classical = RieszSplineOperator(20, 3, alpha), RieszSplineOperator(20, 3, 2.0)
    exact = -np.array([classical.spline(e).derivative(2)(A.greville) for e in np.eye(A.shape[0])]).T
    np.testing.assert_allclose(classical.todense(), exact, atol=1e-12 * abs(exact).max())
    assert abs(A.todense() - exact).max() / abs(exact).max() == pytest.approx(difference, rel=0.02)


@pytest.mark.parametrize("definition", ["rl", "caputo"])
@pytest.mark.parametrize("weights", [(0.5, 0.5), (1, 0)])
@pytest.mark.parametrize("m", [1, 2])
def test_exact_on_splines(m, weights, definition):
    """A polynomial of degree 2 m <= p is a spline: A maps it to its exact derivative."""
    f, u = problems.bump(m, 1.6, definition=definition, weights=weights)
    A = RieszSplineOperator(32, 4, 1.6, definition=definition, weights=weights)
    c = np.linalg.solve(A.mass().toarray(), u(A.greville))
    np.testing.assert_allclose(A @ c, f(A.greville), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("p", "row"), [(2, (207, 796, 2.89e3)), (5, (349, 1.70e3, 8.04e3)), (10, (735, 4.36e3, 2.53e4))]
)
def test_condition_numbers(p, row):
    for alpha, value in zip((1.2, 1.5, 1.8), row, strict=True):
        assert RieszSplineOperator(128, p, alpha).condition_number() == pytest.approx(value, rel=5e-3)


@pytest.mark.parametrize("alpha", [1.2, 1.8])
def test_condition_grows_like_n_to_the_alpha(alpha):
    n = np.array([64, 128, 256])
    cond = [RieszSplineOperator(k, 3, alpha).condition_number() for k in n]
    assert np.polyfit(np.log(n), np.log(cond), 1)[0] == pytest.approx(alpha, abs=0.05)


@pytest.mark.parametrize("p", [2, 3, 4])
def test_eigenvalues_follow_the_symbol(p):
    """All but a few eigenvalues are samples of the symbol; they are real."""
    A = RieszSplineOperator(256, p, 1.5)
    w = A.eigenvalues() * A.step**1.5
    assert abs(w.imag).max() < 1e-10
    samples = np.sort(A.symbol_samples()[1]) * A.step**1.5
    inner = slice(0, -4 * p)
    assert abs(w.real[inner] - samples[inner]).max() < 0.05


def test_outliers_grow_with_the_degree():
    A = RieszSplineOperator(128, 10, 1.8)
    assert abs(A.eigenvalues()[-1]) * A.step**1.8 == pytest.approx(28.9, abs=0.1)


def test_the_pencil_has_a_real_spectrum_and_the_right_smallest_eigenvalue():
    A = RieszSplineOperator(128, 5, 1.8)
    w = eigvals(A.todense(), A.mass().toarray())
    assert abs(w.imag).max() < 1e-8 * abs(w).max()
    continuous = solve_riesz_eig(1.8, 1, interval=(0, 1)).x[0]
    assert A.eigenvalues()[0].real == pytest.approx(7.1343, abs=1e-4)
    assert w.real.min() == pytest.approx(continuous, rel=5e-4)


@pytest.mark.parametrize("p", [2, 3, 5, 7])
def test_discrete_maximum_principle(p):
    """Values of the solution at the points are positive functions of f there: M A^-1 > 0."""
    A = RieszSplineOperator(60, p, 1.5)
    inverse = np.linalg.inv(A.todense())
    assert (A.mass() @ inverse).min() > 0
    assert (inverse.min() > 0) == (p != 7)


@pytest.mark.parametrize("make", ["tau_preconditioner", "circulant_preconditioner"])
def test_preconditioners_work_in_scipy(make):
    A = RieszSplineOperator(500, 3, 1.5)
    b, count = np.ones(A.shape[0]), []
    M = getattr(A, make)()
    x, info = gmres(A, b, M=M, rtol=1e-10, callback=count.append, callback_type="pr_norm")
    assert info == 0
    assert len(count) <= 14
    np.testing.assert_allclose(A.todense() @ x, b, atol=1e-8)


def test_points_knots_and_splines():
    A = RieszSplineOperator(10, 3, 1.5, interval=(2, 7))
    assert A.knots.shape == (17,)
    assert A.greville.shape == (11,) == A.shape[:1]
    assert (np.diff(A.greville) > 0).all()
    u = A.spline(np.ones(11))
    np.testing.assert_array_equal(u([2.0, 7.0]), 0)
    assert np.isnan(u(7.1))
    np.testing.assert_allclose(A.mass() @ np.ones(11), u(A.greville), rtol=1e-13)


@given(n=st.integers(1, 10**6), p=st.integers(2, 9))
def test_good_n(n, p):
    m = good_n(n, p)
    assert m >= max(n, 2 * p)
    assert m < 1.35 * max(n, 2 * p) + 16
    length = m + p - 1
    assert length % 2 == 0
    for factor in (2, 3, 5):
        while length % factor == 0:
            length //= factor
    assert length == 1


def test_assembly_is_quick_to_scale():
    """Entries of a long column keep their digits: they follow k^(-1-alpha)."""
    A = RieszSplineOperator(2**17 - 2, 3, 1.5)
    column = A.toeplitz_column * A.step**1.5
    k = np.array([2**12, 2**15, 2**17 - 2])
    np.testing.assert_allclose(column[k] / k**-2.5, column[-1] * k[-1] ** 2.5, rtol=1e-5)
