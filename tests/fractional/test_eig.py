"""Eigenvalues of the fractional Laplacian: published values, limits, the functions."""

from __future__ import annotations

import numpy as np
import pytest

from numsolve.fractional import problems, solve_riesz_eig

#: the first three on (-1, 1)
PUBLISHED = {
    1.2: [1.29699577674, 3.486730536, 5.911679975],
    1.5: [1.59750354565, 5.05975992831, 9.5943057676],
    1.8: [2.0487349831296, 7.503116926, 15.799894163],
    1.9: [2.2440593594001, 8.5957525238, 18.716894007],
}


@pytest.mark.parametrize("alpha", PUBLISHED)
def test_published_values(alpha):
    r = solve_riesz_eig(alpha, 3)
    np.testing.assert_allclose(r.x, PUBLISHED[alpha], rtol=2e-10)
    assert r.x[0] == pytest.approx(PUBLISHED[alpha][0], rel=1e-11)
    assert r.success
    assert r.error_estimate < 1e-8


def test_alpha_two_is_the_string():
    r = solve_riesz_eig(2.0, 10, interval=(0, 1))
    np.testing.assert_allclose(r.x, (np.arange(1, 11) * np.pi) ** 2, rtol=1e-12)
    x = np.linspace(0, 1, 11)
    np.testing.assert_allclose(r(x)[2], np.sqrt(2) * np.sin(3 * np.pi * x), atol=1e-11)


@pytest.mark.parametrize("alpha", [1.2, 1.8])
def test_asymptotics(alpha):
    k = 40
    own, theirs = solve_riesz_eig(alpha, k, n=200).x, problems.eigenvalue_asymptotics(k, alpha)
    j = np.arange(1, k + 1)
    assert (abs(own - theirs) * j)[5:].max() < 0.5
    assert abs(own - theirs)[-1] < abs(own - theirs)[9]


def test_functions_are_orthonormal_and_start_upwards():
    r = solve_riesz_eig(1.4, 5, interval=(1, 4))
    assert len(r.functions) == 5
    x, w = np.polynomial.legendre.leggauss(400)
    values = r(2.5 + 1.5 * x)
    np.testing.assert_allclose((values * (1.5 * w)) @ values.T, np.eye(5), atol=1e-6)
    assert (r(np.array([1.001]))[:, 0] > 0).all()
    assert r([0.0, 9.0]).shape == (5, 2)
    assert not r([0.0, 9.0]).any()


def test_functions_satisfy_the_equation():
    r = solve_riesz_eig(1.7, 3, n=120)
    x = np.linspace(-0.8, 0.8, 9)
    for value, u in zip(r.x, r.functions, strict=True):
        np.testing.assert_allclose(u.laplacian(x), value * u(x), atol=1e-5 * value)


@pytest.mark.parametrize("interval", [(0, 1), (-3, 7)])
def test_scaling(interval):
    width = (interval[1] - interval[0]) / 2
    own = solve_riesz_eig(1.3, 4, interval=interval).x
    np.testing.assert_allclose(own * width**1.3, solve_riesz_eig(1.3, 4).x, rtol=1e-12)


def test_splines_see_the_same():
    modes = solve_riesz_eig(1.8, 3, interval=(0, 1))
    splines = solve_riesz_eig(1.8, 3, interval=(0, 1), method="spline", n=200, p=3)
    assert splines.method == "spline"
    np.testing.assert_allclose(splines.x, modes.x, rtol=1e-3)
    x = np.linspace(0, 1, 50)
    np.testing.assert_allclose(splines(x), modes(x), atol=0.01)
