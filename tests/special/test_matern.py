"""The Matérn correlation: half-integers in closed form, mpmath, derivatives, matrices."""

from __future__ import annotations

import math

import array_api_strict
import numpy as np
import pytest
from mpmath import mp
from numpy.testing import assert_allclose

from numsolve import PrecisionWarning
from numsolve.special import matern, matern_grad, matern_log_det

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5])
def test_half_integers_are_elementary(nu):
    r = np.r_[0.0, np.logspace(-8, 2, 60)]
    s = np.sqrt(2 * nu) * r / 0.7
    polynomial = {0.5: 1.0, 1.5: 1 + s, 2.5: 1 + s + s * s / 3}[nu]
    assert_allclose(matern(r, nu, 0.7), polynomial * np.exp(-s), rtol=1e-13, atol=1e-15)
    general = matern_grad(r, nu, 0.7)[0]  # which has no closed form
    assert_allclose(general, polynomial * np.exp(-s), rtol=1e-13, atol=1e-15)


def test_closed_forms_join_the_general_one():
    """At 7/2 too, alone or in an array of many smoothnesses, at distances from 0 to infinity."""
    r = np.r_[0.0, 5e-324, np.logspace(-300, 300, 61), np.logspace(-2, 1.5, 40)]
    nu = np.array([0.5, 1.5, 2.5, 3.5])
    together = matern(r[:, None], nu)
    alone = np.stack([matern(r, one) for one in nu], axis=-1)
    assert_allclose(alone, together, rtol=1e-13, atol=1e-15)
    assert (alone[0] == 1).all()
    assert (alone[62] == 0).all()


def exact(r, nu, length):
    s = mp.sqrt(2 * nu) * r / length
    return 2 ** (1 - nu) / mp.gamma(nu) * s**nu * mp.besselk(nu, s)


def test_value_and_derivatives_against_mpmath():
    """Of any smoothness from 0.01 to 60, and at distances from 1e-5 lengths on."""
    nu, r, length = (10 ** RNG.uniform(*a, 40) for a in ((-2, 1.8), (-5, 0.7), (-0.5, 0.5)))
    got = matern_grad(r, nu, length)
    with mp.workdps(80):
        for i in range(40):
            point = [mp.mpf(float(a[i])) for a in (r, nu, length)]
            want = [exact(*point)]
            for j in range(3):
                step = mp.mpf(10) ** -25 * point[j]
                high, low = (
                    exact(*(p + sign * step * (k == j) for k, p in enumerate(point))) for sign in (1, -1)
                )
                want.append((high - low) / (2 * step))
            for a, b in zip((g[i] for g in got), want, strict=True):
                assert abs(mp.mpf(float(a)) - b) < 1e-13 * max(1, abs(b))


def test_large_smoothness_tends_to_the_normal_kernel():
    """The difference from exp(-r^2 / 2) falls like 1 / nu."""
    r, nus = np.linspace(0.1, 3, 30), np.array([1e2, 1e3, 1e4, 1e5, 1e6])
    miss = [np.abs(matern(r, nu) - np.exp(-r * r / 2)).max() for nu in nus]
    assert np.polyfit(np.log(nus), np.log(miss), 1)[0] == pytest.approx(-1.0, abs=0.02)


def test_at_distance_zero():
    for nu, slope in ((2.0, 0.0), (0.5, -1 / 3), (0.3, -np.inf)):
        value, d_dr, d_dnu, d_dlength = matern_grad(0.0, nu, 3.0)
        assert (value, d_dnu, d_dlength) == (1.0, 0.0, 0.0)
        assert d_dr == pytest.approx(slope)


def test_the_function_solves_its_differential_equation():
    """s k'' + (1 - 2 nu) k' = s k, with k'' from differences of k'."""
    for nu in (0.3, 1.2, 7.7, 40.0):
        s = np.linspace(0.5, 9, 12)
        scale, h = np.sqrt(2 * nu), 1e-4
        k, slope, *_ = matern_grad(s / scale, nu)
        slopes = [matern_grad((s + j * h) / scale, nu)[1] / scale for j in (-2, -1, 1, 2)]
        second = (slopes[0] - 8 * slopes[1] + 8 * slopes[2] - slopes[3]) / (12 * h)
        assert_allclose(s * second + (1 - 2 * nu) * slope / scale, s * k, rtol=1e-8)


def test_the_log_determinant_and_its_derivatives():
    X = RNG.normal(size=(25, 2))
    r = np.sqrt(((X[:, None] - X) ** 2).sum(axis=2))
    f = lambda nu, length: matern_log_det(r, nu, length, noise=0.1)  # noqa: E731
    value, d_dnu, d_dlength = f(1.3, 0.8)
    assert value == pytest.approx(np.linalg.slogdet(matern(r, 1.3, 0.8) + 0.1 * np.eye(25))[1])
    h = 1e-5
    assert d_dnu == pytest.approx((f(1.3 + h, 0.8)[0] - f(1.3 - h, 0.8)[0]) / (2 * h), rel=1e-8)
    assert d_dlength == pytest.approx((f(1.3, 0.8 + h)[0] - f(1.3, 0.8 - h)[0]) / (2 * h), rel=1e-8)


def test_the_ends_of_the_range():
    """exp(-r^2 / 2) for large orders, 2 nu K_0 for small ones, 0 far away; products would overflow."""
    assert matern(1e300, 1.5, 1e-300) == matern(1e300, 1e-20) == 0.0
    value, d_dr, d_dnu, d_dlength = matern_grad(1.0, 1e200)
    assert_allclose([value, -d_dr, d_dlength], math.exp(-0.5), rtol=1e-15)
    assert d_dnu == 0.0
    assert_allclose(matern(1.0, 1.7e308), math.exp(-0.5), rtol=1e-15)
    log = 300 * math.log(10) + 100 * math.log(10) + 0.5 * math.log(2) - np.euler_gamma  # log(2 / s)
    assert_allclose(matern(1e-300, 1e-200), 2e-200 * log, rtol=1e-14)
    assert matern(5e-324, 1.5) == 1.0
    assert_allclose(matern_grad(5e-324, 0.5)[:2], [1.0, -1.0], rtol=1e-13)


@pytest.mark.parametrize("asarray", [np.asarray, array_api_strict.asarray])
def test_derivatives_are_numbers_where_the_correlation_vanishes_or_its_rate_overflows(asarray):
    """0 where k is; -2 nu / r next to 0 for tiny nu, though 1 / r is above the largest float."""
    r, nu, length = np.array([[7e192, 1e300, 1e5], [2e-185, 1.0, 3.3], [9.0, 1e-300, 1.0]])
    with np.errstate(all="ignore"):  # array code of other libraries divides as they do
        gradient = matern_grad(asarray(r), asarray(nu), asarray(length))
    assert not any(np.asarray(d).any() for d in gradient)
    _, d_dr, *_ = matern_grad(2e-309, 1e-218, 20.0)  # k = 2 nu K_0(s), s dk/ds = -2 nu
    assert_allclose(d_dr, -2e-218 / 2e-309, rtol=1e-11)
    s = math.sqrt(3) * (1e-320 / 3e-323)  # (1 + s) exp(-s), whose derivative is -s exp(-s)
    assert_allclose(matern_grad(1e-320, 1.5, 3e-323)[1], -s * s * math.exp(-s) / 1e-320, rtol=1e-10)


@pytest.mark.parametrize("nu", [30.0, 1e3, 1e6, 1e10])
def test_the_derivative_in_a_large_smoothness_does_not_cancel(nu):
    """nu^2 dk/dnu tends to exp(-r^2 / 2) (r^2 / 2 - r^4 / 8), with an error of order 1 / nu."""
    r = np.array([0.3, 1.0, 3.0])
    want = np.exp(-0.5 * r * r) * (r**2 / 2 - r**4 / 8)
    assert_allclose(matern_grad(r, nu)[2] * nu**2, want, rtol=max(1e-9, 60 / nu) if nu > 100 else 3.0)


def test_a_matrix_without_digits_is_refused_and_one_with_few_is_told():
    t = np.linspace(0, 1, 6)
    D = abs(t[:, None] - t)
    with pytest.raises(ValueError, match="noise"):
        matern_log_det(D, 30.0, 5.0)
    with pytest.warns(PrecisionWarning, match="nearly singular"):
        matern_log_det(D, 7.5, 2.0)
    with pytest.raises(ValueError, match="0 on its diagonal"):
        matern_log_det(D + 1.0, 1.5)
    assert_allclose(matern_log_det(D * (1 + 1e-16 * np.tri(6)), 0.5), matern_log_det(D, 0.5), rtol=1e-12)


def test_float32_and_shapes():
    k = matern(np.ones((3, 1), np.float32), np.float32(1.2), np.ones(2, np.float32))
    assert k.dtype == np.float32
    assert k.shape == (3, 2)
    assert isinstance(matern(1.0, 1.0), np.float64)
    assert matern(np.empty((0, 2)), 1.0).shape == (0, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: matern(-1.0, 1.0), ValueError, "r must be at least 0"),
        (lambda: matern(1.0, 0.0), ValueError, "nu must be above 0"),
        (lambda: matern(1.0, 1.0, 0.0), ValueError, "length must be above 0"),
        (lambda: matern(np.nan, 1.0), ValueError, "r must hold finite"),
        (lambda: matern(1j, 1.0), TypeError, "r is complex"),
        (lambda: matern([[1.0], [1.0, 2.0]], 1.0), ValueError, "r is not a rectangular array"),
        (lambda: matern_log_det(np.ones((2, 3)), 1.0), ValueError, "r must be a square matrix"),
        (lambda: matern_log_det([[1.0], [1.0, 2.0]], 1.0), ValueError, "r is not a rectangular array"),
        (
            lambda: matern_log_det(np.ma.masked_array(1 - np.eye(2), np.eye(2)), 1.0),
            TypeError,
            "r is a masked",
        ),
        (lambda: matern_log_det(np.zeros((3, 3)), 1.0), ValueError, "noise = 0 leaves"),
        (lambda: matern_log_det(np.zeros((3, 3)), 1.0, noise=-1.0), ValueError, "noise"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("function", [matern, matern_grad])
def test_a_smoothness_without_all_its_digits_is_refused(function):
    """K at nu below the normal numbers was one, where it is next to nothing."""
    with pytest.raises(ValueError, match="nu must be at least 2.2e-308, got 4.94066e-324"):
        function(np.array([0.0, 1e-9]), 5e-324)
