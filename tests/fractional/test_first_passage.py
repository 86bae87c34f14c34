"""First passage: Brownian motion, Getoor's mean, integrals and derivatives, Monte Carlo, limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gamma
from scipy.stats import levy_stable

from numsolve import ConvergenceWarning
from numsolve.fractional import (
    exit_time_density,
    exit_time_moments,
    problems,
    solve_fractional_diffusion,
    solve_riesz_bvp,
    survival_probability,
)

X = np.linspace(-0.99, 0.99, 67)
FLIGHTS = {
    "symmetric": (1.5, (0.5, 0.5)),
    "skewed": (1.3, (0.8, 0.2)),
    "one-sided": (1.7, (0.0, 1.0)),
    "Cauchy": (1.0, (0.5, 0.5)),
    "below one": (0.8, (0.6, 0.4)),
}


def heat(t, x, terms=60):
    """The probability of Brownian motion of variance 2 t to be in (-1, 1), by its Fourier series."""
    k = np.pi * (np.arange(terms) + 0.5)
    return np.sum(
        2 * (-1.0) ** np.arange(terms) / k * np.cos(np.multiply.outer(x, k)) * np.exp(-(k**2) * t), -1
    )


@pytest.mark.parametrize("t", [0.01, 0.1, 1.0])
def test_brownian_motion(t):
    r = survival_probability(2.0, t)
    np.testing.assert_allclose(r(X), heat(t, X), atol=1e-12)
    density = exit_time_density(2.0, t)(X)
    h = 1e-5 * t
    slope = (heat(t - h, X) - heat(t + h, X)) / (2 * h)
    np.testing.assert_allclose(density, slope, atol=1e-7 * slope.max())


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.4, 1.9])
def test_the_mean_is_getoors(alpha):
    mean = exit_time_moments(alpha, interval=(-2, 4), kappa=3.0)
    x = np.linspace(-1.9, 3.9, 50)
    exact = ((x + 2) * (4 - x)) ** (alpha / 2) / gamma(alpha + 1) / 3
    np.testing.assert_allclose(mean(x)[0], exact, rtol=1e-12)
    if alpha > 1:
        np.testing.assert_allclose(mean(x)[0], problems.getoor(alpha, (-2, 4))[1](x) / 3, rtol=1e-12)


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.8])
def test_the_second_moment_of_symmetric_flights(alpha):
    """``(-Delta)^(alpha/2) m = 2 (mean)``, solved by the other solver, to 1e-8."""
    r = exit_time_moments(alpha, 2)
    mean = problems.getoor(alpha)[1]
    other = solve_riesz_bvp(lambda x: 2 * mean(x), alpha, interval=(-1, 1), method="spectral", n=600)
    np.testing.assert_allclose(r(X)[1], other(X), rtol=0, atol=1e-8)
    assert r.error_estimate < 1e-8


@pytest.mark.filterwarnings("ignore::numsolve.ConvergenceWarning")  # at the earliest times
@pytest.mark.parametrize("name", FLIGHTS)
def test_moments_density_and_probability_belong_together(name):
    """``E T^k = k int t^(k-1) S dt``, and the density is minus the derivative."""
    alpha, weights = FLIGHTS[name]
    moments = exit_time_moments(alpha, 3, weights=weights)(0.2)
    nodes, w = np.polynomial.legendre.leggauss(40)
    edges = np.r_[0, np.geomspace(1e-3, 30 * moments[0], 9)]
    start, width = edges[:-1, None], np.diff(edges)[:, None]
    t, w = (start + width * (1 + nodes) / 2).ravel(), (width * w / 2).ravel()
    S = survival_probability(alpha, t, weights=weights, n=200)
    for k in (1, 2, 3):
        assert np.sum(k * w * t ** (k - 1) * S(0.2)) == pytest.approx(moments[k - 1], rel=1e-6)
    h = 1e-4
    ahead, behind = survival_probability(alpha, [0.3 - h, 0.3 + h], weights=weights)(0.2)
    assert exit_time_density(alpha, 0.3, weights=weights)(0.2) == pytest.approx(
        (ahead - behind) / (2 * h), rel=1e-6
    )


@pytest.mark.parametrize("name", FLIGHTS)
def test_the_start_and_the_end_are_adjoint(name):
    """``int S(t, x) v(x) dx = int u(t, y) dy`` for the density u that starts as v."""
    alpha, weights = FLIGHTS[name]

    def v(x):
        return (1 - x**2) ** 3 * (1 + x / 2)

    y, w = np.polynomial.legendre.leggauss(800)
    S = survival_probability(alpha, 0.4, interval=(-1, 1), weights=weights, kappa=0.7)
    u = solve_fractional_diffusion(
        v, alpha, (0, 0.4), kappa=0.7, interval=(-1, 1), weights=weights, t_eval=[0.4]
    )
    assert u.method == "spectral"
    assert w @ (S(y) * v(y)) == pytest.approx(w @ u(y)[0], rel=2e-5)


@pytest.mark.parametrize(("alpha", "weights"), [(1.5, (0.9, 0.1)), (0.7, (0.5, 0.5)), (1.3, (0.2, 0.8))])
def test_flights_thrown_at_random_leave_as_computed(alpha, weights):
    """Jumps to the right have the weight from the left: 3000 paths of 200 steps, seen after each."""
    rng = np.random.default_rng(0)
    T, steps, paths, start = 0.4, 200, 3000, 0.3
    beta = weights[0] - weights[1]
    jumps = levy_stable.rvs(
        alpha, beta, scale=(T / steps) ** (1 / alpha), size=(steps, paths), random_state=rng
    )
    inside = (abs(start + np.cumsum(jumps, axis=0)) < 1).all(axis=0).mean()
    own = float(survival_probability(alpha, T, weights=weights)(start))
    other = float(survival_probability(alpha, T, weights=weights[::-1])(start))
    assert abs(inside - own) < 0.04
    if beta:
        assert abs(inside - other) > 0.05


@pytest.mark.filterwarnings("ignore::numsolve.ConvergenceWarning")
@settings(max_examples=15)
@given(alpha=st.floats(0.3, 2.0), w=st.floats(0.0, 1.0), t=st.floats(0.2, 2.0))
def test_probabilities_are_probabilities(alpha, w, t):
    weights = (0.5, 0.5) if abs(alpha - 1) < 0.1 else (w, 1 - w)
    r = survival_probability(alpha, [t, 2 * t], weights=weights, n=64)
    early, late = r(X)
    error = 2 * r.error_estimate + 1e-12
    assert late.min() > -error
    assert early.max() < 1 + error
    assert (late <= early + error).all()


def test_shapes_and_scales():
    r = survival_probability(1.5, [0.5, 0.0, 0.1])
    assert r(np.zeros((2, 3))).shape == (3, 2, 3)
    np.testing.assert_array_equal(r([-2.0, 0.5])[1], [0.0, 1.0])
    assert survival_probability(1.5, 0.5)(0.0).shape == ()
    np.testing.assert_allclose(survival_probability(1.5, 0.1)(X), r(X)[2], atol=1e-12)
    scaled = survival_probability(1.5, 0.1 * 5**1.5 / 2, interval=(-4, 6), kappa=2.0)
    np.testing.assert_allclose(scaled(1 + 5 * X), r(X)[2], atol=1e-12)
    density = exit_time_density(1.5, 0.1 * 5**1.5 / 2, interval=(-4, 6), kappa=2.0)
    np.testing.assert_allclose(density(1 + 5 * X) * 5**1.5 / 2, exit_time_density(1.5, 0.1)(X), rtol=1e-9)


def test_times_too_early_for_the_modes_are_said():
    with pytest.warns(ConvergenceWarning, match="n is too small"):
        r = survival_probability(1.2, 1e-9, n=16)
    assert not r.success


def test_after_the_longest_times_nothing_is_left():
    r = survival_probability(1.5, [1.0, 1e100], kappa=1e300)
    assert r(0.3).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("kappa", "half"), [(1e-300, 1e-139), (1e300, 1e150), (1e-80, 1.0), (1e80, 1.0)])
def test_moments_in_any_units(kappa, half):
    """The time scales as half^alpha / kappa, whose powers may leave the range of floats on the way."""
    moments = exit_time_moments(1.5, 3, interval=(-half, half), kappa=kappa)(0.0)
    unit = np.exp(1.5 * np.log(half) - np.log(kappa))
    np.testing.assert_allclose(
        moments / unit / [1, unit, unit**2], exit_time_moments(1.5, 3)(0.0), rtol=1e-10
    )


@pytest.mark.parametrize("settings", [{"kappa": 1e-160}, {"kappa": 5e-324}, {"interval": (-1e150, 1e150)}])
def test_moments_that_overflow_are_refused(settings):
    with pytest.raises(ValueError, match=r"E T\^3 does not overflow"):
        exit_time_moments(1.5, 3, **settings)
