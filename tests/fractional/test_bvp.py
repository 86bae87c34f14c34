"""Boundary value problems: known solutions, orders, the choice of the method, invariants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numsolve._core.result import ConvergenceWarning, Status
from numsolve.fractional import RieszSplineOperator, problems, solve_riesz_bvp, solve_riesz_eig

X = np.linspace(0, 1, 3001)
SIZES = (16, 32, 64, 128, 256, 512)

#: Largest relative errors for the solution (x (1 - x))^m at n = 16, 32, ..., with m = 3 to p = 5, 5 beyond.
TABLE = {
    (2, 1.2): [1.60e-3, 2.25e-4, 3.23e-5, 4.64e-6, 6.62e-7, 9.45e-8],
    (2, 1.5): [2.03e-3, 3.77e-4, 6.70e-5, 1.19e-5, 2.10e-6, 3.72e-7],
    (2, 1.8): [2.75e-3, 5.98e-4, 1.32e-4, 2.89e-5, 6.31e-6, 1.37e-6],
    (3, 1.5): [1.83e-3, 3.70e-4, 6.82e-5, 1.22e-5, 2.17e-6, 3.83e-7],
    (4, 1.5): [6.56e-5, 3.17e-6, 1.47e-7, 6.68e-9, 3.01e-10, 1.6e-11],
    (5, 1.2): [8.87e-6, 3.29e-7, 1.19e-8, 4.30e-10, 1.56e-11, 9e-13],
    (5, 1.8): [6.30e-5, 3.54e-6, 1.94e-7, 1.06e-8, 5.76e-10, 3.3e-11],
    (6, 1.5): [3.37e-6, 8.18e-8, 1.22e-9, 1.49e-11],
    (7, 1.5): [9.00e-7, 2.08e-8, 2.81e-10, 2.60e-12],
}


def error(n, p, alpha, m, **settings):
    f, u = problems.bump(m, alpha, **settings)
    r = solve_riesz_bvp(f, alpha, n=n, p=p, method="spline", rtol=1e-14, **settings)
    return abs(r(X) - u(X)).max() / u(X).max()


@pytest.mark.parametrize(("p", "alpha"), TABLE)
def test_published_errors(p, alpha):
    row = TABLE[p, alpha]
    errors = [error(n, p, alpha, 3 if p <= 5 else 5) for n in SIZES[: len(row)]]
    for own, theirs in zip(errors, row, strict=True):
        assert own == pytest.approx(theirs, rel=0.05) or max(own, theirs) < 1e-11


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.8])
@pytest.mark.parametrize("p", [2, 3, 4, 5])
def test_orders(p, alpha):
    """p + 2 - alpha for even p, p + 1 - alpha for odd p; fitted before rounding errors show."""
    n = np.array([64, 96, 128, 192, 256] if p > 3 else [128, 256, 512, 1024])
    errors = [error(k, p, alpha, 3) for k in n]
    order = -np.polyfit(np.log(n), np.log(errors), 1)[0]
    assert order == pytest.approx(p + 2 - alpha if p % 2 == 0 else p + 1 - alpha, abs=0.1)


@pytest.mark.parametrize("weights", [(1, 0), (0, 1), (0.3, 0.9)])
@pytest.mark.parametrize(("p", "alpha"), [(3, 1.4), (4, 1.7)])
def test_one_sided_and_skewed(p, alpha, weights):
    assert error(256, p, alpha, 4, weights=weights) < (1e-5 if p == 3 else 1e-7)


@pytest.mark.parametrize(("p", "alpha"), [(3, 1.5), (4, 1.2), (5, 1.8)])
def test_caputo(p, alpha):
    assert error(256, p, alpha, 3, definition="caputo") < 1e-5


def test_the_two_definitions_differ_where_the_slope_does():
    f, u = problems.bump(1, 1.5, definition="caputo")
    own = solve_riesz_bvp(f, 1.5, definition="caputo", n=64, p=3, method="spline")
    other = solve_riesz_bvp(f, 1.5, n=64, p=3, method="spline")
    assert abs(own(X) - u(X)).max() < 1e-10  # a polynomial of degree two is a spline
    assert abs(other(X) - u(X)).max() > 0.05


def test_alpha_two_is_the_second_derivative():
    r = solve_riesz_bvp(lambda x: np.pi**2 * np.sin(np.pi * x), 2.0, n=128, p=5, method="spline")
    assert abs(r(X) - np.sin(np.pi * X)).max() < 1e-9


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.8])
def test_a_solution_with_singular_ends(alpha):
    """f = 1: order alpha / 2 at best in the largest error, whatever the degree; the modes are exact."""
    f, u = problems.getoor(alpha, (0, 1))
    n = np.array([64, 128, 256, 512])
    fine = np.r_[np.geomspace(1e-6, 0.1, 500), X]
    for p in (2, 5):
        errors = [abs(solve_riesz_bvp(f, alpha, n=k, p=p, method="spline")(fine) - u(fine)).max() for k in n]
        assert -np.polyfit(np.log(n), np.log(errors), 1)[0] == pytest.approx(alpha / 2, abs=0.15)
    r = solve_riesz_bvp(f, alpha)
    assert r.method == "spectral"
    assert abs(r(X) - u(X)).max() < 1e-14


def test_a_graded_mesh_helps_with_singular_ends():
    f, u = problems.getoor(1.5, (0, 1))
    half = np.linspace(0, 1, 41) ** 4 / 2
    graded = solve_riesz_bvp(f, 1.5, breaks=np.r_[half, 1 - half[-2::-1]], p=3)
    uniform = solve_riesz_bvp(f, 1.5, n=80, p=3, method="spline")
    assert graded.method == "dense"
    assert "not uniform" in graded.reason
    assert abs(graded(X) - u(X)).max() < 0.1 * abs(uniform(X) - u(X)).max()


COEFFICIENTS = {
    "none": {},
    "reaction": {"reaction": 3.0},
    "varying reaction": {"reaction": lambda x: 1 + x},
    "negative reaction": {"reaction": lambda x: -1 - x},
    "large reaction": {"reaction": lambda x: 1e5 * (1 + x)},
    "diffusion": {"diffusion": lambda x: 1 + 5 * x**2},
    "both": {"diffusion": lambda x: 1 + 5 * x**2, "reaction": np.exp},
    "skewed": {"weights": (0.2, 0.9), "reaction": lambda x: 2 + x},
    "caputo": {"definition": "caputo"},
}


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_fast_and_dense_agree(name):
    f = problems.bump(3, 1.5)[0]
    settings = {"n": 60, "p": 4, **COEFFICIENTS[name]}
    fast = solve_riesz_bvp(f, 1.5, method="spline", **settings)
    dense = solve_riesz_bvp(f, 1.5, method="dense", **settings)
    assert fast.success
    assert dense.success
    np.testing.assert_allclose(fast.x, dense.x, rtol=0, atol=1e-10 * abs(dense.x).max())


@pytest.mark.parametrize("name", ["reaction", "varying reaction", "diffusion", "both", "large reaction"])
def test_known_solution_with_coefficients(name):
    coefficients = COEFFICIENTS[name]
    f, u = problems.bump(4, 1.5)

    def value(which, x, default):
        given = coefficients.get(which, default)
        return given(x) if callable(given) else given

    def right(x):
        return value("diffusion", x, 1.0) * f(x) + value("reaction", x, 0.0) * u(x)

    r = solve_riesz_bvp(right, 1.5, n=256, p=5, method="spline", **coefficients)
    assert abs(r(X) - u(X)).max() < 1e-10 * u(X).max() * 40


# -- the choice of the method ----------------------------------------------------------------------


def layer(x):
    return np.where(x > 0.5, 1.0, 1e-4)


#: the right-hand side, the settings, the method that is chosen, a fragment of the reason
CHOICES = {
    "smooth": (np.exp, {}, "spectral", "smooth: .* Jacobi modes? holds? f"),
    "a constant": (1.0, {}, "spectral", "smooth"),
    "smooth coefficients": (
        np.exp,
        {"reaction": np.cos, "diffusion": np.exp},
        "spectral",
        "256 Jacobi modes have an estimated error of",
    ),
    "a kink": (
        lambda x: abs(x - 0.3),
        {},
        "spectral",
        "f is not smooth: 256 Jacobi modes leave .* for splines",
    ),
    "a root": (np.sqrt, {}, "spectral", "f is not smooth: 256 Jacobi modes leave"),
    "a rough diffusion": (
        np.exp,
        {"diffusion": lambda x: 1 + abs(x - 0.3)},
        "spectral",
        "f / diffusion is not smooth",
    ),
    "waves too short for the modes": (
        lambda x: np.cos(900 * x),
        {"n": 3000, "p": 4},
        "spline",
        "256 Jacobi modes leave .*; the estimated errors are .* for them, .* for splines",
    ),
    "a layer": (
        lambda x: layer(x) * problems.bump(3, 1.5)[0](x) + problems.bump(3, 1.5)[1](x),
        {"diffusion": layer, "reaction": 1.0, "n": 128},
        "spectral",
        "128 Jacobi modes have an estimated error of",
    ),
    "skewed": (np.exp, {"weights": (1, 0)}, "spectral", "smooth"),
    "below one": (np.exp, {"alpha": 0.6}, "spectral", "smooth"),
    "samples": (np.ones(259), {}, "spline", "values at the collocation points"),
    "a list": ([1.0] * 259, {}, "spline", "values at the collocation points"),
    "samples of a reaction": (np.exp, {"reaction": np.ones(259)}, "dense", "259 unknowns are few"),
    "caputo": (np.exp, {"definition": "caputo"}, "spline", "definition 'rl'"),
    "asked for": (np.exp, {"method": "spline"}, "spline", "asked for"),
}


@pytest.mark.parametrize("name", CHOICES)
def test_the_method_is_chosen_by_the_data(name):
    f, settings, method, reason = CHOICES[name]
    r = solve_riesz_bvp(f, **{"alpha": 1.5, **settings})
    assert r.success
    assert r.method == method
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(r.reason)


def test_samples_and_functions_give_the_same():
    f = problems.bump(3, 1.5)[0]
    points = RieszSplineOperator(100, 4, 1.5).greville
    one = solve_riesz_bvp(f, 1.5, n=100, p=4, method="spline")
    two = solve_riesz_bvp(f(points), 1.5, n=100, p=4)
    np.testing.assert_array_equal(one.points, points)
    np.testing.assert_array_equal(one.x, two.x)


X_FINE = np.r_[np.geomspace(1e-5, 1e-2, 100), np.linspace(0.01, 1, 1001)]
#: what has no closed form is compared with a much finer discretisation
ESTIMATED = {
    "singular ends": (1.0, {"method": "spline"}),
    "many spans": (1.0, {"method": "spline", "n": 3000, "p": 3}),
    "skewed": (1.0, {"method": "spline", "weights": (0.9, 0.1)}),
    "nearly one-sided drift": (1.0, {"method": "spline", "alpha": 1.15, "weights": (1, 0)}),
    "a root": (np.sqrt, {}),
    "a kink": (lambda x: abs(x - 0.3), {}),
    "a reaction": (np.exp, {"method": "dense", "reaction": lambda x: 100 * x}),
}


@pytest.mark.parametrize("name", ESTIMATED)
def test_the_error_is_estimated_honestly(name):
    f, settings = ESTIMATED[name]
    settings = {"alpha": 1.5, **settings}
    r = solve_riesz_bvp(f, **settings)
    fine = {key: settings[key] for key in settings if key in {"alpha", "weights", "reaction"}}
    exact = solve_riesz_bvp(f, method="spectral", n=600, **fine)
    error = abs(r(X_FINE) - exact(X_FINE)).max() / abs(exact(X_FINE)).max()
    assert error / 3 < r.error_estimate < 30 * error


@pytest.mark.parametrize("at", [0.3, 0.437, 0.71])
def test_the_error_next_to_a_jump_is_estimated_too(at):
    """Against a right-hand side with many more samples."""
    r = solve_riesz_bvp(lambda x: np.sign(x - at), 1.5)
    exact = solve_riesz_bvp(lambda x: np.sign(x - at), 1.5, method="spectral", n=700)
    error = abs(r(X) - exact(X)).max() / abs(exact(X)).max()
    assert error / 2 < r.error_estimate < 0.05


def test_of_samples_too():
    A = RieszSplineOperator(256, 5, 1.2, weights=(0.9, 0.1))
    r = solve_riesz_bvp(np.ones(A.shape[0]), 1.2, weights=(0.9, 0.1))
    exact = solve_riesz_bvp(1.0, 1.2, weights=(0.9, 0.1))
    error = abs(r(X_FINE) - exact(X_FINE)).max() / exact(X_FINE).max()
    assert 0.05 < error < 3 * r.error_estimate


def test_the_residual_is_that_of_the_equation_as_it_was_given():
    """Diffusion of two sizes: rows divided by it would let the tolerance speak of one half alone."""
    A = RieszSplineOperator(700, 3, 1.5)
    f, d = np.random.default_rng(0).normal(size=A.shape[0]), layer(A.greville)
    r = solve_riesz_bvp(f, 1.5, n=700, p=3, diffusion=d, reaction=1.0, rtol=1e-9)
    own = np.linalg.norm(f - d * (A @ r.x) - A.mass() @ r.x)
    assert r.success
    assert r.residual == pytest.approx(own, rel=1e-3)
    assert own < 1e-9 * np.linalg.norm(f)


SINKS = {
    "half": lambda x: np.where(x > 0.5, 1e5, 0.0),
    "layer": lambda x: np.where(abs(x - 0.3) < 0.02, 1e5, 0.0),
    "stripes": lambda x: 1e6 * (np.sin(40 * x) > 0),
    "bump": lambda x: 1e5 * np.exp(-(((x - 0.5) / 0.05) ** 2)),
    "graded": lambda x: 1e8**x,
}


@pytest.mark.parametrize("n", [200, 900])
@pytest.mark.parametrize("sink", SINKS)
def test_localised_sinks(sink, n):
    """A few unknowns are factorised; for more, two preconditioners take turns, or else they are, too."""
    A = RieszSplineOperator(n, 3, 1.4)
    f, s = np.random.default_rng(1).normal(size=A.shape[0]), SINKS[sink](A.greville)
    r = solve_riesz_bvp(f, 1.4, n=n, p=3, reaction=s)
    c = np.linalg.solve(A.todense() + s[:, None] * A.mass().toarray(), f)
    assert r.success
    assert abs(r.x - c).max() < 1e-7 * abs(c).max()
    assert r.method == ("dense" if n == 200 or sink == "graded" else "spline")
    assert r.nit <= 120


def test_jumps_of_the_reaction_cost_few_iterations():
    r = solve_riesz_bvp(np.ones(5001), 1.5, n=5000, p=3, reaction=SINKS["half"], rtol=1e-9)
    assert r.success
    assert r.nit <= 40


LOWEST = solve_riesz_eig(1.5, 2, interval=(0, 1), n=200).x


@pytest.mark.parametrize("method", ["auto", "spectral", "spline", "dense"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_singular_equation_is_no_success(method, which):
    with pytest.warns(ConvergenceWarning, match="nearly singular|disagree"):
        r = solve_riesz_bvp(np.exp, 1.5, reaction=-LOWEST[which], method=method)
    assert not r.success
    assert solve_riesz_bvp(np.exp, 1.5, reaction=-0.9 * LOWEST[which], method=method).success


# -- invariants ------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(
    a=st.floats(-5, 5),
    width=st.floats(1e-3, 1e3),
    alpha=st.floats(1.05, 2.0),
    method=st.sampled_from(["spline", "spectral", "dense"]),
)
def test_scaling_of_the_interval(a, width, alpha, method):
    """u(a + w s) = w^alpha v(s) if f(a + w s) = g(s)."""

    def g(s):
        return np.cos(2 * s)

    b = a + width
    v = solve_riesz_bvp(g, alpha, n=40, p=3, method=method)
    u = solve_riesz_bvp(lambda x: g((x - a) / (b - a)), alpha, n=40, p=3, method=method, interval=(a, b))
    s = np.linspace(0.01, 0.99, 23)
    size = abs(v(s)).max()
    np.testing.assert_allclose(u(a + (b - a) * s) / (b - a) ** alpha, v(s), atol=1e-8 * size)


@settings(max_examples=20)
@given(scale=st.floats(1e-100, 1e100), seed=st.integers(0, 99), alpha=st.floats(1.05, 2.0))
def test_linearity_and_reflection(scale, seed, alpha):
    f = np.random.default_rng(seed).normal(size=61)
    one = solve_riesz_bvp(f, alpha, n=60, p=3)
    two = solve_riesz_bvp(-scale * f[::-1], alpha, n=60, p=3)
    np.testing.assert_allclose(two.x[::-1], -scale * one.x, atol=1e-9 * scale * abs(one.x).max())


@pytest.mark.parametrize("method", ["spline", "spectral", "dense"])
def test_zero_in_zero_out(method):
    r = solve_riesz_bvp(0.0, 1.5, method=method)
    assert r.success
    assert r.nit == 0
    assert not r(X).any()


@pytest.mark.parametrize("scale", [1e-290, 1e-160, 1e160, 1e290])
@pytest.mark.parametrize("method", ["spline", "spectral", "dense"])
def test_huge_and_tiny_scales(method, scale):
    plain = solve_riesz_bvp(np.exp, 1.5, n=40, method=method)
    scaled = solve_riesz_bvp(lambda x: scale * np.exp(x), 1.5, n=40, method=method)
    assert scaled.success
    np.testing.assert_allclose(scaled(X) / scale, plain(X), atol=1e-11)


def test_positive_data_give_positive_solutions():
    f = np.random.default_rng(0).random(259)
    assert solve_riesz_bvp(f, 1.3)(X[1:-1]).min() > 0


# -- limits ----------------------------------------------------------------------------------------


def test_rounding_errors_are_a_success():
    """The residual cannot fall below about eps |A| |x|: some 1e-9 of the right-hand side at n = 1e5."""
    r = solve_riesz_bvp(np.ones(102_399), 1.5, n=102_398, p=3, rtol=1e-14)
    assert r.status is Status.ROUNDING
    assert r.success
    assert r.residual < 1e-8 * 102_399**0.5
    assert "tolerance" in r.message


def test_start_from_the_solution():
    f = np.random.default_rng(0).normal(size=102)
    r = solve_riesz_bvp(f, 1.5, n=100, p=4)
    again = solve_riesz_bvp(f, 1.5, n=100, p=4, x0=r.x)
    assert r.nit > 3
    assert again.nit == 0
    np.testing.assert_array_equal(again.x, r.x)


@pytest.mark.parametrize(("n", "p"), [(4, 2), (6, 3), (20, 10)])
def test_the_smallest_mesh(n, p):
    r = solve_riesz_bvp(1.0, 1.5, n=n, p=p, method="spline")
    assert r.success
    np.testing.assert_allclose(r.x, solve_riesz_bvp(1.0, 1.5, n=n, p=p, method="dense").x, rtol=1e-6)


def test_dense_takes_one_span():
    f, u = problems.bump(1, 1.5)
    r = solve_riesz_bvp(f, 1.5, n=1, p=2, method="dense")
    assert r.x.shape == (1,)
    np.testing.assert_allclose(r(X), u(X), atol=1e-14)


@pytest.mark.parametrize("alpha", [1 + 1e-5, 1.001, 1.9999, 2 - 1e-12])
def test_alpha_next_to_its_limits(alpha):
    f, u = problems.getoor(alpha, (0, 1))
    r = solve_riesz_bvp(f, alpha, n=64, p=3, method="spline")
    assert r.success
    assert abs(r(X) - u(X)).max() < 0.05 * u(X).max()
    assert abs(solve_riesz_bvp(f, alpha)(X) - u(X)).max() < 1e-13


def test_maxiter_returns_the_best_iterate():
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        r = solve_riesz_bvp(np.ones(259), 1.5, maxiter=3)
    assert r.status is Status.MAXITER
    assert r.nit == 3
    _f, u = problems.getoor(1.5, (0, 1))
    assert abs(r(X) - u(X)).max() < 0.1 * u(X).max()


def test_too_few_modes_are_said():
    with pytest.warns(ConvergenceWarning, match="8 Jacobi modes leave .* of f"):
        r = solve_riesz_bvp(lambda x: np.exp(x) * np.cos(30 * x), 1.5, method="spectral", n=8)
    assert r.status is Status.STAGNATED
