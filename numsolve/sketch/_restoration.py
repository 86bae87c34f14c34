"""Back to the constraints: least squares for c(x) = 0, by the method of Levenberg and Marquardt."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg as sl

from numsolve._core import arrays
from numsolve._core.result import Status

from ._inner import dense
from ._point import Point, multipliers

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Matrix

    from ._problem import Problem

#: Steps, and the part of the violation that may be left.
STEPS, ENOUGH = 200, 0.1
#: ||G'c|| over ||G|| ||c|| at which no step lowers the violation; the same where the steps end in rounding.
STATIONARY, ROUNDED = 1e-8, 1e-6
#: An eigenvalue of the Hessian of ||c||^2 / 2, over its norm, that is negative beyond rounding.
CURVED = 1e-8
#: Random directions in which a lower point is looked for, and how much lower it must be a unit away.
PROBES, FALL = 4, 1e-3


def restore(problem: Problem, point: Point, tol: float) -> tuple[Point, tuple[Status, str] | None]:
    """A point with a tenth of the violation, or INFEASIBLE where the violation is least and not zero."""
    p, first = point, arrays.norm(np, point.c)
    damping = 1e-8
    for _ in range(STEPS):
        size = arrays.norm(np, p.c)
        if size <= max(ENOUGH * first, tol):
            break
        G = dense(p.G, problem.n)
        slope, scale = arrays.norm(np, G.T @ p.c), arrays.norm(np, G)
        if slope <= STATIONARY * max(scale, 1e-8) * size:
            lower = _lower(problem, p, G)
            if lower is None:
                return p, (Status.INFEASIBLE, f"The violation is least here: ||c|| = {size:.3g}.")
            p = lower
            continue
        for _ in range(20):
            trial = problem.evaluate(p.x + _step(G, p.c, damping * scale**2))
            step = None if trial is None else trial[0] - p.x
            wanted = math.inf if step is None else 1e-4 * abs(float((G.T @ p.c) @ step)) / size
            if trial is not None and arrays.norm(np, trial[2]) < size - wanted:
                p = Point.make(trial, multipliers(trial[4], trial[3]))
                damping = max(damping / 10, 1e-12)
                break
            damping *= 10
        else:
            # The gradient of the violation is not zero, but no step along it helps: rounding, or a kink.
            unit = max(scale, size / max(1.0, arrays.norm(np, p.x)))
            lower = _lower(problem, p, G)
            if lower is None:
                status = Status.INFEASIBLE if slope <= ROUNDED * unit * size else Status.STAGNATED
                return p, (status, f"The violation falls no further: ||c|| = {size:.3g}.")
            p = lower
    if arrays.norm(np, p.c) > max(0.99 * first, tol):
        return p, (Status.STAGNATED, f"The violation falls no further: ||c|| = {arrays.norm(np, p.c):.3g}.")
    return p, None


def _lower(problem: Problem, p: Point, G: Array) -> Point | None:
    """A point with less violation along its negative curvature: not every stationary point is a minimum."""
    W = G.T @ G + problem.hessian_of_constraints(p.x, p.c)
    if not np.isfinite(W).all():
        return None
    values, vectors = sl.eigh(W, subset_by_index=[0, 0])
    curved = values[0] < -CURVED * arrays.norm(np, W)
    rng = np.random.default_rng(0)
    # An inflection has no negative curvature: a few random directions as well.
    tried = [vectors[:, 0]] if curved else list(rng.normal(size=(PROBES, p.x.size)))
    size = arrays.norm(np, p.c)
    for t in (1.0, 1e-1, 1e-2, 1e-3):
        for v in tried:
            for sign in (1.0, -1.0):
                step = sign * t * max(1.0, arrays.norm(np, p.x)) * v / arrays.norm(np, v)
                trial = problem.evaluate(p.x + step)
                if trial is not None and arrays.norm(np, trial[2]) < size * (1.0 - FALL * t**3):
                    return Point.make(trial, multipliers(trial[4], trial[3]))
    return None


def _step(G: Matrix, c: Array, damping: float) -> Array:
    """-(G'G + damping)^-1 G'c, as a least-squares problem."""
    n = G.shape[1]
    stacked = np.concatenate([G, math.sqrt(damping) * np.eye(n)])
    return np.asarray(-np.linalg.lstsq(stacked, np.concatenate([c, np.zeros(n)]), rcond=None)[0])
