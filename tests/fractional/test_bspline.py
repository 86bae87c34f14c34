"""Fractional derivatives of B-splines: against truncated powers in 50 digits and more."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from scipy.interpolate import BSpline

from numsolve.fractional import bspline_fractional_derivative
from numsolve.fractional.bspline import cardinal, clamped, piece

ALPHAS = (1.1, 1.5, 1.9)


def truncated_powers(p, t, alpha):
    """The textbook sum, with so many digits that its cancellation does no harm."""
    with mpmath.workdps(40 + (p + 1) * 7):
        t, alpha = mpmath.mpf(t), mpmath.mpf(alpha)
        total = sum(
            (-1) ** k * mpmath.binomial(p + 1, k) * (t - k) ** (p - alpha) for k in range(p + 2) if t > k
        )
        return float(total * mpmath.rgamma(p + 1 - alpha))


def one_sided(function, x, alpha, caputo):
    """The derivative by its definition, in 60 digits: the integral of N'', and the slope at the end."""
    with mpmath.workdps(60):
        x, total = mpmath.mpf(float(x)), mpmath.mpf(0)
        for start, end, row in zip(function.breaks, function.breaks[1:], function.second, strict=False):
            if x <= start:
                break
            far, near = x - float(start), x - min(x, mpmath.mpf(float(end)))
            for m in range(len(row)):  # N'' in powers of x - s
                d = sum(
                    mpmath.binomial(q, m) * mpmath.mpf(float(row[q])) * far ** (q - m) * (-1) ** m
                    for q in range(m, len(row))
                )
                power = m + 2 - mpmath.mpf(alpha)
                total += d * (far**power - (near**power if near else 0)) / power
        if not caputo:
            total += float(function.coefficients[0, 1]) * x ** (1 - mpmath.mpf(alpha))
        return float(total * mpmath.rgamma(2 - mpmath.mpf(alpha)))


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("p", [2, 3, 5, 8])
def test_every_digit_near_and_far(p, alpha):
    t = np.r_[np.linspace(0.25, p + 3, 30), p + 10.5, 77.0, 1e3, 123456.5, 1e6]
    exact = np.array([truncated_powers(p, x, alpha) for x in t])
    left = bspline_fractional_derivative(p, t, alpha, "left")
    np.testing.assert_allclose(left, exact, rtol=0, atol=4e-14 * abs(exact).max())
    beyond = t > p + 2
    np.testing.assert_allclose(left[beyond], exact[beyond], rtol=1e-14)


#: t_0 ... of the Riesz derivative at the centre and beside it, alpha = 1.5; from 40-digit arithmetic.
GENERATORS = {
    2: [1.43072745367486, -0.58670952378359, -0.07543203519998, -0.02194651878628, -0.01004863739628],
    3: [1.24637321202725, -0.46939225500799, -0.09891271582234, -0.02316308069806, -0.01031736047941],
    4: [0.90575649473776, -0.24848214433096, -0.14756756500484, -0.02463755807503, -0.01060920470821],
    5: [0.74370490904951, -0.14754664630038, -0.16504230122843, -0.02656531349376, -0.01092885624612],
}


@pytest.mark.parametrize("p", GENERATORS)
def test_published_generators(p):
    values = bspline_fractional_derivative(p, (p + 1) / 2 + np.arange(5), 1.5)
    np.testing.assert_allclose(values, GENERATORS[p], rtol=0, atol=2e-14)


def test_a_distant_entry():
    value = bspline_fractional_derivative(2, 1.5 + 20, 1.5)
    assert value == pytest.approx(-1.67720530651700e-4, rel=1e-13)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("p", [2, 3, 6])
def test_right_is_the_mirror_image_of_left(p, alpha):
    t = np.linspace(-30, 30, 41)
    right = bspline_fractional_derivative(p, t, alpha, "right")
    np.testing.assert_array_equal(right, bspline_fractional_derivative(p, p + 1 - t, alpha, "left"))
    riesz = bspline_fractional_derivative(p, t, alpha)
    left = bspline_fractional_derivative(p, t, alpha, "left")
    np.testing.assert_allclose(riesz, (left + right) / (2 * np.cos(np.pi * alpha / 2)), rtol=1e-12)


@pytest.mark.parametrize("p", [2, 3, 5])
def test_translates_sum_to_zero(p):
    """The sum of all translates is one, whose Riesz derivative is zero; what is cut off falls as n^-alpha."""
    sums = [abs(bspline_fractional_derivative(p, np.arange(-n, n) + 0.3, 1.5).sum()) for n in (10**3, 10**5)]
    assert sums[1] < 1e-7
    assert np.log(sums[0] / sums[1]) / np.log(100) == pytest.approx(1.5, abs=0.01)


@pytest.mark.parametrize("caputo", [False, True])
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("p", [2, 3, 5])
def test_clamped_functions(p, alpha, caputo):
    x = np.array([0.2, 1.0, 1.7, 2.0, 3.5, p + 0.5, p + 4.0, 50.25])
    for function in clamped(p):
        exact = np.array([one_sided(function, v, alpha, caputo) for v in x])
        values = function.derivative(x, alpha, caputo=caputo)
        np.testing.assert_allclose(values, exact, rtol=1e-10, atol=4e-14 * abs(exact).max())


def test_definitions_differ_by_the_slope_at_the_end():
    x = np.linspace(0.1, 40, 50)
    first, second = clamped(4)[:2]
    difference = first.derivative(x, 1.4) - first.derivative(x, 1.4, caputo=True)
    slope = first.coefficients[0, 1]
    assert slope == 4.0
    expected = slope * x**-0.4 / float(mpmath.gamma(0.6))
    np.testing.assert_allclose(difference, expected, rtol=1e-10)
    np.testing.assert_array_equal(second.derivative(x, 1.4), second.derivative(x, 1.4, caputo=True))


@pytest.mark.parametrize("p", [2, 3, 6])
def test_alpha_two_is_minus_the_second_derivative(p):
    t = np.linspace(-2, p + 3, 57) + 1e-3
    spline = BSpline.basis_element(np.arange(p + 2.0), extrapolate=False)
    exact = -np.nan_to_num(spline.derivative(2)(t))
    np.testing.assert_allclose(bspline_fractional_derivative(p, t, 2.0), exact, atol=1e-13)
    errors = [abs(bspline_fractional_derivative(p, t, 2 - d) - exact).max() for d in (1e-3, 1e-5)]
    assert errors[1] < 0.02 * errors[0]


@pytest.mark.parametrize("p", [2, 3, 7])
def test_pieces_are_the_b_splines(p):
    knots = np.r_[0.0, np.cumsum(np.random.default_rng(p).uniform(0.3, 2, p + 1))]
    for own, theirs in ((piece(knots.tolist()), knots), (cardinal(p), np.arange(p + 2.0))):
        spline = BSpline.basis_element(theirs)
        for a, b, row in zip(own.breaks[:-1], own.breaks[1:], own.coefficients, strict=True):
            s = np.linspace(a, b, 5)
            np.testing.assert_allclose(np.polyval(row[::-1], s - a), spline(s), atol=1e-14)


def test_a_mirrored_piece_is_the_mirror_image():
    function = clamped(4)[0]
    mirrored = function.mirrored
    np.testing.assert_allclose(mirrored.mirrored.coefficients, function.coefficients, atol=1e-14)
    assert mirrored.zeros == function.zeros[::-1] == (4, 1)
    assert mirrored.derivative(np.array([1e-16]), 1.5)[0] == pytest.approx(0, abs=1e-12)


def test_scale_of_the_knots():
    """N(s / h) has the derivative h^-alpha times that of N at s / h, also for very short and long spans."""
    x = np.array([0.4, 1.5, 3.0, 6.5, 40.0, 400.0])
    for h in (1e-9, 1e8):
        stretched = piece((h * np.arange(5.0)).tolist()).derivative(h * x, 1.3)
        np.testing.assert_allclose(stretched * h**1.3, cardinal(3).derivative(x, 1.3), rtol=1e-12)


def test_shapes():
    assert bspline_fractional_derivative(3, 2.0, 1.5).shape == ()
    assert bspline_fractional_derivative(3, np.ones((2, 3)), 1.5).shape == (2, 3)
    assert bspline_fractional_derivative(3, [], 1.5).shape == (0,)
