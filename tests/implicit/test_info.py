"""What root_vjp and root_jvp tell of their linear system."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from numsolve.implicit import root_jvp, root_vjp


class TestInfo:
    """What is told of the linear system is true: the residual is that of the derivative that was returned."""

    rng = np.random.default_rng(3)
    A = 0.1 * rng.standard_normal((6, 6))
    A = A @ A.T + np.diag(np.arange(1.0, 7.0))
    b, c = rng.standard_normal((2, 6))

    @staticmethod
    def equation(x, A, b):
        return A @ x - b

    @pytest.mark.parametrize(
        ("lib", "solve"),
        [(np, solve) for solve in ("auto", "dense", "gmres", "bicgstab", "lsmr", "host")]
        + [(jnp, "cholesky")],
        ids=lambda v: v if isinstance(v, str) else v.__name__.partition(".")[0],
    )
    def test_the_residual_is_that_of_what_is_returned(self, lib, solve):
        A, b, c, x = (lib.asarray(k) for k in (self.A, self.b, self.c, np.linalg.solve(self.A, self.b)))
        plain = root_vjp(self.equation, x, (A, b), c, solve=solve, tol=1e-3)
        (_, db), info = root_vjp(self.equation, x, (A, b), c, solve=solve, tol=1e-3, info=True)
        assert np.array_equal(db, plain[1])
        # db = A'^{-1} c
        left = np.linalg.norm(self.A.T @ np.asarray(db) - self.c) / np.linalg.norm(self.c)
        assert info.residual == pytest.approx(left, rel=1e-3, abs=1e-15)
        assert info.method == ("dense" if solve == "auto" else solve)

        t = (lib.zeros_like(A), c)
        dx, info = root_jvp(self.equation, x, (A, b), t, solve=solve, tol=1e-3, info=True)
        left = np.linalg.norm(self.A @ np.asarray(dx) - self.c) / np.linalg.norm(self.c)
        assert info.residual == pytest.approx(left, rel=1e-3, abs=1e-15)

    def test_a_wrong_factor_is_told(self):
        x = np.linalg.solve(self.A, self.b)
        stale = splu(sp.csc_array(1.5 * self.A))
        with pytest.warns(RuntimeWarning, match="the given solve"):
            _, info = root_vjp(self.equation, x, (self.A, self.b), self.c, solve=stale, info=True)
        assert info.method == "the given solve"
        assert info.residual == pytest.approx(1 / 3) or np.isnan(info.residual)

    def test_under_jit_the_residual_is_an_array(self):
        @jax.jit
        def residual(b):
            x = jnp.sqrt(b)
            return root_vjp(lambda x, b: x**2 - b, x, (b,), 1 + x, info=True)[1].residual

        assert float(residual(jnp.array([1.0, 4.0]))) < 1e-14

    def test_a_flag_is_wanted(self):
        with pytest.raises(TypeError, match="info"):
            root_vjp(self.equation, self.b, (self.A, self.b), self.c, info="yes")
