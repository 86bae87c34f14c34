"""The conditions of an entropic plan, put together with `numsolve.implicit`."""

from __future__ import annotations

import numpy as np
import pytest

from numsolve import implicit, transport
from numsolve.transport import optimality

REG = 0.3


@pytest.fixture
def solved():
    rng = np.random.default_rng(0)
    M, a, b = rng.random((6, 5)), rng.random(6), rng.random(5)
    a, b = a / a.sum(), b / b.sum()
    return M, a, b, transport.solve(M, a, b, REG, tol=1e-14)


@pytest.mark.parametrize("method", ["solve", "sinkhorn", "sns"])
def test_every_solver_satisfies_them(method, solved):
    M, a, b, _ = solved
    result = {
        "solve": lambda: transport.solve(M, a, b, REG, tol=1e-12),
        "sinkhorn": lambda: transport.sinkhorn(a, b, M, REG, tol=1e-12),
        "sns": lambda: transport.sinkhorn_newton_sparse(a, b, M, REG, tol=1e-12, density=1.0),
    }[method]()
    rows, columns = optimality.sinkhorn(optimality.fixed(result.potentials), a, b, M, REG)
    assert max(abs(rows).max(), abs(columns).max()) < 1e-12


def test_the_adjoint_is_the_result_s_own(solved):
    M, a, b, result = solved
    Q = np.random.default_rng(1).random(M.shape)
    x = optimality.fixed(result.potentials)
    W = result.plan * Q / REG
    cotangent = (W.sum(axis=1), W.sum(axis=0)[:-1])
    d_a, d_b, d_M = implicit.root_vjp(
        lambda x, a, b, M: optimality.sinkhorn(x, a, b, M, REG),
        x,
        (a, b, M),
        cotangent,
        symmetric=True,
        solve="cholesky",
    )
    own = result.vjp(Q)
    assert np.allclose(d_M - W, own.M, rtol=1e-9, atol=1e-12)
    shift = own.b[-1]  # derivatives in a and b hold for changes of equal sums
    assert np.allclose(d_a, own.a + shift, rtol=1e-9)
    assert np.allclose(d_b, own.b - shift, rtol=1e-9, atol=1e-12)


def test_as_a_function_of_jax_to_second_order(solved):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    M, a, b, result = solved

    def host(_, M):
        return optimality.fixed(transport.solve(M, a, b, REG, tol=1e-14).potentials)

    start = (jnp.zeros(6), jnp.zeros(4))
    solution = implicit.differentiable(
        host, lambda x, M: optimality.sinkhorn(x, a, b, M, REG), symmetric=True, solve="cholesky"
    )

    def value(M):
        f, g = solution(start, M)
        return a @ f + b[:-1] @ g

    assert np.allclose(jax.grad(value)(jnp.asarray(M)), result.plan, atol=1e-12)
    T = np.random.default_rng(2).standard_normal(M.shape)
    _, bend = jax.jvp(jax.grad(value), (jnp.asarray(M),), (jnp.asarray(T),))
    h = 1e-5
    plans = [transport.solve(M + s * T, a, b, REG, tol=1e-14).plan for s in (h, -h)]
    assert np.allclose(bend, (plans[0] - plans[1]) / (2 * h), atol=1e-8)
