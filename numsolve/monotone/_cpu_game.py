"""Compiled kernels of matrix games on simplices: ``min_x max_y y'A x``, x of n entries and y of m.

The iteration is that of `_cpu_lp` with projections on the simplex in place of the clipping; matrices have the
same two forms. Both ``A x`` and ``A'y`` are carried along, so that the residual of the PDHG point costs no
product.
"""

import math

import numpy as np
from numba import njit

from ._cpu_lp import (
    AGE,
    CONVERGED,
    RESTARTS,
    RUNNING,
    STAGNATED,
    STEP,
    TOTAL,
    WEIGHT,
    row_dot,
    wants_restart,
)

# Further places in `numbers`: the largest payoff, and the constant that is taken off all of them.
UNIT, SHIFT = 4, 5


@njit(cache=True, error_model="numpy")
def advance(A, At, x, y, numbers, counts, steps, every, stop_at, table):
    """Do up to `steps` iterations, with a look at the residual at each `every`-th and at the last.

    A look fills a row of `table`: residual, gap, weight. Returns the number of looks, the number of
    iterations, and why it stopped.
    """
    looks = 0
    for step in range(1, steps + 1):
        weight = numbers[WEIGHT]
        tau, sigma = numbers[STEP] / weight, numbers[STEP] * weight
        pull = 1.0 / (counts[AGE] + 2.0)
        dx2 = _move(x, x.pay, -tau, pull)
        _see(A, x.reflected, y, numbers[SHIFT], pull)
        dy2 = _move(y, y.fresh, sigma, pull)
        cross = 0.0  # 2 (y^ - y)'A(x^ - x)
        for i in range(y.z.size):
            cross += 2.0 * (y.reflected[i] - y.zh[i]) * (y.fresh[i] - y.payh[i])
        _see(At, y.reflected, x, numbers[SHIFT], pull)
        fixed_point = math.sqrt(max(dx2 / tau - cross + dy2 / sigma, 0.0))
        counts[AGE] += 1
        counts[TOTAL] += 1
        if counts[TOTAL] % every == 0 or step == steps or fixed_point == 0.0:
            measure(x, y, numbers, table[looks])
            looks += 1
            if table[looks - 1, 0] <= stop_at:
                return looks, step, CONVERGED
            if fixed_point == 0.0:
                return looks, step, STAGNATED
        if wants_restart(fixed_point, numbers, counts):
            dx, dy = _anchor(x), _anchor(y)
            if dx > 0.0 and dy > 0.0:
                numbers[WEIGHT] = math.sqrt(weight * dy / dx)
            counts[AGE] = 0
            counts[RESTARTS] += 1
    return looks, steps, RUNNING


@njit(cache=True, error_model="numpy")
def _move(p, direction, step, pull):
    """z^ = P(z + step * direction), its reflection, and the pull of the anchor; returns |z^ - z|^2."""
    for i in range(p.z.size):
        p.zh[i] = p.z[i] + step * direction[i]
    project(p.zh, 1.0)
    moved = 0.0
    for i in range(p.z.size):
        d = p.zh[i] - p.z[i]
        moved += d * d
        p.reflected[i] = p.zh[i] + d
        p.z[i] = pull * p.z0[i] + (1.0 - pull) * p.reflected[i]
    return moved


@njit(cache=True, error_model="numpy")
def _see(M, reflected, p, shift, pull):
    """The payoffs after the other's move; those at its PDHG point are means, as that is the mid-point."""
    for i in range(p.z.size):
        fresh = row_dot(M, i, reflected) - shift
        p.fresh[i] = fresh
        p.payh[i] = 0.5 * (fresh + p.pay[i])
        p.pay[i] = pull * p.pay0[i] + (1.0 - pull) * fresh


@njit(cache=True, error_model="numpy")
def _anchor(p):
    """Put anchor and iterate on the PDHG point; returns how far the anchor went."""
    moved = 0.0
    for i in range(p.z.size):
        moved += (p.zh[i] - p.z0[i]) ** 2
        p.z0[i] = p.z[i] = p.zh[i]
        p.pay0[i] = p.pay[i] = p.payh[i]
    return math.sqrt(moved)


@njit(cache=True, error_model="numpy")
def measure(x, y, numbers, out):
    """The residual at the PDHG points, the gap, and the weight."""
    out[0] = math.sqrt(_step_length(x, -1.0 / numbers[UNIT]) + _step_length(y, 1.0 / numbers[UNIT]))
    out[1] = np.max(y.payh) - np.min(x.payh)
    out[2] = numbers[WEIGHT]


@njit(cache=True, error_model="numpy")
def _step_length(p, step):
    """|P(z^ + step * payoffs) - z^|^2."""
    point = p.zh + step * p.payh
    project(point, 1.0)
    return np.sum((point - p.zh) ** 2)


@njit(cache=True, error_model="numpy")
def project(v, radius):
    """Project on the simplex of nonnegative vectors with the sum `radius`, in place.

    The solution is max(v - t, 0); starting from all entries, t is the mean excess of those kept, and entries
    below it are dropped until none is (C. Michelot, 1986).
    """
    size, total = v.size, 0.0
    for i in range(size):
        total += v[i]
    t = (total - radius) / size
    while True:
        kept, total = 0, 0.0
        for i in range(v.size):
            if v[i] > t:
                kept += 1
                total += v[i]
        if kept in (size, 0):
            break
        size = kept
        t = (total - radius) / kept
    for i in range(v.size):
        v[i] = max(v[i] - t, 0.0)
