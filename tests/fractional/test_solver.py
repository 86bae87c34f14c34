"""The solver to keep: as right as a solve of its own for each right-hand side and order."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.special import gamma

from numsolve import ConvergenceWarning
from numsolve._core.result import Status
from numsolve.fractional import (
    RieszBatchResult,
    RieszSolver,
    RieszSplineOperator,
    _prepared,
    problems,
    solve_riesz_bvp,
    solve_riesz_eig,
)
from numsolve.fractional._factors import Factors, fold, unfold

X = np.linspace(-0.1, 1.1, 121)

EQUATIONS = {
    "plain": {},
    "odd": {"n": 61},
    "on another interval": {"interval": (-1.0, 3.0)},
    "skewed": {"weights": (0.8, 0.3)},
    "constants": {"reaction": 3.0, "diffusion": 0.2},
    "varying": {"reaction": lambda x: 1 + x**2, "diffusion": lambda x: 1 + x},
    "layers": {"reaction": lambda x: np.where(x > 0.5, 1e4, 0.0)},
    "caputo": {"definition": "caputo"},
    "by iteration": {"method": "spline"},
    "by iteration, varying": {"method": "spline", "reaction": lambda x: 1 + x**2},
}


@pytest.mark.parametrize("settings", EQUATIONS.values(), ids=EQUATIONS.keys())
def test_each_column_is_what_a_solve_of_its_own_gives(settings):
    settings = {"n": 60, "p": 4, **settings}
    solver = RieszSolver(1.4, **settings)
    F = np.random.default_rng(0).normal(size=(solver.points.size, 3))
    together = solver.solve(F)
    assert isinstance(together, RieszBatchResult)
    assert together.success.all()
    for f, c, u, error in zip(F.T, together.x.T, together(X), together.error_estimate, strict=True):
        alone = solve_riesz_bvp(f, 1.4, **{**settings, "method": "spline"})
        np.testing.assert_allclose(c, alone.x, atol=1e-9 * np.max(np.abs(alone.x)))
        np.testing.assert_allclose(u, alone(X), atol=1e-9 * np.max(np.abs(alone.x)))
        one = solver.solve(f)
        np.testing.assert_allclose(one.x, c, atol=1e-10 * np.max(np.abs(c)))
        assert one.error_estimate == pytest.approx(error, rel=1e-3)
        assert alone.error_estimate == pytest.approx(error, rel=1e-3)


@pytest.mark.parametrize("method", ["auto", "spline"])
def test_the_residual_is_that_of_the_equation_as_the_user_wrote_it(method):
    A = RieszSplineOperator(80, 3, 1.7)
    r, d = 1e3 * A.greville**2, 1e-4 + A.greville
    F = np.random.default_rng(1).normal(size=(A.shape[0], 2))
    result = RieszSolver(1.7, n=80, p=3, reaction=r, diffusion=d, method=method, rtol=1e-10).solve(F)
    left = d[:, None] * (A @ result.x) + r[:, None] * (A.mass() @ result.x)
    np.testing.assert_allclose(result.residual, np.linalg.norm(F - left, axis=0), rtol=0.1, atol=1e-12)
    assert (result.residual <= 1e-9 * np.linalg.norm(F, axis=0)).all()


def test_known_solutions_of_several_orders():
    orders = np.array([1.1, 1.5, 1.9])
    solver = RieszSolver(orders, n=200, p=5)
    F = np.stack([problems.bump(3, a)[0](solver.points) for a in orders], axis=1)
    result = solver.solve(F)
    np.testing.assert_allclose(result(X), [problems.bump(3, 1.5)[1](X)] * 3, atol=1e-9)
    assert (result.error_estimate < 1e-6).all()
    np.testing.assert_array_equal(solver.alpha, orders)


def test_functions_are_left_to_modes_where_these_are_better():
    orders = [0.6, 1.0, 1.5]
    result = RieszSolver(orders, interval=(-1, 1)).solve(1.0)
    assert result.method == "spectral"
    x = np.linspace(-1, 1, 41)
    expected = [np.maximum(1 - x**2, 0) ** (a / 2) / gamma(a + 1) for a in orders]  # Getoor
    np.testing.assert_allclose(result(x), expected, atol=1e-12)
    one = RieszSolver(1.5, reaction=lambda x: 1 + x)
    for f in (np.exp, np.cos):  # the second takes the tables of the first
        np.testing.assert_allclose(
            one.solve(f)(X), solve_riesz_bvp(f, 1.5, reaction=lambda x: 1 + x)(X), rtol=1e-12
        )


def test_a_kink_is_left_to_splines_and_judged_as_ever():
    def f(x):
        return np.cos(900 * x)

    kept = RieszSolver(1.5, n=1500, p=4).solve(f)
    alone = solve_riesz_bvp(f, 1.5, n=1500, p=4)
    assert kept.method == alone.method == "spline"
    assert kept.error_estimate == pytest.approx(alone.error_estimate, rel=1e-2)
    np.testing.assert_allclose(kept(X), alone(X), atol=1e-9 * np.max(np.abs(alone(X))))


def test_the_matrix_is_factorised_once(monkeypatch):
    made = []

    def count(*args, **settings):
        made.append(1)
        return factors_of(*args, **settings)

    factors_of = _prepared.factors_of
    monkeypatch.setattr(_prepared, "factors_of", count)
    solver = RieszSolver(1.5, n=50, p=3)
    for k in range(4):
        solver.solve(np.cos(k * solver.points))
    solver.solve(np.ones((51, 7)))
    assert len(made) == 1


@pytest.mark.parametrize("K", [2, 3, 8, 9, 40])
def test_halves_of_a_reversible_matrix_solve_as_the_whole(K):
    rng = np.random.default_rng(K)
    A = rng.normal(size=(K, K)) + K * np.eye(K)
    A = A + A[::-1, ::-1]
    b = rng.normal(size=(K, 3))
    np.testing.assert_allclose(unfold(*fold(b)), b, atol=1e-15)
    factors = Factors(A, reversible=True)
    assert [part.shape[0] for part in factors.parts] == [K - K // 2, K // 2]
    np.testing.assert_allclose(factors.product(b), A @ b, atol=1e-12 * K)
    np.testing.assert_allclose(factors.solve(b), np.linalg.solve(A, b), atol=1e-13)
    np.testing.assert_allclose(factors.solve(b[:, 0]), np.linalg.solve(A, b[:, 0]), atol=1e-13)


def test_next_to_an_eigenvalue_nothing_is_a_success():
    bottom = solve_riesz_eig(1.5, 1, interval=(0, 1)).x[0]
    solver = RieszSolver(1.5, n=64, p=3, reaction=-bottom * (1 + 1e-5))
    with pytest.warns(ConvergenceWarning):
        result = solver.solve(np.ones((65, 2)))
    assert not result.success.any()
    with pytest.warns(ConvergenceWarning):
        assert not solver.solve(np.ones(65)).success


def test_columns_after_a_stop_are_not_solved():
    solver = RieszSolver(1.5, n=64, p=3, method="spline")
    F = np.random.default_rng(0).normal(size=(65, 3))
    result = solver.solve(F, callback=lambda x: True)
    assert (result.status == Status.STOPPED).all()
    with pytest.warns(ConvergenceWarning, match="TIME_LIMIT"):
        result = solver.solve(F, time_limit=1e-9)
    assert (result.status == Status.TIME_LIMIT).all()
    np.testing.assert_allclose(result.residual, np.linalg.norm(F, axis=0))


def test_it_pickles():
    solver = RieszSolver([1.3, 1.6], n=40, p=3, reaction=2.0)
    copy = pickle.loads(pickle.dumps(solver))
    np.testing.assert_array_equal(copy.solve(np.exp)(X), solver.solve(np.exp)(X))


BAD = {
    "f of wrong length": (
        {},
        np.ones((7, 2)),
        "f must have shape",
    ),
    "f of three axes": ({}, np.ones((21, 2, 2)), "f must be 1-D"),
    "no columns": ({}, np.ones((21, 0)), "f is empty"),
    "nan in f": ({}, np.full((21, 2), np.nan), "nan"),
    "columns for other orders": ({"alpha": [1.2, 1.5]}, np.ones((21, 3)), "f must have shape"),
    "values for modes": ({"method": "spectral"}, np.ones((21, 2)), "method 'spectral' does not apply"),
    "values below one": ({"alpha": 0.5}, np.ones(21), "alpha must be above 1 for splines"),
    "orders of two axes": ({"alpha": [[1.2]]}, 1.0, "alpha must be 0-D or 1-D"),
    "an order that is none": ({"alpha": [1.2, 2.5]}, 1.0, "alpha must"),
    "diffusion": ({"diffusion": -1.0}, 1.0, "diffusion must be positive"),
    "too many for dense": ({"method": "dense", "n": 9000}, 1.0, "at most 4000 unknowns"),
    "method": ({"method": "fft"}, 1.0, "method must be one of"),
    "few spans": ({"n": 5}, 1.0, "n must be at least"),
}


@pytest.mark.parametrize(("settings", "f", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input(settings, f, words):
    with pytest.raises(ValueError, match=words):
        RieszSolver(**{"alpha": 1.5, "n": 20, "p": 3, **settings}).solve(f)


@pytest.mark.parametrize("alpha", [0.7, 1.5])
@pytest.mark.parametrize("name", ["reaction", "diffusion", "advection"])
@pytest.mark.parametrize("value", ["words", object(), 1j, [1.0, "a"], np.ma.array([1.0], mask=True)])
def test_coefficients_that_are_none_are_refused_when_the_solver_is_made(alpha, name, value):
    with pytest.raises((TypeError, ValueError), match=rf"^{name}"):
        RieszSolver(1.5 if name == "advection" else alpha, n=20, p=3, **{name: value})


def test_complex_right_hand_sides_are_refused():
    with pytest.raises(TypeError, match="complex"):
        RieszSolver(1.5, n=20, p=3).solve(np.ones((21, 2), dtype=complex))
