"""
Parameters of a solver from data
================================

A model has parameters, a solver turns them into predictions, and there are measurements to compare with. Here
two of numsolve's solvers are fitted to data, each by the optimality conditions of its own solution: first the
order and the diffusivity of an anomalous diffusion, without JAX, and then the price of crossing a river, with
error bars from a second derivative.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import scipy.optimize

from numsolve import fractional, implicit, transport

jax.config.update("jax_enable_x64", True)
rng = np.random.default_rng(0)

# %%
# A tracer is released steadily and spreads through an aquifer, faster than by Brownian motion:
# :math:`d\,(-\Delta)^{\alpha/2}u=f`. Nobody knows the order :math:`\alpha`, nor the diffusivity, here
# a curve through five values. Two experiments with different releases were measured at twenty wells each, to
# one per cent.

n, p = 60, 3
mesh = fractional.RieszSplineOperator(n, p, 1.5)
xi = mesh.greville
hats = np.maximum(0, 1 - np.abs(4 * xi[:, None] - np.arange(5)))
wells = np.linspace(0.05, 0.95, 20)
measure = np.stack([mesh.spline(unit)(wells) for unit in np.eye(xi.size)], axis=1)
releases = [np.exp(-(((xi - centre) / 0.1) ** 2)) for centre in (0.3, 0.7)]


def diffusivity(theta):
    """At the collocation points; theta has the order, and logarithms of five values."""
    return np.exp(hats @ theta[1:])


def concentration(theta, f):
    """The coefficients of the solution."""
    solution = fractional.solve_riesz_bvp(
        f, theta[0], n=n, p=p, diffusion=diffusivity(theta), method="spline"
    )
    return solution.x


truth = np.array([1.4, 0.0, 0.5, 1.0, 0.0, -0.5])
data = np.concatenate([measure @ concentration(truth, f) for f in releases])
data *= 1 + 0.01 * rng.standard_normal(data.size)

# %%
# The Jacobian that a least-squares solver wants: `collocation` is zero at the solution, and takes complex
# steps in all of its parameters, the order too.


def misfit(theta):
    """Relative errors of the predictions."""
    return (
        np.concatenate([measure @ concentration(theta, f) for f in releases]) / data - 1
    )


def jacobian(theta):
    """Its derivative, one linear solve for each parameter."""
    parts = []
    for f in releases:
        J = implicit.solution_jacobian(
            lambda x, theta, f=f: fractional.optimality.collocation(
                x, theta[0], f, diffusivity(theta), p=p
            ),
            concentration(theta, f),
            theta,
        )
        parts.append(measure @ (J @ np.eye(theta.size)))
    return np.concatenate(parts) / data[:, None]


start = np.array([1.8, 0.0, 0.0, 0.0, 0.0, 0.0])
bounds = ([1.05, *[-3.0] * 5], [2.0, *[3.0] * 5])
fit = scipy.optimize.least_squares(misfit, start, jacobian, bounds=bounds)
deviation = 0.01 * np.sqrt(np.diag(np.linalg.inv(fit.jac.T @ fit.jac)))
print(
    f"order {fit.x[0]:.3f} +- {deviation[0]:.3f}, true {truth[0]}; {fit.njev} Jacobians"
)

# %%
# People commute between 30 homes and 20 workplaces on both sides of a river. Assume that they follow the plan
# of least cost and largest entropy, in which distance and crossing have prices. The plan is computed by a
# solver that JAX does not see; the likelihood of the observed trips is differentiated through it, twice.

homes, works = rng.uniform(-1, 1, (30, 2)), rng.uniform(-1, 1, (20, 2))
a, b = rng.dirichlet(np.full(30, 5.0)), rng.dirichlet(np.full(20, 5.0))
distance = np.linalg.norm(homes[:, None] - works, axis=2)
crossing = (homes[:, None, 1] > 0) != (works[:, 1] > 0)


def potentials(_, M):
    """By the Sinkhorn iteration."""
    return transport.optimality.fixed(
        transport.sinkhorn(a, b, M, 1.0, tol=1e-13).potentials
    )


solve = implicit.differentiable(
    potentials,
    lambda x, M: transport.optimality.sinkhorn(x, a, b, M, 1.0),
    symmetric=True,
    solve="cholesky",
)


def cost(prices):
    """Of each trip."""
    return prices[0] * distance + prices[1] * crossing


true_prices = np.array([3.0, 1.5])
plan = transport.sinkhorn(a, b, cost(true_prices), 1.0, tol=1e-13).plan
trips = rng.multinomial(3000, plan.ravel() / plan.sum()).reshape(plan.shape)


def loss(prices):
    """Minus the logarithm of the likelihood of the trips."""
    M = cost(prices)
    f, g = solve((jnp.zeros(30), jnp.zeros(19)), M)
    return -(trips * (f[:, None] + jnp.append(g, 0.0) - M)).sum()


value_and_slope = jax.jit(jax.value_and_grad(loss))
search = scipy.optimize.minimize(value_and_slope, np.ones(2), jac=True, method="BFGS")
error = np.sqrt(np.diag(np.linalg.inv(jax.jit(jax.hessian(loss))(search.x))))
for name, value, bar, true in zip(
    ("distance", "crossing"), search.x, error, true_prices, strict=True
):
    print(f"price of {name}: {value:.2f} +- {bar:.2f}, true {true}")

# %%
# Above, the measurements with the fitted curves, and the diffusivity with two standard deviations. Below, the
# trips (blue stays, red crosses), and the likelihood over both prices.

fig, axes = plt.subplots(2, 2, figsize=(10, 8), layout="constrained")
t = np.linspace(0, 1, 201)
for k, f in enumerate(releases):
    axes[0, 0].plot(
        t, mesh.spline(concentration(start, f))(t), "--", color=f"C{k}", alpha=0.5
    )
    axes[0, 0].plot(
        t,
        mesh.spline(concentration(fit.x, f))(t),
        color=f"C{k}",
        label=f"release {k + 1}, fit",
    )
    axes[0, 0].plot(wells, data.reshape(2, -1)[k], "o", color=f"C{k}", markersize=4)
axes[0, 0].plot([], [], "--", color="0.5", label="first guess")
axes[0, 0].set(
    title=f"order {fit.x[0]:.2f}, true {truth[0]}", xlabel="x", ylabel="concentration"
)
axes[0, 0].legend()
nodes = np.linspace(0, 1, 5)
low, high = np.exp(fit.x[1:] + 2 * np.outer([-1, 1], deviation[1:]))
axes[0, 1].fill_between(nodes, low, high, alpha=0.25, label="two standard deviations")
axes[0, 1].plot(nodes, np.exp(fit.x[1:]), "o-", label="fit")
axes[0, 1].plot(nodes, np.exp(truth[1:]), "k--", label="truth")
axes[0, 1].set(xlabel="x", ylabel="diffusivity", ylim=(0, None))
axes[0, 1].legend()

for i, j in np.argwhere(trips > 0):
    colour = "C3" if crossing[i, j] else "C0"
    axes[1, 0].plot(
        *np.stack([homes[i], works[j]], axis=1),
        color=colour,
        linewidth=trips[i, j] / 25,
        alpha=0.6,
    )
axes[1, 0].axhspan(-0.03, 0.03, color="C9", alpha=0.5)
axes[1, 0].scatter(*homes.T, s=1500 * a, color="0.3", zorder=3, label="homes")
axes[1, 0].scatter(
    *works.T, s=1500 * b, color="C1", marker="s", zorder=3, label="workplaces"
)
axes[1, 0].set(
    aspect="equal", xlabel="east (km)", ylabel="north (km)", title="3000 trips"
)
axes[1, 0].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
axis = [
    np.linspace(v - 5 * e, v + 5 * e, 15) for v, e in zip(search.x, error, strict=True)
]
level = [
    [value_and_slope(np.array([x, y]))[0] - search.fun for x in axis[0]]
    for y in axis[1]
]
lines = axes[1, 1].contour(*axis, level, levels=[0.5, 2, 4.5, 8, 12.5], cmap="viridis")
axes[1, 1].plot(*search.x, "o", color="C3", label="most likely")
axes[1, 1].plot(*true_prices, "k*", markersize=12, label="truth")
axes[1, 1].set(
    xlabel="price of a kilometre",
    ylabel="price of crossing",
    title="minus log-likelihood, less its least",
)
axes[1, 1].clabel(lines)
axes[1, 1].legend(loc="lower right")
plt.show()

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 2
