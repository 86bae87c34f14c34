r"""The penalties of scikit-learn's linear models, fitted to a validation set: `from_estimator`.

    f(x, theta) = loss(A x, y) + sum_j e^theta_j w_j^2 / 2           ridge, logistic, support vectors
    f(x, theta) = |A x - y|^2 / (2 n) + sum_j e^theta_j (rho |w_j| + (1 - rho) w_j^2 / 2)     elastic net

x holds the coefficients w and, below them, the intercept, which is not penalised; those of several classes
are, by 1e-4, as they are determined up to a constant only. The elastic net is solved by
coordinate descent (J. Friedman, T. Hastie, R. Tibshirani, J. Stat. Softw. 33, 2010), and its implicit
equation is restricted to the support (Q. Bertrand et al., "Implicit differentiation of Lasso-type models",
ICML 2020).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from numsolve._core import checks

from .problem import BilevelProblem

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, ArrayLike

    from .result import BilevelResult

Weights = Literal["shared", "feature", "coefficient"]


class Loss(NamedTuple):
    """A loss of scores z and targets y, both (n, k): its value, derivative, and second derivative times v."""

    value: Callable[[Array, Array], float]
    slope: Callable[[Array, Array], Array]
    product: Callable[[Array, Array, Array], Array]


def _sigmoid(z: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-z)))


def _softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _softmax_product(z: Array, _: Array, v: Array) -> Array:
    p = _softmax(z)
    return np.asarray(p * (v - np.sum(p * v, axis=1, keepdims=True)))


LOSSES = {
    "squared": Loss(lambda z, y: 0.5 * float(np.sum((z - y) ** 2)), lambda z, y: z - y, lambda z, y, v: v),
    "logistic": Loss(
        lambda z, y: float(np.sum(np.logaddexp(0.0, -y * z))),
        lambda z, y: -y * _sigmoid(-y * z),
        lambda z, y, v: _sigmoid(z) * _sigmoid(-z) * v,
    ),
    "softmax": Loss(
        lambda z, y: float(np.sum(np.logaddexp.reduce(z, axis=1) - np.sum(z * y, axis=1))),
        lambda z, y: _softmax(z) - y,
        _softmax_product,
    ),
    "squared_hinge": Loss(
        lambda z, y: float(np.sum(np.maximum(0.0, 1 - y * z) ** 2)),
        lambda z, y: -2 * y * np.maximum(0.0, 1 - y * z),
        lambda z, y, v: 2.0 * (y * z < 1) * v,
    ),
}


class EstimatorProblem(BilevelProblem):
    """What `from_estimator` returns: the problem, where to start, and the way back to an estimator.

    Attributes
    ----------
    theta0, x0 : array
        The logarithms of the estimator's own penalties, and zero coefficients.
    """

    theta0: Array
    x0: Array
    estimator: Any
    classes: Array | None
    intercept: bool

    def fitted(self, result: BilevelResult) -> Any:
        """Make a fitted estimator.

        Parameters
        ----------
        result : BilevelResult
            What `numsolve.bilevel.minimize_bilevel` returned.

        Returns
        -------
        estimator
            A copy of the one given, with the coefficients of the result.
        """
        out = copy.deepcopy(self.estimator)
        w = result.x[:-1] if self.intercept else result.x
        b = result.x[-1] if self.intercept else np.zeros(result.x.shape[1])
        out.n_features_in_ = w.shape[0]
        if self.classes is None:
            out.coef_, out.intercept_ = w[:, 0], float(b[0])
        else:
            out.coef_, out.intercept_, out.classes_ = w.T.copy(), b.copy(), self.classes
        return out


def from_estimator(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    X_val: ArrayLike,
    y_val: ArrayLike,
    *,
    weights: Weights = "feature",
) -> EstimatorProblem:
    """State the choice of a scikit-learn estimator's penalties as a bilevel problem.

    Parameters
    ----------
    estimator : Ridge, ElasticNet, Lasso, LogisticRegression or LinearSVC
        Its penalty, `fit_intercept` and `l1_ratio` are taken; it is not fitted. Intercepts are not penalised,
        as they are by scikit-learn's LinearSVC; those of several classes are, by 1e-4 (so that they are
        unique). Settings that make another problem are refused.
    X, y : array of shape (n, features) and of shape (n,)
        Training data: features, and targets or classes.
    X_val, y_val : array of shape (n_val, features) and of shape (n_val,)
        Validation data.
    weights : {"shared", "feature", "coefficient"}
        One penalty, one for each feature, or one for each coefficient (of several classes).

    Returns
    -------
    EstimatorProblem
        With `theta0`, `x0` and `fitted(result)`.

    Raises
    ------
    TypeError
        If the estimator is of another kind, a class derived from one of these included.
    ValueError
        If the estimator has a setting that the problem does not see (`positive`, `class_weight`, another
        penalty or loss, several `alpha`), shapes do not match, or a class is missing from the training data.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from numsolve import bilevel
    >>> X, y = load_diabetes(return_X_y=True)
    >>> problem = bilevel.from_estimator(Ridge(0.1), X[::2], y[::2], X[1::2], y[1::2])
    >>> result = bilevel.minimize_bilevel(
    ...     problem, problem.theta0, problem.x0, theta_bounds=(-10, 10), tol=1e-2
    ... )
    >>> before, after = Ridge(0.1).fit(X[::2], y[::2]), problem.fitted(result)
    >>> [round(model.score(X[1::2], y[1::2]), 2) for model in (before, after)]
    [0.42, 0.45]
    """
    kind = type(estimator).__name__
    if kind not in KINDS:
        raise TypeError(f"estimator must be one of {', '.join(KINDS)}, got {kind}")
    _refuse(kind, estimator)
    checks.choice("weights", weights, ("shared", "feature", "coefficient"))
    A, V = checks.array("X", X, ndim=2, empty=False), checks.array("X_val", X_val, ndim=2, empty=False)
    if A.shape[1] != V.shape[1]:
        raise ValueError(f"X and X_val must have as many columns, got {A.shape[1]} and {V.shape[1]}")
    name, penalty = KINDS[kind]
    intercept = bool(estimator.fit_intercept)
    if intercept:
        A, V = (np.concatenate([M, np.ones((len(M), 1))], axis=1) for M in (A, V))
    Y, W, classes = _targets(name, y, y_val, len(A), len(V))
    if name == "logistic" and Y.shape[1] > 1:
        name = "softmax"
    features, k = A.shape[1] - intercept, Y.shape[1]
    start = float(np.log(max(penalty(estimator), 1e-12)))
    shape = {"shared": (), "feature": (features,), "coefficient": (features, k)}[weights]
    l1_ratio = {"ElasticNet": lambda: float(estimator.l1_ratio), "Lasso": lambda: 1.0}.get(kind)
    model = _Model(A, Y, V, W, LOSSES[name], features, weights)
    problem = model.ridge() if l1_ratio is None else model.elastic_net(l1_ratio())
    problem.theta0, problem.x0 = np.full(shape, start), np.zeros((A.shape[1], k))
    problem.estimator, problem.classes, problem.intercept = estimator, classes, intercept
    return problem


#: The loss of each estimator, and the number that multiplies |w|^2 / 2 (or the penalty of an elastic net).
KINDS: dict[str, tuple[str, Callable[[Any], float]]] = {
    "Ridge": ("squared", lambda e: float(e.alpha)),
    "ElasticNet": ("squared", lambda e: float(e.alpha)),
    "Lasso": ("squared", lambda e: float(e.alpha)),
    "LogisticRegression": ("logistic", lambda e: 1.0 / float(e.C)),
    "LinearSVC": ("squared_hinge", lambda e: 1.0 / float(e.C)),
}


#: The settings that make another problem, and the values that do not.
FITS: dict[str, tuple[Any, ...]] = {
    "positive": (False,),
    "class_weight": (None,),
    "penalty": ("l2", "deprecated"),
    "loss": ("squared_hinge",),
    "multi_class": ("ovr", "auto", "deprecated", "multinomial"),
}


def _refuse(kind: str, estimator: Any) -> None:
    """Refuse an estimator whose problem is another one."""
    for name, allowed in FITS.items():
        value = getattr(estimator, name, allowed[0])
        if not isinstance(value, str | bool | None) or value not in allowed:
            raise ValueError(f"estimator must have {name}={allowed[0]!r}, got {value!r}")
    if kind == "LogisticRegression" and getattr(estimator, "l1_ratio", None) not in {None, 0.0}:
        raise ValueError(f"estimator must have l1_ratio=0, got {estimator.l1_ratio!r}; ElasticNet has it")
    if kind == "LogisticRegression" and estimator.solver == "liblinear" and estimator.fit_intercept:
        raise ValueError("estimator must not have solver='liblinear', which penalises the intercept")
    for name in ("alpha", "C"):
        if hasattr(estimator, name):
            checks.real(f"estimator.{name}", getattr(estimator, name), low=0.0, open_low=name == "C")
    if kind == "ElasticNet":
        checks.real("estimator.l1_ratio", estimator.l1_ratio, low=0.0, high=1.0)


def _targets(name: str, y: ArrayLike, y_val: ArrayLike, n: int, m: int) -> tuple[Array, Array, Array | None]:
    """The targets as columns: numbers, signs, or one column for each class."""
    one, two = np.asarray(y), np.asarray(y_val)
    for label, values, rows in (("y", one, n), ("y_val", two, m)):
        if values.shape != (rows,):
            raise ValueError(f"{label} must have shape ({rows},), got {values.shape}")
    if name == "squared":
        pair = (checks.array(label, values)[:, None] for label, values in (("y", one), ("y_val", two)))
        first, second = pair
        return first, second, None
    classes = np.unique(one)
    if not np.isin(two, classes).all() or len(classes) < 2:
        raise ValueError(f"y must hold at least two classes, and all of y_val's; it holds {classes}")
    if len(classes) == 2:
        return (
            np.where(one == classes[1], 1.0, -1.0)[:, None],
            np.where(two == classes[1], 1.0, -1.0)[:, None],
            classes,
        )
    if name == "squared_hinge":
        raise ValueError("LinearSVC is taken for two classes only; LogisticRegression takes several")
    return (one[:, None] == classes).astype(float), (two[:, None] == classes).astype(float), classes


#: The penalty of several classes' intercepts, which are determined up to a constant only.
WEAK = 1e-4
#: Unknowns up to which Hessians are made, not multiplied.
DENSE = 500


class _Model:
    """A linear model's data, from which both kinds of problems are made."""

    def __init__(
        self, A: Array, Y: Array, V: Array, W: Array, loss: Loss, features: int, weights: str
    ) -> None:
        self.A, self.Y, self.V, self.W, self.loss = A, Y, V, W, loss
        self.features, self.weights = features, weights

    def spread(self, t: Array) -> Array:
        """E^theta for each coefficient, zero for the intercept; a column if all classes share it."""
        values = np.exp(t)
        out = np.zeros((self.A.shape[1], values.shape[1] if values.ndim == 2 else 1))
        out[self.features :] = WEAK if self.Y.shape[1] > 1 else 0.0
        out[: self.features] = values if values.ndim == 2 else np.reshape(values, (-1, 1))
        return out

    def gather(self, each: Array) -> Array:
        """Derivatives by coefficient, summed to theta's shape."""
        each = each[: self.features]
        if self.weights == "coefficient":
            return each
        return each.sum(axis=1) if self.weights == "feature" else np.asarray(each.sum())

    def upper(self, x: Array, t: Array) -> float:
        return self.loss.value(self.V @ x, self.W) / len(self.V)

    def upper_grad(self, x: Array, t: Array) -> tuple[Array, None]:
        return self.V.T @ self.loss.slope(self.V @ x, self.W) / len(self.V), None

    def ridge(self) -> EstimatorProblem:
        """Ridge penalties."""
        A, Y, loss, spread = self.A, self.Y, self.loss, self.spread
        one = np.ones_like(Y)
        # The squared loss has the same curvature everywhere.
        gram = A.T @ A if loss is LOSSES["squared"] and A.shape[1] <= DENSE else None

        def hess(x: Array, t: Array) -> Array:
            weighted = loss.product(A @ x, Y, one) * A if gram is None else None
            H = A.T @ weighted if gram is None else gram.copy()
            H.flat[:: len(H) + 1] += spread(t)[:, 0]
            return np.asarray(H)

        return EstimatorProblem(
            self.upper,
            lambda x, t: loss.value(A @ x, Y) + 0.5 * float(np.sum(spread(t) * x**2)),
            upper_grad=self.upper_grad,
            lower_grad=lambda x, t: A.T @ loss.slope(A @ x, Y) + spread(t) * x,
            lower_hvp=lambda x, t, v: A.T @ loss.product(A @ x, Y, A @ v) + spread(t) * v,
            lower_cross_vjp=lambda x, t, q: self.gather(spread(t) * x * q),
            lower_grad_theta=lambda x, t: self.gather(0.5 * spread(t) * x**2),
            lower_hess=hess if A.shape[1] <= DENSE and Y.shape[1] == 1 else None,
        )

    def elastic_net(self, rho: float) -> EstimatorProblem:
        """Penalties with corners: on the support everything is smooth, off it x stays zero."""
        A, Y, spread, n = self.A, self.Y, self.spread, len(self.A)
        gram, right = A.T @ A / n, (A.T @ Y / n)[:, 0]
        free = np.arange(A.shape[1]) >= self.features  # the intercept

        def support(x: Array) -> Array:
            return np.asarray((x[:, 0] != 0.0) | free)

        def lower(x: Array, t: Array) -> float:
            e = spread(t)
            fit = 0.5 * float(np.sum((A @ x - Y) ** 2)) / n
            return fit + float(np.sum(e * (rho * np.abs(x) + 0.5 * (1 - rho) * x**2)))

        def grad(x: Array, t: Array) -> Array:
            """The subgradient of least norm."""
            e = spread(t)[:, 0]
            g = gram @ x[:, 0] - right + (1 - rho) * e * x[:, 0]
            corner = np.sign(g) * np.maximum(np.abs(g) - rho * e, 0.0)
            return np.where(support(x), g + rho * e * np.sign(x[:, 0]), corner)[:, None]

        def product(x: Array, t: Array, v: Array) -> Array:
            on = support(x)
            inside = np.where(on, v[:, 0], 0.0)
            Hv = gram @ inside + (1 - rho) * spread(t)[:, 0] * inside
            return np.where(on, Hv, v[:, 0])[:, None]  # the identity off the support

        def hess(x: Array, t: Array) -> Array:
            on = support(x)
            H = np.where(on[:, None] & on, gram, 0.0)
            H.flat[:: len(H) + 1] += np.where(on, (1 - rho) * spread(t)[:, 0], 1.0)
            return H

        def cross(x: Array, t: Array, q: Array) -> Array:
            e = spread(t)
            return self.gather(e * (rho * np.sign(x) + (1 - rho) * x) * q)

        def solve(t: Array, x: Array, tol: float) -> Array:
            from ._cpu import elastic_net

            e = spread(t)[:, 0]
            return np.asarray(elastic_net(gram, right, x[:, 0].copy(), rho * e, (1 - rho) * e, tol, 100_000))[
                :, None
            ]

        problem = EstimatorProblem(
            self.upper, lower, upper_grad=self.upper_grad, lower_grad=grad, lower_hvp=product,
            lower_cross_vjp=cross, lower_solver=solve, lower_hess=hess if A.shape[1] <= DENSE else None,
        )  # fmt: skip
        problem.smooth = False
        return problem
