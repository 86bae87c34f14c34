"""The door of `solve_sample`: checks two clouds, reduces them for the method, and puts the answer back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from . import _generic_cloud
from ._cloud import Cloud, Pairs, bisection_order
from ._cloud_bounds import bounds
from ._cloud_metric import make_metric
from ._problem import MASS_TOLERANCE, UNIT
from .cloud_plan import CloudPlan, scatter
from .cloud_result import SampleResult

#: Share of each weight that sums over the returned plan may lose: below rounding.
NOTHING = 1e-17


@dataclass(frozen=True)
class CloudProblem:
    """Two sorted clouds with positive weights of sum one, and the way back to the caller's."""

    pairs: Pairs
    reg: float
    mass: float
    range: float
    index: tuple[Any, Any]
    points: tuple[Any, Any]
    norms: tuple[Any, Any]
    dtype: Any

    @property
    def xp(self) -> Any:
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
        """The marginal error that rounding can cause; see `_problem.Problem.rounding`."""
        return min(self.unit * (8 + self.range / self.reg), math.sqrt(self.unit))

    def monitor(self, label: str, tol: float, maxiter: int, **settings: Any) -> Monitor:
        """Make the monitor of a solve."""
        return Monitor(atol=tol, maxiter=maxiter, label=label, keep="reference", **settings)

    def potentials(self, x: tuple[Any, Any]) -> tuple[Any, Any]:
        """Turn the inner potentials into the caller's: minus infinity at weights of zero."""
        f, g = x
        f = f + self.reg * math.log(self.mass)
        return tuple(
            self.xp.astype(scatter(self.xp, p, index, n, -math.inf), self.dtype)
            for p, index, n in zip((f, g), self.index, self.shape, strict=True)
        )

    def start(self, potentials: Any) -> tuple[Any, Any]:
        """Turn the caller's potentials into inner ones."""
        if not (isinstance(potentials, tuple | list) and len(potentials) == 2):
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
        return out[0] - self.reg * math.log(self.mass), out[1]

    def result(self, it: Monitor, x: tuple[Any, Any], return_plan: bool, **fields: Any) -> SampleResult:
        """Put the answer into the caller's terms; what is reported is summed over all pairs that matter."""
        pairs, xp = self.pairs, self.xp
        plan = pairs.plan(*x, self.reg, NOTHING)
        r, c = plan.row_sums(), plan.T.row_sums()
        residual = float(xp.sum(xp.abs(r - pairs.A.weights))) + float(xp.sum(xp.abs(c - pairs.B.weights)))
        if it.status is Status.CONVERGED and residual > it.threshold:
            it.stop(Status.ROUNDING, f"The residual is {residual:.3g}, the tolerance {it.threshold:.3g}.")
        linear, total = float(xp.sum(plan.mean_costs())), float(xp.sum(r))
        entropy = (float(r @ plan.f) + float(c @ plan.g) - linear) / self.reg
        kl = entropy - float(r @ xp.log(pairs.A.weights)) - float(c @ xp.log(pairs.B.weights))
        mass, log_mass = self.mass, math.log(self.mass)
        low, high = bounds(plan, r)
        without_pool = Pairs(pairs.metric, pairs.A, pairs.B).plan(*x, self.reg, NOTHING)
        operator = CloudPlan(without_pool, *self.index, self.shape, mass, self.dtype) if return_plan else None
        return it.result(
            SampleResult,
            x=self.potentials(x),
            residual=residual,
            plan=operator,
            value_linear=mass * linear,
            value=mass * (linear + self.reg * (entropy + (log_mass - 1.0) * total)),
            kl=mass * (kl - log_mass * total),
            bounds=(mass * low, mass * high),
            reg=self.reg,
            points=self.points,
            norms=self.norms,
            **fields,
        )


def prepare_clouds(
    X_a: Any, X_b: Any, a: Any, b: Any, reg: Any, metric: Any, p: Any, executor: Any
) -> CloudProblem:
    """Check the arguments of `solve_sample` and reduce them to a `CloudProblem`."""
    reg = checks.real("reg", reg, low=0.0, open_low=True)
    metric = make_metric(metric, p)
    if executor is not None and (isinstance(executor, type) or not hasattr(executor, "submit")):
        raise TypeError(f"executor must have a submit method, as a ThreadPoolExecutor, got {executor!r}")
    a, b = (None if isinstance(w, list | tuple) and len(w) == 0 else w for w in (a, b))
    xp = arrays.array_namespace(X_a=X_a, X_b=X_b, a=a, b=b)
    X_a = checks.array("X_a", X_a, xp=xp, ndim=2, empty=False)
    X_b = checks.array("X_b", X_b, xp=xp, ndim=2, empty=False)
    if X_a.shape[1] != X_b.shape[1]:
        raise ValueError(
            "X_a and X_b must have points of the same dimension, "
            f"got {X_a.shape[1]} and {X_b.shape[1]} columns"
        )
    if metric.function is not None and not arrays.is_numpy(xp):
        raise TypeError("a metric given as a compiled function needs points in NumPy arrays")
    dtype = arrays.working_dtype(xp, X_a=X_a, X_b=X_b)
    inner = xp.float64 if arrays.is_numpy(xp) else dtype
    weights = []
    for name, w, n in (("a", a, X_a.shape[0]), ("b", b, X_b.shape[0])):
        if w is None:
            weights.append(xp.full((n,), 1.0 / n, dtype=inner))
        else:
            weights.append(checks.masses(name, w, length=n, xp=xp, dtype=inner))
    mass, other = float(xp.sum(weights[0])), float(xp.sum(weights[1]))
    if abs(mass - other) > MASS_TOLERANCE * max(mass, other):
        raise ValueError(
            f"a and b must have the same sum, got {mass:.10g} and {other:.10g}; "
            "rescale one of them (an unbalanced problem is another one)"
        )

    points = [xp.astype(X_a, inner), xp.astype(X_b, inner)]
    norms: list[Any] = [None, None]
    if metric.name == "cosine":
        for side, name in enumerate(("X_a", "X_b")):
            points[side], norms[side] = _normalised(xp, name, points[side])
    elif metric.function is None:  # only differences matter: a large common offset would eat their digits
        centre = xp.mean(points[1], axis=0)
        points = [x - centre for x in points]
    index, clouds = [], []
    for x, w, norm, total, side in zip(points, weights, norms, (mass, other), (0, 1), strict=True):
        order = xp.nonzero(w > 0)[0]
        if arrays.is_numpy(xp):
            order = order[bisection_order(x[order])]
        index.append(order)
        clouds.append(Cloud(xp.take(x, order, axis=0), xp.take(w, order) / total))
        norms[side] = None if norm is None else xp.take(norm, order)
    pairs = Pairs(metric, clouds[0], clouds[1], executor)
    span = _cost_range(pairs)
    if reg < UNIT * span:
        raise ValueError(
            f"reg = {reg:g} is below the rounding errors of the costs, which have a range of {span:g}; "
            f"the least that can be resolved is {UNIT * span:.2g}"
        )
    return CloudProblem(pairs, reg, mass, span, (index[0], index[1]), (X_a, X_b), (norms[0], norms[1]), dtype)


def _normalised(xp: Any, name: str, points: Any) -> tuple[Any, Any]:
    largest = xp.max(xp.abs(points), axis=1)
    if bool(xp.any(largest == 0)):
        where = int(xp.argmax(xp.astype(largest == 0, xp.int8)))
        raise ValueError(f"{name} must have no point at the origin for the cosine metric, got row {where}")
    scaled = points / largest[:, None]  # whose squares neither overflow nor underflow
    norms = xp.sqrt(xp.sum(scaled * scaled, axis=1))
    return scaled / norms[:, None], norms * largest


def _cost_range(pairs: Pairs) -> float:
    """Largest cost minus smallest: of the box of all points, or of a sample for a function of the user's."""
    xp, metric = pairs.xp, pairs.metric
    X, Y = pairs.A.points, pairs.B.points
    if metric.function is None:
        low = xp.minimum(xp.min(X, axis=0), xp.min(Y, axis=0))
        high = xp.maximum(xp.max(X, axis=0), xp.max(Y, axis=0))
        with np.errstate(over="ignore"):
            largest = float(_generic_cloud.paired_costs(metric, low[None, :], high[None, :])[0])
        if not math.isfinite(largest):
            raise ValueError("the costs between the points overflow: rescale X_a and X_b")
        return largest
    rows = np.unique(np.linspace(0, X.shape[0] - 1, 64).astype(int))
    columns = np.unique(np.linspace(0, Y.shape[0] - 1, 4096).astype(int))
    M = checks.output(
        "metric", _generic_cloud.costs(metric, X[rows], Y[columns]), shape=(rows.size, columns.size)
    )
    return float(M.max() - M.min())
