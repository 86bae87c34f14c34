"""Exact transport: the least cost, a vertex that has it, and prices that certify it among all pairs."""

from __future__ import annotations

import warnings

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import coo_array, eye_array, kron, vstack
from scipy.sparse.csgraph import connected_components

from numsolve import ConvergenceWarning, Status, transport
from numsolve._core.limits import Limits
from numsolve.transport import _pairs

AGREE = 1e-12


def clouds(n, weights):
    X, Y = transport.problems.clouds(n, 2, rng=0)
    a, b = (np.random.default_rng(k).random(n) + 1e-3 if weights else np.ones(n) for k in range(2))
    return ((X[:, None] - Y) ** 2).sum(axis=2), a / a.sum(), b / b.sum()


def check_optimal(r, M, a, b):
    """Weak duality: a feasible plan and feasible prices of one value are both optimal."""
    f, g = r.potentials
    mass = a.sum()
    size = max(abs(f).max(), abs(g).max(), np.max(M[np.isfinite(M)]))
    assert (r.plan >= 0).all()
    assert abs(r.plan.sum(axis=1) - a).sum() + abs(r.plan.sum(axis=0) - b).sum() <= 1e-9 * mass
    assert np.min(M - f[:, None] - g) >= -1e-14 * size
    cost = np.sum(r.plan[r.plan > 0] * M[r.plan > 0])
    assert cost - (a @ f + b @ g) <= 1e-13 * mass * size
    assert r.value == r.value_linear == pytest.approx(cost, rel=1e-13)
    slack = 1e-14 * mass * size
    assert r.bounds[0] - slack <= r.value <= r.bounds[1] + slack


@pytest.mark.parametrize(
    "name",
    [
        "assignment 500",
        "images-L2",
        "images-L1",
        "densities-L2 500",
        "densities-L1 300",
        "clouds",
        "weighted",
    ],
)
def test_the_value_is_that_of_the_network_simplex(problem, name):
    known = {"clouds": False, "weighted": True}
    M, a, b = clouds(500, known[name]) if name in known else problem(name)
    r = transport.solve(M, a, b, reg=0)
    assert r.success
    assert r.value == pytest.approx(ot.emd2(a, b, M, numItermax=10**7), rel=AGREE)
    check_optimal(r, M, a, b)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 12),
    m=st.integers(1, 12),
    kind=st.sampled_from(["any", "ties", "constant", "zero weights", "shifted", "large ones"]),
    mass=st.sampled_from([1.0, 1e-3, 300.0]),
    seed=st.integers(0, 2**16),
)
def test_prices_certify_the_plan(n, m, kind, mass, seed):
    rng = np.random.default_rng(seed)
    M, a, b = rng.random((n, m)), rng.random(n) + 1e-3, rng.random(m) + 1e-3
    if kind == "ties":
        M, a, b = rng.integers(0, 3, (n, m)).astype(float), np.ones(n), np.ones(m)
    elif kind == "constant":
        M[:] = -0.7
    elif kind == "zero weights":
        a[1:] *= rng.random(n - 1) < 0.6
        b[1:] *= rng.random(m - 1) < 0.6
    elif kind == "shifted":
        M += 1e4 * rng.standard_normal((n, 1))
    elif kind == "large ones":
        M[rng.random((n, m)) < 0.5] = 1e7
    a, b = mass * a / a.sum(), mass * b / b.sum()
    r = transport.solve(M, a, b, reg=0)
    assert r.success
    rows, columns = a > 0, b > 0
    assert not r.plan[~rows].any()
    assert not r.plan[:, ~columns].any()
    f, g = r.potentials
    assert np.isneginf(f[~rows]).all()
    assert np.isneginf(g[~columns]).all()
    inner = transport.TransportResult(
        x=(f[rows], g[columns]), status=r.status, residual=r.residual, plan=r.plan[np.ix_(rows, columns)],
        value=r.value, value_linear=r.value_linear, bounds=r.bounds,
    )  # fmt: skip
    check_optimal(inner, M[np.ix_(rows, columns)], a[rows], b[columns])


@pytest.mark.parametrize("large", [1e3, 1e6, 1e8, 1e10, 1e17])
def test_large_costs_leave_the_prices_of_small_ones_exact(large):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        n, m = rng.integers(2, 14, 2)
        M, a, b = rng.random((n, m)), rng.random(n) + 1e-3, rng.random(m) + 1e-3
        M[rng.random((n, m)) < 0.4] = large
        a, b = a / a.sum(), b / b.sum()
        r = transport.solve(M, a, b, reg=0)
        assert r.success
        f, g = r.potentials
        size = max(abs(f).max(), abs(g).max(), M[r.plan > 0].max())
        assert np.min(M - f[:, None] - g) >= -1e-13 * size
        assert r.value - (a @ f + b @ g) <= 1e-13 * size


@pytest.mark.parametrize("seed", range(4))
def test_an_assignment_is_a_permutation(seed):
    M = np.random.default_rng(seed).random((40, 40))
    r = transport.solve(M, reg_type="none")
    rows, columns = linear_sum_assignment(M)
    assert r.value == pytest.approx(M[rows, columns].mean(), rel=1e-13)
    np.testing.assert_array_equal(r.plan[rows, columns], 1 / 40)
    assert np.count_nonzero(r.plan) == 40


def test_the_plan_is_a_vertex():
    """Its pairs form no cycle: as a graph it has as many edges as vertices less parts."""
    M, a, b = clouds(150, weights=True)
    i, j = np.nonzero(transport.solve(M, a, b, reg=0).plan)
    graph = coo_array((np.ones(i.size), (i, 150 + j)), shape=(300, 300))
    assert i.size == 300 - connected_components(graph, directed=False)[0]


def scattered(n=210):
    """Costs that no points have, which start from an entropic solution."""
    rng = np.random.default_rng(3)
    a, b = rng.random((2, n)) + 1e-3
    return rng.random((n, n)), a / a.sum(), b / b.sum()


def few_pairs(monkeypatch):
    """Make both starts choose so few pairs that a round does not find the plan."""
    for name, value in (
        ("_search.THETA", 1e-3),
        ("_search.MOST", 2),
        ("_coarse.FEW", 400),
        ("_coarse.MOST", 1),
    ):
        monkeypatch.setattr(f"numsolve.transport.{name}", value)


@pytest.mark.parametrize("problem", [lambda: clouds(300, weights=True), scattered])
def test_pairs_that_were_left_out_come_back(problem, monkeypatch):
    """From few pairs of each row, and a feasible plan among them, the rounds arrive at the same cost."""
    M, a, b = problem()
    expected = transport.solve(M, a, b, reg=0)
    few_pairs(monkeypatch)
    r = transport.solve(M, a, b, reg=0)
    assert len(r.history) > len(expected.history)
    assert r.value == pytest.approx(expected.value, rel=AGREE)
    check_optimal(r, M, a, b)


def test_forbidden_pairs_are_not_used_and_may_admit_no_plan():
    M = np.array([[0.0, 1.0, np.inf], [np.inf, 0.5, 0.0]])
    r = transport.solve(M, [0.4, 0.6], [0.3, 0.3, 0.4], reg=0)
    check_optimal(r, M, np.array([0.4, 0.6]), np.array([0.3, 0.3, 0.4]))
    with pytest.warns(ConvergenceWarning, match="cannot carry"):
        r = transport.solve(M, [0.6, 0.4], [0.1, 0.1, 0.8], reg=0)
    assert r.status is Status.INFEASIBLE


def test_forbidden_pairs_may_need_prices_far_beyond_the_costs():
    """The only plans use pairs that the entropic prices leave many times the range of the costs."""
    inf = np.inf
    M = np.array(
        [
            [inf, 0.1824501333011227, 0.8331449601436038, inf, 0.8879082985635366, 0.8730116681416857],
            [0.7422355041530995, 0.7362524716588537, 0.3895053511634069, 0.21852689798929303, inf, inf],
        ]
    )
    a = np.array([0.8131117160303545, 0.1868882839696455])
    b = np.array([
        0.18356263442553755, 0.2547191205478625, 0.18700360238337008,
        0.00076969877193316, 0.26615467471092114, 0.10779026916037555,
    ])  # fmt: skip
    r = transport.solve(M, a, b, reg=0)
    assert r.success
    check_optimal(r, M, a, b)


def test_batches_and_float32_and_plans_that_are_not_wanted():
    M = np.random.default_rng(0).random((3, 20, 30))
    r = transport.solve(M, reg=0)
    one = transport.solve(M[1].astype(np.float32), reg=0)
    assert r.success.all()
    assert one.plan.dtype == np.float32
    assert one.value == pytest.approx(r.value[1], rel=1e-6)
    bare = transport.solve(M[1], reg=0, return_plan=False)
    assert bare.plan is None
    assert bare.value == r.value[1]


@pytest.mark.parametrize("problem", [lambda: clouds(300, weights=True), scattered])
def test_a_run_that_is_cut_short_has_a_plan_and_bounds_that_hold(problem):
    M, a, b = problem()
    exact = ot.emd2(a, b, M)
    for cut in ({"maxiter": 1}, {"time_limit": 0.0}):
        with pytest.warns(ConvergenceWarning):
            r = transport.solve(M, a, b, reg=0, **cut)
        assert not r.success
        assert r.bounds[0] <= exact <= r.bounds[1]
        assert r.value == r.value_linear
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        late = transport.solve(M, a, b, reg=0, maxiter=transport.solve(M, a, b, reg=0).nit - 1)
    assert late.status is Status.MAXITER


@pytest.mark.parametrize("problem", [lambda: clouds(300, weights=True), scattered])
def test_ctrl_c_in_a_round_returns_what_there_is(problem, monkeypatch):
    M, a, b = problem()
    rounds = []

    def pressed(*args):
        rounds.append(args)
        if len(rounds) == stop:
            raise KeyboardInterrupt
        return _pairs.vertex(*args)

    few_pairs(monkeypatch)  # for more than one round
    monkeypatch.setattr("numsolve.transport._search.vertex", pressed)
    for stop in (1, 3):  # noqa: B007  (read by `pressed`)
        rounds.clear()
        with pytest.warns(ConvergenceWarning, match="interrupted"):
            r = transport.solve(M, a, b, reg=0)
        assert r.status is Status.INTERRUPTED
        assert r.bounds[0] <= ot.emd2(a, b, M) <= r.bounds[1]
        assert abs(r.plan.sum(axis=1) - a).sum() < 0.01


def test_the_gradient_is_that_of_the_value_and_the_plan_has_none():
    M, a, b = clouds(30, weights=True)
    r = transport.solve(M, a, b, reg=0)
    bump = 1e-7 * np.random.default_rng(0).standard_normal(M.shape)
    up, down = (transport.solve(M + s * bump, a, b, reg=0).value for s in (1, -1))
    assert (up - down) / 2 == pytest.approx(np.sum(r.gradient().M * bump), rel=1e-6)
    with pytest.raises(ValueError, match="has no derivative"):
        r.vjp(M)


def test_prices_of_unconnected_parts_stay_near_those_before():
    """Two pairs that nothing joins keep the differences that the old prices had."""
    pairs = _pairs.Pairs(np.array([0, 1]), np.array([0, 1]), np.array([1.0, 2.0]))
    a = np.array([0.5, 0.5])
    near = np.array([0.7, 0.2]), np.array([0.3, 1.8])
    plan, (f, g) = _pairs.vertex(pairs, a, a, near, Limits())
    np.testing.assert_array_equal(plan, a)
    np.testing.assert_allclose(f, near[0])
    np.testing.assert_allclose(g, near[1])


def test_weights_of_many_decades_have_a_plan_where_every_pair_is_allowed():
    M = np.array([[24.4], [-1738.7], [6.8], [-31.9]])
    a = np.array([2.1e-11, 4.5e-12, 0.0306, 0.9015])
    result = transport.solve(M, a, [a.sum()], reg=0)
    assert result.success
    np.testing.assert_allclose(result.plan[:, 0], a, rtol=0, atol=1e-10)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        M, a, b = rng.normal(size=(6, 5)), 10 ** rng.uniform(-13, 0, 6), 10 ** rng.uniform(-13, 0, 5)
        a, b = a / a.sum(), b / b.sum()
        result = transport.solve(M, a, b, reg=0)
        assert result.status != Status.INFEASIBLE
        assert result.value - result.bounds[0] <= 1e-9 * abs(M).max()


@pytest.mark.parametrize("kind", ["equal weights", "integers", "wild weights", "constant", "line"])
@pytest.mark.parametrize("seed", range(20))
def test_degenerate_problems_end_at_a_certified_optimum(kind, seed):
    """Also where pivots move no mass, and where weights lie 18 decades apart."""
    rng = np.random.default_rng(seed)
    n, m = rng.integers(2, 40, 2)
    a, b, M = np.ones(n), np.ones(m), rng.random((n, m))
    if kind == "integers":
        M, a, b = (rng.integers(0, 3, size).astype(float) for size in ((n, m), n, m))
        a[0], b[0] = a[0] + 1, b[0] + 1
    elif kind == "wild weights":
        a, b = 10.0 ** rng.uniform(-18, 0, n), 10.0 ** rng.uniform(-18, 0, m)
    elif kind == "constant":
        M[:] = 1.0
    elif kind == "line":
        M = np.abs(np.arange(n)[:, None] - np.arange(m)).astype(float)
    a, b = a / a.sum(), b / b.sum()
    r = transport.solve(M, a, b, reg=0)
    assert r.success
    assert r.marginal_error <= 1e-14
    f, g = (np.where(np.isfinite(p), p, -1e3) for p in r.potentials)
    assert np.min(M - f[:, None] - g) >= -1e-13
    assert r.value - (a @ f + b @ g) <= 1e-13


@pytest.mark.parametrize("large", [1e12, 1e32, 1e300])
def test_costs_that_stand_for_forbidden_pairs_hide_no_others(large):
    rng = np.random.default_rng(0)
    near = np.kron(np.eye(3), np.ones((8, 8))) > 0
    M = np.where(near, rng.random((24, 24)), large * rng.uniform(1.0, 2.0, (24, 24)))
    truth = transport.solve(np.where(near, M, np.inf), reg=0)
    for cost in (M, M.astype(np.float32)) if large < 1e38 else (M,):
        r = transport.solve(cost, reg=0)
        assert r.success
        assert r.value == pytest.approx(truth.value, rel=1e-6 if cost.dtype == np.float32 else 1e-13)
        assert np.array_equal(r.plan > 0, truth.plan > 0)
    i, j = np.indices(M.shape).reshape(2, -1)
    stored = transport.solve(coo_array((M.ravel(), (i, j))), reg=0)
    assert stored.success
    assert stored.value == pytest.approx(truth.value, rel=1e-13)
    assert stored.bounds == pytest.approx((truth.value, truth.value), rel=1e-9)


def test_costs_of_all_decades_that_numbers_have_and_few_allowed_pairs():
    M = np.array([[1e-300, 1e300, 1.0], [1e300, 1e-300, 1e8], [1e-8, 1e300, 1e300]])
    r = transport.solve(M, reg=0)
    assert r.success
    assert r.value == pytest.approx((1.0 + 1e-8) / 3, rel=1e-12)  # columns 2, 1, 0
    n = 1200
    allowed = np.full((n, n), np.inf)
    i = np.arange(n)
    allowed[i, i - 1] = i % 3 + 1.0
    r = transport.solve(allowed, reg=0)
    assert r.success
    assert r.value == pytest.approx(2.0)


@pytest.mark.parametrize("large", [1e12, 1e20, 1e32])
def test_large_costs_are_paid_where_no_plan_does_without(large):
    rng = np.random.default_rng(1)
    near = np.kron(np.eye(2), np.ones((6, 6))) > 0
    M = np.where(near, rng.random((12, 12)), large)
    a, b = (np.repeat(w, 6) / 6 for w in ([0.5, 0.5], [0.75, 0.25]))
    r = transport.solve(M, a, b, reg=0)
    assert r.success
    assert r.value == pytest.approx(0.25 * large, rel=1e-11)


@pytest.mark.parametrize("reg", [0.0, 0.01])
def test_weights_that_the_range_of_numbers_hardly_holds_warn_of_nothing(reg):
    """Softmax of large numbers, on a grid."""
    x = np.indices((12, 12)).reshape(2, -1).T
    M = np.sqrt(((x[:, None] - x) ** 2).sum(axis=2))
    rows = np.random.default_rng(0).random((2, 144))
    a, b = (np.exp(1000.0 * (row - row.max())) for row in rows)
    a, b = a / a.sum(), b / b.sum()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        r = transport.solve(M, a, b, reg=reg)
    assert r.success
    assert r.bounds[0] <= ot.emd2(a, b, M) * (1 + 1e-12)
    assert r.value_linear == pytest.approx(ot.emd2(a, b, M), rel=1e-9 if reg == 0.0 else 0.1)


def shuffled_line(n, m, p, rng):
    x, y = rng.random(n), rng.random(m)
    return np.abs(x[:, None] - y) ** p


def grid_cost(n, m, rng):
    """City-block distances on a grid, with points that occur twice: many plans are optimal."""
    x, y = rng.integers(0, 9, (n, 2)), rng.integers(0, 9, (m, 2))
    return np.abs(x[:, None] - y).sum(axis=2).astype(float)


KINDS = {
    "line": lambda n, m, rng: shuffled_line(n, m, 1, rng),
    "convex line": lambda n, m, rng: shuffled_line(n, m, 1.7, rng),
    "concave line": lambda n, m, rng: shuffled_line(n, m, 0.5, rng),
    "ring": lambda n, m, rng: 1 - np.cos(2 * np.pi * (rng.random((n, 1)) - rng.random(m))),
    "grid": grid_cost,
    "no points": lambda n, m, rng: rng.random((n, m)),
    "a line and one outlier": lambda n, m, rng: shuffled_line(n, m, 2, rng) + np.eye(n, m, n // 3),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights", ["random", "integers", "equal", "some zero"])
@pytest.mark.parametrize("shape", [(70, 70), (90, 31)])
def test_the_value_is_that_of_a_linear_program(kind, weights, shape, monkeypatch):
    """By groups, too: these are made from 400 pairs on."""
    monkeypatch.setattr("numsolve.transport._coarse.FEW", 400)
    monkeypatch.setattr("numsolve.transport._coarse.SINGLE", 20)
    rng = np.random.default_rng(sum(map(ord, kind + weights)))
    n, m = shape
    M = KINDS[kind](n, m, rng)
    a, b = (rng.random(k) if weights == "random" else rng.integers(1, 4, k).astype(float) for k in shape)
    if weights == "equal":
        a[:], b[:] = 1.0, 1.0
    elif weights == "some zero":
        a[::3], b[::4] = 0.0, 0.0
    a, b = a / a.sum(), b / b.sum()
    r = transport.solve(M, a, b, reg=0)
    sums = vstack([kron(eye_array(n), np.ones((1, m))), kron(np.ones((1, n)), eye_array(m))]).tocsr()
    known = linprog(M.ravel(), A_eq=sums[:-1], b_eq=np.concatenate([a, b])[:-1], method="highs")
    assert r.success
    assert r.value == pytest.approx(known.fun, rel=1e-9, abs=1e-9 * M.max())
    rows, columns = a > 0, b > 0
    f, g = r.potentials
    assert np.min(M[np.ix_(rows, columns)] - f[rows, None] - g[columns]) >= -1e-13 * M.max()
    assert r.value - a[rows] @ f[rows] - b[columns] @ g[columns] <= 1e-13 * M.max()


def test_a_line_is_found_in_any_order():
    """No pivots and one round, whatever the order of the points and what rows and columns cost on top."""
    rng = np.random.default_rng(5)
    x, y, a, b = np.sort(rng.random(300)), np.sort(rng.random(200)), rng.random(300), rng.random(200)
    a, b = a / a.sum(), b / b.sum()
    M = (x[:, None] - y) ** 2 + rng.random((300, 1)) + rng.random(200)
    sorted_plan = transport.solve(M, a, b, reg=0).plan
    i, j = rng.permutation(300), rng.permutation(200)
    r = transport.solve(M[np.ix_(i, j)], a[i], b[j], reg=0)
    assert r.success
    assert r.nit == 1
    np.testing.assert_allclose(r.plan, sorted_plan[np.ix_(i, j)], atol=1e-15)
    ends = np.cumsum(a), np.cumsum(b)
    inner = np.minimum.outer(*ends)  # the mass of the first k and l points
    np.testing.assert_allclose(np.cumsum(np.cumsum(sorted_plan, axis=0), axis=1), inner, atol=1e-13)
