"""
How much to smooth, and where
=============================

A noisy field is smoothed by a linear system, with one weight for each of sixteen regions. The weights are
fitted to a second noisy measurement: no clean data are needed, since the noise of two measurements is
independent. All linear systems are solved by :mod:`numsolve.linear`.
"""

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp

from numsolve import bilevel, linear

n = 64
X, Y = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n))
truth = np.where(
    X < 0.5, X + Y, np.sin(40 * X * Y)
)  # calm on the left, wild on the right
rng = np.random.default_rng(0)
first, second = truth + 0.3 * rng.standard_normal((2, n, n))

# %%
# The lower problem minimises :math:`\tfrac12\|x - y\|^2 + \tfrac12 \sum_k e^{\theta_k} x^T K_k x`, where
# :math:`K_k` adds the squared differences between neighbours in region k.

index = np.arange(n * n).reshape(n, n)
pairs = np.concatenate(
    [
        np.stack([index[:, :-1], index[:, 1:]], axis=-1).reshape(-1, 2),
        np.stack([index[:-1], index[1:]], axis=-1).reshape(-1, 2),
    ]
)
difference = sp.csr_array(
    (
        np.tile([-1.0, 1.0], len(pairs)),
        (np.repeat(np.arange(len(pairs)), 2), pairs.ravel()),
    ),
    shape=(len(pairs), n * n),
)
rows, columns = np.divmod(pairs[:, 0], n)
region = 4 * (rows // 16) + columns // 16
identity = sp.identity(n * n, format="csr")


def matrix(theta):
    """The system's matrix."""
    weights = sp.diags_array(np.exp(theta)[region])
    return sp.csr_array(identity + difference.T @ weights @ difference)


# %%
# SSOR-preconditioned conjugate gradients solve the lower problem and, as `solve`, the adjoint system.
# Whatever they return is measured by `lower_grad`.

current = {}


def lower_solver(theta, x, tol):
    """Solve the lower problem."""
    current["A"] = matrix(theta)
    b = first.ravel()
    return linear.ssor_cg(
        current["A"], b, x, omega=1.3, rtol=0.5 * tol / np.linalg.norm(b)
    ).x


def solve(_, b, init, tol):
    """Solve the adjoint system."""
    return linear.ssor_cg(current["A"], b, init, omega=1.3, rtol=0.5 * tol).x


def product(v, theta):
    """The matrix times v."""
    return v + difference.T @ (np.exp(theta)[region] * (difference @ v))


def cross(x, theta, q):
    """The cross derivative, transposed, times q."""
    each = (difference @ x) * (difference @ q)
    return np.exp(theta) * np.bincount(region, each, minlength=16)


problem = bilevel.BilevelProblem(
    lambda x, _: 0.5 * np.sum((x - second.ravel()) ** 2),
    lambda x, t: 0.5 * x @ product(x, t) - first.ravel() @ x,
    upper_grad=lambda x, _: (x - second.ravel(), None),
    lower_grad=lambda x, t: product(x, t) - first.ravel(),
    lower_hvp=lambda _, t, v: product(v, t),
    lower_cross_vjp=cross,
    mu=1.0,
    lower_solver=lower_solver,
)
result = bilevel.minimize_bilevel(
    problem,
    np.zeros(16),
    first.ravel(),
    solve=solve,
    theta_bounds=(-8, 8),
    tol=1e-2,
)
smooth = result.x.reshape(n, n)
print(result.message, f"bound of the hypergradient's error: {result.error_bound:.1e}")

# %%
# The result beside the best single weight.


def error(image):
    """Root mean square."""
    return np.sqrt(np.mean((image - truth) ** 2))


tried = [
    lower_solver(np.full(16, t), first.ravel(), 1e-3).reshape(n, n)
    for t in np.linspace(-4, 4, 17)
]
single = min(tried, key=error)
fig, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
for ax, image, name in zip(
    axes,
    (first, single, smooth),
    ("measured", "best single weight", "16 weights"),
    strict=False,
):
    ax.imshow(image, vmin=-1, vmax=1.5)
    ax.set_title(f"{name}: error {error(image):.3f}")
    ax.set_axis_off()
picture = axes[3].imshow(result.theta.reshape(4, 4), cmap="magma")
axes[3].set_title("logarithms of the weights")
axes[3].set_axis_off()
fig.colorbar(picture, ax=axes[3])

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = [1, 2]
plt.show()
