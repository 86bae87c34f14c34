"""Transport between clouds without the matrix: the answers of `solve`, identities, derivatives."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from scipy.sparse.linalg import LinearOperator
from scipy.spatial.distance import cdist

from numsolve import transport
from numsolve._core.result import ConvergenceWarning, Status
from numsolve.transport import problems


@pytest.fixture(autouse=True)
def by_passes(monkeypatch):
    """Small clouds are solved as large ones, but in tests that say otherwise."""
    monkeypatch.setattr("numsolve.transport.clouds._problem.SMALL", 0)


@njit
def slanted(x, y):
    """Not symmetric, not homogeneous."""
    return abs(x[0] - y[0]) + 2 * (x[1] - y[1]) ** 2 + 0.1 * x[0] * y[1]


def powers(p):
    return lambda X, Y: np.sum(np.abs(X[:, None, :] - Y[None, :, :]) ** p, axis=2)


#: name: (settings of solve_sample, the matrix of costs)
METRICS = {
    "sqeuclidean": ({}, lambda X, Y: cdist(X, Y, "sqeuclidean")),
    "euclidean": ({"metric": "euclidean"}, cdist),
    "cityblock": ({"metric": "cityblock"}, lambda X, Y: cdist(X, Y, "cityblock")),
    "cosine": ({"metric": "cosine"}, lambda X, Y: cdist(X, Y, "cosine")),
    "power 0.5": ({"metric": "power", "p": 0.5}, powers(0.5)),
    "power 1.5": ({"metric": "power", "p": 1.5}, powers(1.5)),
    "power 3": ({"metric": "power", "p": 3}, powers(3)),
    "function": (
        {"metric": slanted},
        lambda X, Y: np.array([[slanted(x, y) for y in Y] for x in X]),
    ),
}


def clouds(n, m, d=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((n, d)), 0.5 + 0.4 * rng.standard_normal((m, d))


def weights(n, seed=0):
    a = np.random.default_rng(seed).uniform(0.1, 1.0, n)
    return a / a.sum()


def agree(result, M, a, b, reg, tol=1e-7):
    """The result is that of `solve`, and its error is that of its plan."""
    stored = transport.solve(M, a, b, reg, tol=1e-11)
    P = result.plan.block()
    a, b = (np.full(k, 1 / k) if w is None else np.asarray(w) for w, k in zip((a, b), M.shape, strict=True))
    error = (np.abs(P.sum(axis=1) - a).sum() + np.abs(P.sum(axis=0) - b).sum()) / a.sum()
    assert result.success
    assert result.marginal_error == pytest.approx(error, abs=1e-12)
    np.testing.assert_allclose(P, stored.plan, atol=tol * stored.plan.max())
    for name in ("value", "value_linear", "kl"):
        assert getattr(result, name) == pytest.approx(getattr(stored, name), rel=tol, abs=tol)
    np.testing.assert_allclose(result.bounds, stored.bounds, rtol=1e-6, atol=1e-6)


# -- the answers are those of the solver with the matrix -------------------------------------------


@pytest.mark.parametrize("name", METRICS)
def test_the_answer_is_that_of_the_matrix(name):
    keywords, cost = METRICS[name]
    X, Y = clouds(150, 200)
    a, b = weights(150), weights(200, 1)
    result = transport.solve_sample(X, Y, a, b, reg=0.02, tol=1e-10, **keywords)
    assert result.marginal_error <= 1e-10
    agree(result, cost(X, Y), a, b, 0.02, tol=3e-7)


@pytest.mark.parametrize("reg", [10.0, 1e-1, 1e-2, 1e-3, 1e-4])
def test_any_regularisation(reg):
    X, Y = clouds(600, 500)
    result = transport.solve_sample(X, Y, reg=reg, tol=1e-9)
    agree(result, cdist(X, Y, "sqeuclidean"), None, None, reg, tol=1e-6)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 10, 50])
def test_any_dimension(d):
    X, Y = clouds(120, 130, d)
    result = transport.solve_sample(X, Y, reg=0.02 * d, tol=1e-9)
    agree(result, cdist(X, Y, "sqeuclidean"), None, None, 0.02 * d, tol=1e-6)


def test_sinkhorn_comes_to_the_same_plan():
    X, Y = clouds(200, 150)
    swept = transport.solve_sample(X, Y, reg=0.02, tol=1e-9, method="sinkhorn")
    assert swept.nnewton == 0 < swept.nsinkhorn
    agree(swept, cdist(X, Y, "sqeuclidean"), None, None, 0.02, tol=1e-6)


def test_newton_on_passes_and_on_entries_agree(monkeypatch):
    from numsolve.transport.clouds import _semidual

    X, Y = clouds(400, 300)
    stored = transport.solve_sample(X, Y, reg=1e-3, tol=1e-10)
    monkeypatch.setattr(_semidual, "most", lambda pairs: 0)
    passes = transport.solve_sample(X, Y, reg=1e-3, tol=1e-10)
    np.testing.assert_allclose(
        passes.plan.block(), stored.plan.block(), atol=1e-9 * stored.plan.block().max()
    )


def test_a_coarse_plan_shortens_the_solve_of_the_whole(monkeypatch):
    from numsolve.transport.clouds import _semidual

    X, Y = problems.clouds(4000, 2, rng=0)
    with_coarse = transport.solve_sample(X, Y, reg=0.01, tol=1e-7)
    monkeypatch.setattr(_semidual, "TwoGrid", lambda diagonal, *coarse: _semidual.Jacobi(diagonal))
    without = transport.solve_sample(X, Y, reg=0.01, tol=1e-7)
    assert with_coarse.value == pytest.approx(without.value, abs=1e-7)
    assert with_coarse.ncg < 0.7 * without.ncg  # the steps of the coarse stages are in both


def test_thousands_of_points_and_an_honest_error():
    X, Y = problems.clouds(5000, 2, rng=1)
    result = transport.solve_sample(X, Y, reg=1e-3, tol=1e-7)
    error = 0.0
    columns = np.zeros(5000)
    f, g = result.potentials
    for i in range(0, 5000, 500):
        P = np.exp((f[i : i + 500, None] + g - cdist(X[i : i + 500], Y, "sqeuclidean")) / 1e-3)
        columns += P.sum(axis=0)
        error += np.abs(P.sum(axis=1) - 1 / 5000).sum()
    error += np.abs(columns - 1 / 5000).sum()
    assert result.marginal_error == pytest.approx(error, rel=1e-3, abs=1e-12)
    assert error <= 1e-7


# -- identities ------------------------------------------------------------------------------------


def test_the_value_is_that_of_the_dual():
    X, Y = clouds(200, 250)
    a, b = 3 * weights(200), 3 * weights(250, 1)
    r = transport.solve_sample(X, Y, a, b, reg=0.01, tol=1e-11)
    f, g = r.potentials
    assert r.value == pytest.approx(a @ f + b @ g - 0.01 * 3, abs=1e-9)
    assert r.bounds[0] <= r.value_linear <= r.bounds[1] + 1e-9
    assert r.bounds[1] - r.bounds[0] <= 0.01 * np.log(200) * 3


def test_the_bounds_enclose_the_exact_cost():
    from scipy.optimize import linear_sum_assignment

    X, Y = clouds(300, 300)
    for metric in ("sqeuclidean", "euclidean"):
        M = cdist(X, Y, metric)
        exact = M[linear_sum_assignment(M)].mean()
        for tol in (0.5, 1e-9):
            low, high = transport.solve_sample(X, Y, reg=1e-3, metric=metric, tol=tol).bounds
            assert low - 1e-12 <= exact <= high + 1e-12
        assert high - low < 0.01


def test_gaussians_have_a_closed_form():
    """The cross-covariance of the entropic plan between Gaussians (H. Janati et al., NeurIPS 2020)."""
    t = np.linspace(-8, 8, 1500)
    v1, v2, reg = 0.6, 1.3, 0.8
    a, b = (np.exp(-(t**2) / (2 * v)) for v in (v1, v2))
    a, b = a / a.sum(), b / b.sum()
    r = transport.solve_sample(t[:, None], t[:, None], a, b, reg=reg, tol=1e-10)
    cross = (a * t) @ ((r.plan @ t) / a)
    assert cross == pytest.approx((np.sqrt(4 * v1 * v2 + (reg / 2) ** 2) - reg / 2) / 2, abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 4), st.integers(0, 10**6))
def test_marginals_symmetry_and_scaling(n, m, d, seed):
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    a, b = weights(n, seed), weights(m, seed + 1)
    r = transport.solve_sample(X, Y, a, b, reg=0.3, tol=1e-9)
    P = r.plan.block()
    assert P.min() >= 0
    assert np.abs(P.sum(axis=1) - a).sum() + np.abs(P.sum(axis=0) - b).sum() <= 1.0001e-9
    back = transport.solve_sample(Y, X, b, a, reg=0.3, tol=1e-9)
    np.testing.assert_allclose(back.plan.block(), P.T, atol=1e-7)
    large = transport.solve_sample(100 * X + 7, 100 * Y + 7, a, b, reg=3000.0, tol=1e-9)
    np.testing.assert_allclose(large.plan.block(), P, atol=1e-7)
    order = rng.permutation(n)
    permuted = transport.solve_sample(X[order], Y, a[order], b, reg=0.3, tol=1e-9)
    np.testing.assert_allclose(permuted.plan.block(), P[order], atol=1e-7)


# -- derivatives -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in METRICS if name != "function"])
def test_gradient_in_the_positions(name):
    keywords, _ = METRICS[name]
    rng = np.random.default_rng(2)
    X, Y = clouds(40, 50, 3)
    a, b = 2 * weights(40), 2 * weights(50, 1)
    a[5] = 0.0
    b *= a.sum() / b.sum()

    def value(X, Y):
        return transport.solve_sample(X, Y, a, b, reg=0.1, tol=1e-12, **keywords).value

    gradient = transport.solve_sample(X, Y, a, b, reg=0.1, tol=1e-12, **keywords).gradient()
    assert gradient.X_a.shape == X.shape
    assert gradient.X_b.shape == Y.shape
    assert np.all(gradient.X_a[5] == 0)
    dX, dY = rng.standard_normal(X.shape), rng.standard_normal(Y.shape)
    h = 1e-5
    numeric = (value(X + h * dX, Y + h * dY) - value(X - h * dX, Y - h * dY)) / (2 * h)
    exact = np.sum(gradient.X_a * dX) + np.sum(gradient.X_b * dY)
    assert numeric == pytest.approx(exact, rel={"power 0.5": 2e-2, "power 1.5": 1e-4}.get(name, 1e-5))


def test_gradient_in_the_weights():
    X, Y = clouds(40, 50)
    a, b = weights(40), weights(50, 1)
    r = transport.solve_sample(X, Y, a, b, reg=0.05, tol=1e-12)
    move = np.zeros(40)
    move[[3, 17]] = 1e-5, -1e-5
    up, down = (transport.solve_sample(X, Y, a + s * move, b, reg=0.05, tol=1e-12).value for s in (1, -1))
    assert (up - down) / 2 == pytest.approx(r.gradient().a @ move, rel=1e-6)


def test_what_has_no_derivative_says_so():
    X, Y = clouds(10, 12)
    r = transport.solve_sample(X, Y, reg=0.1, metric=slanted)
    with pytest.raises(TypeError, match="derivative of a metric given as a function"):
        r.gradient()
    with pytest.raises(TypeError, match="derivative of a metric given as a function"):
        r.vjp((np.ones(10), np.ones(12)))


def loss_of(U, V, p, q):
    """A loss of products with the plan and of the potentials, and its derivatives in both for `vjp`."""

    def loss(r):
        f, g = (np.where(np.isfinite(x), x, 0.0) for x in r.potentials)
        return np.sum(U * (r.plan @ V)) + p @ f + q @ g

    return loss, (U, V), (p, q)


def a_loss(n, m, k=2, without=()):
    rng = np.random.default_rng(4)
    U, V, p, q = rng.normal(size=(n, k)), rng.normal(size=(m, k)), rng.normal(size=n), rng.normal(size=m)
    p[list(without)] = 0.0
    return loss_of(U, V, p, q + (p.sum() - q.sum()) / m)


@pytest.mark.parametrize("name", [name for name in METRICS if name not in ("function", "power 0.5")])
def test_the_adjoint_is_the_slope_of_a_loss_of_products_and_potentials(name):
    keywords, _ = METRICS[name]
    rng = np.random.default_rng(2)
    X, Y = clouds(40, 50, 3)
    a, b = 2 * weights(40), 2 * weights(50, 1)
    a[5] = 0.0
    b *= a.sum() / b.sum()
    loss, dP, potentials = a_loss(40, 50, without=[5])
    dX, dY, da, db = (rng.standard_normal(x.shape) for x in (X, Y, a, b))
    da[5] = 0.0
    da, db = 0.01 * da, 0.01 * (db + (da.sum() - db.sum()) / 50)

    def at(h):
        data = (X + h * dX, Y + h * dY, a + h * da, b + h * db)
        return loss(transport.solve_sample(*data, reg=0.2, tol=1e-13, **keywords))

    r = transport.solve_sample(X, Y, a, b, reg=0.2, tol=1e-13, **keywords)
    gradient = r.vjp(dP, potentials=potentials)
    h = 1e-6 if name == "cityblock" else 1e-4  # a step must not cross a kink
    numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    exact = np.sum(gradient.X_a * dX) + np.sum(gradient.X_b * dY)
    exact += np.nansum(gradient.a * da) + gradient.b @ db
    assert np.isnan(gradient.a[5])
    assert np.all(gradient.X_a[5] == 0)
    assert numeric == pytest.approx(exact, rel={"power 1.5": 1e-3, "cityblock": 1e-5}.get(name, 1e-6))


@pytest.mark.parametrize("stored", ["pairs", "entries", "nothing"])
@pytest.mark.parametrize("reg", [1.0, 1e-2])
def test_the_adjoint_is_that_of_the_matrix(reg, stored, monkeypatch):
    if stored != "pairs":
        monkeypatch.setattr("numsolve.transport.clouds._adjoint.STORED", 0)
    if stored == "nothing":
        monkeypatch.setattr("numsolve.transport.clouds._adjoint.most", lambda pairs: 0)
    X, Y = clouds(60, 80)
    a, b = weights(60), weights(80, 1)
    _, (U, V), potentials = a_loss(60, 80)
    sample = transport.solve_sample(X, Y, a, b, reg=reg, tol=1e-12).vjp((U, V), potentials=potentials)
    dense = transport.solve(cdist(X, Y, "sqeuclidean"), a, b, reg, tol=1e-12)
    dense = dense.vjp(U @ V.T, potentials=potentials)
    slopes = 2 * dense.M[:, :, None] * (X[:, None, :] - Y[None, :, :])
    size = np.abs(slopes).max()
    np.testing.assert_allclose(sample.X_a, slopes.sum(axis=1), atol=1e-7 * size)
    np.testing.assert_allclose(sample.X_b, -slopes.sum(axis=0), atol=1e-7 * size)
    for x, y in ((sample.a, dense.a), (sample.b, dense.b)):
        np.testing.assert_allclose(x - x.mean(), y - y.mean(), atol=1e-7 * np.abs(y).max())


def test_the_plan_does_not_see_a_common_motion():
    X, Y = clouds(70, 60)
    r = transport.solve_sample(X, Y, reg=0.05, tol=1e-12)
    _, dP, potentials = a_loss(70, 60)
    gradient = r.vjp(dP, potentials=potentials)
    np.testing.assert_allclose(gradient.X_a.sum(axis=0) + gradient.X_b.sum(axis=0), 0, atol=1e-8)
    # <1 v', P> = b.v whatever the points are: the derivative is v in b alone
    v = np.random.default_rng(0).normal(size=60)
    fixed = r.vjp((np.ones(70), v))
    np.testing.assert_allclose(fixed.X_a, 0, atol=1e-8)
    np.testing.assert_allclose(fixed.b - fixed.b.mean(), v - v.mean(), atol=1e-8)


def test_an_adjoint_of_thousands_of_points_stores_no_matrix():
    import tracemalloc

    X, Y = problems.clouds(6000, 2, rng=0)
    r = transport.solve_sample(X, Y, reg=1e-3)
    tracemalloc.start()
    gradient = r.vjp((np.sin(X), Y))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.25 * 6000**2 * 8
    assert np.abs(gradient.X_a.sum(axis=0) + gradient.X_b.sum(axis=0)).max() < 1e-8


def test_an_adjoint_that_stops_short_says_so(monkeypatch):
    X, Y = clouds(60, 80)
    r = transport.solve_sample(X, Y, reg=1e-2)
    for name, value in {"MAXITER": 1, "STORED": 0, "most": lambda pairs: 0}.items():
        monkeypatch.setattr(f"numsolve.transport.clouds._adjoint.{name}", value)
    with pytest.warns(ConvergenceWarning, match="stopped after 1 steps"):
        r.vjp((X, Y[:60].repeat(2, axis=0)[:80]))


BAD_LOSSES = {
    "a whole derivative": (np.ones((10, 12)), None, TypeError, "pair of factors .* got ndarray"),
    "shapes": ((np.ones((10, 2)), np.ones((10, 2))), None, ValueError, r"\(10, k\) and \(12, k\), got"),
    "columns": ((np.ones((10, 2)), np.ones(12)), None, ValueError, r"got \(10, 2\) and \(12, 1\)"),
    "nan": ((np.full(10, np.nan), np.ones(12)), None, ValueError, r"dP\[0\] must hold finite numbers"),
    "potential": (None, (np.ones(9), np.ones(12)), ValueError, r"potentials\[0\] must have shape"),
    "gauge": (None, (np.ones(10), np.ones(12)), ValueError, "equal sums, got 10 and 12"),
}


@pytest.mark.parametrize(("dP", "potentials", "kind", "fragment"), BAD_LOSSES.values(), ids=BAD_LOSSES.keys())
def test_a_loss_that_cannot_be_differentiated_is_refused(dP, potentials, kind, fragment):
    X, Y = clouds(10, 12)
    r = transport.solve_sample(X, Y, reg=0.1)
    with pytest.raises(kind, match=fragment):
        r.vjp(dP, potentials=potentials)
    with pytest.raises(ValueError, match="return_plan=True"):
        transport.solve_sample(X, Y, reg=0.1, return_plan=False).vjp()


# -- starts, stops, limits -------------------------------------------------------------------------


def test_a_warm_start_needs_next_to_nothing():
    X, Y = problems.clouds(1000, 2, rng=0)
    cold = transport.solve_sample(X, Y, reg=1e-3)
    again = transport.solve_sample(X, Y, reg=1e-3, potentials_init=cold.potentials)
    assert again.nit <= 1
    assert again.reg_path == (1e-3,)
    moved = transport.solve_sample(X + 1e-4, Y, reg=1e-3, potentials_init=cold.potentials)
    assert moved.nit < cold.nit
    useless = transport.solve_sample(X, Y, reg=1e-3, potentials_init=(np.zeros(1000), np.zeros(1000)))
    assert useless.value == pytest.approx(cold.value, abs=1e-8)


@pytest.mark.parametrize("maxiter", [0, 3, 8])
def test_a_limit_gives_the_best_iterate_and_warns(maxiter):
    X, Y = problems.clouds(800, 2, rng=0)
    with pytest.warns(ConvergenceWarning, match="iteration limit") as caught:
        r = transport.solve_sample(X, Y, reg=1e-3, tol=1e-9, maxiter=maxiter)
    assert len(caught) == 1
    assert r.status is Status.MAXITER
    assert r.nit == maxiter
    P = r.plan.block()
    error = np.abs(P.sum(axis=1) - 1 / 800).sum() + np.abs(P.sum(axis=0) - 1 / 800).sum()
    assert r.marginal_error == pytest.approx(error, rel=1e-9)


@pytest.mark.parametrize("method", ["newton", "sinkhorn"])
def test_the_callback_sees_whole_potentials_at_every_stage(method):
    X, Y = problems.clouds(700, 2, rng=0)
    a = weights(700)
    a[::7] = 0
    seen = []
    r = transport.solve_sample(X, Y, a / a.sum(), reg=0.01, callback=seen.append, method=method)
    assert len(seen) == r.nit
    assert all(f.shape == (700,) and g.shape == (700,) for f, g in seen)
    assert all(np.isneginf(f[::7]).all() and np.isfinite(g).all() for f, g in seen)
    stop = transport.solve_sample(X, Y, reg=0.01, callback=lambda x: True)
    assert stop.status is Status.STOPPED


def test_no_time_and_a_tolerance_below_rounding():
    X, Y = clouds(300, 300)
    with pytest.warns(ConvergenceWarning, match="time limit"):
        assert transport.solve_sample(X, Y, reg=1e-3, time_limit=0.0).status is Status.TIME_LIMIT
    r = transport.solve_sample(X, Y, reg=1e-2, tol=0.0)
    assert r.status is Status.ROUNDING
    assert r.marginal_error < 1e-12


def test_threads_change_nothing():
    from concurrent.futures import ThreadPoolExecutor

    X, Y = problems.clouds(4000, 3, rng=0)
    with ThreadPoolExecutor(3) as pool:
        threaded = transport.solve_sample(X, Y, reg=3e-3, executor=pool)
    default = transport.solve_sample(X, Y, reg=3e-3)
    assert np.array_equal(threaded.potentials[0], default.potentials[0])


# -- hard cases ------------------------------------------------------------------------------------

HARD = {
    "one point": (clouds(1, 1), None, None, 0.1),
    "one source": (clouds(1, 9), None, None, 0.1),
    "one target": (clouds(9, 1), None, None, 0.1),
    "duplicates": ((clouds(5, 1)[0].repeat(40, axis=0), clouds(1, 150)[1]), None, None, 0.01),
    "all points equal": ((np.ones((50, 2)), np.ones((40, 2))), None, None, 0.01),
    "a cloud and itself": ((clouds(150, 1)[0], clouds(150, 1)[0]), None, None, 1e-3),
    "weights of zero": (
        clouds(60, 70),
        np.arange(60) % 3 / 59.0,
        np.full(70, np.sum(np.arange(60) % 3) / 59 / 70),
        0.01,
    ),
    "weights down to 1e-30": (
        clouds(100, 100),
        10.0 ** np.linspace(-30, 0, 100) / np.sum(10.0 ** np.linspace(-30, 0, 100)),
        None,
        0.02,
    ),
    "far apart": ((clouds(80, 1)[0], clouds(1, 90)[1] + 100), None, None, 0.01),
    "two far groups": (
        tuple(np.concatenate([x, x + 1000]) for x in clouds(80, 90)),
        None,
        None,
        0.01,
    ),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_cases(name):
    (X, Y), a, b, reg = HARD[name]
    result = transport.solve_sample(X, Y, a, b, reg=reg, tol=1e-9)
    P = result.plan.block()
    a = np.full(len(X), 1 / len(X)) if a is None else a
    b = np.full(len(Y), 1 / len(Y)) if b is None else b
    assert result.success
    error = (np.abs(P.sum(axis=1) - a).sum() + np.abs(P.sum(axis=0) - b).sum()) / np.sum(a)
    assert error <= 2e-9
    assert np.all(np.isneginf(result.potentials[0]) == (a == 0))
    stored = transport.solve(cdist(X, Y, "sqeuclidean"), a, b, reg, tol=1e-11)
    np.testing.assert_allclose(P, stored.plan, atol=1e-6 * stored.plan.max())


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_any_unit(scale):
    X, Y = clouds(200, 200)
    r = transport.solve_sample(scale * X, scale * Y, reg=0.01 * scale**2, tol=1e-9)
    agree(transport.solve_sample(X, Y, reg=0.01, tol=1e-9), cdist(X, Y, "sqeuclidean"), None, None, 0.01)
    assert r.value_linear == pytest.approx(
        scale**2 * transport.solve_sample(X, Y, reg=0.01, tol=1e-9).value_linear, rel=1e-6
    )


def test_float32_is_computed_in_float64():
    X, Y = (x.astype(np.float32) for x in clouds(300, 250))
    r = transport.solve_sample(X, Y, reg=1e-3, tol=1e-9)
    assert r.marginal_error <= 1e-9
    assert r.potentials[0].dtype == r.plan.dtype == r.barycentric_map(Y).dtype == np.float32
    double = transport.solve_sample(X.astype(float), Y.astype(float), reg=1e-3, tol=1e-9)
    np.testing.assert_allclose(r.plan @ np.ones(250, np.float32), double.plan @ np.ones(250), rtol=1e-6)


# -- the plan as an operator -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def solved():
    X, Y = clouds(90, 110, 3)
    a, b = 5 * weights(90), weights(110, 1)
    a[[4, 40]] = 0
    b[7] = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("numsolve.transport.clouds._problem.SMALL", 0)
        return transport.solve_sample(X, Y, a, b * a.sum() / b.sum(), reg=0.02, tol=1e-10), X, Y


def test_the_plan_is_an_operator(solved):
    r, _, _ = solved
    plan, P = r.plan, r.plan.block()
    rng = np.random.default_rng(0)
    v, V, u, U = rng.random(110), rng.random((110, 4)), rng.random(90), rng.random((90, 2))
    assert isinstance(plan, LinearOperator)
    assert plan.shape == (90, 110)
    for got, wanted in {
        "vector": (plan @ v, P @ v),
        "column": (plan @ v[:, None], P @ v[:, None]),
        "matrix": (plan @ V, P @ V),
        "matvec": (plan.matvec(v), P @ v),
        "matmat": (plan.matmat(V), P @ V),
        "dot": (plan.dot(V), P @ V),
        "transpose": (plan.T @ u, P.T @ u),
        "adjoint": (plan.H @ U, P.T @ U),
        "rmatvec": (plan.rmatvec(u), P.T @ u),
        "rmatmat": (plan.rmatmat(U), P.T @ U),
        "scaled": ((2 * plan) @ v, 2 * P @ v),
        "sum": ((plan + plan) @ v, 2 * P @ v),
        "composed": ((plan.T @ plan) @ v, P.T @ (P @ v)),
        "twice transposed": (plan.T.T @ v, P @ v),
        "integers": (plan @ np.arange(110), P @ np.arange(110)),
    }.values():
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12)
    with pytest.raises(ValueError, match="x must have 110 rows, one for each column of the plan"):
        plan @ u
    with pytest.raises(ValueError, match="multiplied by a number with"):
        plan @ 2.0


def test_parts_of_the_plan(solved):
    r, X, Y = solved
    P = r.plan.block()
    f, g = r.potentials
    np.testing.assert_allclose(
        P, np.exp((f[:, None] + g - cdist(X, Y, "sqeuclidean")) / 0.02), rtol=1e-9, atol=1e-300
    )
    np.testing.assert_array_equal(r.plan.block(slice(10, 20), [3, 7, 5]), P[10:20, [3, 7, 5]])
    np.testing.assert_array_equal(r.plan.block(-1, np.arange(110) > 100), P[-1:, 101:])
    np.testing.assert_array_equal(r.plan.toarray(), P)
    with pytest.raises(IndexError, match=r"rows must lie within 0 ... 89"):
        r.plan.block(90)


@pytest.mark.parametrize("drop", [1e-1, 1e-3, 1e-6])
def test_the_sparse_plan_loses_no_more_than_it_may(solved, drop):
    r, _, _ = solved
    P, S = r.plan.block(), r.plan.tosparse(drop)
    lost = P - S.toarray()
    assert lost.min() >= -1e-15
    assert np.all(lost.sum(axis=1) <= drop * P.sum(axis=1) + 1e-14)
    assert np.all(lost.sum(axis=0) <= drop * P.sum(axis=0) + 1e-14)
    assert S.nnz < P.size or drop < 1e-3
    assert S.has_sorted_indices


def test_barycentric_map(solved):
    r, _, Y = solved
    P = r.plan.block()
    moved = r.barycentric_map(Y)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(moved, (P @ Y) / P.sum(axis=1)[:, None], rtol=1e-9)
    assert np.isnan(moved[[4, 40]]).all()
    np.testing.assert_allclose(r.barycentric_map(Y[:, 0]), moved[:, 0])
    with pytest.raises(ValueError, match="Y must have 110 rows"):
        r.barycentric_map(Y[:5])


def test_results_are_pickled_and_drawn(solved):
    import matplotlib.pyplot as plt

    r, _, Y = solved
    back = pickle.loads(pickle.dumps(r))
    assert np.array_equal(back.plan @ Y, r.plan @ Y)
    assert len(repr(r).splitlines()) < 25
    r.plot().figure.canvas.draw()
    r.plot(what="convergence").figure.canvas.draw()
    plt.close("all")
    without = transport.solve_sample(*clouds(10, 10, 1), reg=0.1, return_plan=False)
    assert without.plan is None
    without.plot().figure.canvas.draw()
    transport.solve_sample(*clouds(10, 10, 1), reg=0.1).plot(color="k").figure.canvas.draw()
    plt.close("all")
    with pytest.raises(ValueError, match="the result has no plan"):
        without.barycentric_map(Y)


# -- other array libraries -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in METRICS if name not in {"function", "power 0.5"}])
def test_other_libraries_come_to_the_same(name):
    xp = pytest.importorskip("array_api_strict")
    keywords, _ = METRICS[name]
    X, Y = clouds(40, 50)
    a = weights(40)
    a[3] = 0
    a /= a.sum()
    numpy = transport.solve_sample(X, Y, a, reg=0.02, tol=1e-9, **keywords)
    other = transport.solve_sample(
        xp.asarray(X), xp.asarray(Y), xp.asarray(a), reg=0.02, tol=1e-9, **keywords
    )
    assert other.success
    assert other.value == pytest.approx(numpy.value, abs=1e-8)
    assert isinstance(other.plan @ xp.ones(50), type(xp.ones(1)))
    np.testing.assert_allclose(np.asarray(other.plan.block()), numpy.plan.block(), atol=1e-8)
    for ours, theirs in zip(numpy.gradient()[2:], other.gradient()[2:], strict=True):
        np.testing.assert_allclose(np.asarray(theirs), ours, atol=1e-7)
    G, V = np.sin(X), np.cos(Y)
    given = numpy.vjp((G, V)), other.vjp((xp.asarray(G), xp.asarray(V)))
    for ours, theirs in zip(*given, strict=True):
        np.testing.assert_allclose(np.asarray(theirs), ours, atol=1e-4 * np.nanmax(np.abs(ours)))
    with pytest.raises(TypeError, match="tosparse gives a SciPy matrix"):
        other.plan.tosparse()


@pytest.mark.gpu
def test_cupy_comes_to_the_same():
    cupy = pytest.importorskip("cupy")
    if cupy.cuda.runtime.getDeviceCount() == 0:
        pytest.skip("no device")
    X, Y = clouds(300, 400)
    for name, (keywords, _) in METRICS.items():
        if name == "function":
            continue
        numpy = transport.solve_sample(X, Y, reg=0.02, **keywords)
        other = transport.solve_sample(cupy.asarray(X), cupy.asarray(Y), reg=0.02, **keywords)
        assert other.value == pytest.approx(numpy.value, abs=1e-6)


# -- bad input -------------------------------------------------------------------------------------

NAN = float("nan")
GOOD = {"X_a": clouds(3, 4)[0], "X_b": clouds(3, 4)[1], "a": [0.2, 0.3, 0.5], "b": [0.25] * 4, "reg": 0.1}
BAD = {
    "reg zero": ({"reg": 0}, ValueError, "exact transport takes the matrix of costs"),
    "reg nan": ({"reg": NAN}, ValueError, "reg must be a finite number above 0"),
    "reg below rounding": ({"reg": 1e-20}, ValueError, "below the rounding errors of the costs"),
    "X_a a vector": ({"X_a": np.ones(3)}, ValueError, "X_a must be 2-D"),
    "X_b nan": ({"X_b": np.full((4, 2), NAN)}, ValueError, "X_b must hold finite numbers"),
    "X_a empty": ({"X_a": np.ones((0, 2)), "a": None}, ValueError, "X_a is empty"),
    "no dimension": ({"X_a": np.ones((3, 0)), "X_b": np.ones((4, 0))}, ValueError, "X_a is empty"),
    "dimensions differ": ({"X_b": np.ones((4, 3))}, ValueError, "of the same dimension, got 2 and 3"),
    "X_a complex": ({"X_a": 1j * np.ones((3, 2))}, TypeError, "X_a is complex"),
    "costs overflow": ({"X_a": np.full((3, 2), 1e200)}, ValueError, "overflow: rescale X_a and X_b"),
    "a negative": ({"a": [0.5, -0.1, 0.6]}, ValueError, "a must be at least 0 everywhere"),
    "a all zero": ({"a": [0, 0, 0]}, ValueError, "a must have a positive sum"),
    "b too short": ({"b": [0.5] * 2}, ValueError, r"b must have shape \(4,\), got \(2,\)"),
    "masses differ": ({"a": [1, 2, 3]}, ValueError, "a and b must have the same sum, got 6 and 1"),
    "unknown metric": (
        {"metric": "manhattan"},
        ValueError,
        "metric must be one of 'sqeuclidean', .*'cosine'",
    ),
    "a Python function": ({"metric": lambda x, y: 0.0}, TypeError, "metric must be compiled.*numba.njit"),
    "an infinite cost": (
        {"metric": njit(lambda x, y: 1.0 / abs(x[0] - x[0]))},
        ValueError,
        "metric returned inf",
    ),
    "a cosine of nothing": (
        {"metric": "cosine", "X_a": np.zeros((3, 2))},
        ValueError,
        "X_a must have no point at the origin for the cosine metric, got row 0",
    ),
    "p zero": ({"metric": "power", "p": 0}, ValueError, "p must be a finite number above 0"),
    "unknown method": ({"method": "sns"}, ValueError, "method must be one of 'auto', 'newton', 'sinkhorn'"),
    "tol negative": ({"tol": -1}, ValueError, "tol must be a finite number at least 0"),
    "maxiter negative": ({"maxiter": -1}, ValueError, "maxiter must be an integer at least 0"),
    "start not a pair": ({"potentials_init": np.zeros(7)}, ValueError, "must be a pair"),
    "start too long": (
        {"potentials_init": (np.zeros(4), np.zeros(4))},
        ValueError,
        r"potentials_init\[0\] must have shape \(3,\)",
    ),
    "executor a number": ({"executor": 2}, TypeError, "executor must have a submit method"),
}


@pytest.mark.parametrize(("change", "kind", "fragment"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_in_words(change, kind, fragment):
    with pytest.raises(kind, match=fragment):
        transport.solve_sample(**{**GOOD, **change})


def test_the_table_starts_from_good_input():
    assert transport.solve_sample(**GOOD).success


def test_arrays_of_two_libraries_are_refused():
    xp = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match="X_a is a array_api_strict array and X_b is a numpy array"):
        transport.solve_sample(**{**GOOD, "X_a": xp.asarray(GOOD["X_a"])})
    points = {"X_a": xp.asarray(GOOD["X_a"]), "X_b": xp.asarray(GOOD["X_b"])}
    with pytest.raises(TypeError, match="a metric given as a compiled function needs points in NumPy"):
        transport.solve_sample(**points, reg=0.1, metric=slanted)


# -- clouds in frames of their own, outliers, many dimensions ---------------------------------------


def test_a_motion_of_one_cloud_does_not_move_the_plan():
    X, Y = clouds(150, 130)
    Y = np.round(Y * 2**20) / 2**20  # exact under the motion
    near = transport.solve_sample(X, Y, reg=1e-3, tol=1e-9)
    for t in (1e3, 1e6):
        far = transport.solve_sample(X, Y + np.array([t, -t]), reg=1e-3, tol=1e-9)
        assert far.success
        np.testing.assert_allclose(far.plan.block(), near.plan.block(), atol=1e-6 * near.plan.block().max())
        # |x - y - t|^2 = |x - y|^2 + |t|^2 - 2 t.(x - y)
        moved = near.value + 2 * t**2 - 2 * t * (X - Y.mean(axis=0)).mean(axis=0) @ [1, -1]
        assert far.value == pytest.approx(moved, rel=1e-12)
        low, high = far.bounds
        assert low <= far.value_linear * (1 + 1e-14) <= high * (1 + 1e-12)


@pytest.mark.parametrize("d", [2, 5, 12])
def test_derivatives_in_clouds_that_are_far_apart(d):
    X, Y = clouds(40, 30, d)
    Y = Y + 20.0
    rng = np.random.default_rng(0)
    change, (U, V) = rng.normal(size=X.shape), rng.normal(size=(2, 70, 2))
    U, V = U[:40], V[:30]

    def at(t):
        return transport.solve_sample(X + t * change, Y, reg=0.1 * d, tol=1e-12)

    h = 1e-5
    slope = (at(h).value - at(-h).value) / (2 * h)
    assert np.vdot(at(0.0).gradient().X_a, change) == pytest.approx(slope, rel=1e-7)
    slope = (np.vdot(U, at(h).plan @ V) - np.vdot(U, at(-h).plan @ V)) / (2 * h)
    assert np.vdot(at(0.0).vjp((U, V)).X_a, change) == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("far", [1e3, 1e5])
@pytest.mark.parametrize("reg", [1e-1, 1e-3])
def test_an_outlier_costs_no_digits(far, reg):
    X, Y = clouds(100, 90)
    X[3] = [far, -far]
    r = transport.solve_sample(X, Y, reg=reg)
    assert r.success
    P = r.plan.block()
    assert np.abs(P.sum(1) - 1 / 100).sum() + np.abs(P.sum(0) - 1 / 90).sum() <= 1e-6
    assert r.value_linear == pytest.approx(np.vdot(P, cdist(X, Y, "sqeuclidean")), rel=1e-7)


@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
def test_stored_costs_and_products_of_tiles_agree(metric, monkeypatch):
    from numsolve.transport.clouds import _problem

    X, Y = clouds(90, 120, 40)
    reg = 0.5 if metric == "sqeuclidean" else 0.01
    a, b = weights(90), weights(120, 1)
    a[5] = 0.0
    a = a / a.sum()
    stored = transport.solve_sample(X, Y, a, b, reg=reg, metric=metric, tol=1e-10)
    monkeypatch.setattr(_problem, "STORED", 0)
    monkeypatch.setattr(_problem, "SHARE", 0.0)
    tiles = transport.solve_sample(X, Y, a, b, reg=reg, metric=metric, tol=1e-10)
    for name in ("MANY_DIMENSIONS", "SOME_DIMENSIONS"):
        monkeypatch.setattr(_problem, name, 1000)
    distances = transport.solve_sample(X, Y, a, b, reg=reg, metric=metric, tol=1e-10)
    agree(stored, cdist(X, Y, metric), a, b, reg)
    for r in (tiles, distances):
        np.testing.assert_allclose(r.plan.block(), stored.plan.block(), atol=1e-7 * stored.plan.block().max())
        for name in ("value", "value_linear", "kl"):
            assert getattr(r, name) == pytest.approx(getattr(stored, name), rel=1e-8)
        np.testing.assert_allclose(r.bounds, stored.bounds, rtol=1e-7)
        np.testing.assert_allclose(r.gradient().X_a, stored.gradient().X_a, atol=1e-8)
        again = transport.solve_sample(
            X, Y, a, b, reg=reg, metric=metric, tol=1e-7, potentials_init=stored.potentials
        )
        assert again.nit <= 1


def test_what_is_stored_takes_no_more_than_the_limit():
    import tracemalloc

    def peak(n, memory_limit, unbalanced):
        X, Y = problems.clouds(n, 40, rng=0)
        tracemalloc.start()
        try:
            transport.solve_sample(X, Y, reg=10.0, unbalanced=unbalanced, memory_limit=memory_limit, tol=1e-3)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    pairs = 2500**2
    for unbalanced, size in ((None, 18), (100.0, 24)):
        peak(50, 1e6, unbalanced)  # compiled
        assert 16 * pairs < peak(2500, size * pairs, unbalanced) < 1.1 * size * pairs
        assert peak(2500, size * pairs - 1, unbalanced) < 8 * pairs
    X, Y = problems.clouds(30, 8, rng=0)
    for limit in (-1, np.nan, "1 GB"):
        with pytest.raises((ValueError, TypeError), match="memory_limit"):
            transport.solve_sample(X, Y, reg=0.5, memory_limit=limit)


def test_many_dimensions_of_many_points_store_no_matrix():
    import tracemalloc

    rng = np.random.default_rng(0)
    X, Y = rng.random((5000, 8)), rng.random((4500, 8))
    transport.solve_sample(X[:50], Y[:50], reg=1.0)
    tracemalloc.start()
    with pytest.warns(ConvergenceWarning):
        transport.solve_sample(X, Y, reg=0.3, maxiter=1, memory_limit=128e6)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * 5000 * 4500 * 8


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cosine"])
@pytest.mark.parametrize("d", [2, 50])
def test_what_callers_do_to_their_points_later_does_not_reach_the_plan(metric, d):
    X, Y = problems.clouds(30, d, rng=0)
    result = transport.solve_sample(X, Y, reg=0.1 * d, metric=metric)
    before = result.plan.block()
    X *= 0.0
    Y += 1.0
    assert np.array_equal(result.plan.block(), before)


def test_points_of_many_dimensions_are_copied_once():
    """Into frames of their own; costs, plan and what lies between are small beside them here."""
    import tracemalloc

    X, Y = problems.clouds(100, 4000, rng=0)
    transport.solve_sample(X[:, :50], Y[:, :50], reg=1.0, return_plan=False)  # compiled
    tracemalloc.start()
    try:
        transport.solve_sample(X, Y, reg=12.0, return_plan=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * (X.nbytes + Y.nbytes)


@pytest.mark.parametrize("name", METRICS)
def test_small_clouds_are_solved_with_stored_costs(name, monkeypatch):
    monkeypatch.setattr("numsolve.transport.clouds._problem.SMALL", 300_000)
    keywords, cost = METRICS[name]
    X, Y = clouds(60, 80)
    a, b = 3 * weights(60), 3 * weights(80, 1)
    seen = []
    r = transport.solve_sample(X, Y, a, b, reg=0.02, tol=1e-10, callback=seen.append, **keywords)
    stored = transport.solve(cost(X, Y), a, b, 0.02, tol=1e-10)
    assert r.success
    assert r.nit == stored.nit
    np.testing.assert_allclose(r.plan.block(), stored.plan, atol=1e-8)
    np.testing.assert_allclose(np.add.outer(*seen[-1]), np.add.outer(*stored.potentials), atol=1e-7)
    for field in ("value", "value_linear", "kl"):
        assert getattr(r, field) == pytest.approx(getattr(stored, field), rel=1e-8)


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cityblock"])
def test_small_clouds_far_apart_lose_no_digits(metric, monkeypatch):
    monkeypatch.setattr("numsolve.transport.clouds._problem.SMALL", 300_000)
    X, Y = clouds(50, 40)
    for far in (1e3, 1e6):
        r = transport.solve_sample(X, Y + far, reg=0.05, metric=metric)
        assert r.success
        P = r.plan.block()
        assert np.abs(P.sum(1) - 1 / 50).sum() + np.abs(P.sum(0) - 1 / 40).sum() <= 2e-6


@pytest.mark.parametrize("reg", [1e-1, 1e-3])
def test_outliers_of_both_clouds_find_each_other(reg):
    """Their potentials are 1e10 times reg and more: taken off in time, the others keep their digits."""
    X, Y = (x.copy() for x in problems.clouds(600, 2, rng=0))
    X[0, 0] += 1e5
    Y[0, 0] += 1e5
    r = transport.solve_sample(X, Y, reg=reg)
    assert r.success
    assert r.plan.block([0], [0])[0, 0] == pytest.approx(1 / 600, rel=1e-2)
    apart = transport.solve_sample(X[1:], Y[1:], reg=reg)
    inner = np.sum(r.plan.block(slice(1, 600), slice(1, 600)) * ((X[1:, None] - Y[1:]) ** 2).sum(axis=2))
    assert inner == pytest.approx(apart.value_linear * 599 / 600, rel=1e-3)


def test_a_plan_that_outliers_left_without_digits_is_no_success():
    """The residual is that of the operator, which makes costs of 1e12 from the points."""
    X, Y = (x.copy() for x in problems.clouds(100, 2, rng=0))
    X[0, 0] += 1e6
    Y[0, 0] += 1e6
    with pytest.warns(ConvergenceWarning):
        r = transport.solve_sample(X, Y, reg=2e-3)
    assert not r.success
    error = abs(r.plan @ np.ones(100) - 0.01).sum() + abs(r.plan.T @ np.ones(100) - 0.01).sum()
    assert r.marginal_error == pytest.approx(error, rel=1e-6)
