r"""Training of the coarse weights of `poisson_multigrid`, on the compiled cycle itself.

Each coarse level k = 1, 2 and all further ones has three numbers. With c the weight of an edge by the rule of
resistors, c_0 the one in open space, and g the weight towards an open cell,

    c <- exp(a_k) c (c / c_0)^b_k,   g <- exp(e_k) g;                       (1)

zeros are the rule. The cycle costs nothing more, and stays symmetric positive definite whatever they are. The
loss is the mean rate of a few steps of preconditioned conjugate gradients from white noise,

    log10(||r_K|| / ||r_0||) / K,                                          (2)

over random grids. So few numbers need no gradients: the simplex method of Nelder and Mead runs on the kernels
that solve, in their own precision.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from .grid import GridPoisson
from .multigrid import MOST_LEARNED, MOST_SWEEPS, PoissonMultigrid
from .problems import random_obstacles

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Callback, RandomState

#: Grids that are made where none are given, and their size in two and in three dimensions.
N_GRIDS, SIZES = 6, {2: 96, 3: 24}
#: Levels with numbers of their own.
LEVELS = 3
#: The size of the first simplex.
FIRST = 0.15


class _Over(Exception):  # noqa: N818  # not an error
    """The training has ended."""


@answers()
def train_multigrid(
    ndim: int = 2,
    *,
    grids: Sequence[ArrayLike] | None = None,
    unroll: int = 8,
    n_smooth: int = 1,
    rng: RandomState = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = 300.0,
) -> dict[str, Any]:
    """Train the coarse weights of the multigrid cycle.

    Parameters
    ----------
    ndim : int
        Axes of the grids, 2 or 3.
    grids : sequence of arrays of int, optional
        Flags, of any shapes; by default 6 of `problems.random_obstacles`, 96 cells a side, or 24 in three
        dimensions.
    unroll : int
        Steps of conjugate gradients in the loss.
    n_smooth : int
        Sweeps, as in `poisson_multigrid`.
    rng : None, int or Generator
        Randomness of grids and right-hand sides.
    maxiter, callback, progress, time_limit
        The run settings, as in `numsolve.linear.sor`; iterations are evaluations of the loss, 200 by default.
        The residual is ten to the power of the loss: what one step leaves.

    Returns
    -------
    dict
        ``ndim``, ``numbers`` of shape (3, 3), which `poisson_multigrid` takes as ``weights``, and the
        ``rates``: what one step leaves with the rule, and with these numbers.

    See Also
    --------
    numsolve.linear.poisson_multigrid : Takes the weights.

    Examples
    --------
    >>> from numsolve import linear
    >>> grids = [linear.problems.random_obstacles((32, 32), 3, rng=0)]
    >>> weights = linear.train_multigrid(2, grids=grids, maxiter=30, rng=0)
    >>> weights["rates"][1] <= weights["rates"][0]
    True
    >>> M = linear.poisson_multigrid(grids[0], weights=weights)
    """
    from scipy.optimize import minimize

    limits = Limits(maxiter, time_limit, callback, progress)
    ndim = checks.integer("ndim", ndim, low=2, high=3)
    unroll = checks.integer("unroll", unroll, low=1)
    n_smooth = checks.integer("n_smooth", n_smooth, low=1, high=MOST_SWEEPS)
    rng = checks.generator(rng)
    if grids is None:
        grids = [random_obstacles((SIZES[ndim],) * ndim, rng=rng) for _ in range(N_GRIDS)]
    if not isinstance(grids, Iterable):
        raise TypeError(f"grids must be an iterable of flags, got {type(grids).__name__}")
    problems = [GridPoisson(flags) for flags in grids]
    if not problems or any(p.ndim_grid != ndim or p.n == 0 for p in problems):
        raise ValueError(
            f"grids must be flags of {ndim} axes with unknowns, got {[p.grid_shape for p in problems]}"
        )
    if any(p.is_singular for p in problems):
        raise ValueError("grids must have an open cell at each component of unknowns")
    sides = [rng.standard_normal(p.n) for p in problems]

    def rate(x: Array) -> float:
        if np.abs(x).max() > MOST_LEARNED:
            return np.inf
        numbers = x.reshape(LEVELS, 3)
        return float(
            np.mean([_rate(p, b, numbers, unroll, n_smooth) for p, b in zip(problems, sides, strict=True)])
        )

    start = np.zeros(3 * LEVELS)
    with Monitor(limits, maxiter=200, label="multigrid weights") as it:
        rule = rate(start)
        it.record(10.0**rule, start)
        steps = iter(it)

        def watched(x: Array) -> float:
            if next(steps, None) is None:
                raise _Over
            value = rate(x)
            it.record(10.0**value if value < np.inf else 1.0, x)
            return value

        simplex = np.vstack([start, FIRST * np.eye(start.size)])
        try:
            minimize(
                watched, start, method="Nelder-Mead", options={"initial_simplex": simplex, "maxfev": 10**9}
            )
            it.stop(Status.CONVERGED)
        except _Over:
            pass
    it.finish()
    rates = 10.0**rule, float(it.history.residual.min())
    return {"ndim": ndim, "numbers": np.array(it.x).reshape(LEVELS, 3), "rates": rates}


def _rate(problem: GridPoisson, b: Array, numbers: Array, unroll: int, n_smooth: int) -> float:
    """The loss on one grid (2)."""
    from ._cpu_cg import cg

    M = PoissonMultigrid(problem, n_smooth=n_smooth, dtype="float32", coarse_size=100, learned=numbers)
    vectors, norms = np.zeros((4, problem.size)), np.empty(unroll)
    vectors[1] = problem.spread(b)
    M.hierarchy.f[: problem.size] = vectors[1]
    done, _ = cg(
        M.hierarchy, n_smooth, problem.row, *problem.arguments(), vectors, np.zeros(1), 0.0, norms
    )  # fmt: skip
    if done < unroll:
        return np.inf
    return float(np.log10(norms[-1] / np.linalg.norm(b)) / unroll)
