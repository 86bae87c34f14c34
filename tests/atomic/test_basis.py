"""The polynomials, rules and integration matrices of one element."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import roots_jacobi

from numsolve.atomic import basis


@pytest.mark.parametrize("order", [1, 2, 5, 14, 30])
def test_lobatto_rule_is_exact_to_degree_2p_less_1(order):
    x, w = basis.lobatto_nodes(order), basis.lobatto_weights(order)
    assert x[0] == -1
    assert x[-1] == 1
    for degree in range(2 * order):
        assert w @ x**degree == pytest.approx(2 / (degree + 1) if degree % 2 == 0 else 0.0, abs=1e-13)


@pytest.mark.parametrize("exponent", [0.0, -0.0117, -0.523, -0.9, 0.4])
@pytest.mark.parametrize("points", [1, 2, 18, 40])
def test_gauss_rule_is_that_of_scipy(points, exponent):
    x, w = basis.gauss_rule(points, exponent)
    want_x, want_w = roots_jacobi(points, 0.0, exponent)
    np.testing.assert_allclose(x, want_x, atol=1e-13)
    np.testing.assert_allclose(w, want_w, rtol=1e-11)


@pytest.mark.parametrize("order", [2, 9, 25])
def test_lagrange_polynomials_reproduce_polynomials(order):
    nodes = basis.lobatto_nodes(order)
    x = np.concatenate((np.linspace(-1, 1, 37), nodes))
    L, D = basis.lagrange(nodes, x), basis.differentiation(nodes)
    for degree in range(order + 1):
        np.testing.assert_allclose(L @ nodes**degree, x**degree, atol=1e-12)
        slope = degree * nodes ** max(degree - 1, 0)
        np.testing.assert_allclose(D @ nodes**degree, slope, atol=1e-10)
    np.testing.assert_allclose(L @ D @ nodes**order, order * x ** (order - 1), atol=1e-9)


@pytest.mark.parametrize("exponent", [0.0, -0.0117, -0.523])
def test_cumulative_integrals_are_exact(exponent):
    points = 14
    x, _ = basis.gauss_rule(points, exponent)
    C = basis.cumulative(points, exponent)
    for degree in range(points):
        power = degree + exponent + 1
        np.testing.assert_allclose(C @ (1 + x) ** (degree + exponent), (1 + x) ** power / power, atol=1e-12)
