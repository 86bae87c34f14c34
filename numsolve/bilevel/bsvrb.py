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
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from numsolve._core import checks
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.parallel import map_tasks
from numsolve._core.result import Status

from .result import BlockResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from numsolve._core.typing import Array, ArrayLike, Callback, RandomState

#: Entries of SAGA's table up to which it is the default.
TABLE = 10**8


class BlockOracle:
    """Many lower problems, evaluated for several blocks at once.

    Every function is called as ``(theta, y, blocks, batch, ...)``: `y` of shape (k, n) holds the variables
    of the k blocks whose numbers are in `blocks`, and row j of `batch`, of shape (k, B), the samples of
    block j; None for all samples.

    Parameters
    ----------
    n_blocks : int
        How many blocks there are, m.
    upper : callable
        F_i of each block, shape (k,).
    upper_grad : callable
        dF_i/dy of shape (k, n), and dF_i/dtheta of shape (k, d) or None.
    lower_grad : callable
        df_i/dy, shape (k, n).
    lower_cross_vjp : callable
        ``(theta, y, blocks, batch, q)``, C_i'q of shape (k, d).
    lower_hvp : callable, optional
        ``(theta, y, blocks, batch, v)``, H_i v of shape (k, n): for "v2".
    lower_hess : callable, optional
        H_i, shape (k, n, n): for "v1".
    n_upper, n_lower : int, optional
        Samples of the upper and of the lower functions; without them there is nothing to sample but blocks.

    Raises
    ------
    TypeError
        If something is not callable.
    """

    def __init__(
        self,
        n_blocks: int,
        upper: Callable[..., Any],
        *,
        upper_grad: Callable[..., Any],
        lower_grad: Callable[..., Any],
        lower_cross_vjp: Callable[..., Any],
        lower_hvp: Callable[..., Any] | None = None,
        lower_hess: Callable[..., Any] | None = None,
        n_upper: int | None = None,
        n_lower: int | None = None,
    ) -> None:
        self.n_blocks = checks.integer("n_blocks", n_blocks, low=1)
        self.upper = checks.function("upper", upper)
        self.upper_grad = checks.function("upper_grad", upper_grad)
        self.lower_grad = checks.function("lower_grad", lower_grad)
        self.lower_cross_vjp = checks.function("lower_cross_vjp", lower_cross_vjp)
        self.lower_hvp = checks.function("lower_hvp", lower_hvp, optional=True)
        self.lower_hess = checks.function("lower_hess", lower_hess, optional=True)
        self.n_upper = None if n_upper is None else checks.integer("n_upper", n_upper, low=1)
        self.n_lower = None if n_lower is None else checks.integer("n_lower", n_lower, low=1)


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
        The least eigenvalue of a tracked Hessian.
    v_radius : float, optional
        The largest norm of an adjoint; none by default.
    tol : float
        Converged when the norms of theta's direction and of the trackers together are at most this.
    rng : None, int or Generator
        Where the samples come from.
    executor : concurrent.futures.Executor, optional
        Evaluates the sampled blocks side by side. The result does not depend on it.
    maxiter, callback, progress, time_limit
        Iterations (1000 by default); called after each with theta; a progress bar; seconds.

    Returns
    -------
    BlockResult

    Raises
    ------
    ValueError
        If `block_batch` is not in 1..m, a shape is wrong, or an oracle that `variant` needs is missing.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached, which is usual with samples.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import bilevel
    >>> oracle, solution = bilevel.problems.multiblock_quadratic(20, 5, 3, rng=0)
    >>> result = bilevel.bsvrb(
    ...     oracle, np.zeros(3), np.zeros(5), variant="v1", block_batch=5, step_theta=0.05, step_x=0.5, rng=0
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
    size = checks.integer("block_batch", block_batch, low=1, high=m)
    a = checks.real("alpha", alpha, low=0.0, high=1.0, open_low=True)
    if gamma == "auto":
        gamma = min((m - size) / (size * max(1 - a, 1e-12)) + 1 - a, 1.0)
    step_x = checks.real("step_x", step_x, low=0.0, open_low=True)
    run = _Run(
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
    with Monitor(
        limits, atol=checks.real("tol", tol, low=0.0), maxiter=1000, label="BSVRB", keep="reference",
        columns=("cost",), present=lambda state: state[0],
    ) as it:  # fmt: skip
        it.record(run.start(), (run.theta, run.y), converged=False, cost=run.nfev)
        for _ in it:
            residual, known = run.advance(), run.visited.all()
            it.record(
                residual, (run.theta, run.y), converged=None if known else False, cost=run.nfev + run.nhvp
            )
    if it.status is not Status.CONVERGED and it.status is not Status.NONFINITE:
        theta, y = run.theta, run.y  # the last iterate: no residual of a sample can name a better one
    else:
        theta, y = it.x
    everything = np.arange(m)
    return it.result(
        BlockResult,
        x=y,
        theta=theta,
        residual=float(it.history.residual[-1]),
        fun=float(np.mean(oracle.upper(theta, y, everything, None))),
        grad=run.z,
        nfev=run.nfev,
        nhvp=run.nhvp,
        cost=run.nfev + run.nhvp,
        estimator=theta_estimator,
    )


class _Run:
    """The state of the iteration."""

    def __init__(
        self, oracle: BlockOracle, variant: str, theta: Array, y: Array, size: int, batch: int | None,
        steps: tuple[float, float, float], weights: tuple[float, float, float], estimator: str, mu_min: float,
        radius: float, rng: np.random.Generator, executor: Executor | None,
    ) -> None:  # fmt: skip
        self.oracle, self.variant, self.size, self.batch = oracle, variant, size, batch
        self.steps, self.weights, self.estimator = steps, weights, estimator
        self.mu_min, self.radius, self.rng, self.executor = mu_min, radius, rng, executor
        m, n = y.shape
        self.theta, self.y = theta, y
        self.before = theta, y.copy()
        self.s, self.v, self.u = np.zeros((m, n)), np.zeros((m, n)), np.zeros((m, n))
        self.v_before = self.v.copy()
        self.H = np.zeros((m, n, n)) if variant == "v1" else np.zeros((0, 0, 0))
        self.visited = np.zeros(m, dtype=bool)
        self.z = np.zeros(theta.size)
        self.table = np.zeros((m, theta.size)) if estimator == "saga" else np.zeros((0, 0))
        self.mean = np.zeros(theta.size)
        self.changed = np.zeros(0, dtype=int)
        self.nfev = self.nhvp = 0
        self.first = True

    def start(self) -> float:
        """The lower gradients of all blocks at the start, their root mean square."""
        everything = np.arange(self.oracle.n_blocks)
        g = self.oracle.lower_grad(self.theta, self.y, everything, None)
        if np.shape(g) != self.y.shape:
            raise ValueError(f"lower_grad must return shape {self.y.shape}, got {np.shape(g)}")
        self.nfev += self.oracle.n_blocks
        return math.sqrt(float(np.mean(np.sum(g**2, axis=1))))

    def advance(self) -> float:
        """One iteration; returns the norm of what is tracked."""
        m = self.oracle.n_blocks
        blocks = np.sort(self.rng.choice(m, self.size, replace=False))
        lower, upper = (self._samples(n, blocks.size) for n in (self.oracle.n_lower, self.oracle.n_upper))
        parts = self._parts(blocks, lower, upper)
        now, old = (_joined([part[i] for part in parts]) for i in (0, 1))
        self.nfev += (2 if old is not None else 1) * blocks.size
        self.nhvp += (2 if old is not None else 1) * blocks.size
        y_new, v_new = self._track(blocks, now, old)
        self._move(blocks, now, old)
        self.before[1][self.changed] = self.y[self.changed]  # catches up with the iteration before
        self.v_before[self.changed] = self.v[self.changed]
        self.before[1][blocks], self.v_before[blocks] = self.y[blocks], self.v[blocks]
        self.y = self.y.copy()
        self.y[blocks], self.v[blocks] = y_new, v_new
        self.changed = blocks
        self.before = self.theta, self.before[1]
        self.theta = self.theta - self.steps[0] * self.z
        self.visited[blocks] = True
        self.first = False
        rest = math.sqrt(float(np.mean(np.sum(self.s**2 + self.u**2, axis=1))))
        return float(np.linalg.norm(self.z)) + rest

    def _samples(self, n: int | None, k: int) -> Array | None:
        if n is None or self.batch is None or self.batch >= n:
            return None
        return self.rng.integers(0, n, (k, self.batch))

    def _parts(self, blocks: Array, lower: Array | None, upper: Array | None) -> list[Any]:
        """What the oracles say at both points: (gradient, Hessian or residual of the system, G)."""
        if self.executor is None:
            return [self._evaluate(np.arange(blocks.size), blocks, lower, upper)]
        workers = getattr(self.executor, "_max_workers", None) or 2
        pieces = [p for p in np.array_split(np.arange(blocks.size), workers) if p.size]
        return map_tasks(
            lambda piece: self._evaluate(piece, blocks, lower, upper), pieces, executor=self.executor
        )

    def _evaluate(self, piece: Array, blocks: Array, lower: Array | None, upper: Array | None) -> Any:
        chosen = blocks[piece]
        low = None if lower is None else lower[piece]
        up = None if upper is None else upper[piece]
        now = self._at(chosen, low, up, self.theta, self.y, self.v)
        if self.first:
            return now, None
        return now, self._at(chosen, low, up, self.before[0], self.before[1], self.v_before)

    def _at(
        self, chosen: Array, low: Array | None, up: Array | None, theta: Array, y: Array, v: Array
    ) -> tuple[Array, Array, Array]:
        oracle, y_i, v_i = self.oracle, y[chosen], v[chosen]
        g = oracle.lower_grad(theta, y_i, chosen, low)
        in_y, in_theta = oracle.upper_grad(theta, y_i, chosen, up)
        if self.variant == "v1":
            second = oracle.lower_hess(theta, y_i, chosen, low)
            v_i = self._solve(second if not self.visited[chosen].all() else self.H[chosen], in_y)  # (2)
        else:
            second = oracle.lower_hvp(theta, y_i, chosen, low, v_i) - in_y
        G = -oracle.lower_cross_vjp(theta, y_i, chosen, low, v_i)
        return g, second, G if in_theta is None else G + in_theta

    def _solve(self, H: Array, b: Array) -> Array:
        values, vectors = np.linalg.eigh(0.5 * (H + np.swapaxes(H, 1, 2)))
        inside = np.einsum("kji,kj->ki", vectors, b) / np.maximum(values, self.mu_min)
        return np.asarray(np.einsum("kij,kj->ki", vectors, inside))

    def _track(self, blocks: Array, now: Any, old: Any) -> tuple[Array, Array]:
        """(1) and its likes; returns the new y and v of the blocks."""
        a, gamma, _ = self.weights
        fresh = ~self.visited[blocks]

        def tracked(x: Array, new: Array, before: Array) -> Array:
            out = (1 - a) * x[blocks] + a * new + gamma * (new - before)
            out[fresh] = new[fresh]  # the first visit has nothing to average
            return np.asarray(out)

        before = now if old is None else old
        self.s[blocks] = tracked(self.s, now[0], before[0])
        y_new = self.y[blocks] - self.steps[1] * self.s[blocks]
        if self.variant == "v1":
            self.H[blocks] = tracked(self.H, now[1], before[1])
            return y_new, self.v[blocks]
        self.u[blocks] = tracked(self.u, now[1], before[1])
        v_new = self.v[blocks] - self.steps[2] * self.u[blocks]  # (3)
        if math.isfinite(self.radius):
            size = np.linalg.norm(v_new, axis=1, keepdims=True)
            v_new = v_new * np.minimum(1.0, self.radius / np.maximum(size, 1e-300))
        return y_new, v_new

    def _move(self, blocks: Array, now: Any, old: Any) -> None:
        """Set theta's direction."""
        b = self.weights[2]
        G = now[2]
        if self.estimator == "saga":
            change = G - self.table[blocks]
            self.z = change.mean(axis=0) + self.mean  # (5)
            self.mean = self.mean + change.sum(axis=0) / self.oracle.n_blocks
            self.table[blocks] = G
        elif old is None:
            self.z = G.mean(axis=0)
        else:
            self.z = (1 - b) * (self.z - old[2].mean(axis=0)) + G.mean(axis=0)  # (4)


def _joined(parts: list[Any]) -> Any:
    if parts[0] is None:
        return None
    return tuple(np.concatenate([part[i] for part in parts]) for i in range(3))
