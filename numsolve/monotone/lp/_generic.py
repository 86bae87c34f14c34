"""The iteration for linear programs in plain array-API code, on a batch of programs that share a matrix.

Arrays have the batch in front: x of shape (B, n), y of shape (B, m); numbers of the iteration have shape
(B, 1). So the products of a batch are matrix-matrix products, ``x At`` and ``y A``. Each program has its own
weight, restarts and residuals, as in `_cpu`, whose names are used here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, Namespace


@dataclass
class State:
    """Data and iterates; every field has the batch in front."""

    c: Array
    lc: Array
    uc: Array
    lx: Array
    ux: Array
    unit_b: Array
    unit_c: Array
    size_c: Array
    x: Array
    y: Array
    ax: Array
    x0: Array
    y0: Array
    ax0: Array
    aty0: Array
    xh: Array
    yh: Array
    axh: Array
    weight: Array
    step: Array
    cap: Array
    steep: Array
    first: Array
    last: Array
    age: Array
    restarts: Array
    rejected: Array
    balanced: Array
    alone: Array

    def take(self, xp: Namespace, index: Array) -> State:
        """The programs of an index."""
        return State(**{f.name: xp.take(getattr(self, f.name), index, axis=0) for f in fields(self)})


def advance(
    xp: Namespace,
    s: State,
    times_a: Callable[[Array], Array],
    times_at: Callable[[Array], Array],
    base: float,
    total: int,
) -> Array:
    """One iteration, the `total`-th, of every program; returns the fixed-point residuals."""
    tau, sigma = s.step / s.weight, s.step * s.weight
    pull = 1.0 / (s.age + 2.0)
    s.xh = clip(xp, s.x - tau * (s.c - times_a(s.y)), s.lx, s.ux)
    dx = s.xh - s.x
    xb = s.xh + dx
    axb = times_at(xb)
    t = s.y / sigma - axb
    s.yh = sigma * (t - clip(xp, t, -s.uc, -s.lc))
    dy = s.yh - s.y
    s.axh = (axb + s.ax) / 2
    dx2, dy2, cross = total_of(xp, dx * dx), total_of(xp, dy * dy), total_of(xp, dy * (axb - s.ax))
    squared = dx2 / tau + cross + dy2 / sigma
    residual = xp.sqrt(xp.where(squared > 0, squared, 0.0))
    s.x = pull * s.x0 + (1.0 - pull) * xb
    s.y = pull * s.y0 + (1.0 - pull) * (s.yh + dy)
    s.ax = pull * s.ax0 + (1.0 - pull) * axb
    s.age = s.age + 1.0
    s.first = xp.where(s.age == 1.0, residual, s.first)
    wanted = (s.age >= ARTIFICIAL * total) | (
        (s.age > 1.0)
        & ((residual <= SUFFICIENT * s.first) | ((residual <= NECESSARY * s.first) & (residual > s.last)))
    )
    s.last = residual
    moved = s.weight * dx2 + dy2 / s.weight
    steepness = xp.abs(cross) / xp.where(moved > 0, moved, 1.0)
    s.steep = xp.maximum(s.steep, steepness)
    too_long = (s.step > base) & ((s.step * steepness > 0.99) | ((s.age > 1.0) & (residual > 1.05 * s.first)))
    push = _push(xp, s, dx2 / tau, dy2 / sigma)
    if bool(xp.any(wanted | too_long | (push != 1.0))):
        restart(xp, s, wanted | too_long | (push != 1.0), times_a, push)
        adapt_step(xp, s, wanted | too_long, too_long, base)
    out: Array = residual
    return out


def adapt_step(xp: Namespace, s: State, restarted: Array, rejected: Array, base: float) -> None:
    """Choose the steps until the next restarts, never below the proven one."""
    s.rejected = s.rejected + xp.astype(rejected, s.rejected.dtype)
    back = xp.where(s.rejected < REJECTIONS, BACK * s.step, 0.0)
    limit = SAFE / xp.where(s.steep > 0, s.steep, 1e-300)
    grown = xp.minimum(xp.minimum(GROW * s.step, s.cap), limit)
    cap = xp.where(rejected, back, RELAX * s.cap)
    step = xp.where(rejected, back, grown)
    s.cap = xp.where(restarted, cap, s.cap)
    s.step = xp.where(restarted, xp.where(step > base, step, base), s.step)
    s.steep = xp.where(restarted, 0.0, s.steep)


def _push(xp: Namespace, s: State, x_way: Array, y_way: Array) -> Array:
    """By how much to change weights at once, because only one of x and y has moved for long; else one."""
    x_alone, y_alone = y_way <= STILL * x_way, x_way <= STILL * y_way
    longer = xp.where(x_alone, xp.where(s.alone > 0.0, s.alone, 0.0) + 1.0, 0.0)
    longer = xp.where(y_alone, xp.where(s.alone < 0.0, s.alone, 0.0) - 1.0, longer)
    s.alone = xp.where(x_alone & y_alone, 0.0, longer)
    pushed = (xp.abs(s.alone) >= ALONE) & (s.weight > 1.0 / WIDEST) & (s.weight < WIDEST)
    one = xp.ones_like(s.weight)
    out: Array = xp.where(pushed, xp.where(s.alone > 0.0, one / STUCK, STUCK * one), one)
    s.alone = xp.where(pushed, 0.0, s.alone)
    return out


def restart(xp: Namespace, s: State, wanted: Array, times_a: Callable[[Array], Array], push: Array) -> None:
    """Move anchor and iterate of some programs to their PDHG points, and balance their weights."""
    dx, dy = length(xp, s.xh - s.x0), length(xp, s.yh - s.y0)
    # Beside the other's way, what rounding moved is no way.
    x_moved = dx > 1e-10 * xp.maximum(length(xp, s.xh), dy / s.weight)
    y_moved = dy > 1e-10 * xp.maximum(length(xp, s.yh), dx * s.weight)
    both = x_moved & y_moved
    balanced = xp.sqrt(s.weight * xp.where(both, dy, 1.0) / xp.where(both, dx, 1.0))
    pushed = xp.where(x_moved, s.weight / STUCK, xp.where(y_moved, s.weight * STUCK, s.weight))
    pushed = xp.where((s.balanced > 0) | (s.restarts < PATIENCE), s.weight, pushed)
    at_once = push != 1.0
    weight = xp.where(at_once, push * s.weight, xp.where(both, balanced, pushed))
    s.weight = xp.where(wanted, weight, s.weight)
    s.balanced = xp.where(wanted & both & ~at_once, 1.0, s.balanced)
    s.x, s.x0 = xp.where(wanted, s.xh, s.x), xp.where(wanted, s.xh, s.x0)
    s.y, s.y0 = xp.where(wanted, s.yh, s.y), xp.where(wanted, s.yh, s.y0)
    s.ax, s.ax0 = xp.where(wanted, s.axh, s.ax), xp.where(wanted, s.axh, s.ax0)
    s.aty0 = xp.where(wanted, times_a(s.yh), s.aty0)
    s.age = xp.where(wanted, 0.0, s.age)
    s.restarts = s.restarts + xp.astype(wanted, s.restarts.dtype)


def measure(
    xp: Namespace, s: State, times_a: Callable[[Array], Array], rows: Array, columns: Array
) -> tuple[Array, Array, Array, Array]:
    """Primal and dual residual and gap of the PDHG points, and their reduced costs."""
    low, high = s.axh < s.lc, s.axh > s.uc
    crossed = xp.where(low, s.lc, xp.where(high, s.uc, 0.0))
    beyond = xp.where(low | high | xp.isnan(s.axh), xp.abs(s.axh - crossed), 0.0)
    leant = xp.where(s.yh > 0, s.lc, xp.where(s.yh < 0, s.uc, 0.0))
    b = xp.where(low | high, crossed, xp.where(xp.isfinite(leant), leant, 0.0))
    primal = length(xp, beyond / rows) / (s.unit_b + length(xp, b / rows))
    slack = s.c - times_a(s.yh)
    bound = total_of(xp, times(xp, s.yh, xp.where(s.yh > 0, s.lc, s.uc)))
    limit = xp.where(slack > 0, s.lx, s.ux)
    finite = xp.isfinite(limit)
    bound = bound + total_of(xp, xp.where(finite, slack, 0.0) * xp.where(finite, limit, 0.0))
    c = xp.where(s.xh == limit, 0.0, s.c)
    dual = length(xp, xp.where(finite, 0.0, slack) / columns) / (s.unit_c + length(xp, c / columns))
    value = total_of(xp, s.c * s.xh)
    gap = xp.abs(value - bound) / (s.unit_b * s.unit_c + xp.abs(value) + xp.abs(bound))
    return primal, dual, gap, slack


def dual_rays(
    xp: Namespace,
    s: State,
    slack: Array,
    times_a: Callable[[Array], Array],
    sizes_a: Callable[[Array], Array],
) -> Array:
    """Which ways y^ - y0 prove infeasibility; `sizes_a` is `times_a` of absolute values."""
    v = s.yh - s.y0
    limit_v = xp.where(v > 0, s.lc, s.uc)
    signs = xp.all(xp.isfinite(limit_v) | (v == 0), axis=1, keepdims=True)
    far = total_of(xp, v * v) > 1e-4 * total_of(xp, s.yh * s.yh)
    rows = times(xp, v, limit_v)
    used = largest(xp, xp.where((v != 0) & xp.isfinite(limit_v), xp.abs(limit_v), 0.0))

    def proves(r: Array, sizes: Array, terms: int) -> Array:
        limit = xp.where(r > 0, s.lx, s.ux)
        finite = xp.isfinite(limit)
        bound = total_of(xp, rows) + total_of(xp, times(xp, r, limit))
        violation = largest(xp, xp.where(finite, 0.0, xp.abs(r)))
        in_rows = total_of(xp, xp.abs(rows))
        all_sizes = in_rows + total_of(xp, times(xp, sizes, xp.abs(limit)))
        share = xp.abs(times(xp, r, limit))
        total = in_rows + total_of(xp, share)
        mean = total_of(xp, times(xp, share, xp.abs(limit))) / xp.where(total > 0, total, 1.0)
        size = s.unit_b + xp.maximum(used, mean)
        out: Array = is_certificate(bound, violation, size, terms, all_sizes)
        return out

    found: Array = signs & far
    r = (s.aty0 - s.c) + slack
    found = found & proves(r, xp.abs(r), 0)
    if bool(xp.any(found)):  # then from the products themselves, whose rounding errors are known
        found = found & proves(-times_a(v), sizes_a(xp.abs(v)), v.shape[1] + r.shape[1])
    return found


def primal_rays(xp: Namespace, s: State) -> Array:
    """Which ways x^ - x0 prove unboundedness."""
    v, av = s.xh - s.x0, s.axh - s.ax0
    stopped = xp.isfinite(xp.where(v < 0, s.lx, s.ux))
    held = xp.isfinite(xp.where(av < 0, s.lc, s.uc))
    violation = xp.maximum(
        largest(xp, xp.where(stopped, xp.abs(v), 0.0)), largest(xp, xp.where(held, xp.abs(av), 0.0))
    )
    descent = -total_of(xp, s.c * v)
    far = total_of(xp, v * v) > 1e-4 * total_of(xp, s.xh * s.xh)
    sizes = total_of(xp, xp.abs(s.c * v))
    found: Array = (
        far & (descent > 0) & is_certificate(descent, violation, s.unit_c + s.size_c, v.shape[1], sizes)
    )
    return found


def largest(xp: Namespace, v: Array) -> Array:
    """The largest entry of each row."""
    out: Array = xp.max(v, axis=1, keepdims=True)
    return out


def clip(xp: Namespace, v: Array, low: Array, high: Array) -> Array:
    """The nearest to v between low and high."""
    out: Array = xp.minimum(xp.maximum(v, low), high)
    return out


def times(xp: Namespace, v: Array, limit: Array) -> Array:
    """The product, where zero times a missing bound gives zero."""
    used = xp.isfinite(limit) & (v != 0)
    out: Array = xp.where(used, v, 0.0) * xp.where(used, limit, 0.0)
    return out


def total_of(xp: Namespace, v: Array) -> Array:
    """The sum of each row."""
    out: Array = xp.sum(v, axis=1, keepdims=True)
    return out


def length(xp: Namespace, v: Array) -> Array:
    """The 2-norm of each row."""
    out: Array = xp.sqrt(total_of(xp, v * v))
    return out
