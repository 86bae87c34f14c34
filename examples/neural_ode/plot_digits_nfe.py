"""
Digits in fewer evaluations
===========================

A classifier of handwritten digits: 64 pixels are the start of a differential equation,
its end is classified linearly. Between the two the dynamics are free, and the errors
that the solver estimates anyway tell training to make them easy.
"""

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_thumbnail_axes = 0
import json
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_digits

from numsolve import neural_ode as node
from numsolve.neural_ode.problems import mlp, mlp_params

digits = load_digits()
pixels, labels = digits.data.astype(np.float32) / 16, digits.target


def loss(params, batch, coefficient, _):
    """Cross-entropy at the end, and the errors of the steps."""
    sol = node.odesolve(mlp, batch[0], (0.0, 1.0), params["ode"], rtol=2e-5, atol=2e-5)
    scores = sol.y @ params["out"]
    entropy = optax.softmax_cross_entropy_with_integer_labels(scores, batch[1]).mean()
    return entropy + coefficient * node.error_penalty(sol), sol


params = {
    "ode": mlp_params(jax.random.key(0), (64, 32, 64)),
    "out": jax.random.normal(jax.random.key(1), (64, 10)) / 8,
}
result = node.train(
    loss,
    params,
    (pixels, labels),
    optax.adam(3e-3),
    batch_size=128,
    epochs=5,
    coefficient=node.CostTarget(attempts=4),
)

# %%
# A short run in single precision, with a budget of four steps a solve: the coefficient of
# the penalty rises while solves take more, and rests when they do not.

axes = result.plot(color="#3b6fb6")
print(
    f"{result.table['nfev'][-1]:.1f} evaluations, coefficient {result.coefficient:.4f}"
)

# %%
# Longer runs
# -----------
# Double precision, tolerance 1e-8, forty epochs, five seeds (three for TayNODE and for the
# local penalties that end at 0.1 or 0.3); kept beside the script that trained it,
# ``docs/benchmarks/gallery/record_digits_nfe.py``. Each point is the mean of one setting,
# its bars the spread of the seeds.

here = Path(__file__).parent if "__file__" in globals() else Path.cwd()
records = here.parents[1] / "docs" / "benchmarks" / "gallery"


def table(name):
    """The rows of one record, printed."""
    kept = json.loads((records / f"{name}_nfe.json").read_text())["rows"]
    plain = np.mean(kept[0]["nfev"])
    print(f"{name:>20} coefficient evaluations  part accuracy")
    for row in kept:
        nfev, accuracy = np.array(row["nfev"]), np.array(row["accuracy"])
        print(
            f"{row['penalty']:>20} {row['coefficient']:>11} {nfev.mean():11.1f} "
            f"{nfev.mean() / plain:5.2f} {accuracy.mean():.4f} +- {accuracy.std():.4f}"
        )
    return kept


kept = table("digits")
names = list(dict.fromkeys(row["penalty"] for row in kept))
figure, axes = plt.subplots(figsize=(8.0, 4.6), layout="constrained")
shapes = dict.fromkeys(names, 0)
for row in kept:
    nfev, accuracy = np.array(row["nfev"]), np.array(row["accuracy"])
    shape = "osD^"[shapes[row["penalty"]]]
    shapes[row["penalty"]] += 1
    axes.errorbar(
        nfev.mean(),
        accuracy.mean(),
        xerr=nfev.std(),
        yerr=accuracy.std(),
        marker=shape,
        color=f"C{names.index(row['penalty'])}",
        capsize=2,
        linestyle="none",
        alpha=0.8,
        label=f"{row['penalty']}, {row['coefficient']}",
    )
axes.set_xlabel("evaluations of a solve of the test digits")
axes.set_ylabel("accuracy on the test digits")
axes.set_xlim(left=0)
axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
axes.grid(alpha=0.3)

# %%
# How the evaluations grow during training; the mean of the seeds, one setting of each
# method.

figure, axes = plt.subplots(figsize=(8.0, 4.2), layout="constrained")
shown = {}
for row in kept:
    shown.setdefault(row["penalty"], row)
    if row["coefficient"] == "1 to 0.4":
        shown[row["penalty"]] = row
for name, row in shown.items():
    by_epoch = np.mean(row["nfev_by_epoch"], axis=0)
    epochs = np.arange(1, len(by_epoch) + 1)
    axes.plot(epochs, by_epoch, color=f"C{names.index(name)}", label=name)
axes.set_xlabel("epoch")
axes.set_ylabel("evaluations of a solve")
axes.set_ylim(bottom=0)
axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %%
# MNIST
# -----
# Four thousand images of MNIST, 784-100-784, tolerance 1e-6, eight epochs, three seeds.

mnist = table("mnist")
