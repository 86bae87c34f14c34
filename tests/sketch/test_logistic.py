"""Logistic regression under equations."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.optimize import LinearConstraint, NonlinearConstraint
from scipy.optimize import minimize as scipy_minimize

import numsolve
from numsolve import sketch

pytest.importorskip("sklearn", minversion="1.6")
linear_model = pytest.importorskip("sklearn.linear_model")


def data(n=200, d=5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    return X, np.where(X @ rng.normal(size=d) + 0.5 + rng.logistic(size=n) > 0, "yes", "no")


def objective(x, X, y, C, weights=None):
    """Written anew: the mean loss and the penalty."""
    w = np.ones(len(y)) if weights is None else weights
    s = np.where(y == "yes", 1.0, -1.0)
    z = X @ x[:-1] + x[-1]
    return (w @ np.logaddexp(0.0, -s * z)) / w.sum() + x[:-1] @ x[:-1] / (2 * C * w.sum())


def solution(model):
    return np.append(model.coef_[0], model.intercept_)


LINEAR = LinearConstraint(np.array([[1.0, 1, 1, 1, 1, 0], [1.0, -2, 0, 0, 0, 0.5]]), [0.5, 0.0], [0.5, 0.0])
PRODUCT = NonlinearConstraint(
    lambda x: x[0] * x[1] - x[2],
    0.1,
    0.1,
    jac=lambda x: np.array([[x[1], x[0], -1.0, 0, 0, 0]]),
    hess=lambda x, v: v[0] * (np.eye(6)[[1, 0, 3, 3, 3, 3]] * (np.arange(6) < 2)[:, None]),
)


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0, np.inf])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_without_constraints_it_is_scikit_learns(C, fit_intercept):
    X, y = data()
    theirs = linear_model.LogisticRegression(
        C=min(C, 1e14), fit_intercept=fit_intercept, tol=1e-12, max_iter=10_000, solver="newton-cholesky"
    ).fit(X, y)
    ours = sketch.ConstrainedLogisticRegression(C, fit_intercept=fit_intercept).fit(X, y)
    assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-6)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-7)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


@pytest.mark.filterwarnings(
    "ignore:Constraint options", "ignore:delta_grad"
)  # what SciPy says of its methods
@pytest.mark.parametrize("constraint", [LINEAR, PRODUCT], ids=["linear", "product"])
@pytest.mark.parametrize("method", ["SLSQP", "trust-constr"])
def test_the_minimum_is_that_of_scipys_methods(constraint, method):
    X, y = data()
    ours = sketch.ConstrainedLogisticRegression(2.0, constraints=constraint).fit(X, y)
    options = {"SLSQP": {"ftol": 1e-15}, "trust-constr": {"gtol": 1e-10, "xtol": 1e-14, "maxiter": 3000}}[
        method
    ]
    theirs = scipy_minimize(
        objective, solution(ours) * 0.5, (X, y, 2.0), method=method, constraints=[constraint], options=options
    )
    assert ours.result_.success
    assert objective(solution(ours), X, y, 2.0) == pytest.approx(theirs.fun, abs=1e-8)
    assert_allclose(solution(ours), theirs.x, atol=2e-4)


def test_the_conditions_of_karush_kuhn_and_tucker_hold():
    X, y = data()
    model = sketch.ConstrainedLogisticRegression(3.0, constraints=[LINEAR], norm=1.5).fit(X, y)
    x = solution(model)
    h = 1e-6
    gradient = [
        (objective(x + h * e, X, y, 3.0) - objective(x - h * e, X, y, 3.0)) / (2 * h) for e in np.eye(6)
    ]
    normals = np.vstack([LINEAR.A, np.append(x[:-1], 0.0) / 1.5])
    assert_allclose(gradient + model.result_.lam @ normals, 0.0, atol=1e-8)
    assert_allclose(LINEAR.A @ x, LINEAR.lb, atol=1e-8)
    assert np.linalg.norm(model.coef_) == pytest.approx(1.5, abs=1e-8)


@pytest.mark.parametrize("which", [0, 1])
def test_a_multiplier_is_the_price_of_a_right_hand_side(which):
    X, y = data()

    def loss(right):
        constraint = LinearConstraint(LINEAR.A, right, right)
        model = sketch.ConstrainedLogisticRegression(constraints=constraint).fit(X, y)
        return model.result_.fun, model.result_.lam

    h = 1e-4 * np.eye(2)[which]
    price = (loss(LINEAR.lb + h)[0] - loss(LINEAR.lb - h)[0]) / 2e-4
    assert -loss(LINEAR.lb)[1][which] == pytest.approx(price, abs=1e-6)


@pytest.mark.parametrize("norm", [0.01, 1.0, 30.0])
def test_no_point_of_the_sphere_has_a_smaller_loss(norm):
    X, y = data()
    model = sketch.ConstrainedLogisticRegression(norm=norm).fit(X, y)
    assert np.linalg.norm(model.coef_) == pytest.approx(norm, rel=1e-6)
    rng = np.random.default_rng(0)
    for spread in (1e-3, 0.1, 1.0):
        for _ in range(50):
            w = model.coef_[0] + spread * norm * rng.normal(size=5)
            x = np.append(w * norm / np.linalg.norm(w), model.intercept_ + spread * rng.normal())
            assert objective(x, X, y, 1.0) >= objective(solution(model), X, y, 1.0) - 1e-12


@pytest.mark.parametrize("norm", [1e20, 1e22, 1e24, 1e28, 1e30, 1e32])
def test_a_norm_that_dwarfs_the_loss_does_not_hide_its_slope(norm):
    """On the sphere the penalty is constant: its rounding errors make no point a minimum."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    y = X[:, 0] + rng.normal(size=40) > 0
    model = sketch.ConstrainedLogisticRegression(norm=norm)
    with pytest.warns(numsolve.ConvergenceWarning):
        model.fit(X, y)
    assert not model.result_.success
    assert model.result_.optimality > 1e-3


def test_the_objective_on_a_sphere_has_its_penalty():
    X, y = data()
    model = sketch.ConstrainedLogisticRegression(0.5, norm=2.0).fit(X, y)
    assert model.result_.fun == pytest.approx(objective(solution(model), X, y, 0.5), rel=1e-12)


def test_data_whose_hessian_nearly_vanishes_raise_no_warning():
    X, y = data()
    model = sketch.ConstrainedLogisticRegression(C=np.inf).fit(X * 1e-300, y)
    assert np.isfinite(model.coef_).all()


def test_sparse_rows_and_weights_give_what_dense_rows_repeated_give():
    X, y = data(60)
    X = X * (np.random.default_rng(1).random(X.shape) < 0.5)
    counts = np.random.default_rng(2).integers(0, 4, 60)
    repeated = sketch.ConstrainedLogisticRegression(constraints=LINEAR).fit(
        np.repeat(X, counts, axis=0), np.repeat(y, counts)
    )
    for rows in (X, sparse.csr_array(X), sparse.csc_matrix(X)):
        model = sketch.ConstrainedLogisticRegression(constraints=LINEAR).fit(rows, y, sample_weight=counts)
        assert_allclose(solution(model), solution(repeated), atol=1e-7)


def test_more_unknowns_than_a_hessian_is_made_for():
    rng = np.random.default_rng(0)
    X = sparse.random_array((300, 1500), density=0.02, rng=rng, format="csr")
    y = X[:, :20].sum(axis=1) > np.median(X[:, :20].sum(axis=1))
    normal = (np.arange(1501) < 20) * 1.0
    model = sketch.ConstrainedLogisticRegression(constraints=LinearConstraint(normal, 1.0, 1.0), tol=1e-7)
    model.fit(X, y)
    assert model.result_.success
    assert model.coef_[0, :20].sum() == pytest.approx(1.0, abs=1e-7)


def test_one_that_does_not_converge_warns_and_keeps_its_best():
    X, y = data()
    with pytest.warns(numsolve.ConvergenceWarning):
        model = sketch.ConstrainedLogisticRegression(norm=5.0, maxiter=1).fit(X, y)
    assert not model.result_.success
    assert np.isfinite(model.coef_).all()


X, Y = data(20)


@pytest.mark.parametrize(
    ("settings", "rows", "y", "error", "message"),
    [
        ({"C": 0.0}, X, Y, ValueError, "C must be a number above 0, got 0.0"),
        ({"C": np.nan}, X, Y, ValueError, "C must be"),
        ({"norm": 0.0}, X, Y, ValueError, "norm must be a finite number above 0"),
        ({"norm": np.inf}, X, Y, ValueError, "norm"),
        ({"norm": 1e160}, X, Y, ValueError, "norm must be .* at most 1e"),
        ({}, X * 1e160, Y, ValueError, "X must hold numbers up to 1.1e.151, whose squares are summed"),
        ({}, sparse.csr_array(X * 1e160), Y, ValueError, "X must hold numbers up to"),
        ({"tol": -1.0}, X, Y, ValueError, "tol"),
        ({"fit_intercept": "yes"}, X, Y, TypeError, "fit_intercept"),
        ({"constraints": LinearConstraint(np.ones(6), 0, 1)}, X, Y, ValueError, "inequalit|lb"),
        ({"constraints": LinearConstraint(np.ones(5), 0, 0)}, X, Y, ValueError, "6"),
        ({"constraints": 3}, X, Y, TypeError, "constraints must be"),
        ({}, X, np.zeros(20), ValueError, "two classes, got one class: 0.0$"),
        ({}, X, np.arange(20) % 3, ValueError, "binary"),
        ({}, X, np.linspace(0, 1, 20), ValueError, "continuous"),
        ({}, X, Y[:19], ValueError, "inconsistent numbers of samples"),
        ({}, X, None, ValueError, "requires y"),
        ({}, X * np.nan, Y, ValueError, "NaN"),
        ({}, X[0], Y, ValueError, "2D array"),
    ],
)
def test_bad_input_is_refused(settings, rows, y, error, message):
    with pytest.raises(error, match=message):
        sketch.ConstrainedLogisticRegression(**settings).fit(rows, y)
