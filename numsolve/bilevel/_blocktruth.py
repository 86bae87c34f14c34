"""Whether the derivatives of many blocks are those of their functions: by differences, at the start."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays

from ._blockrun import asked, upper_pair
from ._truth import SHIFT, compare

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array

    from .block_oracle import BlockOracle

#: Blocks that are looked at.
BLOCKS = 3


def check_blocks(oracle: BlockOracle, theta: Array, y: Array) -> None:
    """Raise ValueError if a derivative of one of the first blocks contradicts its function."""
    rng: Any = np.random.default_rng(0)
    double: Any = SimpleNamespace(rounding=float(np.finfo(float).eps))
    i = np.arange(min(BLOCKS, oracle.n_blocks))
    size = max(arrays.norm(np, y) / y.size**0.5, 1e-3)
    t_size = max(arrays.norm(np, theta) / theta.size**0.5, 1.0)
    y = y[i] + SHIFT * size * rng.standard_normal(y[i].shape)
    v, w, t = rng.standard_normal(y.shape), rng.standard_normal(y.shape), rng.standard_normal(theta.size)

    def value(theta: Array, y: Array) -> Array:
        return asked("upper", oracle.upper, (i.size,), theta, y, i, None)

    def slope(theta: Array, y: Array) -> Array:
        g = asked("lower_grad", oracle.lower_grad, y.shape, theta, y, i, None)
        return np.asarray(np.sum(w * g, axis=1))

    in_y, in_theta = upper_pair(oracle, theta, y, i, None)
    cross = asked("lower_cross_vjp", oracle.lower_cross_vjp, (i.size, theta.size), theta, y, i, None, w)
    looks: list[tuple[str, Array, Callable[[float], Array], float, str]] = [
        ("upper_grad", np.sum(v * in_y, axis=1), lambda h: value(theta, y + h * v), size, ""),
        ("upper_grad", in_theta @ t, lambda h: value(theta + h * t, y), t_size, " in theta"),
        ("lower_cross_vjp", cross @ t, lambda h: slope(theta + h * t, y), t_size, ""),
    ]
    along = {}
    if oracle.lower_hvp is not None:
        along["lower_hvp"] = asked("lower_hvp", oracle.lower_hvp, y.shape, theta, y, i, None, v)
    if oracle.lower_hess is not None:
        square = (*y.shape, y.shape[1])
        H = asked("lower_hess", oracle.lower_hess, square, theta, y, i, None)
        along["lower_hess"] = np.einsum("kij,kj->ki", H, v)
    for name, product in along.items():
        looks.append((name, np.sum(w * product, axis=1), lambda h: slope(theta, y + h * v), size, ""))
    for name, told, function, length, where in looks:
        for j in i:
            one = partial(_entry, function, int(j))
            compare(double, name, float(told[j]), one, length, where)


def _entry(function: Callable[[float], Array], j: int, h: float) -> float:
    """One number of what a function of h returns."""
    return float(function(h)[j])
