"""Arrays of other libraries: the same solutions, in the library they came from."""

from __future__ import annotations

import array_api_strict as strict
import numpy as np
import pytest

from numsolve._core.arrays import to_host
from numsolve.fractional import mass_symbol, riesz_symbol, solve_riesz_bvp


def module(library):
    return {"array_api_strict": lambda: strict, "cupy": lambda: pytest.importorskip("cupy")}[library]()


@pytest.fixture(params=["array_api_strict", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request):
    return module(request.param)


SIDE = np.random.default_rng(0).normal(size=61)
POSITIVE = 1 + np.random.default_rng(1).random(61)

CASES = {
    "plain": {},
    "constant reaction": {"reaction": 3.0},
    "reaction": {"reaction": 100 * POSITIVE},
    "diffusion": {"diffusion": POSITIVE},
    "skewed": {"weights": (1.0, 0.2)},
    "quadratic": {"p": 2, "n": 61},
    "caputo": {"definition": "caputo"},
    "none": {"preconditioner": None},
}


@pytest.mark.parametrize("case", CASES)
def test_the_solution_is_that_of_numpy(xp, case):
    settings = {"n": 60, "p": 3, **CASES[case]}
    moved = {k: xp.asarray(v) if isinstance(v, np.ndarray) else v for k, v in settings.items()}
    expected = solve_riesz_bvp(SIDE, 1.5, **settings)
    r = solve_riesz_bvp(xp.asarray(SIDE), 1.5, **moved)
    assert type(r.x) is type(xp.asarray(SIDE))
    assert r.success
    np.testing.assert_allclose(to_host(r.x), expected.x, atol=1e-10 * abs(expected.x).max())
    np.testing.assert_allclose(r(0.3), expected(0.3), rtol=1e-9)


def test_start(xp):
    r = solve_riesz_bvp(xp.asarray(SIDE), 1.5, n=60, p=3)
    assert solve_riesz_bvp(xp.asarray(SIDE), 1.5, n=60, p=3, x0=r.x).nit == 0


@pytest.mark.parametrize("p", [2, 3, 6])
def test_symbols(xp, p):
    theta = np.linspace(-4, 4, 41)
    own = riesz_symbol(xp.asarray(theta), p, 1.3), mass_symbol(xp.asarray(theta), p)
    assert type(own[0]) is type(xp.asarray(theta))
    np.testing.assert_allclose(to_host(own[0]), riesz_symbol(theta, p, 1.3), rtol=1e-13)
    np.testing.assert_allclose(to_host(own[1]), mass_symbol(theta, p), rtol=1e-13)


def test_symbols_of_jax():
    jnp = pytest.importorskip("jax.numpy")
    theta = jnp.linspace(0.1, 3, 5)
    own = riesz_symbol(theta, 3, 1.5)
    assert type(own) is type(theta)
    np.testing.assert_allclose(np.asarray(own), riesz_symbol(np.asarray(theta, float), 3, 1.5), rtol=1e-5)
