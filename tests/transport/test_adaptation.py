"""Domain adaptation by transport."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.distance import cdist

import numsolve
from numsolve import transport

pytest.importorskip("sklearn", minversion="1.6")
datasets = pytest.importorskip("sklearn.datasets")


def domains(n=80, m=100, d=2, seed=0):
    """Two clouds, the target turned and shifted."""
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    return X, np.roll(Y, 1, axis=1) * [-1.0, *np.ones(d - 1)] + 2.0


@pytest.mark.parametrize("reg", [0.1, 1.0, 20.0])
def test_the_map_of_the_sources_is_that_of_pot(reg):
    ot = pytest.importorskip("ot")
    X, Y = domains()
    theirs = ot.da.SinkhornTransport(reg_e=reg, max_iter=20_000, tol=1e-10).fit(Xs=X, Xt=Y)
    ours = transport.DomainAdaptation(reg, tol=1e-12).fit(X, Xt=Y)
    assert_allclose(ours.transform(X), theirs.transform(Xs=X), atol=1e-6)
    assert_allclose(ours.inverse_transform(Y), theirs.inverse_transform(Xt=Y), atol=1e-6)


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cityblock", "cosine"])
def test_the_map_extends_the_barycentric_one(metric):
    X, Y = domains(d=4)
    model = transport.DomainAdaptation(0.2, metric=metric, tol=1e-11).fit(X, Xt=Y)
    assert_allclose(model.transform(X), model.result_.barycentric_map(Y), atol=1e-8)
    near = model.transform(X + 1e-7)
    assert_allclose(near, model.transform(X), atol=1e-4)  # continuous, as POT's is not


def test_the_potential_of_a_new_point_is_that_of_the_plan_with_it():
    X, Y = domains(40, 50)
    new = np.array([[0.3, -0.2], [1.5, 1.0]])
    model = transport.DomainAdaptation(0.5, tol=1e-11).fit(X, Xt=Y)
    # Of weight nearly zero, the new points leave the other potentials as they are.
    a = np.append(np.full(40, 1.0 / 40), [1e-12, 1e-12])
    M = cdist(np.concatenate([X, new]), Y, "sqeuclidean")
    P = transport.solve(M, a / a.sum(), reg=0.5, tol=1e-12).plan[40:]
    assert_allclose(model.transform(new), P @ Y / P.sum(axis=1, keepdims=True), atol=1e-6)


def test_a_translation_is_undone_in_the_limit_of_a_small_regularisation():
    X, _ = domains(60)
    model = transport.DomainAdaptation(1e-5).fit(X, Xt=X + 3.0)
    assert_allclose(model.transform(X), X + 3.0, atol=1e-3)
    assert_allclose(model.inverse_transform(X + 3.0), X, atol=1e-3)


def test_where_the_clouds_lie_does_not_matter():
    X, Y = domains()
    near, far = (
        transport.DomainAdaptation(1.0, tol=1e-10).fit_transform(X + s, Xt=Y - s) + s for s in (0.0, 2.0**20)
    )
    assert_allclose(near, far, atol=1e-6)


def test_a_classifier_of_the_moved_sources_serves_the_target():
    svm = pytest.importorskip("sklearn.svm")
    X, y = datasets.make_moons(300, noise=0.05, random_state=0)
    Xt, yt = datasets.make_moons(300, noise=0.05, random_state=1)
    turn = np.deg2rad(20)
    R = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    X, Xt = X - X.mean(axis=0), (Xt - Xt.mean(axis=0)) @ R + [0.6, 0.3]
    before = svm.SVC(C=10).fit(X, y).score(Xt, yt)
    moved = transport.DomainAdaptation(0.03).fit_transform(X, y, Xt)
    after = svm.SVC(C=10).fit(moved, y).score(Xt, yt)
    assert before < 0.75
    assert after > 0.9


def test_without_a_target_it_warns():
    X, _ = domains(20)
    with pytest.warns(UserWarning, match="Xt, the target data, is not given"):
        model = transport.DomainAdaptation().fit(X)
    assert np.array_equal(model.target_, model.source_)


def test_one_that_does_not_converge_warns():
    X, Y = domains()
    with pytest.warns(numsolve.ConvergenceWarning):
        model = transport.DomainAdaptation(1e-2, maxiter=1).fit(X, Xt=Y)
    assert not model.result_.success
    assert np.isfinite(model.transform(X)).all()


@pytest.mark.parametrize(
    ("settings", "data", "error", "message"),
    [
        ({"reg": 0.0}, {}, ValueError, "reg must be a finite number above 0"),
        ({"reg": "1"}, {}, TypeError, "reg"),
        ({"metric": "chebyshev"}, {}, ValueError, "metric must be one of"),
        ({"tol": -1.0}, {}, ValueError, "tol"),
        ({}, {"Xt": np.ones((3, 5))}, ValueError, r"Xt must have shape \(any, 2\), got \(3, 5\)"),
        ({}, {"Xt": np.full((3, 2), np.nan)}, ValueError, "Xt must hold finite numbers"),
        ({}, {"Xt": np.ones((0, 2))}, ValueError, "Xt is empty"),
        ({}, {"Xt": np.ma.ones((3, 2))}, TypeError, "Xt is a masked array"),
        ({}, {"X": np.full((3, 2), np.nan)}, ValueError, "NaN"),
    ],
)
def test_bad_input_is_refused(settings, data, error, message):
    X, Y = domains(10, 12)
    with pytest.raises(error, match=message):
        transport.DomainAdaptation(**settings).fit(**{"X": X, "Xt": Y, **data})


@pytest.mark.parametrize(
    ("metric", "point"),
    [("cosine", [0.0, 0.0]), ("euclidean", [1e200, 0.0]), ("sqeuclidean", [1e308, -1e308])],
)
def test_a_new_point_without_finite_costs_is_refused(metric, point):
    X, Y = domains()
    model = transport.DomainAdaptation(metric=metric).fit(X, Xt=Y)
    for move in (model.transform, model.inverse_transform):
        with pytest.raises(ValueError, match="X must have points of finite cost .* got row 1"):
            move(np.array([[1.0, 1.0], point]))


def test_the_map_stays_where_the_caller_reuses_the_arrays():
    X, Y = domains()
    mine, other = X.copy(), Y.copy()
    model = transport.DomainAdaptation().fit(mine, Xt=other)
    before = model.transform(X), model.inverse_transform(Y)
    mine *= 0.0
    other *= 0.0
    assert np.array_equal(model.transform(X), before[0])
    assert np.array_equal(model.inverse_transform(Y), before[1])


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_the_cosine_cost_does_not_know_the_length_of_points(scale):
    X, Y = np.random.default_rng(0).normal(size=(2, 30, 3))
    expected = transport.DomainAdaptation(metric="cosine").fit_transform(X, Xt=Y)
    moved = transport.DomainAdaptation(metric="cosine").fit_transform(scale * X, Xt=scale * Y)
    assert_allclose(moved / scale, expected, rtol=1e-6)


def test_the_map_is_that_of_the_fit_whatever_is_set_afterwards():
    X, Y = np.random.default_rng(0).normal(size=(2, 30, 3))
    model = transport.DomainAdaptation(0.1).fit(X, Xt=Y)
    forth, back = model.transform(X), model.inverse_transform(Y)
    model.set_params(reg=50.0, metric="cityblock")
    assert np.array_equal(model.transform(X), forth)
    assert np.array_equal(model.inverse_transform(Y), back)


def test_frames_of_other_columns_are_refused():
    pandas = pytest.importorskip("pandas")
    X, Y = (pandas.DataFrame(x, columns=["a", "b"]) for x in domains())
    transport.DomainAdaptation().fit(X, Xt=Y)
    with pytest.raises(ValueError, match=r"Xt must have the columns of X, .* got \['b', 'a'\]"):
        transport.DomainAdaptation().fit(X, Xt=Y[["b", "a"]])


def test_pots_words_are_answered_with_ours():
    with pytest.raises(TypeError, match="no argument 'reg_e': it is called 'reg' here"):
        transport.DomainAdaptation(reg_e=0.1)
    with pytest.raises(TypeError, match="fit.. has no argument 'Xs': it is called 'X' here"):
        transport.DomainAdaptation().fit(Xs=np.ones((3, 2)), Xt=np.ones((3, 2)))
