"""
Digits by direction
===================

A mixture of von Mises-Fisher distributions clusters vectors by direction; their lengths do not matter. Here
the vectors are the handwritten digits that scikit-learn ships, with 64 pixels each, and the length of a
vector is how dark the ink is. It finds the groups that k-means finds, and says how sure it is of each image.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.metrics import normalized_mutual_info_score

from numsolve.special import VMFMixture

data = load_digits()
X = data.data - data.data.mean(axis=0)

mixture = VMFMixture(14, n_init=10, tol=1e-5, rng=1).fit(X)
print(mixture.result_)

found = mixture.predict(X)
directions = X / np.linalg.norm(X, axis=1, keepdims=True)
groups = KMeans(14, n_init=10, random_state=1).fit_predict(directions)
for name, labels in (("k-means", groups), ("mixture", found)):
    score = normalized_mutual_info_score(data.target, labels)
    print(f"{name:8s} shares {score:.2f} of the information with the true digits")

# %%
# How sure it is of a group means something: where it doubts, the image is more often not of the digit that
# most of its component are.

table = np.array(
    [np.bincount(data.target[found == k], minlength=10) for k in range(14)]
)
usual = table.argmax(axis=1)[found] == data.target
sure = mixture.predict_proba(X).max(axis=1) > 0.99
print(f"sure of {sure.mean():.0%}, which are {usual[sure].mean():.0%} the usual digit")
print(f"in doubt of the others, which are {usual[~sure].mean():.0%} the usual digit")

# %%
# The mean directions, sorted by concentration, orange where a component has more ink than the mean image:
# zeros are alike, eights are not. To the right, the likelihood, which grows in every step, and the digits in
# each component.

mu, kappa = mixture.mu_, mixture.kappa_
order = np.argsort(kappa)
fig = plt.figure(figsize=(11, 3.6), layout="constrained")
grid = fig.add_gridspec(2, 9, width_ratios=[1] * 7 + [0.2, 3.5])
for place, k in enumerate(order):
    ax = fig.add_subplot(grid[place // 7, place % 7])
    ax.imshow(mu[k].reshape(8, 8), cmap="PuOr_r", vmin=-0.35, vmax=0.35)
    ax.set_title(rf"$\kappa$ = {kappa[k]:.0f}", fontsize=9)
    ax.set_axis_off()
ax = fig.add_subplot(grid[0, 8])
ax.plot(mixture.result_.history.log_likelihood, ".-")
ax.set(xlabel="step", ylabel="log-likelihood", title="EM")
ax = fig.add_subplot(grid[1, 8])
ax.imshow(table[order].T, cmap="Greys", aspect="auto")
ax.set(xlabel="component, by concentration", ylabel="digit", yticks=range(0, 10, 3))
# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 0
plt.show()
