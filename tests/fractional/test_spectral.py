"""Jacobi modes: the identity they rest on, and machine precision with a few of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import eval_jacobi, gamma

from numsolve.fractional import JacobiSolution, RieszSplineOperator, problems, solve_riesz_bvp
from numsolve.fractional.jacobi import basis, eigenvalues, gauss_rule, polynomial

Y = np.linspace(-1, 1, 1001)


def smooth(y):
    return np.exp(y) * np.cos(3 * y)


@given(N=st.integers(1, 200), alpha=st.floats(1.01, 2.0))
def test_the_polynomials_are_orthonormal(N, alpha):
    y, w = gauss_rule(N, alpha / 2)
    P = basis(N, alpha, y)
    np.testing.assert_allclose(P.T @ (w[:, None] * P), np.eye(N), atol=1e-11)


@pytest.mark.parametrize("alpha", [1.2, 2.0])
def test_the_polynomials_are_those_of_jacobi(alpha):
    for k in range(6):
        own, theirs = basis(k + 1, alpha, Y)[:, k], eval_jacobi(k, alpha / 2, alpha / 2, Y)
        np.testing.assert_allclose(own * theirs[-1], theirs * own[-1], atol=1e-12)
        assert eigenvalues(k + 1, alpha)[k] == pytest.approx(gamma(alpha + k + 1) / gamma(k + 1))


@given(N=st.integers(1, 60), seed=st.integers(0, 99))
def test_clenshaw_sums_the_series(N, seed):
    c = np.random.default_rng(seed).normal(size=N)
    np.testing.assert_allclose(polynomial(c, 1.5, Y), basis(N, 1.5, Y) @ c, atol=1e-10 * N)


@pytest.mark.parametrize("k", [0, 1, 4])
def test_modes_are_mapped_to_polynomials(k):
    """An independent check: collocation by splines on a graded mesh solves the same equation."""
    f, u = problems.jacobi_mode(k, 1.6)
    half = (np.linspace(0, 1, 81) ** 3) - 1
    r = solve_riesz_bvp(f, 1.6, breaks=np.r_[half, -half[-2::-1]], p=4)
    assert abs(r(Y) - u(Y)).max() < 2e-4 * abs(u(Y)).max()


def test_machine_precision_with_24_modes():
    exact = solve_riesz_bvp(smooth, 1.5, interval=(-1, 1), n=200)
    r = solve_riesz_bvp(smooth, 1.5, interval=(-1, 1), n=24)
    assert r.method == "spectral"
    assert r.success
    assert len(r.x) <= 24
    assert abs(r(Y) - exact(Y)).max() < 2e-15
    inner = Y[1:-1]
    np.testing.assert_allclose(r.sol.laplacian(inner), smooth(inner), atol=1e-13)


@pytest.mark.parametrize(("N", "error"), [(4, 9e-3), (8, 2e-5), (12, 7e-9), (16, 3e-13)])
@pytest.mark.filterwarnings("ignore::numsolve.ConvergenceWarning")
def test_published_convergence(N, error):
    exact = solve_riesz_bvp(smooth, 1.5, interval=(-1, 1))
    r = solve_riesz_bvp(smooth, 1.5, interval=(-1, 1), method="spectral", n=N)
    assert abs(r(Y) - exact(Y)).max() == pytest.approx(error, rel=0.1)


def test_a_cubic_spline_with_4096_spans_has_less():
    exact = solve_riesz_bvp(smooth, 1.5, interval=(-1, 1))
    r = solve_riesz_bvp(smooth, 1.5, interval=(-1, 1), method="spline", n=4096, p=3)
    assert abs(r(Y) - exact(Y)).max() == pytest.approx(7e-7, rel=0.05)


def test_with_a_reaction():
    """The published errors at N = 8, ..., 128, and their algebraic decay."""

    def solve(N):
        return solve_riesz_bvp(
            smooth, 1.5, interval=(-1, 1), reaction=lambda y: 1 + y * y, method="spectral", n=N
        )

    exact = solve(600)
    errors = [abs(solve(N)(Y) - exact(Y)).max() for N in (8, 16, 32, 64, 128)]
    for own, theirs in zip(errors, (8e-5, 4e-6, 2e-7, 6e-9, 1e-10), strict=True):
        assert own < 1.6 * theirs
    estimates = [solve(N).error_estimate for N in (64, 128)]
    assert errors[3] < estimates[0] < 1e-4
    assert errors[4] < estimates[1] < estimates[0]


def test_with_a_reaction_against_splines():
    settings = {"interval": (-1, 1), "reaction": lambda y: 1 + y * y, "diffusion": lambda y: 2 + y}
    modes = solve_riesz_bvp(smooth, 1.5, **settings)
    splines = solve_riesz_bvp(smooth, 1.5, method="spline", n=8000, p=3, **settings)
    assert modes.method == "spectral"
    assert abs(modes(Y) - splines(Y)).max() < 2e-6


def test_the_solution_as_an_object():
    u = JacobiSolution(np.array([1.0, 0.5]), 1.4, (2.0, 6.0))
    np.testing.assert_array_equal(u([1.9, 2.0, 6.0, 6.1, np.inf, -np.inf]), 0)
    assert u(np.full((2, 3), 4.0)).shape == (2, 3)
    near = u(2.0 + 1e-12) / 1e-12**0.7
    assert near == pytest.approx(u(2.0 + 1e-9) / 1e-9**0.7, rel=1e-3)
    assert np.isnan(u.laplacian(7.0))
    assert np.isnan(u(np.nan))


def test_digits_next_to_the_ends():
    f, u = problems.getoor(1.2, (0, 1))
    r = solve_riesz_bvp(f, 1.2)
    x = 10.0 ** -np.arange(1, 300, 20.0)
    np.testing.assert_allclose(r(x), u(x), rtol=1e-12)


def test_modes_are_the_eigenvectors_of_the_operator_on_splines():
    """The spline operator applied to the interpolant of a mode gives the polynomial, inside."""
    alpha = 1.8
    f, u = problems.jacobi_mode(2, alpha, (0, 1))
    A = RieszSplineOperator(2000, 3, alpha)
    from scipy.sparse.linalg import spsolve

    values = A @ spsolve(A.mass().tocsc(), u(A.greville))
    inside = abs(A.greville - 0.5) < 0.25
    np.testing.assert_allclose(values[inside], f(A.greville[inside]), atol=5e-3 * abs(f(A.greville)).max())
