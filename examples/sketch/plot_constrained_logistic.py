"""
Logistic regression under constraints
=====================================

A classifier of tumours, from the 569 patients of the breast cancer data. Two wishes are equations:
coefficients of norm one, so that the score has a scale, and a score that does not depend on the size of the
tumour: the mean score of large and of small tumours among the benign must agree. The exact augmented
Lagrangian turns such a problem into steps with a merit function.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 0
import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import LinearConstraint
from sklearn.datasets import load_breast_cancer

from numsolve import sketch

data = load_breast_cancer()
X = (data.data - data.data.mean(0)) / data.data.std(0)
y = 2.0 * data.target - 1.0  # 1 is benign
size, benign = X[:, 3], y > 0
large = benign & (size > np.median(size[benign]))
small = benign & ~large
gap = X[large].mean(0) - X[small].mean(0)

# %%
# The objective with its derivatives, and the two equations.


def loss(x):
    """The mean logistic loss."""
    return np.logaddexp(0, -y * (X @ x)).mean()


def gradient(x):
    """Its gradient."""
    return -X.T @ (y / (1 + np.exp(y * (X @ x)))) / len(y)


def hessian(x):
    """Its Hessian."""
    p = 1 / (1 + np.exp(-(X @ x)))
    return (X * (p * (1 - p))[:, None]).T @ X / len(y)


def curvature(_, v):
    """The Hessian of the equation of the sphere, times its multiplier."""
    return v[0] * np.eye(30)


sphere = (lambda x: 0.5 * (x @ x - 9.0), lambda x: x[None], curvature)
fair = LinearConstraint(gap, 0, 0)
x0 = np.ones(30)

free = sketch.minimize(loss, x0, jac=gradient, hess=hessian, constraints=[sphere])
bound = sketch.minimize(
    loss, x0, jac=gradient, hess=hessian, constraints=[sphere, fair]
)
print(bound)

# %%
# Both runs end in a few steps that double the digits, as Newton's method does. The multiplier is the price of
# the second equation: minus the derivative of the loss in its right-hand side.

print("losses", free.fun, bound.fun, "multiplier", bound.lam[1])

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
bins = np.linspace(-15, 15, 40)
for result, style, name in ((free, "step", "free"), (bound, "stepfilled", "bound")):
    for group, colour in ((small, "tab:blue"), (large, "tab:orange")):
        left.hist(
            X[group] @ result.x,
            bins,
            histtype=style,
            color=colour,
            alpha=1.0 if style == "step" else 0.4,
            label=f"{'small' if group is small else 'large'}, {name}",
        )
left.set(xlabel="score of benign tumours", ylabel="patients")
left.legend(fontsize=8)
free.plot(right, label="sphere alone")
bound.plot(right, label="sphere and equal scores")
right.set_ylabel("KKT residual")
right.legend()
plt.show()
