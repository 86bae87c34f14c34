"""Projections and proximal maps, the resolvents of simple operators.

The proximal map of g with parameter gamma is ``argmin_u g(u) + |u - v|^2 / (2 gamma)``; for the indicator of
a set it is the projection, whatever gamma is. A solver's `prox` is any function ``prox(v, gamma)``, or one of
these; ``functools.partial(project_box, lower=-1.0)`` and the like set their other arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from numsolve._core import arrays, checks

if TYPE_CHECKING:
    from collections.abc import Callable


def project_simplex(y: Any, radius: float = 1.0, axis: int = -1) -> Any:
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
    xp = arrays.array_namespace(y=y)
    y = checks.array("y", y, xp=xp)
    if y.ndim == 0 or y.shape[axis] == 0:
        raise ValueError(f"y must hold vectors of at least one entry along axis {axis}, got shape {y.shape}")
    v = xp.moveaxis(y, axis, -1)
    # Differences to the largest entry: the sums below then keep their digits whatever the offset.
    v = v - xp.max(v, axis=-1, keepdims=True)
    down = xp.flip(xp.sort(v, axis=-1), axis=-1)
    count = xp.arange(1, v.shape[-1] + 1, dtype=v.dtype)
    excess = (xp.cumulative_sum(down, axis=-1) - radius) / count
    kept = xp.sum(xp.astype(down > excess, xp.int64), axis=-1, keepdims=True)
    t = xp.take_along_axis(excess, kept - 1, axis=-1)
    return xp.moveaxis(xp.maximum(v - t, xp.zeros_like(v)), -1, axis)


def project_box(y: Any, lower: Any = 0.0, upper: Any = 1.0) -> Any:
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
    y = checks.array("y", y, xp=xp, check_finite=False)
    low, high = (xp.asarray(v, dtype=y.dtype) for v in (lower, upper))
    if bool(xp.any(low > high)):
        raise ValueError("lower must not exceed upper")
    return xp.minimum(xp.maximum(y, low), high)


def project_l2_ball(y: Any, radius: float = 1.0) -> Any:
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
    y = checks.array("y", y, xp=xp)
    size = float(xp.sqrt(xp.sum(y * y)))
    return y * (radius / size) if size > radius else y + 0.0


def prox_l1(v: Any, gamma: float = 1.0, weight: float = 1.0) -> Any:
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
    v = checks.array("v", v, xp=xp)
    zero = xp.zeros_like(v)
    return xp.maximum(v - shrink, zero) + xp.minimum(v + shrink, zero)


def prox_nonnegative(v: Any, gamma: float = 1.0) -> Any:
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
    v = checks.array("v", v, xp=xp)
    return xp.maximum(v, xp.zeros_like(v))


_PROJECTIONS = (project_simplex, project_box, project_l2_ball)


def resolvent(prox: Any) -> Callable[[Any, float], Any]:
    """Make the function ``J(v, gamma)`` of a solver's `prox` argument; None is no operator at all."""
    if prox is None:
        return _same
    checks.function("prox", prox)
    if getattr(prox, "func", prox) in _PROJECTIONS:
        return lambda v, _: prox(v)
    return cast("Callable[[Any, float], Any]", prox)


def catalogued(prox: Any, size: int) -> tuple[int, float, Any, Any] | None:
    """The number of a map in the compiled catalogue, its parameter and its bounds; None if it is not there.

    The numbers are those of `numsolve.monotone._cpu_vr`: 0 nothing, 1 box, 2 l1, 3 l2 ball, 4 simplex.
    """
    function, settings = getattr(prox, "func", prox), dict(getattr(prox, "keywords", {}))
    if getattr(prox, "args", ()) or settings.pop("axis", -1) != -1:
        return None
    none = np.empty(0)
    if prox is None:
        return 0, 0.0, none, none
    if function is prox_nonnegative:
        return 1, 0.0, np.zeros(size), np.full(size, np.inf)
    if function is project_box:
        low, high = settings.get("lower", 0.0), settings.get("upper", 1.0)
        low, high = (np.array(np.broadcast_to(v, (size,)), dtype=float) for v in (low, high))
        return 1, 0.0, low, high
    if function is prox_l1:
        return 2, float(settings.get("weight", 1.0)), none, none
    if function in _PROJECTIONS:
        return 3 if function is project_l2_ball else 4, float(settings.get("radius", 1.0)), none, none
    return None


def _same(v: Any, gamma: float) -> Any:  # noqa: ARG001
    return v
