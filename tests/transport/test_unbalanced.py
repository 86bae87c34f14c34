"""Unbalanced transport: optimality, agreement with POT, limits, derivatives, and bounds."""

from __future__ import annotations

import math
import warnings

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numsolve import ConvergenceWarning, transport

INF = math.inf
METHODS = {
    "newton": lambda M, a, b, reg, rho, **k: transport.solve(M, a, b, reg, unbalanced=rho, **k),
    "sinkhorn": lambda M, a, b, reg, rho, **k: transport.sinkhorn_unbalanced(a, b, M, reg, rho, **k),
}


@pytest.fixture(params=METHODS.values(), ids=METHODS.keys())
def solve(request):
    return request.param


def data(n=12, m=17, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((n, m)), 3 * rng.random(n) + 0.1, rng.random(m) + 0.1


def kl(p, q):
    return np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1) / q), 0) - p + q)


def objective(P, M, a, b, reg, rho):
    penalty = sum(x * kl(p, q) for x, p, q in zip(rho, (P.sum(1), P.sum(0)), (a, b), strict=True) if x < INF)
    return np.vdot(P, M) + reg * kl(P, np.outer(a, b)) + penalty


@pytest.mark.parametrize("shape", [(12, 17), (17, 12), (1, 5), (5, 1), (1, 1)])
@pytest.mark.parametrize("rho", [(1.0, 1.0), (0.3, 4.0), (INF, 0.5), (0.5, INF)])
def test_the_conditions_of_optimality_hold(solve, shape, rho):
    # they determine the plan: the objective is strictly convex
    M, a, b = data(*shape)
    reg = 0.05
    r = solve(M, a, b, reg, rho)
    assert r.success
    f, g = r.potentials
    u, v = f - reg * np.log(a), g - reg * np.log(b)
    P = r.plan
    np.testing.assert_allclose(P, np.outer(a, b) * np.exp((u[:, None] + v - M) / reg), rtol=1e-10)
    scale = np.sqrt(a.sum() * b.sum())
    assert np.abs(P.sum(1) - a * np.exp(-u / rho[0])).sum() <= 2e-9 * scale
    assert np.abs(P.sum(0) - b * np.exp(-v / rho[1])).sum() <= 2e-9 * scale
    assert r.value == pytest.approx(objective(P, M, a, b, reg, rho), rel=1e-12)
    assert r.value_linear == pytest.approx(np.vdot(P, M), rel=1e-12)
    assert r.kl == pytest.approx(np.sum(P * np.log(P / np.outer(a, b))), rel=1e-9)


@pytest.mark.parametrize("reg", [0.1, 0.02])
@pytest.mark.parametrize("rho", [1.0, (0.3, 4.0), (0.5, INF), (INF, 0.5)])
def test_the_plan_is_that_of_pot(solve, reg, rho):
    M, a, b = data()
    theirs = ot.unbalanced.sinkhorn_unbalanced(
        a, b, M, reg, rho, reg_type="kl", numItermax=100_000, stopThr=1e-15
    )
    np.testing.assert_allclose(solve(M, a, b, reg, rho).plan, theirs, atol=1e-8)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 15), st.integers(1, 15)),
    reg=st.sampled_from([1.0, 0.05, 2e-3, 1e-4]),
    rho=st.tuples(*[st.sampled_from([0.01, 0.3, 5.0, 1e3])] * 2),
    masses=st.tuples(*[st.sampled_from([1e-2, 1.0, 1e3])] * 2),
    seed=st.integers(0, 2**16),
)
def test_newton_converges_to_a_plan_within_its_bounds(shape, reg, rho, masses, seed):
    rng = np.random.default_rng(seed)
    M, a, b = rng.random(shape), masses[0] * rng.random(shape[0]), masses[1] * rng.random(shape[1])
    r = transport.solve(M, a, b, reg, unbalanced=rho)
    assert r.success, r
    low, high = r.bounds
    assert low <= high * (1 + 1e-12)
    # the plan is feasible for the problem without entropy, and nothing beats the dual value
    P = r.plan
    without = objective(P, M, a, b, 0.0, rho)
    assert high == pytest.approx(without, rel=1e-10, abs=1e-13)
    better = P * np.exp(rng.normal(size=P.shape))
    assert objective(better, M, a, b, reg, rho) >= r.value * (1 - 1e-9) - 1e-12
    assert objective(better, M, a, b, 0.0, rho) >= low * (1 - 1e-9) - 1e-12


def test_a_high_price_makes_it_balanced():
    M, a, b = data()
    a, b = a / a.sum(), b / b.sum()
    balanced = transport.solve(M, a, b, 0.02).plan
    errors = [
        np.abs(transport.solve(M, a, b, 0.02, unbalanced=rho).plan - balanced).sum()
        for rho in (1e2, 1e4, 1e6)
    ]
    np.testing.assert_allclose(np.array(errors[1:]) / errors[:-1], 1e-2, rtol=0.1)


def test_a_low_price_moves_nothing_but_what_costs_nothing():
    M, a, b = data(5, 5)
    M = M + 1.0
    r = transport.solve(M, a, b, 1e-3, unbalanced=1e-2)
    assert r.plan.sum() < 1e-15
    assert r.value == pytest.approx(1e-2 * (a.sum() + b.sum()) + 1e-3 * a.sum() * b.sum(), rel=1e-9)


def test_newton_takes_few_steps_where_sinkhorn_takes_thousands():
    M, a, b = data(30, 30)
    newton = transport.solve(M, a, b, 1e-3, unbalanced=10.0)
    sinkhorn = transport.sinkhorn_unbalanced(a, b, M, 1e-3, 10.0, maxiter=20_000)
    assert newton.success
    assert newton.nnewton < 40
    assert sinkhorn.nit > 1000
    assert abs(newton.value - sinkhorn.value) < 1e-9 * abs(newton.value)


def test_the_units_do_not_matter(solve):
    M, a, b = data()
    r, s = solve(M, a, b, 0.05, (0.5, 2.0)), solve(1e6 * M, a, b, 0.05e6, (0.5e6, 2e6))
    np.testing.assert_allclose(r.plan, s.plan, atol=1e-9)
    t = solve(M.T, b, a, 0.05, (2.0, 0.5))
    np.testing.assert_allclose(r.plan, t.plan.T, atol=1e-9)


def test_a_start_at_the_solution_is_the_solution(solve):
    M, a, b = data()
    r = solve(M, a, b, 0.05, (0.5, 2.0))
    again = solve(M, a, b, 0.05, (0.5, 2.0), potentials_init=r.potentials, tol=1e-8)
    assert again.nit == 0
    np.testing.assert_allclose(again.plan, r.plan, atol=1e-8)


def test_weights_of_zero_and_forbidden_pairs(solve):
    M, a, b = data(6, 7)
    a[2] = 0.0
    M[0, :5] = INF
    r = solve(M, a, b, 0.05, 1.0)
    assert r.success
    assert not r.plan[2].any()
    assert not r.plan[0, :5].any()
    rows = a > 0
    inner = solve(M[rows], a[rows], b, 0.05, 1.0)
    np.testing.assert_allclose(r.plan[rows], inner.plan, atol=1e-8)


def test_single_precision_stays():
    M, a, b = (x.astype(np.float32) for x in data())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        r = transport.solve(M, a, b, 0.05, unbalanced=1.0)
    assert r.plan.dtype == r.potentials[0].dtype == np.float32
    exact = transport.solve(*(x.astype(float) for x in (M, a, b)), 0.05, unbalanced=1.0).plan
    np.testing.assert_allclose(r.plan, exact, atol=1e-5)


def test_a_run_that_is_cut_short_says_so(solve):
    M, a, b = data()
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        r = solve(M, a, b, 1e-3, 1.0, maxiter=1)
    assert not r.success
    assert np.isfinite(r.plan).all()
    assert r.plan.sum() > 0.1 * np.sqrt(a.sum() * b.sum())


# -- derivatives -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (1, 3)])
@pytest.mark.parametrize("rho", [(1.0, 1.0), (0.3, 4.0), (0.5, INF), (INF, 0.5)])
def test_derivatives_are_slopes(shape, rho):
    M, a, b = data(*shape)
    reg, h = 0.1, 1e-4
    rng = np.random.default_rng(1)
    dM, da, db, Q = (rng.normal(size=s) for s in (shape, shape[0], shape[1], shape))
    p, q = rng.normal(size=shape[0]), rng.normal(size=shape[1])

    def at(t):
        return transport.solve(M + t * dM, a + t * da, b + t * db, reg, unbalanced=rho, tol=1e-13)

    def slope(loss):
        return (8 * (loss(at(h)) - loss(at(-h))) - (loss(at(2 * h)) - loss(at(-2 * h)))) / (12 * h)

    def loss(r):
        return np.vdot(Q, r.plan) + p @ r.potentials[0] + q @ r.potentials[1]

    r = at(0.0)
    for found, expected in (
        (r.gradient(), slope(lambda r: r.value)),
        (r.vjp(Q, potentials=(p, q)), slope(loss)),
    ):
        ours = np.vdot(found.M, dM) + found.a @ da + found.b @ db
        assert ours == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_a_weight_of_zero_leaves_the_other_derivatives_alone(solve):
    M, a, b = data()
    with_zero = np.append(a, 0.0)
    plain = solve(M, a, b, 0.05, 1.0).gradient()
    more = solve(np.vstack([M, M[:1]]), with_zero, b, 0.05, 1.0).gradient()
    np.testing.assert_allclose(more.a[:-1], plain.a, atol=1e-6)
    np.testing.assert_allclose(more.b, plain.b, atol=1e-6)
    assert np.isnan(more.a[-1])


# -- what is refused -------------------------------------------------------------------------------

BAD = {
    "zero": (0.0, ValueError, "{} must be a"),
    "negative": ((1.0, -1.0), ValueError, "{} must be a"),
    "nan": (math.nan, ValueError, "{} must be a"),
    "three": ((1.0, 2.0, 3.0), ValueError, "{} must be a number or a pair of numbers, got 3"),
    "none": ([], ValueError, "{} must be a number or a pair of numbers, got 0"),
    "both infinite": (INF, ValueError, "{} must be finite on one side"),
    "a word": ("much", TypeError, "{} must be a real number"),
    "masked": (np.ma.array([1.0, 2.0], mask=[0, 1]), TypeError, "{} is a masked array"),
}


@pytest.mark.parametrize(("rho", "kind", "fragment"), BAD.values(), ids=BAD.keys())
def test_prices_that_make_no_sense_are_refused_by_the_name_that_the_caller_wrote(rho, kind, fragment):
    M, a, b = data()
    with pytest.raises(kind, match=fragment.format("reg_m")):
        transport.sinkhorn_unbalanced(a, b, M, 0.1, rho)
    for method in ("newton", "sinkhorn"):
        with pytest.raises(kind, match=fragment.format("unbalanced")):
            transport.solve(M, a, b, 0.1, unbalanced=rho, method=method)


@pytest.mark.parametrize(
    "rho", [2, 2.0, np.float32(2), np.int8(2), np.asarray(2.0), [2.0], np.array([2, 2])], ids=repr
)
def test_prices_are_numbers_of_any_kind_or_pairs_of_them(rho):
    M, a, b = data()
    pair = transport.solve(M, a, b, 0.1, unbalanced=(2.0, 2.0))
    assert np.array_equal(transport.solve(M, a, b, 0.1, unbalanced=rho).plan, pair.plan)
    assert transport.sinkhorn_unbalanced(a, b, M, 0.1, rho).reg_m == (2.0, 2.0)


# -- costs far from the prices ---------------------------------------------------------------------


@pytest.mark.parametrize("constant", [-30.0, 0.5, 25.0, 400.0])
def test_a_constant_scales_the_plan(solve, constant):
    M, a, b = data()
    rho, reg = (1.0, 0.5), 0.05
    plain, more = solve(M, a, b, reg, rho), solve(M + constant, a, b, reg, rho)
    assert more.success
    scale = math.exp(-constant / (1.5 + reg))
    np.testing.assert_allclose(more.plan / scale, plain.plan, rtol=1e-6, atol=1e-7)
    f, g = more.potentials
    np.testing.assert_allclose(np.exp((f[:, None] + g - M - constant) / reg), more.plan, rtol=1e-9)
    r, c = more.plan.sum(axis=1), more.plan.sum(axis=0)
    u, v = f - reg * np.log(a), g - reg * np.log(b)
    np.testing.assert_allclose(r, a * np.exp(-u / rho[0]), rtol=1e-6)
    np.testing.assert_allclose(c, b * np.exp(-v / rho[1]), rtol=1e-6)
    assert more.value == pytest.approx(objective(more.plan, M + constant, a, b, reg, rho), rel=1e-9)
    lower, upper = more.bounds
    assert lower <= upper + 1e-9 * abs(upper)


@pytest.mark.parametrize("scale", [1e4, 1e6, 1e8, 1e12, 1e150])
@pytest.mark.parametrize("sharpness", [30, 1000, 20_000])
def test_costs_in_raw_units_are_no_division_by_zero(solve, scale, sharpness):
    """Nothing is worth moving: all is created and destroyed at its price."""
    rng = np.random.default_rng(0)
    M, a, b = scale * (0.1 + rng.random((7, 4))), 3 * rng.dirichlet(np.ones(7)), rng.dirichlet(np.ones(4))
    reg = scale / sharpness
    result = solve(M, a, b, reg, 1.0)  # warnings are errors here
    assert result.success
    P, value = result.plan, result.value
    assert np.isfinite(P).all()
    assert value == pytest.approx(objective(P, M, a, b, reg, (1.0, 1.0)), rel=1e-9)
    # Without a plan the objective is this, and the least one is lower by what the plan gains.
    assert 4 + 3 * reg - 1e-9 * reg >= value - 1e-6 * value >= 0
    if sharpness >= 1000:
        assert value == pytest.approx(4 + 3 * reg, rel=1e-6)


@pytest.mark.parametrize("rho", [1.0, 0.5, (1.0, 3.0)])
def test_clusters_that_are_too_far_apart_exchange_nothing(solve, rho):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=(30, 2)) + np.array([50.0, 0.0])
    result = solve(((x[:, None] - y) ** 2).sum(-1), None, None, 0.1, rho)
    assert result.success
    assert result.plan.sum() < 1e-100
    assert result.value == pytest.approx(np.sum(rho) * (2 if np.ndim(rho) == 0 else 1) + 0.1, rel=1e-12)
    assert result.bounds[0] <= np.sum(rho) * (2 if np.ndim(rho) == 0 else 1)


def test_one_pair_that_is_worth_it_among_many_that_are_not(solve):
    M = np.full((6, 5), 1e5)
    M[2, 3] = 0.5
    result = solve(M, np.ones(6), np.ones(5), 0.1, 2.0)
    assert result.success
    assert result.plan[2, 3] > 0.5
    assert np.delete(result.plan.ravel(), 2 * 5 + 3).sum() == 0.0
    assert result.value == pytest.approx(
        objective(result.plan, M, np.ones(6), np.ones(5), 0.1, (2.0, 2.0)), rel=1e-9
    )


def test_negative_costs_swell_the_plan_up_to_the_largest_number(solve):
    M = np.random.default_rng(0).random((4, 5)) - 500.0
    result = solve(M, None, None, 0.1, 1.0)
    assert result.success
    assert 1e100 < result.plan.sum() < np.inf
    with pytest.raises(ValueError, match="beyond the range of numbers: add a constant to M"):
        solve(M - 2000.0, None, None, 0.1, 1.0)


def test_a_price_on_one_side_needs_no_offset_of_the_masses(solve):
    M, a, b = data()
    plain, more = solve(M, a, b, 0.05, (INF, 1.0)), solve(M + 1e5, a, b, 0.05, (INF, 1.0))
    assert more.success
    np.testing.assert_allclose(more.plan, plain.plan, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(more.plan.sum(axis=1), a, rtol=1e-7)


def test_forbidden_pairs_do_not_make_an_unbalanced_problem_infeasible(solve):
    """Cheap pairs, dear deviations: the objective exceeds every cost, which proves nothing here."""
    M = np.full((3, 3), INF)
    M[0] = M[:, 0] = 1.0
    result = solve(M, [1.0, 2.0, 3.0], [3.0, 1.0, 1.0], 0.05, 50.0)
    assert result.success
    assert result.value > 1.0


def test_methods_for_balanced_problems_are_refused():
    with pytest.raises(ValueError, match="method must be one of 'auto', 'newton', 'sinkhorn'"):
        transport.solve(*data(), 0.1, unbalanced=1.0, method="sns")
    with pytest.raises(ValueError, match="unbalanced_type must be 'KL'|unbalanced_type must be one of 'KL'"):
        transport.solve(*data(), 0.1, unbalanced=1.0, unbalanced_type="TV")


# -- nothing to move -------------------------------------------------------------------------------


def test_a_row_without_an_allowed_pair_keeps_its_mass_at_home(solve):
    M, a, b = data(6, 7)
    M[2] = INF
    M[:, 4] = INF
    r = solve(M, a, b, 0.05, (0.7, 1.3))
    rows, columns = np.arange(6) != 2, np.arange(7) != 4
    inner = solve(M[rows][:, columns], a[rows], b[columns], 0.05, (0.7, 1.3))
    assert r.success
    np.testing.assert_allclose(r.plan[rows][:, columns], inner.plan, atol=1e-9)
    assert not r.plan[2].any()
    assert not r.plan[:, 4].any()
    assert r.potentials[0][2] == r.potentials[1][4] == INF
    left = np.outer(a, b).sum() - np.outer(a[rows], b[columns]).sum()
    expected = inner.value + 0.7 * a[2] + 1.3 * b[4] + 0.05 * left
    assert r.value == pytest.approx(expected, rel=1e-9)
    assert r.bounds[0] <= objective(r.plan, np.where(np.isfinite(M), M, 0), a, b, 0.0, (0.7, 1.3)) + 1e-12
    with pytest.raises(ValueError, match="M forbids every pair of row 2"):
        solve(M, a, b, 0.05, (INF, 1.0))


def test_gradients_in_the_weights_exist_where_row_sums_underflow():
    M, a, b = data(5, 6)
    M[1] = 2000.0
    M[4] = INF
    reg, rho, h = 0.1, 1.0, 1e-5
    r = transport.solve(M, a, b, reg, unbalanced=rho, tol=1e-12)
    assert r.plan[1].sum() == 0.0
    gradient = r.gradient()
    for side, weights in enumerate((a, b)):
        for k in range(weights.size):
            ends = []
            for sign in (1, -1):
                moved = [a.copy(), b.copy()]
                moved[side][k] += sign * h
                ends.append(transport.solve(M, *moved, reg, unbalanced=rho, tol=1e-12).value)
            assert gradient[side][k] == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-6, abs=1e-9)
    # none of the mass of these rows arrives, and more of it changes nothing of the plan
    d = r.vjp(np.random.default_rng(0).normal(size=M.shape))
    assert d.a[1] == d.a[4] == 0.0
    assert np.isfinite(d.a).all()
    with pytest.raises(np.linalg.LinAlgError, match=r"potentials\[0\]"):
        r.vjp(potentials=(np.eye(5)[1], np.zeros(6)))


def test_a_batch_has_the_derivatives_of_its_problems():
    M, a, b = data(5, 6)
    batch = transport.solve(np.stack([M, 2 * M]), a, b, 0.1, unbalanced=1.0)
    one = transport.solve(2 * M, a, b, 0.1, unbalanced=1.0)
    for ours, theirs in zip(batch.gradient(), one.gradient(), strict=True):
        np.testing.assert_allclose(ours[1], theirs, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_row_without_weight_is_no_matter_where_rows_have_to_be_met(seed):
    """Sums of weights in another order differ by a rounding error, which has no price."""
    rng = np.random.default_rng(seed)
    M, a, b = rng.random((27, 38)), 0.01 * rng.random(27), 0.05 * rng.random(38)
    a[0] = 0.0
    with_it = transport.solve(M, a, b, 0.1, unbalanced=(np.inf, 0.5))
    without = transport.solve(M[1:], a[1:], b, 0.1, unbalanced=(np.inf, 0.5))
    assert with_it.success
    assert with_it.value == pytest.approx(without.value, rel=1e-9)


@pytest.mark.parametrize("factor", [1e-12, 1e12])
@pytest.mark.parametrize("rho", [(INF, 0.5), (0.5, INF)])
def test_the_mass_of_the_side_that_is_not_met_changes_nothing(solve, rho, factor):
    # v moves by rho log(factor), u back by (rho + eps) log(factor), and P = a b' exp((u + v - M)/eps) stays
    M, a, b = data()
    expected = transport.solve(M, a, b, 0.05, unbalanced=rho, tol=1e-13)
    weights = (a, factor * b) if rho[0] == INF else (factor * a, b)
    r = solve(M, *weights, 0.05, rho)
    assert r.success
    np.testing.assert_allclose(r.plan, expected.plan, rtol=1e-7)


@pytest.mark.parametrize("rho", [(INF, 0.5), (0.5, INF)])
def test_what_a_side_that_is_met_pays_in_any_case_changes_nothing(solve, rho):
    M, a, b = data()
    M = np.round(M * 2**9) / 2**9  # so that the sums below have no rounding errors
    terms = 2.0**36 * np.arange(12 if rho[0] == INF else 17)
    expected = transport.solve(M, a, b, 0.05, unbalanced=rho, tol=1e-13)
    r = solve(M + (terms[:, None] if rho[0] == INF else terms), a, b, 0.05, rho)
    assert r.success
    np.testing.assert_allclose(r.plan, expected.plan, rtol=1e-7)
    paid = (a if rho[0] == INF else b) @ terms
    assert r.value == pytest.approx(expected.value + paid, rel=1e-9)
    assert r.bounds[0] == pytest.approx(expected.bounds[0] + paid, rel=1e-13)
