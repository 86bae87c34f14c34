"""The derivatives of fractional solutions in the order and in the coefficients."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numsolve import fractional, implicit
from numsolve.fractional import RieszSplineOperator, optimality

SETTINGS = [
    {},
    {"p": 4, "interval": (-1.0, 3.0)},
    {"p": 3, "weights": (0.9, 0.2)},
    {"p": 2, "definition": "caputo"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("alpha", [1.1, 1.2, 1.5, 1.97, 2.0])
def test_it_is_the_operator_of_any_order(alpha, settings):
    settings = {"p": 5} | settings
    A = RieszSplineOperator(40, alpha=alpha, **settings)
    x = np.random.default_rng(0).standard_normal(A.shape[0])
    want = A @ x
    residual = optimality.collocation(x, alpha, np.zeros_like(x), **settings)
    assert_allclose(residual, want, atol=1e-12 * np.abs(want).max())


def coefficients(xi):
    return {"diffusion": 1 + xi**2, "reaction": 3 + np.sin(xi)}


def solve(alpha, scale=1.0, n=48, p=4):
    xi = RieszSplineOperator(n, p, alpha).greville
    given = coefficients(xi)
    given["diffusion"] = scale * given["diffusion"]
    return fractional.solve_riesz_bvp(np.exp(xi), alpha, n=n, p=p, method="spline", rtol=1e-14, **given).x


def residual(x, alpha, scale=1.0):
    xi = RieszSplineOperator(x.shape[0] - 2, 4, 1.5).greville
    given = coefficients(xi)
    return optimality.collocation(x, alpha, np.exp(xi), scale * given["diffusion"], given["reaction"], p=4)


def test_derivatives_in_the_order_and_the_diffusion_against_other_solutions():
    x, h = solve(1.5), 1e-4
    assert np.abs(residual(x, 1.5)).max() < 1e-9
    alpha, scale, one = np.array([1.5]), np.array([1.0]), np.ones(1)
    by_order = implicit.root_jvp(residual, x, (alpha, scale), (one, 0 * one))
    by_scale = implicit.root_jvp(residual, x, (alpha, scale), (0 * one, one))
    size = np.abs(by_order).max()
    assert_allclose(by_order, (solve(1.5 + h) - solve(1.5 - h)) / (2 * h), atol=1e-7 * size)
    assert_allclose(by_scale, (solve(1.5, 1 + h) - solve(1.5, 1 - h)) / (2 * h), atol=1e-7 * size)


def test_the_derivative_in_the_order_of_the_analytic_solution():
    """The solution of R u = 1 on (-1, 1) is (1 - x^2)^(alpha/2) / Gamma(alpha + 1)."""
    from scipy.special import gamma, psi

    alpha, n, p = 1.7, 300, 3
    result = fractional.solve_riesz_bvp(np.ones_like, alpha, n=n, p=p, interval=(-1, 1), method="spline")
    change = implicit.root_jvp(
        lambda x, alpha: optimality.collocation(x, alpha, np.ones_like(x), p=p, interval=(-1, 1)),
        result.x,
        (np.array([alpha]),),
        (np.ones(1),),
    )
    t = np.linspace(-0.8, 0.8, 9)
    u = (1 - t**2) ** (alpha / 2) / gamma(alpha + 1)
    exact = u * (np.log(1 - t**2) / 2 - psi(alpha + 1))
    spline = RieszSplineOperator(n, p, alpha, interval=(-1, 1)).spline(change)
    assert_allclose(spline(t), exact, rtol=1e-2)


def test_as_a_function_of_jax_to_second_order():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    solution = implicit.differentiable(
        lambda _, alpha, scale: solve(float(alpha), float(scale), n=12), residual
    )
    start = jnp.zeros(14)

    def mean(parameters):
        return solution(start, parameters[0], parameters[1]).mean()

    at, h = jnp.array([1.5, 1.0]), 1e-3
    (complex_step,) = implicit.root_vjp(residual, solve(1.5, n=12), (np.array([1.5]),), np.full(14, 1 / 14))
    assert jax.grad(mean)(at)[0] == pytest.approx(complex_step[0], rel=1e-10)
    H = jax.jit(jax.hessian(mean))(at)
    grad = jax.jit(jax.grad(mean))
    differences = [(grad(at + h * e) - grad(at - h * e)) / (2 * h) for e in np.eye(2)]
    assert_allclose(H, np.array(differences), rtol=2e-5)
    assert_allclose(H, H.T, rtol=1e-8)
