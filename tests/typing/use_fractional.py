"""What a type checker sees of numsolve.fractional. Checked in strict mode, never run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_type

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from numsolve import Status, fractional


def equations() -> NDArray[Any]:
    """Each gives a result that can be evaluated."""
    result = fractional.solve_riesz_bvp(np.sin, 1.5, method="auto", definition="rl", reaction=1.0)
    assert_type(result, fractional.RieszResult)
    assert_type(result.status, Status)
    assert_type(result.x, NDArray[Any])
    assert_type(result.points, NDArray[Any])
    assert_type(result(0.5), NDArray[np.float64])
    assert_type(result.method, str)
    assert_type(result.error_estimate, float)
    assert_type(result.interval, tuple[float, float])
    assert_type(result.plot(what="solution"), Axes)
    by_sines = fractional.solve_riesz_bvp(1.0, 0.5, definition="spectral", exterior=0.0)
    assert_type(by_sines, fractional.RieszResult)
    fractional.solve_riesz_bvp(1.0, 1.5, advection=np.cos, exterior=np.sin)
    fractional.solve_fractional_diffusion(
        0.1, 1.5, (0.0, 1.0), source=lambda t, x, u: u * (1 - u), advection=1.0
    )
    fractional.solve_riesz_2d(1.0, 0.5, definition="spectral")
    fractional.solve_riesz_eig(1.5, potential=np.square)
    disc = fractional.solve_riesz_disc(lambda x, y: x * y, 1.5, center=(0.0, 1.0))
    assert_type(disc, fractional.RieszPlaneResult)
    round_one: fractional.DiscSolution | None = None
    assert round_one is None
    sine: fractional.SineSolution | fractional.TensorSine | None = None
    assert sine is None
    solver = fractional.RieszSolver([1.2, 1.5], method="dense", definition="rl")
    assert_type(solver.points, NDArray[np.float64])
    assert_type(solver.solve(np.sin, time_limit=1.0), fractional.RieszResult)
    plane = fractional.solve_riesz_2d(1.0, (1.5, 1.2), method="auto")
    assert_type(plane, fractional.RieszPlaneResult)
    assert_type(plane.interval, tuple[tuple[float, float], tuple[float, float]])
    assert_type(plane(0.5, 0.5), NDArray[np.float64])
    in_time = fractional.solve_fractional_diffusion(
        lambda x: np.exp(-x), 1.5, (0.0, 1.0), source=lambda t, x: t * x
    )
    assert_type(in_time, fractional.FractionalDiffusionResult)
    assert_type(in_time.t, NDArray[Any])
    assert_type(in_time.sol, tuple[Callable[..., Any], ...])
    passage = fractional.survival_probability(1.5, [0.1, 0.2], weights=(0.7, 0.3))
    assert_type(passage, fractional.FirstPassageResult)
    assert_type(fractional.exit_time_density(1.5, 0.1), fractional.FirstPassageResult)
    assert_type(fractional.exit_time_moments(1.5, k=2), fractional.FirstPassageResult)
    modes = fractional.solve_riesz_eig(1.5, k=4, method="spectral")
    assert_type(modes, fractional.RieszEigResult)
    assert_type(modes.functions, tuple[Callable[..., Any], ...])
    return result.x


def operators() -> None:
    """A `LinearOperator` of SciPy's kind, with what is known of it."""
    A = fractional.RieszSplineOperator(64, 3, 1.5, definition="rl")
    assert_type(A.step, float)
    assert_type(A.toeplitz_column, NDArray[np.float64])
    assert_type(A.condition_number(), float)
    assert_type(A.corner_rank, int)
    assert_type(A.symbol_samples(), tuple[NDArray[np.float64], NDArray[np.float64]])


def symbols() -> None:
    """Arrays in, arrays out."""
    theta = np.linspace(0, np.pi)
    assert_type(fractional.riesz_symbol(theta, 3, 1.5), NDArray[np.float64])
    assert_type(fractional.mass_symbol(theta, 3), NDArray[np.float64])
    assert_type(fractional.bspline_fractional_derivative(3, theta, 1.5, "riesz"), NDArray[np.float64])
    assert_type(fractional.good_n(100, 3), int)
    analysis = fractional.analyze_symbol(3, 1.5)
    assert_type(analysis, fractional.SymbolAnalysis)
    assert_type(analysis.peak, float)
    print(
        fractional.RieszBatchResult,
        fractional.RieszFamilyResult,
        fractional.TensorSpline,
        fractional.optimality.collocation,
        fractional.problems.getoor,
    )
    solution: fractional.JacobiSolution | None = None
    assert solution is None


def mistakes() -> None:
    """What a checker has to find before the program runs."""
    fractional.solve_riesz_bvp(1.0, 1.5, method="splines")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    fractional.solve_riesz_bvp(1.0, 1.5, definition="Riesz")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    fractional.solve_riesz_bvp(1.0, 1.5, preconditioner="ilu")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    fractional.solve_riesz_bvp(1.0, 1.5, n=1e3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    fractional.solve_riesz_eig(1.5, method="spectrum")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    fractional.solve_riesz_2d(1.0, 1.5, method="fft")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    fractional.bspline_fractional_derivative(3, 1.0, 1.5, "up")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    fractional.RieszSplineOperator(64, 3, 1.5, definition="riemann")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    result = fractional.solve_riesz_bvp(1.0, 1.5)
    result.plot(what="spectra")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
