"""The batched iteration of many blocks beside the loops that the released code consists of.

The loops are written here after the structure of the released code, which is not imported: for both points
and each sampled block, sums over the samples one by one, a full Hessian, and the cross derivative as a full
matrix of as many rows as there are training samples. NUMSOLVE_LIBSVM may name a folder with
a8a_training.txt; random data of its shape replace it.

The floor: 10 blocks with 32 samples of 124 features are 0.3 Mflop for a gradient, and an iteration takes some
ten of those: less than a millisecond, of which Python's calls are the larger part.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
from bilevel_published import costs

from _harness import Case, Peer, main
from numsolve import bilevel


def census(quick):
    """Training and validation rows of a8a where NUMSOLVE_LIBSVM names a folder with it, or of its shape."""
    folder = os.environ.get("NUMSOLVE_LIBSVM")
    if folder:
        from sklearn.datasets import load_svmlight_file

        X, y = load_svmlight_file(str(Path(folder) / "a8a_training.txt"), n_features=123)
        X = np.concatenate([X.toarray(), np.ones((X.shape[0], 1))], axis=1)
        order = np.random.default_rng(0).permutation(len(X))
        train, val = order[: 4000 if quick else 18_156], order[18_156 : 18_156 + 4540]
        return "a8a", X[train], y[train], X[val], y[val]
    rng = np.random.default_rng(0)
    n = 4000 if quick else 18_156
    X = np.concatenate([(rng.random((n + 4540, 123)) < 0.11).astype(float), np.ones((n + 4540, 1))], axis=1)
    y = np.sign(X @ rng.normal(size=124) + 0.1)
    return "random sparse data", X[:n], y[:n], X[n:], y[n:]


def blocks(quick):
    """One iteration of BSVRB, batched and by the loops that the released code consists of."""
    what, X, y, X_val, y_val = census(quick)
    (n, features), m, sampled, batch = X.shape, 100, 10, 32
    rng = np.random.default_rng(0)
    T = rng.uniform(1.16, 10.95, m)
    oracle = bilevel.problems.multiblock_logistic(X, y, X_val, y_val, T)
    few, many = 10, 60

    def ours(variant, iterations=many):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bilevel.bsvrb(
                oracle, np.zeros(n), np.zeros(features), variant=variant, step_theta=1.0, step_x=1.0,
                block_batch=sampled, batch_size=batch, maxiter=iterations, rng=0, theta_estimator="storm",
                check=False,
            )  # fmt: skip

    theta, x, v = np.zeros(n), np.zeros((m, features)), np.zeros((m, features))

    def weight(j):
        return 1 / (1 + np.exp(-theta[j]))

    def sample(i, j):
        """Signed row over the temperature, and the probability of a mistake."""
        a = y[j] * X[j] / T[i]
        return a, 1 / (1 + np.exp(a @ x[i]))

    def loops(variant):
        """One iteration: for both points and each sampled block, sample by sample and with full matrices."""
        for _ in range(2):
            for i in rng.choice(m, sampled, replace=False):
                rows = rng.integers(0, n, batch)
                g, H, upper = np.zeros(features), np.zeros((features, features)), np.zeros(features)
                C = np.zeros((n, features))
                for j in rows:
                    a, p = sample(i, j)
                    g = g - weight(j) * p * a / batch
                for j in rows:
                    a, p = sample(i, j)
                    H = H + weight(j) * p * (1 - p) * np.outer(a, a) / batch
                for j in rng.integers(0, len(X_val), batch):
                    a = y_val[j] * X_val[j] / T[i]
                    upper = upper - a / (1 + np.exp(a @ x[i])) / batch
                for j in rows:
                    a, p = sample(i, j)
                    C[j] = -weight(j) * (1 - weight(j)) * p * a / batch
                H = H + 1e-5 * np.eye(features)
                _ = C @ np.linalg.inv(H) @ upper if variant == "v1" else (H @ v[i] - upper, C @ v[i])

    for variant in ("v2", "v1"):
        yield Case(
            f"one iteration of BSVRB {variant}, {m} blocks, {n} samples of {what}",
            ours=lambda k=variant: ours(k),
            peers=[
                Peer("numpy", lambda k=variant: loops(k), "NumPy loops",
                     value=lambda _, k=variant: loops_seconds(lambda: loops(k))),
            ],
            metric="time of an iteration",
            value=lambda _, k=variant: (
                loops_seconds(lambda: ours(k)) - loops_seconds(lambda: ours(k, few))
            ) / (many - few),
            repeats=3,
            first_call=False,
            note="loops by us, after the structure of the released code; set-up and judgement left out",
        )  # fmt: skip
    steps = 300 if quick else 1500

    def loss(step_theta, size):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bilevel.bsvrb(
                oracle, np.zeros(n), np.zeros(features), step_theta=step_theta, step_x=1.0, block_batch=size,
                batch_size=batch, maxiter=steps, rng=0, check=False, alpha=0.9, gamma=1.0, beta=0.9,
                theta_estimator="storm",
            ).fun  # fmt: skip

    yield costs(
        f"{what}: mean validation loss after {steps} iterations of BSVRB v2",
        lambda: loss(1e3, 10),
        {"without weights": lambda: loss(0.0, 10), "2 blocks in place of 10": lambda: loss(1e3, 2)},
        "loss",
    )


def variance():
    """The order of the noise of theta in the sampled blocks I: minus the fitted slope of its variance."""
    oracle, solution = bilevel.problems.multiblock_quadratic(40, 4, 3, rng=1)

    def order(estimator):
        sizes, noise = np.array([2, 4, 8, 16]), []
        for size in sizes:
            path = []
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                bilevel.bsvrb(
                    oracle, solution, np.zeros(4), variant="v1", block_batch=int(size), step_theta=0.02,
                    step_x=0.9, maxiter=600, tol=0.0, rng=0, theta_estimator=estimator, check=False,
                    callback=lambda theta, path=path: path.append(theta.copy()),
                )  # fmt: skip
            noise.append(np.mean(np.sum((np.array(path[300:]) - solution) ** 2, axis=1)))
        return -float(np.polyfit(np.log(sizes), np.log(noise), 1)[0]), noise[0]

    yield costs(
        "40 blocks: variance of theta with 2 sampled blocks",
        lambda: order("saga")[1],
        {"STORM": lambda: order("storm")[1]},
        "variance",
        f"its order in the sampled blocks: SAGA {order('saga')[0]:.2f}, STORM {order('storm')[0]:.2f}",
    )


def loops_seconds(function):
    """Processor seconds of one call."""
    import time

    began = time.process_time()
    function()
    return time.process_time() - began


def cases(quick):
    yield from variance()
    yield from blocks(quick)


if __name__ == "__main__":
    main(cases)
