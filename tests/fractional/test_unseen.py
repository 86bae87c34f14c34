"""What lies between the points and the steps: layers, pulses and waves that are not seen are told."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from numsolve._core.result import ConvergenceWarning
from numsolve.fractional import problems, solve_fractional_diffusion, solve_riesz_bvp, solve_riesz_eig
from numsolve.fractional._estimate import from_levels, unseen


def layer(height, half_width, at=0.4):
    return lambda x: height * (abs(x - at) < half_width)


THIN = {
    "right-hand side": (layer(100.0, 1e-3), {}),
    "right-hand side and a reaction": (layer(100.0, 1e-3), {"reaction": lambda x: 1 + x**2}),
    "reaction": (1.0, {"reaction": layer(1e5, 3e-3, 0.2)}),
    "thinner reaction": (1.0, {"reaction": layer(1e4, 1e-3, 0.2)}),
}


@pytest.mark.parametrize("alpha", [1.5, 2.0])
@pytest.mark.parametrize("name", THIN)
def test_a_layer_between_the_points_is_no_success(name, alpha):
    """Before, zero (or the solution without the layer) came back as converged to rounding errors."""
    f, settings = THIN[name]
    with pytest.warns(ConvergenceWarning):
        r = solve_riesz_bvp(f, alpha, interval=(-1, 1), **settings)
    assert not r.success
    assert r.error_estimate > 0.1


@pytest.mark.parametrize("method", ["spline", "dense"])
def test_splines_tell_of_layers_too(method):
    """Their success is that of the linear system."""
    r = solve_riesz_bvp(1.0, 1.5, interval=(-1, 1), method=method, reaction=layer(1e5, 3e-3, 0.2))
    assert r.error_estimate > 0.5


def test_a_singularity_is_in_the_estimate():
    """Green's function of -u'' is known: u(x) = int G(x, y) |y - 0.3|^(-1/2) dy, with u'' = -f."""
    r = solve_riesz_bvp(lambda x: abs(x - 0.3) ** -0.5, 2.0, interval=(-1, 1))

    def particular(x):
        return -4 / 3 * abs(x - 0.3) ** 1.5

    x = np.linspace(-1, 1, 1001)
    left, right = particular(-1.0), particular(1.0)
    u = particular(x) - (left + right) / 2 - (right - left) / 2 * x
    assert abs(r(x) - u).max() < 2 * r.error_estimate * u.max()


@pytest.mark.parametrize("n", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("alpha", [0.6, 1.5, 1.9])
@pytest.mark.parametrize("settings", [{}, {"reaction": lambda x: 2 + x}], ids=["alone", "reaction"])
def test_a_wave_of_which_the_points_see_a_slower_one(n, alpha, settings):
    """On 64 equal spans cos(5000 x) has the values of cos(26.5 x), of a solution that is far larger."""
    with pytest.warns(ConvergenceWarning):
        r = solve_riesz_bvp(lambda x: np.cos(5000 * x), alpha, interval=(-1, 1), n=n, **settings)
    assert not r.success
    assert r.error_estimate > 1.0


SEEN = {
    "wave": lambda x: np.cos(150 * x),
    "root": lambda x: np.sqrt(1 + x),
    "jump": lambda x: np.sign(x - 0.4),
}


@pytest.mark.parametrize("f", SEEN.values(), ids=SEEN)
def test_what_the_points_do_see_is_no_layer(f):
    assert solve_riesz_bvp(f, 1.5, interval=(-1, 1)).success


def test_data_that_are_infinite_between_the_points_are_no_error():
    r = solve_riesz_bvp(lambda x: np.where(abs(x - 0.1234) < 1e-3, np.inf, 1.0), 1.5, method="spectral", n=24)
    assert r.success


@pytest.mark.parametrize("alpha", [1.0, 1.5, 2.0])
def test_a_start_between_the_points_is_no_success(alpha):
    """Before, a density within a thousandth of the interval was lost and its decay an exact zero."""
    with pytest.warns(ConvergenceWarning):
        r = solve_fractional_diffusion(
            layer(100.0, 1e-3), alpha, (0, 0.3), interval=(-1, 1), t_eval=[0.1, 0.3]
        )
    assert not r.success
    assert r.error_estimate > 0.1


SOURCES = {
    "a wave of the period of a step": lambda t, x: np.cos(400 * np.pi * t) + 0 * x,
    "a pulse": lambda t, x: 1.0 * (abs(t - 0.5123) < 1e-3) + 0 * x,
    "a layer": lambda t, x: layer(100.0, 1e-3)(x),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_that_the_steps_do_not_see(name):
    r = solve_fractional_diffusion(
        lambda x: 0 * x, 1.5, (0, 1), source=SOURCES[name], interval=(-1, 1), t_eval=[0.25, 1]
    )
    assert r.error_estimate > 0.3


def test_a_solution_of_zero_has_an_error():
    zero, one = np.zeros(3), np.ones(3)
    assert from_levels(zero, one) == np.inf
    assert from_levels(zero, zero, zero) == 0.0
    assert solve_riesz_bvp(1.0, 1.5, rtol=1.0, method="spline").error_estimate == np.inf


def test_the_share_that_is_not_seen():
    points, between = np.linspace(0, 1, 50), np.linspace(0.001, 0.999, 1000)
    smooth, spike = np.exp(between), np.exp(between) + 100.0 * (abs(between - 0.3134) < 5e-3)
    assert unseen(points, np.exp(points), between, smooth, smooth) == 0.0
    assert unseen(points, np.exp(points), between, spike, spike) == pytest.approx(1 / 2.72, rel=0.1)


def test_numbers_that_overflow_are_refused():
    with pytest.raises(ValueError, match="f / diffusion must not overflow"):
        solve_riesz_bvp(1.0, 1.5, diffusion=1e-320)
    with pytest.raises(ValueError, match="f must have values whose norm does not overflow"):
        solve_riesz_bvp(1e308, 1.5, method="spline")
    with pytest.raises(ValueError, match="t_span must not be longer"):
        solve_fractional_diffusion(np.sin, 1.5, (-1e308, 1e308))


X = np.linspace(0.0005, 0.9995, 999)
ROUGH = {
    "a step of the reaction": lambda s: lambda x: np.where(x > s, 50.0, 0.0),
    "a high step": lambda s: lambda x: np.where(x > s, 5e3, 0.0),
    "a pole of the reaction": lambda s: lambda x: np.abs(x - s) ** -0.5,
}


def graded(ends, spans=40):
    """Breaks that crowd at each of these places."""
    half = np.linspace(0, 1, spans + 1) ** 4 / 2
    whole = np.append(half, 1 - half[-2::-1])
    parts = [a + (b - a) * whole[1:] for a, b in pairwise(ends)]
    return np.concatenate([[ends[0]], *parts])


@pytest.mark.filterwarnings("ignore:.*Jacobi modes disagree:numsolve.ConvergenceWarning")
@pytest.mark.parametrize("make", ROUGH.values(), ids=ROUGH.keys())
def test_next_to_a_jump_of_the_coefficients_the_estimate_is_not_far_below_the_error(make):
    """Wherever it is: the errors of different numbers of unknowns are as if by chance."""
    for place in (0.31234, 0.66666):
        reaction = make(place)
        fine = solve_riesz_bvp(1.0, 1.5, breaks=graded((0.0, place, 1.0)), p=3, reaction=reaction)
        truth = fine(X)
        for method in ("spectral", "dense"):
            r = solve_riesz_bvp(1.0, 1.5, reaction=reaction, method=method)
            error = np.max(np.abs(r(X) - truth)) / np.max(truth)
            assert error > 10 * fine.error_estimate
            assert error <= 3 * r.error_estimate


def test_smooth_coefficients_have_small_estimates():
    r = solve_riesz_bvp(1.0, 1.5, reaction=lambda x: 1 + x**2, method="spectral")
    assert r.error_estimate < 1e-7


@pytest.mark.parametrize("p", [2, 5])
@pytest.mark.parametrize("grade", [1.0, 2.0, 4.0])
def test_a_mesh_of_the_users_own_has_an_estimate(p, grade):
    """Graded towards the ends, where the solution of Getoor's problem has roots."""
    half = np.linspace(0, 1, 33) ** grade / 2
    breaks = np.append(half, 1 - half[-2::-1])
    _, u = problems.getoor(1.5, (0.0, 1.0))
    for f in (1.0, np.ones(breaks.size + p - 3)):
        r = solve_riesz_bvp(f, 1.5, breaks=breaks, p=p)
        error = np.max(np.abs(r(X) - u(X))) / u(0.5)
        assert error / 2 <= r.error_estimate <= 50 * error


def test_a_mesh_that_misses_a_layer_says_so():
    def layer(x):
        return np.exp(-(((x - 0.5) / 0.002) ** 2)) / 0.002

    breaks = np.linspace(0, 1, 42)
    assert solve_riesz_bvp(layer, 1.5, breaks=breaks, p=3).error_estimate > 0.1


@pytest.mark.parametrize("breaks", [[0.0, 1.0], [0.0, 0.5, 1.0], [0.0, 0.1, 0.9, 1.0]], ids=["1", "2", "3"])
def test_a_mesh_too_coarse_for_a_coarser_one_is_compared_with_a_finer_one(breaks):
    """Before, an error of 14 % had no estimate."""
    _, u = problems.getoor(1.5, (0.0, 1.0))
    r = solve_riesz_bvp(1.0, 1.5, breaks=breaks, p=3)
    error = np.max(np.abs(r(X) - u(X))) / u(0.5)
    assert error / 2 <= r.error_estimate <= 10 * error


def test_next_to_an_eigenvalue_a_mesh_of_the_users_own_is_no_success():
    bottom = solve_riesz_eig(1.5, 1, interval=(0, 1)).x[0]
    with pytest.warns(ConvergenceWarning):
        r = solve_riesz_bvp(1.0, 1.5, breaks=np.linspace(0, 1, 50), p=3, reaction=-bottom * (1 + 1e-5))
    assert not r.success
