"""Penalties by hypergradients against jaxopt, scikit-learn's grid, sparse-ho and published methods.

Real data sets of scikit-learn (breast cancer, digits, wine, diabetes), halved into training and validation.
Each side ends at 1 % above the same validation loss: for one penalty that of the grid's best, solved to the
end; what jaxopt has after ten iterations for a penalty a feature; sparse-ho's own. `error` is the excess over
that loss, computed anew. (The grid itself ends its solves early, at scikit-learn's tolerance. On the wine
data that is 6 % better on the validation half than any solution; it says nothing of the penalty.)

Our side factorises Hessians here, as from_estimator makes them; jaxopt's is compiled, and its first call says
what that takes.

The floor: one Hessian of breast cancer is a product of a 31 x 284 matrix with its transpose, half a Mflop or
0.1 ms on one core, and a run takes some twenty to a hundred.
"""

from __future__ import annotations

import functools
import time
import warnings

import numpy as np

from _harness import Case, Peer, main
from numsolve import bilevel

SLACK = 1.01


def halves(name):
    """Standardised training and validation halves."""
    from sklearn import datasets

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    X = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-3)
    if name == "diabetes":
        y = (y - y.mean()) / y.std()
    if name in {"digits", "wine"}:
        y = (y >= {"digits": 5, "wine": 1}[name]).astype(int)  # two classes
    order = np.random.default_rng(0).permutation(len(X))
    train, val = np.array_split(order, 2)
    return X[train], y[train], X[val], y[val]


def loss_of(model, X, y):
    """Mean validation loss of coefficients and intercept."""
    z = X @ np.ravel(model.coef_) + np.ravel(model.intercept_)[0]
    if set(np.unique(y)) <= {0, 1}:
        return float(np.mean(np.logaddexp(0.0, np.where(y == 1, -z, z))))
    return float(0.5 * np.mean((z - y) ** 2))


def by_numsolve(estimator, data, target, weights):
    """The default method, until the loss is reached."""
    problem = bilevel.from_estimator(estimator, *data, weights=weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = bilevel.minimize_bilevel(
            problem, problem.theta0, problem.x0, theta_bounds=(-12, 12), tol=1e-5, check=False,
            callback=lambda intermediate_result: bool(intermediate_result.fun <= target),
        )  # fmt: skip
    return problem.fitted(result)


def by_grid(data):
    """Ten penalties (scikit-learn's default grid), the best one by the validation half."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import PredefinedSplit

    X, y, X_val, y_val = data
    both = np.concatenate([X, X_val]), np.concatenate([y, y_val])
    split = PredefinedSplit(np.r_[np.full(len(y), -1), np.zeros(len(y_val), int)])
    grid = LogisticRegressionCV(
        Cs=10, cv=split, scoring="neg_log_loss", refit=False, max_iter=1000, l1_ratios=(0.0,),
        use_legacy_attributes=False,
    )  # fmt: skip
    return grid.fit(*both)


def best_on_grid(data):
    """The least validation loss of the grid's penalties, each solved to the end."""
    from sklearn.linear_model import LogisticRegression

    X, y, X_val, y_val = data
    exact = [LogisticRegression(C=C, tol=1e-10, max_iter=100_000).fit(X, y) for C in by_grid(data).Cs_]
    return min(loss_of(model, X_val, y_val) for model in exact)


@functools.cache
def compiled(name, weights):
    """The validation loss and its derivative through jaxopt's L-BFGS, compiled."""
    import jax
    import jax.numpy as jnp
    import jaxopt

    jax.config.update("jax_enable_x64", True)
    X, y, X_val, y_val = halves(name)
    logistic = name != "diabetes"
    A, V = (jnp.asarray(np.concatenate([M, np.ones((len(M), 1))], axis=1)) for M in (X, X_val))
    signs, signs_val = (jnp.asarray(np.where(v == 1, 1.0, -1.0) if logistic else v) for v in (y, y_val))

    def loss(z, target):
        return jnp.logaddexp(0.0, -target * z) if logistic else 0.5 * (z - target) ** 2

    def lower(x, t):
        return jnp.sum(loss(A @ x, signs)) + 0.5 * jnp.sum(jnp.exp(t) * x[:-1] ** 2)

    inner = jaxopt.LBFGS(fun=lower, maxiter=200, tol=1e-4, implicit_diff=True, linesearch="backtracking")

    def upper(t, x):
        x = inner.run(x, t).params
        return jnp.mean(loss(V @ x, signs_val)), x

    start = np.zeros(X.shape[1] if weights == "feature" else 1)
    return jax.jit(jax.value_and_grad(upper, has_aux=True)), start, np.zeros(A.shape[1])


def by_jaxopt(name, weights, target=-np.inf):
    """SciPy's L-BFGS-B on that, each lower solve from the last solution, until the loss is reached."""
    import scipy.optimize

    both, start, x = compiled(name, weights)
    best = [np.inf, x]
    last = [x]

    def fun(t):
        (value, last[0]), grad = both(t, last[0])
        if value < best[0]:
            best[:] = float(value), last[0]
        return float(value), np.asarray(grad)

    def reached(_):
        if best[0] <= target:
            raise StopIteration

    bounds = [(-12, 12)] * start.size
    scipy.optimize.minimize(
        fun, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 10}, callback=reached
    )
    x = np.asarray(best[1])
    return Coefficients(x[:-1], x[-1:])


def by_sparse_ho(data):
    """Its implicit forward differentiation of an elastic net with one pair of penalties."""
    from sklearn.linear_model import ElasticNet as Net
    from sparse_ho import ImplicitForward
    from sparse_ho.criterion import HeldOutMSE
    from sparse_ho.ho import grad_search
    from sparse_ho.models import ElasticNet
    from sparse_ho.optimizers import LineSearch
    from sparse_ho.utils import Monitor

    X, y, X_val, y_val = data
    both = np.asfortranarray(np.concatenate([X, X_val])), np.concatenate([y, y_val])
    model, algo, monitor = (
        ElasticNet(estimator=Net(fit_intercept=False, warm_start=True)),
        ImplicitForward(),
        Monitor(),
    )
    criterion = HeldOutMSE(np.arange(len(y)), len(y) + np.arange(len(y_val)))
    grad_search(
        algo, criterion, model, LineSearch(n_outer=20, tol=1e-7), *both, np.array([0.1, 0.1]), monitor
    )
    best = int(np.argmin(monitor.objs))
    a, b = np.asarray(monitor.alphas[best])
    fit = Net(alpha=a + b, l1_ratio=a / (a + b), fit_intercept=False).fit(X, y)
    return Coefficients(fit.coef_, np.zeros(1))


class Coefficients:
    """What a model is asked for."""

    def __init__(self, coef, intercept):
        self.coef_, self.intercept_ = coef, intercept


def seconds(function):
    """Processor seconds of one call: other processes do not count."""
    began = time.process_time()
    function()
    return time.process_time() - began


def in_turn(name, ours, peers, error, repeats):
    """A case of processor time."""
    return Case(
        name,
        ours=ours,
        peers=[Peer(package, run, label, value=lambda _, f=run: seconds(f)) for package, run, label in peers],
        metric="processor time",
        value=lambda _: seconds(ours),
        error=error,
        tol=SLACK - 1 + 1e-6,
        repeats=repeats,
        first_call=False,
    )


def cases(_):
    from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge

    implicit = "jaxopt LBFGS, implicit"
    for name in ("breast_cancer", "digits", "wine"):
        data = halves(name)
        model = LogisticRegression()
        best = best_on_grid(data)
        yield in_turn(
            f"{name}: one penalty, logistic regression",
            lambda m=model, d=data, b=best: by_numsolve(m, d, SLACK * b, "shared"),
            [
                ("scikit-learn", lambda d=data: by_grid(d), "LogisticRegressionCV"),
                ("jaxopt", lambda n=name, b=best: by_jaxopt(n, "shared", SLACK * b), implicit),
            ],
            lambda m, d=data, b=best: loss_of(m, *d[2:]) / b - 1,
            3,
        )
    for name in ("breast_cancer", "digits", "diabetes"):
        data = halves(name)
        model = Ridge(1.0) if name == "diabetes" else LogisticRegression()
        target = loss_of(by_jaxopt(name, "feature"), *data[2:])
        yield in_turn(
            f"{name}: a penalty for each feature, {type(model).__name__}",
            lambda m=model, d=data, b=target: by_numsolve(m, d, SLACK * b, "feature"),
            [("jaxopt", lambda n=name, b=target: by_jaxopt(n, "feature", SLACK * b), implicit)],
            lambda m, d=data, b=target: loss_of(m, *d[2:]) / b - 1,
            3,
        )
    data = halves("diabetes")
    try:
        target = loss_of(by_sparse_ho(data), *data[2:])
    except Exception:  # not installed, or too old for this scikit-learn: the row says what it raises
        target = loss_of(by_numsolve(ElasticNet(0.1), data, 0.0, "shared"), *data[2:])
    yield in_turn(
        "diabetes: elastic net",
        lambda d=data, b=target: by_numsolve(ElasticNet(0.1), d, SLACK * b, "feature"),
        [("sparse-ho", lambda d=data: by_sparse_ho(d), "sparse-ho ImplicitForward")],
        lambda m, d=data, b=target: loss_of(m, *d[2:]) / b - 1,
        3,
    )


if __name__ == "__main__":
    main(cases)
