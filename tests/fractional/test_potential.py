"""Eigenvalues with a potential: oscillators, shifts, another discretisation, errors that are told."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import ai_zeros

from numsolve._core.result import ConvergenceWarning
from numsolve.fractional import solve_riesz_eig


def well(x):
    return -20 * np.exp(-((x - 0.3) ** 2))


def test_the_oscillator():
    """``-u'' + x^2 u``: the odd numbers."""
    r = solve_riesz_eig(2.0, 4, interval=(-10, 10), potential=np.square)
    assert_allclose(r.x, [1, 3, 5, 7], rtol=1e-12)
    assert r.success
    assert r.error_estimate < 1e-11


def test_the_oscillator_of_the_cauchy_process():
    """The Fourier transform makes ``-d^2/dp^2 + |p|`` of it: zeros of Ai' and of Ai, but for the walls."""
    zeros, extrema, _, _ = ai_zeros(2)
    exact = np.sort(-np.r_[zeros, extrema])
    near, far = (solve_riesz_eig(1.0, 4, interval=(-L, L), potential=np.square, n=200) for L in (6, 12))
    assert_allclose(far.x, exact, atol=1e-6)
    assert (near.x > exact).all()  # a wall raises them, the less the farther
    assert (abs(far.x - exact)[:2] < abs(near.x - exact)[:2] / 8).all()


def test_fourier_exchanges_the_two_terms():
    """``(-Delta)^(3/4) + x^2`` and ``-Delta + |x|^(3/2)`` have the same eigenvalues."""
    one = solve_riesz_eig(1.5, 3, interval=(-16, 16), potential=np.square, n=256)
    other = solve_riesz_eig(2.0, 3, interval=(-12, 12), potential=lambda p: abs(p) ** 1.5, n=256)
    assert_allclose(one.x, other.x, atol=1e-5)


@pytest.mark.parametrize("method", ["spectral", "spline"])
def test_a_constant_shifts(method):
    settings = {"interval": (0, 2), "method": method, "n": 128}
    free = solve_riesz_eig(1.4, 3, **settings)
    assert_allclose(solve_riesz_eig(1.4, 3, potential=-7.5, **settings).x, free.x - 7.5, rtol=1e-10)
    assert_allclose(solve_riesz_eig(1.4, 3, potential=0.0, **settings).x, free.x, rtol=1e-10)


@pytest.mark.parametrize("alpha", [1.2, 1.7])
def test_splines_agree_within_their_errors(alpha):
    modes = solve_riesz_eig(alpha, 3, interval=(-2, 3), potential=well)
    splines = solve_riesz_eig(alpha, 3, interval=(-2, 3), potential=well, method="spline", n=160, p=3)
    error = abs(splines.x / modes.x - 1).max()
    assert error < 5e-3
    assert error / 2 < splines.error_estimate < 5 * error
    assert modes.error_estimate < 1e-4


def test_functions_satisfy_the_equation_and_are_orthonormal():
    r = solve_riesz_eig(1.5, 4, interval=(-2, 3), potential=well)
    x, w = np.polynomial.legendre.leggauss(300)
    values = r(0.5 + 2.5 * x)
    assert_allclose((values * (2.5 * w)) @ values.T, np.eye(4), atol=1e-7)
    x = np.linspace(-1.8, 2.8, 12)
    for mu, u in zip(r.x, r.functions, strict=True):
        assert_allclose(u.laplacian(x) + well(x) * u(x), mu * u(x), atol=2e-4)


def test_an_eigenvalue_of_about_zero_has_an_estimate():
    """Errors are relative to the least eigenvalue without the potential."""
    lowest = solve_riesz_eig(1.5, 1).x[0]
    r = solve_riesz_eig(1.5, 1, potential=-lowest)
    assert abs(r.x[0]) < 1e-12
    assert r.success
    assert r.error_estimate < 1e-11


def test_the_estimate_holds_for_a_jump_and_a_scale_that_is_not_resolved():
    def step(x):
        return np.where(abs(x) < 0.2, -3.0, 0.0)

    rough, fine = (solve_riesz_eig(1.5, 2, potential=step, n=n) for n in (128, 512))
    error = abs(rough.x - fine.x).max() / 3
    assert error < rough.error_estimate
    with pytest.warns(ConvergenceWarning, match="n is too small"):
        r = solve_riesz_eig(1.5, 2, interval=(-100, 100), potential=np.square, n=32)
    assert not r.success


def test_values_are_refused():
    with pytest.raises(TypeError, match="potential must be a function or a number, got values"):
        solve_riesz_eig(1.5, 2, potential=np.ones(64))
    with pytest.raises(ValueError, match="potential returned nan"):
        solve_riesz_eig(1.5, 2, potential=lambda x: np.where(x > 0, np.nan, x))
