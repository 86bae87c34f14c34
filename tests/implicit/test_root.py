"""Derivatives of every order and mode, through a solver that JAX cannot see."""

# ruff: noqa: B023, E402, E501, N802, PT031 - pages without JAX skip before they import it; F and T are the names of the paper
from __future__ import annotations

import copy
import inspect
import os
import pickle
import subprocess
import sys
import warnings
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp
import scipy.integrate
import scipy.optimize

from numsolve import ConvergenceWarning, Result
from numsolve.implicit import (
    _direct,
    custom_fixed_point,
    custom_root,
    differentiable,
    root_jvp,
    root_vjp,
    solution_jacobian,
    solve_host,
)
from numsolve.implicit.traced import _host
from numsolve.implicit.traced._factors import Store

LAM = 0.7


def relative(value, reference):
    value, reference = np.asarray(value), np.asarray(reference)
    return np.abs(value - reference).max() / np.abs(reference).max()


@pytest.fixture
def through(ridge):
    """lam -> w, solved on the host."""

    def make(solve="auto", symmetric=False, **settings):
        wrapped = differentiable(ridge.solve, ridge.gradient, solve=solve, symmetric=symmetric, **settings)
        return lambda lam: wrapped(jnp.zeros(5), lam)

    return make


MODES = {
    "grad": (jax.grad, 1),
    "jit(grad)": (lambda f: jax.jit(jax.grad(f)), 1),
    "jacfwd": (jax.jacfwd, 1),
    "jacrev": (jax.jacrev, 1),
    "hessian": (jax.hessian, 2),
    "grad of grad": (lambda f: jax.grad(jax.grad(f)), 2),
    "jacrev of jacfwd": (lambda f: jax.jacrev(jax.jacfwd(f)), 2),
    "third, reverse": (lambda f: jax.grad(jax.grad(jax.grad(f))), 3),
    "third, mixed": (lambda f: jax.jit(jax.jacfwd(jax.jacrev(jax.jacfwd(f)))), 3),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_and_order_is_exact(mode, through, ridge):
    operator, order = MODES[mode]
    c = jnp.arange(1.0, 6.0)
    solution = through()
    value = operator(lambda lam: c @ solution(lam))(jnp.asarray(LAM))
    assert relative(value, c @ ridge.derivatives(LAM)[order]) < 1e-12


def block_matrix(a, xp):
    """A (u, v) = (a u + v (1, 2, 3), sum u + a^2 v)."""
    columns = [*(xp.append(row, 1.0) for row in a * xp.eye(3)), xp.append(xp.arange(1.0, 4.0), a**2)]
    return xp.stack(columns, axis=1)


def block_residual(x, theta):
    a, b = theta["a"], theta["b"]
    u = x["u"] * a + x["v"] * jnp.arange(1.0, 4.0) - b
    return {"u": u, "v": x["u"].sum() + a**2 * x["v"] - 1}


def block_solver(xp):
    def solve(_, theta):
        z = xp.linalg.solve(block_matrix(theta["a"], xp), xp.append(theta["b"], 1.0))
        return {"u": z[:3], "v": z[3]}

    return solve


@pytest.mark.parametrize("mode", [*MODES, "jit(vmap(hessian))"])
def test_every_mode_and_order_of_nested_solutions_and_parameters(mode):
    on_host = differentiable(block_solver(np), block_residual)
    start = {"u": jnp.zeros(3), "v": jnp.array(0.0)}
    direction = jnp.array([1.0, -2.0, 0.5])

    def loss(solver, a):
        x = solver(start, {"a": a, "b": a * direction})
        return jnp.sin(x["u"]).sum() + x["v"] ** 2

    point = jnp.array(3.0)
    operator, _ = MODES.get(mode, (lambda f: jax.jit(jax.vmap(jax.hessian(f))), 2))
    point = jnp.array([2.0, 3.0, 5.0]) if mode not in MODES else point
    value = operator(partial(loss, on_host))(point)
    assert relative(value, operator(partial(loss, block_solver(jnp)))(point)) < 1e-12


def test_minimizers_of_scipy_have_derivatives():
    def valley(x, t):
        return 10 * ((x[1:] - x[:-1] ** 2) ** 2).sum() + ((x - t) ** 2).sum()

    slope = jax.jit(jax.grad(valley))
    t = jnp.array([1.0, 0.8, 0.9])

    def minimize(x, t):
        def gradient(x):  # by hand: JAX must not be called from here
            step = x[1:] - x[:-1] ** 2
            out = 2 * (x - t)
            out[1:] += 20 * step
            out[:-1] -= 40 * step * x[:-1]
            return out

        return scipy.optimize.minimize(valley, x, args=(t,), jac=lambda x, _: gradient(x), tol=1e-7)

    solution = differentiable(minimize, jax.grad(valley), symmetric=True)
    x = solution(t, t)
    J = jax.jit(jax.jacfwd(solution, argnums=1))(t, t)
    assert np.abs(slope(x, t)).max() < 1e-6
    assert relative(J, 2 * np.linalg.inv(jax.hessian(valley)(x, t))) < 1e-10


def test_boundary_value_problems_of_scipy_have_derivatives():
    """y'' = -theta exp(y), y = 0 at 0 and 1: y(1/2) = 2 log cosh(c / 2), theta = 2 c^2 / cosh^2(c / 2)."""
    nodes = np.linspace(0, 1, 81)
    h = nodes[1]

    def solve(y, theta):
        def slope(_, y):
            return np.stack([y[1], -theta * np.exp(y[0])])

        def ends(left, right):
            return np.array([left[0], right[0]])

        return scipy.integrate.solve_bvp(slope, ends, nodes, y, tol=1e-9, max_nodes=20000).sol(nodes)

    def collocation(y, theta):
        def slope(y):
            return jnp.stack([y[1], -theta * jnp.exp(y[0])])

        left, right = y[:, :-1], y[:, 1:]
        middle = (left + right) / 2 + h / 8 * (slope(left) - slope(right))
        defect = right - left - h / 6 * (slope(left) + 4 * slope(middle) + slope(right))
        return jnp.concatenate([defect, jnp.stack([y[0, :1], y[0, -1:]])], axis=1)

    solution = differentiable(solve, collocation)
    c = scipy.optimize.brentq(lambda c: 2 * c**2 / np.cosh(c / 2) ** 2 - 1, 0.1, 1.5)
    slope = jax.jit(jax.grad(lambda theta: solution(jnp.zeros((2, 81)), theta)[0, 40]))(1.0)
    dtheta_dc = 4 * c / np.cosh(c / 2) ** 2 - 2 * c**2 * np.tanh(c / 2) / np.cosh(c / 2) ** 2
    assert relative(slope, np.tanh(c / 2) / dtheta_dc) < 1e-7


def test_a_solution_that_nobody_needs_is_not_computed():
    calls = []
    solution = differentiable(lambda x, t: calls.append(1) or t, lambda x, t: x - t)
    assert np.all(jax.jit(lambda t: (solution(t, t), 2 * t)[1])(jnp.ones(2)) == 2)
    assert not calls


@pytest.mark.parametrize(("method", "count"), [("sequential", 3), ("expand_dims", 1)])
def test_batched_hessians_under_jit(method, count, ridge):
    c, lams, calls = jnp.arange(1.0, 6.0), jnp.array([0.1, 0.7, 3.0]), []

    def solve(init, lam):
        calls.append(np.shape(lam))
        if np.ndim(lam) == 0:
            return ridge.solve(None, lam)
        return np.stack([ridge.solve(None, one) for one in lam])

    solution = differentiable(solve, ridge.gradient, vmap_method=method)
    value = jax.jit(jax.vmap(jax.hessian(lambda lam: c @ solution(jnp.zeros(5), lam))))(lams)
    assert relative(value, [c @ ridge.derivatives(float(lam))[2] for lam in lams]) < 1e-12
    assert len(calls) == count


@pytest.mark.parametrize(
    ("solve", "symmetric"),
    [
        ("cg", True),
        ("cholesky", True),
        ("gmres", False),
        ("bicgstab", False),
        ("lsmr", False),
        ("host", False),
    ],
)
def test_every_linear_solver_serves_the_second_derivative(solve, symmetric, through, ridge):
    c = jnp.arange(1.0, 6.0)
    value = jax.jit(jax.hessian(lambda lam: c @ through(solve, symmetric)(lam)))(jnp.asarray(LAM))
    assert relative(value, c @ ridge.derivatives(LAM)[2]) < 1e-9


def test_a_solve_of_the_user_as_in_jaxopt(ridge):
    def solve(matvec, b):
        return jnp.linalg.solve(jax.vmap(matvec, out_axes=1)(jnp.eye(5)), b)

    solution = differentiable(ridge.solve, ridge.gradient, solve=solve)
    value = jax.jacfwd(solution, argnums=1)(jnp.zeros(5), LAM)
    assert relative(value, ridge.derivatives(LAM)[1]) < 1e-12


def test_unsymmetric_systems_are_transposed_rightly():
    A = jnp.array([[1.0, 2.0, 0.0], [0.0, 3.0, 1.0], [-1.0, 0.5, 2.0]])
    solution = differentiable(lambda _, A, b: np.linalg.solve(A, b), lambda x, A, b: A @ x - b)
    b, c = jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, -1.0, 2.0])
    grads = jax.grad(lambda A, b: c @ solution(b, A, b), argnums=(0, 1))(A, b)
    u, x = np.linalg.solve(A.T, c), np.linalg.solve(A, b)
    assert relative(grads[1], u) < 1e-14
    assert relative(grads[0], -np.outer(u, x)) < 1e-14


def test_a_traced_solver_is_not_unrolled(ridge):
    steps = []

    @custom_root(ridge.gradient)
    def descend(w, lam):
        steps.append(1)
        return jax.lax.fori_loop(0, 2000, lambda _, w: w - 0.3 * ridge.gradient(w, lam), w)

    value = jax.hessian(lambda lam: descend(jnp.zeros(5), lam).sum())(LAM)
    assert relative(value, ridge.derivatives(LAM)[2].sum()) < 1e-12


def test_fixed_point_of_a_pytree():
    def T(x, theta):
        return {"a": 0.5 * x["b"] + theta["p"], "b": 0.25 * x["a"] + theta["q"]}

    @custom_fixed_point(T)
    def solve(x, theta):
        return jax.lax.fori_loop(0, 80, lambda _, x: T(x, theta), x)

    theta = {"p": jnp.array(1.0), "q": jnp.array(2.0)}
    jac = jax.jacrev(lambda theta: solve({"a": jnp.array(0.0), "b": jnp.array(0.0)}, theta)["a"])(theta)
    # a = (p + q / 2) / (1 - 1/8)
    assert relative(jac["p"], 8 / 7) < 1e-13
    assert relative(jac["q"], 4 / 7) < 1e-13


def test_aux_goes_through_and_has_no_derivative(ridge):
    def solve(w, lam):
        return ridge.solve(w, lam), {"steps": np.int32(3), "energy": np.float64(2.0)}

    shape = (
        jax.ShapeDtypeStruct((5,), float),
        {"steps": jax.ShapeDtypeStruct((), jnp.int32), "energy": jax.ShapeDtypeStruct((), float)},
    )
    solution = differentiable(solve, ridge.gradient, has_aux=True, result_shape=shape)

    def loss(lam):
        w, aux = solution(None, lam)
        return w.sum() + aux["energy"], aux

    for function in (jax.grad(loss, has_aux=True), jax.jit(jax.grad(loss, has_aux=True))):
        value, aux = function(LAM)
        assert relative(value, ridge.derivatives(LAM)[1].sum()) < 1e-13
        assert int(aux["steps"]) == 3
    eager = differentiable(solve, ridge.gradient, has_aux=True)
    assert relative(jax.jacfwd(lambda lam: eager(None, lam)[0])(LAM), ridge.derivatives(LAM)[1]) < 1e-13


def test_the_initial_point_has_derivative_zero(ridge):
    solution = differentiable(ridge.solve, ridge.gradient)
    assert np.all(jax.grad(lambda w: solution(w, LAM).sum())(jnp.ones(5)) == 0)


def test_argnums_leave_the_rest_constant():
    solution = differentiable(lambda x, a, b: b / a, lambda x, a, b: a * x - b, argnums=2)
    grads = jax.grad(lambda a, b: solution(b, a, b).sum(), argnums=(0, 1))(jnp.full(2, 4.0), jnp.ones(2))
    assert np.all(grads[0] == 0)
    assert np.allclose(grads[1], 0.25, rtol=1e-14)


def test_keywords_defaults_and_static_arguments(ridge):
    seen = []

    def solve(w, lam, *, mode="direct", sizes=(1, 2)):
        seen.append((mode, sizes, type(lam)))
        return ridge.solve(w, lam)

    def F(w, lam, mode, sizes):
        assert mode == "direct"
        return ridge.gradient(w, lam)

    for call in (
        lambda s, lam: s(jnp.zeros(5), lam),
        lambda s, lam: s(jnp.zeros(5), lam=lam),
        lambda s, lam: s(jnp.zeros(5), lam, mode="direct"),
    ):
        value = jax.jit(jax.grad(lambda lam: call(differentiable(solve, F), lam).sum()))(LAM)
        assert relative(value, ridge.derivatives(LAM)[1].sum()) < 1e-13
    assert set(seen) == {("direct", (1, 2), np.ndarray)}


def test_reference_signature_gives_keywords_their_positions(ridge):
    def F(*everything):
        w, lam = everything
        return ridge.gradient(w, lam)

    for reference in (lambda w, lam: None, inspect.signature(lambda w, lam: None)):
        solution = differentiable(lambda w, **kw: ridge.solve(w, kw["lam"]), F, reference_signature=reference)
        value = jax.grad(lambda lam: solution(jnp.zeros(5), lam=lam).sum())(LAM)
        assert relative(value, ridge.derivatives(LAM)[1].sum()) < 1e-13


def test_catch_all_keywords_are_allowed(ridge):
    solution = differentiable(
        lambda w, **kw: ridge.solve(w, kw["lam"]), lambda w, **kw: ridge.gradient(w, kw["lam"])
    )
    assert (
        relative(
            jax.grad(lambda lam: solution(jnp.zeros(5), lam=lam).sum())(LAM), ridge.derivatives(LAM)[1].sum()
        )
        < 1e-13
    )


def test_shapes_come_from_result_shape_or_its_function(ridge):
    struct = jax.ShapeDtypeStruct((5,), float)
    for shape in (struct, lambda init, lam: jax.ShapeDtypeStruct((5,), lam.dtype)):
        solution = differentiable(ridge.solve, ridge.gradient, result_shape=shape)
        value = jax.jit(jax.grad(lambda lam: solution(None, lam).sum()))(LAM)
        assert relative(value, ridge.derivatives(LAM)[1].sum()) < 1e-13


def test_results_of_scipy_and_numsolve_stand_for_their_x():
    def F(x, theta):
        return x**3 + theta * x - 1

    def scipys(x, theta):
        return scipy.optimize.root(lambda x: x**3 + theta * x - 1, x, tol=1e-13)

    def ours(x, theta):
        return Result(x=scipys(x, theta).x)

    for solver in (scipys, ours):
        solution = differentiable(solver, F)
        x = float(solution(jnp.ones(1), 2.0)[0])
        slope = jax.jit(jax.grad(lambda theta: solution(jnp.ones(1), theta)[0]))(2.0)
        assert relative(slope, -x / (3 * x**2 + 2)) < 1e-12


def test_the_host_gets_writable_numpy_arrays(ridge):
    def solve(w, lam):
        assert type(w) is np.ndarray
        assert type(lam) is np.ndarray
        w[:] = ridge.solve(None, lam)
        return w

    solution = differentiable(solve, ridge.gradient)
    assert relative(jax.jit(lambda lam: solution(jnp.zeros(5), lam))(LAM), ridge.solve(None, LAM)) < 1e-14


def test_an_exception_on_the_host_reaches_the_user():
    def fails(x, theta):
        raise RuntimeError("the mesh is tangled")

    solution = differentiable(fails, lambda x, theta: x - theta)
    with pytest.raises(RuntimeError, match="the mesh is tangled"):
        solution(jnp.zeros(2), 1.0)
    with pytest.raises(Exception, match="the mesh is tangled"):
        jax.block_until_ready(jax.jit(solution)(jnp.zeros(2), 1.0))


ON_ONE_CORE = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax, jax.numpy as jnp
from numsolve.implicit import differentiable

n = 300_000
solution = differentiable(lambda x, t: 2 * t, lambda x, t: x - 2 * t)
gradient = jax.jit(jax.grad(lambda t: solution(t, t + 1).sum()))
for _ in range(5):
    assert (gradient(jnp.ones(n)) == 2).all()
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen")
def test_large_arrays_do_not_hang_the_only_thread():
    subprocess.run([sys.executable, "-c", ON_ONE_CORE], check=True, timeout=100)


@pytest.mark.parametrize("way", ["buffers", "pure_callback"])
def test_both_ways_to_the_host(way, ridge, monkeypatch):
    if way == "pure_callback":
        monkeypatch.setattr(_host, "_buffer_callback", lambda: None)
    for solve in ("auto", "host"):
        solution = differentiable(ridge.solve, ridge.gradient, solve=solve)
        batch = jax.jit(jax.vmap(jax.hessian(lambda lam: solution(jnp.zeros(5), lam).sum())))
        lams = jnp.array([0.2, LAM])
        assert relative(batch(lams), [ridge.derivatives(float(lam))[2].sum() for lam in lams]) < 1e-12


def test_a_batched_solver_that_answers_another_shape_is_refused():
    solution = differentiable(lambda x, t: np.zeros(3), lambda x, t: x - t, vmap_method="expand_dims")
    with pytest.raises(Exception, match=r"a batch of shape \(2, 3\) is wanted, got \(3,\)"):
        jax.block_until_ready(jax.vmap(lambda t: solution(jnp.zeros(3), t))(jnp.ones(2)))


def test_one_factorisation_on_the_host_serves_all_right_hand_sides(monkeypatch):
    made = []
    monkeypatch.setattr(_host, "STORE", Store())
    for module, name in ((_host, "factorise"), (_direct, "superlu")):
        make = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, make=make, **k: made.append(1) or make(*a, **k))
    A = jnp.asarray(np.random.default_rng(0).standard_normal((6, 6))) + 4 * jnp.eye(6)
    pattern = np.ones((6, 6))
    for solve in ("host", partial(solve_host, sparsity=pattern)):
        made.clear()
        solution = differentiable(lambda x, b: np.linalg.solve(A, b), lambda x, b: A @ x - b, solve=solve)
        J = jax.jit(jax.jacrev(solution, argnums=1))(jnp.zeros(6), jnp.ones(6))
        assert relative(J, np.linalg.inv(A)) < 1e-13
        assert len(made) == 1
        batch = jnp.stack([A, 2 * A])
        inverses = jax.jit(jax.vmap(lambda A: jax.vmap(lambda b: solve_host(lambda v: A @ v, b))(jnp.eye(6))))
        assert relative(inverses(batch), np.linalg.inv(batch).transpose(0, 2, 1)) < 1e-13


@pytest.mark.parametrize("unrelated", [np.nan, np.inf])
def test_a_matrix_that_is_no_number_warns_and_gives_nan(unrelated):
    solution = differentiable(lambda x, t: x, lambda x, t: unrelated * x - t)
    with pytest.warns(RuntimeWarning, match="residual of only nan"):
        J = jax.block_until_ready(jax.jit(jax.jacfwd(solution, argnums=1))(jnp.ones(2), jnp.ones(2)))
    assert np.all(np.isnan(J))


IN_32_BIT_MODE = """
import warnings
import jax, jax.numpy as jnp, numpy as np
from numsolve import PrecisionWarning
from numsolve.implicit import differentiable

before = dict(jax.config.values)
A = np.array([[2.0, 1.0], [1.0, 3.0]])
solution = differentiable(lambda _, b: np.linalg.solve(A, b.astype(float)), lambda x, b: jnp.asarray(A) @ x - b)
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    x = solution(jnp.zeros(2), jnp.ones(2))
    J = jax.jit(jax.jacrev(solution, argnums=1))(jnp.zeros(2), jnp.ones(2))
assert x.dtype == J.dtype == jnp.float32
assert np.abs(J - np.linalg.inv(A)).max() < 1e-6
assert [w.category for w in seen] == [PrecisionWarning], seen
assert "jax_enable_x64" in str(seen[0].message)
assert dict(jax.config.values) == before
"""


def test_32_bit_mode_casts_down_with_one_warning():
    subprocess.run([sys.executable, "-c", IN_32_BIT_MODE], check=True)


def test_float32_solutions_stay_float32_in_64_bit_mode(ridge):
    solution = differentiable(ridge.solve, ridge.gradient)
    assert solution(jnp.zeros(5, jnp.float32), LAM).dtype == jnp.float32


def test_integer_arguments_are_constants(ridge):
    solution = differentiable(lambda w, k, lam: ridge.solve(w, lam), lambda w, k, lam: ridge.gradient(w, lam))
    k = jnp.arange(3)
    value = jax.jit(jax.grad(lambda lam: solution(jnp.zeros(5), k, lam).sum()))(LAM)
    assert relative(value, ridge.derivatives(LAM)[1].sum()) < 1e-13
    _, tangent = jax.jvp(lambda k: solution(jnp.zeros(5), k, LAM), (k,), (np.zeros(3, jax.dtypes.float0),))
    assert np.all(tangent == 0)


def test_a_jitted_second_call_does_not_trace_again(ridge):
    traces = []

    def F(w, lam):
        traces.append(1)
        return ridge.gradient(w, lam)

    solution = differentiable(ridge.solve, F)
    jax.grad(lambda lam: solution(jnp.zeros(5), lam).sum())(0.5)
    count = len(traces)
    jax.grad(lambda lam: solution(jnp.zeros(5), lam).sum())(0.9)  # another function, without jit
    assert len(traces) == count


def test_singular_systems_get_the_solution_of_least_norm():
    L = np.diag([1.0, 2.0, 2.0, 1.0]) - np.eye(4, k=1) - np.eye(4, k=-1)  # constants are its kernel
    P = np.linalg.pinv(L)
    solution = differentiable(lambda _, b: P @ b, lambda x, b: jnp.asarray(L) @ x - b)
    b = jnp.array([1.0, -1.0, 2.0, -2.0])
    _, dx = jax.jvp(lambda b: solution(jnp.zeros(4), b), (b,), (b,))
    assert relative(dx, P @ b) < 1e-14
    batch = jax.jit(jax.vmap(lambda b: jax.jvp(lambda b: solution(jnp.zeros(4), b), (b,), (b,))[1]))
    assert relative(batch(jnp.stack([b, 2 * b])), np.stack([P @ b, 2 * P @ b])) < 1e-14


def test_an_unsolvable_system_warns():
    L = jnp.array([[1.0, -1.0], [-1.0, 1.0]])
    solution = differentiable(lambda _, b: np.zeros(2), lambda x, b: L @ x - b)
    with pytest.warns(RuntimeWarning, match="solved to a relative residual of only"):
        jax.block_until_ready(jax.jit(jax.jacfwd(solution, argnums=1))(jnp.zeros(2), jnp.ones(2)))


def test_conjugate_gradients_leave_a_saddle_with_a_warning():
    B = jnp.array([[1.0, 2.0], [2.0, 1.0]])
    solution = differentiable(
        lambda _, b: np.linalg.solve(B, b), lambda x, b: B @ x - b, solve="cg", symmetric=True
    )
    with pytest.warns(RuntimeWarning, match="curvature of both signs"):
        J = jax.block_until_ready(jax.jit(jax.jacfwd(solution, argnums=1))(jnp.zeros(2), jnp.ones(2)))
    assert relative(J, np.linalg.inv(B)) < 1e-9


def test_a_negative_definite_system_is_fine_for_conjugate_gradients(ridge):
    solution = differentiable(ridge.solve, lambda w, lam: -ridge.gradient(w, lam), solve="cg", symmetric=True)
    assert relative(jax.jacrev(solution, argnums=1)(jnp.zeros(5), LAM), ridge.derivatives(LAM)[1]) < 1e-9


def test_check_tells_a_false_solution_from_a_true_one(ridge):
    bad = differentiable(lambda w, lam: 1.01 * ridge.solve(w, lam), ridge.gradient, check=True)
    with pytest.warns(RuntimeWarning, match="x is not a solution"):
        jax.block_until_ready(jax.jit(jax.grad(lambda lam: bad(jnp.zeros(5), lam).sum()))(LAM))
        jax.effects_barrier()
    good = differentiable(ridge.solve, ridge.gradient, check=True, symmetric=True)
    jax.block_until_ready(jax.grad(lambda lam: good(jnp.zeros(5), lam).sum())(LAM))
    jax.effects_barrier()


def test_check_finds_a_matrix_that_is_not_symmetric():
    A = jnp.array([[2.0, 1.0], [0.0, 2.0]])
    solution = differentiable(
        lambda _, b: np.linalg.solve(A, b), lambda x, b: A @ x - b, symmetric=True, check=True
    )
    with pytest.warns(RuntimeWarning, match="not symmetric"):
        jax.block_until_ready(jax.jacfwd(solution, argnums=1)(jnp.zeros(2), jnp.ones(2)))
        jax.effects_barrier()


def test_the_middle_sizes_try_gmres_and_fall_back():
    n = 400
    rng = np.random.default_rng(0)
    easy = jnp.asarray(np.eye(n) + 0.1 * rng.standard_normal((n, n)) / n**0.5)
    hard = jnp.asarray(rng.standard_normal((n, n)))
    c = rng.standard_normal(n)
    for A in (easy, hard):
        solution = differentiable(lambda _, b: np.linalg.solve(A, b), lambda x, b: A @ x - b)
        value = jax.jit(jax.grad(lambda b: c @ solution(b, b)))(jnp.ones(n))
        assert relative(value, np.linalg.solve(A.T, c)) < 1e-9


def test_named_tuples_survive():
    class Pair(NamedTuple):
        u: object
        v: object

    solution = differentiable(
        lambda _, t: Pair(np.array(t), np.array([2 * t])), lambda x, t: Pair(x.u - t, x.v - 2 * t)
    )
    start = Pair(jnp.array(0.0), jnp.zeros(1))
    out = jax.jit(jax.jacfwd(solution, argnums=1))(start, 1.0)
    assert isinstance(out, Pair)
    assert float(out.v[0]) == pytest.approx(2.0, abs=1e-14)


def test_a_warning_of_the_host_solver_is_seen():
    def solve(_, t):
        warnings.warn("stopped early", ConvergenceWarning, stacklevel=1)
        return np.array([t])

    with pytest.warns(ConvergenceWarning, match="stopped early"):
        jax.block_until_ready(jax.jit(differentiable(solve, lambda x, t: x - t))(jnp.zeros(1), 1.0))


def test_a_partial_is_a_solver(ridge):
    solution = differentiable(partial(ridge.solve), ridge.gradient)
    assert (
        relative(
            jax.grad(lambda lam: solution(jnp.zeros(5), lam).sum())(LAM), ridge.derivatives(LAM)[1].sum()
        )
        < 1e-13
    )


@pytest.mark.parametrize("size", [0, 1])
def test_empty_and_single_unknowns(size):
    solution = differentiable(lambda x, t: np.full(size, t), lambda x, t: x - t)
    J = jax.jit(jax.jacrev(solution, argnums=1))(jnp.zeros(size), 2.0)
    assert np.array_equal(J, np.ones(size))


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_extreme_scales(scale):
    solution = differentiable(lambda x, t: t / scale, lambda x, t: scale * x - t)
    assert relative(jax.jacrev(solution, argnums=1)(jnp.zeros(2), jnp.ones(2)), np.eye(2) / scale) < 1e-14


def test_precision_of_the_jacobian_is_that_of_the_iterate(ridge):
    """|J(x) - J| <= |x - x*| / alpha for ridge, where A does not depend on x and B is the identity."""
    H, (w, slope, *_) = ridge.hessian(0.01), ridge.derivatives(0.01)
    alpha = np.linalg.eigvalsh(H)[0]
    step = 1 / np.linalg.eigvalsh(H)[-1]
    x, ratios = np.zeros(5), []
    for k in range(1, 41):
        x = x - step * (H @ x - ridge.Xy)
        if k % 10 == 0:
            J = root_jvp(ridge.gradient, jnp.asarray(x), (0.01,), (1.0,))
            ratios.append(np.linalg.norm(J - slope) / np.linalg.norm(x - w))
    assert max(ratios) <= 1 / alpha * (1 + 1e-9)
    assert max(ratios) < 3 * min(ratios)  # the error of J follows that of x


def test_precision_of_the_jacobian_on_the_diabetes_data():
    """Ridge by gradient descent from zero: |J(x) - J| = 32.9 |x - x*|, below the bound 1 / alpha = 53.9."""
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = datasets.load_diabetes(return_X_y=True)
    X, y = X / np.sqrt((X**2).mean(axis=0)), y / y.std()
    H, c = X.T @ X / len(y) + 1e-2 * np.eye(10), X.T @ y / len(y)
    values, w = np.linalg.eigvalsh(H), np.linalg.solve(H, c)

    def F(w, penalties):
        return X.T @ (X @ w - y) / len(y) + penalties * w

    @jax.jit
    def jacobian(w):
        return jax.vmap(lambda t: root_jvp(F, w, (jnp.full(10, 1e-2),), (t,)), out_axes=1)(jnp.eye(10))

    exact, x, errors = -np.linalg.solve(H, np.diag(w)), np.zeros(10), []
    for k in range(1, 3001):
        x = x - (H @ x - c) / values[-1]
        if k in (10, 100, 1000, 3000):
            J = jacobian(jnp.asarray(x))
            errors.append((np.linalg.norm(x - w), np.linalg.norm(J - exact)))
    of_x, of_j = np.transpose(errors)
    assert np.allclose(of_x, [0.297, 0.193, 3.04e-3, 3.01e-7], rtol=5e-3)
    assert np.allclose(of_j / of_x, 32.9, rtol=0.03)
    assert 1 / values[0] == pytest.approx(53.88, rel=1e-3)


# -- numbers of any kind ------------------------------------------------------------------------------


def cube_root(_, theta):
    return np.cbrt(theta)


def cube(x, theta):
    return x**3 - theta


#: what x = theta^(1/3) is made by: on the host, and traced
CUBES = {
    "host": lambda: differentiable(cube_root, cube),
    "traced": lambda: custom_root(cube)(lambda _, theta: jnp.cbrt(theta)),
}


@pytest.mark.parametrize("way", CUBES)
def test_python_floats_are_primals_and_tangents(way):
    """At 8: x = 2, dx = 1/12, d2x = -1/144."""
    root = CUBES[way]()
    x, dx = jax.jvp(lambda t: root(0, t), (8.0,), (1.0,))
    assert np.allclose([x, dx], [2, 1 / 12], rtol=1e-14)
    if way == "traced":
        g, dg = jax.jvp(jax.grad(lambda t: root(0.0, t)), (8.0,), (1.0,))
        assert np.allclose([g, dg], [1 / 12, -1 / 144], rtol=1e-13)


def bound(_, theta, maxiter=10):
    return 2.0 * theta if maxiter == 20 else theta


@pytest.mark.parametrize("host", [False, True])
def test_options_bound_by_a_partial_stay_with_the_solver(host):
    solver = custom_root(lambda x, t: x - 2 * t, host=host)(partial(bound, maxiter=20))
    assert np.allclose(jax.grad(lambda t: solver(jnp.zeros(2), t).sum())(jnp.ones(2)), 2.0)
    known = custom_root(lambda x, t, maxiter: x - maxiter / 10 * t, host=host)(partial(bound, maxiter=20))
    assert np.allclose(jax.grad(lambda t: known(jnp.zeros(2), t).sum())(jnp.ones(2)), 2.0)


def test_another_python_integer_compiles_nothing():
    traces, seen, counts = [], [], []

    def F(x, theta, power, size):
        traces.append(1)
        return x**power - theta * jnp.ones(size).mean()

    def solve(_, theta, power, size):
        seen.append((type(power), type(size)))
        return theta ** (1 / power)

    root = differentiable(solve, F)
    for power in (2, 3, 4):
        slope = jax.grad(lambda theta: root(0, theta, power, 5))(4.0)
        assert relative(slope, 4.0 ** (1 / power - 1) / power) < 1e-14
        counts.append(len(traces))
    assert len(set(counts)) == 1
    assert set(seen) == {(int, int)}


@pytest.mark.parametrize("four", [4, np.int32(4), np.array(4)], ids=repr)
def test_integers_in_products_of_jax_mean_floats(four):
    def F(x, theta):
        return jnp.asarray(x) ** 2 - theta

    (pulled,) = root_vjp(F, 2, (four,), 1)
    assert pulled == pytest.approx(0.25, rel=1e-14)
    assert root_jvp(F, 2, (four,), (1,)) == pytest.approx(0.25, rel=1e-14)
    assert solution_jacobian(F, 2, four) @ np.ones(1) == pytest.approx(0.25, rel=1e-14)


def test_integers_that_jax_takes_as_such_have_no_derivative():
    def F(x, theta, k):
        return x - theta[k]

    theta, k = jnp.array([1.0, 3.0]), jnp.array(1)
    d_theta, d_k = root_vjp(F, jnp.array(3.0), (theta, k), jnp.array(1.0))
    assert d_k is None
    assert np.array_equal(d_theta, [0.0, 1.0])
    assert root_jvp(F, jnp.array(3.0), (theta, k), (jnp.ones(2), 0)) == 1.0
    with pytest.raises(TypeError, match="tangents must be zero"):
        root_jvp(F, jnp.array(3.0), (theta, k), (jnp.ones(2), 1))


def test_a_solution_of_integers_is_one_of_floats():
    for solver in (differentiable(lambda _, t: 2, square), custom_root(square)(lambda _, t: 2)):
        assert jax.grad(lambda t: solver(0, t))(4.0) == pytest.approx(0.25, rel=1e-14)


def square(x, theta):
    return x**2 - theta


def test_masked_arguments_are_refused():
    with pytest.raises(TypeError, match="of the solver's arguments is a masked array"):
        differentiable(cube_root, cube)(0.0, np.ma.array([8.0]))


def test_positions_and_switches_are_any_integers():
    solution = differentiable(
        lambda x, a, b: b / a, lambda x, a, b: a * x - b, argnums=np.array([2]), symmetric=np.True_, tol=1
    )
    assert jax.grad(lambda b: solution(b, 4.0, b))(1.0) == 0.25


@custom_root(cube)
def decorated(_, theta):
    return jnp.cbrt(theta)


def test_wrapped_solvers_pickle_and_copy():
    assert pickle.loads(pickle.dumps(decorated)) is decorated is copy.deepcopy(decorated)
    for solver in (differentiable(cube_root, cube), custom_fixed_point(square)(cube_root)):
        assert pickle.loads(pickle.dumps(solver))(0.0, 8.0) == copy.copy(solver)(0.0, 8.0) == 2.0
