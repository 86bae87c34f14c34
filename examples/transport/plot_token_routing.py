"""
Routing tokens to experts: who takes which, and how many
========================================================

In a mixture of experts each token of a batch is sent to one or two expert networks, and each expert has
room for a fixed number of tokens. Sending every token to its favourite expert overloads some experts, and
the tokens that do not fit are dropped. As a transport problem: every token has the same weight, every expert
has room for the same share of the total, and the cost is minus the affinity. A plan with at most `k`
nonzeros in each column names at most `k` tokens for each expert.
"""

import matplotlib.pyplot as plt
import numpy as np

from numsolve import transport

# %%
# A batch of 256 made-up tokens: they belong to topics, some of which are frequent. Sixteen experts have
# learned directions close to the topics. Affinities are cosines.

rng = np.random.default_rng(4)
n, m, d, topics = 256, 16, 64, 12
centres = rng.standard_normal((topics, d))
share = 1 / np.arange(1, topics + 1)
topic = np.sort(rng.choice(topics, size=n, p=share / share.sum()))
tokens = centres[topic] + 0.9 * rng.standard_normal((n, d))
experts = centres[rng.integers(topics, size=m)] + 0.9 * rng.standard_normal((m, d))
tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
experts /= np.linalg.norm(experts, axis=1, keepdims=True)
affinity = tokens @ experts.T
capacity = n // m  # tokens that an expert takes: just enough for all

# %%
# Three ways to route. Greedy: every token goes to its favourite, and an expert without room for all drops
# those with the least affinity. Entropic transport balances the loads, but gives every token a share of
# every expert. The sparse plan is balanced too, and names the tokens of each expert.

M = affinity.max() - affinity
greedy = np.zeros((n, m))
greedy[np.arange(n), affinity.argmax(axis=1)] = 1 / n
entropic = transport.solve(M, reg=0.05)
sparse = transport.sparsity_constrained(None, None, M, reg=1.0, max_nz=capacity)
print(sparse)

fig, axes = plt.subplots(1, 3, figsize=(11, 6), layout="constrained", sharey=True)
plans = {"greedy": greedy, "entropic": entropic.plan, "sparse": sparse.plan}
for ax, (name, plan) in zip(axes, plans.items(), strict=True):
    image = ax.imshow(
        n * plan, aspect="auto", cmap="magma", vmin=0, vmax=1, interpolation="nearest"
    )
    entries = (plan > 1e-3 / n).sum(axis=0)
    title = f"{name}\n{entries.min()} to {entries.max()} tokens an expert"
    ax.set(title=title, xlabel="expert", xticks=range(0, m, 3))
axes[0].set_ylabel("token, sorted by topic")
fig.colorbar(image, ax=axes, label="share of the token", shrink=0.6)

# %%
# What the experts get. Greedy routing fills some experts several times over and leaves others idle; the
# tokens above the line are lost. To turn a plan into a routing, each expert takes the tokens with the largest
# entries of its column, as many as it has room for. In the entropic plan this cuts through nearly equal
# numbers, so some tokens are taken twice and others not at all.

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
loads = np.sort((greedy > 0).sum(axis=0))[::-1]
left.bar(np.arange(m), loads, color="C1", label="greedy")
left.axhline(capacity, color="black", linewidth=1, label="room")
left.plot(
    np.arange(m),
    np.sort(n * sparse.plan.sum(axis=0))[::-1],
    "o",
    color="C0",
    label="sparse plan",
)
left.set(xlabel="expert, by load", ylabel="tokens", title="loads")
left.legend()


def assigned(plan):
    """The pairs that are used: the room's worth of largest entries of each column."""
    chosen = np.zeros(plan.shape, bool)
    order = np.argsort(-plan, axis=0)[:capacity]
    np.put_along_axis(chosen, order, True, axis=0)
    return chosen & (plan > 0)


names, dropped, mean = [], [], []
for name, plan in plans.items():
    # the greedy plan itself does not say whom an expert likes best
    chosen = assigned(
        np.where(plan > 0, affinity - affinity.min() + 1, 0)
        if name == "greedy"
        else plan
    )
    names.append(name)
    dropped.append((~chosen.any(axis=1)).sum())
    mean.append(
        np.where(chosen, affinity, 0).max(axis=1).mean()
    )  # a dropped token counts as zero
right.bar(
    np.arange(3) - 0.2,
    np.array(dropped) / n,
    width=0.4,
    color="C3",
    label="tokens dropped, share",
)
right.bar(np.arange(3) + 0.2, mean, width=0.4, color="C2", label="mean affinity")
right.set_xticks(range(3), names)
right.set(title="after each expert has taken what it has room for")
right.legend(loc="upper right")
right.set_ylim(0, 1.3 * max(*mean, *(np.array(dropped) / n)))

for row in zip(names, dropped, mean, strict=True):
    print("{:>9}: {:3d} of 256 tokens dropped, affinity {:.3f} a token".format(*row))

# %%
# How the value depends on the limit. The value is a lower bound for every plan that keeps the limit, and
# falls to that of quadratic transport without a limit.

limits = [16, 17, 18, 20, 24, 32, 48, 64, 96, 128, 256]
values = [
    transport.sparsity_constrained(None, None, M, reg=30.0, max_nz=k).value
    for k in limits
]
fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
ax.plot(limits, values, "o-")
ax.axhline(
    transport.quadratic(None, None, M, reg=30.0).value,
    color="C1",
    linestyle="--",
    label="no limit",
)
ax.set(xscale="log", xlabel="tokens an expert may take", ylabel="value, reg = 30")
ax.set_xticks(limits[::2], limits[::2])
ax.minorticks_off()
ax.legend()
plt.show()

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = [0, 2]
