"""Unbalanced clouds: Newton's method of `transport.unbalanced`, on costs that are kept."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from numsolve._core import arrays, checks
from numsolve.transport._problem import weights_of
from numsolve.transport.result import TransportResult
from numsolve.transport.unbalanced import newton_unbalanced, prepare_unbalanced, sweep_unbalanced

from . import _generic
from ._cloud import Cloud, Pairs
from ._problem import STORED, prepare_clouds
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
    *,
    sinkhorn: bool,
    tol: float,
    return_plan: bool,
) -> SampleResult:
    """Solve on stored costs, in the order of the bisection, and put the answer back in the caller's."""
    clouds = prepare_clouds(X_a, X_b, None, None, reg, metric, power, executor, limits)
    xp, (n, m), index = clouds.xp, clouds.pairs.shape, clouds.index
    if n * m > STORED:
        raise ValueError(
            f"X_a and X_b have {n} and {m} points: unbalanced clouds keep their costs, of {STORED} pairs at "
            "most (128 MB); take parts or means of them"
        )
    M = _costs(clouds)
    given = weights_of(a, b, M, xp)
    start = None
    if potentials_init is not None:
        if not (isinstance(potentials_init, tuple | list) and len(potentials_init) == 2):
            raise ValueError("potentials_init must be a pair (f, g), as the potentials of a result")
        start = tuple(
            xp.take(
                checks.array(
                    f"potentials_init[{k}]", x, xp=xp, shape=(size,), dtype=M.dtype, check_finite=False
                ),
                i,
            )
            for k, (x, size, i) in enumerate(zip(potentials_init, (n, m), index, strict=True))
        )
    weights = p, q = xp.take(given[0], index[0]), xp.take(given[1], index[1])
    problem = prepare_unbalanced(M, p, q, reg, prices)
    solve = sweep_unbalanced if sinkhorn else newton_unbalanced
    found = solve(problem, limits, tol=tol, potentials_init=start, return_plan=False)
    own: dict[str, Any] = {key.name: getattr(found, key.name) for key in fields(TransportResult)}
    own["x"] = tuple(
        xp.astype(scatter(xp, x, i, size, 0.0), clouds.dtype)
        for x, i, size in zip(found.x, index, (n, m), strict=True)
    )
    kept = [xp.nonzero(w > 0)[0] for w in weights]
    own["plan"] = _plan(clouds, found.x, weights, kept) if return_plan else None
    norms = tuple(None if w is None else xp.take(w, i) for w, i in zip(clouds.norms, kept, strict=True))
    own["weights"] = tuple(xp.astype(w, clouds.dtype) for w in given)
    return SampleResult(**own, points=clouds.points, norms=norms)  # type: ignore[arg-type]


def _costs(clouds: CloudProblem) -> Array:
    """The caller's costs: those of the pairs with what they leave to each point."""
    pairs, xp = clouds.pairs, clouds.xp
    X, Y = pairs.A.points, pairs.B.points
    rows = max(1, AT_ONCE // (Y.shape[0] * X.shape[1])) if arrays.is_numpy(xp) else X.shape[0]
    parts = (X[k : k + rows, :] for k in range(0, X.shape[0], rows))
    M: Array = xp.concat([_generic.costs(pairs.metric, x, Y) for x in parts])
    if clouds.shifts is not None:
        M = M + clouds.shifts[0][:, None] + clouds.shifts[1][None, :]
        M = xp.maximum(M, xp.zeros_like(M))
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
