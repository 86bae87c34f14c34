"""The kernels on element matrices, against dense linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from numsolve.atomic import _cpu_elements as kernels
from numsolve.atomic.tables import gather, local_order, spread, unspread


class Entries:
    """The functions that only kernels call, each in a function that Python may call."""

    @staticmethod
    @njit
    def factor(A, n, elements, first, chain):
        return kernels.factor(A, n, elements, first, chain)

    @staticmethod
    @njit
    def solve(A, n, elements, first, chain, y):
        kernels.solve(A, n, elements, first, chain, y)

    @staticmethod
    @njit
    def add_gram(A, table, weight):
        kernels.add_gram(A, table, weight)

    @staticmethod
    @njit
    def multiply(A, x, y):
        kernels.multiply(A, x, y)

    @staticmethod
    @njit
    def evaluate(table, u, out):
        kernels.evaluate(table, u, out)

    @staticmethod
    @njit
    def add_moments(table, values, y):
        kernels.add_moments(table, values, y)

    @staticmethod
    @njit
    def dot(x, y):
        return kernels.dot(x, y)


k = Entries


def random_elements(elements, order, seed, shift=0.0):
    """Symmetric element matrices in both layouts: packed for the kernels, and assembled."""
    rng = np.random.default_rng(seed)
    n = order + 1
    local = rng.standard_normal((elements, n, n))
    local = local @ local.transpose(0, 2, 1) - shift * np.eye(n)
    size = elements * order + 1
    dense = np.zeros((size, size))
    for e in range(elements):
        part = slice(e * order, e * order + n)
        dense[part, part] += local[e]
    index = local_order(order)
    i, j = np.triu_indices(n)
    packed = spread(local[:, index[i], index[j]])
    lanes = spread(np.ones((elements, 1)))[:, 0]
    packed += np.where(i == j, 1.0, 0.0)[:, None] * (1 - lanes)[:, None]
    return packed, dense


@given(
    elements=st.integers(1, 19),
    order=st.integers(2, 11),
    first=st.integers(0, 1),
    shift=st.floats(0, 30),
    seed=st.integers(0, 2**20),
)
def test_factors_count_and_solve(elements, order, first, shift, seed):
    packed, dense = random_elements(elements, order, seed, shift)
    inner = dense[first:-1, first:-1]
    eigenvalues = np.linalg.eigvalsh(inner)
    if abs(eigenvalues).min() < 1e-6:
        return
    chain = np.empty((2, elements + 1))
    n = order + 1
    assert k.factor(packed, n, elements, first, chain) == (eigenvalues < 0).sum()

    rng = np.random.default_rng(seed)
    b = rng.standard_normal((elements, n))
    whole = np.zeros(len(dense))
    for e in range(elements):
        whole[e * order : e * order + n] += b[e]
    y = spread(b[:, local_order(order)])
    k.solve(packed, n, elements, first, chain, y)
    x = np.zeros(len(dense))
    x[first:-1] = np.linalg.solve(inner, whole[first:-1])
    got = np.empty((elements, n))
    got[:, local_order(order)] = unspread(y, elements)
    want = np.stack([x[e * order : e * order + n] for e in range(elements)])
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-7 * abs(want).max())


@pytest.mark.parametrize("where", [(0, 1), (6, 0), (-3, 0), (-3, 2), (-1, 2)])
def test_a_vanishing_pivot_divides_nothing(where):
    """The first inner pivots, those of shared nodes, the last one: the inverse is large, and finite."""
    packed, _ = random_elements(3, 4, 0)
    place, lane = where
    packed[0, :, lane] = 0.0
    if place < 0:
        packed[0, [0, 5, 9], lane] = 1.0  # inner pivots that do not vanish
    packed[0, place, lane] = 0.0
    chain, y = np.empty((2, 4)), spread(np.ones((3, 5)))
    assert k.factor(packed, 5, 3, 0, chain) >= 0
    k.solve(packed, 5, 3, 0, chain, y)
    assert np.isfinite(packed).all()
    assert np.isfinite(chain[:, :3]).all()
    assert np.isfinite(unspread(y, 3)).all()


def singular_shifts(rng):
    """Chains whose shift is an eigenvalue of a leading part, to the last digit: small integers."""
    elements = int(rng.integers(2, 12))
    diagonal, coupling = rng.integers(-2, 3, elements + 1), rng.choice([-1, 1], elements)
    return elements, diagonal.astype(float), coupling.astype(float)


def test_the_inertia_is_right_where_pivots_of_the_chain_vanish():
    """Sylvester's law with exact zeros on the way; eigenvalues of zero may count either way."""
    rng = np.random.default_rng(0)
    met = 0
    for _ in range(400):
        elements, diagonal, coupling = singular_shifts(rng)
        local = np.zeros((elements, 3, 3))
        local[:, 1, 1] = 1.0  # the inner node, on its own
        local[:, 0, 0] = diagonal[:-1]
        local[:, 0, 2] = local[:, 2, 0] = coupling
        dense = np.diag(diagonal[:-1]) + np.diag(coupling[:-1], 1) + np.diag(coupling[:-1], -1)
        index = local_order(2)
        i, j = np.triu_indices(3)
        packed = spread(local[:, index[i], index[j]])
        packed += np.where(i == j, 1.0, 0.0)[:, None] * (1 - spread(np.ones((elements, 1)))[:, 0])[:, None]
        minors = [np.linalg.det(dense[:m, :m]) for m in range(1, elements)]
        met += any(abs(minor) < 1e-9 for minor in minors)
        eigenvalues = np.linalg.eigvalsh(dense)
        chain = np.empty((2, elements + 1))
        count = k.factor(packed, 3, elements, 0, chain)
        assert (eigenvalues < -1e-9).sum() <= count <= (eigenvalues < 1e-9).sum()
        y = spread(rng.standard_normal((elements, 3)))
        k.solve(packed, 3, elements, 0, chain, y)
        assert np.isfinite(y).all()
    assert met > 100


def test_what_is_not_finite_is_reported():
    for bad in (np.nan, np.inf):
        packed, _ = random_elements(3, 4, 0)
        packed[0, 3, 1] = bad
        assert k.factor(packed, 5, 3, 0, np.empty((2, 4))) == -1


@pytest.mark.parametrize(("elements", "points", "n"), [(3, 7, 4), (8, 20, 16), (13, 9, 6)])
def test_tables_are_summed_and_evaluated(elements, points, n):
    rng = np.random.default_rng(0)
    table, w = rng.standard_normal((elements, points, n)), rng.standard_normal((elements, points))
    u, i, j = rng.standard_normal((elements, n)), *np.triu_indices(n)
    lanes = spread(table)
    A = np.zeros((len(lanes), i.size, 8))
    k.add_gram(A, lanes, spread(w))
    full = np.einsum("eq,eqi,eqj->eij", w, table, table)
    np.testing.assert_allclose(unspread(A, elements), full[:, i, j], atol=1e-12)
    y = np.empty_like(spread(u))
    k.multiply(A, spread(u), y)
    np.testing.assert_allclose(unspread(y, elements), np.einsum("eij,ej->ei", full, u), atol=1e-12)
    out = np.empty((len(lanes), points, 8))
    k.evaluate(lanes, spread(u), out)
    np.testing.assert_allclose(unspread(out, elements), np.einsum("eqi,ei->eq", table, u), atol=1e-12)
    y[:] = 0.0
    k.add_moments(lanes, spread(w), y)
    np.testing.assert_allclose(unspread(y, elements), np.einsum("eqi,eq->ei", table, w), atol=1e-12)
    assert k.dot(spread(u), spread(u)) == pytest.approx((u**2).sum())


def test_the_layout_is_undone():
    values = np.random.default_rng(0).standard_normal((11, 5))
    np.testing.assert_array_equal(gather(spread(values), 11), values.ravel())
