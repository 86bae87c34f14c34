"""Factorisations of the forward solve that serve its derivative inside compiled programs."""

# ruff: noqa: E402 - pages without JAX skip before they import it
from __future__ import annotations

import gc
import threading
import warnings
from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from numsolve.implicit import _direct, custom_root, differentiable, root_vjp, solve_host
from numsolve.implicit.traced import _call, _factors
from numsolve.implicit.traced._factors import Factor, Store

N = 12
SHAPE = jax.ShapeDtypeStruct((N,), float)
#: an unsymmetric tridiagonal matrix
BANDS = (np.full(N - 1, -1.5), np.full(N, 4.0), np.full(N - 1, -0.5))
C = np.linspace(1.0, 2.0, N)


def matrix(theta):
    return sp.csc_array(sp.diags_array(BANDS, offsets=[-1, 0, 1]) + sp.diags_array(theta))


def product(x, theta):
    return (4 + theta) * x - 1.5 * jnp.pad(x[:-1], (1, 0)) - 0.5 * jnp.pad(x[1:], (0, 1))


def equation(x, theta):
    return product(x, theta) - C


def solve(_, theta):
    factor = splu(matrix(theta))
    return factor.solve(C), factor


def gradient(theta):
    """Of the sum of x^2."""
    x, factor = solve(None, theta)
    return -factor.solve(2 * x, "T") * x


def some(count=1):
    return np.random.default_rng(0).uniform(0.0, 1.0, (count, N))


class Counted:
    """A solver that counts its calls."""

    def __init__(self, function=solve):
        self.function, self.calls = function, 0

    def __call__(self, init, theta):
        self.calls += 1
        return self.function(init, theta)


def loss_of(solver, **settings):
    solution = differentiable(solver, equation, solve="factor", result_shape=SHAPE, **settings)
    return lambda theta: (solution(None, theta) ** 2).sum()


def close(found, wanted, tol=1e-12):
    return np.abs(np.asarray(found) - wanted).max() <= tol * np.abs(wanted).max()


@pytest.fixture(autouse=True)
def own_store(monkeypatch):
    store = Store()
    monkeypatch.setattr(_call, "STORE", store)
    return store


@pytest.mark.parametrize("compiled", [True, False])
def test_one_forward_solve_serves_value_and_gradient(compiled):
    solver = Counted()
    derivative = jax.value_and_grad(loss_of(solver))
    derivative = jax.jit(derivative) if compiled else derivative
    for k, theta in enumerate(some(5)):
        assert close(derivative(jnp.asarray(theta))[1], gradient(theta))
        assert solver.calls == k + 1


def test_the_same_program_never_gets_the_factor_of_another_matrix():
    derivative, thetas = jax.jit(jax.grad(loss_of(Counted()))), some(6)
    for k in np.random.default_rng(1).integers(0, 6, 40):
        assert close(derivative(jnp.asarray(thetas[k])), gradient(thetas[k]))


def test_a_pullback_that_waits_finds_its_own_factor():
    solution = differentiable(solve, equation, solve="factor", result_shape=SHAPE)
    pulls = [(theta, jax.vjp(lambda t: solution(None, t), jnp.asarray(theta))) for theta in some(4)]
    for theta, (x, pull) in reversed(pulls):
        assert close(pull(2 * x)[0], gradient(theta))


def test_two_solvers_with_the_same_arguments_are_kept_apart():
    twice = differentiable(
        lambda _, t: (splu(2 * matrix(t)).solve(C), splu(2 * matrix(t))),
        lambda x, t: 2 * product(x, t) - C,
        solve="factor",
        result_shape=SHAPE,
    )
    theta = some()[0]
    assert close(jax.grad(loss_of(solve))(theta), gradient(theta))
    assert close(jax.grad(lambda t: (twice(None, t) ** 2).sum())(theta), gradient(theta) / 4)


@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
def test_both_modes(mode):
    theta = some()[0]
    J = jax.jit(mode(lambda t: differentiable(solve, equation, solve="factor", result_shape=SHAPE)(None, t)))
    x, factor = solve(None, theta)
    assert close(J(theta), -factor.solve(np.eye(N)) * x)


def test_second_derivatives():
    theta = some()[0]
    x, factor = solve(None, theta)
    u = factor.solve(2 * x, "T")
    dx = -factor.solve(np.diag(x))
    du = factor.solve(2 * dx - np.diag(u), "T")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is said of a good factor
        found = jax.block_until_ready(jax.jit(jax.hessian(loss_of(solve)))(theta))
    assert close(found, -du * x[:, None] - u[:, None] * dx)


def test_a_batch_is_solved_one_by_one_and_each_finds_its_factor():
    solver, thetas = Counted(), some(7)
    derivative = jax.jit(jax.vmap(jax.grad(loss_of(solver))))
    assert close(derivative(jnp.asarray(thetas)), np.stack([gradient(t) for t in thetas]))
    assert solver.calls == 7


def test_threads_share_the_store():
    derivative, thetas, wrong = jax.jit(jax.grad(loss_of(solve))), some(8), []

    def work(k):
        for j in range(20):
            theta = thetas[(k + j) % 8]
            if not close(derivative(jnp.asarray(theta)), gradient(theta)):
                wrong.append((k, j))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_factor_that_was_given_up_is_made_again(monkeypatch):
    monkeypatch.setattr(_call, "STORE", Store(kept=1))
    solver, thetas = Counted(), some(3)
    derivative = jax.jit(jax.vmap(jax.grad(loss_of(solver))))
    assert close(derivative(jnp.asarray(thetas)), np.stack([gradient(t) for t in thetas]))
    assert 3 < solver.calls <= 6


def test_the_store_is_bounded_in_number_and_in_bytes():
    factor = Factor(splu(matrix(some()[0])))
    store = Store(kept_bytes=3 * factor.size, kept=100)
    for k in range(10):
        store.put((0, k), factor)
        assert store.size <= store.kept_bytes
    assert len(store) == 3
    store = Store(kept_bytes=0, kept=100)
    store.put((0, 0), factor)
    store.put((0, 1), factor)
    assert len(store) == 1
    assert store.get((0, 1), lambda: None) is factor
    store = Store(kept=2)
    for k in range(3):
        store.put((k, k), factor)
    assert store.get((0, 0), lambda: factor) is factor
    assert len(store) == 2
    store.forget(0)
    assert len(store) == 1
    store.put((5, 0), factor)
    with store._lock:  # as if the collector came in the middle
        store.forget(5)
    store.put((6, 0), factor)
    assert len(store) == 2
    assert store.size == 2 * factor.size


def test_what_a_solver_left_goes_with_it(own_store):
    loss = loss_of(solve)
    loss(some()[0])
    assert len(own_store) == 1
    del loss
    jax.clear_caches()
    gc.collect()
    assert len(own_store) == 0


def test_the_factor_of_another_matrix_is_noticed():
    def stale(init, theta):
        return solve(init, theta)[0], splu(matrix(theta + 0.1))

    with pytest.warns(RuntimeWarning, match="relative residual of only"):
        jax.block_until_ready(jax.jit(jax.grad(loss_of(stale)))(some()[0]))


def test_pairs_of_functions_aux_integers_and_overwritten_arguments():
    def powers(_, theta, power):
        factor = splu(matrix(theta**power))
        theta[:] = np.nan  # its own copy
        return (factor.solve(C), (factor.solve, lambda b: factor.solve(b, "T"))), power

    shape = (SHAPE, jax.ShapeDtypeStruct((), int))
    solution = differentiable(
        powers, lambda x, t, k: equation(x, t**k), solve="factor", has_aux=True, result_shape=shape
    )
    theta = some()[0]
    for power in (2, 3):
        found = jax.jit(jax.grad(lambda t, k=power: (solution(None, t, k)[0] ** 2).sum()))(jnp.asarray(theta))
        assert close(found, gradient(theta**power) * power * theta ** (power - 1))


@pytest.mark.parametrize(
    ("call", "exception", "message"),
    [
        (lambda: custom_root(equation, solve="factor"), ValueError, "needs host=True"),
        (
            lambda: loss_of(solve, vmap_method="expand_dims"),
            ValueError,
            "needs vmap_method='sequential'.*got 'expand_dims'",
        ),
        (
            lambda: loss_of(lambda *a: solve(*a)[0])(some()[0]),
            TypeError,
            r"must return \(x, factor\).*got ndarray",
        ),
        (
            lambda: jax.jacfwd(
                differentiable(
                    lambda _, t: (t + 1j, splu(matrix(t))),
                    lambda x, t: x - t,
                    solve="factor",
                    result_shape=jax.ShapeDtypeStruct((N,), complex),
                ),
                argnums=1,
            )(None, some()[0]),
            ValueError,
            "needs real unknowns",
        ),
        (lambda: root_vjp(equation, C, (C,), C, solve="factor"), ValueError, "hand over the factorisation"),
    ],
)
def test_what_is_refused(call, exception, message):
    with pytest.raises(exception, match=message):
        call()


def test_systems_with_a_pattern_are_factorised_once_for_value_and_gradient(monkeypatch):
    made, superlu = [], _direct.superlu
    monkeypatch.setattr(_direct, "superlu", lambda A: made.append(1) or superlu(A))
    sparse = partial(solve_host, sparsity=matrix(np.ones(N)))

    def forward(_, theta):
        return sparse(lambda v: product(v, theta), jnp.asarray(C))

    solution = custom_root(equation, solve=sparse)(forward)
    derivative = jax.jit(jax.value_and_grad(lambda t: (solution(None, t) ** 2).sum()))
    for k, theta in enumerate(some(3) + 0.01):
        assert close(derivative(jnp.asarray(theta))[1], gradient(theta))
        assert len(made) == k + 1


def test_the_fingerprint_sees_values_types_and_shapes():
    a = np.arange(6.0)
    kinds = [
        [a],
        [a + 1e-300 + np.eye(6)[0] * 1e-16],
        [a.astype(int)],
        [a.reshape(2, 3)],
        [a[:3], a[3:]],
        [a[::-1]],
    ]
    assert len({_factors.digest(k) for k in kinds}) == len(kinds)
    assert _factors.digest([jnp.ones(3, jnp.bfloat16)]) != _factors.digest([jnp.zeros(3, jnp.bfloat16)])
    assert _factors.digest([np.zeros((0, 2))]) != _factors.digest([np.zeros((2, 0))])
    assert _factors.digest([a[::2]]) == _factors.digest([a[::2].copy()])
