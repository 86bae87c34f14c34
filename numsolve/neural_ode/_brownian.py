"""One Brownian path for each key: W(u) and its integral at any time of a grid, made when asked for.

The span is halved again and again. In an interval of length h that starts at W_l, with the increment w and
the deviation of its mean from the chord, H ~ N(0, h / 12), the middle follows from two normal numbers x, z,
which depend on nothing but the key and the place of the interval:

    w_1 = w / 2 + 3 H / 2 + sqrt(h) x / 4,
    H_1, H_2 = H / 4 - sqrt(h) x / 8 +- sqrt(h / 48) z,                                     (1)
    int W over the interval = h (W_l + w / 2 + H).                                          (2)

Hence the same key gives the same path, whatever the steps, and nothing of it is stored.
(J. Foster, T. Lyons, H. Oberhauser, SIAM J. Numer. Anal. 58 (2020), for the law of (w, H) in the halves.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

#: halvings of the span; the least step is the span over 2^DEPTH
DEPTH = 20
CELLS = 2**DEPTH


class Point(NamedTuple):
    """A path at a time: its value, and its integral since the start."""

    value: Any
    integral: Any


class Interval(NamedTuple):
    """One of the tree, between two places of the grid."""

    node: Any
    left: Any
    width: Any
    start: Point
    w: Any
    H: Any


@dataclass(frozen=True)
class Path:
    """A Brownian path over [0, span], of a shape.

    Attributes
    ----------
    key : array
        Key of `jax.random`.
    shape, dtype
        Of the values, which are independent.
    span : scalar
        Its length in time.
    """

    key: Any
    shape: tuple[int, ...]
    dtype: Any
    span: Any

    def at(self, u: Any) -> Point:
        """The path at a part u of the span, which must be a multiple of 2^-DEPTH."""
        import jax
        import jax.numpy as jnp

        place = jnp.round(u * CELLS).astype(jnp.int32)
        zero = jnp.zeros(self.shape, self.dtype)
        root = Interval(jnp.int32(0), jnp.int32(0), jnp.int32(CELLS), Point(zero, zero), zero, zero)

        def between(i: Interval) -> Any:
            return (i.node == 0) | ((place != i.left) & (place != i.left + i.width))

        i = jax.lax.while_loop(between, lambda i: self._next(i, place), root)
        end = self._end(i)
        return Point(*(jnp.where(place == i.left, a, b) for a, b in zip(i.start, end, strict=True)))

    def _normals(self, node: Any) -> tuple[Any, Any]:
        import jax

        numbers = jax.random.normal(jax.random.fold_in(self.key, node), (2, *self.shape), self.dtype)
        return numbers[0], numbers[1]

    def _length(self, i: Interval) -> Any:
        return self.span * (i.width.astype(self.dtype) / CELLS)

    def _end(self, i: Interval) -> Point:
        h = self._length(i)
        return Point(i.start.value + i.w, i.start.integral + h * (i.start.value + 0.5 * i.w + i.H))  # (2)

    def _next(self, i: Interval, place: Any) -> Interval:
        """The whole span after node 0, then the half that the place is in; the generator is used once."""
        import jax
        import jax.numpy as jnp

        x, z = self._normals(i.node)
        whole = i._replace(node=jnp.int32(1), w=jnp.sqrt(self.span) * x, H=jnp.sqrt(self.span / 12) * z)
        half = self._half(i, place, x, z)
        chosen: Interval = jax.tree.map(lambda a, b: jnp.where(i.node == 0, a, b), whole, half)
        return chosen

    def _half(self, i: Interval, place: Any, x: Any, z: Any) -> Interval:
        """The half that the place is in."""
        import jax.numpy as jnp

        h = self._length(i)
        w_1 = 0.5 * i.w + 1.5 * i.H + jnp.sqrt(h) / 4 * x  # (1)
        common, apart = 0.25 * i.H - jnp.sqrt(h) / 8 * x, jnp.sqrt(h / 48) * z  # (1)
        half = i.width // 2
        first = i._replace(width=half, w=w_1, H=common + apart)
        middle = self._end(first)
        right = place >= i.left + half

        def choose(a: Any, b: Any) -> Any:
            return jnp.where(right, a, b)

        return Interval(
            2 * i.node + right,
            choose(i.left + half, i.left),
            half,
            Point(*(choose(a, b) for a, b in zip(middle, i.start, strict=True))),
            choose(i.w - w_1, w_1),
            choose(common - apart, common + apart),
        )


def increments(before: Point, after: Point, h: Any) -> tuple[Any, Any]:
    """The increment of W in a step, and the number Z ~ N(0, h) that its integral adds to it."""
    w = after.value - before.value
    integral = after.integral - before.integral - h * before.value
    return w, math.sqrt(3.0) * (2.0 * integral / h - w)
