"""Sketch-and-project: the rate of theory, and the solution of least norm."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from numsolve import ConvergenceWarning, sketch
from numsolve.sketch.project import Projector

KINDS = ["kaczmarz", "gaussian", "block", "sparse-sign"]
RNG = np.random.default_rng(0)


def test_kaczmarz_contracts_at_the_rate_of_strohmer_and_vershynin():
    """The mean squared error over 200 seeds is at most the bound, within ten per cent."""
    A = RNG.normal(size=(50, 50)) + 10 * np.eye(50)
    exact = RNG.normal(size=50)
    steps, errors = 100, []
    for seed in range(200):
        p = Projector(A, A @ exact, "kaczmarz", None, np.random.default_rng(seed))
        p.advance(steps)
        errors.append(np.sum((p.z - exact) ** 2))
    s = np.linalg.svd(A, compute_uv=False)
    bound = (1 - s[-1] ** 2 / np.sum(s**2)) ** steps
    assert np.mean(errors) / np.sum(exact**2) <= 1.1 * bound
    # With all singular values alike the bound is the rate itself.
    Q = np.linalg.qr(A)[0]
    errors = []
    for seed in range(200):
        p = Projector(Q, Q @ exact, "kaczmarz", None, np.random.default_rng(seed))
        p.advance(steps)
        errors.append(np.sum((p.z - exact) ** 2))
    assert np.mean(errors) / np.sum(exact**2) == pytest.approx((1 - 1 / 50) ** steps, rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(40, 25), (25, 40)], ids=str)
def test_the_solution_of_least_norm(kind, shape):
    A = RNG.normal(size=shape)
    b = A @ RNG.normal(size=shape[1])
    for matrix in (A, sp.csr_array(A)):
        r = sketch.sketch_project(matrix, b, kind=kind, rng=0, rtol=1e-10)
        assert r.success
        np.testing.assert_allclose(r.x, np.linalg.pinv(A) @ b, atol=1e-7)
        assert r.residual == pytest.approx(np.linalg.norm(A @ r.x - b), rel=1e-9)


def test_the_two_kernels_of_kaczmarz_take_the_same_steps(monkeypatch):
    A = RNG.normal(size=(30, 10))
    b = A @ np.ones(10)
    kept = sketch.sketch_project(A, b, rng=1)
    monkeypatch.setattr("numsolve.sketch.project.KEPT", 0)
    np.testing.assert_allclose(sketch.sketch_project(A, b, rng=1).x, kept.x, rtol=1e-10)


def test_an_inconsistent_system_is_no_success():
    A = RNG.normal(size=(40, 5))
    with pytest.warns(ConvergenceWarning):
        r = sketch.sketch_project(A, RNG.normal(size=40), rng=0, maxiter=50)
    assert not r.success


@pytest.mark.parametrize(("scale_A", "scale_b"), [(1e200, 1e-200), (1e160, 1e-162), (1e-200, 1e200)])
def test_a_solution_beyond_the_range_of_floats_is_no_success(scale_A, scale_b):
    """The residual is that of the floats returned, of which underflow or overflow took a part."""
    A, b = scale_A * np.eye(3), np.full(3, scale_b)
    with pytest.warns(ConvergenceWarning, match=r"least float|largest float"):
        r = sketch.sketch_project(A, b, rng=0)
    assert not r.success
    if np.isfinite(r.x).all():
        assert r.residual == pytest.approx(np.sqrt(3) * abs(scale_A * r.x[0] - scale_b), rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_entries_near_the_largest_float(kind):
    """Their norm is beyond the range of floats; the solution of A x = A (1, 1, 1) is not."""
    A = np.finfo(float).max * np.eye(3)
    r = sketch.sketch_project(A, np.full(3, 1e300), kind=kind, rng=0, rtol=1e-10)
    assert r.success
    np.testing.assert_allclose(r.x * 1e8, 1e308 / np.finfo(float).max, rtol=1e-9)


def test_a_start_of_any_size():
    """A, b and x0 at 1e-200, 1e0 and 1e200: each product of scale factors stays in the range."""
    A = 1e-200 * np.eye(3)
    r = sketch.sketch_project(A, np.ones(3), np.full(3, 1e200), rng=0)
    assert r.success
    assert r.nit == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "srht"}, "kind must be one of"),
        ({"b": np.ones(3)}, "b must have shape"),
        ({"block": 0}, "block"),
        ({"x0": np.ones(3)}, "x0 must have shape"),
        ({"A": np.full((6, 6), np.inf)}, "A must hold finite"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        sketch.sketch_project(**{"A": np.eye(6), "b": np.ones(6), **change})
