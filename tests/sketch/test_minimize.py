"""Equality-constrained minimisation: published optima, independent residuals, problems without a solution."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.linalg import null_space
from scipy.optimize import BFGS, Bounds, LinearConstraint, NonlinearConstraint
from scipy.sparse.linalg import splu

from numsolve import ConvergenceWarning, Status, sketch
from numsolve.sketch._inner import Splu
from numsolve.sketch._jaxed import Derivatives
from numsolve.sketch._point import Point
from numsolve.sketch._problem import Problem

jnp = pytest.importorskip("jax.numpy")

#: From Hock and Schittkowski (CUTEst): objective, constraints, start, optimal value.
PROBLEMS = {
    "HS6": (lambda x: (1 - x[0]) ** 2, lambda x: 10 * (x[1] - x[0] ** 2), [-1.2, 1], 0.0),
    "HS7": (
        lambda x: jnp.log(1 + x[0] ** 2) - x[1],
        lambda x: (1 + x[0] ** 2) ** 2 + x[1] ** 2 - 4,
        [2, 2],
        -np.sqrt(3),
    ),
    "HS40": (
        lambda x: -x[0] * x[1] * x[2] * x[3],
        lambda x: jnp.stack([x[0] ** 3 + x[1] ** 2 - 1, x[0] ** 2 * x[3] - x[2], x[3] ** 2 - x[1]]),
        [0.8] * 4,
        -0.25,
    ),
    "HS42": (
        lambda x: jnp.sum((x - jnp.arange(1.0, 5.0)) ** 2),
        lambda x: jnp.stack([x[0] - 2, x[2] ** 2 + x[3] ** 2 - 2]),
        [1.0] * 4,
        13.857864376269049,
    ),
    "Rosenbrock": (lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2, (), [-1.2, 1], 0.0),
}


def kkt(name, r):
    """The residual, from the problem's own derivatives."""
    parts = derived(name)
    if parts["constraints"] == ():
        return np.linalg.norm(parts["jac"](r.x))
    c, G, _ = parts["constraints"]
    gradient = parts["jac"](r.x) + np.atleast_2d(G(r.x)).T @ r.lam
    return np.hypot(np.linalg.norm(gradient), np.linalg.norm(c(r.x)))


@functools.cache
def derived(name):
    """The derivatives of a problem, compiled once for all inner solvers."""
    fun, c, _, _ = PROBLEMS[name]
    f, h = Derivatives(fun), Derivatives(c) if c != () else None
    return {
        "fun": f.value,
        "jac": f.gradient,
        "hess": f.hessian,
        "constraints": () if h is None else (h.value, h.jacobian, h.hessian),
    }


#: Kaczmarz is run where the systems are well conditioned: its steps grow with the square of the condition.
RUNS = [(name, inner) for name in PROBLEMS for inner in ("ldl", "splu", "minres", "sparse-sign")]
RUNS += [(name, "kaczmarz") for name in ("HS6", "HS7", "HS40")]


@pytest.mark.parametrize(("name", "inner"), RUNS)
def test_the_optimum_of_the_literature(name, inner):
    _, _, x0, value = PROBLEMS[name]
    r = sketch.minimize(x0=np.array(x0, float), inner=inner, rng=0, **derived(name))
    assert r.success
    assert r.residual <= 1e-8
    assert r.residual == pytest.approx(kkt(name, r), abs=1e-12)
    assert r.fun == pytest.approx(value, abs=2e-7)
    assert r.constr_violation <= 1e-8
    assert r.scaled_residual <= r.residual


def test_superlinear_convergence():
    K = sketch.minimize(x0=np.array(PROBLEMS["HS40"][2]), tol=1e-14, **derived("HS40")).history.residual
    K = K[(K < 0.5) & (K > 1e-14)]
    assert len(K) >= 3
    assert np.all(np.log(K[1:]) / np.log(K[:-1]) > 1.5)


def forms(c, jac, hess):
    yield (c, jac, hess)
    yield {"type": "eq", "fun": c, "jac": jac, "hess": hess}
    yield NonlinearConstraint(lambda x: c(x) + 3, 3, 3, jac=jac, hess=hess)
    yield [(c, lambda x: sp.csr_array(jac(x)), lambda x, v: sp.csr_array(hess(x, v)))]
    yield c
    yield NonlinearConstraint(c, 0, 0)
    yield (c, jac, "2-point")
    yield (c, "2-point", "2-point")


@pytest.mark.parametrize("form", range(8))
def test_all_forms_of_a_constraint_are_the_same_constraint(form):
    def c(x):
        return x @ x - 2

    constraint = list(forms(c, lambda x: 2 * x[None], lambda x, v: 2 * v[0] * np.eye(x.size)))[form]
    r = sketch.minimize(
        lambda x: x[0] + x[1],
        [-1.0, -0.5],
        jac=lambda x: np.ones(2),
        hess=lambda x: np.zeros((2, 2)),
        constraints=constraint,
        tol=1e-6 if form == 7 else 1e-8,
    )
    assert r.success
    np.testing.assert_allclose(r.x, [-1, -1], atol=1e-6)
    np.testing.assert_allclose(r.lam, 0.5, atol=1e-6)


def quadratic(n, m, seed=0):
    rng = np.random.default_rng(seed)
    Q = rng.normal(size=(n, n))
    H = Q @ Q.T + np.eye(n)
    return H, rng.normal(size=n), rng.normal(size=(m, n)), rng.normal(size=m)


@pytest.mark.parametrize("inner", ["ldl", "splu", "minres", "block"])
def test_a_quadratic_program_is_its_kkt_system(inner):
    H, g, A, b = quadratic(30, 10)
    r = sketch.minimize(
        lambda x: 0.5 * x @ H @ x + g @ x,
        np.zeros(30),
        jac=lambda x: H @ x + g,
        hess=lambda x: H,
        constraints=LinearConstraint(A, b, b),
        inner=inner,
        sketch_size=35,
        rng=0,
    )
    exact = np.linalg.solve(np.block([[H, A.T], [A, np.zeros((10, 10))]]), np.concatenate([-g, b]))
    np.testing.assert_allclose(np.concatenate([r.x, r.lam]), exact, rtol=1e-7, atol=1e-9)
    if inner in {"ldl", "splu"}:
        assert r.nit == 1
        np.testing.assert_allclose(r.x, exact[:30], rtol=1e-10, atol=1e-12)


def test_products_alone_are_enough():
    H, g, A, b = quadratic(30, 10)
    stored = sketch.minimize(lambda x: 0.5 * x @ H @ x + g @ x, np.zeros(30), jac=lambda x: H @ x + g,
                             hessp=lambda x, p: H @ p, constraints=LinearConstraint(A, b, b))  # fmt: skip
    operator = sketch.minimize(lambda x: 0.5 * x @ H @ x + g @ x, np.zeros(30), jac=lambda x: H @ x + g,
                               hess=lambda x: sp.linalg.aslinearoperator(H),
                               constraints=(lambda x: A @ x - b, lambda x: sp.linalg.aslinearoperator(A),
                                            lambda x, v: np.zeros((30, 30))))  # fmt: skip
    assert stored.inner == operator.inner == "minres"
    assert stored.success
    assert operator.success
    np.testing.assert_allclose(stored.x, operator.x, rtol=1e-6, atol=1e-7)


def test_an_inner_solver_of_the_user():
    H, g, A, b = quadratic(12, 4)

    def inner(K, r, rtol, z0):
        assert rtol > 0
        return np.linalg.solve(K @ np.eye(16), r) + z0, 0

    r = sketch.minimize(lambda x: 0.5 * x @ H @ x + g @ x, np.zeros(12), jac=lambda x: H @ x + g,
                        hess=lambda x: H, constraints=LinearConstraint(A, b, b), inner=inner)  # fmt: skip
    assert r.success
    assert r.nit == 1


@pytest.mark.parametrize(("n", "value"), [(3, 9.644442051812), (20, 470.816752865803)])
def test_the_control_problem_of_the_paper(n, value):
    p = sketch.problems.control(n)
    r = sketch.minimize(
        p.fun, p.x0, jac=p.jac, hess=p.hess, constraints=p.constraints, lam0=np.ones(n * n), tol=1e-7
    )
    assert r.success
    assert r.nit == 1
    assert r.fun == pytest.approx(value, rel=1e-12)
    if n == 3:  # the residual of the start in thirty digits; the paper prints 19.2
        assert r.history.residual[0] == pytest.approx(19.18673506918660778861449927, rel=1e-14)
    else:
        assert r.inner == "splu"


def test_a_large_control_problem_is_not_filled_in():
    """Factors of a system without pivoting have at most the entries of SuperLU's own order with it."""
    p = sketch.problems.control(60)
    c, jac, _ = p.constraints
    H, G = p.hess(p.x0), jac(p.x0)
    solver = Splu(H.shape[0], G.shape[0])
    solver.prepare(H, G)
    b = np.concatenate([p.jac(p.x0), c(p.x0)])
    step = solver.solve(b, 0.0, 0.0, 0.0)
    K = sp.csc_matrix(sp.block_array([[H, G.T], [G, None]]))
    usual = splu(K)
    assert solver.lu.L.nnz + solver.lu.U.nnz <= usual.L.nnz + usual.U.nnz
    np.testing.assert_allclose(K @ step.z, b, atol=1e-9 * np.linalg.norm(b))
    assert step.convex
    assert solver.negatives() == G.shape[0]


@pytest.mark.parametrize("at_the_saddle", [True, False])
def test_a_sparse_saddle_point_is_left(at_the_saddle):
    """Wells on both sides of 0 in each of 300 variables, under sparse equations that 0 fulfils."""
    rng = np.random.default_rng(0)
    G = sp.csr_array(sp.random_array((60, 300), density=0.01, rng=rng))
    G = G[np.diff(G.indptr) > 0]
    r = sketch.minimize(
        lambda x: np.sum(x**4 / 4 - x**2 / 2),
        np.zeros(300) if at_the_saddle else 1e-9 * rng.normal(size=300),
        jac=lambda x: x**3 - x,
        hess=lambda x: sp.diags_array(3 * x**2 - 1).tocsc(),
        constraints=LinearConstraint(G, 0, 0),
    )
    assert r.success
    assert r.inner == "splu"
    Z = null_space(G.toarray())
    assert np.linalg.eigvalsh(Z.T @ np.diag(3 * r.x**2 - 1) @ Z).min() > 0
    assert np.linalg.norm(G @ r.x) <= 1e-8


def test_a_sparse_maximum_is_no_success():
    """A concave function on a subspace has no minimum."""
    G = sp.csr_array(np.ones((1, 300)))
    with pytest.warns(ConvergenceWarning):
        r = sketch.minimize(
            lambda x: -0.5 * x @ x,
            np.zeros(300),
            jac=lambda x: -x,
            hess=lambda x: sp.diags_array(-np.ones(300)).tocsc(),
            constraints=LinearConstraint(G, 0, 0),
            maxiter=30,
        )
    assert not r.success


@pytest.mark.parametrize("seed", range(4))
def test_a_sparse_indefinite_quadratic_is_no_success(seed):
    """Hessians without a diagonal: rows are exchanged, and the pivots tell no inertia."""
    rng = np.random.default_rng(seed)
    S = sp.csc_array(sp.random_array((220, 220), density=0.015, rng=rng))
    S = sp.csc_array(S + S.T) / 2
    G = sp.csr_array(sp.random_array((40, 220), density=0.02, rng=rng))
    G, g = G[np.diff(G.indptr) > 0], rng.normal(size=220)
    Z = null_space(G.toarray())
    assert np.linalg.eigvalsh(Z.T @ S.toarray() @ Z).min() < -0.1
    with pytest.warns(ConvergenceWarning):
        r = sketch.minimize(
            lambda x: 0.5 * x @ (S @ x) + g @ x,
            rng.normal(size=220),
            jac=lambda x: S @ x + g,
            hess=lambda x: S,
            constraints=LinearConstraint(G, 0, 0),
            maxiter=30,
        )
    assert r.inner == "splu"
    assert not r.success


def test_the_slope_of_the_merit_function_is_its_derivative():
    x0, parts = PROBLEMS["HS40"][2], derived("HS40")
    problem = Problem(parts["fun"], x0, (), parts["jac"], parts["hess"], None, parts["constraints"])
    rng = np.random.default_rng(0)
    x, lam = np.array(x0) + 0.1 * rng.normal(size=4), rng.normal(size=3)
    dx, dl = rng.normal(size=4), rng.normal(size=3)

    def merit(t):
        return Point.make(problem.evaluate(x + t * dx), lam + t * dl).merit(3.0, 0.7)

    slope = Point.make(problem.evaluate(x), lam).slope(problem.hessian(x, lam), dx, dl, 3.0, 0.7)
    h = 1e-5
    assert slope == pytest.approx((merit(h) - merit(-h)) / (2 * h), rel=1e-6)


# -- problems without a solution, or with degenerate ones ----------------------------------------------

WITHOUT = {
    "concave": (lambda x: -(x[0] ** 2), (), [1.0], Status.UNBOUNDED),
    "concave, from its maximum": (lambda x: -(x[0] ** 2) + x[1] ** 2, (), [0.0, 1.0], Status.UNBOUNDED),
    "linear": (lambda x: x[0] + x[1], lambda x: x[1] - 2, [1.0, 1.0], Status.UNBOUNDED),
    "logarithm": (lambda x: -jnp.log(1 + x[0] ** 2), (), [1.0], Status.STAGNATED),
    "at infinity": (lambda x: jnp.exp(-x[0]), (), [1.0], Status.STAGNATED),
    "feasible at infinity": (lambda x: x[1] ** 2, lambda x: jnp.exp(-x[0]), [1.0, 1.0], Status.STAGNATED),
    "no real root": (lambda x: x[0], lambda x: x[0] ** 2 + 1, [1.0], Status.INFEASIBLE),
    "contradiction": (
        lambda x: x @ x,
        lambda x: jnp.stack([x[0] + x[1] - 1, x[0] + x[1] - 2]),
        [1.0, 1.0],
        Status.INFEASIBLE,
    ),
    "sphere and plane": (
        lambda x: x @ x,
        lambda x: jnp.stack([x @ x - 4, x[0] - 3]),
        [1.0, 1.0, 3.0],
        Status.INFEASIBLE,
    ),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_a_problem_without_a_solution_is_never_converged(name):
    fun, c, x0, status = WITHOUT[name]
    with pytest.warns(ConvergenceWarning):
        r = sketch.minimize(fun, np.array(x0), constraints=c)
    assert r.status is status


@pytest.mark.parametrize(
    ("fun", "c", "x0", "value"),
    [
        (lambda x: x @ x, lambda x: jnp.stack([x[0] + x[1] - 1, 2 * x[0] + 2 * x[1] - 2]), [1, 1, 3], 0.5),
        (
            lambda x: (x[0] - 20) ** 2 + (x[1] + 20) ** 2,
            lambda x: 0.01 * (x @ x) - 1,
            [0, 0],
            334.3145750507622,
        ),
        (lambda x: x[0] ** 4, (), [1.0], 0.0),
        (lambda x: (x[0] ** 2 - 1) ** 2 + x[1] ** 2, (), [0.0, 1.0], 0.0),
    ],
    ids=["dependent", "no gradient of the constraint at the start", "quartic", "from a saddle"],
)  # fmt: skip
def test_degenerate_problems(fun, c, x0, value):
    r = sketch.minimize(fun, np.array(x0, float), constraints=c)
    assert r.success
    assert r.fun == pytest.approx(value, abs=1e-9)


def test_a_function_that_is_not_finite_on_the_way_is_backed_away_from():
    with np.errstate(invalid="ignore"):
        r = sketch.minimize(lambda x: x[0] - np.log(x[0]), [3.0], jac=lambda x: 1 - 1 / x,
                            hess=lambda x: np.diag(1 / x**2))  # fmt: skip
    assert r.success
    np.testing.assert_allclose(r.x, 1.0)


def test_functions_may_use_their_arrays_again():
    buffer, matrix = np.empty(2), np.empty((1, 2))

    def jac(x):
        buffer[:] = 2 * x
        return buffer

    def jac_c(x):
        matrix[:] = [1.0, 2 * x[1]]
        x[:] = np.nan
        return matrix

    r = sketch.minimize(lambda x: x @ x, [2.0, 1.0], jac=jac, hess=lambda x: 2 * np.eye(2),
                        constraints=(lambda x: x[0] + x[1] ** 2 - 1, jac_c,
                                     lambda x, v: np.diag([0, 2 * v[0]])))  # fmt: skip
    assert r.success
    np.testing.assert_allclose(np.abs(r.x), [0.5, np.sqrt(0.5)], rtol=1e-7)


def test_jac_true_and_further_arguments():
    r = sketch.minimize(lambda x, a: ((x - a) @ (x - a), 2 * (x - a)), np.zeros(3), args=(2.0,), jac=True,
                        hess=lambda x, a: 2 * np.eye(3))  # fmt: skip
    np.testing.assert_allclose(r.x, 2.0)
    assert r.nfev == 2


GOOD = {
    "fun": lambda x: float(x @ x),
    "x0": np.ones(2),
    "jac": lambda x: 2 * x,
    "hess": lambda x: 2 * np.eye(2),
}
BAD = [
    ({"x0": np.ones((2, 1))}, ValueError, "x0 must be 1-D"),
    ({"x0": [np.nan, 1]}, ValueError, "x0 must hold finite"),
    ({"x0": np.ones(2) * 1j}, TypeError, "complex"),
    ({"fun": 3}, TypeError, "fun must be callable"),
    ({"fun": lambda x: np.log(-x[0]), "hess": lambda x: np.eye(2)}, ValueError, "finite numbers at x0"),
    ({"jac": lambda x: np.ones(3)}, ValueError, r"shape \(2,\), got \(3,\)"),
    ({"hess": lambda x: np.ones(2)}, ValueError, r"shape \(2, 2\)"),
    ({"jac": None, "fun": lambda x: float(np.sin(x) @ x)}, ValueError, "jac is needed"),
    ({"hess": None, "fun": lambda x: float(np.sin(x) @ x)}, ValueError, "hess or hessp is needed"),
    ({"hess": "bfgs"}, ValueError, "quasi-Newton update"),
    ({"hess": BFGS()}, ValueError, "quasi-Newton update"),
    ({"hess": "cs"}, ValueError, "hess must be callable"),
    ({"bounds": Bounds(0, 1)}, TypeError, "has no bounds"),
    ({"method": "trust-constr"}, TypeError, "is one method"),
    ({"constraints": Bounds(0, 1)}, ValueError, "trust-constr"),
    ({"constraints": {"type": "ineq", "fun": lambda x: x[0]}}, ValueError, "only equalities"),
    ({"constraints": {"type": "eq", "fun": lambda x: x[0], "jacobian": 1}}, ValueError, "unknown key"),
    ({"constraints": LinearConstraint(np.ones((1, 2)), 0, 1)}, ValueError, "lb != ub"),
    ({"constraints": LinearConstraint(np.ones((1, 3)), 0, 0)}, ValueError, "2 columns"),
    ({"constraints": NonlinearConstraint(lambda x: x[0], -np.inf, 0)}, ValueError, "lb != ub"),
    ({"constraints": (lambda x: np.ones(3), lambda x: np.ones((3, 2)))}, ValueError, "3 constraints for 2"),
    ({"constraints": (lambda x: x[:1], lambda x: np.ones((2, 2)))}, ValueError, r"shape \(1, 2\)"),
    ({"constraints": (lambda x: np.sin(x[0]), np.cos)}, ValueError, "needs hess"),
    ({"constraints": 3}, TypeError, "constraints must be"),
    ({"lam0": np.ones(1)}, ValueError, "lam0 must have shape"),
    ({"inner": "cg"}, ValueError, "inner must be one of"),
    ({"inner": "ldl", "hess": None, "hessp": lambda x, p: 2 * p}, ValueError, "use 'minres'"),
    ({"tol": -1}, ValueError, "tol"),
    ({"eta1": 0}, ValueError, "eta1"),
    ({"beta": 0.5}, ValueError, "beta"),
    ({"nu": 1}, ValueError, "nu"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD, ids=lambda v: v if isinstance(v, str) else None)
def test_bad_input_is_named(change, error, message):
    with np.errstate(invalid="ignore"), pytest.raises(error, match=message):
        sketch.minimize(**{**GOOD, **change})


def test_without_jax_the_error_says_what_to_install(monkeypatch):
    from numsolve._core import extras

    monkeypatch.setattr(extras, "installed", lambda package: False)
    with pytest.raises(ValueError, match=r'jac is needed .*pip install "numsolve\[jax\]"'):
        sketch.minimize(lambda x: x @ x, np.ones(2))
