"""Programs whose residuals drown in rounding, or in which only x moves for long: solved, and judged."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linprog as highs

from numsolve import monotone
from numsolve._core.result import ConvergenceWarning, Status
from numsolve.monotone.lp._program import prepare
from numsolve.monotone.lp._refine import refined

INF = float("inf")


def solve(lp, kind, **settings):
    """Success, objective, x and iterations, by the kernel or as a batch of one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if kind == "single":
            r = monotone.solve_lp(*lp, **settings)
            return r.success, r.fun, r.x, r.nit
        r = monotone.solve_lp(lp[0][None], *lp[1:], **settings)
        return r.success[0], r.fun[0], r.x[0], r.nit[0]


@pytest.mark.parametrize("kind", ["single", "batch"])
@pytest.mark.parametrize("spread", [1e2, 1e5, 1e8])
def test_a_cost_far_above_the_others_does_not_slow_them(spread, kind):
    """The least x + spread y where 3x + 2y >= -6.6, 2x >= -3 and y >= -1 is -1.5 - spread."""
    c, A = np.array([1.0, spread]), np.array([[3.0, 2.0], [2.0, 0.0]])
    lp = (c, A, np.array([-6.6, -3.0]), np.full(2, INF), np.array([-INF, -1.0]), np.full(2, INF))
    success, _, x, nit = solve(lp, kind)
    assert success
    assert nit < 1000
    assert x == pytest.approx([-1.5, -1.0], abs=1e-5)


def random_program(rng):
    """Two or three variables, up to three rows, feasible."""
    n, m = rng.integers(2, 4), rng.integers(1, 4)
    A = rng.integers(-3, 4, (m, n)).astype(float) if rng.random() < 0.5 else rng.normal(size=(m, n))
    low = np.where(rng.random(n) < 0.3, -INF, -rng.integers(0, 3, n))
    high = np.where(rng.random(n) < 0.5, INF, rng.integers(1, 4, n))
    b = A @ np.clip(rng.normal(size=n), low, high)
    lc = np.where(rng.random(m) < 0.5, -INF, b - rng.exponential(size=m) * (rng.random(m) < 0.6))
    uc = np.where(rng.random(m) < 0.4, INF, b + rng.exponential(size=m) * (rng.random(m) < 0.6))
    return rng.normal(size=n), A, lc, uc, low, high


def by_highs(lp):
    """The optimal value; None if there is none."""
    c, A, lc, uc, low, high = lp
    up, down = np.isfinite(uc), np.isfinite(lc)
    rows, right = np.vstack([A[up], -A[down]]), np.concatenate([uc[up], -lc[down]])
    r = highs(c, rows, right, bounds=np.stack([low, high], axis=1))
    return r.fun if r.status == 0 else None


def violation(A, lc, uc, x):
    """By how much each row is missed, in exact arithmetic, over the sizes of its terms and one."""
    exact = [Fraction(v) for v in x.tolist()]
    for row, low, high in zip(A.tolist(), lc.tolist(), uc.tolist(), strict=True):
        terms = [Fraction(a) * v for a, v in zip(row, exact, strict=True)]
        missing = max(Fraction(low) - sum(terms) if low > -INF else 0, 0)
        missing = max(sum(terms) - Fraction(high) if high < INF else 0, missing)
        yield float(missing / (1 + sum(map(abs, terms))))


@pytest.mark.parametrize("kind", ["single", "batch"])
@pytest.mark.parametrize("what", ["costs", "boxes"])
def test_programs_of_a_few_variables_are_solved(what, kind):
    """With costs 1e5 apart, and in boxes of 1e12, in which x is exact and its residuals are not."""
    rng, solved = np.random.default_rng(5 if what == "costs" else 7), 0
    for _ in range(60 if kind == "single" else 25):
        c, A, lc, uc, low, high = random_program(rng)
        if what == "costs":
            c = c * np.where(rng.random(c.size) < 0.5, 1e5, 1.0)
        else:
            high = np.where(rng.random(c.size) < 0.7, 1e12, high)
            low = np.where(rng.random(c.size) < 0.3, -1e12, low)
        lp = (c, A, lc, uc, low, high)
        if (value := by_highs(lp)) is None:
            continue
        success, fun, x, _ = solve(lp, kind, maxiter=20_000)
        assert success
        assert fun == pytest.approx(value, rel=1e-5, abs=1e-5)
        assert max(violation(A, lc, uc, x)) < 1e-5
        assert (low <= x).all()
        assert (x <= high).all()
        solved += 1
    assert solved > (30 if kind == "single" else 12)


def test_a_wrong_guess_of_what_is_active_is_thrown_away():
    """At (0, 0) with multipliers of zero nothing speaks for the optimum (2, 6)."""
    lp = prepare([-3.0, -5.0], [[1.0, 2.0], [3.0, 2.0]], None, [14.0, 18.0], 0.0, None)
    assert refined(lp, np.zeros(2), np.zeros(2), 1e-6) is None
    x, y, quality = refined(lp, np.array([1.9, 6.2]), np.array([-2.2, -0.3]), 1e-12)
    np.testing.assert_allclose(x, [2.0, 6.0], rtol=1e-15)
    np.testing.assert_allclose(y, [-2.25, -0.25], rtol=1e-15)
    assert quality["residual"] < 1e-15


def test_a_few_steps_remain_a_few_steps():
    """The iteration limit returns an iterate: it is not a way into a direct method."""
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        r = monotone.solve_lp([-3.0, -5.0], [[1.0, 2.0], [3.0, 2.0]], uc=[14.0, 18.0], lx=0.0, maxiter=2)
    assert r.status is Status.MAXITER


@pytest.mark.parametrize("seed", [2, 5, 29])
def test_a_batch_says_what_a_single_program_says(seed):
    """A residual above the tolerance is at the level of rounding at best."""
    rng = np.random.default_rng(seed)
    A, x, y = rng.standard_normal((2, 3)), rng.standard_normal(3), rng.standard_normal(2)
    bounds = A, A @ x, A @ x, -1e12, 1e12
    one = monotone.solve_lp(A.T @ y, *bounds, tol=1e-8)
    both = monotone.solve_lp(np.stack([A.T @ y, 2 * (A.T @ y)]), *bounds, tol=1e-8)
    assert both.status[0] == one.status
    assert ((both.status == Status.CONVERGED) <= (both.residual <= 1.01e-8)).all()
