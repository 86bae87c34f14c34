"""What published methods need on their papers' problems, and the loops of released codes.

Costs are gradients of the lower objective plus products with its Hessian, as in the papers.

NUMSOLVE_LIBSVM may name a folder with the LIBSVM sets diabetes.txt and fourclass.txt; breast cancer
replaces them.

The floor: a product of digits is two products with a 600 x 64 matrix and ten columns, 1.5 Mflop or 0.2 ms
on one core; a run is hardly more than its products.
"""

from __future__ import annotations

import functools
import os
import warnings
from pathlib import Path

import numpy as np

from _harness import Case, Peer, main
from numsolve import bilevel


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


def filters():
    """Eight filters 5 x 5, 209 parameters, four tiles 64 x 64: a small prior of experts.

    f = |x - y|^2/2 + sum_k e^t_k sum psi(c_k * x) with psi(r) = sqrt(r^2 + e^(2 s)); theta holds the
    logarithms of the weights, the filters and s. By JAX.
    """
    import jax.numpy as jnp
    from jax.lax import conv_general_dilated
    from sklearn.datasets import load_sample_image

    grey = [load_sample_image(name).mean(axis=2) / 255 for name in ("china.jpg", "flower.jpg")]
    clean = np.stack([grey[i][a : a + 64, b : b + 64] for i, a, b in
                      ((0, 60, 100), (0, 300, 400), (1, 120, 180), (1, 250, 300))])  # fmt: skip
    noisy = clean + 0.1 * np.random.default_rng(31).standard_normal(clean.shape)
    wave = np.cos(np.pi * np.outer(np.arange(5), np.arange(5) + 0.5) / 5)
    pairs = [(i, j) for i in range(3) for j in range(3)][1:]
    start = np.stack([np.outer(wave[i], wave[j]) for i, j in pairs])
    start /= np.sqrt(np.sum(start**2, axis=(1, 2), keepdims=True))

    def lower(x, t):
        c = t[8:208].reshape(8, 1, 5, 5)
        parts = conv_general_dilated(x[:, None], c, (1, 1), "VALID")
        smooth = jnp.sqrt(parts**2 + jnp.exp(2 * t[208]))
        return 0.5 * jnp.sum((x - noisy) ** 2) + jnp.sum(jnp.exp(t[:8])[None, :, None, None] * smooth)

    def steep(t):
        # |c * x| <= |c|_1 |x|, and psi'' <= e^-s
        norms = np.sum(np.abs(t[8:208].reshape(8, 25)), axis=1) ** 2
        return 1.0 + float(np.sum(np.exp(t[:8]) * norms)) * float(np.exp(-t[208]))

    problem = bilevel.BilevelProblem(
        lambda x, _: 0.5 * jnp.sum((x - clean) ** 2) / 4, lower, backend="jax", mu=1.0, L=steep,
        lipschitz_upper=0.25,
    )  # fmt: skip
    return problem, np.concatenate([np.full(8, -5.0), start.ravel(), [-3.0]]), noisy


PROBLEMS["filters"] = filters


def published(quick):
    """Costs to the quality of published methods."""
    budgets = {"quadratic": 25_000, "digits": 8_000 if quick else 40_000, "total variation": 1000,
               "filters": 300 if quick else 2000}  # fmt: skip
    for key, budget in budgets.items():
        problem, maid = run_of(key, "maid", budget)
        _, ours = run_of(key, "qn", 2 * budget if key == "filters" else min(budget, 4000))
        if key == "quadratic":
            first = ours.history.fun[0]
            value, what = problem.optimum + 1e-2 * (first - problem.optimum), "a gap of 1e-2"
        elif key == "total variation":
            value, what = 1.01 * min(maid.fun, ours.fun), "1 % of the best"
        else:
            value, what = maid.fun, f"MAID's value after {budget}"
        yield costs(
            f"{key}: cost to {what}",
            lambda h=ours.history, v=value: cost_to(h, v),
            {"MAID": lambda h=maid.history, v=value, b=budget: min(cost_to(h, v), b)},
        )


def costs(name, ours, others, unit="gradients and Hessian products", note=""):
    """A case of costs, which do not depend on the machine."""
    peers = [Peer("numsolve", run, other) for other, run in others.items()]
    return Case(
        name,
        ours=ours,
        peers=peers,
        metric=unit,
        unit="",
        value=float,
        first_call=False,
        repeats=1,
        note=note,
    )


def coupled():
    """LV-HBA's toy with 100 variables: evaluations of the upper gradient to an error of 1e-3 and of 1e-6."""
    n = 100
    exact = np.concatenate([np.full(n, 0.7), np.full(n, -0.4), np.full(n, -0.3)])
    start = np.full(n, 10.0), np.full(2 * n, 10.0)
    toy = bilevel.problems.coupled_toy(n)

    def evaluations(method, error, maxiter):
        seen = []

        def watch(intermediate_result):
            w = np.concatenate([intermediate_result.x, intermediate_result.theta])
            seen.append(np.linalg.norm(w - exact) / np.linalg.norm(exact))
            return seen[-1] <= error

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = bilevel.minimize_bilevel(
                toy, *start, method=method, tol=0.1 * error, maxiter=maxiter, callback=watch, check=False,
                step=0.05 if method == "lvhba-single" else None,
            )  # fmt: skip
        return result.nupper

    for error in (1e-3, 1e-6):
        yield costs(
            f"coupled toy, 100 variables: evaluations to an error of {error:.0e}",
            lambda e=error: evaluations("lvhba", e, 1000),
            {"LV-HBA, single steps": lambda e=error: evaluations("lvhba-single", e, 6000)},
            "upper gradients",
            "the single steps end after 6000",
        )


def relative_costs():
    """Costs to a relative error of the hypergradient, or of the distance to the solution, of quadratics."""
    for kappa in (10.0, 100.0):
        problem = bilevel.problems.quadratic(50, 10, kappa=kappa, rng=0)
        solution = problem.solution()[0]
        start = np.zeros(10), np.zeros(50)

        def cost(method, error, problem=problem, start=start, solution=solution, **settings):
            reached = []

            def watch(intermediate_result):
                done = np.linalg.norm(intermediate_result.theta - solution) <= error * np.linalg.norm(
                    solution
                )
                reached.append(done)
                return done

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = bilevel.minimize_bilevel(
                    problem, *start, method=method, tol=1e-9, callback=watch, max_cost=12_000,
                    maxiter=10**6, check=False, **settings,
                )  # fmt: skip
            return result.cost if any(reached) else np.inf

        for error in (1e-1, 1e-3):
            yield costs(
                f"quadratic, condition {kappa:.0f}: cost to a relative error of {error:.0e} in theta",
                lambda e=error, c=cost: c("qn", e),
                {
                    "penalty, second order": lambda e=error, c=cost: min(c("penalty", e), 12_000),
                    "penalty, single loop": lambda e=error, c=cost: min(c("penalty-single", e), 12_000),
                    "SOBA": lambda e=error, c=cost: min(c("soba", e), 12_000),
                    "HOAG": lambda e=error, c=cost: min(c("hoag", e), 12_000),
                },
                note="12000 where it is not reached",
            )


def support_vectors():
    """Weights for 500 training samples of LIBSVM's sets, or of breast cancer, chosen by 150 others."""
    from sklearn import datasets

    folder, sets = os.environ.get("NUMSOLVE_LIBSVM"), {}
    if folder:
        for name, features in (("diabetes", 8), ("fourclass", 2)):
            X, y = datasets.load_svmlight_file(str(Path(folder) / f"{name}.txt"), n_features=features)
            sets[name] = X.toarray(), np.where(y > 0, 1.0, -1.0), 500
    else:
        X, y = datasets.load_breast_cancer(return_X_y=True)
        sets["breast cancer"] = 2 * (X - X.min(0)) / np.ptp(X, axis=0) - 1, np.where(y == 1, 1.0, -1.0), 300
    for name, (X, y, n) in sets.items():
        found = []
        for seed in range(5):
            rng = np.random.default_rng(seed)
            order = rng.permutation(len(X))
            train, val, test = order[:n], order[n : n + 150], order[n + 150 :]
            problem = bilevel.problems.svm_sample_weights(X[train], y[train], X[val], y[val])
            x0 = np.zeros(X.shape[1] + 1)
            x0[0] = 1e-3
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = bilevel.minimize_bilevel(
                    problem, rng.uniform(-6, -5, n), x0, maxiter=80, theta_bounds=(-12, 12), check=False
                )
            right = [
                np.mean(np.sign(X[rows] @ result.x[:-1] + result.x[-1]) == y[rows]) for rows in (val, test)
            ]
            found.append([result.history.fun[0], result.fun, *right])
        first, last, on_val, on_test = np.mean(found, axis=0)
        yield costs(
            f"{name}: support vectors, validation loss after 80 iterations, mean of 5 seeds",
            lambda v=last: float(v),
            {"start": lambda v=first: float(v)},
            "loss",
            f"accuracy {on_val:.3f} on validation, {on_test:.3f} on test data",
        )


def cases(quick):
    yield from support_vectors()
    yield from coupled()
    yield from relative_costs()
    yield from published(quick)


if __name__ == "__main__":
    main(cases)
