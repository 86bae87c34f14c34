"""
Sharp plans: what the regularisation does, and what it costs
============================================================

Two densities on a line, 500 points each, with the squared distance as the cost. For a large
regularisation the plan is blurred; for a small one it follows the curve of the exact solution. Below,
`reg` runs through four powers of ten, and the error stays at 1e-9 throughout.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from numsolve import ConvergenceWarning, transport
from numsolve.transport import problems

# %%
# The densities are an exponential and a mixture of two Gaussians on [0, 5]; the cost is scaled to a
# largest entry of one, so that `reg` is a fraction of the cost's range.

M, a, b = problems.densities_1d(500, p=2)
t = np.linspace(0, 5, 500)

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.fill_between(t, a, alpha=0.6, label="a")
ax.fill_between(t, b, alpha=0.6, label="b")
ax.set(xlabel="t", ylabel="weight")
ax.legend()

# %%
# The plans. The monotone rearrangement, which is the exact solution here, is drawn as a line.

regs = [1e-1, 1e-2, 1e-3, 1e-4]
results = [transport.solve(M, a, b, reg=reg) for reg in regs]

fig, axes = plt.subplots(1, 4, figsize=(13, 3.6), layout="constrained", sharey=True)
exact = np.interp(np.cumsum(a), np.cumsum(b), t)
for ax, reg, result in zip(axes, regs, results, strict=True):
    ax.imshow(
        result.plan**0.5,
        origin="lower",
        extent=(0, 5, 0, 5),
        cmap="magma",
        aspect="auto",
    )
    ax.plot(exact, t, color="white", linewidth=0.5)
    ax.set(title=f"reg = {reg:g}", xlabel="t (target)")
axes[0].set_ylabel("t (source)")

# %%
# The transport cost approaches that of the exact solution from above, and by no more than
# ``reg * log(n)``. The work grows slowly: a few more stages of the scaling of `reg`, each a few steps.

print("     reg   transport cost   error     sweeps  Newton steps  CG steps")
for reg, r in zip(regs, results, strict=True):
    counts = f"{r.nsinkhorn:8d} {r.nnewton:12d} {r.ncg:9d}"
    print(f"{reg:8.0e} {r.value_linear:15.9f} {r.marginal_error:9.1e} {counts}")

# %%
# The Sinkhorn iteration on the same problems, for at most 3000 sweeps. It needs about ``1/reg`` of them.
# A solve that fails warns, and its result holds the best iterate.

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for reg, result, colour in zip(regs, results, ("C0", "C1", "C2", "C3"), strict=True):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        sinkhorn = transport.sinkhorn(
            a, b, M, reg=reg, overrelaxation=1.0, maxiter=3000
        )
    sinkhorn.plot(ax, what="convergence", color=colour, linestyle=":")
    result.plot(ax, what="convergence", color=colour, label=f"reg = {reg:g}")
ax.set(
    xscale="symlog",
    xlabel="iteration (dotted: Sinkhorn sweeps)",
    ylabel="marginal error",
    title="convergence",
)
ax.legend()
plt.show()

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_thumbnail_axes = [0, 2]
