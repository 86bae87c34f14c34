"""One call of each public solver on tiny data, for ``python -m numsolve warm fractional``.

Nothing in this column is compiled: what a first call pays for is SciPy's transforms and special functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _spline() -> object:
    from numsolve.fractional import solve_riesz_bvp

    return solve_riesz_bvp(1.0, 1.5, n=16, p=3, method="spline")


def _modes() -> object:
    from numsolve.fractional import solve_riesz_bvp

    return solve_riesz_bvp(1.0, 1.5)


def _kept() -> object:
    import numpy as np

    from numsolve.fractional import RieszSolver

    solver = RieszSolver(1.5, n=16, p=3)
    return solver.solve(np.ones((solver.points.size, 2)))


def _eigenvalues() -> object:
    from numsolve.fractional import solve_riesz_eig

    return solve_riesz_eig(1.5, 2)


def _time() -> object:
    from numsolve.fractional import solve_fractional_diffusion

    return solve_fractional_diffusion(1.0, 1.5, (0.0, 0.1), n=16, p=3, dt=0.05, method="dense")


def _first_passage() -> object:
    from numsolve.fractional import exit_time_density, exit_time_moments, survival_probability

    return [f(1.5, 1) for f in (exit_time_density, exit_time_moments, survival_probability)]


def _sines() -> object:
    from numsolve.fractional import solve_riesz_bvp

    return solve_riesz_bvp(1.0, 1.5, definition="spectral", n=16)


def _reaction() -> object:
    from numsolve.fractional import solve_fractional_diffusion

    return solve_fractional_diffusion(0.1, 1.5, (0.0, 0.1), source=lambda _t, _x, u: u, n=8, dt=0.05)


def _plane() -> object:
    from numsolve.fractional import solve_riesz_2d

    return solve_riesz_2d(1.0, 1.5, n=16)


def _disc() -> object:
    from numsolve.fractional import solve_riesz_disc

    return solve_riesz_disc(1.0, 1.5, n=8)


CALLS: dict[str, Callable[[], object]] = {
    "solve_riesz_bvp": _spline,
    "solve_riesz_bvp, modes": _modes,
    "RieszSolver": _kept,
    "solve_riesz_eig": _eigenvalues,
    "solve_fractional_diffusion": _time,
    "solve_riesz_bvp, sines": _sines,
    "solve_fractional_diffusion, reaction": _reaction,
    "solve_riesz_2d": _plane,
    "solve_riesz_disc": _disc,
    "first passage": _first_passage,
}
