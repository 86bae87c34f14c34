"""SOSRI and its Brownian path: strong order, the law of the path, one path for a key, and its adjoint."""

# ruff: noqa: E402
from __future__ import annotations

from functools import cache, partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jnp = jax.numpy

from numsolve.neural_ode import brownian_path, error_penalty, problems, sdesolve
from numsolve.neural_ode._brownian import Path, increments

KEY = jax.random.key(3)
#: drift, additive and multiplicative noise
LINEAR = {"Ornstein-Uhlenbeck": np.array([-1.0, 1.0, 0.0]), "geometric": np.array([1.5, 0.0, 1.0])}
P = LINEAR["geometric"]
Y0 = np.ones(256)
TOLERANCES = 10.0 ** -np.arange(2, 5)


def drift(t, y, p):
    return p[0] * y


def diffusion(t, y, p):
    return p[1] + p[2] * y


def solve(p, key=KEY, **settings):
    return sdesolve(drift, diffusion, Y0, (0.0, 1.0), p, key=key, **settings)


@cache
def by_fixed_steps(method):
    return jax.jit(lambda p, h: solve(p, method=method, controller="fixed", h0=h, max_steps=512).y)


@pytest.fixture(scope="module")
def W():  # noqa: N802
    """The path at the end."""
    return np.asarray(brownian_path(KEY, Y0, (0.0, 1.0), [1.0])[0])


@pytest.mark.parametrize(
    ("method", "mu", "order"), [("sosri", 1.5, 1.3), ("euler", 1.5, 0.4), ("euler-heun", 2.0, 0.8)]
)
def test_strong_orders_on_geometric_brownian_motion(W, method, mu, order):
    """Itô's equation for the first two; Stratonovich's, whose drift is larger by sigma^2 / 2, for the last.

    The orders are 1.5, 0.5 and 1; at these steps they are not quite reached (Monte Carlo, 256 paths).
    """
    exact = problems.geometric_brownian(0.0, 1.0, Y0, mu, 1.0, W)
    h = 1 / np.array([8, 16, 32, 64])
    run = by_fixed_steps(method)
    errors = [float(jnp.sqrt(jnp.mean((run(P, step) - exact) ** 2))) for step in h]
    assert np.polyfit(np.log(h), np.log(errors), 1)[0] >= order
    assert errors[-1] < errors[0]


@pytest.fixture(scope="module")
def by_tolerance():
    """Solves of both equations at each tolerance."""
    runs = [jax.jit(partial(solve, rtol=tol, atol=tol, max_steps=1024)) for tol in TOLERANCES]
    return {name: [run(p) for run in runs] for name, p in LINEAR.items()}


@pytest.mark.parametrize(("name", "least"), [("Ornstein-Uhlenbeck", 1e-3), ("geometric", 0.1)])
def test_the_strong_error_follows_the_tolerance(by_tolerance, W, name, least):
    """In units of the tolerance it is of size one: the path is the same at each of them.

    With additive noise SOSRI is better than its order, so that the estimate, of order 1, is cautious there.
    """
    if name == "geometric":
        exact = problems.geometric_brownian(0.0, 1.0, Y0, 1.5, 1.0, W)
    else:
        exact = by_fixed_steps("sosri")(LINEAR[name], 1 / 512)
    for tol, sol in zip(TOLERANCES, by_tolerance[name], strict=True):
        assert sol.success
        scaled = (sol.y - exact) / (tol * (1 + np.abs(exact)))
        assert least < float(jnp.sqrt(jnp.mean(scaled**2))) < 2.0


@pytest.mark.parametrize("name", LINEAR)
def test_the_steps_grow_as_the_tolerance_to_the_minus_two_thirds(by_tolerance, name):
    """The estimate is of size h^1.5; the first steps, which look for their length, count too."""
    attempts = [int(sol.naccepted + sol.nrejected) for sol in by_tolerance[name]]
    assert np.polyfit(np.log(TOLERANCES), np.log(attempts), 1)[0] == pytest.approx(-2 / 3, abs=0.1)
    assert attempts[0] < 64  # at the default tolerance


def test_the_path_has_the_law_of_brownian_motion():
    """Increments and the numbers that the integral adds are independent, with variance h."""
    n, edges = 20_000, np.array([0.0, 0.125, 0.25, 0.625, 1.0])
    path = Path(KEY, (n,), jnp.float64, jnp.float64(2.0))
    at = jax.jit(path.at)
    points = [at(u) for u in edges]
    rows, lengths = [], []
    for a, b, h in zip(points[:-1], points[1:], 2.0 * np.diff(edges), strict=True):
        rows += increments(a, b, h)
        lengths += [h, h]
    scaled = np.array(rows) / np.sqrt(lengths)[:, None]
    assert np.abs(np.cov(scaled) - np.eye(8)).max() < 5 * np.sqrt(2 / n)
    assert np.abs(scaled.mean(axis=1)).max() < 5 / np.sqrt(n)
    assert np.abs((scaled**4).mean(axis=1) - 3.0).max() < 5 * np.sqrt(96 / n)


@pytest.fixture(scope="module")
def adaptive():
    y0, ts = jnp.ones(3), jnp.array([0.0, 0.3, 1.0])

    def end(p, adjoint):
        sol = sdesolve(
            drift, diffusion, y0, (0.0, 1.0), p, key=KEY, ts=ts, rtol=0.1, atol=0.1, adjoint=adjoint
        )
        return jnp.sum(sol.y**2) + jnp.sum(sol.ys[1]) + error_penalty(sol), sol

    return end


def test_the_adjoint_agrees_with_forward_mode_on_the_same_path(adaptive):
    p, direction = np.array([1.5, 0.2, 1.0]), np.array([1.0, 0.3, 0.5])
    (_, sol), grads = jax.jit(jax.value_and_grad(partial(adaptive, adjoint="discrete"), has_aux=True))(p)
    assert sol.success
    move = jax.jit(lambda d: jax.jvp(lambda p: adaptive(p, "forward")[0], (p,), (d,))[1])
    assert float(move(direction)) == pytest.approx(float(grads @ direction), rel=1e-11)
    assert np.array_equal(sol.ys[0], np.ones(3))
    assert np.array_equal(sol.ys[2], sol.y)
    assert sol.t[int(sol.naccepted) - 1] + sol.h[int(sol.naccepted) - 1] == 1.0


def test_fixed_steps_end_at_the_multiples_of_their_length(W):
    """Also of a length that is no multiple of the grid's: no sliver is left at the end."""
    ends = jax.jit(lambda h: solve(P, method="euler", controller="fixed", h0=h, max_steps=512))
    for m in (3, 5, 11, 64, 450):
        sol = ends(1 / m)
        assert sol.success
        assert int(sol.naccepted) == m
        assert np.allclose(sol.t[:m], np.arange(m) / m, rtol=0, atol=2.0**-20)


def test_a_path_starts_at_zero_and_differs_between_keys():
    path = partial(brownian_path, y0=jnp.ones(4), t_span=(0.0, 1.0), ts=[0.0, 0.5])
    W = path(KEY)
    assert np.array_equal(W[0], np.zeros(4))
    assert np.array_equal(W, path(jax.random.key(3)))
    assert not np.any(W[1] == path(jax.random.key(4))[1])
