"""A penalty for each pixel and digit."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from numsolve import bilevel
from stop import Judgement, Stop, canvas, quietly


def load() -> dict[str, Any]:
    """Handwritten digits, 64 pixels each: to learn, to validate, and to test with."""
    X, y = digits()
    return {"X": X[:400], "y": y[:400], "X_val": X[400:800], "y_val": y[400:800]}


def digits() -> tuple[np.ndarray, np.ndarray]:
    """In a random order."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(23).permutation(len(X))
    return X[order] / 16, y[order]


@quietly  # the budget ends the run, and its result says so
def ours(X: np.ndarray, y: np.ndarray, X_val: np.ndarray, y_val: np.ndarray) -> Any:
    """By the derivative of the validation loss."""
    problem = bilevel.from_estimator(
        LogisticRegression(), X, y, X_val, y_val, weights="coefficient"
    )
    result = bilevel.minimize_bilevel(
        problem, problem.theta0, problem.x0, theta_bounds=(-8, 8), max_cost=600
    )
    model = problem.fitted(result)  # a fitted LogisticRegression
    return model, result


def theirs(X: np.ndarray, y: np.ndarray, X_val: np.ndarray, y_val: np.ndarray) -> Any:
    """One penalty for all pixels, from a grid of ten, on the same validation set."""
    from sklearn.metrics import log_loss

    models = [
        quietly(LogisticRegression(C=C, max_iter=200).fit)(X, y)
        for C in np.logspace(-2, 2, 10)
    ]
    return min(models, key=lambda model: log_loss(y_val, model.predict_proba(X_val)))


def judge(data: dict[str, Any], ours: Any, theirs: Any) -> Judgement:
    """By scikit-learn's own loss, on the validation set."""
    from sklearn.metrics import log_loss

    def loss(model: Any) -> float:
        return float(log_loss(data["y_val"], model.predict_proba(data["X_val"])))

    return Judgement(
        "validation loss",
        f"{loss(ours[0]):.3f}",
        f"{loss(theirs):.3f}",
        loss(ours[0]) < loss(theirs),
    )


def draw(data: dict[str, Any], ours: Any, theirs: Any) -> Any:
    """Some digits, the penalties, and what both models make of unseen digits."""
    model, result = ours
    X, y = digits()
    figure, axes = canvas(1, 3, figsize=(10, 3.2))
    strip = X[:9].reshape(3, 3, 8, 8).transpose(0, 2, 1, 3).reshape(24, 24)
    axes[0].imshow(strip, cmap="gray_r")
    axes[0].set_title("nine of the digits")
    shown = axes[1].imshow(result.theta[:, 3].reshape(8, 8), cmap="viridis")
    axes[1].set_title("log-penalties of the digit 3")
    figure.colorbar(shown, ax=axes[1])
    for ax in axes[:2]:
        ax.set_axis_off()
    right = [100 * m.score(X[800:], y[800:]) for m in (theirs, model)]
    bars = axes[2].bar(["one penalty", "640 penalties"], right, color=["0.7", "C0"])
    axes[2].bar_label(bars, fmt="%.1f %%")
    axes[2].set(ylim=(80, 100), title="right, of 997 unseen digits")
    return figure


STOP = Stop(
    title="A penalty for each pixel and digit",
    solved="The 640 penalties of a logistic regression on handwritten digits that give "
    "the least loss on a validation set.",
    words="A grid search can choose one penalty, or two. The derivative of the "
    "validation loss chooses hundreds, here within a budget of 600 gradients and products. "
    "The last picture tells what that is worth on digits that neither has seen: choices "
    "fitted to few validation data can please these alone, and for one penalty the grid "
    "is all one needs.",
    size="640 penalties",
    peer="scikit-learn, a grid of ten",
    load=load,
    ours=ours,
    theirs=theirs,
    judge=judge,
    draw=draw,
)
