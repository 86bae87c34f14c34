"""Derivatives of values, plans and potentials: against differences, identities and an unrolled iteration."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from numsolve import ConvergenceWarning, transport

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


# -- sharp plans -----------------------------------------------------------------------------------


def assignment(n, reg, seed=0):
    M, a, b = transport.problems.random_assignment(n, rng=seed)
    local = np.random.default_rng(seed + 1)
    return M, a, b, local.normal(size=(n, n)), reg * local.normal(size=(n, n))


def difference(loss, h=3e-3):
    return (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) / (12 * h)


@pytest.mark.parametrize("reg", [1e-1, 1e-2, 1e-3, 1e-4, 3e-5, 1e-5, 1e-6])
def test_the_adjoint_of_any_sharpness_is_the_slope(reg):
    """The plan falls into parts from 1e-4 on; plans are solved to 1e-13, and so is the difference."""
    M, a, b, Q, change = assignment(120, reg)
    slope = difference(lambda t: np.vdot(Q, solve(M + t * change, a, b, reg).plan))
    assert np.vdot(solve(M, a, b, reg).vjp(Q).M, change) == pytest.approx(slope, rel=1e-7, abs=3e-10)


@pytest.mark.parametrize("reg", [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
def test_the_adjoint_between_clouds_of_any_sharpness_is_the_slope(reg):
    local = np.random.default_rng(3)
    X, Y = transport.problems.clouds(50, 2, rng=0)
    U, V, change = (local.normal(size=(50, 2)) for _ in range(3))

    def at(t):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # 1e-13 may be below rounding
            return transport.solve_sample(X + t * reg * change, Y, reg=reg, tol=1e-13)

    slope = difference(lambda t: np.vdot(U, at(t).plan @ V))
    found = reg * np.vdot(at(0.0).vjp((U, V)).X_a, change)
    assert found == pytest.approx(slope, rel=1e-7, abs=1e-8)


def test_a_plan_in_parts_has_no_derivative_in_the_weights():
    # to move mass from one pair to another changes the plan by all of it, in any direction
    M, a, b, Q, _ = assignment(60, 1e-6)
    d = solve(M, a, b, 1e-6).vjp(Q)
    assert np.isnan(d.a).all()
    assert np.isnan(d.b).all()
    assert np.isfinite(d.M).all()


def test_weak_exchange_between_parts_is_not_lost():
    """Two blocks that exchange x = 1e-10: the weights' derivative is the exact one, to all its digits.

    P = [[p, x], [x, p]] / 2: by hand, u_1 - u_2 = (Q_11 - Q_22 + Q_12 - Q_21) / 2 for any x.
    """
    x = 1e-10
    P = np.array([[1 - x, x], [x, 1 - x]]) / 2
    Q = rng.normal(size=(2, 2))
    r = transport.TransportResult(x=(np.zeros(2), np.zeros(2)), plan=P, reg=0.1)
    d = r.vjp(Q)
    assert d.a[0] - d.a[1] == pytest.approx((Q[0, 0] - Q[1, 1] + Q[0, 1] - Q[1, 0]) / 2, rel=1e-12)
    curvature = Q[0, 0] + Q[1, 1] - Q[0, 1] - Q[1, 0]
    np.testing.assert_allclose(
        d.M, -(x * (1 - x) / 4 / 0.1) * curvature * np.array([[1, -1], [-1, 1]]), rtol=1e-9
    )


def test_potentials_of_parts_may_be_used_within_a_part_only():
    M, a, b, _, _ = assignment(30, 1e-6)
    r = solve(M, a, b, 1e-6)
    i, j = 4, int(r.plan[4].argmax())
    p, q = np.zeros(30), np.zeros(30)
    p[i], q[j] = 1.0, 1.0  # f_i + g_j = M_ij + reg log(1/30)
    d = r.vjp(potentials=(p, q))
    expected = np.zeros((30, 30))
    expected[i, j] = 1.0
    np.testing.assert_allclose(d.M, expected, atol=1e-9)
    with pytest.raises(np.linalg.LinAlgError, match="falls into parts"):
        r.vjp(potentials=(p, np.roll(q, 1)))


@pytest.mark.parametrize(("reg", "edges"), [(3e-3, 0), (3e-3, 1000), (1e-4, 1000)])
def test_large_sharp_plans_are_solved_part_by_part(reg, edges, monkeypatch):
    M, a, b, Q, _ = assignment(150, reg)
    r = solve(M, a, b, reg)
    whole = r.vjp(Q).M
    for module, name in (("_adjoint", "DENSE_BELOW"), ("_parts", "DENSE_BELOW")):
        monkeypatch.setattr(f"numsolve.transport.{module}.{name}", 20)
    monkeypatch.setattr("numsolve.transport._adjoint.SPARSE_BELOW", 1.0)
    monkeypatch.setattr("numsolve.transport._parts.EDGES_PER_ROW", edges)
    np.testing.assert_allclose(r.vjp(Q).M, whole, atol=1e-9 * np.abs(whole).max())


def test_large_sharp_clouds_are_solved_part_by_part(monkeypatch):
    local = np.random.default_rng(3)
    X, Y = transport.problems.clouds(200, 2, rng=0)
    U, V = local.normal(size=(2, 200, 2))
    r = transport.solve_sample(X, Y, reg=1e-5, tol=1e-8)
    whole = r.vjp((U, V))
    monkeypatch.setattr("numsolve.transport.clouds._adjoint.STORED", 0)
    parts = r.vjp((U, V))
    np.testing.assert_allclose(parts.X_a, whole.X_a, atol=1e-8 * np.abs(whole.X_a).max())
    assert np.isnan(parts.a).all() == np.isnan(whole.a).all()


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
