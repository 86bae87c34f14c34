"""The symbols: closed form, limits, and what they say about the matrices."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from numsolve.fractional import analyze_symbol, bspline_fractional_derivative, mass_symbol, riesz_symbol

#: values at pi / 2 and pi for alpha = 1.2, 1.5, 1.8; from 40-digit arithmetic
PUBLISHED = {
    2: [[1.348409366186, 1.830475756138], [1.566317596635, 2.484056697675], [1.816619332764, 3.325786542551]],
    3: [[1.206381960183, 1.385768973160], [1.428448235232, 2.020130867413], [1.727224515355, 3.007272549562]],
}
AT_PI = {
    4: [0.814804523932, 1.142885136113, 1.600154526768],
    5: [0.528883514035, 0.747372742653, 1.057222849385],
}


@pytest.mark.parametrize(("k", "alpha"), [(0, 1.2), (1, 1.5), (2, 1.8)])
def test_published_values(k, alpha):
    for p, rows in PUBLISHED.items():
        np.testing.assert_allclose(riesz_symbol([np.pi / 2, np.pi], p, alpha), rows[k], rtol=1e-12)
    for p, row in AT_PI.items():
        assert riesz_symbol(np.pi, p, alpha) == pytest.approx(row[k], rel=1e-11)


@pytest.mark.parametrize("alpha", [1.01, 1.5, 1.99, 2.0])
@pytest.mark.parametrize("p", [2, 3, 4, 9, 10])
def test_the_definition(p, alpha):
    """The bilateral sum, with Hurwitz zeta functions in 30 digits."""
    theta = np.array([1e-7, 0.01, 0.7, 2.0, 3.1])
    with mpmath.workdps(30):
        s = mpmath.mpf(p + 1) - mpmath.mpf(alpha)

        def side(x):
            if p % 2:
                return mpmath.zeta(s, x)
            return mpmath.nsum(lambda k: (-1) ** int(k) * (x + k) ** -s, [0, mpmath.inf])

        exact = []
        for t in map(mpmath.mpf, theta):
            x = t / (2 * mpmath.pi)
            exact.append((2 * mpmath.sin(t / 2)) ** (p + 1) * (2 * mpmath.pi) ** -s * (side(x) + side(1 - x)))
    np.testing.assert_allclose(riesz_symbol(theta, p, alpha), [float(v) for v in exact], rtol=2e-14)


@pytest.mark.parametrize(("p", "alpha"), [(2, 1.3), (3, 1.5), (5, 1.8), (6, 1.1)])
def test_toeplitz_entries_are_fourier_coefficients(p, alpha):
    s, weights = np.polynomial.legendre.leggauss(150)
    s = (s + 1) / 2
    theta, weights = np.pi * s**4, 2 * s**3 * weights  # the zero of order alpha becomes smooth enough
    k = np.arange(9)
    coefficients = np.cos(np.outer(k, theta)) @ (weights * riesz_symbol(theta, p, alpha))
    entries = bspline_fractional_derivative(p, (p + 1) / 2 + k, alpha)
    np.testing.assert_allclose(coefficients, entries, atol=1e-9)


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.8, 2.0])
@pytest.mark.parametrize("p", [2, 3, 4, 5, 8])
def test_value_at_the_highest_frequency(p, alpha):
    """Dirichlet's beta function for even p, the zeta function of odd numbers for odd p."""
    s = p + 1 - alpha
    if p % 2:
        sums = (1 - 2**-s) * float(mpmath.zeta(s))
    else:
        sums = float((mpmath.zeta(s, 0.25) - mpmath.zeta(s, 0.75)) / 4**s) if s != 1 else np.pi / 4
    assert riesz_symbol(np.pi, p, alpha) == pytest.approx(2 ** (p + 2) * np.pi**-s * sums, rel=1e-13)


@pytest.mark.parametrize("alpha", [1.1, 1.5, 2.0])
@pytest.mark.parametrize("p", range(2, 11))
def test_one_zero_of_order_alpha(p, alpha):
    theta = np.linspace(0, np.pi, 2001)
    f = riesz_symbol(theta, p, alpha)
    assert f[0] == 0
    assert (f[1:] > 0).all()
    assert riesz_symbol(1e-5, p, alpha) / 1e-5**alpha == pytest.approx(1, abs=1e-9)
    assert analyze_symbol(p, alpha).zero_order == pytest.approx(alpha, abs=1e-6)


def test_even_and_periodic():
    theta = np.linspace(-9, 9, 71)
    f = riesz_symbol(theta, 4, 1.3)
    np.testing.assert_allclose(f, riesz_symbol(-theta, 4, 1.3), rtol=1e-13)
    np.testing.assert_allclose(f, riesz_symbol(theta + 2 * np.pi, 4, 1.3), rtol=1e-11)


@pytest.mark.parametrize("theta", [4.0, 710.0, 1e8 + 0.1, 1e16, 3e22, 1e300])
def test_the_period_is_known_at_any_angle(theta):
    """The angle in one period by mpmath, which has as many digits as it takes."""
    with mpmath.workdps(400):
        turned = abs(mpmath.mpf(theta) - 2 * mpmath.pi * mpmath.nint(mpmath.mpf(theta) / (2 * mpmath.pi)))
    for symbol in (lambda x: riesz_symbol(x, 3, 1.5), lambda x: mass_symbol(x, 3)):
        assert symbol(-theta) == pytest.approx(symbol(float(turned)), rel=1e-13)


def test_long_arrays_are_done_in_blocks():
    theta = np.linspace(0, 3, 100_000)
    np.testing.assert_array_equal(riesz_symbol(theta, 3, 1.5)[::999], riesz_symbol(theta[::999], 3, 1.5))


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.8])
def test_exponential_decay_at_high_frequencies(alpha):
    """The abstract's claim: f(pi) / max f falls exponentially with p, and faster for alpha near one."""
    ratios = np.array([analyze_symbol(p, alpha).high_ratio for p in range(4, 21, 2)])
    slope = np.polyfit(np.arange(4, 21, 2)[3:], np.log(ratios[3:]), 1)[0]
    assert slope == pytest.approx(np.log(2 / np.pi), abs=0.2)
    assert (np.diff(ratios) < 0).all()
    assert analyze_symbol(10, 1.2).high_ratio < analyze_symbol(10, 1.8).high_ratio


def test_the_peak():
    a = analyze_symbol(10, 1.8)
    assert a.peak == pytest.approx(0.735, abs=1e-3)
    theta = np.linspace(0, np.pi, 10_001)
    assert a.peak == pytest.approx(riesz_symbol(theta, 10, 1.8).max(), rel=1e-7)
    assert analyze_symbol(2, 1.8).peak_theta == pytest.approx(np.pi)
    assert analyze_symbol(2, 1.8).high_ratio == pytest.approx(1.0)


@pytest.mark.parametrize("p", [2, 3, 4, 7])
def test_mass_symbol(p):
    theta = np.linspace(0, np.pi, 9)
    k = np.arange(-3000, 3001)
    x = theta[:, None] / 2 + k * np.pi
    exact = (np.sinc(x / np.pi) ** (p + 1)).sum(axis=1)
    np.testing.assert_allclose(mass_symbol(theta, p), exact, atol=2e-8 if p == 2 else 1e-11)
    assert mass_symbol(0.0, p) == pytest.approx(1.0, abs=1e-15)
