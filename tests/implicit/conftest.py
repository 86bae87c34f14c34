"""Double precision for the tests of this column, and what several of them share."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def double_precision():
    """The root conftest.py switches it off again after the file."""
    try:
        import jax
    except ImportError:
        return
    jax.config.update("jax_enable_x64", True)


class Ridge:
    """f = mean residual^2 / 2 + lam |w|^2 / 2, with all its derivatives in closed form."""

    def __init__(self, m=30, n=5, seed=0):
        rng = np.random.default_rng(seed)
        self.X, self.y, self.n = rng.standard_normal((m, n)), rng.standard_normal(m), n
        self.XX, self.Xy = self.X.T @ self.X / m, self.X.T @ self.y / m

    def hessian(self, lam):
        return self.XX + lam * np.eye(self.n)

    def solve(self, _, lam):
        return np.linalg.solve(self.hessian(lam), self.Xy)

    def derivatives(self, lam):
        """w, w', w'', w''': (-1)^k k! H^{-k} w."""
        H, w = self.hessian(lam), self.solve(None, lam)
        out = [w]
        for k in range(1, 4):
            out.append(-k * np.linalg.solve(H, out[-1]))
        return out

    def gradient(self, w, lam):
        """F(w, lam), in plain array operations: NumPy, complex and JAX."""
        return self.XX @ w + lam * w - self.Xy


@pytest.fixture(scope="session")
def ridge():
    return Ridge()
