"""Penalties that make training find dynamics that are cheap to solve.

Global ones sum what the solver computed anyway over its accepted steps,

    R_E = sum_n E_n |h_n|,                                                                  (1)
    R_S = sum_n S_n / size,   size the extent of the stability region,                      (2)
    R_N = sum_n E_n^(1/p),    p the order: the steps that the solver would need,            (3)

and need the discrete or the forward adjoint. A local one takes E h or S / size of a single step, from a
random time and with the state there held fixed (4), under any adjoint.

[1] A. Pal, Y. Ma, V. Shah, C. Rackauckas, "Opening the Blackbox: Accelerating Neural Differential Equations
by Regularizing Internal Solver Heuristics", ICML 2021: (1) and (2).
[2] A. Pal, A. Edelman, C. Rackauckas, "Locally Regularized Neural Differential Equations: Some Black Boxes
Were Meant to Remain Closed!", ICML 2023: (4).

Differs from the papers' code: (1) is the sum, as the paper writes, where the code takes the mean; in (4) the
first slope is differentiated, for a frozen one makes the gradient of E wrong, and the step is the one that
the solver took there, not a first guess. (3) is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from numsolve._core import checks
from numsolve._core.result import Status

from ._field import hoist, make_packing, require_jax, struct
from ._norms import Norms
from ._runge_kutta import Clock, RungeKutta
from ._settings import key_data
from ._tableaus import TABLEAUS
from .result import SDEResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from .result import ODEResult

__all__ = ["cost_penalty", "error_penalty", "local_penalty", "stiffness_penalty"]

REDUCE = ("sum", "mean", "max")
#: an error that is added to each in (3), so that its slope at 0 is finite
LEAST = 1e-9


def error_penalty(sol: ODEResult, reduce: Literal["sum", "mean", "max"] = "sum") -> Any:
    """Scaled errors of the accepted steps, times their lengths (ERNODE).

    Parameters
    ----------
    sol : ODEResult
        A solve with the discrete or the forward adjoint.
    reduce : {"sum", "mean", "max"}
        How steps are put together; the mean over samples is taken of ``norm="sample"``.

    Returns
    -------
    array of shape ()
        nan if the solve failed, as is its gradient.

    Raises
    ------
    ValueError
        If the adjoint does not see the steps.

    References
    ----------
    A. Pal, Y. Ma, V. Shah, C. Rackauckas, "Opening the Blackbox: Accelerating Neural Differential Equations
    by Regularizing Internal Solver Heuristics", ICML 2021.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from numsolve.neural_ode import error_penalty, odesolve
    >>> sol = odesolve(lambda t, y, p: -y, jnp.ones(1), (0.0, 1.0))
    >>> bool(error_penalty(sol) > 0)
    True
    """
    jnp = require_jax().numpy
    return _reduced(sol, sol.error_estimate * jnp.abs(sol.h), reduce)


def stiffness_penalty(sol: ODEResult, reduce: Literal["sum", "mean", "max"] = "max") -> Any:
    """Stiffness of the accepted steps over the extent of the stability region (SRNODE).

    Parameters
    ----------
    sol : ODEResult
        A solve with a method that has an estimate, and the discrete or the forward adjoint.
    reduce : {"sum", "mean", "max"}
        How steps are put together. The maximum, as published, has a gradient from one step only.

    Returns
    -------
    array of shape ()
        nan if the solve failed, as is its gradient.

    Raises
    ------
    ValueError
        If the adjoint does not see the steps, or for Bosh3.

    References
    ----------
    A. Pal, Y. Ma, V. Shah, C. Rackauckas, "Opening the Blackbox: Accelerating Neural Differential Equations
    by Regularizing Internal Solver Heuristics", ICML 2021.

    Examples
    --------
    On y' = -2 y the estimate is exact:

    >>> import jax.numpy as jnp
    >>> from numsolve.neural_ode import odesolve, stiffness_penalty
    >>> sol = odesolve(lambda t, y, p: -2 * y, jnp.ones(1), (0.0, 1.0))
    >>> print(f"{stiffness_penalty(sol) * sol.stability_size:.3f}")
    2.000
    """
    require_jax()
    _senses_stiffness(sol)
    return _reduced(sol, sol.stiffness / sol.stability_size, reduce)


def cost_penalty(sol: ODEResult) -> Any:
    """The number of steps that the solver would need if each were as long as the tolerance allows (3).

    Its coefficient has a unit: loss per step.

    Parameters
    ----------
    sol : ODEResult
        A solve with the discrete or the forward adjoint.

    Returns
    -------
    array of shape ()
        nan if the solve failed, as is its gradient.

    Raises
    ------
    ValueError
        If the adjoint does not see the steps.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from numsolve.neural_ode import cost_penalty, odesolve
    >>> sol = odesolve(lambda t, y, p: -y, jnp.ones(1), (0.0, 1.0))
    >>> bool(cost_penalty(sol) <= sol.naccepted)
    True
    """
    jnp = require_jax().numpy
    assert sol.settings is not None
    tableau = TABLEAUS.get(sol.settings.method)
    order = 1.5 if tableau is None else tableau.order
    _check_single(sol)
    steps = jnp.where(_filled(sol), (sol.error_estimate + LEAST) ** (1 / order), 0.0)
    return _reduced(sol, steps, "sum")


def local_penalty(
    f: Callable[[Any, Any, Any], Any],
    sol: ODEResult,
    params: Any,
    key: Any,
    kind: Literal["error", "stiffness"] = "error",
    sampling: Literal["unbiased", "biased"] = "unbiased",
    freeze_k1: bool = False,
    h: Literal["step", "initial"] = "step",
    detach: bool = True,
) -> Any:
    """Error or stiffness of one step at a random time (4); the solve itself is not opened.

    Parameters
    ----------
    f : callable
        The right-hand side of the solve.
    sol : ODEResult
        The solve, with any adjoint, ``norm="batch"`` and ``checkpoint=1``.
    params : pytree
        The parameters, whose gradient is wanted.
    key : array
        Key of `jax.random`.
    kind : {"error", "stiffness"}
        E h, or S over the extent of the stability region.
    sampling : {"unbiased", "biased"}
        A time of the span, all alike; or the start of a step, all alike, so that times are likelier where the
        solver takes many steps.
    freeze_k1 : bool
        Hold the first slope fixed, as the published code did.
    h : {"step", "initial"}
        The length of the step: that of the solver there, or the first guess of a new solve there, as the
        published code did.
    detach : bool
        Hold the state fixed. If False, E_n h_n of the step of the solve is taken, which costs nothing, and
        needs the discrete or the forward adjoint.

    Returns
    -------
    array of shape ()
        nan if the solve failed.

    Raises
    ------
    ValueError
        If the solve has not what it takes.

    Notes
    -----
    It stands for a mean over the steps where `error_penalty` is their sum, so that its coefficient is larger.
    It should fall little: on digits, from 1 to 0.4 with `ExponentialDecay` was right.

    References
    ----------
    A. Pal, A. Edelman, C. Rackauckas, "Locally Regularized Neural Differential Equations: Some Black Boxes
    Were Meant to Remain Closed!", ICML 2023.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from numsolve.neural_ode import local_penalty, odesolve
    >>> def f(t, y, a):
    ...     return -a * y
    >>> def loss(a):
    ...     sol = odesolve(f, jnp.ones(1), (0.0, 1.0), a, adjoint="backsolve")
    ...     return sol.y[0] + 0.1 * local_penalty(f, sol, a, jax.random.key(0))
    >>> bool(jnp.isfinite(jax.grad(loss)(1.0)))
    True
    """
    jax = require_jax()
    jnp, still = jax.numpy, jax.lax.stop_gradient
    checks.function("f", f)
    checks.choice("kind", kind, ("error", "stiffness"))
    checks.choice("sampling", sampling, ("unbiased", "biased"))
    checks.choice("h", h, ("step", "initial"))
    key_data(key)
    freeze_k1, detach = checks.flag("freeze_k1", freeze_k1), checks.flag("detach", detach)
    settings = sol.settings
    assert settings is not None
    if kind == "stiffness":
        _senses_stiffness(sol)
    if settings.norm == "sample":
        raise ValueError('local_penalty needs a solve with norm="batch"')
    _check_single(sol)
    lengths, count = jnp.abs(sol.h), sol.naccepted
    ends = jnp.cumsum(lengths)
    starts, span = ends - lengths, ends[-1]
    draw = jax.random.uniform(key, (), sol.h.dtype)
    if sampling == "biased":
        n = jnp.minimum((draw * count).astype(jnp.int32), jnp.maximum(count - 1, 0))
        time = still(starts[n])
    else:
        time = still(draw * span)
        n = jnp.minimum(jnp.searchsorted(ends, time), jnp.maximum(count - 1, 0))
    ok = _ok(sol)
    if not detach:
        _sees_steps(sol)
        picked = sol.error_estimate[n] * lengths[n] if kind == "error" else _scaled(sol, sol.stiffness[n])
        return ok * picked
    if isinstance(sol, SDEResult):
        raise ValueError(  # noqa: TRY004
            "local_penalty of an SDEResult needs detach=False: its step depends on the path"
        )
    if sol.states is None:
        raise ValueError("local_penalty needs the states of all steps; solve with checkpoint=1")
    packing = make_packing(sol.x, lanes=False)
    field, (floats, others) = hoist("f", f, struct(jax)((), packing.dtype), packing, params)
    theta = (floats, [*others, still(sol.t[0])])
    norms = Norms(False, settings.rtol, settings.atol, packing.weights(settings.weight))
    scheme = RungeKutta(TABLEAUS[settings.method], Clock(field, still(jnp.sign(sol.h[0]))), norms)
    length = still(lengths[n])
    y = still(packing.pack(jax.tree.map(lambda states: states[n], sol.states)))
    if sampling == "unbiased":
        fixed = jax.tree.map(still, theta)
        before = scheme.replay(fixed, starts[n], length, y)
        y = still(scheme.between((time - starts[n]) / length, length, y, before))
    if h == "initial":
        length = still(scheme.begin(jax.tree.map(still, theta), time, span, y, None)[1])
    k = scheme.f(theta, time, y)
    step = scheme.attempt(theta, time, length, y, still(k) if freeze_k1 else k)
    value = step.error * length if kind == "error" else _scaled(sol, step.stiffness)
    return ok.astype(value.dtype) * value


def _scaled(sol: ODEResult, stiffness: Any) -> Any:
    return stiffness / sol.stability_size


def _ok(sol: ODEResult) -> Any:
    """1, or nan after a failure: a factor, so that gradients are nan too."""
    import jax.numpy as jnp

    good = jnp.all(jnp.asarray(sol.status) == Status.CONVERGED.value)
    return jnp.where(good, 1.0, jnp.nan).astype(sol.error_estimate.dtype)


def _filled(sol: ODEResult) -> Any:
    import jax.numpy as jnp

    rows = sol.error_estimate
    return jnp.arange(rows.shape[0]).reshape(-1, *(1,) * (rows.ndim - 1)) < sol.naccepted


def _reduced(sol: ODEResult, rows: Any, reduce: str) -> Any:
    """Over the steps, then the mean over samples."""
    import jax.numpy as jnp

    checks.choice("reduce", reduce, REDUCE)
    _sees_steps(sol)
    if reduce == "max":
        value = jnp.max(rows, axis=0)
    else:
        value = jnp.sum(rows, axis=0)
        if reduce == "mean":
            value = value / jnp.maximum(sol.naccepted, 1)
    return _ok(sol) * jnp.mean(value)


def _check_single(sol: ODEResult) -> None:
    """Refuse a result that `jax.vmap` stacked: its rows are not steps of one solve."""
    assert sol.settings is not None
    if getattr(sol.status, "ndim", 0) > (sol.settings.norm == "sample"):
        raise ValueError("sol is a stack of solves by jax.vmap; take the penalty of each inside of jax.vmap")


def _sees_steps(sol: ODEResult) -> None:
    _check_single(sol)
    assert sol.settings is not None
    if sol.settings.adjoint in {"backsolve", "interpolating"}:
        raise ValueError(
            f'adjoint="{sol.settings.adjoint}" does not see the steps; use adjoint="discrete", '
            "or local_penalty"
        )


def _senses_stiffness(sol: ODEResult) -> None:
    assert sol.settings is not None
    tableau = TABLEAUS.get(sol.settings.method)
    if tableau is not None and not tableau.senses_stiffness:
        raise ValueError(
            f'method="{sol.settings.method}" has no estimate of stiffness; use "tsit5" or "dopri5"'
        )
