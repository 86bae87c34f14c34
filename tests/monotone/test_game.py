"""Matrix games: values known in closed form or by HiGHS, both forms, published problems."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array, random_array

from numsolve import monotone

FORMS = ("lp", "simplex-pdhg")


def value_by_highs(A):
    m, n = A.shape
    result = scipy.optimize.linprog(
        np.append(np.zeros(n), 1.0),
        np.column_stack([A, -np.ones(m)]),
        np.zeros(m),
        np.append(np.ones(n), 0.0)[None],
        [1.0],
        bounds=[(0, None)] * n + [(None, None)],
    )
    return result.fun


def natural_residual(A, x, y):
    """|u - P(u - F(u))|, the residual of the papers, with the projection of this package."""
    dx = monotone.project_simplex(x - A.T @ y) - x
    dy = monotone.project_simplex(y + A @ x) - y
    return np.hypot(np.linalg.norm(dx), np.linalg.norm(dy))


@pytest.mark.parametrize("method", FORMS)
def test_rock_paper_scissors(method):
    r = monotone.solve_game(
        [[0, -1, 1], [1, 0, -1], [-1, 1, 0]], method=method, tol=1e-9, x0=([1, 0, 0], [0, 1, 0])
    )
    np.testing.assert_allclose(r.x, 1 / 3, atol=1e-7)
    np.testing.assert_allclose(r.y, 1 / 3, atol=1e-7)
    assert r.value == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("payoffs", [(3, 0, 1, 2), (1, -1, -1, 1), (5, -2, -3, 4)])
def test_two_by_two_games_without_a_saddle(method, payoffs):
    a, b, c, d = payoffs
    r = monotone.solve_game([[a, b], [c, d]], method=method, tol=1e-9)
    total = a + d - b - c
    assert r.value == pytest.approx((a * d - b * c) / total, abs=1e-6)
    np.testing.assert_allclose(r.y, [(d - c) / total, (a - b) / total], atol=1e-6)
    np.testing.assert_allclose(r.x, [(d - b) / total, (a - c) / total], atol=1e-6)


@given(
    A=arrays(float, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.integers(-9, 9).map(float))
)
def test_the_value_is_that_of_highs_and_within_the_gap(A):
    value = value_by_highs(A)
    for method in FORMS:
        r = monotone.solve_game(A, method=method, tol=1e-7)
        assert r.success
        assert (A.T @ r.y).min() - 1e-9 <= value <= (A @ r.x).max() + 1e-9
        assert r.value == pytest.approx(value, abs=1e-4)
        assert r.gap == pytest.approx((A @ r.x).max() - (A.T @ r.y).min())


@given(seed=st.integers(0, 1000), shift=st.floats(-100, 100), unit=st.sampled_from([1e-6, 1.0, 1e6]))
def test_a_constant_and_a_unit_change_no_strategy(seed, shift, unit):
    A = np.random.default_rng(seed).uniform(-1, 1, (4, 6))
    r = monotone.solve_game(A, tol=1e-9, method="simplex-pdhg")
    s = monotone.solve_game(unit * (A + shift), tol=1e-9, method="simplex-pdhg")
    assert s.value == pytest.approx(unit * (r.value + shift), rel=1e-5, abs=unit * 1e-6)


def test_uniform_games_take_a_fraction_of_the_epochs_of_the_extragradient_method():
    ours, ratio = [], []
    for seed in range(3):
        A = np.random.default_rng(seed).uniform(-1, 1, (200, 200))
        r = monotone.solve_game(A, tol=1e-3)
        assert natural_residual(A, r.x, r.y) <= 1e-3
        game, L = monotone.BilinearGame(A), np.linalg.norm(A, 2)
        eg = monotone.halpern(game.full, game.start(), L=L, prox=game.prox, method="eg", tol=1e-3)
        ours.append(r.nit)
        ratio.append(eg.nfev / r.nit)  # an epoch is a product with A and one with A'
    assert ours[0] <= 250
    assert np.median(ours) <= 250
    assert min(ratio) > 5


def test_auto_takes_the_linear_program_for_badly_scaled_games(burglar):
    A = burglar(500).T  # as published: the player of x chooses the house
    r = monotone.solve_game(A, tol=1e-5)
    assert r.method == "lp"
    assert r.value == pytest.approx(0.00189148284, abs=1e-5)
    assert natural_residual(A, r.x, r.y) < 1e-3
    assert monotone.solve_game(np.eye(3), maxiter=100).method == "simplex-pdhg"


def test_the_race_costs_little_more_than_the_better_form(burglar):
    rng = np.random.default_rng(5)
    games = {
        "rows of all sizes": rng.uniform(-1, 1, (60, 60)) * 10 ** rng.uniform(-2, 2, (60, 1)),
        "columns of two sizes": rng.uniform(-1, 1, (30, 40)) * np.where(np.arange(40) < 3, 50.0, 1.0),
        "normal": rng.normal(size=(30, 50)),
        "burglar": burglar(100),
        "two by two": np.array([[100.0, 0.0], [0.0, 1.0]]),
    }
    for A in games.values():
        steps = {m: monotone.solve_game(A, method=m, tol=1e-3).nit for m in FORMS}
        r = monotone.solve_game(A, tol=1e-3)
        assert r.success
        # A heat of 512, 1024, ... for each: the loser's heats, and what the winner could not know.
        assert r.nit <= 3 * min(steps.values()) + 1024


def test_a_race_ends_on_the_same_point_watched_or_not():
    A = np.random.default_rng(5).uniform(-1, 1, (20, 20)) * 10 ** np.linspace(-2, 2, 20)[:, None]
    seen = []
    plain = monotone.solve_game(A, tol=1e-4)
    watched = monotone.solve_game(A, tol=1e-4, callback=seen.append)
    assert plain.nit == watched.nit == len(seen) > 512
    np.testing.assert_array_equal(plain.x, watched.x)
    np.testing.assert_array_equal(plain.history["iteration"][-1], plain.nit)


def test_sparse_games():
    A = random_array((60, 80), density=0.1, rng=3)
    dense = monotone.solve_game(A.toarray(), tol=1e-7)
    for method in FORMS:
        r = monotone.solve_game(csr_array(A), tol=1e-7, method=method)
        assert r.value == pytest.approx(dense.value, abs=1e-5)


@pytest.mark.parametrize("method", FORMS)
def test_degenerate_games(method):
    assert monotone.solve_game([[3.0]], method=method).value == pytest.approx(3)
    r = monotone.solve_game([[1.0, 2.0, 0.5]], method=method)
    np.testing.assert_allclose(r.x, [0, 0, 1], atol=1e-5)
    r = monotone.solve_game([[1.0], [2.0]], method=method)
    np.testing.assert_allclose(r.y, [0, 1], atol=1e-5)
    r = monotone.solve_game(np.zeros((2, 3)), method=method)
    assert (r.nit, r.value, r.gap) == (0, 0.0, 0.0)
    assert monotone.solve_game(np.full((3, 2), 7.0), method=method).value == pytest.approx(7)


def test_a_start_is_used():
    A = np.random.default_rng(0).uniform(-1, 1, (20, 30))
    r = monotone.solve_game(A, tol=1e-8)
    assert monotone.solve_game(A, tol=1.1e-8, x0=(r.x, r.y)).nit == 0
