"""Grids with obstacles: test problems for `solve_poisson`, found in `numsolve.linear.problems`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import checks

from ._given import OPEN, UNKNOWN, WALL
from .grid import GridPoisson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.typing import Array, RandomState


def random_obstacles(
    shape: Sequence[int], n_obstacles: int = 12, *, pockets: bool = False, rng: RandomState = None
) -> Array:
    """Flags of a box with boxes, balls and thin plates in it, 70 % of them walls and 30 % open.

    The frame is a wall, but for the last layer of the last axis, which is open.

    Parameters
    ----------
    shape : sequence of int
        The grid, in two or three dimensions.
    n_obstacles : int
        Number of obstacles.
    pockets : bool
        Leave the unknowns that touch no open cell; otherwise they become walls.
    rng : None, int or Generator
        Source of randomness.

    Returns
    -------
    array of int8 of the given shape
        0 for unknown, 1 for wall, 2 for open.

    Examples
    --------
    >>> from numsolve import linear
    >>> flags = linear.problems.random_obstacles((64, 64), rng=0)
    >>> linear.GridPoisson(flags).is_singular
    False
    """
    shape = tuple(checks.integer("shape", n, low=3) for n in shape)
    if len(shape) not in {2, 3}:
        raise ValueError(f"shape must have 2 or 3 numbers, got {len(shape)}")
    rng, d, size = checks.generator(rng), len(shape), min(shape)
    flags, grid = np.zeros(shape, dtype=np.int8), np.indices(shape, dtype=float)
    for _ in range(checks.integer("n_obstacles", n_obstacles, low=0)):
        centre = rng.uniform(0.1, 0.9, d) * shape
        offset = grid - centre.reshape((d,) + (1,) * d)
        radius = np.sqrt(np.sum(offset**2, axis=0))
        kind = rng.choice(["box", "ball", "plate"])
        if kind == "box":
            half = rng.uniform(0.03, 0.12, d) * size
            inside = np.all(np.abs(offset) < half.reshape((d,) + (1,) * d), axis=0)
        elif kind == "ball":
            inside = radius < rng.uniform(0.03, 0.12) * size
        else:
            normal = rng.normal(size=d)
            height = np.tensordot(normal / np.linalg.norm(normal), offset, 1)
            inside = (np.abs(height) < rng.uniform(0.6, 1.2)) & (radius < rng.uniform(0.1, 0.3) * size)
        flags[inside] = WALL if rng.random() < 0.7 else OPEN
    for axis in range(d):
        for end in (0, -1):
            flags[(slice(None),) * axis + (end,)] = WALL
    flags[(slice(1, -1),) * (d - 1) + (-1,)] = OPEN
    if not pockets:
        problem = GridPoisson(flags)
        flags[np.isin(problem.components()[0], problem.closed()) & (flags == UNKNOWN)] = WALL
    return flags


def maze(rooms: int, *, rng: RandomState = None) -> Array:
    """Flags of a square maze with corridors of one cell and one exit, made by a depth-first walk.

    Parameters
    ----------
    rooms : int
        Rooms a side; the grid has ``2 * rooms + 1`` cells a side.
    rng : None, int or Generator
        Source of randomness.

    Returns
    -------
    array of int8 of shape (2 * rooms + 1, 2 * rooms + 1)
        0 for unknown, 1 for wall, 2 for the exit.

    Examples
    --------
    >>> from numsolve import linear
    >>> linear.GridPoisson(linear.problems.maze(45, rng=0)).n
    4049
    """
    rooms, rng = checks.integer("rooms", rooms, low=1), checks.generator(rng)
    flags = np.full((2 * rooms + 1,) * 2, WALL, dtype=np.int8)
    path, flags[1, 1] = [(0, 0)], UNKNOWN
    while path:
        a, b = path[-1]
        steps = [
            (da, db)
            for da, db in ((0, 1), (1, 0), (0, -1), (-1, 0))
            if 0 <= a + da < rooms
            and 0 <= b + db < rooms
            and flags[2 * (a + da) + 1, 2 * (b + db) + 1] == WALL
        ]
        if not steps:
            path.pop()
            continue
        da, db = steps[rng.integers(len(steps))]
        flags[2 * a + 1 + da, 2 * b + 1 + db] = UNKNOWN
        flags[2 * (a + da) + 1, 2 * (b + db) + 1] = UNKNOWN
        path.append((a + da, b + db))
    flags[-2, -1] = OPEN
    return flags
