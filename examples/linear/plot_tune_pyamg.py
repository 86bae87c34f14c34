"""
Tuning somebody else's solver: the smoother of PyAMG
====================================================

A tuner drives any solver through a plain function. Here it is PyAMG's smoothed aggregation, whose smoother
has a weight that nobody changes. The systems come from a diffusion whose anisotropy grows and shrinks with
time. The best weight moves a little with it, and is far from the default.
"""

import matplotlib.pyplot as plt
import numpy as np
import pyamg
import scipy.sparse as sp

from numsolve import linear

# %%
# A sequence: ``-u_xx - eps u_yy + u/2 = b`` with eps between 1/10 and 1.


def system(t, nx=30):
    """The matrix and the right-hand side of step t, and the logarithm of eps."""
    log_eps = np.log(10) * (-0.5 + 0.5 * np.cos(2 * np.pi * t / 90))
    line = linear.problems.laplacian(nx, dim=1)
    A = sp.kron(line, sp.eye_array(nx)) + np.exp(log_eps) * sp.kron(
        sp.eye_array(nx), line
    )
    rng = np.random.default_rng(t)
    return (
        sp.csr_array(A + 0.5 * sp.eye_array(nx * nx)),
        rng.standard_normal(nx * nx),
        log_eps,
    )


# %%
# The solver is a function of the matrix, the right-hand side, the initial guess and the arm. It returns the
# solution and its cost, here the number of V-cycles.


def amg(A, b, x0, weight):
    """Solve by V-cycles with weighted Jacobi smoothing."""
    smoother = ("jacobi", {"omega": weight})
    A = sp.csr_matrix(A)
    A.indices, A.indptr = A.indices.astype(np.int32), A.indptr.astype(np.int32)
    smoothers = {"presmoother": smoother, "postsmoother": smoother}
    hierarchy = pyamg.smoothed_aggregation_solver(A, max_coarse=20, **smoothers)
    residuals = []
    x = hierarchy.solve(b, x0=x0, tol=1e-8, maxiter=60, residuals=residuals)
    return x, len(residuals) - 1


weights = np.linspace(0.5, 1.9, 15)  # PyAMG's default is 1
solver = linear.TunedSolver(amg, arms=weights, warm_start="zero", rng=0)
for t in range(360):
    A, b, log_eps = system(t)
    solver(A, b, context=log_eps)

# %%
# The same steps with each weight, for one period. The default needs one and a half times as many V-cycles.

table = np.array(
    [[amg(*system(t)[:2], None, w)[1] for w in weights] for t in range(0, 90, 3)]
)
paid = np.array(solver.history.costs)
default = table[:, np.argmin(abs(weights - 1.0))].mean()
fixed = table.mean(axis=0).min()
print(f"V-cycles a solve: default {default:.2f}, best fixed weight {fixed:.2f}")
print(f"tuned, first 90 steps {paid[:90].mean():.2f}, last 90 {paid[-90:].mean():.2f}")
print(f"the best weight for each system {table.min(axis=1).mean():.2f}")

# %%

fig, (above, below) = plt.subplots(
    2, 1, figsize=(8, 5.5), layout="constrained", sharex=True
)
image = above.pcolormesh(
    np.arange(0, 90, 3), weights, table.T, cmap="viridis", shading="nearest"
)
above.set(
    ylabel="smoother weight",
    xlim=(-1.5, 88.5),
    title="V-cycles of each weight, over one period",
)
fig.colorbar(image, ax=above, label="V-cycles")
picked = np.array(solver.history.arms)
for period, shade in enumerate(("0.8", "0.6", "0.3", "C1")):
    steps = slice(90 * period, 90 * period + 90)
    below.plot(
        np.arange(90), picked[steps], ".", color=shade, label=f"period {period + 1}"
    )
below.axhline(1.0, color="C0", linewidth=1, label="PyAMG's default")
below.set(xlabel="step within the period", ylabel="weight picked", ylim=(0.45, 1.95))
below.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
plt.show()

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 0
