"""BiCGSTAB and GMRES: LAPACK and SciPy as oracles, theory, and systems that have no solution."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from numsolve import ConvergenceWarning, Status, linear

SOLVERS = {"bicgstab": linear.bicgstab, "gmres": linear.gmres}
KINDS = {"compiled": sp.csr_array, "operator": aslinearoperator}


@pytest.fixture(params=SOLVERS.values(), ids=SOLVERS)
def solve(request):
    return request.param


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request):
    return request.param


def wind(m=20, speed=3.0):
    """Diffusion and upwind convection on a grid."""
    n = m * m
    return sp.csr_array(
        linear.problems.laplacian(m) + speed * sp.diags_array([-1.0, 1.0], offsets=[-m, 0], shape=(n, n))
    )


def system(n=200, rng=0, make=None):
    rng = np.random.default_rng(rng)
    A = make.nonsymmetric(n, rng) if make else wind(20)
    return A, rng.standard_normal(A.shape[0])


@pytest.mark.parametrize("preconditioner", [None, "ILU(0)", "ILUT", "SSOR", "ICT", "dense"])
def test_the_solution_is_that_of_lapack(solve, kind, make, preconditioner):
    A, b = system(200, make=make)
    M = {
        None: lambda: None,
        "ILU(0)": lambda: linear.ILU(A),
        "ILUT": lambda: linear.ILU(A, 1e-2),
        "SSOR": lambda: linear.SSOR(A),
        "ICT": lambda: linear.ICT(A),
        "dense": lambda: np.diag(1 / A.diagonal()),
    }[preconditioner]()
    r = solve(kind(A), b, M=M, rtol=1e-11)
    assert r.success
    np.testing.assert_allclose(r.x, np.linalg.solve(A.toarray(), b), rtol=1e-8, atol=1e-10)


def test_operators_and_matrices_take_the_same_steps(solve):
    A, b = system()
    for M in (None, linear.ILU(A)):
        one, two = solve(A, b, M=M, rtol=1e-6), solve(aslinearoperator(A), b, M=M, rtol=1e-6)
        assert one.nit == two.nit
        np.testing.assert_allclose(one.history.residual, two.history.residual, rtol=1e-3)


@pytest.mark.parametrize("k", [1, 2, 5, 12])
def test_gmres_minimises_over_the_krylov_space(kind, k):
    """min ||b - A K y|| over K = [b, A b, ...], by least squares."""
    A, b = system()
    K = np.empty((400, k))
    K[:, 0] = b / np.linalg.norm(b)
    for j in range(1, k):
        K[:, j] = A @ K[:, j - 1]
        K[:, j] /= np.linalg.norm(K[:, j])
    y = np.linalg.lstsq(A @ K, b)[0]
    with pytest.warns(ConvergenceWarning):
        r = linear.gmres(kind(A), b, rtol=1e-12, maxiter=k)
    assert r.residual == pytest.approx(np.linalg.norm(b - A @ K @ y), rel=1e-6)


@pytest.mark.parametrize("n", [1, 2, 5, 17])
def test_gmres_ends_after_n_steps(kind, n):
    rng = np.random.default_rng(n)
    A, b = rng.standard_normal((n, n)), rng.standard_normal(n)
    r = linear.gmres(kind(A), b, rtol=1e-9, restart=n)
    assert r.success
    assert r.nit <= n + 1
    np.testing.assert_allclose(r.x, np.linalg.solve(A, b), rtol=1e-6)


def test_the_residuals_of_gmres_never_rise(kind):
    A, b = system()
    r = linear.gmres(kind(A), b, rtol=1e-10, restart=7)
    assert r.success
    assert r.nit > 7
    assert (np.diff(r.history.residual) <= 1e-9 * r.rhs_norm).all()


def test_bicgstab_is_that_of_scipy():
    from scipy.sparse.linalg import bicgstab

    A, b = system()
    M, seen = linear.ILU(A), []
    bicgstab(A, b, M=M, rtol=1e-8, callback=lambda x: seen.append(np.linalg.norm(b - A @ x)))
    r = linear.bicgstab(A, b, M=M, rtol=1e-8)
    np.testing.assert_allclose(r.history.residual[1:6], seen[:5], rtol=1e-6)


def test_the_best_iterate_comes_back_however_the_chunks_fall(solve, kind, monkeypatch):
    """The residuals of BiCGSTAB rise in between: what is returned is the lowest point of the history."""
    A, b = wind(20, 40.0), np.random.default_rng(3).standard_normal(400)
    for seconds in (1.0, 1e-6):
        monkeypatch.setattr("numsolve._core.monitor.FIRST_SECONDS", seconds)
        for steps in (5, 9, 14):
            with pytest.warns(ConvergenceWarning):
                r = solve(kind(A), b, rtol=1e-14, maxiter=steps)
            assert r.residual == pytest.approx(np.linalg.norm(b - A @ r.x), rel=1e-9)
            assert r.residual == pytest.approx(r.history.residual.min(), rel=1e-6)


# -- systems that are not solvable, or not by this method -------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_an_inconsistent_system_is_no_success(solve, kind, seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((30, 25)) @ rng.standard_normal((25, 30))
    b = rng.standard_normal(30)
    least = np.linalg.norm(b - A @ np.linalg.lstsq(A, b)[0])
    with pytest.warns(ConvergenceWarning):
        r = solve(kind(A), b, rtol=1e-6)
    assert not r.success
    assert r.residual == pytest.approx(np.linalg.norm(b - A @ r.x), rel=1e-6)
    assert least * (1 - 1e-9) <= r.residual <= np.linalg.norm(b)


def test_matrices_of_zeros_and_nilpotent_ones_end(solve, kind):
    for A in (np.zeros((3, 3)), np.diag([1.0, 1.0], 1)):
        with pytest.warns(ConvergenceWarning):
            r = solve(kind(A), np.ones(3))
        assert not r.success
        assert r.residual <= np.sqrt(3)
        assert solve(kind(A), np.zeros(3)).success


def test_skew_symmetric_matrices_are_for_gmres(kind):
    A = np.random.default_rng(0).standard_normal((10, 10))
    A, b = A - A.T, np.ones(10)
    with pytest.warns(ConvergenceWarning):
        r = linear.bicgstab(kind(A), b, rtol=1e-8)
    assert not r.success
    assert linear.gmres(kind(A), b, rtol=1e-8).success


def test_a_cycle_that_changes_nothing_ends_the_run(kind):
    """A cyclic shift: GMRES stands still for n - 1 steps."""
    A, b = np.roll(np.eye(20), 1, axis=0), np.eye(20)[0]
    with pytest.warns(ConvergenceWarning, match="stopped falling"):
        r = linear.gmres(kind(A), b, restart=5)
    assert r.status is Status.STAGNATED
    assert r.nit <= 10
    assert linear.gmres(kind(A), b, restart=20).success


def test_nan_from_an_operator_is_no_success(solve):
    bad = sp.linalg.LinearOperator((5, 5), matvec=lambda v: v * np.nan, dtype=float)
    for A, M in ((bad, None), (np.eye(5) + np.diag(np.ones(4), 1), bad)):
        with pytest.warns(ConvergenceWarning):
            r = solve(A, np.ones(5), M=M)
        assert r.status is Status.NONFINITE
        assert np.isfinite(r.x).all()


@pytest.mark.parametrize("kind_of_b", ["column", "several", "none"])
def test_right_hand_sides_of_all_shapes(solve, kind, kind_of_b):
    A, _ = system()
    shape = {"column": (400, 1), "several": (400, 3), "none": (400, 0)}[kind_of_b]
    b = np.random.default_rng(0).standard_normal(shape)
    r = solve(kind(A), b, M=linear.ILU(A), rtol=1e-9)
    assert r.x.shape == b.shape
    assert np.all(r.success)
    np.testing.assert_allclose(A @ r.x, b, atol=1e-7)


def test_single_precision_stays_single(solve, kind):
    A, b = system()
    r = solve(kind(A.astype(np.float32)), b.astype(np.float32), M=linear.ILU(A), rtol=1e-4)
    assert r.success
    assert r.x.dtype == np.float32


def test_empty_systems_have_empty_solutions(solve):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert solve(sp.csr_array((0, 0)), np.empty(0)).x.shape == (0,)
        assert linear.ict_cg(sp.csr_array((0, 0)), np.empty(0)).success
