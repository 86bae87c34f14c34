"""A batch gives each problem the answer that it would have had alone."""

from __future__ import annotations

import math
import pickle
import warnings

import array_api_strict as strict
import numpy as np
import pytest

from numsolve import ConvergenceWarning, Status, transport

FIELDS = ("plan", "value", "value_linear", "kl")


def data(count=5, n=8, m=11, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.random((count, n)) + 0.1, rng.random((count, m)) + 0.1
    return rng.random((count, n, m)), a / a.sum(1, keepdims=True), b / b.sum(1, keepdims=True)


def alone(M, a, b, reg, **settings):
    return [
        transport.solve(M[i], None if a is None else a[i], None if b is None else b[i], reg, **settings)
        for i in range(len(M))
    ]


def agree(batch, singles, atol=1e-8):
    for i, single in enumerate(singles):
        for name in FIELDS:
            np.testing.assert_allclose(getattr(batch, name)[i], getattr(single, name), atol=atol)
        low, high = batch.problem(i).bounds
        assert high == pytest.approx(single.bounds[1], abs=atol)
        if batch.plan.shape[1] <= batch.plan.shape[2]:  # else it starts from the potential of the other side
            assert low == pytest.approx(single.bounds[0], abs=atol)
        assert low <= high + 1e-12 * abs(high)
        f, g = (x[i] for x in batch.potentials)
        np.testing.assert_allclose((f[:, None] + g), single.x[0][:, None] + single.x[1], atol=atol)
    assert batch.success.all()


@pytest.mark.parametrize("reg", [0.3, 0.02, 1e-3, 1e-5])
@pytest.mark.parametrize("shape", [(8, 11), (11, 8), (1, 4), (5, 1)])
def test_each_problem_has_its_own_answer(shape, reg):
    M, a, b = data(5, *shape)
    batch = transport.solve(M, a, b, reg)
    agree(batch, alone(M, a, b, reg))
    error = np.abs(batch.plan.sum(2) - a).sum(1) + np.abs(batch.plan.sum(1) - b).sum(1)
    np.testing.assert_allclose(batch.marginal_error, error, atol=1e-14)
    assert (error <= 1e-9).all()


def test_the_compiled_loop_takes_the_steps_of_newton():
    M, a, b = data(20, 30, 40)
    batch = transport.solve(M, a, b, 1e-3)
    singles = alone(M, a, b, 1e-3)
    ours, theirs = batch.nnewton.sum(), sum(r.nnewton for r in singles)
    assert abs(ours - theirs) <= 0.25 * theirs
    assert batch.reg_path == singles[0].reg_path


def test_masses_and_offsets_are_the_callers():
    M, a, b = data()
    scale = np.array([1.0, 7.0, 1e-3, 1.0, 500.0])
    M = M + np.array([0.0, 0.0, 1e3, -1e3, 5.0])[:, None, None]
    a, b = scale[:, None] * a, scale[:, None] * b
    agree(transport.solve(M, a, b, 0.02), alone(M, a, b, 0.02), atol=1e-7)


def test_shared_data_need_no_axis():
    M, a, b = data()
    full = np.broadcast_to(M[0], M.shape)
    agree(transport.solve(M[0], a, b, 0.02), alone(full, a, b, 0.02))
    agree(transport.solve(M, a[0], None, 0.02), [transport.solve(x, a[0], None, 0.02) for x in M])
    agree(transport.solve(M[0], a, reg=0.02), [transport.solve(M[0], x, None, 0.02) for x in a])


def test_irregular_problems_are_solved_beside_the_others():
    M, a, b = data()
    a[1, 3] = 0.0
    a[1] /= a[1].sum()
    M[2, 0, :4] = math.inf
    agree(transport.solve(M, a, b, 0.02), alone(M, a, b, 0.02))
    M[3, :, :] = math.inf
    np.fill_diagonal(M[3], 1.0)  # forbids what the last columns need
    M[3, 0, 8:] = 1.0
    with pytest.warns(ConvergenceWarning, match="4 CONVERGED, 1 INFEASIBLE"):
        r = transport.solve(M, a, b, 0.02)
    assert list(r.success) == [True, True, True, False, True]
    assert r.status[3] == Status.INFEASIBLE


@pytest.mark.parametrize("method", ["sinkhorn", "sns"])
def test_other_methods(method):
    M, a, b = data()
    agree(transport.solve(M, a, b, 0.2, method=method), alone(M, a, b, 0.2, method=method))


def test_unbalanced_problems():
    M, a, b = data()
    settings = {"unbalanced": (1.0, 2.0)}
    batch = transport.solve(M, 2 * a, b, 0.1, **settings)
    agree(batch, alone(M, 2 * a, b, 0.1, **settings))
    assert batch.reg_m == (1.0, 2.0)


def test_another_library():
    M, a, b = data(3)
    batch = transport.solve(*(strict.asarray(x) for x in (M, a, b)), 0.05)
    assert batch.plan.shape == (3, 8, 11)
    np.testing.assert_allclose(np.asarray(batch.plan), transport.solve(M, a, b, 0.05).plan, atol=1e-8)


def test_single_precision():
    M, a, b = (x.astype(np.float32) for x in data(3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        r = transport.solve(M, a, b, 0.05)
    assert r.plan.dtype == np.float32
    np.testing.assert_allclose(r.plan, transport.solve(*data(3), 0.05).plan, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_does_not_matter(threads, monkeypatch):
    M, a, b = data(7)
    expected = transport.solve(M, a, b, 0.02).plan
    monkeypatch.setattr("numsolve.transport._cpu.threads", lambda: threads)
    np.testing.assert_array_equal(transport.solve(M, a, b, 0.02).plan, expected)


def test_a_start_at_the_solution_is_the_solution():
    M, a, b = data()
    r = transport.solve(M, a, b, 1e-3)
    again = transport.solve(M, a, b, 1e-3, potentials_init=r.potentials, tol=1e-8)
    assert not again.nit.any()
    agree(again, alone(M, a, b, 1e-3), atol=1e-7)


def test_hopeless_problems_are_left_to_newton_and_told():
    M, a, b = data()
    with pytest.warns(ConvergenceWarning, match="5 MAXITER"):
        r = transport.solve(M, a, b, 1e-4, maxiter=1)
    assert (r.status == Status.MAXITER).all()
    assert np.isfinite(r.plan).all()


# -- conduct ---------------------------------------------------------------------------------------


def test_a_callback_sees_each_problem_and_may_stop():
    M, a, b = data(9)
    seen = []

    def callback(x):
        seen.append(len(x[0]))
        return len(x[0]) == 4

    r = transport.solve(M, a, b, 0.05, callback=callback)
    assert seen == [1, 2, 3, 4]
    assert r.plan.shape == (9, 8, 11)
    assert list(r.success) == [True] * 4 + [False] * 5
    assert (r.status[4:] == Status.STOPPED).all()
    assert np.isinf(r.residual[4:]).all()


def test_no_time_is_a_time_limit():
    with pytest.warns(ConvergenceWarning, match="TIME_LIMIT"):
        r = transport.solve(*data(40), 0.05, time_limit=0.0)
    assert not r.success.all()


def test_no_problems_and_no_plans():
    M, a, b = data(0)
    r = transport.solve(M, a, b, 0.05)
    assert r.plan.shape == (0, 8, 11)
    assert r.success.shape == (0,)
    assert transport.solve(*data(), 0.05, return_plan=False).plan is None


def test_a_batch_is_told_and_kept():
    r = transport.solve(*data(), 0.05)
    assert "5 CONVERGED" in repr(r)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(r)).plan, r.plan)
    moved = r.barycentric_map(np.arange(11.0))
    assert moved.shape == (5, 8)
    np.testing.assert_allclose(moved[2], (r.plan[2] @ np.arange(11.0)) / r.plan[2].sum(1))


def test_derivatives_of_each_problem():
    M, a, b = data()
    Q = np.random.default_rng(1).normal(size=M.shape)
    batch = transport.solve(M, a, b, 0.1)
    for i, single in enumerate(alone(M, a, b, 0.1)):
        for ours, theirs in ((batch.vjp(Q), single.vjp(Q[i])), (batch.gradient(), single.gradient())):
            np.testing.assert_allclose(ours.M[i], theirs.M, atol=1e-6)
            np.testing.assert_allclose(np.diff(ours.a[i]), np.diff(theirs.a), atol=1e-6)
            np.testing.assert_allclose(np.diff(ours.b[i]), np.diff(theirs.b), atol=1e-6)


# -- what is refused -------------------------------------------------------------------------------

M, a, b = data(3, 2, 4)
BAD = {
    "a count": ((M, a[:2], b), "a must have shape"),
    "a length": ((M, a[:, :1], b), "a must have shape"),
    "b shared": ((M, a, b[0, :3]), "b must have shape"),
    "masses": ((M, a, 2 * b), "the same sum"),
    "negative": ((M, -a, b), "a must"),
    "nan": ((M * np.nan, a, b), "M must"),
    "four axes": ((M[None], a, b), "M must be 2-D or 3-D"),
}


@pytest.mark.parametrize(("arguments", "fragment"), BAD.values(), ids=BAD.keys())
def test_what_does_not_fit_is_refused(arguments, fragment):
    with pytest.raises(ValueError, match=fragment):
        transport.solve(*arguments, 0.1)


def test_starts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="must have 3 rows"):
        transport.solve(M, a, b, 0.1, potentials_init=(a[:2], b[:2]))
    with pytest.raises(ValueError, match="a pair"):
        transport.solve(M, a, b, 0.1, potentials_init=a)


def test_each_problem_of_a_batch_may_have_its_own_regularisation():
    M, a, b = transport.problems.random_assignment(12, rng=0)
    regs = np.array([0.5, 0.02, 0.1])
    batch = transport.solve(M, a, b, regs)
    assert np.all(batch.success)
    np.testing.assert_array_equal(batch.reg, regs)
    for i, reg in enumerate(regs):
        alone = transport.solve(M, a, b, reg)
        np.testing.assert_allclose(batch.plan[i], alone.plan, atol=1e-9)
        assert batch.value[i] == pytest.approx(alone.value, abs=1e-8)
        assert batch.problem(i).reg == reg
    slopes = batch.vjp(np.ones((3, 12, 12)) * M)
    np.testing.assert_allclose(slopes.M[1], batch.problem(1).vjp(M).M, rtol=1e-6, atol=1e-12)
    unbalanced = transport.solve(M, a, b, regs, unbalanced=1.0)
    alone = transport.solve(M, a, b, 0.02, unbalanced=1.0)
    np.testing.assert_allclose(unbalanced.plan[1], alone.plan, atol=1e-9)


@pytest.mark.parametrize(
    ("reg", "message"),
    [([0.1, 0.0], "positive"), ([0.1, 0.1, 0.1], "2 of them"), ([0.1, np.nan], "reg")],
)
def test_regularisations_that_do_not_fit_a_batch_are_named(reg, message):
    with pytest.raises(ValueError, match=message):
        transport.solve(np.ones((2, 3, 3)), reg=reg)


def test_a_path_belongs_to_one_regularisation():
    M = np.random.default_rng(0).random((4, 5))
    assert transport.solve(np.stack([M, M]), reg=0.01).problem(1).reg_path[-1] == 0.01
    assert transport.solve(M, reg=[0.01, 1.0]).problem(1).reg_path == ()
