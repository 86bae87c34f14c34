"""
How smooth is it?
=================

The smoothness of a Matérn covariance says how many derivatives the sample paths have. It is usually not
fitted but chosen, from 1/2, 3/2 and 5/2, as other values need Bessel functions and their derivatives in the
order. With these the likelihood is a smooth function of all parameters, and one run of L-BFGS finds its
maximum.
"""

import matplotlib.pyplot as plt
import numpy as np
import scipy.linalg
from scipy.optimize import minimize
from scipy.spatial.distance import squareform

from numsolve.special import matern, matern_grad

rng = np.random.default_rng(7)
t = np.sort(rng.uniform(0, 10, 110))
r = np.abs(t[:, None] - t)
TRUE = {"nu": 1.1, "length": 0.8, "noise": 1e-2}
C = matern(r, TRUE["nu"], TRUE["length"]) + TRUE["noise"] * np.eye(len(t))
y = np.linalg.cholesky(C) @ rng.standard_normal(len(t))

# %%
# The negative log-likelihood and its gradient in the logarithms of smoothness, length and noise.
# ``matern_grad`` gives the matrices of derivatives; two traces do the rest.


def loss(log_parameters):
    """Value and gradient."""
    nu, length, noise = np.exp(log_parameters)
    pairs, _, in_nu, in_length = matern_grad(squareform(r), nu, length)
    in_nu, in_length = squareform(in_nu), squareform(in_length)
    K = squareform(pairs) + (1.0 + noise) * np.eye(len(t))
    factor = scipy.linalg.cho_factor(K, lower=True)
    a = scipy.linalg.cho_solve(factor, y)
    inner = scipy.linalg.cho_solve(factor, np.eye(len(t))) - np.outer(a, a)
    value = 0.5 * y @ a + np.log(np.diag(factor[0])).sum()
    gradient = [(inner * in_nu).sum(), (inner * in_length).sum(), np.trace(inner)]
    return value, 0.5 * np.array(gradient) * [nu, length, noise]


start = np.log([2.5, 2.0, 0.1])
# keeps the search where the covariance is neither white noise nor a constant
bounds = [np.log(b) for b in ((0.1, 20.0), (0.05, 20.0), (1e-6, 1.0))]
fit = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
nu, length, noise = np.exp(fit.x)
print(f"nu {nu:.3f}, length {length:.3f}, noise {noise:.4f}; {fit.nfev} evaluations")
assert fit.success

# %%
# To the left, the data and the prediction. In the middle, the likelihood as a function of the smoothness, the
# other parameters being the best for each: the half-integers miss its top. To the right, paths of three
# smoothnesses from the same random numbers.

nus = np.linspace(0.4, 2.8, 9)
profile, best = [], fit.x
for value in nus:
    kept = [(np.log(value), np.log(value)), *bounds[1:]]
    one = minimize(
        loss, [np.log(value), *best[1:]], jac=True, method="L-BFGS-B", bounds=kept
    )
    profile.append(fit.fun - one.fun)

grid = np.linspace(0, 10, 300)
across = matern(np.abs(grid[:, None] - t), nu, length)
K = matern(r, nu, length) + noise * np.eye(len(t))
mean = across @ np.linalg.solve(K, y)
spread = 1.0 - np.einsum("ij,ji->i", across, np.linalg.solve(K, across.T))

fig, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
band = 2 * np.sqrt(np.maximum(spread, 0.0))
axes[0].fill_between(grid, mean - band, mean + band, alpha=0.25, lw=0)
axes[0].plot(grid, mean)
axes[0].plot(t, y, "k.", ms=3)
axes[0].set(xlabel="t", title="110 values, and the prediction")
axes[1].plot(nus, profile, ".-")
axes[1].axvline(TRUE["nu"], color="k", ls=":", label="true")
axes[1].plot(nu, 0.0, "o", color="C3", label="fitted")
for half in (0.5, 1.5, 2.5):
    axes[1].axvline(half, color="C2", lw=0.8)
axes[1].set(xlabel="smoothness", ylabel="log-likelihood below its top", ylim=(-15, 1))
axes[1].set_title("Green: the usual choices")
axes[1].legend(loc="lower right")

s = np.linspace(0, 3, 300)
noise_in = rng.standard_normal(300)
for offset, smooth in zip((4, 0, -4), (0.6, nu, 4.0), strict=True):
    K = matern(np.abs(s[:, None] - s), smooth, 0.8) + 1e-10 * np.eye(300)
    path = np.linalg.cholesky(K) @ noise_in
    axes[2].plot(s, path + offset, lw=1, label=f"{smooth:.2f}")
axes[2].set(xlabel="t", yticks=[], ylim=(-9, 6), title="Paths of three smoothnesses")
axes[2].legend(loc="lower center", ncols=3)
# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 1
plt.show()
