"""Code written for POT runs with another import, and its results mean what the guide's table says."""

from __future__ import annotations

import numpy as np
import ot
import pytest

from numsolve import transport


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X_a, X_b = rng.normal(size=(12, 2)), rng.normal(size=(15, 2)) + 1
    a, b = rng.random(12), rng.random(15)
    M = ot.dist(X_a, X_b)
    return X_a, X_b, a / a.sum(), b / b.sum(), M / M.max()


def test_solve(data):
    _, _, a, b, M = data
    theirs = ot.solve(M, a, b, reg=0.1, tol=1e-12, max_iter=10_000)
    ours = transport.solve(M, a, b, reg=0.1)
    np.testing.assert_allclose(ours.plan, theirs.plan, atol=1e-9)
    assert ours.value_linear == pytest.approx(theirs.value_linear, abs=1e-8)
    assert ours.value_linear + 0.1 * ours.kl == pytest.approx(theirs.value, abs=1e-8)
    uniform = ot.solve(M, reg=0.1, tol=1e-12, max_iter=10_000)
    np.testing.assert_allclose(transport.solve(M, reg=0.1).plan, uniform.plan, atol=1e-9)


def test_sinkhorn(data):
    _, _, a, b, M = data
    theirs, log = ot.sinkhorn(a, b, M, 0.1, stopThr=1e-13, numItermax=10_000, log=True)
    ours = transport.sinkhorn(a, b, M, 0.1)
    np.testing.assert_allclose(ours.plan, theirs, atol=1e-9)
    f, g = ours.potentials
    ratio = np.exp(f / 0.1) / np.ravel(log["u"])
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-7)
    np.testing.assert_allclose(np.exp(g / 0.1) * ratio[0], np.ravel(log["v"]), rtol=1e-6)
    np.testing.assert_allclose(
        transport.sinkhorn([], [], M, 0.1).plan, ot.sinkhorn([], [], M, 0.1, stopThr=1e-13), atol=1e-8
    )


@pytest.mark.parametrize("method", ["sinkhorn", "sinkhorn_log"])
def test_names_of_methods(data, method):
    _, _, a, b, M = data
    theirs = ot.sinkhorn(a, b, M, 0.1, method=method, stopThr=1e-13, numItermax=10_000)
    np.testing.assert_allclose(transport.solve(M, a, b, 0.1, method=method).plan, theirs, atol=1e-8)


def test_unbalanced(data):
    _, _, a, b, M = data
    theirs = ot.unbalanced.sinkhorn_unbalanced(
        a, 2 * b, M, 0.1, (1.0, 2.0), reg_type="kl", stopThr=1e-14, numItermax=10_000
    )
    np.testing.assert_allclose(
        transport.sinkhorn_unbalanced(a, 2 * b, M, 0.1, (1.0, 2.0)).plan, theirs, atol=1e-8
    )
    result = ot.solve(M, a, 2 * b, reg=0.1, unbalanced=1.0, unbalanced_type="KL", tol=1e-14, max_iter=10_000)
    ours = transport.solve(M, a, 2 * b, reg=0.1, unbalanced=1.0, unbalanced_type="KL")
    np.testing.assert_allclose(ours.plan, result.plan, atol=1e-8)
    assert ours.value_linear == pytest.approx(result.value_linear, abs=1e-8)


def test_samples(data):
    X_a, X_b, a, b, _ = data
    theirs = ot.solve_sample(X_a, X_b, a, b, reg=0.5, tol=1e-12, max_iter=10_000)
    ours = transport.solve_sample(X_a, X_b, a, b, reg=0.5, tol=1e-10)
    np.testing.assert_allclose(ours.plan @ np.eye(15), theirs.plan, atol=1e-8)
    assert ours.value_linear == pytest.approx(theirs.value_linear, abs=1e-8)


def test_batches(data):
    *_, M = data
    stack = np.stack([M, M**2, 1 - M])
    import ot.batch

    theirs = ot.batch.solve_batch(stack, reg=0.1, tol=1e-12, max_iter=10_000)
    np.testing.assert_allclose(transport.solve(stack, reg=0.1).plan, theirs.plan, atol=1e-8)


def test_the_unbalanced_values_differ_by_the_masses(data):
    _, _, a, b, M = data
    reg, rho, b = 0.1, 1.0, 2 * b
    theirs = ot.solve(M, a, b, reg=reg, unbalanced=rho, unbalanced_type="KL", tol=1e-14, max_iter=10_000)
    ours = transport.solve(M, a, b, reg=reg, unbalanced=rho)
    moved = ours.plan.sum()
    masses = reg * (a.sum() * b.sum() - moved) + rho * (a.sum() - moved) + rho * (b.sum() - moved)
    assert ours.value == pytest.approx(theirs.value + masses, abs=1e-8)


def test_the_potentials_differ_by_their_unit_and_the_reference(data):
    _, _, a, b, M = data
    settings = {"tol": 1e-13, "max_iter": 20_000}
    theirs, ours = ot.solve(M, a, b, reg=0.1, **settings), transport.solve(M, a, b, reg=0.1)
    for x, y in zip(ours.potentials, theirs.potentials, strict=True):
        np.testing.assert_allclose(x - x[0], 0.1 * (y - y[0]), atol=1e-7)
    theirs = ot.solve(M, a, 2 * b, reg=0.1, unbalanced=1.0, **settings)
    ours = transport.solve(M, a, 2 * b, reg=0.1, unbalanced=1.0)
    for x, y, weights in zip(ours.potentials, theirs.potentials, (a, 2 * b), strict=True):
        np.testing.assert_allclose(x, 0.1 * (y + np.log(weights)), atol=1e-6)
    assert theirs.value == pytest.approx(0.0, abs=1e-8)
