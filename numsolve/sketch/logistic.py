r"""Logistic regression under equations for the coefficients.

    min  mean_i log(1 + exp(-s_i (a_i . w + b))) + |w|^2 / (2 C n)    subject to   c(w, b) = 0            (1)

with signs s_i of the classes, by `numsolve.sketch.minimize`: Newton's method with an exact augmented
Lagrangian. Times C n this is the objective of scikit-learn's LogisticRegression.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse as sp
from scipy.special import expit, log_expit

from numsolve._core import arrays, checks, estimator, extras
from numsolve._core.foreign import answers

from .glm import check_squares
from .minimize import minimize

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Callback, Matrix

    from .result import SketchResult

    Base = object
else:
    Base = estimator.base("ClassifierMixin")

__all__ = ["ConstrainedLogisticRegression"]

#: Unknowns up to which the Hessian is made; beyond, it is multiplied.
DENSE = 1000
#: The largest norm: its square is a number too.
LONGEST = 1e150


class ConstrainedLogisticRegression(Base):  # type: ignore[misc,unused-ignore]
    """Logistic regression of two classes under equations for its coefficients, as a scikit-learn classifier.

    Without constraints it is scikit-learn's LogisticRegression. A linear equation makes scores of two groups
    equal in the mean, or coefficients sum to zero; a fixed norm gives the scores a scale.

    Parameters
    ----------
    C : float
        Inverse of the penalty's weight, as in scikit-learn; infinite for no penalty.
    constraints : object
        Equations for ``x = (coefficients, intercept)``, of d + 1 entries (d without an intercept), in every
        form that `numsolve.sketch.minimize` takes: `scipy.optimize.LinearConstraint` or
        `NonlinearConstraint` with ``lb == ub``, functions ``(c, jac, hess)``, or a list of these.
    norm : float, optional
        The length of the coefficients, positive, at most 1e150; the intercept does not count.
    fit_intercept : bool
        Whether there is an intercept; it is not penalised.
    tol : float
        Converged when the residual of the conditions of Karush, Kuhn and Tucker is at most `tol`.
    maxiter, callback, progress, time_limit
        As in `numsolve.sketch.minimize`.

    Attributes
    ----------
    coef_ : array of shape (1, d)
        Coefficients.
    intercept_ : array of shape (1,)
        Intercept, zero without one.
    classes_ : array of shape (2,)
        The classes; a positive score is the second.
    result_ : SketchResult
        Of the minimisation: `residual`, `nit`, `success`, and the multipliers `lam` of the equations, in
        their order, that of the norm last. ``-lam`` is the derivative of the mean loss in their right-hand
        sides.
    n_features_in_ : int
        The number of features d.

    See Also
    --------
    numsolve.sketch.minimize : What solves the problem, and says which of its ends are a success.

    Notes
    -----
    Inequalities are not taken; `scipy.optimize.minimize` has methods for them.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.optimize import LinearConstraint
    >>> from numsolve.sketch import ConstrainedLogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 3))
    >>> y = X @ [2.0, -1.0, 0.5] + rng.logistic(size=200) > 0
    >>> sums_to_zero = LinearConstraint([1.0, 1.0, 1.0, 0.0], 0.0, 0.0)
    >>> model = ConstrainedLogisticRegression(constraints=sums_to_zero).fit(X, y)
    >>> print(abs(model.coef_.sum()) < 1e-8, model.score(X, y) > 0.75)
    True True
    """

    coef_: Array
    intercept_: Array
    classes_: Array
    result_: SketchResult
    n_features_in_: int

    @answers()
    def __init__(
        self,
        C: float = 1.0,
        *,
        constraints: object = (),
        norm: float | None = None,
        fit_intercept: bool = True,
        tol: float = 1e-8,
        maxiter: int | None = None,
        callback: Callback | None = None,
        progress: bool = False,
        time_limit: float | None = None,
    ) -> None:
        self.C = C
        self.constraints = constraints
        self.norm = norm
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.maxiter = maxiter
        self.callback = callback
        self.progress = progress
        self.time_limit = time_limit

    def fit(self, X: Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the coefficients.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, d)
            Data.
        y : array of shape (n,)
            The class of each row, one of two.
        sample_weight : array of shape (n,), optional
            Weights of the rows, nonnegative, each 1 by default; a row of weight zero is left out.

        Returns
        -------
        ConstrainedLogisticRegression
            This estimator.

        Raises
        ------
        ValueError
            If there are not two classes, a constraint is an inequality, or squares of `X` overflow.

        Warns
        -----
        ConvergenceWarning
            If the tolerance was not reached; the best coefficients are kept.
        """
        C = checks.real("C", self.C, low=0.0, open_low=True, infinite=True)
        norm = self.norm
        if norm is not None:
            norm = checks.real("norm", norm, low=0.0, high=LONGEST, open_low=True)
        intercept = checks.flag("fit_intercept", self.fit_intercept)
        if y is None:
            raise ValueError(
                "ConstrainedLogisticRegression requires y to be passed, but the target y is None"
            )
        A, target = estimator.data(self, X, y, fitting=True, sparse=True)
        check_squares("X", A.data if arrays.is_sparse(A) else A)
        weights = np.ones(A.shape[0])
        if sample_weight is not None:
            weights = checks.masses("sample_weight", sample_weight, length=A.shape[0], dtype=float)
            some = weights > 0.0
            A, target, weights = A[some], target[some], weights[some]
        signs, d = self._signs(target), A.shape[1]
        if intercept:
            ones = np.ones((A.shape[0], 1))
            A = (
                sp.hstack([A, sp.csr_array(ones)], format="csr")
                if arrays.is_sparse(A)
                else np.hstack([A, ones])
            )
        total = float(weights.sum())
        # On a sphere the penalty is constant: beside a large one the rounding errors would hide the loss.
        weight = 1.0 / (C * total)
        penalty = np.where(np.arange(A.shape[1]) < d, weight if norm is None else 0.0, 0.0)
        model = Model(A, signs, weights / total, penalty)
        constraints, x0 = [self.constraints], np.zeros(A.shape[1])
        if norm is not None:
            constraints.append(Sphere(norm, d).functions)
            x0[:d] = -model.jac(x0)[:d]  # towards the second class
            length = float(np.linalg.norm(x0))
            x0 = (
                x0 * (norm / length) if length > 0.0 else np.where(np.arange(x0.size) < d, norm / d**0.5, 0.0)
            )
        result = minimize(
            model.fun, x0, jac=model.jac,
            hess=model.hess if x0.size <= DENSE else None, hessp=None if x0.size <= DENSE else model.hessp,
            constraints=constraints, tol=self.tol, maxiter=self.maxiter, callback=self.callback,
            progress=self.progress, time_limit=self.time_limit,
        )  # fmt: skip
        if norm is not None:  # what (1) has beside the loss
            lam = np.append(result.lam[:-1], result.lam[-1] - weight * norm)
            result = replace(result, fun=result.fun + 0.5 * weight * norm * norm, lam=lam)
        self.result_ = result
        self.coef_ = self.result_.x[None, :d].copy()
        self.intercept_ = self.result_.x[d:].copy() if intercept else np.zeros(1)
        return self

    def _signs(self, y: Array) -> Array:
        """The classes as -1 and 1."""
        extras.require("sklearn.utils.multiclass", "an estimator").check_classification_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) > 2:
            raise ValueError(
                "Only binary classification is supported: y must hold two classes. The type of the target is "
                f"multiclass, it holds {len(self.classes_)}"
            )
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold two classes, got one class: {self.classes_.tolist()[0]!r}")
        return np.where(y == self.classes_[1], 1.0, -1.0)

    def decision_function(self, X: Matrix) -> Array:
        """Compute the scores.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, d)
            Data.

        Returns
        -------
        array of shape (n,)
            Logarithms of the odds of the second class.
        """
        rows = estimator.data(self, X, sparse=True)
        return np.asarray(rows @ self.coef_[0] + self.intercept_[0])

    def predict(self, X: Matrix) -> Array:
        """Tell the more probable class of each row.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, d)
            Data.

        Returns
        -------
        array of shape (n,)
        """
        second = self.decision_function(X) > 0
        return np.asarray(self.classes_[second.astype(int)])

    def predict_proba(self, X: Matrix) -> Array:
        """Compute the probabilities of both classes.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, d)
            Data.

        Returns
        -------
        array of shape (n, 2)
        """
        score = self.decision_function(X)
        return np.stack([expit(-score), expit(score)], axis=1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_class = False
        return tags


class Model:
    """The objective of (1) and its derivatives."""

    def __init__(self, A: Any, signs: Array, weights: Array, penalty: Array) -> None:
        self.A, self.signs, self.weights, self.penalty = A, signs, weights, penalty

    def fun(self, x: Array) -> float:
        """The objective."""
        loss = -float(self.weights @ log_expit(self.signs * (self.A @ x)))
        return loss + 0.5 * float(self.penalty @ x**2)

    def jac(self, x: Array) -> Array:
        """The gradient."""
        slopes = -self.weights * self.signs * expit(-self.signs * (self.A @ x))
        return np.asarray(self.A.T @ slopes + self.penalty * x)

    def curvature(self, x: Array) -> Array:
        """The second derivatives in the scores."""
        z = self.A @ x
        return np.asarray(self.weights * expit(z) * expit(-z))

    def hess(self, x: Array) -> Array:
        """The Hessian."""
        if arrays.is_sparse(self.A):
            out = (self.A.T @ sp.diags_array(self.curvature(x)) @ self.A).toarray()
        else:
            half = self.A * np.sqrt(self.curvature(x))[:, None]
            out = half.T @ half
        out.flat[:: len(x) + 1] += self.penalty
        return np.asarray(out)

    def hessp(self, x: Array, p: Array) -> Array:
        """The Hessian times a vector."""
        return np.asarray(self.A.T @ (self.curvature(x) * (self.A @ p)) + self.penalty * p)


class Sphere:
    """The equation (|w|^2 - norm^2) / (2 norm) = 0: near the sphere, about |w| - norm."""

    def __init__(self, norm: float, d: int) -> None:
        self.norm, self.d = norm, d

    @property
    def functions(self) -> tuple[Any, Any, Any]:
        """Value, derivative, and Hessian times the multiplier."""
        return self.value, self.jac, self.hess

    def value(self, x: Array) -> Array:
        """The equation's left-hand side."""
        w = x[: self.d] / self.norm  # whose square neither overflows nor vanishes near the sphere
        return np.array([0.5 * self.norm * (w @ w - 1.0)])

    def jac(self, x: Array) -> Array:
        """Of shape (1, n)."""
        return np.where(np.arange(x.size) < self.d, x / self.norm, 0.0)[None]

    def hess(self, x: Array, v: Array) -> Array:
        """A diagonal matrix."""
        return np.diag(np.where(np.arange(x.size) < self.d, v[0] / self.norm, 0.0))
