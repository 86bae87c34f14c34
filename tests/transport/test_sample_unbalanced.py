"""Unbalanced clouds, beside the same problem with its matrix of costs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from numsolve import ConvergenceWarning, transport

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(40, 3)), rng.normal(size=(30, 3)) + 0.5
A, B = rng.uniform(0.5, 1.5, 40), rng.uniform(0.5, 1.5, 30)
A[7] = 0.0


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cityblock", "cosine"])
@pytest.mark.parametrize("prices", [1.0, (0.5, np.inf)])
def test_unbalanced_clouds_have_the_plan_of_their_costs(metric, prices):
    M = cdist(X, Y, metric)
    matrix = transport.solve(M, A, B, 0.1, unbalanced=prices)
    clouds = transport.solve_sample(X, Y, A, B, reg=0.1, metric=metric, unbalanced=prices, tol=1e-9)
    assert clouds.success
    assert clouds.value == pytest.approx(matrix.value, rel=1e-9)
    np.testing.assert_allclose(clouds.plan @ np.eye(30), matrix.plan, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(clouds.potentials[0][:7], matrix.potentials[0][:7], atol=1e-7)
    np.testing.assert_allclose(clouds.gradient().a, matrix.gradient().a, rtol=1e-6, equal_nan=True)
    again = transport.solve_sample(
        X, Y, A, B, reg=0.1, metric=metric, unbalanced=prices, potentials_init=clouds.potentials
    )
    assert again.nnewton <= 1


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cosine"])
@pytest.mark.parametrize("prices", [1.0, (0.5, np.inf), (np.inf, 0.5), 0.01])
def test_costs_that_are_not_kept_give_the_same_plan(metric, prices):
    settings = {"reg": 0.1, "metric": metric, "unbalanced": prices, "tol": 1e-11}
    kept = transport.solve_sample(X, Y, A, B, **settings)
    settings["memory_limit"] = 0
    for method in ("newton", "sinkhorn"):
        made = transport.solve_sample(X, Y, A, B, method=method, **settings)
        assert made.success
        error = abs(made.plan @ np.eye(30) - kept.plan @ np.eye(30)).sum()
        assert error <= 1e-9 * (kept.plan @ np.ones(30)).sum()
        assert made.value == pytest.approx(kept.value, rel=1e-9)
        assert made.value_linear == pytest.approx(kept.value_linear, rel=1e-9)
        assert made.bounds == pytest.approx(kept.bounds, rel=1e-6)
    again = transport.solve_sample(X, Y, A, B, potentials_init=kept.potentials, **settings)
    assert again.nnewton <= 1
    with pytest.warns(ConvergenceWarning):
        cut = transport.solve_sample(X, Y, A, B, **{**settings, "reg": 1e-3}, maxiter=1)
    assert not cut.success


def test_the_value_of_unbalanced_clouds_has_its_derivative_in_the_points():
    def solve(X):
        return transport.solve_sample(X, Y, A, B, reg=0.1, unbalanced=1.0, tol=1e-11)

    up, down = X.copy(), X.copy()
    up[3, 1] += 1e-5
    down[3, 1] -= 1e-5
    slope = (solve(up).value - solve(down).value) / 2e-5
    assert solve(X).gradient().X_a[3, 1] == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("stored", ["pairs", "entries", "nothing"])
@pytest.mark.parametrize("prices", [1.0, (0.5, np.inf), (np.inf, 2.0), 0.05, 1e3])
def test_the_adjoint_is_that_of_the_matrix(prices, stored, monkeypatch):
    if stored != "pairs":
        monkeypatch.setattr("numsolve.transport.clouds._adjoint.STORED", 0)
    if stored == "nothing":
        monkeypatch.setattr("numsolve.transport.clouds._adjoint.most", lambda pairs: 0)
    draw = np.random.default_rng(1)
    U, V, p, q = (draw.normal(size=s) for s in ((40, 2), (30, 2), 40, 30))
    p[7] = 0.0
    clouds = transport.solve_sample(X, Y, A, B, reg=0.1, unbalanced=prices, tol=1e-12)
    ours = clouds.vjp((U, V), potentials=(p, q))
    matrix = transport.solve(cdist(X, Y, "sqeuclidean"), A, B, 0.1, unbalanced=prices, tol=1e-12)
    theirs = matrix.vjp(U @ V.T, potentials=(p, q))
    slopes = 2 * theirs.M[:, :, None] * (X[:, None, :] - Y[None, :, :])
    expected = (theirs.a, theirs.b, slopes.sum(axis=1), -slopes.sum(axis=0))
    for found, right in zip(ours, expected, strict=True):
        np.testing.assert_allclose(found, right, atol=2e-7 * np.nanmax(np.abs(right)), equal_nan=True)
    assert np.isnan(ours.a[7])


def test_the_derivative_in_the_points_is_a_slope():
    move = np.random.default_rng(2).normal(size=X.shape)

    def loss(t):
        plan = transport.solve_sample(X + t * move, Y, A, B, reg=0.1, unbalanced=0.5, tol=1e-13).plan
        return np.sum(np.sin(plan @ Y))

    result = transport.solve_sample(X, Y, A, B, reg=0.1, unbalanced=0.5, tol=1e-13)
    slope = np.vdot(result.vjp((np.cos(result.plan @ Y), Y)).X_a, move)
    assert slope == pytest.approx((loss(1e-5) - loss(-1e-5)) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("stored", ["pairs", "nothing"])
def test_an_outlier_whose_mass_vanishes_has_no_say(stored, monkeypatch):
    if stored == "nothing":
        monkeypatch.setattr("numsolve.transport.clouds._adjoint.STORED", 0)
        monkeypatch.setattr("numsolve.transport.clouds._adjoint.most", lambda pairs: 0)
    far = X.copy()
    far[0] += 1e4
    both = transport.solve_sample(far, Y, A, B, reg=0.1, unbalanced=1.0, tol=1e-12)
    without = transport.solve_sample(far[1:], Y, A[1:], B, reg=0.1, unbalanced=1.0, tol=1e-12)
    G = np.random.default_rng(3).normal(size=far.shape)
    ours, theirs = both.vjp((G, Y)), without.vjp((G[1:], Y))
    assert ours.a[0] == 0
    assert np.all(ours.X_a[0] == 0)
    np.testing.assert_allclose(ours.X_a[1:], theirs.X_a, atol=1e-7 * np.abs(theirs.X_a).max())
    np.testing.assert_allclose(ours.b, theirs.b, atol=1e-7 * np.abs(theirs.b).max())
    with pytest.raises(np.linalg.LinAlgError, match=r"potentials\[0\]"):
        both.vjp(potentials=(np.eye(40)[0], np.zeros(30)))


def test_far_outliers_are_left_and_sweeps_agree():
    far = X.copy()
    far[0] += 1e4
    newton = transport.solve_sample(far, Y, A, B, reg=0.1, unbalanced=1.0)
    sweeps = transport.solve_sample(far, Y, A, B, reg=0.1, unbalanced=1.0, method="sinkhorn")
    assert newton.success
    assert (newton.plan @ np.ones(30))[0] == 0.0
    assert newton.value == pytest.approx(sweeps.value, rel=1e-5)


def test_what_unbalanced_clouds_cannot_do_is_said():
    with pytest.raises(ValueError, match="unbalanced must"):
        transport.solve_sample(X, Y, reg=0.1, unbalanced=-1.0)
    with pytest.raises(ValueError, match=r"reg must be positive between clouds.*reg=0"):
        transport.solve_sample(X, Y, reg=0)


@pytest.mark.parametrize("memory_limit", [None, 0])
@pytest.mark.parametrize("method", ["newton", "sinkhorn"])
def test_no_time_at_all_is_a_flagged_result(memory_limit, method):
    with pytest.warns(ConvergenceWarning, match="time limit"):
        result = transport.solve_sample(
            X, Y, A, B, reg=0.1, unbalanced=1.0, memory_limit=memory_limit, method=method, time_limit=0
        )
    assert result.status.name == "TIME_LIMIT"
    assert [p.shape for p in result.potentials] == [A.shape, B.shape]
