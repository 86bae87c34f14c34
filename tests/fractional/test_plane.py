"""Rectangles: separable solutions, both methods, symmetry."""

from __future__ import annotations

import numpy as np
import pytest

from numsolve import ConvergenceWarning
from numsolve.fractional import RieszSplineOperator, problems, solve_riesz_2d, solve_riesz_eig


def manufactured(alpha, beta=None, d=(1.0, 1.0), r=0.0):
    f1, u1 = problems.bump(3, alpha)
    f2, u2 = problems.bump(3, beta or alpha)

    def u(x, y):
        return u1(x) * u2(y)

    def f(x, y):
        reaction = r(x, y) if callable(r) else r
        return d[0] * f1(x) * u2(y) + d[1] * u1(x) * f2(y) + reaction * u(x, y)

    return f, u


def error(r, u):
    x = np.linspace(0, 1, 71)
    X, Y = np.meshgrid(x, x, indexing="ij")
    return abs(r(X, Y) - u(X, Y)).max() / u(0.5, 0.5)


@pytest.mark.parametrize("method", ["fastdiag", "gmres"])
@pytest.mark.parametrize("p", [2, 3, 5])
def test_a_known_solution(p, method):
    f, u = manufactured(1.5, 1.3, d=(1.0, 0.4), r=2.0)
    settings = {"n": (40, 64), "p": p, "diffusion": (1.0, 0.4), "reaction": 2.0}
    r = solve_riesz_2d(f, (1.5, 1.3), method=method, **settings)
    assert r.success
    assert error(r, u) < {2: 4e-4, 3: 4e-4, 5: 4e-7}[p]
    assert r.nit <= {"fastdiag": 1, "gmres": {2: 14, 3: 20, 5: 36}[p]}[method]


@pytest.mark.parametrize("method", ["fastdiag", "gmres"])
def test_a_varying_reaction(method):
    def reaction(x, y):
        return 1 + x * y

    f, u = manufactured(1.5, r=reaction)
    r = solve_riesz_2d(f, 1.5, n=48, p=3, reaction=reaction, method=method)
    assert error(r, u) < 2e-4
    assert r.nit <= (6 if method == "fastdiag" else 20)


@pytest.mark.parametrize(("p", "alpha"), [(2, 1.5), (4, 1.5)])
def test_orders(p, alpha):
    f, u = manufactured(alpha)
    n = np.array([24, 32, 48, 64])
    errors = [error(solve_riesz_2d(f, alpha, n=k, p=p), u) for k in n]
    assert -np.polyfit(np.log(n), np.log(errors), 1)[0] == pytest.approx(p + 2 - alpha, abs=0.2)


def test_iterations_do_not_grow_with_n():
    f = np.random.default_rng(0)
    counts = [solve_riesz_2d(f.normal(size=(n + 1, n + 1)), 1.5, n=n, method="gmres").nit for n in (32, 128)]
    assert counts[1] <= counts[0] + 2


def test_a_product_of_eigenfunctions():
    e = solve_riesz_eig(1.8, 2, interval=(0, 1))
    u1, u2 = e.sol

    def f(x, y):
        return (e.x[0] + e.x[1]) * u1(x) * u2(y)

    r = solve_riesz_2d(f, 1.8, n=64)
    assert r(0.4, 0.3) == pytest.approx(u1(0.4) * u2(0.3), rel=2e-2)


def test_another_rectangle():
    f, u = manufactured(1.5)
    r = solve_riesz_2d(
        lambda x, y: f((x + 1) / 2, y - 3) * 1.0, 1.5, interval=((-1, 1), (3, 4)), n=32, diffusion=(2**1.5, 1)
    )
    assert r(0.2, 3.4) == pytest.approx(float(u(0.6, 0.4)), rel=1e-3)
    assert r.interval == ((-1.0, 1.0), (3.0, 4.0))


def test_transposition():
    f = np.random.default_rng(0).normal(size=(31, 41))
    one = solve_riesz_2d(f, (1.2, 1.8), n=(30, 40))
    two = solve_riesz_2d(f.T, (1.8, 1.2), n=(40, 30))
    np.testing.assert_allclose(two.x.T, one.x, atol=1e-9 * abs(one.x).max())


def test_evaluation():
    r = solve_riesz_2d(1.0, 1.5, n=16)
    assert r([0.1, 0.2], [[0.3], [0.4]]).shape == (2, 2)
    np.testing.assert_array_equal(r([-1.0, 0.5, np.inf, 0.5], [0.5, 1.5, 0.5, -np.inf]), 0)
    assert np.isnan(r(np.nan, 0.5))
    assert r.x.shape == (17, 17)
    again = solve_riesz_2d(1.0, 1.5, n=16, x0=r.x)
    assert again.nit == 0


@pytest.mark.parametrize(("n", "method"), [(16, "fastdiag"), (1100, "gmres")])
def test_the_method_is_chosen_by_the_size(n, method):
    r = solve_riesz_2d(0.0, 1.5, n=(n, 8), p=2)
    assert r.method == method
    assert "unknowns of a direction" in r.reason


# -- coefficients with jumps, estimates, singular equations ----------------------------------------

SINKS = {
    "half": lambda x, y: np.where(x > 0.5, 1e5, 0.0),
    "disc": lambda x, y: np.where((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.04, 1e5, 0.0),
    "layer": lambda x, y: np.where(abs(x - 0.3) < 0.02, 1e4, 0.0),
}


@pytest.mark.parametrize("sink", SINKS)
@pytest.mark.parametrize("method", ["fastdiag", "gmres"])
def test_sinks_with_jumps(sink, method):
    """Two preconditioners, for the least and for the largest reaction, take turns."""
    n = 24
    A = RieszSplineOperator(n, 3, 1.5)
    D, M = A.todense(), A.mass().toarray()
    x, y = np.meshgrid(A.greville, A.greville, indexing="ij")
    f, s = np.random.default_rng(0).normal(size=x.shape), SINKS[sink](x, y)
    whole = np.kron(D, M) + np.kron(M, D) + s.ravel()[:, None] * np.kron(M, M)
    exact = np.linalg.solve(whole, f.ravel()).reshape(x.shape)
    r = solve_riesz_2d(f, 1.5, n=n, reaction=SINKS[sink], method=method)
    assert r.success
    assert r.nit <= (40 if method == "fastdiag" else 120)
    assert abs(r.x - exact).max() < 1e-7 * abs(exact).max()


@pytest.mark.parametrize("alpha", [1.3, 1.7])
def test_the_error_is_estimated(alpha):
    side = np.sin(np.linspace(0.04, np.pi / 2 - 0.04, 50)) ** 2  # errors are largest next to the boundary
    points = np.meshgrid(side, side)
    fine = solve_riesz_2d(1.0, alpha, n=300)(*points)
    for values in (1.0, np.ones((65, 65))):
        r = solve_riesz_2d(values, alpha, n=64)
        error = abs(r(*points) - fine).max() / fine.max()
        assert error / 2 < r.error_estimate < 30 * error


def test_a_singular_equation_is_no_success():
    lowest = 2 * solve_riesz_eig(1.5, 1, interval=(0, 1)).x[0]
    with pytest.warns(ConvergenceWarning, match="nearly singular"):
        r = solve_riesz_2d(1.0, 1.5, n=48, reaction=-lowest)
    assert not r.success
    assert solve_riesz_2d(1.0, 1.5, n=48, reaction=-0.8 * lowest).success
