"""
Ten images that teach a classifier
==================================

Dataset distillation: which ten images, one for each digit, are such that a logistic regression trained on
them alone does well on a thousand others? The training is a solver; the images are its parameters; the loss
on the others is differentiated through it.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import scipy.optimize
from sklearn.datasets import load_digits

from numsolve._core.extras import require
from numsolve.implicit import from_jaxopt

jaxopt = require("jaxopt", "this page")
jax.config.update("jax_enable_x64", True)

images, labels = load_digits(return_X_y=True)
images = images / 16
order = np.random.default_rng(0).permutation(len(images))
train, test = order[:1000], order[1000:]
X, y = jnp.asarray(images[train]), jnp.asarray(labels[train])

# %%
# Training on ten images: multinomial logistic regression with an l2 penalty, 640 weights.

ten = jnp.arange(10)


def training(W, pictures):
    """The loss of a classifier on ten pictures."""
    scores = jax.nn.log_softmax(pictures @ W)
    return -scores[ten, ten].mean() + 0.5e-2 * (W**2).sum()


train_on = from_jaxopt(jaxopt.LBFGS(training, maxiter=200, tol=1e-8), symmetric=True, solve="cg", tol=1e-8)


@jax.jit
@jax.value_and_grad
def loss(pictures):
    """The loss on a thousand digits of the classifier that the pictures teach."""
    W = train_on(jnp.zeros((64, 10)), pictures.reshape(10, 64)).params
    return -jax.nn.log_softmax(X @ W)[jnp.arange(len(X)), y].mean() + 1e-3 * (pictures**2).mean()


def accuracy(pictures):
    """The same, counted on unseen digits."""
    W = train_on(jnp.zeros((64, 10)), pictures.reshape(10, 64)).params
    return float((jnp.argmax(images[test] @ W, axis=1) == labels[test]).mean())


# %%
# The start is the mean image of each digit; SciPy's L-BFGS improves it, and each of its steps trains a
# classifier.

means = np.stack([images[train][labels[train] == digit].mean(axis=0) for digit in range(10)])
fit = scipy.optimize.minimize(loss, means.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 25})
first, last = loss(means.ravel())[0], fit.fun
print(f"loss {first:.3f} -> {last:.3f}")
print(f"accuracy on 797 unseen digits {accuracy(means):.3f} -> {accuracy(fit.x):.3f}")

# %%
# Above the means, below what the derivative made of them.

fig, axes = plt.subplots(2, 10, figsize=(11, 2.8), layout="constrained")
limit = np.abs(fit.x).max()
for digit in range(10):
    axes[0, digit].imshow(means[digit].reshape(8, 8), cmap="gray_r")
    axes[1, digit].imshow(fit.x.reshape(10, 8, 8)[digit], cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes[0, digit].set_title(str(digit))
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel(f"means\n{100 * accuracy(means):.1f} %")
axes[1, 0].set_ylabel(f"distilled\n{100 * accuracy(fit.x):.1f} %")
plt.show()
