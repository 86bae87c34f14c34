"""The contract of conduct for clouds and for sparse plans, and what is particular to them."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import threading
import time
import warnings
from typing import ClassVar

import numpy as np
import pytest
from contract import Call, Conduct
from numba import njit

from numsolve import ConvergenceWarning, Status, transport
from numsolve.transport import problems

M, A, B = problems.random_assignment(40, rng=0)
X, Y = problems.clouds(300, 2, rng=0)
FAR_X, FAR_Y = problems.clouds(1500, 3, rng=1)  # seconds at reg=1e-5, in one thread
LARGE, LARGE_A, LARGE_B = problems.random_assignment(900, rng=3)
LINE = np.abs(np.subtract.outer(*np.sort(np.random.default_rng(4).random((2, 900)))))  # seconds at reg=1e-4


@pytest.fixture(autouse=True)
def by_passes(monkeypatch):
    """Small clouds are solved as large ones."""
    monkeypatch.setattr("numsolve.transport.clouds._problem.SMALL", 0)


@njit
def euclidean(x, y):
    return np.sqrt(np.sum((x - y) ** 2))


def marginal_error(a, b):
    """Both marginals of a plan between clouds, by its products with ones."""

    def measure(r):
        rows, columns = r.plan @ np.ones(r.plan.shape[1]), r.plan.T @ np.ones(r.plan.shape[0])
        return np.abs(rows - a).sum() + np.abs(columns - b).sum()

    return measure


def of_clouds(X, Y, **settings):
    return lambda **kw: transport.solve_sample(X, Y, **settings, **kw)


def quadratic(M, a, b, reg, **settings):
    return lambda **kw: transport.quadratic(a, b, M, reg, **settings, **kw)


def sparse(M, a, b, reg, max_nz, **settings):
    return lambda **kw: transport.sparsity_constrained(a, b, M, reg, max_nz, **settings, **kw)


UNIFORM = marginal_error(1 / 300, 1 / 300)


class TestConduct(Conduct):
    calls: ClassVar = {
        "solve_sample": Call(
            run=of_clouds(X, Y, reg=1e-3, tol=1e-9),
            long=of_clouds(FAR_X, FAR_Y, reg=1e-5, tol=1e-15),
            measure=lambda r: marginal_error(1 / r.plan.shape[0], 1 / r.plan.shape[1])(r),
        ),
        "solve_sample, sinkhorn": Call(
            run=of_clouds(X, Y, reg=1e-1, method="sinkhorn", tol=1e-7),
            long=of_clouds(X, Y, reg=1e-5, method="sinkhorn", tol=1e-13),
            measure=UNIFORM,
        ),
        "solve_sample, a function": Call(run=of_clouds(X, Y, reg=1e-2, metric=euclidean), measure=UNIFORM),
        "quadratic": Call(
            run=quadratic(M, A, B, 0.05), long=quadratic(LINE, LARGE_A, LARGE_B, 1e-4, tol=1e-15)
        ),
        "sparsity_constrained": Call(
            run=sparse(M, A, B, 0.5, 2), long=sparse(LARGE, LARGE_A, LARGE_B, 0.5, 2, tol=1e-15)
        ),
    }


def of_divergence(X, Y, **settings):
    return lambda **kw: transport.sinkhorn_divergence(X, Y, **settings, **kw)


class TestDivergence(Conduct):
    """Of three problems: `maxiter` and the callback are for each of them, time and Ctrl-C for all."""

    calls: ClassVar = {
        "sinkhorn_divergence": Call(
            run=of_divergence(X, Y, reg=1e-3),
            long=of_divergence(FAR_X, FAR_Y, reg=1e-5, tol=1e-15),
            steps=False,
        ),
    }


# -- divergences end as a whole --------------------------------------------------------------------


def after(k, act):
    """A callback that acts at its k-th call, and how often it was called."""
    calls = []

    def callback(x):
        calls.append(x)
        return act() if len(calls) == k else None

    return callback, calls


def steps_of_the_parts():
    r = transport.sinkhorn_divergence(X, Y, reg=1e-3)
    return [part.nit for part in (r.cross, r.self_a, r.self_b)]


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("act", [interrupt, lambda: True], ids=["Ctrl-C", "callback"])
def test_what_ends_one_problem_ends_the_divergence_and_keeps_what_is_done(part, act):
    before = sum(steps_of_the_parts()[:part])
    callback, calls = after(before + 2, act)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        r = transport.sinkhorn_divergence(X, Y, reg=1e-3, callback=callback)
    assert r.status is (Status.INTERRUPTED if act is interrupt else Status.STOPPED)
    assert len(calls) == before + 2 == r.nit
    parts = [r.cross, r.self_a, r.self_b]
    assert [p is not None for p in parts] == [k <= part for k in range(3)]
    assert all(p.success for p in parts[:part])
    assert parts[part].status is r.status
    assert np.isnan(r.value) == (part < 2)
    if part < 2:
        with pytest.raises(ValueError, match="ended before all three"):
            r.gradient()


def test_ctrl_c_between_two_problems_keeps_the_first(monkeypatch):
    from numsolve.transport.clouds import divergence

    solve, done = divergence.between_clouds, []

    def once(*args):
        if done:
            raise KeyboardInterrupt  # as while the second problem is prepared: no monitor is open
        done.append(solve(*args))
        return done[0]

    monkeypatch.setattr(divergence, "between_clouds", once)
    with pytest.warns(ConvergenceWarning, match="interrupted") as caught:
        r = transport.sinkhorn_divergence(X, Y, reg=1e-3)
    assert len(caught) == 1
    assert r.status is Status.INTERRUPTED
    assert r.cross is done[0]
    monkeypatch.setattr(divergence, "between_clouds", lambda *args: interrupt())
    with pytest.raises(KeyboardInterrupt):
        transport.sinkhorn_divergence(X, Y, reg=1e-3)


def test_a_divergence_shares_its_time():
    callback, _ = after(2, lambda: time.sleep(0.3))
    with pytest.warns(ConvergenceWarning, match="time limit") as caught:
        r = transport.sinkhorn_divergence(X, Y, reg=1e-3, callback=callback, time_limit=0.2)
    assert len(caught) == 1
    assert r.status is Status.TIME_LIMIT
    assert r.self_a is None


# -- stages end as a whole ------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["newton", "sinkhorn"])
@pytest.mark.parametrize("ends", [Status.INTERRUPTED, Status.TIME_LIMIT], ids=lambda s: s.name)
def test_what_ends_the_change_to_any_stage_keeps_the_point_before_it(method, ends, monkeypatch):
    """The clouds of the next stage were in place, the point was of the coarser ones: no sum fitted."""
    from numsolve.transport import _deadline
    from numsolve.transport.clouds import _semidual

    enter = _semidual.CloudDual.enter
    left = [0]

    def cut(self, stage):
        enter(self, stage)
        left[0] -= stage > 0
        if stage > 0 and left[0] == 0:
            raise KeyboardInterrupt if ends is Status.INTERRUPTED else _deadline.TimeUp

    monkeypatch.setattr(_semidual.CloudDual, "enter", cut)
    whole = transport.solve_sample(X, Y, reg=1e-2, method=method)
    assert whole.success
    for k in range(1, len(whole.reg_path)):
        left[0] = k
        with pytest.warns(ConvergenceWarning):
            r = transport.solve_sample(X, Y, reg=1e-2, method=method)
        assert left[0] < 0  # the stage was tried, and the last one entered for the answer
        assert r.status is ends
        assert [p.shape for p in r.potentials] == [(300,), (300,)]
        assert all(np.isfinite(p).all() for p in r.potentials)
        assert r.residual == pytest.approx(UNIFORM(r), abs=1e-9)
        assert r.reg_path[-1] == whole.reg_path[-1]
        assert r.reg_path[:-1] == whole.reg_path[:k]


def test_no_time_to_look_at_the_callers_start(monkeypatch):
    """It is looked at with all points, while what comes back in its place is of the first clouds."""
    from numsolve.transport import _deadline
    from numsolve.transport.clouds import _semidual

    good = transport.solve_sample(X, Y, reg=1e-2)
    at, done = _semidual.CloudDual.at, []

    def late(self, f, g):
        done.append(f)
        if len(done) == 1:
            raise _deadline.TimeUp
        return at(self, f, g)

    monkeypatch.setattr(_semidual.CloudDual, "at", late)
    with pytest.warns(ConvergenceWarning, match="time limit"):
        r = transport.solve_sample(X, Y, reg=1e-2, potentials_init=good.potentials)
    assert r.status is Status.TIME_LIMIT
    assert r.residual == pytest.approx(UNIFORM(r), abs=1e-9)


# -- time within passes ----------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", euclidean], ids=["fused", "gaps", "function"])
def test_no_time_for_a_single_pass(metric, monkeypatch):
    """Where the time does not even suffice for a pass, the start comes back, and what is not known is nan."""
    from numsolve.transport import _deadline
    from numsolve.transport.clouds import _workers

    monkeypatch.setattr(_workers, "TIMELESS", 0)
    monkeypatch.setattr(
        _deadline.Deadline, "set", lambda self, limits, share=0.0: setattr(self, "until", 0.0)
    )
    with pytest.warns(ConvergenceWarning, match="time limit"):
        r = transport.solve_sample(X, Y, reg=0.1, metric=metric, time_limit=1.0)
    assert r.status is Status.TIME_LIMIT
    assert not r.success
    assert np.isnan([r.residual, r.value, r.value_linear, r.kl]).all()
    assert r.bounds == (-np.inf, np.inf)
    assert all(np.isfinite(p).all() for p in r.potentials)
    assert r.plan.shape == (300, 300)


def test_nothing_is_prepared_for_a_pass_that_comes_too_late(monkeypatch):
    """Clouds in the layout of the kernels cost as much as the checks of arguments: three times in vain."""
    from numsolve.transport import _deadline
    from numsolve.transport.clouds import _pairs, _workers

    monkeypatch.setattr(_workers, "TIMELESS", 0)
    monkeypatch.setattr(
        _deadline.Deadline, "set", lambda self, limits, share=0.0: setattr(self, "until", 0.0)
    )
    scale, prepared = _pairs.Pairs.scale, []
    monkeypatch.setattr(_pairs.Pairs, "scale", lambda self, reg: prepared.append(reg) or scale(self, reg))
    with pytest.warns(ConvergenceWarning, match="time limit"):
        transport.solve_sample(X, Y, reg=0.1, time_limit=1.0, return_plan=False)
    assert prepared == []


def test_no_interior_point_step_after_the_time(monkeypatch):
    """An entropic start that the limit cut short was prepared for, and one step was made from it."""
    from numsolve.transport.sparse import _relaxed

    entropic, begun = _relaxed.Relaxed._entropic, []

    def late(self):
        out = entropic(self)
        self.deadline.until = 0.0
        return out

    monkeypatch.setattr(_relaxed.Relaxed, "_entropic", late)
    monkeypatch.setattr(_relaxed.Relaxed, "_pairs", lambda *args: begun.append(args))
    with pytest.warns(ConvergenceWarning, match="time limit"):
        r = transport.sparsity_constrained(A, B, M, 0.5, 2, time_limit=60.0)
    assert r.status is Status.TIME_LIMIT
    assert begun == []
    assert np.isfinite(r.gap)


@pytest.mark.slow
def test_the_time_limit_holds_before_the_first_step():
    """Sorting a large cloud, its coarse clouds and the bounds of the result are within the time too."""
    rng = np.random.default_rng(0)
    A, B = rng.random((300_000, 3)), rng.random((300_000, 3))
    transport.solve_sample(X, Y, reg=1.0)  # compiled
    for reg in (1e-4, 1.0):
        began = time.process_time()
        with pytest.warns(ConvergenceWarning, match="time limit"):
            r = transport.solve_sample(A, B, reg=reg, time_limit=1.0, tol=1e-12)
        assert r.status is Status.TIME_LIMIT
        # In processor seconds, of at most two threads in the passes.
        assert time.process_time() - began <= 2 * 1.2


# -- numbers ---------------------------------------------------------------------------------------

ONES = [1, 1.0, np.float32(1), np.int8(1), np.uint64(1), np.asarray(1), np.asarray(1.0)]


@pytest.mark.parametrize("one", ONES, ids=repr)
def test_numbers_are_numbers(one):
    r, expected = (transport.solve_sample(X, Y, reg=v, metric="power", p=v, tol=v * 1e-6) for v in (one, 1.0))
    assert r.value == expected.value
    assert np.array_equal(r.potentials[0], expected.potentials[0])
    assert (
        transport.sinkhorn_divergence(X, Y, reg=one).value
        == transport.sinkhorn_divergence(X, Y, reg=1.0).value
    )
    assert np.array_equal(transport.quadratic(A, B, M, one).plan, transport.quadratic(A, B, M, 1.0).plan)
    few = transport.sparsity_constrained(A, B, M, one, 2 * one, axis=one)
    assert np.array_equal(few.plan, transport.sparsity_constrained(A, B, M, 1.0, 2, axis=1).plan)


def test_integers_as_data_mean_the_same():
    P, Q = np.arange(12).reshape(6, 2), np.arange(10).reshape(5, 2) ** 2 % 7
    ints, floats = (transport.solve_sample(p, q, reg=1) for p, q in ((P, Q), (P / 1.0, Q / 1.0)))
    assert ints.value == floats.value
    assert np.array_equal(ints.gradient().X_a, floats.gradient().X_a)
    C = ((P[:, None] - Q) ** 2).sum(axis=2)
    ints, floats = (transport.quadratic(None, None, cost, reg) for cost, reg in ((C, 1), (C / 1.0, 1.0)))
    assert ints.value == floats.value


@pytest.mark.parametrize("name", ["X_a", "X_b", "a", "b", "potentials_init"])
def test_masked_arrays_are_refused_by_name(name):
    masked = np.ma.masked_invalid(np.full(300, 1 / 300))
    data = {"X_a": X, "X_b": Y}
    data[name] = np.ma.masked_less(data[name], 0.1) if name in data else masked
    if name == "potentials_init":
        data[name] = (masked, np.zeros(300))
    with pytest.raises(TypeError, match=rf"{name}.*masked"):
        transport.solve_sample(data.pop("X_a"), data.pop("X_b"), **data, reg=0.1)


@pytest.mark.parametrize("solve", [transport.quadratic, lambda *a: transport.sparsity_constrained(*a, 2)])
def test_masked_costs_are_refused_by_name(solve):
    with pytest.raises(TypeError, match="M is a masked array"):
        solve(A, B, np.ma.masked_less(M, 0.1), 1.0)


# -- the range of floats ---------------------------------------------------------------------------


@pytest.mark.parametrize("reg", [1e300, 1e306, 1e307, 1e308])
@pytest.mark.parametrize("n", [5, 100, 1000])
def test_a_regularisation_at_the_end_of_the_range_ends_with_a_word(reg, n):
    """`reg=1e308` went on for ever: the bounds of groups were nan, and a loop waited for them."""
    P, Q = problems.clouds(n, 2, rng=0)
    for metric in ("sqeuclidean", "euclidean", "cityblock"):
        try:
            r = transport.solve_sample(P, Q, reg=reg, metric=metric)
        except ValueError as error:
            assert "reg = " in str(error)  # noqa: PT017
        else:
            np.testing.assert_allclose(r.plan.toarray(), 1 / n**2, rtol=1e-9)
            assert r.success


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cityblock", "power", "cosine"])
@pytest.mark.parametrize("size", [1e-170, 1e-100, 1e-30, 1e30, 1e100, 1e160])
def test_data_of_any_size_gives_the_scaled_answer_or_a_word(metric, size):
    """c(s x, s y) = s^p c(x, y): with reg in proportion the plan is the same, and values are s^p times."""
    degree = {"sqeuclidean": 2, "power": 3, "cosine": 0}.get(metric, 1)
    settings = {"metric": metric, "p": 3.0} if metric == "power" else {"metric": metric}
    P, Q = X[:50] + 0.1, Y[:60] + 0.1
    usual = transport.solve_sample(P, Q, reg=0.05, tol=1e-9, **settings)
    with np.errstate(all="ignore"):
        unit = float(np.float64(size) ** degree)
    if unit < 1e-300:  # costs that are nothing beside any regularisation
        r = transport.solve_sample(size * P, size * Q, reg=0.05, **settings)
        np.testing.assert_allclose(r.plan.toarray(), 1 / (50 * 60), rtol=1e-12)
        return
    if unit > 1e300:
        with pytest.raises(ValueError, match="overflow"):
            transport.solve_sample(size * P, size * Q, reg=0.05, **settings)
        return
    try:
        r = transport.solve_sample(size * P, size * Q, reg=0.05 * unit, tol=1e-9, **settings)
    except ValueError as error:
        assert any(word in str(error) for word in ("flow", "range of floats"))  # noqa: PT017
        assert not 1e-90 < size < 1e90
        return
    assert r.success
    np.testing.assert_allclose(r.plan.toarray(), usual.plan.toarray(), rtol=1e-6)
    assert r.value / unit == pytest.approx(usual.value, rel=1e-7)
    assert r.bounds[0] / unit <= usual.value_linear * (1 + 1e-9)
    assert r.bounds[1] / unit == pytest.approx(usual.bounds[1], rel=1e-6)


def test_a_value_beyond_the_range_of_numbers_is_no_success(monkeypatch):
    """Such a cloud is refused; were it not, its result would say so, as that of a matrix does."""
    from numsolve.transport.clouds import _problem

    monkeypatch.setattr(_problem, "_check_scale", lambda problem: None)
    a = np.full(300, 1e200)
    with pytest.warns(ConvergenceWarning, match="beyond the range"):
        r = transport.solve_sample(1e60 * X, 1e60 * Y, a, a, reg=1e120)
    assert r.status is Status.NONFINITE
    assert np.isfinite(r.residual)
    small = np.full(40, 1e120)
    for cost in (1e200 * M, -1e200 * (M + 5)):
        with pytest.warns(ConvergenceWarning, match="beyond the range"):
            r = transport.quadratic(small, small, cost, 1e185)
        assert r.status is Status.NONFINITE


@pytest.mark.parametrize("p", [0.01, 0.003, 300.0])
def test_a_power_that_leaves_the_range_is_told(p):
    for reg in (1e-4, 1e4):
        try:
            r = transport.solve_sample(X[:40], Y[:40], reg=reg, metric="power", p=p)
        except ValueError as error:
            assert "range of floats" in str(error) or "flow" in str(error)  # noqa: PT017
        else:
            cost = (np.abs(X[:40, None] - Y[None, :40]) ** p).sum(axis=2)
            assert r.value_linear == pytest.approx(np.vdot(r.plan.toarray(), cost), rel=1e-6)


@pytest.mark.parametrize("mass", [1e-170, 1e160])
def test_masses_of_any_size(mass):
    a = mass * (1 + np.arange(300) % 3)
    b = np.full(300, a.sum() / 300)
    r = transport.solve_sample(X, Y, a, b, reg=0.01)
    unit = transport.solve_sample(X, Y, a / a.sum(), b / b.sum(), reg=0.01)
    assert r.success
    assert r.value_linear / a.sum() == pytest.approx(unit.value_linear, rel=1e-9)
    with pytest.raises(ValueError, match="the sum of a overflows"):
        transport.solve_sample(X, Y, np.full(300, 1e307), np.full(300, 1e307), reg=0.01)


def test_a_weight_that_is_lost_beside_the_others_counts_as_zero():
    a = np.full(300, 1e200)
    a[3] = 1e-200
    r = transport.solve_sample(X, Y, a, np.full(300, a.sum() / 300), reg=0.01)
    assert r.success
    assert r.potentials[0][3] == -np.inf


@pytest.mark.parametrize("size", [1e-170, 1e-30, 1e30, 1e150])
def test_sparse_plans_for_costs_of_any_size(size):
    """With reg in proportion to the cost the plan is the same."""
    small, a, b = M[:20, :20], np.full(20, 0.05), np.full(20, 0.05)
    for solve in (transport.quadratic, lambda *args: transport.sparsity_constrained(*args, 2)):
        usual, r = solve(a, b, small, 1.0), solve(a, b, size * small, size)
        assert r.success
        np.testing.assert_allclose(r.plan, usual.plan, atol=1e-7)
        assert r.value / size == pytest.approx(usual.value, rel=1e-6)


# -- words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: transport.solve_sample(X, Y, reg=1.0, numItermax=3), "called 'maxiter' here"),
        (lambda: transport.solve_sample(X, Y, reg=1.0, n_threads=2), "called 'executor' here"),
        (lambda: transport.sinkhorn_divergence(X, Y, epsilon=1.0), "called 'reg' here"),
        (lambda: transport.quadratic(A, B, M, 1.0, stopThr=1e-9), "called 'tol' here"),
        (lambda: transport.sparsity_constrained(A, B, M, 1.0, 2, log=True), "history"),
    ],
)
def test_words_of_other_packages_are_answered(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_a_metric_of_scipy_is_answered():
    with pytest.raises(ValueError, match="'cityblock'"):
        transport.solve_sample(X, Y, reg=1.0, metric="manhattan")


def test_success_leaks_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in ("sqeuclidean", "euclidean", "cityblock", "power", "cosine", euclidean):
            assert transport.solve_sample(X + 1, Y + 1, reg=0.05, metric=metric).success
        assert transport.sinkhorn_divergence(X, Y, reg=1e-3).success
        for reg in (1e-3, 1.0, 1e3):
            assert transport.quadratic(A, B, M, reg).success
            assert transport.sparsity_constrained(A, B, M, reg, 3).success


# -- copies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_plans_and_results_can_be_copied(duplicate):
    r = transport.solve_sample(X, Y, reg=0.01)
    back = duplicate(r)
    assert np.array_equal(back.plan @ Y, r.plan @ Y)
    assert np.array_equal(back.gradient().X_a, r.gradient().X_a)
    assert np.array_equal(duplicate(r.plan).T @ X, r.plan.T @ X)
    assert np.array_equal(duplicate(r.gradient()).X_b, r.gradient().X_b)
    whole = transport.sinkhorn_divergence(X, Y, reg=0.01)
    assert np.array_equal(duplicate(whole).gradient().X_a, whole.gradient().X_a)


# -- published routes and rounding of sparse plans -------------------------------------------------


@pytest.mark.parametrize("formulation", ["dual", "semidual"])
def test_the_published_routes_stop_in_time_and_at_ctrl_c(formulation):
    callback, _ = after(3, interrupt)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        r = transport.sparsity_constrained(A, B, M, 1.0, 2, formulation=formulation, callback=callback)
    assert (r.status, r.nit) == (Status.INTERRUPTED, 3)
    with pytest.warns(ConvergenceWarning, match="time limit"):
        r = transport.sparsity_constrained(A, B, M, 1.0, 2, formulation=formulation, time_limit=0.0)
    assert r.status is Status.TIME_LIMIT


def test_a_relaxation_that_was_cut_short_is_not_rounded():
    callback, _ = after(3, interrupt)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        r = transport.sparsity_constrained(A, B, M, 1.0, 2, rounding="support", callback=callback)
    assert r.status is Status.INTERRUPTED
    assert r.nit == 3


def test_the_rounding_is_within_the_time(monkeypatch):
    """Once the relaxation is solved the time runs out: its plan comes back, and the result says why."""
    from numsolve.transport.sparse import sparsity_constrained

    def late(relaxed, rows, columns):
        raise sparsity_constrained.TimeUp

    monkeypatch.setattr(sparsity_constrained, "_most", late)
    with pytest.warns(ConvergenceWarning, match="time limit"):
        r = transport.sparsity_constrained(A, B, M, 1.0, 2, rounding="support", time_limit=60.0)
    assert r.status is Status.TIME_LIMIT
    assert r.marginal_error < 1e-7


@pytest.mark.slow
def test_ctrl_c_during_a_threaded_pass_comes_back(keyboard):
    """The tasks that have not begun are dropped."""
    P, Q = np.random.default_rng(0).random((2, 30_000, 3))
    transport.solve_sample(P[:200], Q[:200], reg=1.0)  # compiled
    timer = threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        r = transport.solve_sample(P, Q, reg=3e-4, tol=1e-14)
    timer.join()
    assert r.status is Status.INTERRUPTED
    assert np.isfinite(r.residual)
