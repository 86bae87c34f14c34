"""The adjoint equation, solved backwards in time.

    a' = -(df/dy)^T a,  thetabar' = -(df/dtheta)^T a,                                       (1)

from a(t1) = the cotangent of y(t1) to t0, with a jump by its cotangent at each saved time. ``"backsolve"``
solves y' = f backwards beside it, from the end or from the last saved state, and keeps nothing;
``"interpolating"`` takes y(t) from the stages of the forward solve. Neither is the derivative of the steps
that were done; the error is of the size of the tolerance. The parameters' part is an integral that nothing
depends on, so it does not count in the norm of the error (P. Kidger, R. T. Q. Chen, T. Lyons, "Hey, that's
not an ODE", ICML 2021).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from numsolve._core.result import Status

from ._control import GROWTH, make_controller
from ._discrete import is_primal, is_zero
from ._loop import Raw, run
from ._norms import Norms
from ._runge_kutta import RungeKutta, polynomial

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._settings import Settings


def solve(
    scheme: RungeKutta, theta: Any, t0: Any, t1: Any, y0: Any, h0: Any, ts: Any, settings: Settings
) -> Raw:
    """Run the loop, with (1) for its reverse mode."""
    import jax

    floats, others = theta
    stored = settings.adjoint == "interpolating"

    @jax.custom_vjp
    def rule(floats: Any, y0: Any, fixed: Any) -> Raw:
        others, t0, t1, h0, ts = fixed
        return run(scheme, (floats, others), t0, t1, y0, h0, ts, settings, keep=True)

    def forward(floats: Any, y0: Any, fixed: Any) -> tuple[Raw, Any]:
        floats, y0, fixed = jax.tree.map(lambda x: x.value, (floats, y0, fixed), is_leaf=is_primal)
        raw = rule(floats, y0, fixed)
        path = (raw.rows.t, raw.rows.h, raw.rows.states, raw.rows.stages, raw.naccepted) if stored else None
        return raw, (floats, fixed, raw.y, raw.ys, raw.status, path)

    def backward(saved: Any, bar: Raw) -> tuple[Any, Any, None]:
        floats, fixed, y, ys, status, path = saved
        rows = bar.rows
        if not all(is_zero(part) for part in (rows.error, rows.stiffness, rows.states, rows.stages)):
            raise ValueError(
                f'adjoint="{settings.adjoint}" does not see the steps, so errors, stiffness, states and '
                'dense output have no gradient; use adjoint="discrete", or a local penalty'
            )
        ok = jax.numpy.where(status == Status.CONVERGED.value, 0.0, jax.numpy.nan)
        grads = _back(scheme, floats, fixed, y, ys, path, bar, settings)
        return (*jax.tree.map(lambda g: g + ok.astype(g.dtype), grads), None)

    rule.defvjp(forward, backward, symbolic_zeros=True)
    raw: Raw = rule(floats, y0, (others, t0, t1, h0, ts))
    return raw


@dataclass(frozen=True)
class Backwards:
    """The right-hand side of (1) in s = -t, on (y, a, thetabar), or on (a, thetabar) if `path` gives y."""

    f: Callable[[Any, Any, Any], Any]
    shape: tuple[int, ...]
    path: Any
    join: Any
    split: Any

    def __call__(self, theta: Any, s: Any, z: Any) -> Any:
        import jax

        floats, others = theta
        y, a, _ = self.split(z)
        if self.path is not None:
            y = self.path(-s)
        slope, pull = jax.vjp(lambda floats, y: self.f((floats, others), -s, y), floats, y)
        floats_bar, ybar = pull(a)
        return self.join(-slope, ybar, floats_bar)


def _back(
    scheme: RungeKutta, floats: Any, fixed: Any, y: Any, ys: Any, path: Any, bar: Raw, settings: Settings
) -> tuple[Any, Any]:
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    others, t0, t1, _, ts = fixed
    flat, unravel = ravel_pytree(floats)
    size, shape = y.size, y.shape
    own = path is None

    def join(y: Any, a: Any, floats_bar: Any) -> Any:
        parts = [a.ravel(), ravel_pytree(floats_bar)[0].astype(y.dtype)]
        return jnp.concatenate([y.ravel(), *parts] if own else parts)

    def split(z: Any) -> tuple[Any, Any, Any]:
        state, z = (z[:size].reshape(shape), z[size:]) if own else (None, z)
        return state, z[:size].reshape(shape), unravel(z[size:].astype(flat.dtype))

    # Only the state and its adjoint count in the norm of the error.
    weight = jnp.concatenate([jnp.ones(2 * size if own else size), jnp.zeros(flat.size)])
    field: Any = Backwards(scheme.f, shape, None if own else _interpolant(scheme, path), join, split)
    norms = Norms(False, scheme.norms.rtol, scheme.norms.atol, weight)
    back = RungeKutta(scheme.tableau, field, norms)
    controller = settings.controller
    if controller.fixed:
        controller = make_controller("i", scheme.tableau.order, scheme.tableau.name, growth=GROWTH)
    settings = replace(settings, dense=False, checkpoint=1, controller=controller)

    def segment(start: Any, end: Any, z: Any) -> Any:
        return run(back, (floats, others), -start, -end, z, None, None, settings, keep=False).y

    a = jnp.zeros_like(y) if is_zero(bar.y) else bar.y
    z = join(y, a, jax.tree.map(jnp.zeros_like, floats))
    if ts is None or is_zero(bar.ys):
        z = segment(t1, t0, z)
    else:
        edges = jnp.concatenate([jnp.atleast_1d(t1), ts[::-1], jnp.atleast_1d(t0)])
        count = ts.shape[0]

        def one(i: Any, z: Any) -> Any:
            z = segment(edges[i], edges[i + 1], z)
            at = count - 1 - i
            state, a, floats_bar = split(z)
            inside = at >= 0
            a = a + jnp.where(inside, bar.ys[at], 0.0)
            state = jnp.where(inside, ys[at], state) if own else a
            return join(state, a, floats_bar)

        z = jax.lax.fori_loop(0, count + 1, one, z)
    _, a, floats_bar = split(z)
    return floats_bar, a


def _interpolant(scheme: RungeKutta, path: Any) -> Callable[[Any], Any]:
    """y(t) from the stages of the forward solve."""
    import jax.numpy as jnp

    t, h, states, stages, count = path
    starts = jnp.where(jnp.arange(t.shape[0]) < count, t, jnp.inf)

    def at(time: Any) -> Any:
        n = jnp.clip(jnp.searchsorted(starts, time, side="right") - 1, 0, jnp.maximum(count - 1, 0))
        part = (time - t[n]) / h[n]
        weights = jnp.stack([polynomial(row, part) for row in scheme.tableau.dense])
        return states[n] + h[n] * jnp.tensordot(weights, stages[n], axes=1)

    return at
