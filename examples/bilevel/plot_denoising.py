"""
Denoising whose weights are learned from a photograph
=====================================================

Total variation has two numbers, its weight and how much it rounds corners. A "field of experts" has many: a
set of filters, each with its own weight. Both are learned here from one photograph and applied to another.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import correlate
from sklearn.datasets import load_sample_image

from numsolve import bilevel


def picture(name, top, left):
    """A square of a photograph, in grey, 72 x 72 pixels."""
    square = load_sample_image(name)[top : top + 288, left : left + 288]
    return square.mean(axis=2).reshape(72, 4, 72, 4).mean(axis=(1, 3)) / 255


flower, pavilion = picture("flower.jpg", 90, 150), picture("china.jpg", 50, 70)
rng = np.random.default_rng(19)
noisy_flower = flower + 0.1 * rng.standard_normal(flower.shape)
noisy = pavilion + 0.1 * rng.standard_normal(flower.shape)

# %%
# Total variation
# ---------------
# The lower problem denoises; the upper one measures the distance to the clean picture. Both numbers enter by
# their logarithms. There is no step size to choose.

learned = bilevel.problems.tv_denoising(noisy_flower[None], flower[None])
tv = bilevel.minimize_bilevel(learned, [-5.0, -5.0], noisy_flower[None], tol=1e-2)
print(f"theta = {tv.theta.round(2)}, {tv.cost} gradients and Hessian products")


def psnr(image):
    """Decibels on the picture that was not seen."""
    return -10 * np.log10(np.mean((image - pavilion) ** 2))


test = bilevel.problems.tv_denoising(noisy[None], pavilion[None])
by_tv = bilevel.hypergradient(test, tv.theta, noisy[None], tol=1e-1).x[0]

# %%
# A field of experts
# ------------------
# Twelve filters, products of cosines of size 4 x 4, each with the potential
# :math:`e^{\theta_k} \sqrt{u^2 + 0.01^2}`. The lower problem is still strongly convex with the constant 1.

wave = np.cos(np.pi / 4 * np.outer(np.arange(4), np.arange(4) + 0.5))
wave /= np.linalg.norm(wave, axis=1, keepdims=True)
order = sorted(((i, j) for i in range(4) for j in range(4)), key=sum)[1:13]
filters = [np.outer(wave[i], wave[j]) for i, j in order]
smooth = 1e-4


def spread(u, filter_):
    """The adjoint of the correlation with a filter, for an image with zeros around."""
    return correlate(u, filter_[::-1, ::-1], mode="constant", origin=-1)


def experts(data, clean):
    """The problem for one pair of images."""

    def responses(x):
        return [correlate(x, f, mode="constant") for f in filters]

    def combine(x, weights, parts):
        total = x.copy()
        for weight, part, f in zip(weights, parts, filters, strict=True):
            total += weight * spread(part, f)
        return total

    def slopes(x):
        return [u / np.sqrt(u**2 + smooth) for u in responses(x)]

    def product(x, t, v):
        bends = [smooth / (u**2 + smooth) ** 1.5 for u in responses(x)]
        parts = [b * u for b, u in zip(bends, responses(v), strict=True)]
        return combine(v, np.exp(t), parts)

    def cross(x, t, q):
        pairs = zip(slopes(x), responses(q), strict=True)
        return np.exp(t) * np.array([np.sum(s * r) for s, r in pairs])

    def lower(x, t):
        parts = [np.sqrt(u**2 + smooth).sum() for u in responses(x)]
        return 0.5 * np.sum((x - data) ** 2) + np.exp(t) @ parts

    return bilevel.BilevelProblem(
        lambda x, _: 0.5 * np.sum((x - clean) ** 2),
        lower,
        upper_grad=lambda x, _: (x - clean, None),
        lower_grad=lambda x, t: combine(x - data, np.exp(t), slopes(x)),
        lower_hvp=product,
        lower_cross_vjp=cross,
        mu=1.0,
        lipschitz_upper=1.0,
    )


field = experts(noisy_flower, flower)
foe = bilevel.minimize_bilevel(
    field, np.full(12, -5.0), noisy_flower, theta_bounds=(-12, 2), tol=0.1, max_cost=600
)
shown = experts(noisy, pavilion)
by_foe = bilevel.hypergradient(shown, foe.theta, noisy, tol=1e3).x

fig, axes = plt.subplots(1, 4, figsize=(11, 3.4), layout="constrained")
for ax, image, name in (
    (axes[0], noisy, "noisy"),
    (axes[1], by_tv, "total variation"),
    (axes[2], by_foe, "field of experts"),
    (axes[3], pavilion, "clean"),
):
    ax.imshow(image, cmap="gray", vmin=0, vmax=1)
    number = "" if name == "clean" else f"\n{psnr(image):.1f} dB"
    ax.set_title(name + number)
    ax.set_axis_off()

# %%
# The learned weights. High frequencies are penalised most.

fig, axes = plt.subplots(2, 6, figsize=(9, 3.6), layout="constrained")
for ax, f, weight in zip(axes.flat, filters, foe.theta, strict=True):
    ax.imshow(f, cmap="RdBu", vmin=-0.5, vmax=0.5)
    ax.set_title(f"{np.exp(weight):.2g}", fontsize=10)
    ax.set_axis_off()
fig.suptitle("filters and their weights")

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = [1, 2]
plt.show()
