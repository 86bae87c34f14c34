"""jaxopt's objectives, projections, proximal operators and optimality functions, taken as they stand.

`from_jaxopt` and `custom_root` give the derivatives that jaxopt's own implicit differentiation gives.
"""

# ruff: noqa: E402 - without JAX the page skips before it imports it
from __future__ import annotations

import functools

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("jaxopt")
import jax.numpy as jnp

from numsolve._core.extras import require
from numsolve.implicit import custom_fixed_point, custom_root, from_jaxopt, root_jvp, root_vjp

jaxopt = require("jaxopt", "the tests")
objective, prox, projection = jaxopt.objective, jaxopt.prox, jaxopt.projection

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((30, 4)), RNG.standard_normal(30)
LABELS = (X @ np.array([1.0, -1.0, 0.5, 0.0]) + 0.5 * RNG.standard_normal(30) > 0).astype(int)
DATA = (X, Y)
TIGHT = {"tol": 1e-13, "maxiter": 20_000}
SIMPLEX = np.full(4, 0.25)


def logistic(w, l2, data):
    return objective.binary_logreg(w, data) + 0.5 * l2 * jnp.sum(w**2)


def quadratic(x, Q, c):
    return 0.5 * x @ Q @ x + c @ x


Q = np.eye(4) + 0.1 * np.ones((4, 4))
QP = {"params_obj": (Q, X[0]), "params_eq": (X[1:3], Y[:2])}

#: name: the solver, its start, the parameter theta, and the arguments that theta makes.
CASES = {
    "ridge": (lambda: jaxopt.GradientDescent(objective.ridge_regression, **TIGHT), np.zeros(4), 0.3,
              lambda t: (t, DATA)),
    "logistic": (lambda: jaxopt.GradientDescent(logistic, **TIGHT), np.zeros(4), 0.3,
                           lambda t: (t, (X, LABELS))),
    "lasso": (lambda: jaxopt.ProximalGradient(objective.least_squares, prox.prox_lasso, **TIGHT),
              np.zeros(4), 0.05, lambda t: (t, DATA)),
    "elastic net": (lambda: jaxopt.ProximalGradient(objective.least_squares, prox.prox_elastic_net, **TIGHT),
                    np.zeros(4), np.array([0.05, 0.7]), lambda t: ((t[0], t[1]), DATA)),
    "blocks": (lambda: jaxopt.BlockCoordinateDescent(objective.least_squares, prox.prox_lasso, **TIGHT),
               np.zeros(4), 0.05, lambda t: (t, DATA)),
    "ball": (lambda: jaxopt.ProjectedGradient(objective.least_squares, projection.projection_l2_ball,
                                              **TIGHT), np.zeros(4), 0.1, lambda t: (t, DATA)),
    "box": (lambda: jaxopt.ProjectedGradient(objective.least_squares, projection.projection_box, **TIGHT),
            np.zeros(4), np.array([-0.05, 0.1]), lambda t: ((t[0], t[1]), DATA)),
    "simplex": (lambda: jaxopt.ProjectedGradient(
        objective.least_squares, projection.projection_simplex, **TIGHT), SIMPLEX, 2.0,
        lambda t: (0.5 * t, (X, Y * t))),
    "equations": (lambda: jaxopt.EqualityConstrainedQP(tol=1e-13), None, 0.5,
                  lambda t: ((Q, t * QP["params_obj"][1]), (QP["params_eq"][0], t * QP["params_eq"][1]))),
    "root": (lambda: jaxopt.Broyden(lambda x, t: x**3 + t * x - jnp.arange(1.0, 5.0), **TIGHT), np.ones(4),
             0.7, lambda t: (t,)),
    "fixed point": (lambda: jaxopt.FixedPointIteration(lambda x, t: 0.4 * jnp.cos(x) + t * jnp.arange(4.0),
                                                       **TIGHT), np.zeros(4), 0.3, lambda t: (t,)),
}  # fmt: skip


def primal(params):
    return getattr(params, "primal", params)


@functools.cache
def solved(name):
    make, start, theta, arguments = CASES[name]
    solver = make()
    run = lambda t: solver.run(start, *arguments(t)).params  # noqa: E731
    return solver, start, theta, arguments, run


@pytest.mark.parametrize("name", CASES)
def test_the_derivative_is_jaxopts(name):
    solver, start, theta, arguments, run = solved(name)
    theirs = jax.jacrev(lambda t: primal(run(t)))(theta)
    ours = from_jaxopt(solver)
    value = primal(ours(start, *arguments(theta)).params)
    np.testing.assert_array_equal(value, primal(run(theta)))
    derivative = jax.jacrev(lambda t: primal(ours(start, *arguments(t)).params))(theta)
    np.testing.assert_allclose(derivative, theirs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["lasso", "ball", "root"])
def test_optimality_fun_serves_every_front(name):
    solver, start, theta, arguments, run = solved(name)
    x, args = run(theta), arguments(theta)
    one = jnp.arange(1.0, 5.0)
    theirs = jaxopt.implicit_diff.root_vjp(
        solver.optimality_fun, x, args, one, solve=jaxopt.linear_solve.solve_lu
    )[0]
    np.testing.assert_allclose(root_vjp(solver.optimality_fun, x, args, one)[0], theirs, atol=1e-8)
    tangents = jax.tree.map(jnp.zeros_like, args)
    tangents = (jnp.ones_like(theta), *tangents[1:])
    forward = root_jvp(solver.optimality_fun, x, args, tangents)
    np.testing.assert_allclose(one @ forward, theirs, atol=1e-8)
    decorated = custom_root(solver.optimality_fun)(lambda start, *args: solver.run(start, *args).params)
    gradient = jax.grad(lambda t: one @ decorated(start, *arguments(t)))(theta)
    np.testing.assert_allclose(gradient, theirs, atol=1e-8)


def test_fixed_point_fun_serves_as_it_does_in_jaxopt():
    _, start, theta, arguments, run = solved("lasso")
    T = lambda x, lam, data: prox.prox_lasso(  # noqa: E731
        x - 0.1 * jax.grad(objective.least_squares)(x, data), 0.1 * lam
    )
    ours = custom_fixed_point(T)(lambda start, lam, data: run(lam))
    theirs = jaxopt.implicit_diff.custom_fixed_point(T)(lambda start, lam, data: run(lam))
    slopes = [jax.jacrev(lambda t, f=f: f(start, *arguments(t)))(theta) for f in (ours, theirs)]
    np.testing.assert_allclose(
        *slopes, atol=1e-3
    )  # jaxopt's linear solver stops at 1e-5 of the normal equations
