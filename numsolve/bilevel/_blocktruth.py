"""Whether the derivatives of many blocks are those of their functions: by differences, at the start."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from ._blockrun import shaped
from ._truth import SHIFT, compare

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from .block_oracle import BlockOracle

#: Blocks that are looked at.
BLOCKS = 3


def check_blocks(oracle: BlockOracle, theta: Array, y: Array) -> None:
    """Raise ValueError if a derivative of one of the first blocks contradicts its function."""
    for i in range(min(BLOCKS, oracle.n_blocks)):
        _check(oracle, theta, y[i : i + 1], np.array([i]))


def _check(oracle: BlockOracle, theta: Array, y: Array, i: Array) -> None:
    rng: Any = np.random.default_rng(0)
    double: Any = SimpleNamespace(rounding=float(np.finfo(float).eps))
    size = max(float(np.linalg.norm(y)) / y.size**0.5, 1e-3)
    t_size = max(float(np.linalg.norm(theta)) / theta.size**0.5, 1.0)
    y = y + SHIFT * size * rng.standard_normal(y.shape)
    v, w, t = rng.standard_normal(y.shape), rng.standard_normal(y.shape), rng.standard_normal(theta.size)

    def value(theta: Array, y: Array) -> float:
        return float(np.sum(shaped("upper", oracle.upper(theta, y, i, None), (1,))))

    def slope(theta: Array, y: Array) -> float:
        return float(np.sum(w * shaped("lower_grad", oracle.lower_grad(theta, y, i, None), y.shape)))

    in_y, in_theta = oracle.upper_grad(theta, y, i, None)
    along = 0.0 if in_theta is None else float(np.sum(np.asarray(in_theta) @ t))
    across = float(np.sum(oracle.lower_cross_vjp(theta, y, i, None, w) @ t))
    compare(double, "upper_grad", float(np.sum(v * in_y)), lambda h: value(theta, y + h * v), size)
    compare(double, "upper_grad", along, lambda h: value(theta + h * t, y), t_size, " in theta")
    compare(double, "lower_cross_vjp", across, lambda h: slope(theta + h * t, y), t_size)
    curved = {}
    if oracle.lower_hvp is not None:
        curved["lower_hvp"] = oracle.lower_hvp(theta, y, i, None, v)
    if oracle.lower_hess is not None:
        curved["lower_hess"] = np.einsum("kij,kj->ki", oracle.lower_hess(theta, y, i, None), v)
    for name, product in curved.items():
        compare(double, name, float(np.sum(w * product)), lambda h: slope(theta, y + h * v), size)
