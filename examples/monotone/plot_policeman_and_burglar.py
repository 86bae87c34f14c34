"""
Policeman and burglar: the strategies of a matrix game
======================================================

A street has houses of different worth. The burglar chooses one of them, the policeman waits at another, and
the burglar gets away with the loot with a probability that grows with their distance. Neither may be
predictable: both play at random, with probabilities that solve a matrix game.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from numsolve import ConvergenceWarning, monotone

# %%
# The burglar at house i and the policeman at house j give the burglar ``worth[i] * (1 - exp(-0.8 |i - j|))``.
# The policeman's strategy x minimises what the burglar's strategy y maximises: ``min_x max_y y'A x``.

rng = np.random.default_rng(3)
houses = np.arange(60)
worth = 1 + 0.6 * np.sin(houses / 6) + 0.35 * abs(rng.normal(size=60))
A = worth[:, None] * (1 - np.exp(-0.8 * abs(houses[:, None] - houses)))

trail = []
result = monotone.solve_game(
    A, tol=1e-9, callback=lambda z: trail.append((z[0].copy(), z[1].copy()))
)
print(result)

# %%
# What the burglar gets on average is the value of the game; the gap bounds what either could still gain by
# another strategy. The policeman waits where the loot is. The burglar goes to ten of the sixty houses with
# nearly equal odds, and a little less often to the richest, where the policeman waits most.

fig, (top, bottom) = plt.subplots(
    2, 1, figsize=(9, 5), sharex=True, layout="constrained"
)
top.bar(houses, worth, color="0.75")
top.set(
    ylabel="worth",
    title=f"the burglar gets away with {result.value:.4f} on average",
)
bottom.bar(houses - 0.2, result.x, width=0.4, label="policeman")
bottom.bar(houses + 0.2, result.y, width=0.4, label="burglar")
bottom.set(xlabel="house", ylabel="probability")
bottom.legend()

# %%
# How the strategies develop, from bottom to top. The burglar soon fixes on the richest house, until the
# policeman has learned of it. Within the next hundred iterations both spread over the few houses that count,
# and the others drop out for good.

steps = np.unique(np.geomspace(1, len(trail) - 1, 160).astype(int))
fig, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
for ax, player, name in zip(axes, (0, 1), ("policeman", "burglar"), strict=True):
    history = np.array([trail[k][player] for k in steps])
    image = ax.pcolormesh(
        houses, steps, np.sqrt(history), cmap="magma", shading="nearest"
    )
    ax.set(yscale="log", xlabel="house", title=name)
axes[0].set_ylabel("iteration")
fig.colorbar(image, ax=axes, label="square root of the probability")

# %%
# The same game by the methods that such games are studied with. An epoch is one product with the matrix and
# one with its transpose; the residual is the length of a projected step along the payoffs. The extragradient
# methods have guarantees that do not depend on the game, and are slow. Restarts exploit that matrix games
# are sharp, and converge linearly.

game = monotone.BilinearGame(A)
L = np.linalg.norm(A, 2)
unit = abs(A).max()
runs = {}
with warnings.catch_warnings():
    warnings.simplefilter(
        "ignore", ConvergenceWarning
    )  # the runs end at the iteration limit
    for method, label, calls in (
        ("eg", "extragradient", 2),
        ("popov", "optimistic gradient", 1),
        ("eag", "anchored extragradient", 2),
    ):
        points: list[np.ndarray] = []
        monotone.halpern(
            *(game.full, game.start()),
            L=L,
            prox=game.prox,
            method=method,
            tol=0.0,
            maxiter=3000 // calls,
            callback=points.append,
        )
        residuals = [
            np.linalg.norm(u - game.prox(u - game.full(u) / unit, 1.0)) for u in points
        ]
        runs[label] = 1 + calls * np.arange(len(points)), residuals

for method, label in (
    ("simplex-pdhg", "PDHG, on the simplices"),
    ("lp", "PDHG, as a linear program"),
):
    solved = monotone.solve_game(A, tol=1e-9, method=method)
    runs[label] = solved.history.iteration, solved.history.residual

fig, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
for label, (epochs, residuals) in runs.items():
    ax.loglog(
        np.maximum(epochs, 1),
        residuals,
        label=label,
        linewidth=2.2 if "PDHG" in label else 1.2,
    )
ax.set(xlabel="epochs", ylabel="residual", ylim=(3e-10, 3))
ax.grid(alpha=0.3)
ax.legend(loc="lower left")
plt.show()

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_thumbnail_axes = 0
