"""
The square-root law of variance reduction
=========================================

To solve a least-squares problem of n terms to a given residual, a deterministic method looks at all terms in
each of some hundred iterations: its cost is proportional to n. The Halpern iteration with variance reduction
looks at few of them, and its cost, counted in terms, grows roughly like the square root of n.
"""

import matplotlib.pyplot as plt
import numpy as np

from numsolve import monotone

# %%
# The same kind of problem with a hundred to a hundred thousand terms: 40 unknowns whose scales decay, so that
# the problem is badly conditioned, and noise.


def problem(n: int) -> monotone.AffineFiniteSum:
    """Make a least-squares problem of n terms."""
    rng = np.random.default_rng(0)
    scale = np.arange(1, 41)
    Z = rng.normal(size=(n, 40)) / scale
    return monotone.AffineFiniteSum(
        Z, Z @ (np.sqrt(scale) * rng.normal(size=40)) + 0.1 * rng.normal(size=n)
    )


sizes = np.array([100, 300, 1000, 3000, 10_000, 30_000, 100_000])
calls: dict[str, list[float]] = {
    "published schedule": [],
    "tuned schedule": [],
    "deterministic": [],
}
for n in sizes:
    mean = problem(n)
    start, L = np.zeros(40), np.linalg.norm(mean.Z.T @ mean.Z / n, 2)
    for name in ("paper", "tuned"):
        settings = {
            "schedule": name,
            "step": 1 / mean.constant("uniform"),
            "restart": None,
        }
        runs = [
            monotone.vr_halpern(mean, start, tol=3e-2, rng=seed, **settings).nfev
            for seed in range(3)
        ]
        calls["published schedule" if name == "paper" else "tuned schedule"].append(
            float(np.median(runs))
        )
    exact = monotone.halpern(mean.full, start, L=L, tol=3e-2)
    calls["deterministic"].append(n * exact.epochs)

# %%
# The lines are straight in logarithms, and their slopes are a little above one half. The tuned schedule has
# the slope of the published one at a quarter of its cost. Neither restarts here, to show the law by itself.

fig, ax = plt.subplots(figsize=(8, 5), layout="constrained")
for (name, values), colour in zip(calls.items(), ("C1", "C0", "0.4"), strict=True):
    slope, offset = np.polyfit(np.log(sizes), np.log(values), 1)
    ax.loglog(sizes, values, "o", color=colour)
    ax.loglog(
        sizes,
        np.exp(offset) * sizes**slope,
        color=colour,
        label=f"{name}: n to the {slope:.2f}",
    )
    epochs = np.round(np.array(values) / sizes, 1).tolist()
    print(f"{name:>20}: slope {slope:.2f}, epochs {epochs}")
ax.loglog(sizes, sizes, ":", color="0.6", label="one look at each term")
ax.set(xlabel="terms n", ylabel="terms looked at, to a residual of 0.03")
ax.grid(alpha=0.3, which="both")
ax.legend()
plt.show()

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 0
