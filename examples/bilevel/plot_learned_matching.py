"""
A matching whose cost is learned
================================

Eighty objects were measured twice, and for half of them we know which second measurement belongs to which
first one. Entropic transport matches the two sets; what it should look at, and how sharply, is fitted to
the known half. The plans are computed by :mod:`numsolve.transport`.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine

from numsolve import bilevel, transport

X, _ = load_wine(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
rng = np.random.default_rng(0)
chosen = rng.permutation(len(X))[:80]
noise = np.where(np.arange(13) % 2, 1.5, 0.2)  # every other feature is unreliable
one, two = X[chosen], X[chosen] + noise * rng.standard_normal((80, 13))
squares = (one[:, None, :] - two[None, :, :]) ** 2
n = 40

# %%
# theta holds the logarithms of thirteen feature weights; the last one stays for the regularisation. The lower
# problem is the dual of entropic transport, in the potentials u and v:
#
# .. math:: f = \varepsilon \sum_{ij} e^{(u_i + v_j - M_{ij})/\varepsilon} - \tfrac1n \sum_i (u_i + v_i)
#               + \tfrac\tau2 \Big(\sum_i u_i - \sum_j v_j\Big)^2 .
#
# Its last term fixes the constant that the potentials may exchange; it vanishes at the solution. The upper
# objective is the mean of :math:`-\log P` over the known pairs. As these can be told apart perfectly, its
# least value is that of an infinitely sharp plan, whose lower problem has no curvature: a small square of
# theta keeps the plan soft.

weight, known = 1 / n**2, squares[:n, :n]
soft = 0.3
uniform = np.full(n, 1 / n)


def cost(t):
    """The cost matrix of the known half."""
    return known @ np.exp(t[:13])


def logs(x, t):
    """The logarithm of the plan."""
    return (x[:n, None] + x[None, n:] - cost(t)) / np.exp(t[13])


def shift(x):
    """The gradient of the term that fixes the constant."""
    return weight * (x[:n].sum() - x[n:].sum()) * np.r_[np.ones(n), -np.ones(n)]


def lower(x, t):
    """The lower objective."""
    total = np.exp(t[13]) * np.exp(logs(x, t)).sum() - x.sum() / n
    return total + 0.5 * weight * (x[:n].sum() - x[n:].sum()) ** 2


def lower_grad(x, t):
    """Its gradient in x."""
    P = np.exp(logs(x, t))
    return np.r_[P.sum(axis=1), P.sum(axis=0)] - 1 / n + shift(x)


def lower_hvp(x, t, v):
    """Its Hessian times v."""
    P = np.exp(logs(x, t)) / np.exp(t[13])
    rows = P.sum(axis=1) * v[:n] + P @ v[n:]
    return np.r_[rows, P.sum(axis=0) * v[n:] + v[:n] @ P] + shift(v)


def lower_cross_vjp(x, t, q):
    """Its cross derivative, transposed, times q."""
    P, along = np.exp(logs(x, t)), q[:n, None] + q[None, n:]
    by_cost = -np.exp(t[:13]) * np.einsum("ij,ijk->k", P * along, known) / np.exp(t[13])
    return np.r_[by_cost, -np.sum(P * along * logs(x, t))]


def upper_grad(x, t):
    """The upper gradient, in x and in theta."""
    in_cost = np.exp(t[:13]) * known[np.arange(n), np.arange(n)].mean(axis=0)
    scale = np.exp(-t[13])
    in_x = -np.full(2 * n, scale / n)
    in_theta = np.r_[in_cost * scale, np.diag(logs(x, t)).mean()]
    return in_x, in_theta + soft * t


def solver(t, x, tol):
    """Newton's method of `numsolve.transport`, from the last potentials."""
    plan = transport.solve(
        cost(t),
        uniform,
        uniform,
        reg=np.exp(t[13]),
        tol=0.5 * tol,
        potentials_init=(x[:n], x[n:]),
    )
    u, v = plan.potentials
    move = (u.sum() - v.sum()) / (2 * n)
    return np.r_[u - move, v + move]


problem = bilevel.BilevelProblem(
    lambda x, t: 0.5 * soft * t @ t - np.diag(logs(x, t)).mean(),
    lower,
    upper_grad=upper_grad,
    lower_grad=lower_grad,
    lower_hvp=lower_hvp,
    lower_cross_vjp=lower_cross_vjp,
    lower_solver=solver,
)
start = np.r_[np.zeros(13), np.log(2.0)]
result = bilevel.minimize_bilevel(
    problem, start, np.zeros(2 * n), theta_bounds=(-8, 4), tol=1e-3
)
print(result.message, f"{result.nit} iterations")

# %%
# The other half of the objects is matched with what was learned.


def matched(t):
    """The plan between the objects whose partners are not known."""
    M = squares[n:, n:] @ np.exp(t[:13])
    return transport.solve(M, uniform, uniform, reg=np.exp(t[13])).plan


fig, axes = plt.subplots(
    1, 3, figsize=(11, 4), layout="constrained", width_ratios=[1, 1, 1.2]
)
for ax, t, name in zip(
    axes, (start, result.theta), ("equal weights", "learned"), strict=False
):
    plan = matched(t)
    right = np.mean(np.argmax(plan, axis=1) == np.arange(n))
    ax.imshow(plan * n, vmin=0, vmax=1, cmap="viridis")
    ax.set_title(f"{name}: {right:.0%} right")
    ax.set(xlabel="second measurement", ylabel="first measurement")
weights = np.exp(result.theta[:13] - result.theta[13])
colours = np.where(np.arange(13) % 2, "tab:orange", "tab:blue")
axes[2].bar(np.arange(13), weights, color=colours)
axes[2].set(xlabel="feature (orange: unreliable)", ylabel="weight over regularisation")

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = [1]
plt.show()
