"""What reaches JAX from outside: failed solvers, other units, complex numbers, solvers without a start."""

# ruff: noqa: E402, N802 - without JAX this file skips before it imports it; F is the name of the paper
from __future__ import annotations

import functools
import pickle
import types
import warnings

import numpy as np
import pytest
import scipy.optimize

jax = pytest.importorskip("jax")
import jax.numpy as jnp

from numsolve import implicit
from numsolve.implicit import custom_root, differentiable, root_vjp, solution_jacobian, solve_host
from numsolve.implicit.traced import _host

A = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [0.5, 0.0, 2.0]])
C = np.array([1.0, 2.0, 4.0])
UNSOLVED = "relative residual of only"


def gradient(**settings):
    """Of c'x, A x = b, in b."""
    solver = custom_root(lambda x, b: A @ x - b, **settings)(lambda _, b: jnp.linalg.solve(A, b))
    return jax.grad(lambda b: C @ solver(None, b))(jnp.ones(3))


# -- the linear solve -------------------------------------------------------------------------------------


def test_symmetry_that_is_only_claimed_does_no_harm():
    assert np.allclose(gradient(symmetric=True), np.linalg.solve(A.T, C), rtol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        {"symmetric": True, "solve": "cg"},
        {"solve": "cholesky"},
        {"solve": lambda _, b: jnp.linalg.solve(1.001 * A.T, b)},
        {"solve": functools.partial(solve_host, sparsity=np.eye(3))},
    ],
    ids=["cg", "cholesky", "a function", "a pattern that lacks entries"],
)
def test_what_is_of_another_matrix_is_noticed(settings):
    with pytest.warns(RuntimeWarning, match=UNSOLVED):
        jax.block_until_ready(gradient(**settings))


@pytest.mark.parametrize(
    "solve",
    [
        functools.partial(solve_host, sparsity=A),
        lambda _, b, transpose=False: jnp.linalg.solve(A.T if transpose else A, b),
    ],
    ids=["pattern", "function"],
)
def test_a_solve_that_knows_the_transpose_is_asked_for_it(solve):
    assert np.allclose(gradient(solve=solve), np.linalg.solve(A.T, C), rtol=1e-12)


@pytest.mark.parametrize(("n", "solve"), [(6, "auto"), (6, "host"), (320, "auto")])
def test_units_of_equations_and_unknowns_do_not_matter(n, solve):
    rng = np.random.default_rng(0)
    units = jnp.asarray(10.0 ** rng.integers(-20, 20, n))
    M = jnp.asarray(np.eye(n) + 0.3 * rng.standard_normal((n, n)) / n**0.5)
    b, c = rng.standard_normal((2, n))
    x = np.linalg.solve(M, b)
    rows = custom_root(lambda x, b: units * (M @ x - b), solve=solve)(lambda _, b: jnp.asarray(x))
    g = jax.jit(jax.grad(lambda b: c @ rows(None, b)))(jnp.asarray(b))
    assert np.allclose(g, np.linalg.solve(M.T, c), rtol=1e-8)
    if n < 10:
        columns = custom_root(lambda x, b: M @ (units * x) - b, solve=solve)(lambda _, b: x / units)
        _, dx = jax.jvp(lambda b: columns(None, b), (jnp.asarray(b),), (jnp.asarray(c),))
        assert np.allclose(units * dx, np.linalg.solve(M, c), rtol=1e-10)


def test_the_fallback_of_singular_systems_is_called_for_these_only(monkeypatch):
    wanted = []
    call_each = _host._call_each

    def counted(matrix, *args, **settings):
        return call_each(lambda data: wanted.append(1) or matrix(data), *args, **settings)

    monkeypatch.setattr(_host, "_call_each", counted)
    solution = custom_root(lambda x, M, b: M @ x - b)(lambda _, M, b: jnp.linalg.pinv(M) @ b)
    batch = np.stack([np.eye(2) * (k + 1) for k in range(6)])
    J = jax.jit(jax.vmap(jax.jacfwd(lambda M, b: solution(None, M, b), argnums=1)))
    assert np.allclose(J(batch, jnp.ones((6, 2))), np.linalg.inv(batch))
    assert not wanted
    batch[3] = [[1.0, 1.0], [1.0, 1.0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the identity is not in the range of a singular matrix
        assert np.allclose(J(batch, jnp.ones((6, 2))), np.linalg.pinv(batch))
    assert len(wanted) == 1


@pytest.mark.parametrize("method", ["dense", "cg", "gmres", "lsmr", "host"])
def test_right_hand_sides_of_nan_are_refused_and_nan_under_jit(method):
    solve = getattr(implicit, f"solve_{method}")
    b = jnp.array([1.0, np.nan])
    with pytest.raises(ValueError, match="b must hold finite numbers, got nan"):
        solve(lambda v: 2 * v, b)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isnan(jax.jit(lambda b: solve(lambda v: 2 * v, b))(b)).all()


# -- the solver -------------------------------------------------------------------------------------------

FAILED = {
    "success": lambda t: scipy.optimize.OptimizeResult(x=0.9 * t, success=False, message="out of steps"),
    "converged": lambda t: scipy.optimize.RootResults(0.9 * t, 1, 1, 1, "newton"),
    "x and converged": lambda t: types.SimpleNamespace(x=0.9 * t, converged=False),
    "nan": lambda t: np.nan * t,
}


@pytest.mark.parametrize("kind", FAILED)
def test_a_solver_that_failed_is_not_differentiated_quietly(kind):
    solver = differentiable(lambda _, t: FAILED[kind](t), lambda x, t: x - t)
    with pytest.warns(RuntimeWarning, match="the solver says that it failed"):
        eager = jax.grad(lambda t: solver(0.0, t))(2.0)
    assert np.isnan(eager) == (kind == "nan")
    with pytest.warns(RuntimeWarning, match="the solver says that it failed"):
        assert np.isnan(jax.jit(jax.grad(lambda t: solver(0.0, t)))(2.0))
    if kind == "success":  # the best iterate is still there
        with pytest.warns(RuntimeWarning, match="out of steps"):
            assert jax.jit(lambda t: solver(0.0, t))(2.0) == 1.8


def test_a_traced_solver_that_gives_nan():
    solver = custom_root(lambda x, t: x - t)(lambda _, t: t * jnp.nan)
    with pytest.warns(RuntimeWarning, match="x is not finite"):
        assert np.isnan(jax.grad(lambda t: solver(0.0, t))(2.0))
    assert np.isnan(jax.jit(jax.grad(lambda t: solver(0.0, t)))(2.0))


def test_solvers_without_a_start_work_by_number_or_name():
    def F(w, t, scale=1.0):
        return w - scale * t**2

    for solver in (lambda t: t**2, lambda t, scale=1.0: scale * t**2):
        wrapped = custom_root(F)(solver)
        assert jax.jit(jax.grad(wrapped))(3.0) == pytest.approx(6.0, rel=1e-14)
    pair = custom_root(lambda x, a, b: x - a * b, argnums=0)(lambda a, b: a * b)
    assert jax.grad(pair, argnums=0)(3.0, 5.0) == 5.0
    assert jax.grad(pair, argnums=1)(3.0, 5.0) == 0.0
    with pytest.raises(TypeError, match="of which the first is the initial point"):
        jax.grad(custom_root(lambda x, a, b: x - a * b)(lambda a: a))(3.0)
    with pytest.raises(TypeError, match="does not take the solver's arguments"):
        jax.grad(custom_root(lambda w, t: w - t)(lambda t, s=1.0: t * s))(3.0)


def test_keywords_that_would_reach_another_argument_are_refused():
    solver = differentiable(lambda x, a, b: np.sqrt(a * b**2) * np.ones(1), lambda x, b, a: x**2 - a * b**2)
    with pytest.raises(TypeError, match="a= is argument 2 of optimality_fun"):
        jax.grad(lambda a: solver(jnp.ones(1), a=a, b=2.0)[0])(4.0)
    solver = differentiable(lambda x, a, b: np.sqrt(a * b**2) * np.ones(1), lambda z, a, b: z**2 - a * b**2)
    assert np.isclose(jax.grad(lambda a: solver(jnp.ones(1), b=2.0, a=a)[0])(4.0), 0.5)
    solver = differentiable(lambda a, b: np.sqrt(a * b**2) * np.ones(1), lambda z, a, b: z**2 - a * b**2)
    assert np.isclose(jax.grad(lambda a: solver(b=2.0, a=a)[0])(4.0), 0.5)


@pytest.mark.parametrize("kind", ["closure", "partial", "nested", "batch", "fixed point"])
def test_an_equation_with_a_differentiated_value_inside_is_refused(kind):
    def loss(t):
        F = {
            "closure": lambda x, u: x**2 - t * u,
            "partial": functools.partial(lambda t, x, u: x**2 - t * u, t),
            "nested": functools.partial(lambda g, x, u: g(x) - u + 1, lambda x: x**2 - t),
            "batch": lambda x, u: x**2 - t * u,
            "fixed point": lambda x, u: (x + t * u / x) / 2,
        }[kind]
        if kind == "fixed point":
            solver = implicit.custom_fixed_point(F, host=True)(lambda x, u: np.full(1, 2.0))
        else:
            solver = differentiable(lambda x, u: np.full(1, 2.0), F)
        return solver(jnp.ones(1), 1.0)[0]

    if kind == "batch":
        one, loss = loss, lambda t: jax.vmap(one)(t * jnp.ones(2)).sum()
    with pytest.raises(TypeError, match="closes over a value that is being differentiated"):
        jax.grad(loss)(4.0)


def test_an_equation_may_close_over_constants():
    def loss(t, data):
        solver = differentiable(lambda x, u: np.sqrt(u) * np.ones(1), lambda x, u: x**2 - u + 0 * data)
        return solver(jnp.ones(1), t)[0]

    assert np.isclose(jax.grad(loss)(4.0, 1.0), 0.25)
    assert np.isclose(jax.jit(jax.grad(loss))(4.0, 1.0), 0.25)
    assert np.isclose(jax.grad(lambda t: loss(t, jax.lax.stop_gradient(t)))(4.0), 0.25)


def test_positions_out_of_range_are_refused():
    solver = custom_root(lambda x, t: x - t, argnums=2)(lambda _, t: t)
    with pytest.raises(
        ValueError, match=r"argnums must be positions .* which are 2 in this call; got \(2,\)"
    ):
        solver(0.0, 1.0)


# -- complex numbers --------------------------------------------------------------------------------------


def test_complex_unknowns_are_pairs_of_real_ones():
    def closed(t):
        return (t - 0.5 * jnp.conj(t)) / 0.75

    def F(z, t):
        return z + 0.5 * jnp.conj(z) - t  # not holomorphic

    solver, point = custom_root(F)(lambda _, t: closed(t)), 1 + 2j
    ours = jax.grad(lambda t: (solver(None, t) ** 2).real)(point)
    assert np.allclose(ours, jax.grad(lambda t: (closed(t) ** 2).real)(point), rtol=1e-13)
    _, pull = jax.vjp(closed, point)
    assert np.allclose(root_vjp(F, closed(point), (point,), jnp.asarray(2 - 1j))[0], pull(2 - 1j + 0j)[0])
    root = custom_root(lambda z, t: z**2 - t)(lambda _, t: jnp.sqrt(t))
    slope = jax.grad(lambda t: root(None, t), holomorphic=True)(point)
    assert np.allclose(slope, 1 / (2 * np.sqrt(point)), rtol=1e-13)


def test_one_real_equation_for_a_complex_unknown_is_refused():
    solver = custom_root(lambda z, t: jnp.abs(z) - t)(lambda _, t: t + 0j)
    with pytest.raises(ValueError, match="a complex number counts as two real ones"):
        jax.jacfwd(lambda t: solver(None, t).real)(2.0)


# -- products of JAX --------------------------------------------------------------------------------------


def test_the_jacobian_by_jax_honours_its_settings():
    def F(x, b):
        return jnp.asarray(A) @ x - jnp.asarray(b)

    x, b = np.linalg.solve(A, C), C
    for settings in ({"sparsity": A}, {"solve": "gmres"}, {"jac_x": A}, {}):
        J = solution_jacobian(F, x, b, **settings)
        assert np.allclose(J @ C, np.linalg.solve(A, C), rtol=1e-9)
        assert np.allclose(J.T @ C, np.linalg.solve(A.T, C), rtol=1e-9)
    with pytest.warns(RuntimeWarning, match=UNSOLVED):
        solution_jacobian(F, x, b, jac_x=1.001 * A).T @ C
    with pytest.warns(RuntimeWarning, match="x is not a solution"):
        solution_jacobian(F, 1.1 * x, b, check=True)


class Model:
    """A decorated method is found by its full name."""

    @custom_root(lambda x, t: x - t)
    def solve(self, t):
        return t


def test_a_solver_in_a_class_pickles_by_its_name():
    assert pickle.loads(pickle.dumps(Model.solve)) is Model.solve


def test_auto_finds_out_whether_a_solver_can_be_traced():
    seen = []

    def numpy_root(x0, t):
        seen.append(type(t))
        return np.sqrt(np.asarray(t))

    def jax_root(x0, t):
        seen.append(type(t))
        return jnp.sqrt(t)

    for solver, outside in ((numpy_root, True), (jax_root, False)):
        solution = differentiable(solver, lambda x, t: x**2 - t, host="auto")
        for derivative in (jax.jacfwd(solution, argnums=1), jax.jit(jax.jacrev(solution, argnums=1))):
            seen.clear()
            assert np.allclose(derivative(jnp.ones(2), jnp.array([4.0, 9.0])), np.diag([1 / 4, 1 / 6]))
            assert (np.ndarray in seen) == outside
    with pytest.raises(TypeError, match="host"):
        differentiable(jax_root, lambda x, t: x**2 - t, host="maybe")
