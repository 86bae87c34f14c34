"""The spectral fractional Laplacian: sines, resolvent and semigroup in closed form, what is refused."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import erf, gamma

from numsolve._core.result import ConvergenceWarning, Status
from numsolve.fractional import (
    RieszSolver,
    SineSolution,
    TensorSine,
    solve_fractional_diffusion,
    solve_riesz_2d,
    solve_riesz_bvp,
)
from numsolve.fractional.sine import sine_sum

SPECTRAL = {"definition": "spectral"}
X = np.linspace(0, 1, 201)


def sine(k):
    return lambda x: np.sin(k * np.pi * x)


@pytest.mark.parametrize("alpha", [0.05, 0.7, 0.96, 1.0, 1.0 + 1e-9, 1.04, 1.5, 2.0])
def test_the_sum_of_sines_is_a_polylogarithm(alpha):
    mp.mp.dps = 30
    for theta in (1e-6, 0.1, 1.0, 3.0, 3.14159):
        exact = mp.im(mp.polylog(1 + mp.mpf(alpha), mp.expj(mp.mpf(theta))))
        assert sine_sum(theta, alpha) == pytest.approx(float(exact), rel=1e-12, abs=1e-13)
    assert sine_sum(0.0, alpha) == 0.0


@pytest.mark.parametrize("alpha", [0.3, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("k", [1, 3])
def test_a_sine_is_an_eigenfunction(alpha, k):
    r = solve_riesz_bvp(sine(k), alpha, diffusion=2.0, reaction=5.0, **SPECTRAL)
    assert_allclose(r(X), sine(k)(X) / (2 * (k * np.pi) ** alpha + 5), atol=1e-14)
    assert r.status is Status.CONVERGED
    assert r.method == "spectral"
    assert r.error_estimate < 1e-13


def test_the_two_definitions_differ_except_for_the_string():
    """With the same f the integral operator has another, larger solution."""
    for alpha in (0.5, 1.5):
        integral, spectral = (solve_riesz_bvp(sine(1), alpha, definition=d) for d in ("rl", "spectral"))
        assert abs(integral(0.5) - spectral(0.5)) > 0.05 * spectral(0.5)
        assert integral(0.5) > spectral(0.5)
    integral, spectral = (solve_riesz_bvp(np.exp, 2.0, definition=d) for d in ("rl", "spectral"))
    assert_allclose(integral(X), spectral(X), atol=1e-9)


def balakrishnan(x, alpha):
    """``A^-s 1 = sin(pi s) / pi int t^-s (A + t)^-1 1 dt``, where ``(A + t)^-1 1`` is known."""
    s, h = alpha / 2, 0.05
    log_t = np.arange(-42 / (1 - s), 42 / s, h)
    y = np.exp(np.minimum(log_t / 2, 300.0))  # the root of t
    resolvent = np.expm1(-y * x) * np.expm1(-y * (1 - x)) / (1 + np.exp(-y))  # times t
    return np.sin(np.pi * s) / np.pi * h * np.sum(np.exp(-s * log_t) * resolvent)


@pytest.mark.parametrize("alpha", [0.4, 1.0, 1.6])
def test_the_solution_for_one(alpha):
    """A constant is the image of the closed form alone: no digit is lost next to the ends."""
    r = solve_riesz_bvp(1.0, alpha, n=16, **SPECTRAL)
    for x in (1e-4, 0.1, 0.5, 0.93):
        assert r(x) == pytest.approx(balakrishnan(x, alpha), rel=1e-10)
    wide = solve_riesz_bvp(1.0, alpha, interval=(-3, 4), weights=(1.0, 1.0), **SPECTRAL)
    assert wide(-3 + 0.7) == pytest.approx(7**alpha * balakrishnan(0.1, alpha) / 2, rel=1e-10)


@pytest.mark.parametrize(
    "settings",
    [{}, {"reaction": 3.0}, {"reaction": lambda x: 2 + x, "diffusion": lambda x: 1 + x}],
    ids=["plain", "constant", "varying"],
)
@pytest.mark.parametrize("alpha", [0.8, 1.5])
def test_errors_are_estimated(alpha, settings):
    """Against 4096 spans; estimates are not too small, nor too large by more than fifty."""
    exact = solve_riesz_bvp(np.exp, alpha, n=4096, **settings, **SPECTRAL)
    assert exact.success
    for n in (32, 128):
        r = solve_riesz_bvp(np.exp, alpha, n=n, **settings, **SPECTRAL)
        error = abs(r(X) - exact(X)).max() / exact(X).max()
        assert error < r.error_estimate < 50 * error
        assert r.success


@pytest.mark.parametrize("alpha", [0.8, 1.5])
def test_the_order_for_a_smooth_right_hand_side(alpha):
    exact, n = solve_riesz_bvp(np.exp, alpha, n=4096, **SPECTRAL), np.array([16, 32, 64, 128])
    errors = [abs(solve_riesz_bvp(np.exp, alpha, n=k, **SPECTRAL)(X) - exact(X)).max() for k in n]
    assert -np.polyfit(np.log(n), np.log(errors), 1)[0] == pytest.approx(alpha + 2, abs=0.3)


def test_gmres_and_the_factorisation_agree():
    """On either side of the number of unknowns from which it iterates; sinks of a large contrast too."""
    sink = {"reaction": lambda x: 1e4 * x**8}
    small, large = (solve_riesz_bvp(np.exp, 1.2, n=n, **sink, **SPECTRAL) for n in (1024, 1500))
    assert small.nit == 0 < large.nit < 100
    assert small.success
    assert large.success
    assert_allclose(small(X), large(X), atol=1e-6 * small(X).max())


def test_a_resonance_is_no_success():
    with pytest.warns(ConvergenceWarning, match="minus an eigenvalue"):
        r = solve_riesz_bvp(1.0, 2.0, reaction=-(np.pi**2.0), interval=(0, 1), **SPECTRAL)
    assert not r.success


def test_values_at_the_points_and_several_at_once():
    solver = RieszSolver(1.5, n=64, reaction=1.0, **SPECTRAL)
    assert_allclose(solver.points, np.arange(1, 64) / 64)
    F = np.stack([sine(1)(solver.points), sine(4)(solver.points)], axis=1)
    r = solver.solve(F)
    assert_allclose(r(0.3), [sine(k)(0.3) / ((k * np.pi) ** 1.5 + 1) for k in (1, 4)], rtol=1e-12)
    one = solve_riesz_bvp(F[:, 1], 1.5, n=64, reaction=np.ones(63), **SPECTRAL)
    assert one(0.3) == pytest.approx(r(0.3)[1], rel=1e-12)
    orders = RieszSolver([0.5, 2.0], **SPECTRAL).solve(sine(2))
    assert_allclose(orders(0.1), sine(2)(0.1) / (2 * np.pi) ** np.array([0.5, 2.0]), rtol=1e-12)


def test_the_function_knows_its_laplacian():
    r = solve_riesz_bvp(np.exp, 1.3, diffusion=lambda x: 1 + x, **SPECTRAL)
    assert isinstance(r.sol, SineSolution)
    x = np.linspace(0.01, 0.99, 99)
    assert_allclose((1 + x) * r.sol.laplacian(x), np.exp(x), atol=2e-5)
    assert np.isnan(r.sol.laplacian(2.0))
    assert r([-1.0, 0.0, 1.0, 5.0]).tolist() == [0, 0, 0, 0]
    assert np.isnan(r(np.nan))


# -- in time and in the plane ----------------------------------------------------------------------


def test_sines_decay():
    r = solve_fractional_diffusion(
        lambda x: sine(1)(x) + sine(5)(x), 0.7, (0, 0.3), kappa=2.0, t_eval=[0, 0.1, 0.3], **SPECTRAL
    )
    rates = 2 * (np.array([1, 5]) * np.pi) ** 0.7
    exact = np.exp(-np.multiply.outer(r.t, rates)) @ [sine(1)(0.3), sine(5)(0.3)]
    assert_allclose(r(0.3), exact, rtol=1e-12)
    assert r.nit == 3
    assert r.success


def test_a_rough_start_decays_as_heat_does():
    """For alpha = 2 images of the error function; the start is a jump at both ends."""
    t = np.array([1e-3, 1e-2])
    r = solve_fractional_diffusion(1.0, 2.0, (0, 1e-2), t_eval=[0, *t], **SPECTRAL)
    x, k = np.array([0.01, 0.4, 0.95]), np.arange(-4, 5)
    for row, time in zip(r(x)[1:], t, strict=True):
        images = (-1.0) ** k * erf(np.subtract.outer(x, k) / np.sqrt(4 * time))
        assert_allclose(row, images.sum(axis=1), atol=1e-10)
    assert r(x)[0].tolist() == [1, 1, 1]
    assert 0 < r.error_estimate < 1e-10


def test_products_of_sines():
    box = {"interval": ((0, 1), (-1, 2)), **SPECTRAL}
    r = solve_riesz_2d(
        lambda x, y: sine(2)(x) * np.sin(np.pi * (y + 1) / 3),
        0.7,
        diffusion=(3, 3),
        reaction=2.0,
        n=32,
        **box,
    )
    rate = 3 * ((2 * np.pi) ** 2 + (np.pi / 3) ** 2) ** 0.35 + 2
    x, y = np.array([0.1, 0.7]), np.array([-0.3, 1.1])
    assert_allclose(r(x, y), sine(2)(x) * np.sin(np.pi * (y + 1) / 3) / rate, rtol=1e-12)
    assert isinstance(r.sol, TensorSine)
    assert r([-1.0, 0.5], [0.5, 5.0]).tolist() == [0, 0]
    assert r.nit <= 1


def test_the_square_by_its_semigroup():
    """``A^-s 1 = 1 / Gamma(s) int t^(s-1) S(t, x) S(t, y) dt`` with the survival S of Brownian motion."""
    s, h = 0.75, 0.05
    t = np.exp(np.arange(-50, 2.5, h))
    k = np.arange(1, 4001, 2)

    def survival(x):
        images = np.array([sum((-1.0) ** m * erf((x - m) / np.sqrt(4 * u)) for m in range(-6, 7)) for u in t])
        late = np.exp(-np.multiply.outer(t, (k[:30] * np.pi) ** 2)) @ (4 / (np.pi * k[:30]) * sine(k[:30])(x))
        return np.where(t < 0.05, images, late)

    exact = h / gamma(s) * np.sum(t**s * survival(0.5) * survival(0.2))
    errors = []
    for n in (32, 64, 128):
        r = solve_riesz_2d(1.0, 2 * s, n=n, **SPECTRAL)
        errors.append(abs(float(r(0.5, 0.2) / exact) - 1))
        assert errors[-1] < r.error_estimate < 0.02
    assert errors[2] < errors[0] / 8


def test_a_varying_reaction_in_the_plane():
    def u(x, y):
        return sine(1)(x) * sine(2)(y)

    r = solve_riesz_2d(
        lambda x, y: ((5 * np.pi**2) ** 0.6 + 9 * x * y) * u(x, y),
        1.2,
        reaction=lambda x, y: 9 * x * y,
        n=(24, 40),
        **SPECTRAL,
    )
    assert r.success
    assert r.nit <= 12
    assert r(0.3, 0.7) == pytest.approx(u(0.3, 0.7), rel=1e-9)


# -- what is refused -------------------------------------------------------------------------------

REFUSED = {
    "weights": ({"weights": (0.7, 0.3)}, "weights must be equal for definition 'spectral'", (0, 1)),
    "splines": ({"method": "spline"}, "'spectral' needs method 'auto' or 'spectral', got 'spline'", (0, 1)),
    "few spans": ({"n": 7}, "n must be an integer at least 8", (0, 1, 2)),
    "a start": ({"x0": np.ones(255)}, "x0 and breaks are for splines", (0,)),
    "breaks": ({"breaks": [0, 1, 2]}, "x0 and breaks are for splines", (0,)),
    "advection": ({"advection": 1.0}, "advection needs Jacobi modes: definition 'spectral' has none", (0, 1)),
    "kappa": ({"kappa": np.exp}, "needs a function as a start and a number kappa: kappa is not", (1,)),
    "values": ({"u0": np.ones(255)}, "needs a function as a start .* values at the", (1,)),
    "two orders": ({"alpha": (1.2, 1.5)}, "alpha must be one order for definition 'spectral'", (2,)),
    "two diffusions": ({"diffusion": (1, 2)}, "diffusion must be the same in both directions", (2,)),
    "diagonalised": ({"method": "fastdiag"}, "needs method 'auto', got 'fastdiag'", (2,)),
    "caputo": ({"definition": "caputo"}, "definition must be one of 'rl', 'spectral'; got 'caputo'", (2,)),
}
SOLVERS = (
    lambda **kw: solve_riesz_bvp(**{"f": 1.0, "alpha": 1.5, **SPECTRAL, **kw}),
    lambda **kw: solve_fractional_diffusion(**{"u0": 1.0, "alpha": 1.5, "t_span": (0, 1), **SPECTRAL, **kw}),
    lambda **kw: solve_riesz_2d(**{"f": 1.0, "alpha": 1.5, **SPECTRAL, **kw}),
)


@pytest.mark.parametrize(
    ("settings", "words", "solver"),
    [pytest.param(*row[:2], SOLVERS[k], id=f"{name}, {k}") for name, row in REFUSED.items() for k in row[2]],
)
def test_what_it_does_not_have_is_refused(settings, words, solver):
    with pytest.raises(ValueError, match=words):
        solver(**settings)


def test_waves_between_the_points_are_told():
    with pytest.warns(ConvergenceWarning):
        r = solve_riesz_bvp(lambda x: 100.0 * (abs(x - 0.4003) < 1e-3), 1.5, n=128, **SPECTRAL)
    assert not r.success
