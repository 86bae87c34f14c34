"""
Digits by direction
===================

A mixture of von Mises-Fisher distributions clusters vectors by direction; their lengths do not matter. Here
the vectors are the handwritten digits that scikit-learn ships, with 64 pixels each, and the length of a
vector is how dark the ink is. The EM algorithm needs log-densities and one fit of a concentration for each
component; both stay finite, whatever the dimension and however sharp a component becomes.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.metrics import normalized_mutual_info_score

from numsolve.special import vmf_fit, vmf_log_prob

data = load_digits()
X = data.data - data.data.mean(axis=0)
X /= np.linalg.norm(X, axis=1, keepdims=True)
n, d = X.shape

# %%
# One step of EM: how much each component is responsible for each image, then a weighted fit of each
# component.


def responsibilities(weights, mu, kappa):
    """Of shape (n, K), and the log-likelihood of an image."""
    joint = np.log(weights) + vmf_log_prob(X[:, None, :], mu, kappa)
    top = joint.max(axis=1, keepdims=True)
    total = top + np.log(np.exp(joint - top).sum(axis=1, keepdims=True))
    return np.exp(joint - total), total.mean()


def em(K, seed, steps=60):
    """Start at the groups of k-means; stop when the likelihood no longer grows."""
    groups = KMeans(K, n_init=1, random_state=seed).fit_predict(X)
    share = np.eye(K)[groups]
    likelihood = []
    for _ in range(steps):
        fits = [vmf_fit(X, weights=share[:, k]) for k in range(K)]
        mu, kappa = np.stack([f.mu for f in fits]), np.array([f.kappa for f in fits])
        share, value = responsibilities(share.mean(axis=0), mu, kappa)
        likelihood.append(value)
        if len(likelihood) > 1 and likelihood[-1] - likelihood[-2] < 1e-5:
            break
    return share, mu, kappa, np.array(likelihood), groups


runs = [em(14, seed) for seed in range(3)]
share, mu, kappa, likelihood, groups = max(runs, key=lambda run: run[3][-1])
found = share.argmax(axis=1)
assert (np.diff(likelihood) > -1e-12).all()  # EM never loses
for name, labels in (("k-means", groups), ("mixture", found)):
    score = normalized_mutual_info_score(data.target, labels)
    print(f"{name:8s} shares {score:.3f} of the information with the true digits")

# %%
# The mean directions, brighter where a component has more ink than the mean image, sorted by concentration:
# zeros are alike, eights are not. To the right, the likelihood, which grows in every step, and the digits in
# each component.

order = np.argsort(kappa)
fig = plt.figure(figsize=(11, 4), layout="constrained")
grid = fig.add_gridspec(2, 9, width_ratios=[1] * 7 + [0.4, 6])
for place, k in enumerate(order):
    ax = fig.add_subplot(grid[place // 7, place % 7])
    ax.imshow(mu[k].reshape(8, 8), cmap="PuOr_r", vmin=-0.35, vmax=0.35)
    ax.set_title(rf"$\kappa$ = {kappa[k]:.0f}", fontsize=9)
    ax.set_axis_off()
ax = fig.add_subplot(grid[0, 8])
ax.plot(likelihood, ".-")
ax.set(xlabel="step", ylabel="log-likelihood", title="EM")
ax = fig.add_subplot(grid[1, 8])
table = np.array(
    [[np.sum(data.target[found == k] == j) for k in order] for j in range(10)]
)
ax.imshow(table, cmap="Greys", aspect="auto")
ax.set(xlabel="component, by concentration", ylabel="digit", yticks=range(0, 10, 3))
# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 0
plt.show()
