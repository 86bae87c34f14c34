"""Variance reduction: identities of the estimator, unbiasedness, complexity, problems with known answers."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

from numsolve import monotone
from numsolve._core.result import ConvergenceWarning
from numsolve.monotone import _cpu_vr
from numsolve.monotone._tuples import COUNTS, record


def least_squares(n, d=20, seed=0, spread=0.0):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(n, d)) * np.exp(spread * rng.normal(size=n))[:, None]
    return monotone.AffineFiniteSum(Z, Z @ rng.normal(size=d) + 0.1 * rng.normal(size=n))


def called(problem):
    """The same problem by functions."""
    return monotone.FiniteSum(problem.n, problem.full, problem.batch, L=problem.constant("uniform"))


def deterministic(problem, steps, step, prox=lambda v, g: v):
    """Algorithm 1 with the exact operator."""
    u = anchor = np.zeros(problem.size)
    for k in range(steps):
        lam = 2 / (k + 4)
        u = prox(lam * anchor + (1 - lam) * u - step * problem.full(u), step)
    return u


@pytest.mark.parametrize("settings", [{"batch": 40}, {"prob": 1.0}])
@pytest.mark.parametrize("form", [lambda p: p, called], ids=["compiled", "called"])
@pytest.mark.parametrize("prox", [None, monotone.prox_nonnegative])
def test_exact_estimators_give_the_deterministic_iteration(settings, form, prox):
    problem = least_squares(40)
    step = 1 / problem.constant("uniform")
    with pytest.warns(ConvergenceWarning):
        r = monotone.vr_halpern(
            form(problem),
            np.zeros(20),
            step=step,
            prox=prox,
            restart=None,
            tol=0.0,
            maxiter=25,
            rng=0,
            **settings,
        )
    expected = deterministic(problem, 25, step, *([] if prox is None else [prox]))
    np.testing.assert_allclose(
        r.x if "prob" in settings else _last(form, problem, prox, step), expected, atol=1e-12
    )


def _last(form, problem, prox, step):
    """The iterate of the 25th step; a run without a refresh there would show an earlier one."""
    seen = []

    def keep(intermediate_result):
        seen.append(intermediate_result)

    for seed in range(60):
        with pytest.warns(ConvergenceWarning):
            r = monotone.vr_halpern(
                form(problem),
                np.zeros(20),
                step=step,
                prox=prox,
                restart=None,
                tol=0.0,
                maxiter=25,
                rng=seed,
                batch=40,
                callback=keep,
            )
        if seen[-1].nit == 25:
            return seen[-1].x
        assert r.nit == 25
    raise AssertionError("no run refreshed at its last step")


def test_batches_are_unbiased_and_without_repetition():
    problem = least_squares(6, d=3)
    P = problem._compiled("uniform")
    d, full = np.array([1.0, -2.0, 0.5]), problem.full(np.array([1.0, -2.0, 0.5])) - problem.full(np.zeros(3))
    singles = [problem.batch(d, [i]) - problem.batch(np.zeros(3), [i]) for i in range(6)]
    np.testing.assert_allclose(np.mean(singles, axis=0), full, atol=1e-12)
    rng, counts, total, drawn = np.random.default_rng(0), record(COUNTS), np.zeros(3), np.zeros(6)
    for _ in range(20_000):
        out = np.zeros(3)
        _cpu_vr.add_components_to(P, d, 2, counts, rng, out)
        total += out
        drawn += P.marks == counts.stamp
    np.testing.assert_allclose(total / 20_000, full, rtol=0.05, atol=0.05 * abs(full).max())
    assert drawn.sum() == 40_000  # two different ones each time
    np.testing.assert_allclose(drawn / 20_000, 1 / 3, atol=0.015)


@pytest.mark.parametrize("sampling", ["uniform", "importance"])
def test_the_weights_of_importance_sampling_are_unbiased(sampling):
    problem = least_squares(6, d=3, spread=1.0)
    odds, weights = problem._compiled("importance")[1:3]
    q = np.diff(odds, prepend=0.0)
    d = np.array([1.0, -2.0, 0.5])
    singles = np.array([problem.batch(d, [i]) - problem.batch(np.zeros(3), [i]) for i in range(6)])
    full = problem.full(d) - problem.full(np.zeros(3))
    np.testing.assert_allclose((q * weights) @ singles, full, atol=1e-12)
    game = monotone.BilinearGame(np.random.default_rng(0).normal(size=(3, 4)) * [[1], [5], [0.1]])
    P, v, mean = game._compiled(sampling), np.arange(7.0), np.zeros(7)
    rng, counts = np.random.default_rng(0), record(COUNTS)
    for _ in range(40_000):
        _cpu_vr.add_components_to(P, v, 1, counts, rng, mean)
    np.testing.assert_allclose(mean / 40_000, game.full(v), atol=0.05 * abs(game.full(v)).max())


@pytest.mark.parametrize("sampling", ["uniform", "importance"])
@pytest.mark.parametrize("per_row", [3, 80])  # rows that are summed plainly, and in parts
def test_a_sparse_sum_is_the_dense_one(per_row, sampling):
    rng = np.random.default_rng(per_row)
    rows = csr_array(random_array((200, 100), density=per_row / 100, rng=rng))
    b = rows @ rng.normal(size=100)
    sparse, dense = monotone.AffineFiniteSum(rows, b), monotone.AffineFiniteSum(rows.toarray(), b)
    u, index = rng.normal(size=100), np.array([5, 0, 7])
    np.testing.assert_allclose(sparse.full(u), dense.full(u), atol=1e-12)
    np.testing.assert_allclose(sparse.batch(u, index), dense.batch(u, index), atol=1e-12)
    assert sparse.constant(sampling) == pytest.approx(dense.constant(sampling))
    prox = partial(monotone.prox_l1, weight=0.01)
    tol = 1e-2 * np.linalg.norm(dense.full(np.zeros(100)))
    r, s = (
        monotone.vr_halpern(p, np.zeros(100), prox=prox, sampling=sampling, tol=tol, max_epochs=5000, rng=0)
        for p in (sparse, dense)
    )
    assert (r.success, r.nit, r.nfev) == (True, s.nit, s.nfev)
    np.testing.assert_allclose(r.x, s.x, atol=1e-8)


def test_sparse_data_too_large_to_be_dense_stay_sparse():
    """The dense form would have 12.8 GB."""
    n, d = 20_000, 80_000
    rng = np.random.default_rng(0)
    Z = csr_array(
        (rng.normal(size=5 * n), rng.integers(0, d, 5 * n), np.arange(0, 5 * n + 1, 5)), shape=(n, d)
    )
    problem = monotone.AffineFiniteSum(Z, Z @ rng.normal(size=d))
    start = np.linalg.norm(problem.full(np.zeros(d)))
    with pytest.warns(ConvergenceWarning):
        r = monotone.vr_halpern(problem, np.zeros(d), sampling="importance", tol=0.0, max_epochs=4, rng=0)
    assert r.residual == pytest.approx(np.linalg.norm(problem.full(r.x)), rel=1e-9)
    assert r.residual < start


def test_the_constants_on_average_are_sharp():
    problem = least_squares(30, d=4, spread=0.7)
    w = (problem.Z**2).sum(axis=1)
    H = np.einsum("i,ij,ik->jk", w, problem.Z, problem.Z) / 30
    assert problem.constant("uniform") == pytest.approx(np.sqrt(np.linalg.eigvalsh(H)[-1]))
    assert problem.constant("importance") <= problem.constant("uniform") * 1.0001
    wide = least_squares(40, d=600)
    exact = np.linalg.norm(wide.Z * np.sqrt((wide.Z**2).sum(axis=1) / 40)[:, None], 2)
    assert wide.constant("uniform") == pytest.approx(exact, rel=1e-6)
    game = monotone.BilinearGame([[1.0, 2.0], [3.0, 4.0]])
    assert game.constant("importance") == pytest.approx(np.sqrt(30))
    assert game.constant("uniform") == pytest.approx(np.sqrt(2 * 25))


@pytest.mark.parametrize("form", [lambda p: p, called], ids=["compiled", "called"])
@pytest.mark.parametrize("schedule", ["tuned", "paper"])
def test_least_squares_has_its_solution(form, schedule):
    problem = least_squares(300)
    r = monotone.vr_halpern(
        form(problem), np.zeros(20), schedule=schedule, restart="adaptive", tol=1e-8, rng=1, max_epochs=5000
    )
    exact = np.linalg.lstsq(problem.Z, problem.b)[0]
    np.testing.assert_allclose(r.x, exact, atol=1e-6)
    assert r.residual == pytest.approx(np.linalg.norm(problem.full(r.x)), rel=1e-6, abs=1e-12)
    assert r.nfev == round(r.epochs * 300)


@pytest.mark.parametrize(
    "prox",
    [
        monotone.prox_nonnegative,
        monotone.project_simplex,
        partial(monotone.prox_l1, weight=0.2),
        lambda v, g: v / (1 + g),
    ],
    ids=["nonnegative", "simplex", "l1", "ridge, by a function"],
)
def test_constrained_problems_agree_with_the_deterministic_solver(prox):
    problem = least_squares(400, seed=3)
    r = monotone.vr_halpern(problem, np.zeros(20), prox=prox, tol=1e-9, rng=0)
    L = np.linalg.norm(problem.Z.T @ problem.Z / problem.n, 2)
    s = monotone.halpern(problem.full, np.zeros(20), L=L, prox=prox, restart="adaptive", tol=1e-10)
    np.testing.assert_allclose(r.x, s.x, atol=1e-7)
    # The residual is exact, and of the point that comes back.
    exact = np.linalg.norm(r.x - _resolvent(prox)(r.x - r.gamma * problem.full(r.x), r.gamma)) / r.gamma
    assert r.residual == pytest.approx(exact, rel=1e-4, abs=1e-13)


def _resolvent(prox):
    return (lambda v, _: prox(v)) if prox is monotone.project_simplex else prox


def epochs(problem, tol, seeds=5, **settings):
    x0 = np.zeros(problem.size)
    tol *= np.linalg.norm(problem.full(x0))
    runs = [
        monotone.vr_halpern(problem, x0, tol=tol, rng=seed, max_epochs=10_000, **settings)
        for seed in range(seeds)
    ]
    return np.median([r.epochs for r in runs])


def tabular(n):
    """Standardised real data, drawn with a little noise."""
    from sklearn.datasets import load_breast_cancer

    rng = np.random.default_rng(0)
    X = load_breast_cancer().data
    X = ((X - X.mean(axis=0)) / X.std(axis=0))[rng.integers(0, len(X), n)] + 0.1 * rng.normal(size=(n, 30))
    return monotone.AffineFiniteSum(X, X @ rng.normal(size=30) + 0.1 * rng.normal(size=n))


FAMILIES = {
    "isotropic": lambda: least_squares(500, 50),
    "isotropic, larger": lambda: least_squares(2000, 50),
    "row norms vary": lambda: least_squares(1000, 20, spread=0.7),
    "tabular": lambda: tabular(1000),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tuned_schedule_needs_three_and_a_half_times_fewer_calls(family):
    problem = FAMILIES[family]()
    step = 1 / problem.constant("uniform")  # for both: the published step is four times shorter still
    paper = epochs(problem, 1e-2, schedule="paper", step=step, restart=None)
    assert paper >= 3.5 * epochs(problem, 1e-2, restart=None)
    assert paper >= 6 * epochs(problem, 1e-2)


def test_calls_grow_with_the_root_of_n():
    """Beyond the first pass, components called to a given residual grow like sqrt(n): fitted over n."""
    n = np.array([100, 400, 1600, 6400])
    calls = []
    for size in n:
        rng = np.random.default_rng(0)
        Z = rng.normal(size=(size, 40)) / np.arange(1, 41)
        problem = monotone.AffineFiniteSum(Z, Z @ (np.sqrt(np.arange(1, 41)) * rng.normal(size=40)))
        runs = [
            monotone.vr_halpern(problem, np.zeros(40), tol=3e-2, rng=seed, restart=None).nfev
            for seed in range(5)
        ]
        calls.append(np.median(runs))
    slope = np.polyfit(np.log(n), np.log(calls), 1)[0]
    assert 0.35 < slope < 0.75


def test_importance_sampling_helps_where_row_norms_vary():
    problem = least_squares(1000, 20, spread=1.2)
    uniform, importance = (epochs(problem, 1e-3, sampling=s, restart=None) for s in ("uniform", "importance"))
    assert importance < uniform / 3


@pytest.mark.parametrize("form", ["compiled", "called"])
@pytest.mark.parametrize("schedule", ["tuned", "paper"])
def test_the_double_loop_solves_a_game(form, schedule):
    A = np.array([[3.0, 0.0, 1.0], [1.0, 2.0, 5.0]])
    game = monotone.BilinearGame(A)
    problem, settings = game, {}
    if form == "called":
        pairs = list(product(range(2), range(3)))

        def batch(u, index):
            out = np.zeros(5)
            for i, j in (pairs[k] for k in index):
                out[:3] += 2 * A[i] * u[3 + i]
                out[3:] -= 3 * A[:, j] * u[j]
            return out / len(index)

        problem = monotone.FiniteSum(6, game.full, batch, L=game.constant("uniform"))
        settings = {"prox": game.prox}
    r = monotone.vr_halpern(
        problem,
        game.start(),
        assumption="lipschitz",
        schedule=schedule,
        restart="adaptive",
        tol=1e-4,
        rng=0,
        max_epochs=20_000,
        **settings,
    )
    exact = monotone.solve_game(A, tol=1e-10)
    np.testing.assert_allclose(r.x, np.concatenate([exact.x, exact.y]), atol=1e-3)


def test_a_skew_operator_needs_the_double_loop():
    """A rotation is not cocoercive: Algorithm 2 converges on it, whatever the start."""
    S = np.array([[0.0, 1.0], [-1.0, 0.0]])
    parts = [S * w for w in (0.5, 1.5, 1.0, 1.0)]
    problem = monotone.FiniteSum(
        4, lambda u: S @ u, lambda u, index: np.mean([parts[i] @ u for i in index], axis=0), L=1.1
    )
    r = monotone.vr_halpern(problem, [1.0, 1.0], assumption="lipschitz", tol=1e-3, rng=0, max_epochs=20_000)
    assert np.linalg.norm(r.x) < 1e-2


def test_one_component_is_deterministic():
    problem = monotone.AffineFiniteSum([[2.0]], [4.0])
    r, s = (monotone.vr_halpern(problem, [0.0], rng=seed, tol=1e-9) for seed in (0, 1))
    assert r.x == s.x == pytest.approx(2.0)
    game = monotone.BilinearGame([[5.0]])
    assert monotone.vr_halpern(game, [0.3, 0.4], assumption="lipschitz", rng=0).success


def test_runs_are_reproducible_from_a_seed():
    problem = least_squares(200)
    one, two, other = (monotone.vr_halpern(problem, np.zeros(20), rng=seed).x for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    assert (monotone.vr_halpern(problem, np.zeros(20), rng=np.random.default_rng(5)).x == one).all()


def test_the_budget_is_kept():
    problem = least_squares(400)
    with pytest.warns(ConvergenceWarning, match="max_epochs"):
        r = monotone.vr_halpern(problem, np.zeros(20), tol=0.0, max_epochs=20, rng=0)
    assert 20 <= r.epochs < 24
    assert r.history.epochs[-1] == r.epochs
    assert (np.diff(r.history.epochs) > 0).all()


def test_a_game_takes_the_algorithm_for_games():
    game = monotone.BilinearGame(np.random.default_rng(0).normal(size=(6, 5)))
    r = monotone.vr_halpern(game, game.start(), tol=0.05, rng=0, max_epochs=5000)
    chosen = monotone.vr_halpern(game, game.start(), assumption="lipschitz", tol=0.05, rng=0, max_epochs=5000)
    assert r.success
    np.testing.assert_array_equal(r.x, chosen.x)


@pytest.mark.parametrize(
    ("settings", "said"), [({"batch": 2}, "batch = 2 is ignored"), ({"prob": 0.9}, "prob = 0.9 is more than")]
)
def test_what_algorithm_2_does_not_take_is_said(settings, said):
    game = monotone.BilinearGame(np.random.default_rng(0).normal(size=(6, 5)))
    with pytest.warns(UserWarning, match=said):
        monotone.vr_halpern(game, game.start(), tol=0.3, rng=0, **settings)
