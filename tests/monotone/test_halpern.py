"""Halpern's iteration and its rivals: exact bounds, analytic solutions, orders of convergence."""

from __future__ import annotations

import warnings

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numsolve import monotone
from numsolve._core.result import ConvergenceWarning, Status

SKEW = np.array([[0.0, 1.0], [-1.0, 0.0]])


def run(*args, **settings):
    """The residuals of a run to its iteration limit."""
    with pytest.warns(ConvergenceWarning):
        return monotone.halpern(*args, tol=0.0, **settings).history


@given(seed=st.integers(0, 10**6))
def test_the_bound_of_lieder_holds_at_every_iteration(seed):
    rng = np.random.default_rng(seed)
    factors = [np.linalg.qr(rng.normal(size=(6, rng.integers(1, 6))))[0] for _ in range(3)]
    P = np.linalg.multi_dot([Q @ Q.T for Q in factors])  # nonexpansive, with fixed points 0 at least
    u0 = rng.normal(size=6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        history = monotone.halpern(lambda u: u - P @ u, u0, L=1.0, tol=0.0, maxiter=60).history
    k = history.iteration
    assert (history.residual <= 2 * np.linalg.norm(u0) / (k + 1) + 1e-12).all()


def test_the_bound_is_tight():
    """A rotation by a small angle in the plane is Lieder's worst case, up to a few per cent."""
    k, angle = 50, np.pi / 51
    T = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    history = run(lambda u: u - T @ u, [1.0, 0.0], L=1.0, maxiter=k)
    assert history.residual[k] > 0.6 * 2 / (k + 1)


@pytest.mark.parametrize("method", ["eag", "popov", "eg"])
def test_a_rotation_is_solved_by_all_but_halpern(method):
    r = monotone.halpern(lambda u: SKEW @ u, [1.0, 1.0], L=1.0, method=method, tol=1e-3, maxiter=20_000)
    assert np.linalg.norm(r.x) <= 1.01e-3
    assert r.nfev == (1 if method == "popov" else 2) * r.nit + 1


def test_the_anchored_method_is_of_order_one_over_k():
    history = run(lambda u: SKEW @ u, [1.0, 1.0], L=1.0, method="eag", restart=None, maxiter=4000)
    k = np.array([500, 1000, 2000, 4000])
    slope = np.polyfit(np.log(k), np.log(history.residual[k]), 1)[0]
    assert slope == pytest.approx(-1, abs=0.1)
    # Yoon and Ryu, theorem 1: |F(u_k)|^2 <= 260 L^2 |u_0|^2 / (k + 1)^2 at the step 1 / (8 L)
    assert (history.residual <= np.sqrt(260) * np.sqrt(2) / (history.iteration + 1)).all()


def saddle(n):
    """The quadratic saddle of Ouyang and Xu: H x - h - A'y, A x - b."""
    A = np.fliplr(np.eye(n))
    A[np.arange(n - 1), n - 2 - np.arange(n - 1)] = -1
    A /= 4
    H, b, h = 2 * A.T @ A, np.full(n, 0.25), np.zeros(n)
    h[-1] = 0.25
    F = np.block([[H, -A.T], [A, np.zeros((n, n))]])
    return F, np.concatenate([h, b])


@pytest.mark.parametrize("n", [10, 20])
def test_the_quadratic_saddle_has_its_analytic_solution(n):
    F, f = saddle(n)
    exact = np.concatenate([np.arange(1.0, n + 1), np.full(n, -0.5)])
    np.testing.assert_allclose(np.linalg.solve(F, f), exact, atol=1e-8)
    L = np.linalg.norm(F, 2)
    r = monotone.halpern(
        lambda u: F @ u - f,
        np.full(2 * n, 1 / n),
        L=L,
        method="eag",
        gamma=0.3 / L,
        restart="adaptive",
        tol=1e-9,
        maxiter=200_000,
    )
    np.testing.assert_allclose(r.x, exact, atol=1e-4)
    assert np.linalg.norm(saddle(200)[0], 2) == pytest.approx(0.80898, abs=1e-5)


def test_restarts_make_the_convergence_linear():
    rng = np.random.default_rng(0)
    M = rng.normal(size=(20, 10))
    H, f = M.T @ M, rng.normal(size=10)
    L = np.linalg.norm(H, 2)
    problem = (lambda u: H @ u - f, np.zeros(10))
    iterations = [
        monotone.halpern(*problem, L=L, restart="adaptive", tol=10.0**-p).nit for p in (3, 6, 9, 12)
    ]
    steps = np.diff(iterations)
    assert steps.max() < 1.8 * steps.min()
    np.testing.assert_allclose(
        monotone.halpern(*problem, L=L, restart="adaptive", tol=1e-12).x, np.linalg.solve(H, f), atol=1e-10
    )


def test_the_resolvent_gives_constrained_minima():
    rng = np.random.default_rng(1)
    M, b = rng.normal(size=(30, 8)), rng.normal(size=30)
    H, f = M.T @ M, M.T @ b
    common = {"L": np.linalg.norm(H, 2), "restart": "adaptive", "tol": 1e-9}
    from scipy.optimize import nnls

    r = monotone.halpern(lambda u: H @ u - f, np.zeros(8), prox=monotone.prox_nonnegative, **common)
    np.testing.assert_allclose(r.x, nnls(M, b)[0], atol=1e-8)
    r = monotone.halpern(lambda u: H @ u - f, np.zeros(8), prox=monotone.project_simplex, **common)
    g = H @ r.x - f
    assert (g - g @ r.x).min() > -1e-7  # no vertex of the simplex is better
    r = monotone.halpern(lambda u: H @ u - f, np.zeros(8), prox=monotone.prox_l1, **common)
    g = H @ r.x - f
    np.testing.assert_allclose(g[r.x != 0], -np.sign(r.x[r.x != 0]), atol=1e-7)
    assert (abs(g) <= 1 + 1e-7).all()


def test_any_shape_and_library():
    H = np.diag([1.0, 2.0, 3.0])
    target = np.arange(6.0).reshape(3, 2)
    settings = {"L": 3.0, "restart": "adaptive", "tol": 1e-8}
    r = monotone.halpern(lambda U: H @ (U - target), np.zeros((3, 2)), **settings)
    np.testing.assert_allclose(r.x, target, atol=1e-7)
    Hs, ts = strict.asarray(H), strict.asarray(target)
    s = monotone.halpern(lambda U: Hs @ (U - ts), strict.zeros((3, 2)), **settings)
    assert type(s.x) is type(ts)
    np.testing.assert_allclose(np.asarray(s.x), r.x, atol=1e-12)
    single = monotone.halpern(lambda u: u - 1, np.zeros(3, np.float32), L=1.0, tol=1e-2)
    assert single.x.dtype == np.float32


def test_a_nan_ends_the_run_with_words():
    def operator(u):
        return u if abs(u).max() > 0.9 else u * np.nan

    with pytest.warns(ConvergenceWarning, match="NaN or an infinity"):
        r = monotone.halpern(operator, [1.0, 1.0], L=1.0)
    assert r.status is Status.NONFINITE
    assert np.isfinite(r.x).all()


def test_the_start_may_be_the_answer():
    r = monotone.halpern(lambda u: u, np.zeros(3), L=1.0)
    assert (r.nit, r.nfev, r.residual) == (0, 1, 0.0)


def test_anchored_methods_restart_by_default():
    rng = np.random.default_rng(0)
    M = rng.normal(size=(20, 10))
    H, f = M.T @ M, rng.normal(size=10)
    for F, L, method in (
        (lambda u: H @ u - f, np.linalg.norm(H, 2), "halpern"),
        (lambda u: SKEW @ (u - 1), 1.0, "eag"),
    ):
        start = np.zeros(10 if method == "halpern" else 2)
        r = monotone.halpern(F, start, L=L, method=method)
        assert r.success
        assert r.nrestart > 0
        with pytest.warns(ConvergenceWarning):
            plain = monotone.halpern(F, start, L=L, method=method, restart=None, maxiter=r.nit)
        assert plain.residual > r.residual
