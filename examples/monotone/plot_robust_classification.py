"""
Robust classification: the worst group counts
=============================================

A classifier that is best on average may be bad on a small group. Giving each group a weight, and letting an
adversary choose the weights, makes training a min-max problem: a monotone inclusion. Here the data are 569
tumours (30 features of cell nuclei), and the groups are the diagnoses, each split into small and large
nuclei. Small malignant and large benign ones are rare, and hard.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer

from numsolve import ConvergenceWarning, monotone

# %%
# The features are the textures and shapes of the nuclei, standardised. Features that measure the size are
# left out, and only used to form the groups.

data = load_breast_cancer()
names = list(data.feature_names)
keep = [
    k
    for k, name in enumerate(names)
    if not any(word in name for word in ("radius", "area", "perimeter"))
]
X = data.data[:, keep]
X = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(len(X))]) / np.sqrt(
    len(keep)
)
sign = np.where(data.target == 1, 1.0, -1.0)  # benign +1, malignant -1
large = data.data[:, names.index("mean radius")] > 14.5
group = 2 * (sign < 0) + large
labels = ["benign, small", "benign, large", "malignant, small", "malignant, large"]

rng = np.random.default_rng(0)
train = rng.random(len(X)) < 0.7
Xt, st, gt = X[train], sign[train], group[train]
count = np.bincount(gt, minlength=4)
print(dict(zip(labels, count.tolist(), strict=True)))

# %%
# The unknown u holds the classifier's weights w and the groups' weights p. With the logistic losses l_g,
# a little ridge for w, and p on the simplex, the operator is
#
# .. math:: F(w, p) = \Bigl(\sum_g p_g \nabla l_g(w) + \lambda w,\ -(l_1(w), \dots, l_4(w))\Bigr),
#
# an average over the samples: ``FiniteSum`` takes it as two functions.

n, d, ridge = len(Xt), X.shape[1], 1e-3
share = n / count[gt]


def mean_of(u: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Average the components of some samples."""
    w, p = u[:d], u[d:]
    Z, s, g, c = Xt[index], st[index], gt[index], share[index]
    margin = s * (Z @ w)
    slope = -s / (1 + np.exp(margin))
    grad = Z.T @ (c * p[g] * slope) / len(index) + ridge * w
    loss = np.bincount(g, c * np.logaddexp(0, -margin), minlength=4) / len(index)
    return np.concatenate([grad, -loss])


everyone = np.arange(n)


def full(u: np.ndarray) -> np.ndarray:
    """The mean over all samples."""
    return mean_of(u, everyone)


def prox(v: np.ndarray, gamma: float) -> np.ndarray:  # noqa: ARG001
    """Leave w alone and project p on the simplex."""
    return np.concatenate([v[:d], monotone.project_simplex(v[d:])])


def average(v: np.ndarray, gamma: float) -> np.ndarray:  # noqa: ARG001
    """Hold p at the groups' shares: then it is the usual average loss."""
    return np.concatenate([v[:d], count / n])


# %%
# The constant of F is at most a quarter of the largest group covariance plus the cross terms.

sizes = [np.linalg.norm(Xt[gt == g], 2) ** 2 / count[g] for g in range(4)]
cross = np.sqrt(
    sum((np.linalg.norm(Xt[gt == g], axis=1).mean()) ** 2 for g in range(4))
)
L = max(sizes) / 4 + cross + ridge
start = np.concatenate([np.zeros(d), np.full(4, 0.25)])

usual = monotone.halpern(
    full, start, L=L, prox=average, method="eg", tol=2e-4, maxiter=20_000
)
trail: list[np.ndarray] = []
robust = monotone.halpern(
    full,
    start,
    L=L,
    prox=prox,
    method="eg",
    tol=2e-4,
    maxiter=20_000,
    callback=lambda u: trail.append(u[d:]),
)
print(f"calls: usual {usual.nfev}, robust {robust.nfev}")
print(f"weights of the groups: {robust.x[d:].round(3)}")

# %%
# The adversary ends up looking mostly at the large tumours, of either kind, and a little at the others: then
# the losses of the four groups are equal, and no other weights would hurt more. On the test data the worst
# group gains what the easiest one loses.

fig, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
axes[0].plot(np.array(trail), label=labels)
axes[0].set(
    xscale="log",
    xlabel="iteration",
    ylabel="weight",
    title="what the adversary looks at",
)
axes[0].legend(loc="upper left")
for k, (name, u) in enumerate({"average": usual.x, "worst group": robust.x}.items()):
    wrong = sign * (X @ u[:d]) <= 0
    rate = [100 * wrong[~train & (group == g)].mean() for g in range(4)]
    bars = axes[1].bar(
        np.arange(4) + 0.4 * k - 0.2, rate, 0.4, label=f"trained for the {name}"
    )
    axes[1].bar_label(bars, fmt="%.0f")
axes[1].set_xticks(range(4), [label.replace(", ", "\n") for label in labels])
axes[1].set(ylabel="test errors (%)", title="who pays")
axes[1].legend()

# %%
# How the methods compare, in evaluations of the loss over all samples. Variance reduction spreads an
# evaluation over single samples and is ahead per pass even with 379 of them; written as Python functions, its
# many small steps take longer nevertheless. It pays if a single component is expensive to evaluate.

runs = {}
problem = monotone.FiniteSum(n, full, mean_of, L=2 * L)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)  # the runs end at a limit
    for method, label, calls in (
        ("eg", "extragradient", 2),
        ("popov", "optimistic gradient", 1),
        ("eag", "anchored extragradient", 2),
    ):
        r = monotone.halpern(
            full, start, L=L, prox=prox, method=method, tol=1e-3, maxiter=6000 // calls
        )
        runs[label] = 1 + calls * r.history.iteration, r.history.residual
    r = monotone.vr_halpern(
        problem, start, prox=prox, assumption="lipschitz", max_epochs=300, rng=0
    )
    runs["variance-reduced Halpern"] = r.history.epochs, r.history.residual

fig, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
for label, (epochs, residual) in runs.items():
    ax.loglog(epochs, residual, label=label)
ax.set(xlabel="epochs (passes over the samples)", ylabel="residual")
ax.grid(alpha=0.3)
ax.legend()
plt.show()

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 1
