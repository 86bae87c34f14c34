"""
A dictionary for a task
=======================

Sparse coding writes each sample as a combination of a few atoms. A small dictionary that was learned to
reconstruct the samples is not the best one to classify them; here it has two atoms for thirty features. (With
six atoms a good reconstruction separates the classes too, and there is nothing to gain.) This page improves
the dictionary by the gradient of the classification loss, through the solver of the sparse coding problem.
"""

import functools

import jax
import jax.numpy as jnp
import jaxopt
import matplotlib.pyplot as plt
import numpy as np
import scipy.optimize
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import DictionaryLearning
from sklearn.metrics import roc_auc_score

from numsolve.implicit import custom_fixed_point, optimality

jax.config.update("jax_enable_x64", True)

data = load_breast_cancer()
labels = jnp.asarray(2.0 * data.target - 1)
n_atoms, n_features = 2, 30


def split(seed):
    """200 samples to train on, standardised, and all others."""
    order = np.random.default_rng(seed).permutation(len(labels))
    train, test = order[:200], order[200:]
    X = (data.data - data.data[train].mean(axis=0)) / data.data[train].std(axis=0)
    return jnp.asarray(X[train]), labels[train], jnp.asarray(X[test]), labels[test]


# %%
# The code of one sample: an elastic net with the dictionary as its matrix, solved by a fixed number of
# proximal gradient steps. The derivative is that of the fixed point, and no step is stored.


def reconstruction(code, dictionary, sample):
    """What the code misses."""
    return ((code @ dictionary - sample) ** 2).mean() / 2


def prox(v, weights, step):
    """Of the elastic net."""
    return jaxopt.prox.prox_elastic_net(v, weights, step)


step = optimality.proximal_gradient(reconstruction, prox, stepsize=0.5)


@custom_fixed_point(step, solve="dense")
def encode(code, weights, dictionary, sample):
    """The code of one sample."""
    return jax.lax.fori_loop(
        0, 300, lambda _, c: step(c, weights, dictionary, sample), code
    )


def codes(dictionary, samples):
    """The codes of all samples."""
    weights = (0.05, 0.5)  # of the 1-norm, and of the 2-norm relative to it
    return jax.vmap(
        lambda sample: encode(jnp.zeros(n_atoms), weights, dictionary, sample)
    )(samples)


# %%
# A logistic regression with an l2 penalty on the codes: first with the dictionary that reconstructs best,
# then with both learned for the task. Both start from the same dictionary and have the same penalty.


def unpack(parameters):
    """The dictionary, and the weights and the bias of the classifier."""
    return (
        parameters[: -n_atoms - 1].reshape(n_atoms, n_features),
        parameters[-n_atoms - 1 : -1],
        parameters[-1],
    )


@functools.partial(jax.jit, static_argnums=3)
@jax.value_and_grad
def loss(parameters, samples, signs, learn_dictionary):
    """The loss of the classifier on the codes."""
    dictionary, w, bias = unpack(parameters)
    if not learn_dictionary:
        dictionary = jax.lax.stop_gradient(dictionary)
    margins = signs * (codes(dictionary, samples) @ w + bias)
    return jnp.logaddexp(0, -margins).mean() + 0.5e-2 * (w**2).sum()


@jax.jit
def score(parameters, samples):
    """Large for benign samples, negative for malignant ones."""
    dictionary, w, bias = unpack(parameters)
    return codes(dictionary, samples) @ w + bias


methods = {"dictionary, then classifier": False, "both for the task": True}
found, auc = {}, {label: [] for label in methods}
for seed in range(4):
    X, y, X_test, y_test = split(seed)
    atoms = (
        DictionaryLearning(n_atoms, alpha=1.0, max_iter=30, random_state=0)
        .fit(X)
        .components_
    )
    start = np.concatenate([3 * atoms.ravel(), np.zeros(n_atoms + 1)])
    for label, learn in methods.items():
        fit = scipy.optimize.minimize(
            loss,
            start,
            args=(X, y, learn),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 30},
        )
        found.setdefault(label, fit)
        auc[label].append(roc_auc_score(y_test, score(fit.x, X_test)))
for label, values in auc.items():
    print(
        f"{label:28s} test AUC {np.mean(values):.4f} on average;", np.round(values, 4)
    )

# %%
# The first split: the codes of the samples that were not trained on, and the atoms they are made of. To the
# right, all four splits.

names = [name.removeprefix("mean ") for name in data.feature_names[:10]]
*_, X_test, y_test = split(0)
fig = plt.figure(figsize=(11, 7), layout="constrained")
grid = fig.add_gridspec(3, 5, height_ratios=[4, 1, 1])
limit = max(np.abs(unpack(fit.x)[0]).max() for fit in found.values())
for k, (label, fit) in enumerate(found.items()):
    dictionary, w, bias = unpack(fit.x)
    plane = np.asarray(codes(dictionary, X_test))
    ax = fig.add_subplot(grid[0, 2 * k : 2 * k + 2])
    for sign, name, colour in ((1, "benign", "C0"), (-1, "malignant", "C3")):
        ax.scatter(*plane[y_test == sign].T, s=12, alpha=0.6, color=colour, label=name)
    ax.axline(
        (0, -bias / w[1]),
        slope=-w[0] / w[1],
        color="k",
        linewidth=1,
        label="classifier",
    )
    margin = 0.05 * np.ptp(plane, axis=0)
    low, high = plane.min(axis=0) - margin, plane.max(axis=0) + margin
    ax.set(
        title=label,
        xlabel="first atom",
        ylabel="second atom",
        xlim=(low[0], high[0]),
        ylim=(low[1], high[1]),
    )
    rows = fig.add_subplot(grid[1 + k, :])
    image = rows.imshow(
        dictionary, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto"
    )
    rows.vlines([9.5, 19.5], -0.5, n_atoms - 0.5, color="k", linewidth=0.8)
    rows.set(yticks=[0, 1], yticklabels=["first", "second"], title=f"atoms: {label}")
    rows.set(xticks=range(n_features), xticklabels=[])
    fig.colorbar(image, ax=rows)
fig.axes[0].legend(loc="upper right")
rows.set_xticklabels(3 * names, rotation=90, fontsize=7)
rows.set_xlabel("features of the cells: means, errors, worst values")
ax = fig.add_subplot(grid[0, 4])
for pair in zip(*auc.values(), strict=True):
    ax.plot([0, 1], pair, "o-", color="0.6")
ax.plot(
    [0, 1],
    [np.mean(v) for v in auc.values()],
    "s-",
    color="k",
    linewidth=2.5,
    label="mean",
)
ax.set(
    xlim=(-0.4, 1.4),
    xticks=[0, 1],
    xticklabels=["dictionary\nfirst", "both for\nthe task"],
)
ax.set(title="area under the curve")
ax.legend(loc="lower right")
plt.show()

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 3
