"""What is refused, and in which words."""

# ruff: noqa: PLW0108
from __future__ import annotations

import inspect

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from numsolve import implicit
from numsolve._core.extras import require
from numsolve.implicit import problems, root_jvp, root_vjp, solution_jacobian, solve_cg

X, T = np.array([2.0, 3.0]), np.array([4.0, 9.0])


def square(x, theta):
    return x**2 - theta


def nan(x, theta):
    return x * float("nan")


#: name: (call, exception, a fragment of its message)
BAD = {
    "cotangent of another shape": (
        lambda: root_vjp(square, X, (T,), np.ones(3)),
        ValueError,
        r"cotangent must have the structure of sol, \(2,\); got \(3,\)",
    ),
    "cotangent of another structure": (
        lambda: root_vjp(square, X, (T,), (np.ones(2),)),
        ValueError,
        "cotangent must have the structure of sol",
    ),
    "too many tangents": (
        lambda: root_jvp(square, X, (T,), (T, T)),
        ValueError,
        "tangents must have one entry for each of args, got 2 for 1",
    ),
    "fewer args than F takes": (
        lambda: root_vjp(square, X, (), np.ones(2)),
        TypeError,
        "optimality_fun must take the solution and then args, 0 in number: missing .* 'theta'",
    ),
    "more args than F takes": (
        lambda: root_jvp(square, X, (T, T), (T, T)),
        TypeError,
        "optimality_fun must take the solution and then args, 2 in number: too many",
    ),
    "F of the solution alone": (
        lambda: solution_jacobian(lambda x: x, X, T),
        TypeError,
        "F must take the solution and then theta, 1 in number: too many",
    ),
    "tangent of another shape": (
        lambda: root_jvp(square, X, (T,), (np.ones(1),)),
        ValueError,
        r"tangents\[0\] must have the structure of args\[0\]",
    ),
    "F not square": (
        lambda: root_vjp(lambda x, t: x[:1] - t[:1], X, (T,), np.ones(2)),
        ValueError,
        "must be square: it returns 1 numbers, sol has 2; optimality_fun must",
    ),
    "F of a Jacobian not square": (
        lambda: solution_jacobian(lambda x, t: x[:1] - t[:1], X, T),
        ValueError,
        "must be square: it returns 1 numbers, x has 2; F must have one equation for each",
    ),
    "F not finite": (
        lambda: root_vjp(nan, X, (T,), np.ones(2)),
        FloatingPointError,
        "not finite at the solution",
    ),
    "solve an unknown word": (
        lambda: root_vjp(square, X, (T,), np.ones(2), solve="qr"),
        ValueError,
        "solve must be one of 'auto', 'dense'",
    ),
    "solve a number": (
        lambda: root_vjp(square, X, (T,), np.ones(2), solve=3),
        TypeError,
        "solve must be a word, a function or a factorisation",
    ),
    "F a word": (
        lambda: solution_jacobian("no", X, T),
        TypeError,
        "F must be callable, got 'no'",
    ),
    "obj a number": (
        lambda: implicit.make_kkt_optimality_fun(3.0),
        TypeError,
        "obj must be callable, got 3.0",
    ),
    "eq a word": (
        lambda: implicit.make_kkt_optimality_fun(lambda x, t: x @ x, "x"),
        TypeError,
        "eq must be callable, got 'x'",
    ),
    "args None": (
        lambda: root_vjp(square, X, None, np.ones(2)),
        TypeError,
        "args must be a sequence of arguments, got NoneType",
    ),
    "args a word": (
        lambda: root_vjp(square, X, "T", np.ones(2)),
        TypeError,
        "args must be a sequence of arguments, got str",
    ),
    "tangents a number": (
        lambda: root_jvp(square, X, (T,), 1.0),
        TypeError,
        "tangents must be a sequence of arguments, got float",
    ),
    "solve a triple": (
        lambda: root_vjp(square, X, (T,), np.ones(2), solve=(abs, abs, abs)),
        TypeError,
        "solve must be a pair of functions",
    ),
    "method an unknown word": (
        lambda: solution_jacobian(square, X, T, method="exact"),
        ValueError,
        "method must be one of",
    ),
    "jac_x of another shape": (
        lambda: solution_jacobian(None, X, T, jac_x=np.eye(3)),
        ValueError,
        r"jac_x must have shape \(2, 2\), got \(3, 3\)",
    ),
    "jac_theta of another shape": (
        lambda: solution_jacobian(None, X, T, jac_x=np.eye(2), jac_theta=np.eye(3)),
        ValueError,
        "jac_theta must have shape",
    ),
    "nothing to differentiate": (
        lambda: solution_jacobian(None, X, T) @ T,
        ValueError,
        "must be given where F is None",
    ),
    "complex solution": (lambda: root_vjp(square, 1j * X, (T,), np.ones(2)), TypeError, "sol is complex"),
    "optimality_fun no function": (
        lambda: implicit.custom_root(3),
        TypeError,
        "optimality_fun must be callable",
    ),
    "solver no function": (lambda: implicit.differentiable(3, square), TypeError, "solver must be callable"),
    "vmap_method unknown": (
        lambda: implicit.custom_root(square, vmap_method="parallel"),
        ValueError,
        "vmap_method must be one of",
    ),
    "custom_root's solve unknown": (
        lambda: implicit.custom_root(square, solve="lu"),
        ValueError,
        "solve must be one of 'auto'",
    ),
    "tol negative": (
        lambda: solve_cg(np.eye(2), X, tol=-1),
        ValueError,
        "tol must be a finite number at least 0",
    ),
    "maxiter zero": (
        lambda: solve_cg(np.eye(2), X, maxiter=0),
        ValueError,
        "maxiter must be an integer at least 1",
    ),
    "cotangent not finite": (
        lambda: root_vjp(square, X, (T,), np.array([np.nan, 1.0])),
        ValueError,
        "cotangent must hold finite numbers, got nan at index 0",
    ),
    "tangent not finite": (
        lambda: root_jvp(square, X, (T,), (np.array([np.inf, 1.0]),)),
        ValueError,
        "tangents must hold finite numbers, got inf at index 0",
    ),
    "jac_x not finite": (
        lambda: solution_jacobian(None, X, T, jac_x=np.full((2, 2), np.nan)),
        ValueError,
        "jac_x must hold finite numbers",
    ),
    "jac_theta complex": (
        lambda: solution_jacobian(None, X, T, jac_x=np.eye(2), jac_theta=1j * np.eye(2)),
        TypeError,
        "jac_theta must be real",
    ),
    "b a matrix": (lambda: solve_cg(np.eye(2), np.eye(2)), ValueError, "b must be 1-D"),
    "no solver of jaxopt": (
        lambda: implicit.from_jaxopt(3),
        TypeError,
        "solver must be one of jaxopt's, got int",
    ),
    "a solver of jaxopt without conditions": (
        lambda: implicit.from_jaxopt(require("jaxopt", "the tests").OSQP()),
        TypeError,
        "solver must have an optimality_fun, and OSQP has none: give custom_root .*quadratic_program",
    ),
    "theta that is no tuple": (
        lambda: root_vjp(square, X, T, np.ones(2)),
        TypeError,
        r"args must be a sequence of arguments, got ndarray; \(theta,\) is one of a single one",
    ),
    "no grid": (lambda: problems.Diffusion(0), ValueError, "n must be an integer at least 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    pytest.importorskip("jaxopt")
    call, exception, message = BAD[name]
    with pytest.raises(exception, match=message):
        call()


def traced(name):
    import jax
    import jax.numpy as jnp

    from numsolve.implicit import differentiable

    struct = jax.ShapeDtypeStruct((3,), float)
    calls = {
        "no shape": lambda: jax.jit(differentiable(lambda _, t: t, square))(None, jnp.ones(2)),
        "another shape": lambda: differentiable(lambda _, t: t, square, result_shape=struct)(
            None, jnp.ones(2)
        ),
        "no initial point": lambda: differentiable(lambda: 1, square)(),
        "F not square": lambda: jax.jacfwd(differentiable(lambda x, t: x, lambda x, t: x[:1] - t[0]), 1)(
            jnp.ones(2), jnp.ones(2)
        ),
        "an option that F does not take": lambda: jax.grad(
            lambda t: differentiable(lambda x, t, tol=0.1: x, square)(jnp.ones(2), t, tol=0.2).sum()
        )(jnp.ones(2)),
    }
    return calls[name]


TRACED = {
    "no shape": (ValueError, "give result_shape, or an initial point"),
    "another shape": (ValueError, r"the solver returned arrays of shape \(2,\), \(3,\) is wanted"),
    "no initial point": (TypeError, "the initial point must be the solver's first positional argument"),
    "F not square": (ValueError, "the optimality function must be square"),
    "an option that F does not take": (TypeError, "bind options to the solver with functools.partial"),
}


@pytest.mark.parametrize("name", TRACED)
def test_bad_input_to_a_wrapped_solver(name):
    pytest.importorskip("jax")
    exception, message = TRACED[name]
    with pytest.raises(exception, match=message):
        traced(name)()


#: name: (what matvec is, the exception, a fragment of its message)
MATRICES = {
    "complex": (np.array([[1, 1j], [0, 1]]), TypeError, "matvec must be real, got complex128"),
    "a list of complex numbers": ([[1, 1j], [0, 1]], TypeError, "matvec is complex"),
    "complex and sparse": (sp.csr_array(1j * np.eye(2)), TypeError, "matvec must be real"),
    "a complex operator": (aslinearoperator(1j * np.eye(2)), TypeError, "matvec must be real"),
    "a function of complex values": (lambda v: 1j * v, TypeError, "the result of matvec is complex"),
    "nan": (np.full((2, 2), np.nan), ValueError, "matvec must hold finite numbers"),
    "nan and sparse": (sp.csr_array(np.full((2, 2), np.nan)), ValueError, "matvec must hold finite numbers"),
    "a function that gives nan": (lambda v: np.nan * v, ValueError, "the result of matvec must hold finite"),
    "a function of another length": (lambda v: v[:1], ValueError, "the result of matvec must have shape"),
    "of another shape": (np.eye(3), ValueError, r"matvec must have shape \(2, 2\)"),
    "a number": (4.0, TypeError, "matvec must be a function or a matrix, got float"),
    "a word": ("x", TypeError, "matvec must be a function or a matrix, got str"),
    "a dictionary": ({}, TypeError, "matvec must be a function or a matrix, got dict"),
    "nothing": (None, TypeError, "matvec must be a function or a matrix, got NoneType"),
}


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("solve", ["dense", "cholesky", "cg", "gmres", "bicgstab", "lsmr", "host"])
def test_what_is_no_matrix(name, solve):
    matvec, exception, message = MATRICES[name]
    with pytest.raises(exception, match=message):
        getattr(implicit, f"solve_{solve}")(matvec, np.ones(2))


@pytest.mark.parametrize("matvec", [4.0, "x", {}, None, np.array([[1, 1j], [0, 1]])])
def test_what_is_no_matrix_to_jax(matvec):
    jnp = pytest.importorskip("jax.numpy")
    with pytest.raises(TypeError, match="matvec must be"):
        implicit.solve_gmres(matvec, jnp.ones(2))


def test_linear_solvers_have_one_signature():
    wanted = inspect.signature(implicit.solve_dense)
    for name in ("cholesky", "cg", "gmres", "bicgstab", "lsmr"):
        solve = getattr(implicit, f"solve_{name}")
        assert inspect.signature(solve) == wanted
        with pytest.raises(
            TypeError, match=rf"solve_{name}\(\) got an unexpected keyword argument 'tolerance'"
        ):
            solve(np.eye(2), np.ones(2), tolerance=1.0)
        with pytest.raises(TypeError, match=rf"solve_{name}\(\) has no argument 'x0': it is called 'init'"):
            solve(np.eye(2), np.ones(2), x0=1.0)
    names = list(inspect.signature(implicit.solve_host).parameters)
    assert names == [*wanted.parameters, "sparsity"]


@pytest.mark.parametrize("solve", ["cg", "gmres", "bicgstab", "lsmr", "dense", "host"])
def test_a_sparse_matrix_of_one_entry_in_any_format_is_solved(solve):
    """SciPy's product of a coo_array of shape (1, 1) with a vector has no axis."""
    twice = ([1.0, 3.0], ([0, 0], [0, 0]))
    for A in (sp.coo_array(twice, (1, 1)), sp.dok_array(np.full((1, 1), 4.0))):
        np.testing.assert_allclose(getattr(implicit, f"solve_{solve}")(A, np.array([8.0])), [2.0])


def test_a_matrix_of_zeros_breaks_down_with_our_words_alone():
    with pytest.warns(RuntimeWarning) as caught:
        solve_cg(np.zeros((3, 3)), np.ones(3))
    assert all("derivative is not accurate" in str(w.message) for w in caught)


def test_a_tolerance_of_zero_is_that_of_rounding():
    root_vjp(lambda x, t: 3.0 * x - t, X / 3.0, (X,), T, solve="lsmr", tol=0.0)  # without a warning


@pytest.mark.parametrize("kind", [">f8", ">f4", "longdouble", "f2"])
def test_numbers_of_every_kind_are_arguments_of_a_solver(kind):
    """The root of x^2 - theta and its slope, whatever the bytes of theta."""
    root = implicit.differentiable(lambda x0, theta: np.sqrt(theta), lambda x, theta: x**2 - theta)
    theta = np.array([4.0, 16.0], dtype=kind)
    np.testing.assert_allclose(root(np.ones(2), theta), [2.0, 4.0], rtol=1e-6)
    np.testing.assert_allclose(
        root_vjp(lambda x, t: x**2 - t, np.sqrt(theta), (theta,), np.ones(2))[0], [0.25, 0.125]
    )


def test_an_array_of_a_third_library_is_refused():
    """JAX would pass it to the solver as a constant, and its derivative would be lost."""
    xp = pytest.importorskip("array_api_strict")
    root = implicit.differentiable(lambda x0, theta: x0, lambda x, theta: x - theta)
    with pytest.raises(TypeError, match=r"leaf 1 of the solver's arguments is a array_api_strict array"):
        root(np.ones(2), xp.asarray([1.0, 2.0]))


@pytest.mark.parametrize("name", ["jac_x", "jac_theta"])
def test_a_jacobian_of_a_third_library_is_refused(name):
    xp = pytest.importorskip("array_api_strict")
    given = {"jac_x": np.eye(2), "jac_theta": -np.eye(2)} | {name: xp.eye(2)}
    with pytest.raises(TypeError, match=f"x is a numpy array and {name} is a array_api_strict array"):
        solution_jacobian(lambda x, theta: x - theta, np.ones(2), np.ones(2), **given)
