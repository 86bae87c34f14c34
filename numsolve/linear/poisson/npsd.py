r"""A linear network, conditioned on walls and open cells, that predicts search directions.

K. M. Lan, E. Gueidon, A. Kaneda, J. Panetta, J. Teran, "A neural-preconditioned Poisson solver for mixed
Dirichlet and Neumann boundary conditions", ICML 2024. The three images m of the cells (open, unknown, wall)
give every cell its own kernel, by one convolution, and its own factors:

    (B x)_i = sum_s K_si x_(i+s),  K a convolution of m with a bias, s over 3^d places     (1)
    down:    x_l <- B_l x_l;  x_(l+1) and m_(l+1) = means over blocks of 2^d cells         (2)
    up:      u = B'_l of x_(l+1), interpolated;  x_l <- c_l x_l + c'_l u                   (3)

from the residual x_0 on all levels down and back; c and c' are convolutions of m. Nothing else acts on the
residual, so that the prediction is linear in it; it is not symmetric. `train_npsd` minimises the published
loss, the mean of || r - A f(r) || over the samples of `ritz_training_vectors` for several grids.

For one grid the kernels are computed once; a prediction then costs a product with 3^d numbers a cell on each
level, down and up, in plain array code.
"""

from __future__ import annotations

import math
from itertools import product as places
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers

from ._given import OPEN, UNKNOWN, WALL
from ._weights import Network, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.history import History
    from numsolve._core.typing import Array, Namespace, RandomState

    from .grid import GridPoisson

#: The images of the cells.
IMAGES = (OPEN, UNKNOWN, WALL)


class NPSDNet(Network):
    """A network that predicts search directions from a residual and the kinds of the cells.

    Parameters
    ----------
    ndim : int
        Axes of the grid, 2 or 3.
    n_levels : int
        How often the grid is halved; 4 is the published network with 20 582 numbers in three dimensions, 5
        that with 25 174.
    rng : None, int or Generator
        Randomness of the first weights.

    Attributes
    ----------
    blocks : array of shape (2 * n_levels + 1, 3**ndim, 3 * 3**ndim + 1)
        Of (1), for each place of the kernel: weights of the images at the places around, and the bias. Those
        of the way down, the lowest, and those of the way up from the lowest.
    factors : array of shape (n_levels, 2, 3 * 3**ndim + 1)
        Of c and c' in (3), from the finest level.
    history : History or None
        The losses of the training that made it.

    See Also
    --------
    numsolve.linear.train_npsd : Trains one.
    numsolve.linear.dcdm : Takes it for a predictor, by `predictor`.

    References
    ----------
    K. M. Lan, E. Gueidon, A. Kaneda, J. Panetta, J. Teran, "A neural-preconditioned Poisson solver for mixed
    Dirichlet and Neumann boundary conditions", ICML 2024.

    Examples
    --------
    >>> from numsolve import linear
    >>> linear.NPSDNet(3).size, linear.NPSDNet(3, n_levels=5).size
    (20582, 25174)
    """

    kind: ClassVar[str] = "npsd"

    @answers()
    def __init__(self, ndim: int = 2, *, n_levels: int = 4, rng: RandomState = None) -> None:
        self.ndim = checks.integer("ndim", ndim, low=2, high=3)
        self.n_levels = checks.integer("n_levels", n_levels, low=0, high=12)
        rng = checks.generator(rng)
        n, taps = self.n_levels, 3**self.ndim
        inputs = len(IMAGES) * taps + 1
        # Weak smoothing on each level: kernels near a multiple of the identity.
        self.blocks = (0.02 * rng.standard_normal((2 * n + 1, taps, inputs))).astype(np.float32)
        self.blocks[:, taps // 2, -1] += 0.5
        self.factors = (0.02 * rng.standard_normal((n, 2, inputs))).astype(np.float32)
        self.factors[:, :, -1] += 0.5
        self.history: History | None = None

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return int(self.blocks.size + self.factors.size)

    def __repr__(self) -> str:
        return f"NPSDNet({self.ndim}, n_levels={self.n_levels}): {self.size} numbers"

    def predictor(self, problem: GridPoisson) -> Callable[[Array], Array]:
        """Make the predictor that `numsolve.linear.dcdm` takes; the kernels of all levels are computed now.

        Parameters
        ----------
        problem : GridPoisson
            The matrix of the system.

        Returns
        -------
        callable
            From vectors of the unknowns to such vectors.
        """
        self.check(problem)
        apply = self.on(problem.flags)
        return lambda r: problem.pack(apply(problem.unpack(np.asarray(r))))

    def on(self, flags: Array) -> Callable[[Array], Array]:
        """Compute the kernels for a grid.

        Parameters
        ----------
        flags : array of int
            0 for unknown, 1 for wall, 2 for open, of NumPy or another library, JAX's included.

        Returns
        -------
        callable
            From residuals on the grid, 0 where there is no unknown, to predictions on it.
        """
        xp = arrays.array_namespace(flags=flags)
        shape = tuple(int(n) for n in flags.shape)
        if len(shape) != self.ndim or min(shape) < 1:
            raise ValueError(f"flags must have {self.ndim} axes, got shape {shape}")
        where = {"device": arrays.device(flags)} if arrays.namespace_name(xp) != "jax" else {}
        blocks, factors = (xp.asarray(w, **where) for w in (self.blocks, self.factors))
        room = room_for(shape, self.n_levels)
        near = surroundings(xp, images(xp, flags, room), self.n_levels)
        kernels = kernels_of(xp, blocks, factors, near)

        def apply(r: Array) -> Array:
            wide = _widened(xp, xp.astype(r, xp.float32), shape, room)
            out: Array = forward(xp, kernels, wide)
            return out[tuple(slice(0, n) for n in shape)]

        return apply

    def with_params(self, params: tuple[Array, Array]) -> NPSDNet:
        """Return the same network with other numbers.

        Parameters
        ----------
        params : pair of arrays
            `blocks` and `factors`, of any library.

        Returns
        -------
        NPSDNet
        """
        out = NPSDNet(**self.settings(), rng=0)
        for own, given in zip(out.numbers(), params, strict=True):
            own[...] = checks.array("params", arrays.to_host(given), shape=own.shape)
        return out

    def settings(self) -> dict[str, int]:
        """What the network is made with.

        Returns
        -------
        dict
        """
        return settings_of(self, ("ndim", "n_levels"))

    def numbers(self) -> list[Array]:
        """All its numbers, array by array.

        Returns
        -------
        list of array
        """
        return [self.blocks, self.factors]


# -- the network, for any array library, JAX included ----------------------------------------------


def room_for(shape: tuple[int, ...], n_levels: int) -> tuple[int, ...]:
    """The shape that can be halved so often."""
    step = 2**n_levels
    return tuple(math.ceil(n / step) * step for n in shape)


def images(xp: Namespace, flags: Array, room: tuple[int, ...]) -> list[Any]:
    """The images of the cells, padded with walls."""
    shape = tuple(flags.shape)
    parts = []
    for kind in IMAGES:
        one = xp.astype(flags == kind, xp.float32)
        if kind == WALL:
            parts.append(1.0 - _widened(xp, 1.0 - one, shape, room))
        else:
            parts.append(_widened(xp, one, shape, room))
    return parts


def surroundings(xp: Namespace, m: Any, n_levels: int) -> list[Any]:
    """What the kernels of each level are combined from: the images of the places around, and a one."""
    out = []
    for level in range(n_levels + 1):
        near = [shifted for image in m for shifted in shifts(xp, image)]
        out.append(xp.stack([*near, xp.ones_like(m[0])]))
        if level < n_levels:
            m = [halved(xp, image) for image in m]
    return out


def kernels_of(xp: Namespace, blocks: Any, factors: Any, near: list[Any]) -> Any:
    """The kernels of each level, down and up, and its two factors; of the lowest, kernels alone."""
    n, levels = len(near) - 1, []
    for level in range(n):
        weights = blocks[level, ...], blocks[2 * n - level, ...], factors[level, ...]
        levels.append(tuple(_mixed(xp, w, near[level]) for w in weights))
    return [*levels, (_mixed(xp, blocks[n, ...], near[n]),)]


def forward(xp: Namespace, levels: Any, x: Any) -> Any:
    """Apply the network to a residual of the shape of the finest kernels."""
    convolved = _convolved_in_jax if arrays.namespace_name(xp) == "jax" else _convolved
    kept = []
    for level in levels[:-1]:
        x = convolved(xp, level[0], x)  # (1)
        kept.append(x)
        x = halved(xp, x)  # (2)
    x = convolved(xp, levels[-1][0], x)
    for level, own in zip(reversed(levels[:-1]), reversed(kept), strict=True):
        u = convolved(xp, level[1], interpolated(xp, x))
        x = level[2][0, ...] * own + level[2][1, ...] * u  # (3)
    return x


def _mixed(xp: Namespace, weights: Any, near: Any) -> Any:
    """Linear combinations of images."""
    flat = xp.reshape(near, (near.shape[0], -1))
    return xp.reshape(weights @ flat, (weights.shape[0], *near.shape[1:]))


def _convolved(xp: Namespace, kernels: Any, x: Any) -> Any:
    """Kernels that differ from cell to cell (1)."""
    out = None
    for k, shifted in enumerate(shifts(xp, x)):
        term = kernels[k, ...] * shifted
        out = term if out is None else out + term
    return out


def _convolved_in_jax(_: Namespace, kernels: Any, x: Any) -> Any:
    """The same (1), in one operation: nine of them in each block take JAX minutes to compile."""
    from jax import lax

    d, taps = x.ndim, 3**x.ndim
    each_place: Any = np.eye(taps, dtype=np.float32).reshape(taps, 1, *(3,) * d)
    copies = lax.conv_general_dilated(x[None, None], each_place, (1,) * d, "SAME")[0]
    return (kernels * copies).sum(0)


def shifts(xp: Namespace, x: Any) -> list[Any]:
    """The copies of an image, shifted by each place of a kernel, zeros coming in."""
    for axis in range(x.ndim):
        edge = xp.zeros_like(x[(slice(None),) * axis + (slice(0, 1), ...)])
        x = xp.concat([edge, x, edge], axis=axis)
    shape = tuple(n - 2 for n in x.shape)
    return [
        x[tuple(slice(s, s + n) for s, n in zip(at, shape, strict=True))]
        for at in places(range(3), repeat=len(shape))
    ]


def halved(xp: Namespace, x: Any) -> Any:
    """Means over blocks of two cells a side."""
    for axis in range(x.ndim):
        before, after = tuple(x.shape[:axis]), tuple(x.shape[axis + 1 :])
        x = xp.mean(xp.reshape(x, (*before, x.shape[axis] // 2, 2, *after)), axis=axis + 1)
    return x


def interpolated(xp: Namespace, x: Any) -> Any:
    """Twice as many cells along each axis, by linear interpolation between centres."""
    for axis in range(x.ndim):
        at = (slice(None),) * axis
        before = xp.concat([x[(*at, slice(0, 1), ...)], x[(*at, slice(0, -1), ...)]], axis=axis)
        after = xp.concat([x[(*at, slice(1, None), ...)], x[(*at, slice(-1, None), ...)]], axis=axis)
        pair = xp.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=axis + 1)
        x = xp.reshape(pair, (*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :]))
    return x


def _widened(xp: Namespace, x: Any, shape: tuple[int, ...], room: tuple[int, ...]) -> Any:
    """Zeros behind the end of each axis."""
    for axis, (n, wanted) in enumerate(zip(shape, room, strict=True)):
        if wanted > n:
            behind = (*x.shape[:axis], wanted - n, *x.shape[axis + 1 :])
            x = xp.concat([x, _zeros(xp, x, behind)], axis=axis)
    return x


def _zeros(xp: Namespace, like: Any, shape: tuple[int, ...]) -> Any:
    """Zeros beside an array: of its library and device, traced ones of JAX included."""
    one = xp.zeros_like(xp.reshape(like, (-1,))[:1])
    return xp.broadcast_to(one, shape)
