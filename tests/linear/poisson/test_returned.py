"""What is told is told of the x that is handed back, at any size of the numbers."""

from __future__ import annotations

import threading
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from numsolve import ConvergenceWarning, Status, linear
from numsolve.linear.poisson import _hierarchy
from numsolve.linear.problems import random_obstacles

F = np.zeros((6, 6), dtype=int)
F[:, -1] = 2
CLOSED = np.zeros((12, 12), dtype=int)
METHODS = ["auto", "cg", "ssor"]
RNG = np.random.default_rng(0)
BALANCED = RNG.normal(size=(12, 12))
BALANCED -= BALANCED.mean()


def quiet(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return linear.solve_poisson(*args, **kwargs)


def true_residual(A, b, x):
    b, x = np.asarray(b, dtype=float), np.asarray(x, dtype=float)
    return float(np.linalg.norm(A.pack(b) - A.to_csr() @ A.pack(x)))


# -- beyond the range of floats ------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("b", "spacing"),
    [
        (np.full((6, 6), 1e200), 1e60),
        (np.full((6, 6), 1e-200), 1e-70),
        (np.full((6, 6), 3e37, dtype=np.float32), 1.0),
        (np.full((6, 6), 1e-44, dtype=np.float32), 1e-9),
    ],
)
def test_a_solution_beyond_the_range_of_floats_is_no_solution(b, spacing, method):
    with pytest.warns(ConvergenceWarning):
        r = linear.solve_poisson(F, b, spacing=spacing, method=method)
    assert not r.success
    assert r.status is Status.NONFINITE or method != "auto"


def test_several_solutions_are_judged_each():
    b = np.stack([np.ones((6, 6)), np.full((6, 6), 1e200)], axis=-1)
    r = quiet(F, b, spacing=1e60)
    assert list(r.status) == [Status.CONVERGED, Status.NONFINITE]


@pytest.mark.parametrize("spacing", [1e-170, 1e170, 1e154, (1.0, 1e-170), (1.0, 1e160)])
def test_spacings_whose_squares_are_no_floats_are_refused(spacing):
    with pytest.raises(ValueError, match="spacing"):
        linear.GridPoisson(F, spacing=spacing)


@pytest.mark.parametrize("size", [1e-310, 1e-320])
def test_subnormal_right_hand_sides_are_solved(size):
    r, one = linear.solve_poisson(F, np.full((6, 6), size)), linear.solve_poisson(F, np.ones((6, 6)))
    assert r.success
    np.testing.assert_allclose(r.x / size, one.x, rtol=1e-3)


def test_a_start_far_from_the_solution_is_left():
    flags = random_obstacles((30, 30), 4, rng=0)
    b, x0 = RNG.normal(size=flags.shape), 1e60 * RNG.normal(size=flags.shape)
    r = quiet(flags, b, x0, rtol=1e-8)
    assert r.success
    assert r.residual <= 1e-8 * r.rhs_norm
    np.testing.assert_allclose(r.x, linear.solve_poisson(flags, b, rtol=1e-8).x, atol=1e-4)


def test_numbers_beyond_single_precision_are_iterated_on_in_double():
    """Coefficients of 1e-45 are 0 in single precision."""
    flags = np.zeros((6, 12), dtype=int)
    flags[:, -1], flags[:, 5] = 2, 1
    flags[0, 0] = 2
    faces = [np.ones((5, 12)), np.ones((6, 11))]
    faces[0][:, :5], faces[1][:, :5] = 1e-60, 1e-60
    r = linear.solve_poisson(flags, np.ones(flags.shape), face_coefficients=faces, rtol=1e-8)
    assert r.success


# -- single precision ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_residual_told_is_that_of_the_numbers_in_single_precision(method):
    flags = np.zeros((14, 14), dtype=int)
    flags[-1, -1] = 2
    A, b = linear.GridPoisson(flags), np.ones((14, 14), dtype=np.float32)
    r = linear.solve_poisson(A, b, rtol=1e-8, method=method)
    assert r.x.dtype == np.float32
    assert r.residual == pytest.approx(true_residual(A, b, r.x), rel=1e-6)
    assert r.residual > 1e-8 * r.rhs_norm
    assert r.status is Status.ROUNDING


def test_a_solution_without_a_digit_in_single_precision_is_none():
    """Along a thin corridor x is 1e7 times b: its rounding errors in single precision are as large as b."""
    flags = np.ones((130, 130), dtype=int)
    flags[::2], flags[1::4, -1], flags[3::4, 0] = 0, 0, 0
    flags[0, 0] = 2
    b = np.zeros(flags.shape, dtype=np.float32)
    b[128, -1] = 1.0
    with pytest.warns(ConvergenceWarning):
        r = linear.solve_poisson(flags, b + np.float32(1e-3) * (flags == 0), rtol=1e-6)
    assert not r.success
    assert r.residual > 1e-2 * r.rhs_norm


# -- closed components ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_in_the_start_does_not_matter_where_the_matrix_does_not_see_it(method):
    A = linear.GridPoisson(CLOSED)
    r = linear.solve_poisson(A, BALANCED, np.full((12, 12), 1e12), rtol=1e-10, method=method)
    assert r.status is Status.CONVERGED
    assert true_residual(A, BALANCED, r.x) <= 1e-10 * np.linalg.norm(BALANCED)


def test_a_start_far_away_leaves_no_constant_behind():
    x0 = 1e19 * RNG.normal(size=(12, 12))
    assert quiet(CLOSED, BALANCED, x0, rtol=1e-10).status is Status.CONVERGED


def test_closed_rooms_of_very_different_coefficients_are_solved():
    flags = np.zeros((12, 25), dtype=int)
    flags[:, 12] = 1
    faces = [np.ones((11, 25)), np.ones((12, 24))]
    faces[0][:, 13:], faces[1][:, 13:] = 1e-20, 1e-20
    b = RNG.normal(size=flags.shape)
    b[:, 13:] *= 1e-20
    A = linear.GridPoisson(flags, face_coefficients=faces)
    M = linear.poisson_multigrid(A, coarse_size=5000)
    x = A.unpack(M @ A.pack(A.unpack(A.to_csr() @ A.pack(b))))
    for room in (x[:, :12] - b[:, :12], x[:, 13:] - b[:, 13:]):
        assert np.ptp(room) <= 1e-4 * np.ptp(b[:, 13:] if abs(room).max() < 1e-18 else b[:, :12])
    assert linear.solve_poisson(M, b, project=True).success


@pytest.mark.parametrize("method", METHODS)
def test_what_is_balanced_but_for_the_rounding_of_its_numbers_is_carried(method):
    single = linear.solve_poisson(CLOSED, BALANCED.astype(np.float32), method=method, rtol=1e-5)
    assert single.success
    noise = np.full((12, 12), 1e-17) + 0.0
    flags = np.zeros((12, 25), dtype=int)
    flags[:, 12], flags[:, -1] = 1, 2
    b = np.ones(flags.shape)
    b[:, :12] = noise
    assert linear.solve_poisson(flags, b, method=method).success


def test_a_balance_is_found_out_near_the_largest_floats():
    b = np.where(np.indices((12, 12)).sum(0) % 2, 1.0, -1.0)
    r = linear.solve_poisson(CLOSED, b * 1e306)
    assert r.success
    np.testing.assert_allclose(r.x / 1e306, linear.solve_poisson(CLOSED, b).x, atol=1e-12)
    with pytest.raises(ValueError, match="must sum to 0"):
        linear.solve_poisson(CLOSED, np.full((12, 12), 1e308))


def test_a_pocket_of_one_cell_has_no_equation():
    flags = F.copy()
    flags[0, 1] = flags[1, 0] = 1
    b = np.ones((6, 6))
    b[0, 0] = 0.0
    results = [linear.solve_poisson(flags, b, method=m, rtol=1e-8) for m in METHODS]
    for r in results:
        assert r.success
        assert r.x[0, 0] == 0.0
        np.testing.assert_allclose(r.x, results[0].x, atol=1e-6)


# -- faces and axes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("unused", [1e-280, 1e300])
def test_coefficients_of_faces_at_walls_do_not_matter(unused):
    flags = F.copy()
    flags[3, :3] = 1
    faces = [np.ones((5, 6)), np.ones((6, 5))]
    A = linear.GridPoisson(flags, face_coefficients=faces)
    faces[0][2:4, :3], faces[1][3, :3] = unused, unused
    B = linear.GridPoisson(flags, face_coefficients=faces)
    assert abs(A.to_csr() - B.to_csr()).max() == 0.0
    assert A.scale == B.scale
    one, other = (linear.solve_poisson(P, np.ones((6, 6)), boundary_values=1.0) for P in (A, B))
    np.testing.assert_array_equal(one.x, other.x)


def test_the_order_of_the_axes_does_not_matter_where_one_is_much_finer():
    flags = np.full((8, 8), 2)
    flags[1:-1, 1:-1] = 0
    one = linear.solve_poisson(flags, np.ones((8, 8)), spacing=(1e-25, 1.0), rtol=1e-8)
    other = linear.solve_poisson(flags, np.ones((8, 8)), spacing=(1.0, 1e-25), rtol=1e-8)
    assert one.success
    np.testing.assert_allclose(one.x, other.x.T, rtol=1e-6)


# -- one preconditioner, many users ----------------------------------------------------------------------


def test_a_nan_leaves_no_trace():
    flags = random_obstacles((60, 60), 3, rng=1)
    M = linear.poisson_multigrid(flags, coarse_size=5)
    v = RNG.normal(size=M.problem.n)
    before = M @ v
    assert np.isnan(M @ (v * np.nan)).all()
    np.testing.assert_array_equal(M @ v, before)


def test_a_callback_may_use_the_preconditioner_of_the_run():
    flags = random_obstacles((40, 40), 4, rng=0)
    M, b = linear.poisson_multigrid(flags), RNG.normal(size=flags.shape)
    v = RNG.normal(size=M.problem.n)
    alone = linear.solve_poisson(M, b, rtol=1e-8)
    watched = linear.solve_poisson(M, b, rtol=1e-8, callback=lambda x: (M @ v).sum() * 0)
    assert watched.nit == alone.nit
    np.testing.assert_array_equal(watched.x, alone.x)


def test_a_callback_may_refit_the_preconditioner_of_the_run():
    old, new = random_obstacles((40, 40), 4, rng=0), random_obstacles((40, 40), 4, rng=1)
    M, b = linear.poisson_multigrid(old), RNG.normal(size=old.shape)
    alone = linear.solve_poisson(old, b, rtol=1e-8)
    watched = linear.solve_poisson(M, b, rtol=1e-8, callback=lambda x: M.refit(new) is None)
    np.testing.assert_array_equal(watched.x, alone.x)


def test_threads_share_a_preconditioner():
    flags = random_obstacles((40, 40), 4, rng=0)
    M = linear.poisson_multigrid(flags)
    vectors = [RNG.normal(size=M.problem.n) for _ in range(2)]
    expected, wrong = [M @ v for v in vectors], []

    def work(k):
        wrong.extend(k for _ in range(300) if not np.array_equal(M @ vectors[k], expected[k]))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_refit_between_two_sides_does_not_change_the_second():
    old, new = (linear.problems.random_obstacles((30, 32), rng=k) for k in (0, 1))
    b = np.random.default_rng(0).normal(size=(30, 32, 2))
    M = linear.poisson_multigrid(old)
    watched = linear.solve_poisson(M, b, rtol=1e-8, callback=lambda x: M.refit(new) is None)
    np.testing.assert_array_equal(watched.x, linear.solve_poisson(old, b, rtol=1e-8).x)
    assert M.problem.n == linear.GridPoisson(new).n


def test_a_breakdown_at_the_rounding_level_is_told_as_such():
    """A closed grid of 13 unknowns with coefficients from 1e-4 to 1e4."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        shape = (2, 3, 3)
        faces = [10 ** rng.uniform(-4, 4, tuple(n - (a == k) for k, n in enumerate(shape))) for a in range(3)]
        b = rng.normal(size=shape)
        r = linear.solve_poisson(np.zeros(shape, int), b, face_coefficients=faces, project=True, rtol=1e-12)
        assert r.success
        assert r.residual <= 1e-8 * r.rhs_norm


def test_cells_without_a_neighbour_have_the_solution_zero():
    i, j = np.indices((60, 60))
    flags = (i + j) % 2
    b = np.random.default_rng(0).normal(size=flags.shape)
    for scale in (1.0, 1e200):
        r = linear.solve_poisson(flags, scale * b, project=True)
        assert r.success
        assert not r.x.any()
    flags[:30] = 0  # beside a component that has something to solve
    r = linear.solve_poisson(flags, b, project=True, rtol=1e-8)
    assert r.success
    assert not r.x[32:].any()


def test_the_cycle_takes_subnormal_numbers():
    M = linear.poisson_multigrid(linear.problems.random_obstacles((20, 20), rng=0))
    v = np.ones(M.shape[0])
    np.testing.assert_allclose(M @ (1e-320 * v), 1e-320 * (M @ v), rtol=1e-2)


def test_a_refit_that_fails_changes_nothing(monkeypatch):
    old, new = random_obstacles((20, 20), 3, rng=0), random_obstacles((20, 20), 3, rng=1)
    M = linear.poisson_multigrid(old)
    v, problem = np.ones(M.problem.n), M.problem
    before = M @ v
    monkeypatch.setattr(linear.poisson.multigrid, "build", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        M.refit(new)
    assert M.problem is problem
    np.testing.assert_array_equal(M @ v, before)


# -- what is refused, and how ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["cg", "ssor"])
def test_callbacks_get_the_grid_whatever_the_method(method):
    seen, told = [], []

    def of_result(intermediate_result):
        told.append(intermediate_result.x)

    linear.solve_poisson(F, np.ones((6, 6)), boundary_values=3.0, method=method, callback=seen.append)
    linear.solve_poisson(F, np.ones((6, 6)), boundary_values=3.0, method=method, callback=of_result)
    for x in (*seen, *told):
        assert x.shape == (6, 6)
        assert np.all(x[:, -1] == 3.0)
    assert seen


@pytest.mark.parametrize("method", METHODS)
def test_no_right_hand_side_has_no_solution(method):
    assert linear.solve_poisson(F, np.ones((6, 6, 0)), method=method).x.shape == (6, 6, 0)


def test_more_cells_than_places_have_numbers_are_refused():
    huge = SimpleNamespace(size=2**31, grid_shape=(2**16, 2**15))
    with pytest.raises(ValueError, match=r"2\*\*31"):
        _hierarchy.build(huge, np.dtype(np.float32), 100)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: linear.solve_poisson(F, 1.0), ValueError, "b must have the shape"),
        (
            lambda: linear.solve_poisson(linear.GridPoisson(F), np.ones((6, 6)), spacing=np.ones(2)),
            TypeError,
            "spacing",
        ),
        (lambda: linear.GridPoisson(F, face_coefficients=5), TypeError, "face_coefficients"),
        (lambda: linear.poisson_multigrid(F) @ np.full(30, 1j), TypeError, "complex"),
        (lambda: linear.poisson_multigrid(F, n_smooth=101), ValueError, "n_smooth"),
        (lambda: linear.solve_poisson(F, np.ones((6, 6)), n_smooth=101), ValueError, "n_smooth"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_converged_is_said_only_above_the_rounding_errors_of_the_residual():
    """Below, a residual in double precision meets the tolerance by luck."""
    flags, said = np.zeros((5, 6), dtype=int), set()
    flags[:, -1] = 2
    A = linear.GridPoisson(flags)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        b, rtol = rng.standard_normal(flags.shape), 10.0 ** rng.uniform(-16, -13)
        r = linear.solve_poisson(A, b, rtol=rtol)
        rounding = 2.0**-53 * np.linalg.norm(abs(A.to_csr()) @ abs(A.pack(r.x)) + abs(A.pack(b)))
        if r.status is Status.CONVERGED:
            assert r.residual + 2.0 * rounding <= 1.1 * rtol * r.rhs_norm
        said.add(r.status)
    assert said == {Status.CONVERGED, Status.ROUNDING}


def test_a_solution_beyond_single_precision_is_zeros_and_flagged():
    flags = np.zeros((4, 5), dtype=int)
    flags[:, -1] = 2
    for b in (np.ones(flags.shape, np.float32), np.ones((16, 2), np.float32)):
        with pytest.warns(ConvergenceWarning):
            r = linear.solve_poisson(flags, b, spacing=1e20)
        assert not np.any(r.success)
        assert not r.x.any()
        np.testing.assert_allclose(r.residual, r.rhs_norm)
