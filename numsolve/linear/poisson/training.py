r"""Training of networks that predict search directions, from vectors that are rich in slow modes.

A. Kaneda, O. Akar, J. Chen, V. Kala, D. Hyde, J. Teran, "A deep conjugate direction method for iteratively
solving linear systems", ICML 2023. With Ritz vectors v_i of the matrix from Lanczos' method, a sample is

    r = sum_i c_i v_i, of norm 1,  c_i normal, `low_boost` times as wide for the lowest of them,    (1)

and the loss of a network f is what an exact step along its answer y = f(r) leaves of the residual,

    || r - a A y ||^2,  a = (y' r) / (y' A y).                             (2)

It differs from the published training in that the samples held out are not trained on, and that the step
size falls during the training. The paper has 10 000 Lanczos steps, 20 000 samples and batches of 10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.extras import require
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits

from ._fit import fit, shuffled
from ._given import UNKNOWN, checked_flags
from .grid import GridPoisson
from .network import DCDMNet, in_jax

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Callback, Matrix, RandomState

#: Ritz values below this part of the largest are taken for zeros.
ZERO = 1e-8
#: Of the samples, those that are held out: one in so many, and at most so many.
HELD_OUT, MOST_HELD_OUT = 10, 50


@answers()
def ritz_training_vectors(
    A: Matrix,
    n_ritz: int,
    n_samples: int,
    *,
    low_fraction: float = 0.55,
    low_boost: float = 9.0,
    rng: RandomState = None,
) -> Array:
    """Make random vectors of norm 1 that are rich in the slow modes of a matrix.

    Parameters
    ----------
    A : array, sparse matrix or LinearOperator of shape (n, n)
        Symmetric positive semidefinite.
    n_ritz : int
        Steps of Lanczos' method, with full orthogonalisation: n_ritz vectors are kept, and n is enough.
    n_samples : int
        How many vectors.
    low_fraction : float
        The part of the Ritz vectors, from the lowest, that is boosted.
    low_boost : float
        How much larger the coefficients of those are.
    rng : None, int or Generator
        Source of randomness.

    Returns
    -------
    array of shape (n_samples, n)
        In single precision.

    See Also
    --------
    numsolve.linear.train_dcdm : Trains a network on them.

    References
    ----------
    A. Kaneda, O. Akar, J. Chen, V. Kala, D. Hyde, J. Teran, "A deep conjugate direction method for
    iteratively solving linear systems", ICML 2023.

    Examples
    --------
    >>> from numsolve import linear
    >>> A = linear.problems.laplacian(12)
    >>> vectors = linear.ritz_training_vectors(A, 100, 5, rng=0)
    >>> vectors.shape, float((vectors[0] ** 2).sum())
    ((5, 144), 1.0)
    """
    if isinstance(A, np.matrix):
        A = np.asarray(A)
    if not hasattr(A, "shape"):
        raise TypeError(f"A must be a matrix or a linear operator, got {type(A).__name__}")
    if len(A.shape) != 2 or A.shape[0] != A.shape[1] or A.shape[0] < 1:
        raise ValueError(f"A must be a square matrix with a row, got shape {tuple(A.shape)}")
    arrays.working_dtype(np, A=A)
    n_ritz = checks.integer("n_ritz", n_ritz, low=1)
    n_samples = checks.integer("n_samples", n_samples, low=1)
    low_fraction = checks.real("low_fraction", low_fraction, low=0.0, high=1.0)
    low_boost = checks.real("low_boost", low_boost, low=0.0, open_low=True)
    rng = checks.generator(rng)
    basis, values, vectors = _lanczos(A, n_ritz, rng)
    kept = values > ZERO * values[-1]
    coefficients = rng.standard_normal((n_samples, int(kept.sum())))
    coefficients[:, : round(low_fraction * coefficients.shape[1])] *= low_boost
    out = ((coefficients @ vectors[:, kept].T).astype(np.float32)) @ basis.astype(np.float32)
    out /= np.linalg.norm(out, axis=1, keepdims=True)  # (1)
    return out


def _lanczos(A: Matrix, steps: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Lanczos' basis as rows, and the Ritz values and vectors in it."""
    from scipy.linalg import eigh_tridiagonal

    n = A.shape[0]
    v = np.asarray(A @ rng.standard_normal(n))
    size = float(np.linalg.norm(v))
    if not 0.0 < size < np.inf:
        raise ValueError(f"A must not be zero and have finite numbers; a product with it has norm {size:g}")
    basis = np.empty((min(steps, n), n))
    diagonal, beside = np.empty(len(basis)), np.empty(len(basis))
    largest = 0.0
    for k in range(len(basis)):
        basis[k] = v / size
        v = np.array(A @ basis[k], dtype=float)
        diagonal[k] = basis[k] @ v
        for _ in range(2):  # twice is enough
            v -= basis[: k + 1].T @ (basis[: k + 1] @ v)
        beside[k] = size = float(np.linalg.norm(v))
        largest = max(largest, abs(diagonal[k]), size)
        if not size > 1e-12 * largest:  # an invariant subspace
            basis = basis[: k + 1]
            break
    m = len(basis)
    values, vectors = eigh_tridiagonal(diagonal[:m], beside[: m - 1])
    if values[-1] <= 0 or values[0] < -1e-6 * values[-1]:
        raise ValueError(f"A must be positive semidefinite, got a Ritz value of {values[0]:.3g}")
    return basis, values, vectors


@answers()
def train_dcdm(
    problem: GridPoisson | ArrayLike,
    *,
    n_ritz: int = 1000,
    n_samples: int = 4000,
    low_fraction: float = 0.55,
    low_boost: float = 9.0,
    channels: int = 16,
    net: DCDMNet | None = None,
    batch: int = 10,
    lr: float = 1e-3,
    rng: RandomState = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = 600.0,
) -> DCDMNet:
    """Train a network that predicts search directions for `dcdm`.

    The time of the Ritz vectors counts, and Ctrl-C ends the training with the best weights so far.

    Parameters
    ----------
    problem : GridPoisson or array of int
        The matrix, or its flags. One empty box is enough, and the paper's choice.
    n_ritz, n_samples, low_fraction, low_boost
        As in `ritz_training_vectors`; one in ten samples is held out, at most 50.
    channels : int
        Channels of the network, of 1, 3 and 2 residual blocks, where `net` is not given.
    net : DCDMNet, optional
        The network to start from, in another size or trained before; it is not modified.
    batch : int
        Samples a step.
    lr : float
        The first step size of Adam, which falls linearly to a hundredth.
    rng : None, int or Generator
        Randomness of weights, samples and batches.
    maxiter, callback, progress, time_limit
        The run settings, as in `numsolve.linear.sor`; iterations are steps of Adam, 10 000 by default. The
        residual is the loss on the samples held out, every tenth step; the callback gets the parameters.

    Returns
    -------
    DCDMNet
        With the weights that were best on the samples held out, and the losses in its `history`.

    Raises
    ------
    ModuleNotFoundError
        If JAX or optax is not installed (``pip install "numsolve[jax]"``).

    See Also
    --------
    numsolve.linear.solve_poisson : Takes the network as ``weights`` with ``method="dcdm"``.

    References
    ----------
    A. Kaneda, O. Akar, J. Chen, V. Kala, D. Hyde, J. Teran, "A deep conjugate direction method for
    iteratively solving linear systems", ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> flags = linear.problems.random_obstacles((12, 12), 0)
    >>> net = linear.train_dcdm(
    ...     flags, n_ritz=50, n_samples=200, channels=4, maxiter=20, rng=0
    ... )
    >>> bool(net.history.residual[-1] < net.history.residual[0])
    True
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    if not isinstance(problem, GridPoisson):
        problem = GridPoisson(checked_flags(problem, "problem"))
    n_samples = checks.integer("n_samples", n_samples, low=2)
    batch, lr = checks.integer("batch", batch, low=1), checks.real("lr", lr, low=0.0, open_low=True)
    rng = checks.generator(rng)
    net = DCDMNet(problem.ndim_grid, channels=channels, rng=rng) if net is None else net
    if not isinstance(net, DCDMNet):
        raise TypeError(f"net must be a DCDMNet, got {type(net).__name__}")
    net.check(problem)
    require("jax", "train_dcdm")
    vectors = ritz_training_vectors(
        problem, n_ritz, n_samples, low_fraction=low_fraction, low_boost=low_boost, rng=rng
    )
    grids = np.zeros((n_samples, *problem.grid_shape), np.float32)
    grids[:, problem.flags == UNKNOWN] = vectors
    aside = min(max(n_samples // HELD_OUT, 1), MOST_HELD_OUT)
    operator, blocks = operator_arrays(problem), (net.n_top, net.n_low, net.n_up)

    def loss(params: Any, r: Any) -> Any:
        return what_a_step_leaves(r, in_jax(params, r, blocks), operator)

    batches = shuffled(grids[aside:], min(batch, n_samples - aside), rng)
    params, history = fit(
        net.to_jax_params(), loss, batches, grids[:aside], limits, lr=lr, maxiter=10_000, label="DCDM network"
    )
    out = net.with_params(params)
    out.history = history
    return out


def operator_arrays(problem: GridPoisson) -> tuple[Array, list[Array]]:
    """The scaled matrix on the grid: its diagonal, and the weights between unknowns along each axis."""
    unknown = problem.flags == UNKNOWN
    diagonal = np.zeros(problem.grid_shape, np.float32)
    diagonal[unknown] = problem.to_csr(scaled=True).diagonal()
    between = []
    for axis, w in enumerate(problem.face_weights()):
        behind = (slice(None),) * axis + (slice(None, -1),)
        ahead = (slice(None),) * axis + (slice(1, None),)
        between.append((w * (unknown[behind] & unknown[ahead])).astype(np.float32))
    return diagonal, between


def product_in_jax(operator: Any, u: Any) -> Any:
    """The scaled matrix on a batch of grids, under JAX; what is not unknown becomes zero."""
    import jax.numpy as jnp

    diagonal, between = operator
    out = diagonal * u
    for axis, w in enumerate(between, start=1):
        start, end = [(0, 0)] * u.ndim, [(0, 0)] * u.ndim
        start[axis], end[axis] = (1, 0), (0, 1)
        behind = (slice(None),) * axis + (slice(0, -1),)
        ahead = (slice(None),) * axis + (slice(1, None),)
        out = out - jnp.pad(w * u[behind], start) - jnp.pad(w * u[ahead], end)
    return out


def what_a_step_leaves(r: Any, y: Any, operator: Any) -> Any:
    """The mean over the batch of the squared residual after an exact step along y (2)."""
    import jax.numpy as jnp

    axes = tuple(range(1, r.ndim))
    Ay = product_in_jax(operator, y)
    curvature = (y * Ay).sum(axes)
    safe = jnp.where(curvature > 0, curvature, 1.0)
    a = jnp.where(curvature > 0, (y * r).sum(axes) / safe, 0.0)
    left = r - a.reshape((-1,) + (1,) * (r.ndim - 1)) * Ay  # (2)
    return (left**2).sum(axes).mean()
