"""
A latent equation behind an irregular series
============================================

Forty noisy oscillations, each seen a dozen times, at times of its own. A recurrent
network reads a series backwards and guesses where a hidden state starts; a differential
equation moves the state, and a linear map reads the series off it, at any time.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 1
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from numsolve import neural_ode as node
from numsolve.neural_ode.problems import mlp, mlp_params

# %%
# The series are made up: damped waves with a frequency and a phase each, seen with noise
# at two fifths of thirty irregular times. Nothing is seen after t = 4.

rng = np.random.default_rng(0)
SERIES, NOISE, HIDDEN, STATE = 40, 0.05, 16, 4
times = np.sort(rng.uniform(0.0, 4.0, 30)).astype(np.float32)
frequency, phase = rng.uniform(1.5, 2.5, (SERIES, 1)), rng.uniform(0, 6, (SERIES, 1))


def wave(t):
    """The series without noise."""
    return np.exp(-0.2 * t) * np.cos(frequency * t + phase)


seen = (rng.random((SERIES, 30)) < 0.4).astype(np.float32)
values = wave(times) + NOISE * rng.standard_normal((SERIES, 30))
data = (values.astype(np.float32) * seen, seen)
SOLVER = {"method": "bosh3", "rtol": 1e-3, "atol": 1e-3}
gaps = jnp.diff(jnp.asarray(times), prepend=0.0)


def encode(params, values, seen):
    """Mean and log deviation, by a gated unit from the last time to the first."""

    def step(hidden, now):
        value, mask, gap = now
        given = jnp.stack([value, mask, jnp.broadcast_to(gap, value.shape)], axis=1)
        both = jnp.concatenate([hidden, given], axis=1)
        update, reset = jnp.split(jax.nn.sigmoid(both @ params["gates"]), 2, axis=1)
        both = jnp.concatenate([reset * hidden, given], axis=1)
        return update * hidden + (1 - update) * jnp.tanh(both @ params["new"]), None

    start = jnp.zeros((values.shape[0], HIDDEN))
    hidden, _ = jax.lax.scan(step, start, (values.T, seen.T, gaps), reverse=True)
    return jnp.split(hidden @ params["start"], 2, axis=1)


def loss(params, batch, coefficient, key):
    """The negative evidence of a series, and the errors of the steps."""
    values, seen = batch
    mean, deviation = encode(params, values, seen)
    start = mean + jnp.exp(deviation) * jax.random.normal(key, mean.shape)
    sol = node.odesolve(mlp, start, (0.0, 4.0), params["ode"], ts=times, **SOLVER)
    misfit = seen * (sol.ys @ params["read"])[:, :, 0].T - values
    fit = jnp.sum(misfit**2, axis=1) / (2 * NOISE**2)
    spread = 0.5 * (mean**2 + jnp.exp(2 * deviation) - 1) - deviation
    evidence = jnp.mean(fit + 0.1 * jnp.sum(spread, axis=1))
    return evidence + coefficient * node.error_penalty(sol), sol


def weights(seed, *shape):
    """A matrix of random numbers, with columns of size one."""
    return jax.random.normal(jax.random.key(seed), shape) / np.sqrt(shape[0])


params = {
    "gates": weights(0, HIDDEN + 3, 2 * HIDDEN),
    "new": weights(1, HIDDEN + 3, HIDDEN),
    "start": 0.5 * weights(2, HIDDEN, 2 * STATE),
    "read": weights(3, STATE, 1),
    "ode": mlp_params(jax.random.key(4), (STATE, 24, STATE), time=False),
}
STEPS = 200
rate = optax.cosine_decay_schedule(0.04, STEPS)
optimizer = optax.chain(optax.clip_by_global_norm(50.0), optax.adam(rate))
runs = {
    weight: node.train(loss, params, data, optimizer, epochs=STEPS, coefficient=weight)
    for weight in (0.0, 3.0)
}

# %%
# Four of the series: what was seen, the wave behind it, and twenty guesses, which lie
# close together: the model is surer of itself than it is right.


@jax.jit
def guess(params, key):
    """Twenty guesses of each series, beyond the last time that was seen."""
    mean, deviation = encode(params, *data)
    noise = jax.random.normal(key, (20, *mean.shape))
    start = mean + jnp.exp(deviation) * noise
    sol = node.odesolve(mlp, start, (0.0, 6.0), params["ode"], ts=FINE, **SOLVER)
    return (sol.ys @ params["read"])[..., 0]


FINE = jnp.linspace(0.0, 6.0, 121)
guesses = np.asarray(guess(runs[0.0].x, jax.random.key(9)))
figure, axes = plt.subplots(2, 2, figsize=(9.0, 4.8), sharex=True, layout="constrained")
for k, ax in enumerate(axes.ravel()):
    ax.plot(FINE, guesses[:, :, k], color="#3b6fb6", alpha=0.2, linewidth=0.8)
    ax.plot(FINE, wave(np.asarray(FINE))[k], "--", color="black", linewidth=1.0)
    at = seen[k] > 0
    ax.plot(times[at], values[k, at], "o", color="#c8553d", markersize=4)
    ax.axvspan(4.0, 6.0, color="#999999", alpha=0.12, linewidth=0)
    ax.set_ylim(-1.4, 1.4)
for ax in axes[1]:
    ax.set_xlabel("t (grey: after all that was seen)")

inside, after = np.asarray(FINE) <= 4.0, np.asarray(FINE) > 4.0
truth = wave(np.asarray(FINE)).T
for weight, run in runs.items():
    middle = np.asarray(guess(run.x, jax.random.key(9))).mean(axis=1)
    near, far = (
        np.sqrt(np.mean((middle - truth)[part] ** 2)) for part in (inside, after)
    )
    print(
        f"penalty {weight:4.1f}: {run.table['nfev'][-50:].mean():5.1f} evaluations, "
        f"error {near:.3f} where it was seen, {far:.3f} after"
    )

# %%
# The path of the hidden state is not the data, but it carries them. This coefficient is
# small and the fit does not pay for it; a larger one takes more evaluations off, and the
# wave after the last time suffers first.

figure, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
for (weight, run), colour in zip(runs.items(), ("#3b6fb6", "#c8553d"), strict=True):
    ax.plot(run.table["epoch"], run.table["nfev"], color=colour, label=f"{weight:g}")
ax.set_xlabel("step of training")
ax.set_ylabel("evaluations of a solve")
ax.set_ylim(bottom=0)
ax.legend(frameon=False, title="coefficient")
plt.show()
