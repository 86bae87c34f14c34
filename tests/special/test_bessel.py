"""Logarithms, ratios and derivatives against references and against the identities that define them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from special.references import error, table

from numsolve import special
from numsolve.special import _tuples

T = table()
SCALES = st.floats(-8.0, 8.0).map(lambda e: 10.0**e)


def test_the_references_agree_with_published_values():
    """I_0(1) and K_0(1), as in Abramowitz and Stegun, tables 9.8 and 9.9, with the digits of mpmath."""
    assert_allclose(np.exp(special.log_iv(0, 1)), 1.2660658777520083, rtol=1e-15)
    assert_allclose(np.exp(special.log_kv(0, 1)), 0.4210244382407083, rtol=1e-15)


#: From functions.wolfram.com, as the tests of Boost.Math quote them (test_bessel_i.hpp, test_bessel_k.hpp).
PUBLISHED_I = [
    (0, 4, "11.30192195213633049635627018321"),
    (0, 200, "2.03968717340972461954167312678e85"),
    (5, 10, "777.188286403259959907293484802"),
    (100, 9, "2.74306601746058997093587654669e-93"),
    (100, 80, "4.65194832850610205318128191404e8"),
    (5.5, 3.125, "0.05835140459893715004609465362"),
    (2.25, 2.0**-20, "2.34379212133481347189068464681e-15"),
    (144794 / 1024, 200, "2.23699739472246928794922868978e64"),
    (10, 1e-100, "2.69114445546737213403880070547e-1010"),
    (1.125, 2.0**-513, "8.02269390325932403421158766283e-175"),
]
PUBLISHED_K = [
    (0, 2.0**-60, "41.70476234925513101384464731887"),
    (1, 50, "3.44410222671755561259185303592e-23"),
    (10, 2.0**-30, "3.78470202927236255215249281535e98"),
    (100, 5, "7.03986019306167654653386616797e115"),
    (-1000, 664, "0.00372564418019942154373086796"),
    (0.5, 0.875, "0.55853223164660864611572976701"),
    (5.5, 3217 / 1024, "1.30623288775012596319554857588"),
    (144793 / 1024, 200, "9.11950412043225432171915100043e-68"),
    (-1.125, 2.0**-513, "5.53984048006472105611199242328e173"),
]


@pytest.mark.parametrize(("f", "published"), [(special.log_iv, PUBLISHED_I), (special.log_kv, PUBLISHED_K)])
def test_published_values(f, published):
    from mpmath import mp

    for v, x, value in published:
        with mp.workdps(30):
            assert error(f(v, x), float(mp.log(mp.mpf(value)))) < 2e-15


@pytest.mark.parametrize(("name", "column"), [("log_iv", "log_i"), ("log_kv", "log_k")])
def test_the_logarithms_have_fourteen_digits_everywhere(name, column):
    value = getattr(special, name)(T["v"], T["x"])
    assert error(value, T[column]).max() < 1e-14


@pytest.mark.parametrize(("name", "kind"), [("log_iv_grad", "i"), ("log_kv_grad", "k")])
def test_the_derivatives_have_thirteen_digits_everywhere(name, kind):
    value, d_dx, d_dv = getattr(special, name)(T["v"], T["x"])
    assert error(value, T[f"log_{kind}"]).max() < 1e-14
    assert_allclose(d_dx, T[f"{kind}_dx"], rtol=1e-13)
    assert error(d_dv, T[f"{kind}_dv"]).max() < 1e-13


def test_the_scaled_logarithms_do_not_cancel():
    """log I - x is -log(2 pi x) / 2, less v^2 / (2 x), for large x; log K + x is log(pi / (2 x)) / 2."""
    x = np.logspace(6, 300, 50)
    assert_allclose(special.log_ive(0.5, x), -0.5 * np.log(2 * np.pi * x), rtol=4e-16)
    assert_allclose(special.log_kve(0.5, x), 0.5 * np.log(np.pi / (2 * x)), rtol=4e-16)
    assert_allclose(special.log_ive(1e6, 1e10), -50 - 0.5 * np.log(2e10 * np.pi), rtol=1e-8)


@given(SCALES)
def test_half_orders_are_elementary(x):
    want = 0.5 * np.log(2 / (np.pi * x)) + (np.log(np.sinh(x)) if x < 30 else x - np.log(2))
    assert error(special.log_iv(0.5, x), want) < 4e-15
    want = 0.5 * np.log(np.pi / (2 * x)) - x
    assert error(special.log_kv(0.5, x), want) < 4e-15
    assert_allclose(special.kv_ratio(0.5, x), 1 + 1 / x, rtol=4e-15)
    if x > 1e-2:
        assert_allclose(special.iv_ratio(0.5, x), 1 / np.tanh(x) - 1 / x, rtol=1e-11)


@given(SCALES, SCALES)
def test_the_wronskian(v, x):
    """x (I_v K_{v+1} + I_{v+1} K_v) = 1, which ties all four functions together."""
    log_i, log_k = special.log_iv(v, x), special.log_kv(v, x)
    a, b = special.kv_ratio(v, x), special.iv_ratio(v, x)
    residual = log_i + log_k + np.log(x) + np.log(a + b)
    assert abs(residual) <= 2e-14 * max(1.0, abs(log_i))


@given(SCALES, SCALES)
def test_ratios_are_those_of_the_logarithms(v, x):
    scale = max(1.0, abs(special.log_iv(v, x)), abs(special.log_kv(v, x)))
    assert (
        abs(np.log(special.iv_ratio(v, x)) - special.log_iv(v + 1, x) + special.log_iv(v, x)) < 1e-14 * scale
    )
    assert (
        abs(np.log(special.kv_ratio(v, x)) - special.log_kv(v + 1, x) + special.log_kv(v, x)) < 1e-14 * scale
    )


@given(st.floats(0.0, 1e3), SCALES)
def test_the_three_term_recurrence(v, x):
    """I_v - I_{v+2} = 2 (v + 1) / x I_{v+1}, divided by I_v; K with the other sign."""
    a, b = special.iv_ratio(v, x), special.iv_ratio(v + 1, x)
    assert_allclose(a * b + 2 * (v + 1) / x * a, 1.0, rtol=1e-14)
    a, b = special.kv_ratio(v, x), special.kv_ratio(v + 1, x)
    assert_allclose(1 / a + 2 * (v + 1) / x, b, rtol=1e-14)


@pytest.mark.parametrize("name", ["log_iv", "log_kv", "iv_ratio", "kv_ratio"])
def test_they_are_monotone_across_the_switching_lines(name):
    """In x and in v, I rises and falls, K falls and rises: in steps of 1e-9 across each line."""
    f, sign = getattr(special, name), (1 if name in {"log_iv", "iv_ratio"} else -1)
    steps = 1 + 1e-9 * np.arange(-40, 41)
    angles = np.linspace(0.01, 1.56, 60)[:, None]
    lines = [
        (25 * np.sin(angles), 25 * np.cos(angles)),
        (np.linspace(0.3, 24, 60)[:, None], np.full((60, 1), 2.0)),
        (
            np.logspace(1, 7, 60)[:, None],
            0.6627434193491815 * 1.105263157894737 * np.logspace(1, 7, 60)[:, None],
        ),
        (
            np.logspace(1, 7, 60)[:, None],
            0.6627434193491815 * 0.904761904761905 * np.logspace(1, 7, 60)[:, None],
        ),
        (np.arange(1, 25)[:, None] + 0.5, np.linspace(0.1, 5, 24)[:, None]),
    ]
    for v, x in lines:
        along_x, along_v = f(v, x * steps), f(v * steps, x)
        rounding = 1e-14 * np.maximum(1.0, np.abs(along_x))
        assert (sign * np.diff(along_x) >= -rounding[:, 1:]).all()
        assert (-sign * np.diff(along_v) >= -rounding[:, 1:]).all()


def test_no_value_is_lost_where_the_true_one_is_finite():
    v, x = np.meshgrid(np.r_[0.0, np.logspace(-300, 300, 121)], np.logspace(-300, 300, 121))
    for name in ("log_iv", "log_kv", "log_ive", "log_kve"):
        assert np.isfinite(getattr(special, name)(v, x)).all()
    assert ((special.iv_ratio(v, x) >= 0) & (special.iv_ratio(v, x) <= 1)).all()
    assert (special.kv_ratio(v, x) >= 1).all()


INF, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    ("v", "x", "log_i", "log_k"),
    [
        (0, 0, 0.0, INF),
        (3, 0, -INF, INF),
        (2, INF, INF, -INF),
        (INF, 2, -INF, INF),
        (2, -1, NAN, NAN),
        (NAN, 1, NAN, NAN),
        (1, NAN, NAN, NAN),
        (INF, INF, NAN, NAN),
    ],
)
def test_the_ends_of_the_domain_are_those_of_scipy(v, x, log_i, log_k):
    assert_array_equal(special.log_iv(v, x), log_i)
    assert_array_equal(special.log_kv(v, x), log_k)
    assert np.isnan(special.log_iv_grad(v, x)[1]) or np.isfinite(x)


def test_negative_orders():
    assert special.log_kv(-2.3, 1.7) == special.log_kv(2.3, 1.7)
    assert special.log_kv_grad(-2.3, 1.7)[2] == -special.log_kv_grad(2.3, 1.7)[2]
    assert np.isnan(special.log_iv(-2.3, 1.7))
    assert np.isnan(special.kv_ratio(-2.3, 1.7))


def test_the_tables_of_constants():
    """Debye's polynomials of DLMF 10.41.10, the series of 1 / Gamma and of eta about its root."""
    from mpmath import mp

    assert_allclose(_tuples.DEBYE[1, :2], [1 / 8, -5 / 24], rtol=1e-16)
    assert_allclose(_tuples.DEBYE[2, :3], [9 / 128, -77 / 192, 385 / 1152], rtol=1e-16)
    with mp.workdps(50):
        assert_array_equal(
            _tuples.RECIPROCAL_GAMMA, [float(c) for c in mp.taylor(lambda z: mp.rgamma(1 + z), 0, 19)]
        )
        root = mp.findroot(lambda z: mp.sqrt(1 + z * z) - mp.asinh(1 / z), 0.66)
        assert abs(mp.mpf(_tuples.ROOT) + mp.mpf(_tuples.ROOT_REST) - root) < 1e-23

        def eta(u):
            z = root * (1 + u) / (1 - u)
            return mp.sqrt(1 + z * z) - mp.asinh(1 / z)

        assert_allclose(_tuples.ETA, [float(c) for c in mp.taylor(eta, 0, 13)[1:]], rtol=1e-15)


def test_the_slope_of_i_at_order_zero_is_that_of_dlmf_10_38_4():
    """dI_v / dv = -K_0 at v = 0: exponentially small, where the terms of the series cancel."""
    x = np.array([0.3, 2.0, 2.1, 9.0, 15.0, 24.9, 25.1, 60.0, 300.0])
    assert_allclose(
        special.log_iv_grad(0.0, x)[2], -np.exp(special.log_kv(0, x) - special.log_iv(0, x)), rtol=2e-13
    )


@pytest.mark.parametrize(("v", "x"), [(1e-8, 15.0), (1e-3, 24.0), (0.1, 24.5), (0.49, 2.1), (1e-5, 30.0)])
def test_the_slope_of_i_in_small_orders_is_relatively_accurate(v, x):
    from mpmath import mp

    with mp.workdps(60):
        h = mp.mpf(10) ** -20
        slope = (mp.log(mp.besseli(v + h, x)) - mp.log(mp.besseli(v - h, x))) / (2 * h)
        assert abs(special.log_iv_grad(v, x)[2] / slope - 1) < 1e-13


def test_subnormal_arguments_keep_their_digits():
    """The first term of the series: v log(x / 2) - log Gamma(v + 1)."""
    x = np.array([5e-324, 1.5e-323, 2e-310])
    want = 2.5 * (np.log(x) - np.log(2)) - math.lgamma(3.5)
    assert_allclose(special.log_iv(2.5, x), want, rtol=1e-15)
    assert_allclose(special.log_kv(2.5, x), -np.log(5) - want, rtol=1e-15)
    assert_array_equal(special.log_iv(0, x), 0.0)
    assert_allclose(special.log_kv(0, x), np.log(np.log(2) - np.log(x) - np.euler_gamma), rtol=1e-15)


def test_the_largest_floats():
    """The functions become homogeneous: log I(c v, c x) = c log I(v, x), and the ratios do not change."""
    for ratio in (0.3, 0.5, 1.0, 3.0):
        v, x = 1e307 * min(1.0, ratio), 1e307 * min(1.0, 1 / ratio)
        for f in (special.log_iv, special.log_kv):
            assert_allclose(f(17 * v, 17 * x), 17 * f(v, x), rtol=1e-14)
    assert_allclose(special.iv_ratio(1.7e308, 1.7e308), math.tan(math.pi / 8), rtol=1e-15)
    assert_allclose(special.kv_ratio(1.7e308, 1.7e308), 1 / math.tan(math.pi / 8), rtol=1e-15)
    assert_allclose(special.log_iv_grad(1.7e308, 1e300)[2], -math.asinh(1.7e8), rtol=1e-14)
    assert_allclose(
        special.log_ive(1e154, 1e308), -0.5 - 0.5 * (np.log(2 * np.pi) + np.log(1e308)), rtol=1e-15
    )
    assert_allclose(special.log_kv_grad(1e8, 1e-300)[1], -1e308, rtol=1e-14)
    assert special.log_kv_grad(0.5, 1e-310)[1] == -INF


@pytest.mark.parametrize("arguments", [([[1.0, 2.0], [3.0]], 1.0), (1.0, [[1.0, 2.0], [3.0]])])
def test_a_ragged_list_is_refused_in_our_words(arguments):
    with pytest.raises(
        ValueError, match=r"^[vx] must be a rectangular array of numbers, got \[\[1.0, 2.0\], \[3.0\]\]$"
    ):
        special.log_iv(*arguments)
