"""
Logistic regression under constraints
=====================================

A classifier of tumours, from the 569 patients of the breast cancer data. Two wishes are equations:
coefficients of norm three, so that the score has a scale, and a score that does not depend on the size of the
tumour: the mean score of large and of small tumours among the benign must agree.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 0
import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import LinearConstraint
from sklearn.datasets import load_breast_cancer

from numsolve.sketch import ConstrainedLogisticRegression

data = load_breast_cancer()
X = (data.data - data.data.mean(0)) / data.data.std(0)
y = data.target  # 1 is benign
size, benign = X[:, 3], y == 1
large = benign & (size > np.median(size[benign]))
small = benign & ~large

# %%
# An equation for the coefficients is one of SciPy's `LinearConstraint`, whose two bounds are equal.

gap = X[large].mean(0) - X[small].mean(0)
equal_scores = LinearConstraint(gap, 0, 0)
sphere = {"C": np.inf, "norm": 3.0, "fit_intercept": False}

free = ConstrainedLogisticRegression(**sphere).fit(X, y)
bound = ConstrainedLogisticRegression(constraints=equal_scores, **sphere).fit(X, y)
print(bound.result_)
print(f"right: free {free.score(X, y):.1%}, bound {bound.score(X, y):.1%}")

# %%
# Both runs end in a few steps that double the digits, as Newton's method does. The multiplier is the price of
# the equation: minus the derivative of the mean loss in its right-hand side.

print(f"mean loss: free {free.result_.fun:.4f}, bound {bound.result_.fun:.4f}")
print(f"multiplier of the equal scores: {bound.result_.lam[0]:.4f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
bins = np.linspace(-5, 15, 41)
for model, style, name in ((free, "step", "free"), (bound, "stepfilled", "bound")):
    for group, colour in ((small, "tab:blue"), (large, "tab:orange")):
        left.hist(
            model.decision_function(X[group]),
            bins,
            histtype=style,
            color=colour,
            alpha=1.0 if style == "step" else 0.4,
            label=f"{'small' if group is small else 'large'}, {name}",
        )
left.set(xlabel="score of benign tumours", ylabel="patients")
left.legend(fontsize=8)
free.result_.plot(right, label="sphere alone")
bound.result_.plot(right, label="sphere and equal scores")
right.set_ylabel("KKT residual")
right.legend()
plt.show()
