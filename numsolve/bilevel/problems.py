"""Test problems, ready to be solved, with all that is known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import checks

from ._blocks import multiblock_logistic, multiblock_quadratic
from ._svm import svm_sample_weights
from .problem import BilevelProblem

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, RandomState

__all__ = [
    "coupled_toy",
    "least_squares",
    "multiblock_logistic",
    "multiblock_quadratic",
    "multinomial_logistic",
    "quadratic",
    "svm_sample_weights",
    "tv_denoising",
]


def __dir__() -> list[str]:
    """What is public."""
    return list(__all__)


class Quadratic(BilevelProblem):
    """The problem of `quadratic`, with its solution."""

    H: Array
    B: Array
    d: Array
    b: Array
    r: float

    def solution(self) -> tuple[Array, Array]:
        """The exact theta and x.

        Returns
        -------
        theta, x : array
        """
        J = np.linalg.solve(self.H, self.B)
        x0 = np.linalg.solve(self.H, self.d)
        theta = np.linalg.solve(self.r * np.eye(J.shape[1]) + J.T @ J, J.T @ (self.b - x0))
        return theta, J @ theta + x0

    def exact_hypergradient(self, theta: ArrayLike) -> Array:
        """The derivative of the upper objective at the exact lower solution.

        Parameters
        ----------
        theta : array
            Where.

        Returns
        -------
        array
        """
        x = np.linalg.solve(self.H, self.B @ np.asarray(theta) + self.d)
        grad: Array = self.r * np.asarray(theta) + self.B.T @ np.linalg.solve(self.H, x - self.b)
        return grad


def quadratic(n: int, m: int, *, kappa: float = 10.0, r: float = 0.1, rng: RandomState = None) -> Quadratic:
    """Make ``F = |x - b|^2/2 + r |theta|^2/2`` with ``f = x'Hx/2 - x'(B theta + d)``.

    Parameters
    ----------
    n, m : int
        Sizes of x and theta.
    kappa : float
        The condition number of H, whose largest eigenvalue is 1.
    r : float
        The weight of theta.
    rng : None, int or Generator
        Where the data come from.

    Returns
    -------
    BilevelProblem
        With the methods ``solution()`` and ``exact_hypergradient(theta)``.

    Examples
    --------
    >>> from numsolve import bilevel
    >>> problem = bilevel.problems.quadratic(10, 2, rng=0)
    >>> theta, x = problem.solution()
    >>> bool(abs(problem.exact_hypergradient(theta)).max() < 1e-12)
    True
    """
    random = checks.generator(rng)
    Q = np.linalg.qr(random.standard_normal((n, n)))[0]
    H = (Q * np.geomspace(1.0 / kappa, 1.0, n)) @ Q.T
    H = 0.5 * (H + H.T)
    B, d, b = random.standard_normal((n, m)), random.standard_normal(n), random.standard_normal(n)
    problem = Quadratic(
        lambda x, t: 0.5 * np.sum((x - b) ** 2) + 0.5 * r * np.sum(t**2),
        lambda x, t: 0.5 * x @ (H @ x) - x @ (B @ t + d),
        upper_grad=lambda x, t: (x - b, r * t),
        lower_grad=lambda x, t: H @ x - B @ t - d,
        lower_hvp=lambda x, t, v: H @ v,
        lower_cross_vjp=lambda x, t, q: -(B.T @ q),
        lower_grad_theta=lambda x, t: -(B.T @ x),
        mu=1.0 / kappa,
        L=1.0,
        lipschitz_upper=1.0,
        lipschitz_hess=0.0,
        lipschitz_cross=0.0,
        cross_norm=float(np.linalg.norm(B, 2)),
    )
    problem.H, problem.B, problem.d, problem.b, problem.r = H, B, d, b, r
    return problem


def least_squares(
    n_rows: int = 1000, n: int = 10, *, noise: float = 0.01, rng: RandomState = None
) -> BilevelProblem:
    """Make MAID's quadratic test: ``F = |A1 x - b1|^2``, ``f = |A2 x + A3 theta - b2|^2 / 2``.

    The matrices have uniform entries in [0, 1), as many columns as `n`; so have x and theta.

    Parameters
    ----------
    n_rows, n : int
        Rows of the matrices, unknowns of each level.
    noise : float
        Of the right-hand sides.
    rng : None, int or Generator
        Where the data come from.

    Returns
    -------
    BilevelProblem
        Its attribute `optimum` is the least upper objective.

    Examples
    --------
    >>> from numsolve import bilevel
    >>> problem = bilevel.problems.least_squares(100, 5, rng=0)
    >>> result = bilevel.minimize_bilevel(problem, [0.0] * 5, [0.0] * 5)
    >>> bool(result.fun - problem.optimum < 1e-6)
    True
    """
    random = checks.generator(rng)
    A1, A2, A3 = random.random((3, n_rows, n))
    b1 = A1 @ random.random(n) + noise * random.standard_normal(n_rows)
    b2 = A2 @ random.random(n) + A3 @ random.random(n) + noise * random.standard_normal(n_rows)
    H, C, M = A2.T @ A2, A2.T @ A3, A1.T @ A1
    values = np.linalg.eigvalsh(H)
    problem = LeastSquares(
        lambda x, t: np.sum((A1 @ x - b1) ** 2),
        lambda x, t: 0.5 * np.sum((A2 @ x + A3 @ t - b2) ** 2),
        upper_grad=lambda x, t: (2 * (A1.T @ (A1 @ x - b1)), None),
        lower_grad=lambda x, t: A2.T @ (A2 @ x + A3 @ t - b2),
        lower_hvp=lambda x, t, v: H @ v,
        lower_cross_vjp=lambda x, t, q: C.T @ q,
        lower_grad_theta=lambda x, t: A3.T @ (A2 @ x + A3 @ t - b2),
        mu=float(values[0]),
        L=float(values[-1]),
        lipschitz_upper=2 * float(np.linalg.eigvalsh(M)[-1]),
        lipschitz_hess=0.0,
        lipschitz_cross=0.0,
        cross_norm=float(np.linalg.norm(C, 2)),
    )
    # x*(theta) = J theta + x0
    J, x0 = -np.linalg.solve(H, C), np.linalg.solve(H, A2.T @ b2)
    best = np.linalg.lstsq(A1 @ J, b1 - A1 @ x0, rcond=None)[0]
    problem.optimum = float(np.sum((A1 @ (J @ best + x0) - b1) ** 2))
    return problem


class LeastSquares(BilevelProblem):
    """The problem of `least_squares`."""

    optimum: float


def multinomial_logistic(X: ArrayLike, y: ArrayLike, X_val: ArrayLike, y_val: ArrayLike) -> BilevelProblem:
    """Make multinomial logistic regression with a penalty for each coefficient, chosen by validation data.

    ``f = mean cross-entropy + sum_ij e^theta_ij x_ij^2 / 2`` on the training data, and F is the mean
    cross-entropy on the validation data. x and theta have the shape (features, classes).

    Parameters
    ----------
    X, y : array of shape (n, features) and of shape (n,)
        Training data: features, and class numbers 0, 1, ...
    X_val, y_val : array of shape (n_val, features) and of shape (n_val,)
        Validation data.

    Returns
    -------
    BilevelProblem

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from numsolve import bilevel
    >>> X, y = load_iris(return_X_y=True)
    >>> problem = bilevel.problems.multinomial_logistic(X[::2], y[::2], X[1::2], y[1::2])
    >>> theta0 = np.full((4, 3), -3.0)
    >>> result = bilevel.minimize_bilevel(problem, theta0, np.zeros((4, 3)), tol=1e-3, theta_bounds=(-8, 8))
    >>> bool(result.success), bool(result.fun < 0.12)
    (True, True)
    """
    A, V = checks.array("X", X, ndim=2), checks.array("X_val", X_val, ndim=2)
    k = int(max(np.max(np.asarray(y)), np.max(np.asarray(y_val)))) + 1
    Y, W = _one_hot("y", y, A.shape[0], k), _one_hot("y_val", y_val, V.shape[0], k)
    rows = float(np.max(np.sum(A**2, axis=1)))
    gram = float(np.linalg.norm(A, 2)) ** 2 / A.shape[0]
    gram_val = float(np.linalg.norm(V, 2)) ** 2 / V.shape[0]
    kept: dict[str, Any] = {}

    def probabilities(x: Array) -> Array:
        if kept.get("x") is None or not np.array_equal(kept["x"], x):
            kept["x"], kept["p"] = x.copy(), _softmax(A @ x)
        return np.asarray(kept["p"])

    def hvp(x: Array, t: Array, v: Array) -> Array:
        p, Av = probabilities(x), A @ v
        return np.asarray(A.T @ (p * (Av - np.sum(p * Av, axis=1, keepdims=True))) / len(A) + np.exp(t) * v)

    return BilevelProblem(
        lambda x, t: _cross_entropy(V @ x, W),
        lambda x, t: _cross_entropy(A @ x, Y) + 0.5 * np.sum(np.exp(t) * x**2),
        upper_grad=lambda x, t: (V.T @ (_softmax(V @ x) - W) / len(V), None),
        lower_grad=lambda x, t: A.T @ (probabilities(x) - Y) / len(A) + np.exp(t) * x,
        lower_hvp=hvp,
        lower_cross_vjp=lambda x, t, q: np.exp(t) * x * q,
        lower_grad_theta=lambda x, t: 0.5 * np.exp(t) * x**2,
        mu=lambda t: float(np.exp(t.min())),
        L=lambda t: 0.5 * gram + float(np.exp(t.max())),  # the softmax' Hessian is at most 1/2
        lipschitz_upper=0.5 * gram_val,
        lipschitz_hess=gram * np.sqrt(rows),  # its third derivative is at most 1
        lipschitz_cross=lambda t: float(np.exp(t.max())),
        # |x| <= sqrt(2 log(k) / e^t_min) at the solution, where f is at most its value at zero
        cross_norm=lambda t: float(np.exp(t.max()) * np.sqrt(2 * np.log(k) / np.exp(t.min()))),
    )


def _one_hot(name: str, y: ArrayLike, rows: int, k: int) -> Array:
    labels = np.asarray(y)
    if labels.shape != (rows,) or not np.issubdtype(labels.dtype, np.integer) or labels.min(initial=0) < 0:
        raise ValueError(
            f"{name} must hold {rows} class numbers 0, 1, ..., got {labels.dtype} {labels.shape}"
        )
    return np.asarray(np.eye(k)[labels])


def _softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _cross_entropy(z: Array, Y: Array) -> float:
    top = z.max(axis=1)
    return float(np.mean(top + np.log(np.exp(z - top[:, None]).sum(axis=1)) - np.sum(z * Y, axis=1)))


def tv_denoising(noisy: ArrayLike, clean: ArrayLike) -> BilevelProblem:
    """Make denoising by total variation, whose weight and smoothing are learned from images.

    ``f = |x - noisy|^2/2 + e^t0 sum sqrt(dx^2 + e^(2 t1))/2`` over the differences dx along both axes, and
    ``F = |x - clean|^2 / (2 images)``.

    Parameters
    ----------
    noisy, clean : array of shape (images, rows, columns)
        The images.

    Returns
    -------
    BilevelProblem
        x has the shape of the images, theta = (t0, t1).

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import bilevel
    >>> clean = np.zeros((1, 16, 16))
    >>> clean[:, 4:12, 4:12] = 1.0
    >>> noisy = clean + 0.1 * np.random.default_rng(0).normal(size=clean.shape)
    >>> problem = bilevel.problems.tv_denoising(noisy, clean)
    >>> result = bilevel.minimize_bilevel(problem, [-3.0, -3.0], noisy, tol=1e-3)
    >>> bool(result.success), bool(result.fun < 0.3 * problem.upper(noisy, result.theta))
    (True, True)
    """
    y = checks.array("noisy", noisy, ndim=3)
    true = checks.array("clean", clean, shape=y.shape)
    images, dtype = y.shape[0], y.dtype
    from . import _cpu as k

    def lower(x: Array, t: Array) -> float:
        smooth = np.exp(2 * t[1])
        parts = [np.sum(np.sqrt(np.diff(x, axis=axis) ** 2 + smooth)) for axis in (1, 2)]
        return float(0.5 * np.sum((x - y) ** 2) + 0.5 * np.exp(t[0]) * sum(parts))

    def grad(x: Array, t: Array) -> Array:
        return np.asarray(k.tv_gradient(np.ascontiguousarray(x, dtype), y, *_weights(t)))

    def cross(x: Array, t: Array, q: Array) -> Array:
        return np.array(k.tv_cross(np.ascontiguousarray(x), np.ascontiguousarray(q), *_weights(t)))

    def grad_theta(x: Array, t: Array) -> Array:
        smooth, weight = np.exp(2 * t[1]), 0.5 * np.exp(t[0])
        roots = [np.sqrt(np.diff(x, axis=axis) ** 2 + smooth) for axis in (1, 2)]
        return np.array(
            [weight * sum(np.sum(r) for r in roots), weight * smooth * sum(np.sum(1 / r) for r in roots)]
        )

    return BilevelProblem(
        lambda x, t: float(0.5 * np.sum((x - true) ** 2) / images),
        lower,
        upper_grad=lambda x, t: ((x - true) / images, None),
        lower_grad=grad,
        lower_hvp=lambda x, t, v: k.tv_product(
            np.ascontiguousarray(x), np.ascontiguousarray(v, dtype), *_weights(t)
        ),
        lower_cross_vjp=cross,
        lower_grad_theta=grad_theta,
        mu=1.0,
        L=lambda t: 1.0 + 4.0 * float(np.exp(t[0] - t[1])),
        lipschitz_upper=1.0 / images,
    )


def _weights(t: Array) -> tuple[float, float]:
    return 0.5 * float(np.exp(t[0])), float(np.exp(2 * t[1]))


def coupled_toy(n: int = 100) -> BilevelProblem:
    """Make LV-HBA's coupled problem, whose solution is theta = -0.3, x1 = 0.7, x2 = -0.4 with F = n / 20.

    ``F = |theta - x2|^2/2 + |x1 - 1|^2/2``, ``f = |x1|^2/2 - theta'x1 + 1'x2``, and all entries of theta, x1
    and x2 together sum to zero. x is (x1, x2).

    Parameters
    ----------
    n : int
        The size of theta, x1 and x2.

    Returns
    -------
    BilevelProblem

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import bilevel
    >>> problem = bilevel.problems.coupled_toy(5)
    >>> result = bilevel.minimize_bilevel(problem, np.full(5, 10.0), np.full(10, 10.0), method="lvhba")
    >>> bool(abs(result.theta + 0.3).max() < 1e-5)
    True
    """
    n = checks.integer("n", n, low=1)
    one = np.ones(n)
    return BilevelProblem(
        lambda x, t: 0.5 * np.sum((t - x[n:]) ** 2) + 0.5 * np.sum((x[:n] - 1) ** 2),
        lambda x, t: 0.5 * np.sum(x[:n] ** 2) - t @ x[:n] + np.sum(x[n:]),
        upper_grad=lambda x, t: (np.concatenate([x[:n] - 1, x[n:] - t]), t - x[n:]),
        lower_grad=lambda x, t: np.concatenate([x[:n] - t, one]),
        lower_hvp=lambda x, t, v: np.concatenate([v[:n], 0 * one]),
        lower_cross_vjp=lambda x, t, q: -q[:n],
        lower_grad_theta=lambda x, t: -x[:n],
        lower_eq=(np.ones((1, 2 * n)), np.ones((1, n)), np.zeros(1)),
    )
