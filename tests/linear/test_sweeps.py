"""Sweeps against dense triangular solves, PyAMG, and each other in every order of the rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import solve_triangular

from numsolve import linear
from numsolve.linear import _cpu_sweeps
from numsolve.linear.problems import laplacian


def vectors(n, count=2, seed=0, dtype=float):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(n).astype(dtype) for _ in range(count)]


def halves(A):
    A = A.toarray()
    return np.tril(A, -1), np.diag(np.diag(A)), np.triu(A, 1)


@pytest.mark.parametrize("omega", [0.5, 1.0, 1.7])
def test_a_sweep_is_a_triangular_solve(spd, omega):
    L, D, U = halves(spd)
    x, b = vectors(spd.shape[0])
    want = x + solve_triangular(D / omega + L, b - spd @ x, lower=True)
    got = x.copy()
    linear.sweep(spd, got, b, omega)
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)
    want = x + solve_triangular(D / omega + U, b - spd @ x, lower=False)
    got = x.copy()
    linear.sweep(spd, got, b, omega, "backward")
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("omega", [0.8, 1.0, 1.9])
def test_sweeps_are_those_of_pyamg(make, direction, omega):
    from pyamg.relaxation.relaxation import gauss_seidel, sor

    for A in (laplacian(60), make.delaunay(3000)):
        x, b = vectors(A.shape[0])
        want, got, M = x.copy(), x.copy(), sp.csr_matrix(A)
        sor(M, want, b, omega, iterations=3, sweep=direction)
        linear.sweep(A, got, b, omega, direction, iterations=3)
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)
        want, got = x.copy(), x.copy()
        gauss_seidel(M, want, b, iterations=2, sweep="symmetric")
        linear.sweep(A, got, b, 1.0, "symmetric", iterations=2)
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)


def test_the_order_of_levels_gives_the_natural_iterates_to_the_last_bit(spd):
    natural, level = (linear.SweepPlan(spd, ordering) for ordering in ("natural", "level"))
    x, b = vectors(spd.shape[0])
    for direction in ("forward", "backward", "symmetric"):
        one, two = x.copy(), x.copy()
        linear.sweep(natural, one, b, 1.6, direction, iterations=5)
        linear.sweep(level, two, b, 1.6, direction, iterations=5)
        assert np.array_equal(one, two)
    if spd.shape[0] > 1:
        assert level.n_levels < natural.n_levels == spd.shape[0] or spd.nnz == 3 * spd.shape[0] - 2


def test_the_order_of_levels_respects_one_sided_couplings(make):
    A = make.nonsymmetric(70, np.random.default_rng(3))
    x, b = vectors(70)
    for direction in ("forward", "backward"):
        one, two = x.copy(), x.copy()
        linear.sweep(linear.SweepPlan(A, "natural"), one, b, 1.1, direction)
        linear.sweep(linear.SweepPlan(A, "level"), two, b, 1.1, direction)
        assert np.array_equal(one, two)


def test_levels_of_grids_are_their_diagonals():
    assert linear.SweepPlan(laplacian(100)).n_levels == 199
    assert linear.SweepPlan(laplacian(40, dim=3)).n_levels == 118
    assert linear.SweepPlan(laplacian(30, dim=1)).n_levels == 30


def test_rows_of_one_level_and_of_one_colour_are_independent(spd):
    for ordering in ("level", "multicolor"):
        plan = linear.SweepPlan(spd, ordering)
        starts = plan._pattern.starts
        assert sorted(plan.order) == list(range(spd.shape[0]))
        for i, j in pairwise(starts):
            rows = plan.order[i:j]
            block = spd[rows][:, rows].toarray()
            assert np.array_equal(block, np.diag(np.diag(block)))


def test_colours(make):
    assert linear.SweepPlan(laplacian(17), "redblack").n_levels == 2
    assert linear.SweepPlan(laplacian(7, dim=3), "multicolor").n_levels == 2
    with pytest.raises(ValueError, match="ordering 'redblack' has two"):
        linear.SweepPlan(make.delaunay(50), "redblack")
    assert 3 <= linear.SweepPlan(make.delaunay(500), "multicolor").n_levels <= 8


def test_several_right_hand_sides_are_swept_each_by_itself():
    A = laplacian(11)
    rng = np.random.default_rng(0)
    X, B = rng.standard_normal((121, 5)), rng.standard_normal((121, 5))
    each = X.copy()
    for c in range(5):
        x = each[:, c].copy()
        linear.sweep(A, x, B[:, c], 1.4, iterations=3)
        each[:, c] = x
    linear.sweep(A, X, B, 1.4, iterations=3)
    assert np.array_equal(X, each)


def test_a_plan_takes_new_values_and_forgets_the_old_ones():
    A = laplacian(12)
    plan = linear.SweepPlan(A)
    x, b = vectors(144)
    for scale in (1.0, 3.0):
        for new in (A.data * scale, A * scale):
            one, two = x.copy(), x.copy()
            linear.sweep(plan.update(new), one, b, 1.3)
            linear.sweep(A * scale, two, b, 1.3)
            assert np.array_equal(one, two)


def test_a_plan_of_another_pattern_is_refused():
    plan = linear.SweepPlan(laplacian(4))
    for other in (laplacian(5), laplacian(16, dim=1)):
        with pytest.raises(ValueError, match="another sparsity pattern"):
            plan.update(other)
    with pytest.raises(ValueError, match="data must have shape"):
        plan.update(np.ones(3))


def test_unsorted_and_duplicate_entries_are_summed_on_a_copy():
    A = sp.csr_array((np.array([1.0, -1, 3, 2, 2, -1]), np.array([1, 1, 0, 1, 1, 0]), np.array([0, 3, 6])))
    before = A.data.copy(), A.indices.copy()
    x = np.zeros(2)
    linear.sweep(A, x, np.ones(2))
    want = np.zeros(2)
    linear.sweep(np.array([[3.0, 0.0], [-1.0, 4.0]]), want, np.ones(2))
    assert np.array_equal(x, want)
    assert np.array_equal(A.data, before[0])
    assert np.array_equal(A.indices, before[1])


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dense", "matrix", "int"])
def test_every_form_of_a_matrix_is_taken(form):
    A, b = laplacian(5), np.arange(25.0)
    given = {
        "dense": A.toarray(),
        "matrix": sp.csr_matrix(A),
        "int": A.astype(int),
    }.get(form)
    given = A.asformat(form) if given is None else given
    x, want = np.zeros(25), np.zeros(25)
    linear.sweep(given, x, b)
    linear.sweep(A, want, b)
    assert np.array_equal(x, want)


def test_float32_stays_float32():
    A = laplacian(20).astype(np.float32)
    x, b = vectors(400, dtype=np.float32)
    want = x.astype(float)
    linear.sweep(A, x, b, 1.5, iterations=4)
    linear.sweep(laplacian(20), want, b.astype(float), 1.5, iterations=4)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, want, atol=1e-5)


# -- the preconditioner ----------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["forward", "backward"])
@pytest.mark.parametrize("omega", [0.7, 1.0, 1.8])
def test_ssor_is_the_inverse_of_its_product(spd, omega, order):
    L, D, U = halves(spd)
    first, last = (L, U) if order == "forward" else (U, L)
    P = (D + omega * first) @ np.linalg.inv(D) @ (D + omega * last) / (omega * (2 - omega))
    (r,) = vectors(spd.shape[0], 1)
    M = linear.SSOR(spd, omega, order=order)
    np.testing.assert_allclose(P @ M.matvec(r), r, rtol=1e-11, atol=1e-11)
    if spd.shape[0] > 1:
        np.testing.assert_allclose(M @ np.stack([r, 2 * r], axis=1), np.stack([M @ r, 2 * (M @ r)], axis=1))


def test_ssor_from_zero_is_a_forward_and_a_backward_sweep(spd):
    (b,) = vectors(spd.shape[0], 1)
    x = np.zeros_like(b)
    linear.sweep(spd, x, b, 1.4, "symmetric")
    np.testing.assert_allclose(linear.SSOR(spd, 1.4) @ b, x, rtol=1e-12, atol=1e-13)


@settings(max_examples=25, deadline=None)
@given(omega=st.floats(0.05, 1.95), seed=st.integers(0, 10**6))
def test_ssor_is_symmetric_and_positive_definite(omega, seed):
    A = laplacian(7, shift=0.1)
    u, v = vectors(49, seed=seed)
    M = linear.SSOR(A, omega)
    assert u @ (M @ v) == pytest.approx(v @ (M @ u), rel=1e-9, abs=1e-12)
    assert u @ (M @ u) > 0


def test_scipy_cg_takes_ssor_and_needs_the_same_iterations():
    from scipy.sparse.linalg import cg

    A, b = laplacian(40), np.ones(1600)
    for omega in (1.0, 1.7):
        count = []
        _, info = cg(A, b, rtol=1e-8, M=linear.SSOR(A, omega), callback=count.append)
        assert info == 0
        assert abs(len(count) - linear.ssor_cg(A, b, omega=omega, rtol=1e-8).nit) <= 1


def test_an_operator_follows_its_plan():
    A, (r,) = laplacian(8), vectors(64, 1)
    plan = linear.SweepPlan(A)
    M = linear.SSOR(A, 1.5, plan=plan)
    before = M @ r
    plan.update(A.data * 2)
    np.testing.assert_allclose(M @ r, before / 2, rtol=1e-14)


# -- kernels ---------------------------------------------------------------------------------------


def test_the_pattern_of_a_plan_is_remembered():
    a, b = linear.SweepPlan(laplacian(21)), linear.SweepPlan(2 * laplacian(21))
    assert a._pattern is b._pattern
    assert a._pattern is not linear.SweepPlan(laplacian(22))._pattern


def test_the_mirrored_pattern_is_that_of_the_reversed_matrix(spd):
    plan = linear.SweepPlan(spd, "natural")
    turned = linear.SweepPlan(sp.csr_array(spd.toarray()[::-1, ::-1]), "natural")
    _, lp, _, *mirrored = plan.halves(mirrored=True)
    _, lp_turned, _, *want = turned.halves()
    (r,) = vectors(spd.shape[0], 1)
    got, expected = r.copy(), r.copy()
    _cpu_sweeps.relax_lower(lp, *mirrored, 1.2, got)
    _cpu_sweeps.relax_lower(lp_turned, *want, 1.2, expected)
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-14)
