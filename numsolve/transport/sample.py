r"""Entropic optimal transport between clouds of points, without the matrix of costs.

With P_ij = exp((f_i + g_j - c(x_i, y_j))/eps) every sum over the pairs is made where it is used, and pairs that
cannot matter are passed over. The method is that of `newton`, with nothing of size n m in memory:

    g_j(f) = eps log b_j - eps log sum_i exp((f_i - c_ij)/eps),          F(f) = a.f + b.g(f) -> max,
    grad F = a - r,   r = P 1,             -eps Hess F = S = diag(r) - P diag(1/b) P',

- Sums in plan form: the old g stabilises the new one, so a pair costs one exponential (`transform`).
- S is applied with the entries of P that matter, in CSR, counted before memory is asked for (after Tang et al.,
  "Accelerating Sinkhorn algorithm with sparse Newton iterations", ICLR 2024); where P is too dense for that,
  by passes over the pairs.
- eps falls by a factor of 4 a stage, and a plan at a large eps needs few points: the stages work on means of
  neighbouring points, more and more of them (multiscale: B. Schmitzer, "Stabilized sparse scaling algorithms for
  entropy regularized transport problems", SIAM J. Sci. Comput. 41, 2019). A c-transform extends the
  potentials from a coarse cloud to a finer one.
- Pairs of groups of neighbouring points are passed over by a bound on their exponents, which for squared
  distances follows the slope of the potentials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.result import Status

from . import _generic_cloud
from ._cloud import Pairs, transform
from ._cloud_problem import prepare_clouds

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from numsolve._core.monitor import Monitor

    from ._cloud import Cloud, Plan
    from ._cloud_problem import CloudProblem
    from .cloud_result import SampleResult

METHODS = ("auto", "newton", "sinkhorn")
#: eps of the first stage over the range of the cost, and the factor from stage to stage.
FIRST_STAGE, STAGE_FACTOR = 0.05, 0.25
#: Error at which a stage but the last is left.
STAGE_TOL = 1e-2
#: Mean cost within the parts of a coarse cloud, over eps, and the least number of points of one.
SPREAD, FEWEST = 0.25, 64
#: Entries of P in CSR, per row, at most; what small problems may have anyway; and the share of all pairs.
ENTRIES_PER_ROW, ENTRIES, SHARE = 400, 2_000_000, 0.3
#: Steps without progress after which a stage is given up.
PATIENCE = 40


def solve_sample(
    X_a: Any,
    X_b: Any,
    a: Any = None,
    b: Any = None,
    *,
    reg: float,
    metric: str | Callable[..., float] = "sqeuclidean",
    p: float = 2.0,
    method: str = "auto",
    tol: float = 1e-6,
    maxiter: int | None = None,
    potentials_init: tuple[Any, Any] | None = None,
    return_plan: bool = True,
    executor: Executor | None = None,
    callback: Callable[..., Any] | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> SampleResult:
    r"""Solve entropic optimal transport between two clouds of points, without storing costs or plan.

    Finds the plan P that minimises ``sum(P * M) + reg * sum(P * (log(P) - 1))`` among those with row sums `a` and
    column sums `b`, where ``M_ij = c(x_i, y_j)``. Memory grows with the number of points, and time with the
    number of pairs that matter: at a small `reg`, in few dimensions, that is far below n m.

    Parameters
    ----------
    X_a : array of shape (n, d)
        Points of the source.
    X_b : array of shape (m, d)
        Points of the target.
    a : array of shape (n,), optional
        Weights of the source, nonnegative, of any sum; None or an empty list for ``1 / n`` each.
    b : array of shape (m,), optional
        Weights of the target, of the same sum; None or an empty list for ``1 / m`` each.
    reg : float
        Regularisation, positive, in the unit of the cost.
    metric : {"sqeuclidean", "euclidean", "cityblock", "power", "cosine"} or compiled function
        The cost c(x, y): the squared Euclidean distance, the Euclidean distance, the sum of ``|x_k - y_k|``, that
        of ``|x_k - y_k| ** p``, one minus the cosine of the angle, or ``metric(x, y)`` of two rows, compiled by
        ``numba.njit`` (then no pairs are passed over).
    p : float
        The exponent for "power", positive.
    method : {"auto", "newton", "sinkhorn"}
        "auto" is "newton". "sinkhorn" makes sweeps in its place, for comparison.
    tol : float
        Largest error of the marginals in the 1-norm, rows and columns together, relative to the mass.
    maxiter : int, optional
        Largest number of iterations, over all stages; 1000 Newton steps, 10 000 sweeps.
    potentials_init : tuple of array, optional
        Where to start, as the `potentials` of an earlier result: used if it is near the solution (a marginal
        error below 0.1 after one update of g), which saves all stages but the last.
    return_plan : bool
        Whether the result holds the plan.
    executor : concurrent.futures.Executor, optional
        Threads that share each pass; by default as many as Numba may use.
    callback : callable, optional
        Called after each iteration with the potentials, or with an ``intermediate_result`` if its parameter
        has that name; returning True stops the run.
    progress : bool
        Show a progress bar.
    time_limit : float, optional
        Seconds.

    Returns
    -------
    SampleResult
        With `plan` (a `scipy.sparse.linalg.LinearOperator`), `potentials`, `value`, `value_linear`, `kl`,
        `marginal_error`, `bounds`, the counters `nsinkhorn`, `nnewton` and `ncg`, `reg_path`, and `gradient()`
        with the derivatives in the points.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or range.
    TypeError
        If an array is complex, the arrays come from different libraries, or `metric` is not compiled.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached; the result is the best iterate.

    See Also
    --------
    numsolve.transport.solve : The same for a matrix of costs; faster where that is at hand and small.

    Notes
    -----
    Float32 arrays in NumPy are computed with in float64; potentials and products come back as float32.

    References
    ----------
    M. Cuturi, G. Peyré, "A smoothed dual approach for variational Wasserstein problems", SIAM J. Imaging
    Sci. 9, 2016.
    B. Schmitzer, "Stabilized sparse scaling algorithms for entropy regularized transport problems",
    SIAM J. Sci. Comput. 41, 2019.

    Examples
    --------
    >>> from numsolve import transport
    >>> X_a, X_b = transport.problems.clouds(1000, 2, rng=0)
    >>> result = transport.solve_sample(X_a, X_b, reg=1e-3)
    >>> result.success, result.marginal_error < 1e-6
    (True, True)
    >>> result.barycentric_map(X_b).shape
    (1000, 2)
    """
    checks.choice("method", method, METHODS)
    sinkhorn = method == "sinkhorn"
    tol = checks.real("tol", tol, low=0.0)
    problem = prepare_clouds(X_a, X_b, a, b, reg, metric, p, executor)
    start = None if potentials_init is None else problem.start(potentials_init)
    dual = _SemiDual(problem, tol)
    with problem.monitor(
        "Sinkhorn" if sinkhorn else "Newton",
        tol,
        (10_000 if sinkhorn else 1000) if maxiter is None else maxiter,
        time_limit=time_limit,
        callback=callback,
        progress=progress,
        present=lambda x: problem.potentials(dual.extended(x)),
        divergence=float("inf"),  # a start can be exact for one eps and off for the next
        columns=("reg", "points"),
    ) as it:
        s = dual.first(start)
        watch, best = _Watch(), s
        _record(it, dual, s)
        for _ in it:
            if not dual.last and (s.error <= STAGE_TOL or watch.stuck >= PATIENCE):
                s = best = dual.next_stage(s)
                watch = _Watch()
            else:
                s = dual.sweep(s) if sinkhorn else dual.newton_step(s)
                best = s if s.error < best.error else best
                watch.see(s, dual.noise(s))
            _record(it, dual, s)
            if it.status is None and dual.last:
                _give_up(it, watch, dual, s, sinkhorn)
    if not dual.last:
        best = dual.finish(best)
    path = tuple(stage.reg for stage in dual.stages[: dual.stage + 1])
    return problem.result(it, (best.f, best.g), return_plan, reg_path=path, **dual.counts)


@dataclass
class _State:
    """A point on the way: g = g(f), the plan with its row sums, F, and the error of the rows."""

    f: Any
    g: Any
    plan: Plan
    r: Any
    fun: float
    error: float


@dataclass(frozen=True)
class _Stage:
    """A regularisation, and the clouds that are fine enough for it."""

    reg: float
    pairs: Pairs


class _SemiDual:
    """The dual in f of the present stage, and the way from stage to stage."""

    def __init__(self, problem: CloudProblem, tol: float) -> None:
        self.xp, self.tol, self.unit = problem.xp, tol, problem.unit
        self.rounding = problem.rounding
        self.stages = _stages(problem)
        self.counts = {"nsinkhorn": 0, "nnewton": 0, "ncg": 0}
        self.damping = 1.0
        self.enter(0)

    @property
    def last(self) -> bool:
        """Whether this is the stage of the answer."""
        return self.stage == len(self.stages) - 1

    def enter(self, stage: int) -> None:
        """Make a stage the present one."""
        self.stage = stage
        self.reg, self.pairs = self.stages[stage].reg, self.stages[stage].pairs
        self.a, self.b = self.pairs.A.weights, self.pairs.B.weights
        self.goal = self.tol if self.last else STAGE_TOL
        #: The share of each weight that a sum may lose to pairs that are passed over.
        self.lost = max(1e-3 * self.goal, 0.01 * self.unit) if self.pairs.fused else 0.0

    def first(self, start: tuple[Any, Any] | None) -> _State:
        """Start from the caller's potentials if they are near the solution, else at the first stage."""
        xp = self.xp
        if start is not None:
            self.enter(len(self.stages) - 1)
            f = start[0] - float(self.a @ start[0])  # a large constant would only eat digits
            s = self.at(f, transform(self.pairs, f, start[1], self.reg, self.lost))
            if s.error <= 0.1:
                self.stages = self.stages[-1:]
                self.enter(0)
                return s
            self.enter(0)
        return self.at(self.reg * xp.log(self.a), self.reg * xp.log(self.b))

    def at(self, f: Any, g: Any) -> _State:
        """Evaluate everything at f, with g as the stabiliser."""
        xp = self.xp
        g = transform(self.pairs, f, g, self.reg, self.lost)
        plan = self.pairs.plan(f, g, self.reg, self.lost)
        r = plan.row_sums()
        fun = float(self.a @ f) + float(self.b @ g)
        return _State(f, g, plan, r, fun, float(xp.sum(xp.abs(r - self.a))))

    def next_stage(self, s: _State) -> _State:
        """Extend the potentials to the clouds of the next stage, and take over its regularisation."""
        f, g = self.extended((s.f, s.g), self.stage + 1)
        coarse, reg = self.pairs, self.reg
        self.enter(self.stage + 1)
        fine = self.pairs
        if fine.A is not coarse.A:
            f = transform(Pairs(fine.metric.T, coarse.B, fine.A, fine.executor), s.g, f, reg, self.lost)
        if fine.B is not coarse.B:
            g = transform(Pairs(fine.metric, coarse.A, fine.B, fine.executor), s.f, g, reg, self.lost)
        change = self.reg - reg
        return self.at(f + change * self.xp.log(self.a), g + change * self.xp.log(self.b))

    def finish(self, s: _State) -> _State:
        """Go to the last stage at once."""
        self.stages = [*self.stages[: self.stage + 1], self.stages[-1]]
        return self.next_stage(s)

    def extended(self, x: tuple[Any, Any], stage: int = -1) -> tuple[Any, Any]:
        """Give the points of a finer stage the potentials of the points that stand for them."""
        fine = self.stages[stage].pairs
        sides = ((x[0], self.pairs.A, fine.A), (x[1], self.pairs.B, fine.B))
        return tuple(_extended(self.xp, p, coarse, cloud, self.reg) for p, coarse, cloud in sides)  # type: ignore[return-value]

    def sweep(self, s: _State) -> _State:
        """One iteration of Sinkhorn: the rows exact, then the columns."""
        xp = self.xp
        self.counts["nsinkhorn"] += 1
        if float(xp.min(s.r / self.a)) > (0.01 if self.lost else 1e-200):
            f = s.f + self.reg * xp.log(self.a / s.r)
        else:
            f = transform(self.pairs.T, s.g, s.f, self.reg, self.lost)
        return self.at(f, s.g)

    def newton_step(self, s: _State) -> _State:
        """Go along the Newton direction as far as F rises enough; sweep once if that leaves rows far off."""
        self.counts["nnewton"] += 1
        x = self.direction(s)
        slope = self.reg * float((self.a - s.r) @ x)
        noise = self.noise(s)
        g, halvings = s.g, 0
        for halvings in range(13):
            step = 0.5**halvings
            new = self.at(s.f + (step * self.reg) * x, g)
            # Near the solution F has no digits left for Armijo's test, but the error still has.
            level = new.fun >= s.fun - 300 * noise
            if new.fun >= s.fun + 1e-4 * step * slope - noise or (level and new.error < 0.5 * s.error):
                break
        else:
            new = s
        # Steps that had to be cut are damped in their origin: rows of little weight ask for too much.
        if halvings >= 4:
            self.damping = min(self.damping * 10, 1e6)
        elif halvings < 3:
            self.damping = max(1.0, self.damping / 10)
        if halvings > 0 or self._unbalanced(new):
            new = self.sweep(new)
        return new

    def _unbalanced(self, s: _State) -> bool:
        """Whether a row is off by a factor of 8: a sweep repairs at once what Newton does in bits."""
        ratio = s.r / self.a
        return not (float(self.xp.max(ratio)) < 8 and float(self.xp.min(ratio)) > 1 / 8)

    def direction(self, s: _State) -> Any:
        """Solve (S + sigma diag(max(a, r))) x = a - r; sigma fades with the error, see `newton`."""
        xp, a, b = self.xp, self.a, self.b
        small = min(1.0, s.error)
        d = s.r + min(0.1, 1e-3 * small * self.damping) * xp.maximum(a, s.r)
        rhs = a - s.r
        rhs = rhs - float(xp.sum(rhs)) * a
        # Forcing by the error makes the convergence quadratic; more than the goal needs is not asked.
        stop = max(min(0.1, s.error), 0.3 * self.goal / s.error) * float(xp.sum(xp.abs(rhs)))
        n, m = self.pairs.shape
        most = min(max(ENTRIES_PER_ROW * n, ENTRIES), SHARE * n * m + m)
        entries = s.plan.entries(min(max(0.1 * small, 1e-6), 1e-3) / 50, most)
        if entries is None:
            x, steps = _cg(xp, s.plan, d, b, rhs, stop, 300)
        else:
            from . import _cpu_newton

            x, steps, _ = _cpu_newton.schur_cg_sparse(*entries, d, b, rhs, stop, 500)
        self.counts["ncg"] += steps
        return x

    def noise(self, s: _State) -> float:
        """The rounding error of F, and what it may have lost."""
        size = float(self.a @ self.xp.abs(s.f)) + float(self.b @ self.xp.abs(s.g))
        return 2 * self.unit * size + self.reg * self.lost


def _stages(problem: CloudProblem) -> list[_Stage]:
    """The regularisations, and for each the coarsest clouds whose parts are small against it."""
    pairs, path = problem.pairs, [problem.reg]
    while path[0] / STAGE_FACTOR < FIRST_STAGE * problem.range * (1 + 1e-12):
        path.insert(0, path[0] / STAGE_FACTOR)
    if not arrays.is_numpy(problem.xp):
        return [_Stage(reg, pairs) for reg in path]
    levels = [_levels(cloud, pairs) for cloud in (pairs.A, pairs.B)]
    stages: list[_Stage] = []
    for reg in path:
        A, B = (
            next((cloud for spread, cloud in sizes if spread <= SPREAD * reg), sizes[-1][1]) for sizes in levels
        )
        stages.append(_Stage(reg, Pairs(pairs.metric, A, B, pairs.executor)))
    if stages[-1].pairs.shape != pairs.shape:
        stages.append(_Stage(problem.reg, pairs))
    return stages


def _levels(cloud: Cloud, pairs: Pairs) -> list[tuple[float, Cloud]]:
    """The coarse clouds of some levels with the mean cost within their parts, and last the whole cloud."""
    n = cloud.points.shape[0]
    means = pairs.metric.function is None
    levels = []
    for level in range(FEWEST.bit_length() - 1, max(n, 2).bit_length() - 1):
        coarse = cloud.coarse(level, means=means)
        within = _generic_cloud.paired_costs(pairs.metric, cloud.points, coarse.points[cloud.owners(coarse)])
        levels.append((float(cloud.weights @ within), coarse))
    return [*levels, (0.0, cloud)]


def _extended(xp: Any, p: Any, coarse: Cloud, fine: Cloud, reg: float) -> Any:
    if fine is coarse:
        return p
    owners = fine.owners(coarse)
    return p[owners] + reg * xp.log(fine.weights / coarse.weights[owners])


def _cg(xp: Any, plan: Plan, d: Any, b: Any, rhs: Any, stop: float, maxiter: int) -> tuple[Any, int]:
    """Conjugate gradients for S x = rhs with the diagonal of S, two passes over the pairs a step."""
    inner = plan.pairs.plan(plan.f, plan.g, plan.reg, max(plan.lost, 1e-7) if plan.lost else 0.0)

    def product(plan: Plan, v: Any) -> Any:
        return plan.products(v[:, None])[:, 0]

    # P_ij^2 is the plan of the same potentials at half the regularisation.
    squares = product(plan.pairs.plan(plan.f, plan.g, plan.reg / 2, inner.lost), 1 / b)
    jacobi = xp.maximum(d - squares, 1e-3 * d)
    x, residual, z = xp.zeros_like(rhs), rhs, rhs / jacobi
    p, rz, steps = z, float(rhs @ z), 0
    while steps < maxiter and rz > 0.0:
        steps += 1
        Sp = d * p - product(inner, product(inner.T, p) / b)
        curvature = float(p @ Sp)
        if not curvature > 0.0:
            break
        x = x + (rz / curvature) * p
        residual = residual - (rz / curvature) * Sp
        if float(xp.sum(xp.abs(residual))) <= stop:
            break
        z = residual / jacobi
        rz, old = float(residual @ z), rz
        p = z + (rz / old) * p
    return x, steps


class _Watch:
    """How many steps a stage has gone without one per cent less error (stuck), and without more F (idle)."""

    def __init__(self) -> None:
        self.stuck = self.idle = 0
        self._error, self._fun = float("inf"), -float("inf")

    def see(self, s: _State, noise: float) -> None:
        self.stuck += 1
        self.idle += 1
        if s.error < 0.99 * self._error:
            self._error, self.stuck, self.idle = s.error, 0, 0
        if s.fun > self._fun + noise:
            self._fun, self.idle = s.fun, 0


def _record(it: Monitor, dual: _SemiDual, s: _State) -> None:
    """Record a point; only at the last stage it may be the answer."""
    done = dual.last and s.error <= 0.99 * dual.tol  # the rest is for the columns, and for what a sum lost
    it.record(s.error, (s.f, s.g), converged=done, reg=dual.reg, points=sum(dual.pairs.shape))


def _give_up(it: Monitor, watch: _Watch, dual: _SemiDual, s: _State, sinkhorn: bool) -> None:
    """Stop where no further step can help."""
    if watch.stuck >= 6 and s.error <= 4 * dual.rounding:
        it.stop(Status.ROUNDING, f"The residual is {s.error:.3g}.")
    elif watch.idle >= (50 if sinkhorn else 1) * PATIENCE:
        it.stop(Status.STAGNATED)
