r"""Entropic optimal transport between clouds of points, without the matrix of costs.

With P_ij = exp((f_i + g_j - c(x_i, y_j))/eps) every sum over the pairs is made where it is used, and pairs
that cannot matter are passed over. The method is that of `newton`, with nothing of size n m in memory:

    g_j(f) = eps log b_j - eps log sum_i exp((f_i - c_ij)/eps),          F(f) = a.f + b.g(f) -> max,
    grad F = a - r,   r = P 1,             -eps Hess F = S = diag(r) - P diag(1/b) P',

- Sums in plan form: the old g stabilises the new one, so a pair costs one exponential (`transform`).
- S is applied with the entries of P that matter, in CSR, counted before memory is asked for (after Tang et
  al., "Accelerating Sinkhorn algorithm with sparse Newton iterations", ICLR 2024); where P is too dense for
  that, by passes over the pairs.
- eps falls by a factor of 4 a stage, and a plan at a large eps needs few points: the stages work on means of
  neighbouring points, more and more of them (B. Schmitzer, "Stabilized sparse scaling algorithms for entropy
  regularized transport problems", SIAM J. Sci. Comput. 41, 2019). A c-transform extends the potentials from
  a coarse cloud to a finer one, and the last coarse plan preconditions the system of the whole clouds.
- Pairs of groups of neighbouring points are passed over by a bound on their exponents, which for squared
  distances follows the slope of the potentials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from numsolve._core import checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.result import deliver
from numsolve.transport._deadline import TimeUp

from ._ascend import ascend
from ._problem import prepare_clouds
from ._semidual import CloudDual
from ._stored import solve_stored
from ._unbalanced import solve_unbalanced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from numsolve._core.typing import Array, ArrayLike, Callback

    from ._metric import MetricName
    from .result import SampleResult

Method = Literal["auto", "newton", "sinkhorn"]
#: Words of other packages for what solvers between clouds take.
FOREIGN = {
    "numItermax": "maxiter",
    "stopThr": "tol",
    "epsilon": "reg",
    "blur": "reg",
    "log": "the result has the history and the potentials, always",
    "lazy": "memory_limit=0 keeps no costs",
    "batch_size": "the size of a pass is chosen; memory_limit bounds what is kept",
    "n_threads": "executor",
    "cost": "metric",
}


@answers(**FOREIGN, reg_m="unbalanced")
def solve_sample(
    X_a: ArrayLike,
    X_b: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    reg: float,
    metric: MetricName | Callable[[Array, Array], float] = "sqeuclidean",
    p: float = 2.0,
    method: Method = "auto",
    unbalanced: float | Sequence[float] | Array | None = None,
    memory_limit: float | None = None,
    tol: float = 1e-6,
    potentials_init: Sequence[ArrayLike] | None = None,
    return_plan: bool = True,
    executor: Executor | None = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> SampleResult:
    r"""Solve entropic optimal transport between two clouds of points, of any number.

    Finds the plan P that minimises ``sum(P * M) + reg * sum(P * (log(P) - 1))`` among those with row sums `a`
    and column sums `b`, where ``M_ij = c(x_i, y_j)``. Memory grows with the number of points, and time with
    the number of pairs that matter: at a small `reg`, in few dimensions, that is far below n m. Costs are
    kept where that is faster: of up to 300 000 pairs always, of squared distances in four dimensions or more,
    or cosines, of up to 16 million; and in eight dimensions or more, where all pairs matter, of as many as
    `memory_limit` allows.

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
        Regularisation, positive, in the unit of the cost; exact transport needs the matrix of costs, see
        `numsolve.transport.solve`.
    metric : {"sqeuclidean", "euclidean", "cityblock", "power", "cosine"} or compiled function
        The cost c(x, y): the squared Euclidean distance, the Euclidean distance, the sum of
        ``|x_k - y_k|``, that of ``|x_k - y_k| ** p``, one minus the cosine of the angle, or ``metric(x, y)``
        of two rows, compiled by ``numba.njit`` (then no pairs are passed over).
    p : float
        The exponent for "power", positive.
    method : {"auto", "newton", "sinkhorn"}
        "auto" is "newton". "sinkhorn" makes sweeps in its place, for comparison.
    unbalanced : float or pair of float, optional
        What a deviation of the row sums from `a` and of the column sums from `b` costs, as in
        `numsolve.transport.solve`. All pairs are looked at in each pass; their costs are kept as far as
        `memory_limit` allows. The result has no `vjp`.
    memory_limit : float, optional
        Bytes that a solve with kept costs may take, 18 for each pair, 24 for an unbalanced one. A third of
        the machine's memory by default; 0 keeps no costs.
    tol : float
        Largest error of the marginals in the 1-norm, rows and columns together, relative to the mass.
    potentials_init : tuple of array, optional
        Where to start, as the `potentials` of an earlier result: used if it is near the solution (a marginal
        error below 0.1 after one update of g), which saves all stages but the last.
    return_plan : bool
        Whether the result holds the plan.
    executor : concurrent.futures.Executor, optional
        Threads that share each pass; by default as many as Numba may use, as always where costs are kept.
        Or workers that share no memory, processes or those of other machines: each is sent blocks of the
        points once, for clouds with more than 8 million pairs.
    maxiter, callback, progress, time_limit : optional
        As in `numsolve.transport.solve`; over all stages, 1000 Newton steps or 10 000 sweeps by default.
        Where `time_limit` does not suffice for a pass over the pairs, what the pass would tell is nan.

    Returns
    -------
    SampleResult
        With `plan` (a `scipy.sparse.linalg.LinearOperator`), `potentials`, `value`, `value_linear`, `kl`,
        `marginal_error`, `bounds`, the counters `nsinkhorn`, `nnewton` and `ncg`, `reg_path`, and
        `gradient()` with the derivatives in the points.

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
    limits = Limits(maxiter, time_limit, callback, progress)
    if unbalanced is not None:
        return solve_unbalanced(
            X_a, X_b, a, b, limits, reg, metric, p, unbalanced, potentials_init, executor,
            memory_limit, sinkhorn=checks.choice("method", method, get_args(Method)) == "sinkhorn",
            tol=checks.real("tol", tol, low=0.0),
            return_plan=checks.flag("return_plan", return_plan),
        )  # fmt: skip
    result = between_clouds(
        X_a,
        X_b,
        a,
        b,
        limits,
        reg,
        metric,
        p,
        method,
        tol,
        potentials_init,
        return_plan,
        executor,
        memory_limit,
    )
    deliver(result)
    return result


def between_clouds(
    X_a: ArrayLike,
    X_b: ArrayLike,
    a: ArrayLike | None,
    b: ArrayLike | None,
    limits: Limits,
    reg: float,
    metric: MetricName | Callable[[Array, Array], float],
    p: float,
    method: Method,
    tol: float,
    potentials_init: Sequence[ArrayLike] | None,
    return_plan: bool,
    executor: Executor | None,
    memory_limit: float | None = None,
) -> SampleResult:
    """`solve_sample` within limits whose clock may be running already, and without its warning."""
    checks.choice("method", method, get_args(Method))
    sinkhorn = method == "sinkhorn"
    tol = checks.real("tol", tol, low=0.0)
    return_plan = checks.flag("return_plan", return_plan)
    problem = prepare_clouds(X_a, X_b, a, b, reg, metric, p, executor, limits, memory_limit)
    if problem.stored and not sinkhorn:
        try:
            return solve_stored(problem, limits, tol, potentials_init, return_plan)
        except TimeUp:
            pass  # below, what there is no time for is left out
    start = None if potentials_init is None else problem.start(potentials_init)
    dual = CloudDual(problem, tol)
    it, best = ascend(dual, start, limits, problem.potentials, sinkhorn=sinkhorn)
    f, g = dual.finish(best, limits)
    path = tuple(stage.reg for stage in dual.stages[: dual.stage + 1])
    return problem.result(it, (f, g), return_plan, limits, reg_path=path, **dual.counts)
