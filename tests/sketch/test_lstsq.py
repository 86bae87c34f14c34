"""Least squares: against LAPACK, over conditions, ranks and shapes; the certificate is the backward error."""

from __future__ import annotations

import array_api_strict as xp_strict
import numpy as np
import pytest
import scipy.linalg as sl
import scipy.sparse as sp

from numsolve import ConvergenceWarning, Status, sketch
from numsolve.sketch._factor import Factor, Task

RNG = np.random.default_rng(0)
METHODS = ["cholqr", "lsqr"]


def backward_error(A, b, x):
    """Karlson and Waldén's, with the singular values of A itself: within a factor of 1.3 of the optimal."""
    r = b - A @ x
    _, s, Vt = np.linalg.svd(A, full_matrices=False)
    w = np.hypot(np.linalg.norm(x) * s, np.linalg.norm(r))
    return np.linalg.norm(Vt @ (A.T @ r) / w) / np.linalg.norm(A)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cond", [1e2, 1e6, 1e10, 1e14])
def test_the_backward_error_is_small_at_every_condition(method, cond):
    A, b = sketch.problems.ill_conditioned(3000, 40, cond, rng=1)
    r = sketch.lstsq(A, b, method=method, rng=0)
    assert r.success
    assert r.rank == 40
    assert r.cond == pytest.approx(cond, rel=1.5)
    true = backward_error(A, b, r.x)
    assert true <= 2e-12
    if method == "cholqr":
        assert true <= 10 * backward_error(A, b, sl.lstsq(A, b)[0]) + 1e-16
    if true > 1e-15:
        assert 0.2 < r.residual / true < 5.0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cond", [1e2, 1e8, 1e12, 1e13, 1e14])
@pytest.mark.parametrize("noise", [0.0, 1e-10, 1e-3])
def test_no_spurious_part_of_x_hides_in_a_nearly_singular_matrix(method, cond, noise):
    """A certificate in A alone would pass an x so large that a tiny change of A makes up for the residual."""
    A, _ = sketch.problems.ill_conditioned(1000, 20, cond, rng=9)
    b = A @ np.ones(20) + noise * np.random.default_rng(9).normal(size=1000)
    r = sketch.lstsq(A, b, method=method, rng=0)
    x = sl.lstsq(A, b)[0]
    assert r.success
    assert np.linalg.norm(r.x) <= 1.5 * np.linalg.norm(x)
    rounding = 1e-15 * np.linalg.norm(A) * np.linalg.norm(x) + 1e-15 * np.linalg.norm(b)
    assert r.residual_norm <= 1.001 * np.linalg.norm(b - A @ x) + 20 * rounding
    assert np.linalg.norm(r.x - x) <= 3 * r.error_estimate * np.linalg.norm(x)


def test_a_polynomial_of_degree_19_in_the_basis_of_powers():
    t = np.linspace(0, 1, 300)
    A, b = np.vander(t, 20), np.cos(4 * t)
    for r in (sketch.lstsq(A, b, rng=0), sketch.lstsq(sp.csr_array(A), b, rng=0)):
        assert r.success
        assert r.residual_norm < 1e-12
        assert np.linalg.norm(r.x) < 30  # 2e7 for a solution that is only right for a changed A
    wide = sketch.lstsq(A.T, A.T @ b, rng=0)
    assert wide.success
    assert wide.residual_norm < 1e-12


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-10])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_the_solution_without_small_singular_values_is_that_of_the_truncated_svd(gap, kind):
    rng = np.random.default_rng(10)
    U, V = (np.linalg.qr(rng.normal(size=(n, 12)))[0] for n in (600, 12))
    A, b, c = (U * np.repeat([1.0, gap], 6)) @ V.T, rng.normal(size=600), rng.normal(size=12)
    for matrix, right in ((A, b), (A.T, c)):
        r = sketch.lstsq(kind(matrix), right, rcond=np.sqrt(gap), rng=0)
        x = sl.lstsq(matrix, right, cond=np.sqrt(gap))[0]
        assert r.success
        assert r.rank == 6
        np.testing.assert_allclose(r.x, x, atol=1e-12 * np.linalg.norm(x))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cond", [1e2, 1e6])
def test_the_error_is_within_its_estimate(method, cond):
    A, b = sketch.problems.ill_conditioned(2000, 20, cond, rng=2)
    r = sketch.lstsq(A, b, method=method, rng=0)
    exact = np.linalg.lstsq(A, b, rcond=None)[0]
    rounding = 1e-14 * cond * (1 + cond * np.linalg.norm(b - A @ exact) / np.linalg.norm(exact))
    assert np.linalg.norm(r.x - exact) / np.linalg.norm(exact) <= 3 * r.error_estimate + rounding


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array, sp.coo_array], ids=["dense", "csr", "coo"])
@pytest.mark.parametrize("shape", [(800, 20), (30, 25), (20, 20), (20, 800), (25, 30)], ids=str)
@pytest.mark.parametrize("deficient", [False, True])
def test_the_solution_of_least_norm(method, kind, shape, deficient):
    A = RNG.normal(size=shape)
    if deficient:
        A[:, 3], A[5] = A[:, 1] + A[:, 2], A[6] - A[7]
    B = RNG.normal(size=(shape[0], 3))
    r = sketch.lstsq(kind(A), B, method=method, rng=0)
    assert r.success
    assert r.x.shape == (shape[1], 3)
    np.testing.assert_allclose(r.x, np.linalg.lstsq(A, B, rcond=1e-12)[0], atol=1e-8)
    assert r.rank == np.linalg.matrix_rank(A, 1e-10)
    np.testing.assert_allclose(r.residual_norm, np.linalg.norm(B - A @ r.x, axis=0), atol=1e-12)


def test_one_right_hand_side_is_a_column_of_many():
    A, b = sketch.problems.ill_conditioned(500, 10, 1e3, rng=3)
    one, many = sketch.lstsq(A, b, rng=0), sketch.lstsq(A, np.stack([b, 2 * b], 1), rng=0)
    np.testing.assert_allclose(many.x, np.stack([one.x, 2 * one.x], 1), rtol=1e-8)


@pytest.mark.parametrize("scale_A", [1e-270, 1e-30, 1e30, 1e200])
@pytest.mark.parametrize("scale_b", [1e-30, 1.0, 1e30])
def test_scales_of_any_size(scale_A, scale_b):
    A, b = sketch.problems.ill_conditioned(300, 5, 1e3, rng=4)
    expected = sketch.lstsq(A, b, rng=0).x
    r = sketch.lstsq(scale_A * A, scale_b * b, rng=0)
    assert r.success
    with np.errstate(over="ignore", under="ignore"):
        np.testing.assert_allclose(r.x, expected * scale_b / scale_A, rtol=1e-6)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array, xp_strict.asarray])
@pytest.mark.parametrize("ratio", [1e-60, 1e-200, 1e200])
def test_right_hand_sides_of_any_ratio(kind, ratio):
    """Each is solved in units of its own: columns of other sizes do not matter."""
    A, b = sketch.problems.ill_conditioned(300, 5, 1e2, rng=4)
    b = b + RNG.normal(size=300)
    both = np.stack([b, ratio * b], 1)
    r = sketch.lstsq(kind(A), both if kind is sp.csr_array else kind(both), rng=0)
    assert r.success
    x = np.asarray(r.x)
    np.testing.assert_allclose(x[:, 0], np.linalg.lstsq(A, b)[0], rtol=1e-9)
    np.testing.assert_allclose(x[:, 1] / ratio, x[:, 0], rtol=1e-9)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array, xp_strict.asarray])
def test_a_solution_beyond_the_largest_float_is_no_success(kind):
    A = kind(1e-200 * RNG.normal(size=(100, 3)))
    b = np.full(100, 1e200)
    with pytest.warns(ConvergenceWarning, match="larger than the largest float"):
        r = sketch.lstsq(A, b if kind is sp.csr_array else kind(b), rng=0)
    assert r.error_estimate == np.inf


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array, xp_strict.asarray])
def test_the_estimate_knows_what_underflow_took(kind):
    """The exact solution is 1e-400: zeros do not solve the equations, so they are no success."""
    A = RNG.normal(size=(100, 3))
    b = 1e-200 * A.sum(axis=1)
    with pytest.warns(ConvergenceWarning, match="below the least float"):
        r = sketch.lstsq(kind(1e200 * A), b if kind is sp.csr_array else kind(b), rng=0)
    assert not np.asarray(r.x).any()  # 1e-400
    assert r.error_estimate >= 1.0
    assert not r.success


def test_the_certificate_is_that_of_the_floats_returned():
    """Subnormal numbers lack digits: a change of A by that relative error makes x right."""
    A, b = 1e160 * np.eye(3), np.full(3, 1e-162)
    with pytest.warns(ConvergenceWarning, match="below the least float"):
        r = sketch.lstsq(A, b, rng=0)
    assert r.residual == pytest.approx(abs(1 - 1e-162 / (1e160 * r.x[0])) / np.sqrt(3), rel=1e-2)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array, xp_strict.asarray])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("end", ["largest", "least"])
def test_entries_at_the_ends_of_the_range_of_floats(kind, dtype, end):
    """The norm of the largest is beyond the range, and so is the inverse of the least."""
    entry = np.finfo(dtype).max if end == "largest" else np.finfo(dtype).smallest_subnormal
    A, b = entry * np.eye(3, dtype=dtype), np.full(3, entry)
    r = sketch.lstsq(kind(A), b if kind is sp.csr_array else kind(b), rng=0)
    assert r.success
    np.testing.assert_allclose(np.asarray(r.x), 1.0, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_loose_tolerance_is_met(method):
    """Zeros have a backward error below it, but say nothing of x: a hundredth of 1 / cond is wanted."""
    A = RNG.normal(size=(100, 3))
    r = sketch.lstsq(A, A.sum(axis=1) + RNG.normal(size=100), tol=10.0, method=method, rng=0)
    assert r.success
    assert abs(r.x - 1).max() < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_zeros_have_the_solution_zero(method):
    for A, b in ((np.zeros((50, 3)), np.ones(50)), (RNG.normal(size=(50, 3)), np.zeros(50))):
        r = sketch.lstsq(A, b, method=method, rng=0)
        assert r.success
        np.testing.assert_array_equal(r.x, 0.0)


def test_rows_that_matter_more_than_all_others():
    """A heavy row, and columns that live in one row each: what uniform sampling would miss."""
    A = np.zeros((5000, 10))
    A[np.arange(10) * 400, np.arange(10)] = 10.0 ** np.arange(10)
    A[100:200] += 1e-3 * RNG.normal(size=(100, 10))
    b = RNG.normal(size=5000)
    r = sketch.lstsq(A, b, rng=0)
    assert r.success
    assert backward_error(A, b, r.x) < 1e-12


def test_the_certificate_rejects_a_wrong_answer():
    A, b = sketch.problems.ill_conditioned(1000, 10, 1e8, rng=5)
    task = Task.make(A, b)
    factor = Factor.draw(task, 3.0, 4, 1e-14, np.random.default_rng(0))
    x = sl.lstsq(A, b)[0][:, None]
    for wrong in (x * (1 + 1e-6), x + 1e-3, 0 * x, -x):
        certificate = factor.backward_error(wrong * task.b_scale)
        assert certificate > 1e-12  # the tolerance of lstsq
        assert certificate > 0.2 * backward_error(A, b, wrong[:, 0])


def test_a_tolerance_below_rounding_errors_ends_at_their_level():
    A, b = sketch.problems.ill_conditioned(1000, 10, 1e2, rng=6)
    r = sketch.lstsq(A, b, tol=0.0, rng=0)
    assert r.status is Status.ROUNDING
    assert r.residual < 1e-15


def test_single_precision():
    A, b = sketch.problems.ill_conditioned(1000, 10, 1e2, rng=7)
    r = sketch.lstsq(A.astype(np.float32), b.astype(np.float32), rng=0)
    assert r.success
    assert r.x.dtype == np.float32
    np.testing.assert_allclose(r.x, np.linalg.lstsq(A, b)[0], rtol=2e-2, atol=1e-3)


def test_too_few_steps_are_no_success():
    A, b = sketch.problems.ill_conditioned(1000, 10, 1e2, rng=8)
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        r = sketch.lstsq(A, b, method="lsqr", maxiter=2, rng=0)
    assert r.residual == pytest.approx(backward_error(A, b, r.x), rel=3.0)
    assert r.residual > 1e-12


BAD = [
    ({"A": np.ones(3)}, ValueError, "A must be 2-D"),
    ({"A": np.ones((0, 3)), "b": np.ones(0)}, ValueError, "A is empty"),
    ({"b": np.ones(4)}, ValueError, "b must have 6 rows"),
    ({"b": [[1.0], [1.0, 2.0]]}, ValueError, "b is not a rectangular array"),
    ({"A": np.full((6, 2), np.nan)}, ValueError, "A must hold finite"),
    ({"b": np.full(6, np.inf)}, ValueError, "b must hold finite"),
    ({"A": 1j * np.ones((6, 2))}, TypeError, "complex"),
    ({"A": np.ma.ones((6, 2))}, TypeError, "masked"),
    ({"A": sp.linalg.aslinearoperator(np.ones((6, 2)))}, TypeError, "operator"),
    ({"method": "qr"}, ValueError, "method must be one of"),
    ({"oversample": 1.0}, ValueError, "oversample"),
    ({"tol": -1.0}, ValueError, "tol"),
    ({"rcond": 2.0}, ValueError, "rcond"),
    ({"lapack_driver": "gelsd"}, TypeError, "called 'method' here"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD, ids=str)
def test_bad_input_is_named(change, error, message):
    with pytest.raises(error, match=message):
        sketch.lstsq(**{"A": np.eye(6)[:, :2], "b": np.ones(6), **change})


@pytest.mark.parametrize("cond", [1e2, 1e8, 1e14])
def test_matrices_of_other_array_libraries(cond):
    xp = pytest.importorskip("array_api_strict")
    A, b = sketch.problems.ill_conditioned(1000, 20, cond, rng=11)
    B = np.stack([b, A @ np.ones(20)], 1)
    r, expected = sketch.lstsq(xp.asarray(A), xp.asarray(B), rng=0), sl.lstsq(A, B)[0]
    assert r.success
    assert isinstance(r.x, type(xp.asarray(A)))
    x = np.asarray(r.x)
    assert max(backward_error(A, B[:, j], x[:, j]) for j in range(2)) < 1e-15
    errors = np.linalg.norm(x - expected, axis=0) / np.linalg.norm(expected, axis=0)
    assert errors.max() <= 3 * r.error_estimate
    np.testing.assert_allclose(r.residual_norm, np.linalg.norm(B - A @ x, axis=0), rtol=1e-6, atol=1e-13)
    A[:, 3] = A[:, 1]
    deficient = sketch.lstsq(xp.asarray(A), xp.asarray(b), rng=0)
    assert deficient.rank <= 19
    assert deficient.x.shape == (20,)
    with pytest.raises(ValueError, match="fewer rows"):
        sketch.lstsq(xp.asarray(A.T), xp.asarray(b[:20]))
