"""Models of equinox and flax: a solve differentiates them like the bare arrays in them."""

# ruff: noqa: E402
from __future__ import annotations

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jnp = jax.numpy

from numsolve.neural_ode import error_penalty, odesolve, train

Y0 = np.linspace(-1.0, 1.0, 6).reshape(3, 2)
SOLVE = {"method": "bosh3", "rtol": 1e-4, "atol": 1e-4}


def bare(t, y, layers):
    """Two layers with tanh between them."""
    (w1, b1), (w2, b2) = layers
    return jnp.tanh(y @ w1 + b1) @ w2 + b2


def loss(f, params):
    sol = odesolve(f, Y0, (0.0, 1.0), params, **SOLVE)
    return jnp.sum(sol.y**2) + error_penalty(sol)


def test_a_module_of_equinox_is_a_tree_of_parameters():
    eqx = pytest.importorskip("equinox")
    optax = pytest.importorskip("optax")
    model = eqx.nn.MLP(2, 2, 5, 1, activation=jnp.tanh, key=jax.random.key(0), dtype=float)

    def f(t, y, model):
        return jax.vmap(model)(y)

    layers = [(layer.weight.T, layer.bias) for layer in model.layers]
    slopes = eqx.filter_jit(eqx.filter_grad(lambda model: loss(f, model)))(model)
    expected = jax.jit(jax.grad(lambda layers: loss(bare, layers)))(layers)
    for layer, (w, b) in zip(slopes.layers, expected, strict=True):
        assert np.allclose(layer.weight.T, w, rtol=1e-12)
        assert np.allclose(layer.bias, b, rtol=1e-12)

    def batch_loss(model, batch, coefficient, key):
        sol = odesolve(f, batch, (0.0, 1.0), model, **SOLVE)
        return jnp.sum(sol.y**2), sol

    result = train(batch_loss, model, Y0, optax.sgd(0.01), epochs=3)
    assert isinstance(result.x, eqx.nn.MLP)
    assert result.table["loss"][-1] < result.table["loss"][0]


def test_a_module_of_flax_is_applied_to_its_parameters():
    nn = pytest.importorskip("flax.linen")

    class Net(nn.Module):
        @nn.compact
        def __call__(self, y):
            y = nn.tanh(nn.Dense(5, param_dtype=float)(y))
            return nn.Dense(2, param_dtype=float)(y)

    model = Net()
    params = model.init(jax.random.key(0), Y0)
    slopes = jax.jit(jax.grad(lambda params: loss(lambda t, y, p: model.apply(p, y), params)))(params)
    names = ("Dense_0", "Dense_1")
    layers = [(params["params"][name]["kernel"], params["params"][name]["bias"]) for name in names]
    expected = jax.jit(jax.grad(lambda layers: loss(bare, layers)))(layers)
    for name, (w, b) in zip(names, expected, strict=True):
        assert np.allclose(slopes["params"][name]["kernel"], w, rtol=1e-12)
        assert np.allclose(slopes["params"][name]["bias"], b, rtol=1e-12)
