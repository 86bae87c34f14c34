"""The error estimate beside kinks, jumps and logarithms, whose errors depend on where the next point is."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest
from scipy.special import gamma, hyp2f1

from numsolve import ConvergenceWarning
from numsolve.fractional import RieszSolver, solve_riesz_bvp
from numsolve.fractional._estimate import PROBES, is_rough

pytestmark = pytest.mark.filterwarnings("ignore::numsolve.ConvergenceWarning")

X = np.linspace(0.003, 0.997, 501)
SHAPES = {
    "kink": lambda c: lambda x: np.abs(x - c),
    "logarithm": lambda c: lambda x: np.log(np.abs(x - c)),
    "jump": lambda c: lambda x: 1.0 * (x > c),
}
ROOT, THIRD, E = np.sqrt(2.0) - 1, 1 / np.sqrt(3.0), np.e - 2


@cache
def truth(shape, c, alpha):
    """Seven or twelve hundred modes, or sixty times the sines, tell much more than what is compared."""
    f = SHAPES[shape](c)
    if alpha < 0:
        return solve_riesz_bvp(f, -alpha, definition="spectral", n=128 * 64)(X)
    n = 1200 if shape == "logarithm" else 700
    return solve_riesz_bvp(f, alpha, method="spectral", n=n)(X)


@pytest.mark.parametrize(
    ("shape", "c", "alpha", "settings"),
    [
        ("kink", THIRD, 1.9, {"method": "spline", "n": 256}),
        ("kink", ROOT, 1.9, {"method": "spline", "n": 64}),
        ("kink", E, 1.5, {"method": "spectral", "n": 64}),
        ("kink", np.pi / 4, -1.1, {"definition": "spectral", "n": 128}),
        ("kink", np.pi / 4, -1.9, {"definition": "spectral", "n": 128}),
        ("logarithm", ROOT, 1.1, {"n": 64}),
        ("logarithm", ROOT, 1.5, {"method": "spline", "n": 64}),
        ("logarithm", THIRD, 1.5, {"method": "spline", "n": 512}),
        ("logarithm", E, 1.5, {"method": "spline", "n": 1024}),
        ("logarithm", np.pi / 4, -1.5, {"definition": "spectral", "n": 128}),
        ("jump", ROOT, 1.3, {"n": 256}),
        ("jump", ROOT, 1.7, {"method": "spectral", "n": 128}),
    ],
)
def test_the_error_is_at_most_the_estimate(shape, c, alpha, settings):
    true = truth(shape, c, alpha)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        r = solve_riesz_bvp(SHAPES[shape](c), abs(alpha), **settings)
    error = np.max(np.abs(r(X) - true)) / np.max(np.abs(true))
    assert error <= r.error_estimate
    assert r.error_estimate <= 50 * error or r.error_estimate < 0.1


def after_a_jump(c, alpha, x):
    """The solution for f = 1 beyond c, by Boggio's Green function on (-1, 1) and Gauss rules graded twice."""
    t, w = (part / 2 for part in np.polynomial.legendre.leggauss(60))
    t = t + 0.5
    c, x = 2 * c - 1, 2 * x - 1
    if c > x:
        return over(c, 1.0, alpha, x, t, w)
    return over(c, x, alpha, x, t, w) + over(x, 1.0, alpha, x, t, w)


def over(a, b, alpha, x, t, w):
    h, total = (b - a) / 2, 0.0
    for end, sign in ((a, 1.0), (b, -1.0)):
        away = h * t**6  # from the end, whose singularity it takes away
        y = end + sign * away
        d = away if x == end else np.abs(x - y)
        r = (1 - x * x) * (1 - y * y) / d**2
        green = d ** (alpha - 1) * r ** (alpha / 2) * hyp2f1(0.5, alpha / 2, alpha / 2 + 1, -r)
        total += np.sum(w * 6 * h * t**5 * green)
    return total * 2 / alpha / gamma(alpha / 2) ** 2 / 4**alpha


@pytest.mark.parametrize("alpha", [0.9, 1.2, 1.5, 1.8, 1.95])
@pytest.mark.parametrize("of_solver", [False, True])
def test_the_error_of_modes_beside_a_jump_is_at_most_the_estimate(alpha, of_solver):
    """Also where numbers of modes agree by chance: beside the middle of the interval all put it there."""
    for c in (0.499, 0.4985, ROOT, 0.1234, 0.91):
        x = np.append(np.linspace(0.02, 0.98, 25), c + np.array([-1e-3, 1e-5, 1e-3]))
        true = np.array([after_a_jump(c, alpha, one) for one in x])
        for n in (16, 64, 128):
            f, settings = SHAPES["jump"](c), {"method": "spectral", "n": n}
            r = (
                RieszSolver(alpha, **settings).solve(f)
                if of_solver
                else solve_riesz_bvp(f, alpha, **settings)
            )
            error = np.max(np.abs(r(x) - true)) / np.max(true)
            assert error <= r.error_estimate <= 1


@pytest.mark.parametrize("settings", [{"reaction": 5.0}, {"advection": 2.0}])
def test_it_is_so_with_further_terms_too(settings):
    for c in (0.499, ROOT, E):
        f = SHAPES["jump"](c)
        true = solve_riesz_bvp(f, 1.5, method="spectral", n=500, **settings)(X)
        r = solve_riesz_bvp(f, 1.5, method="spectral", n=64, **settings)
        error = np.max(np.abs(r(X) - true)) / np.max(np.abs(true))
        assert error <= r.error_estimate <= 100 * error


@pytest.mark.parametrize("reaction", [None, 5.0])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_mode_is_not_compared_with_itself(n, reaction):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        r, true = (
            solve_riesz_bvp(SHAPES["jump"](THIRD), 1.5, method="spectral", n=m, reaction=reaction)
            for m in (n, 300)
        )
    assert np.max(np.abs(r(X) - true(X))) <= r.error_estimate * np.max(true(X))


def test_a_root_at_the_end_is_no_jump():
    """The modes lie densely there, and their estimate stays useful."""
    true = solve_riesz_bvp(np.sqrt, 1.5, method="spectral", n=500)(X)
    r = solve_riesz_bvp(np.sqrt, 1.5, method="spectral", n=64)
    error = np.max(np.abs(r(X) - true)) / np.max(true)
    assert error <= r.error_estimate <= 30 * error


@pytest.mark.parametrize("alpha", [1.1, 1.5, 1.9])
def test_the_estimate_of_smooth_data_is_not_ten_times_the_error(alpha):
    def f(x):
        return np.exp(x) * np.cos(3 * x)

    true = solve_riesz_bvp(f, alpha, method="spectral")(X)
    for settings in ({"method": "spline", "n": 64}, {"method": "spline"}):
        r = solve_riesz_bvp(f, alpha, **settings)
        error = np.max(np.abs(r(X) - true)) / np.max(np.abs(true))
        assert error <= r.error_estimate <= 20 * error


def test_what_is_rough():
    smooth = (np.ones_like, np.exp, lambda x: np.sin(40 * x), lambda x: x**3, lambda x: 1 / (1 + 50 * x**2))
    assert not any(is_rough(f(PROBES)) for f in smooth)
    assert all(is_rough(shape(c)(PROBES)) for shape in SHAPES.values() for c in (ROOT, THIRD, E))
