"""The same calls on arrays of other libraries: kernels against formulas, results against those of NumPy."""

from __future__ import annotations

import contextlib

import array_api_strict as strict
import numpy as np
import pytest
from scipy.special import logsumexp

from numsolve import transport
from numsolve._core.arrays import array_namespace, kernels_for, to_host
from numsolve._core.result import ConvergenceWarning, Status
from numsolve.transport import _generic as generic
from numsolve.transport import _generic_newton as generic_newton
from numsolve.transport import _schur as schur

INF = float("inf")


@contextlib.contextmanager
def double_precision(library):
    """JAX computes in single precision unless it is told otherwise."""
    if library != "jax":
        yield
        return
    jax = pytest.importorskip("jax")

    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        yield


def module(library):
    return {
        "numpy": lambda: np,
        "array_api_strict": lambda: strict,
        "jax": lambda: pytest.importorskip("jax.numpy"),
        "cupy": lambda: pytest.importorskip("cupy"),
    }[library]()


@pytest.fixture(params=["numpy", "array_api_strict", "jax"])
def xp(request):
    with double_precision(request.param):
        yield module(request.param)


#: What is not NumPy; CuPy where there is a device.
@pytest.fixture(params=["array_api_strict", "jax", pytest.param("cupy", marks=pytest.mark.gpu)])
def other(request):
    with double_precision(request.param):
        yield module(request.param)


def data(n=4, m=6, seed=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, m)), rng.normal(size=n), rng.normal(size=m)


def arrays(xp, *values):
    return [xp.asarray(value) for value in values]


def close(actual, expected, rtol=1e-13, atol=0.0):
    np.testing.assert_allclose(to_host(actual), expected, rtol=rtol, atol=atol)


# -- the kernels against direct formulas -----------------------------------------------------------


def test_exp2_is_the_power_of_two(xp):
    t = np.linspace(-1000, 1000, 77)
    close(generic.exp2(xp.asarray(t)), np.exp2(t))


@pytest.mark.parametrize("reg", [0.05, 1.0, 30.0])
def test_the_plan_and_its_sums(xp, reg):
    M, f, g = data()
    P = np.exp((f[:, None] + g[None, :] - M) / reg)
    given = arrays(xp, M, f, g)
    close(generic.plan(*given, reg), P)
    close(generic.plan_row_sums(*given, reg), P.sum(axis=1))
    close(generic.plan_column_sums(*given, reg), P.sum(axis=0))
    close(generic.log_row_sums(*given, reg), np.log(P.sum(axis=1)), atol=1e-13)
    close(generic.log_column_sums(*given, reg), np.log(P.sum(axis=0)), atol=1e-13)


@pytest.mark.parametrize("reg", [1e-6, 1e-3])
def test_the_logarithmic_sums_are_safe_where_the_plan_overflows(xp, reg):
    M, f, g = data()
    exponent = (f[:, None] + g[None, :] - M) / reg
    assert exponent.max() > 800
    given = arrays(xp, M, f, g)
    close(generic.log_row_sums(*given, reg), logsumexp(exponent, axis=1))
    close(generic.log_column_sums(*given, reg), logsumexp(exponent, axis=0))


def test_a_forbidden_pair_has_no_mass(xp):
    M, f, g = data()
    M[0, 1] = M[3, 5] = INF
    P = np.exp(f[:, None] + g[None, :] - M)
    given = arrays(xp, M, f, g)
    plan = to_host(generic.plan(*given, 1.0))
    assert plan[0, 1] == plan[3, 5] == 0.0
    close(generic.log_row_sums(*given, 1.0), np.log(P.sum(axis=1)), atol=1e-13)
    close(generic.log_column_sums(*given, 1.0), np.log(P.sum(axis=0)), atol=1e-13)


def newton_system(n=5, m=7):
    """S = diag(d) - P diag(1/b) P', positive definite as d exceeds the row sums of P."""
    rng = np.random.default_rng(8)
    P = rng.random((n, m))
    d, b = P.sum(axis=1) + 0.01, P.sum(axis=0)
    return P, d, b, rng.normal(size=n), np.diag(d) - P @ np.diag(1 / b) @ P.T


def test_the_newton_matrix_and_its_solution(xp):
    P, d, b, rhs, S = newton_system()
    given = arrays(xp, P, d, b, rhs)
    library = array_namespace(x=given[0])
    close(schur.schur_matrix(library, *given[:3]), S, atol=1e-15)
    solved = schur.cholesky_solve(library, schur.schur_matrix(library, *given[:3]), given[3])
    close(solved, np.linalg.solve(S, rhs), rtol=1e-11)


def test_conjugate_gradients_solve_the_newton_system_in_n_steps(xp):
    P, d, b, rhs, S = newton_system()
    x, steps, done = generic_newton.schur_cg(*arrays(xp, P, d, b, rhs), 1e-12, 20)
    assert done
    assert steps <= rhs.size + 1
    close(x, np.linalg.solve(S, rhs), rtol=1e-9)


def test_conjugate_gradients_stop_where_they_are_told(xp):
    P, d, b, rhs, S = newton_system()
    given = arrays(xp, P, d, b, rhs)
    assert generic_newton.schur_cg(*given, 1e-14, 2)[1:] == (2, False)
    for stop in (1.0, 1e-3, 1e-6):
        x, _, done = generic_newton.schur_cg(*given, stop, 20)
        assert done
        assert np.abs(S @ to_host(x) - rhs).sum() <= stop * (1 + 1e-9)


@pytest.mark.parametrize("library", ["array_api_strict", "jax"])
def test_other_libraries_get_these_kernels_and_numpy_the_compiled_ones(library):
    assert kernels_for(module(library), "numsolve.transport") is generic
    own = kernels_for(np, "numsolve.transport")
    assert own.__name__ == "numsolve.transport._cpu"
    for name in ("plan", "plan_row_sums", "plan_column_sums", "log_row_sums", "log_column_sums"):
        given = (*data(), 0.4)
        close(getattr(own, name)(*given), getattr(generic, name)(*given), atol=1e-13)


# -- the solvers against NumPy ---------------------------------------------------------------------

SOLVERS = {
    "newton": transport.solve,
    "sinkhorn": lambda M, a, b, reg, **kw: transport.sinkhorn(a, b, M, reg, **kw),
    "sns": lambda M, a, b, reg, **kw: transport.sinkhorn_newton_sparse(a, b, M, reg, density=0.3, **kw),
}


@pytest.fixture(params=SOLVERS.values(), ids=SOLVERS.keys())
def solver(request):
    return request.param


CASES = [("rectangular 12x17", 0.1), ("rectangular 12x17", 0.02), ("rectangular 17x12", 0.05)]


def library_of(array):
    return type(array).__module__.partition(".")[0]


@pytest.mark.parametrize(("name", "reg"), CASES, ids=str)
def test_results_equal_those_of_numpy(other, solver, problem, error, name, reg):
    M, a, b = problem(name)
    ours = solver(*arrays(other, M, a, b), reg, tol=1e-11)
    reference = solver(M, a, b, reg, tol=1e-11)
    assert ours.success
    assert reference.success
    close(ours.plan, reference.plan, rtol=0, atol=1e-9)
    assert ours.value == pytest.approx(reference.value, abs=1e-9)
    assert ours.value_linear == pytest.approx(reference.value_linear, abs=1e-9)
    assert ours.kl == pytest.approx(reference.kl, abs=1e-8)
    f, g = map(to_host, ours.potentials)
    close(np.exp((f[:, None] + g - M) / reg), reference.plan, rtol=0, atol=1e-9)
    assert error(to_host(ours.plan), a, b) <= 1.1e-11


@pytest.mark.parametrize("form", ["log", "plan", "scaling", "stabilized"])
def test_each_form_of_sinkhorn_equals_the_one_of_numpy(other, problem, form):
    M, a, b = problem("rectangular 12x17")
    ours = transport.sinkhorn(*arrays(other, a, b, M), 0.05, method=form)
    reference = transport.sinkhorn(a, b, M, 0.05, method=form)
    assert ours.nit == reference.nit
    close(ours.plan, reference.plan, rtol=0, atol=1e-12)


def test_arrays_out_are_arrays_of_the_callers_library(other, solver, problem):
    M, a, b = arrays(other, *problem("rectangular 12x17"))
    r = solver(M, a, b, 0.1)
    for array, shape in ((r.plan, (12, 17)), (r.potentials[0], (12,)), (r.potentials[1], (17,))):
        assert library_of(array) == library_of(M)
        assert tuple(array.shape) == shape
        assert array.dtype == M.dtype
    assert all(type(v) is float for v in (r.value, r.value_linear, r.kl, r.marginal_error))
    assert library_of(r.barycentric_map(b)) == library_of(M)
    r.plot().figure.canvas.draw()
    _close_figures()


def test_weights_left_out_lists_and_single_precision(other, solver, problem):
    M = np.asarray(problem("rectangular 12x17")[0])
    r = solver(other.asarray(M), None, [1 / 17] * 17, 0.1)
    close(r.plan, solver(M, None, None, 0.1).plan, rtol=0, atol=1e-9)
    single = solver(other.asarray(M, dtype=other.float32), None, None, 0.1, tol=1e-5)
    assert single.success
    assert single.plan.dtype == other.float32
    close(single.plan, to_host(r.plan), rtol=0, atol=1e-6)


def test_zero_weights_and_forbidden_pairs(other, solver, problem):
    M, a, b = (np.array(x) for x in problem("rectangular 12x17"))
    a[[0, 5]], b[16] = 0, 0
    b *= a.sum() / b.sum()
    M[2, 3] = M[4, 4] = INF
    M[0] = INF  # no weight, no matter
    r = solver(*arrays(other, M, a, b), 0.1, tol=1e-10)
    close(r.plan, solver(M, a, b, 0.1, tol=1e-10).plan, rtol=0, atol=1e-9)
    plan = to_host(r.plan)
    assert not plan[[0, 5]].any()
    assert not plan[:, 16].any()
    assert plan[2, 3] == plan[4, 4] == 0
    assert np.array_equal(np.isneginf(to_host(r.potentials[0])), a == 0)
    assert np.array_equal(np.isneginf(to_host(r.potentials[1])), b == 0)


def test_warm_start_with_arrays_of_the_library(other, solver, problem):
    M, a, b = arrays(other, *problem("rectangular 12x17"))
    r = solver(M, a, b, 0.05, tol=1e-11)
    again = solver(M, a, b, 0.05, tol=1e-10, potentials_init=r.potentials)
    assert again.nit == 0
    close(again.plan, to_host(r.plan), rtol=0, atol=1e-9)


def test_a_run_that_was_cut_short_returns_its_best_iterate(other, solver, problem, error):
    M, a, b = problem("rectangular 12x17")
    with pytest.warns(ConvergenceWarning):
        r = solver(*arrays(other, M, a, b), 0.02, maxiter=2)
    assert r.status is Status.MAXITER
    assert r.marginal_error == pytest.approx(error(to_host(r.plan), a, b), rel=1e-9)


def test_libraries_are_not_mixed(other, solver, problem):
    M, a, b = problem("rectangular 12x17")
    with pytest.raises(TypeError, match="M is a numpy array and a is a"):
        solver(M, other.asarray(a), b, 0.1)
    with pytest.raises(TypeError, match="b is a numpy array"):
        solver(other.asarray(M), other.asarray(a), b, 0.1)


def test_jax_without_double_precision_gets_as_far_as_single_goes(solver, problem):
    jnp = pytest.importorskip("jax.numpy")
    M, a, b = arrays(jnp, *(np.asarray(x, dtype=np.float32) for x in problem("rectangular 12x17")))
    r = solver(M, a, b, 0.1)
    assert r.success
    assert r.plan.dtype == jnp.float32
    assert r.marginal_error < 1e-5


def _close_figures():
    import matplotlib.pyplot as plt

    plt.close("all")
