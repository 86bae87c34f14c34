"""Checks of what a `GridPoisson` is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays, checks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.typing import Array, ArrayLike

UNKNOWN, WALL, OPEN = 0, 1, 2


def checked_flags(flags: ArrayLike, name: str = "flags") -> Array:
    """Check the flags, which the caller calls `name`; a copy of one byte each."""
    checks.refuse_masked(name, flags)
    if isinstance(flags, list | tuple):
        try:
            flags = np.asarray(flags)
        except ValueError as error:
            raise ValueError(f"{name} must have rows of one length: {error}") from None
    if isinstance(flags, np.matrix):
        raise TypeError(f"{name} is a numpy.matrix; give an array: numpy.asarray({name})")
    xp = arrays.array_namespace(**{name: flags})
    if not arrays.is_numpy(xp):
        raise TypeError(f"{name} is a {arrays.namespace_name(xp)} array; a NumPy array is wanted")
    given = np.asarray(flags)
    if given.dtype.kind not in "iub":
        raise TypeError(f"{name} must be an array of integers, got dtype {given.dtype}")
    if given.ndim not in {2, 3}:
        raise ValueError(f"{name} must be 2-D or 3-D, got an array of shape {given.shape}")
    small = given.astype(np.int8)
    if given.size and not (given.min() >= 0 and given.max() <= OPEN):
        bad = (given < 0) | (given > OPEN)
        where = tuple(int(k) for k in np.argwhere(bad)[0])
        raise ValueError(
            f"{name} must hold 0 (unknown), 1 (wall) or 2 (open), got {given[where]} at index {where}"
        )
    small.flags.writeable = False
    return small


def checked_spacing(spacing: float | Sequence[float], ndim: int) -> tuple[float, ...]:
    """The distance of cells along each axis."""
    if arrays.ndim(spacing) == 0:
        return (checks.real("spacing", spacing, low=0.0, open_low=True),) * ndim
    values = list(spacing)  # type: ignore[arg-type]
    if len(values) != ndim:
        raise ValueError(f"spacing must be one number or {ndim}, one for each axis, got {len(values)}")
    return tuple(checks.real(f"spacing[{a}]", h, low=0.0, open_low=True) for a, h in enumerate(values))


def checked_faces(faces: Sequence[ArrayLike], shape: tuple[int, ...]) -> tuple[Array, ...]:
    """A positive coefficient for each face, along each axis."""
    if not hasattr(faces, "__len__"):
        raise TypeError(f"face_coefficients must be a sequence of arrays, got {type(faces).__name__}")
    if len(faces) != len(shape):
        raise ValueError(
            f"face_coefficients must be {len(shape)} arrays, one for each axis, got {len(faces)}"
        )
    out = []
    for axis, k in enumerate(faces):
        name = f"face_coefficients[{axis}]"
        wanted = tuple(n - (a == axis) for a, n in enumerate(shape))
        values = checks.array(name, k, shape=wanted).astype(float)
        if values.size and not values.min() > 0:
            where = tuple(int(i) for i in np.argwhere(~(values > 0))[0])
            raise ValueError(f"{name} must be positive everywhere, got {values[where]} at index {where}")
        out.append(values)
    return tuple(out)
