"""Adaptive Runge-Kutta solves under JAX that show, and let training lower, their own cost.

    y' = f(t, y, theta),  y(t0) = y0.                                                       (1)

A step h from (t_n, y_n) gives a scaled error E_n and an estimate S_n of the stiffness for nothing (see
`_runge_kutta`). A step is accepted if E_n <= 1; the next one follows from `_control`. All accepted E_n, S_n
and h_n come back, and are differentiable functions of theta at fixed steps: what is small in them is cheap
to solve (A. Pal, Y. Ma, V. Shah, C. Rackauckas, "Opening the Blackbox", ICML 2021).

Differs from the paper's code: the controller is the elementary one, ``"i"``, which takes about half the
steps of ``"pi"`` on smooth problems; stiffness is a quotient of norms, as in A. Pal, A. Edelman, C.
Rackauckas, "Locally Regularized Neural Differential Equations" (ICML 2023), and is not divided by the size
of the stability region.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from numsolve._core import checks
from numsolve._core.foreign import answers
from numsolve._core.result import Status, deliver

from . import _continuous, _discrete
from ._control import GROWTH
from ._field import Same, hoist, make_packing, require_jax, struct, text
from ._jitted import jitted
from ._loop import Raw, run
from ._norms import Norms
from ._runge_kutta import Clock, RungeKutta
from ._settings import (
    SWITCH,
    check_length,
    check_sizes,
    check_span,
    check_times,
    is_traced,
    make_settings,
    usual_rtol,
    warn_of_rounding,
)
from ._tableaus import TABLEAUS
from .result import ODEResult, register

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import ArrayLike

    from ._field import Packing
    from ._settings import Settings

__all__ = ["odesolve"]


@answers(
    args="params",
    t_eval="ts",
    saveat="ts",
    first_step="h0",
    dt0="h0",
    dense_output="dense",
    solver="method",
    stepsize_controller="controller",
    events="there are none here: scipy.integrate.solve_ivp and diffrax have them",
)
def odesolve(
    f: Callable[[Any, Any, Any], Any],
    y0: Any,
    t_span: tuple[Any, Any],
    params: Any = None,
    *,
    ts: ArrayLike | None = None,
    method: Literal["tsit5", "dopri5", "bosh3"] = "tsit5",
    rtol: float | None = None,
    atol: float = 1e-8,
    controller: Literal["i", "pi", "pid", "fixed"] | tuple[float, float, float] = "i",
    norm: Literal["batch", "sample"] = "batch",
    adjoint: Literal["discrete", "backsolve", "interpolating", "forward"] = "discrete",
    checkpoint: int = 1,
    max_steps: int = 256,
    h0: float | None = None,
    dense: bool = False,
    error_weight: Any = None,
) -> ODEResult:
    """Solve an ordinary differential equation so that its solution and its cost can be differentiated.

    Call it under ``jax.jit``: then nothing can raise or warn, a failed solve has a `status` and is nan, and
    so are its gradients.

    Parameters
    ----------
    f : callable
        The right-hand side, ``f(t, y, params)``, in operations of JAX; it is traced once. It may close over
        arrays, which are differentiated like `params`.
    y0 : array or pytree of arrays
        The start; usually a batch along the first axis. Integers become floats.
    t_span : tuple of float
        Start and end; time may run backwards. Both may be values of a trace, with derivatives.
    params : pytree, optional
        What `f` gets as its third argument: arrays and floats, which have derivatives, and anything else:
        integers, truth values and functions may steer Python's code.
    ts : array_like, optional
        Times to save, sorted from t0 to t1. They cost no evaluations and do not shorten steps. Under a trace
        they cannot be checked: if they are out of order or outside, the solve fails.
    method : {"tsit5", "dopri5", "bosh3"}
        The Runge-Kutta pair. Bosh3 has no estimate of stiffness.
    rtol, atol : float
        A step is accepted if the root mean square of ``error / (atol + rtol |y|)`` is at most 1. By default
        `rtol` is 1e-6, and 1e-4 for a state in single precision.
    controller : str or tuple of float
        How the step size follows the error: ``"i"``, ``"pi"``, ``"pid"``, or the coefficients (p, i, d) of
        diffrax's controller; ``"fixed"`` takes steps of `h0` whatever the error.
    norm : {"batch", "sample"}
        One step for the whole state, or one for each sample along the first axis, which then does not
        depend on the others; `f` gets times of shape (B, 1, ...).
    adjoint : {"discrete", "backsolve", "interpolating", "forward"}
        How gradients are computed: exactly for the steps that were done; by the adjoint equation backwards
        in time, with the state solved back or interpolated; or ``"forward"``, which allows ``jax.jvp`` and
        ``jax.jacfwd`` of any order and no reverse mode. It is the one for second derivatives: a gradient of a
        gradient is right with ``"discrete"``, but only outside of ``jax.jit``.
    checkpoint : int
        The discrete adjoint keeps one state in so many, and computes the others again.
    max_steps : int
        Most attempts, accepted or not, up to 1e8: the length of the arrays of the result.
    h0 : float, optional
        The first step; chosen with one more evaluation by default.
    dense : bool
        Keep the stages, so that the result can be called at any time.
    error_weight : pytree of float, optional
        The weight of each array of the state in the norm of the error: 0 for one that shall not influence
        the steps.

    Returns
    -------
    ODEResult

    Raises
    ------
    ValueError
        If an argument is out of range, or `f` does not return what `y0` is like; JAX traces are not checked
        for values.
    TypeError
        If `y0` is complex or does not hold numbers.

    Warns
    -----
    ConvergenceWarning
        If the solve failed, outside of ``jax.jit``.
    PrecisionWarning
        If `rtol` is below what the type of `y0` resolves.

    Notes
    -----
    `rtol` and `atol` hold where `f` is smooth along the solution. A step over a jump of `f` is judged by
    stages on either side of it, and where these happen to agree it is accepted with an error of up to a
    hundred tolerances; one more evaluation in each step, a sixth of all, would be the price of seeing it.
    Solve up to a jump at a known time, and begin anew there: `ts` does not, as steps pass over it. At a jump
    in y, tighten `rtol` and `atol`.

    Stiff problems need implicit steps, and events need root finding; this function has neither, diffrax has
    both. Outside of ``jax.jit`` the compiled solve is kept for the function object `f`.

    References
    ----------
    .. [1] Ch. Tsitouras, "Runge-Kutta pairs of order 5(4)", Comput. Math. Appl. 62 (2011).
    .. [2] A. Pal et al., "Opening the Blackbox", ICML 2021; "Locally Regularized Neural Differential
       Equations", ICML 2023.

    Examples
    --------
    The derivative of exp(-a) in a, and the steps that it took:

    >>> import jax
    >>> import jax.numpy as jnp
    >>> from numsolve.neural_ode import odesolve
    >>> def end(a):
    ...     return odesolve(lambda t, y, a: -a * y, jnp.ones(1), (0.0, 1.0), a).y[0]
    >>> print(f"{jax.grad(end)(1.0):.4f}")
    -0.3679
    """
    jax = require_jax()
    register()
    checks.function("f", f)
    tableau = TABLEAUS[checks.choice("method", method, TABLEAUS, foreign=FOREIGN)]
    t0, t1, plain = check_span(t_span)
    lanes = checks.choice("norm", norm, ("batch", "sample")) == "sample"
    packing = make_packing(y0, lanes=lanes)
    if plain:
        check_length(t0, t1, packing.dtype)
    settings = make_settings(
        method,
        usual_rtol(packing.dtype) if rtol is None else rtol,
        atol,
        controller,
        order=tableau.order,
        growth=GROWTH,
        norm=norm,
        adjoint=adjoint,
        checkpoint=checkpoint,
        max_steps=max_steps,
        dense=dense or adjoint == "interpolating",
        weight=packing.check_weights(error_weight),
    )
    if lanes and adjoint in CONTINUOUS:
        raise ValueError(f'adjoint="{adjoint}" needs norm="batch"; "discrete" and "forward" take both norms')
    if settings.dense and settings.checkpoint > 1:
        raise ValueError(
            'checkpoint must be 1 with dense=True or adjoint="interpolating", which read all states'
        )
    if settings.controller.fixed and h0 is None:
        raise ValueError('controller="fixed" needs h0, the step')
    warn_of_rounding(settings.rtol, packing.dtype)
    h0 = _first(h0, t0, t1, plain)
    check_sizes(packing.dtype, rtol=settings.rtol, atol=settings.atol, h0=h0)
    times = None if ts is None else check_times(ts, t0, t1)
    check_start(y0, packing.dtype)
    start = packing.pack(y0)
    time = struct(jax)(
        (packing.shapes[0][:1] + (1,) * (len(packing.shapes[0]) - 1)) if lanes else (), packing.dtype
    )
    field, theta = hoist("f", f, time, packing, params)
    sign: Any = (1.0 if t1 > t0 else -1.0) if plain else None
    program = Program(f, field, settings, sign)
    # Differences of times are taken here, where they are exact, if their numbers are known.
    span = abs(t1 - t0) if plain else None
    since = np.abs(times - t0) if plain and times is not None and not is_traced(times) else None
    data = (theta, start, (t0, t1, span), h0, (times, since))
    traced = any(is_traced(leaf) for leaf in jax.tree.leaves(data))
    result: ODEResult = program(*data) if traced else jitted(program)(*data)
    if not is_traced(result.status):
        deliver(result)
    return result


CONTINUOUS = ("backsolve", "interpolating")
#: words of other packages
FOREIGN = {
    "RK45": 'SciPy\'s RK45 is "dopri5" here',
    "RK23": 'SciPy\'s RK23 is "bosh3" here',
    **dict.fromkeys(("Radau", "BDF", "LSODA", "kvaerno5"), "implicit methods are not here: see diffrax"),
}


class Program:
    """One kind of solve: equal programs share their compiled code."""

    def __init__(self, f: Any, field: Any, settings: Settings, sign: float | None) -> None:
        self.field, self.settings, self.sign = field, settings, sign
        self.key = (identity_of(f), text(field), field.packing, settings, sign)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self.key == other.key

    def __call__(self, theta: Any, y0: Any, ends: Any, h0: Any, saved: Any) -> ODEResult:
        """Solve, on packed data, in the time s = |t - t0|."""
        import jax
        import jax.numpy as jnp

        settings, packing = self.settings, self.field.packing
        given: list[Any] = [None if t is None else jnp.asarray(t, packing.dtype) for t in (*ends, *saved)]
        t0, t1, span, ts, since = given
        still = jax.lax.stop_gradient
        sign: Any = (
            jnp.where(still(t1 >= t0), 1.0, -1.0).astype(packing.dtype) if self.sign is None else self.sign
        )
        norms = Norms(
            settings.norm == "sample", settings.rtol, settings.atol, packing.weights(settings.weight)
        )
        scheme = RungeKutta(TABLEAUS[settings.method], Clock(self.field, sign), norms)
        origin, zero = still(t0), jnp.zeros((), packing.dtype)
        span = sign * (still(t1) - origin) if span is None else span
        if ts is not None and since is None:
            since = sign * (still(ts) - origin)
        timed = (theta[0], [*theta[1], origin])
        y0 = _moved(self.field, theta, y0, t0, -1.0, norms.lanes)
        h0 = None if h0 is None else jnp.abs(jnp.asarray(h0, packing.dtype))
        rules: dict[str, Any] = {"discrete": _discrete.solve, "forward": plain_solve}
        solve = rules.get(settings.adjoint, _continuous.solve)
        try:
            raw = solve(scheme, timed, zero, span, y0, h0, since, settings)
        except TypeError as error:
            if "forward-mode" not in str(error):
                raise
            raise TypeError(
                f'adjoint="{settings.adjoint}" has no forward-mode derivatives (jax.jvp, jax.jacfwd, '
                'hessians); use adjoint="forward"'
            ) from error
        y = _moved(self.field, theta, raw.y, t1, 1.0, norms.lanes)
        ys = raw.ys
        if ys is not None and is_traced(ts):
            ys = jax.vmap(lambda y, t: _moved(self.field, theta, y, t, 1.0, norms.lanes))(ys, ts)
        return _result(raw, y, ys, origin, sign, packing, settings)


def plain_solve(
    scheme: Any, theta: Any, t0: Any, t1: Any, y0: Any, h0: Any, ts: Any, settings: Settings
) -> Raw:
    """The loop without a rule of its own; the rows of a failed solve can be read, but have nan slopes."""
    import jax
    import jax.numpy as jnp

    raw = run(scheme, theta, t0, t1, y0, h0, ts, settings, keep=True)
    ok = jnp.where(jnp.all(raw.status == Status.CONVERGED.value), 1.0, jnp.nan).astype(y0.dtype)

    @jax.custom_jvp
    def read(rows: Any, _: Any) -> Any:
        return rows

    def rule(primals: Any, tangents: Any) -> Any:
        return primals[0], jax.tree.map(lambda d: d * primals[1], tangents[0])

    reading: Any = read
    reading.defjvp(rule)
    rows = {name: getattr(raw.rows, name) for name in ("error", "stiffness", "states", "stages")}
    return raw._replace(rows=raw.rows._replace(**reading(rows, ok)))


def _result(raw: Raw, y: Any, ys: Any, t0: Any, sign: Any, packing: Packing, settings: Settings) -> ODEResult:
    import jax
    import jax.numpy as jnp

    rows, still = raw.rows, jax.lax.stop_gradient

    def times(since: Any, count: Any) -> Any:
        filled = jnp.arange(since.shape[0]).reshape(-1, *(1,) * (since.ndim - 1)) < count
        return jnp.where(filled, t0 + sign * still(since), 0.0)

    states = None if rows.states is None or settings.checkpoint > 1 else packing.unpack(rows.states)
    stages = None
    if rows.stages is not None:
        stages = packing.unpack(rows.stages) if settings.norm == "batch" else rows.stages
        stages = jax.tree.map(lambda k: sign * k, stages)
    return ODEResult(
        x=packing.unpack(y),
        ys=None if ys is None else packing.unpack(ys),
        t=times(rows.t, raw.naccepted),
        h=sign * still(rows.h),
        error_estimate=rows.error,
        stiffness=rows.stiffness,
        states=states,
        stages=stages,
        rejected_t=times(rows.rejected_t, raw.nrejected),
        rejected_h=sign * still(rows.rejected_h),
        naccepted=raw.naccepted,
        nrejected=raw.nrejected,
        nfev=raw.nfev,
        status=raw.status,
        nit=raw.naccepted,
        residual=_largest(rows.error),
        settings=settings,
    )


def _largest(errors: Any) -> Any:
    import jax

    return jax.lax.stop_gradient(jax.numpy.max(errors, axis=0))


def _moved(field: Any, theta: Any, y: Any, t: Any, sign: float, lanes: bool) -> Any:
    """The state itself, with the derivative ``sign f(t, y)`` in the time at which it stands."""
    import jax
    import jax.numpy as jnp

    if not is_traced(t):
        return y

    @jax.custom_jvp
    def move(_: Any, y: Any, __: Any) -> Any:
        return y

    def rule(primals: Any, tangents: Any) -> Any:
        (theta, y, t), (_, dy, dt) = primals, tangents
        zero = jax.custom_derivatives.SymbolicZero
        if isinstance(dy, zero):
            dy = jnp.zeros_like(y)
        if isinstance(dt, zero):
            return y, dy
        time = jnp.broadcast_to(t, y.shape[:1] + (1,) * (y.ndim - 1)) if lanes else t
        slope = field(theta, time, y)
        return y, dy + sign * slope * dt

    moved: Any = move
    moved.defjvp(rule, symbolic_zeros=True)
    return moved(theta, y, t)


def _first(h0: Any, t0: Any, t1: Any, plain: bool) -> Any:
    if h0 is None or is_traced(h0):
        return h0
    h0 = checks.real("h0", h0)
    if h0 == 0.0 or (plain and h0 * (t1 - t0) < 0):
        raise ValueError(f"h0 must point from t0 to t1, got {h0:g}")
    return h0


def check_start(start: Any, dtype: Any) -> None:
    """Refuse a start that is not finite, where its numbers are known, or not in the type of the state."""
    import jax

    for leaf in jax.tree.leaves(start):
        if not is_traced(leaf):
            values = np.asarray(leaf)
            checks.finite("y0", values)
            with np.errstate(over="ignore"):
                inside = np.isfinite(values.astype(dtype).astype(float)).all()
            if not inside:
                largest = float(np.max(np.abs(values)))
                raise ValueError(
                    f"y0 has numbers up to {largest:.2g}, beyond {np.dtype(dtype).name}, the type of the "
                    f"state{SWITCH}"
                )


def identity_of(f: Any) -> Any:
    """What tells a function from another one."""
    try:
        hash(f)
    except TypeError:
        return Same(f)
    return f
