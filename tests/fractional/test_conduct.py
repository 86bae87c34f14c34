"""How a run behaves: callbacks, limits, Ctrl-C, warnings, progress, pictures."""

from __future__ import annotations

import pickle
from time import process_time
from typing import ClassVar

import numpy as np
import pytest
from contract import Call, Conduct

from numsolve._core.result import ConvergenceWarning, Status
from numsolve.fractional import (
    FirstPassageResult,
    FractionalDiffusionResult,
    RieszEigResult,
    RieszPlaneResult,
    RieszResult,
    RieszSolver,
    RieszSplineOperator,
    exit_time_moments,
    problems,
    solve_fractional_diffusion,
    solve_riesz_2d,
    solve_riesz_bvp,
    solve_riesz_eig,
    survival_probability,
)

SIDE = np.random.default_rng(0).normal(size=(101, 101))


def bvp(**settings):
    return solve_riesz_bvp(SIDE[0], 1.5, n=100, p=3, **settings)


def kept(**settings):
    return RieszSolver(1.5, n=100, p=3, method="spline").solve(SIDE[0], **settings)


def varying(**settings):
    settings = {"method": "spline", **settings}
    return solve_riesz_bvp(SIDE[0], 1.5, n=100, p=3, reaction=lambda x: 5 + 4 * np.sin(9 * x), **settings)


def long_bvp(**settings):
    """Without a preconditioner: hundreds of iterations that gain little."""
    settings = {"maxiter": 10**6, **settings}
    return solve_riesz_bvp(np.ones(2**14 + 1), 1.2, n=2**14, p=3, preconditioner=None, rtol=0.0, **settings)


def plane(**settings):
    return solve_riesz_2d(SIDE, 1.5, n=100, p=3, method="gmres", **settings)


def plane_varying(**settings):
    reaction = 50 * np.abs(SIDE)
    return solve_riesz_2d(SIDE, 1.5, n=100, p=3, method="fastdiag", reaction=reaction, **settings)


def time(method="auto", **settings):
    return solve_fractional_diffusion(
        SIDE[0] ** 2, 1.5, (0, 1), n=100, p=3, dt=0.125, method=method, **settings
    )


def many_steps(method="dense", **settings):
    return solve_fractional_diffusion(
        1.0, 1.5, (0, 1), n=100, p=3, dt=1e-5, t_eval=[1.0], method=method, **settings
    )


def time_by_gmres(**settings):
    return time("spline", **settings)


def many_steps_by_gmres(**settings):
    return many_steps("spline", **settings)


def residual_of_bvp(r):
    if r.x.size > 101:
        return np.linalg.norm(1.0 - RieszSplineOperator(2**14, 3, 1.2) @ r.x)
    return np.linalg.norm(SIDE[0] - RieszSplineOperator(100, 3, 1.5).todense() @ r.x)


def residual_of_plane(r):
    A = RieszSplineOperator(100, 3, 1.5)
    D, M = A.todense(), A.mass().toarray()
    return np.linalg.norm(SIDE - D @ r.x @ M.T - M @ r.x @ D.T)


class TestConduct(Conduct):
    calls: ClassVar = {
        "bvp": Call(bvp, long=long_bvp, measure=residual_of_bvp),
        "bvp, varying": Call(varying),
        "solver": Call(kept, measure=residual_of_bvp),
        "plane": Call(plane, measure=residual_of_plane),
        "plane, varying": Call(plane_varying),
        "time, dense": Call(time, long=many_steps),
        "time, spline": Call(time_by_gmres, long=many_steps_by_gmres),
    }


def test_the_time_limit_holds_while_the_matrix_is_set_up():
    """Each would take seconds; in processor seconds, so that other work on the machine does not count."""
    breaks = np.linspace(0, 1, 2000) ** 2
    for solve in (
        lambda **kw: solve_riesz_bvp(1.0, 1.5, breaks=breaks, **kw),
        lambda **kw: solve_riesz_bvp(np.ones(2**20 + 1), 1.5, n=2**20, p=3, **kw),
        lambda **kw: solve_fractional_diffusion(1.0, 1.5, (0, 1), n=2**17, p=9, t_eval=[1.0], **kw),
        lambda **kw: solve_riesz_2d(1.0, 1.5, n=(64, 900), **kw),
    ):
        began = process_time()
        with pytest.warns(ConvergenceWarning, match="not set up in time"):
            r = solve(time_limit=0.001)
        assert r.status is Status.TIME_LIMIT
        assert not np.any(r.x) or isinstance(r.sol, tuple)
        assert process_time() - began < 1.0


def test_a_run_in_time_that_is_cut_short_keeps_the_steps_done():
    r = time("spline", maxiter=8)
    assert r.status is Status.CONVERGED
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        r = time("spline", maxiter=3)
    np.testing.assert_allclose(r.t, [0, 0.125, 0.25, 0.375])


@pytest.mark.parametrize("solve", [bvp, plane])
def test_residuals_fall_and_are_true(solve):
    r = solve()
    residual = r.history.residual
    assert (np.diff(residual) < 0).all()
    assert r.residual == residual[-1]
    # An estimate of a truncated run is the true residual of its iterate.
    with pytest.warns(ConvergenceWarning):
        short = solve(maxiter=4)
    assert short.residual == pytest.approx(residual[4], rel=1e-6)


def test_times_after_an_interruption_are_those_reached():
    r = time(callback=lambda intermediate_result: bool(intermediate_result.t >= 0.5))
    np.testing.assert_allclose(r.t, [0, 0.125, 0.25, 0.375, 0.5])
    assert len(r.sol) == 5


RESULTS = {
    "spline": bvp,
    "solver": lambda: RieszSolver(1.5, n=30, p=3).solve(np.eye(31)[:, :3]),
    "orders": lambda: RieszSolver([1.2, 1.6], n=30).solve(np.exp),
    "spectral": lambda: solve_riesz_bvp(np.exp, 1.5),
    "dense": lambda: bvp(method="dense"),
    "plane": plane,
    "time": time,
    "eig": lambda: solve_riesz_eig(1.5, 3),
    "eig of splines": lambda: solve_riesz_eig(1.5, 3, method="spline", n=30),
}


@pytest.mark.parametrize("make", RESULTS.values(), ids=RESULTS.keys())
def test_results(make):
    plt = pytest.importorskip("matplotlib.pyplot")
    r = make()
    assert np.all(r.success)
    assert r.method
    assert r.reason
    assert len(repr(r)) < 1500
    assert r["method"] == r.method
    axes = r.plot()
    assert axes.get_xlabel() == "x"
    assert r.plot(what="convergence") is not axes
    plt.close("all")
    with pytest.raises(ValueError, match="what must be one of"):
        r.plot(what="all")
    copy = pickle.loads(pickle.dumps(r))
    np.testing.assert_array_equal(copy.x, r.x)
    x = (0.3, 0.4) if make is plane else (0.3,)
    np.testing.assert_array_equal(copy(*x), r(*x))


def test_every_solver_has_a_result_of_its_own():
    """They share what they share, and only the equation in time has times."""
    kinds = {
        "spline": RieszResult,
        "plane": RieszPlaneResult,
        "time": FractionalDiffusionResult,
        "eig": RieszEigResult,
    }
    for name, kind in kinds.items():
        r = RESULTS[name]()
        assert type(r) is kind
        assert isinstance(r, RieszResult)
        assert hasattr(r, "t") == hasattr(r, "ninner") == (name == "time")
        assert hasattr(r, "functions") == (name == "eig")
    assert type(survival_probability(1.5, 0.5)) is FirstPassageResult


def test_pictures_of_first_passage_have_their_own_words():
    plt = pytest.importorskip("matplotlib.pyplot")
    moments = exit_time_moments(1.5, 2).plot().get_legend()
    assert moments.get_title().get_text() == "moment"
    assert [text.get_text() for text in moments.get_texts()] == ["1", "2"]
    times = survival_probability(1.5, [0.25, 0.5]).plot().get_legend()
    assert [text.get_text() for text in times.get_texts()] == ["t = 0.25", "t = 0.5"]
    assert survival_probability(1.5, 0.5).plot().get_legend() is None
    plt.close("all")


def test_labels_of_a_family():
    plt = pytest.importorskip("matplotlib.pyplot")
    axes = time().plot(linewidth=1)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[0] == "t = 0"
    assert labels[-1] == "t = 1"
    assert solve_riesz_eig(1.5, 2).plot().get_legend().get_title().get_text() == "eigenvalue"
    plt.close("all")


@pytest.mark.parametrize("m", [1, 3])
@pytest.mark.parametrize("definition", ["rl", "caputo"])
def test_problems_are_consistent_under_reflection(m, definition):
    f, u = problems.bump(m, 1.5, definition=definition)
    x = np.linspace(0.01, 0.99, 99)
    np.testing.assert_allclose(f(x), f(1 - x), rtol=1e-9)
    assert u(-1.0) == u(2.0) == 0
