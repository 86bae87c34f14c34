"""Sinkhorn-Newton-Sparse: what the paper shows, and what it does not."""

from __future__ import annotations

import numpy as np
import pytest

from numsolve import transport
from numsolve._core.result import ConvergenceWarning, Status
from numsolve.transport import sinkhorn_newton_sparse


def dual(a, b, M, reg, f, g):
    return a @ f + b @ g - reg * np.exp((f[:, None] + g - M) / reg).sum()


# -- reproduced in kind ----------------------------------------------------------------------------


def test_the_assignment_problem_takes_few_newton_steps(problem, error):
    # Table 1 of the paper: 20 sweeps and 9 Newton steps at eta = 1200, for another draw of the costs.
    M, a, b = problem("assignment 500")
    r = sinkhorn_newton_sparse(a, b, M, 1 / 1200, density=15 / 500)
    assert r.status is Status.CONVERGED
    assert r.nsinkhorn == 20
    assert r.nnewton <= 12
    assert error(r.plan, a, b) <= 1.1e-9
    assert r.value == pytest.approx(transport.solve(M, a, b, 1 / 1200).value, abs=1e-9)


def test_the_density_of_the_paper_still_converges_there_but_takes_longer(problem):
    M, a, b = problem("assignment 500")
    sparse = sinkhorn_newton_sparse(a, b, M, 1 / 1200)
    dense = sinkhorn_newton_sparse(a, b, M, 1 / 1200, density=15 / 500)
    assert sparse.success
    assert sparse.nnewton > 2 * dense.nnewton
    # and it is still far ahead of the plain iteration, which needs some 20 000 sweeps
    assert sparse.nit < 100


@pytest.mark.parametrize("name", ["densities-L2 500", "densities-L1 500"])
def test_on_densities_the_published_settings_stall_and_say_so(problem, name):
    M, a, b = problem(name)
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        r = sinkhorn_newton_sparse(a, b, M, 1 / 1200, maxiter=60)
    assert r.status is Status.MAXITER
    assert not r.success
    assert r.marginal_error > 0.1
    # what comes back is the best iterate all the same
    assert r.marginal_error == r.history.residual.min()
    assert r.marginal_error < r.history.residual[0]
    # and the problem itself is a harmless one
    assert transport.solve(M, a, b, 1 / 1200).success


def test_entries_that_leave_points_without_connection_end_the_run_with_words():
    # 12 of the 42 entries: blocks between which nothing is kept cannot exchange mass
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.2, 1, 6), rng.uniform(0.2, 1, 7)
    M, a, b = rng.random((6, 7)), a / a.sum(), b / b.sum()
    with pytest.warns(ConvergenceWarning, match="sparsified Newton direction"):
        r = sinkhorn_newton_sparse(a, b, M, 0.003)
    assert r.status is Status.STAGNATED
    assert np.isfinite(r.plan).all()
    assert r.marginal_error == r.history.residual.min()
    assert sinkhorn_newton_sparse(a, b, M, 0.003, density=1.0).success


# -- Newton's method -------------------------------------------------------------------------------


@pytest.mark.parametrize(("reg", "warm_up"), [(0.02, 3), (0.05, 1), (0.01, 10)])
def test_with_all_entries_the_convergence_is_quadratic(problem, reg, warm_up):
    M, a, b = problem("assignment 50")
    r = sinkhorn_newton_sparse(a, b, M, reg, density=1.0, n_sinkhorn=warm_up, tol=1e-12)
    e = r.history.residual
    e = e[(e < 0.05) & (e > 1e-13) & (r.history.newton == 1)]
    assert e.size >= 3
    # the last three errors before rounding takes over: order log(e3/e2) / log(e2/e1), two in theory
    order = np.log(e[2:] / e[1:-1]) / np.log(e[1:-1] / e[:-2])
    assert order.max() > 1.7


def test_with_few_entries_the_convergence_is_linear_only(problem):
    M, a, b = problem("assignment 50")
    r = sinkhorn_newton_sparse(a, b, M, 0.05, density=2 / 50, tol=1e-12)
    assert r.success
    e = r.history.residual[-12:]
    ratios = e[1:] / e[:-1]
    assert ratios.min() > 0.05


@pytest.mark.parametrize("settings", [{}, {"density": 0.2}, {"density": 1.0}, {"rho": 1e-4}])
def test_the_dual_never_falls(problem, settings):
    M, a, b = problem("rectangular 12x17")
    seen = []
    r = sinkhorn_newton_sparse(a, b, M, 0.01, n_sinkhorn=3, callback=seen.append, **settings)
    assert r.success
    assert len(seen) == r.nit
    values = [dual(a, b, M, 0.01, f, g) for f, g in seen]
    assert (np.diff(values) >= -1e-15).all()


def test_a_threshold_of_zero_keeps_all_entries(problem):
    M, a, b = problem("rectangular 12x17")
    all_by_share = sinkhorn_newton_sparse(a, b, M, 0.05, density=1.0)
    all_by_size = sinkhorn_newton_sparse(a, b, M, 0.05, rho=0.0)
    assert np.array_equal(all_by_share.history.residual, all_by_size.history.residual)


def test_a_threshold_speaks_of_the_plan_scaled_to_mass_one(problem):
    M, a, b = problem("rectangular 12x17")
    one = sinkhorn_newton_sparse(a, b, M, 0.05, rho=1e-3)
    heavy = sinkhorn_newton_sparse(1e4 * a, 1e4 * b, M, 0.05, rho=1e-3)
    assert heavy.nit == one.nit
    np.testing.assert_allclose(heavy.plan, 1e4 * one.plan, rtol=1e-8)


def test_more_entries_need_fewer_steps(problem):
    M, a, b = problem("assignment 100")
    steps = [
        sinkhorn_newton_sparse(a, b, M, 0.01, density=d).nnewton for d in (2 / 100, 8 / 100, 32 / 100, 1.0)
    ]
    assert steps == sorted(steps, reverse=True)
    assert steps[0] > 2 * steps[-1]


def test_without_warm_up_newton_starts_at_once(problem, error):
    M, a, b = problem("rectangular 12x17")
    r = sinkhorn_newton_sparse(a, b, M, 0.1, n_sinkhorn=0, density=1.0)
    assert r.success
    assert r.nsinkhorn == 0
    assert r.nnewton == r.nit <= 10
    assert error(r.plan, a, b) <= 1.1e-9


# -- accounts --------------------------------------------------------------------------------------


def test_the_history_tells_sweeps_from_newton_steps(problem):
    M, a, b = problem("assignment 50")
    r = sinkhorn_newton_sparse(a, b, M, 0.02, n_sinkhorn=5, density=0.5)
    assert r.nsinkhorn == 5
    assert r.nsinkhorn + r.nnewton == r.nit == len(r.history) - 1
    assert np.array_equal(r.history.newton, (np.arange(r.nit + 1) > 5).astype(float))
    assert r.ncg >= r.nnewton
    assert r.reg_path == (0.02,)


def test_the_warm_up_is_sinkhorn(problem):
    M, a, b = problem("assignment 50")
    with pytest.warns(ConvergenceWarning):
        ours = sinkhorn_newton_sparse(a, b, M, 0.02, n_sinkhorn=50, maxiter=8)
    with pytest.warns(ConvergenceWarning):
        theirs = transport.sinkhorn(a, b, M, 0.02, maxiter=8, overrelaxation=1.0)
    np.testing.assert_allclose(ours.plan, theirs.plan, atol=1e-14)
    assert ours.nnewton == 0


def test_a_run_that_ends_in_the_warm_up_has_no_newton_step(problem):
    M, a, b = problem("rectangular 12x17")
    r = sinkhorn_newton_sparse(a, b, M, 1.0)
    assert r.success
    assert r.nnewton == r.ncg == 0


# -- against independent implementations -----------------------------------------------------------


@pytest.mark.parametrize(("name", "reg"), [("assignment 50", 0.05), ("rectangular 60x40", 0.02)])
def test_plan_and_value_are_those_of_pot(problem, name, reg):
    ot = pytest.importorskip("ot")
    M, a, b = problem(name)
    P = ot.sinkhorn(a, b, M, reg, method="sinkhorn_log", stopThr=1e-13, numItermax=100_000)
    r = sinkhorn_newton_sparse(a, b, M, reg, density=0.3, tol=1e-11)
    np.testing.assert_allclose(r.plan, P, atol=1e-9)
    assert r.value_linear == pytest.approx(np.sum(P * M), abs=1e-9)


def test_the_sharp_plan_is_that_of_regot(problem):
    regot = pytest.importorskip("regot")
    M, a, b = problem("assignment 100")
    theirs = regot.sinkhorn_ssns(np.asfortranarray(M), a, b, 0.002, tol=1e-11, max_iter=1000)
    r = sinkhorn_newton_sparse(a, b, M, 0.002, density=0.3, tol=1e-11)
    np.testing.assert_allclose(r.plan, theirs.plan, atol=1e-8)
