"""Numbers of every kind and size: exact projections, tiny and huge data, NumPy scalars, masked arrays."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from numsolve import ConvergenceWarning, Status, monotone
from numsolve.monotone import _cpu_simplex, _cpu_vr
from numsolve.monotone._tuples import L2_BALL, Resolvent

INF = float("inf")

# --- the projection on the simplex ----------------------------------------------------------------


def exact_projection(v, radius):
    """In rational numbers: t is the mean excess of the most of the largest entries that all exceed it."""
    down = sorted((Fraction(x) for x in v), reverse=True)
    total, t = Fraction(0), None
    for count, x in enumerate(down, start=1):
        total += x
        if x > (excess := (total - Fraction(radius)) / count):
            t = excess
    return np.array([float(max(Fraction(x) - t, Fraction(0))) for x in v])


def compiled(v, radius=1.0):
    out = np.array(v, dtype=float)
    _cpu_simplex.project_on_simplex(out, radius)
    return out


def compiled_on_ball(v, radius):
    out = np.array(v, dtype=float)
    _cpu_vr.apply_to(Resolvent.of(L2_BALL, radius), out, 1.0)
    return out


@pytest.mark.parametrize("project", [compiled, monotone.project_simplex], ids=["compiled", "array code"])
@given(
    v=arrays(float, st.integers(1, 12), elements=st.integers(-12, 12).map(lambda k: k / 6)),
    radius=st.sampled_from([1.0, 1 / 3, 7.0, 1e-9, 1e9]),
    offset=st.sampled_from([0.0, 1e3, -1e6]),
    noise=st.sampled_from([0.0, 1e-16, 3e-8]),
)
def test_the_projection_is_exact(project, v, radius, offset, noise):
    """Sixths have ties that rounding may break either way, where thresholds fall on entries."""
    v = v + offset + noise * np.arange(v.size)
    eps = 4 * np.finfo(float).eps
    p = project(v, radius)
    np.testing.assert_allclose(p, exact_projection(v, radius), rtol=0, atol=eps * (radius + abs(v).max()))
    assert p.sum() == pytest.approx(radius, rel=1e-13)
    assert (p >= 0).all()


@pytest.mark.parametrize("size", [10, 1000, 100_000])
def test_entries_that_go_one_by_one_take_few_rounds(size):
    """Geometric entries may drop one a round, and yet the rounds grow like log(size): it takes no time."""
    v = -(2.0 ** -np.arange(size, dtype=float))
    np.testing.assert_allclose(compiled(v), monotone.project_simplex(v), atol=1e-15)


@pytest.mark.parametrize("project", [compiled, monotone.project_simplex], ids=["compiled", "array code"])
@pytest.mark.parametrize("v", [[1e308, -1e308], [1e17, 1e17, 3.0], [-1e300] * 4, [5e-324, 0.0]])
def test_no_offset_is_too_large(project, v):
    with np.errstate(all="raise", under="ignore"):
        p = project(np.array(v))
    np.testing.assert_array_equal(p, exact_projection(v, 1.0))


def test_nan_is_not_lost_in_compiled_projections():
    for v in ([np.nan, 1.0], [1.0, np.nan], [INF, 0.0]):
        assert np.isnan(compiled(v)).any()
    ball = np.array([np.nan, 3.0])
    _cpu_vr.apply_to(Resolvent.of(L2_BALL, 1.0), ball, 1.0)
    assert np.isnan(ball).any()


@pytest.mark.parametrize("seed", range(40))
def test_win_lose_games_end(seed):
    rng = np.random.default_rng(seed)
    m, n = rng.integers(2, 9, 2)
    r = monotone.solve_game((rng.random((m, n)) < 0.5).astype(float), method="simplex-pdhg")
    assert r.success
    assert r.gap < 1e-5


def test_the_published_game_that_never_returned():
    A = [[0, 0, 1, 0, 1, 1], [0, 0, 0, 1, 0, 0], [1, 0, 0, 1, 0, 0], [0, 1, 1, 1, 1, 1], [1, 1, 0, 1, 0, 1]]
    r = monotone.solve_game(A)
    A = np.array(A)
    assert (A.T @ r.y).min() - 1e-9 <= 0.5 <= (A @ r.x).max() + 1e-9
    assert r.value == pytest.approx(0.5, abs=1e-5)


# --- tiny and huge data ---------------------------------------------------------------------------

SIZES = [1e-300, 1e-170, 1e-120, 1e120, 1e160, 1e290]


@pytest.mark.parametrize("form", [np.asarray, lambda A: np.asarray(A)[None]], ids=["single", "batch"])
@pytest.mark.parametrize("size", SIZES)
def test_costs_or_bounds_of_any_size(size, form):
    """Two products, two machines: x = (2, 6), value -36, multipliers -(2.25, 0.25)."""
    A, c, b = np.array([[1.0, 2.0], [3.0, 2.0]]), np.array([-3.0, -5.0]), np.array([14.0, 18.0])
    with np.errstate(all="raise", under="ignore"):
        r = monotone.solve_lp(form(size * c), A, uc=b, lx=0)
        s = monotone.solve_lp(form(c), A, uc=size * b, lx=0)
        both = monotone.solve_lp(form(c / size), A, uc=size * b, lx=0)
    for result, in_x, in_y in ((r, 1.0, size), (s, size, 1.0), (both, size, 1 / size)):
        assert np.all(result.success)
        np.testing.assert_allclose(np.squeeze(result.x) / in_x, [2, 6], rtol=1e-4)
        np.testing.assert_allclose(np.squeeze(result.y) / in_y, [-2.25, -0.25], rtol=1e-4)
        np.testing.assert_allclose(result.fun / in_x / in_y, -36, rtol=1e-5)
        assert np.all(result.residual <= 1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_a_matrix_of_any_size(size):
    A, c, b = np.array([[1.0, 2.0], [3.0, 2.0]]), np.array([-3.0, -5.0]), np.array([14.0, 18.0])
    with np.errstate(all="raise", under="ignore"):
        r = monotone.solve_lp(c, A * size, uc=b, lx=0)
    np.testing.assert_allclose(r.x * size, [2, 6], rtol=1e-4)


@pytest.mark.parametrize("method", ["lp", "simplex-pdhg"])
@pytest.mark.parametrize("size", SIZES)
def test_payoffs_of_any_size(size, method):
    A = np.array([[0.0, -1.0, 2.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
    with np.errstate(all="raise", under="ignore"):
        r = monotone.solve_game(size * A, method=method)
    assert r.success
    np.testing.assert_allclose(r.x, [1 / 3, 5 / 12, 1 / 4], atol=1e-5)
    assert r.value == pytest.approx(size / 12, rel=1e-4)


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e160])
def test_operators_of_any_size(size):
    """The tolerance speaks of |F|, in its own units."""
    target = np.array([1.0, 2.0])
    with np.errstate(all="raise", under="ignore"):
        r = monotone.halpern(
            lambda u: size * (u - target), np.zeros(2), L=size, tol=1e-6 * size, restart="adaptive"
        )
        game = monotone.BilinearGame(size * np.array([[3.0, 0.0], [1.0, 2.0]]))
        s = monotone.vr_halpern(game, game.start(), assumption="lipschitz", tol=1e-3 * size, rng=0)
    np.testing.assert_allclose(r.x, target, rtol=1e-5)
    np.testing.assert_allclose(s.x, [0.5, 0.5, 0.25, 0.75], atol=1e-2)
    assert game.constant("importance") == pytest.approx(size * np.sqrt(14))
    assert game.constant("uniform") == pytest.approx(size * np.sqrt(20))


def test_a_sum_whose_squares_overflow_is_refused():
    with pytest.raises(ValueError, match="Z is so large that the squares of its rows overflow"):
        monotone.AffineFiniteSum([[1e160]], [1.0])


def test_the_ball_holds_vectors_of_any_size():
    for size in (1e-170, 1e160, 1e300):
        v = np.array([3.0, 4.0]) * size
        np.testing.assert_allclose(monotone.project_l2_ball(v, size), np.array([0.6, 0.8]) * size)
        _cpu_vr.apply_to(Resolvent.of(L2_BALL, size), v, 1.0)
        np.testing.assert_allclose(v, np.array([0.6, 0.8]) * size)


@pytest.mark.parametrize(
    "project", [compiled_on_ball, monotone.project_l2_ball], ids=["compiled", "array code"]
)
@pytest.mark.parametrize("radius", [1e-300, 1e-170, 1.0, 1e160])
@pytest.mark.parametrize("size", [1e-160, 1e160, 4e307])
def test_the_radius_of_a_ball_may_be_of_any_size_beside_that_of_the_vector(project, radius, size):
    v = np.array([3.0, 4.0]) * size
    want = np.array([0.6, 0.8]) * radius if radius < 5 * size else v
    np.testing.assert_allclose(project(v, radius), want)


# --- answers beyond the range of floats ------------------------------------------------------------

BEYOND = {
    "y": {
        "c": [3e160],
        "A": [[1.2e-170], [-5.7e-171]],
        "lc": [-2.4e-170, 1.14e-170],
        "uc": [-2.4e-170, 1.14e-170],
        "lx": -3,
    },
    "no rows": {"c": [3e200], "lx": 1e200},
    "fun": {"c": [3e200], "A": [[1.0]], "lc": 1e200},
}


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("name", BEYOND)
def test_an_answer_beyond_the_range_of_floats_is_no_success(name, batch):
    """Converged in the units of the iteration is not enough; and the warning is ours alone."""
    settings = dict(BEYOND[name])
    if batch:
        settings["c"] = [settings["c"]] * 2
    with pytest.warns(ConvergenceWarning) as caught:
        r = monotone.solve_lp(**settings)
    assert {w.category for w in caught} == {ConvergenceWarning}
    assert set(np.atleast_1d(r.status)) == {Status.NONFINITE}
    assert not np.any(r.success)


@pytest.mark.parametrize("method", ["auto", "lp", "simplex-pdhg"])
def test_the_largest_payoffs_give_no_warning(method):
    with np.errstate(all="raise", under="ignore"):
        assert monotone.solve_game([[1e308, -1e308], [0, 1e308]], method=method).success


@pytest.mark.parametrize("method", ["halpern", "eag", "popov", "eg"])
def test_a_run_that_blows_up_warns_once_and_in_our_words(method):
    with pytest.warns(ConvergenceWarning) as caught:
        r = monotone.halpern(lambda u: -1e200 * np.clip(u, -1e100, 1e100), [1e100, 1], L=1e-9, method=method)
    assert {w.category for w in caught} == {ConvergenceWarning}
    assert not r.success


@pytest.mark.parametrize("cost", [1.0, 1e160])
@pytest.mark.parametrize("batch", [False, True])
def test_a_start_out_of_range_warns_once_and_in_our_words(cost, batch):
    c = np.array([[cost, 1.0]] * 2) if batch else np.array([cost, 1.0])
    x = np.full(c.shape, 1e308)
    with pytest.warns(ConvergenceWarning) as caught:
        r = monotone.solve_lp(c, [[1.0, 2.0], [3.0, 1.0]], lc=[1, 1], x0=(x, -x), maxiter=100)
    assert {w.category for w in caught} == {ConvergenceWarning}
    assert not np.any(r.success)


@pytest.mark.parametrize("batch", [False, True])
def test_entries_further_apart_than_the_range_of_floats_are_no_crash(batch):
    c = np.ones((2, 2) if batch else 2)
    with pytest.warns(ConvergenceWarning) as caught:
        r = monotone.solve_lp(c, [[1.0, 1e-300], [1e300, 1.0]], uc=[1e300, 1], lx=0, maxiter=100)
    assert {w.category for w in caught} == {ConvergenceWarning}
    assert not np.any(r.success)


# --- kinds of numbers -----------------------------------------------------------------------------

KINDS = [int, float, np.int8, np.uint64, np.float32, np.longdouble, np.asarray]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_numbers_of_every_kind_mean_the_same(kind):
    one, two, many = kind(1), kind(2), kind(100)
    A, c = np.array([[1.0, 2.0], [3.0, 2.0]]), np.array([-3.0, -5.0])
    total = monotone.AffineFiniteSum(A, c)
    calls = {
        "bounds": lambda a, b, _: monotone.solve_lp(c, A, lc=a, uc=b, lx=a, ux=b, maxiter=100),
        "a batch": lambda a, b, _: monotone.solve_lp([c, c], A, uc=b, lx=0, ux=a),
        "tolerances": lambda a, _, n: monotone.solve_lp(c, A, uc=1, lx=0, tol=a, polish=a, maxiter=n),
        "linprog": lambda a, b, n: monotone.linprog(c, A, [1, 1], bounds=(0, b), tol=a, maxiter=n),
        "solve_game": lambda a, _, n: monotone.solve_game(A, tol=a, maxiter=n),
        "halpern": lambda a, b, n: monotone.halpern(
            lambda x: x - 4, [0.0], L=b, gamma=a, tol=a, maxiter=n, time_limit=n
        ),
        "vr_halpern": lambda a, b, n: monotone.vr_halpern(
            total, [0, 0], L=n, batch=a, prob=a, max_epochs=n, tol=b, rng=0
        ),
        "vr_halpern, step": lambda a, b, n: monotone.vr_halpern(
            total, [0, 0], step=a, tol=n, maxiter=b, rng=0
        ),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for run in calls.values():
            np.testing.assert_array_equal(run(one, two, many).x, run(1.0, 2.0, 100).x)
    for project in (
        lambda a, b: monotone.project_simplex(c, b),
        lambda a, b: monotone.project_box(c, a, b),
        lambda a, b: monotone.project_l2_ball(c, a),
        lambda a, b: monotone.prox_l1(c, a, b),
    ):
        np.testing.assert_array_equal(project(one, two), project(1.0, 2.0))


MASKED = np.ma.MaskedArray([1.0, 2.0], [False, True])
TABLE = np.ma.MaskedArray([[1.0, 2.0]], [[False, True]])
REFUSED = {
    "c": lambda: monotone.solve_lp(MASKED, [[1.0, 1.0]], uc=1.0),
    "A": lambda: monotone.solve_lp([1.0, 1.0], TABLE, uc=1.0),
    "uc": lambda: monotone.solve_lp([1.0], [[1.0], [2.0]], uc=MASKED),
    "lx": lambda: monotone.solve_lp([1.0, 1.0], [[1.0, 1.0]], lx=MASKED),
    "ux": lambda: monotone.solve_lp([1.0, 1.0], [[1.0, 1.0]], ux=np.ma.masked),
    "b_ub": lambda: monotone.linprog([1.0], [[1.0], [2.0]], MASKED),
    "bounds": lambda: monotone.linprog([1.0], bounds=MASKED),
    "x0": lambda: monotone.halpern(lambda u: u, MASKED, L=1.0),
    "Z": lambda: monotone.AffineFiniteSum(TABLE, [1.0]),
    "b": lambda: monotone.AffineFiniteSum([[1.0], [1.0]], MASKED),
    "y": lambda: monotone.project_simplex(MASKED),
    "lower": lambda: monotone.project_box([1.0, 2.0], MASKED, 3.0),
    "v": lambda: monotone.prox_l1(MASKED),
}


@pytest.mark.parametrize("name", REFUSED)
def test_masked_arrays_are_refused_by_name(name):
    with pytest.raises(TypeError, match=rf"^{name} is a masked array"):
        REFUSED[name]()


def test_a_masked_game_is_refused():
    for call in (monotone.solve_game, monotone.BilinearGame):
        with pytest.raises(TypeError, match="A is a masked array"):
            call(TABLE)


@pytest.mark.parametrize(
    "settings", [{"gamma": True}, {"L": True}, {"tol": np.bool_(True)}, {"maxiter": True}]
)
def test_truth_values_are_no_numbers(settings):
    with pytest.raises(TypeError, match="must be a"):
        monotone.halpern(lambda u: u - 1, [0.0], **{"L": 1.0, **settings})
