"""How a run behaves, whatever the method: the house's contract, and what this column adds to it."""

from __future__ import annotations

import copy
import pickle
import warnings
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import scipy.sparse as sp
from contract import Call, Conduct
from scipy.sparse.linalg import aslinearoperator

from numsolve import ConvergenceWarning, Status, linear
from numsolve.linear.problems import laplacian

A, B = laplacian(20), np.random.default_rng(0).standard_normal(400)
LINE, ON_LINE = laplacian(200_000, dim=1), np.random.default_rng(0).standard_normal(200_000)
WIND = sp.csr_array(A + 2.0 * sp.diags_array([-1.0, 1.0], offsets=[-20, 0], shape=(400, 400)))
PLANE, ON_PLANE = laplacian(400), np.random.default_rng(0).standard_normal(160_000)


def error(r):
    """Of the symmetric systems."""
    matrix, b = {400: (A, B), LINE.shape[0]: (LINE, ON_LINE), PLANE.shape[0]: (PLANE, ON_PLANE)}[r.x.size]
    return float(np.linalg.norm(b - matrix @ r.x))


def call(solve, *, matrix=A, long=(PLANE, ON_PLANE), **settings):
    """A solve of 400 unknowns, and one that would take minutes."""
    return Call(
        run=lambda **kw: solve(matrix, B, **{"rtol": 1e-8, **settings, **kw}),
        long=long and (lambda **kw: solve(*long, **{"rtol": 1e-15, "maxiter": 10**7, **settings, **kw})),
        measure=error,
    )


def windy(solve, *, matrix=WIND, long=(LINE, ON_LINE), **settings):
    """The same for a solver of nonsymmetric systems."""

    def measure(r):
        return float(np.linalg.norm(B - WIND @ r.x)) if r.x.size == 400 else error(r)

    return replace(call(solve, matrix=matrix, long=long, **settings), measure=measure)


class TestConduct(Conduct):
    calls: ClassVar = {
        "sor": call(linear.sor, omega=0.9),
        "sor, adaptive": call(linear.sor, omega="adaptive", long=(LINE, ON_LINE)),
        "sor, backward": call(linear.sor, omega=0.9, sweep="backward"),
        "gauss_seidel": call(linear.gauss_seidel),
        "ssor": call(linear.ssor, omega=0.9),
        "cg": call(linear.cg, long=(LINE, ON_LINE)),
        "cg, dense": call(linear.cg, matrix=A.toarray(), long=(aslinearoperator(LINE), ON_LINE)),
        "cg, flexible": call(linear.cg, flexible=True, M=linear.SSOR(A, 1.2), long=None),
        "ssor_cg": call(linear.ssor_cg, omega=1.0, long=(LINE, ON_LINE)),
        "ssor_cg, standard": call(linear.ssor_cg, method="standard", long=(LINE, ON_LINE)),
        "ict_cg": call(linear.ict_cg, droptol=0.3, fill=0, long=(PLANE, ON_PLANE)),
        "bicgstab": windy(linear.bicgstab),
        "bicgstab, ILU": windy(linear.bicgstab, M=linear.ILU(WIND), long=None),
        "bicgstab, operators": windy(
            linear.bicgstab,
            matrix=aslinearoperator(WIND),
            M=aslinearoperator(sp.diags_array(1 / WIND.diagonal())),
            long=None,
        ),
        "gmres": windy(linear.gmres),
        "gmres, ILU": windy(linear.gmres, M=linear.ILU(WIND), restart=5, long=None),
        "gmres, operators": windy(
            linear.gmres, matrix=aslinearoperator(WIND), M=linear.SSOR(WIND), long=None
        ),
        "TunedSolver": Call(
            run=lambda **kw: linear.TunedSolver(arms=[1.5], **{"rtol": 1e-8, **kw})(A, B),
            long=lambda **kw: linear.TunedSolver(arms=[1.0], rtol=1e-15, **kw)(LINE, ON_LINE),
            measure=error,
        ),
        "TunedSolver, auto": Call(
            run=lambda **kw: linear.TunedSolver("auto", arms=[("cg",)], **{"rtol": 1e-8, **kw})(A, B),
            long=lambda **kw: linear.TunedSolver("auto", arms=[("cg",)], rtol=1e-15, **kw)(PLANE, ON_PLANE),
            measure=error,
        ),
    }


CALLS = {name: c.run for name, c in TestConduct.calls.items()}


@pytest.fixture(params=CALLS.values(), ids=CALLS.keys())
def call_of_all(request):
    return request.param


def test_every_iterate_has_the_residual_that_the_history_tells(call_of_all, request):
    windy = request.node.callspec.id.startswith(("bicgstab", "gmres"))

    def of(x):
        return float(np.linalg.norm(B - (WIND if windy else A) @ x))

    seen = []
    r = call_of_all(callback=seen.append)
    np.testing.assert_allclose([of(x) for x in seen], r.history.residual[1:], rtol=1e-5)


def test_a_run_of_many_chunks_is_the_run_of_one(call_of_all, monkeypatch):
    whole = call_of_all()
    monkeypatch.setattr("numsolve._core.monitor.CHUNK_SECONDS", 1e-5)
    monkeypatch.setattr("numsolve._core.monitor.FIRST_SECONDS", 1e-5)
    parts = call_of_all()
    assert parts.nit == whole.nit
    np.testing.assert_allclose(parts.x, whole.x, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(parts.history.residual, whole.history.residual, rtol=1e-6)


def test_scipys_code_tells_how_a_run_ended(call_of_all):
    assert call_of_all().info == 0
    stopped = call_of_all(callback=lambda x: True)
    assert stopped.info == stopped.nit == 1
    r = call_of_all()
    assert r.setup_time >= 0
    assert r.solve_time > 0
    assert r["rhs_norm"] == pytest.approx(np.linalg.norm(B))
    assert set(r.keys()) >= {"x", "residual", "omega", "setup_time", "solve_time"}


# -- several right-hand sides end as a whole --------------------------------------------------------

SOLVERS = {
    "sor": linear.sor,
    "ssor": linear.ssor,
    "gauss_seidel": linear.gauss_seidel,
    "cg": linear.cg,
    "ssor_cg": linear.ssor_cg,
    "ict_cg": lambda *args, **kw: linear.ict_cg(*args, fill=0, **kw),
    "bicgstab": linear.bicgstab,
    "gmres": linear.gmres,
}


@pytest.fixture(params=SOLVERS.values(), ids=SOLVERS.keys())
def solve(request):
    return request.param


def three(seed=1):
    return np.random.default_rng(seed).standard_normal((400, 3))


@pytest.mark.parametrize(
    ("raised", "status"), [(KeyboardInterrupt, Status.INTERRUPTED), (StopIteration, Status.STOPPED)]
)
def test_what_ends_one_right_hand_side_ends_all(solve, raised, status):
    b, x0, alone = three(), three(2), solve(A, three()[:, 0], three(2)[:, 0], rtol=1e-6)
    steps = []
    assert alone.nit > 3

    def callback(x):
        steps.append(x)
        if len(steps) == alone.nit + 3:
            raise raised

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        r = solve(A, b, x0, rtol=1e-6, callback=callback)
    assert list(r.status) == [Status.CONVERGED, status, status]
    assert list(r.nit) == [alone.nit, 3, 0]
    np.testing.assert_allclose(r.x[:, 0], alone.x, rtol=1e-9, atol=1e-12)  # what is done is kept
    assert np.array_equal(r.x[:, 2], x0[:, 2])
    np.testing.assert_allclose(r.residual, np.linalg.norm(b - A @ r.x, axis=0), rtol=1e-6)


def test_the_time_is_that_of_all_right_hand_sides(solve):
    with pytest.warns(ConvergenceWarning, match="3 TIME_LIMIT"):
        r = solve(A, three(), time_limit=0.0)
    assert list(r.status) == [Status.TIME_LIMIT] * 3
    assert not r.x.any()
    np.testing.assert_allclose(r.residual, np.linalg.norm(three(), axis=0))


# -- everything public can be sent to another process ------------------------------------------------


def by_value(make):
    """The thing, and its copies of each kind."""
    thing = make()
    return thing, [pickle.loads(pickle.dumps(thing)), copy.copy(thing), copy.deepcopy(thing)]


@pytest.mark.parametrize("order", ["forward", "backward"])
def test_operators_are_pickled_and_copied(order):
    M, copies = by_value(lambda: linear.SSOR(A, 1.4, order=order))
    for other in copies:
        assert np.array_equal(other @ B, M @ B)
        assert linear.cg(A, B, M=other).nit == linear.cg(A, B, M=M).nit


@pytest.mark.parametrize("kind", [linear.ICT, linear.ILU])
def test_factors_are_pickled_and_copied(kind):
    M, copies = by_value(lambda: kind(A, 1e-2))
    want = M @ B
    for other in copies:
        assert np.array_equal(other @ B, want)
        assert repr(other) == repr(M)
    copies[0].update(2.0 * A.data)
    np.testing.assert_allclose(copies[0] @ B, want / 2, rtol=1e-12)
    assert np.array_equal(M @ B, want)
    assert np.array_equal(copies[1] @ B, want)


def test_plans_are_pickled_and_copied():
    plan, copies = by_value(lambda: linear.SweepPlan(A))
    linear.sweep(plan, np.zeros(400), B, 1.3)  # with what sweeps remember
    for other in (*copies, *by_value(lambda: plan)[1]):
        one, two = np.zeros(400), np.zeros(400)
        linear.sweep(plan, one, B, 1.3, iterations=5)
        linear.sweep(other, two, B, 1.3, iterations=5)
        assert np.array_equal(one, two)
        assert linear.sor(2 * A, B, plan=other).success
    plan.update(A.data)


@pytest.mark.parametrize("cost", ["iterations", "time"])
def test_tuned_solvers_are_pickled_and_copied(cost):
    def solver_at_work():
        solver = linear.TunedSolver("ssor_cg", rtol=1e-8, cost=cost, rng=0)
        for _ in range(5):
            solver(A, B)
        return solver

    solver, copies = by_value(solver_at_work)
    for twin in copies:
        assert twin.history.costs == solver.history.costs
    for twin in copies[:1] + copies[2:]:
        assert twin(A, 2.0 * B).success
    assert len(solver.history) == 5


@pytest.mark.parametrize(
    "make",
    [
        lambda: linear.TsallisINF([1.0, 1.5, 1.9], rng=0),
        lambda: linear.TsallisINFCB([1.0, 1.5, 1.9], context_range=(0, 1), rng=0),
        lambda: linear.ChebCB([1.0, 1.5, 1.9], context_range=(0, 1), rng=0),
        lambda: linear.SmoothCB([1.0, 1.5, 1.9], rng=0),
    ],
)
def test_tuners_are_pickled_and_copied(make):
    def play(tuner, rounds):
        out = []
        for t in range(rounds):
            out.append(tuner.suggest((t % 7) / 7))
            tuner.observe(10 + 20 * abs(out[-1] - 1.5))
        return out

    tuner = make()
    play(tuner, 40)
    twins = pickle.loads(pickle.dumps(tuner)), copy.deepcopy(tuner)
    expected = play(tuner, 30)
    assert [play(twin, 30) for twin in twins] == [expected, expected]


def test_modules_show_what_is_public():
    for module in (linear.problems, linear.optimality, linear.theory):
        assert dir(module) == sorted(module.__all__)
        assert all(getattr(module, name).__module__.startswith("numsolve.") for name in dir(module))
