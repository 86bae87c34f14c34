r"""BSVRB: many lower problems, of which each iteration sees a few, with a few samples of each.

Q. Hu, Z. Qiu, Z. Guo, L. Zhang, T. Yang, "Blockwise stochastic variance-reduced methods with parallel
speedup for multi-block bilevel optimization", ICML 2023 (arXiv 2305.18730):

    minimise (1/m) sum_i F_i(theta, y_i*(theta)),   y_i*(theta) = argmin_y f_i(theta, y).

For the sampled blocks i, with the same samples at the new point w_t and at the one before, w_{t-1}:

    s_i <- (1 - a) s_i + a g(w_t) + gamma (g(w_t) - g(w_{t-1})),   y_i <- y_i - tau s_i       (1)

with g = df_i/dy. Version 1 tracks the Hessian H_i by the same formula, keeps its eigenvalues above mu_min,
and solves with it (2). Version 2 tracks ``u = H_i v_i - dF_i/dy`` by the same formula and moves v_i <- v_i
- tau_v u_i, within a ball (3). The blocks' hypergradients are ``G_i = dF_i/dtheta - C_i'v_i``, and theta's
direction

    storm:  z <- (1 - b) (z - mean G_i(w_{t-1})) + mean G_i(w_t)                              (4)
    saga:   z = mean over the sampled of (G_i - T_i) + mean over all of T,   T_i <- G_i       (5)

The theory's gamma = (m - I) / (I (1 - a)) + 1 - a is unstable for few sampled blocks; by default it is at
most 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from numsolve._core import checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.parallel import check_executor
from numsolve._core.result import Status

from ._blockrun import BlockRun, asked, own
from ._blocktruth import check_blocks
from ._oracle import Halt
from .block_oracle import BlockOracle
from .result import BlockResult

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from numsolve._core.typing import Array, ArrayLike, Callback, RandomState

#: Entries of SAGA's table up to which it is the default.
TABLE = 10**8
#: The growth of the residual, over that of the first sweep, which ends a run.
GROWN = 1e3


@answers()
def bsvrb(
    oracle: BlockOracle,
    theta0: ArrayLike,
    x0: ArrayLike,
    *,
    variant: Literal["v1", "v2"] = "v2",
    block_batch: int = 10,
    batch_size: int | None = 32,
    step_theta: float,
    step_x: float,
    step_v: float | None = None,
    alpha: float = 0.5,
    gamma: float | Literal["auto"] = "auto",
    beta: float = 0.1,
    theta_estimator: Literal["auto", "saga", "storm"] = "auto",
    mu_min: float = 1e-3,
    v_radius: float | None = None,
    tol: float = 1e-6,
    check: bool = True,
    rng: RandomState = None,
    executor: Executor | None = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> BlockResult:
    """Minimise the mean of many upper objectives, each with a lower problem of its own, by sampling.

    Parameters
    ----------
    oracle : BlockOracle
        The blocks.
    theta0 : array of shape (d,)
        The start of the upper variable that all blocks share.
    x0 : array of shape (m, n) or (n,)
        The start of the lower variables; one row serves all blocks.
    variant : {"v1", "v2"}
        "v1" tracks the blocks' Hessians, for small n; "v2" tracks the solutions of their systems.
    block_batch : int
        Blocks that each iteration samples.
    batch_size : int, optional
        Samples of each block; None takes all.
    step_theta, step_x, step_v : float
        The steps of theta, of the lower variables and of the adjoints (that of the lower variables by
        default).
    alpha, gamma, beta : float
        The paper's a, gamma and b. "auto" is the theory's gamma, but at most 1.
    theta_estimator : {"auto", "saga", "storm"}
        "saga" keeps the last hypergradient of each block, m d numbers, and is the default up to 1e8 of them;
        "storm" is the published one.
    mu_min : float
        The least eigenvalue of a tracked Hessian. There is no success while a smaller one is replaced by it.
    v_radius : float, optional
        The largest norm of an adjoint; none by default.
    tol : float
        Converged when the norms of theta's direction and of the trackers together are at most this, and so
        is the hypergradient of all blocks on all samples, its estimated error included. It is computed when
        the first holds, and then after a tenth more iterations each.
    check : bool
        Compare the derivatives of a few blocks with differences, on all samples.
    rng : None, int or Generator
        Where the samples come from.
    executor : concurrent.futures.Executor, optional
        Evaluates the sampled blocks side by side. The result does not depend on it. Workers that share no
        memory are sent the oracle once; for processes its functions have to be importable.
    maxiter, callback, progress, time_limit
        Iterations (1000 by default); called after each with theta; a progress bar; seconds.

    Returns
    -------
    BlockResult

    Raises
    ------
    ValueError
        If `block_batch` is not in 1..m, a shape is wrong, an oracle that `variant` needs is missing, or one
        contradicts differences.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached, which is usual with samples. Too long steps end with DIVERGED.

    References
    ----------
    Q. Hu, Z. Qiu, Z. Guo, L. Zhang, T. Yang, "Blockwise stochastic variance-reduced methods with parallel
    speedup for multi-block bilevel optimization", ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import bilevel
    >>> oracle, solution = bilevel.problems.multiblock_quadratic(20, 5, 3, rng=0)
    >>> result = bilevel.bsvrb(
    ...     oracle, np.zeros(3), np.zeros(5), variant="v1", block_batch=10, step_theta=0.02, step_x=0.5, rng=0
    ... )
    >>> bool(result.success), bool(np.abs(result.theta - solution).max() < 1e-5)
    (True, True)
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    if not isinstance(oracle, BlockOracle):
        raise TypeError(f"oracle must be a BlockOracle, got {type(oracle).__name__}")
    checks.choice("variant", variant, ("v1", "v2"))
    needed = {"v1": "lower_hess", "v2": "lower_hvp"}[variant]
    if getattr(oracle, needed) is None:
        raise ValueError(f"variant {variant!r} needs {needed} of the oracle")
    m = oracle.n_blocks
    theta = np.array(checks.array("theta0", theta0, ndim=1, empty=False), dtype=np.float64)
    start = checks.array("x0", x0, ndim=(1, 2), empty=False)
    if start.ndim == 2 and start.shape[0] != m:
        raise ValueError(f"x0 must have {m} rows, one for each block, got shape {start.shape}")
    checks.choice("theta_estimator", theta_estimator, ("auto", "saga", "storm"))
    if theta_estimator == "auto":
        theta_estimator = "saga" if m * theta.size <= TABLE else "storm"
    check_executor(executor)
    size = checks.integer("block_batch", block_batch, low=1, high=m)
    a = checks.real("alpha", alpha, low=0.0, high=1.0, open_low=True)
    if isinstance(gamma, str) and gamma == "auto":
        gamma = min((m - size) / (size * max(1 - a, 1e-12)) + 1 - a, 1.0)
    step_x = checks.real("step_x", step_x, low=0.0, open_low=True)
    run = BlockRun(
        oracle,
        variant,
        theta,
        np.array(np.broadcast_to(start, (m, start.shape[-1])), dtype=np.float64),
        size,
        None if batch_size is None else checks.integer("batch_size", batch_size, low=1),
        (
            checks.real("step_theta", step_theta, low=0.0),
            step_x,
            step_x if step_v is None else checks.real("step_v", step_v, low=0.0, open_low=True),
        ),
        (
            a,
            checks.real("gamma", gamma, low=0.0),
            checks.real("beta", beta, low=0.0, high=1.0, open_low=True),
        ),
        theta_estimator,
        checks.real("mu_min", mu_min, low=0.0, open_low=True),
        math.inf if v_radius is None else checks.real("v_radius", v_radius, low=0.0, open_low=True),
        checks.generator(rng),
        executor,
    )
    checked, tol = checks.flag("check", check), checks.real("tol", tol, low=0.0)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite has a status
        _fitting(oracle, theta, run.y)
        if checked:
            check_blocks(oracle, theta, run.y)
        return _solve(run, limits, tol)


def _fitting(oracle: BlockOracle, theta: Array, y: Array) -> None:
    """Refuse starts of other lengths than the oracle's, whose own error does not say what it was given."""
    sample = None if oracle.n_lower is None else np.zeros((1, 1), dtype=int)
    cause, wanted = None, (1, y.shape[1])
    try:
        shape = np.shape(oracle.lower_grad(*own((theta, y[:1], np.arange(1), sample))))
        said = f"returns shape {shape} for one block"
    except (IndexError, TypeError, ValueError) as error:
        shape, said, cause = (), f"says: {error}", error
    if shape != wanted:
        raise ValueError(
            f"theta0 of shape {theta.shape} and x0 with {y.shape[1]} numbers for each block do not fit the "
            f"oracle, whose lower_grad {said}"
        ) from cause


def _solve(run: BlockRun, limits: Limits, tol: float) -> BlockResult:
    """The iteration, and its result."""
    oracle, m = run.oracle, run.oracle.n_blocks
    with Monitor(
        limits, atol=tol, maxiter=1000, label="BSVRB", keep="reference",
        columns=("cost",), present=lambda state: state[0], divergence=math.inf,
    ) as it:  # fmt: skip
        it.record(run.start(), (run.theta, run.y), converged=False, cost=run.nfev)
        judge_at, largest, sweep = 0, 0.0, -(-m // run.size) + 1
        for k in it:
            try:
                residual, done = run.advance(), False
                if residual <= it.threshold and run.visited.all() and k >= judge_at:
                    sure = run.judged()
                    done = sure <= it.threshold and not run.clamped
                    residual = sure if done else residual
                    judge_at = k + k // 10  # the next judgement, if this is not the end
            except Halt as halt:
                it.stop(halt.status, halt.detail)
                break
            if k <= sweep:  # all blocks have had their turn, more or less
                largest = max(largest, residual)
            elif residual > GROWN * largest > 0.0:
                it.stop(Status.DIVERGED, f"The residual has grown {GROWN:.0e} times: take shorter steps.")
                break
            it.record(residual, (run.theta, run.y), converged=done, cost=run.nfev + run.nhvp)
    if run.clamped and it.status is not Status.CONVERGED:
        least = run.evaluation.mu_min
        it.detail = f"{it.detail} A tracked Hessian has eigenvalues below mu_min = {least:.3g}.".strip()
    if it.status not in {Status.CONVERGED, Status.NONFINITE, Status.DIVERGED}:
        theta, y = run.theta, run.y  # the last iterate: no residual of a sample can name a better one
    else:
        theta, y = it.x
    everything = np.arange(m)
    return it.result(
        BlockResult,
        x=y,
        theta=theta,
        residual=float(it.history.residual[-1]),
        fun=float(np.mean(asked("upper", oracle.upper, (m,), theta, y, everything, None))),
        grad=run.z,
        nfev=run.nfev,
        nhvp=run.nhvp,
        cost=run.nfev + run.nhvp,
        estimator=run.estimator,
    )
