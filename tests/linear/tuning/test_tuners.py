"""Tuners: published weights, probabilities, replay of saved states, and what they reach on real sequences."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numsolve import linear
from numsolve.linear.problems import heat_equation, laplacian, shifted_laplacians
from numsolve.linear.tuning import _cpu as k
from numsolve.linear.tuning.smoothcb import arm_features

ARMS = np.linspace(1, 1.95, 20)


def tuner(kind, arms=ARMS, rng=0):
    return {
        "tsallis": lambda: linear.TsallisINF(arms, rng=rng),
        "tsallis, discounted": lambda: linear.TsallisINF(arms, discount=0.99, rng=rng),
        "tsallis, bins": lambda: linear.TsallisINFCB(arms, context_range=(0.0, 1.0), nbins=4, rng=rng),
        "cheb": lambda: linear.ChebCB(arms, context_range=(0.0, 1.0), rng=rng),
        "smooth": lambda: linear.SmoothCB(arms, rng=rng),
        "smooth, range": lambda: linear.SmoothCB(arms, context_range=(0.0, 1.0), rng=rng),
        "smooth, discounted": lambda: linear.SmoothCB(arms, discount=0.9999, rng=rng),
        "smooth, ts": lambda: linear.SmoothCB(arms, exploration="ts", rng=rng),
        "smooth, igw": lambda: linear.SmoothCB(arms, exploration="igw", rng=rng),
    }[kind]()


KINDS = (
    "tsallis",
    "tsallis, discounted",
    "tsallis, bins",
    "cheb",
    "smooth",
    "smooth, range",
    "smooth, discounted",
    "smooth, ts",
    "smooth, igw",
)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def cost(arm, z):
    """A valley that moves with the context."""
    return 5 + 300 * (arm - 1.1 - 0.7 * z) ** 2


def play(t, rounds, seed=0):
    rng = np.random.default_rng([seed, 7])  # another stream than the tuner's
    total = floor = 0.0
    for _ in range(rounds):
        z = rng.random()
        c = round(cost(t.suggest(z), z))
        t.observe(c)
        total, floor = total + c, floor + min(round(cost(a, z)) for a in t.arms)
    return total / floor


# -- Tsallis-INF -----------------------------------------------------------------------------------


def weights(losses, step):
    p = np.empty_like(losses)
    k.tsallis_weights(losses, step, p)
    return p


def test_the_published_weights():
    np.testing.assert_allclose(weights(np.zeros(20), 2.0), np.full(20, 0.05), rtol=1e-14)
    p = weights(np.array([30.0, 40, 50, 60]), 2 / np.sqrt(1000))
    np.testing.assert_allclose(p, (0.382653, 0.267684, 0.197700, 0.151962), atol=5e-7)


@settings(max_examples=200, deadline=None)
@given(
    losses=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40),
    t=st.integers(1, 10**6),
)
def test_the_weights_sum_to_one(losses, t):
    losses, eta = np.array(losses), 2 / np.sqrt(t)
    p = weights(losses, eta)
    assert abs(p.sum() - 1) <= 1e-12
    assert (p > 0).all()
    x = losses - 2 / (eta * np.sqrt(p))  # the same x for all arms
    assert np.ptp(x) <= 1e-6 * max(1, np.ptp(losses), 2 / eta)


def test_equal_costs_stay_near_uniform():
    t = linear.TsallisINF(range(5), rng=0)
    for _ in range(500):
        t.suggest()
        t.observe(1)
    np.testing.assert_allclose(t.probabilities(), 0.2)


def test_the_best_fixed_arm_is_found():
    t = linear.TsallisINF(range(5), rng=0)
    picks = []
    for _ in range(3000):
        picks.append(t.suggest())
        t.observe([20, 15, 10, 18, 30][picks[-1]])
    assert np.mean(np.array(picks[-500:]) == 2) > 0.8


def test_a_discount_follows_a_best_arm_that_moves():
    def total(discount):
        t = linear.TsallisINF(range(4), discount=discount, rng=0)
        paid = 0
        for i in range(6000):
            best = 0 if i < 5000 else 3
            c = 10 + 10 * abs(t.suggest() - best)
            t.observe(c)
            paid += c
        return paid

    assert total(0.99) < total(1.0)


def test_one_bin_is_no_bin():
    one = linear.TsallisINFCB(ARMS, context_range=(0.0, 1.0), nbins=1, rng=4)
    assert play(one, 300) == play(linear.TsallisINF(ARMS, rng=4), 300)


def test_a_context_belongs_to_the_nearest_bin():
    t = linear.TsallisINFCB(range(3), context_range=(0.0, 1.0), nbins=4, rng=0)
    centres = (np.arange(4) + 0.5) / 4
    for z in np.linspace(0, 1, 42)[1:-1]:
        assert t._bin(float(z)) is t._bins[np.argmin(abs(centres - z))]
    assert t._bin(1.0) is t._bins[3]
    for _ in range(200):  # what one bin learns the others do not know
        t.observe([9, 2, 9][t.suggest(0.9)])
    assert t.probabilities(0.9)[1] > 0.8
    np.testing.assert_allclose(t.probabilities(0.1), 1 / 3)


# -- ChebCB ----------------------------------------------------------------------------------------


def test_the_bounded_fit_is_that_of_scipy():
    from scipy.optimize import lsq_linear

    rng = np.random.default_rng(0)
    for _ in range(5):
        F, y = rng.standard_normal((30, 6)), rng.standard_normal(30)
        bound = 0.15 / np.arange(1, 7)
        got = np.empty(6)
        k.box_least_squares(F.T @ F, F.T @ y, bound, got, np.empty(6), np.empty(6))
        want = lsq_linear(F, y, (-bound, bound), tol=1e-12).x
        np.testing.assert_allclose(got, want, atol=1e-6)


# -- the smooth model ------------------------------------------------------------------------------


def test_the_filter_is_the_conditioning_of_one_large_gaussian():
    """Observations at times t and s have the covariance sum_i phi_ti phi_si prior_i^2 keep_i^|t - s|."""
    rng = np.random.default_rng(0)
    arm_features, rounds = rng.standard_normal((4, 3)), 25
    prior, keep = rng.uniform(0.3, 1, 12), np.tile([1.0, 1.0, 0.99, 0.8], 3)
    arms, z = rng.integers(0, 4, rounds), rng.uniform(-1, 1, rounds)
    y, noise = rng.standard_normal(rounds), rng.uniform(0.1, 1, rounds)
    cov, theta = np.diag(prior**2), np.zeros(12)
    records = np.stack([z, y, noise], axis=1)
    one = np.tile([0, 3], (3, 1)), np.zeros(4, dtype=np.int64)  # a single family
    k.learn(cov, theta, prior, keep, arm_features, *one, arms, records, np.empty((3, 12)))

    def phi(arm, context):
        chebyshev = np.polynomial.chebyshev.chebvander(context, 2)
        return np.outer(arm_features[arm], np.append(chebyshev, 1.0)).ravel()

    X = np.stack([phi(a, c) for a, c in zip(arms, z, strict=True)])
    times = np.arange(rounds)
    memory = keep ** abs(times[:, None] - times)[:, :, None]
    K = np.einsum("ti,si,i,tsi->ts", X, X, prior**2, memory) + np.diag(noise)
    mean, std = np.empty(4), np.empty(4)
    k.predict(cov, theta, arm_features, one[0], 0.3, np.empty(4), mean, std)
    F = np.stack([phi(a, 0.3) for a in range(4)])
    across = np.einsum("ai,ti,i,ti->at", F, X, prior**2, keep ** (rounds - times)[:, None])
    np.testing.assert_allclose(mean, across @ np.linalg.solve(K, y), rtol=1e-9)
    variance = (F**2 @ prior**2) - np.einsum("at,ta->a", across, np.linalg.solve(K, across.T))
    np.testing.assert_allclose(std**2, variance, rtol=1e-9)


def test_families_of_arms_are_filtered_as_if_they_were_one():
    """The features of other families are zero: leaving them out changes nothing."""
    rng, arms = np.random.default_rng(0), ["a", "b", ("x", 1.0), ("x", 2.0), ("x", 4.0), 0.5, 0.7]
    features, orders, blocks, first_of = arm_features(arms, 3)
    n, q, d = features.shape[1] * 3, 3, len(arms)
    assert [list(features[i, : blocks[c, 0]]) for i, c in enumerate(first_of)] == [
        [0.0] * int(blocks[c, 0]) for c in first_of
    ]
    whole = np.tile([0, features.shape[1]], (features.shape[1], 1)), np.zeros(d, dtype=np.int64)
    prior, keep = np.repeat(0.65**orders, q), np.tile([1.0, 1.0, 0.9], features.shape[1])
    played = rng.integers(0, d, 40)
    records = np.stack([rng.uniform(-1, 1, 40), rng.standard_normal(40), np.full(40, 0.1)], axis=1)
    answers = []
    for parts in ((blocks, first_of), whole):
        cov, theta, mean, std = np.diag(prior**2), np.zeros(n), np.empty(d), np.empty(d)
        k.learn(cov, theta, prior, keep, features, *parts, played, records, np.empty((3, n)))
        k.predict(cov, theta, features, parts[0], 0.3, np.empty(q), mean, std)
        answers.append(np.stack([mean, std]))
    np.testing.assert_allclose(*answers, rtol=1e-10)


def test_a_drift_that_the_context_does_not_tell_is_followed():
    """The level of all costs wanders by a factor of two; the best arm moves with the context alone."""
    t, rng = linear.SmoothCB(ARMS, rng=0), np.random.default_rng(0)
    paid = floor = 0.0
    for i in range(1500):
        z, level = rng.random(), 1 + 0.5 * np.sin(i / 60)
        c = level * cost(t.suggest(z), z)
        t.observe(c)
        if i >= 300:
            paid, floor = paid + c, floor + level * min(cost(a, z) for a in ARMS)
    assert paid < 1.1 * floor


def test_a_monotone_change_of_the_context_changes_nothing():
    def picks(change):
        t, rng, out = linear.SmoothCB(ARMS, rng=0), np.random.default_rng(1), []
        for _ in range(300):
            z = rng.random()
            out.append(t.suggest(change(z)))
            t.observe(round(cost(out[-1], z)))
        return np.array(out)

    # between knots the scale is linear, so that some contexts move a little
    assert np.mean(picks(lambda z: z) == picks(lambda z: np.exp(3 * z))) > 0.8


@pytest.mark.parametrize("context", [0.0, -7.5])
def test_one_context_is_learned_once(context, monkeypatch):
    """The history is followed again for a scale that has changed; that of a single context does not."""
    learned = []
    relearn = linear.SmoothCB._relearn
    monkeypatch.setattr(linear.SmoothCB, "_relearn", lambda self: (learned.append(1), relearn(self)))
    t = linear.SmoothCB(["words", "for", "arms"], rng=0)
    for _ in range(200):
        t.suggest(context)
        t.observe(20.0)
    assert len(learned) <= 3
    for change in (1.0, -1.0, 1.0, -1.0):
        t.suggest(context + change)
        t.observe(20.0)
    assert t._scaled(context - 1.0) == -1.0
    assert t._scaled(context + 1.0) == 1.0


def test_a_model_that_is_wrong_is_left_again():
    """The costs change altogether after 500 rounds; exploration and forgetting find out."""
    t, rng = linear.SmoothCB(ARMS, discount=0.9999, rng=0), np.random.default_rng(0)
    late = []
    for i in range(1500):
        z = rng.random()
        best = 1.1 + 0.7 * z if i < 500 else 1.8 - 0.7 * z
        c = round(5 + 300 * (t.suggest(z) - best) ** 2)
        t.observe(c)
        late.append(c)
    assert np.mean(late[-300:]) < 6.5


def test_arms_of_several_solvers_have_models_of_their_own():
    arms = [("cg",), *(("ssor_cg", w) for w in (1.0, 1.3, 1.6, 1.9)), ("amg", "V"), ("amg", "W")]
    t, rng = linear.SmoothCB(arms, rng=0), np.random.default_rng(0)

    def price(arm, z):
        if arm[0] == "ssor_cg":
            return 0.01 * (8 + 60 * (arm[1] - 1.2 - 0.5 * z) ** 2)
        return {"cg": 0.01 + 0.2 * z, "amg": 0.12 if arm[-1] == "V" else 0.2}[arm[0]]

    ratios = []
    for _ in range(800):
        z = rng.random()
        arm = t.suggest(z)
        t.observe(price(arm, z))
        ratios.append(price(arm, z) / min(price(a, z) for a in arms))
    assert np.mean(ratios[-300:]) < 1.15


# -- all of them -----------------------------------------------------------------------------------


def test_probabilities(kind):
    t = tuner(kind)
    for i in range(60):
        p = t.probabilities(0.3)
        assert p.shape == (20,)
        assert abs(p.sum() - 1) < 1e-12
        assert (p >= 0).all()
        t.observe(10 + i % 7) if t.suggest(0.02 * (i % 50)) else None


def test_a_seed_makes_the_run(kind):
    assert play(tuner(kind, rng=3), 100) == play(tuner(kind, rng=3), 100)


def test_a_saved_state_goes_on_as_if_nothing_had_happened(kind):
    one, two = tuner(kind, rng=1), tuner(kind, rng=2)
    play(one, 120)
    state = one.state_dict()
    two.load_state_dict(state)
    assert play(two, 80, seed=5) == play(one, 80, seed=5)
    three = tuner(kind, rng=9).load_state_dict(state)  # the state is not touched by going on
    assert three.rounds == 120
    with pytest.raises(ValueError, match="other arms"):
        tuner(kind, arms=[1.0, 1.5]).load_state_dict(state)


def test_states_are_plain():
    t = linear.TsallisINF([1.0, 1.5], rng=0)
    t.suggest()
    t.observe(3)
    json.dumps(t.state_dict(), default=lambda a: a.tolist())


def test_the_order_of_calls_is_watched(kind):
    t = tuner(kind)
    with pytest.raises(RuntimeError, match="needs a suggest"):
        t.observe(1)
    t.suggest(0.5)
    t.observe(1)
    with pytest.raises(RuntimeError, match="needs a suggest"):
        t.observe(1)


def test_one_arm_is_always_chosen(kind):
    t = tuner(kind, arms=[1.5])
    for z in (0.1, 0.5, 0.9):
        assert t.suggest(z) == 1.5
        t.observe(4)
    np.testing.assert_allclose(t.probabilities(0.4), [1.0])


@pytest.mark.parametrize("paid", [0, 1, 1e-6, 1e9])
def test_costs_of_any_size(kind, paid):
    t = tuner(kind)
    for i in range(40):
        t.suggest(i / 40)
        t.observe(paid)
    assert np.isfinite(t.probabilities(0.5)).all()


def test_contexts_outside_the_range_are_clipped_with_one_warning():
    for t in (tuner("cheb"), tuner("smooth, range"), tuner("tsallis, bins")):
        with pytest.warns(UserWarning, match="outside context_range"):
            t.suggest(1.5)
        t.observe(2)
        assert np.array_equal(t.probabilities(-3.0), t.probabilities(0.0))  # warnings are errors here
        t.suggest(2.0)


def test_learners_learn():
    assert play(tuner("smooth"), 600) < 1.25
    assert play(tuner("smooth, range"), 600) < 1.25
    assert play(tuner("cheb"), 1500) < 1.6
    assert play(tuner("tsallis, bins"), 6000) < play(tuner("tsallis"), 6000)
    assert play(tuner("tsallis"), 1500) > 1.1


# -- on the published sequences, scaled down -------------------------------------------------------


@pytest.fixture(scope="module")
def shifted():
    """Iterations of SOR on 1000 shifted Laplacians, for 20 arms."""
    table, contexts = np.empty((1000, 20)), np.empty(1000)
    plan = linear.SweepPlan(laplacian(10))
    for t, (A, b, c) in enumerate(shifted_laplacians(1000, "low", rng=0)):
        contexts[t] = c
        table[t] = [linear.sor(A, b, omega=w, rtol=1e-8, plan=plan).nit for w in ARMS]
    return table, contexts


@pytest.fixture(scope="module")
def heated():
    """Iterations of SSOR-CG in 1000 steps of the heat equation with 25 intervals a side."""
    table, contexts, x = np.empty((1000, 20)), np.empty(1000), None
    systems = heat_equation(25, 1000)
    for t in range(1000):
        A, b, contexts[t] = systems.send(x) if t else next(systems)
        runs = [linear.ssor_cg(A, b, x, omega=w, rtol=1e-8) for w in ARMS]
        table[t], x = [r.nit for r in runs], runs[5].x
    return table, contexts


def ratio(t, table, contexts):
    paid = 0.0
    for row, z in zip(table, contexts, strict=True):
        t.suggest(z)
        paid += row[t.index]
        t.observe(row[t.index])
    return paid / table.min(axis=1).sum()


def test_the_shifted_laplacians(shifted):
    table = shifted[0]
    floor = table.min(axis=1).sum()
    assert table[:, 0].sum() / floor == pytest.approx(6.27, rel=0.03)
    assert table.sum(axis=0).min() / floor == pytest.approx(1.374, rel=0.02)
    smooth = np.mean([ratio(linear.SmoothCB(ARMS, rng=s), *shifted) for s in range(3)])
    span = (-0.15, 0.65)
    cheb = np.mean([ratio(linear.ChebCB(ARMS, context_range=span, rng=s), *shifted) for s in range(2)])
    tsallis = np.mean([ratio(linear.TsallisINF(ARMS, rng=s), *shifted) for s in range(3)])
    assert smooth <= 1.08
    assert cheb == pytest.approx(1.27, abs=0.08)
    assert tsallis == pytest.approx(1.85, abs=0.25)


def test_the_heat_equation(heated):
    table, contexts = heated
    smooth = np.mean([ratio(linear.SmoothCB(ARMS, rng=s), table, contexts) for s in range(3)])
    assert smooth <= 1.08
    span = contexts.min(), contexts.max()
    assert ratio(linear.ChebCB(ARMS, context_range=span, rng=0), table, contexts) <= 1.2


# -- compiled parts --------------------------------------------------------------------------------


def test_the_covariance_stays_symmetric_to_the_last_bit_and_shrinks():
    tuner, rng = linear.SmoothCB(np.linspace(1, 1.9, 7), rng=0), np.random.default_rng(0)
    for _ in range(60):
        tuner.suggest(rng.random())
        tuner.observe(10 + 5 * rng.random())
    cov = tuner._cov
    assert np.array_equal(cov, cov.T)
    assert (np.diag(cov) <= tuner._prior**2 * (1 + 1e-12)).all()
    assert np.linalg.eigvalsh(cov).min() > 0


def test_arms_are_drawn_by_the_inverse_gaps_of_their_costs():
    from numsolve.linear.tuning import _cpu

    mean = np.log([3.0, 1.0, 2.0, 1e30])
    p = np.empty(4)
    _cpu.lean(mean, mean, 5.0, 1.0, p)
    gaps = np.array([3.0, 1.0, 2.0]) - 1
    np.testing.assert_allclose(p[[0, 2]], 1 / (4 + 5 * gaps[[0, 2]]), rtol=1e-12)
    assert 0 < p[3] < 1e-20
    assert p.sum() == pytest.approx(1.0)
    _cpu.lean(mean, -mean, 5.0, 0.02, p)
    assert p[3] == pytest.approx(0.98)
