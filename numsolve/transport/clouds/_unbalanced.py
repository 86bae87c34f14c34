"""Unbalanced clouds: Newton's method of `transport.unbalanced`, on costs that are kept where they fit."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.clock import now
from numsolve._core.result import Status, deliver
from numsolve.transport._deadline import TimeUp
from numsolve.transport._problem import VALUES, check_values, masses, weights_of
from numsolve.transport._unbalanced import prepare_unbalanced, prices_of
from numsolve.transport.result import TransportResult
from numsolve.transport.unbalanced import newton_unbalanced, sweep_unbalanced

from . import _generic
from ._ascend import ascend
from ._cloud import Cloud
from ._pairs import Pairs
from ._priced import PricedCloudDual, priced
from ._problem import RESULTS, prepare_clouds
from ._stored import rest
from .plan import CloudPlan, scatter
from .result import SampleResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array, ArrayLike

    from ._problem import CloudProblem

#: Pairs whose costs are made at once, times dimensions.
AT_ONCE = 100_000_000
#: Bytes that a stored pair takes in a solve.
BYTES = 24


def solve_unbalanced(
    X_a: ArrayLike,
    X_b: ArrayLike,
    a: ArrayLike | None,
    b: ArrayLike | None,
    limits: Limits,
    reg: float,
    metric: str | Callable[[Array, Array], float],
    power: float,
    prices: float | Sequence[float] | Array,
    potentials_init: Sequence[ArrayLike] | None,
    executor: Executor | None,
    memory_limit: float | None,
    *,
    sinkhorn: bool,
    tol: float,
    return_plan: bool,
) -> SampleResult:
    """Solve in the order of the bisection, and put the answer back in the caller's.

    The costs are kept where they fit, for the dense solver; else they are made where they are used.
    """
    clouds = prepare_clouds(X_a, X_b, None, None, reg, metric, power, executor, limits, memory_limit)
    xp, shape, index = clouds.xp, clouds.pairs.shape, clouds.index
    dtype = clouds.pairs.A.points.dtype
    given = weights_of(xp, a, b, shape, dtype)
    rho = prices_of("unbalanced", prices)
    start = None
    if potentials_init is not None:
        if not (isinstance(potentials_init, tuple | list) and len(potentials_init) == 2):
            raise ValueError("potentials_init must be a pair (f, g), as the potentials of a result")
        start = tuple(
            xp.take(
                checks.array(
                    f"potentials_init[{k}]", x, xp=xp, shape=(size,), dtype=dtype, check_finite=False
                ),
                i,
            )
            for k, (x, size, i) in enumerate(zip(potentials_init, shape, index, strict=True))
        )
    weights = xp.take(given[0], index[0]), xp.take(given[1], index[1])
    kept = [xp.nonzero(w > 0)[0] for w in weights]
    since = now()
    try:
        M = _costs(clouds) if math.prod(shape) <= clouds.fitting(math.inf, BYTES) else None
    except TimeUp:
        M = None
    if M is not None:
        problem = prepare_unbalanced(M, *weights, reg, prices)
        solve = sweep_unbalanced if sinkhorn else newton_unbalanced
        limits = limits.earlier(now() - since)  # for the plan, as in `rest`
        found = solve(problem, limits, tol=tol, potentials_init=start, return_plan=False)
        own: dict[str, Any] = {key.name: getattr(found, key.name) for key in fields(TransportResult)}
    else:
        own = _in_tiles(clouds, weights, kept, rho, limits, start, tol=tol, sinkhorn=sinkhorn)
    own["plan"] = _plan(clouds, own["x"], weights, kept) if return_plan else None
    own["x"] = tuple(
        xp.astype(scatter(xp, x, i, size, 0.0), clouds.dtype)
        for x, i, size in zip(own["x"], index, shape, strict=True)
    )
    norms = tuple(None if w is None else xp.take(w, i) for w, i in zip(clouds.norms, kept, strict=True))
    own["weights"] = tuple(xp.astype(w, clouds.dtype) for w in given)
    result = SampleResult(**own, points=clouds.points, norms=norms)  # type: ignore[arg-type]
    if M is None:  # the dense solver warns on its own
        deliver(result)
    return result


def _in_tiles(
    clouds: CloudProblem,
    weights: tuple[Array, Array],
    kept: list[Array],
    rho: tuple[float, float],
    limits: Limits,
    start: Sequence[Array] | None,
    *,
    tol: float,
    sinkhorn: bool,
) -> dict[str, Any]:
    """The fields of the result, in the order of the bisection, without the costs of all pairs."""
    pairs, xp = clouds.pairs, clouds.xp
    p, q = (xp.take(w, i) for w, i in zip(weights, kept, strict=True))
    mass, _ = masses(xp, p, q, rho)
    A, B = (
        Cloud(xp.take(cloud.points, i, axis=0), w / mass)
        for cloud, w, i in zip((pairs.A, pairs.B), (p, q), kept, strict=True)
    )
    shifts = clouds.shifts or tuple(xp.zeros_like(x.weights) for x in (pairs.A, pairs.B))
    s, t = (xp.take(x, i) for x, i in zip(shifts, kept, strict=True))
    problem = priced(Pairs(pairs.metric, A, B, pairs.workers), (s, t), clouds.reg, clouds.range, mass, rho)
    dual = PricedCloudDual(problem, tol)
    begin = None
    if start is not None:
        begin = problem.start((xp.take(start[0], kept[0]), xp.take(start[1], kept[1])))
    it, best = ascend(dual, begin, limits, problem.potentials, sinkhorn=sinkhorn)
    x = dual.finish(best, limits)
    none = {**dict.fromkeys(("residual", *VALUES), math.nan), "bounds": (-math.inf, math.inf)}
    pairs.workers.deadline.set(limits, RESULTS)
    try:
        found = problem.found(x)
        if it.status is Status.CONVERGED and found["residual"] > tol:
            it.stop(Status.ROUNDING, f"The residual is {found['residual']:.3g}, the tolerance {tol:.3g}.")
        check_values(it, found)
    except TimeUp:
        found = none
        it.stop(Status.TIME_LIMIT)
    it.finish()
    inner = zip(problem.potentials(x), kept, pairs.shape, strict=True)
    return {
        "x": tuple(scatter(xp, p, i, size, -math.inf) for p, i, size in inner),
        "status": it.status,
        "nit": it.nit,
        "history": it.history,
        "detail": it.detail,
        "reg": clouds.reg,
        "reg_m": rho,
        "reg_path": tuple(stage.reg for stage in dual.stages[: dual.stage + 1]),
        **found,
        **dual.counts,
    }


def _costs(clouds: CloudProblem) -> Array:
    """The caller's costs: those of the pairs with what they leave to each point."""
    pairs, xp = clouds.pairs, clouds.xp
    X, Y = pairs.A.points, pairs.B.points

    def part(first: int, last: int) -> Array:
        C = _generic.costs(pairs.metric, X[first:last, :], Y)
        if clouds.shifts is not None:
            C = C + clouds.shifts[0][first:last, None] + clouds.shifts[1][None, :]
            C = xp.maximum(C, xp.zeros_like(C))
        return C

    if not arrays.is_numpy(xp):
        return part(0, X.shape[0])
    M = np.empty(pairs.shape)
    rows = max(64, AT_ONCE // (M.shape[1] * X.shape[1]))
    since = now()
    for first in range(0, M.shape[0], rows):
        M[first : first + rows] = part(first, first + rows)
        pairs.workers.deadline.check(rest(now() - since, min(first + rows, M.shape[0]) / M.shape[0]))
    return M


def _plan(
    clouds: CloudProblem, x: tuple[Array, Array], weights: tuple[Array, Array], kept: list[Array]
) -> CloudPlan:
    """The plan as an operator; its sums pass nothing over, as rows may have next to no mass."""
    pairs, xp = clouds.pairs, clouds.xp
    shifts = (0.0, 0.0) if clouds.shifts is None else clouds.shifts
    f, g = (xp.take(p - shift, i) for p, shift, i in zip(x, shifts, kept, strict=True))
    A, B = (
        Cloud(xp.take(cloud.points, i, axis=0), xp.take(w / xp.sum(w), i))
        for cloud, w, i in zip((pairs.A, pairs.B), weights, kept, strict=True)
    )
    inner = Pairs(pairs.metric, A, B).plan(f, g, clouds.reg)
    rows, columns = (xp.take(i, k) for i, k in zip(clouds.index, kept, strict=True))
    return CloudPlan(inner, rows, columns, clouds.shape, 1.0, clouds.dtype)
