"""root_vjp, root_jvp, solution_jacobian without JAX: differences, colours, factorisations, libraries."""

# ruff: noqa: N802 - F is the name of the paper
from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator, splu

from numsolve import PrecisionWarning
from numsolve.implicit import problems, root_jvp, root_vjp, solution_jacobian
from numsolve.implicit._colour import colour

LAM = 0.7


def test_ridge_by_complex_steps_is_exact_to_rounding(ridge):
    w, slope, *_ = ridge.derivatives(LAM)
    lam = np.array(LAM)
    forward = root_jvp(ridge.gradient, w, (lam,), (np.array(1.0),), symmetric=True)
    (backward,) = root_vjp(ridge.gradient, w, (lam,), np.arange(1.0, 6.0))
    assert np.allclose(forward, slope, rtol=1e-14, atol=1e-16)
    assert backward == pytest.approx(np.arange(1.0, 6.0) @ slope, rel=1e-14)


@pytest.mark.parametrize("solve", ["dense", "cholesky", "cg", "gmres", "bicgstab", "lsmr", "host"])
def test_all_solvers_agree(solve, ridge):
    w, slope, *_ = ridge.derivatives(LAM)
    forward = root_jvp(ridge.gradient, w, (np.array(LAM),), (np.array(1.0),), solve=solve, symmetric=True)
    assert np.allclose(forward, slope, rtol=1e-9)


@given(st.integers(1, 12), st.integers(1, 8), st.integers(0, 2**31))
def test_the_two_products_are_adjoint(n, p, seed):
    rng = np.random.default_rng(seed)
    A, B = rng.standard_normal((n, n)) + 3 * np.eye(n), rng.standard_normal((n, p))
    theta = rng.standard_normal(p)
    x = np.linalg.solve(A, B @ theta)
    u, c = rng.standard_normal(p), rng.standard_normal(n)
    J = solution_jacobian(lambda x, theta: A @ x - B @ theta, x, theta)
    left, right = c @ (J @ u), (J.T @ c) @ u
    assert abs(left - right) <= 1e-10 * np.linalg.norm(c) * np.linalg.norm(J @ u)
    assert np.allclose(J @ u, np.linalg.solve(A, B @ u), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("method", "accuracy"), [("complex-step", 1e-14), ("central", 1e-8), ("forward", 1e-6)]
)
def test_differences_have_their_accuracy(method, accuracy):
    theta = np.array([0.3, 1.1])
    x = np.log(1 + theta)
    J = solution_jacobian(lambda x, theta: np.exp(x) - 1 - theta, x, theta, method=method)
    assert np.allclose(J @ np.eye(2), np.diag(1 / (1 + theta)), atol=accuracy)


@pytest.mark.parametrize(
    "unfit",
    [
        lambda x: np.abs(x) * x - 2.0,
        lambda x: np.real(x) ** 2 - 2.0,
        lambda x: np.asarray([float(v) ** 2 - 2 for v in x]),
        lambda x: np.maximum(x, 0) * np.conj(x) - 2.0,
    ],
    ids=["abs", "real", "float", "conj"],
)
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_what_is_not_analytic_falls_back_with_a_warning(unfit):
    x = np.full(2, 2**0.5)
    with pytest.warns(PrecisionWarning, match="central differences are used"):
        dx = root_jvp(lambda x, t: unfit(x) - t, x, (np.zeros(2),), (np.ones(2),))
    assert np.allclose(dx, 1 / (2 * x), rtol=1e-8)


def test_a_factorisation_of_the_forward_solve_is_enough():
    problem = problems.Diffusion(12)
    rng = np.random.default_rng(0)
    theta = 0.3 * rng.standard_normal((13, 13))
    u, factor = problem.solve(theta)
    c = rng.standard_normal(144)
    (exact,) = root_vjp(problem.equation, u, (theta,), c)
    pair = (factor.solve, lambda b: factor.solve(b, "T"))
    for solve in (factor, pair, lambda A, b: factor.solve(b)):
        (value,) = root_vjp(problem.equation, u, (theta,), c, solve=solve, symmetric=True)
        assert np.allclose(value, exact, rtol=1e-10, atol=1e-16)
    J = solution_jacobian(
        None, u, theta, jac_x=problem.matrix(theta), vjp_theta=lambda w: problem.vjp_theta(u, theta, w)
    )
    assert np.allclose(J.rmatvec(c).reshape(13, 13), exact, rtol=1e-10, atol=1e-16)


def test_diffusion_against_central_differences_of_the_solver():
    problem, rng = problems.Diffusion(8), np.random.default_rng(1)
    theta, t = rng.standard_normal((2, 9, 9))
    u, factor = problem.solve(theta)
    moved = root_jvp(problem.equation, u, (theta,), (t,), solve=factor)
    h = 1e-5
    reference = (problem.solve(theta + h * t)[0] - problem.solve(theta - h * t)[0]) / (2 * h)
    assert np.allclose(moved, reference, rtol=1e-6, atol=1e-9)


def test_a_stale_factorisation_is_noticed():
    problem = problems.Diffusion(4)
    u, _ = problem.solve(np.zeros((5, 5)))
    stale = splu(2 * problem.matrix(np.zeros((5, 5))))
    J = solution_jacobian(
        problem.equation, u, np.zeros((5, 5)), jac_x=problem.matrix(np.zeros((5, 5))), solve=stale
    )
    with pytest.warns(RuntimeWarning, match="by 'the given solve'"):
        J @ np.ones(25)


def test_a_sparse_jacobian_takes_one_evaluation_for_each_colour():
    problem = problems.Diffusion(16)
    theta = np.zeros((17, 17))
    pattern = problem.matrix(theta)
    colours = colour(sp.csc_array(pattern))
    for row in pattern.tocsr():  # columns that share a row differ
        shared = colours[row.indices]
        assert len(set(shared)) == len(shared)
    assert colours.max() < 9
    calls = []

    def F(u, theta):
        calls.append(1)
        return problem.equation(u, theta)

    u, _ = problem.solve(theta)
    J = solution_jacobian(F, u, theta, sparsity=pattern, vjp_theta=lambda w: problem.vjp_theta(u, theta, w))
    assert np.allclose(
        J.rmatvec(np.ones(256)), solution_jacobian(problem.equation, u, theta).rmatvec(np.ones(256))
    )
    assert len(calls) < 20


def test_products_of_the_user_are_enough():
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((6, 6)) + 4 * np.eye(6), rng.standard_normal((6, 3))
    exact = np.linalg.solve(A, B)
    ways = [
        {"jvp_x": lambda v: A @ v, "vjp_x": lambda v: A.T @ v, "jac_theta": -B},
        {"jac_x": A, "jvp_theta": lambda t: -B @ t, "vjp_theta": lambda u: -B.T @ u},
        {"jac_x": sp.csr_array(A), "jac_theta": sp.csr_array(-B)},
        {
            "jac_x": LinearOperator((6, 6), lambda v: A @ v, lambda v: A.T @ v),
            "jac_theta": -B,
            "solve": "gmres",
        },
        {"jvp_x": lambda v: A @ v, "jac_theta": -B, "solve": "lsmr"},
    ]
    for given_products in ways:
        J = solution_jacobian(None, np.zeros(6), np.zeros(3), **given_products)
        assert isinstance(J, LinearOperator)
        assert J.shape == (6, 3)
        assert np.allclose(J @ np.eye(3), exact, rtol=1e-8)
        assert np.allclose(J.T @ np.eye(6), exact.T, rtol=1e-8, atol=1e-9)


def test_pytrees_integers_and_other_arguments():
    class State(NamedTuple):
        u: object
        v: object

    def F(x, theta, power, mode):
        assert mode == "plain"
        return State(x.u - theta["a"] ** power, x.v - x.u[0] * theta["b"])

    theta = {"b": np.array([1.0, 2.0]), "a": np.array([3.0])}
    x = State(np.array([9.0]), 9.0 * theta["b"])
    power = np.array(2)
    d_theta, d_power, d_mode = root_vjp(
        F, x, (theta, power, "plain"), State(np.zeros(1), np.array([1.0, 0.0]))
    )
    assert d_theta["a"] == pytest.approx(6.0, rel=1e-14)
    assert np.allclose(d_theta["b"], [9.0, 0.0], rtol=1e-14)
    assert d_power == pytest.approx(9 * np.log(3), rel=1e-14)  # as of the float
    assert d_mode is None
    tangents = ({"b": np.zeros(2), "a": np.ones(1)}, np.array(0), "plain")
    moved = root_jvp(F, x, (theta, power, "plain"), tangents)
    assert isinstance(moved, State)
    assert np.allclose(moved.v, [6.0, 12.0], rtol=1e-14)


def test_check_estimates_the_error_of_x(ridge):
    w = ridge.solve(None, LAM)
    root_vjp(ridge.gradient, w, (np.array(LAM),), np.ones(5), check=True, symmetric=True)
    with pytest.warns(RuntimeWarning, match="x is not a solution"):
        root_vjp(ridge.gradient, 1.01 * w, (np.array(LAM),), np.ones(5), check=True)
    with pytest.warns(RuntimeWarning, match="not symmetric"):
        root_vjp(
            lambda x, b: np.array([[2.0, 1.0], [0.0, 2.0]]) @ x - b,
            np.array([0.25, 0.5]),
            (np.ones(2),),
            np.ones(2),
            symmetric=True,
            check=True,
        )


def test_singular_systems_get_the_solution_of_least_norm():
    L = np.diag([1.0, 2.0, 2.0, 1.0]) - np.eye(4, k=1) - np.eye(4, k=-1)
    b = np.array([1.0, -1.0, 2.0, -2.0])
    for matrix in (L, sp.csr_array(L)):
        J = solution_jacobian(None, np.zeros(4), np.zeros(4), jac_x=matrix, jac_theta=-np.eye(4))
        assert np.allclose(J @ b, np.linalg.pinv(L) @ b, atol=1e-10)


def test_float32_stays_float32():
    x = np.full(3, 2.0, dtype=np.float32)
    theta = np.full(3, 4.0, dtype=np.float32)
    moved = root_jvp(lambda x, t: x**2 - t, x, (theta,), (np.ones(3, dtype=np.float32),))
    assert moved.dtype == np.float32
    assert np.allclose(moved, 0.25, rtol=1e-6)


@pytest.mark.parametrize("n", [0, 1])
def test_empty_and_single(n):
    J = solution_jacobian(lambda x, t: x - 2 * t, 2 * np.ones(n), np.ones(n))
    assert np.array_equal(J @ np.ones(n), 2 * np.ones(n))
    assert np.array_equal(J.T @ np.ones(n), 2 * np.ones(n))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_extreme_scales(scale):
    (pulled,) = root_vjp(lambda x, t: scale * x - t, np.ones(2), (scale * np.ones(2),), np.ones(2))
    assert np.allclose(pulled * scale, 1, rtol=1e-14)


def test_any_array_library():
    xp = pytest.importorskip("array_api_strict")
    A = xp.asarray([[2.0, 1.0], [0.0, 4.0]])
    x, b = xp.asarray([1.0, 2.0]), xp.asarray([4.0, 8.0])

    def F(x, b):
        return xp.astype(A, x.dtype) @ x - b

    (db,) = root_vjp(F, x, (b,), xp.asarray([1.0, 1.0]), solve="dense")
    assert type(db) is type(x)
    assert np.allclose(np.from_dlpack(db), [0.5, 0.125])


@pytest.mark.gpu
def test_cupy():
    cupy = pytest.importorskip("cupy")
    theta = cupy.asarray([1.0, 4.0, 9.0])
    J = solution_jacobian(lambda x, t: x**2 - t, cupy.sqrt(theta), theta)
    assert cupy.allclose(J.matvec(cupy.ones(3)), 0.5 / cupy.sqrt(theta))


def test_functions_of_jax_are_recognised(ridge):
    jnp = pytest.importorskip("jax.numpy")
    w, slope, *_ = ridge.derivatives(LAM)

    def F(w, lam):
        return jnp.asarray(ridge.XX) @ w + jnp.abs(lam) * w - ridge.Xy  # abs: no complex step would do

    moved = root_jvp(F, w, (np.array(LAM),), (np.array(1.0),))
    assert type(moved) is np.ndarray
    assert np.allclose(moved, slope, rtol=1e-13)
    (pulled,) = root_vjp(F, w, (np.array(LAM),), np.ones(5))
    assert type(pulled) is np.ndarray
    assert pulled == pytest.approx(slope.sum(), rel=1e-13)
    for point in (w, jnp.asarray(w)):
        J = solution_jacobian(lambda w, lam: F(w, lam[0]), point, np.array([LAM]))
        assert np.allclose(J @ np.ones(1), slope, rtol=1e-13)
        assert J.rmatvec(np.ones(5))[0] == pytest.approx(slope.sum(), rel=1e-13)


def test_the_core_needs_no_jax():
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['jax'] = None\n"
        "import numpy as np; from numsolve.implicit import root_vjp, solve_dense, optimality\n"
        "print(root_vjp(lambda x, t: x**2 - t, np.array([2.0]), (np.array([4.0]),), np.ones(1))[0][0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == 0.25
