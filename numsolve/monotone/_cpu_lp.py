"""Compiled kernels of the restarted reflected Halpern PDHG for linear programs.

Notation, the same in every file that deals with linear programs:

    min c'x   subject to   lc <= A x <= uc,  lx <= x <= ux,

with x of n entries and multipliers y of m. A matrix is ``(indptr, indices, data)`` in compressed rows, or a
dense array in C order; ``At`` is its transpose in the same form, so that both products run along rows.
A run keeps its iterates in `Columns` (length n) and `Rows` (length m) of `_tuples`, and its numbers in two
small arrays. `advance` is fused: one pass over the rows of At makes the primal step, one over
the rows of A the dual step, and ``A x`` is carried along, so that an iteration is two products.
"""

import math

from numba import njit, types
from numba.extending import overload

_REDUCTION = {"contract", "nsz", "reassoc"}


# Places in `numbers`, of float64, and in `counts`, of int64.
STEP, WEIGHT, FIRST, LAST, BASE, CAP, STEEP, NORM_B, NORM_C, SIZE_B, SIZE_C, PRIMAL, DUAL, GAP = range(14)
AGE, TOTAL, RESTARTS, REJECTED = range(4)

#: Restart when the fixed-point residual has fallen to this share of its first value ...
SUFFICIENT = 0.1
#: ... or to this share, and grows again ...
NECESSARY = 0.8
#: ... or when the iterations since the last restart are this share of all.
ARTIFICIAL = 0.36
#: At a restart the step grows by at most GROW, up to SAFE over the steepness met since the last one; a step
#: that was too long comes back to BACK of itself, and that limit is let go by RELAX a restart.
GROW, SAFE, BACK, RELAX = 1.5, 0.7, 0.7, 1.05
#: After so many steps that were too long, the step is the proven one for good.
REJECTIONS = 100
#: A ray is a certificate when every feasible point would have to be larger than the data by this factor.
RAY = 1e8
#: What `advance` returns besides the numbers of `Status`.
RUNNING = -1
CONVERGED, INFEASIBLE, UNBOUNDED, STAGNATED = 0, 2, 3, 6


def row_dot(M, i, v):
    """Row i of a matrix times a vector."""
    raise NotImplementedError("for compiled code")


@overload(row_dot, jit_options={"fastmath": _REDUCTION, "error_model": "numpy"})
def _row_dot(M, i, v):  # noqa: ARG001
    if isinstance(M, types.Array):

        def dense(M, i, v):
            total = 0.0
            for j in range(v.size):
                total += M[i, j] * v[j]
            return total

        return dense

    def sparse(M, i, v):
        indptr, indices, data = M
        total = 0.0
        for k in range(indptr[i], indptr[i + 1]):
            total += data[k] * v[indices[k]]
        return total

    return sparse


@njit(cache=True, error_model="numpy")
def product(M, v, out):
    """M v, into out."""
    for i in range(out.size):
        out[i] = row_dot(M, i, v)


# --- the iteration --------------------------------------------------------------------------------


@njit(cache=True, error_model="numpy")
def advance(A, At, col, row, numbers, counts, steps, every, stop_at, table):
    """Do up to `steps` iterations, with a look at the residuals at each `every`-th and at the last.

    A look fills a row of `table`: residual, primal, dual, gap, weight. Returns the number of looks, the
    number of iterations, and why it stopped.
    """
    looks = 0
    for step in range(1, steps + 1):
        weight, age = numbers[WEIGHT], counts[AGE]
        tau, sigma = numbers[STEP] / weight, numbers[STEP] * weight
        pull = 1.0 / (age + 2.0)
        dx2 = _primal_step(At, col, row.y, tau, pull)
        dy2, cross = _dual_step(A, row, col.xb, sigma, pull)
        fixed_point = math.sqrt(max(dx2 / tau + cross + dy2 / sigma, 0.0))
        still = dx2 == 0.0 and dy2 == 0.0
        counts[AGE] += 1
        counts[TOTAL] += 1
        if counts[TOTAL] % every == 0 or step == steps or still:
            code = measure(At, col, row, numbers, table[looks])
            table[looks, 4] = weight
            looks += 1
            if table[looks - 1, 0] <= stop_at:
                return looks, step, CONVERGED
            if code != RUNNING:
                return looks, step, code
            if still:
                return looks, step, STAGNATED
        restart = wants_restart(fixed_point, numbers, counts)
        steepness = abs(cross) / (weight * dx2 + dy2 / weight) if not still else 0.0
        rejected = _is_too_long(fixed_point, steepness, numbers, counts)
        if restart or rejected:
            _restart(At, col, row, numbers)
            _adapt_step(rejected, numbers, counts)
            counts[AGE] = 0
            counts[RESTARTS] += 1
    return looks, steps, RUNNING


@njit(cache=True, error_model="numpy")
def _primal_step(At, col, y, tau, pull):
    """x^ = clip(x - tau (c - A'y)), its reflection, and the pull of the anchor; returns |x^ - x|^2."""
    moved = 0.0
    for j in range(col.x.size):
        x = col.x[j]
        xh = min(max(x - tau * (col.c[j] - row_dot(At, j, y)), col.low[j]), col.high[j])
        d = xh - x
        moved += d * d
        col.xh[j] = xh
        col.xb[j] = xh + d
        col.x[j] = pull * col.x0[j] + (1.0 - pull) * (xh + d)
    return moved


@njit(cache=True, error_model="numpy")
def _dual_step(A, row, xb, sigma, pull):
    """y^ = y - sigma (A xb + clip(y / sigma - A xb, -uc, -lc)); returns |y^ - y|^2 and 2 (y^ - y)'A(x^ - x).

    A x^ = (A xb + A x) / 2 because xb = 2 x^ - x: no third product.
    """
    moved = cross = 0.0
    rate = 1.0 / sigma
    for i in range(row.y.size):
        y, ax = row.y[i], row.ax[i]
        axb = row_dot(A, i, xb)
        t = y * rate - axb
        yh = sigma * (t - min(max(t, -row.high[i]), -row.low[i]))
        d = yh - y
        moved += d * d
        cross += d * (axb - ax)
        row.yh[i] = yh
        row.axh[i] = 0.5 * (axb + ax)
        row.y[i] = pull * row.y0[i] + (1.0 - pull) * (yh + d)
        row.ax[i] = pull * row.ax0[i] + (1.0 - pull) * axb
    return moved, cross


@njit(cache=True, error_model="numpy")
def wants_restart(fixed_point, numbers, counts):
    """The restart rule, given the fixed-point residual of this iteration."""
    age, first, last = counts[AGE], numbers[FIRST], numbers[LAST]
    numbers[LAST] = fixed_point
    if age == 1:
        numbers[FIRST] = fixed_point
        return age >= ARTIFICIAL * counts[TOTAL]
    return (
        fixed_point <= SUFFICIENT * first
        or (fixed_point <= NECESSARY * first and fixed_point > last)
        or age >= ARTIFICIAL * counts[TOTAL]
    )


@njit(cache=True, error_model="numpy")
def _restart(At, col, row, numbers):
    """Move anchor and iterate to the PDHG point, and balance the weight by the way that both went."""
    dx, x = _distance(col.xh, col.x0)
    dy, y = _distance(row.yh, row.y0)
    if dx > 1e-10 * x and dy > 1e-10 * y:
        numbers[WEIGHT] = math.sqrt(numbers[WEIGHT] * dy / dx)
    col.x[:] = col.xh
    col.x0[:] = col.xh
    row.y[:] = row.yh
    row.y0[:] = row.yh
    row.ax[:] = row.axh
    row.ax0[:] = row.axh
    product(At, row.yh, col.aty0)


@njit(cache=True, error_model="numpy")
def _is_too_long(fixed_point, steepness, numbers, counts):
    """Whether a step beyond the proven one has shown to be too long.

    eta < 1/|A| makes T nonexpansive everywhere. On the way that the iterates take, the steepness
    2 |dy'A dx| / (w |dx|^2 + |dy|^2 / w) counts in the place of |A|, and is often a fraction of it.
    """
    numbers[STEEP] = max(numbers[STEEP], steepness)
    return numbers[STEP] > numbers[BASE] and (
        numbers[STEP] * steepness > 0.99 or (counts[AGE] > 1 and fixed_point > 1.05 * numbers[FIRST])
    )


@njit(cache=True, error_model="numpy")
def _adapt_step(rejected, numbers, counts):
    """Choose the step until the next restart, never below the proven one."""
    step, steep = numbers[STEP], numbers[STEEP]
    if rejected:
        counts[REJECTED] += 1
        numbers[CAP] = step = BACK * step if counts[REJECTED] < REJECTIONS else 0.0
    else:
        step = min(GROW * step, numbers[CAP], SAFE / steep if steep > 0.0 else math.inf)
        numbers[CAP] *= RELAX
    numbers[STEP] = max(step, numbers[BASE])
    numbers[STEEP] = 0.0


@njit(cache=True, error_model="numpy")
def _distance(new, old):
    """|new - old| and |new|."""
    moved = size = 0.0
    for k in range(new.size):
        moved += (new[k] - old[k]) ** 2
        size += new[k] ** 2
    return math.sqrt(moved), math.sqrt(size)


# --- residuals and certificates -------------------------------------------------------------------


@njit(cache=True, error_model="numpy")
def measure(At, col, row, numbers, out):
    """Fill the residuals of the PDHG point in the caller's units, and test the way since the anchor as a ray.

    A multiplier or reduced cost whose bound is infinite counts as dual residual, not in the objective.
    """
    primal2 = dual2 = value = bound = 0.0
    for i in range(row.yh.size):
        ax, y = row.axh[i], row.yh[i]
        d = (ax - min(max(ax, row.low[i]), row.high[i])) / row.scale[i]
        primal2 += d * d
        if y > 0.0:
            bound += y * row.low[i]
        elif y < 0.0:
            bound += y * row.high[i]
    for j in range(col.xh.size):
        r = col.c[j] - row_dot(At, j, row.yh)
        col.slack[j] = r
        value += col.c[j] * col.xh[j]
        limit = col.low[j] if r > 0.0 else col.high[j]
        if math.isfinite(limit):
            bound += r * limit
        else:
            dual2 += (r / col.scale[j]) ** 2
    out[1] = math.sqrt(primal2) / (1.0 + numbers[NORM_B])
    out[2] = math.sqrt(dual2) / (1.0 + numbers[NORM_C])
    out[3] = abs(value - bound) / (1.0 + abs(value) + abs(bound))
    out[0] = max(numbers[PRIMAL] * out[1], numbers[DUAL] * out[2], numbers[GAP] * out[3])
    if _is_dual_ray(col, row, numbers):
        return INFEASIBLE
    if _is_primal_ray(col, row, numbers):
        return UNBOUNDED
    return RUNNING


@njit(cache=True, error_model="numpy")
def _is_dual_ray(col, row, numbers):
    """Whether v = y^ - y0 proves infeasibility: a feasible x has |x|_1 >= (bound of v) / (violation of v)."""
    bound = violation = moved = size = 0.0
    for i in range(row.yh.size):
        v = row.yh[i] - row.y0[i]
        moved += v * v
        size += row.yh[i] ** 2
        limit = row.low[i] if v > 0.0 else row.high[i]
        if math.isfinite(limit):
            bound += v * limit
        elif v != 0.0:
            return False
    if not moved > 1e-4 * size:  # too short a way: its differences may be rounding errors
        return False
    for j in range(col.xh.size):
        r = (col.aty0[j] - col.c[j]) + col.slack[j]  # -A'v
        limit = col.low[j] if r > 0.0 else col.high[j]
        if math.isfinite(limit):
            bound += r * limit
        else:
            violation = max(violation, abs(r))
    return bound > RAY * (1.0 + numbers[SIZE_B]) * violation and bound > 0.0


@njit(cache=True, error_model="numpy")
def _is_primal_ray(col, row, numbers):
    """Whether v = x^ - x0 proves unboundedness: a dual point has |y|_1 + |r|_1 >= -c'v / (violation of v)."""
    descent = violation = moved = size = 0.0
    for j in range(col.xh.size):
        v = col.xh[j] - col.x0[j]
        descent -= col.c[j] * v
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
    return descent > RAY * (1.0 + numbers[SIZE_C]) * violation
