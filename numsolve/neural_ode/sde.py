"""Adaptive solves of stochastic differential equations with diagonal noise under JAX.

    dy = f(t, y, theta) dt + g(t, y, theta) dW,  y(t0) = y0,                                (1)

one Brownian path for each entry of the state. A rejected step does not draw anew, which would favour small
increments: the path belongs to the key (see `_brownian`), and the step is tried again on it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from numsolve._core import checks
from numsolve._core.result import deliver

from . import _discrete
from ._brownian import CELLS, Path
from ._control import GROWTH_OF_SDE
from ._field import hoist, make_packing, require_jax, struct, text
from ._jitted import jitted
from ._noise import METHODS, Diagonal
from ._norms import Norms
from ._settings import (
    check_length,
    check_sizes,
    check_span,
    check_times,
    is_traced,
    key_data,
    make_settings,
)
from .ode import check_start, identity_of, plain_solve
from .result import SDEResult, register

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import ArrayLike

    from ._field import Packing
    from ._settings import Settings

__all__ = ["brownian_path", "sdesolve"]


def sdesolve(
    f: Callable[[Any, Any, Any], Any],
    g: Callable[[Any, Any, Any], Any],
    y0: Any,
    t_span: tuple[Any, Any],
    params: Any = None,
    *,
    key: Any,
    ts: ArrayLike | None = None,
    noise: Literal["diagonal"] = "diagonal",
    method: Literal["sosri", "euler", "euler-heun"] = "sosri",
    rtol: float = 1e-2,
    atol: float = 1e-2,
    controller: Literal["i", "pi", "pid", "fixed"] | tuple[float, float, float] | None = None,
    adjoint: Literal["discrete", "forward"] = "discrete",
    checkpoint: int = 1,
    max_steps: int = 256,
    h0: float | None = None,
    error_weight: Any = None,
) -> SDEResult:
    """Solve a stochastic differential equation with diagonal noise so that its path can be differentiated.

    Parameters
    ----------
    f, g : callable
        Drift and diffusion (1), ``f(t, y, params)`` and ``g(t, y, params)``, both like y; in operations of
        JAX.
    y0 : array or pytree of arrays
        The start; several paths along the first axis share their steps.
    t_span : tuple of float
        Start and end, in this order. There is no derivative in them, nor in `ts`.
    params : pytree, optional
        What both get as their third argument.
    key : array
        Key of `jax.random`. The same key and span give the same Brownian path, whatever the tolerance.
    ts : array_like, optional
        Times to save. Steps end at each, rounded to a millionth of the span.
    noise : {"diagonal"}
        The kind of noise: entry i of g multiplies a path of its own.
    method : {"sosri", "euler", "euler-heun"}
        SOSRI, in the sense of Itô, of strong order 1.5 if entry i of g depends on entry i of the state alone,
        and else, as every scheme without iterated integrals of two paths, of order 1/2, which its error
        estimate does not see; Euler-Maruyama; or Euler-Heun, in the sense of Stratonovich. The last two take
        fixed steps of `h0`.
    rtol, atol : float
        As in `odesolve`; the error of a path at the end is of the size of the tolerance, and smaller where
        the noise does not depend on the state.
    controller : str or tuple of float, optional
        As in `odesolve`; ``"pi"`` by default, and fixed steps for the methods of Euler.
    adjoint : {"discrete", "forward"}
        As in `odesolve`; the increments of the path count as given.
    checkpoint, max_steps, h0, error_weight
        As in `odesolve`.

    Returns
    -------
    SDEResult

    Raises
    ------
    ValueError
        If an argument is out of range, or `f` or `g` does not return what `y0` is like.
    TypeError
        If `y0` is complex or does not hold numbers, or `key` is no key.

    Warns
    -----
    ConvergenceWarning
        If the solve failed, outside of ``jax.jit``.

    References
    ----------
    .. [1] Ch. Rackauckas, Q. Nie, "Stability-optimized high order methods and stiffness detection for
       pathwise stiff stochastic differential equations", 2018.
    .. [2] A. Rößler, "Runge-Kutta methods for the strong approximation of solutions of stochastic
       differential equations", SIAM J. Numer. Anal. 48 (2010).

    Examples
    --------
    The mean of 500 paths of an Ornstein-Uhlenbeck process is near exp(-1):

    >>> import jax
    >>> import jax.numpy as jnp
    >>> from numsolve.neural_ode import sdesolve
    >>> drift, diffusion = lambda t, y, p: -y, lambda t, y, p: 0.1 + 0 * y
    >>> sol = sdesolve(
    ...     drift, diffusion, jnp.ones(500), (0.0, 1.0), key=jax.random.key(0), rtol=0.1, atol=0.1
    ... )
    >>> print(f"{sol.y.mean():.1f}")
    0.4
    """
    jax = require_jax()
    register()
    checks.function("f", f)
    checks.function("g", g)
    checks.choice("noise", noise, ("diagonal",))
    checks.choice("method", method, METHODS)
    checks.choice("adjoint", adjoint, ("discrete", "forward"))
    t0, t1, plain = check_span(t_span)
    if plain and t1 < t0:
        raise ValueError(f"t_span must grow, for a path has a direction; got ({t0:g}, {t1:g})")
    packing = _packing(y0)
    if plain:
        check_length(t0, t1, packing.dtype)
    stepless = method != "sosri"
    if stepless and controller not in {None, "fixed"}:
        raise ValueError(f'method="{method}" has no error estimate: controller must be "fixed" or None')
    fixed = stepless or controller == "fixed"
    if fixed and h0 is None:
        raise ValueError("fixed steps need h0, the step")
    if h0 is not None and not is_traced(h0):
        h0 = checks.real("h0", h0, low=0.0, open_low=True)
        if fixed and plain and h0 * CELLS < t1 - t0:
            raise ValueError(f"h0 must be at least the span over 2^20, {(t1 - t0) / CELLS:.2g}, got {h0:g}")
    settings = make_settings(
        method,
        rtol,
        atol,
        "fixed" if fixed else "pi" if controller is None else controller,
        order=METHODS[method][0],
        growth=GROWTH_OF_SDE,
        adjoint=adjoint,
        checkpoint=checkpoint,
        max_steps=max_steps,
        weight=packing.check_weights(error_weight),
    )
    check_sizes(packing.dtype, rtol=settings.rtol, atol=settings.atol, h0=h0)
    times = None if ts is None else check_times(ts, t0, t1)
    check_start(y0, packing.dtype)
    start = packing.pack(y0)
    time = struct(jax)((), packing.dtype)
    drift, (floats_f, others_f) = hoist("f", f, time, packing, params)
    diffusion, (floats_g, others_g) = hoist("g", g, time, packing, params)
    data_of_key, impl = key_data(key)
    program = Program(f, g, drift, diffusion, settings, (len(floats_f), len(others_f)), impl)
    # Differences of times are taken here, where they are exact, if their numbers are known.
    span = t1 - t0 if plain else None
    parts = (times - t0) / span if plain and times is not None and not is_traced(times) else None
    ends, saved = (t0, t1, span), (times, parts)
    data = ([*floats_f, *floats_g], [*others_f, *others_g, data_of_key], start, ends, h0, saved)
    traced = any(is_traced(leaf) for leaf in jax.tree.leaves(data))
    result: SDEResult = program(*data) if traced else jitted(program)(*data)
    if not is_traced(result.status):
        deliver(result)
    return result


def _packing(y0: Any) -> Packing:
    """Of numbers in which the places of a path's grid can be counted."""
    packing = make_packing(y0, lanes=False)
    if str(packing.dtype) == "float16":
        raise TypeError("y0 has dtype float16, too short for the 2^20 steps of a path; give float32")
    return packing


def brownian_path(key: Any, y0: Any, t_span: tuple[float, float], ts: ArrayLike) -> Any:
    """Return the Brownian path that `sdesolve` follows for a key, at some times.

    Parameters
    ----------
    key : array
        Key of `jax.random`.
    y0 : array or pytree of arrays
        The start of the solve: the path has its shape.
    t_span : tuple of float
        The span of the solve.
    ts : array_like
        Times inside, rounded to a millionth of the span.

    Returns
    -------
    pytree of arrays
        W at each time, along a new leading axis; zero at the start of the span.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from numsolve.neural_ode import brownian_path
    >>> W = brownian_path(jax.random.key(0), jnp.ones(1000), (0.0, 4.0), [0.0, 4.0])
    >>> print(f"{W[0].std():.0f} {W[1].std():.0f}")
    0 2
    """
    jax = require_jax()
    jnp = jax.numpy
    t0, t1, _ = check_span(t_span)
    packing = _packing(y0)
    data, impl = key_data(key)
    span = jnp.asarray(t1 - t0, packing.dtype)
    places = jnp.round((jnp.asarray(check_times(ts, t0, t1)) - t0) / (t1 - t0) * CELLS) / CELLS
    return packing.unpack(_walk()(impl, packing.shape, packing.dtype, data, span, places))


class Program:
    """One kind of solve: equal programs share their compiled code."""

    def __init__(
        self,
        f: Any,
        g: Any,
        drift: Any,
        diffusion: Any,
        settings: Settings,
        counts: tuple[int, int],
        impl: Any,
    ) -> None:
        self.drift, self.diffusion, self.settings = drift, diffusion, settings
        self.counts, self.impl = counts, impl
        bodies = text(drift), text(diffusion)
        self.key = (identity_of(f), identity_of(g), bodies, drift.packing, settings, counts, str(impl))

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self.key == other.key

    def __call__(self, floats: Any, others: Any, y0: Any, ends: Any, h0: Any, saved: Any) -> SDEResult:
        """Solve, on packed data."""
        import jax
        import jax.numpy as jnp

        settings, packing, still = self.settings, self.drift.packing, jax.lax.stop_gradient
        given: list[Any] = [None if t is None else jnp.asarray(t, packing.dtype) for t in (*ends, *saved)]
        given = [None if t is None else _held(t) for t in given]
        t0, t1, span, ts, parts = given
        span = t1 - t0 if span is None else span
        if ts is not None:
            parts = (ts - t0) / span if parts is None else parts
            ts = jnp.round(parts * CELLS) / CELLS
        h0 = None if h0 is None else jnp.asarray(h0, packing.dtype)
        norms = Norms(False, settings.rtol, settings.atol, packing.weights(settings.weight))
        fixed = settings.controller.fixed
        scheme: Any = Diagonal(
            settings.method, self.drift, self.diffusion, self.counts, self.impl, norms, fixed
        )
        zero, one = jnp.zeros((), packing.dtype), jnp.ones((), packing.dtype)
        theta = (floats, [*others, t0, span])
        solve = plain_solve if settings.adjoint == "forward" else _discrete.solve
        raw = solve(scheme, theta, zero, one, y0, h0, ts, settings)
        rows = raw.rows
        done = jnp.arange(rows.t.shape[0])
        states = packing.unpack(rows.states) if settings.checkpoint == 1 else None
        return SDEResult(
            x=packing.unpack(raw.y),
            ys=None if raw.ys is None else packing.unpack(raw.ys),
            t=jnp.where(done < raw.naccepted, t0 + span * still(rows.t), 0.0),
            h=span * still(rows.h),
            error_estimate=rows.error,
            stiffness=rows.stiffness,
            states=states,
            rejected_t=jnp.where(done < raw.nrejected, t0 + span * still(rows.rejected_t), 0.0),
            rejected_h=span * still(rows.rejected_h),
            naccepted=raw.naccepted,
            nrejected=raw.nrejected,
            nfev=raw.nfev,
            status=raw.status,
            nit=raw.naccepted,
            residual=_largest(rows.error),
            settings=settings,
        )


def _held(t: Any) -> Any:
    """A time, in which a path has no derivative."""
    import jax

    @jax.custom_jvp
    def hold(t: Any) -> Any:
        return t

    def rule(primals: Any, tangents: Any) -> Any:
        if not isinstance(tangents[0], jax.custom_derivatives.SymbolicZero):
            raise TypeError(
                "sdesolve has no derivative in t_span or ts, for a Brownian path has none in time; hold them "
                "with jax.lax.stop_gradient"
            )
        return primals[0], tangents[0]

    held: Any = hold
    held.defjvp(rule, symbolic_zeros=True)
    return jax.lax.stop_gradient(held(t))


def _largest(errors: Any) -> Any:
    import jax

    return jax.lax.stop_gradient(jax.numpy.max(errors))


@cache
def _walk() -> Any:
    import jax

    def walk(impl: Any, shape: Any, dtype: Any, data: Any, span: Any, places: Any) -> Any:
        path = Path(jax.random.wrap_key_data(data, impl=impl), shape, dtype, span)
        return jax.lax.map(lambda u: path.at(u).value, places)

    return jax.jit(walk, static_argnums=(0, 1, 2))
