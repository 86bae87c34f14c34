"""Compiled kernels of matrix games on simplices: ``min_x max_y y'A x``, x of n entries and y of m.

The iteration is that of `_cpu` with projections on the simplex in place of the clipping; matrices have the
same two forms, and the largest payoff is about one. Both ``A x`` and ``A'y`` are carried along, so that the
residual of the PDHG point costs no product. A run keeps its players in two `Player` of `_tuples`, and its
numbers in a record `GAME_RUN`.
"""

import math

import numpy as np

from numsolve._core.codes import CONVERGED, RUNNING, STAGNATED
from numsolve._core.compiled import inner, kernel
from numsolve.monotone._cpu_lp import row_dot
from numsolve.monotone._cpu_simplex import project

from ._cpu import advance as advance_lp
from ._cpu import wants_restart


@kernel
def advance(A, At, x, y, run, stake, steps, every, stop_at, table):
    """Do up to `steps` iterations, with a look at the residual at each `every`-th and at the last.

    A look fills a row of `table`: residual, gap, weight; `stake` is what payoffs are divided by there.
    Returns the number of looks, the number of iterations, and why it stopped, which only a look at an
    `every`-th iteration decides. With no steps there is one look.
    """
    if steps == 0:
        _look(x, y, run, stake, table[0])
        return 1, 0, RUNNING
    looks = 0
    for step in range(1, steps + 1):
        tau, sigma = run.step / run.weight, run.step * run.weight
        pull = 1.0 / (run.age + 2.0)
        dx2 = _move(x, x.pay, -tau, pull)
        _see(A, x.reflected, y, run.shift, pull)
        dy2 = _move(y, y.fresh, sigma, pull)
        cross = 0.0  # 2 (y^ - y)'A(x^ - x)
        for i in range(y.z.size):
            cross += 2.0 * (y.reflected[i] - y.zh[i]) * (y.fresh[i] - y.payh[i])
        _see(At, y.reflected, x, run.shift, pull)
        squared = dx2 / tau - cross + dy2 / sigma
        fixed_point = math.sqrt(squared) if squared > 0.0 else 0.0
        still = dx2 == 0.0 and dy2 == 0.0
        run.age += 1
        run.total += 1
        decides = still or run.total % every == 0
        if decides or step == steps:
            _look(x, y, run, stake, table[looks])
            looks += 1
            if decides:
                if table[looks - 1, 0] <= stop_at:
                    return looks, step, CONVERGED
                if still:
                    return looks, step, STAGNATED
        if wants_restart(fixed_point, run):
            dx, dy = _anchor(x), _anchor(y)
            if dx > 0.0 and dy > 0.0:
                run.weight = math.sqrt(run.weight * dy / dx)
            run.age = 0
            run.restarts += 1
    return looks, steps, RUNNING


@inner
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


@inner
def _see(M, reflected, p, shift, pull):
    """The payoffs after the other's move; those at its PDHG point are means, as that is the mid-point."""
    for i in range(p.z.size):
        fresh = row_dot(M, i, reflected) - shift
        p.fresh[i] = fresh
        p.payh[i] = 0.5 * (fresh + p.pay[i])
        p.pay[i] = pull * p.pay0[i] + (1.0 - pull) * fresh


@inner
def _anchor(p):
    """Put anchor and iterate on the PDHG point; returns how far the anchor went."""
    moved = 0.0
    for i in range(p.z.size):
        moved += (p.zh[i] - p.z0[i]) ** 2
        p.z0[i] = p.z[i] = p.zh[i]
        p.pay0[i] = p.pay[i] = p.payh[i]
    return math.sqrt(moved)


@inner
def _look(x, y, run, stake, out):
    """The residual of two strategies, the gap, and the weight."""
    out[2] = run.weight
    out[0] = math.sqrt(_step_length(x, -1.0 / stake) + _step_length(y, 1.0 / stake))
    highest, lowest = y.payh[0], x.payh[0]
    for i in range(y.payh.size):
        highest = max(highest, y.payh[i])
    for j in range(x.payh.size):
        lowest = min(lowest, x.payh[j])
    out[1] = highest - lowest


@inner
def _step_length(p, step):
    """|P(z^ + step * payoffs) - z^|^2."""
    for i in range(p.zh.size):
        p.work[i] = p.zh[i] + step * p.payh[i]
    project(p.work, 1.0)
    total = 0.0
    for i in range(p.zh.size):
        total += (p.work[i] - p.zh[i]) ** 2
    return total


@kernel
def advance_program(A, At, col, row, run, x, y, stake, steps, every, stop_at, table):
    """The same on the game's program, by the iteration of `_cpu`; A is the scaled matrix of that.

    The program of a game has a solution: whatever seems a ray is none.
    """
    lp_table = np.empty((2, 5))
    done = 0
    for look in range(table.shape[0]):
        part = min(every - run.total % every, steps - done)
        _, did, code = advance_lp(A, At, col, row, run, part, every, -1.0, lp_table)
        done += did
        _strategies(A, At, col, row, x, y)
        _look(x, y, run, stake, table[look])
        if steps and (code == STAGNATED or run.total % every == 0):
            if table[look, 0] <= stop_at:
                return look + 1, done, CONVERGED
            if code == STAGNATED:
                return look + 1, done, STAGNATED
        if done >= steps:
            return look + 1, done, RUNNING
    return table.shape[0], done, RUNNING


@inner
def _strategies(A, At, col, row, x, y):
    """Fill `x` and `y` with the strategies of an iterate of the game's program, and their payoffs.

    The program has a column and a row more than the game: the value, and the sum of x.
    """
    n, m = x.zh.size, y.zh.size
    u, v = col.slack, row.ray  # work space between two iterations
    for j in range(n):
        x.zh[j] = col.xh[j] * col.scale[j]
    for i in range(m):
        y.zh[i] = -row.yh[i] * row.scale[i]
    project(x.zh, 1.0)
    project(y.zh, 1.0)
    for j in range(n):
        u[j] = x.zh[j] / col.scale[j]
    for i in range(m):
        v[i] = y.zh[i] / row.scale[i]
    u[n] = v[m] = 0.0
    for i in range(m):
        y.payh[i] = row_dot(A, i, u) / row.scale[i]
    for j in range(n):
        x.payh[j] = row_dot(At, j, v) / col.scale[j]
