"""Test problems with many blocks, for `numsolve.bilevel.bsvrb`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import checks

from .block_oracle import BlockOracle

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, RandomState


def multiblock_quadratic(
    m: int, n: int, d: int, *, kappa: float = 5.0, r: float = 0.1, rng: RandomState = None
) -> tuple[BlockOracle, Array]:
    """Make m quadratic problems that share theta: `numsolve.bilevel.problems.quadratic` in blocks.

    Parameters
    ----------
    m, n, d : int
        Blocks, unknowns of each, size of theta.
    kappa : float
        The condition number of each Hessian, whose largest eigenvalue is 1.
    r : float
        The weight of theta in each upper objective.
    rng : None, int or Generator
        Where the data come from.

    Returns
    -------
    oracle : BlockOracle
        The blocks.
    theta : array of shape (d,)
        The solution.

    Examples
    --------
    >>> from numsolve import bilevel
    >>> oracle, theta = bilevel.problems.multiblock_quadratic(4, 3, 2, rng=0)
    >>> oracle.n_blocks, theta.shape
    (4, (2,))
    """
    random = checks.generator(rng)
    Q = np.linalg.qr(random.standard_normal((m, n, n)))[0]
    H = (Q * np.geomspace(1.0 / kappa, 1.0, n)) @ np.swapaxes(Q, 1, 2)
    B = random.standard_normal((m, n, d)) / np.sqrt(n)
    c, b = random.standard_normal((2, m, n))
    J = np.linalg.solve(H, B)
    shift = np.linalg.solve(H, c[:, :, None])[:, :, 0]
    normal = r * np.eye(d) + np.mean(np.swapaxes(J, 1, 2) @ J, axis=0)
    theta = np.linalg.solve(normal, np.mean(np.einsum("kij,ki->kj", J, b - shift), axis=0))
    oracle = BlockOracle(
        m,
        lambda t, y, i, _: 0.5 * np.sum((y - b[i]) ** 2, axis=1) + 0.5 * r * t @ t,
        upper_grad=lambda t, y, i, _: (y - b[i], np.broadcast_to(r * t, (len(i), d))),
        lower_grad=lambda t, y, i, _: np.einsum("kij,kj->ki", H[i], y) - B[i] @ t - c[i],
        lower_hvp=lambda t, y, i, _, v: np.einsum("kij,kj->ki", H[i], v),
        lower_hess=lambda t, y, i, _: H[i],
        lower_cross_vjp=lambda t, y, i, _, q: -np.einsum("kij,ki->kj", B[i], q),
    )
    return oracle, theta


def multiblock_logistic(
    X: ArrayLike,
    y: ArrayLike,
    X_val: ArrayLike,
    y_val: ArrayLike,
    temperatures: ArrayLike,
    *,
    l2: float = 1e-5,
) -> BlockOracle:
    """Make a logistic regression for each temperature; all share a weight for each training sample.

    ``f_i = mean_j s(theta_j) log(1 + exp(-y_j a_j'x_i / T_i)) + l2 |x_i|^2 / 2`` with the logistic function
    s, and F_i is the mean loss of block i on the validation data.

    Parameters
    ----------
    X, y : array of shape (n, features) and of shape (n,)
        Training data: features, and labels -1 and 1.
    X_val, y_val : array of shape (n_val, features) and of shape (n_val,)
        Validation data.
    temperatures : array of shape (m,)
        The blocks' temperatures.
    l2 : float
        The weight of the ridge.

    Returns
    -------
    BlockOracle

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import bilevel
    >>> rng = np.random.default_rng(0)
    >>> X, X_val = rng.normal(size=(60, 4)), rng.normal(size=(30, 4))
    >>> oracle = bilevel.problems.multiblock_logistic(
    ...     X, np.sign(X[:, 0]), X_val, np.sign(X_val[:, 0]), [1.0, 2.0, 4.0]
    ... )
    >>> oracle.upper(np.zeros(60), np.zeros((3, 4)), np.arange(3), None).round(4)
    array([0.6931, 0.6931, 0.6931])
    """
    A, V = checks.array("X", X, ndim=2), checks.array("X_val", X_val, ndim=2)
    b = checks.array("y", y, shape=(A.shape[0],))
    b_val = checks.array("y_val", y_val, shape=(V.shape[0],))
    T = checks.array("temperatures", temperatures, ndim=1)
    n, features = A.shape
    signed, signed_val = b[:, None] * A, b_val[:, None] * V

    def rows(table: Array, batch: Array | None) -> Array:
        return table if batch is None else table[batch]

    def margins(table: Array, x: Array, i: Array, batch: Array | None) -> Array:
        """The margins over the temperature, shape (k, samples)."""
        picked = rows(table, batch)
        z = x @ picked.T if batch is None else np.matmul(picked, x[:, :, None])[:, :, 0]
        return np.asarray(z / T[i][:, None])

    def back(table: Array, weights: Array, batch: Array | None) -> Array:
        """Each block's combination of its samples."""
        picked = rows(table, batch)
        if batch is None:
            return np.asarray(weights @ picked)
        return np.asarray(np.matmul(weights[:, None, :], picked)[:, 0, :])

    def share(t: Array, batch: Array | None) -> Array:
        """The samples' weights over their number."""
        s = _sigmoid(rows(t, batch))
        return np.asarray(s[None, :] / n if batch is None else s / batch.shape[1])

    def upper_grad(t: Array, x: Array, i: Array, batch: Array | None) -> tuple[Array, None]:
        z = margins(signed_val, x, i, batch)
        return back(signed_val, -_sigmoid(-z) / z.shape[1] / T[i][:, None], batch), None

    def lower_grad(t: Array, x: Array, i: Array, batch: Array | None) -> Array:
        z = margins(signed, x, i, batch)
        return back(signed, -_sigmoid(-z) * share(t, batch) / T[i][:, None], batch) + l2 * x

    def curvature(t: Array, x: Array, i: Array, batch: Array | None) -> Array:
        p = _sigmoid(margins(signed, x, i, batch))
        return np.asarray(p * (1 - p) * share(t, batch) / T[i][:, None] ** 2)

    def lower_hvp(t: Array, x: Array, i: Array, batch: Array | None, v: Array) -> Array:
        along = margins(signed, v, i, batch) * T[i][:, None]
        return back(signed, curvature(t, x, i, batch) * along, batch) + l2 * v

    def lower_hess(t: Array, x: Array, i: Array, batch: Array | None) -> Array:
        c = curvature(t, x, i, batch)
        picked = np.broadcast_to(signed, (len(i), *signed.shape)) if batch is None else signed[batch]
        return np.asarray(
            np.matmul(np.swapaxes(picked, 1, 2), c[:, :, None] * picked) + l2 * np.eye(features)
        )

    def cross(t: Array, x: Array, i: Array, batch: Array | None, q: Array) -> Array:
        z = margins(signed, x, i, batch)
        s = _sigmoid(rows(t, batch))
        along = margins(signed, q, i, batch)  # a_j'q / T
        each = -_sigmoid(-z) * along * (s * (1 - s))
        if batch is None:
            return np.asarray(each / n)
        out = np.zeros((len(i), n))
        np.add.at(out, (np.arange(len(i))[:, None], batch), each / batch.shape[1])
        return out

    return BlockOracle(
        len(T),
        lambda t, x, i, batch: np.mean(np.logaddexp(0.0, -margins(signed_val, x, i, batch)), axis=1),
        upper_grad=upper_grad,
        lower_grad=lower_grad,
        lower_hvp=lower_hvp,
        lower_hess=lower_hess,
        lower_cross_vjp=cross,
        n_upper=V.shape[0],
        n_lower=n,
    )


def _sigmoid(z: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-z)))
