"""Success means it: programs and games that tempt a relative tolerance, judged by HiGHS or by arithmetic."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pytest
from scipy.optimize import linprog as highs

from numsolve import monotone
from numsolve._core.result import ConvergenceWarning, Status

INF = float("inf")


def solve(c, A, lc, uc, lx, ux, kind, **settings):
    """By the compiled kernel, or by the array code of batches."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if kind == "single":
            r = monotone.solve_lp(c, A, lc, uc, lx, ux, **settings)
            return r.success, r.fun, r.status
        r = monotone.solve_lp(np.array([c]), A, lc, uc, lx, ux, **settings)
        return r.success[0], r.fun[0], r.status[0]


@pytest.mark.parametrize("kind", ["single", "batch"])
@pytest.mark.parametrize("cost", [1e-10, 1.0, 1e6])
@pytest.mark.parametrize("big", [1e4, 1e7, 1e12, 1e20, 1e30])
def test_a_large_bound_and_a_small_cost_loosen_nothing(big, cost, kind):
    """The minimum of x + 2y where x + y >= 3, x <= big and -big <= x - y: 3 at (3, 0)."""
    A = np.array([[1.0, 1.0], [1.0, 0.0], [1.0, -1.0]])
    low, high = np.array([3.0, -INF, -big]), np.array([INF, big, big])
    success, fun, _ = solve(cost * np.array([1.0, 2.0]), A, low, high, 0, None, kind, maxiter=20_000)
    assert success
    assert fun == pytest.approx(3 * cost, rel=1e-5)


@pytest.mark.parametrize("kind", ["single", "batch"])
def test_a_cost_that_forbids_a_variable_loosens_nothing(kind):
    """An artificial variable at 1e9 stays at zero, and the others are as exact as without it."""
    A = np.array([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0]])
    success, fun, _ = solve(
        np.array([1.0, 2.0, 1e9]),
        A,
        np.array([3.0, -1.0]),
        np.array([3.0, 1.0]),
        0,
        None,
        kind,
        maxiter=20_000,
    )
    assert success
    assert fun == pytest.approx(4.0, rel=1e-5)


def programs():
    """Small programs with a solution whose bounds and costs spread over many decades."""
    for seed in range(120):
        rng = np.random.default_rng(seed)
        m, n = rng.integers(1, 7, 2)
        A = rng.integers(-3, 4, (m, n)).astype(float)
        x = rng.integers(0, 4, n).astype(float)
        wide = 10.0 ** rng.uniform(0, 9, m)
        uc = A @ x + np.where(rng.random(m) < 0.5, wide, 0.0)
        lc = np.where(rng.random(m) < 0.3, A @ x, -INF)
        c = rng.integers(-2, 6, n) * 10.0 ** rng.integers(-3, 4, n)
        yield c, A, np.minimum(lc, uc), uc, np.zeros(n), np.full(n, 10.0)


@pytest.mark.parametrize(("kind", "maxiter"), [("single", 20_000), ("batch", 600)])
def test_every_success_is_one_by_highs(kind, maxiter):
    solved = 0
    for c, A, lc, uc, lx, ux in programs():
        rows = np.vstack([A, -A[np.isfinite(lc)]])
        truth = highs(c, rows, np.append(uc, -lc[np.isfinite(lc)]), bounds=np.column_stack([lx, ux]))
        assert truth.status == 0
        success, fun, status = solve(c, A, lc, uc, lx, ux, kind, maxiter=maxiter)
        assert status not in {Status.INFEASIBLE, Status.UNBOUNDED}
        if success:
            assert fun == pytest.approx(truth.fun, rel=1e-4, abs=1e-4 * abs(c).max())
        solved += success
    assert solved >= 60  # the others say that they are not


@pytest.mark.parametrize("kind", ["single", "batch"])
def test_a_corner_of_the_box_is_a_feasible_point(kind):
    """Rows that all ones satisfy, and no other point of the unit box: rounding errors are no certificate."""
    rng = np.random.default_rng(0)
    for _ in range(150):
        n = int(rng.integers(1, 12))
        row = rng.integers(1, 100, n) / 10.0
        c = rng.integers(-50, 50, n) / 10.0
        _, fun, status = solve(c, row[None, :], row.sum(), row.sum(), 0, 1, kind, maxiter=3000)
        assert status != Status.INFEASIBLE
        if status == Status.CONVERGED:
            assert fun == pytest.approx(c.sum(), abs=1e-3)


@pytest.mark.parametrize("kind", ["single", "batch"])
def test_one_part_in_ten_thousand_beyond_the_corner_is_infeasible(kind):
    rng = np.random.default_rng(1)
    for _ in range(20):
        n = int(rng.integers(1, 12))
        row = rng.integers(1, 100, n) / 10.0
        right = 1.0001 * row.sum()
        _, _, status = solve(np.ones(n), row[None, :], right, right, 0, 1, kind)
        assert status == Status.INFEASIBLE


@pytest.mark.parametrize("kind", ["single", "batch"])
@pytest.mark.parametrize("miss", [1e-4, 1.0])
@pytest.mark.parametrize("fixed", [False, True])
def test_no_large_bound_excuses_a_row_that_no_variable_can_change(miss, kind, fixed):
    """0 <= -1e-4, or the same of a fixed variable, beside a bound of 4000; met, it is in nobody's way."""
    A = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0 if fixed else 0.0]])
    lx, ux = np.array([0.0, 0.0, 3.0]), np.array([INF, INF, 3.0])
    value = 6.0 if fixed else 0.0
    for sign in (-1.0, 1.0):
        for amount, expected in ((miss, Status.INFEASIBLE), (0.0, Status.CONVERGED)):
            lc = np.array([4000.0, -INF if sign < 0 else value + amount])
            uc = np.array([INF, value - amount if sign < 0 else INF])
            c = np.array([1.0, 2.0, 0.0])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                r = monotone.solve_lp(c if kind == "single" else np.stack([c, c]), A, lc, uc, lx, ux)
            assert (np.atleast_1d(r.status) == expected).all()
            if expected is Status.INFEASIBLE:
                y = r.certificate if kind == "single" else r.certificate[1]
                np.testing.assert_array_equal(y, [0.0, sign])


ROUND = np.array([[0.0, -1.0, 2.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])


@pytest.mark.parametrize("kind", ["single", "batch"])
@pytest.mark.parametrize("size", [1e-90, 1e-30, 1e-8, 1.0, 1e8, 1e18])
def test_what_has_no_solution_is_found_in_every_unit(size, kind):
    """x - y falls endlessly along (1, 2) where y <= 2 x; and x + y >= 3, x + y <= 1 has no point."""
    lines = np.array([[2.0, -1.0], [1.0, 1.0]])
    _, _, status = solve(size * np.array([1.0, -1.0]), lines, [0.0, 1.0], INF, 0, None, kind, maxiter=50_000)
    assert status == Status.UNBOUNDED
    low, high = size * np.array([3.0, -INF]), size * np.array([INF, 1.0])
    _, _, status = solve(np.ones(2), np.ones((2, 2)), low, high, None, None, kind, maxiter=50_000)
    assert status == Status.INFEASIBLE


@pytest.mark.parametrize("kind", ["single", "batch"])
@pytest.mark.parametrize("far", [1e8, 1e12])
def test_a_bound_far_away_is_no_contradiction(far, kind):
    """Only the bound -far of y says that x >= 3/2 far, and an x so large is no larger than the data."""
    A = np.array([[3.0, -1.0, -1.0], [3.0, 0.0, -3.0], [2.0, 3.0, 0.0]])
    low, high = np.array([-INF, -INF, 0.0]), np.array([INF, 13e-4 * far, INF])
    cost, lx, ux = np.array([2.0, -3.0, -3.0]), np.array([-INF, -INF, -2 * far]), np.array([INF, -far, INF])
    _, _, status = solve(cost, A, low, high, lx, ux, kind, maxiter=50_000)
    assert status == Status.UNBOUNDED  # along (1, 0, 1)


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e-8])
def test_a_vertex_of_a_small_program_is_that_of_a_large_one(size):
    """The tolerances of HiGHS are absolute: every point is optimal where the costs are below them."""
    pytest.importorskip("highspy")
    A, cost = np.array([[1.0, 2.0], [3.0, 2.0]]), np.array([-3.0, -5.0])
    for c, rows, b in ((size * cost, A, 1.0), (cost, A, size), (cost, size * A, size), (cost, size * A, 1.0)):
        high = np.array([14.0, 18.0]) * (np.max(rows) / 3.0) * b
        r = monotone.solve_lp(c, rows, uc=high, lx=0, tol=1e-9, polish="basic")
        assert r.status is Status.CONVERGED
        np.testing.assert_allclose(r.x, [2.0 * b, 6.0 * b], rtol=1e-12)


def test_a_vertex_worse_than_the_point_it_comes_from_is_not_taken(monkeypatch):
    """Whatever HiGHS says, the residuals judge."""
    pytest.importorskip("highspy")
    wrong = (np.array([0.0, 5.0]), np.array([-1.0, 0.0]), 7)
    monkeypatch.setattr("numsolve.monotone.lp._single.basic", lambda *_: wrong)
    r = monotone.solve_lp([-3.0, -5.0], [[1.0, 2.0], [3.0, 2.0]], uc=[14.0, 18.0], lx=0, polish="basic")
    assert r.status is Status.CONVERGED
    assert r.residual <= 1e-6
    assert r.fun == pytest.approx(-36.0, rel=1e-5)


@pytest.mark.parametrize("method", ["lp", "simplex-pdhg"])
@pytest.mark.parametrize("offset", [-1e8, -3.0, 1e3, 1e6])
def test_an_offset_changes_no_strategy(offset, method):
    r = monotone.solve_game(ROUND + offset, method=method)
    np.testing.assert_allclose(r.x, [1 / 3, 5 / 12, 1 / 4], atol=1e-5)
    assert r.value == pytest.approx(offset + 1 / 12, abs=1e-5 + 1e-15 * abs(offset))
    assert r.gap == pytest.approx(
        ((ROUND @ r.x).max() - (ROUND.T @ r.y).min()), abs=1e-15 * abs(offset) + 1e-12
    )


@pytest.mark.parametrize("forbidden", [1e2, 1e4, 1e7])
def test_a_payoff_that_nobody_would_choose_leaves_the_others_their_digits(forbidden):
    """A fourth column costs its player a fortune in every row."""
    A = np.column_stack([ROUND, np.full(3, forbidden)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        r = monotone.solve_game(A, maxiter=4000)  # of both forms together
    if r.success:
        np.testing.assert_allclose(r.x, [1 / 3, 5 / 12, 1 / 4, 0.0], atol=1e-4)
        np.testing.assert_allclose(r.y, [1 / 4, 5 / 12, 1 / 3], atol=1e-4)
    assert r.success or forbidden > 100


# -- what functions return -------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["halpern", "eag", "popov", "eg"])
@pytest.mark.parametrize("wrong", [lambda v, gamma: v[:1], lambda v, gamma: v.max(), lambda v, gamma: [1, 2]])
def test_a_prox_of_another_shape_is_named(method, wrong):
    with pytest.raises(ValueError, match="prox must return shape"):
        monotone.halpern(lambda u: u - 1.0, np.zeros(3), L=1, prox=wrong, method=method)


@pytest.mark.parametrize(
    ("returned", "error"),
    [(1j * np.ones(2), TypeError), (["n", "o"], TypeError), (np.ones((2, 1)), ValueError)],
)
def test_what_an_operator_returns_is_looked_at(returned, error):
    with pytest.raises(error, match="operator"):
        monotone.halpern(lambda u: returned, np.ones(2), L=1)
    with pytest.raises(error, match="prox"):
        monotone.halpern(lambda u: u, np.ones(2), L=1, prox=lambda v, gamma: returned)
    with pytest.raises(error, match="full"):
        monotone.vr_halpern(
            monotone.FiniteSum(4, lambda u: returned, lambda u, i: u, L=1.0), np.ones(2), rng=0
        )


@pytest.mark.parametrize("method", ["halpern", "eag", "popov", "eg"])
def test_functions_may_return_the_same_array_each_time(method):
    kept = {"operator": np.empty(2), "prox": np.empty(2)}
    turn = np.array([[1.0, 1.0], [-1.0, 1.0]])

    def operator(u):
        kept["operator"][:] = turn @ u - 1.0
        return kept["operator"]

    def prox(v, gamma):
        kept["prox"][:] = np.maximum(v, 0.0)
        return kept["prox"]

    settings = {
        "L": 2.0,
        "method": method,
        "tol": 1e-8,
        "restart": "adaptive" if method in {"halpern", "eag"} else None,
    }
    plain = monotone.halpern(lambda u: turn @ u - 1.0, [3.0, 4.0], prox=monotone.prox_nonnegative, **settings)
    r = monotone.halpern(operator, [3.0, 4.0], prox=prox, **settings)
    assert r.nit == plain.nit
    assert np.array_equal(r.x, plain.x)


HUGE_BOUNDS = {
    # c, A, lc, uc, lx, ux, and the minimum, by hand
    "row, lower": ([1.0], [[1e21]], 3e21, INF, 0, 5, 3.0),
    "row, upper": ([1.0], [[1e21]], -INF, -3e21, -5, 0, -5.0),
    "row, active upper": ([-1.0], [[1e21]], -INF, 3e21, 0, 5, -3.0),
    "row, active lower": ([1.0], [[1e21]], -3e21, INF, -5, 5, -3.0),
    "variable, positive lower": ([1.0, 1.0], [[1.0, 1.0]], 1, INF, [0, 1e21], INF, 1e21),
    "variable, negative lower": ([1.0, 1.0], [[0.0, 1.0]], 1, 5, [-1e21, 0], INF, -1e21),
    "variable, positive upper": ([-1.0, 1.0], [[0.0, 1.0]], 1, 5, 0, [1e21, INF], -1e21),
    "variable, negative upper": ([-1.0, 1.0], [[0.0, 1.0]], 1, 5, -INF, [-1e21, INF], 1e21),
    "contradiction": ([1.0, 1.0], [[1.0, 1.0]], 2e21, INF, 0, [1e21, 5], None),
}


@pytest.mark.parametrize("kind", ["single", "batch"])
@pytest.mark.parametrize("name", HUGE_BOUNDS)
def test_a_finite_bound_is_a_bound_however_large(name, kind):
    """Beside bounds of size one, where others take it for infinity."""
    c, A, *bounds, minimum = HUGE_BOUNDS[name]
    success, fun, status = solve(
        np.array(c), np.array(A), *(np.array(b, dtype=float) for b in bounds), kind, maxiter=20_000
    )
    if minimum is None:
        assert status == Status.INFEASIBLE
    else:
        assert success
        assert fun == pytest.approx(minimum, rel=1e-5)


@pytest.mark.parametrize("big", [1e12, 1e15, 1e18])
def test_bounds_that_stand_for_none_do_not_slow_a_program_down(big):
    """Minima known by construction, with zero as an active bound of half the variables."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        A = rng.normal(size=(4, 6))
        lx = np.where(rng.random(6) < 0.5, 0.0, -big)
        active = (lx == 0) & (rng.random(6) < 0.5)
        x = np.where(active, 0.0, np.where(lx == 0, 1.0, -1.0) * rng.random(6))
        y, b = rng.normal(size=4), A @ x
        c = A.T @ y + np.where(active, rng.random(6), 0.0)
        low, high = np.where(y > 0, b, -INF), np.where(y < 0, b, INF)
        success, fun, _ = solve(c, A, low, high, lx, np.full(6, big), "single", maxiter=20_000)
        assert success, seed
        assert fun == pytest.approx(c @ x, rel=1e-4, abs=1e-4)


def test_linprog_takes_a_finite_bound_for_one():
    """SciPy's HiGHS takes 1e20 for infinity; the least x with 1e21 x >= 3e21 is 3."""
    result = monotone.linprog([1.0], A_ub=[[-1e21]], b_ub=[-3e21], bounds=(0, 5))
    assert result.success
    assert result.fun == pytest.approx(3.0, rel=1e-5)


# -- steps that say nothing, and functions that write ----------------------------------------------


def _sum(operator, L):
    return monotone.FiniteSum(3, operator, lambda u, index: operator(u), L=L)


#: The deterministic methods and the two algorithms for sums, as functions of (operator, x0, L, settings).
FORMS = {
    **{
        method: lambda F, x0, L, method=method, **s: monotone.halpern(
            F, x0, L=L, method=method, maxiter=20, **s
        )
        for method in ("halpern", "eag", "popov", "eg")
    },
    **{
        kind: lambda F, x0, L, kind=kind, **s: monotone.vr_halpern(
            _sum(F, L), x0, assumption=kind, rng=0, max_epochs=50, **s
        )
        for kind in ("cocoercive", "lipschitz")
    },
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("prox", [None, monotone.prox_nonnegative, lambda v, gamma: np.maximum(v, 0.0)])
def test_a_step_that_the_point_swallows_is_no_success(form, prox):
    """5 - 1e-20 * 4 is 5; the zero of u - 1 is 1."""
    with pytest.warns(ConvergenceWarning):
        r = FORMS[form](lambda u: u - 1.0, [5.0, 5.0], 1e20, prox=prox)
    assert not r.success
    assert r.residual == pytest.approx(4 * np.sqrt(2), rel=1e-2)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("start", "L"), [(0.0, 1e-9), (0.5, 1e-9), (0.5, 1e-310)])
def test_a_step_longer_than_the_box_is_no_success_before_its_corner(form, start, L):
    """A constant operator has every L; of minus the sum of u, the least value on the box is at 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        r = FORMS[form](lambda u: np.full(2, -1.0), [start, start], L, prox=monotone.project_box)
    if r.success:
        np.testing.assert_allclose(r.x, 1.0, atol=1e-5)
    assert r.success or form == "lipschitz"


@pytest.mark.parametrize("form", FORMS)
def test_operators_may_write_into_what_they_are_given(form):
    solution, x0 = np.array([1.0, 2.0]), np.zeros(2)

    def inplace(u):
        u -= solution
        return u

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        plain, written = (FORMS[form](F, x0, 1.0) for F in (lambda u: u - solution, inplace))
    np.testing.assert_array_equal(written.x, plain.x)
    assert written.residual == plain.residual
    np.testing.assert_array_equal(x0, 0.0)


def test_bounds_of_another_length_are_named_by_compiled_sums_too():
    prox = partial(monotone.project_box, lower=[0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="y, lower and upper must have shapes that broadcast"):
        monotone.vr_halpern(monotone.AffineFiniteSum(np.eye(2), [1.0, 2.0]), np.zeros(2), prox=prox, rng=0)


def test_a_solution_of_zero_is_reached_without_restarts():
    """The published iteration comes as near as 1/k, and what is left of u measures nothing."""
    start, prox = np.ones(3), monotone.prox_nonnegative
    r = monotone.halpern(lambda u: u + 1.0, start, L=1.0, prox=prox, restart=None, tol=1e-3)
    assert r.success
    assert np.all(np.abs(r.x) <= 2e-3)
