"""What the caller hands over is looked at, by one product: factors, Jacobians, patterns; without JAX."""

# ruff: noqa: N802 - F is the name of the paper
from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator, splu

from numsolve import PrecisionWarning
from numsolve.implicit import optimality, problems, root_jvp, root_vjp, solution_jacobian, solve_host

RNG = np.random.default_rng(0)
N = 12
SPARSE = sp.diags_array([-1.0, 4.0, -1.5, -0.3], offsets=[-1, 0, 1, 5], shape=(N, N)).tocsr()
A = SPARSE.toarray()
B, C = RNG.standard_normal((2, N))
X = np.linalg.solve(A, B)
UNSOLVED = "relative residual of only"


def F(x, b):
    return A @ x - b


def stale():
    return splu((1.001 * SPARSE).tocsc())


#: name: (F, settings of `solution_jacobian` of which something is of another matrix)
WRONG = {
    "a factor": (F, lambda: {"solve": stale()}),
    "a pair": (F, lambda: {"solve": (stale().solve, lambda c: stale().solve(c, "T"))}),
    "a function": (F, lambda: {"solve": lambda _, b: stale().solve(b)}),
    "jac_x": (F, lambda: {"jac_x": 1.001 * A}),
    "jac_x and its factor": (F, lambda: {"jac_x": 1.001 * A, "solve": stale()}),
    "a factor, F unknown": (None, lambda: {"jac_x": A, "jac_theta": -np.eye(N), "solve": stale()}),
    "a factor and one product": (
        None,
        lambda: {"jvp_x": lambda v: A @ v, "jac_theta": -np.eye(N), "solve": stale()},
    ),
    "a pattern that lacks entries": (F, lambda: {"sparsity": sp.tril(SPARSE)}),
    "a transposed pattern": (F, lambda: {"sparsity": SPARSE.T}),
    "jac_theta": (F, lambda: {"jac_theta": -1.001 * np.eye(N)}),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_belongs_to_another_matrix_is_noticed_in_both_modes(name):
    F, settings = WRONG[name]
    with pytest.warns(RuntimeWarning, match=UNSOLVED):
        solution_jacobian(F, X, B, **settings()) @ C
    with pytest.warns(RuntimeWarning, match=UNSOLVED):
        solution_jacobian(F, X, B, **settings()).T @ C


def test_a_factor_one_newton_step_old_is_noticed():
    problem = problems.Diffusion(4)
    u, _ = problem.solve(np.zeros((5, 5)))
    _, old = problem.solve(np.full((5, 5), 1e-6))
    for call in (
        lambda: root_vjp(problem.equation, u, (np.zeros((5, 5)),), u, solve=old),
        lambda: root_jvp(problem.equation, u, (np.zeros((5, 5)),), (np.ones((5, 5)),), solve=old),
    ):
        with pytest.warns(RuntimeWarning, match=UNSOLVED):
            call()


def test_one_sided_products_are_noticed():
    with pytest.warns(RuntimeWarning, match=UNSOLVED):
        solution_jacobian(F, X, B, vjp_theta=lambda u: -1.001 * u).T @ C
    with pytest.warns(RuntimeWarning, match=UNSOLVED):
        solution_jacobian(F, X, B, jvp_theta=lambda t: -1.001 * t) @ C
    with pytest.warns(RuntimeWarning, match=UNSOLVED):
        solution_jacobian(F, X, B, sparsity=(SPARSE, sp.eye_array(N, k=1))).T @ C
    unsymmetric = {"jvp_x": lambda v: A @ v, "symmetric": True, "solve": "gmres"}
    with pytest.warns(RuntimeWarning, match=UNSOLVED):
        solution_jacobian(F, X, B, **unsymmetric).T @ C


@pytest.mark.parametrize("solve", ["gmres", "bicgstab", "lsmr", "cg"])
def test_a_symmetry_that_is_only_claimed_is_noticed(solve):
    with pytest.warns(RuntimeWarning, match=UNSOLVED):
        root_vjp(F, X, (B,), C, solve=solve, symmetric=True)
    even = A + A.T
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = root_vjp(lambda x, b: even @ x - b, X, (even @ X,), C, solve=solve, symmetric=True)
    assert np.allclose(found, np.linalg.solve(even, C), rtol=1e-7)


@pytest.mark.parametrize("solve", ["auto", "dense", "gmres"])
def test_a_jacobian_may_be_an_operator(solve):
    operators = {"jac_x": aslinearoperator(A), "jac_theta": aslinearoperator(-np.eye(N))}
    J = solution_jacobian(F, X, B, solve=solve, **operators)
    assert np.allclose(J @ C, np.linalg.solve(A, C), rtol=1e-7)
    assert np.allclose(J.T @ C, np.linalg.solve(A.T, C), rtol=1e-7)


def test_what_is_right_passes_in_silence():
    factor = splu(SPARSE.tocsc())
    for settings in (
        {"solve": factor},
        {"solve": (factor.solve, lambda c: factor.solve(c, "T"))},
        {"jac_x": SPARSE, "vjp_theta": lambda u: -u},
        {"sparsity": SPARSE},
        {"sparsity": (SPARSE, sp.eye_array(N))},
        {"solve": factor, "method": "central"},
        {"solve": factor, "method": "forward"},
        {"jvp_x": lambda v: A @ v, "vjp_x": lambda v: A.T @ v, "solve": "gmres"},
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            J = solution_jacobian(F, X, B, **settings)
            assert np.allclose(J @ C, np.linalg.solve(A, C), rtol=1e-5)
            assert np.allclose(J.T @ C, np.linalg.solve(A.T, C), rtol=1e-5)


def test_patterns_are_transposed_with_the_matrix_and_verified():
    for matvec in (lambda v: A @ v, SPARSE):
        assert np.allclose(solve_host(matvec, C, sparsity=SPARSE), np.linalg.solve(A, C), rtol=1e-12)
        x = solve_host(matvec, C, transpose=True, sparsity=SPARSE)
        assert np.allclose(x, np.linalg.solve(A.T, C), rtol=1e-12)
        for transpose in (False, True):
            with pytest.warns(RuntimeWarning, match=UNSOLVED):
                solve_host(matvec, C, transpose=transpose, sparsity=SPARSE.T)
    with pytest.raises(ValueError, match=r"sparsity must have shape \(12, 12\)"):
        solve_host(A, C, sparsity=np.eye(3))


# -- derivatives in matrices ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dense", "csr", "csc", "coo", "dia", "lil", "dok", "bsr"])
def test_the_derivative_in_a_matrix_is_an_outer_product_on_its_entries(kind):
    matrix = A if kind == "dense" else SPARSE.asformat(kind)
    exact = -np.outer(np.linalg.solve(A.T, C), X)
    for equation in (optimality.linear_system, lambda x, A, b: A @ x - b):
        dA, db = root_vjp(equation, X, (matrix, B), C)
        dense = dA if kind == "dense" else dA.toarray()
        assert np.allclose(dense, exact if kind == "dense" else np.where(A != 0, exact, 0), rtol=1e-11)
        assert np.allclose(db, np.linalg.solve(A.T, C), rtol=1e-12)
        assert np.allclose(root_jvp(equation, X, (matrix, B), (matrix, 0 * B)), -X, rtol=1e-12)


def test_weights_transposes_and_signs_are_found_by_trial():
    """F = D (b - A' x): the structure of the derivatives in all of D, A and b is found."""
    calls = []

    def F(x, d, A, b):
        calls.append(1)
        return d * (b - A.T @ x)

    d, x = RNG.uniform(1, 2, N), np.linalg.solve(A.T, B)
    u = np.linalg.solve(A, C)
    dd, dA, db = root_vjp(F, x, (d, A, B), C)
    assert np.allclose(dA, -np.outer(x, u), rtol=1e-11)
    assert np.allclose(db, u, rtol=1e-11)
    assert np.abs(dd).max() < 1e-12  # what D weighs is zero
    assert len(calls) < 60  # not one for each of 144 entries


def test_what_has_no_structure_is_differentiated_entry_by_entry():
    def F(x, A, b):
        return A @ x + 1e-3 * (A * A) @ np.cos(x) - b

    x = RNG.standard_normal(4)
    M = RNG.standard_normal((4, 4)) + 4 * np.eye(4)
    b, c = F(x, M, np.zeros(4)), np.ones(4)
    dM, _ = root_vjp(F, x, (M, b), c)
    u = np.linalg.solve((M - 1e-3 * M * M * np.sin(x)).T, c)
    assert np.allclose(dM, -u[:, None] * (x + 2e-3 * M * np.cos(x)), rtol=1e-12)


def test_closed_forms_agree_with_differences():
    def both(F, x, args, c):
        for one, other in zip(root_vjp(F, x, args, c), root_vjp(partial(F), x, args, c), strict=True):
            assert np.allclose(one, other, rtol=1e-10, atol=1e-13)

    M, b, c = RNG.standard_normal((9, 4)), RNG.standard_normal(9), RNG.standard_normal(4)
    both(optimality.least_squares, np.linalg.lstsq(M, b)[0], (M, b), c)
    both(optimality.linear_system, X, (A, B), C)
    Q, q = M.T @ M, RNG.standard_normal(4)
    E, d, G = np.ones((1, 4)), np.ones(1), -np.eye(4)[:2]
    K = np.block([[Q, E.T, G[:1].T], [E, np.zeros((1, 2))], [G[:1], np.zeros((1, 2))]])
    z = np.linalg.solve(K, np.concatenate([-q, d, [0.3]]))  # the first inequality is active
    h = np.array([0.3, 1.0 - z[1]])
    point = (z[:4], z[4:5], np.array([z[5], 0.0]))
    residuals = optimality.quadratic_program(point, Q, q, E, d, G, h)
    assert max(np.abs(r).max() for r in residuals) < 1e-12
    both(optimality.quadratic_program, point, (Q, q, E, d, G, h), (c, np.ones(1), np.ones(2)))
    both(optimality.quadratic_program, (np.linalg.solve(Q, -q), None, None), (Q, q), (c, None, None))

    sparse = tuple(map(sp.csr_array, (Q, E, G)))
    parts = (sparse[0], q, sparse[1], d, sparse[2], h)
    found = root_vjp(optimality.quadratic_program, point, parts, (c, np.ones(1), np.ones(2)))
    dense = root_vjp(optimality.quadratic_program, point, (Q, q, E, d, G, h), (c, np.ones(1), np.ones(2)))
    for part, one, other in zip(parts, found, dense, strict=True):
        there = part.toarray() != 0 if sp.issparse(part) else True
        plain = one.toarray() if sp.issparse(part) else one
        assert np.allclose(plain, there * other, rtol=1e-10, atol=1e-13)
    no_inequality = (point[0], point[1], None)
    found = root_vjp(optimality.quadratic_program, no_inequality, parts[:4], (c, np.ones(1), None))
    K = np.block([[Q, E.T], [E, np.zeros((1, 1))]])
    assert np.allclose(found[3], np.linalg.solve(K, np.concatenate([c, [1.0]]))[4:], rtol=1e-10)


def test_linear_systems_with_several_right_hand_sides():
    b, c = RNG.standard_normal((2, N, 3))
    x, u = np.linalg.solve(A, b), np.linalg.solve(A.T, c)
    dA, db = root_vjp(optimality.linear_system, x, (A, b), c)
    assert np.allclose(dA, -u @ x.T, rtol=1e-10)
    assert np.allclose(db, u, rtol=1e-10)


def test_tangents_of_sparse_matrices_have_their_entries():
    with pytest.raises(ValueError, match="must have its format and its stored entries"):
        root_jvp(lambda x, A: A @ x - B, X, (SPARSE,), (sp.eye_array(N, format="csr"),))


# -- units ------------------------------------------------------------------------------------------------

UNITS = 10.0 ** np.arange(-30, 30, 5)


@pytest.mark.parametrize("solve", ["auto", "dense", "host"])
def test_units_of_the_equations_do_not_matter(solve):
    def equation(x, t):
        return UNITS * (A @ (x - t))

    assert np.allclose(root_jvp(equation, X, (X,), (C,), solve=solve), C, rtol=1e-10)
    assert np.allclose(root_vjp(equation, X, (X,), C, solve=solve)[0], C, rtol=1e-10)


@pytest.mark.parametrize("sparsity", [None, SPARSE])
def test_units_of_the_unknowns_do_not_matter(sparsity):
    x = X / UNITS
    J = solution_jacobian(lambda x, b: A @ (UNITS * x) - b, x, B, sparsity=sparsity)
    assert np.allclose(UNITS * (J @ C), np.linalg.solve(A, C), rtol=1e-10)
    assert np.allclose(J.T @ (UNITS * C), np.linalg.solve(A.T, C), rtol=1e-10)
    J = solution_jacobian(lambda x, b: UNITS * (A @ x - b), X, B, sparsity=sparsity)
    assert np.allclose(J @ C, np.linalg.solve(A, C), rtol=1e-10)
    assert np.allclose(J.T @ C, np.linalg.solve(A.T, C), rtol=1e-10)


def test_structure_is_not_hidden_by_units():
    size = 10.0 ** np.arange(-40, 80, 10)  # of the unknowns, or of the parameters
    M = np.triu(RNG.standard_normal((N, N)), 1)
    y = RNG.uniform(1.0, 2.0, N)
    u = np.linalg.solve((np.eye(N) + M).T, C)

    def F(x, D, b):  # dF/dx is D, and something that D hides in any direction of numbers near one
        return D @ x + M @ (x / size) - b

    D, b = np.diag(1 / size), y + M @ y
    _, db = root_vjp(F, y * size, (D, b), C / size)
    assert np.allclose(db, u, rtol=1e-10)
    assert np.allclose(root_jvp(F, y * size, (D, b), (0 * D, b)) / size, y, rtol=1e-10)
    (dt,) = root_vjp(lambda x, t: x - t / size - M @ (t / size), b, (y * size,), C)
    assert np.allclose(dt * size, (np.eye(N) + M).T @ C, rtol=1e-10)


@pytest.mark.parametrize("solve", ["cg", "bicgstab", "lsmr"])
def test_an_iteration_that_cannot_see_small_equations_says_so(solve):
    s = np.where(np.arange(N) % 2, 1e-20, 1.0)
    with pytest.warns(RuntimeWarning, match=r"smaller units|relative residual of only"):
        root_jvp(lambda x, t: s * (A @ (x - t)), X, (X,), (C,), solve=solve)


def test_singular_systems_in_any_units_have_the_solution_of_least_norm():
    L = np.diag([1.0, 2.0, 2.0, 1.0]) - np.eye(4, k=1) - np.eye(4, k=-1)  # constants are its kernel
    rows, columns = np.array([1.0, 1e-20, 1e5, 3.0]), np.array([1.0, 1e3, 1.0, 1e-3])
    b = L @ np.arange(4.0)
    J = solution_jacobian(
        None, np.zeros(4), np.zeros(4), jac_x=rows[:, None] * L * columns, jac_theta=-np.diag(rows)
    )
    assert np.allclose(J @ b, np.linalg.pinv(L * columns) @ b, rtol=1e-9, atol=1e-12)


# -- differences ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (lambda x: x**3, lambda x: 3 * x**2),
        (lambda x: np.exp(x / S), lambda x: np.exp(x / S) / S),
        (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    ],
    ids=["cube", "exp", "root"],
)
def test_central_differences_take_a_step_for_each_entry(f, slope):
    x = 2.0 * S
    J = solution_jacobian(lambda x, t: f(x) - t, x, f(x), method="central")
    assert np.allclose(J @ np.eye(4), np.diag(1 / slope(x)), rtol=1e-7, atol=0)
    assert np.allclose(J @ slope(x), 1.0, rtol=1e-7)


S = np.array([1e-12, 1.0, 1e8, 1e-5])


def test_an_entry_that_is_not_analytic_is_found_beside_larger_ones():
    def equation(x, t):
        return np.array([1e9 * (x[0] - t[0]), np.abs(x[1]) - t[1]])

    x = np.array([1.0, -2.0])
    with pytest.warns(PrecisionWarning, match="for entry 1 of F"):
        dx = root_jvp(equation, x, (np.array([1.0, 2.0]),), (np.ones(2),))
    assert np.allclose(dx, [1.0, -1.0], rtol=1e-8)


@pytest.mark.filterwarnings("ignore:the linear system of the derivative")  # of what was lost
@pytest.mark.parametrize("size", [1e10, 1e20, 1e300])
@pytest.mark.parametrize("far", ["x", "theta"])
def test_far_from_a_solution_complex_steps_stay_exact_and_differences_say_that_they_are_lost(far, size):
    x, theta = X.copy(), B.copy()
    (x if far == "x" else theta)[0] = size
    (got,) = root_vjp(F, x, (theta,), C)
    assert np.allclose(got, np.linalg.solve(A.T, C), rtol=1e-12)
    for method in ("central", "forward"):
        with pytest.warns(RuntimeWarning, match="x is not a solution"):
            solution_jacobian(F, x, theta, method=method) @ B


def test_check_names_an_entry_that_is_off_and_the_smallest_singular_value():
    x = np.array([1e10, 1.5])
    with pytest.warns(RuntimeWarning, match=r"entry 1 is off by 5\.0e-01 .*singular value .* 1\.0e\+00"):
        root_vjp(lambda x, t: x - t, x, (np.array([1e10, 1.0]),), np.ones(2), check=True)


def test_complex_parameters_are_no_constants():
    with pytest.raises(TypeError, match="args hold complex numbers"):
        root_vjp(lambda x, t: x - t.real, X, (X + 0j,), C)
