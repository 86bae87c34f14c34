"""Compiled kernels of the restarted reflected Halpern PDHG for linear programs.

Notation, the same in every file that deals with linear programs:

    min c'x   subject to   lc <= A x <= uc,  lx <= x <= ux,

with x of n entries and multipliers y of m. A matrix is ``(indptr, indices, data)`` in compressed rows, or a
dense array in C order; ``At`` is its transpose in the same form, so that both products run along rows.
A run keeps its iterates in `Columns` (length n) and `Rows` (length m) of `_tuples`, and its numbers in a
record `LP_RUN`. `advance` is fused: one pass over the rows of At makes the primal step, one over the rows of
A the dual step, and ``A x`` is carried along, so that an iteration is two products. Equation numbers are
those of `numsolve.monotone.lp.pdhg`.
"""

import math

from numsolve._core.codes import CONVERGED, INFEASIBLE, RUNNING, STAGNATED, UNBOUNDED
from numsolve._core.compiled import inner, kernel
from numsolve.monotone._cpu_lp import row_dot, row_size

from ._rules import (
    ALONE,
    ARTIFICIAL,
    BACK,
    GROW,
    NECESSARY,
    PATIENCE,
    REJECTIONS,
    RELAX,
    SAFE,
    STILL,
    STUCK,
    SUFFICIENT,
    WIDEST,
    is_certificate,
)

_is_certificate = inner(inline="always")(is_certificate)


# --- the iteration --------------------------------------------------------------------------------


@kernel
def advance(A, At, col, row, run, steps, every, stop_at, table):
    """Do up to `steps` iterations, with a look at the residuals at each `every`-th and at the last.

    A look fills a row of `table`: residual, primal, dual, gap, weight. Returns the number of looks, the
    number of iterations, and why it stopped, which only a look at an `every`-th iteration decides: so where a
    run ends does not depend on how its steps were shared out. With no steps there is one look.
    """
    if steps == 0:
        return 1, 0, _look(At, col, row, run, table[0])
    looks = 0
    for step in range(1, steps + 1):
        tau, sigma = run.step / run.weight, run.step * run.weight
        pull = 1.0 / (run.age + 2.0)
        dx2 = _primal_step(At, col, row.y, tau, pull)
        dy2, cross = _dual_step(A, row, col.xb, sigma, pull)
        squared = dx2 / tau + cross + dy2 / sigma
        fixed_point = math.sqrt(squared) if squared > 0.0 else 0.0
        still = dx2 == 0.0 and dy2 == 0.0
        run.age += 1
        run.total += 1
        decides = still or run.total % every == 0
        if decides or step == steps:
            code = _look(At, col, row, run, table[looks])
            looks += 1
            if decides:
                if table[looks - 1, 0] <= stop_at:
                    return looks, step, CONVERGED
                if code != RUNNING:
                    return looks, step, code
                if still:
                    return looks, step, STAGNATED
        restart = wants_restart(fixed_point, run)
        steepness = abs(cross) / (run.weight * dx2 + dy2 / run.weight) if not still else 0.0
        rejected = _is_too_long(fixed_point, steepness, run)
        push = _push(dx2 / tau, dy2 / sigma, run)
        if restart or rejected or push != 1.0:
            _restart(At, col, row, run, push)
            if restart or rejected:
                _adapt_step(rejected, run)
            run.age = 0
            run.restarts += 1
    return looks, steps, RUNNING


@inner(inline="always")
def _primal_step(At, col, y, tau, pull):
    """x^, its reflection, and the pull of the anchor; returns |x^ - x|^2."""
    moved = 0.0
    for j in range(col.x.size):
        x = col.x[j]
        xh = x - tau * (col.c[j] - row_dot(At, j, y))  # (1)
        xh = min(max(xh, col.low[j]), col.high[j])
        d = xh - x
        moved += d * d
        col.xh[j] = xh
        col.xb[j] = xh + d
        col.x[j] = pull * col.x0[j] + (1.0 - pull) * (xh + d)  # (3)
    return moved


@inner(inline="always")
def _dual_step(A, row, xb, sigma, pull):
    """y^, its reflection, and the pull of the anchor; returns |y^ - y|^2 and 2 (y^ - y)'A(x^ - x).

    A x^ = (A xb + A x) / 2 because xb = 2 x^ - x: no third product.
    """
    moved = cross = 0.0
    rate = 1.0 / sigma
    for i in range(row.y.size):
        y, ax = row.y[i], row.ax[i]
        axb = row_dot(A, i, xb)
        t = y * rate - axb
        yh = sigma * (t - min(max(t, -row.high[i]), -row.low[i]))  # (2)
        d = yh - y
        moved += d * d
        cross += d * (axb - ax)
        row.yh[i] = yh
        row.axh[i] = 0.5 * (axb + ax)
        row.y[i] = pull * row.y0[i] + (1.0 - pull) * (yh + d)  # (3)
        row.ax[i] = pull * row.ax0[i] + (1.0 - pull) * axb
    return moved, cross


@inner(inline="always")
def wants_restart(fixed_point, run):
    """The restart rule, given the fixed-point residual of this iteration."""
    last = run.last
    run.last = fixed_point
    if run.age == 1:
        run.first = fixed_point
    overdue = run.age >= ARTIFICIAL * run.total
    fallen = fixed_point <= SUFFICIENT * run.first
    grows = fixed_point <= NECESSARY * run.first and fixed_point > last
    return overdue or (run.age > 1 and (fallen or grows))


@inner(inline="always")
def _push(x_way, y_way, run):
    """By how much to change the weight at once, because only one of x and y has moved for long; else one."""
    x_alone, y_alone = y_way <= STILL * x_way, x_way <= STILL * y_way
    if x_alone == y_alone:
        run.alone = 0
    else:
        run.alone = max(run.alone, 0) + 1 if x_alone else min(run.alone, 0) - 1
    if abs(run.alone) < ALONE or not 1.0 / WIDEST < run.weight < WIDEST:
        return 1.0
    run.alone = 0
    return 1.0 / STUCK if x_alone else STUCK


@inner(inline="always")
def _restart(At, col, row, run, push):
    """Move anchor and iterate to the PDHG point, and balance the weight by the way that both went."""
    dx2 = x2 = dy2 = y2 = 0.0
    for j in range(col.x.size):
        xh = col.xh[j]
        dx2 += (xh - col.x0[j]) ** 2
        x2 += xh**2
        col.x[j] = col.x0[j] = xh
    for i in range(row.y.size):
        yh = row.yh[i]
        dy2 += (yh - row.y0[i]) ** 2
        y2 += yh**2
        row.y[i] = row.y0[i] = yh
        row.ax[i] = row.ax0[i] = row.axh[i]
    dx, dy = math.sqrt(dx2), math.sqrt(dy2)
    # Beside the other's way, what rounding moved is no way.
    x_moved = dx > 1e-10 * max(math.sqrt(x2), dy / run.weight)
    y_moved = dy > 1e-10 * max(math.sqrt(y2), dx * run.weight)
    if push != 1.0:
        run.weight *= push
    elif x_moved and y_moved:
        run.weight = math.sqrt(run.weight * dy / dx)
        run.balanced = 1
    elif run.balanced == 0 and run.restarts >= PATIENCE:
        if x_moved:
            run.weight /= STUCK
        elif y_moved:
            run.weight *= STUCK
    for j in range(col.x.size):
        col.aty0[j] = row_dot(At, j, row.yh)


@inner(inline="always")
def _is_too_long(fixed_point, steepness, run):
    """Whether a step beyond the proven one has shown to be too long.

    eta < 1/|A| makes T nonexpansive everywhere. On the way that the iterates take, the steepness
    2 |dy'A dx| / (w |dx|^2 + |dy|^2 / w) counts in the place of |A|, and is often a fraction of it.
    """
    run.steep = max(run.steep, steepness)
    grown = run.age > 1 and fixed_point > 1.05 * run.first
    return run.step > run.base and (run.step * steepness > 0.99 or grown)


@inner(inline="always")
def _adapt_step(rejected, run):
    """Choose the step until the next restart, never below the proven one."""
    if rejected:
        run.rejected += 1
        run.step = BACK * run.step if run.rejected < REJECTIONS else 0.0
        run.cap = run.step
    else:
        run.step = min(GROW * run.step, run.cap)
        if run.step * run.steep > SAFE:
            run.step = SAFE / run.steep
        run.cap *= RELAX
    run.step = max(run.step, run.base)
    run.steep = 0.0


# --- residuals and certificates -------------------------------------------------------------------


@inner
def _look(At, col, row, run, out):
    """Fill the residuals of the PDHG point in the caller's units, and test the way since the anchor as a ray.

    They are measured against the bounds that are crossed or have a multiplier, and the costs of variables
    between their bounds: others may be as large as they like. A multiplier or reduced cost whose bound is
    infinite counts as dual residual, not in the objective.
    """
    primal2 = dual2 = b2 = c2 = value = bound = 0.0
    for i in range(row.yh.size):
        ax, y = row.axh[i], row.yh[i]
        limit = d = 0.0
        if y > 0.0:
            limit = row.low[i]
        elif y < 0.0:
            limit = row.high[i]
        bound += y * limit
        if ax < row.low[i]:
            limit = row.low[i]
            d = ax - limit
        elif not ax <= row.high[i]:
            limit = row.high[i]
            d = ax - limit
        primal2 += (d / row.scale[i]) ** 2
        b2 += (limit / row.scale[i]) ** 2
    for j in range(col.xh.size):
        r = col.c[j] - row_dot(At, j, row.yh)
        col.slack[j] = r
        x = col.xh[j]
        value += col.c[j] * x
        limit = col.low[j] if r > 0.0 else col.high[j]
        if math.isfinite(limit):
            bound += r * limit
        else:
            dual2 += (r / col.scale[j]) ** 2
        if not (math.isfinite(limit) and x == limit):
            c2 += (col.c[j] / col.scale[j]) ** 2
    out[1] = math.sqrt(primal2) / (run.unit_b + math.sqrt(b2))
    out[2] = math.sqrt(dual2) / (run.unit_c + math.sqrt(c2))
    out[3] = abs(value - bound) / (run.unit_b * run.unit_c + abs(value) + abs(bound))
    out[0] = max(run.primal * out[1], run.dual * out[2], run.gap * out[3])
    if math.isnan(out[1] + out[2] + out[3]):  # max may lose it
        out[0] = math.nan
    out[4] = run.weight
    if _is_dual_ray(At, col, row, run.unit_b):
        return INFEASIBLE
    if _is_primal_ray(col, row, run):
        return UNBOUNDED
    return RUNNING


@inner
def _is_dual_ray(At, col, row, unit):
    """Whether v = y^ - y0 proves infeasibility: a feasible x has |x|_1 >= (bound of v) / (violation of v).

    The bounds that it uses are the rows', and those of x in the mean, by what they contribute: beside large
    ones there are reduced costs of rounding errors.
    """
    bound = violation = moved = size = largest = sizes = squares = 0.0
    for i in range(row.yh.size):
        v = row.yh[i] - row.y0[i]
        moved += v * v
        size += row.yh[i] ** 2
        if v != 0.0:
            limit = row.low[i] if v > 0.0 else row.high[i]
            if not math.isfinite(limit):
                return False
            bound += v * limit
            largest = max(largest, abs(limit))
            sizes += abs(v * limit)
    # Too short a way: its differences may be rounding errors.
    if not moved > 1e-4 * size:
        return False
    for j in range(col.xh.size):
        r = (col.aty0[j] - col.c[j]) + col.slack[j]  # -A'v
        limit = col.low[j] if r > 0.0 else col.high[j]
        if math.isfinite(limit):
            bound += r * limit
            sizes += abs(r * limit)
            squares += abs(r * limit) * abs(limit)
        else:
            violation = max(violation, abs(r))
    used = unit + max(largest, squares / sizes if sizes > 0.0 else 0.0)
    if not _is_certificate(bound, violation, used, 0.0, sizes):
        return False
    return _is_proof(At, col, row, used)


@inner
def _is_proof(At, col, row, used):
    """The same from the products themselves, whose rounding errors are known; it is seldom called."""
    bound = violation = sizes = 0.0
    for i in range(row.yh.size):
        v = row.ray[i] = row.yh[i] - row.y0[i]
        if v != 0.0:
            limit = row.low[i] if v > 0.0 else row.high[i]
            bound += v * limit
            sizes += abs(v * limit)
    for j in range(col.xh.size):
        r = -row_dot(At, j, row.ray)
        limit = col.low[j] if r > 0.0 else col.high[j]
        if math.isfinite(limit):
            bound += r * limit
            sizes += abs(limit) * row_size(At, j, row.ray)
        else:
            violation = max(violation, abs(r))
    return _is_certificate(bound, violation, used, row.yh.size + col.xh.size, sizes)


@inner(inline="always")
def _is_primal_ray(col, row, run):
    """Whether v = x^ - x0 proves unboundedness: a dual point has |y|_1 + |r|_1 >= -c'v / (violation of v)."""
    descent = violation = moved = size = sizes = 0.0
    for j in range(col.xh.size):
        v = col.xh[j] - col.x0[j]
        descent -= col.c[j] * v
        sizes += abs(col.c[j] * v)
        moved += v * v
        size += col.xh[j] ** 2
        if math.isfinite(col.low[j] if v < 0.0 else col.high[j]):
            violation = max(violation, abs(v))
    if not (moved > 1e-4 * size and descent > 0.0):
        return False
    for i in range(row.yh.size):
        v = row.axh[i] - row.ax0[i]
        if math.isfinite(row.low[i] if v < 0.0 else row.high[i]):
            violation = max(violation, abs(v))
    return _is_certificate(descent, violation, run.unit_c + run.size_c, col.xh.size, sizes)
