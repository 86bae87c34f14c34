"""Data of any size: right answers, or a word that says why not; success by the true residual; numbers."""

from __future__ import annotations

import warnings
from fractions import Fraction
from operator import mul

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from numsolve import ConvergenceWarning, Status, linear
from numsolve.linear.problems import laplacian

A, B = laplacian(9), np.random.default_rng(0).standard_normal(81)
SOLVERS = {
    "sor": linear.sor,
    "sor, adaptive": lambda *args, **kw: linear.sor(*args, omega="adaptive", **kw),
    "sor, backward": lambda *args, **kw: linear.sor(*args, sweep="backward", **kw),
    "gauss_seidel": linear.gauss_seidel,
    "ssor": linear.ssor,
    "cg": linear.cg,
    "cg, dense": lambda A, *args, **kw: linear.cg(A.toarray(), *args, **kw),
    "cg, operator": lambda A, *args, **kw: linear.cg(aslinearoperator(A), *args, **kw),
    "cg, SSOR": lambda A, *args, **kw: linear.cg(A, *args, M=linear.SSOR(A, 1.3), **kw),
    "cg, flexible": lambda A, *args, **kw: linear.cg(A, *args, M=linear.SSOR(A, 1.3), flexible=True, **kw),
    "ssor_cg": linear.ssor_cg,
    "ssor_cg, backward": lambda *args, **kw: linear.ssor_cg(*args, order="backward", **kw),
    "ssor_cg, standard": lambda *args, **kw: linear.ssor_cg(*args, method="standard", **kw),
    "ict_cg": lambda *args, **kw: linear.ict_cg(*args, droptol=0.1, **kw),
    "bicgstab": linear.bicgstab,
    "bicgstab, ILU": lambda A, *args, **kw: linear.bicgstab(A, *args, M=linear.ILU(A), **kw),
    "bicgstab, operator": lambda A, *args, **kw: linear.bicgstab(aslinearoperator(A), *args, **kw),
    "gmres": linear.gmres,
    "gmres, ILU": lambda A, *args, **kw: linear.gmres(A, *args, M=linear.ILU(A), **kw),
    "gmres, operator": lambda A, *args, **kw: linear.gmres(aslinearoperator(A), *args, **kw),
}


ONE_AT_A_TIME = ("cg, dense", "cg, operator", "cg, SSOR", "cg, flexible", "ssor_cg, standard")


@pytest.fixture(params=SOLVERS.values(), ids=SOLVERS.keys())
def solve(request):
    return request.param


@pytest.mark.parametrize("of_b", [1e-300, 1e-170, 1e-100, 1.0, 1e100, 1e160, 1e290])
@pytest.mark.parametrize("of_A", [1e-170, 1.0, 1e160])
def test_the_unit_does_not_matter(solve, of_A, of_b):
    size = np.log10(of_b) - np.log10(of_A)
    if not -280 < size < 290:
        pytest.skip("the solution is no number")
    want = solve(A, B, rtol=1e-9)
    got = solve(of_A * A, of_b * B, rtol=1e-9)  # warnings are errors here
    assert got.status is Status.CONVERGED
    assert abs(got.nit - want.nit) <= 1
    np.testing.assert_allclose(got.x / of_b * of_A, want.x, rtol=1e-6)
    np.testing.assert_allclose(got.history.residual / of_b, want.history.residual, rtol=1e-5)
    assert got.rhs_norm / of_b == pytest.approx(np.linalg.norm(B))
    assert got.residual <= 1e-9 * got.rhs_norm


@pytest.mark.parametrize("unit", [1e-170, 1e160])
def test_a_start_of_any_size_is_taken(solve, unit):
    x0 = np.random.default_rng(1).standard_normal(81)
    want = solve(A, B, x0, rtol=1e-9)
    got = solve(A, unit * B, unit * x0, rtol=1e-9)
    assert abs(got.nit - want.nit) <= 1
    np.testing.assert_allclose(got.x / unit, want.x, rtol=1e-6)


@pytest.mark.parametrize("unit", [1e-170, 1e160])
def test_the_callback_sees_the_callers_unit(solve, unit):
    seen = []

    def callback(intermediate_result):
        true = np.linalg.norm(B - A @ (intermediate_result.x / unit))
        seen.append((true, intermediate_result.residual / unit))

    solve(A, unit * B, rtol=1e-6, callback=callback)
    true, said = np.array(seen).T
    np.testing.assert_allclose(said, true, rtol=1e-5)


@pytest.mark.parametrize(
    ("of_A", "of_b"), [(1e-200, 1e160), (1e-300, 1e290), (1e160, 1e-170), (1e300, 1e-300)]
)
def test_a_solution_beyond_all_numbers_is_no_success(solve, of_A, of_b):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        r = solve(of_A * A, of_b * B, rtol=1e-9)
    assert [w.category for w in caught] == [ConvergenceWarning]
    assert not r.success
    assert np.isfinite(r.x).all()


@pytest.mark.parametrize("unit", [1e-30, 1e-15, 1.0, 1e15, 1e25])
def test_the_unit_does_not_matter_in_single_precision(solve, unit):
    single, b = A.astype(np.float32), B.astype(np.float32)
    got, want = solve(single, np.float32(unit) * b, rtol=1e-4), solve(single, b, rtol=1e-4)
    assert got.x.dtype == np.float32
    assert abs(got.nit - want.nit) <= 1
    np.testing.assert_allclose(got.x / np.float32(unit), want.x, rtol=1e-3)


def test_several_right_hand_sides_have_each_their_own_unit(solve):
    units = np.array([1e-170, 1.0, 1e160])
    if solve in [SOLVERS[name] for name in ONE_AT_A_TIME]:
        pytest.skip("takes one right-hand side")
    r = solve(A, B[:, None] * units, rtol=1e-9)
    assert r.success.all()
    np.testing.assert_allclose(r.x / units, np.tile(solve(A, B, rtol=1e-9).x[:, None], 3), rtol=1e-6)


# -- success is measured by the true residual --------------------------------------------------------


@pytest.mark.parametrize("rtol", [1e-5, 1e-6, 1e-7])
def test_converged_means_the_true_residual_in_single_precision_too(solve, rtol):
    single, b = laplacian(40).astype(np.float32), np.ones(1600, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        r = solve(single, b, rtol=rtol, maxiter=20_000)
    true = np.linalg.norm(b - single.astype(float) @ r.x.astype(float))
    if r.status is Status.CONVERGED:
        assert r.residual <= rtol * r.rhs_norm
        assert true <= 1.5 * rtol * r.rhs_norm  # the product itself is rounded
    else:
        assert r.status in {Status.ROUNDING, Status.STAGNATED}


def test_no_tolerance_ends_at_the_rounding_errors(solve):
    r = solve(A, B, rtol=0.0)
    assert r.status is Status.ROUNDING or r.residual == 0.0
    assert r.residual <= 1e-12 * r.rhs_norm


def neumann(m):
    line = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(m, m)).tolil()
    line[0, 0] = line[-1, -1] = 1.0
    return sp.csr_array(sp.kronsum(line.tocsr(), line.tocsr()))


NEUMANN = ["cg", "cg, dense", "cg, SSOR", "ssor_cg", "ssor_cg, standard"]
NEUMANN += ["ict_cg", "bicgstab", "bicgstab, operator", "gmres", "gmres, ILU", "gmres, operator"]


@pytest.mark.parametrize("name", NEUMANN)
def test_a_system_without_a_solution_is_no_success(name):
    """All Neumann conditions, and sources that do not add up to zero: the mean part of b remains."""
    singular, b = neumann(20), np.random.default_rng(0).standard_normal(400)
    for mean in (0.1, 10.0):
        with pytest.warns(ConvergenceWarning):
            r = SOLVERS[name](singular, b - b.mean() + mean, rtol=1e-8)
        assert not r.success
        assert r.info != 0
        assert r.residual >= 0.99 * 20 * mean
    solvable = SOLVERS[name](singular, b - b.mean(), rtol=1e-8)
    assert solvable.success


def test_an_operator_that_returns_nan_is_not_called_indefinite():
    bad = LinearOperator((3, 3), matvec=lambda v: v * np.nan, dtype=float)
    with pytest.warns(ConvergenceWarning, match="NaN or an infinity"):
        r = linear.cg(bad, np.ones(3))
    assert r.status is Status.NONFINITE
    assert r.info == -1


def test_the_answer_is_never_the_callers_own_array(solve):
    for b, settings in ((B, {"maxiter": 0}), (A @ np.ones(81), {}), (np.zeros(81), {}), (B, {"maxiter": 3})):
        x0 = np.ones(81)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            r = solve(A, b, x0, **settings)
        r.x[:] = np.nan
        assert np.array_equal(x0, np.ones(81))
        assert np.isfinite(b).all()


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_columns_of_the_old_matrix_class_are_taken(solve):
    r = solve(A, np.matrix(B).T, rtol=1e-9)
    assert type(r.x) is np.ndarray
    assert r.x.shape == (81, 1)
    np.testing.assert_allclose(r.x[:, 0], solve(A, B, rtol=1e-9).x)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("name", ["sor", "cg", "ssor_cg", "ict_cg", "bicgstab", "gmres"])
def test_a_matrix_of_the_old_class_is_taken(name):
    """What ``todense()`` of a sparse matrix returns."""
    solve = SOLVERS[name]
    r = solve(np.matrix(A.toarray()), B, rtol=1e-9)
    assert type(r.x) is np.ndarray
    np.testing.assert_allclose(r.x, solve(A, B, rtol=1e-9).x, rtol=1e-6)


# -- numbers are numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [int, np.int8, np.uint64, np.float32, np.float64, np.asarray])
def test_numbers_of_any_kind_mean_the_same(kind):
    one, ten = kind(1), kind(10)
    want = linear.ssor_cg(A, B, omega=1.0, rtol=0.0, atol=1.0).x
    assert np.array_equal(linear.ssor_cg(A, B, omega=one, rtol=kind(0), atol=one).x, want)
    want = linear.sor(A, B, omega=1.0, maxiter=10, rtol=0.0, atol=1.0).x
    assert np.array_equal(linear.sor(A, B, omega=one, maxiter=ten, rtol=kind(0), atol=one).x, want)
    x, y = np.zeros(81), np.zeros(81)
    linear.sweep(A, x, B, 1.0, iterations=10)
    linear.sweep(A, y, B, one, iterations=ten)
    assert np.array_equal(x, y)
    assert np.array_equal(linear.SSOR(A, one) @ B, linear.SSOR(A, 1.0) @ B)
    assert linear.theory.ssor_cg_iterations(A, one, 1e-8) == linear.theory.ssor_cg_iterations(A, 1.0, 1e-8)
    assert linear.problems.laplacian(ten, kind(2)).shape == (100, 100)

    def picks(number):
        tuner = linear.SmoothCB(
            [number(1), number(2), number(3)],
            degree=(number(2), number(3)),
            context_range=(number(0), number(10)),
            discount=number(1),
            rng=0,
        )
        out = []
        for t in range(60):
            out.append(tuner.suggest(number(t % 10)))
            tuner.observe(number(5 + int(out[-1])))
        return out

    assert picks(kind) == picks(float)
    solver = linear.TunedSolver("sor", arms=[one], rng=0)
    assert solver(A, B, context=kind(3)).success
    assert solver.history.contexts == [3.0]


@pytest.mark.parametrize("cost", [1e-170, 1e160])
@pytest.mark.parametrize(
    "make",
    [
        lambda: linear.TsallisINF([1.0, 1.5, 1.9], baseline=0.0, rng=0),
        lambda: linear.TsallisINFCB([1.0, 1.5, 1.9], context_range=(0, 1), baseline=0.0, rng=0),
        lambda: linear.ChebCB([1.0, 1.5, 1.9], context_range=(0, 1), baseline=0.0, rng=0),
        lambda: linear.SmoothCB([1.0, 1.5, 1.9], rng=0),
    ],
)
def test_costs_in_any_unit_leave_probabilities(make, cost):
    tuner = make()
    for t in range(100):
        arm = tuner.suggest((t % 7) / 7)
        tuner.observe(cost * (1 + abs(arm - 1.5)))
    p = tuner.probabilities(0.5)
    assert np.isfinite(p).all()
    assert (p >= 0).all()
    assert p.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("method", ["eisenstat", "standard"])
@pytest.mark.parametrize(("m", "omega"), [(2, 0.5), (2, 1.7), (4, 0.5), (4, 1.7)])
def test_an_x_beyond_all_bounds_excuses_nothing(method, m, omega):
    """Neumann problems without a solution: the size of the iterates once hid residuals of any size."""
    singular = neumann(m)
    for seed in range(20):
        b = np.random.default_rng(seed).standard_normal(m * m)
        with pytest.warns(ConvergenceWarning):
            r = linear.ssor_cg(singular, b, omega=omega, method=method, rtol=0.0, maxiter=300)
        assert not r.success


def wide(A, x, b):
    """The norm of b - A x in extended precision."""
    return float(np.linalg.norm(b.astype(np.longdouble) - A.toarray().astype(np.longdouble) @ x))


@pytest.mark.skipif(np.finfo(np.longdouble).eps > 1e-18, reason="no extended precision here")
@pytest.mark.parametrize("rtol", [1e-10, 1e-13, 1e-15, 1e-16, 1e-17, 0.0])
def test_converged_is_said_only_where_rounding_errors_cannot_hide_the_truth(rtol):
    """The residual in double precision may fall below the tolerance by luck: that is ROUNDING."""
    solvers = [
        linear.cg,
        linear.ssor_cg,
        lambda A, b, **s: linear.ssor_cg(A, b, method="standard", **s),
        linear.ict_cg,
        linear.bicgstab,
        linear.gmres,
        lambda A, b, **s: linear.TunedSolver("auto", **s)(A, b),
    ]
    converged = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 12))
        B = rng.standard_normal((n, n))
        A = sp.csr_array(B @ B.T + rng.uniform(0.1, 1) * np.eye(n))
        b = rng.standard_normal(n)
        for solve in solvers:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                r = solve(A, b, rtol=rtol)
            converged += r.status is Status.CONVERGED
            if r.status is Status.CONVERGED:
                assert wide(A, r.x, b) <= 1.2 * rtol * r.rhs_norm
            elif r.success:
                assert wide(A, r.x, b) <= 1e-8 * r.rhs_norm
    assert (converged > 70) if rtol == 1e-10 else (converged == 0) if rtol == 0.0 else True


@pytest.mark.parametrize(
    "solve", [linear.bicgstab, linear.sor, lambda A, b, **s: linear.cg(A.toarray(), b, **s)]
)
@pytest.mark.parametrize(("n", "spread", "roundings", "seeds"), [(30, 1.0, 1.02, 400), (2000, 0.0, 3.0, 24)])
def test_converged_allows_for_more_roundings_in_a_row_than_one(solve, n, spread, roundings, seeds):
    """Random rows err by more than a rounding of their terms once in a hundred, sums of equals by many."""
    hidden = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        row, x = (
            rng.uniform(1.0, 2.0) + spread * rng.random(n),
            rng.uniform(1.0, 2.0) + spread * rng.random(n),
        )
        A = sp.csr_array(sp.vstack([row[None, :], sp.eye_array(n, format="csr")[1:]]))
        b = np.r_[row @ x * (1 + 1e-15), x[1:]]
        rounding = 2.0**-53 * np.linalg.norm(A @ x + b)
        truth = abs(float(Fraction(b[0]) - sum(map(mul, map(Fraction, row), map(Fraction, x)))))
        seen = solve(A, b, x0=x, atol=1e9, maxiter=0).residual
        tolerance = (seen + roundings * rounding) / 1.1
        if seen <= tolerance and truth > 1.1 * tolerance:
            hidden += 1
            r = solve(A, b, x0=x, rtol=0.0, atol=tolerance, maxiter=0)
            assert r.status is not Status.CONVERGED
    assert hidden


@pytest.mark.parametrize("solve", [linear.bicgstab, linear.gmres])
def test_no_infinity_hides_in_an_unknown_that_no_equation_has(solve):
    """A zero column, in units whose inverses overflow: the answer is flagged, and finite."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        unit = 10.0 ** rng.uniform(-150, -20)
        singular = sp.csr_array(unit * np.array([[0.0, 1.0], [0.0, 0.0]]))
        with pytest.warns(ConvergenceWarning):
            r = solve(singular, 1e-15 * unit * rng.standard_normal(2), rtol=1e-8, maxiter=20)
        assert not r.success
        assert np.isfinite(r.x).all()


def test_rounding_is_told_from_stagnation_where_products_with_the_residual_overflow():
    A = (1e30 * (2.1 * np.eye(60) - np.eye(60, k=1) - np.eye(60, k=-1))).astype(np.float32)
    x = np.random.default_rng(0).standard_normal(60).astype(np.float32)
    b = (A.astype(float) @ x).astype(np.float32)
    assert linear.cg(A, b, x0=x, rtol=1e-9).status is Status.ROUNDING


@pytest.mark.parametrize("solve", [linear.bicgstab, linear.gmres, linear.TunedSolver("auto", rtol=1e-16)])
@pytest.mark.parametrize("size", [1e-44, 1e-38, 1e38])
def test_scales_at_the_ends_of_single_precision_bring_no_warnings_of_numpy(solve, size):
    A = sp.csr_array(np.float32(size) * np.ones((1, 1), np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        solve(A, np.full(1, 1e3, np.float32))


def test_factors_that_rounding_has_spoilt_are_no_start():
    """Complete factors of a matrix whose condition is beyond all digits may answer worse than zeros."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        Q = np.linalg.qr(rng.standard_normal((13, 13)))[0]
        A = sp.csr_array(((Q * 10.0 ** rng.uniform(-14, 0, 13)) @ Q.T).astype(np.float32))
        b = rng.standard_normal((13, 2)).astype(np.float32)
        for rhs in (b, b[:, 0]):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                r = linear.TunedSolver("auto", arms=[("direct", 4)], rtol=1e-16)(A, rhs)
            assert np.all(r.residual <= 1.000001 * r.rhs_norm)
