"""The frame of the methods: what they share, and the loop that watches them.

Each method is a generator of the points that it accepts. It has no end of its own: `drive` asks for the next
one as long as the limits allow, and a `Halt` raised anywhere inside ends the run.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from ._oracle import Halt, at_solution
from .result import BilevelResult, nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import TypeAlias

    from numsolve._core.typing import Array, Callback

    from ._adjoint import Hyper
    from ._oracle import Oracle

    #: Yields the points that a method accepts.
    Points: TypeAlias = Generator["Point", None, None]

#: The usual most iterations.
MAXITER = 1000

#: Methods whose x is not the lower solution on the way, so that the upper objective there says little.
UNSOLVED = ("soba", "penalty", "penalty-single", "lvhba", "lvhba-single")


class Seen(NamedTuple):
    """What a callback is shown."""

    theta: Any
    x: Any


@dataclass(frozen=True)
class Point:
    """One accepted point of a method."""

    theta: Array
    x: Array
    fun: float
    grad: Array
    residual: float
    bound: float = math.inf
    estimate: float = math.inf
    certified: bool = False
    q: Array = field(default_factory=nothing)
    eps: float = math.nan
    delta: float = math.nan
    step: float = math.nan
    #: whether the method may end here, where its residual alone does not say so
    may_end: bool = True
    #: the same point judged on all samples, for methods that see some of them
    on_all: Callable[[], Point] | None = None


@dataclass
class Settings:
    """What the methods are asked for."""

    tol: float
    low: Array
    high: Array
    eps: float
    delta: float
    step: float | None
    solve: Any
    onto: Any
    sigma: float | None = None
    order: int = 2
    schedule: str = "geometric"

    def clip(self, theta: Array) -> Array:
        """The projection on the bounds of theta."""
        return np.clip(theta, self.low, self.high)

    def project(self, theta: Array) -> Array:
        """The projection on the bounds, or on the set of the problem."""
        return self.clip(theta) if self.onto is None else np.asarray(self.onto(theta), dtype=np.float64)

    def gap(self, theta: Array, d: Array) -> float:
        """How far a gradient is from being held back by the set: its norm where nothing does."""
        if self.onto is None:
            return arrays.norm(np, self.projected(theta, d))
        return arrays.norm(np, theta - self.project(theta - d))

    def projected(self, theta: Array, d: Array) -> Array:
        """The part of a gradient that bounds do not hold back."""
        held = ((theta <= self.low) & (d > 0)) | ((theta >= self.high) & (d < 0))
        return np.where(held, 0.0, d)


def point_of(hyper: Hyper, settings: Settings, step: float = math.nan, eps: float = math.nan) -> Point:
    """A point with its residual: the norm of the projected hypergradient plus its estimated error."""
    free = arrays.norm(np, settings.projected(hyper.theta, hyper.d))
    return Point(
        hyper.theta, hyper.lower.x, hyper.fun, hyper.d, free + hyper.estimate, hyper.bound, hyper.estimate,
        hyper.certified and free + hyper.bound <= settings.tol, hyper.q, eps, hyper.delta, step,
    )  # fmt: skip


def watched(
    maxiter: int | None, time_limit: float | None, callback: Callback | None, progress: bool,
    *, first: str = "theta",
) -> Limits:  # fmt: skip
    """The limits, with a callback that is shown theta, or a result with theta and x."""
    if callback is None:
        return Limits(maxiter, time_limit, None, progress)
    checks.function("callback", callback)
    try:
        wants_result = list(inspect.signature(callback).parameters) == ["intermediate_result"]
    except (TypeError, ValueError):
        wants_result = False

    def seen(intermediate_result: Any) -> object:
        shown, intermediate_result.x = intermediate_result.x
        setattr(intermediate_result, first, shown)
        return callback(intermediate_result if wants_result else shown)

    return Limits(maxiter, time_limit, seen, progress)


def drive(oracle: Oracle, points: Points, settings: Settings, limits: Limits, method: str) -> BilevelResult:
    """Run a method under a monitor and make its result."""
    best: Point | None = None
    key = _residual if method in UNSOLVED else _fun
    columns = ("fun", "cost", "error_bound", "step", "eps")
    start = Point(
        oracle.theta0, oracle.x0, math.inf, np.full(oracle.theta0.size, math.nan), math.inf,
    )  # fmt: skip
    oracle.watched = True
    with Monitor(
        limits, atol=settings.tol, maxiter=MAXITER, label=method, keep="reference", columns=columns,
        divergence=math.inf, present=lambda p: Seen(oracle.to_theta(p.theta), oracle.to_x(p.x)),
    ) as it:  # fmt: skip
        try:
            best = _next(it, points, oracle)
        except KeyboardInterrupt:  # the start comes back
            it.record(math.inf, start)
            raise
        if best is None:  # not even the first point: the start is all there is
            it.record(math.inf, start)
            best = start
        for _ in it:
            point = _next(it, points, oracle)
            if point is None:
                break
            # No residual of a few samples can name a better point than the last one.
            if key(point) < key(best) or it.status is Status.CONVERGED or point.on_all is not None:
                best = point
    best = _on_all(oracle, start if best is None else best)
    return _result(oracle, it, best, method)


def _on_all(oracle: Oracle, point: Point) -> Point:
    """The point with its values on all samples, as far as they are numbers."""
    if point.on_all is None:
        return point
    oracle.see_all()
    try:
        whole: Point = at_solution(oracle, point.on_all)
    except Halt:
        return replace(point, residual=math.inf, fun=math.nan)
    return whole


def _fun(point: Point) -> float:
    return point.fun


def _residual(point: Point) -> float:
    return point.residual


def _next(it: Monitor, points: Points, oracle: Oracle) -> Point | None:
    """Ask for the next point and record it; None at the end of the method."""
    try:
        point = next(points, None)
    except Halt as halt:
        it.stop(halt.status, halt.detail)
        return None
    if point is None:
        it.stop(Status.STAGNATED, "No step lowers the upper objective.")
        return None
    converged = None if point.may_end else False
    it.record(
        point.residual, point, converged=converged, fun=point.fun, cost=oracle.cost, error_bound=point.bound,
        step=point.step, eps=point.eps,
    )  # fmt: skip
    return point


def _result(oracle: Oracle, it: Monitor, best: Point, method: str) -> BilevelResult:
    def lower_fun() -> float:
        try:
            return oracle.lower(best.x, best.theta)
        except Halt:
            return math.nan

    return it.result(
        BilevelResult,
        x=oracle.to_x(best.x),
        theta=oracle.to_theta(best.theta),
        fun=best.fun if math.isfinite(best.fun) else math.nan,
        lower_fun=at_solution(oracle, lower_fun),
        grad=best.grad.reshape(oracle.theta_shape),
        residual=best.residual,
        error_bound=best.bound,
        error_estimate=best.estimate,
        certified=best.certified,
        q=oracle.to_x(best.q) if best.q.shape == best.x.shape else best.q,
        eps=best.eps,
        delta=best.delta,
        nfev=oracle.nfev,
        nhvp=oracle.nhvp,
        cost=oracle.cost,
        nproj=oracle.nproj,
        nupper=oracle.nupper,
        method=method,
    )
