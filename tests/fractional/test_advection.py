"""Advection, and reactions in time, by modes: solutions that are known or made, orders, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import toeplitz
from scipy.special import gamma

from numsolve._core.result import ConvergenceWarning, Status
from numsolve.fractional import (
    RieszSolver,
    problems,
    solve_fractional_diffusion,
    solve_riesz_bvp,
)
from numsolve.fractional._drift import drift_matrix
from numsolve.fractional._exponential import phi
from numsolve.fractional._modes import Modes

X = np.linspace(0, 1, 301)
PULSE = {"alpha": 1.5, "t_span": (0, 0.2), "advection": 4.0, "t_eval": [0.05, 0.2]}


def pulse(x):
    return np.exp(-50 * (x - 0.3) ** 2) * (x * (1 - x)) ** 2


def slope(x, m=4):
    return m * (x * (1 - x)) ** (m - 1) * (1 - 2 * x)


def velocity(x):
    return 5 * np.cos(7 * x)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.9, 0.1)])
@pytest.mark.parametrize("v", [3.0, velocity], ids=["constant", "varying"])
@pytest.mark.parametrize("alpha", [1.1, 1.6, 2.0])
def test_a_smooth_solution(alpha, v, weights):
    f, u = problems.bump(4, alpha, weights=weights)

    def right(x):
        return (1 + x) * f(x) + (v(x) if callable(v) else v) * slope(x) + x * u(x)

    settings = {"diffusion": lambda x: 1 + x, "reaction": lambda x: x, "weights": weights, "n": 64}
    r = solve_riesz_bvp(right, alpha, advection=v, **settings)
    error = abs(r(X) - u(X)).max() / u(0.5)
    assert error < 2e-8
    assert error < 3 * r.error_estimate
    assert r.success


def test_the_classical_boundary_layer():
    r = solve_riesz_bvp(1.0, 2.0, advection=20.0, n=64)
    exact = X / 20 - (np.exp(20 * (X - 1)) - np.exp(-20)) / (1 - np.exp(-20)) / 20
    assert_allclose(r(X), exact, atol=1e-13)


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.8])
@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.8, 0.2)])
def test_errors_of_less_smooth_solutions_are_estimated(alpha, weights):
    """For f = 1 the drift adds weaker roots at the ends: the error falls like a power of the modes."""
    exact = solve_riesz_bvp(1.0, alpha, advection=3.0, weights=weights, method="spectral", n=400)
    r = solve_riesz_bvp(1.0, alpha, advection=3.0, weights=weights, n=100)
    error = abs(r(X) - exact(X)).max() / exact(X).max()
    assert error < r.error_estimate < 50 * error
    assert r.success


def test_differences_see_the_same():
    """An independent discretisation: centred fractional differences and centred differences, of order two
    inside, with the known loss at the ends."""
    alpha, n, v = 1.5, 1600, 3.0
    k = np.arange(n)
    ratio = np.cumprod(np.r_[1.0, (k[:-1] - alpha / 2) / (k[:-1] + 1 + alpha / 2)])
    A = toeplitz(gamma(alpha + 1) / gamma(alpha / 2 + 1) ** 2 * ratio[: n - 1]) * n**alpha
    A += v * n / 2 * (np.eye(n - 1, k=1) - np.eye(n - 1, k=-1))
    x = np.arange(1, n) / n
    rough = np.linalg.solve(A, np.exp(x))
    r = solve_riesz_bvp(np.exp, alpha, advection=v)
    assert abs(rough - r(x)).max() < 5e-3 * r(x).max()


def test_a_constant_drift_is_antisymmetric():
    D = drift_matrix(lambda x: np.full(x.shape, 2.0), Modes(1.4, (0.5, 0.5), (0.0, 3.0)), 40)
    assert_allclose(D, -D.T, atol=1e-11 * abs(D).max())


def test_a_kept_solver_and_mirrored_drift():
    r = RieszSolver([1.4, 1.7], advection=-2.0, n=64).solve(np.exp)
    for order, row in zip((1.4, 1.7), r(X), strict=True):
        mirrored = solve_riesz_bvp(lambda x: np.exp(1 - x), order, advection=2.0, n=64)
        assert_allclose(row, mirrored(1 - X), atol=1e-10)


# -- in time ---------------------------------------------------------------------------------------


def test_a_drift_in_time_for_alpha_two():
    """``u = exp(v x / 2 - v^2 t / 4) w``, where w is the sum of sines of the heat equation."""
    v, t = 2.0, np.array([0.02, 0.2])
    r = solve_fractional_diffusion(
        lambda x: np.exp(x) * np.sin(np.pi * x), 2.0, (0, 0.2), advection=v, t_eval=t
    )
    exact = np.exp(X - np.add.outer(t * (1 + np.pi**2), 0 * X)) * np.sin(np.pi * X)
    assert_allclose(r(X), exact, atol=1e-11)
    assert r.method == "spectral"


def test_a_drift_in_time_is_that_of_many_small_steps():
    """Implicit Euler steps of two widths, extrapolated, each one a boundary value problem."""
    end = []
    for steps in (20, 40):
        u, dt = pulse, 0.05 / steps
        solver = RieszSolver(1.5, advection=4.0, reaction=1 / dt, n=64, method="spectral")
        for _ in range(steps):
            u = solver.solve(lambda x, u=u, dt=dt: u(x) / dt)
        end.append(u(X))
    r = solve_fractional_diffusion(pulse, **PULSE)
    assert_allclose(2 * end[1] - end[0], r(X)[0], atol=3e-3 * r(X)[0].max())


@pytest.mark.parametrize("alpha", [0.8, 1.5])
@pytest.mark.parametrize("definition", ["rl", "spectral"])
def test_a_made_reaction_is_followed_at_the_order_of_the_method(alpha, definition):
    """``u = exp(-t) w`` with a quadratic reaction; where it vanishes at the ends the order is about four."""
    if definition == "rl":

        def w(x):  # Getoor's function
            return np.maximum(x * (1 - x), 0.0) ** (alpha / 2)

        def image(x):
            return gamma(alpha + 1) + 0 * x
    else:

        def w(x):
            return np.sin(np.pi * x)

        def image(x):
            return np.pi**alpha * w(x)

    def source(t, x, u):
        return np.exp(-t) * (image(x) - w(x)) + u**2 - np.exp(-2 * t) * w(x) ** 2

    errors = []
    for dt in (0.2, 0.1, 0.05):
        r = solve_fractional_diffusion(
            w, alpha, (0, 1), source=source, dt=dt, t_eval=[1.0], n=48, definition=definition
        )
        errors.append(abs(r(X)[0] - np.exp(-1) * w(X)).max() / abs(np.exp(-1) * w(X)).max())
        assert errors[-1] < r.error_estimate
        assert r.success
    assert np.log2(errors[0] / errors[2]) / 2 > 2.5
    assert errors[2] < 1e-6


def test_a_reaction_agrees_with_splines_by_fixed_points():
    """Fisher's equation: the spline solver, given the reaction along the solution, finds it again."""
    settings = {"interval": (-5, 5), "t_eval": [1.0, 2.0]}
    r = solve_fractional_diffusion(0.1, 1.6, (0, 2), source=lambda t, x, u: u * (1 - u), dt=0.05, **settings)
    path = solve_fractional_diffusion(
        0.1, 1.6, (0, 2), source=lambda t, x, u: u * (1 - u), dt=0.05, interval=(-5, 5)
    )

    def known(t, x):
        u = np.array([np.interp(t, path.t, column) for column in path(x).T])
        return u * (1 - u)

    s = solve_fractional_diffusion(0.1, 1.6, (0, 2), source=known, dt=0.05, n=128, p=3, **settings)
    x = np.linspace(-4, 4, 50)
    assert s.method == "dense"
    assert_allclose(s(x), r(x), atol=5e-3)
    assert r.error_estimate < 1e-4


def test_a_source_of_time_alone_and_one_of_u_agree():
    def source(t, x):
        return np.sin(5 * t) * x

    settings = {"dt": 0.05, "n": 32, "t_eval": [0.0, 0.33, 1.0]}
    one = solve_fractional_diffusion(pulse, 1.3, (0, 1), source=source, method="spectral", **settings)
    two = solve_fractional_diffusion(pulse, 1.3, (0, 1), source=lambda t, x, u: source(t, x), **settings)
    assert_allclose(one(X), two(X), atol=1e-14)
    linear = solve_fractional_diffusion(
        pulse, 1.3, (0, 1), source=lambda t, x, u: -2.0 * u, dt=0.02, n=64, t_eval=[1.0]
    )
    free = solve_fractional_diffusion(pulse, 1.3, (0, 1), n=64, t_eval=[1.0])
    assert_allclose(linear(X), np.exp(-2.0) * free(X), atol=1e-6 * free(X).max())


def test_skewed_flights_with_drift_and_reaction():
    """The same exponential of u as a constant reaction in the linear problem."""
    settings = {"advection": 1.0, "weights": (0.7, 0.3), "n": 48, "t_eval": [0.3]}
    free = solve_fractional_diffusion(pulse, 1.5, (0, 0.3), **settings)
    decayed = solve_fractional_diffusion(pulse, 1.5, (0, 0.3), source=lambda t, x, u: -u, dt=0.01, **settings)
    assert_allclose(decayed(X), np.exp(-0.3) * free(X), atol=1e-6 * free(X).max())


def test_an_explosion_is_told_and_the_times_before_it_are_kept():
    with pytest.warns(ConvergenceWarning, match="not finite before t ="):
        r = solve_fractional_diffusion(
            lambda x: 3 * np.sin(np.pi * x),
            1.5,
            (0, 2),
            source=lambda t, x, u: 50 * u**2,
            t_eval=[0, 0.001, 2],
        )
    assert r.status is Status.NONFINITE
    assert r.t.tolist() == [0, 0.001]
    assert np.isnan(r.error_estimate)


def test_a_run_may_be_watched_and_cut():
    seen = []

    def watch(intermediate_result):
        seen.append(intermediate_result.t)
        return intermediate_result.t > 0.45

    r = solve_fractional_diffusion(
        pulse, 1.5, (0, 1), source=lambda t, x, u: u, dt=0.1, t_eval=[0.2, 0.4, 0.9], callback=watch, n=32
    )
    assert r.status is Status.STOPPED
    assert r.t.tolist() == [0.2, 0.4]
    with pytest.warns(ConvergenceWarning, match="time limit"):
        r = solve_fractional_diffusion(pulse, 1.5, (0, 1), source=lambda t, x, u: u, time_limit=0.0)
    assert r.status is Status.TIME_LIMIT


def test_the_functions_phi():
    z = np.array([-1e8, -30.0, -0.51, -0.49, -1e-3, -1e-9, 0.0])
    one, two, three = phi(z)
    k = np.arange(25)
    small = abs(z) < 1
    factorial = np.cumprod(np.r_[1.0, np.arange(1.0, 30)])
    for values, shift in ((one, 1), (two, 2), (three, 3)):
        series = (z[small, None] ** k / factorial[k + shift]).sum(axis=1)
        assert_allclose(values[small], series, rtol=1e-13)
    assert_allclose(three[0], -0.5 / z[0], rtol=1e-7)
    assert_allclose(phi(1j * z[2:5])[1], phi(-1j * z[2:5])[1].conj())


REFUSED = {
    "alpha": ({"alpha": 0.8}, "alpha must be above 1 with an advection, got 0.8"),
    "splines": ({"method": "spline"}, "advection needs method 'auto' or 'spectral', got 'spline'"),
    "caputo": ({"definition": "caputo"}, "advection needs Jacobi modes, which do not apply: .* 'rl'"),
}


@pytest.mark.parametrize(("settings", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_an_advection_that_modes_do_not_hold_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        solve_riesz_bvp(**{"f": 1.0, "alpha": 1.5, "advection": 2.0, **settings})
    with pytest.raises(ValueError, match=words):
        solve_fractional_diffusion(
            **{"u0": 1.0, "t_span": (0, 1), "alpha": 1.5, "advection": 2.0, **settings}
        )
    with pytest.raises(ValueError, match="alpha must be above 1|advection needs Jacobi modes"):
        RieszSolver(**{"alpha": 1.5, "advection": 2.0, **settings})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kappa": np.exp}, "a source of u needs Jacobi or sine modes, .* kappa is not a number"),
        ({"u0": np.ones(259)}, "a source of u needs .* values at the collocation points"),
        ({"method": "dense"}, "a source of u needs .* method is 'dense'"),
        ({"advection": np.ones(259), "source": None}, "advection is given as values"),
    ],
    ids=["kappa", "values", "dense", "advection"],
)
def test_a_reaction_needs_modes(settings, words):
    with pytest.raises(ValueError, match=words):
        solve_fractional_diffusion(
            **{"u0": 1.0, "alpha": 1.5, "t_span": (0, 1), "source": lambda t, x, u: u, **settings}
        )
