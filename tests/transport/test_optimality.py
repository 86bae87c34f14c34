"""The conditions of entropic, quadratic and sparse plans, put together with `numsolve.implicit`."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest

from numsolve import implicit, transport
from numsolve._core.result import ConvergenceWarning
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


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_closed_form_of_the_derivatives_is_that_of_complex_steps(symmetric, solved):
    M, a, b, result = solved
    x, rng = optimality.fixed(result.potentials), np.random.default_rng(2)
    c = tuple(rng.standard_normal(part.shape) for part in x)
    closed = implicit.root_vjp(optimality.sinkhorn, x, (a, b, M, REG), c, symmetric=symmetric)
    by_steps = implicit.root_vjp(functools.partial(optimality.sinkhorn), x, (a, b, M, REG), c)
    for found, wanted in zip(closed, by_steps, strict=True):
        assert np.shape(found) == np.shape(wanted)
        assert np.allclose(found, wanted, rtol=1e-10, atol=1e-12 * np.abs(wanted).max())


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


# -- plans with zeros ------------------------------------------------------------------------------


@pytest.fixture
def blurred():
    """A problem whose quadratic plan connects everything, and changes of its data."""
    rng = np.random.default_rng(3)
    M, a, b = rng.random((7, 5)), rng.random(7) + 0.2, rng.random(5) + 0.2
    da, db, dM = rng.standard_normal(7), rng.standard_normal(5), rng.standard_normal((7, 5))
    return M, a / a.sum(), b / b.sum(), dM, da - da.mean(), db - db.mean()


def quietly(solver, *args, tol=1e-13):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # such tolerances end at the rounding level
        return solver(*args, tol=tol)


def changes(solve, M, a, b, dM, da, db, h=1e-6):
    """Central differences of what `solve` returns, arrays."""
    up, down = (solve(M + s * dM, a + s * da, b + s * db) for s in (h, -h))
    return [(u - d) / (2 * h) for u, d in zip(up, down, strict=True)]


def test_quadratic_plans_by_their_conditions_and_by_vjp(blurred):
    M, a, b, *moves = blurred

    def solve(M, a, b):
        r = quietly(transport.quadratic, a, b, M, 2.0)
        return (*optimality.fixed(r.potentials), r.plan)

    result = quietly(transport.quadratic, a, b, M, 2.0)
    x, active = optimality.fixed(result.potentials), result.plan > 0
    assert 0 < active.sum() < active.size
    for errors in optimality.quadratic(x, a, b, M, 2.0, active):
        np.testing.assert_allclose(errors, 0, atol=1e-12)

    def conditions(x, M, a, b):
        return optimality.quadratic(x, a, b, M, 2.0, active)

    df, dg, dT = changes(solve, M, a, b, *moves)
    f, g = implicit.root_jvp(conditions, x, (M, a, b), tuple(moves), symmetric=True)
    np.testing.assert_allclose(f, df, atol=1e-6)
    np.testing.assert_allclose(g, dg, atol=1e-6)

    rng = np.random.default_rng(4)
    Q, p, q = rng.standard_normal(M.shape), rng.standard_normal(7), rng.standard_normal(5)
    q += (p.sum() - q.sum()) / 5
    dM, da, db = moves
    gradient = result.vjp(Q, potentials=(p, q))
    slope = np.vdot(gradient.M, dM) + gradient.a @ da + gradient.b @ db
    assert slope == pytest.approx(np.vdot(Q, dT) + p @ df + q[:-1] @ dg, rel=1e-6)


@pytest.mark.parametrize("limit", [2, 3])
def test_sparse_plans_by_their_conditions(blurred, limit):
    M, a, b, *moves = blurred
    result = transport.sparsity_constrained(a, b, M, 2.0, limit, tol=1e-11)
    active = optimality.active_set(result)
    assert active.rows.size > 0  # there are ties
    assert ((result.plan > 0).sum() - active.rows.size) == active.whole.sum()

    def solve(M, a, b):
        r = transport.sparsity_constrained(a, b, M, 2.0, limit, tol=1e-11)
        return (*optimality.fixed(r.potentials), r.plan[active.rows, active.columns], r.plan)

    *x, _ = solve(M, a, b)
    for errors in optimality.sparsity_constrained(x, a, b, M, 2.0, active):
        np.testing.assert_allclose(errors, 0, atol=1e-8)
    moved = implicit.root_jvp(
        lambda x, M, a, b: optimality.sparsity_constrained(x, a, b, M, 2.0, active),
        tuple(x),
        (M, a, b),
        tuple(moves),
    )
    *differences, _ = changes(solve, M, a, b, *moves)
    for own, other in zip(moved, differences, strict=True):
        np.testing.assert_allclose(own, other, atol=2e-4 * max(abs(other).max(), 1))


def test_without_a_limit_no_entry_is_tied(blurred):
    M, a, b, *_ = blurred
    result = transport.quadratic(a, b, M, 2.0)
    active = optimality.active_set(result)
    assert active.rows.size == 0
    np.testing.assert_array_equal(active.whole, result.plan > 0)
    x = (*optimality.fixed(result.potentials), np.empty(0))
    rows, columns, ties = optimality.sparsity_constrained(x, a, b, M, 2.0, active)
    own = optimality.quadratic(x[:2], a, b, M, 2.0, active.whole)
    np.testing.assert_allclose(rows, own[0], atol=1e-15)
    np.testing.assert_allclose(columns, own[1], atol=1e-15)
    assert ties.size == 0


def test_the_hessian_of_the_quadratic_value_by_jax(blurred):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    M, a, b, dM, *_ = blurred
    result = quietly(transport.quadratic, a, b, M, 2.0)
    active = result.plan > 0

    def host(_, M):
        return optimality.fixed(quietly(transport.quadratic, a, b, np.asarray(M), 2.0).potentials)

    solution = implicit.differentiable(
        host, lambda x, M: optimality.quadratic(x, a, b, M, 2.0, active), symmetric=True, solve="cholesky"
    )

    def plan(M):
        f, g = solution((jnp.zeros(7), jnp.zeros(4)), M)
        return jnp.where(active, (f[:, None] + jnp.append(g, 0.0) - M) / 2.0, 0.0)

    _, bend = jax.jvp(plan, (jnp.asarray(M),), (jnp.asarray(dM),))
    (dT,) = changes(
        lambda M, a, b: [quietly(transport.quadratic, a, b, M, 2.0).plan], M, a, b, dM, 0 * a, 0 * b
    )
    assert np.allclose(bend, dT, atol=1e-7)


def test_what_has_no_derivative_says_so(blurred):
    M, a, b, *_ = blurred
    with pytest.raises(NotImplementedError, match="optimality"):
        transport.sparsity_constrained(a, b, M, 2.0, 2).vjp()
    assert transport.sparsity_constrained(a, b, M, 2.0, 7).vjp().M.shape == M.shape
    M, a, b = transport.problems.random_assignment(6, rng=0)
    with pytest.raises(np.linalg.LinAlgError, match="6 parts"):
        transport.quadratic(a, b, M, 1e-3).vjp()
    with pytest.raises(ValueError, match="no plan"):
        optimality.active_set(transport.quadratic(a, b, M, 1.0, return_plan=False))
    with pytest.raises(ValueError, match="limit is on the rows"):
        optimality.active_set(transport.sparsity_constrained(a, b, M, 1.0, 2, axis=1))
