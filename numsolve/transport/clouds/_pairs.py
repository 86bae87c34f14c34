# mypy: disable-error-code=no-any-return
# (array libraries, kernels and SciPy have no types: what they return is an Array by our word)
"""All pairs of two clouds, and the plans between them: every sum over the pairs is made where it is used."""

from __future__ import annotations

import math
import operator
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays
from numsolve.transport import _kernels

from . import _tiles
from ._cloud import split
from ._workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, Kernels, Namespace

    from ._cloud import Block, Cloud
    from ._metric import Metric

#: Pairs that a task of a pass looks at, and pairs from which on threads share a pass.
TASK, THREADED_ABOVE = 4_000_000, 8_000_000
#: Pairs of a task, at most: some 50 ms between two looks at the clock.
LARGEST_TASK = 20_000_000
#: Columns of a block: a sum over more is that of its blocks, whoever makes these.
COLUMNS = 65_536
LOG2E = math.log2(math.e)


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
    workers: Workers = field(default_factory=Workers)

    @property
    def T(self) -> Pairs:  # noqa: N802
        """The same with the sides exchanged."""
        return replace(self, metric=self.metric.T, A=self.B, B=self.A)

    @cached_property
    def xp(self) -> Namespace:
        return arrays.array_namespace(points=self.A.points)

    @cached_property
    def fused(self) -> bool:
        """Whether compiled kernels know the metric; else the costs are made tile by tile."""
        known = self.metric.function is None and self.metric.kind != "inner"
        return arrays.is_numpy(self.xp) and known

    @cached_property
    def k(self) -> Kernels:
        """The kernels."""
        from . import _generic

        tiled = arrays.is_numpy(self.xp) and not self.fused
        return _generic if tiled else arrays.kernels_for(self.xp, __package__)

    @property
    def shape(self) -> tuple[int, int]:
        return self.A.points.shape[0], self.B.points.shape[0]

    @property
    def apart(self) -> bool:
        """Whether sums over the pairs are made by workers that share no memory with this process."""
        many = self.shape[0] * self.shape[1] > THREADED_ABOVE
        return self.workers.apart and many and self.metric.function is None and arrays.is_numpy(self.xp)

    @cached_property
    def blocks(self) -> list[Block]:
        """The blocks of columns."""
        return split(self.B, COLUMNS) if arrays.is_numpy(self.xp) else [(0, self.B.edges.size - 1)]

    def plan(self, f: Array, g: Array, reg: float, lost: float = 0.0) -> Plan:
        """The plan of two potentials; sums over it may lose the share `lost` of each row's weight."""
        return Plan(self, f, g, reg, lost)

    def least(self, g: Array) -> Array:
        """min_j (c_ij - g_j), the hard c-transform."""
        plan = self.plan(self.xp.zeros_like(self.A.weights), g, 1.0)
        least = plan.over("least", join=self.xp.minimum)
        return least / LOG2E if self.fused else least

    def scale(self, reg: float) -> float:
        """What the points are multiplied with, so that their cost is the exponent of 2."""
        return scale(self.metric, reg)

    def side(self, cloud: Cloud, potential: Array, reg: float) -> Any:
        """A cloud as the fused kernels want it."""
        self.workers.prepare(self.shape[0] * self.shape[1])
        points = np.ascontiguousarray((cloud.points * self.scale(reg)).T)
        return self.k.side(self.kind, points, potential * (LOG2E / reg), cloud.edges)

    @cached_property
    def kind(self) -> int | None:
        """What the fused kernels call the metric."""
        kind: int | None = getattr(self.k, self.metric.kind.upper())
        return kind

    def run(self, kernel: Callable[..., Any], *arguments: Any, after: tuple[Any, ...] = ()) -> Any:
        """Run a fused kernel over all groups of rows, by threads if that pays; results in order."""
        groups = self.A.edges.size - 1
        pairs = self.shape[0] * self.shape[1]
        tasks = min(groups, 1 + pairs // TASK, max(256, pairs // LARGEST_TASK))
        ends = (np.arange(tasks + 1) * groups) // tasks
        power = self.metric.p if self.metric.kind == "power" else None

        def part(task: int) -> Any:
            return kernel(self.kind, power, *arguments, ends[task], ends[task + 1], *after)

        parts = self.workers.map(part, tasks, pairs, threaded=pairs > THREADED_ABOVE)
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def by_rows(self, part: Callable[[slice], Array]) -> Array:
        """Join what groups of rows give, where no fused kernel does it; small groups on a CPU."""
        n, m = self.shape
        rows = self.rows_at_once
        slices = [slice(first, min(first + rows, n)) for first in range(0, n, rows)]
        threaded = self.metric.kind == "inner" and n * m > THREADED_ABOVE
        parts = self.workers.map(lambda task: part(slices[task]), len(slices), n * m, threaded)
        return parts[0] if len(parts) == 1 else self.xp.concat(parts)

    @property
    def rows_at_once(self) -> int:
        """Rows of a group in `by_rows`."""
        n, m = self.shape
        return max(1, TASK // -(-m // len(self.blocks))) if arrays.is_numpy(self.xp) else n


def scale(metric: Metric, reg: float) -> float:
    """The factor of the points with which their cost over reg is the exponent of 2; inf on overflow."""
    try:
        return float((metric.factor * LOG2E / reg) ** (1 / metric.degree))
    except OverflowError:
        return math.inf


@dataclass(frozen=True)
class Plan(_Pickled):
    """P_ij = exp((f_i + g_j - c_ij) / reg), never stored."""

    pairs: Pairs
    f: Array
    g: Array
    reg: float
    lost: float

    @cached_property
    def T(self) -> Plan:  # noqa: N802
        """The transposed plan."""
        plan = Plan(self.pairs.T, self.g, self.f, self.reg, self.lost)
        if self.pairs.fused and not self.pairs.apart:
            plan.__dict__["sides"] = self.sides[::-1]
        return plan

    @cached_property
    def sides(self) -> tuple[Any, Any]:
        """Both clouds as the fused kernels want them."""
        p = self.pairs
        return p.side(p.A, self.f, self.reg), p.side(p.B, self.g, self.reg)

    @cached_property
    def cut(self) -> Array:
        """log2 of the entries of each group that need not be looked at: m of them are `lost` of a weight."""
        p = self.pairs
        with np.errstate(divide="ignore"):
            return np.log2(self.lost * np.minimum.reduceat(p.A.weights, p.A.edges[:-1]) / p.shape[1])

    def row_sums(self) -> Array:
        """P 1."""
        return self._sum("row_sums", 0)[:, 0] if self.pairs.fused else self._sum("row_sums")

    def row_sums_and_costs(self) -> tuple[Array, Array]:
        """P 1, and sum_j P_ij c_ij, in one pass where that is possible."""
        if not self.pairs.fused:
            return self._sum("row_sums"), self._sum("mean_costs")
        r, costs = np.ascontiguousarray(self._sum("row_sums", 1).T)
        return r, costs * (self.reg / LOG2E)

    def products(self, V: Array) -> Array:
        """P V, for V of shape (m, k)."""
        return self.over("products", of_columns=(V,))

    def cost_gradients(self, A: Array, B: Array) -> Array:
        """sum_j (A B')_ij P_ij dc(x_i, y_j)/dx_i as (n, d), for A of shape (n, k) and B of shape (m, k)."""
        p, xp = self.pairs, self.pairs.xp
        between = 0.0
        if p.metric.apart is not None:
            share = xp.sum(A * self.products(B), axis=1)
            between = 2 * p.metric.factor * share[:, None] * p.metric.apart[None, :]
        slopes = self.over("cost_gradients", of_rows=(A,), of_columns=(B,))
        return between + (slopes * (p.scale(self.reg) * self.reg / LOG2E) if p.fused else slopes)

    def _sum(self, name: str, *more: Any) -> Array:
        return self.over(name, more=more)

    def over(
        self,
        name: str,
        of_rows: tuple[Array, ...] = (),
        of_columns: tuple[Array, ...] = (),
        more: tuple[Any, ...] = (),
        join: Callable[[Array, Array], Array] = operator.add,
    ) -> Array:
        """What a kernel makes of all pairs and of arrays with a row for each point.

        It is made of each block of columns, and joined in their order, whoever makes it.
        """
        p = self.pairs
        if p.fused:  # whose kernels have points as columns
            of_rows, of_columns = (
                tuple(np.ascontiguousarray(x.T) for x in xs) for xs in (of_rows, of_columns)
            )
        if p.apart:
            try:
                return reduce(join, self._by_workers(name, of_rows, of_columns, more))
            except BrokenExecutor as error:
                p.workers.give_up(error)
        part = self._fused if p.fused else self._plain
        return reduce(join, (part(name, block, of_rows, of_columns, more) for block in p.blocks))

    def _fused(self, name: str, block: Block, of_rows: Any, of_columns: Any, more: Any) -> Array:
        p = self.pairs
        rows, columns = self.sides
        if len(p.blocks) > 1:
            j = p.B.part(block)
            X, g, edges, *outlines = columns
            edges = edges[block[0] : block[1] + 1] - j.start
            outlines = [np.ascontiguousarray(x[..., slice(*block)]) for x in outlines]
            columns = np.ascontiguousarray(X[:, j]), g[j], edges, *outlines
            of_columns = [np.ascontiguousarray(x[:, j]) for x in of_columns]
        cut = () if name == "least" else (self.cut,)
        return p.run(_tiles.compiled(name), rows, columns, *cut, after=(*of_rows, *of_columns, *more))

    def _plain(self, name: str, block: Block, of_rows: Any, of_columns: Any, more: Any) -> Array:
        p = self.pairs
        X, Y, g, kernel = p.A.points, p.B.points, self.g, getattr(p.k, name)
        if len(p.blocks) > 1:
            j = p.B.part(block)
            Y, g, of_columns = Y[j], g[j], [x[j] for x in of_columns]

        def part(i: slice) -> Array:
            if name == "least":
                return kernel(p.metric, X[i, :], Y, g)
            factors = *(x[i, :] for x in of_rows), *of_columns
            return kernel(p.metric, X[i, :], self.f[i], Y, g, self.reg, *factors, *more)

        return p.by_rows(part)

    def _by_workers(self, name: str, of_rows: Any, of_columns: Any, more: Any) -> list[Array]:
        p = self.pairs
        n, m = p.shape
        rows = max(1, _tiles.pairs_of_a_tile(n * m) // -(-m // len(p.blocks)))
        if p.fused:
            unit = LOG2E / self.reg
            sums = _tiles.Sums(name, p.metric, self.reg, p.kind, p.scale(self.reg))
            blocks = split(p.A, rows)
            parts = [p.A.part(block) for block in blocks]
        else:  # whole groups of `by_rows`: the last digits of products of matrices may depend on their sizes
            unit = 1.0
            sums = _tiles.Sums(name, p.metric, self.reg, rows=p.rows_at_once)
            rows = p.rows_at_once * max(1, rows // p.rows_at_once)
            parts = [slice(first, min(first + rows, n)) for first in range(0, n, rows)]
            blocks = [(0, 0)] * len(parts)

        def side(cloud: Cloud, potential: Array, block: Block, i: slice, factors: Any) -> _tiles.Side:
            edges = cloud.edges[block[0] : block[1] + 1] - i.start
            factors = tuple(x[:, i] if p.fused else x[i] for x in factors)
            return _tiles.Side(potential[i] * unit, edges, factors)

        tasks = []
        for own, i in zip(blocks, parts, strict=True):
            rows_side = side(p.A, self.f, own, i, of_rows)
            cut = self.cut[slice(*own)] if p.fused and name != "least" else None
            for block in p.blocks:
                j = p.B.part(block)
                data = p.A.kept(i), p.B.kept(j)
                tasks.append((data, (rows_side, side(p.B, self.g, block, j, of_columns), cut, more)))
        assert p.workers.executor is not None
        return _tiles.passes(sums, tasks, len(p.blocks), p.workers.executor, p.workers.deadline)

    def block(self, rows: Array, columns: Array) -> Array:
        """The entries of some rows and columns."""
        from . import _generic

        p, take = self.pairs, self.pairs.xp.take
        points = take(p.A.points, rows, axis=0), take(p.B.points, columns, axis=0)
        exponents = take(self.f, rows)[:, None] + take(self.g, columns)[None, :]
        return p.xp.exp((exponents - _generic.costs(p.metric, *points)) / self.reg)

    def entries(self, floor: float, most: float = math.inf) -> tuple[Array, Array, Array] | None:
        """The entries with P_ij >= floor min(a_i, b_j) in CSR (indptr, indices, values).

        They are counted before memory is asked for; None if there are more than `most`.
        """
        p = self.pairs
        if not p.fused:
            return self._entries_by_tiles(floor, most) if arrays.is_numpy(p.xp) else None
        from . import _cpu_entries as k

        floors = np.log2(floor * p.A.weights), np.log2(floor * p.B.weights)
        cut = np.minimum(np.minimum.reduceat(floors[0], p.A.edges[:-1]), np.min(floors[1]))
        stored = np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0)
        counts = p.run(k.entries, *self.sides, cut, after=(*floors, *stored))
        total = int(np.sum(counts))
        if total > most:
            return None
        if total > 0:
            indptr = np.concatenate(([0], np.cumsum(counts)))
            stored = indptr, np.empty(total, np.int32), np.empty(total)
            p.run(k.entries, *self.sides, cut, after=(*floors, *stored))
            return stored
        return np.zeros(p.shape[0] + 1, np.int64), *stored[1:]

    def _entries_by_tiles(self, floor: float, most: float) -> tuple[Array, Array, Array] | None:
        p = self.pairs
        k = _kernels.of_systems(p.xp)
        counts, indices, values, left = [np.zeros(1, np.int64)], [], [], most
        for i, M in p.k.tiles(p.metric, p.A.points, p.B.points):
            p.workers.deadline.check()
            floors = floor * p.A.weights[i], floor * p.B.weights
            kept, indptr, index, value = k.plan_entries(
                M, self.f[i], self.g, self.reg, *floors, int(min(left, M.size))
            )
            if kept < 0:
                return None
            left -= kept
            counts.append(np.diff(indptr))
            indices.append(index.copy())
            values.append(value.copy())
        return np.cumsum(np.concatenate(counts)), np.concatenate(indices), np.concatenate(values)


def transform(pairs: Pairs, f: Array, g: Array, reg: float, lost: float = 0.0) -> Array:
    """The soft c-transform of f: the g that makes the column sums of the plan the weights b.

    The g that comes in stabilises the sums, one exponential a pair. Where it is so far off that sums lose
    their digits, to underflow or to the pairs that are passed over, the next g takes its place.
    """
    xp, b = pairs.xp, pairs.B.weights
    for _ in range(4):
        c = pairs.plan(f, g, reg, lost).T.row_sums()
        if bool(xp.all(c > _tiny(xp, c))) and bool(xp.all(c < 1 / _tiny(xp, c))):
            g = g + reg * (xp.log(b) - xp.log(c))  # b / c may underflow
            if lost == 0.0 or float(xp.min(c / b)) > 0.01:
                break
        else:
            g = pairs.T.least(f) + reg * xp.log(b)
    return g


def _tiny(xp: Namespace, x: Array) -> float:
    """Sums below this have lost digits to underflow."""
    return float(xp.finfo(x.dtype).smallest_normal) * 1e16
