"""The disc: functions whose fractional Laplacian is known, Bessel functions, symmetries."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import gamma, hyp2f1, iv

from numsolve._core.result import ConvergenceWarning
from numsolve.fractional import DiscSolution, RieszPlaneResult, solve_riesz_disc
from numsolve.fractional.disc import disc_eigenvalues

POINTS = np.random.default_rng(0).uniform(-0.7, 0.7, (2, 60))
R2 = np.sum(POINTS**2, axis=0)


def wave(x, y):
    return np.exp(x) * np.cos(3 * y)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 1.5, 2.0])
def test_the_mean_exit_time(alpha):
    """R. K. Getoor, Trans. Amer. Math. Soc. 101, 1961."""
    r = solve_riesz_disc(1.0, alpha)
    assert_allclose(r(*POINTS), (1 - R2) ** (alpha / 2) / (2**alpha * gamma(1 + alpha / 2) ** 2), rtol=1e-12)
    assert r.success
    assert r.error_estimate < 1e-10


@pytest.mark.parametrize("reaction", [None, 7.0])
@pytest.mark.parametrize("p", [2, 3])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.7])
def test_powers_of_the_distance(alpha, p, reaction):
    """``(1 - r^2)_+^p`` and its image: B. Dyda, Fract. Calc. Appl. Anal. 15, 2012."""
    factor = 2**alpha * gamma(1 + alpha / 2) * gamma(p + 1) / gamma(p + 1 - alpha / 2)

    def f(x, y):
        square = x * x + y * y
        image = factor * hyp2f1(1 + alpha / 2, alpha / 2 - p, 1, square)
        return image + (reaction or 0.0) * (1 - square) ** p

    r = solve_riesz_disc(f, alpha, reaction=reaction)
    error = abs(r(*POINTS) - (1 - R2) ** p).max()
    assert error < 2e-6
    assert error < r.error_estimate < 1e-4


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("reaction", [None, 7.0])
@pytest.mark.parametrize("factor", [1e-300, 1e300])
def test_the_solution_is_proportional_to_f_at_any_size(factor, reaction):
    one, other = (solve_riesz_disc(f, 1.5, n=16, reaction=reaction) for f in (1.0, factor))
    assert other.status is one.status
    assert_allclose(other(*POINTS) / factor, one(*POINTS), rtol=1e-12)


@pytest.mark.parametrize("m", [0, 1, 2])
def test_bessel_functions_for_alpha_two(m):
    """``-Laplacian u + s^2 u = r^m cos(m phi)``: ``(r^m - I_m(s r) / I_m(s)) cos(m phi) / s^2``."""
    s, z = 3.0, POINTS[0] + 1j * POINTS[1]
    r = solve_riesz_disc(lambda x, y: ((x + 1j * y) ** m).real, 2.0, reaction=s * s)
    radius = abs(z)
    exact = (radius**m - iv(m, s * radius) / iv(m, s)) * np.cos(m * np.angle(z)) / s**2
    assert_allclose(r(*POINTS), exact, atol=1e-14)
    assert r.residual < 1e-14


def test_the_function_knows_its_laplacian():
    r = solve_riesz_disc(wave, 1.3, center=(0.2, -0.1), radius=1.5)
    assert isinstance(r, RieszPlaneResult)
    assert isinstance(r.sol, DiscSolution)
    assert_allclose(r.sol.laplacian(*POINTS), wave(*POINTS), atol=1e-10)
    assert np.isnan(r.sol.laplacian(3.0, 0.0))
    assert r([3.0, np.inf], 0.0).tolist() == [0, 0]
    assert np.isnan(r(np.nan, 0.0))
    assert_allclose(r.interval, ((-1.3, 1.7), (-1.6, 1.4)))


@pytest.mark.parametrize("reaction", [None, 2.0])
def test_rotations_shifts_and_scales(reaction):
    """A turned right-hand side has the turned solution, and a larger disc the scaled one."""
    alpha, angle, size = 1.4, 0.7, 2.5
    c, s = np.cos(angle), np.sin(angle)
    x, y = POINTS
    r = solve_riesz_disc(wave, alpha, reaction=reaction, n=32)
    turned = solve_riesz_disc(lambda x, y: wave(c * x - s * y, s * x + c * y), alpha, reaction=reaction, n=32)
    assert_allclose(turned(c * x + s * y, c * y - s * x), r(x, y), atol=1e-11)
    moved = solve_riesz_disc(
        lambda x, y: wave((x - 1) / size, (y + 4) / size),
        alpha,
        center=(1, -4),
        radius=size,
        reaction=None if reaction is None else reaction / size**alpha,
        n=32,
    )
    assert_allclose(moved(1 + size * x, size * y - 4), size**alpha * r(x, y), atol=1e-11)


def test_errors_of_less_smooth_solutions_are_estimated():
    x, y = POINTS
    exact = solve_riesz_disc(wave, 0.7, reaction=2.0, n=128)(x, y)
    for n in (16, 32):
        r = solve_riesz_disc(wave, 0.7, reaction=2.0, n=n)
        error = abs(r(x, y) - exact).max() / abs(exact).max()
        assert error < r.error_estimate < 0.1


def test_eigenvalues_of_modes_are_those_of_dyda():
    """For m = n = 0 and alpha = 1: ``2 Gamma(3/2)^2 = pi / 2``; alpha = 2: ``4 (n + 1) (m + n + 1)``."""
    assert disc_eigenvalues(4, 1.0)[0, 0] == pytest.approx(np.pi / 2)
    m, n = np.arange(5)[:, None], np.arange(3)
    assert_allclose(disc_eigenvalues(4, 2.0), 4 * (n + 1) * (m + n + 1))


def test_what_is_between_the_points_is_told():
    with pytest.warns(ConvergenceWarning, match="f is not smooth"):
        r = solve_riesz_disc(lambda x, y: np.cos(400 * x), 1.5)
    assert not r.success


def test_pictures_and_pickles():
    plt = pytest.importorskip("matplotlib.pyplot")
    r = solve_riesz_disc(1.0, 1.2, n=8)
    assert r.plot(points=80).get_ylabel() == "y"
    plt.close("all")
    assert_allclose(pickle.loads(pickle.dumps(r))(0.3, 0.1), r(0.3, 0.1))


REFUSED = {
    "values": ({"f": np.ones((3, 3))}, TypeError, "f must be a function of x and y or a number"),
    "alpha": ({"alpha": 2.5}, ValueError, "at most 2"),
    "degree": ({"n": 4}, ValueError, "n must be an integer at least 8 and at most 256, got 4"),
    "radius": ({"radius": 0}, ValueError, "radius must be a finite number above 0"),
    "center": ({"center": (0, 0, 0)}, ValueError, r"center must have shape \(2,\)"),
    "reaction": ({"reaction": lambda x, y: x}, TypeError, "reaction must be a number for a disc"),
    "nan": ({"f": lambda x, y: x * np.nan}, ValueError, "f returned nan"),
}


@pytest.mark.parametrize(("settings", "kind", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_is_refused(settings, kind, words):
    with pytest.raises(kind, match=words):
        solve_riesz_disc(**{"f": 1.0, "alpha": 1.5, **settings})


def test_a_disc_too_small_for_powers_is_named():
    with pytest.raises(ValueError, match="the disc of center and radius must have a length of"):
        solve_riesz_disc(1.0, 1.5, radius=5e-324)
