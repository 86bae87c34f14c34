"""
Directions in 32 768 dimensions
===============================

Features of neural networks are often compared by their directions alone. The von Mises-Fisher distribution is
the normal distribution of directions; its normalising constant is a Bessel function whose order is half the
dimension. Beyond some hundred dimensions that function leaves the range of floats, while its logarithm is an
ordinary number. This page fits the concentration in 2048 to 32 768 dimensions, where SciPy's fit returns
nearly zero without a word.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import ive
from scipy.stats import vonmises_fisher

from numsolve.special import iv_ratio, log_iv, vmf_entropy, vmf_fit, vmf_sample

# %%
# Two hundred directions in each dimension, around a common one. The concentration is that for which their
# mean has length one half.

dimensions = np.array([16, 64, 256, 512, 1024, 2048, 8192, 32768])
truth, ours, scipys = [], [], []
for d in dimensions:
    kappa = vmf_fit(R=0.5, d=int(d)).kappa
    X = vmf_sample(np.eye(1, int(d))[0], kappa, 200, rng=int(d))
    truth.append(kappa)
    ours.append(vmf_fit(X).kappa)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:  # skipped where it takes long
            scipys.append(vonmises_fisher.fit(X)[1] if d <= 2048 else np.nan)
        except ValueError:
            scipys.append(np.nan)
    print(f"d = {d:6d}: true {kappa:10.2f}, fitted {ours[-1]:10.2f},", scipys[-1])

# %%
# To the left: the fits. In the middle, why: the scaled function of SciPy ends where its logarithm is below
# -745, that of ours goes on. To the right, the mean resultant length as a function of the concentration, each
# curve in its own dimension: in units of the dimension they become one.

fig, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
axes[0].loglog(dimensions, truth, "k-", lw=1, label="true")
axes[0].loglog(dimensions, ours, "o", color="C0", label="numsolve")
axes[0].loglog(dimensions, scipys, "x", color="C3", label="SciPy")
axes[0].set(xlabel="dimension", ylabel="concentration", title="Two hundred directions")
axes[0].legend()

v = np.logspace(0, 5, 400)
for x, colour in ((1.0, "C0"), (100.0, "C1"), (1e4, "C2")):
    axes[1].semilogx(v, -log_iv(v, x), color=colour, label=f"x = {x:g}")
    with np.errstate(divide="ignore"):
        known = np.log(ive(v, x)) + x
    end = v[np.isfinite(known)].max()
    axes[1].plot(end, -log_iv(end, x), "x", ms=9, color=colour)
axes[1].set(xlabel="order", ylabel=r"$-\log I_v(x)$", title="Crosses: where SciPy ends")
axes[1].set_yscale("symlog", linthresh=10)
axes[1].legend()

t = np.logspace(-2, 2, 200)
for d in (3, 16, 128, 32768):
    axes[2].semilogx(t, iv_ratio(d / 2 - 1, t * d), label=f"d = {d}")
axes[2].set(xlabel="concentration / dimension", ylabel="mean resultant length")
axes[2].set_title("One curve for all of them")
axes[2].legend()
# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 1

# %%
# How much is said by saying that the directions have this concentration? The entropy, less that of the
# uniform distribution, per dimension:

for d in (16, 2048, 32768):
    kappa = vmf_fit(R=0.5, d=d).kappa
    saved = (vmf_entropy(d, 0.0) - vmf_entropy(d, kappa)) / d
    print(
        f"d = {d:6d}: {saved:.5f} nats, and -log(1 - R^2) / 2 = {-np.log(0.75) / 2:.5f}"
    )

plt.show()
