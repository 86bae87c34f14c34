"""Every condition of the catalogue gives jaxopt's derivative, or the closed form."""

# ruff: noqa: E402, N802 - pages without JAX skip before they import it; F and T are the names of the paper
from __future__ import annotations

from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp
import scipy.optimize

import numsolve
from numsolve._core.extras import require
from numsolve.implicit import (
    custom_fixed_point,
    custom_root,
    differentiable,
    from_jaxopt,
    make_kkt_optimality_fun,
    optimality,
    root_jvp,
    root_vjp,
)

pytest.importorskip("jaxopt")
jaxopt = require("jaxopt", "the tests")

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((40, 6)), RNG.standard_normal(40)
LABELS = np.sign(X @ np.array([1.0, -1.0, 0.5, 0, 0, 0]) + 0.3 * RNG.standard_normal(40))
C = np.arange(1.0, 7.0)


def close(value, reference, tol=1e-10):
    value, reference = np.asarray(value), np.asarray(reference)
    assert np.abs(value - reference).max() <= tol * max(np.abs(reference).max(), 1e-300)


def squares(w, data):
    A, b = data
    return ((A @ w - b) ** 2).mean() / 2


def ridge(w, lam):
    return squares(w, (X, Y)) + lam * (w**2).sum() / 2


def logistic(w, lam):
    return jnp.logaddexp(0, -LABELS * (X @ w)).mean() + lam * (w**2).sum() / 2


@pytest.mark.parametrize("objective", [ridge, logistic])
def test_stationary_points(objective):
    F = optimality.stationary(objective)
    w = jnp.zeros(6)
    for _ in range(8):
        w = w - jnp.linalg.solve(jax.hessian(objective)(w, 0.3), F(w, 0.3))
    ours = root_vjp(F, jnp.asarray(w), (0.3,), C, symmetric=True)
    theirs = jaxopt.implicit_diff.root_vjp(F, w, (0.3,), C, solve=jaxopt.linear_solve.solve_lu)
    close(ours[0], theirs[0])
    forward = jaxopt.implicit_diff.root_jvp(F, w, (0.3,), (1.0,), solve=jaxopt.linear_solve.solve_lu)
    close(root_jvp(F, jnp.asarray(w), (0.3,), (1.0,)), forward)


def lasso(lam):
    solver = jaxopt.ProximalGradient(squares, jaxopt.prox.prox_lasso, tol=1e-14, maxiter=5000)
    return solver.run(jnp.zeros(6), lam, (X, Y)).params


def test_lasso_by_its_closed_form_and_by_jaxopt():
    lam = 0.15
    w = lasso(lam)
    support = np.flatnonzero(w)
    assert 0 < support.size < 6
    slope = np.zeros(6)
    XS = X[:, support]
    slope[support] = -np.linalg.solve(XS.T @ XS / 40, np.sign(w[support]))
    for stepsize in (0.3, 1.0):
        T = optimality.proximal_gradient(squares, jaxopt.prox.prox_lasso, stepsize=stepsize)
        solution = custom_fixed_point(T)(lambda init, lam, data: lasso(lam))
        value = jax.jacfwd(lambda lam: solution(jnp.zeros(6), lam, (X, Y)))(lam)  # noqa: B023
        close(value, slope)
    run = from_jaxopt(jaxopt.ProximalGradient(squares, jaxopt.prox.prox_lasso, tol=1e-14, maxiter=5000))
    close(jax.jacrev(lambda lam: run(jnp.zeros(6), lam, (X, Y)).params)(lam), slope)


def test_projected_gradient_on_the_simplex_and_mirror_descent_agree():
    A = RNG.standard_normal((6, 6))
    Q = jnp.asarray(A @ A.T + np.eye(6))

    def energy(x, theta):
        return x @ Q @ x / 2 - theta @ x

    solver = jaxopt.ProjectedGradient(energy, jaxopt.projection.projection_simplex, tol=1e-14, maxiter=3000)
    theta = jnp.full(6, 2.0) + 0.1 * C
    x = solver.run(jnp.full(6, 1 / 6), 1.0, theta).params
    T = optimality.projected_gradient(energy, jaxopt.projection.projection_simplex)
    ours = custom_fixed_point(T)(lambda init, value, theta: x)
    J = jax.jacrev(lambda theta: ours(x, 1.0, theta))(theta)
    # on the support S: the inverse KKT matrix of min x'Qx/2 - theta'x with sum x = 1
    S = np.flatnonzero(np.asarray(x) > 1e-9)
    K = np.block(
        [[np.asarray(Q)[np.ix_(S, S)], np.ones((S.size, 1))], [np.ones((1, S.size)), np.zeros((1, 1))]]
    )
    exact = np.zeros((6, 6))
    exact[np.ix_(S, S)] = np.linalg.inv(K)[:-1, :-1]
    close(J, exact)

    def entropic(x, theta):
        return energy(x, theta) + 5 * (x * jnp.log(x)).sum()

    M = optimality.mirror_descent(entropic, lambda y, _: jax.nn.softmax(y), jnp.log, stepsize=0.1)
    point = jax.lax.fori_loop(0, 2000, lambda _, x: M(x, None, theta), jnp.full(6, 1 / 6))
    by_mirror = custom_fixed_point(M)(lambda init, _, theta: point)
    F = optimality.kkt(entropic, eq=lambda x, theta: x.sum() - 1)
    nu = -jax.grad(entropic)(point, theta)[0]
    dx, _, _ = root_jvp(F, (point, nu, None), (theta,), (C,))
    close(jax.jvp(lambda theta: by_mirror(point, None, theta), (theta,), (C,))[1], dx)


def test_blocks_may_have_steps_of_their_own():
    steps = np.array([0.1, 0.3, 0.2, 0.7, 1.0, 0.5])
    lam, w = 0.15, lasso(0.15)

    def fun(W, data):
        return squares(W[:, 0], data)

    T = optimality.block_proximal_gradient(fun, jaxopt.prox.prox_lasso, stepsizes=steps)
    solution = custom_fixed_point(T)(lambda init, lam, data: w[:, None])
    J = jax.jacfwd(lambda lam: solution(w[:, None], lam, (X, Y))[:, 0])(lam)
    plain = optimality.proximal_gradient(squares, jaxopt.prox.prox_lasso)
    close(J, root_jvp(lambda w, lam: plain(w, lam, (X, Y)) - w, w, (lam,), (1.0,)))


def test_newtons_fixed_point_has_the_derivative_of_the_equation():
    def G(x, theta):
        return x**3 + theta * x - 1

    x = jnp.asarray(scipy.optimize.root(lambda x: x**3 + 2 * x - 1, np.ones(1), tol=1e-15).x)
    T = optimality.newton(G, stepsize=0.7)
    value = root_jvp(lambda x, theta: T(x, theta) - x, x, (2.0,), (1.0,))
    close(value, -x / (3 * x**2 + 2))


def quadratic_program():
    A = RNG.standard_normal((4, 4))
    Q, c = A @ A.T + np.eye(4), RNG.standard_normal(4)
    E, d, G, h = np.ones((1, 4)), np.ones(1), -np.eye(4), np.zeros(4)
    x = jaxopt.OSQP(tol=1e-12, maxiter=20000).run(None, (Q, c), (E, d), (G, h)).params
    return Q, c, E, d, G, h, (x.primal, x.dual_eq, x.dual_ineq)


def test_quadratic_program_as_jaxopt_has_it():
    Q, c, E, d, G, h, (x, nu, lam) = quadratic_program()
    active = np.flatnonzero(np.asarray(lam) > 1e-6)
    K = np.block(
        [
            [Q, E.T, G[active].T],
            [E, np.zeros((1, 1 + active.size))],
            [G[active], np.zeros((active.size, 1 + active.size))],
        ]
    )
    polished = np.linalg.solve(K, np.concatenate([-c, d, h[active]]))
    x, nu = jnp.asarray(polished[:4]), jnp.asarray(polished[4:5])
    lam = jnp.zeros(4).at[active].set(polished[5:])

    def obj(x, p):
        return x @ p[0] @ x / 2 + p[1] @ x

    def eq(x, p):
        return p[0] @ x - p[1]

    kkt_solution = require("jaxopt._src.base", "the tests").KKTSolution
    theirs = require("jaxopt._src.implicit_diff", "the tests").make_kkt_optimality_fun(obj, eq, eq)
    ours = make_kkt_optimality_fun(obj, eq, eq)
    args, c_x = ((Q, c), (E, d), (G, h)), (jnp.arange(1.0, 5.0), jnp.zeros(1), jnp.zeros(4))
    reference = jaxopt.implicit_diff.root_vjp(
        theirs,
        kkt_solution(x, nu, lam),
        args,
        kkt_solution(*c_x),
        solve=partial(jaxopt.linear_solve.solve_gmres, tol=1e-14),
    )
    value = root_vjp(ours, (x, nu, lam), args, c_x)
    for one, other in zip(jax.tree.leaves(value), jax.tree.leaves(reference), strict=True):
        close(one, other)
    # the active rows alone: the inverse of the bordered matrix
    close(value[0][1], -np.linalg.inv(K)[:4, :4] @ np.arange(1.0, 5.0))


def test_cone_program():
    A, b, c = (
        np.array([[1.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]),
        np.array([4.0, 0.0, 0.0]),
        np.array([-1.0, -2.0]),
    )
    lp = scipy.optimize.linprog(c, A_ub=A, b_ub=b, bounds=(None, None))
    v = -lp.ineqlin.marginals - lp.slack
    F = optimality.conic_residual(lambda v: jnp.maximum(v, 0))
    z = (jnp.asarray(lp.x), jnp.asarray(v))
    assert max(float(jnp.abs(r).max()) for r in F(z, A, b, c)) < 1e-12
    J = jax.jacfwd(lambda b: custom_root(F)(lambda init, A, b, c: z)(z, A, b, c)[0])(jnp.asarray(b))
    active = np.flatnonzero(lp.slack < 1e-9)
    exact = np.zeros((2, 3))
    exact[:, active] = np.linalg.inv(A[active])
    close(J, exact)


def test_eigenpairs_to_second_order():
    n = 12
    rng = np.random.default_rng(1)
    A = np.diag(rng.random(n)) + np.diag(np.full(n - 1, -1.0), 1) + np.diag(np.full(n - 1, -1.0), -1)

    def lowest(_, A):
        values, vectors = np.linalg.eigh(A)
        return vectors[:, 0], values[0]

    struct = (jax.ShapeDtypeStruct((n,), float), jax.ShapeDtypeStruct((), float))
    pair = differentiable(lowest, optimality.eigenpair, symmetric=True, result_shape=struct)

    def energy(V):
        return pair(None, A + jnp.diag(V))[1]

    V = jnp.asarray(rng.random(n))
    values, U = np.linalg.eigh(A + np.diag(V))
    close(jax.jit(jax.grad(energy))(V), U[:, 0] ** 2, 1e-14)
    W = U[:, :1] * U[:, 1:]
    close(jax.jit(jax.hessian(energy))(V), 2 * (W / (values[0] - values[1:])) @ W.T, 1e-12)


def test_linear_systems_in_the_matrix_and_the_right_hand_side():
    A, b, c = RNG.standard_normal((5, 5)) + 4 * np.eye(5), RNG.standard_normal(5), RNG.standard_normal(5)
    x = np.linalg.solve(A, b)
    u = np.linalg.solve(A.T, c)
    for point in (x, jnp.asarray(x)):
        dA, db = root_vjp(optimality.linear_system, point, (A, b), c)
        close(dA, -np.outer(u, x), 1e-13)
        close(db, u, 1e-13)


def test_projections_of_jaxopt_differentiate_as_their_own_conditions():
    """The projection on the simplex by its KKT conditions is jaxopt's derivative of the same projection."""
    y = jnp.array([0.3, 1.2, -0.5, 0.6])
    x = jaxopt.projection.projection_simplex(y)
    lam = jnp.maximum(0.0, x - y - (x - y)[x > 0].mean())
    nu = -(x - y)[1]
    F = optimality.kkt(
        lambda x, y: ((x - y) ** 2).sum() / 2, eq=lambda x, y: x.sum() - 1, ineq=lambda x, y: -x
    )
    dx, *_ = root_jvp(F, (x, nu, lam), (y,), (jnp.arange(4.0),))
    close(dx, jax.jvp(jaxopt.projection.projection_simplex, (y,), (jnp.arange(4.0),))[1])
    ball = jaxopt.projection.projection_l2_ball
    T = optimality.projected_gradient(lambda x, y: ((x - y) ** 2).sum() / 2, ball, stepsize=0.5)
    solution = custom_fixed_point(T)(lambda init, radius, y: ball(y, radius))
    value = jax.jacrev(lambda r, y: solution(y, r, y), argnums=(0, 1))(0.8, y)
    reference = jax.jacrev(lambda r, y: ball(y, r), argnums=(0, 1))(0.8, y)
    for one, other in zip(value, reference, strict=True):
        close(one, other)


def test_support_vector_machine_as_jaxopt_has_it():
    from numsolve.implicit import problems

    data, classes = map(jnp.asarray, problems.classes(30, 8, 3, rng=0))

    def dual(beta, lam):
        return ((data.T @ (classes - beta)) ** 2).sum() / (2 * lam) + jnp.vdot(beta, classes)

    def projection(beta, _):
        return jax.vmap(jaxopt.projection.projection_simplex)(beta)

    solver = jaxopt.ProjectedGradient(dual, projection, tol=1e-13, maxiter=5000)
    start = jnp.full((30, 3), 1 / 3)
    run = from_jaxopt(solver)
    value = jax.grad(lambda lam: (run(start, None, lam).params ** 2).sum())(2.0)
    beta = solver.run(start, None, 2.0).params
    _, reference = jaxopt.implicit_diff.root_vjp(
        solver.optimality_fun, beta, (None, 2.0), 2 * beta, solve=jaxopt.linear_solve.solve_lu
    )
    assert abs(float(value)) > 0.1
    close(value, reference)


def test_jaxopt_solvers_get_hessians():
    run = from_jaxopt(jaxopt.LBFGS(ridge, tol=1e-12, maxiter=500), symmetric=True)
    H = X.T @ X / 40 + 0.3 * np.eye(6)
    w = np.linalg.solve(H, X.T @ Y / 40)
    value = jax.hessian(lambda lam: C @ run(jnp.zeros(6), lam).params)(0.3)
    close(value, 2 * C @ np.linalg.solve(H, np.linalg.solve(H, w)), 1e-9)
    out = run(jnp.zeros(6), lam=0.3)
    assert isinstance(out, jaxopt.OptStep)
    assert int(out.state.iter_num) > 0


def test_there_is_one_condition_of_linear_systems():
    assert numsolve.linear.optimality.linear_system is optimality.linear_system


def chain(x, k):
    """A + A <-> B <-> C, of which A + 2 B + 2 C is conserved."""
    xp = np if isinstance(x, np.ndarray) else jnp
    pairs, opens = k[0] * x[0] ** 2 - k[1] * x[1], k[2] * x[1] - k[3] * x[2]
    return xp.stack([-2 * pairs, pairs - opens, opens])


@pytest.mark.parametrize("unit", [1.0, 1e17])
@pytest.mark.parametrize("rows", [None, [0], [2]])
def test_steady_states_with_conserved_totals(unit, rows):
    k = np.array([2.0 / unit, 0.5, 3.0, 1.0])
    W, a = np.array([[1.0, 2.0, 2.0]]), 0.3 * unit
    b = k[0] * a**2 / k[1]
    x = np.array([a, b, k[2] * b / k[3]])
    da = 1 / (1 + 4 * (1 + k[2] / k[3]) * b / a)  # of a + 2 (1 + k2/k3) (k0/k1) a^2 = total
    dx = np.array([da, 2 * b / a * da, 2 * x[2] / a * da])
    G = optimality.conserved(chain, W, rows=rows)
    close(root_jvp(G, x, (W @ x, k), (np.ones(1), np.zeros(4))), dx, 1e-13)
    change = root_jvp(G, x, (W @ x, k), (np.zeros(1), np.array([0.0, 0.0, 1.0, 0.0])))
    assert abs(W @ change) <= 1e-14 * (W @ abs(change))
    solution = custom_fixed_point(lambda x, t: x + G(x, t, jnp.asarray(k)))(
        lambda _, t: jnp.asarray(x) + 0 * t[0]
    )
    close(jax.jacfwd(lambda t: solution(None, t))(jnp.asarray(W @ x))[:, 0], dx, 1e-13)


def test_conserved_totals_that_are_none_are_refused():
    for weights, rows, message in (
        ([[1.0, 2.0], [2.0, 4.0]], None, "independent"),
        ([[0.0, 0.0]], None, "independent"),
        (np.ones((3, 2)), None, "independent"),
        (np.eye(2), [0, 0], "2 different equations of 2"),
        (np.eye(2), [0, 2], "2 different equations of 2"),
    ):
        with pytest.raises(ValueError, match=message):
            optimality.conserved(chain, weights, rows=rows)


def test_weights_that_are_not_conserved_are_refused_where_they_are_used():
    def rates(x, k):
        f, g = k * x[0] * x[1] - x[2], x[2] - 2 * x[3]
        return np.stack([-f, -f, f - g, g])

    x, W = np.array([0.5, 0.5, 0.75, 0.375]), np.array([[1.0, 0, 1, 1], [0, 1, 1, 1]])
    dx = root_jvp(optimality.conserved(rates, W), x, (W @ x, 3.0), (np.array([1.0, 0]), 0.0))
    assert np.allclose(W @ dx, [1, 0])
    W[0, 1] = 1.0
    with pytest.raises(ValueError, match=r"weights\[0\] must be conserved"):
        root_jvp(optimality.conserved(rates, W), x, (W @ x, 3.0), (np.array([1.0, 0]), 0.0))
    with pytest.raises(ValueError, match=r"x must have shape \(3,\)"):
        root_jvp(optimality.conserved(rates, np.ones((1, 3))), x, (np.ones(1), 3.0), (np.ones(1), 0.0))


def test_data_in_single_precision_are_computed_with_in_double():
    rng = np.random.default_rng(0)
    A = (rng.standard_normal((5, 5)) + 5 * np.eye(5)).astype(np.float32)
    b, c = rng.standard_normal((2, 5))
    x = np.linalg.solve(A.astype(float), b)
    _, db = root_vjp(optimality.linear_system, x, (A, b), c)
    assert np.allclose(db, np.linalg.solve(A.T.astype(float), c), rtol=1e-12)
    with pytest.raises(TypeError, match=r"args has a numpy\.matrix"):
        root_vjp(optimality.linear_system, x, (A.view(np.matrix), b), c)
