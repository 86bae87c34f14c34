"""The adaptive loop: one compiled while loop, whose buffers have a row for each accepted step.

A scheme (`RungeKutta`, `Diagonal` for noise) brings `begin`, `clip`, `attempt` and `between`. With one step
for the batch, the numbers of the loop are scalars; with one for each sample they are vectors, and so are the
indices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from numsolve._core.result import Status

from . import _control as control
from ._norms import wide
from ._settings import rounding

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from ._settings import Settings

RUNNING = -1
#: a step below this part of the one that the controller wanted was cut short
CUT = 0.75
#: a time to save may lie outside of the span by so many roundings
ROUNDINGS = 8


class Rows(NamedTuple):
    """A row for each accepted step, and one for each rejected attempt."""

    t: Any
    h: Any
    error: Any
    stiffness: Any
    states: Any
    stages: Any
    rejected_t: Any
    rejected_h: Any


class Raw(NamedTuple):
    """What a solve gives, packed."""

    y: Any
    ys: Any
    rows: Rows
    naccepted: Any
    nrejected: Any
    nfev: Any
    status: Any


class Carry(NamedTuple):
    """The loop's state."""

    t: Any
    h: Any
    y: Any
    memory: Any
    errors: tuple[Any, Any]  #: of the last accepted step, and the one before
    n: Any
    rejected: Any
    bad: Any  #: attempts in a row that gave no number
    trips: Any
    status: Any
    saved: Any  #: how many of the times to save are behind
    ys: Any
    rows: Rows


def run(
    scheme: Any, theta: Any, t0: Any, t1: Any, y0: Array, h0: Any, ts: Any, settings: Settings, keep: bool
) -> Raw:
    """Integrate from t0 to t1 > t0.

    Parameters
    ----------
    scheme : RungeKutta or Diagonal
        How to step.
    theta : tuple
        The arrays of the right-hand side.
    t0, t1 : scalar
        The span, in growing time.
    y0 : array
        The packed start.
    h0 : scalar or None
        The first step.
    ts : array or None
        Times to save, sorted.
    settings : Settings
        As `odesolve` has them.
    keep : bool
        Whether the states at the starts of steps are kept.

    Returns
    -------
    Raw
    """
    import jax
    import jax.numpy as jnp

    lanes, controller = scheme.norms.lanes, settings.controller
    shape = y0.shape[:1] if lanes else ()
    dtype, limit = y0.dtype, settings.max_steps
    t, whole = jnp.broadcast_to(t0, shape), jnp.zeros(shape, jnp.int32)
    memory, h, calls = scheme.begin(theta, t, t1, y0, h0)
    h = jax.lax.stop_gradient(jnp.minimum(h, t1 - t))
    empty = jnp.zeros((limit, *shape), dtype)
    every = settings.checkpoint
    states = jnp.zeros((-(-limit // every), *y0.shape), dtype) if keep else None
    stages = None
    if settings.dense:
        stages = jnp.zeros((limit, *shape, scheme.kept, *y0.shape[len(shape) :]), dtype)
    rows = Rows(empty, empty, empty, empty, states, stages, empty, empty)
    ys, saved = None, whole
    status = jnp.where(t >= t1, Status.CONVERGED.value, RUNNING).astype(jnp.int32)
    if ts is not None:
        ts, sound = _inside(ts, t0, t1)
        status = jnp.where(sound, status, Status.INFEASIBLE.value)
        start = jnp.sum(ts <= t0, dtype=jnp.int32)
        early = (jnp.arange(ts.shape[0]) < start).reshape(-1, *(1,) * y0.ndim)
        ys, saved = jnp.where(early, y0, jnp.zeros_like(y0)), jnp.broadcast_to(start, shape)
    before = jnp.full(shape, controller.before, dtype)
    first = Carry(
        t, h, y0, memory, (before, before), whole, whole, whole, jnp.int32(0), status, saved, ys, rows
    )

    def body(c: Carry) -> Carry:
        active = c.status == RUNNING
        stop = None if ts is None else ts[jnp.minimum(c.saved, ts.shape[0] - 1)]
        h, t_new, last = scheme.clip(c.t, c.h, t1, stop)
        step = scheme.attempt(theta, c.t, h, c.y, c.memory)
        error = jax.lax.stop_gradient(step.error)
        good = jnp.isfinite(error) & scheme.norms.finite(jax.lax.stop_gradient(step.y))
        error = jnp.where(good, error, jnp.inf)
        accept = active & good & ((error <= 1.0) | controller.fixed)

        q = controller.divisor(jnp, jnp.where(good, error, 1.0), *c.errors)
        q = jnp.where(accept, q, controller.divisor_after_rejection(jnp, error))
        # A step that was cut short at a time to save is no measure for the next one.
        h_next = jnp.maximum(h / q, jnp.where(accept & (h < CUT * c.h), c.h, 0.0))
        if controller.fixed:
            h_next = c.h
        rows = _write(c, active, h, step, settings, lanes)
        ys, saved = c.ys, c.saved
        if ts is not None:
            ys, saved = _save(scheme, ts, c, h, t_new, step, accept, lanes)

        t = jnp.where(accept, t_new, c.t)
        bad = jnp.where(good, 0, c.bad + 1)
        trips = c.trips + 1
        status = jnp.where(trips >= limit, Status.MAXITER.value, RUNNING)
        lost = (t + h_next <= t) | (h_next < scheme.resolution)
        status = jnp.where(lost, Status.BREAKDOWN.value, status)
        hopeless = bad >= (1 if controller.fixed else control.PATIENCE)
        status = jnp.where(hopeless | (lost & ~good), Status.NONFINITE.value, status)
        status = jnp.where(accept & last, Status.CONVERGED.value, status)
        kept = jnp.maximum(error, control.LEAST_ERROR)
        return Carry(
            t,
            jnp.where(active, h_next, c.h),
            jnp.where(wide(accept, c.y), step.y, c.y),
            jax.tree.map(lambda new, old: jnp.where(wide(accept, new), new, old), step.memory, c.memory),
            (jnp.where(accept, kept, c.errors[0]), jnp.where(accept, c.errors[0], c.errors[1])),
            c.n + accept,
            c.rejected + (active & ~accept),
            bad,
            trips,
            jnp.where(active, status, c.status).astype(jnp.int32),
            saved,
            ys,
            rows,
        )

    c = jax.lax.while_loop(lambda c: jnp.any(c.status == RUNNING), body, first)
    ok = jnp.where(c.status == Status.CONVERGED.value, 1.0, jnp.nan).astype(dtype)
    # A product, not a choice: its derivative is nan too.
    y = c.y * wide(ok, c.y)
    ys = None if c.ys is None else c.ys * wide(ok, c.y)
    nfev = calls + scheme.calls * (c.n + c.rejected)
    return Raw(y, ys, _cleared(c), c.n, c.rejected, nfev, c.status)


def _inside(ts: Any, t0: Any, t1: Any) -> tuple[Any, Any]:
    """The times to save, moved into the span if they left it by rounding, and whether they are sound."""
    import jax.numpy as jnp

    inside = jnp.clip(ts, t0, t1)
    slack = ROUNDINGS * rounding(ts.dtype) * jnp.maximum(jnp.abs(t0), jnp.abs(t1))
    sound = jnp.all(jnp.abs(ts - inside) <= slack) & jnp.all(jnp.diff(inside) >= 0)  # False with a nan
    return inside, sound


def _write(c: Carry, active: Any, h: Any, step: Any, settings: Settings, lanes: bool) -> Rows:
    """Write the attempt into row n, where the next one overwrites it if it is rejected."""
    import jax.numpy as jnp

    limit, rows, every = settings.max_steps, c.rows, settings.checkpoint
    n, m = (jnp.where(active, k, limit) if lanes else k for k in (c.n, c.rejected))
    states, stages = rows.states, rows.stages
    if states is not None:
        first = jnp.where(n % every == 0, n // every, states.shape[0]) if every > 1 else n
        states = put(states, first, c.y, lanes, drop=every > 1)
    if stages is not None:
        stages = put(stages, n, jnp.stack(step.stages, axis=1 if lanes else 0), lanes)
    return Rows(
        put(rows.t, n, c.t, lanes),
        put(rows.h, n, h, lanes),
        put(rows.error, n, step.error, lanes),
        put(rows.stiffness, n, step.stiffness, lanes),
        states,
        stages,
        put(rows.rejected_t, m, c.t, lanes),
        put(rows.rejected_h, m, h, lanes),
    )


def _save(
    scheme: Any, ts: Any, c: Carry, h: Any, t_new: Any, step: Any, accept: Any, lanes: bool
) -> tuple[Any, Any]:
    """Interpolate at the times that an accepted step passes; this costs no call of f."""
    import jax
    import jax.numpy as jnp

    count = ts.shape[0]

    def pending(saved: Any) -> Any:
        return accept & (saved < count) & (ts[jnp.minimum(saved, count - 1)] <= t_new)

    def one(state: tuple[Any, Any]) -> tuple[Any, Any]:
        ys, saved = state
        now = pending(saved)
        part = (ts[jnp.minimum(saved, count - 1)] - c.t) / jnp.where(h > 0, h, 1.0)
        value = scheme.between(part, h, c.y, step)
        return put(ys, jnp.where(now, saved, count), value, lanes), saved + now

    done: tuple[Any, Any] = jax.lax.while_loop(lambda s: jnp.any(pending(s[1])), one, (c.ys, c.saved))
    return done


def put(rows: Any, at: Any, value: Any, lanes: bool, *, drop: bool = False) -> Any:
    """Write one row, or one row for each sample, where an index beyond the end writes nothing."""
    import jax
    import jax.numpy as jnp

    if lanes:
        return rows.at[at, jnp.arange(at.shape[0])].set(value, mode="drop", unique_indices=True)
    if drop:
        return rows.at[at].set(value, mode="drop")
    return jax.lax.dynamic_update_index_in_dim(rows, value, at, 0)


def _cleared(c: Carry) -> Rows:
    """Zeros in the rows that no step filled."""
    import jax.numpy as jnp

    def clear(rows: Any, count: Any) -> Any:
        index = jnp.arange(rows.shape[0]).reshape(-1, *(1,) * (rows.ndim - 1))
        return jnp.where(index < count, rows, 0.0)

    rows = c.rows
    return rows._replace(
        t=clear(rows.t, c.n),
        h=clear(rows.h, c.n),
        error=clear(rows.error, c.n),
        stiffness=clear(rows.stiffness, c.n),
        rejected_t=clear(rows.rejected_t, c.rejected),
        rejected_h=clear(rows.rejected_h, c.rejected),
    )
