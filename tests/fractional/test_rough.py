"""The error estimate beside kinks, jumps and logarithms, whose errors depend on where the next point is."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest

from numsolve import ConvergenceWarning
from numsolve.fractional import solve_riesz_bvp
from numsolve.fractional._estimate import PROBES, is_rough

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
