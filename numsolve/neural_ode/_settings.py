"""The settings of a solve: checked once, hashable, carried by the result."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import checks
from numsolve._core.result import PrecisionWarning, caller_level

from ._control import is_span, make_controller

if TYPE_CHECKING:
    from ._control import Controller

ADJOINTS = ("discrete", "backsolve", "interpolating", "forward")
NORMS = ("batch", "sample")
#: a relative tolerance below so many roundings measures noise
NOISE = 100
#: The most attempts: the arrays of the result have an entry for each, whether it is done or not.
MOST_STEPS = 10**8


@dataclass(frozen=True)
class Settings:
    """What decides how a solve runs, apart from its data."""

    method: str
    rtol: float
    atol: float
    controller: Controller
    norm: str = "batch"
    adjoint: str = "discrete"
    checkpoint: int = 1
    max_steps: int = 256
    dense: bool = False
    #: weight of each leaf of the state in the norm of the error
    weight: tuple[float, ...] | None = None

    def __repr__(self) -> str:
        return f"{self.method}, rtol {self.rtol:g}, atol {self.atol:g}, {self.adjoint} adjoint"


def make_settings(
    method: str,
    rtol: Any,
    atol: Any,
    controller: Any,
    *,
    order: float,
    growth: float,
    norm: str = "batch",
    adjoint: str = "discrete",
    checkpoint: int = 1,
    max_steps: int = 256,
    dense: bool = False,
    weight: tuple[float, ...] | None = None,
) -> Settings:
    """Check and pack; the method's name was checked before, since it gives the order."""
    rtol, atol = checks.real("rtol", rtol, low=0.0), checks.real("atol", atol, low=0.0)
    if rtol == 0.0 and atol == 0.0:
        raise ValueError("rtol and atol must not both be 0")
    return Settings(
        method,
        rtol,
        atol,
        make_controller(controller, order, method, growth=growth),
        checks.choice("norm", norm, NORMS),
        checks.choice("adjoint", adjoint, ADJOINTS),
        checks.integer("checkpoint", checkpoint, low=1),
        checks.integer("max_steps", max_steps, low=1, high=MOST_STEPS),
        checks.flag("dense", dense),
        weight,
    )


def rounding(dtype: Any) -> float:
    """The spacing of floats at 1; JAX knows it of short types too."""
    import jax.numpy as jnp

    info: Any = jnp.finfo
    return float(info(dtype).eps)


#: What is said where a number is beyond single precision.
SWITCH = '; in JAX, jax.config.update("jax_enable_x64", True) switches to double precision'


def usual_rtol(dtype: Any) -> float:
    """The relative tolerance where the caller gives none: well above the rounding of the type."""
    return 1e-6 if rounding(dtype) < 1e-10 else 1e-4


def warn_of_rounding(rtol: float, dtype: Any) -> None:
    """Warn where the tolerance lies below what the state's type resolves."""
    eps = rounding(dtype)
    if 0.0 < rtol < NOISE * eps:
        warnings.warn(
            f"rtol = {rtol:g} is below {NOISE} roundings of {np.dtype(dtype).name} ({NOISE * eps:.1g}): "
            "the error estimate then measures rounding, and so would a penalty on it. "
            "Use float64 or a larger rtol.",
            PrecisionWarning,
            stacklevel=caller_level(),
        )


def check_span(t_span: Any) -> tuple[Any, Any, bool]:
    """Both ends, and whether they are plain numbers rather than values of a running trace."""
    try:
        t0, t1 = t_span
    except (TypeError, ValueError) as error:
        raise ValueError(f"t_span must be a pair (t0, t1), got {t_span!r}") from error
    for name, t in (("t_span[0]", t0), ("t_span[1]", t1)):
        if getattr(t, "shape", ()) != ():
            raise ValueError(f"{name} must be a number, got an array of shape {tuple(t.shape)}")
    if is_traced(t0) or is_traced(t1):
        return t0, t1, False
    t0, t1 = (checks.real(f"t_span[{k}]", t) for k, t in enumerate((t0, t1)))
    if not is_span(t0, t1):
        raise ValueError(f"t_span must have two different ends, got ({t0:g}, {t1:g})")
    return t0, t1, True


def check_length(t0: Any, t1: Any, dtype: Any) -> None:
    """Refuse a span whose ends or length are zero or infinite in the type of the state."""
    with np.errstate(over="ignore"):
        ends = np.array([t0, t1, abs(t1 - t0)]).astype(dtype).astype(float)
    if not np.isfinite(ends).all() or ends[2] == 0.0:
        raise ValueError(
            f"t_span = ({t0:g}, {t1:g}) is beyond {np.dtype(dtype).name}, the type of the state{SWITCH}"
        )


def check_sizes(dtype: Any, **numbers: Any) -> None:
    """Refuse settings that are infinite in the type of the state."""
    for name, value in numbers.items():
        if value is None or is_traced(value):
            continue
        with np.errstate(over="ignore"):
            inside = np.isfinite(np.asarray(value).astype(dtype).astype(float)).all()
        if not inside:
            raise ValueError(
                f"{name} = {value:g} is beyond {np.dtype(dtype).name}, the type of the state{SWITCH}"
            )


def check_times(ts: Any, t0: Any, t1: Any) -> Any:
    """The times to save: sorted from t0 to t1 and inside; values of a trace are taken as they come."""
    if is_traced(ts):
        if ts.ndim != 1:
            raise ValueError(f"ts must be 1-D, got an array of shape {tuple(ts.shape)}")
        return ts
    times = checks.array("ts", ts, ndim=1, empty=False)
    if is_traced(t0) or is_traced(t1):
        return times
    sign = 1.0 if t1 > t0 else -1.0
    if np.any(np.diff(sign * times) < 0):
        raise ValueError("ts must be sorted from t0 to t1")
    if sign * times[0] < sign * t0 or sign * times[-1] > sign * t1:
        raise ValueError(
            f"ts must lie in t_span = ({t0:g}, {t1:g}), got times from {times[0]:g} to {times[-1]:g}"
        )
    return times


def is_traced(x: Any) -> bool:
    """Whether a value has no number yet: it belongs to a transformation of JAX."""
    import jax

    return isinstance(x, jax.core.Tracer)


def key_data(key: Any) -> tuple[Any, Any]:
    """The numbers of a key of either kind, and its algorithm."""
    import jax

    try:
        data = jax.random.key_data(key)
        impl = jax.random.key_impl(key)
    except (TypeError, ValueError, AttributeError) as error:
        raise TypeError(f"key must be a key of jax.random, got {key!r}") from error
    if data.ndim != 1:
        raise ValueError(f"key must be a single key, got an array of shape {tuple(data.shape[:-1])}")
    return data, impl
