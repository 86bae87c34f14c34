"""Plain array code beside the kernels: the same iterates, and the same answers with other libraries."""

from __future__ import annotations

import array_api_strict as strict
import numpy as np
import pytest
from scipy.sparse import csr_array

from numsolve import monotone
from numsolve._core.monitor import Monitor
from numsolve._core.result import ConvergenceWarning
from numsolve.monotone._norms import spectral_norm
from numsolve.monotone.lp._batched import Batch
from numsolve.monotone.lp._compiled import COLUMNS, Compiled, Run, drive
from numsolve.monotone.lp._program import prepare
from numsolve.monotone.lp._scaling import scaling, scaling_dense


@pytest.fixture(params=["array_api_strict", pytest.param("cupy", marks=pytest.mark.gpu)])
def other(request):
    return strict if request.param == "array_api_strict" else pytest.importorskip("cupy")


def to_numpy(x):
    return x.get() if hasattr(x, "get") else np.asarray(x)


@pytest.mark.parametrize("form", ["sparse", "dense"])
def test_kernels_and_array_code_make_the_same_iterates(form, program):
    c, A, *bounds = program(12, 18, 0, density=0.2 if form == "sparse" else 0.9)
    lp = prepare(c, csr_array(A) if form == "sparse" else A, *bounds)
    solver, batch = Compiled(lp), Batch(lp, (None, None))
    run = Run(solver, solver.start(None, None))
    assert isinstance(solver.A, tuple) == (form == "sparse")
    for step in range(1, 201):
        run.advance(1, 1, -1.0)
        batch.advance(step)
    np.testing.assert_allclose(run.col.xh, batch.state.xh[0], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(run.row.yh, batch.state.yh[0], rtol=1e-8, atol=1e-8)
    assert run.weight == pytest.approx(float(batch.state.weight[0, 0]), rel=1e-8)
    assert run.nrestart == int(batch.state.restarts[0, 0]) > 1


def test_residuals_in_the_kernel_are_those_in_the_callers_units(program, residuals):
    lp = program(12, 18, 3)
    solver = Compiled(prepare(*lp))
    run = Run(solver, solver.start(None, None))
    for steps in (1, 7, 40, 200):
        table, _, _ = run.advance(steps, 10**9, -1.0)
        x, y = solver.unscaled(run.point)
        np.testing.assert_allclose(table[-1, 1:4], residuals(*lp, x, y), rtol=1e-8, atol=1e-13)
        np.testing.assert_allclose(run.row.axh, solver.times_x(run.col.xh), atol=1e-10)


def test_the_history_has_a_row_for_each_look(netlib):
    solver = Compiled(prepare(*netlib("afiro")))
    with Monitor(atol=1e-6, maxiter=1000, columns=COLUMNS, step_seconds=1e-5) as it:
        drive(it, Run(solver, solver.start(None, None)), 8, COLUMNS)
    assert (np.diff(it.history.iteration) == 8).all()
    np.testing.assert_array_equal(
        it.history.residual, np.max([it.history[name] for name in COLUMNS[:3]], axis=0)
    )
    assert (it.history.weight > 0).all()


def test_scaling_makes_entries_alike():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(30, 40)) * (rng.random((30, 40)) < 0.2)
    A = A * np.exp(3 * rng.normal(size=(30, 1))) * np.exp(3 * rng.normal(size=40))
    A[3], A[:, 5] = 0.0, 0.0
    rows, columns = scaling(csr_array(A))
    for got in (scaling(A), scaling_dense(np, A)):
        np.testing.assert_allclose(got[0], rows, rtol=1e-8)
        np.testing.assert_allclose(got[1], columns, rtol=1e-8)
    B = abs(A * rows[:, None] * columns)
    assert np.log(B[B > 0]).std() < 0.4 * np.log(abs(A[A != 0])).std()
    assert np.linalg.norm(B, 2) <= 1 + 1e-12  # Pock and Chambolle, lemma 2
    assert rows[3] > 0
    assert columns[5] > 0


@pytest.mark.parametrize("shape", [(50, 80), (80, 50), (3, 4), (1, 1), (1, 7), (200, 200)])
def test_the_norm_is_from_below_and_close(shape):
    A = np.random.default_rng(1).normal(size=shape)
    start = np.ones(shape[1])
    norm = spectral_norm(np, lambda v: A @ v, lambda v: A.T @ v, start)
    assert 0.9995 * np.linalg.norm(A, 2) <= norm <= np.linalg.norm(A, 2) * (1 + 1e-10)
    assert spectral_norm(np, lambda v: 0 * A @ v, lambda v: 0 * A.T @ v, start) == 0.0


def test_other_libraries_solve_the_same_program(other, program):
    lp = program(8, 12, 5)
    r = monotone.solve_lp(*lp, tol=1e-7)
    s = monotone.solve_lp(*(other.asarray(v) for v in lp), tol=1e-7)
    for name in ("x", "y", "reduced_costs"):
        assert type(getattr(s, name)) is type(other.asarray(lp[0]))
        np.testing.assert_allclose(to_numpy(getattr(s, name)), getattr(r, name), atol=1e-5)
    assert s.fun == pytest.approx(r.fun, abs=1e-6)
    assert (s.status, abs(s.nit - r.nit) <= 64) == (r.status, True)
    again = monotone.solve_lp(*(other.asarray(v) for v in lp), x0=s, tol=2e-7)
    assert again.nit == 0


def test_other_libraries_take_batches_and_hopeless_programs(other):
    A, inf = other.asarray([[1.0, 1.0]]), float("inf")
    costs = other.asarray([[1.0, 2.0], [-1.0, -1.0], [1.0, 1.0]])
    lower = other.asarray([[0.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
    upper = other.asarray([[inf, inf], [inf, inf], [1.0, 5.0]])
    with pytest.warns(ConvergenceWarning, match="1 CONVERGED, 1 INFEASIBLE, 1 UNBOUNDED"):
        r = monotone.solve_lp(costs, A, 1.0, None, lower, upper)
    np.testing.assert_array_equal(r.status, [0, 3, 2])
    np.testing.assert_allclose(to_numpy(r.x)[0], [1, 0], atol=1e-4)
    r = monotone.solve_lp(other.asarray([1.0, -1.0]), lx=0, ux=4)
    np.testing.assert_array_equal(to_numpy(r.x), [0, 4])


def test_linprog_takes_other_libraries(other):
    r = monotone.linprog(
        other.asarray([-2.0, -3.0]),
        other.asarray([[1.0, 1.0], [1.0, 3.0]]),
        other.asarray([4.0, 6.0]),
        tol=1e-8,
    )
    np.testing.assert_allclose(to_numpy(r.x), [3, 1], atol=1e-5)
    np.testing.assert_allclose(to_numpy(r.ineqlin.marginals), [-1.5, -0.5], atol=1e-5)


def test_a_sparse_matrix_serves_a_batch_too(netlib):
    c, A, *bounds = netlib("afiro")
    costs = np.stack([c, 0.9 * c])
    one, two = (monotone.solve_lp(costs, M, *bounds) for M in (A, A.toarray()))
    np.testing.assert_allclose(one.fun, two.fun, rtol=1e-5)
