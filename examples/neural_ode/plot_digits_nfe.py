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
# Double precision, tolerance 1e-8, forty epochs, five seeds (three for the local
# penalties that end at 0.1 or 0.3); kept beside the script that trained it,
# ``docs/benchmarks/gallery/record_digits_nfe.py``. Each point is the mean of one setting,
# its bar the spread of the seeds.

here = Path(__file__).parent if "__file__" in globals() else Path.cwd()
record = here.parents[1] / "docs" / "benchmarks" / "gallery" / "digits_nfe.json"
kept = json.loads(record.read_text())
figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
plain = np.mean(kept["rows"][0]["nfev"])
print(f"{'penalty':>20} {'coefficient':>11} {'evaluations':>11} {'part':>5} accuracy")
names = list(dict.fromkeys(row["penalty"] for row in kept["rows"]))
for row in kept["rows"]:
    nfev, accuracy = np.array(row["nfev"]), np.array(row["accuracy"])
    axes.errorbar(
        nfev.mean(),
        accuracy.mean(),
        xerr=nfev.std(),
        yerr=accuracy.std(),
        marker="o",
        color=f"C{names.index(row['penalty'])}",
        capsize=2,
        linestyle="none",
        alpha=0.8,
        label=f"{row['penalty']}, {row['coefficient']}",
    )
    print(
        f"{row['penalty']:>20} {row['coefficient']:>11} {nfev.mean():11.1f} "
        f"{nfev.mean() / plain:5.2f} {accuracy.mean():.4f} +- {accuracy.std():.4f}"
    )
axes.set_xlabel("evaluations of a solve of the test digits")
axes.set_ylabel("accuracy on the test digits")
axes.set_xlim(left=0)
axes.legend(frameon=False, fontsize="small", loc="lower right")
axes.grid(alpha=0.3)

# %%
# How the evaluations grow during training, for each setting; the mean of the seeds.

figure, axes = plt.subplots(figsize=(7.5, 4.0), layout="constrained")
for row in kept["rows"]:
    by_epoch = np.mean(row["nfev_by_epoch"], axis=0)
    colour = f"C{names.index(row['penalty'])}"
    label = f"{row['penalty']}, {row['coefficient']}"
    axes.plot(np.arange(1, len(by_epoch) + 1), by_epoch, color=colour, label=label)
axes.set_xlabel("epoch")
axes.set_ylabel("evaluations of a solve")
axes.set_ylim(bottom=0)
axes.legend(frameon=False, fontsize="x-small")
plt.show()
