"""Projections and proximal maps, the resolvents of simple operators.

The proximal map of g with parameter gamma is ``argmin_u g(u) + |u - v|^2 / (2 gamma)``; for the indicator of
a set it is the projection, whatever gamma is. A solver's `prox` is any function ``prox(v, gamma)``, or one of
these; ``functools.partial(project_box, lower=-1.0)`` and the like set their other arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from numsolve._core import arrays, checks

from ._tuples import BOX, L1, L2_BALL, NOTHING, SIMPLEX, Resolvent

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Namespace

#: A projection ``prox(v)`` of this file, or any resolvent ``prox(v, gamma)``.
Prox: TypeAlias = Callable[..., Any]


def project_simplex(y: ArrayLike, radius: float = 1.0, axis: int = -1) -> Array:
    """Project on the simplex of nonnegative vectors with a given sum.

    Parameters
    ----------
    y : array
        The vectors, along `axis`.
    radius : float
        The sum, positive.
    axis : int
        The axis of the vectors; the others are a batch.

    Returns
    -------
    array
        The nearest points, of the same shape.

    Raises
    ------
    ValueError
        If the vectors have no entries, or are not finite.

    Notes
    -----
    The projection is ``max(y - t, 0)``; t follows from the sorted entries (M. Held, P. Wolfe, H. Crowder,
    "Validation of subgradient optimization", Math. Programming 6, 1974).

    Examples
    --------
    >>> from numsolve import monotone
    >>> monotone.project_simplex([0.5, 1.0, -0.3])
    array([0.25, 0.75, 0.  ])
    """
    radius = checks.real("radius", radius, low=0.0, open_low=True)
    axis = checks.integer("axis", axis)
    xp = arrays.array_namespace(y=y)
    u = checks.array("y", y, xp=xp)
    if not -u.ndim <= axis < u.ndim or u.shape[axis] == 0:
        raise ValueError(f"y must hold vectors of at least one entry along axis {axis}, got shape {u.shape}")
    v = xp.moveaxis(u, axis, -1)
    # Differences to the largest entry: the sums below then keep their digits whatever the offset. What is
    # further below than `radius` is zero in the projection, and may as well be at this distance.
    top = xp.max(v, axis=-1, keepdims=True)
    far = v < top - radius
    v = xp.where(far, -radius, xp.where(far, top, v) - top)
    down = xp.flip(xp.sort(v, axis=-1), axis=-1)
    count = xp.arange(1, v.shape[-1] + 1, dtype=v.dtype)
    excess = (xp.cumulative_sum(down, axis=-1) - radius) / count
    kept = xp.sum(xp.astype(down > excess, xp.int64), axis=-1, keepdims=True)
    t = xp.take_along_axis(excess, kept - 1, axis=-1)
    out: Array = xp.moveaxis(xp.maximum(v - t, xp.zeros_like(v)), -1, axis)
    return out


def project_box(y: ArrayLike, lower: ArrayLike = 0.0, upper: ArrayLike = 1.0) -> Array:
    """Project on the box ``lower <= u <= upper``.

    Parameters
    ----------
    y : array
        What is projected.
    lower, upper : float or array
        The bounds, which may be infinite.

    Returns
    -------
    array
        The nearest point.

    Examples
    --------
    >>> from numsolve import monotone
    >>> monotone.project_box([-1.0, 0.5, 2.0])
    array([0. , 0.5, 1. ])
    """
    xp = arrays.array_namespace(y=y, lower=lower, upper=upper)
    u = checks.array("y", y, xp=xp, check_finite=False)
    if bool(xp.any(xp.isnan(u))):
        raise ValueError("y must not hold nan")
    with np.errstate(over="ignore"):  # a bound beyond float32 is none
        low = checks.array("lower", lower, xp=xp, dtype=u.dtype, check_finite=False)
        high = checks.array("upper", upper, xp=xp, dtype=u.dtype, check_finite=False)
    try:
        np.broadcast_shapes(u.shape, low.shape, high.shape)
    except ValueError:
        shapes = f"{u.shape}, {low.shape} and {high.shape}"
        raise ValueError(f"y, lower and upper must have shapes that broadcast, got {shapes}") from None
    if not bool(xp.all(low <= high)):
        raise ValueError("lower must not exceed upper, nor may they be nan")
    out: Array = xp.minimum(xp.maximum(u, low), high)
    return out


def project_l2_ball(y: ArrayLike, radius: float = 1.0) -> Array:
    """Project on the ball of vectors whose 2-norm is at most `radius`.

    Parameters
    ----------
    y : array of shape (n,)
        What is projected.
    radius : float
        The radius, at least 0.

    Returns
    -------
    array
        The nearest point.

    Examples
    --------
    >>> from numsolve import monotone
    >>> monotone.project_l2_ball([3.0, 4.0])
    array([0.6, 0.8])
    """
    radius = checks.real("radius", radius, low=0.0)
    xp = arrays.array_namespace(y=y)
    u = checks.array("y", y, xp=xp)
    size = arrays.norm(xp, u)
    if size <= radius:
        same: Array = u + 0.0
        return same
    u = u / xp.max(xp.abs(u))  # radius / size may underflow, and size overflow
    out: Array = u / arrays.norm(xp, u) * radius
    return out


def prox_l1(v: ArrayLike, gamma: float = 1.0, weight: float = 1.0) -> Array:
    """Shrink towards zero by ``gamma * weight``: the proximal map of ``weight * |u|_1``.

    Parameters
    ----------
    v : array
        What is shrunk.
    gamma : float
        The parameter of the proximal map.
    weight : float
        The weight of the norm, at least 0.

    Returns
    -------
    array
        ``sign(v) max(|v| - gamma weight, 0)``.

    Examples
    --------
    >>> from numsolve import monotone
    >>> monotone.prox_l1([-3.0, 0.5, 2.0])
    array([-2.,  0.,  1.])
    """
    shrink = checks.real("gamma", gamma, low=0.0) * checks.real("weight", weight, low=0.0)
    xp = arrays.array_namespace(v=v)
    u = checks.array("v", v, xp=xp)
    zero = xp.zeros_like(u)
    out: Array = xp.maximum(u - shrink, zero) + xp.minimum(u + shrink, zero)
    return out


def prox_nonnegative(v: ArrayLike, gamma: float = 1.0) -> Array:
    """Project on the nonnegative vectors, as a proximal map.

    Parameters
    ----------
    v : array
        What is projected.
    gamma : float
        The parameter of the proximal map, which makes no difference.

    Returns
    -------
    array
        ``max(v, 0)``.

    Examples
    --------
    >>> from numsolve import monotone
    >>> monotone.prox_nonnegative([-1.0, 2.0])
    array([0., 2.])
    """
    checks.real("gamma", gamma, low=0.0)
    xp = arrays.array_namespace(v=v)
    u = checks.array("v", v, xp=xp)
    out: Array = xp.maximum(u, xp.zeros_like(u))
    return out


_PROJECTIONS = (project_simplex, project_box, project_l2_ball)


def resolvent(prox: Prox | None, xp: Namespace) -> Callable[[Array, float], Array]:
    """Make the function ``J(v, gamma)`` of a solver's `prox` argument; None is no operator at all."""
    if prox is None:
        return _same
    checks.function("prox", prox)
    if getattr(prox, "func", prox) in _PROJECTIONS:
        projection = prox
        return lambda v, _: projection(v)
    return lambda v, gamma: same_kind("prox", prox(v, gamma), v, xp)


def same_kind(name: str, value: Any, like: Array, xp: Namespace) -> Array:
    """A copy of what a user's function returned, of the wanted shape; NaN may pass, the monitor sees it."""
    if getattr(value, "dtype", None) != like.dtype or type(value) is not type(like):
        try:
            value = xp.asarray(value)
        except (TypeError, ValueError) as error:
            kind = f"{type(like).__module__}.{type(like).__name__}"
            raise TypeError(f"{name} must return an array like x0 ({kind}), got {value!r}") from error
    if value.shape != like.shape:
        raise ValueError(f"{name} must return shape {tuple(like.shape)}, got {tuple(value.shape)}")
    if value.dtype != like.dtype:
        arrays.working_dtype(xp, **{name: value})  # refuses complex numbers, and what is no number
        value = xp.astype(value, like.dtype)
    out: Array = xp.asarray(value, copy=True)  # the function may use its own array again
    return out


def catalogued(prox: Prox | None, size: int) -> Resolvent | None:
    """A map as the compiled kernels know it; None if they do not."""
    checks.function("prox", prox, optional=True)
    function, settings = getattr(prox, "func", prox), dict(getattr(prox, "keywords", {}))
    if getattr(prox, "args", ()) or settings.pop("axis", -1) != -1:
        return None
    if prox is None:
        return Resolvent.of(NOTHING)
    if function is prox_nonnegative:
        return Resolvent(BOX, 0.0, np.zeros(size), np.full(size, np.inf))
    if function is project_box:
        project_box(np.zeros(size), **settings)  # names what is wrong
        low, high = settings.get("lower", 0.0), settings.get("upper", 1.0)
        low, high = (np.array(np.broadcast_to(v, (size,)), dtype=float) for v in (low, high))
        return Resolvent(BOX, 0.0, low, high)
    if function is prox_l1:
        return Resolvent.of(L1, float(settings.get("weight", 1.0)))
    if function in _PROJECTIONS:
        kind = L2_BALL if function is project_l2_ball else SIMPLEX
        return Resolvent.of(kind, float(settings.get("radius", 1.0)))
    return None


def _same(v: Array, gamma: float) -> Array:  # noqa: ARG001
    return v
