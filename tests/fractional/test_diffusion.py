"""Diffusion in time: decay of eigenfunctions, orders, conservation of signs, agreement of the solvers."""

from __future__ import annotations

import numpy as np
import pytest

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
