"""What the user gives: right-hand sides and coefficients as numbers, functions, or values at points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from numsolve._core import arrays, checks

from ._cornered import move
from ._estimate import PROBES, is_rough, unseen

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Function = Callable[[Array], ArrayLike]
    #: A number, values at the points, or a function of points.
    Values: TypeAlias = ArrayLike | Function


@dataclass
class Data:
    """Right-hand side and coefficients: numbers, functions, or values at the collocation points."""

    f: Any
    reaction: Any
    diffusion: Any
    interval: tuple[float, float]
    advection: Any = None

    def __post_init__(self) -> None:
        self.xp = arrays.array_namespace(
            f=_array(self.f),
            reaction=_array(self.reaction),
            diffusion=_array(self.diffusion),
            advection=_array(self.advection),
        )
        if arrays.namespace_name(self.xp) == "jax":
            raise TypeError("arrays of jax cannot be written to, as the solver does; give NumPy arrays")
        if self.f is None:
            raise TypeError("f must be a function, an array or a number, got None")

    @property
    def like(self) -> Any:
        """An array of the caller's library, or None for NumPy's."""
        values = (self.f, self.reaction, self.diffusion)
        return None if arrays.is_numpy(self.xp) else next(v for v in map(_array, values) if v is not None)

    @property
    def varies(self) -> bool:
        """Whether a coefficient is given as more than a number."""
        return any(not (v is None or is_number(v)) for v in (self.reaction, self.diffusion))

    @property
    def rough(self) -> bool:
        """Whether a coefficient or the right-hand side is a function with a kink, a jump or worse.

        Errors are then as if by chance: they depend on where the next point is.
        """
        a, b = self.interval
        with np.errstate(all="ignore"):
            there = [
                _values(v, a + (b - a) * PROBES)
                for v in (self.f, self.reaction, self.diffusion)
                if callable(v)
            ]
        return any(map(is_rough, there))

    def at(self, points: Array) -> tuple[Any, Any, Any]:
        """Values of f, reaction (None if there is none) and diffusion (None for one) at the points."""
        f = sample("f", self.f, points, self.xp, self.like)
        reaction = (
            None if self.reaction is None else sample("reaction", self.reaction, points, self.xp, self.like)
        )
        diffusion = None
        if self.diffusion is not None:
            diffusion = sample("diffusion", self.diffusion, points, self.xp, self.like)
            check_positive("diffusion", diffusion, points)
        return f, reaction, diffusion

    def unseen(self, points: Array, u: Any) -> float:
        """The share of ``(f - reaction u) / diffusion`` that the points of a method did not see."""
        given = (self.f, self.reaction, self.diffusion)
        if any(map(is_values, given)) or not any(map(callable, given)):
            return 0.0
        a, b = self.interval
        between = a + (b - a) * PROBES

        def terms(x: Array) -> tuple[Array, Array]:
            f, reaction, diffusion = (
                np.full(x.shape, default) if v is None else _values(v, x)
                for v, default in zip(given, (0.0, 0.0, 1.0), strict=True)
            )
            return f / diffusion, reaction / diffusion

        with np.errstate(all="ignore"):
            points = np.sort(points)
            told, there = terms(points), terms(between)
            if not any(
                unseen(points, here, between, other, other, roughly=True)
                for here, other in zip(told, there, strict=True)
            ):
                return 0.0
            if self.reaction is None:
                return unseen(points, told[0], between, there[0], there[0])
            loss = there[1] * u(between)
            g = told[0] - told[1] * u(points)
            return unseen(points, g, between, there[0] - loss, np.stack([there[0], loss]))

    def divided(self) -> tuple[Callable[[Array], Array], Callable[[Array], Array] | None]:
        """``f / diffusion`` and ``reaction / diffusion`` as functions of points."""

        def f(x: Array) -> Array:
            values, _, diffusion = self.at(x)
            return np.asarray(values) if diffusion is None else quotient("f", values, diffusion)

        def reaction(x: Array) -> Array:
            _, values, diffusion = self.at(x)
            return np.asarray(values) if diffusion is None else quotient("reaction", values, diffusion)

        return f, None if self.reaction is None else reaction

    def drift(self) -> Callable[[Array], Array] | None:
        """``advection / diffusion`` as a function of points, None if there is none."""
        if self.advection is None or (is_number(self.advection) and self.advection == 0):
            return None

        def drift(x: Array) -> Array:
            values = sample("advection", self.advection, x)
            if self.diffusion is None:
                return np.asarray(values)
            diffusion = sample("diffusion", self.diffusion, x)
            check_positive("diffusion", diffusion, x)
            return quotient("advection", values, diffusion)

        return drift


def quotient(name: str, values: Any, diffusion: Any) -> Array:
    """Values over the diffusion, if they do not overflow."""
    with np.errstate(over="ignore"):
        ratio = np.asarray(values / diffusion)
    if not np.all(np.isfinite(ratio)):
        least = float(np.min(diffusion))
        raise ValueError(f"{name} / diffusion must not overflow; the least diffusion is {least:g}")
    return ratio


def sample(name: str, value: Any, points: Any, xp: Any = np, like: Any = None) -> Any:
    """Values of a number, a function or an array of values at points, or at a pair of arrays in the plane."""
    where: tuple[Array, ...] = points if isinstance(points, tuple) else (points,)
    shape = where[0].shape
    checks.refuse_masked(name, value)
    if callable(value):
        at = np.stack(where, axis=-1) if len(where) > 1 else where[0]
        values = checks.output(name, value(*where), shape=shape, points=at)
        return move(xp, values.astype(np.float64), like)
    if is_number(value):
        return move(xp, np.full(shape, checks.real(name, value)), like)
    if len(where) > 1:
        return checks.array(name, value, xp=xp, dtype=xp.float64, shape=shape)
    out = checks.array(name, value, xp=xp, dtype=xp.float64, ndim=1)
    if tuple(out.shape) != shape:
        raise ValueError(
            f"{name} must have one value for each of the {shape[0]} collocation points, got shape "
            f"{tuple(out.shape)}"
        )
    return out


def check_given(**values: Any) -> None:
    """Refuse what can be no coefficient, before there are points: neither function, number nor values."""
    for name, value in values.items():
        checks.refuse_masked(name, value)
        if is_values(value):
            checks.array(name, value, dtype=np.float64, ndim=1)
        elif value is not None and not callable(value):
            checks.real(name, value)


def check_positive(name: str, values: Any, points: Array) -> None:
    """Refuse coefficients that are not positive, naming the first point."""
    bad = np.flatnonzero(arrays.to_host(values) <= 0)
    if bad.size:
        k = int(bad[0])
        raise ValueError(f"{name} must be positive, got {float(values[k]):g} at the point {points[k]:g}")


def is_values(value: Any) -> bool:
    """Whether this is neither a function nor a number."""
    return not (value is None or callable(value) or is_number(value))


def is_number(value: Any) -> bool:
    """Whether this is one thing, which should be a number: an array without axes is one, too."""
    if callable(value):
        return False
    return getattr(value, "ndim", None) == 0 or (not hasattr(value, "shape") and arrays.ndim(value) == 0)


def unseen_of(function: Any, points: Array, interval: tuple[float, float]) -> float:
    """The share of a function that ascending points in an interval did not see; of a number, nothing."""
    if not callable(function):
        return 0.0
    between = interval[0] + (interval[1] - interval[0]) * PROBES
    with np.errstate(all="ignore"):
        there = _values(function, between)
        told = _values(function, points)
        rough = unseen(points, told, between, there, there, roughly=True)
        return unseen(points, told, between, there, there) if rough else 0.0


def _values(value: Any, x: Array) -> Array:
    """A number or a function at points, whatever it is there."""
    values = np.asarray(value(x.copy()) if callable(value) else value, dtype=np.float64)
    return np.broadcast_to(values, x.shape)


def _array(value: Any) -> Any:
    return value if hasattr(value, "shape") and is_values(value) else None


def host(x: Any) -> Array:
    """Coefficients in NumPy."""
    return np.asarray(arrays.to_host(x), dtype=np.float64)
