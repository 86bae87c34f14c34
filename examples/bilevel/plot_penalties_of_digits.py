"""
A penalty for each coefficient of a classifier
==============================================

Multinomial logistic regression on handwritten digits with one penalty for each pixel and digit: 640 numbers,
chosen by the loss on a validation set. A grid search can choose one.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from numsolve import ConvergenceWarning, bilevel

X, y = load_digits(return_X_y=True)
X = X / 16
train, val, test = np.split(np.random.default_rng(23).permutation(len(X)), [600, 1200])

# %%
# All 640 penalties start at :math:`e^{-3}`. The default method needs no step size. For comparison the
# published method MAID, with the same budget: lower-level gradients and Hessian products. The budget ends
# both, and each would warn of that.

problem = bilevel.problems.multinomial_logistic(X[train], y[train], X[val], y[val])
start = np.full((64, 10), -3.0), np.zeros((64, 10))
budget = {"max_cost": 2500, "theta_bounds": (-12, 12)}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    ours = bilevel.minimize_bilevel(problem, *start, **budget)
    maid = bilevel.minimize_bilevel(problem, *start, method="maid", **budget)

# %%
# One penalty for all: the same problem with theta spread over the coefficients.

shared = bilevel.BilevelProblem(
    problem.upper,
    lambda x, t: problem.lower(x, np.full((64, 10), t)),
    upper_grad=problem.upper_grad,
    lower_grad=lambda x, t: problem.lower_grad(x, np.full((64, 10), t)),
    lower_hvp=lambda x, t, v: problem.lower_hvp(x, np.full((64, 10), t), v),
    lower_cross_vjp=lambda x, t, q: np.exp(t) * np.sum(x * q),
)
one = bilevel.minimize_bilevel(shared, np.float64(-3.0), start[1], tol=1e-4)


def accuracy(result):
    """On digits that neither level has seen."""
    return np.mean(np.argmax(X[test] @ result.x, axis=1) == y[test])


for name, result in {"one": one, "640, MAID": maid, "640": ours}.items():
    print(f"{name}: loss {result.fun:.3f}, test accuracy {accuracy(result):.3f}")

fig, (left, *right) = plt.subplots(
    1, 3, figsize=(11, 3.6), layout="constrained", width_ratios=[1.6, 1, 1]
)
ours.plot(left, label="quasi-Newton")
maid.plot(left, label="MAID")
left.axhline(one.fun, color="gray", linestyle=":", label="one penalty")
left.legend()
for ax, digit in zip(right, (0, 7), strict=True):
    picture = ax.imshow(ours.theta[:, digit].reshape(8, 8), cmap="viridis")
    ax.set_title(f"log-penalties of digit {digit}")
    ax.set_axis_off()
fig.colorbar(picture, ax=right)

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = [1]
plt.show()
