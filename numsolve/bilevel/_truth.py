"""Whether derivatives are those of their functions: looked at once, by differences, at the start.

Central differences along one random direction, with three steps; a derivative counts as wrong if none of them
agrees with it. A lower problem without a known mu is also asked for a direction without curvature, by a few
steps of Lanczos' method.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg

from numsolve._core import arrays
from numsolve._core.krylov import dot
from numsolve._core.result import Status

from ._oracle import Halt

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array

    from ._oracle import Oracle

#: Steps of the differences, relative to the size of the point.
STEPS = (1e-4, 1e-6, 1e-2)
#: By how much the point is moved away from symmetric ones, where faults cancel.
SHIFT = 1e-2
#: Largest relative disagreement.
AGREES = 1e-3
#: Products of the search for a flat direction: at least, and at most where the least Ritz value still falls.
LANCZOS, LONGEST = 20, 200
#: How far it falls in ten products where it counts as found.
STEADY = 0.8
#: A Ritz value below so much of the largest is no curvature.
SINGULAR = 1e-12


def check_derivatives(oracle: Oracle, theta: Array, x: Array, *names: str) -> None:
    """Raise ValueError if one of the named oracles contradicts the function that it derives."""
    oracle.judging = False  # a lie is to be called one
    try:
        try:
            _check(oracle, theta, x, names, SHIFT)
        except Halt as halt:  # x may be near the edge of where the functions are defined
            if halt.status is not Status.NONFINITE:
                raise
            _check(oracle, theta, x, names, 0.0)
    finally:
        oracle.judging = True


def _check(oracle: Oracle, theta: Array, x: Array, names: tuple[str, ...], shift: float) -> None:
    rng = np.random.default_rng(0)
    xp = oracle.xp
    size = max(arrays.norm(xp, x) / math.sqrt(oracle.size), 1e-3)
    x = x + _random(oracle, rng) * (shift * size)  # away from symmetric points, where faults cancel
    v, w = _random(oracle, rng), _random(oracle, rng)
    t = rng.standard_normal(theta.size)
    t_size = max(arrays.norm(np, theta) / math.sqrt(theta.size), 1.0)
    # All differences in theta stay within its bounds.
    longest = 0.1 * t_size
    t = np.clip(t, *(sign * 0.5 * (oracle.high - oracle.low) / longest for sign in (-1, 1)))
    reach = longest * np.abs(t)
    theta = np.clip(theta, oracle.low + reach, np.maximum(oracle.high - reach, oracle.low + reach))
    inner = {
        "upper_grad": lambda: dot(xp, oracle.upper_grad(x, theta)[0], v),
        "lower_grad": lambda: dot(xp, oracle.grad(x, theta), v),
        "lower_hvp": lambda: dot(xp, oracle.hvp(x, theta, v), w),
        "lower_cross_vjp": lambda: float(oracle.cross(x, theta, w) @ t),
        "lower_grad_theta": lambda: float(oracle.grad_theta(x, theta) @ t),
    }
    outer: dict[str, Callable[[float], float]] = {
        "upper_grad": lambda h: oracle.upper(x + h * v, theta),
        "lower_grad": lambda h: oracle.lower(x + h * v, theta),
        "lower_hvp": lambda h: dot(xp, oracle.grad(x + h * v, theta), w),
        "lower_cross_vjp": lambda h: dot(xp, oracle.grad(x, theta + h * t), w),
        "lower_grad_theta": lambda h: oracle.lower(x, theta + h * t),
    }
    if oracle.direct and "lower_hvp" in names:
        inner["lower_hess"] = lambda: dot(xp, oracle.problem.lower_hess(*here) @ v, w)  # type: ignore[misc]
        outer["lower_hess"], names = outer["lower_hvp"], (*names, "lower_hess")
        here = oracle.to_x(x), oracle.to_theta(theta)
    for name in names:
        scale = t_size if name in {"lower_cross_vjp", "lower_grad_theta"} else size
        compare(oracle, name, inner[name](), outer[name], scale)
    if "upper_grad" in names:
        slope = float(oracle.upper_grad(x, theta)[1] @ t)
        compare(oracle, "upper_grad", slope, lambda h: oracle.upper(x, theta + h * t), t_size, " in theta")
    if "lower_hvp" in names:
        one, two = dot(xp, w, oracle.hvp(x, theta, v)), dot(xp, v, oracle.hvp(x, theta, w))
        if abs(one - two) > AGREES * max(abs(one), abs(two), _length(oracle, v, w) * oracle.most * 1e-3):
            raise ValueError(f"lower_hvp is not symmetric: w'Hv = {one:.6g} and v'Hw = {two:.6g}")


def _random(oracle: Oracle, rng: np.random.Generator) -> Array:
    out: Array = oracle.xp.asarray(rng.standard_normal(oracle.size), dtype=oracle.dtype)
    return out


def _length(oracle: Oracle, v: Array, w: Array) -> float:
    return arrays.norm(oracle.xp, v) * arrays.norm(oracle.xp, w)


def compare(
    oracle: Oracle, name: str, slope: float, value: Callable[[float], float], size: float, where: str = ""
) -> None:
    """Compare a slope with central differences."""
    root = math.sqrt(oracle.rounding / 2.2e-16)  # single precision takes longer steps
    best, nearest = math.inf, math.nan
    for step in STEPS:
        h = min(step * root, 0.1) * size
        try:
            plus, minus = value(h), value(-h)
        except Halt as halt:
            if halt.status is not Status.NONFINITE:
                raise
            continue
        if not math.isfinite(plus) or not math.isfinite(minus):
            continue
        difference = (plus - minus) / (2 * h)
        # What rounding may add: a difference of nearly equal numbers.
        noise = 1e3 * oracle.rounding * (abs(plus) + abs(minus)) / (2 * h)
        error = max(abs(difference - slope) - noise, 0.0)
        scale = max(abs(difference), abs(slope))
        relative = error / scale if scale > 0.0 else 0.0
        if relative < best:
            best, nearest = relative, difference
        if best <= AGREES * max(1.0, root * 1e-2):
            return
    if math.isnan(nearest):  # no difference is a number
        return
    of = "lower_grad" if name in {"lower_hvp", "lower_hess", "lower_cross_vjp"} else name.partition("_")[0]
    raise ValueError(
        f"{name} contradicts {of}{where}: it gives a slope of {slope:.6g}, "
        f"differences of {of} give {nearest:.6g}"
    )


def check_curvature(oracle: Oracle, theta: Array, x: Array, longest: int = LANCZOS) -> None:
    """Halt if Lanczos' method, or a factorisation, finds a direction without curvature."""
    if oracle.direct:
        oracle.factor(x, theta)
        oracle.ritz, oracle.looked = oracle.least, theta
        return
    rng: Any = np.random.default_rng(1)
    xp = oracle.xp
    basis = [_random(oracle, rng)]
    basis[0] = basis[0] / arrays.norm(xp, basis[0])
    diagonal: list[float] = []
    beside: list[float] = []
    least, values = math.inf, np.zeros(1)
    for k in range(1, min(longest, oracle.size) + 1):
        w = oracle.hvp(x, theta, basis[-1])
        diagonal.append(dot(xp, basis[-1], w))
        for v in basis * 2:
            w = w - dot(xp, v, w) * v
        if k % 10 == 0 or k == oracle.size:
            values = scipy.linalg.eigvalsh_tridiagonal(diagonal, beside)
            if k >= LANCZOS and values[0] > STEADY * least:
                break
            least = float(values[0])
        length = arrays.norm(xp, w)
        if length <= 1e-10 * max(oracle.most, 1e-300):
            break
        beside.append(length)
        basis.append(w / length)
    values = scipy.linalg.eigvalsh_tridiagonal(diagonal, beside[: len(diagonal) - 1])
    oracle.ritz = max(float(values[0]), 0.0)
    oracle.looked = theta if longest == LONGEST else None
    if values[0] <= max(SINGULAR, 10 * oracle.rounding) * max(values[-1], 0.0) or values[-1] <= 0.0:
        first = np.array_equal(theta, oracle.theta0)
        raise Halt(
            Status.BREAKDOWN if first else Status.STAGNATED,  # a trial is too far
            f"The lower problem is not strongly convex: its curvatures reach from {values[0]:.3g} to "
            f"{values[-1]:.3g}, so its solution is not a function of theta.",
        )
