r"""Training of `NPSDNet`, which is told where walls and open cells are, on several grids.

K. M. Lan, E. Gueidon, A. Kaneda, J. Panetta, J. Teran, "A neural-preconditioned Poisson solver for mixed
Dirichlet and Neumann boundary conditions", ICML 2024. The loss of a network f is

    || r - A f(r) ||,                                                      (1)

not squared, in the mean over samples r of `ritz_training_vectors` of each grid's matrix A. The paper trains
on about a hundred grids, with 800 samples of 1600 Ritz vectors each and batches of 128.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import checks
from numsolve._core.extras import require
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits

from ._fit import fit
from ._given import UNKNOWN
from .grid import GridPoisson
from .npsd import NPSDNet, forward, images, kernels_of, room_for, surroundings
from .problems import random_obstacles
from .training import operator_arrays, product_in_jax, ritz_training_vectors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numsolve._core.typing import Array, ArrayLike, Callback, RandomState

    #: Residuals, images of the cells around, and the operator, of one grid.
    Sample = tuple[Array, list[Array], tuple[Array, list[Array]]]

#: Grids that are made where none are given, and their size in two and in three dimensions.
N_GRIDS, SIZES = 8, {2: 64, 3: 24}


@answers()
def train_npsd(
    ndim: int = 2,
    *,
    grids: Sequence[ArrayLike] | None = None,
    n_ritz: int = 600,
    n_samples: int = 200,
    low_fraction: float = 0.6,
    low_boost: float = 9.0,
    n_levels: int = 4,
    net: NPSDNet | None = None,
    batch: int = 16,
    lr: float = 3e-3,
    rng: RandomState = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = 600.0,
) -> NPSDNet:
    """Train a linear network that is told where the obstacles are, for `dcdm`.

    Parameters
    ----------
    ndim : int
        Axes of the grids, 2 or 3.
    grids : sequence of arrays of int, optional
        Flags, all of one shape; by default 8 of `problems.random_obstacles`, 64 cells a side, or 24 in three
        dimensions.
    n_ritz, n_samples, low_fraction, low_boost
        As in `ritz_training_vectors`, for each grid; one batch of the first grid is held out.
    n_levels : int
        Levels of the network, where `net` is not given.
    net : NPSDNet, optional
        The network to start from; it is not modified.
    batch : int
        Samples a step, all of one grid.
    lr : float
        The first step size of Adam, which falls linearly to a hundredth.
    rng : None, int or Generator
        Randomness of grids, weights, samples and batches.
    maxiter, callback, progress, time_limit
        The run settings, as in `train_dcdm`.

    Returns
    -------
    NPSDNet
        With the weights that were best on what is held out, and the losses in its `history`.

    See Also
    --------
    numsolve.linear.train_dcdm : The network that is not told, of the first paper.

    References
    ----------
    K. M. Lan, E. Gueidon, A. Kaneda, J. Panetta, J. Teran, "A neural-preconditioned Poisson solver for mixed
    Dirichlet and Neumann boundary conditions", ICML 2024.

    Examples
    --------
    >>> from numsolve import linear
    >>> grids = [linear.problems.random_obstacles((16, 16), 2, rng=k) for k in range(2)]
    >>> net = linear.train_npsd(
    ...     grids=grids, n_ritz=60, n_samples=40, n_levels=2, maxiter=30, rng=0
    ... )
    >>> bool(net.history.residual[-1] < net.history.residual[0])
    True
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    ndim = checks.integer("ndim", ndim, low=2, high=3)
    n_samples = checks.integer("n_samples", n_samples, low=2)
    batch = min(checks.integer("batch", batch, low=1), n_samples // 2)
    lr, rng = checks.real("lr", lr, low=0.0, open_low=True), checks.generator(rng)
    if grids is None:
        grids = [random_obstacles((SIZES[ndim],) * ndim, 1 + k, rng=rng) for k in range(N_GRIDS)]
    if not isinstance(grids, Iterable):
        raise TypeError(f"grids must be an iterable of flags, got {type(grids).__name__}")
    problems = [GridPoisson(flags) for flags in grids]
    if not problems or len({p.grid_shape for p in problems}) > 1:
        raise ValueError(f"grids must be flags of one shape, got {[p.grid_shape for p in problems]}")
    net = NPSDNet(problems[0].ndim_grid, n_levels=n_levels, rng=rng) if net is None else net
    if not isinstance(net, NPSDNet):
        raise TypeError(f"net must be an NPSDNet, got {type(net).__name__}")
    net.check(problems[0])
    jax = require("jax", "train_npsd")
    levels, room = net.n_levels, room_for(problems[0].grid_shape, net.n_levels)
    samples: list[Sample] = []
    for problem in problems:
        grid = np.zeros((n_samples, *room), np.float32)
        inside = (slice(None), *(slice(0, n) for n in problem.grid_shape))
        grid[inside][:, problem.flags == UNKNOWN] = ritz_training_vectors(
            problem, n_ritz, n_samples, low_fraction=low_fraction, low_boost=low_boost, rng=rng
        )
        near = surroundings(np, images(np, problem.flags, room), levels)
        samples.append((grid, near, operator_arrays(_in(problem, room))))

    def loss(params: Any, sample: Any) -> Any:
        r, near, operator = sample
        blocks, factors = params
        kernels = kernels_of(jax.numpy, blocks, factors, near)
        left = r - product_in_jax(operator, jax.vmap(lambda one: forward(jax.numpy, kernels, one))(r))
        return jax.numpy.sqrt((left**2).sum(tuple(range(1, left.ndim)))).mean()  # (1)

    first, *rest = samples[0]
    params, history = fit(
        (net.blocks, net.factors), loss, _batches(samples, batch, rng), (first[:batch], *rest), limits,
        lr=lr, maxiter=3000, label="NPSD network",
    )  # fmt: skip
    out = net.with_params(params)
    out.history = history
    return out


def _in(problem: GridPoisson, room: tuple[int, ...]) -> GridPoisson:
    """The same grid with walls behind its ends."""
    flags = np.ones(room, np.int8)
    flags[tuple(slice(0, n) for n in problem.grid_shape)] = problem.flags
    return GridPoisson(flags)


def _batches(samples: list[Sample], batch: int, rng: np.random.Generator) -> Iterator[Sample]:
    """Random batches of one grid after the other; the first ones of the first grid are held out."""
    while True:
        for k in rng.permutation(len(samples)):
            r, *rest = samples[k]
            chosen = rng.choice(np.arange(batch if k == 0 else 0, len(r)), batch, replace=False)
            yield (r[chosen], *rest)
