"""What a type checker sees of numsolve.monotone. Checked in strict mode, never run."""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from numsolve import Status, monotone

A = np.array([[1.0, -1.0], [-1.0, 1.0]])
c = np.ones(2)


def linear_programs() -> NDArray[Any]:
    """Ours, and SciPy's arguments."""
    result = monotone.solve_lp(c, A, lc=[0.0, 0.0], lx=0.0, polish=1.0)
    monotone.solve_lp(c, A, lx=0.0, presolve=True, polish="basic")
    assert_type(result, monotone.LPResult)
    assert_type(result.x, NDArray[Any])
    assert_type(result.y, NDArray[Any])
    assert_type(result.reduced_costs, NDArray[Any])
    assert_type(result.fun, float)
    assert_type(result.gap, float)
    assert_type(result.status, Status)
    assert_type(result.plot(), Axes)
    assert_type(monotone.solve_lps([(c, A), {"c": c, "tol": 1e-4}], presolve=True), list[monotone.LPResult])
    like_scipy = monotone.linprog(c, A_ub=A, b_ub=c, bounds=(0, None))
    assert_type(like_scipy, monotone.LinprogResult)
    assert_type(like_scipy.slack, NDArray[Any])
    return result.x


def games() -> None:
    """The value is a number, the strategies are arrays."""
    result = monotone.solve_game(A, method="auto")
    assert_type(result, monotone.GameResult)
    assert_type(result.value, float)
    assert_type(result.x, NDArray[Any])
    assert_type(result.y, NDArray[Any])


def inclusions() -> None:
    """Operators are functions; sums of many have a class."""
    result = monotone.halpern(lambda x: A @ x, c, L=2.0, method="eag", prox=monotone.prox_l1)
    assert_type(result, monotone.MonotoneResult)
    assert_type(result.nfev, int)
    assert_type(result.residual, float)
    game = monotone.BilinearGame(A)
    assert_type(game.start(), NDArray[Any])
    assert_type(
        monotone.vr_halpern(game, game.start(), assumption="lipschitz", rng=0), monotone.MonotoneResult
    )
    many = monotone.AffineFiniteSum(np.stack([A, A]), np.stack([c, c]))
    assert_type(monotone.vr_halpern(many, c, schedule="paper"), monotone.MonotoneResult)
    monotone.vr_halpern(monotone.FiniteSum(2, lambda u: u, lambda u, index: u, L=1.0), c)


def projections() -> None:
    """Arrays in, arrays out."""
    assert_type(monotone.project_simplex(c), NDArray[Any])
    assert_type(monotone.project_box(c, 0.0, 1.0), NDArray[Any])
    assert_type(monotone.project_l2_ball(c), NDArray[Any])
    assert_type(monotone.prox_l1(c, 0.5), NDArray[Any])
    assert_type(monotone.prox_nonnegative(c), NDArray[Any])
    print(monotone.optimality.inclusion, monotone.optimality.linear_program)


def mistakes() -> None:
    """What a checker has to find before the program runs."""
    monotone.halpern(lambda x: x, c, L=1.0, method="halpren")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    monotone.halpern(lambda x: x, c)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    monotone.solve_game(A, method="simplex")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    monotone.solve_lp(c, A, polish="vertex")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    game = monotone.BilinearGame(A)
    monotone.vr_halpern(game, c, assumption="strong")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    monotone.vr_halpern(game, c, schedule="papers")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    print(monotone.solve_lp(c, A).z)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
