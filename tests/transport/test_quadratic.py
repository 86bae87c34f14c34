"""Quadratically regularised transport: optimality, invariances, the peers, hard data."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numsolve import transport
from numsolve._core.result import ConvergenceWarning, Status
from numsolve.transport._deadline import Deadline
from numsolve.transport.sparse import _cpu
from numsolve.transport.sparse._barrier import Barrier
from numsolve.transport.sparse._pairs import ByColumns


def objective(T, M, reg):
    inside = T > 0
    return float(T[inside] @ M[inside]) + reg / 2 * float(np.vdot(T, T))


@pytest.mark.parametrize("reg", [1e-3, 0.1, 10.0, 1e4])
@pytest.mark.parametrize(
    "name", ["assignment 40", "rectangular 30x17", "rectangular 8x50", "densities-L1 60"]
)
def test_the_plan_satisfies_the_optimality_conditions(problem, error, name, reg):
    M, a, b = problem(name)
    r = transport.quadratic(a, b, M, reg)
    assert r.success
    assert error(r.plan, a, b) <= 1e-8
    f, g = r.potentials
    np.testing.assert_allclose(r.plan, np.maximum(f[:, None] + g - M, 0) / reg, atol=1e-9)
    assert r.value == pytest.approx(objective(r.plan, M, reg), rel=1e-12)
    dual = a @ f + b @ g - reg / 2 * np.sum(r.plan**2)
    assert r.value == pytest.approx(dual, rel=1e-7)
    assert abs(r.gap) <= 1e-7 * r.value
    assert r.nnz_max == (r.plan > 0).sum(axis=0).max()


@pytest.mark.parametrize("name", ["assignment 40", "rectangular 30x17", "densities-L2 60"])
def test_the_value_is_that_of_pot(problem, name):
    ot = pytest.importorskip("ot")
    M, a, b = problem(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        P = ot.smooth.smooth_ot_semi_dual(a, b, M, 1.0, reg_type="l2", numItermax=5000, stopThr=1e-14)
    r = transport.quadratic(a, b, M, 1.0)
    assert objective(P, M, 1.0) == pytest.approx(r.value, rel=1e-6, abs=1e-7)


def test_the_plan_is_that_of_regot(problem):
    regot = pytest.importorskip("regot")
    M, a, b = problem("rectangular 30x17")
    P = regot.qrot_grssn(np.asfortranarray(M), a, b, 0.5, tol=1e-11, max_iter=1000).plan
    np.testing.assert_allclose(transport.quadratic(a, b, M, 0.5).plan, P, atol=1e-8)


def test_two_by_two():
    # T_11 = t on the diagonal, 1/2 - t off it: 2 t reg - 2 (1/2 - t) reg = 2 c where t stays below 1/2
    for c, reg in ((0.1, 1.0), (1.0, 1.0), (0.3, 0.5)):
        r = transport.quadratic([0.5, 0.5], [0.5, 0.5], [[0, c], [c, 0]], reg)
        assert r.plan[0, 0] == pytest.approx(min(0.25 + c / (2 * reg), 0.5), abs=1e-9)


def test_equal_costs_give_the_nearest_plan_to_zero():
    a, b = np.array([0.4, 0.6]), np.array([0.5, 0.3, 0.2])
    r = transport.quadratic(a, b, np.full((2, 3), 7.0), 2.0)
    T = a[:, None] / 3 + b / 2 - 1 / 6  # the projection of zero, as long as it is positive
    np.testing.assert_allclose(r.plan, T, atol=1e-9)
    assert r.value == pytest.approx(7 + np.sum(T**2), rel=1e-9)


def test_a_small_reg_gives_exact_transport(problem):
    from scipy.optimize import linear_sum_assignment

    M, a, b = problem("assignment 40")
    rows, columns = linear_sum_assignment(M)
    r = transport.quadratic(a, b, M, 1e-4)
    T = np.zeros_like(M)
    T[rows, columns] = 1 / 40
    np.testing.assert_allclose(r.plan, T, atol=1e-9)
    assert r.bounds[0] <= M[rows, columns].mean() + 1e-12 <= r.bounds[1] + 2e-12


def test_invariances(problem):
    M, a, b = problem("rectangular 8x50")
    r = transport.quadratic(a, b, M, 0.3)
    same = {
        "cost and reg in another unit": transport.quadratic(a, b, 5 * M, 1.5),
        "sides of the cost shifted": transport.quadratic(
            a, b, M + np.arange(8)[:, None] - np.arange(50), 0.3
        ),
        "a large constant": transport.quadratic(a, b, M + 1e4, 0.3),
    }
    for name, other in same.items():
        np.testing.assert_allclose(other.plan, r.plan, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(transport.quadratic(b, a, M.T, 0.3).plan.T, r.plan, atol=1e-10)
    np.testing.assert_allclose(transport.quadratic(3 * a, 3 * b, M, 0.1).plan, 3 * r.plan, atol=1e-9)
    order = np.random.default_rng(0).permutation(8)
    np.testing.assert_allclose(transport.quadratic(a[order], b, M[order], 0.3).plan, r.plan[order], atol=1e-9)
    assert same["a large constant"].value == pytest.approx(r.value + 1e4)


def test_masses_other_than_one(problem):
    M, a, b = problem("rectangular 8x50")
    r = transport.quadratic(12 * a, 12 * b, M, 0.3)
    np.testing.assert_allclose(r.plan.sum(axis=0), 12 * b, atol=1e-7)
    f, g = r.potentials
    np.testing.assert_allclose(r.plan, np.maximum(f[:, None] + g - M, 0) / 0.3, atol=1e-8)
    assert r.value == pytest.approx(objective(r.plan, M, 0.3), rel=1e-10)
    P = r.plan[r.plan > 0]
    assert r.kl == pytest.approx(np.sum(P * np.log(P / np.outer(12 * a, 12 * b)[r.plan > 0])), rel=1e-6)


def test_the_gradient_of_the_value(problem):
    M, a, b = problem("rectangular 8x50")
    gradient = transport.quadratic(a, b, M, 0.3, tol=1e-11).gradient()
    rng = np.random.default_rng(0)
    da, dM = rng.standard_normal(8), rng.standard_normal(M.shape)
    da -= da.mean()
    h = 1e-6

    def value(s):
        return transport.quadratic(a + s * h * da, b, M + s * h * dM, 0.3, tol=1e-11).value

    slope = gradient.a @ da + np.vdot(gradient.M, dM)
    assert (value(1) - value(-1)) / (2 * h) == pytest.approx(slope, rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 10**6), st.sampled_from([1e-3, 0.1, 3.0]))
def test_any_small_problem(n, m, seed, reg):
    rng = np.random.default_rng(seed)
    M = np.round(rng.random((n, m)), 1)  # with ties
    a, b = rng.integers(0, 4, n).astype(float), rng.integers(0, 4, m).astype(float)
    a[0], b[0] = a[0] + 1, b[0] + 1
    b *= a.sum() / b.sum()
    r = transport.quadratic(a, b, M, reg)
    assert r.success
    assert abs(r.plan.sum(axis=1) - a).sum() + abs(r.plan.sum(axis=0) - b).sum() <= 1e-7 * a.sum()
    assert r.plan.min() >= 0
    f, g = r.potentials
    inner = np.isfinite(f)[:, None] & np.isfinite(g)
    v = np.where(inner, f[:, None] + np.where(np.isfinite(g), g, 0) - M, 0)
    np.testing.assert_allclose(r.plan, np.maximum(v, 0) / reg, atol=1e-6 * a.sum())


@pytest.mark.parametrize("reg", [1e-3, 1.0, 1e3])
def test_weights_over_twelve_orders_of_magnitude(reg, error):
    rng = np.random.default_rng(8)
    for n, m in ((20, 35), (60, 15)):
        a, b = 10.0 ** rng.uniform(-12, 0, n), 10.0 ** rng.uniform(-12, 0, m)
        a, b = a / a.sum(), b / b.sum()
        M = np.round(rng.random((n, m)), 1)
        r = transport.quadratic(a, b, M, reg)
        assert r.success
        assert error(r.plan, a, b) <= 1e-8
        f, g = r.potentials
        np.testing.assert_allclose(r.plan, np.maximum(f[:, None] + g - M, 0) / reg, atol=1e-9)


def test_the_interior_point_method_ends_where_newton_s_does(problem):
    """From any potentials, on all pairs: the same plan, and marginals all the way once they are met."""
    M, a, b = problem("rectangular 8x50")
    ptr, rows = 8 * np.arange(51), np.tile(np.arange(8, dtype=np.int32), 50)
    for start in (0.0, 1.0):
        pairs = ByColumns(ptr, rows, M.T.ravel())
        begin = np.full(8, start), np.zeros(50)
        interior = Barrier(_cpu, pairs, a, b, 0.3, begin, Deadline())
        while interior.complementarity > 1e-12:
            assert interior.step() > 0
        assert interior.error < 1e-12
        T = interior.plan.reshape(50, 8).T
        np.testing.assert_allclose(T, transport.quadratic(a, b, M, 0.3).plan, atol=1e-7)
        assert interior.value == pytest.approx(objective(T, M, 0.3))


def test_forbidden_pairs():
    M = np.array([[0.0, 1.0, np.inf], [np.inf, 0.5, 0.0]])
    r = transport.quadratic([0.4, 0.6], [0.3, 0.3, 0.4], M, 0.5)
    assert r.success
    assert r.plan[0, 2] == 0 == r.plan[1, 0]
    np.testing.assert_allclose(r.plan.sum(axis=1), [0.4, 0.6], atol=1e-9)
    closed = np.array([[0, np.inf, np.inf], [0, np.inf, np.inf], [0, 0, 0]])
    with pytest.warns(ConvergenceWarning, match="cannot carry"):
        r = transport.quadratic(None, None, closed, 0.5)
    assert r.status is Status.INFEASIBLE


def test_float32(problem):
    M, a, b = (x.astype(np.float32) for x in problem("rectangular 30x17"))
    r = transport.quadratic(a, b, M, 0.5)
    assert r.plan.dtype == r.potentials[0].dtype == np.float32
    assert r.marginal_error < 1e-5
    np.testing.assert_allclose(
        r.plan, transport.quadratic(*problem("rectangular 30x17")[1:], M, 0.5).plan, atol=1e-6
    )


def test_start_callback_limits_and_pickles(problem):
    M, a, b = problem("densities-L2 60")
    r = transport.quadratic(a, b, M, 0.1)
    assert transport.quadratic(a, b, M, 0.1, potentials_init=r.potentials).nit == 0
    assert transport.quadratic(b, a, M.T, 0.1, potentials_init=r.potentials[::-1]).nit <= 1
    far = (10 * np.random.default_rng(0).standard_normal(60), np.zeros(60))
    np.testing.assert_allclose(transport.quadratic(a, b, M, 0.1, potentials_init=far).plan, r.plan, atol=1e-8)
    seen = []
    transport.quadratic(a, b, M, 0.1, callback=seen.append)
    assert len(seen) == r.nit
    np.testing.assert_allclose(seen[-1][0], r.potentials[0])
    assert transport.quadratic(a, b, M, 0.1, callback=lambda x: True).status is Status.STOPPED
    for limits in ({"maxiter": 2}, {"time_limit": 0.0}):
        with pytest.warns(ConvergenceWarning):
            early = transport.quadratic(a, b, M, 0.1, **limits)
        assert not early.success
        assert early.value >= r.value - 1e-9 or early.marginal_error > 1e-9
    back = pickle.loads(pickle.dumps(r))
    assert np.array_equal(back.plan, r.plan)
    assert "nnz_max" in repr(r)


@pytest.mark.slow
def test_images(problem, error):
    for name in ("images-L2", "images-L1"):
        M, a, b = problem(name)
        for reg in (0.01, 1.0, 100.0):
            r = transport.quadratic(a, b, M, reg)
            assert r.success
            assert error(r.plan, a, b) <= 1e-8
            f, g = r.potentials
            assert a @ f + b @ g - reg / 2 * np.sum(r.plan**2) == pytest.approx(r.value, rel=1e-7)


def test_solve_takes_the_regulariser_by_name_and_batches():
    M, a, b = transport.problems.random_assignment(12, rng=0)
    single = transport.quadratic(a, b, M, 0.5)
    np.testing.assert_allclose(transport.solve(M, a, b, 0.5, reg_type="L2").plan, single.plan, atol=1e-8)
    batch = transport.solve(np.stack([M, M.T]), reg=0.5, reg_type="L2")
    np.testing.assert_allclose(batch.plan[1], batch.plan[0].T, atol=1e-8)
    with pytest.raises(ValueError, match="reg_type must be"):
        transport.solve(M, a, b, 0.5, reg_type="L2", unbalanced=1.0)
