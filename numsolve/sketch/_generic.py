"""The kernels in plain array code, for CuPy and any other array library: the reference in the tests.

The names and arguments are those of `_cpu`, but each function returns its result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Namespace


def buckets(target: Any, sign: Any, s: int) -> tuple[Any, Any]:
    """For each row of the sketch the rows of A that go there, in tables (s, most) padded with weight 0."""
    n, k = target.shape
    order = np.argsort(target, axis=None, kind="stable")
    rows = target.reshape(-1)[order]
    begin = np.searchsorted(rows, np.arange(s))
    place = np.arange(n * k) - begin[rows]
    most = int(place.max(initial=0)) + 1
    source, weight = np.zeros((s, most), np.int64), np.zeros((s, most))
    source[rows, place] = order // k
    weight[rows, place] = sign.reshape(-1)[order]
    return source, weight


def scatter(xp: Namespace, A: Array, source: Array, weight: Array) -> Array:
    """S A by the tables of `buckets`: no two terms of one row of the result are added at once."""
    total: Array = xp.zeros((source.shape[0], A.shape[1]), dtype=A.dtype)
    for column in range(source.shape[1]):
        total = total + weight[:, column : column + 1] * xp.take(A, source[:, column], axis=0)
    return total


def gather(xp: Namespace, u: Array, target: Array, sign: Array) -> Array:
    """S' u."""
    total: Array = xp.zeros((target.shape[0], u.shape[1]), dtype=u.dtype)
    for column in range(target.shape[1]):
        total = total + sign[:, column : column + 1] * xp.take(u, target[:, column], axis=0)
    return total


def hadamard(xp: Namespace, x: Array) -> Array:
    """The unnormalised Walsh-Hadamard transform of the columns."""
    p, d = x.shape
    h = 1
    while h < p:
        pairs = xp.reshape(x, (p // (2 * h), 2, h * d))
        a, b = pairs[:, 0, :], pairs[:, 1, :]
        x = xp.reshape(xp.stack([a + b, a - b], axis=1), (p, d))
        h *= 2
    return x
