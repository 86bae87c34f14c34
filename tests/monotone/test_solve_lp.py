"""Linear programs: optima, multipliers, certificates, limits of the numbers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csc_array, csr_array, random_array

from numsolve import monotone
from numsolve._core.result import ConvergenceWarning, PrecisionWarning, Status

INF = float("inf")
NETLIB = (
    "afiro",
    "adlittle",
    "israel",
    "e226",
    "stair",
    "standata",
    "standmps",
    "scrs8",
    "shell",
    "etamacro",
)


@pytest.mark.parametrize("name", NETLIB)
def test_netlib_is_solved(name, netlib, best, residuals):
    lp = netlib(name)
    r = monotone.solve_lp(*lp)
    assert r.status is Status.CONVERGED
    assert max(residuals(*lp, r.x, r.y)) <= 1e-6
    assert r.fun == pytest.approx(best(*lp), rel=1e-5)
    assert (r.x >= lp[4]).all()
    assert (r.x <= lp[5]).all()


@pytest.mark.parametrize("seed", range(6))
def test_random_programs_with_all_kinds_of_rows_and_variables(seed, program, best, residuals):
    lp = program(30, 40, seed)
    r = monotone.solve_lp(*lp, tol=1e-8)
    assert max(residuals(*lp, r.x, r.y)) <= 1e-8
    assert r.fun == pytest.approx(best(*lp), rel=1e-6, abs=1e-6)


def test_what_the_result_reports_is_what_an_independent_measure_finds(program, residuals):
    lp = program(20, 30, 7)
    r = monotone.solve_lp(*lp)
    np.testing.assert_allclose(
        [r.primal_residual, r.dual_residual, r.gap], residuals(*lp, r.x, r.y), rtol=1e-6, atol=1e-14
    )
    assert r.residual == max(r.primal_residual, r.dual_residual, r.gap)


def test_multipliers_have_their_signs_and_complementary_slackness(program):
    c, A, lc, uc, lx, ux = program(25, 25, 3)
    r = monotone.solve_lp(c, A, lc, uc, lx, ux, tol=1e-9)
    ax = A @ r.x
    assert (r.y[~np.isfinite(lc)] <= 0).all()
    assert (r.y[~np.isfinite(uc)] >= 0).all()
    assert (r.reduced_costs[~np.isfinite(lx)] <= 0).all()
    assert (r.reduced_costs[~np.isfinite(ux)] >= 0).all()
    slack = np.where(r.y > 0, ax - lc, np.where(r.y < 0, uc - ax, 0.0))
    np.testing.assert_allclose(r.y * slack, 0, atol=1e-6)
    room = np.where(r.reduced_costs > 0, r.x - lx, np.where(r.reduced_costs < 0, ux - r.x, 0.0))
    np.testing.assert_allclose(r.reduced_costs * room, 0, atol=1e-6)


def test_multipliers_are_derivatives_of_the_optimal_value(best):
    rng = np.random.default_rng(5)  # rows with positive entries and random costs: one nondegenerate vertex
    c, A, uc = -rng.random(12), rng.random((8, 12)), 1 + rng.random(8)
    lc, lx, ux = np.full(8, -INF), np.zeros(12), np.full(12, INF)
    r = monotone.solve_lp(c, A, lc, uc, lx, ux, tol=1e-10)
    h = 1e-5
    for i in range(8):
        e = h * np.eye(8)[i]
        slope = (best(c, A, lc, uc + e, lx, ux) - best(c, A, lc, uc - e, lx, ux)) / (2 * h)
        assert slope == pytest.approx(r.y[i], rel=1e-4, abs=1e-7)
    for j in range(12):
        e = h * np.eye(12)[j]
        slope = (best(c, A, lc, uc, lx + e, ux) - best(c, A, lc, uc, lx, ux)) / h
        assert slope == pytest.approx(max(r.reduced_costs[j], 0), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("form", [np.asarray, csr_array, csc_array, lambda A: A.tolist()])
def test_the_form_of_the_matrix_does_not_matter(form, program):
    c, A, *bounds = program(12, 20, 1)
    r, s = (monotone.solve_lp(c, M, *bounds, tol=1e-8) for M in (A, form(A)))
    assert r.fun == pytest.approx(s.fun, rel=1e-7)


def test_dense_matrices_run_in_the_dense_kernel(best):
    rng = np.random.default_rng(0)
    A = rng.random((40, 60)) + 0.1
    lp = (-rng.random(60), A, np.full(40, -INF), np.ones(40), np.zeros(60), np.full(60, INF))
    assert monotone.solve_lp(*lp, tol=1e-8).fun == pytest.approx(best(*lp), rel=1e-6)


@given(seed=st.integers(0, 10**6), rows=st.floats(-3, 3), columns=st.floats(-3, 3))
def test_the_optimal_value_does_not_depend_on_units(program, best, seed, rows, columns):
    c, A, lc, uc, lx, ux = program(6, 8, seed % 50)
    rng = np.random.default_rng(seed)
    R, C = 10 ** (rows * rng.random(6)), 10 ** (columns * rng.random(8))
    r = monotone.solve_lp(c * C, A * R[:, None] * C, lc * R, uc * R, lx / C, ux / C, tol=1e-9)
    assert r.success
    assert r.fun == pytest.approx(best(c, A, lc, uc, lx, ux), rel=1e-4, abs=1e-4)


def test_a_warm_start_saves_iterations(netlib):
    lp = netlib("adlittle")
    cold = monotone.solve_lp(*lp)
    rough = monotone.solve_lp(*lp, tol=1e-4)
    for start in (rough, (rough.x, rough.y)):
        assert monotone.solve_lp(*lp, x0=start).nit < cold.nit
    assert monotone.solve_lp(*lp, x0=(cold.x, cold.y), tol=2e-6).nit == 0
    assert monotone.solve_lp(*lp, x0=cold.x).success


def test_polishing_makes_a_rough_solution_feasible(netlib, residuals):
    for name in ("afiro", "israel", "etamacro"):
        lp = netlib(name)
        rough, fine = monotone.solve_lp(*lp, tol=1e-4), monotone.solve_lp(*lp, tol=1e-4, polish=1e-10)
        primal, dual, gap = residuals(*lp, fine.x, fine.y)
        assert max(primal, dual) <= 1.1e-10 < max(rough.primal_residual, rough.dual_residual)
        assert gap == pytest.approx(fine.gap, rel=1e-3, abs=1e-12)
        assert gap < 1e-2
        assert "Polished" in fine.message
        assert fine.nit < 2 * rough.nit + 500


# --- certificates -----------------------------------------------------------------------------------

#: name: (status, c, A, lc, uc, lx, ux)
HOPELESS = {
    "rows contradict each other": (2, [1, 1], [[1, 1], [1, 1]], [2, -INF], [INF, 1], 0, None),
    "equations contradict each other": (2, [0, 0], [[1, 2], [2, 4]], [1, 3], [1, 3], None, None),
    "an empty row": (2, [1, 1], [[0, 0], [1, 1]], [1, 1], None, 0, None),
    "bounds contradict a row": (2, [1, 1], [[1, 1]], 3, None, 0, 1),
    "a ray of descent": (3, [-1, -1], [[1, -1]], None, 1, 0, None),
    "a free variable": (3, [1, 0], [[1, 1]], None, 1, None, None),
    "a free variable without rows": (3, [1, -1], None, None, None, 0, None),
    "infeasible, and a ray of descent": (2, [-1, 0], [[1, -1], [1, -1]], [2, -INF], [INF, 1], 0, None),
    "row bounds crossed": (2, [1], [[1]], 3, 2, None, None),
    "bounds crossed": (2, [1], [[1]], None, None, 3, 2),
    "a lower bound of infinity": (2, [1], [[1]], None, None, INF, None),
    "no rows, bounds crossed": (2, [1], None, None, None, 3, 2),
    "no variables": (2, np.zeros(0), np.zeros((1, 0)), 1, 2, None, None),
}


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("name", HOPELESS)
def test_hopeless_programs_are_told(name, batch):
    status, c, *rest = HOPELESS[name]
    c = np.asarray([c], dtype=float) if batch else c
    with pytest.warns(ConvergenceWarning):
        r = monotone.solve_lp(c, *rest)
    assert np.all(r.status == status)
    assert np.all(r.nit < 1000)
    assert not np.any(r.success)


def check_certificate(status, v, c, A, lc, uc, lx, ux):
    m, n = A.shape
    lc, uc = (np.broadcast_to(np.asarray(b, float), (m,)) for b in (lc, uc))
    lx, ux = (np.broadcast_to(np.asarray(b, float), (n,)) for b in (lx, ux))
    if status == Status.UNBOUNDED:  # feasible, and falling, forever
        av = A @ v
        assert c @ v < -1e-6
        assert (av[np.isfinite(uc)] <= 1e-7).all()
        assert (av[np.isfinite(lc)] >= -1e-7).all()
        assert (v[np.isfinite(ux)] <= 1e-7).all()
        assert (v[np.isfinite(lx)] >= -1e-7).all()
        return
    r = -A.T @ v  # v'(A x) + r'x = 0 for each x, yet its least value over all bounds is positive
    r[abs(r) < 1e-7] = 0.0
    least = 0.0
    for w, low, high in ((v, lc, uc), (r, lx, ux)):
        limit = np.where(w > 0, low, high)
        assert np.isfinite(limit[w != 0]).all()
        least += (w * np.where(w != 0, limit, 0.0)).sum()
    assert least > 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_certificates_are_proofs(seed, program):
    c, A, lc, uc, lx, ux = program(15, 20, seed)
    rng = np.random.default_rng(seed)
    row = rng.normal(size=20)
    wide = np.clip(row, 0, None) @ np.where(np.isfinite(ux), ux, 5) - np.clip(-row, 0, None) @ np.where(
        np.isfinite(lx), lx, -5
    )
    box = np.maximum(lx, -5), np.minimum(ux, 5)
    lp = (c, np.vstack([A, row]), np.append(lc, wide + 10), np.append(uc, INF), *box)
    with pytest.warns(ConvergenceWarning, match="no feasible point"):
        r = monotone.solve_lp(*lp)
    assert r.status is Status.INFEASIBLE
    check_certificate(r.status, r.certificate, *lp)

    ray = np.append(rng.normal(size=20), 1.0)  # a new variable that can grow with x along a null direction
    B = np.column_stack([A, -A @ ray[:-1]])
    lp = (np.append(c, -c @ ray[:-1] - 1.0), B, lc, uc, np.full(21, -INF), np.full(21, INF))
    with pytest.warns(ConvergenceWarning, match="unbounded"):
        r = monotone.solve_lp(*lp)
    assert r.status is Status.UNBOUNDED
    check_certificate(r.status, r.certificate, *lp)


# --- edges ------------------------------------------------------------------------------------------


def test_no_rows_have_a_closed_form():
    r = monotone.solve_lp([1.0, -1.0, 0.0], lx=[-2, -2, 4], ux=[3, 3, 5])
    np.testing.assert_array_equal(r.x, [-2, 3, 4])
    assert (r.fun, r.nit, r.residual) == (-5.0, 0, 0.0)
    assert r.y.shape == (0,)
    r = monotone.solve_lp([[1.0, -1.0], [-1.0, 0.0]], lx=0, ux=[[1, 2], [3, 4]])
    np.testing.assert_array_equal(r.x, [[0, 2], [3, 0]])


def test_no_variables():
    r = monotone.solve_lp(np.zeros(0), np.zeros((2, 0)), lc=-1, uc=1)
    assert r.success
    assert r.fun == 0.0


def test_one_variable():
    assert monotone.solve_lp([2.0], [[4.0]], lc=8).x == pytest.approx(2)
    assert monotone.solve_lp([2.0], [[4.0]], lc=8, lx=2, ux=2).x == 2


def test_only_equations():
    rng = np.random.default_rng(0)
    A, x = rng.normal(size=(5, 5)), rng.normal(size=5)
    np.testing.assert_allclose(monotone.solve_lp(np.ones(5), A, A @ x, A @ x, tol=1e-10).x, x, atol=1e-6)


def test_a_zero_cost_asks_for_any_feasible_point():
    r = monotone.solve_lp([0.0, 0.0], [[1.0, 1.0]], lc=2)
    assert r.success
    assert r.x.sum() >= 2 - 1e-5


def test_degenerate_vertices_and_redundant_rows(best):
    A = np.array([[1.0, 1.0], [1.0, 1.0], [2.0, 2.0], [1.0, 0.0], [0.0, 0.0]])
    lp = (
        np.array([-1.0, -1.0]),
        A,
        np.full(5, -INF),
        np.array([1.0, 1.0, 2.0, 0.0, 7.0]),
        np.zeros(2),
        np.full(2, INF),
    )
    assert monotone.solve_lp(*lp).fun == pytest.approx(best(*lp), abs=1e-5)


@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_tiny_and_huge_data(unit, program, best):
    c, A, lc, uc, lx, ux = program(10, 15, 2)
    value = best(c, A, lc, uc, lx, ux)
    plain = monotone.solve_lp(c, A, lc, uc, lx, ux, tol=1e-9)
    r = monotone.solve_lp(c * unit, A * unit, lc * unit, uc * unit, lx, ux, tol=1e-9)
    assert r.fun == pytest.approx(value * unit, rel=1e-6)
    assert r.nit < 3 * plain.nit
    r = monotone.solve_lp(c * unit, A, lc * unit, uc * unit, lx * unit, ux * unit, tol=1e-9)
    assert r.fun == pytest.approx(value * unit**2, rel=1e-6)
    assert r.nit < 3 * plain.nit


def test_float32_stays_float32_and_has_a_floor(program, best):
    lp = program(10, 15, 4)
    single = [np.float32(v) for v in lp]
    with pytest.warns(PrecisionWarning, match="tol = 1e-06 is beyond float32 data; 0.0001 is used"):
        r = monotone.solve_lp(*single)
    assert r.x.dtype == r.y.dtype == r.reduced_costs.dtype == np.float32
    assert r.fun == pytest.approx(best(*lp), rel=1e-2, abs=1e-2)
    assert monotone.solve_lp(*single, tol=1e-3).success


def test_integers_are_promoted():
    assert monotone.solve_lp([1, 2], [[1, 1]], lc=[1], lx=[0, 0]).x.dtype == np.float64


# --- batches ----------------------------------------------------------------------------------------


def test_a_batch_does_what_single_runs_do(netlib):
    c, A, lc, uc, lx, ux = netlib("afiro")
    rng = np.random.default_rng(0)
    costs = c * rng.uniform(0.2, 5.0, (5, c.size))
    upper = uc * rng.uniform(1.0, 1.1, (5, 1))
    r = monotone.solve_lp(costs, A, np.minimum(lc, upper), upper, lx, ux)
    for i in range(5):
        one = monotone.solve_lp(costs[i], A, np.minimum(lc, upper[i]), upper[i], lx, ux)
        assert (r.nit[i], r.nrestart[i]) == (one.nit, one.nrestart)
        np.testing.assert_allclose(r.x[i], one.x, rtol=1e-6, atol=1e-6)
        assert r.fun[i] == pytest.approx(one.fun, rel=1e-9)
    assert len(set(r.nit)) > 1
    assert r.success.all()
    assert r.message == "Batch: 5 CONVERGED."


def test_a_batch_of_solved_infeasible_and_unbounded_programs():
    A = np.array([[1.0, -1.0]])
    costs = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, 1.0], [1.0, 1.0]])
    low, high = np.array([[1.0], [-1.0], [1.0], [2.0]]), np.array([[INF], [1.0], [INF], [1.0]])
    top = np.array([[9.0, 9.0], [INF, INF], [0.5, 9.0], [9.0, 9.0]])
    with pytest.warns(ConvergenceWarning, match="1 CONVERGED, 2 INFEASIBLE, 1 UNBOUNDED"):
        r = monotone.solve_lp(costs, A, low, high, 0, top)
    np.testing.assert_array_equal(r.status, [0, 3, 2, 2])
    assert r.fun[0] == pytest.approx(1.0, abs=1e-5)
    check_certificate(r.status[1], r.certificate[1], costs[1], A, low[1], high[1], 0, top[1])
    check_certificate(r.status[2], r.certificate[2], costs[2], A, low[2], high[2], 0, top[2])
    assert r.certificate[0] is r.certificate[3] is None


def test_what_is_left_of_a_batch_goes_on_by_the_kernel_from_the_same_state(program):
    """A pace that always loses against the kernel, and one that never does, give the same run."""
    from numsolve.monotone.lp import _batched

    c, A, *bounds = program(12, 18, 0)
    costs = c * np.array([[1.0], [3.0], [0.5]])

    def run(answer):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_batched.Pace, "is_slow", lambda self, step: answer)
            return monotone.solve_lp(costs, A, *bounds, tol=1e-7)

    kernel, arrays = run(True), run(False)
    assert arrays.nit.min() > 64
    np.testing.assert_array_equal(kernel.nit, arrays.nit)
    assert abs(kernel.nrestart - arrays.nrestart).max() <= 1  # the kernel ends before that of its last step
    np.testing.assert_allclose(kernel.x, arrays.x, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(kernel.y, arrays.y, rtol=1e-7, atol=1e-7)
    np.testing.assert_array_equal(kernel.history["iteration"], arrays.history["iteration"])
    np.testing.assert_array_equal(kernel.history["running"], arrays.history["running"])
    np.testing.assert_allclose(kernel.history["gap"], arrays.history["gap"], rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("by_kernel", [True, False])
def test_hopeless_programs_of_a_batch_are_told_late_too(by_kernel, monkeypatch):
    from numsolve.monotone.lp import _batched

    monkeypatch.setattr(_batched.Pace, "is_slow", lambda self, step: by_kernel)
    rng = np.random.default_rng(2)
    A = rng.normal(size=(10, 15))
    feasible = A @ rng.uniform(0, 1, 15)
    right = np.stack([feasible, feasible + 50 * np.eye(10)[0], feasible])
    costs = np.stack([rng.uniform(0, 1, 15), np.zeros(15), -np.ones(15)])
    top = np.where([[True], [True], [False]], 1.0, np.inf) * np.ones(15)
    A[:, 0] = 0.0  # a free way down
    with pytest.warns(ConvergenceWarning):
        r = monotone.solve_lp(costs, A, right - 0.5, right + 0.5, 0, top)
    assert r.status.tolist()[1:] == [2, 3]
    check_certificate(2, r.certificate[1], costs[1], A, right[1] - 0.5, right[1] + 0.5, 0, top[1])
    check_certificate(3, r.certificate[2], costs[2], A, right[2] - 0.5, right[2] + 0.5, 0, top[2])


def test_a_batch_can_be_started_and_stopped(netlib):
    c, A, *bounds = netlib("afiro")
    costs = np.stack([c, 1.1 * c])
    first = monotone.solve_lp(costs, A, *bounds)
    assert (monotone.solve_lp(costs, A, *bounds, x0=first, tol=2e-6).nit == 0).all()
    with pytest.warns(ConvergenceWarning, match="Batch: 2 MAXITER"):
        r = monotone.solve_lp(costs, A, *bounds, maxiter=50)
    np.testing.assert_array_equal(r.nit, 50)
    assert np.isfinite(r.x).all()


@pytest.mark.parametrize("threads", [0, 3])
def test_different_programs_are_solved_by_any_executor_in_their_order(threads, program):
    programs = [program(20 - k, 30 - k, k) for k in range(6)]
    alone = [monotone.solve_lp(*lp, tol=1e-8) for lp in programs]
    as_dict = dict(zip(("c", "A", "lc", "uc", "lx", "ux"), programs[0], strict=True))
    programs[0] = {**as_dict, "tol": 1e-2}
    with ThreadPoolExecutor(3) as pool:
        together = monotone.solve_lps(programs, tol=1e-8, executor=pool if threads else None)
    for r, s in zip(together[1:], alone[1:], strict=True):
        assert (r.nit, r.fun) == (s.nit, s.fun)
    assert together[0].nit < alone[0].nit  # by a tolerance of its own


def test_programs_that_find_no_time_are_none():
    lp = ([1.0], None, None, None, 0)
    with pytest.warns(ConvergenceWarning, match="0 of 2 tasks are done"):
        assert monotone.solve_lps([lp, lp], time_limit=0.0) == [None, None]


@pytest.mark.parametrize("per_row", [1, 6, 63, 64, 200])
def test_products_along_short_and_long_rows(per_row):
    """Rows of every length around the mean, empty ones too, give SciPy's product."""
    from numsolve.monotone import _cpu_lp
    from numsolve.monotone._compiled import by_rows

    rng = np.random.default_rng(per_row)
    A = csr_array(random_array((300, 400), density=per_row / 400, rng=rng))
    v, out = rng.standard_normal(400), np.empty(300)
    _cpu_lp.product(by_rows(A), v, out)
    np.testing.assert_allclose(out, A @ v, atol=1e-12)
