"""
The penalty of a support vector machine, by gradient
====================================================

A multi-class support vector machine has one number that must be chosen: its penalty. Usually one searches a
grid. Here the validation loss is differentiated through the solver of the dual problem, at the cost of one
linear solve.
"""

import jax
import jax.numpy as jnp
import jaxopt
import matplotlib.pyplot as plt
import numpy as np

from numsolve.implicit import from_jaxopt, problems

jax.config.update("jax_enable_x64", True)

X, Y = map(jnp.asarray, problems.classes(60, 100, k=5, rng=0))
X_val, Y_val = map(jnp.asarray, problems.classes(200, 100, k=5, rng=1))

# %%
# The dual problem has a simplex for each sample. jaxopt's projected gradient solves it; `from_jaxopt` gives
# its solution derivatives of every order.


def dual(beta, penalty):
    """The objective of the dual problem."""
    return ((X.T @ (Y - beta)) ** 2).sum() / (2 * penalty) + jnp.vdot(beta, Y)


def project(beta, _):
    """A simplex for each sample."""
    return jax.vmap(jaxopt.projection.projection_simplex)(beta)


solver = jaxopt.ProjectedGradient(
    dual, project, maxiter=1000, tol=1e-8, acceleration=True
)
run = from_jaxopt(solver)
start = jnp.full_like(Y, 1 / 5)


def loss(log_penalty):
    """The validation loss of the solution."""
    penalty = jnp.exp(log_penalty)
    beta = run(start, None, penalty).params
    W = X.T @ (Y - beta) / penalty
    return ((X_val @ W - Y_val) ** 2).sum(axis=1).mean()


# %%
# Newton's method in the logarithm of the penalty, with the second derivative from JAX. (jaxopt's own
# wrapper has no Hessian.)

slope, bend = jax.jit(jax.value_and_grad(loss)), jax.jit(jax.hessian(loss))
path = [jnp.asarray(2.5)]
for _ in range(7):
    value, gradient = slope(path[-1])
    step = -gradient / jnp.maximum(jnp.abs(bend(path[-1])), 1e-3)
    path.append(path[-1] + jnp.clip(step, -1.0, 1.0))
    print(
        f"penalty {jnp.exp(path[-2]):8.4f}   loss {value:.6f}   slope {gradient:+.1e}"
    )

# %%
# The path on the curve, which is drawn for the picture alone. The loss is piecewise smooth: it bends where
# a sample enters or leaves a face of its simplex.

grid = jnp.linspace(-2.0, 3.0, 31)
curve = [slope(t)[0] for t in grid]
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(np.exp(grid), curve, color="0.6", label="validation loss")
ax.plot(
    np.exp(path),
    [slope(t)[0] for t in path],
    "o-",
    color="C3",
    label="steps of Newton's method",
)
for t in path[:3]:
    value, gradient = slope(t)
    d = np.array([-0.35, 0.35])
    ax.plot(np.exp(t + d), value + gradient * d, color="C0", linewidth=2)
ax.plot([], [], color="C0", linewidth=2, label="slope, by implicit differentiation")
ax.set(xscale="log", xlabel="penalty", ylabel="mean squared error of the scores")
ax.legend(loc="upper center")
plt.show()

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 0
