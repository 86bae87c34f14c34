"""
Which labels are wrong: data hyper-cleaning
===========================================

A third of the labels of a training set are wrong. Each sample gets a weight, and the weights are fitted so
that a classifier that is trained with them does well on a small clean set.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit, log_softmax, softmax
from sklearn.datasets import load_digits

from numsolve import bilevel

X, y = load_digits(return_X_y=True)
X = np.c_[X / 16, np.ones(len(X))]
rng = np.random.default_rng(0)
train, clean, test = np.split(rng.permutation(len(X)), [400, 600])
wrong = rng.random(400) < 1 / 3
labels = np.where(wrong, (y[train] + rng.integers(1, 10, 400)) % 10, y[train])

# %%
# The lower problem is multinomial logistic regression in which sample i has the weight
# :math:`\sigma(\theta_i)`, with a ridge that makes it strongly convex. The upper objective is the loss on the
# clean set.

A, V, Y, W = X[train], X[clean], np.eye(10)[labels], np.eye(10)[y[clean]]
ridge = 1e-3


def lower(x, t):
    """The lower objective."""
    losses = -np.sum(Y * log_softmax(A @ x, axis=1), axis=1)
    return np.mean(expit(t) * losses) + 0.5 * ridge * np.sum(x**2)


def lower_grad(x, t):
    """Its gradient in x."""
    residual = softmax(A @ x, axis=1) - Y
    return A.T @ (expit(t)[:, None] * residual) / len(A) + ridge * x


def lower_hvp(x, t, v):
    """Its Hessian times v."""
    p, Av = softmax(A @ x, axis=1), A @ v
    inside = p * (Av - np.sum(p * Av, axis=1, keepdims=True))
    return A.T @ (expit(t)[:, None] * inside) / len(A) + ridge * v


def lower_cross_vjp(x, t, q):
    """Its cross derivative, transposed, times q."""
    along = np.sum((softmax(A @ x, axis=1) - Y) * (A @ q), axis=1)
    return expit(t) * expit(-t) * along / len(A)


problem = bilevel.BilevelProblem(
    lambda x, _: -np.mean(np.sum(W * log_softmax(V @ x, axis=1), axis=1)),
    lower,
    upper_grad=lambda x, _: (V.T @ (softmax(V @ x, axis=1) - W) / len(V), None),
    lower_grad=lower_grad,
    lower_hvp=lower_hvp,
    lower_cross_vjp=lower_cross_vjp,
    mu=ridge,
)
result = bilevel.minimize_bilevel(
    problem,
    np.zeros(400),
    np.zeros((65, 10)),
    theta_bounds=(-6, 6),
    tol=2e-4,
    max_cost=4000,
)
print(result.message, f"{result.cost} gradients and Hessian products")


def accuracy(x):
    """On digits that neither level has seen."""
    return np.mean(np.argmax(X[test] @ x, axis=1) == y[test])


plain = bilevel.hypergradient(problem, np.zeros(400), np.zeros((65, 10)), tol=1e-2).x
print(f"test accuracy {accuracy(plain):.3f} before, {accuracy(result.x):.3f} after")

# %%
# Most of the wrong labels end with little weight.

weights = expit(result.theta)
caught = np.mean(weights[wrong] < 0.5), np.mean(weights[~wrong] < 0.5)
print(
    f"below one half: {caught[0]:.0%} of the wrong labels, {caught[1]:.0%} of the right"
)

fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
bins = np.linspace(0, 1, 25)
ax.hist(weights[~wrong], bins, alpha=0.7, label="right labels")
ax.hist(weights[wrong], bins, alpha=0.7, label="wrong labels")
ax.set(xlabel="weight", ylabel="samples")
ax.legend()

# %%
# The ten samples of the lowest weights, under their labels; wrong ones are red.

fig, axes = plt.subplots(2, 5, figsize=(6, 3.2), layout="constrained")
for ax, i in zip(axes.flat, np.argsort(weights)[:10], strict=True):
    ax.imshow(A[i, :64].reshape(8, 8), cmap="gray_r")
    ax.set_title(labels[i], color="tab:red" if wrong[i] else "black")
    ax.set_axis_off()

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = [0]
plt.show()
