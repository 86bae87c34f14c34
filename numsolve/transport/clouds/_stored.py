"""Clouds whose costs fit: they are made once, in many dimensions by a product of matrices, for `newton`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from numsolve._core.clock import now
from numsolve._core.result import Status
from numsolve.transport._problem import Problem, check_values, quiet
from numsolve.transport._reduced import UNIT, reduced
from numsolve.transport.newton import newton

from . import _generic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.limits import Limits
    from numsolve._core.monitor import Monitor
    from numsolve._core.typing import Array, ArrayLike
    from numsolve.transport._problem import Potentials

    from ._problem import CloudProblem
    from .result import SampleResult

#: Entries of the cost that are made between two looks at the clock, times dimensions.
AT_ONCE = 500_000_000
#: The same where they are products of matrices.
PRODUCTS_AT_ONCE = 1_600_000_000
#: The marginal error by rounding of a plan that still counts as one.
COARSE = 1e-5


@dataclass(frozen=True)
class StoredClouds(Problem):
    """The costs of two clouds, and the way back to their points."""

    clouds: CloudProblem | None = None

    @property
    def _clouds(self) -> CloudProblem:
        assert self.clouds is not None
        return self.clouds

    def start(self, potentials: Sequence[ArrayLike] | None = None) -> Potentials:
        """Turn the caller's potentials into those of the reduced problem."""
        if potentials is None:
            return super().start()
        f, g = self._clouds.start(potentials)
        return f - self.up, g - self.over

    def potentials(self, x: Potentials) -> Potentials:
        """Turn potentials of the reduced problem into the caller's."""
        return self._clouds.potentials((x[0] + self.up, x[1] + self.over))

    def result(self, it: Monitor, P: Array, x: Potentials, return_plan: bool, **fields: Any) -> SampleResult:
        """Put the answer into the caller's terms."""
        sums = fields.pop("sums", None)
        with quiet():
            values = self.values(P, *x, sums)
            bounds = self.bounds_in_time(it, P, x[0])
        check_values(it, values)
        inner = x[0] + self.up, x[1] + self.over
        fields["residual"] = self._of_operator(it, inner, fields["residual"])
        return self._clouds.sample_result(it, inner, return_plan, bounds=bounds, **values, **fields)

    def _of_operator(self, it: Monitor, x: Potentials, residual: float) -> float:
        """The marginal error of the plan as an operator on points, where far outliers take its digits.

        The stored costs were reduced on the way; the operator makes them from points again.
        """
        clouds = self._clouds
        if UNIT * clouds.range / clouds.reg <= 1e-2 * it.threshold or it.limits.expired:
            return residual
        plan = clouds.pairs.plan(*x, clouds.reg)
        sides = ((plan, clouds.pairs.A), (plan.T, clouds.pairs.B))
        error = sum(float(np.abs(p.row_sums() - cloud.weights).sum()) for p, cloud in sides)
        if error > it.threshold and it.status is not None and it.status.success:
            it.stop(
                Status.ROUNDING if error <= COARSE else Status.STAGNATED,
                f"The costs are so large against reg that the plan, made from the points, has the marginal "
                f"error {error:.3g} by rounding; that of a matrix of costs has {residual:.3g}.",
            )
        return max(residual, error)

    def shift_of(self, r: Array, c: Array) -> float:
        """What a plan with these row and column sums costs more than with M."""
        return super().shift_of(r, c) + self._clouds.shift_of(r, c)


def rest(seconds: float, done: float) -> float:
    """What is to come when a share of the costs has taken so long: the others, and as long for the plan."""
    return seconds * (2.0 / done - 1.0)


def solve_stored(
    clouds: CloudProblem,
    limits: Limits,
    tol: float,
    potentials_init: Sequence[ArrayLike] | None,
    return_plan: bool,
) -> SampleResult:
    """Solve by Newton's method with stored costs; `TimeUp` if the time does not suffice to make these."""
    pairs = clouds.pairs
    (n, m), X, Y = pairs.shape, pairs.A.points, pairs.B.points
    since = now()
    M = np.empty((n, m))
    low, high = math.inf, -math.inf
    inner = pairs.metric.kind == "inner"
    most = max(64, (PRODUCTS_AT_ONCE if inner else AT_ONCE) // (m * X.shape[1]))
    rows = math.ceil(n / math.ceil(n / most))
    for first in range(0, n, rows):
        part = M[first : first + rows]
        if inner:
            np.matmul(X[first : first + rows], Y.T, out=part)
            part *= -2 * pairs.metric.factor
        else:
            part[...] = _generic.costs(pairs.metric, X[first : first + rows], Y)
        low, high = min(low, float(part.min())), max(high, float(part.max()))  # while it is in a cache
        pairs.workers.deadline.check(rest(now() - since, (first + len(part)) / n))
    M, up, over, low, high = reduced(np, M, clouds.reg, low, high, forbidden=False)
    problem = StoredClouds(
        np, M, pairs.A.weights, pairs.B.weights, clouds.reg, clouds.mass, up, over, high - low, high,
        False, None, None, (n, m), clouds=clouds,
    )  # fmt: skip
    limits = limits.earlier(now() - since)  # for the plan, as in `rest`
    result = newton(problem, limits, tol=tol, potentials_init=potentials_init, return_plan=return_plan)
    return cast("SampleResult", result)
