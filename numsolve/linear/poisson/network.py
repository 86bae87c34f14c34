r"""The convolutional network that predicts search directions for `numsolve.linear.dcdm`.

A. Kaneda, O. Akar, J. Chen, V. Kala, D. Hyde, J. Teran, "A deep conjugate direction method for iteratively
solving linear systems", ICML 2023. All convolutions have 3 cells a side, zeros outside, and a bias; with R a
convolution followed by max(0, .),

    a = R(C r), C the only one that is linear;  a <- R(R(a)) + a;  l = R(a)      (1)
    c = the means of l over blocks of 2 cells a side;  c <- R(R(c)) + c          (2)
    e = each entry of c for its whole block + l;  e <- R(R(e)) + e               (3)
    the answer is one linear combination of the channels of e                    (4)

with `n_top`, `n_low` and `n_up` residual blocks in the three stages. The published networks have 16 channels
in three dimensions: 1, 3 and 2 blocks for 64 cells a side (97 457 numbers), 2, 5 and 3 for 128 (152 881).

On NumPy's arrays, and on those of any other library but JAX, a convolution is one matrix product of the
kernels with the shifted copies of all channels. JAX has convolutions of its own.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers

from ._weights import Network, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.history import History
    from numsolve._core.typing import Array, ArrayLike, Namespace, RandomState

    from .grid import GridPoisson

#: Cells a side of a convolution.
WIDTH = 3


class DCDMNet(Network):
    """A network that predicts search directions on a grid.

    Parameters
    ----------
    ndim : int
        Axes of the grid, 2 or 3.
    channels : int
        Channels of all layers but the first and the last.
    n_top, n_low, n_up : int
        Residual blocks before the grid is halved, on the halved grid, and after it; 1, 3 and 2 are the
        published network for 64 cells a side, 2, 5 and 3 that for 128.
    rng : None, int or Generator
        Randomness of the first weights.

    Attributes
    ----------
    kernels, biases : list of array
        Of each layer: kernels of shape ``(3, ..., 3, channels in, channels out)``, the last one
        ``(channels, 1)``.
    history : History or None
        The losses of the training that made it.

    See Also
    --------
    numsolve.linear.train_dcdm : Trains one.
    numsolve.linear.dcdm : Takes it for a predictor, by `predictor`.

    References
    ----------
    A. Kaneda, O. Akar, J. Chen, V. Kala, D. Hyde, J. Teran, "A deep conjugate direction method for
    iteratively solving linear systems", ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> net = linear.DCDMNet(3)
    >>> net.size, net(np.ones((8, 8, 8))).shape
    (97457, (8, 8, 8))
    """

    kind: ClassVar[str] = "dcdm"

    @answers()
    def __init__(
        self,
        ndim: int = 2,
        *,
        channels: int = 16,
        n_top: int = 1,
        n_low: int = 3,
        n_up: int = 2,
        rng: RandomState = None,
    ) -> None:
        self.ndim = checks.integer("ndim", ndim, low=2, high=3)
        self.channels = checks.integer("channels", channels, low=1)
        self.n_top = checks.integer("n_top", n_top, low=0)
        self.n_low = checks.integer("n_low", n_low, low=0)
        self.n_up = checks.integer("n_up", n_up, low=0)
        rng = checks.generator(rng)
        self.kernels: list[Array] = []
        self.biases: list[Array] = []
        self.history: History | None = None
        for shape in self._shapes():
            fan = math.prod(shape[:-1])
            self.kernels.append((rng.standard_normal(shape) * math.sqrt(2.0 / fan)).astype(np.float32))
            self.biases.append(np.zeros(shape[-1], np.float32))
        # The answer starts small beside the residual that the layers carry along.
        self.kernels[-1] /= math.sqrt(2.0)

    def _shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the kernels, in the order in which they act."""
        c, box = self.channels, (WIDTH,) * self.ndim
        inner = 2 * (1 + self.n_top + self.n_low + self.n_up)
        return [(*box, 1, c), *[(*box, c, c)] * inner, (c, 1)]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return sum(k.size + b.size for k, b in zip(self.kernels, self.biases, strict=True))

    def __repr__(self) -> str:
        blocks = f"n_top={self.n_top}, n_low={self.n_low}, n_up={self.n_up}"
        return f"DCDMNet({self.ndim}, channels={self.channels}, {blocks}): {self.size} numbers"

    # -- what it predicts --------------------------------------------------------------------------

    def __call__(self, grid: ArrayLike) -> Array:
        """Predict a direction.

        Parameters
        ----------
        grid : array with `ndim` axes
            A residual, 0 where there is no unknown, usually of norm 1: the network is not linear.

        Returns
        -------
        array of the shape of grid
            In single precision, of the library of grid.
        """
        xp = arrays.array_namespace(grid=grid)
        given = checks.array("grid", grid, xp=xp, check_finite=False)
        if given.ndim != self.ndim or min(given.shape) < 1:
            raise ValueError(f"grid must have {self.ndim} axes, got shape {tuple(given.shape)}")
        values: Array = xp.astype(given, xp.float32)
        if arrays.namespace_name(xp) == "jax":
            out: Array = in_jax(self.to_jax_params(), values[None], self._blocks())[0]
            return out
        return _in_arrays(xp, self, values)

    def predictor(self, problem: GridPoisson) -> Callable[[Array], Array]:
        """Make the predictor that `numsolve.linear.dcdm` takes.

        Parameters
        ----------
        problem : GridPoisson
            The matrix of the system; its walls and open cells are zeros to the network.

        Returns
        -------
        callable
            From vectors of the unknowns to such vectors.
        """
        self.check(problem)
        return lambda r: problem.pack(self(problem.unpack(np.asarray(r))))

    def to_jax_params(self) -> list[tuple[Any, Any]]:
        """Return the kernels and biases as arrays of JAX.

        Returns
        -------
        list of pairs of jax.Array
        """
        import jax.numpy as jnp

        return [(jnp.asarray(k), jnp.asarray(b)) for k, b in zip(self.kernels, self.biases, strict=True)]

    def with_params(self, params: Any) -> DCDMNet:
        """Return the same network with other numbers.

        Parameters
        ----------
        params : list of pairs of arrays
            As `to_jax_params` returns them, of any library.

        Returns
        -------
        DCDMNet
        """
        out = DCDMNet(**self.settings())
        pairs = [(arrays.to_host(k), arrays.to_host(b)) for k, b in params]
        if [k.shape for k, _ in pairs] != [k.shape for k in self.kernels]:
            raise ValueError(f"params must have the shapes of {self!r}, got {[k.shape for k, _ in pairs]}")
        out.kernels = [np.asarray(k, np.float32) for k, _ in pairs]
        out.biases = [np.asarray(b, np.float32) for _, b in pairs]
        return out

    def _blocks(self) -> tuple[int, int, int]:
        return self.n_top, self.n_low, self.n_up

    # -- files -------------------------------------------------------------------------------------

    def settings(self) -> dict[str, int]:
        """What the network is made with.

        Returns
        -------
        dict
        """
        return settings_of(self, ("ndim", "channels", "n_top", "n_low", "n_up"))

    def numbers(self) -> list[Array]:
        """All its numbers, array by array.

        Returns
        -------
        list of array
        """
        return [*self.kernels, *self.biases]


# -- NumPy and other libraries ---------------------------------------------------------------------


def _in_arrays(xp: Namespace, net: DCDMNet, grid: Array) -> Array:
    """The network in plain array code, channels first."""
    shape = tuple(grid.shape)
    even = tuple(n + n % 2 for n in shape)
    rooms: dict[tuple[int, ...], Any] = {}
    layers = iter(
        (_flat(xp, k, grid), _column(xp, b, grid)) for k, b in zip(net.kernels, net.biases, strict=True)
    )

    def convolve(x: Any, *, rectify: bool = True) -> Any:
        kernel, bias = next(layers)
        out = kernel @ _shifted(xp, x, rooms) + bias
        if rectify:
            out = xp.where(out > 0, out, xp.zeros_like(out))
        return xp.reshape(out, (-1, *x.shape[1:]))

    def residual_blocks(x: Any, n: int) -> Any:
        for _ in range(n):
            x = convolve(convolve(x)) + x
        return x

    a = convolve(_padded(xp, grid, even)[None, ...], rectify=False)
    top = convolve(residual_blocks(convolve(a), net.n_top))  # (1)
    low = residual_blocks(_halved(xp, top), net.n_low)  # (2)
    up = residual_blocks(_doubled(xp, low) + top, net.n_up)  # (3)
    kernel, bias = next(layers)
    out: Array = xp.reshape(kernel @ xp.reshape(up, (net.channels, -1)) + bias, even)  # (4)
    return out[tuple(slice(0, n) for n in shape)]


def _flat(xp: Namespace, kernel: Array, like: Array) -> Any:
    """A kernel as the matrix that acts on shifted copies."""
    matrix = np.ascontiguousarray(np.moveaxis(kernel, -1, 0).reshape(kernel.shape[-1], -1))
    return xp.asarray(matrix, device=arrays.device(like))


def _column(xp: Namespace, bias: Array, like: Array) -> Any:
    return xp.asarray(bias[:, None], device=arrays.device(like))


def _padded(xp: Namespace, x: Any, shape: tuple[int, ...], start: int = 0) -> Any:
    """Zeros of a shape, with x in them."""
    if tuple(x.shape) == shape:
        return x
    out = xp.zeros(shape, dtype=x.dtype, device=arrays.device(x))
    out[tuple(slice(start, start + n) for n in x.shape)] = x
    return out


def _shifted(xp: Namespace, x: Any, rooms: dict[tuple[int, ...], Any]) -> Any:
    """The copies of all channels, shifted by each place of the kernel; their memory is used again."""
    channels, shape = x.shape[0], tuple(x.shape[1:])
    wanted = (WIDTH ** len(shape), channels, *shape)
    if wanted not in rooms:
        rooms[wanted] = (
            xp.empty(wanted, dtype=x.dtype, device=arrays.device(x)),
            xp.zeros((channels, *(n + 2 for n in shape)), dtype=x.dtype, device=arrays.device(x)),
        )
    copies, wide = rooms[wanted]
    wide[(slice(None), *(slice(1, n + 1) for n in shape))] = x
    for k, at in enumerate(product(range(WIDTH), repeat=len(shape))):
        copies[k, ...] = wide[(slice(None), *(slice(s, s + n) for s, n in zip(at, shape, strict=True)))]
    return xp.reshape(copies, (wanted[0] * channels, -1))


def _halved(xp: Namespace, x: Any) -> Any:
    """Means over blocks of two cells a side."""
    for axis in range(1, x.ndim):
        before, after = tuple(x.shape[:axis]), tuple(x.shape[axis + 1 :])
        x = xp.mean(xp.reshape(x, (*before, x.shape[axis] // 2, 2, *after)), axis=axis + 1)
    return x


def _doubled(xp: Namespace, x: Any) -> Any:
    """Each entry for a block of two cells a side."""
    for axis in range(1, x.ndim):
        x = xp.repeat(x, 2, axis=axis)
    return x


# -- JAX -------------------------------------------------------------------------------------------


def in_jax(params: Any, grids: Any, blocks: tuple[int, int, int]) -> Any:
    """The network on a batch of grids, channels last, under JAX.

    Parameters
    ----------
    params : list of pairs of arrays
        Kernels and biases.
    grids : jax.Array
        The batch is the first axis.
    blocks : tuple of int
        `n_top`, `n_low` and `n_up`.

    Returns
    -------
    jax.Array of the shape of grids
    """
    import jax
    import jax.numpy as jnp
    from jax import lax

    shape = grids.shape[1:]
    d = len(shape)
    letters = "DHW"[3 - d :]
    numbers = f"N{letters}C", f"{letters}IO", f"N{letters}C"
    layers = iter(params)

    def convolve(x: Any, *, rectify: bool = True) -> Any:
        kernel, bias = next(layers)
        out = lax.conv_general_dilated(x, kernel, (1,) * d, "SAME", dimension_numbers=numbers) + bias
        return jax.nn.relu(out) if rectify else out

    def residual_blocks(x: Any, n: int) -> Any:
        for _ in range(n):
            x = convolve(convolve(x)) + x
        return x

    x = jnp.pad(grids, [(0, 0), *((0, n % 2) for n in shape)])[..., None]
    top = convolve(residual_blocks(convolve(convolve(x, rectify=False)), blocks[0]))  # (1)
    window = (1, *(2,) * d, 1)
    low = lax.reduce_window(top, 0.0, lax.add, window, window, "VALID") / 2**d
    up = residual_blocks(low, blocks[1])  # (2)
    for axis in range(1, d + 1):
        up = jnp.repeat(up, 2, axis=axis)
    up = residual_blocks(up + top, blocks[2])  # (3)
    kernel, bias = next(layers)
    out = (up @ kernel + bias)[..., 0]  # (4)
    return out[(slice(None), *(slice(0, n) for n in shape))]
