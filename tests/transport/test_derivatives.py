"""Derivatives of values, plans and potentials: against differences, identities and an unrolled iteration."""

from __future__ import annotations

import numpy as np
import pytest

from numsolve import transport

rng = np.random.default_rng(5)


def problem(n=5, m=7, reg=0.05):
    a, b = rng.random(n) + 0.2, rng.random(m) + 0.2
    return rng.random((n, m)), a / a.sum(), b / b.sum(), reg


def solve(M, a, b, reg):
    return transport.solve(M, a, b, reg, tol=1e-13)


def directions(M, a, b):
    """Random changes of the data that keep the two masses equal."""
    da, db = rng.normal(size=a.size), rng.normal(size=b.size)
    return rng.normal(size=M.shape), da, db + (da.sum() - db.sum()) / b.size


def slope(loss, M, a, b, reg, change, h):
    dM, da, db = change

    def at(t):
        return loss(solve(M + t * dM, a + t * da, b + t * db, reg))

    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


@pytest.mark.parametrize("mass", [1.0, 7.5])
@pytest.mark.parametrize("shape", [(5, 7), (7, 4), (6, 6), (1, 5)])
def test_the_gradient_is_the_slope_of_the_value(shape, mass):
    M, a, b, reg = problem(*shape)
    a, b = mass * a, mass * b
    change = dM, da, db = directions(M, a, b)
    g = solve(M, a, b, reg).gradient()
    expected = np.vdot(g.M, dM) + g.a @ da + g.b @ db
    assert slope(lambda r: r.value, M, a, b, reg, change, 1e-4) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("mass", [1.0, 7.5])
@pytest.mark.parametrize("reg", [0.5, 0.02])
@pytest.mark.parametrize("shape", [(5, 7), (7, 4), (6, 6), (1, 5), (2, 1)])
def test_the_adjoint_is_the_slope_of_a_loss_of_plan_and_potentials(shape, reg, mass):
    M, a, b, _ = problem(*shape)
    a, b = mass * a, mass * b
    change = dM, da, db = directions(M, a, b)
    Q, p, q = rng.normal(size=shape), rng.normal(size=shape[0]), rng.normal(size=shape[1])
    q = q + (p.sum() - q.sum()) / q.size  # the loss must not see the constant between f and g

    def loss(r):
        f, g = r.potentials
        return np.vdot(Q, r.plan) + np.sin(p @ f + q @ g)

    r = solve(M, a, b, reg)
    f, g = r.potentials
    outer = np.cos(p @ f + q @ g)
    d = r.vjp(Q, potentials=(outer * p, outer * q))
    expected = np.vdot(d.M, dM) + d.a @ da + d.b @ db
    assert slope(loss, M, a, b, reg, change, reg * 1e-3) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_the_adjoint_agrees_with_the_pseudoinverse_of_the_optimality_conditions():
    M, a, b, reg = problem(4, 6)
    r = solve(M, a, b, reg)
    P, n = r.plan, a.size
    # dF/d(f, g) of F = (P 1 - a, P' 1 - b), and the plan's own derivative
    J = np.block([[np.diag(P.sum(1)), P], [P.T, np.diag(P.sum(0))]]) / reg
    Q = rng.normal(size=P.shape)
    w = np.concatenate([(P * Q).sum(1), (P * Q).sum(0)]) / reg
    u = np.linalg.pinv(J) @ w
    d = r.vjp(Q)
    shift = d.a[0] - u[0]
    np.testing.assert_allclose(d.a - shift, u[:n], atol=1e-10)
    np.testing.assert_allclose(d.b + shift, u[n:], atol=1e-10)


def test_the_plan_does_not_change_along_potentials_of_the_cost():
    # M + u 1' + 1 v' has the same plan: the derivative in M sums to zero in rows and columns
    M, a, b, reg = problem(8, 5, 0.01)
    d = solve(M, a, b, reg).vjp(rng.normal(size=M.shape))
    np.testing.assert_allclose(d.M.sum(axis=0), 0, atol=1e-11 / reg)
    np.testing.assert_allclose(d.M.sum(axis=1), 0, atol=1e-11 / reg)


def test_the_envelope_is_the_adjoint_of_the_value():
    # value = <P, M> + reg sum P (log P - 1): its derivative in P is M + reg log P = f + g
    M, a, b, reg = problem()
    r = solve(M, a, b, reg)
    f, g = r.potentials
    d, e = r.vjp(f[:, None] + g[None, :]), r.gradient()
    np.testing.assert_allclose(d.M + r.plan, e.M, atol=1e-10)
    np.testing.assert_allclose(d.a - d.a[0], e.a - e.a[0], atol=1e-10)


def test_unrolled_iterations_have_the_same_derivative():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    M, a, b, reg = problem(6, 6, 0.1)
    Q = rng.normal(size=M.shape)

    def unrolled(M, a, b):
        def sweep(_, potentials):
            g = potentials[1]
            f = reg * (jnp.log(a) - jax.scipy.special.logsumexp((g[None, :] - M) / reg, axis=1))
            g = reg * (jnp.log(b) - jax.scipy.special.logsumexp((f[:, None] - M) / reg, axis=0))
            return f, g

        f, g = jax.lax.fori_loop(0, 400, sweep, (jnp.zeros(6), jnp.zeros(6)))
        return jnp.vdot(Q, jnp.exp((f[:, None] + g[None, :] - M) / reg))

    enable = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
    with enable(True) if enable is getattr(jax, "enable_x64", None) else enable():
        theirs = [np.asarray(x) for x in jax.jit(jax.grad(unrolled, argnums=(0, 1, 2)))(M, a, b)]
    ours = solve(M, a, b, reg).vjp(Q)
    np.testing.assert_allclose(ours.M, theirs[0], atol=1e-10)
    for x, y in ((ours.a, theirs[1]), (ours.b, theirs[2])):
        np.testing.assert_allclose(x - x.mean(), y - y.mean(), atol=1e-10)


def test_a_sharp_plan_keeps_its_digits():
    # 2 x 2: P_11 = 1/2 / (1 + exp(-c/eps)), so dP_11/dc is known however small
    c, reg = 1.0, 1 / 30
    r = solve(np.array([[0.0, c], [c, 0.0]]), [0.5, 0.5], [0.5, 0.5], reg)
    x = np.exp(-c / reg)
    d = r.vjp([[1.0, 0.0], [0.0, 0.0]])
    assert d.M[0, 1] + d.M[1, 0] == pytest.approx(0.5 * x / (1 + x) ** 2 / reg, rel=1e-9)


def test_weights_of_zero_take_no_part():
    M, a, b, reg = problem(5, 6)
    Q, p, q = rng.normal(size=(5, 6)), rng.normal(size=5), rng.normal(size=6)
    a[2] = b[4] = 0.0
    p[2] = q[4] = 0.0
    a, b, q = a / a.sum(), b / b.sum(), q + (p.sum() - q.sum()) / 5 * (b > 0)
    d = solve(M, a, b, reg).vjp(Q, potentials=(p, q))
    rows, columns = a > 0, b > 0
    inner = solve(M[rows][:, columns], a[rows], b[columns], reg)
    e = inner.vjp(Q[rows][:, columns], potentials=(p[rows], q[columns]))
    np.testing.assert_allclose(d.M[rows][:, columns], e.M, atol=1e-11)
    assert not d.M[2].any()
    assert np.isnan([d.a[2], d.b[4]]).all()
    np.testing.assert_allclose(np.diff(d.a[rows]), np.diff(e.a), atol=1e-10)


def test_conjugate_gradients_and_factors_agree(monkeypatch):
    M, a, b, reg = problem(30, 40)
    r, Q = solve(M, a, b, reg), rng.normal(size=(30, 40))
    direct = r.vjp(Q)
    monkeypatch.setattr("numsolve.transport._adjoint.DENSE_BELOW", 10)
    iterative = r.vjp(Q)
    np.testing.assert_allclose(iterative.M, direct.M, atol=1e-9)
    np.testing.assert_allclose(np.diff(iterative.b), np.diff(direct.b), atol=1e-9)


BAD = {
    "no plan": ({"plan": None}, {"dP": np.ones((2, 3))}, "return_plan=True"),
    "shape": ({}, {"dP": np.ones((3, 2))}, r"dP must have shape \(2, 3\)"),
    "nan": ({}, {"dP": np.full((2, 3), np.nan)}, "dP must hold finite numbers"),
    "potential": ({}, {"potentials": (np.ones(3), np.ones(3))}, r"potentials\[0\] must have shape"),
    "gauge": ({}, {"potentials": (np.ones(2), np.ones(3))}, "equal sums, got 2 and 3"),
}


@pytest.mark.parametrize(("result", "arguments", "fragment"), BAD.values(), ids=BAD.keys())
def test_what_has_no_derivative_is_refused(result, arguments, fragment):
    r = transport.TransportResult(x=(np.zeros(2), np.zeros(3)), **{"plan": np.ones((2, 3)), **result})
    with pytest.raises(ValueError, match=fragment):
        r.vjp(**arguments)
