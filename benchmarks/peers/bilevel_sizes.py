"""How the time to fit the penalty of a logistic regression grows with the samples, beside a grid search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from bilevel import SLACK, best_on_grid, by_grid, by_numsolve, in_turn, loss_of
from sklearn.linear_model import LogisticRegression

from _harness import Case, main


def halves(n: int, d: int = 20) -> tuple[np.ndarray, ...]:
    """Samples of a linear rule with noise, a half to fit and a half to judge."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2 * n, d))
    y = (X @ rng.standard_normal(d) + 3 * rng.standard_normal(2 * n) > 0).astype(int)
    return X[:n], y[:n], X[n:], y[n:]


def cases(quick: bool) -> Iterator[Case]:
    for n in (100, 300) if quick else (100, 1000, 10_000, 100_000):
        data, model = halves(n), LogisticRegression()
        best = best_on_grid(data)
        case = in_turn(
            f"one penalty, {n} samples of 20 features",
            lambda m=model, d=data, b=best: by_numsolve(m, d, SLACK * b, "shared"),
            [("scikit-learn", lambda d=data: by_grid(d), "LogisticRegressionCV")],
            lambda m, d=data, b=best: loss_of(m, *d[2:]) / b - 1,
            3,
        )
        yield replace(case, size=n, series="one penalty, N samples of 20 features")


if __name__ == "__main__":
    main(cases)
