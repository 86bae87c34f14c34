"""Sparse costs: what is not stored is forbidden, and the plan has the pattern of the cost."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial import cKDTree

from numsolve import ConvergenceWarning, Status, transport
from numsolve.transport import _pattern


def sparse_problem(n, m, seed=0):
    """A sparse cost with some costs of zero and some weights of zero, and the same with inf."""
    rng = np.random.default_rng(seed)
    stored = rng.random((n, m)) < 0.4
    dense = np.where(stored, rng.random((n, m)), np.inf)
    i, j = np.nonzero(stored)
    dense[i[:4], j[:4]] = 0.0
    M = sp.csr_array((dense[i, j], j, np.searchsorted(i, np.arange(n + 1))), shape=(n, m))
    a, b = rng.random(n) + 0.5, rng.random(m) + 0.5
    a[3], b[5] = 0.0, 0.0
    return M, dense, 3 * a / a.sum(), 3 * b / b.sum()


def on_a_ring(n, k=5):
    """Each of n points may go to its next k on a ring."""
    i = np.repeat(np.arange(n), k)
    j = (i + np.tile(np.arange(k), n)) % n
    rng = np.random.default_rng(0)
    return sp.coo_array((rng.random(i.size), (i, j)), shape=(n, n))


@pytest.mark.parametrize("shape", [(30, 40), (40, 30)])
@pytest.mark.parametrize("reg", [0.1, 1e-2, 1e-3, 0.0])
def test_it_is_the_dense_problem_with_infinite_costs(shape, reg):
    M, dense, a, b = sparse_problem(*shape)
    r, d = (transport.solve(cost, a, b, reg, tol=1e-12) for cost in (M, dense))
    assert r.success
    assert d.success
    np.testing.assert_allclose(r.plan.toarray(), d.plan, atol=1e-9)
    assert r.value == pytest.approx(d.value, abs=1e-10)
    assert r.value_linear == pytest.approx(d.value_linear, abs=1e-10)
    assert r.kl == pytest.approx(d.kl, abs=1e-8)
    assert r.bounds[0] == pytest.approx(d.bounds[0], abs=1e-9)
    np.testing.assert_array_equal(np.isneginf(r.potentials[0]), a == 0)
    if reg == 0.0:
        assert r.bounds[1] == pytest.approx(r.value)


def test_the_plan_has_the_pattern_of_the_cost():
    M, _, a, b = sparse_problem(20, 25)
    r = transport.solve(M, a, b, 0.1)
    assert isinstance(r.plan, sp.csr_array)
    np.testing.assert_array_equal(r.plan.indptr, M.indptr)
    np.testing.assert_array_equal(r.plan.indices, M.indices)
    f, g = r.potentials
    i = np.repeat(np.arange(20), np.diff(M.indptr))
    np.testing.assert_allclose(r.plan.data, np.exp((f[i] + g[M.indices] - M.data) / 0.1), rtol=1e-9)


@pytest.mark.parametrize("reg", [0.1, 1e-3])
def test_derivatives_are_those_of_the_dense_problem(reg):
    M, dense, a, b = sparse_problem(25, 20)
    rng = np.random.default_rng(1)
    W, p, q = rng.random((25, 20)), rng.random(25), rng.random(20)
    q *= p.sum() / q.sum()
    p[3], q[5] = 0.0, 0.0
    q[0] += p.sum() - q.sum()
    r, d = (transport.solve(cost, a, b, reg, tol=1e-13) for cost in (M, dense))
    ours, theirs = (x.vjp(W, potentials=(p, q)) for x in (r, d))
    size = abs(theirs.M).max()
    np.testing.assert_allclose(ours.M.toarray(), theirs.M, atol=1e-8 * size)
    np.testing.assert_array_equal(r.vjp(sp.csr_array(W)).M.data, r.vjp(W).M.data)
    change = np.where(a > 0, rng.standard_normal(25), 0.0)
    change[0] -= change.sum()
    if np.isfinite(theirs.a[a > 0]).all():
        assert np.nansum(ours.a * change) == pytest.approx(np.nansum(theirs.a * change), rel=1e-7)
    Y = rng.random((20, 2))
    np.testing.assert_allclose(r.barycentric_map(Y), d.barycentric_map(Y), atol=1e-9)


def test_weights_that_the_pattern_cannot_carry_are_infeasible():
    M = sp.csr_array(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]))
    for reg in (0.1, 0.0):
        with pytest.warns(ConvergenceWarning, match="cannot carry"):
            r = transport.solve(M, [0.9, 0.1], [0.2, 0.2, 0.6], reg)
        assert r.status is Status.INFEASIBLE


@pytest.mark.parametrize(("n", "reg"), [(5000, 1e-2), (1000, 0.0)])
def test_a_ring_is_solved_where_conjugate_gradients_would_take_a_step_for_each_point(n, reg):
    r = transport.solve(on_a_ring(n), reg=reg)
    assert r.success
    assert abs(r.plan.sum(axis=1) - 1 / n).sum() + abs(r.plan.sum(axis=0) - 1 / n).sum() <= 1e-9
    assert r.plan.nnz <= 5 * n
    assert r.bounds[0] <= r.value_linear


def test_nearest_neighbours_at_a_small_reg_are_factorised(monkeypatch):
    n, k = 1000, 30
    X, Y = np.random.default_rng(0).random((2, n, 2))
    i = np.concatenate([np.repeat(np.arange(n), k), cKDTree(X).query(Y, k)[1].ravel()])
    j = np.concatenate([cKDTree(Y).query(X, k)[1].ravel(), np.repeat(np.arange(n), k)])
    i, j = np.divmod(np.unique(i * n + j), n)
    M = sp.coo_array((((X[i] - Y[j]) ** 2).sum(axis=1), (i, j)), shape=(n, n))
    monkeypatch.setattr(_pattern, "MANY", 20)
    r = transport.solve(M, reg=1e-5)
    monkeypatch.setattr(_pattern, "MANY", np.inf)
    iterated = transport.solve(M, reg=1e-5)
    assert r.success
    assert r.ncg < 0.5 * iterated.ncg
    assert r.value == pytest.approx(iterated.value, rel=1e-8)
    assert abs(r.plan.sum(axis=0) - 1 / n).sum() + abs(r.plan.sum(axis=1) - 1 / n).sum() < 1e-8


def test_patterns_at_random_are_left_to_conjugate_gradients():
    """They are thin, but their factors are nearly full: as good as a dense matrix of all rows."""
    n, rng = 4000, np.random.default_rng(0)
    i = np.concatenate([np.arange(n), np.repeat(np.arange(n), 3)])
    j = np.concatenate([np.arange(n), rng.integers(0, n, 3 * n)])
    M = sp.coo_array((rng.random(i.size), (i, j)), shape=(n, n))
    with pytest.warns(ConvergenceWarning):
        r = transport.solve(M, reg=0.05, maxiter=1)
    assert r.ncg > 0


def test_shifts_of_rows_and_columns_change_nothing():
    M = on_a_ring(50).tocsr()
    rng = np.random.default_rng(2)
    u, v = 1e6 * rng.random(50), 1e6 * rng.random(50)
    moved = sp.coo_array((M.data + u[M.tocoo().row] + v[M.tocoo().col], M.tocoo().coords), shape=M.shape)
    r, other = (transport.solve(cost, reg=0.05) for cost in (M, moved))
    np.testing.assert_allclose(r.plan.toarray(), other.plan.toarray(), atol=1e-8)
    assert other.value == pytest.approx(r.value + (u + v).mean(), rel=1e-12)


def test_float32_and_other_formats_and_duplicates():
    M, _, a, b = sparse_problem(20, 25)
    expected = transport.solve(M, a, b, 0.1)
    twice = sp.coo_array((np.tile(M.tocoo().data / 2, 2), np.tile(M.tocoo().coords, 2)), shape=M.shape)
    for cost in (M.tocsc(), M.tocoo(), sp.csr_matrix(M), twice):
        np.testing.assert_allclose(transport.solve(cost, a, b, 0.1).plan.toarray(), expected.plan.toarray())
    single = transport.solve(M.astype(np.float32), a.astype(np.float32), b.astype(np.float32), 0.1)
    assert single.plan.dtype == np.float32
    np.testing.assert_allclose(single.plan.toarray(), expected.plan.toarray(), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"unbalanced": 1.0}, ValueError, "unbalanced is for dense costs"),
        ({"reg_type": "L2"}, ValueError, "reg_type is for dense costs"),
        ({"method": "sinkhorn"}, ValueError, "method must be one of 'auto', 'newton'"),
        ({"M": sp.csr_array(np.diag([1.0, 2.0, 0.0]))}, ValueError, "M has no finite entry in row 2"),
        ({"M": sp.csr_array(np.array([[1.0, 0.0], [np.inf, 1.0]]))}, None, "the other pairs do"),
        ({"M": sp.csr_array(np.array([[1.0, np.nan]]))}, ValueError, "got nan"),
        ({"M": sp.csr_array((0, 3))}, ValueError, "M is empty"),
        ({"M": 1j * sp.eye_array(3)}, TypeError, "M"),
        ({"a": np.ones((2, 3)) / 3}, ValueError, "a must be 1-D"),
        ({"reg": 1e-20}, ValueError, "below the rounding errors of M"),
    ],
)
def test_what_is_refused(change, kind, text):
    good = {"M": sp.csr_array(np.array([[1.0, 2.0, 0.5], [0.3, 1.0, 2.0], [1.0, 0.7, 0.2]])), "reg": 0.1}
    if kind is None:
        assert transport.solve(**{**good, **change}).success, text
        return
    with pytest.raises(kind, match=text):
        transport.solve(**{**good, **change})


def test_it_is_drawn(tmp_path):
    r = transport.solve(on_a_ring(10), reg=0.1)
    assert r.plot().get_title() == "square root of the plan"
    assert r.plot(what="convergence").get_ylabel() == "marginal error"
