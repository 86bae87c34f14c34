"""Diffusion in time: decay of eigenfunctions, orders, conservation of signs, agreement of the solvers."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.linalg import eigh
from scipy.special import eval_jacobi, gammaln, roots_jacobi

from numsolve._core.result import ConvergenceWarning, Status
from numsolve.fractional import (
    RieszSplineOperator,
    problems,
    solve_fractional_diffusion,
    solve_riesz_bvp,
    solve_riesz_eig,
)


def bump(x):
    return np.sin(np.pi * x) ** 4


@pytest.mark.parametrize(("theta", "order"), [(0.5, 2), (1.0, 1)])
def test_order_in_time(theta, order):
    """A manufactured solution that is a spline at every time: u = exp(-t) (x (1-x))^2."""
    f, u = problems.bump(2, 1.5)

    def source(t, x):
        return np.exp(-t) * (f(x) - u(x))

    errors = []
    for steps in (8, 16, 32):
        r = solve_fractional_diffusion(
            u, 1.5, (0, 1), source=source, dt=1 / steps, theta=theta, n=32, p=4, t_eval=[1.0]
        )
        errors.append(abs(r(0.4)[0] - np.exp(-1) * u(0.4)))
    assert np.log2(errors[0] / errors[2]) / 2 == pytest.approx(order, abs=0.1)


def test_an_eigenfunction_decays():
    e = solve_riesz_eig(1.8, 1, interval=(0, 1))
    r = solve_fractional_diffusion(e.sol[0], 1.8, (0, 0.1), n=400, p=3, t_eval=[0, 0.05, 0.1])
    np.testing.assert_allclose(r(0.5) / e(0.5)[0], np.exp(-e.x[0] * r.t), rtol=1e-3)


def test_alpha_two_is_the_heat_equation():
    def sine(x):
        return np.sin(np.pi * x)

    r = solve_fractional_diffusion(sine, 2.0, (0, 0.2), kappa=0.7, dt=1e-3, n=64, t_eval=[0.2])
    assert r(0.5)[0] == pytest.approx(np.exp(-0.7 * np.pi**2 * 0.2), rel=1e-5)


CASES = {
    "plain": {},
    "kappa": {"kappa": lambda x: 1 + 5 * x**2},
    "small kappa": {"kappa": lambda x: 1e-4 * (1 + 5 * x**2)},
    "source": {"source": lambda t, x: np.cos(t) * x},
    "skewed": {"weights": (0.8, 0.2)},
    "caputo": {"definition": "caputo"},
    "implicit": {"theta": 1.0},
}


@pytest.mark.parametrize("case", CASES)
def test_both_solvers_agree(case):
    settings = {"dt": 0.01, "n": 100, "p": 4, "t_eval": [0.0, 0.1, 0.25], **CASES[case]}
    dense = solve_fractional_diffusion(bump, 1.6, (0, 0.25), method="dense", **settings)
    krylov = solve_fractional_diffusion(bump, 1.6, (0, 0.25), method="spline", **settings)
    np.testing.assert_allclose(krylov.coefficients, dense.coefficients, atol=1e-8)
    assert dense.nit == krylov.nit == 25
    assert dense.ninner == 0
    assert 25 <= krylov.ninner <= 14 * 25


def test_the_steady_state_solves_the_boundary_value_problem():
    kappa = 0.5
    r = solve_fractional_diffusion(
        bump, 1.5, (0, 20), kappa=kappa, source=lambda t, x: x, dt=0.5, theta=1.0, p=3, t_eval=[20]
    )
    steady = solve_riesz_bvp(lambda x: x / kappa, 1.5, p=3, method="spline")
    np.testing.assert_allclose(r.coefficients[-1], steady.x, atol=1e-9)


def test_density_stays_positive_and_leaves():
    r = solve_fractional_diffusion(bump, 1.5, (0, 0.5), n=128, p=3, theta=1.0)
    values = r(np.linspace(0, 1, 101))
    assert values.min() > -1e-12
    assert (np.diff(values.sum(axis=1)) < 0).all()


def test_times():
    r = solve_fractional_diffusion(bump, 1.5, (1.0, 2.0), dt=0.3, n=32, method="dense")
    np.testing.assert_allclose(r.t, [1, 1.25, 1.5, 1.75, 2])
    assert r.nit == 4
    assert r(0.5).shape == (5,)
    assert r([0.2, 0.5]).shape == (5, 2)
    between = solve_fractional_diffusion(
        bump, 1.5, (1.0, 2.0), dt=0.25, n=32, t_eval=[1.1, 1.25, 2.0], method="dense"
    )
    middle = 0.6 * r.coefficients[0] + 0.4 * r.coefficients[1]
    np.testing.assert_allclose(between.coefficients, [middle, r.coefficients[1], r.coefficients[4]])
    np.testing.assert_array_equal(r.x, r.coefficients[-1])


def test_going_on_from_an_earlier_result():
    steps = {"dt": 0.1, "n": 32, "method": "dense", "theta": 0.5}
    for settings in (steps, {}):
        once = solve_fractional_diffusion(bump, 1.5, (0, 1), **settings)
        half = solve_fractional_diffusion(bump, 1.5, (0, 0.5), **settings)
        rest = solve_fractional_diffusion(half.sol[-1], 1.5, (0.5, 1), **settings)
        x = np.linspace(0.01, 0.99, 99)
        np.testing.assert_allclose(rest(x)[-1], once(x)[-1], atol=1e-12)


def test_values_at_the_points():
    points = RieszSplineOperator(32, 5, 1.5).greville
    one = solve_fractional_diffusion(bump(points), 1.5, (0, 0.1), n=32, kappa=1 + points)
    two = solve_fractional_diffusion(bump, 1.5, (0, 0.1), n=32, kappa=lambda x: 1 + x)
    np.testing.assert_allclose(one.x, two.x, atol=1e-13)


def test_a_step_that_fails_ends_the_run(monkeypatch):
    from numsolve.fractional import _steps

    monkeypatch.setattr(_steps, "MAXITER", 1)
    with pytest.warns(ConvergenceWarning, match="The step to t = 0.1 failed"):
        r = solve_fractional_diffusion(bump, 1.5, (0, 1), dt=0.1, n=64, method="spline")
    assert r.status is Status.MAXITER
    assert len(r.t) == 1


def test_a_source_that_fails_later():
    with pytest.raises(ValueError, match=r"source returned nan .* at the point"):
        solve_fractional_diffusion(bump, 1.5, (0, 1), source=lambda t, x: x if t < 0.5 else x * np.nan, n=32)


# -- without steps ---------------------------------------------------------------------------------


def by_eigenfunctions(alpha, t, x, N=150):
    """What is left of ``u0 = 1`` on (0, 1), from Jacobi polynomials and an eigensolver of SciPy's alone."""
    a, k = alpha / 2, np.arange(N)
    log_norms = (alpha + 1) * np.log(2) - np.log(2 * k + alpha + 1)
    log_norms += 2 * gammaln(k + a + 1) - gammaln(k + alpha + 1) - gammaln(k + 1)

    def table(y):
        return np.array([eval_jacobi(j, a, a, y) for j in k]) / np.exp(log_norms / 2)[:, None]

    y, w = roots_jacobi(N + 10, alpha, alpha)
    M = (table(y) * w) @ table(y).T
    mu, V = eigh(M, np.diag(np.exp(gammaln(alpha + k + 1) - gammaln(k + 1)) * 2**alpha))
    V = V / np.sqrt(np.einsum("ij,ik,kj->j", V, M, V))
    z, v = roots_jacobi(N + 10, a, a)
    decay = np.where(mu > 1e-6, np.exp(-t / np.maximum(mu, 1e-6)), 0.0)
    return (decay * (table(z) @ v @ V)) @ (V.T @ ((1 - (2 * x - 1) ** 2) ** a * table(2 * x - 1)))


X = np.linspace(0, 1, 501)[1:-1]


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.8])
def test_a_start_of_one(alpha):
    """It jumps at the ends: steps of the trapezoidal rule are off by a tenth there, and negative."""
    r = solve_fractional_diffusion(1.0, alpha, (0, 0.5), t_eval=[0.0, 0.05, 0.1])
    assert r.method == "spectral"
    np.testing.assert_array_equal(r(X)[0], 1.0)
    for t, u in zip(r.t[1:], r(X)[1:], strict=True):
        np.testing.assert_allclose(u, by_eigenfunctions(alpha, t, X), atol=3e-6)
        assert u.min() > 0
    assert r.error_estimate < 1e-6


@pytest.mark.parametrize("alpha", [0.7, 1.0, 1.5, 2.0])
def test_an_eigenfunction_decays_without_steps(alpha):
    e = solve_riesz_eig(alpha, 2, interval=(0, 1))
    r = solve_fractional_diffusion(e.sol[1], alpha, (0, 0.3), kappa=2.0, t_eval=[0, 0.1, 0.3])
    np.testing.assert_allclose(
        r(X), np.exp(-2 * e.x[1] * r.t)[:, None] * e(X)[1], atol=1e-6 if alpha > 1 else 3e-5
    )


def test_a_skewed_flight_dies_out():
    """Splines explode here: their matrix has eigenvalues with a negative real part."""
    for weights in [(1, 0), (0, 1), (0.8, 0.2)]:
        r = solve_fractional_diffusion(
            lambda y: 64 * (y * (1 - y)) ** 3,
            1.05,
            (0, 0.5),
            n=64,
            p=3,
            weights=weights,
            t_eval=[0, 0.01, 0.5],
        )
        assert r.success
        first, early, late = abs(r(X)).max(axis=1)
        assert first > early > late


@pytest.mark.parametrize("weights", [(0.8, 0.2), (0.2, 0.8)])
def test_modes_and_steps_agree_for_skewed_flights(weights):
    settings = {"t_eval": [0.02, 0.1], "weights": weights}
    modes = solve_fractional_diffusion(bump, 1.6, (0, 0.1), **settings)
    steps = solve_fractional_diffusion(bump, 1.6, (0, 0.1), method="dense", n=300, p=4, **settings)
    np.testing.assert_allclose(steps(X), modes(X), atol=2e-3)
    assert modes.error_estimate < 1e-8
    error = abs(steps(X) - modes(X)).max() / modes(X).max()
    assert error / 2 < steps.error_estimate < 20 * error


def test_the_choice_is_told():
    r = solve_fractional_diffusion(bump, 1.5, (0, 1))
    assert r.method == "spectral"
    assert "nothing depends on time: " in r.reason
    for settings, reason in (
        ({"kappa": lambda x: 1 + x}, "kappa is not a number"),
        ({"source": lambda t, x: t * x}, "there is a source"),
        ({"definition": "caputo"}, "definition 'rl'"),
    ):
        r = solve_fractional_diffusion(bump, 1.5, (0, 1), n=32, **settings)
        assert r.method == "dense"
        assert reason in r.reason


def test_no_step_is_too_small_where_none_is_taken():
    tiny = solve_fractional_diffusion(bump, 1.5, (0, 0.5), dt=1e-9, t_eval=[0.5])
    np.testing.assert_array_equal(tiny.x, solve_fractional_diffusion(bump, 1.5, (0, 0.5), t_eval=[0.5]).x)


def test_a_run_without_steps_has_times_to_stop_at():
    seen = []

    def stop(intermediate_result):
        seen.append(intermediate_result.t)
        intermediate_result.x[:] = np.nan
        return len(seen) == 3

    r = solve_fractional_diffusion(bump, 1.5, (0, 1), dt=0.1, callback=stop)
    assert r.status is Status.STOPPED
    np.testing.assert_allclose(seen, [0.1, 0.2, 0.3])
    np.testing.assert_allclose(r.t, [0, 0.1, 0.2, 0.3])
    assert np.isfinite(r(X)).all()
    np.testing.assert_array_equal(r.x, r.coefficients[-1])
    copy = pickle.loads(pickle.dumps(r))
    np.testing.assert_allclose(copy(X)[0], r(X)[0], atol=1e-5)
    np.testing.assert_array_equal(copy(X)[1:], r(X)[1:])


@pytest.mark.parametrize("method", ["dense", "spline"])
def test_stopped_before_the_first_time_wanted(method):
    r = solve_fractional_diffusion(
        bump, 1.5, (0, 1), dt=0.1, n=32, t_eval=[0.95], method=method, callback=lambda x: True
    )
    assert r.status is Status.STOPPED
    assert r.sol == ()
    assert r(X).shape == (0, X.size)
    assert r.coefficients.shape[0] == 0
    assert np.isfinite(r.x).all()
    with pytest.raises(ValueError, match="nothing to draw"):
        r.plot()


def test_a_rough_start_is_damped():
    """The steps that are left when there is a source: Rannacher's start, and the pure rule."""
    settings = {"source": lambda t, x: 0 * x, "t_eval": [0.1], "n": 200, "p": 3}
    exact = by_eigenfunctions(1.8, 0.1, X)
    damped = solve_fractional_diffusion(1.0, 1.8, (0, 0.5), **settings)(X)[0]
    plain = solve_fractional_diffusion(1.0, 1.8, (0, 0.5), theta=0.5, **settings)(X)[0]
    assert abs(damped - exact).max() < 0.02 * exact.max()
    assert abs(damped - exact).max() < 0.2 * abs(plain - exact).max()
    assert damped.min() > 0


def test_the_damped_start_keeps_the_order():
    f, u = problems.bump(2, 1.5)
    errors = []
    for steps in (32, 64, 128, 256):
        r = solve_fractional_diffusion(
            u,
            1.5,
            (0, 1),
            source=lambda t, x: np.exp(-t) * (f(x) - u(x)),
            dt=1 / steps,
            n=32,
            p=4,
            t_eval=[1.0],
        )
        errors.append(abs(r(0.4)[0] - np.exp(-1) * u(0.4)))
    assert np.log2(errors[0] / errors[3]) / 3 == pytest.approx(2, abs=0.15)
