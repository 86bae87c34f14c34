"""Error estimates of splines on meshes so small that no coarser one has splines."""

from __future__ import annotations

import numpy as np
import pytest

from numsolve.fractional import (
    RieszSolver,
    RieszSplineOperator,
    solve_fractional_diffusion,
    solve_riesz_2d,
    solve_riesz_bvp,
    solve_riesz_eig,
)

pytestmark = pytest.mark.filterwarnings("ignore::numsolve.ConvergenceWarning")

X = np.linspace(0.003, 0.997, 401)
SHAPES = {
    "smooth": lambda x: np.exp(x) * np.cos(3 * x),
    "one": np.ones_like,
    "kink": lambda x: np.abs(x - 0.4),
    "jump": lambda x: 1.0 * (x > 0.6),
}


def relative(values, true):
    return np.max(np.abs(values - true)) / np.max(np.abs(true))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("n", "p"), [(4, 2), (5, 2), (7, 2), (6, 3), (11, 3), (10, 5)])
@pytest.mark.parametrize("alpha", [1.2, 1.8])
def test_the_estimate_is_a_number_that_the_error_stays_below(shape, n, p, alpha):
    f = SHAPES[shape]
    true = solve_riesz_bvp(f, alpha, method="spectral", n=300)(X)
    found = [
        solve_riesz_bvp(f, alpha, n=n, p=p, method="spline"),
        solve_riesz_bvp(f, alpha, n=n, p=p, method="dense"),
        RieszSolver(alpha, n=n, p=p, method="dense").solve(f),
        solve_riesz_bvp(f(RieszSplineOperator(n, p, alpha).greville), alpha, n=n, p=p),
    ]
    for r in found[: 3 if shape in {"kink", "jump"} else 4]:  # of samples nobody knows where a jump is
        error = relative(r(X), true)
        assert error <= r.error_estimate <= 30 * error


def test_several_right_hand_sides_have_estimates_of_their_own():
    points = RieszSplineOperator(5, 2, 1.5).greville
    F = np.stack([np.ones_like(points), np.exp(points)], axis=1)
    r = RieszSolver(1.5, n=5, p=2).solve(F)
    true = [solve_riesz_bvp(f, 1.5)(X) for f in (1.0, np.exp)]
    errors = [relative(values, one) for values, one in zip(r(X), true, strict=True)]
    assert (errors <= r.error_estimate).all()
    assert (r.error_estimate < 1).all()


def test_in_the_plane_too():
    r, fine = (solve_riesz_2d(1.0, 1.5, n=n, p=2) for n in (5, 80))
    x, y = np.meshgrid(X[::10], X[::10])
    error = relative(r(x, y), fine(x, y))
    assert error <= r.error_estimate <= 30 * error


def test_eigenvalues_too():
    true = solve_riesz_eig(1.5, 2).x
    r = solve_riesz_eig(1.5, 2, method="spline", n=6, p=2)
    error = np.max(np.abs(r.x / true - 1))
    assert error <= r.error_estimate <= 30 * error


@pytest.mark.parametrize(("n", "dt"), [(6, 0.01), (6, 0.1), (64, 0.1)])
def test_steps_in_time_too(n, dt):
    def start(x):
        return np.sin(np.pi * x)

    true = solve_fractional_diffusion(start, 1.5, (0, 0.2), t_eval=[0.2], method="spectral")(X)
    r = solve_fractional_diffusion(start, 1.5, (0, 0.2), t_eval=[0.2], n=n, p=2, dt=dt, method="dense")
    assert relative(r(X), true) <= r.error_estimate < 10


def test_an_operator_whose_finer_mesh_is_unstable_has_no_estimate():
    """It is infinite, and no nan."""
    for alpha in np.linspace(1.001, 1.3, 60):
        try:
            r = RieszSolver(alpha, n=4, p=2, weights=(0.9, 0.1), method="dense").solve(np.ones(4))
            RieszSplineOperator(16, 2, alpha, weights=(0.9, 0.1))
        except ValueError:
            continue
        assert np.isfinite(r.error_estimate)
