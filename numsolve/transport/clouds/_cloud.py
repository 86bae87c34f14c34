# mypy: disable-error-code=no-any-return
# (array libraries, kernels and SciPy have no types: what they return is an Array by our word)
"""Points sorted by recursive bisection of their longest axis: neighbours in memory are neighbours in space.

The leaves are the groups whose boxes let the kernels pass over pairs that cannot matter, and the higher
levels are smaller clouds that stand for the whole one at a larger regularisation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from numsolve._core.kept import Kept

if TYPE_CHECKING:
    from numsolve._core.typing import Array
    from numsolve.transport._deadline import Deadline

#: Points of a group, at most.
GROUP = 32

#: Neighbouring groups of a cloud: the first, and that after the last.
Block: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Cloud:
    """Points (n, d) in the order of the bisection, and their weights; `level` is None for the whole cloud."""

    points: Array
    weights: Array
    level: int | None = None

    @cached_property
    def edges(self) -> Array:
        """Where the groups begin, and the end."""
        n = self.points.shape[0]
        return bisection_edges(n, max(0, math.ceil(math.log2(n / GROUP))))

    def kept(self, i: slice) -> Kept:
        """Some of the points, as workers keep them."""
        return self._kept.setdefault((i.start, i.stop), Kept(self.points[i]))

    @cached_property
    def _kept(self) -> dict[tuple[int, int], Kept]:
        return {}

    def part(self, block: Block) -> slice:
        """The points of some groups."""
        return slice(int(self.edges[block[0]]), int(self.edges[block[1]]))

    @cached_property
    def squares(self) -> Array:
        """|x_i|**2."""
        return np.einsum("ij,ij->i", self.points, self.points)

    def coarse(self, level: int, *, means: bool) -> Cloud:
        """Stand for the 2**level parts of the bisection by their means, or by the points nearest to these."""
        edges = bisection_edges(self.points.shape[0], level)
        weights = np.add.reduceat(self.weights, edges[:-1])
        points = np.add.reduceat(self.weights[:, None] * self.points, edges[:-1]) / weights[:, None]
        if not means:
            distance = np.sum((self.points - np.repeat(points, np.diff(edges), axis=0)) ** 2, axis=1)
            nearest = [i + int(np.argmin(distance[i:j])) for i, j in pairwise(edges)]
            points = self.points[nearest]
        return Cloud(points, weights, level)

    def owners(self, coarser: Cloud) -> Array:
        """For each point, the point of a coarser cloud that stands for it."""
        n = self.points.shape[0]
        if coarser.level is None:
            return np.arange(n)
        if self.level is not None:
            return np.arange(n) >> (self.level - coarser.level)
        return np.repeat(np.arange(2**coarser.level), np.diff(bisection_edges(n, coarser.level)))


def split(cloud: Cloud, most: int) -> list[Block]:
    """Parts of a cloud of about so many points at most: the first group of each, and that after its last."""
    groups = cloud.edges.size - 1
    parts = min(groups, -(-cloud.points.shape[0] // most))
    return list(pairwise(int(end) for end in (np.arange(parts + 1) * groups) // parts))


def bisection_order(points: Array, deadline: Deadline | None = None) -> Array:
    """The order of the points in which each level of the bisection is sorted along its longest axis.

    At the deadline the levels that are left are not sorted: groups are larger in space, and as valid.
    """
    n = points.shape[0]
    order = np.arange(n)
    for level in range(max(0, math.ceil(math.log2(n)) - 1)):
        if deadline is not None and deadline.passed:
            break
        edges = bisection_edges(n, level)
        part = np.repeat(np.arange(2**level), np.diff(edges))
        sorted_points = points[order]
        low = np.minimum.reduceat(sorted_points, edges[:-1])
        width = np.maximum.reduceat(sorted_points, edges[:-1]) - low
        axis = np.argmax(width, axis=1)
        low, width = (np.take_along_axis(x, axis[:, None], 1)[:, 0] for x in (low, width))
        along = np.take_along_axis(sorted_points, axis[part][:, None], 1)[:, 0]
        # One key for both: the part, and the place in it from 0 to below 1.
        place = (along - low[part]) / np.where(width > 0, width, 1.0)[part]
        order = order[np.argsort(part + 0.999 * place, kind="stable")]
    return order


def bisection_edges(n: int, level: int) -> Array:
    """Where the parts of a level of the bisection begin, and the end; part k splits into 2k and 2k + 1."""
    return (np.arange(2**level + 1) * n) >> level
