"""The derivative of a fractional solution in its order."""

from __future__ import annotations

import numpy as np

from numsolve import fractional, implicit
from numsolve.fractional import optimality


def test_derivative_in_the_order_against_solutions_at_two_orders():
    def solve(alpha):
        return fractional.solve_riesz_bvp(np.ones_like, alpha, n=32, p=3, method="spline").x

    x = solve(1.5)
    residual = optimality.collocation(x, 1.5, np.ones_like(x), p=3)
    assert np.abs(residual).max() < 1e-9
    J = implicit.solution_jacobian(
        lambda x, alpha: optimality.collocation(x, alpha, np.ones_like(x), p=3),
        x,
        np.array([1.5]),
        method="central",
    )
    h = 1e-4
    reference = (solve(1.5 + h) - solve(1.5 - h)) / (2 * h)
    assert np.allclose(J @ np.ones(1), reference, rtol=1e-5, atol=1e-7 * np.abs(reference).max())
