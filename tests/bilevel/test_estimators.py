"""scikit-learn's linear models as lower levels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numsolve import bilevel

datasets = pytest.importorskip("sklearn.datasets")
linear_model = pytest.importorskip("sklearn.linear_model")
svm = pytest.importorskip("sklearn.svm")

X, Y = datasets.load_diabetes(return_X_y=True)
X, Y = X / X.std(axis=0), (Y - Y.mean()) / Y.std()
B, C = datasets.load_breast_cancer(return_X_y=True)
B = (B - B.mean(axis=0)) / B.std(axis=0)
IRIS = datasets.load_iris(return_X_y=True)


def halves(X, y):
    return X[::2], y[::2], X[1::2], y[1::2]


@pytest.mark.parametrize(
    ("estimator", "data"),
    [
        (linear_model.Ridge(2.0), (X, Y)),
        (linear_model.ElasticNet(0.05, l1_ratio=0.7, tol=1e-10, max_iter=10**5), (X, Y)),
        (linear_model.Lasso(0.05, tol=1e-10, max_iter=10**5), (X, Y)),
        (linear_model.LogisticRegression(C=0.5, tol=1e-10, max_iter=10**4), (B, C)),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else "",
)
def test_the_lower_solution_is_what_scikit_learn_fits(estimator, data):
    problem = bilevel.from_estimator(estimator, *halves(*data), weights="shared")
    result = bilevel.hypergradient(problem, problem.theta0, problem.x0, tol=1e-6)
    model = estimator.fit(data[0][::2], data[1][::2])
    assert_allclose(problem.fitted(result).coef_, model.coef_, atol=1e-5)
    assert_allclose(problem.fitted(result).intercept_, model.intercept_, atol=1e-5)


@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_the_hypergradient_of_an_elastic_net_agrees_with_differences(l1_ratio):
    net = linear_model.ElasticNet(0.1, l1_ratio=l1_ratio)
    problem = bilevel.from_estimator(net, *halves(X, Y))
    phi = lambda t: bilevel.hypergradient(problem, t, problem.x0, tol=1e-11, eps=1e-12, delta=1e-12)  # noqa: E731
    h, theta = 1e-5, problem.theta0
    slopes = [(phi(theta + h * e).fun - phi(theta - h * e).fun) / (2 * h) for e in np.eye(10)]
    assert_allclose(phi(theta).grad, slopes, atol=1e-8)


@pytest.mark.parametrize(
    ("estimator", "data", "weights"),
    [
        (linear_model.Ridge(1.0), (X, Y), "feature"),
        (linear_model.LogisticRegression(), (B, C), "feature"),
        (linear_model.LogisticRegression(), IRIS, "coefficient"),
        (svm.LinearSVC(C=0.1), (B, C), "shared"),
    ],
    ids=["ridge", "logistic", "softmax", "svm"],
)
def test_fitted_penalties_lower_the_validation_loss_to_a_stationary_point(estimator, data, weights):
    problem = bilevel.from_estimator(estimator, *halves(*data), weights=weights)
    result = bilevel.minimize_bilevel(problem, problem.theta0, problem.x0, theta_bounds=(-8, 8), tol=3e-4)
    assert result.success
    assert result.fun < result.history.fun[0]
    model = problem.fitted(result)
    assert model.predict(data[0][1::2]).shape == data[1][1::2].shape


@pytest.mark.parametrize(
    ("estimator", "data", "settings", "error", "message"),
    [
        (svm.SVC(), halves(B, C), {}, TypeError, "estimator must be one of"),
        (linear_model.LogisticRegressionCV(), halves(B, C), {}, TypeError, "estimator must be one of"),
        (linear_model.Lasso(positive=True), halves(X, Y), {}, ValueError, "positive"),
        (linear_model.Ridge([1.0, 2.0]), halves(X, Y), {}, TypeError, "alpha"),
        (linear_model.LogisticRegression(l1_ratio=1.0), halves(B, C), {}, ValueError, "l1_ratio"),
        (linear_model.LogisticRegression(class_weight="balanced"), halves(B, C), {}, ValueError, "weight"),
        (linear_model.LogisticRegression(class_weight={0: 2.0}), halves(B, C), {}, ValueError, "weight"),
        (linear_model.LogisticRegression(solver="liblinear"), halves(B, C), {}, ValueError, "liblinear"),
        (svm.LinearSVC(loss="hinge"), halves(B, C), {}, ValueError, "loss"),
        (svm.LinearSVC(penalty="l1"), halves(B, C), {}, ValueError, "penalty"),
        (linear_model.Ridge(), (X, Y, X[:, :3], Y), {}, ValueError, "columns"),
        (linear_model.Ridge(), (X, Y[:-1], X, Y), {}, ValueError, "y must have shape"),
        (linear_model.LogisticRegression(), (B, 0 * C, B, C), {}, ValueError, "two classes"),
        (linear_model.Ridge(), halves(X, Y), {"weights": "each"}, ValueError, "weights"),
        (svm.LinearSVC(), halves(*IRIS), {}, ValueError, "two classes only"),
    ],
    ids=[
        "kind",
        "cv",
        "positive",
        "alphas",
        "l1",
        "balanced",
        "weights of classes",
        "liblinear",
        "hinge",
        "l1 svm",
        "columns",
        "rows",
        "one class",
        "weights",
        "three classes",
    ],
)
def test_bad_input_is_refused(estimator, data, settings, error, message):
    with pytest.raises(error, match=message):
        bilevel.from_estimator(estimator, *data, **settings)
