"""
Many tasks that share what is trusted
=====================================

Forty classifiers are trained with different temperatures on the same samples, some of which are mislabelled.
All share one weight for each sample. Each iteration looks at a few classifiers and a few samples; what
differs below is how theta's direction is averaged over the classifiers.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit
from sklearn.datasets import load_breast_cancer

import numsolve
from numsolve import bilevel

X, y = load_breast_cancer(return_X_y=True)
X = np.c_[(X - X.mean(axis=0)) / X.std(axis=0), np.ones(len(X))]
rng = np.random.default_rng(0)
train, val = np.array_split(rng.permutation(len(X)), 2)
signs = np.where(y == 1, 1.0, -1.0)
flipped = rng.random(len(train)) < 0.25
labels = np.where(flipped, -signs[train], signs[train])
oracle = bilevel.problems.multiblock_logistic(
    X[train], labels, X[val], signs[val], np.geomspace(1, 10, 40), l2=1e-3
)

# %%
# SAGA's table keeps the last hypergradient of each classifier; STORM keeps one average, and gets as far here
# with a fortieth of the memory. With `step_theta=0` nothing is learned.

settings = {"block_batch": 5, "batch_size": 32, "step_x": 1.0, "maxiter": 1500}
runs = {
    "SAGA": {"step_theta": 40.0, "theta_estimator": "saga"},
    "STORM": {"step_theta": 40.0, "theta_estimator": "storm"},
    "no learning": {"step_theta": 0.0},
}
fig, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
results = {}
for name, own in runs.items():
    with warnings.catch_warnings():  # samples never let the direction vanish
        warnings.simplefilter("ignore", numsolve.ConvergenceWarning)
        results[name] = bilevel.bsvrb(
            oracle,
            np.zeros(len(train)),
            np.zeros(X.shape[1]),
            rng=0,
            **settings,
            **own,
        )
    size = results[name].history.residual[1:]
    smooth = np.convolve(size, np.ones(50) / 50, mode="valid")
    ax.semilogy(smooth, label=f"{name}: loss {results[name].fun:.3f}")
ax.set(xlabel="iteration", ylabel="direction and trackers, averaged")
ax.legend()

# %%
# The weights tell the flipped labels apart.

weights = expit(results["SAGA"].theta)
bins = np.linspace(0, 1, 25)
fig, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
ax.hist(weights[~flipped], bins, alpha=0.7, label="right labels")
ax.hist(weights[flipped], bins, alpha=0.7, label="flipped labels")
ax.set(xlabel="weight of a sample", ylabel="samples")
ax.legend()
low, high = np.mean(weights[flipped]), np.mean(weights[~flipped])
print(f"mean weight of flipped labels {low:.2f}, of right ones {high:.2f}")

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_thumbnail_axes = [0]
plt.show()
