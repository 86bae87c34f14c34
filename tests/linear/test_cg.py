"""Conjugate gradients: published counts, Eisenstat against the textbook, SciPy as the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, spsolve
from scipy.sparse.linalg import cg as scipy_cg

from numsolve import ConvergenceWarning, Status, linear
from numsolve.linear.problems import laplacian

OMEGAS = (2 * np.sqrt(2) - 2, 1.0, 1.2, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9)
#: domain, its size, shift: counts of CG and of SSOR-CG with each of the parameters
COUNTS = {
    ("L", 12, 0.0): (25, 14, 13, 12, 12, 12, 13, 15, 16, 17),
    ("L", 12, 0.5): (21, 11, 10, 9, 9, 10, 12, 13, 15, 16),
    ("L", 32, 0.0): (71, 36, 31, 26, 22, 21, 20, 20, 22, 28),
    ("L", 32, 0.5): (34, 15, 13, 11, 9, 10, 12, 14, 17, 22),
    ("square", 10, 0.0): (15, 15, 13, 12, 13, 13, 13, 14, 15, 16),
    ("square", 10, 0.5): (15, 11, 10, 9, 9, 10, 11, 12, 13, 14),
    ("square", 30, 0.0): (55, 37, 32, 27, 23, 21, 21, 21, 22, 26),
    ("square", 30, 0.5): (33, 15, 13, 11, 9, 10, 11, 14, 17, 21),
}


@pytest.mark.parametrize("case", COUNTS, ids=lambda case: f"{case[0]} {case[1]} +{case[2]}")
def test_the_published_counts(make, case):
    kind, size, shift = case
    A = make.l_shape(size) if kind == "L" else laplacian(size)
    A = sp.csr_array(A + shift * sp.eye_array(A.shape[0]))
    b = np.ones(A.shape[0])
    got = [linear.cg(A, b, rtol=1e-8).nit]
    got += [linear.ssor_cg(A, b, omega=w, rtol=1e-8).nit for w in OMEGAS]
    assert np.abs(np.array(got) - COUNTS[case]).max() <= 1


def test_the_counts_of_the_large_grid():
    A, b = laplacian(100), np.ones(10_000)
    assert linear.cg(A, b, rtol=1e-8).nit == 187
    for method in ("eisenstat", "standard"):
        assert [linear.ssor_cg(A, b, omega=w, rtol=1e-8, method=method).nit for w in (1.0, 1.9)] == [93, 40]


@pytest.mark.parametrize("order", ["forward", "backward"])
@pytest.mark.parametrize("omega", [0.8, 1.0, 1.7])
def test_eisenstat_is_the_textbook(spd, omega, order):
    n = spd.shape[0]
    rng = np.random.default_rng(0)
    b, x0 = rng.standard_normal(n), rng.standard_normal(n)
    one, two = (
        linear.ssor_cg(spd, b, x0, omega=omega, rtol=1e-9, method=method, order=order)
        for method in ("eisenstat", "standard")
    )
    assert one.nit == two.nit
    np.testing.assert_allclose(one.x, two.x, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(one.history.residual, two.history.residual, rtol=1e-4, atol=1e-9)


def test_the_recorded_residuals_are_true(spd):
    b = np.random.default_rng(0).standard_normal(spd.shape[0])
    for solve in (linear.cg, linear.ssor_cg):
        iterates = []
        r = solve(spd, b, rtol=1e-8, callback=iterates.append)
        true, said = [np.linalg.norm(b - spd @ x) for x in iterates], r.history.residual[1:]
        np.testing.assert_allclose(said, true, rtol=1e-5, atol=1e-10)


def test_cg_is_that_of_scipy(spd):
    b = np.random.default_rng(0).standard_normal(spd.shape[0])
    for M in (None, linear.SSOR(spd, 1.2)):
        count = []
        x, info = scipy_cg(spd, b, rtol=1e-9, M=M, callback=count.append)
        assert info == 0
        r = linear.cg(spd, b, M=M, rtol=1e-9)
        assert abs(r.nit - len(count)) <= 1
        np.testing.assert_allclose(r.x, x, rtol=1e-6, atol=1e-8)


def test_the_solution(spd):
    b = np.random.default_rng(1).standard_normal(spd.shape[0])
    want = np.atleast_1d(spsolve(sp.csc_array(spd), b))
    for solve in (linear.cg, linear.ssor_cg):
        r = solve(spd, b, rtol=1e-12)
        np.testing.assert_allclose(r.x, want, rtol=1e-9, atol=1e-10)
        assert r.residual == pytest.approx(np.linalg.norm(b - spd @ r.x), rel=1e-6, abs=1e-14)
        x, info = r
        assert info == 0
        assert x is r.x


def test_the_error_falls_in_the_energy_norm(spd):
    b = np.random.default_rng(2).standard_normal(spd.shape[0])
    want = np.atleast_1d(spsolve(sp.csc_array(spd), b))
    for solve in (linear.cg, linear.ssor_cg):
        energies = []
        solve(spd, b, rtol=1e-8, callback=lambda x, e=energies: e.append((x - want) @ (spd @ (x - want))))
        assert (np.diff(energies) <= 1e-12 * energies[0]).all()


def test_a_plan_saves_nothing_but_time():
    plan = linear.SweepPlan(laplacian(20))
    for scale in (1.0, 2.0):
        A = laplacian(20, shift=scale)
        with_plan = linear.ssor_cg(A, np.ones(400), omega=1.4, plan=plan)
        assert np.array_equal(with_plan.x, linear.ssor_cg(A, np.ones(400), omega=1.4).x)
    with pytest.raises(ValueError, match="another sparsity pattern"):
        linear.ssor_cg(laplacian(21), np.ones(441), plan=plan)


# -- operators, Hermitian matrices, preconditioners ------------------------------------------------


def test_operators_and_dense_arrays():
    A, b = laplacian(12), np.ones(144)
    want = linear.cg(A, b, rtol=1e-10)
    operator = LinearOperator(A.shape, matvec=lambda v: A @ v, dtype=float)
    for given in (operator, A.toarray(), A.toarray().tolist()):
        got = linear.cg(given, b, rtol=1e-10)
        assert got.nit == want.nit
        np.testing.assert_allclose(got.x, want.x, rtol=1e-9)


def test_hermitian_matrices():
    rng = np.random.default_rng(0)
    C = rng.standard_normal((30, 30)) + 1j * rng.standard_normal((30, 30))
    A, b = C @ C.conj().T + 30 * np.eye(30), rng.standard_normal(30) + 1j * rng.standard_normal(30)
    for given in (A, sp.csr_array(A)):
        r = linear.cg(given, b, rtol=1e-12)
        np.testing.assert_allclose(r.x, np.linalg.solve(A, b), rtol=1e-10)


def test_a_diagonal_preconditioner_of_any_form():
    A = sp.csr_array(sp.diags_array(np.linspace(1, 1e4, 200)) + 0.1 * laplacian(200, dim=1))
    b = np.ones(200)
    inverse = 1 / A.diagonal()
    counts = {
        linear.cg(A, b, M=M, rtol=1e-9).nit
        for M in (
            sp.diags_array(inverse).tocsr(),
            np.diag(inverse),
            LinearOperator(A.shape, lambda r: inverse * r),
        )
    }
    assert len(counts) == 1
    assert counts.pop() < linear.cg(A, b, rtol=1e-9).nit / 5


def test_a_preconditioner_that_changes_needs_the_flexible_form():
    A, b = laplacian(30), np.ones(900)
    rng = np.random.default_rng(0)
    M = linear.SSOR(A, 1.5)
    noisy = LinearOperator(A.shape, lambda r: (M @ r) * (1 + 0.3 * rng.random(900)), dtype=float)
    flexible = linear.cg(A, b, M=noisy, flexible=True, rtol=1e-8)
    rng = np.random.default_rng(0)
    with pytest.warns(ConvergenceWarning):
        plain = linear.cg(A, b, M=noisy, rtol=1e-8, maxiter=flexible.nit)
    assert flexible.success
    assert plain.residual > flexible.residual
    steady = linear.cg(A, b, M=M, rtol=1e-8)
    assert abs(linear.cg(A, b, M=M, flexible=True, rtol=1e-8).nit - steady.nit) <= 1


def test_array_api_strict_arrays_are_taken():
    xp = pytest.importorskip("array_api_strict")
    A, b = laplacian(6), np.ones(36)
    r = linear.cg(xp.asarray(A.toarray()), xp.asarray(b), rtol=1e-10)
    assert isinstance(r.x, type(xp.asarray(b)))
    np.testing.assert_allclose(np.asarray(r.x), spsolve(sp.csc_array(A), b), rtol=1e-9)


# -- hard cases ------------------------------------------------------------------------------------


@pytest.mark.parametrize("solve", [linear.cg, linear.ssor_cg])
def test_an_indefinite_matrix_breaks_down(solve):
    A = sp.csr_array(np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    with pytest.warns(ConvergenceWarning, match="indefinite"):
        r = solve(A, np.array([1.0, -1.0, 0.0]))
    assert r.status is Status.BREAKDOWN
    assert r.info == -1
    assert np.isfinite(r.x).all()


def test_a_negative_diagonal_breaks_down_before_the_first_step():
    A = -laplacian(4)
    with pytest.warns(ConvergenceWarning, match="indefinite"):
        r = linear.ssor_cg(A, np.ones(16))
    assert r.status is Status.BREAKDOWN
    assert r.nit == 0


def test_the_operator_loop_breaks_down_too():
    with pytest.warns(ConvergenceWarning, match="not positive definite"):
        r = linear.cg(-np.eye(3), np.ones(3))
    assert r.status is Status.BREAKDOWN


@pytest.mark.parametrize("solve", [linear.cg, linear.ssor_cg])
def test_float32_stays_float32(solve):
    A, b = laplacian(30).astype(np.float32), np.ones(900, np.float32)
    r = solve(A, b, rtol=1e-5)
    assert r.x.dtype == np.float32
    assert np.linalg.norm(b - A.astype(float) @ r.x.astype(float)) <= 2e-5 * 30
    wide = solve(A.astype(float), b.astype(float), rtol=1e-5)
    assert abs(r.nit - wide.nit) <= 2


@pytest.mark.parametrize("solve", [linear.cg, linear.ssor_cg])
def test_a_tolerance_below_rounding_ends_in_words(solve):
    r = solve(laplacian(30), np.ones(900), rtol=1e-17)
    assert r.status is Status.ROUNDING
    assert r.residual < 1e-11


@pytest.mark.parametrize("scale", [1e-100, 1e-30, 1e30, 1e100])
def test_the_unit_does_not_matter(scale):
    A, b = laplacian(15), np.random.default_rng(0).standard_normal(225)
    for solve in (linear.cg, linear.ssor_cg):
        want = solve(A, b, rtol=1e-9).nit
        assert abs(solve(A * scale, b, rtol=1e-9).nit - want) <= 1
        assert abs(solve(A, b * scale, rtol=1e-9).nit - want) <= 1


def test_several_right_hand_sides():
    A, B = laplacian(9), np.random.default_rng(0).standard_normal((81, 3))
    for solve in (linear.cg, linear.ssor_cg):
        many = solve(A, B, rtol=1e-9)
        assert many.nit.shape == (3,)
        for c in range(3):
            assert np.array_equal(many.x[:, c], solve(A, B[:, c], rtol=1e-9).x)
        assert solve(A, B[:, :1]).x.shape == (81, 1)
    assert linear.cg(A.toarray(), B[:, :1]).x.shape == (81, 1)


def test_the_references_of_a_warm_start():
    A, b = laplacian(20), np.ones(400)
    x0 = linear.cg(A, b, rtol=1e-3).x
    assert linear.cg(A, b, x0, rtol=1e-2).nit == 0
    assert linear.cg(A, b, x0, rtol=1e-2, stop="r0").nit > 0
    assert linear.ssor_cg(A, b, x0, rtol=1e-2).nit == 0


def test_symmetry_is_looked_at_on_request():
    A = laplacian(5).tolil()
    A[0, 1] = -1.1
    for solve in (linear.cg, linear.ssor_cg):
        with pytest.raises(ValueError, match="A must be symmetric"):
            solve(sp.csr_array(A), np.ones(25), check="symmetric")
        assert solve(laplacian(5), np.ones(25), check="symmetric").success
