"""The solver without parameters: known values, identities, derivatives, and hard problems."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from numsolve import transport
from numsolve._core.result import ConvergenceWarning, Status

INF = float("inf")
METHODS = ["newton", "sinkhorn", "sinkhorn_log", "sinkhorn_overrelaxed", "sns"]


def small(n=6, m=7, seed=0, mass=1.0):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0.2, 1, n), rng.uniform(0.2, 1, m)
    return rng.random((n, m)), mass * a / a.sum(), mass * b / b.sum()


# -- known values ----------------------------------------------------------------------------------

#: name: <M, P>, and the value with the entropy sum P (log P - 1), at reg = 1/1200; computed to twelve
#: decimals by an independent prototype, and checked against regot below.
REFERENCE = {
    "assignment 500": (0.003450412867, -0.003209857701),
    "densities-L2 500": (0.120639808223, 0.112061703682),
    "densities-L1 500": (0.328476147261, 0.318517881208),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_the_reference_values(problem, name):
    r = transport.solve(*problem(name), reg=1 / 1200)
    linear, value = REFERENCE[name]
    assert r.value_linear == pytest.approx(linear, abs=1e-9)
    assert r.value == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "reg"),
    [("assignment 100", 0.02), ("rectangular 60x40", 0.02), ("densities-L2 100", 0.01)],
)
def test_plan_and_value_are_those_of_pot(problem, name, reg):
    ot = pytest.importorskip("ot")
    M, a, b = problem(name)
    P = ot.sinkhorn(a, b, M, reg, method="sinkhorn_log", stopThr=1e-13, numItermax=100_000)
    r = transport.solve(M, a, b, reg, tol=1e-12)
    np.testing.assert_allclose(r.plan, P, atol=1e-9)
    assert r.value_linear == pytest.approx(np.sum(P * M), abs=1e-9)
    assert r.value == pytest.approx(np.sum(P * M) + reg * np.sum(P * (np.log(P) - 1)), abs=1e-9)


@pytest.mark.parametrize("name", ["assignment 500", "images-L2", "images-L1", "rectangular 60x40"])
def test_the_sharp_plan_is_that_of_regot(problem, name):
    regot = pytest.importorskip("regot")
    M, a, b = problem(name)
    theirs = regot.sinkhorn_ssns(np.asfortranarray(M), a, b, 1 / 1200, tol=1e-11, max_iter=1000)
    r = transport.solve(M, a, b, 1 / 1200, tol=1e-11)
    np.testing.assert_allclose(r.plan, theirs.plan, atol=1e-8)
    assert r.value_linear == pytest.approx(np.sum(theirs.plan * M), abs=1e-8)


@pytest.mark.parametrize("reg", [1e-2, 1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize(
    "name", ["assignment 100", "rectangular 60x40", "densities-L2 100", "densities-L1 100"]
)
def test_the_cost_exceeds_the_exact_one_by_less_than_the_entropy(problem, name, reg):
    ot = pytest.importorskip("ot")
    M, a, b = problem(name)
    r = transport.solve(M, a, b, reg)
    excess = r.value_linear - ot.emd2(a, b, M)
    assert -2e-9 <= excess <= reg * np.log(min(M.shape)) + 2e-9


def test_the_plan_tends_to_the_permutation_that_solves_the_assignment(problem):
    M, a, b = problem("assignment 50")
    rows, columns = linear_sum_assignment(M)
    exact = np.zeros((50, 50))
    exact[rows, columns] = 1 / 50
    distance = [np.abs(transport.solve(M, a, b, reg).plan - exact).sum() for reg in (1e-2, 1e-3, 1e-4, 1e-5)]
    assert distance == sorted(distance, reverse=True)
    assert distance[-1] < 1e-8


# -- identities ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cost", [0.0, -3.0, 1e8])
@pytest.mark.parametrize("mass", [1.0, 1e-6, 1e6])
def test_one_point_each(cost, mass):
    r = transport.solve([[cost]], [mass], [mass], 0.1)
    assert r.plan == [[pytest.approx(mass, rel=1e-12)]]
    assert r.value_linear == pytest.approx(cost * mass, rel=1e-12)
    assert r.kl == pytest.approx(-mass * math.log(mass), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("reg", [10.0, 1.0, 0.1, 0.01])
def test_two_points_each_in_closed_form(reg):
    c = 0.7
    r = transport.solve([[0, c], [c, 0]], [0.5, 0.5], [0.5, 0.5], reg)
    stay = 0.5 / (1 + math.exp(-c / reg))
    np.testing.assert_allclose(r.plan, [[stay, 0.5 - stay], [0.5 - stay, stay]], atol=1e-10)


@pytest.mark.parametrize("reg", [1.0, 0.1, 0.01, 1e-3])
@pytest.mark.parametrize("method", ["newton", "sinkhorn_log"])
def test_two_points_with_different_weights_solve_a_quadratic(reg, method):
    # P11 P22 = q^2 P12 P21 with q = exp(c / reg), for a = (s, 1-s), b = (t, 1-t)
    c, s, t = 0.1, 0.4, 0.7
    r = transport.solve([[0, c], [c, 0]], [s, 1 - s], [t, 1 - t], reg, method=method, tol=1e-12)
    p, q = r.plan, math.exp(-2 * c / reg)
    assert p[0, 1] * p[1, 0] == pytest.approx(q * p[0, 0] * p[1, 1], rel=1e-7)
    assert p[0].sum() == pytest.approx(s, abs=1e-11)
    assert p[:, 0].sum() == pytest.approx(t, abs=1e-11)


def test_equal_measures_and_a_symmetric_cost_give_a_symmetric_plan(problem):
    M, a, _ = problem("densities-L2 100")
    P = transport.solve(M, a, a, 0.01, tol=1e-12).plan
    np.testing.assert_allclose(P, P.T, atol=1e-12)


@pytest.mark.parametrize("reg", [0.3, 0.02])
def test_what_each_point_pays_anyhow_does_not_matter(reg):
    M, a, b = small()
    u, v = np.linspace(-1, 2, 6), np.linspace(3, 1, 7) ** 2
    P = transport.solve(M, a, b, reg, tol=1e-12).plan
    shifted = transport.solve(M + u[:, None] + v, a, b, reg, tol=1e-12)
    np.testing.assert_allclose(shifted.plan, P, atol=1e-11)


def test_a_constant_cost_and_a_large_regularisation_give_the_independent_coupling():
    M, a, b = small()
    independent = np.outer(a, b)
    np.testing.assert_allclose(transport.solve(np.full((6, 7), 3.0), a, b, 0.1).plan, independent, rtol=1e-9)
    for reg, tolerance in ((1e3, 1e-3), (1e6, 1e-6), (1e9, 1e-9)):
        r = transport.solve(M, a, b, reg)
        np.testing.assert_allclose(r.plan, independent, rtol=2 * tolerance)
        assert 0 <= r.kl + 1e-14
        assert r.kl < 1 / reg


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 7.0, 1e12])
def test_the_unit_of_the_cost_does_not_matter(scale):
    M, a, b = small()
    one = transport.solve(M, a, b, 0.02)
    other = transport.solve(scale * M, a, b, scale * 0.02)
    np.testing.assert_allclose(other.plan, one.plan, atol=1e-12)
    assert other.value == pytest.approx(scale * one.value, rel=1e-11)
    np.testing.assert_allclose(other.potentials[0], scale * one.potentials[0], rtol=1e-9, atol=1e-12 * scale)
    assert other.nit == one.nit


@pytest.mark.parametrize("mass", [1e-6, 1e-3, 30.0, 1e6])
def test_the_unit_of_mass_does_not_matter(mass, error):
    M, a, b = small()
    one = transport.solve(M, a, b, 0.02)
    other = transport.solve(M, mass * a, mass * b, 0.02)
    np.testing.assert_allclose(other.plan, mass * one.plan, rtol=1e-10, atol=1e-14 * mass)
    assert other.value_linear == pytest.approx(mass * one.value_linear, rel=1e-11)
    assert other.marginal_error == pytest.approx(one.marginal_error, abs=1e-14)
    assert error(other.plan, mass * a, mass * b) <= 1.1e-9


@pytest.mark.parametrize("shift", [1e6, -1e6, 1e3])
def test_a_large_offset_of_the_cost_loses_no_digits_of_the_plan(shift):
    M, a, b = small()
    # entries that are exact under the shift, so that the problem is the same
    M = np.round(M * 2**20) / 2**20
    one, other = transport.solve(M, a, b, 1e-3), transport.solve(M + shift, a, b, 1e-3)
    np.testing.assert_allclose(other.plan, one.plan, atol=1e-14)
    assert other.value == pytest.approx(one.value + shift, rel=1e-13)


@pytest.mark.parametrize("reg", [0.1, 0.005])
def test_the_order_of_the_points_does_not_matter(reg):
    M, a, b = small()
    rows, columns = np.random.default_rng(1).permutation(6), np.random.default_rng(2).permutation(7)
    P = transport.solve(M, a, b, reg, tol=1e-12).plan
    permuted = transport.solve(M[rows][:, columns], a[rows], b[columns], reg, tol=1e-12).plan
    np.testing.assert_allclose(permuted, P[rows][:, columns], atol=1e-11)


@pytest.mark.parametrize(("n", "m"), [(6, 7), (9, 4), (5, 5), (2, 30), (30, 2)])
def test_the_way_back_is_the_transposed_plan(n, m):
    M, a, b = small(n, m)
    there, back = (
        transport.solve(M, a, b, 0.02, tol=1e-12),
        transport.solve(M.T, b, a, 0.02, tol=1e-12),
    )
    np.testing.assert_allclose(there.plan, back.plan.T, atol=1e-11)
    assert there.value == pytest.approx(back.value, abs=1e-11)


@pytest.mark.parametrize("method", ["newton", "sinkhorn_log"])
@pytest.mark.parametrize(("v1", "v2", "s"), [(1.0, 0.49, 0.5), (1.0, 1.0, 0.3), (0.6, 1.0, 1.5)])
def test_gaussians_have_the_covariance_of_the_closed_form(method, v1, v2, s):
    # Janati et al. 2020: (sqrt(4 v1 v2 + s^4) - s^2) / 2 for the cost (x - y)^2 and reg = 2 s^2. The grid
    # reaches 12 deviations, where the weights are 1e-31.
    t = np.linspace(-12, 12, 241)
    a, b = np.exp(-(t**2) / (2 * v1)), np.exp(-(t**2) / (2 * v2))
    a, b = a / a.sum(), b / b.sum()
    assert min(a.min(), b.min()) < 1e-30
    r = transport.solve((t[:, None] - t) ** 2, a, b, 2 * s**2, method=method)
    assert r.success
    assert t @ r.plan @ t == pytest.approx((math.sqrt(4 * v1 * v2 + s**4) - s**2) / 2, abs=1e-7)


@pytest.mark.parametrize("reg", [1.0, 0.05, 0.01])
@pytest.mark.parametrize("mass", [1.0, 250.0])
@pytest.mark.parametrize("method", METHODS)
def test_plan_potentials_and_values_belong_together(reg, mass, method, error):
    M, a, b = small(mass=mass)
    r = transport.solve(M, a, b, reg, method=method)
    f, g = r.potentials
    assert f is r.x[0]
    P = r.plan
    np.testing.assert_allclose(np.exp((f[:, None] + g - M) / reg), P, rtol=1e-11)
    assert r.value_linear == pytest.approx(np.sum(P * M), rel=1e-12)
    assert r.value == pytest.approx(np.sum(P * M) + reg * np.sum(P * (np.log(P) - 1)), rel=1e-11)
    assert r.value == pytest.approx(a @ f + b @ g - reg * mass, abs=1e-8 * mass)
    assert r.kl == pytest.approx(np.sum(P * np.log(P / np.outer(a, b))), rel=1e-10, abs=1e-12)
    assert r.marginal_error == pytest.approx(error(P, a, b), rel=1e-4, abs=1e-14)
    assert r.reg == reg


# -- derivatives -----------------------------------------------------------------------------------


def central_difference(function, h=1e-4):
    """Fourth order."""
    return (8 * (function(h) - function(-h)) - (function(2 * h) - function(-2 * h))) / (12 * h)


@pytest.mark.parametrize("reg", [0.3, 0.05])
def test_the_potentials_are_the_derivative_by_the_weights(reg):
    M, a, b = small()
    f, g = transport.solve(M, a, b, reg, tol=1e-13).potentials
    rng = np.random.default_rng(4)
    u, v = rng.normal(size=6), rng.normal(size=7)
    u, v = u - u.mean(), v - v.mean()  # the masses stay equal

    def value(t):
        return transport.solve(M, a + t * u, b + t * v, reg, tol=1e-13).value

    assert central_difference(value) == pytest.approx(f @ u + g @ v, abs=1e-7)


@pytest.mark.parametrize("reg", [0.3, 0.05])
def test_the_plan_is_the_derivative_by_the_cost(reg):
    M, a, b = small()
    P = transport.solve(M, a, b, reg, tol=1e-13).plan
    E = np.random.default_rng(5).normal(size=M.shape)

    def value(t):
        return transport.solve(M + t * E, a, b, reg, tol=1e-13).value

    assert central_difference(value) == pytest.approx(np.sum(P * E), abs=1e-7)


def test_the_entropy_is_the_derivative_by_the_regularisation():
    M, a, b = small()
    P = transport.solve(M, a, b, 0.1, tol=1e-13).plan

    def value(t):
        return transport.solve(M, a, b, 0.1 + t, tol=1e-13).value

    assert central_difference(value) == pytest.approx(np.sum(P * (np.log(P) - 1)), abs=1e-7)


# -- every problem, every regularisation, no parameter ---------------------------------------------


@pytest.mark.parametrize("reg", [1e-1, 1e-2, 1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize(
    "name", ["assignment 500", "images-L2", "images-L1", "densities-L2 500", "densities-L1 500"]
)
def test_the_error_asked_for_is_reached_without_touching_a_parameter(problem, error, name, reg):
    M, a, b = problem(name)
    assert np.ptp(M) == pytest.approx(1, abs=1e-5)
    r = transport.solve(M, a, b, reg)
    assert r.status is Status.CONVERGED
    assert (r.plan >= 0).all()
    assert error(r.plan, a, b) <= 1e-9


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["assignment 30", "rectangular 60x40", "rectangular 12x17"])
def test_the_method_does_not_matter(problem, name, method):
    M, a, b = problem(name)
    r = transport.solve(M, a, b, 0.03, tol=1e-11, method=method)
    reference = transport.solve(M, a, b, 0.03, tol=1e-11)
    assert r.success
    np.testing.assert_allclose(r.plan, reference.plan, atol=1e-8)
    assert r.value == pytest.approx(reference.value, abs=1e-8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", ["60x40", "40x60", "17x12"])
def test_a_start_at_the_solution_needs_no_iteration(problem, method, shape):
    M, a, b = problem(f"rectangular {shape}")
    r = transport.solve(M, a, b, 0.01, tol=1e-11)
    again = transport.solve(M, a, b, 0.01, method=method, potentials_init=r.potentials)
    assert again.nit <= (1 if method == "newton" else 0)
    np.testing.assert_allclose(again.plan, r.plan, atol=1e-9)


# -- robustness ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reg", [0.1, 1e-3, 1e-5])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 8), (8, 1), (2, 90), (90, 2), (13, 40), (40, 13)])
def test_shapes(n, m, reg, error):
    M, a, b = small(n, m)
    r = transport.solve(M, a, b, reg)
    assert r.success
    assert r.plan.shape == (n, m)
    assert [x.shape for x in r.potentials] == [(n,), (m,)]
    assert error(r.plan, a, b) <= 1.1e-9


@pytest.mark.parametrize("least", [1e-12, 1e-30, 1e-300])
@pytest.mark.parametrize("reg", [0.1, 1e-3, 1e-5])
def test_tiny_weights(least, reg, error):
    M, a, b = small(30, 40)
    a[::3], b[::4] = least, least
    a, b = a / a.sum(), b / b.sum()
    r = transport.solve(M, a, b, reg)
    assert r.success
    assert error(r.plan, a, b) <= 1.1e-9


@pytest.mark.parametrize("method", METHODS)
def test_points_without_weight_get_nothing_and_change_nothing(method):
    M, a, b = small(20, 15)
    a[[0, 7, 19]], b[[3, 14]] = 0, 0
    a, b = a / a.sum(), b / b.sum()
    r = transport.solve(M, a, b, 0.05, method=method, tol=1e-11)
    assert (r.plan[a == 0] == 0).all()
    assert (r.plan[:, b == 0] == 0).all()
    assert np.array_equal(np.isneginf(r.potentials[0]), a == 0)
    assert np.array_equal(np.isneginf(r.potentials[1]), b == 0)
    inner = transport.solve(M[a > 0][:, b > 0], a[a > 0], b[b > 0], 0.05, method=method, tol=1e-11)
    np.testing.assert_allclose(r.plan[np.ix_(a > 0, b > 0)], inner.plan, atol=1e-13)
    assert r.value == pytest.approx(inner.value, abs=1e-13)
    np.testing.assert_allclose(
        transport.solve(M, a, b, 0.05, method=method, potentials_init=r.potentials).plan, r.plan, atol=1e-8
    )


@pytest.mark.parametrize("method", METHODS)
def test_forbidden_pairs_get_nothing(method, error):
    M, a, b = small(20, 15)
    closed = np.random.default_rng(3).random(M.shape) < 0.3
    M[closed] = INF
    r = transport.solve(M, a, b, 0.1, method=method)
    assert (r.plan[closed] == 0).all()
    assert (r.plan[~closed] > 0).all()
    assert error(r.plan, a, b) <= 1.1e-9
    assert np.isfinite([r.value, r.value_linear, r.kl]).all()
    # a cost that is high enough forbids as well
    high = transport.solve(np.where(closed, 8.0, M), a, b, 0.1, method=method)
    np.testing.assert_allclose(r.plan, high.plan, atol=1e-8)


@pytest.mark.parametrize("reg", [0.1, 1e-3])
def test_a_pattern_with_one_plan_gives_that_plan(reg):
    M, a, _ = small(12, 12)
    only = np.full((12, 12), INF)
    np.fill_diagonal(only, 1.0)
    np.testing.assert_allclose(transport.solve(only, a, a, reg).plan, np.diag(a), rtol=1e-9)
    # of a triangle only the diagonal can be used: the limit of potentials that run away
    triangle = np.where(np.tri(12) > 0, M, INF)
    np.testing.assert_allclose(transport.solve(triangle, a, a, reg, tol=1e-7).plan, np.diag(a), atol=1e-6)


INFEASIBLE = {
    "one column for too much": (
        [[0.0, INF], [0.0, INF], [INF, 0.0]],
        [0.4, 0.4, 0.2],
        [0.5, 0.5],
    ),
    "by a little": ([[0.0, INF], [0.0, INF], [INF, 0.0]], [0.3, 0.201, 0.499], [0.5, 0.5]),
    "two blocks": (
        np.where(np.kron(np.eye(2), np.ones((10, 10))) > 0, np.random.default_rng(0).random((20, 20)), INF),
        np.repeat([0.051, 0.049], 10),
        np.full(20, 0.05),
    ),
}


@pytest.mark.parametrize("reg", [1.0, 0.01])
@pytest.mark.parametrize(("M", "a", "b"), INFEASIBLE.values(), ids=INFEASIBLE.keys())
def test_a_pattern_that_carries_no_plan_is_called_infeasible(M, a, b, reg):
    with pytest.warns(ConvergenceWarning, match="allowed pairs"):
        r = transport.solve(M, a, b, reg)
    assert r.status is Status.INFEASIBLE
    assert not r.success
    assert np.isfinite(r.plan).all()
    assert (r.plan[np.isinf(np.asarray(M))] == 0).all()


@pytest.mark.parametrize(
    "change",
    [lambda M: -M, lambda M: M - 0.5, lambda M: 1e12 * M, lambda M: 1e-12 * M, lambda M: M**9],
    ids=["negative", "of both signs", "huge", "tiny", "skew"],
)
def test_costs_of_any_sign_and_scale(change, error):
    M, a, b = small(25, 20)
    M = change(M)
    for part in (0.1, 1e-3, 1e-5):
        r = transport.solve(M, a, b, part * np.ptp(M))
        assert r.success
        assert error(r.plan, a, b) <= 1.1e-9


@pytest.mark.parametrize("method", METHODS)
def test_integers_lists_and_missing_weights(method):
    M = np.random.default_rng(0).integers(0, 100, (5, 4))
    reference = transport.solve(M.astype(float), np.full(5, 0.2), np.full(4, 0.25), 20.0, method=method).plan
    for r in (
        transport.solve(M, reg=20, method=method),
        transport.solve(M.tolist(), [], [], 20, method=method),
        transport.solve(M, [0.2] * 5, None, np.float32(20), method=method),
        transport.solve(np.asfortranarray(M), reg=20, method=method),
        transport.solve(np.repeat(M, 2, axis=1)[:, ::2], reg=20, method=method),
    ):
        assert r.plan.dtype == np.float64
        np.testing.assert_allclose(r.plan, reference, atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reg", [100.0, 0.1, 0.02])
def test_single_precision_in_is_single_precision_out(method, reg):
    M, a, b = small(20, 25)
    r = transport.solve(*(x.astype(np.float32) for x in (M, a, b)), reg, method=method)
    assert r.plan.dtype == r.potentials[0].dtype == r.potentials[1].dtype == np.float32
    assert r.success
    assert r.marginal_error < 1e-4
    np.testing.assert_allclose(r.plan, transport.solve(M, a, b, reg).plan, atol=1e-4 * r.plan.max())


@pytest.mark.parametrize("method", METHODS)
def test_the_arguments_are_not_written(method):
    M, a, b = small()
    kept = [x.copy() for x in (M, a, b)]
    start = np.zeros(6), np.zeros(7)
    transport.solve(3 * M, 2 * a, 2 * b, 0.1, method=method)
    transport.solve(M, a, b, 0.1, method=method, potentials_init=start)
    assert all(np.array_equal(x, y) for x, y in zip((M, a, b), kept, strict=True))
    assert not start[0].any()
    assert not start[1].any()


@pytest.mark.parametrize("reg", [1e-8, 1e-9, 1e-10, 1e-12, 1e-14, 3e-16])
def test_below_the_rounding_of_the_exponents_no_answer_is_quietly_wrong(problem, error, reg):
    # potentials of size one carry 1e-16; an error of 1e-16 / reg is the best that can be had
    M, a, b = problem("rectangular 60x40")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        r = transport.solve(M, a, b, reg)
    assert np.isfinite(r.plan).all()
    assert r.marginal_error == pytest.approx(error(r.plan, a, b), rel=1e-6, abs=1e-15)
    if r.status is Status.CONVERGED:
        assert r.marginal_error <= 1e-9
    elif r.success:
        assert r.status is Status.ROUNDING
        assert "residual is" in r.message
        assert r.marginal_error <= 100 * 2.3e-16 / reg
        assert r.marginal_error <= 1e-5
    else:
        assert reg < 1e-8


def test_a_tolerance_below_rounding_ends_there(problem):
    M, a, b = problem("rectangular 60x40")
    for reg in (1.0, 0.1, 1e-3):
        r = transport.solve(M, a, b, reg, tol=0.0)
        assert r.status is Status.ROUNDING
        assert r.marginal_error < 1e-15 * (10 + 10 / reg)
        assert r.nit < 200


def test_without_plan_the_values_are_the_same(problem):
    M, a, b = problem("rectangular 60x40")
    for method in METHODS:
        full, bare = (
            transport.solve(M, a, b, 0.05, method=method, return_plan=flag) for flag in (True, False)
        )
        assert bare.plan is None
        assert (bare.value, bare.value_linear, bare.kl) == (full.value, full.value_linear, full.kl)
        assert bare.marginal_error == full.marginal_error


entries = st.floats(-5, 5, allow_nan=False, width=32)
shares = st.one_of(st.just(0.0), st.just(1e-20), st.floats(1e-3, 1.0))


@st.composite
def small_problems(draw):
    n, m = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    M = np.array(draw(st.lists(entries, min_size=n * m, max_size=n * m))).reshape(n, m)
    a = np.array(draw(st.lists(shares, min_size=n, max_size=n).filter(lambda w: sum(w) > 1e-3)))
    b = np.array(draw(st.lists(shares, min_size=m, max_size=m).filter(lambda w: sum(w) > 1e-3)))
    return M, a / a.sum(), b / b.sum(), 10.0 ** draw(st.floats(-3, 2))


@given(case=small_problems(), tol=st.sampled_from([1e-3, 1e-9, 1e-11]))
def test_what_is_called_a_success_is_one(error, case, tol):
    M, a, b, reg = case
    r = transport.solve(M, a, b, reg, tol=tol)
    assert r.success
    P = r.plan
    assert (P >= 0).all()
    assert error(P, a, b) <= max(1.01 * tol, 1e-12)
    assert not P[a == 0].any()
    assert not P[:, b == 0].any()
    # no coupling beats the regularised optimum: the independent one is a witness
    independent = np.outer(a, b)
    on = independent > 0
    entropy = np.sum(independent[on] * (np.log(independent[on]) - 1))
    assert r.value <= np.sum(independent * M) + reg * entropy + 1e-6 + 20 * tol


@pytest.mark.parametrize("transform", ["grad", "jit"])
@pytest.mark.parametrize("name", ["M", "a", "reg", "batch", "points", "unbalanced"])
def test_transformations_of_jax_are_told_what_to_use(name, transform):
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    M = jnp.asarray(np.random.default_rng(0).random((4, 4)))
    losses = {
        "M": lambda M: transport.solve(M, reg=0.1).value,
        "a": lambda M: transport.sinkhorn(M[0], None, jnp.eye(4), 0.1).value,
        "reg": lambda M: transport.solve(np.eye(4), reg=M[0, 0]).value,
        "batch": lambda M: transport.solve(M[None], reg=0.1).value[0],
        "points": lambda M: transport.sinkhorn_divergence(M, M + 1, reg=0.1).value,
        "unbalanced": lambda M: transport.sinkhorn_unbalanced(None, None, M, 0.1, 1.0).value,
    }
    with pytest.raises(TypeError, match=r"is a tracer .* numsolve\.implicit"):
        getattr(jax, transform)(losses[name])(M)
