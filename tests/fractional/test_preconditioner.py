"""Preconditioners: exact corners, and iteration counts that know neither n nor p."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import circulant

from numsolve._core.monitor import Monitor
from numsolve._core.result import Status
from numsolve.fractional import RieszSplineOperator, good_n, solve_riesz_bvp
from numsolve.fractional._gmres import PATIENCE, Iterate, fgmres
from numsolve.fractional._system import make_system
from numsolve.fractional.preconditioner import circulant_inverse, tau_inverse


def iterations(A, b, preconditioner="auto", rtol=1e-10, reaction=None):
    """GMRES iterations to rtol, or to the level of rounding errors."""
    system = make_system(A, reaction, preconditioner)
    b = system.scale * b
    settings = {"keep": "reference", "present": Iterate.form, "patience": PATIENCE}
    with Monitor(rtol=rtol, reference=np.linalg.norm(b), maxiter=200, **settings) as it:
        fgmres(np, system.matvec, b, system.precondition, it, x0=np.zeros_like(b), norm=system.norm)
    assert it.status in {Status.CONVERGED, Status.ROUNDING}
    assert np.linalg.norm(b - system.matvec(it.x.form())) <= max(it.threshold, it.rounding) * (1 + 1e-6)
    return it.nit


@pytest.mark.parametrize("mass", [0.0, 50.0])
@pytest.mark.parametrize("p", [2, 3, 6])
def test_woodbury_inverts_tau_plus_corners(p, mass):
    A = RieszSplineOperator(40, p, 1.4)
    K = A.shape[0]
    j = np.arange(1, K + 1)
    S = np.sqrt(2 / (K + 1)) * np.sin(np.pi * np.outer(j, j) / (K + 1))
    from numsolve.fractional.symbol import mass_samples

    T = A.structure.column[abs(np.subtract.outer(j, j))]
    corners = A.todense() - T
    M = A.mass().toarray()
    band = np.zeros(K)
    band[: p + 1] = M[K // 2, K // 2 : K // 2 + p + 1]
    corners += mass * (M - band[abs(np.subtract.outer(j, j))])
    P = S @ np.diag(A.symbol_samples()[1] + mass * mass_samples(K, p)) @ S + corners
    inverse = tau_inverse(A, mass)
    np.testing.assert_allclose(np.array([inverse(e) for e in P.T]), np.eye(K), atol=1e-8)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (1, 0), (0.2, 0.7)])
def test_woodbury_inverts_circulant_plus_corners(weights):
    A = RieszSplineOperator(41, 3, 1.4, weights=weights)
    K = A.shape[0]
    column, row = A.structure.column, A.structure.row
    i = np.arange(K)
    difference = np.subtract.outer(i, i)
    T = np.where(difference >= 0, column[difference], row[-difference])
    first = np.where(i <= K // 2, column, np.r_[0, row[:0:-1]])
    P = circulant(first) + A.todense() - T
    inverse = circulant_inverse(A)
    np.testing.assert_allclose(np.array([inverse(e) for e in P.T]), np.eye(K), atol=1e-9)


SIDES = {
    "random": lambda K: np.random.default_rng(1).normal(size=K),
    "ones": np.ones,
    "smooth": lambda K: np.sin(np.pi * np.arange(1, K + 1) / (K + 1)) ** 3,
    "jump": lambda K: np.sign(np.arange(K) / K - 0.3),
}


@pytest.mark.parametrize("alpha", [1.1, 1.5, 1.95])
@pytest.mark.parametrize("p", [2, 3, 5, 8])
def test_twelve_iterations_for_every_degree_and_size(p, alpha):
    for n in (2 * p, 100, 1000, 10_000):
        A = RieszSplineOperator(n, p, alpha)
        for b in SIDES.values():
            assert iterations(A, b(A.shape[0])) <= 12


@pytest.mark.slow
@pytest.mark.parametrize(("p", "alpha"), [(2, 1.1), (3, 1.5), (8, 1.1)])
def test_twelve_iterations_at_a_hundred_thousand(p, alpha):
    A = RieszSplineOperator(good_n(100_000, p), p, alpha)
    assert iterations(A, SIDES["jump"](A.shape[0])) <= 12


@pytest.mark.parametrize("p", [2, 3, 5])
@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.8])
@pytest.mark.parametrize("w", [0.5, 0.75, 1.0])
def test_circulant_for_every_skewness(w, alpha, p):
    for n in (256, 1024):
        A = RieszSplineOperator(n, p, alpha, weights=(w, 1 - w))
        assert iterations(A, SIDES["random"](A.shape[0]), "circulant") <= 12


def test_without_a_preconditioner_it_takes_all_of_them():
    A = RieszSplineOperator(50, 3, 1.8)
    b = SIDES["random"](A.shape[0])
    assert iterations(A, b, None) > 40
    assert iterations(A, b, "tau") <= 8


@pytest.mark.parametrize("p", [2, 3, 5])
@pytest.mark.parametrize("n", [256, 2048])
def test_shifted_systems(n, p):
    """Those of time stepping: M + dt A for dt from 1e-4 to 1."""
    A = RieszSplineOperator(n, p, 1.5)
    b = SIDES["random"](A.shape[0])
    for dt in (1e-4, 1e-2, 1.0):
        assert iterations(A, b, reaction=np.full_like(b, 1 / dt)) <= 11


#: iterations of the better of two preconditioners for (M + tau (1 + 5 x^2) A) u = b at n = 1024
VARIABLE = {
    (3, 1.5): {1e-6: 9, 1e-4: 12, 1e-2: 15, 1.0: 12},
    (5, 1.8): {1e-6: 12, 1e-4: 14, 1e-2: 15, 1.0: 12},
}


@pytest.mark.parametrize(("p", "alpha"), VARIABLE)
def test_varying_coefficients(p, alpha):
    A = RieszSplineOperator(1024, p, alpha)
    d = 1 + 5 * A.greville**2
    b = SIDES["random"](A.shape[0])
    for tau, most in VARIABLE[p, alpha].items():
        assert iterations(A, b / (tau * d), reaction=1 / (tau * d)) <= most


def test_both_rules_for_varying_coefficients_solve_the_same_system():
    A = RieszSplineOperator(60, 3, 1.5)
    c = np.random.default_rng(0).normal(size=A.shape[0])
    D, M = A.todense(), A.mass().toarray()
    for reaction in (1e4 * (1 + A.greville), 2 + A.greville):
        system = make_system(A, reaction, "auto")
        exact = system.scale * (D @ c + reaction * (M @ c))
        np.testing.assert_allclose(system.matvec(c), exact, rtol=1e-11, atol=1e-11 * abs(exact).max())


def test_a_restart_goes_on(monkeypatch):
    """With a short basis GMRES restarts from the true residual, and still gets there."""
    from numsolve.fractional import _gmres

    monkeypatch.setattr(_gmres, "BASIS", 4)
    A = RieszSplineOperator(500, 3, 1.5)
    b = SIDES["random"](A.shape[0])
    assert 8 <= iterations(A, b) <= 25


def test_a_singular_preconditioner_ends_with_words():
    A = RieszSplineOperator(50, 3, 1.5)
    b = np.ones(A.shape[0])
    with Monitor(
        rtol=1e-10, reference=np.linalg.norm(b), maxiter=50, keep="reference", present=Iterate.form
    ) as it:
        fgmres(np, A.structure.matvec, b, np.zeros_like, it, x0=np.zeros_like(b), norm=1.0)
    assert it.status is Status.BREAKDOWN


@pytest.mark.slow
def test_a_million_unknowns():
    """n = 2^20 - 2, cubic: rounding errors leave a residual of about 3e-8 of the right-hand side."""
    r = solve_riesz_bvp(SIDES["jump"](2**20 - 1), 1.5, n=2**20 - 2, p=3, rtol=1e-10)
    assert r.success
    assert r.nit <= 12
    assert r.residual <= 1.2e-7 * 2**10
