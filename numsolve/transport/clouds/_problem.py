# mypy: disable-error-code=no-any-return
# (array libraries, kernels and SciPy have no types: what they return is an Array by our word)
"""Where `solve_sample` begins and ends: clouds are checked and reduced, and the answer is put back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.memory import memory
from numsolve._core.parallel import check_executor
from numsolve._core.result import Status
from numsolve.transport._deadline import TimeUp
from numsolve.transport._foreign import refuse_traced
from numsolve.transport._problem import MASS_TOLERANCE, check_values
from numsolve.transport._reduced import UNIT

from . import _generic
from ._bounds import bounds
from ._cloud import Cloud, bisection_order
from ._metric import make_metric
from ._pairs import Pairs, scale
from ._workers import Workers
from .plan import CloudPlan, scatter
from .result import SampleResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from numsolve._core.limits import Limits
    from numsolve._core.monitor import Monitor
    from numsolve._core.typing import Array, ArrayLike, Dtype, Namespace

    from ._pairs import Plan

#: Squares and powers below this have lost digits to underflow.
TINY = 1e-290
#: Scaled points below this have squares that do not overflow.
LARGEST = 1e150
#: Of the time that a run may take beyond its limit: when its last pass ends, and when its results are in.
LAST_PASS, RESULTS = 0.25, 0.7
#: Dimensions from which on costs are made by products of matrices; from fewer where they are stored.
MANY_DIMENSIONS, SOME_DIMENSIONS = 8, 4
#: Pairs whose costs are stored where others could be passed over: of products of matrices, and in any case.
STORED, SMALL = 16_000_000, 300_000
#: Bytes that a stored pair takes in a solve; the share of the memory that they may take by default.
BYTES, SHARE = 18, 1 / 3
#: Rounding errors of squared coordinates, over reg, with which squared distances are too coarse.
OUTLYING = 1e-8
#: Share of each weight that sums over the returned plan may lose: below rounding.
NOTHING = 1e-17


@dataclass(frozen=True)
class CloudProblem:
    """Two sorted clouds with positive weights of sum one, and the way back to the caller's."""

    pairs: Pairs
    reg: float
    mass: float
    range: float
    index: tuple[Array, Array]
    points: tuple[Array, Array]
    norms: tuple[Array | None, Array | None]
    dtype: Dtype
    #: What the caller's cost has over that of the pairs, for each point.
    shifts: tuple[Array, Array] | None = None
    #: Bytes that stored costs may take.
    memory: float = math.inf

    @property
    def xp(self) -> Namespace:
        return self.pairs.xp

    @property
    def shape(self) -> tuple[int, int]:
        """Points of the caller's clouds."""
        return self.points[0].shape[0], self.points[1].shape[0]

    @property
    def unit(self) -> float:
        """The rounding unit of the computation."""
        return float(self.xp.finfo(self.pairs.A.points.dtype).eps)

    @property
    def rounding(self) -> float:
        """The marginal error that rounding can cause; see `transport._problem.Problem.rounding`."""
        return min(self.unit * (8 + self.range / self.reg), math.sqrt(self.unit))

    @property
    def stored(self) -> bool:
        """Whether the costs are kept: where they fit, and that is faster than to make them again."""
        inner, many = self.pairs.metric.kind == "inner", self.points[0].shape[1] >= MANY_DIMENSIONS
        most = math.inf if inner and many else STORED if inner else SMALL
        return arrays.is_numpy(self.xp) and math.prod(self.pairs.shape) <= self.fitting(most, BYTES)

    def fitting(self, most: float, size: int) -> float:
        """The number of pairs of so many bytes that may be stored, `most` or fewer."""
        most = min(most, STORED) if self.pairs.workers.apart else most
        return min(most, self.memory / size)

    def potentials(self, x: tuple[Array, Array]) -> tuple[Array, Array]:
        """Turn the inner potentials into the caller's: minus infinity at weights of zero."""
        f, g = x
        if self.shifts is not None:
            f, g = f + self.shifts[0], g + self.shifts[1]
        f = f + self.reg * math.log(self.mass)

        def whole(side: int, p: Array) -> Array:
            return self.xp.astype(
                scatter(self.xp, p, self.index[side], self.shape[side], -math.inf), self.dtype
            )

        return whole(0, f), whole(1, g)

    def start(self, potentials: Sequence[ArrayLike]) -> tuple[Array, Array]:
        """Turn the caller's potentials into inner ones."""
        if not isinstance(potentials, tuple | list) or len(potentials) != 2:
            raise ValueError("potentials_init must be a pair (f, g), as the potentials of a result")
        out = []
        for side in (0, 1):
            name, like = f"potentials_init[{side}]", (self.pairs.A, self.pairs.B)[side].points
            p = checks.array(
                name,
                potentials[side],
                xp=self.xp,
                dtype=like.dtype,
                shape=(self.shape[side],),
                check_finite=False,
            )
            p = self.xp.take(p, self.index[side])
            checks.finite(name, p, xp=self.xp)
            out.append(p)
        if self.shifts is not None:
            out = [p - shift for p, shift in zip(out, self.shifts, strict=True)]
        return out[0] - self.reg * math.log(self.mass), out[1]

    def shift_of(self, r: Array, c: Array) -> float:
        """What a plan with these row and column sums costs more with the caller's cost."""
        return 0.0 if self.shifts is None else float(r @ self.shifts[0]) + float(c @ self.shifts[1])

    def result(
        self, it: Monitor, x: tuple[Array, Array], return_plan: bool, limits: Limits, **fields: Any
    ) -> SampleResult:
        """Put the answer into the caller's terms; what is reported is summed over all pairs that matter.

        Each number takes passes over the pairs. Those for which the time does not suffice are nan, the bounds
        infinite; without a residual the run has not converged. The caller warns of a run that failed.
        """
        pairs, xp = self.pairs, self.xp
        pairs.workers.deadline.set(limits, RESULTS)
        plan = pairs.plan(*x, self.reg, NOTHING)
        found: dict[str, Any] = {
            **dict.fromkeys(("residual", "value_linear", "value", "kl"), math.nan),
            "bounds": (-math.inf, math.inf),
        }
        try:
            (r, costs), c = plan.row_sums_and_costs(), plan.T.row_sums()
            a, b = pairs.A.weights, pairs.B.weights
            residual = float(xp.sum(xp.abs(r - a))) + float(xp.sum(xp.abs(c - b)))
            found["residual"] = residual
            if it.status is Status.CONVERGED and residual > it.threshold:
                it.stop(Status.ROUNDING, f"The residual is {residual:.3g}, the tolerance {it.threshold:.3g}.")
            found.update(self._values(plan, r, c, costs))
            low, high = bounds(plan, r)
            shift = self.shift_of(a, b)
            found["bounds"] = (self.mass * (low + shift), self.mass * (high + shift))
            check_values(it, found)
        except TimeUp:
            if math.isnan(found["residual"]) or it.status not in {Status.CONVERGED, Status.ROUNDING}:
                it.stop(Status.TIME_LIMIT)
            it.detail = f"{it.detail} The time did not suffice for all numbers of the result.".strip()
        return self.sample_result(it, x, return_plan, **found, **fields)

    def sample_result(
        self, it: Monitor, x: tuple[Array, Array], return_plan: bool, **fields: Any
    ) -> SampleResult:
        """Put potentials into the caller's terms, with the plan that belongs to them."""
        pairs = self.pairs
        without_pool = Pairs(pairs.metric, pairs.A, pairs.B).plan(*x, self.reg, NOTHING)
        operator = (
            CloudPlan(without_pool, *self.index, self.shape, self.mass, self.dtype) if return_plan else None
        )
        it.finish()
        return SampleResult(
            x=self.potentials(x),
            status=cast("Status", it.status),
            nit=it.nit,
            history=it.history,
            detail=it.detail,
            plan=cast("CloudPlan", operator),
            reg=self.reg,
            points=self.points,
            norms=self.norms,
            **fields,
        )

    def _values(self, plan: Plan, r: Array, c: Array, costs: Array) -> dict[str, float]:
        """The values of a plan with its row sums, column sums and costs, in the caller's mass."""
        xp, mass, log_mass = self.xp, self.mass, math.log(self.mass)
        linear, total = float(xp.sum(costs)), float(xp.sum(r))
        entropy = (float(r @ plan.f) + float(c @ plan.g) - linear) / self.reg
        linear += self.shift_of(r, c)
        kl = entropy - float(r @ xp.log(self.pairs.A.weights)) - float(c @ xp.log(self.pairs.B.weights))
        return {
            "value_linear": mass * linear,
            "value": mass * (linear + self.reg * (entropy + (log_mass - 1.0) * total)),
            "kl": mass * (kl - log_mass * total),
        }


def prepare_clouds(
    X_a: ArrayLike,
    X_b: ArrayLike,
    a: ArrayLike | None,
    b: ArrayLike | None,
    reg: float,
    metric: str | Callable[[Array, Array], float],
    p: float,
    executor: Executor | None,
    limits: Limits | None = None,
    memory_limit: float | None = None,
) -> CloudProblem:
    """Check the arguments of `solve_sample` and reduce them to a `CloudProblem`."""
    if memory_limit is None:
        memory_limit = SHARE * memory()
    else:
        memory_limit = checks.real("memory_limit", memory_limit, low=0.0, infinite=True)
    workers = Workers(executor)
    if limits is not None:
        workers.deadline.set(limits, LAST_PASS)
    refuse_traced(X_a=X_a, X_b=X_b, a=a, b=b, reg=reg)
    number: Any = reg
    if not isinstance(number, list | tuple) and np.ndim(number) == 0 and number == 0:
        raise ValueError(
            "reg must be positive between clouds, got 0: exact transport takes the matrix of costs, as "
            "transport.solve(scipy.spatial.distance.cdist(X_a, X_b, metric), a, b, reg=0)"
        )
    reg = checks.real("reg", reg, low=0.0, open_low=True)
    cost = make_metric(metric, p)
    check_executor(executor)
    a, b = (None if isinstance(w, list | tuple) and len(w) == 0 else w for w in (a, b))
    xp = arrays.array_namespace(X_a=X_a, X_b=X_b, a=a, b=b)
    X: Array = checks.array("X_a", X_a, xp=xp, ndim=2, empty=False)
    Y: Array = checks.array("X_b", X_b, xp=xp, ndim=2, empty=False)
    if X.shape[1] != Y.shape[1]:
        raise ValueError(
            f"X_a and X_b must have points of the same dimension, got {X.shape[1]} and {Y.shape[1]} columns"
        )
    if cost.function is not None and not arrays.is_numpy(xp):
        raise TypeError("a metric given as a compiled function needs points in NumPy arrays")
    dtype = arrays.working_dtype(xp, X_a=X, X_b=Y)
    inner = xp.float64 if arrays.is_numpy(xp) else dtype
    weights = []
    for name, w, n in (("a", a, X.shape[0]), ("b", b, Y.shape[0])):
        if w is None:
            weights.append(xp.full((n,), 1.0 / n, dtype=inner))
        else:
            weights.append(checks.masses(name, w, length=n, xp=xp, dtype=inner))
    with np.errstate(over="ignore"):
        mass, other = float(xp.sum(weights[0])), float(xp.sum(weights[1]))
    for name, total in (("a", mass), ("b", other)):
        if not math.isfinite(total):
            raise ValueError(f"the sum of {name} overflows: rescale a and b")
    if abs(mass - other) > MASS_TOLERANCE * max(mass, other):
        raise ValueError(
            f"a and b must have the same sum, got {mass:.10g} and {other:.10g}; "
            "rescale one of them (an unbalanced problem is another one)"
        )

    points = [xp.astype(X, inner, copy=False), xp.astype(Y, inner, copy=False)]
    norms: list[Array | None] = [None, None]
    if cost.name == "cosine":
        for side, name in enumerate(("X_a", "X_b")):
            points[side], norms[side] = _normalised(xp, name, points[side])
    elif cost.kind == "squared":  # a motion of one cloud adds terms of x and y alone: each in its own frame
        shares = (w / total for w, total in zip(weights, (mass, other), strict=True))
        centres = [share @ x for share, x in zip(shares, points, strict=True)]
        points = _centred(xp, points, centres)
        cost = replace(cost, apart=centres[0] - centres[1])
    elif cost.function is None:  # only differences matter: a large common offset would eat their digits
        centre = xp.mean(points[1], axis=0)
        points = [x - centre for x in points]
    if cost.kind == "squared" and arrays.is_numpy(xp) and _better_as_products(points, reg):
        cost = replace(cost, kind="inner")
    index, clouds = [], []
    for x, w, norm, total, side in zip(points, weights, norms, (mass, other), (0, 1), strict=True):
        share = w / total  # zero where a weight is lost beside the others
        order = xp.nonzero(share > 0)[0]
        if arrays.is_numpy(xp) and cost.kind != "inner":
            order = order[bisection_order(x[order], workers.deadline)]
        index.append(order)
        if cost.kind != "inner" or order.shape[0] < x.shape[0]:  # centred points are no more the caller's
            clouds.append(Cloud(xp.take(x, order, axis=0), xp.take(share, order)))
        else:
            clouds.append(Cloud(x, share))
        norms[side] = None if norm is None else xp.take(norm, order)
    pairs = Pairs(cost, clouds[0], clouds[1], workers)
    span = _cost_range(pairs, reg)
    if reg < UNIT * span:
        raise ValueError(
            f"reg = {reg:g} is below the rounding errors of the costs, which have a range of {span:g}; "
            f"the least that can be resolved is {UNIT * span:.2g}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        shifts = _shifts(pairs)
    problem = CloudProblem(
        pairs,
        reg,
        mass,
        span,
        (index[0], index[1]),
        (X, Y),
        (norms[0], norms[1]),
        dtype,
        shifts,
        memory_limit,
    )
    _check_scale(problem)
    return problem


def _centred(xp: Namespace, points: list[Array], centres: list[Array]) -> list[Array]:
    """Each cloud in its own frame; in one piece of memory, as that of large pages comes sooner."""
    if not arrays.is_numpy(xp):
        return [x - centre for x, centre in zip(points, centres, strict=True)]
    room = np.empty((sum(x.shape[0] for x in points), points[0].shape[1]))
    parts = room[: points[0].shape[0]], room[points[0].shape[0] :]
    return [np.subtract(x, c, out=part) for x, c, part in zip(points, centres, parts, strict=True)]


def _better_as_products(points: list[Array], reg: float) -> bool:
    """Whether the costs are made by products of matrices: in many dimensions, of few points, for digits.

    With an outlier far from all others its squared distances have no digits left for the differences that
    matter.
    """
    (n, d), m = points[0].shape, points[1].shape[0]
    if d >= MANY_DIMENSIONS or (d >= SOME_DIMENSIONS and n * m <= STORED) or n * m <= SMALL:
        return True
    size = max(float(np.max(np.abs(x))) for x in points)
    return n * m <= STORED and UNIT * size * size > OUTLYING * reg


def _shifts(pairs: Pairs) -> tuple[Array, Array] | None:
    """What the squared distance has over the cost of the pairs, for each point."""
    metric, xp = pairs.metric, pairs.xp
    inner = metric.kind == "inner"
    if metric.apart is None and not inner:
        return None
    shifts = []
    for cloud, sign in ((pairs.A, 1.0), (pairs.B, -1.0)):
        shift = xp.zeros_like(cloud.weights)
        if inner:
            shift = shift + cloud.squares
        if metric.apart is not None:
            shift = shift + 2 * sign * (cloud.points @ metric.apart)
        shifts.append(metric.factor * shift)
    if metric.apart is not None:
        shifts[0] = shifts[0] + metric.factor * xp.sum(metric.apart * metric.apart)
    if not (bool(xp.all(xp.isfinite(shifts[0]))) and bool(xp.all(xp.isfinite(shifts[1])))):
        raise ValueError("the costs between the points overflow: rescale X_a and X_b")
    return shifts[0], shifts[1]


def _normalised(xp: Namespace, name: str, points: Array) -> tuple[Array, Array]:
    largest = xp.max(xp.abs(points), axis=1)
    if bool(xp.any(largest == 0)):
        where = int(xp.argmax(xp.astype(largest == 0, xp.int8)))
        raise ValueError(f"{name} must have no point at the origin for the cosine metric, got row {where}")
    scaled = points / largest[:, None]  # whose squares neither overflow nor underflow
    norms = xp.sqrt(xp.sum(scaled * scaled, axis=1))
    return scaled / norms[:, None], norms * largest


def _check_scale(problem: CloudProblem) -> None:
    """Refuse a regularisation that leads out of the range of floats."""
    pairs, reg, xp = problem.pairs, problem.reg, problem.xp
    logs = [float(xp.max(-xp.log(cloud.weights))) for cloud in (pairs.A, pairs.B)]
    largest = reg * (4.0 + sum(logs) + abs(math.log(problem.mass))) * max(problem.mass, 1.0)
    if not math.isfinite(largest):
        raise ValueError(
            f"reg = {reg:g} is too large: the potentials, reg times logarithms of the weights, overflow; "
            "rescale X_a and X_b, and reg with their cost"
        )
    if pairs.fused:
        size = max(float(xp.max(xp.abs(cloud.points))) for cloud in (pairs.A, pairs.B))
        unit = scale(pairs.metric, reg)
        if not (1 / LARGEST < unit < LARGEST and unit * size < LARGEST):
            raise ValueError(
                f"reg = {reg:g}: the points in the unit whose cost is reg leave the range of floats; rescale "
                "X_a and X_b, and reg with their cost" + (", or raise p" if pairs.metric.degree < 1 else "")
            )


def _cost_range(pairs: Pairs, reg: float) -> float:
    """Largest cost minus smallest: of the box of all points, or of a sample for a function of the user's."""
    xp, metric = pairs.xp, pairs.metric
    X, Y = pairs.A.points, pairs.B.points
    if metric.kind == "inner":
        with np.errstate(over="ignore"):
            radii = [math.sqrt(np.max(cloud.squares)) for cloud in (pairs.A, pairs.B)]
        largest = 4 * metric.factor * radii[0] * radii[1]
        if not math.isfinite(largest):
            raise ValueError("the costs between the points overflow: rescale X_a and X_b")
        return largest
    if metric.function is None:
        low = xp.minimum(xp.min(X, axis=0), xp.min(Y, axis=0))
        high = xp.maximum(xp.max(X, axis=0), xp.max(Y, axis=0))
        with np.errstate(over="ignore"):
            largest = float(_generic.paired_costs(metric, low[None, :], high[None, :])[0])
        if not math.isfinite(largest):
            raise ValueError("the costs between the points overflow: rescale X_a and X_b")
        tiny = math.sqrt(TINY) if metric.kind == "euclidean" else TINY
        if largest < tiny and reg < tiny / UNIT and bool(xp.any(high > low)):
            raise ValueError(
                "the costs between the points underflow: rescale X_a and X_b, and reg with their cost"
            )
        return largest
    rows = np.unique(np.linspace(0, X.shape[0] - 1, 64).astype(int))
    columns = np.unique(np.linspace(0, Y.shape[0] - 1, 4096).astype(int))
    M = checks.output("metric", _generic.costs(metric, X[rows], Y[columns]), shape=(rows.size, columns.size))
    return float(M.max() - M.min())
