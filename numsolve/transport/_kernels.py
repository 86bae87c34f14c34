"""Kernels of the ground floor, for the rooms of this column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numsolve._core import arrays

if TYPE_CHECKING:
    from numsolve._core.typing import Kernels, Namespace


def of_plans(xp: Namespace) -> Kernels:
    """Plans and their sums, of a matrix of costs."""
    return arrays.kernels_for(xp, __package__)


def of_systems(xp: Namespace) -> Kernels:
    """Newton's systems S x = rhs."""
    return arrays.kernels_for(xp, __package__, "newton")
