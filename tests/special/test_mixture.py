"""Mixtures of von Mises-Fisher distributions."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

import numsolve
from numsolve import Status, special
from numsolve.special import _expectation

pytest.importorskip("sklearn", minversion="1.6")


def directions(d, sizes, kappas, seed=0):
    """Rows of components whose mean directions are axes, and their components."""
    rows = [
        special.vmf_sample(np.eye(d)[k], kappa, n, rng=seed + k)
        for k, (n, kappa) in enumerate(zip(sizes, kappas, strict=True))
    ]
    return np.concatenate(rows), np.repeat(np.arange(len(sizes)), sizes)


@pytest.mark.parametrize("d", [2, 3, 50, 1000])
def test_the_parameters_of_the_source_come_back(d):
    kappas = np.array([5.0, 20.0, 80.0]) * max(1.0, d / 10)
    X, groups = directions(d, (1000, 600, 400), kappas) if d > 2 else directions(2, (1000, 600), (5.0, 20.0))
    K = groups.max() + 1
    mixture = special.VMFMixture(K, rng=0).fit(X)
    order = mixture.mu_[:, :K].argmax(axis=0)
    assert_allclose(mixture.weights_[order], np.bincount(groups) / len(X), atol=0.03)
    assert_allclose(mixture.kappa_[order], kappas[:K], rtol=0.15)
    assert np.all(np.sum(mixture.mu_[order] * np.eye(d)[:K], axis=1) > 0.97)
    assert np.mean(order[groups] == mixture.predict(X)) > 0.95


def test_the_likelihood_never_falls():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(500, 4)) + 0.3 * rng.normal(size=4)
    mixture = special.VMFMixture(5, rng=1, tol=1e-9, maxiter=2000).fit(X)
    steps = np.diff(mixture.result_.history.log_likelihood)
    assert mixture.result_.success
    assert steps.size > 20
    assert steps.min() > -1e-12
    assert mixture.score(X) == pytest.approx(mixture.result_.history.log_likelihood[-1], abs=1e-7)


def test_the_end_is_a_fixed_point_of_the_equations_of_the_maximum():
    X, _ = directions(3, (300, 200), (4.0, 15.0))
    mixture = special.VMFMixture(2, rng=0, tol=1e-14, maxiter=5000).fit(X)
    r = mixture.predict_proba(X)
    sums = r.T @ X
    lengths = np.linalg.norm(sums, axis=1)
    assert_allclose(mixture.weights_, r.mean(axis=0), rtol=1e-6)
    assert_allclose(mixture.mu_, sums / lengths[:, None], atol=1e-6)
    kappa = mixture.kappa_
    assert_allclose(1 / np.tanh(kappa) - 1 / kappa, lengths / r.sum(axis=0), rtol=1e-6)  # A in R^3


def test_one_component_is_the_fit_of_one_distribution():
    X, _ = directions(20, (200,), (30.0,))
    one, fit = special.VMFMixture().fit(X), special.vmf_fit(X)
    assert_allclose(one.kappa_, [fit.kappa], rtol=1e-10)
    assert_allclose(one.mu_[0], fit.mu, atol=1e-12)
    assert one.score(X) == pytest.approx(fit.log_likelihood, rel=1e-12)


@pytest.mark.parametrize("d", [2, 3, 10, 301])
def test_the_density_is_that_of_fifty_digits(d):
    mp = pytest.importorskip("mpmath")
    mixture = special.VMFMixture(2, rng=0).fit(directions(d, (100, 50), (2.0 * d, 9.0 * d))[0])
    X, _ = directions(d, (2, 2), (1.0, 1.0), seed=9)
    with mp.workdps(50):
        for x, ours in zip(X, mixture.score_samples(X), strict=True):
            v, total = mp.mpf(d) / 2 - 1, mp.mpf(0)
            for w, mu, kappa in zip(mixture.weights_, mixture.mu_, mixture.kappa_, strict=True):
                k = mp.mpf(float(kappa))
                towards = mp.fsum(mp.mpf(float(s)) * mp.mpf(float(t)) for s, t in zip(x, mu, strict=True))
                norm = k**v / ((2 * mp.pi) ** (v + 1) * mp.besseli(v, k))
                total += mp.mpf(float(w)) * norm * mp.exp(k * towards)
            assert ours == pytest.approx(float(mp.log(total)), rel=1e-12, abs=1e-11)


def test_the_density_integrates_to_one_on_the_circle():
    mixture = special.VMFMixture(3, rng=0).fit(np.random.default_rng(0).normal(size=(60, 2)))
    angle = np.linspace(0.0, 2 * np.pi, 4000, endpoint=False)
    density = np.exp(mixture.score_samples(np.stack([np.cos(angle), np.sin(angle)], axis=1)))
    assert density.mean() * 2 * np.pi == pytest.approx(1.0, abs=1e-12)


def test_samples_follow_the_mixture():
    mixture = special.VMFMixture(2, rng=0).fit(directions(3, (300, 100), (40.0, 10.0))[0])
    X, y = mixture.sample(4000, rng=0)
    assert_allclose(np.linalg.norm(X, axis=1), 1.0)
    assert_allclose(np.bincount(y) / 4000, mixture.weights_, atol=0.03)
    for k in range(2):
        assert special.vmf_fit(X[y == k]).kappa == pytest.approx(mixture.kappa_[k], rel=0.1)
    np.testing.assert_array_equal(X, mixture.sample(4000, rng=0)[0])


def test_only_the_direction_of_a_row_counts_at_any_scale():
    X, _ = directions(5, (60, 40), (30.0, 60.0))
    scale = 10.0 ** np.random.default_rng(0).uniform(-300, 300, (100, 1))
    one, other = (special.VMFMixture(2, rng=0).fit(rows) for rows in (X, X * scale))
    assert_allclose(one.kappa_, other.kappa_, rtol=1e-10)
    assert_allclose(one.predict_proba(X), other.predict_proba(X * scale), atol=1e-10)


def test_rows_whose_sum_overflows_have_directions():
    X = np.random.default_rng(0).uniform(-1.0, 1.0, size=(40, 3))
    fits = [special.VMFMixture(2, rng=0).fit(rows) for rows in (X, X * 2.0**1023)]
    assert_allclose(fits[1].mu_, fits[0].mu_, rtol=1e-12)


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.coo_array, sparse.csr_matrix])
def test_sparse_rows_give_what_dense_ones_give(kind):
    rng = np.random.default_rng(0)
    X = (
        np.abs(rng.normal(size=(200, 30))) * (rng.random((200, 30)) < 0.3)
        + np.eye(30)[rng.integers(2, size=200)]
    )
    dense, thin = (special.VMFMixture(2, rng=0).fit(rows) for rows in (X, kind(X)))
    assert_allclose(dense.kappa_, thin.kappa_, rtol=1e-8)
    assert_allclose(dense.predict_proba(X), thin.predict_proba(kind(X)), atol=1e-8)
    assert_allclose(dense.score_samples(X), thin.score_samples(kind(X)), atol=1e-8)


def test_a_row_of_zeros_is_a_missing_observation():
    X, _ = directions(4, (60, 40), (30.0, 60.0))
    holes = np.insert(X, [0, 50], 0.0, axis=0)
    mixture, same = (special.VMFMixture(2, rng=0).fit(rows) for rows in (X, holes))
    assert_allclose(mixture.mu_, same.mu_)
    assert_allclose(same.score_samples(np.zeros((1, 4))), 0.0)
    assert_allclose(same.predict_proba(np.zeros((1, 4))), same.weights_[None])


def test_equal_directions_reach_the_largest_concentration_and_no_more():
    X = np.repeat(np.eye(3), 20, axis=0)
    mixture = special.VMFMixture(3, rng=0, max_kappa=1e4).fit(X)
    assert_allclose(mixture.kappa_, 1e4)
    assert np.isfinite(mixture.score(X))


@pytest.mark.parametrize("most", [1e-3, 1.0, 1e3, 1e6])
def test_concentrations_solve_their_equation_or_are_the_largest(most):
    from numsolve.special._expectation import concentrations

    R = np.array([0.0, 1e-9, 1e-3, 0.3, 0.9, 0.999, 1 - 1e-6, 1.0])
    for d in (2, 3, 100, 10_000):
        kappa = concentrations(R, d, most)
        A = special.iv_ratio(np.full(R.size, d / 2 - 1), kappa)
        free = kappa < most
        assert_allclose(A[free], R[free], rtol=1e-9, atol=1e-14)
        assert np.all(A[~free] <= R[~free] + 1e-14)


def test_more_starts_are_no_worse_and_bic_finds_the_number_of_components():
    X, _ = directions(4, (150, 150, 150), (60.0, 60.0, 60.0))
    bic = [special.VMFMixture(K, rng=0, n_init=3).fit(X).bic(X) for K in (1, 2, 3, 4)]
    assert np.argmin(bic) == 2
    one, five = (special.VMFMixture(4, rng=3, n_init=n).fit(X).score(X) for n in (1, 5))
    assert five >= one


def stop():
    return True


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("act", "status"), [(stop, Status.STOPPED), (interrupt, Status.INTERRUPTED), (None, Status.TIME_LIMIT)]
)
def test_what_ends_one_run_ends_all_and_the_best_is_kept(act, status):
    X, _ = directions(4, (150, 150, 150), (60.0, 60.0, 60.0))
    seen = []

    def callback(x):
        seen.append(x)
        return act() if act is not None and len(seen) == 2 else None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", numsolve.ConvergenceWarning)
        limit = 0.0 if act is None else None
        result = (
            special.VMFMixture(4, n_init=50, rng=0, tol=0.0, callback=callback, time_limit=limit)
            .fit(X)
            .result_
        )
    assert result.status is status
    assert not result.success
    assert len(seen) == (0 if act is None else 2)


@pytest.mark.usefixtures("keyboard")
def test_ctrl_c_between_two_runs_keeps_the_ones_done(monkeypatch):
    X, _ = directions(4, (150, 150, 150), (60.0, 60.0, 60.0))
    real, runs = _expectation.start, []

    def start(*args):
        runs.append(args)
        if len(runs) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(_expectation, "start", start)
    with pytest.warns(numsolve.ConvergenceWarning, match="interrupted"):
        fitted = special.VMFMixture(4, n_init=50, rng=0).fit(X)
    assert len(runs) == 3
    assert fitted.result_.status is Status.INTERRUPTED
    assert math.isfinite(fitted.score(X))


def test_one_that_does_not_converge_warns_and_keeps_what_it_reached():
    X = np.random.default_rng(0).normal(size=(200, 3))
    with pytest.warns(numsolve.ConvergenceWarning):
        mixture = special.VMFMixture(4, rng=0, tol=0.0, maxiter=3).fit(X)
    assert mixture.result_.nit == 3
    assert not mixture.result_.success
    assert math.isfinite(mixture.score(X))


@pytest.mark.parametrize(
    ("settings", "X", "error", "message"),
    [
        ({"n_components": 0}, np.eye(3), ValueError, "n_components must be an integer at least 1, got 0"),
        ({"n_components": 5}, np.eye(3), ValueError, "n_components=5"),
        ({"n_components": 2}, np.zeros((5, 3)), ValueError, "rows that are not zero, got 0"),
        ({"max_kappa": 0.0}, np.eye(3), ValueError, "max_kappa"),
        ({"max_kappa": np.inf}, np.eye(3), ValueError, "max_kappa"),
        ({"n_init": 0}, np.eye(3), ValueError, "n_init"),
        ({"tol": -1.0}, np.eye(3), ValueError, "tol"),
        ({"rng": "x"}, np.eye(3), TypeError, "rng"),
        ({"maxiter": -1}, np.eye(3), ValueError, "maxiter"),
        ({}, np.full((3, 3), np.nan), ValueError, "NaN"),
        ({}, np.full((3, 3), np.inf), ValueError, "infinity"),
        ({}, np.ones((4, 1)), ValueError, "1 feature"),
        ({}, np.ma.masked_array(np.eye(3), np.eye(3) > 0), TypeError, "masked"),
        ({}, np.ones(3), ValueError, "2D array"),
    ],
)
def test_bad_input_is_refused(settings, X, error, message):
    with pytest.raises(error, match=message):
        special.VMFMixture(**settings).fit(X)


def test_scikit_learns_words_are_answered_with_ours():
    with pytest.raises(TypeError, match="no argument 'random_state': it is called 'rng' here"):
        special.VMFMixture(2, random_state=0)
