"""A number is a number: integers, fractions, NumPy scalars, 0-d arrays give the derivative of the float."""

# ruff: noqa: N802 - F is the name of the paper
from __future__ import annotations

import copy
import pickle
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from numsolve.implicit import (
    optimality,
    problems,
    root_jvp,
    root_vjp,
    solution_jacobian,
    solve_bicgstab,
    solve_cg,
    solve_cholesky,
    solve_dense,
    solve_gmres,
    solve_host,
    solve_lsmr,
)


def square(x, theta):
    return x**2 - theta


KINDS = [
    4,
    Fraction(4),
    np.float64(4),
    np.float32(4),
    np.float16(4),
    np.int64(4),
    np.uint8(4),
    np.array(4.0),
    np.array(4),
]
IDS = [f"{type(kind).__name__} {getattr(kind, 'dtype', '')}" for kind in KINDS]


@pytest.mark.parametrize("four", KINDS, ids=IDS)
@pytest.mark.parametrize("two", [2.0, 2, np.int8(2), np.array(2)], ids=["float", "int", "int8", "0-d"])
def test_the_derivative_at_any_kind_of_four_is_a_quarter(four, two):
    one = type(four)(1) if not isinstance(four, np.ndarray) else np.ones_like(four)
    (pulled,) = root_vjp(square, two, (four,), 1)
    assert pulled == pytest.approx(0.25, rel=1e-14)
    assert root_jvp(square, two, (four,), (one,)) == pytest.approx(0.25, rel=1e-14)
    assert solution_jacobian(square, two, four) @ np.ones(1) == pytest.approx(0.25, rel=1e-14)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32])
def test_arrays_of_any_dtype_have_the_derivative_of_floats(dtype):
    theta, x = np.array([4, 9], dtype=dtype), np.array([2.0, 3.0])
    (pulled,) = root_vjp(square, x, (theta,), np.ones(2))
    assert np.allclose(pulled, [1 / 4, 1 / 6], rtol=1e-14)
    assert np.allclose(root_jvp(square, x, (theta,), (theta,)), [1.0, 1.5], rtol=1e-14)
    (pulled,) = root_vjp(lambda x, t: x - 1 / t, 1 / theta, (theta,), np.ones(2))
    assert np.allclose(pulled, [-1 / 16, -1 / 81], rtol=1e-6 if dtype == np.float32 else 1e-14)


def test_integers_that_are_no_numbers_have_no_derivative():
    def F(x, theta, k, n, on):
        return x - theta[k] * np.ones(n) * (2.0 if on is True else 1.0)

    theta = np.array([1.0, 5.0])
    args = (theta, 1, 3, True)
    d_theta, *others = root_vjp(F, np.full(3, 10.0), args, np.ones(3))
    assert np.allclose(d_theta, [0.0, 6.0], rtol=1e-14)
    assert others == [None, None, None]
    moved = root_jvp(F, np.full(3, 10.0), args, (np.ones(2), 0, 0, 0))
    assert np.allclose(moved, 2.0, rtol=1e-14)
    with pytest.raises(TypeError, match="tangents must be zero for arguments that are no numbers"):
        root_jvp(F, np.full(3, 10.0), args, (np.ones(2), 1, 0, 0))


def test_an_exponent_does_not_spoil_the_derivative_of_its_base():
    """x = t^3 at t = -2: dx/dt = 12; the derivative in the exponent, t^3 log t, is no real number."""
    d_t, d_power = root_vjp(lambda x, t, power: x - t**power, np.array(-8.0), (-2.0, 3), 1.0)
    assert d_t == pytest.approx(12.0, rel=1e-14)
    assert np.isnan(d_power)


def test_masked_arrays_are_refused_by_name():
    masked = np.ma.array([4.0, 9.0], mask=[False, True])
    x = np.array([2.0, 3.0])
    for name, call in {
        "args": lambda: root_vjp(square, x, (masked,), x),
        "sol": lambda: root_vjp(square, masked, (x,), x),
        "cotangent": lambda: root_vjp(square, x, (x,), masked),
        "tangents": lambda: root_jvp(square, x, (x,), (masked,)),
        "theta": lambda: solution_jacobian(square, x, masked),
        "b": lambda: solve_dense(np.eye(2), masked),
        "jac_x": lambda: solution_jacobian(None, x, x, jac_x=np.ma.array(np.eye(2)), jac_theta=np.eye(2)) @ x,
        "matvec": lambda: solve_cg(np.ma.array(np.eye(2)), x),
    }.items():
        with pytest.raises(TypeError, match=f"{name} is a masked array"):
            call()


@pytest.mark.parametrize(
    "matrix", [[[2, 0], [0, 4]], np.array([[2, 0], [0, 4]], np.uint8)], ids=["list", "uint8"]
)
def test_matrices_and_settings_of_integers(matrix):
    b = [2, 8]
    for solve in (solve_dense, solve_cholesky, solve_cg, solve_gmres, solve_bicgstab, solve_lsmr, solve_host):
        x = solve(matrix, b, tol=np.float32(1e-9), maxiter=np.array(20), ridge=np.int64(2), init=[0, 1])
        assert np.allclose(x, [0.5, 8 / 6], rtol=1e-7)
    x = solve_dense(sp.csr_array(np.asarray(matrix)), b)
    assert np.allclose(x, [1.0, 2.0], rtol=1e-14)
    J = solution_jacobian(None, np.ones(2), np.ones(2), jac_x=matrix, jac_theta=[[-1, 0], [0, -1]])
    assert np.allclose(J @ np.ones(2), [0.5, 0.25], rtol=1e-14)


def test_problems_and_fixed_points_take_any_number():
    problem = problems.Diffusion(np.float64(4.0))
    u, _ = problem.solve(np.zeros((5, 5), int))
    assert abs(problem.equation(u, np.zeros((5, 5), np.uint8))).max() < 1e-14
    X, Y = problems.classes(np.int64(10), np.float64(4.0), np.array(2), rng=0)
    assert (X.shape, Y.shape) == ((10, 4), (10, 2))
    T = optimality.block_proximal_gradient(
        None, lambda x, _, s: x, stepsizes=np.array(1), grad=lambda x: (x[0], x[1])
    )
    assert T((np.ones(1), np.ones(2)), None)[1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("of_matrix", [1.0, 1e-170, 1e150])
@pytest.mark.parametrize("of_side", [1.0, 1e-170, 1e150])
def test_data_of_any_size(of_matrix, of_side):
    if not 1e-300 < of_side / of_matrix < 1e300:
        return  # the solution is no float
    rng = np.random.default_rng(0)
    Q, b = rng.standard_normal((12, 12)), rng.standard_normal(12)
    for A in (Q @ Q.T + 12 * np.eye(12), Q + 8 * np.eye(12)):
        exact = np.linalg.solve(A, b) * (of_side / of_matrix)
        solves = (solve_dense, solve_gmres, solve_bicgstab, solve_lsmr)
        for solve in (*solves, solve_cg, solve_cholesky) if (A == A.T).all() else solves:
            x = solve(of_matrix * A, of_side * b)
            assert np.allclose(x / exact, 1.0, rtol=1e-7)
            again = solve(of_matrix * A, of_side * b, init=0.9 * exact)
            assert np.allclose(again / exact, 1.0, rtol=1e-7)


def test_conjugate_gradients_of_a_negative_definite_matrix_and_at_a_saddle():
    rng = np.random.default_rng(0)
    Q, b = rng.standard_normal((12, 12)), rng.standard_normal(12)
    A = -(Q @ Q.T + np.eye(12))
    assert np.allclose(A @ solve_cg(A, b), b, rtol=1e-7)
    saddle = np.diag(np.r_[1.0, -1.0, 2.0, np.ones(9)])
    with pytest.warns(RuntimeWarning, match="curvature of both signs"):
        x = solve_cg(saddle, b)
    assert np.allclose(saddle @ x, b, rtol=1e-7)


def test_array_libraries_without_solvers():
    xp = pytest.importorskip("array_api_strict")
    A, b = np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0])
    exact = np.linalg.solve(A, b)
    for sign in (1.0, -1.0):
        x = solve_cg(xp.asarray(sign * A), xp.asarray(b))
        assert np.allclose(np.from_dlpack(x), sign * exact, rtol=1e-9)
    x = solve_bicgstab(xp.asarray(A), xp.asarray(b))
    assert np.allclose(np.from_dlpack(x), exact, rtol=1e-9)
    with pytest.raises(TypeError, match="array_api_strict arrays have no gmres"):
        solve_gmres(xp.asarray(A), xp.asarray(b))


def test_words_of_jaxopt_are_answered():
    with pytest.raises(ValueError, match="'lsmr' does its work without squaring the condition number"):
        root_vjp(square, 2.0, (4.0,), 1.0, solve="normal_cg")
    with pytest.raises(ValueError, match="it is called 'dense' here"):
        root_vjp(square, 2.0, (4.0,), 1.0, solve="lu")


def test_words_of_other_solvers_are_answered():
    with pytest.raises(TypeError, match="no argument 'x0': it is called 'init' here"):
        solve_cg(np.eye(2), np.ones(2), x0=np.ones(2))


def test_a_jacobian_is_copied_and_says_why_it_does_not_pickle():
    J = solution_jacobian(square, np.array([2.0]), np.array([4.0]))
    assert copy.copy(J) @ np.ones(1) == copy.deepcopy(J) @ np.ones(1) == pytest.approx(0.25)
    with pytest.raises(TypeError, match="holds a factorisation and functions, which do not pickle"):
        pickle.dumps(J)


def soft(x, lam, s):
    return np.sign(x) * np.maximum(np.abs(x) - s * lam, 0)


def slope(x, y):
    return x - y


def test_problems_and_conditions_pickle_and_copy():
    problem = problems.Diffusion(4)
    assert pickle.loads(pickle.dumps(problem)) == copy.deepcopy(problem) == problem
    T = optimality.proximal_gradient(None, soft, grad=slope, stepsize=0.5)
    F = optimality.conic_residual(np.conj)
    for again in (copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))):
        assert again(T)(np.array([2.0]), 1.0, 3.0) == T(np.array([2.0]), 1.0, 3.0) == 2.0
        z, data = (np.ones(1), np.ones(1)), (np.eye(1), np.ones(1), -np.ones(1))
        assert again(F)(z, *data) == F(z, *data)


@pytest.mark.parametrize("kind", [np.float16, np.longdouble])
@pytest.mark.parametrize("shape", [(), (2,)])
def test_floats_of_any_width(kind, shape):
    jax = pytest.importorskip("jax")
    from numsolve.implicit import custom_fixed_point, custom_root

    four = np.full(shape, 4, dtype=kind)[()]
    root = custom_root(lambda x, t: x**2 - t)(lambda x0, t: t**0.5)
    point = custom_fixed_point(lambda x, t: (x + t / x) / 2)(lambda x0, t: t**0.5)
    for solver in (root, point):
        np.testing.assert_allclose(solver(1.0, four), np.full(shape, 2.0))
        slope = jax.jvp(partial(solver, four), (np.full(shape, 4.0),), (np.ones(shape),))[1]
        np.testing.assert_allclose(slope, np.full(shape, 0.25))
    gradient = root_vjp(lambda x, t: x**2 - t, kind(2), (kind(4),), kind(1))[0]
    np.testing.assert_allclose(gradient, 0.25)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, aslinearoperator])
def test_a_matrix_of_doubles_is_solved_in_doubles_for_singles(form):
    """As with NumPy, where a product of float64 and float32 is one of float64."""
    A = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 5.0]])
    b = np.array([1.0, 2.0, 3.0], dtype=np.float32)
    for solve in (solve_dense, solve_cholesky, solve_cg, solve_gmres, solve_bicgstab, solve_lsmr, solve_host):
        x = solve(form(A), b)
        assert x.dtype == np.float64
        assert np.allclose(A @ x, b, rtol=1e-8)


SOLVES = [solve_dense, solve_cholesky, solve_cg, solve_gmres, solve_bicgstab, solve_lsmr, solve_host]
GRAM = np.eye(4) + (half := np.random.default_rng(0).normal(size=(4, 4))) @ half.T
RIGHT = np.arange(1.0, 5.0)


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("solve", SOLVES, ids=lambda solve: solve.__name__)
def test_a_solve_is_differentiated_as_its_equation(solve, transpose):
    """x = A(t)^-1 b(t): first and second derivatives of |x|^2 are those of JAX's own factorisation."""
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def matrix(t):
        return jnp.asarray(GRAM) + t[0] * jnp.eye(4)

    def loss(t):
        x = solve(lambda v: matrix(t) @ v, t[1] * jnp.asarray(RIGHT), transpose=transpose, tol=1e-13)
        return jnp.sum(x**2)

    def expected(t):
        return jnp.sum(jnp.linalg.solve(matrix(t), t[1] * jnp.asarray(RIGHT)) ** 2)

    t = jnp.array([0.1, 1.3])
    np.testing.assert_allclose(jax.grad(loss)(t), jax.grad(expected)(t), rtol=1e-9)
    if solve in {solve_dense, solve_lsmr}:  # one that is direct, one that iterates
        np.testing.assert_allclose(
            jax.jit(jax.jacfwd(jax.grad(loss)))(t), jax.hessian(expected)(t), rtol=1e-8, atol=1e-10
        )


@pytest.mark.parametrize("transpose", [False, True])
def test_a_solve_by_a_pattern_is_differentiated_as_its_equation(transpose):
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    A = np.diag([2.0, 3.0, 4.0, 5.0]) + np.diag([0.5, 1.0, -1.0], 1)
    pattern = sp.csr_array(A != 0)

    def loss(t):
        x = solve_host(lambda v: t * (A @ v), jnp.asarray(RIGHT), transpose=transpose, sparsity=pattern)
        return jnp.sum(x**3)

    x = np.linalg.solve(A.T if transpose else A, RIGHT)
    np.testing.assert_allclose(jax.grad(loss)(2.0), -3.0 * np.sum(x**3) / 2.0**4, rtol=1e-10)


@pytest.mark.parametrize("solve", SOLVES, ids=lambda solve: solve.__name__)
def test_complex_unknowns_are_pairs_of_real_ones(solve):
    jax = pytest.importorskip("jax")
    b = RIGHT * (1 + 2j)
    x = solve(lambda v: jax.numpy.asarray(GRAM) @ v, jax.numpy.asarray(b))
    np.testing.assert_allclose(x, np.linalg.solve(GRAM, b), rtol=1e-8)


def test_what_a_product_or_a_start_has_to_be_like_is_told():
    jax = pytest.importorskip("jax")
    b = jax.numpy.ones(4)
    with pytest.raises(ValueError, match=r"the result of matvec must have .* shapes of b, \[\(4,\)\]; got"):
        solve_lsmr(lambda v: v[:2], b)
    with pytest.raises(ValueError, match=r"init must have .* shapes of b, \[\(4,\)\]; got \[\(3,\)\]"):
        solve_gmres(lambda v: v, b, init=jax.numpy.ones(3))
    with pytest.raises(TypeError, match="the result of matvec must be real"):
        solve_gmres(lambda v: 1j * v, b)


@pytest.mark.parametrize("solve", SOLVES, ids=lambda solve: solve.__name__)
def test_no_unknowns_have_no_solution_but_the_empty_one(solve):
    assert solve(lambda v: v, np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("power", range(-60, 61, 6))
@pytest.mark.parametrize(
    "solve", [solve_lsmr, solve_cg, solve_gmres, solve_bicgstab], ids=lambda f: f.__name__
)
def test_an_iteration_does_not_know_the_unit_of_the_matrix(solve, power):
    x = solve(GRAM * 10.0**power, RIGHT) * 10.0**power
    np.testing.assert_allclose(x, np.linalg.solve(GRAM, RIGHT), rtol=1e-7)
