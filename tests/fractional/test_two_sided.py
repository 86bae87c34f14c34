"""Jacobi modes for every weight and order: closed forms, an independent quadrature, limits, symmetries."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh, eigvals
from scipy.optimize import brentq
from scipy.special import gamma

from numsolve.fractional import RieszSplineOperator, problems, solve_riesz_bvp, solve_riesz_eig
from numsolve.fractional._stability import instability
from numsolve.fractional.jacobi import basis, eigenvalues, exponents, image_rule

X = np.linspace(0, 1, 2001)[1:-1]
#: orders and weights of the derivative from the left
CASES = [(1.4, 0.7), (1.2, 0.999), (1.7, 0.2), (1.05, 1.0), (0.6, 0.7), (0.9, 0.3), (0.4, 1.0), (1.5, 0.5)]


def left_derivative(mu, nu, alpha, x):
    """The derivative of order alpha from the left of ``x^mu (1 - x)^nu``: a hypergeometric function."""
    factor = mp.gamma(mu + 1) * mp.rgamma(mu + 1 - alpha) * x ** (mu - alpha)
    return factor * mp.hyp2f1(-nu, mu + 1, mu + 1 - alpha, x)


@pytest.mark.parametrize(("alpha", "w"), CASES)
def test_the_operator_maps_each_mode_to_its_polynomial(alpha, w):
    """Against 30 digits: derivatives of powers from either end, in closed form."""
    mp.mp.dps = 30
    a, b = exponents(alpha, (w, 1 - w))
    x = mp.mpf("0.37")
    for k in range(3):
        nodes = np.linspace(-0.9, 0.9, k + 1)
        values = basis(k + 1, alpha, nodes, (w, 1 - w))[:, k]
        from_left = np.linalg.solve(np.vander((1 + nodes) / 2, increasing=True), values)
        from_right = np.linalg.solve(np.vander((1 - nodes) / 2, increasing=True), values)
        D_left = mp.fsum(
            c * left_derivative(mp.mpf(a) + j, mp.mpf(b), alpha, x) for j, c in enumerate(from_left)
        )
        D_right = mp.fsum(
            c * left_derivative(mp.mpf(b) + j, mp.mpf(a), alpha, 1 - x) for j, c in enumerate(from_right)
        )
        own = float((w * D_left + (1 - w) * D_right) / mp.cos(mp.pi * alpha / 2))
        image = basis(k + 1, alpha, np.array([2 * float(x) - 1]), (1 - w, w))[0, k]
        assert own == pytest.approx(eigenvalues(k + 1, alpha, (w, 1 - w))[k] * image, rel=1e-12)


def mean_exit_time(alpha, w, x):
    """``R u = 1``: ``x^a (1 - x)^b / (C Gamma(alpha + 1))``, the exponents by a root finder."""
    a = alpha - 1
    if w < 1:
        a = brentq(
            lambda a: w * np.sin(np.pi * (alpha - a)) - (1 - w) * np.sin(np.pi * a),
            a + 1e-14,
            1 - 1e-14,
            xtol=1e-15,
        )
    b = alpha - a
    C = np.sin(np.pi * alpha) / ((np.sin(np.pi * a) + np.sin(np.pi * b)) * np.cos(np.pi * alpha / 2))
    return x**a * (1 - x) ** b / (abs(C) * gamma(alpha + 1))


@pytest.mark.parametrize("alpha", [1.1, 1.3, 1.5, 1.8])
@pytest.mark.parametrize("w", [0.5, 0.7, 0.9, 1.0])
def test_a_constant_right_hand_side(alpha, w):
    u = mean_exit_time(alpha, w, X)
    r = solve_riesz_bvp(1.0, alpha, weights=(w, 1 - w))
    assert r.success
    assert abs(r(X) - u).max() < 1e-13 * u.max()
    mirrored = solve_riesz_bvp(1.0, alpha, weights=(1 - w, w))
    np.testing.assert_allclose(mirrored(X[::-1]), r(X), atol=1e-14)


@pytest.mark.parametrize(("alpha", "weights"), [(1.3, (0.8, 0.2)), (1.6, (1.0, 0.0)), (1.9, (0.3, 0.9))])
def test_a_smooth_solution(alpha, weights):
    """``(x (1 - x))^4`` is no sum of modes, and its image has roots at the ends."""
    f, u = problems.bump(4, alpha, weights=weights)
    r = solve_riesz_bvp(f, alpha, weights=weights)
    assert abs(r(X) - u(X)).max() < 1e-9 * u(0.5)
    assert r.error_estimate < 1e-7


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.8])
def test_24_modes_hold_what_splines_reach_slowly(alpha):
    exact = solve_riesz_bvp(np.exp, alpha, weights=(0.9, 0.1), n=100)
    few = solve_riesz_bvp(np.exp, alpha, weights=(0.9, 0.1), n=24)
    splines = solve_riesz_bvp(np.exp, alpha, weights=(0.9, 0.1), method="spline", n=2000, p=3)
    size = exact(X).max()
    assert abs(few(X) - exact(X)).max() < 4e-15 * size
    inside = X[500:1500]
    assert abs(splines(inside) - exact(inside)).max() < 2e-3 * size


@settings(max_examples=30)
@given(alpha=st.floats(0.05, 2.0), w=st.floats(0.0, 1.0), N=st.integers(1, 100))
def test_images_are_orthonormal_and_exponents_sum_to_the_order(alpha, w, N):
    weights = (0.5, 0.5) if abs(alpha - 1) < 1e-3 else (w, 1 - w)
    a, b = exponents(alpha, weights)
    assert a + b == pytest.approx(alpha)
    assert min(a, b) >= min(0.0, alpha - 1) - 1e-12
    residue = weights[0] * np.sin(np.pi * b) - weights[1] * np.sin(np.pi * a)
    assert residue == pytest.approx(0.0, abs=1e-14)
    y, v = image_rule(N, alpha, weights)
    Q = basis(N, alpha, y, weights[::-1])
    np.testing.assert_allclose(Q.T @ (v[:, None] * Q), np.eye(N), atol=1e-10)


@pytest.mark.parametrize("alpha", [0.1, 0.4, 0.8, 1.0])
def test_orders_up_to_one(alpha):
    f, u = problems.getoor(1.5)[0], lambda x: (1 - x * x) ** (alpha / 2) / gamma(alpha + 1)
    y = np.linspace(-0.999, 0.999, 201)
    r = solve_riesz_bvp(f, alpha, interval=(-1, 1))
    assert abs(r(y) - u(y)).max() < 1e-13


def test_the_order_one_is_a_limit():
    y = np.linspace(-0.99, 0.99, 101)
    below, at, above = (
        solve_riesz_bvp(np.exp, alpha, interval=(-1, 1))(y) for alpha in (1 - 1e-5, 1.0, 1 + 1e-5)
    )
    np.testing.assert_allclose((below + above) / 2, at, atol=1e-9)


def enclosed_eigenvalues(N):
    """The three least eigenvalues of the Cauchy process between -1 and 1: bounds from below and above.

    ``R (w U_k) = (k + 1) U_k`` with ``w = sqrt(1 - x^2)`` and Chebyshev polynomials of the second kind. The
    Rayleigh-Ritz values of N even or odd modes are bounds from above. With the residual r of a Ritz vector,
    ``r^2 / (next - value)`` below them is a bound from below (Temple and Kato); next is any number below the
    next eigenvalue of the same parity.
    """
    below, above = [], []
    for parity, place, next_one in ((0, 0, 4.0), (1, 0, 5.0), (0, 1, 7.0)):
        k = np.arange(N) * 2.0 + parity + 1.0
        overlaps = 1 / (1 - (k[:, None] - k) ** 2) - 1 / (1 - (k[:, None] + k) ** 2)
        root = np.sqrt(k * np.pi / 2)
        last = [N - 1 - place, N - 1 - place]
        inverse, vector = eigh(overlaps / np.outer(root, root), subset_by_index=last)
        value, c = 1 / inverse[0], vector[:, 0] / root
        t, weight = np.polynomial.legendre.leggauss(3 * N)
        t, weight = np.pi / 2 * (t + 1), np.pi / 2 * weight * np.sin(np.pi / 2 * (t + 1))
        sines = np.sin(np.outer(t, k))
        u = sines @ c
        r = sines @ (k * c) / np.sin(t) - value * u
        above.append(value)
        below.append(value - weight @ r**2 / (weight @ u**2) / (next_one - value))
    return np.array(below), np.array(above)


def test_eigenvalues_of_the_cauchy_process():
    """Nine decimals of Kulczycki, Kwasnicki, Malecki, Stos, Proc. London Math. Soc. 101, 2010; and bounds.

    The third is 4.31680106659: other digits after the ninth are outside the bounds.
    """
    r = solve_riesz_eig(1.0, 3)
    below, above = enclosed_eigenvalues(400)
    assert (below < above).all()
    assert (above - below < 2e-11).all()
    np.testing.assert_array_equal(np.floor(below * 1e9), [1157773883, 2754754742, 4316801066])
    assert abs(r.x / above - 1).max() < min(1e-10, r.error_estimate)
    finer = solve_riesz_eig(1.0, 3, n=400)
    np.testing.assert_allclose(finer.x, above, rtol=2e-14)


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.8])
def test_the_estimate_of_spline_eigenvalues(alpha):
    splines, modes = solve_riesz_eig(alpha, 4, method="spline"), solve_riesz_eig(alpha, 4, interval=(-1, 1))
    error = abs(splines.x / modes.x - 1).max()
    assert error / 2 < splines.error_estimate < 2 * error


@pytest.mark.parametrize("definition", ["rl", "caputo"])
@pytest.mark.parametrize("p", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("alpha", [1.001, 1.01, 1.05, 1.2])
@pytest.mark.parametrize("w", [1.0, 0.7, 0.1])
def test_a_matrix_is_positive_or_refused(alpha, p, w, definition):
    settings = {"weights": (w, 1 - w), "definition": definition}
    if instability(40, p, alpha, **settings):
        assert alpha < 1.1
        with pytest.raises(ValueError, match="unstable"):
            RieszSplineOperator(40, p, alpha, **settings)
        return
    A = RieszSplineOperator(40, p, alpha, **settings)
    assert eigvals(A.todense(), A.mass().toarray()).real.min() > 0
