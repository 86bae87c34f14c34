"""The exact adjoint of the steps that were done, by replaying them backwards.

From the last accepted step to the first, step n is computed again from its start y_n, and the cotangents of
its new state, error and stiffness are pulled back:

    (ybar_n, thetabar) += (d step_n / d (y, theta))^T (ybar_{n+1}, Ebar_n, Sbar_n, kbar_n).          (1)

The step sizes, and which attempts were accepted, count as given. Saved times are linear in the stages of
their step and in its start, so that their cotangents join kbar and ybar_n, as do those of the rows of states
and stages that dense output reads. With ``checkpoint=m`` only each m-th state was kept; the
others are computed again, m at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numsolve._core.result import Status

from ._loop import Raw, run
from ._norms import wide

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._settings import Settings


def solve(scheme: Any, theta: Any, t0: Any, t1: Any, y0: Any, h0: Any, ts: Any, settings: Settings) -> Raw:
    """Run the loop, with the rule (1)."""
    import jax

    floats, others = theta

    @jax.custom_vjp
    def rule(floats: Any, y0: Any, fixed: Any) -> Raw:
        others, t0, t1, h0, ts = fixed
        return run(scheme, (floats, others), t0, t1, y0, h0, ts, settings, keep=True)

    def forward(floats: Any, y0: Any, fixed: Any) -> tuple[Raw, Any]:
        floats, y0, fixed = jax.tree.map(lambda x: x.value, (floats, y0, fixed), is_leaf=is_primal)
        raw = rule(floats, y0, fixed)
        return raw, (floats, y0, fixed, raw)

    def backward(saved: Any, bar: Raw) -> tuple[Any, Any, None]:
        floats, y0, (others, t0, t1, _, ts), raw = saved
        return (*_pull(scheme, floats, others, y0, (t0, t1), ts, raw, bar, settings), None)

    rule.defvjp(forward, backward, symbolic_zeros=True)
    raw: Raw = rule(floats, y0, (others, t0, t1, h0, ts))
    return raw


def is_primal(x: Any) -> bool:
    """Whether it is a value with its word on whether it is differentiated."""
    return hasattr(x, "perturbed")


def is_zero(x: Any) -> bool:
    """Whether a cotangent is known to vanish, or has no derivative."""
    import jax

    return x is None or isinstance(x, jax.custom_derivatives.SymbolicZero) or x.dtype == jax.dtypes.float0


def _pull(
    scheme: Any,
    floats: Any,
    others: Any,
    y0: Any,
    ends: tuple[Any, Any],
    ts: Any,
    raw: Raw,
    bar: Raw,
    settings: Settings,
) -> tuple[Any, Any]:
    import jax
    import jax.numpy as jnp

    t0, t1 = ends
    lanes, every, rows, n_steps = scheme.norms.lanes, settings.checkpoint, raw.rows, raw.naccepted
    wants = {
        "error": not is_zero(bar.rows.error),
        "stiffness": not is_zero(bar.rows.stiffness),
        "saved": ts is not None and not is_zero(bar.ys),
        "stages": not is_zero(bar.rows.stages),
        "states": not is_zero(bar.rows.states),
    }
    # The last slope of a step is the first of the next one. Where its value matters, it comes with its
    # derivative from the step after, which was pulled back before, and f is called for it once.
    shares = scheme.shares and any(wants[name] for name in ("error", "stiffness", "saved", "stages"))
    slope, pull_slope = _linearised(lambda floats, y, t, others: scheme.f((floats, others), t, y))
    most = jnp.max(n_steps)
    ok = raw.status == Status.CONVERGED.value

    def row(values: Any, n: Any) -> Any:
        """Row n; a sample that has fewer steps gives its last one again."""
        if not lanes:
            return jax.lax.dynamic_index_in_dim(values, n, 0, keepdims=False)
        return values[jnp.clip(n, 0, jnp.maximum(n_steps - 1, 0)), jnp.arange(n_steps.shape[0])]

    def only(active: Any, x: Any) -> Any:
        """Zero for a sample whose step this is not."""
        return jnp.where(wide(active, x), x, 0.0) if lanes else x

    def measures(step: Any) -> dict[str, Any]:
        """What of a step has a cotangent beside the new state."""
        out = {name: getattr(step, name) for name in ("error", "stiffness") if wants[name]}
        return out | ({"stages": step.stages} if wants["saved"] or wants["stages"] else {})

    def back(n: Any, y: Any, state: Any) -> Any:
        """Pull the cotangents through step n, which started at y."""
        ybar, first_bar, floats_bar, saved, after = state
        active = n < n_steps
        t, h = row(rows.t, n), row(rows.h, n)
        direct: Any = 0.0
        given: dict[str, Any] = {}
        for name in ("error", "stiffness"):
            if wants[name]:
                given[name] = only(active, row(getattr(bar.rows, name), n))
        if wants["saved"] or wants["stages"]:
            kbar = [jnp.zeros_like(y) for _ in range(scheme.kept)]
            if wants["stages"]:
                stacked = row(bar.rows.stages, n)
                axis = 1 if lanes else 0
                parts = (jax.lax.index_in_dim(stacked, j, axis, keepdims=False) for j in range(len(kbar)))
                kbar = [only(active, part) for part in parts]
            if wants["saved"]:
                kbar, direct, saved = _from_saved(scheme, ts, bar.ys, t, h, y, active, kbar, saved, lanes)
            given["stages"] = tuple(kbar)
        if wants["states"]:
            direct = direct + only(active, row(bar.rows.states, n))
        if not shares:

            def step_from(floats: Any, y: Any) -> Any:
                step = scheme.replay((floats, others), t, h, y)
                return step.y, measures(step)

            _, pull = jax.vjp(step_from, floats, y)
            more, new = pull((only(active, ybar), given))
        else:
            if lanes:  # a sample that has ended rests at its end
                t, h = jnp.where(active, t, t1), jnp.where(active, h, 0.0)
                y = jnp.where(wide(active, y), y, raw.y)
            first, own = slope(floats, y, t, others)
            (ks, before, _), pull_march = jax.vjp(
                lambda floats, y, k: scheme.march((floats, others), t, h, y, k), floats, y, first
            )
            _, pull_measure = jax.vjp(
                lambda y, ks, before, g: measures(scheme.measure(h, y, ks, before, g)),
                *(y, (*ks, after[0]), before, after[2]),
            )
            new, (*ks_bar, last_bar), before_bar, g_bar = pull_measure(given)
            at_end, from_end = pull_slope(after[1], last_bar + first_bar)
            more, further, first_bar = pull_march((tuple(ks_bar), before_bar, g_bar + from_end + ybar))
            more, new, after = jax.tree.map(jnp.add, more, at_end), new + further, (first, own, y)
        ybar = new + direct if not lanes else jnp.where(wide(active, ybar), new + direct, ybar)
        return ybar, first_bar, jax.tree.map(jnp.add, floats_bar, more), saved, after

    def one(n: Any, state: Any) -> Any:
        return back(n, row(rows.states, n), state)

    def segment(s: Any, state: Any) -> Any:
        """The steps s * every, ..., from one kept state."""
        y = rows.states[s] if lanes else jax.lax.dynamic_index_in_dim(rows.states, s, 0, keepdims=False)
        y = jnp.where(wide(s * every < n_steps, y), y, raw.y)
        count = jnp.minimum(every, most - s * every)
        kept = jnp.zeros((every, *y.shape), y.dtype)

        def forth(i: Any, carry: Any) -> Any:
            y, kept = carry
            kept = jax.lax.dynamic_update_index_in_dim(kept, y, i, 0)
            n = s * every + i
            step = scheme.replay((floats, others), row(rows.t, n), row(rows.h, n), y)
            return jnp.where(wide(n < n_steps, y), step.y, y), kept

        _, kept = jax.lax.fori_loop(0, count, forth, (y, kept))

        def inner(i: Any, state: Any) -> Any:
            i = count - 1 - i
            y = jax.lax.dynamic_index_in_dim(kept, i, 0, keepdims=False)
            return back(s * every + i, y, state)

        return jax.lax.fori_loop(0, count, inner, state)

    ybar = jnp.zeros_like(y0) if is_zero(bar.y) else bar.y
    last = None if ts is None else jnp.full(n_steps.shape, ts.shape[0] - 1, jnp.int32)
    end = jnp.broadcast_to(t1, n_steps.shape)
    # What the step before will need: the slope at its end, how to pull it back, and that state.
    after = (*slope(floats, raw.y, end, others), raw.y) if shares else None
    state = (ybar, jnp.zeros_like(y0) if shares else None, jax.tree.map(jnp.zeros_like, floats), last, after)
    trips, do = (most, one) if every == 1 else (-(-most // every), segment)
    ybar, first_bar, floats_bar, _, after = jax.lax.fori_loop(
        0, trips, lambda i, state: do(trips - 1 - i, state), state
    )
    if shares:
        more, new = pull_slope(after[1], first_bar)
        floats_bar, ybar = jax.tree.map(jnp.add, floats_bar, more), ybar + new
    if wants["saved"]:  # times at t0 itself
        index = jnp.arange(ts.shape[0]).reshape(-1, *(1,) * y0.ndim)
        ybar = ybar + jnp.sum(jnp.where((ts <= t0).reshape(index.shape), bar.ys, 0.0), axis=0)
    failed = jnp.where(ok, 0.0, jnp.nan).astype(y0.dtype)
    any_failed = jnp.sum(failed)
    floats_bar = jax.tree.map(lambda g: g + any_failed.astype(g.dtype), floats_bar)
    return floats_bar, ybar + wide(failed, ybar)


def _linearised(f: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`jax.vjp` in two parts, between which are arrays that a loop can carry.

    Parameters
    ----------
    f : callable
        A function of two differentiable arguments and of others.

    Returns
    -------
    value : callable
        Gives the value of `f` and the arrays.
    pull : callable
        Takes the arrays and a cotangent.
    """
    import jax

    trees: list[Any] = []

    @jax.jit  # one trace for all calls: what the arrays mean is the same in each
    def value(floats: Any, y: Any, *rest: Any) -> Any:
        out, pull = jax.vjp(lambda floats, y: f(floats, y, *rest), floats, y)
        arrays, tree = jax.tree.flatten(pull)
        trees.append(tree)
        return out, arrays

    def pull(arrays: list[Any], bar: Any) -> Any:
        return jax.tree.unflatten(trees[-1], arrays)(bar)

    return value, pull


def _from_saved(
    scheme: Any,
    ts: Any,
    ysbar: Any,
    t: Any,
    h: Any,
    y: Any,
    active: Any,
    kbar: list[Any],
    saved: Any,
    lanes: bool,
) -> tuple[list[Any], Any, Any]:
    """What the times saved in one step hand to its stages and to its start."""
    import jax
    import jax.numpy as jnp

    def pending(saved: Any) -> Any:
        return active & (saved >= 0) & (ts[jnp.maximum(saved, 0)] > t)

    def one(state: Any) -> Any:
        kbar, direct, saved = state
        now, at = pending(saved), jnp.maximum(saved, 0)
        cotangent = ysbar[at, jnp.arange(at.shape[0])] if lanes else ysbar[at]
        cotangent = jnp.where(wide(now, cotangent), cotangent, 0.0)
        part = (ts[at] - t) / jnp.where(h > 0, h, 1.0)
        kbar, direct = scheme.pull_between(part, h, cotangent, kbar, direct)
        return kbar, direct, saved - now

    start = (kbar, jnp.zeros_like(y), saved)
    done: tuple[list[Any], Any, Any] = jax.lax.while_loop(lambda s: jnp.any(pending(s[2])), one, start)
    return done
