"""Derivatives of the solutions of this column in the matrix and the right-hand side."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from numsolve import implicit, linear
from numsolve.linear import optimality


@pytest.fixture
def system():
    n = 20
    A = sp.diags_array([np.full(n, 2.5), -np.ones(n - 1), -np.ones(n - 1)], offsets=[0, -1, 1]).tocsr()
    rng = np.random.default_rng(0)
    return A, rng.standard_normal(n), rng.standard_normal(n)


@pytest.mark.parametrize("method", ["sor", "ssor", "cg", "ssor_cg"])
def test_the_solver_serves_its_own_adjoint(method, system):
    A, b, c = system

    def solve(r):
        return getattr(linear, method)(A, r, rtol=1e-12).x

    x = solve(b)
    (d_b,) = implicit.root_vjp(
        lambda x, b: optimality.linear_system(x, A, b), x, (b,), c, solve=(solve, solve)
    )
    u = np.linalg.solve(A.toarray(), c)
    assert np.allclose(d_b, u, rtol=1e-9, atol=1e-10)
    d_A, _ = implicit.root_vjp(optimality.linear_system, x, (A.toarray(), b), c, solve=(solve, solve))
    assert np.allclose(d_A, -np.outer(u, x), rtol=1e-9, atol=1e-9)
