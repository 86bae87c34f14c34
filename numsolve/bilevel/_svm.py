"""The support vector machine of the papers' experiments: a weight for each training sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays, checks

from .problem import BilevelProblem

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike

#: The slope of the upper loss in the margin, and that of samples on the right side.
SHARP, LEAK = 5.0, 0.01


def svm_sample_weights(X: ArrayLike, y: ArrayLike, X_val: ArrayLike, y_val: ArrayLike) -> BilevelProblem:
    """Make a support vector machine with a weight for each training sample, chosen by validation data.

    ``f = |w|^2/2 + sum_j e^theta_j max(0, 1 - y_j (a_j'w + b))^2 / 2`` with x = (w, b): the slack variables
    of the constrained form are eliminated. ``F = sum_i r(2 s(-5 m_i) - 1) / 15`` over the validation samples,
    with their margins ``m = y (a'w + b) / |w|``, the logistic function s and r(z) = max(z, z / 100).

    Parameters
    ----------
    X, y : array of shape (n, features) and of shape (n,)
        Training data: features, and labels -1 and 1.
    X_val, y_val : array of shape (n_val, features) and of shape (n_val,)
        Validation data.

    Returns
    -------
    BilevelProblem
        x has features + 1 entries, theta as many as there are training samples.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import bilevel
    >>> rng = np.random.default_rng(0)
    >>> X, X_val = rng.normal(size=(40, 3)), rng.normal(size=(20, 3))
    >>> y, y_val = np.sign(X[:, 0] + rng.normal(size=40)), np.sign(X_val[:, 0])
    >>> problem = bilevel.problems.svm_sample_weights(X, y, X_val, y_val)
    >>> x0 = np.array([1.0, 0.0, 0.0, 0.0])
    >>> result = bilevel.minimize_bilevel(
    ...     problem, np.full(40, -3.0), x0, theta_bounds=(-8, 4), tol=1e-3
    ... )
    >>> bool(result.fun < result.history.fun[0])
    True
    """
    A, V = checks.array("X", X, ndim=2), checks.array("X_val", X_val, ndim=2)
    b = checks.array("y", y, shape=(A.shape[0],))
    b_val = checks.array("y_val", y_val, shape=(V.shape[0],))
    for name, labels in {"y": b, "y_val": b_val}.items():
        if not np.isin(labels, (-1.0, 1.0)).all():
            raise ValueError(f"{name} must hold the labels -1 and 1, got {np.unique(labels)}")
    rows = b[:, None] * np.concatenate([A, np.ones((len(A), 1))], axis=1)
    rows_val = b_val[:, None] * np.concatenate([V, np.ones((len(V), 1))], axis=1)
    ridge = np.append(np.ones(A.shape[1]), 0.0)  # the intercept is free

    def slack(x: Array) -> Array:
        return np.asarray(np.maximum(0.0, 1.0 - rows @ x))

    def margins(x: Array) -> tuple[Array, Array, float]:
        """The margins, the upper loss' argument 2 s(-5 m) - 1 = -tanh(5 m / 2), and |w|."""
        length = arrays.norm(np, x[:-1])
        m = rows_val @ x / max(length, 1e-300)
        return m, -np.tanh(0.5 * SHARP * m), length

    def upper(x: Array, _: Array) -> float:
        z = margins(x)[1]
        return float(np.sum(np.maximum(z, LEAK * z))) / 15

    def upper_grad(x: Array, _: Array) -> tuple[Array, None]:
        m, z, length = margins(x)
        slopes = np.where(z > 0.0, 1.0, LEAK) * (-0.5 * SHARP) * (1.0 - z**2) / 15
        return (rows_val.T @ slopes - (slopes @ m) * ridge * x / length) / length, None

    def product(x: Array, t: Array, v: Array) -> Array:
        active = np.exp(t) * (slack(x) > 0.0)
        return np.asarray(ridge * v + rows.T @ (active * (rows @ v)))

    def hess(x: Array, t: Array) -> Array:
        active = np.exp(t) * (slack(x) > 0.0)
        return np.asarray(np.diag(ridge) + rows.T @ (active[:, None] * rows))

    return BilevelProblem(
        upper,
        lambda x, t: 0.5 * float(np.sum(ridge * x**2) + np.sum(np.exp(t) * slack(x) ** 2)),
        upper_grad=upper_grad,
        lower_grad=lambda x, t: ridge * x - rows.T @ (np.exp(t) * slack(x)),
        lower_hvp=product,
        lower_cross_vjp=lambda x, t, q: -np.exp(t) * slack(x) * (rows @ q),
        lower_grad_theta=lambda x, t: 0.5 * np.exp(t) * slack(x) ** 2,
        lower_hess=hess,
    )
