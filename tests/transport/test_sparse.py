"""Sparsity-constrained transport: references, certificates, the published route and its defect, rounding."""

from __future__ import annotations

import contextlib
import io
import warnings
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from numsolve import transport
from numsolve._core.result import ConvergenceWarning, Status

C = np.random.default_rng(7).random((10, 10))
#: Values of C with uniform weights and reg = 1/2, by a conic solver on the perspective form.
CONIC = {1: 0.145203110, 2: 0.141046900, 10: 0.140721674}


def solve(a, b, M, reg, k, **kw):
    return transport.sparsity_constrained(a, b, M, reg, k, **kw)


def quietly(*args, **kw):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return solve(*args, **kw)


def bound(f, a, b, M, reg, k):
    """The published semi-dual at f: columns by bisection on their k best entries."""
    total = float(a @ f)
    for j in range(M.shape[1]):
        v = np.sort(f - M[:, j])[::-1][:k]
        low, high = -v[0], b[j] * reg - v[0] + 1e-300
        for _ in range(200):
            g = (low + high) / 2
            low, high = (g, high) if np.maximum(v + g, 0).sum() < reg * b[j] else (low, g)
        t = np.maximum(v + high, 0) / reg
        total -= v @ t - reg / 2 * t @ t
    return total


@pytest.mark.parametrize("k", CONIC)
def test_values_of_a_conic_solver(k):
    r = solve(None, None, C, 0.5, k)
    assert r.success
    assert r.value == pytest.approx(CONIC[k], abs=1e-8)
    assert r.marginal_error <= 1e-8


@pytest.mark.parametrize("reg", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("name", ["assignment 40", "rectangular 30x17", "densities-L2 60", "densities-L1 60"])
def test_exact_marginals_and_a_certified_value(problem, error, name, k, reg):
    M, a, b = problem(name)
    r = solve(a, b, M, reg, k)
    assert r.success
    assert error(r.plan, a, b) <= 1e-8
    assert r.value == pytest.approx(bound(r.potentials[0], a, b, M, reg, k), rel=1e-9)
    # the value of the relaxed problem at the plan: that of the k-support norm, from its definition
    norm = sum(support_norm(column, k) for column in r.plan.T)
    relaxed = np.vdot(r.plan, M) + reg / 2 * norm
    scale = relaxed - M.min()
    assert relaxed == pytest.approx(r.value, abs=3e-8 * scale)
    assert r.gap == pytest.approx(np.vdot(r.plan, M) + reg / 2 * np.sum(r.plan**2) - r.value, abs=1e-12)
    assert r.nnz_max == (r.plan > 0).sum(axis=0).max()


def support_norm(t, k):
    s = np.sort(t)[::-1]
    for i in range(k):  # i entries have eta = 1
        rest = s[i:].sum()
        if (i == 0 or s[i - 1] * (k - i) >= rest - 1e-15) and s[i] * (k - i) <= rest + 1e-15:
            return s[:i] @ s[:i] + rest**2 / (k - i)
    return s @ s


@pytest.mark.parametrize("name", ["assignment 12", "assignment 40"])
@pytest.mark.parametrize("reg", [0.01, 3.0])
def test_one_entry_is_the_exact_assignment(problem, name, reg):
    M, a, b = problem(name)
    rows, columns = linear_sum_assignment(M)
    r = solve(a, b, M, reg, 1)
    assert r.value == pytest.approx(M[rows, columns].sum() / len(a) + reg / 2 * b @ b, rel=1e-7)


@pytest.mark.parametrize("k", [30, 31, 1000])
def test_no_limit_is_quadratic_transport(problem, k):
    M, a, b = problem("rectangular 30x17")
    r, q = solve(a, b, M, 0.3, k), transport.quadratic(a, b, M, 0.3)
    np.testing.assert_allclose(r.plan, q.plan, atol=1e-9)
    assert r.value == pytest.approx(q.value, rel=1e-9)


def test_the_value_falls_with_k(problem):
    M, a, b = problem("densities-L2 60")
    values = [solve(a, b, M, 1.0, k).value for k in (1, 2, 4, 8, 16, 60)]
    assert all(np.diff(values) <= 1e-10)


def test_the_value_bounds_the_constrained_problem():
    rng = np.random.default_rng(5)
    M, reg, k = rng.random((4, 3)), 2.0, 2
    a, b = np.full(4, 0.25), np.full(3, 1 / 3)
    best = np.inf
    for pairs in np.ndindex(6, 6, 6):
        mask = np.full(M.shape, np.inf)
        for j, choice in enumerate(pairs):
            for i in list(combinations(range(4), 2))[choice]:
                mask[i, j] = M[i, j]
        if np.isinf(mask).all(axis=1).any():
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            r = transport.quadratic(a, b, mask, reg)
        if r.success:
            best = min(best, r.value)
    r = solve(a, b, M, reg, k)
    rounded = solve(a, b, M, reg, k, rounding="support")
    assert r.value <= best + 1e-9
    assert rounded.nnz_max <= k
    assert rounded.value + rounded.gap >= best - 1e-8


def test_invariances(problem):
    M, a, b = problem("rectangular 30x17")
    r = solve(a, b, M, 0.5, 3)
    rows = solve(b, a, M.T, 0.5, 3, axis=1)
    np.testing.assert_allclose(rows.plan.T, r.plan, atol=1e-12)
    np.testing.assert_allclose(rows.potentials[1], r.potentials[0])
    order = np.random.default_rng(0).permutation(17)
    permuted = solve(a, b[order], M[:, order], 0.5, 3)
    assert permuted.value == pytest.approx(r.value, rel=1e-8)
    scaled = solve(4 * a, 4 * b, 10 * M, 0.5 * 10 / 4, 3)
    assert scaled.value == pytest.approx(40 * r.value, rel=1e-8)
    shifted = solve(a, b, M + 1e3 + np.arange(17), 0.5, 3)
    assert shifted.value == pytest.approx(r.value + 1e3 + b @ np.arange(17), rel=1e-10)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 7),
    st.integers(0, 10**6),
    st.sampled_from([0.01, 0.5, 20.0]),
)
def test_any_small_problem(n, m, k, seed, reg):
    rng = np.random.default_rng(seed)
    M = np.round(rng.random((n, m)), 1)  # with ties
    a, b = rng.integers(0, 4, n).astype(float), rng.integers(0, 4, m).astype(float)
    a[0], b[0] = a[0] + 1, b[0] + 1
    a, b = a / a.sum(), b / b.sum()
    r = solve(a, b, M, reg, k)
    assert r.success
    assert abs(r.plan.sum(axis=1) - a).sum() + abs(r.plan.sum(axis=0) - b).sum() <= 1e-8
    norm = sum(support_norm(column, min(k, n)) for column in r.plan.T)
    relaxed = np.vdot(r.plan, M) + reg / 2 * norm
    off = (r.plan.sum(axis=1) - a)[a > 0] @ r.potentials[0][a > 0]  # what the plan's own rows are worth more
    assert r.value + off - 1e-10 <= relaxed <= r.value + 1e-6 * (relaxed - M.min()) + 1e-12


# -- the published route ---------------------------------------------------------------------------


@pytest.mark.parametrize("formulation", ["dual", "semidual"])
@pytest.mark.parametrize("k", [1, 2, 9, 10, 20])
def test_published_formulations_stay_below_and_come_near(formulation, k):
    r, p = solve(None, None, C, 0.5, k), quietly(None, None, C, 0.5, k, formulation=formulation)
    assert p.value <= r.value + 1e-9
    assert p.value == pytest.approx(r.value, rel=2e-3)


@pytest.mark.parametrize("formulation", ["dual", "semidual"])
def test_their_plan_misses_the_marginals_at_ties(problem, error, formulation):
    M, a, b = problem("assignment 200")
    with pytest.warns(ConvergenceWarning):
        published = solve(a, b, M, 1.0, 2, formulation=formulation)
    assert not published.success
    assert error(published.plan, a, b) > 1e-2
    assert published.marginal_error == pytest.approx(error(published.plan, a, b), rel=1e-9)
    r = solve(a, b, M, 1.0, 2)
    assert error(r.plan, a, b) <= 1e-8
    assert published.value < r.value
    assert (published.plan > 0).sum(axis=0).max() <= 2


@pytest.mark.parametrize("formulation", ["dual", "semidual"])
def test_pot_stops_at_the_same_place(problem, error, formulation):
    ot = pytest.importorskip("ot")
    M, a, b = problem("assignment 40")
    function = ot.smooth.smooth_ot_dual if formulation == "dual" else ot.smooth.smooth_ot_semi_dual
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        P, log = function(a, b, M, 1.0, reg_type="sparsity_constrained", max_nz=2, numItermax=1000, log=True)
    r = solve(a, b, M, 1.0, 2)
    value = -log["res"].fun
    assert value <= r.value + 1e-9
    assert value == pytest.approx(r.value, rel=2e-2)
    assert error(P, a, b) > 1e-2
    ours = quietly(a, b, M, 1.0, 2, formulation=formulation)
    assert ours.value == pytest.approx(value, rel=1e-2)


def test_the_published_routes_stop_as_other_solvers_do(problem):
    M, a, b = problem("rectangular 30x17")
    seen = []
    r = quietly(a, b, M, 1.0, 2, formulation="semidual", maxiter=4, callback=seen.append)
    assert r.status is Status.MAXITER
    assert r.nit == 4
    assert len(seen) == 4
    assert solve(a, b, M, 1.0, 2, formulation="dual", callback=lambda x: True).status is Status.STOPPED


# -- rounding --------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("name", ["assignment 40", "rectangular 30x17", "rectangular 8x50"])
def test_rounded_plans_keep_the_limit_and_say_what_they_leave(problem, name, k):
    M, a, b = problem(name)
    r = quietly(a, b, M, 1.0, k, rounding="support")
    assert r.nnz_max <= k
    assert r.nnz_max == (r.plan > 0).sum(axis=0).max()
    missing = 1 - r.plan.sum()
    assert r.unplaced_mass == pytest.approx(missing, abs=1e-7)
    assert (r.plan.sum(axis=1) <= a + 1e-7).all()
    assert (r.plan.sum(axis=0) <= b + 1e-7).all()
    if r.unplaced_mass == 0:
        assert r.success
        assert r.marginal_error <= 1e-8
        assert r.gap >= -1e-9
    else:
        assert r.status is Status.INFEASIBLE
        assert r.marginal_error == pytest.approx(2 * missing, rel=1e-5)


def test_a_heavy_column_and_light_rows():
    # one column takes half of all mass and may use two of ten rows: eight tenths of its mass has no place
    a, b = np.full(10, 0.1), np.array([0.5, *[0.5 / 9] * 9])
    M = np.random.default_rng(0).random((10, 10))
    with pytest.warns(ConvergenceWarning, match="unplaced"):
        r = solve(a, b, M, 1.0, 2, rounding="support")
    assert r.status is Status.INFEASIBLE
    assert r.unplaced_mass >= 0.3 - 1e-9
    assert r.plan[:, 0].sum() <= 0.2 + 1e-9
    assert solve(a, b, M, 1.0, 2).marginal_error <= 1e-8


def test_a_plan_within_the_limit_is_left_alone(problem):
    M, a, b = problem("rectangular 30x17")
    r = solve(a, b, M, 0.01, 20, rounding="support")
    np.testing.assert_array_equal(r.plan, solve(a, b, M, 0.01, 20).plan)
    assert abs(r.gap) < 1e-9


# -- bad and odd input -----------------------------------------------------------------------------

GOOD = {"a": [0.2, 0.3, 0.5], "b": [0.25] * 4, "M": np.random.default_rng(0).random((3, 4)), "reg": 0.1}
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("call", [transport.quadratic, lambda **kw: solve(**{"k": 2, **kw})], ids=["q", "s"])
@pytest.mark.parametrize(
    ("change", "kind", "fragment"),
    [
        ({"reg": 0}, ValueError, "reg must be a finite number above 0"),
        ({"reg": NAN}, ValueError, "reg must be"),
        ({"reg": 1e-18}, ValueError, "below the rounding errors"),
        ({"a": [0.5, -0.1, 0.6]}, ValueError, "a must be at least 0"),
        ({"a": [0.4, 0.6, 1.0]}, ValueError, "same sum"),
        ({"b": [0.5, 0.5]}, ValueError, "b must have shape"),
        ({"M": np.ones(4)}, ValueError, "M must be 2-D"),
        ({"M": np.full((3, 4), NAN)}, ValueError, "M must hold"),
        ({"M": np.full((3, 4), INF)}, ValueError, "M forbids every pair"),
        ({"M": np.ones((3, 4)) * 1j}, TypeError, "M is complex"),
        ({"M": np.ones((0, 4)), "a": []}, ValueError, "M is empty"),
        ({"tol": -1.0}, ValueError, "tol must be"),
        ({"maxiter": -1}, ValueError, "maxiter must be"),
        ({"potentials_init": np.zeros(7)}, ValueError, "must be a pair"),
        ({"potentials_init": (np.zeros(4), np.zeros(3))}, ValueError, "must have shape"),
        ({"callback": "print"}, TypeError, "callback must be callable"),
    ],
)
def test_bad_input(call, change, kind, fragment):
    with pytest.raises(kind, match=fragment):
        call(**{**GOOD, **change})


@pytest.mark.parametrize(
    ("change", "kind", "fragment"),
    [
        ({"k": 0}, ValueError, "max_nz must be an integer at least 1, got 0"),
        ({"k": 1.5}, ValueError, "max_nz must be an integer, got 1.5"),
        ({"k": "2"}, TypeError, "max_nz must be an integer"),
        ({"k": True}, TypeError, "max_nz must be an integer"),
        ({"formulation": "primal"}, ValueError, "formulation must be one of 'perspective'"),
        ({"rounding": "greedy"}, ValueError, "rounding must be one of 'support'"),
        ({"axis": 2}, ValueError, "axis must be an integer at least 0 and at most 1"),
    ],
)
def test_bad_settings(change, kind, fragment):
    with pytest.raises(kind, match=fragment):
        solve(**{"k": 2, **GOOD, **change})


def test_arrays_of_other_libraries_are_refused():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match="NumPy's: bring the data to the host"):
        transport.quadratic(None, None, strict.asarray(GOOD["M"]), 0.1)


def test_zero_weights_and_forbidden_pairs(problem):
    M = np.array(problem("rectangular 8x50")[0])
    a, b = np.ones(8), np.ones(50)
    a[3] = b[7] = b[9] = 0
    a, b = a / a.sum(), b / b.sum()
    M[0, ::2] = np.inf
    r = solve(a, b, M, 0.5, 3)
    assert r.success
    assert (r.plan[3] == 0).all()
    assert (r.plan[:, [7, 9]] == 0).all()
    assert (r.plan[0, ::2] == 0).all()
    assert r.marginal_error <= 1e-8
    assert r.potentials[0][3] == -np.inf


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
def test_sides_of_one(shape):
    M = np.random.default_rng(0).random(shape)
    r = solve(None, None, M, 1.0, 1)
    assert r.success
    np.testing.assert_allclose(r.plan, np.full(shape, 1 / max(shape)), atol=1e-9)


@pytest.mark.slow
def test_images(problem, error):
    M, a, b = problem("images-L2")
    for k, reg in ((1, 1.0), (2, 1.0), (2, 100.0), (10, 0.01)):
        r = solve(a, b, M, reg, k)
        assert r.success
        assert error(r.plan, a, b) <= 1e-8
        assert r.value == pytest.approx(bound(r.potentials[0], a, b, M, reg, k), rel=1e-9)


@pytest.mark.parametrize("reg", [1e300, 1e307, 1e308])
def test_costs_of_nothing_beside_the_regularisation_spread_the_mass(reg):
    # what is left is the least norm of columns with two places: b_j^2 / 2 each, for marginals that allow it
    M = np.random.default_rng(0).random((6, 6))
    r = transport.sparsity_constrained(None, None, M, reg, 2)
    assert r.success
    assert r.value / reg == pytest.approx(0.5 * 6 * (1 / 36) / 2, rel=1e-6)
