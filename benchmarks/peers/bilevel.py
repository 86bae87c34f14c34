"""Penalties by hypergradients against jaxopt, scikit-learn's grid, sparse-ho and published methods.

Three real data sets (breast cancer, digits, diabetes, all of scikit-learn), halved into training and
validation. Each side is asked for the validation loss of the peer's own optimum, plus 1 %: the grid's best
for the grid, that of one shared penalty for jaxopt and sparse-ho. `error` is the excess over that loss,
computed anew.

Costs are gradients of the lower objective plus products with its Hessian, as in the papers.

The batched iteration of many blocks is set beside loops over blocks and samples, written here after the
description of the released code, which is not imported.

The floor: a product of digits is two products with a 600 x 64 matrix and ten columns, 1.5 Mflop or 0.2 ms
on one core; a run is hardly more than its products.
"""

from __future__ import annotations

import functools
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
    if name == "digits":
        y = (y >= 5).astype(int)  # two classes
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


def by_jaxopt(name, weights):
    """SciPy's L-BFGS-B on that, each lower solve from the last solution."""
    import scipy.optimize

    both, start, x = compiled(name, weights)
    last = [x]

    def fun(t):
        (value, last[0]), grad = both(t, last[0])
        return float(value), np.asarray(grad)

    bounds = [(-12, 12)] * start.size
    scipy.optimize.minimize(fun, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 10})
    x = np.asarray(last[0])
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


def digit_classes(n):
    """Ten classes, as in the gallery."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(23).permutation(len(X))
    train, val = order[:n], order[n : 2 * n]
    return bilevel.problems.multinomial_logistic(X[train] / 16, y[train], X[val] / 16, y[val])


@functools.cache
def run_of(key, method, max_cost):
    """A run of one of the published problems, kept for several cases."""
    problem, theta, x = PROBLEMS[key]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tol = 1e-4 if key == "quadratic" else 1e-6
        return problem, bilevel.minimize_bilevel(problem, theta, x, method=method, tol=tol, max_cost=max_cost)


def tv():
    """Five tiles of the photographs in scikit-learn, 96 x 96."""
    from sklearn.datasets import load_sample_image

    tiles = [
        load_sample_image(name)[top : top + 96, left : left + 96].mean(axis=2) / 255
        for name, top, left in (
            ("china.jpg", 60, 100), ("china.jpg", 200, 100), ("china.jpg", 300, 400),
            ("flower.jpg", 120, 180), ("flower.jpg", 250, 300),
        )
    ]  # fmt: skip
    clean = np.stack(tiles)
    noisy = clean + 0.1 * np.random.default_rng(19).standard_normal(clean.shape)
    return bilevel.problems.tv_denoising(noisy, clean), np.array([-5.0, -5.0]), noisy


PROBLEMS = {
    "quadratic": lambda: (bilevel.problems.least_squares(rng=0), np.zeros(10), np.zeros(10)),
    "digits": lambda: (digit_classes(600), np.full((64, 10), -3.0), np.zeros((64, 10))),
    "total variation": tv,
}


def cost_to(history, value):
    """What had been paid when the upper objective first was at most a value."""
    reached = history.cost[history.fun <= value]
    return float(reached[0]) if reached.size else float("inf")


def published(quick):
    """Costs to the quality of published methods."""
    budgets = {"quadratic": 25_000, "digits": 8_000 if quick else 40_000, "total variation": 1000}
    for key, budget in budgets.items():
        problem, maid = run_of(key, "maid", budget)
        _, ours = run_of(key, "qn", min(budget, 4000))
        if key == "quadratic":
            first = ours.history.fun[0]
            value, what = problem.optimum + 1e-2 * (first - problem.optimum), "a gap of 1e-2"
        elif key == "digits":
            value, what = maid.fun, f"MAID's value after {budget}"
        else:
            value, what = 1.01 * min(maid.fun, ours.fun), "1 % of the best"
        yield Case(
            f"{key}: cost to {what}",
            ours=lambda h=ours.history, v=value: cost_to(h, v),
            peers=[
                Peer("numsolve", lambda h=maid.history, v=value, b=budget: min(cost_to(h, v), b), "MAID"),
            ],
            metric="gradients and Hessian products",
            unit="",
            value=float,
            first_call=False,
            repeats=1,
        )


def blocks(quick):
    """One iteration of BSVRB v2, batched and in loops."""
    rng = np.random.default_rng(0)
    n, features, m = 4000 if quick else 18_000, 123, 100
    X = (rng.random((n, features)) < 0.11).astype(float)
    y = np.sign(X @ rng.normal(size=features) + 0.1)
    X_val = (rng.random((1000, features)) < 0.11).astype(float)
    y_val = np.sign(X_val @ rng.normal(size=features) + 0.1)
    T = rng.uniform(1.16, 10.95, m)
    oracle = bilevel.problems.multiblock_logistic(X, y, X_val, y_val, T)
    iterations = 50

    def ours():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bilevel.bsvrb(
                oracle, np.zeros(n), np.zeros(features), step_theta=1.0, step_x=1.0, maxiter=iterations,
                rng=0, theta_estimator="storm",
            )  # fmt: skip

    def loops():
        """Per-sample gradients and products, one block and one sample at a time, for one iteration."""
        theta, x, v = np.zeros(n), np.zeros((m, features)), np.zeros((m, features))
        for _ in range(2):  # both points
            for i in rng.choice(m, 10, replace=False):
                g, H, G = np.zeros(features), np.zeros(features), np.zeros(n)
                for j in rng.integers(0, n, 32):
                    a, s = y[j] * X[j], 1 / (1 + np.exp(-theta[j]))
                    p = 1 / (1 + np.exp(a @ x[i] / T[i]))
                    g = g - s * p * a / T[i] / 32
                    H = H + s * p * (1 - p) * (a @ v[i]) * a / T[i] ** 2 / 32
                    row = np.zeros(n)
                    row[j] = -s * (1 - s) * p * (a @ v[i]) / T[i] / 32
                    G = G + row

    yield Case(
        f"one iteration of BSVRB v2, {m} blocks, {n} samples",
        ours=ours,
        peers=[Peer("numpy", loops, "NumPy loops", value=lambda _: loops_seconds(loops))],
        metric="time of an iteration",
        value=lambda _: loops_seconds(ours) / iterations,
        repeats=3,
        first_call=False,
    )


def loops_seconds(function):
    """Processor seconds of one call."""
    import time

    began = time.process_time()
    function()
    return time.process_time() - began


def cases(quick):
    from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge

    for name in ("breast_cancer", "digits"):
        data = halves(name)
        model = LogisticRegression()
        best = loss_of(by_grid(data), *data[2:])
        yield Case(
            f"{name}: one penalty, logistic regression",
            ours=lambda m=model, d=data, b=best: by_numsolve(m, d, SLACK * b, "shared"),
            peers=[
                Peer("scikit-learn", lambda d=data: by_grid(d), "LogisticRegressionCV"),
                Peer("jaxopt", lambda n=name: by_jaxopt(n, "shared"), "jaxopt LBFGS, implicit"),
            ],
            error=lambda m, d=data, b=best: loss_of(m, *d[2:]) / b - 1,
            tol=SLACK - 1 + 1e-6,
            repeats=5,
        )
        many = by_jaxopt(name, "feature")
        target = loss_of(many, *data[2:])
        yield Case(
            f"{name}: a penalty for each feature, logistic regression",
            ours=lambda m=model, d=data, b=target: by_numsolve(m, d, SLACK * b, "feature"),
            peers=[Peer("jaxopt", lambda n=name: by_jaxopt(n, "feature"), "jaxopt LBFGS, implicit")],
            error=lambda m, d=data, b=target: loss_of(m, *d[2:]) / b - 1,
            tol=SLACK - 1 + 1e-6,
            repeats=3,
        )
    data = halves("diabetes")
    target = loss_of(by_jaxopt("diabetes", "feature"), *data[2:])
    yield Case(
        "diabetes: a penalty for each feature, ridge regression",
        ours=lambda d=data, b=target: by_numsolve(Ridge(1.0), d, SLACK * b, "feature"),
        peers=[Peer("jaxopt", lambda: by_jaxopt("diabetes", "feature"), "jaxopt LBFGS, implicit")],
        error=lambda m, d=data, b=target: loss_of(m, *d[2:]) / b - 1,
        tol=SLACK - 1 + 1e-6,
        repeats=3,
    )
    try:
        target = loss_of(by_sparse_ho(data), *data[2:])
    except Exception:  # not installed, or too old for this scikit-learn: the row says what it raises
        target = loss_of(by_numsolve(ElasticNet(0.1), data, 0.0, "shared"), *data[2:])
    yield Case(
        "diabetes: elastic net",
        ours=lambda d=data, b=target: by_numsolve(ElasticNet(0.1), d, SLACK * b, "feature"),
        peers=[Peer("sparse-ho", lambda d=data: by_sparse_ho(d), "sparse-ho ImplicitForward")],
        error=lambda m, d=data, b=target: loss_of(m, *d[2:]) / b - 1,
        tol=SLACK - 1 + 1e-6,
        repeats=3,
    )
    yield from blocks(quick)
    yield from published(quick)


if __name__ == "__main__":
    main(cases)
