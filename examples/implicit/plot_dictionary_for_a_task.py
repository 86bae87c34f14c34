"""
A dictionary for a task
=======================

Sparse coding writes each sample as a combination of a few atoms. A dictionary that is learnt to reconstruct
the samples is not the best one to classify them. Here the dictionary is moved by the gradient of the
classification loss, through the solver of the sparse coding problem.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import scipy.optimize
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import DictionaryLearning
from sklearn.metrics import roc_auc_score

from numsolve._core.extras import require
from numsolve.implicit import custom_fixed_point, optimality

jaxopt = require("jaxopt", "this page")
jax.config.update("jax_enable_x64", True)

data = load_breast_cancer()
X, y = data.data, 2.0 * data.target - 1
order = np.random.default_rng(0).permutation(len(X))
train, test = order[:200], order[200:]
X = jnp.asarray((X - X[train].mean(axis=0)) / X[train].std(axis=0))
n_atoms = 6

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
    return jax.lax.fori_loop(0, 300, lambda _, c: step(c, weights, dictionary, sample), code)


def codes(dictionary, samples):
    """The codes of all samples."""
    weights = (0.05, 0.5)  # of the 1-norm, and of the 2-norm relative to it
    return jax.vmap(lambda sample: encode(jnp.zeros(n_atoms), weights, dictionary, sample))(samples)


# %%
# A logistic regression on the codes: first with the dictionary that reconstructs best, then with both
# learnt for the task.


def loss(parameters, learn_dictionary):
    """The loss of the classifier on the codes."""
    dictionary = parameters[: n_atoms * 30].reshape(n_atoms, 30)
    if not learn_dictionary:
        dictionary = jax.lax.stop_gradient(dictionary)
    w, bias = parameters[n_atoms * 30 : -1], parameters[-1]
    margins = y[train] * (codes(dictionary, X[train]) @ w + bias)
    return jnp.logaddexp(0, -margins).mean() + 0.5e-2 * (w**2).sum()


def auc(parameters):
    """The area under the curve on the test samples."""
    dictionary = parameters[: n_atoms * 30].reshape(n_atoms, 30)
    return roc_auc_score(y[test], codes(dictionary, X[test]) @ parameters[n_atoms * 30 : -1])


atoms = DictionaryLearning(n_atoms, alpha=1.0, max_iter=30, random_state=0).fit(X[train]).components_
start = np.concatenate([3 * atoms.ravel(), np.zeros(n_atoms + 1)])
results = {}
for label, learn in (("dictionary, then classifier", False), ("both for the task", True)):
    objective = jax.jit(jax.value_and_grad(lambda p, learn=learn: loss(p, learn)))
    results[label] = scipy.optimize.minimize(
        objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 40}
    )
    print(f"{label:28s} training loss {results[label].fun:.4f}   test AUC {auc(results[label].x):.4f}")

# %%
# The atoms before and after, features in the order of the data set: means, errors, and worst values of ten
# each.

limit = max(np.abs(r.x[: n_atoms * 30]).max() for r in results.values())
fig, axes = plt.subplots(2, 1, figsize=(9, 4.4), layout="constrained", sharex=True)
for ax, (label, result) in zip(axes, results.items(), strict=True):
    dictionary = result.x[: n_atoms * 30].reshape(n_atoms, 30)
    image = ax.imshow(dictionary, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    ax.set(ylabel="atom", title=f"{label}: test AUC {auc(result.x):.4f}")
axes[1].set(
    xticks=[4.5, 14.5, 24.5], xticklabels=["mean of 10 features", "their errors", "their worst values"]
)
fig.colorbar(image, ax=axes, label="weight in the atom")
plt.show()
