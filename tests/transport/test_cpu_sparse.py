"""The kernels of sparse plans, beside plain statements of what they compute."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numba import njit

from numsolve.transport.sparse import _cpu as k
from numsolve.transport.sparse import _cpu_sort as sorting

NONE = (np.empty(0, np.int32), np.empty(0))


def laplacian(n, reg, prox, size, whole, ptr, rows):
    S, m = np.zeros((n, n)), ptr.size - 1
    for first, last in ((0, m // 2), (m // 2, m)):
        k.add_laplacian(S, reg, prox, size, whole, ptr, rows, first, last)
    return S


@njit
def sort_falling(y, index):
    sorting.sort_falling(y, index, y.size, np.empty(sorting.STACK, np.int64))


def organ_pipe(n):
    return np.minimum(np.arange(n), np.arange(n)[::-1]).astype(float)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 15, 16, 17, 40, 300, 3000])
@pytest.mark.parametrize(
    "kind",
    [
        lambda n: np.random.default_rng(n).random(n),
        lambda n: np.arange(n) / 7,
        lambda n: -np.arange(n) / 7,
        np.ones,
        organ_pipe,
        lambda n: np.random.default_rng(n).integers(0, 5, n) / 1,
        lambda n: np.where(np.arange(n) % 3 == 0, -np.inf, np.arange(n) % 11),
    ],
    ids=["random", "rising", "falling", "equal", "organ pipe", "few values", "infinite"],
)
def test_sorting_is_a_falling_permutation(kind, n):
    y = kind(n)
    ours, index = y.copy(), np.arange(n, dtype=np.int32)
    sort_falling(ours, index)
    np.testing.assert_array_equal(ours, np.sort(y)[::-1])
    np.testing.assert_array_equal(np.sort(index), np.arange(n))
    np.testing.assert_array_equal(y[index], ours)


class Adversary:
    """Keys that are decided while they are compared, so that each pivot is nearly the largest that is left.

    M. D. McIlroy, "A killer adversary for quicksort", Softw. Pract. Exp. 29, 1999.
    """

    comparisons = decided = 0
    candidate = None

    def __init__(self):
        self.value = None  # None: not decided yet, and less than what is

    @staticmethod
    def compare(x, y):
        Adversary.comparisons += 1
        if x.value is None and y.value is None:
            one = x if x is Adversary.candidate else y
            one.value = -Adversary.decided
            Adversary.decided += 1
        for z in (x, y):
            if z.value is None:
                Adversary.candidate = z
        x, y = (-np.inf if z.value is None else z.value for z in (x, y))
        return x - y

    def __lt__(self, other):
        return Adversary.compare(self, other) < 0

    def __gt__(self, other):
        return Adversary.compare(self, other) > 0


def test_the_worst_order_costs_n_log_n(monkeypatch):
    """In plain Python, with keys that an adversary chooses: heap sort takes over in time."""
    heaps, sort = [], sorting._heap_falling.py_func

    def heap(*part):
        heaps.append(part)
        sort(*part)

    monkeypatch.setattr(sorting, "_swap", sorting._swap.py_func)
    monkeypatch.setattr(sorting, "_sink", sorting._sink.py_func)
    monkeypatch.setattr(sorting, "_heap_falling", heap)
    n = 2000
    y = np.array([Adversary() for _ in range(n)], dtype=object)
    sorting.sort_falling.py_func(y, np.arange(n), n, np.empty(sorting.STACK, np.int64))
    assert heaps
    assert Adversary.comparisons < 6 * n * np.log2(n)  # quicksort alone: n^2 / 4, which is 45 n log n


def test_nan_does_not_hang_the_sort():
    y = np.random.default_rng(0).random(500)
    y[::7] = np.nan
    index = np.arange(500, dtype=np.int32)
    sort_falling(y.copy(), index)
    np.testing.assert_array_equal(np.sort(index), np.arange(500))


def column(z, b, reg, prox, size):
    """The best t of `best_columns` by trying every pool: the formulas of its optimality conditions."""
    order = np.argsort(-z)
    y = z[order]
    best, found = -np.inf, None
    for first, last in product(range(size + 1), range(len(z) + 1)):
        left, pooled = size - first, last - first
        if last < first or (pooled == 0 and first == 0) or (pooled and left <= 0):
            continue
        # unknown g and theta: t = (y + g) / (reg + prox) above, (y + g - theta reg) / prox in the pool
        if pooled == 0:
            g, theta = (b * (reg + prox) - y[:first].sum()) / first, 0.0
        elif prox == 0:
            continue
        else:
            A = np.array(
                [
                    [first / (reg + prox) + pooled / prox, -pooled * reg / prox],
                    [pooled / prox, -pooled * reg / prox - left],
                ]
            )
            rhs = [
                b - y[:first].sum() / (reg + prox) - y[first:last].sum() / prox,
                -y[first:last].sum() / prox,
            ]
            g, theta = np.linalg.solve(A, rhs)
        t = np.zeros(len(z))
        t[:first] = (y[:first] + g) / (reg + prox)
        if pooled:
            t[first:last] = (y[first:last] + g - theta * reg) / prox
        if t.min() < -1e-12 or (pooled and t[first:last].max() > theta + 1e-12):
            continue
        value = y @ t - prox / 2 * t @ t - reg / 2 * (t[:first] @ t[:first] + theta * t[first:last].sum())
        if value > best:
            best = value
            found = np.zeros(len(z))
            found[order] = t
    return found, best


@pytest.mark.parametrize("size", [1, 2, 3, 6])
@pytest.mark.parametrize("prox", [0.0, 0.05, 1.0])
def test_best_columns_against_every_pool(size, prox):
    rng = np.random.default_rng(size)
    n, m, reg = 6, 40, 0.7
    Mt, f, b = rng.random((m, n)), rng.random(n), rng.uniform(0.1, 2.0, m)
    old = (rng.random((m, n)) * (rng.random((m, n)) < 0.4)) if prox else np.zeros((m, n))
    j, i = np.nonzero(old)
    ptr = np.concatenate([[0], np.cumsum(np.bincount(j, minlength=m))])
    _, _, ptr2, rows, t, r, total = k.best_columns(
        Mt, f, b, reg, prox, size, ptr, i.astype(np.int32), old[j, i]
    )
    expected = 0.0
    for c in range(m):
        T = np.zeros(n)
        T[rows[ptr2[c] : ptr2[c + 1]]] = t[ptr2[c] : ptr2[c + 1]]
        best, value = column(f - Mt[c] + prox * old[c], b[c], reg, prox, size)
        np.testing.assert_allclose(T, best, atol=1e-12)
        expected += value - prox / 2 * old[c] @ old[c]
    assert total == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(np.bincount(np.repeat(np.arange(m), np.diff(ptr2)), t, m), b, rtol=1e-12)
    np.testing.assert_allclose(np.bincount(rows, t, n), r, rtol=1e-12)


@pytest.mark.parametrize(("size", "prox"), [(2, 0.3), (4, 0.01), (8, 0.0)])
def test_the_laplacian_is_the_derivative_of_the_row_sums(size, prox):
    rng = np.random.default_rng(1)
    n, m, reg = 8, 12, 0.5
    Mt, f, b = rng.random((m, n)), rng.random(n), rng.uniform(0.5, 1.5, m)
    none = (np.zeros(m + 1, np.int64), *NONE)
    args = (b, reg, prox, size, *none)
    _, whole, ptr, rows, *_ = k.best_columns(Mt, f, *args)
    S = laplacian(n, reg, prox, size, whole, ptr, rows)
    S = S + np.tril(S, -1).T
    np.testing.assert_allclose(S.sum(axis=0), 0, atol=1e-10)
    for i in range(n):
        move = np.zeros(n)
        move[i] = 1e-7
        r = [k.best_columns(Mt, f + s * move, *args)[5] for s in (1, -1)]
        np.testing.assert_allclose((r[0] - r[1]) / 2e-7, S[:, i], atol=1e-5)


@pytest.mark.parametrize("guess", [0.0, -3.0, 3.0])
def test_balanced_columns_are_best_columns_from_any_guess(guess):
    rng = np.random.default_rng(5)
    n, m, reg = 30, 20, 0.7
    Mt, f, b = rng.random((m, n)), rng.random(n), rng.uniform(1e-9, 2.0, m)
    Mt[3, 4:] = np.inf
    g, _, ptr, rows, t, r, total = k.best_columns(Mt, f, b, reg, 0.0, n, np.zeros(m + 1, np.int64), *NONE)
    found, *plan, own_r, square = k.balanced_columns(Mt, f, b, reg, np.full(m, guess))
    np.testing.assert_allclose(found, g, atol=1e-13)
    np.testing.assert_allclose(k.balance(Mt, f, b, reg, np.full(m, guess)), g, atol=1e-13)
    for own, other in zip(plan, (ptr, rows, t), strict=True):
        np.testing.assert_allclose(own, other, atol=1e-13)
    np.testing.assert_allclose(own_r, r, atol=1e-12)
    assert square == pytest.approx(t @ t)
    assert 0.5 * reg * square - b @ g == pytest.approx(total)


def test_conjugate_gradients_solve_the_laplacian():
    rng = np.random.default_rng(6)
    n, m, reg = 12, 30, 0.4
    Mt, f, b = rng.random((m, n)), np.zeros(n), rng.random(m)
    *_, whole, ptr, rows, _, _, _ = k.best_columns(Mt, f, b, reg, 0.0, n, np.zeros(m + 1, np.int64), *NONE)
    S = laplacian(n, reg, 0.0, n, whole, ptr, rows)
    S = reg * (S + np.tril(S, -1).T) + 1e-3 * np.eye(n)
    rhs = rng.standard_normal(n)
    work, some = np.empty((5, n)), np.empty((5, n))
    _, steps, done = k.laplacian_cg(ptr, rows, 1e-3, rhs, work, -1.0, 1e-12, 100)
    assert done
    assert steps <= 2 * n
    np.testing.assert_allclose(S @ work[0], rhs, atol=1e-11)
    rz, steps, done = k.laplacian_cg(ptr, rows, 1e-3, rhs, some, -1.0, 0.0, 3)
    assert (steps, done) == (3, False)
    assert rhs @ some[0] > 0  # a direction of ascent all the same
    _, _, done = k.laplacian_cg(ptr, rows, 1e-3, rhs, some, rz, 1e-12, 100)  # goes on where it was
    assert done
    np.testing.assert_array_equal(some[0], work[0])


def test_the_gradient_of_the_maxima_is_the_plan():
    rng = np.random.default_rng(2)
    Mt, f, b = rng.random((9, 7)), rng.random(7), rng.random(9) + 0.1
    args = (b, 0.4, 0.2, 3, np.zeros(10, np.int64), *NONE)
    r = k.best_columns(Mt, f, *args)[5]
    for i in range(7):
        move = np.zeros(7)
        move[i] = 1e-6
        up, down = (k.best_columns(Mt, f + s * move, *args)[-1] for s in (1, -1))
        assert (up - down) / 2e-6 == pytest.approx(r[i], abs=1e-8)


@pytest.mark.parametrize("size", [1, 2, 4, 7])
def test_support_norm_is_the_least_over_eta(size):
    from scipy.optimize import minimize

    rng = np.random.default_rng(size)
    t = rng.random(7) + 0.05
    found = minimize(
        lambda eta: np.sum(t**2 / eta),
        np.full(7, 0.9 * size / 7),
        jac=lambda eta: -(t**2) / eta**2,
        method="SLSQP",
        bounds=[(1e-6, 1)] * 7,
        constraints={"type": "ineq", "fun": lambda eta: size - eta.sum()},
        options={"maxiter": 500, "ftol": 1e-13},
    )
    norm = k.support_norm(np.array([0, 7]), t, size)
    assert norm == pytest.approx(found.fun, rel=1e-6)
    if size == 1:
        assert norm == pytest.approx(t.sum() ** 2)
    if size == 7:
        assert norm == pytest.approx(t @ t)


def test_top_entries():
    rng = np.random.default_rng(3)
    Mt, f, g = rng.random((5, 20)), rng.random(20), rng.random(5) - 0.5
    for size in (1, 3, 20):
        ptr, rows, values = k.top_entries(Mt, f, g, size)
        for j in range(5):
            v = np.sort(np.maximum(f + g[j] - Mt[j], 0))[::-1][:size]
            own = slice(ptr[j], ptr[j + 1])
            np.testing.assert_allclose(np.sort(values[own])[::-1], v[v > 0])
            np.testing.assert_allclose(values[own], f[rows[own]] + g[j] - Mt[j, rows[own]])


def test_normal_matrix():
    rng = np.random.default_rng(4)
    n, m = 6, 5
    inside = rng.random((m, n)) < 0.6
    U, V = rng.random((m, n)) * inside, rng.random((m, n)) * inside
    columns, rows = np.nonzero(inside)
    ptr = np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=m))])
    d = rng.random(n)
    S = np.diag(d)
    for first, last in ((0, 2), (2, m)):
        k.subtract_products(S, ptr, rows, U[inside], V[inside], first, last)
    np.testing.assert_allclose(np.tril(S), np.tril(np.diag(d) - U.T @ U - V.T @ V), atol=1e-14)
