"""
Ten images that teach a classifier
==================================

Dataset distillation: find ten images, one for each digit, so that a logistic regression trained on them alone
does well on a thousand others. The training is a solver, the images are its parameters, and the loss on the
other images is differentiated through it.
"""

import jax
import jax.numpy as jnp
import jaxopt
import matplotlib.pyplot as plt
import numpy as np
import scipy.optimize
from sklearn.datasets import load_digits

from numsolve.implicit import from_jaxopt

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


train_on = from_jaxopt(
    jaxopt.LBFGS(training, maxiter=200, tol=1e-6), symmetric=True, solve="cg", tol=1e-6
)


@jax.jit
def taught(pictures):
    """The classifier that the pictures teach."""
    return train_on(jnp.zeros((64, 10)), pictures.reshape(10, 64)).params


@jax.jit
@jax.value_and_grad
def loss(pictures):
    """Its loss on a thousand digits."""
    W = taught(pictures)
    return (
        -jax.nn.log_softmax(X @ W)[jnp.arange(len(X)), y].mean()
        + 1e-3 * (pictures**2).mean()
    )


def accuracy(pictures):
    """The share of unseen digits that it gets right."""
    return float(
        (jnp.argmax(images[test] @ taught(pictures), axis=1) == labels[test]).mean()
    )


# %%
# The start is the mean image of each digit; SciPy's L-BFGS improves it, and each of its steps trains a
# classifier.

means = np.stack(
    [images[train][labels[train] == digit].mean(axis=0) for digit in range(10)]
)
fit = scipy.optimize.minimize(
    loss, means.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 25}
)
first, last = loss(means.ravel())[0], fit.fun
print(f"loss {first:.3f} -> {last:.3f}")
before, after = accuracy(means.ravel()), accuracy(fit.x)
print(f"accuracy on 797 unseen digits {before:.3f} -> {after:.3f}")

# %%
# The means, the images that the optimisation made of them, and the difference: more ink where a digit differs
# from the others, and less where it looks like them.

fig, axes = plt.subplots(3, 10, figsize=(11, 3.9), layout="constrained")
rows = (means, fit.x.reshape(10, 64), fit.x.reshape(10, 64) - means)
limit = np.abs(rows[2]).max()
for digit in range(10):
    for ax, row in zip(axes[:2, digit], rows[:2], strict=True):
        ax.imshow(row[digit].reshape(8, 8), cmap="gray_r", vmin=0)
    change = axes[2, digit].imshow(
        rows[2][digit].reshape(8, 8), cmap="RdBu_r", vmin=-limit, vmax=limit
    )
    axes[0, digit].set_title(str(digit))
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel(f"means\n{100 * accuracy(means.ravel()):.1f} %")
axes[1, 0].set_ylabel(f"distilled\n{100 * accuracy(fit.x):.1f} %")
axes[2, 0].set_ylabel("change")
fig.colorbar(change, ax=axes[2], label="ink")
plt.show()

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = [3, 13, 23]
