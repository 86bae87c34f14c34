"""What is particular to Newton's method: its starts, its order, its path through the regularisations."""

from __future__ import annotations

from contextlib import closing

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose

from numsolve import transport
from numsolve._core.limits import Limits
from numsolve.transport import _generic, _semidual
from numsolve.transport._problem import prepare


def test_a_start_nearby_saves_the_way(problem):
    M, a, b = problem("assignment 100")
    far = transport.solve(M, a, b, 1e-3)
    near = transport.solve(M, a, b, 1e-3 * 1.05, potentials_init=far.potentials)
    assert near.success
    assert near.nit < transport.solve(M, a, b, 1e-3 * 1.05).nit


@pytest.mark.parametrize("scale", [1e3, 1e6])
def test_a_start_far_away_does_no_harm(problem, error, scale):
    M, a, b = problem("rectangular 12x17")
    rng = np.random.default_rng(0)
    r = transport.solve(
        M, a, b, 0.01, potentials_init=(scale * rng.normal(size=12), scale * rng.normal(size=17))
    )
    assert r.success
    assert error(r.plan, a, b) <= 1.1e-9


def test_the_last_newton_steps_converge_faster_than_linearly(problem):
    M, a, b = problem("assignment 100")
    r = transport.solve(M, a, b, 0.01, tol=1e-11)
    e = r.history.residual[r.history.reg == 0.01]
    e = e[e < 0.05]
    assert e.size >= 3
    order = np.log(e[2:] / e[1:-1]) / np.log(e[1:-1] / e[:-2])
    assert order.max() > 1.5


@pytest.mark.parametrize(
    ("name", "reg"),
    [("assignment 100", 1e-4), ("densities-L1 100", 1e-4), ("rectangular 60x40", 1e-3), ("images-L1", 0.01)],
)
def test_the_dual_never_falls_within_a_stage(problem, name, reg):
    M, a, b = problem(name)
    path = {}

    def callback(intermediate_result):
        f, g = intermediate_result.x
        mass = np.exp((f[:, None] + g - M) / intermediate_result.reg).sum()
        dual = a @ f + b @ g - intermediate_result.reg * mass
        path.setdefault(intermediate_result.reg, []).append(dual)

    r = transport.solve(M, a, b, reg, callback=callback)
    assert tuple(path) == r.reg_path
    for dual in path.values():
        assert (np.diff(dual) >= -1e-14).all()


def test_the_path_of_the_regularisation_ends_at_the_one_asked_for(problem):
    M, a, b = problem("assignment 50")
    r = transport.solve(M, a, b, 1e-4)
    assert r.reg_path[-1] == 1e-4
    assert list(r.reg_path) == sorted(r.reg_path, reverse=True)
    assert np.array_equal(np.unique(r.history.reg), np.unique(r.reg_path))
    assert r.nnewton > 0
    assert r.ncg > 0


def test_auto_is_newton(problem):
    M, a, b = problem("rectangular 12x17")
    auto, newton = (transport.solve(M, a, b, 0.05, method=method) for method in ("auto", "newton"))
    assert_allclose(auto.history.residual, newton.history.residual, rtol=1e-5, atol=1e-12)


def test_blocks_of_rows_give_what_one_piece_gives(monkeypatch):
    rng = np.random.default_rng(0)
    M, a, b = rng.random((90, 70)), rng.random(90), rng.random(70)
    b *= a.sum() / b.sum()
    whole = transport.solve(M, a, b, 2e-3)
    monkeypatch.setattr(_semidual, "CACHED", 0)
    monkeypatch.setattr(_semidual, "BLOCK", 500)
    blocks = transport.solve(M, a, b, 2e-3)
    assert blocks.success
    np.testing.assert_allclose(blocks.plan, whole.plan, rtol=1e-6, atol=1e-9)
    far = (1e6 * rng.standard_normal(90), np.zeros(70))  # the stabiliser overflows
    np.testing.assert_allclose(
        transport.solve(M, a, b, 2e-3, potentials_init=far).plan, whole.plan, atol=1e-9
    )


@pytest.mark.parametrize("reg", [0.5, 2e-3])
def test_the_number_of_threads_changes_nothing(monkeypatch, reg):
    monkeypatch.setattr(_semidual, "CACHED", 0)
    monkeypatch.setattr(_semidual, "BLOCK", 500)
    M = np.random.default_rng(0).random((90, 70))
    before = numba.get_num_threads()
    plans = []
    for threads in {1, before}:
        numba.set_num_threads(threads)
        plans.append(transport.solve(M, reg=reg).plan)
    numba.set_num_threads(before)
    assert all(np.array_equal(plan, plans[0]) for plan in plans)


@pytest.mark.parametrize("cached", [0, 1000])
@pytest.mark.parametrize("wrong", [1e3, -1e3, 1e12])
def test_the_transform_needs_no_good_stabiliser(wrong, cached, monkeypatch):
    monkeypatch.setattr(_semidual, "CACHED", cached)
    rng = np.random.default_rng(0)
    problem = prepare(rng.random((20, 30)), None, None, 1e-3)
    with closing(_semidual.DenseDual(problem, Limits())) as dual:
        f = rng.random(20)
        g, r = dual.transform(f, np.full(30, wrong))
        exact = -1e-3 * (np.log(30) + _generic.log_column_sums(problem.M, f, np.zeros(30), 1e-3))
        np.testing.assert_allclose(g, exact, rtol=1e-10)
        np.testing.assert_allclose(r, _generic.plan(problem.M, f, exact, 1e-3).sum(axis=1), rtol=1e-9)


@pytest.mark.parametrize("sums", [[1.0, 0.0], [np.inf, 1.0], [np.nan, 1.0], [1.0, np.nan], [1e-300, 1.0]])
def test_sums_that_lost_digits_are_noticed(sums):
    with closing(_semidual.DenseDual(prepare(np.ones((2, 2)), None, None, 1.0), Limits())) as dual:
        assert not dual._has_all_digits(np.array(sums))
        assert dual._has_all_digits(np.array([1e-280, 1.0, 1e280]))


# -- costs of every size ---------------------------------------------------------------------------


def squared(X, Y):
    return ((X[:, None] - Y) ** 2).sum(-1)


def wide_costs():
    """Costs whose range is far beyond what matters, each with 90 sources and 80 targets."""
    local = np.random.default_rng(0)
    X, Y = local.random((90, 2)), local.random((80, 2))
    far, both, same = X.copy(), Y.copy(), Y.copy()
    far[3], both[7], same[7] = [1e5, -1e5], [1e5, 2e5], np.array([1e3, -1e3]) + local.random(2)
    meant = squared(X, Y)
    meant[local.random(meant.shape) < 0.3] = 1e10
    units = np.array([1.0, 1e3, 1e6])
    return {
        "a far frame": squared(X, Y + np.array([1e6, 0.0])),
        "a farther frame": squared(X, Y + np.array([1e8, 0.0])),
        "an outlier": squared(far, Y),
        "an outlier on each side": squared(far, both),
        "outliers that belong together": squared(np.where(np.arange(90)[:, None] == 3, same[7], X), same),
        "large costs for forbidden": meant,
        "features in many units": squared(local.random((90, 3)) * units, local.random((80, 3)) * units),
    }


@pytest.mark.parametrize("reg", [1e-1, 1e-3])
@pytest.mark.parametrize("name", wide_costs())
def test_costs_of_a_wide_range_lose_no_digits(name, reg):
    M = wide_costs()[name]
    r = transport.solve(M, reg=reg)
    assert r.success
    missed = np.abs(r.plan.sum(1) - 1 / 90).sum() + np.abs(r.plan.sum(0) - 1 / 80).sum()
    assert missed <= 1e-9
    assert r.value_linear == pytest.approx(np.vdot(r.plan, M), rel=1e-9)
    # what the entropy and missed mass may cost, from a dual solution that is feasible for the caller's M
    size = np.abs(M[r.plan > 0]).max()
    low, high = r.bounds
    slack = (1e-12 + missed) * size
    assert -slack <= r.value_linear - low <= reg * np.log(80) + slack
    assert low <= high + slack


def test_a_far_frame_has_the_plan_of_a_near_one():
    local = np.random.default_rng(0)
    X, Y = local.random((60, 2)), np.round(local.random((50, 2)) * 2**20) / 2**20
    near = transport.solve(squared(X, Y), reg=1e-2).plan
    far = transport.solve(squared(X, Y + np.array([1e4, 0.0])), reg=1e-2).plan
    np.testing.assert_allclose(far, near, atol=1e-5 * near.max())  # the costs of 1e8 have 1e-8 left


@pytest.mark.parametrize("large", [1e20, 1e32, 1e300])
def test_numbers_too_large_for_any_pair_are_refused_with_what_to_write(large):
    M = np.random.default_rng(0).random((6, 7))
    M[2, 3] = large
    with pytest.raises(ValueError, match="write inf for them"):
        transport.solve(M, reg=0.01)
    M[2, 3] = np.inf
    assert transport.solve(M, reg=0.01).success
