"""The compiled kernels of the Newton system, each against dense linear algebra and its plain twin."""

import numpy as np
import pytest

from numsolve.transport import _cpu_newton, _generic, _generic_newton, _schur


@pytest.fixture
def rng():
    return np.random.default_rng(20)


def test_entries_are_kept_that_reach_their_floor(rng):
    M, f, g, reg = rng.random((30, 20)), rng.random(30), rng.random(20), 0.3
    M[3, 4] = np.inf
    P = _generic.plan(M, f, g, reg)
    u, v = P.mean(axis=1) * rng.random(30), P.mean(axis=0) * rng.random(20)
    kept, indptr, indices, values = _cpu_newton.plan_entries(M, f, g, reg, u, v, P.size)
    mask = np.minimum(u[:, None], v) <= P
    rows = np.repeat(np.arange(30), np.diff(indptr))
    assert 0 < kept == mask.sum() == indptr[-1] == indices.size < P.size
    np.testing.assert_array_equal((rows, indices), np.nonzero(mask))
    np.testing.assert_allclose(values, P[mask], rtol=1e-12)
    assert _cpu_newton.plan_entries(M, f, g, reg, u, v, kept)[0] == kept
    assert _cpu_newton.plan_entries(M, f, g, reg, u, v, kept - 1)[0] == -1


def system(M, f, b, reg):
    """P with columns of sum b, and the same in CSR."""
    g = reg * (np.log(b) - _generic.log_column_sums(M, f, np.zeros(b.size), reg))
    tiny = np.full(M.shape[0], 1e-300), np.full(b.size, 1e-300)
    return _generic.plan(M, f, g, reg), _cpu_newton.plan_entries(M, f, g, reg, *tiny, M.size)[1:]


@pytest.fixture
def newton_system(rng):
    """P with columns of sum b, the diagonal d, a right-hand side, and P in CSR."""
    M, b = rng.random((25, 40)), np.full(40, 1 / 40)
    P, csr = system(M, np.zeros(25), b, 0.05)
    r = P.sum(axis=1)
    return P, r * 1.01, b, 1 / 25 - r, csr


def test_conjugate_gradients_solve_the_newton_system(newton_system):
    P, d, b, rhs, csr = newton_system
    S = np.diag(d) - (P / b) @ P.T
    exact = np.linalg.solve(S, rhs)
    runs = [
        _cpu_newton.schur_cg(P, d, b, rhs, 1e-14, 500),
        _cpu_newton.schur_cg_sparse(*csr, d, b, rhs, 1e-14, 500),
        _generic_newton.schur_cg(P, d, b, rhs, 1e-14, 500),
    ]
    for x, steps, done in runs:
        assert done
        assert abs(steps - runs[0][1]) <= 2
        np.testing.assert_allclose(x, exact, rtol=1e-8, atol=1e-10 * np.abs(exact).max())


def test_conjugate_gradients_say_when_they_stop_short(newton_system):
    P, d, b, rhs, csr = newton_system
    for _, steps, done in (
        _cpu_newton.schur_cg(P, d, b, rhs, 0.0, 3),
        _cpu_newton.schur_cg_sparse(*csr, d, b, rhs, 0.0, 3),
    ):
        assert (steps, done) == (3, False)


def test_rows_of_next_to_no_weight_follow_their_neighbours(rng):
    # A row of weight 1e-20 counts for nothing in the stopping test; its unknown must be right all the same.
    M, b = rng.random((25, 40)), np.full(40, 1 / 40)
    f = np.zeros(25)
    f[:5] = -0.05 * 46
    P, csr = system(M, f, b, 0.05)
    r = P.sum(axis=1)
    a = np.full(25, 1 / 20)
    a[:5] = 1e-20
    d, rhs = 1.001 * r, (a / a.sum() - r)
    exact = np.linalg.solve(np.diag(d) - (P / b) @ P.T, rhs)
    for x, _, done in (
        _cpu_newton.schur_cg(P, d, b, rhs, 1e-6, 500),
        _cpu_newton.schur_cg_sparse(*csr, d, b, rhs, 1e-6, 500),
        _generic_newton.schur_cg(P, d, b, rhs, 1e-6, 500),
    ):
        assert done
        assert np.max(np.abs(x - exact)) < 1.5


def test_newton_matrix_and_its_factorisation(newton_system, monkeypatch):
    P, d, b, rhs, csr = newton_system
    S = np.diag(d) - (P / b) @ P.T
    np.testing.assert_allclose(_schur.schur_matrix(np, P, d, b), S, rtol=1e-12, atol=1e-16)
    exact = np.linalg.solve(S, rhs)
    for at_once in (10**9, 100):  # in one call, and in several
        monkeypatch.setattr(_schur, "TRIANGLE", at_once)
        lower = np.tril(_schur.schur_matrix_sparse(_cpu_newton, *csr, d, b))
        np.testing.assert_allclose(lower, np.tril(S), rtol=1e-12, atol=1e-16)
        np.testing.assert_allclose(_schur.cholesky_solve(np, lower, rhs), exact, rtol=1e-9)


def test_factorisation_refuses_an_indefinite_matrix():
    with pytest.raises(np.linalg.LinAlgError):
        _schur.cholesky_solve(np, np.array([[1.0, 0.0], [2.0, 1.0]]), np.ones(2))


def test_conjugate_gradients_go_on_where_they_paused(newton_system, monkeypatch):
    P, d, b, rhs, csr = newton_system
    whole = (
        _cpu_newton.schur_cg(P, d, b, rhs, 1e-12, 500),
        _cpu_newton.schur_cg_sparse(*csr, d, b, rhs, 1e-12, 500),
    )
    monkeypatch.setattr(_cpu_newton, "CHUNK_SECONDS", 0.0)  # a look at the limits after each step
    looks = []

    def expired():
        looks.append(None)
        return len(looks) in {100, 104}

    parts = (
        _cpu_newton.schur_cg(P, d, b, rhs, 1e-12, 500, expired),
        _cpu_newton.schur_cg_sparse(*csr, d, b, rhs, 1e-12, 500, expired),
    )
    for (x, steps, done), (y, more, same) in zip(whole, parts, strict=True):
        assert (steps, done) == (more, same)
        np.testing.assert_array_equal(x, y)
    assert len(looks) == whole[0][1] + whole[1][1] - 2
    looks[:] = [None] * 96
    assert _cpu_newton.schur_cg(P, d, b, rhs, 0.0, 500, expired)[1:] == (4, False)
    looks[:] = [None] * 100
    assert _cpu_newton.schur_cg_sparse(*csr, d, b, rhs, 0.0, 500, expired)[1:] == (4, False)
