"""The contract of conduct for the solvers with a stored cost, and what is particular to them."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
import warnings
from functools import cache
from typing import ClassVar

import numpy as np
import pytest
from contract import Call, Conduct
from scipy.sparse import csr_array

from numsolve import transport
from numsolve._core import clock
from numsolve._core.result import ConvergenceWarning, Status


def small():
    rng = np.random.default_rng(12 + 1000 * 17)
    a, b = rng.uniform(0.1, 1.0, 12), rng.uniform(0.1, 1.0, 17)
    return rng.random((12, 17)), a / a.sum(), b / b.sum()


def with_a_forbidden_pair():
    """A problem whose exact solution starts from an entropic one, by many iterations."""
    M, a, b = small()
    M[0, 0] = np.inf
    return M, a, b


def in_groups():
    """Points near which others lie: their exact solution starts from groups of them, by few rounds."""
    rng = np.random.default_rng(3)
    X, Y = rng.random((205, 5)), rng.random((210, 5)) ** 2
    a, b = rng.random(205) ** 3 + 1e-3, rng.random(210) ** 3 + 1e-3
    return ((X[:, None] - Y) ** 2).sum(axis=2), a / a.sum(), b / b.sum()


def weighted(r):
    """The error of both marginals of a plan of `in_groups`."""
    _, a, b = in_groups()
    return np.abs(r.plan.sum(axis=1) - a).sum() + np.abs(r.plan.sum(axis=0) - b).sum()


@cache
def large():
    """Distances on a line, of which one thread looks at all in a millisecond, for runs of many seconds."""
    x, y = np.sort(np.random.default_rng(0).random((2, 1200)))
    return np.abs(x[:1100, None] - y)


@cache
def medium():
    """A cost with which ten thousand sweeps take seconds."""
    return np.random.default_rng(0).random((500, 600))


def balanced(reg):
    """The error of both marginals of a result of the small problem; none is known of the large one."""
    _, a, b = small()

    def measure(r):
        P = r.plan
        if P.shape != (12, 17):
            n, m = P.shape
            return np.abs(P.sum(axis=1) - 1 / n).sum() + np.abs(P.sum(axis=0) - 1 / m).sum()
        f, g = r.potentials
        if reg is not None:
            np.testing.assert_allclose(np.exp((f[:, None] + g - small()[0]) / reg), P, rtol=1e-8)
        return np.abs(P.sum(axis=1) - a).sum() + np.abs(P.sum(axis=0) - b).sum()

    return measure


def unbalanced(r):
    """The error of the sums that hold at the solution of an unbalanced problem."""
    f, g = r.potentials
    n, m = r.plan.shape
    _, a, b = small() if n == 12 else (None, np.full(n, 1 / n), np.full(m, 1 / m))
    goals = a * np.exp(np.log(a) * r.reg - f), b * np.exp(np.log(b) * r.reg - g)
    return np.abs(r.plan.sum(axis=1) - goals[0]).sum() + np.abs(r.plan.sum(axis=0) - goals[1]).sum()


def by_method(method, reg, sharp, cost=medium, **settings):
    M, a, b = small()
    return Call(
        run=lambda **kw: transport.solve(M, a, b, reg, method=method, **settings, **kw),
        long=lambda **kw: transport.solve(cost(), reg=sharp, tol=1e-15, method=method, **settings, **kw),
        measure=unbalanced if settings else balanced(reg),
    )


def form(method, **settings):
    M, a, b = small()
    return Call(
        run=lambda **kw: transport.sinkhorn(a, b, M, 0.02, method=method, **settings, **kw),
        long=lambda **kw: transport.sinkhorn(
            None, None, medium(), 1e-5, tol=1e-15, method=method, **settings, **kw
        ),
        measure=balanced(0.02),
    )


class TestConduct(Conduct):
    calls: ClassVar = {
        "newton": by_method("newton", 0.005, 1e-6, large),
        "sinkhorn_log": by_method("sinkhorn_log", 0.005, 1e-6),
        "sinkhorn_overrelaxed": by_method("sinkhorn_overrelaxed", 0.005, 1e-6),
        "sinkhorn": by_method("sinkhorn", 0.02, 1e-5),
        "sns": by_method("sns", 0.02, 1e-4, large),
        "exact": Call(run=lambda **kw: transport.solve(*in_groups(), reg=0, **kw), measure=weighted),
        "exact, forbidden pairs": Call(
            run=lambda **kw: transport.solve(*with_a_forbidden_pair(), reg=0, **kw),
            measure=balanced(None),
        ),
        "sparse costs": Call(
            run=lambda **kw: transport.solve(csr_array(small()[0]), *small()[1:], reg=0.005, **kw),
            measure=balanced(None),
        ),
        "unbalanced newton": by_method("newton", 0.005, 1e-6, large, unbalanced=1.0),
        "unbalanced sinkhorn": by_method("sinkhorn", 0.05, 1e-4, unbalanced=1.0),
        "sinkhorn()": form("stabilized", overrelaxation=1.0),
        "sinkhorn(plan)": form("plan"),
        "sinkhorn(log)": form("log"),
        "sns()": Call(
            run=lambda **kw: transport.sinkhorn_newton_sparse(
                *small()[1:], small()[0], 0.02, density=0.5, **kw
            ),
            long=lambda **kw: transport.sinkhorn_newton_sparse(
                None, None, large(), 1e-5, tol=1e-15, n_sinkhorn=3, **kw
            ),
            measure=balanced(0.02),
        ),
        "sinkhorn_unbalanced()": Call(
            run=lambda **kw: transport.sinkhorn_unbalanced(*small()[1:], small()[0], 0.05, 1.0, **kw),
            long=lambda **kw: transport.sinkhorn_unbalanced(None, None, medium(), 1e-4, 1.0, tol=1e-15, **kw),
            measure=unbalanced,
        ),
    }


@pytest.fixture(params=TestConduct.calls.values(), ids=TestConduct.calls.keys())
def run(request):
    return request.param.run


def test_progress_and_pictures_show_the_error(run):
    import matplotlib.pyplot as plt

    r = run()
    r.plot(what="convergence", against="seconds").figure.canvas.draw()
    r.plot(cmap="viridis").figure.canvas.draw()
    plt.close("all")


@pytest.mark.parametrize("method", ["newton", "sinkhorn", "sinkhorn_log", "sinkhorn_overrelaxed", "sns"])
def test_no_iteration_is_needed_where_the_start_is_the_answer(method):
    b = np.random.default_rng(0).uniform(0.2, 1, 7)
    r = transport.solve(np.zeros((6, 7)), None, b / b.sum(), 1.0, method=method, maxiter=0)
    assert r.status is Status.CONVERGED
    assert r.nit == 0


# -- batches end as a whole ------------------------------------------------------------------------


def batch(count=4000, n=40):
    return np.random.default_rng(0).random((count, n, n))


KINDS = {
    "compiled": {"reg": 1e-3},
    "one by one": {"reg": 5e-2, "method": "sinkhorn"},
    "unbalanced": {"reg": 1e-2, "unbalanced": 1.0},
}


def error(P):
    n, m = P.shape[1:]
    return np.abs(P.sum(axis=2) - 1 / n).sum(axis=1) + np.abs(P.sum(axis=1) - 1 / m).sum(axis=1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_keeps_what_is_done_when_the_time_is_over(kind):
    M = batch()
    transport.solve(M[:2], **KINDS[kind])  # compiled
    began = time.process_time()
    with pytest.warns(ConvergenceWarning, match="TIME_LIMIT"):
        r = transport.solve(M, time_limit=0.3, **KINDS[kind])
    assert time.process_time() - began < 2 * 0.3 + 0.2  # two threads may work
    done = r.success
    assert 0 < done.sum() < 4000
    assert (r.status[~done] == Status.TIME_LIMIT).all()
    assert (r.residual[done] <= 1e-9).all()
    if kind != "unbalanced":
        assert (error(r.plan[done]) <= 1.1e-9).all()


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_ends_a_batch_as_a_whole(kind, keyboard):
    M = batch()
    transport.solve(M[:2], **KINDS[kind])
    for moment in (0.15, 0.22, 0.31):
        timer = threading.Timer(moment, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.warns(ConvergenceWarning, match="INTERRUPTED"):
            r = transport.solve(M, **KINDS[kind])
        timer.join()
        done = r.success
        assert 0 < done.sum() < 4000
        assert (r.status[~done] == Status.INTERRUPTED).all()
        assert (r.residual[done] <= 1e-9).all()


def test_a_problem_of_a_batch_that_never_ends_is_ended_with_it():
    """The compiled loop is inside one problem when the time is over."""
    M = np.random.default_rng(0).random((2, 300, 900))
    transport.solve(M[:, :20, :30], reg=1e-2)
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        r = transport.solve(M, reg=1e-7, tol=0.0, time_limit=0.3)
    assert not r.success.any()
    assert (r.status == Status.TIME_LIMIT).all()
    assert time.perf_counter() - began < 2.0


LONG = np.random.default_rng(0).random((1000, 1000))
ROUND = np.abs(np.subtract.outer(np.sort(LONG[0]), np.sort(LONG[1])))
POINTS = np.random.default_rng(1).random((2, 5000, 2))
HIGH = np.random.default_rng(2).random((2, 2000, 60))

#: Solves of many seconds: to no tolerance, or of much.
ENDLESS = {
    "newton": lambda **k: transport.solve(ROUND, reg=1e-6, tol=0.0, **k),
    "newton, unbalanced": lambda **k: transport.solve(ROUND, reg=1e-6, unbalanced=1e3, tol=0.0, **k),
    "sinkhorn": lambda **k: transport.sinkhorn(None, None, LONG, 1e-4, tol=0.0, **k),
    "sinkhorn, log": lambda **k: transport.sinkhorn(None, None, LONG, 1e-4, method="log", tol=0.0, **k),
    "sns": lambda **k: transport.sinkhorn_newton_sparse(None, None, ROUND, 1e-4, tol=0.0, **k),
    "sinkhorn, unbalanced": lambda **k: transport.sinkhorn_unbalanced(
        None, None, ROUND, 1e-4, 10.0, tol=0.0, **k
    ),
    "quadratic": lambda **k: transport.quadratic(None, None, ROUND, 1e-4, tol=0.0, **k),
    "sparse": lambda **k: transport.sparsity_constrained(None, None, LONG, 1.0, 2, tol=0.0, **k),
    "sparse, published": lambda **k: transport.sparsity_constrained(
        None, None, LONG, 1.0, 2, formulation="semidual", tol=0.0, **k
    ),
    "clouds": lambda **k: transport.solve_sample(*POINTS, reg=1e-6, tol=0.0, **k),
    "clouds, by sweeps": lambda **k: transport.solve_sample(
        *POINTS, reg=1e-3, method="sinkhorn", tol=0.0, **k
    ),
    "clouds in many dimensions": lambda **k: transport.solve_sample(*HIGH, reg=1e-2, tol=0.0, **k),
    "divergence": lambda **k: transport.sinkhorn_divergence(*POINTS, reg=1e-5, tol=0.0, **k),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_the_time_limit_is_kept_within_a_fifth(name):
    """In processor seconds of the threads that may work; each solve would take ten times as long."""
    from numba import get_num_threads

    solve, limit = ENDLESS[name], 0.3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        solve(time_limit=0.05)  # compiled and imported
        for _ in range(3):  # a fault is there each time; what a busy machine adds is not
            began, compiling = time.process_time(), clock.preparing
            r = solve(time_limit=limit)
            spent = time.process_time() - began - (clock.preparing - compiling)
            assert r.status is Status.TIME_LIMIT
            if spent <= get_num_threads() * (limit + max(0.2 * limit, 0.1)):
                return
    pytest.fail(f"{spent} processor seconds for a limit of {limit}")


# -- copies, names, numbers ------------------------------------------------------------------------


def test_what_goes_with_a_result_is_pickled_too():
    M, a, b = small()
    gradient = transport.solve(M, a, b, 0.05).gradient()
    for x, y in zip(pickle.loads(pickle.dumps(gradient)), gradient, strict=True):
        assert np.array_equal(x, y)


@pytest.mark.parametrize(
    ("call", "word", "answer"),
    [
        (lambda **kw: transport.sinkhorn([1], [1], [[0.0]], 1.0, **kw), "numItermax", "'maxiter'"),
        (lambda **kw: transport.sinkhorn([1], [1], [[0.0]], 1.0, **kw), "stopThr", "'tol'"),
        (lambda **kw: transport.sinkhorn([1], [1], [[0.0]], 1.0, **kw), "warmstart", "'potentials_init'"),
        (lambda **kw: transport.solve([[0.0]], reg=1.0, **kw), "max_iter", "'maxiter'"),
        (lambda **kw: transport.solve([[0.0]], reg=1.0, **kw), "verbose", "'progress'"),
        (lambda **kw: transport.solve([[0.0]], reg=1.0, **kw), "log", "always in the result"),
        (lambda **kw: transport.solve([[0.0]], reg=1.0, **kw), "lazy", "solve_sample"),
        (lambda **kw: transport.sinkhorn_unbalanced([1], [1], [[0.0]], 1.0, 1.0, **kw), "reg_type", "KL"),
        (
            lambda **kw: transport.sinkhorn_newton_sparse([1], [1], [[0.0]], 1.0, **kw),
            "warn",
            "ConvergenceWarning",
        ),
    ],
)
def test_the_words_of_pot_are_answered_with_ours(call, word, answer):
    with pytest.raises(TypeError, match=f"(?s){word}.*{answer}"):
        call(**{word: 1})


@pytest.mark.parametrize(
    ("call", "method", "answer"),
    [
        (lambda **kw: transport.sinkhorn([1], [1], [[0.0]], 1.0, **kw), "sinkhorn_stabilized", "stabilized"),
        (lambda **kw: transport.sinkhorn([1], [1], [[0.0]], 1.0, **kw), "sinkhorn", "scaling"),
        (lambda **kw: transport.solve([[0.0]], reg=1.0, **kw), "sinkhorn_stabilized", "stabilized"),
        (lambda **kw: transport.solve([[0.0]], reg=1.0, **kw), "emd", "reg=0"),
    ],
)
def test_the_methods_of_pot_are_answered_with_ours(call, method, answer):
    with pytest.raises(ValueError, match=f"(?s)method must be one of.*{method}.*{answer}"):
        call(method=method)


@pytest.mark.parametrize("kind", [int, np.int8, np.uint16, np.float32, np.asarray], ids=lambda k: k.__name__)
def test_numbers_of_any_kind_mean_the_same(kind):
    M, a, b = small()
    one = kind(1)
    plain = transport.solve(M, a, b, 1.0, tol=1.0)
    assert np.array_equal(transport.solve(M, a, b, one, tol=one).plan, plain.plan)
    assert np.array_equal(
        transport.sinkhorn(a, b, M, one, overrelaxation=one).plan,
        transport.sinkhorn(a, b, M, 1.0, overrelaxation=1.0).plan,
    )
    ours = transport.sinkhorn_newton_sparse(a, b, M, one, n_sinkhorn=one, density=one)
    assert np.array_equal(
        ours.plan, transport.sinkhorn_newton_sparse(a, b, M, 1.0, n_sinkhorn=1, density=1.0).plan
    )
    assert isinstance(ours.reg, float)


@pytest.mark.parametrize("size", [1e-170, 1e-100, 1e100, 1e160])
@pytest.mark.parametrize("method", ["newton", "sinkhorn", "sinkhorn_log", "sns"])
def test_the_size_of_the_data_changes_nothing(size, method):
    M, a, b = small()
    plain = transport.solve(M, a, b, 0.05, method=method)
    cost = transport.solve(size * M, a, b, size * 0.05, method=method)
    assert cost.success
    np.testing.assert_allclose(cost.plan, plain.plan, rtol=1e-6, atol=1e-9)
    assert cost.value == pytest.approx(size * plain.value, rel=1e-6)
    mass = transport.solve(M, size * a, size * b, 0.05, method=method)
    assert mass.success
    np.testing.assert_allclose(mass.plan / size, plain.plan, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("size", [1e-170, 1e160])
def test_the_size_of_unbalanced_data_changes_nothing(size):
    M, a, b = small()
    plain = transport.solve(M, a, b, 0.05, unbalanced=1.0)
    cost = transport.solve(size * M, a, b, size * 0.05, unbalanced=size)
    assert cost.success
    np.testing.assert_allclose(cost.plan, plain.plan, rtol=1e-6, atol=1e-9)


def test_numbers_beyond_the_range_are_refused():
    with pytest.raises(ValueError, match="choose another unit for both"):
        transport.solve([[0.0, 1e308], [-1e308, 0.0]], reg=1e300)
    with pytest.raises(ValueError, match="choose another unit for both"):
        transport.solve([[0.0]], reg=1e-310)
    with pytest.raises(ValueError, match="a has a sum beyond"):
        transport.solve(np.zeros((2, 1)), [1.5e308, 1.5e308], [1e308], reg=1.0)


METHODS = {
    **{m: {"method": m} for m in ("newton", "sinkhorn", "sinkhorn_log", "sinkhorn_overrelaxed", "sns")},
    "unbalanced": {"unbalanced": np.inf},
    "unbalanced, sinkhorn": {"unbalanced": np.inf, "method": "sinkhorn"},
}


def settings_of(method, price):
    settings = dict(METHODS[method])
    if "unbalanced" in settings:
        settings["unbalanced"] = price
    return settings


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("least", [0.0, -5.0])
def test_a_plan_whose_value_is_beyond_the_range_is_no_success(method, batch, least):
    """Costs and masses of 1e160 can be computed with, but not their product: it was nan, in a success."""
    M, a, b = small()
    cost = 1e160 * (M + least)
    settings = settings_of(method, 1e160)
    if batch:
        cost = np.stack([cost, cost])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        r = transport.solve(cost, 1e160 * a, 1e160 * b, 1e159, **settings)
    assert [w.category for w in caught] == [ConvergenceWarning]
    assert not np.isfinite(r.value).all()
    assert np.all(np.asarray(r.status) == Status.NONFINITE)
    assert not np.any(r.success)
    assert batch or "beyond the range" in r.message
    assert np.all(transport.solve(cost, a, b, 1e159, **settings).success)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reg", [1e306, 1e307, 5e307, 8e307, 1e308, 1.7e308])
def test_a_regularisation_at_the_end_of_the_range_leaks_no_warning(method, reg):
    """What overflows is told by the status, in one warning of ours."""
    M, a, b = small()
    for price in (1.0, reg, (1.0, np.inf)) if "unbalanced" in METHODS[method] else (None,):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            r = transport.solve(M, a, b, reg, **settings_of(method, price))
        assert [w.category for w in caught] == ([] if r.success else [ConvergenceWarning])
        if r.success:
            assert np.isfinite([r.value, r.value_linear, r.kl, r.residual]).all()


@pytest.mark.parametrize("name", ["M", "a", "b"])
def test_masked_arrays_are_refused_by_name(name):
    data = dict(zip("Mab", small(), strict=True))
    data[name] = np.ma.array(data[name], mask=data[name] > 0.9)
    with pytest.raises(TypeError, match=f"{name} is a masked array"):
        transport.solve(data["M"], data["a"], data["b"], 0.1)


def test_modules_list_what_is_public():
    from numsolve.transport import optimality, problems

    for module in (optimality, problems):
        assert dir(module) == sorted(module.__all__)
        assert all(getattr(module, name).__module__ == module.__name__ for name in module.__all__)
