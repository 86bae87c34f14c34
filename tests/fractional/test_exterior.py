"""Values outside that are not zero: functions on the whole line whose fractional Laplacian is known."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import gamma, hyp1f1

from numsolve._core.result import ConvergenceWarning
from numsolve.fractional import RieszSolver, solve_riesz_bvp

X = np.r_[-1 + 1e-9, np.linspace(-0.999, 0.999, 200), 1 - 1e-12]
LINE = {"interval": (-1.0, 1.0)}


def gaussian(x):
    return np.exp(-x * x)


def image_of_gaussian(alpha):
    """``(-Delta)^(alpha/2) exp(-x^2)`` by its Fourier transform."""
    factor = 2**alpha * gamma((1 + alpha) / 2) / np.sqrt(np.pi)
    return lambda x: factor * hyp1f1((1 + alpha) / 2, 0.5, -x * x)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 1.5, 1.95])
@pytest.mark.parametrize("reaction", [None, lambda x: 1 + x**2], ids=["plain", "reaction"])
def test_a_gaussian(alpha, reaction):
    f = image_of_gaussian(alpha)

    def right(x):
        return f(x) + (0 if reaction is None else reaction(x) * gaussian(x))

    r = solve_riesz_bvp(right, alpha, reaction=reaction, exterior=gaussian, **LINE)
    assert_allclose(r(X), gaussian(X), atol=1e-12)
    assert r.success
    assert r.error_estimate < 1e-12
    assert_allclose(r([-2.0, 3.0]), gaussian(np.array([-2.0, 3.0])))


@pytest.mark.parametrize("alpha", [1.2, 1.5, 2.0])
def test_lines_are_harmonic(alpha):
    r = solve_riesz_bvp(0.0, alpha, interval=(2, 5), exterior=lambda x: 3 - 2 * x)
    x = np.linspace(2, 5, 50)
    assert_allclose(r(x), 3 - 2 * x, atol=1e-10)
    assert r.error_estimate < 1e-8


@pytest.mark.parametrize("alpha", [0.4, 1.0, 1.7])
def test_constants_are_harmonic(alpha):
    assert_allclose(solve_riesz_bvp(0.0, alpha, exterior=-4.0, **LINE)(X), -4.0, rtol=1e-14)


@pytest.mark.parametrize("alpha", [0.7, 1.6])
def test_the_fundamental_solution_is_harmonic_away_from_its_pole(alpha):
    """``|x - z|^(alpha - 1)``, z outside: below one it is singular there."""

    def fundamental(x):
        return np.abs(x - 1.5) ** (alpha - 1)

    r = solve_riesz_bvp(0.0, alpha, exterior=fundamental, **LINE)
    error = abs(r(X) - fundamental(X)).max() / fundamental(X).max()
    assert error <= 2 * r.error_estimate
    assert error < (1e-2 if alpha < 1 else 1e-13)


@pytest.mark.parametrize("alpha", [0.6, 1.5])
def test_waves_are_eigenfunctions_on_the_line(alpha):
    """``cos`` is its own image. Far away it cannot be followed, and the estimate says so."""
    r = solve_riesz_bvp(np.cos, alpha, exterior=np.cos, **LINE)
    error = abs(r(X) - np.cos(X)).max()
    assert error < r.error_estimate
    assert error < (1e-3 if alpha < 1 else 1e-8)


@pytest.mark.parametrize("method", ["spline", "dense"])
def test_splines_take_values_outside_too(method):
    f = image_of_gaussian(1.5)
    settings = {"method": method, "n": 256, "p": 3, **LINE}
    r = solve_riesz_bvp(lambda x: f(x) + gaussian(x), 1.5, reaction=1.0, exterior=gaussian, **settings)
    error = abs(r(X) - gaussian(X)).max()
    assert error < 1e-3
    assert error < 3 * r.error_estimate
    copy = pickle.loads(pickle.dumps(r))
    assert_allclose(copy([0.2, 4.0]), r([0.2, 4.0]))


def test_a_jump_outside_the_interval():
    """A payoff of one beyond b = 1: the share (2) of the exit to the right."""
    r = solve_riesz_bvp(0.0, 1.5, exterior=lambda x: 1.0 * (x > 0), **LINE)
    assert r(0.0) == pytest.approx(0.5, abs=1e-14)
    far = solve_riesz_bvp(0.0, 1.5, exterior=lambda x: 1.0 * (x > 2), **LINE)
    assert 0 < far(0.9) < r(0.9)
    assert far.error_estimate < 1e-8


REFUSED = {
    "values": ({"exterior": np.ones(3)}, TypeError, "exterior must be a function or a number"),
    "caputo": ({"definition": "caputo"}, ValueError, "exterior needs definition 'rl'"),
    "spectral": ({"definition": "spectral"}, ValueError, "exterior needs definition 'rl'"),
    "weights": ({"weights": (0.7, 0.3)}, ValueError, "exterior needs equal weights"),
    "advection": ({"advection": 1.0}, ValueError, "exterior cannot be lifted with an advection"),
    "values of f": (
        {"f": np.ones(259), "reaction": 1.0},
        ValueError,
        "exterior with a reaction needs f and the reaction as functions",
    ),
    "nan": ({"exterior": lambda x: x * np.nan}, ValueError, "exterior returned nan"),
}


@pytest.mark.parametrize(("settings", "kind", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_lifted_is_refused(settings, kind, words):
    with pytest.raises(kind, match=words):
        solve_riesz_bvp(**{"f": 1.0, "alpha": 1.5, "exterior": 1.0, **settings})


def test_values_that_grow_too_fast_are_no_success():
    with pytest.warns(ConvergenceWarning, match="lifting of the exterior"):
        r = solve_riesz_bvp(0.0, 1.5, exterior=lambda x: abs(x) ** 1.6, **LINE)
    assert not r.success


@pytest.mark.parametrize("reaction", [None, lambda x: 1 + x**2], ids=["plain", "reaction"])
def test_a_solver_to_keep_has_values_outside_too(reaction):
    orders = [0.7, 1.4]
    solver = RieszSolver(orders, reaction=reaction, exterior=gaussian, **LINE)
    for f in (1.0, np.cos):
        together = solver.solve(f)
        assert together.success.all()
        for alpha, u, error in zip(orders, together(X), together.error_estimate, strict=True):
            alone = solve_riesz_bvp(f, alpha, reaction=reaction, exterior=gaussian, **LINE)
            assert_allclose(u, alone(X), atol=1e-12)
            assert error == pytest.approx(alone.error_estimate, rel=0.1)


def test_columns_of_samples_are_lifted_each():
    solver = RieszSolver(1.5, n=64, p=3, exterior=np.positive, **LINE)
    F = np.stack([0 * solver.points, np.ones_like(solver.points)], axis=1)
    flat, bent = solver.solve(F)(X)
    assert_allclose(flat, X, atol=1e-10)
    getoor = (1 - X**2) ** 0.75 / gamma(2.5)
    assert_allclose(bent, X + getoor, atol=2e-2)
    assert_allclose(pickle.loads(pickle.dumps(solver)).solve(F[:, 0])([-3.0, 0.5]), [-3.0, 0.5], atol=1e-10)


def test_a_solver_refuses_where_there_is_no_lifting():
    with pytest.raises(ValueError, match="exterior needs equal weights"):
        RieszSolver(1.5, exterior=1.0, weights=(0.8, 0.2))
    with pytest.raises(ValueError, match="exterior with a reaction needs f"):
        RieszSolver(1.5, exterior=1.0, reaction=1.0, n=60).solve(np.ones(63))


POLES = {"logarithm": lambda w: w * np.exp(-np.exp(w)), "weak pole": lambda w: np.exp(-0.1 * w)}


@pytest.mark.filterwarnings("ignore:.*lifting of the exterior:numsolve.ConvergenceWarning")
@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.5, 1.9])
@pytest.mark.parametrize("of_log", POLES.values(), ids=POLES)
def test_values_that_grow_towards_an_end_are_in_the_estimate(of_log, alpha):
    """Before, what lies below the last number next to an end was left out, and the estimate too small."""

    def outside(x):
        return of_log(np.log(np.minimum(abs(x) - 1, 1e2)))

    def kernel(w, t):  # of both sides together, in the logarithm of the distance from the end
        both = 1 / (1 + np.exp(w) - t) + 1 / (1 + np.exp(w) + t)
        root = ((1 - t * t) / (2 + np.exp(w))) ** (alpha / 2)
        return np.sin(alpha * np.pi / 2) / np.pi * root * np.exp(w * (1 - alpha / 2)) * both

    r = solve_riesz_bvp(0.0, alpha, exterior=outside, **LINE)
    if of_log is POLES["weak pole"] and alpha > 1.8:  # the integral does not exist
        assert not r.success
        assert r.error_estimate == np.inf
        return
    nodes, weights = np.polynomial.legendre.leggauss(8)
    w = np.arange(-700.0, 90.0, 0.25)[:, None] + (1 + nodes) / 8
    size = np.max(np.abs(r(X)))
    for t in (0.3, -0.99):
        value = np.sum(weights / 8 * of_log(np.minimum(w, np.log(1e2))) * kernel(w, t))
        assert abs(r(t) - value) <= max(3 * r.error_estimate, 1e-9) * size


@pytest.mark.parametrize(("a", "b"), [(1.5, 1.51), (3.0, 3.02), (300.0, 302.0)])
def test_a_thin_shell_is_seen(a, b):
    """The integral of the Poisson kernel over it, by a rule of its own."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    y = (a + b) / 2 + (b - a) / 2 * nodes
    kernel = np.sin(np.pi / 4) / np.pi * ((1 - 0.5**2) / (y * y - 1)) ** 0.25 / (y - 0.5)
    r = solve_riesz_bvp(0.0, 0.5, exterior=lambda x: 100.0 * ((x > a) & (x < b)), **LINE)
    assert_allclose(r(0.5), 100 * (b - a) / 2 * kernel @ weights, rtol=1e-6)


@pytest.mark.parametrize("alpha", [1.5, 1.9, 1.99])
def test_what_is_outside_is_never_asked_for_at_the_ends(alpha):
    """Half of the flights end on the right, however the side is written."""
    r = solve_riesz_bvp(0.0, alpha, exterior=lambda x: 1.0 * (x > 1), **LINE)
    assert_allclose(r(0.0), 0.5, atol=1e-12)
