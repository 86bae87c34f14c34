"""Two clouds of points and the plans between them, with every sum over the pairs made where it is used.

The points of a `Cloud` are sorted by recursive bisection of their longest axis, so that neighbours in memory
are neighbours in space: the leaves are the groups whose boxes let the kernels pass over pairs that cannot
matter, and the higher levels are smaller clouds that stand for the whole one at a larger regularisation.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from ._cloud_metric import Metric

#: Points of a group, at most.
GROUP = 32
#: Pairs that a task of a pass looks at, and pairs from which on threads share a pass.
TASK, THREADED_ABOVE = 4_000_000, 8_000_000
LOG2E = math.log2(math.e)


@dataclass(frozen=True)
class Cloud:
    """Points (n, d) in the order of the bisection, and their weights; `level` is None for the whole cloud."""

    points: Any
    weights: Any
    level: int | None = None

    @cached_property
    def edges(self) -> Any:
        """Where the groups begin, and the end."""
        n = self.points.shape[0]
        return bisection_edges(n, max(0, math.ceil(math.log2(n / GROUP))))

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

    def owners(self, coarser: Cloud) -> Any:
        """For each point, the point of a coarser cloud that stands for it."""
        n = self.points.shape[0]
        if coarser.level is None:
            return np.arange(n)
        if self.level is not None:
            return np.arange(n) >> (self.level - coarser.level)
        return np.repeat(np.arange(2**coarser.level), np.diff(bisection_edges(n, coarser.level)))


def bisection_order(points: Any) -> Any:
    """The order of the points in which each level of the bisection is sorted along its longest axis."""
    n = points.shape[0]
    order = np.arange(n)
    for level in range(max(0, math.ceil(math.log2(n)) - 1)):
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


def bisection_edges(n: int, level: int) -> Any:
    """Where the parts of a level of the bisection begin, and the end; part k splits into 2k and 2k + 1."""
    return (np.arange(2**level + 1) * n) >> level


class _Pickled:
    """Pickles the fields of a dataclass, and not what was computed from them."""

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]


@dataclass(frozen=True)
class Pairs(_Pickled):
    """All pairs of two clouds, under a metric."""

    metric: Metric
    A: Cloud
    B: Cloud
    executor: Executor | None = None

    @property
    def T(self) -> Pairs:  # noqa: N802
        """The same with the sides exchanged."""
        return replace(self, metric=self.metric.T, A=self.B, B=self.A)

    @cached_property
    def xp(self) -> Any:
        return arrays.array_namespace(points=self.A.points)

    @cached_property
    def fused(self) -> bool:
        """Whether compiled kernels know the metric; else the costs are made tile by tile."""
        return arrays.is_numpy(self.xp) and self.metric.function is None

    @cached_property
    def k(self) -> Any:
        """The kernels."""
        from . import _generic_cloud

        tiled = arrays.is_numpy(self.xp) and not self.fused
        return _generic_cloud if tiled else arrays.kernels_for(self.xp, __package__, "cloud")

    @property
    def shape(self) -> tuple[int, int]:
        return self.A.points.shape[0], self.B.points.shape[0]

    def plan(self, f: Any, g: Any, reg: float, lost: float = 0.0) -> Plan:
        """The plan of two potentials; sums over it may lose the share `lost` of each row's weight."""
        return Plan(self, f, g, reg, lost)

    def least(self, g: Any) -> Any:
        """min_j (c_ij - g_j), the hard c-transform."""
        if not self.fused:
            return self.k.least(self.metric, self.A.points, self.B.points, g)
        rows = self.side(self.A, np.zeros(self.shape[0]), 1.0)
        columns = self.side(self.B, g, 1.0)
        return self.run(self.k.least, rows, columns) / LOG2E

    def scale(self, reg: float) -> float:
        """What the points are multiplied with, so that their cost is the exponent of 2."""
        return float((self.metric.factor * LOG2E / reg) ** (1 / self.metric.degree))

    def side(self, cloud: Cloud, potential: Any, reg: float) -> Any:
        """A cloud as the fused kernels want it."""
        points = np.ascontiguousarray((cloud.points * self.scale(reg)).T)
        return self.k.side(self.kind, points, potential * (LOG2E / reg), cloud.edges)

    @cached_property
    def kind(self) -> int:
        """The number of the metric in the fused kernels."""
        return int(getattr(self.k, self.metric.kind.upper()))

    def run(self, kernel: Callable[..., Any], *arguments: Any, after: tuple[Any, ...] = ()) -> Any:
        """Run a fused kernel over all groups of rows, by threads if that pays; results in order."""
        groups = self.A.edges.size - 1
        pairs = self.shape[0] * self.shape[1]
        tasks = min(groups, 1 + pairs // TASK, 256)
        ends = (np.arange(tasks + 1) * groups) // tasks

        def part(task: int) -> Any:
            return kernel(self.kind, self.metric.p, *arguments, ends[task], ends[task + 1], *after)

        if pairs <= THREADED_ABOVE:
            parts = [part(task) for task in range(tasks)]
        elif self.executor is not None:
            parts = [
                future.result() for future in [self.executor.submit(part, task) for task in range(tasks)]
            ]
        else:
            from numba import get_num_threads

            with ThreadPoolExecutor(get_num_threads()) as pool:
                parts = list(pool.map(part, range(tasks)))
        return np.concatenate(parts) if parts[0] is not None else None


@dataclass(frozen=True)
class Plan(_Pickled):
    """P_ij = exp((f_i + g_j - c_ij) / reg), never stored."""

    pairs: Pairs
    f: Any
    g: Any
    reg: float
    lost: float

    @cached_property
    def T(self) -> Plan:  # noqa: N802
        """The transposed plan."""
        plan = Plan(self.pairs.T, self.g, self.f, self.reg, self.lost)
        if self.pairs.fused:
            plan.__dict__["sides"] = self.sides[::-1]
        return plan

    @cached_property
    def sides(self) -> tuple[Any, Any]:
        """Both clouds as the fused kernels want them."""
        p = self.pairs
        return p.side(p.A, self.f, self.reg), p.side(p.B, self.g, self.reg)

    @cached_property
    def cut(self) -> Any:
        """log2 of the entries of each group that need not be looked at: m of them are `lost` of a weight."""
        p = self.pairs
        with np.errstate(divide="ignore"):
            return np.log2(self.lost * np.minimum.reduceat(p.A.weights, p.A.edges[:-1]) / p.shape[1])

    def row_sums(self) -> Any:
        """P 1."""
        return self._sum("row_sums")

    def mean_costs(self) -> Any:
        """sum_j P_ij c_ij."""
        costs = self._sum("mean_costs")
        return costs * (self.reg / LOG2E) if self.pairs.fused else costs

    def products(self, V: Any) -> Any:
        """P V, for V of shape (m, k)."""
        return self._sum("products", np.ascontiguousarray(V.T) if self.pairs.fused else V)

    def cost_gradients(self, A: Any, B: Any) -> Any:
        """sum_j (A B')_ij P_ij dc(x_i, y_j)/dx_i as (n, d), for A of shape (n, k) and B of shape (m, k)."""
        if not self.pairs.fused:
            return self._sum("cost_gradients", A, B)
        from . import _cpu_cloud_entries as k

        factors = np.ascontiguousarray(A.T), np.ascontiguousarray(B.T)
        slopes = self.pairs.run(k.cost_gradients, *self.sides, self.cut, after=factors)
        return slopes * (self.pairs.scale(self.reg) * self.reg / LOG2E)

    def _sum(self, name: str, *more: Any) -> Any:
        p = self.pairs
        kernel = getattr(p.k, name)
        if p.fused:
            return p.run(kernel, *self.sides, self.cut, after=more)
        return kernel(p.metric, p.A.points, self.f, p.B.points, self.g, self.reg, *more)

    def block(self, rows: Any, columns: Any) -> Any:
        """The entries of some rows and columns."""
        from . import _generic_cloud

        p, take = self.pairs, self.pairs.xp.take
        points = take(p.A.points, rows, axis=0), take(p.B.points, columns, axis=0)
        exponents = take(self.f, rows)[:, None] + take(self.g, columns)[None, :]
        return p.xp.exp((exponents - _generic_cloud.costs(p.metric, *points)) / self.reg)

    def entries(self, floor: float, most: float = math.inf) -> tuple[Any, Any, Any] | None:
        """The entries with P_ij >= floor min(a_i, b_j) in CSR (indptr, indices, values).

        They are counted before memory is asked for; None if there are more than `most`.
        """
        p = self.pairs
        if not p.fused:
            return self._entries_by_tiles(floor, most) if arrays.is_numpy(p.xp) else None
        from . import _cpu_cloud_entries as k

        floors = np.log2(floor * p.A.weights), np.log2(floor * p.B.weights)
        cut = np.minimum(np.minimum.reduceat(floors[0], p.A.edges[:-1]), np.min(floors[1]))
        counts = p.run(k.count_entries, *self.sides, cut, after=floors)
        total = int(np.sum(counts))
        if total > most:
            return None
        indptr = np.concatenate(([0], np.cumsum(counts)))
        indices, values = np.empty(total, np.int32), np.empty(total)
        p.run(k.fill_entries, *self.sides, cut, after=(*floors, indptr, indices, values))
        return indptr, indices, values

    def _entries_by_tiles(self, floor: float, most: float) -> tuple[Any, Any, Any] | None:
        from . import _cpu_newton

        p = self.pairs
        counts, indices, values, left = [np.zeros(1, np.int64)], [], [], most
        for i, M in p.k.tiles(p.metric, p.A.points, p.B.points):
            floors = floor * p.A.weights[i], floor * p.B.weights
            kept, indptr, index, value = _cpu_newton.plan_entries(
                M, self.f[i], self.g, self.reg, *floors, int(min(left, M.size))
            )
            if kept < 0:
                return None
            left -= kept
            counts.append(np.diff(indptr))
            indices.append(index.copy())
            values.append(value.copy())
        return np.cumsum(np.concatenate(counts)), np.concatenate(indices), np.concatenate(values)


def transform(pairs: Pairs, f: Any, g: Any, reg: float, lost: float = 0.0) -> Any:
    """The soft c-transform of f: the g that makes the column sums of the plan the weights b.

    The g that comes in stabilises the sums, one exponential a pair. Where it is so far off that sums lose
    their digits, to underflow or to the pairs that are passed over, the next g takes its place.
    """
    xp, b = pairs.xp, pairs.B.weights
    for _ in range(4):
        c = pairs.plan(f, g, reg, lost).T.row_sums()
        if bool(xp.all(c > _tiny(xp, c))) and bool(xp.all(c < 1 / _tiny(xp, c))):
            g = g + reg * xp.log(b / c)
            if lost == 0.0 or float(xp.min(c / b)) > 0.01:
                break
        else:
            g = pairs.T.least(f) + reg * xp.log(b)
    return g


def _tiny(xp: Any, x: Any) -> float:
    """Sums below this have lost digits to underflow."""
    return float(xp.finfo(x.dtype).smallest_normal) * 1e16
