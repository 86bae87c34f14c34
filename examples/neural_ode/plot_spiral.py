"""
A spiral learned from its path, with and without noise
======================================================

A network learns the right-hand side of a spiral from thirty points on one path. Here
the path is the data, so a penalty on the solver's errors has a price: the fit. At the
end the same spiral gets noise.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 0
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from scipy.integrate import solve_ivp

from numsolve import neural_ode as node
from numsolve.neural_ode.problems import mlp, mlp_params, spiral

A = jnp.array([[-0.1, 2.0], [-2.0, -0.1]])
TS, FINE = jnp.linspace(0.0, 1.0, 30), jnp.linspace(0.0, 1.0, 291)
START = jnp.array([[2.0, 0.0]])

field = solve_ivp(
    lambda _, y: y**3 @ np.asarray(A),
    (0, 1),
    [2.0, 0.0],
    t_eval=np.linspace(0, 1, 30),
    rtol=1e-8,
)
data = jnp.asarray(field.y.T, jnp.float32)


def f(t, y, layers):
    """A small network of the cubes, as in the paper."""
    return mlp(t, y**3, layers)


def loss(layers, batch, coefficient, _):
    """Mean square distance at the saved times, and the solver's errors."""
    sol = node.odesolve(f, START, (0.0, 1.0), layers, ts=TS, max_steps=64, rtol=1e-4)
    fit = jnp.mean((sol.ys[:, 0] - batch[0]) ** 2)
    return fit + coefficient * node.error_penalty(sol), sol


layers = [
    (0.1 * w, b) for w, b in mlp_params(jax.random.key(0), (2, 32, 2), time=False)
]
optimizer = optax.adam(optax.cosine_decay_schedule(0.05, 250))
runs = {
    weight: node.train(
        loss, layers, data[None], optimizer, epochs=250, coefficient=weight
    )
    for weight in (0.0, 0.1)
}

# %%
# Both runs see the same data. The one with the penalty ends with fewer evaluations and
# a worse fit: the true field itself costs what it costs.

figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.8), layout="constrained")
left.plot(*data.T, "o", color="#999999", markersize=4, label="data")
for (weight, run), colour in zip(runs.items(), ("#3b6fb6", "#c8553d"), strict=True):
    sol = node.odesolve(f, START, (0.0, 1.0), run.x, ts=FINE, max_steps=64, rtol=1e-4)
    error = float(jnp.mean((sol.ys[::10, 0] - data) ** 2))
    label = f"coefficient {weight}: {int(sol.nfev)} evaluations"
    left.plot(*sol.ys[:, 0].T, color=colour, label=label)
    right.semilogy(run.history["iteration"], run.history["residual"], color=colour)
    print(f"coefficient {weight}: mean square {error:.1e}, {int(sol.nfev)} evaluations")
left.legend(
    frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1)
)
left.set_aspect("equal")
right.set_xlabel("step of training")
right.set_ylabel("loss")
right.grid(alpha=0.3)

# %%
# Noise
# -----
# The same spiral with noise of a fifth of the state. A key has one Brownian path: longer
# and shorter steps follow the same one, which makes dots and lines of the right picture
# agree.


def noise(_, y, scale):
    """Diagonal, in proportion to the state."""
    return scale * y


def cubic(t, y, _):
    """The spiral again, with its matrix closed over."""
    return spiral(t, y, A)


@jax.jit
def simulate(h0):
    """Sixty-four paths with a fixed step."""
    return node.sdesolve(
        *(cubic, noise, jnp.tile(START, (64, 1)), (0.0, 1.0), 0.2),
        key=jax.random.key(1),
        ts=TIMES,
        controller="fixed",
        h0=h0,
        max_steps=600,
    ).ys


TIMES = jnp.linspace(0.0, 1.0, 129)
BLUE, RED, GREEN = "#3b6fb6", "#c8553d", "#4d8b57"
figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 4.2), layout="constrained")
paths, coarse = simulate(1 / 256), simulate(1 / 32)
mean, spread = paths.mean(axis=1), paths.std(axis=1)
for k, colour in enumerate((BLUE, RED)):
    low, high = mean[:, k] - spread[:, k], mean[:, k] + spread[:, k]
    left.fill_between(TIMES, low, high, color=colour, alpha=0.25, linewidth=0)
    left.plot(TIMES, mean[:, k], color=colour, label=f"y{k + 1}")
left.set_xlabel("t")
left.set_ylabel("mean and spread of 64 paths")
left.legend(frameon=False)
for k in range(3, 64):
    right.plot(*paths[:, k].T, color="#999999", linewidth=0.4, alpha=0.5)
for k, colour in enumerate((BLUE, RED, GREEN)):
    right.plot(*paths[:, k].T, color=colour, linewidth=1.2)
    right.plot(*coarse[::4, k].T, "o", color=colour, markersize=3.5)
right.set_aspect("equal")
right.set_title("paths: steps of 1/256 (lines), of 1/32 (dots)", fontsize="medium")
plt.show()
