"""How the penalty of each feature moves what scikit-learn has learned."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from numsolve import implicit
from stop import Judgement, Stop, canvas

MODEL = LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=100)


def load() -> dict[str, Any]:
    """Breast cancer: 30 features of 569 patients; half of them to learn from."""
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    order = np.random.default_rng(0).permutation(len(y))
    learn, check = order[:300], order[300:]
    return {"X": X[learn], "y": y[learn], "X_new": X[check], "y_new": y[check]}


def ours(X: np.ndarray, y: np.ndarray, X_new: np.ndarray, y_new: np.ndarray) -> Any:
    """By one linear solve at scikit-learn's solution."""
    MODEL.fit(X, y)  # scikit-learn's LogisticRegression, as it is
    w = np.r_[MODEL.coef_[0], MODEL.intercept_]

    def slope(w, penalties):  # is zero at that solution, where all penalties are 1
        wrong = 1 / (1 + np.exp(-X @ w[:-1] - w[-1])) - y
        return np.r_[X.T @ wrong + penalties * w[:-1], wrong.sum()]

    wrong = MODEL.predict_proba(X_new)[:, 1] - y_new
    loss_slope = np.r_[X_new.T @ wrong, wrong.sum()]
    (derivative,) = implicit.root_vjp(
        slope, w, (np.ones(30),), loss_slope, symmetric=True
    )
    return derivative


def theirs(X: np.ndarray, y: np.ndarray, X_new: np.ndarray, y_new: np.ndarray) -> Any:
    """By differences: two more fits for each feature, whose scale carries the penalty."""
    from sklearn.metrics import log_loss

    derivative, step = np.zeros(30), 1e-3
    for j in range(30):
        loss = []
        for penalty in (1 + step, 1 - step):
            scale = np.ones(30)
            scale[j] = penalty**-0.5
            MODEL.fit(X * scale, y)
            p = MODEL.predict_proba(X_new * scale)
            loss.append(log_loss(y_new, p, normalize=False))
        derivative[j] = (loss[0] - loss[1]) / (2 * step)
    return derivative


def exact(X: np.ndarray, y: np.ndarray, X_new: np.ndarray, y_new: np.ndarray) -> Any:
    """By the formula, written out: -B' A^{-1} c with the Hessian A."""
    MODEL.fit(X, y)
    A, A_new = np.c_[X, np.ones(len(y))], np.c_[X_new, np.ones(len(y_new))]
    w = np.r_[MODEL.coef_[0], MODEL.intercept_]
    ridge = np.r_[np.ones(30), 0.0]
    for _ in range(3):  # Newton's steps to the last digit
        p = 1 / (1 + np.exp(-A @ w))
        H = A.T @ (A * (p * (1 - p))[:, None]) + np.diag(ridge)
        w = w - np.linalg.solve(H, A.T @ (p - y) + ridge * w)
    c = A_new.T @ (1 / (1 + np.exp(-A_new @ w)) - y_new)
    return -(w * np.linalg.solve(H, c))[:-1]


def judge(data: dict[str, Any], ours: Any, theirs: Any) -> Judgement:
    """By the formula for logistic regression, written out."""
    truth = exact(**data)

    def error(x: np.ndarray) -> float:
        return float(abs(x - truth).max() / abs(truth).max())

    return Judgement(
        "error beside the formula written out",
        f"{error(ours):.0e}",
        f"{error(theirs):.0e}",
        error(ours) < 1e-8,
    )


def draw(data: dict[str, Any], ours: Any, theirs: Any) -> Any:
    """A bar for each feature."""
    from sklearn.datasets import load_breast_cancer

    names = load_breast_cancer().feature_names
    order = np.argsort(ours)
    figure, ax = canvas(figsize=(9, 4.2))
    ax.bar(range(30), ours[order], color=np.where(ours[order] > 0, "C3", "C0"))
    ax.plot(range(30), theirs[order], "k_", markersize=9, label="by 60 more fits")
    ax.set_xticks(range(30), names[order], rotation=60, ha="right", fontsize=7)
    ax.set_title("change of the loss on new patients, for each unit of a penalty")
    ax.legend()
    return figure


STOP = Stop(
    title="The derivative of scikit-learn's solution",
    solved="How the loss on 269 new patients changes with the penalty of each of 30 "
    "features of a logistic regression.",
    words="Red features would rather be penalised less, blue ones more. One linear "
    "solve gives all 30 derivatives, whatever solver found the solution. Differences "
    "need no formula for the slope, but two fits for each penalty.",
    size="30 derivatives",
    peer="scikit-learn, 60 fits",
    load=load,
    ours=ours,
    theirs=theirs,
    judge=judge,
    draw=draw,
)
