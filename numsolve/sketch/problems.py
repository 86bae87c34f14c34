"""Test problems with known solutions: functions, derivatives and constraints ready for the solvers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from numsolve._core import checks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, RandomState

__all__ = ["EqualityProblem", "control", "ill_conditioned", "logistic_on_sphere"]


def __dir__() -> list[str]:
    return sorted(__all__)


@dataclass(frozen=True)
class EqualityProblem:
    """A minimisation; ``minimize(p.fun, p.x0, jac=p.jac, hess=p.hess, constraints=p.constraints)`` solves it.

    Attributes
    ----------
    fun, jac, hess : callable
        The objective and its derivatives.
    constraints : tuple
        ``(c, jac, hess)`` with ``hess(x, v)``.
    x0 : array of shape (n,)
        The usual start.
    hessp : callable or None
        The Hessian times a vector.
    """

    fun: Callable[[Array], float]
    jac: Callable[[Array], Array]
    hess: Callable[[Array], Any]
    constraints: tuple[Any, ...]
    x0: Array = field(repr=False)
    hessp: Callable[[Array, Array], Array] | None = None


def control(n: int = 20) -> EqualityProblem:
    """Control of the Poisson equation on [-1, 1]^2, as in the paper of AdaSketch-Newton: a sparse quadratic.

    The state W and the control Z live on an n x n grid of inner points: min ``||W - W_true||^2 / 2 + 0.05
    ||Z||^2`` where the five-point Laplacian of W plus Z is zero. x holds W and Z, column by column.

    Parameters
    ----------
    n : int
        Points in each direction; 2 n^2 variables and n^2 constraints.

    Returns
    -------
    EqualityProblem

    Examples
    --------
    >>> from numsolve import sketch
    >>> p = sketch.problems.control(3)
    >>> result = sketch.minimize(p.fun, p.x0, jac=p.jac, hess=p.hess, constraints=p.constraints)
    >>> print(f"{result.fun:.10f}")
    9.6444420518
    """
    n = checks.integer("n", n, low=2)
    k = np.arange(1, n + 1) - (n + 1) / 2
    scale = 0.1 / np.sqrt(15)
    wanted = (np.sin(4 + scale * k)[:, None] + np.cos(3 + scale * k)[None, :]).reshape(-1, order="F")
    h = 2.0 / (n + 1)
    line = sp.diags_array([np.ones(n - 1), -2.0 * np.ones(n), np.ones(n - 1)], offsets=[-1, 0, 1]) / h**2
    eye = sp.eye_array(n)
    G = sp.csr_array(sp.hstack([sp.kron(eye, line) + sp.kron(line, eye), sp.eye_array(n * n)]))
    H = sp.csr_array(sp.diags_array(np.repeat([1.0, 0.1], n * n)))
    target = np.concatenate([wanted, np.zeros(n * n)])

    def fun(x: Array) -> float:
        return 0.5 * float((x - target) @ (H @ (x - target)))

    def jac(x: Array) -> Array:
        return np.asarray(H @ (x - target))

    zero = sp.csr_array((2 * n * n, 2 * n * n))
    constraints = (lambda x: G @ x, lambda x: G, lambda x, v: zero)  # noqa: ARG005
    return EqualityProblem(fun, jac, lambda x: H, constraints, np.ones(2 * n * n), lambda x, p: H @ p)  # noqa: ARG005


def logistic_on_sphere(A: Any, y: Any, *, rows: int = 10, rng: RandomState = None) -> EqualityProblem:
    """Logistic regression with ``rows`` random linear constraints and coefficients of norm one.

    Parameters
    ----------
    A : array of shape (N, d)
        The data.
    y : array of shape (N,)
        Labels -1 and 1.
    rows : int
        Linear constraints, with standard normal coefficients and right-hand sides divided by 10 d^(1/2), so
        that they meet the sphere.
    rng : None, int or Generator
        Where they come from.

    Returns
    -------
    EqualityProblem
        With `hessp`, so that no d x d matrix is needed.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import sketch
    >>> A = np.random.default_rng(0).normal(size=(200, 20))
    >>> p = sketch.problems.logistic_on_sphere(A, np.sign(A[:, 0]), rows=3, rng=0)
    >>> result = sketch.minimize(p.fun, p.x0, jac=p.jac, hess=p.hess, constraints=p.constraints)
    >>> print(result.success, f"{np.linalg.norm(result.x):.6f}")
    True 1.000000
    """
    A = checks.array("A", A, ndim=2, dtype=np.float64)
    y = checks.array("y", y, shape=(A.shape[0],), dtype=np.float64)
    rng = checks.generator(rng)
    N, d = A.shape
    C, b = rng.normal(size=(rows, d)), rng.normal(size=rows) / (10 * np.sqrt(d))

    def margins(x: Array) -> Array:
        return np.asarray(y * (A @ x))

    def slope(x: Array) -> Array:
        return np.asarray(1.0 / (1.0 + np.exp(margins(x))))

    def weights(x: Array) -> Array:
        p = slope(x)
        return np.asarray(p * (1.0 - p) / N)

    def hess(x: Array) -> Array:
        half = A * np.sqrt(weights(x))[:, None]
        return np.asarray(half.T @ half)  # a symmetric product takes half the work

    def c(x: Array) -> Array:
        return np.concatenate([C @ x - b, [x @ x - 1.0]])

    def second(x: Array, v: Array) -> Any:
        return sp.csr_array(2.0 * v[-1] * sp.eye_array(x.size))

    return EqualityProblem(
        fun=lambda x: float(np.logaddexp(0.0, -margins(x)).mean()),
        jac=lambda x: -(A.T @ (y * slope(x))) / N,
        hess=hess,
        constraints=(c, lambda x: np.concatenate([C, 2.0 * x[None]]), second),
        x0=np.ones(d),
        hessp=lambda x, p: A.T @ (weights(x) * (A @ p)),
    )


def ill_conditioned(
    n: int, d: int, cond: float, *, noise: float = 1e-3, rng: RandomState = None
) -> tuple[Array, Array]:
    """A least-squares problem with singular values from 1 down to 1 / `cond`, evenly in their logarithms.

    Parameters
    ----------
    n, d : int
        Rows and columns.
    cond : float
        The condition number.
    noise : float
        Standard deviation of what is added to the right-hand side A x.
    rng : None, int or Generator
        Where the random numbers come from.

    Returns
    -------
    A : array of shape (n, d)
        The matrix.
    b : array of shape (n,)
        The right-hand side.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import sketch
    >>> A, b = sketch.problems.ill_conditioned(100, 5, 1e6, rng=0)
    >>> print(f"{np.linalg.cond(A):.4g}")
    1e+06
    """
    rng = checks.generator(rng)
    U = np.linalg.qr(rng.normal(size=(n, d)))[0]
    V = np.linalg.qr(rng.normal(size=(d, d)))[0]
    A = (U * np.logspace(0, -np.log10(cond), d)) @ V.T
    return A, A @ rng.normal(size=d) + noise * rng.normal(size=n)
