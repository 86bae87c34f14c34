"""A presolved program has the same optimum, multipliers and proofs; and a vertex is a vertex."""

from __future__ import annotations

import sys
import warnings
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linprog as highs
from scipy.sparse import csr_array, vstack

from numsolve import ConvergenceWarning, Status, monotone
from numsolve._core.limits import Limits
from numsolve.monotone.lp._program import prepare
from numsolve.monotone.lp.presolve import Presolve

INF = np.inf


def random_program(seed):
    """A small program of integers, with rows and bounds of every kind; it need not have a solution."""
    rng = np.random.default_rng(seed)
    m, n = rng.integers(1, 9, 2)
    A = rng.integers(-2, 3, (m, n)) * (rng.random((m, n)) < rng.choice([0.3, 0.6, 0.9])) * 1.0
    if m > 2 and rng.random() < 0.5:
        A[-1] = A[0] * rng.choice([1.0, -2.0, 0.5])
    x = rng.integers(-2, 3, n)
    ax = A @ x if rng.random() < 0.7 else rng.integers(-3, 4, m)
    kind, slack = rng.integers(0, 5, m), rng.integers(0, 3, m)
    lc = np.choose(kind, [ax, np.full(m, -INF), ax - slack, ax - slack, np.full(m, -INF)])
    uc = np.choose(kind, [ax, ax + slack, np.full(m, INF), ax + slack, np.full(m, INF)])
    kind, slack = rng.integers(0, 6, n), np.where(rng.random(n) < 0.2, 10**6, rng.integers(0, 3, n))
    lx = np.choose(kind, [np.full(n, -INF), x - slack, np.full(n, -INF), x - slack, x, x - 1.0])
    ux = np.choose(kind, [np.full(n, INF), np.full(n, INF), x + slack, x + slack, x, x + 1.0])
    return rng.integers(-2, 3, n) * 1.0, A, lc, uc, lx, ux


def by_highs(c, A, lc, uc, lx, ux):
    """SciPy's result and the multipliers of the rows."""
    A, equal = csr_array(A), lc == uc
    low, high = np.isfinite(lc) & ~equal, np.isfinite(uc) & ~equal
    rows, right = vstack([A[high], -A[low], A[:1] * 0]), np.concatenate([uc[high], -lc[low], [0.0]])
    A_eq = A[equal] if equal.any() else None
    result = highs(c, rows, right, A_eq, uc[equal] if equal.any() else None, np.stack([lx, ux], axis=1))
    y = np.zeros(len(lc))
    if result.status == 0:
        marginals = result.ineqlin.marginals
        y[high] += marginals[: high.sum()]
        y[low] -= marginals[high.sum() : -1]
        y[equal] = result.eqlin.marginals
    return result, y


def small(lp):
    """The fields of a presolved program, and the way back."""
    presolve = Presolve(prepare(*lp), Limits())
    p = presolve.program
    return presolve, (p.c, p.A, p.lc, p.uc, p.lx, p.ux)


def solve(lp, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return monotone.solve_lp(*lp, presolve=True, **settings)


def test_the_optimum_of_the_small_program_and_its_multipliers_are_those_of_the_large_one(residuals):
    """Solved by HiGHS in between, so that nothing is left but what presolve and postsolve do."""
    compared = 0
    for seed in range(150):
        lp = random_program(seed)
        presolve, part = small(lp)
        whole, _ = by_highs(*lp)
        if whole.status or presolve.ray is not None or 0 in part[1].shape:
            continue
        result, y = by_highs(*part)
        assert result.status == 0
        x, y = presolve.point(result.x), presolve.multipliers(y)
        compared += 1
        assert lp[0] @ x == pytest.approx(whole.fun, abs=1e-8)
        assert max(residuals(*lp, x, y)) < 1e-8
        ax, r = lp[1] @ x, lp[0] - lp[1].T @ y
        for v, multiplier, low, high in ((ax, y, lp[2], lp[3]), (x, r, lp[4], lp[5])):
            assert (abs(v - low)[multiplier > 1e-8] < 1e-7).all()
            assert (abs(v - high)[multiplier < -1e-8] < 1e-7).all()
    assert compared > 40


def test_verdicts_and_values_are_those_of_highs():
    seen = set()
    for seed in range(150):
        lp = random_program(seed)
        result, _ = by_highs(*lp)
        status = Status(result.status) if result.status in {0, 2, 3} else None
        if status is not Status.CONVERGED:  # HiGHS may not settle which of the two it is
            feasible, _ = by_highs(0 * lp[0], *lp[1:])
            status = Status.INFEASIBLE if feasible.status == 2 else Status.UNBOUNDED
        ours = solve(lp, maxiter=50_000)
        assert ours.status is status, seed
        seen.add(status)
        if status is Status.CONVERGED:
            assert ours.fun == pytest.approx(result.fun, rel=1e-5, abs=1e-5)
    assert len(seen) == 3


BOX = (0.0, 3.0)
REDUCTIONS = {
    "an empty row": (([1, 1], [[0, 0], [1, 1]], [-1, 1], [1, INF], *BOX), (1, 2)),
    "a singleton row": (([-1, -1], [[2, 0], [1, 1]], [-INF, -INF], [3, 4], *BOX), (1, 2)),
    "a forcing row": (([-1, -1, -1], [[1, 1, 0], [1, 0, 1]], [6, -INF], [INF, 5], *BOX), (0, 0)),
    "duplicate rows": (([-1, -2], [[1, 1], [-2, -2]], [-INF, -6], [4, INF], *BOX), (1, 2)),
    "a fixed column": (([-1, -2, -1], [[1, 1, 1]], [-INF], [4], [0, 0, 1], [3, 3, 1]), (1, 2)),
    "a column that only costs": (([-1, -2, 1], [[1, 1, 1]], [-INF], [4], *BOX), (1, 2)),
    # the third column allows multipliers from -1 on: -3 - 2 y < 0 for the second, 5 + 2 y > 0 for the last
    "a dominated column": (([-1, -3, 1, 5], [[1, 2, -1, -2]], [0], [0], 0, [3, 3, INF, 3]), (1, 2)),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_each_reduction_is_done_and_undone(name, residuals):
    lp, shape = REDUCTIONS[name]
    m, n = np.shape(lp[1])
    lp = (*(np.array(v, float) for v in lp[:4]), *(np.broadcast_to(np.array(v, float), n) for v in lp[4:]))
    _, part = small(lp)
    assert part[1].shape == shape
    r = solve(lp, tol=1e-9)
    assert r.success
    assert r.fun == pytest.approx(by_highs(*lp)[0].fun, abs=1e-7)
    assert r.x.shape == (n,)
    assert r.y.shape == (m,)
    assert max(residuals(*lp, r.x, r.y)) < 1e-8


def contradiction(n):
    """x_1 >= 1, x_(i+1) >= 2 x_i and x_n below 2^(n-1): no row alone is at fault."""
    A = np.eye(n) - 2 * np.eye(n, k=-1)
    lc = np.eye(n)[0]
    return np.ones(n), A, lc, np.full(n, INF), np.zeros(n), np.append(np.full(n - 1, 1e6), 2.0 ** (n - 1) - 1)


@pytest.mark.parametrize("presolve", [True, False])
def test_implied_bounds_that_contradict_each_other_are_a_proof_in_rationals(presolve):
    _, A, lc, uc, lx, ux = lp = contradiction(12)
    with pytest.warns(ConvergenceWarning, match="no feasible point"):
        r = monotone.solve_lp(*lp, presolve=presolve)
    assert r.status is Status.INFEASIBLE
    y = [Fraction(v) for v in r.certificate]
    least = sum(v * Fraction(b) for v, b in zip(y, np.where(r.certificate > 0, lc, uc), strict=True) if v)
    for j in range(12):
        reduced = -sum(Fraction(A[i, j]) * y[i] for i in range(12))
        least += reduced * Fraction((lx if reduced > 0 else ux)[j])
    assert least > 0
    assert r.nit == 0 if presolve else r.nit <= 1024


def test_a_run_that_does_not_end_looks_for_a_contradiction_once():
    """Equations whose scales are far apart: the iteration alone sees no ray in any time."""
    n = 40
    scale = 10.0 ** np.random.default_rng(0).integers(-3, 4, n)
    c, A, lc, uc, lx, ux = contradiction(n)
    lp = (c, A * scale[:, None], lc * scale, uc, lx, np.append(np.full(n - 1, INF), ux[-1]))
    for callback in (None, lambda x: False):
        with pytest.warns(ConvergenceWarning, match="no feasible point"):
            r = monotone.solve_lp(*lp, callback=callback, maxiter=2000)
        assert r.nit <= 1024


def test_wide_boxes_cost_no_iterations():
    rng = np.random.default_rng(0)
    lp = (-rng.random(30), rng.random((20, 30)), np.full(20, -INF), np.ones(20))
    free = monotone.solve_lp(*lp, lx=0)
    wide = solve((*lp, 0, 1e9))
    assert wide.success
    assert wide.nit <= free.nit
    assert wide.fun == pytest.approx(free.fun, rel=1e-5)
    assert monotone.solve_lp(*lp, lx=0, ux=1e9).nit > wide.nit


def test_callbacks_warm_starts_and_limits_see_the_whole_program(program):
    lp, _ = REDUCTIONS["a singleton row"]
    seen = []
    r = solve(lp, callback=lambda x: seen.append(x.copy()))
    assert {x.shape for x in seen} == {(2,)}
    assert solve(lp, x0=r).nit == 0
    few = solve(program(15, 20, 0), maxiter=2)
    assert (few.status, few.nit, few.x.shape) == (Status.MAXITER, 2, (20,))
    assert solve(lp, time_limit=0.0).status in {Status.TIME_LIMIT, Status.CONVERGED}


def test_linprog_takes_the_option():
    r = monotone.linprog([-1, -1], [[1, 0], [0, 1]], [1, 2], options={"presolve": True})
    assert (r.nit, r.success) == (0, True)
    np.testing.assert_allclose(r.x, [1, 2])
    np.testing.assert_allclose(r.ineqlin.marginals, [-1, -1])


def test_what_rounding_moved_does_not_turn_the_weight():
    """Here y moves by a rounding error before the first restart, and x by one."""
    A = np.array([[1.0, -1.0, 2.0], [-2.0, -2.0, -2.0], [1.0, -1.0, 0.0], [-1.0, 0.0, 1.0]])
    lp = ([-1.0, -2.0, -1.0], A, [-2, -INF, -2, 0], [-2, 6, INF, 0], [-INF, -3, -2], [0, 1, 0])
    r = monotone.solve_lp(*lp)
    assert r.success
    assert r.nit < 500
    assert r.fun == pytest.approx(-4 / 3, abs=1e-5)
    batch = monotone.solve_lp(np.array([lp[0], lp[0]]), *lp[1:])
    assert batch.success.all()
    assert (batch.nit < 500).all()


def test_a_vertex_is_a_vertex(netlib, residuals):
    """As many independent bounds are active as there are variables, and all digits are right."""
    pytest.importorskip("highspy")
    face = ([1.0, 1.0, 1.0], np.ones((1, 3)), [1.0], [1.0], 0.0, INF)  # every point is optimal
    for given, presolve in (
        (face, False),
        (face, True),
        (netlib("adlittle"), False),
        (netlib("stair"), True),
    ):
        c, A, *rest = given
        sizes = np.repeat(A.shape, 2)
        lp = (np.array(c), A, *(np.broadcast_to(v, k) for v, k in zip(rest, sizes, strict=True)))
        r = monotone.solve_lp(*lp, polish="basic", presolve=presolve)
        assert r.success
        assert max(residuals(*lp, r.x, r.y)) < 1e-9
        ax, A = A @ r.x, csr_array(A).toarray()

        def on(v, low, high):
            return np.isclose(v, low, rtol=1e-9, atol=1e-9) | np.isclose(v, high, rtol=1e-9, atol=1e-9)

        active = A[on(ax, lp[2], lp[3])][:, ~on(r.x, lp[4], lp[5])]
        scales = np.linalg.norm(active, axis=0)
        assert np.linalg.matrix_rank(active / scales) == active.shape[1]
        assert "vertex" in r.message


def test_a_vertex_needs_highspy(monkeypatch):
    monkeypatch.setitem(sys.modules, "highspy", None)
    with pytest.raises(ModuleNotFoundError, match='polish="basic" needs the package highspy'):
        monotone.solve_lp([1.0], [[1.0]], 1.0, polish="basic")
