"""The von Mises-Fisher distribution: three dimensions in closed form, fits, samples."""

from __future__ import annotations

import math
import warnings
from typing import ClassVar

import numpy as np
import pytest
from contract import Call, Conduct
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from numsolve import ConvergenceWarning, Status, special
from numsolve.special import iv_ratio, vmf_entropy, vmf_fit, vmf_log_norm, vmf_log_prob, vmf_sample

RNG = np.random.default_rng(0)


def unit(n, d):
    X = RNG.normal(size=(n, d))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


@given(st.integers(2, 10**5), st.floats(-10, 0).map(lambda e: 10.0**e), st.booleans())
def test_the_fit_solves_its_equation(d, small, near_one):
    R = 1.0 - small if near_one and small < 1 else small * 0.999
    r = vmf_fit(R=R, d=d)
    assert r.success
    assert abs(float(iv_ratio(d / 2 - 1, r.kappa)) - R) <= 1e-15 * R
    assert r.nit <= 8


def test_in_three_dimensions_the_equation_is_elementary():
    for kappa in (1e-3, 0.5, 3.0, 20.0):
        R = 1 / np.tanh(kappa) - 1 / kappa
        assert_allclose(vmf_fit(R=R, d=3).kappa, kappa, rtol=1e-8 if kappa < 0.1 else 1e-13)


def test_the_closed_form_of_banerjee_is_as_far_off_as_it_is_known_to_be():
    """Its relative error falls as the dimension grows (specification: 7.3e-5 at 2048, 4.6e-6 at 32768)."""
    errors = [
        vmf_fit(R=0.5, d=d).kappa / (0.5 * (d - 0.25) / 0.75) - 1 for d in (128, 512, 2048, 8192, 32768)
    ]
    slope = np.polyfit(np.log([128, 512, 2048, 8192, 32768]), np.log(np.abs(errors)), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.02)


def test_scipy_loses_the_fit_that_we_find():
    """2048 dimensions: SciPy's result is a concentration of nearly nothing, without a word."""
    stats = pytest.importorskip("scipy.stats")
    X = vmf_sample(np.eye(2048)[0], 1600.0, 500, rng=1)
    r = vmf_fit(X)
    assert r.kappa == pytest.approx(1600, rel=0.02)
    assert_allclose(np.linalg.norm(r.mu), 1.0)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        assert not abs(stats.vonmises_fisher.fit(X)[1] - 1600) < 800


def test_density_and_entropy_are_those_of_scipy_in_low_dimensions():
    from scipy.stats import vonmises_fisher

    for d, kappa in ((2, 0.7), (3, 5.0), (6, 40.0)):
        mu, X = np.eye(d)[1], unit(20, d)
        peer = vonmises_fisher(mu, kappa)
        assert_allclose(vmf_log_prob(X, mu, kappa), peer.logpdf(X), rtol=1e-11)
        assert_allclose(vmf_entropy(d, kappa), peer.entropy(), rtol=1e-11)


def test_the_density_integrates_to_one_in_three_dimensions():
    """C_3 = kappa / (4 pi sinh kappa)."""
    kappa = np.array([0.01, 1.0, 30.0, 600.0])
    want = np.log(kappa) - np.log(2 * np.pi) - kappa - np.log1p(-np.exp(-2 * kappa))
    assert_allclose(vmf_log_norm(3, kappa), want, rtol=1e-14)
    assert_allclose(vmf_entropy(3, kappa), -want - kappa / np.tanh(kappa) + 1, rtol=1e-11)


@given(st.integers(2, 5000), st.floats(-4, 12).map(lambda e: 10.0**e))
def test_the_entropy_of_concentrated_data_is_that_of_a_normal_distribution(d, kappa):
    """(d - 1) / 2 log(2 pi e / kappa), up to terms of order d^2 / kappa."""
    entropy = float(vmf_entropy(d, kappa))
    uniform = float(vmf_entropy(d, 0.0))
    assert entropy <= uniform + 1e-12 * abs(uniform)
    if kappa > 1e4 * d * d:
        normal = 0.5 * (d - 1) * math.log(2 * math.pi * math.e / kappa)
        assert abs(entropy - normal) <= d * d / kappa + 1e-12 * abs(normal)


def test_entropy_is_continuous_where_the_concentration_vanishes():
    for d in (2, 3, 100, 4096):
        assert_allclose(vmf_log_norm(d, 1e-8), vmf_log_norm(d, 0.0), rtol=1e-11)


@pytest.mark.parametrize("d", [2, 3, 50])
@pytest.mark.parametrize("kappa", [0.0, 1.0, 300.0, 1e10])
def test_samples_have_the_mean_resultant_length_of_their_concentration(d, kappa):
    """The mean of 1 - mu . x is 1 - A within five standard errors."""
    mu = unit(1, d)[0]
    X = vmf_sample(mu, kappa, 4000, rng=2)
    assert_allclose(np.linalg.norm(X, axis=1), 1.0, rtol=1e-12)
    drop = 0.5 * ((X - mu) ** 2).sum(axis=1)
    A = float(special.iv_ratio(d / 2 - 1, kappa))
    want = 1 - A if kappa < 1e6 else (d - 1) / (2 * kappa)
    assert abs(drop.mean() - want) < 5 * drop.std() / math.sqrt(4000)
    np.testing.assert_array_equal(vmf_sample(mu, kappa, 5, rng=2), vmf_sample(mu, kappa, 5, rng=2))


def test_weights_count_as_copies_and_rows_may_be_normalized():
    X = unit(20, 5) + np.eye(5)[0]
    w = RNG.integers(1, 4, 20)
    a = vmf_fit(X, weights=w, normalize=True)
    b = vmf_fit(np.repeat(X, w, axis=0), normalize=True)
    assert_allclose(a.kappa, b.kappa, rtol=1e-13)
    assert_allclose(a.mu, b.mu, rtol=1e-13)
    assert a.log_likelihood == pytest.approx(
        vmf_log_prob(X / np.linalg.norm(X, axis=1)[:, None], a.mu, a.kappa) @ w / w.sum()
    )


def test_the_fit_maximises_the_likelihood():
    X = vmf_sample(np.eye(40)[0], 30.0, 100, rng=3)
    r = vmf_fit(X)
    for kappa in (0.99 * r.kappa, 1.01 * r.kappa):
        assert vmf_log_prob(X, r.mu, kappa).mean() < r.log_likelihood


def test_no_direction_and_one_direction():
    r = vmf_fit(R=0.0, d=4)
    assert r.success
    assert r.kappa == 0.0
    with pytest.warns(ConvergenceWarning, match="one single direction"):
        r = vmf_fit(np.eye(3)[[0, 0]])
    assert r.status is Status.UNBOUNDED
    assert r.kappa == math.inf
    assert vmf_fit(np.array([[1.0, 0.0], [-1.0, 0.0]])).mu is None


def test_next_to_one_the_fit_has_the_digits_of_one_less_r():
    """In three dimensions A = 1 / tanh kappa - 1 / kappa, so that kappa = 1 / (1 - R)."""
    for gap in (2.0**-20, 2.0**-30, 2.0**-50):
        r = vmf_fit(R=1 - gap, d=3)
        assert r.success
        assert_allclose(r.kappa, 1 / gap, rtol=2e-15)
        assert_allclose(r.log_likelihood, np.log(r.kappa / (2 * np.pi)) - 1, rtol=1e-14)


def test_one_direction_has_no_maximum_however_it_is_rounded():
    for row in vmf_sample(np.eye(5)[0], 7.0, 8, rng=0):
        with pytest.warns(ConvergenceWarning, match="one single direction"):
            r = vmf_fit(np.repeat(row[None], 7, axis=0))
        assert r.kappa == math.inf


def test_lengths_and_scales_do_not_count():
    """Rows off by rounding in single precision, rows at the ends of the range."""
    X = vmf_sample(np.eye(3)[0], 1e8, 500, rng=0)
    want = vmf_fit(X).kappa
    assert_allclose(vmf_fit(X * (1 - 9e-7)).kappa, want, rtol=1e-6)
    assert_allclose(vmf_fit(X.astype(np.float32)).kappa, want, rtol=1e-2)
    A = np.array([[3.0, 4.0], [1.0, 0.0], [1.0, 1.0]])
    for scale in (1e-300, 1e-161, 1e154, 1e307):
        assert_allclose(
            vmf_fit(A * scale, normalize=True).kappa, vmf_fit(A, normalize=True).kappa, rtol=1e-14
        )


def test_the_density_is_largest_at_the_mean():
    mu = unit(1, 10)[0]
    for kappa in (1.0, 1e8, 1e16):
        peak = vmf_log_prob(mu, mu, kappa)
        assert_allclose(peak, vmf_log_prob(np.eye(10)[0], np.eye(10)[0], kappa), rtol=1e-13)
        assert (vmf_log_prob(vmf_sample(mu, kappa, 50, rng=0), mu, kappa) <= peak).all()
    points, means = unit(6, 10), unit(3, 10)
    assert_allclose(
        vmf_log_prob(points[:, None], means, 10.0),
        vmf_log_norm(10, 10.0) + 10.0 * points @ means.T,
        rtol=1e-13,
    )


def test_the_constant_of_nearly_uniform_directions():
    """-log(sphere's area) - log 0F1(; d / 2; kappa^2 / 4)."""
    for d in (2, 17, 50):
        for kappa in (1e-300, 1e-5, 0.7, 1.0):
            y = kappa * kappa / 4
            series = (
                y / (d / 2) * (1 + y / (d + 2) * (1 + y / (3 * (d / 2 + 2)) * (1 + y / (4 * (d / 2 + 3)))))
            )
            want = float(vmf_log_norm(d, 0.0)) - math.log1p(series)
            assert_allclose(vmf_log_norm(d, kappa), want, rtol=1e-6 if kappa > 0.1 else 1e-14, atol=1e-14)


def test_derivatives_of_constant_and_entropy_under_jax():
    """d log C / d kappa = -A, d entropy / d kappa = -kappa A'; both vanish at kappa = 0."""
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    kappa = np.array([0.0, 1e-300, 1e-3, 5.0, 30.0])
    d = 2
    A = iv_ratio(d / 2 - 1, kappa)
    slope = 1 - A * A - np.r_[(d - 1) / d, (d - 1) / d, (d - 1) * A[2:] / kappa[2:]]
    constant, entropy = (
        jax.jit(jax.vmap(jax.grad(lambda k, f=f: f(d, k)))) for f in (vmf_log_norm, vmf_entropy)
    )
    assert_allclose(constant(kappa), -A, rtol=1e-12)
    assert_allclose(entropy(kappa), -kappa * slope, atol=1e-10)
    with pytest.raises(ValueError, match="unit vectors"):
        vmf_fit(jax.numpy.eye(3) * 2)
    with pytest.raises(TypeError, match="not traced"):
        jax.jit(vmf_fit)(jax.numpy.eye(3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (vmf_fit, ValueError, "give the data X"),
        (lambda: vmf_fit(R=0.5), ValueError, "give the data X"),
        (lambda: vmf_fit(np.eye(3), R=0.5), ValueError, "not both"),
        (lambda: vmf_fit(2 * np.eye(3)), ValueError, "X must hold unit vectors"),
        (lambda: vmf_fit(np.empty((0, 3))), ValueError, "X is empty"),
        (lambda: vmf_fit(np.ones((3, 1))), ValueError, "at least 2 columns"),
        (lambda: vmf_fit(np.full((3, 2), np.nan)), ValueError, "finite"),
        (lambda: vmf_fit(np.zeros((3, 2)), normalize=True), ValueError, "row of zeros"),
        (lambda: vmf_fit(R=1.5, d=3), ValueError, "R must be"),
        (lambda: vmf_fit(R=0.5, d=1), ValueError, "d must be"),
        (lambda: vmf_fit(R=0.5, d=3, weights=[1]), ValueError, "weights"),
        (lambda: vmf_fit(np.eye(3), weights=[-1, 1, 1]), ValueError, "weights"),
        (lambda: vmf_log_norm(3, -1.0), ValueError, "kappa"),
        (lambda: vmf_log_prob(np.eye(3), np.ones(3), 1.0), ValueError, "mu must hold unit vectors"),
        (lambda: vmf_log_prob(np.eye(3), np.eye(2)[0], 1.0), ValueError, "last axis"),
        (lambda: vmf_log_prob(np.eye(3), np.eye(3)[:2], 1.0), ValueError, "must broadcast"),
        (lambda: vmf_fit(R=0.5, d=10**400), ValueError, "d must be"),
        (lambda: vmf_sample(np.eye(3)[0], 1.7e308), ValueError, "kappa"),
        (lambda: vmf_sample(np.eye(3), 1.0), ValueError, "mu must be 1-D"),
        (lambda: vmf_sample(np.eye(3)[0], np.inf), ValueError, "kappa"),
        (lambda: vmf_sample(np.eye(3)[0], 1.0, -1), ValueError, "size"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def fit(**settings):
    return vmf_fit(R=0.7, d=2, **settings)


class TestConduct(Conduct):
    calls: ClassVar = {
        "vmf_fit": Call(fit, measure=lambda r: abs(float(iv_ratio(0.0, r.x)) - 0.7), changes=False)
    }


@pytest.mark.parametrize("single", [("kappa",), ("x",), ("mu", "kappa")])
def test_one_argument_of_single_precision_takes_no_digits_from_the_others(single):
    given = {"x": unit(3, 4), "mu": unit(1, 4)[0], "kappa": np.array(3.0)}
    given = {name: value.astype(np.float32 if name in single else float) for name, value in given.items()}
    double = {name: value.astype(float) for name, value in given.items()}
    assert_allclose(vmf_log_prob(**given), vmf_log_prob(**double), rtol=1e-14)
    assert (
        vmf_log_prob(**{name: value.astype(np.float32) for name, value in given.items()}).dtype == np.float32
    )


def test_samples_about_a_direction_in_single_precision_are_unit_vectors():
    mu = np.array([-0.038883936, 0.3070505, -0.9508985], dtype=np.float32)
    assert_allclose(np.linalg.norm(vmf_sample(mu, 1e8, 5, rng=0), axis=1), 1.0, rtol=1e-14)
