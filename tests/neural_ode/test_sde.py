"""SOSRI and its Brownian path: strong order, the law of the path, one path for a key, and its adjoint."""

# ruff: noqa: E402
from __future__ import annotations

from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jnp = jax.numpy

from numsolve.neural_ode import brownian_path, error_penalty, problems, sdesolve
from numsolve.neural_ode._brownian import Path, increments

KEY = jax.random.key(3)
P = np.array([1.5, 1.0])


def drift(t, y, p):
    return p[0] * y


def diffusion(t, y, p):
    return p[1] * y


def ends(method, exponent):
    """End of geometric Brownian motion for a step of any length, and the exact one on the same path."""
    y0 = jnp.ones(2000)

    @jax.jit
    def run(h):
        return sdesolve(
            drift,
            diffusion,
            y0,
            (0.0, 1.0),
            P,
            key=KEY,
            method=method,
            controller="fixed",
            h0=h,
            max_steps=128,
        ).y

    W = brownian_path(KEY, y0, (0.0, 1.0), [1.0])[0]
    return run, jnp.exp(exponent + P[1] * W)


@pytest.mark.parametrize(
    ("method", "exponent", "order"),
    [("sosri", 1.0, 1.3), ("euler", 1.0, 0.4), ("euler-heun", 1.5, 0.8)],
)
def test_strong_orders_on_geometric_brownian_motion(method, exponent, order):
    """Itô's equation for the first two, whose exponent is mu - sigma^2 / 2; Stratonovich's for the last."""
    run, exact = ends(method, exponent)
    h = 1 / np.array([8, 16, 32, 64])
    errors = [float(jnp.sqrt(jnp.mean((run(step) - exact) ** 2))) for step in h]
    assert np.polyfit(np.log(h), np.log(errors), 1)[0] >= order
    assert errors[-1] < errors[0]


def test_the_path_has_the_law_of_brownian_motion():
    """Increments and the numbers that the integral adds are independent, with variance h."""
    n, edges = 20_000, np.array([0.0, 0.125, 0.25, 0.625, 1.0])
    path = Path(KEY, (n,), jnp.float64, jnp.float64(2.0))
    points = [jax.jit(path.at)(u) for u in edges]
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

    def end(p, tol, adjoint):
        sol = sdesolve(
            drift,
            diffusion,
            y0,
            (0.0, 1.0),
            p,
            key=KEY,
            ts=ts,
            rtol=0.1,
            atol=0.1,
            adjoint=adjoint,
            max_steps=400,
        )
        return jnp.sum(sol.y**2) + jnp.sum(sol.ys[1]) + error_penalty(sol), sol

    return end


def test_adaptive_steps_follow_the_path_of_the_key():
    """They approach the exact solution on it, and so do fixed steps: no tolerance draws another path."""
    y0 = jnp.ones(50)
    sol = sdesolve(drift, diffusion, y0, (0.0, 1.0), P, key=KEY, rtol=0.03, atol=0.03, max_steps=2000)
    W = brownian_path(KEY, y0, (0.0, 1.0), [1.0])[0]
    exact = problems.geometric_brownian(0.0, 1.0, 1.0, *P, W)
    assert sol.success
    assert float(jnp.mean(jnp.abs(sol.y / exact - 1))) < 2e-3


def test_the_adjoint_agrees_with_forward_mode_on_the_same_path(adaptive):
    (_, sol), grads = jax.jit(
        jax.value_and_grad(partial(adaptive, tol=0.1, adjoint="discrete"), has_aux=True)
    )(P)
    assert sol.success
    move = jax.jit(lambda d: jax.jvp(lambda p: adaptive(p, 0.1, "forward")[0], (P,), (d,))[1])
    assert float(move(np.array([1.0, 0.5]))) == pytest.approx(float(grads[0] + 0.5 * grads[1]), rel=1e-11)
    assert np.array_equal(sol.ys[0], np.ones(3))
    assert np.array_equal(sol.ys[2], sol.y)
    assert sol.t[int(sol.naccepted) - 1] + sol.h[int(sol.naccepted) - 1] == 1.0


def test_a_path_starts_at_zero_and_differs_between_keys():
    path = partial(brownian_path, y0=jnp.ones(4), t_span=(0.0, 1.0), ts=[0.0, 0.5])
    W = path(KEY)
    assert np.array_equal(W[0], np.zeros(4))
    assert np.array_equal(W, path(jax.random.key(3)))
    assert not np.any(W[1] == path(jax.random.key(4))[1])
