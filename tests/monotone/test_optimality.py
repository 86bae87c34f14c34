"""Derivatives of the solutions of monotone inclusions."""

from __future__ import annotations

import numpy as np
import pytest

from numsolve import implicit, monotone
from numsolve.monotone import optimality


@pytest.mark.parametrize("gamma", [0.05, 0.2])
def test_a_constrained_inclusion_moves_on_its_free_entries(gamma):
    rng = np.random.default_rng(0)
    S, K = rng.standard_normal((2, 6, 6))
    A = S @ S.T / 6 + np.eye(6) + (K - K.T) / 4
    b = rng.standard_normal(6)

    def operator(u, b):
        return A @ u - b

    u = monotone.halpern(
        lambda u: operator(u, b),
        np.zeros(6),
        L=np.linalg.norm(A, 2),
        method="eg",
        tol=1e-11,
        prox=lambda v, _: np.maximum(v, 0.0),
        maxiter=100_000,
    ).x
    residual = optimality.inclusion(operator, lambda v, _: np.maximum(v, 0.0), gamma=gamma)
    assert np.abs(residual(u, b)).max() < 1e-9
    J = implicit.solution_jacobian(residual, u, b, method="central") @ np.eye(6)
    free = np.flatnonzero(u > 1e-6)
    assert 0 < free.size < 6
    exact = np.zeros((6, 6))
    exact[np.ix_(free, free)] = np.linalg.inv(A[np.ix_(free, free)])
    assert np.allclose(J, exact, atol=1e-7)
