"""The Sinkhorn divergence: its definition, its limits, its symmetries, its derivatives."""

from __future__ import annotations

import numpy as np
import ot
import pytest

from numsolve import ConvergenceWarning, transport


def clouds(n=30, m=40, d=2, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.random(n) + 0.2, rng.random(m) + 0.2
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) + 0.5, a / a.sum(), b / b.sum()


def squares(X, Y):
    return ((X[:, None] - Y) ** 2).sum(axis=2)


def regularised(X, Y, a, b, reg):
    P = transport.solve(squares(X, Y), a, b, reg, tol=1e-12).plan
    return np.vdot(P, squares(X, Y)) + reg * np.sum(P * np.log(P / np.outer(a, b)))


@pytest.mark.parametrize("reg", [10.0, 0.3])
def test_the_definition(reg):
    X, Y, a, b = clouds()
    expected = regularised(X, Y, a, b, reg)
    expected -= (regularised(X, X, a, a, reg) + regularised(Y, Y, b, b, reg)) / 2
    r = transport.sinkhorn_divergence(X, Y, a, b, reg=reg, tol=1e-9)
    assert r.success
    assert r.value == pytest.approx(expected, abs=1e-9)


def test_it_is_zero_for_equal_clouds_and_positive_and_symmetric_otherwise():
    X, Y, a, b = clouds()
    assert abs(transport.sinkhorn_divergence(X, X, a, a, reg=0.1).value) < 1e-12
    there = transport.sinkhorn_divergence(X, Y, a, b, reg=0.1, tol=1e-9)
    back = transport.sinkhorn_divergence(Y, X, b, a, reg=0.1, tol=1e-9)
    assert there.value > 0.1
    assert there.value == pytest.approx(back.value, abs=1e-9)


def test_a_shift_costs_its_square():
    X = clouds()[0]
    shift = np.array([1.5, -2.0])
    r = transport.sinkhorn_divergence(X, X + shift, reg=0.5, tol=1e-10)  # value: tol times 2 |shift|
    assert r.value == pytest.approx(shift @ shift, abs=1e-9)


def test_it_lies_between_the_distance_of_means_and_exact_transport():
    X, Y, a, b = clouds()
    means = a @ X - b @ Y
    wide = transport.sinkhorn_divergence(X, Y, a, b, reg=1e5, tol=1e-11).value
    assert wide == pytest.approx(means @ means, rel=1e-3)
    sharp = transport.sinkhorn_divergence(X, Y, a, b, reg=1e-3, tol=1e-9).value
    assert sharp == pytest.approx(ot.emd2(a, b, squares(X, Y)), rel=1e-2)


def test_derivatives_are_slopes():
    X, Y, a, b = clouds(8, 9)
    rng = np.random.default_rng(2)
    dX, dY, da, db = (rng.normal(size=x.shape) for x in (X, Y, a, b))
    da, db = da - da.mean(), db - db.mean()

    def value(t):
        moved = transport.sinkhorn_divergence(
            X + t * dX, Y + t * dY, a + t * da, b + t * db, reg=0.3, tol=1e-12
        )
        return moved.value

    h = 1e-4
    slope = (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)
    g = transport.sinkhorn_divergence(X, Y, a, b, reg=0.3, tol=1e-12).gradient()
    ours = np.vdot(g.X_a, dX) + np.vdot(g.X_b, dY) + g.a @ da + g.b @ db
    assert ours == pytest.approx(slope, rel=1e-6)


def test_at_equal_clouds_nothing_pulls():
    X, _, a, _ = clouds()
    g = transport.sinkhorn_divergence(X, X, a, a, reg=0.1, tol=1e-10).gradient()
    assert np.abs(g.X_a).max() < 1e-8
    assert np.ptp(g.a) < 1e-7


def test_points_of_weight_zero():
    X, Y, a, b = clouds()
    a[3] = 0.0
    a /= a.sum()
    with_it = transport.sinkhorn_divergence(X, Y, a, b, reg=0.3, tol=1e-9)
    without = transport.sinkhorn_divergence(X[a > 0], Y, a[a > 0], b, reg=0.3, tol=1e-9)
    assert with_it.value == pytest.approx(without.value, abs=1e-9)
    assert with_it.potentials[0][3] == -np.inf


def test_one_problem_that_fails_is_told():
    X, Y, a, b = clouds()
    with pytest.warns(ConvergenceWarning):
        r = transport.sinkhorn_divergence(X, Y, a, b, reg=1e-3, maxiter=1)
    assert not r.success
    assert r.residual == max(part.residual for part in (r.cross, r.self_a, r.self_b))


def test_what_is_refused():
    X, Y = clouds()[:2]
    with pytest.raises(ValueError, match="reg must be"):
        transport.sinkhorn_divergence(X, Y, reg=0.0)
    with pytest.raises(ValueError, match="X_b|columns"):
        transport.sinkhorn_divergence(X, Y[:, :1], reg=0.1)
